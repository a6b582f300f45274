#!/usr/bin/env python3
"""Fits the linear text model that proposes the condition in an error message, and writes src/analyze/embedded/text_model.bin.

    python3 data/fit/text_model.py                       fit and write the model and its golden vectors
    python3 data/fit/text_model.py --check               cross-validate only, and print the figures
    ... --corpus FILE [--corpus FILE]                    add weakly labelled texts to the training (see docs/eval.md)
    ... --traces FILE --labels FILE                      score the model on labelled traces in failsift's native format

Needs Python 3.11, numpy and scipy. Every step is seeded, so the same input gives the same file.

The model: multinomial logistic regression over the words, pairs of words and character n-grams (2 to 4, within a word) that occur in a
text. Each feature counts once per text, the more the rarer it is, and each family of features is scaled to length 1, so that the length of a
text matters little. Features are selected by how many sources (SDKs, packages) they occur in and by the size of their weights; the weights
of the rest are rounded to eight bits, with one scale per class. `normalise` and `features` have a twin in
src/analyze/embedded/text_model.rs; golden vectors in data/fit/text_model_golden.jsonl hold the two together.

Training texts: data/fit/messages_by_condition.jsonl (written for this project), the error texts of data/labelled with their labels mapped
back to conditions, and optionally texts harvested from packages, with labels derived from names and therefore with a low weight.

Cross-validation leaves out whole sources: no text of an SDK or package that is predicted was in the training. The temperature is fitted on
these predictions, so the probabilities are honest for software that the model has never seen.
"""
import argparse, collections, gzip, hashlib, json, os, re, struct, sys

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, vstack

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
FIT = os.path.join(ROOT, "data", "fit")
MODEL_FILE = os.path.join(ROOT, "src", "analyze", "embedded", "text_model.bin")
GOLDEN_FILE = os.path.join(FIT, "text_model_golden.jsonl")

CONDITIONS = sorted("""rate_limited quota_exhausted overloaded timeout connection_failed authentication_failed permission_denied
model_not_found not_found conflict invalid_request context_window_exceeded output_truncated context_lost safety_filter model_refusal
guardrail_blocked unknown_tool invalid_tool_arguments malformed_json schema_violation format_instruction_ignored empty_output
retriever_error empty_retrieval code_execution_error missing_dependency resource_exhausted misconfiguration max_iterations_reached
run_timeout token_budget_exhausted repeated_calls handoff_failed run_cancelled control_flow unsupported data_error exception""".split())
CLASSES = CONDITIONS + ["none"]
CLASS_INDEX = {name: i for i, name in enumerate(CLASSES)}

# Bounds of the text, equal to those in text_model.rs.
HEAD_CHARS, TAIL_CHARS = 800, 400
WORD_CHARS_MAX, WORDS_MAX, TOKEN_CHARS_MAX = 40, 300, 40
NGRAM_MIN, NGRAM_MAX = 2, 4

# Settings, chosen by cross-validation.
FEATURES_MAX = 24_000
NONZERO_MAX = 230_000
SOURCES_MIN = 2
PULL = 0.25  # strength of the L2 penalty
CLASS_BALANCE = 0.5  # 0: classes count as often as they occur, 1: all classes count alike
WEIGHT = {"written": 1.0, "labelled": 0.8, "wrapped": 0.35, "corpus": 0.15}
CORPUS_TEXTS_PER_SOURCE_MAX = 10  # per package and condition
IDF_POWER = 2.0
FOLDS, SEED = 5, 20
ROUNDS_FIRST, ROUNDS = 25, 60  # iterations with all features, and with the selected ones


# ---- text to words, as in text_model.rs ----

# Characters beyond ASCII that separate words: punctuation, symbols, arrows, box drawing, CJK punctuation, emoji.
SEPARATORS = [(0x80, 0xA9), (0xAB, 0xB4), (0xB6, 0xB9), (0xBB, 0xBF), (0xD7, 0xD7), (0xF7, 0xF7), (0x2000, 0x206F), (0x2190, 0x2BFF),
              (0x3000, 0x3004), (0x3008, 0x3020), (0x3030, 0x3030), (0xFE00, 0xFE6F), (0xFF01, 0xFF0F), (0xFF1A, 0xFF20), (0xFF3B, 0xFF40),
              (0xFF5B, 0xFF65), (0xFFF0, 0xFFFF), (0x1F000, 0x1FAFF)]
# A number after one of these words is kept, because it is a code. Statuses of HTTP are kept everywhere.
CODE_WORDS = {"errno", "code", "status", "exit", "error", "http", "winerror"}
CODE_DIGITS_MAX = 3


def is_letter(c):
    if c < "\x80":
        return "a" <= c <= "z" or "A" <= c <= "Z"
    code = ord(c)
    return not any(first <= code <= last for first, last in SEPARATORS)


def is_digit(c):
    return "0" <= c <= "9"


def lower(c):
    """The first character of the lower-case form, so that one character stays one."""
    return c.lower()[:1]


def clip(text):
    """The beginning and the end of a long text: messages start with the error, and end with its cause."""
    if len(text) <= HEAD_CHARS + TAIL_CHARS:
        return text
    return text[:HEAD_CHARS] + " " + text[-TAIL_CHARS:]


def normalise(text):
    """The words of a text in lower case: names in camel case are split, and addresses, paths, identifiers and numbers are masked."""
    chars = clip(text)
    words = []
    at, end = 0, len(chars)
    while at < end and len(words) < WORDS_MAX:
        c = chars[at]
        if is_letter(c) or is_digit(c):
            stop = at
            while stop < end and (is_letter(chars[stop]) or is_digit(chars[stop])):
                stop += 1
            if chars[stop:stop + 3] == "://":
                at = skip_value(chars, stop)
                words.append("<url>")
            elif stop - at == 1 and chars[stop:stop + 2] == ":\\":
                at = skip_value(chars, stop)
                words.append("<path>")
            else:
                split_run(chars[at:stop], words)
                at = stop
        elif c == "<" and (after := redaction_token_end(chars, at)):
            at = after
            words.append("<value>")
        elif c == "/" and at + 1 < end and (is_letter(chars[at + 1]) or chars[at + 1] == ".") and (at == 0 or starts_path(chars[at - 1])):
            at = skip_value(chars, at)
            words.append("<path>")
        else:
            at += 1
    return words[:WORDS_MAX]


def starts_path(before):
    """Whether a slash after this character begins a path: not in `and/or` or `</html>`."""
    return not (is_letter(before) or is_digit(before) or before in "</.")


def redaction_token_end(chars, at):
    """The position after a token of the redaction such as `<EMAIL:1a2b3c>` that begins at `at`, or None."""
    stop = at + 1
    while stop < len(chars) and stop - at <= TOKEN_CHARS_MAX and ("A" <= chars[stop] <= "Z" or "a" <= chars[stop] <= "f" or is_digit(chars[stop]) or chars[stop] in "_:"):
        stop += 1
    begins = at + 1 < len(chars) and "A" <= chars[at + 1] <= "Z"
    return stop + 1 if begins and stop < len(chars) and chars[stop] == ">" else None


def skip_value(chars, at):
    """The position after an address or path that begins at `at`."""
    while at < len(chars) and not (chars[at] in " \t\r\n\"'`<>()[]{},;|" or chars[at] > "\x7f" and not is_letter(chars[at])):
        at += 1
    return at


def split_run(run, words):
    """Adds the words of a run of letters and digits."""
    digits = sum(map(is_digit, run))
    if digits == len(run):
        words.append(number(run, words))
        return
    if digits and is_identifier(run):
        words.append("<id>")
        return
    start = 0
    for i in range(1, len(run) + 1):
        if i == len(run) or starts_word(run, i) or i - start == WORD_CHARS_MAX:
            words.append(masked_word(run[start:i]))
            start = i


def is_identifier(run):
    """Whether a run of letters and digits is a value such as a hash, and not a name such as `oauth2` or `utf8`."""
    changes = sum(is_digit(a) != is_digit(b) for a, b in zip(run, run[1:]))
    return changes > 2 or len(run) > 20


def starts_word(run, i):
    """Whether a word of a name in camel case starts at `i`: `rateLimit`, `HTTPError`."""
    before, here = run[i - 1], run[i]
    if not is_upper(here):
        return False
    return not is_upper(before) and not is_digit(before) or is_upper(before) and i + 1 < len(run) and is_lower(run[i + 1])


def is_upper(c):
    return is_letter(c) and lower(c) != c


def is_lower(c):
    return is_letter(c) and lower(c) == c


def masked_word(word):
    """The word in lower case, each run of digits as one 0."""
    out = []
    for c in word:
        if is_digit(c):
            if not out or out[-1] != "0":
                out.append("0")
        else:
            out.append(lower(c))
    return "".join(out)


def number(run, words):
    is_status = len(run) == 3 and run[0] in "45"
    is_code = len(run) <= CODE_DIGITS_MAX and words and words[-1] in CODE_WORDS
    return run if is_status or is_code else "0"


# ---- words to features ----

FNV_PRIME, MASK = 0x01000193, 0xFFFFFFFF
WORD, PAIR, CHARS = 0x811C9DC5, 0x9E3779B9, 0x85EBCA6B  # initial states: the families do not share hashes


def fnv(state, data):
    for byte in data:
        state = ((state ^ byte) * FNV_PRIME) & MASK
    return state


WORD_FEATURES = {}


def features_of_word(word):
    """(hash of the word, hashes of its n-grams)."""
    known = WORD_FEATURES.get(word)
    if known is None:
        grams = set()
        if not word[0] in "<0123456789":
            marked = ["^"] + list(word) + ["$"]
            encoded = [c.encode() for c in marked]
            for start in range(len(marked)):
                state = CHARS
                for n in range(1, NGRAM_MAX + 1):
                    if start + n > len(marked):
                        break
                    state = fnv(state, encoded[start + n - 1])
                    if n >= NGRAM_MIN:
                        grams.add(state)
        known = WORD_FEATURES[word] = (fnv(WORD, word.encode()), grams)
    return known


def features(text):
    """The hashes of the features of a text: (words and pairs, n-grams)."""
    words = normalise(text)
    word_hashes, grams = set(), set()
    for word in words:
        word_hash, word_grams = features_of_word(word)
        word_hashes.add(word_hash)
        grams |= word_grams
    for first, second in zip(words, words[1:]):
        word_hashes.add(fnv(fnv(fnv(PAIR, first.encode()), b" "), second.encode()))
    return word_hashes, grams


# ---- training texts ----

class Text:
    __slots__ = ("text", "condition", "source", "weight", "origin")

    def __init__(self, text, condition, source, weight, origin):
        self.text, self.condition, self.source, self.weight, self.origin = text, condition, source, weight, origin


def source_of(sdk, text):
    """What is left out together in cross-validation: an SDK with its variants. Texts of no SDK stand for themselves."""
    if sdk.endswith("-app") or sdk in ("internal-api", "agent-tool", "python", "node", "java", "dotnet", "go", "rust", "http"):
        return "text:" + hashlib.sha1(text.encode()).hexdigest()[:12]
    return re.split(r"[-_.@/]", sdk.split(":")[-1].lower().lstrip("@"))[0]


def written_texts():
    rows = []
    with open(os.path.join(FIT, "messages_by_condition.jsonl"), encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            origin = "foreign" if row["sdk"].startswith(LANGUAGES) else "written"
            rows.append(Text(row["text"], row["condition"], source_of(row["sdk"], row["text"]), WEIGHT["written"], origin))
    return rows


LANGUAGES = ("german", "french", "spanish", "portuguese", "japanese", "korean", "russian", "chinese", "italian", "dutch", "polish", "turkish")

FACTOR_TO_CONDITION = {
    "provider_overloaded": "overloaded", "provider_timeout": "timeout", "tool_timeout": "timeout", "tool_rate_limited": "rate_limited",
    "tool_resource_not_found": "not_found", "application_exception": "exception",
}
# Factors with several conditions: the words of the text decide; else the text is left out.
FACTOR_BY_WORDS = {
    "tool_auth_failed": [(r"403|forbidden|permission|not authorized|scope|denied to|not allowed", "permission_denied"),
                         (r"401|unauthorized|credential|password|token|key|login|sign.?in|auth", "authentication_failed")],
    "tool_unavailable": [(r"refused|reset|resolve|dns|ssl|connect|unreachable|eof|closed", "connection_failed"),
                         (r"50\d|unavailable|overload|down|maintenance|bad gateway", "overloaded")],
    "tool_exception": [(r"could not convert|codec|decode|parse|invalid literal", "data_error"), (r"deadlock|duplicate|unique", "conflict")],
}


def condition_of(factor, text):
    if factor in CLASS_INDEX:
        return factor
    for words, condition in FACTOR_BY_WORDS.get(factor, []):
        if re.search(words, text, re.I):
            return condition
    return FACTOR_TO_CONDITION.get(factor)


def labelled_texts():
    """The error texts of the labelled traces, once for each label."""
    rows, seen = [], set()

    def add(text, label, source):
        condition = condition_of(label["contributing_factor"], text)
        if condition and text and (text, condition) not in seen:
            seen.add((text, condition))
            rows.append(Text(text, condition, source, WEIGHT["labelled"], "labelled"))

    labels = read_labels("error_messages")
    for trace in read_lines(os.path.join(ROOT, "data", "labelled", "error_messages", "errors.jsonl")):
        for text in native_error_texts(trace)[:1]:
            add(text, labels[key(trace["trace_id"])], "text:" + trace["trace_id"])
    for name in ("frameworks", "captures"):
        labels = read_labels(name)
        folder = os.path.join(ROOT, "data", "labelled", name)
        for file in sorted(os.listdir(folder)):
            if not file.endswith(".jsonl.gz"):
                continue
            for trace_id, text in otlp_error_texts(os.path.join(folder, file)):
                label = labels.get(key(trace_id))
                if label and not label["also"] and label["category"] != "unclassified":
                    add(text, label, re.split(r"[_.]", file)[0])
    return rows


def read_lines(path):
    with (gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")) as lines:
        return [json.loads(line) for line in lines if line.strip()]


def key(trace_id):
    return trace_id.replace("-", "").lower()


def read_labels(name):
    return {key(row["trace_id"]): row for row in read_lines(os.path.join(ROOT, "data", "labels", name + ".jsonl"))}


def joined(kind, message):
    """An error type and a message as one text."""
    kind, message = (kind or "").strip(), (message or "").strip()
    return message if not kind or kind in message else f"{kind}: {message}".rstrip(": ")


def native_error_texts(trace):
    """The error texts of a trace in the native format, the deepest span first."""
    texts = []
    for span in reversed(trace["spans"]):
        for exception in span.get("exceptions", []):
            texts.append(joined(exception.get("type"), exception.get("message")))
        if span.get("status") == "error":
            texts.append(joined(span.get("error_type"), span.get("status_message")))
    return [text for text in texts if text]


def otlp_error_texts(path):
    """(trace, error text) of each failed span in a file of OTLP JSON."""
    for record in read_lines(path):
        for resource in record.get("resourceSpans", []) if isinstance(record, dict) else []:
            for scope in resource.get("scopeSpans", []):
                for span in scope.get("spans", []):
                    for event in span.get("events", []):
                        values = {a["key"]: a.get("value", {}).get("stringValue", "") for a in event.get("attributes", [])}
                        if event.get("name") == "exception":
                            yield span["traceId"], joined(values.get("exception.type"), values.get("exception.message"))
                    if span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR"):
                        yield span["traceId"], span["status"].get("message", "")


# What software puts around the message of another.
WRAPPERS = ["Error: {}", "Error executing tool lookup: {}", "Tool 'search' failed: {}", "{} (request id: req_0a)", "Exception: {}", "RuntimeError: {}",
            "failed after 3 attempts: {}", '{{"error": {{"message": "{}"}}}}', '{{"success": false, "error": "{}"}}', "ToolException: {}", "[ERROR] {}",
            "Error calling tool 'lookup': {}", "2026-01-03 10:00:00 ERROR worker: {}", "APIError: {}", "Caused by: {}", "An error occurred: {}",
            "request failed: {}", "{} Please fix your mistakes.", "{}. Retrying is not possible.", "Agent step 4: {}", "status=error message=\"{}\"",
            "ERROR: {}", "fatal: {}", "Unhandled exception: {}", "HTTPException: {}", "Result: {}", "{{'detail': '{}'}}", "Observation: {}"]
# The status that comes with a condition, and what clients make of both. One status stands for several conditions, so the text has to decide.
STATUSES = {
    "rate_limited": "429", "quota_exhausted": "429 402 403", "overloaded": "500 502 503 529", "timeout": "408 504", "authentication_failed": "401",
    "permission_denied": "403", "model_not_found": "404 400", "not_found": "404", "conflict": "409", "invalid_request": "400 422",
    "context_window_exceeded": "400 413 500", "safety_filter": "400 403", "unknown_tool": "400 404", "invalid_tool_arguments": "400 422",
    "unsupported": "400 501", "data_error": "400 422", "malformed_json": "400", "exception": "500", "retriever_error": "400 500",
    "output_truncated": "400", "guardrail_blocked": "403 400",
}
STATUS_WRAPPERS = ["Error code: {0} - {{'error': {{'message': '{1}'}}}}", "{0} {1}", '{{"error":{{"code":{0},"message":"{1}"}}}}', "HTTP {0}: {1}",
                   "{1} (status code: {0})", "APIStatusError: {0} {1}", "API error occurred: Status {0}. Body: {1}", '{0} {{"message":"{1}"}}']
STATUS_SHARE = 0.5
CLASS_PREFIX = re.compile(r"^[A-Za-z_][\w.$]*(?:Error|Exception|Exceeded|Fault|Failure|Warning|Timeout|Denied|NotFound): ")


def wrapped_texts(rows, random):
    """Copies of texts as another program passes them on, and without the name of the class."""
    copies = []
    for row in rows:
        bare = CLASS_PREFIX.sub("", row.text)
        if bare != row.text and bare:
            copies.append(Text(bare, row.condition, row.source, WEIGHT["wrapped"] * row.weight, "wrapped"))
        if row.condition == "none":
            continue
        body = bare if random.random() < 0.5 and bare else row.text
        statuses = STATUSES.get(row.condition, "").split()
        if statuses and random.random() < STATUS_SHARE:
            text = STATUS_WRAPPERS[random.integers(len(STATUS_WRAPPERS))].format(statuses[random.integers(len(statuses))], body)
        else:
            text = WRAPPERS[random.integers(len(WRAPPERS))].format(body)
        copies.append(Text(text, row.condition, row.source, WEIGHT["wrapped"] * row.weight, "wrapped"))
    return copies


# Ways in which a condition was derived that say little about the text: from a base class or a general name.
UNTRUSTED = ("base (base)", "general name")
PLACEHOLDER = re.compile(r"\$?\{[^{}]{0,80}\}|%\(?\w*\)?[sdrif]\b")


def corpus_texts(paths, random):
    """Classes, templates and docstrings of packages, with derived conditions."""
    groups = collections.defaultdict(list)
    for path in paths:
        for row in read_lines(path):
            if row.get("condition") not in CLASS_INDEX or row.get("how") in UNTRUSTED:
                continue
            name = str(row.get("class") or "").rsplit(".", 1)[-1]
            template = PLACEHOLDER.sub(" ", str(row.get("template") or "")).strip()
            document = str(row.get("docstring") or "").strip().split("\n\n")[0][:300]
            source = source_of(str(row.get("package") or row.get("sdk") or ""), name)
            texts = {name, template, f"{name}: {template}" if template and name else "", document}
            for text in sorted(texts):
                if len(text) > 3:
                    groups[source, row["condition"]].append(text)
    rows = []
    for (source, condition), texts in sorted(groups.items()):
        texts = sorted(set(texts))
        if len(texts) > CORPUS_TEXTS_PER_SOURCE_MAX:
            texts = [texts[i] for i in sorted(random.choice(len(texts), CORPUS_TEXTS_PER_SOURCE_MAX, replace=False))]
        rows += [Text(text, condition, source, WEIGHT["corpus"], "corpus") for text in texts]
    return rows


# ---- the model ----

class Vocabulary:
    """Selected features: hash -> column. `families` says to which norm a column belongs."""

    def __init__(self, hashes_words, hashes_chars, idf):
        self.columns = {h: i for i, h in enumerate(sorted(hashes_words) + sorted(hashes_chars))}
        self.words = len(hashes_words)
        self.idf = np.array([idf[h] for h in self.columns], dtype=np.uint8)

    def matrix(self, feature_sets):
        rows, columns, values = [0], [], []
        for words, grams in feature_sets:
            for hashes in (words, grams):
                found = sorted(self.columns[h] for h in hashes if h in self.columns)
                columns += found
                squares = self.idf[found].astype(np.float32)
                values += np.sqrt(squares / max(squares.sum(), 1.0)).tolist()
            rows.append(len(columns))
        return csr_matrix((np.array(values, dtype=np.float32), np.array(columns, dtype=np.int32), np.array(rows)), shape=(len(feature_sets), len(self.columns)))


def frequent(feature_sets, texts, minimum):
    """The features that occur in texts of at least `minimum` sources."""
    several = {}
    for family in (0, 1):
        seen, enough = {}, set()
        for sets, text in zip(feature_sets, texts):
            for h in sets[family]:
                if h in enough:
                    continue
                sources = seen.setdefault(h, set())
                sources.add(text.source)
                if len(sources) >= minimum:
                    enough.add(h)
                    del seen[h]
        several[family] = enough
    return several[0], several[1] - several[0]


def rarity(feature_sets):
    """The squared weight of each feature in a text, before normalisation: 1 if every text has it, more the rarer it is."""
    counts = collections.Counter()
    for words, grams in feature_sets:
        counts.update(words)
        counts.update(grams)
    n = len(feature_sets)
    return {h: min(255, round((1.0 + np.log(n / count)) ** IDF_POWER * 2)) for h, count in counts.items()}


def train(x, y, weights, start, rounds):
    """Weights (features + 1 for the bias, classes) that minimise the weighted cross-entropy with an L2 penalty."""
    n, d = x.shape
    k = len(CLASSES)
    counts = np.bincount(y, weights, minlength=k) + 1.0
    weights = weights * (counts.mean() / counts[y]) ** CLASS_BALANCE
    weights = (weights / weights.mean()).astype(np.float32)
    target = np.zeros((n, k), dtype=np.float32)
    target[np.arange(n), y] = 1.0
    xt = x.T.tocsr()
    strength = PULL

    def loss(flat):
        w = flat.reshape(d + 1, k)
        w32 = w.astype(np.float32)
        logits = x @ w32[:d] + w32[d]
        logits -= logits.max(axis=1, keepdims=True)
        p = np.exp(logits)
        total = p.sum(axis=1, keepdims=True)
        value = float((weights * (np.log(total[:, 0]) - (logits * target).sum(axis=1))).sum())
        p /= total
        residual = (p - target) * weights[:, None]
        gradient = np.empty_like(w)
        gradient[:d] = xt @ residual + strength * w[:d]
        gradient[d] = residual.sum(axis=0) + 0.01 * w[d]
        return value + 0.5 * strength * float((w[:d] ** 2).sum()) + 0.005 * float((w[d] ** 2).sum()), gradient.ravel()

    start = np.zeros((d + 1) * k) if start is None else start.ravel()
    result = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": rounds, "maxcor": 8})
    return result.x.reshape(d + 1, k)


def softmax(logits):
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def fit_model(texts, feature_sets):
    """(vocabulary, weights): all frequent features, then the strongest ones again, then the largest weights of these."""
    y = np.array([CLASS_INDEX[t.condition] for t in texts])
    weights = np.array([t.weight for t in texts])
    idf = rarity(feature_sets)
    vocabulary = Vocabulary(*frequent(feature_sets, texts, SOURCES_MIN), idf)
    w = train(vocabulary.matrix(feature_sets), y, weights, None, ROUNDS_FIRST)
    if len(vocabulary.columns) > FEATURES_MAX:
        strength = np.sqrt((w[:-1] ** 2).sum(axis=1))
        keep = np.zeros(len(strength), dtype=bool)
        keep[np.argsort(-strength, kind="stable")[:FEATURES_MAX]] = True
        kept = [(h, i) for h, i in vocabulary.columns.items() if keep[i]]
        vocabulary = Vocabulary([h for h, i in kept if i < vocabulary.words], [h for h, i in kept if i >= vocabulary.words], idf)
        w = np.vstack([w[[i for _, i in kept]], w[-1:]])  # the order of the columns stays that of the hashes in each family
    w = train(vocabulary.matrix(feature_sets), y, weights, w, ROUNDS)
    return vocabulary, prune(w)


def prune(w):
    """Sets the smallest weights to 0, so that `NONZERO_MAX` are left."""
    size = np.abs(w[:-1])
    if size.size > NONZERO_MAX:
        least = np.partition(size.ravel(), size.size - NONZERO_MAX)[size.size - NONZERO_MAX]
        w[:-1][size < least] = 0.0
    return w


def folds_of(texts):
    """The fold of each text: a hash of its source."""
    return np.array([int(hashlib.sha1(t.source.encode()).hexdigest(), 16) % FOLDS for t in texts])


def cross_validate(base, extra, base_sets, extra_sets, random_of_fold):
    """Logits of each base text by a model that has not seen its source."""
    logits = np.zeros((len(base), len(CLASSES)))
    base_folds, extra_folds = folds_of(base), folds_of(extra)
    for fold in range(FOLDS):
        train_base = [t for t, f in zip(base, base_folds) if f != fold]
        train_sets = [s for s, f in zip(base_sets, base_folds) if f != fold]
        train_extra = [t for t, f in zip(extra, extra_folds) if f != fold]
        train_extra_sets = [s for s, f in zip(extra_sets, extra_folds) if f != fold]
        copies = wrapped_texts(train_base, random_of_fold(fold))
        vocabulary, w = fit_model(train_base + copies + train_extra, train_sets + [features(t.text) for t in copies] + train_extra_sets)
        at = np.where(base_folds == fold)[0]
        x = vocabulary.matrix([base_sets[i] for i in at])
        logits[at] = x @ w[:-1] + w[-1]
        print(f"  fold {fold}: {len(train_base)} + {len(copies)} + {len(train_extra)} texts, {len(vocabulary.columns)} features", file=sys.stderr)
    return logits


def temperature_of(logits, y):
    """The divisor of the logits with the least cross-entropy."""
    grid = np.exp(np.linspace(np.log(0.3), np.log(4), 120))
    losses = [-np.log(softmax(logits / t)[np.arange(len(y)), y] + 1e-12).mean() for t in grid]
    return float(grid[int(np.argmin(losses))])


def ece(confidence, right, bins=10):
    edges = np.minimum((confidence * bins).astype(int), bins - 1)
    return sum(abs(confidence[edges == b].mean() - right[edges == b].mean()) * (edges == b).mean() for b in range(bins) if (edges == b).any())


def report(name, logits, y, temperature):
    p = softmax(logits / temperature)
    order = np.argsort(-p, axis=1)
    right = order[:, 0] == y
    second = right | (order[:, 1] == y)
    sure = p.max(axis=1) >= 0.6
    print(f"{name:28} {len(y):5} texts  right {right.mean():.3f}  top-2 {second.mean():.3f}  ECE {ece(p.max(axis=1), right):.3f}  "
          f"p >= 0.6: {sure.mean():.2f} of them, right {right[sure].mean() if sure.any() else 0:.3f}")
    failed = y != CLASS_INDEX["none"]
    q = p[failed, :-1] / p[failed, :-1].sum(axis=1, keepdims=True)
    right = q.argmax(axis=1) == y[failed]
    print(f"{'':28} given that the text reports a failure: right {right.mean():.3f}  ECE {ece(q.max(axis=1), right):.3f}")


def confusions(logits, y, most=25):
    guess = logits.argmax(axis=1)
    pairs = collections.Counter((CLASSES[a], CLASSES[b]) for a, b in zip(y, guess) if a != b)
    for (truth, wrong), count in pairs.most_common(most):
        print(f"  {count:3}  {truth} -> {wrong}")
    for i, name in enumerate(CLASSES):
        at = y == i
        print(f"  {name:28} recall {np.mean(guess[at] == i) if at.any() else 0:.2f}  precision {np.mean(y[guess == i] == i) if (guess == i).any() else 0:.2f}  of {at.sum()}")


# ---- the file ----

class Quantised:
    """The model as it is written: weights of eight bits. `logits` is the arithmetic of text_model.rs."""

    def __init__(self, vocabulary, w, temperature):
        self.vocabulary = vocabulary
        w = w / temperature
        w[:-1] *= np.sqrt(vocabulary.idf.astype(np.float64))[:, None]
        self.scale = (np.abs(w[:-1]).max(axis=0) / 127.0).astype(np.float32)
        self.scale[self.scale == 0] = 1.0
        self.weights = np.rint(w[:-1] / self.scale).astype(np.int8)
        self.bias = w[-1].astype(np.float32)

    def logits(self, text):
        words, grams = features(text)
        logits = self.bias.astype(np.float64)
        for hashes in (words, grams):
            found = [self.vocabulary.columns[h] for h in hashes if h in self.vocabulary.columns]
            if found:
                sums = self.weights[found].astype(np.int32).sum(axis=0)
                logits = logits + sums * self.scale.astype(np.float64) / np.sqrt(self.vocabulary.idf[found].astype(np.int64).sum())
        return logits

    def bytes(self):
        """Magic, counts, names of the classes, scales and biases, then of the features (first words and
        pairs, then n-grams, each by hash) the hashes, numbers of weights, rarities and weights."""
        out = [b"FSTM\x02", struct.pack("<HII", len(CLASSES), self.vocabulary.words, len(self.vocabulary.columns))]
        for name in CLASSES:
            out.append(struct.pack("<B", len(name)) + name.encode())
        out += [self.scale.astype("<f4").tobytes(), self.bias.astype("<f4").tobytes()]
        hashes, counts, pairs = [], [], []
        for h, column in self.vocabulary.columns.items():
            row = self.weights[column]
            used = np.flatnonzero(row)
            hashes.append(h)
            counts.append(len(used))
            for i in used:
                pairs.append(struct.pack("<Bb", i, row[i]))
        out += [np.array(hashes, dtype="<u4").tobytes(), np.array(counts, dtype=np.uint8).tobytes(), self.vocabulary.idf.tobytes(), b"".join(pairs)]
        return b"".join(out)


def write_golden(model, texts, random):
    """Texts with their words, number of features and probabilities, for the test in text_model.rs."""
    chosen = [texts[i] for i in sorted(random.choice(len(texts), 160, replace=False))]
    special = ["", " ", "429", "HTTPError", "x" * 200, "ÄÖÜ İstanbul ẞ ΑΒΓΣ", "a/b </html> /usr/lib/x.so C:\\Temp\\a https://a.example/b?c=1", "日本語のエラー、タイムアウト。",
               "sk_live_a1b2c3d4e5 9f8e7d oauth2 UTF8 42P01 ORA-00942 -32601 exit 137", "no space left on device " * 120, "😀 overloaded 😀", "<EMAIL:1a2b3c> <PASSWORD> <b> <API_KEY:00ff11>", "getHTTPResponseCode2XX", "e\u0301chec réseau"]
    with open(GOLDEN_FILE, "w", encoding="utf-8") as out:
        for text in [t.text for t in chosen] + special:
            logits = model.logits(text)
            p = softmax(logits[None, :])[0]
            order = np.argsort(-p, kind="stable")[:3]
            words, grams = features(text)
            row = {"text": text, "words": len(normalise(text)), "features": len(words) + len(grams), "hash": xor_all(words | grams), "top": [[CLASSES[i], round(float(p[i]), 5)] for i in order]}
            out.write(json.dumps(row, ensure_ascii=False) + "\n")


def xor_all(hashes):
    value = 0
    for h in hashes:
        value ^= h
    return value


# ---- scoring on labelled traces ----

FACTORS = {  # condition -> factor in a span of the model, in a span of a tool, elsewhere
    "rate_limited": ("rate_limited", "tool_rate_limited", "rate_limited"), "overloaded": ("provider_overloaded", "tool_unavailable", "provider_overloaded"),
    "timeout": ("provider_timeout", "tool_timeout", "run_timeout"), "connection_failed": ("connection_failed", "tool_unavailable", "connection_failed"),
    "authentication_failed": ("authentication_failed", "tool_auth_failed", "authentication_failed"),
    "permission_denied": ("permission_denied", "tool_auth_failed", "permission_denied"),
    "not_found": ("model_not_found", "tool_resource_not_found", "application_exception"), "conflict": ("invalid_request", "tool_exception", "application_exception"),
    "invalid_request": ("invalid_request", "invalid_tool_arguments", "invalid_request"), "unsupported": ("invalid_request", "tool_exception", "application_exception"),
    "data_error": ("malformed_json", "tool_exception", "application_exception"), "exception": ("provider_overloaded", "tool_exception", "application_exception"),
    "control_flow": ("no_failure_found",) * 3, "none": ("no_failure_found",) * 3,
}


def score_traces(model, traces_path, labels_path):
    """The share of traces whose label follows from the condition of the deepest error text and the kind of its span. Nothing is trained on them."""
    labels = {row["trace_id"]: row for row in read_lines(labels_path)}
    right = total = top2 = 0
    healthy, confidences, rights = [], [], []
    for trace in read_lines(traces_path):
        label = labels[trace["trace_id"]]
        found = culprit_text(trace)
        if found is None:
            continue
        text, kind = found
        p = softmax(model.logits(text)[None, :])[0]
        order = np.argsort(-p)[:2]
        if label["contributing_factor"] == "no_failure_found":
            healthy.append((CLASSES[order[0]], float(p[order[0]]), text[:80]))
            continue
        if not label.get("certain", True):
            continue
        column = 0 if kind in ("llm", "embedding") else 1 if kind == "tool" else 2
        accepted = {label["contributing_factor"]} | {other.split("/")[1] for other in label["also"]}
        hits = [bool({CLASSES[i], FACTORS.get(CLASSES[i], (CLASSES[i],) * 3)[column]} & accepted) for i in order]
        total += 1
        right += hits[0]
        top2 += any(hits)
        confidences.append(float(p[order[0]])); rights.append(hits[0])
        if not hits[0]:
            print(f"  {label['contributing_factor']} <- {CLASSES[order[0]]} {p[order[0]]:.2f}  [{kind}]")
    print(f"labelled traces with an error text: {right} of {total} right ({right / total:.3f}), top-2 {top2 / total:.3f}, ECE {ece(np.array(confidences), np.array(rights)):.3f}; healthy: {collections.Counter(c if q >= 0.5 else 'unsure' for c, q, _ in healthy)}")


def culprit_text(trace):
    """(text, kind of the deepest span that reports it): the error that the outermost failed span reports, so that errors from which the run
    recovered do not count; else the output of the last tool."""
    reports = []
    for span in trace["spans"]:
        if span.get("status") == "error":
            exceptions = [joined(e.get("type"), e.get("message")) for e in span.get("exceptions", [])]
            text = joined(span.get("error_type"), span.get("status_message")) or next(filter(None, exceptions), "")
            if text:
                reports.append((text, span["kind"]))
    if reports:
        text = reports[0][0]
        same = [r for r in reports if r[0] in text or text in r[0]]
        return max((r[0] for r in same), key=len), same[-1][1]
    for span in reversed(trace["spans"]):
        if span["kind"] == "tool" and isinstance(span.get("output_text") or (span.get("tool") or {}).get("result"), str):
            return span.get("output_text") or span["tool"]["result"], "tool"
    return None


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--check", action="store_true")
    arguments.add_argument("--corpus", action="append", default=[])
    arguments.add_argument("--traces")
    arguments.add_argument("--labels")
    arguments.add_argument("--temperature", type=float, help="skip the cross-validation and use this temperature")
    options = arguments.parse_args()

    base = written_texts() + labelled_texts()
    extra = corpus_texts(options.corpus, np.random.default_rng(SEED))
    base_sets, extra_sets = [features(t.text) for t in base], [features(t.text) for t in extra]
    origins = collections.Counter(t.origin for t in base + extra)
    print("texts:", dict(origins), file=sys.stderr)
    y = np.array([CLASS_INDEX[t.condition] for t in base])

    temperature = options.temperature
    if temperature is None:
        logits = cross_validate(base, extra, base_sets, extra_sets, lambda fold: np.random.default_rng([SEED, fold]))
        held = np.array([t.origin != "labelled" for t in base])  # the labelled traces repeat a few messages, which are too easy
        temperature = temperature_of(logits[held], y[held])
        print(f"temperature {temperature:.3f}")
        report("left-out sources, all", logits, y, temperature)
        origin = np.array([t.origin for t in base])
        for name in ("written", "foreign", "labelled"):
            report("  " + name, logits[origin == name], y[origin == name], temperature)
        confusions(logits, y)
    if options.check and not options.traces:
        return

    copies = wrapped_texts(base, np.random.default_rng(SEED))
    vocabulary, w = fit_model(base + copies + extra, base_sets + [features(t.text) for t in copies] + extra_sets)
    model = Quantised(vocabulary, w, temperature)
    if options.traces:
        score_traces(model, options.traces, options.labels)
    if options.check:
        return
    data = model.bytes()
    with open(MODEL_FILE, "wb") as out:
        out.write(data)
    write_golden(model, base, np.random.default_rng(SEED))
    print(f"{MODEL_FILE}: {len(data):,} bytes, {len(vocabulary.columns):,} features, {int((model.weights != 0).sum()):,} weights, sha256 {hashlib.sha256(data).hexdigest()[:16]}")


if __name__ == "__main__":
    main()
