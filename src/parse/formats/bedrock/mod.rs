//! Model invocation logs of Amazon Bedrock, as it writes them to S3 (JSON lines, gzip) and to `CloudWatch` Logs: one object for each call.
//!
//! Specification: <https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html>, `schemaVersion` 1.0; bodies and names of
//! errors after botocore 1.44 (`bedrock-runtime`). Checked against documentation and published records only, not against own logs.
//!
//! ```json
//! {"schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-11-26T15:16:06Z", "accountId": "123456789012",
//!  "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/support/session"}, "region": "eu-west-1", "requestId": "a1b2…",
//!  "operation": "Converse", "modelId": "amazon.nova-lite-v1:0", "input": {"inputContentType": "application/json",
//!  "inputBodyJson": {"messages": […]}, "inputTokenCount": 25}, "output": {"outputContentType": "application/json",
//!  "outputBodyJson": {"output": {"message": {…}}, "stopReason": "end_turn"}, "outputTokenCount": 150}}
//! ```
//!
//! | record | span |
//! |---|---|
//! | `requestId` | ids of the span and of its trace |
//! | `operation` | name |
//! | `modelId`, or the last part of its ARN | model, and the kind: embedding, reranking, else a model call |
//! | `errorCode` | status and error type |
//! | `inputBodyJson`, `outputBodyJson` | messages, tools offered, finish reason |
//! | `inputTokenCount`, `outputTokenCount` | model tokens |
//! | `requestMetadata` | service, environment; all entries as attributes |
//!
//! Quirks of real logs:
//! - The bodies are those of the model's own API (`InvokeModel`), of the Converse API, or of `OpenAI`'s API. A stream of `InvokeModel` is the list of its
//!   chunks, which `stream` puts together; a stream of Converse is logged as one response.
//! - A body of more than 100 KB is an object of its own, `data/UUID_input.json.gz`. It is read if it is below an input, and not understood otherwise.
//! - Without data delivery there are no bodies, only counts.
//! - A failed call has an `errorCode`, no message, and often no `output`.
//! - Times have whole seconds, and only some bodies have the latency. Without it a call ends at its start: it is logged when it is over.
//! - A guardrail of `InvokeModel` is in `amazon-bedrock-guardrailAction` of the body, beside the model's own finish reason.

mod stream;

use std::borrow::Cow;

use crate::model::{Message, Part, RejectionKind, Span, SpanKind, Status, TokenUsage};
use crate::parse::messages::{self, Conversation};
use crate::parse::record::{self, Record};
use crate::parse::value::Value;
use crate::parse::{Accounted, Format, ParsedChunk, RecordLocation, Signature, infer, span_fields};

/// The format of Bedrock's model invocation logs; see the [module docs](self).
pub(super) struct Bedrock;

impl Format for Bedrock {
    fn name(&self) -> &'static str {
        "bedrock"
    }

    fn signatures(&self) -> &'static [Signature] {
        const {
            &[
                Signature::unique(&["accountId", "modelId", "operation", "requestId"]),
                Signature::unique(&["schemaType", "modelId", "requestId"]),
            ]
        }
    }

    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        parse_call(record, location, out)
    }
}

fn parse_call(mut record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let Some(id) = record.take("requestId").as_id() else {
        let reason = format!("cannot read {location}: requestId is missing or empty\n  hint: include it in the export");
        return out.reject(location, RejectionKind::MissingId, reason);
    };
    let Some(started_at_ns) = record.take("timestamp").as_time() else {
        let reason = format!("cannot read {location}: timestamp is missing or not a time\n  hint: a time is RFC 3339 text");
        return out.reject(location, RejectionKind::MissingTime, reason);
    };
    let model = record.take_text("modelId").unwrap_or_default();
    let (mut input, mut output) = (side(&mut record, "input"), side(&mut record, "output"));
    let (request, response) = (input.take_tree("inputBodyJson"), output.take_tree("outputBodyJson"));
    let mut span = Span {
        span_id: id.clone(),
        name: record.take_text("operation").unwrap_or_default(),
        kind: kind(&model, &request, &response),
        started_at_ns: Some(started_at_ns),
        status: Status::Ok,
        model: Some(model_name(&model).to_owned()).filter(|name| !name.is_empty()),
        provider: Some("aws.bedrock".to_owned()),
        usage: TokenUsage { input: input.take("inputTokenCount").as_u64(), output: output.take("outputTokenCount").as_u64() },
        ..Span::default()
    };
    span.ended_at_ns = span.started_at_ns;
    set_error(&mut span, &mut record);
    set_input(&mut span, request);
    set_output(&mut span, response);
    mark_stored_body(&mut span, Part::Input, &input, "inputBodyS3Path");
    mark_stored_body(&mut span, Part::Output, &output, "outputBodyS3Path");
    if model.starts_with("arn:") {
        record::keep_attribute(&mut span, Cow::Borrowed("modelId"), Value::Text(Cow::Owned(model)));
    }
    let metadata = record.take_tree("requestMetadata");
    let text = |keys: &[&str]| metadata.first(keys).as_str().map(str::to_owned);
    let service = text(&["service", "service.name", "application", "app"]);
    let environment = text(&["environment", "env"]);
    record::keep_attribute(&mut span, Cow::Borrowed("requestMetadata"), metadata);
    input.keep_rest(&mut span);
    output.keep_rest(&mut span);
    record.discard(&["schemaType", "schemaVersion"]);
    record.keep_rest(&mut span);
    let mut fragment = record::fragment(id, infer::infer_fields(span), location);
    (fragment.service, fragment.environment) = (service, environment);
    out.span(fragment)
}

/// `input` or `output` of the record, which a failed call may lack.
fn side<'a>(record: &mut Record<'a>, key: &str) -> Record<'a> {
    Record::from_value(record.take_tree(key)).unwrap_or_default()
}

/// The model in an ARN: `arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0`.
fn model_name(model: &str) -> &str {
    if model.starts_with("arn:") { model.rsplit('/').next().unwrap_or(model) } else { model }
}

fn kind(model: &str, request: &Value<'_>, response: &Value<'_>) -> SpanKind {
    let has = |body: &Value<'_>, keys: &[&str]| !body.first(keys).is_null();
    if model.contains("embed") || has(response, &["embedding", "embeddings", "embeddingsByType"]) {
        SpanKind::Embedding
    } else if model.contains("rerank") || (has(request, &["documents"]) && has(request, &["query"])) {
        SpanKind::Retriever
    } else if has(response, &["images", "artifacts"]) {
        SpanKind::Other
    } else {
        SpanKind::Llm
    }
}

fn set_error(span: &mut Span, record: &mut Record<'_>) {
    if let Some(code) = record.take_text("errorCode") {
        span.status = Status::Error;
        span.status_message = record.take_text("errorMessage").or_else(|| Some(code.clone()));
        span.error_type = Some(code);
    }
}

fn set_input(span: &mut Span, request: Value<'_>) {
    if span.kind != SpanKind::Llm {
        let text = request.first(&["inputText", "query", "texts", "prompt", "text"]).clone();
        span.input_text = if text.is_null() { request } else { text }.into_text();
        return;
    }
    if request.is_empty() {
        return;
    }
    let mut found = cohere_request(&request).or_else(|| messages::conversation(&request)).unwrap_or_default();
    if found.messages.is_empty() {
        found.messages = messages::prompt(&request);
    }
    if found.messages.is_empty() {
        span.input_text = request.into_text();
    }
    found.model = None;
    span_fields::complete_request(span, found);
}

/// Cohere's request: the current message beside the history, whose messages have `message` instead of `content`.
fn cohere_request(request: &Value<'_>) -> Option<Conversation> {
    let current = request.get("message").as_str()?;
    let message = |role: &str, content: &str| Message { role: role.to_owned(), content: content.to_owned(), ..Message::default() };
    let system = request.get("preamble").as_str().map(|text| message("system", text));
    let history = request.get("chat_history").items().iter().map(|item| {
        let role = if item.get("role").as_str() == Some("CHATBOT") { "assistant" } else { "user" };
        message(role, item.get("message").as_str().unwrap_or_default())
    });
    let messages = system.into_iter().chain(history).chain([message("user", current)]).collect();
    Some(Conversation { messages, tools: messages::tool_names(request.get("tools")), ..Conversation::default() })
}

fn set_output(span: &mut Span, response: Value<'_>) {
    if response.is_empty() {
        return;
    }
    let (body, failure) = match &response {
        Value::List(chunks) => stream::assemble(chunks),
        _ => (response.clone(), None),
    };
    if let Some(message) = failure {
        span.status = Status::Error;
        span.status_message.get_or_insert(message);
    }
    set_latency(span, &body);
    match span.kind {
        SpanKind::Llm => set_answer(span, response, body),
        SpanKind::Retriever => span.documents = span_fields::documents_in(&body),
        // Vectors and images.
        _ => {}
    }
}

fn set_answer(span: &mut Span, response: Value<'_>, mut body: Value<'_>) {
    if let Value::Map(fields) = &mut body {
        // Cohere repeats the history of the request.
        fields.retain(|(key, _)| key != "chat_history");
    }
    let mut found: Conversation = messages::conversation(&body).unwrap_or_default();
    if found.messages.is_empty() {
        found.messages = messages::answer(&body);
    }
    let trace = body.first(&["trace", "amazon-bedrock-trace"]).clone();
    if body.get("amazon-bedrock-guardrailAction").as_str() == Some("INTERVENED") {
        found.finish_reasons.push("guardrail_intervened".to_owned());
    }
    span_fields::complete_response(span, Conversation { model: None, ..found });
    if span.output.is_empty() {
        span.not_understood.insert(Part::Output);
        span.output_text = response.into_text();
    }
    record::keep_attribute(span, Cow::Borrowed("trace"), trace);
}

/// Sets the end of the call from the latency in a body.
fn set_latency(span: &mut Span, body: &Value<'_>) {
    let latency = [body.get("metrics").get("latencyMs"), body.get(stream::METRICS).get("invocationLatency")];
    let latency = latency.iter().find_map(|value| value.as_u64()).and_then(|ms| i64::try_from(ms).ok());
    let end = span.started_at_ns.zip(latency).and_then(|(start, ms)| start.checked_add(ms.checked_mul(1_000_000)?));
    span.ended_at_ns = end.or(span.ended_at_ns);
}

/// Adds a body that was stored in an object of its own; returns whether it could be read.
pub(in crate::parse) fn add_body(span: &mut Span, part: Part, body: Value<'_>) -> bool {
    if part == Part::Input {
        set_input(span, body);
        return !span.input.is_empty();
    }
    span.output_text = None;
    set_output(span, body);
    if !span.finish_reasons.is_empty() {
        span.not_understood.remove(Part::FinishReason);
    }
    !span.output.is_empty()
}

/// A body that is an object of its own is not understood until it is fetched.
fn mark_stored_body(span: &mut Span, part: Part, side: &Record<'_>, key: &str) {
    if !side.has(key) {
        return;
    }
    span.not_understood.insert(part);
    if part == Part::Output {
        span.not_understood.insert(Part::FinishReason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Coverage;
    use crate::parse::tests::parse_line;

    fn span(model: &str, fields: &str) -> Span {
        let line = format!(
            r#"{{"schemaType":"ModelInvocationLog","timestamp":"2026-11-26T15:16:06Z","requestId":"r1","operation":"InvokeModel","modelId":"{model}",{fields}}}"#
        );
        parse_line(&Bedrock, &line).fragments.remove(0).span
    }

    fn answered(model: &str, output: &str) -> Span {
        span(model, &format!(r#""input":{{"inputTokenCount":5}},"output":{{"outputBodyJson":{output},"outputTokenCount":6}}"#))
    }

    #[test]
    fn requests_of_every_model_are_read() {
        for (model, body) in [
            ("amazon.nova-lite-v1:0", r#"{"messages":[{"role":"user","content":[{"text":"hi"}]}],"inferenceConfig":{}}"#),
            ("anthropic.claude-3", r#"{"anthropic_version":"bedrock-2023-05-31","messages":[{"role":"user","content":"hi"}]}"#),
            ("amazon.titan-text", r#"{"inputText":"hi","textGenerationConfig":{}}"#),
            ("meta.llama3", r#"{"prompt":"hi","max_gen_len":9}"#),
            ("cohere.command-r", r#"{"message":"hi","max_tokens":9}"#),
        ] {
            let span = span(model, &format!(r#""input":{{"inputBodyJson":{body}}}"#));
            assert_eq!((span.input.len(), span.input[0].role.as_str(), span.input[0].content.as_str()), (1, "user", "hi"), "{model}");
        }
        let history = span(
            "cohere.command-r",
            r#""input":{"inputBodyJson":{"message":"hi","preamble":"be short","chat_history":[{"role":"CHATBOT","message":"yes?"}]}}"#,
        );
        let messages: Vec<_> = history.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!(messages, [("system", "be short"), ("assistant", "yes?"), ("user", "hi")]);
    }

    #[test]
    fn answers_of_every_model_are_read() {
        for (model, body, reason) in [
            (
                "amazon.titan-text",
                r#"{"inputTextTokenCount":8,"results":[{"tokenCount":6,"outputText":"ok","completionReason":"LENGTH"}]}"#,
                "LENGTH",
            ),
            ("meta.llama3", r#"{"generation":"ok","prompt_token_count":5,"generation_token_count":6,"stop_reason":"length"}"#, "length"),
            ("mistral.mistral-7b", r#"{"outputs":[{"text":"ok","stop_reason":"length"}]}"#, "length"),
            ("deepseek.r1", r#"{"choices":[{"text":"ok","stop_reason":"length"}]}"#, "length"),
            (
                "cohere.command-r",
                r#"{"text":"ok","finish_reason":"MAX_TOKENS","chat_history":[{"role":"USER","message":"hi"},{"role":"CHATBOT","message":"ok"}]}"#,
                "MAX_TOKENS",
            ),
            ("cohere.command", r#"{"generations":[{"text":"ok","finish_reason":"MAX_TOKENS"}],"prompt":"hi"}"#, "MAX_TOKENS"),
            ("anthropic.claude-v2", r#"{"completion":"ok","stop_reason":"max_tokens"}"#, "max_tokens"),
            (
                "amazon.nova-lite",
                r#"{"output":{"message":{"role":"assistant","content":[{"text":"ok"}]}},"stopReason":"max_tokens","usage":{"inputTokens":5,"outputTokens":6}}"#,
                "max_tokens",
            ),
        ] {
            let span = answered(model, body);
            assert_eq!(
                (span.output.len(), span.output[0].role.as_str(), span.output[0].content.as_str()),
                (1, "assistant", "ok"),
                "{model}"
            );
            assert_eq!((span.finish_reasons.as_slice(), span.usage.output), (&[reason.to_owned()][..], Some(6)), "{model}");
        }
    }

    #[test]
    fn a_body_in_an_object_of_its_own_is_not_understood() {
        let stored = span(
            "m",
            r#""input":{"inputBodyS3Path":"s3://b/in.json.gz","inputTokenCount":5},"output":{"outputBodyS3Path":"s3://b/out.json.gz"}"#,
        );
        assert_eq!(Part::ALL.map(|part| stored.coverage(part)).get(..3), Some(&[Coverage::NotUnderstood; 3][..]));
        assert_eq!(stored.attribute("outputBodyS3Path"), Some("s3://b/out.json.gz"));
        let none = span("m", r#""input":{"inputTokenCount":5},"output":{"outputTokenCount":6}"#);
        assert_eq!((none.coverage(Part::Output), none.usage.output), (Coverage::Absent, Some(6)));
        assert_eq!(answered("m", r#"{"verdict":"late"}"#).coverage(Part::Output), Coverage::NotUnderstood);
    }

    #[test]
    fn a_failed_call_has_only_a_code() {
        let span = span("amazon.nova-lite-v1:0", r#""errorCode":"ThrottlingException","input":{}"#);
        let code = Some("ThrottlingException");
        assert_eq!((span.status, span.error_type.as_deref(), span.status_message.as_deref()), (Status::Error, code, code));
    }

    #[test]
    fn a_guardrail_of_invoke_model_is_a_finish_reason() {
        let span = answered(
            "anthropic.claude-3",
            r#"{"content":[{"type":"text","text":"no"}],"stop_reason":"end_turn","amazon-bedrock-guardrailAction":"INTERVENED"}"#,
        );
        assert_eq!(span.finish_reasons, ["end_turn", "guardrail_intervened"]);
    }

    #[test]
    fn the_model_is_the_last_part_of_an_arn() {
        let span = span("arn:aws:bedrock:eu-west-1:123456789012:inference-profile/eu.amazon.nova-lite-v1:0", r#""input":{}"#);
        assert_eq!((span.model.as_deref(), span.attribute("modelId").is_some()), (Some("eu.amazon.nova-lite-v1:0"), true));
        assert_eq!(model_name("amazon.nova-lite-v1:0"), "amazon.nova-lite-v1:0");
    }

    #[test]
    fn vectors_are_dropped_and_ranked_documents_are_kept() {
        let embedding = answered("amazon.titan-embed-text-v2:0", r#"{"embedding":[0.1],"inputTextTokenCount":5}"#);
        assert_eq!((embedding.kind, embedding.output_text), (SpanKind::Embedding, None));
        let ranked = answered("cohere.rerank-v3-5:0", r#"{"results":[{"index":1,"relevance_score":0.9}]}"#);
        assert_eq!((ranked.kind, ranked.documents.unwrap()[0].score), (SpanKind::Retriever, Some(0.9)));
    }

    #[test]
    fn a_record_without_id_or_time_is_rejected() {
        let kind = |line: &str| parse_line(&Bedrock, line).rejections[0].kind;
        assert_eq!(kind(r#"{"schemaType":"ModelInvocationLog","modelId":"m","requestId":""}"#), RejectionKind::MissingId);
        assert_eq!(kind(r#"{"schemaType":"ModelInvocationLog","modelId":"m","requestId":"r"}"#), RejectionKind::MissingTime);
    }
}
