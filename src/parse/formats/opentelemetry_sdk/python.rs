//! Spans and log records of the Python SDK, and spans of the PHP SDK, which are similar.
//!
//! ```json
//! {"name": "chat", "context": {"trace_id": "0x5b8e…", "span_id": "0xeee1…", "trace_state": "[]"}, "kind": "SpanKind.CLIENT", "parent_id": "0x…",
//!  "start_time": "2026-11-23T08:53:46.335617Z", "end_time": "…", "status": {"status_code": "ERROR", "description": "…"}, "attributes": {…},
//!  "events": [{"name": "exception", "timestamp": "…", "attributes": {…}}], "links": [], "resource": {"attributes": {…}, "schema_url": ""}}
//! {"body": {"content": "hi"}, "severity_number": 9, "attributes": {"event.name": "gen_ai.user.message"}, "timestamp": "…", "trace_id": "0x…", "span_id": "0x…", …}
//! ```
//!
//! Quirks of real output:
//! - Ids have `0x` before them, except for `parent_id` in old versions (Python 1.0).
//! - The attributes of the resource are `resource` itself before Python 1.15 and in PHP.
//! - A span has no scope.
//! - An unset time of a log record is null; its trace id is zero, or empty, outside of a trace.
//! - PHP: `start` and `end` are nanoseconds, the status is `{"code": "Error", "description"}`, the parent `parent_span_id`.

use super::{ParsedChunk, RecordLocation, Unread, first, id, log_trace_id, resource};
use crate::model::Status;
use crate::parse::Accounted;
use crate::parse::formats::otlp::{RawLog, RawSpan, Resource};
use crate::parse::record::Record;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// Parses a span.
pub(super) fn parse_span(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let context = record.take("context");
    let (status, status_message) = status(&record.take("status"));
    let resource = resource_of(record);
    let mut unread = Unread::default();
    let events = unread.events(record.take("events"));
    let attributes = unread.attributes(record.take("attributes"));
    let raw = RawSpan {
        trace_id: id(context.get("trace_id"), 16),
        span_id: id(context.get("span_id"), 8),
        parent_span_id: id(&first(record, ["parent_id", "parent_span_id"]), 8),
        name: record.take_text("name").unwrap_or_default(),
        started_at_ns: first(record, ["start_time", "start"]).as_time().unwrap_or_default(),
        ended_at_ns: first(record, ["end_time", "end"]).as_time().unwrap_or_default(),
        status,
        status_message,
        events,
        attributes,
        unread_fields: unread.0,
    };
    raw.add_fragment(&resource, location, out)
}

/// Parses a log record.
pub(super) fn parse_log(record: &mut Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let resource = resource_of(record);
    let raw = RawLog {
        trace_id: log_trace_id(&record.take("trace_id")),
        span_id: id(&record.take("span_id"), 8),
        event_name: record.take_text("event_name").unwrap_or_default(),
        at_ns: first(record, ["timestamp", "observed_timestamp"]).as_time().unwrap_or_default(),
        body: record.take("body"),
        attributes: Unread::default().attributes(record.take("attributes")),
    };
    raw.add_fragment(&resource, location, out)
}

fn status(value: &Value<'_>) -> (Status, String) {
    let code = value.first(&["status_code", "code"]).to_text();
    let message = value.get("description").to_text();
    (span_fields::status(&code.to_ascii_uppercase()), message)
}

fn resource_of(record: &mut Record<'_>) -> Resource {
    let mut found = record.take("resource");
    if let Value::Map(fields) = &mut found
        && let Some(index) = fields.iter().position(|(key, value)| key == "attributes" && matches!(value, Value::Map(_)))
    {
        return resource(fields.swap_remove(index).1, None);
    }
    resource(found, None)
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;
    use crate::model::Status;

    const SPAN: &str = r#""name":"chat","context":{"trace_id":"0x5b8efff798038103d269b633813fc60c","span_id":"0xeee19b7ec3c1b174","trace_state":"[]"},"kind":"SpanKind.CLIENT","start_time":"2026-11-23T08:53:46.335617Z""#;

    #[test]
    fn a_span_has_the_fields_of_its_object() {
        let out = parse(&format!(
            r#"{{{SPAN},"parent_id":"0x0000000000000001","end_time":"2026-11-23T08:53:47Z","status":{{"status_code":"ERROR","description":"ValueError: no"}},
            "attributes":{{"gen_ai.operation.name":"chat","gen_ai.response.finish_reasons":["stop"]}},
            "events":[{{"name":"exception","timestamp":"2026-11-23T08:53:46.9Z","attributes":{{"exception.type":"ValueError","exception.message":"no"}}}}],
            "links":[],"resource":{{"attributes":{{"service.name":"acme","deployment.environment":"staging"}},"schema_url":""}}}}"#
        ));
        let fragment = &out.fragments[0];
        let span = &fragment.span;
        assert_eq!((fragment.trace_id.as_str(), span.span_id.as_str()), ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"));
        assert_eq!((span.parent_span_id.as_deref(), span.status), (Some("0000000000000001"), Status::Error));
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_026_335_617_000), Some(1_795_424_027_000_000_000)));
        assert_eq!((span.exceptions[0].kind.as_str(), &span.finish_reasons), ("ValueError", &vec!["stop".to_owned()]));
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("acme"), Some("staging")));
        assert_eq!(fragment.unread_fields, 0);
    }

    #[test]
    fn older_and_unfinished_spans_are_read() {
        let out = parse(&format!(
            r#"{{{SPAN},"parent_id":"0000000000000001","end_time":null,"status":{{"status_code":"UNSET"}},"attributes":null,"events":[],"links":[],"resource":{{"service.name":"acme"}}}}"#
        ));
        let span = &out.fragments[0].span;
        assert_eq!((span.parent_span_id.as_deref(), span.ended_at_ns, span.status), (Some("0000000000000001"), None, Status::Unset));
        assert_eq!(out.fragments[0].service.as_deref(), Some("acme"));
    }

    #[test]
    fn what_cannot_be_decoded_is_counted() {
        let out = parse(&format!(r#"{{{SPAN},"parent_id":null,"attributes":"cut","events":["cut"],"resource":{{}}}}"#));
        assert_eq!(out.fragments[0].unread_fields, 2);
    }

    #[test]
    fn a_span_of_php_is_read() {
        let out = parse(
            r#"[{"name":"chat","context":{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","trace_state":"","trace_flags":1},
            "resource":{"service.name":"acme"},"parent_span_id":"","kind":"KIND_CLIENT","start":1795424026335617000,"end":1795424027000000000,
            "attributes":[],"status":{"code":"Error","description":"no"},"events":[],"links":[],"schema_url":""}]"#,
        );
        let span = &out.fragments[0].span;
        assert_eq!((span.status, span.status_message.as_deref(), span.parent_span_id.as_deref()), (Status::Error, Some("no"), None));
        assert_eq!((span.started_at_ns, out.fragments[0].unread_fields), (Some(1_795_424_026_335_617_000), 0));
    }

    #[test]
    fn a_log_record_joins_its_span_and_others_are_skipped() {
        let log = |ids: &str| {
            parse(&format!(
                r#"{{"body":{{"content":"hi"}},"severity_number":9,"severity_text":null,"attributes":{{"event.name":"gen_ai.user.message"}},"dropped_attributes":0,
                "timestamp":null,"observed_timestamp":"2026-11-23T08:53:46Z",{ids},"trace_flags":1,"resource":{{"attributes":{{}},"schema_url":""}},"event_name":""}}"#
            ))
        };
        let out = log(r#""trace_id":"0x5b8efff798038103d269b633813fc60c","span_id":"0xeee19b7ec3c1b174""#);
        let fragment = &out.fragments[0];
        assert_eq!((fragment.addition, fragment.span.span_id.as_str()), (true, "eee19b7ec3c1b174"));
        assert_eq!((fragment.span.input[0].role.as_str(), fragment.span.input[0].content.as_str()), ("user", "hi"));
        assert_eq!(fragment.span.started_at_ns, Some(1_795_424_026_000_000_000));
        for ids in [r#""trace_id":"0x00000000000000000000000000000000","span_id":"0x0000000000000000""#, r#""trace_id":"","span_id":"""#] {
            let out = log(ids);
            assert_eq!((out.fragments.len(), out.records.skipped), (0, 1), "{ids}");
        }
    }
}
