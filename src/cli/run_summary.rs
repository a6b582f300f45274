//! The text summary of a run: counts, patterns by label, failures, and commands to run next.
//!
//! Takes the run summary and what sets failed traces apart; returns text. Ids and reasons come from the input, so callers print the text
//! through [`escape_control_chars`](crate::model::escape_control_chars).

use std::cmp::Reverse;
use std::collections::HashMap;

use super::{counted, output};
use crate::model::{ExitReason, Failure, LabelTraces, RunStatus, RunSummary, escape_to_one_line, normalize_numbers};
use crate::write::FingerprintReport;

/// The summary of a run. `tables` is the location of the tables.
pub(super) fn text(tables: &str, summary: &RunSummary, fingerprints: &FingerprintReport) -> String {
    let mut lines = vec![headline(summary)];
    lines.extend(outcomes(summary));
    lines.extend(unchanged_objects(summary));
    lines.push(records(summary));
    lines.extend(not_understood(summary));
    lines.extend(why_not_0(summary));
    lines.extend(model_usage(summary));
    lines.extend(analyzers(summary));
    lines.extend(patterns(&summary.by_label));
    lines.extend(differences(fingerprints));
    lines.extend(failures(summary));
    lines.extend(skipped_objects(summary));
    lines.extend(next_commands(tables, &summary.by_label));
    lines.join("\n") + "\n"
}

/// Why the exit code is not 0.
pub(super) fn exit_reason_text(reason: ExitReason, summary: &RunSummary) -> String {
    match reason {
        ExitReason::NothingStored => format!("nothing was stored: {} failed", received(summary)),
        ExitReason::NoTraces => format!("the input has {} but no trace", counted(summary.records_read, "record")),
        ExitReason::ErrorRate => {
            format!("{:.1} % of traces and records failed, more than --max-error-rate allows", summary.error_rate() * 100.0)
        }
        ExitReason::CanaryMissed => "redaction missed one of the values that --canaries planted".to_owned(),
        ExitReason::CostLimit => "stopped by --max-cost".to_owned(),
        ExitReason::Interrupted => "interrupted by a signal".to_owned(),
        ExitReason::MaxDuration => "stopped by --max-duration".to_owned(),
        ExitReason::MaxErrors => "stopped by --max-errors: too many records and traces failed".to_owned(),
        ExitReason::Failed => "the run failed".to_owned(),
    }
}

/// The line that tells why the exit code is not 0, unless the status of the run tells it already.
fn why_not_0(summary: &RunSummary) -> Option<String> {
    let reason = summary.exit_reason?;
    let code = match (summary.status, reason) {
        (RunStatus::Failed, _) => return summary.error.as_deref().map(|error| format!("  exit code 1: {}", output::indented(error, 4))),
        (_, ExitReason::MaxDuration) => 4,
        (_, ExitReason::MaxErrors) | (RunStatus::Complete, _) => 3,
        (RunStatus::Interrupted | RunStatus::CostLimit | RunStatus::Skipped, _) => return None,
    };
    Some(format!("  exit code {code}: {}", exit_reason_text(reason, summary)))
}

fn received(summary: &RunSummary) -> String {
    if summary.received == 1 { "1 trace or broken record".to_owned() } else { format!("{} traces and broken records", summary.received) }
}

fn headline(summary: &RunSummary) -> String {
    format!(
        "run {} {}: {} in {} ({}, {:.1} MB) in {:.1} s",
        summary.run_id,
        summary.status.as_str(),
        received(summary),
        counted(summary.objects_read, "object"),
        counted(summary.spans_read, "span"),
        megabytes(summary.bytes_read),
        seconds_between(&summary.started_at, &summary.finished_at)
    )
}

fn outcomes(summary: &RunSummary) -> Vec<String> {
    let counts = [
        ("stored", summary.stored),
        ("validation failures", summary.validation_failures),
        ("processing errors", summary.processing_errors),
        ("timed out", summary.timed_out),
        ("unchanged", summary.unchanged),
        ("  kept (more spans)", summary.kept_fuller),
        ("filtered", summary.filtered),
    ];
    let shown = counts.into_iter().filter(|(name, count)| *count > 0 || *name == "stored");
    shown.map(|(name, count)| format!("  {name:<20}{count:>8}")).collect()
}

/// `  not read                 12 objects that are unchanged since run 0199…`, for `--since-last-run`.
fn unchanged_objects(summary: &RunSummary) -> Option<String> {
    let (count, run) = (summary.objects_unchanged?, summary.since_run.as_ref()?);
    let noun = if count == 1 { "object that is" } else { "objects that are" };
    Some(format!("  {:<20}{count:>8} {noun} unchanged since run {run}", "not read"))
}

/// `  records read             120: 118 with spans, 1 skipped (other_signal: 1), 1 rejected`
fn records(summary: &RunSummary) -> String {
    let mut parts = vec![format!("{} with spans", summary.records_with_spans)];
    if summary.records_companion > 0 {
        parts.push(counted(summary.records_companion, "companion"));
    }
    if summary.records_rejected > 0 {
        parts.push(format!("{} rejected", summary.records_rejected));
    }
    if !summary.skipped_records.is_empty() {
        parts.push(format!("{} skipped ({})", summary.records_skipped, summary.skipped_records.join(", ")));
    }
    format!("  {:<20}{:>8}: {}", "records read", summary.records_read, parts.join(", "))
}

/// `  not understood       12 of 80 spans; failsift inspect names the attributes`, if there are any.
fn not_understood(summary: &RunSummary) -> Option<String> {
    let (count, total) = (summary.spans_not_understood, counted(summary.spans_read, "span"));
    (count > 0).then(|| format!("  {:<20}{count:>8} of {total} in part; failsift inspect names the attributes", "not understood"))
}

/// Tokens and cost, if a model was asked.
fn model_usage(summary: &RunSummary) -> Option<String> {
    if summary.input_tokens == 0 {
        return None;
    }
    let (input, output) = (summary.input_tokens, summary.output_tokens);
    let estimated = match summary.answers_estimated {
        0 => String::new(),
        answers => format!(" (estimated for {})", counted(answers, "answer")),
    };
    let cost = if summary.cost_usd > 0.0 { format!("{:.4} US dollars", summary.cost_usd) } else { "price unknown".into() };
    let grounding = summary.grounding_rate.map_or_else(String::new, |rate| format!("; {:.0} % of the quotations were found", rate * 100.0));
    Some(format!("  {:<20}{input:>8} in, {output} out{estimated}; {cost}{grounding}", "model tokens"))
}

/// Traces by analyzer, and why the fallback took over, if a model was asked.
fn analyzers(summary: &RunSummary) -> Vec<String> {
    const REASONS_SHOWN: usize = 5;
    if summary.fallbacks.is_empty() && summary.analyzers.iter().all(|count| count.analyzer == "embedded") {
        return Vec::new();
    }
    let counts: Vec<String> = summary.analyzers.iter().map(|count| format!("{} {}", count.analyzer, count.traces)).collect();
    let mut lines = vec![format!("  {:<20}{}", "answered by", counts.join(", "))];
    let fallbacks: u64 = summary.fallbacks.iter().map(|count| count.traces).sum();
    if fallbacks > 0 {
        lines.push(format!("  {:<20}{fallbacks:>8}", "fell back"));
    }
    for count in summary.fallbacks.iter().take(REASONS_SHOWN) {
        lines.push(format!("    {:<18}{:>8}: {}", count.kind, count.traces, escape_to_one_line(&count.reason)));
    }
    lines
}

/// Stored patterns by category and factor, the most frequent first.
fn patterns(labels: &[LabelTraces]) -> Vec<String> {
    const TITLE_CHARS_MAX: usize = 70;
    if labels.is_empty() {
        return Vec::new();
    }
    let mut lines =
        vec![String::new(), format!("{:>6}  {:<10}  {:<44}  {}", "traces", "confidence", "category/contributing_factor", "example")];
    for label in labels {
        let title: String = escape_to_one_line(&label.title).chars().take(TITLE_CHARS_MAX).collect();
        lines.push(format!("{:>6}  {:<10.2}  {:<44}  {title}", label.traces, label.confidence, name_of(label)));
    }
    lines
}

/// What sets failed traces apart from healthy ones, of the most frequent failures.
fn differences(fingerprints: &FingerprintReport) -> Vec<String> {
    const SHOWN: usize = 5;
    if fingerprints.differences.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), "what failed traces have in common, and healthy ones have not:".to_owned()];
    let shown = fingerprints.differences.iter().take(SHOWN);
    lines.extend(shown.map(|difference| format!("  {:<44}  {}", difference.label, escape_to_one_line(&difference.sentence))));
    lines
}

fn failures(summary: &RunSummary) -> Vec<String> {
    const GROUPS_SHOWN: usize = 10;
    if summary.failures.is_empty() {
        return Vec::new();
    }
    let groups = grouped(&summary.failures);
    let mut lines = vec![String::new(), "not processed:".to_owned()];
    for FailureGroup { first, count } in groups.iter().take(GROUPS_SHOWN) {
        let others = if *count > 1 { format!("  (and {} more like it)", count - 1) } else { String::new() };
        lines.push(format!(
            "  {}  {}{others}\n      {}",
            escape_to_one_line(&first.trace_ref),
            first.kind,
            output::indented(&first.reason, 6)
        ));
    }
    let more: usize = groups.iter().skip(GROUPS_SHOWN).map(|group| group.count).sum();
    if more > 0 {
        lines.push(format!("  … and {more} more in the table errors"));
    }
    lines
}

/// Failures with the same kind and reason.
struct FailureGroup<'s> {
    first: &'s Failure,
    count: usize,
}

/// Groups failures by kind and reason, the largest group first. Reasons that differ only in numbers and ids are equal.
fn grouped(failures: &[Failure]) -> Vec<FailureGroup<'_>> {
    let mut indexes: HashMap<(&str, String), usize> = HashMap::new();
    let mut groups: Vec<FailureGroup<'_>> = Vec::new();
    for failure in failures {
        let index = *indexes.entry((&failure.kind, normalize_numbers(&failure.reason))).or_insert(groups.len());
        match groups.get_mut(index) {
            Some(group) => group.count += 1,
            None => groups.push(FailureGroup { first: failure, count: 1 }),
        }
    }
    groups.sort_by_key(|group| Reverse(group.count));
    groups
}

fn skipped_objects(summary: &RunSummary) -> Option<String> {
    let first = summary.skipped_objects.first()?;
    Some(format!(
        "\nskipped {} without traces, such as {}",
        counted(summary.skipped_objects.len() as u64, "object"),
        escape_to_one_line(first)
    ))
}

fn name_of(label: &LabelTraces) -> String {
    format!("{}/{}", label.category, label.contributing_factor)
}

fn next_commands(tables: &str, labels: &[LabelTraces]) -> Vec<String> {
    let mut lines = vec![String::new(), format!("tables: {tables}")];
    let failures = labels.iter().filter(|label| label.category != "unclassified");
    if let Some(example) = failures.min_by_key(|label| name_of(label)) {
        lines.push(format!("  failsift show {} --tables {tables}", shell_word(&example.example_trace_id)));
    }
    lines.push(format!(
        "  failsift query --tables {tables} \"SELECT category, contributing_factor, count(*) FROM patterns GROUP BY 1, 2 ORDER BY 3 DESC\""
    ));
    lines
}

/// Quotes an id for a shell, because ids come from the input and people copy the command.
pub(super) fn shell_word(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '#' | '@' | '=' | '+');
    if !id.is_empty() && !id.starts_with(['-', '#']) && id.chars().all(is_plain) {
        return id.to_owned();
    }
    format!("'{}'", escape_to_one_line(id).replace('\'', r"'\''"))
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "for display")]
fn seconds_between(start: &str, end: &str) -> f64 {
    let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
    time(start).zip(time(end)).map_or(0.0, |(start, end)| (end - start).num_milliseconds() as f64 / 1e3)
}
