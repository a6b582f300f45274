//! Facts of how a failure spread: what followed it, which parents failed with it, and from what the run had recovered before.

use std::collections::HashSet;

use super::super::incident::{Incident, IncidentKind};
use super::super::tree::SpanTree;
use super::case::milliseconds_between;
use super::consequence::is_same_error;
use super::find::listed;
use super::names::fact_names;
use super::step::is_same_attempt;
use super::{Case, Extractor, Facts, Place, display_name, quoted_message, shortened};
use crate::model::{Span, SpanKind, Trace, last_segment};

fact_names! {
    FAILED_PARENTS = "failed_parents", Count, "the number of parent spans that failed with the same error";
    FAILED_ROOT = "failed_root_span", Text, "the outermost parent span that failed with the same error";
    FOLLOWED_BY = "followed_by", Text, "the spans that failed later";
    FOLLOWED_COUNT = "followed_count", Count, "the number of failures that followed elsewhere";
    RUN_ENDED_AFTER = "run_ended_after_ms", Milliseconds, "the time from the failure to the end of the run";
    STEPS_AFTER = "steps_after_failure", Count, "the number of steps that started after the failure";
    RECOVERED_FAILURES = "recovered_failures", Count, "the number of earlier failures from which the run recovered";
    FIRST_RECOVERED_SPAN = "first_recovered_span", Text, "the span of the first failure from which the run recovered";
    RECOVERED_ERRORS = "recovered_errors", Text, "the kinds of failures from which the run recovered";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Failed parents with which an error is compared.
const PARENTS_COMPARED_MAX: usize = 50;

/// Names in a list.
const NAMES_MAX: usize = 3;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    add_recovered(case, facts);
    let Some(root) = case.root else { return };
    add_parents(case, root, facts);
    let ancestors: Vec<usize> = case.tree.self_and_ancestors(root.index).collect();
    let follows = |other: &&Incident<'_>| {
        matches!(other.kind, IncidentKind::Error | IncidentKind::ToolResult | IncidentKind::CannedAnswer)
            && is_own_failure(other)
            && !other.recovered
            && other.at_ns > root.at_ns
            && !ancestors.contains(&other.index)
            && !is_same_attempt(case, root, other)
    };
    let mut later: Vec<&Incident<'_>> = case.incidents.iter().filter(follows).collect();
    later.sort_by_key(|incident| incident.at_ns);
    later.dedup_by_key(|incident| incident.index);
    if !later.is_empty() {
        facts.add(
            &FOLLOWED_BY,
            listed(later.iter().map(|incident| display_name(incident.span)).collect::<Vec<_>>().iter().map(AsRef::as_ref), NAMES_MAX),
            Place::Trace,
        );
        facts.add(&FOLLOWED_COUNT, later.len(), Place::Trace);
    }
    let end = case.trace.spans.iter().filter_map(|span| span.ended_at_ns).max();
    let Some(failed_at) = root.span.ended_at_ns else { return };
    if let Some(after) = end.and_then(|end| milliseconds_between(failed_at, end)).filter(|after| *after > 0.0) {
        facts.add(&RUN_ENDED_AFTER, after, Place::Trace);
    }
    let starts_later = |index: &usize| {
        let starts = case.trace.spans.get(*index).and_then(|span| span.started_at_ns);
        case.tree.children(*index).is_empty() && starts.is_some_and(|start| start >= failed_at)
    };
    let steps = (root.index + 1..case.trace.spans.len()).filter(starts_later).count();
    if steps > 0 {
        facts.add(&STEPS_AFTER, steps, Place::Trace);
    }
}

fn add_parents(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let failed = parents_with_error(case.trace, case.tree, case.incidents, root);
    if let Some(outermost) = failed.last() {
        facts.add(&FAILED_PARENTS, failed.len(), Place::Trace);
        facts.add(&FAILED_ROOT, display_name(outermost), Place::Span(outermost));
    }
}

/// The ancestors that failed with the error of a step, innermost first. One that failed for another reason is none of them.
pub(in crate::analyze::embedded) fn parents_with_error<'t>(
    trace: &'t Trace,
    tree: &SpanTree,
    incidents: &[Incident<'_>],
    step: &Incident<'_>,
) -> Vec<&'t Span> {
    let failed = tree.self_and_ancestors(step.index).skip(1).filter_map(|index| Some((index, trace.spans.get(index)?)));
    let failed: Vec<(usize, &Span)> = failed.filter(|(_, span)| span.failed()).collect();
    let indexes: HashSet<usize> = failed.iter().map(|(index, _)| *index).take(PARENTS_COMPARED_MAX).collect();
    let others: HashSet<usize> = incidents
        .iter()
        .filter(|other| other.kind == IncidentKind::Error && indexes.contains(&other.index) && !is_same_error(step, other))
        .map(|other| other.index)
        .collect();
    failed.into_iter().filter(|(index, _)| !others.contains(index)).map(|(_, span)| span).collect()
}

fn add_recovered(case: &Case<'_, '_>, facts: &mut Facts) {
    let before = case.root.map_or(i64::MAX, |root| root.at_ns);
    let recovered = recovered_before(case.incidents, before);
    let Some(first) = recovered.first() else { return };
    facts.add(&RECOVERED_FAILURES, recovered.len(), Place::Trace);
    facts.add(&FIRST_RECOVERED_SPAN, display_name(first.span), Place::Span(first.span));
    let kinds: Vec<String> = recovered.iter().map(|incident| kind_of(incident)).collect();
    facts.add(&RECOVERED_ERRORS, listed(kinds.iter().map(String::as_str), NAMES_MAX), Place::Trace);
}

/// The failures up to a time from which the run recovered, in the order of time. A failed tool call counts once, also if its result is an error in the
/// next model call.
pub(in crate::analyze::embedded) fn recovered_before<'i, 't>(incidents: &'i [Incident<'t>], at_ns: i64) -> Vec<&'i Incident<'t>> {
    let recovered = || incidents.iter().filter(move |incident| incident.recovered && incident.at_ns <= at_ns);
    let any_own = recovered().any(is_own_failure);
    let mut found: Vec<&Incident<'t>> = recovered().filter(|incident| !any_own || is_own_failure(incident)).collect();
    found.sort_by_key(|incident| incident.at_ns);
    found.dedup_by_key(|incident| incident.index);
    found
}

/// Whether an incident is about its own span, and not about a tool result among the messages of a model call.
fn is_own_failure(incident: &Incident<'_>) -> bool {
    incident.kind != IncidentKind::ToolResult || incident.span.kind == SpanKind::Tool
}

/// What an incident is, in a word: its error type, its status, or how it was noticed.
fn kind_of(incident: &Incident<'_>) -> String {
    /// Characters of a message in place of a type.
    const MESSAGE_CHARS_MAX: usize = 36;
    let of_kind = || match incident.kind {
        IncidentKind::Error | IncidentKind::CannedAnswer | IncidentKind::Dialogue => "an error",
        IncidentKind::FinishReason => "a stopped answer",
        IncidentKind::Refusal => "a refusal",
        IncidentKind::EmptyOutput => "an empty answer",
        IncidentKind::EmptyRetrieval => "an empty search",
        IncidentKind::LowScores => "an irrelevant search",
        IncidentKind::ToolResult => "a tool error",
        IncidentKind::RepeatedCalls => "repeated calls",
        IncidentKind::AnnouncedStep => "a step that was only announced",
        IncidentKind::CopiedUnit => "an argument in another unit",
    };
    // The class of every error says nothing.
    let is_telling =
        |kind: &&str| !matches!(*kind, "" | "Error" | "Exception" | "error" | "ToolError" | "tool" | "tool_error" | "exception" | "_OTHER");
    let error_type = incident.error_type.as_deref().map(last_segment).filter(is_telling).map(str::to_owned);
    let is_error = matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult | IncidentKind::CannedAnswer);
    let message = || {
        quoted_message(incident)
            .filter(|(_, message)| is_error && message.starts_with(char::is_alphanumeric))
            .map(|(_, message)| format!("\"{}\"", shortened(&message, MESSAGE_CHARS_MAX)))
    };
    let status = || incident.status.map(|status| format!("HTTP {status}"));
    error_type.or_else(status).or_else(message).unwrap_or_else(|| of_kind().to_owned())
}
