"""Phone numbers of all regions.

From: the example numbers of phonenumbers (PyPI, Apache-2.0), the port of libphonenumber. They are patterned
(...1234567), as published.

Labelled: one international and one national form for each region, and a second national form for the larger ones, in
English contexts and in sentences of the region's language. National numbers of fewer than six digits are doubtful.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

from contexts import Contexts
from languages import LANGUAGE_OF_COUNTRY, PHONE
from records import Record, Suite
from source import Source

LARGE = (
    "DE FR GB US ES IT BR MX IN CN JP KR RU TR PL NL SE NO DK FI CH AT BE PT CZ GR HU RO UA IL SA EG ZA NG KE AU NZ CA"
    " ID TH VN PH MY SG"
).split()


def build(directory: Path) -> list[Record]:
    library = importlib.import_module("phonenumbers")
    formats, types = library.PhoneNumberFormat, library.PhoneNumberType
    international = (formats.INTERNATIONAL, formats.E164, formats.INTERNATIONAL, formats.E164, formats.RFC3966)
    suite = Suite("phonenumbers")
    contexts = Contexts()

    def sentence(region: str) -> str:
        language = LANGUAGE_OF_COUNTRY.get(region, "en")
        return contexts.turn("sentence " + language, PHONE.get(language, PHONE["en"]))

    for index, region in enumerate(sorted(library.SUPPORTED_REGIONS)):
        mobile = library.example_number_for_type(region, types.MOBILE)
        fixed = library.example_number_for_type(region, types.FIXED_LINE) or library.example_number(region)
        first, second = (mobile or fixed, fixed or mobile)
        if index % 2:
            first, second = second, first
        abroad = library.format_number(first, international[index % 5]).replace("tel:", "")
        if index % 8 == 3:
            suite.bare(abroad, "phone", region)
        else:
            context = sentence(region) if index % 4 == 0 else contexts.pick("phone", abroad)
            suite.place(context, abroad, "phone", region)
        national = library.format_number(second, formats.NATIONAL)
        context = contexts.pick("phone", national) if index % 3 == 2 else sentence(region)
        suite.place(context, national, "phone", region, doubtful=len(re.sub(r"\D", "", national)) < 6)
        if region in LARGE:
            suite.place(sentence(region), library.format_number(first, formats.NATIONAL), "phone", region)
    return suite.finish()


SOURCE = Source("phonenumbers", "personal", (), build)
