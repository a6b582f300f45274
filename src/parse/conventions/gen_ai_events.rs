//! Messages in events of the [`gen_ai`](super::gen_ai) convention: span events, and log records.
//!
//! | source | event | body |
//! |---|---|---|
//! | specification 1.30, openai-v2 | `gen_ai.user.message`, `gen_ai.choice` as log records | `{content, tool_calls}`, `{index, finish_reason, message: {…}}` |
//! | azure-ai-inference, azure-ai-agents | the same as span events | JSON text in the attribute `gen_ai.event.content` |
//! | Semantic Kernel 1.45 | the same as log records with the attribute `event.name` | JSON text; plain text in `gen_ai.prompt` |
//! | Google ADK 2.13 | the same; every input is a `gen_ai.user.message` | Gemini's content below `content`: `{content: {role, parts}}` |
//! | Strands 1.62 | the same as span events | blocks of Bedrock as JSON text in the attributes `content` or `message` |
//! | specification 1.37 | `gen_ai.client.inference.operation.details` | attributes `gen_ai.input.messages` and so on |
//! | azure-ai-projects 2.10 | `gen_ai.input.messages`, `gen_ai.output.messages` | JSON text in `gen_ai.event.content` |
//! | `OpenLIT` | `gen_ai.content.prompt`, `gen_ai.content.completion` | text or JSON in `gen_ai.prompt`, `gen_ai.completion` |

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use crate::model::{Message, Span};
use crate::parse::messages;
use crate::parse::value::Value;

/// Messages and finish reasons from events.
#[derive(Debug, Default)]
pub(in crate::parse) struct EventContent {
    input: Vec<Message>,
    output: Vec<Message>,
    finish_reasons: Vec<String>,
}

impl EventContent {
    /// Adds an event with its body: `gen_ai.user.message`, `gen_ai.choice`. Other events are ignored.
    pub(in crate::parse) fn add(&mut self, name: &str, body: &Value<'_>) {
        let parsed = body.as_str().and_then(Value::parse);
        let body = parsed.as_ref().unwrap_or(body);
        let role = name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message"));
        if let Some(role) = role {
            self.input.extend(messages_of(body, role));
        } else if name == "gen_ai.choice" {
            self.add_choice(body);
        } else if name == "gen_ai.prompt" {
            self.input.extend(text_message("user", body));
        } else {
            self.add_moved_messages(body);
        }
    }

    /// Adds `{"input": {"messages": […]}, "output": {"messages": […]}}`: the AWS distribution of OpenTelemetry moves the messages in the attributes of a
    /// span to a log record, whose event name is that of the scope.
    fn add_moved_messages(&mut self, body: &Value<'_>) {
        let [input, output] = ["input", "output"].map(|direction| body.get(direction).get("messages"));
        if let Some(found) = messages_in(input) {
            self.input.extend(found.messages);
        }
        if let Some(found) = messages_in(output) {
            self.output.extend(found.messages);
            self.finish_reasons.extend(found.finish_reasons);
        }
    }

    fn add_choice(&mut self, body: &Value<'_>) {
        self.finish_reasons.extend(body.text_at("finish_reason"));
        let mut found = match body.get("message") {
            Value::Null if body.get("content").is_null() => vec![Message { role: "assistant".into(), ..Message::default() }],
            Value::Null => messages_of(body, "assistant"),
            Value::Map(_) => messages_of(body.get("message"), "assistant"),
            text => messages_of(&Value::Map(vec![("content".into(), text.clone())]), "assistant"),
        };
        if let [message] = found.as_mut_slice()
            && message.tool_calls.is_empty()
        {
            message.tool_calls = body.get("tool_calls").items().iter().filter_map(messages::tool_call).collect();
        }
        self.output.append(&mut found);
    }

    /// Adds an event on a span. Its messages are in `gen_ai.event.content` as JSON text, in its own attributes, or, for events about a
    /// whole call, in one attribute per direction.
    pub(super) fn add_span_event(&mut self, name: &str, attributes: &Value<'_>) {
        // Logfire 3 and 4 name it `event_body`.
        let body = attributes.first(&["gen_ai.event.content", "event_body"]);
        match name {
            "gen_ai.content.prompt" => self.add_input(attributes.get("gen_ai.prompt")),
            "gen_ai.content.completion" => self.add_output(attributes.get("gen_ai.completion")),
            "gen_ai.input.messages" => self.add_input(body),
            "gen_ai.output.messages" => self.add_output(body),
            "gen_ai.client.inference.operation.details" => {
                let system = attributes.get("gen_ai.system_instructions");
                self.input.extend(messages::system_message(system.tree().as_deref().unwrap_or(system)));
                self.add_input(attributes.get("gen_ai.input.messages"));
                self.add_output(attributes.get("gen_ai.output.messages"));
            }
            _ if body.is_null() => self.add(name, attributes),
            _ => self.add(name, body),
        }
    }

    /// Adds input messages in any shape; plain text is one message without a role.
    fn add_input(&mut self, value: &Value<'_>) {
        match messages_in(value) {
            Some(found) => self.input.extend(found.messages),
            None => self.input.extend(text_message("", value)),
        }
    }

    fn add_output(&mut self, value: &Value<'_>) {
        match messages_in(value) {
            Some(found) => {
                self.output.extend(found.messages);
                self.finish_reasons.extend(found.finish_reasons);
            }
            None => self.output.extend(text_message("", value)),
        }
    }

    /// Appends the content to a span.
    pub(in crate::parse) fn append_to(self, span: &mut Span) {
        span.input.extend(self.input);
        span.output.extend(self.output);
        span.finish_reasons.extend(self.finish_reasons);
    }

    /// Adds the content to a span whose attributes take precedence.
    pub(super) fn add_to(self, span: &mut SpanBuilder) {
        span.push_input(Rank::Fallback, self.input);
        span.push_output(Rank::Fallback, self.output);
        for reason in self.finish_reasons {
            span.add_finish_reasons(Rank::Low, Value::Text(reason.into()));
        }
    }
}

fn messages_in(value: &Value<'_>) -> Option<messages::Conversation> {
    value.tree().and_then(|tree| messages::conversation(&tree)).filter(|found| !found.messages.is_empty())
}

fn text_message(role: &str, value: &Value<'_>) -> Option<Message> {
    let content = value.as_str().filter(|text| !text.is_empty())?;
    Some(Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() })
}

/// The messages in the body of an event: one, or several if its content has tool results. None if the exporter left out the content.
fn messages_of(body: &Value<'_>, role: &str) -> Vec<Message> {
    /// What Google ADK writes if it must not record content.
    const LEFT_OUT: &str = "<elided>";
    let content = body.get("content");
    if content.as_str() == Some(LEFT_OUT) {
        return Vec::new();
    }
    let blocks = content.as_str().and_then(blocks);
    let inner = match (blocks, content) {
        (Some(blocks), _) => Cow::Owned(with_content(body, blocks)),
        // Gemini's content has a role of its own.
        (None, Value::Map(_)) if !content.get("parts").is_null() => Cow::Borrowed(content),
        _ => Cow::Borrowed(body),
    };
    let mut found = Vec::new();
    messages::add_messages(&inner, &mut found);
    // A message without any content was recorded; content that cannot be read is none.
    if found.is_empty() && content.is_empty() {
        found.push(Message::default());
    }
    for message in found.iter_mut().filter(|message| message.role.is_empty()) {
        role.clone_into(&mut message.role);
    }
    found
}

fn with_content<'v>(body: &'v Value<'_>, content: Value<'v>) -> Value<'v> {
    let others = body.fields().iter().filter(|(key, _)| key != "content");
    let others = others.map(|(key, value)| (Cow::Borrowed(key.as_ref()), value.clone()));
    Value::Map(others.chain([("content".into(), content)]).collect())
}

/// The blocks of Bedrock's API in JSON text. Other lists in JSON are what a user or a tool wrote.
fn blocks(text: &str) -> Option<Value<'_>> {
    const KEYS: [&str; 11] = [
        "text",
        "toolUse",
        "toolResult",
        "json",
        "image",
        "document",
        "video",
        "reasoningContent",
        "citationsContent",
        "guardContent",
        "cachePoint",
    ];
    let is_block = |item: &Value<'_>| matches!(item.fields(), [(key, _)] if KEYS.contains(&key.as_ref()));
    Value::parse(text).filter(|tree| matches!(tree, Value::List(items) if items.iter().all(is_block)))
}
