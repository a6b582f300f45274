//! What a provider says when it refuses, in whatever shape: OpenAI's `error`, the problem lists of `FastAPI` (vLLM, Mistral), Ollama's bare text.

use reqwest::StatusCode;
use serde_json::Value;

/// Characters of a provider's words in a reason.
const SHOWN_CHARS_MAX: usize = 300;

/// Bytes of a provider's words in which a cause is looked for: some repeat what they were sent.
const READ_BYTES_MAX: usize = 16 * 1024;

/// A refusal, taken apart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The first sentence for a person; empty where there is none.
    pub(super) message: String,
    /// All that it says, in lower case.
    pub(super) text: String,
    /// The parameters that it names in places of their own, in lower case: `max_tokens`, `response_format.type`.
    pub(super) parameters: Vec<String>,
}

impl Said {
    pub(super) fn of(body: &Value) -> Self {
        let mut said = Self::default();
        collect(body, &mut said);
        said.text.make_ascii_lowercase();
        said.message = message_of(body).unwrap_or_default();
        said
    }

    /// The same without a name that is no part of the reason.
    pub(super) fn without(self, name: &str) -> Self {
        let name = name.to_lowercase();
        let text = if name.is_empty() { self.text } else { self.text.replace(&name, "") };
        Self { text, ..self }
    }

    /// Whether one of these stands in it; `words` are in lower case.
    pub(super) fn has(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.text.contains(word))
    }
}

/// "HTTP 500 Internal Server Error: what the provider said".
pub(super) fn status_and(status: StatusCode, said: &str) -> String {
    if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") }
}

/// The status of a refusal that came as a success, as gateways send them: `{"error": {"code": 502, "message": "…"}}` without an answer.
pub(super) fn status_inside(body: &Value) -> Option<StatusCode> {
    let error = body.get("error").filter(|error| !error.is_null() && **error != Value::Bool(false))?;
    let has_answer =
        ["choices", "candidates"].iter().any(|name| body.get(name).and_then(Value::as_array).is_some_and(|list| !list.is_empty()));
    if has_answer {
        return None;
    }
    let code = ["code", "status", "status_code"].iter().find_map(|name| number(error.get(name)?)).or_else(|| number(body.get("code")?));
    let status = code.filter(|code| (400..600).contains(code)).and_then(|code| StatusCode::from_u16(code).ok());
    Some(status.unwrap_or(StatusCode::BAD_GATEWAY))
}

fn number(value: &Value) -> Option<u16> {
    value.as_u64().and_then(|code| u16::try_from(code).ok()).or_else(|| value.as_str()?.trim().parse().ok())
}

/// Every text of a refusal, save what it repeats of the request.
fn collect(value: &Value, said: &mut Said) {
    const OF_THE_REQUEST: [&str; 5] = ["input", "failed_generation", "request", "body", "headers"];
    match value {
        Value::String(text) if said.text.len() < READ_BYTES_MAX => {
            said.text.extend(text.chars().take(READ_BYTES_MAX));
            said.text.push('\n');
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, said)),
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| !OF_THE_REQUEST.contains(&name.as_str())) {
                if let Some(parameter) = parameter(name, field) {
                    said.parameters.push(parameter.to_lowercase());
                }
                collect(field, said);
            }
        }
        _ => {}
    }
}

/// `"param": "max_tokens"`, or `"loc": ["body", "max_tokens"]`.
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

/// The sentence for a person. A gateway has the provider's own words beside it, which say more.
fn message_of(body: &Value) -> Option<String> {
    const PLACES: [&str; 10] = [
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
    let texts = PLACES.iter().filter_map(|place| body.pointer(place)?.as_str());
    let lines = texts.map(|text| text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default().trim());
    lines.into_iter().find(|line| !line.is_empty()).map(|line| line.chars().take(SHOWN_CHARS_MAX).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn refusals_of_many_servers_are_read() {
        let openai = Said::of(&json!({"error": {"message": "Unsupported value", "param": "Temperature", "code": null}}));
        assert_eq!((openai.message.as_str(), openai.parameters.as_slice()), ("Unsupported value", ["temperature".to_owned()].as_slice()));
        let mistral = json!({"object": "error", "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"],
            "msg": "Extra inputs are not permitted", "input": 800}]}, "code": null});
        let mistral = Said::of(&mistral);
        assert_eq!(mistral.message, "Extra inputs are not permitted");
        assert_eq!(mistral.parameters, ["max_completion_tokens"]);
        assert_eq!(Said::of(&json!({"error": "invalid format"})).message, "invalid format", "Ollama");
        assert_eq!(Said::of(&json!({"detail": "no"})).message, "no");
        let repeated = Said::of(&json!({"detail": [{"loc": ["body"], "msg": "bad", "input": {"temperature": 0, "text": "max_tokens"}}]}));
        assert!(!repeated.has(&["temperature", "max_tokens"]) && repeated.parameters.is_empty(), "{repeated:?}");
    }

    #[test]
    fn an_error_inside_of_a_success_has_a_status() {
        assert_eq!(status_inside(&json!({"error": {"code": 429, "message": "slow down"}})), Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(status_inside(&json!({"error": {"code": "context_length"}})), Some(StatusCode::BAD_GATEWAY));
        assert_eq!(status_inside(&json!({"error": "it broke", "choices": []})), Some(StatusCode::BAD_GATEWAY));
        assert_eq!(status_inside(&json!({"error": null, "choices": [{}]})), None);
        assert_eq!(status_inside(&json!({"error": {"code": 502}, "choices": [{"message": {"content": "{}"}}]})), None);
        assert_eq!(status_inside(&json!({"choices": []})), None);
    }
}
