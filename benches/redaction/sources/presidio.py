"""Personal data from the tests of Presidio's recognizers.

From: presidio-analyzer/tests/test_*_recognizer.py of Presidio (MIT), the cases of `parametrize`, and its sentences
with context words. The tests are read, not run.

Labelled: the positions that a case expects, or the whole text where a recognizer's cases give none; half of the bare
numbers in contexts with the name of the number. Not labelled: company numbers, URLs, dates, loopback addresses, and
texts without anything that looks like a number, which are harmless. Doubtful: private and documentation addresses,
numbers of physicians, tax numbers that companies have as well, and harmless numbers that are one digit off.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Any

from contexts import Contexts
from python_tests import cases
from records import BARE, SUITE, Range, Record, Span, Suite
from source import Repository, Source

# Recognizer, kind, name and field of its number. Without a name: kinds with contexts of their own.
RECOGNIZERS = """
aba_routing|bank_account|routing number|aba_routing
au_medicare|medical_id|Medicare card number|medicare_no
au_tfn|national_id|Tax File Number|tfn
ca_sin|national_id|SIN|sin
certificate_number|medical_id|DEA number|dea_number
credit_card|credit_card
crypto|crypto_wallet
de_fuehrerschein|drivers_license|Führerscheinnummer|fuehrerschein_nr
de_health_insurance|medical_id|Krankenversichertennummer|kvnr
de_id_card|national_id|Personalausweisnummer|personalausweis_nr
de_lanr|medical_id|LANR|lanr
de_passport|passport|Reisepassnummer|reisepass_nr
de_social_security|national_id|Rentenversicherungsnummer|rvnr
de_tax_id|national_id|Steuer-ID|steuer_id
de_tax_number|national_id|Steuernummer|steuernummer
email|email
es_nie|national_id|NIE|nie
es_nif|national_id|DNI|dni
es_passport|passport|número de pasaporte|pasaporte
fi_personal_identity_code|national_id|henkilötunnus|hetu
iban|iban
in_aadhaar|national_id|Aadhaar number|aadhaar
in_pan|national_id|PAN|pan_number
in_passport|passport|passport number|passport_no
in_voter|national_id|voter ID|voter_id
ip|ip
it_driver_license|drivers_license|patente di guida|patente
it_fiscal_code|national_id|codice fiscale|codice_fiscale
it_identity_card|national_id|carta d'identità|carta_identita
it_passport|passport|passaporto|passaporto
kr_driver_license|drivers_license|운전면허번호|driver_license
kr_frn|national_id|외국인등록번호|frn
kr_passport|passport|여권번호|passport_no
kr_rrn|national_id|주민등록번호|rrn
mac|mac
ng_nin|national_id|NIN|nin
ph_mobile_number|phone
ph_tin|national_id|TIN|tin
phone|phone
pl_pesel|national_id|PESEL|pesel
se_personnummer|national_id|personnummer|personnummer
sg_fin|national_id|NRIC|nric
th_tnin|national_id|เลขประจำตัวประชาชน|citizen_id
tr_national_id|national_id|TC Kimlik No|tckn
tr_phone_number|phone
uk_driving_licence|drivers_license|driving licence number|driving_licence
uk_nhs|medical_id|NHS number|nhs_number
uk_nino|national_id|National Insurance number|nino
uk_passport|passport|passport number|passport_number
us_bank|bank_account|bank account number|account_number
us_driver_license|drivers_license|driver's license|driver_license
us_itin|ssn|ITIN|itin
us_mbi|medical_id|Medicare Beneficiary Identifier|mbi
us_npi|medical_id|NPI|npi
us_passport|passport|US passport|passport_number
us_ssn|ssn|SSN|ssn
za_id_number|national_id|South African ID number|id_number
"""
DOUBTFUL = {"certificate_number", "de_lanr", "de_tax_number", "us_npi", "ph_tin"}
HARMLESS = {
    "au_abn", "au_acn", "de_handelsregister", "de_vat_id", "in_gstin", "it_vat_code", "kr_brn",
    "se_organisationsnummer", "sg_uen", "url", "date",
}  # fmt: skip
# Their negative cases are near misses that look like the real thing.
NO_NEGATIVES = {
    "aba_routing", "credit_card", "crypto", "email", "iban", "ip", "phone", "us_bank", "us_itin", "us_passport",
}  # fmt: skip
NO_NUMBER = re.compile(r"(?i)valid|passport number|my |ID |nino|SIN|ssn|failed|iban|Numero|Not a|Time|DEA")
SHORT_TEXT = re.compile(r"[\w .:/+-]{3,40}")
NEAR_MISS = re.compile(
    r"\d{3}-\d{2}-\d{4}|\d{3}-\d{3}-\d{4}|\d{3}[ -]\d{3}[ -]\d{3}|\d{6}-\d{7,8}|\d{3} \d{2} \d{4}"
    r"|[A-Z]{2} ?\d\d ?\d\d ?\d\d ?\w|123456789"
)
PLACEHOLDER = re.compile(r"0{6,}|1{9,}|9XX9|AAAAAA00")
LOCAL_ADDRESS = re.compile(
    r"::$|::1$|::/|0\.0\.0\.0|127\.0\.0\.1|255\.255\.255\.255|fe80|ff02|169\.254|::ffff:(?:127|0\.|255)"
)
ENTITIES = {
    "IP_ADDRESS": "ip",
    "US_SSN": "ssn",
    "PHONE_NUMBER": "phone",
    "US_ITIN": "ssn",
    "US_DRIVER_LICENSE": "drivers_license",
    "ABA_ROUTING_NUMBER": "bank_account",
    "US_BANK_NUMBER": "bank_account",
    "US_PASSPORT": "passport",
    "FIN": "national_id",
    "IN_PAN": "national_id",
    "IN_PASSPORT": "passport",
    "PH_TIN": "national_id",
}
NUMBER_IN_SENTENCE = re.compile(
    r"\(\d{3}\) \d{3}-\d{4}|\d{3} \d{7}|\d{3}-\d{7}|\d{3}-\d{2}-\d{4}|\d{3}-\d{6}|\d{5}-\d{4}|[A-Z]{5}\d{4}[A-Z]"
    r"|(?<![a-z])[A-Za-z]?\d{7,13}[A-Za-z]?|\d{3}(?:-\d{3}){3}|\d{1,3}(?:\.\d{1,3}){3}"
)

Expected = list[tuple[str, list[Range]]]


def ranges_of(case: dict[str, Any], text: str, count: int) -> list[Range]:
    """The expected positions of a case; the whole text if it gives none and is one word."""
    for key in ("expected_positions", "expected_res", "expected_position"):
        positions = case.get(key)
        if isinstance(positions, list) and positions:
            if isinstance(positions[0], int):
                positions = [positions]
            return [(p[0], p[1]) for p in positions[:count] if isinstance(p, list) and len(p) >= 2]
    return [(0, len(text))] if count == 1 and not re.search(r"\s", text.strip()) else []


def read_cases(path: Path) -> tuple[Expected, list[str]]:
    """Texts with the positions that are expected, and texts in which nothing is."""
    positive: Expected = []
    negative: list[str] = []
    for function, names, values in cases(path):
        case = dict(zip(names, values))
        text = case.get("text") or case.get("iban")
        count = case.get("expected_len", 0 if "invalid" in function else None)
        if not isinstance(text, str) or not text.strip() or not isinstance(count, int):
            continue
        text = text.strip("\n")
        if count == 0:
            negative.append(text)
            continue
        ranges = ranges_of(case, text, count)
        if len(ranges) == count:
            positive.append((text, ranges))
    return positive, negative


def add_positive(
    suite: Suite, contexts: Contexts, detector: str, kind: str, names: list[str], positive: Expected
) -> None:
    doubtful = detector in DOUBTFUL
    alone = [(text, r) for text, r in positive if len(r) == 1 and r[0][1] - r[0][0] >= len(text) - 2]
    for text, ranges in positive:
        if (text, ranges) in alone or any(text[a:b].strip() != text[a:b] or b - a < 4 for a, b in ranges):
            continue
        between = "".join(text[b:a] for (_, b), (a, _) in zip(ranges, ranges[1:]))
        only_values = ranges[0][0] == 0 and ranges[-1][1] == len(text) and re.fullmatch(r"\s*(?:and)?\s*", between)
        spans = [Span(a, b, kind) for a, b in ranges]
        suite.add(text, spans, detector, BARE if only_values else SUITE, doubtful, limit=8)
    values = [text.strip() for text, _ in alone if not PLACEHOLDER.match(text)]
    for turn, value in enumerate(values):
        if turn % 2:
            suite.bare(value, kind, detector, doubtful)
        elif names:
            suite.place(contexts.labelled(names[0], names[1], value), value, kind, detector, doubtful)
        else:
            suite.place(contexts.pick(kind, value), value, kind, detector, doubtful)


def add_negative(suite: Suite, detector: str, negative: list[str]) -> None:
    if detector in NO_NEGATIVES:
        return
    for text in negative:
        if NO_NUMBER.search(text) or not SHORT_TEXT.fullmatch(text) or NEAR_MISS.fullmatch(text):
            continue
        plain = text.isdigit() or (" " in text and not re.search(r"\d", text))
        suite.harmless(text, detector, doubtful=not plain)


def add_addresses(suite: Suite, positive: Expected) -> None:
    """IP addresses: loopback and link-local ones are harmless, other reserved ones doubtful."""
    for text, ranges in positive:
        spans: list[Span] = []
        doubtful = False
        for start, end in ranges:
            value = text[start:end]
            if LOCAL_ADDRESS.match(value):
                continue
            try:
                address = ipaddress.ip_address(value.split("%")[0])
            except ValueError:
                spans.clear()
                break
            address = getattr(address, "ipv4_mapped", None) or address
            doubtful = doubtful or not address.is_global or value.startswith(("2001:db8", "64:ff9b"))
            spans.append(Span(start, end, "ip"))
        if spans:
            carrier = BARE if spans[0] == Span(0, len(text), "ip") else SUITE
            suite.add(text, spans, "ip-doubtful" if doubtful else "ip", carrier, doubtful)
        elif all(LOCAL_ADDRESS.match(text[a:b]) for a, b in ranges):
            suite.harmless(text, "loopback")


def add_sentences(suite: Suite, path: Path) -> None:
    """Sentences with context words: a line with the entity, a line with the sentence."""
    lines = [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip() and line[0] != "#"]
    for entity, text in zip(lines[::2], lines[1::2]):
        spans = [Span(*m.span(), ENTITIES[entity]) for m in NUMBER_IN_SENTENCE.finditer(text) if entity in ENTITIES]
        joined = any(text[span.start - 1 : span.start].isalnum() for span in spans)
        if spans and not joined and "**" not in text:
            suite.add(text, spans, f"sentence:{entity}", doubtful=entity in ("PH_TIN", "IP_ADDRESS"), limit=6)


def build(directory: Path) -> list[Record]:
    tests = directory / "presidio/presidio-analyzer/tests"
    suite = Suite("presidio", limit=12, harmless_limit=8)
    contexts = Contexts()
    for line in RECOGNIZERS.strip().split("\n"):
        detector, kind, *names = line.split("|")
        path = tests / f"test_{detector}_recognizer.py"
        if not path.exists():
            continue
        positive, negative = read_cases(path)
        if detector == "ip":
            add_addresses(suite, positive)
        else:
            add_positive(suite, contexts, detector, kind, names, positive)
        add_negative(suite, detector, negative)
    for detector in sorted(HARMLESS):
        path = tests / f"test_{detector}_recognizer.py"
        for text, _ in read_cases(path)[0] if path.exists() else []:
            if "webhook" not in text:
                suite.harmless(text, detector)
    add_sentences(suite, tests / "data/context_sentences_tests.txt")
    return suite.finish()


SOURCE = Source(
    "presidio",
    "personal",
    (
        Repository(
            "presidio",
            "microsoft/presidio",
            "0aa9f8e44275cb52c00fbbebe19168e934e1f076",
            "MIT",
            (
                "/presidio-analyzer/tests/test_*_recognizer.py",
                "/presidio-analyzer/tests/data/context_sentences_tests.txt",
                "/presidio-analyzer/presidio_analyzer/*.py",
                "/docs/*.md",
                "/docs/analyzer/*.md",
            ),
        ),
    ),
    build,
)
