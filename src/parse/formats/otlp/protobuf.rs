//! OTLP as protobuf: the messages of the Collector's file exporter (`format: proto`) and S3 exporter (`otlp_proto`).
//!
//! Field numbers are those of opentelemetry-proto 1.x (<https://github.com/open-telemetry/opentelemetry-proto>), `trace/v1/trace.proto` and
//! `logs/v1/logs.proto`. Fields that failsift does not use are not declared, so the decoder skips them. A file does not say whether its
//! messages contain spans or log records: a message without valid trace ids when decoded as spans is decoded as log records.

use std::borrow::Cow;

use prost::Message;

use super::{LogTraceId, RawEvent, RawLog, RawSpan, RequestProgress, nonzero_id, size};
use crate::model::{RejectionKind, hex};
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, RecordLocation, Skip, span_fields};

/// Parses one export request.
pub(super) fn parse(message: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if !size::fits_budget(message, size::MessageType::Request) {
        let reason = format!(
            "cannot read {location}: decoding its many small values would take many times its size in memory\n  hint: export smaller batches"
        );
        return out.reject(location, RejectionKind::Oversize, reason);
    }
    let traces = match ExportTraces::decode(message) {
        Ok(request) if request.spans().any(|span| span.trace_id.len() == TRACE_ID_BYTES) => return request.add_fragments(location, out),
        traces => traces,
    };
    match (ExportLogs::decode(message), traces) {
        (Ok(request), _) if request.records().any(|record| record.trace_id.len() == TRACE_ID_BYTES) => request.add_fragments(location, out),
        // Log records of a program without tracing.
        (Ok(request), Err(_)) if request.records().next().is_some() => out.skip(Skip::LogWithoutTrace, location),
        (_, Ok(request)) if request.spans().next().is_none() => out.skip(Skip::Empty, location),
        (_, Ok(_)) => {
            let reason = format!(
                "cannot read {location}: no span has a trace id of {TRACE_ID_BYTES} bytes\n  hint: only OTLP messages with traces or logs are supported"
            );
            out.reject(location, RejectionKind::MissingId, reason)
        }
        (_, Err(_)) => out.reject(
            location,
            RejectionKind::MalformedRecord,
            format!("cannot read {location}: not an OTLP message, or a truncated one\n  hint: copy the file again if it is truncated"),
        ),
    }
}

const TRACE_ID_BYTES: usize = 16;

#[derive(Clone, PartialEq, Message)]
struct ExportTraces {
    #[prost(message, repeated, tag = "1")]
    resource_spans: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_spans: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(bytes = "vec", tag = "1")]
    name: Vec<u8>,
}

#[expect(clippy::struct_field_names, reason = "names of the protocol")]
#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    name: Vec<u8>,
    #[prost(fixed64, tag = "7")]
    start_time_unix_nano: u64,
    #[prost(fixed64, tag = "8")]
    end_time_unix_nano: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, repeated, tag = "11")]
    events: Vec<Event>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(bytes = "vec", tag = "2")]
    name: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(bytes = "vec", tag = "2")]
    message: Vec<u8>,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(oneof = "OneValue", tags = "1, 2, 3, 4, 5, 6, 7")]
    value: Option<OneValue>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum OneValue {
    #[prost(bytes = "vec", tag = "1")]
    String(Vec<u8>),
    #[prost(bool, tag = "2")]
    Bool(bool),
    #[prost(int64, tag = "3")]
    Int(i64),
    #[prost(double, tag = "4")]
    Double(f64),
    #[prost(message, tag = "5")]
    Array(ArrayValue),
    #[prost(message, tag = "6")]
    Map(KeyValueList),
    #[prost(bytes = "vec", tag = "7")]
    Bytes(Vec<u8>),
}

#[derive(Clone, PartialEq, Message)]
struct ArrayValue {
    #[prost(message, repeated, tag = "1")]
    values: Vec<AnyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValueList {
    #[prost(message, repeated, tag = "1")]
    values: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ExportLogs {
    #[prost(message, repeated, tag = "1")]
    resource_logs: Vec<ResourceLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceLogs {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scope_logs: Vec<ScopeLogs>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeLogs {
    #[prost(message, repeated, tag = "2")]
    log_records: Vec<LogRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct LogRecord {
    #[prost(fixed64, tag = "1")]
    time_unix_nano: u64,
    #[prost(message, optional, tag = "5")]
    body: Option<AnyValue>,
    #[prost(message, repeated, tag = "6")]
    attributes: Vec<KeyValue>,
    #[prost(bytes = "vec", tag = "9")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "10")]
    span_id: Vec<u8>,
    #[prost(fixed64, tag = "11")]
    observed_time_unix_nano: u64,
    #[prost(bytes = "vec", tag = "12")]
    event_name: Vec<u8>,
}

impl ExportTraces {
    fn spans(&self) -> impl Iterator<Item = &Span> {
        self.resource_spans.iter().flat_map(|group| &group.scope_spans).flat_map(|scope| &scope.spans)
    }

    fn add_fragments(self, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let mut progress = RequestProgress::new(*location);
        for group in self.resource_spans {
            let mut resource = super::Resource::from_attributes(pairs(group.resource.unwrap_or_default().attributes));
            for scope in group.scope_spans {
                resource.set_scope(&text(scope.scope.unwrap_or_default().name));
                for span in scope.spans {
                    let location = progress.next_location();
                    progress.add(span.into_raw().add_fragment(&resource, &location, out));
                }
            }
        }
        progress.finish(None, None, out)
    }
}

impl ExportLogs {
    fn records(&self) -> impl Iterator<Item = &LogRecord> {
        self.resource_logs.iter().flat_map(|group| &group.scope_logs).flat_map(|scope| &scope.log_records)
    }

    fn add_fragments(self, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let mut progress = RequestProgress::new(*location);
        for group in self.resource_logs {
            let resource = super::Resource::from_attributes(pairs(group.resource.unwrap_or_default().attributes));
            for record in group.scope_logs.into_iter().flat_map(|scope| scope.log_records) {
                let location = progress.next_location();
                progress.add(record.into_raw().add_fragment(&resource, &location, out));
            }
        }
        progress.finish(None, None, out)
    }
}

impl Span {
    fn into_raw(self) -> RawSpan<'static> {
        let status = self.status.unwrap_or_default();
        RawSpan {
            trace_id: id(&self.trace_id, 16),
            span_id: id(&self.span_id, 8),
            parent_span_id: id(&self.parent_span_id, 8),
            name: text(self.name),
            started_at_ns: nanoseconds(self.start_time_unix_nano),
            ended_at_ns: nanoseconds(self.end_time_unix_nano),
            status: span_fields::status(&status.code.to_string()),
            status_message: text(status.message),
            events: self
                .events
                .into_iter()
                .map(|event| RawEvent { name: Cow::Owned(text(event.name)), attributes: pairs(event.attributes).collect() })
                .collect(),
            attributes: pairs(self.attributes).collect(),
            unread_fields: 0,
        }
    }
}

impl LogRecord {
    fn into_raw(self) -> RawLog<'static> {
        let time = if self.time_unix_nano > 0 { self.time_unix_nano } else { self.observed_time_unix_nano };
        RawLog {
            trace_id: log_trace(&self.trace_id),
            span_id: id(&self.span_id, 8),
            event_name: text(self.event_name),
            at_ns: nanoseconds(time),
            body: self.body.map_or(Value::Null, AnyValue::into_value),
            attributes: pairs(self.attributes).collect(),
        }
    }
}

impl AnyValue {
    fn into_value(self) -> Value<'static> {
        match self.value {
            None => Value::Null,
            Some(OneValue::String(text)) => Value::Text(Cow::Owned(self::text(text))),
            Some(OneValue::Bool(value)) => Value::Bool(value),
            Some(OneValue::Int(value)) => Value::Int(value),
            Some(OneValue::Double(value)) => Value::Double(value),
            Some(OneValue::Array(array)) => Value::List(array.values.into_iter().map(Self::into_value).collect()),
            Some(OneValue::Map(map)) => Value::Map(pairs(map.values).collect()),
            Some(OneValue::Bytes(bytes)) => {
                use base64::Engine;
                Value::Text(Cow::Owned(base64::engine::general_purpose::STANDARD.encode(bytes)))
            }
        }
    }
}

fn pairs(attributes: Vec<KeyValue>) -> impl Iterator<Item = (Cow<'static, str>, Value<'static>)> {
    attributes.into_iter().map(|KeyValue { key, value }| (Cow::Owned(text(key)), value.map_or(Value::Null, AnyValue::into_value)))
}

/// Strings are declared as bytes, so that invalid UTF-8 in one string does not fail the whole message.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

fn log_trace(id: &[u8]) -> LogTraceId {
    if id.iter().all(|byte| *byte == 0) {
        LogTraceId::Absent
    } else {
        self::id(id, TRACE_ID_BYTES).map_or(LogTraceId::Invalid, LogTraceId::Valid)
    }
}

fn id(bytes: &[u8], length: usize) -> Option<String> {
    if bytes.len() == length { nonzero_id(hex(bytes)) } else { None }
}

fn nanoseconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::location;

    fn pair(key: &str, value: &str) -> KeyValue {
        KeyValue { key: key.into(), value: Some(AnyValue { value: Some(OneValue::String(value.into())) }) }
    }

    fn parsed(bytes: &[u8]) -> ParsedChunk {
        let mut out = ParsedChunk::default();
        let accounted = parse(bytes, &location(), &mut out);
        out.records.add(accounted);
        out
    }

    #[test]
    fn spans_and_log_records_are_distinguished() {
        let resource = Some(Resource { attributes: vec![pair("service.name", "acme")] });
        let span = Span {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            name: "chat".into(),
            start_time_unix_nano: 5,
            attributes: vec![pair("gen_ai.operation.name", "chat")],
            events: vec![Event { name: "exception".into(), attributes: vec![pair("exception.type", "E")] }],
            status: Some(Status { message: "no".into(), code: 2 }),
            ..Span::default()
        };
        let request = ExportTraces {
            resource_spans: vec![ResourceSpans {
                resource: resource.clone(),
                scope_spans: vec![ScopeSpans { scope: None, spans: vec![span] }],
            }],
        };
        let out = parsed(&request.encode_to_vec());
        let fragment = &out.fragments[0];
        assert_eq!(
            (fragment.trace_id.as_str(), fragment.service.as_deref(), fragment.addition),
            ("01".repeat(16).as_str(), Some("acme"), false)
        );
        assert_eq!((fragment.span.status, fragment.span.exceptions[0].kind.as_str()), (crate::model::Status::Error, "E"));

        let record = LogRecord {
            trace_id: vec![1; 16],
            span_id: vec![2; 8],
            observed_time_unix_nano: 7,
            event_name: "gen_ai.user.message".into(),
            body: Some(AnyValue { value: Some(OneValue::Map(KeyValueList { values: vec![pair("content", "hi")] })) }),
            ..LogRecord::default()
        };
        let request =
            ExportLogs { resource_logs: vec![ResourceLogs { resource, scope_logs: vec![ScopeLogs { log_records: vec![record] }] }] };
        let out = parsed(&request.encode_to_vec());
        assert_eq!((out.fragments[0].addition, out.fragments[0].span.input[0].content.as_str()), (true, "hi"));
    }

    #[test]
    fn bytes_that_are_not_a_message_are_rejected() {
        let out = parsed(b"\x0a\xff\xff\xff\x01 no message");
        assert_eq!((out.fragments.len(), out.rejections[0].kind), (0, RejectionKind::MalformedRecord));
    }
}
