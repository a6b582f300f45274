//! Facts that stand in the text of a failure: its type, its HTTP status, what the provider calls it.

use std::sync::LazyLock;

use regex::Regex;

use crate::limits::RULE_TEXT_END_BYTES_MAX;
use crate::model::Span;

/// A fact with the field in which it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal {
    /// `http_status=429`
    pub(super) text: String,
    /// `status_message`
    pub(super) field: Option<String>,
}

impl Signal {
    pub(super) fn new(name: &str, value: impl std::fmt::Display, field: impl Into<String>) -> Self {
        const SIGNAL_CHARS_MAX: usize = 120;
        Self { text: format!("{name}={value}").chars().take(SIGNAL_CHARS_MAX).collect(), field: Some(field.into()) }
    }
}

/// An expression that is known to compile, because a test of this module uses it.
pub(super) fn expression(text: &'static str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// The type of the error that a span says it ended with, and the field in which it stands: of the last exception, of `error.type`,
/// or the word before the message (`RateLimitError: …`, `OpenAIRateLimitError('…')`).
pub(super) fn error_type(span: &Span) -> Option<(String, String)> {
    static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"^\s*([A-Za-z_][\w.]{2,80}(?:Error|Exception|Exit|Interrupt|Violation|Timeout|Failure|Cancelled|NotFound|Exceeded))\b\s*(?:[:(]|$)",
        )
    });
    if let Some((index, exception)) = span.exceptions.iter().enumerate().rev().find(|(_, exception)| !exception.kind.is_empty()) {
        return Some((exception.kind.clone(), format!("exceptions[{index}].type")));
    }
    if let Some(kind) = span.error_type.as_deref().filter(|kind| !kind.is_empty() && *kind != "_OTHER") {
        return Some((kind.to_owned(), "error_type".into()));
    }
    let found = PREFIX.as_ref()?.captures(span.status_message.as_deref()?)?.get(1)?;
    Some((found.as_str().to_owned(), "status_message".into()))
}

/// The HTTP status in a failure's text: `Error code: 429`, `-> 500 Internal`, `429 RESOURCE_EXHAUSTED`, `HTTP 503`.
pub(super) fn http_status(text: &str) -> Option<u16> {
    static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"(?i)(?:error code|status code|status_code|statuscode|http/1\.[01]|http/2|http status|http error|http|code|\bstatus)['\x22]?\s*[:= ]\s*([1-5]\d\d)\b|-> ([45]\d\d)\b|^\W{0,3}([45]\d\d) [A-Z]|\b([45]\d\d) (?:Client|Server) Error",
        )
    });
    let captures = STATUS.as_ref()?.captures(text)?;
    captures.iter().skip(1).flatten().next()?.as_str().parse().ok()
}

/// The status that an instrumentation recorded as an attribute.
pub(super) fn recorded_status(span: &Span) -> Option<(u16, String)> {
    ["http.response.status_code", "http.status_code"].iter().find_map(|key| {
        let status = span.attribute(key)?.parse().ok().filter(|status| *status >= 400)?;
        Some((status, format!("attributes.{key}")))
    })
}

/// The part of a failure's text that says what happened: without the stack trace after it, at most [`RULE_TEXT_END_BYTES_MAX`] at each end.
pub(super) fn message_of(text: &str) -> &str {
    let head = text.find("Traceback (most recent call last)").filter(|at| *at > 0).map_or(text, |at| text.get(..at).unwrap_or(text));
    clip(head)
}

/// At most [`RULE_TEXT_END_BYTES_MAX`] of a text.
pub(super) fn clip(text: &str) -> &str {
    let mut end = text.len().min(RULE_TEXT_END_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_found_where_providers_write_them() {
        for (text, status) in [
            ("Error code: 429 - Rate limit reached", Some(429)),
            ("GET /api/orders/A-2210 -> 500 Internal Server Error", Some(500)),
            ("429 RESOURCE_EXHAUSTED. {'error': {'code': 429", Some(429)),
            ("HTTP status 503", Some(503)),
            ("404 Client Error: Not Found for url", Some(404)),
            ("line 1 column 500", None),
            ("took 429 ms", None),
        ] {
            assert_eq!(http_status(text), status, "{text}");
        }
    }

    #[test]
    fn types_are_found_before_messages() {
        let typed = |message: &str| error_type(&Span { status_message: Some(message.into()), ..Span::default() }).map(|(kind, _)| kind);
        assert_eq!(typed("RateLimitError: Error code: 429").as_deref(), Some("RateLimitError"));
        assert_eq!(typed("OpenAIRateLimitError('Error code: 429')Traceback").as_deref(), Some("OpenAIRateLimitError"));
        assert_eq!(typed("TimeoutError: ").as_deref(), Some("TimeoutError"));
        assert_eq!(typed("near \"order\": syntax error"), None);
    }
}
