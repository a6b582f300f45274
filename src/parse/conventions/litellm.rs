//! `LiteLLM`'s OpenTelemetry callback, of its SDK and of its proxy.
//!
//! Specification: <https://docs.litellm.ai/docs/observability/opentelemetry_integration>; checked against versions 1.60 and 1.110.
//!
//! ```json
//! {"gen_ai.request.model": "gpt-4o", "llm.request.type": "acompletion", "gen_ai.input.messages": "[…]", "gen_ai.output.messages": "[…]",
//!  "gen_ai.completion.0.function_call.name": "lookup", "gen_ai.response.finish_reasons": "[\"tool_calls\"]"}
//! {"llm.openai.messages": "[{'role': 'user', 'content': 'Where is A-17?'}]", "llm.openai.tools": "[…]",
//!  "llm.openai.choices": "[{'finish_reason': 'stop', 'message': {'content': None, 'refusal': '…'}}]"}
//! {"error.code": "429", "error.type": "RateLimitError", "error.message": "litellm.RateLimitError: …", "error.llm_provider": "openai"}
//! ```
//!
//! A call is a span `litellm_request` (or the proxy's `Received Proxy Server Request`), which follows [`gen_ai`](super::gen_ai) and
//! [`openllmetry`](super::openllmetry), with a child `raw_gen_ai_request` that has the fields of the provider's request and response, one attribute each.
//!
//! Quirks of real exporters:
//! - Attributes that are not text are Python's `repr`; finish reasons are JSON text (1.110).
//! - Only the raw span has a refusal and the ids of tool calls. A failed call has no raw span.
//! - `gen_ai.operation.name` and `llm.request.type` are the name of `LiteLLM`'s function: `acompletion`, `aembedding`, `aresponses`.
//! - A response that is no JSON object is in `llm.PROVIDER.stringified_raw_response` (streams, 1.60 to 1.110).
//! - The prompt of the Responses API is not in the raw span (1.110).
//! - The proxy's spans of its own services (`redis`, `postgres`, `router`) have `service`, `call_type` and, if they failed, `error`; the span
//!   `Failed Proxy Server Request` has the text of the exception as `exception`. Before 1.90 their status has no text.
//! - Guardrail spans have `guardrail_status` (`guardrail_intervened`, `guardrail_failed_to_respond`) and an unset status; newer ones
//!   `litellm.guardrail.status` (1.110).

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{SpanKind, Status};
use crate::parse::value::Value;

/// The `LiteLLM` convention; see the [module docs](self).
pub(super) struct LiteLlm;

impl Convention for LiteLlm {
    fn name(&self) -> &'static str {
        "litellm"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["litellm", "llm", "exception", "error", "service", "guardrail_name", "guardrail_status", "guardrail_response"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(LiteLlmState::default())
    }
}

/// The name of the span with the provider's request and response.
const RAW_SPAN: &str = "raw_gen_ai_request";
/// The name of the span that the proxy adds to a failed request.
const FAILED_SPAN: &str = "Failed Proxy Server Request";

#[derive(Default)]
struct LiteLlmState {
    /// Fields of the provider's request and response.
    request: Vec<(Cow<'static, str>, Value<'static>)>,
    response: Vec<(Cow<'static, str>, Value<'static>)>,
    /// Whether the response has vectors.
    is_embedding: bool,
    /// Whether the span is of a service of the proxy, and the error of that service.
    is_service: bool,
    error: Option<String>,
    is_guardrail: bool,
    guardrail_status: Option<String>,
    guardrail_response: Option<String>,
}

impl ConventionState for LiteLlmState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "exception" if span.fields.name == FAILED_SPAN => {
                span.set_kind(Rank::High, SpanKind::Chain);
                span.fail(value.into_text());
                return None;
            }
            "service" | "litellm.service.name" => self.is_service = true,
            "error" => self.error = value.as_str().map(str::to_owned),
            "guardrail_name" | "litellm.guardrail.name" => self.is_guardrail = true,
            "guardrail_status" | "litellm.guardrail.status" => self.guardrail_status = value.as_str().map(str::to_owned),
            "guardrail_response" | "litellm.guardrail.response" => self.guardrail_response = value.as_str().map(str::to_owned),
            _ => return self.set_other(key, value, span),
        }
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if self.is_embedding {
            span.set_kind(Rank::High, SpanKind::Embedding);
        } else if !self.request.is_empty() || !self.response.is_empty() {
            span.set_kind(Rank::High, SpanKind::Llm);
            if self.request.iter().any(|(field, value)| field != "tools" && !value.is_empty()) {
                span.set_input(Rank::Normal, Value::Map(self.request));
            }
            if self.response.iter().any(|(field, value)| field != "model" && !value.is_empty()) {
                span.set_output(Rank::Normal, Value::Map(self.response));
            }
        }
        if self.is_service && span.fields.status == Status::Error {
            span.fail(self.error);
        }
        if self.is_guardrail {
            span.set_kind(Rank::High, SpanKind::Guardrail);
            if matches!(
                self.guardrail_status.as_deref(),
                Some("guardrail_intervened" | "guardrail_failed_to_respond" | "blocked" | "failure")
            ) {
                let response = self.guardrail_response.map(|response| Value::Text(response.into()).unquoted().to_text());
                let status = self.guardrail_status.unwrap_or_default();
                span.fail(Some(
                    response.filter(|text| !text.is_empty()).map_or_else(|| status.clone(), |text| format!("{status}: {text}")),
                ));
            }
        }
    }
}

impl LiteLlmState {
    /// `llm.openai.choices` of the raw span.
    fn set_other<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let field = key.strip_prefix("llm.").filter(|_| span.fields.name == RAW_SPAN).and_then(|rest| rest.split_once('.'));
        let Some((_provider, field)) = field else { return Some(value) };
        self.is_embedding |= matches!(field, "data" | "embedding" | "embeddings" | "predictions");
        let Some(fields) = self.fields_of(field) else { return Some(value) };
        let tree = value.any_tree().map(|tree| tree.into_owned().into_owned());
        let read = tree.unwrap_or_else(|| value.into_owned());
        if field == "stringified_raw_response" {
            // The response as a whole, if it is JSON after all.
            match read {
                Value::Map(whole) => fields.extend(whole),
                text => fields.push((Cow::Borrowed("text"), text)),
            }
        } else {
            fields.push((Cow::Owned(field.to_owned()), read));
        }
        None
    }

    /// Where a field of the provider's API belongs to; `None` if it has no content.
    fn fields_of(&mut self, field: &str) -> Option<&mut Vec<(Cow<'static, str>, Value<'static>)>> {
        match field {
            "messages" | "system" | "prompt" | "contents" | "systemInstruction" | "system_instruction" | "instructions" | "input"
            | "inputs" | "tools" | "toolConfig" | "functions" | "inputText" | "chat_history" | "message_history" | "preamble" => {
                Some(&mut self.request)
            }
            "choices"
            | "content"
            | "candidates"
            | "output"
            | "outputs"
            | "message"
            | "generation"
            | "generations"
            | "completion"
            | "completions"
            | "results"
            | "response"
            | "text"
            | "stop_reason"
            | "stopReason"
            | "finish_reason"
            | "done_reason"
            | "role"
            | "usage"
            | "usageMetadata"
            | "promptFeedback"
            | "incomplete_details"
            | "prompt_eval_count"
            | "eval_count"
            | "tool_calls"
            | "model"
            | "error"
            | "stringified_raw_response" => Some(&mut self.response),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::*;
    use crate::model::Span;

    fn span(name: &str, attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanMapper::new(Span { name: name.into(), status: Status::Unset, ..Span::default() });
        for (key, value) in attributes {
            span.set_attribute(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        span.finish()
    }

    #[test]
    fn the_raw_request_and_response_of_any_provider_are_read() {
        for (provider, attributes) in [
            (
                "OpenAI",
                &[
                    ("llm.openai.messages", "[{'role': 'user', 'content': \"what's late?\"}]"),
                    ("llm.openai.tools", "[{'type': 'function', 'function': {'name': 'f'}}]"),
                    (
                        "llm.openai.choices",
                        "[{'finish_reason': 'length', 'index': 0, 'message': {'content': 'A-17', 'refusal': None, 'role': 'assistant'}}]",
                    ),
                    ("llm.openai.usage", "{'completion_tokens': 6, 'prompt_tokens': 5}"),
                    ("llm.openai.extra_body", "{}"),
                ][..],
            ),
            (
                "Anthropic",
                &[
                    ("llm.anthropic.messages", "[{'role': 'user', 'content': [{'type': 'text', 'text': \"what's late?\"}]}]"),
                    ("llm.anthropic.tools", "[{'name': 'f', 'input_schema': {}}]"),
                    ("llm.anthropic.role", "assistant"),
                    ("llm.anthropic.content", "[{'type': 'text', 'text': 'A-17'}]"),
                    ("llm.anthropic.stop_reason", "max_tokens"),
                    ("llm.anthropic.usage", "{'input_tokens': 5, 'output_tokens': 6}"),
                ][..],
            ),
            (
                "Gemini",
                &[
                    ("llm.gemini.contents", "[{'role': 'user', 'parts': [{'text': \"what's late?\"}]}]"),
                    ("llm.gemini.tools", "[{'function_declarations': [{'name': 'f'}]}]"),
                    (
                        "llm.gemini.candidates",
                        "[{'content': {'role': 'model', 'parts': [{'text': 'A-17'}]}, 'finishReason': 'MAX_TOKENS'}]",
                    ),
                    ("llm.gemini.usageMetadata", "{'promptTokenCount': 5, 'candidatesTokenCount': 6}"),
                ][..],
            ),
        ] {
            let raw = span(RAW_SPAN, attributes);
            assert_eq!(
                (raw.kind, raw.input[0].content.as_str(), raw.output[0].content.as_str()),
                (SpanKind::Llm, "what's late?", "A-17"),
                "{provider}"
            );
            assert_eq!((raw.tools_offered.as_slice(), raw.usage.output), (&["f".to_owned()][..], Some(6)), "{provider}");
            assert_eq!(raw.finish_reasons.len(), 1, "{provider}");
        }
        let embedding =
            span(RAW_SPAN, &[("llm.openai.input", "['x']"), ("llm.openai.data", "[{'embedding': [0.1]}]"), ("llm.openai.model", "m")]);
        assert_eq!((embedding.kind, embedding.output_text), (SpanKind::Embedding, None));
        assert_eq!(span("other", &[("llm.openai.choices", "[]")]).attribute("llm.openai.choices"), Some("[]"));
    }

    #[test]
    fn a_refusal_is_in_the_raw_span_only() {
        let raw = span(
            RAW_SPAN,
            &[(
                "llm.openai.choices",
                "[{'finish_reason': 'stop', 'message': {'content': None, 'refusal': \"I can't\", 'role': 'assistant'}}]",
            )],
        );
        assert_eq!(raw.output[0].refusal.as_deref(), Some("I can't"));
    }

    #[test]
    fn failures_of_the_proxy_have_their_cause() {
        let failed = span(FAILED_SPAN, &[("exception", "429: budget exceeded")]);
        assert_eq!((failed.kind, failed.status_message.as_deref()), (SpanKind::Chain, Some("429: budget exceeded")));
        let blocked = span(
            "guardrail",
            &[("guardrail_name", "pii"), ("guardrail_status", "guardrail_intervened"), ("guardrail_response", "\"blocked: email\"")],
        );
        assert_eq!((blocked.kind, blocked.status_message.as_deref()), (SpanKind::Guardrail, Some("guardrail_intervened: blocked: email")));
        let passed = span("guardrail", &[("litellm.guardrail.name", "pii"), ("litellm.guardrail.status", "success")]);
        assert_eq!((passed.kind, passed.status), (SpanKind::Guardrail, Status::Unset));
        let mut redis = SpanMapper::new(Span { name: "redis".into(), status: Status::Error, ..Span::default() });
        for (key, value) in [("service", "redis"), ("call_type", "async_get_cache"), ("error", "Connection refused")] {
            redis.set_attribute(key.into(), Value::Text(value.into()));
        }
        assert_eq!(redis.finish().status_message.as_deref(), Some("Connection refused"));
    }
}
