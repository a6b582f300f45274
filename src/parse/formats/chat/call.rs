//! Logs of single calls: a request beside its response or its error, and the results of batch APIs.
//!
//! ```json
//! {"id": "c1", "model": "m", "messages": [{"role": "user", "content": "hi"}], "response": {"choices": […]}, "error": null}
//! {"id": "batch_req_1", "custom_id": "order-17", "response": {"status_code": 200, "body": {"choices": […]}}, "error": null}
//! {"custom_id": "order-17", "result": {"type": "errored", "error": {"type": "error", "error": {"type": "invalid_request_error", "message": "…"}}}}
//! {"request": {"contents": […]}, "response": {"candidates": […]}, "status": "", "processed_time": "…"}
//! ```
//!
//! Specification: the output files of <https://platform.openai.com/docs/guides/batch>,
//! <https://platform.claude.com/docs/en/build-with-claude/batch-processing> and
//! <https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/batch-prediction-gemini>; checked against the documentation of November 2026.

use crate::model::{Message, Part, Span, SpanKind, Status};
use crate::parse::messages::{self, Conversation};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{error_text, infer};

/// The fields that may contain the response to the messages beside them.
pub(super) const RESPONSE_FIELDS: [&str; 7] = ["response", "completion", "choices", "output", "result", "answer", "generation"];

/// The request and the outcome of one call.
#[derive(Default)]
pub(super) struct Call<'a> {
    pub(super) request: Value<'a>,
    pub(super) response: Value<'a>,
    pub(super) error: Value<'a>,
}

impl Call<'_> {
    /// The span of the call, without its id and times.
    pub(super) fn span(&self, rest: Record<'_>) -> Span {
        let mut span = Span { kind: SpanKind::Llm, name: "chat".into(), span_id: "0".into(), ..Span::default() };
        self.add_request(&mut span);
        self.add_response(&mut span);
        self.add_error(&mut span);
        rest.keep_rest(&mut span);
        infer::infer_fields(span)
    }

    fn add_request(&self, span: &mut Span) {
        match messages::conversation(&self.request) {
            Some(found) => {
                span.input = found.messages;
                span.tools_offered = found.tools;
                span.model = found.model;
            }
            None if !self.request.is_empty() => span.not_understood.insert(Part::Input),
            None => {}
        }
    }

    fn add_response(&self, span: &mut Span) {
        let tree = self.response.any_tree();
        let found = tree.as_deref().and_then(messages::conversation);
        match (found, self.response.as_str()) {
            (Some(Conversation { messages, finish_reasons, usage, model, .. }), _) => {
                (span.output, span.finish_reasons, span.usage) = (messages, finish_reasons, usage);
                span.model = model.or(span.model.take());
            }
            (None, Some(text)) if tree.is_none() => {
                span.output.extend((!text.is_empty()).then(|| Message {
                    role: "assistant".into(),
                    content: text.into(),
                    ..Message::default()
                }));
            }
            (None, _) if !self.response.is_empty() && !self.has_error() => span.not_understood.insert(Part::Output),
            _ => {}
        }
    }

    pub(super) fn has_error(&self) -> bool {
        !matches!(self.error, Value::Null | Value::Bool(false)) && !self.error.is_empty()
    }

    pub(super) fn add_error(&self, span: &mut Span) {
        if !self.has_error() {
            return;
        }
        span.status = Status::Error;
        // `{"type": "error", "error": {"type": "overloaded_error", "message": "…"}}`
        let tree = self.error.any_tree();
        let body = tree.as_deref().map(|tree| if matches!(tree.get("error"), Value::Map(_)) { tree.get("error") } else { tree });
        if let Some(body) = body {
            let exception = error_text::exception_in(body);
            span.error_type = Some(exception.kind).filter(|kind| !kind.is_empty());
            span.status_message = Some(exception.message).filter(|message| !message.is_empty()).or_else(|| Some(body.to_text()));
        } else {
            let text = self.error.to_text();
            let (head, stack) = error_text::split_stack(&text);
            span.error_type = error_text::kind_of(head, stack);
            span.status_message = Some(text);
        }
    }
}

/// A line of the output of a batch API; `None` if the record is none, such as a line of its input.
pub(super) fn of_batch<'a>(record: &mut Record<'a>) -> Option<Call<'a>> {
    if record.has("result") {
        return Some(of_anthropic(&record.take("result")));
    }
    if !record.has("response") {
        return None;
    }
    let (response, error) = (record.take("response"), record.take("error"));
    let status = response.get("status_code").as_u64();
    record.insert("http.response.status_code", status.map_or(Value::Null, |status| Value::Int(i64::try_from(status).unwrap_or(i64::MAX))));
    let body = response.get("body").clone();
    let failed = status.is_some_and(|status| status >= 400);
    let of_body = if failed && body.get("error").is_null() { body.clone() } else { body.get("error").clone() };
    let error = if error.is_empty() { of_body } else { error };
    Some(Call { request: Value::Null, response: body, error })
}

/// `{"type": "succeeded", "message": {…}}`, `{"type": "errored", "error": {…}}`, or a result without details: `canceled`, `expired`.
fn of_anthropic<'a>(result: &Value<'a>) -> Call<'a> {
    let error = match result.get("type").as_str() {
        Some("errored") => result.get("error").clone(),
        Some(kind @ ("canceled" | "expired")) => Value::Text(format!("the request was {kind}").into()),
        _ => Value::Null,
    };
    Call { request: Value::Null, response: result.get("message").clone(), error }
}

/// A request beside its response: Vertex AI's batch predictions, and logs of proxies.
pub(super) fn of_pair<'a>(record: &mut Record<'a>) -> Call<'a> {
    let (request, response) = (record.take_tree("request"), record.take_tree("response"));
    // Vertex AI: an error is text in `status`.
    let status = record.take("status");
    let error = record.take("error");
    let status_is_error = status.as_str().is_some_and(|text| text.contains(' ') || text.contains("rror"));
    let body = if request.get("body").is_null() { request } else { request.get("body").clone() };
    let error = match (error.is_empty(), status_is_error) {
        (false, _) => error,
        (true, true) => status,
        (true, false) => {
            record.insert("status", status);
            response.get("error").clone()
        }
    };
    Call { request: body, response, error }
}

/// Sets the times of a call that has an outcome, and has ended therefore.
pub(super) fn set_times(span: &mut Span, start: Option<i64>, end: Option<i64>, otherwise: i64) {
    span.started_at_ns = start.or(end).or(Some(otherwise));
    span.ended_at_ns = end.max(span.started_at_ns);
}

/// Keeps the id under which the caller knows the call.
pub(super) fn keep_id(span: &mut Span, key: &'static str, id: Option<String>) {
    if let Some(id) = id {
        record::keep_attribute(span, key.into(), Value::Text(id.into()));
    }
}
