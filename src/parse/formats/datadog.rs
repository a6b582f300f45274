//! Spans of Datadog LLM Observability, as the SDK sends them and as the export API returns them.
//!
//! Specification: intake <https://docs.datadoghq.com/llm_observability/instrumentation/api/>, export
//! <https://docs.datadoghq.com/api/latest/llm-observability/>; checked against ddtrace 2.21 and 4.16.
//!
//! A record is a span event of `ddtrace`, an intake request (`{"path", "headers", "body"}` or the body alone), a resource of the export API
//! (`{"id", "type": "span", "attributes"}`), or a page of resources (`{"data": […], "links"}`).
//!
//! ```json
//! {"trace_id": "t", "span_id": "7", "parent_id": "undefined", "name": "chat", "start_ns": 1795424023443017575, "duration": 9000000,
//!  "status": "error", "meta": {"span": {"kind": "llm"}, "error": {"type": "openai.RateLimitError", "message": "Error code: 429"},
//!  "input": {"messages": [{"role": "user", "content": "Where is A-17?"}]}}, "tags": ["service:support", "env:prod"]}
//! ```
//!
//! | event | span |
//! |---|---|
//! | `meta.span.kind`; `meta["span.kind"]` (ddtrace 2); `span_kind` (export); `meta.kind` (intake API) | kind |
//! | `meta.error`; `meta["error.type"]` … (ddtrace 2); only the tag `error_type` (export) | exception |
//! | `meta.input`, `meta.output` | messages, documents, tool arguments and result, or text |
//! | `meta.metadata.finish_reason`, `metrics` | finish reason, model tokens |
//! | tags `service` or `ml_app`, `env` | service, environment |
//!
//! Quirks of real exports:
//! - The parent of a root is `"undefined"`; span ids are decimal and reach 2^64 (ddtrace).
//! - `start_ns` may be in milliseconds, and tag values are in lower case (export API).
//! - A failed call has an output message without content (ddtrace 4).
//! - Arguments that are not valid JSON are wrapped as `{"value": "…"}` (ddtrace 4).
//! - A retrieval that finds nothing has no output (ddtrace 4).

use std::borrow::Cow;

use crate::model::{Annotation, Context, Exception, RejectionKind, Span, SpanKind, TokenUsage, ToolUse};
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, Skip, infer, messages, span_fields};

/// The format of Datadog LLM Observability; see the [module docs](self).
pub(super) struct Datadog;

impl Format for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A span event.
                Signature::unique(&["trace_id", "span_id", "start_ns"]),
                // A resource and a page of the export API, which follow JSON:API.
                Signature::common(&["type", "attributes", "id"]),
                Signature::page(&["data", "links"]),
                Signature::page(&["data", "meta"]),
                // An intake request with its HTTP headers, and its body alone.
                Signature::common(&["path", "headers", "body"]),
                Signature::unique(&["_dd.stage", "spans"]),
            ]
        }
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if record.has("start_ns") || record.has("span_id") {
            return parse_event(record, location, out);
        }
        if record.has("attributes") {
            return parse_resource(record, location, out);
        }
        match (record.take("body"), record.take("data"), record.take("spans")) {
            (Value::List(envelopes), _, _) => parse_request(envelopes, location, out),
            (body @ Value::Map(_), _, _) => parse_request(vec![body], location, out),
            (_, Value::List(resources), _) => record::parse_each(resources, location, out, parse_resource),
            (_, _, Value::List(spans)) => record::parse_each(spans, location, out, parse_event),
            _ => {
                let reason = format!("cannot read {location}: no spans in body[].spans[] or data[]");
                out.reject(location, RejectionKind::MalformedRecord, reason)
            }
        }
    }
}

/// Parses the spans in the envelopes of an intake request. An envelope with other events is skipped. Anything that is not an envelope is
/// passed on as if it were a span, and rejected there.
fn parse_request(envelopes: Vec<Value<'_>>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut spans = Vec::new();
    let mut other_events = None;
    for mut envelope in envelopes {
        match &mut envelope {
            Value::Map(fields) => match fields.iter().position(|(key, _)| key == "spans") {
                Some(index) => match fields.swap_remove(index).1 {
                    Value::List(mut items) => spans.append(&mut items),
                    _ => spans.push(Value::Null),
                },
                None if is_other_event(fields) => other_events = Some(out.skip(Skip::OtherEvent, location)),
                None => spans.push(Value::Null),
            },
            _ => spans.push(envelope),
        }
    }
    match other_events {
        Some(skipped) if spans.is_empty() => skipped,
        Some(skipped) => skipped.and(record::parse_each(spans, location, out, parse_event)),
        None => record::parse_each(spans, location, out, parse_event),
    }
}

/// Whether an envelope without spans contains events of another type, such as evaluations.
fn is_other_event(fields: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    field("event_type").and_then(Value::as_str).is_some_and(|kind| kind != "span") || field("data").is_some() || field("metrics").is_some()
}

/// Parses a resource of the export API. A resource of another type, such as an evaluation, is skipped.
fn parse_resource(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let kind = record.take("type");
    match (Record::from_value(record.take("attributes")), kind.as_str()) {
        (Some(_), Some(kind)) if kind != "span" => out.skip(Skip::OtherEvent, location),
        (Some(attributes), _) => parse_event(attributes, location, out),
        (None, _) => {
            out.reject(location, RejectionKind::MalformedRecord, format!("cannot read {location}: the resource has no attributes"))
        }
    }
}

fn parse_event(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "span_id", start_time: "start_ns" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    // The SDK nests under `meta` what the export API has at the top level.
    let mut record = Record::from_value(record.take("meta")).unwrap_or_default().chain(record);
    let kind_word = [
        record.take("span").text_at("kind"),
        record.take("span.kind").into_text(),
        record.take("span_kind").into_text(),
        record.take("kind").into_text(),
    ];
    let error = record.take("error");
    let flat_error =
        Value::Map(["type", "message", "stack"].map(|part| (Cow::Borrowed(part), record.take(&format!("error.{part}")))).into());
    let (input, output, metadata) = (record.take("input"), record.take("output"), record.take("metadata"));
    let tags = Tags(record.take("tags"));
    let mut span = Span {
        parent_span_id: record.take("parent_id").as_id().filter(|id| id != "undefined" && id != "0"),
        span_id,
        name: record.take_text("name").unwrap_or_default(),
        kind: kind(kind_word.into_iter().flatten().next().as_deref().unwrap_or_default()),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("duration").as_u64().and_then(|duration| started_at_ns.checked_add_unsigned(duration)),
        status: span_fields::status(record.take("status").as_str().unwrap_or_default()),
        ..Span::default()
    };
    span.model = record.take("model_name").into_text();
    span.provider = record.take("model_provider").into_text().filter(|provider| provider != "unknown");
    span.tools_offered = record.take("tool_definitions").items().iter().filter_map(messages::tool_name).collect();
    span.annotations = evaluations(&record.take("evaluation"));
    set_error(&mut span, &error, &flat_error, &tags);
    set_metadata(&mut span, metadata);
    set_input(&mut span, &input);
    set_output(&mut span, &output);
    let metrics = record.take("metrics");
    span.usage = TokenUsage { input: metrics.get("input_tokens").as_u64(), output: metrics.get("output_tokens").as_u64() };
    let (service, environment) = (tags.get("service").or_else(|| tags.get("ml_app")), tags.get("env"));
    span.cost_usd = cost(&metrics);
    let mut found = Context::default();
    let app = tags.get("ml_app").or_else(|| record.get("ml_app").as_id());
    found.add_known("datadog.ml_app", app.as_deref());
    found.add_known("service.version", tags.get("version").as_deref());
    let prompt = input.get("prompt");
    if let Some(version) = prompt.get("version").as_id() {
        let name = prompt.first(&["id", "name"]).as_id();
        found.add("prompt_version", &name.map_or_else(|| version.clone(), |name| format!("{name}@{version}")));
    }
    tags.keep(&mut span);
    record.discard(&["_dd", "agent_attribution", "ml_app", "service"]);
    record.keep_rest(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    (fragment.service, fragment.environment, fragment.context) = (service, environment, found);
    out.span(fragment)
}

/// The cost of a call in dollars. An application submits dollars, and Datadog's own estimates are in billionths of a dollar.
fn cost(metrics: &Value<'_>) -> Option<f64> {
    const BILLIONTHS_MIN: f64 = 1_000.0;
    let submitted = metrics.get("total_cost").as_f64();
    let estimated = metrics.get("estimated_total_cost").as_f64();
    let estimated = estimated.map(|cost| if cost >= BILLIONTHS_MIN { cost / 1e9 } else { cost });
    submitted.or(estimated).filter(|cost| *cost > 0.0)
}

fn kind(word: &str) -> SpanKind {
    match word {
        "workflow" | "task" => SpanKind::Chain,
        "retrieval" => SpanKind::Retriever,
        word => SpanKind::from_word(word).unwrap_or_default(),
    }
}

/// `["env:prod", "error_type:openai.ratelimiterror"]`
struct Tags<'a>(Value<'a>);

impl Tags<'_> {
    fn get(&self, name: &str) -> Option<String> {
        let value = |tag: &Value<'_>| Some(tag.as_str()?.strip_prefix(name)?.strip_prefix(':')?.to_owned());
        self.0.items().iter().find_map(value).filter(|value| !value.is_empty())
    }

    /// Keeps the user's own tags as attributes.
    fn keep(self, span: &mut Span) {
        // Tags that become a field of the span, and tags that the SDK adds.
        const OTHER_TAGS: [&str; 9] =
            ["service", "ml_app", "env", "error", "error_type", "ddtrace.version", "language", "source", "integration"];
        for tag in self.0.items() {
            if let Some((name, value)) = tag.as_str().and_then(|tag| tag.split_once(':'))
                && !OTHER_TAGS.contains(&name)
            {
                record::keep_attribute(span, Cow::Owned(format!("tags.{name}")), Value::Text(Cow::Borrowed(value)));
            }
        }
    }
}

fn set_error(span: &mut Span, nested: &Value<'_>, flat: &Value<'_>, tags: &Tags<'_>) {
    // In ddtrace 2 `error` is 0 or 1, beside the flat keys.
    let error = if nested.fields().is_empty() { flat } else { nested };
    let message = error.text_at("message").filter(|message| !message.is_empty());
    let kind = error.text_at("type").filter(|kind| !kind.is_empty());
    let stack = error.text_at("stack").filter(|stack| !stack.is_empty());
    if kind.is_some() || message.is_some() || stack.is_some() {
        span.status_message.clone_from(&message);
        span.exceptions.push(Exception { kind: kind.unwrap_or_default(), message: message.unwrap_or_default(), stack });
    } else if span.failed() {
        span.error_type = tags.get("error_type");
    }
}

fn set_metadata(span: &mut Span, metadata: Value<'_>) {
    let Value::Map(fields) = metadata else { return };
    for (key, value) in fields {
        match key.as_ref() {
            "finish_reason" | "finish_reasons" | "stop_reason" => span.finish_reasons.extend(value.into_texts()),
            "tool_call_id" | "tool_id" if span.kind == SpanKind::Tool => span.tool.get_or_insert_default().call_id = value.as_id(),
            "agent_attribution" => {}
            _ => record::keep_attribute(span, Cow::Owned(format!("metadata.{key}")), value),
        }
    }
}

fn set_input(span: &mut Span, input: &Value<'_>) {
    let value = input.get("value");
    match span.kind {
        SpanKind::Tool => span.tool.get_or_insert_default().arguments = value.to_text(),
        SpanKind::Llm if !input.get("messages").is_empty() => span_fields::set_input(span, input.get("messages").clone()),
        _ => span.input_text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
    }
}

fn set_output(span: &mut Span, output: &Value<'_>) {
    let value = output.get("value");
    match span.kind {
        SpanKind::Tool => {
            let tool: &mut ToolUse = span.tool.get_or_insert_default();
            tool.result = Some(value.to_text()).filter(|result| !result.is_empty());
        }
        SpanKind::Retriever => match output.get("documents") {
            documents @ Value::List(_) => span.documents = Some(span_fields::documents(documents)),
            _ => span.output_text = value.as_str().map(str::to_owned),
        },
        SpanKind::Llm if !output.get("messages").is_empty() => {
            span_fields::set_output(span, output.get("messages").clone());
            let is_empty =
                |message: &crate::model::Message| message.content.is_empty() && message.tool_calls.is_empty() && message.refusal.is_none();
            // The SDK adds an empty message to a failed call, which is not an empty answer of the model.
            if span.failed() && span.output.iter().all(is_empty) {
                span.output.clear();
            }
        }
        _ => span.output_text = value.as_str().filter(|text| !text.is_empty()).map(str::to_owned),
    }
}

/// `{"name": {"value" | "score" | "label": …, "assessment": "fail"}}`
fn evaluations(evaluation: &Value<'_>) -> Vec<Annotation> {
    let annotation = |(name, found): &(Cow<'_, str>, Value<'_>)| {
        let value = found.first(&["value", "score_value", "score"]);
        let label = found.first(&["assessment", "categorical_value", "label"]).as_str().or(value.as_str());
        let comment = found.first(&["reasoning", "comment"]).as_str().map(str::to_owned);
        Annotation { name: name.clone().into_owned(), label: label.map(str::to_owned), score: value.as_f64(), comment }
    };
    evaluation.fields().iter().map(annotation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Status;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""trace_id":"t","span_id":"18446744073709551615","parent_id":"undefined","start_ns":1761833858897"#;

    fn span(rest: &str) -> Span {
        parse_line(&Datadog, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn milliseconds_and_large_ids_are_understood() {
        let span = span(r#""duration":1000,"status":"ok","meta":{"span":{"kind":"workflow"}}"#);
        assert_eq!((span.started_at_ns, span.ended_at_ns), (Some(1_761_833_858_897_000_000), Some(1_761_833_858_897_001_000)));
        assert_eq!((span.span_id.as_str(), span.parent_span_id, span.kind), ("18446744073709551615", None, SpanKind::Chain));
    }

    #[test]
    fn errors_of_both_sdk_versions_and_of_the_export_are_read() {
        let new =
            span(r#""status":"error","meta":{"span":{"kind":"llm"},"error":{"type":"openai.RateLimitError","message":"429","stack":"T"}}"#);
        let old = span(
            r#""status":"error","meta":{"span.kind":"llm","error.type":"openai.RateLimitError","error":1,"error.message":"429","error.stack":"T"}"#,
        );
        assert_eq!((new.kind, &new.exceptions, new.status), (SpanKind::Llm, &old.exceptions, Status::Error));
        let intake = span(r#""status":"error","meta":{"kind":"retrieval","error":{"type":"E","message":"m"}}"#);
        assert_eq!(intake.kind, SpanKind::Retriever);
        let export = span(r#""status":"error","span_kind":"llm","tags":["error_type:openai.ratelimiterror","tenant:acme"]"#);
        assert_eq!((export.error_type.as_deref(), export.attribute("tags.tenant")), (Some("openai.ratelimiterror"), Some("acme")));
    }

    #[test]
    fn envelopes_are_opened_and_only_the_bad_span_is_rejected() {
        let body = format!(r#"{{"path":"/","headers":{{}},"body":[{{"spans":[{{{IDS}}}, {{"span_id":"1","start_ns":1}}]}}]}}"#);
        let page = format!(r#"{{"data":[{{"id":"1","type":"span","attributes":{{{IDS}}}}},7],"links":{{}}}}"#);
        let no_envelope = parse_line(&Datadog, r#"{"path":"/","headers":{},"body":[7,{"spans":"none"},{"event_type":"evaluation"}]}"#);
        assert_eq!((no_envelope.fragments.len(), no_envelope.rejections.len()), (0, 2));
        for line in [body, page] {
            let out = parse_line(&Datadog, &line);
            assert_eq!((out.fragments.len(), out.rejections.len()), (1, 1), "{line}");
            assert_eq!(out.rejections[0].trace_ref, "t.jsonl#L4.s2");
        }
    }

    #[test]
    fn versions_prompts_and_costs_describe_the_run() {
        let line = |metrics: &str| {
            format!(
                r#"{{"trace_id":"t","span_id":"7","parent_id":"undefined","name":"chat","start_ns":1795424023443017575,"duration":9,"metrics":{metrics},
                "meta":{{"span":{{"kind":"llm"}},"input":{{"prompt":{{"id":"answer","version":"7"}}}}}},"tags":["version:1.4.2","ml_app:support","user_id:u1"]}}"#
            )
        };
        let fragment = |metrics: &str| crate::parse::tests::parse_line(&Datadog, &line(metrics)).fragments.remove(0);
        let submitted = fragment(r#"{"total_cost":0.25}"#);
        let expected = [("datadog.ml_app", "support"), ("service.version", "1.4.2"), ("prompt_version", "answer@7")];
        assert_eq!((submitted.context.iter().collect::<Vec<_>>(), submitted.cost_usd), (expected.to_vec(), Some(0.25)));
        assert_eq!(submitted.span.attribute("tags.user_id"), Some("u1"));
        assert_eq!(fragment(r#"{"estimated_total_cost":250000}"#).cost_usd, Some(0.000_25));
        assert_eq!(fragment(r#"{"estimated_total_cost":0}"#).cost_usd, None);
    }
}
