"""Credentials from the tests of detect-secrets.

From: tests/plugins and test_data of detect-secrets (Apache-2.0). The tests are read, not run; its plugins, from PyPI,
say which part of a line they find.

Labelled: what the plugin under test finds in the lines that its test expects it to find; the secrets of the cases of
the keyword plugin; what all plugins with default settings find in the files of test_data. Not labelled: public IP
addresses. Short random strings in test_data are doubtful.
"""

from __future__ import annotations

import ast
import importlib
import random
import re
from pathlib import Path
from typing import Any

from credentials import PRIVATE_KEY, add_bare, add_findings, add_harmless
from python_tests import cases, parse
from records import Range, Record, Suite
from source import Repository, Source

SKIPPED = {"base", "ip_public", "high_entropy_strings", "private_key", "keyword"}
# Their first argument is the line, further ones are parts of it.
FIRST_IS_LINE = {"cloudant", "softlayer", "ibm_cos_hmac", "ibm_cloud_iam", "twilio", "basic_auth"}
# Their plugins return only the prefix of the token.
WHOLE_LINE = {"github_token", "gitlab_token"}
DATA_FILES = (
    "config.env",
    "config.ini",
    "config.md",
    "config.yaml",
    "config2.yaml",
    "each_secret.py",
    "files/file_with_secrets.py",
    "files/file_with_no_secrets.py",
    "files/private_key",
    "sample.diff",
    "short_files/first_line.php",
    "short_files/last_line.ini",
    "short_files/middle_line.yml",
    "only_comments.yaml",
    "files/tmp/file_with_secrets.py",
)
PRIVATE_KEY_BLOCK = re.compile(r"-----BEGIN.*?-----END[^-\n]*-----", re.S)


def plugin_of(tree: ast.Module) -> Any | None:
    """An instance of the plugin that a test module imports."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("detect_secrets.plugins."):
            if node.module == "detect_secrets.plugins.base":
                continue
            try:
                return getattr(importlib.import_module(node.module or ""), node.names[0].name)()
            except (ImportError, AttributeError, TypeError):
                return None
    return None


def ranges_of(secrets: list[str], line: str) -> list[Range]:
    return [(line.index(s), line.index(s) + len(s)) for s in secrets if s and s in line]


def add_plugin_tests(suite: Suite, directory: Path, rng: random.Random) -> None:
    for path in sorted(directory.glob("*_test.py")):
        name = path.name[: -len("_test.py")]
        plugin = plugin_of(parse(path)[0])
        if name in SKIPPED or plugin is None:
            continue
        for function, _, values in cases(path):
            lines = [value for value in values if isinstance(value, str)]
            expected = next((value for value in values if isinstance(value, bool)), None)
            if not lines or (expected is None and "verif" in function.lower()):
                continue
            line = lines[0] if name in FIRST_IS_LINE else max(lines, key=len)
            if expected is False:
                add_harmless(suite, line, name)
                continue
            secrets = [line] if name in WHOLE_LINE else [s for s in plugin.analyze_string(line) if s]
            found = ranges_of([s for s in secrets if isinstance(s, str)], line)
            if found and found[0] == (0, len(line)):
                add_bare(suite, line, name, rng, 3)
            elif found:
                add_findings(suite, line, found, name)


def add_keyword_tests(suite: Suite, path: Path) -> None:
    for name, value in parse(path)[1].items():
        if not name.endswith("TEST_CASES") or not isinstance(value, list):
            continue
        for case in value:
            line, secret = case
            if secret is None:
                add_harmless(suite, line, "keyword")
            else:
                add_findings(suite, line, ranges_of([secret], line), f"keyword/{name}")


def findings_by_line(path: Path) -> dict[int, list[tuple[str, str]]]:
    """Secret and type of what the plugins find in a file, by the number of the line."""
    scan = importlib.import_module("detect_secrets.core.scan")
    settings = importlib.import_module("detect_secrets.settings")
    found: dict[int, list[tuple[str, str]]] = {}
    with settings.default_settings():
        for secret in scan.scan_file(str(path)):
            if secret.secret_value:
                found.setdefault(secret.line_number - 1, []).append((secret.secret_value, secret.type))
    return found


def add_data_files(suite: Suite, directory: Path) -> None:
    for name in DATA_FILES:
        path = directory / name
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        if not text or len(text) > 15_000:
            continue
        if PRIVATE_KEY.search(text):
            add_findings(suite, text, [m.span() for m in PRIVATE_KEY_BLOCK.finditer(text)], "private_key")
            continue
        lines = text.split("\n")
        by_line = findings_by_line(path)
        if not by_line:
            add_harmless(suite, text, "test_data")
        for number, found in by_line.items():
            first, last = max(0, number - 1), min(len(lines), number + 2)
            part = "\n".join(lines[first:last])
            near = [f for n in range(first, last) for f in by_line.get(n, [])]
            short = any(kind.startswith(("Hex", "Base64")) and len(secret) < 20 for secret, kind in near)
            add_findings(suite, part, ranges_of([s for s, _ in near], part), f"test_data/{found[0][1]}", short)


def build(directory: Path) -> list[Record]:
    root = directory / "detect-secrets"
    suite = Suite("detect-secrets", limit=14, harmless_limit=20)
    add_plugin_tests(suite, root / "tests/plugins", random.Random(9))
    add_keyword_tests(suite, root / "tests/plugins/keyword_test.py")
    add_data_files(suite, root / "test_data")
    return suite.finish()


SOURCE = Source(
    "detect-secrets",
    "credentials",
    (
        Repository(
            "detect-secrets",
            "Yelp/detect-secrets",
            "5e141933554a0b74e7341841f318be21e895339c",
            "Apache-2.0",
            ("/tests/plugins/", "/test_data/"),
        ),
    ),
    build,
)
