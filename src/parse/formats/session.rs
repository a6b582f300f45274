//! What the sessions of coding agents have in common: a record is a step of a session, and adds a part to one or several spans. The call of a tool, its
//! result, and each block of an answer are records of their own, and the gather stage joins them by the id of the span.

use std::borrow::Cow;

use crate::model::{Message, Span, SpanKind, Status, ToolCall, ToolUse};
use crate::parse::record;
use crate::parse::value::Value;
use crate::parse::{Accounted, ParsedChunk, Position, RecordLocation, error_text, infer};

/// One record of a session.
pub(super) struct Step<'l> {
    location: &'l RecordLocation<'l>,
    /// The name under which the agent reports to OpenTelemetry.
    service: &'static str,
    pub(super) trace_id: String,
    /// The time of the record, in nanoseconds since 1970.
    pub(super) at_ns: i64,
    /// The span of the agent or of the turn that the step belongs to.
    pub(super) parent: Option<String>,
    /// The version of the agent.
    pub(super) version: Option<String>,
    /// Whether the record has no time, so that its position orders it.
    has_no_time: bool,
}

impl<'l> Step<'l> {
    /// A step at `time`, or at the time of the object. Records of the same millisecond keep their order.
    pub(super) fn new(service: &'static str, trace_id: String, time: Option<i64>, location: &'l RecordLocation<'l>) -> Self {
        let at_ns = time.unwrap_or(location.modified_at_ns).saturating_add_unsigned(offset_ns(location));
        Self { location, service, trace_id, at_ns, parent: None, version: None, has_no_time: time.is_none() }
    }

    /// An id from the place of the record: `L4`, `L4.s2`.
    pub(super) fn place(&self) -> String {
        let span = self.location.span.map(|span| format!(".s{span}")).unwrap_or_default();
        format!("{}{span}", self.location.position)
    }

    /// A span that starts and ends with the record.
    pub(super) fn span(&self, span_id: String, kind: SpanKind, name: &str) -> Span {
        Span {
            span_id,
            parent_span_id: self.parent.clone(),
            name: name.to_owned(),
            kind,
            started_at_ns: Some(self.at_ns),
            ended_at_ns: Some(self.at_ns),
            ..Span::default()
        }
    }

    /// The span of a message to the model.
    pub(super) fn input(&self, span_id: String, message: Message) -> Span {
        let name = message.role.clone();
        Span { input: vec![message], ..self.span(span_id, SpanKind::Other, &name) }
    }

    /// Adds the span, or a part of it.
    pub(super) fn add(&self, span: Span, out: &mut ParsedChunk) -> Accounted {
        let mut fragment = record::fragment(self.trace_id.clone(), infer::infer_fields(span), self.location);
        fragment.service = Some(self.service.to_owned());
        fragment.has_synthetic_id = self.has_no_time;
        // Where a session has no id, its trace has that of the object.
        if !self.trace_id.contains('/') {
            fragment.context.add("session.id", &self.trace_id);
        }
        fragment.context.add_known("service.version", self.version.as_deref());
        out.part(fragment)
    }

    /// Adds the spans of the tools that a message calls; they are open until their results follow.
    pub(super) fn add_calls<'c>(&self, calls: impl IntoIterator<Item = &'c ToolCall>, all: &mut Option<Accounted>, out: &mut ParsedChunk) {
        // The calls start after the message.
        for (call, start) in calls.into_iter().zip(self.at_ns.saturating_add(1)..) {
            let Some(id) = call.id.clone() else { continue };
            let tool = ToolUse { name: call.name.clone(), call_id: call.id.clone(), arguments: call.arguments.clone(), result: None };
            let span = self.span(id, SpanKind::Tool, &call.name);
            self.add(Span { started_at_ns: Some(start), ended_at_ns: None, tool: Some(tool), ..span }, out).add_to(all);
        }
    }

    /// The part of a tool's span that a record about its end describes; the start is that of the call.
    pub(super) fn tool_end(&self, call_id: String, name: Option<&str>, result: Option<String>) -> Span {
        let name = name.unwrap_or_default();
        let tool = ToolUse { name: name.to_owned(), call_id: Some(call_id.clone()), arguments: String::new(), result };
        Span { started_at_ns: None, tool: Some(tool), ..self.span(call_id, SpanKind::Tool, name) }
    }

    /// A failed call of the model.
    pub(super) fn failed_call(&self, span_id: String, message: String) -> Span {
        let mut span = self.span(span_id, SpanKind::Llm, "assistant");
        fail(&mut span, message);
        span
    }
}

/// Marks a span as failed. The type of the error is the first word of its message, if that is one.
pub(super) fn fail(span: &mut Span, message: String) {
    span.status = Status::Error;
    if span.error_type.is_none() {
        span.error_type = error_text::split_prefix(message.trim_start()).map(|(kind, _)| kind.to_owned());
    }
    span.status_message = Some(message).filter(|message| !message.trim().is_empty());
}

/// Keeps a value as an attribute of a span.
pub(super) fn keep(span: &mut Span, key: &'static str, value: &Value<'_>) {
    record::keep_attribute(span, Cow::Borrowed(key), value.clone());
}

/// What is added to the time of a record, so that its place in the object decides among those of the same millisecond. A record may add several spans.
fn offset_ns(location: &RecordLocation<'_>) -> u64 {
    const SPANS: u64 = 16;
    const MILLISECOND_NS: u64 = 1_000_000;
    let index = match location.position {
        Position::Item(_, item) => item as u64,
        Position::Line(line) => line,
        _ => 0,
    };
    let index = index.saturating_add(location.span.unwrap_or_default() as u64);
    index.saturating_mul(SPANS).min(MILLISECOND_NS - SPANS)
}
