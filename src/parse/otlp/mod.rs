//! OTLP as the OpenTelemetry Collector's exporters write it: one export request a line of JSON, or a message of protobuf.
//!
//! Specification: <https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/> and opentelemetry-proto 1.x.
//!
//! ```json
//! {"resourceSpans":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"acme"}}]},
//!   "scopeSpans":[{"spans":[{"traceId":"<32 hex>","spanId":"<16 hex>","name":"chat","startTimeUnixNano":"1795424023443017575",
//!     "attributes":[{"key":"gen_ai.operation.name","value":{"stringValue":"chat"}}],"status":{"code":2}}]}]}]}
//! ```
//!
//! Quirks of real exporters: 64-bit integers are strings or numbers; enums numbers or names; ids hex, or base64 where protobuf's own
//! JSON mapping wrote them; a root has no `parentSpanId`, or an empty one; `status` may be `{}`; one trace's spans stand in many lines;
//! log records (`resourceLogs`) carry the messages of some instrumentations and join their span by id; before version 0.15 of the protocol
//! a scope was an `instrumentationLibrary`.

mod json;
mod lenient;
mod parts;
mod protobuf;

use std::borrow::Cow;

pub(super) use self::json::parse_span;
use super::conventions::{self, SpanAttributes};
use super::shown_key;
use super::value::Value;
use super::{Accounted, Format, Parsed, Piece, Place, Skip, record};
use crate::model::{RejectionKind, Span, SpanKind, Status};

/// See the module.
pub(super) struct Otlp;

impl Format for Otlp {
    fn name(&self) -> &'static str {
        "otlp"
    }

    fn recognises_keys(&self, keys: &[String]) -> bool {
        keys.iter().any(|key| {
            matches!(
                key.as_str(),
                "resourceSpans"
                    | "resourceLogs"
                    | "resourceMetrics"
                    | "resourceProfiles"
                    | "resource_spans"
                    | "resource_logs"
                    | "resource_metrics"
                    | "resource_profiles"
                    | "ExportTraceServiceRequest"
                    | "exportTraceServiceRequest"
                    | "export_trace_service_request"
            )
        })
    }

    fn parse_json(&self, json: &str, place: &Place<'_>, out: &mut Parsed) -> Result<Accounted, serde_json::Error> {
        json::parse(json, place, out)
    }

    fn parse_message(&self, message: &[u8], place: &Place<'_>, out: &mut Parsed) -> Accounted {
        protobuf::parse(message, place, out)
    }
}

/// One export request on its way: where its next span stands, and what became of those before.
struct Batch<'p> {
    place: Place<'p>,
    spans: usize,
    accounted: Option<Accounted>,
}

impl<'p> Batch<'p> {
    fn new(place: Place<'p>) -> Self {
        Self { place, spans: 0, accounted: None }
    }

    /// The place of the next span, `URI#L4.s2`.
    fn next_span(&mut self) -> Place<'p> {
        self.spans += 1;
        self.place.span(self.spans)
    }

    /// The place of the next log record. It counts on behind the spans, so that no two rejections of a line have one place.
    fn next_log(&mut self) -> Place<'p> {
        self.next_span()
    }

    fn add(&mut self, accounted: Accounted) {
        self.accounted = Accounted::of_parts(self.accounted.into_iter().chain([accounted]));
    }

    /// Rejects a group that holds nothing known and something else: a mistyped or foreign key.
    fn check_keys(&mut self, group: &str, other_key: Option<&str>, is_empty: bool, out: &mut Parsed) {
        if let Some(key) = other_key.filter(|_| is_empty) {
            let place = self.next_span();
            let reason =
                format!("cannot read {place}: {group} holds no spans or log records, and has the unknown key {:?}", shown_key(key));
            self.add(out.reject(&place, RejectionKind::MalformedRecord, reason));
        }
    }

    /// What became of the whole request.
    fn finish(self, has_other_signal: bool, other_key: Option<&str>, out: &mut Parsed) -> Accounted {
        let place = self.place;
        match (self.accounted, other_key) {
            (Some(accounted), _) => accounted,
            (None, _) if has_other_signal => out.skip(Skip::OtherSignal, &place),
            (None, None) => out.skip(Skip::Empty, &place),
            (None, Some(key)) => {
                let reason = format!(
                    "cannot read {place}: no spans stand under resourceSpans[].scopeSpans[].spans[]; it has the key {:?}",
                    shown_key(key)
                );
                out.reject(&place, RejectionKind::MalformedRecord, reason)
            }
        }
    }
}

/// What a resource says that matters for every span below it.
#[derive(Debug, Default, Clone)]
pub(super) struct ResourceFacts {
    service: Option<String>,
    environment: Option<String>,
}

impl ResourceFacts {
    /// Picks what matters out of a resource's attributes.
    pub(super) fn of<'a>(attributes: impl IntoIterator<Item = (Cow<'a, str>, Value<'a>)>) -> Self {
        let mut facts = Self::default();
        for (key, value) in attributes {
            match key.as_ref() {
                "service.name" => facts.service = value.into_text(),
                "deployment.environment.name" | "deployment.environment" => facts.environment = value.into_text(),
                _ => {}
            }
        }
        facts
    }
}

/// A span as both encodings hold it.
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
    /// Fields, attributes and events that could not be read.
    pub(super) unread_fields: u32,
}

impl RawSpan<'_> {
    pub(super) fn into_piece(self, resource: &ResourceFacts, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        let Some(trace_id) = self.trace_id else {
            let reason = format!("cannot read {place}: the span has no usable traceId (32 hex digits, or 16 bytes in base64)");
            return out.reject(place, RejectionKind::MissingId, reason);
        };
        let Some(span_id) = self.span_id else {
            let reason = format!("cannot read {place}: the span has no usable spanId (16 hex digits, or 8 bytes in base64)");
            return out.reject(place, RejectionKind::MissingId, reason);
        };
        if self.started_at_ns <= 0 {
            return out.reject(place, RejectionKind::MissingTime, format!("cannot read {place}: the span has no startTimeUnixNano"));
        }
        let mut span = SpanAttributes::new(Span {
            span_id,
            parent_span_id: self.parent_span_id,
            name: self.name,
            started_at_ns: Some(self.started_at_ns),
            ended_at_ns: (self.ended_at_ns > 0).then_some(self.ended_at_ns),
            status: self.status,
            status_message: Some(self.status_message).filter(|message| !message.is_empty()),
            unread_fields: self.unread_fields,
            ..Span::default()
        });
        for (key, value) in self.attributes {
            span.set(key, value);
        }
        for RawEvent { name, attributes } in self.events {
            span.event(&name, attributes);
        }
        out.span(resource.piece(trace_id, span.finish(), place))
    }
}

/// An event on a span as both encodings hold it.
pub(super) struct RawEvent<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// The trace that a log record names.
pub(super) enum LogTrace {
    /// None: it is a log record of a program that was not traced there.
    None,
    /// It names one, and the id is none that a trace can have.
    Unusable,
    /// Lower-case hex.
    Id(String),
}

/// A log record as both encodings hold it.
pub(super) struct RawLog<'a> {
    pub(super) trace_id: LogTrace,
    pub(super) span_id: Option<String>,
    pub(super) event_name: String,
    pub(super) at_ns: i64,
    pub(super) body: Value<'a>,
    pub(super) attributes: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl RawLog<'_> {
    /// A log record of a span adds to it; one without a trace is no part of any trace.
    pub(super) fn into_piece(self, resource: &ResourceFacts, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        let trace_id = match self.trace_id {
            LogTrace::Id(id) => id,
            LogTrace::None => return out.skip(Skip::LogWithoutTrace, place),
            LogTrace::Unusable => {
                let reason = format!("cannot read {place}: the log record has no usable traceId (32 hex digits, or 16 bytes in base64)");
                return out.reject(place, RejectionKind::MissingId, reason);
            }
        };
        let is_exception = self.attributes.iter().any(|(key, _)| key == "exception.type" || key == "exception.message");
        let mut exception = Vec::new();
        let mut event_name = self.event_name;
        let mut span = SpanAttributes::new(Span {
            span_id: self.span_id.unwrap_or_default(),
            started_at_ns: (self.at_ns > 0).then_some(self.at_ns),
            kind: SpanKind::Other,
            ..Span::default()
        });
        for (key, value) in self.attributes {
            if is_exception && key.starts_with("exception.") {
                exception.push((key.into_owned(), value.into_text()));
            } else if key == "event.name" && event_name.is_empty() {
                event_name = value.into_text().unwrap_or_default();
            } else {
                span.set(key, value);
            }
        }
        let mut span = span.finish();
        span.attributes.clear();
        if is_exception {
            span.exceptions.push(conventions::exception(exception));
        }
        conventions::add_event(&mut span, &event_name, &self.body);
        out.addition(resource.piece(trace_id, span, place))
    }
}

impl ResourceFacts {
    fn piece(&self, trace_id: String, span: Span, place: &Place<'_>) -> Piece {
        Piece { service: self.service.clone(), environment: self.environment.clone(), ..record::piece(trace_id, span, place) }
    }
}

/// An id of zeros is OTLP's word for none.
pub(super) fn not_zero(hex: String) -> Option<String> {
    hex.bytes().any(|byte| byte != b'0').then_some(hex)
}
