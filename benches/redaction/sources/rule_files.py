"""Credentials from the examples of Kingfisher and Nosey Parker.

From: the YAML files with rules of Kingfisher (Apache-2.0) and Nosey Parker (Apache-2.0), `examples` and
`negative_examples` of each rule.

Labelled: what the groups of the rule's expression match in its examples, without groups for users, hosts and ids. Of
several groups the last one counts. Not labelled: the examples of rules whose name says that they find ids, hosts,
hashes or user names; these are harmless, but doubtful.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from pathlib import Path
from re import Pattern
from typing import Any

from credentials import URL_PASSWORD, add_bare, add_findings, add_harmless
from patterns import compile_foreign, groups_of
from records import Range, Record, Suite
from source import Repository, Source

NAME_OF_ID = re.compile(
    r"(?i)\b(?:app(?:lication)? id|client id|account id|user ?name|user id|account name|subdomain|domain|host"
    r"|org(?:anization)? id|project id|tenant|server url|instance|base ?url"
    r"|endpoint|region|cloud name|public key|key id"
    r"|access key id|publishable|url$|bucket|resource name|account identifier|e-?mail|hash(?:es)?|digest|bcrypt|md5"
    r"|service principal|store name|image)\b"
)
NAME_OF_SECRET = re.compile(r"(?i)secret|token|password|credential|webhook")
AWS_KEY_NAME = re.compile(r"(?i)AWS (?:API|Access) Key")
GROUP_OF_ID = re.compile(r"(?i)user|host|domain|id$|url|account|email|name|port|tenant")
NOT_SECRET = re.compile(
    r"[\w.-]+\.(?:com|net|io|org|dev)(?:/.*)?|[a-z]{1,12}|\d{1,6}|[^@\s]+@[^@\s]+\.\w+"
    r"|(?i:https?|ldap|machine ).*|oa2-client.*|.*:\d{2,5}|.*\."
)
KEY_END = re.compile(r"-----END [A-Z0-9 ]+-----")


def finds_ids(rule: dict[str, Any]) -> bool:
    """Whether the rule finds something that is not secret."""
    name = rule["name"]
    categories = rule.get("categories") or []
    if AWS_KEY_NAME.search(name):
        return False
    if {"identifier", "hashed"} & set(categories) and "secret" not in categories:
        return True
    if NAME_OF_ID.search(name):
        return rule.get("visible") is False or not NAME_OF_SECRET.search(name)
    return False


def secret_groups(groups: list[tuple[int, int, str]], text: str) -> tuple[list[Range], bool]:
    """The groups of a match that are secret, and whether that is doubtful."""
    if len(groups) == 1:
        return [groups[0][:2]], False
    passwords = {match.span(1) for match in URL_PASSWORD.finditer(text)}
    for start, end, _ in groups:
        if (start, end) in passwords:
            return [(start, end)], False
    outermost = [
        g for g in groups if not any(o != g and o[0] <= g[0] and g[1] <= o[1] and o[:2] != g[:2] for o in groups)
    ]
    secret = [
        (start, end)
        for start, end, name in outermost
        if not GROUP_OF_ID.search(name) and not NOT_SECRET.fullmatch(text[start:end])
    ]
    if secret:
        return secret[-1:], False
    return [g[:2] for g in outermost], True


def whole_key(text: str, start: int, end: int) -> Range:
    """The block of a private key around a match inside it."""
    begin = text.rfind("-----BEGIN", 0, start + 11)
    close = KEY_END.search(text, max(0, end - 1)) or KEY_END.search(text, start)
    if begin >= 0 and close and close.end() >= end:
        return begin, close.end()
    return start, end


def findings(rule: dict[str, Any], pattern: Pattern[str], text: str) -> tuple[list[Range], bool]:
    found: list[Range] = []
    doubtful = "hashed" in (rule.get("categories") or []) or "Hash" in rule["name"]
    is_key = re.search(r"rivate key|PEM|PGP", rule["name"]) is not None
    for groups in groups_of(pattern, text):
        ranges, unsure = secret_groups(groups, text)
        doubtful = doubtful or unsure
        for start, end in ranges:
            if is_key:
                found.append(whole_key(text, start, end))
            elif text[start:end].lower() not in ("http", "https"):
                next_line = re.search(r"[\"']\s*\n", text[start:end])
                found.append((start, start + next_line.start() if next_line else end))
    return found, doubtful


def read_rules(paths: Iterable[Path]) -> list[dict[str, Any]]:
    import yaml

    rules: list[dict[str, Any]] = []
    for path in sorted(paths):
        rules += yaml.safe_load(path.read_text(encoding="utf-8")).get("rules") or []
    return rules


def build(name: str, paths: Iterable[Path]) -> list[Record]:
    suite = Suite(name, limit=10, harmless_limit=6)
    rng = random.Random(3)
    rules = read_rules(paths)
    secret = {str(text).strip() for rule in rules if not finds_ids(rule) for text in rule.get("examples") or []}
    for rule in rules:
        pattern = compile_foreign(rule["pattern"])
        if pattern is None:
            continue
        detector = rule["name"]
        for example in map(str, rule.get("examples") or []):
            if finds_ids(rule):
                if example.strip() not in secret:
                    add_harmless(suite, example, detector, doubtful=True)
                continue
            found, doubtful = findings(rule, pattern, example)
            if not found:
                continue
            bare = example.strip().strip("\"'")
            if len(found) == 1 and bare == example[found[0][0] : found[0][1]] and "\n" not in bare:
                add_bare(suite, bare, detector, rng, 2, doubtful)
            else:
                add_findings(suite, example, found, detector, doubtful)
        for example in map(str, rule.get("negative_examples") or []):
            if example.strip() not in secret:
                add_harmless(suite, example, detector)
    return suite.finish()


def build_kingfisher(directory: Path) -> list[Record]:
    return build("kingfisher", (directory / "kingfisher/data/rules").glob("*.yml"))


def build_noseyparker(directory: Path) -> list[Record]:
    rules = directory / "noseyparker/crates/noseyparker/data/default/builtin/rules"
    return build("noseyparker", rules.glob("*.yml"))


KINGFISHER = Source(
    "kingfisher",
    "credentials",
    (
        Repository(
            "kingfisher",
            "mongodb/kingfisher",
            "ee7c0db3ef87575768f817820c24736249ffcdef",
            "Apache-2.0",
            ("/data/rules/",),
        ),
    ),
    build_kingfisher,
)
NOSEYPARKER = Source(
    "noseyparker",
    "credentials",
    (
        Repository(
            "noseyparker",
            "praetorian-inc/noseyparker",
            "2e6e7f36ce36619852532bbe698d8cb7a26d2da7",
            "Apache-2.0",
            ("/crates/noseyparker/data/default/builtin/rules/",),
        ),
    ),
    build_noseyparker,
)
