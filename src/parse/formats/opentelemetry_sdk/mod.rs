//! What the SDKs of OpenTelemetry print or write themselves, without an OTLP exporter: spans and log records as the objects of their language.
//!
//! Specification: none; the exporters are for debugging, and each SDK prints its own structures. Checked against the output of
//! `opentelemetry-sdk` 1.20, 1.37 and 1.45 (Python), `@opentelemetry/sdk-trace-base` 1.25 and 2.12 (JavaScript), the file exporters of Gemini CLI 0.61,
//! and `stdouttrace` 1.45 (Go); and against the sources of `opentelemetry-sdk` from 1.0 and of `open-telemetry/sdk` (PHP). Java's exporters write OTLP.
//!
//! | program | record | module |
//! |---|---|---|
//! | Python `ConsoleSpanExporter`, `span.to_json()`; PHP `ConsoleSpanExporter` | `{"name", "context": {"trace_id": "0x…", "span_id"}, "kind": "SpanKind.CLIENT", "parent_id", …}` | `python` |
//! | JavaScript: a span as JSON | `{"_spanContext": {"traceId", "spanId"}, "startTime": [seconds, ns], …}` | `javascript` |
//! | JavaScript `ConsoleSpanExporter` | `{ traceId: '…', id: '…', timestamp: µs, duration: µs, … }`, rewritten as JSON by the read stage | `javascript` |
//! | Go `stdouttrace` | `{"Name", "SpanContext": {"TraceID", "SpanID"}, "Attributes": [{"Key", "Value": {"Type", "Value"}}], …}` | `go` |
//!
//! Log records join their span, as in OTLP; metrics are skipped. Attributes and events follow the conventions.
//!
//! Quirks of real output:
//! - Objects are on one line, or indented over many.
//! - Spans, log records and metrics are in one file (Gemini CLI; any program that prints all signals).
//! - A span that is the parent of others is printed after them.

mod go;
mod javascript;
mod python;

use std::borrow::Cow;

use super::otlp::{self, LogTraceId, RawEvent, Resource};
use crate::model::RejectionKind;
use crate::parse::record::Record;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip};

/// The format of the SDKs of OpenTelemetry; see the [module docs](self).
pub(super) struct OpenTelemetrySdk;

impl Format for OpenTelemetrySdk {
    fn name(&self) -> &'static str {
        "opentelemetry_sdk"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // Python and PHP: a span, a log record.
                Signature::unique(&["context", "kind", "parent_id", "resource"]),
                Signature::unique(&["context", "kind", "parent_span_id", "start", "end"]),
                Signature::unique(&["body", "severity_number", "trace_flags", "resource"]),
                // JavaScript: a span as JSON, a printed span, a log record as JSON, a printed log record, metrics.
                Signature::unique(&["_spanContext", "startTime"]),
                Signature::unique(&["traceId", "id", "timestamp", "duration", "attributes", "links"]),
                Signature::unique(&["hrTime", "attributes", "resource"]),
                Signature::unique(&["traceFlags", "severityNumber", "body", "attributes", "timestamp"]),
                Signature::unique(&["resource", "scopeMetrics"]),
                Signature::unique(&["descriptor", "dataPointType", "dataPoints"]),
                // Spans as JSON of programs with their own exporter.
                Signature::common(&["traceId", "spanId", "startTime", "endTime", "attributes", "events"]),
                // Go: a span, a log record, metrics.
                Signature::unique(&["SpanContext", "SpanKind", "StartTime"]),
                Signature::unique(&["SeverityText", "Body", "TraceID", "SpanID"]),
                Signature::unique(&["Resource", "ScopeMetrics"]),
            ]
        }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        // The exporter with the spans that it still holds, which are written as spans of their own.
        &["_logRecordLimits", "_spanLimits", "_spanProcessor"]
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let has = |key: &str| record.has(key);
        if has("scopeMetrics") || has("ScopeMetrics") || has("resource_metrics") || has("dataPoints") {
            out.skip(Skip::OtherSignal, location)
        } else if has("SpanContext") {
            go::parse_span(&mut record, location, out)
        } else if has("Body") {
            go::parse_log(&mut record, location, out)
        } else if has("hrTime") || has("severityNumber") {
            javascript::parse_log(&mut record, location, out)
        } else if has("_spanContext") || has("traceId") || has("spanContext") {
            javascript::parse_span(&mut record, location, out)
        } else if has("severity_number") {
            python::parse_log(&mut record, location, out)
        } else if has("context") {
            python::parse_span(&mut record, location, out)
        } else {
            let reason = format!("cannot read {location}: neither a span nor a log record of an OpenTelemetry SDK");
            out.reject(location, RejectionKind::MalformedRecord, reason)
        }
    }
}

/// The fields of a span or an event that could not be decoded.
#[derive(Default)]
struct Unread(u32);

impl Unread {
    /// Attributes as an object.
    fn attributes<'a>(&mut self, value: Value<'a>) -> Vec<(Cow<'a, str>, Value<'a>)> {
        match value {
            Value::Map(fields) => fields,
            // PHP writes an empty object as a list.
            Value::List(items) if items.is_empty() => Vec::new(),
            Value::Null => Vec::new(),
            _ => {
                self.0 += 1;
                Vec::new()
            }
        }
    }

    /// Events as `[{"name", "attributes"}]`.
    fn events<'a>(&mut self, value: Value<'a>) -> Vec<RawEvent<'a>> {
        let items = match value {
            Value::List(items) => items,
            Value::Null => Vec::new(),
            other => vec![other],
        };
        items.into_iter().filter_map(|event| self.event(event)).collect()
    }

    fn event<'a>(&mut self, event: Value<'a>) -> Option<RawEvent<'a>> {
        let Some(mut event) = Record::from_value(event) else {
            self.0 += 1;
            return None;
        };
        let name = Cow::Owned(event.take_text("name").unwrap_or_default());
        Some(RawEvent { name, attributes: self.attributes(event.take("attributes")) })
    }
}

/// Takes two fields; returns the first that is not null.
fn first<'a>(record: &mut Record<'a>, keys: [&str; 2]) -> Value<'a> {
    let [value, other] = keys.map(|key| record.take(key));
    if value.is_null() { other } else { value }
}

/// An id in hex, also with `0x` before it.
fn id(value: &Value<'_>, bytes: usize) -> Option<String> {
    otlp::id(without_prefix(value), bytes)
}

/// The trace id of a log record.
fn log_trace_id(value: &Value<'_>) -> LogTraceId {
    LogTraceId::from_text(without_prefix(value))
}

fn without_prefix<'v>(value: &'v Value<'_>) -> &'v str {
    let text = value.as_str().unwrap_or_default();
    text.strip_prefix("0x").unwrap_or(text)
}

/// A resource with these attributes, and the name of the instrumentation scope.
fn resource(attributes: Value<'_>, scope: Option<&str>) -> Resource {
    let fields = match attributes {
        Value::Map(fields) => fields,
        _ => Vec::new(),
    };
    let mut resource = Resource::from_attributes(fields);
    resource.set_scope(scope.unwrap_or_default());
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn parse(line: &str) -> ParsedChunk {
        crate::parse::tests::parse_line(&OpenTelemetrySdk, line)
    }

    #[test]
    fn metrics_are_skipped() {
        for line in [
            r#"{"resource":{},"scopeMetrics":[]}"#,
            r#"{"Resource":[],"ScopeMetrics":[]}"#,
            r#"{"resource_metrics":[]}"#,
            r#"{"descriptor":{},"dataPointType":3,"dataPoints":[]}"#,
        ] {
            let out = parse(line);
            assert_eq!((out.records.skipped, out.rejections.len()), (1, 0), "{line}");
        }
    }

    #[test]
    fn an_unknown_object_is_rejected() {
        let out = parse(r#"{"a":1}"#);
        assert_eq!((out.fragments.len(), out.rejections[0].kind), (0, RejectionKind::MalformedRecord));
    }
}
