//! `OpenInference`: `llm.input_messages.N.message.*`, `retrieval.documents.N.document.*`, `tool.*`, `input.value`.

use std::borrow::Cow;

use super::{SpanAttributes, indexed, set_message_part};
use crate::model::SpanKind;
use crate::parse::messages;
use crate::parse::value::Value;

impl SpanAttributes {
    pub(super) fn set_openinference<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "openinference.span.kind" => {
                span.kind = value.as_str().and_then(openinference_kind).unwrap_or(SpanKind::Other);
            }
            "input.value" => span.input_text = value.into_text(),
            "output.value" => span.output_text = value.into_text(),
            "llm.model_name" => self.set_model(3, value),
            "llm.provider" => self.set_provider(4, value),
            "llm.system" => self.set_provider(2, value),
            "llm.finish_reason" => span.finish_reasons.extend(value.into_texts()),
            "llm.token_count.prompt" | "llm.usage.prompt_tokens" => span.usage.input = value.as_u64(),
            "llm.token_count.completion" | "llm.usage.completion_tokens" => span.usage.output = value.as_u64(),
            "tool.name" => self.tool().name = value.into_text().unwrap_or_default(),
            "tool.parameters" => {
                let tool = self.tool();
                if tool.arguments.is_empty() {
                    tool.arguments = value.into_text().unwrap_or_default();
                }
            }
            "tool_call.id" => self.tool().call_id = value.into_text(),
            "llm.request.type" => {
                span.kind = SpanKind::Llm;
                return Some(value);
            }
            _ => return self.set_openinference_item(key, value),
        }
        None
    }

    /// `llm.output_messages.0.message.tool_calls.1.tool_call.function.name` and its like.
    fn set_openinference_item<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        for (prefix, is_input) in [("llm.input_messages.", true), ("llm.output_messages.", false)] {
            if let Some((index, rest)) = key.strip_prefix(prefix).and_then(indexed) {
                let items = if is_input { &mut self.input_items } else { &mut self.output_items };
                return set_message_part(items.at(index), rest.strip_prefix("message.").unwrap_or(rest), value);
            }
            if key.strip_prefix(prefix.trim_end_matches('.')).is_some_and(str::is_empty) {
                let found = self.tree(&value).and_then(|tree| messages::from_tree(&without_message_prefix(&tree)));
                let Some((found, reasons)) = found else { return Some(value) };
                if is_input {
                    self.span.input = found;
                } else {
                    self.span.output = found;
                    self.span.finish_reasons.extend(reasons);
                }
                return None;
            }
        }
        if let Some((index, rest)) = key.strip_prefix("retrieval.documents.").and_then(indexed) {
            let document = self.documents.at(index);
            match rest.strip_prefix("document.").unwrap_or(rest) {
                "content" => document.content = value.into_text().unwrap_or_default(),
                "id" => document.id = value.into_text(),
                "score" => document.score = value.as_f64(),
                _ => return Some(value),
            }
            return None;
        }
        if key == "retrieval.documents" {
            return self.set_documents(value);
        }
        if let Some((_, "tool.json_schema")) = key.strip_prefix("llm.tools.").and_then(indexed) {
            self.span.tools_offered.extend(value.tree().and_then(|tree| messages::tool_name(&tree)));
            return Some(value);
        }
        if key == "llm.tools" {
            let tree = value.tree();
            let schemas =
                tree.iter().flat_map(|tree| tree.items()).filter_map(|tool| tool.first(&["tool.json_schema", "json_schema"]).tree());
            let names: Vec<String> = schemas.filter_map(|schema| messages::tool_name(&schema)).collect();
            self.span.tools_offered.extend(names);
            return Some(value);
        }
        if let Some((_, "name")) = key.strip_prefix("llm.request.functions.").and_then(indexed) {
            self.span.tools_offered.extend(value.into_text());
            return None;
        }
        Some(value)
    }
}

/// The kind of a span in `OpenInference`'s words.
pub(in crate::parse) fn openinference_kind(word: &str) -> Option<SpanKind> {
    match word.to_ascii_uppercase().as_str() {
        "PROMPT" | "EVALUATOR" | "RERANKER" => Some(SpanKind::Chain),
        other => SpanKind::from_word(other),
    }
}

/// Phoenix keeps `message.role` as field names inside the list; cuts the prefixes so that one reader serves both.
fn without_message_prefix<'v>(tree: &'v Value<'_>) -> Value<'v> {
    match tree {
        Value::List(items) => Value::List(items.iter().map(without_message_prefix).collect()),
        Value::Map(fields) => {
            let renamed = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let cut = ["message.", "tool_call.", "message_content."].iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
                let cut = cut.strip_prefix("function.").unwrap_or(cut);
                (Cow::Borrowed(if cut == "contents" { "parts" } else { cut }), without_message_prefix(value))
            });
            Value::Map(renamed.collect())
        }
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_of;
    use super::*;

    #[test]
    fn openinference_messages_are_unflattened() {
        let span = span_of(&[
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
