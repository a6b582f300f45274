//! `failsift query`: runs SQL from the arguments, a script on stdin or an interactive shell, and prints the rows.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;

use super::exit::{Exit, Failure};
use super::output::{self, RowFormat};
use crate::config::{self, KeySource};
use crate::pipeline::{self, TraceSource};
use crate::query::{QueryError, QueryLimits, TablesSession};
use crate::redact::{CustomDetectors, KindOptions, Redactor};
use crate::spans::{self, ReadFailures, SpansInput};
use crate::store::Location;
use crate::tables::AsOf;
use crate::{limits, parse, store};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// SQL over the tables patterns, errors, fingerprints and runs, and over spans with --input; omit it for an interactive shell
    sql: Option<String>,
    /// Traces in any format to query as the table spans; can be repeated
    #[arg(long = "input", value_name = "URL")]
    inputs: Vec<String>,
    #[arg(long, help = parse::format_help("Trace format of --input"), value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT", default_value = "auto")]
    input_format: String,
    /// File with the redaction key, for --input; `FAILSIFT_REDACTION_KEY` sets the key itself
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// File with custom detectors and allowed values, for --input; can be repeated
    #[arg(long = "redaction-rules", value_name = "FILE")]
    redaction_rules: Vec<PathBuf>,
    #[command(flatten)]
    redaction_kinds: KindOptions,
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Query an earlier state: a version of the table patterns, a time (2026-11-23T09:00:00Z), or an age (24h, 7d)
    #[arg(long, value_name = "VERSION|TIME", value_parser = as_of)]
    as_of: Option<AsOf>,
    /// Output format of rows
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    format: RowFormat,
    /// Memory limit for sorts, joins, aggregations and single values [default: 512]
    #[arg(long, value_name = "MB", value_parser = super::megabytes)]
    memory_limit: Option<usize>,
    /// Time limit of a query [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
    timeout: Option<Duration>,
}

impl Args {
    fn limits(&self) -> QueryLimits {
        let memory_bytes = self.memory_limit.map_or(limits::QUERY_MEMORY_BYTES, |megabytes| megabytes.saturating_mul(1024 * 1024));
        QueryLimits { memory_bytes, time: Some(self.timeout.unwrap_or(limits::QUERY_TIMEOUT)) }
    }
}

fn as_of(text: &str) -> Result<AsOf, String> {
    if let Ok(version) = text.parse() {
        return Ok(AsOf::Version(version));
    }
    let nanoseconds = config::parse_time(text, chrono::Utc::now())?;
    Ok(AsOf::Time(chrono::DateTime::from_timestamp_nanos(nanoseconds)))
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let (session, read_failures) = open(&args).await?;
    let result = match args.sql {
        Some(sql) => output::rows(session.stream(&sql).await?, args.format).await,
        None if std::io::stdin().is_terminal() => shell(&session, args.format).await,
        None => script(&session, args.format).await,
    };
    if let Some((count, reasons)) = read_failures.and_then(|read_failures| read_failures.summary()) {
        let records = if count == 1 { "1 record or trace".to_owned() } else { format!("{count} records or traces") };
        output::note(&format!("{records} could not be read, for example:\n  {}", reasons.join("\n  ")));
    }
    result.map(|()| Exit::Complete)
}

async fn open(args: &Args) -> Result<(TablesSession, Option<Arc<ReadFailures>>), Failure> {
    if args.inputs.is_empty() {
        return Ok((TablesSession::open_limited(&args.tables, args.as_of, args.limits()).await?, None));
    }
    let key = KeySource::resolve(args.redaction_key_file.clone(), super::has_key_in_environment());
    let input = SpansInput {
        tables: store::table_url(&args.tables)?,
        source: TraceSource {
            inputs: args.inputs.iter().map(|input| Location::parse(input)).collect::<Result<_, _>>()?,
            format: parse::format_named(&args.input_format).map_err(Failure::usage)?,
            record_bytes_max: limits::RECORD_BYTES_MAX,
            memory_bytes: limits::GATHER_MEMORY_BYTES,
        },
        redactor: Arc::new(
            Redactor::new(pipeline::redaction_key(&key)?)
                .with_custom_detectors(CustomDetectors::read(&args.redaction_rules)?.with_kinds(&args.redaction_kinds)?),
        ),
    };
    // Reports missing inputs before errors of the SQL.
    drop(input.source.objects(&input.tables, false).await?);
    let (table, read_failures) = spans::table(input).map_err(QueryError::from)?;
    Ok((TablesSession::open_with_spans(&args.tables, args.as_of, args.limits(), table).await?, Some(read_failures)))
}

async fn script(session: &TablesSession, format: RowFormat) -> Result<(), Failure> {
    let sql = std::io::read_to_string(std::io::stdin())?;
    for statement in statements(&sql) {
        output::rows(session.stream(&statement).await?, format).await?;
    }
    Ok(())
}

/// Reads statements that end with a semicolon and runs them, until `\q` or Ctrl-D. The history is kept in the user's state folder.
async fn shell(session: &TablesSession, format: RowFormat) -> Result<(), Failure> {
    let failed = |error: ReadlineError| Failure::failed(format!("cannot read from the terminal: {error}"));
    let mut editor = DefaultEditor::new().map_err(failed)?;
    let history = history_file();
    if let Some(path) = &history {
        // It does not exist the first time.
        let _ = editor.load_history(path);
    }
    writeln!(
        std::io::stdout(),
        "failsift {} on {}\nEnd statements with a semicolon. \\d lists tables and columns, \\q quits.",
        env!("CARGO_PKG_VERSION"),
        session.location()
    )?;
    let mut pending = String::new();
    loop {
        let prompt = if pending.is_empty() { "failsift> " } else { "     ...> " };
        match editor.readline(prompt) {
            Ok(line) if pending.is_empty() && matches!(line.trim(), "\\q" | "quit" | "exit" | "quit;" | "exit;") => break,
            Ok(line) if pending.is_empty() && line.trim() == "\\d" => run_statement(session, DESCRIBE, format).await,
            Ok(line) => {
                pending.push_str(&line);
                pending.push('\n');
                if pending.trim_end().ends_with(';') {
                    let statement = std::mem::take(&mut pending);
                    let statement = statement.trim();
                    // A statement that cannot be added to the history still runs.
                    let _ = editor.add_history_entry(statement);
                    run_statement(session, statement.trim_end_matches(';'), format).await;
                } else if pending.trim().is_empty() {
                    pending.clear();
                }
            }
            Err(ReadlineError::Interrupted) => pending.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(failed(error)),
        }
    }
    if let Some(path) = &history {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        editor.save_history(path).map_err(|error| Failure::failed(format!("cannot write the history to {}: {error}", path.display())))?;
    }
    Ok(())
}

/// The query of `\d`.
const DESCRIBE: &str = "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";

async fn run_statement(session: &TablesSession, sql: &str, format: RowFormat) {
    let result = match session.stream(sql).await {
        Ok(rows) => output::rows(rows, format).await,
        Err(error) => Err(error.into()),
    };
    if let Err(failure) = result {
        output::error(&failure.message);
    }
}

fn history_file() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(state.join("failsift").join("history"))
}

/// Splits a script at its semicolons, except those in quotes.
fn statements(script: &str) -> Vec<String> {
    let mut found = vec![String::new()];
    let mut quote = None;
    for c in script.chars() {
        match (c, quote) {
            (';', None) => {
                found.push(String::new());
                continue;
            }
            ('\'' | '"', None) => quote = Some(c),
            (c, Some(open)) if c == open => quote = None,
            _ => {}
        }
        if let Some(last) = found.last_mut() {
            last.push(c);
        }
    }
    found.retain(|statement| !statement.trim().is_empty());
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_split_at_semicolons_outside_quotes() {
        assert_eq!(statements("select 1; select ';' ;\n"), ["select 1", " select ';' "]);
        assert!(statements(" \n").is_empty());
    }
}
