//! Logs and messages on stderr: as text or as one JSON object a line, with the id of the run.
//!
//! Logs of libraries are off, because they may quote trace text; failsift's own never do.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{FmtContext, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use super::{output, progress};

#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// Log more to stderr: -v what the run does, -vv each object and rejection
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// No progress, and only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Format of logs, progress lines and messages on stderr
    #[arg(long, global = true, value_enum, env = "FAILSIFT_LOG_FORMAT", default_value_t = LogFormat::Text)]
    log_format: LogFormat,
}

// Without docs of the values, which would turn the help of every command into the long form.
/// The format of stderr: text for people, or one JSON object a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

/// How this process writes to stderr.
static FORMAT: OnceLock<LogFormat> = OnceLock::new();

/// The id of the run of this process, if its command is `run`.
static RUN_ID: OnceLock<String> = OnceLock::new();

impl LogArgs {
    /// Whether progress and warnings are off.
    pub(super) fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The flags override `RUST_LOG`.
    fn level(&self) -> Level {
        match (self.quiet, self.verbose) {
            (true, _) => Level::ERROR,
            (false, 0) => std::env::var("RUST_LOG").ok().and_then(|level| level.parse().ok()).unwrap_or(Level::WARN),
            (false, 1) => Level::INFO,
            (false, 2) => Level::DEBUG,
            (false, _) => Level::TRACE,
        }
    }

    /// Starts to log to stderr.
    pub(super) fn start(&self) {
        FORMAT.get_or_init(|| self.log_format);
        let filter = EnvFilter::new(format!("off,failsift={}", self.level()));
        let has_colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let logger = tracing_subscriber::fmt().with_env_filter(filter).with_writer(Stderr).with_ansi(has_colour);
        logger.event_format(LineFormat { is_json: self.log_format == LogFormat::Json }).init();
    }
}

/// Adds the id of the run to every further line.
pub(super) fn set_run_id(run_id: &str) {
    RUN_ID.get_or_init(|| run_id.to_owned());
}

/// Whether stderr has JSON.
pub(super) fn is_json() -> bool {
    FORMAT.get() == Some(&LogFormat::Json)
}

/// Writes a message that is no log as a line of JSON.
pub(super) fn json_line(level: Level, message: &str, fields: Map<String, Value>) {
    // A closed stderr is not an error.
    let _ = Stderr.write_all(json(level, None, message, None, fields).as_bytes());
}

/// Writes to stderr, above the display of the progress if there is one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        progress::suspended(|| io::stderr().lock().write_all(bytes)).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        Self
    }
}

/// `2026-11-27T03:00:07.123456Z  WARN failsift::write: the message count=3 run_id=…`, or the same as JSON.
struct LineFormat {
    is_json: bool,
}

impl<S, N> FormatEvent<S, N> for LineFormat
where
    S: Subscriber + for<'s> LookupSpan<'s>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        if self.is_json {
            let mut fields = Fields::default();
            event.record(&mut fields);
            return writer.write_str(&json(level, Some(target), &fields.message, fields.trace_id, fields.others));
        }
        let (start, end) = match level {
            _ if !writer.has_ansi_escapes() => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            Level::INFO => ("\x1b[32m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        write!(writer, "{} {start}{level:>5}{end} {target}: ", timestamp())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        if let Some(run_id) = RUN_ID.get() {
            write!(writer, " run_id={run_id}")?;
        }
        writeln!(writer)
    }
}

fn timestamp() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

/// One line of JSON. Characters that a terminal would interpret are escaped.
fn json(level: Level, target: Option<&str>, message: &str, trace_id: Option<String>, fields: Map<String, Value>) -> String {
    let mut line = Map::new();
    line.insert("timestamp".to_owned(), timestamp().into());
    line.insert("level".to_owned(), level.as_str().into());
    line.insert("message".to_owned(), message.into());
    for (name, value) in [("run_id", RUN_ID.get().cloned()), ("trace_id", trace_id), ("target", target.map(str::to_owned))] {
        if let Some(value) = value {
            line.insert(name.to_owned(), value.into());
        }
    }
    if !fields.is_empty() {
        line.insert("fields".to_owned(), fields.into());
    }
    output::escaped_json(&Value::Object(line).to_string()) + "\n"
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    trace_id: Option<String>,
    others: Map<String, Value>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("trace_id", Value::String(text)) => self.trace_id = Some(text),
            (name, value) => drop(self.others.insert(name.to_owned(), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(quiet: bool, verbose: u8) -> LogArgs {
        LogArgs { verbose, quiet, log_format: LogFormat::Text }
    }

    #[test]
    fn flags_set_the_level() {
        assert_eq!(
            [args(true, 0), args(false, 1), args(false, 2), args(false, 9)].map(|args| args.level()),
            [Level::ERROR, Level::INFO, Level::DEBUG, Level::TRACE]
        );
    }

    #[test]
    fn a_line_of_json_has_one_line_and_no_control_characters() {
        let fields = Map::from_iter([("uri".to_owned(), "a\u{9b}31m".into())]);
        let line = json(Level::WARN, Some("failsift::read"), "two\nlines", Some("t1".into()), fields);
        assert!(line.ends_with("}\n") && line.matches('\n').count() == 1 && !line.contains('\u{9b}'), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&value["level"], &value["message"], &value["trace_id"]), (&"WARN".into(), &"two\nlines".into(), &"t1".into()));
        assert_eq!(value["fields"]["uri"], "a\u{9b}31m");
    }
}
