//! Whether a plain text that a tool returned is an error, by its form: it is a stack trace, a message in the form of an error, or the answer of a server
//! that failed, as a whole. That a text speaks of errors does not count.
//!
//! The forms come from the sources of agent frameworks (`WRAPPER`), from runtimes (`EXCEPTION`), from programs of a shell (`PROGRAM`), and from HTTP.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::signals::http_status;
use super::text::expression;
use super::tool_nature::ToolNature;

/// What a text says about the failure of a tool.
#[derive(Debug, Default, PartialEq)]
pub(super) struct TextError<'t> {
    /// The part of the text that says what happened.
    pub(super) message: &'t str,
    /// `ValueError`, `AccessDenied`.
    pub(super) error_type: Option<&'t str>,
    pub(super) http_status: Option<u16>,
    pub(super) exit_code: Option<i64>,
}

/// A message at the start of a text, and at its end.
const ENDS_BYTES_MAX: usize = 4 * 1024;

type Expression = LazyLock<Option<Regex>>;

fn is_match(expression: &Expression, text: &str) -> bool {
    expression.as_ref().is_some_and(|expression| expression.is_match(text))
}

fn group<'t>(expression: &Expression, text: &'t str) -> Option<&'t str> {
    let captures = expression.as_ref()?.captures(text)?;
    captures.iter().skip(1).flatten().next().map(|group| group.as_str())
}

/// The errors of Google's clients: `400 Unrecognized name: x`.
static STATUS_WITH_MESSAGE: Expression =
    LazyLock::new(|| expression(r"^[45][0-9][0-9] (?:(?:GET|POST|PUT|PATCH|DELETE) https?://|[A-Z][^\n:]{3,80}: \S)"));

/// Whether a text explains several HTTP statuses, as documentation does: `400 - Bad Request: … 401 - Unauthorized: …`.
fn lists_statuses(text: &str) -> bool {
    const STATUSES_MIN: usize = 3;
    let is_status = |word: &str| word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|byte| byte.is_ascii_digit());
    let statuses: HashSet<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_status(word)).collect();
    statuses.len() >= STATUSES_MIN
}

/// Whether a line of a log stands before the result: `ERROR:cache:miss` and then `{"key": "NET-12"}`.
fn has_value_after_log_line(text: &str) -> bool {
    let Some((line, rest)) = text.split_once('\n') else { return false };
    let levels = ["ERROR:", "WARNING:", "INFO:", "DEBUG:", "[ERROR]", "[WARN]", "[WARNING]", "[INFO]"];
    levels.iter().any(|level| line.starts_with(level))
        && rest.trim_start().starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(rest.trim()).is_ok()
}

/// The error in a text; `None` if it is a result.
pub(super) fn error_in_text(text: &str, nature: ToolNature) -> Option<TextError<'_>> {
    let text = without_announcement(text.trim());
    let start = start_of(text);
    if text.is_empty() || is_match(&TITLE, start) {
        return None;
    }
    if let Some(error) = markup(text, start, nature) {
        return Some(error);
    }
    if is_listing(start, nature) || lists_statuses(start) || has_value_after_log_line(text) {
        return None;
    }
    let exit_code = exit_code(text, nature);
    if exit_code == Some(0) || (exit_code == Some(1) && nature.answers_with_exit_code) {
        return None;
    }
    if let Some(message) = stack_trace(text, nature) {
        return Some(described(message, exit_code));
    }
    if exit_code.is_some() {
        return Some(described(text, exit_code));
    }
    let has_form = is_wrapped(text, start, nature)
        || (!nature.reads_text
            && is_whole(text, nature)
            && (is_match(&STATUS_WITH_MESSAGE, start) || is_match(&CODE_BEFORE_MESSAGE, start)))
        || (is_whole(text, nature) && (is_match(&EXCEPTION, start) || is_match(&PROGRAM, start) || is_match(&HTTP, start)))
        || is_http_dump(start, nature)
        || is_message(text, start, nature);
    has_form.then(|| described(text, None))
}

/// The text after words that only announce a result: `Command write_file returned: Error: …`, `Observation: Error …`.
fn without_announcement(text: &str) -> &str {
    static ANNOUNCEMENT: Expression = LazyLock::new(|| {
        expression(
            r"(?i)^(?:system: )?(?:(?:command|tool|function|action) [`'\x22]?[A-Za-z0-9_.:-]+[`'\x22]? (?:returned|output|result|responded)(?: with)?|(?:tool |function |command )?(?:observation|result|output|response|returned)(?: (?:of|from) [A-Za-z0-9_.-]+)?)\s?:\s*",
        )
    });
    let found = ANNOUNCEMENT.as_ref().and_then(|announcement| announcement.find(start_of(text)));
    found.and_then(|found| text.get(found.end()..)).filter(|rest| !rest.is_empty()).unwrap_or(text)
}

/// Titles of documents about errors.
static TITLE: Expression = LazyLock::new(|| {
    expression(concat!(
        r"(?i)^[^A-Za-z0-9_]{0,6}(?:error|exception) (?:handling|reporting|logging|tracking)(?-u:\b)",
        r"|^[^A-Za-z0-9_]{0,6}(?:error|exception|failure|fault|fehler|erreur|エラー|错误)[\s-]?(?:handl(?:ing|er)|messages?|codes?|log(?:s|ging)?|budgets?|rates?|types?|pages?|classes|hierarchy|tolerance|behandlung|処理|处理|代码)(?:[^A-Za-z0-9_\n0-9][^\n0-9]*)?(?:\n|$)",
    ))
});

/// An error with this message, and the type and the HTTP status that it names.
fn described(message: &str, exit_code: Option<i64>) -> TextError<'_> {
    static TYPE: Expression = LazyLock::new(|| {
        expression(
            r"(?:^|[\s:('\x22])((?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Z][A-Za-z0-9]+(?:Error|Exception|Timeout|Failure|NotFound))(?-u:\b)\s*(?:[:(\[]|$|\n)",
        )
    });
    // Command line clients of clouds: `An error occurred (AccessDenied) when calling …`, `Error from server (NotFound): …`.
    static CLOUD: Expression = LazyLock::new(|| expression(r"^[^\n(]{0,40}\(([A-Z][A-Za-z]{3,60})\)(?::| when calling)"));
    static STATUS: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?:[Ee]rror:?|ERROR|HTTP|[Ss]tatus(?: of)?|[Cc]ode)[ =]\(?([45][0-9][0-9])(?:[ ,.:;)-]|$|\n)|(?:^|[\s:(])([45][0-9][0-9])(?: - [{\[\x22'A-Z]|:? [{]|:? \()",
            r"|(?-u:\b)([45][0-9][0-9]):? (?:Bad Request|Unauthori[sz]ed|Payment Required|Forbidden|Not Found|Method Not Allowed|Conflict|Gone|Too Many Requests|Internal Server Error|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out)|\(([45][0-9][0-9])\)(?:[ .]|$)|[.,;] ([45][0-9][0-9])$",
        ))
    });
    let head = start_of(message);
    let status = http_status(head).or_else(|| group(&STATUS, head)?.parse().ok());
    let error_type = group(&TYPE, head).or_else(|| group(&CLOUD, head));
    TextError { message, error_type, http_status: status.filter(|status| *status >= 400), exit_code }
}

/// The exit code in a text that consists of it, such as the title of a result or a line that a harness adds: `Exit code: 1`.
fn exit_code(text: &str, nature: ToolNature) -> Option<i64> {
    static LINE: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?i)^[^A-Za-z0-9_]{0,3}(?:(?:the |process |command |program |script |build |shell )?(?:command )?(?:failed |finished |completed |exited |terminated |ended )?(?:with )?(?:a )?(?:non-?zero )?",
            r"(?:exit|return)[ _-]?(?:code|status)(?: is| was)?|exitcode|exited(?: with)?(?: code| status)?|returncode)[^A-Za-z0-9_]{0,4}\s?(-?[0-9]{1,10})(?-u:\b)[^\n]*$",
            r"|[Cc]ommand '[^\n]+' returned non-zero exit status ([0-9]{1,10})\.?$|^(?:npm (?:ERR!|error) )(?:code|errno) ([0-9]{1,5})$",
        ))
    });
    if nature.reads_text && !nature.runs_code {
        return None;
    }
    // A tool that describes a container or a job reports how that one ended, and did its own work.
    if text.contains("Last State:") || text.contains("Reason:") && text.contains("Exit Code:") {
        return None;
    }
    // "Exit code 1 means that …" explains codes.
    let explains = |line: &str| [" mean", " indicate", " stands for", " is used"].iter().any(|word| line.contains(word));
    let first = text.lines().find(|line| !line.trim().is_empty());
    let last = text.lines().rev().filter(|line| !line.trim().is_empty()).take(3);
    first
        .into_iter()
        .chain(last)
        .filter(|line| !explains(line))
        .filter(|line| line.len() < 120 || line.ends_with(|c: char| c.is_ascii_digit() || c == '.'))
        .find_map(|line| group(&LINE, line.trim())?.parse().ok())
}

/// A stack trace that is the result, or with which the result of a program ends. Returns what says what happened.
fn stack_trace(text: &str, nature: ToolNature) -> Option<&str> {
    /// A title before the trace, such as `Error:` or `Cell execution failed`.
    const TITLE_BYTES_MAX: usize = 200;
    /// Errors of the operating system about the file that was to be read. Others are the content of the file.
    const OF_FILES: [&str; 6] =
        ["FileNotFoundError", "PermissionError", "IsADirectoryError", "NotADirectoryError", "UnicodeDecodeError", "OSError"];
    static HEADER: Expression = LazyLock::new(|| {
        expression(
            r"(?:Exception Group )?Traceback \(most recent call last\):?\s*\n|-{20,}\n[A-Za-z0-9_]+(?:Error|Exception) +Traceback \(most recent call last\)",
        )
    });
    static LAST_LINE: Expression = LazyLock::new(|| expression(r"^((?:[A-Za-z_][A-Za-z0-9_]*\.)*[A-Za-z_][A-Za-z0-9_]*)(?::(?:\s|$)|$)"));
    static FRAMES: Expression = LazyLock::new(|| {
        expression(concat!(
            // JavaScript, Java, .NET.
            r"^(?:Uncaught |Unhandled [Ee]xception[.:]? |Exception in thread [^\n]+ |Error: )?[A-Za-z0-9_.$\[\] ]*(?:Error|Exception)(?: \[[^\]\n]+\])?(?::[^\n]*)?(?:\n[^\n]*){0,5}\n\s+at ",
            r"|^(?:panic|fatal error): [^\n]*\n+(?:\[signal[^\n]*\n+)?goroutine [0-9]|^thread '[^'\n]+'[^\n]* panicked at ",
            r"|^(?:\*\* )?\((?:[A-Z][A-Za-z0-9_]*\.)*[A-Z][A-Za-z0-9_]*Error\) |^[A-Za-z0-9_./-]+:[0-9]+:in [`'][^\n]+\((?:[A-Z][A-Za-z0-9_]*(?:::)?)+\)",
            r"|^PHP Fatal error:  Uncaught |^Fatal error: Uncaught ",
        ))
    });
    // Code that does not parse has no frames.
    static SYNTAX: Expression =
        LazyLock::new(|| expression(r#"^File "[^"\n]+", line [0-9]+\n(?s:.)*\n((?:Syntax|Indentation|Tab)Error: [^\n]*)$"#));
    let is_content = |kind: &str| nature.reads_files && !OF_FILES.contains(&kind);
    if let Some(found) = HEADER.as_ref().and_then(|header| header.find(text)) {
        let title = text.get(..found.start())?.trim();
        let is_title = title.len() <= TITLE_BYTES_MAX && title.lines().count() <= 2;
        let last = text.lines().rev().find(|line| !line.trim().is_empty())?;
        // A message of several lines follows the line with the type.
        let last = if last.starts_with(char::is_whitespace) || !is_match(&LAST_LINE, last) { statement_after_frames(text)? } else { last };
        let kind = group(&LAST_LINE, last)?;
        let is_result = is_title || nature.runs_code;
        return (is_result && !is_content(kind)).then_some(from(text, last));
    }
    if let Some(message) = group(&SYNTAX, text).filter(|_| !nature.reads_files) {
        return Some(message);
    }
    let is_code = is_match(&FRAMES, start_of(text));
    (is_code && !nature.reads_files).then_some(text)
}

/// The line that follows the last frame of a Python stack trace.
fn statement_after_frames(text: &str) -> Option<&str> {
    let after = text.get(text.rfind("\n  File \"")? + 1..)?;
    after.lines().skip(1).find(|line| !line.is_empty() && !line.starts_with(char::is_whitespace))
}

/// The part of `text` that starts with its piece `line`.
fn from<'t>(text: &'t str, line: &'t str) -> &'t str {
    let at = (line.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    text.get(at..).unwrap_or(line)
}

/// The beginning of a text.
fn start_of(text: &str) -> &str {
    let mut end = text.len().min(ENDS_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// Whether the text consists of numbered lines, of lines of files with their places, or of the lines of a log.
fn is_listing(start: &str, nature: ToolNature) -> bool {
    static PLACE: Expression = LazyLock::new(|| {
        expression(r"^\s{0,8}[0-9]{1,7}(?:[:|\t→-]|\s{2,})|^[A-Za-z0-9_./\\-]+:[0-9]{1,7}[:-](?:[0-9]{1,5}[:-])?\s?[^\s]")
    });
    static LOG_LINE: Expression = LazyLock::new(|| {
        expression(
            r"^[^A-Za-z0-9_]?(?:[0-9]{4}-[0-9][0-9]-[0-9][0-9]|[0-9][0-9]:[0-9][0-9]:[0-9][0-9]|[A-Z][a-z]{2} [ 0-9][0-9] [0-9][0-9]:[0-9][0-9]|(?:DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|TRACE|FATAL|CRITICAL)(?-u:\b)|\[?(?:debug|info|notice|warn|warning|error|crit|alert|emerg|fatal|trace)\])",
        )
    });
    let mut lines = start.lines().filter(|line| !line.trim().is_empty());
    let Some(first) = lines.next() else { return false };
    // Tracebacks and compilers name places too, but not at the start of the text of a tool.
    let is_place = is_match(&PLACE, first) && !is_match(&HTTP, first) && !first.contains(":in ");
    let is_log = is_match(&LOG_LINE, first)
        && (first.starts_with(|c: char| c.is_ascii_digit()) || lines.next().is_some_and(|line| is_match(&LOG_LINE, line)));
    // Programs such as `pip` report one error on several lines.
    let is_program = !nature.reads_text && start.lines().all(|line| line.trim().is_empty() || line.starts_with("ERROR: "));
    is_place || (is_log && !is_program && !is_match(&HTTP, first))
}

/// Whether the text is a message and nothing else.
fn is_whole(text: &str, nature: ToolNature) -> bool {
    let (bytes_max, lines_max) = match nature {
        ToolNature { reads_files: true, .. } => (500, 4),
        ToolNature { reads_text: true, .. } => (700, 8),
        _ => (4_000, 60),
    };
    is_message_of(text, bytes_max, lines_max)
}

/// Whether a text is at most so long without the frames of a stack, and contains no table.
fn is_message_of(text: &str, bytes_max: usize, lines_max: usize) -> bool {
    let text = ["\n    at ", "\n\tat ", "\n  File \""]
        .iter()
        .filter_map(|frame| text.find(frame))
        .min()
        .and_then(|at| text.get(..at))
        .unwrap_or(text);
    let lines = || text.lines().map(str::trim_end).filter(|line| !line.is_empty());
    let is_table = |line: &str| line.starts_with(['|', '#']) || line.starts_with("```") || line.starts_with("===");
    text.len() <= bytes_max && lines().take(lines_max + 1).count() <= lines_max && !lines().skip(1).any(is_table)
}

/// Messages that only the wrapper around a tool writes: an agent framework, or the SDK of a tool protocol.
///
/// Sources: `langgraph.prebuilt.tool_node`, `langchain_core.tools.base`, `agents.tool`, `mcp.server`, `fastmcp`, `crewai.tools.tool_usage`,
/// `autogen_core.tools`, `autogen_agentchat.agents`, `llama_index.core.tools.calling`, `smolagents.agents`, `semantic_kernel.kernel`,
/// `agent_framework._tools`, `google.adk.flows`, `strands.tools`, `agno.models.base`, `dspy.predict.react`, `pydantic_ai._tool_manager`, `letta`, the Vercel
/// AI SDK, Mastra, Microsoft.Extensions.AI, Claude Code, Gemini CLI, Cline.
static WRAPPER: Expression = LazyLock::new(|| {
    expression(concat!(
        r"(?i)^[^A-Za-z0-9_]{0,3}(?:",
        // An error of running something, with its name.
        r"(?:an? (?:unexpected |internal |unknown )?)?error (?:was |has been )?(?:occurred |encountered )?(?:while |when |during |in |on )?(?:(?:the )?(?:execution|invocation|call)(?: of)?|executing|invoking|running|calling|performing|processing|during|using)(?: (?:the |a |mcp |this )?(?:tool|function|action|plugin|skill|command|code|agent|step))?(?-u:\b)[^\n]*?(?:[:.]|$)",
        r"|(?:failed|unable) to (?:invoke|execute|call|run|dispatch) (?:the )?(?:tool|function|action|plugin)(?-u:\b)",
        r"|(?:tool|function|action|plugin|mcp)(?: (?:call|execution|invocation|input|output|argument|request|server))?(?: validation)?(?: [`'\x22]?[A-Za-z0-9_.:/-]+[`'\x22]?)?(?: (?:is|was|has|does|do|did))? ?(?:not (?:found|available|exist|registered|defined|respond|supported)|unavailable|timed out|failed|errored|error|don't exist|doesn't exist|not be found|crashed|aborted)(?-u:\b)",
        r"|(?:unknown|undefined|invalid|unrecogni[sz]ed|nonexistent) (?:tool|function|action)(?: name)?\s?[:('`\x22]|no such (?:tool|function)|no tool named",
        // Editors.
        r"|no replacement was performed|the path [^\n]+ (?:does not exist|is not (?:a|an absolute)|is a directory)|invalid `(?:view_range|insert_line)|string to replace not found|file (?:does not exist|has not been read yet|has been (?:unexpectedly )?modified)",
        r"|could not find function to call|function call not found|the requested tool does not exist|requested function [^\n]+ not found",
        // Arguments.
        r"|(?:input|output|argument|arguments|schema) validation (?:error|failed)|invalid (?:arguments|input|parameters) for (?:tool|function)|[0-9]+ validation errors? (?:for|in)?\s?[A-Za-z0-9_\[:]|validation failed for input",
        r"|received tool input did not match expected schema|the tool call (?:with name|arguments)|invoking [`'][A-Za-z0-9_.]+(?:\(\))?[`'] failed as|the arguments? (?:provided|passed) to the tool (?:is|are) invalid",
        // Code of agents.
        r"|code (?:execution|parsing) failed|execution error(?: in [A-Za-z0-9_.]+)?:|exitcode: [1-9]|i encountered an error while trying to use the tool|encountered error: |there was an error: ",
        r"|mcp error -?[0-9]|jsonrpc error|rpc error: code = |the tool execution failed|tool (?:call|use) (?:was )?(?:rejected|denied)|tool execution was (?:interrupted|cancell?ed|aborted)|(?:the )?(?:(?:sub-?)?agent|run|task|job|workflow|pipeline|chain|step) (?:was )?(?:stopped|terminated|aborted|failed|ended|crashed|exited) (?:due to|with|because of)|the tool (?:could not|cannot) be (?:invoked|called|executed)|call to [A-Za-z0-9_.]+ failed",
        r")",
    ))
});

/// What wrappers write after an error.
static ADVICE: Expression = LazyLock::new(|| {
    expression(concat!(
        r"(?i)(?:please )?fix (?:your mistakes|the errors?(?: and try again)?|the following errors[^\n]*)\.?\s*$|respond after fixing all validation errors\.?\s*$|please try again or use another tool\.?\s*$",
        r"|please select a tool that is available\.?\s*$|make sure to provide correct code blobs\.?\s*$|is not a valid tool, try one of|is not part of the provided tools|arguments must be in json format",
    ))
});

fn is_wrapped(text: &str, start: &str, nature: ToolNature) -> bool {
    // These words are more certain than others, and the arguments of the call may follow them.
    let is_whole = if nature.reads_files { is_whole(text, nature) } else { is_message_of(text, 6_000, 80) };
    is_whole && (is_match(&WRAPPER, start) || (!nature.reads_files && is_match(&ADVICE, end_of(text))))
}

fn end_of(text: &str) -> &str {
    const ADVICE_BYTES_MAX: usize = 600;
    let mut at = text.len().saturating_sub(ADVICE_BYTES_MAX);
    while !text.is_char_boundary(at) {
        at += 1;
    }
    text.get(at..).unwrap_or(text)
}

/// A type of an exception at the start, as runtimes print it without a trace.
static EXCEPTION: Expression = LazyLock::new(|| {
    expression(concat!(
        r"^[\[('\x22]?(?:Error: |Uncaught |Unhandled )?(?:[A-Za-z_][A-Za-z0-9_]*(?:\.|::|\\)){0,8}[A-Z][A-Za-z0-9_]+(?:Error|Exception|Interrupt|Failure|Fault|Timeout|NotFound|Denied|Refused|Exit)(?: \[[A-Za-z0-9_]+\])?\s?(?:: |:$|:\n|\(|\n|$)",
        r"|^(?:psycopg[0-9]?|pymysql|asyncpg|sqlite3|oracledb|pyodbc|redis|botocore|requests|httpx|urllib3|aiohttp|grpc|openai|anthropic|google|pydantic_core|jsonschema|selenium|playwright)(?:\.[A-Za-z0-9_]+){1,6}: ",
        r"|^\((?:[A-Za-z0-9_]+\.){1,4}[A-Za-z0-9_]+\) |^\[Errno -?[0-9]{1,4}\] |^E[A-Z]{4,14}: |^Error \[[A-Za-z0-9_]+\]: |^(?:[a-z][A-Za-z]* ){0,2}E[A-Z]{5,14}(?-u:\b)|^socket hang up|^<_?[A-Z][A-Za-z]*Error (?:of|:)|^googleapi: Error [0-9]{3}|^[A-Z][A-Za-z0-9_]+Error\.$",
    ))
});

/// How programs of a shell, databases and browsers report that they failed.
static PROGRAM: Expression = LazyLock::new(|| {
    expression(concat!(
        r"(?i)^(?:(?:/[A-Za-z0-9_./]*)?(?:ba|z|da|k|c|fi)?sh: (?:line [0-9]+: |[0-9]+: )?[^\n]+: ?(?:command )?(?:not found|permission denied|no such file|cannot execute|unexpected|syntax error|is a directory)|zsh: [^\n]+: [^\n]+",
        r"|[A-Za-z0-9_./-]+: (?:cannot |can't |unable to |error: |fatal: |invalid option|unrecogni[sz]ed option|command not found|no such file|permission denied|missing operand|[^\s:][^\n:]*: (?:no such file or directory|permission denied|not a directory|is a directory|command not found)(?:\s|$))",
        r"|[^\n]+ is not recognized as (?:an internal or external command|the name of a cmdlet)|fatal: |npm (?:err!|error)|curl: \([0-9]+\)|wget: |e: (?:unable|could not|package)|error response from daemon:|error from server(?: \([A-Za-z0-9_]+\))?:",
        r"|(?:psql|mysql|sqlite3?|mongosh|redis-cli): error|error [0-9]{4} \([A-Za-z0-9_]{5}\)|ora-[0-9]{5}|sqlstate\[|(?:error|fatal):  |msg [0-9]+, level [0-9]+|an error occurred \([A-Za-z0-9_]+\) when calling|error: \(gcloud|dial tcp|error: failed to push|make(?:\[[0-9]+\])?: \*\*\*",
        r"|(?:get|post|put|patch|delete|head) \x22?https?://[^\s]+: |net::err_[A-Za-z0-9_]+|page\.[A-Za-z0-9_]+: |(?:locator|browser|browsercontext|elementhandle)\.[A-Za-z0-9_]+: |timeout [0-9]+ ?ms exceeded|httpsconnectionpool\(|httpconnectionpool\(|max retries exceeded",
        r"|error sending request for url|error\[[A-Z][0-9]{2,5}\]: |near \x22[^\n\x22]*\x22: syntax error|no such (?:table|column|function|module|collation)(?:: |$)|upstream connect error|no healthy upstream|permission denied \(|cannot connect to the |the connection to [^\n]* (?:was refused|timed out|was reset|failed)|error TS[0-9]{3,5}: |message: (?:no such|stale element|element |invalid |unknown |session |javascript |unexpected alert)|could not resolve host|connect(?:ion)? (?:econn[A-Za-z0-9_]+|to \S+ (?:refused|failed|timed out))|ssl(?:\.|: |error)|err_[A-Za-z0-9_]+|segmentation fault|killed$|java\.[A-Za-z0-9_]+\.)",
    ))
});

/// Codes in upper case before a message: of Spark and of Redis. And a program of a shell before its message: `ssh: connect to host a: timed out`.
static CODE_BEFORE_MESSAGE: Expression = LazyLock::new(|| {
    expression(concat!(
        r"^\[[A-Z][A-Z0-9]+(?:[_.][A-Z0-9]+)+\] \S|^(?:WRONGTYPE|NOAUTH|WRONGPASS|NOPERM|MOVED|READONLY|OOM|LOADING|BUSY|NOSCRIPT|CROSSSLOT|CLUSTERDOWN|MASTERDOWN|EXECABORT) [A-Za-z]",
        r"|^[a-z][a-z0-9_.-]{1,20}: (?i:[^\n]*(?:timed out|refused|denied|not found|no such|failed(?:\s|:|$)|unreachable|cannot|error(?:\s|:|$)|invalid|unable))",
    ))
});

/// How HTTP clients and servers report a status of 400 and more.
static HTTP: Expression = LazyLock::new(|| {
    expression(concat!(
        r"(?i)^[^A-Za-z0-9_]{0,3}(?:error:? |failed:? |request failed:? |response:? )?(?:",
        r"http(?:/[0-9.]+)?(?: |-)?(?:error|status|status code|response|code)?:? ?[45][0-9][0-9](?-u:\b)|<response \[[45][0-9][0-9]\]>",
        r"|(?:the |api |http )?(?:request |call |server |response |fetch )?(?:failed |returned |responded |came back |rejected )?(?:with )?(?:an? )?(?:http )?(?:error )?status(?: ?code)?[^A-Za-z0-9_]{1,3}[45][0-9][0-9](?-u:\b)|error code:? [45][0-9][0-9](?-u:\b)",
        r"|[45][0-9][0-9] (?:client|server) error|[45][0-9][0-9]:? (?:bad request|unauthori[sz]ed|payment required|forbidden|not found|method not allowed|not acceptable|request timeout|conflict|gone|payload too large|unprocessable (?:entity|content)|too many requests|internal server error|not implemented|bad gateway|service (?:temporarily )?unavailable|gateway time-?out|overloaded)",
        r"|[45][0-9][0-9] (?:-|–|:) |[45][0-9][0-9] \{)",
    ))
});

/// The answer of a server with its status line, headers and body.
fn is_http_dump(start: &str, nature: ToolNature) -> bool {
    static STATUS_LINE: Expression = LazyLock::new(|| {
        expression(r"^HTTP/[0-9.]{1,3} [45][0-9][0-9](?: [^\n]*)?\r?\n|(?i)^status(?: code)?: [45][0-9][0-9](?: [^\n]*)?\r?\n")
    });
    !nature.reads_files && !nature.runs_code && is_match(&STATUS_LINE, start)
}

/// A name with a number: `Errors: 0`, `Standard error: 0.05`, `timeout = 30`.
static MEASUREMENT: Expression =
    LazyLock::new(|| expression(r"^[^\n:=]*[:=]\s*[-+±~<>]?[0-9][0-9.,]*(?:e-?[0-9]+)?\s?(?:%|[a-z]{1,4})?\s*(?:[,;(]|$|\n)"));

/// Whether the text is a message that starts with a word for an error, in the language of the tool's author, or that says of the tool's own work that it
/// failed.
fn is_message(text: &str, start: &str, nature: ToolNature) -> bool {
    static WORD: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?i)^(?:[\[(<*_\s❌🚫⛔✖✗⚠️💥❗╷│>-]{0,6})(?:",
            // The word, with what failed, and a colon.
            r"(?:[A-Za-z-]+ ){1,2}(?:error|exception):\s|",
            r"(?:err|error|fatal(?: error)?|failure|failed|exception|api error|(?:server|network|connection|database|db|sql|runtime|internal|system|auth(?:entication|orization)?|permission|access|request|query|parse|syntax|timeout|tool|unexpected|unknown|input|io|file|search|http|ssl|validation) (?:error|failure|exception))(?: \(?(?:code )?[A-Za-z0-9_-]+\)?)?\s?(?:\]|\*\*|:|：|!|\s[-–—]\s|->|=>)",
            r"|error (?:[A-Za-z0-9_]+ing|in|on|from|at|with|for|code) [^\n]+?(?::|$|\.)",
            // Nothing but the word.
            r"|(?:an? )?(?:unknown |unexpected |internal )?(?:error|err|exception|fehler|erreur|errore|erro|错误|エラー|오류|ошибка)(?: occurred)?[.!。]?$",
            // A sentence that says no more than that one occurred.
            r"|(?:an? )?(?:[a-z]+ ){0,2}error (?:has |just )?occurred|something went wrong|(?:ha ocurrido|se produjo|se ha producido|ocurrió) un error|une erreur(?: \p{L}+)? (?:est survenue|s'est produite)|es ist ein(?: \p{L}+)? fehler aufgetreten",
            r"|(?:произошла|возникла) (?:\p{L}+ )?ошибка|si è verificato un errore|(?:ocorreu|houve) um erro|er is een fout opgetreden|wystąpił błąd|ett fel (?:uppstod|inträffade|har)|der opstod en fejl|det oppstod en feil|bir hata oluştu|došlo k chybě|hiba történt|a apărut o eroare|terjadi kesalahan|đã xảy ra lỗi",
            r"|\p{Han}*(?:错误|錯誤|失败|失敗|异常|異常|超时|超時)(?:[，。！,.!]|$)",
            // Other languages.
            r"|(?:[\p{Han}]*(?:错误|錯誤|失败|失敗|异常|異常)|[\p{Han}\p{Katakana}\p{Hiragana}]*エラー|[\p{Hangul} ]*(?:오류|에러|실패)|fehler|laufzeitfehler|erreur|échec|excepción|fallo|erro|falha|exceção|errore|eccezione|ошибка|сбой|исключение|błąd|wyjątek|fout|fel|fejl|feil|virhe|hata|chyba|hiba|eroare|lỗi|kesalahan|gagal|ralat|σφάλμα|помилка|грешка|خطأ|שגיאה|त्रुटि|ข้อผิดพลาด)(?:[ (][^\n:：]*)?\s?[:：]",
            r"|(?:fehler (?:beim|bei)|erreur (?:lors|de|d'|interne)|échec (?:de|du|lors)|error (?:al|de|en|interno)|fallo (?:al|en)|erro (?:ao|de|interno)|falha (?:ao|na|no)|errore (?:durante|nel|di|interno)|ошибка (?:при|в|доступа)|не удалось |impossible d|impossibile |no se pudo |não foi possível |nie udało się |konnte nicht |kunne ikke |kunde inte )",
            r"|failed to [A-Za-z0-9_]|failed [A-Za-z0-9_]+ing (?-u:\b)|(?:could ?n[o']t|cannot|can't|unable to|not able to) (?:connect|reach|resolve|load|fetch|access|open|write|execute|complete|process|parse|authenticate|log ?in|establish|create|update|delete|save|send|download|upload|import|start|submit|determine|convert|decode|verify|perform|query|contact|run|retrieve|read|render|allocate)(?-u:\b)",
            r")",
        ))
    });
    // Errors of logs are in upper case without a colon, and so are those of some tools.
    static UPPER: Expression = LazyLock::new(|| expression(r"^(?:ERROR|FATAL|FAILURE|FAILED|EXCEPTION|TIMEOUT) \S"));
    static PHRASE: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?i)^[^A-Za-z0-9_]{0,3}(?:the |your |this |a )?(?:(?:request|operation|connection|query|search|call|command|server|api|service|session|token|backend|upstream|network|host|database|browser|gateway|endpoint|socket|read|write|navigation|tool|http|user|client|sql) ?){0,2}(?:has |is |was )?",
            r"(?:timed[ -]?out|time-?out(?: (?:while|after|exceeded|error|waiting|occurred|reached|expired)|[.:!(]|$)|deadline exceeded|fetch failed|failed to fetch|load failed|socket hang up|connection (?:refused|reset|error|aborted|closed|lost|timed out)|refused|unreachable|unauthori[sz]ed|forbidden|access (?:is )?denied|permission denied|internal (?:server )?error|(?:temporarily )?unavailable|bad gateway|gateway time-?out|too many requests|rate[ -]limit(?:ed|s)?(?: exceeded| reached| hit)?|not authenticated|authentication (?:failed|required)|(?:invalid|expired|missing|incorrect) (?:api[ -]?key|token|credentials?|access token|session)|quota exceeded|network error|out of memory|has expired|aborted)",
            r"(?:[ .,:;(!][^\n]*)?$",
            // What a tool says of its own work.
            r"|^[^A-Za-z0-9_]{0,3}(?:the |web )?(?:search|query|request|lookup|fetch|retrieval|execution|connection|login|authentication|navigation|api call|call|download|scraping|crawl|extraction|parsing|operation|command|tool) (?:has )?failed(?:[:.,]| due| because| with|$)",
        ))
    });
    static FAILED: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?i)^[^A-Za-z0-9_]{0,3}[A-Za-z0-9_' -]+(?:(?-u:\b)(?:failed|was rejected|was declined|was denied|could not be [A-Za-z0-9_]+|did not (?:succeed|complete|go through))|(?-u:\b)not permitted)(?:[.:!,]| due to| because| with| -|$)",
            r"|^[^\n]*(?:失败|失敗しました|に失敗|出错|发生错误|发生异常|エラーが発生|できませんでした|실패했습니다|오류가 발생)[^\n]*$",
            r"|^[^\n]*(?:fehlgeschlagen|ist gescheitert|a échoué|ha fallado|ha fallito|falhou|не удалось|nie powiodł[A-Za-z0-9_]* się|misslyckades|mislykkedes|mislukt|başarısız oldu|gagal)(?:[ .:!][^\n]*)?$",
        ))
    });
    let is_line = text.lines().filter(|line| !line.trim().is_empty()).take(2).count() == 1;
    if is_match(&MEASUREMENT, start) {
        return false;
    }
    let has_word = is_match(&WORD, start) && is_whole(text, nature);
    // A log that is read may have such lines without times.
    let second = text.lines().filter(|line| !line.trim().is_empty()).nth(1);
    let has_word = has_word && !(nature.reads_files && second.is_some_and(|line| is_match(&WORD, line)));
    // A file may start with the word, and then go on.
    let has_word = has_word && (!nature.reads_files || is_line || !text.contains("\n\n"));
    let is_upper = is_match(&UPPER, start) && is_line && !nature.reads_files;
    let is_phrase = is_line && text.len() <= 240 && is_match(&PHRASE, start) && !(nature.reads_records && start.len() < 12);
    let has_failed =
        is_line && text.len() <= 400 && is_match(&FAILED, start) && !nature.reads_text && !nature.reads_records && !nature.reports;
    has_word || is_upper || is_phrase || has_failed
}

/// Errors in XML and HTML: the answer of an object store, a fault of SOAP, an error page, a tag that a harness puts around an error.
fn markup<'t>(text: &'t str, start: &'t str, nature: ToolNature) -> Option<TextError<'t>> {
    const MARKUP_BYTES_MAX: usize = 6_000;
    static ROOT: Expression = LazyLock::new(|| {
        expression(concat!(
            r"(?i)^(?:<\?xml[^>]*\?>\s*)?<(?:[A-Za-z0-9_]+:)?(error|errors|errorresponse|fault|exception|failure|tool_use_error|tool_error|tool_call_error|exceptionreport|serviceexceptionreport)(?:\s[^>]*)?>",
            r"|^(?:<\?xml[^>]*\?>\s*)?<(?:[A-Za-z0-9_]+:)?envelope(?s:.)*<(?:[A-Za-z0-9_]+:)?(fault)[\s>]",
            // An answer whose status says that it failed.
            r#"|^(?:<\?xml[^>]*\?>\s*)?<(?:response|result|resp|rsp|reply|answer)(?:\s[^>]*)?(?:\sstat(?:us)?=["'](fail|failed|error)["'][^>]*)>"#,
            r"|^(?:<\?xml[^>]*\?>\s*)?<(?:response|result|resp|rsp|reply|answer)(?:\s[^>]*)?>(?s:.){0,500}?<(?:status|stat|success|ok|outcome)>\s*(fail|failed|failure|error|err|ko|nok|false)\s*</",
        ))
    });
    static MESSAGE: Expression = LazyLock::new(|| {
        expression(
            r"(?i)<(?:[A-Za-z0-9_]+:)?(?:message|errormessage|error_message|errormsg|faultstring|detail|text|reason|description|error_description)(?:\s[^>]*)?>([^<]+)<",
        )
    });
    static CODE: Expression =
        LazyLock::new(|| expression(r"(?i)<(?:[A-Za-z0-9_]+:)?(?:code|faultcode|type)(?:\s[^>]*)?>\s*([A-Za-z][A-Za-z0-9_.:-]+)\s*<"));
    static EXIT_CODE: Expression = LazyLock::new(|| expression(r"(?i)<(?:return_?code|exit_?code|exit_?status)>\s*(-?[0-9]{1,10})\s*</"));
    static PAGE: Expression = LazyLock::new(|| {
        expression(
            r"(?i)^(?:<!doctype html[^>]*>\s*)?(?:<html|<head)(?s:.)*<(?:title|h1)>\s*(?:error )?([45][0-9][0-9])[^A-Za-z0-9_]{0,3}(?:error|bad request|unauthori[sz]ed|authorization required|forbidden|not found|method not allowed|request time-?out|too many requests|internal server error|bad gateway|service (?:temporarily )?unavailable|gateway time-?out)?\s*</",
        )
    });
    if !start.starts_with('<') && !start.get(..200.min(start.len())).is_some_and(|head| head.contains("code>")) {
        return None;
    }
    if let Some(code) = group(&EXIT_CODE, start).and_then(|code| code.parse::<i64>().ok()) {
        let is_answer = code == 1 && nature.answers_with_exit_code;
        return (code != 0 && !is_answer).then(|| described(text, Some(code)));
    }
    if text.len() > MARKUP_BYTES_MAX {
        return None;
    }
    if (!nature.reads_files || start.starts_with("<tool")) && is_match(&ROOT, start) {
        let message = group(&MESSAGE, start).map_or(text, str::trim);
        let described = described(message, None);
        return Some(TextError { error_type: described.error_type.or_else(|| group(&CODE, start)), ..described });
    }
    let status = group(&PAGE, start).filter(|_| !nature.reads_files)?.parse().ok();
    Some(TextError { http_status: status, ..described(text, None) })
}
