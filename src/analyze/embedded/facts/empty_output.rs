//! Facts of an empty answer: how long the prompt was, and which stop sequences the request had. `model_call` has the tokens and the finish reason.

use super::super::incident::IncidentKind;
use super::call::spans_before;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    INPUT_MESSAGES = "input_messages", Count, "the number of input messages";
    LAST_MESSAGE_ROLE = "last_message_role", Text, "the role of the last input message";
    LAST_MESSAGE_BYTES = "last_message_bytes", Bytes, "the size of the last input message";
    STOP_SEQUENCES = "stop_sequences", Text, "the stop sequences of the request";
    REQUESTED_TOOLS = "requested_tools", Count, "the number of tool calls beside the empty answer";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    // A provider that cannot parse an answer or a tool call ends it with a reason of its own, and without content.
    let is_stopped = case.root.is_some_and(|incident| incident.kind == IncidentKind::FinishReason)
        && case.is(&["malformed_json", "invalid_tool_arguments", "unknown_tool"]);
    let Some(span) = case.span().filter(|_| is_stopped || case.is(&["empty_output"])) else { return };
    let is_call = |span: &&Span| span.kind == SpanKind::Llm;
    // An error about an empty answer is raised by the step around the call.
    let has_call = span.kind == SpanKind::Llm || !span.finish_reasons.is_empty() || span.usage.output.is_some();
    let Some(call) = Some(span).filter(|_| has_call).or_else(|| spans_before(case).rev().find(is_call)) else { return };
    if let Some(last) = call.input.last() {
        facts.add(&INPUT_MESSAGES, call.input.len(), Place::Span(call));
        facts.add(&LAST_MESSAGE_ROLE, &last.role, Place::Span(call));
        facts.add(&LAST_MESSAGE_BYTES, last.content.len(), Place::Span(call));
    }
    if let Some((key, sequences)) = stop_sequences(call) {
        facts.add(&STOP_SEQUENCES, shortened(sequences, 80), Place::Field(call, &format!("attributes.{key}")));
    }
    let calls: usize = call.output.iter().map(|message| message.tool_calls.len()).sum();
    if calls > 0 {
        facts.add(&REQUESTED_TOOLS, calls, Place::Span(call));
    }
}

/// The stop sequences of the request: `gen_ai.request.stop_sequences`, `llm.chat.stop_sequences`.
fn stop_sequences(span: &Span) -> Option<(&str, &str)> {
    let is_stop = |key: &str| {
        let last = key.rsplit('.').next().unwrap_or(key).to_ascii_lowercase();
        matches!(last.as_str(), "stop_sequences" | "stopsequences" | "stop" | "stop_words")
    };
    let is_set = |value: &str| !matches!(value.trim(), "" | "null" | "None" | "[]" | "()");
    let mut found = span.attributes.iter().filter(|attribute| is_stop(&attribute.key) && is_set(&attribute.value));
    found.next().map(|attribute| (attribute.key.as_str(), attribute.value.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    fn span(key: &str, value: &str) -> Span {
        Span { attributes: vec![Attribute { key: key.into(), value: value.into() }], ..Span::default() }
    }

    #[test]
    fn stop_sequences_are_found_by_the_names_of_conventions() {
        assert!(stop_sequences(&span("gen_ai.request.stop_sequences", "[\"\\n\"]")).is_some());
        assert!(stop_sequences(&span("llm.chat.stop_sequences", "END")).is_some() && stop_sequences(&span("x.stop", "[]")).is_none());
    }
}
