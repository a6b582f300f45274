//! Errors of the OpenAI Agents SDK, which its exporters write to the status of a span in different forms.
//!
//! Specification: <https://openai.github.io/openai-agents-python/tracing/>; checked against openai-agents 0.0.16, 0.3 and 0.24 with the
//! instrumentations of `OpenInference` (2.6) and `OpenLLMetry` (0.62). Logfire's instrumentation is in [`logfire`](super::logfire).
//!
//! ```json
//! {"name": "lookup", "attributes": {"openinference.span.kind": "TOOL"},
//!  "status": {"code": 2, "message": "Error running tool (non-fatal): {'tool_name': 'lookup', 'error': 'order A-17 does not exist'}"}}
//! {"name": "lookup.tool", "attributes": {"traceloop.span.kind": "tool"},
//!  "status": {"code": 2, "message": "{'message': 'Error running tool (non-fatal)', 'data': {'tool_name': 'lookup', 'error': '…'}}"}}
//! ```
//!
//! The content of the spans follows the conventions of the instrumentation.
//!
//! Quirks of real exporters:
//! - The data of an error are Python's `repr` of a dictionary, after the message (`OpenInference`) or with it (`OpenLLMetry`).
//! - The text of a tool's error is redacted by default (0.24).
//! - A workflow whose run failed has the status ok (`OpenInference` 2.6, `OpenLLMetry` 0.62).

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState};
use crate::parse::value::Value;

/// The convention of the OpenAI Agents SDK; see the [module docs](self).
pub(super) struct OpenAiAgents;

impl Convention for OpenAiAgents {
    fn name(&self) -> &'static str {
        "openai_agents"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["openinference", "traceloop"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for OpenAiAgents {
    fn set_attribute<'v>(&mut self, _key: &str, value: Value<'v>, _span: &mut SpanBuilder) -> Option<Value<'v>> {
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let is_of_sdk = span.fields.instrumentation.as_deref().is_some_and(|scope| scope.ends_with("instrumentation.openai_agents"));
        if is_of_sdk && let Some(text) = span.fields.status_message.as_deref().and_then(readable_error) {
            span.fields.status_message = Some(text);
        }
    }
}

/// The text of an error in a status: `message: {data}`, or an object with both.
fn readable_error(status: &str) -> Option<String> {
    if status.starts_with('{') {
        let error = Value::Text(status.into());
        return error_text(error.any_tree()?.as_ref());
    }
    let (message, data) = status.split_once(": {")?;
    let data = Value::Text(format!("{{{data}").into());
    Some(text_of(message, data.any_tree()?.as_ref()))
}

/// The text of an error of the SDK: `{"message": "Error running tool", "data": {"tool_name": "lookup", "error": "502"}}` -> `502`.
pub(in crate::parse) fn error_text(error: &Value<'_>) -> Option<String> {
    let message = error.get("message").as_str()?;
    Some(text_of(message, error.get("data")))
}

/// What the data say went wrong, or the message with the data. The message `Error running tool` says only where.
fn text_of(message: &str, data: &Value<'_>) -> String {
    let is_readable = |detail: &&str| !detail.trim().is_empty() && !detail.contains("redacted");
    match data.first(&["error", "details"]).as_str().filter(is_readable) {
        Some(detail) => detail.to_owned(),
        None if data.is_empty() => message.to_owned(),
        None => format!("{message}: {}", data.to_text()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::*;
    use crate::model::{Span, Status};

    #[test]
    fn the_cause_is_found_in_the_status() {
        let read = |scope: &str, key: &'static str, status: &str| {
            let mut span = SpanMapper::new(Span {
                status: Status::Error,
                status_message: Some(status.into()),
                instrumentation: Some(scope.into()),
                ..Span::default()
            });
            span.set_attribute(key.into(), Value::Text("TOOL".into()));
            span.finish().status_message.unwrap_or_default()
        };
        let openinference = |status| read("openinference.instrumentation.openai_agents", "openinference.span.kind", status);
        let tool = "Error running tool (non-fatal): {'tool_name': 'lookup', 'error': \"order 'A-17' does not exist\"}";
        assert_eq!(openinference(tool), "order 'A-17' does not exist");
        assert_eq!(openinference("Max turns exceeded: {'max_turns': 3}"), r#"Max turns exceeded: {"max_turns":3}"#);
        assert_eq!(openinference("Invalid JSON provided: {}"), "Invalid JSON provided");
        let openllmetry = |status| read("opentelemetry.instrumentation.openai_agents", "traceloop.span.kind", status);
        assert_eq!(openllmetry("{'message': 'Error in agent run', 'data': {'error': '502 Bad Gateway'}}"), "502 Bad Gateway");
        let redacted = "{'message': 'Error running tool', 'data': {'error': 'Error details are redacted.'}}";
        assert_eq!(openllmetry(redacted), r#"Error running tool: {"error":"Error details are redacted."}"#);
        assert_eq!(read("other", "traceloop.span.kind", tool), tool);
    }
}
