//! LangWatch's SDKs.
//!
//! Specification: <https://docs.langwatch.ai/integration/opentelemetry/guide>; checked against the SDKs for Python 1.4 and for JavaScript 0.16.
//!
//! ```json
//! {"langwatch.span.type": "llm", "gen_ai.request.model": "gpt-4o",
//!  "langwatch.input": "{\"type\": \"chat_messages\", \"value\": [{\"role\": \"user\", \"content\": \"Where is A-17?\"}]}",
//!  "langwatch.output": "{\"type\": \"text\", \"value\": \"It is late.\"}", "langwatch.metrics": "{\"prompt_tokens\": 12}"}
//! {"langwatch.span.type": "rag", "langwatch.rag_contexts": "[{\"document_id\": \"d1\", \"content\": \"…\"}]"}
//! ```
//!
//! Every content is a typed value: `text`, `raw`, `chat_messages`, `json`, `list` (of typed values), `guardrail_result`, `evaluation_result`.
//!
//! Quirks of real exporters:
//! - Retrieved contexts are `langwatch.rag_contexts`, a list (Python), or `langwatch.contexts`, a typed value (JavaScript); a context may be only a text.
//! - Texts are cut at 5,000 characters inside the JSON, which stays valid (Python).
//! - Token counts are `prompt_tokens` (Python) or `promptTokens` (JavaScript).

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The LangWatch convention; see the [module docs](self).
pub(super) struct LangWatch;

impl Convention for LangWatch {
    fn name(&self) -> &'static str {
        "langwatch"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["langwatch"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for LangWatch {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "langwatch.span.type" => {
                if let Some(kind) = value.as_str().and_then(span_kind) {
                    span.set_kind(Rank::High, kind);
                }
            }
            "langwatch.input" => span.set_input(Rank::High, untyped(&value)),
            "langwatch.output" => span.set_output(Rank::High, untyped(&value)),
            "langwatch.rag_contexts" | "langwatch.contexts" => {
                let contexts = untyped(&value);
                if span.set_documents(contexts).is_some() {
                    return Some(value);
                }
            }
            "langwatch.metrics" => {
                let Value::Map(_) = untyped(&value) else { return Some(value) };
                let metrics = untyped(&value);
                let usage = &mut span.fields.usage;
                usage.input = usage.input.or(metrics.first(&["prompt_tokens", "promptTokens"]).as_u64());
                usage.output = usage.output.or(metrics.first(&["completion_tokens", "completionTokens"]).as_u64());
            }
            _ => return Some(value),
        }
        None
    }
}

fn span_kind(word: &str) -> Option<SpanKind> {
    match word.to_ascii_lowercase().as_str() {
        "rag" => Some(SpanKind::Retriever),
        "unknown" | "server" | "client" | "producer" | "consumer" => None,
        word => Some(SpanKind::from_word(word).unwrap_or(SpanKind::Chain)),
    }
}

/// The value in `{"type": "text", "value": "…"}`, also inside a list; any other value unchanged.
fn untyped(value: &Value<'_>) -> Value<'static> {
    let tree = value.tree();
    let tree = tree.as_deref().unwrap_or(value);
    match (tree.get("type"), tree.get("value")) {
        (Value::Text(kind), Value::List(items)) if kind == "list" => Value::List(items.iter().map(untyped).collect()),
        (Value::Text(_), inner) if tree.fields().len() == 2 && tree.fields().iter().any(|(key, _)| key == "value") => {
            inner.clone().into_owned()
        }
        _ => match tree {
            Value::Text(text) => Value::Text(Cow::Owned(text.to_string())).unquoted(),
            other => other.clone().into_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn typed_values_are_read_by_the_type_of_the_span() {
        let input = ("langwatch.input", r#"{"type":"chat_messages","value":[{"role":"user","content":"hi"}]}"#);
        let output = ("langwatch.output", r#"{"type":"text","value":"It is late."}"#);
        for attributes in [[input, output, ("langwatch.span.type", "llm")], [("langwatch.span.type", "llm"), output, input]] {
            let span = span_with(&attributes);
            assert_eq!((span.input[0].content.as_str(), span.output[0].content.as_str()), ("hi", "It is late."));
        }
        let tool = span_with(&[("langwatch.span.type", "tool"), ("langwatch.input", r#"{"type":"json","value":{"id":17}}"#), output])
            .tool
            .unwrap();
        assert_eq!((tool.arguments.as_str(), tool.result.as_deref()), (r#"{"id":17}"#, Some("It is late.")));
        let list = span_with(&[
            ("langwatch.span.type", "llm"),
            ("langwatch.output", r#"{"type":"list","value":[{"type":"text","value":"late"}]}"#),
        ]);
        assert_eq!(list.output[0].content, "late");
    }

    #[test]
    fn retrieved_contexts_are_documents() {
        for contexts in [
            ("langwatch.rag_contexts", r#"[{"document_id":"d1","chunk_id":"0","content":"late"}]"#),
            ("langwatch.contexts", r#"{"type":"json","value":[{"document_id":"d1","content":"late"}]}"#),
            ("langwatch.contexts", r#"["late"]"#),
        ] {
            let span = span_with(&[("langwatch.span.type", "rag"), contexts]);
            assert_eq!((span.kind, span.documents.unwrap()[0].content.as_str()), (SpanKind::Retriever, "late"), "{contexts:?}");
        }
        let unread = span_with(&[("langwatch.span.type", "rag"), ("langwatch.contexts", "many")]);
        assert_eq!((unread.documents, unread.unread_fields), (None, 1));
    }

    #[test]
    fn token_counts_of_both_sdks_are_read() {
        for metrics in
            [r#"{"prompt_tokens":5,"completion_tokens":6}"#, r#"{"type":"json","value":{"promptTokens":5,"completionTokens":6}}"#]
        {
            let span = span_with(&[("langwatch.span.type", "llm"), ("langwatch.metrics", metrics)]);
            assert_eq!((span.usage.input, span.usage.output), (Some(5), Some(6)), "{metrics}");
        }
    }
}
