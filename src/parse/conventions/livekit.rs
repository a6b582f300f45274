//! `LiveKit` Agents.
//!
//! Specification: <https://docs.livekit.io/agents/build/metrics/>; checked against the sources of livekit-agents 1.2 and 1.8.9.
//!
//! ```json
//! {"name": "function_tool", "attributes": {"lk.function_tool.id": "call_1", "lk.function_tool.name": "lookup",
//!  "lk.pii.function_tool.arguments": "{\"id\": 17}", "lk.pii.function_tool.output": "no such order", "lk.function_tool.is_error": true}}
//! {"name": "llm_node", "attributes": {"lk.pii.chat_ctx": "{\"items\": […]}", "lk.pii.response.text": "It is late.", "lk.function_tools": ["lookup"]}}
//! ```
//!
//! The call of the provider is the span `llm_request` below `llm_node`; it follows [`gen_ai`](super::gen_ai).
//!
//! Quirks of real exporters:
//! - Names of attributes with content have `pii` in them since 1.8: `lk.pii.chat_ctx`, before `lk.chat_ctx`.
//! - A tool that fails has no error status. `lk.function_tool.is_error` says it, and its output is the message for the model.
//! - An `llm_node` that calls no provider of `LiveKit` has the attributes of a model call itself (1.8).
//! - An exception is an event and also three attributes.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Message, SpanKind};
use crate::parse::messages;
use crate::parse::value::Value;

/// The convention of `LiveKit` Agents; see the [module docs](self).
pub(super) struct LiveKit;

impl Convention for LiveKit {
    fn name(&self) -> &'static str {
        "livekit"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["lk"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(LiveKitState::default())
    }
}

/// What a tool reported, whose meaning depends on whether it failed.
#[derive(Default)]
struct LiveKitState {
    output: Option<String>,
    is_error: bool,
}

impl ConventionState for LiveKitState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let field = key.strip_prefix("lk.").unwrap_or(key);
        match field.strip_prefix("pii.").unwrap_or(field) {
            "function_tool.id" => span.tool().call_id = value.into_text(),
            "function_tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "function_tool.arguments" => span.tool().arguments = value.into_text().unwrap_or_default(),
            "function_tool.output" => self.output = value.into_text(),
            "function_tool.is_error" => self.is_error = matches!(value, Value::Bool(true)) || value.as_str() == Some("true"),
            "chat_ctx" => {
                span.set_kind(Rank::Low, SpanKind::Chain);
                return span.add_input_messages(Rank::Low, value);
            }
            "response.text" | "user_transcript" => span.set_output(Rank::Low, value),
            "response.function_calls" => {
                let calls: Vec<_> =
                    span.decode(&value).map(|tree| tree.items().iter().filter_map(messages::tool_call).collect()).unwrap_or_default();
                if calls.is_empty() {
                    return (!matches!(value.as_str(), Some("" | "[]"))).then_some(value);
                }
                span.push_output(Rank::Low, vec![Message { role: "assistant".into(), tool_calls: calls, ..Message::default() }]);
            }
            "function_tools" => return span.offer_tools(value),
            "user_input" | "input_text" => span.set_input(Rank::Low, value),
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let name = span.fields.name.as_str();
        match name {
            "function_tool" => span.set_kind(Rank::Normal, SpanKind::Tool),
            "agent_turn" | "agent_session" => span.set_kind(Rank::Low, SpanKind::Agent),
            _ => {}
        }
        if self.is_error {
            span.fail(self.output.clone());
        }
        if let Some(output) = self.output {
            span.tool().result = Some(output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::named_span as span;
    use super::*;

    #[test]
    fn a_tool_that_returned_an_error_failed() {
        for (arguments, output) in
            [("lk.pii.function_tool.arguments", "lk.pii.function_tool.output"), ("lk.function_tool.arguments", "lk.function_tool.output")]
        {
            let tool = span(
                "function_tool",
                &[
                    ("lk.function_tool.name", "lookup"),
                    (arguments, r#"{"id": 17}"#),
                    (output, "no such order"),
                    ("lk.function_tool.is_error", "true"),
                ],
            );
            assert_eq!((tool.kind, tool.failed(), tool.status_message.as_deref()), (SpanKind::Tool, true, Some("no such order")));
            assert_eq!(tool.tool.unwrap().arguments, r#"{"id": 17}"#);
        }
    }

    #[test]
    fn a_node_is_no_model_call() {
        let node = span(
            "llm_node",
            &[
                ("lk.pii.chat_ctx", r#"{"items": [{"id": "1", "type": "message", "role": "user", "content": ["Where is A-17?"]}]}"#),
                ("lk.pii.response.text", "It is late."),
                ("lk.pii.response.function_calls", r#"[{"id": "1", "call_id": "c1", "arguments": "{}", "name": "lookup"}]"#),
            ],
        );
        assert_eq!((node.kind, node.input[0].content.as_str()), (SpanKind::Chain, "Where is A-17?"));
        assert_eq!(node.output[0].tool_calls[0].id.as_deref(), Some("c1"));
    }
}
