//! HTTP to a model provider or to the receiver of a notification: sends a request body, returns status, headers and body. Knows nothing of either.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::Value;

use crate::limits::{RESPONSE_BYTES_MAX, RESPONSE_BYTES_PARSED_INLINE_MAX};
use crate::messages::without_error_number;
use crate::runtime::pool;

/// A client with pooled connections.
#[derive(Debug, Clone)]
pub(crate) struct HttpClient {
    client: reqwest::Client,
}

/// Why a request has no HTTP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TransportError {
    /// It took too long.
    TimedOut,
    /// There was no connection, so nothing was sent.
    NotSent(String),
    /// Any other failure; the provider may have received the request.
    Failed(String),
}

/// An HTTP response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Response {
    /// The body as JSON; null if it is not valid JSON. A large body is parsed on the thread pool.
    pub(crate) async fn json(&self) -> Value {
        if self.body.len() <= RESPONSE_BYTES_PARSED_INLINE_MAX {
            return parse_json(&self.body);
        }
        let body = self.body.clone();
        pool::run(move || parse_json(&body)).await
    }
}

/// Unwraps a list with one item: Gemini returns errors of streams in a list, and some gateways return every error in one.
fn parse_json(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes).unwrap_or_default() {
        Value::Array(mut items) if items.len() == 1 => items.pop().unwrap_or_default(),
        value => value,
    }
}

impl HttpClient {
    /// A client that keeps up to `idle_connections_max` connections open.
    ///
    /// # Errors
    /// The message of the TLS library.
    pub(crate) fn new(idle_connections_max: usize) -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .user_agent(concat!("failsift/", env!("CARGO_PKG_VERSION")))
            // A redirect would send the trace and the API key to another host.
            .redirect(reqwest::redirect::Policy::none())
            .pool_max_idle_per_host(idle_connections_max)
            .tcp_nodelay(true)
            .build()
            .map_err(|error| root_cause(&error))?;
        Ok(Self { client })
    }

    /// Posts JSON and reads the response, within `timeout`.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn post(&self, url: &str, mut headers: HeaderMap, body: Bytes, timeout: Duration) -> Result<Response, TransportError> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Self::send(self.client.post(url).headers(headers).body(body).timeout(timeout)).await
    }

    /// Reads a URL within `timeout`.
    ///
    /// # Errors
    /// [`TransportError`].
    pub(crate) async fn get(&self, url: &str, headers: HeaderMap, timeout: Duration) -> Result<Response, TransportError> {
        Self::send(self.client.get(url).headers(headers).timeout(timeout)).await
    }

    async fn send(request: reqwest::RequestBuilder) -> Result<Response, TransportError> {
        let transport_error = |error: reqwest::Error| match () {
            () if error.is_timeout() => TransportError::TimedOut,
            () if error.is_connect() => TransportError::NotSent(root_cause(&error)),
            () => TransportError::Failed(root_cause(&error)),
        };
        let mut response = request.send().await.map_err(transport_error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(transport_error)? {
            if body.len() + chunk.len() > RESPONSE_BYTES_MAX {
                return Err(TransportError::Failed(format!("the response is larger than {RESPONSE_BYTES_MAX} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Response { status, headers, body: body.freeze() })
    }
}

/// The innermost cause of an error. The outer ones only add where it was noticed, and the URL, which may contain credentials.
fn root_cause(error: &reqwest::Error) -> String {
    let mut cause = std::error::Error::source(error);
    let mut text = None;
    while let Some(error) = cause {
        text = Some(error.to_string());
        cause = error.source();
    }
    text.map_or_else(|| "the connection failed".to_owned(), |text| without_error_number(&text).to_owned())
}

/// The pause that a provider asks for: `Retry-After` in seconds or as a date, or `retry-after-ms`, which OpenAI adds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    if let Some(millis) = header("retry-after-ms").and_then(|text| text.parse::<f64>().ok()) {
        return wait_duration(millis / 1e3);
    }
    let text = header("retry-after")?;
    if let Ok(seconds) = text.parse::<f64>() {
        return wait_duration(seconds);
    }
    let at = chrono::DateTime::parse_from_rfc2822(text).ok()?;
    wait_duration((at.to_utc() - chrono::Utc::now()).as_seconds_f64().max(0.0))
}

/// A wait of `seconds`, at most a day: providers may send any number, and sums of durations must not overflow. `None` if it is negative or not a
/// number.
pub(crate) fn wait_duration(seconds: f64) -> Option<Duration> {
    if seconds.is_nan() { None } else { Duration::try_from_secs_f64(seconds.min(86_400.0)).ok() }
}

/// A header whose value is hidden from debug output.
///
/// # Errors
/// A message, if it is not a valid header value. The value is not quoted.
pub(crate) fn secret_header(value: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(value.trim()).map_err(|_| "it contains characters that an HTTP header cannot have".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// Checks a base URL and removes the slash at its end.
///
/// # Errors
/// A message about what is wrong with it. A password is not quoted.
pub(crate) fn base_url(text: &str) -> Result<String, String> {
    let shown = if text.contains('@') { String::new() } else { format!(" '{text}'") };
    let url = url::Url::parse(text.trim())
        .map_err(|error| format!("invalid base URL{shown}: {error}\n  hint: use http://HOST:PORT/v1 or https://HOST/v1"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the base URL contains a user name or a password\n  hint: remove it; the API key is read from an environment variable"
            .to_owned());
    }
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(format!("invalid base URL{shown}: it must start with http:// or https://"));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_all_its_forms() {
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
    fn base_urls_are_checked_and_passwords_are_not_quoted() {
        assert_eq!(base_url("http://127.0.0.1:8080/v1/").as_deref(), Ok("http://127.0.0.1:8080/v1"));
        let with_password = ["https://user:pass@host/", "ftp://user:pass@host/", "https://user:pass@host:99999/"];
        for wrong in ["127.0.0.1:8080", "ftp://host/", "http://"].into_iter().chain(with_password) {
            let error = base_url(wrong).unwrap_err();
            assert!(!error.contains("pass@"), "{error}");
        }
    }
}
