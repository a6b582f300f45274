//! One small request to a model, for `failsift check`: whether it answers.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::Bytes;
use serde_json::value::RawValue;

use super::api::{Api, ApiError, ModelRequest};
use super::error_message::{self, ErrorMessage};
use super::prompt::Prompt;
use super::request_options::{self, AnswerFormat, RequestOptions};
use super::{ConnectError, Provider, Settings, gemini, openai, price_of};
use crate::http::{HttpClient, Response, TransportError};

/// Requests until every optional parameter that a provider may not support is left out.
const ATTEMPTS_MAX: usize = 6;

/// The limit of the answer. A model that thinks needs some tokens before its first word.
const OUTPUT_TOKENS: u64 = 256;

/// Checks credentials and settings without a request. The model of a server that has a single one stays unknown.
///
/// # Errors
/// [`ConnectError`].
pub async fn check_settings(provider: Provider, settings: &Settings) -> Result<(), ConnectError> {
    // With a name, no request for the list of models is sent.
    let name = settings.model.clone().or_else(|| (provider == Provider::OpenAi).then(|| "unknown".to_owned()));
    let is_known = provider == Provider::Gemini || settings.model.is_some();
    let named = Settings { model: name, ..settings.clone() };
    let http = HttpClient::new(1).map_err(ConnectError::Settings)?;
    let api = connect(provider, &named, &http).await?;
    if is_known { price_of(settings, api.model()).map(|_| ()) } else { Ok(()) }
}

/// Asks the model for a short answer. Returns its name.
///
/// # Errors
/// A message with a hint, which may quote the provider.
pub async fn probe(provider: Provider, settings: &Settings, timeout: Duration) -> Result<String, String> {
    let http = HttpClient::new(1)?;
    let api = connect(provider, settings, &http).await.map_err(|error| error.to_string())?;
    price_of(settings, api.model()).map_err(|error| error.to_string())?;
    let mut options = RequestOptions { format: AnswerFormat::Text, ..api.initial_options() };
    for _ in 0..ATTEMPTS_MAX {
        match attempt(&*api, &http, options, timeout).await? {
            None => return Ok(api.model().to_owned()),
            Some(next) => options = next,
        }
    }
    Err(format!("{} refuses every form of a request\n  hint: check that the model can chat", api.provider()))
}

async fn connect(provider: Provider, settings: &Settings, http: &HttpClient) -> Result<Arc<dyn Api>, ConnectError> {
    Ok(match provider {
        Provider::Gemini => Arc::new(gemini::Gemini::connect(settings)?),
        Provider::OpenAi => Arc::new(openai::OpenAi::connect(settings, http).await?),
    })
}

/// Sends one request. Returns the options of the next one if these are not supported.
async fn attempt(api: &dyn Api, http: &HttpClient, options: RequestOptions, timeout: Duration) -> Result<Option<RequestOptions>, String> {
    const NETWORK_HINT: &str = "\n  hint: check the network and the URL; --base-url sets another one";
    let headers = api.auth_headers().await?;
    let body = Bytes::from(api.request_body(&request(), options));
    let response = match http.post(&api.url(), headers, body, timeout).await {
        Ok(response) => response,
        Err(TransportError::TimedOut) => {
            return Err(format!("{} does not answer within {} s{NETWORK_HINT}", api.provider(), timeout.as_secs_f64()));
        }
        Err(TransportError::NotSent(cause)) => {
            return Err(format!("cannot connect to {} at {}: {cause}{NETWORK_HINT}", api.provider(), api.url()));
        }
        Err(TransportError::Failed(cause)) => return Err(format!("the connection to {} failed: {cause}{NETWORK_HINT}", api.provider())),
    };
    evaluate(api, &response, options).await
}

async fn evaluate(api: &dyn Api, response: &Response, options: RequestOptions) -> Result<Option<RequestOptions>, String> {
    let body = response.json().await;
    let status = error_message::wrapped_error_status(&body).filter(|_| response.status.is_success()).unwrap_or(response.status);
    if status.is_success() {
        return match api.parse_answer(&body) {
            // What it says does not matter.
            Ok(_) => Ok(None),
            Err(problem) => {
                Err(format!("invalid response from {}: {problem}\n  hint: check the URL; --base-url sets another one", api.provider()))
            }
        };
    }
    let message = ErrorMessage::from_body(&body).without_model(api.model());
    if request_options::may_concern_options(status)
        && let Some(next) = options.without_unsupported(&message, OUTPUT_TOKENS)
    {
        return Ok(Some(next));
    }
    Err(match api.classify_error(status, &response.headers, &body, &message) {
        ApiError::Fatal(message) => message,
        ApiError::QuotaExhausted(message) => {
            format!("the quota is exhausted: {message}\n  hint: check the plan and the billing of the account")
        }
        ApiError::RateLimited { message, .. } => format!("{message}\n  hint: try again later, or set --requests-per-minute"),
        ApiError::Unavailable { message, .. } => format!("{message}\n  hint: try again later"),
        ApiError::RequestRefused(message) => format!("{message}\n  hint: check the name of the model"),
    })
}

fn request() -> ModelRequest {
    static NO_SCHEMA: LazyLock<Box<RawValue>> =
        LazyLock::new(|| RawValue::from_string("{\"type\":\"object\"}".to_owned()).unwrap_or_default());
    let prompt = Prompt { text: "Answer with {\"ok\": true}".to_owned(), fence: String::new(), spans_seen: 0 };
    ModelRequest {
        instructions: "This is a test of the connection.",
        prompt: Arc::new(prompt),
        feedback: None,
        schema: &NO_SCHEMA,
        output_tokens_max: OUTPUT_TOKENS,
    }
}
