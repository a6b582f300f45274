//! Braintrust: rows of project logs, experiments and playgrounds, from the API (`fetch`, BTQL), the exports of automations (JSONL, Parquet) and
//! the downloads of the web page (JSON, CSV).
//!
//! Specification: <https://www.braintrust.dev/docs/api-reference/logs/fetch-project-logs-post-form>; checked against the rows of the SDKs 0.48 (Python)
//! and 3.35 (JavaScript). A row is a span.
//!
//! ```json
//! {"id": "f609…", "span_id": "92e9…", "root_span_id": "b4c7…", "span_parents": ["3bd9…"], "created": "2026-11-26T15:19:18.248841+00:00",
//!  "span_attributes": {"type": "llm", "name": "Chat Completion"}, "metadata": {"provider": "openai", "model": "gpt-4o", "tools": […]},
//!  "input": [{"role": "user", "content": "…"}], "output": [{"finish_reason": "stop", "index": 0, "message": {…}}], "error": null,
//!  "metrics": {"start": 1795706358.24, "end": 1795706358.33, "prompt_tokens": 57, "completion_tokens": 11}, "scores": {"Factuality": 0.0}}
//! ```
//!
//! | row | span |
//! |---|---|
//! | `root_span_id` | the trace id; without one, `id` |
//! | `span_attributes.type`: `llm`, `tool`, `task`, `score` … | kind |
//! | `error`: a traceback, text, or `{name, message, stack}` | exception |
//! | `input`, `output` | messages, tool arguments and result, or text |
//! | `metadata` | model, provider, tools offered; the other fields as attributes `metadata.X` |
//! | `scores`, `comments` | annotations |
//!
//! Quirks of real rows:
//! - `error` is a Python traceback without a message before it (0.48), or the message, a blank line and the stack (3.35).
//! - `metrics.start` is in seconds, and more exact than `created`.
//! - The Responses API's `status`, `incomplete_details` and `instructions` are in `metadata`, the tools of all APIs too (0.48).
//! - A stream that breaks has no error and no output (0.48).
//! - Embeddings have the type `llm`; their output is `{"embedding_length": 3}` (0.48).
//! - Downloads of the web page may lack the ids of spans. Nested columns of CSV are JSON text, or columns of their own (`metrics.start`).

use std::borrow::Cow;

use crate::model::{Annotation, Context, Exception, RejectionKind, Span, SpanKind, Status, TokenUsage};
use crate::parse::messages;
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, context, error_text, infer, span_fields};

/// The format of Braintrust's rows; see the [module docs](self).
pub(super) struct Braintrust;

impl Format for Braintrust {
    fn name(&self) -> &'static str {
        "braintrust"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A row; a query may select only some fields.
                Signature::unique(&["root_span_id", "span_id", "span_attributes"]),
                Signature::unique(&["root_span_id", "span_id", "span_parents"]),
                Signature::unique(&["root_span_id", "span_id", "span_attributes.name"]),
                Signature::common(&["id", "span_id", "root_span_id", "created"]),
                // A download without the ids of spans.
                Signature::common(&["id", "input", "output", "expected", "metadata", "metrics", "scores"]),
            ]
        }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        &SKIPPED_FIELDS
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        parse_row(record, location, out)
    }
}

/// Keys of Braintrust's own database, and values that are derived from other fields; sorted.
const SKIPPED_FIELDS: [&str; 13] = [
    "_async_scoring_state",
    "_audit_metadata",
    "_audit_source",
    "_is_merge",
    "_pagination_key",
    "_xact_id",
    "audit_data",
    "classifications",
    "facets",
    "is_root",
    "log_id",
    "org_id",
    "origin",
];

fn parse_row(mut row: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let (id, span_id) = (row.take("id").as_id(), row.take("span_id").as_id());
    let root_id = row.take("root_span_id").as_id();
    let Some(span_id) = span_id.or_else(|| id.clone()) else {
        let reason = format!("cannot read {location}: span_id and id are missing or empty\n  hint: include them in the export");
        return out.reject(location, RejectionKind::MissingId, reason);
    };
    let trace_id = root_id.or(id).unwrap_or_else(|| span_id.clone());
    let metrics = row.take_nested("metrics");
    let created = row.take("created");
    let Some(started_at_ns) = metrics.get("start").as_time().or_else(|| created.as_time()) else {
        let reason =
            format!("cannot read {location}: neither metrics.start nor created is a time\n  hint: include one of them in the export");
        return out.reject(location, RejectionKind::MissingTime, reason);
    };
    let attributes = row.take_nested("span_attributes");
    let mut span = Span {
        parent_span_id: parent_id(&mut row).filter(|parent| *parent != span_id),
        span_id,
        name: attributes.get("name").to_text(),
        kind: kind(attributes.get("type").as_str().unwrap_or_default()),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: metrics.get("end").as_time(),
        annotations: annotations(&mut row),
        ..Span::default()
    };
    set_error(&mut span, &row.take("error"));
    let metadata = row.take_nested("metadata");
    let (input, output) = (row.take_nested("input"), row.take_nested("output"));
    match span.kind {
        SpanKind::Llm if !output.get("embedding_length").is_null() => span.kind = SpanKind::Embedding,
        // A download without the attributes of spans.
        SpanKind::Other if !metadata.get("model").is_null() && !metrics.get("prompt_tokens").is_null() => span.kind = SpanKind::Llm,
        _ => {}
    }
    if span.kind == SpanKind::Llm {
        let (input_tokens, output_tokens) = (metrics.get("prompt_tokens").as_u64(), metrics.get("completion_tokens").as_u64());
        span.usage = TokenUsage { input: input_tokens, output: output_tokens };
    }
    let input = if span.kind == SpanKind::Tool { only_argument(input) } else { input };
    span_fields::set_input(&mut span, input);
    span_fields::set_output(&mut span, output);
    set_metadata(&mut span, &metadata);
    let named = |keys: &[&str]| metadata.first(keys).as_str().map(str::to_owned);
    let (service, environment) = (named(&["service", "service.name"]), named(&["environment"]));
    span.cost_usd = metrics.first(&["estimated_cost", "cost"]).as_f64().filter(|cost| *cost > 0.0);
    let mut found = Context::default();
    for key in ["project_name", "project_id"] {
        context::add(&mut found, "braintrust.project", row.get(key));
    }
    let prompt = metadata.get("prompt");
    context::add(&mut found, "prompt_version", prompt.first(&["version", "_xact_id"]));
    row.keep_rest(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    (fragment.service, fragment.environment, fragment.context) = (service, environment, found);
    out.span(fragment)
}

/// The argument of a tool that has only one: the JavaScript SDK writes the list of arguments of a function.
fn only_argument(input: Value<'_>) -> Value<'_> {
    match input {
        Value::List(mut arguments) if arguments.len() == 1 => arguments.pop().unwrap_or_default(),
        other => other,
    }
}

fn parent_id(row: &mut Record<'_>) -> Option<String> {
    let parents = row.take("span_parents");
    // A cell of CSV may have a single id.
    parents.any_tree().map_or_else(|| parents.as_id(), |parents| parents.items().first().and_then(Value::as_id))
}

fn kind(word: &str) -> SpanKind {
    match word {
        "llm" => SpanKind::Llm,
        "tool" => SpanKind::Tool,
        "" => SpanKind::Other,
        // Steps of the application, evaluations and their scorers.
        _ => SpanKind::Chain,
    }
}

/// Sets status and exception from an error: text, an object, or JSON text of one.
fn set_error(span: &mut Span, error: &Value<'_>) {
    if error.is_empty() {
        return;
    }
    let exception = match error.tree() {
        Some(tree) if !tree.fields().is_empty() => {
            let found = error_text::exception_in(&tree);
            if found.message.is_empty() { Exception { message: error.to_text(), ..found } } else { found }
        }
        _ => error_text::exception(error.to_text().trim()),
    };
    span.status = Status::Error;
    span.status_message = Some(exception.message.clone()).filter(|message| !message.is_empty());
    span.exceptions.push(exception);
}

/// Sets the fields of a model call that are in the metadata, and keeps the other entries as attributes.
fn set_metadata(span: &mut Span, metadata: &Value<'_>) {
    span.model = metadata.text_at("model");
    span.provider = metadata.text_at("provider");
    let mut mapped = vec!["model", "provider"];
    if span.kind == SpanKind::Llm {
        mapped.extend(["tools", "instructions", "incomplete_details"]);
        if span.tools_offered.is_empty() {
            span.tools_offered = messages::tool_names(metadata.get("tools"));
        }
        if let Some(system) = messages::system_message(metadata.first(&["instructions", "system"])).filter(|_| !span.input.is_empty()) {
            span.input.insert(0, system);
        }
        let reason = metadata.get("incomplete_details").text_at("reason");
        let stopped = reason.or_else(|| metadata.text_at("stop_reason")).or_else(|| metadata.text_at("finish_reason"));
        span.finish_reasons.extend(stopped.filter(|_| span.finish_reasons.is_empty()));
    }
    if span.kind == SpanKind::Tool {
        span.tool.get_or_insert_default().call_id = metadata.first(&["tool_call_id", "tool_use_id", "call_id"]).as_str().map(str::to_owned);
    }
    for (key, value) in metadata.fields() {
        if !mapped.contains(&key.as_ref()) {
            record::keep_attribute(span, Cow::Owned(format!("metadata.{key}")), value.clone());
        }
    }
}

/// The scores of a row, and the comments on it.
fn annotations(row: &mut Record<'_>) -> Vec<Annotation> {
    let scores = row.take_nested("scores");
    let score = |(name, value): &(Cow<'_, str>, Value<'_>)| {
        Some(Annotation { name: name.clone().into_owned(), score: Some(value.as_f64()?), ..Annotation::default() })
    };
    let comments = row.take_nested("comments");
    let comment = |item: &Value<'_>| {
        let text = item.get("comment").text_at("text").or_else(|| item.text_at("text"))?;
        Some(Annotation { name: "comment".to_owned(), comment: Some(text), ..Annotation::default() })
    };
    scores.fields().iter().filter_map(score).chain(comments.items().iter().filter_map(comment)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""id":"r","span_id":"s","root_span_id":"t","created":"2026-11-26T15:19:18.248841+00:00""#;

    fn span(rest: &str) -> Span {
        parse_line(&Braintrust, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn a_model_call_has_messages_tools_and_tokens() {
        let span = span(
            r#""span_parents":["p"],"span_attributes":{"type":"llm","name":"Chat Completion"},"metrics":{"start":1795706358.25,"end":1795706358.5,"prompt_tokens":57,"completion_tokens":11},
            "input":[{"role":"user","content":"hi"}],"output":[{"finish_reason":"length","index":0,"message":{"role":"assistant","content":"x"}}],
            "metadata":{"model":"gpt-4o","provider":"openai","tools":[{"type":"function","function":{"name":"f"}}],"tenant":"acme"}"#,
        );
        assert_eq!(
            (span.kind, span.parent_span_id.as_deref(), span.started_at_ns),
            (SpanKind::Llm, Some("p"), Some(1_795_706_358_249_999_872))
        );
        assert_eq!(span.usage, TokenUsage { input: Some(57), output: Some(11) });
        assert_eq!(
            (span.input[0].content.as_str(), span.finish_reasons[0].as_str(), span.tools_offered[0].as_str()),
            ("hi", "length", "f")
        );
        assert_eq!((span.attribute("metadata.tenant"), span.attributes.len()), (Some("acme"), 1));
    }

    #[test]
    fn the_reason_and_the_instructions_of_the_responses_api_are_in_the_metadata() {
        let span = span(
            r#""span_attributes":{"type":"llm"},"input":[{"role":"user","content":"hi"}],"output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"x"}]}],
            "metadata":{"instructions":"Be short.","incomplete_details":{"reason":"max_output_tokens"}}"#,
        );
        assert_eq!((span.input[0].role.as_str(), span.input[0].content.as_str()), ("system", "Be short."));
        assert_eq!((span.finish_reasons[0].as_str(), span.output[0].content.as_str()), ("max_output_tokens", "x"));
    }

    #[test]
    fn errors_of_every_sdk_are_split() {
        for (error, kind, message) in [
            (
                r#""Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nacme.OrderError: no such order\n""#,
                "acme.OrderError",
                "no such order",
            ),
            (r#""no such order\n\nOrderError: no such order\n    at lookup (file:///app/tools.js:3:9)""#, "OrderError", "no such order"),
            (
                r#"{"name":"OrderError","message":"no such order","stack":"OrderError: no such order\n    at f (a.js:1:1)"}"#,
                "OrderError",
                "no such order",
            ),
            (r#""OrderError: no such order""#, "OrderError", "no such order"),
            (r#"{"code":"E17"}"#, "E17", r#"{"code":"E17"}"#),
        ] {
            let span = span(&format!(r#""span_attributes":{{"type":"tool","name":"f"}},"error":{error}"#));
            assert_eq!(
                (span.status, span.exceptions[0].kind.as_str(), span.exceptions[0].message.as_str()),
                (Status::Error, kind, message),
                "{error}"
            );
        }
        assert_eq!(span(r#""error":null"#).status, Status::Unset);
    }

    #[test]
    fn a_download_without_ids_of_spans_is_read() {
        let out = parse_line(
            &Braintrust,
            r#"{"id":"r","created":"2026-11-26T15:19:18Z","metrics":"{\"prompt_tokens\": 3}","span_attributes.name":"agent","span_attributes.type":"task","scores.Factuality":"0","input":"q","output":"a"}"#,
        );
        let fragment = &out.fragments[0];
        assert_eq!((fragment.trace_id.as_str(), fragment.span.span_id.as_str(), fragment.span.name.as_str()), ("r", "r", "agent"));
        assert_eq!((fragment.span.annotations[0].name.as_str(), fragment.span.annotations[0].score), ("Factuality", Some(0.0)));
        assert_eq!((fragment.span.input_text.as_deref(), fragment.span.output_text.as_deref()), (Some("q"), Some("a")));
        let call = span(
            r#""metadata":{"model":"m"},"metrics":{"prompt_tokens":3},"output":[{"finish_reason":"stop","message":{"role":"assistant","content":"x"}}]"#,
        );
        assert_eq!((call.kind, call.output[0].content.as_str()), (SpanKind::Llm, "x"));
    }

    #[test]
    fn comments_are_annotations_and_a_row_without_id_or_time_is_rejected() {
        let note = span(r#""comments":[{"comment":{"text":"did not help"}}]"#).annotations.remove(0);
        assert_eq!((note.name.as_str(), note.comment.as_deref()), ("comment", Some("did not help")));
        let kind = |line: &str| parse_line(&Braintrust, line).rejections[0].kind;
        assert_eq!(kind(r#"{"root_span_id":"t"}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"span_id":"s","root_span_id":"t","created":"yesterday"}"#), RejectionKind::MissingTime);
        assert!(SKIPPED_FIELDS.is_sorted());
    }
}
