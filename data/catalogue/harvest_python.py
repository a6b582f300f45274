"""Collects the exception classes of Python packages, without running any of their code.

    python3 data/catalogue/harvest_python.py [--download] [--classes FILE] [--codes FILE] [--corpus FILE]

Reads the wheels of the packages in `packages.toml` (downloaded with pip to ~/.cache/failsift-catalogue/wheels), parses their sources with
`ast`, finds every class that is transitively an exception and derives its condition with `derive.py`. Corrections that no rule can know are
in `overrides.toml`. `build.py` merges the result with the other harvests.
"""

from __future__ import annotations

import argparse
import ast
import builtins
import concurrent.futures
import email.parser
import functools
import http
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import warnings
import zipfile
from pathlib import Path

import derive as derivation
import harvest_codes

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("FAILSIFT_CATALOGUE_CACHE", Path.home() / ".cache" / "failsift-catalogue"))
PYTHON = "3.12"

# Folders whose classes never reach a trace: tests, examples, and copies of other packages.
SKIPPED_PARTS = frozenset(
    """tests test testing _testing conftest examples example samples benchmarks benchmark docs doc _vendor vendor vendored _vendored third_party
    thirdparty extern externals packages lib2to3 scripts cookbook _pytest snippets evals e2e testdata test_utils testutils unittest thirdparty_files
    integration_tests unit_tests demo demos""".split()
)
# To be raised when what is read from a source file changes: it is part of the cache's file names.
FACTS_VERSION = 1
MAX_FILE = 2_000_000
MAX_TEMPLATES = 40

# ---------------------------------------------------------------------------------------------------------------------------- download


def packages() -> list[dict]:
    return tomllib.loads((HERE / "packages.toml").read_text())["package"]


def wheel_of(package: dict) -> Path | None:
    """The downloaded wheel of a package, by the normalised name and version in the file's name."""
    wanted = re.sub(r"[-_.]+", "_", package["name"]).lower(), package["version"]
    for path in sorted((CACHE / "wheels").glob("*.whl")):
        name, version = path.name.split("-")[:2]
        if (re.sub(r"[-_.]+", "_", name).lower(), version) == wanted:
            return path
    return None


def download(package: dict) -> str | None:
    """Downloads one wheel with pip; the error text if that fails. Source distributions are not used: building one runs its code."""
    if wheel_of(package):
        return None
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version", PYTHON]
    command += ["-d", str(CACHE / "wheels"), f"{package['name']}=={package['version']}"]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


# ----------------------------------------------------------------------------------------------------------------- reading one module


def dotted(node) -> str | None:
    """`a.b.C` for a chain of names, also behind a subscript (`Base[T]`)."""
    if isinstance(node, ast.Subscript):
        return dotted(node.value)
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        head = dotted(node.value)
        return f"{head}.{node.attr}" if head else None
    return None


def template(node, names=None, depth=0) -> str | None:
    """A string expression as text, with `{name}` for what is computed."""
    if node is None or depth > 8:
        return None
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        parts = []
        for value in node.values:
            if isinstance(value, ast.Constant):
                parts.append(str(value.value))
            else:
                parts.append("{" + ((dotted(value.value) or "value").split(".")[-1]) + "}")
        return "".join(parts)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod):
        text = template(node.left, names, depth + 1)
        return re.sub(r"%(?:\((\w+)\))?[-#0-9.]*[srdifx]", lambda m: "{" + (m.group(1) or "value") + "}", text) if text else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = template(node.left, names, depth + 1), template(node.right, names, depth + 1)
        if left is None and right is None:
            return None
        return (left if left is not None else "{value}") + (right if right is not None else "{value}")
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "strip", "lstrip", "rstrip"):
            text = template(node.func.value, names, depth + 1)
            return re.sub(r"\{(\w*)[^{}]*\}", lambda m: "{" + (m.group(1) or "value") + "}", text) if text else None
        if isinstance(node.func, ast.Attribute) and node.func.attr == "join" and len(node.args) == 1:
            if isinstance(node.args[0], (ast.List, ast.Tuple)):
                glue = template(node.func.value, names, depth + 1) or ""
                parts = [template(one, names, depth + 1) or "{value}" for one in node.args[0].elts]
                return glue.join(parts)
            return None
        function = (dotted(node.func) or "").split(".")[-1]
        if function in ("_", "gettext", "_lazy", "gettext_lazy", "dedent", "str", "fill") and node.args:
            return template(node.args[0], names, depth + 1)
        return None
    if isinstance(node, ast.IfExp):
        return template(node.body, names, depth + 1) or template(node.orelse, names, depth + 1)
    if isinstance(node, ast.BoolOp):
        for value in reversed(node.values):
            text = template(value, names, depth + 1)
            if text:
                return text
        return None
    if isinstance(node, ast.Name) and names:
        return template(names.get(node.id), None, depth + 1)
    return None


def clean(text: str | None) -> str | None:
    if not text:
        return None
    text = " ".join(text.split())
    letters = sum(ch.isalpha() for ch in re.sub(r"\{\w*\}", "", text))
    return text[:500] if letters >= 4 else None


def status_of(node) -> int | None:
    """An HTTP status written as a number, `http.HTTPStatus.NOT_FOUND`, `http.client.NOT_FOUND`, or `grpc.StatusCode.NOT_FOUND`."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int) and not isinstance(node.value, bool):
        return node.value if 400 <= node.value < 600 else None
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.fullmatch(r"[45]\d\d", node.value):
        return int(node.value)
    name = dotted(node) or ""
    last = name.removesuffix(".value").split(".")[-1]
    if match := re.fullmatch(r"HTTP_([45]\d\d)_\w+", last):
        return int(match.group(1))
    if last in http.HTTPStatus.__members__ and "." in name and http.HTTPStatus[last] >= 400:
        return int(http.HTTPStatus[last])
    if "StatusCode." in name and last in derivation.GRPC_STATUS:
        return derivation.GRPC_STATUS[last][1]
    if isinstance(node, ast.Subscript):  # Literal[404]
        return status_of(node.slice)
    return None


STATUS_NAMES = frozenset(
    "status_code http_status http_status_code status code http_code statuscode error_status http_status_code_ response_code".split()
)
MESSAGE_NAMES = frozenset(
    "fmt message msg detail default_message default_detail error_message description default_msg msg_fmt _message template reason errmsg msg_template".split()
)
CODE_NAMES = frozenset("code error_code sqlstate errno error_type type default_code".split())


class _Module:
    """What one source file says: classes, imports, aliases, raised exceptions."""

    def __init__(self, name: str, is_package: bool):
        self.name, self.is_package = name, is_package
        self.classes: dict[str, dict] = {}
        self.imports: dict[str, str] = {}
        self.stars: list[str] = []
        self.aliases: dict[str, str] = {}
        self.exported: list[str] | None = None
        self.override: str | None = None
        self.raises: list[list] = []
        self.statuses: list[list] = []
        self.enums: dict[str, dict] = {}

    def relative(self, level: int, module: str | None) -> str:
        if not level:
            return module or ""
        parts = self.name.split(".")
        keep = len(parts) - level + (1 if self.is_package else 0)
        return ".".join(parts[: max(keep, 0)] + ([module] if module else []))

    def as_dict(self) -> dict:
        return {key: value for key, value in vars(self).items() if value or key in ("name", "is_package")}


def read_module(name: str, is_package: bool, source: str) -> dict | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    module = _Module(name, is_package)
    _read_statements(module, tree.body, "")
    _read_functions(module, tree)
    if is_package:
        _read_override(module, source)
    return module.as_dict()


def _read_override(module: _Module, source: str) -> None:
    """`__locals[name].__module__ = "openai"` in a loop over the exported names."""
    match = re.search(
        r"""(?:\.__module__\s*=|setattr\([^()]*(?:\[[^\]]*\][^()]*)?,\s*["']__module__["'],)\s*(?:["']([\w.]+)["']|(__name__)|(\w+))""",
        source,
    )
    if match and re.search(r"\bfor\b", source):
        module.override = match.group(1) or module.name


def _read_statements(module: _Module, body: list, outer: str) -> None:
    for node in body:
        if isinstance(node, ast.ClassDef):
            _read_class(module, node, outer)
        elif isinstance(node, (ast.If, ast.Try, ast.With)):
            for part in (node.body, getattr(node, "orelse", []), getattr(node, "finalbody", [])):
                _read_statements(module, part, outer)
            for handler in getattr(node, "handlers", []):
                _read_statements(module, handler.body, outer)
        elif outer:
            continue
        elif isinstance(node, ast.Import):
            for one in node.names:
                if one.asname:
                    module.imports.setdefault(one.asname, one.name)
                else:
                    module.imports.setdefault(one.name.split(".")[0], one.name.split(".")[0])
        elif isinstance(node, ast.ImportFrom):
            source = module.relative(node.level, node.module)
            for one in node.names:
                if one.name == "*":
                    module.stars.append(source)
                else:
                    module.imports.setdefault(one.asname or one.name, f"{source}.{one.name}")
        elif isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for target in targets:
                if isinstance(target, ast.Name):
                    _read_assignment(module, target.id, node.value)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == "__all__":
            _read_assignment(module, "__all__", node.value)


def _read_assignment(module: _Module, name: str, value) -> None:
    if name == "__all__":
        if isinstance(value, (ast.List, ast.Tuple)):
            found = [one.value for one in value.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            module.exported = (module.exported or []) + found
        return
    source = dotted(value) if not isinstance(value, ast.Subscript) else None
    if source and source != name:
        module.aliases.setdefault(name, source)
    # X = type("X", (Base,), {}) and the like
    if isinstance(value, ast.Call) and dotted(value.func) == "type" and len(value.args) == 3 and isinstance(value.args[1], ast.Tuple):
        bases = [dotted(base) for base in value.args[1].elts]
        module.classes.setdefault(name, {"bases": [base for base in bases if base]})
    # X: TypeAlias = Literal["stop", "length"]
    if isinstance(value, ast.Subscript) and (dotted(value.value) or "").endswith("Literal") and isinstance(value.slice, ast.Tuple):
        members = [one.value for one in value.slice.elts if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        if members:
            module.enums.setdefault(name, {member: member for member in members})


def _read_class(module: _Module, node: ast.ClassDef, outer: str) -> None:
    qualified = f"{outer}.{node.name}" if outer else node.name
    bases = [name for name in map(dotted, node.bases) if name]
    for base in node.bases:  # class X(make_base(Real)) and the like: what it is made of may be the base
        if isinstance(base, ast.Call):
            bases += [name for name in map(dotted, base.args) if name]
    facts: dict = {"bases": bases}
    doc = ast.get_docstring(node)
    if doc:
        facts["doc"] = doc[:1500]
    templates: list[str] = []
    attributes: dict[str, object] = {}
    members: dict[str, object] = {}
    for keyword in node.keywords:
        if keyword.arg and isinstance(keyword.value, ast.Constant) and keyword.arg in CODE_NAMES:
            attributes[keyword.arg] = keyword.value.value
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and (dotted(decorator.func) or "").endswith("set_module") and decorator.args:
            facts["module"] = template(decorator.args[0])
    for item in node.body:
        if isinstance(item, ast.ClassDef):
            _read_class(module, item, qualified)
        elif isinstance(item, (ast.Assign, ast.AnnAssign)):
            targets = item.targets if isinstance(item, ast.Assign) else [item.target]
            value = item.value if item.value is not None else getattr(item, "annotation", None)
            for target in targets:
                if not isinstance(target, ast.Name):
                    continue
                lowered = target.id.lower()
                if target.id == "__module__":
                    facts["module"] = template(value)
                if lowered in STATUS_NAMES and status_of(value):
                    facts["status"] = status_of(value)
                if lowered in MESSAGE_NAMES and (text := clean(template(value))):
                    templates.append(text)
                literal = value.slice if isinstance(value, ast.Subscript) and (dotted(value.value) or "").endswith("Literal") else value
                if lowered in CODE_NAMES and isinstance(literal, ast.Constant) and isinstance(literal.value, (str, int)):
                    attributes[lowered] = literal.value
                if "grpc" in lowered and status_of(value):
                    facts.setdefault("status", status_of(value))
                if isinstance(value, ast.Constant) and isinstance(value.value, (str, int)):
                    members[target.id] = value.value
                elif isinstance(value, ast.Tuple) and value.elts and isinstance(value.elts[0], ast.Constant):
                    members[target.id] = value.elts[0].value
                elif isinstance(value, ast.Call):
                    members[target.id] = target.id
        elif isinstance(item, ast.FunctionDef) and item.name in ("__init__", "__str__", "__new__", "message", "__post_init__"):
            _read_initialiser(item, facts, templates)
    if templates:
        facts["templates"] = list(dict.fromkeys(templates))[:10]
    if attributes:
        facts["attributes"] = attributes
    if any(
        base.split(".")[-1] in ("Enum", "StrEnum", "IntEnum", "CaseInsensitiveEnum", "Flag", "ProtocolEnum")
        or base.endswith(("Enum", "EnumMeta"))
        for base in bases
    ):
        module.enums.setdefault(qualified, members)
        return
    if not bases and members and re.search(r"(?:Error|Status|Reason)(?:Code|Type|s)?s?$|^ER$|Errno", node.name):
        module.enums.setdefault(qualified, members)
    if bases:
        module.classes.setdefault(qualified, facts)


def _read_initialiser(function: ast.FunctionDef, facts: dict, templates: list[str]) -> None:
    arguments = function.args
    defaults = list(zip(arguments.args[len(arguments.args) - len(arguments.defaults) :], arguments.defaults))
    defaults += [(arg, value) for arg, value in zip(arguments.kwonlyargs, arguments.kw_defaults) if value is not None]
    for argument, value in defaults:
        if argument.arg.lower() in STATUS_NAMES and status_of(value):
            facts.setdefault("status", status_of(value))
        if argument.arg.lower() in MESSAGE_NAMES and (text := clean(template(value))):
            templates.append(text)
    names = _assigned(function)
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "__init__":
            for keyword in node.keywords:
                if keyword.arg and keyword.arg.lower() in STATUS_NAMES and status_of(keyword.value):
                    facts.setdefault("status", status_of(keyword.value))
                if keyword.arg and keyword.arg.lower() in MESSAGE_NAMES and (text := clean(template(keyword.value, names))):
                    templates.append(text)
            for argument in node.args:
                if text := clean(template(argument, names)):
                    templates.append(text)
                elif status_of(argument):
                    facts.setdefault("status", status_of(argument))
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Attribute):
            attribute = node.targets[0].attr.lower()
            if attribute in STATUS_NAMES and status_of(node.value):
                facts.setdefault("status", status_of(node.value))
            if attribute in MESSAGE_NAMES and (text := clean(template(node.value, names))):
                templates.append(text)
        elif isinstance(node, ast.Return) and function.name != "__init__" and (text := clean(template(node.value, names))):
            templates.append(text)


def _assigned(function) -> dict:
    """Names that a function assigns a string expression to."""
    names = {}
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    return names


def _read_functions(module: _Module, tree) -> None:
    """Raised exceptions with their texts, and the statuses that code maps to classes."""
    stack = [(tree, None)]
    while stack:
        node, function = stack.pop()
        for child in ast.iter_child_nodes(node):
            inner = child if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
            if isinstance(child, ast.Raise):
                _read_raise(module, child, function)
            elif isinstance(child, ast.If):
                _read_status_branch(module, child)
            elif isinstance(child, ast.Dict):
                for key, value in zip(child.keys, child.values):
                    if key is not None and status_of(key) and dotted(value):
                        module.statuses.append([dotted(value), status_of(key)])
            if not isinstance(child, (ast.Constant, ast.Name)):
                stack.append((child, inner))


def _read_raise(module: _Module, node: ast.Raise, function) -> None:
    if isinstance(node.exc, ast.Call):
        name = dotted(node.exc.func)
        if not name:
            return
        names = None
        if function is not None:
            names = getattr(function, "_names", None)
            if names is None:
                names = function._names = _assigned(function)
        text = None
        for argument in [k.value for k in node.exc.keywords if k.arg and k.arg.lower() in MESSAGE_NAMES] + list(node.exc.args):
            text = clean(template(argument, names))
            if text and " " in text:
                break
        module.raises.append([name, text])
    elif dotted(node.exc):
        module.raises.append([dotted(node.exc), None])


def _read_status_branch(module: _Module, node: ast.If) -> None:
    """`if response.status_code == 404: raise NotFound(...)`, also with `return`."""
    test = node.test
    if not (isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], ast.Eq)):
        return
    left = (dotted(test.left) or "").split(".")[-1].lower()
    status = status_of(test.comparators[0])
    if not status or left not in STATUS_NAMES or len(node.body) != 1:
        return
    statement = node.body[0]
    value = statement.exc if isinstance(statement, ast.Raise) else statement.value if isinstance(statement, ast.Return) else None
    if isinstance(value, ast.Call) and dotted(value.func):
        module.statuses.append([dotted(value.func), status])


# ---------------------------------------------------------------------------------------------------------------- reading one package


def wanted_file(path: str) -> bool:
    parts = path.split("/")
    if not path.endswith((".py", ".pyi")) or ".dist-info/" in path:
        return False
    folders = [part.lower() for part in parts[:-1]]
    return not any(part in SKIPPED_PARTS or part.startswith("test_") for part in folders) and not parts[-1].startswith(
        ("test_", "conftest")
    )


def module_name(path: str) -> tuple[str, bool]:
    path = re.sub(r"^[^/]+\.data/(?:purelib|platlib)/", "", path)
    path = re.sub(r"^(\w+)-stubs/", r"\1/", path)
    stem = path.rsplit(".", 1)[0].replace("/", ".")
    return (stem.removesuffix(".__init__"), True) if stem.endswith("__init__") else (stem, False)


RELEVANT = re.compile(
    r"\braise\b|class \w+\s*\(\s*[\w., \[\]]*(?:Error|Exception|Fault|Interrupt|Exit|Enum|Stop|Base|Timeout|Cancelled)|class \w*(?:Error|Exception|Reason|Code)\b|Literal\["
)


def read_package(package: dict) -> dict:
    """Facts about a package's sources, cached by wheel and FACTS_VERSION."""
    path = wheel_of(package)
    if path is None:
        return {"package": package["name"], "modules": [], "missing": True}
    cached = CACHE / "facts" / f"{path.stem}-{FACTS_VERSION}.json"
    if cached.exists():
        return json.loads(cached.read_text())
    modules, licence = [], ""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        for info in archive.infolist():
            if info.filename.endswith(".dist-info/METADATA"):
                licence = licence_of(archive.read(info).decode("utf-8", "replace"))
            if not wanted_file(info.filename) or info.file_size > MAX_FILE:
                continue
            if info.filename.endswith(".pyi") and info.filename[:-1] in names:
                continue
            source = archive.read(info).decode("utf-8", "replace")
            name, is_package = module_name(info.filename)
            if not is_package and not RELEVANT.search(source):
                continue
            module = read_module(name, is_package, source)
            if module:
                modules.append(module)
    facts = {"package": package["name"], "licence": licence, "modules": modules}
    cached.parent.mkdir(parents=True, exist_ok=True)
    cached.write_text(json.dumps(facts))
    return facts


def licence_of(metadata: str) -> str:
    """The licence as the wheel's metadata names it, in one short phrase."""
    headers = email.parser.HeaderParser().parsestr(metadata)
    if headers.get("License-Expression"):
        return headers["License-Expression"].strip()
    classifiers = [line.split("::")[-1].strip() for line in headers.get_all("Classifier", []) if line.startswith("License ::")]
    classifiers = [one for one in classifiers if one != "OSI Approved"]
    if classifiers:
        return ", ".join(dict.fromkeys(classifiers))
    text = (headers.get("License") or "").strip()
    if "\n" in text or len(text) > 60:
        for word in ("Apache", "MIT", "BSD", "Mozilla", "GNU", "Proprietary"):
            if word in text[:400]:
                return word
        return "see the package"
    return text or "not stated"


# ------------------------------------------------------------------------------------------------------------------ Python's own classes

STANDARD_MODULES = """asyncio asyncio.exceptions binascii bz2 codecs concurrent.futures configparser csv ctypes dataclasses email.errors ftplib gzip
    http.client http.cookiejar imaplib importlib.metadata json json.decoder locale lzma mailbox multiprocessing netrc nntplib pickle plistlib poplib queue
    re select shelve shlex shutil signal smtplib socket sqlite3 ssl string struct subprocess tarfile tempfile threading tokenize tomllib
    unicodedata urllib.error uuid wave xml.dom xml.etree.ElementTree xml.parsers.expat xml.sax xmlrpc.client zipfile zipimport zlib zoneinfo
    decimal fractions statistics getopt argparse optparse copy cmd code bdb pdb ast inspect runpy graphlib ipaddress webbrowser""".split()


def standard_classes() -> dict[str, dict]:
    """Exceptions of Python and its library by name as seen at run time, with base and documentation."""
    found: dict[str, type] = {}
    for name, value in vars(builtins).items():
        if inspect.isclass(value) and issubclass(value, BaseException):
            found[value.__name__] = value
    for module_name_ in STANDARD_MODULES:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                module = importlib.import_module(module_name_)
        except ImportError:
            continue
        for name, value in list(vars(module).items()):
            if inspect.isclass(value) and issubclass(value, BaseException):
                home = value.__module__
                if home.split(".")[0].lstrip("_") not in {m.split(".")[0] for m in STANDARD_MODULES} or home == "builtins":
                    continue
                found.setdefault(f"{home}.{value.__qualname__}", value)
                if module_name_ != home and not name.startswith("_"):
                    found.setdefault(f"{module_name_}.{name}", value)
    classes = {}
    for qualified, value in found.items():
        bases = [one for one in value.__bases__ if issubclass(one, BaseException)]
        base = bases[0] if bases else None
        base_name = None
        if base is not None:
            base_name = base.__name__ if base.__module__ == "builtins" else f"{base.__module__}.{base.__qualname__}"
        classes[qualified] = {
            "name": value.__qualname__,
            "base": base_name,
            "doc": inspect.getdoc(value) if value.__doc__ else "",
            "warning": issubclass(value, Warning),
        }
    return classes


# -------------------------------------------------------------------------------------------------------------------------- resolution


class Index:
    """All modules of all packages, with resolution of names across imports, aliases and star imports."""

    def __init__(self, facts: list[dict], standard: dict[str, dict]):
        self.modules: dict[str, dict] = {}
        self.owner: dict[str, str] = {}
        self.standard = standard
        for package in facts:
            for module in package["modules"]:
                if module["name"] not in self.modules:
                    self.modules[module["name"]] = module
                    self.owner[module["name"]] = package["package"]
        self.memory: dict[tuple[str, str], tuple | None] = {}

    def resolve(self, module: str, name: str, depth: int = 0):
        """("class", module, qualified) | ("standard", name) | ("external", dotted) | None"""
        key = (module, name)
        if key in self.memory:
            return self.memory[key]
        if depth > 30:
            return None
        self.memory[key] = None  # a cycle resolves to nothing
        self.memory[key] = result = self._resolve(module, name, depth)
        return result

    def _resolve(self, module, name, depth):
        facts = self.modules.get(module)
        if facts is None:
            return self._absolute(f"{module}.{name}" if module else name, depth)
        classes = facts.get("classes", {})
        if name in classes:
            return ("class", module, name)
        head, _, rest = name.partition(".")
        if head in facts.get("imports", {}):
            target = facts["imports"][head]
            return self._absolute(f"{target}.{rest}" if rest else target, depth)
        if head in facts.get("aliases", {}) and facts["aliases"][head] != name:
            target = facts["aliases"][head]
            return self.resolve(module, f"{target}.{rest}" if rest else target, depth + 1)
        if f"{module}.{head}" in self.modules and rest:
            return self.resolve(f"{module}.{head}", rest, depth + 1)
        for star in facts.get("stars", []):
            if star in self.modules and star != module:
                found = self.resolve(star, name, depth + 1)
                if found and found[0] == "class":
                    return found
        if name in self.standard and "." not in name:
            return ("standard", name)
        return None

    def _absolute(self, path, depth):
        """A dotted path from the top: the longest known module, then a name in it."""
        if path in self.standard:
            return ("standard", path)
        parts = path.split(".")
        for cut in range(len(parts) - 1, 0, -1):
            module = ".".join(parts[:cut])
            if module in self.modules:
                found = self.resolve(module, ".".join(parts[cut:]), depth + 1)
                if found:
                    return found
                break
        if parts[0] == "builtins" and parts[-1] in self.standard:
            return ("standard", parts[-1])
        return ("external", path)


EXCEPTION_NAME = re.compile(r"(?:Error|Exception|Fault|Failure|Interrupt|Exceeded|NotFound|Timeout|Triggered)$")


# Drivers that have a class for each SQLSTATE, named like PostgreSQL's condition: the class means what the code means.
SQLSTATE_PACKAGES = frozenset(("asyncpg", "psycopg", "psycopg2-binary"))


def spelled(name: str) -> str:
    """A class or condition name without case, underscores and suffix: `UndefinedTableError`, `undefined_table` -> `undefinedtable`."""
    return re.sub(r"[^a-z0-9]", "", name.rsplit(".", 1)[-1].lower()).removesuffix("error")


@functools.cache
def sqlstate_conditions() -> dict[str, str]:
    return {spelled(code): condition for code, _, _, condition in harvest_codes.postgres(CACHE) if not re.fullmatch(r"[0-9A-Z]{5}", code)}


class Harvest:
    """Exception classes with condition, from the index."""

    def __init__(self, index: Index, kinds: dict[str, str], overrides: dict):
        self.index, self.kinds, self.overrides = index, kinds, overrides
        self.exceptional: dict[tuple[str, str], list | None] = {}
        self.conditions: dict[tuple, tuple] = {}
        self.status: dict[tuple, int] = {}
        self.raised: dict[tuple, list[str]] = {}
        self.raise_count: dict[tuple, int] = {}
        self.foreign_raises: list[tuple] = []
        self._read_uses()
        self.names = self._names()
        self.parents = {base[1:] for key in self.names for base in self.bases(key) or [] if base[0] == "class"}
        self.repeated = self._repeated()

    def _read_uses(self):
        seen: dict[tuple, list] = {}
        for module in self.index.modules.values():
            for name, text in module.get("raises", []):
                found = self.index.resolve(module["name"], name)
                if not found:
                    continue
                if found[0] == "class":
                    key = found[1:]
                    self.raise_count[key] = self.raise_count.get(key, 0) + 1
                    texts = self.raised.setdefault(key, [])
                    if text and text not in texts and len(texts) < MAX_TEMPLATES:
                        texts.append(text)
                elif found[0] == "standard" and text:
                    self.foreign_raises.append((module["name"], found[1], text))
            for name, status in module.get("statuses", []):
                found = self.index.resolve(module["name"], name)
                if found and found[0] == "class":
                    seen.setdefault(found[1:], []).append(status)
        for key, statuses in seen.items():
            # Every use must stand beside the status: a class that is also raised elsewhere does not stand for it.
            if len(set(statuses)) == 1 and self.raise_count.get(key, 0) <= len(statuses):
                self.status[key] = statuses[0]

    def bases(self, key, depth=0):
        """The exception bases of a class, or None if it is no exception."""
        if key in self.exceptional:
            return self.exceptional[key]
        if depth > 30:
            return None
        self.exceptional[key] = None
        module, qualified = key
        found = []
        for name in self.index.modules[module]["classes"][qualified]["bases"]:
            target = self.index.resolve(module, name)
            if target is None or target[0] == "external":
                if EXCEPTION_NAME.search(name) and (EXCEPTION_NAME.search(qualified) or name.endswith(("Error", "Exception"))):
                    path = target[1] if target else name
                    found.append(("external", path))
            elif target[0] == "standard":
                if not self.index.standard[target[1]]["warning"]:
                    found.append(target)
                else:
                    found.append(("warning",))
            elif target[1:] != key and self.bases(target[1:], depth + 1):
                found.append(target)
        self.exceptional[key] = found or None
        return self.exceptional[key]

    def is_warning(self, key, depth=0):
        for base in self.bases(key) or []:
            if base[0] == "warning" or (base[0] == "class" and depth < 20 and self.is_warning(base[1:], depth + 1)):
                return True
        return False

    def facts(self, key):
        return self.index.modules[key[0]]["classes"][key[1]]

    def _names(self):
        """Name at run time of each exception class, and the public import path if that is another."""
        runtime, public = {}, {}
        for module in self.index.modules.values():
            for qualified in module.get("classes", {}):
                key = (module["name"], qualified)
                if self.bases(key):
                    home = self.facts(key).get("module") or module["name"]
                    runtime[key] = f"{home}.{qualified}"
        for module in self.index.modules.values():
            if module.get("override"):
                for name in module.get("exported") or list(module.get("imports", {})):
                    found = self.index.resolve(module["name"], name)
                    if (
                        found
                        and found[0] == "class"
                        and found[1:] in runtime
                        and found[2] == name
                        and found[1].split(".")[0] == module["name"].split(".")[0]
                    ):
                        runtime[found[1:]] = f"{module['override']}.{name}"
        for module in self.index.modules.values():
            last = module["name"].split(".")[-1]
            if any(part.startswith("_") for part in module["name"].split(".")) or not (
                module["is_package"] or re.search("errors?$|exceptions?$|^exc$", last)
            ):
                continue
            names = set(module.get("imports", {})) | set(module.get("aliases", {})) | set(module.get("classes", {}))
            for star in module.get("stars", []):
                if star in self.index.modules:
                    names |= set(self.index.modules[star].get("exported") or self.index.modules[star].get("classes", {}))
            for name in names:
                if name.startswith("_"):
                    continue
                found = self.index.resolve(module["name"], name)
                if (
                    found
                    and found[0] == "class"
                    and found[1:] in runtime
                    and found[2] == name
                    and self.same_project(found[1], module["name"])
                ):
                    path = f"{module['name']}.{name}"
                    best = public.get(found[1:])
                    if best is None or (path.count("."), len(path), path) < (best.count("."), len(best), best):
                        public[found[1:]] = path
        return {key: (name, public.get(key)) for key, name in runtime.items()}

    def _repeated(self) -> set:
        """Copies of a class in generated clients, one a sub-API: only the first of more than four is shipped."""
        groups: dict[tuple, list] = {}
        for key in self.names:
            groups.setdefault((self.index.owner[key[0]], key[1]), []).append(key)
        repeated = set()
        for keys in groups.values():
            if len(keys) > 4:
                repeated |= set(sorted(keys, key=lambda key: (key[0].count("."), key[0]))[1:])
        return repeated

    def same_project(self, one, other):
        return self.index.owner[one] == self.index.owner[other]

    def name_of(self, target) -> str:
        return self.names[target[1:]][0] if target[0] == "class" else target[1]

    def main_base(self, key):
        """The base that says most: the first that names a cause, else the first."""
        bases = [base for base in self.bases(key) or [] if base[0] != "warning"]
        for base in bases:
            if self.effective(base) not in (None, "exception"):
                return base
        return bases[0] if bases else None

    def effective(self, target, depth=0):
        """The condition of a class or of the first base that has one."""
        if target is None or depth > 30:
            return None
        if target[0] == "class":
            condition = self.condition(target[1:], depth + 1)[0]
            return condition or self.effective(self.main_base(target[1:]), depth + 1)
        if target[0] == "standard":
            return self.standard_condition(target[1])[0]
        if target[0] == "external":
            return derivation.derive(target[1], module=target[1])[0]
        return None

    def standard_condition(self, name, depth=0):
        fixed = self.overrides.get("condition", {}).get(name)
        if fixed is not None:
            return fixed["is"] or None, "override"
        facts = self.index.standard[name]
        base = self.standard_condition(facts["base"], depth + 1)[0] if facts["base"] in self.index.standard and depth < 20 else None
        condition, how = derivation.derive(
            facts["name"], facts["doc"], None, base, name.rsplit(".", 1)[0] if "." in name else "builtins", (), kind="builtin"
        )
        return condition or base, how

    def condition(self, key, depth=0):
        if key in self.conditions:
            return self.conditions[key]
        self.conditions[key] = (None, "cycle")
        self.conditions[key] = result = self._condition(key, depth)
        return result

    def _condition(self, key, depth):
        module, qualified = key
        runtime = self.names[key][0] if hasattr(self, "names") and key in self.names else f"{module}.{qualified}"
        facts = self.facts(key)
        for name in (runtime, self.names[key][1] if hasattr(self, "names") and key in self.names else None):
            fixed = self.overrides.get("condition", {}).get(name)
            if fixed is not None:
                return fixed["is"] or None, "override"
        owner = self.index.owner[module]
        if owner in SQLSTATE_PACKAGES and (known := sqlstate_conditions().get(spelled(qualified))):
            return known, "sqlstate"
        base = self.main_base(key) if depth < 28 else None
        # What a class with subclasses is raised with says nothing about them.
        templates = [] if key in self.parents else list(dict.fromkeys(facts.get("templates", []) + self.raised.get(key, [])))
        condition, how = derivation.derive(
            qualified,
            facts.get("doc", ""),
            self.own_status(key),
            self.effective(base, depth + 1),
            module,
            templates,
            kind=self.kinds[owner],
        )
        return condition, how

    def inherited_status(self, key, depth=0):
        """The status of a class or of its bases."""
        status = self.own_status(key)
        base = self.main_base(key)
        if status is None and base and base[0] == "class" and depth < 20:
            return self.inherited_status(base[1:], depth + 1)
        return status

    def own_status(self, key):
        """The status that a class is defined with, or that code maps to it (not to a class with subclasses: they have their own)."""
        return self.facts(key).get("status") or (None if key in self.parents else self.status.get(key))


# ------------------------------------------------------------------------------------------------------------------------------- output


# Faults of the caller's code that every generated client declares.
GENERATED = frozenset(("MissingStreamClassError", "StreamAlreadyConsumed", "NoneResponseError"))


def shipped(harvest: Harvest, key) -> bool:
    """Whether a class can reach a trace: public, or raised by its package."""
    module, qualified = key
    if qualified in GENERATED and module.split(".")[0] not in ("openai", "anthropic"):
        return False
    if any(part.startswith("_") for part in qualified.split(".")) or qualified.endswith("Warning") or harvest.is_warning(key):
        return False
    parts = module.split(".")
    if any(
        part
        in ("cli", "_cli", "__main__", "commands", "migrations", "codegen", "devtools", "_typing", "mypy", "sphinx", "docutils", "lint")
        for part in parts
    ):
        return False
    if any(module == skipped or module.startswith(skipped + ".") for skipped in harvest.overrides.get("skip", [])):
        return False
    private = any(part.startswith("_") for part in parts[1:])
    return (
        not private
        or harvest.names[key][1] is not None
        or harvest.facts(key).get("module") is not None
        or harvest.raise_count.get(key, 0) > 0
    )


# Kinds of package of which a known class is worth a row even if it names no cause: who raised it matters.
CORE_KINDS = frozenset(("model_sdk", "framework", "mcp", "guardrail", "http", "builtin"))


TELLS_WHERE = re.compile(r"Tool|Agent|Model|Run|Workflow|Graph|Step|Function|Sandbox|Guardrail|Skill|MCP|LLM|Generation|Chat|Completion|Retr|Redirect|Request|Response")


def says_nothing(harvest: Harvest, key) -> bool:
    """A class that names no cause and is nobody's base; of SDKs and frameworks, those of tools, agents and runs are kept, of all packages
    the general classes."""
    return (
        (harvest.kinds[harvest.index.owner[key[0]]] not in CORE_KINDS or not TELLS_WHERE.search(key[1].rsplit(".", 1)[-1]))
        and key not in harvest.parents
        and harvest.effective(("class", *key)) in (None, "exception")
        and harvest.condition(key)[1] not in ("general name", "override")
    )


def shipped_base(harvest: Harvest, key):
    """The nearest base that has a row, so that a chain of bases has no gap."""
    base = harvest.main_base(key)
    for _ in range(20):
        if base is None or base[0] != "class" or (shipped(harvest, base[1:]) and base[1:] not in harvest.repeated):
            return base
        base = harvest.main_base(base[1:])
    return None


def rows(harvest: Harvest):
    """Rows of classes.tsv: (qualified name, package, base, status, condition)."""
    found: dict[str, tuple] = {}
    for name, facts in harvest.index.standard.items():
        if facts["warning"] or facts["name"] == "Warning" or facts["name"].startswith("_"):
            continue
        condition = harvest.standard_condition(name)[0]
        found[name] = (name, "builtin:python", facts["base"] or "", "", condition or "")
    for key in sorted(harvest.names):
        if not shipped(harvest, key) or key in harvest.repeated or says_nothing(harvest, key):
            continue
        runtime, public = harvest.names[key]
        package = f"pypi:{harvest.index.owner[key[0]]}"
        base = shipped_base(harvest, key)
        condition = harvest.condition(key)[0] or ""
        status = str(harvest.own_status(key) or "")
        if harvest.effective(("class", *key)) in (None, "exception"):
            status = ""  # the default of a constructor, not what the class stands for
        row = (package, harvest.name_of(base) if base else "", status, condition)
        found.setdefault(runtime, (runtime, *row))
        # A traceback shows the name at run time. A second name is worth a row if that one is private, or if messages use the short one.
        top = public is not None and public.count(".") == 1 and harvest.kinds[harvest.index.owner[key[0]]] in ("model_sdk", "http")
        if public and public != runtime and ("._" in runtime or top):
            found.setdefault(public, (public, *row))
    found = within_limit(harvest, found)
    for extra in harvest.overrides.get("extra", []):
        name = extra["name"]
        found[name] = (name, extra["package"], extra.get("base", ""), str(extra.get("status", "")), extra.get("condition", ""))
    return [found[name] for name in sorted(found)]


# No package gets more rows than this, except those whose errors are met most.
MOST_ROWS = 150
# What an application is built with rather than what its agents call.
MOST_ROWS_OF_KIND = {"parser": 30, "runtime": 30, "web": 30, "security": 30, "browser": 50, "saas": 50, "http": 60, "store": 60, "cloud": 100, "search": 50}
UNLIMITED = frozenset(("builtin:python", "pypi:litellm", "pypi:openai", "pypi:anthropic", "pypi:google-genai", "pypi:asyncpg", "pypi:psycopg"))


def within_limit(harvest: Harvest, found: dict[str, tuple]) -> dict[str, tuple]:
    """The rows without the least useful ones of packages that have too many: leaves that say nothing, then the longest paths."""
    by_package: dict[str, list[str]] = {}
    for name, row in found.items():
        by_package.setdefault(row[1], []).append(name)
    bases = {row[2] for row in found.values()}
    kept = dict(found)
    for package, names in by_package.items():
        most = MOST_ROWS_OF_KIND.get(harvest.kinds.get(package.removeprefix("pypi:"), ""), MOST_ROWS)
        if package not in UNLIMITED and len(names) > most:
            names.sort(key=lambda name: (name not in bases, found[name][4] in ("", "exception"), name.count("."), name))
            for name in names[most:]:
                del kept[name]
    return kept


def corpus(harvest: Harvest):
    """One record for each message of each class; for classes without message one with the documentation only."""
    for key in sorted(harvest.names):
        if harvest.is_warning(key):
            continue
        owner = harvest.index.owner[key[0]]
        facts = harvest.facts(key)
        condition, how = harvest.condition(key)
        effective = condition or harvest.effective(("class", *key))
        texts = list(dict.fromkeys(facts.get("templates", []) + harvest.raised.get(key, []))) or [""]
        for text in texts:
            yield {
                "package": f"pypi:{owner}", "sdk": owner, "class": harvest.names[key][0], "template": text,
                "docstring": derivation.first_sentence(facts.get("doc", "")) if facts.get("doc") else "",
                "condition": effective or "", "how": how if condition else f"base ({how})", "kind": harvest.kinds[owner],
            }  # fmt: skip
    seen = set()
    for module, name, text in harvest.foreign_raises:
        owner = harvest.index.owner[module]
        if (owner, text) in seen:
            continue
        seen.add((owner, text))
        by_text = derivation.from_text(text)
        by_class = harvest.standard_condition(name)[0]
        condition, how = (by_class, "class") if by_class not in (None, "exception") else (by_text, "text")
        yield {
            "package": f"pypi:{owner}", "sdk": owner, "class": name, "template": text, "docstring": "",
            "condition": condition or "", "how": how if condition else "unknown", "kind": harvest.kinds[owner],
        }  # fmt: skip


ENUM_NAME = re.compile(
    r"(?:error|finish|stop|block|failure|incomplete|termination|cancel|reject)\w*(?:code|codes|type|types|reason|reasons|status|name|kind|s)?$|status_?code|errno|^ER$|rcode",
    re.IGNORECASE,
)


def code_rows(harvest: Harvest, origins: dict[str, str]):
    """Members of enums of error codes and finish reasons, and codes that classes carry: (code, origin, status, condition)."""
    found: dict[tuple, tuple] = {}
    for module in harvest.index.modules.values():
        owner = harvest.index.owner[module["name"]]
        origin = origins.get(owner)
        if not origin:
            continue
        kind = harvest.kinds[owner]
        for name, members in module.get("enums", {}).items():
            if not ENUM_NAME.search(name.split(".")[-1]):
                continue
            for member, value in members.items():
                code = value if isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.:-]{3,60}", value) else member
                if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:-]{4,60}", code) or code.startswith("_"):
                    continue
                condition, tier, _ = derivation.from_name(code.replace(".", "_"), kind)
                reason = "reason" in name.lower()
                if reason:
                    condition = FINISH_REASONS.get(re.sub(r"[^a-z]", "", code.lower())) or condition
                if not reason and re.fullmatch(r"[A-Za-z][a-z]+|[A-Z]+", code):
                    continue  # a word of ordinary text
                if condition and condition != "exception" and (tier >= 2 or reason):
                    found.setdefault((code, origin), (code, origin, "", condition))
    for key in sorted(harvest.names):
        origin = origins.get(harvest.index.owner[key[0]])
        code = next((value for value in harvest.facts(key).get("attributes", {}).values() if isinstance(value, str)), "")
        condition = harvest.effective(("class", *key))
        if origin and condition not in (None, "exception") and re.fullmatch(r"[A-Za-z][A-Za-z0-9_.:-]{4,60}|[0-9A-Z]{5}", code):
            found.setdefault((code, origin), (code, origin, str(harvest.inherited_status(key) or ""), condition))
    return [found[key] for key in sorted(found)]


FINISH_REASONS = {
    "blockedreasonunspecified": "safety_filter", "jailbreak": "safety_filter", "malformedresponse": "malformed_json", "continue": "", "interrupt": "",
    "length": "output_truncated", "maxtokens": "output_truncated", "maxoutputtokens": "output_truncated", "contentfilter": "safety_filter", "contentfiltered": "safety_filter", "safety": "safety_filter",
    "recitation": "safety_filter", "blocklist": "safety_filter", "prohibitedcontent": "safety_filter", "spii": "safety_filter", "imagesafety": "safety_filter", "refusal": "model_refusal",
    "malformedfunctioncall": "invalid_tool_arguments", "unexpectedtoolcall": "unknown_tool", "guardrailintervened": "guardrail_blocked", "modelcontextwindowexceeded": "context_window_exceeded",
}  # fmt: skip


def load() -> Harvest:
    listed = packages()
    with concurrent.futures.ProcessPoolExecutor(2) as pool:
        facts = list(pool.map(read_package, listed, chunksize=4))
    for package in facts:
        if package.get("missing"):
            print(f"no wheel: {package['package']}", file=sys.stderr)
    overrides = tomllib.loads((HERE / "overrides.toml").read_text())
    return Harvest(Index(facts, standard_classes()), {one["name"]: one["kind"] for one in listed}, overrides)


def by_condition(harvest: Harvest) -> None:
    """Prints the names of the shipped classes by derived condition: the quickest way to see what a rule catches wrongly."""
    groups: dict[str, dict[str, None]] = {}
    for key in sorted(harvest.names):
        if shipped(harvest, key) and key not in harvest.repeated:
            condition, how = harvest.condition(key)
            mark = {"name": "", "doc": "~d", "messages": "~m", "status": "~s"}.get(how.split(":")[0], "~")
            groups.setdefault(condition or "", {})[key[1].split(".")[-1] + mark] = None
    for condition in sorted(groups):
        print(f"== {condition or '(base)'} {len(groups[condition])}\n" + " ".join(groups[condition]))


def review(harvest: Harvest, count: int, seed: int) -> None:
    """Prints a random sample of shipped classes with what is known about them, for a person to judge."""
    import random

    keys = [
        key for key in sorted(harvest.names) if shipped(harvest, key) and key not in harvest.repeated and not says_nothing(harvest, key)
    ]
    for number, key in enumerate(sorted(random.Random(seed).sample(keys, count)), 1):
        facts, base = harvest.facts(key), harvest.main_base(key)
        condition, how = harvest.condition(key)
        effective = condition or f"({harvest.effective(('class', *key))})"
        texts = list(dict.fromkeys(facts.get("templates", []) + harvest.raised.get(key, [])))
        document = derivation.first_sentence(facts.get("doc", ""))[:160] if facts.get("doc") else ""
        print(
            f"{number} {harvest.names[key][0]} < {harvest.name_of(base) if base else ''} [{harvest.own_status(key) or ''}] => {effective} <{how[:24]}>"
        )
        if document or texts:
            print(f"      {document} | {' | '.join(text[:110] for text in texts[:3])}")


def write_sources() -> None:
    """Rewrites the table of packages in README.md, with the licence that each wheel's metadata names."""
    lines = ["| package | version | kind | licence |", "|---|---|---|---|"]
    for package in sorted(packages(), key=lambda one: one["name"]):
        licence = read_package(package).get("licence") or "not stated"
        lines.append(f"| {package['name']} | {package['version']} | {package['kind']} | {licence.replace('|', '/')} |")
    readme = HERE / "README.md"
    before, _, rest = readme.read_text().partition("<!-- python sources -->")
    after = rest.partition("<!-- end -->")[2]
    readme.write_text(f"{before}<!-- python sources -->\n" + "\n".join(lines) + f"\n<!-- end -->{after}")


def write_table(path: Path, lines) -> None:
    path.write_text("".join("\t".join(line) + "\n" for line in lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--download", action="store_true", help="download missing wheels first")
    parser.add_argument("--review", type=int, metavar="SEED", help="print 200 random classes for an audit and stop")
    parser.add_argument("--sources", action="store_true", help="rewrite the table of packages in README.md and stop")
    parser.add_argument("--words", action="store_true", help="print the shipped class names by condition and stop")
    parser.add_argument("--classes", type=Path, default=CACHE / "harvest" / "classes-python.tsv")
    parser.add_argument("--codes", type=Path, default=CACHE / "harvest" / "codes-python.tsv")
    parser.add_argument("--corpus", type=Path, default=CACHE / "corpus-python.jsonl")
    arguments = parser.parse_args()
    if arguments.download:
        (CACHE / "wheels").mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            for package, problem in zip(packages(), pool.map(download, packages())):
                if problem:
                    print(f"{package['name']}: {problem}", file=sys.stderr)
    if arguments.sources:
        return write_sources()
    harvest = load()
    if arguments.review is not None:
        return review(harvest, 200, arguments.review)
    if arguments.words:
        return by_condition(harvest)
    table = rows(harvest)
    names = {row[0] for row in table}
    for name in harvest.overrides["condition"]:
        if name not in names:
            print(f"overrides.toml: no class {name}", file=sys.stderr)
    arguments.classes.parent.mkdir(parents=True, exist_ok=True)
    write_table(arguments.classes, table)
    origins = {one["name"]: one["origin"] for one in packages() if "origin" in one}
    codes = code_rows(harvest, origins)
    write_table(arguments.codes, codes)
    records = list(corpus(harvest))
    arguments.corpus.parent.mkdir(parents=True, exist_ok=True)
    with arguments.corpus.open("w") as file:
        for record in records:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
    print(f"{len(table)} classes, {len(codes)} codes, {len(records)} corpus records")


if __name__ == "__main__":
    main()
