"""Texts in the style of agents' traces, written for this evaluation by someone who had not read the detectors.

From: `agents.jsonl.gz` beside this script; nothing is fetched. 2,587 texts with 2,718 values of documents, accounts, persons,
addresses and credentials in 41 languages, and 1,316 harmless ones that look alike. Values are generated, with valid check
digits where these are public; no value belongs to a person or an account.

Two sources: half A may be read and used for corrections. Half B has other templates and other kinds of documents, and is
never read: print its figures only, without `--leaks`.
"""

from __future__ import annotations

import gzip
import json
from functools import partial
from pathlib import Path

from records import HARMLESS, SUITE, Record, Span, occurrences, without_overlaps
from source import Source

TEXTS = Path(__file__).resolve().parents[1] / "agents.jsonl.gz"


def build(half: str, _: Path) -> list[Record]:
    records = []
    with gzip.open(TEXTS, "rt", encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["half"] == half:
                text = entry["text"]
                found = [Span(start, end, kind) for kind, value in entry["values"] for start, end in occurrences(value, text)]
                carrier = SUITE if found else HARMLESS
                records.append(Record(entry["id"], text, without_overlaps(found), carrier, entry["family"]))
    return records


SOURCES = tuple(Source(f"agents-{half.lower()}", "agents", (), partial(build, half)) for half in "AB")
