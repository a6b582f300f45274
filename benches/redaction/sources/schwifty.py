"""IBANs of all countries.

From: the valid IBANs in tests/test_iban.py of schwifty (MIT), and random ones from its registry (PyPI), with fixed
seeds.

Labelled: every IBAN, compact or in groups of four, alone or in a context. Those of French overseas territories, which
are not registered, are doubtful. Not labelled: texts about IBANs and bank codes, written for this evaluation.
"""

from __future__ import annotations

import importlib
import json
import random
import re
from collections import Counter
from pathlib import Path

from contexts import Contexts
from languages import ACCOUNT
from records import Record, Suite
from source import Repository, Source

NOT_REGISTERED = set("GF GP MQ RE PF TF YT NC BL MF PM WF".split())
HARMLESS = (
    "IBAN checksum must be computed modulo 97.",
    "Unknown country-code in IBAN",
    "Validate the structure of the BBAN before you generate a number from bank code and account code.",
    "IBAN: DEXX XXXX XXXX XXXX XXXX XX",
    'iban = "<your-iban>"',
    "Format: GBkk BBBB SSSS SSCC CCCC CC",
    "BIC: DEUTDEFF",
    '{"bank":{"bic":"MARKDEFFXXX"}}',
    "The bank code (SWIFT) is PBNKDEFFXXX.",
    "swift_code=DEUTDEFF",
)


def build(directory: Path) -> list[Record]:
    library = importlib.import_module("schwifty")
    suite = Suite("schwifty", limit=4)
    contexts = Contexts()
    local: Counter[str] = Counter()

    def add(value: str, index: int) -> None:
        country = value[:2]
        doubtful = country in NOT_REGISTERED
        if local[country] < len(ACCOUNT.get(country, ())):
            suite.place(ACCOUNT[country][local[country]], value, "iban", country, doubtful)
        elif index % 4 == 3:
            suite.bare(value, "iban", country, doubtful)
        else:
            suite.place(contexts.pick("iban", value), value, "iban", country, doubtful)
        local[country] += 1

    tests = (directory / "schwifty/tests/test_iban.py").read_text(encoding="utf-8")
    start = tests.index("valid = [")
    for index, value in enumerate(re.findall(r'"([A-Z]{2}\d\d[^"]+)"', tests[start : tests.index("]", start)])):
        try:
            library.IBAN(value)
        except ValueError:
            continue
        add(value if index % 2 else value.replace(" ", ""), index)
    registry = Path(library.__file__ or "").parent / "iban_registry" / "generated.json"
    for index, country in enumerate(sorted(json.loads(registry.read_text(encoding="utf-8")))):
        try:
            iban = library.IBAN.random(country_code=country, random=random.Random(country))
        except (ValueError, KeyError, TypeError):
            continue
        add(iban.formatted if index % 2 == 0 else iban.compact, index + 2)
    for text in HARMLESS:
        suite.harmless(text, "about IBANs")
    return suite.finish()


SOURCE = Source(
    "schwifty",
    "personal",
    (
        Repository(
            "schwifty",
            "mdomke/schwifty",
            "23462330ec05c024fecfb9f275a213709c100e1c",
            "MIT",
            ("/tests/test_iban.py", "/CHANGELOG.rst", "/schwifty/*.py"),
        ),
    ),
    build,
)
