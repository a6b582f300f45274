//! Signals of a failed span: its error type, its HTTP status, and other facts as `name=value`.

use std::sync::LazyLock;

use regex::Regex;

use super::text::expression;
use crate::model::Span;

/// A fact about a span, and the field that shows it.
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

/// The error type of a span, and the field that contains it.
pub(super) fn error_type(span: &Span) -> Option<(String, String)> {
    // Some exporters record the exception only as text: `RateLimitError: …`, `OpenAIRateLimitError('…')`. The list of endings keeps
    // ordinary sentences out (`Note: …`).
    static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"^\s*([A-Za-z_][\w.]{2,80}(?:Error|Exception|Exit|Interrupt|Violation|Timeout|Failure|Cancelled|NotFound|Exceeded))\b\s*(?:[:(]|$)",
        )
    });
    // The last exception is the one that ended the span; earlier ones may have been handled.
    if let Some((index, exception)) = span.exceptions.iter().enumerate().rev().find(|(_, exception)| !exception.kind.is_empty()) {
        return Some((exception.kind.clone(), format!("exceptions[{index}].type")));
    }
    // OpenTelemetry defines `_OTHER` as the value for an unknown type.
    if let Some(kind) = span.error_type.as_deref().filter(|kind| !kind.is_empty() && *kind != "_OTHER") {
        return Some((kind.to_owned(), "error_type".into()));
    }
    let found = PREFIX.as_ref()?.captures(span.status_message.as_deref()?)?.get(1)?;
    Some((found.as_str().to_owned(), "status_message".into()))
}

/// The HTTP status in the text of a failure: `Error code: 429`, `-> 500 Internal`, `429 RESOURCE_EXHAUSTED`, `HTTP 503`.
///
/// A number alone is not a status (`took 429 ms`): it needs a word before it, or a reason phrase after it.
pub(super) fn http_status(text: &str) -> Option<u16> {
    static STATUS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"(?i)(?:error code|status code|status_code|statuscode|http/1\.[01]|http/2|http status|http error|http|code|\bstatus)['\x22]?\s*[:= ]\s*([1-5]\d\d)\b|-> ([45]\d\d)\b|^\W{0,3}([45]\d\d) [A-Z]|\b([45]\d\d) (?:Client|Server) Error",
        )
    });
    let captures = STATUS.as_ref()?.captures(text)?;
    captures.iter().skip(1).flatten().next()?.as_str().parse().ok()
}

/// The HTTP error status that an instrumentation recorded as an attribute, and the field that contains it.
pub(super) fn recorded_status(span: &Span) -> Option<(u16, String)> {
    // The second key is OpenTelemetry's earlier name for the first.
    ["http.response.status_code", "http.status_code"].iter().find_map(|key| {
        let status = span.attribute(key)?.parse().ok().filter(|status| *status >= 400)?;
        Some((status, format!("attributes.{key}")))
    })
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
    fn error_types_are_found_before_messages() {
        let typed = |message: &str| error_type(&Span { status_message: Some(message.into()), ..Span::default() }).map(|(kind, _)| kind);
        assert_eq!(typed("RateLimitError: Error code: 429").as_deref(), Some("RateLimitError"));
        assert_eq!(typed("OpenAIRateLimitError('Error code: 429')Traceback").as_deref(), Some("OpenAIRateLimitError"));
        assert_eq!(typed("TimeoutError: ").as_deref(), Some("TimeoutError"));
        assert_eq!(typed("near \"order\": syntax error"), None);
    }
}
