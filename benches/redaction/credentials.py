"""Labels of credentials: which part of a finding is secret, and which values are doubtful.

The suites of secret scanners mark a whole match, often a URL or an assignment. What has to go is narrower: the
password of a URL, the signature of a query string, the value of an assignment. The wider range becomes `outer`.
"""

from __future__ import annotations

import math
import random
import re
from collections import Counter
from collections.abc import Sequence

from records import BARE, CONTEXT, SUITE, Range, Span, Suite, without_overlaps

CREDENTIAL = "credential"
PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")

PLACEHOLDER = re.compile(
    r"(?i)[<\[{(%$]+[\w\s.\-]+[>\]})%]+|\$\{?\w+\}?|\{\{.*\}\}|#\{.*|<[^>]*>|your[-_ ].*|none|null|true|false"
    r"|changeme|placeholder.*|todo|xxx+"
)
ONLY_MASK = re.compile(r"[\W_]*(?:(?:[xX*.•#?]{4,}|0{6,}|(.)\1{7,})[\W_]*)+")
TYPED = re.compile(
    r"(?i)example|x{5,}|\*{4,}|placeholder|your[-_]|^your|dummy|fake|not[-_]?a?[-_]?real|redacted|changeme|12345678"
    r"|abcdefgh|(.)\1{5,}|deadbeef|sample|foobar|insert|test.?test|(.{3,6})\2{3}"
)
DICTIONARY = re.compile(
    r"(?i)(?:pass(?:word|wd)?\d*|secret\d*|user(?:name)?|admin|root|test\w{0,4}|pwd|pw|foo|bar|token|key|hunter2?"
    r"|string|value)"
)
URL_PASSWORD = re.compile(r"(?i)\b[a-z][a-z0-9+.\-]*://[^\s:@/\"'<>]*:([^\s\"'<>/]+)@")
SIGNATURE = re.compile(r"[?&]sig=([^&\s\"']{8,})")
AZURE_KEY = re.compile(
    r"(?i)(?:AccountKey|SharedAccessKey|AccessKey|SharedSecretKey|SharedAccessSignature)=([^;\"'\s&]{20,})"
)
PASSWORD_FIELD = re.compile(r"(?i)(?:^|[;?&, ])\s*(?:password|pwd|passwd|userpass|pass)\s*=\s*[\"']?([^;&\"'\s<]+)")
QUERY_SECRET = re.compile(r"(?i)[?&](?:sig|signature|token|access_token|key|api_?key|auth|secret|code)=([^&\s\"']{8,})")
SCHEME_AND_TOKEN = re.compile(r"(?i)(?:bearer|basic|token)\s+(\S{8,})")
ASSIGNMENT = re.compile(r"""["']?([A-Za-z_][\w.\-]{1,40})["']?\s*(?:=>|:=|=|:)\s*["']?([^\s"']{8,})["']?""")
SECRET_NAME = re.compile(r"(?i)key|token|secret|pass|auth|pwd|cred")
AWS_KEY_ID = re.compile(r"(?<![A-Za-z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Za-z0-9])")
OTHER_SECRET = re.compile(
    r"(?i)(?:secret|passw(?:or)?d|passphrase|api_?key|_key|token|pwd|_pass|credential)s?[\w-]{0,12}[\"']?\s*"
    r"(?:=>|:=|[:=-])+\s*[\"']?([^\s\"'<>,;]{8,})"
)
KNOWN_PREFIX = re.compile(
    r"(?:gh[pousr]_|github_pat_|gl(?:pat|rt|ft|dt|soat|cbt|ptt|agent)-|xox[a-z]-|xapp-|(?:sk|rk)_(?:live|test)_|whsec_"
    r"|sk-|hf_|npm_|pypi-|AIza|GOCSPX-|ya29\.|eyJ|AKIA|ASIA)"
)


def entropy(text: str) -> float:
    """Shannon entropy in bits a character."""
    counts = Counter(text)
    return -sum(n / len(text) * math.log2(n / len(text)) for n in counts.values())


def is_masked(value: str) -> bool:
    """Whether nothing of the value is secret: asterisks, a placeholder."""
    without_prefix = re.sub(r"^[A-Za-z]{1,8}[-_]", "", value)
    if ONLY_MASK.fullmatch(value) or ONLY_MASK.fullmatch(without_prefix) or PLACEHOLDER.fullmatch(value):
        return True
    return len(value) >= 8 and sum(c in "*xX.•" for c in value) > 0.6 * len(value)


def is_sequence(value: str) -> bool:
    """Whether most characters follow the previous one, or the one before it: abcdef, a1b2c3."""
    codes = [ord(c) for c in value]
    steps = sum(b - a == 1 for a, b in zip(codes, codes[1:]))
    skips = sum(abs(b - a) == 1 for a, b in zip(codes, codes[2:]))
    return steps > 0.4 * (len(codes) - 1) or skips > 0.5 * (len(codes) - 2)


def is_typed(value: str) -> bool:
    """Whether the value looks made up by hand: `example`, 12345678, abcabcabc."""
    value = re.sub(r"^A{10,}", "", value)
    if not value or TYPED.search(value) or DICTIONARY.fullmatch(value):
        return True
    if len(value) >= 16 and entropy(value) < 2.3:
        return True
    return len(value) >= 10 and "-----" not in value and is_sequence(value)


def secret_path_segment(url: str) -> Range | None:
    """The segment of a webhook's path that is the secret: long, late and random."""
    best: Range | None = None
    for match in re.finditer(r"(?<=/)[^/?#&]{8,}", url):
        segment = match.group()
        if match.start() <= 8 or not re.search(r"\d|[A-Z]", segment) or ("." in segment and entropy(segment) <= 4.2):
            continue
        if best is None or len(segment) + 0.01 * match.start() > best[1] - best[0] + 0.01 * best[0]:
            best = match.span()
    return best


def secret_part(value: str) -> tuple[Range | None, bool]:
    """The range of the secret in a finding, None for all of it; and whether that is doubtful."""
    match = URL_PASSWORD.search(value)
    if match and match.start() <= 6:
        return match.span(1), False
    for pattern in (SIGNATURE, AZURE_KEY, PASSWORD_FIELD):
        match = pattern.search(value)
        if match and match.group() != value:
            return match.span(1), False
    if re.match(r"(?i)(?:https?|wss?)://", value):
        match = QUERY_SECRET.search(value)
        segment = match.span(1) if match else secret_path_segment(value)
        return segment, segment is None
    match = SCHEME_AND_TOKEN.fullmatch(value)
    if match:
        return match.span(1), False
    match = ASSIGNMENT.fullmatch(value)
    if match and SECRET_NAME.search(match.group(1)) and "://" not in value and not value.startswith(("sk", "eyJ")):
        return match.span(2), False
    return None, False


def narrow(text: str, start: int, end: int) -> tuple[Span, bool]:
    """The label of a finding, and whether it is doubtful."""
    while end - start > 2 and text[start] in "\"'`" and text[end - 1] == text[start]:
        start, end = start + 1, end - 1
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    if PRIVATE_KEY.search(text[start:end]):
        return Span(start, end, CREDENTIAL), False
    part, doubtful = secret_part(text[start:end])
    if part:
        return Span(start + part[0], start + part[1], CREDENTIAL, (start, end)), doubtful
    before = re.search(r"[a-zA-Z][a-zA-Z0-9+.\-]*://[^\s:@/\"'<>]*:$", text[max(0, start - 120) : start])
    if before and text[end : end + 1] == "@":
        rest = re.match(r"[^\s\"'<>`)]*", text[end:])
        outer = (start - len(before.group()), end + (rest.end() if rest else 0))
        return Span(start, end, CREDENTIAL, outer), False
    return Span(start, end, CREDENTIAL), doubtful


def holds_other_secret(text: str) -> bool:
    """Whether a text that should be harmless assigns something random to a name for secrets."""
    for match in OTHER_SECRET.finditer(text):
        value = match.group(1)
        if re.search(r"[${}<>()]|\.\.\.|://", value) or is_masked(value) or DICTIONARY.fullmatch(value):
            continue
        if any(c.isdigit() for c in value) and any(c.isalpha() for c in value) and entropy(value) > 2.8:
            return True
    return False


def add_findings(
    suite: Suite,
    text: str,
    findings: Sequence[Range],
    detector: str,
    doubtful: bool = False,
    carrier: str = SUITE,
) -> bool:
    """Adds a text with the findings of a scanner, narrowed to what is secret."""
    spans: list[Span] = []
    for start, end in findings:
        span, unsure = narrow(text, start, end)
        value = text[span.start : span.end]
        if is_masked(value) or len(value) < 3 or ('\\"' in value and not PRIVATE_KEY.search(value)):
            return False
        doubtful = doubtful or unsure or len(value) < 6 or is_typed(value) or value.startswith(("pk_live", "pk_test"))
        spans.append(span)
    for match in AWS_KEY_ID.finditer(text):
        if not match.group().endswith("EXAMPLE"):
            spans.append(Span(match.start(), match.end(), CREDENTIAL))
    spans = without_overlaps(spans)
    ends = [0] + [span.end for span in spans]
    starts = [span.start for span in spans] + [len(text)]
    if any(holds_other_secret(text[end:start]) for end, start in zip(ends, starts)):
        doubtful = True
    return suite.add(text, spans, detector, carrier, doubtful)


def add_harmless(suite: Suite, text: str, detector: str, doubtful: bool = False) -> None:
    """Adds what a suite expects not to be found; doubtful if a careful reader would want something gone."""
    if len(text.strip()) >= 6 and len(text) <= 20_000:
        suite.harmless(text, detector, doubtful or may_hold_secret(text))


def may_hold_secret(text: str) -> bool:
    if PRIVATE_KEY.search(text) or AWS_KEY_ID.search(text):
        return True
    if any(not is_masked(m.group(1)) for m in re.finditer(r"://[^\s/:@]*:([^\s@/]{3,})@", text)):
        return True
    for match in re.finditer(r"[^\s\"'`<>(){}\[\],;]{12,}", text):
        token = re.sub(r"^[\w.\-]{1,40}(?:=>|:=|[=:])", "", match.group())
        token = re.sub(r"(?i)^https?://[^/?#]*", "", token)
        digits = sum(c.isdigit() for c in token)
        letters = sum(c.isalpha() for c in token)
        if len(token) > 20 and KNOWN_PREFIX.match(token):
            return True
        if len(token) >= 12 and digits >= 2 and letters >= 3 and entropy(token) > 3.1 and not is_masked(token):
            return True
    return False


KEY_CONTEXTS = (
    "cat ~/.ssh/id_rsa\n{V}\n$ ",
    'export DEPLOY_KEY="{V}"\n',
    "Here is my key:\n\n{V}\n\nwhy does ssh refuse it?",
    'KEY = """{V}"""\nclient.connect(pkey=KEY)',
    "INSERT INTO keys (id, pem) VALUES (4, '{V}');",
    "<key>{V}</key>",
    "[tool_result]\n{V}\n[/tool_result]",
    "const pem = `{V}`;",
)
CONTEXTS = (
    "{P}={V}",
    'export {P}="{V}"',
    '"{p}": "{V}"',
    '{"name": "{P}", "value": "{V}"}',
    "{p}: {V}",
    "const {p} = '{V}';",
    '{p} = "{V}"  # {n}',
    'curl -s -H "Authorization: Bearer {V}" https://api.internal.acme.dev/v1/status',
    "curl https://api.acme.dev/v2/items -H 'X-Api-Key: {V}' -d @body.json",
    "[2024-06-11 09:14:22,310] DEBUG client: using {n} {V}",
    "INSERT INTO integrations (id, name, secret) VALUES (17, '{n}', '{V}');",
    "here is the {n} you asked for: {V} - please delete this message afterwards",
    "Tool output:\nenv | grep {P}\n{P}={V}\nPATH=/usr/local/bin:/usr/bin",
    '{"tool_call": {"name": "set_secret", "arguments": {"key": "{p}", "value": "{V}"}}}',
    "| {n} | {V} | active |",
    '<add key="{P}" value="{V}" />',
    "  -e {P}={V} \\",
    "Invalid {n}: {V}",
    "config.{p}.token='{V}'",
    "echo '{V}' | docker login -u bot --password-stdin",
    '"{\\"{p}\\": \\"{V}\\"}"',
    "GET /v1/data?access_token={V} HTTP/1.1",
    '- name: {P}\n  value: "{V}"',
)
ONLY_FOR_TOKENS = re.compile(r"Bearer|access_token=|X-Api-Key|docker login|\.token=")


def contexts_for(value: str, name: str) -> list[str]:
    """Contexts into which the value fits, with variables named after the provider."""
    if PRIVATE_KEY.search(value):
        return list(KEY_CONTEXTS)
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name) if " " not in name else name
    upper = re.sub(r"[^A-Za-z0-9]+", "_", name).strip("_").upper()
    chosen = [
        c.replace("{P}", upper).replace("{p}", upper.lower()).replace("{n}", upper.lower().replace("_", " "))
        for c in CONTEXTS
    ]
    if re.search(r"://|[; ]", value):
        chosen = [c for c in chosen if not ONLY_FOR_TOKENS.search(c)]
    if re.search(r"[\"'\n]", value):
        chosen = [c for c in chosen if '\\"' not in c]
    return chosen


def add_bare(
    suite: Suite,
    value: str,
    detector: str,
    rng: random.Random,
    count: int,
    doubtful: bool = False,
    alone: bool = True,
    name: str | None = None,
) -> None:
    """Adds a value without context: in `count` contexts written for this evaluation, and alone."""
    span, unsure = narrow(value, 0, len(value))
    secret = value[span.start : span.end]
    if is_masked(secret) or len(secret) < 3:
        return
    doubtful = doubtful or unsure or is_typed(secret) or len(secret) < 6
    choices = contexts_for(value, name or detector)
    for context in rng.sample(choices, min(count, len(choices))):
        at = context.index("{V}")
        outer = (span.outer[0] + at, span.outer[1] + at) if span.outer else None
        placed = Span(span.start + at, span.end + at, span.kind, outer)
        suite.add(context.replace("{V}", value), [placed], detector, CONTEXT, doubtful)
    if alone:
        suite.add(value, [span], detector, BARE, doubtful)
