//! What kind of thing a tool does, by its name and arguments. The same text is an error from one tool and the content that another was asked for.
//!
//! | tool | `Error: disk full` in its result is |
//! |---|---|
//! | `create_backup` | an error |
//! | `read_file`, `get_logs`, `bash` with `cat app.log` | an error if it is the whole result |
//! | `run_tests`, `validate_schema` | part of a report, if there is more |

use super::result_payload::is_one_of;
use super::shell_command::ShellCommand;

/// The nature of a tool. Several may apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent properties")]
pub(super) struct ToolNature {
    /// Returns files, pages, logs or messages, which contain any text.
    pub(super) reads_text: bool,
    /// Returns files or logs, of which a stack trace may be the whole content.
    pub(super) reads_files: bool,
    /// Returns records of something else, such as an order with its status.
    pub(super) reads_records: bool,
    /// Searches in documents, records or the web.
    pub(super) searches: bool,
    /// Returns a report about something else, in which failures are findings.
    pub(super) reports: bool,
    /// Runs a command or code, which ends with an exit code and writes what it likes.
    pub(super) runs_code: bool,
    /// Ran a command whose exit code 1 is an answer, such as `grep` without a match.
    pub(super) answers_with_exit_code: bool,
    /// Creates or changes something.
    pub(super) acts: bool,
}

impl ToolNature {
    /// The nature of the tool with this name, called with these arguments.
    pub(super) fn of(name: &str, arguments: &str) -> Self {
        let words = words_of(name);
        let has = |known: &str| words.iter().any(|word| is_one_of(known, word));
        let first = words.first().map(String::as_str).unwrap_or_default();
        let runs_code = has(CODE);
        let command = if runs_code { ShellCommand::last_in(arguments) } else { None };
        let reads_by_command = command.as_ref().is_some_and(ShellCommand::shows_text);
        let searches = has(SEARCHES);
        let reports = has(REPORTS) && !has("order|orders");
        let reads_records = has(RECORD_READERS) || (searches && !runs_code);
        Self {
            reads_text: reads_by_command || (!runs_code && (searches || has(TEXT_READERS))),
            reads_files: reads_by_command || (!runs_code && has(FILE_READERS)),
            reads_records,
            searches,
            reports,
            runs_code,
            answers_with_exit_code: command.is_some_and(|command| command.answers_with_exit_code()),
            acts: is_one_of(ACTIONS, first) || (!reads_records && !reports && has(ACTIONS)),
        }
    }
}

/// Words for tools that run commands or code.
const CODE: &str = "bash|cmd|code|command|commands|console|deno|exec|execute|executor|ipython|interpreter|javascript|js|julia|jupyter|kernel|\
    node|notebook|powershell|process|program|python|repl|run|runner|sandbox|script|sh|shell|subprocess|terminal";

const TEXT_READERS: &str = "article|articles|browse|browser|cat|channel|chat|comments|content|contents|conversation|crawl|doc|docs|document|\
    documentation|email|emails|extract|fetch|file|files|history|inbox|log|logs|mail|memory|message|messages|note|notes|open|page|\
    pages|pdf|read|scrape|tail|thread|transcript|view|web|wiki";

const FILE_READERS: &str = "cat|diff|file|files|log|logs|open|read|reader|tail|trace|traces|view|viewer|stacktrace|stderr";

const RECORD_READERS: &str = "check|count|describe|details|events|fetch|find|get|history|info|inspect|issues|list|load|lookup|metrics|monitor|ping|poll|\
    probe|query|read|retrieve|search|select|show|sql|stat|state|stats|status|tickets|track|tracking|uptime|view|wait|watch";

const SEARCHES: &str = "ask|find|glob|google|grep|lookup|rag|rg|retrieval|retrieve|retriever|ripgrep|search|searches";

const REPORTS: &str = "alerts|analysis|analyze|analyzer|assess|audit|check|checks|ci|clippy|compare|coverage|diagnose|diagnostics|eslint|evaluate|\
    health|healthcheck|inspect|lint|linter|metrics|monitor|monitoring|mypy|ping|probe|pytest|report|review|scan|test|tests|\
    typecheck|uptime|validate|validator|verify";

const ACTIONS: &str = "add|apply|approve|assign|authorize|book|buy|call|cancel|capture|change|charge|commit|connect|convert|copy|create|delete|\
    deploy|do|edit|enable|generate|grant|import|insert|install|invite|invoke|issue|merge|modify|move|order|pay|place|post|\
    publish|push|put|rebook|refund|register|remove|reserve|restart|schedule|send|set|start|submit|transfer|trigger|update|upload|\
    write";

/// The words of a name in lower case: `searchHelpArticles` and `search_help-articles` have the same, and `getHTTPStatus` has three.
pub(super) fn words_of(name: &str) -> Vec<String> {
    const NAME_CHARS_MAX: usize = 100;
    let mut words = vec![String::new()];
    let mut previous_is_upper = false;
    for c in name.chars().take(NAME_CHARS_MAX) {
        if !c.is_alphanumeric() || (c.is_uppercase() && !previous_is_upper) {
            words.push(String::new());
        }
        if c.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(c.to_lowercase());
        }
        previous_is_upper = c.is_uppercase();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(words_of("searchHelpArticles"), ["search", "help", "articles"]);
        assert_eq!(words_of("mcp__jira-get_issue"), ["mcp", "jira", "get", "issue"]);
        assert_eq!(words_of("getHTTPStatus"), ["get", "httpstatus"]);
    }

    #[test]
    fn the_nature_follows_from_the_name_and_the_command() {
        let of = ToolNature::of;
        assert!(of("read_file", "{}").reads_files && of("getLogs", "{}").reads_text && of("web_search", "{}").searches);
        assert!(of("list_tickets", "{}").reads_records && of("run_tests", "{}").reports && of("create_order", "{}").acts);
        assert!(!of("get_order", "{}").acts && !of("lookup_order", "{}").acts && of("pay", "{}").acts);
        assert!(of("bash", r#"{"cmd":"cat notes.md"}"#).reads_files && !of("bash", r#"{"cmd":"make"}"#).reads_files);
        assert!(of("bash", "grep x a.py").answers_with_exit_code && !of("search", "grep x a.py").answers_with_exit_code);
    }
}
