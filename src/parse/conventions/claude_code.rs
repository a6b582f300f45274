//! Claude Code and the Claude Agent SDK, whose spans have attributes without a namespace.
//!
//! Specification: <https://code.claude.com/docs/en/monitoring-usage>, tracing beta of Claude Code 2.1.
//!
//! ```json
//! {"name": "claude_code.llm_request", "attributes": {"gen_ai.system": "anthropic", "model": "claude-sonnet-4-6", "input_tokens": 12, "stop_reason": "tool_use"}}
//! {"name": "claude_code.tool", "attributes": {"tool_name": "Bash", "full_command": "cargo test", "tool_use_id": "toolu_1"}}
//! {"name": "claude_code.tool.execution", "attributes": {"success": false, "error": "ShellError"}}
//! ```
//!
//! Quirks of real exporters:
//! - Only `llm_request`, `tool.execution` and `hook` have an error status. The execution is a child of the tool's span and does not repeat its name.
//! - Prompts, tool inputs and outputs are recorded only on request; without it a prompt is `<REDACTED>`.
//! - Input and output of a tool are attributes of the event `tool.output`. Whole requests and responses are log records `api_request_body` and
//!   `api_response_body`.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Message, SpanKind};
use crate::parse::value::Value;

/// The convention of Claude Code; see the [module docs](self).
pub(super) struct ClaudeCode;

impl Convention for ClaudeCode {
    fn name(&self) -> &'static str {
        "claude_code"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[
            "span",
            "model",
            "input_tokens",
            "output_tokens",
            "success",
            "error",
            "status_code",
            "stop_reason",
            "user_prompt",
            "tool_name",
            "tool_use_id",
            "tool_input",
            "full_command",
            "file_path",
            "response",
            "body",
        ]
    }

    fn reads_event(&self, name: &str) -> bool {
        name == "tool.output"
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(ClaudeCodeState::default())
    }
}

/// What a span says about its failure.
#[derive(Default)]
struct ClaudeCodeState {
    failed: bool,
    error: Option<String>,
}

impl ConventionState for ClaudeCodeState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let Some(step) = step(&span.fields.name) else { return Some(value) };
        if let Some(kind) = span_kind(step) {
            span.set_kind(Rank::High, kind);
        }
        match (step, key) {
            (_, "success") => {
                self.failed = matches!(value, Value::Bool(false)) || value.as_str() == Some("false");
                return Some(value);
            }
            (_, "error") => self.error = value.into_text(),
            ("llm_request", "model") => span.set_model(Rank::Fallback, value),
            ("llm_request", "input_tokens") => span.fields.usage.input = value.as_u64(),
            ("llm_request", "output_tokens") => span.fields.usage.output = value.as_u64(),
            ("llm_request", "stop_reason") => span.add_finish_reasons(Rank::Low, value),
            ("llm_request", "status_code") => span.keep_attribute("http.response.status_code".into(), value),
            ("llm_request", "response.model_output") => {
                let message = Message { role: "assistant".into(), content: value.into_text().unwrap_or_default(), ..Message::default() };
                span.push_output(Rank::Normal, vec![message]);
            }
            ("interaction", "user_prompt") if value.as_str() != Some("<REDACTED>") => span.set_input(Rank::Normal, value),
            ("tool", "tool_name") => span.tool().name = value.into_text().unwrap_or_default(),
            ("tool", "tool_use_id") => span.tool().call_id = value.into_text(),
            ("tool", "tool_input") => span.tool().arguments = value.into_text().unwrap_or_default(),
            ("tool", "full_command" | "file_path") => {
                let tool = span.tool();
                if tool.arguments.is_empty() {
                    tool.arguments = Value::Map(vec![(key.to_owned().into(), value)]).to_text();
                }
            }
            ("api_request_body", "body") => return span.add_input_messages(Rank::Normal, value),
            ("api_response_body", "body") => return span.add_output_messages(Rank::Normal, value),
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, _name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        if step(&span.fields.name) != Some("tool") {
            return;
        }
        let input = attributes.first(&["input", "tool_input"]);
        let output = attributes.first(&["output", "tool_output", "content", "result"]);
        let tool = span.tool();
        if !input.is_empty() {
            tool.arguments = input.to_text();
        }
        if !output.is_null() {
            tool.result = Some(output.to_text());
        }
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let Some(step) = step(&span.fields.name) else { return };
        if self.failed {
            span.fail(self.error);
            if step == "tool.execution" {
                span.fields.kind = SpanKind::Tool;
            }
        }
    }
}

/// `llm_request` of the span `claude_code.llm_request`, or the name of a log record.
fn step(name: &str) -> Option<&'static str> {
    const STEPS: [&str; 8] =
        ["interaction", "llm_request", "tool", "tool.execution", "tool.blocked_on_user", "hook", "api_request_body", "api_response_body"];
    let is_log = |step: &str| step.ends_with("_body");
    STEPS.into_iter().find(|step| name.strip_prefix("claude_code.").map_or(is_log(step) && name == *step, |rest| rest == *step))
}

fn span_kind(step: &str) -> Option<SpanKind> {
    match step {
        "interaction" => Some(SpanKind::Agent),
        "llm_request" => Some(SpanKind::Llm),
        "tool" => Some(SpanKind::Tool),
        "tool.execution" | "tool.blocked_on_user" | "hook" => Some(SpanKind::Chain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::super::tests::named_span as span;
    use super::*;
    use crate::model::{Span, Status};

    /// The cause, which the general convention reads from `error`.
    fn cause(span: &Span) -> Option<&str> {
        span.status_message.as_deref().or(span.exceptions.first().map(|exception| exception.message.as_str()))
    }

    #[test]
    fn a_failed_request_has_its_cause() {
        let call = span(
            "claude_code.llm_request",
            &[
                ("model", "claude-sonnet-4-6"),
                ("success", "false"),
                ("error", "529 Overloaded"),
                ("status_code", "529"),
                ("input_tokens", "0"),
            ],
        );
        assert_eq!((call.kind, call.status, cause(&call)), (SpanKind::Llm, Status::Error, Some("529 Overloaded")));
        assert_eq!((call.model.as_deref(), call.attribute("http.response.status_code")), (Some("claude-sonnet-4-6"), Some("529")));
        let other = span("request", &[("error", "late"), ("success", "false"), ("model", "T")]);
        assert_eq!((other.kind, other.model.as_deref()), (SpanKind::Other, None));
    }

    #[test]
    fn a_tool_has_its_input_and_output() {
        let mut tool = SpanMapper::new(Span { name: "claude_code.tool".into(), ..Span::default() });
        let text = |key: &'static str, value: &'static str| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
        for (key, value) in [text("tool_name", "Bash"), text("full_command", "cargo test")] {
            tool.set_attribute(key, value);
        }
        tool.add_event("tool.output", [text("output", "exit code: 101")]);
        let tool = tool.finish().tool.unwrap();
        assert_eq!(
            (tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()),
            ("Bash", r#"{"full_command":"cargo test"}"#, Some("exit code: 101"))
        );
        let execution = span("claude_code.tool.execution", &[("success", "false"), ("error", "Error:ENOENT")]);
        assert_eq!((execution.kind, cause(&execution)), (SpanKind::Tool, Some("Error:ENOENT")));
    }
}
