//! `POST /v1/chat/completions`, as OpenAI and those who speak like it (vLLM, llama.cpp, Ollama, LiteLLM) answer it.
//!
//! Fields are those of <https://platform.openai.com/docs/api-reference/chat>. A server that lacks `response_format` with a JSON Schema is asked
//! for plain JSON, and one that lacks that too for text; what came back is checked in the same way.

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::api::{
    Api, End, Http, Question, Refusal, Reply, SCHEMA, Usage, base_url, message, retry_after, secret, status_and, with_schema,
};
use super::{ConnectError, Settings, Thinking, variable};

const BASE_URL: &str = "https://api.openai.com/v1";

/// See the module.
pub(super) struct OpenAi {
    base: String,
    model: String,
    headers: HeaderMap,
    thinking: Option<Thinking>,
    /// How the shape of an answer is asked for: what the server was found to lack is not asked for again.
    shape: AtomicU8,
}

/// What `shape` holds; above these, as text.
const BY_SCHEMA: u8 = 0;
const AS_JSON: u8 = 1;

impl OpenAi {
    /// With the key of `OPENAI_API_KEY` where there is one. Without a model, the server is asked which one it has.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub(super) async fn connect(settings: &Settings, http: &Http) -> Result<Self, ConnectError> {
        let given = settings.base_url.clone().or_else(|| variable("OPENAI_BASE_URL"));
        let base = base_url(given.as_deref().unwrap_or(BASE_URL)).map_err(ConnectError::Settings)?;
        let mut headers = HeaderMap::new();
        if let Some(key) = variable("OPENAI_API_KEY") {
            let key = secret(&format!("Bearer {}", key.trim()));
            headers.insert(AUTHORIZATION, key.map_err(|error| ConnectError::Credentials(format!("the key in OPENAI_API_KEY {error}")))?);
        } else if given.is_none() {
            return Err(ConnectError::Credentials(
                "the analyzer openai needs a key or a server of your own\n  hint: set OPENAI_API_KEY, or OPENAI_BASE_URL (or --base-url) such as http://127.0.0.1:8080/v1".into(),
            ));
        }
        let model = match &settings.model {
            Some(model) => model.clone(),
            None => only_model(http, &base, headers.clone()).await?,
        };
        Ok(Self { base, model, headers, thinking: settings.thinking, shape: AtomicU8::new(BY_SCHEMA) })
    }

    /// Whether it is OpenAI's own service, which wants newer names of parameters than others know.
    fn is_openai(&self) -> bool {
        self.base.contains("://api.openai.com") || self.base.contains(".openai.azure.com")
    }
}

/// The one model that a server has.
async fn only_model(http: &Http, base: &str, headers: HeaderMap) -> Result<String, ConnectError> {
    const NAMES_SHOWN: usize = 10;
    let answer = http.get(&format!("{base}/models"), headers, Duration::from_secs(10)).await;
    let models: Vec<String> = match &answer {
        Ok(answer) if answer.status.is_success() => {
            let body = answer.json();
            let listed = body.get("data").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            listed.iter().filter_map(|model| model.get("id")?.as_str().map(str::to_owned)).collect()
        }
        _ => Vec::new(),
    };
    match models.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(ConnectError::Settings(format!("{base} does not say which models it has\n  hint: name one with --model"))),
        several => {
            let names = several.iter().take(NAMES_SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
            Err(ConnectError::Settings(format!("{base} has {} models\n  hint: name one with --model: {names}", several.len())))
        }
    }
}

#[async_trait]
impl Api for OpenAi {
    fn name(&self) -> &'static str {
        "openai"
    }

    fn model(&self) -> &str {
        &self.model
    }

    fn url(&self) -> String {
        format!("{}/chat/completions", self.base)
    }

    async fn credentials(&self) -> Result<HeaderMap, String> {
        Ok(self.headers.clone())
    }

    fn body(&self, question: &Question<'_>) -> String {
        let shape = self.shape.load(Ordering::Relaxed);
        let instructions = if shape == BY_SCHEMA {
            question.instructions.to_owned()
        } else {
            format!(
                "{}\n\nAnswer with one JSON object, and nothing else, that fits this JSON Schema:\n{}",
                question.instructions,
                question.schema.get()
            )
        };
        let mut body = json!({
            "model": self.model,
            "messages": [{"role": "system", "content": instructions}, {"role": "user", "content": question.text}],
        });
        let mut set = |name: &str, value: Value| {
            if let Some(fields) = body.as_object_mut() {
                fields.insert(name.into(), value);
            }
        };
        match shape {
            BY_SCHEMA => {
                let schema = json!({"name": "failure_pattern", "strict": true, "schema": SCHEMA});
                set("response_format", json!({"type": "json_schema", "json_schema": schema}));
            }
            AS_JSON => set("response_format", json!({"type": "json_object"})),
            _ => {}
        }
        if self.is_openai() {
            set("max_completion_tokens", question.output_tokens.into());
        } else {
            set("max_tokens", question.output_tokens.into());
            set("temperature", 0.into());
        }
        if let Some(thinking) = self.thinking {
            set("reasoning_effort", thinking.as_str().into());
        }
        with_schema(&body, question.schema)
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64).unwrap_or(0);
        let usage = Usage { input_tokens: count("prompt_tokens"), output_tokens: count("completion_tokens") };
        let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let choice = body.pointer("/choices/0").ok_or("it holds no choice")?;
        let text = choice.pointer("/message/content").and_then(Value::as_str).unwrap_or_default().to_owned();
        let refused = choice.pointer("/message/refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.is_empty());
        let end = match choice.get("finish_reason").and_then(Value::as_str) {
            _ if refused => End::Blocked("refusal".into()),
            None | Some("stop") => End::Finished,
            Some("length") => End::Truncated,
            Some("content_filter") => End::Blocked("content_filter".into()),
            Some(reason) => End::Other(reason.chars().take(60).collect()),
        };
        Ok(Reply { text, end, usage, model })
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &Value) -> Refusal {
        let said = [message(body, "/error/message"), message(body, "/message"), message(body, "/detail")];
        let said = status_and(status, said.iter().find(|said| !said.is_empty()).map_or("", String::as_str));
        let code = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or_default();
        let wait = retry_after(headers);
        match status.as_u16() {
            401 | 403 => {
                Refusal::Everything(format!("access is refused: {said}\n  hint: check OPENAI_API_KEY, and that it may use {}", self.model))
            }
            404 => Refusal::Everything(format!(
                "the model {} or the URL is not there: {said}\n  hint: --model NAME, --base-url URL up to /v1",
                self.model
            )),
            429 => {
                let no_money = code("code") == "insufficient_quota" || code("type") == "insufficient_quota";
                if no_money || said.contains("per day") || said.contains("(RPD)") || said.contains("(TPD)") {
                    return Refusal::Quota(said);
                }
                let limit = headers.get("x-ratelimit-limit-requests").and_then(|value| value.to_str().ok()?.parse().ok());
                let by_requests = said.contains("(RPM)") || said.contains("requests per min");
                Refusal::TooMany { reason: said, wait, per_minute: limit.filter(|limit| by_requests && *limit > 0.0) }
            }
            408 | 409 | 500..=599 => Refusal::Failing { reason: said, wait, overloaded: matches!(status.as_u16(), 503 | 529) },
            _ => Refusal::This(said),
        }
    }

    fn simplify(&self, request: &str, status: StatusCode, body: &Value) -> bool {
        if !matches!(status.as_u16(), 400 | 404 | 415 | 422 | 500 | 501) {
            return false;
        }
        let said = body.to_string();
        let about_shape = ["response_format", "json_schema", "json_object", "schema", "grammar", "guided"];
        if !about_shape.iter().any(|word| said.contains(word)) {
            return false;
        }
        // Quotation marks inside of texts are escaped, so that only the field itself is found.
        let asked = match () {
            () if request.contains("\"type\":\"json_schema\"") => BY_SCHEMA,
            () if request.contains("\"type\":\"json_object\"") => AS_JSON,
            () => return false,
        };
        // Several requests find out at once; together they go one step.
        let _ = self.shape.compare_exchange(asked, asked + 1, Ordering::Relaxed, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn openai(base: &str) -> OpenAi {
        OpenAi { base: base.into(), model: "m".into(), headers: HeaderMap::new(), thinking: None, shape: AtomicU8::new(BY_SCHEMA) }
    }

    fn text(api: &OpenAi) -> String {
        let schema = serde_json::value::RawValue::from_string("{\"type\":\"object\"}".into()).unwrap();
        api.body(&Question { instructions: "do", text: "\"type\":\"json_object\"", schema: &schema, output_tokens: 7 })
    }

    fn body(api: &OpenAi) -> Value {
        serde_json::from_str(&text(api)).unwrap()
    }

    #[test]
    fn a_server_that_lacks_schemas_is_asked_for_json_and_then_for_text() {
        let api = openai("http://127.0.0.1/v1");
        assert_eq!(body(&api)["response_format"]["json_schema"]["schema"]["type"], "object");
        let lacks = json!({"error": {"message": "response_format.type must be one of text, json_object"}});
        let (first, second) = (text(&api), text(&api));
        assert!(api.simplify(&first, StatusCode::BAD_REQUEST, &lacks) && api.simplify(&second, StatusCode::BAD_REQUEST, &lacks));
        assert_eq!(body(&api)["response_format"], json!({"type": "json_object"}), "two that find out at once go one step");
        assert!(body(&api)["messages"][0]["content"].as_str().unwrap().contains("{\"type\":\"object\"}"));
        assert!(api.simplify(&text(&api), StatusCode::BAD_REQUEST, &lacks));
        assert_eq!(body(&api)["response_format"], Value::Null);
        assert!(!api.simplify(&text(&api), StatusCode::BAD_REQUEST, &lacks));
        let too_long = json!({"error": {"message": "context too long"}});
        assert!(!openai("http://127.0.0.1/v1").simplify(&first, StatusCode::BAD_REQUEST, &too_long));
    }

    #[test]
    fn parameters_have_the_names_that_the_server_knows() {
        assert_eq!(body(&openai("http://127.0.0.1/v1"))["max_tokens"], 7);
        let own = body(&openai(BASE_URL));
        assert_eq!((&own["max_completion_tokens"], &own["max_tokens"], &own["temperature"]), (&json!(7), &Value::Null, &Value::Null));
    }

    #[test]
    fn refusals_are_told_apart() {
        let refusal = |status: u16, body: &Value| {
            let headers = HeaderMap::from_iter([("x-ratelimit-limit-requests".parse().unwrap(), "500".parse().unwrap())]);
            openai(BASE_URL).refusal(StatusCode::from_u16(status).unwrap(), &headers, body)
        };
        assert!(matches!(refusal(401, &Value::Null), Refusal::Everything(_)));
        assert!(matches!(refusal(404, &Value::Null), Refusal::Everything(_)));
        assert!(matches!(refusal(429, &json!({"error": {"code": "insufficient_quota", "message": "no money"}})), Refusal::Quota(_)));
        let day =
            json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on requests per day (RPD): Limit 200"}});
        assert!(matches!(refusal(429, &day), Refusal::Quota(_)));
        let minute =
            json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on requests per min (RPM): Limit 500"}});
        assert!(matches!(refusal(429, &minute), Refusal::TooMany { per_minute: Some(500.0), .. }));
        let tokens = json!({"error": {"code": "rate_limit_exceeded", "message": "Rate limit reached for m on tokens per min (TPM)"}});
        assert!(matches!(refusal(429, &tokens), Refusal::TooMany { per_minute: None, .. }));
        assert!(matches!(refusal(400, &json!({"error": {"code": "context_length_exceeded"}})), Refusal::This(_)));
    }

    #[test]
    fn answers_are_read() {
        let reply = |choice: Value| {
            let body = json!({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 6}, "model": "m-1"});
            openai(BASE_URL).reply(&body)
        };
        let said = reply(json!({"message": {"content": "{}"}, "finish_reason": "stop"})).unwrap();
        assert_eq!((said.text.as_str(), said.end, said.usage), ("{}", End::Finished, Usage { input_tokens: 5, output_tokens: 6 }));
        let ended = |choice: Value| reply(choice).unwrap().end;
        assert_eq!(ended(json!({"message": {"content": "{"}, "finish_reason": "length"})), End::Truncated);
        assert_eq!(
            ended(json!({"message": {"content": null, "refusal": "I can't"}, "finish_reason": "stop"})),
            End::Blocked("refusal".into())
        );
        assert_eq!(ended(json!({"message": {}, "finish_reason": "content_filter"})), End::Blocked("content_filter".into()));
        assert!(openai(BASE_URL).reply(&json!({})).is_err());
    }
}
