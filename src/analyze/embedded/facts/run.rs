//! Facts of the run as a whole: its steps, its calls, and how long it took.

use super::super::answers;
use super::case::milliseconds_between;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    SPANS = "spans", Count, "the number of spans of the trace";
    MODEL_CALLS = "model_calls", Count, "the number of model calls";
    TOOL_CALLS = "tool_calls", Count, "the number of tool calls";
    SEARCHES = "searches", Count, "the number of searches";
    TRACE_DURATION = "trace_duration_ms", Milliseconds, "the duration of the run";
    UNFINISHED_SPANS = "unfinished_spans", Count, "the number of spans without an end time";
    LAST_STEP = "last_step", Text, "the step that started last";
    FINAL_ANSWER = "final_answer", Text, "the start of the final answer";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let spans = &case.trace.spans;
    facts.add(&SPANS, spans.len(), Place::Trace);
    for (name, kind) in [(&MODEL_CALLS, SpanKind::Llm), (&TOOL_CALLS, SpanKind::Tool), (&SEARCHES, SpanKind::Retriever)] {
        // Two instrumentations may record the same call, one below the other. A tool may call another one.
        let is_outer = |(index, span): &(usize, &Span)| {
            let parent = case.tree.parent(*index).and_then(|parent| spans.get(parent)).filter(|parent| parent.kind == kind);
            parent.is_none_or(|parent| kind == SpanKind::Tool && tool_name(parent) != tool_name(span))
        };
        let count = spans.iter().enumerate().filter(|(_, span)| span.kind == kind).filter(is_outer).count();
        if count > 0 {
            facts.add(name, count, Place::Trace);
        }
    }
    add_answer(case, facts);
    let end = spans.iter().filter_map(|span| span.ended_at_ns).max();
    if let Some(duration) = case.trace.started_at_ns().zip(end).and_then(|(start, end)| milliseconds_between(start, end)) {
        facts.add(&TRACE_DURATION, duration, Place::Trace);
    }
    if case.tree.unfinished > 0 {
        facts.add(&UNFINISHED_SPANS, case.tree.unfinished, Place::Trace);
    }
    let is_leaf = |(index, _): &(usize, &Span)| case.tree.children(*index).is_empty();
    if let Some((_, last)) = spans.iter().enumerate().rev().find(is_leaf).filter(|_| spans.len() > 1) {
        facts.add(&LAST_STEP, display_name(last), Place::Span(last));
    }
}

fn tool_name(span: &Span) -> Option<&str> {
    span.tool.as_ref().map(|tool| tool.name.as_str())
}

/// The start of the final answer of a run without a failure, or of one that went on after a failed tool call or search.
fn add_answer(case: &Case<'_, '_>, facts: &mut Facts) {
    const CHARS_MAX: usize = 80;
    const CHARS_MAX_AFTER_FAILURE: usize = 200;
    let is_healthy = case.is(&["no_failure_found"]);
    if !is_healthy && !matches!(case.label.category(), "tool_failure" | "tool_misuse" | "retrieval_failure" | "runaway_execution") {
        return;
    }
    let Some(answer) = answers::final_answer(case.trace, case.tree) else { return };
    let Some(span) = case.trace.spans.get(answer.index) else { return };
    let follows = answer.is_complete && !answer.root_failed && case.root.is_some_and(|root| root.index != answer.index);
    let is_later = case.root.is_none_or(|root| span.ended_at_ns.is_none_or(|end| end >= root.at_ns));
    if !(is_healthy || follows && is_later) {
        return;
    }
    let words: String = super::super::text::clip(answer.text).split_whitespace().take(40).collect::<Vec<_>>().join(" ");
    facts.add(&FINAL_ANSWER, shortened(&words, if is_healthy { CHARS_MAX } else { CHARS_MAX_AFTER_FAILURE }), Place::Span(span));
}

#[cfg(test)]
mod tests {
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, ToolUse, Trace};

    fn span(id: &str, parent: &str, kind: SpanKind, tool: &str) -> Span {
        let tool = (!tool.is_empty()).then(|| ToolUse { name: tool.into(), ..ToolUse::default() });
        Span {
            span_id: id.into(),
            parent_span_id: (!parent.is_empty()).then(|| parent.into()),
            name: id.into(),
            kind,
            tool,
            ..Span::default()
        }
    }

    fn fact(spans: Vec<Span>, name: &'static super::super::FactName) -> Option<String> {
        let trace = Trace { spans, ..Trace::default() };
        let (tree, mut facts) = (SpanTree::new(&trace), Facts::default());
        add(&Case::new(&trace, &tree, &[], None, Label::NO_FAILURE_FOUND), &mut facts);
        facts.get(name).map(str::to_owned)
    }

    #[test]
    fn a_call_recorded_by_two_instrumentations_counts_once() {
        let agent = span("a", "", SpanKind::Agent, "");
        let calls = [("b", "a"), ("c", "b"), ("d", "a")].map(|(id, parent)| span(id, parent, SpanKind::Llm, ""));
        assert_eq!(fact([vec![agent.clone()], calls.into()].concat(), &MODEL_CALLS).as_deref(), Some("2"));
        let tools = [("b", "a", "search"), ("c", "b", "search")].map(|(id, parent, tool)| span(id, parent, SpanKind::Tool, tool));
        assert_eq!(fact([vec![agent.clone()], tools.into()].concat(), &TOOL_CALLS).as_deref(), Some("1"));
        assert_eq!(fact(vec![agent], &TOOL_CALLS), None);
    }

    #[test]
    fn a_tool_that_calls_another_one_is_two_calls() {
        let spans = vec![span("a", "", SpanKind::Tool, "search"), span("b", "a", SpanKind::Tool, "fetch")];
        assert_eq!(fact(spans, &TOOL_CALLS).as_deref(), Some("2"));
    }
}
