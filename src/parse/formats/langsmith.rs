//! LangSmith runs: rows of the API as JSON lines, and the Parquet files of the bulk export.
//!
//! Specification: <https://docs.langchain.com/langsmith/run-data-format>, bulk export <https://docs.langchain.com/langsmith/data-export>.
//! Supported are the rows of `POST /runs/query` and of its successor (upper-case words, `project_id`), `Run.model_dump_json()` of the SDK,
//! and the bulk export in versions 1 and `v2_beta`. A run is a span; `trace_id` is the id of the root run.
//!
//! ```json
//! {"id": "r2", "trace_id": "r1", "parent_run_id": "r1", "run_type": "llm", "name": "ChatOpenAI", "start_time": "2026-11-23T09:08:46.449940",
//!  "error": "RateLimitError('Error code: 429')\n\nTraceback (most recent call last): …", "inputs": {"messages": […]}, "outputs": null,
//!  "extra": {"metadata": {"ls_model_name": "gpt-4o", "ls_provider": "openai"}}}
//! ```
//!
//! | run | span |
//! |---|---|
//! | `run_type` | kind |
//! | `error`: `Type('message')`, traceback | exception |
//! | `inputs`, `outputs` of an LLM run | messages, tools offered, finish reason |
//! | `inputs`, `outputs` of a tool, a retriever | arguments and result, documents |
//! | `extra.metadata` | model, provider, tool call id; the other fields as attributes `metadata.X` |
//! | `feedback_stats` | annotations |
//!
//! Quirks of real exports:
//! - Times without a zone are UTC.
//! - `session_id` is the project; the user's session is in `extra.metadata`.
//! - Environment variables of the process (`LANGSMITH_*`) are in the metadata (SDK).
//! - Token counts are 0 if nothing was counted.
//! - In Parquet every nested column is JSON text, and columns may be missing (bulk export).

use std::borrow::Cow;

use crate::model::{Annotation, Context, Span, SpanKind, Status, TokenUsage, ToolUse};
use crate::parse::record::{self, IdentityKeys, Record, SpanIdentity};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, context, error_text, infer, span_fields};

/// The format of `LangSmith` runs; see the [module docs](self).
pub(super) struct LangSmith;

impl Format for LangSmith {
    fn name(&self) -> &'static str {
        "langsmith"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                // A run; an export may lack columns.
                Signature::unique(&["run_type", "trace_id", "id"]),
                Signature::unique(&["dotted_order", "trace_id", "id"]),
                // A response of the API.
                Signature::page(&["runs", "cursors"]),
            ]
        }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        &SKIPPED_FIELDS
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        // A response of the API.
        if let Value::List(runs) = record.take("runs") {
            return record::parse_each(runs, location, out, parse_run);
        }
        parse_run(record, location, out)
    }
}

/// Keys of LangSmith's own database, and values that are derived from other fields; sorted.
const SKIPPED_FIELDS: [&str; 21] = [
    "child_run_ids",
    "child_runs",
    "direct_child_run_ids",
    "events",
    "execution_order",
    "in_dataset",
    "inputs_preview",
    "inputs_s3_urls",
    "is_in_dataset",
    "is_root",
    "last_queued_at",
    "manifest_id",
    "metadata",
    "outputs_preview",
    "outputs_s3_urls",
    "price_model_id",
    "serialized",
    "share_token",
    "total_tokens",
    "trace_tier",
    "ttl_seconds",
];

fn parse_run(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let order = record.take_text("dotted_order").unwrap_or_default();
    let order = DottedOrder(&order);
    if !record.has("start_time") {
        record.insert("start_time", order.started_at().map_or(Value::Null, |time| Value::Text(Cow::Owned(time))));
    }
    let keys = IdentityKeys { trace_id: "trace_id", span_id: "id", start_time: "start_time" };
    let SpanIdentity { trace_id, span_id, started_at_ns } = match record.take_identity(&keys, location, out) {
        Ok(identity) => identity,
        Err(rejected) => return rejected,
    };
    let kind = kind(&record.take_text("run_type").unwrap_or_default());
    let mut span = Span {
        parent_span_id: parent_id(&mut record, order.parent_id()).filter(|parent| *parent != span_id),
        span_id,
        name: record.take_text("name").unwrap_or_default(),
        kind,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: record.take("end_time").as_time(),
        status: status(&record.take_text("status").unwrap_or_default()),
        ..Span::default()
    };
    let preview = record.take_text("error_preview");
    if let Some(error) = record.take_text("error").or(preview) {
        let exception = error_text::exception(&error);
        span.status = Status::Error;
        span.status_message = Some(exception.message.clone()).filter(|message| !message.is_empty());
        span.exceptions.push(exception);
    }
    set_usage(&mut span, &mut record);
    let mut extra = record.take_tree("extra");
    let service = set_metadata(&mut span, &mut extra);
    set_input(&mut span, record.take_tree("inputs"));
    set_output(&mut span, record.take_tree("outputs"));
    span.annotations = feedback(&record.take_tree("feedback_stats"));
    // The total of a run contains those of its children; 0 means that nothing was counted.
    span.cost_usd = record.get("total_cost").as_f64().filter(|cost| *cost > 0.0);
    let mut found = Context::default();
    let metadata = extra.get("metadata");
    for (key, value) in [
        ("langsmith.project", record.get("session_name")),
        ("langsmith.project", metadata.first(&["LANGSMITH_PROJECT", "LANGCHAIN_PROJECT"])),
        ("langsmith.project", record.get("session_id")),
        ("trace.path", record.get("app_path")),
        ("revision_id", metadata.first(&["revision_id", "LANGCHAIN_REVISION_ID", "LANGSMITH_REVISION_ID"])),
        ("process.runtime.name", extra.get("runtime").get("runtime")),
        ("process.runtime.version", extra.get("runtime").get("runtime_version")),
    ] {
        context::add(&mut found, key, value);
    }
    if let (Some(prompt), Some(commit)) = (metadata.text_at("lc_hub_repo"), metadata.text_at("lc_hub_commit_hash")) {
        found.add("prompt_version", &format!("{prompt}@{commit}"));
    }
    record.discard(&["app_path", "parent_run_ids"]);
    record.keep_rest(&mut span);
    let mut fragment = record::fragment(trace_id, infer::infer_fields(span), location);
    let environment = metadata.first(&["deployment.environment.name", "deployment.environment", "environment"]).as_str().map(str::to_owned);
    (fragment.service, fragment.environment, fragment.context) = (service, environment, found);
    out.span(fragment)
}

fn kind(word: &str) -> SpanKind {
    match word.to_ascii_lowercase().as_str() {
        "prompt" | "parser" => SpanKind::Chain,
        word => SpanKind::from_word(word).unwrap_or_default(),
    }
}

fn status(word: &str) -> Status {
    match word.to_ascii_lowercase().as_str() {
        "success" => Status::Ok,
        "error" => Status::Error,
        _ => Status::Unset,
    }
}

/// The start time and id of each ancestor, from the root to the run itself: `20261123T090846449940Z<id>.20261123T090847449940Z<id>`.
struct DottedOrder<'t>(&'t str);

impl DottedOrder<'_> {
    fn parent_id(&self) -> Option<String> {
        let (_, id) = self.0.rsplit('.').nth(1)?.split_once('Z')?;
        Some(id.to_owned())
    }

    /// The start time of the run, as RFC 3339.
    fn started_at(&self) -> Option<String> {
        let (time, _) = self.0.rsplit('.').next()?.split_once('Z')?;
        let time = chrono::NaiveDateTime::parse_from_str(time, "%Y%m%dT%H%M%S%6f").ok()?;
        Some(time.and_utc().to_rfc3339())
    }
}

/// The id of the parent: its own field, else that of the dotted order, else the last ancestor.
fn parent_id(record: &mut Record<'_>, from_order: Option<String>) -> Option<String> {
    let explicit = record.take("parent_run_id").as_id();
    explicit.or(from_order).or_else(|| record.take_tree("parent_run_ids").items().last().and_then(Value::as_id))
}

/// Sets the token usage. LangSmith writes 0 if nothing was counted.
fn set_usage(span: &mut Span, record: &mut Record<'_>) {
    let (input, output) = (record.take("prompt_tokens").as_u64(), record.take("completion_tokens").as_u64());
    if span.kind == SpanKind::Llm && input.unwrap_or(0) + output.unwrap_or(0) > 0 {
        span.usage = TokenUsage { input, output };
    }
}

/// Sets the fields that are in `extra.metadata`, and keeps its other entries as attributes; returns the service.
fn set_metadata(span: &mut Span, extra: &mut Value<'_>) -> Option<String> {
    let (metadata, parameters) = (extra.get("metadata"), extra.get("invocation_params"));
    span.model = metadata.text_at("ls_model_name");
    span.provider = metadata.text_at("ls_provider");
    if let (SpanKind::Tool, Some(call_id)) = (span.kind, metadata.text_at("tool_call_id")) {
        span.tool.get_or_insert_default().call_id = Some(call_id);
    }
    span.tools_offered = parameters.get("tools").items().iter().filter_map(crate::parse::messages::tool_name).collect();
    let service = metadata.first(&["service", "service.name", "LANGSMITH_PROJECT", "LANGCHAIN_PROJECT"]).as_str().map(str::to_owned);
    let mapped = ["ls_model_name", "ls_provider", "tool_call_id", "ls_invocation_params", "usage_metadata", "ls_method", "ls_model_type"];
    for (key, value) in metadata.fields() {
        if !mapped.contains(&key.as_ref()) && !key.starts_with("LANGSMITH_") && !key.starts_with("LANGCHAIN_") {
            record::keep_attribute(span, Cow::Owned(format!("metadata.{key}")), value.clone());
        }
    }
    service
}

fn set_input(span: &mut Span, inputs: Value<'_>) {
    match span.kind {
        SpanKind::Llm => {
            if let Some(model) = inputs.text_at("model") {
                span.model.get_or_insert(model);
            }
            span_fields::set_input(span, inputs);
        }
        SpanKind::Tool => span.tool.get_or_insert_default().arguments = single_text(&inputs).unwrap_or_else(|| inputs.to_text()),
        _ => span.input_text = single_text(&inputs).or_else(|| inputs.into_text()),
    }
}

fn set_output(span: &mut Span, outputs: Value<'_>) {
    match span.kind {
        SpanKind::Llm => {
            if let Some(model) = response_model(&outputs) {
                span.model = Some(model);
            }
            if span.usage == TokenUsage::default() {
                // Of the run, or of the answer in it.
                let answer = outputs.get("generations").items().first().and_then(|answers| answers.items().first());
                let of_answer = answer.map_or(&Value::Null, |answer| answer.get("message").get("kwargs").get("usage_metadata"));
                let counted = Some(outputs.get("usage_metadata")).filter(|counted| !counted.is_null()).unwrap_or(of_answer);
                span.usage = TokenUsage { input: counted.get("input_tokens").as_u64(), output: counted.get("output_tokens").as_u64() };
            }
            // A failed run has `{"output": null}`.
            if outputs.fields().iter().any(|(_, value)| !value.is_null()) {
                span_fields::set_output(span, outputs);
            }
        }
        SpanKind::Tool => {
            let answer = outputs.get("output");
            let tool: &mut ToolUse = span.tool.get_or_insert_default();
            // LangGraph's tools return a tool message.
            let content = answer.get("content");
            if tool.call_id.is_none() {
                tool.call_id = answer.text_at("tool_call_id");
            }
            let result = if content.is_null() { single_text(&outputs).or_else(|| outputs.into_text()) } else { Some(content.to_text()) };
            tool.result = result.filter(|result| !result.is_empty() && result != "{}");
        }
        SpanKind::Retriever if matches!(outputs.get("documents"), Value::List(_)) => {
            span.documents = Some(span_fields::documents(outputs.get("documents")));
        }
        _ => span.output_text = single_text(&outputs).or_else(|| outputs.into_text()).filter(|text| text != "{}"),
    }
}

fn response_model(outputs: &Value<'_>) -> Option<String> {
    let langchain = outputs.get("llm_output").text_at("model_name");
    outputs.text_at("model").or(langchain).filter(|model| !model.is_empty())
}

/// The text of `{"input": "text"}`, an object whose only field is a string.
fn single_text(value: &Value<'_>) -> Option<String> {
    match value.fields() {
        [(_, Value::Text(text))] => Some(text.clone().into_owned()),
        _ => None,
    }
}

/// `{"user_score": {"n": 1, "avg": 0.0, "values": {"bad": 1}, "comments": []}}`
fn feedback(stats: &Value<'_>) -> Vec<Annotation> {
    let annotation = |(name, stat): &(Cow<'_, str>, Value<'_>)| {
        let label = match stat.get("values").fields() {
            [(label, _)] => Some(label.clone().into_owned()),
            _ => None,
        };
        let comment = stat.get("comments").items().first().and_then(Value::as_str).map(str::to_owned);
        Annotation { name: name.clone().into_owned(), label, score: stat.get("avg").as_f64(), comment }
    };
    stats.fields().iter().map(annotation).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RejectionKind;
    use crate::parse::tests::parse_line;

    const IDS: &str = r#""id":"r2","trace_id":"r1","start_time":"2026-11-23T09:08:46.449940","run_type":"llm""#;

    fn span(rest: &str) -> Span {
        parse_line(&LangSmith, &format!("{{{IDS},{rest}}}")).fragments.remove(0).span
    }

    #[test]
    fn an_error_is_split_and_the_parent_is_found_in_the_dotted_order() {
        let span = span(
            r#""status":"ERROR","error":"RateLimitError('429')\n\nTraceback (most recent call last):\n","dotted_order":"20261123T090846Zr1.20261123T090847Zr2""#,
        );
        assert_eq!((span.exceptions[0].kind.as_str(), span.status_message.as_deref()), ("RateLimitError", Some("429")));
        assert_eq!((span.parent_span_id.as_deref(), span.status), (Some("r1"), Status::Error));
        assert_eq!(span.started_at_ns, Some(1_795_424_926_449_940_000));
    }

    #[test]
    fn environment_variables_in_the_metadata_are_dropped() {
        let span = span(
            r#""extra":{"metadata":{"user_id":"u","LANGSMITH_API_KEY":"k","ls_model_name":"gpt-4o"}},"feedback_stats":{"score":{"n":1,"avg":0.0}}"#,
        );
        assert_eq!((span.attribute("metadata.user_id"), span.attributes.len(), span.model.as_deref()), (Some("u"), 1, Some("gpt-4o")));
        assert_eq!((span.annotations[0].name.as_str(), span.annotations[0].score), ("score", Some(0.0)));
    }

    #[test]
    fn the_environment_and_the_runtime_are_read() {
        let record = format!(
            r#"{{{IDS},"extra":{{"metadata":{{"deployment.environment.name":"canary"}},"runtime":{{"runtime":"python","runtime_version":"3.12.11"}}}}}}"#
        );
        let fragment = parse_line(&LangSmith, &record).fragments.remove(0);
        assert_eq!(fragment.environment.as_deref(), Some("canary"));
        assert!(fragment.context.iter().any(|(key, value)| (key, value) == ("process.runtime.version", "3.12.11")));
    }

    #[test]
    fn a_run_with_few_columns_is_read() {
        let row = r#"{"id":"r2","trace_id":"r1","dotted_order":"20261123T090846000000Zr1.20261123T090846449940Zr2"}"#;
        let span = parse_line(&LangSmith, row).fragments.remove(0).span;
        assert_eq!((span.started_at_ns, span.parent_span_id.as_deref()), (Some(1_795_424_926_449_940_000), Some("r1")));
    }

    #[test]
    fn an_api_response_yields_its_runs() {
        let out = parse_line(&LangSmith, &format!("{{\"runs\":[{{{IDS}}},7],\"cursors\":{{}}}}"));
        assert_eq!((out.fragments.len(), out.rejections[0].trace_ref.as_str()), (1, "t.jsonl#L4.s2"));
    }

    #[test]
    fn skipped_fields_are_sorted() {
        assert!(SKIPPED_FIELDS.is_sorted());
    }

    #[test]
    fn a_run_without_id_or_time_is_rejected() {
        let kind = |line: &str| parse_line(&LangSmith, line).rejections[0].kind;
        assert_eq!(kind(r#"{"id":"a","trace_id":"","run_type":"llm"}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"id":"a","trace_id":"b","run_type":"llm","start_time":"yesterday"}"#), RejectionKind::MissingTime);
        assert_eq!(kind(r#"{"id":"a","trace_id"#), RejectionKind::MalformedJson);
    }

    #[test]
    fn the_project_the_path_and_the_cost_describe_the_run() {
        let line = r#"{"id":"r1","trace_id":"r1","run_type":"chain","name":"agent","start_time":"2026-11-23T09:08:46","session_name":"support","session_id":"5e8f",
            "app_path":"/o/1/projects/p/2/r/r1","total_cost":"0.25","extra":{"metadata":{"revision_id":"9f1c","user_id":"u1","lc_hub_repo":"answer","lc_hub_commit_hash":"c0"}}}"#;
        let fragment = crate::parse::tests::parse_line(&LangSmith, line).fragments.remove(0);
        let expected = [
            ("langsmith.project", "support"),
            ("trace.path", "/o/1/projects/p/2/r/r1"),
            ("revision_id", "9f1c"),
            ("prompt_version", "answer@c0"),
        ];
        assert_eq!((fragment.context.iter().collect::<Vec<_>>(), fragment.cost_usd), (expected.to_vec(), Some(0.25)));
        assert_eq!(fragment.span.attribute("app_path"), None);
    }
}
