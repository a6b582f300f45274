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
//! - A tool's `traceloop.entity.input` wraps the arguments in `args` and `kwargs`, in `input_str` and `inputs` (LangChain), or in `tool_name` and
//!   `arguments` (MCP); LangChain's result is `{"output": {"lc": 1, …}, "kwargs": {…}}` (0.62).
//! - `LiteLLM` writes its own function names as `llm.request.type` (`aembedding`, `aresponses`, `arerank`), and one
//!   `gen_ai.completion.N.function_call` for the N-th tool call of its only answer (1.60 to 1.110).
//! - LangSmith's documentation has `gen_ai.prompt.N.message.role` instead of `gen_ai.prompt.N.role`.

use std::borrow::Cow;

use super::indexed::{IndexedItems, split_index};
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::{SpanKind, ToolCall};
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
        Box::new(OpenLlmetryState::default())
    }
}

#[derive(Default)]
struct OpenLlmetryState {
    entity_name: Option<String>,
    /// `gen_ai.completion.N.function_call`.
    function_calls: IndexedItems<ToolCall>,
}

impl ConventionState for OpenLlmetryState {
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
            "traceloop.entity.name" => {
                self.entity_name = value.as_str().map(str::to_owned);
                return Some(value);
            }
            "llm.request.type" => {
                span.set_kind(Rank::High, request_kind(value.as_str().unwrap_or_default()));
                return Some(value);
            }
            "llm.usage.prompt_tokens" => fields.usage.input = value.as_u64(),
            "llm.usage.completion_tokens" => fields.usage.output = value.as_u64(),
            _ => return self.set_indexed(key, value, span),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if span.fields.kind == SpanKind::Tool
            && let Some(name) = self.entity_name.filter(|name| !name.is_empty())
            && span.tool().name.is_empty()
        {
            span.tool().name = name;
        }
        let calls: Vec<_> = self.function_calls.into_items().map(call_value).collect();
        if !calls.is_empty() {
            let role = (Cow::Borrowed("role"), Value::Text(Cow::Borrowed("assistant")));
            span.set_output(Rank::Low, Value::Map(vec![role, (Cow::Borrowed("tool_calls"), Value::List(calls))]));
        }
    }
}

impl OpenLlmetryState {
    /// `gen_ai.prompt.0.content`, `gen_ai.completion.0.tool_calls.0.name`, `llm.request.functions.0.name`.
    fn set_indexed<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        if let Some((index, part)) = key.strip_prefix("gen_ai.prompt.").and_then(split_index) {
            return span.input_message(Rank::High, index).set(part.strip_prefix("message.").unwrap_or(part), value);
        }
        match key.strip_prefix("gen_ai.completion.").and_then(split_index) {
            Some((_, "finish_reason")) => {
                span.add_finish_reasons(Rank::Low, value);
                return None;
            }
            Some((index, part)) => {
                let Some(field) = part.strip_prefix("function_call.") else {
                    return span.output_message(Rank::High, index).set(part.strip_prefix("message.").unwrap_or(part), value);
                };
                let call = self.function_calls.item_mut(index);
                match field {
                    "name" => call.name = value.into_text().unwrap_or_default(),
                    "arguments" => call.arguments = value.into_text().unwrap_or_default(),
                    "id" => call.id = value.into_text(),
                    _ => return Some(value),
                }
                return None;
            }
            None => {}
        }
        // LiteLLM writes `gen_ai.tool.0.name`.
        match key.strip_prefix("llm.request.functions.").or_else(|| key.strip_prefix("gen_ai.tool.")).and_then(split_index) {
            Some((_, "name")) => span.fields.tools_offered.extend(value.into_text()),
            // Its schema is part of the tool's definition, of which only the name is kept.
            Some((_, "parameters")) => {}
            _ => return Some(value),
        }
        None
    }
}

fn call_value(call: ToolCall) -> Value<'static> {
    let id = call.id.map_or(Value::Null, |id| Value::Text(Cow::Owned(id)));
    let fields = [("id", id), ("name", Value::Text(Cow::Owned(call.name))), ("arguments", Value::Text(Cow::Owned(call.arguments)))];
    Value::Map(fields.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
}

/// The kind of a request: `chat`, `completion`, `embedding`, `rerank`, or one of `LiteLLM`'s functions.
fn request_kind(word: &str) -> SpanKind {
    const OTHERS: [&str; 8] = ["rerank", "moderation", "image", "speech", "transcription", "search", "ocr", "video"];
    if word.contains("embedding") {
        SpanKind::Embedding
    } else if OTHERS.iter().any(|other| word.contains(other)) {
        SpanKind::Other
    } else {
        SpanKind::Llm
    }
}

fn span_kind(word: &str) -> Option<SpanKind> {
    match word {
        "workflow" | "task" | "handoff" | "session" | "server" => Some(SpanKind::Chain),
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
    fn function_calls_complete_an_answer_without_tool_calls() {
        let calls = [
            ("gen_ai.completion.0.function_call.name", "f"),
            ("gen_ai.completion.0.function_call.arguments", "{\"x\":1}"),
            ("gen_ai.completion.1.function_call.name", "g"),
        ];
        let names = |span: &crate::model::Span| span.output[0].tool_calls.iter().map(|call| call.name.clone()).collect::<Vec<_>>();
        let answer =
            ("gen_ai.output.messages", r#"[{"role":"assistant","parts":[{"type":"text","content":"wait"}],"finish_reason":"tool_calls"}]"#);
        let newer = span_with(&[&[("llm.request.type", "acompletion"), answer], &calls[..]].concat());
        assert_eq!((newer.output.len(), newer.output[0].content.as_str()), (1, "wait"));
        assert_eq!(names(&newer), ["f", "g"]);
        let older = span_with(&[&[("llm.request.type", "completion"), ("gen_ai.completion.0.role", "assistant")], &calls[..]].concat());
        assert_eq!((older.output.len(), names(&older)), (1, vec!["f".to_owned(), "g".to_owned()]));
        let alone = span_with(&[&[("llm.request.type", "chat")], &calls[..1]].concat());
        assert_eq!(names(&alone), ["f"]);
    }

    #[test]
    fn the_type_of_a_request_is_its_kind() {
        for (word, kind) in
            [("chat", SpanKind::Llm), ("aresponses", SpanKind::Llm), ("aembedding", SpanKind::Embedding), ("rerank", SpanKind::Other)]
        {
            assert_eq!(span_with(&[("llm.request.type", word)]).kind, kind, "{word}");
        }
    }

    #[test]
    fn the_tool_of_a_span_is_its_entity() {
        let input = ("traceloop.entity.input", r#"{"input_str":"{'id': 17}","tags":[],"metadata":{},"inputs":{"id":17},"kwargs":{}}"#);
        let output = (
            "traceloop.entity.output",
            r#"{"output":{"lc":1,"type":"constructor","id":["langchain","schema","messages","ToolMessage"],"kwargs":{"content":"late","name":"lookup","tool_call_id":"c1","status":"success"}},"kwargs":{}}"#,
        );
        let span = span_with(&[("traceloop.span.kind", "tool"), ("traceloop.entity.name", "lookup"), input, output]);
        let tool = span.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()), ("lookup", r#"{"id":17}"#, Some("late")));
        assert_eq!(tool.call_id.as_deref(), Some("c1"));
    }

    #[test]
    fn a_returned_text_loses_its_quotes() {
        let span = span_with(&[("traceloop.entity.output", "\"it's \\\"fine\\\"\""), ("traceloop.entity.input", "{\"args\": []}")]);
        assert_eq!((span.output_text.as_deref(), span.input_text.as_deref()), (Some("it's \"fine\""), Some("{\"args\": []}")));
    }
}
