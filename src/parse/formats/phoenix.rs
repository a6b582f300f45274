//! Arize Phoenix: Parquet files of a span data frame, responses of the REST API as JSON lines, and annotations.
//!
//! Specification: <https://arize.com/docs/phoenix/sdk-api-reference>, checked against Phoenix 20.26. Data frames come from
//! `client.spans.get_spans_dataframe()` and pandas; responses from `GET /v1/projects/{project}/spans`, `…/spans/otlpv1`, `…/traces` and
//! `…/span_annotations`. Attributes follow OpenInference.
//!
//! ```json
//! {"name": "chat", "context": {"trace_id": "5b8e…", "span_id": "eee1…"}, "span_kind": "LLM", "parent_id": null,
//!  "start_time": "2026-11-23T08:53:46.335617+00:00", "status_code": "ERROR", "status_message": "Error code: 429",
//!  "attributes": {"llm.model_name": "gpt-4o", "llm.input_messages.0.message.role": "user"}, "events": []}
//! ```
//!
//! A data frame has the columns `name`, `span_kind`, `parent_id`, `start_time`, `end_time`, `status_code`, `status_message`, `events`,
//! `context.span_id`, `context.trace_id`, and one `attributes.X` for each attribute of any span.
//!
//! Quirks of real exports (Phoenix 20.26, client 3.5):
//! - Keys inside nested values contain dots (`message.role`).
//! - Counts are doubles, and NaN if they are missing.
//! - Attributes without a convention are nested objects (`attributes.http`).
//! - pandas' `to_parquet` refuses columns of mixed types, so users convert them to JSON text, or with `astype(str)` to Python's `repr`, with
//!   `nan` for a missing value. The index is repeated in `__index_level_0__`.
//! - `otlpv1` has one span per line with `snake_case` names, which is not OTLP's JSON.
//! - Annotations name their span but no trace.

use std::borrow::Cow;

use super::otlp;
use crate::model::{Annotation, Exception, RejectionKind, Span};
use crate::parse::conventions::{self, SpanMapper};
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, AnnotationTarget, Format, ParsedChunk, RecordLocation, Signature, python_repr, span_fields};

/// The format of Arize Phoenix; see the [module docs](self).
pub(super) struct Phoenix;

const ATTRIBUTES: &str = "attributes.";

impl Format for Phoenix {
    fn name(&self) -> &'static str {
        "phoenix"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A span of the REST API and of a data frame.
                Signature::unique(&["context", "span_kind"]),
                Signature::unique(&["context.trace_id", "context.span_id"]),
                // A span of `spans/otlpv1`.
                Signature::unique(&["trace_id", "span_id", "start_time_unix_nano"]),
                Signature::common(&["trace_id", "project_id", "spans"]),
                Signature::unique(&["span_id", "annotator_kind"]),
                // A response of the API.
                Signature::page(&["data", "next_cursor"]),
            ]
        }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        parse_any(record, location, out)
    }

    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        if json.contains("\"start_time_unix_nano\"") {
            return otlp::parse_span(json, location, out);
        }
        Ok(parse_any(Record::from_json(json, self.skipped_fields())?, location, out))
    }
}

/// Parses a record of any kind: a span, a trace with its spans, an annotation, or an API response with several of them.
fn parse_any(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("annotator_kind") {
        parse_annotation(record, location, out)
    } else if let Value::List(items) = record.take("data") {
        // A response of the API.
        record::parse_each(items, location, out, parse_any)
    } else if record.has("spans") {
        let trace_id = record.take("trace_id");
        let spans = record.take("spans");
        record::parse_each_span(spans, location, out, |record, location, out| parse_span(record, &trace_id, location, out))
    } else {
        parse_span(record, &Value::Null, location, out)
    }
}

/// Parses a span. `trace_id` is that of the enclosing trace, or null.
fn parse_span(mut record: Record<'_>, trace_id: &Value<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    // In JSON the ids are in an object, in Parquet in columns with dotted names, in a trace beside the spans.
    match Record::from_value(record.take("context")) {
        Some(mut context) => {
            record.insert("context.trace_id", context.take("trace_id"));
            record.insert("context.span_id", context.take("span_id"));
        }
        None if !record.has("context.span_id") => {
            let span_id = record.take("span_id");
            record.insert("context.trace_id", trace_id.clone().into_owned());
            record.insert("context.span_id", span_id);
        }
        None => {}
    }
    let keys = IdentityKeys { trace_id: "context.trace_id", span_id: "context.span_id", start_time: "start_time" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let mut text = |key: &str| record.take_text(key).filter(|text| !is_missing(text));
    let mut span = SpanMapper::new(Span {
        span_id,
        parent_span_id: text("parent_id"),
        name: text("name").unwrap_or_default(),
        kind: text("span_kind").and_then(|kind| conventions::openinference_kind(&kind)).unwrap_or_default(),
        status: span_fields::status(&text("status_code").unwrap_or_default()),
        status_message: text("status_message"),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("end_time").as_time(),
        exceptions: exceptions(&from_repr("events", record.take_tree("events"))),
        ..Span::default()
    });
    if let Value::Map(attributes) = record.take("attributes") {
        for (key, value) in attributes {
            set_flattened(&mut span, key, value);
        }
    }
    for (column, value) in record.into_fields() {
        if let Some(key) = column.strip_prefix(ATTRIBUTES) {
            set_flattened(&mut span, Cow::Borrowed(key), from_repr(key, value));
        }
    }
    out.span(record::fragment(trace_id.to_ascii_lowercase(), span.finish(), location))
}

/// Decodes a nested value that a data frame stores as text. Other text is returned unchanged, and so are the input and the output of a
/// span, which the program itself may have written as JSON or `repr`.
fn from_repr<'a>(key: &str, value: Value<'a>) -> Value<'a> {
    let Value::Text(text) = &value else { return value };
    if is_missing(text) {
        return Value::Null;
    }
    if matches!(key, "input.value" | "output.value") {
        return value;
    }
    match Value::parse(text) {
        // An object without a convention, as JSON text.
        Some(tree @ Value::Map(_)) if !key.contains('.') => tree.into_owned(),
        Some(_) => value,
        None => python_repr::parse(text).unwrap_or(value),
    }
}

fn exceptions(events: &Value<'_>) -> Vec<Exception> {
    let exception = |event: &Value<'_>| {
        (event.get("name").as_str() == Some("exception")).then(|| span_fields::exception(event.get("attributes").clone()))
    };
    events.items().iter().filter_map(exception).collect()
}

/// Sets an attribute. Nested objects are flattened to dotted keys, except for those that are one attribute in OpenInference.
fn set_flattened(span: &mut SpanMapper, key: Cow<'_, str>, value: Value<'_>) {
    let is_one_attribute =
        matches!(key.as_ref(), "metadata" | "tool.parameters" | "llm.invocation_parameters" | "llm.prompt_template.variables");
    match value {
        Value::Map(fields) if !is_one_attribute => {
            for (name, value) in fields {
                set_flattened(span, Cow::Owned(format!("{key}.{name}")), value);
            }
        }
        Value::Text(text) if is_missing(&text) => {}
        Value::Null => {}
        other => span.set_attribute(key, other),
    }
}

/// Whether a text is how pandas writes a missing value.
fn is_missing(text: &str) -> bool {
    matches!(text, "" | "nan" | "NaT" | "None")
}

/// Parses an annotation, which names its span but not its trace; the gather stage adds it to the span.
fn parse_annotation(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(span_id) = record.take("span_id").as_id() else {
        return out.reject(location, RejectionKind::MissingId, format!("cannot read {location}: the annotation has no span_id"));
    };
    let result = record.take("result");
    let mut part = |name: &str| {
        let nested = result.get(name).clone();
        if nested.is_null() { record.take(&format!("result.{name}")) } else { nested }
    };
    let (label, score, comment) = (part("label").into_text(), part("score").as_f64(), part("explanation").into_text());
    let name = record.take_text("annotation_name").or_else(|| record.take_text("name")).unwrap_or_default();
    out.annotation(AnnotationTarget::Span(span_id), Annotation { name, label, score, comment }, location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{SpanKind, Status};
    use crate::parse::tests::parse_line;

    #[test]
    fn a_rest_span_is_read() {
        let out = parse_line(
            &Phoenix,
            r#"{"id":"U3Bhbjox","name":"chat","context":{"trace_id":"T1","span_id":"s1"},"span_kind":"LLM","parent_id":null,
            "start_time":"2026-11-23T08:53:46.335617+00:00","status_code":"ERROR","status_message":"no","attributes":{"llm.input_messages.0.message.role":"user","llm.input_messages.0.message.content":"hi","metadata.tenant":"acme"},
            "events":[{"name":"exception","timestamp":"x","attributes":{"exception.type":"E","exception.message":"m"}}]}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.kind, fragment.span.status), ("t1", SpanKind::Llm, Status::Error));
        assert_eq!((fragment.span.input[0].content.as_str(), fragment.span.exceptions[0].kind.as_str()), ("hi", "E"));
        assert_eq!(fragment.span.attribute("metadata.tenant"), Some("acme"));
    }

    #[test]
    fn an_api_response_yields_its_spans() {
        let span = r#"{"context":{"trace_id":"t","span_id":"s"},"span_kind":"LLM","start_time":"2026-11-23T08:53:46Z"}"#;
        let out = parse_line(&Phoenix, &format!("{{\"data\":[{span},{{}}],\"next_cursor\":null}}"));
        assert_eq!((out.fragments.len(), out.rejections[0].trace_ref.as_str()), (1, "t.jsonl#L4.s2"));
    }

    #[test]
    fn a_span_of_otlpv1_is_read() {
        let out = parse_line(
            &Phoenix,
            r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","parent_span_id":null,"name":"plan","kind":"SPAN_KIND_INTERNAL",
            "start_time_unix_nano":1795424023965040896,"attributes":[{"key":"openinference.span.kind","value":{"array_value":null,"int_value":null,"string_value":"AGENT"}}],
            "events":[],"status":{"code":2,"message":"no"}}"#,
        );
        let span = &out.fragments[0].span;
        assert_eq!((span.kind, span.status, span.parent_span_id.as_deref()), (SpanKind::Agent, Status::Error, None));
    }

    #[test]
    fn the_repr_of_a_nested_value_is_decoded() {
        let value = from_repr("llm.input_messages", Value::Text("[{'message.role': 'user', 'message.content': \"it's\"}]".into()));
        let mut span = SpanMapper::new(Span::default());
        span.set_attribute("llm.input_messages".into(), value);
        assert_eq!(span.finish().input[0].content, "it's");
        assert_eq!(from_repr("input.value", Value::Text("{'a': 1}".into())), Value::Text("{'a': 1}".into()));
    }

    #[test]
    fn annotations_are_kept_apart_and_traces_without_spans_are_skipped() {
        let out = parse_line(
            &Phoenix,
            r#"{"span_id":"s1","name":"quality","annotator_kind":"LLM","result":{"label":"bad","score":0.0,"explanation":"why"}}"#,
        );
        assert_eq!(out.annotations[0].0, AnnotationTarget::Span("s1".into()));
        assert_eq!(out.annotations[0].1.label.as_deref(), Some("bad"));
        let out = parse_line(&Phoenix, r#"{"trace_id":"t","project_id":"p","spans":null}"#);
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }
}
