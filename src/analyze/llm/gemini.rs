//! Google's `generateContent`, in the Gemini API and in Vertex AI.
//!
//! Requests and responses follow <https://ai.google.dev/api/generate-content>, errors `google.rpc`
//! (<https://github.com/googleapis/googleapis/blob/master/google/rpc/error_details.proto>).

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName};
use serde_json::{Value, json};

use super::api::{Api, ApiError, FinishReason, ModelRequest, RawAnswer, SCHEMA_PLACEHOLDER, Usage, insert_schema};
use super::error_message::ErrorMessage;
use super::request_options::{AnswerFormat, RequestOptions};
use super::{ConnectError, Settings, Thinking, env_var};
use crate::http::{base_url, retry_after, secret_header, wait_duration};

const DEFAULT_MODEL: &str = "gemini-3.5-flash";

const DEFAULT_BASE_URL: &str = "https://generativelanguage.googleapis.com";

/// A model behind `generateContent`.
pub(super) struct Gemini {
    url: String,
    model: String,
    thinking: Thinking,
    credentials: Credentials,
}

enum Credentials {
    /// A key of the Gemini API, and the environment variable that it was read from.
    ApiKey { headers: HeaderMap, variable: &'static str },
    /// Application default credentials, for Vertex AI.
    #[cfg(feature = "vertex")]
    ApplicationDefault(google_cloud_auth::credentials::Credentials),
}

impl Credentials {
    fn noun(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "API key",
            #[cfg(feature = "vertex")]
            Self::ApplicationDefault(_) => "application default credentials",
        }
    }
}

impl Gemini {
    /// Uses an API key of the Gemini API, or Vertex AI with application default credentials if `GOOGLE_GENAI_USE_VERTEXAI` is set. The variables
    /// are those of Google's SDKs.
    ///
    /// # Errors
    /// [`ConnectError`] if credentials are missing or a setting is invalid.
    pub(super) fn connect(settings: &Settings) -> Result<Self, ConnectError> {
        let model = model_name(settings).to_owned();
        let thinking = settings.thinking.unwrap_or(Thinking::Low);
        let is_set = |name: &str| env_var(name).is_some_and(|value| matches!(value.to_lowercase().as_str(), "true" | "1"));
        if is_set("GOOGLE_GENAI_USE_VERTEXAI") {
            return Self::connect_vertex(settings, model, thinking);
        }
        let key = ["GOOGLE_API_KEY", "GEMINI_API_KEY"].into_iter().find_map(|variable| Some((variable, env_var(variable)?)));
        let (variable, key) = key.ok_or_else(|| {
            ConnectError::Credentials(
                "no API key for Gemini\n  hint: set GEMINI_API_KEY, or GOOGLE_GENAI_USE_VERTEXAI=true for Vertex AI with application default credentials".into(),
            )
        })?;
        let key = secret_header(&key).map_err(|error| ConnectError::Credentials(format!("invalid API key in {variable}: {error}")))?;
        let base = settings.base_url.clone().or_else(|| env_var("GOOGLE_GEMINI_BASE_URL")).unwrap_or_else(|| DEFAULT_BASE_URL.into());
        let base = base_url(&base).map_err(ConnectError::Settings)?;
        let headers = HeaderMap::from_iter([(HeaderName::from_static("x-goog-api-key"), key)]);
        let credentials = Credentials::ApiKey { headers, variable };
        Ok(Self { url: format!("{base}/v1beta/models/{model}:generateContent"), model, thinking, credentials })
    }

    #[cfg(feature = "vertex")]
    fn connect_vertex(settings: &Settings, model: String, thinking: Thinking) -> Result<Self, ConnectError> {
        let project = env_var("GOOGLE_CLOUD_PROJECT")
            .ok_or_else(|| ConnectError::Credentials("no project for Vertex AI\n  hint: set GOOGLE_CLOUD_PROJECT".into()))?;
        let location = env_var("GOOGLE_CLOUD_LOCATION").unwrap_or_else(|| "global".into());
        // They become part of the URL.
        let is_valid = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte));
        for (variable, value) in [("GOOGLE_CLOUD_PROJECT", &project), ("GOOGLE_CLOUD_LOCATION", &location)] {
            if !is_valid(value) {
                return Err(ConnectError::Settings(format!("invalid {variable}: only letters, digits and - _ . : are allowed")));
            }
        }
        let host = match location.as_str() {
            "global" => "https://aiplatform.googleapis.com".to_owned(),
            region => format!("https://{region}-aiplatform.googleapis.com"),
        };
        let base = settings.base_url.clone().or_else(|| env_var("GOOGLE_VERTEX_BASE_URL")).unwrap_or(host);
        let base = base_url(&base).map_err(ConnectError::Settings)?;
        let credentials = google_cloud_auth::credentials::Builder::default()
            .with_scopes(["https://www.googleapis.com/auth/cloud-platform"])
            .build()
            .map_err(|error| {
                ConnectError::Credentials(format!("cannot load Google's application default credentials: {error}\n  {VERTEX_HINT}"))
            })?;
        let url = format!("{base}/v1/projects/{project}/locations/{location}/publishers/google/models/{model}:generateContent");
        Ok(Self { url, model, thinking, credentials: Credentials::ApplicationDefault(credentials) })
    }

    #[cfg(not(feature = "vertex"))]
    fn connect_vertex(_: &Settings, _: String, _: Thinking) -> Result<Self, ConnectError> {
        Err(ConnectError::Credentials("this build does not support Vertex AI\n  hint: build failsift with --features vertex".into()))
    }

    /// The thinking configuration. Gemini 2.5 takes a number of tokens, later models a level; others do not think.
    fn thinking_config(&self) -> Option<Value> {
        if self.model.starts_with("gemini-2.5") {
            return Some(json!({"thinkingBudget": self.thinking.tokens()}));
        }
        let has_levels = self.model.starts_with("gemini-") && !self.model.starts_with("gemini-1") && !self.model.starts_with("gemini-2");
        has_levels.then(|| json!({"thinkingLevel": self.thinking.as_str().to_uppercase()}))
    }

    /// The hint if access is denied.
    fn access_hint(&self) -> String {
        match &self.credentials {
            Credentials::ApiKey { variable, .. } => format!("hint: check {variable} and its project's access to {}", self.model),
            #[cfg(feature = "vertex")]
            Credentials::ApplicationDefault(_) => {
                format!("hint: check the application default credentials and the project's access to {}", self.model)
            }
        }
    }
}

#[cfg(feature = "vertex")]
const VERTEX_HINT: &str = "hint: run gcloud auth application-default login, or set GOOGLE_APPLICATION_CREDENTIALS";

/// The name of the model that is called.
pub(super) fn model_name(settings: &Settings) -> &str {
    settings.model.as_deref().unwrap_or(DEFAULT_MODEL).trim_start_matches("models/")
}

#[async_trait]
impl Api for Gemini {
    fn analyzer(&self) -> &'static str {
        "gemini"
    }

    fn provider(&self) -> &'static str {
        match self.credentials {
            Credentials::ApiKey { .. } => "Gemini",
            #[cfg(feature = "vertex")]
            Credentials::ApplicationDefault(_) => "Vertex AI",
        }
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn url(&self) -> String {
        self.url.clone()
    }

    async fn auth_headers(&self) -> Result<HeaderMap, String> {
        match &self.credentials {
            Credentials::ApiKey { headers, .. } => Ok(headers.clone()),
            #[cfg(feature = "vertex")]
            Credentials::ApplicationDefault(credentials) => {
                use google_cloud_auth::credentials::CacheableResource;
                #[expect(clippy::default_trait_access, reason = "its type is of a crate that is not a direct dependency")]
                let extensions = Default::default();
                let failed = |cause: &str| format!("cannot get an access token for Vertex AI: {cause}\n  {VERTEX_HINT}");
                match credentials.headers(extensions).await.map_err(|error| failed(&error.to_string()))? {
                    CacheableResource::New { data, .. } => Ok(data),
                    CacheableResource::NotModified => Err(failed("Google returned none")),
                }
            }
        }
    }

    fn initial_options(&self) -> RequestOptions {
        RequestOptions { format: AnswerFormat::Schema, ..RequestOptions::FULL }
    }

    fn request_body(&self, request: &ModelRequest, options: RequestOptions) -> String {
        let (instructions, text) = (request.system_message(options), request.user_message());
        let mut generation = serde_json::Map::new();
        if options.limit.field().is_some() {
            generation.insert("maxOutputTokens".into(), request.output_tokens_max(options).into());
        }
        if options.format != AnswerFormat::Text {
            generation.insert("responseMimeType".into(), "application/json".into());
        }
        if options.format.has_schema() {
            generation.insert("responseJsonSchema".into(), SCHEMA_PLACEHOLDER.into());
        }
        if let Some(thinking) = self.thinking_config().filter(|_| options.thinking) {
            generation.insert("thinkingConfig".into(), thinking);
        }
        let body = if options.system_message {
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
        insert_schema(&body, request.schema)
    }

    fn parse_answer(&self, body: &Value) -> Result<RawAnswer, String> {
        let count = |name: &str| body.pointer(&format!("/usageMetadata/{name}")).and_then(Value::as_u64);
        let usage = count("promptTokenCount").map(|prompt| Usage {
            input_tokens: prompt.saturating_add(count("toolUsePromptTokenCount").unwrap_or(0)),
            output_tokens: count("candidatesTokenCount").unwrap_or(0).saturating_add(count("thoughtsTokenCount").unwrap_or(0)),
        });
        let model = body.get("modelVersion").and_then(Value::as_str).map(str::to_owned);
        if let Some(reason) = body.pointer("/promptFeedback/blockReason").and_then(Value::as_str) {
            let finish_reason = FinishReason::Blocked(reason.to_owned());
            return Ok(RawAnswer { text: String::new(), finish_reason, usage, generated_bytes: 0, model });
        }
        let candidate = body.pointer("/candidates/0").ok_or("it has no candidates")?;
        let parts = candidate.pointer("/content/parts").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let is_thought = |part: &Value| part.get("thought").and_then(Value::as_bool) == Some(true);
        let generated_bytes = parts.iter().filter_map(|part| part.get("text")?.as_str()).map(str::len).sum();
        let text = parts.iter().filter(|part| !is_thought(part)).filter_map(|part| part.get("text")?.as_str()).collect();
        let finish_reason = match candidate.get("finishReason").and_then(Value::as_str) {
            None | Some("STOP" | "FINISH_REASON_UNSPECIFIED") => FinishReason::Completed,
            Some("MAX_TOKENS") => FinishReason::Truncated,
            Some(reason @ ("SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE" | "MODEL_ARMOR")) => {
                FinishReason::Blocked(reason.to_owned())
            }
            Some(reason) => FinishReason::Other(reason.chars().take(60).collect()),
        };
        Ok(RawAnswer { text, finish_reason, usage, generated_bytes, model })
    }

    fn classify_error(&self, status: StatusCode, headers: &HeaderMap, body: &Value, error: &ErrorMessage) -> ApiError {
        let (provider, code) = (self.provider(), status.as_u16());
        let fatal = |what: &str, hint: &str| ApiError::Fatal(format!("{}\n  {hint}", error.after(&format!("{what} (HTTP {code})"))));
        let message = error.after(&format!("HTTP {code} from {provider}"));
        let details = ErrorDetails::of(body);
        // Gemini reports these with the status of a malformed request.
        let is_bad_request = status == StatusCode::BAD_REQUEST;
        if details.reason().is_some_and(|reason| reason.starts_with("API_KEY_")) || (is_bad_request && error.contains_any(&KEY_REFUSED)) {
            return fatal(&format!("{provider} rejected the API key"), &self.access_hint());
        }
        if is_bad_request && error.contains_any(&ACCESS_REFUSED) {
            let hint = "hint: check the billing of the project, and whether Gemini is available in your region";
            return fatal(&format!("{provider} denied access"), hint);
        }
        let wait = details.retry_delay().or_else(|| retry_after(headers));
        match code {
            401 => fatal(&format!("{provider} rejected the {}", self.credentials.noun()), &self.access_hint()),
            403 => fatal(&format!("{provider} denied access"), &self.access_hint()),
            404 => fatal(&format!("{provider} does not know the model {}", self.model), "hint: select another one with --model"),
            429 if details.is_daily_quota() => ApiError::QuotaExhausted(message),
            429 => ApiError::RateLimited { message, wait, requests_per_minute: details.requests_per_minute() },
            408 | 500..=599 => ApiError::Unavailable { message, wait, is_overloaded: matches!(code, 503 | 529) },
            _ => ApiError::RequestRefused(message),
        }
    }
}

/// Words of errors that affect every request of the run: the API key is wrong.
const KEY_REFUSED: [&str; 3] = ["api key not valid", "api key expired", "api_key_invalid"];

/// Words of errors that affect every request of the run: the region or the billing account is rejected.
const ACCESS_REFUSED: [&str; 3] = ["location is not supported", "not available in your country", "billing"];

/// The `google.rpc` details of an error body.
struct ErrorDetails<'b>(&'b [Value]);

impl<'b> ErrorDetails<'b> {
    fn of(body: &'b Value) -> Self {
        Self(body.pointer("/error/details").and_then(Value::as_array).map_or(&[][..], Vec::as_slice))
    }

    fn of_type(&self, name: &str) -> Option<&'b Value> {
        self.0.iter().find(|detail| detail.get("@type").and_then(Value::as_str).is_some_and(|of| of.ends_with(name)))
    }

    /// The reason of `ErrorInfo`, such as `API_KEY_INVALID`.
    fn reason(&self) -> Option<&'b str> {
        self.of_type("google.rpc.ErrorInfo")?.get("reason")?.as_str()
    }

    fn retry_delay(&self) -> Option<Duration> {
        seconds(self.of_type("google.rpc.RetryInfo")?.get("retryDelay")?.as_str()?)
    }

    fn quota_violations(&self) -> impl Iterator<Item = (&'b str, &'b Value)> {
        let violations = self.of_type("google.rpc.QuotaFailure").and_then(|failure| failure.get("violations")?.as_array());
        let quota_id = |violation: &'b Value| violation.get("quotaId").and_then(Value::as_str).unwrap_or_default();
        violations.map_or(&[][..], Vec::as_slice).iter().map(move |violation| (quota_id(violation), violation))
    }

    fn is_daily_quota(&self) -> bool {
        self.quota_violations().any(|(id, _)| id.contains("PerDay"))
    }

    /// The limit that was exceeded, if it is one of requests a minute.
    fn requests_per_minute(&self) -> Option<f64> {
        let (_, violation) = self.quota_violations().find(|(id, _)| id.starts_with("GenerateRequestsPerMinute"))?;
        let value = violation.get("quotaValue")?;
        value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|value| *value > 0.0)
    }
}

/// A duration in protobuf's JSON form: `34s`, `0.3s`.
fn seconds(text: &str) -> Option<Duration> {
    wait_duration(text.strip_suffix('s')?.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gemini(model: &str) -> Gemini {
        Gemini {
            url: String::new(),
            model: model.into(),
            thinking: Thinking::Low,
            credentials: Credentials::ApiKey { headers: HeaderMap::new(), variable: "GEMINI_API_KEY" },
        }
    }

    fn error(status: u16, details: &Value) -> ApiError {
        let body = json!({"error": {"code": status, "message": "said", "details": details}});
        gemini("gemini-3.5-flash").classify_error(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            &body,
            &ErrorMessage::from_body(&body),
        )
    }

    fn quota(id: &str, value: Option<&str>) -> Value {
        json!([
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id, "quotaValue": value}]},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"},
        ])
    }

    #[test]
    fn errors_are_classified() {
        let key = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
        assert!(matches!(error(400, &key), ApiError::Fatal(_)));
        for status in [401, 403, 404] {
            assert!(matches!(error(status, &Value::Null), ApiError::Fatal(_)), "{status}");
        }
        assert!(matches!(error(400, &Value::Null), ApiError::RequestRefused(_)));
        let region =
            json!({"error": {"code": 400, "message": "User location is not supported for the API use.", "status": "FAILED_PRECONDITION"}});
        let region = gemini("gemini-3.5-flash").classify_error(
            StatusCode::BAD_REQUEST,
            &HeaderMap::new(),
            &region,
            &ErrorMessage::from_body(&region),
        );
        assert!(matches!(region, ApiError::Fatal(_)), "{region:?}");
        assert!(matches!(
            error(429, &quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier", Some("250"))),
            ApiError::QuotaExhausted(_)
        ));
        let minute = error(429, &quota("GenerateRequestsPerMinutePerProjectPerModel", Some("15")));
        let ApiError::RateLimited { wait, requests_per_minute, .. } = minute else { panic!("{minute:?}") };
        assert_eq!((wait, requests_per_minute), (Some(Duration::from_millis(34_500)), Some(15.0)));
        assert!(matches!(error(429, &Value::Null), ApiError::RateLimited { wait: None, requests_per_minute: None, .. }));
        assert!(matches!(error(503, &Value::Null), ApiError::Unavailable { is_overloaded: true, .. }));
        assert!(matches!(error(500, &Value::Null), ApiError::Unavailable { is_overloaded: false, .. }));
    }

    #[test]
    fn messages_name_the_provider_the_status_and_what_to_check() {
        let key = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
        let ApiError::Fatal(message) = error(400, &key) else { panic!("the API key is rejected") };
        assert_eq!(
            message,
            "Gemini rejected the API key (HTTP 400): said\n  hint: check GEMINI_API_KEY and its project's access to gemini-3.5-flash"
        );
        let ApiError::Unavailable { message, .. } = error(500, &Value::Null) else { panic!("the server failed") };
        assert_eq!(message, "HTTP 500 from Gemini: said");
    }

    #[test]
    fn answers_are_read_without_thoughts_and_usage_includes_them() {
        let body = json!({
            "candidates": [{
                "content": {"parts": [{"text": "thinking", "thought": true}, {"text": "{\"a\""}, {"text": ": 1}"}]},
                "finishReason": "STOP",
            }],
            "usageMetadata": {"promptTokenCount": 10, "candidatesTokenCount": 3, "thoughtsTokenCount": 4},
            "modelVersion": "gemini-3.5-flash-001",
        });
        let answer = gemini("gemini-3.5-flash").parse_answer(&body).unwrap();
        assert_eq!(
            (answer.text.as_str(), answer.finish_reason, answer.usage),
            ("{\"a\": 1}", FinishReason::Completed, Some(Usage { input_tokens: 10, output_tokens: 7 }))
        );
        assert_eq!(answer.model.as_deref(), Some("gemini-3.5-flash-001"));
        let finish_reason = |body: Value| gemini("gemini-3.5-flash").parse_answer(&body).map(|answer| answer.finish_reason);
        assert_eq!(finish_reason(json!({"promptFeedback": {"blockReason": "SAFETY"}})), Ok(FinishReason::Blocked("SAFETY".into())));
        assert_eq!(finish_reason(json!({"candidates": [{"finishReason": "RECITATION"}]})), Ok(FinishReason::Blocked("RECITATION".into())));
        assert_eq!(finish_reason(json!({"candidates": [{"finishReason": "MAX_TOKENS"}]})), Ok(FinishReason::Truncated));
        assert!(finish_reason(json!({})).is_err());
    }

    #[test]
    fn the_thinking_configuration_depends_on_the_model() {
        assert_eq!(gemini("gemini-2.5-flash").thinking_config(), Some(json!({"thinkingBudget": 1024})));
        assert_eq!(gemini("gemini-3.5-flash").thinking_config(), Some(json!({"thinkingLevel": "LOW"})));
        assert_eq!(gemini("gemini-flash-latest").thinking_config(), Some(json!({"thinkingLevel": "LOW"})));
        assert_eq!(gemini("gemma-3-27b-it").thinking_config(), None);
    }
}
