//! Reads the error body of a provider, whose form differs: OpenAI's `error` object, the problem lists of FastAPI (vLLM, Mistral), Ollama's plain
//! text. Knows nothing of what the error means for a run.

use reqwest::StatusCode;
use serde_json::Value;

/// Characters of a provider's message in a rejection reason.
const SUMMARY_CHARS_MAX: usize = 300;

/// Bytes of an error body that are searched for a cause: some servers echo the whole request.
const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The contents of an error body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ErrorMessage {
    /// The first line of the message; empty if there is none.
    pub(super) summary: String,
    /// All text, in lower case.
    pub(super) text: String,
    /// The parameters named in dedicated fields, in lower case: `max_tokens`, `response_format.type`.
    pub(super) parameters: Vec<String>,
}

impl ErrorMessage {
    pub(super) fn from_body(body: &Value) -> Self {
        let mut error = Self::default();
        collect(body, &mut error);
        error.text.make_ascii_lowercase();
        error.summary = summary(body).unwrap_or_default();
        error
    }

    /// Removes the model's name from the text: some models are named after a capability, which would be mistaken for the cause.
    pub(super) fn without_model(self, model: &str) -> Self {
        let model = model.to_lowercase();
        let text = if model.is_empty() { self.text } else { self.text.replace(&model, "") };
        Self { text, ..self }
    }

    /// Whether the text contains one of `words`, which must be in lower case.
    pub(super) fn contains_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }

    /// Appends the provider's message, if there is one: `HTTP 500 from Gemini: internal error`.
    pub(super) fn after(&self, prefix: &str) -> String {
        if self.summary.is_empty() { prefix.to_owned() } else { format!("{prefix}: {}", self.summary) }
    }
}

/// The status of an error that a gateway wrapped into a successful response: `{"error": {"code": 502, "message": "…"}}` without an answer.
pub(super) fn wrapped_error_status(body: &Value) -> Option<StatusCode> {
    let error = body.get("error").filter(|error| !error.is_null() && **error != Value::Bool(false))?;
    let has_answer =
        ["choices", "candidates"].iter().any(|name| body.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty()));
    if has_answer {
        return None;
    }
    let code =
        ["code", "status", "status_code"].iter().find_map(|name| status_code(error.get(name)?)).or_else(|| status_code(body.get("code")?));
    let status = code.filter(|code| (400..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
    Some(status.unwrap_or(StatusCode::BAD_GATEWAY))
}

fn status_code(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|code| u16::try_from(code).ok()).or_else(|| value.as_str()?.trim().parse().ok())
}

/// Collects all text of an error body, except what it echoes of the request.
fn collect(value: &Value, error: &mut ErrorMessage) {
    const ECHO_FIELDS: [&str; 5] = ["input", "failed_generation", "request", "body", "headers"];
    match value {
        Value::String(text) if error.text.len() < TEXT_BYTES_MAX => {
            error.text.extend(text.chars().take(TEXT_BYTES_MAX));
            error.text.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, error)),
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| !ECHO_FIELDS.contains(&name.as_str())) {
                if let Some(parameter) = parameter(name, field) {
                    error.parameters.push(parameter.to_lowercase());
                }
                collect(field, error);
            }
        }
        _ => {}
    }
}

/// The parameter in `"param": "max_tokens"` or `"loc": ["body", "max_tokens"]`.
fn parameter(name: &str, field: &Value) -> Option<String> {
    match name {
        "param" => field.as_str().map(str::to_owned),
        "loc" => {
            let path: Vec<&str> = field.as_array()?.iter().filter_map(Value::as_str).filter(|part| *part != "body").collect();
            (!path.is_empty()).then(|| path.join("."))
        }
        _ => None,
    }
}

/// The first line of the message. The upstream provider's own message comes first, because it is more specific than the gateway's.
fn summary(body: &Value) -> Option<String> {
    const POINTERS: [&str; 10] = [
        "/error/metadata/raw",
        "/error/message",
        "/error",
        "/message",
        "/detail",
        "/detail/0/msg",
        "/message/detail/0/msg",
        "/message/0/msg",
        "/msg",
        "/0/error/message",
    ];
    let texts = POINTERS.iter().filter_map(|pointer| body.pointer(pointer)?.as_str());
    let lines = texts.map(|text| text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim());
    lines.into_iter().find(|line| !line.is_empty()).map(|line| line.chars().take(SUMMARY_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn error_bodies_of_many_servers_are_read() {
        let openai = ErrorMessage::from_body(&json!({"error": {"message": "Unsupported value", "param": "Temperature", "code": null}}));
        assert_eq!((openai.summary.as_str(), openai.parameters.as_slice()), ("Unsupported value", ["temperature".to_owned()].as_slice()));
        let mistral = json!({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"],
            "msg": "Extra inputs are not permitted", "input": 800}]}, "code": null});
        let mistral = ErrorMessage::from_body(&mistral);
        assert_eq!(mistral.summary, "Extra inputs are not permitted");
        assert_eq!(mistral.parameters, ["max_completion_tokens"]);
        assert_eq!(ErrorMessage::from_body(&json!({"error": "invalid format"})).summary, "invalid format", "Ollama");
        assert_eq!(ErrorMessage::from_body(&json!({"detail": "no"})).summary, "no");
    }

    #[test]
    fn echoed_request_fields_are_ignored() {
        let echo = json!({"detail": [{"loc": ["body"], "msg": "bad", "input": {"temperature": 0, "text": "max_tokens"}}]});
        let error = ErrorMessage::from_body(&echo);
        assert!(!error.contains_any(&["temperature", "max_tokens"]) && error.parameters.is_empty(), "{error:?}");
    }

    #[test]
    fn an_error_inside_a_successful_response_has_a_status() {
        assert_eq!(wrapped_error_status(&json!({"error": {"code": 429, "message": "slow down"}})), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(wrapped_error_status(&json!({"error": {"code": "context_length"}})), Some(StatusCode::BAD_GATEWAY));
        assert_eq!(wrapped_error_status(&json!({"error": "it broke", "choices": []})), Some(StatusCode::BAD_GATEWAY));
        assert_eq!(wrapped_error_status(&json!({"error": null, "choices": [{}]})), None);
        assert_eq!(wrapped_error_status(&json!({"error": {"code": 502}, "choices": [{"message": {"content": "{}"}}]})), None);
        assert_eq!(wrapped_error_status(&json!({"choices": []})), None);
    }
}
