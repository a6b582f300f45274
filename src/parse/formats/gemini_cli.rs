//! Sessions of Gemini CLI: the files `~/.gemini/tmp/PROJECT/chats/session-*.json` (one object) and `.jsonl` (one record on each line), and the events of
//! `gemini --output-format stream-json`, or the outcome alone (`json`).
//!
//! Specification: `chatRecordingTypes.ts` and `chatRecordingService.ts` of <https://github.com/google-gemini/gemini-cli/tree/main/packages/core/src/services>,
//! `output/types.ts` beside it for the stream; checked with files of Gemini CLI 0.11, 0.33 and 0.61.
//!
//! ```json
//! {"sessionId": "…", "projectHash": "…", "startTime": "…", "lastUpdated": "…", "messages": [
//!   {"id": "1", "timestamp": "…", "type": "user", "content": "Fix it"},
//!   {"id": "2", "timestamp": "…", "type": "gemini", "model": "gemini-2.5-pro", "content": "", "tokens": {"input": 311, "output": 42}, "toolCalls": [
//!     {"id": "c1", "name": "read_file", "args": {…}, "status": "error", "timestamp": "…", "result": [{"functionResponse": {…}}]}]}]}
//! ```
//!
//! | record | span |
//! |---|---|
//! | `gemini` | a model call |
//! | `toolCalls` | tools; `error` is a failure, `cancelled` is not |
//! | `user` | a message to the model |
//! | `error`, `info`, `warning` | what the program showed; an error of the API is a failed model call |
//! | `result` (stream) | the run and its outcome |
//!
//! Quirks of real files:
//! - In the form with lines a message is written again when its tools have ended, and results of tools are written again as a message of the user.
//! - Only the first of these lines has the id of the session, so the trace is named after the object.
//! - A command that fails has the status `success`, and `Exit Code: 1` in its output.
//! - A failed request is recorded only in interactive mode, as text. In the stream it is the error of the `result`, and in version 0.11 not even that.
//! - `logs.json` has the prompts alone.

use crate::model::{Message, Part, RejectionKind, Span, SpanKind, Status, TokenUsage, ToolCall, ToolUse};
use crate::parse::formats::session::{Step, fail, keep};
use crate::parse::messages;
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of Gemini CLI's sessions; see the [module docs](self).
pub(super) struct GeminiCli;

/// The service name of Gemini CLI's telemetry.
const SERVICE: &str = "gemini-cli";

impl Format for GeminiCli {
    fn name(&self) -> &'static str {
        "gemini_cli"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["sessionId", "projectHash"]),
                Signature::common(&["id", "timestamp", "type", "content"]),
                Signature::common(&["$set"]),
                Signature::common(&["$rewindTo"]),
                // `logs.json`.
                Signature::unique(&["sessionId", "messageId", "type", "message"]),
                // The outcome alone, `--output-format json`.
                Signature::common(&["response", "stats"]),
                Signature::common(&["session_id", "error"]),
                // The stream.
                Signature::common(&["type", "timestamp", "session_id", "model"]),
                Signature::unique(&["type", "timestamp", "tool_name", "tool_id", "parameters"]),
                Signature::unique(&["type", "timestamp", "tool_id", "status"]),
                Signature::unique(&["type", "timestamp", "status", "stats"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("messageId") {
            return out.skip(Skip::OtherEvent, location);
        }
        let error = record.take_tree("error");
        let is_outcome = record.has("stats") || error.get("message").as_str().is_some();
        record.insert("error", error);
        if !record.has("type") && is_outcome {
            let trace_id = record.take("session_id").as_id().unwrap_or_else(|| location.uri.to_owned());
            return parse_result(record, &Step::new(SERVICE, trace_id, None, location), out);
        }
        let update = record.take("$set");
        let list = if update.is_null() { record.take_tree("messages") } else { update.get("messages").clone() };
        if let Value::List(items) = list {
            let trace_id = record.take("sessionId").as_id().unwrap_or_else(|| location.uri.to_owned());
            return record::parse_each(items, location, out, |message, location, out| parse_message(message, &trace_id, location, out));
        }
        if !update.is_null() || record.has("$rewindTo") || record.has("projectHash") {
            return out.skip_event(Skip::OtherEvent);
        }
        parse_message(record, location.uri, location, out)
    }
}

/// A message of a session, or an event of the stream.
fn parse_message(mut record: Record<'_>, trace_id: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = record.take_text("type").unwrap_or_default();
    let step = Step::new(SERVICE, trace_id.to_owned(), record.take("timestamp").as_time(), location);
    match kind.as_str() {
        "gemini" => parse_answer(record, &step, out),
        "user" => parse_input(record, &step, out),
        "error" | "info" | "warning" => parse_notice(&kind, record, &step, out),
        "init" => out.skip_event(Skip::OtherEvent),
        "message" => parse_streamed_message(record, &step, out),
        "tool_use" | "tool_result" => parse_streamed_tool(record, &step, out),
        "result" => parse_result(record, &step, out),
        _ => {
            let reason = format!(
                "cannot read {location}: no message of Gemini CLI\n  hint: a message has the type user, gemini, error, info or warning"
            );
            out.reject(location, RejectionKind::MalformedRecord, reason)
        }
    }
}

fn parse_answer(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let content = record.take("content");
    let calls = record.take_tree("toolCalls");
    let id = record.take("id").as_id().unwrap_or_else(|| step.place());
    let mut span = step.span(id, SpanKind::Llm, "assistant");
    span.model = record.take_text("model");
    span.provider = Some("gcp.gemini".to_owned());
    let tokens = record.take("tokens");
    span.usage = TokenUsage { input: tokens.get("input").as_u64(), output: tokens.get("output").as_u64() };
    let text = text_of(&content);
    let tool_calls: Vec<ToolCall> = calls.items().iter().map(tool_call).collect();
    // A message is written before its calls are known, and again with them.
    if !text.is_empty() || !tool_calls.is_empty() {
        span.output.push(Message { role: "assistant".into(), content: text, tool_calls, ..Message::default() });
    } else if !content.is_empty() {
        span.not_understood.insert(Part::Output);
    }
    record.discard(&["thoughts", "displayContent"]);
    record.keep_rest(&mut span);
    let mut all = step.add(span, out);
    for (call, start) in calls.items().iter().zip(step.at_ns.saturating_add(1)..) {
        all = all.and(add_tool(call, start, step, out));
    }
    all
}

fn tool_call(call: &Value<'_>) -> ToolCall {
    ToolCall { id: call.get("id").as_id(), name: call.get("name").to_text(), arguments: call.get("args").to_text() }
}

/// A tool that a message called, with its result.
fn add_tool(call: &Value<'_>, start: i64, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let ToolCall { id, name, arguments } = tool_call(call);
    let span_id = id.clone().unwrap_or_else(|| format!("{}.{start}", step.place()));
    let mut span = step.span(span_id, SpanKind::Tool, &name);
    let response = response_of(call.get("result"));
    let text = response.map(result_text).or_else(|| call.text_at("resultDisplay"));
    span.started_at_ns = Some(start);
    span.ended_at_ns = call.get("timestamp").as_time();
    span.tool = Some(ToolUse { name, call_id: id, arguments, result: text.clone() });
    match call.get("status").as_str() {
        Some("error") => fail(&mut span, text.unwrap_or_default()),
        Some("success") if text.as_deref().is_some_and(has_failed_command) => fail(&mut span, text.unwrap_or_default()),
        Some("success") => span.status = Status::Ok,
        // `cancelled`: the user did not allow it. Or the run ended before the tool did.
        status => keep(&mut span, "status", &Value::Text(status.unwrap_or_default().into())),
    }
    keep(&mut span, "agentId", call.get("agentId"));
    step.add(span, out)
}

/// Whether the result is that of a command that failed: the tool for commands adds a line `Exit Code: 1`.
fn has_failed_command(text: &str) -> bool {
    let mut codes = text.lines().rev().filter_map(|line| line.strip_prefix("Exit Code: ")?.trim().parse::<i64>().ok());
    codes.next().is_some_and(|code| code != 0)
}

/// The response in a list of parts, `[{"functionResponse": {"response": {…}}}]`.
fn response_of<'v>(result: &'v Value<'v>) -> Option<&'v Value<'v>> {
    let of_part = |part: &'v Value<'v>| Some(part.get("functionResponse").get("response")).filter(|response| !response.is_null());
    of_part(result).or_else(|| result.items().iter().find_map(of_part))
}

/// Gemini's API has the keys `output` and `error` for what a tool returned.
fn result_text(response: &Value<'_>) -> String {
    match response.fields() {
        [(key, value)] if matches!(key.as_ref(), "output" | "error" | "result") => value.to_text(),
        _ => response.to_text(),
    }
}

/// The text of content: a text, a part, or a list of parts.
fn text_of(content: &Value<'_>) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let parts = if matches!(content, Value::List(_)) { content.clone() } else { Value::List(vec![content.clone()]) };
    let wrapped = Value::Map(vec![("role".into(), Value::Text("user".into())), ("parts".into(), parts)]);
    let mut read = Vec::new();
    messages::add_messages(&wrapped, &mut read);
    // Results of tools are read with their calls.
    read.into_iter().filter(|message| message.role == "user").map(|message| message.content).collect::<Vec<_>>().join("\n")
}

fn parse_input(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let content = record.take("content");
    let is_result = |part: &Value<'_>| !part.get("functionResponse").is_null();
    if !content.items().is_empty() && content.items().iter().all(is_result) {
        return out.skip_event(Skip::OtherEvent);
    }
    let content = text_of(&content);
    // The program describes the machine in the name of the user.
    let role = if content.starts_with("<session_context>") { "system" } else { "user" };
    let mut span = step
        .input(record.take("id").as_id().unwrap_or_else(|| step.place()), Message { role: role.to_owned(), content, ..Message::default() });
    record.discard(&["displayContent"]);
    record.keep_rest(&mut span);
    step.add(span, out)
}

/// What the program showed to the user.
fn parse_notice(kind: &str, mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let content = record.take("content");
    let text = if content.is_null() { record.take_text("message").unwrap_or_default() } else { text_of(&content) };
    let id = record.take("id").as_id().unwrap_or_else(|| step.place());
    // The stream has warnings and errors of one type.
    let is_error = kind == "error" && record.take("severity").as_str() != Some("warning");
    // "The model response was blocked due to safety settings", "Model stream ended with malformed function call".
    let is_of_model = text.contains("API Error") || text.contains("odel ");
    let span_kind = if is_error && is_of_model { SpanKind::Llm } else { SpanKind::Other };
    let mut span = step.span(id, span_kind, kind);
    if is_error {
        fail(&mut span, text);
    } else {
        keep(&mut span, "content", &Value::Text(text.into()));
    }
    step.add(span, out)
}

fn parse_streamed_message(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let content = record.take_text("content").unwrap_or_default();
    let role = record.take_text("role").unwrap_or_default();
    if role == "user" {
        return step.add(step.input(step.place(), Message { role, content, ..Message::default() }), out);
    }
    let mut span = step.span(step.place(), SpanKind::Llm, "assistant");
    span.provider = Some("gcp.gemini".to_owned());
    span.output.push(Message { role: "assistant".into(), content, ..Message::default() });
    step.add(span, out)
}

fn parse_streamed_tool(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(id) = record.take("tool_id").as_id() else { return out.skip_event(Skip::OtherEvent) };
    let name = record.take_text("tool_name");
    let mut span = step.tool_end(id, name.as_deref(), record.take_text("output"));
    let (parameters, error) = (record.take("parameters"), record.take("error"));
    let status = record.take_text("status");
    if status.is_none() {
        (span.started_at_ns, span.ended_at_ns) = (span.ended_at_ns, None);
    }
    if let Some(tool) = &mut span.tool {
        tool.arguments = parameters.to_text();
    }
    match status.as_deref() {
        Some("error") => {
            fail(&mut span, error.text_at("message").unwrap_or_default());
            span.error_type = error.text_at("type");
        }
        Some("success") => span.status = Status::Ok,
        _ => {}
    }
    step.add(span, out)
}

fn parse_result(mut record: Record<'_>, step: &Step<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut span = step.span(step.place(), SpanKind::Agent, SERVICE);
    let (error, stats) = (record.take("error"), record.take("stats"));
    let (outcome, response) = (record.take("status"), record.take_text("response"));
    let mut all = None;
    if outcome.as_str() == Some("error") || !error.is_empty() {
        let message = error.text_at("message").unwrap_or_default();
        if message.contains("API Error") {
            // The failed request has no event of its own.
            let call = step.failed_call(format!("{}.call", step.place()), message.clone());
            step.add(Span { parent_span_id: Some(step.place()), provider: Some("gcp.gemini".to_owned()), ..call }, out).add_to(&mut all);
        }
        fail(&mut span, message);
        span.error_type = error.text_at("type").filter(|kind| !matches!(kind.as_str(), "unknown" | "Error"));
    } else {
        span.status = Status::Ok;
        // A failed request ends the run without an error in some versions.
        if response.is_none() && stats.get("output_tokens").as_u64() == Some(0) {
            span.output.push(Message { role: "assistant".into(), ..Message::default() });
        }
        span.output_text = response;
    }
    span.usage = TokenUsage { input: stats.get("input_tokens").as_u64(), output: stats.get("output_tokens").as_u64() };
    keep(&mut span, "duration_ms", stats.get("duration_ms"));
    let run = step.add(span, out);
    all.map_or(run, |all| all.and(run))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    fn of(line: &str) -> Vec<Span> {
        let out = parse_line(&GeminiCli, line);
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.fragments.into_iter().map(|fragment| fragment.span).collect()
    }

    const ANSWER: &str = r#"{"id":"2","timestamp":"2026-11-26T15:18:30.812Z","type":"gemini","content":"","tokens":{"input":311,"output":42},"model":"m","toolCalls":[
        {"id":"c1","name":"read_file","args":{"file_path":"a"},"status":"error","timestamp":"2026-11-26T15:18:30.830Z","result":[{"functionResponse":{"id":"c1","name":"read_file","response":{"error":"File not found: a"}}}]},
        {"id":"c2","name":"write_file","args":{},"status":"cancelled","timestamp":"2026-11-26T15:18:30.830Z","result":[{"functionResponse":{"response":{"error":"[Operation Cancelled] Reason: User did not allow tool call"}}}]}]}"#;

    #[test]
    fn an_answer_has_its_tools() {
        let spans = of(ANSWER);
        let [answer, failed, cancelled] = spans.as_slice() else { panic!("{spans:?}") };
        assert_eq!((answer.span_id.as_str(), answer.usage.input, answer.output[0].tool_calls.len()), ("2", Some(311), 2));
        assert_eq!((failed.status, failed.status_message.as_deref()), (Status::Error, Some("File not found: a")));
        assert_eq!((failed.tool.as_ref().unwrap().arguments.as_str(), cancelled.status), (r#"{"file_path":"a"}"#, Status::Unset));
    }

    #[test]
    fn a_session_in_one_object_has_its_id() {
        let session = format!(
            r#"{{"sessionId":"s","projectHash":"h","messages":[{ANSWER},{{"id":"3","type":"error","timestamp":"2026-11-26T15:18:31Z","content":"[API Error: quota]"}}]}}"#
        );
        let out = parse_line(&GeminiCli, &session);
        assert_eq!((out.fragments.len(), out.fragments[0].trace_id.as_str()), (4, "s"));
        assert_eq!((out.fragments[3].span.kind, out.fragments[3].span.status), (SpanKind::Llm, Status::Error));
    }

    #[test]
    fn results_that_are_repeated_as_input_are_skipped() {
        let line = r#"{"id":"4","timestamp":"2026-11-26T15:18:31Z","type":"user","content":[{"functionResponse":{"id":"c1","name":"f","response":{"output":"x"}}}]}"#;
        assert_eq!(parse_line(&GeminiCli, line).records.skipped, 1);
        let prompt = of(r#"{"id":"1","timestamp":"2026-11-26T15:18:29Z","type":"user","content":[{"text":"Fix it"}]}"#);
        assert_eq!((prompt[0].name.as_str(), prompt[0].input[0].content.as_str()), ("user", "Fix it"));
    }

    #[test]
    fn the_stream_has_the_outcome_of_tools_and_of_the_run() {
        let end = of(
            r#"{"type":"tool_result","timestamp":"2026-11-26T15:18:30Z","tool_id":"c1","status":"error","output":"no","error":{"type":"file_not_found","message":"File not found: a"}}"#,
        );
        assert_eq!((end[0].error_type.as_deref(), end[0].status_message.as_deref()), (Some("file_not_found"), Some("File not found: a")));
        let run = of(
            r#"{"type":"result","timestamp":"2026-11-26T15:18:30Z","status":"error","error":{"type":"unknown","message":"[API Error: 400]"},"stats":{"input_tokens":1}}"#,
        );
        let [call, run] = run.as_slice() else { panic!("{run:?}") };
        assert_eq!((call.kind, call.parent_span_id.as_deref()), (SpanKind::Llm, Some(run.span_id.as_str())));
        assert_eq!((run.kind, run.status, run.error_type.as_deref()), (SpanKind::Agent, Status::Error, None));
    }

    #[test]
    fn the_outcome_alone_is_a_run() {
        let run = of(r#"{"session_id":"s","response":"done","stats":{"models":{}}}"#);
        assert_eq!((run[0].kind, run[0].output_text.as_deref()), (SpanKind::Agent, Some("done")));
        let failed = parse_line(&GeminiCli, r#"{"session_id":"s","error":{"type":"ApiError","message":"[API Error: quota]","code":1}}"#);
        assert_eq!((failed.fragments.len(), failed.fragments[1].trace_id.as_str()), (2, "s"));
        assert_eq!(failed.fragments[1].span.error_type.as_deref(), Some("ApiError"));
        assert_eq!(parse_line(&GeminiCli, r#"{"session_id":"s","error":"late"}"#).records.rejected, 1);
    }

    #[test]
    fn a_command_that_failed_is_a_failed_tool() {
        for (text, failed) in
            [("Output: x\nExit Code: 1\nProcess Group PGID: 7", true), ("Exit Code: 0", false), ("the Exit Code: 1 is bad", false)]
        {
            assert_eq!(has_failed_command(text), failed, "{text}");
        }
    }

    #[test]
    fn an_unknown_message_is_rejected() {
        assert_eq!(
            parse_line(&GeminiCli, r#"{"id":"1","timestamp":"2026-11-26T15:18:29Z","type":"invoice","content":"x"}"#).records.rejected,
            1
        );
    }
}
