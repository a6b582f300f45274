//! `failsift inspect`: prints what an input contains and what a run would reject.

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::exit::{Exit, Failure};
use super::{counted, output};
use crate::inspect::{self, InputReport};
use crate::model::{Part, escape_control_chars, escape_to_one_line};
use crate::parse::{self, InstrumentationFacts, ObjectFacts, PartCounts};
use crate::store::Location;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Path, glob or URL of the traces
    #[arg(value_name = "URL")]
    input: String,
    #[arg(long, help = parse::format_help("Trace format"), value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT", default_value = "auto")]
    input_format: String,
    /// Output format of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let format = parse::format_named(&args.input_format).map_err(Failure::usage)?;
    let found = inspect::inspect(Location::parse(&args.input)?, format).await?;
    let mut stdout = std::io::stdout().lock();
    match args.format {
        ReportFormat::Text => write!(stdout, "{}", escape_control_chars(&text(&found)))?,
        ReportFormat::Json => {
            let json = serde_json::to_string(&ReportJson::of(&found)).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(stdout, "{}", output::escaped_json(&json))?;
        }
    }
    Ok(Exit::Complete)
}

fn text(found: &InputReport) -> String {
    const OBJECTS_SHOWN: usize = 50;
    let mut lines: Vec<String> = found.objects.iter().take(OBJECTS_SHOWN).flat_map(|(uri, facts)| object_lines(uri, facts)).collect();
    let more = found.objects.len().saturating_sub(OBJECTS_SHOWN);
    if more > 0 {
        lines.push(format!("… and {} more; --format json lists all", counted(more as u64, "object")));
    }
    lines.push(format!("\ntotal: {} with {}, {} rejected", counted(found.traces, "trace"), counted(found.spans, "span"), found.rejected));
    lines.extend(rejection_lines(found));
    if let Some(first) = found.skipped.first() {
        lines.push(format!(
            "skipped {} without traces, such as {}",
            counted(found.skipped.len() as u64, "object"),
            escape_to_one_line(first)
        ));
    }
    lines.extend(found.missing.iter().map(|uri| format!("missing: {}, which a manifest lists", escape_to_one_line(uri))));
    if found.objects.values().any(|facts| !facts.unmapped.is_empty()) {
        lines.push("\nattributes: fields that failsift does not map; they are kept as attributes under their own names".to_owned());
    }
    lines.join("\n") + "\n"
}

fn object_lines(uri: &str, facts: &ObjectFacts) -> Vec<String> {
    let mut lines = vec![
        escape_to_one_line(uri),
        format!("  format       {}", facts.format.unwrap_or("unknown")),
        format!("  contains     {}", contents(facts)),
    ];
    if facts.rejected > 0 {
        lines.push(format!("  rejected     {}", facts.rejected));
    }
    lines.extend(facts.instrumentations.iter().flat_map(|(name, found)| instrumentation_lines(name, found)));
    if !facts.unmapped.is_empty() {
        lines.push(format!("  attributes   {}", unmapped_fields(facts)));
    }
    lines
}

/// What was read of one instrumentation, and what was not understood.
fn instrumentation_lines(name: &str, facts: &InstrumentationFacts) -> Vec<String> {
    const ATTRIBUTES_SHOWN: usize = 4;
    let mut lines = Vec::new();
    if !name.is_empty() {
        let convention =
            facts.conventions.iter().max_by_key(|(_, spans)| **spans).map_or("no known convention", |(convention, _)| convention);
        lines.push(format!("  recorded by  {} ({}, {convention})", shortened(name), counted(facts.spans, "span")));
    }
    for ((kind, part), counts) in &facts.parts {
        let total = counts.understood + counts.absent + counts.not_understood;
        for (count, outcome) in [(counts.not_understood, "not understood"), (counts.inferred, "recognized by shape")] {
            if count > 0 {
                let spans = counted(total, &format!("{kind} span"));
                lines.push(format!("               {} {outcome} in {count} of {spans}", part.as_str()));
            }
        }
    }
    let mut by_size: Vec<_> = facts.unread_content.iter().collect();
    by_size.sort_by(|(left, left_size), (right, right_size)| right_size.cmp(left_size).then(left.cmp(right)));
    lines.extend(
        by_size
            .iter()
            .take(ATTRIBUTES_SHOWN)
            .map(|(name, bytes)| format!("               attribute {} holds {}, not read", shortened(name), byte_size(**bytes))),
    );
    let more = by_size.len().saturating_sub(ATTRIBUTES_SHOWN);
    if more > 0 {
        lines.push(format!("               and {} more; --format json lists all", counted(more as u64, "attribute")));
    }
    lines
}

fn rejection_lines(found: &InputReport) -> Vec<String> {
    const REJECTIONS_SHOWN: usize = 10;
    let shown = found.rejections.iter().take(REJECTIONS_SHOWN);
    let mut lines: Vec<String> = shown
        .map(|rejection| {
            format!(
                "  {}  {}\n      {}",
                escape_to_one_line(&rejection.trace_ref),
                rejection.kind.as_str(),
                output::indented(&rejection.reason, 6)
            )
        })
        .collect();
    let more = found.rejections.len().saturating_sub(REJECTIONS_SHOWN);
    if more > 0 {
        lines.push(format!("  … and {more} more; --format json lists all"));
    }
    lines
}

fn contents(facts: &ObjectFacts) -> String {
    let mut parts =
        vec![counted(facts.records, "record"), format!("{} of {}", counted(facts.spans, "span"), counted(facts.traces() as u64, "trace"))];
    if facts.additions > 0 {
        parts.push(match facts.additions {
            1 => "1 log record or trace row".to_owned(),
            additions => format!("{additions} log records or trace rows"),
        });
    }
    if facts.annotations > 0 {
        parts.push(counted(facts.annotations, "annotation"));
    }
    parts.join(", ")
}

fn unmapped_fields(facts: &ObjectFacts) -> String {
    const FIELDS_SHOWN: usize = 12;
    let mut by_count: Vec<_> = facts.unmapped.iter().collect();
    by_count.sort_by(|(left, left_count), (right, right_count)| right_count.cmp(left_count).then(left.cmp(right)));
    let shown: Vec<String> = by_count.iter().take(FIELDS_SHOWN).map(|(name, count)| format!("{} ({count})", shortened(name))).collect();
    let more = by_count.len().saturating_sub(FIELDS_SHOWN);
    if more > 0 { format!("{}, and {more} more", shown.join(", ")) } else { shown.join(", ") }
}

/// A size for people: `17 bytes`, `1.2 MB`.
#[expect(clippy::cast_precision_loss, reason = "one digit after the point")]
fn byte_size(bytes: u64) -> String {
    match bytes {
        ..1_000 => counted(bytes, "byte"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A field name for display; names from hostile input may have any length.
fn shortened(name: &str) -> String {
    const CHARS_MAX: usize = 80;
    escape_to_one_line(&name.chars().take(CHARS_MAX).collect::<String>())
}

#[derive(Serialize)]
struct ReportJson<'a> {
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
    attributes: &'a BTreeMap<String, u64>,
    instrumentations: Vec<InstrumentationJson<'a>>,
}

#[derive(Serialize)]
struct InstrumentationJson<'a> {
    /// The name of the scope; null if the format has none.
    name: Option<&'a str>,
    spans: u64,
    conventions: &'a BTreeMap<&'static str, u64>,
    parts: Vec<PartJson>,
    unread_content_bytes: &'a BTreeMap<String, u64>,
}

#[derive(Serialize)]
struct PartJson {
    span_kind: &'static str,
    part: &'static str,
    understood: u64,
    inferred: u64,
    absent: u64,
    not_understood: u64,
}

impl<'a> InstrumentationJson<'a> {
    fn of((name, facts): (&'a String, &'a InstrumentationFacts)) -> Self {
        let part = |(&(span_kind, part), counts): (&(&'static str, Part), &PartCounts)| PartJson {
            span_kind,
            part: part.as_str(),
            understood: counts.understood,
            inferred: counts.inferred,
            absent: counts.absent,
            not_understood: counts.not_understood,
        };
        Self {
            name: Some(name.as_str()).filter(|name| !name.is_empty()),
            spans: facts.spans,
            conventions: &facts.conventions,
            parts: facts.parts.iter().map(part).collect(),
            unread_content_bytes: &facts.unread_content,
        }
    }
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

impl<'a> ReportJson<'a> {
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
            instrumentations: facts.instrumentations.iter().map(InstrumentationJson::of).collect(),
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
