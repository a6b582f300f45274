//! OpenTelemetry's `GenAI` conventions: attributes, events on the span, events as log records; and the indexed keys that `OpenLLMetry` had
//! before 0.50.

use super::{SpanAttributes, indexed, set_message_part};
use crate::model::{Message, Span, SpanKind};
use crate::parse::messages;
use crate::parse::value::Value;

impl SpanAttributes {
    pub(super) fn set_gen_ai<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "gen_ai.operation.name" => {
                if let Some(kind) = value.as_str().and_then(operation_kind) {
                    span.kind = kind;
                }
            }
            "gen_ai.provider.name" => self.set_provider(3, value),
            "gen_ai.system" => self.set_provider(1, value),
            "gen_ai.response.model" => self.set_model(2, value),
            "gen_ai.request.model" => self.set_model(1, value),
            "gen_ai.response.finish_reasons" => span.finish_reasons.extend(value.into_texts()),
            "gen_ai.usage.input_tokens" | "gen_ai.usage.prompt_tokens" => span.usage.input = value.as_u64(),
            "gen_ai.usage.output_tokens" | "gen_ai.usage.completion_tokens" => span.usage.output = value.as_u64(),
            "gen_ai.tool.name" => self.tool().name = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.id" => self.tool().call_id = value.into_text(),
            "gen_ai.tool.call.arguments" => self.tool().arguments = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.result" => self.tool().result = value.into_text(),
            "gen_ai.input.messages" | "gen_ai.output.messages" => {
                let Some((found, reasons)) = self.tree(&value).and_then(|tree| messages::from_tree(&tree)) else { return Some(value) };
                let span = &mut self.span;
                if key == "gen_ai.input.messages" {
                    span.input = found;
                } else {
                    span.output = found;
                    if span.finish_reasons.is_empty() {
                        span.finish_reasons = reasons;
                    }
                }
            }
            "gen_ai.tool.definitions" => {
                let Some(names) = self.tree(&value).map(|tree| tree.items().iter().filter_map(messages::tool_name).collect()) else {
                    return Some(value);
                };
                self.span.tools_offered = names;
            }
            "gen_ai.retrieval.documents" => return self.set_documents(value),
            "gen_ai.retrieval.query.text" => span.input_text = value.into_text(),
            _ => return self.set_gen_ai_item(key, value),
        }
        None
    }

    /// The indexed keys of `OpenLLMetry` before 0.50: `gen_ai.completion.0.tool_calls.0.name`.
    fn set_gen_ai_item<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        if let Some((index, rest)) = key.strip_prefix("gen_ai.prompt.").and_then(indexed) {
            return set_message_part(self.prompts.at(index), rest, value);
        }
        if let Some((index, rest)) = key.strip_prefix("gen_ai.completion.").and_then(indexed) {
            if rest == "finish_reason" {
                self.span.finish_reasons.extend(value.into_text());
                return None;
            }
            return set_message_part(self.completions.at(index), rest, value);
        }
        Some(value)
    }
}

fn operation_kind(word: &str) -> Option<SpanKind> {
    match word {
        "chat" | "text_completion" | "generate_content" | "completion" => Some(SpanKind::Llm),
        "execute_tool" => Some(SpanKind::Tool),
        "invoke_agent" | "create_agent" => Some(SpanKind::Agent),
        "invoke_workflow" => Some(SpanKind::Chain),
        "retrieval" => Some(SpanKind::Retriever),
        "embeddings" => Some(SpanKind::Embedding),
        _ => None,
    }
}

/// Adds what an event on a span says: `gen_ai.content.prompt` with the messages as JSON text, `gen_ai.user.message` with the message in
/// `gen_ai.event.content` or in its own attributes, or the details of a whole call.
pub(super) fn add_span_event(span: &mut Span, name: &str, attributes: &Value<'_>) {
    let messages_at = |key: &str| -> (Vec<Message>, Vec<String>) {
        let value = attributes.get(key);
        let found = value.tree().and_then(|tree| messages::from_tree(&tree)).filter(|(found, _)| !found.is_empty());
        found.unwrap_or_else(|| {
            let content = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
            (content.map(|content| Message { content, ..Message::default() }).into_iter().collect(), Vec::new())
        })
    };
    let (input, output) = match name {
        "gen_ai.content.prompt" | "gen_ai.content.completion" => ("gen_ai.prompt", "gen_ai.completion"),
        "gen_ai.client.inference.operation.details" => ("gen_ai.input.messages", "gen_ai.output.messages"),
        _ => {
            return match attributes.get("gen_ai.event.content").tree() {
                Some(body) => add_event(span, name, &body),
                None => add_event(span, name, attributes),
            };
        }
    };
    span.input.extend(messages_at(input).0);
    let (found, reasons) = messages_at(output);
    span.output.extend(found);
    span.finish_reasons.extend(reasons);
}

/// Adds what a log record says to the span it belongs to: messages of the `GenAI` events.
pub(in crate::parse) fn add_event(span: &mut Span, name: &str, body: &Value<'_>) {
    let role = name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message"));
    if let Some(role) = role {
        let mut message = messages::message(body).unwrap_or_default();
        if message.role.is_empty() {
            role.clone_into(&mut message.role);
        }
        span.input.push(message);
    } else if name == "gen_ai.choice" {
        span.finish_reasons.extend(body.text_at("finish_reason"));
        let mut message = messages::message(body.get("message")).unwrap_or_default();
        if message.role.is_empty() {
            "assistant".clone_into(&mut message.role);
        }
        if message.tool_calls.is_empty() {
            message.tool_calls = body.get("tool_calls").items().iter().filter_map(messages::tool_call).collect();
        }
        span.output.push(message);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;

    #[test]
    fn the_order_of_attributes_does_not_choose_the_model() {
        let mut attributes = [
            ("gen_ai.request.model", "asked"),
            ("gen_ai.response.model", "answered"),
            ("gen_ai.system", "old"),
            ("gen_ai.provider.name", "new"),
        ];
        for _ in 0..attributes.len() {
            attributes.rotate_left(1);
            let mut span = SpanAttributes::new(Span::default());
            for (key, value) in attributes {
                span.set(Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
            }
            let span = span.finish();
            assert_eq!((span.model.as_deref(), span.provider.as_deref()), (Some("answered"), Some("new")));
        }
    }

    #[test]
    fn messages_in_events_count_where_attributes_have_none() {
        let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
        let mut span = SpanAttributes::new(Span::default());
        span.event("gen_ai.user.message", [text("gen_ai.event.content", r#"{"role":"user","content":"hi"}"#)]);
        span.event("gen_ai.system.message", [text("content", "Be brief.")]);
        span.event("gen_ai.choice", [text("gen_ai.event.content", r#"{"finish_reason":"length","message":{"content":"cut"}}"#)]);
        span.event("exception", [text("exception.type", "E"), text("exception.message", "m")]);
        let span = span.finish();
        assert_eq!(span.input.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["user", "system"]);
        assert_eq!((span.kind, span.output[0].content.as_str(), span.finish_reasons[0].as_str()), (SpanKind::Llm, "cut", "length"));
        assert_eq!(span.exceptions[0].kind, "E");
        let mut old = SpanAttributes::new(Span::default());
        old.event("gen_ai.content.prompt", [text("gen_ai.prompt", r#"[{"role":"user","content":"old"}]"#)]);
        old.event("gen_ai.content.completion", [text("gen_ai.completion", "plain")]);
        let old = old.finish();
        assert_eq!((old.input[0].content.as_str(), old.output[0].content.as_str()), ("old", "plain"));
        let mut own = SpanAttributes::new(Span::default());
        own.event("gen_ai.user.message", [text("content", "event")]);
        own.set("gen_ai.input.messages".into(), Value::Text(r#"[{"role":"user","content":"attribute"}]"#.into()));
        assert_eq!(own.finish().input[0].content, "attribute");
    }
}
