//! The spans of one message: the answer of a model, the results of tools in it, or a message to the model.

use crate::model::{Message, Part, Span, SpanKind, Status, TokenUsage, ToolCall, ToolUse};
use crate::parse::messages::{self, Conversation};
use crate::parse::value::Value;

/// What a tool returned, in a message.
struct ToolResult {
    name: Option<String>,
    call_id: Option<String>,
    arguments: String,
    text: Option<String>,
    failed: bool,
}

/// The spans of a message: of the tools whose results it contains, and of the rest of it. None if it contains nothing but thoughts of the model. The
/// first has the index of the message as its id.
pub(super) fn spans(value: &Value<'_>, index: u64, start_ns: i64) -> Vec<Span> {
    let start_ns = start_ns.saturating_add_unsigned(index);
    let mut spans = Vec::new();
    let has_tools = has_tool_parts(value);
    if !has_tools && is_tool_message(value) {
        spans.push(tool_span(tool_message(value), value));
    } else if !has_tools {
        spans.extend(spans_of_rest(value, messages::conversation(value).unwrap_or_default(), Vec::new(), false));
    } else {
        let (results, calls, rest) = split(value);
        let found = messages::conversation(&rest).unwrap_or_default();
        let has_results = !results.is_empty();
        let message = spans_of_rest(value, found, calls, has_results);
        // A user answers a call before saying more, and a model calls before it gets the result.
        let is_answer = message.as_ref().is_some_and(|span| span.kind == SpanKind::Llm);
        let results = results.into_iter().map(|result| tool_span(result, value));
        if is_answer {
            spans.extend(message.into_iter().chain(results));
        } else {
            spans.extend(results.chain(message));
        }
    }
    for (span, number) in spans.iter_mut().zip(0u64..) {
        span.span_id = if number == 0 { index.to_string() } else { format!("{index}.{number}") };
        span.started_at_ns = Some(start_ns);
    }
    spans
}

/// The span of a message without the results of tools in it; `None` if nothing is left.
fn spans_of_rest(value: &Value<'_>, found: Conversation, calls: Vec<ToolCall>, has_results: bool) -> Option<Span> {
    let mut read = found.messages.into_iter().reduce(join);
    if !calls.is_empty() {
        read.get_or_insert_with(|| Message { role: "assistant".into(), ..Message::default() }).tool_calls.extend(calls);
    }
    let is_empty = |message: &Message| message.content.is_empty() && message.tool_calls.is_empty() && message.refusal.is_none();
    if has_results && read.as_ref().is_none_or(is_empty) {
        return None;
    }
    let kind = value.get("type").as_str().unwrap_or_default();
    if read.is_none() && matches!(kind, "reasoning" | "item_reference" | "compaction") {
        return None;
    }
    let is_understood = read.is_some();
    let role = || value.first(&["role", "type"]).as_str().unwrap_or_default().to_owned();
    let message = read.unwrap_or_else(|| Message { role: role(), ..Message::default() });
    // The name of an item without a role is that of a tool.
    let name = value.text_at("name").filter(|name| !name.is_empty() && !value.get("role").is_null());
    let mut span = Span { name: name.unwrap_or_else(|| message.role.clone()), ..Span::default() };
    if matches!(message.role.as_str(), "user" | "human" | "system" | "developer") {
        span.input.push(message);
        return Some(span);
    }
    span.kind = SpanKind::Llm;
    (span.finish_reasons, span.usage, span.model) = (found.finish_reasons, found.usage, found.model);
    if is_understood {
        span.output.push(message);
    } else {
        span.not_understood.insert(Part::Output);
    }
    Some(span)
}

fn join(mut first: Message, second: Message) -> Message {
    if !first.content.is_empty() && !second.content.is_empty() {
        first.content.push('\n');
    }
    first.content.push_str(&second.content);
    first.tool_calls.extend(second.tool_calls);
    first.refusal = first.refusal.or(second.refusal);
    first.tool_call_id = first.tool_call_id.or(second.tool_call_id);
    first
}

/// Whether a message is as a whole the result of a tool.
fn is_tool_message(value: &Value<'_>) -> bool {
    let role = value.first(&["role", "_role"]).as_str();
    let kind = value.get("type").as_str().unwrap_or_default();
    match role {
        Some(role) => matches!(role, "tool" | "function"),
        None => kind.ends_with("_call_output") || matches!(kind, "tool" | "ToolMessage"),
    }
}

fn tool_message(value: &Value<'_>) -> ToolResult {
    let read = messages::message(value).unwrap_or_default();
    let failed = value.get("status").as_str() == Some("error") || value.get("is_error") == &Value::Bool(true);
    ToolResult {
        name: value.text_at("name").filter(|name| !name.is_empty()),
        call_id: read.tool_call_id,
        // Name and arguments are in the message that requested the call; the gather stage adds them.
        arguments: String::new(),
        text: Some(read.content),
        failed,
    }
}

fn tool_span(result: ToolResult, message: &Value<'_>) -> Span {
    let name = result.name.clone().unwrap_or_else(|| {
        let role = message.first(&["role", "type"]).as_str();
        role.filter(|role| matches!(*role, "tool" | "function")).unwrap_or("tool").to_owned()
    });
    let mut span = Span { kind: SpanKind::Tool, name, usage: TokenUsage::default(), ..Span::default() };
    if result.failed {
        span.status = Status::Error;
        span.status_message.clone_from(&result.text);
    }
    span.tool =
        Some(ToolUse { name: result.name.unwrap_or_default(), call_id: result.call_id, arguments: result.arguments, result: result.text });
    span
}

/// The fields with the parts of a message.
const PART_FIELDS: [&str; 3] = ["content", "parts", "_content"];

/// Whether a message has parts that are read apart from it; most have none.
fn has_tool_parts(value: &Value<'_>) -> bool {
    let is_apart = |part: &Value<'_>| is_marker_of_ui(part) || result_in(part).is_some() || ui_tool(part).is_some();
    PART_FIELDS.iter().any(|key| value.get(key).items().iter().any(is_apart))
}

/// The results of tools in the parts of a message, the calls that only such parts describe, and the message without them.
fn split<'v>(value: &Value<'v>) -> (Vec<ToolResult>, Vec<ToolCall>, Value<'v>) {
    let mut results = Vec::new();
    let mut calls = Vec::new();
    let Value::Map(fields) = value else { return (results, calls, value.clone()) };
    let mut rest = Vec::with_capacity(fields.len());
    for (key, field) in fields {
        let Value::List(parts) = field else {
            rest.push((key.clone(), field.clone()));
            continue;
        };
        let mut other = Vec::new();
        for part in parts {
            if !PART_FIELDS.contains(&key.as_ref()) {
                other.push(part.clone());
            } else if let Some((call, result)) = ui_tool(part) {
                calls.push(call);
                results.extend(result);
            } else if let Some(result) = result_in(part) {
                results.push(result);
            } else if !is_marker_of_ui(part) {
                other.push(part.clone());
            }
        }
        rest.push((key.clone(), Value::List(other)));
    }
    (results, calls, Value::Map(rest))
}

/// The result of a tool in a part of Anthropic's, Bedrock's or Gemini's API, or of the Vercel AI SDK.
fn result_in(part: &Value<'_>) -> Option<ToolResult> {
    let nested = ["toolResult", "functionResponse", "function_response", "toolResponse"].iter().map(|key| part.get(key));
    let inner = nested.into_iter().find(|inner| matches!(inner, Value::Map(_)));
    let kind = part.get("type").as_str().unwrap_or_default();
    if inner.is_none() && !matches!(kind, "tool_result" | "tool-result" | "function_call_output" | "tool_call_response") {
        return None;
    }
    let inner = inner.unwrap_or(part);
    let output = inner.get("output");
    let response = inner.get("response");
    // Gemini's API has the keys `output` and `error` for what a tool returned.
    let error = response.get("error");
    let is_error_of_gemini = !error.is_empty() && response.get("output").is_null() && response.get("result").is_null();
    let failed = [inner.get("is_error"), inner.get("isError")].contains(&&Value::Bool(true))
        || inner.get("status").as_str() == Some("error")
        || matches!(output.get("type").as_str(), Some("error-text" | "error-json" | "execution-denied"))
        || is_error_of_gemini;
    let content = inner.first(&["response", "result", "output", "content"]);
    let id = inner.first(&["tool_use_id", "toolUseId", "tool_call_id", "toolCallId", "call_id", "id", "ref"]);
    Some(ToolResult {
        name: inner.first(&["name", "toolName", "tool_name"]).as_str().map(str::to_owned),
        call_id: id.as_id(),
        arguments: String::new(),
        text: Some(if is_error_of_gemini { error.to_text() } else { messages::tool_result_text(content) }),
        failed,
    })
}

/// A call of a tool in a message of the Vercel AI SDK's user interface, which has its result in the same part: `{"type": "tool-lookup", "toolCallId",
/// "state": "output-error", "input", "errorText"}`, and `{"type": "tool-invocation", "toolInvocation": {…}}` in version 4.
fn ui_tool(part: &Value<'_>) -> Option<(ToolCall, Option<ToolResult>)> {
    let kind = part.get("type").as_str()?;
    let invocation = part.get("toolInvocation");
    let call = if invocation.is_null() { part } else { invocation };
    let state = call.get("state").as_str()?;
    let name = call.text_at("toolName").or_else(|| kind.strip_prefix("tool-").map(str::to_owned))?;
    let id = call.get("toolCallId").as_id();
    let arguments = call.first(&["input", "args", "rawInput"]).to_text();
    let failed = state == "output-error";
    let result = matches!(state, "output-available" | "output-error" | "result").then(|| ToolResult {
        name: Some(name.clone()),
        call_id: id.clone(),
        arguments: arguments.clone(),
        text: Some(call.first(&["errorText", "output", "result"]).to_text()),
        failed,
    });
    Some((ToolCall { id, name, arguments }, result))
}

/// Parts of the Vercel AI SDK's user interface that are no content.
fn is_marker_of_ui(part: &Value<'_>) -> bool {
    matches!(part.get("type").as_str(), Some("step-start" | "source-url" | "source-document"))
}
