//! An object on a web server: a GET request with retries, which resumes if the response is cut off.
//!
//! The query of a URL is often a credential (signed URLs, Azure's shared access signatures), so it never appears in a message.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use reqwest::header::{ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::error::{Cause, first_line};
use super::object::{Object, aborted};
use super::{StoreError, without_credentials};
use crate::limits::TRUNCATED_RESPONSE_RETRIES_MAX;

/// Time limits for connecting and for the next part of a response.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// The URL of an object, including its query.
#[derive(Clone)]
pub(super) struct WebObject {
    client: Client,
    url: Url,
}

impl std::fmt::Debug for WebObject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WebObject({})", without_credentials(&self.url))
    }
}

/// Why a request failed.
enum RequestError {
    /// The server responded with this status.
    Status(StatusCode),
    /// There was no response.
    Transport(String),
}

impl From<RequestError> for Cause {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Status(status) => Self::of_status(status.as_u16()),
            RequestError::Transport(reason) => Self::Other(reason),
        }
    }
}

impl WebObject {
    pub(super) fn new(url: &Url) -> Result<Self, StoreError> {
        let mut url = url.clone();
        url.set_fragment(None);
        // The client must not decompress responses: the read stage does, with a size limit.
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let client = client.map_err(|error| StoreError::location(&without_credentials(&url), first_line(&error.without_url())))?;
        Ok(Self { client, url })
    }

    /// The object, if it exists. Requests its first byte with GET, because a signed URL may allow no other method.
    pub(super) async fn object(&self, shown: &str) -> Result<Object, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, reqwest::header::HeaderValue::from_static("bytes=0-0"));
        match self.get(headers).await {
            Ok(response) => {
                let modified = response.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
                let modified = modified.and_then(|time| chrono::DateTime::parse_from_rfc2822(time).ok());
                let modified_at_ns = modified.and_then(|time| time.timestamp_nanos_opt()).unwrap_or_default();
                Ok(Object::of_web(self.clone(), shown.to_owned(), modified_at_ns))
            }
            // An empty object has no first byte.
            Err(RequestError::Status(StatusCode::RANGE_NOT_SATISFIABLE)) => Ok(Object::of_web(self.clone(), shown.to_owned(), 0)),
            Err(RequestError::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => Err(StoreError::missing(shown, "no such object", None)),
            Err(error) => Err(StoreError::unreadable(shown, error)),
        }
    }

    /// The content of the object.
    pub(super) async fn body(&self) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let response = self.get(HeaderMap::new()).await.map_err(|error| io::Error::other(Cause::from(error).to_string()))?;
        let headers = response.headers();
        // A weak ETag does not identify the exact bytes.
        let is_strong = |value: &&reqwest::header::HeaderValue| !value.as_bytes().starts_with(b"W/");
        let version = headers.get(ETAG).filter(is_strong).or_else(|| headers.get(LAST_MODIFIED)).cloned();
        let this = self.clone();
        let parts = async_stream::stream! {
            let (mut response, mut bytes_read, mut failures) = (response, 0_u64, 0);
            loop {
                let error = match response.chunk().await {
                    Ok(Some(part)) => {
                        bytes_read += part.len() as u64;
                        yield Ok(part);
                        continue;
                    }
                    Ok(None) => return,
                    Err(error) => aborted(&first_line(&error.without_url())),
                };
                failures += 1;
                if let Some(rest) = this.rest(bytes_read, version.as_ref(), failures).await {
                    response = rest;
                } else {
                    yield Err(error);
                    return;
                }
            }
        };
        Ok(parts.boxed())
    }

    /// A response with the rest of the object, after `failures` responses that were cut off; `None` if the server does not support ranges or the
    /// object has changed.
    async fn rest(&self, bytes_read: u64, version: Option<&reqwest::header::HeaderValue>, failures: u32) -> Option<Response> {
        if failures > TRUNCATED_RESPONSE_RETRIES_MAX {
            return None;
        }
        tokio::time::sleep(pause(failures)).await;
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, format!("bytes={bytes_read}-").parse().ok()?);
        headers.insert(IF_RANGE, version?.clone());
        self.get(headers).await.ok().filter(|response| response.status() == StatusCode::PARTIAL_CONTENT)
    }

    /// Sends the request until it succeeds or fails permanently.
    async fn get(&self, headers: HeaderMap) -> Result<Response, RequestError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.client.get(self.url.clone()).headers(headers.clone()).send().await {
                Ok(response) if response.status().is_success() => return Ok(response),
                Ok(response) => RequestError::Status(response.status()),
                Err(error) => RequestError::Transport(causes(&error.without_url())),
            };
            let is_transient = match &error {
                RequestError::Transport(_) => true,
                RequestError::Status(status) => {
                    status.is_server_error() || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                }
            };
            if !is_transient || attempt > RETRIES_MAX {
                return Err(error);
            }
            tokio::time::sleep(pause(attempt)).await;
        }
    }
}

/// Retries of a request that failed for a transient reason: about six seconds in total.
const RETRIES_MAX: u32 = 5;

fn pause(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(5))
}

/// An error and its sources on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = first_line(&error);
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {}", first_line(&error));
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::Location;

    #[test]
    fn credentials_in_a_url_are_never_shown() {
        for text in ["https://user:secret@host:9000/a%20b/c.jsonl?X-Amz-Signature=secret#x", "https://a:secret@[bad/x?sig=secret"] {
            let shown = match Location::parse(text) {
                Ok(location) => format!("{} {location:?} {}", location.shown(), location.canonical()),
                Err(error) => format!("{error} {error:?}"),
            };
            assert!(!shown.contains("secret"), "{shown}");
        }
        let location = Location::parse("https://user:secret@host:9000/a%20b/c.jsonl?X-Amz-Signature=abc").unwrap();
        assert_eq!(location.shown(), "https://host:9000/a%20b/c.jsonl");
    }
}
