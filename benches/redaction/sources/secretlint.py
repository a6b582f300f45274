"""Credentials from the snapshots of secretlint.

From: the expected reports (output.json) of the rules of secretlint (MIT), which hold the text and its findings.

Labelled: the value that a message names, else its range. Not labelled: account and tenant ids. Texts that are
expected to be left alone are harmless; those that an option allows are left out.
"""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

from credentials import add_bare, add_findings, add_harmless
from records import Range, Record, Suite
from source import Repository, Source

SKIPPED = {
    "example",
    "internal-test-cjs",
    "internal-test-esm",
    "filter-comments",
    "no-homedir",
    "no-dotenv",
    "pattern",
    "preset-canary",
}
KEY_BLOCK = re.compile(r"-----BEGIN[\s\S]+PRIVATE KEY[A-Z ]*-----")
AZURE_ID = re.compile(r"(?i)tenant|client.?id|subscription")

Finding = tuple[str, Range]


def finding(rule: str, message: dict[str, Any], text: str) -> Finding | None:
    """Rule and range of the secret of a message; None for an id."""
    start, end = message["range"]
    found = text[start:end]
    kind = message.get("messageId", "")
    if rule == "aws" and "AccountID" in kind:
        return None
    if rule == "azure" and AZURE_ID.search(kind + found[:30]) and "secret" not in found.lower()[:30]:
        return None
    if rule == "preset-recommend":
        rule = (message.get("ruleId") or "").split("rule-")[-1]
    block = KEY_BLOCK.search(found)
    if block:
        return rule, (start + block.start(), start + block.end())
    if "PRIVATE KEY" not in found:
        for value in (message.get("data") or {}).values():
            if isinstance(value, str) and 6 <= len(value) < len(found) and value in found:
                at = start + found.index(value)
                return rule, (at, at + len(value))
    return rule, (start, end)


def add_by_line(suite: Suite, text: str, found: list[Finding], rng: random.Random) -> None:
    """One record for each line with findings: a long file repeats one value in many forms."""
    by_line: dict[int, list[Finding]] = {}
    for rule, (start, end) in found:
        by_line.setdefault(text.rfind("\n", 0, start) + 1, []).append((rule, (start, end)))
    for first, near in by_line.items():
        end = text.find("\n", max(r[1] for _, r in near) - 1)
        line = text[first : end if end >= 0 else len(text)]
        ranges = [(r[0] - first, r[1] - first) for _, r in near]
        if len(ranges) == 1 and line.strip() == line[ranges[0][0] : ranges[0][1]]:
            add_bare(suite, line.strip(), near[0][0], rng, 1)
        else:
            add_findings(suite, line, ranges, near[0][0])


def build(directory: Path) -> list[Record]:
    suite = Suite("secretlint", limit=12, harmless_limit=8)
    rng = random.Random(2)
    packages = directory / "secretlint/packages/@secretlint"
    for path in sorted(packages.glob("secretlint-rule-*/**/snapshots/*/output*.json")):
        match = re.search(r"secretlint-rule-([\w-]+)/", path.as_posix())
        if match is None or match.group(1) in SKIPPED or "node_modules" in path.parts:
            continue
        rule, case = match.group(1), path.parent.name
        try:
            report = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            continue
        text = report.get("sourceContent") or ""
        if report.get("sourceContentType") != "text" or not text or "\0" in text:
            continue
        messages = [m for m in report["messages"] if m.get("type") == "message"]
        if case.startswith("ok") or not messages:
            if not (case.startswith("options") or "disable" in case or "allow" in case):
                for part in [text] if len(text) < 900 else re.split(r"\n\s*\n", text):
                    add_harmless(suite, part, rule)
            continue
        found = [f for f in (finding(rule, m, text) for m in messages) if f]
        if not found:
            add_harmless(suite, text, rule, doubtful=True)
        elif text.count("\n") > 3 and len(found) > 2 and "PRIVATE KEY" not in text:
            add_by_line(suite, text, found, rng)
        else:
            add_findings(suite, text, [r for _, r in found], found[0][0])
    return suite.finish()


SOURCE = Source(
    "secretlint",
    "credentials",
    (
        Repository(
            "secretlint",
            "secretlint/secretlint",
            "18346ba31b8173d52060b971221ab38c1943def0",
            "MIT",
            ("/packages/@secretlint/secretlint-rule-*/**/snapshots/*/output*.json",),
        ),
    ),
    build,
)
