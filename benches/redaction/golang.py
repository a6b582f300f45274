"""Reads the literals of Go source files: constants, and the cases of table-driven tests. Nothing is run.

Expressions of strings are evaluated: literals, names, `+`, conversions, `fmt.Sprintf`, `strings.Repeat`, and functions
that the caller provides. Composite literals become lists and dictionaries. Anything else is unknown (None).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Callable

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+|//[^\n]*|/\*.*?\*/)
    |(?P<raw>`[^`]*`)
    |(?P<text>"(?:[^"\\\n]|\\.)*")
    |(?P<rune>'(?:[^'\\]|\\.[^']*)')
    |(?P<name>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)
    |(?P<number>\d[\w.]*)
    |(?P<mark>:=|.)""",
    re.S | re.X,
)
OPENING = {"(": ")", "{": "}", "[": "]"}
CONVERSIONS = {"string", "strings.TrimSpace", "strings.ToLower", "strings.ToUpper"}

Token = tuple[str, str]
Function = Callable[..., Any]


def tokens_of(source: str) -> list[Token]:
    return [(match.lastgroup or "", match.group()) for match in TOKEN.finditer(source) if match.lastgroup != "space"]


def text_of(token: Token) -> str:
    kind, text = token
    if kind == "raw":
        return text[1:-1].replace("\r", "")
    text = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", text)
    text = re.sub(r"\\U0000([0-9a-fA-F]{4})", r"\\u\1", text)
    text = re.sub(r"\\([av'0-7]{1,3})", lambda m: "'" if m.group(1) == "'" else "\\u0007", text)
    try:
        return str(json.loads(text, strict=False))
    except ValueError:
        return text[1:-1]


def sprintf(text: Any, *arguments: Any) -> Any:
    if not isinstance(text, str) or any(a is None for a in arguments):
        return None
    values = iter(arguments)

    def replace(match: re.Match[str]) -> str:
        verb = match.group()[-1]
        if verb == "%":
            return "%"
        value = next(values, "")
        return json.dumps(value) if verb == "q" else str(value)

    return re.sub(r"%[-+#0-9.]*[svdq%]", replace, text)


def repeat(text: Any, count: Any) -> Any:
    return text * count if isinstance(text, str) and isinstance(count, int) and count < 10_000 else None


FUNCTIONS: Mapping[str, Function] = {"fmt.Sprintf": sprintf, "strings.Repeat": repeat}


class Package:
    """The files of one package."""

    def __init__(self, sources: list[str], functions: Mapping[str, Function]) -> None:
        self._tokens: list[Token] = []
        for source in sources:
            self._tokens += tokens_of(source)
        self._functions = {**FUNCTIONS, **functions}
        self._definitions: dict[str, int] = {}
        self._open: list[str] = []
        for at, (kind, text) in enumerate(self._tokens[:-1]):
            follows = self._tokens[at + 1][1]
            # The first definition counts: constants of the file stand before variables of its functions.
            if kind == "name" and follows in (":=", "=") and self._tokens[at + 2 : at + 3] != [("mark", "=")]:
                self._definitions.setdefault(text, at + 2)
            elif kind == "name" and follows == "string" and self._tokens[at + 2 : at + 3] == [("mark", "=")]:
                self._definitions.setdefault(text, at + 3)

    def _skip(self, at: int) -> int:
        """The position after the bracket that closes the one at `at`."""
        depth = 0
        while at < len(self._tokens):
            kind, text = self._tokens[at]
            if kind == "mark":
                depth += (text in "([{") - (text in ")]}")
            at += 1
            if depth == 0:
                return at
        return at

    def _mark(self, at: int) -> str:
        kind, text = self._tokens[at] if at < len(self._tokens) else ("", "")
        return text if kind == "mark" else ""

    def expression(self, at: int) -> tuple[Any, int]:
        """The value of the expression at a token, and the position after it."""
        value, at = self._term(at)
        while self._mark(at) == "+":
            more, at = self._term(at + 1)
            value = value + more if isinstance(value, str) and isinstance(more, str) else None
        return value, at

    def _term(self, at: int) -> tuple[Any, int]:
        if at >= len(self._tokens):
            return None, at
        kind, text = self._tokens[at]
        if kind in ("raw", "text"):
            return text_of((kind, text)), at + 1
        if kind == "number":
            return (int(text) if text.isdigit() else None), at + 1
        if kind == "mark":
            if text == "(":
                value, after = self.expression(at + 1)
                return value, max(after + 1, self._skip(at))
            if text == "&":
                return self._term(at + 1)
            if text == "[":
                return self._slice(at)
            if text == "{":
                return self._composite(at)
            return None, at + 1
        if text == "func":
            while self._mark(at) != "{" and at < len(self._tokens):
                at = self._skip(at) if self._mark(at) == "(" else at + 1
            return None, self._skip(at)
        if text in ("map", "struct"):
            while self._mark(at) != "{" and at < len(self._tokens):
                at += 1
            at = self._skip(at) if text == "struct" else at
            return self._composite(at) if self._mark(at) == "{" else (None, at)
        if self._mark(at + 1) == "(":
            return self._call(text, at + 1)
        if self._mark(at + 1) == "{" and (text[0].isupper() or "." in text):
            return self._composite(at + 1)
        return self.lookup(text), at + 1

    def _slice(self, at: int) -> tuple[Any, int]:
        """`[]string{...}`, or a conversion such as `[]byte("...")`."""
        at = self._skip(at)
        while at < len(self._tokens) and self._mark(at) not in ("{", "(", ",", ";"):
            if self._tokens[at][1] == "struct":
                at = self._skip(at + 1)
            elif self._mark(at) == "[":
                at = self._skip(at)
            else:
                at += 1
        if self._mark(at) == "(":
            value, _ = self.expression(at + 1)
            return value, self._skip(at)
        if self._mark(at) == "{":
            return self._composite(at)
        return None, at

    def _call(self, name: str, at: int) -> tuple[Any, int]:
        end = self._skip(at)
        arguments = []
        at += 1
        while at < end - 1:
            value, after = self.expression(at)
            arguments.append(value)
            at = max(after, at + 1)
            while at < end - 1 and self._mark(at) != ",":
                at = self._skip(at) if self._mark(at) in OPENING else at + 1
            at += 1
        if name in CONVERSIONS and len(arguments) == 1:
            return arguments[0], end
        function = self._functions.get(name)
        if function is None:
            return None, end
        try:
            return function(*arguments), end
        except (TypeError, ValueError):
            return None, end

    def _composite(self, at: int) -> tuple[Any, int]:
        """`{a, b}` as a list, `{name: a}` as a dictionary."""
        end = self._skip(at)
        items: list[Any] = []
        fields: dict[str, Any] = {}
        at += 1
        while at < end - 1:
            key = None
            if self._tokens[at][0] in ("name", "text", "raw") and self._mark(at + 1) == ":":
                key = self._tokens[at][1]
                at += 2
            value, after = self.expression(at)
            if key is None:
                items.append(value)
            else:
                fields[key] = value
            at = max(after, at + 1)
            while at < end - 1 and self._mark(at) != ",":
                at = self._skip(at) if self._mark(at) in OPENING else at + 1
            at += 1
        return (fields or items), end

    def lookup(self, name: str) -> Any:
        """The value of a constant or variable by its first definition."""
        if name in self._open or name not in self._definitions or len(self._open) > 30:
            return None
        self._open.append(name)
        try:
            return self.expression(self._definitions[name])[0]
        finally:
            self._open.pop()

    def cases(self, key: str) -> Iterator[dict[str, Any]]:
        """Composite literals that have a field of this name, such as the cases of a table-driven test."""
        braces: list[int] = []
        for at, (kind, text) in enumerate(self._tokens):
            if kind == "mark" and text == "{":
                braces.append(at)
            elif kind == "mark" and text == "}" and braces:
                braces.pop()
            elif kind == "name" and text == key and self._mark(at + 1) == ":" and braces:
                fields = self._composite(braces[-1])[0]
                if isinstance(fields, dict):
                    yield fields

    def calls(self, name: str) -> Iterator[tuple[str, Any]]:
        """For each `variable = name(argument)`: the variable and the value of the argument."""
        for at, token in enumerate(self._tokens):
            if token == ("name", name) and self._mark(at + 1) == "(" and at >= 2:
                yield self._tokens[at - 2][1], self.expression(at + 2)[0]
