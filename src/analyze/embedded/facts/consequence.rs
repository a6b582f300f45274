//! What a failure led to: the other error with which the run ended, how often the same call failed, and how long the attempts took.

use std::collections::HashSet;

use super::super::incident::{Incident, IncidentKind};
use super::case::{duration_ms, milliseconds_between};
use super::error::{message_with_field, quoted_message, type_with_field};
use super::names::fact_names;
use super::step::attempts_at;
use super::{Case, Extractor, Facts, Place, display_name};
use crate::model::{Span, SpanKind, last_segment};

fact_names! {
    FINAL_ERROR_TYPE = "final_error_type", Text, "the type of the other error with which the run ended";
    FINAL_ERROR_MESSAGE = "final_error_message", Text, "the message of the other error with which the run ended";
    FINAL_ERROR_SPAN = "final_error_span", Text, "the step in which that error arose";
    FINAL_ERROR_AFTER = "final_error_after_ms", Milliseconds, "the time from the failure to that error";
    FAILED_CALLS = "failed_calls", Count, "the number of failed calls of the same tool or name";
    FAILED_CALLS_APART = "failed_calls_apart_ms", Milliseconds, "the time from the start of the first of the failed calls to that of the last";
    ATTEMPTS_DURATION = "attempts_duration_ms", Milliseconds, "the time from the start of the first attempt to the end of the last";
    LAST_ATTEMPT = "last_attempt_ms", Milliseconds, "the duration of the last attempt";
    ATTEMPTS_APART = "attempts_apart_ms", Milliseconds, "the time from the start of the first attempt to that of the last";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Errors that are compared with the one of the run.
const COMPARED_MAX: usize = 50;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    if let Some(last) = final_error(case, root) {
        if let Some((kind, field)) = type_with_field(last) {
            facts.add(&FINAL_ERROR_TYPE, kind, field.map_or(Place::Span(last.span), |field| Place::Field(last.span, field)));
        }
        if let Some((field, message)) = message_with_field(last) {
            facts.add(&FINAL_ERROR_MESSAGE, message, Place::Field(last.span, field));
        }
        facts.add(&FINAL_ERROR_SPAN, display_name(last.span), Place::Span(last.span));
        let ends = root.span.ended_at_ns.zip(last.span.ended_at_ns);
        if let Some(after) = ends.and_then(|(failed, ended)| milliseconds_between(failed, ended)) {
            facts.add(&FINAL_ERROR_AFTER, after, Place::Span(last.span));
        }
    }
    add_failed_calls(case, root, facts);
    let attempts = attempts_at(case, root);
    if let Some((first, last)) = attempts.first().zip(attempts.last()).filter(|_| attempts.len() > 1) {
        if let Some(duration) = duration_ms(last) {
            facts.add(&LAST_ATTEMPT, duration, Place::Span(last));
        }
        let ends = [(&ATTEMPTS_DURATION, last.ended_at_ns), (&ATTEMPTS_APART, last.started_at_ns)];
        for (name, end) in ends {
            if let Some(time) = first.started_at_ns.zip(end).and_then(|(start, end)| milliseconds_between(start, end)) {
                facts.add(name, time, Place::Trace);
            }
        }
    }
}

/// The error with which the run ended, if it is another one than that of the root cause: the step in which it arose.
fn final_error<'c, 't>(case: &Case<'c, 't>, root: &Incident<'t>) -> Option<&'c Incident<'t>> {
    let ancestors: HashSet<usize> = case.tree.self_and_ancestors(root.index).skip(1).collect();
    let is_later = |incident: &&&Incident<'_>| {
        incident.kind == IncidentKind::Error && !incident.recovered && incident.index != root.index && incident.at_ns >= root.at_ns
    };
    let mut later: Vec<&Incident<'t>> = case.incidents.iter().filter(|incident| is_later(&incident)).collect();
    later.sort_by_key(|incident| incident.at_ns);
    // The run ended with the error of its outermost span. In a trace without a tree, with that of its last step.
    let is_flat = case.tree.parent(root.index).is_none();
    let last_success = case.trace.spans.iter().rposition(|span| !span.failed());
    let outermost = later.iter().rev().filter(|incident| ancestors.contains(&incident.index)).min_by_key(|incident| incident.index);
    let ended_with =
        outermost.or_else(|| later.last().filter(|last| is_flat && last_success.is_none_or(|index| index < last.index))).copied()?;
    // A span that says nothing of its own.
    if quoted_message(ended_with).is_none() && ended_with.error_type.is_none() || is_same_error(root, ended_with) {
        return None;
    }
    let arose = later.iter().take(COMPARED_MAX).find(|incident| is_same_error(incident, ended_with));
    Some(arose.copied().unwrap_or(ended_with))
}

/// Whether two steps report one error: the same message, perhaps in that of the other, or without messages the same type.
pub(in crate::analyze::embedded) fn is_same_error(one: &Incident<'_>, other: &Incident<'_>) -> bool {
    // The texts of other kinds are answers, questions or documents.
    let is_error = |kind: IncidentKind| is_failure(kind) || kind == IncidentKind::CannedAnswer;
    if !is_error(one.kind) || !is_error(other.kind) {
        return false;
    }
    let kind_of = |incident: &Incident<'_>| incident.error_type.as_deref().map(|kind| last_segment(kind).to_owned());
    let kinds = kind_of(one).zip(kind_of(other));
    let message_of = |incident: &Incident<'_>| quoted_message(incident).map(|(_, message)| message.trim_matches('…').to_lowercase());
    match (message_of(one), message_of(other)) {
        (Some(one_says), Some(other_says)) => {
            // `Failed after 3 attempts. Last error: …`
            let last = |text: &str| text.split_once("last error: ").map_or(text, |(_, last)| last).to_owned();
            let (one_says, other_says) = (last(&one_says), last(&other_says));
            let is_wrapped = one_says.contains(&other_says) || other_says.contains(&one_says);
            // `status_code: 429, model_name: …` of a framework is `Error code: 429 - …` of the client below it.
            is_wrapped || one.status.is_some() && one.status == other.status
        }
        // One that only names its type, or nothing, reports what happened below.
        _ => kinds.is_none_or(|(one, other)| one == other),
    }
}

/// How often calls of the same tool, or model calls of the same name, failed.
fn add_failed_calls(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let tool = root.span.tool.as_ref().map(|tool| tool.name.as_str()).or(root.tool.as_deref()).filter(|name| !name.is_empty());
    let spans: Vec<&Span> = match tool {
        Some(tool) if case.is(&["unknown_tool"]) && root.span.kind != SpanKind::Tool => calls_requested(case, tool),
        Some(tool) => failed_spans(case, |incident| {
            let own = incident.span.tool.as_ref().map(|tool| tool.name.as_str());
            match own {
                Some(own) => own == tool,
                // Without spans of tools, the errors in the messages.
                None => root.span.tool.is_none() && incident.kind == IncidentKind::ToolResult && incident.tool.as_deref() == Some(tool),
            }
        }),
        None if matches!(root.span.kind, SpanKind::Llm | SpanKind::Retriever | SpanKind::Embedding) && root.kind == IncidentKind::Error => {
            failed_spans(case, |incident| {
                incident.kind == IncidentKind::Error && incident.span.kind == root.span.kind && incident.span.name == root.span.name
            })
        }
        None => return,
    };
    if spans.is_empty() {
        return;
    }
    facts.add(&FAILED_CALLS, spans.len(), Place::Trace);
    let starts = || spans.iter().filter_map(|span| span.started_at_ns);
    if let Some(apart) =
        starts().min().zip(starts().max()).filter(|_| spans.len() > 1).and_then(|(first, last)| milliseconds_between(first, last))
    {
        facts.add(&FAILED_CALLS_APART, apart, Place::Trace);
    }
}

/// The spans of the failures that are wanted. Of two nested spans of one call, the outer one counts.
fn failed_spans<'t>(case: &Case<'_, 't>, is_wanted: impl Fn(&Incident<'_>) -> bool) -> Vec<&'t Span> {
    let wanted = || case.incidents.iter().filter(|incident| is_failure(incident.kind) && is_wanted(incident));
    let indexes: HashSet<usize> = wanted().map(|incident| incident.index).collect();
    let mut known = HashSet::new();
    wanted()
        .filter(|incident| {
            !case.tree.parent(incident.index).is_some_and(|parent| indexes.contains(&parent)) && known.insert(incident.index)
        })
        .map(|incident| incident.span)
        .collect()
}

fn is_failure(kind: IncidentKind) -> bool {
    matches!(kind, IncidentKind::Error | IncidentKind::ToolResult)
}

/// The model calls that requested a tool, once for each call.
fn calls_requested<'t>(case: &Case<'_, 't>, tool: &str) -> Vec<&'t Span> {
    let mut ids = HashSet::new();
    let mut spans = Vec::new();
    for span in case.trace.spans.iter().filter(|span| span.kind == SpanKind::Llm) {
        for call in span.output.iter().flat_map(|message| &message.tool_calls).filter(|call| call.name == tool) {
            // Nested spans of one model call have the same id.
            if call.id.as_deref().is_none_or(|id| ids.insert(id)) {
                spans.push(span);
            }
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, ToolUse, Trace};

    /// A span with its id, parent, kind, start and end in seconds, and error type with message.
    type Row = (&'static str, Option<&'static str>, SpanKind, i64, i64, Option<(&'static str, &'static str)>);

    fn facts_of(rows: &[Row], root: usize, label: &str) -> Facts {
        let span = |(id, parent, kind, start, end, error): &Row| Span {
            span_id: (*id).into(),
            parent_span_id: parent.map(str::to_owned),
            name: id.trim_end_matches(char::is_numeric).into(),
            kind: *kind,
            started_at_ns: Some(start * 1_000_000_000),
            ended_at_ns: Some(end * 1_000_000_000),
            status: if error.is_some() { Status::Error } else { Status::Ok },
            status_message: error.map(|(_, message)| message.to_owned()),
            error_type: error.map(|(kind, _)| kind.to_owned()),
            tool: (*kind == SpanKind::Tool).then(|| ToolUse { name: id.trim_end_matches(char::is_numeric).into(), ..ToolUse::default() }),
            ..Span::default()
        };
        let trace = Trace { spans: rows.iter().map(span).collect(), ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let failed = trace.spans.iter().enumerate().filter(|(_, span)| span.failed());
        let incidents: Vec<Incident<'_>> = failed
            .map(|(index, span)| {
                let mut incident = Incident::new(&trace, index, IncidentKind::Error).unwrap();
                incident.error_type.clone_from(&span.error_type);
                incident.texts.push(("status_message".into(), span.status_message.as_deref().unwrap_or_default()));
                incident
            })
            .collect();
        let root = incidents.iter().find(|incident| incident.index == root);
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &incidents, root, Label::parse(label).unwrap()), &mut facts);
        facts
    }

    const OVERLOADED: Option<(&str, &str)> = Some(("OverloadedError", "Error code: 529 - overloaded"));

    #[test]
    fn the_run_may_end_with_another_error_than_the_first() {
        use SpanKind::{Agent, Chain, Llm};
        let none = Some(("TypeError", "'NoneType' object is not subscriptable"));
        let rows: [Row; 5] = [
            ("run", None, Agent, 0, 30, none),
            ("chat1", Some("run"), Llm, 1, 2, OVERLOADED),
            ("chat2", Some("run"), Llm, 4, 5, OVERLOADED),
            ("render", Some("run"), Chain, 6, 7, None),
            ("publish", Some("run"), Chain, 8, 29, none),
        ];
        let facts = facts_of(&rows, 1, "provider_error/provider_overloaded");
        for (name, expected) in [
            (&FINAL_ERROR_TYPE, "TypeError"),
            (&FINAL_ERROR_MESSAGE, "'NoneType' object is not subscriptable"),
            (&FINAL_ERROR_SPAN, "publish"),
            (&FINAL_ERROR_AFTER, "27000"),
            (&FAILED_CALLS, "2"),
            (&ATTEMPTS_DURATION, "4000"),
            (&ATTEMPTS_APART, "3000"),
        ] {
            assert_eq!(facts.get(name), Some(expected), "{}", name.name);
        }
    }

    #[test]
    fn an_error_that_reached_the_run_is_no_other_one() {
        use SpanKind::{Agent, Llm};
        for outer in [
            ("OverloadedError", "Error code: 529 - overloaded"),
            ("AgentError", "step 2 failed: Error code: 529 - overloaded"),
            ("OverloadedError", ""),
        ] {
            let rows: [Row; 2] = [("run", None, Agent, 0, 9, Some(outer)), ("chat", Some("run"), Llm, 1, 2, OVERLOADED)];
            let facts = facts_of(&rows, 1, "provider_error/provider_overloaded");
            assert_eq!((facts.get(&FINAL_ERROR_SPAN), facts.get(&FAILED_CALLS)), (None, Some("1")), "{outer:?}");
        }
    }

    #[test]
    fn a_run_that_went_on_after_a_failed_step_did_not_end_with_it() {
        use SpanKind::{Llm, Tool};
        let (first, second) = (Some(("KeyError", "'A-17'")), Some(("FileNotFoundError", "no such file: missing.py")));
        let steps = [("check", None, Tool, 0, 1, first), ("read", None, Tool, 2, 3, second)];
        let answer: Row = ("chat", None, Llm, 4, 5, None);
        assert_eq!(facts_of(&steps, 0, "tool_failure/tool_exception").get(&FINAL_ERROR_SPAN), Some("read"));
        let rows: Vec<Row> = steps.into_iter().chain([answer]).collect();
        assert_eq!(facts_of(&rows, 0, "tool_failure/tool_exception").get(&FINAL_ERROR_SPAN), None);
    }

    #[test]
    fn the_failed_calls_of_one_tool_are_counted() {
        use SpanKind::{Agent, Tool};
        let failed = Some(("HTTPError", "429 Too Many Requests"));
        let rows: [Row; 5] = [
            ("run", None, Agent, 0, 30, None),
            ("search1", Some("run"), Tool, 1, 2, failed),
            ("fetch1", Some("run"), Tool, 3, 4, failed),
            ("search2", Some("run"), Tool, 5, 6, None),
            ("search3", Some("run"), Tool, 8, 9, failed),
        ];
        let facts = facts_of(&rows, 1, "tool_failure/tool_rate_limited");
        assert_eq!((facts.get(&FAILED_CALLS), facts.get(&FAILED_CALLS_APART)), (Some("2"), Some("7000")));
    }
}
