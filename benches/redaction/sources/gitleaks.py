"""Credentials in the formats of gitleaks.

From: config/gitleaks.toml of gitleaks (MIT), the table of rules. Its tests are Go code and are not used.

Labelled: values generated from the group of each expression that matches the secret, with a fixed seed, in contexts
written for this evaluation. Only texts in which the whole expression matches again, with the entropy that the rule
asks for, are kept. Not labelled: rules for client ids, hosts and other names that are not secret are left out, and
so are rules without a group for the value.
"""

from __future__ import annotations

import random
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from re import Pattern

from credentials import KEY_CONTEXTS, PRIVATE_KEY, add_findings, contexts_for, entropy
from patterns import compile_foreign, groups_of
from records import CONTEXT, Record, Suite
from source import Repository, Source

NOT_SECRET = re.compile(
    r"client-id$|-app-id|org-id|publishable|public-key|account-id|project-id|hostname|instance-url|username|-domain$"
    r"|-user$|tenant-id|-endpoint|-host$|-email$|cloud-name$|sensitive-url"
)
# Expressions that describe a text around the value, which a generated value would not be like.
WHOLE_TEXT = re.compile(r"^curl-|kubernetes-secret")
VALUES_PER_RULE = 10


@dataclass
class Rule:
    id: str
    expression: str
    group: int
    entropy: float


def read_rules(text: str) -> list[Rule]:
    """The rules of gitleaks.toml; it is regular enough to be read without a parser (Python 3.9 has none)."""
    rules = []
    for block in re.split(r"^\[\[rules\]\]\s*$", text, flags=re.M)[1:]:
        block = re.split(r"^\s*\[\[rules\.", block, flags=re.M)[0]
        name = re.search(r'^id = "([^"]+)"', block, re.M)
        expression = re.search(r"^regex = '''(.*?)'''", block, re.M | re.S)
        group = re.search(r"^secretGroup = (\d+)", block, re.M)
        least = re.search(r"^entropy = ([\d.]+)", block, re.M)
        if name and expression:
            rules.append(
                Rule(
                    name.group(1),
                    expression.group(1),
                    int(group.group(1)) if group else 0,
                    float(least.group(1)) if least else 0.0,
                )
            )
    return rules


def group_end(expression: str, start: int) -> int:
    """The end of the group that opens at `start`."""
    depth = 0
    in_class = False
    at = start
    while at < len(expression):
        char = expression[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
            at += expression[at + 1 : at + 2] in ("]", "^")
        elif char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
            if depth == 0:
                return at + 1
        at += 1
    return len(expression)


def value_expression(rule: Rule) -> str:
    """The part of the expression that matches the secret: its group, or all of it."""
    wanted = rule.group or 1
    at = 0
    in_class = False
    while at < len(rule.expression):
        char = rule.expression[at]
        if char == "\\":
            at += 1
        elif in_class:
            in_class = char != "]"
        elif char == "[":
            in_class = True
        elif char == "(" and (rule.expression[at + 1] != "?" or rule.expression.startswith("(?P<", at)):
            wanted -= 1
            if wanted == 0:
                return rule.expression[at : group_end(rule.expression, at)]
        at += 1
    return rule.expression


def generate(expression: str, rng: random.Random) -> str | None:
    import rstr

    pattern = compile_foreign(expression)
    if pattern is None:
        return None
    # Unlimited repetitions become at most 40 characters.
    limited = re.sub(r"(?<!\\)\{(\d+),\}", lambda m: f"{{{m.group(1)},{int(m.group(1)) + 40}}}", pattern.pattern)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return str(rstr.Rstr(rng).xeger(limited))
        except (ValueError, KeyError, IndexError, re.error, NotImplementedError):
            return None


def add_value(suite: Suite, rule: Rule, pattern: Pattern[str], value: str, rng: random.Random) -> bool:
    """Adds the value in a context in which the rule matches it."""
    name = re.sub(r"-(?:api-)?(?:key|token|secret|access-token)$", "", rule.id)
    choices = contexts_for(value, f"{name}_key") + contexts_for(value, rule.id)
    if PRIVATE_KEY.search(value):
        choices = list(KEY_CONTEXTS)
    rng.shuffle(choices)
    for context in choices:
        text = context.replace("{V}", value)
        at = context.index("{V}")
        matched = any(
            start <= at + len(value) // 2 < end for groups in groups_of(pattern, text) for start, end, _ in groups
        )
        if matched and add_findings(suite, text, [(at, at + len(value))], rule.id, carrier=CONTEXT):
            return True
    return False


def build(directory: Path) -> list[Record]:
    suite = Suite("gitleaks", limit=VALUES_PER_RULE)
    rng = random.Random(1)
    rules = read_rules((directory / "gitleaks/config/gitleaks.toml").read_text(encoding="utf-8"))
    for rule in rules:
        if (NOT_SECRET.search(rule.id) and not re.search(r"webhook|connection", rule.id)) or WHOLE_TEXT.search(rule.id):
            continue
        pattern = compile_foreign(rule.expression)
        if pattern is None:
            continue
        expression = value_expression(rule)
        made = 0
        for _ in range(4 * VALUES_PER_RULE):
            value = generate(expression, rng)
            if value and value.strip() == value and entropy(value) >= rule.entropy:
                made += add_value(suite, rule, pattern, value, rng)
            if made == VALUES_PER_RULE:
                break
    return suite.finish()


SOURCE = Source(
    "gitleaks",
    "credentials",
    (
        Repository(
            "gitleaks",
            "gitleaks/gitleaks",
            "b58d3f102cf3a2c84cb7f923d05c25c9b1aed84b",
            "MIT",
            ("/config/gitleaks.toml",),
        ),
    ),
    build,
)
