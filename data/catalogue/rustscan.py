"""Finds error types in the sources of a Rust crate: enums and structs that implement `Error`, their variants, texts and docs."""

import re

_COMMENT = re.compile(r'//[^\n]*|/\*[\s\S]*?\*/|b?r#*"[\s\S]*?"#*|b?"(?:[^"\\]|\\[\s\S])*"|\'(?:[^\'\\\n]|\\[^\n]{1,8})\'')
_TYPE = re.compile(r"\bpub(?:\([^)]*\))?\s+(enum|struct)\s+([A-Z]\w*)(?:<[^>{(;]*>)?\s*(?:where[^{]*)?([{(;])")
_IMPL = re.compile(r"\bimpl\s*(?:<[^{;]*?>)?\s*(?:::)?(?:std::error::|core::error::|error::|StdError::)?(?:Error|StdError)\s+for\s+([A-Z]\w*)")
_DERIVE = re.compile(r"derive\([^)]*\b(?:thiserror::)?(?:Error|Snafu|Display)\b")
_DISPLAY_ARM = re.compile(r"(?:[A-Z]\w*|Self)::([A-Z]\w*)[^=]{0,80}=>\s*(?:\{\s*)?(?:write!|f\.write_str|write_str|fmt\.write_str|\w+\.write_str|f\.pad)\(\s*(?:\w+\s*,\s*)?(?=b?r?#*\")")


def mask(text):
    """Comments and string contents blanked, at unchanged offsets."""
    out = []
    pos = 0
    for m in _COMMENT.finditer(text):
        s, e = m.span()
        out.append(text[pos:s])
        t = m.group()
        if t[0] == "/":
            out.append(" " * (e - s))
        elif t[0] == "'" or len(t) < 2:
            out.append(" " * (e - s))
        else:
            i = t.index('"')
            out.append(t[: i + 1] + " " * (len(t) - i - 2) + t[-1])
        pos = e
    out.append(text[pos:])
    return "".join(out)


def _close(masked, start, pair):
    depth = 0
    for i in range(start, min(len(masked), start + 200_000)):
        if masked[i] == pair[0]:
            depth += 1
        elif masked[i] == pair[1]:
            depth -= 1
            if depth == 0:
                return i + 1
    return min(len(masked), start + 200_000)


def _string(text, masked, at):
    m = re.compile(r'b?r?#*"').match(masked, at)
    if not m:
        return None
    end = masked.find('"', m.end())
    if end < 0:
        return None
    return re.sub(r"\\\n\s*", "", text[m.end() : end]).replace('\\"', '"').replace("\\n", " ")


def placeholders(message):
    return re.sub(r"\{([A-Za-z_]\w*)?[^{}]*\}", lambda m: "{" + (m.group(1) or "x") + "}", message)


def _attributes_before(text, masked, pos):
    """Documentation and attributes directly above `pos`, as raw text."""
    lines = text[:pos].split("\n")[:-1] if text[:pos].endswith("\n") or not text[:pos].split("\n")[-1].strip() else text[:pos].split("\n")[:-1]
    taken = []
    for line in reversed(lines):
        s = line.strip()
        if s.startswith(("///", "#[", "#![")) or (taken and s.endswith(")]") and not s.endswith(";")) or (s and taken and taken[-1].startswith(")")) :
            taken.append(s)
        elif s.startswith(("//", ")")) or (taken and re.match(r'^("|\w+\s*=|\))', s)):
            taken.append(s)
        else:
            break
    return "\n".join(reversed(taken))


def _doc(attributes):
    return " ".join(l[3:].strip() for l in attributes.split("\n") if l.startswith("///") and not l.startswith("////"))[:500]


def scan(text, found):
    """Adds to `found`: type name -> {kind, doc, is_error, variants: {name: {doc, message}}, messages}."""
    masked = mask(text)
    implemented = {m.group(1) for m in _IMPL.finditer(masked)}
    for m in _TYPE.finditer(masked):
        kind, name, opening = m.groups()
        attributes = _attributes_before(text, masked, m.start())
        derived = bool(_DERIVE.search(attributes)) and "Error" in attributes
        if not (derived or name in implemented or re.search(r"(?:Error|ErrorKind|ErrorCode)$", name)):
            continue
        entry = found.setdefault(name, {"kind": kind, "doc": "", "is_error": False, "variants": {}, "messages": []})
        entry["is_error"] = entry["is_error"] or derived or name in implemented
        entry["doc"] = entry["doc"] or _doc(attributes)
        am = re.search(r'#\[error\(\s*"((?:[^"\\]|\\.)*)"', attributes)
        if am:
            entry["messages"].append(placeholders(am.group(1)))
        if kind != "enum" or opening != "{":
            continue
        start = m.end() - 1
        end = _close(masked, start, "{}")
        pos = start + 1
        while pos < end - 1:
            # one variant: attributes, name, optional fields, comma
            vm = re.compile(r"\s*((?:#\[)?)").match(masked, pos)
            at = vm.end() - len(vm.group(1))
            attrs_start = pos
            while masked.startswith("#[", at):
                at = _close(masked, at + 1, "[]")
                at = re.compile(r"\s*").match(masked, at).end()
            nm = re.compile(r"([A-Z]\w*)\s*").match(masked, at)
            if not nm:
                break
            attrs = text[attrs_start:at]
            doc = " ".join(re.findall(r"^\s*///\s?(.*)$", attrs, re.M))[:500]
            em = re.search(r'#\[(?:error|snafu\(display|display)\(\s*(?:fmt\s*=\s*)?r?#*"((?:[^"\\]|\\.)*)"', attrs)
            entry["variants"].setdefault(nm.group(1), {"doc": doc, "message": placeholders(re.sub(r"\\\n\s*", "", em.group(1))) if em else ""})
            pos = nm.end()
            if pos < end and masked[pos] in "({":
                pos = _close(masked, pos, "()" if masked[pos] == "(" else "{}")
            comma = masked.find(",", pos, end)
            if comma < 0:
                break
            pos = comma + 1
    for m in _DISPLAY_ARM.finditer(masked):
        message = _string(text, masked, m.end())
        if message and len(message) > 4:
            for entry in found.values():
                v = entry["variants"].get(m.group(1))
                if v is not None and not v["message"]:
                    v["message"] = placeholders(message)
    return implemented
