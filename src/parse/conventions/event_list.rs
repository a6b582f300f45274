//! The messages of a model call in one attribute, as a list of events: `[{"event.name": "gen_ai.user.message", "content": "…"}]`.
//!
//! The events are those of `OpenTelemetry`'s earlier convention for generative AI; see [`gen_ai`](super::gen_ai). Pydantic AI and Logfire write them
//! to the attribute `events`.

use super::span_builder::{Rank, SpanBuilder};
use crate::model::Message;
use crate::parse::messages;
use crate::parse::value::Value;

/// The messages in a list of events.
#[derive(Debug, Default)]
pub(super) struct EventList {
    input: Vec<Message>,
    output: Vec<Message>,
    finish_reasons: Vec<Value<'static>>,
    has_choice: bool,
}

impl EventList {
    /// Reads a list; `None` if it contains no event of this convention.
    pub(super) fn read(list: &Value<'_>) -> Option<Self> {
        let name_of = |event: &Value<'_>| event.text_at("event.name").filter(|name| name.starts_with("gen_ai."));
        let mut read = Self::default();
        let mut found = false;
        for event in list.items() {
            let Some(name) = name_of(event) else { continue };
            found = true;
            read.add(&name, event);
        }
        found.then_some(read)
    }

    fn add(&mut self, name: &str, event: &Value<'_>) {
        match name {
            "gen_ai.choice" => {
                self.has_choice = true;
                self.finish_reasons.extend(event.text_at("finish_reason").map(|reason| Value::Text(reason.into())));
                let message = messages::message(event.get("message")).unwrap_or_default();
                self.output.push(with_role(message, "assistant"));
            }
            "gen_ai.unknown" => self.add_unknown(event.get("data")),
            _ => {
                let role = name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message")).unwrap_or_default();
                self.input.extend(messages::message(event).map(|message| with_role(message, role)));
            }
        }
    }

    /// What Logfire has no event for: a refusal, or an item of the Responses API such as the call of a tool that the provider runs.
    fn add_unknown(&mut self, data: &Value<'_>) {
        match data.text_at("refusal") {
            Some(refusal) => self.input.push(Message { role: "assistant".into(), refusal: Some(refusal), ..Message::default() }),
            None => messages::add_messages(data, &mut self.input),
        }
    }

    /// All messages, in order.
    pub(super) fn into_messages(self) -> Vec<Message> {
        let mut messages = self.input;
        messages.extend(self.output);
        messages
    }

    /// Adds the messages to a span. If no event marks the answer and the call was `answered`, the messages of the assistant at the end are the
    /// answer.
    pub(super) fn add_to(mut self, span: &mut SpanBuilder, answered: bool) {
        if answered && !self.has_choice {
            let start = self.input.iter().rposition(|message| message.role != "assistant").map_or(0, |last| last + 1);
            self.output = self.input.split_off(start);
        }
        span.push_input(Rank::Low, self.input);
        span.push_output(Rank::Low, self.output);
        span.add_finish_reasons(Rank::Low, Value::List(self.finish_reasons));
    }
}

fn with_role(mut message: Message, role: &str) -> Message {
    if message.role.is_empty() {
        role.clone_into(&mut message.role);
    }
    message
}
