//! The seam between asking a model and how its provider wants to be asked: an [`Api`] makes requests and reads answers, [`Http`] carries them.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use super::manner::Manner;
use super::prompt::Prompt;
use super::said::Said;
use crate::limits::{REPORTED_TOKENS_MAX, RESPONSE_BYTES_MAX, RESPONSE_BYTES_PARSED_INLINE_MAX};
use crate::runtime::pool;

/// Tokens that a provider counted, or that a request can take at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    /// With those of the model's thoughts, which are paid like the answer.
    pub(crate) output_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // A provider may say anything.
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

impl Usage {
    /// Whether a request of so many bytes can have taken so much: no tokenizer makes more tokens than bytes, and none makes nothing of a
    /// question. What a template adds around messages is little.
    pub(super) fn is_plausible(self, request_bytes: usize) -> bool {
        const TEMPLATE_TOKENS_MAX: u64 = 4_096;
        let most = (request_bytes as u64).saturating_add(TEMPLATE_TOKENS_MAX).min(REPORTED_TOKENS_MAX);
        (1..=most).contains(&self.input_tokens) && self.output_tokens <= REPORTED_TOKENS_MAX
    }
}

/// What a model is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    /// What to do and how; nothing in it comes from a trace.
    pub(super) instructions: &'static str,
    /// The trace.
    pub(super) prompt: Arc<Prompt>,
    /// What was wrong with the first answer.
    pub(super) complaint: Option<String>,
    /// JSON Schema of the answer, with its properties in the order in which they shall be written.
    pub(super) schema: &'static serde_json::value::RawValue,
    /// Tokens that the answer may have, with the model's thoughts.
    pub(super) output_tokens: u64,
}

impl Question {
    /// The trace, and what was wrong with the first answer.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match &self.complaint {
            Some(complaint) => Cow::Owned(self.prompt.with_complaint(complaint)),
            None => Cow::Borrowed(&self.prompt.text),
        }
    }

    /// The instructions, with the schema where the request does not hold it.
    pub(super) fn instructions(&self, manner: Manner) -> Cow<'_, str> {
        if manner.shape.has_schema() {
            return Cow::Borrowed(self.instructions);
        }
        Cow::Owned(format!(
            "{}\n\nAnswer with one JSON object, and nothing else, that fits this JSON Schema:\n{}",
            self.instructions,
            self.schema.get()
        ))
    }

    /// Tokens that an answer may have, for a model that can have `most`.
    pub(super) fn output_tokens(&self, manner: Manner) -> u64 {
        self.output_tokens.min(manner.limit_most)
    }
}

/// What a model said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Reply {
    pub(super) text: String,
    pub(super) end: End,
    /// As the provider counted it; nothing where it did not.
    pub(super) usage: Option<Usage>,
    /// Bytes that the model wrote, thoughts included.
    pub(super) written_bytes: usize,
    /// As the provider names it.
    pub(super) model: Option<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum End {
    /// The model had finished.
    Finished,
    /// It had no tokens left.
    Truncated,
    /// The provider held it back, and says why.
    Blocked(String),
    /// The provider says something else.
    Other(String),
}

/// Why there is no reply.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refusal {
    /// No request of this run can succeed: the key or the model.
    Everything(String),
    /// No more today, or no more money.
    Quota(String),
    /// Too many requests for now.
    TooMany {
        reason: String,
        wait: Option<Duration>,
        /// Requests a minute that the provider says it allows.
        per_minute: Option<f64>,
    },
    /// The provider fails or cannot be reached.
    Failing {
        reason: String,
        wait: Option<Duration>,
        /// Whether it says that it has too much to do.
        overloaded: bool,
    },
    /// This request cannot succeed, others may.
    This(String),
}

/// How one kind of provider is asked.
#[async_trait]
pub(super) trait Api: Send + Sync {
    /// The word in the `analyzer` column.
    fn name(&self) -> &'static str;

    /// The model, as the provider calls it.
    fn model(&self) -> &str;

    /// Where requests go.
    fn url(&self) -> String;

    /// What proves who asks.
    ///
    /// # Errors
    /// What is wrong with the credentials.
    async fn credentials(&self) -> Result<HeaderMap, String>;

    /// How the first question is put.
    fn first_manner(&self) -> Manner;

    /// The request's JSON; [`with_schema`] puts the schema in. That of a long question takes a while.
    fn body(&self, question: &Question, manner: Manner) -> String;

    /// Reads a successful answer.
    ///
    /// # Errors
    /// What it lacks.
    fn reply(&self, body: &Value) -> Result<Reply, String>;

    /// Reads a refusal. `body` is null where it is no JSON.
    fn refusal(&self, status: StatusCode, headers: &HeaderMap, body: &Value, said: &Said) -> Refusal;

    /// What the model wrote where the provider refuses to pass it on as an answer because it is not of the shape that was asked for.
    fn withheld(&self, _body: &Value) -> Option<Reply> {
        None
    }
}

/// Carries requests.
#[derive(Debug, Clone)]
pub(super) struct Http {
    client: reqwest::Client,
}

/// Why a request has no HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// It took too long.
    TimedOut,
    /// There was no connection, so that nothing was sent.
    NotSent(String),
    /// Anything else; nobody knows whether it arrived.
    Failed(String),
}

/// An HTTP answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// Null where it is no JSON. A long one is read on the pool.
    pub(super) async fn json(&self) -> Value {
        if self.body.len() <= RESPONSE_BYTES_PARSED_INLINE_MAX {
            return json(&self.body);
        }
        let body = self.body.clone();
        pool::run(move || json(&body)).await
    }
}

/// Gemini puts errors into a list where a stream was asked for, and some gateways do always.
fn json(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes).unwrap_or_default() {
        Value::Array(mut items) if items.len() == 1 => items.pop().unwrap_or_default(),
        value => value,
    }
}

impl Http {
    /// `connections` are kept open.
    ///
    /// # Errors
    /// What the TLS library says.
    pub(super) fn new(connections: usize) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("failsift/", env!("CARGO_PKG_VERSION")))
            // A redirect would carry the trace and the key to another place.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(connections)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| said(&error))?;
        Ok(Self { client })
    }

    /// Sends JSON and reads the answer, all within `time`.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) async fn post(&self, url: &str, mut headers: HeaderMap, body: Bytes, time: Duration) -> Result<Answer, Broken> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self::answer(self.client.post(url).headers(headers).body(body).timeout(time)).await
    }

    /// Reads what lies at a URL within `time`.
    ///
    /// # Errors
    /// [`Broken`].
    pub(super) async fn get(&self, url: &str, headers: HeaderMap, time: Duration) -> Result<Answer, Broken> {
        Self::answer(self.client.get(url).headers(headers).timeout(time)).await
    }

    async fn answer(request: reqwest::RequestBuilder) -> Result<Answer, Broken> {
        let broken = |error: reqwest::Error| match () {
            () if error.is_timeout() => Broken::TimedOut,
            () if error.is_connect() => Broken::NotSent(said(&error)),
            () => Broken::Failed(said(&error)),
        };
        let mut response = request.send().await.map_err(broken)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(broken)? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err(Broken::Failed(format!("the answer is longer than {RESPONSE_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Answer { status, headers, body: body.freeze() })
    }
}

/// An error with its causes and without the URL, which may hold credentials.
fn said(error: &reqwest::Error) -> String {
    let mut causes: Vec<String> = Vec::new();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    // The innermost says what happened, the others where it was noticed.
    causes.pop().unwrap_or_else(|| "the connection failed".to_owned())
}

/// `Retry-After` in seconds or as a date, or `retry-after-ms`, which OpenAI sends beside it.
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = text("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return wait_of(millis / 1e3);
    }
    let text = text("retry-after")?;
    if let Ok(seconds) = text.parse::<f64>() {
        return wait_of(seconds);
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    wait_of((at.to_utc() - chrono::Utc::now()).as_seconds_f64().max(0.0))
}

/// A time to wait, at most a day: a provider may say anything, and sums of times must not overflow.
pub(super) fn wait_of(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() { None } else { Duration::try_from_secs_f64(seconds.min(86_400.0)).ok() }
}

/// A header whose value is not shown by anything that prints it.
///
/// # Errors
/// That it is no header value; the value is not named.
pub(super) fn secret(value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| "holds characters that no key has".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Stands in a request for the schema.
pub(super) const SCHEMA: &str = "@the schema of the answer@";

/// A request in which the schema stands as it is written: models write properties in the order in which the schema has them, which a JSON
/// object in memory forgets.
pub(super) fn with_schema(body: &Value, schema: &serde_json::value::RawValue) -> String {
    // Quotation marks inside of texts are escaped, so only a value that is nothing but the placeholder is found.
    body.to_string().replacen(&format!("\"{SCHEMA}\""), schema.get(), 1)
}

/// A base URL without the slash at its end.
///
/// # Errors
/// Why it is none.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url = url::Url::parse(text.trim()).map_err(|error| format!("the base URL {text:?} is none: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("the base URL {text:?} is none of http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base URL holds a user name or a password; a key belongs into the variable for it".to_owned());
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_say_in_several_ways_how_long_to_wait() {
        let headers = |name: &'static str, value: &str| HeaderMap::from_iter([(name.parse().unwrap(), value.parse().unwrap())]);
        assert_eq!(retry_after(&headers("retry-after", "7")), Some(Duration::from_secs(7)));
        assert_eq!(retry_after(&headers("retry-after-ms", "250")), Some(Duration::from_millis(250)));
        let later = (chrono::Utc::now() + chrono::TimeDelta::seconds(60)).to_rfc2822();
        assert!(retry_after(&headers("retry-after", &later)).is_some_and(|wait| wait.as_secs() > 50 && wait.as_secs() <= 60));
        assert_eq!(retry_after(&headers("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT")), Some(Duration::ZERO));
        assert_eq!(retry_after(&headers("retry-after", "soon")), None);
        assert_eq!(retry_after(&headers("retry-after", "-1")), None);
        assert_eq!(retry_after(&headers("retry-after", "NaN")), None);
        for endless in ["1e300", "inf", "18446744073709551615"] {
            assert_eq!(retry_after(&headers("retry-after", endless)), Some(Duration::from_hours(24)), "{endless}");
        }
    }

    #[test]
    fn absurd_counts_are_told_from_real_ones() {
        let usage = |input_tokens, output_tokens| Usage { input_tokens, output_tokens };
        assert!(usage(1_000, 200).is_plausible(4_000) && usage(1_000, 0).is_plausible(4_000));
        for absurd in [usage(0, 200), usage(1_000_000_000_000_000_000, 1), usage(1_000, u64::MAX), usage(9_000, 1)] {
            assert!(!absurd.is_plausible(4_000), "{absurd:?}");
        }
    }

    #[test]
    fn a_base_url_is_checked() {
        assert_eq!(base_url("http://127.0.0.1:8080/v1/").as_deref(), Ok("http://127.0.0.1:8080/v1"));
        for wrong in ["127.0.0.1:8080", "ftp://host/", "http://", "https://user:pass@host/"] {
            let error = base_url(wrong).unwrap_err();
            assert!(!error.contains("pass@"), "{error}");
        }
    }
}
