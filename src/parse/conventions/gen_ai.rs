//! OpenTelemetry's conventions for generative AI: attributes, events on the span, and events as log records.
//!
//! Specification: <https://opentelemetry.io/docs/specs/semconv/gen-ai/>, semantic conventions 1.37 (messages in attributes), and 1.30
//! (messages in events).
//!
//! ```json
//! {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
//!  "gen_ai.input.messages": "[{\"role\": \"user\", \"parts\": [{\"type\": \"text\", \"content\": \"Where is A-17?\"}]}]",
//!  "gen_ai.output.messages": "[{\"role\": \"assistant\", \"parts\": […], \"finish_reason\": \"tool_calls\"}]",
//!  "gen_ai.usage.input_tokens": 12, "gen_ai.response.finish_reasons": ["tool_calls"]}
//! ```
//!
//! Quirks of real exporters:
//! - Messages are JSON text (genai-openai 1.3b0, util-genai 0.4b0, OpenLLMetry 0.62); the specification also allows nested values.
//! - Attribute length limits of the SDK cut that JSON text off.
//! - Before 1.37 messages are in events. `gen_ai.user.message`, `gen_ai.choice` and so on are log records (openai-v2), or span events with the
//!   body as JSON text in `gen_ai.event.content` (azure-ai-inference). `OpenLIT` has the span event `gen_ai.content.prompt`.
//! - Messages may be uploaded, with only a reference in `gen_ai.input.messages_ref` (genai-openai 1.3b0); the gather stage fetches the
//!   body.
//! - OpenLLMetry 0.40 names the token counts `prompt_tokens` and `completion_tokens`.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::{Message, Span, SpanKind};
use crate::parse::messages;
use crate::parse::value::Value;

/// The `GenAI` convention; see the [module docs](self).
pub(super) struct GenAi;

impl Convention for GenAi {
    fn name(&self) -> &'static str {
        "gen_ai"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["gen_ai"]
    }

    fn reads_event(&self, name: &str) -> bool {
        name.starts_with("gen_ai.")
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(GenAiState::default())
    }
}

/// The content of the span's events, which counts only if its attributes have none.
#[derive(Default)]
struct GenAiState(Option<Box<EventContent>>);

impl ConventionState for GenAiState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let fields = &mut span.fields;
        match key {
            "gen_ai.operation.name" => {
                if let Some(kind) = value.as_str().and_then(span_kind) {
                    span.set_kind(Rank::Normal, kind);
                }
            }
            "gen_ai.provider.name" => span.set_provider(Rank::Normal, value),
            "gen_ai.system" => span.set_provider(Rank::Fallback, value),
            "gen_ai.response.model" => span.set_model(Rank::Low, value),
            "gen_ai.request.model" => span.set_model(Rank::Fallback, value),
            "gen_ai.response.finish_reasons" => span.add_finish_reasons(Rank::Normal, value),
            "gen_ai.usage.input_tokens" | "gen_ai.usage.prompt_tokens" => fields.usage.input = value.as_u64(),
            "gen_ai.usage.output_tokens" | "gen_ai.usage.completion_tokens" => fields.usage.output = value.as_u64(),
            "gen_ai.tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.id" => span.tool().call_id = value.into_text(),
            "gen_ai.tool.call.arguments" => span.tool().arguments = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.result" => span.tool().result = value.into_text(),
            "gen_ai.input.messages" => return span.add_input_messages(Rank::Normal, value),
            "gen_ai.output.messages" => return span.add_output_messages(Rank::Normal, value),
            "gen_ai.tool.definitions" => return span.offer_tools(value),
            "gen_ai.retrieval.documents" => return span.set_documents(value),
            "gen_ai.retrieval.query.text" => fields.input_text = value.into_text(),
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, name: &str, attributes: Value<'_>, _span: &mut SpanBuilder) {
        self.0.get_or_insert_default().add_span_event(name, &attributes);
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if let Some(content) = self.0 {
            content.add_to(span);
        }
    }
}

fn span_kind(operation: &str) -> Option<SpanKind> {
    match operation {
        "chat" | "text_completion" | "generate_content" | "completion" | "llm_request" => Some(SpanKind::Llm),
        "execute_tool" => Some(SpanKind::Tool),
        "invoke_agent" | "create_agent" => Some(SpanKind::Agent),
        "invoke_workflow" | "execute_task" => Some(SpanKind::Chain),
        "retrieval" | "vector_db_retrieve" => Some(SpanKind::Retriever),
        "embeddings" => Some(SpanKind::Embedding),
        _ => None,
    }
}

/// Messages and finish reasons from events.
#[derive(Debug, Default)]
pub(in crate::parse) struct EventContent {
    input: Vec<Message>,
    output: Vec<Message>,
    finish_reasons: Vec<String>,
}

impl EventContent {
    /// Adds an event that is a log record: `gen_ai.user.message`, `gen_ai.choice`. Other events are ignored.
    pub(in crate::parse) fn add(&mut self, name: &str, body: &Value<'_>) {
        let role = name.strip_prefix("gen_ai.").and_then(|rest| rest.strip_suffix(".message"));
        if let Some(role) = role {
            let mut message = messages::message(body).unwrap_or_default();
            if message.role.is_empty() {
                role.clone_into(&mut message.role);
            }
            self.input.push(message);
        } else if name == "gen_ai.choice" {
            self.finish_reasons.extend(body.text_at("finish_reason"));
            let mut message = messages::message(body.get("message")).unwrap_or_default();
            if message.role.is_empty() {
                "assistant".clone_into(&mut message.role);
            }
            if message.tool_calls.is_empty() {
                message.tool_calls = body.get("tool_calls").items().iter().filter_map(messages::tool_call).collect();
            }
            self.output.push(message);
        }
    }

    /// Adds an event on a span. Its messages are in `gen_ai.event.content` as JSON text, in its own attributes, or, for events about a
    /// whole call, in one attribute per direction.
    fn add_span_event(&mut self, name: &str, attributes: &Value<'_>) {
        let (input_key, output_key) = match name {
            "gen_ai.content.prompt" | "gen_ai.content.completion" => ("gen_ai.prompt", "gen_ai.completion"),
            "gen_ai.client.inference.operation.details" => ("gen_ai.input.messages", "gen_ai.output.messages"),
            _ => {
                return match attributes.get("gen_ai.event.content").tree() {
                    Some(body) => self.add(name, &body),
                    None => self.add(name, attributes),
                };
            }
        };
        self.input.extend(messages_or_text(attributes.get(input_key)).0);
        let (output, finish_reasons) = messages_or_text(attributes.get(output_key));
        self.output.extend(output);
        self.finish_reasons.extend(finish_reasons);
    }

    /// Appends the content to a span.
    pub(in crate::parse) fn append_to(self, span: &mut Span) {
        span.input.extend(self.input);
        span.output.extend(self.output);
        span.finish_reasons.extend(self.finish_reasons);
    }

    /// Adds the content to a span whose attributes take precedence.
    fn add_to(self, span: &mut SpanBuilder) {
        span.push_input(Rank::Fallback, self.input);
        span.push_output(Rank::Fallback, self.output);
        for reason in self.finish_reasons {
            span.add_finish_reasons(Rank::Low, Value::Text(reason.into()));
        }
    }
}

/// The messages in a value with their finish reasons. Plain text is one message without a role.
fn messages_or_text(value: &Value<'_>) -> (Vec<Message>, Vec<String>) {
    let found = value.tree().and_then(|tree| messages::from_tree(&tree)).filter(|(found, _)| !found.is_empty());
    found.unwrap_or_else(|| {
        let content = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        (content.map(|content| Message { content, ..Message::default() }).into_iter().collect(), Vec::new())
    })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::*;

    #[test]
    fn messages_in_events_count_if_the_attributes_have_none() {
        let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
        let mut span = SpanMapper::new(Span::default());
        span.add_event("gen_ai.user.message", [text("gen_ai.event.content", r#"{"role":"user","content":"hi"}"#)]);
        span.add_event("gen_ai.system.message", [text("content", "Be brief.")]);
        span.add_event("gen_ai.choice", [text("gen_ai.event.content", r#"{"finish_reason":"length","message":{"content":"cut"}}"#)]);
        span.add_event("exception", [text("exception.type", "E"), text("exception.message", "m")]);
        let span = span.finish();
        assert_eq!(span.input.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["user", "system"]);
        assert_eq!((span.kind, span.output[0].content.as_str(), span.finish_reasons[0].as_str()), (SpanKind::Llm, "cut", "length"));
        assert_eq!(span.exceptions[0].kind, "E");
        let mut openlit = SpanMapper::new(Span::default());
        openlit.add_event("gen_ai.content.prompt", [text("gen_ai.prompt", r#"[{"role":"user","content":"old"}]"#)]);
        openlit.add_event("gen_ai.content.completion", [text("gen_ai.completion", "plain")]);
        let openlit = openlit.finish();
        assert_eq!((openlit.input[0].content.as_str(), openlit.output[0].content.as_str()), ("old", "plain"));
        let mut both = SpanMapper::new(Span::default());
        both.add_event("gen_ai.user.message", [text("content", "event")]);
        both.set_attribute("gen_ai.input.messages".into(), Value::Text(r#"[{"role":"user","content":"attribute"}]"#.into()));
        assert_eq!(both.finish().input[0].content, "attribute");
    }
}
