"""Finds exception classes of Java, Kotlin, C# and Ruby: in compiled classes of a JDK, and in sources by patterns."""

import re
import struct

_ACC_PUBLIC = 0x0001


def class_file(data):
    """(name, superclass, is public) of a compiled class."""
    magic, _minor, _major, count = struct.unpack_from(">IHHH", data, 0)
    if magic != 0xCAFEBABE:
        return None
    pos, pool, i = 10, [None] * count, 1
    while i < count:
        tag = data[pos]
        if tag == 1:
            (n,) = struct.unpack_from(">H", data, pos + 1)
            pool[i] = data[pos + 3 : pos + 3 + n].decode("utf-8", "replace")
            pos += 3 + n
        elif tag in (3, 4, 9, 10, 11, 12, 17, 18):
            pos += 5
        elif tag in (5, 6):
            pos += 9
            i += 1
        elif tag == 7:
            pool[i] = struct.unpack_from(">H", data, pos + 1)[0]
            pos += 3
        elif tag in (8, 16, 19, 20):
            pos += 3
        elif tag == 15:
            pos += 4
        else:
            return None
        i += 1
    access, this, parent = struct.unpack_from(">HHH", data, pos)
    name = pool[pool[this]].replace("/", ".")
    return name, pool[pool[parent]].replace("/", ".") if parent else "", bool(access & _ACC_PUBLIC)


_PACKAGE = re.compile(r"^\s*(?:package|namespace)\s+([\w.]+)", re.M)
_JAVA = re.compile(r"\bclass\s+([A-Z]\w*(?:Exception|Error|Throwable))\s*(?:<[^>{]*>)?\s*extends\s+([\w.]+)")
_KOTLIN = re.compile(r"\bclass\s+([A-Z]\w*(?:Exception|Error))\b(?:<[^>{]*>)?[^:{;]*?(?:\([^{}]*?\))?\s*:\s*((?:[A-Z][\w.]*)?(?:Exception|Error|Throwable))\b")
_CSHARP = re.compile(r"\bclass\s+([A-Z]\w*(?:Exception))\s*(?:\([^)]*\))?\s*:\s*((?:[A-Z][\w.]*)?Exception)\b")
_RUBY = re.compile(r"^\s*class\s+([A-Z]\w*(?:Error|Exception)?)\s*<\s*([\w:]+)", re.M)
_STATUS = re.compile(r"(?:override fun statusCode\(\): Int = |statusCode\(\)\s*\{\s*return\s+|HTTP_STATUS = )(\d{3})")
_IMPORT = re.compile(r"^\s*import\s+(?:static\s+)?([\w.]+)\s*;?\s*$", re.M)


def sources(path, text):
    """[(qualified name, base, documentation, status, messages)] of one source file."""
    package = _PACKAGE.search(text)
    package = package.group(1) if package else ""
    imports = {i.split(".")[-1]: i for i in _IMPORT.findall(text)}
    pattern = _JAVA if path.endswith(".java") else _KOTLIN if path.endswith(".kt") else _CSHARP
    rows = []
    for m in pattern.finditer(text):
        name, base = m.groups()
        base = base if "." in base else imports.get(base, base)
        before = text[: m.start()]
        doc = re.findall(r"/\*\*([\s\S]*?)\*/|((?:^\s*///[^\n]*\n)+)", before[-3000:], re.M)
        last = ""
        if doc:
            raw = doc[-1][0] or doc[-1][1]
            tail = before.rsplit(raw, 1)[-1]
            if len(tail) < 300 and "{" not in tail and ";" not in tail:
                last = " ".join(re.sub(r"^\s*(?:\*|///)\s?|</?\w+[^>]*>", "", l).strip() for l in raw.split("\n"))
        last = re.sub(r"\{@\w+ ([^}]*)\}|<[^>]+>", r"\1", last or "").strip()
        last = re.split(r"\s@(?:author|param|since|see)\b", last)[0]
        status = _STATUS.search(text)
        messages = re.findall(r"super\(\s*\"((?:[^\"\\]|\\.)*)\"", text)
        rows.append((f"{package}.{name}" if package else name, base, last[:500], int(status.group(1)) if status and len(pattern.findall(text)) == 1 else None, messages))
    return rows
