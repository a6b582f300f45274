//! Sessions of the Codex CLI: the files `rollout-TIME-ID.jsonl` below `~/.codex/sessions`, and the events that `codex exec --json` writes. Each line is a
//! record.
//!
//! Specification: `codex-rs/protocol/src/{protocol,models,items}.rs` and `codex-rs/exec/src/exec_events.rs` of
//! <https://github.com/openai/codex>; checked with files of Codex 0.20, 0.36, 0.65, 0.107 and 0.171.
//!
//! ```json
//! {"timestamp": "…", "type": "session_meta", "payload": {"id": "…", "cwd": "…", "originator": "codex_exec", "cli_version": "0.171.0"}}
//! {"timestamp": "…", "type": "response_item", "payload": {"type": "function_call", "name": "exec_command", "arguments": "{…}", "call_id": "c1"}}
//! {"timestamp": "…", "type": "event_msg", "payload": {"type": "exec_command_end", "call_id": "c1", "exit_code": 1, …}}
//! {"timestamp": "…", "type": "response_item", "payload": {"type": "function_call_output", "call_id": "c1", "output": "…"}}
//! ```
//!
//! | record | span |
//! |---|---|
//! | `response_item`: `message` of the assistant, a call | a model call; a call also opens the span of its tool |
//! | `response_item`: `…_output`; `event_msg`: `exec_command_end`, `mcp_tool_call_end`, `patch_apply_end`, `item_completed` | the end of the tool |
//! | `response_item`: other `message` | a message to the model |
//! | `event_msg`: `task_started`, `task_complete`, `turn_aborted`; `turn_context`, `token_usage_record` | the turn, if it has an id |
//! | `event_msg`: `error`, `stream_error` | a failed model call |
//! | `item.…`, `turn.…`, `error` of `codex exec --json`; `{"id", "msg"}` of its versions before 0.41 | the same |
//!
//! Quirks of real files:
//! - Only the first record has the id of the session. It is also in the name of the file, which therefore names the trace.
//! - Messages are recorded twice, as items and as events. In a rollout the items count.
//! - `output` is text whose form depends on the tool and the version: JSON with `metadata.exit_code`, or lines such as `Exit code: 1`.
//! - In the oldest form the first line is `{"id", "timestamp", "instructions"}` and all others are bare items, without a time.
//! - Events of `codex exec --json` have no time, so the order of the records counts.

mod events;
mod items;

use super::session::Step;
use crate::model::{Message, RejectionKind, Span, SpanKind};
use crate::parse::record::Record;
use crate::parse::value::{Value, time_from_text};
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of Codex's sessions; see the [module docs](self).
pub(super) struct Codex;

/// The service name: that of the program, whichever of its user interfaces ran.
const SERVICE: &str = "codex";

impl Format for Codex {
    fn name(&self) -> &'static str {
        "codex"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A rollout. Other programs may have events with these keys.
                Signature::common(&["timestamp", "type", "payload"]),
                // The first line of the oldest form.
                Signature::common(&["id", "timestamp", "instructions"]),
                // `codex exec --json`.
                Signature::common(&["type", "thread_id"]),
                Signature::common(&["type", "item"]),
                Signature::common(&["id", "msg"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let file = RolloutName::of(location.uri);
        let trace_id = file.id.unwrap_or_else(|| location.uri.to_owned());
        let is_rollout = record.has("payload");
        let time = record.take("timestamp").as_time().or_else(|| Some(file.time_ns?.saturating_add(line(location))));
        let mut step = Step::new(SERVICE, trace_id, time, location);
        let payload = record.take_tree("payload");
        if is_rollout {
            let kind = record.take_text("type").unwrap_or_default();
            step.parent = turn_of(&payload);
            return parse_line(&kind, &payload, &step, location, out);
        }
        let message = record.take_tree("msg");
        if matches!(message, Value::Map(_)) {
            return events::parse(&message, &step, events::Source::Stream, out);
        }
        if record.has("type") {
            return parse_bare(&record.into_value(), &step, location, out);
        }
        // The prompt and the settings stand before the oldest events.
        if let Some(content) = record.take_text("prompt") {
            return step.add(step.input(step.place(), Message { role: "user".into(), content, ..Message::default() }), out);
        }
        // The first line, and the states between the items, of the oldest form.
        if ["instructions", "record_type", "provider", "model"].iter().any(|key| record.has(key)) {
            return out.skip_event(Skip::OtherEvent);
        }
        unknown(location, out)
    }
}

/// A record of a rollout.
fn parse_line(kind: &str, payload: &Value<'_>, step: &Step<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    match kind {
        "response_item" => items::parse(payload, step, out),
        "event_msg" => events::parse(payload, step, events::Source::Rollout, out),
        "turn_context" | "token_usage_record" => events::parse_turn(payload, step, out),
        // `session_meta`, `compacted`, `world_state`, and what later versions add.
        _ if !kind.is_empty() && matches!(payload, Value::Map(_)) => out.skip_event(Skip::OtherEvent),
        _ => unknown(location, out),
    }
}

/// A record without an envelope: an event of `codex exec --json`, or an item of the oldest form.
fn parse_bare(record: &Value<'_>, step: &Step<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = record.get("type").as_str().unwrap_or_default();
    match kind {
        "item.started" | "item.updated" | "item.completed" => events::parse_item(record.get("item"), step, events::Source::Stream, out),
        "thread.started" | "turn.started" => out.skip_event(Skip::OtherEvent),
        "turn.completed" | "turn.failed" | "error" => events::parse_outcome(kind, record, step, out),
        _ if items::is_item(kind) => items::parse(record, step, out),
        _ => unknown(location, out),
    }
}

fn unknown(location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let reason = format!("cannot read {location}: no record of Codex\n  hint: a rollout has timestamp, type and payload on each line");
    out.reject(location, RejectionKind::MalformedRecord, reason)
}

/// The turn of an item or an event, in newer versions.
fn turn_of(payload: &Value<'_>) -> Option<String> {
    let holders = [payload, payload.get("internal_chat_message_metadata_passthrough")];
    holders.into_iter().find_map(|holder| holder.get("turn_id").as_id())
}

/// The part of a turn's span.
fn turn(step: &Step<'_>, id: String) -> Span {
    Span { parent_span_id: None, ..step.span(id, SpanKind::Agent, "turn") }
}

/// What the name of a rollout says: `rollout-2026-11-26T15-16-02-01a2186d-8cac-72f0-8ea5-37511f5f1cf3.jsonl`.
#[derive(Default)]
struct RolloutName {
    id: Option<String>,
    time_ns: Option<i64>,
}

impl RolloutName {
    fn of(uri: &str) -> Self {
        const TIME_BYTES: usize = "2026-11-26T15-16-02".len();
        const ID_BYTES: usize = "01a2186d-8cac-72f0-8ea5-37511f5f1cf3".len();
        let name = uri.rsplit(['/', '!']).next().unwrap_or_default();
        let Some((time, rest)) = name.strip_prefix("rollout-").and_then(|name| name.split_at_checked(TIME_BYTES)) else {
            return Self::default();
        };
        let id = rest.strip_prefix('-').and_then(|rest| rest.get(..ID_BYTES));
        let is_id = |id: &&str| id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        let time = time.split_once('T').map(|(date, clock)| format!("{date}T{}", clock.replace('-', ":")));
        Self { id: id.filter(is_id).map(str::to_owned), time_ns: time.as_deref().and_then(time_from_text) }
    }
}

fn line(location: &RecordLocation<'_>) -> i64 {
    match location.position {
        crate::parse::Position::Line(line) => i64::try_from(line).unwrap_or(i64::MAX),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::parse::tests::parse_line;

    fn of(line: &str) -> Vec<Span> {
        let out = parse_line(&Codex, line);
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.fragments.into_iter().map(|fragment| fragment.span).collect()
    }

    fn payload(kind: &str, payload: &str) -> Vec<Span> {
        of(&format!(r#"{{"timestamp":"2026-11-26T15:16:02.449Z","type":"{kind}","payload":{payload}}}"#))
    }

    #[test]
    fn the_name_of_a_rollout_has_the_id_and_the_time_of_the_session() {
        let name = RolloutName::of("s3://b/sessions/rollout-2026-11-26T15-16-02-01a2186d-8cac-72f0-8ea5-37511f5f1cf3.jsonl.gz");
        assert_eq!(name.id.as_deref(), Some("01a2186d-8cac-72f0-8ea5-37511f5f1cf3"));
        assert_eq!(name.time_ns, time_from_text("2026-11-26T15:16:02Z"));
        assert_eq!(RolloutName::of("s3://b/rollout-x.jsonl").id, None);
    }

    #[test]
    fn a_call_and_its_output_are_parts_of_one_span() {
        let call = payload(
            "response_item",
            r#"{"type":"function_call","id":"fc_1","name":"exec_command","arguments":"{\"cmd\":\"ls\"}","call_id":"c1"}"#,
        );
        assert_eq!(
            call.iter().map(|span| (span.span_id.as_str(), span.kind)).collect::<Vec<_>>(),
            [("c1", SpanKind::Tool), ("fc_1", SpanKind::Llm)]
        );
        for output in [
            r#""Exit code: 1\nWall time: 0 seconds\nOutput:\nno such order""#,
            r#""{\"output\":\"no such order\",\"metadata\":{\"exit_code\":1,\"duration_seconds\":0.0}}""#,
            r#"{"content":"no such order","success":false}"#,
            r#""unsupported call: lookup""#,
        ] {
            let end = payload("response_item", &format!(r#"{{"type":"function_call_output","call_id":"c1","output":{output}}}"#));
            assert_eq!((end[0].span_id.as_str(), end[0].status), ("c1", Status::Error), "{output}");
        }
        let end = payload(
            "response_item",
            r#"{"type":"function_call_output","call_id":"c1","output":[{"type":"input_text","text":"a"},{"type":"input_text","text":"b"}]}"#,
        );
        assert_eq!((end[0].tool.as_ref().unwrap().result.as_deref(), end[0].status), (Some("a\nb"), Status::Unset));
    }

    #[test]
    fn events_add_the_outcome_of_tools_and_turns() {
        let end = payload(
            "event_msg",
            r#"{"type":"mcp_tool_call_end","call_id":"c1","invocation":{"server":"s","tool":"lookup"},"result":{"Err":"timed out"}}"#,
        );
        assert_eq!((end[0].status, end[0].status_message.as_deref()), (Status::Error, Some("timed out")));
        let end = payload("event_msg", r#"{"type":"exec_command_end","call_id":"c1","exit_code":0,"aggregated_output":"ok"}"#);
        assert_eq!((end[0].status, end[0].tool.as_ref().unwrap().result.as_deref()), (Status::Ok, None));
        let failed = payload(
            "event_msg",
            r#"{"type":"task_complete","turn_id":"t1","error":{"message":"exceeded retry limit","codex_error_info":{"response_too_many_failed_attempts":{"http_status_code":429}}}}"#,
        );
        let [call, turn] = failed.as_slice() else { panic!("{failed:?}") };
        assert_eq!(
            (call.kind, call.parent_span_id.as_deref(), call.attribute("http.response.status_code")),
            (SpanKind::Llm, Some("t1"), Some("429"))
        );
        assert_eq!((turn.span_id.as_str(), turn.error_type.as_deref()), ("t1", Some("response_too_many_failed_attempts")));
        let silent = payload("event_msg", r#"{"type":"task_complete","turn_id":"t1","last_agent_message":null}"#);
        assert_eq!(silent[0].output[0].content, "");
        let error =
            payload("event_msg", r#"{"type":"error","message":"You've hit your usage limit.","codex_error_info":"usage_limit_exceeded"}"#);
        assert_eq!((error[0].kind, error[0].error_type.as_deref()), (SpanKind::Llm, Some("usage_limit_exceeded")));
    }

    #[test]
    fn the_events_of_exec_are_read_in_all_versions() {
        let item = of(
            r#"{"type":"item.completed","item":{"id":"item_1","type":"command_execution","command":"ls","aggregated_output":"no","exit_code":2,"status":"failed"}}"#,
        );
        let tool = item[0].tool.as_ref().unwrap();
        assert_eq!((tool.arguments.as_str(), tool.result.as_deref(), item[0].status), (r#"{"command":"ls"}"#, Some("no"), Status::Error));
        let retry = of(r#"{"type":"error","message":"Reconnecting... 1/5 (unexpected status 529: Overloaded)"}"#);
        assert_eq!(retry[0].status_message.as_deref(), Some("unexpected status 529: Overloaded"));
        assert_eq!(parse_line(&Codex, r#"{"type":"error","message":"Reconnecting... 1/5"}"#).records.skipped, 1);
        let failed = of(r#"{"type":"turn.failed","error":{"message":"stream disconnected"}}"#);
        assert_eq!((failed[0].kind, failed[0].status_message.as_deref()), (SpanKind::Agent, Some("stream disconnected")));
        let answer = of(r#"{"id":"1","msg":{"type":"agent_message","message":"done"}}"#);
        assert_eq!(answer[0].output[0].content, "done");
        assert_eq!(of(r#"{"prompt":"Fix it"}"#)[0].input[0].content, "Fix it");
    }

    #[test]
    fn records_without_steps_are_skipped_and_unknown_ones_rejected() {
        for line in [
            r#"{"record_type":"state"}"#,
            r#"{"type":"thread.started","thread_id":"t"}"#,
            r#"{"timestamp":"2026-11-26T15:16:02Z","type":"compacted","payload":{}}"#,
        ] {
            assert_eq!(parse_line(&Codex, line).records.skipped, 1, "{line}");
        }
        for line in [r#"{"type":"purchase","item":7}"#, r#"{"timestamp":"2026-11-26T15:16:02Z","type":"","payload":7}"#] {
            assert_eq!(parse_line(&Codex, line).records.rejected, 1, "{line}");
        }
    }
}
