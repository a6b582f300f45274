//! The columns of a pattern that are read from its trace: the failed step and all incidents. Those of the run as a whole are in `deployment`, the spans around
//! the failed one in `span_tree`.

use std::collections::{HashMap, HashSet};

use super::diagnosis::Knowledge;
use super::facts::{Facts, duration_ms, is_same_error, milliseconds_between, step};
use super::incident::{Incident, IncidentKind};
use super::signals::error_type;
use super::totals::nearest_model_call;
use super::tree::SpanTree;
use crate::limits::{INCIDENTS_LISTED_MAX, INCIDENTS_NAMED_MAX};
use crate::model::{FailedStep, IncidentSummary, Span, SpanKind, Trace};

/// Errors of one trace that are compared with those of their parents.
const ERRORS_COMPARED_MAX: usize = 1_000;

/// Ancestors among which the failed ones are searched.
const ANCESTORS_READ_MAX: usize = 50;

/// The step that failed, from its incident.
pub(super) fn step_of_incident(trace: &Trace, incident: &Incident<'_>, facts: &Facts) -> FailedStep {
    let failed = incident.step.unwrap_or(incident.span);
    let of_span = step_of_span(trace, incident.span);
    FailedStep {
        tool_name: failed.tool.as_ref().map(|tool| tool.name.clone()).or_else(|| incident.tool.clone()).filter(|name| !name.is_empty()),
        model_name: failed.model.clone().or(of_span.model_name),
        provider: failed.provider.clone().or(of_span.provider),
        error_type: incident.error_type.clone(),
        http_status: incident.status,
        retries: facts.get(&step::RETRIES).and_then(|retries| retries.parse().ok()),
        ..of_span
    }
}

/// The indexes of the spans whose error is that of a span below them.
fn propagated(tree: &SpanTree, incidents: &[Incident<'_>]) -> HashSet<usize> {
    /// Failed parents with which an error is compared: the nearest ones, since a wrapper may add words of its own.
    const PARENTS_COMPARED_MAX: usize = 3;
    let is_error = |incident: &&Incident<'_>| incident.kind == IncidentKind::Error;
    let errors: HashMap<usize, &Incident<'_>> =
        incidents.iter().filter(is_error).take(ERRORS_COMPARED_MAX).map(|incident| (incident.index, incident)).collect();
    let mut propagated = HashSet::new();
    for incident in errors.values() {
        let above = tree.self_and_ancestors(incident.index).skip(1).take(ANCESTORS_READ_MAX);
        let failed = above.filter_map(|index| errors.get(&index)).take(PARENTS_COMPARED_MAX);
        propagated.extend(failed.filter(|parent| is_same_error(incident, parent)).map(|parent| parent.index));
    }
    propagated
}

/// Whether an incident is the result of a tool in the messages of a model call, and the tool or its call is an incident itself.
fn repeated_in_messages<'i>(incidents: &'i [Incident<'_>]) -> impl Fn(&Incident<'_>) -> bool + 'i {
    let is_result = |incident: &Incident<'_>| {
        let is_input = incident.texts.first().is_some_and(|(field, _)| field.starts_with("input"));
        incident.kind == IncidentKind::ToolResult && incident.span.kind != SpanKind::Tool && is_input
    };
    let name = |incident: &'i Incident<'_>| incident.tool.as_deref().or_else(|| Some(incident.span.tool.as_ref()?.name.as_str()));
    let reported: HashSet<&str> = incidents.iter().filter(|incident| !is_result(incident)).filter_map(name).collect();
    move |incident| is_result(incident) && incident.tool.as_deref().is_some_and(|tool| reported.contains(tool))
}

/// The step that failed, from its span alone.
pub(in crate::analyze) fn step_of_span(trace: &Trace, span: &Span) -> FailedStep {
    let call = nearest_model_call(trace, span);
    FailedStep {
        failed_span_id: Some(span.span_id.clone()),
        failed_span_name: Some(span.name.clone()).filter(|name| !name.is_empty()),
        failed_span_kind: Some(span.kind.as_str().to_owned()),
        tool_name: span.tool.as_ref().map(|tool| tool.name.clone()).filter(|name| !name.is_empty()),
        model_name: call.and_then(|call| call.model.clone()),
        provider: call.and_then(|call| call.provider.clone()),
        error_type: error_type(span).map(|(kind, _)| kind),
        http_status: None,
        duration_ms: duration_ms(span),
        retries: None,
    }
}

/// The columns of a trace in which no step failed: the model of its last call.
pub(super) fn last_model_call(trace: &Trace) -> FailedStep {
    let call = trace.spans.iter().rev().find(|span| span.kind == SpanKind::Llm && span.model.is_some());
    FailedStep {
        model_name: call.and_then(|call| call.model.clone()),
        provider: call.and_then(|call| call.provider.clone()),
        ..FailedStep::default()
    }
}

/// Every incident in the order of time, with the label of each of the first ones. An error that only reached a parent span is no other incident.
pub(super) fn incidents(trace: &Trace, tree: &SpanTree, incidents: &[Incident<'_>], knowledge: &Knowledge) -> Vec<IncidentSummary> {
    let propagated = propagated(tree, incidents);
    let is_propagated = |incident: &Incident<'_>| incident.kind == IncidentKind::Error && propagated.contains(&incident.index);
    let is_repeated = repeated_in_messages(incidents);
    let mut sorted: Vec<&Incident<'_>> = incidents.iter().filter(|incident| !is_propagated(incident) && !is_repeated(incident)).collect();
    sorted.sort_by_key(|incident| incident.at_ns);
    let start = trace.started_at_ns();
    let summary = |(position, incident): (usize, &Incident<'_>)| IncidentSummary {
        position: position as u64 + 1,
        label: (position < INCIDENTS_NAMED_MAX).then(|| knowledge.label_of(incident)).flatten().map(|label| label.to_string()),
        span_id: incident.span.span_id.clone(),
        span_name: incident.span.name.clone(),
        recovered: incident.recovered,
        offset_ms: start.filter(|_| incident.at_ns != i64::MAX).and_then(|start| milliseconds_between(start, incident.at_ns)),
    };
    sorted.into_iter().enumerate().take(INCIDENTS_LISTED_MAX).map(summary).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;

    #[test]
    fn an_error_that_only_reached_its_parents_is_one_incident() {
        let span = |id: &str, parent: Option<&str>, end: i64, message: &str| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            name: id.into(),
            status: Status::Error,
            status_message: Some(message.into()),
            started_at_ns: Some(0),
            ended_at_ns: Some(end),
            ..Span::default()
        };
        for (root, expected) in [
            ("'NoneType' object is not subscriptable", &["chat", "publish"][..]),
            ("RuntimeError: run failed: Error code: 529 - overloaded", &["chat", "publish"]),
            ("the digest is late", &["chat", "publish", "run"]),
        ] {
            let spans = vec![
                span("run", None, 9, root),
                span("agent", Some("run"), 3, "Error code: 529 - overloaded"),
                span("chat", Some("agent"), 2, "Error code: 529 - overloaded"),
                span("publish", Some("run"), 8, "TypeError: 'NoneType' object is not subscriptable"),
            ];
            let trace = Trace { spans, ..Trace::default() };
            let found: Vec<Incident<'_>> = (0..trace.spans.len())
                .map(|index| {
                    let mut incident = Incident::new(&trace, index, IncidentKind::Error).unwrap();
                    incident.texts.push(("status_message".into(), trace.spans[index].status_message.as_deref().unwrap()));
                    incident
                })
                .collect();
            let knowledge = Knowledge::shipped().unwrap();
            let listed = incidents(&trace, &SpanTree::new(&trace), &found, &knowledge);
            let names: Vec<&str> = listed.iter().map(|incident| incident.span_name.as_str()).collect();
            assert_eq!(names, expected, "{root}");
        }
    }
}
