//! Objects of Langfuse's API: traces with their observations and scores, observations and scores of both versions of the API, sessions, exports of
//! tables in the web page, and the ingestion batches of the SDKs before version 3.
//!
//! Specification: <https://api.reference.langfuse.com> and the models of the SDKs (`langfuse.api`); checked against the models of 2.60 and 5.0, and the
//! batches of 2.60. The objects become those of [`langfuse`](super::langfuse): only their names differ.
//!
//! ```json
//! {"id": "t", "timestamp": "2026-11-26T15:28:38.149Z", "name": "handle_request", "environment": "staging", "scores": [],
//!  "observations": [{"id": "o", "traceId": "t", "type": "GENERATION", "startTime": "2026-11-26T15:28:38.150Z", "level": "ERROR",
//!    "statusMessage": "Error code: 429", "model": "gpt-4o", "usage": {"input": 0, "output": 0, "unit": "TOKENS"}, "input": {"messages": […]}}]}
//! {"batch": [{"id": "e", "type": "generation-update", "timestamp": "…", "body": {"id": "o", "traceId": "t", "endTime": "…", "output": {…}}}]}
//! ```
//!
//! Quirks of real objects:
//! - `observations` of a trace in a list are ids, which say nothing more.
//! - A trace may have no observation, only an input and an output of its own; it is a span then.
//! - An observation is created and updated by several events, often of one batch. An update in another batch is added to its span.
//! - `metadata` has plain values, not JSON text.
//! - The body of `trace-create` may have `start_time` in snake case (decorators of 2.60).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use super::langfuse::{SKIPPED_FIELDS, parse_observation, parse_row, parse_score, parse_trace_row, parse_update};
use crate::model::{RejectionKind, Span};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip, infer, span_fields};

/// Whether a record is an object of the API or a batch, and not a row of the blob storage export.
pub(super) fn is_from_api(record: &Record<'_>) -> bool {
    const KEYS: [&str; 7] = ["traceId", "startTime", "sessionId", "dataType", "observations", "batch", "body"];
    !record.has("trace_id") && KEYS.iter().any(|key| record.has(key))
}

/// Parses an object of any kind.
pub(super) fn parse(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("batch") {
        match record.take("batch") {
            Value::List(events) => parse_events(events, location, out),
            _ => reject_batch(location, out),
        }
    } else if record.has("body") {
        parse_events(vec![record.into_value()], location, out)
    } else if record.has("observations") || record.has("scores") {
        parse_trace(record, location, out)
    } else {
        parse_row(to_snake_case(record), location, out)
    }
}

fn reject_batch(location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let reason =
        format!("cannot read {location}: no event of Langfuse in batch\n  hint: an event has a type such as span-create, and a body");
    out.reject(location, RejectionKind::MalformedRecord, reason)
}

/// The record with the names of the blob storage export.
fn to_snake_case(record: Record<'_>) -> Record<'_> {
    let fields = record.into_fields().map(|(key, value)| (snake_case(&key), value));
    let fields = fields.filter(|(key, _)| SKIPPED_FIELDS.binary_search(&key.as_ref()).is_err());
    Record::from_value(Value::Map(fields.collect())).unwrap_or_default()
}

/// `parentObservationId` -> `parent_observation_id`
fn snake_case<'a>(key: &str) -> Cow<'a, str> {
    let mut name = String::with_capacity(key.len() + 4);
    for c in key.chars() {
        if c.is_ascii_uppercase() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    Cow::Owned(name)
}

/// Parses a trace with what belongs to it.
fn parse_trace(mut trace: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let observations = trace.take_tree("observations");
    let has_none = matches!(&observations, Value::List(items) if items.is_empty());
    let (observations, scores) = (objects(observations), objects(trace.take_tree("scores")));
    let trace = trace.into_value();
    let trace_id = trace.get("id").clone().into_owned();
    let mut accounted = None;
    if let Some((id, span)) = own_span(&trace).filter(|_| has_none) {
        out.span(record::fragment(id, span, location)).add_to(&mut accounted);
    }
    if !observations.is_empty() {
        let parse_one = |item: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk| {
            let mut item = to_snake_case(item);
            if !item.has("trace_id") {
                item.insert("trace_id", trace_id.clone());
            }
            parse_row(item, location, out)
        };
        record::parse_each(observations, location, out, parse_one).add_to(&mut accounted);
    }
    for score in scores {
        if let Some(score) = Record::from_value(score) {
            parse_row(to_snake_case(score), location, out).add_to(&mut accounted);
        }
    }
    let of_trace = parse_row(to_snake_case(Record::from_value(trace).unwrap_or_default()), location, out);
    accounted.map_or(of_trace, |accounted| accounted.and(of_trace))
}

/// The objects in a list of a trace; in a list of traces they are only ids.
fn objects(list: Value<'_>) -> Vec<Value<'_>> {
    let Value::List(mut items) = list else { return Vec::new() };
    items.retain(|item| matches!(item, Value::Map(_)));
    items
}

/// The span of a trace that has an input or an output, but no observation, with the id of the trace.
fn own_span(trace: &Value<'_>) -> Option<(String, Span)> {
    let (input, output) = (trace.get("input"), trace.get("output"));
    let id = trace.get("id").as_id().filter(|_| !input.is_empty() || !output.is_empty())?;
    let started_at_ns = Some(trace.get("timestamp").as_time()?);
    let mut span = Span { span_id: id.clone(), name: trace.get("name").to_text(), started_at_ns, ..Span::default() };
    span_fields::set_input(&mut span, input.clone());
    span_fields::set_output(&mut span, output.clone());
    Some((id, infer::infer_fields(span)))
}

/// Parses the events of a batch. Those about the same object are joined first; of two values of a field the later one counts. The start of an
/// observation may be in another batch than its end.
fn parse_events(events: Vec<Value<'_>>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut objects: Vec<Object<'_>> = Vec::new();
    let mut places: HashMap<(ObjectKind, String), usize> = HashMap::new();
    let mut accounted = None;
    for event in events {
        let Some(object) = Object::of_event(event) else {
            out.skip(Skip::OtherEvent, location).add_to(&mut accounted);
            continue;
        };
        let id = object.fields.iter().find(|(key, _)| key == "id").and_then(|(_, id)| id.as_id());
        let place = id.map_or(objects.len(), |id| *places.entry((object.kind, id)).or_insert(objects.len()));
        match objects.get_mut(place) {
            Some(earlier) => earlier.fields.extend(object.fields),
            None => objects.push(object),
        }
    }
    if objects.is_empty() {
        return reject_batch(location, out);
    }
    for (object, index) in objects.into_iter().zip(1..) {
        let location = location.span(index);
        let (kind, sent_at, mut record) = object.into_record();
        let one = match kind {
            ObjectKind::Trace => parse_trace_row(record, &location, out),
            ObjectKind::Score => parse_score(record, &location, out),
            ObjectKind::Observation if record.has("start_time") => parse_observation(record, &location, out),
            ObjectKind::Observation => {
                record.insert("start_time", sent_at);
                parse_update(record, &location, out)
            }
        };
        one.add_to(&mut accounted);
    }
    accounted.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// What the events of a batch say about one object.
struct Object<'a> {
    kind: ObjectKind,
    /// The fields in the order of the events, without nulls.
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
    /// When the first event was sent.
    sent_at: Value<'a>,
}

impl<'a> Object<'a> {
    /// The object that an event creates or updates; `None` for events about other things, such as `sdk-log`.
    fn of_event(event: Value<'a>) -> Option<Self> {
        let mut event = Record::from_value(event)?;
        let word = event.take_text("type")?;
        let kind = ObjectKind::of_event(&word)?;
        let mut body = to_snake_case(Record::from_value(event.take_tree("body"))?);
        let sent_at = event.take("timestamp");
        let (key, value) = match kind {
            ObjectKind::Observation => {
                let word = word.split('-').next().unwrap_or_default().to_ascii_uppercase();
                ("type", Value::Text(Cow::Owned(word)))
            }
            ObjectKind::Trace | ObjectKind::Score => ("timestamp", sent_at.clone()),
        };
        if !body.has(key) {
            body.insert(key, value);
        }
        let fields = body.into_fields().filter(|(_, value)| !value.is_null()).collect();
        Some(Self { kind, fields, sent_at })
    }

    /// The record of the object, with the last value of each field.
    fn into_record(self) -> (ObjectKind, Value<'a>, Record<'a>) {
        let mut known = HashSet::new();
        let mut fields: Vec<_> = self.fields.into_iter().rev().filter(|(key, _)| known.insert(key.clone())).collect();
        fields.reverse();
        (self.kind, self.sent_at, Record::from_value(Value::Map(fields)).unwrap_or_default())
    }
}

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum ObjectKind {
    Trace,
    Observation,
    Score,
}

impl ObjectKind {
    /// Of `span-create`, `generation-update`, `score-create` …; `None` for `sdk-log` and unknown events.
    fn of_event(word: &str) -> Option<Self> {
        match word.rsplit_once('-')? {
            ("trace", "create") => Some(Self::Trace),
            ("score", "create") => Some(Self::Score),
            (object, "create" | "update") if object != "sdk" => Some(Self::Observation),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::langfuse::Langfuse;
    use crate::model::{SpanKind, Status, TokenUsage};
    use crate::parse::tests::parse_line;
    use crate::parse::{AnnotationTarget, ParsedChunk};

    fn parse(line: &str) -> ParsedChunk {
        parse_line(&Langfuse, line)
    }

    #[test]
    fn a_trace_is_read_with_its_observations_and_scores() {
        let out = parse(
            r#"{"id":"t","timestamp":"2026-11-26T15:28:38.149Z","name":"handle","environment":"staging","sessionId":"c","htmlPath":"/x","observations":[
            {"id":"o","traceId":"t","type":"GENERATION","startTime":"2026-11-26T15:28:38.150Z","endTime":"2026-11-26T15:28:38.250Z","parentObservationId":"p","level":"ERROR","statusMessage":"RateLimitError: 429",
             "model":"gpt-4o","modelParameters":{"temperature":0},"usage":{"input":5,"output":6,"total":11,"unit":"TOKENS"},"usageDetails":{},"input":{"messages":[{"role":"user","content":"hi"}]},"metadata":{"tenant":"acme"},"latency":0.1},7],
            "scores":[{"id":"s","traceId":"t","observationId":"o","name":"q","value":0,"dataType":"CATEGORICAL","stringValue":"bad","timestamp":"2026-11-26T15:28:39Z"}]}"#,
        );
        let span = &out.fragments[0].span;
        assert_eq!((span.kind, span.parent_span_id.as_deref(), span.status), (SpanKind::Llm, Some("p"), Status::Error));
        assert_eq!((span.error_type.as_deref(), span.model.as_deref()), (Some("RateLimitError"), Some("gpt-4o")));
        assert_eq!((span.usage, span.input[0].content.as_str()), (TokenUsage { input: Some(5), output: Some(6) }, "hi"));
        assert_eq!(span.attributes.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(), ["metadata.tenant"]);
        assert_eq!((out.fragments[1].addition, out.fragments[1].environment.as_deref()), (true, Some("staging")));
        assert_eq!(out.annotations[0].0, AnnotationTarget::Span("o".into()));
        assert_eq!(out.annotations[0].1.label.as_deref(), Some("bad"));
    }

    #[test]
    fn a_trace_without_observations_is_a_span() {
        let out = parse(
            r#"{"id":"t","timestamp":"2026-11-26T15:28:38Z","name":"handle","input":"q","output":"a","observations":[],"scores":[]}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.span_id.as_str(), fragment.addition), ("t", "t", false));
        assert_eq!((fragment.span.name.as_str(), fragment.span.output_text.as_deref()), ("handle", Some("a")));
        let listed =
            parse(r#"{"id":"t","timestamp":"2026-11-26T15:28:38Z","userId":"u","sessionId":"c","release":"1","observations":["o"]}"#);
        assert_eq!((listed.fragments.len(), listed.fragments[0].addition), (1, true));
    }

    #[test]
    fn the_events_of_a_batch_are_joined() {
        let out = parse(
            r#"{"batch":[
            {"id":"1","type":"trace-create","timestamp":"2026-11-26T15:28:38Z","body":{"id":"t","name":"handle","environment":"staging","start_time":"2026-11-26T15:28:38Z"}},
            {"id":"2","type":"generation-create","timestamp":"2026-11-26T15:28:38Z","body":{"id":"o","traceId":"t","name":"call","startTime":"2026-11-26T15:28:38Z","input":[{"role":"user","content":"hi"}]}},
            {"id":"3","type":"generation-update","timestamp":"2026-11-26T15:28:39Z","body":{"id":"o","traceId":"t","endTime":"2026-11-26T15:28:39Z","level":"ERROR","statusMessage":"it broke","name":null}},
            {"id":"4","type":"sdk-log","timestamp":"2026-11-26T15:28:39Z","body":{"log":"x"}},
            {"id":"5","type":"score-create","timestamp":"2026-11-26T15:28:39Z","body":{"id":"s","traceId":"t","name":"ok","value":true,"dataType":"BOOLEAN"}}],"metadata":{}}"#,
        );
        let span = &out.fragments.iter().find(|fragment| !fragment.addition).unwrap().span;
        assert_eq!((span.kind, span.name.as_str(), span.status_message.as_deref()), (SpanKind::Llm, "call", Some("it broke")));
        assert_eq!((span.ended_at_ns.is_some(), span.input[0].content.as_str()), (true, "hi"));
        assert_eq!((out.fragments.len(), out.records.skips.len()), (2, 1));
        assert_eq!((out.annotations[0].1.label.as_deref(), out.annotations[0].1.score), (Some("true"), None));
        let update = parse(
            r#"{"id":"2","type":"span-update","timestamp":"2026-11-26T15:28:38Z","body":{"id":"o","traceId":"t","endTime":"2026-11-26T15:28:39Z","output":"x"}}"#,
        );
        assert_eq!((update.fragments[0].addition, update.fragments[0].span.output_text.as_deref()), (true, Some("x")));
        let single = parse(
            r#"{"id":"2","type":"span-create","timestamp":"2026-11-26T15:28:38Z","body":{"id":"o","traceId":"t","startTime":"2026-11-26T15:28:38Z"}}"#,
        );
        assert_eq!(single.fragments.len(), 1);
        assert_eq!(parse(r#"{"batch":[{"event":"page_view"}],"metadata":{}}"#).rejections.len(), 1);
        assert_eq!(parse(r#"{"batch":7,"metadata":{}}"#).rejections.len(), 1);
    }

    #[test]
    fn scores_of_the_third_version_name_their_subject() {
        let score = |subject: &str| {
            parse(&format!(
                r#"{{"id":"s","projectId":"p","name":"q","value":"bad","dataType":"CATEGORICAL","timestamp":"2026-11-26T15:28:39Z","subject":{subject}}}"#
            ))
        };
        let out = score(r#"{"kind":"observation","id":"o","traceId":"t"}"#);
        assert_eq!((&out.annotations[0].0, out.annotations[0].1.label.as_deref()), (&AnnotationTarget::Span("o".into()), Some("bad")));
        assert_eq!(score(r#"{"kind":"trace","id":"t"}"#).annotations[0].0, AnnotationTarget::Trace("t".into()));
        assert_eq!(score(r#"{"kind":"session","id":"c"}"#).skipped.len(), 1);
    }
}
