//! Spans and log records of the JavaScript SDK, as JSON of the objects and as the console exporters print them.
//!
//! ```json
//! {"_spanContext": {"traceId": "5b8e…", "spanId": "eee1…", "traceFlags": 1}, "kind": 0, "parentSpanContext": {"traceId": "…", "spanId": "…"},
//!  "attributes": {…}, "events": [{"name": "exception", "attributes": {…}, "time": [1795424026, 335617000]}], "startTime": [1795424026, 335617000],
//!  "resource": {"_rawAttributes": [["service.name", "acme"]]}, "instrumentationScope": {"name": "x"}, "name": "chat", "status": {"code": 2, "message": "…"}, "endTime": […]}
//! {"resource": {"attributes": {…}}, "instrumentationScope": {…}, "traceId": "…", "parentSpanContext": {…}, "name": "chat", "id": "…", "kind": 0,
//!  "timestamp": 1795424026335617, "duration": 483227.558, "attributes": {…}, "status": {"code": 1}, "events": [], "links": []}
//! {"hrTime": [1795424026, 335000000], "spanContext": {…}, "resource": {…}, "attributes": {…}, "_body": "…", "_eventName": "gemini_cli.api_response"}
//! ```
//!
//! Quirks of real output:
//! - The parent is `parentSpanContext` (2.x) or `parentSpanId` (1.x), printed as `parentId` (1.x).
//! - The attributes of the resource are `attributes`, `_attributes` (1.25) or the pairs `_rawAttributes` (2.x), whose values may be pending.
//! - Repeated objects are `"[Circular]"` (Gemini CLI); `_spanProcessor` contains the exporter with the spans that wait for it.
//! - Printed times are microseconds, with a fraction in a duration (2.x). An unset `endTime` is `[0, 0]`.
//! - Values below the third level are printed as `[Object]`, long strings end with `... 12 more characters`.

use std::borrow::Cow;

use super::{ParsedChunk, RecordLocation, Unread, first, id, log_trace_id, resource};
use crate::parse::Accounted;
use crate::parse::formats::otlp::{RawLog, RawSpan, Resource};
use crate::parse::record::Record;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// Parses a span.
pub(super) fn parse_span(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let ids = Ids::take(record);
    let parent = record.take("parentSpanContext");
    let resource = resource_of(record);
    let status = record.take("status");
    let started_at_ns = first(record, ["startTime", "timestamp"]);
    let started_at_ns = time(&started_at_ns).unwrap_or_default();
    let ended_at_ns =
        time(&record.take("endTime")).or_else(|| duration_us(&record.take("duration")).and_then(|ns| started_at_ns.checked_add(ns)));
    let mut unread = Unread::default();
    let events = unread.events(record.take("events"));
    let attributes = unread.attributes(record.take("attributes"));
    let raw = RawSpan {
        trace_id: id(&ids.trace_id, 16),
        span_id: id(&ids.span_id, 8),
        parent_span_id: id(parent.get("spanId"), 8).or_else(|| id(&first(record, ["parentSpanId", "parentId"]), 8)),
        name: record.take_text("name").unwrap_or_default(),
        started_at_ns,
        ended_at_ns: ended_at_ns.unwrap_or_default(),
        status: span_fields::status(&status.get("code").to_text()),
        status_message: status.get("message").to_text(),
        events,
        attributes,
        unread_fields: unread.0,
    };
    raw.add_fragment(&resource, location, out)
}

/// Parses a log record.
pub(super) fn parse_log(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let ids = Ids::take(record);
    let resource = resource_of(record);
    let at = [record.take("hrTime"), record.take("timestamp"), record.take("hrTimeObserved")];
    let raw = RawLog {
        trace_id: log_trace_id(&ids.trace_id),
        span_id: id(&ids.span_id, 8),
        event_name: first(record, ["_eventName", "eventName"]).into_text().unwrap_or_default(),
        at_ns: at.iter().find_map(time).unwrap_or_default(),
        body: first(record, ["_body", "body"]),
        attributes: Unread::default().attributes(record.take("attributes")),
    };
    raw.add_fragment(&resource, location, out)
}

/// The ids of a span or log record, in its context or in fields of its own.
struct Ids<'a> {
    trace_id: Value<'a>,
    span_id: Value<'a>,
}

impl<'a> Ids<'a> {
    fn take(record: &mut Record<'a>) -> Self {
        match Record::from_value(first(record, ["_spanContext", "spanContext"])) {
            Some(mut context) => Self { trace_id: context.take("traceId"), span_id: context.take("spanId") },
            None => Self { trace_id: record.take("traceId"), span_id: first(record, ["id", "spanId"]) },
        }
    }
}

/// Nanoseconds since 1970 of `[seconds, nanoseconds]`, or of a time in another form; `None` if it is unset.
fn time(value: &Value<'_>) -> Option<i64> {
    let time = match value {
        Value::List(_) => match value.items() {
            [Value::Int(seconds), Value::Int(nanoseconds)] => seconds.checked_mul(1_000_000_000)?.checked_add(*nanoseconds),
            _ => None,
        },
        other => other.as_time(),
    };
    time.filter(|time| *time > 0)
}

/// Nanoseconds of a duration in microseconds.
#[expect(clippy::cast_possible_truncation, reason = "saturates, and such long durations are invalid anyway")]
fn duration_us(value: &Value<'_>) -> Option<i64> {
    value.as_f64().map(|duration| (duration * 1_000.0).round() as i64)
}

fn resource_of(record: &mut Record<'_>) -> Resource {
    let scope = first(record, ["instrumentationScope", "instrumentationLibrary"]);
    let scope = scope.get("name").as_str();
    let Some(mut found) = Record::from_value(record.take("resource")) else { return resource(Value::Null, scope) };
    if let Value::List(pairs) = found.take("_rawAttributes") {
        return resource(Value::Map(pairs.into_iter().filter_map(pair).collect()), scope);
    }
    resource(first(&mut found, ["attributes", "_attributes"]), scope)
}

/// `["service.name", "acme"]`; a value that was pending is `{}`.
fn pair(pair: Value<'_>) -> Option<(Cow<'_, str>, Value<'_>)> {
    let Value::List(mut pair) = pair else { return None };
    match (pair.pop(), pair.pop()) {
        (Some(value), Some(Value::Text(key))) if !matches!(value, Value::Map(_)) => Some((key, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use crate::model::Status;

    const CONTEXT: &str = r#"{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","traceFlags":1}"#;

    #[test]
    fn a_span_as_json_has_the_fields_of_its_object() {
        let out = parse(&format!(
            r#"{{"_spanContext":{CONTEXT},"kind":0,"parentSpanContext":{{"traceId":"x","spanId":"0000000000000001"}},
            "attributes":{{"gen_ai.operation.name":"chat"}},"links":[],"events":[{{"name":"exception","attributes":{{"exception.type":"TypeError"}},"time":[1795424026,0]}}],
            "startTime":[1795424026,335617000],"resource":{{"_rawAttributes":[["service.name","acme"],["host.id",{{}}]],"_asyncAttributesPending":false}},
            "instrumentationScope":{{"name":"x"}},"name":"chat","status":{{"code":2,"message":"no"}},"endTime":[1795424027,0],
            "_spanProcessor":{{"_spanProcessors":[{{"_finishedSpans":[{{"name":"other"}}]}}]}}}}"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((fragment.trace_id.as_str(), span.span_id.as_str()), ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"));
        assert_eq!(
            (span.parent_span_id.as_deref(), span.status, span.status_message.as_deref()),
            (Some("0000000000000001"), Status::Error, Some("no"))
        );
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_026_335_617_000), Some(1_795_424_027_000_000_000)));
        assert_eq!((span.exceptions[0].kind.as_str(), fragment.service.as_deref()), ("TypeError", Some("acme")));
        assert_eq!((span.instrumentation.as_deref(), out.fragments.len(), fragment.unread_fields), (Some("x"), 1, 0));
    }

    #[test]
    fn older_and_unfinished_spans_are_read() {
        let out = parse(&format!(
            r#"{{"attributes":{{}},"name":"chat","_spanContext":{CONTEXT},"parentSpanId":"0000000000000001","startTime":[1795424026,0],"endTime":[0,0],"status":{{"code":0}},
            "events":[],"resource":{{"_attributes":{{"service.name":"acme"}},"_syncAttributes":"[Circular]"}},"instrumentationLibrary":{{"name":"x"}}}}"#
        ));
        let span = &out.fragments[0].span;
        assert_eq!((span.parent_span_id.as_deref(), span.ended_at_ns, span.status), (Some("0000000000000001"), None, Status::Unset));
        assert_eq!((out.fragments[0].service.as_deref(), span.instrumentation.as_deref()), (Some("acme"), Some("x")));
    }

    #[test]
    fn a_printed_span_has_times_in_microseconds() {
        let out = parse(
            r#"{"resource":{"attributes":{"service.name":"acme"}},"instrumentationScope":{"name":"x","version":null},"traceId":"5b8efff798038103d269b633813fc60c","parentSpanContext":null,
            "traceState":null,"name":"chat","id":"eee19b7ec3c1b174","kind":0,"timestamp":1795424026335617,"duration":483227.558,"attributes":{"a":"[Object]"},"status":{"code":1},
            "events":[{"name":"exception","attributes":"[Object]"}],"links":[]}"#,
        );
        let span = &out.fragments[0].span;
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_026_335_617_000), Some(1_795_424_026_818_844_558)));
        assert_eq!((span.parent_span_id.as_deref(), span.status, span.attribute("a")), (None, Status::Ok, Some("[Object]")));
        assert_eq!((out.fragments[0].service.as_deref(), out.fragments[0].unread_fields), (Some("acme"), 1));
        let old = parse(
            r#"{"traceId":"5b8efff798038103d269b633813fc60c","parentId":"0000000000000001","name":"chat","id":"eee19b7ec3c1b174","timestamp":1795424026335617,"duration":5,"attributes":{},"links":[]}"#,
        );
        assert_eq!(old.fragments[0].span.parent_span_id.as_deref(), Some("0000000000000001"));
    }

    #[test]
    fn log_records_join_their_span_and_others_are_skipped() {
        let as_json = parse(&format!(
            r#"{{"hrTime":[1795424026,5],"hrTimeObserved":[1795424026,6],"spanContext":{CONTEXT},"resource":{{}},"instrumentationScope":{{"name":"x"}},
            "attributes":{{"exception.type":"ApiError","exception.message":"no"}},"_body":"API error","_eventName":"gemini_cli.api_error"}}"#
        ));
        let printed = parse(
            r#"{"resource":{"attributes":{}},"timestamp":1795424026000000,"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","traceFlags":1,
            "severityText":null,"severityNumber":9,"eventName":"x","body":"API error","attributes":{"exception.type":"ApiError","exception.message":"no"}}"#,
        );
        for out in [&as_json, &printed] {
            let fragment = &out.fragments[0];
            assert_eq!((fragment.addition, fragment.span.span_id.as_str()), (true, "eee19b7ec3c1b174"));
            assert_eq!(fragment.span.exceptions[0].kind, "ApiError");
        }
        assert_eq!(as_json.fragments[0].span.started_at_ns, Some(1_795_424_026_000_000_005));
        let out = parse(r#"{"hrTime":[1795424026,0],"resource":{},"attributes":{},"_body":"CLI configuration loaded."}"#);
        assert_eq!((out.fragments.len(), out.records.skipped), (0, 1));
    }
}
