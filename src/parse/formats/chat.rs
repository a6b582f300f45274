//! Chat trajectories, as agent benchmarks publish them: a JSON list of messages, one message per line, or one run per line.
//!
//! ```json
//! {"trace_id": "run-17", "started_at": "2026-11-23T09:00:00Z", "service": "support", "messages": [
//!   {"role": "user", "content": "Where is my order?"},
//!   {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": "{}"}}]},
//!   {"role": "tool", "tool_call_id": "c1", "content": "not found"}]}
//! ```
//!
//! Specification: messages follow <https://platform.openai.com/docs/api-reference/chat/create>. Runs with `traj` are from tau-bench
//! (<https://github.com/sierra-research/tau-bench>), runs with `history` from Who&When and SWE-agent. Each message becomes a span, whose id is
//! the index of the message from 0.
//!
//! Quirks of real files:
//! - Roles may be names of agents: `Orchestrator (-> WebSurfer)` (Who&When).
//! - `content` may be null or a list of parts.
//! - Messages have no times, so their spans start one nanosecond apart.
//! - A list without a run has neither id nor time: its location serves as the id, the time of its object as the time, and the trace gets a
//!   note.

use crate::model::{Rejection, RejectionKind, Span, SpanKind, Stage, ToolUse};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, Position, RecordLocation, Signature, Skip, messages};

/// The format of chat trajectories; see the [module docs](self).
pub(in crate::parse) struct Chat;

/// Fields that may contain the messages of a run.
const MESSAGE_FIELDS: [&str; 5] = ["messages", "traj", "history", "trajectory", "conversation"];

impl Format for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::common(&["role", "content"]),
                Signature::common(&["role", "tool_calls"]),
                Signature::common(&["role", "parts"]),
                Signature::common(&["messages"]),
                Signature::common(&["traj"]),
                Signature::common(&["history"]),
                Signature::common(&["trajectory"]),
                Signature::common(&["conversation"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("role") { parse_message_record(record, location, out) } else { parse_run(&mut record, location, out) }
    }
}

/// Parses a single message, which belongs to the trace of its list, or of its object if every line is a message.
fn parse_message_record(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let (trace_id, index) = match location.position {
        Position::Item(line, item) => (format!("{}#L{line}", location.uri), item.saturating_sub(1) as u64),
        Position::Line(line) => (location.uri.to_owned(), line.saturating_sub(1)),
        _ => (location.to_string(), 0),
    };
    let time = ["timestamp", "created_at", "time"].iter().find_map(|key| record.take(key).as_time());
    let span = span_of_message(&record.into_value(), index, time.unwrap_or(location.modified_at_ns));
    let mut fragment = record::fragment(trace_id, span, location);
    fragment.has_synthetic_id = true;
    out.span(fragment)
}

/// Parses a run with its messages.
fn parse_run(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let id = ["trace_id", "run_id", "id", "conversation_id"].iter().find_map(|key| record.take(key).as_id());
    let time = ["started_at", "timestamp", "created_at", "start_time"].iter().find_map(|key| record.take(key).as_time());
    let has_synthetic_id = id.is_none();
    let trace_id = id.unwrap_or_else(|| location.to_string());
    let list = MESSAGE_FIELDS.iter().map(|key| record.take_tree(key)).find(|list| matches!(list, Value::List(_)));
    let Some(Value::List(items)) = list else {
        return out.reject(
            location,
            RejectionKind::MalformedRecord,
            format!("cannot read {location}: no list of messages\n  hint: a run has it in one of the fields {}", MESSAGE_FIELDS.join(", ")),
        );
    };
    if items.is_empty() {
        let reason = format!("cannot read {location}: the run has no messages");
        return out.reject_as(Rejection::for_trace(&trace_id, location.uri, Stage::Parse, RejectionKind::NoSpans, reason));
    }
    let (service, environment) = (record.take_text("service"), record.take_text("environment"));
    let mut rest = Span::default();
    std::mem::take(record).keep_rest(&mut rest);
    let mut all = None;
    for (item, index) in items.iter().zip(0u64..) {
        if !matches!(item, Value::Map(_)) {
            let location = location.span(usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1));
            let rejected =
                out.reject(&location, RejectionKind::MalformedRecord, format!("cannot read {location}: the message is not a JSON object"));
            rejected.add_to(&mut all);
            continue;
        }
        let mut span = span_of_message(item, index, time.unwrap_or(location.modified_at_ns));
        span.attributes.append(&mut rest.attributes);
        let mut fragment = record::fragment(trace_id.clone(), span, location);
        (fragment.service, fragment.environment) = (service.clone(), environment.clone());
        fragment.has_synthetic_id = has_synthetic_id;
        out.span(fragment).add_to(&mut all);
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// A message as a step of the run: the message of an agent is the output of a model call, the message of a tool its result.
fn span_of_message(value: &Value<'_>, index: u64, start_ns: i64) -> Span {
    let found = messages::message(value).unwrap_or_default();
    let name = value.text_at("name").filter(|name| !name.is_empty());
    let mut span = Span {
        span_id: index.to_string(),
        name: name.clone().unwrap_or_else(|| found.role.clone()),
        started_at_ns: Some(start_ns.saturating_add_unsigned(index)),
        ..Span::default()
    };
    match found.role.as_str() {
        "tool" | "function" => {
            span.kind = SpanKind::Tool;
            // Name and arguments are in the message that requested the call; the gather stage adds them.
            span.tool = Some(ToolUse {
                name: name.unwrap_or_default(),
                call_id: found.tool_call_id,
                arguments: String::new(),
                result: Some(found.content),
            });
        }
        "user" | "human" | "system" | "developer" => span.input.push(found),
        _ => {
            span.kind = SpanKind::Llm;
            span.output.push(found);
        }
    }
    span
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::{parse_at, parse_line};

    #[test]
    fn each_message_of_a_run_becomes_a_span() {
        let out = parse_line(
            &Chat,
            r#"{"trace_id":"r","started_at":"2026-11-23T09:00:00Z","service":"s","reward":0.0,"messages":[{"role":"user","content":"hi"},
            {"role":"Orchestrator (-> WebSurfer)","content":null},{"role":"tool","name":"f","tool_call_id":"c","content":"no"}]}"#,
        );
        let kinds: Vec<_> = out
            .fragments
            .iter()
            .map(|fragment| (fragment.span.span_id.as_str(), fragment.span.name.as_str(), fragment.span.kind))
            .collect();
        assert_eq!(
            kinds,
            [("0", "user", SpanKind::Other), ("1", "Orchestrator (-> WebSurfer)", SpanKind::Llm), ("2", "f", SpanKind::Tool)]
        );
        assert_eq!((out.fragments[0].service.as_deref(), out.fragments[0].has_synthetic_id), (Some("s"), false));
        assert_eq!(out.fragments[0].span.attribute("reward"), Some("0"));
    }

    #[test]
    fn a_single_message_belongs_to_the_trace_of_its_list_or_object() {
        let line = r#"{"role":"assistant","content":"hi"}"#;
        let of = |position| parse_at(&Chat, line, position).fragments.remove(0);
        let (item, line_message) = (of(Position::Item(4, 3)), of(Position::Line(7)));
        assert_eq!((item.trace_id.as_str(), item.span.span_id.as_str()), ("t.jsonl#L4", "2"));
        assert_eq!(
            (line_message.trace_id.as_str(), line_message.span.span_id.as_str(), line_message.has_synthetic_id),
            ("t.jsonl", "6", true)
        );
    }

    #[test]
    fn a_run_without_messages_is_rejected() {
        let kind = |line: &str| parse_line(&Chat, line).rejections[0].kind;
        assert_eq!(kind(r#"{"id":"a","messages":[]}"#), RejectionKind::NoSpans);
        assert_eq!(kind(r#"{"id":"a","messages":"none"}"#), RejectionKind::MalformedRecord);
        assert_eq!(kind(r#"{"id":"a","messages":[7]}"#), RejectionKind::MalformedRecord);
    }
}
