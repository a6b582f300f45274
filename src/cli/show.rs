//! `failsift show`.

use std::io::Write;

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use serde_json::Value;

use super::exit::{Exit, Failure};
use super::output;
use crate::model::{escape_control_chars, escape_to_one_line};
use crate::query::TablesSession;
use crate::write::TableName;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Trace id, as in the column `trace_id`
    trace_id: String,
    /// Where the tables lie
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// How the pattern is printed
    #[arg(long, value_enum, default_value_t = ShowFormat::Text)]
    format: ShowFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ShowFormat {
    /// For reading
    Text,
    /// One JSON object with the keys pattern and error
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let session = TablesSession::open(&args.tables, None).await?;
    let pattern = first(&session.rows_where(TableName::Patterns, "trace_id", &args.trace_id).await?)?;
    let error = first(&session.rows_where(TableName::Errors, "trace_ref", &args.trace_id).await?)?;
    if pattern.is_null() && error.is_null() {
        let shown: String = escape_to_one_line(&args.trace_id).chars().take(80).collect();
        return Err(Failure::usage(format!(
            "{} holds no trace {shown}\n  hint: failsift query --tables {} \"SELECT trace_id, title FROM patterns LIMIT 20\"",
            args.tables, args.tables
        )));
    }
    let text = match args.format {
        ShowFormat::Json => format!("{}\n", output::escaped_json(&serde_json::json!({ "pattern": pattern, "error": error }).to_string())),
        ShowFormat::Text => escape_control_chars(&reading(&pattern, &error)).into_owned(),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
}

/// The first row as JSON, null where there is none.
fn first(batches: &[RecordBatch]) -> Result<Value, Failure> {
    let failed = |error: String| Failure::failed(error);
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    for batch in batches {
        writer.write(batch).map_err(|error| failed(error.to_string()))?;
    }
    writer.finish().map_err(|error| failed(error.to_string()))?;
    let rows: Value = serde_json::from_slice(&writer.into_inner()).unwrap_or_default();
    Ok(rows.get(0).cloned().unwrap_or_default())
}

/// One pattern as a page: what happened, why, what shows it, what to do, how sure.
fn reading(pattern: &Value, error: &Value) -> String {
    let mut out = String::new();
    let text = |value: &Value| escape_to_one_line(value.as_str().unwrap_or_default());
    // Only these may have lines of their own, each of which is indented.
    let lines = |value: &Value| value.as_str().unwrap_or_default().replace('\n', "\n  ");
    let mut line = |text: &str| {
        out.push_str(text);
        out.push('\n');
    };
    if !pattern.is_null() {
        line(&text(&pattern["title"]));
        line(&format!(
            "{}/{}, confidence {:.2}",
            text(&pattern["category"]),
            text(&pattern["contributing_factor"]),
            pattern["confidence"].as_f64().unwrap_or(0.0)
        ));
        let context =
            [("service", &pattern["service"]), ("environment", &pattern["environment"]), ("started", &pattern["trace_started_at"])];
        let context: Vec<_> =
            context.into_iter().filter(|(_, value)| value.is_string()).map(|(name, value)| format!("{name} {}", text(value))).collect();
        line(&format!("trace {}{}{}", text(&pattern["trace_id"]), if context.is_empty() { "" } else { ", " }, context.join(", ")));
        for (heading, key) in [("What happened", "summary"), ("Why", "root_cause_hypothesis")] {
            line(&format!("\n{heading}\n  {}", lines(&pattern[key])));
        }
        line("\nWhat shows it");
        for evidence in pattern["evidence"].as_array().into_iter().flatten() {
            let place = match (evidence["span_id"].as_str(), evidence["field"].as_str()) {
                (Some(span), Some(field)) => format!("  [span {}, {}]", escape_to_one_line(span), escape_to_one_line(field)),
                _ => String::new(),
            };
            let said = evidence["excerpt"]
                .as_str()
                .map_or_else(|| text(&evidence["signal"]), |excerpt| format!("\"{}\"", escape_to_one_line(excerpt)));
            line(&format!("  - {said}{place}"));
        }
        line("\nWhat to do");
        for (action, number) in pattern["actions"].as_array().into_iter().flatten().zip(1..) {
            line(&format!("  {number}. {}", text(action)));
        }
        line(&format!("\nHow sure\n  {}", text(&pattern["confidence_rationale"])));
        line(&format!(
            "\nread from {}\nextracted {} by {} ({})",
            text(&pattern["source_uri"]),
            text(&pattern["extracted_at"]),
            text(&pattern["analyzer"]),
            text(&pattern["model"])
        ));
    }
    if !error.is_null() {
        let heading = if pattern.is_null() { "This trace has no pattern" } else { "\nThe last run over this trace failed" };
        line(&format!("{heading}: {} in stage {}\n  {}", text(&error["kind"]), text(&error["stage"]), lines(&error["reason"])));
    }
    out
}
