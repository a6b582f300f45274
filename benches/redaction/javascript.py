"""Reads the object literals of JavaScript tests: `test({ validator: 'isX', args: [...], valid: [...] })`.

Strings, numbers, arrays and objects are read; any other expression is None. Nothing is run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/)
    |(?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    |(?P<template>`(?:[^`\\]|\\.)*`)
    |(?P<name>[A-Za-z_$][\w$.]*)
    |(?P<number>-?\d[\w.]*)
    |(?P<mark>\.\.\.|=>|.)""",
    re.S | re.X,
)
REGULAR_EXPRESSION = re.compile(r"/(?![*/])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*")
MARKS_BEFORE_VALUE = {"(", ",", "[", ":", "=", "?", "|", "&", "!"}

Token = tuple[str, str]


def tokens_of(source: str) -> list[Token]:
    tokens: list[Token] = []
    at = 0
    while at < len(source):
        if source[at] == "/" and tokens and tokens[-1][1] in MARKS_BEFORE_VALUE:
            expression = REGULAR_EXPRESSION.match(source, at)
            if expression:
                tokens.append(("expression", expression.group()))
                at = expression.end()
                continue
        match = TOKEN.match(source, at)
        if match is None:
            break
        if match.lastgroup != "space":
            tokens.append((match.lastgroup or "", match.group()))
        at = match.end()
    return tokens


def text_of(literal: str) -> str:
    """The value of a string literal."""
    body = re.sub(r"\\\n", "", literal[1:-1])
    body = re.sub(r"\\x([0-9a-fA-F]{2})", r"\\u00\1", body)
    body = re.sub(r"\\([^\"\\/bfnrtu])", r"\1", body)
    body = re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', body)
    try:
        return str(json.loads(f'"{body}"', strict=False))
    except ValueError:
        return literal[1:-1]


class Reader:
    def __init__(self, source: str) -> None:
        self._tokens = tokens_of(source)
        self._at = 0

    def _text(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at][1] if at < len(self._tokens) else ""

    def _skip_rest(self) -> bool:
        """Moves to the `,`, `]`, `}` or `)` that ends the value; True if anything stood before it."""
        depth = 0
        skipped = False
        while self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "mark":
                if depth == 0 and text in (",", "]", "}", ")"):
                    return skipped
                depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
            skipped = True
            self._at += 1
        return skipped

    def value(self) -> Any:
        kind, text = self._tokens[self._at] if self._at < len(self._tokens) else ("", "")
        result: Any = None
        if kind == "text":
            self._at += 1
            result = text_of(text)
            while self._text() == "+" and self._tokens[self._at + 1 : self._at + 2][0][0] == "text":
                result += text_of(self._text(1))
                self._at += 2
        elif kind == "template" and "${" not in text:
            self._at += 1
            result = text_of(text)
        elif kind == "number":
            self._at += 1
            result = float(text) if re.fullmatch(r"-?\d+(?:\.\d+)?", text) else None
        elif text in ("true", "false"):
            self._at += 1
            result = text == "true"
        elif (kind, text) == ("mark", "["):
            result = self._array()
        elif (kind, text) == ("mark", "{"):
            result = self._object()
        return None if self._skip_rest() else result

    def _array(self) -> list[Any]:
        self._at += 1
        values = []
        while self._at < len(self._tokens) and self._text() != "]":
            values.append(self.value())
            if self._text() == ",":
                self._at += 1
            elif self._text() != "]":
                break
        self._at += 1
        return values

    def _object(self) -> dict[str, Any]:
        self._at += 1
        fields: dict[str, Any] = {}
        while self._at < len(self._tokens) and self._text() != "}":
            kind, key = self._tokens[self._at]
            if self._text(1) == ":":
                self._at += 2
                fields[text_of(key) if kind == "text" else key] = self.value()
            else:
                self._skip_rest()
            if self._text() == ",":
                self._at += 1
            elif self._text() != "}":
                break
        self._at += 1
        return fields

    def arguments_of(self, function: str) -> Iterator[dict[str, Any]]:
        """The object literals that the function is called with."""
        for at in range(len(self._tokens) - 2):
            if [text for _, text in self._tokens[at : at + 3]] == [function, "(", "{"]:
                self._at = at + 2
                yield self._object()

    def tables(self, variable: str, field: str) -> Iterator[tuple[list[Any], Any]]:
        """Each array that is assigned to the variable, with the first value of the field that is given after it."""
        for at in range(len(self._tokens) - 2):
            if [text for _, text in self._tokens[at : at + 3]] == [variable, "=", "["]:
                self._at = at + 2
                table = self._array()
                while self._at < len(self._tokens) - 2 and (self._text(), self._text(1)) != (field, ":"):
                    self._at += 1
                self._at += 2
                yield table, self.value()
