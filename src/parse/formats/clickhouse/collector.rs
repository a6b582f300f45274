//! Tables of the OpenTelemetry Collector's `ClickHouse` exporter, which `HyperDX` and `ClickStack` use too: `otel_traces` and `otel_logs`.
//!
//! Specification: `exporter/clickhouseexporter` of opentelemetry-collector-contrib: the definitions of its tables (`internal/sqltemplates`) and what it
//! inserts; checked against those of 2023 to 2026. Attributes follow any convention.
//!
//! ```json
//! {"Timestamp": "2026-11-23 08:53:43.443017575", "TraceId": "5b8efff798038103d269b633813fc60c", "SpanId": "eee19b7ec3c1b174", "ParentSpanId": "",
//!  "SpanName": "chat gpt-4o", "SpanKind": "Client", "ServiceName": "support", "ResourceAttributes": {"deployment.environment": "production"},
//!  "ScopeName": "opentelemetry.instrumentation.openai", "SpanAttributes": {"gen_ai.request.model": "gpt-4o"}, "Duration": 1200450,
//!  "StatusCode": "Error", "StatusMessage": "429", "Events.Timestamp": ["2026-11-23 08:53:43.443900000"], "Events.Name": ["exception"],
//!  "Events.Attributes": [{"exception.type": "RateLimitError", "exception.message": "429"}]}
//! ```
//!
//! | column | span |
//! |---|---|
//! | `Timestamp`, `Duration` (nanoseconds) | start, end |
//! | `StatusCode`, `StatusMessage` | status and its message |
//! | `ServiceName`, `ResourceAttributes` | service, environment |
//! | `ScopeName` | instrumentation |
//! | `SpanAttributes` | attributes of the conventions |
//! | `Events.Name`, `Events.Attributes`; `Events` of a table that keeps nested columns | events |
//! | rows of `otel_logs`: `Body`, `EventName`, `LogAttributes` | additions to their span |
//!
//! Quirks of real tables:
//! - Every value of a `Map` is text, a list or an object is JSON text.
//! - With JSON columns (since 2025) `gen_ai.request.model` is `{"gen_ai": {"request": {"model": …}}}`; Parquet and CSV have it as JSON text.
//! - `StatusCode` was `STATUS_CODE_ERROR` until August 2024, and the scope was the attribute `otel.scope.name`, earlier `otel.library.name`.
//! - `SELECT *` of `HyperDX` has `__hdx_materialized_*` columns, which repeat attributes.

use std::borrow::Cow;

use super::{Attribute, fields, id, status};
use crate::parse::formats::otlp::{LogTraceId, RawEvent, RawLog, RawSpan, Resource};
use crate::parse::record::{IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip, json};

/// Parses a row of any of the tables.
pub(super) fn parse_row(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("MetricName") {
        out.skip(Skip::OtherSignal, location)
    } else if record.has("Start") && !record.has("SpanId") {
        out.skip(Skip::OtherEvent, location)
    } else if record.has("Body") || record.has("LogAttributes") {
        parse_log(record, location, out)
    } else {
        parse_span(record, location, out)
    }
}

fn parse_span(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut resource = resource(&mut record);
    let mut attributes = attributes(record.take("SpanAttributes"));
    let scope = record.take_text("ScopeName").or_else(|| scope_attribute(&mut attributes));
    resource.set_scope(&scope.unwrap_or_default());
    let keys = IdentityKeys { trace_id: "TraceId", span_id: "SpanId", start_time: "Timestamp" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let duration = record.take("Duration").as_u64().and_then(|duration| i64::try_from(duration).ok());
    let events = events(&mut record);
    let raw = RawSpan {
        trace_id: id(&Value::Text(Cow::Owned(trace_id))),
        span_id: id(&Value::Text(Cow::Owned(span_id))),
        parent_span_id: id(&record.take("ParentSpanId")),
        name: record.take_text("SpanName").unwrap_or_default(),
        started_at_ns,
        ended_at_ns: duration.map_or(0, |duration| started_at_ns.saturating_add(duration)),
        status: status(&record.take("StatusCode").to_text()),
        status_message: record.take_text("StatusMessage").unwrap_or_default(),
        events,
        attributes,
        unread_fields: 0,
    };
    raw.add_fragment(&resource, location, out)
}

fn parse_log(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let resource = resource(&mut record);
    let raw = RawLog {
        trace_id: id(&record.take("TraceId")).map_or(LogTraceId::Absent, LogTraceId::Valid),
        span_id: id(&record.take("SpanId")),
        event_name: record.take_text("EventName").unwrap_or_default(),
        at_ns: record.take("Timestamp").as_time().unwrap_or_default(),
        body: record.take("Body").into_tree(),
        attributes: attributes(record.take("LogAttributes")),
    };
    raw.add_fragment(&resource, location, out)
}

fn resource(record: &mut Record<'_>) -> Resource {
    let service = record.take_text("ServiceName").map(|name| (Cow::Borrowed("service.name"), Value::Text(Cow::Owned(name))));
    // The column is `service.name` of the resource, but people may leave out either.
    Resource::from_attributes(attributes(record.take("ResourceAttributes")).into_iter().chain(service))
}

/// The scope in an attribute, which older versions of the exporter add. Its version is dropped.
fn scope_attribute(attributes: &mut Vec<Attribute<'_>>) -> Option<String> {
    let mut scope = None;
    attributes.retain_mut(|(key, value)| match key.as_ref() {
        "otel.scope.name" | "otel.library.name" => {
            scope = std::mem::take(value).into_text();
            false
        }
        "otel.scope.version" | "otel.library.version" => false,
        _ => true,
    });
    scope
}

/// The attributes in a cell. A JSON column has an object for each segment of a name.
fn attributes(cell: Value<'_>) -> Vec<Attribute<'_>> {
    let mut found = Vec::new();
    for (key, value) in fields(cell) {
        flatten(key, value, &mut found);
    }
    found
}

fn flatten<'a>(key: Cow<'a, str>, value: Value<'a>, found: &mut Vec<Attribute<'a>>) {
    /// Attributes that are objects themselves.
    const OBJECTS: [&str; 5] =
        ["gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "llm.invocation_parameters", "metadata", "tool.parameters"];
    match value {
        Value::Map(fields) if !OBJECTS.contains(&key.as_ref()) => {
            for (name, value) in fields {
                // Names grow with each level.
                if json::try_charge(key.len() + name.len()) {
                    flatten(Cow::Owned(format!("{key}.{name}")), value, found);
                }
            }
        }
        other => found.push((key, other)),
    }
}

/// The events: one list for each of their fields, or a list of objects.
fn events<'a>(record: &mut Record<'a>) -> Vec<RawEvent<'a>> {
    if let Value::List(events) = record.take("Events").into_tree() {
        return events.into_iter().filter_map(event).collect();
    }
    let names = record.take("Events.Name").into_tree().into_texts();
    let maps = match record.take("Events.Attributes").into_tree() {
        Value::List(maps) => maps,
        _ => Vec::new(),
    };
    let maps = maps.into_iter().map(attributes).chain(std::iter::repeat_with(Vec::new));
    names.into_iter().zip(maps).map(|(name, attributes)| RawEvent { name: Cow::Owned(name), attributes }).collect()
}

/// `{"Timestamp", "Name", "Attributes"}`, which is a tuple in CSV.
fn event(value: Value<'_>) -> Option<RawEvent<'_>> {
    let (name, map) = match value {
        Value::List(items) => {
            let mut items = items.into_iter().skip(1);
            (items.next()?, items.next()?)
        }
        other => {
            let mut event = Record::from_value(other)?;
            (event.take("Name"), event.take("Attributes"))
        }
    };
    Some(RawEvent { name: Cow::Owned(name.into_text().unwrap_or_default()), attributes: attributes(map) })
}

#[cfg(test)]
mod tests {
    use crate::model::{Span, Status};
    use crate::parse::formats::clickhouse::ClickHouse;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""Timestamp":"2026-11-23 08:53:43.443017575","TraceId":"5b8efff798038103d269b633813fc60c","SpanId":"eee19b7ec3c1b174","SpanName":"chat","Duration":1200450"#;

    fn span(rest: &str) -> Span {
        parse_line(&ClickHouse, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn a_row_of_json_each_row_is_read() {
        let out = parse_line(
            &ClickHouse,
            &format!(
                r#"{{{IDS},"ParentSpanId":"","TraceState":"","SpanKind":"Client","ServiceName":"support","ResourceAttributes":{{"deployment.environment":"prod"}},
                "ScopeName":"scope","SpanAttributes":{{"gen_ai.request.model":"m","gen_ai.usage.input_tokens":"12","gen_ai.response.finish_reasons":"[\"stop\"]","tenant":"acme"}},
                "StatusCode":"Error","StatusMessage":"429","Events.Timestamp":["2026-11-23 08:53:43.443900000"],"Events.Name":["exception"],
                "Events.Attributes":[{{"exception.type":"RateLimitError","exception.message":"429"}}],"Links.TraceId":[]}}"#
            ),
        );
        let (fragment, span) = (&out.fragments[0], &out.fragments[0].span);
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("prod")));
        assert_eq!((span.parent_span_id.as_deref(), span.status, span.status_message.as_deref()), (None, Status::Error, Some("429")));
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_795_424_023_443_017_575), Some(1_795_424_023_444_218_025)));
        assert_eq!((span.usage.input, span.finish_reasons.as_slice()), (Some(12), ["stop".to_owned()].as_slice()));
        assert_eq!((span.exceptions[0].kind.as_str(), span.instrumentation.as_deref()), ("RateLimitError", Some("scope")));
        assert_eq!(span.attributes.iter().map(|attribute| attribute.key.as_str()).collect::<Vec<_>>(), ["tenant"]);
    }

    #[test]
    fn the_objects_of_a_json_column_are_flattened() {
        let tool = span(
            r#""SpanAttributes":{"gen_ai":{"operation":{"name":"execute_tool"},"tool":{"name":"f","call":{"arguments":{"city":"Lyon"}}}}},
            "Events":[{"Name":"exception","Attributes":{"exception":{"type":"E","message":"m"}}}]"#,
        );
        assert_eq!(tool.exceptions[0].kind, "E");
        let tool = tool.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str()), ("f", r#"{"city":"Lyon"}"#));
        let call =
            span(r#""SpanAttributes":"{\"llm\":{\"output_messages\":{\"0\":{\"message\":{\"role\":\"assistant\",\"content\":\"hi\"}}}}}""#);
        assert_eq!(call.output[0].content, "hi");
    }

    #[test]
    fn the_notation_of_csv_is_read() {
        let span = span(
            r#""SpanAttributes":"{'gen_ai.request.model':'m','note':'it\\'s\\n'}","Events.Name":"['exception']",
            "Events.Attributes":"[{'exception.type':'E','exception.message':'line\\nnext'}]","StatusCode":"STATUS_CODE_ERROR""#,
        );
        assert_eq!((span.model.as_deref(), span.attribute("note"), span.status), (Some("m"), Some("it's\n"), Status::Error));
        assert_eq!(span.exceptions[0].message, "line\nnext");
        let nested = self::span(r#""Events":"[('2026-11-23 08:53:43.443900000','exception',{'exception.type':'E'})]""#);
        assert_eq!(nested.exceptions[0].kind, "E");
    }

    #[test]
    fn the_scope_of_older_tables_is_an_attribute() {
        let span = span(r#""SpanAttributes":{"otel.scope.name":"scope","otel.scope.version":"1"}"#);
        assert_eq!((span.instrumentation.as_deref(), span.attributes.len()), (Some("scope"), 0));
    }

    #[test]
    fn logs_join_their_span_and_other_tables_are_skipped() {
        let log = r#"{"Timestamp":"2026-11-23 08:53:43.443017575","TraceId":"5B8efff798038103d269b633813fc60c","SpanId":"eee19b7ec3c1b174","SeverityText":"ERROR","ServiceName":"support",
            "Body":"{\"content\":\"hi\"}","EventName":"gen_ai.user.message","LogAttributes":{"exception.type":"E","exception.message":"m"}}"#;
        let out = parse_line(&ClickHouse, log);
        let fragment = &out.fragments[0];
        assert_eq!((fragment.addition, fragment.trace_id.as_str()), (true, "5b8efff798038103d269b633813fc60c"));
        assert_eq!((fragment.span.input[0].content.as_str(), fragment.span.exceptions[0].kind.as_str()), ("hi", "E"));
        for other in [
            r#"{"TraceId":"","SeverityText":"INFO","Body":"started"}"#,
            r#"{"MetricName":"m","MetricUnit":"s","ResourceAttributes":{}}"#,
            r#"{"TraceId":"5b8efff798038103d269b633813fc60c","Start":"2026-11-23 08:53:43","End":"2026-11-23 08:53:43"}"#,
        ] {
            let out = parse_line(&ClickHouse, other);
            assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1), "{other}");
        }
    }
}
