"""Credentials from the tests of TruffleHog's detectors.

From: pkg/detectors of TruffleHog (AGPL-3.0). The tests and the expressions of the detectors are read when the
evaluation runs; nothing of them is part of this repository, and no Go is run.

Labelled: what the detector's own expressions for keys, secrets and tokens match in the input, if it is part of the
result that the test wants; else the wanted result itself. Not labelled: ids, hosts and e-mail addresses. What a test
wants to be left alone is harmless, though mostly doubtful: it is often a random token with one character too many.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from pathlib import Path
from re import Pattern
from typing import Any

from credentials import PRIVATE_KEY, add_bare, add_findings, add_harmless, is_masked
from golang import Function, Package
from patterns import compile_foreign, groups_of
from records import Range, Record, Suite
from source import Repository, Source

SECRET_WORDS = set(
    "secret token key pass password pwd auth cred creds jwt conn connection dsn api pat webhook refresh access bearer"
    " hmac sas passphrase".split()
)
PUBLIC_WORDS = set(
    "id ids sid user username usr email mail domain url uri host hostname endpoint account acct subdomain region tenant"
    " org organization app name instance server location project site shop store"
    " cluster dc database port client company"
    " workspace team application resource ip environment base service owner".split()
)
LAST_WORDS_OF_IDS = {"id", "ids", "sid", "name", "username", "email", "url", "host", "domain", "endpoint"}
PUBLIC_VALUE = re.compile(
    r"[^@\s]+@[^@\s]+\.\w+|(?:https?:)?//[^\s@?]*|[\w-]+(?:\.[\w-]+)*\.(?:com|net|io|org|local|dev|cloud)"
)
ID_BEFORE = re.compile(r"(?i)\bid\b|user|account|email|domain")
KEY_BLOCK = re.compile(r"-----BEGIN[\s\S]+?-----END[^-\n]*-----")
ASSIGNED = re.compile(r"""(?:[=:]|-)\s*['"`]?([^\s'"`]{10,})""")


def near_keywords(words: Any) -> Any:
    """A keyword and up to 40 characters after it, before what the rest of the expression matches."""
    return "(?i:" + "|".join(words) + r")[\s\S]{0,40}?" if isinstance(words, list) else None


def word_of(characters: str, more: str, size: int) -> str:
    return rf"\b([{characters}{more}]{{{size}}})\b"


FUNCTIONS: Mapping[str, Function] = {"detectors.PrefixRegex": near_keywords, "common.BuildRegex": word_of}


class Expression:
    """An expression of a detector, and whether its name says that it finds a secret."""

    def __init__(self, name: str, pattern: Pattern[str]) -> None:
        self.pattern = pattern
        words = [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
        words = [word for word in words if word not in ("pat", "pattern", "regex", "re", "match", "reg")]
        if not words:
            self.secret = True
        elif words[-1] in LAST_WORDS_OF_IDS:
            self.secret = False
        else:
            self.secret = bool(SECRET_WORDS & set(words)) or not PUBLIC_WORDS & set(words)


def read(directory: Path, tests: bool) -> list[str]:
    paths = sorted(p for p in directory.glob("*.go") if p.name.endswith("_test.go") == tests)
    return [path.read_text(encoding="utf-8", errors="replace") for path in paths]


def expressions(directory: Path) -> list[Expression]:
    package = Package(read(directory, tests=False), FUNCTIONS)
    result = []
    for function in ("regexp.MustCompile", "regexp2.MustCompile"):
        for name, text in package.calls(function):
            pattern = compile_foreign(text) if isinstance(text, str) and text else None
            if pattern:
                result.append(Expression(name, pattern))
    return result


def is_public(value: str) -> bool:
    return bool(PUBLIC_VALUE.fullmatch(value)) and not re.search(r"[A-Za-z0-9_-]{20,}", value.split("/", 3)[-1])


Hit = tuple[int, int, bool]


def hits_of(found: list[Expression], text: str) -> list[Hit]:
    return [
        (start, end, expression.secret)
        for expression in found
        for groups in groups_of(expression.pattern, text)
        for start, end, _ in groups
    ]


def ranges_for(want: str, hits: list[Hit], text: str) -> tuple[set[Range], bool]:
    """Where the secret parts of a wanted result stand, and whether that is doubtful."""
    secret = [(a, b) for a, b, is_secret in hits if is_secret and b - a >= 6 and text[a:b] in want]
    ids = {text[a:b] for a, b, is_secret in hits if not is_secret}
    only_secret = {(a, b) for a, b in secret if text[a:b] not in ids}
    if only_secret:
        return only_secret, False
    if want in text:
        return {(text.index(want), text.index(want) + len(want))}, False
    if secret:
        named = {(a, b) for a, b in secret if not ID_BEFORE.search(text[max(0, a - 25) : a].split("\n")[-1])}
        return named or set(secret), True
    block = KEY_BLOCK.search(text)
    if block:
        return {block.span()}, True
    parts = [
        part
        for part in re.split(r'["{}\[\],\s]+|(?<=\w):', want)
        if len(part) >= 16
        and part in text
        and sum(c.isdigit() for c in part) >= 2
        and "@" not in part
        and ".com" not in part
        and not part.startswith("//")
    ]
    return {(text.index(part), text.index(part) + len(part)) for part in parts}, True


def add_case(suite: Suite, text: str, wants: list[str], found: list[Expression], detector: str) -> None:
    ranges: set[Range] = set()
    doubtful = False
    hits = hits_of(found, text)
    for want in wants:
        more, unsure = ranges_for(want, hits, text)
        ranges |= more
        doubtful = doubtful or unsure
    kept: list[Range] = []
    for start, end in sorted(ranges, key=lambda r: (r[0], -r[1])):
        if is_public(text[start:end]) or (kept and start < kept[-1][1]):
            continue
        begin = text.rfind("-----BEGIN", 0, start + 11)
        if begin >= 0 and PRIVATE_KEY.match(text[begin:]) and "-----END" in text[begin:end]:
            start = begin
        kept.append((start, end))
    if not kept:
        return
    if len(kept) == 1 and "\n" not in text.strip() and text.strip() == text[kept[0][0] : kept[0][1]]:
        add_bare(suite, text.strip(), detector, random.Random(len(text)), 1, doubtful)
    else:
        add_findings(suite, text, kept, detector, doubtful)


def looks_secret(text: str) -> bool:
    """Whether something is assigned that is no placeholder, URL or repetition."""
    return any(
        not is_masked(value) and not re.search(r"[<${]|short|(.)\1{5}", value) and "://" not in value
        for value in ASSIGNED.findall(text)
    )


def wanted(case: dict[str, Any]) -> list[str] | None:
    """The results that a case wants; None if they are not known."""
    want = case["want"]
    if want is None or isinstance(want, str):
        return [want] if want else []
    if isinstance(want, list) and all(isinstance(w, str) for w in want):
        return [w for w in want if w]
    return None


def add_detector(suite: Suite, directory: Path, detector: str) -> None:
    sources = [s for s in read(directory, tests=True) if "//go:build detectors" not in s]
    cases = [
        case
        for case in Package(sources, FUNCTIONS).cases("input")
        if isinstance(case.get("input"), str) and "want" in case and "%s" not in case["input"]
    ]
    if not cases:
        return
    found = expressions(directory) or expressions(directory.parent)
    positive: set[str] = set()
    for case in cases:
        wants = wanted(case)
        if wants:
            positive |= set(wants)
            add_case(suite, case["input"], wants, found, detector)
    for case in cases:
        text = case["input"]
        if wanted(case) == [] and not any(len(value) >= 8 and value in text for value in positive):
            add_harmless(suite, text, detector, looks_secret(text))


def build(directory: Path) -> list[Record]:
    root = directory / "trufflehog/pkg/detectors"
    suite = Suite("trufflehog", limit=12, harmless_limit=2)
    for path in sorted(p for p in root.rglob("*") if p.is_dir()):
        add_detector(suite, path, path.relative_to(root).as_posix().replace("/", "-"))
    return suite.finish()


SOURCE = Source(
    "trufflehog",
    "credentials",
    (
        Repository(
            "trufflehog",
            "trufflesecurity/trufflehog",
            "3ab759fef4bb5935d4fe9ac68b503d05346b8364",
            "AGPL-3.0",
            ("/pkg/detectors/",),
        ),
    ),
    build,
)
