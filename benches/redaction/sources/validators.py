"""Personal data from the tests of validator.js.

From: test/validators.test.js and test/validators/isIP.test.js of validator.js (MIT), read as data; no Node.js needed.

Labelled: the valid values of the checks for passports, tax ids, identity cards, mobile phones, e-mail addresses,
IBANs, credit cards, IP and MAC addresses and wallets, in contexts. Not labelled: what the checks for VAT numbers,
ISBNs, hashes, dates, colours and the like accept, loopback and multicast addresses, and what is no valid address;
these are harmless. Doubtful: private and reserved IP addresses, tax numbers that companies have as well.
"""

from __future__ import annotations

import ipaddress
import random
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from contexts import Contexts
from javascript import Reader
from records import Record, Suite
from source import Repository, Source

Tests = dict[str, list[dict[str, Any]]]

PASSPORT = dict(
    DE="Reisepassnummer", AT="Reisepass-Nr.", CH="Passnummer", FR="numéro de passeport", ES="número de pasaporte",
    AR="pasaporte nro.", MX="pasaporte", IT="numero di passaporto", PT="número do passaporte", BR="passaporte",
    NL="paspoortnummer", PL="numer paszportu", CZ="číslo pasu", SK="číslo pasu", HU="útlevélszám",
    RO="număr pașaport", BG="номер на паспорт", RU="номер загранпаспорта", UA="номер паспорта",
    GR="αριθμός διαβατηρίου", TR="pasaport no", SE="passnummer", DK="pasnummer", FI="passin numero", JP="旅券番号",
    CN="护照号码", KR="여권번호", TH="เลขที่หนังสือเดินทาง", ID="nomor paspor", HR="broj putovnice", LT="paso numeris",
    LV="pases numurs", EE="passi number", IS="vegabréfsnúmer", IR="شماره گذرنامه",
)  # fmt: skip
PASSPORT_KEYS = ("passport_no", "passport_number", "document_no_passport", "passportNo")
TAX = {
    "bg-BG": "ЕГН|egn", "cs-CZ": "rodné číslo|rodne_cislo", "de-AT": "Steuernummer|steuernummer",
    "de-DE": "Steuer-Identifikationsnummer|steuer_id", "dk-DK": "CPR-nummer|cpr",
    "el-CY": "αριθμός φορολογικής ταυτότητας|tic", "el-GR": "ΑΦΜ|afm", "en-CA": "SIN|sin", "en-GB": "UTR|utr",
    "en-IE": "PPS number|ppsn", "es-AR": "CUIT|cuit", "es-ES": "NIF|nif", "et-EE": "isikukood|isikukood",
    "fi-FI": "henkilötunnus|hetu", "fr-BE": "numéro national|numero_national",
    "fr-FR": "numéro fiscal|numero_fiscal", "hr-HR": "OIB|oib", "hu-HU": "adóazonosító jel|adoazonosito",
    "it-IT": "codice fiscale|codice_fiscale", "lb-LU": "matricule|matricule", "lt-LT": "asmens kodas|asmens_kodas",
    "lv-LV": "personas kods|personas_kods", "mt-MT": "ID card number|id_card", "nl-NL": "BSN|bsn",
    "nl-BE": "rijksregisternummer|rrn", "fr-LU": "matricule|matricule", "pl-PL": "PESEL|pesel", "pt-BR": "CPF|cpf",
    "pt-PT": "NIF|nif", "ro-RO": "CNP|cnp", "sk-SK": "rodné číslo|rodne_cislo", "sl-SI": "davčna številka|davcna_st",
    "sv-SE": "personnummer|personnummer", "uk-UA": "РНОКПП|rnokpp",
}  # fmt: skip
SHARED_WITH_COMPANIES = {"de-AT", "el-GR", "el-CY", "sl-SI", "es-AR"}
DIGITS_OF_PERSONS = {"pt-BR": 11, "pl-PL": 11}
CARD = {
    "ES": "DNI|dni", "FI": "henkilötunnus|hetu", "IN": "Aadhaar number|aadhaar",
    "IT": "numero carta d'identità|carta_identita", "IR": "کد ملی|kod_melli", "MZ": "bilhete de identidade|bi_numero",
    "NO": "fødselsnummer|fnr", "PL": "PESEL|pesel", "TH": "เลขประจำตัวประชาชน|citizen_id",
    "he-IL": "תעודת זהות|teudat_zehut", "ar-TN": "رقم بطاقة التعريف|cin", "ar-LY": "الرقم الوطني|national_no",
    "zh-CN": "身份证号|id_card", "zh-TW": "身分證字號|id_no", "zh-HK": "香港身份證號碼|hkid", "LK": "NIC number|nic",
    "PK": "CNIC|cnic",
}  # fmt: skip
# Checks, names and numbers of values of what is not personal.
HARMLESS: tuple[tuple[str, str, int], ...] = (
    ("isVAT", "VAT ID of the company", 40), ("isISIN", "ISIN", 3), ("isEAN", "EAN", 3), ("isISSN", "ISSN", 3),
    ("isUUID", "request id", 4), ("isMD5", "md5", 2), ("isHash", "sha", 5), ("isSemVer", "version", 4),
    ("isULID", "ulid", 2), ("isMongoId", "_id", 2), ("isHexColor", "color", 3), ("isISRC", "ISRC", 2),
    ("isBIC", "BIC", 3), ("isDataURI", "src", 2), ("isISO8601", "timestamp", 4), ("isMimeType", "content-type", 3),
    ("isISO6346", "container", 3), ("isPort", "port", 2), ("isFQDN", "host", 3), ("isCurrency", "price", 4),
    ("isRgbColor", "rgb", 2), ("isJSON", "payload", 3), ("isBase32", "b32", 2), ("isIPRange", "subnet", 2),
)  # fmt: skip
HARMLESS_CONTEXTS = ("{L} {V}", "{L}: {V}", '{"{L}":"{V}"}', "ref {L} {V} done")


def read_tests(directory: Path) -> Tests:
    tests: Tests = {}
    for name in ("validators.test.js", "validators/isIP.test.js"):
        source = (directory / "validator.js/test" / name).read_text(encoding="utf-8")
        for test in Reader(source).arguments_of("test"):
            if isinstance(test.get("validator"), str):
                tests.setdefault(test["validator"], []).append(test)
        for table, check in Reader(source).tables("fixtures", "validator"):
            fixtures = [{**f, "args": [f.get("locale")]} for f in table if isinstance(f, dict)]
            tests.setdefault(check, []).extend(fixtures)
    return tests


def strings(test: dict[str, Any], key: str = "valid") -> list[str]:
    values = test.get(key)
    return [v for v in values if isinstance(v, str)] if isinstance(values, list) else []


def all_values(tests: Tests, check: str, key: str = "valid") -> list[str]:
    return list(dict.fromkeys(value for test in tests.get(check, []) for value in strings(test, key)))


def by_locale(tests: Tests, check: str) -> Iterator[tuple[str, list[str]]]:
    for test in tests.get(check, []):
        arguments = test.get("args")
        if isinstance(arguments, list) and arguments and isinstance(arguments[0], str):
            yield arguments[0], [value.strip() for value in strings(test)]


def luhn(number: str) -> bool:
    digits = [int(c) for c in reversed(number) if c.isdigit()]
    return sum(sum(divmod(2 * d, 10)) if n % 2 else d for n, d in enumerate(digits)) % 10 == 0


def add_identity_numbers(suite: Suite, contexts: Contexts, tests: Tests) -> None:
    rng = random.Random(2)
    for index, (country, values) in enumerate(by_locale(tests, "isPassportNumber")):
        detector = f"isPassportNumber:{country}"
        for turn, value in enumerate(v for v in values[:2] if not re.fullmatch("0+", v)):
            if turn == 1 and index % 3 == 0:
                suite.bare(value, "passport", detector, limit=3)
                continue
            name = PASSPORT[country] if country in PASSPORT and (index + turn) % 2 else "passport number"
            context = contexts.labelled(name, rng.choice(PASSPORT_KEYS), value)
            suite.place(context, value, "passport", detector, limit=3)
    for check, names in (("isTaxID", TAX), ("isIdentityCard", CARD)):
        for locale, values in by_locale(tests, check):
            if locale not in names:
                continue
            size = DIGITS_OF_PERSONS.get(locale, 0) if check == "isTaxID" else 0
            values = [v for v in values[:12] if not size or len(re.sub(r"\D", "", v)) == size]
            for turn, value in enumerate(values[:4]):
                doubtful = locale in SHARED_WITH_COMPANIES
                if turn == 3:
                    suite.bare(value, "national_id", f"{check}:{locale}", doubtful, 4)
                    continue
                name, key = names[locale].split("|")
                if locale == "en-GB" and value[:1].isalpha():
                    name, key = "National Insurance number", "nino"
                context = contexts.labelled(name, key, value)
                suite.place(context, value, "national_id", f"{check}:{locale}", doubtful, 4)


def add_values(
    suite: Suite, contexts: Contexts, kind: str, detector: str, values: list[str], limit: int, unsure: str = ""
) -> None:
    """Adds values in contexts, every fourth alone; those that match `unsure` are doubtful."""
    for turn, value in enumerate(values[:limit]):
        doubtful = bool(unsure) and re.search(unsure, value) is not None
        if turn % 4 == 3:
            suite.bare(value, kind, detector, doubtful, limit)
        else:
            suite.place(contexts.pick(kind, value), value, kind, detector, doubtful, limit)


def address_of(text: str) -> Any | None:
    try:
        return ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None


def add_ip_addresses(suite: Suite, contexts: Contexts, tests: Tests) -> None:
    count = 0
    for value in all_values(tests, "isIP"):
        address = address_of(value)
        if address is None:
            continue
        if address.is_loopback or address.is_unspecified or address.is_multicast or value.startswith(("fe80", "255.")):
            suite.harmless(f"bind address {value}", "loopback")
            continue
        count += 1
        doubtful = not address.is_global or value.startswith("2001:db8")
        if count % 4 == 3:
            suite.bare(value, "ip", "isIP", doubtful, 16)
        else:
            suite.place(contexts.pick("ip", value), value, "ip", "isIP", doubtful, 16)
    for value in all_values(tests, "isIP", "invalid"):
        if len(value) > 3 and address_of(value) is None:
            suite.harmless(value, "no IP address", re.fullmatch(r"\d+(\.\d+){3}", value) is not None)


def build(directory: Path) -> list[Record]:
    tests = read_tests(directory)
    suite = Suite("validators", harmless_limit=40)
    contexts = Contexts()
    add_identity_numbers(suite, contexts, tests)
    locales: Counter[str] = Counter()
    for locale, values in by_locale(tests, "isMobilePhone"):
        phones = [v for v in values if re.fullmatch(r"[+\d ()./-]{7,20}", v)]
        if phones and locale != "any" and not locales[locale]:
            locales[locale] += 1
            value = phones[: 1 + len(locales) % 2][-1]
            if value[0] == "+" and len(locales) % 7 == 0:
                suite.bare(value, "phone", f"isMobilePhone:{locale}")
            else:
                suite.place(contexts.pick("phone", value), value, "phone", f"isMobilePhone:{locale}")
    mails = [v for v in all_values(tests, "isEmail") if "@" in v and len(v) < 60 and not re.search(r'["<>()| ]', v)]
    cards = [value for value in all_values(tests, "isCreditCard") if luhn(value)]
    macs = [value for value in all_values(tests, "isMACAddress") if re.search("[:. -]", value) and len(value) <= 17]
    for values in (mails, cards, macs):
        random.Random(len(values)).shuffle(values)
    add_values(suite, contexts, "email", "isEmail", mails, 12)
    add_values(suite, contexts, "iban", "isIBAN", [v.strip() for v in all_values(tests, "isIBAN")[::3]], 12)
    add_values(suite, contexts, "crypto_wallet", "isBtcAddress", all_values(tests, "isBtcAddress"), 10)
    add_values(suite, contexts, "crypto_wallet", "isEthereumAddress", all_values(tests, "isEthereumAddress"), 10)
    add_values(suite, contexts, "mac", "isMACAddress", macs, 12, unsure=" ")
    add_values(suite, contexts, "credit_card", "isCreditCard", cards, 14)
    add_ip_addresses(suite, contexts, tests)
    for check, name, limit in HARMLESS:
        found = [v for t in tests.get(check, []) for v in strings(t)[:1] if 2 < len(v) < 90 and '"' not in v]
        for turn, value in enumerate(found[:limit]):
            context = HARMLESS_CONTEXTS[turn % len(HARMLESS_CONTEXTS)]
            suite.harmless(context.replace("{L}", name).replace("{V}", value), check)
    return suite.finish()


SOURCE = Source(
    "validators",
    "personal",
    (
        Repository(
            "validator.js",
            "validatorjs/validator.js",
            "cdb7dafc281d14125b924969bf3ee5bc482ec169",
            "MIT",
            ("/test/validators.test.js", "/test/validators/isIP.test.js", "/README.md", "/src/lib/"),
        ),
    ),
    build,
)
