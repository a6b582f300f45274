//! Sessions of Claude Code and of the Claude Agent SDK: the files below `~/.claude/projects`, and the messages that `claude -p --output-format
//! stream-json` and the SDK write. Each line is a record.
//!
//! Specification: the types of `@anthropic-ai/claude-agent-sdk` 0.3.332 for the stream; nothing but the files for sessions on disk, which were checked
//! with those of Claude Code 1.0, 2.0 and 2.1.
//!
//! ```json
//! {"type": "user", "sessionId": "s", "uuid": "u1", "parentUuid": null, "isSidechain": false, "timestamp": "…", "message": {"role": "user", "content": "Fix it"}}
//! {"type": "assistant", "sessionId": "s", …, "message": {"id": "msg_1", "role": "assistant", "model": "…", "content": [{"type": "tool_use", …}], "usage": {…}}}
//! {"type": "user", "sessionId": "s", …, "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "…", "is_error": true, …}]}}
//! ```
//!
//! | record | span |
//! |---|---|
//! | `assistant` | a model call, whose id is that of the message; each `tool_use` opens the span of a tool |
//! | `user` with `tool_result` | the result and the status of the tool |
//! | `user` | a message to the model |
//! | `assistant` with `isApiErrorMessage` or `error`; `system` with `api_error`, `api_retry` | a failed model call |
//! | `result`, `system` with `init` (stream) | the agent's run, its outcome and the tools that it offered |
//! | `isSidechain` with `agentId`; `parent_tool_use_id` | a step of a subagent, below the tool that started it |
//! | `summary`, `progress`, `file-history-snapshot`, `queue-operation`, `attachment` … | skipped: they are about the program |
//!
//! Quirks of real files:
//! - Each block of an answer is a record of its own, with the id, and the token counts, of the whole answer.
//! - In the stream `stop_reason` is null, and an answer has no time (2.1): the order of the records counts.
//! - A message with the model `<synthetic>` is written by the program: an error of the API, or `No response requested.`
//! - A call that the user rejected has `is_error` as well, and the run usually ends there.
//! - Versions before 2.1 have the messages of subagents in the file of the session, without `agentId`.

use crate::model::{Message, Part, RejectionKind, Span, SpanKind, Status};
use crate::parse::formats::session::{Step, fail, keep};
use crate::parse::messages;
use crate::parse::record::Record;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of Claude Code's sessions; see the [module docs](self).
pub(super) struct ClaudeCode;

/// The service name of Claude Code's telemetry.
const SERVICE: &str = "claude-code";

impl Format for ClaudeCode {
    fn name(&self) -> &'static str {
        "claude_code"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A step of a session on disk.
                Signature::unique(&["parentUuid", "isSidechain", "sessionId"]),
                // Other records of a session.
                Signature::unique(&["type", "leafUuid"]),
                Signature::unique(&["type", "messageId", "snapshot"]),
                Signature::unique(&["type", "operation", "sessionId"]),
                Signature::unique(&["type", "sessionId", "customTitle"]),
                Signature::unique(&["type", "sessionId", "permissionMode"]),
                Signature::unique(&["agentType", "toolUseId"]),
                // A message of the stream.
                Signature::unique(&["type", "message", "session_id", "parent_tool_use_id"]),
                Signature::unique(&["type", "event", "session_id", "parent_tool_use_id"]),
                Signature::unique(&["type", "subtype", "session_id", "tools"]),
                Signature::unique(&["type", "subtype", "session_id", "is_error"]),
                Signature::unique(&["type", "subtype", "session_id", "uuid"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let kind = record.take_text("type").unwrap_or_default();
        let id = record.take("sessionId").as_id().or_else(|| record.take("session_id").as_id());
        if !matches!(kind.as_str(), "user" | "assistant" | "system" | "result") {
            return match (kind.is_empty(), id) {
                (true, None) if !record.has("agentType") => out.reject(
                    location,
                    RejectionKind::MalformedRecord,
                    format!("cannot read {location}: no type of record\n  hint: a session has one record on each line"),
                ),
                (_, Some(id)) => parse_other(&kind, id, &mut record, location, out),
                _ => out.skip_event(Skip::OtherEvent),
            };
        }
        let Some(trace_id) = id else {
            let reason = format!("cannot read {location}: sessionId is missing or empty");
            return out.reject(location, RejectionKind::MissingId, reason);
        };
        let in_stream = record.has("parent_tool_use_id") || !record.has("timestamp");
        let time = record.take("timestamp").as_time().filter(|_| !in_stream);
        let mut step = Step::new(SERVICE, trace_id, time, location);
        step.version = record.get("version").as_id();
        let agent = record.take("agentId").as_id();
        let caller = record.take("parent_tool_use_id").as_id();
        step.parent = match (agent, in_stream) {
            (Some(agent), _) => Some(agent),
            (None, true) => caller.or_else(|| Some(step.trace_id.clone())),
            (None, false) => None,
        };
        record.discard(&PROGRAM_FIELDS);
        match kind.as_str() {
            "assistant" => parse_answer(record, &step, location, out),
            "user" => parse_input(record, &step, location, out),
            "result" => parse_result(record, &step, out),
            _ => parse_system(record, &step, out),
        }
    }
}

/// Fields that describe the program, and ids of other records; not of the run.
const PROGRAM_FIELDS: [&str; 13] = [
    "context_management",
    "entrypoint",
    "isSidechain",
    "permissionMode",
    "promptId",
    "promptSource",
    "request_id",
    "requestId",
    "slug",
    "sourceToolAssistantUUID",
    "sourceToolUseID",
    "usage_report",
    "userType",
];

/// A record that is not a step, unless it says that the run was stopped.
fn parse_other(kind: &str, trace_id: String, record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let attachment = record.take("attachment");
    if kind != "attachment" || attachment.get("type").as_str() != Some("max_turns_reached") {
        return out.skip_event(Skip::OtherEvent);
    }
    let step = Step::new(SERVICE, trace_id, record.take("timestamp").as_time(), location);
    let mut span = step.span(record.take("uuid").as_id().unwrap_or_else(|| step.place()), SpanKind::Agent, SERVICE);
    // The program prints "Reached max turns (3)".
    fail(&mut span, format!("Reached max turns ({})", attachment.get("maxTurns").to_text()));
    span.error_type = Some("error_max_turns".to_owned());
    step.add(span, out)
}

/// An answer of the model, or one block of it.
fn parse_answer(mut record: Record<'_>, step: &Step<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let message = record.take_tree("message");
    if !matches!(message, Value::Map(_)) {
        return out.reject(location, RejectionKind::MalformedRecord, format!("cannot read {location}: message is not an object"));
    }
    let uuid = record.take("uuid").as_id();
    let is_error = matches!(record.take("isApiErrorMessage"), Value::Bool(true)) || record.has("error");
    let is_synthetic = message.get("model").as_str() == Some("<synthetic>");
    let is_error = is_error || (is_synthetic && is_error_of_api(&message));
    let id = message.get("id").as_id().or(uuid).unwrap_or_else(|| step.place());
    if is_error {
        return step.add(failed_call(record, id, &message, step), out);
    }
    let found = messages::conversation(&message).unwrap_or_default();
    let kind = if is_synthetic { SpanKind::Other } else { SpanKind::Llm };
    let mut span = step.span(id, kind, "assistant");
    span.model = message.text_at("model").filter(|_| !is_synthetic);
    span.provider = (!is_synthetic).then(|| "anthropic".to_owned());
    if !is_synthetic {
        span.finish_reasons = found.finish_reasons;
        span.usage = found.usage;
    }
    // A record with nothing but thoughts is a part of an answer.
    span.output = found.messages.into_iter().filter(|message| !is_empty(message)).collect();
    if span.output.is_empty() && has_unread_content(message.get("content")) {
        span.not_understood.insert(Part::Output);
    }
    record.keep_rest(&mut span);
    let mut all = None;
    step.add_calls(span.output.iter().flat_map(|message| &message.tool_calls), &mut all, out);
    // Tools that the provider runs have their results in the same answer.
    for block in message.get("content").items().iter().filter(|block| is_result(block)) {
        add_tool_result(block, &Value::Null, step, out).add_to(&mut all);
    }
    let answer = step.add(span, out);
    all.map_or(answer, |all| all.and(answer))
}

/// Whether a message of the program reports an error of the API, which the stream did not mark before 2.1.
fn is_error_of_api(message: &Value<'_>) -> bool {
    const STARTS: [&str; 6] =
        ["API Error", "Invalid API key", "Credit balance is too low", "Prompt is too long", "Claude AI usage limit", "Claude usage limit"];
    let text = message.get("content").items().first().and_then(|block| block.get("text").as_str()).unwrap_or_default();
    STARTS.iter().any(|start| text.starts_with(start))
}

fn is_empty(message: &Message) -> bool {
    message.content.is_empty() && message.tool_calls.is_empty() && message.refusal.is_none()
}

/// Whether content has blocks other than thoughts, and results of tools, which are read apart.
fn has_unread_content(content: &Value<'_>) -> bool {
    let is_known = |block: &Value<'_>| {
        matches!(block.get("type").as_str(), Some("thinking" | "redacted_thinking" | "text" | "fallback")) || is_result(block)
    };
    !content.items().iter().all(is_known)
}

/// A model call that failed: the program gave up, or will repeat it.
fn failed_call(mut record: Record<'_>, id: String, message: &Value<'_>, step: &Step<'_>) -> Span {
    let error = record.take("error");
    let text = messages::message(message).map(|message| message.content).unwrap_or_default();
    let mut span = step.failed_call(id, text);
    span.provider = Some("anthropic".to_owned());
    span.error_type = error.into_text().or_else(|| record.take_text("apiError"));
    let status = record.take("apiErrorStatus");
    keep(&mut span, "http.response.status_code", &status);
    record.keep_rest(&mut span);
    span
}

/// A message to the model: of the user, of the program, or results of tools.
fn parse_input(mut record: Record<'_>, step: &Step<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let message = record.take_tree("message");
    let content = message.get("content");
    if !matches!(content, Value::Text(_) | Value::List(_)) {
        return out.reject(location, RejectionKind::MalformedRecord, format!("cannot read {location}: the message has no content"));
    }
    let details = [record.take_tree("toolUseResult"), record.take_tree("tool_use_result")].into_iter().find(|details| !details.is_null());
    let details = details.unwrap_or_default();
    let mut all = None;
    for block in content.items().iter().filter(|block| is_result(block)) {
        add_tool_result(block, &details, step, out).add_to(&mut all);
    }
    let rest: Vec<Value<'_>> = content.items().iter().filter(|block| !is_result(block)).cloned().collect();
    if all.is_some() && rest.is_empty() {
        return all.unwrap_or_else(|| out.skip_event(Skip::Empty));
    }
    let by_program = ["isMeta", "isCompactSummary", "isSynthetic"].map(|key| matches!(record.take(key), Value::Bool(true))).contains(&true);
    let read = if rest.is_empty() { messages::message(&message) } else { messages::message(&user_message(rest)) };
    let mut span = step.input(record.take("uuid").as_id().unwrap_or_else(|| step.place()), read.unwrap_or_default());
    let role = if by_program { "system" } else { "user" };
    role.clone_into(&mut span.name);
    if let Some(message) = span.input.first_mut() {
        role.clone_into(&mut message.role);
    }
    record.keep_rest(&mut span);
    let input = step.add(span, out);
    all.map_or(input, |all| all.and(input))
}

fn user_message(content: Vec<Value<'_>>) -> Value<'_> {
    Value::Map(vec![("role".into(), Value::Text("user".into())), ("content".into(), Value::List(content))])
}

/// `tool_result`, and those of tools that the provider runs: `web_search_tool_result`, `mcp_tool_result`.
fn is_result(block: &Value<'_>) -> bool {
    block.get("type").as_str().is_some_and(|kind| kind.ends_with("tool_result")) && block.get("tool_use_id").as_str().is_some()
}

/// Adds the end of a tool's span. `details` is what the program recorded beside the text for the model.
fn add_tool_result(block: &Value<'_>, details: &Value<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let call_id = block.get("tool_use_id").to_text();
    let content = block.get("content");
    let text = unwrapped(&result_text(content));
    let mut span = step.tool_end(call_id.clone(), None, Some(text.clone()));
    let duration = details.first(&["totalDurationMs", "durationMs"]).as_u64().unwrap_or_default();
    let failed = matches!(block.get("is_error"), Value::Bool(true)) || !content.get("error_code").is_null();
    if is_rejected(&text) {
        keep(&mut span, "rejected_by_user", &Value::Bool(true));
    } else if failed {
        fail(&mut span, text);
        span.error_type = span.error_type.take().or_else(|| content.text_at("error_code"));
    } else if block.get("is_error") == &Value::Bool(false) {
        span.status = Status::Ok;
    }
    for key in ["interrupted", "code", "returnCodeInterpretation"] {
        if !matches!(details.get(key), Value::Null | Value::Bool(false)) {
            keep(&mut span, key, details.get(key));
        }
    }
    let tool = step.add(span, out);
    // The steps of a subagent name the agent, and not the tool that started it.
    let Some(agent) = details.get("agentId").as_id() else { return tool };
    let mut span = step.span(agent, SpanKind::Agent, details.get("agentType").as_str().unwrap_or("agent"));
    span.parent_span_id = Some(call_id);
    span.started_at_ns = Some(step.at_ns.saturating_sub_unsigned(duration.saturating_mul(1_000_000)));
    tool.and(step.add(span, out))
}

/// The text of a result. Images are encoded, so only their kind is kept.
fn result_text(content: &Value<'_>) -> String {
    let is_image = |block: &Value<'_>| matches!(block.get("type").as_str(), Some("image" | "document"));
    if !content.items().iter().any(is_image) {
        return messages::tool_result_text(content);
    }
    let text = |block: &Value<'_>| if is_image(block) { format!("[{}]", block.get("type").to_text()) } else { block.get("text").to_text() };
    content.items().iter().map(text).collect::<Vec<_>>().join("\n")
}

/// `<tool_use_error>InputValidationError: …</tool_use_error>` without its tags.
fn unwrapped(text: &str) -> String {
    let inner = text.trim().strip_prefix("<tool_use_error>").and_then(|text| text.strip_suffix("</tool_use_error>"));
    inner.unwrap_or(text).to_owned()
}

/// Whether the user did not allow a call, which is no failure of the tool.
fn is_rejected(text: &str) -> bool {
    text.starts_with("The user doesn't want to proceed with this tool use")
        || text.starts_with("The user doesn't want to take this action right now")
        || text.starts_with("[Request interrupted by user")
}

/// A part of the span of the whole run, which the stream describes at its start and its end.
fn run_span(step: &Step<'_>) -> Span {
    Span { parent_span_id: None, ..step.span(step.trace_id.clone(), SpanKind::Agent, SERVICE) }
}

/// The end of the run, in the stream.
fn parse_result(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut span = run_span(step);
    let subtype = record.take_text("subtype").unwrap_or_default();
    let result = record.take_text("result");
    let errors = record.take("errors");
    let failed = matches!(record.take("is_error"), Value::Bool(true)) || subtype.starts_with("error");
    let reason = record.take_text("terminal_reason");
    if let Some(reason) = &reason {
        keep(&mut span, "terminal_reason", &Value::Text(reason.as_str().into()));
    }
    let was_interrupted = reason.is_some_and(|reason| reason.starts_with("aborted"));
    if failed && !was_interrupted {
        let errors: Vec<String> = errors.into_texts();
        let message = if errors.is_empty() { result.unwrap_or_else(|| subtype.clone()) } else { errors.join("\n") };
        fail(&mut span, message);
        if subtype != "success" {
            span.error_type = Some(subtype);
        }
    } else if !failed {
        span.status = Status::Ok;
        if result.is_none() {
            span.output.push(Message { role: "assistant".into(), ..Message::default() });
        }
        span.output_text = result;
    }
    let status = record.take("api_error_status");
    keep(&mut span, "http.response.status_code", &status);
    record.discard(&["uuid", "modelUsage", "usage"]);
    record.keep_rest(&mut span);
    step.add(span, out)
}

/// A message of the program.
fn parse_system(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let subtype = record.take_text("subtype").unwrap_or_default();
    let uuid = record.take("uuid").as_id();
    match subtype.as_str() {
        "init" => {
            let mut span = run_span(step);
            span.ended_at_ns = None;
            span.tools_offered = record.take("tools").into_texts();
            for key in ["cwd", "model", "claude_code_version"] {
                keep(&mut span, key, &record.take(key));
            }
            step.add(span, out)
        }
        "api_error" | "api_retry" => step.add(attempt(record, uuid, step), out),
        _ if record.take("level").as_str() == Some("error") => {
            let mut span = step.span(uuid.unwrap_or_else(|| step.place()), SpanKind::Other, &subtype);
            fail(&mut span, record.take_text("content").unwrap_or(subtype));
            record.keep_rest(&mut span);
            step.add(span, out)
        }
        _ => out.skip_event(Skip::OtherEvent),
    }
}

/// An attempt of a model call that failed, and will be repeated. `error` is the error of Anthropic's SDK, or one word in the stream.
fn attempt(mut record: Record<'_>, uuid: Option<String>, step: &Step<'_>) -> Span {
    let error = record.take_tree("error");
    // `{"status": 529, "error": {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}}`
    let body = error.get("error");
    let body = if body.get("error").is_null() { body } else { body.get("error") };
    let cause = error.get("cause");
    let message = [body.get("message"), error.get("message"), cause.get("message"), cause.get("code"), &error];
    let message = message.into_iter().find_map(Value::as_str).unwrap_or("the request failed").to_owned();
    let mut span = step.failed_call(uuid.unwrap_or_else(|| step.place()), message);
    span.provider = Some("anthropic".to_owned());
    let kind = [body.get("type"), cause.get("code"), error.get("type"), &error].into_iter().find_map(Value::as_str);
    span.error_type = kind.map(str::to_owned);
    let status = record.take("error_status");
    keep(&mut span, "http.response.status_code", if status.is_null() { error.get("status") } else { &status });
    record.keep_rest(&mut span);
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::SpanFragment;
    use crate::parse::tests::parse_line;

    const STEP: &str =
        r#""parentUuid":"u0","isSidechain":false,"sessionId":"s","uuid":"u1","timestamp":"2026-11-26T15:15:59.158Z","version":"2.1.332""#;

    fn fragments(rest: &str) -> Vec<SpanFragment> {
        let out = parse_line(&ClaudeCode, &format!("{{{STEP},{rest}}}"));
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.fragments
    }

    #[test]
    fn a_block_is_a_part_of_the_answer_and_opens_the_span_of_its_tool() {
        let found = fragments(
            r#""type":"assistant","message":{"id":"msg_1","role":"assistant","model":"claude-x","content":[{"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}}],"stop_reason":"tool_use","usage":{"input_tokens":3,"output_tokens":9}}"#,
        );
        let [tool, answer] = found.as_slice() else { panic!("{found:?}") };
        assert!(found.iter().all(|fragment| fragment.is_part && fragment.trace_id == "s"));
        assert_eq!((tool.span.span_id.as_str(), tool.span.kind, tool.span.ended_at_ns), ("toolu_1", SpanKind::Tool, None));
        assert_eq!(
            (answer.span.span_id.as_str(), answer.span.usage.output, answer.span.finish_reasons.as_slice()),
            ("msg_1", Some(9), &["tool_use".to_owned()][..])
        );
        assert_eq!(answer.span.output[0].tool_calls[0].arguments, r#"{"command":"ls"}"#);
        let thought = fragments(
            r#""type":"assistant","message":{"id":"msg_1","role":"assistant","model":"claude-x","content":[{"type":"thinking","thinking":"hm"}]}"#,
        );
        assert!(thought[0].span.output.is_empty() && thought[0].span.not_understood.is_empty());
    }

    #[test]
    fn a_failed_tool_has_its_error_and_a_rejected_call_none() {
        let result = |text: &str| {
            let block = format!(r#"{{"tool_use_id":"toolu_1","type":"tool_result","is_error":true,"content":"{text}"}}"#);
            fragments(&format!(r#""type":"user","message":{{"role":"user","content":[{block}]}},"toolUseResult":"Error""#)).remove(0).span
        };
        let failed = result("<tool_use_error>InputValidationError: no such field</tool_use_error>");
        assert_eq!((failed.status, failed.error_type.as_deref()), (Status::Error, Some("InputValidationError")));
        assert_eq!(failed.tool.unwrap().result.as_deref(), Some("InputValidationError: no such field"));
        let image = r#""type":"user","message":{"role":"user","content":[{"tool_use_id":"t","type":"tool_result","content":[{"type":"image","source":{"data":"aaaa"}}]}]}"#;
        assert_eq!(fragments(image)[0].span.tool.as_ref().unwrap().result.as_deref(), Some("[image]"));
        let rejected = result("The user doesn't want to proceed with this tool use. The tool use was rejected.");
        assert_eq!((rejected.status, rejected.attribute("rejected_by_user")), (Status::Unset, Some("true")));
    }

    #[test]
    fn errors_of_the_api_are_failed_model_calls() {
        let gave_up = fragments(
            r#""type":"assistant","isApiErrorMessage":true,"error":"rate_limit","apiErrorStatus":429,"message":{"id":"m","model":"<synthetic>","role":"assistant","stop_reason":"stop_sequence","content":[{"type":"text","text":"API Error: 429"}]}"#,
        );
        let span = &gave_up[0].span;
        assert_eq!(
            (span.kind, span.status, span.error_type.as_deref(), span.model.as_deref()),
            (SpanKind::Llm, Status::Error, Some("rate_limit"), None)
        );
        assert_eq!((span.status_message.as_deref(), span.attribute("http.response.status_code")), (Some("API Error: 429"), Some("429")));
        let retried = fragments(
            r#""type":"system","subtype":"api_error","level":"error","error":{"status":529,"error":{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}},"retryAttempt":1,"maxRetries":10"#,
        );
        let span = &retried[0].span;
        assert_eq!((span.error_type.as_deref(), span.status_message.as_deref()), (Some("overloaded_error"), Some("Overloaded")));
        assert_eq!(span.attribute("http.response.status_code"), Some("529"));
    }

    #[test]
    fn steps_of_a_subagent_are_below_the_tool_that_started_it() {
        let result = fragments(
            r#""type":"user","message":{"role":"user","content":[{"tool_use_id":"toolu_1","type":"tool_result","content":"done"}]},"toolUseResult":{"agentId":"a1","agentType":"Explore","totalDurationMs":5}"#,
        );
        assert_eq!((result[1].span.span_id.as_str(), result[1].span.parent_span_id.as_deref()), ("a1", Some("toolu_1")));
        let step = fragments(r#""agentId":"a1","type":"user","message":{"role":"user","content":"look"}"#);
        assert_eq!(step[0].span.parent_span_id.as_deref(), Some("a1"));
    }

    #[test]
    fn the_stream_ends_with_the_outcome_of_the_run() {
        let of = |line: &str| parse_line(&ClaudeCode, line).fragments.remove(0).span;
        let failed = of(
            r#"{"type":"result","subtype":"error_max_turns","is_error":true,"num_turns":4,"session_id":"s","errors":["Reached maximum number of turns (3)"]}"#,
        );
        assert_eq!((failed.span_id.as_str(), failed.kind, failed.status), ("s", SpanKind::Agent, Status::Error));
        assert_eq!(
            (failed.error_type.as_deref(), failed.status_message.as_deref()),
            (Some("error_max_turns"), Some("Reached maximum number of turns (3)"))
        );
        let interrupted = of(
            r#"{"type":"result","subtype":"error_during_execution","is_error":true,"session_id":"s","terminal_reason":"aborted_tools"}"#,
        );
        assert_eq!((interrupted.status, interrupted.attribute("terminal_reason")), (Status::Unset, Some("aborted_tools")));
        let silent = of(r#"{"type":"result","subtype":"success","is_error":false,"session_id":"s","result":""}"#);
        assert_eq!((silent.status, silent.output.len()), (Status::Ok, 1));
        let unmarked = of(
            r#"{"type":"assistant","session_id":"s","parent_tool_use_id":null,"message":{"id":"m","model":"<synthetic>","role":"assistant","content":[{"type":"text","text":"API Error: 429 slow down"}]}}"#,
        );
        assert_eq!((unmarked.kind, unmarked.status), (SpanKind::Llm, Status::Error));
        let start = of(r#"{"type":"system","subtype":"init","session_id":"s","tools":["Bash","Read"],"model":"m"}"#);
        assert_eq!((start.span_id.as_str(), start.ended_at_ns, start.tools_offered.len()), ("s", None, 2));
        let retry = of(
            r#"{"type":"system","subtype":"api_retry","attempt":1,"error_status":429,"error":"rate_limit","session_id":"s","uuid":"u"}"#,
        );
        assert_eq!((retry.error_type.as_deref(), retry.parent_span_id.as_deref()), (Some("rate_limit"), Some("s")));
    }

    #[test]
    fn records_about_the_program_are_skipped_and_broken_ones_rejected() {
        for line in [
            r#"{"type":"summary","summary":"x","leafUuid":"u"}"#,
            r#"{"type":"queue-operation","operation":"enqueue","sessionId":"s"}"#,
            r#"{"agentType":"Explore","toolUseId":"toolu_1"}"#,
        ] {
            let out = parse_line(&ClaudeCode, line);
            assert_eq!((out.records.skipped, out.skipped.len()), (1, 0), "{line}");
        }
        for line in
            [r#"{"type":"user","sessionId":"s","message":7}"#, r#"{"type":"user","message":{"content":"hi"}}"#, r#"{"parentUuid":null}"#]
        {
            assert_eq!(parse_line(&ClaudeCode, line).records.rejected, 1, "{line}");
        }
    }
}
