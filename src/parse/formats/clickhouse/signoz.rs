//! `SigNoz`'s table of spans: `signoz_traces.signoz_index_v3`.
//!
//! Specification: the migrations of signoz-otel-collector (`cmd/signozschemamigrator/schema_migrator/traces_migrations.go`) and its
//! `exporter/clickhousetracesexporter`, of August 2026.
//!
//! ```json
//! {"timestamp": "2026-11-23 08:53:43.443017575", "trace_id": "5b8efff798038103d269b633813fc60c", "span_id": "eee19b7ec3c1b174", "parent_span_id": "",
//!  "name": "chat gpt-4o", "kind_string": "Client", "duration_nano": 1200450, "status_code_string": "Error", "status_message": "429",
//!  "attributes_string": {"gen_ai.request.model": "gpt-4o"}, "attributes_number": {"gen_ai.usage.input_tokens": 12}, "attributes_bool": {},
//!  "resources_string": {"service.name": "support"},
//!  "events": ["{\"name\":\"exception\",\"timeUnixNano\":1795424023443900000,\"attributeMap\":{\"exception.type\":\"RateLimitError\"}}"]}
//! ```
//!
//! Quirks:
//! - Attributes have one map for each type; a list or an object is JSON text.
//! - An event is JSON text, all of whose attributes are text.
//! - The other columns (`http_url`, `has_error`, `resource_string_service$$name` …) repeat attributes.

use std::borrow::Cow;

use super::{fields, id, status};
use crate::parse::formats::otlp::{RawEvent, RawSpan, Resource};
use crate::parse::record::{IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation};

/// Parses a row.
pub(super) fn parse_span(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut resource = Resource::from_attributes(fields(record.take("resources_string")));
    resource.set_scope(&record.take_text("scope_name").unwrap_or_default());
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "span_id", start_time: "timestamp" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let duration = record.take("duration_nano").as_u64().and_then(|duration| i64::try_from(duration).ok());
    let attributes = ["attributes_string", "attributes_number", "attributes_bool"].map(|column| fields(record.take(column)));
    let events = match record.take("events").into_tree() {
        Value::List(events) => events.into_iter().filter_map(event).collect(),
        _ => Vec::new(),
    };
    let raw = RawSpan {
        trace_id: id(&Value::Text(Cow::Owned(trace_id))),
        span_id: id(&Value::Text(Cow::Owned(span_id))),
        parent_span_id: id(&record.take("parent_span_id")),
        name: record.take_text("name").unwrap_or_default(),
        started_at_ns,
        ended_at_ns: duration.map_or(0, |duration| started_at_ns.saturating_add(duration)),
        status: status(&record.take("status_code_string").to_text()),
        status_message: record.take_text("status_message").unwrap_or_default(),
        events,
        attributes: attributes.into_iter().flatten().collect(),
        unread_fields: 0,
    };
    raw.add_fragment(&resource, location, out)
}

/// `{"name", "attributeMap"}`.
fn event(cell: Value<'_>) -> Option<RawEvent<'_>> {
    let mut event = Record::from_value(cell.into_tree())?;
    Some(RawEvent { name: Cow::Owned(event.take_text("name").unwrap_or_default()), attributes: fields(event.take("attributeMap")) })
}

#[cfg(test)]
mod tests {
    use crate::model::Status;
    use crate::parse::formats::clickhouse::ClickHouse;
    use crate::parse::tests::parse_line;

    #[test]
    fn a_row_is_read() {
        let out = parse_line(
            &ClickHouse,
            r#"{"timestamp":"2026-11-23 08:53:43.443017575","trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","parent_span_id":"","name":"chat","duration_nano":1200450,
            "status_code_string":"Error","status_message":"429","attributes_string":{"gen_ai.request.model":"m"},"attributes_number":{"gen_ai.usage.input_tokens":12.0},"attributes_bool":{"cached":true},
            "resources_string":{"service.name":"support","deployment.environment":"prod"},"events":["{\"name\":\"exception\",\"attributeMap\":{\"exception.type\":\"E\",\"exception.message\":\"m\"}}"],"has_error":true}"#,
        );
        let (fragment, span) = (&out.fragments[0], &out.fragments[0].span);
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("prod")));
        assert_eq!((span.status, span.model.as_deref(), span.usage.input), (Status::Error, Some("m"), Some(12)));
        assert_eq!((span.exceptions[0].kind.as_str(), span.attribute("cached")), ("E", Some("true")));
        assert_eq!(span.ended_at_ns, Some(1_795_424_023_444_218_025));
    }
}
