//! Chat trajectories, as agent benchmarks publish them: a JSON list of messages, one message a line, or one run a line.
//!
//! ```json
//! {"trace_id": "run-17", "started_at": "2026-11-23T09:00:00Z", "service": "support", "messages": [
//!   {"role": "user", "content": "Where is my order?"},
//!   {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": "{}"}}]},
//!   {"role": "tool", "tool_call_id": "c1", "content": "not found"}]}
//! ```
//!
//! Messages follow <https://platform.openai.com/docs/api-reference/chat/create>; runs with `traj` are those of tau-bench
//! (<https://github.com/sierra-research/tau-bench>), with `history` those of who-and-when and SWE-agent. Every message is a span, and
//! its index from 0 is the id of the span.
//!
//! Quirks of real files: roles may be names of agents (`Orchestrator (-> WebSurfer)`); `content` is null or a list of parts; messages
//! have no times, so they stand a nanosecond apart in their order; a bare list has neither id nor time: its place is its id, the time
//! of its object is its time, and the trace says so.

use super::record::{self, Record};
use super::value::Value;
use super::{Accounted, Format, Parsed, Place, Position, Skip, has_keys, messages};
use crate::model::{Rejection, RejectionKind, Span, SpanKind, Stage, ToolUse};

/// See the module.
pub(super) struct Chat;

/// Where a run keeps its messages.
const LISTS: [&str; 5] = ["messages", "traj", "history", "trajectory", "conversation"];

impl Format for Chat {
    fn name(&self) -> &'static str {
        "chat"
    }

    fn recognises_keys(&self, keys: &[String]) -> bool {
        let message = ["content", "tool_calls", "parts"].iter().any(|key| has_keys(keys, &["role", key]));
        message || LISTS.iter().any(|list| has_keys(keys, &[list]))
    }

    fn parse_record(&self, mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        if record.has("role") { message(record, place, out) } else { run(&mut record, place, out) }
    }
}

/// A message that stands alone: part of the list in which it stands, or of the object of which every line is a message.
fn message(mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let (trace_id, index) = match place.position {
        Position::Item(line, item) => (format!("{}#L{line}", place.uri), item.saturating_sub(1) as u64),
        Position::Line(line) => (place.uri.to_owned(), line.saturating_sub(1)),
        _ => (place.to_string(), 0),
    };
    let time = ["timestamp", "created_at", "time"].iter().find_map(|key| record.take(key).as_time());
    let span = span(&record.into_value(), index, time.unwrap_or(place.modified_at_ns));
    let mut piece = record::piece(trace_id, span, place);
    piece.place_is_id = true;
    out.span(piece)
}

fn run(record: &mut Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let own_id = ["trace_id", "run_id", "id", "conversation_id"].iter().find_map(|key| record.take(key).as_id());
    let own_time = ["started_at", "timestamp", "created_at", "start_time"].iter().find_map(|key| record.take(key).as_time());
    let place_is_id = own_id.is_none();
    let trace_id = own_id.unwrap_or_else(|| place.to_string());
    let list = LISTS.iter().map(|key| record.take_tree(key)).find(|list| matches!(list, Value::List(_)));
    let Some(Value::List(items)) = list else {
        return out.reject(
            place,
            RejectionKind::MalformedRecord,
            format!("cannot read {place}: no list of messages stands under {}", LISTS.join(", ")),
        );
    };
    if items.is_empty() {
        let reason = format!("cannot read {place}: the run has no messages");
        return out.reject_as(Rejection::for_trace(&trace_id, place.uri, Stage::Parse, RejectionKind::NoSpans, reason));
    }
    let (service, environment) = (record.take_text("service"), record.take_text("environment"));
    let mut rest = Span::default();
    std::mem::take(record).keep_rest(&mut rest);
    let mut all = None;
    for (item, index) in items.iter().zip(0u64..) {
        if !matches!(item, Value::Map(_)) {
            let place = place.span(usize::try_from(index).unwrap_or(usize::MAX).saturating_add(1));
            let rejected =
                out.reject(&place, RejectionKind::MalformedRecord, format!("cannot read {place}: the message is not a JSON object"));
            all = Accounted::of_parts(all.into_iter().chain([rejected]));
            continue;
        }
        let mut span = span(item, index, own_time.unwrap_or(place.modified_at_ns));
        span.attributes.append(&mut rest.attributes);
        let mut piece = record::piece(trace_id.clone(), span, place);
        (piece.service, piece.environment) = (service.clone(), environment.clone());
        piece.place_is_id = place_is_id;
        all = Accounted::of_parts(all.into_iter().chain([out.span(piece)]));
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, place))
}

/// One message as a step of the run: what an agent says is an answer of a model, what a tool says its result.
fn span(value: &Value<'_>, index: u64, start_ns: i64) -> Span {
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
            // Name and arguments stand in the message that asked for the call, and are joined when the trace is whole.
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
    fn a_run_becomes_a_span_for_each_message() {
        let out = parse_line(
            &Chat,
            r#"{"trace_id":"r","started_at":"2026-11-23T09:00:00Z","service":"s","reward":0.0,"messages":[{"role":"user","content":"hi"},
            {"role":"Orchestrator (-> WebSurfer)","content":null},{"role":"tool","name":"f","tool_call_id":"c","content":"no"}]}"#,
        );
        let kinds: Vec<_> =
            out.pieces.iter().map(|piece| (piece.span.span_id.as_str(), piece.span.name.as_str(), piece.span.kind)).collect();
        assert_eq!(
            kinds,
            [("0", "user", SpanKind::Other), ("1", "Orchestrator (-> WebSurfer)", SpanKind::Llm), ("2", "f", SpanKind::Tool)]
        );
        assert_eq!((out.pieces[0].service.as_deref(), out.pieces[0].place_is_id), (Some("s"), false));
        assert_eq!(out.pieces[0].span.attribute("reward"), Some("0"));
    }

    #[test]
    fn a_message_that_stands_alone_belongs_to_its_list() {
        let line = r#"{"role":"assistant","content":"hi"}"#;
        let of = |position| parse_at(&Chat, line, position).pieces.remove(0);
        let (item, own_line) = (of(Position::Item(4, 3)), of(Position::Line(7)));
        assert_eq!((item.trace_id.as_str(), item.span.span_id.as_str()), ("t.jsonl#L4", "2"));
        assert_eq!((own_line.trace_id.as_str(), own_line.span.span_id.as_str(), own_line.place_is_id), ("t.jsonl", "6", true));
    }

    #[test]
    fn what_is_no_run_is_rejected() {
        let kind = |line: &str| parse_line(&Chat, line).rejections[0].kind;
        assert_eq!(kind(r#"{"id":"a","messages":[]}"#), RejectionKind::NoSpans);
        assert_eq!(kind(r#"{"id":"a","messages":"none"}"#), RejectionKind::MalformedRecord);
        assert_eq!(kind(r#"{"id":"a","messages":[7]}"#), RejectionKind::MalformedRecord);
    }
}
