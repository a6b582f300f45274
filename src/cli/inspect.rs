//! `failsift inspect`.

use std::io::Write;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::output;
use crate::inspect::{self, InputReport};
use crate::model::{escape_to_one_line, escape_control_chars};
use crate::parse::{self, ObjectFacts};
use crate::store::Location;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A file, a folder, a glob or a URL
    #[arg(value_name = "URL")]
    input: String,
    /// auto, otlp, phoenix, langsmith, datadog, langfuse, failsift or chat
    #[arg(long, value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT", default_value = "auto")]
    input_format: String,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t = FoundFormat::Text)]
    format: FoundFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum FoundFormat {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let format = parse::format_named(&args.input_format).map_err(Failure::usage)?;
    let found = inspect::inspect(Location::parse(&args.input)?, format).await?;
    let mut stdout = std::io::stdout().lock();
    match args.format {
        FoundFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&found)))?,
        FoundFormat::Json => {
            let json = serde_json::to_string(&FoundJson::of(&found)).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(stdout, "{}", output::escaped_json(&json))?;
        }
    }
    Ok(Exit::Complete)
}

/// Names of unmapped fields that are shown of one object.
const FIELDS_SHOWN: usize = 12;

fn text(found: &InputReport) -> String {
    const OBJECTS_SHOWN: usize = 50;
    const REJECTIONS_SHOWN: usize = 10;
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    for (uri, facts) in found.objects.iter().take(OBJECTS_SHOWN) {
        line(escape_to_one_line(uri));
        line(format!("  format       {}", facts.format.unwrap_or("unknown")));
        line(format!("  holds        {}", holds(facts)));
        if facts.rejected > 0 {
            line(format!("  rejected     {}", facts.rejected));
        }
        if !facts.unmapped.is_empty() {
            line(format!("  attributes   {}", fields(facts)));
        }
    }
    if found.objects.len() > OBJECTS_SHOWN {
        line(format!("… and {} objects more; --format json tells all", found.objects.len() - OBJECTS_SHOWN));
    }
    line(format!("\n{} traces of {} spans in all, {} rejected", found.traces, found.spans, found.rejected));
    for rejection in found.rejections.iter().take(REJECTIONS_SHOWN) {
        line(format!("  {}  {}\n      {}", escape_to_one_line(&rejection.trace_ref), rejection.kind.as_str(), escape_to_one_line(&rejection.reason)));
    }
    let more = found.rejections.len().saturating_sub(REJECTIONS_SHOWN);
    if more > 0 {
        line(format!("  … and {more} more; --format json tells all"));
    }
    if let Some(first) = found.skipped.first() {
        line(format!("skipped {} objects without traces, such as {}", found.skipped.len(), escape_to_one_line(first)));
    }
    for uri in &found.missing {
        line(format!("a manifest names {}, and it is not there", escape_to_one_line(uri)));
    }
    if found.objects.values().any(|facts| !facts.unmapped.is_empty()) {
        line("\nattributes: fields that have no place of their own in failsift's span; they are kept by their name".to_owned());
    }
    out
}

fn holds(facts: &ObjectFacts) -> String {
    let mut parts = vec![format!("{} records", facts.records), format!("{} spans of {} traces", facts.spans, facts.traces())];
    for (count, what) in [(facts.additions, "log records or trace rows"), (facts.annotations, "annotations")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    parts.join(", ")
}

fn fields(facts: &ObjectFacts) -> String {
    let mut by_count: Vec<_> = facts.unmapped.iter().collect();
    by_count.sort_by(|(left, left_count), (right, right_count)| right_count.cmp(left_count).then(left.cmp(right)));
    let shown: Vec<String> = by_count.iter().take(FIELDS_SHOWN).map(|(name, count)| format!("{} ({count})", name_shown(name))).collect();
    let more = by_count.len().saturating_sub(FIELDS_SHOWN);
    if more > 0 { format!("{}, and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// The name of a field: those of hostile input may be of any length.
fn name_shown(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    escape_to_one_line(&name.chars().take(CHARS_MAX).collect::<String>())
}

#[derive(Serialize)]
struct FoundJson<'a> {
    traces: u64,
    spans: u64,
    rejected: u64,
    objects: Vec<ObjectJson<'a>>,
    rejections: Vec<RejectionJson<'a>>,
    skipped_objects: &'a [String],
    missing_objects: &'a [String],
}

#[derive(Serialize)]
struct ObjectJson<'a> {
    uri: &'a str,
    format: Option<&'static str>,
    records: u64,
    spans: u64,
    traces: usize,
    additions: u64,
    annotations: u64,
    rejected: u64,
    attributes: &'a std::collections::BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct RejectionJson<'a> {
    trace_ref: &'a str,
    stage: &'static str,
    kind: &'static str,
    reason: &'a str,
    retryable: bool,
    source_uri: &'a str,
}

impl<'a> FoundJson<'a> {
    fn of(found: &'a InputReport) -> Self {
        let object = |(uri, facts): (&'a String, &'a ObjectFacts)| ObjectJson {
            uri,
            format: facts.format,
            records: facts.records,
            spans: facts.spans,
            traces: facts.traces(),
            additions: facts.additions,
            annotations: facts.annotations,
            rejected: facts.rejected,
            attributes: &facts.unmapped,
        };
        let rejections = found.rejections.iter().map(|rejection| RejectionJson {
            trace_ref: &rejection.trace_ref,
            stage: rejection.stage.as_str(),
            kind: rejection.kind.as_str(),
            reason: &rejection.reason,
            retryable: rejection.retryable,
            source_uri: &rejection.source_uri,
        });
        Self {
            traces: found.traces,
            spans: found.spans,
            rejected: found.rejected,
            objects: found.objects.iter().map(object).collect(),
            rejections: rejections.collect(),
            skipped_objects: &found.skipped,
            missing_objects: &found.missing,
        }
    }
}
