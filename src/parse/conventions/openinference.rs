//! OpenInference, the convention of Arize's instrumentations and of Phoenix.
//!
//! Specification: <https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md>, semantic conventions 0.1.
//!
//! ```json
//! {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai",
//!  "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Where is A-17?",
//!  "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "lookup",
//!  "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{\"id\": 17}",
//!  "llm.token_count.prompt": 12, "input.value": "{\"messages\": […]}", "output.value": "{\"choices\": […]}"}
//! ```
//!
//! Lists are flattened to one attribute per leaf; a Phoenix data frame keeps them as one nested value whose keys contain dots.
//!
//! Quirks of real exporters:
//! - The finish reason is in `llm.finish_reason` (openai instrumentation 0.1.66, google-genai 1.4). Other exports have it only inside
//!   `output.value`, which is not searched for it.
//! - A `refusal` of OpenAI's API is only inside `output.value`; [`infer`](crate::parse::infer) finds it there.
//! - A retrieval that finds nothing has no `retrieval.documents` (langchain instrumentation).
//! - `tool.parameters` of a tool span is the parsed input and may be `{}` if the model's JSON does not parse; `input.value` has the text.

use std::borrow::Cow;

use super::indexed::split_index;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::SpanKind;
use crate::parse::messages;
use crate::parse::value::Value;

/// The `OpenInference` convention; see the [module docs](self).
pub(super) struct OpenInference;

impl Convention for OpenInference {
    fn name(&self) -> &'static str {
        "openinference"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["openinference", "llm", "input", "output", "retrieval", "tool", "tool_call", "embedding"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for OpenInference {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let fields = &mut span.fields;
        match key {
            "openinference.span.kind" => span.set_kind(Rank::High, value.as_str().and_then(span_kind).unwrap_or(SpanKind::Other)),
            "input.value" => fields.input_text = value.into_text(),
            "output.value" => fields.output_text = value.into_text(),
            "llm.model_name" | "embedding.model_name" => span.set_model(Rank::Normal, value),
            "llm.provider" => span.set_provider(Rank::High, value),
            "llm.system" => span.set_provider(Rank::Low, value),
            "llm.finish_reason" => span.add_finish_reasons(Rank::Normal, value),
            "llm.token_count.prompt" => fields.usage.input = value.as_u64(),
            "llm.token_count.completion" => fields.usage.output = value.as_u64(),
            "tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "tool.parameters" => {
                let tool = span.tool();
                if tool.arguments.is_empty() {
                    tool.arguments = value.into_text().unwrap_or_default();
                }
            }
            "tool_call.id" => span.tool().call_id = value.into_text(),
            "llm.input_messages" | "llm.output_messages" => return set_messages(key, value, span),
            "retrieval.documents" => return span.set_documents(value),
            "llm.tools" => {
                offer_tools(&value, span);
                return Some(value);
            }
            _ => return set_indexed(key, value, span),
        }
        None
    }
}

/// `llm.output_messages.0.message.role`, `retrieval.documents.0.document.content`, `llm.tools.0.tool.json_schema`.
fn set_indexed<'v>(key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    if let Some((index, part)) = key.strip_prefix("llm.input_messages.").and_then(split_index) {
        return span.input_message(Rank::Normal, index).set(part.strip_prefix("message.").unwrap_or(part), value);
    }
    if let Some((index, part)) = key.strip_prefix("llm.output_messages.").and_then(split_index) {
        return span.output_message(Rank::Normal, index).set(part.strip_prefix("message.").unwrap_or(part), value);
    }
    if let Some((index, part)) = key.strip_prefix("retrieval.documents.").and_then(split_index) {
        let document = span.document(index);
        match part.strip_prefix("document.").unwrap_or(part) {
            "content" => document.content = value.into_text().unwrap_or_default(),
            "id" => document.id = value.into_text(),
            "score" => document.score = value.as_f64(),
            _ => return Some(value),
        }
        return None;
    }
    if let Some((_, "tool.json_schema")) = key.strip_prefix("llm.tools.").and_then(split_index) {
        span.fields.tools_offered.extend(value.tree().and_then(|tree| messages::tool_name(&tree)));
    }
    Some(value)
}

/// All messages in one attribute, as Phoenix' data frames have them.
fn set_messages<'v>(key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    let found = span.decode(&value).and_then(|tree| messages::from_tree(&without_message_prefix(&tree)));
    let Some((messages, finish_reasons)) = found else { return Some(value) };
    if key == "llm.input_messages" {
        span.push_input(Rank::Normal, messages);
    } else {
        span.push_output(Rank::Normal, messages);
        span.add_finish_reasons(Rank::Low, Value::List(finish_reasons.into_iter().map(|reason| Value::Text(Cow::Owned(reason))).collect()));
    }
    None
}

/// The names in a list of tool definitions, `[{"tool.json_schema": "{…}"}]`.
fn offer_tools(value: &Value<'_>, span: &mut SpanBuilder) {
    let tree = value.tree();
    let schemas = tree.iter().flat_map(|tree| tree.items()).filter_map(|tool| tool.first(&["tool.json_schema", "json_schema"]).tree());
    span.fields.tools_offered.extend(schemas.filter_map(|schema| messages::tool_name(&schema)));
}

/// The kind of a span, from a word of OpenInference.
pub(in crate::parse) fn span_kind(word: &str) -> Option<SpanKind> {
    match word.to_ascii_uppercase().as_str() {
        "PROMPT" | "EVALUATOR" | "RERANKER" => Some(SpanKind::Chain),
        other => SpanKind::from_word(other),
    }
}

/// Removes the prefixes of nested keys (`message.role`, `tool_call.function.name`), so that one reader understands all chat messages.
fn without_message_prefix<'v>(tree: &'v Value<'_>) -> Value<'v> {
    match tree {
        Value::List(items) => Value::List(items.iter().map(without_message_prefix).collect()),
        Value::Map(fields) => {
            let renamed = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let name = ["message.", "tool_call.", "message_content."].iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
                let name = name.strip_prefix("function.").unwrap_or(name);
                (Cow::Borrowed(if name == "contents" { "parts" } else { name }), without_message_prefix(value))
            });
            Value::Map(renamed.collect())
        }
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn flattened_messages_are_joined() {
        let span = span_with(&[
            ("openinference.span.kind", "LLM"),
            ("llm.output_messages.0.message.role", "assistant"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "f"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "{\"x\""),
            ("llm.output_messages.999999999.message.role", "hostile"),
            ("user.id", "u"),
        ]);
        assert_eq!(span.kind, SpanKind::Llm);
        assert_eq!(span.output.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["assistant", "hostile"]);
        assert_eq!(span.output[0].tool_calls[0].arguments, "{\"x\"");
        assert_eq!(span.attribute("user.id"), Some("u"));
    }
}
