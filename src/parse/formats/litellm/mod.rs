//! Calls that `LiteLLM`'s SDK or proxy logged: its `StandardLoggingPayload`, and rows of its tables.
//!
//! Specification: <https://docs.litellm.ai/docs/proxy/logging_spec>; checked against versions 1.61 and 1.110. Loggers for S3, GCS, Azure Storage, SQS,
//! HTTP endpoints and Datadog write one payload for each attempt of a call, one object each, a list, or JSON lines.
//!
//! ```json
//! {"id": "chatcmpl-1", "trace_id": "9f2a…", "call_type": "acompletion", "status": "failure", "custom_llm_provider": "openai",
//!  "model": "openai/gpt-4o", "model_group": "chat", "startTime": 1795706432.14, "endTime": 1795706433.04, "messages": […], "response": {},
//!  "model_parameters": {"tools": […]}, "prompt_tokens": 0, "completion_tokens": 0, "error_str": "litellm.RateLimitError: …",
//!  "error_information": {"error_code": "429", "error_class": "RateLimitError", "error_message": "…", "traceback": "…"}, "metadata": {}}
//! ```
//!
//! | payload | span |
//! |---|---|
//! | `id`, `trace_id` | ids; attempts and fallbacks of one request have the same trace |
//! | `call_type` | name and kind: a model call, an embedding or a retrieval; `call_mcp_tool` is a tool |
//! | `status`, `error_str`, `error_information` | status and exception |
//! | `messages`, `model_parameters.tools`, `response` | messages, tools offered, finish reason |
//! | `prompt_tokens`, `completion_tokens` | model tokens |
//! | `metadata.mcp_tool_call_metadata` | name and arguments of a tool |
//! | `guardrail_information`, `metadata.vector_store_request_metadata` | spans below the call |
//! | `metadata.requester_metadata` | service and environment; all entries as attributes |
//!
//! Quirks of real payloads:
//! - The response of another API is that of `OpenAI`'s chat completions, except for `aresponses` (1.110).
//! - `trace_id` is null unless the application sets it (1.61).
//! - A failed call has the response `{}` and 0 tokens. An attempt of the router is a call with an id of its own (1.110).
//! - Redacted texts, and the arguments of tool calls, are `redacted-by-litellm`: not understood. The response is null if only prompts are logged.
//! - Loggers with a size limit write messages and response as the first 10,000 characters of Python's `repr`.
//! - Messages of an MCP call are a placeholder (1.110).
//! - A row of the proxy's spend logs has JSON as text, its trace is `session_id`, and its messages are in `proxy_server_request` if at all (1.110).
//! - A row of `ClickHouse` or Databricks has `start_time`, and in `ClickHouse` no `error_information` (1.110).

mod children;
mod content;

use std::borrow::Cow;

use crate::model::{Context, Exception, RejectionKind, Span, SpanKind, Status, TokenUsage};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, context, error_text, infer};

/// The format of `LiteLLM`'s call logs; see the [module docs](self).
pub(super) struct LiteLlm;

impl Format for LiteLlm {
    fn name(&self) -> &'static str {
        "litellm"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["call_type", "custom_llm_provider", "startTime"]),
                // Tables of the loggers for ClickHouse and Databricks.
                Signature::unique(&["call_type", "custom_llm_provider", "start_time"]),
                // Spend logs of older versions.
                Signature::unique(&["call_type", "request_id", "spend", "startTime"]),
            ]
        }
    }

    fn skipped_fields(&self) -> &'static [&'static str] {
        &SKIPPED_FIELDS
    }

    fn parse_record(&self, mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if !record.has("id") && record.has("request_id") {
            record = payload_of_spend_log(record);
        }
        parse_call(record, location, out)
    }
}

/// Prices, and values that are derived from other fields; sorted.
const SKIPPED_FIELDS: [&str; 9] = [
    "autorouter_baseline_observation",
    "autorouter_savings",
    "autorouter_savings_estimate",
    "cost_breakdown",
    "cost_finalized",
    "model_map_information",
    "response_cost_failure_debug_info",
    "saved_cache_cost",
    "total_tokens",
];

/// The fields of a row of spend logs under their names in the payload.
fn payload_of_spend_log(mut row: Record<'_>) -> Record<'_> {
    let id = row.take("request_id");
    row.insert("id", id);
    let (session, trace) = (row.take("session_id"), row.take("trace_id"));
    row.insert("spend_log_session_id", session.clone());
    row.insert("trace_id", if session.is_empty() { trace } else { session });
    let tags = row.take_tree("request_tags");
    row.insert("request_tags", tags);
    let mut metadata = Record::from_value(row.take_tree("metadata")).unwrap_or_default();
    for field in ["error_information", "guardrail_information"] {
        let value = metadata.take(field);
        row.insert(field, value);
    }
    let status = row.take("status");
    let status_of_metadata = metadata.take("status");
    row.insert("status", if status.is_null() { status_of_metadata } else { status });
    metadata.discard(&SKIPPED_FIELDS);
    // The request is recorded with data of the proxy about the key.
    let request = row.take_tree("proxy_server_request");
    if !metadata.has("requester_metadata") {
        metadata.insert("requester_metadata", request.get("metadata").get("requester_metadata").clone());
    }
    row.insert("metadata", metadata.into_value());
    let messages = row.take_tree("messages");
    let requested = request.first(&["messages", "input", "contents", "prompt", "query"]).clone();
    row.insert("messages", if messages.is_empty() { requested } else { messages });
    row.insert("model_parameters", Value::Map(vec![("tools".into(), request.get("tools").clone())]));
    row
}

fn parse_call(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    // `None` is the text of a missing id.
    let id = record.take("id").as_id().filter(|id| id != "None").or_else(|| record.take("litellm_call_id").as_id());
    let Some(span_id) = id else {
        let reason = format!("cannot read {location}: id is missing or empty\n  hint: include it in the export");
        return out.reject(location, RejectionKind::MissingId, reason);
    };
    let mut time = |keys: [&str; 2]| keys.into_iter().find_map(|key| record.take(key).as_time());
    let (start, end) = (time(["startTime", "start_time"]), time(["endTime", "end_time"]));
    let Some(started_at_ns) = start else {
        let reason =
            format!("cannot read {location}: startTime is missing or not a time\n  hint: a time is Unix time in seconds, or RFC 3339 text");
        return out.reject(location, RejectionKind::MissingTime, reason);
    };
    let trace_id = record.take("trace_id").as_id().unwrap_or_else(|| span_id.clone());
    let call_type = record.take_text("call_type").unwrap_or_default();
    let mut metadata = Record::from_value(record.take_tree("metadata")).unwrap_or_default();
    let mut span = Span {
        span_id,
        kind: kind(&call_type),
        name: call_type,
        started_at_ns: Some(started_at_ns),
        ended_at_ns: end,
        model: record.take_text("model"),
        provider: record.take_text("custom_llm_provider"),
        usage: usage(&mut record),
        ..Span::default()
    };
    set_status(&mut span, &mut record);
    let tool = metadata.take_tree("mcp_tool_call_metadata");
    let mut parameters = Record::from_value(record.take_tree("model_parameters")).unwrap_or_default();
    let (request, response) = (record.take_tree("messages"), record.take_tree("response"));
    match span.kind {
        SpanKind::Llm => content::set_model_call(&mut span, request, response, &mut parameters),
        SpanKind::Tool => content::set_tool_call(&mut span, &tool, response),
        SpanKind::Retriever => content::set_retrieval(&mut span, &request, &response, &mut parameters),
        _ => content::set_texts(&mut span, &request, response),
    }
    let requester = metadata.take_tree("requester_metadata");
    let (service, environment) = service_and_environment(&requester);
    let mut found = Context::default();
    context::add(&mut found, "session.id", &record.take("spend_log_session_id"));
    let cost = record.first_number(&["response_cost", "spend"]);
    span.cost_usd = cost.filter(|cost| *cost >= 0.0);
    for key in ["end_user", "user_api_key_end_user_id"] {
        context::add(&mut found, "end_user", record.get(key));
        context::add(&mut found, "end_user", metadata.get(key));
    }
    context::add(&mut found, "user_api_key_user_id", metadata.get("user_api_key_user_id"));
    context::add_metadata(&mut found, &requester);
    let children = children::of_call(&span, &mut record, &mut metadata);
    keep_rest(&mut span, record, metadata, requester, parameters);
    let fragment = |span: Span| {
        let mut fragment = record::fragment(trace_id.clone(), span, location);
        (fragment.service, fragment.environment, fragment.context) = (service.clone(), environment.clone(), found.clone());
        fragment
    };
    let mut all = out.span(fragment(infer::infer_fields(span)));
    for child in children {
        all = all.and(out.span(fragment(child)));
    }
    all
}

/// The kind of a call. The asynchronous functions have the same names after an `a`, the ones of a connection after `_a`.
fn kind(call_type: &str) -> SpanKind {
    let word = call_type.trim_start_matches('_');
    let kind = |word: &str| match word {
        "completion"
        | "text_completion"
        | "responses"
        | "responses_websocket"
        | "anthropic_messages"
        | "generate_content"
        | "generate_content_stream"
        | "pass_through_endpoint"
        | "llm_passthrough_route"
        | "realtime"
        | "create_interaction"
        | "send_message"
        | "transcription" => Some(SpanKind::Llm),
        "embedding" => Some(SpanKind::Embedding),
        "call_mcp_tool" => Some(SpanKind::Tool),
        "rerank" | "search" | "vector_store_search" => Some(SpanKind::Retriever),
        _ => None,
    };
    kind(word).or_else(|| kind(word.strip_prefix('a')?)).unwrap_or_default()
}

/// The token counts, which are 0 if nothing was counted.
fn usage(record: &mut Record<'_>) -> TokenUsage {
    let (input, output) = (record.take("prompt_tokens").as_u64(), record.take("completion_tokens").as_u64());
    if input.unwrap_or(0) + output.unwrap_or(0) > 0 { TokenUsage { input, output } } else { TokenUsage::default() }
}

fn set_status(span: &mut Span, record: &mut Record<'_>) {
    let mut error = Record::from_value(record.take_tree("error_information")).unwrap_or_default();
    let text = record.take_text("error_str");
    match record.take("status").as_str() {
        Some("success") => span.status = Status::Ok,
        Some("failure") => {
            span.status = Status::Error;
            let message = error.take_text("error_message").or_else(|| text.clone()).unwrap_or_default();
            let kind = error.take_text("error_class").or_else(|| error_text::kind_of(&message, None)).unwrap_or_default();
            let exception = Exception { kind, message, stack: error.take_text("traceback") };
            span.status_message = text.or_else(|| Some(exception.message.clone())).filter(|text| !text.is_empty());
            if !exception.kind.is_empty() {
                span.exceptions.push(exception);
            }
        }
        _ => {}
    }
    record::keep_attribute(span, Cow::Borrowed("error_information"), error.into_value());
}

fn service_and_environment(requester: &Value<'_>) -> (Option<String>, Option<String>) {
    let text = |keys: &[&str]| requester.first(keys).as_str().map(str::to_owned);
    (text(&["service", "service.name", "service_name"]), text(&["environment", "env"]))
}

/// Keeps the remaining fields as attributes.
fn keep_rest(span: &mut Span, mut record: Record<'_>, mut metadata: Record<'_>, requester: Value<'_>, parameters: Record<'_>) {
    metadata.discard(&["usage_object"]);
    let mut requester = Record::from_value(requester).unwrap_or_default();
    requester.discard(&["headers"]);
    let mut hidden = Record::from_value(record.take_tree("hidden_params")).unwrap_or_default();
    hidden.discard(&["usage_object"]);
    for (key, value) in [
        ("metadata", metadata.into_value()),
        ("metadata.requester_metadata", requester.into_value()),
        ("model_parameters", parameters.into_value()),
        ("hidden_params", hidden.into_value()),
    ] {
        record::keep_attribute(span, Cow::Borrowed(key), value);
    }
    record.keep_rest(span);
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::{Coverage, Part};
    use crate::parse::tests::parse_line;

    pub(super) fn fragments(call_type: &str, fields: &str) -> Vec<crate::parse::SpanFragment> {
        let line = format!(
            r#"{{"id":"c1","trace_id":null,"call_type":"{call_type}","custom_llm_provider":"openai","model":"m","startTime":1795706432.5,"endTime":1795706433.5,{fields}}}"#
        );
        parse_line(&LiteLlm, &line).fragments
    }

    pub(super) fn span(call_type: &str, fields: &str) -> Span {
        fragments(call_type, fields).remove(0).span
    }

    #[test]
    fn a_failed_call_has_an_exception_and_no_tokens() {
        let span = span(
            "acompletion",
            r#""status":"failure","messages":[{"role":"user","content":"hi"}],"response":{},"prompt_tokens":0,"completion_tokens":0,"error_str":"litellm.RateLimitError: no",
            "error_information":{"error_code":"429","error_class":"RateLimitError","error_message":"litellm.RateLimitError: no","traceback":"  File \"a.py\""}"#,
        );
        let exception = &span.exceptions[0];
        assert_eq!((exception.kind.as_str(), exception.message.as_str()), ("RateLimitError", "litellm.RateLimitError: no"));
        assert_eq!((exception.stack.as_deref(), span.attribute("error_information.error_code")), (Some("  File \"a.py\""), Some("429")));
        assert_eq!((span.status, span.usage, span.coverage(Part::Output)), (Status::Error, TokenUsage::default(), Coverage::Absent));
    }

    #[test]
    fn the_kind_follows_from_the_function() {
        for (call_type, kind) in [
            ("acompletion", SpanKind::Llm),
            ("completion", SpanKind::Llm),
            ("atext_completion", SpanKind::Llm),
            ("aresponses", SpanKind::Llm),
            ("anthropic_messages", SpanKind::Llm),
            ("_arealtime", SpanKind::Llm),
            ("allm_passthrough_route", SpanKind::Llm),
            ("aembedding", SpanKind::Embedding),
            ("arerank", SpanKind::Retriever),
            ("amoderation", SpanKind::Other),
            ("call_mcp_tool", SpanKind::Tool),
            ("acreate_batch", SpanKind::Other),
            ("", SpanKind::Other),
        ] {
            assert_eq!(super::kind(call_type), kind, "{call_type}");
        }
    }

    #[test]
    fn a_spend_log_has_its_messages_in_the_request() {
        let out = parse_line(
            &LiteLlm,
            r#"{"request_id":"c1","call_type":"acompletion","api_key":"k","spend":0.1,"prompt_tokens":5,"completion_tokens":6,"startTime":"2026-11-26 15:25:19.914199+00:00","endTime":"2026-11-26 15:25:20+00:00","model":"m",
            "metadata":"{\"status\":\"failure\",\"error_information\":{\"error_class\":\"Timeout\",\"error_message\":\"slow\"}}","session_id":"s1","messages":"{}","response":"{}","request_tags":"[\"a\"]",
            "proxy_server_request":"{\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"metadata\":{\"user_api_key\":\"k\"}}"}"#,
        );
        let (fragment, span) = (&out.fragments[0], &out.fragments[0].span);
        assert_eq!((fragment.trace_id.as_str(), span.span_id.as_str(), span.exceptions[0].kind.as_str()), ("s1", "c1", "Timeout"));
        assert_eq!((span.input[0].content.as_str(), span.tools_offered.as_slice()), ("hi", &["f".to_owned()][..]));
        assert!(span.attributes.iter().all(|attribute| !attribute.key.contains("user_api_key")), "{:?}", span.attributes);
    }

    #[test]
    fn a_row_of_another_table_has_other_names() {
        let out = parse_line(
            &LiteLlm,
            r#"{"request_id":"c1","call_type":"acompletion","custom_llm_provider":"openai","start_time":1795706432500,"end_time":1795706433500,"trace_id":"","session_id":"s1","status":"failure",
            "error_str":"litellm.RateLimitError: no","metadata":"{}","messages":"[{\"role\":\"user\",\"content\":\"hi\"}]","response":"{}"}"#,
        );
        let (fragment, span) = (&out.fragments[0], &out.fragments[0].span);
        assert_eq!((fragment.trace_id.as_str(), span.ended_at_ns), ("s1", Some(1_795_706_433_500_000_000)));
        assert_eq!((span.exceptions[0].kind.as_str(), span.input[0].content.as_str()), ("litellm.RateLimitError", "hi"));
    }

    #[test]
    fn a_call_without_id_or_time_is_rejected() {
        let kind = |line: &str| parse_line(&LiteLlm, line).rejections[0].kind;
        assert_eq!(kind(r#"{"call_type":"completion","custom_llm_provider":null,"startTime":1}"#), RejectionKind::MissingId);
        let unnamed =
            r#"{"id":"None","litellm_call_id":"c2","call_type":"completion","custom_llm_provider":null,"startTime":1795706432.5}"#;
        assert_eq!(parse_line(&LiteLlm, unnamed).fragments[0].span.span_id, "c2");
        assert_eq!(kind(r#"{"id":"c","call_type":"completion","custom_llm_provider":null,"startTime":""}"#), RejectionKind::MissingTime);
        assert!(SKIPPED_FIELDS.is_sorted());
    }
}
