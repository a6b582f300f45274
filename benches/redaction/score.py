#!/usr/bin/env python3
"""Scores redacted texts against labelled ones: what leaked, and what was removed needlessly.

Recall looks only at the redacted text. A value has leaked if a contiguous piece of it of max(6, 40 % of its length)
characters, 64 at most, still stands there: as it is, or after undoing JSON, percent, HTML, quoted-printable, hex or
base64 encoding, line wraps, terminal colours and invisible characters. A piece that also stands in the text outside
the labelled ranges, or in another value of the record, does not count. A value of fewer than six characters has
leaked if it still stands there as a word. A value counts once in a record, however often it occurs, so all its
occurrences must go.

Over-redaction needs the ranges that were replaced: the characters outside the labelled ranges that are gone, per
1,000 such characters.

    python3 score.py RECORDS.jsonl PREDICTIONS.jsonl

RECORDS has lines {"id", "text", "spans": [{"start", "end", "value"?, "outer"?: [start, end]}]}, PREDICTIONS
{"id", "text", "spans": [{"start", "end"}]}. Offsets count code points of the original text; `outer` is a wider range
that may be removed with the value. A record without a prediction counts as unredacted.
"""

from __future__ import annotations

import base64
import binascii
import html
import json
import math
import re
import sys
import urllib.parse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Callable

MIN_PIECE = 6
MAX_PIECE = 64
PIECE_SHARE = 0.4
DEPTH = 3
MAX_VIEWS = 64

Json = dict[str, Any]

INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e007f]"
)
TERMINAL_COLOUR = re.compile(r"(?:\x1b|\\x1b|\\u001b|\\033|\\e)\[[0-9;]*[A-Za-z]", re.I)
LINE_WRAP = re.compile(r"(?:\\\r?\n|\r?\n|\\r\\n|\\n)[ \t>|+]*")
JSON_ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|(.))", re.S)
SINGLE_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f"}
SURROGATES = re.compile("[\ud800-\udbff][\udc00-\udfff]")
QUOTED_PRINTABLE = re.compile(r"(?:=[0-9A-Fa-f]{2})+")
HEX_RUN = re.compile(r"(?<![0-9A-Za-z])(?:0x)?((?:[0-9a-fA-F]{2}[ :]?){5,}[0-9a-fA-F]{2})(?![0-9A-Za-z])")
BASE64_RUN = re.compile(r"[A-Za-z0-9+/_-]{8,}={0,2}")


def undo_json(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        code = match.group(1) or match.group(2)
        if code:
            return chr(int(code, 16))
        return SINGLE_ESCAPES.get(match.group(3), match.group(3))

    decoded = JSON_ESCAPE.sub(replace, text)
    return SURROGATES.sub(lambda m: m.group().encode("utf-16", "surrogatepass").decode("utf-16"), decoded)


def undo_quoted_printable(text: str) -> str:
    text = re.sub(r"=[ \t]*\r?\n", "", text)
    return QUOTED_PRINTABLE.sub(lambda m: bytes.fromhex(m.group().replace("=", "")).decode("utf-8", "replace"), text)


def readable(data: bytes) -> str:
    """The decoded bytes if they are text, else nothing."""
    text = data.decode("utf-8", "ignore")
    if len(text) < 4 or sum(c.isprintable() or c in "\r\n\t" for c in text) < 0.9 * len(data):
        return ""
    return text


def undo_hex(text: str) -> str:
    def replace(match: re.Match[str]) -> str:
        digits = re.sub(r"[ :]", "", match.group(1))
        return readable(bytes.fromhex(digits)) or match.group()

    return HEX_RUN.sub(replace, text)


def undo_base64(text: str) -> str:
    """Decodes each run of base64 at all four alignments: redaction may have removed its start."""
    found: list[str] = []
    for match in BASE64_RUN.finditer(text):
        run = match.group().rstrip("=").replace("-", "+").replace("_", "/")
        for offset in range(4):
            part = run[offset:]
            part = part[: len(part) - (len(part) % 4 == 1)]
            try:
                decoded = readable(base64.b64decode(part + "=" * (-len(part) % 4)))
            except (binascii.Error, ValueError):
                continue
            if decoded:
                found.append(decoded)
    return "\n".join(found)


DECODERS: tuple[Callable[[str], str], ...] = (
    lambda text: TERMINAL_COLOUR.sub("", INVISIBLE.sub("", text)),
    lambda text: LINE_WRAP.sub("", text),
    undo_json,
    urllib.parse.unquote,
    html.unescape,
    undo_quoted_printable,
    undo_hex,
    undo_base64,
)


def views(text: str) -> set[str]:
    """The text, and what it reads as after undoing up to three encodings."""
    seen = {text}
    last = {text}
    for _ in range(DEPTH):
        last = {decode(view) for view in last for decode in DECODERS} - seen
        last.discard("")
        if len(seen) + len(last) > MAX_VIEWS:
            last = set(sorted(last, key=len, reverse=True)[: MAX_VIEWS - len(seen)])
        seen |= last
        if not last:
            break
    return seen


def open_parts(text: str, ranges: Iterable[tuple[int, int]]) -> list[str]:
    """The parts of the text outside the ranges."""
    parts = []
    at = 0
    for start, end in sorted(ranges):
        if start > at:
            parts.append(text[at:start])
        at = max(at, end)
    parts.append(text[at:])
    return parts


def decoded(parts: Iterable[str]) -> list[str]:
    return [view for part in parts for view in views(part)]


def stands_as_word(value: str, text: str) -> bool:
    return re.search(r"(?<!\w)" + re.escape(value) + r"(?!\w)", text) is not None


def leaks(value: str, redacted: set[str], harmless: Sequence[str]) -> bool:
    """Whether the value, or a large piece of it that is not harmless, stands in a view of the redacted text."""
    if len(value) < MIN_PIECE:
        return any(stands_as_word(value, view) for view in redacted) and not any(
            stands_as_word(value, part) for part in harmless
        )
    if any(value in view for view in redacted) and not any(value in part for part in harmless):
        return True
    size = min(MAX_PIECE, max(MIN_PIECE, math.ceil(PIECE_SHARE * len(value))))
    for start in range(len(value) - size + 1):
        piece = value[start : start + size]
        if any(piece in view for view in redacted) and not any(piece in part for part in harmless):
            return True
    return False


@dataclass
class Score:
    """Totals over records; `leaked` lists record id and value."""

    planted: int = 0
    leaked: list[tuple[str, str]] = field(default_factory=list)
    harmless: int = 0
    removed: int = 0

    @property
    def recall(self) -> float:
        return 1 - len(self.leaked) / self.planted if self.planted else math.nan

    @property
    def removed_per_1000(self) -> float:
        return 1000 * self.removed / self.harmless if self.harmless else math.nan

    def add(self, other: Score) -> None:
        self.planted += other.planted
        self.leaked += other.leaked
        self.harmless += other.harmless
        self.removed += other.removed


def score_record(record: Json, prediction: Json) -> Score:
    text: str = record["text"]
    labelled = [(span["start"], span["end"]) for span in record["spans"]]
    allowed = bytearray(len(text))
    for span in record["spans"]:
        start, end = span.get("outer") or (span["start"], span["end"])
        allowed[start:end] = b"\1" * (end - start)
    gone = bytearray(len(text))
    for span in prediction["spans"]:
        gone[span["start"] : span["end"]] = b"\1" * (span["end"] - span["start"])
    score = Score(
        harmless=len(text) - sum(allowed),
        removed=sum(1 for removed, free in zip(gone, allowed) if removed and not free),
    )
    values = {span.get("value", text[span["start"] : span["end"]]) for span in record["spans"]}
    if values:
        redacted = views(prediction["text"])
        harmless = open_parts(text, labelled)
        score.planted = len(values)
        for value in sorted(values):
            others = [other for other in values if other != value and value not in other]
            containing = [other.replace(value, "\0") for other in values if other != value and value in other]
            elsewhere = harmless + others + containing
            # Decoding the harmless parts takes long and is rarely needed.
            if leaks(value, redacted, elsewhere) and leaks(value, redacted, decoded(elsewhere)):
                score.leaked.append((record["id"], value))
    return score


def read_lines(path: str) -> Iterator[Json]:
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    predictions = {line["id"]: line for line in read_lines(sys.argv[2])}
    total = Score()
    for record in read_lines(sys.argv[1]):
        total.add(score_record(record, predictions.get(record["id"], {"text": record["text"], "spans": []})))
    print(f"recall {total.recall:.3f} of {total.planted} values")
    print(f"removed needlessly {total.removed_per_1000:.1f} of 1,000 characters ({total.harmless:,} in all)")


if __name__ == "__main__":
    main()
