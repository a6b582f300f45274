//! failsift's own format: one whole trace a line, as `schemas/trace.schema.json` describes it.
//!
//! ```json
//! {"trace_id": "run-17", "service": "support", "started_at": "2026-11-23T09:00:00Z", "spans": [
//!   {"span_id": "1", "name": "agent", "kind": "agent", "status": "error", "status_message": "boom",
//!    "started_at": "2026-11-23T09:00:00Z", "ended_at": "2026-11-23T09:00:02Z"}]}
//! ```
//!
//! Times are RFC 3339 text or nanoseconds since 1970. A span without a time takes that of its trace. Where a field may hold any JSON
//! (`arguments`, `result`), strings are taken as they are.

use serde::Deserialize;
use serde_json::Value;

use super::{Format, Parsed, Piece, Place, json, messages};
use crate::model::{Attribute, Document, Exception, Kind, Message, Rejection, Source, Span, SpanKind, Stage, TokenUsage, ToolUse};

/// See the module.
pub(super) struct Failsift;

impl Format for Failsift {
    fn name(&self) -> &'static str {
        "failsift"
    }

    fn recognises_keys(&self, keys: &[String]) -> bool {
        let has = |wanted: &str| keys.iter().any(|key| key == wanted);
        has("trace_id") && has("spans")
    }

    fn parse_line(&self, line: &str, place: &Place<'_>, out: &mut Parsed) {
        let record: Record = match serde_json::from_str(line) {
            Ok(record) => record,
            Err(error) if error.is_data() => {
                out.reject(
                    place,
                    Kind::MalformedRecord,
                    format!(
                        "cannot read {place}: a field is missing or has the wrong type, before column {}; see schemas/trace.schema.json",
                        error.column()
                    ),
                );
                return;
            }
            Err(_) => {
                out.reject(place, Kind::MalformedJson, format!("cannot read {place}: {}", json::describe(line)));
                return;
            }
        };
        if record.trace_id.is_empty() {
            out.reject(place, Kind::MissingId, format!("cannot read {place}: the trace has no trace_id"));
            return;
        }
        let of_trace = |kind, reason: String| Rejection::of_trace(&record.trace_id, place.uri, Stage::Parse, kind, reason);
        if record.spans.is_empty() {
            out.rejections.push(of_trace(Kind::NoSpans, format!("cannot read {place}: the trace has no spans")));
            return;
        }
        let trace_start = record.started_at.as_ref().and_then(nanoseconds);
        if trace_start.is_none() && record.spans.iter().all(|span| span.started_at.as_ref().and_then(nanoseconds).is_none()) {
            out.rejections.push(of_trace(
                Kind::MissingTime,
                format!("cannot read {place}: neither the trace nor a span of it has a started_at that is a time"),
            ));
            return;
        }
        let pieces = record.spans.into_iter().map(|span| Piece {
            trace_id: record.trace_id.clone(),
            service: record.service.clone(),
            environment: record.environment.clone(),
            source: Source { uri: place.uri.to_owned() },
            span: span.into_span(trace_start),
            addition: false,
        });
        out.pieces.extend(pieces);
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(default)]
    trace_id: String,
    service: Option<String>,
    environment: Option<String>,
    started_at: Option<Value>,
    #[serde(default)]
    spans: Vec<RecordSpan>,
}

#[derive(Deserialize)]
struct RecordSpan {
    span_id: String,
    parent_span_id: Option<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    kind: String,
    started_at: Option<Value>,
    ended_at: Option<Value>,
    #[serde(default)]
    status: String,
    status_message: Option<String>,
    error_type: Option<String>,
    #[serde(default)]
    exceptions: Vec<RecordException>,
    model: Option<String>,
    provider: Option<String>,
    #[serde(default)]
    finish_reasons: Vec<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(default)]
    input: Vec<Value>,
    #[serde(default)]
    output: Vec<Value>,
    input_text: Option<String>,
    output_text: Option<String>,
    tool: Option<RecordTool>,
    #[serde(default)]
    tools_offered: Vec<String>,
    documents: Option<Vec<RecordDocument>>,
    #[serde(default)]
    attributes: serde_json::Map<String, Value>,
}

#[derive(Deserialize)]
struct RecordException {
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    message: String,
    stack: Option<String>,
}

#[derive(Deserialize)]
struct RecordTool {
    name: String,
    call_id: Option<String>,
    #[serde(default)]
    arguments: Value,
    #[serde(default)]
    result: Value,
}

#[derive(Deserialize)]
struct RecordDocument {
    id: Option<String>,
    #[serde(default)]
    content: String,
    score: Option<f64>,
}

impl RecordSpan {
    fn into_span(self, trace_start: Option<i64>) -> Span {
        let messages = |list: Vec<Value>| -> Vec<Message> { list.iter().filter_map(messages::message).collect() };
        Span {
            span_id: self.span_id,
            parent_span_id: self.parent_span_id.filter(|id| !id.is_empty()),
            name: self.name,
            kind: SpanKind::from_word(&self.kind).unwrap_or_default(),
            started_at_ns: self.started_at.as_ref().and_then(nanoseconds).or(trace_start),
            ended_at_ns: self.ended_at.as_ref().and_then(nanoseconds),
            status: super::conventions::status(&self.status),
            status_message: self.status_message,
            error_type: self.error_type,
            exceptions: self
                .exceptions
                .into_iter()
                .map(|exception| Exception { kind: exception.kind, message: exception.message, stack: exception.stack })
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
                arguments: messages::as_text(&tool.arguments),
                result: (!tool.result.is_null()).then(|| messages::as_text(&tool.result)),
            }),
            tools_offered: self.tools_offered,
            documents: self.documents.map(|documents| {
                documents
                    .into_iter()
                    .map(|document| Document { id: document.id, content: document.content, score: document.score })
                    .collect()
            }),
            attributes: self.attributes.into_iter().map(|(key, value)| Attribute { key, value: messages::as_text(&value) }).collect(),
        }
    }
}

/// RFC 3339 text, or nanoseconds as a number.
fn nanoseconds(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64().filter(|number| *number > 0),
        Value::String(text) => super::time_from_text(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Position;

    fn parse(line: &str) -> Parsed {
        let mut out = Parsed::default();
        Failsift.parse_line(line, &Place { uri: "t.jsonl", position: Position::Line(1) }, &mut out);
        out
    }

    #[test]
    fn a_trace_becomes_its_spans() {
        let out = parse(
            r#"{"trace_id":"r1","started_at":"2026-11-23T09:00:00Z","spans":[{"span_id":"1","kind":"tool","status":"error",
            "tool":{"name":"f","arguments":{"x":1},"result":"boom"},"attributes":{"http.status":500}}]}"#,
        );
        let piece = &out.pieces[0];
        assert_eq!((piece.trace_id.as_str(), piece.span.kind), ("r1", SpanKind::Tool));
        assert_eq!(piece.span.tool.as_ref().unwrap().arguments, r#"{"x":1}"#);
        assert_eq!(piece.span.attribute("http.status"), Some("500"));
        assert_eq!(piece.span.started_at_ns, Some(1_795_424_400_000_000_000));
    }

    #[test]
    fn what_is_missing_is_said() {
        let kind = |line: &str| parse(line).rejections[0].kind;
        assert_eq!(kind(r#"{"trace_id":"","spans":[]}"#), Kind::MissingId);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[]}"#), Kind::NoSpans);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[{"span_id":"1"}]}"#), Kind::MissingTime);
        assert_eq!(kind(r#"{"trace_id":"a","spans":[{"span_id":1}]}"#), Kind::MalformedRecord);
        assert_eq!(kind(r#"{"trace_id":"a","spans":["#), Kind::MalformedJson);
    }
}
