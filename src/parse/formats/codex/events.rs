//! Events of a rollout, and those of `codex exec --json`.

use super::turn;
use crate::model::{Message, Span, SpanKind, Status};
use crate::parse::formats::session::{Step, fail, keep};
use crate::parse::messages;
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, Skip};

/// Where an event is recorded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// Beside the items that it repeats.
    Rollout,
    /// Alone.
    Stream,
}

/// Adds what an event describes.
pub(super) fn parse(event: &Value<'_>, step: &Step<'_>, source: Source, out: &mut ParsedChunk) -> Accounted {
    match event.get("type").as_str().unwrap_or_default() {
        "error" | "stream_error" => add_error(event, step, out),
        "task_started" | "turn_started" | "task_complete" | "turn_complete" | "turn_aborted" => parse_turn(event, step, out),
        "exec_command_begin"
        | "exec_command_end"
        | "patch_apply_begin"
        | "patch_apply_end"
        | "mcp_tool_call_begin"
        | "mcp_tool_call_end" => add_tool(event, step, source, out),
        "item_completed" => parse_item(event.get("item"), step, source, out),
        "user_message" | "agent_message" if source == Source::Stream => add_message(event, step, out),
        _ => out.skip_event(Skip::OtherEvent),
    }
}

/// Adds the part of a turn's span that a record describes. Older versions have no ids of turns, and what their events say is in the items.
pub(super) fn parse_turn(record: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = record.get("type").as_str().unwrap_or_default();
    let error = record.get("error");
    let Some(id) = record.get("turn_id").as_id() else {
        return if error.is_null() { out.skip_event(Skip::OtherEvent) } else { add_error(error, step, out) };
    };
    let mut span = turn(step, id);
    if matches!(kind, "task_started" | "turn_started") {
        span.ended_at_ns = None;
    }
    span.model = record.text_at("model");
    let usage = record.get("turn_token_usage");
    span.usage.input = usage.get("input_tokens").as_u64();
    span.usage.output = usage.get("output_tokens").as_u64();
    span.output_text = record.text_at("last_agent_message");
    let mut all = None;
    if !error.is_null() {
        set_error(&mut span, error);
        // What ends a turn is a failed model call, which the events before may not mention.
        add_error(error, step, out).add_to(&mut all);
    } else if matches!(kind, "task_complete" | "turn_complete") {
        span.status = Status::Ok;
        if record.get("last_agent_message").is_null() {
            // Versions before 0.130 do not say why.
            span.output.push(Message { role: "assistant".into(), ..Message::default() });
        }
    }
    for key in ["reason", "cwd", "approval_policy", "duration_ms"] {
        keep(&mut span, key, record.get(key));
    }
    let turn = step.add(span, out);
    all.map_or(turn, |all| all.and(turn))
}

/// A failed model call. One that will be repeated is announced: `Reconnecting... 1/5 (unexpected status 529)`, in older versions without its cause.
fn add_error(error: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut span = step.span(step.place(), SpanKind::Llm, "assistant");
    set_error(&mut span, error);
    if error.get("message").as_str().is_some_and(|message| message.starts_with("Reconnecting...")) {
        let message = error.get("message").to_text();
        let in_brackets = || Some(message.split_once('(')?.1.trim_end_matches(')').to_owned());
        let Some(cause) = error.text_at("additional_details").or_else(in_brackets) else { return out.skip_event(Skip::OtherEvent) };
        fail(&mut span, cause);
    }
    span.provider = Some("openai".to_owned());
    step.add(span, out)
}

/// `{"message": "…", "codex_error_info": {"response_too_many_failed_attempts": {"http_status_code": 429}}}`, or a word as the information.
fn set_error(span: &mut Span, error: &Value<'_>) {
    let message = error.as_str().map_or_else(|| error.get("message").to_text(), str::to_owned);
    fail(span, message);
    let info = error.get("codex_error_info");
    let (kind, details) = match info.fields() {
        [(kind, details)] => (Some(kind.as_ref()), details),
        _ => (info.as_str(), &Value::Null),
    };
    span.error_type = span.error_type.take().or_else(|| kind.filter(|kind| *kind != "other").map(str::to_owned));
    keep(span, "http.response.status_code", details.get("http_status_code"));
    keep(span, "additional_details", error.get("additional_details"));
}

/// A message, in a stream that has no items.
fn add_message(event: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let content = event.first(&["message", "text"]).to_text();
    if event.get("type").as_str() == Some("user_message") {
        let message = Message { role: "user".into(), content, ..Message::default() };
        return step.add(step.input(step.place(), message), out);
    }
    add_answer(content, step.place(), step, out)
}

fn add_answer(content: String, id: String, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut span = step.span(id, SpanKind::Llm, "assistant");
    span.provider = Some("openai".to_owned());
    span.output.push(Message { role: "assistant".into(), content, ..Message::default() });
    step.add(span, out)
}

/// The beginning or the end of a tool, in an event of its own.
fn add_tool(event: &Value<'_>, step: &Step<'_>, source: Source, out: &mut ParsedChunk) -> Accounted {
    let Some(call_id) = event.get("call_id").as_id() else { return out.skip_event(Skip::OtherEvent) };
    let kind = event.get("type").as_str().unwrap_or_default();
    let is_end = kind.ends_with("_end");
    let invocation = event.get("invocation");
    let (name, arguments) = match kind {
        "mcp_tool_call_begin" | "mcp_tool_call_end" => (invocation.text_at("tool"), invocation.get("arguments").to_text()),
        "exec_command_begin" | "exec_command_end" => (Some("shell".to_owned()), object("command", event.get("command"))),
        _ => (Some("apply_patch".to_owned()), object("changes", event.get("changes"))),
    };
    let (text, failed) = outcome(event);
    let mut span = step.tool_end(call_id, name.as_deref().filter(|_| source == Source::Stream), None);
    set_tool(&mut span, arguments, text, source, is_end, failed);
    for key in ["exit_code", "duration"] {
        keep(&mut span, key, event.get(key));
    }
    step.add(span, out)
}

/// The exit code of a command, in an event or beside its output.
pub(super) fn exit_code(holder: &Value<'_>) -> Option<i64> {
    match holder.get("exit_code") {
        Value::Int(code) => Some(*code),
        _ => None,
    }
}

/// Text and failure of the end of a tool.
fn outcome(end: &Value<'_>) -> (Option<String>, Option<bool>) {
    let result = end.get("result");
    // A result of Rust: `{"Ok": {"content": […], "isError": false}}`, `{"Err": "…"}`.
    if let Some(error) = result.get("Err").as_str() {
        return (Some(error.to_owned()), Some(true));
    }
    let answer = if result.get("Ok").is_null() { result } else { result.get("Ok") };
    let error = end.get("error");
    let message = error.as_str().map(str::to_owned).or_else(|| error.text_at("message"));
    let texts = [end.get("aggregated_output"), end.get("formatted_output"), end.get("stderr"), end.get("stdout")];
    let text = message
        .or_else(|| (!answer.get("content").is_null()).then(|| messages::tool_result_text(answer.get("content"))))
        .or_else(|| texts.into_iter().filter_map(Value::as_str).find(|text| !text.is_empty()).map(str::to_owned))
        .or_else(|| end.text_at("aggregated_output"));
    let code = exit_code(end);
    // A command that the user interrupted.
    if code == Some(-1) && text.as_deref().is_none_or(str::is_empty) {
        return (text, None);
    }
    let exit = code.map(|code| code != 0);
    let success = match end.get("success") {
        Value::Bool(success) => Some(!success),
        _ => None,
    };
    let status = match end.get("status").as_str() {
        Some("failed") => Some(true),
        Some("completed") => Some(false),
        _ => None,
    };
    let is_error = matches!(answer.first(&["isError", "is_error"]), Value::Bool(true)) || !error.is_null();
    let failed = if is_error { Some(true) } else { status.or(exit).or(success).or((!answer.is_null()).then_some(false)) };
    (text, failed)
}

/// In a rollout the arguments and the result are those of the items.
fn set_tool(span: &mut Span, arguments: String, text: Option<String>, source: Source, is_end: bool, failed: Option<bool>) {
    if source == Source::Stream
        && let Some(tool) = &mut span.tool
    {
        tool.arguments = arguments;
        tool.result = text.clone().filter(|_| is_end);
    }
    if !is_end {
        (span.started_at_ns, span.ended_at_ns) = (span.ended_at_ns, None);
        return;
    }
    match failed {
        Some(true) => fail(span, text.unwrap_or_default()),
        Some(false) => span.status = Status::Ok,
        None => {}
    }
}

/// `{"command": …}`
fn object(key: &'static str, value: &Value<'_>) -> String {
    if value.is_null() { String::new() } else { Value::Map(vec![(key.into(), value.clone())]).to_text() }
}

/// An item of a thread: of an event `item_completed`, or of `codex exec --json`. Its id is that of the call.
pub(super) fn parse_item(item: &Value<'_>, step: &Step<'_>, source: Source, out: &mut ParsedChunk) -> Accounted {
    let kind = item.get("type").as_str().unwrap_or_default();
    let Some(id) = item.get("id").as_id() else { return out.skip_event(Skip::OtherEvent) };
    let (name, arguments) = match kind {
        "command_execution" | "CommandExecution" => ("shell", object("command", item.get("command"))),
        "mcp_tool_call" | "McpToolCall" | "dynamic_tool_call" | "DynamicToolCall" | "collab_tool_call" | "CollabAgentToolCall" => {
            let arguments = item.first(&["arguments", "prompt"]);
            (item.get("tool").as_str().unwrap_or(kind), if arguments.is_null() { String::new() } else { arguments.to_text() })
        }
        "file_change" | "FileChange" => ("apply_patch", object("changes", item.get("changes"))),
        "web_search" | "WebSearch" => ("web_search", object("query", item.get("query"))),
        "agent_message" if source == Source::Stream => return add_answer(item.get("text").to_text(), id, step, out),
        // Messages and thoughts of a rollout are items; plans and warnings are not steps.
        _ => return out.skip_event(Skip::OtherEvent),
    };
    let is_end = !matches!(item.get("status").as_str(), Some("in_progress" | "inProgress" | "pending"));
    let (text, failed) = outcome(item);
    let mut span = step.tool_end(id, Some(name).filter(|_| source == Source::Stream), None);
    set_tool(&mut span, arguments, text, source, is_end, failed);
    for key in ["status", "exit_code", "server"] {
        keep(&mut span, key, item.get(key));
    }
    step.add(span, out)
}

/// The end of a turn, or an error, of `codex exec --json`.
pub(super) fn parse_outcome(kind: &str, record: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    if kind == "error" {
        return add_error(record, step, out);
    }
    let mut span = turn(step, step.place());
    let error = record.get("error");
    if kind == "turn.failed" {
        set_error(&mut span, error);
    } else {
        span.status = Status::Ok;
    }
    let usage = record.get("usage");
    span.usage.input = usage.get("input_tokens").as_u64();
    span.usage.output = usage.get("output_tokens").as_u64();
    step.add(span, out)
}
