"""A light scanner for JavaScript and TypeScript sources.

It finds classes that derive from Error, what is known about each (run-time name, code, status, documentation,
messages) and enumerations that look like lists of error codes. Nothing is executed and nothing is parsed in full:
comments and string contents are blanked out first, so that the patterns below only see code.
"""

import re

_TOKEN = re.compile(
    r"""//[^\n]*|/\*[\s\S]*?\*/|"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'|`"""
    r"""|(?:(?<=[(,=:\[!&|?{};+\n])|(?<=[(,=:\[!&|?{};+\n] )|(?<=return )|(?<=return))"""
    r"""/(?![*/])(?:[^/\\\[\n]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*"""
)
_TEMPLATE_PART = re.compile(r"\\[\s\S]|`|\$\{")
_INNER_PART = re.compile(r"""`|[{}]|"(?:[^"\\\n]|\\[\s\S])*"|'(?:[^'\\\n]|\\[\s\S])*'|//[^\n]*|/\*[\s\S]*?\*/""")


def _template_end(text, start):
    """Position after the template literal whose opening backtick is at `start`."""
    pos = start + 1
    depths = []  # one entry per open ${ }, holding its brace depth
    while pos < len(text):
        if depths:
            m = _INNER_PART.search(text, pos)
            if not m:
                return len(text)
            pos = m.end()
            t = m.group()
            if t == "{":
                depths[-1] += 1
            elif t == "}":
                depths[-1] -= 1
                if depths[-1] == 0:
                    depths.pop()
            elif t == "`":
                pos = _template_end(text, m.start())
        else:
            m = _TEMPLATE_PART.search(text, pos)
            if not m:
                return len(text)
            pos = m.end()
            if m.group() == "`":
                return pos
            if m.group() == "${":
                depths.append(1)
    return pos


def mask(text):
    """The text with comments and string contents blanked, at unchanged offsets; and the spans of comments."""
    out = []
    docs = []
    pos = 0
    while True:
        m = _TOKEN.search(text, pos)
        if not m:
            out.append(text[pos:])
            break
        s, e = m.span()
        t = m.group()
        if t == "`":
            e = _template_end(text, s)
        out.append(text[pos:s])
        if t[0] == "/":
            out.append(" " * (e - s))
            if t.startswith("/**"):
                docs.append((s, e))
        else:
            out.append(t[0] + " " * (e - s - 2) + (t[0] if e - s > 1 else ""))
        pos = e
    return "".join(out), docs


def matching(masked, start, pairs="{}"):
    """Position after the bracket that closes the one at `start`."""
    depth = 0
    for m in re.compile("[%s]" % re.escape(pairs)).finditer(masked, start):
        depth += 1 if m.group() == pairs[0] else -1
        if depth == 0:
            return m.end()
        if m.start() - start > 200_000:
            break
    return min(len(masked), start + 200_000)


_ESC = {"n": "\n", "t": "\t", "r": "\r", "b": "", "f": "", "0": ""}


def literal(raw):
    """The text of a string or template literal; `${…}` becomes `{name}`."""
    body = raw[1:-1]
    if raw[0] == "`":
        body = _placeholders(body)
    body = re.sub(r"\\u\{?([0-9a-fA-F]{4,5})\}?|\\x([0-9a-fA-F]{2})", lambda m: chr(int(m.group(1) or m.group(2), 16)), body)
    body = re.sub(r"\\\n", "", body)
    return re.sub(r"\\(.)", lambda m: _ESC.get(m.group(1), m.group(1)), body)


def _placeholders(body):
    out = []
    pos = 0
    while True:
        i = body.find("${", pos)
        if i < 0:
            out.append(body[pos:])
            return "".join(out)
        out.append(body[pos:i])
        depth = 0
        j = i + 1
        while j < len(body):
            if body[j] == "{":
                depth += 1
            elif body[j] == "}":
                depth -= 1
                if depth == 0:
                    break
            j += 1
        names = re.findall(r"[A-Za-z_$][\w$]*", body[i + 2 : j])
        word = "x"
        for n in names:
            if n not in ("JSON", "stringify", "String", "this", "join", "toString", "message", "length") and len(n) > 2:
                word = n
        out.append("{" + word + "}")
        pos = j + 1


_STRING = re.compile(r"""["'`]""")


def string_at(text, masked, pos):
    """The literal that starts at `pos`, or None. Adjacent `"a" + "b"` and `"a" + x` are joined."""
    parts = []
    while pos < len(masked):
        m = re.compile(r"\s*").match(masked, pos)
        pos = m.end()
        if pos >= len(masked):
            break
        c = masked[pos]
        if c in "\"'`":
            end = masked.find(c, pos + 1)
            if end < 0:
                break
            parts.append(literal(text[pos : end + 1]))
            pos = end + 1
        elif parts:
            m = re.compile(r"[\w$.\[\]]+(?:\([\w$., ]*\))?").match(masked, pos)
            if not m:
                break
            names = re.findall(r"[A-Za-z_$][\w$]*", m.group())
            parts.append("{" + (names[-1] if names else "x") + "}")
            pos = m.end()
        else:
            return None
        m = re.compile(r"\s*\+\s*(?!\+)").match(masked, pos)
        if not m:
            break
        pos = m.end()
    return "".join(parts) if parts else None


_CLASS = re.compile(r"\bclass\b(?:\s+([A-Za-z_$][\w$]*))?\s*(?=<|extends\b)")
_EXTENDS = re.compile(r"\s*extends\s+")
_ALIAS_IMPORT = re.compile(r"\b([A-Za-z_$][\w$]*)\s+as\s+([A-Za-z_$][\w$]*)")
_ALIAS_REQUIRE = re.compile(r"\{([^{};=()]{1,3000})\}\s*=\s*require\(")
_INHERITS = re.compile(r"\b(?:util\.|util_1\.)?inherits\)?\(\s*([A-Za-z_$][\w$]*)\s*,\s*([A-Za-z_$][\w$.]*)\s*\)|__extends\(\s*([A-Za-z_$][\w$]*)\s*,\s*_super\s*\)")
_IDENT = re.compile(r"[A-Za-z_$][\w$]*(?:\.[A-Za-z_$][\w$]*)*")
_CONST = re.compile(r"\b(?:var|let|const)\s+([A-Za-z_$][\w$]*)\s*=\s*(?=[\"'])")
_NAME_SET = re.compile(r"\bthis\.name\s*=\s*|(?<![\w.$])(?:readonly\s+|override\s+|static\s+|public\s+|declare\s+)*name\s*(?:\??\s*:\s*|=\s*)")
_CODE_SET = re.compile(r"\bthis\.code\s*=\s*|(?<![\w.$])(?:readonly\s+|override\s+|static\s+|public\s+|declare\s+)*code\s*(?::\s*|=\s*)(?=[\"'])")
_STATUS_SET = re.compile(r"\b(?:this\.)?(?:status|statusCode|httpStatus|httpCode|httpStatusCode|status_code|httpCode)\s*[:=]\s*(?:=\s*)?([1-5]\d\d)\b")
_SUPER = re.compile(r"\bsuper\s*\(\s*")
_MESSAGE_SET = re.compile(r"(?<![\w$])message\s*(?::|=)\s*(?=[\"'`])")
_NEW = re.compile(r"\bnew\s+([A-Za-z_$][\w$.]*)\s*\(\s*")
_NEW_WRAPPED = re.compile(r"\bnew\s+\(0,\s*([A-Za-z_$][\w$.]*)\)\s*\(\s*")
_TAGGED = re.compile(r"\bTaggedError(?:Class)?\b[^;{}]{0,80}?\(\s*(?=[\"'])")


class Found:
    """What one package says of one class."""

    def __init__(self, name):
        self.name = name
        self.bases = []
        self.runtime = None
        self.dynamic_name = False
        self.codes = []
        self.status = None
        self.doc = ""
        self.messages = []
        self.thrown = []
        self.file = ""

    def as_dict(self):
        return dict(self.__dict__)


def clean_doc(raw):
    raw = re.sub(r"^/\*\*|\*/$", "", raw)
    lines = [re.sub(r"^\s*\*\s?", "", l).rstrip() for l in raw.split("\n")]
    out = []
    for l in lines:
        s = l.strip()
        if s.startswith("@") and not s.startswith(("@remarks", "@description", "@public")):
            if s.startswith(("@example", "@param", "@deprecated", "@internal", "@see", "@template")):
                break
            continue
        out.append(re.sub(r"\{@link ([^}|]*)[^}]*\}", r"\1", s))
    return " ".join(x for x in out if x).strip()[:600]


def scan(path, text, found, aliases_out=None):
    """Adds the classes of one file to `found` (name -> Found). Returns masked text for further scans."""
    masked, docs = mask(text)
    doc_ends = {}
    for s, e in docs:
        doc_ends[e] = s
    doc_list = sorted(doc_ends)
    consts = {}
    for m in _CONST.finditer(masked):
        v = string_at(text, masked, m.end())
        if v is not None:
            consts.setdefault(m.group(1), v)
    alias = {}
    for m in _ALIAS_IMPORT.finditer(masked):
        alias[m.group(2)] = m.group(1)
    for m in _ALIAS_REQUIRE.finditer(masked):
        for a, b in re.findall(r"([A-Za-z_$][\w$]*)\s*:\s*([A-Za-z_$][\w$]*)", m.group(1)):
            alias[b] = a
    is_ts = path.endswith(".ts") or path.endswith(".mts") or path.endswith(".cts")

    def value(pos):
        v = string_at(text, masked, pos)
        if v is not None:
            return v
        m = _IDENT.match(masked, pos)
        if m:
            if m.group() in consts:
                return consts[m.group()]
            if re.search(r"constructor\.name|new\.target\.name|target\.prototype", masked[pos : pos + 60].split(";")[0]):
                return True
        return None

    def get(name):
        return found.setdefault(name, Found(name))

    def doc_before(pos):
        # the last JSDoc comment that ends before `pos` with only declaration words between
        import bisect

        i = bisect.bisect_right(doc_list, pos) - 1
        if i < 0:
            return ""
        e = doc_list[i]
        between = masked[e:pos].strip()
        if len(between) > 80 or not re.fullmatch(r"[\w$=\s]*", between):
            return ""
        return clean_doc(text[doc_ends[e] : e])

    for m in _CLASS.finditer(masked):
        pos = m.end()
        if pos < len(masked) and masked[pos] == "<":
            depth = 0
            while pos < len(masked) and pos - m.end() < 2000:
                c = masked[pos]
                if c == "<":
                    depth += 1
                elif c == ">" and masked[pos - 1] != "=":
                    depth -= 1
                    if depth == 0:
                        pos += 1
                        break
                pos += 1
        x = _EXTENDS.match(masked, pos)
        if not x:
            continue
        pos = x.end()
        # the base expression ends at the opening brace of the body
        start = pos
        depth = angle = 0
        while pos < len(masked) and pos - start < 1500:
            c = masked[pos]
            if c in "([":
                depth += 1
            elif c in ")]":
                depth -= 1
            elif is_ts and c == "<":
                angle += 1
            elif is_ts and c == ">" and masked[pos - 1] != "=":
                angle -= 1
            elif c == "{" and depth == 0 and angle <= 0:
                break
            elif c == "{" and (depth > 0 or angle > 0):
                pos = matching(masked, pos) - 1
            pos += 1
        if pos >= len(masked) or masked[pos] != "{":
            continue
        base_expr = masked[start:pos]
        before = re.search(r"([A-Za-z_$][\w$]*)\s*=\s*$", masked[max(0, m.start() - 80) : m.start()])
        name = m.group(1)
        if before and (not name or name.lstrip("_$") == before.group(1) or len(name) < 3):
            name = before.group(1)
        if not name:
            continue
        tagged = _TAGGED.search(masked, start, pos)
        tag = string_at(text, masked, tagged.end()) if tagged else None
        end = matching(masked, pos)
        body = masked[pos:end]
        c = get(name)
        c.file = c.file or path
        if tag:
            c.bases.append("TaggedError")
            c.runtime = c.runtime or tag.split("/")[-1]
        generic_status = re.search(r"<\s*([1-5]\d\d)\b", base_expr)
        if generic_status:
            c.status = c.status or int(generic_status.group(1))
        expr = re.sub(r"<[\s\S]*", "", base_expr) if is_ts else base_expr
        for b in _IDENT.findall(expr):
            b = b.split(" implements")[0].split(".")[-1]
            if b == "implements":
                break
            b = alias.get(b, b)
            if b not in c.bases:
                c.bases.append(b)
        if not c.doc:
            c.doc = doc_before(m.start())
        for r in _NAME_SET.finditer(body):
            v = value(pos + r.end())
            if v is True:
                c.dynamic_name = True
            elif isinstance(v, str) and masked[pos + r.end()] not in "\"'`" and re.search(
                r"constructor\s*\([^)]*(?<![\w$])(?<!= )" + re.escape(_IDENT.match(masked, pos + r.end()).group()) + r"(?![\w$])", body
            ):
                continue  # a parameter that shadows a constant of the file
            elif isinstance(v, str) and re.fullmatch(r"[A-Za-z_$][\w$.: -]{2,70}", v) and (not c.runtime or body[r.start() : r.start() + 4] == "this"):
                c.runtime = v
        for r in _CODE_SET.finditer(body):
            v = value(pos + r.end())
            if isinstance(v, str) and re.fullmatch(r"[\w.$/-]{3,70}", v) and v not in c.codes:
                c.codes.append(v)
        r = _STATUS_SET.search(body)
        if r and not c.status:
            c.status = int(r.group(1))
        for r in _SUPER.finditer(body):
            at = pos + r.end()
            sm = re.match(r"([1-5]\d\d)\s*,", masked[at : at + 8])
            if sm and not c.status:
                c.status = int(sm.group(1))
                at += sm.end()
            v = string_at(text, masked, at)
            if v and len(v) > 5 and v not in c.messages:
                c.messages.append(v[:400])
            elif masked[at : at + 1] == "{":
                inner_end = matching(masked, at)
                nm = re.search(r"(?<![\w.$])name\s*(?::\s*([A-Za-z_$][\w$]*))", masked[at:inner_end])
                given = nm and nm.group(1)
                default = given and re.search(r"\b" + re.escape(given) + r"\s*=\s*([A-Za-z_$][\w$]*)", body)
                for name_of in (given, default and default.group(1)):
                    if name_of in consts:
                        c.runtime = consts[name_of]
        for r in _MESSAGE_SET.finditer(body):
            v = string_at(text, masked, pos + r.end())
            if v and len(v) > 5 and v not in c.messages:
                c.messages.append(v[:400])
        if re.search(r"\.(?:name|constructor)\s*=\s*this\.constructor\.name|new\.target\.name", body):
            c.dynamic_name = True

    for m in _INHERITS.finditer(masked):
        if m.group(1):
            c = get(m.group(1))
            b = m.group(2).split(".")[-1]
        else:
            c = get(m.group(3))
            tail = re.search(r"\}\(([A-Za-z_$][\w$.]*)\)\)", masked[m.end() : m.end() + 60_000])
            if not tail:
                continue
            b = tail.group(1).split(".")[-1]
        c.file = c.file or path
        if b not in c.bases:
            c.bases.append(alias.get(b, b))

    thrown = []
    for pattern in (_NEW, _NEW_WRAPPED):
        for m in pattern.finditer(masked):
            name = m.group(1).split(".")[-1]
            if not re.search(r"(?:Error|Exception|Interrupt|Err|Failure)\d*$", name) and name not in found:
                continue
            name = alias.get(name, name)
            at = m.end()
            close = matching(masked, masked.rfind("(", 0, at), "()")
            v = string_at(text, masked, at)
            if v is None:
                # an options object or a later argument that carries the message
                part = masked[at:close]
                mm = re.search(r"(?<![\w$])message\s*:\s*(?=[\"'`])", part)
                if mm:
                    v = string_at(text, masked, at + mm.end())
                else:
                    mm = re.match(r"[\w$.]+\s*,\s*(?=[\"'`])", part)
                    if mm:
                        v = string_at(text, masked, at + mm.end())
            part = masked[at:close]
            code = None
            cm = re.search(r"(?<![\w$])code\s*:\s*(?=[\"'])", part)
            if cm:
                code = string_at(text, masked, at + cm.end())
            if code is None:
                cm = re.search(r",\s*(?=[\"'])", part)
                if cm:
                    cand = string_at(text, masked, at + cm.end())
                    if cand and re.fullmatch(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+", cand):
                        code = cand
            if v is not None or code is not None:
                thrown.append((name, (v or "")[:400], code))
    return masked, thrown, alias


_ENUM_DTS = re.compile(r"\benum\s+([A-Za-z_$][\w$]*)\s*\{")
_UNION = re.compile(r"\btype\s+([A-Za-z_$][\w$]*)\s*=\s*(?=\|?\s*[\"'])")
_CONST_OBJECT = re.compile(r"\b(?:const|var|let)\s+([A-Za-z_$][\w$]*)\s*[:=]\s*\{")
_ENUMISH = re.compile(r"(?:Error|Exception)s?(?:Code|Type|Kind|Reason|Name|Status)?s?$|(?:Error|Failure|Finish|Stop|Block|Cancel|Termination)(?:ed)?_?Reasons?|Error_?Codes?|ErrorTypes?|ErrorNames?|ErrorKinds?|Error_?Ids?", re.I)


def enums(path, text, masked):
    """Enumerations whose name says that they list errors: name -> [(member, value)]."""
    out = {}
    for m in _ENUM_DTS.finditer(masked):
        if not _ENUMISH.search(m.group(1)):
            continue
        at = m.end() - 1
        end = matching(masked, at)
        for r in re.finditer(r"([A-Za-z_$][\w$]*)\s*=\s*(?:(?=[\"'])|(-?\d+))", masked[at:end]):
            v = r.group(2) if r.group(2) else string_at(text, masked, at + r.end())
            if v:
                out.setdefault(m.group(1), []).append((r.group(1), v))
    for m in _UNION.finditer(masked):
        if not _ENUMISH.search(m.group(1)):
            continue
        end = masked.find(";", m.end())
        for r in re.finditer(r"[\"']", masked[m.end() : end if end > 0 else m.end() + 20000]):
            pass
        seg = text[m.end() : end if end > 0 else m.end() + 20000]
        for r in re.finditer(r"[\"']([\w.$/-]{3,80})[\"']", seg):
            out.setdefault(m.group(1), []).append((r.group(1), r.group(1)))
    for m in _CONST_OBJECT.finditer(masked):
        if not _ENUMISH.search(m.group(1)):
            continue
        at = m.end() - 1
        end = matching(masked, at)
        if end - at > 60_000:
            continue
        for r in re.finditer(r"(?:readonly\s+)?([A-Za-z_$][\w$]*)\s*:\s*(?:(?=[\"'])|(-?\d+)\s*[,}])", masked[at:end]):
            v = r.group(2) if r.group(2) else string_at(text, masked, at + r.end())
            if v and re.fullmatch(r"[-\w.$/]{2,80}", v):
                out.setdefault(m.group(1), []).append((r.group(1), v))
    return out
