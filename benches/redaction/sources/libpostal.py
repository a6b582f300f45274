"""Postal addresses of many countries.

From: test/test_parser.c of libpostal (MIT). Many are addresses of businesses.

Labelled: whole addresses with house number and street, box, or postal code and street. The name of a venue before or
after the address is not part of the value but may be removed with it. Not labelled: bare cities and countries
(harmless, but doubtful). Addresses without a house number are doubtful.
"""

from __future__ import annotations

import re
from pathlib import Path

from contexts import Contexts
from languages import ADDRESS, LANGUAGE_OF_COUNTRY
from records import Record, Span, Suite
from source import Repository, Source

CALL = re.compile(r"test_parse_result_equals\((.*?)\n\s*\)\);", re.S)
TEXT = re.compile(r'\s*((?:"(?:[^"\\]|\\.)*"\s*)+)')
STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
COMPONENT = re.compile(r'labeled_component_t\)\{"(\w+)", "((?:[^"\\]|\\.)*)"')


def normal(text: str) -> str:
    return re.sub(r"[\W_]+", "", text.lower())


def without_venue(text: str, components: list[tuple[str, str]]) -> str | None:
    """The address without the name of the venue at its start or end; None if it stands elsewhere."""
    names = [name for name, _ in components]
    if "house" not in (names[:1] + names[-1:]):
        return text
    venue = normal(dict(components)["house"])
    if names[0] == "house":
        for end in range(1, len(text) + 1):
            if normal(text[:end]) == venue:
                return text[end:].lstrip(" ,.-\n）)")
    else:
        for start in range(len(text) - 1, -1, -1):
            if normal(text[start:]) == venue:
                return text[:start].rstrip(" ,-\n(")
    return None


def build(directory: Path) -> list[Record]:
    source = (directory / "libpostal/test/test_parser.c").read_text(encoding="utf-8")
    suite = Suite("libpostal", limit=30)
    contexts = Contexts()
    parts = re.split(r"\nTEST (\w+)\(", source)
    count = 0
    for name, body in zip(parts[1::2], parts[2::2]):
        country = re.match(r"test_(\w\w)_parses", name)
        detector = country.group(1) if country else name
        language = LANGUAGE_OF_COUNTRY.get(detector.upper(), "")
        for call in CALL.findall(body):
            call = re.sub(r"^\s*//.*$", "", call, flags=re.M)
            match = TEXT.match(call)
            if match is None:
                continue
            text = "".join(STRING.findall(match.group(1))).replace("\\n", "\n").replace('\\"', '"').strip()
            components = COMPONENT.findall(call)
            names = {name for name, _ in components}
            if not (
                "house_number" in names
                and ("road" in names or len(names) >= 3)
                or "po_box" in names
                or {"postcode", "road"} <= names
            ):
                if names and not names & {"road", "house", "house_number", "po_box", "postcode", "unit"}:
                    suite.harmless(text, "place", doubtful=True)
                continue
            address = without_venue(text, components)
            if not address or len(address) < 6:
                continue
            doubtful = not names & {"house_number", "po_box"}
            limit = 40 if detector == "us" else 30
            count += 1
            if address != text:
                start = text.index(address)
                span = Span(start, start + len(address), "address", (0, len(text)))
                suite.add(text, [span], detector, doubtful=doubtful, limit=limit)
            elif language in ADDRESS and count % 2:
                suite.place(contexts.turn(language, ADDRESS[language]), address, "address", detector, doubtful, limit)
            elif count % 9 == 8:
                suite.bare(address, "address", detector, doubtful, limit)
            else:
                suite.place(contexts.pick("address", address), address, "address", detector, doubtful, limit)
    return suite.finish()


SOURCE = Source(
    "libpostal",
    "personal",
    (
        Repository(
            "libpostal",
            "openvenues/libpostal",
            "4c030d8ff2fcf59c26510f68823c28a2346034d4",
            "MIT",
            ("/test/test_parser.c", "/README.md"),
        ),
    ),
    build,
)
