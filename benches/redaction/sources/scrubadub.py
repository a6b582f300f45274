"""Personal data from the tests of scrubadub.

From: tests/test_detector_*.py of scrubadub (Apache-2.0). A test's docstring has a text BEFORE and AFTER it is cleaned.

Labelled: what {{EMAIL}}, {{PHONE}} and other placeholders stand for; the phone numbers that its tests check, in
contexts. Not labelled: URLs and user names, and texts that stay as they are, which are harmless. Left out: Skype and
Twitter names. Doubtful: British tax references, and texts that only give examples of a number.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from contexts import Contexts
from records import Record, Span, Suite
from source import Repository, Source

KINDS = {
    "EMAIL": "email",
    "PHONE": "phone",
    "CREDIT_CARD": "credit_card",
    "DATE_OF_BIRTH": "date_of_birth",
    "PASSWORD": "password",
    "SOCIAL_SECURITY_NUMBER": "ssn",
    "NATIONAL_INSURANCE_NUMBER": "national_id",
    "TAX_REFERENCE_NUMBER": "national_id",
    "DRIVERS_LICENCE": "drivers_license",
    "NAME": "person",
}
NOT_PERSONAL = {"URL", "USERNAME"}
DOCSTRING = re.compile(r"BEFORE:(.*?)\n\s*AFTER:(.*?)(?=\n\s*(?:\"\"\"|$)|\Z)", re.S)
PLACEHOLDER = re.compile(r"\{\{([A-Z_]+)(?:-\d+)?\}\}")
EXAMPLE = re.compile(r"\blike\b|For example|TRN| at ")


def pairs(path: Path) -> Iterator[tuple[str, str]]:
    """Texts before and after cleaning, in the docstrings of the tests."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        docstring = ast.get_docstring(node, clean=False) if isinstance(node, ast.FunctionDef) else None
        match = DOCSTRING.search(docstring) if docstring else None
        if match:
            yield match.group(1).strip(), match.group(2).strip()


def spans_of(before: str, after: str) -> list[Span] | None:
    """What the placeholders stand for; None if the texts do not fit or have other placeholders."""
    names = PLACEHOLDER.findall(after)
    if not set(names) <= set(KINDS) | NOT_PERSONAL:
        return None
    pattern = "(.+?)".join(re.escape(part) for part in re.split(r"\{\{[^{}]*\}\}", after))
    match = re.fullmatch(pattern, before, re.S)
    if match is None:
        return None
    spans = []
    for number, name in enumerate(names, 1):
        start, end = match.span(number)
        if name == "DATE_OF_BIRTH":
            # scrubadub finds only the year of some dates.
            while start and before[start - 1] in "0123456789./-":
                start -= 1
            if before.startswith("on ", start):
                start += len("on ")
        if name in KINDS:
            spans.append(Span(start, end, KINDS[name]))
    return spans


def phone_numbers(path: Path) -> list[str]:
    numbers = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "check_phone_numbers":
            numbers += [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
    return list(dict.fromkeys(numbers))


def build(directory: Path) -> list[Record]:
    suite = Suite("scrubadub", limit=16, harmless_limit=20)
    contexts = Contexts()
    for path in sorted((directory / "scrubadub/tests").glob("test_detector_*.py")):
        detector = path.stem[len("test_detector_") :]
        for before, after in pairs(path):
            spans = spans_of(before, after)
            if spans:
                doubtful = detector == "en_GB_trn" or EXAMPLE.search(before) is not None
                suite.add(before, spans, detector, doubtful=doubtful)
            elif spans == [] and not after.startswith("{{USERNAME}}"):
                suite.harmless(before, detector)
        if detector == "phone_numbers":
            for number in phone_numbers(path):
                suite.place(contexts.pick("phone", number), number, "phone", detector)
    return suite.finish()


SOURCE = Source(
    "scrubadub",
    "personal",
    (
        Repository(
            "scrubadub",
            "LeapBeyond/scrubadub",
            "53772cbef417da290d25c95373031f786ab3b5c6",
            "Apache-2.0",
            ("/tests/test_detector_*.py",),
        ),
    ),
    build,
)
