//! Codex CLI of OpenAI.
//!
//! Specification: <https://developers.openai.com/codex/config-advanced>, section on observability; checked against `codex-rs/otel` of 2026.
//!
//! ```json
//! {"name": "event otel/src/events/session_telemetry.rs:877", "attributes": {"event.name": "codex.tool_result", "tool_name": "shell", "call_id": "c1",
//!  "success": "false", "error.message": "exit code 101"}}
//! ```
//!
//! Quirks of real exporters:
//! - The spans are those of Rust's `tracing` library. What happened is in their events, whose names are a place in the source; the name is in
//!   the attribute `event.name`.
//! - Arguments and outputs of tools are only in log records.
//! - A failed request has no error status.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The convention of Codex; see the [module docs](self).
pub(super) struct Codex;

impl Convention for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn reads_event(&self, name: &str) -> bool {
        name.starts_with("codex.") || (name.starts_with("event ") && name.contains("otel"))
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(CodexState::default())
    }
}

/// The error of the last request or tool; an earlier one was repeated.
#[derive(Default)]
struct CodexState(Option<String>);

impl ConventionState for CodexState {
    fn set_attribute<'v>(&mut self, _key: &str, value: Value<'v>, _span: &mut SpanBuilder) -> Option<Value<'v>> {
        Some(value)
    }

    fn add_event(&mut self, name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        let event = attributes.get("event.name").as_str().unwrap_or(name);
        match event {
            "codex.api_request" | "codex.websocket_request" | "codex.websocket_connect" | "codex.sse_event" => {
                span.set_kind(Rank::Normal, SpanKind::Llm);
                let usage = &mut span.fields.usage;
                usage.input = attributes.get("input_token_count").as_u64().or(usage.input);
                usage.output = attributes.get("output_token_count").as_u64().or(usage.output);
            }
            "codex.tool_result" => {
                span.set_kind(Rank::Low, SpanKind::Tool);
                let tool = span.tool();
                tool.name = attributes.text_at("tool_name").unwrap_or_default();
                tool.call_id = attributes.text_at("call_id");
            }
            _ => return,
        }
        self.0 = attributes.text_at("error.message").filter(|message| !message.is_empty());
        if self.0.is_none() && attributes.get("success").as_str() == Some("false") {
            self.0 = Some(format!("{event} failed"));
        }
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if self.0.is_some() {
            span.fail(self.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::*;
    use crate::model::{Span, Status};

    #[test]
    fn the_last_attempt_decides() {
        let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
        let request = |error: Option<&'static str>| {
            [Some(text("event.name", "codex.api_request")), error.map(|error| text("error.message", error))]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
        };
        let name = "event otel/src/events/session_telemetry.rs:412";
        let mut span = SpanMapper::new(Span::default());
        span.add_event(name, request(Some("429 Too Many Requests")));
        span.add_event(name, request(None));
        let recovered = span.finish();
        assert_eq!((recovered.kind, recovered.status), (SpanKind::Llm, Status::Unset));
        let mut span = SpanMapper::new(Span::default());
        span.add_event(name, request(Some("429 Too Many Requests")));
        assert_eq!(span.finish().status_message.as_deref(), Some("429 Too Many Requests"));
    }
}
