#!/usr/bin/env python3
"""Measures `failsift redact` on texts from the test suites of other tools.

    python3 benches/redaction/evaluate.py --failsift target/debug/failsift

Fetches the suites at fixed commits into the directory of sources, makes a virtual environment there with the packages
of requirements.txt, builds labelled records, redacts them and prints a table. README.md describes sources and figures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from score import Score, score_record

if TYPE_CHECKING:
    from records import Record
    from source import Source

HERE = Path(__file__).resolve().parent
DEFAULT_SOURCES = HERE.parents[1] / "target" / "redaction-sources"
# Keeps failsift from creating a key in the user's home.
ENVIRONMENT = {"FAILSIFT_REDACTION_KEY": "key of the evaluation of redaction"}
# "all" and "(all)": with the doubtful records.
HEADS = (
    ("", "", "", "", "values", "recall", "harmless", "removed", "harmless", "removed", "beside"),
    ("source", "records", "values", "recall", "(all)", "(all)", "chars", "/1,000", "(all)", "(all)", "values"),
)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--failsift", metavar="PATH", required=True, help="the program to measure")
    parser.add_argument(
        "--sources",
        metavar="DIR",
        type=Path,
        default=DEFAULT_SOURCES,
        help="directory of the checkouts; what is there already is used as it is [default: target/redaction-sources]",
    )
    parser.add_argument("--only", metavar="NAME,...", help="sources or groups (credentials, personal, agents) [default: all]")
    parser.add_argument("--level", metavar="LEVEL", help="passed on as --redaction-level")
    parser.add_argument("--leaks", metavar="N", type=int, default=0, help="print N leaked values of each source")
    parser.add_argument("--save", metavar="DIR", type=Path, help="write records and redacted texts there")
    return parser.parse_args()


def enter_environment(directory: Path) -> None:
    """Continues in a virtual environment with the packages that the sources need."""
    home = directory / "venv"
    if Path(sys.prefix).resolve() == home.resolve():
        return
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    ready = home / "ready"
    if not ready.exists():
        print("installing packages", file=sys.stderr)
        venv.create(home, with_pip=True, clear=True)
        install = (str(python), "-m", "pip", "install", "--quiet", "-r", str(HERE / "requirements.txt"))
        subprocess.run(install, check=True)
        ready.touch()
    command = (str(python), str(HERE / "evaluate.py"), *sys.argv[1:])
    # The generator of strings chooses from sets: without a fixed seed of hashes, its values would differ in each run.
    sys.exit(subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "0"}, check=False).returncode)


def chosen_sources(only: str | None) -> list[Source]:
    from sources import SOURCES

    if only is None:
        return list(SOURCES.values())
    wanted = {name.strip() for name in only.split(",")}
    known = set(SOURCES) | {source.group for source in SOURCES.values()}
    if wanted - known:
        sys.exit(f"unknown source: {', '.join(sorted(wanted - known))}\n  hint: one of {', '.join(sorted(known))}")
    return [source for source in SOURCES.values() if {source.name, source.group} & wanted]


def redact(program: str, level: str | None, lines: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The redacted texts and replaced ranges, by the id of the record."""
    command = [program, "redact", "--format", "jsonl"]
    if level:
        command += ["--redaction-level", level]
    texts = "".join(json.dumps({"id": line["id"], "text": line["text"]}, ensure_ascii=False) + "\n" for line in lines)
    result = subprocess.run(
        command,
        input=texts.encode("utf-8", "surrogatepass"),
        stdout=subprocess.PIPE,
        env={**os.environ, **ENVIRONMENT},
        check=False,
    )
    if result.returncode:
        sys.exit(f"{program} redact failed with exit code {result.returncode}")
    # Only line feeds end a line: a text may hold other separators.
    redacted = [json.loads(line) for line in result.stdout.decode("utf-8").split("\n") if line]
    return {line["id"]: line for line in redacted}


class Result:
    """The scores of one source, or of several."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.records = 0
        # Each without doubtful records, and with them.
        self.values = (Score(), Score())
        self.harmless = (Score(), Score())

    def add_record(self, record: Record, score: Score) -> None:
        self.records += 1
        totals = self.values if record.spans else self.harmless
        totals[1].add(score)
        if not record.doubtful:
            totals[0].add(score)

    def add(self, other: Result) -> None:
        self.records += other.records
        for own, more in zip(self.values + self.harmless, other.values + other.harmless):
            own.add(more)

    def row(self) -> list[str]:
        (values, all_values), (harmless, all_harmless) = self.values, self.harmless
        return [
            self.name,
            f"{self.records:,}",
            f"{values.planted:,}",
            number(values.recall, 3),
            f"{all_values.planted:,}",
            number(all_values.recall, 3),
            f"{harmless.harmless:,}",
            number(harmless.removed_per_1000, 1),
            f"{all_harmless.harmless:,}",
            number(all_harmless.removed_per_1000, 1),
            number(values.removed_per_1000, 1),
        ]


def number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"


def write_lines(path: Path, lines: Sequence[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_bytes(text.encode("utf-8", "surrogatepass"))


def evaluate(source: Source, options: argparse.Namespace) -> Result:
    records = source.build(options.sources)
    lines = [record.to_json() for record in records]
    redacted = redact(options.failsift, options.level, lines)
    if options.save:
        write_lines(options.save / f"{source.name}.records.jsonl", lines)
        write_lines(options.save / f"{source.name}.redacted.jsonl", list(redacted.values()))
    result = Result(source.name)
    leaks: list[str] = []
    for record, line in zip(records, lines):
        score = score_record(line, redacted[record.id])
        result.add_record(record, score)
        leaks += [f"  {name} {record.detector}: {value!r} in {record.text!r}" for name, value in score.leaked]
    for leak in leaks[: options.leaks]:
        print(leak)
    return result


def print_table(results: Sequence[Result]) -> None:
    rows = [result.row() for result in results]
    widths = [max(len(row[n]) for row in [*HEADS, *rows]) for n in range(len(HEADS[0]))]
    for row in [*HEADS, *rows]:
        cells = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  ".join(cells))


def main() -> None:
    options = parse_arguments()
    if shutil.which(options.failsift) is None:
        sys.exit(f"cannot run {options.failsift}: not found or not executable\n  hint: build it with `cargo build`")
    options.sources = options.sources.resolve()
    options.sources.mkdir(parents=True, exist_ok=True)
    enter_environment(options.sources)
    sources = chosen_sources(options.only)
    for repository in {r.name: r for source in sources for r in source.repositories}.values():
        repository.fetch(options.sources)
    results = [evaluate(source, options) for source in sources]
    for group in ("credentials", "personal"):
        members = [r for r, source in zip(results, sources) if source.group == group]
        if len(members) > 1:
            total = Result(f"all {group}")
            for member in members:
                total.add(member)
            results.append(total)
    print_table(results)


if __name__ == "__main__":
    main()
