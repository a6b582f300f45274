"""Labelled records, and the rules by which all sources build them.

A suite collects the records of one source. It labels every occurrence of a value, leaves out texts in which a value
also stands unlabelled, repeated texts, and what exceeds the limit per detector, so that one detector with hundreds of
examples does not outweigh the others.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Range = tuple[int, int]

# How a record was made: the text as the source has it, a value in a context written for this evaluation, the value
# alone, or a text without a sensitive value.
SUITE, CONTEXT, BARE, HARMLESS = "suite", "context", "bare", "harmless"


@dataclass(frozen=True)
class Span:
    """A sensitive value; `outer` is a wider range that may be removed with it."""

    start: int
    end: int
    kind: str
    outer: Range | None = None


@dataclass
class Record:
    id: str
    text: str
    spans: list[Span]
    carrier: str
    detector: str
    doubtful: bool = False

    def to_json(self) -> dict[str, Any]:
        spans = []
        for span in self.spans:
            value = self.text[span.start : span.end]
            line: dict[str, Any] = {"start": span.start, "end": span.end, "kind": span.kind, "value": value}
            if span.outer:
                line["outer"] = list(span.outer)
            spans.append(line)
        return {
            "id": self.id,
            "text": self.text,
            "spans": spans,
            "carrier": self.carrier,
            "detector": self.detector,
            "doubtful": self.doubtful,
        }


def occurrences(value: str, text: str) -> list[Range]:
    """Where the value stands in the text; short values only as words."""
    pattern = re.escape(value)
    if len(value) < 6:
        pattern = r"(?<!\w)" + pattern + r"(?!\w)"
    return [match.span() for match in re.finditer(pattern, text)]


def without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """Spans by position; of overlapping ones the first and longest stays."""
    kept: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.start, s.start - s.end)):
        if not kept or span.start >= kept[-1].end:
            kept.append(span)
    return kept


@dataclass
class Suite:
    """The records of one source."""

    name: str
    limit: int = 12
    harmless_limit: int = 12
    records: list[Record] = field(default_factory=list)
    _texts: set[str] = field(default_factory=set)
    _per_detector: Counter[tuple[str, bool]] = field(default_factory=Counter)
    _harmless: list[tuple[str, str, bool]] = field(default_factory=list)

    def _append(self, text: str, spans: list[Span], carrier: str, detector: str, doubtful: bool, limit: int) -> bool:
        key = (detector, bool(spans))
        if not text.strip() or text in self._texts or self._per_detector[key] >= limit:
            return False
        self._texts.add(text)
        self._per_detector[key] += 1
        name = f"{self.name}-{len(self.records) + 1:04d}"
        self.records.append(Record(name, text, spans, carrier, detector, doubtful))
        return True

    def add(
        self,
        text: str,
        spans: Sequence[Span],
        detector: str,
        carrier: str = SUITE,
        doubtful: bool = False,
        limit: int | None = None,
    ) -> bool:
        """Adds a text with sensitive values; False if it was left out."""
        kept = without_overlaps([span for span in spans if text[span.start : span.end].strip()])
        if not kept:
            return False
        for span in sorted(kept, key=lambda s: s.start - s.end):
            for start, end in occurrences(text[span.start : span.end], text):
                if not any(start < other.end and other.start < end for other in kept):
                    kept.append(Span(start, end, span.kind))
        kept.sort(key=lambda s: s.start)
        if any((s.start, s.end) not in occurrences(text[s.start : s.end], text) for s in kept):
            return False
        at = 0
        between: list[str] = []
        for span in kept:
            between.append(text[at : span.start])
            at = span.end
        between.append(text[at:])
        if any(occurrences(text[s.start : s.end], part) for s in kept for part in between):
            return False
        return self._append(text, kept, carrier, detector, doubtful, self.limit if limit is None else limit)

    def place(
        self, context: str, value: str, kind: str, detector: str, doubtful: bool = False, limit: int | None = None
    ) -> bool:
        """Adds the value in a context that has `{V}` in its place."""
        start = context.index("{V}")
        text = context.replace("{V}", value)
        return self.add(text, [Span(start, start + len(value), kind)], detector, CONTEXT, doubtful, limit)

    def bare(self, value: str, kind: str, detector: str, doubtful: bool = False, limit: int | None = None) -> bool:
        """Adds the value as a text of its own."""
        return self.add(value, [Span(0, len(value), kind)], detector, BARE, doubtful, limit)

    def harmless(self, text: str, detector: str, doubtful: bool = False) -> None:
        """Adds a text from which nothing should be removed, once all values are known."""
        self._harmless.append((text, detector, doubtful))

    def finish(self) -> list[Record]:
        """All records. A harmless text that holds a value of another record is left out."""
        values = {r.text[s.start : s.end] for r in self.records for s in r.spans if s.end - s.start >= 8}
        for text, detector, doubtful in self._harmless:
            if not any(value in text for value in values):
                self._append(text, [], HARMLESS, detector, doubtful, self.harmless_limit)
        self._harmless.clear()
        return self.records
