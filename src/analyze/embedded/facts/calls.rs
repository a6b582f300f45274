//! The tool calls of a run with their results: from tool spans, or where there are none, from the messages of model calls.

use std::collections::{HashMap, HashSet};

use super::Case;
use crate::model::{Message, Span, SpanKind, ToolCall};

/// Calls of one run that are read at most.
const CALLS_MAX: usize = 5_000;

/// One tool call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'t> {
    pub(super) name: &'t str,
    /// As written, trimmed.
    pub(super) arguments: &'t str,
    /// `None` if it was not recorded.
    pub(super) result: Option<&'t str>,
    pub(super) span: &'t Span,
    /// Whether the span is the call itself, with the fields `tool.name` and `tool.arguments`.
    pub(super) has_span: bool,
}

/// The tool calls in the order of time.
pub(super) fn calls_of<'t>(case: &Case<'_, 't>) -> Vec<Call<'t>> {
    let spans = &case.trace.spans;
    // Two instrumentations may record the same call, one below the other.
    let is_outer = |index: usize| case.tree.parent(index).and_then(|parent| spans.get(parent)).is_none_or(|parent| parent.tool.is_none());
    let of_span = |(index, span): (usize, &'t Span)| {
        let tool = span.tool.as_ref().filter(|tool| !tool.name.is_empty() && is_outer(index))?;
        Some(Call { name: &tool.name, arguments: tool.arguments.trim(), result: tool.result.as_deref(), span, has_span: true })
    };
    let calls: Vec<Call<'t>> = spans.iter().enumerate().filter_map(of_span).take(CALLS_MAX).collect();
    if calls.is_empty() { calls_in_messages(spans) } else { calls }
}

/// The calls that models wrote in their messages. Each is repeated as history by later calls, with the same id.
fn calls_in_messages(spans: &[Span]) -> Vec<Call<'_>> {
    let is_model_call = |span: &&Span| span.kind == SpanKind::Llm;
    let any_model_call = spans.iter().any(|span| is_model_call(&span) && !span.output.is_empty());
    let mut results: HashMap<&str, &str> = HashMap::new();
    let mut calls: Vec<(&ToolCall, &Span)> = Vec::new();
    let mut ids = HashSet::new();
    for span in spans {
        for message in span.input.iter().chain(&span.output) {
            if let Some(id) = message.tool_call_id.as_deref().filter(|_| results.len() < CALLS_MAX) {
                results.entry(id).or_insert(&message.content);
            }
        }
        // A chat log has a span for each message.
        let messages: &[Message] = if any_model_call { if is_model_call(&span) { &span.output } else { &[] } } else { &span.input };
        for call in messages.iter().flat_map(|message| &message.tool_calls) {
            if calls.len() < CALLS_MAX && call.id.as_deref().is_none_or(|id| ids.insert(id)) {
                calls.push((call, span));
            }
        }
    }
    let mut read = Vec::with_capacity(calls.len());
    for (call, span) in calls {
        let result = call.id.as_deref().and_then(|id| results.get(id).copied());
        read.push(Call { name: call.name.as_str(), arguments: call.arguments.trim(), result, span, has_span: false });
    }
    read
}
