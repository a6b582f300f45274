//! OpenTelemetry's general conventions for errors: the attribute `error.type` and the event `exception`.
//!
//! Specification: <https://opentelemetry.io/docs/specs/semconv/general/recording-errors/> and
//! <https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/>, semantic conventions 1.37.
//!
//! ```json
//! {"attributes": {"error.type": "RateLimitError"},
//!  "events": [{"name": "exception", "attributes": {"exception.type": "openai.RateLimitError", "exception.message": "Error code: 429",
//!    "exception.stacktrace": "Traceback (most recent call last): …"}}]}
//! ```
//!
//! Quirks of real exporters:
//! - One failure is often recorded on every span from the call up to the root (OpenInference, OpenLLMetry 0.62).
//! - The genai-openai instrumentation 1.3b0 sets `error.type` and records no event.
//! - The SDK for JavaScript takes an error's `code` as its type: `ECONNREFUSED`, `insufficient_quota`, `402`.
//! - The OpenInference instrumentation of LangChain.js records no type; its message, and that of the status, contains the stack trace.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState, Scope};
use crate::model::Exception;
use crate::parse::error_text;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// The general `OpenTelemetry` convention; see the [module docs](self).
pub(super) struct OpenTelemetry;

impl Convention for OpenTelemetry {
    fn name(&self) -> &'static str {
        "opentelemetry"
    }

    fn scope(&self) -> Scope {
        Scope::General
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["error"]
    }

    fn reads_event(&self, name: &str) -> bool {
        name == "exception"
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for OpenTelemetry {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "error.type" => span.fields.error_type = value.into_text(),
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, _name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        span.fields.exceptions.push(span_fields::exception(attributes));
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        for exception in &mut span.fields.exceptions {
            complete(exception);
        }
        if let Some(found) = span.fields.status_message.as_deref().and_then(error_text::with_javascript_stack) {
            span.fields.status_message = Some(found.message);
        }
    }
}

/// Completes an exception from JavaScript: one whose message contains its stack trace, or one whose type is the number of a status.
fn complete(exception: &mut Exception) {
    if exception.stack.is_none()
        && let Some(found) = error_text::with_javascript_stack(&exception.message)
    {
        let kind = std::mem::take(&mut exception.kind);
        *exception = if kind.is_empty() { found } else { Exception { kind, ..found } };
    }
    if exception.kind.bytes().all(|byte| byte.is_ascii_digit())
        && let Some(kind) = exception.stack.as_deref().and_then(error_text::type_of_javascript_stack)
    {
        exception.kind = kind;
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::*;
    use crate::model::Span;

    #[test]
    fn exceptions_from_javascript_are_completed() {
        let exception = |kind: &'static str, message: &'static str, stack: &'static str| {
            let mut span = SpanMapper::new(Span { status_message: Some(message.into()), ..Span::default() });
            let attributes = [("exception.type", kind), ("exception.message", message), ("exception.stacktrace", stack)];
            let recorded = attributes.into_iter().filter(|(_, value)| !value.is_empty());
            span.add_event("exception", recorded.map(|(key, value)| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)))));
            let span = span.finish();
            let exception = &span.exceptions[0];
            (exception.kind.clone(), exception.message.clone(), exception.stack.is_some(), span.status_message)
        };
        let text = "429 Slow down\n\nRateLimitError: 429 Slow down\n    at f (file:///a.mjs:1:2)\n    at async g (b.js:3:4)";
        assert_eq!(exception("", text, ""), ("RateLimitError".into(), "429 Slow down".into(), true, Some("429 Slow down".into())));
        let (kind, message, ..) = exception("400", "NOT_FOUND: no tool", "GenkitError: NOT_FOUND: no tool\n    at f (a.mjs:1:2)");
        assert_eq!((kind.as_str(), message.as_str()), ("GenkitError", "NOT_FOUND: no tool"));
        assert_eq!(exception("ENOTFOUND", "getaddrinfo", "Error: getaddrinfo\n    at f (a.mjs:1:2)").0, "ENOTFOUND");
        assert_eq!(exception("402", "402 Payment required", "").0, "402");
    }
}
