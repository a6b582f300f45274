//! Spans of Go's `stdouttrace` and log records of `stdoutlog`.
//!
//! ```json
//! {"Name": "chat", "SpanContext": {"TraceID": "5b8e…", "SpanID": "eee1…", "TraceFlags": "01", "TraceState": "", "Remote": false}, "Parent": {"TraceID": "…", "SpanID": "0000000000000000", …},
//!  "SpanKind": 3, "StartTime": "2026-11-23T08:53:46.335617123Z", "EndTime": "…", "Attributes": [{"Key": "n", "Value": {"Type": "INT64", "Value": 5}}],
//!  "Events": [{"Name": "exception", "Attributes": […], "Time": "…"}], "Status": {"Code": "Error", "Description": "…"}, "Resource": [{"Key": "service.name", "Value": {…}}],
//!  "InstrumentationScope": {"Name": "x", "Version": "1.0", …}}
//! {"Timestamp": "0001-01-01T00:00:00Z", "ObservedTimestamp": "…", "Severity": 9, "Body": {"Type": "STRING", "Value": "…"}, "Attributes": […], "TraceID": "…", "SpanID": "…", …}
//! ```
//!
//! Quirks of real output:
//! - The parent of a root has an id of zeros; an unset time is that of the year 1. `WithoutTimestamps` leaves times out, so such spans are rejected.
//! - The scope is `InstrumentationLibrary` in older versions, and both in newer ones.
//! - Lists without items are null.

use std::borrow::Cow;

use super::{ParsedChunk, RecordLocation, id, log_trace_id, resource};
use crate::parse::Accounted;
use crate::parse::formats::otlp::{RawEvent, RawLog, RawSpan, Resource};
use crate::parse::record::Record;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// Parses a span.
pub(super) fn parse_span(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let context = record.take("SpanContext");
    let status = record.take("Status");
    let resource = resource_of(record, "InstrumentationScope", "InstrumentationLibrary");
    let mut unread = 0;
    let attributes = attributes(record.take("Attributes"), &mut unread);
    let events = match record.take("Events") {
        Value::List(events) => events.into_iter().filter_map(|item| event(item, &mut unread)).collect(),
        _ => Vec::new(),
    };
    let raw = RawSpan {
        trace_id: id(context.get("TraceID"), 16),
        span_id: id(context.get("SpanID"), 8),
        parent_span_id: id(record.take("Parent").get("SpanID"), 8),
        name: record.take_text("Name").unwrap_or_default(),
        started_at_ns: time(record, "StartTime"),
        ended_at_ns: time(record, "EndTime"),
        status: span_fields::status(&status.get("Code").to_text().to_ascii_uppercase()),
        status_message: status.get("Description").to_text(),
        events,
        attributes,
        unread_fields: unread,
    };
    raw.add_fragment(&resource, location, out)
}

/// Parses a log record.
pub(super) fn parse_log(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let resource = resource_of(record, "Scope", "InstrumentationScope");
    let at_ns = match time(record, "Timestamp") {
        0 => time(record, "ObservedTimestamp"),
        time => time,
    };
    let raw = RawLog {
        trace_id: log_trace_id(&record.take("TraceID")),
        span_id: id(&record.take("SpanID"), 8),
        event_name: record.take_text("EventName").unwrap_or_default(),
        at_ns,
        body: typed_value(record.take("Body"), 0),
        attributes: attributes(record.take("Attributes"), &mut 0),
    };
    raw.add_fragment(&resource, location, out)
}

/// Nanoseconds since 1970; 0 if the time is unset.
fn time(record: &mut Record<'_>, key: &str) -> i64 {
    record.take(key).as_time().filter(|time| *time > 0).unwrap_or_default()
}

fn resource_of(record: &mut Record<'_>, scope: &str, older_scope: &str) -> Resource {
    let (scope, older_scope) = (record.take(scope), record.take(older_scope));
    let scope = [scope.get("Name"), older_scope.get("Name")].into_iter().find_map(Value::as_str);
    resource(Value::Map(attributes(record.take("Resource"), &mut 0)), scope)
}

/// Attributes as `[{"Key", "Value": {"Type", "Value"}}]`, and the number of those without a key.
fn attributes<'a>(value: Value<'a>, unread: &mut u32) -> Vec<(Cow<'a, str>, Value<'a>)> {
    let items = match value {
        Value::List(items) => items,
        Value::Null => Vec::new(),
        _ => {
            *unread += 1;
            Vec::new()
        }
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        match key_value(item, 0) {
            Some(attribute) => found.push(attribute),
            None => *unread += 1,
        }
    }
    found
}

fn event<'a>(event: Value<'a>, unread: &mut u32) -> Option<RawEvent<'a>> {
    let Some(mut event) = Record::from_value(event) else {
        *unread += 1;
        return None;
    };
    let name = Cow::Owned(event.take_text("Name").unwrap_or_default());
    Some(RawEvent { name, attributes: attributes(event.take("Attributes"), unread) })
}

/// How deep typed values are decoded; deeper ones are kept as they are.
const DEPTH_MAX: usize = 32;

/// The value in `{"Type": "STRING", "Value": …}`; a map is a list of attributes.
fn typed_value(value: Value<'_>, depth: usize) -> Value<'_> {
    if depth >= DEPTH_MAX || value.get("Type").is_null() {
        return value;
    }
    let Some(mut typed) = Record::from_value(value) else { return Value::Null };
    let is_map = typed.take("Type").as_str().is_some_and(|name| name.eq_ignore_ascii_case("map"));
    match typed.take("Value") {
        Value::List(items) if is_map => Value::Map(items.into_iter().filter_map(|item| key_value(item, depth + 1)).collect()),
        Value::List(items) => Value::List(items.into_iter().map(|item| typed_value(item, depth + 1)).collect()),
        other => other,
    }
}

fn key_value(item: Value<'_>, depth: usize) -> Option<(Cow<'_, str>, Value<'_>)> {
    let mut item = Record::from_value(item)?;
    match item.take("Key") {
        Value::Text(key) => Some((key, typed_value(item.take("Value"), depth))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use crate::model::{RejectionKind, Status};

    const CONTEXT: &str = r#""SpanContext":{"TraceID":"5b8efff798038103d269b633813fc60c","SpanID":"eee19b7ec3c1b174","TraceFlags":"01","TraceState":"","Remote":false}"#;

    #[test]
    fn a_span_has_the_fields_of_its_object() {
        let out = parse(&format!(
            r#"{{"Name":"chat",{CONTEXT},"Parent":{{"TraceID":"00000000000000000000000000000000","SpanID":"0000000000000000"}},"SpanKind":3,
            "StartTime":"2026-11-23T08:53:46.335617123Z","EndTime":"0001-01-01T00:00:00Z",
            "Attributes":[{{"Key":"gen_ai.response.finish_reasons","Value":{{"Type":"STRINGSLICE","Value":["stop"]}}}},{{"Key":"gen_ai.usage.input_tokens","Value":{{"Type":"INT64","Value":5}}}},7],
            "Events":[{{"Name":"exception","Attributes":[{{"Key":"exception.type","Value":{{"Type":"STRING","Value":"*errors.errorString"}}}}],"DroppedAttributeCount":0,"Time":"2026-11-23T08:53:46Z"}}],
            "Links":null,"Status":{{"Code":"Error","Description":"no"}},"Resource":[{{"Key":"service.name","Value":{{"Type":"STRING","Value":"acme"}}}}],
            "InstrumentationLibrary":{{"Name":"x","Version":"","SchemaURL":""}}}}"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((span.parent_span_id.as_deref(), span.status, span.status_message.as_deref()), (None, Status::Error, Some("no")));
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_026_335_617_123), None));
        assert_eq!((&span.finish_reasons, span.usage.input), (&vec!["stop".to_owned()], Some(5)));
        assert_eq!((span.exceptions[0].kind.as_str(), fragment.service.as_deref()), ("*errors.errorString", Some("acme")));
        assert_eq!((span.instrumentation.as_deref(), fragment.unread_fields), (Some("x"), 1));
    }

    #[test]
    fn a_log_record_joins_its_span() {
        let out = parse(
            r#"{"Timestamp":"0001-01-01T00:00:00Z","ObservedTimestamp":"2026-11-23T08:53:46Z","EventName":"gen_ai.user.message","Severity":9,"SeverityText":"INFO",
            "Body":{"Type":"MAP","Value":[{"Key":"content","Value":{"Type":"STRING","Value":"hi"}}]},"Attributes":[],
            "TraceID":"5b8efff798038103d269b633813fc60c","SpanID":"eee19b7ec3c1b174","TraceFlags":"01","Resource":[],"Scope":{"Name":"x"},"DroppedAttributes":0}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.addition, fragment.span.started_at_ns), (true, Some(1_795_424_026_000_000_000)));
        assert_eq!(fragment.span.input[0].content, "hi");
    }

    #[test]
    fn a_span_without_timestamps_is_rejected() {
        let out = parse(&format!(r#"{{"Name":"chat",{CONTEXT},"SpanKind":1,"StartTime":"0001-01-01T00:00:00Z"}}"#));
        assert_eq!(out.rejections[0].kind, RejectionKind::MissingTime);
    }
}
