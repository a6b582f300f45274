//! One object on a web server: a GET that is repeated where it may be, and goes on where its answer was cut off.
//!
//! The query of an address is often its credential (signed URLs, Azure's shared access signatures), so it is sent and never shown.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use reqwest::header::{ETAG, HeaderMap, IF_RANGE, LAST_MODIFIED, RANGE};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::object::{Object, aborted};
use super::{StoreError, bad_location, first_line, unreadable, without_credentials};
use crate::limits::TRUNCATED_RESPONSE_RETRIES_MAX;

/// How long a server may take to accept a connection, and to send the next part of an answer.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_mins(1);

/// An address, with what stands in its query.
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

/// Why a request has no good answer.
enum Refusal {
    Status(StatusCode),
    Failed(String),
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Status(status) => write!(f, "the server answers {status}"),
            Self::Failed(reason) => f.write_str(reason),
        }
    }
}

impl WebObject {
    pub(super) fn new(url: &Url) -> Result<Self, StoreError> {
        let mut url = url.clone();
        url.set_fragment(None);
        // Packed objects are unpacked by what reads them, which knows how much they may grow.
        let client = Client::builder().connect_timeout(CONNECT_TIMEOUT).read_timeout(READ_TIMEOUT).build();
        let client = client.map_err(|error| bad_location(&without_credentials(&url), &first_line(&error.without_url())))?;
        Ok(Self { client, url })
    }

    /// The object, if the server has it: asks for its first byte, since a signed URL may allow nothing but a GET.
    pub(super) async fn object(&self, shown: &str) -> Result<Object, StoreError> {
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, reqwest::header::HeaderValue::from_static("bytes=0-0"));
        match self.get(headers).await {
            Ok(answer) => {
                let modified = answer.headers().get(LAST_MODIFIED).and_then(|value| value.to_str().ok());
                let modified = modified.and_then(|time| chrono::DateTime::parse_from_rfc2822(time).ok());
                let modified_at_ns = modified.and_then(|time| time.timestamp_nanos_opt()).unwrap_or_default();
                Ok(Object::of_web(self.clone(), shown.to_owned(), modified_at_ns))
            }
            // The range of an empty object.
            Err(Refusal::Status(StatusCode::RANGE_NOT_SATISFIABLE)) => Ok(Object::of_web(self.clone(), shown.to_owned(), 0)),
            Err(Refusal::Status(StatusCode::NOT_FOUND | StatusCode::GONE)) => {
                Err(StoreError::Empty { location: shown.to_owned(), reason: "no such object".into() })
            }
            Err(refusal) => Err(unreadable(shown, refusal)),
        }
    }

    /// Its bytes from the first one.
    pub(super) async fn body(&self) -> io::Result<BoxStream<'static, io::Result<Bytes>>> {
        let answer = self.get(HeaderMap::new()).await.map_err(|refusal| io::Error::other(refusal.to_string()))?;
        let headers = answer.headers();
        // A weak tag stands for several texts.
        let is_strong = |value: &&reqwest::header::HeaderValue| !value.as_bytes().starts_with(b"W/");
        let version = headers.get(ETAG).filter(is_strong).or_else(|| headers.get(LAST_MODIFIED)).cloned();
        let this = self.clone();
        let parts = async_stream::stream! {
            let (mut answer, mut read, mut cuts) = (answer, 0_u64, 0);
            loop {
                let error = match answer.chunk().await {
                    Ok(Some(part)) => {
                        read += part.len() as u64;
                        yield Ok(part);
                        continue;
                    }
                    Ok(None) => return,
                    Err(error) => aborted(&first_line(&error.without_url())),
                };
                cuts += 1;
                if let Some(rest) = this.rest(read, version.as_ref(), cuts).await {
                    answer = rest;
                } else {
                    yield Err(error);
                    return;
                }
            }
        };
        Ok(parts.boxed())
    }

    /// An answer that goes on behind what was read; nothing where the server gives none, or another version of the object.
    async fn rest(&self, read: u64, version: Option<&reqwest::header::HeaderValue>, cuts: u32) -> Option<Response> {
        if cuts > TRUNCATED_RESPONSE_RETRIES_MAX {
            return None;
        }
        tokio::time::sleep(pause(cuts)).await;
        let mut headers = HeaderMap::new();
        headers.insert(RANGE, format!("bytes={read}-").parse().ok()?);
        headers.insert(IF_RANGE, version?.clone());
        self.get(headers).await.ok().filter(|answer| answer.status() == StatusCode::PARTIAL_CONTENT)
    }

    /// Asks until there is an answer, or a refusal that would come again.
    async fn get(&self, headers: HeaderMap) -> Result<Response, Refusal> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let refusal = match self.client.get(self.url.clone()).headers(headers.clone()).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) => Refusal::Status(answer.status()),
                Err(error) => Refusal::Failed(causes(&error.without_url())),
            };
            let may_pass = match &refusal {
                Refusal::Failed(_) => true,
                Refusal::Status(status) => {
                    status.is_server_error() || matches!(*status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
                }
            };
            if !may_pass || attempt > ATTEMPTS_MAX {
                return Err(refusal);
            }
            tokio::time::sleep(pause(attempt)).await;
        }
    }
}

/// Times that a request is repeated which got no answer, or one that may be another the next time: together some six seconds.
const ATTEMPTS_MAX: u32 = 5;

fn pause(attempt: u32) -> Duration {
    Duration::from_millis(100 << attempt.min(5))
}

/// An error with what lies under it, on one line.
fn causes(error: &dyn std::error::Error) -> String {
    let mut said = first_line(&error);
    let mut source = error.source();
    while let Some(error) = source {
        said = format!("{said}: {}", first_line(&error));
        source = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::super::Location;

    #[test]
    fn what_stands_in_a_query_is_never_shown() {
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
