//! failsift's own format: one complete trace per line, or per row of a Parquet table with the same fields as columns (`spans` as a list of
//! structs or as JSON text).
//!
//! Specification: `schemas/trace.schema.json`, printed by `failsift schema trace`.
//!
//! ```json
//! {"trace_id": "run-17", "service": "support", "started_at": "2026-11-23T09:00:00Z", "spans": [
//!   {"span_id": "1", "name": "agent", "kind": "agent", "status": "error", "status_message": "boom",
//!    "started_at": "2026-11-23T09:00:00Z", "ended_at": "2026-11-23T09:00:02Z"}]}
//! ```
//!
//! Times are RFC 3339 text or nanoseconds since 1970. A span without a time has that of its trace. In a field that may be any JSON
//! (`arguments`, `result`) a string is the text itself.

use std::borrow::Cow;

use serde::Deserialize;

use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{
    Annotation, Attribute, Context, Document, Exception, Message, Rejection, RejectionKind, Span, SpanKind, Stage, TokenUsage, ToolUse,
};
use crate::parse::json::{self, Text, json_object};
use crate::parse::value::Value;
use crate::parse::{
    Accounted, Format, ParsedChunk, Record, RecordLocation, Signature, Skip, SpanFragment, context, messages, record, span_fields,
};

/// failsift's own format; see the [module docs](self).
pub(super) struct Failsift;

impl Format for Failsift {
    fn name(&self) -> &'static str {
        "failsift"
    }

    fn signatures(&self) -> &'static [Signature] {
        const { &[Signature::common(&["trace_id", "spans"])] }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let spans = record.take_tree("spans");
        record.insert("spans", spans);
        let json = record.into_value().to_text();
        self.parse_json(&json, location, out).unwrap_or_else(|error| out.reject_json(location, &error))
    }

    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        match json::parse::<Run<'_>>(json) {
            Ok(run) => Ok(add_spans(run, location, out)),
            Err(error) if error.is_data() && json.starts_with('{') => {
                let reason = format!(
                    "cannot read {location}: a field before column {} is missing or has the wrong type\n  hint: `failsift schema trace` prints the schema",
                    error.column()
                );
                Ok(out.reject(location, RejectionKind::MalformedRecord, reason))
            }
            Err(error) => Err(error),
        }
    }
}

/// Adds the spans of a trace, or rejects the trace.
fn add_spans(run: Run<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if run.trace_id.is_empty() {
        return out.reject(location, RejectionKind::MissingId, format!("cannot read {location}: the trace has no trace_id"));
    }
    if let Some(index) = run.spans.iter().position(|span| span.span_id.is_empty()) {
        let location = location.span(index + 1);
        return out.reject(&location, RejectionKind::MissingId, format!("cannot read {location}: the span has no span_id"));
    }
    let trace_rejection = |kind, reason: String| Rejection::for_trace(&run.trace_id, location.uri, Stage::Parse, kind, reason);
    if run.spans.is_empty() {
        return out.reject_as(trace_rejection(RejectionKind::NoSpans, format!("cannot read {location}: the trace has no spans")));
    }
    let trace_start = nanoseconds(&run.started_at);
    if trace_start.is_none() && run.spans.iter().all(|span| nanoseconds(&span.started_at).is_none()) {
        let reason = format!("cannot read {location}: neither the trace nor any of its spans has a valid started_at");
        return out.reject_as(trace_rejection(RejectionKind::MissingTime, reason));
    }
    let mut found = Context::default();
    found.add_known("user.id", run.user.as_deref());
    found.add_known("session.id", run.session.as_deref());
    for (key, value) in &run.resource.0 {
        context::add(&mut found, key, value);
    }
    let fragments = run.spans.into_iter().map(|span| SpanFragment {
        context: found.clone(),
        trace_id: run.trace_id.clone(),
        service: run.service.clone(),
        environment: run.environment.clone(),
        ..record::fragment(String::new(), span.into_span(trace_start), location)
    });
    Accounted::of_parts(fragments.map(|fragment| out.span(fragment)).collect::<Vec<_>>()).unwrap_or_else(|| out.skip(Skip::Empty, location))
}

json_object! {
    struct Run<'a> {
        "trace_id" => trace_id: String,
        "service" => service: Option<String>,
        "environment" => environment: Option<String>,
        "user" => user: Option<String>,
        "session" => session: Option<String>,
        "resource" => resource: Fields<'a>,
        "started_at" => started_at: Value<'a>,
        "spans" => spans: Vec<RecordSpan<'a>>,
    }
}

json_object! {
    struct RecordSpan<'a> {
        "span_id" => span_id: String,
        "parent_span_id" => parent_span_id: Option<String>,
        "name" => name: String,
        "kind" => kind: Text<'a>,
        "started_at" => started_at: Value<'a>,
        "ended_at" => ended_at: Value<'a>,
        "status" => status: Text<'a>,
        "status_message" => status_message: Option<String>,
        "error_type" => error_type: Option<String>,
        "exceptions" => exceptions: Vec<RecordException<'a>>,
        "model" => model: Option<String>,
        "provider" => provider: Option<String>,
        "finish_reasons" => finish_reasons: Vec<String>,
        "input_tokens" => input_tokens: Option<u64>,
        "output_tokens" => output_tokens: Option<u64>,
        "input" => input: Vec<Value<'a>>,
        "output" => output: Vec<Value<'a>>,
        "input_text" => input_text: Option<String>,
        "output_text" => output_text: Option<String>,
        "tool" => tool: Option<RecordTool<'a>>,
        "tools_offered" => tools_offered: Vec<String>,
        "documents" => documents: Option<Vec<RecordDocument<'a>>>,
        "annotations" => annotations: Vec<RecordAnnotation<'a>>,
        "attributes" => attributes: Fields<'a>,
    }
}

json_object! {
    struct RecordException<'a> {
        "type" => kind: Text<'a>,
        "message" => message: Text<'a>,
        "stack" => stack: Option<String>,
    }
}

json_object! {
    struct RecordTool<'a> {
        "name" => name: String,
        "call_id" => call_id: Option<String>,
        "arguments" => arguments: Value<'a>,
        "result" => result: Value<'a>,
    }
}

json_object! {
    struct RecordDocument<'a> {
        "id" => id: Option<String>,
        "content" => content: Text<'a>,
        "score" => score: Option<f64>,
    }
}

json_object! {
    struct RecordAnnotation<'a> {
        "name" => name: Text<'a>,
        "label" => label: Option<String>,
        "score" => score: Option<f64>,
        "comment" => comment: Option<String>,
    }
}

/// The fields of an object, in their order.
#[derive(Default)]
struct Fields<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(fields) => Ok(Self(fields)),
            Value::Null => Ok(Self::default()),
            _ => Err(serde::de::Error::invalid_type(serde::de::Unexpected::Other("a value"), &"an object")),
        }
    }
}

impl RecordSpan<'_> {
    fn into_span(self, trace_start: Option<i64>) -> Span {
        let messages =
            |list: Vec<Value<'_>>| -> Vec<Message> { list.iter().filter_map(messages::message).take(SPAN_ITEMS_MAX + 1).collect() };
        Span {
            span_id: self.span_id,
            parent_span_id: self.parent_span_id.filter(|id| !id.is_empty()),
            name: self.name,
            kind: SpanKind::from_word(&self.kind.0).unwrap_or_default(),
            started_at_ns: nanoseconds(&self.started_at).or(trace_start),
            ended_at_ns: nanoseconds(&self.ended_at),
            status: span_fields::status(&self.status.0),
            status_message: self.status_message,
            error_type: self.error_type,
            exceptions: self
                .exceptions
                .into_iter()
                .map(|exception| Exception {
                    kind: exception.kind.0.into_owned(),
                    message: exception.message.0.into_owned(),
                    stack: exception.stack,
                })
                .collect(),
            model: self.model,
            provider: self.provider,
            finish_reasons: self.finish_reasons,
            usage: TokenUsage { input: self.input_tokens, output: self.output_tokens },
            input: messages(self.input),
            output: messages(self.output),
            input_text: self.input_text,
            output_text: self.output_text,
            tool: self.tool.map(|tool| ToolUse {
                name: tool.name,
                call_id: tool.call_id,
                arguments: tool.arguments.to_text(),
                result: tool.result.into_text(),
            }),
            tools_offered: self.tools_offered,
            documents: self.documents.map(|documents| {
                documents
                    .into_iter()
                    .map(|document| Document { id: document.id, content: document.content.0.into_owned(), score: document.score })
                    .collect()
            }),
            annotations: self
                .annotations
                .into_iter()
                .map(|found| Annotation { name: found.name.0.into_owned(), label: found.label, score: found.score, comment: found.comment })
                .collect(),
            attributes: self
                .attributes
                .0
                .into_iter()
                .map(|(key, value)| Attribute { key: key.into_owned(), value: value.to_text() })
                .collect(),
            ..Span::default()
        }
    }
}

/// RFC 3339 text, or nanoseconds as a number.
fn nanoseconds(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(number) => Some(*number).filter(|number| *number > 0),
        Value::Text(text) => crate::parse::value::time_from_text(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> ParsedChunk {
        crate::parse::tests::parse_line(&Failsift, line)
    }

    #[test]
    fn a_trace_becomes_its_spans() {
        let out = parse(
            r#"{"trace_id":"r1","started_at":"2026-11-23T09:00:00Z","spans":[{"span_id":"1","kind":"tool","status":"error",
            "tool":{"name":"f","arguments":{"x":1},"result":"boom"},"attributes":{"http.status":500}}]}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.kind), ("r1", SpanKind::Tool));
        assert_eq!(fragment.span.tool.as_ref().unwrap().arguments, r#"{"x":1}"#);
        assert_eq!(fragment.span.attribute("http.status"), Some("500"));
        assert_eq!(fragment.span.started_at_ns, Some(1_795_424_400_000_000_000));
    }

    #[test]
    fn a_trace_without_id_spans_or_time_is_rejected() {
        let kind = |line: &str| parse(line).rejections[0].kind;
        assert_eq!(kind(r#"{"trace_id":"","spans":[]}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[]}"#), RejectionKind::NoSpans);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[{"span_id":"1"}]}"#), RejectionKind::MissingTime);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[{"span_id":1}]}"#), RejectionKind::MalformedRecord);
        assert_eq!(kind(r#"{"trace_id":"a","spans":["#), RejectionKind::MalformedJson);
    }
}
