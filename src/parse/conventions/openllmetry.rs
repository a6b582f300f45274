//! OpenLLMetry, the convention of Traceloop's SDK: workflow spans, and the indexed messages of its versions before 0.50.
//!
//! Specification: <https://www.traceloop.com/docs/openllmetry/contributing/semantic-conventions>; checked against versions 0.40 and 0.62.
//!
//! ```json
//! {"traceloop.span.kind": "tool", "traceloop.entity.name": "lookup", "traceloop.entity.input": "{\"args\": [], \"kwargs\": {\"id\": 17}}"}
//! {"llm.request.type": "chat", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "Where is A-17?",
//!  "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "tool_calls",
//!  "gen_ai.completion.0.tool_calls.0.name": "lookup", "llm.request.functions.0.name": "lookup"}
//! ```
//!
//! Since 0.50 model calls follow [`gen_ai`](super::gen_ai).
//!
//! Quirks of real exporters:
//! - `traceloop.entity.output` is JSON even for a text, which therefore is in quotes (0.40 and 0.62).
//! - The same span may carry `gen_ai.operation.name`, which is more precise than `traceloop.span.kind` (0.62).
//! - A tool's `traceloop.entity.input` wraps the arguments in `args` and `kwargs`.

use super::indexed::split_index;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The `OpenLLMetry` convention; see the [module docs](self).
pub(super) struct OpenLlmetry;

impl Convention for OpenLlmetry {
    fn name(&self) -> &'static str {
        "openllmetry"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["traceloop", "gen_ai", "llm"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for OpenLlmetry {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let fields = &mut span.fields;
        match key {
            "traceloop.span.kind" => {
                if let Some(kind) = value.as_str().and_then(span_kind) {
                    span.set_kind(Rank::Low, kind);
                }
            }
            "traceloop.entity.input" => fields.input_text = value.into_text().map(unquoted),
            "traceloop.entity.output" => fields.output_text = value.into_text().map(unquoted),
            "llm.request.type" => {
                let kind = match value.as_str() {
                    Some("embedding") => SpanKind::Embedding,
                    Some("rerank") => SpanKind::Chain,
                    _ => SpanKind::Llm,
                };
                span.set_kind(Rank::High, kind);
                return Some(value);
            }
            "llm.usage.prompt_tokens" => fields.usage.input = value.as_u64(),
            "llm.usage.completion_tokens" => fields.usage.output = value.as_u64(),
            _ => return set_indexed(key, value, span),
        }
        None
    }
}

/// `gen_ai.prompt.0.content`, `gen_ai.completion.0.tool_calls.0.name`, `llm.request.functions.0.name`.
fn set_indexed<'v>(key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    if let Some((index, part)) = key.strip_prefix("gen_ai.prompt.").and_then(split_index) {
        return span.input_message(Rank::High, index).set(part, value);
    }
    match key.strip_prefix("gen_ai.completion.").and_then(split_index) {
        Some((_, "finish_reason")) => {
            span.add_finish_reasons(Rank::Low, value);
            return None;
        }
        Some((index, part)) => return span.output_message(Rank::High, index).set(part, value),
        None => {}
    }
    if let Some((_, "name")) = key.strip_prefix("llm.request.functions.").and_then(split_index) {
        span.fields.tools_offered.extend(value.into_text());
        return None;
    }
    Some(value)
}

fn span_kind(word: &str) -> Option<SpanKind> {
    match word {
        "workflow" | "task" => Some(SpanKind::Chain),
        "agent" => Some(SpanKind::Agent),
        "tool" => Some(SpanKind::Tool),
        _ => None,
    }
}

/// The text of a JSON string; other text is returned unchanged.
fn unquoted(text: String) -> String {
    if text.starts_with('"') { serde_json::from_str(&text).unwrap_or(text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn indexed_completions_become_messages() {
        let span = span_with(&[
            ("llm.request.type", "chat"),
            ("gen_ai.completion.0.content", "hi"),
            ("gen_ai.completion.0.finish_reason", "length"),
            ("gen_ai.completion.0.tool_calls.0.name", "f"),
        ]);
        assert_eq!((span.kind, span.output[0].content.as_str()), (SpanKind::Llm, "hi"));
        assert_eq!(span.finish_reasons, ["length"]);
        assert_eq!(span.output[0].tool_calls[0].name, "f");
    }

    #[test]
    fn a_returned_text_loses_its_quotes() {
        let span = span_with(&[("traceloop.entity.output", "\"it's \\\"fine\\\"\""), ("traceloop.entity.input", "{\"args\": []}")]);
        assert_eq!((span.output_text.as_deref(), span.input_text.as_deref()), (Some("it's \"fine\""), Some("{\"args\": []}")));
    }
}
