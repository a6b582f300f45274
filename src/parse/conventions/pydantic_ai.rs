//! Pydantic AI's own instrumentation (`Agent.instrument_all()`, `logfire.instrument_pydantic_ai()`).
//!
//! Specification: <https://ai.pydantic.dev/logfire/> and the sources of `pydantic_ai.models.instrumented` and
//! `pydantic_ai.capabilities.instrumentation`; checked against 0.0.20, 0.0.30, 0.0.52, 0.2.20, 0.4.11, 0.8.1, 1.0.18, 1.30 and 2.68.
//!
//! ```json
//! {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
//!  "model_request_parameters": "{\"function_tools\": [{\"name\": \"lookup\"}], \"output_tools\": []}",
//!  "events": "[{\"event.name\": \"gen_ai.user.message\", \"content\": \"Where is A-17?\"}, {\"event.name\": \"gen_ai.choice\", \"message\": {…}}]"}
//! {"gen_ai.tool.name": "lookup", "gen_ai.tool.call.id": "c1", "tool_arguments": "{\"id\": 17}", "tool_response": "late"}
//! {"agent_name": "support", "model_name": "gpt-4o", "all_messages_events": "[…]", "final_result": "The order is late."}
//! ```
//!
//! Version 1 of its data format (the default before 1.0) has `events` on model calls and `all_messages_events` on runs; versions 2 to 6 have
//! `gen_ai.input.messages`, `gen_ai.output.messages` and `pydantic_ai.all_messages`. Tools have `tool_arguments` and `tool_response`, since
//! version 3 `gen_ai.tool.call.arguments` and `gen_ai.tool.call.result`.
//!
//! Quirks of real exporters:
//! - Before 1.0 there is no finish reason (0.4.11).
//! - An error that is returned to the model (`ToolRetryError`) has no message before 2.0; the text is in `tool_response`, and its cause in the stack
//!   trace (0.4.11, 1.30).
//! - `UnexpectedModelBehavior: Exceeded maximum retries` does not say what was wrong; the stack trace begins with the cause (0.4.11).
//! - Without `include_content` messages have no content and exceptions no message (2.68).
//! - Until 0.0.29 there are only spans of the Logfire API: `model request` with the answer in `response`, and no span for a tool.

use super::event_list::EventList;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Exception, Message, Span, SpanKind, last_segment};
use crate::parse::value::Value;
use crate::parse::{error_text, messages};

/// The Pydantic AI convention; see the [module docs](self).
pub(super) struct PydanticAi;

impl Convention for PydanticAi {
    fn name(&self) -> &'static str {
        "pydantic_ai"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &[
            "pydantic_ai",
            "events",
            "model_request_parameters",
            "tool_arguments",
            "tool_response",
            "final_result",
            "all_messages_events",
            "all_messages",
            "agent_name",
            "run_step",
        ]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(PydanticAiState::default())
    }
}

#[derive(Default)]
struct PydanticAiState {
    events: Option<EventList>,
    /// The messages of a run, with those of earlier runs.
    history: Option<Vec<Message>>,
    /// How many messages of the history are from earlier runs.
    earlier_messages: usize,
}

impl ConventionState for PydanticAiState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "events" => {
                let Some(events) = span.decode(&value).and_then(|tree| EventList::read(&tree)) else { return Some(value) };
                self.events = Some(events);
            }
            "model_request_parameters" => offer_tools(&value, span),
            "tool_arguments" => span.tool().arguments = value.into_text().unwrap_or_default(),
            "tool_response" => span.tool().result = value.into_text(),
            "final_result" => span.set_output(Rank::Normal, value),
            "all_messages_events" | "pydantic_ai.all_messages" | "all_messages" => {
                let Some(history) = span.decode(&value).and_then(|tree| messages_of_run(&tree)) else { return Some(value) };
                self.history = Some(history);
            }
            "pydantic_ai.new_message_index" => {
                self.earlier_messages = value.as_u64().and_then(|count| usize::try_from(count).ok()).unwrap_or_default();
                return Some(value);
            }
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if let Some(events) = self.events {
            let answered = !span.fields.failed() && span.has_answer();
            events.add_to(span, answered);
        }
        match span.fields.name.as_str() {
            "agent run" => span.set_kind(Rank::Low, SpanKind::Agent),
            "running tools" | "running {tools=}" => span.set_kind(Rank::Low, SpanKind::Chain),
            name if name.starts_with("model request") => add_old_answer(span),
            _ => {}
        }
        let mut retry = None;
        if let Some(history) = self.history {
            span.set_kind(Rank::Fallback, SpanKind::Agent);
            let is_task = |message: &&Message| message.role == "user" && message.tool_call_id.is_none();
            if let Some(task) = history.iter().skip(self.earlier_messages).find(is_task) {
                span.set_input(Rank::Fallback, Value::Text(task.content.clone().into()));
            }
            // What was wrong with the answer is in the last request to repeat it.
            retry = history.into_iter().rev().map(|message| message.content).find(|text| text.trim_end().ends_with(RETRY));
        }
        explain_errors(&mut span.fields, retry);
    }
}

/// How Pydantic AI ends a request to repeat a call or an answer.
const RETRY: &str = "Fix the errors and try again.";

/// The messages in the history of a run: events (format version 1), messages (2 and later), or Pydantic AI's own (until 0.0.29).
fn messages_of_run(tree: &Value<'_>) -> Option<Vec<Message>> {
    match EventList::read(tree) {
        Some(events) => Some(events.into_messages()),
        None => messages::conversation(tree).map(|found| found.messages),
    }
}

/// The tools that the model may call. Those that the provider runs have no definition here, so with any of them every call may be valid.
fn offer_tools(value: &Value<'_>, span: &mut SpanBuilder) {
    let Some(parameters) = span.decode(value) else { return };
    if ["builtin_tools", "native_tools"].iter().any(|key| !parameters.get(key).is_empty()) {
        return;
    }
    let defined = ["function_tools", "output_tools", "result_tools"].iter().flat_map(|key| parameters.get(key).items());
    span.fields.tools_offered.extend(defined.filter_map(messages::tool_name));
}

/// The answer on a model call of the versions until 0.0.29.
fn add_old_answer(span: &mut SpanBuilder) {
    let Some(response) = span.take_attribute("response") else { return };
    span.set_kind(Rank::Low, SpanKind::Llm);
    span.set_output(Rank::Normal, Value::Text(response.into()));
    if let Some(usage) = span.take_attribute("usage").as_deref().and_then(Value::parse) {
        span.fields.usage.input = usage.get("request_tokens").as_u64();
        span.fields.usage.output = usage.get("response_tokens").as_u64();
    }
}

/// Adds what an exception does not say itself: the text that was returned to the model, and the cause in its stack trace or in the last request to
/// repeat the answer.
fn explain_errors(span: &mut Span, retry: Option<String>) {
    let Some(last) = span.exceptions.last_mut() else { return };
    let kind = last_segment(&last.kind).to_owned();
    let has_message = |exception: &Exception| !exception.message.trim().is_empty();
    let cause = last.stack.as_deref().map(error_text::causes).unwrap_or_default().into_iter().rfind(has_message);
    if !has_message(last) {
        let returned = span.tool.as_ref().and_then(|tool| tool.result.clone());
        let Some(message) = returned.or(cause.map(|cause| cause.message)) else { return };
        last.message.clone_from(&message);
        // The status repeats the exception: `ToolRetryError: `.
        if span.status_message.as_deref().is_some_and(|status| status.trim_end().strip_suffix(':') == Some(kind.as_str())) {
            span.status_message = Some(format!("{kind}: {message}"));
        }
    } else if kind == "UnexpectedModelBehavior"
        && let Some(cause) = cause.or(retry.map(|message| Exception { message, ..Exception::default() }))
    {
        span.exceptions.insert(0, cause);
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;
    use crate::model::Status;

    /// A span with this name, status message, attributes and exception.
    fn failed(
        name: &str,
        status: &str,
        attributes: &[(&'static str, &'static str)],
        exception: (&'static str, &'static str, &'static str),
    ) -> Span {
        let mut span =
            SpanMapper::new(Span { name: name.into(), status: Status::Error, status_message: Some(status.into()), ..Span::default() });
        for (key, value) in attributes {
            span.set_attribute((*key).into(), Value::Text((*value).into()));
        }
        let (kind, message, stack) = exception;
        span.add_event(
            "exception",
            [("exception.type", kind), ("exception.message", message), ("exception.stacktrace", stack)]
                .map(|(key, value)| (key.into(), Value::Text(value.into()))),
        );
        span.finish()
    }

    #[test]
    fn events_of_a_model_call_are_split_at_the_choice() {
        let span = span_with(&[
            ("gen_ai.operation.name", "chat"),
            (
                "model_request_parameters",
                r#"{"function_tools":[{"name":"f"}],"output_tools":[{"name":"final_result"}],"builtin_tools":[]}"#,
            ),
            (
                "events",
                r#"[{"content":"Be brief.","role":"system","event.name":"gen_ai.system.message"},{"content":["hi",{"kind":"image-url","url":"u"}],"role":"user","event.name":"gen_ai.user.message"},
                {"role":"assistant","tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":{"x":1}}}],"event.name":"gen_ai.assistant.message"},
                {"content":{"n":3},"role":"tool","id":"c1","name":"f","event.name":"gen_ai.tool.message"},
                {"index":0,"message":{"role":"assistant","content":[{"kind":"thinking","text":"hm"},{"kind":"text","text":"done"}]},"event.name":"gen_ai.choice"}]"#,
            ),
        ]);
        let roles: Vec<_> = span.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!(roles, [("system", "Be brief."), ("user", "hi"), ("assistant", ""), ("tool", r#"{"n":3}"#)]);
        assert_eq!((span.input[2].tool_calls[0].arguments.as_str(), span.input[3].tool_call_id.as_deref()), (r#"{"x":1}"#, Some("c1")));
        assert_eq!((span.output.len(), span.output[0].content.as_str(), span.kind), (1, "done", SpanKind::Llm));
        assert_eq!((span.tools_offered.join(" "), span.convention), ("f final_result".into(), Some("pydantic_ai")));
    }

    #[test]
    fn a_run_has_its_task_and_result_in_every_version() {
        for (key, history) in [
            (
                "all_messages_events",
                r#"[{"role":"system","content":"s","event.name":"gen_ai.system.message"},{"role":"user","content":"hi","event.name":"gen_ai.user.message"}]"#,
            ),
            (
                "pydantic_ai.all_messages",
                r#"[{"role":"system","parts":[{"type":"text","content":"s"}]},{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#,
            ),
            (
                "all_messages",
                r#"[{"kind":"request","parts":[{"part_kind":"system-prompt","content":"s"},{"part_kind":"user-prompt","content":"hi"}]}]"#,
            ),
        ] {
            let span = span_with(&[(key, history), ("final_result", r#"{"answer":42}"#), ("agent_name", "support")]);
            assert_eq!(
                (span.kind, span.input_text.as_deref(), span.output_text.as_deref()),
                (SpanKind::Agent, Some("hi"), Some(r#"{"answer":42}"#)),
                "{key}"
            );
            assert!(span.input.is_empty());
        }
    }

    #[test]
    fn a_retry_without_a_message_is_explained() {
        let tool = [("gen_ai.tool.name", "f"), ("tool_arguments", "{}"), ("tool_response", "Unknown tool name: 'f'.")];
        let span = failed("running tool", "ToolRetryError: ", &tool, ("pydantic_ai.exceptions.ToolRetryError", "", ""));
        assert_eq!(
            (span.status_message.as_deref(), span.exceptions[0].message.as_str()),
            (Some("ToolRetryError: Unknown tool name: 'f'."), "Unknown tool name: 'f'.")
        );
        let stack = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\npydantic_core._pydantic_core.ValidationError: 1 validation error for Answer\nx\n  Field required\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2, in h\n    raise ToolRetryError(m) from e\npydantic_ai.exceptions.ToolRetryError\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"c.py\", line 3, in i\n    raise\npydantic_ai.exceptions.UnexpectedModelBehavior: Exceeded maximum retries (1) for output validation\n";
        let kind = "pydantic_ai.exceptions.UnexpectedModelBehavior";
        let span = failed(
            "agent run",
            "UnexpectedModelBehavior: Exceeded …",
            &[("agent_name", "a")],
            (kind, "Exceeded maximum retries (1)", stack),
        );
        assert_eq!(span.exceptions.len(), 2);
        assert_eq!(span.exceptions[0].kind, "pydantic_core._pydantic_core.ValidationError");
        assert_eq!(span.exceptions[0].message, "1 validation error for Answer\nx\n  Field required");
    }

    #[test]
    fn answers_before_0_0_30_are_read() {
        let mut span = SpanMapper::new(Span { name: "model request".into(), ..Span::default() });
        for (key, value) in [
            ("run_step", "1"),
            (
                "response",
                r#"{"parts":[{"content":"hello","part_kind":"text"}],"model_name":"gpt-4o","timestamp":"2025-01-21T00:00:00Z","kind":"response"}"#,
            ),
            ("usage", r#"{"requests":0,"request_tokens":5,"response_tokens":6,"total_tokens":11,"details":{}}"#),
        ] {
            span.set_attribute(key.into(), Value::Text(value.into()));
        }
        let span = span.finish();
        assert_eq!((span.kind, span.output[0].content.as_str(), span.usage.output), (SpanKind::Llm, "hello", Some(6)));
    }
}
