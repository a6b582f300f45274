"""Regular expressions of Go, Rust and Hyperscan for Python's `re`."""

from __future__ import annotations

import re
from re import Pattern

POSIX_CLASSES = {
    "alnum": "A-Za-z0-9",
    "alpha": "A-Za-z",
    "digit": "0-9",
    "lower": "a-z",
    "upper": "A-Z",
    "xdigit": "0-9A-Fa-f",
    "space": r"\s",
    "word": r"\w",
    "punct": r"!-/:-@\[-`{-~",
}


def scope_flags(pattern: str) -> str:
    """Turns `(?i)`, which holds to the end of its group, into `(?i:...)`: Python allows it only at the start."""
    out: list[str] = []
    extra = [0]  # groups opened here for a flag, for each group that is open
    in_class = False
    at = 0
    while at < len(pattern):
        char = pattern[at]
        if char == "\\":
            out.append(pattern[at : at + 2])
            at += 2
            continue
        if in_class:
            in_class = char != "]" or pattern[at - 1] == "[" or pattern[at - 2 : at] == "[^"
        elif char == "[":
            in_class = True
        elif char == "(":
            flags = re.match(r"\(\?([imsx]+|[imsx]*-[imsx]+)\)", pattern[at:])
            if flags:
                out.append(f"(?{flags.group(1)}:")
                extra[-1] += 1
                at += flags.end()
                continue
            extra.append(0)
        elif char == ")" and len(extra) > 1:
            out.append(")" * extra.pop())
        elif char == "|" and extra[-1]:
            # The flag also holds for the alternatives that follow it.
            flag = next(part for part in reversed(out) if re.fullmatch(r"\(\?[imsx-]+:", part))
            out.append(")" * extra[-1] + "|" + flag)
            extra[-1] = 1
            at += 1
            continue
        out.append(char)
        at += 1
    return "".join(out) + ")" * extra[0]


def compile_foreign(pattern: str) -> Pattern[str] | None:
    """The expression for Python, None if it uses what Python lacks."""
    pattern = re.sub(r"\[:(\w+):\]", lambda m: POSIX_CLASSES.get(m.group(1), m.group()), pattern)
    pattern = pattern.replace(r"\z", r"\Z").replace("(?<", "(?P<").replace("(?P<=", "(?<=").replace("(?P<!", "(?<!")
    pattern = re.sub(r"\\x\{([0-9A-Fa-f]{2})\}", r"\\x\1", pattern)
    try:
        return re.compile(scope_flags(pattern))
    except (re.error, OverflowError, RecursionError):
        return None


def groups_of(pattern: Pattern[str], text: str) -> list[list[tuple[int, int, str]]]:
    """For each match the groups that took part, with their names; the whole match if there is none."""
    names = {number: name for name, number in pattern.groupindex.items()}
    found = []
    for match in pattern.finditer(text):
        groups = [
            (match.start(n), match.end(n), names.get(n, ""))
            for n in range(1, pattern.groups + 1)
            if match.end(n) > match.start(n) >= 0
        ]
        found.append(groups or [(match.start(), match.end(), "")])
    return found
