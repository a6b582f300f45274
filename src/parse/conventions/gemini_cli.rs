//! Gemini CLI.
//!
//! Specification: <https://github.com/google-gemini/gemini-cli/blob/main/docs/cli/telemetry.md>; checked against the sources of August 2026.
//!
//! ```json
//! {"name": "llm_call", "attributes": {"gen_ai.operation.name": "llm_call", "gen_ai.request.model": "gemini-2.5-pro",
//!  "gen_ai.input.messages": "[{\"role\": \"user\", \"parts\": [{\"text\": \"…\"}]}]", "gen_ai.output.messages": "{\"parts\": […], \"role\": \"model\"}"}}
//! {"name": "tool_call", "attributes": {"gen_ai.operation.name": "tool_call", "gen_ai.tool.name": "read_file", "gen_ai.tool.call_id": "c1",
//!  "gen_ai.input.messages": "{\"callId\": \"c1\", \"name\": \"read_file\", \"args\": {…}}",
//!  "gen_ai.output.messages": "{\"status\": \"error\", \"response\": {\"responseParts\": […], \"error\": {}, \"errorType\": \"file_not_found\"}}"}}
//! ```
//!
//! Everything else follows [`gen_ai`](super::gen_ai), including the log record `gen_ai.client.inference.operation.details`.
//!
//! Quirks of real exporters:
//! - The messages of a tool's span are its request and its completed call. A call that failed without an exception has the status OK.
//! - Values longer than 10,000 characters end with `...[TRUNCATED: original length N]`.
//! - A span of a model call has no finish reason; the log record has it.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState};
use crate::parse::messages;
use crate::parse::value::Value;

/// The convention of Gemini CLI; see the [module docs](self).
pub(super) struct GeminiCli;

impl Convention for GeminiCli {
    fn name(&self) -> &'static str {
        "gemini_cli"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["gen_ai.tool.call_id", "gen_ai.input.messages", "gen_ai.output.messages"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for GeminiCli {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "gen_ai.tool.call_id" => span.tool().call_id = value.into_text(),
            "gen_ai.input.messages" if span.fields.name == "tool_call" => {
                let arguments = span.decode(&value).map(|tree| tree.get("args").to_text()).filter(|arguments| !arguments.is_empty());
                let Some(arguments) = arguments else { return Some(value) };
                span.tool().arguments = arguments;
            }
            "gen_ai.output.messages" if span.fields.name == "tool_call" => {
                let Some(call) = span.decode(&value).map(|tree| tree.into_owned().into_owned()) else { return Some(value) };
                set_completed_call(&call, span);
            }
            _ => return Some(value),
        }
        None
    }
}

fn set_completed_call(call: &Value<'_>, span: &mut SpanBuilder) {
    let response = call.get("response");
    let message = Value::Map(vec![("role".into(), Value::Text("tool".into())), ("parts".into(), response.get("responseParts").clone())]);
    let result = messages::message(&message).map(|message| message.content).filter(|content| !content.is_empty());
    let result = result.or_else(|| response.text_at("resultDisplay"));
    if call.get("status").as_str() == Some("error") {
        span.fail(result.clone());
        span.fields.error_type = span.fields.error_type.take().or(response.text_at("errorType"));
    }
    span.tool().result = result;
}

#[cfg(test)]
mod tests {
    use super::super::tests::named_span as span;
    use crate::model::{SpanKind, Status};

    #[test]
    fn a_tool_that_failed_without_an_exception_is_found() {
        let call = span(
            "tool_call",
            &[
                ("gen_ai.operation.name", "tool_call"),
                ("gen_ai.tool.name", "read_file"),
                ("gen_ai.tool.call_id", "c1"),
                ("gen_ai.input.messages", r#"{"callId":"c1","name":"read_file","args":{"path":"a.rs"}}"#),
                (
                    "gen_ai.output.messages",
                    r#"{"status":"error","response":{"callId":"c1","responseParts":[{"functionResponse":{"id":"c1","name":"read_file","response":{"error":"File not found: a.rs"}}}],"error":{},"errorType":"file_not_found"}}"#,
                ),
            ],
        );
        let tool = call.tool.as_ref().unwrap();
        assert_eq!((call.kind, tool.arguments.as_str(), tool.call_id.as_deref()), (SpanKind::Tool, r#"{"path":"a.rs"}"#, Some("c1")));
        assert_eq!((call.status, call.status_message.as_deref()), (Status::Error, Some(r#"{"error":"File not found: a.rs"}"#)));
    }

    #[test]
    fn a_model_call_has_contents_of_gemini() {
        let call = span(
            "llm_call",
            &[
                ("gen_ai.operation.name", "llm_call"),
                ("gen_ai.input.messages", r#"[{"role":"user","parts":[{"text":"hi"}]}]"#),
                ("gen_ai.output.messages", r#"{"parts":[{"text":"hello"}],"role":"model"}"#),
            ],
        );
        assert_eq!((call.kind, call.input[0].content.as_str(), call.output[0].content.as_str()), (SpanKind::Llm, "hi", "hello"));
    }
}
