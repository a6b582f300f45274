//! One sample of an eval, which is one trace.

use super::content::{self, Attachments, Repeated};
use super::events::{Events, LIMIT_EXCEEDED, answers};
use super::log::{self, Eval};
use crate::model::{Annotation, Message, Span, SpanKind, Status, ToolUse};
use crate::parse::record::{self, Record, keep_attribute};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip, infer};

/// The id of the span of a sample; the ids of events are random texts.
const ROOT: &str = "sample";

/// Parses a sample.
pub(super) fn parse(
    mut sample: Record<'_>,
    eval: &Eval,
    repeated: &mut Repeated,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
    let (trace_id, has_synthetic_id) = trace_id(&mut sample, eval, location);
    // In older logs the events are in `transcript`, and the attachments in its `content`.
    let mut transcript = Record::from_value(sample.take("transcript")).unwrap_or_default();
    let texts = or(sample.take("attachments"), transcript.take("content"));
    let events = or(sample.take("events"), transcript.take("events"));
    let attachments = Attachments::new(&texts);
    let mut pool = sample.take("events_data");
    attachments.resolve(&mut pool);
    let mut list = sample.take("messages");
    attachments.resolve(&mut list);
    let retries = sample.take("error_retries");
    // `started_at` is a little later than the first event.
    let started_at_ns = [first_time(&events), sample.take("started_at").as_time()].into_iter().flatten().min().or(eval.started_at_ns);
    let attempts_ns = i64::try_from(retries.items().len()).unwrap_or_default();
    let started_at_ns = started_at_ns.unwrap_or(location.modified_at_ns).saturating_sub(attempts_ns);
    let root = root_span(sample, eval, &attachments, started_at_ns);
    let mut reader = Events::new(root, &attachments, pool.get("messages").items(), repeated);
    let mut number = 1;
    let mut attempted_at_ns = started_at_ns;
    if let Value::List(attempts) = retries {
        for attempt in attempts {
            add_attempt(&mut reader, attempt, number, attempted_at_ns);
            number += 1;
            // Nothing says when they ran, but that it was before the events.
            attempted_at_ns = attempted_at_ns.saturating_add(1);
        }
    }
    if events.is_empty() {
        reader.spans.extend(spans_of_messages(list.items(), started_at_ns));
    } else if number > 1 {
        reader.add_last_attempt(attempt_span(number, attempted_at_ns), events);
    } else {
        reader.add_all(events);
    }
    let mut all = None;
    for span in reader.spans {
        let mut fragment = record::fragment(trace_id.clone(), infer::infer_fields(span), location);
        fragment.service.clone_from(&eval.task);
        fragment.context.clone_from(&eval.context);
        fragment.has_synthetic_id = has_synthetic_id;
        out.span(fragment).add_to(&mut all);
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// The `uuid` of the sample. Before 0.3.70 it has none, and its id and epoch are unique in its eval.
fn trace_id(sample: &mut Record<'_>, eval: &Eval, location: &RecordLocation<'_>) -> (String, bool) {
    let (id, epoch) = (sample.take("id"), sample.take("epoch"));
    let of_eval = eval.id.as_ref().and_then(|eval| Some(format!("{eval}/{}/{}", id.as_id()?, epoch.as_id()?)));
    let known = sample.take("uuid").as_id().or(of_eval);
    sample.insert("sample_id", id);
    sample.insert("epoch", epoch);
    (known.clone().unwrap_or_else(|| location.to_string()), known.is_none())
}

fn or<'v>(first: Value<'v>, second: Value<'v>) -> Value<'v> {
    if first.is_empty() { second } else { first }
}

fn first_time(events: &Value<'_>) -> Option<i64> {
    events.items().first().and_then(|event| event.get("timestamp").as_time())
}

fn root_span<'v>(mut sample: Record<'v>, eval: &Eval, attachments: &Attachments<'v>, started_at_ns: i64) -> Span {
    let mut take = |key: &str| {
        let mut value = sample.take(key);
        attachments.resolve(&mut value);
        value
    };
    let (input, output) = (take("input"), take("output"));
    let mut span = Span {
        span_id: ROOT.into(),
        name: eval.task.clone().unwrap_or_else(|| ROOT.into()),
        kind: SpanKind::Agent,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: take("completed_at").as_time().or(Some(started_at_ns)),
        input: content::messages_of_input(&input),
        output: answers(&output).messages,
        ..Span::default()
    };
    let (scores, score) = (take("scores"), take("score"));
    span.annotations = annotations(&scores, &score);
    let limit = take("limit");
    if !limit.is_empty() {
        let reason = limit.text_at("reason");
        span.status = Status::Error;
        span.error_type = Some(LIMIT_EXCEEDED.into());
        span.status_message =
            reason.or_else(|| Some(format!("Exceeded {} limit: {}", limit.get("type").to_text(), limit.get("limit").to_text())));
        keep_attribute(&mut span, "limit".into(), limit);
    }
    let error = take("error");
    if !error.is_empty() {
        // An error after a limit is the one that ended the sample.
        span.status_message = None;
        span.error_type = None;
        log::fail(&mut span, &error);
    }
    eval.add_attributes(&mut span);
    sample.discard(&["timelines", "message_limit", "token_limit"]);
    sample.keep_rest(&mut span);
    span
}

/// The scores of a sample, by the name of the scorer. Older logs have one `score`.
fn annotations(scores: &Value<'_>, score: &Value<'_>) -> Vec<Annotation> {
    let single = (!score.is_empty()).then_some(("score", score));
    let mut found = Vec::new();
    for (name, score) in scores.fields().iter().map(|(name, score)| (name.as_ref(), score)).chain(single) {
        let comment = score.text_at("explanation").filter(|text| !text.is_empty());
        match score.get("value") {
            // The scorer could not tell.
            Value::Null => {}
            Value::Map(values) => {
                found.extend(values.iter().map(|(key, value)| annotation(format!("{name}.{key}"), value, comment.clone())));
            }
            value => found.push(annotation(name.to_owned(), value, comment)),
        }
    }
    found
}

fn annotation(name: String, value: &Value<'_>, comment: Option<String>) -> Annotation {
    let score = match value {
        Value::Int(_) | Value::Double(_) => value.as_f64(),
        Value::Bool(flag) => Some(f64::from(u8::from(*flag))),
        _ => None,
    };
    let label = matches!(value, Value::Text(_) | Value::List(_) | Value::Bool(_)).then(|| value.to_text());
    Annotation { name, label, score, comment }
}

/// An attempt that failed, after which Inspect ran the sample again.
fn add_attempt<'v>(reader: &mut Events<'v, '_>, attempt: Value<'v>, number: usize, started_at_ns: i64) {
    let Some(mut attempt) = Record::from_value(attempt) else { return };
    let events = attempt.take("events");
    let started_at_ns = first_time(&events).unwrap_or(started_at_ns);
    let mut span = attempt_span(number, started_at_ns);
    span.ended_at_ns = events.items().last().and_then(|event| event.get("timestamp").as_time()).or(span.ended_at_ns);
    log::fail(&mut span, &attempt.into_value());
    reader.add_below(span, events);
}

fn attempt_span(number: usize, started_at_ns: i64) -> Span {
    Span {
        span_id: format!("attempt-{number}"),
        parent_span_id: Some(ROOT.into()),
        name: "attempt".into(),
        kind: SpanKind::Chain,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: Some(started_at_ns),
        ..Span::default()
    }
}

/// The spans of a sample without events: a model call for each message of the assistant, with the messages since the previous one as its input, and
/// a tool for each message of a tool.
fn spans_of_messages(list: &[Value<'_>], started_at_ns: i64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut input: Vec<Message> = Vec::new();
    for (message, index) in list.iter().zip(0u64..) {
        let mut span = Span {
            span_id: format!("message-{index}"),
            parent_span_id: Some(ROOT.into()),
            started_at_ns: Some(started_at_ns.saturating_add_unsigned(index)),
            ended_at_ns: Some(started_at_ns.saturating_add_unsigned(index)),
            ..Span::default()
        };
        let mut found = Vec::new();
        content::add_message(message, &mut found);
        match message.get("role").as_str() {
            Some("assistant") => {
                (span.kind, span.output, span.input) = (SpanKind::Llm, found, std::mem::take(&mut input));
                span.model = message.text_at("model");
                span.name = span.model.clone().unwrap_or_else(|| "assistant".into());
                spans.push(span);
            }
            Some("tool") => {
                let name = message.text_at("function").unwrap_or_default();
                let content = found.first().map(|message| message.content.clone());
                span.kind = SpanKind::Tool;
                span.name.clone_from(&name);
                let error = message.get("error");
                if !error.is_empty() {
                    (span.status, span.error_type, span.status_message) = (Status::Error, error.text_at("type"), error.text_at("message"));
                }
                span.tool = Some(ToolUse { name, call_id: message.text_at("tool_call_id"), arguments: String::new(), result: content });
                spans.push(span);
                input.append(&mut found);
            }
            _ => input.append(&mut found),
        }
    }
    spans
}
