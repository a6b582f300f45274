//! Chat trajectories, as agent benchmarks publish them, and logs of single calls: a JSON list of messages, one message per line, one run per line, or
//! one call per line.
//!
//! ```json
//! {"trace_id": "run-17", "started_at": "2026-11-23T09:00:00Z", "service": "support", "messages": [
//!   {"role": "user", "content": "Where is my order?"},
//!   {"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": "{}"}}]},
//!   {"role": "tool", "tool_call_id": "c1", "content": "not found"}]}
//! ```
//!
//! Specification: messages follow <https://platform.openai.com/docs/api-reference/chat/create>, or any other API that `messages` reads. Runs with `traj`
//! are from tau-bench (<https://github.com/sierra-research/tau-bench>), runs with `history` from Who&When and SWE-agent, runs with `conversations` from
//! `ShareGPT` and its fine-tuning data; `channel_values` is a checkpoint of LangGraph, `mapping` the data export of `ChatGPT`. Logs of calls: see
//! [`call`].
//!
//! | record | span |
//! |---|---|
//! | message of a model | a model call |
//! | message with the role `tool`, or the result of a tool in a message of the user (Anthropic, Bedrock, Gemini) | a tool |
//! | other message | a message to the model |
//! | run with `messages` and `response`, `completion`, `choices` or `error`, whose last message is not the model's | one model call |
//! | line of the output of a batch API | one model call |
//!
//! The id of a message's span is the index of the message from 0; further spans of the message have `INDEX.1`, `INDEX.2` …
//!
//! Quirks of real files:
//! - Roles may be names of agents: `Orchestrator (-> WebSurfer)` (Who&When).
//! - `content` may be null or a list of parts. Items of OpenAI's Responses API have no role.
//! - Gemini's results have no ids, so their arguments are unknown.
//! - Messages mostly have no times, so their spans start one nanosecond apart.
//! - A list without a run has neither id nor time: its location serves as the id, the time of its object as the time, and the trace gets a
//!   note.

mod call;
mod exports;
mod message;

use self::call::{Call, RESPONSE_FIELDS};
use crate::model::{Rejection, RejectionKind, Span, SpanKind, Stage, Status};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, Position, RecordLocation, Signature, Skip, infer};

/// The format of chat trajectories; see the [module docs](self).
pub(in crate::parse) struct Chat;

/// Fields that may contain the messages of a run.
const MESSAGE_FIELDS: [&str; 7] = ["messages", "traj", "history", "trajectory", "conversation", "conversations", "contents"];

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
                // Items of OpenAI's Responses API.
                Signature::common(&["type", "call_id", "arguments"]),
                Signature::common(&["type", "call_id", "output"]),
                Signature::common(&["messages"]),
                Signature::common(&["traj"]),
                Signature::common(&["history"]),
                Signature::common(&["trajectory"]),
                Signature::common(&["conversation"]),
                Signature::common(&["conversations"]),
                Signature::common(&["contents"]),
                Signature::unique(&["mapping", "current_node"]),
                // A checkpoint of LangGraph.
                Signature::common(&["channel_values", "ts"]),
                // Lines of batch APIs.
                Signature::unique(&["custom_id", "response", "error"]),
                Signature::unique(&["custom_id", "method", "url", "body"]),
                Signature::common(&["custom_id", "result"]),
                Signature::common(&["request", "response"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("role") || (record.has("call_id") && record.has("type")) {
            parse_message_record(record, location, out)
        } else if record.has("custom_id") {
            parse_batch_line(record, location, out)
        } else if record.has("request") && record.has("response") {
            parse_pair(record, location, out)
        } else {
            parse_run(&mut record, location, out)
        }
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
    let spans = message::spans(&record.into_value(), index, time.unwrap_or(location.modified_at_ns));
    let fragments = spans.into_iter().map(|span| {
        let mut fragment = record::fragment(trace_id.clone(), span, location);
        fragment.has_synthetic_id = true;
        out.span(fragment)
    });
    Accounted::of_parts(fragments).unwrap_or_else(|| out.skip_event(Skip::OtherEvent))
}

/// What a run says about all its messages.
struct Run {
    trace_id: String,
    has_synthetic_id: bool,
    started_at_ns: i64,
    service: Option<String>,
    environment: Option<String>,
}

impl Run {
    fn add(&self, span: Span, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let mut fragment = record::fragment(self.trace_id.clone(), span, location);
        (fragment.service, fragment.environment) = (self.service.clone(), self.environment.clone());
        fragment.has_synthetic_id = self.has_synthetic_id;
        out.span(fragment)
    }
}

/// The start and the end of a run or a call.
fn take_times(record: &mut Record<'_>) -> (Option<i64>, Option<i64>) {
    let mut first = |keys: &[&str]| keys.iter().find_map(|key| record.take(key).as_time());
    let start =
        first(&["started_at", "timestamp", "created_at", "start_time", "startTime", "create_time", "created", "ts", "@timestamp", "time"]);
    (start, first(&["ended_at", "end_time", "endTime", "completed_at", "processed_time"]))
}

/// Parses a run with its messages.
fn parse_run(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let id = ["trace_id", "run_id", "id", "conversation_id"].iter().find_map(|key| record.take(key).as_id());
    let (start, end) = take_times(record);
    let has_synthetic_id = id.is_none();
    let trace_id = id.unwrap_or_else(|| location.to_string());
    let Some(items) = take_messages(record) else {
        return out.reject(
            location,
            RejectionKind::MalformedRecord,
            format!("cannot read {location}: no list of messages\n  hint: a run has it in one of the fields {}", MESSAGE_FIELDS.join(", ")),
        );
    };
    let call = take_call(record, &items);
    if items.is_empty() && call.is_none() {
        let reason = format!("cannot read {location}: the run has no messages");
        return out.reject_as(Rejection::for_trace(&trace_id, location.uri, Stage::Parse, RejectionKind::NoSpans, reason));
    }
    let (service, environment) = (record.take_text("service"), record.take_text("environment"));
    let run = Run { trace_id, has_synthetic_id, started_at_ns: start.unwrap_or(location.modified_at_ns), service, environment };
    match call {
        Some(call) if !ends_with_answer(&items) => add_to_request(record, items, call, (start, end), &run, location, out),
        call => add_messages(record, &items, call, &run, location, out),
    }
}

/// The list of messages; `None` if the record has none.
fn take_messages<'a>(record: &mut Record<'a>) -> Option<Vec<Value<'a>>> {
    let mapping = record.take("mapping");
    if !mapping.is_null() {
        let current = record.take("current_node");
        return Some(exports::from_chatgpt(&mapping, current.as_str()));
    }
    let state = record.take_tree("channel_values");
    let list = MESSAGE_FIELDS.iter().map(|key| record.take_tree(key)).find(|list| matches!(list, Value::List(_)));
    match list.or_else(|| Some(state.get("messages").clone())) {
        Some(Value::List(items)) if items.first().is_some_and(|first| !first.get("from").is_null()) => Some(exports::from_sharegpt(items)),
        Some(Value::List(items)) => Some(items),
        _ => None,
    }
}

/// The response and the error beside messages; `None` if there is neither.
fn take_call<'a>(record: &mut Record<'a>, items: &[Value<'a>]) -> Option<Call<'a>> {
    let mut call = Call::default();
    let answered = ends_with_answer(items);
    let field = RESPONSE_FIELDS.iter().find(|field| !answered && record.has(field));
    if let Some(field) = field {
        let response = record.take_tree(field);
        call.response = if *field == "choices" && !response.is_empty() { Value::Map(vec![("choices".into(), response)]) } else { response };
    }
    call.error = record.take_tree("error");
    (!call.response.is_empty() || call.has_error()).then_some(call)
}

/// Whether the last message is one of a model, so that the messages are more than a request.
fn ends_with_answer(items: &[Value<'_>]) -> bool {
    let role = items.last().and_then(|last| last.first(&["role", "type"]).as_str()).unwrap_or_default();
    !matches!(role, "user" | "human" | "system" | "developer" | "tool" | "function" | "function_call_output" | "")
}

/// Adds the one span of a logged call.
fn add_to_request<'a>(
    record: &mut Record<'a>,
    items: Vec<Value<'a>>,
    mut call: Call<'a>,
    (start, end): (Option<i64>, Option<i64>),
    run: &Run,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
    let mut request = vec![("messages".into(), Value::List(items))];
    for key in ["model", "tools", "functions", "system", "instructions"] {
        let value = record.take_tree(key);
        if !value.is_null() {
            request.push((key.into(), value));
        }
    }
    call.request = Value::Map(request);
    let mut span = call.span(std::mem::take(record));
    call::set_times(&mut span, start, end, run.started_at_ns);
    run.add(span, location, out)
}

/// Adds a span for each message, and one for the error of the run.
fn add_messages(
    record: &mut Record<'_>,
    items: &[Value<'_>],
    call: Option<Call<'_>>,
    run: &Run,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
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
        let time = ["timestamp", "created_at"].iter().find_map(|key| item.get(key).as_time());
        for mut span in message::spans(item, index, time.unwrap_or(run.started_at_ns)) {
            span.attributes.append(&mut rest.attributes);
            run.add(span, location, out).add_to(&mut all);
        }
    }
    if let Some(call) = call.filter(Call::has_error) {
        let mut span = Span { kind: SpanKind::Agent, name: "run".into(), span_id: "run".into(), status: Status::Error, ..Span::default() };
        call.add_error(&mut span);
        span.started_at_ns = Some(run.started_at_ns.saturating_add_unsigned(items.len() as u64));
        run.add(infer::infer_fields(span), location, out).add_to(&mut all);
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// Parses a line of the output of a batch API. A line of its input has no outcome.
fn parse_batch_line(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let custom_id = record.take("custom_id").as_id();
    let Some(call) = call::of_batch(&mut record) else { return out.skip(Skip::OtherEvent, location) };
    // The id of the caller is unique only in its batch.
    let id = record.take("id").as_id().or_else(|| call.response.get("id").as_id());
    add_call(record, &call, id, custom_id, location, out)
}

/// Parses a request beside its response.
fn parse_pair(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let call = call::of_pair(&mut record);
    if crate::parse::messages::conversation(&call.request).is_none() {
        let reason = format!(
            "cannot read {location}: the request has no messages\n  hint: a call of a model has them in messages, contents or input"
        );
        return out.reject(location, RejectionKind::MalformedRecord, reason);
    }
    let id = ["trace_id", "id", "request_id", "responseId"].iter().find_map(|key| record.take(key).as_id());
    let id = id.or_else(|| call.response.first(&["responseId", "id"]).as_id());
    add_call(record, &call, id, None, location, out)
}

fn add_call(
    mut record: Record<'_>,
    call: &Call<'_>,
    id: Option<String>,
    custom_id: Option<String>,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
    let (start, end) = take_times(&mut record);
    let start = start.or_else(|| call.response.first(&["created", "created_at", "createTime"]).as_time());
    let (service, environment) = (record.take_text("service"), record.take_text("environment"));
    let run = Run {
        has_synthetic_id: id.is_none(),
        trace_id: id.unwrap_or_else(|| location.to_string()),
        started_at_ns: start.or(end).unwrap_or(location.modified_at_ns),
        service,
        environment,
    };
    let mut span = call.span(record);
    call::keep_id(&mut span, "custom_id", custom_id);
    call::set_times(&mut span, start, end, run.started_at_ns);
    run.add(span, location, out)
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
    fn a_run_has_the_same_spans_in_the_shape_of_every_api() {
        let call = r#"{"id":"A-17"}"#;
        for (source, messages) in [
            (
                "Responses",
                r#"{"type":"function_call","call_id":"c1","name":"pay","arguments":"{\"id\":\"A-17\"}"},{"type":"reasoning","summary":[]},{"type":"function_call_output","call_id":"c1","output":"late"}"#,
            ),
            (
                "Anthropic",
                r#"{"role":"assistant","content":[{"type":"tool_use","id":"c1","name":"pay","input":{"id":"A-17"}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","is_error":true,"content":"late"}]}"#,
            ),
            (
                "Bedrock",
                r#"{"role":"assistant","content":[{"toolUse":{"toolUseId":"c1","name":"pay","input":{"id":"A-17"}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c1","status":"error","content":[{"text":"late"}]}}]}"#,
            ),
            (
                "Gemini",
                r#"{"role":"model","parts":[{"functionCall":{"id":"c1","name":"pay","args":{"id":"A-17"}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"pay","response":{"error":"late"}}}]}"#,
            ),
            (
                "Vercel AI SDK",
                r#"{"role":"assistant","parts":[{"type":"step-start"},{"type":"tool-pay","toolCallId":"c1","state":"output-error","input":{"id":"A-17"},"errorText":"late"}]}"#,
            ),
        ] {
            let out = parse_line(&Chat, &format!(r#"{{"id":"r","messages":[{messages}]}}"#));
            let spans: Vec<_> = out.fragments.iter().map(|fragment| &fragment.span).collect();
            let [asked, tool] = spans.as_slice() else { panic!("{source}: {spans:?}") };
            assert_eq!((asked.kind, asked.output[0].tool_calls[0].arguments.as_str()), (SpanKind::Llm, call), "{source}");
            let result = tool.tool.as_ref().unwrap();
            assert_eq!(
                (tool.kind, result.call_id.as_deref(), result.result.as_deref()),
                (SpanKind::Tool, Some("c1"), Some("late")),
                "{source}"
            );
            assert_eq!(tool.status, if source == "Responses" { Status::Unset } else { Status::Error }, "{source}");
        }
    }

    #[test]
    fn an_item_that_is_not_understood_is_not_empty() {
        let out = parse_line(&Chat, r#"{"id":"r","messages":[{"type":"answer_v9","body":"hi"}]}"#);
        assert!(out.fragments[0].span.is_not_understood());
    }

    #[test]
    fn a_request_beside_its_outcome_is_one_call() {
        let of = |rest: &str| {
            parse_line(&Chat, &format!(r#"{{"id":"c","model":"m","messages":[{{"role":"user","content":"hi"}}],{rest}}}"#)).fragments
        };
        let answered = of(r#""response":{"choices":[{"finish_reason":"length","message":{"role":"assistant","content":"It is"}}]}"#);
        let span = &answered[0].span;
        assert_eq!((answered.len(), span.kind, span.input.len(), span.output[0].content.as_str()), (1, SpanKind::Llm, 1, "It is"));
        assert_eq!((span.finish_reasons.as_slice(), span.model.as_deref()), (&["length".to_owned()][..], Some("m")));
        let failed = of(r#""response":null,"error":{"type":"rate_limit_error","message":"slow down"}"#);
        assert_eq!((failed[0].span.status, failed[0].span.error_type.as_deref()), (Status::Error, Some("rate_limit_error")));
        assert!(of(r#""response":{"answer_v9":"hi"}"#)[0].span.is_not_understood());
        assert_eq!(of(r#""response":null,"error":null"#)[0].span.kind, SpanKind::Other);
        let run = parse_line(
            &Chat,
            r#"{"id":"r","messages":[{"role":"user","content":"hi"},{"role":"assistant","content":"wait"}],"error":"ToolError: late"}"#,
        );
        let last = &run.fragments[2].span;
        assert_eq!((last.kind, last.error_type.as_deref()), (SpanKind::Agent, Some("ToolError")));
    }

    #[test]
    fn lines_of_batch_apis_are_calls() {
        let of = |line: &str| parse_line(&Chat, line).fragments.remove(0);
        let failed = of(
            r#"{"id":"batch_req_1","custom_id":"a","response":{"status_code":400,"body":{"error":{"type":"invalid_request_error","message":"too long"}}},"error":null}"#,
        );
        assert_eq!((failed.trace_id.as_str(), failed.span.status_message.as_deref()), ("batch_req_1", Some("too long")));
        assert_eq!((failed.span.attribute("custom_id"), failed.span.attribute("http.response.status_code")), (Some("a"), Some("400")));
        let expired = of(r#"{"custom_id":"a","result":{"type":"expired"}}"#);
        assert_eq!((expired.span.status, expired.has_synthetic_id), (Status::Error, true));
        let request = parse_line(&Chat, r#"{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"messages":[]}}"#);
        assert_eq!((request.records.skipped, request.skipped.len()), (1, 1));
        assert_eq!(parse_line(&Chat, r#"{"request":{"path":"/"},"response":{"status":200}}"#).records.rejected, 1);
    }

    #[test]
    fn exports_of_other_programs_are_read() {
        let out = parse_line(&Chat, r#"{"conversations":[{"from":"human","value":"hi"},{"from":"gpt","value":"hello"}]}"#);
        assert_eq!(out.fragments[1].span.output[0].content, "hello");
        let out = parse_line(
            &Chat,
            r#"{"conversation_id":"c","current_node":"b","mapping":{"a":{"parent":"b","children":["b"],"message":{"author":{"role":"user"},"content":{"content_type":"text","parts":["hi"]}}},"b":{"parent":"a","children":[],"message":{"author":{"role":"assistant"},"content":{"content_type":"text","parts":["hello"]},"create_time":1795683600.5}}}}"#,
        );
        let texts: Vec<_> = out.fragments.iter().map(|fragment| fragment.span.name.as_str()).collect();
        assert_eq!((texts, out.fragments[1].span.started_at_ns), (vec!["user", "assistant"], Some(1_795_683_600_500_000_001)));
    }

    #[test]
    fn the_messages_of_a_checkpoint_are_read() {
        let out = parse_line(
            &Chat,
            r#"{"v":1,"ts":"2026-11-25T09:00:00+00:00","id":"c","channel_values":{"messages":[{"type":"human","content":"hi"},{"type":"tool","name":"f","tool_call_id":"c1","status":"error","content":"late"}]}}"#,
        );
        let last = &out.fragments[1].span;
        assert_eq!((last.kind, last.status, last.tool.as_ref().unwrap().name.as_str()), (SpanKind::Tool, Status::Error, "f"));
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
