//! Langfuse's blob storage export: observations (`observations_v2`, or the older `observations` with `traces`), scores and manifests, in
//! each file type that it writes (Parquet, JSONL, JSON, CSV). Objects of its API, whose names are in camel case, are prepared in
//! [`langfuse_api`](super::langfuse_api).
//!
//! Specification: <https://langfuse.com/docs/api-and-data-platform/features/export-to-blob-storage>, data model
//! <https://langfuse.com/docs/observability/data-model>; checked against the export of Langfuse 3. An observation is a span.
//!
//! ```json
//! {"id": "o", "trace_id": "t", "project_id": "p", "type": "GENERATION", "parent_observation_id": "", "start_time": "2026-11-23 09:15:08.230000",
//!  "level": "ERROR", "status_message": "RateLimitError: 429", "input": "{\"messages\": […]}", "output": "", "usage_details": {"input": 12}}
//! ```
//!
//! | observation | span |
//! |---|---|
//! | `type`: `GENERATION`, `TOOL`, `SPAN` … | kind |
//! | `level` `ERROR`, `status_message` | status, message, and the error type if the message starts with one |
//! | `input`, `output` | messages, documents, tool arguments and result, or text |
//! | `usage_details`, `provided_model_name` | model tokens, model |
//! | `metadata` | attributes; `resourceAttributes.service.name` is the service |
//!
//! A row of `traces` adds environment and service to its trace. A score becomes an annotation of its observation or of its trace.
//!
//! Quirks of real exports:
//! - A missing value is null in the older tables and an empty string in `observations_v2`.
//! - Times have a space instead of a `T`, and no zone (UTC).
//! - Metadata values are JSON text; a string is encoded twice. In CSV every nested column is JSON text.
//! - Export windows overlap, so rows occur twice.
//! - Exception types and stack traces are lost.
//! - A manifest may list files that do not exist.

use std::borrow::Cow;

use super::langfuse_api;
use crate::model::{Annotation, Context, RejectionKind, Span, SpanKind, Status, TokenUsage, ToolCall};
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{
    Accounted, AnnotationTarget, Format, ParsedChunk, RecordLocation, Signature, Skip, SpanFragment, context, conventions, error_text,
    infer, span_fields,
};

/// The format of Langfuse's export; see the [module docs](self).
pub(super) struct Langfuse;

impl Format for Langfuse {
    fn name(&self) -> &'static str {
        "langfuse"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // An observation; an export may lack columns.
                Signature::unique(&["trace_id", "parent_observation_id"]),
                Signature::common(&["trace_id", "type", "project_id"]),
                // A trace or a score.
                Signature::common(&["id", "timestamp", "project_id"]),
                // A manifest.
                Signature::unique(&["projectId", "tables", "files"]),
                // The same in the API and in exports of tables.
                Signature::unique(&["traceId", "parentObservationId"]),
                Signature::common(&["id", "traceId", "startTime", "type", "level"]),
                Signature::unique(&["id", "timestamp", "observations", "scores"]),
                Signature::unique(&["id", "timestamp", "userId", "sessionId", "release", "tags"]),
                Signature::unique(&["traceId", "value", "dataType", "source"]),
                Signature::unique(&["subject", "value", "dataType", "source"]),
                // What SDKs send.
                Signature::common(&["batch", "metadata"]),
                Signature::common(&["id", "type", "timestamp", "body"]),
            ]
        }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        &SKIPPED_FIELDS
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if langfuse_api::is_from_api(&record) { langfuse_api::parse(record, location, out) } else { parse_row(record, location, out) }
    }
}

/// Parses an object of any kind whose names are in snake case.
pub(super) fn parse_row(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    if record.has("files") && record.has("projectId") {
        parse_manifest(record, location, out)
    } else if record.has("start_time") || record.has("parent_observation_id") {
        parse_observation(record, location, out)
    } else if record.has("value") || record.has("data_type") {
        parse_score(record, location, out)
    } else if record.has("timestamp") {
        parse_trace_row(record, location, out)
    } else {
        parse_observation(record, location, out)
    }
}

/// Keys of Langfuse's own database, prices, and values that are derived from other fields; sorted.
pub(super) const SKIPPED_FIELDS: [&str; 22] = [
    "bookmarked",
    "calculated_input_cost",
    "calculated_output_cost",
    "completion_start_time",
    "created_at",
    "event_ts",
    "input_price",
    "internal_model_id",
    "is_deleted",
    "is_root_observation",
    "latency",
    "model_id",
    "model_parameters",
    "output_price",
    "prompt_id",
    "public",
    "time_to_first_token",
    "total_price",
    "trace_name",
    "updated_at",
    "usage_pricing_tier_id",
    "usage_pricing_tier_name",
];

/// Parses an observation, which is a span.
pub(super) fn parse_observation(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    match observation(record, location, out) {
        Ok(fragment) => out.span(fragment),
        Err(rejected) => rejected,
    }
}

/// Parses what was sent about an observation when it ended. The gather stage adds it to the span.
pub(super) fn parse_update(record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    match observation(record, location, out) {
        Ok(fragment) => out.addition(fragment),
        Err(rejected) => rejected,
    }
}

/// The span of an observation.
///
/// # Errors
/// The rejection of the record, if it lacks an id or the start time.
fn observation(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<SpanFragment, Accounted> {
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "id", start_time: "start_time" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = record.take_identity(&keys, location, out)?;
    let mut span = Span {
        span_id,
        parent_span_id: record.take("parent_observation_id").as_id(),
        name: record.take_text("name").unwrap_or_default(),
        kind: conventions::observation_kind(&record.take_text("type").unwrap_or_default()),
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("end_time").as_time(),
        status_message: record.take_text("status_message"),
        model: record.take_text("provided_model_name").or_else(|| record.take_text("model")),
        ..Span::default()
    };
    if record.take_text("level").is_some_and(|level| level == "ERROR") {
        span.status = Status::Error;
        span.error_type = span.status_message.as_deref().and_then(error_text::split_prefix).map(|(kind, _)| kind.to_owned());
    }
    span.usage = take_usage(&mut span, &mut record);
    span.tools_offered = record.take_tree("tool_definitions").fields().iter().map(|(name, _)| name.clone().into_owned()).collect();
    let calls = tool_calls(&record.take_tree("tool_calls"), &record.take_tree("tool_call_names"));
    let (input, output) = (record.take("input"), record.take("output"));
    let offered = std::mem::take(&mut span.tools_offered);
    span_fields::set_input(&mut span, input);
    span_fields::set_output(&mut span, output);
    if !offered.is_empty() {
        span.tools_offered = offered;
    }
    if let Some(answer) = span.output.last_mut()
        && answer.tool_calls.is_empty()
    {
        answer.tool_calls = calls;
    }
    let environment = record.take_text("environment");
    let metadata = record.take_tree("metadata");
    let service = set_metadata(&mut span, &metadata);
    span.cost_usd = take_cost(&mut record);
    let mut context = context_of(&record, &metadata);
    if let Some(version) = record.take("prompt_version").as_id() {
        let name = record.get("prompt_name").as_id();
        context.add("langfuse.prompt.version", &name.map_or_else(|| version.clone(), |name| format!("{name}@{version}")));
    }
    record.discard(&["project_id"]);
    record.keep_rest(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    (fragment.service, fragment.environment, fragment.context) = (service, environment, context);
    Ok(fragment)
}

/// What an observation or a trace says about the run as a whole.
fn context_of(record: &Record<'_>, metadata: &Value<'_>) -> Context {
    const FIELDS: [(&str, &str); 6] = [
        ("user_id", "user.id"),
        ("session_id", "session.id"),
        ("release", "langfuse.release"),
        ("version", "langfuse.version"),
        ("project_id", "langfuse.project.id"),
        ("html_path", "trace.path"),
    ];
    let mut found = Context::default();
    for (field, key) in FIELDS {
        context::add(&mut found, key, record.get(field));
    }
    // `/project/ID/traces/ID`
    let path = record.get("html_path").as_str().unwrap_or_default();
    found.add_known("langfuse.project.id", path.strip_prefix("/project/").and_then(|path| path.split('/').next()));
    let resource = metadata.get("resourceAttributes").tree();
    for (key, value) in resource.iter().flat_map(|resource| resource.fields()) {
        found.add_of_resource(key, &value.to_text());
    }
    for (key, value) in metadata.fields() {
        if let Some(key) = key.strip_prefix("resourceAttributes.") {
            found.add_of_resource(key, value.to_text().trim_matches('"'));
        }
    }
    found
}

/// The cost of an observation or a trace, which is 0 if the model has no price.
fn take_cost(record: &mut Record<'_>) -> Option<f64> {
    let details = record.take_tree("cost_details");
    let totals = [details.get("total").as_f64(), record.take("calculated_total_cost").as_f64(), record.take("total_cost").as_f64()];
    totals.into_iter().flatten().find(|cost| *cost > 0.0)
}

/// The token counts of an observation. The API writes 0 if nothing was counted.
fn take_usage(span: &mut Span, record: &mut Record<'_>) -> TokenUsage {
    let details = record.take_tree("usage_details");
    span_fields::add_reasoning_of_langfuse(&mut span.attributes, &details);
    let usage = TokenUsage {
        input: details.first(&["input", "prompt_tokens", "input_tokens"]).as_u64(),
        output: details.first(&["output", "completion_tokens", "output_tokens"]).as_u64(),
    };
    let older = record.take_tree("usage");
    let mut column = |keys: [&str; 3]| keys.map(|key| record.take(key).as_u64()).into_iter().flatten().next();
    let of_columns = TokenUsage {
        input: column(["input_usage", "input_tokens", "prompt_tokens"]),
        output: column(["output_usage", "output_tokens", "completion_tokens"]),
    };
    let older = TokenUsage {
        input: older.first(&["input", "promptTokens"]).as_u64().or(of_columns.input),
        output: older.first(&["output", "completionTokens"]).as_u64().or(of_columns.output),
    };
    if usage == TokenUsage::default() && older.input.unwrap_or(0) + older.output.unwrap_or(0) > 0 { older } else { usage }
}

/// The tool calls of an answer, from the columns that Langfuse extracts: `["{\"id\", \"arguments\"}"]` and `["name"]`.
fn tool_calls(calls: &Value<'_>, names: &Value<'_>) -> Vec<ToolCall> {
    let call = |(call, name): (&Value<'_>, &Value<'_>)| {
        let tree = call.tree()?;
        Some(ToolCall { id: tree.text_at("id"), name: name.to_text(), arguments: tree.get("arguments").to_text() })
    };
    calls.items().iter().zip(names.items()).filter_map(call).collect()
}

/// Keeps the user's metadata as attributes; returns the service.
fn set_metadata(span: &mut Span, metadata: &Value<'_>) -> Option<String> {
    let mut service = metadata.get("resourceAttributes").tree().and_then(|resource| resource.text_at("service.name"));
    for (key, value) in metadata.fields() {
        // A string is JSON text, with quotes.
        let text = value.as_str().filter(|text| text.starts_with('"')).and_then(|text| serde_json::from_str::<String>(text).ok());
        let text = text.unwrap_or_else(|| value.to_text());
        match key.as_ref() {
            "resourceAttributes.service.name" => service = Some(text),
            "tool_call_id" if span.kind == SpanKind::Tool => span.tool.get_or_insert_default().call_id = Some(text),
            key if key.starts_with("resourceAttributes") || key.starts_with("scope") => {}
            key => record::keep_attribute(span, Cow::Owned(format!("metadata.{key}")), Value::Text(Cow::Owned(text))),
        }
    }
    service
}

/// Parses a row of the older `traces`, which is not a span: it adds service and environment to its trace.
pub(super) fn parse_trace_row(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(trace_id) = record.take("id").as_id() else {
        return out.reject(location, RejectionKind::MissingId, format!("cannot read {location}: id is missing or empty"));
    };
    let mut span = Span { started_at_ns: record.take("timestamp").as_time(), ..Span::default() };
    let metadata = record.take_tree("metadata");
    let service = set_metadata(&mut span, &metadata);
    let mut context = context_of(&record, &metadata);
    context::add_metadata(&mut context, &metadata);
    if let Some(cost) = take_cost(&mut record) {
        context.add("llm.cost.total", &cost.to_string());
    }
    let mut fragment = record::fragment(trace_id, Span { started_at_ns: span.started_at_ns, ..Span::default() }, location);
    (fragment.service, fragment.environment, fragment.context) = (service, record.take_text("environment"), context);
    out.addition(fragment)
}

/// Parses a score of an observation or of a trace. The API names both in a subject since version 3.
pub(super) fn parse_score(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let subject = record.take_tree("subject");
    let of_kind = |kind: &str| subject.get("id").as_id().filter(|_| subject.get("kind").as_str() == Some(kind));
    let of_span = record.take("observation_id").as_id().or_else(|| of_kind("observation")).map(AnnotationTarget::Span);
    let for_trace = record.take("trace_id").as_id().or_else(|| of_kind("trace")).map(AnnotationTarget::Trace);
    // A session has several traces, so its score belongs to none of them.
    let Some(target) = of_span.or(for_trace) else { return out.skip(Skip::SessionScore, location) };
    let value = record.take("value");
    let categorical = record.take("data_type").as_str() == Some("CATEGORICAL");
    let score = value.as_f64();
    let label = record.take_text("string_value").or_else(|| value.into_text().filter(|_| score.is_none()));
    let annotation = Annotation {
        name: record.take_text("name").unwrap_or_default(),
        // The number of a category is only its index in a list.
        score: score.filter(|_| !categorical || label.is_none()),
        label,
        comment: record.take_text("comment"),
    };
    out.annotation(target, annotation, location)
}

/// Parses a manifest, which an export writes last and which lists its files.
fn parse_manifest(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    // `<base>/<project>/manifests/<time>.json` lists `<prefix><project>/<table>/<file>`.
    let folder = location.uri.rsplitn(3, '/').nth(2).unwrap_or_default();
    let files = record.take("files");
    let object = |file: &Value<'_>| {
        let key = file.text_at("key").unwrap_or_default();
        let mut parts = key.rsplitn(3, '/');
        parts.next().zip(parts.next()).map(|(name, table)| format!("{folder}/{table}/{name}"))
    };
    out.manifest(files.items().iter().filter_map(object), location)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""id":"o","trace_id":"t","start_time":"2026-11-23 09:15:08.230000","project_id":"p","parent_observation_id":"""#;

    fn span(rest: &str) -> Span {
        parse_line(&Langfuse, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn a_generation_has_messages_tools_and_tokens() {
        let span = span(
            r#""type":"GENERATION","level":"DEFAULT","usage_details":{"input":3,"output":4},"input":"{\"tools\":[{\"function\":{\"name\":\"f\"}}],\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
            "output":"{\"role\":\"assistant\",\"content\":null}","tool_calls":["{\"id\":\"c\",\"arguments\":\"{}\"}"],"tool_call_names":["f"],"metadata":{"tenant":"\"acme\""}"#,
        );
        assert_eq!((span.kind, span.parent_span_id, span.usage), (SpanKind::Llm, None, TokenUsage { input: Some(3), output: Some(4) }));
        assert_eq!(
            (span.input[0].content.as_str(), span.tools_offered[0].as_str(), span.output[0].tool_calls[0].name.as_str()),
            ("hi", "f", "f")
        );
        assert_eq!(span.attributes.iter().map(|a| (a.key.as_str(), a.value.as_str())).collect::<Vec<_>>(), [("metadata.tenant", "acme")]);
    }

    #[test]
    fn the_error_type_is_the_prefix_of_the_message() {
        let span =
            span(r#""type":"TOOL","name":"f","level":"ERROR","status_message":"ToolNotFoundError: no","input":"{\"a\":1}","output":"""#);
        assert_eq!((span.status, span.error_type.as_deref()), (Status::Error, Some("ToolNotFoundError")));
        assert_eq!(span.tool.unwrap().arguments, "{\"a\":1}");
    }

    #[test]
    fn what_describes_the_run_is_no_attribute_of_the_span() {
        let line = format!(
            r#"{{{IDS},"type":"GENERATION","prompt_name":"answer","prompt_version":7,"cost_details":"{{\"total\":0.25}}","total_cost":0.25,
            "release":"1.4.2","user_id":"u1","metadata":{{"resourceAttributes":"{{\"service.version\":\"1.4\",\"host.arch\":\"amd64\"}}"}}}}"#
        );
        let fragment = parse_line(&Langfuse, &line).fragments.remove(0);
        let context: Vec<_> = fragment.context.iter().collect();
        let expected = [
            ("user.id", "u1"),
            ("langfuse.release", "1.4.2"),
            ("langfuse.project.id", "p"),
            ("service.version", "1.4"),
            ("langfuse.prompt.version", "answer@7"),
        ];
        assert_eq!((context.as_slice(), fragment.cost_usd), (expected.as_slice(), Some(0.25)));
        assert_eq!(fragment.span.attributes.iter().map(|a| a.key.as_str()).collect::<Vec<_>>(), ["prompt_name", "release", "user_id"]);
        let row = r#"{"id":"t","timestamp":"2026-11-23 09:15:14.529","project_id":"p","session_id":"s1","user_id":"u1","metadata":{"app_version":"2"}}"#;
        let trace = parse_line(&Langfuse, row).fragments.remove(0);
        assert_eq!(
            trace.context.iter().map(|(key, _)| key).collect::<Vec<_>>(),
            ["user.id", "session.id", "langfuse.project.id", "metadata.app_version"]
        );
    }

    #[test]
    fn skipped_fields_are_sorted() {
        assert!(SKIPPED_FIELDS.is_sorted());
    }

    #[test]
    fn scores_and_manifests_are_companions() {
        let out = parse_line(
            &Langfuse,
            r#"{"id":"s","timestamp":"2026-11-23 09:15:14.529","project_id":"p","trace_id":"t","observation_id":null,"name":"q","value":0,"data_type":"CATEGORICAL","string_value":"good"}"#,
        );
        assert_eq!(out.annotations[0].0, AnnotationTarget::Trace("t".into()));
        assert_eq!((out.annotations[0].1.label.as_deref(), out.annotations[0].1.score), (Some("good"), None));
        let out = parse_line(&Langfuse, r#"{"projectId":"p","tables":[],"files":[{"key":"x/p/scores/a.jsonl"}]}"#);
        assert_eq!((out.fragments.len(), out.rejections.len(), out.skipped.len()), (0, 0, 1));
    }
}
