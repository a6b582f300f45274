//! Google's `generateContent`, of the Gemini API and of Vertex AI.
//!
//! Fields and values are those of <https://ai.google.dev/api/generate-content>, errors those of `google.rpc`
//! (<https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>).

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::api::{Api, End, Question, Refusal, Reply, SCHEMA, Usage, base_url, retry_after, secret, wait_of, with_schema};
use super::manner::{Manner, Shape};
use super::said::{Said, status_and};
use super::{ConnectError, Settings, Thinking, variable};

/// The model where none is named.
pub(super) const MODEL: &str = "gemini-3.5-flash";

const BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// See the module.
pub(super) struct Gemini {
    url: String,
    model: String,
    thinking: Thinking,
    credentials: Credentials,
}

enum Credentials {
    Key(HeaderMap),
    #[cfg(feature = "vertex")]
    Google(google_cloud_auth::credentials::Credentials),
}

impl Gemini {
    /// With a key for the Gemini API, or application default credentials for Vertex AI where `GOOGLE_GENAI_USE_VERTEXAI` asks for it, as
    /// Google's own SDKs have it.
    ///
    /// # Errors
    /// [`ConnectError`] where credentials are missing.
    pub(super) fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let model = model_of(settings).trim_start_matches("models/").to_owned();
        let thinking = settings.thinking.unwrap_or(Thinking::Low);
        let asked_for = |name: &str| variable(name).is_some_and(|value| matches!(value.to_lowercase().as_str(), "true" | "1"));
        if asked_for("GOOGLE_GENAI_USE_VERTEXAI") {
            return Self::vertex(settings, model, thinking);
        }
        let key = variable("GOOGLE_API_KEY").or_else(|| variable("GEMINI_API_KEY")).ok_or_else(|| {
            ConnectError::Credentials(
                "the analyzer gemini needs a key\n  hint: set GEMINI_API_KEY, or GOOGLE_GENAI_USE_VERTEXAI=true for Vertex AI with application default credentials".into(),
            )
        })?;
        let key = secret(&key).map_err(|error| ConnectError::Credentials(format!("the key in GEMINI_API_KEY {error}")))?;
        let base = settings.base_url.clone().or_else(|| variable("GOOGLE_GEMINI_BASE_URL")).unwrap_or_else(|| BASE_URL.into());
        let base = base_url(&base).map_err(ConnectError::Settings)?;
        let credentials = Credentials::Key(HeaderMap::from_iter([(HeaderName::from_static("x-goog-api-key"), key)]));
        Ok(Self { url: format!("{base}/v1beta/models/{model}:generateContent"), model, thinking, credentials })
    }

    #[cfg(feature = "vertex")]
    fn vertex(settings: &Settings, model: String, thinking: Thinking) -> Result<Self, ConnectError> {
        let project = variable("GOOGLE_CLOUD_PROJECT")
            .ok_or_else(|| ConnectError::Credentials("Vertex AI needs a project\n  hint: set GOOGLE_CLOUD_PROJECT".into()))?;
        let location = variable("GOOGLE_CLOUD_LOCATION").unwrap_or_else(|| "global".into());
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        if !plain(&project) || !plain(&location) {
            return Err(ConnectError::Settings("GOOGLE_CLOUD_PROJECT or GOOGLE_CLOUD_LOCATION holds characters that no name has".into()));
        }
        let host = match location.as_str() {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            region => format!("https://{region}-aiplatform.googleapis.com"),
        };
        let base = settings.base_url.clone().or_else(|| variable("GOOGLE_VERTEX_BASE_URL")).unwrap_or(host);
        let base = base_url(&base).map_err(ConnectError::Settings)?;
        let credentials = google_cloud_auth::credentials::Builder::default()
            .with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
            .build()
            .map_err(|error| {
                ConnectError::Credentials(format!(
                    "Google's application default credentials cannot be used: {error}\n  hint: gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS"
                ))
            })?;
        let url = format!("{base}/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent");
        Ok(Self { url, model, thinking, credentials: Credentials::Google(credentials) })
    }

    #[cfg(not(feature = "vertex"))]
    fn vertex(_: &Settings, _: String, _: Thinking) -> Result<Self, ConnectError> {
        Err(ConnectError::Credentials("this build has no Vertex AI\n  hint: build it with the feature vertex".into()))
    }

    /// How much the model may think. Models before 3 are given a number of tokens, later ones a level; others do not think.
    fn thinking(&self) -> Option<Value> {
        if self.model.starts_with("gemini-2.5") {
            return Some(json!({"thinkingBudget": self.thinking.tokens()}));
        }
        let thinks = self.model.starts_with("gemini-") && !self.model.starts_with("gemini-1") && !self.model.starts_with("gemini-2");
        thinks.then(|| json!({"thinkingLevel": self.thinking.as_str().to_uppercase()}))
    }
}

/// The model that is asked.
pub(super) fn model_of(settings: &Settings) -> &str {
    settings.model.as_deref().unwrap_or(MODEL)
}

#[async_trait]
impl Api for Gemini {
    fn name(&self) -> &'static str {
        "gemini"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    async fn credentials(&self) -> Result<HeaderMap, String> {
        match &self.credentials {
            Credentials::Key(headers) => Ok(headers.clone()),
            #[cfg(feature = "vertex")]
            Credentials::Google(credentials) => {
                use google_cloud_auth::credentials::CacheableResource;
                #[expect(clippy::default_trait_access, reason = "its type is of a crate that nothing else here names")]
                let nothing_cached = Default::default();
                match credentials.headers(nothing_cached).await.map_err(|error| error.to_string())? {
                    CacheableResource::New { data, .. } => Ok(data),
                    CacheableResource::NotModified => Err("Google gave no token".into()),
                }
            }
        }
    }

    fn first_manner(&self) -> Manner {
        Manner { shape: Shape::Schema, ..Manner::FULL }
    }

    fn body(&self, question: &Question, manner: Manner) -> String {
        let (instructions, text) = (question.instructions(manner), question.text());
        let mut generation = serde_json::Map::new();
        if manner.limit.name().is_some() {
            generation.insert("maxOutputTokens".into(), question.output_tokens(manner).into());
        }
        if manner.shape != Shape::Text {
            generation.insert("responseMimeType".into(), "application/json".into());
        }
        if manner.shape.has_schema() {
            generation.insert("responseJsonSchema".into(), SCHEMA.into());
        }
        if let Some(thinking) = self.thinking().filter(|_| manner.thinking) {
            generation.insert("thinkingConfig".into(), thinking);
        }
        let body = if manner.system {
            json!({
                "systemInstruction": {"parts": [{"text": instructions}]},
                "contents": [{"role": "user", "parts": [{"text": text}]}],
                "generationConfig": generation,
            })
        } else {
            json!({
                "contents": [{"role": "user", "parts": [{"text": instructions}, {"text": text}]}],
                "generationConfig": generation,
            })
        };
        with_schema(&body, question.schema)
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let count = |name: &str| body.pointer(&format!("/usageMetadata/{name}")).and_then(Value::as_u64);
        let usage = count("promptTokenCount").map(|prompt| Usage {
            input_tokens: prompt.saturating_add(count("toolUsePromptTokenCount").unwrap_or(0)),
            output_tokens: count("candidatesTokenCount").unwrap_or(0).saturating_add(count("thoughtsTokenCount").unwrap_or(0)),
        });
        let model = body.get("modelVersion").and_then(Value::as_str).map(str::to_owned);
        if let Some(reason) = body.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
            return Ok(Reply { text: String::new(), end: End::Blocked(reason.to_owned()), usage, written_bytes: 0, model });
        }
        let candidate = body.pointer("/candidates/0").ok_or("it holds no candidate")?;
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_thought = |part: &Value| part.get("thought").and_then(Value::as_bool) == Some(true);
        let written_bytes = parts.iter().filter_map(|part| part.get("text")?.as_str()).map(str::len).sum();
        let text = parts.iter().filter(|part| !is_thought(part)).filter_map(|part| part.get("text")?.as_str()).collect();
        let end = match candidate.get("finishReason").and_then(Value::as_str) {
            None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => End::Finished,
            Some("MAX_TOKENS") => End::Truncated,
            Some(reason @ ("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" | "MODEL_ARMOR")) => {
                End::Blocked(reason.to_owned())
            }
            Some(reason) => End::Other(reason.chars().take(60).collect()),
        };
        Ok(Reply { text, end, usage, written_bytes, model })
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &Value, said: &Said) -> Refusal {
        let refuses_everything = said.has(&REFUSES_EVERYTHING);
        let said = status_and(status, &said.message);
        let details = body.pointer("/error/details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let of_type = |name: &str| {
            let ends = move |detail: &&Value| detail.get("@type").and_then(Value::as_str).is_some_and(|of| of.ends_with(name));
            details.iter().find(ends)
        };
        let reason = of_type("google.rpc.ErrorInfo").and_then(|info| info.get("reason")?.as_str());
        if status == StatusCode::BAD_REQUEST && refuses_everything {
            return Refusal::Everything(format!(
                "access is refused: {said}\n  hint: check from where it may be used, the key and the billing of its project"
            ));
        }
        if reason.is_some_and(|reason| reason.starts_with("API_KEY_")) {
            return Refusal::Everything(format!("the key is refused: {said}\n  hint: check GEMINI_API_KEY and what it may be used for"));
        }
        let retry = of_type("google.rpc.RetryInfo").and_then(|info| seconds(info.get("retryDelay")?.as_str()?));
        let wait = retry.or_else(|| retry_after(headers));
        match status.as_u16() {
            401 | 403 => {
                Refusal::Everything(format!("access is refused: {said}\n  hint: check the key, and that the project may use the model"))
            }
            404 => Refusal::Everything(format!("the model {} is not there: {said}\n  hint: --model NAME names another", self.model)),
            429 => {
                let violations = of_type("google.rpc.QuotaFailure").and_then(|failure| failure.get("violations")?.as_array());
                let violations = violations.map_or(&[][..], Vec::as_slice);
                let quota = |violation: &Value| violation.get("quotaId").and_then(Value::as_str).unwrap_or_default().to_owned();
                if violations.iter().any(|violation| quota(violation).contains("PerDay")) {
                    return Refusal::Quota(said);
                }
                let minute = violations.iter().find(|violation| quota(violation).starts_with("GenerateRequestsPerMinute"));
                let value = minute.and_then(|violation| violation.get("quotaValue"));
                let per_minute =
                    value.and_then(|value| value.as_f64().or_else(|| value.as_str()?.parse().ok())).filter(|value| *value > 0.0);
                Refusal::TooMany { reason: said, wait, per_minute }
            }
            408 | 500..=599 => Refusal::Failing { reason: said, wait, overloaded: matches!(status.as_u16(), 503 | 529) },
            _ => Refusal::This(said),
        }
    }
}

/// Words of refusals that no other request of the run can escape; their status is that of a bad question.
const REFUSES_EVERYTHING: [&str; 6] =
    ["location is not supported", "not available in your country", "api key not valid", "api key expired", "api_key_invalid", "billing"];

/// A duration as protobuf's JSON has it: `34s`, `0.3s`.
fn seconds(text: &str) -> Option<Duration> {
    wait_of(text.strip_suffix('s')?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gemini(model: &str) -> Gemini {
        Gemini { url: String::new(), model: model.into(), thinking: Thinking::Low, credentials: Credentials::Key(HeaderMap::new()) }
    }

    fn refusal(status: u16, details: &Value) -> Refusal {
        let body = json!({"error": {"code": status, "message": "said", "details": details}});
        gemini("gemini-3.5-flash").refusal(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), &body, &Said::of(&body))
    }

    fn quota(id: &str, value: Option<&str>) -> Value {
        json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": value}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"},
        ])
    }

    #[test]
    fn refusals_are_told_apart() {
        let key = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
        assert!(matches!(refusal(400, &key), Refusal::Everything(_)));
        for status in [401, 403, 404] {
            assert!(matches!(refusal(status, &Value::Null), Refusal::Everything(_)), "{status}");
        }
        assert!(matches!(refusal(400, &Value::Null), Refusal::This(_)));
        let region =
            json!({"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}});
        let region = gemini("gemini-3.5-flash").refusal(StatusCode::BAD_REQUEST, &HeaderMap::new(), &region, &Said::of(&region));
        assert!(matches!(region, Refusal::Everything(_)), "{region:?}");
        assert!(matches!(refusal(429, &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Some("250"))), Refusal::Quota(_)));
        let minute = refusal(429, &quota("GenerateRequestsPerMinutePerProjectPerModel", Some("15")));
        let Refusal::TooMany { wait, per_minute, .. } = minute else { panic!("{minute:?}") };
        assert_eq!((wait, per_minute), (Some(Duration::from_millis(34_500)), Some(15.0)));
        assert!(matches!(refusal(429, &Value::Null), Refusal::TooMany { wait: None, per_minute: None, .. }));
        assert!(matches!(refusal(503, &Value::Null), Refusal::Failing { overloaded: true, .. }));
        assert!(matches!(refusal(500, &Value::Null), Refusal::Failing { overloaded: false, .. }));
    }

    #[test]
    fn answers_are_read_without_thoughts_and_with_all_that_is_paid() {
        let body = json!({
            "candidates": [{
                "content": {"parts": [{"text": "thinking", "thought": true}, {"text": "{\"a\""}, {"text": ": 1}"}]},
                "finishReason": "STOP",
            }],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 4},
            "modelVersion": "gemini-3.5-flash-001",
        });
        let reply = gemini("gemini-3.5-flash").reply(&body).unwrap();
        assert_eq!(
            (reply.text.as_str(), reply.end, reply.usage),
            ("{\"a\": 1}", End::Finished, Some(Usage { input_tokens: 10, output_tokens: 7 }))
        );
        assert_eq!(reply.model.as_deref(), Some("gemini-3.5-flash-001"));
        let ended = |body: Value| gemini("gemini-3.5-flash").reply(&body).map(|reply| reply.end);
        assert_eq!(ended(json!({"promptFeedback": {"blockReason": "SAFETY"}})), Ok(End::Blocked("SAFETY".into())));
        assert_eq!(ended(json!({"candidates": [{"finishReason": "RECITATION"}]})), Ok(End::Blocked("RECITATION".into())));
        assert_eq!(ended(json!({"candidates": [{"finishReason": "MAX_TOKENS"}]})), Ok(End::Truncated));
        assert!(ended(json!({})).is_err());
    }

    #[test]
    fn thinking_is_said_as_the_model_wants_it() {
        assert_eq!(gemini("gemini-2.5-flash").thinking(), Some(json!({"thinkingBudget": 1024})));
        assert_eq!(gemini("gemini-3.5-flash").thinking(), Some(json!({"thinkingLevel": "LOW"})));
        assert_eq!(gemini("gemini-flash-latest").thinking(), Some(json!({"thinkingLevel": "LOW"})));
        assert_eq!(gemini("gemma-3-27b-it").thinking(), None);
    }
}
