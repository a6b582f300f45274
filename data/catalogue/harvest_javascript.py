"""Builds the catalogue of error classes of npm packages, Rust crates, and the JVM, .NET, Go, PHP and Ruby.

    python3 harvest_javascript.py fetch CACHE       download the packages of npm.txt and crates.txt with npm and cargo
    python3 harvest_javascript.py scan CACHE        read the downloaded packages, write CACHE/*-raw.json
    python3 harvest_javascript.py rows CACHE OUT    derive conditions, write classes and the corpus of messages below OUT

The packages and their versions are in npm.txt and crates.txt. Nothing that was downloaded is executed.
"""

import collections
import hashlib
import json
import multiprocessing
import pathlib
import re
import subprocess
import sys
import tarfile
import tomllib

import derive
import harvest_codes
import harvest_python
import javascan
import jsscan
import rustscan

HERE = pathlib.Path(__file__).parent

SKIPPED = re.compile(
    r"(^|/)(test|tests|__tests__|example|examples|docs|benchmark|fixtures|node_modules|cookbook|storybook|playground)/"
    r"|\.(test|spec|stories|min|umd|iife)\.|\.bundle\.|\.map$"
)
# A file without one of these says nothing about errors.
RELEVANT = re.compile(
    rb"class\b[^{;]{0,120}extends[^{;]{0,80}(?:Err|Exception|Interrupt|Bailout|Failure)|new [\w.$]*(?:Error|Exception|Interrupt)\d*\("
    rb"|new \(0, ?[\w.$]*(?:Error|Exception)\)|__extends\(|inherits\(|(?:enum|type) \w*(?:Error|Reason|Exception)\w* *[={]"
    rb"|(?:const|var|let) \w*(?:Err(?:or)?_?(?:s|Code|Type|Kind|Name)|Exception)\w* *[=:] *\{|Tagged(?:Error|Class)|(?<!\w)ERR_|createError\("
)


# -- reading packages


def pins(name):
    """[(package, version, kind)] of a list of packages."""
    rows = []
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            package, version, kind = line.split()[:3]
            rows.append((package, version, kind))
    return rows


def fetch(cache):
    """Downloads what is not there yet, with the registries' own clients."""
    (cache / "npm").mkdir(parents=True, exist_ok=True)
    for package, version, _kind in [*pins("npm.txt"), ("chromium-net-errors", "13.0.0", "")]:
        if not tarball(cache, package, version).exists():
            subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=cache / "npm", check=True)
    project = cache / "crates"
    (project / "src").mkdir(parents=True, exist_ok=True)
    (project / "src" / "lib.rs").touch()
    dependencies = "".join(f'{crate} = "={version.split("+")[0]}"\n' for crate, version, _kind in pins("crates.txt"))
    head = '[package]\nname = "catalogue"\nversion = "0.0.0"\nedition = "2021"\n[workspace]\n[dependencies]\n'
    (project / "Cargo.toml").write_text(head + dependencies, encoding="utf-8")
    subprocess.run(["cargo", "fetch"], cwd=project, check=True)


def tarball(cache, package, version):
    return cache / "npm" / f"{package.lstrip('@').replace('/', '-')}-{version}.tgz"


def _one_form(name, names):
    """Whether another file holds the same module in a form that says at least as much."""
    if name.endswith((".d.cts", ".d.mts")):
        return re.sub(r"\.d\.[cm]ts$", ".d.ts", name) in names or (name.endswith(".d.cts") and name[:-6] + ".d.mts" in names)
    if name.endswith(".cjs"):
        return name[:-4] + ".mjs" in names or name[:-4] + ".js" in names
    if name.endswith(".js"):
        return name[:-3] + ".mjs" in names or (name[:-3] + ".ts" in names and not name[:-3].endswith(".d"))
    return False


def scan_npm(task):
    """What one npm tarball says: classes, messages that are thrown, enumerations."""
    package, path = task
    texts = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.split("/", 1)[-1]
            if member.isfile() and member.size < 9_000_000 and re.search(r"\.[cm]?[jt]s$", name) and not SKIPPED.search("/" + name):
                texts[name] = archive.extractfile(member).read()
    found, thrown, enums, seen = {}, {}, {}, set()
    for name in sorted(texts):
        data = texts[name]
        if _one_form(name, texts) or not RELEVANT.search(data):
            continue
        digest = hashlib.sha1(data).digest()
        text = data.decode("utf-8", "replace")
        if digest in seen or (len(text) > 200_000 and text.count("\n") < len(text) / 2000):
            continue  # a copy, or minified
        seen.add(digest)
        masked, messages, _ = jsscan.scan(name, text, found)
        thrown.update(dict.fromkeys(messages))
        for key, members in jsscan.enums(name, text, masked).items():
            enums.setdefault(key, {}).update(dict.fromkeys(members))
    return package, {
        "found": {name: one.as_dict() for name, one in found.items()},
        "thrown": list(thrown),
        "enums": {key: list(members) for key, members in enums.items()},
    }


def scan_crates(registry):
    """What the crates of crates.txt say, read from the folder of unpacked sources of a registry."""
    out = {}
    for crate, version, _kind in pins("crates.txt"):
        folder = registry / f"{crate}-{version}"
        if not folder.is_dir():
            print(f"no sources of {crate} {version}", file=sys.stderr)
            continue
        found, implemented = {}, set()
        for path in sorted(folder.rglob("*.rs")):
            if re.search(r"/(tests|examples|benches)/", str(path)):
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
            if "Error" in text and len(text) < 3_000_000:
                implemented |= rustscan.scan(text, found)
        for name, entry in found.items():
            entry["is_error"] = entry["is_error"] or name in implemented
        out[crate] = found
    return out


def scan(cache):
    tasks = []
    for package, version, _kind in pins("npm.txt"):
        path = tarball(cache, package, version)
        if path.exists():
            tasks.append((package, path))
        else:
            print(f"no tarball of {package} {version}", file=sys.stderr)
    with multiprocessing.Pool(2) as pool:
        npm = dict(pool.imap_unordered(scan_npm, tasks))
    (cache / "npm-raw.json").write_text(json.dumps(npm, sort_keys=True), encoding="utf-8")
    scan_jvm(cache)
    registries = sorted(pathlib.Path("~/.cargo/registry/src").expanduser().glob("*"))
    if registries:
        (cache / "crates-raw.json").write_text(json.dumps(scan_crates(registries[0]), sort_keys=True), encoding="utf-8")


# -- deriving rows

BUILTIN_JS = {
    "Error": "exception", "TypeError": "exception", "RangeError": "exception", "SyntaxError": "", "ReferenceError": "exception",
    "EvalError": "exception", "URIError": "invalid_request", "AggregateError": "exception", "DOMException": "exception",
    "TaggedError": "exception", "Exception": "exception",
}  # fmt: skip
# Names that no error has at run time or that say nothing: minified, test doubles, base constructors of bundlers.
NOISE = re.compile(r".{1,3}|_.*|\$?[a-z].*|.*(?:Mock|Fake|Stub|Dummy|_base|Base\d?_?|Event|Handler|Decorator|Listener|Reporter|Boundary|Page|View|Component|Plugin|Middleware|Filter|Overlay|Serializer|Formatter|Schema|Factory|Builder|Mapper|Parser|Codec|Transform|Adapter|Registry|Context|Provider)")
ERRORISH = re.compile(r"(?:Error|Exception|Interrupt|Failure|Fault|Abort|Cancelled|Canceled|Timeout|Refusal|Bailout|Errors|Tripwire\w*|Triggered|Exceeded|Denied|Unauthorized|NotFound)\d*$")


def base_of(one, found, known):
    """The base class among the names of an extends clause: a class of the package, else one that is known, else one named like an error."""
    names = [re.sub(r"_base$", "", b) for b in one["bases"]]
    names = [b for b in names if b != one["name"]]
    for name in names:
        for candidate in (name, re.sub(r"\d+$", "", name), re.sub(r"^_+", "", name)):
            if candidate != one["name"] and (candidate in found or candidate in BUILTIN_JS or candidate in known):
                return candidate
    return next((name for name in names if ERRORISH.search(name)), None)


def npm_rows(raw, overrides):
    """Rows and corpus of the npm packages."""
    kinds = {package: kind for package, _version, kind in pins("npm.txt")}
    shared = {}  # class name -> condition, for bases that live in another package
    rows, corpus = {}, []
    AI_SDK.update(name for p in ("ai", "@ai-sdk/provider") for name, one in raw.get(p, {}).get("found", {}).items() if (one["runtime"] or "").startswith("AI_"))
    order = sorted(raw, key=lambda p: (p not in FIRST, FIRST.index(p) if p in FIRST else 0, p))
    known = {name for package in raw for name in raw[package]["found"] if ERRORISH.search(name)}
    for package in order:
        found = raw[package]["found"]
        kind = kinds.get(package)
        bases = {name: base_of(one, found, known) for name, one in found.items()}
        parents = set(bases.values())

        def is_error(name, seen=()):
            if name in BUILTIN_JS or name not in found:
                return name in BUILTIN_JS or (name in known and ERRORISH.search(name)) or bool(name and ERRORISH.search(name))
            base = bases[name]
            return bool(base) and name not in seen and is_error(base, (*seen, name))

        said = {}
        messages_of = collections.defaultdict(list)
        by_code = {}
        for name, message, code in raw[package]["thrown"]:
            if message:
                messages_of[name].append(message)
                if code:
                    condition, tier, _ = derive.from_name(code, kind)
                    if condition and condition != "exception" and tier >= 2:
                        by_code[message] = condition

        def condition_of(name, seen=()):
            """(condition of the class itself or None, how); bases first."""
            if name in said:
                return said[name]
            if name not in found:
                return (shared.get(name) or BUILTIN_JS.get(name) or None, "builtin")
            one = found[name]
            base = bases[name]
            inherited = resolved(base, (*seen, name)) if base and name not in seen else None
            runtime = one["runtime"] or name
            said[name] = overrides.get((package, name)) or overrides.get((package, runtime))
            if said[name] is None:
                # What a class with subclasses is raised with says nothing about them.
                text = [] if name in parents else list(dict.fromkeys([*one["messages"], *messages_of[name]]))[:12]
                said[name] = classify(name, one["doc"], one["status"], inherited, package, text, kind)
            return said[name]

        def resolved(name, seen=()):
            if name not in found:
                return condition_of(name)[0]
            own = condition_of(name, seen)[0]
            if own:
                return own
            return resolved(bases[name], (*seen, name)) if bases[name] and name not in seen else None

        for name, one in sorted(found.items()):
            if package.startswith(("effect", "@effect/")) and not re.search(r"(?:Error|Exception)$", name):
                continue  # tagged classes of requests and events
            if not is_error(name) or NOISE.fullmatch(name) or vendored(package, name) or re.search(r"[$_]\d+$", name) or (one["runtime"] or name).endswith("Warning") or name.endswith("Warning"):
                continue
            condition, how = condition_of(name)
            final = condition or resolved(name)
            base = bases[name]
            base_runtime = (found[base]["runtime"] if base in found and found[base]["runtime"] else base) or ""
            status = "" if final in (None, "exception") or re.fullmatch(r"(?:HTTP|Http|Api|API|Client|Gateway|Response|Request)*(?:Error|Exception)", name) else str(one["status"] or "")
            for written in dict.fromkeys(filter(None, [one["runtime"], name])):
                if written in BUILTIN_JS or not re.fullmatch(r"[A-Za-z_$][\w$.]*", written) or len(written) < 5:
                    continue
                row = (written, f"npm:{package}", "" if base_runtime == written else base_runtime, status, condition or "")
                if row[:2] not in rows:
                    rows[row[:2]] = row
            if name not in shared and final:
                shared[name] = final
            for text in list(dict.fromkeys([*one["messages"], *messages_of[name]]))[:40]:
                label, why = (by_code[text], "code") if text in by_code else (final, how)
                corpus.append(record(package, "npm", one["runtime"] or name, text, one["doc"], label, why, kind))
        for name, texts in messages_of.items():
            if name in BUILTIN_JS or name not in found:
                condition = shared.get(name) if name not in BUILTIN_JS else None
                for text in dict.fromkeys(texts):
                    label, why = (by_code[text], "code") if text in by_code else (condition, "thrown")
                    corpus.append(record(package, "npm", name, text, "", label, why, kind))
        for key, members in raw[package]["enums"].items():
            if ERRORISH_ENUM.search(key):
                for member, value in members:
                    condition, how = derive.derive(member, "", None, None, package, (), kind=kind)
                    if condition:
                        corpus.append(record(package, "npm", f"{key}.{member}", str(value), "", condition, "enum", kind))
    return rows, corpus


ERRORISH_ENUM = re.compile(r"Error|Exception|Failure|FinishReason|BlockReason|StopReason", re.I)
# Packages whose classes others build on are read first.
FIRST = ["@ai-sdk/provider", "@ai-sdk/provider-utils", "ai", "openai", "@langchain/core", "@langchain/langgraph", "@mastra/core", "@temporalio/common", "@smithy/smithy-client"]


def classify(name, doc, status, inherited, module, messages, kind):
    """derive.derive, with the readings of this harvest."""
    if module.startswith("@aws-sdk/"):
        for pattern, condition in harvest_codes.AWS_RULES:
            if pattern.search(name):
                return condition, "aws"
    if re.fullmatch(r"(?:HTTP|Http|Api|API|Client|Gateway|Response|Request)*(?:Error|Exception)", name):
        status = None  # the default of a constructor, not what the class stands for
    condition, how = derive.derive(name, doc, status, inherited, module, messages, kind=kind)
    for pattern, kinds_, instead in LOCAL:
        if (kinds_ is None or kind in kinds_) and pattern.search(name):
            return (instead or None), "local"
    return condition, how


def record(package, ecosystem, name, template, doc, condition, how, kind):
    return {
        "package": package, "sdk": ecosystem, "class": name, "template": template, "docstring": doc, "condition": condition or None,
        "how": how, "kind": kind,
    }  # fmt: skip


# Readings of names that the shared derivation takes otherwise: (pattern on the name, kinds of package or None, condition; empty: none).
LOCAL = [
    (re.compile(pattern), frozenset(kinds.split()) if kinds else None, condition)
    for pattern, kinds, condition in [
        (r"TimeoutOrCancelled", "", "timeout"),
        (r"ClientClosedRequest|^(?!.*Transaction).*Abort(?:ed)?(?:Error|Exception|Signal)?\d?$", "", "run_cancelled"),
        (r"Guardrail\w*Tripwire", "", "guardrail_blocked"), (r"Guardrail(?:Execution)?Error$", "framework guardrail", "exception"),
        (r"GuardrailConfig\w*", "", "misconfiguration"), (r"GuardrailNotFound", "", "not_found"), (r"ContextValidation", "guardrail", "exception"),
        (r"Unreachable(?:Case|Code)?(?:Error|Exception)$", "", "exception"),
        (r"Unexpected(?:Token|End|Char|Eof|EOF|Character)|EOFException", "parser store http", "data_error"),
        (r"StatusCode(?:Error|Exception)?$|StatusError$", "", "exception"),
        (r"APIKeyLimit|ApiKeyLimit|ConnectionLimit", "", "quota_exhausted"), (r"APIKeyScope|ScopeMissing|MissingScope|InsufficientScope", "", "permission_denied"),
        (r"^(?:Zod|\$Zod|\$ZodReal|Vali)Error$|^(?:Schema|Ajv|Yup|Joi)?ValidationError$|^Transform(?:De|En)codeCheck|^AssertError$", "parser", "schema_violation"),
        (r"Compil(?:e|er)", "parser", "exception"), (r"^Transform\w*Error$", "parser", "data_error"),
        (r"(?:Signature|Hmac)(?:Verification|Invalid|Failed)?\w*$|InvalidHmac|WebhookVerification", "saas", "authentication_failed"),
        (r"InvalidWebhookSignature", "", "authentication_failed"),
        (r"(?:Host|DNS|Dns|Hostname|Address)(?:Name)?(?:Lookup|NotFound|NotReachable|Unreachable)", "store http", "connection_failed"),
        (r"Acquire(?:Timeout)?Error|PoolTimeout|AcquireTimeout|TimeoutDuringMaintenance", "store", "timeout"), (r"^Unknown(?:Command|Method)", "browser", "unsupported"),
        (r"^Target(?:Close|Closed|Crashed)(?:d)?(?:Error|Exception)\d?$|^Page(?:Closed|Crashed)", "browser", "connection_failed"),
        (r"^(?:CDP|Cdp)?Protocol(?:Error|Exception)$", "browser store runtime", "exception"), (r"^EagerLoading|^Loading", "store", "exception"),
        (r"^ImportError$", "", "exception"), (r"Client(?:Closed|Destroyed|Offline)Error|ServerSelection|(?:Topology|Server|Pool|Connection)Closed|NoBrokerAvailable|NoHostAvailable|ReconnectStrategy|MaxReconnect", "http store runtime framework", "connection_failed"),
        (r"MissingUpstream", "", "misconfiguration"), (r"^InvalidReturnValue|^InvalidState(?:Error|Exception)?$|^IllegalState(?:Error|Exception)$", "", "exception"),
        (r"^EmptyResultError$", "store", "not_found"), (r"Domain(?:Name)?NotAllowed", "saas model_sdk", "permission_denied"),
        (r"ContentLengthMismatch", "http", "connection_failed"), (r"^Jwt", "web", "authentication_failed"), (r"LockCanNotBeUsed", "store", "invalid_request"),
        (r"FailedDependency", "", "exception"), (r"^Memory(?:V2|Fatal)?Error$", "framework", "exception"),
        (r"Context(?:Window|Length)\w*(?:Exceed|Overflow|TooLong|Limit)|ExceedContextWindow|ContextOverflow", "framework model_sdk", "context_window_exceeded"),
        (r"^JsonError$", "model_sdk saas", "data_error"), (r"InvalidMessageRole|InvalidRoleError|InvalidToolApproval|MissingToolResults|UnsupportedRole", "framework model_sdk", "invalid_request"),
        (r"InvalidToolOutput|InvalidToolResult", "framework", "exception"), (r"UnsupportedModelVersion", "", "unsupported"), (r"ToolChoiceViolation", "", "format_instruction_ignored"),
        (r"^RequiredError$", "", "invalid_request"), (r"^(?!.*(?:Invalid|Bad|Abort|Cancel|Unsupported|TooMany|Malformed|Throttl)).*RequestError$|UnknownRequestError$", "", "exception"),
        (r"GatewayError$", "model_sdk framework", "exception"), (r"StreamingError$|UIMessageStream", "", "exception"),
        (r"Max\w*(?:Retries|Retry|Attempts)|RetryAfter", "", "exception"), (r"Invalid(?:\w*)(?:Path|ResponseFormat\w*|StreamOptions)Error$|ResponseFormatError$", "", "invalid_request"),
        (r"ToolMissing|MountToolNotFound|MissingInImage|FfmpegNotFound", "", "missing_dependency"), (r"UnknownToolProvider", "", "not_found"),
        (r"NotAllowed(?:Error)?$|ToolDenied", "framework", "permission_denied"), (r"^Integrity", "model_sdk", "data_error"),
        (r"^Unknown(?:Cause|Linear|Request)?(?:Error|Exception)$|UnknownException$", "", "exception"), (r"InternalLinear", "", "overloaded"),
        (r"Sandbox(?:Runtime|Workspace|Lifecycle)?(?:Error|Exception)$", "", "exception"), (r"Sandbox\w*(?:Exec|Execution)(?:Error|Exception|NonZeroError)$", "", "code_execution_error"),
        (r"(?:Broken|Isolated|Open|Half)\w*Circuit|Circuit(?:Open|Broken|Half|Breaker)|Bulkhead", "", "overloaded"),
        (r"^(?:JOSE|JW[SEKT])(?!.*(?:Timeout|NotSupported)$)(?!Error)\w+", "security", "authentication_failed"),
        (r"Continue(?:d)?AsNew|^CompleteAsync|DoBackoff|^Waiting(?:Children)?Error|^DelayedError|^StopResponse|CompleteTaskWithOutput|^Suspended\w*Error", "runtime framework", "control_flow"),
        (r"(?:Exceeded)?Max(?:imum)?Duration|TimeoutExecutionCancelled", "", "run_timeout"), (r"Cancell?ed(?:Process|Error)", "", "run_cancelled"),
        (r"^NotEnoughSpace|DeviceLost", "", "resource_exhausted"), (r"BusyConnection", "store", "overloaded"), (r"DoesNotSupportApiKey", "", "unsupported"),
        (r"^(?:InvalidPDF|PDF|XRef|Jpeg|Jpx|Jbig2|DNLMarker|EOIMarker|MissingData|Password|BSON)\w*", "parser store", "data_error"),
        (r"ClientMissing", "", "misconfiguration"), (r"EmptyChatModelResponse|EmptyResponseBody", "", "empty_output"), (r"^BotActivity", "", "guardrail_blocked"),
        (r"SessionMissing", "saas store", "authentication_failed"), (r"StreamStalled", "", "timeout"),
    ]
]  # fmt: skip
# Classes that packages carry with them from another one.
VENDORED = re.compile(r"^(?:\$?Zod\w*|YAML\w*|Mongo\w+|BSON\w*|Axios\w*|Socks\w*|Ajv\w*|GraphQL\w*Error|FetchError|UndiciError|Sequelize\w*|Prisma\w*)$")
VENDORS = re.compile(r"zod|yaml|mongo|axios|graphql|apollo|undici|sequelize|typeorm$|prisma|ajv|node-fetch|ofetch|basic-ftp")


AI_SDK: set[str] = set()


def vendored(package, name):
    if name.startswith(("AI_", "AISDKError", "Gateway")) or name in AI_SDK:
        return not (package == "ai" or package.startswith("@ai-sdk/"))
    match = VENDORED.match(name)
    return bool(match) and (not VENDORS.search(package) or (package == "typeorm" and name.startswith(("Mongo", "BSON"))))


# Variants of Rust enums are short words whose meaning lies in the enum; only these say something by themselves.
RUST_SAYS = {
    "timeout": r"Time(?:d)?Out|Timeout|Elapsed|Deadline",
    "connection_failed": r"Connect(?:ion)?(?:Closed|Failed|Reset|Refused|Error|Aborted|Lost|Failure|PoolCleared)?$|Dns|Tls|Certificate|Transport|Network|Socket|ServerSelection|ProxyConnect|StreamError|UnexpectedEndOfStream|^Lost$|BrokenPipe",
    "authentication_failed": r"Auth(?:entication)?(?:Error|Required|Failed)?$|Unauthenticated|Unauthorized|ApiKey|MissingKey$|Credential|ExpiredSignature|InvalidToken|InvalidSignature|InvalidAuthentication|InvalidGrant|TokenExpired|NoAuthData",
    "permission_denied": r"Forbidden|PermissionDenied|PermissionError|AccessDenied|InsufficientScope|UserDeclined|^Denied$",
    "rate_limited": r"RateLimit|TooManyRequests|Throttl", "quota_exhausted": r"Quota|PaymentRequired|InsufficientBalance",
    "overloaded": r"Unavailable|Overloaded|InternalServer|InternalError", "not_found": r"NotFound|NoSuch|UnknownProvider|StaleElement",
    "conflict": r"AlreadyExists|Conflict|Duplicate|AlreadyInUse|PreconditionFailed", "unsupported": r"Unsupported|NotSupported|NotImplemented|Unimplemented|UnknownCommand",
    "unknown_tool": r"UnknownTool|ToolNotFound|MethodNotFound|NoSuchTool", "invalid_tool_arguments": r"InvalidToolArguments|ToolArg|InvalidArgs$",
    "malformed_json": r"Json|Serde|JSON", "invalid_request": r"Unsupported|NotSupported|InvalidArgument|BadRequest|InvalidRequest|InvalidParameter|InvalidUri|InvalidUrl|BadUrl|InvalidPath|TooLarge|InvalidSelector|NotInteractable|InvalidHeader|Validation",
    "data_error": r"BodyTooLarge|Pars(?:e|ing)|Decod|Deserial|Encod|Serializ|Malformed|Conver|Utf8|InvalidXml|Corrupt|InvalidResponse|BadMagic",
    "context_window_exceeded": r"Context", "safety_filter": r"Safety|ContentFilter", "model_not_found": r"Model\w*NotFound|UnknownModel",
    "run_cancelled": r"Cancel", "missing_dependency": r"Dependency", "misconfiguration": r"Config", "resource_exhausted": r"OutOfMemory|TooDeep|Recursion|Depth|StorageFull",
    "code_execution_error": r"Javascript|JavaScript|Syntax", "max_iterations_reached": r"MaxDepth|MaxTurns|MaxIterations|RoundsExceeded",
    "schema_violation": r"ValidationError", "retriever_error": r"VectorStore|Dimension|Embedding",
}  # fmt: skip
RUST_SKIPPED = re.compile(r"Mock|Test|Fake|BuilderError|BuildError|^User$|Reason$")


def rust_says(name, said):
    """The derived condition of a Rust name if the name itself bears it out."""
    condition, how = said
    if condition in (None, "exception") or how == "override" or re.search(RUST_SAYS.get(condition, "(?!)"), name):
        return said
    return None, "unsure"


def crate_rows(raw, overrides):
    """Rows `crate::Enum::Variant` and `crate::Type`, and the corpus of their texts."""
    kinds = {crate: kind for crate, _version, kind in pins("crates.txt")}
    rows, corpus = {}, []
    for crate, found in sorted(raw.items()):
        path = crate.replace("-", "_")
        kind = kinds.get(crate)
        for name, entry in sorted(found.items()):
            if not entry["is_error"] or name.startswith("_") or RUST_SKIPPED.search(name):
                continue
            condition = overrides.get((crate, name)) or rust_says(name, classify(name, entry["doc"], None, None, crate, entry["messages"], kind))
            qualified = f"{path}::{name}"
            rows[(qualified, f"crates:{crate}")] = (qualified, f"crates:{crate}", "", "", condition[0] or "")
            for text in entry["messages"]:
                corpus.append(record(crate, "crates", qualified, text, entry["doc"], condition[0], condition[1], kind))
            for variant, about in sorted(entry["variants"].items()):
                if variant == "Unhandled":
                    continue
                messages = [about["message"]] if about["message"] else []
                own = overrides.get((crate, f"{name}::{variant}")) or rust_says(
                    variant, classify(variant, about["doc"], None, condition[0], crate, messages, kind)
                )
                final = own[0] or condition[0]
                if about["message"]:
                    corpus.append(record(crate, "crates", f"{qualified}::{variant}", about["message"], about["doc"], final, own[1], kind))
                if crate.startswith("aws-sdk-") and variant in found:
                    continue  # the exception itself has a row
                if own[0] and own[0] != "exception" and own[0] != condition[0]:
                    key = (f"{qualified}::{variant}", f"crates:{crate}")
                    rows[key] = (*key, qualified, "", own[0])
    # A type that says nothing, and of which nothing is said, is left out.
    bases = {row[2] for row in rows.values()}
    rows = {key: row for key, row in rows.items() if row[4] or key[0] in bases}
    return rows, corpus


def builtin_rows():
    """Rows of the hand-written class tables `codes/classes_*.toml`."""
    rows = {}
    for path in sorted((HERE / "codes").glob("classes*.toml")):
        for table in tomllib.loads(path.read_text(encoding="utf-8"))["table"]:
            prefix, package, default = table.get("prefix", ""), table["package"], table.get("base", "")
            for line in table["classes"].strip().splitlines():
                head, _, rest = line.partition(": ")
                words = head.split()
                condition = words[0] if words[0] != "-" else ""
                status = words[1] if len(words) > 1 else ""
                if condition and condition not in derive.CONDITIONS:
                    raise SystemExit(f"{path.name}: unknown condition in {line!r}")
                for item in rest.split():
                    name, _, base = item.partition("<")
                    name, sep, own_status = name.partition("=")
                    base = base or default
                    full = name if name.startswith("~") else prefix + name
                    if base == "-":
                        base = ""
                    elif base and prefix and not base.startswith("~"):
                        base = prefix + base
                    key = (full.lstrip("~"), package)
                    row = (*key, base.lstrip("~"), own_status if sep else status, condition)
                    if key in rows and rows[key] != row:
                        raise SystemExit(f"{path.name}: two rows of {key}")
                    rows[key] = row
    return rows


# Repositories of JVM and .NET libraries: folder below CACHE/sources, package, kind.
SOURCES = [
    ("langchain4j", "maven:dev.langchain4j", "framework"), ("openai-java", "maven:com.openai:openai-java", "model_sdk"),
    ("spring-ai", "maven:org.springframework.ai", "framework"), ("anthropic-sdk-java", "maven:com.anthropic:anthropic-java", "model_sdk"),
    ("jackson-core", "maven:com.fasterxml.jackson.core:jackson-core", "parser"),
    ("jackson-databind", "maven:com.fasterxml.jackson.core:jackson-databind", "parser"), ("okhttp", "maven:com.squareup.okhttp3:okhttp", "http"),
    ("semantic-kernel", "nuget:Microsoft.SemanticKernel", "framework"), ("java-slack-sdk", "maven:com.slack.api", "saas"),
]  # fmt: skip


def scan_jvm(cache):
    """Reads the classes of a JDK (extracted below CACHE/jdk) and the sources of JVM and .NET libraries, if they are there."""
    classes = {}
    for path in sorted((cache / "jdk").rglob("*.class")):
        read = javascan.class_file(path.read_bytes())
        if read and read[2] and "$" not in read[0]:
            classes[read[0]] = read[1]
    roots = ("java.lang.Throwable", "java.lang.Exception", "java.lang.Error", "java.lang.RuntimeException", "java.io.IOException")

    def throwable(name, seen=()):
        return name in roots or (name in classes and name not in seen and throwable(classes[name], (*seen, name)))

    if classes:
        found = {name: base for name, base in classes.items() if throwable(name)}
        (cache / "jdk.json").write_text(json.dumps(found, sort_keys=True), encoding="utf-8")
    libraries = []
    for folder, package, kind in SOURCES:
        files = [p for p in sorted((cache / "sources" / folder).rglob("*")) if re.search(r"(?:Exception|Error)s?\.(?:java|kt|cs)$", p.name)]
        files = [p for p in files if not re.search(r"test|sample", str(p.relative_to(cache)), re.I)]
        found = [row for p in files for row in javascan.sources(str(p), p.read_text(encoding="utf-8", errors="replace"))]
        if found:
            libraries.append({"package": package, "kind": kind, "classes": found})
    if libraries:
        (cache / "jvm-sources.json").write_text(json.dumps(libraries, sort_keys=True), encoding="utf-8")


JDK_PACKAGES = re.compile(r"^(?:java\.(?:lang|io|net|nio|util|sql|time|security|text|rmi)\b|javax\.(?:net\.ssl|crypto|script|xml\.(?:stream|parsers|xpath|transform|validation))\b)")


def jvm_rows(cache, overrides):
    """Rows of the JDK (names and bases were read from its class files) and of JVM and .NET libraries (from sources)."""
    rows, corpus = {}, []
    jdk = json.loads((cache / "jdk.json").read_text(encoding="utf-8")) if (cache / "jdk.json").exists() else {}
    said = {}

    def resolve(name, table, package, kind):
        if name in said:
            return said[name]
        if name not in table:
            return None
        base, doc, status, messages = table[name]
        inherited = resolve(base, table, package, kind)
        short = name.rsplit(".", 1)[-1]
        own = overrides.get((package, name)) or overrides.get((package, short)) or classify(short, doc, status, inherited, package, messages, kind)
        said[name] = own[0] or inherited
        own_of[name] = own
        return said[name]

    own_of = {}
    table = {name: (base, "", None, []) for name, base in jdk.items()}
    for name in sorted(table):
        resolve(name, table, "builtin:java", "builtin")
        if JDK_PACKAGES.match(name):
            rows[(name, "builtin:java")] = (name, "builtin:java", table[name][0], "", own_of[name][0] or "")
    sources = cache / "jvm-sources.json"
    for library in json.loads(sources.read_text(encoding="utf-8")) if sources.exists() else []:
        package, kind = library["package"], library["kind"]
        own = {name: (base, doc, status, messages) for name, base, doc, status, messages in library["classes"]}
        short = {name.rsplit(".", 1)[-1]: name for name in own}
        own = {name: (short.get(base) or base_name(base, package, jdk), *rest) for name, (base, *rest) in own.items()}
        merged = {**table, **own}
        for name in sorted(own):
            if not name.endswith(("Exception", "Error")) or name.endswith("ToolCallError") or ".models." in name or name.startswith("System."):
                continue  # data classes that describe an error
            resolve(name, merged, package, kind)
            base, doc, status, messages = own[name]
            rows[(name, package)] = (name, package, base, str(status or ""), own_of[name][0] or "")
            for text in messages:
                corpus.append(record(package, package.split(":")[0], name, text, doc, said[name], own_of[name][1], kind))
    return rows, corpus


def base_name(base, package, jdk):
    """The qualified name of a base class that is written without its package."""
    if package.startswith("nuget:"):
        return base if "." in base else f"System.{base}"
    return f"java.lang.{base}" if f"java.lang.{base}" in jdk or base in ("Exception", "RuntimeException") else base


def load_overrides():
    """(package, class) -> (condition, "override") of overrides_javascript.toml."""
    path = HERE / "overrides_javascript.toml"
    out = {}
    for table in tomllib.loads(path.read_text(encoding="utf-8")).get("override", []):
        for line in table["classes"].strip().splitlines():
            condition, _, names = line.partition(": ")
            if condition not in derive.CONDITIONS:
                raise SystemExit(f"{path.name}: unknown condition in {line!r}")
            for name in names.split():
                out[(table["package"], name)] = (condition, "override")
    return out


# Kinds of package of which a known class is worth a row even if it names no cause: who raised it matters.
CORE_KINDS = frozenset(("model_sdk", "framework", "mcp", "guardrail", "http"))


def worth_a_row(rows):
    """Without the classes that name no cause, are nobody's base and belong to neither an SDK nor a framework, unless their name is general."""
    kinds = {package: kind for package, _version, kind in pins("npm.txt")}
    bases = {row[2] for row in rows.values()}
    kept = {}
    for key, row in rows.items():
        package = row[1].removeprefix("npm:")
        words = frozenset(re.findall(r"[a-z0-9]+", package.lower()))
        dull = row[4] in ("", "exception") and not row[3] and row[0] not in bases and row[2] in ("", *BUILTIN_JS)
        core = kinds.get(package) in CORE_KINDS and harvest_python.TELLS_WHERE.search(row[0])
        if not dull or core or derive.is_general(row[0], words | {"".join(sorted(words))}):
            kept[key] = row
    by_package = collections.defaultdict(list)
    for key in sorted(kept, key=lambda key: (key[0] not in bases, kept[key][4] in ("", "exception"), key)):
        by_package[key[1]].append(key)
    for package, keys in by_package.items():
        kind = kinds.get(package.removeprefix("npm:"), "")
        for key in keys[harvest_python.MOST_ROWS_OF_KIND.get(kind, harvest_python.MOST_ROWS) :]:
            del kept[key]
    return kept


def once(rows):
    """One row per name, status and condition: at run time an error of JavaScript tells its name, not its package."""
    order = {package: i for i, package in enumerate(f"npm:{p}" for p in FIRST)}
    kept, seen = {}, set()
    for key, row in sorted(rows.items(), key=lambda item: (order.get(item[0][1], len(order)), item[0])):
        meaning = (row[0], row[3], row[4])
        if meaning not in seen:
            seen.add(meaning)
            kept[key] = row
    # A row without a condition or status adds nothing where another package's class of that name has one.
    says = {row[0] for row in kept.values() if row[4]}
    return {key: row for key, row in kept.items() if row[4] or row[3] or row[0] not in says}


def rows(cache, out):
    overrides = load_overrides()
    npm, corpus = npm_rows(json.loads((cache / "npm-raw.json").read_text(encoding="utf-8")), overrides)
    crates, more = crate_rows(json.loads((cache / "crates-raw.json").read_text(encoding="utf-8")), overrides)
    jvm, other = jvm_rows(cache, overrides)
    npm = worth_a_row(once(npm))
    everything = {**npm, **crates, **jvm, **builtin_rows()}
    out.mkdir(parents=True, exist_ok=True)
    with open(out / "classes-js.tsv", "w", encoding="utf-8") as file:
        for row in sorted(everything.values()):
            file.write("\t".join(row) + "\n")
    with open(out / "corpus-js.jsonl", "w", encoding="utf-8") as file:
        seen = set()
        for one in [*corpus, *more, *other]:
            key = (one["package"], one["class"], one["template"])
            if len(one["template"]) > 5 and key not in seen:
                seen.add(key)
                file.write(json.dumps(one, ensure_ascii=False) + "\n")
    print(f"{len(everything)} classes (npm {len(npm)}, crates {len(crates)}, jvm {len(jvm)}), {len(seen)} messages", file=sys.stderr)


def main():
    step, cache = sys.argv[1], pathlib.Path(sys.argv[2]).expanduser()
    if step == "fetch":
        fetch(cache)
    elif step == "scan":
        scan(cache)
    else:
        rows(cache, pathlib.Path(sys.argv[3]))


if __name__ == "__main__":
    main()
