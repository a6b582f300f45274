//! `POST /v1/chat/completions` of OpenAI and of compatible servers: vLLM, llama.cpp, Ollama, LiteLLM.
//!
//! Fields follow <https://platform.openai.com/docs/api-reference/chat>. Servers differ in the parameters they support (`request_options`) and in
//! where they put the answer; both are handled here, so that `answer` sees one form.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::api::{Api, ApiError, FinishReason, ModelRequest, RawAnswer, SCHEMA_PLACEHOLDER, Usage, insert_schema};
use super::error_message::ErrorMessage;
use super::request_options::{AnswerFormat, RequestOptions, TokenLimit, TokenLimitField};
use super::{ConnectError, Settings, Thinking, env_var};
use crate::http::{HttpClient, TransportError, base_url, retry_after, secret_header};

const DEFAULT_BASE_URL: &str = "https://api.openai.com/v1";

/// A model behind `/v1/chat/completions`.
pub(super) struct OpenAi {
    base_url: String,
    model: String,
    headers: HeaderMap,
    thinking: Option<Thinking>,
}

impl OpenAi {
    /// Uses the API key in `OPENAI_API_KEY`, which a server other than OpenAI's may not need. Without a model name, asks the server which models
    /// it has.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect(settings: &Settings, http: &HttpClient) -> Result<Self, ConnectError> {
        let given = settings.base_url.clone().or_else(|| env_var("OPENAI_BASE_URL"));
        let base_url = base_url(given.as_deref().unwrap_or(DEFAULT_BASE_URL)).map_err(ConnectError::Settings)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = env_var("OPENAI_API_KEY") {
            let key = secret_header(&format!("Bearer {}", key.trim()));
            let key = key.map_err(|error| ConnectError::Credentials(format!("invalid API key in OPENAI_API_KEY: {error}")))?;
            headers.insert(AUTHORIZATION, key);
        } else if given.is_none() {
            return Err(ConnectError::Credentials(
                "no API key for OpenAI\n  hint: set OPENAI_API_KEY, or OPENAI_BASE_URL (--base-url) for a server of your own, such as http://127.0.0.1:8080/v1".into(),
            ));
        }
        let model = match &settings.model {
            Some(model) => model.clone(),
            None => only_model(http, &base_url, headers.clone()).await?,
        };
        Ok(Self { base_url, model, headers, thinking: settings.thinking })
    }

    /// Whether it is OpenAI's own service or Azure's, whose newer models require other parameters than compatible servers support.
    fn is_openai(&self) -> bool {
        self.base_url.contains("://api.openai.com") || self.is_azure()
    }

    fn is_azure(&self) -> bool {
        self.base_url.contains(".openai.azure.com")
    }
}

/// The name of the model, if the server has a single one.
async fn only_model(http: &HttpClient, base_url: &str, headers: HeaderMap) -> Result<String, ConnectError> {
    const MODELS_SHOWN_MAX: usize = 10;
    let response = http.get(&format!("{base_url}/models"), headers, Duration::from_secs(10)).await;
    let unknown_model = |cause: &str| {
        ConnectError::Settings(format!(
            "cannot determine the model of {base_url}: {cause}\n  hint: give its name with --model, or check --base-url"
        ))
    };
    let models: Vec<String> = match &response {
        Ok(response) if response.status.is_success() => {
            let body = response.json().await;
            let listed = body.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            listed.iter().filter_map(|model| model.get("id")?.as_str().map(str::to_owned)).collect()
        }
        Ok(response) => return Err(unknown_model(&format!("HTTP {}", response.status.as_u16()))),
        Err(TransportError::TimedOut) => return Err(unknown_model("the server does not answer")),
        Err(TransportError::NotSent(cause) | TransportError::Failed(cause)) => return Err(unknown_model(cause)),
    };
    match models.as_slice() {
        [model] => Ok(model.clone()),
        [] => Err(unknown_model("the server lists no models")),
        several => {
            let names = several.iter().take(MODELS_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(ConnectError::Settings(format!("{base_url} has {} models\n  hint: select one with --model: {names}", several.len())))
        }
    }
}

#[async_trait]
impl Api for OpenAi {
    fn analyzer(&self) -> &'static str {
        "openai"
    }

    fn provider(&self) -> &'static str {
        match () {
            () if self.is_azure() => "Azure OpenAI",
            () if self.is_openai() => "OpenAI",
            () => "the OpenAI-compatible server",
        }
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn url(&self) -> String {
        format!("{}/chat/completions", self.base_url)
    }

    async fn auth_headers(&self) -> Result<HeaderMap, String> {
        Ok(self.headers.clone())
    }

    fn initial_options(&self) -> RequestOptions {
        let field = if self.is_openai() { TokenLimitField::MaxCompletionTokens } else { TokenLimitField::MaxTokens };
        // OpenAI's newer models do not support a temperature.
        RequestOptions { limit: TokenLimit::Preferred(field), temperature: !self.is_openai(), ..RequestOptions::FULL }
    }

    fn request_body(&self, request: &ModelRequest, options: RequestOptions) -> String {
        let (instructions, text) = (request.system_message(options), request.user_message());
        let messages = if options.system_message {
            json!([{"role": "system", "content": instructions}, {"role": "user", "content": text}])
        } else {
            json!([{"role": "user", "content": format!("{instructions}\n\n{text}")}])
        };
        let mut fields = serde_json::Map::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("model", self.model.as_str().into());
        set("messages", messages);
        match options.format {
            AnswerFormat::StrictSchema => {
                set("response_format", json_schema(json!({"name": SCHEMA_NAME, "strict": true, "schema": SCHEMA_PLACEHOLDER})))
            }
            AnswerFormat::Schema => set("response_format", json_schema(json!({"name": SCHEMA_NAME, "schema": SCHEMA_PLACEHOLDER}))),
            AnswerFormat::Json => set("response_format", json!({"type": "json_object"})),
            AnswerFormat::Text => None,
        };
        match options.limit.field() {
            Some(TokenLimitField::MaxTokens) => set("max_tokens", request.output_tokens_max(options).into()),
            Some(TokenLimitField::MaxCompletionTokens) => set("max_completion_tokens", request.output_tokens_max(options).into()),
            None => None,
        };
        if options.temperature {
            set("temperature", 0.into());
        }
        if let Some(thinking) = self.thinking.filter(|_| options.thinking) {
            set("reasoning_effort", thinking.as_str().into());
        }
        insert_schema(&Value::Object(fields), request.schema)
    }

    fn parse_answer(&self, body: &Value) -> Result<RawAnswer, String> {
        let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
        let usage = count("prompt_tokens").zip(count("completion_tokens"));
        let usage = usage.map(|(input_tokens, output_tokens)| Usage { input_tokens, output_tokens });
        let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let choice = body.pointer("/choices/0").ok_or("it has no choices")?;
        let GeneratedText { text, bytes: generated_bytes } = generated_text(choice);
        let is_refusal = choice.pointer("/message/refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.is_empty());
        let finish_reason = match choice.get("finish_reason").and_then(Value::as_str) {
            _ if is_refusal => FinishReason::Blocked("refusal".into()),
            None | Some("stop" | "eos" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call") => FinishReason::Completed,
            Some("length" | "max_tokens" | "MAX_TOKENS") => FinishReason::Truncated,
            Some(reason @ ("content_filter" | "SAFETY" | "safety")) => FinishReason::Blocked(reason.to_owned()),
            Some(reason) => FinishReason::Other(reason.chars().take(60).collect()),
        };
        Ok(RawAnswer { text, finish_reason, usage, generated_bytes, model })
    }

    fn classify_error(&self, status: StatusCode, headers: &HeaderMap, body: &Value, error: &ErrorMessage) -> ApiError {
        let (provider, code) = (self.provider(), status.as_u16());
        let fatal = |what: &str, hint: &str| {
            ApiError::Fatal(format!("{}\n  hint: {hint}", error.after(&format!("{provider} {what} (HTTP {code})"))))
        };
        let message = error.after(&format!("HTTP {code} from {provider}"));
        let wait = retry_after(headers);
        match code {
            // OpenRouter's error for a prompt that its moderation flagged.
            403 if error.contains_any(&["flagged", "moderation"]) => ApiError::RequestRefused(message),
            401 => fatal("rejected the API key", &format!("check OPENAI_API_KEY and its access to {}", self.model)),
            400 if error.contains_any(&KEY_REFUSED) => fatal("rejected the API key", "check OPENAI_API_KEY"),
            403 => fatal("denied access", &format!("check that OPENAI_API_KEY may use {} in your region", self.model)),
            400 if error.contains_any(&REGION_REFUSED) => {
                fatal("denied access", &format!("check that {} is available in your region", self.model))
            }
            402 => ApiError::QuotaExhausted(message),
            404 => fatal(
                &format!("does not have the model {}, or the URL is wrong", self.model),
                "check --model and --base-url, which ends in /v1 for most servers",
            ),
            429 if is_quota_exhausted(body, error) => ApiError::QuotaExhausted(message),
            429 => ApiError::RateLimited { message, wait, requests_per_minute: requests_per_minute(headers, error) },
            408 | 409 | 500..=599 => ApiError::Unavailable { message, wait, is_overloaded: matches!(code, 503 | 529) },
            _ => ApiError::RequestRefused(message),
        }
    }

    /// Groq's `json_validate_failed`: the model's answer did not match the schema and is part of the error.
    fn answer_in_error(&self, body: &Value) -> Option<RawAnswer> {
        let text = body.pointer("/error/failed_generation")?.as_str()?.to_owned();
        let generated_bytes = text.len();
        Some(RawAnswer { text, finish_reason: FinishReason::Completed, usage: None, generated_bytes, model: None })
    }
}

/// Whether a 429 means that the account's credit or a daily limit is used up, not that requests are too fast.
fn is_quota_exhausted(body: &Value, error: &ErrorMessage) -> bool {
    let is_credit = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str) == Some("insufficient_quota");
    is_credit("code") || is_credit("type") || error.contains_any(&["per day", "(rpd)", "(tpd)"])
}

/// The limit that a 429 names, if it is one of requests and not of tokens.
fn requests_per_minute(headers: &HeaderMap, error: &ErrorMessage) -> Option<f64> {
    let is_request_limit = error.contains_any(&["(rpm)", "requests per min"]);
    let limit: f64 = headers.get("x-ratelimit-limit-requests")?.to_str().ok()?.parse().ok()?;
    (is_request_limit && limit > 0.0).then_some(limit)
}

const SCHEMA_NAME: &str = "failure_pattern";

#[expect(clippy::needless_pass_by_value, reason = "it becomes part of the value")]
fn json_schema(schema: Value) -> Value {
    json!({"type": "json_schema", "json_schema": schema})
}

/// The output of a model.
struct GeneratedText {
    /// The answer.
    text: String,
    /// The size of answer and thinking.
    bytes: usize,
}

/// The answer of a choice: in `content` as text or parts, in the arguments of a tool call, or in the thinking if nothing else has text, because
/// some servers mistake the whole answer for thinking.
fn generated_text(choice: &Value) -> GeneratedText {
    let message = choice.get("message").unwrap_or(choice);
    let content = text_of(message.get("content").or_else(|| choice.get("text")).unwrap_or(&Value::Null));
    let thinking = ["reasoning_content", "reasoning"].iter().map(|name| text_of(message.get(name).unwrap_or(&Value::Null)));
    let thinking = thinking.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default();
    let bytes = content.len() + thinking.len();
    let arguments = || message.pointer("/tool_calls/0/function/arguments").or_else(|| message.pointer("/function_call/arguments"));
    let text = match () {
        () if !content.trim().is_empty() => content,
        () => match arguments().and_then(Value::as_str).filter(|arguments| !arguments.trim().is_empty()) {
            Some(arguments) => arguments.to_owned(),
            None if thinking.contains('{') => thinking,
            None => content,
        },
    };
    GeneratedText { bytes: bytes.max(text.len()), text }
}

/// A text, or the joined text of parts other than thinking.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part_text).collect(),
        _ => String::new(),
    }
}

fn part_text(part: &Value) -> Option<&str> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
    let is_thinking = matches!(kind, "thinking" | "reasoning" | "redacted_thinking" | "summary_text");
    part.as_str().or_else(|| part.get("text")?.as_str().filter(|_| !is_thinking))
}

/// Words of errors with status 400 that affect every request of the run: the API key is wrong.
const KEY_REFUSED: [&str; 5] = ["invalid api key", "invalid_api_key", "incorrect api key", "api key not valid", "api key expired"];

/// Words of errors with status 400 that affect every request of the run: the region is not supported.
const REGION_REFUSED: [&str; 3] =
    ["unsupported_country_region_territory", "country, region, or territory not supported", "location is not supported"];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::prompt::Prompt;
    use super::*;

    fn openai(base_url: &str) -> OpenAi {
        OpenAi { base_url: base_url.into(), model: "m".into(), headers: HeaderMap::new(), thinking: Some(Thinking::Low) }
    }

    fn request() -> ModelRequest {
        let schema = serde_json::value::RawValue::from_string("{\"type\":\"object\"}".into()).unwrap();
        let prompt = Prompt { text: "\"type\":\"json_object\"".into(), fence: String::new(), spans_seen: 1 };
        ModelRequest { instructions: "do", prompt: Arc::new(prompt), feedback: None, schema: Box::leak(schema), output_tokens_max: 7 }
    }

    fn body(api: &OpenAi, options: RequestOptions) -> Value {
        serde_json::from_str(&api.request_body(&request(), options)).unwrap()
    }

    #[test]
    fn requests_have_the_parameters_of_their_options() {
        let api = openai("http://127.0.0.1/v1");
        let full = body(&api, api.initial_options());
        assert_eq!(full["response_format"]["json_schema"], json!({"name": SCHEMA_NAME, "strict": true, "schema": {"type": "object"}}));
        assert_eq!((&full["max_tokens"], &full["temperature"], &full["reasoning_effort"]), (&json!(7), &json!(0), &json!("low")));
        let loose = body(&api, RequestOptions { format: AnswerFormat::Schema, output_tokens_max: 5, ..RequestOptions::FULL });
        assert_eq!((&loose["response_format"]["json_schema"]["strict"], &loose["max_tokens"]), (&Value::Null, &json!(5)));
        let json = body(&api, RequestOptions { format: AnswerFormat::Json, ..RequestOptions::FULL });
        assert_eq!(json["response_format"], json!({"type": "json_object"}));
        assert!(json["messages"][0]["content"].as_str().unwrap().contains("{\"type\":\"object\"}"));
        let limit = TokenLimit::Unlimited;
        let plain = body(
            &api,
            RequestOptions {
                format: AnswerFormat::Text,
                limit,
                temperature: false,
                thinking: false,
                system_message: false,
                ..RequestOptions::FULL
            },
        );
        assert_eq!(plain.as_object().unwrap().len(), 2, "the model and the messages: {plain}");
        assert!(plain["messages"][0]["content"].as_str().unwrap().ends_with("\"type\":\"json_object\""), "{plain}");
        let own = openai(DEFAULT_BASE_URL);
        let own = body(&own, own.initial_options());
        assert_eq!((&own["max_completion_tokens"], &own["max_tokens"], &own["temperature"]), (&json!(7), &Value::Null, &Value::Null));
    }

    #[test]
    fn errors_are_classified() {
        let error = |status: u16, body: &Value| {
            let headers = HeaderMap::from_iter([("x-ratelimit-limit-requests".parse().unwrap(), "500".parse().unwrap())]);
            openai(DEFAULT_BASE_URL).classify_error(StatusCode::from_u16(status).unwrap(), &headers, body, &ErrorMessage::from_body(body))
        };
        assert!(matches!(error(401, &Value::Null), ApiError::Fatal(_)));
        assert!(matches!(error(404, &Value::Null), ApiError::Fatal(_)));
        assert!(matches!(
            error(429, &json!({"error": {"code": "insufficient_quota", "message": "no money"}})),
            ApiError::QuotaExhausted(_)
        ));
        let day =
            json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on requests per day (RPD): Limit 200"}});
        assert!(matches!(error(429, &day), ApiError::QuotaExhausted(_)));
        let minute =
            json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on requests per min (RPM): Limit 500"}});
        assert!(matches!(error(429, &minute), ApiError::RateLimited { requests_per_minute: Some(500.0), .. }));
        let tokens = json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on tokens per min (TPM)"}});
        assert!(matches!(error(429, &tokens), ApiError::RateLimited { requests_per_minute: None, .. }));
        assert!(matches!(error(400, &json!({"error": {"code": "context_length_exceeded"}})), ApiError::RequestRefused(_)));
        let region =
            json!({"error": {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported"}});
        assert!(matches!(error(403, &region), ApiError::Fatal(_)) && matches!(error(400, &region), ApiError::Fatal(_)));
        assert!(matches!(error(402, &json!({"error": {"message": "Insufficient Balance"}})), ApiError::QuotaExhausted(_)));
        assert!(matches!(error(403, &json!({"error": {"message": "your input was flagged"}})), ApiError::RequestRefused(_)));
    }

    #[test]
    fn messages_name_the_provider_the_status_and_what_to_check() {
        let message = |base_url: &str, status: u16, text: &str| {
            let body = json!({"error": {"message": text}});
            let status = StatusCode::from_u16(status).unwrap();
            match openai(base_url).classify_error(status, &HeaderMap::new(), &body, &ErrorMessage::from_body(&body)) {
                ApiError::Fatal(message)
                | ApiError::QuotaExhausted(message)
                | ApiError::RequestRefused(message)
                | ApiError::RateLimited { message, .. }
                | ApiError::Unavailable { message, .. } => message,
            }
        };
        assert_eq!(message(DEFAULT_BASE_URL, 500, "it broke"), "HTTP 500 from OpenAI: it broke");
        assert_eq!(message(DEFAULT_BASE_URL, 429, ""), "HTTP 429 from OpenAI");
        assert_eq!(message("http://127.0.0.1/v1", 503, "loading"), "HTTP 503 from the OpenAI-compatible server: loading");
        assert_eq!(
            message(DEFAULT_BASE_URL, 401, "Incorrect API key provided"),
            "OpenAI rejected the API key (HTTP 401): Incorrect API key provided\n  hint: check OPENAI_API_KEY and its access to m"
        );
        assert_eq!(
            message("https://acme.openai.azure.com/openai/v1", 404, ""),
            "Azure OpenAI does not have the model m, or the URL is wrong (HTTP 404)\n  hint: check --model and --base-url, which ends in /v1 for most servers"
        );
    }

    #[test]
    fn answers_are_read() {
        let answer = |choice: Value| {
            let body = json!({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 6}, "model": "m-1"});
            openai(DEFAULT_BASE_URL).parse_answer(&body)
        };
        let complete = answer(json!({"message": {"content": "{}"}, "finish_reason": "stop"})).unwrap();
        assert_eq!(
            (complete.text.as_str(), complete.finish_reason, complete.usage),
            ("{}", FinishReason::Completed, Some(Usage { input_tokens: 5, output_tokens: 6 }))
        );
        let finish_reason = |choice: Value| answer(choice).unwrap().finish_reason;
        assert_eq!(finish_reason(json!({"message": {"content": "{"}, "finish_reason": "length"})), FinishReason::Truncated);
        assert_eq!(
            finish_reason(json!({"message": {"content": null, "refusal": "I can't"}, "finish_reason": "stop"})),
            FinishReason::Blocked("refusal".into())
        );
        assert_eq!(
            finish_reason(json!({"message": {}, "finish_reason": "content_filter"})),
            FinishReason::Blocked("content_filter".into())
        );
        assert!(openai(DEFAULT_BASE_URL).parse_answer(&json!({})).is_err());
        let bare = openai(DEFAULT_BASE_URL)
            .parse_answer(&json!({"choices": [{"message": {"content": "{}"}}], "usage": {"total_tokens": 3}}))
            .unwrap();
        assert_eq!(bare.usage, None);
    }

    #[test]
    fn answers_are_found_in_all_fields_that_servers_use() {
        let text = |message: Value| {
            let answer =
                openai(DEFAULT_BASE_URL).parse_answer(&json!({"choices": [{"message": message, "finish_reason": "stop"}]})).unwrap();
            (answer.text, answer.generated_bytes)
        };
        let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "{\"a\""}, {"type": "text", "text": ": 1}"}]);
        assert_eq!(text(json!({"content": parts})).0, "{\"a\": 1}", "Mistral");
        assert_eq!(text(json!({"content": null, "reasoning_content": "{}"})).0, "{}", "vLLM, llama.cpp");
        assert_eq!(text(json!({"content": "", "reasoning": "{}"})).0, "{}", "OpenRouter");
        assert_eq!(text(json!({"content": "{}", "reasoning_content": "so {it} is"})), ("{}".into(), 12), "DeepSeek");
        assert_eq!(text(json!({"content": null, "reasoning_content": "nothing"})).0, "", "thinking without JSON is not an answer");
        let call = json!({"content": null, "tool_calls": [{"function": {"name": "json", "arguments": "{}"}}]});
        assert_eq!(text(call).0, "{}", "LiteLLM");
        let error = json!({"error": {"code": "json_validate_failed", "failed_generation": "{\"a\""}});
        assert_eq!(openai(DEFAULT_BASE_URL).answer_in_error(&error).unwrap().text, "{\"a\"", "Groq");
    }
}
