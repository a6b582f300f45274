//! Jaeger: traces of its query API and of the UI's download, spans as it stores them in Elasticsearch and `OpenSearch`, and spans as the Collector
//! writes them to Kafka (`jaeger_json`).
//!
//! Specification: <https://www.jaegertracing.io/docs/latest/architecture/apis/> and the sources of Jaeger: `internal/uimodel`,
//! `internal/storage/v2/elasticsearch/tracestore`, `jaeger-idl/proto/api_v2/model.proto`; checked against August 2026 (after 2.20).
//!
//! ```json
//! {"traceID": "5b8efff798038103d269b633813fc60c", "spans": [{"traceID": "5b8efff798038103d269b633813fc60c", "spanID": "eee19b7ec3c1b174",
//!   "operationName": "chat gpt-4o", "references": [{"refType": "CHILD_OF", "traceID": "5b8e…", "spanID": "eee1…"}],
//!   "startTime": 1795424023443017, "duration": 1200, "processID": "p1", "warnings": null,
//!   "tags": [{"key": "gen_ai.request.model", "type": "string", "value": "gpt-4o"}, {"key": "error", "type": "bool", "value": true}],
//!   "logs": [{"timestamp": 1795424023443900, "fields": [{"key": "event", "type": "string", "value": "exception"}]}]}],
//!  "processes": {"p1": {"serviceName": "support", "tags": []}}, "warnings": null}
//! ```
//!
//! | Jaeger | span |
//! |---|---|
//! | `parentSpanID`, or the first reference to a span of the same trace, `CHILD_OF` before `FOLLOWS_FROM` | parent |
//! | `startTime`, `duration`, in microseconds | start, end |
//! | `error` as a boolean, `otel.status_code`, `otel.status_description` | status and its message |
//! | `otel.scope.name`, before 1.39 `otel.library.name` | instrumentation |
//! | other `tags` | attributes of the conventions |
//! | `logs`, named by their field `event` | events |
//! | `process` or the entry of `processes`: `serviceName`, `deployment.environment` | service, environment |
//!
//! Quirks of real files:
//! - A list or an object is JSON text, because tags have no such type.
//! - Ids have no leading zeros before 1.16; 64-bit trace ids of the Jaeger clients have 16 digits.
//! - Elasticsearch has all values as text (before 2.0), the process in the span, and with `tags-as-fields` a map `tag`, whose names have `@` instead of
//!   dots. The indices `jaeger-service-*` have documents of two names, which are skipped.
//! - An event of OpenTelemetry whose attribute is named `event` loses its name.
//! - `jaeger_json` has ids in base64, times as text, and typed fields: `{"key": "error", "vType": "BOOL", "vBool": true}`.

use std::borrow::Cow;
use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::otlp::{RawEvent, RawSpan, Resource};
use crate::model::{RejectionKind, Status};
use crate::parse::record::{self, Record};
use crate::parse::span_fields;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of Jaeger; see the [module docs](self).
pub(super) struct Jaeger;

type Attribute<'a> = (Cow<'a, str>, Value<'a>);

impl Format for Jaeger {
    fn name(&self) -> &'static str {
        "jaeger"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A trace of the query API.
                Signature::unique(&["traceID", "spans", "processes"]),
                // A span of it, or of Elasticsearch.
                Signature::unique(&["traceID", "spanID", "operationName"]),
                // A span of `jaeger_json`.
                Signature::unique(&["traceId", "spanId", "operationName", "process"]),
                // A document of `jaeger-service-*`.
                Signature::common(&["serviceName", "operationName"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("serviceName") && !record.has("startTime") {
            return out.skip(Skip::OtherEvent, location);
        }
        if !record.has("spans") {
            return parse_span(record, &HashMap::new(), location, out);
        }
        let processes = match record.take("processes") {
            Value::Map(processes) => processes.into_iter().map(|(id, process)| (id.into_owned(), resource(process))).collect(),
            _ => HashMap::new(),
        };
        let spans = record.take("spans");
        record::parse_each_span(spans, location, out, |span, location, out| parse_span(span, &processes, location, out))
    }
}

/// What a process says about its spans.
fn resource(process: Value<'_>) -> Resource {
    /// What Jaeger writes for a resource without `service.name`.
    const NO_SERVICE: &str = "OTLPResourceNoServiceName";
    let Some(mut process) = Record::from_value(process) else { return Resource::default() };
    let name = process.take_text("serviceName").filter(|name| name != NO_SERVICE);
    let mut attributes = tags(&mut process).attributes;
    attributes.extend(name.map(|name| (Cow::Borrowed("service.name"), Value::Text(Cow::Owned(name)))));
    Resource::from_attributes(attributes)
}

/// Parses a span. `processes` are those of its trace; a stored span has its own.
fn parse_span(
    mut record: Record<'_>,
    processes: &HashMap<String, Resource>,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
) -> Accounted {
    let own = record.take("process");
    let process_id = first(&mut record, &["processID", "processId"]);
    let shared = process_id.as_str().and_then(|id| processes.get(id)).filter(|_| own.is_null());
    let mut resource = shared.map_or_else(|| resource(own), Resource::clone);
    let trace_id = id(&first(&mut record, &["traceID", "traceId"]));
    let span_id = id(&first(&mut record, &["spanID", "spanId"]));
    let references = record.take("references");
    let parent_span_id = id(&first(&mut record, &["parentSpanID", "parentSpanId"])).or_else(|| parent(&references, trace_id.as_deref()));
    let started_at_ns = start(&mut record);
    let missing = [("traceID", trace_id.is_none()), ("spanID", span_id.is_none()), ("startTime", started_at_ns <= 0)];
    if let Some((key, _)) = missing.into_iter().find(|(_, is_missing)| *is_missing) {
        let kind = if key == "startTime" { RejectionKind::MissingTime } else { RejectionKind::MissingId };
        let reason = format!(
            "cannot read {location}: {key} is missing or invalid\n  hint: ids are in hexadecimal digits, startTime is in microseconds since 1970"
        );
        return out.reject(location, kind, reason);
    }
    let duration_ns = duration(&record.take("duration"));
    let mut tags = tags(&mut record);
    let status = Outcome::take(&mut tags.attributes);
    if let Some(scope) = &status.scope {
        resource.set_scope(scope);
    }
    let mut unread_fields = tags.unread_fields;
    let events = events(record.take("logs"), &mut unread_fields);
    let name = record.take_text("operationName").unwrap_or_default();
    record.discard(&["flags", "startTimeMillis", "@timestamp", "type"]);
    let raw = RawSpan {
        parent_span_id: parent_span_id.filter(|parent| Some(parent) != span_id.as_ref()),
        trace_id,
        span_id,
        name,
        started_at_ns,
        ended_at_ns: duration_ns.map_or(0, |duration| started_at_ns.saturating_add(duration)),
        status: status.status,
        status_message: status.message,
        events,
        attributes: tags.attributes.into_iter().chain(record.into_fields().filter(|(_, value)| !value.is_empty())).collect(),
        unread_fields,
    };
    raw.add_fragment(&resource, location, out)
}

/// The first of several fields that is present; null if there is none.
fn first<'a>(record: &mut Record<'a>, keys: &[&str]) -> Value<'a> {
    keys.iter().map(|key| record.take(key)).find(|value| !value.is_null()).unwrap_or_default()
}

/// An id in hexadecimal digits, with the leading zeros that older versions omit, or in base64; `None` if it is neither, or zero.
fn id(value: &Value<'_>) -> Option<String> {
    let text = value.as_id()?;
    let is_hex = text.len() <= 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let hex = if is_hex {
        let digits = if text.len() <= 16 { 16 } else { 32 };
        format!("{:0>digits$}", text.to_ascii_lowercase())
    } else {
        crate::model::hex(&STANDARD.decode(text).ok().filter(|bytes| matches!(bytes.len(), 8 | 16))?)
    };
    super::otlp::nonzero_id(hex)
}

/// The span that this one continues: the first reference to a span of the same trace, `CHILD_OF` before `FOLLOWS_FROM`.
fn parent(references: &Value<'_>, trace_id: Option<&str>) -> Option<String> {
    let follows = |reference: &Value<'_>| matches!(reference.get("refType").as_str(), Some("FOLLOWS_FROM"));
    let in_trace = || references.items().iter().filter(|reference| id(reference.first(&["traceID", "traceId"])).as_deref() == trace_id);
    let found = in_trace().find(|reference| !follows(reference)).or_else(|| in_trace().next());
    id(found?.first(&["spanID", "spanId"]))
}

/// The start in nanoseconds, from microseconds, or from text in `jaeger_json`; 0 if there is none.
fn start(record: &mut Record<'_>) -> i64 {
    match record.take("startTime") {
        Value::Int(us) => us.checked_mul(1_000),
        Value::Text(text) => match text.parse::<i64>() {
            Ok(us) => us.checked_mul(1_000),
            Err(_) => Value::Text(text).as_time(),
        },
        other => other.as_time(),
    }
    .or_else(|| record.take("startTimeMillis").as_time())
    .unwrap_or_default()
}

/// The duration in nanoseconds, from microseconds, or from text in `jaeger_json`: `0.002119s`.
fn duration(value: &Value<'_>) -> Option<i64> {
    if let Some(us) = value.as_u64() {
        return i64::try_from(us).ok()?.checked_mul(1_000);
    }
    let (seconds, fraction) = value.as_str()?.strip_suffix('s').map(|text| text.split_once('.').unwrap_or((text, "")))?;
    let nanoseconds: i64 = format!("{fraction:0<9}").get(..9)?.parse().ok()?;
    seconds.parse::<i64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

#[derive(Default)]
struct Tags<'a> {
    attributes: Vec<Attribute<'a>>,
    unread_fields: u32,
}

/// The tags of a span or a process: a list, and in Elasticsearch also a map whose names have `@` instead of dots.
fn tags<'a>(record: &mut Record<'a>) -> Tags<'a> {
    let mut tags = Tags::default();
    tags.attributes = key_values(record.take("tags"), &mut tags.unread_fields);
    if let Value::Map(fields) = record.take("tag") {
        tags.attributes.extend(fields.into_iter().map(|(key, value)| (Cow::Owned(key.replace('@', ".")), value)));
    }
    tags
}

fn key_values<'a>(list: Value<'a>, unread_fields: &mut u32) -> Vec<Attribute<'a>> {
    let Value::List(items) = list else {
        *unread_fields += u32::from(!list.is_empty());
        return Vec::new();
    };
    let count = items.len();
    let found: Vec<_> = items.into_iter().filter_map(key_value).collect();
    *unread_fields += u32::try_from(count - found.len()).unwrap_or(u32::MAX);
    found
}

/// `{"key", "type", "value"}`, or `{"key", "vType", "vStr"}` of `jaeger_json`. Elasticsearch has values as text, so the type decides.
fn key_value(item: Value<'_>) -> Option<Attribute<'_>> {
    let mut item = Record::from_value(item)?;
    let Value::Text(key) = item.take("key") else { return None };
    let kind = item.take_text("type").unwrap_or_default();
    let value = first(&mut item, &["value", "vStr", "vBool", "vInt64", "vFloat64", "vBinary"]);
    let value = match (kind.as_str(), value) {
        ("bool", Value::Text(text)) => text.parse().map_or(Value::Text(text), Value::Bool),
        ("int64", Value::Text(text)) => text.parse().map_or(Value::Text(text), Value::Int),
        ("float64", Value::Text(text)) => text.parse().map_or(Value::Text(text), Value::Double),
        (_, value) => value,
    };
    Some((key, value))
}

/// The parts of an OpenTelemetry span that Jaeger keeps as tags.
#[derive(Default)]
struct Outcome {
    status: Status,
    message: String,
    scope: Option<String>,
}

impl Outcome {
    fn take(tags: &mut Vec<Attribute<'_>>) -> Self {
        let mut outcome = Self::default();
        tags.retain_mut(|(key, value)| match key.as_ref() {
            "error" => match as_bool(value) {
                Some(true) => {
                    outcome.status = Status::Error;
                    false
                }
                Some(false) => false,
                // The error itself, as clients of OpenTracing write it.
                None => true,
            },
            "otel.status_code" => {
                if outcome.status != Status::Error {
                    outcome.status = span_fields::status(value.as_str().unwrap_or_default());
                }
                false
            }
            "otel.status_description" => {
                outcome.message = std::mem::take(value).into_text().unwrap_or_default();
                false
            }
            "otel.scope.name" | "otel.library.name" => {
                outcome.scope = outcome.scope.take().or_else(|| std::mem::take(value).into_text());
                false
            }
            "otel.scope.version" | "otel.library.version" | "span.kind" | "internal.span.format" | "w3c.tracestate" => false,
            _ => true,
        });
        outcome
    }
}

fn as_bool(value: &Value<'_>) -> Option<bool> {
    match value {
        Value::Bool(value) => Some(*value),
        other => other.as_str()?.parse().ok(),
    }
}

/// Logs as events. One without a name is an exception if its fields say so.
fn events<'a>(logs: Value<'a>, unread_fields: &mut u32) -> Vec<RawEvent<'a>> {
    let Value::List(logs) = logs else { return Vec::new() };
    let event = |log: Value<'a>| {
        let mut attributes = key_values(Record::from_value(log)?.take("fields"), unread_fields);
        let is_exception = attributes.iter().any(|(key, _)| matches!(key.as_ref(), "exception.type" | "exception.message"));
        let at = attributes.iter().position(|(key, _)| key == "event").filter(|_| !is_exception);
        let name = at.map(|at| attributes.swap_remove(at).1.into_text().unwrap_or_default());
        Some(RawEvent { name: name.map_or(Cow::Borrowed(if is_exception { "exception" } else { "" }), Cow::Owned), attributes })
    };
    logs.into_iter().filter_map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""traceID":"5b8efff798038103d269b633813fc60c","spanID":"eee19b7ec3c1b174","operationName":"chat","startTime":1795424023443017,"duration":1200"#;

    fn span(rest: &str) -> Span {
        parse_line(&Jaeger, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn a_trace_without_spans_is_skipped_and_one_whose_spans_are_no_list_rejected() {
        let counts = |spans: &str| {
            let out = parse_line(&Jaeger, &format!(r#"{{"traceID":"1","spans":{spans},"processes":{{}}}}"#));
            (out.records.skipped, out.rejections.len())
        };
        assert_eq!((counts("[]"), counts("null"), counts("\"none\""), counts("{}")), ((1, 0), (1, 0), (0, 1), (0, 1)));
    }

    #[test]
    fn a_trace_has_spans_with_their_processes() {
        let out = parse_line(
            &Jaeger,
            &format!(
                r#"{{"traceID":"5b8efff798038103d269b633813fc60c","spans":[{{{IDS},"processID":"p2","tags":[{{"key":"gen_ai.request.model","type":"string","value":"m"}},
                {{"key":"gen_ai.usage.input_tokens","type":"int64","value":12}},{{"key":"otel.scope.name","type":"string","value":"scope"}}],"logs":[],"warnings":null}},7],
                "processes":{{"p1":{{"serviceName":"other","tags":[]}},"p2":{{"serviceName":"support","tags":[{{"key":"deployment.environment","type":"string","value":"prod"}}]}}}}}}"#
            ),
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.span_id.as_str()), ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"));
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("prod")));
        assert_eq!((fragment.span.model.as_deref(), fragment.span.usage.input), (Some("m"), Some(12)));
        assert_eq!(
            (fragment.span.started_at_ns, fragment.span.ended_at_ns),
            (Some(1_795_424_023_443_017_000), Some(1_795_424_023_444_217_000))
        );
        assert_eq!((fragment.span.instrumentation.as_deref(), fragment.span.attributes.len()), (Some("scope"), 0));
        assert_eq!(out.rejections[0].trace_ref, "t.jsonl#L4.s2");
    }

    #[test]
    fn the_parent_is_a_reference_in_the_same_trace() {
        let reference = |kind: &str, trace: &str, span: &str| format!(r#"{{"refType":"{kind}","traceID":"{trace}","spanID":"{span}"}}"#);
        let (same, other) = ("5b8efff798038103d269b633813fc60c", "00000000000000000000000000000007");
        let references =
            [reference("CHILD_OF", other, "1"), reference("FOLLOWS_FROM", same, "2"), reference("CHILD_OF", same, "3")].join(",");
        assert_eq!(span(&format!("\"references\":[{references}]")).parent_span_id.as_deref(), Some("0000000000000003"));
        let follows = reference("FOLLOWS_FROM", same, "ABC");
        assert_eq!(span(&format!("\"references\":[{follows}]")).parent_span_id.as_deref(), Some("0000000000000abc"));
        assert_eq!(span(&format!("\"references\":[{}]", reference("CHILD_OF", other, "1"))).parent_span_id, None);
        assert_eq!(span(r#""references":null,"parentSpanID":"4""#).parent_span_id.as_deref(), Some("0000000000000004"));
        assert_eq!(span(r#""parentSpanID":"eee19b7ec3c1b174""#).parent_span_id, None);
    }

    #[test]
    fn the_status_is_in_tags() {
        let failed = span(
            r#""tags":[{"key":"error","type":"bool","value":true},{"key":"otel.status_code","type":"string","value":"ERROR"},
            {"key":"otel.status_description","type":"string","value":"Error code: 429"},{"key":"span.kind","type":"string","value":"client"}]"#,
        );
        assert_eq!((failed.status, failed.status_message.as_deref(), failed.attributes.len()), (Status::Error, Some("Error code: 429"), 0));
        assert_eq!(span(r#""tags":[{"key":"otel.status_code","type":"string","value":"OK"}]"#).status, Status::Ok);
        assert_eq!(span(r#""tags":[{"key":"error","type":"bool","value":"false"}]"#).status, Status::Unset);
        // The text of an OpenTracing client.
        let text = span(r#""tags":[{"key":"error","type":"string","value":"connection refused"}]"#);
        assert_eq!((text.status, text.exceptions[0].message.as_str()), (Status::Error, "connection refused"));
    }

    #[test]
    fn logs_are_events() {
        let fields = r#"{"key":"exception.type","type":"string","value":"E"},{"key":"exception.message","type":"string","value":"m"}"#;
        let named =
            span(&format!(r#""logs":[{{"timestamp":1,"fields":[{{"key":"event","type":"string","value":"exception"}},{fields}]}}]"#));
        assert_eq!((named.exceptions[0].kind.as_str(), named.exceptions[0].message.as_str()), ("E", "m"));
        // The attribute `event` of the exception replaced its name.
        let unnamed = span(&format!(r#""logs":[{{"timestamp":1,"fields":[{{"key":"event","type":"string","value":"retry"}},{fields}]}}]"#));
        assert_eq!(unnamed.exceptions, named.exceptions);
        let opentracing = span(
            r#""logs":[{"timestamp":1,"fields":[{"key":"event","type":"string","value":"error"},{"key":"error.kind","type":"string","value":"K"},
            {"key":"message","type":"string","value":"refused"}]}]"#,
        );
        assert_eq!((opentracing.exceptions[0].kind.as_str(), opentracing.exceptions[0].message.as_str()), ("K", "refused"));
    }

    #[test]
    fn a_span_of_elasticsearch_is_read() {
        let out = parse_line(
            &Jaeger,
            &format!(
                r#"{{{IDS},"startTimeMillis":1795424023443,"flags":1,"tags":[{{"key":"gen_ai.usage.output_tokens","type":"int64","value":"7"}}],
                "tag":{{"gen_ai@request@model":"m"}},"process":{{"serviceName":"support","tag":{{"deployment@environment":"prod"}}}}}}"#
            ),
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.service.as_deref(), fragment.environment.as_deref()), (Some("support"), Some("prod")));
        assert_eq!((fragment.span.model.as_deref(), fragment.span.usage.output), (Some("m"), Some(7)));
        assert_eq!(fragment.span.attributes, []);
        let out = parse_line(&Jaeger, r#"{"serviceName":"support","operationName":"chat"}"#);
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }

    #[test]
    fn a_span_of_jaeger_json_is_read() {
        let out = parse_line(
            &Jaeger,
            r#"{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"7uGbfsPBsXQ=","operationName":"chat","references":[{"traceId":"W47/95gDgQPSabYzgT/GDA==","spanId":"AAAAAAAAAAM="}],
            "startTime":"2026-11-23T08:53:43.443017Z","duration":"0.002119s","tags":[{"key":"error","vType":"BOOL","vBool":true}],"process":{"serviceName":"support"}}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.span_id.as_str()), ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174"));
        assert_eq!((fragment.span.parent_span_id.as_deref(), fragment.span.status), (Some("0000000000000003"), Status::Error));
        assert_eq!(fragment.span.ended_at_ns.zip(fragment.span.started_at_ns).map(|(end, start)| end - start), Some(2_119_000));
    }

    #[test]
    fn ids_have_leading_zeros() {
        let found = |text: &str| id(&Value::Text(text.into()));
        assert_eq!(found("1").as_deref(), Some("0000000000000001"));
        assert_eq!(found("B8efff798038103d269b633813fc60c").as_deref(), Some("0b8efff798038103d269b633813fc60c"));
        assert_eq!((found("0"), found(""), found("not hex")), (None, None, None));
    }

    #[test]
    fn what_cannot_be_read_is_counted_or_rejected() {
        assert_eq!(span(r#""tags":[{"value":1},{"key":"a","type":"string","value":"b"}]"#).unread_fields, 1);
        assert_eq!(span(r#""tags":"text""#).unread_fields, 1);
        let out = parse_line(&Jaeger, r#"{"traceID":"t","spanID":"s","operationName":"o"}"#);
        assert_eq!((out.fragments.len(), out.rejections.len()), (0, 1));
        let out = parse_line(&Jaeger, r#"{"traceID":"5b8efff798038103d269b633813fc60c","spans":[],"processes":{}}"#);
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }
}
