"""Credentials from the samples of CredSweeper.

From: tests/samples of CredSweeper (MIT) with the findings that it expects, tests/data/output.json. Only samples in
UTF-8 are used; CredSweeper itself is not run.

Labelled: the values of the findings, in the lines around them, or in their line alone where many findings stand
close together. Not labelled: UUIDs, bucket names, ids, certificates and nonces. Runs of lines that no setting of
CredSweeper reports are harmless. A record is doubtful where another setting reports one of its lines.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from credentials import PRIVATE_KEY, add_findings, add_harmless
from records import Range, Record, Suite
from source import Repository, Source

NOT_SECRET = re.compile(
    r"UUID|AWS S3 Bucket|Firebase Domain|Tencent WeChat API App ID|Nonce|IPv[46]|Certificate|Tenant|.*ID_PAIR"
)
# Rules that find much in many files: their limit holds for each file.
WIDE_RULES = {"Password", "Token", "Secret", "Key", "SQL Password", "API", "Auth", "Credential"}
KEY_END = re.compile(r"-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----")
AROUND = 2
CLOSE_TOGETHER = 14
HARMLESS_LINES = 6


@dataclass
class Found:
    """A finding: the lines on which it stands, and its values as line, column and length."""

    rule: str
    values: list[list[int]]

    @property
    def first(self) -> int:
        return min(line for line, _, _ in self.values)

    @property
    def last(self) -> int:
        return max(line for line, _, _ in self.values)

    @property
    def is_key(self) -> bool:
        return self.rule == "PEM Private Key"


@dataclass
class Window:
    first: int
    last: int
    found: list[Found]


def expected(reports: list[dict[str, Any]], lines: list[str]) -> list[Found]:
    found = []
    for report in reports:
        values = []
        for data in report["line_data_list"]:
            number, value, at = data["line_num"] - 1, data["value"], data["value_start"]
            if not value or number >= len(lines) or re.search(r'kty"?:', value):
                continue
            if at < 0 or not lines[number].startswith(value, at):
                at = lines[number].find(value)
            if at >= 0:
                values.append([number, at, len(value)])
        if values and not NOT_SECRET.match(report["rule"]):
            found.append(Found(report["rule"], values))
    return sorted(found, key=lambda f: (f.first, f.last))


def windows(found: list[Found], count: int) -> list[Window]:
    """Findings with the lines around them; those that stand close share a window."""
    result: list[Window] = []
    for item in found:
        first, last = max(0, item.first - AROUND), min(count - 1, item.last + AROUND)
        if result and first <= result[-1].last:
            if last - result[-1].first < (80 if item.is_key else CLOSE_TOGETHER):
                result[-1].last = max(last, result[-1].last)
                result[-1].found.append(item)
                continue
            first = min(result[-1].last + 1, item.first)
        result.append(Window(first, last, [item]))
    split: list[Window] = []
    for window in result:
        if len(window.found) >= 3 and all(f.first == f.last and not f.is_key for f in window.found):
            by_line: dict[int, list[Found]] = {}
            for item in window.found:
                by_line.setdefault(item.first, []).append(item)
            split += [Window(line, line, items) for line, items in by_line.items()]
        else:
            split.append(window)
    return split


def ranges(window: Window, text: str, offsets: list[int]) -> list[Range]:
    result: list[Range] = []
    for item in window.found:
        placed = [
            (offsets[n - window.first] + at, offsets[n - window.first] + at + size) for n, at, size in item.values
        ]
        begin = text.find("-----BEGIN", offsets[item.first - window.first])
        end = KEY_END.search(text, begin) if item.is_key and begin >= 0 else None
        if end:
            result.append((begin, end.end()))
        elif item.is_key:
            result.append((min(r[0] for r in placed), max(r[1] for r in placed)))
        else:
            result += placed
    return result


def add_sample(suite: Suite, name: str, lines: list[str], found: list[Found], reported: set[int]) -> None:
    for window in windows(found, len(lines)):
        part = lines[window.first : window.last + 1]
        offsets = [sum(len(line) + 1 for line in part[:n]) for n in range(len(part))]
        text = "\n".join(part)
        if len(text) > 12_000:
            continue
        rule = window.found[0].rule
        own = {line + 1 for item in window.found for line, _, _ in item.values}
        others = reported & set(range(window.first + 1, window.last + 2)) - own
        doubtful = bool(others) and not any(item.is_key for item in window.found)
        detector = f"{rule}/{name}" if rule in WIDE_RULES else rule
        add_findings(suite, text, ranges(window, text, offsets), detector, doubtful)


def add_rest(suite: Suite, name: str, lines: list[str], reported: set[int]) -> None:
    """The lines of a sample that are not reported, in groups."""
    runs: list[list[str]] = [[]]
    for number, line in enumerate(lines):
        if {number, number + 1, number + 2} & reported or len(line) > 1_500:
            runs.append([])
        else:
            runs[-1].append(line)
            if len(runs[-1]) == HARMLESS_LINES:
                runs.append([])
    for run in [run for run in runs if run][:25]:
        text = "\n".join(run).strip("\n")
        if len(text.strip()) >= 12 and not PRIVATE_KEY.search(text):
            add_harmless(suite, text, name)


def build(directory: Path) -> list[Record]:
    tests = directory / "credsweeper/tests"
    suite = Suite("credsweeper", limit=12, harmless_limit=15)
    wanted = json.loads((tests / "data/output.json").read_text(encoding="utf-8"))
    all_reports = list(wanted)
    for name in ("no_filters_no_ml", "no_ml", "doc"):
        all_reports += json.loads((tests / f"data/{name}.json").read_text(encoding="utf-8"))
    reported: dict[str, set[int]] = {}
    for report in all_reports:
        for data in report["line_data_list"]:
            reported.setdefault(data["path"], set()).add(data["line_num"])
    for path in sorted(p for p in (tests / "samples").iterdir() if p.is_file()):
        try:
            text = path.read_bytes().decode("utf-8")
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            continue
        key = f"./tests/samples/{path.name}"
        lines = [line.rstrip("\r") for line in text.split("\n")]
        reports = [r for r in wanted if any(data["path"] == key for data in r["line_data_list"])]
        add_sample(suite, path.name, lines, expected(reports, lines), reported.get(key, set()))
        if not re.search(r"\.(?:p12|jks|key|pem)$|cert", path.name):
            add_rest(suite, path.name, lines, reported.get(key, set()))
    return suite.finish()


SOURCE = Source(
    "credsweeper",
    "credentials",
    (
        Repository(
            "credsweeper",
            "Samsung/CredSweeper",
            "1ed2ca5cdd480667b938024464a37589b9af8564",
            "MIT",
            ("/tests/samples/", "/tests/data/"),
        ),
    ),
    build,
)
