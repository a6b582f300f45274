//! The results that the run had before a failure: of tools, and of other steps that gave structured data.

use super::call::spans_before;
use super::records::{Record, records_in};
use super::{Case, display_name};
use crate::model::{Span, SpanKind};

/// Results that are read, the last ones before the failure.
const RESULTS_MAX: usize = 48;
/// Bytes of all results that are read.
const BYTES_MAX: usize = 1024 * 1024;
/// Spans that are searched for results.
const SPANS_MAX: usize = 2_000;

/// A result with its records.
#[derive(Debug)]
pub(super) struct EarlierResult<'t> {
    pub(super) span: &'t Span,
    /// The field with its text.
    pub(super) field: String,
    /// The tool or step.
    pub(super) tool: String,
    pub(super) text: &'t str,
    pub(super) records: Vec<Record>,
}

impl EarlierResult<'_> {
    /// Where a value stands: in the field, if it is written there as it is.
    pub(super) fn place(&self, value: &str) -> super::Place<'_> {
        if self.text.contains(value) { super::Place::Field(self.span, &self.field) } else { super::Place::Span(self.span) }
    }
}

/// The results before the failure in the order of time.
pub(super) fn earlier_results<'t>(case: &Case<'_, 't>) -> Vec<EarlierResult<'t>> {
    let mut budget = BYTES_MAX;
    let mut results: Vec<EarlierResult<'t>> = Vec::new();
    let mut push = |span: &'t Span, field: String, tool: String, text: &'t str| {
        let is_known = results.iter().any(|known| known.text == text);
        if results.len() < RESULTS_MAX && text.len() <= budget && !is_known && text.contains(['{', '[', ',', '|']) {
            budget -= text.len();
            results.push(EarlierResult { span, field, tool, text, records: records_in(text) });
        }
    };
    for span in spans_before(case).rev().take(SPANS_MAX) {
        let is_step = matches!(span.kind, SpanKind::Tool | SpanKind::Retriever | SpanKind::Chain | SpanKind::Other | SpanKind::Guardrail);
        if let Some((tool, result)) = span.tool.as_ref().and_then(|tool| Some((tool, tool.result.as_deref()?))) {
            let name = if tool.name.is_empty() { display_name(span).into_owned() } else { tool.name.clone() };
            push(span, "tool.result".to_owned(), name, result);
        } else if let Some(text) = span.output_text.as_deref().filter(|_| is_step) {
            push(span, "output_text".to_owned(), display_name(span).into_owned(), text);
        }
    }
    // Traces without spans of tools have their results in the messages of the next model call.
    let has_input = |span: &&Span| span.input.iter().any(|message| message.tool_call_id.is_some());
    let last = case.span().filter(has_input).or_else(|| spans_before(case).rev().take(SPANS_MAX).find(has_input));
    for (index, message) in last.into_iter().flat_map(|span| span.input.iter().enumerate().rev()) {
        let (Some(span), Some(id)) = (last, message.tool_call_id.as_deref()) else { continue };
        let mut calls = span.input.iter().flat_map(|message| &message.tool_calls);
        let name = calls.find(|call| call.id.as_deref() == Some(id)).map_or("a tool", |call| call.name.as_str());
        push(span, format!("input[{index}].content"), name.to_owned(), &message.content);
    }
    results.reverse();
    results
}
