//! AWS X-Ray: segment documents, and the traces that `aws xray batch-get-traces` returns.
//!
//! Specification: <https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html> and
//! <https://docs.aws.amazon.com/xray/latest/api/API_BatchGetTraces.html>; checked against the documentation only.
//!
//! ```json
//! {"trace_id": "1-67891233-abcdef012345678912345678", "id": "53995c3f42cd8ad8", "parent_id": "…", "name": "acme", "start_time": 1795424026.335, "end_time": 1795424027.1,
//!  "error": true, "throttle": true, "http": {"response": {"status": 429}}, "cause": {"exceptions": [{"type": "RateLimitError", "message": "…", "stack": […]}]},
//!  "annotations": {"tenant": "a"}, "metadata": {"default": {"gen_ai.operation.name": "chat"}}, "subsegments": [{"id": "…", "name": "chat", "namespace": "aws", …}]}
//! {"Traces": [{"Id": "1-67891233-abcdef012345678912345678", "Segments": [{"Id": "53995c3f42cd8ad8", "Document": "{…}"}]}], "UnprocessedTraceIds": []}
//! ```
//!
//! | document | span |
//! |---|---|
//! | a segment, and each of its `subsegments` | a span; the parent is `parent_id`, or the segment around it |
//! | `name` of a segment without a `namespace` | name, and the service of its subsegments |
//! | `error`, `fault`, `throttle` | an error status |
//! | `cause.exceptions` | exceptions |
//! | `annotations`, the values in each namespace of `metadata` | attributes, by the conventions: the Collector puts those of OpenTelemetry there |
//!
//! Quirks: a document is JSON text; `cause` may be the id of an exception of another segment; a segment in progress has no `end_time`.

use std::borrow::Cow;

use super::otlp::{RawEvent, RawSpan, Resource};
use crate::model::{RejectionKind, Status};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of X-Ray; see the [module docs](self).
pub(super) struct XRay;

impl Format for XRay {
    fn name(&self) -> &'static str {
        "xray"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["Traces", "UnprocessedTraceIds"]),
                Signature::unique(&["Id", "Segments"]),
                Signature::unique(&["Id", "Document"]),
                Signature::unique(&["trace_id", "id", "name", "start_time", "subsegments"]),
                Signature::unique(&["trace_id", "id", "name", "start_time", "in_progress"]),
                Signature::unique(&["trace_id", "id", "name", "start_time", "aws"]),
                Signature::common(&["trace_id", "id", "name", "start_time", "http"]),
            ]
        }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        parse_any(record, location, out)
    }
}

/// Parses a page of traces, a trace, a segment with its document as text, or a document.
fn parse_any(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Value::List(traces) = record.take("Traces") else { return parse_trace(record, location, out) };
    let segments: Vec<Value<'_>> = traces.into_iter().flat_map(segments_of).collect();
    record::parse_each(segments, location, out, parse_segment)
}

fn parse_trace(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("Segments") {
        return record::parse_each(segments_of(record.into_value()), location, out, parse_segment);
    }
    parse_segment(record, location, out)
}

fn segments_of(trace: Value<'_>) -> Vec<Value<'_>> {
    match Record::from_value(trace).map(|mut trace| trace.take("Segments")) {
        Some(Value::List(segments)) => segments,
        _ => Vec::new(),
    }
}

fn parse_segment(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if !record.has("Document") {
        return parse_document(record, location, out);
    }
    let Some(document) = Record::from_value(record.take_tree("Document")) else {
        let reason = format!("cannot read {location}: Document is not the text of a JSON object\n  hint: export the trace again");
        return out.reject(location, RejectionKind::MalformedRecord, reason);
    };
    parse_document(document, location, out)
}

/// What a subsegment takes from the segments around it.
#[derive(Clone)]
struct Around {
    trace_id: Option<String>,
    parent_span_id: Option<String>,
    service: Option<String>,
}

/// Parses a segment and its subsegments, without recursion.
fn parse_document(document: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut remaining = vec![(document, Around { trace_id: None, parent_span_id: None, service: None })];
    let mut all = None;
    let mut count = 0;
    while let Some((mut segment, mut around)) = remaining.pop() {
        count += 1;
        let location = if count == 1 { *location } else { location.span(count) };
        let subsegments = segment.take("subsegments");
        parse_one(segment, &mut around, &location, out).add_to(&mut all);
        if let Value::List(subsegments) = subsegments {
            let records = subsegments.into_iter().filter_map(Record::from_value);
            remaining.extend(records.map(|subsegment| (subsegment, around.clone())));
        }
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// Parses one segment; `around` becomes what its subsegments take from it.
fn parse_one(mut segment: Record<'_>, around: &mut Around, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let name = segment.take_text("name").unwrap_or_default();
    around.trace_id = segment.take("trace_id").as_id().or(around.trace_id.take());
    around.service = around.service.take().or_else(|| Some(name.clone()).filter(|_| !segment.has("namespace")));
    let span_id = segment.take("id").as_id();
    let parent_span_id = segment.take("parent_id").as_id().or(around.parent_span_id.take());
    around.parent_span_id.clone_from(&span_id);
    let is_error = ["error", "fault", "throttle"].map(|flag| segment.take(flag) == Value::Bool(true)).contains(&true);
    let mut attributes = Vec::new();
    let status_code = segment.take("http").get("response").get("status").clone();
    if !status_code.is_null() {
        attributes.push((Cow::Borrowed("http.response.status_code"), status_code));
    }
    for group in [segment.take("annotations"), segment.take("metadata")] {
        let Value::Map(fields) = group else { continue };
        for (key, value) in fields {
            match value {
                Value::Map(values) => attributes.extend(values),
                value => attributes.push((key, value)),
            }
        }
    }
    let events: Vec<_> = segment.take("cause").get("exceptions").items().iter().map(exception).collect();
    let status_message = match events.first() {
        Some(event) => event.attributes.iter().find(|(key, _)| key == "exception.message").map(|(_, message)| message.to_text()),
        None => None,
    };
    let raw = RawSpan {
        trace_id: around.trace_id.clone(),
        span_id,
        parent_span_id,
        name,
        started_at_ns: time(&segment.take("start_time")),
        ended_at_ns: time(&segment.take("end_time")),
        status: if is_error { Status::Error } else { Status::Unset },
        status_message: status_message.filter(|_| is_error).unwrap_or_default(),
        events,
        attributes,
        unread_fields: 0,
    };
    let service = around.service.clone().map(|service| (Cow::Borrowed("service.name"), Value::Text(Cow::Owned(service))));
    let mut resource = Resource::from_attributes(service);
    let aws = segment.take("aws");
    for (key, value) in [
        ("user.id", &segment.take("user")),
        ("service.version", segment.take("service").get("version")),
        ("cloud.region", aws.get("region")),
        ("cloud.availability_zone", aws.get("ec2").get("availability_zone")),
    ] {
        resource.add_context(key, value);
    }
    raw.add_fragment(&resource, location, out)
}

/// Nanoseconds since 1970 of seconds with a fraction, whose digits end at microseconds; 0 if there is no time.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
fn time(value: &Value<'_>) -> i64 {
    value.as_f64().and_then(|seconds| ((seconds * 1e6).round() as i64).checked_mul(1_000)).unwrap_or_default()
}

/// An exception with its stack, `[{"path", "line", "label"}]`, as an event of OpenTelemetry.
fn exception(exception: &Value<'_>) -> RawEvent<'static> {
    let frames = exception.get("stack").items().iter();
    let frames = frames.map(|frame| ["label", "path", "line"].map(|key| frame.get(key).to_text()).join(" ").trim().to_owned());
    let stack = frames.collect::<Vec<_>>().join("\n");
    let fields = [
        ("exception.type", exception.get("type").to_text()),
        ("exception.message", exception.get("message").to_text()),
        ("exception.stacktrace", stack),
    ];
    let attributes = fields.into_iter().filter(|(_, text)| !text.is_empty());
    RawEvent {
        name: Cow::Borrowed("exception"),
        attributes: attributes.map(|(key, text)| (Cow::Borrowed(key), Value::Text(Cow::Owned(text)))).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ParsedChunk {
        crate::parse::tests::parse_line(&XRay, line)
    }

    const DOCUMENT: &str = r#"{"trace_id":"1-67891233-abcdef012345678912345678","id":"53995c3f42cd8ad8","name":"acme","start_time":1795424026.5,"in_progress":true,
        "subsegments":[{"id":"6226467e3f845502","name":"chat","namespace":"remote","start_time":1795424026.75,"end_time":1795424027.0,"error":true,"throttle":true,
          "http":{"response":{"status":429}},"annotations":{"tenant":"a"},"metadata":{"default":{"gen_ai.operation.name":"chat","gen_ai.request.model":"m"}},
          "cause":{"working_directory":"/app","exceptions":[{"id":"1","type":"RateLimitError","message":"Slow down","stack":[{"path":"a.py","line":5,"label":"ask"}]}]},
          "subsegments":[{"id":"6226467e3f845503","name":"inner","start_time":1795424026.8,"end_time":1795424026.9,"cause":"1"}]}]}"#;

    #[test]
    fn segments_and_subsegments_are_spans() {
        let out = parse(DOCUMENT);
        let spans: Vec<_> =
            out.fragments.iter().map(|fragment| (fragment.span.name.as_str(), fragment.span.parent_span_id.as_deref())).collect();
        assert_eq!(spans, [("acme", None), ("chat", Some("53995c3f42cd8ad8")), ("inner", Some("6226467e3f845502"))]);
        let (root, call) = (&out.fragments[0].span, &out.fragments[1]);
        assert_eq!((root.ended_at_ns, root.status), (None, Status::Unset));
        assert_eq!((call.trace_id.as_str(), call.service.as_deref()), ("1-67891233-abcdef012345678912345678", Some("acme")));
        assert_eq!((call.span.started_at_ns, call.span.ended_at_ns), (Some(1_795_424_026_750_000_000), Some(1_795_424_027_000_000_000)));
        assert_eq!((call.span.status, call.span.status_message.as_deref()), (Status::Error, Some("Slow down")));
        assert_eq!(
            (call.span.exceptions[0].kind.as_str(), call.span.exceptions[0].stack.as_deref()),
            ("RateLimitError", Some("ask a.py 5"))
        );
        assert_eq!((call.span.model.as_deref(), call.span.attribute("tenant")), (Some("m"), Some("a")));
    }

    #[test]
    fn traces_of_the_api_have_documents_as_text() {
        let segment = format!(r#"{{"Id":"53995c3f42cd8ad8","Document":{}}}"#, serde_json::to_string(DOCUMENT).unwrap());
        let trace = format!(r#"{{"Id":"1-67891233-abcdef012345678912345678","Duration":1.5,"Segments":[{segment}]}}"#);
        for text in [segment.clone(), trace.clone(), format!(r#"{{"Traces":[{trace}],"UnprocessedTraceIds":[]}}"#)] {
            let out = parse(&text);
            assert_eq!((out.fragments.len(), out.rejections.len()), (3, 0), "{text}");
        }
        let out = parse(r#"{"Id":"1","Document":"cut {"}"#);
        assert_eq!(out.rejections[0].kind, RejectionKind::MalformedRecord);
        assert_eq!(parse(r#"{"Traces":[],"UnprocessedTraceIds":["1"]}"#).records.skipped, 1);
    }
}
