//! Datadog LLM Observability spans: as the SDK sends them, and as the export API returns them.
//!
//! Intake: <https://docs.datadoghq.com/llm_observability/instrumentation/api/>; export: <https://docs.datadoghq.com/api/latest/llm-observability/>.
//! A record is one span event of `ddtrace`, a whole request of it (`{"path", "headers", "body"}` or the body alone), a resource of the
//! export API (`{"id", "type": "span", "attributes"}`), or a page of them (`{"data": […], "links"}`).
//!
//! | event | span |
//! |---|---|
//! | `meta.span.kind`, in ddtrace 2 `meta["span.kind"]`, in the export `span_kind` | kind |
//! | `meta.error`, in ddtrace 2 `meta["error.type"]` … , in the export only the tag `error_type` | exception |
//! | `meta.input`, `meta.output` | messages, documents, tool arguments and result, or text |
//! | `meta.metadata.finish_reason`, `metrics` | finish reason, tokens |
//! | tags `service` or `ml_app`, `env` | service, environment |
//!
//! Quirks of real events: the parent of a root is `"undefined"`; span ids are decimal and reach 2^64; `start_ns` of the export API may
//! be milliseconds, whatever its name; tag values are lower-cased on ingest; a failed call has an output message without content;
//! arguments that do not parse are wrapped as `{"value": "…"}`; a retrieval that found nothing has no output at all.

use std::borrow::Cow;

use super::record::{self, Record};
use super::value::Value;
use super::{Accounted, Format, Parsed, Place, Skip, conventions, has_keys, messages};
use crate::model::{Annotation, Exception, RejectionKind, Span, SpanKind, TokenUsage, ToolUse};

/// See the module.
pub(super) struct Datadog;

impl Format for Datadog {
    fn name(&self) -> &'static str {
        "datadog"
    }

    fn recognises_keys(&self, keys: &[String]) -> bool {
        let event = has_keys(keys, &["trace_id", "span_id", "start_ns"]);
        let resource = has_keys(keys, &["type", "attributes", "id"]);
        let page = has_keys(keys, &["data"]) && (has_keys(keys, &["links"]) || has_keys(keys, &["meta"]));
        let request = has_keys(keys, &["path", "headers", "body"]) || has_keys(keys, &["_dd.stage", "spans"]);
        event || resource || page || request
    }

    fn parse_record(&self, mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        if record.has("start_ns") || record.has("span_id") {
            return event(record, place, out);
        }
        if record.has("attributes") {
            return resource(record, place, out);
        }
        match (record.take("body"), record.take("data"), record.take("spans")) {
            (Value::List(envelopes), _, _) => request(envelopes, place, out),
            (body @ Value::Map(_), _, _) => request(vec![body], place, out),
            (_, Value::List(resources), _) => record::each(resources, place, out, resource),
            (_, _, Value::List(spans)) => record::each(spans, place, out, event),
            _ => {
                let reason = format!("cannot read {place}: it is JSON, but no spans stand under body[].spans[] or data[]");
                out.reject(place, RejectionKind::MalformedRecord, reason)
            }
        }
    }
}

/// The spans of a request's envelopes. One of other events has none; what is no envelope stands for itself, and is rejected as no span.
fn request(envelopes: Vec<Value<'_>>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let mut spans = Vec::new();
    let mut other_events = None;
    for mut envelope in envelopes {
        match &mut envelope {
            Value::Map(fields) => match fields.iter().position(|(key, _)| key == "spans") {
                Some(index) => match fields.swap_remove(index).1 {
                    Value::List(mut items) => spans.append(&mut items),
                    _ => spans.push(Value::Null),
                },
                None if is_other_event(fields) => other_events = Some(out.skip(Skip::OtherEvent, place)),
                None => spans.push(Value::Null),
            },
            _ => spans.push(envelope),
        }
    }
    match other_events {
        Some(skipped) if spans.is_empty() => skipped,
        Some(skipped) => skipped.and(record::each(spans, place, out, event)),
        None => record::each(spans, place, out, event),
    }
}

/// Whether an envelope says that it holds events of another kind, such as evaluations.
fn is_other_event(fields: &[(Cow<'_, str>, Value<'_>)]) -> bool {
    let field = |name: &str| fields.iter().find(|(key, _)| key == name).map(|(_, value)| value);
    field("event_type").and_then(Value::as_str).is_some_and(|kind| kind != "span") || field("data").is_some() || field("metrics").is_some()
}

/// A resource of the export API; what is no span (an evaluation, say) is no part of a trace.
fn resource(mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let kind = record.take("type");
    match (Record::of_value(record.take("attributes")), kind.as_str()) {
        (Some(_), Some(kind)) if kind != "span" => out.skip(Skip::OtherEvent, place),
        (Some(attributes), _) => event(attributes, place, out),
        (None, _) => out.reject(place, RejectionKind::MalformedRecord, format!("cannot read {place}: the resource has no attributes")),
    }
}

fn event(mut record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
    let (trace_id, span_id) = match record.take_ids("trace_id", "span_id", place, out) {
        Ok(ids) => ids,
        Err(rejected) => return rejected,
    };
    let started_at_ns = match record.take_start("start_ns", place, out) {
        Ok(time) => time,
        Err(rejected) => return rejected,
    };
    // The SDK keeps under `meta` what the export API has beside the ids.
    let mut record = Record::of_value(record.take("meta")).unwrap_or_default().before(record);
    let kind_word = [record.take("span").text_at("kind"), record.take("span.kind").into_text(), record.take("span_kind").into_text()];
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
        status: conventions::status(record.take("status").as_str().unwrap_or_default()),
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
    tags.keep(&mut span);
    record.drop(&["_dd", "agent_attribution", "ml_app", "service"]);
    record.keep_rest(&mut span);
    let mut piece = record::piece(trace_id, conventions::settled(span), place);
    (piece.service, piece.environment) = (service, environment);
    out.span(piece)
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

    /// Keeps what the user tagged.
    fn keep(self, span: &mut Span) {
        const OF_NO_USE: [&str; 9] =
            ["service", "ml_app", "env", "error", "error_type", "ddtrace.version", "language", "source", "integration"];
        for tag in self.0.items() {
            if let Some((name, value)) = tag.as_str().and_then(|tag| tag.split_once(':'))
                && !OF_NO_USE.contains(&name)
            {
                record::keep(span, Cow::Owned(format!("tags.{name}")), Value::Text(Cow::Borrowed(value)), 0);
            }
        }
    }
}

fn set_error(span: &mut Span, nested: &Value<'_>, flat: &Value<'_>, tags: &Tags<'_>) {
    // Beside the flat keys `error` may be a plain 0 or 1.
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
            _ => record::keep(span, Cow::Owned(format!("metadata.{key}")), value, 0),
        }
    }
}

fn set_input(span: &mut Span, input: &Value<'_>) {
    let value = input.get("value");
    match span.kind {
        SpanKind::Tool => span.tool.get_or_insert_default().arguments = value.to_text(),
        SpanKind::Llm if !input.get("messages").is_empty() => conventions::set_input(span, input.get("messages").clone()),
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
            documents @ Value::List(_) => span.documents = Some(conventions::documents(documents)),
            _ => span.output_text = value.as_str().map(str::to_owned),
        },
        SpanKind::Llm if !output.get("messages").is_empty() => {
            conventions::set_output(span, output.get("messages").clone());
            let says_nothing =
                |message: &crate::model::Message| message.content.is_empty() && message.tool_calls.is_empty() && message.refusal.is_none();
            // The SDK adds an empty answer to a call that failed.
            if span.failed() && span.output.iter().all(says_nothing) {
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
        parse_line(&Datadog, &format!("{{{IDS},{rest}}}")).pieces.remove(0).span
    }

    #[test]
    fn milliseconds_and_ids_are_told() {
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
        let export = span(r#""status":"error","span_kind":"llm","tags":["error_type:openai.ratelimiterror","tenant:acme"]"#);
        assert_eq!((export.error_type.as_deref(), export.attribute("tags.tenant")), (Some("openai.ratelimiterror"), Some("acme")));
    }

    #[test]
    fn envelopes_are_opened_and_a_bad_span_costs_only_itself() {
        let body = format!(r#"{{"path":"/","headers":{{}},"body":[{{"spans":[{{{IDS}}}, {{"span_id":"1","start_ns":1}}]}}]}}"#);
        let page = format!(r#"{{"data":[{{"id":"1","type":"span","attributes":{{{IDS}}}}},7],"links":{{}}}}"#);
        let no_envelope = parse_line(&Datadog, r#"{"path":"/","headers":{},"body":[7,{"spans":"none"},{"event_type":"evaluation"}]}"#);
        assert_eq!((no_envelope.pieces.len(), no_envelope.rejections.len()), (0, 2));
        for line in [body, page] {
            let out = parse_line(&Datadog, &line);
            assert_eq!((out.pieces.len(), out.rejections.len()), (1, 1), "{line}");
            assert_eq!(out.rejections[0].trace_ref, "t.jsonl#L4.s2");
        }
    }
}
