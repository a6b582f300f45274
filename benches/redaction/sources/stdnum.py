"""Identity numbers from python-stdnum.

From: the docstrings and doctests of python-stdnum (LGPL-2.1+); only the numbers are used, those that its modules,
from PyPI, accept.

Labelled: numbers of persons (national ids, tax and social security numbers, health insurance, accounts), in sentences
of their country's language, in English and in fields. Not labelled: numbers of companies, products and banks, which
are harmless. Numbers that persons and companies share are doubtful.
"""

from __future__ import annotations

import importlib
import random
import re
from collections import Counter
from pathlib import Path
from typing import Any, Callable

from contexts import Contexts
from languages import NUMBER
from number_names import COMPANY, Number, personal_numbers
from records import Record, Suite
from source import Repository, Source

COMPANY_CONTEXTS = (
    "{L}: {V}",
    "Please print the {L} {V} on the invoice of the supplier.",
    '{"company":{"register":"{L}","value":"{V}"}}',
    "The {L} of the firm is {V}.",
    "Catalogue entry, {L} {V}, in stock.",
    "vendor_no;{L}\n12;{V}",
    "Company register lookup: {L} {V} -> active",
    "Product page footer: {L} {V}",
)
# Which of the numbers of a module are those of persons.
PERSONAL: dict[str, Callable[[str], Any]] = {
    "ar.cuit": lambda n: re.match(r"2[0347]", n),
    "ve.rif": lambda n: n[0] in "VEve",
    "ke.pin": lambda n: n[0] == "A",
    "lv.pvn": lambda n: not re.search(r"4000|^LV", n),
    "mx.rfc": lambda n: re.match(r"[A-Z]{4}", n),
    "ru.inn": lambda n: len(n) == 12,
    "is_.kennitala": lambda n: n[0] in "0123",
    "sv.nit": lambda n: not n.startswith("SV"),
}
CALL = re.compile(r"""(?:validate|is_valid|format|compact|to_\w+|get_\w+|split)\((['"])(.+?)\1""")
ANY_CALL = re.compile(r"""\((['"])(.+?)\1\)""")
SENTENCE, FIELD, BARE = "S", "F", "B"


def read_if_exists(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def numbers_of(root: Path, module: str, rng: random.Random) -> list[str]:
    """Valid numbers from the docstring and the doctest of a module, some of them also in their written form."""
    try:
        checker = importlib.import_module("stdnum." + module)
    except ImportError:
        return []

    def valid(number: str) -> bool:
        try:
            return bool(checker.is_valid(number))
        except Exception:  # noqa: BLE001 - a few modules raise on unusual input
            return False

    source = read_if_exists(root / "stdnum" / (module.replace(".", "/") + ".py"))
    parts = source.split('"""')
    docstring = parts[1] if len(parts) > 1 else ""
    name = module.replace(".", "_").replace("in__", "in_").replace("is__", "is_")
    doctest = read_if_exists(root / "tests" / f"test_{name}.doctest")
    candidates = [value for _, value in CALL.findall(docstring)]
    candidates += re.findall(r"^'([^'\n]+)'$", docstring, re.M)
    candidates += [value for _, value in ANY_CALL.findall(doctest)]
    listed = [
        re.sub(r"^\.\.\. ?", "", line).strip()
        for block in re.findall(r"'''(.*?)'''", doctest, re.S)
        for line in block.split("\n")
    ]
    rng.shuffle(listed)
    found: list[str] = []
    for candidate in candidates + listed[:12]:
        candidate = candidate.strip()
        if 5 <= len(candidate) <= 40 and candidate not in found and valid(candidate):
            found.append(candidate)
    for number in found[:3]:
        for function in ("format", "compact"):
            try:
                written = getattr(checker, function)(number)
            except Exception:  # noqa: BLE001 - as above
                continue
            if isinstance(written, str) and written not in found and valid(written):
                found.append(written)
    return [number for number in found if not re.fullmatch(r"[0\-. ]+", number)]


def add_number(suite: Suite, contexts: Contexts, number: Number, values: list[str], order: str) -> None:
    used: Counter[str] = Counter()
    sentences = 0
    for turn, form in enumerate(order):
        value = values[turn % len(values)]
        if used[value] == 3:
            break
        used[value] += 1
        if form == BARE:
            suite.bare(value, number.kind, number.module, number.doubtful)
            continue
        if form == FIELD:
            context = contexts.field(number.keys[turn % 2], value)
        elif sentences % 3 == 2:
            context = contexts.turn("en", NUMBER["en"]).replace("{L}", number.english_name)
            sentences += 1
        else:
            context = contexts.turn(number.language, NUMBER[number.language])
            context = context.replace("{L}", number.local_names[sentences % 2])
            sentences += 1
        suite.place(context, value, number.kind, number.module, number.doubtful)


def build(directory: Path) -> list[Record]:
    root = directory / "python-stdnum"
    suite = Suite("stdnum", limit=6, harmless_limit=2)
    contexts = Contexts()
    rng = random.Random(3)
    for index, number in enumerate(personal_numbers()):
        values = numbers_of(root, number.module, rng)
        values = [value for value in values if PERSONAL.get(number.module, bool)(value)]
        if values:
            add_number(suite, contexts, number, values, "SFSBSF" if index % 2 else "SFSBSB")
    for module, name in COMPANY.items():
        for value in numbers_of(root, module, rng)[:2]:
            context = contexts.turn("company", COMPANY_CONTEXTS)
            suite.harmless(context.replace("{L}", name).replace("{V}", value), "company:" + module)
    return suite.finish()


SOURCE = Source(
    "stdnum",
    "personal",
    (
        Repository(
            "python-stdnum",
            "arthurdejong/python-stdnum",
            "006192e59be8ed6e08fd680256868a6c31eb2ba9",
            "LGPL-2.1-or-later",
            ("/stdnum/", "/tests/"),
        ),
    ),
    build,
)
