//! OTLP as the exporters of the OpenTelemetry Collector write it: one export request per JSON line or protobuf message; and traces of Grafana Tempo.
//!
//! Specification: <https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/> and opentelemetry-proto 1.x; for Tempo
//! <https://grafana.com/docs/tempo/latest/api_docs/>, checked against the sources of Tempo 1.x to 3.0.
//!
//! ```json
//! {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"acme"}}]},
//!   "scopeSpans":[{"spans":[{"traceId":"<32 hex>","spanId":"<16 hex>","name":"chat","startTimeUnixNano":"1795424023443017575",
//!     "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}],"status":{"code":2}}]}]}]}
//! ```
//!
//! Quirks of real exporters:
//! - 64-bit integers are strings (Collector) or numbers (own exporters); enums are numbers or names.
//! - Ids are in hex (Collector) or in base64 (protobuf's own JSON mapping).
//! - A root has no `parentSpanId` or an empty one; `status` may be `{}`.
//! - The spans of one trace are spread over many requests.
//! - Log records (`resourceLogs`) contain the messages of some instrumentations and join their span by id (openai-v2).
//! - Before version 0.15 of the protocol a scope was an `instrumentationLibrary`.
//! - The log groups of `CloudWatch` (`aws/spans`, and those of Bedrock's `AgentCore`) have one span or log record per line, with `resource` and `scope` among its fields;
//!   attributes and bodies are plain objects.
//! - Java's `logging-otlp` writes one element of `resourceSpans` or `resourceLogs` per line, without the request around it.
//! - Tempo's `resourceSpans` are `batches` (`/api/traces/ID`), or in `trace` beside `metrics` and `status` (`/api/v2/traces/ID`). Results of its search have
//!   no spans of their trace.

mod json;
mod json_value;
mod lenient;
mod protobuf;
mod size;

use std::borrow::Cow;
use std::sync::Arc;

pub(super) use self::json::{id, parse_span};
use crate::model::{Context, ContextField, RejectionKind, Span, SpanKind, Status};
use crate::parse::conventions::{EventContent, SpanMapper};
use crate::parse::detect::display_key;
use crate::parse::span_fields;
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, SpanFragment, context, record};

/// The OTLP format; see the [module docs](self).
pub(in crate::parse) struct Otlp;

impl Format for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["resourceSpans"]),
                Signature::unique(&["resourceLogs"]),
                Signature::unique(&["resourceMetrics"]),
                Signature::unique(&["resourceProfiles"]),
                Signature::unique(&["resource_spans"]),
                Signature::unique(&["resource_logs"]),
                Signature::unique(&["resource_metrics"]),
                Signature::unique(&["resource_profiles"]),
                // What some programs wrap the request in.
                Signature::unique(&["ExportTraceServiceRequest"]),
                Signature::unique(&["exportTraceServiceRequest"]),
                Signature::unique(&["export_trace_service_request"]),
                // One element of the request: the exporters that write to Java's log, and Tempo's batches.
                Signature::unique(&["scopeSpans"]),
                Signature::unique(&["scopeLogs"]),
                Signature::unique(&["instrumentationLibrarySpans"]),
                // A span or a log record alone, with its resource and scope beside its fields.
                Signature::unique(&["traceId", "spanId", "startTimeUnixNano"]),
                Signature::unique(&["scope", "timeUnixNano", "body"]),
                Signature::unique(&["timeUnixNano", "observedTimeUnixNano", "body"]),
                // Tempo: a trace by both versions of the API, a result of a search.
                Signature::common(&["batches"]),
                Signature::common(&["trace", "metrics"]),
                Signature::common(&["trace", "status", "message"]),
                Signature::unique(&["traceID", "rootServiceName"]),
                Signature::unique(&["traceID", "rootTraceName"]),
            ]
        }
    }

    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        json::parse(json, location, out)
    }

    fn parse_message(&self, message: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        protobuf::parse(message, location, out)
    }
}

/// An export request that is being parsed: the location of its next span, and the outcomes of the previous ones.
struct RequestProgress<'p> {
    location: RecordLocation<'p>,
    parts: usize,
    accounted: Option<Accounted>,
}

impl<'p> RequestProgress<'p> {
    fn new(location: RecordLocation<'p>) -> Self {
        Self { location, parts: 0, accounted: None }
    }

    /// The location of the next span or log record, `URI#L4.s2`. Both share one count, so that two rejections never have the same location.
    fn next_location(&mut self) -> RecordLocation<'p> {
        self.parts += 1;
        self.location.span(self.parts)
    }

    fn add(&mut self, accounted: Accounted) {
        accounted.add_to(&mut self.accounted);
    }

    /// Rejects a group that has no spans or log records but an unknown key, which may be misspelled.
    fn check_keys(&mut self, group: &str, other_key: Option<&str>, is_empty: bool, out: &mut ParsedChunk) {
        if let Some(key) = other_key.filter(|_| is_empty) {
            let location = self.next_location();
            let reason = format!(
                "cannot read {location}: {group} has no spans or log records, but the unknown key {:?}\n  hint: check the spelling of the key",
                display_key(key)
            );
            self.add(out.reject(&location, RejectionKind::MalformedRecord, reason));
        }
    }

    /// The outcome of the whole request. `skip` is the reason why it may have no spans.
    fn finish(self, skip: Option<Skip>, other_key: Option<&str>, out: &mut ParsedChunk) -> Accounted {
        let location = self.location;
        match (self.accounted, skip, other_key) {
            (Some(accounted), _, _) => accounted,
            (None, Some(skip), _) => out.skip(skip, &location),
            (None, None, None) => out.skip(Skip::Empty, &location),
            (None, None, Some(key)) => {
                let reason = format!(
                    "cannot read {location}: no spans in resourceSpans[].scopeSpans[].spans[], but the unknown key {:?}\n  hint: check the spelling of the key",
                    display_key(key)
                );
                out.reject(&location, RejectionKind::MalformedRecord, reason)
            }
        }
    }
}

/// What a resource, and a scope in it, say about all their spans.
#[derive(Debug, Default, Clone)]
pub(super) struct Resource {
    service: Option<String>,
    environment: Option<String>,
    /// Its other attributes that describe the deployment.
    context: Context,
    /// The instrumentation scope of the spans that follow.
    instrumentation: Option<Arc<str>>,
}

impl Resource {
    /// Selects the relevant attributes of a resource.
    pub(super) fn from_attributes<'a>(attributes: impl IntoIterator<Item = (Cow<'a, str>, Value<'a>)>) -> Self {
        let mut resource = Self::default();
        for (key, value) in attributes {
            match key.as_ref() {
                "service.name" => resource.service = value.into_text(),
                "deployment.environment.name" | "deployment.environment" => resource.environment = value.into_text(),
                key => {
                    if let Some(text) = value.into_text() {
                        resource.context.add_of_resource(key, &text);
                    }
                }
            }
        }
        resource
    }

    /// Adds what a format says about the deployment in a field of its own.
    pub(super) fn add_context(&mut self, key: &str, value: &Value<'_>) {
        context::add(&mut self.context, key, value);
    }

    /// Sets the name of the instrumentation scope; empty if there is none.
    pub(super) fn set_scope(&mut self, name: &str) {
        self.instrumentation = (!name.is_empty()).then(|| Arc::from(name));
    }
}

/// A decoded span of either encoding.
pub(super) struct RawSpan<'a> {
    pub(super) trace_id: Option<String>,
    pub(super) span_id: Option<String>,
    pub(super) parent_span_id: Option<String>,
    pub(super) name: String,
    pub(super) started_at_ns: i64,
    pub(super) ended_at_ns: i64,
    pub(super) status: Status,
    pub(super) status_message: String,
    pub(super) events: Vec<RawEvent<'a>>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
    /// The number of fields, attributes and events that could not be decoded.
    pub(super) unread_fields: u32,
}

impl RawSpan<'_> {
    /// Adds the span, or rejects it if it has no id or time.
    pub(super) fn add_fragment(self, resource: &Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let Some(trace_id) = self.trace_id else {
            let reason =
                format!("cannot read {location}: the span has no valid traceId\n  hint: a traceId is 32 hex digits, or 16 bytes in base64");
            return out.reject(location, RejectionKind::MissingId, reason);
        };
        let Some(span_id) = self.span_id else {
            let reason =
                format!("cannot read {location}: the span has no valid spanId\n  hint: a spanId is 16 hex digits, or 8 bytes in base64");
            return out.reject(location, RejectionKind::MissingId, reason);
        };
        if self.started_at_ns <= 0 {
            return out.reject(location, RejectionKind::MissingTime, format!("cannot read {location}: the span has no start time"));
        }
        let mut span = SpanMapper::new(Span {
            span_id,
            parent_span_id: self.parent_span_id,
            name: self.name,
            started_at_ns: Some(self.started_at_ns),
            ended_at_ns: (self.ended_at_ns > 0).then_some(self.ended_at_ns),
            status: self.status,
            status_message: Some(self.status_message).filter(|message| !message.is_empty()),
            unread_fields: self.unread_fields,
            instrumentation: resource.instrumentation.clone(),
            ..Span::default()
        });
        for (key, value) in self.attributes {
            span.set_attribute(key, value);
        }
        for RawEvent { name, attributes } in self.events {
            span.add_event(&name, attributes);
        }
        out.span(resource.fragment(trace_id, span.finish(), location))
    }
}

/// A decoded event of either encoding.
pub(super) struct RawEvent<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// The trace id of a log record.
pub(super) enum LogTraceId {
    /// Missing or zero: the program logged outside of a trace.
    Absent,
    /// Present but not a valid trace id.
    Invalid,
    /// As lower-case hex.
    Valid(String),
}

/// A decoded log record of either encoding.
pub(super) struct RawLog<'a> {
    pub(super) trace_id: LogTraceId,
    pub(super) span_id: Option<String>,
    pub(super) event_name: String,
    pub(super) at_ns: i64,
    pub(super) body: Value<'a>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl RawLog<'_> {
    /// Adds the log record to its span. A record outside of a trace is skipped.
    pub(super) fn add_fragment(self, resource: &Resource, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let trace_id = match self.trace_id {
            LogTraceId::Valid(id) => id,
            LogTraceId::Absent => return out.skip(Skip::LogWithoutTrace, location),
            LogTraceId::Invalid => {
                let reason = format!(
                    "cannot read {location}: the log record has no valid traceId\n  hint: a traceId is 32 hex digits, or 16 bytes in base64"
                );
                return out.reject(location, RejectionKind::MissingId, reason);
            }
        };
        let is_exception = self.attributes.iter().any(|(key, _)| key == "exception.type" || key == "exception.message");
        let mut exception = Vec::new();
        let mut event_name = self.event_name;
        let mut span = SpanMapper::new(Span {
            span_id: self.span_id.unwrap_or_default(),
            started_at_ns: (self.at_ns > 0).then_some(self.at_ns),
            kind: SpanKind::Other,
            ..Span::default()
        });
        for (key, value) in self.attributes {
            if is_exception && key.starts_with("exception.") {
                exception.push((key, value));
            } else if key == "event.name" && event_name.is_empty() {
                event_name = value.into_text().unwrap_or_default();
            } else {
                span.set_attribute(key, value);
            }
        }
        let mut span = span.finish();
        // Other attributes describe the log record and not the span, or the user and the session of the run.
        let attributes = std::mem::take(&mut span.attributes);
        if is_exception {
            span.exceptions.push(span_fields::exception(Value::Map(exception)));
        }
        let mut content = EventContent::default();
        content.add(&event_name, &self.body);
        content.append_to(&mut span);
        let mut fragment = resource.fragment(trace_id, span, location);
        for attribute in &attributes {
            if let Some((ContextField::User | ContextField::Session | ContextField::ServiceVersion, _)) = ContextField::of(&attribute.key) {
                fragment.context.add(&attribute.key, &attribute.value);
            }
        }
        out.addition(fragment)
    }
}

impl Resource {
    fn fragment(&self, trace_id: String, span: Span, location: &RecordLocation<'_>) -> SpanFragment {
        SpanFragment {
            service: self.service.clone(),
            environment: self.environment.clone(),
            context: self.context.clone(),
            ..record::fragment(trace_id, span, location)
        }
    }
}

/// An id in hex; `None` if it is all zeros, which OTLP defines as invalid.
pub(super) fn nonzero_id(hex: String) -> Option<String> {
    hex.bytes().any(|byte| byte != b'0').then_some(hex)
}
