//! Rows of Logfire's `records` table, as its query API returns them (JSON of both versions, NDJSON, CSV, Arrow saved as Parquet).
//!
//! Specification: <https://logfire.pydantic.dev/docs/reference/sql/>, <https://logfire.pydantic.dev/docs/how-to-guides/query-api/> of August 2026, and
//! `logfire.query_client` 4.14 and 5.4. Logfire is a hosted service, so whole rows were not checked against it; the attributes are those of the SDK, see
//! the convention `logfire`.
//!
//! ```json
//! {"kind": "span", "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174", "parent_span_id": null, "span_name": "chat gpt-4o",
//!  "message": "chat gpt-4o", "level": 17, "start_timestamp": "2026-11-23T08:53:43.443017Z", "end_timestamp": "2026-11-23T08:53:44.643017Z",
//!  "is_exception": true, "exception_type": "openai.RateLimitError", "exception_message": "429", "exception_stacktrace": "Traceback …",
//!  "otel_status_code": "ERROR", "otel_status_message": "RateLimitError: 429", "otel_scope_name": "pydantic-ai", "service_name": "support",
//!  "attributes": {"gen_ai.request.model": "gpt-4o", "model_request_parameters": {"function_tools": []}}, "otel_events": [], "tags": ["vip"]}
//! ```
//!
//! | column | span |
//! |---|---|
//! | `span_name`, `start_timestamp`, `end_timestamp` or `duration` (seconds) | name, start, end |
//! | `otel_status_code`, `otel_status_message` | status and its message |
//! | `otel_events`, or `exception_type`, `exception_message`, `exception_stacktrace` | exceptions and messages |
//! | `attributes`; `message` and `level`, which the SDK sends as `logfire.msg` and `logfire.level_num` | attributes of the conventions |
//! | `service_name`, `deployment_environment`, or `otel_resource_attributes` | service, environment |
//! | `otel_scope_name` | instrumentation |
//!
//! A row of kind `log` is a span without a duration. One whose `log_body` is an object is an event of OpenTelemetry, such as `gen_ai.user.message`, which
//! joins its parent. A `pending_span` is the start of a span with the same id, so it counts only if the span never ended. A `span_event` repeats an item
//! of `otel_events` and is skipped.
//!
//! Quirks:
//! - `attributes` are JSON, decoded from the JSON text that the SDK sends; CSV and Arrow have the whole column as JSON text. Rows that pandas wrote to
//!   CSV have Python's `repr`.
//! - `level` is a number, or a word if the query says `level_name(level)`.
//! - Version 1 of the API may have one list of values per column; its other responses, and those of version 2, have rows.
//! - A query chooses its columns, so any of them may be missing.

use std::borrow::Cow;

use super::otlp::{LogTraceId, RawEvent, RawLog, RawSpan, Resource, nonzero_id};
use crate::model::RejectionKind;
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::span_fields;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of Logfire's rows; see the [module docs](self).
pub(super) struct Logfire;

type Attribute<'a> = (Cow<'a, str>, Value<'a>);

/// Columns that repeat others, or describe Logfire's own database.
const REPEATED: [&str; 25] = [
    "attributes_json_schema",
    "attributes_reduced",
    "created_at",
    "day",
    "duration",
    "http_method",
    "http_response_status_code",
    "http_route",
    "is_exception",
    "otel_links",
    "otel_resource_attributes_reduced",
    "otel_scope_attributes",
    "otel_scope_version",
    "process_pid",
    "project_id",
    "service_instance_id",
    "service_namespace",
    "service_version",
    "telemetry_sdk_language",
    "telemetry_sdk_name",
    "telemetry_sdk_version",
    "url_full",
    "url_path",
    "url_query",
    "log_body",
];

impl Format for Logfire {
    fn name(&self) -> &'static str {
        "logfire"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["trace_id", "span_name", "start_timestamp"]),
                Signature::unique(&["trace_id", "span_id", "start_timestamp", "otel_scope_name"]),
                Signature::unique(&["trace_id", "attributes", "start_timestamp", "otel_resource_attributes"]),
                // A response of version 1 of the API, by columns.
                Signature::common(&["columns"]),
                // The first and the last line of NDJSON.
                Signature::common(&["type", "schema"]),
                Signature::common(&["type", "row_count"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("trace_id") {
            return parse_row(record, location, out);
        }
        if matches!(record.take("type").as_str(), Some("schema" | "explain" | "end")) {
            return out.skip(Skip::Empty, location);
        }
        // The other responses have only rows, which are read like those of any API.
        if let Value::List(rows) = record.take("rows") {
            return record::parse_each(rows, location, out, parse_row);
        }
        match columns(record.take("columns")) {
            Some((names, columns)) => record::parse_each(transpose(&names, columns), location, out, parse_row),
            None => out.reject(
                location,
                RejectionKind::MissingId,
                format!("cannot read {location}: trace_id is missing\n  hint: include trace_id, span_id, span_name and start_timestamp in the query"),
            ),
        }
    }
}

/// The names and the values of `[{"name", "values": […]}]`; `None` if the value is something else.
fn columns(columns: Value<'_>) -> Option<(Vec<String>, Vec<Vec<Value<'_>>>)> {
    let Value::List(columns) = columns else { return None };
    let column = |column| {
        let mut column = Record::from_value(column)?;
        let Value::List(values) = column.take("values") else { return None };
        Some((column.take_text("name")?, values))
    };
    columns.into_iter().map(column).collect()
}

/// The rows of columns.
fn transpose<'c>(names: &'c [String], columns: Vec<Vec<Value<'c>>>) -> Vec<Value<'c>> {
    let mut rows: Vec<Vec<Attribute<'c>>> = Vec::new();
    for (name, values) in names.iter().zip(columns) {
        for (index, value) in values.into_iter().enumerate() {
            if index == rows.len() {
                rows.push(Vec::new());
            }
            if let Some(row) = rows.get_mut(index).filter(|_| !value.is_null()) {
                row.push((Cow::Borrowed(name.as_str()), value));
            }
        }
    }
    rows.into_iter().map(Value::Map).collect()
}

fn parse_row(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = record.take_text("kind").unwrap_or_default();
    if kind == "span_event" {
        return out.skip(Skip::OtherEvent, location);
    }
    let resource = resource(&mut record);
    let parent_span_id = id(&record.take("parent_span_id"));
    let exception = exception(&mut record);
    let mut attributes = attributes(record.take("attributes").into_tree());
    let name = record.take_text("span_name").unwrap_or_default();
    let body = record.take_tree("log_body");
    // A body that is text is the message.
    if kind == "log" && (matches!(body, Value::Map(_) | Value::List(_)) || name.starts_with("gen_ai.")) {
        attributes.extend(exception);
        let trace_id = id(&record.take("trace_id")).map_or(LogTraceId::Absent, LogTraceId::Valid);
        let at_ns = record.take("start_timestamp").as_time().unwrap_or_default();
        let log = RawLog { trace_id, span_id: parent_span_id, event_name: name, at_ns, body, attributes };
        return log.add_fragment(&resource, location, out);
    }
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "span_id", start_time: "start_timestamp" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let ended_at_ns = end(&mut record, started_at_ns);
    let level = level(&record.take("level"));
    let mut logged = |key, value: Value<'_>| {
        if !value.is_null() {
            attributes.push((Cow::Borrowed(key), value.into_owned()));
        }
    };
    logged("logfire.msg", record.take("message"));
    logged("logfire.level_num", level.map_or(Value::Null, Value::Int));
    logged("logfire.tags", record.take("tags").into_tree());
    let mut events = events(record.take("otel_events").into_tree());
    if !exception.is_empty() && !events.iter().any(|event| event.name == "exception") {
        events.push(RawEvent { name: Cow::Borrowed("exception"), attributes: exception });
    }
    let (status, message) = (record.take("otel_status_code").to_text(), record.take_text("otel_status_message"));
    record.discard(&REPEATED);
    attributes.extend(record.into_fields().filter(|(key, value)| !key.starts_with("_lf_") && !value.is_empty()));
    let raw = RawSpan {
        trace_id: nonzero_id(trace_id.to_ascii_lowercase()),
        span_id: nonzero_id(span_id.to_ascii_lowercase()),
        parent_span_id,
        name,
        started_at_ns,
        ended_at_ns: if kind == "pending_span" { 0 } else { ended_at_ns },
        status: span_fields::status(&status),
        status_message: message.unwrap_or_default(),
        events,
        attributes,
        unread_fields: 0,
    };
    raw.add_fragment(&resource, location, out)
}

fn id(value: &Value<'_>) -> Option<String> {
    value.as_id().and_then(|id| nonzero_id(id.to_ascii_lowercase()))
}

fn resource(record: &mut Record<'_>) -> Resource {
    let of_column = |name: &'static str, value: Value<'_>| (!value.is_empty()).then(|| (Cow::Borrowed(name), value.into_owned()));
    let columns = [
        of_column("service.version", record.take("service_version")),
        of_column("service.instance.id", record.take("service_instance_id")),
        of_column("service.namespace", record.take("service_namespace")),
        of_column("logfire.project.id", record.take("project_id")),
        of_column("service.name", record.take("service_name")),
        of_column("deployment.environment.name", record.take("deployment_environment")),
    ];
    let attributes = match record.take("otel_resource_attributes").into_tree() {
        Value::Map(fields) => fields,
        _ => Vec::new(),
    };
    let mut resource = Resource::from_attributes(attributes.into_iter().chain(columns.into_iter().flatten()));
    resource.set_scope(&record.take_text("otel_scope_name").unwrap_or_default());
    resource
}

/// The end in nanoseconds; 0 if there is none.
#[expect(clippy::cast_possible_truncation, reason = "a duration in nanoseconds saturates")]
fn end(record: &mut Record<'_>, started_at_ns: i64) -> i64 {
    let duration = record.take("duration").as_f64();
    let end = record.take("end_timestamp").as_time();
    end.or_else(|| duration.map(|seconds| started_at_ns.saturating_add((seconds * 1e9) as i64))).unwrap_or_default()
}

/// The attributes of an `exception` event, from the columns that repeat them.
fn exception<'a>(record: &mut Record<'a>) -> Vec<Attribute<'a>> {
    let columns = [
        ("exception_type", "exception.type"),
        ("exception_message", "exception.message"),
        ("exception_stacktrace", "exception.stacktrace"),
    ];
    let found = columns.map(|(column, name)| (Cow::Borrowed(name), record.take(column)));
    found.into_iter().filter(|(_, value)| !value.is_empty()).collect()
}

/// The attributes as the SDK sends them.
fn attributes(map: Value<'_>) -> Vec<Attribute<'_>> {
    match map {
        Value::Map(fields) => fields.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key, as_sent(value))).collect(),
        _ => Vec::new(),
    }
}

/// An object, or a list of them, as JSON text; other values unchanged.
fn as_sent(value: Value<'_>) -> Value<'_> {
    let is_nested = match &value {
        Value::Map(_) => true,
        Value::List(items) => items.iter().any(|item| matches!(item, Value::Map(_) | Value::List(_))),
        _ => false,
    };
    if is_nested { Value::Text(Cow::Owned(value.to_text())) } else { value }
}

/// `[{"event_name", "attributes"}]`.
fn events(list: Value<'_>) -> Vec<RawEvent<'_>> {
    let Value::List(items) = list else { return Vec::new() };
    let event = |item| {
        let mut item = Record::from_value(item)?;
        let name = item.take_text("event_name").or_else(|| item.take_text("name"))?;
        Some(RawEvent { name: Cow::Owned(name), attributes: attributes(item.take("attributes").into_tree()) })
    };
    items.into_iter().filter_map(event).collect()
}

/// The number of a level, which may be its name.
fn level(value: &Value<'_>) -> Option<i64> {
    match value.as_str().map(str::to_ascii_lowercase).as_deref() {
        Some("trace") => Some(1),
        Some("debug") => Some(5),
        Some("info") => Some(9),
        Some("notice") => Some(10),
        Some("warn" | "warning") => Some(13),
        Some("error") => Some(17),
        Some("fatal") => Some(21),
        _ => value.as_u64().and_then(|level| i64::try_from(level).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, SpanKind, Status};
    use crate::parse::ParsedChunk;
    use crate::parse::tests::parse_line;

    const IDS: &str =
        r#""trace_id":"019b38289f5dfbf64cd7de68d37c6a04","span_id":"eee19b7ec3c1b174","start_timestamp":"2026-11-23T08:53:43.443017Z""#;

    fn span(rest: &str) -> Span {
        parse_line(&Logfire, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    fn names(out: &ParsedChunk) -> Vec<&str> {
        out.fragments.iter().map(|fragment| fragment.span.name.as_str()).collect()
    }

    #[test]
    fn a_row_of_a_span_is_read() {
        let out = parse_line(
            &Logfire,
            &format!(
                r#"{{{IDS},"kind":"span","parent_span_id":null,"span_name":"chat m","message":"chat m","level":17,"end_timestamp":"2026-11-23T08:53:44.443017Z","duration":1.0,
                "is_exception":true,"exception_type":"openai.RateLimitError","exception_message":"429","exception_stacktrace":"Traceback","otel_status_code":"ERROR",
                "otel_status_message":"RateLimitError: 429","otel_scope_name":"pydantic-ai","service_name":"support","otel_resource_attributes":{{"deployment.environment":"prod"}},
                "attributes":{{"gen_ai.operation.name":"chat","gen_ai.request.model":"m","gen_ai.input.messages":[{{"role":"user","parts":[{{"type":"text","content":"hi"}}]}}],
                "gen_ai.response.finish_reasons":["stop"],"tenant":"acme"}},"otel_events":[],"tags":["vip"],"_lf_x":1,"day":"2026-11-23"}}"#
            ),
        );
        let (fragment, span) = (&out.fragments[0], &out.fragments[0].span);
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("prod")));
        assert_eq!((span.kind, span.status, span.model.as_deref()), (SpanKind::Llm, Status::Error, Some("m")));
        assert_eq!((span.input[0].content.as_str(), span.finish_reasons[0].as_str()), ("hi", "stop"));
        assert_eq!((span.exceptions.len(), span.exceptions[0].kind.as_str()), (1, "openai.RateLimitError"));
        assert_eq!(
            (span.instrumentation.as_deref(), span.attribute("logfire.tags"), span.attribute("day")),
            (Some("pydantic-ai"), Some("[\"vip\"]"), None)
        );
    }

    #[test]
    fn an_exception_counts_once_and_is_read_from_either_place() {
        let event =
            r#""otel_events":"[{\"event_name\":\"exception\",\"attributes\":{\"exception.type\":\"E\",\"exception.message\":\"m\"}}]""#;
        let columns = r#""exception_type":"E","exception_message":"m""#;
        for row in [event.to_owned(), columns.to_owned(), format!("{event},{columns}")] {
            assert_eq!(span(&row).exceptions.iter().map(|exception| exception.kind.as_str()).collect::<Vec<_>>(), ["E"], "{row}");
        }
    }

    #[test]
    fn a_log_is_a_step_and_fails_by_its_level() {
        let log = span(
            r#""kind":"log","span_name":"no order {id}","message":"no order 17","level":"error","end_timestamp":"2026-11-23T08:53:43.443017Z","attributes":"{\"id\":17}""#,
        );
        assert_eq!((log.status, log.status_message.as_deref(), log.attribute("id")), (Status::Error, Some("no order 17"), Some("17")));
        assert_eq!(log.ended_at_ns, log.started_at_ns);
        assert_eq!(span(r#""attributes":"{'id': 17, 'ok': None}""#).attribute("id"), Some("17"));
        let record = span(r#""kind":"log","span_name":"full","message":"the queue is full","log_body":"the queue is full","level":17"#);
        assert_eq!((record.status, record.status_message.as_deref()), (Status::Error, Some("the queue is full")));
    }

    #[test]
    fn an_event_of_opentelemetry_joins_its_parent() {
        let out = parse_line(
            &Logfire,
            &format!(
                r#"{{{IDS},"kind":"log","parent_span_id":"aaa19b7ec3c1b174","span_name":"gen_ai.user.message","log_body":"{{\"content\":\"hi\"}}","exception_type":"E"}}"#
            ),
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.addition, fragment.span.span_id.as_str()), (true, "aaa19b7ec3c1b174"));
        assert_eq!((fragment.span.input[0].content.as_str(), fragment.span.exceptions[0].kind.as_str()), ("hi", "E"));
    }

    #[test]
    fn a_pending_span_has_not_ended_and_an_event_is_not_a_span() {
        assert_eq!(span(r#""kind":"pending_span","end_timestamp":"2026-11-23T08:53:43.443017Z""#).ended_at_ns, None);
        let out = parse_line(&Logfire, &format!("{{{IDS},\"kind\":\"span_event\"}}"));
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }

    #[test]
    fn every_response_of_the_api_has_rows() {
        let row = |name: &str| format!("{{{IDS},\"span_name\":\"{name}\"}}");
        let (a, b) = (row("a"), row("b"));
        for response in [
            format!(r#"{{"columns":[{{"name":"trace_id","datatype":"Utf8","nullable":true}}],"rows":[{a},{b}]}}"#),
            format!(r#"{{"schema":{{"fields":[{{"name":"trace_id"}}]}},"data":[{a},{b}]}}"#),
            format!(r#"{{"type":"data","rows":[{a},{b}]}}"#),
            r#"{"columns":[{"name":"trace_id","datatype":"Utf8","nullable":true,"values":["t","t"]},{"name":"span_id","values":["1","2"]},{"name":"span_name","values":["a","b"]},
            {"name":"parent_span_id","values":[null,"1"]},{"name":"start_timestamp","values":["2026-11-23T08:53:43Z","2026-11-23T08:53:44Z"]}]}"#
                .to_owned(),
        ] {
            assert_eq!(names(&parse_line(&Logfire, &response)), ["a", "b"], "{response}");
        }
        for line in [r#"{"type":"schema","schema":{"fields":[]}}"#, r#"{"type":"end","row_count":2}"#] {
            assert_eq!(parse_line(&Logfire, line).skipped.len(), 1, "{line}");
        }
        assert_eq!(parse_line(&Logfire, r#"{"columns":["a"]}"#).rejections.len(), 1);
        assert_eq!(
            parse_line(&Logfire, r#"{"trace_id":"t","span_name":"a","start_timestamp":"2026-11-23T08:53:43Z"}"#).rejections.len(),
            1
        );
    }
}
