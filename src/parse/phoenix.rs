//! Arize Phoenix: the Parquet of a span dataframe, what its REST API returns as JSON lines, and annotations.
//!
//! Dataframe: `client.spans.get_spans_dataframe()` written with pandas; REST: <https://arize.com/docs/phoenix/sdk-api-reference>,
//! `GET /v1/projects/{project}/spans`, `…/spans/otlpv1`, `…/traces`, `…/span_annotations`. Attributes are those of `OpenInference`.
//!
//! Dataframe columns: `name`, `span_kind`, `parent_id`, `start_time`, `end_time`, `status_code`, `status_message`, `events`,
//! `context.span_id`, `context.trace_id`, and one `attributes.X` for each attribute that some span has.
//!
//! Quirks of real exports (Phoenix 20.26): struct fields contain dots (`message.role`); counts are doubles and NaN where absent;
//! attributes that no convention names are whole structs (`attributes.http`); `to_parquet` refuses mixed columns, so users write object
//! columns as JSON text or as text (`astype(str)`: Python's `repr`, `nan` where nothing was); the index stands again in
//! `__index_level_0__`; `otlpv1` is one span a line with `snake_case` names, not OTLP's JSON; annotations name a span and no trace.

use std::borrow::Cow;

use super::conventions::{self, SpanAttributes};
use super::record::{self, Record};
use super::value::Value;
use super::{Accounted, AnnotationTarget, Format, Parsed, Place, Skip, has_keys, otlp, python};
use crate::model::{Annotation, Exception, RejectionKind, Span};

/// See the module.
pub(super) struct Phoenix;

const ATTRIBUTES: &str = "attributes.";

impl Format for Phoenix {
    fn name(&self) -> &'static str {
        "phoenix"
    }

    fn recognises_keys(&self, keys: &[String]) -> bool {
        let span = has_keys(keys, &["context", "span_kind"]) || has_keys(keys, &["context.trace_id", "context.span_id"]);
        let otlp_span = has_keys(keys, &["trace_id", "span_id", "start_time_unix_nano"]);
        let trace = has_keys(keys, &["trace_id", "project_id", "spans"]);
        let annotation = has_keys(keys, &["span_id", "annotator_kind"]);
        let answer = has_keys(keys, &["data", "next_cursor"]);
        span || otlp_span || trace || annotation || answer
    }

    fn parse_record(&self, record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        self::record(record, place, out)
    }

    fn parse_json(&self, json: &str, place: &Place<'_>, out: &mut Parsed) -> Result<Accounted, serde_json::Error> {
        if json.contains("\"start_time_unix_nano\"") {
            return otlp::parse_span(json, place, out);
        }
        Ok(self::record(Record::of_json(json, self.skips())?, place, out))
    }
}

fn record(mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    if record.has("annotator_kind") {
        annotation(record, place, out)
    } else if let Value::List(items) = record.take("data") {
        // A whole answer of the API.
        record::each(items, place, out, self::record)
    } else if record.has("spans") {
        let trace_id = record.take("trace_id");
        let Value::List(spans) = record.take("spans") else { return out.skip(Skip::TraceWithoutSpans, place) };
        if spans.is_empty() {
            return out.skip(Skip::TraceWithoutSpans, place);
        }
        record::each(spans, place, out, |record, place, out| span(record, &trace_id, place, out))
    } else {
        span(record, &Value::Null, place, out)
    }
}

fn span(mut record: Record<'_>, trace_id: &Value<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    // In JSON the ids stand in an object, in Parquet in columns of a dotted name.
    match Record::of_value(record.take("context")) {
        Some(mut context) => {
            record.set("context.trace_id", context.take("trace_id"));
            record.set("context.span_id", context.take("span_id"));
        }
        None if !record.has("context.span_id") => {
            let span_id = record.take("span_id");
            record.set("context.trace_id", trace_id.clone().into_owned());
            record.set("context.span_id", span_id);
        }
        None => {}
    }
    let (trace_id, span_id) = match record.take_ids("context.trace_id", "context.span_id", place, out) {
        Ok(ids) => ids,
        Err(rejected) => return rejected,
    };
    let started_at_ns = match record.take_start("start_time", place, out) {
        Ok(time) => time,
        Err(rejected) => return rejected,
    };
    let mut text = |key: &str| record.take_text(key).filter(|text| !is_missing(text));
    let mut span = SpanAttributes::new(Span {
        span_id,
        parent_span_id: text("parent_id"),
        name: text("name").unwrap_or_default(),
        kind: text("span_kind").and_then(|kind| conventions::openinference_kind(&kind)).unwrap_or_default(),
        status: conventions::status(&text("status_code").unwrap_or_default()),
        status_message: text("status_message"),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("end_time").as_time(),
        exceptions: exceptions(&from_repr("events", record.take_tree("events"))),
        ..Span::default()
    });
    if let Value::Map(attributes) = record.take("attributes") {
        for (key, value) in attributes {
            set_flat(&mut span, key, value);
        }
    }
    for (column, value) in record.into_fields() {
        if let Some(key) = column.strip_prefix(ATTRIBUTES) {
            set_flat(&mut span, Cow::Borrowed(key), from_repr(key, value));
        }
    }
    out.span(record::piece(trace_id.to_ascii_lowercase(), span.finish(), place))
}

/// What a data frame of texts holds of a nested value; other texts are the user's own.
fn from_repr<'a>(key: &str, value: Value<'a>) -> Value<'a> {
    let Value::Text(text) = &value else { return value };
    if is_missing(text) {
        return Value::Null;
    }
    if matches!(key, "input.value" | "output.value") {
        return value;
    }
    match Value::parse(text) {
        // A struct that no convention names, written as JSON text.
        Some(tree @ Value::Map(_)) if !key.contains('.') => tree.into_owned(),
        Some(_) => value,
        None => python::parse(text).unwrap_or(value),
    }
}

fn exceptions(events: &Value<'_>) -> Vec<Exception> {
    let exception = |event: &Value<'_>| {
        let attributes = event.get("attributes");
        let fields = attributes.fields().iter().map(|(key, value)| (key.clone().into_owned(), value.clone().into_text()));
        (event.get("name").as_str() == Some("exception")).then(|| conventions::exception(fields))
    };
    events.items().iter().filter_map(exception).collect()
}

/// Structs that no convention takes whole are flattened again to dotted keys.
fn set_flat(span: &mut SpanAttributes, key: Cow<'_, str>, value: Value<'_>) {
    let taken_whole =
        matches!(key.as_ref(), "metadata" | "tool.parameters" | "llm.invocation_parameters" | "llm.prompt_template.variables");
    match value {
        Value::Map(fields) if !taken_whole => {
            for (name, value) in fields {
                set_flat(span, Cow::Owned(format!("{key}.{name}")), value);
            }
        }
        Value::Text(text) if is_missing(&text) => {}
        Value::Null => {}
        other => span.set(key, other),
    }
}

/// How pandas writes a missing value into a text column.
fn is_missing(text: &str) -> bool {
    matches!(text, "" | "nan" | "NaT" | "None")
}

/// A row of the annotations, from which the trace is not known: it finds its span when that is read.
fn annotation(mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let Some(span_id) = record.take("span_id").as_id() else {
        return out.reject(place, RejectionKind::MissingId, format!("cannot read {place}: the annotation has no span_id"));
    };
    let result = record.take("result");
    let mut part = |name: &str| {
        let nested = result.get(name).clone();
        if nested.is_null() { record.take(&format!("result.{name}")) } else { nested }
    };
    let (label, score, comment) = (part("label").into_text(), part("score").as_f64(), part("explanation").into_text());
    let name = record.take_text("annotation_name").or_else(|| record.take_text("name")).unwrap_or_default();
    out.annotation(AnnotationTarget::Span(span_id), Annotation { name, label, score, comment }, place)
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
        let piece = &out.pieces[0];
        assert_eq!((piece.trace_id.as_str(), piece.span.kind, piece.span.status), ("t1", SpanKind::Llm, Status::Error));
        assert_eq!((piece.span.input[0].content.as_str(), piece.span.exceptions[0].kind.as_str()), ("hi", "E"));
        assert_eq!(piece.span.attribute("metadata.tenant"), Some("acme"));
    }

    #[test]
    fn a_whole_answer_is_its_spans() {
        let span = r#"{"context":{"trace_id":"t","span_id":"s"},"span_kind":"LLM","start_time":"2026-11-23T08:53:46Z"}"#;
        let out = parse_line(&Phoenix, &format!("{{\"data\":[{span},{{}}],\"next_cursor\":null}}"));
        assert_eq!((out.pieces.len(), out.rejections[0].trace_ref.as_str()), (1, "t.jsonl#L4.s2"));
    }

    #[test]
    fn a_span_of_otlpv1_is_read() {
        let out = parse_line(
            &Phoenix,
            r#"{"trace_id":"5b8efff798038103d269b633813fc60c","span_id":"eee19b7ec3c1b174","parent_span_id":null,"name":"plan","kind":"SPAN_KIND_INTERNAL",
            "start_time_unix_nano":1795424023965040896,"attributes":[{"key":"openinference.span.kind","value":{"array_value":null,"int_value":null,"string_value":"AGENT"}}],
            "events":[],"status":{"code":2,"message":"no"}}"#,
        );
        let span = &out.pieces[0].span;
        assert_eq!((span.kind, span.status, span.parent_span_id.as_deref()), (SpanKind::Agent, Status::Error, None));
    }

    #[test]
    fn the_repr_of_a_data_frame_of_texts_is_read() {
        let value = from_repr("llm.input_messages", Value::Text("[{'message.role': 'user', 'message.content': \"it's\"}]".into()));
        let mut span = SpanAttributes::new(Span::default());
        span.set("llm.input_messages".into(), value);
        assert_eq!(span.finish().input[0].content, "it's");
        assert_eq!(from_repr("input.value", Value::Text("{'a': 1}".into())), Value::Text("{'a': 1}".into()));
    }

    #[test]
    fn annotations_wait_for_their_span_and_trace_rows_are_skipped() {
        let out = parse_line(
            &Phoenix,
            r#"{"span_id":"s1","name":"quality","annotator_kind":"LLM","result":{"label":"bad","score":0.0,"explanation":"why"}}"#,
        );
        assert_eq!(out.annotations[0].0, AnnotationTarget::Span("s1".into()));
        assert_eq!(out.annotations[0].1.label.as_deref(), Some("bad"));
        let out = parse_line(&Phoenix, r#"{"trace_id":"t","project_id":"p","spans":null}"#);
        assert_eq!((out.pieces.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }
}
