//! Facts of what a run stands on: packages, programs, settings, memory and disk, and the code that it ran.

use super::super::byte_regex::ByteRegex;
use super::find::{add_from_messages, bare, capture, expressions};
use super::names::{FactName, fact_names};
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, last_segment};

fact_names! {
    MISSING_PACKAGE = "missing_package", Text, "the missing package, module or class";
    MISSING_IMPORT = "missing_import", Text, "the name that the package does not have";
    MISSING_PROGRAM = "missing_program", Text, "the missing program";
    MISSING_LIBRARY = "missing_library", Text, "the missing shared library";
    REQUIRED_VERSION = "required_version", Text, "the required version";
    INSTALLED_VERSION = "installed_version", Text, "the installed version";
    UNINSTALLED_PACKAGE = "uninstalled_package", Text, "the package that a later step tried to install in vain";
    INSTALL_ERROR = "install_error", Text, "why the installation failed";
    MISSING_SETTING = "missing_setting", Text, "the setting or environment variable";
    SETTINGS_CLASS = "settings_class", Text, "the class of the settings";
    SETTING_PROBLEM = "setting_problem", Text, "what the validator says about the setting";
    SETTING_FILE = "setting_file", Text, "the configuration file";
    SETTING_LINE = "setting_line", Count, "the line in the configuration file";
    SETTING_VALUE = "setting_value", Text, "the value of the setting";
    RESOURCE = "resource", Text, "the resource that ran out";
    FULL_STORE = "full_store", Text, "the server, database or container whose resource ran out";
    NEEDED_SIZE = "needed_size", Text, "how much was needed";
    AVAILABLE_SIZE = "available_size", Text, "how much was available";
    CAPACITY = "capacity", Text, "the capacity of the device";
    RESOURCE_LIMIT = "resource_limit", Text, "the limit of the resource";
    DEVICE = "device", Text, "the device that was full";
    FULL_PATH = "full_path", Text, "the path that could not be written";
    ERRNO = "errno", Count, "the error number of the operating system";
    KILL_SIGNAL = "kill_signal", Text, "the signal that ended the process";
    EXECUTED_LANGUAGE = "executed_language", Text, "the language of the executed code";
    EXECUTED_CODE = "executed_code", Text, "the start of the executed code or command";
    CODE_ERROR = "code_error", Text, "the error of the executed code";
    CODE_ERROR_TYPE = "code_error_type", Text, "the type of the error of the executed code";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    match case.label.factor() {
        "missing_dependency" => {
            add_from_messages(case, facts, DEPENDENCIES);
            add_installation(case, facts);
        }
        "misconfiguration" => add_from_messages(case, facts, SETTINGS),
        "resource_exhausted" => add_resources(case, facts),
        "code_execution_error" => {
            add_from_messages(case, facts, DEPENDENCIES.get(..1).unwrap_or_default());
            add_code(case, facts);
        }
        _ => {}
    }
}

const DEPENDENCIES: &[(&FactName, &ByteRegex)] = &[
    (&MISSING_PACKAGE, &PACKAGE),
    (&MISSING_IMPORT, &IMPORT),
    (&MISSING_PROGRAM, &PROGRAM),
    (&MISSING_LIBRARY, &LIBRARY),
    (&REQUIRED_VERSION, &VERSION),
    (&INSTALLED_VERSION, &INSTALLED),
];

const SETTINGS: &[(&FactName, &ByteRegex)] = &[
    (&MISSING_SETTING, &VALIDATED_SETTING),
    (&SETTINGS_CLASS, &CLASS_OF_SETTINGS),
    (&SETTING_PROBLEM, &PROBLEM_OF_SETTING),
    (&MISSING_SETTING, &SETTING),
    (&SETTING_FILE, &CONFIG_FILE),
    (&SETTING_LINE, &CONFIG_LINE),
    (&SETTING_VALUE, &CONFIG_VALUE),
];

expressions! {
    PACKAGE =
        r#"(?i)\bno module named ['"]?([\w.\-]+)|cannot find (?:module|package) ['"]([^'"\s]+)['"]|(?:ClassNotFoundException|NoClassDefFoundError):? ([\w.$/]+)"#,
        r#"|cannot load such file -- ([\w./\-]+)|could not load file or assembly ['"]([^,'"\n]+)|package metadata was found for ['"]?([\w.\-]+)"#,
        r#"|the ['"]([\w.\-]+)['"] distribution was not found|['"`]([\w.\-@/]+)['"`] (?:package |library |module )?is not installed|\b([\w.\-]+) (?:package|library|module) is not installed"#,
        r#"|(?:package|module|library|dependency) ['"`]([\w.\-@/]+)['"`] (?:is |was )?(?:not (?:installed|found|available)|required|missing)|missing (?:optional )?dependency:? ['"`]([\w.\-@/]+)"#,
        r#"|cannot import name ['"][^'"\n]+['"] from (?:partially initialized module )?['"]([\w.]+)['"]|could not import (?:the )?['"`]?([\w.\-]+)['"`]? (?:python )?package"#,
        r"|no required module provides package ([\w./\-]+)|could not resolve ['\x22]([\w.\-@/]+)['\x22]|unresolved import `([\w:]+)`",
        r"|\b(?:package|module|library|dependency) (\w+(?:[._\-]\w+)+) is (?:missing|required|not (?:installed|available|found))";
    IMPORT = r#"cannot import name ['"]([^'"\n]+)['"]|undefined symbol: (\w+)|does not provide an export named ['"]?(\w+)"#;
    PROGRAM =
        r#"(?m)(?:^|[\s:])([\w.+\-/]+): (?:command )?not found(?:$|[\s.,;)])|\bcommand not found: ([\w.+\-/]+)|\bspawn ([^\s]+) ENOENT|exec: "([^"\n]+)": executable file not found"#,
        r#"|['"]([^'"\n]+)['"] is not recognized as an internal|[Cc]annot run program "([^"\n]+)"|[Tt]he term ['"]([^'"\n]+)['"] is not recognized|[Ee]xecutable doesn't exist at ([^\s]+)"#,
        r#"|No such file or directory: ['"]([A-Za-z][\w+\-]*)['"]|(?i)(?:could not|cannot|unable to) find (?:the )?(?:executable|binary|program|command):? ['"`]?([\w.+\-/]+)|(?i)executable ['"`]([^'"`\n]+)['"`] not found"#;
    LIBRARY = r"([\w.+\-/]+\.so[\w.]*): cannot open shared object|[Ll]ibrary not loaded: (\S+)|DLL load failed while importing (\w+)|version `([\w.]+)' not found|load library ['\x22]?([\w.+\-]+)";
    VERSION = r"(?i)\brequires? (?:a )?(?:version )?['\x22`]?([A-Za-z][\w.\-]* ?(?:[<>=!~]=?|\^) ?v?\d[\w.]*)|\brequires? ((?:python|node|node\.js) (?:version )?(?:[<>=~]=? ?)?\d[\w.]*)|\bversion ([\d][\w.]*) or (?:newer|higher|later)";
    INSTALLED = r"(?i)\bbut you have ([\w.\-]+ v?\d[\w.]*)|\binstalled(?: version)?(?: is|:) v?(\d[\w.]*)|\bcurrent version(?: is|:)? v?(\d[\w.]*)";
    SETTING =
        r#"(?i:environment variables?|env(?:ironment)? vars?|env)(?i: named| called| not found)?:? ['"`$]{0,2}([A-Z][A-Z0-9_]{2,})\b|\b([A-Z][A-Z0-9]*_[A-Z0-9_]+)\b['"`]?(?i: environment variable| env var| must be| is not set| not set| is (?:missing|required|undefined|empty|invalid|not (?:set|defined|configured))| (?:was|were) not)"#,
        r#"|(?i:missing|required|invalid|unknown|unset|undefined|no)(?i: required)?(?i: configuration| config| setting| option| parameter| property| environment)s?(?i: key| keys| value| option| variable| variables| parameter| setting)?:? (?i:for |named )?['"`]?([A-Za-z_][\w\-]*(?:[._][\w\-]+){0,6})['"`]?"#,
        r#"|(?i:setting|configuration|config|option|property)(?i: key| value)? ['"`]([\w.\-]+)['"`]|(?i:setting) ([a-z]\w*[._][\w.]+)\b|\bconfig\.(\w+(?:\.\w+){0,4}) (?:is|was|not|must)"#,
        r#"|(?i:must|please|need to) (?i:set|provide|define|specify|configure) (?i:the |a value for )?['"`$]{0,2}([A-Za-z_]+[_.][\w.]+)|(?i:did not find|could not find) (\w+_\w+), please add|KeyError: ['"]([A-Z][A-Z0-9_]{2,})['"]|(?i:requires) (?i:setting |the setting )?([A-Z][A-Z0-9]*_[A-Z0-9_]+)"#;
    VALIDATED_SETTING = r"validation errors? for [\w.]{1,80}\n([A-Za-z_][\w.]{0,80})\n|^'([A-Z][A-Z0-9_]{2,60})'$";
    CLASS_OF_SETTINGS = r"validation errors? for ([\w.]{1,80})\n";
    PROBLEM_OF_SETTING = r"validation errors? for [\w.]{1,80}\n[\w.]{1,80}\n\s{1,6}([A-Z][^\n\[]{3,120})";
    CONFIG_FILE = r"((?:/|\./|~/|[A-Za-z]:\\)?[\w.\-]+(?:[/\\][\w.\-]+){0,10}\.(?:ya?ml|toml|json|ini|cfg|conf|properties|prisma)|(?:/[\w./\-]+)?\.env(?:\.\w+)?)\b";
    CONFIG_LINE = r"\.(?:ya?ml|toml|json|ini|cfg|conf|properties|prisma):(\d{1,6})\b";
    ERRNO_OF_SYSTEM = r"(?i)\[errno (-?\d{1,5})\]|\berrno[ :=]{1,3}(-?\d{1,5})\b|\(os error (\d{1,5})\)";
    NOT_INSTALLED = r"[Nn]o matching distribution found for ([A-Za-z0-9][\w.\-\[\]]{0,80})|[Uu]nable to locate package ([a-z0-9][a-z0-9+.\-]{1,80})|E404[^\n]{0,80}?'(@?[\w./\-]{1,80})(?:@[^']{0,40})?' is not in this registry";
    INSTALL_CAUSE = r"(Temporary failure in name resolution|Could not resolve host[^\n]{0,80}|Name or service not known|[Nn]etwork is unreachable|Connection refused|Could not find a version that satisfies the requirement [^\n]{1,100}|externally-managed-environment|Temporary failure resolving '[^'\n]{1,80}'|getaddrinfo (?:ENOTFOUND|EAI_AGAIN) [^\s]{1,80})";
    CONFIG_VALUE = r#"(?i)\b(?:invalid|bad|unsupported|unknown|unexpected) (?:value|setting|option)(?: for [\w.\-'"]+)?:? ['"`]([^'"`\n]+)['"`]|\bgot ['"`]([^'"`\n]+)['"`]|, got (\w+)\b"#;
    NEEDED = r"(?i)(?:tried to allocate|(?:unable|failed|could not|cannot) (?:to )?allocate|memory allocation of|allocat(?:e|ing|ion of)|requir(?:es|ed)|needs?|needed|requested|request for)(?: memory)?:? (?:of )?(\d[\d.,]{0,15} ?(?:[KMGT]i?B?|bytes)\b)",
        r"|\b(\d[\d.,]{0,15} ?(?:[KMGT]i?B|bytes)) (?:was|were|is|are) (?:asked for|requested|needed|required)\b";
    FREE = r"(?i)\b(\d[\d.,]{0,15} ?(?:[KMGT]i?B?|bytes))(?: is| are)? (?:free|available|left|remaining)\b|\b(?:free|available|remaining)(?: memory| space| disk)?(?: is|:|=) ?(\d[\d.,]{0,15} ?(?:[KMGT]i?B?|bytes)\b)|\bonly (\d[\d.,]{0,15} ?(?:[KMGT]i?B?|bytes)\b)";
    TOTAL = r"(?i)\btotal capacity of (\d[\d.,]{0,15} ?[KMGT]i?B)|\b(\d[\d.,]{0,15} ?[KMGT]i?B) (?:total capacity|in (?:all|total))\b";
    LIMIT = r"(?i)\b(?:limit|quota|ulimit|maximum|max)(?: (?:of|is|was))?(?: ?[:=])? ?\(?(\d[\d.,]{0,15} ?(?:[KMGT]i?B?\b|bytes\b|files?\b|handles?\b|descriptors?\b)|\d{3,9}\b)|\b(\d[\d.,]{0,15} ?[KMGT]i?B?) (?:memory )?limit\b";
    DEVICE_NAME = r"\b(GPU \d{1,2}|cuda:\d{1,2}|/dev/\w+)\b";
    FULL = r#"(?i)no space left on device:? ['"]([^'"\n]+)['"]|disk quota exceeded:? ['"]([^'"\n]+)['"]|(?:write|writing)(?: to)? ['"]?(/[^\s'":]+)['"]?: no space left"#;
    SIGNAL = r"\b(SIGKILL|SIGABRT|SIGSEGV|SIGTERM|SIGBUS)\b|\bkilled by signal (\d{1,2})|\bsignal: (killed)\b|\b(OOMKilled)\b";
    ERROR_OF_CODE = r"(?m)(?:^|[\s:>])((?:[A-Za-z_]\w*\.){0,4}[A-Z]\w*(?:Error|Exception|Interrupt)(?:: [^\n]+)?)\s*$";
    FENCE = r"```(\w+)\n";
    CODE_ARGUMENT = r#""(?:code|command|cmd|script|source|python|bash|query)"\s{0,3}:\s{0,3}"((?:[^"\\]|\\.)+)"#;
    LANGUAGE_ARGUMENT = r#""(?:language|lang|kernel|interpreter)"\s{0,3}:\s{0,3}"(\w+)""#;
}

const RESOURCES: &[(&FactName, &ByteRegex)] = &[
    (&NEEDED_SIZE, &NEEDED),
    (&AVAILABLE_SIZE, &FREE),
    (&CAPACITY, &TOTAL),
    (&RESOURCE_LIMIT, &LIMIT),
    (&DEVICE, &DEVICE_NAME),
    (&FULL_PATH, &FULL),
    (&ERRNO, &ERRNO_OF_SYSTEM),
    (&KILL_SIGNAL, &SIGNAL),
];

/// What ran out, as the words of operating systems and runtimes say it.
fn resource_of(text: &str) -> Option<&'static str> {
    const WORDS: [(&[&str], &str); 9] = [
        (&["cuda", "gpu", "hip out of memory", "device memory", "vram"], "GPU memory"),
        (&["recursion depth", "recursionerror", "stack overflow", "call stack size"], "call stack space"),
        (&["heap out of memory", "java heap space", "gc overhead"], "heap memory"),
        (&["no space left", "disk full", "diskfull", "enospc", "not enough space on the disk"], "disk space"),
        (&["disk quota", "edquot"], "disk quota"),
        (&["too many open files", "emfile", "file descriptor"], "file handles"),
        (&["can't start new thread", "unable to create new native thread", "too many processes"], "threads"),
        (&["memory", "oom", "unable to allocate", "sigkill"], "memory"),
        (&["resource temporarily unavailable"], "processes or threads"),
    ];
    let text = text.to_ascii_lowercase();
    WORDS.iter().find(|(words, _)| words.iter().any(|word| text.contains(word))).map(|(_, resource)| *resource)
}

/// The server that refused the call because of a limit of its own, and its resource. The process that called it has enough.
fn store_of<'t>(case: &Case<'_, 't>, kind: &str) -> Option<(&'static str, &'static str, &'t Span)> {
    let typed = case.span().and_then(|span| Some((full_store(kind)?, span)));
    let said = || case.error_texts().iter().find_map(|source| Some((full_store(source.text)?, source.span)));
    typed.or_else(said).map(|((store, resource), span)| (store, resource, span))
}

/// A server with a limit of its own, in the words of its errors.
fn full_store(text: &str) -> Option<(&'static str, &'static str)> {
    /// Words in lower case, of which each group must occur; the server and its resource.
    const STORES: [(&[&str], &str, &str); 27] = [
        (&["maxmemory"], "Redis", "memory"),
        (&["oom command not allowed"], "Redis", "memory"),
        (&["redis.exceptions.outofmemoryerror"], "Redis", "memory"),
        (&["circuit_breaking_exception"], "Elasticsearch", "memory of its circuit breaker"),
        (&["circuitbreakingexception"], "Elasticsearch", "memory of its circuit breaker"),
        (&["data too large, data for"], "Elasticsearch", "memory of its circuit breaker"),
        (&["flood stage disk watermark"], "Elasticsearch", "disk space"),
        (&["flood-stage watermark"], "Elasticsearch", "disk space"),
        (&["es_rejected_execution_exception"], "Elasticsearch", "place in its queue"),
        (&["out of shared memory", "lock"], "PostgreSQL", "shared memory for locks"),
        (&["could not resize shared memory segment"], "PostgreSQL", "shared memory"),
        (&["could not extend file", "no space left"], "PostgreSQL", "disk space"),
        (&["temporary file size exceeds temp_file_limit"], "PostgreSQL", "space for temporary files"),
        (&["too many clients already"], "PostgreSQL", "connections"),
        (&["remaining connection slots are reserved"], "PostgreSQL", "connections"),
        (&["too many connections for role"], "PostgreSQL", "connections"),
        (&["error 1040"], "MySQL", "connections"),
        (&["max_user_connections"], "MySQL", "connections"),
        (&["sort exceeded memory limit"], "MongoDB", "memory for sorting"),
        (&["exceededmemorylimit"], "MongoDB", "memory of a query"),
        (&["queryexceededmemorylimitnodiskuseallowed"], "MongoDB", "memory of a query"),
        (&["memory limit", "exceeded", "would use"], "ClickHouse", "memory"),
        (&["memory_limit_exceeded"], "ClickHouse", "memory"),
        (&["exceeded per-node memory limit"], "Trino", "memory of a query"),
        (&["server_error out of memory storing object"], "Memcached", "memory"),
        (&["oomkilled"], "the container", "memory"),
        (&["memory cgroup out of memory"], "the container", "memory"),
    ];
    let text = super::super::text::clip(text).to_ascii_lowercase();
    STORES.iter().find(|(words, ..)| words.iter().all(|word| text.contains(word))).map(|(_, store, resource)| (*store, *resource))
}

fn add_resources(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    let kind = root.error_type.as_deref().unwrap_or_default();
    let texts = case.messages().map(|(_, text)| text).chain([kind]);
    let own = texts.into_iter().find_map(resource_of);
    if let Some((store, resource, span)) = store_of(case, kind) {
        facts.add(&FULL_STORE, store, Place::Span(span));
        facts.add(&RESOURCE, resource, Place::Span(span));
    }
    if let Some(resource) = own {
        facts.add(&RESOURCE, resource, Place::Span(root.span));
    }
    add_from_messages(case, facts, RESOURCES);
}

/// An installation in a later step that failed: its package and the reason.
fn add_installation(case: &Case<'_, '_>, facts: &mut Facts) {
    const SPANS_READ_MAX: usize = 64;
    let Some(root) = case.root else { return };
    for span in case.trace.spans.iter().skip(root.index).take(SPANS_READ_MAX) {
        let Some(result) = span.tool.as_ref().and_then(|tool| tool.result.as_deref()) else { continue };
        let found = super::super::text::ends_of(result).find_map(|text| capture(&NOT_INSTALLED, text));
        let Some(package) = found.map(bare) else { continue };
        facts.add(&UNINSTALLED_PACKAGE, package, Place::Field(span, "tool.result"));
        if let Some(cause) = super::super::text::ends_of(result).find_map(|text| capture(&INSTALL_CAUSE, text)) {
            facts.add(&INSTALL_ERROR, cause.trim(), Place::Field(span, "tool.result"));
        }
        return;
    }
}

/// The code or command that failed, its language, and its error.
fn add_code(case: &Case<'_, '_>, facts: &mut Facts) {
    const LINE_CHARS_MAX: usize = 120;
    let (Some(root), Some(step)) = (case.root, case.step()) else { return };
    for (field, text) in root.texts.iter().map(|(field, text)| (field.as_str(), *text)) {
        // The error stands at the end of what the code printed.
        let errors = super::super::text::ends_of(text).filter_map(|end| ERROR_OF_CODE.captures_iter(end).last()?.get(1));
        if let Some(error) = errors.last() {
            let error = error.as_str().trim_end_matches('.');
            facts.add(&CODE_ERROR, shortened(error, LINE_CHARS_MAX), Place::Field(root.span, field));
            facts.add(&CODE_ERROR_TYPE, last_segment(error.split(':').next().unwrap_or(error)), Place::Field(root.span, field));
        }
    }
    let (field, arguments) = arguments_of(step);
    let arguments = super::super::text::clip(arguments);
    if let Some(code) = capture(&CODE_ARGUMENT, arguments) {
        let first_line = code.split("\\n").find(|line| !line.trim().is_empty()).unwrap_or(code);
        facts.add(&EXECUTED_CODE, shortened(first_line, LINE_CHARS_MAX), Place::Span(step));
    }
    let named = capture(&LANGUAGE_ARGUMENT, arguments).or_else(|| capture(&FENCE, arguments));
    if let Some(language) = named.map(bare) {
        facts.add(&EXECUTED_LANGUAGE, language, Place::Field(step, field));
    } else if let Some(language) = ["python", "bash", "javascript", "shell", "powershell", "node", "ruby"]
        .into_iter()
        .find(|word| step.name.to_ascii_lowercase().contains(word))
    {
        facts.add(&EXECUTED_LANGUAGE, language, Place::Span(step));
    }
}

fn arguments_of(step: &Span) -> (&'static str, &str) {
    match &step.tool {
        Some(tool) => ("tool.arguments", &tool.arguments),
        None => ("input_text", step.input_text.as_deref().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(cases: &[(&str, &ByteRegex, Option<&str>)]) {
        for (text, expression, expected) in cases {
            assert_eq!(capture(expression, text).map(bare), *expected, "{text}");
        }
    }

    #[test]
    fn missing_packages_programs_and_libraries_are_named() {
        check(&[
            ("No module named 'pandas'", &PACKAGE, Some("pandas")),
            ("ModuleNotFoundError: No module named 'google.cloud'", &PACKAGE, Some("google.cloud")),
            ("Error: Cannot find module 'zod'", &PACKAGE, Some("zod")),
            ("Cannot find package '@ai-sdk/openai' imported from /app/index.js", &PACKAGE, Some("@ai-sdk/openai")),
            ("java.lang.NoClassDefFoundError: org/slf4j/Logger", &PACKAGE, Some("org/slf4j/Logger")),
            ("cannot load such file -- nokogiri", &PACKAGE, Some("nokogiri")),
            ("Could not load file or assembly 'Newtonsoft.Json, Version=13.0.0.0'", &PACKAGE, Some("Newtonsoft.Json")),
            ("Missing optional dependency 'openpyxl'. Use pip or conda to install openpyxl.", &PACKAGE, Some("openpyxl")),
            ("The 'tiktoken' distribution was not found", &PACKAGE, Some("tiktoken")),
            ("Could not import tiktoken python package.", &PACKAGE, Some("tiktoken")),
            ("no required module provides package github.com/acme/kb", &PACKAGE, Some("github.com/acme/kb")),
            ("cannot import name 'Agent' from 'agents' (/app/agents.py)", &PACKAGE, Some("agents")),
            ("cannot import name 'Agent' from 'agents' (/app/agents.py)", &IMPORT, Some("Agent")),
            ("the module works", &PACKAGE, None),
            ("bash: jq: command not found", &PROGRAM, Some("jq")),
            ("sh: 1: ffmpeg: not found", &PROGRAM, Some("ffmpeg")),
            ("zsh: command not found: rg", &PROGRAM, Some("rg")),
            ("spawn npx ENOENT", &PROGRAM, Some("npx")),
            ("exec: \"git\": executable file not found in $PATH", &PROGRAM, Some("git")),
            ("'node' is not recognized as an internal or external command", &PROGRAM, Some("node")),
            ("Cannot run program \"tesseract\": error=2", &PROGRAM, Some("tesseract")),
            ("[Errno 2] No such file or directory: 'pdftotext'", &PROGRAM, Some("pdftotext")),
            ("[Errno 2] No such file or directory: '/data/a.csv'", &PROGRAM, None),
            ("libGL.so.1: cannot open shared object file", &LIBRARY, Some("libGL.so.1")),
            ("DLL load failed while importing _ssl", &LIBRARY, Some("_ssl")),
            ("/lib/libc.so.6: version `GLIBC_2.34' not found", &LIBRARY, Some("GLIBC_2.34")),
            ("langchain requires pydantic>=2.7", &VERSION, Some("pydantic>=2.7")),
            ("requires pydantic<3,>=2.7, but you have pydantic 1.10.2 which is incompatible", &INSTALLED, Some("pydantic 1.10.2")),
            ("Module langchain_community.vectorstores is missing.", &PACKAGE, Some("langchain_community.vectorstores")),
        ]);
    }

    #[test]
    fn settings_are_named() {
        check(&[
            ("environment variable KB_URL is not set", &SETTING, Some("KB_URL")),
            ("Missing environment variable: PG_DSN", &SETTING, Some("PG_DSN")),
            ("DATABASE_URL must be set", &SETTING, Some("DATABASE_URL")),
            ("The REDIS_HOST environment variable is required", &SETTING, Some("REDIS_HOST")),
            ("missing required setting 'retriever.index'", &SETTING, Some("retriever.index")),
            ("Invalid configuration key 'vector_store'", &SETTING, Some("vector_store")),
            ("setting `search.top_k` must be positive", &SETTING, Some("search.top_k")),
            ("config.database.url is undefined", &SETTING, Some("database.url")),
            ("KeyError: 'SERVICE_REGION'", &SETTING, Some("SERVICE_REGION")),
            ("Did not find pinecone_index, please add an environment variable", &SETTING, Some("pinecone_index")),
            (
                "1 validation error for Settings\nQDRANT_URL\n  Field required [type=missing, input_value={'A': 'eu'}, input_type=dict]",
                &VALIDATED_SETTING,
                Some("QDRANT_URL"),
            ),
            (
                "1 validation error for Settings\nQDRANT_URL\n  Field required [type=missing, input_value={'A': 'eu'}, input_type=dict]",
                &CLASS_OF_SETTINGS,
                Some("Settings"),
            ),
            (
                "1 validation error for Settings\nQDRANT_URL\n  Field required [type=missing, input_value={'A': 'eu'}, input_type=dict]",
                &PROBLEM_OF_SETTING,
                Some("Field required"),
            ),
            ("'WAREHOUSE_DB_HOST'", &VALIDATED_SETTING, Some("WAREHOUSE_DB_HOST")),
            ("the house is not set", &SETTING, None),
            ("failed to read /etc/kb/config.yaml: missing key", &CONFIG_FILE, Some("/etc/kb/config.yaml")),
            ("cannot parse settings.toml", &CONFIG_FILE, Some("settings.toml")),
            ("no file", &CONFIG_FILE, None),
        ]);
    }

    #[test]
    fn resources_are_measured() {
        let cuda = "CUDA out of memory. Tried to allocate 2.50 GiB (GPU 0; 15.78 GiB total capacity; 14.20 GiB already allocated; 1.19 GiB free; 14.31 GiB reserved)";
        check(&[
            (cuda, &NEEDED, Some("2.50 GiB")),
            (cuda, &TOTAL, Some("15.78 GiB")),
            (cuda, &FREE, Some("1.19 GiB")),
            (cuda, &DEVICE_NAME, Some("GPU 0")),
            ("Unable to allocate 7.45 GiB for an array with shape (1000000000,)", &NEEDED, Some("7.45 GiB")),
            ("memory allocation of 8589934592 bytes failed", &NEEDED, Some("8589934592 bytes")),
            ("model requires more system memory: requires 5.6 GiB, only 3.1 GiB available", &NEEDED, Some("5.6 GiB")),
            ("exceeded its memory limit of 512Mi", &LIMIT, Some("512Mi")),
            ("too many open files (limit 1024)", &LIMIT, Some("1024")),
            ("[Errno 28] No space left on device: '/tmp/cache'", &FULL, Some("/tmp/cache")),
            ("process was killed (SIGKILL)", &SIGNAL, Some("SIGKILL")),
            ("1.16 GiB were asked for on GPU 1, which has 15.77 GiB in all", &NEEDED, Some("1.16 GiB")),
            ("1.16 GiB were asked for on GPU 1, which has 15.77 GiB in all", &TOTAL, Some("15.77 GiB")),
            ("a lot of memory", &NEEDED, None),
        ]);
        for (text, resource) in [
            (cuda, Some("GPU memory")),
            ("FATAL ERROR: JavaScript heap out of memory", Some("heap memory")),
            ("[Errno 24] Too many open files", Some("file handles")),
            ("No space left on device", Some("disk space")),
            ("maximum recursion depth exceeded", Some("call stack space")),
            ("Cannot allocate memory", Some("memory")),
            ("MemoryError", Some("memory")),
            ("can't start new thread", Some("threads")),
            ("a sunny day", None),
        ] {
            assert_eq!(resource_of(text), resource, "{text}");
        }
    }

    #[test]
    fn a_server_with_a_limit_of_its_own_is_told_from_the_process() {
        for (text, expected) in [
            ("OOM command not allowed when used memory > 'maxmemory'.", Some(("Redis", "memory"))),
            (
                "[parent] Data too large, data for [<http_request>] would be [1.2gb]",
                Some(("Elasticsearch", "memory of its circuit breaker")),
            ),
            (
                "ERROR: out of shared memory HINT: You might need to increase max_locks_per_transaction.",
                Some(("PostgreSQL", "shared memory for locks")),
            ),
            ("FATAL: sorry, too many clients already", Some(("PostgreSQL", "connections"))),
            ("Executor error during find command: Sort exceeded memory limit of 104857600 bytes", Some(("MongoDB", "memory for sorting"))),
            ("DB::Exception: Memory limit (for query) exceeded: would use 9.31 GiB", Some(("ClickHouse", "memory"))),
            ("Last State: Terminated, Reason: OOMKilled", Some(("the container", "memory"))),
            ("CUDA out of memory", None),
            ("MemoryError", None),
            ("JavaScript heap out of memory", None),
        ] {
            assert_eq!(full_store(text), expected, "{text}");
        }
    }

    #[test]
    fn errors_of_executed_code_are_quoted() {
        check(&[
            ("python exited with code 1: NameError: name 'df' is not defined", &ERROR_OF_CODE, Some("NameError: name 'df' is not defined")),
            ("Traceback\nZeroDivisionError: division by zero\n", &ERROR_OF_CODE, Some("ZeroDivisionError: division by zero")),
            (
                "exitcode: 1 (execution failed)\nCode output: json.decoder.JSONDecodeError: Expecting value",
                &ERROR_OF_CODE,
                Some("json.decoder.JSONDecodeError: Expecting value"),
            ),
            ("all fine", &ERROR_OF_CODE, None),
        ]);
    }
}
