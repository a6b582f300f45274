"""Reads the cases of pytest's `parametrize` from test files, without running them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

Case = tuple[str, list[str], list[Any]]


class Unknown(Exception):
    """The value of an expression is known only when it runs."""


def evaluate(node: ast.AST, names: dict[str, Any]) -> Any:
    """The value of an expression of literals, known names, `+`, `*`, `format` and f-strings."""
    if isinstance(node, ast.Name) and node.id in names:
        return names[node.id]
    if isinstance(node, (ast.List, ast.Tuple)):
        return [evaluate(element, names) for element in node.elts]
    if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mult)):
        left, right = evaluate(node.left, names), evaluate(node.right, names)
        if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
            return left + right
        if isinstance(node.op, ast.Mult) and isinstance(left, str) and isinstance(right, int) and right < 10_000:
            return left * right
    if isinstance(node, ast.JoinedStr):
        parts = (v.value if isinstance(v, ast.FormattedValue) else v for v in node.values)
        return "".join(str(evaluate(part, names)) for part in parts)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        arguments = [evaluate(argument, names) for argument in node.args]
        if node.func.attr == "format":
            text = evaluate(node.func.value, names)
            keywords = {k.arg: evaluate(k.value, names) for k in node.keywords if k.arg}
            try:
                return text.format(*arguments, **keywords)
            except (AttributeError, IndexError, KeyError, ValueError):
                raise Unknown from None
        if node.func.attr == "param":
            return arguments
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        raise Unknown from None


def parse(path: Path) -> tuple[ast.Module, dict[str, Any]]:
    """The syntax tree of a module and its constants."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            with suppress(Unknown):
                names[node.targets[0].id] = evaluate(node.value, names)
            if isinstance(node.value, (ast.List, ast.Tuple)):
                names[node.targets[0].id] = known(node.value.elts, names)
    return tree, names


def known(nodes: list[ast.expr], names: dict[str, Any]) -> list[Any]:
    """The values of those expressions whose value is known."""
    values = []
    for node in nodes:
        with suppress(Unknown):
            values.append(evaluate(node, names))
    return values


def row(node: ast.expr, names: dict[str, Any]) -> list[Any]:
    """The values of one case; None for an unknown one."""
    elements = node.elts if isinstance(node, (ast.Tuple, ast.List)) else [node]
    values: list[Any] = []
    for element in elements:
        try:
            values.append(evaluate(element, names))
        except Unknown:
            values.append(None)
    if len(values) == 1 and isinstance(values[0], list):
        return values[0]
    return values


def cases(path: Path) -> Iterator[Case]:
    """Function, names of the parameters, and values of every parametrized case."""
    tree, names = parse(path)
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for decorator in function.decorator_list:
            if not isinstance(decorator, ast.Call) or getattr(decorator.func, "attr", "") != "parametrize":
                continue
            if len(decorator.args) < 2 or not isinstance(decorator.args[1], (ast.List, ast.Tuple)):
                continue
            parameters = evaluate(decorator.args[0], names)
            if isinstance(parameters, str):
                parameters = [name.strip() for name in parameters.split(",")]
            for element in decorator.args[1].elts:
                yield function.name, parameters, row(element, names)
