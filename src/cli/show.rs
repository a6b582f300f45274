//! `failsift show`: prints the pattern of one trace, its last error, or both.

pub(super) mod layout;
mod row;
mod sections;
mod spans;

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde_json::Value;

use self::layout::{Page, Style};
use self::row::Row;
use super::exit::{Exit, Failure};
use super::{output, show_fingerprint};
use crate::model::escape_to_one_line;
use crate::query::TablesSession;
use crate::tables::TableName;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Trace id, as in the column `trace_id`
    trace_id: String,
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Output format of the pattern
    #[arg(long, value_enum, default_value_t = ShowFormat::Text)]
    format: ShowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ShowFormat {
    /// Human-readable text
    Text,
    /// One JSON object with the keys pattern, error and fingerprint
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let session = TablesSession::open(&args.tables, None).await?;
    let pattern = first_row(&session.rows_where(TableName::Patterns, "trace_id", &args.trace_id).await?)?;
    let error = first_row(&session.rows_where(TableName::Errors, "trace_ref", &args.trace_id).await?)?;
    if pattern.is_null() && error.is_null() {
        let shown: String = escape_to_one_line(&args.trace_id).chars().take(80).collect();
        return Err(Failure::usage(format!(
            "no trace {shown} in the tables at {}\n  hint: list trace ids with failsift query --tables {} \"SELECT trace_id, title FROM patterns LIMIT 20\"",
            args.tables, args.tables
        )));
    }
    let fingerprint = fingerprint_row(&session, &pattern).await?;
    let text = match args.format {
        ShowFormat::Json => format!(
            "{}\n",
            output::escaped_json(&serde_json::json!({ "pattern": pattern, "error": error, "fingerprint": fingerprint }).to_string())
        ),
        ShowFormat::Text => page(&pattern, &fingerprint, &error),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
}

/// How often the failure of a pattern was seen; null if that is not known.
async fn fingerprint_row(session: &TablesSession, pattern: &Value) -> Result<Value, Failure> {
    match pattern["fingerprint"].as_str() {
        // Outputs of earlier versions lack the table.
        Some(fingerprint) if session.has(TableName::Fingerprints) => {
            first_row(&session.rows_where(TableName::Fingerprints, "fingerprint", fingerprint).await?)
        }
        _ => Ok(Value::Null),
    }
}

/// The first row as JSON; null if there are no rows.
fn first_row(batches: &[RecordBatch]) -> Result<Value, Failure> {
    let failed = |error: String| Failure::failed(error);
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(|error| failed(error.to_string()))?;
    }
    writer.finish().map_err(|error| failed(error.to_string()))?;
    let rows: Value = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
    Ok(rows.get(0).cloned().unwrap_or_default())
}

/// A pattern as a page, and the error of the last run over the trace if it failed.
fn page(pattern: &Value, fingerprint: &Value, error: &Value) -> String {
    let mut page = Page::for_stdout();
    let (pattern_row, error_row) = (Row(pattern), Row(error));
    let failure = (!error.is_null())
        .then(|| format!("{} in stage {}", error_row.text("kind").unwrap_or("error"), error_row.text("stage").unwrap_or("unknown")));
    if pattern.is_null() {
        page.heading("This trace has no pattern");
    } else {
        let note =
            failure.as_ref().map(|failure| format!("The last run over this trace failed ({failure}); this pattern is of an earlier run."));
        sections::add_pattern(&mut page, pattern_row, note, |page| {
            let lines = show_fingerprint::seen_lines(fingerprint);
            if let Some((heading, lines)) = lines.split_first() {
                page.heading(heading.trim());
                for line in lines {
                    page.paragraph("  ", line.trim(), Style::Plain);
                }
            }
        });
    }
    if let Some(failure) = failure {
        page.heading("Last run");
        page.paragraph("  ", &failure, Style::Plain);
        page.paragraph("  ", error_row.text("reason").unwrap_or_default(), Style::Plain);
        if error_row.is_true("retryable") {
            page.paragraph("  ", "The same input may succeed later.", Style::Plain);
        }
    }
    page.into_text()
}
