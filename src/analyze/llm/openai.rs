//! `POST /v1/chat/completions`, as OpenAI and those who speak like it (vLLM, llama.cpp, Ollama, LiteLLM) answer it.
//!
//! Fields are those of <https://platform.openai.com/docs/api-reference/chat>. What a server refuses is asked for otherwise or not at all
//! (`manner`): a server that lacks `response_format` with a JSON Schema is asked for plain JSON, and one that lacks that too for text; what came
//! back is checked in the same way.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::{AUTHORIZATION, HeaderMap};
use serde_json::{Value, json};

use super::api::{Api, End, Http, Question, Refusal, Reply, SCHEMA, Usage, base_url, retry_after, secret, with_schema};
use super::manner::{LimitName, Manner, Shape, TokenLimit};
use super::said::{Said, status_and};
use super::{ConnectError, Settings, Thinking, variable};

const BASE_URL: &str = "https://api.openai.com/v1";

/// See the module.
pub(super) struct OpenAi {
    base: String,
    model: String,
    headers: HeaderMap,
    thinking: Option<Thinking>,
}

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
        Ok(Self { base, model, headers, thinking: settings.thinking })
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
            let body = answer.json().await;
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

    fn first_manner(&self) -> Manner {
        let limit = if self.is_openai() { LimitName::MaxCompletionTokens } else { LimitName::MaxTokens };
        // OpenAI's newer models refuse to be told a temperature.
        Manner { limit: TokenLimit::Named(limit), temperature: !self.is_openai(), ..Manner::FULL }
    }

    fn body(&self, question: &Question, manner: Manner) -> String {
        let (instructions, text) = (question.instructions(manner), question.text());
        let messages = if manner.system {
            json!([{"role": "system", "content": instructions}, {"role": "user", "content": text}])
        } else {
            json!([{"role": "user", "content": format!("{instructions}\n\n{text}")}])
        };
        let mut fields = serde_json::Map::new();
        let mut set = |name: &str, value: Value| fields.insert(name.to_owned(), value);
        set("model", self.model.as_str().into());
        set("messages", messages);
        match manner.shape {
            Shape::StrictSchema => set("response_format", by_schema(json!({"name": SCHEMA_NAME, "strict": true, "schema": SCHEMA}))),
            Shape::Schema => set("response_format", by_schema(json!({"name": SCHEMA_NAME, "schema": SCHEMA}))),
            Shape::Json => set("response_format", json!({"type": "json_object"})),
            Shape::Text => None,
        };
        match manner.limit.name() {
            Some(LimitName::MaxTokens) => set("max_tokens", question.output_tokens(manner).into()),
            Some(LimitName::MaxCompletionTokens) => set("max_completion_tokens", question.output_tokens(manner).into()),
            None => None,
        };
        if manner.temperature {
            set("temperature", 0.into());
        }
        if let Some(thinking) = self.thinking.filter(|_| manner.thinking) {
            set("reasoning_effort", thinking.as_str().into());
        }
        with_schema(&Value::Object(fields), question.schema)
    }

    fn reply(&self, body: &Value) -> Result<Reply, String> {
        let count = |name: &str| body.pointer(&format!("/usage/{name}")).and_then(Value::as_u64);
        let usage = count("prompt_tokens").zip(count("completion_tokens"));
        let usage = usage.map(|(input_tokens, output_tokens)| Usage { input_tokens, output_tokens });
        let model = body.get("model").and_then(Value::as_str).map(str::to_owned);
        let choice = body.pointer("/choices/0").ok_or("it holds no choice")?;
        let Written { text, bytes } = written(choice);
        let refused = choice.pointer("/message/refusal").and_then(Value::as_str).is_some_and(|refusal| !refusal.is_empty());
        let end = match choice.get("finish_reason").and_then(Value::as_str) {
            _ if refused => End::Blocked("refusal".into()),
            None | Some("stop" | "eos" | "end_turn" | "stop_sequence" | "tool_calls" | "function_call") => End::Finished,
            Some("length" | "max_tokens" | "MAX_TOKENS") => End::Truncated,
            Some(reason @ ("content_filter" | "SAFETY" | "safety")) => End::Blocked(reason.to_owned()),
            Some(reason) => End::Other(reason.chars().take(60).collect()),
        };
        Ok(Reply { text, end, usage, written_bytes: bytes, model })
    }

    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &Value, said: &Said) -> Refusal {
        let code = |name: &str| body.pointer(&format!("/error/{name}")).and_then(Value::as_str).unwrap_or_default();
        let shown = status_and(status, &said.message);
        let wait = retry_after(headers);
        match status.as_u16() {
            // OpenRouter's word for a question that it holds back.
            403 if said.has(&["flagged", "moderation"]) => Refusal::This(shown),
            401 | 403 => {
                Refusal::Everything(format!("access is refused: {shown}\n  hint: check OPENAI_API_KEY, and that it may use {}", self.model))
            }
            400 if said.has(&REFUSES_EVERYTHING) => Refusal::Everything(format!(
                "access is refused: {shown}\n  hint: check OPENAI_API_KEY, and that {} may be used from here",
                self.model
            )),
            402 => Refusal::Quota(shown),
            404 => Refusal::Everything(format!(
                "the model {} or the URL is not there: {shown}\n  hint: --model NAME, --base-url URL up to /v1",
                self.model
            )),
            429 => {
                let no_money = code("code") == "insufficient_quota" || code("type") == "insufficient_quota";
                if no_money || said.has(&["per day", "(rpd)", "(tpd)"]) {
                    return Refusal::Quota(shown);
                }
                let limit = headers.get("x-ratelimit-limit-requests").and_then(|value| value.to_str().ok()?.parse().ok());
                let by_requests = said.has(&["(rpm)", "requests per min"]);
                Refusal::TooMany { reason: shown, wait, per_minute: limit.filter(|limit| by_requests && *limit > 0.0) }
            }
            408 | 409 | 500..=599 => Refusal::Failing { reason: shown, wait, overloaded: matches!(status.as_u16(), 503 | 529) },
            _ => Refusal::This(shown),
        }
    }

    /// Groq's `json_validate_failed`: what the model wrote is no JSON of the schema, and stands in the refusal.
    fn withheld(&self, body: &Value) -> Option<Reply> {
        let text = body.pointer("/error/failed_generation")?.as_str()?.to_owned();
        let written_bytes = text.len();
        Some(Reply { text, end: End::Finished, usage: None, written_bytes, model: None })
    }
}

const SCHEMA_NAME: &str = "failure_pattern";

#[expect(clippy::needless_pass_by_value, reason = "it becomes part of the value")]
fn by_schema(schema: Value) -> Value {
    json!({"type": "json_schema", "json_schema": schema})
}

/// What a model wrote.
struct Written {
    text: String,
    /// With its thoughts.
    bytes: usize,
}

/// The answer of a choice, wherever a server puts it: as a text, in parts, as the call of a tool, or among the thoughts where nothing stands
/// elsewhere (servers that take the thoughts apart sometimes take all for thoughts).
fn written(choice: &Value) -> Written {
    let message = choice.get("message").unwrap_or(choice);
    let said = text_of(message.get("content").or_else(|| choice.get("text")).unwrap_or(&Value::Null));
    let thoughts = ["reasoning_content", "reasoning"].iter().map(|name| text_of(message.get(name).unwrap_or(&Value::Null)));
    let thoughts = thoughts.into_iter().find(|text| !text.trim().is_empty()).unwrap_or_default();
    let bytes = said.len() + thoughts.len();
    let called = || message.pointer("/tool_calls/0/function/arguments").or_else(|| message.pointer("/function_call/arguments"));
    let text = match () {
        () if !said.trim().is_empty() => said,
        () => match called().and_then(Value::as_str).filter(|arguments| !arguments.trim().is_empty()) {
            Some(arguments) => arguments.to_owned(),
            None if thoughts.contains('{') => thoughts,
            None => said,
        },
    };
    Written { bytes: bytes.max(text.len()), text }
}

/// A text, or the texts of a list of parts without those that are thoughts.
fn text_of(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(part).collect(),
        _ => String::new(),
    }
}

fn part(part: &Value) -> Option<&str> {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("text");
    let is_thought = matches!(kind, "thinking" | "reasoning" | "redacted_thinking" | "summary_text");
    part.as_str().or_else(|| part.get("text")?.as_str().filter(|_| !is_thought))
}

/// Words of refusals that no other request of the run can escape, where their status does not say so.
const REFUSES_EVERYTHING: [&str; 8] = [
    "unsupported_country_region_territory",
    "country, region, or territory not supported",
    "location is not supported",
    "invalid api key",
    "invalid_api_key",
    "incorrect api key",
    "api key not valid",
    "api key expired",
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::prompt::Prompt;
    use super::*;

    fn openai(base: &str) -> OpenAi {
        OpenAi { base: base.into(), model: "m".into(), headers: HeaderMap::new(), thinking: Some(Thinking::Low) }
    }

    fn question() -> Question {
        let schema = serde_json::value::RawValue::from_string("{\"type\":\"object\"}".into()).unwrap();
        let prompt = Prompt { text: "\"type\":\"json_object\"".into(), fence: String::new(), spans_seen: 1 };
        Question { instructions: "do", prompt: Arc::new(prompt), complaint: None, schema: Box::leak(schema), output_tokens: 7 }
    }

    fn body(api: &OpenAi, manner: Manner) -> Value {
        serde_json::from_str(&api.body(&question(), manner)).unwrap()
    }

    #[test]
    fn a_question_is_put_as_its_manner_says() {
        let api = openai("http://127.0.0.1/v1");
        let full = body(&api, api.first_manner());
        assert_eq!(full["response_format"]["json_schema"], json!({"name": SCHEMA_NAME, "strict": true, "schema": {"type": "object"}}));
        assert_eq!((&full["max_tokens"], &full["temperature"], &full["reasoning_effort"]), (&json!(7), &json!(0), &json!("low")));
        let loose = body(&api, Manner { shape: Shape::Schema, limit_most: 5, ..Manner::FULL });
        assert_eq!((&loose["response_format"]["json_schema"]["strict"], &loose["max_tokens"]), (&Value::Null, &json!(5)));
        let json = body(&api, Manner { shape: Shape::Json, ..Manner::FULL });
        assert_eq!(json["response_format"], json!({"type": "json_object"}));
        assert!(json["messages"][0]["content"].as_str().unwrap().contains("{\"type\":\"object\"}"));
        let limit = TokenLimit::Unlimited;
        let plain = body(&api, Manner { shape: Shape::Text, limit, temperature: false, thinking: false, system: false, ..Manner::FULL });
        assert_eq!(plain.as_object().unwrap().len(), 2, "the model and the question: {plain}");
        assert!(plain["messages"][0]["content"].as_str().unwrap().ends_with("\"type\":\"json_object\""), "{plain}");
        let own = openai(BASE_URL);
        let own = body(&own, own.first_manner());
        assert_eq!((&own["max_completion_tokens"], &own["max_tokens"], &own["temperature"]), (&json!(7), &Value::Null, &Value::Null));
    }

    #[test]
    fn refusals_are_told_apart() {
        let refusal = |status: u16, body: &Value| {
            let headers = HeaderMap::from_iter([("x-ratelimit-limit-requests".parse().unwrap(), "500".parse().unwrap())]);
            openai(BASE_URL).refusal(StatusCode::from_u16(status).unwrap(), &headers, body, &Said::of(body))
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
        let region =
            json!({"error": {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported"}});
        assert!(matches!(refusal(403, &region), Refusal::Everything(_)) && matches!(refusal(400, &region), Refusal::Everything(_)));
        assert!(matches!(refusal(402, &json!({"error": {"message": "Insufficient Balance"}})), Refusal::Quota(_)));
        assert!(matches!(refusal(403, &json!({"error": {"message": "your input was flagged"}})), Refusal::This(_)));
    }

    #[test]
    fn answers_are_read() {
        let reply = |choice: Value| {
            let body = json!({"choices": [choice], "usage": {"prompt_tokens": 5, "completion_tokens": 6}, "model": "m-1"});
            openai(BASE_URL).reply(&body)
        };
        let said = reply(json!({"message": {"content": "{}"}, "finish_reason": "stop"})).unwrap();
        assert_eq!((said.text.as_str(), said.end, said.usage), ("{}", End::Finished, Some(Usage { input_tokens: 5, output_tokens: 6 })));
        let ended = |choice: Value| reply(choice).unwrap().end;
        assert_eq!(ended(json!({"message": {"content": "{"}, "finish_reason": "length"})), End::Truncated);
        assert_eq!(
            ended(json!({"message": {"content": null, "refusal": "I can't"}, "finish_reason": "stop"})),
            End::Blocked("refusal".into())
        );
        assert_eq!(ended(json!({"message": {}, "finish_reason": "content_filter"})), End::Blocked("content_filter".into()));
        assert!(openai(BASE_URL).reply(&json!({})).is_err());
        let bare = openai(BASE_URL).reply(&json!({"choices": [{"message": {"content": "{}"}}], "usage": {"total_tokens": 3}})).unwrap();
        assert_eq!(bare.usage, None);
    }

    #[test]
    fn answers_are_found_wherever_servers_put_them() {
        let text = |message: Value| {
            let reply = openai(BASE_URL).reply(&json!({"choices": [{"message": message, "finish_reason": "stop"}]})).unwrap();
            (reply.text, reply.written_bytes)
        };
        let parts = json!([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "{\"a\""}, {"type": "text", "text": ": 1}"}]);
        assert_eq!(text(json!({"content": parts})).0, "{\"a\": 1}", "Mistral");
        assert_eq!(text(json!({"content": null, "reasoning_content": "{}"})).0, "{}", "vLLM, llama.cpp");
        assert_eq!(text(json!({"content": "", "reasoning": "{}"})).0, "{}", "OpenRouter");
        assert_eq!(text(json!({"content": "{}", "reasoning_content": "so {it} is"})), ("{}".into(), 12), "DeepSeek");
        assert_eq!(text(json!({"content": null, "reasoning_content": "nothing"})).0, "", "thoughts alone are no answer");
        let call = json!({"content": null, "tool_calls": [{"function": {"name": "json", "arguments": "{}"}}]});
        assert_eq!(text(call).0, "{}", "LiteLLM");
        let withheld = json!({"error": {"code": "json_validate_failed", "failed_generation": "{\"a\""}});
        assert_eq!(openai(BASE_URL).withheld(&withheld).unwrap().text, "{\"a\"", "Groq");
    }
}
