//! How often the model got the error of a failed call back: whether an action that returns it would change anything.

use std::collections::HashSet;

use super::super::incident::{Incident, IncidentKind};
use super::find::{capture, expressions};
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    ERROR_RETURNED = "error_returned", Count, "how often the model got an error of the failed tool, or of its own output, back";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Failed calls that are read.
const CALLS_READ_MAX: usize = 200;

expressions! {
    // Pydantic AI, Instructor, the Vercel AI SDK and LangChain, when the model did not correct its output.
    OUTPUT_RETRIES = r"(?i)\bexceeded (?:the )?max(?:imum)? (?:[A-Za-z]+ ){0,2}retries \((\d{1,3})\)|\bretries exhausted after (\d{1,3})|\bafter (\d{1,3}) (?:re-?asks|repair attempts|validation attempts)\b";
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    if matches!(case.label.category(), "output_format" | "tool_misuse") {
        for source in case.error_texts() {
            if let Some(count) = capture(&OUTPUT_RETRIES, source.text).filter(|count| *count != "0") {
                facts.add(&ERROR_RETURNED, count, source.place());
            }
        }
    }
    let is_about_tool = matches!(case.label.category(), "tool_failure" | "tool_misuse" | "environment_error" | "retrieval_failure")
        || case.is(&["handoff_failed"]);
    let Some(tool) = tool_of(root).filter(|_| is_about_tool) else { return };
    let mut known = HashSet::new();
    let alike = case.incidents.iter().filter(|incident| {
        let is_failure = matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult);
        is_failure && tool_of(incident) == Some(tool) && known.insert(incident.index)
    });
    let (of_spans, of_messages): (Vec<_>, Vec<_>) = alike.take(CALLS_READ_MAX).partition(|incident| incident.span.kind == SpanKind::Tool);
    // The error of a span stands in the messages of the model too, and again in each later call.
    let read = if of_spans.is_empty() { of_messages } else { of_spans };
    let returned = read.into_iter().filter(|incident| was_returned(case, incident)).count();
    if returned > 0 {
        facts.add(&ERROR_RETURNED, returned, Place::Trace);
    }
}

fn tool_of<'i>(incident: &'i Incident<'_>) -> Option<&'i str> {
    let own = incident.span.tool.as_ref().map(|tool| tool.name.as_str());
    own.or(incident.tool.as_deref()).filter(|name| !name.is_empty())
}

/// Whether a model read the error: it stands among the messages of a call, or the agent that called the tool went on with another model call.
fn was_returned(case: &Case<'_, '_>, incident: &Incident<'_>) -> bool {
    if incident.span.kind != SpanKind::Tool {
        return incident.kind == IncidentKind::ToolResult && incident.texts.iter().any(|(field, _)| field.starts_with("input"));
    }
    let Some(ended) = incident.span.ended_at_ns.or(incident.span.started_at_ns) else { return false };
    let agent = agent_above(case, incident.index);
    let is_later_call = |(index, span): (usize, &Span)| {
        span.kind == SpanKind::Llm && span.started_at_ns.is_some_and(|start| start >= ended) && agent_above(case, index) == agent
    };
    case.trace.spans.iter().enumerate().skip(incident.index).any(is_later_call)
}

/// The agent that a step belongs to, or the root of the trace.
fn agent_above(case: &Case<'_, '_>, index: usize) -> Option<usize> {
    const ANCESTORS_READ_MAX: usize = 50;
    let above = || case.tree.self_and_ancestors(index).skip(1).take(ANCESTORS_READ_MAX);
    let is_agent = |index: &usize| case.trace.spans.get(*index).is_some_and(|span| span.kind == SpanKind::Agent);
    above().find(is_agent).or_else(|| above().last())
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, ToolUse, Trace};

    /// The fact for spans with their parent, kind and start; the first failed call is the root cause. Each takes a second.
    fn returned(rows: &[(Option<&str>, SpanKind, bool)], message: &str, label: &str) -> Option<String> {
        let span = |(at, (parent, kind, is_ok)): (i64, &(Option<&str>, SpanKind, bool))| Span {
            span_id: at.to_string(),
            parent_span_id: parent.map(str::to_owned),
            kind: *kind,
            started_at_ns: Some(at * 1_000_000_000),
            ended_at_ns: Some((at + 1) * 1_000_000_000),
            status: if *is_ok { Status::Ok } else { Status::Error },
            status_message: (!is_ok).then(|| message.to_owned()),
            tool: (*kind == SpanKind::Tool).then(|| ToolUse { name: "book".into(), ..ToolUse::default() }),
            ..Span::default()
        };
        let trace = Trace { spans: (0..).zip(rows).map(span).collect(), ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let failed = trace.spans.iter().enumerate().filter(|(_, span)| span.failed());
        let incidents: Vec<Incident<'_>> = failed.filter_map(|(index, _)| Incident::new(&trace, index, IncidentKind::Error)).collect();
        let case = Case::new(&trace, &tree, &incidents, incidents.first(), Label::parse(label).unwrap());
        let mut facts = Facts::default();
        add(&case, &mut facts);
        facts.get(&ERROR_RETURNED).map(str::to_owned)
    }

    #[test]
    fn an_error_is_returned_if_the_same_agent_calls_the_model_again() {
        use SpanKind::{Agent, Llm, Tool};
        let failure = "tool_failure/tool_exception";
        let agent = (None, Agent, true);
        let own = |kind, is_ok| (Some("0"), kind, is_ok);
        assert_eq!(returned(&[agent, own(Llm, true), own(Tool, false)], "no", failure), None);
        assert_eq!(returned(&[agent, own(Tool, false), own(Llm, true), own(Tool, false)], "no", failure).as_deref(), Some("1"));
        assert_eq!(
            returned(&[agent, own(Tool, false), own(Llm, true), own(Tool, false), own(Llm, true)], "no", failure).as_deref(),
            Some("2")
        );
        // A model call of another agent.
        assert_eq!(returned(&[agent, own(Tool, false), (None, Agent, true), (Some("2"), Llm, true)], "no", failure), None);
    }

    #[test]
    fn a_framework_says_how_often_it_returned_an_invalid_output() {
        let chain = [(None, SpanKind::Chain, false)];
        for (message, expected) in [
            ("Exceeded maximum output retries (2)", Some("2")),
            ("Exceeded maximum retries (1) for output validation", Some("1")),
            ("Exceeded max retries (0)", None),
            ("retries exhausted after 3 attempts", Some("3")),
            ("the output is invalid", None),
        ] {
            assert_eq!(returned(&chain, message, "output_format/schema_violation").as_deref(), expected, "{message}");
        }
    }

    #[test]
    fn an_error_in_the_history_of_later_calls_counts_once() {
        let tool = Some(ToolUse { name: "book".into(), ..ToolUse::default() });
        let span =
            |id: &str, kind, at: i64| Span { span_id: id.into(), kind, started_at_ns: Some(at), ended_at_ns: Some(at), ..Span::default() };
        let failed = Span { tool, status: Status::Error, status_message: Some("no seat".into()), ..span("0", SpanKind::Tool, 1) };
        let trace = Trace { spans: vec![failed, span("1", SpanKind::Llm, 2), span("2", SpanKind::Llm, 3)], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let in_message = |index| {
            let mut incident = Incident::new(&trace, index, IncidentKind::ToolResult).unwrap();
            incident.tool = Some("book".into());
            incident.texts.push(("input[1].content".into(), "no seat"));
            incident
        };
        let incidents = vec![Incident::new(&trace, 0, IncidentKind::Error).unwrap(), in_message(1), in_message(2)];
        let label = Label::parse("tool_failure/tool_exception").unwrap();
        let case = Case::new(&trace, &tree, &incidents, incidents.first(), label);
        let mut facts = Facts::default();
        add(&case, &mut facts);
        assert_eq!(facts.get(&ERROR_RETURNED), Some("1"));
    }
}
