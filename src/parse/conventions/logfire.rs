//! Spans of the Logfire SDK: its instrumentations of OpenAI, Anthropic, the OpenAI Agents SDK and MCP, and errors that a program logs with it.
//!
//! Specification: <https://logfire.pydantic.dev/docs/integrations/> and the sources of `logfire._internal.integrations`; checked against 0.45, 2.11,
//! 3.0, 3.8, 3.16, 4.14 and 5.4 (openai-agents 0.0.6 to 0.24).
//!
//! ```json
//! {"logfire.msg_template": "Chat Completion with {request_data[model]!r}", "logfire.msg": "Chat Completion with 'gpt-4o'",
//!  "request_data": "{\"model\": \"gpt-4o\", \"messages\": […]}", "response_data": "{\"message\": {…}, \"usage\": {…}}"}
//! {"logfire.msg_template": "Function: {name}", "name": "lookup", "input": "{\"id\": 17}", "output": "late",
//!  "logfire.level_num": 17, "error": "{\"message\": \"Error running tool\", \"data\": {\"tool_name\": \"lookup\", \"error\": \"502\"}}"}
//! ```
//!
//! The name of a span is a template, whose attributes have no namespace: `name`, `input`, `response`. They are read only on a span whose template is
//! known. Lists, objects and null are JSON text. Its instrumentations of Pydantic AI, `LiteLLM`, Google `GenAI` and others follow other conventions.
//!
//! Quirks of real exporters:
//! - An error of a step of the OpenAI Agents SDK is only in the attribute `error`; the status has no description (3.8 to 5.4).
//! - A step that fails by its log level has neither an exception nor a description (5.4).
//! - A streamed answer is in a span of its own, `streaming response from … took 1.20s`; the span of its request has no answer.
//! - A streamed answer that only calls tools is an empty text in `combined_chunk_content` (0.45 to 5.4).
//! - The arguments of Anthropic's tool calls are wrapped: `{"input": {…}}` (0.45 to 5.4).
//! - `events` has a refusal and calls of hosted tools as `gen_ai.unknown` (3.16 to 5.4), and no event marks the answer (since 3.9).
//! - A pending span repeats the attributes with which a span starts, as a child of it.
//! - Responses of `MCP` have `isError` in the result and no error status.

use super::openai_agents;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Message, SpanKind};
use crate::parse::messages;
use crate::parse::value::Value;

/// The Logfire convention; see the [module docs](self).
pub(super) struct Logfire;

impl Convention for Logfire {
    fn name(&self) -> &'static str {
        "logfire"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["logfire", "error"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(LogfireState::default())
    }
}

#[derive(Default)]
struct LogfireState {
    template: Option<String>,
    message: Option<String>,
    /// What the OpenAI Agents SDK recorded.
    error: Option<String>,
    is_pending: bool,
    level: u64,
}

impl ConventionState for LogfireState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, _span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "logfire.msg_template" => self.template = value.as_str().map(str::to_owned),
            "logfire.msg" => self.message = value.as_str().map(str::to_owned),
            "logfire.span_type" => self.is_pending = value.as_str() == Some("pending_span"),
            "logfire.level_num" => self.level = value.as_u64().unwrap_or_default(),
            // Only the types of the other attributes.
            "logfire.json_schema" => return None,
            "error" => {
                let recorded = value.tree().filter(|error| !error.get("data").is_null());
                self.error = recorded.and_then(|error| openai_agents::error_text(&error));
            }
            _ => {}
        }
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if self.is_pending {
            span.set_kind(Rank::High, SpanKind::Chain);
            return span.discard_content();
        }
        let template = self.template.unwrap_or_else(|| span.fields.name.clone());
        if let Some((_, step)) = STEPS.iter().find(|(start, _)| template.starts_with(start)) {
            span.set_kind(Rank::High, step.kind());
            step.read(span, &template);
        }
        // Other frameworks have this attribute too.
        let recorded = self.error.filter(|_| self.level > 0 || self.message.is_some());
        add_error(span, self.level, recorded, self.message);
    }
}

/// What a span of a known template records.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// A call of a provider's API by its client.
    ClientCall,
    /// A call of OpenAI's Responses API, by its client or by the OpenAI Agents SDK.
    Response,
    /// A call of a chat completions API by the OpenAI Agents SDK.
    Generation,
    /// A function tool of the OpenAI Agents SDK.
    Function,
    /// A request that an MCP client sends.
    McpRequest,
    /// A request that an MCP server or client answers.
    McpAnswer,
    Agent,
    Guardrail,
    Embedding,
    /// A step that groups others, or moves between them.
    Group,
}

/// The steps, by how their template starts.
const STEPS: [(&str, Step); 20] = [
    ("Chat Completion with {request_data", Step::ClientCall),
    ("Completion with {request_data", Step::ClientCall),
    ("Message with {request_data", Step::ClientCall),
    ("streaming response from {request_data", Step::ClientCall),
    ("Embedding Creation with {request_data", Step::Embedding),
    ("Responses API", Step::Response),
    ("Chat completion with {gen_ai.request.model", Step::Generation),
    ("Function: {name}", Step::Function),
    ("Agent run: {name", Step::Agent),
    ("Guardrail {name", Step::Guardrail),
    ("OpenAI Agents trace: {name", Step::Group),
    ("Turn {turn} for agent ", Step::Group),
    ("Task: ", Step::Group),
    ("Handoff: {from_agent", Step::Group),
    ("Custom span: {name", Step::Group),
    ("OpenAI agents: {type", Step::Group),
    ("MCP: list tools from server", Step::Group),
    ("MCP request", Step::McpRequest),
    ("MCP server handle request", Step::McpAnswer),
    ("MCP client handle request", Step::McpAnswer),
];

impl Step {
    fn kind(self) -> SpanKind {
        match self {
            Self::ClientCall | Self::Response | Self::Generation => SpanKind::Llm,
            Self::Function => SpanKind::Tool,
            Self::Agent => SpanKind::Agent,
            Self::Guardrail => SpanKind::Guardrail,
            Self::Embedding => SpanKind::Embedding,
            Self::McpRequest | Self::McpAnswer | Self::Group => SpanKind::Chain,
        }
    }

    fn read(self, span: &mut SpanBuilder, template: &str) {
        match self {
            Self::ClientCall => {
                read_request(span);
                read_answer(span, template.starts_with("Message with"));
            }

            Self::Response => read_response(span),
            Self::Generation => {
                // The messages of the input and the output together.
                span.take_attribute("request_data");
                set_input(span, "input");
                set_output(span, "output");
                read_usage(span);
            }
            Self::Function => {
                span.tool().name = take(span, "name").unwrap_or_default();
                span.tool().arguments = take(span, "input").unwrap_or_default();
                span.tool().result = take(span, "output");
            }
            Self::McpRequest | Self::McpAnswer => read_mcp(span, matches!(self, Self::McpRequest)),
            Self::Agent | Self::Guardrail | Self::Embedding | Self::Group => {}
        }
    }
}

/// The text of an attribute without a namespace; `None` for `null`, which is what Logfire writes for a missing value.
fn take(span: &mut SpanBuilder, key: &str) -> Option<String> {
    span.take_attribute(key).filter(|text| text != "null")
}

fn set_input(span: &mut SpanBuilder, key: &str) {
    if let Some(text) = take(span, key) {
        span.set_input(Rank::Normal, Value::Text(text.into()));
    }
}

fn set_output(span: &mut SpanBuilder, key: &str) {
    if let Some(text) = take(span, key) {
        span.set_output(Rank::Normal, Value::Text(text.into()));
    }
}

/// The body of a request. With version 2 of the data format it has only the model, and the messages are in `gen_ai.input.messages`.
fn read_request(span: &mut SpanBuilder) {
    let Some(text) = take(span, "request_data") else { return };
    let value = Value::Text(text.into());
    let Some(request) = span.decode(&value) else { return span.keep_attribute("request_data".into(), value.clone()) };
    if let Some(found) = messages::conversation(&request) {
        span.fields.tools_offered.extend(found.tools);
        span.push_input(Rank::Fallback, found.messages);
    }
    if let Some(model) = request.text_at("model") {
        span.set_model(Rank::Fallback, Value::Text(model.into()));
    }
}

/// The answer of a call: `{"message", "usage"}`, `{"finish_reason", "text", "usage"}`, or `{"combined_chunk_content", "chunk_count"}` of a stream.
fn read_answer(span: &mut SpanBuilder, is_anthropic: bool) {
    let Some(text) = take(span, "response_data") else { return };
    let value = Value::Text(text.into());
    let Some(answer) = span.decode(&value) else { return span.keep_attribute("response_data".into(), value.clone()) };
    let streamed = answer.get("combined_chunk_content").as_str();
    if let Some(content) = streamed {
        // An empty text may have been a tool call, which the SDK does not record.
        if !content.is_empty() {
            let message = Message { role: "assistant".into(), content: content.to_owned(), ..Message::default() };
            span.push_output(Rank::Low, vec![message]);
        }
    } else if let Some(mut found) = messages::conversation(&answer) {
        if is_anthropic {
            found.messages.iter_mut().for_each(unwrap_arguments);
        }
        let usage = &mut span.fields.usage;
        (usage.input, usage.output) = (usage.input.or(found.usage.input), usage.output.or(found.usage.output));
        span.push_output(Rank::Low, found.messages);
        let reasons = found.finish_reasons.into_iter().map(|reason| Value::Text(reason.into())).collect();
        span.add_finish_reasons(Rank::Low, Value::List(reasons));
    }
}

/// Removes the object around the arguments of Anthropic's tool calls: `{"input": {"id": 17}}`.
fn unwrap_arguments(message: &mut Message) {
    for call in &mut message.tool_calls {
        let inner = match Value::parse(&call.arguments) {
            Some(tree) => match tree.fields() {
                [(key, inner @ Value::Map(_))] if key == "input" => Some(inner.to_text()),
                _ => None,
            },
            None => None,
        };
        if let Some(inner) = inner {
            call.arguments = inner;
        }
    }
}

/// A call of the Responses API: its input in `raw_input`, its body in `response`. The client's own spans have only `events`.
fn read_response(span: &mut SpanBuilder) {
    read_request(span);
    set_input(span, "raw_input");
    read_usage(span);
    let Some(text) = take(span, "response") else { return };
    let value = Value::Text(text.into());
    if let Some(response) = span.decode(&value) {
        offer_functions(span, response.get("tools"));
        let error = response.get("error");
        if let Some(message) = error.text_at("message") {
            span.fields.error_type = span.fields.error_type.take().or(error.text_at("code"));
            span.fail(Some(message));
        }
    }
    span.set_output(Rank::High, value.clone());
}

/// The functions that a model may call. A hosted tool or an MCP server adds tools whose names are not known.
fn offer_functions(span: &mut SpanBuilder, tools: &Value<'_>) {
    let is_function = |tool: &Value<'_>| matches!(tool.get("type").as_str(), Some("function" | "custom"));
    if tools.items().iter().all(is_function) {
        span.fields.tools_offered.extend(messages::tool_names(tools));
    }
}

/// `{"input_tokens", "output_tokens"}` of the OpenAI Agents SDK.
fn read_usage(span: &mut SpanBuilder) {
    let Some(text) = take(span, "usage") else { return };
    if let Some(usage) = Value::parse(&text) {
        let known = &mut span.fields.usage;
        known.input = known.input.or(usage.get("input_tokens").as_u64());
        known.output = known.output.or(usage.get("output_tokens").as_u64());
    }
}

/// A request of MCP with its response. A tool call is the client's; the span of the server that answers it repeats the call, so it is a tool only if it
/// stands alone or shows an error.
fn read_mcp(span: &mut SpanBuilder, is_client: bool) {
    let (request_text, response_text) = (take(span, "request"), take(span, "response"));
    let request = request_text.as_deref().and_then(Value::parse).unwrap_or_default();
    let response = response_text.as_deref().and_then(Value::parse).map(Value::into_owned).unwrap_or_default();
    let result = response.get("content");
    let result = (!result.is_null()).then(|| messages::tool_result_text(result));
    let has_failed = matches!(response.get("isError"), Value::Bool(true)) || !response.get("code").is_null();
    let is_tool_call = request.get("method").as_str() == Some("tools/call");
    if is_tool_call && (is_client || has_failed || span.fields.parent_span_id.is_none()) {
        span.fields.kind = SpanKind::Tool;
        let call = request.get("params");
        span.tool().name = call.text_at("name").unwrap_or_default();
        span.tool().arguments = call.get("arguments").to_text();
        span.tool().result.clone_from(&result);
    } else {
        span.set_input(Rank::Normal, Value::Text(request_text.as_deref().unwrap_or_default().to_owned().into()));
        span.set_output(Rank::Normal, Value::Text(response_text.as_deref().unwrap_or_default().to_owned().into()));
    }
    if has_failed {
        span.fail(result.or(response.text_at("message")));
    }
}

/// The error of a step: what the OpenAI Agents SDK `recorded`, or the message that was logged with the level of an error.
fn add_error(span: &mut SpanBuilder, level: u64, recorded: Option<String>, message: Option<String>) {
    /// Logfire's number of the level `error`; `fatal` is higher.
    const ERROR_LEVEL: u64 = 17;
    if level < ERROR_LEVEL && recorded.is_none() && !span.fields.failed() {
        return;
    }
    let exceptions = &mut span.fields.exceptions;
    // The attribute was read as an exception without a type.
    if let (Some(recorded), Some(exception)) = (&recorded, exceptions.last_mut().filter(|exception| exception.kind.is_empty())) {
        exception.message.clone_from(recorded);
    }
    let explained = !exceptions.is_empty() || span.fields.error_type.is_some();
    // The Claude Agent SDK's errors are in the attribute for the type.
    let is_sentence = |text: &String| text.contains(' ');
    let typed = span.fields.error_type.clone().filter(is_sentence);
    if typed.is_some() {
        span.fields.error_type = None;
    }
    span.fail(recorded.or(typed).or(message.filter(|_| !explained)));
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::*;
    use crate::model::{Span, Status};

    /// A span whose template is its name.
    fn span_of(template: &str, status: Status, attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanMapper::new(Span { name: template.into(), status, ..Span::default() });
        span.set_attribute("logfire.msg_template".into(), Value::Text(template.into()));
        span.set_attribute("logfire.msg".into(), Value::Text(template.into()));
        for (key, value) in attributes {
            span.set_attribute((*key).into(), Value::Text((*value).into()));
        }
        span.finish()
    }

    #[test]
    fn calls_of_clients_are_read() {
        let request = r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#;
        let span = span_of(
            "Chat Completion with {request_data[model]!r}",
            Status::Unset,
            &[
                ("request_data", request),
                (
                    "response_data",
                    r#"{"message":{"role":"assistant","content":null,"refusal":"No."},"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
                ),
                ("gen_ai.response.finish_reasons", r#"["stop"]"#),
            ],
        );
        assert_eq!((span.kind, span.input[0].content.as_str(), span.output[0].refusal.as_deref()), (SpanKind::Llm, "hi", Some("No.")));
        assert_eq!((span.model.as_deref(), span.usage.output, span.tools_offered[0].as_str()), (Some("m"), Some(6), "f"));
        assert_eq!((span.finish_reasons[0].as_str(), span.attribute("request_data")), ("stop", None));
        let anthropic = span_of(
            "Message with {request_data[model]!r}",
            Status::Unset,
            &[
                ("request_data", r#"{"model":"m","system":"s","messages":[{"role":"user","content":"hi"}]}"#),
                (
                    "response_data",
                    r#"{"message":{"role":"assistant","tool_calls":[{"id":"c1","function":{"arguments":"{\"input\":{\"x\":1}}","name":"f"}}]},"usage":{"input_tokens":5,"output_tokens":6}}"#,
                ),
            ],
        );
        assert_eq!((anthropic.input.len(), anthropic.output[0].tool_calls[0].arguments.as_str()), (2, r#"{"x":1}"#));
        let completion = span_of(
            "Completion with {request_data[model]!r}",
            Status::Unset,
            &[
                ("request_data", r#"{"model":"m","prompt":"hi"}"#),
                ("response_data", r#"{"finish_reason":"length","text":"cut","usage":null}"#),
            ],
        );
        assert_eq!((completion.output[0].content.as_str(), completion.finish_reasons[0].as_str()), ("cut", "length"));
    }

    #[test]
    fn a_stream_has_its_answer_in_a_log_span() {
        let request = ("request_data", r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}"#);
        let started = span_of("Chat Completion with {request_data[model]!r}", Status::Unset, &[request]);
        assert_eq!((started.kind, started.input.len(), started.output.len()), (SpanKind::Llm, 1, 0));
        let name = "streaming response from {request_data[model]!r} took {duration:.2f}s";
        let answer = span_of(name, Status::Unset, &[request, ("response_data", r#"{"combined_chunk_content":"hello","chunk_count":2}"#)]);
        assert_eq!((answer.kind, answer.output[0].content.as_str()), (SpanKind::Llm, "hello"));
        let calls_tool = span_of(name, Status::Unset, &[request, ("response_data", r#"{"combined_chunk_content":"","chunk_count":0}"#)]);
        assert!(calls_tool.output.is_empty());
    }

    #[test]
    fn steps_of_the_openai_agents_sdk_are_read() {
        let span = span_of(
            "Responses API with {gen_ai.request.model!r}",
            Status::Unset,
            &[
                ("gen_ai.request.model", "m"),
                ("raw_input", r#"[{"role":"user","content":"hi"}]"#),
                (
                    "events",
                    r#"[{"event.name":"gen_ai.system.message","role":"system","content":"s"},{"event.name":"gen_ai.user.message","role":"user","content":"hi"},{"event.name":"gen_ai.unknown","role":"assistant","content":"refusal\n\nSee JSON for details","data":{"type":"refusal","refusal":"No."}}]"#,
                ),
                (
                    "response",
                    r#"{"object":"response","status":"completed","output":[{"type":"message","role":"assistant","content":[{"type":"refusal","refusal":"No."}]}],"tools":[{"type":"function","name":"f"}],"usage":{"input_tokens":5,"output_tokens":6}}"#,
                ),
                ("usage", r#"{"input_tokens":5,"output_tokens":6}"#),
                ("gen_ai.response.finish_reasons", r#"["stop"]"#),
            ],
        );
        assert_eq!((span.kind, span.input.len(), span.output.len()), (SpanKind::Llm, 2, 1));
        assert_eq!((span.output[0].refusal.as_deref(), span.tools_offered[0].as_str(), span.usage.input), (Some("No."), "f", Some(5)));
        let tool =
            span_of("Function: {name}", Status::Unset, &[("name", "f"), ("input", r#"{"x":1}"#), ("output", "null"), ("mcp_data", "null")]);
        let read = tool.tool.clone().unwrap();
        assert_eq!((tool.kind, read.name.as_str(), read.arguments.as_str(), read.result), (SpanKind::Tool, "f", r#"{"x":1}"#, None));
        let chat = span_of(
            "Chat completion with {gen_ai.request.model!r}",
            Status::Unset,
            &[
                ("input", r#"[{"role":"user","content":"hi"}]"#),
                ("output", r#"[{"role":"assistant","content":"hello"}]"#),
                ("request_data", r#"{"messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"hello"}]}"#),
            ],
        );
        assert_eq!((chat.input.len(), chat.output[0].content.as_str()), (1, "hello"));
    }

    #[test]
    fn an_error_is_explained_by_its_attribute_or_its_message() {
        let failed = |template, attributes: &[(&'static str, &'static str)]| span_of(template, Status::Error, attributes).status_message;
        let error = ("error", r#"{"message":"Error running tool","data":{"tool_name":"f","error":"502 Bad Gateway"}}"#);
        assert_eq!(failed("Function: {name}", &[("name", "f"), error]).as_deref(), Some("502 Bad Gateway"));
        let error = ("error", r#"{"message":"Tool not found","data":{"tool_name":"g"}}"#);
        assert_eq!(failed("Turn {turn} for agent A", &[error]).as_deref(), Some(r#"Tool not found: {"tool_name":"g"}"#));
        let error = ("error", r#"{"message":"Invalid JSON provided","data":{}}"#);
        assert_eq!(failed("Turn {turn} for agent A", &[error]).as_deref(), Some("Invalid JSON provided"));
        let logged = span_of(
            "Payment failed: {reason}",
            Status::Unset,
            &[("logfire.level_num", "17"), ("logfire.msg", "Payment failed: card declined")],
        );
        assert_eq!((logged.status, logged.status_message.as_deref()), (Status::Error, Some("Payment failed: card declined")));
        let claude = failed("execute_tool Read", &[("error.type", "File does not exist: a.txt"), ("logfire.msg", "execute_tool Read")]);
        assert_eq!(claude.as_deref(), Some("File does not exist: a.txt"));
    }

    #[test]
    fn requests_of_mcp_are_read() {
        let request = ("request", r#"{"method":"tools/call","params":{"name":"f","arguments":{"x":1}}}"#);
        let response = ("response", r#"{"content":[{"type":"text","text":"no such order"}],"isError":true}"#);
        let span = span_of("MCP request: tools/call f", Status::Unset, &[request, response]);
        let tool = span.tool.clone().unwrap();
        assert_eq!(
            (span.kind, span.status, tool.name.as_str(), tool.arguments.as_str()),
            (SpanKind::Tool, Status::Error, "f", r#"{"x":1}"#)
        );
        assert_eq!((tool.result.as_deref(), span.status_message.as_deref()), (Some("no such order"), Some("no such order")));
        let listing = span_of(
            "MCP request: tools/list",
            Status::Unset,
            &[("request", r#"{"method":"tools/list"}"#), ("response", r#"{"tools":[]}"#)],
        );
        assert_eq!((listing.kind, listing.output_text.as_deref()), (SpanKind::Chain, Some(r#"{"tools":[]}"#)));
    }

    #[test]
    fn a_pending_span_has_no_content() {
        let span = span_of(
            "Chat Completion with {request_data[model]!r}",
            Status::Unset,
            &[
                ("logfire.span_type", "pending_span"),
                ("gen_ai.operation.name", "chat"),
                ("gen_ai.input.messages", r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#),
            ],
        );
        assert_eq!((span.kind, span.input.len()), (SpanKind::Chain, 0));
    }
}
