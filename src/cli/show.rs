//! `failsift show`: prints the pattern of one trace, its last error, or both.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use crate::model::{escape_control_chars, escape_to_one_line};
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
    /// One JSON object with the keys pattern and error
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
    let text = match args.format {
        ShowFormat::Json => format!("{}\n", output::escaped_json(&serde_json::json!({ "pattern": pattern, "error": error }).to_string())),
        ShowFormat::Text => escape_control_chars(&page(&pattern, &error)).into_owned(),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
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
fn page(pattern: &Value, error: &Value) -> String {
    let mut lines = Vec::new();
    if !pattern.is_null() {
        lines.extend(pattern_lines(pattern));
    }
    if !error.is_null() {
        let heading = if pattern.is_null() { "This trace has no pattern" } else { "\nThe last run over this trace failed" };
        let (kind, stage) = (text(&error["kind"]), text(&error["stage"]));
        lines.push(format!("{heading}: {kind} in stage {stage}\n  {}", indented(&error["reason"])));
    }
    lines.iter().fold(String::new(), |page, line| page + line + "\n")
}

fn pattern_lines(pattern: &Value) -> Vec<String> {
    let label = format!("{}/{}", text(&pattern["category"]), text(&pattern["contributing_factor"]));
    let mut lines = vec![
        text(&pattern["title"]),
        format!("{label}, confidence {:.2}", pattern["confidence"].as_f64().unwrap_or(0.0)),
        format!("trace {}{}", text(&pattern["trace_id"]), context(pattern)),
    ];
    for (heading, key) in [("What happened", "summary"), ("Root cause", "root_cause_hypothesis")] {
        lines.push(format!("\n{heading}\n  {}", indented(&pattern[key])));
    }
    lines.push("\nEvidence".to_owned());
    lines.extend(pattern["evidence"].as_array().into_iter().flatten().map(evidence_line));
    lines.push("\nActions".to_owned());
    let actions = pattern["actions"].as_array().into_iter().flatten().zip(1..);
    lines.extend(actions.map(|(action, number)| format!("  {number}. {}", text(action))));
    lines.push(format!("\nConfidence\n  {}", text(&pattern["confidence_rationale"])));
    lines.push(format!(
        "\nread from {}\nextracted {} by {} ({})",
        text(&pattern["source_uri"]),
        text(&pattern["extracted_at"]),
        text(&pattern["analyzer"]),
        text(&pattern["model"])
    ));
    lines
}

/// Service, environment and start of the trace, as far as they are known.
fn context(pattern: &Value) -> String {
    let known = [("service", "service"), ("environment", "environment"), ("started", "trace_started_at")];
    let known = known.into_iter().filter(|(_, key)| pattern[*key].is_string());
    known.flat_map(|(name, key)| [", ".to_owned(), name.to_owned(), " ".to_owned(), text(&pattern[key])]).collect()
}

fn evidence_line(evidence: &Value) -> String {
    let location = match (evidence["span_id"].as_str(), evidence["field"].as_str()) {
        (Some(span), Some(field)) => format!("  [span {}, {}]", escape_to_one_line(span), escape_to_one_line(field)),
        _ => String::new(),
    };
    let excerpt = evidence["excerpt"].as_str().map(|excerpt| format!("\"{}\"", escape_to_one_line(excerpt)));
    format!("  - {}{location}", excerpt.unwrap_or_else(|| text(&evidence["signal"])))
}

fn text(value: &Value) -> String {
    escape_to_one_line(value.as_str().unwrap_or_default())
}

/// A text whose line breaks are kept, with each line indented.
fn indented(value: &Value) -> String {
    value.as_str().unwrap_or_default().replace('\n', "\n  ")
}
