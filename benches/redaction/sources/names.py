"""Names of persons.

From: tests.py of nameparser (LGPL-2.1+; only the names are used), and the labelled names of probablepeople (MIT),
which come from public records.

Labelled: the name without titles, degrees and suffixes, which may be removed with it. Single names stand only in
fields for them. Not labelled: names of companies, and texts with words that are also names; these are harmless.
Doubtful: variants of John Doe, and names in lower case.
"""

from __future__ import annotations

import random
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from contexts import CONTEXTS, Contexts
from records import BARE, CONTEXT, Record, Span, Suite
from source import Repository, Source

TITLES = (
    r"(?:Dr\.?|dr\.|Mr\.?|MR\.?|Mrs\.?|MRS\.?|Ms\.?|MS\.?|Miss|Rev\.?|Sir|Lt\. ?Gen\.?|Lt\.? ?Gov\.?|Lt\.?|Prof\.?"
    r"|Mag-Judge|US Magistrate(?: |-)Judge|The Rt Hon|Rt\. Hon\.|The Right Hon\.|The Honorable|Honorable|HONORABLE"
    r"|Hon\.?|Assoc|Sgt\.?|Maj\.?|Col\.?|Capt\.?|Gen\.?|Pres\.?|Sen\.?|Gov\.?|Magistrate|Mag\.?|Judge|Justice|Chief"
    r"|Senior|Circuit|District|Bankruptcy|U\.S\.|US|United States)"
)
TITLE = re.compile(rf"^(?:{TITLES}\s+)+")
SUFFIX = re.compile(
    r",?\s+(?:[Jj][Rr]\.?,?|[Ss][Rr]\.?|II|III|IV|VI?|I|v|MD|M\.D\.|PhD|phd|Ph\. ?D\.|CLU, CFP(?:, LUTC)?|CFP, LUTC|CFP"
    r"|LUTC|Q\.?C\.?|M\.?P\.?|Msc\.Ed\.|D\.D\.S\.|E[Ss][Qq]\.?|MBA|RN|CPA|DDS|DVM)$"
)
# Test cases that are no plausible names: placeholders, titles only, offices.
NOT_A_NAME = re.compile(
    r"[{}\u222b]|part1|^[Tt]he |^and |Title First|\bTest\b|Queen|King|Secretary"
    r"|President|Lord|Google|Majesty|Excellency"
    r"|Cardinal|Dean|Coach|Dentist|Unknown|Doctor|Maid|Solo|[^\x00-\u024f]| and | & "
)
PARTS_OF_NAMES = {
    "GivenName",
    "Surname",
    "MiddleName",
    "MiddleInitial",
    "FirstInitial",
    "LastInitial",
    "PrefixMarital",
    "PrefixOther",
    "SuffixGenerational",
    "SuffixOther",
    "Nickname",
}
FIELDS = (
    '{"{K}": "{V}"}',
    "{K}={V}",
    "| {K} | {V} |",
    "  {K}: {V}",
    "UPDATE person SET {K} = '{V}' WHERE id = 3;",
    "<{K}>{V}</{K}>",
)
FIRST_NAME_KEYS = ("first_name", "given_name", "fname")
LAST_NAME_KEYS = ("last_name", "surname", "lname")
COMPANY_CONTEXTS = (
    "Supplier: {V}",
    '{"vendor":"{V}","terms":"net 30"}',
    "Invoice from {V} is overdue.",
    "{V}",
    "The contract with {V} ends in June.",
    "company;{V};active",
    "SELECT * FROM vendors WHERE name = '{V}';",
)
HARMLESS = (
    "My name is on the list twice.",
    "First name and last name are required.",
    "Name: <full name>",
    '{"first_name": null, "last_name": null}',
    "Hello {{first_name}}, welcome back!",
    "Dear customer, your parcel is ready.",
    "name,email,phone",
    "Author: <unknown>",
    "The Virginia office opens in June.",
    "She paid in cash and left a mark on the table.",
    "May is the busiest month for us.",
    "grant select on table orders to reporting;",
    "The bill was rejected by the art department.",
    "Will you rob the drawer of its pens? asked the puppet.",
    "Use the Pearson correlation and a Gaussian kernel.",
    "Dijkstra finds the shortest path; Bellman-Ford also handles negative weights.",
    "Run Jenkins, then Grafana.",
    "Lorem ipsum dolor sit amet",
    "The Markov chain converges, by the Bayes rule",
    "A Turing machine and a Boolean value",
)

Row = tuple[list[str], str]


def core(name: str) -> str:
    """The name without titles and suffixes."""
    name = TITLE.sub("", name)
    for _ in range(4):
        name = SUFFIX.sub("", name)
    return name.strip(" ,")


def add_name(suite: Suite, contexts: Contexts, full: str, name: str, detector: str, doubtful: bool, limit: int) -> bool:
    """Adds a name with its titles in a context; every twelfth stands alone."""
    count = sum(r.detector == detector for r in suite.records)
    context = "{V}" if count % 12 == 11 else contexts.turn("person", CONTEXTS["person"], full)
    start = context.index("{V}")
    at = start + full.index(name)
    outer = (start, start + len(full)) if name != full else None
    span = Span(at, at + len(name), "person", outer)
    carrier = BARE if context == "{V}" else CONTEXT
    return suite.add(context.replace("{V}", full), [span], detector, carrier, doubtful, limit)


def add_nameparser(suite: Suite, contexts: Contexts, source: str) -> None:
    names = re.findall(r'HumanName\("([^"\\]*)"', source)
    start = source.index("TEST_NAMES = (")
    names += re.findall(r'"([^"\\]+)"', source[start : source.index("\n)", start)])
    families: Counter[str] = Counter()
    chosen = []
    for full in dict.fromkeys(name.strip() for name in names):
        name = core(full)
        if NOT_A_NAME.search(full) or len(name) < 5 or " " not in name or name.count("(") != name.count(")"):
            continue
        # Many cases are variants of the same few names.
        family = next((f for f in ("Doe", "Velasq", "Vega", "wessels") if f in name), name)
        if families[family] < (5 if family != name else 1) and name in full:
            families[family] += 1
            chosen.append((full, name, family == "Doe" or not name[0].isupper()))
    random.Random(8).shuffle(chosen)
    for full, name, doubtful in chosen:
        add_name(suite, contexts, full, name, "nameparser", doubtful, 130)


def rows(path: Path) -> list[Row]:
    found = [
        ([part.tag for part in element], re.sub(r"\s+", " ", "".join(element.itertext())).strip())
        for element in ElementTree.parse(path).getroot()
    ]
    random.Random(path.name).shuffle(found)
    return found


def add_people(suite: Suite, contexts: Contexts, people: list[Row], limit: int, single: int) -> None:
    rng = random.Random(limit)
    for tags, text in people:
        if not set(tags) <= PARTS_OF_NAMES:
            continue
        if len(tags) == 1:
            if len(text) >= 5 and text.isalpha():
                keys = LAST_NAME_KEYS if "Surname" in tags else FIRST_NAME_KEYS
                context = contexts.turn("field of a name", FIELDS).replace("{K}", rng.choice(keys))
                suite.place(context, text, "person", "probablepeople-single", limit=single)
            continue
        name = core(text)
        if limit and len(name.split()) >= 2 and len(name) >= 7 and name in text:
            limit -= add_name(suite, contexts, text, name, "probablepeople", False, 300)


def words_of_names(directory: Path) -> set[str]:
    """First and last names in the labelled names of probablepeople, in upper case."""
    words: set[str] = set()
    for path in (directory / "probablepeople").rglob("*.xml"):
        for element in ElementTree.parse(path).getroot().iter():
            if element.tag in ("GivenName", "Surname") and element.text:
                words.add(element.text.strip(" ,.").upper())
    return words


def add_companies(suite: Suite, contexts: Contexts, companies: list[Row], names: set[str]) -> None:
    count = 0
    for tags, text in companies:
        company = len(tags) >= 2 and all(tag.startswith("Corporation") for tag in tags)
        if not company or len(text) < 6 or re.search(r"[\"']", text) or count == 40:
            continue
        if not any(word.strip(".,").upper() in names for word in text.split()):
            count += 1
            suite.harmless(contexts.turn("company", COMPANY_CONTEXTS).replace("{V}", text), "companies")


def build(directory: Path) -> list[Record]:
    suite = Suite("names", harmless_limit=40)
    contexts = Contexts()
    labelled = directory / "probablepeople/name_data/labeled"
    add_nameparser(suite, contexts, (directory / "nameparser/tests.py").read_text(encoding="utf-8"))
    add_people(suite, contexts, rows(directory / "probablepeople/tests/test_data_labeled.xml"), 45, 0)
    add_people(suite, contexts, rows(labelled / "person_labeled.xml"), 130, 40)
    add_companies(suite, contexts, rows(labelled / "company_labeled.xml"), words_of_names(directory))
    for text in HARMLESS:
        suite.harmless(text, "words that are also names")
    return suite.finish()


PROBABLEPEOPLE = Repository(
    "probablepeople",
    "datamade/probablepeople",
    "f1ef5dd1c84d9267f14e8a57d558f7f755354bf5",
    "MIT",
    ("/name_data/labeled/*.xml", "/tests/test_data_labeled.xml"),
)
SOURCE = Source(
    "names",
    "personal",
    (
        Repository(
            "nameparser",
            "derek73/python-nameparser",
            "759a1316f2fda4395714f36d777fd014dcdd51b0",
            "LGPL-2.1-or-later",
            ("/tests.py",),
        ),
        PROBABLEPEOPLE,
    ),
    build,
)
