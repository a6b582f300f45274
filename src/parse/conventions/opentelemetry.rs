//! OpenTelemetry's general conventions for errors, as attributes and as events, and the status of HTTP calls.
//!
//! Specification: <https://opentelemetry.io/docs/specs/semconv/general/recording-errors/>,
//! <https://opentelemetry.io/docs/specs/semconv/exceptions/exceptions-spans/> and
//! <https://opentelemetry.io/docs/specs/semconv/http/http-spans/>, semantic conventions 1.37 (errors and exceptions; the names for HTTP and
//! the older ones were not checked against a version);
//! <https://opentelemetry.io/docs/specs/otel/common/mapping-to-non-otlp/> for `otel.status_code`; `OpenTracing`'s
//! [`error`](https://github.com/opentracing/specification/blob/master/semantic_conventions.md).
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
//! - `exception.type` and so on, or `error.message` and `error.stack`, are attributes of the span (LiteLLM 1.110, Mastra 0.24, log appenders
//!   that write to the current span).
//! - `error` is `true` (`OpenTracing`, Mastra), a text, or JSON `{"message", "data"}` (Logfire 5.4 for OpenAI Agents), and the status has no text.
//! - Exporters for Zipkin and Jaeger turn the status into `otel.status_code` and `otel.status_description`.
//! - The event lacks `exception.type` (OpenInference for LangChain.js 4.1), or its type is a code, `402` (OpenLLMetry for JS 0.27).
//! - Clients that leave the status unset although `http.response.status_code` is an error.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState, Scope};
use crate::model::{Exception, Span, Status};
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
        &["error", "exception", "http", "otel"]
    }

    fn reads_event(&self, name: &str) -> bool {
        matches!(name, "exception" | "error")
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(OpenTelemetryState::default())
    }
}

/// What attributes say about a failure.
#[derive(Default)]
struct OpenTelemetryState {
    exception: Exception,
    failed: bool,
}

impl ConventionState for OpenTelemetryState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "error.type" => {
                span.fields.error_type = value.into_text().filter(|kind| !kind.is_empty());
                self.failed |= span.fields.error_type.is_some();
            }
            "exception.type" => self.exception.kind = value.into_text().unwrap_or_default(),
            "error.kind" | "error.name" | "error.class" if self.exception.kind.is_empty() => {
                self.exception.kind = value.into_text().unwrap_or_default();
            }
            "exception.message" | "error.message" | "error.msg" | "error.description" => {
                self.add_message(&value.into_text().unwrap_or_default());
            }
            "exception.stacktrace" | "error.stack" | "error.stacktrace" | "error.stack_trace" => {
                self.exception.stack = value.into_text().filter(|stack| !stack.is_empty());
            }
            "error" => return self.add_error(value),
            "otel.status_code" => match value.as_str().map(span_fields::status) {
                Some(Status::Error) => self.failed = true,
                Some(status) if span.fields.status == Status::Unset => span.fields.status = status,
                _ => {}
            },
            "otel.status_description" => {
                if span.fields.status_message.as_deref().is_none_or(str::is_empty) {
                    span.fields.status_message = value.into_text();
                }
            }
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        let exception = if name == "error" { error_event(&attributes) } else { Some(span_fields::exception(attributes)) };
        span.fields.exceptions.extend(exception);
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let fields = &mut span.fields;
        add_exception(fields, self.exception);
        if fields.status == Status::Unset && (self.failed || is_failed_http_call(fields)) {
            fields.status = Status::Error;
        }
    }
}

impl OpenTelemetryState {
    /// Adds a message, unless the known one contains it.
    fn add_message(&mut self, message: &str) {
        if message.contains(&self.exception.message) {
            message.clone_into(&mut self.exception.message);
        } else if !self.exception.message.contains(message) {
            self.exception.message.push_str(": ");
            self.exception.message.push_str(message);
        }
    }

    /// Reads `error`: a flag, a text, or an object. Returns the value if it says that there was none.
    fn add_error<'v>(&mut self, value: Value<'v>) -> Option<Value<'v>> {
        if let Some(tree) = value.any_tree().filter(|tree| !tree.is_empty()) {
            let mut exception = error_text::exception_in(&tree);
            if exception.message.is_empty() {
                exception.message = value.to_text();
            }
            self.add_message(&exception.message);
            if self.exception.kind.is_empty() {
                self.exception.kind = exception.kind;
            }
            self.exception.stack = self.exception.stack.take().or(exception.stack);
            self.failed = true;
            return None;
        }
        let word = value.to_text();
        match word.trim().to_ascii_lowercase().as_str() {
            "" | "false" | "0" | "none" | "null" | "no" | "[]" | "{}" => return Some(value),
            "true" | "1" | "yes" | "error" => {}
            _ => self.add_message(&word),
        }
        self.failed = true;
        None
    }
}

/// The exception in the attributes of an `error` event: `OpenTracing`'s `error.kind`, `message` and `stack`, or those of `exception`. `None` if it
/// has neither a type nor a message.
fn error_event(attributes: &Value<'_>) -> Option<Exception> {
    let text = |keys: &[&str]| attributes.first(keys).to_text();
    let exception = Exception {
        kind: text(&["exception.type", "error.type", "error.kind", "error.name"]),
        message: text(&["exception.message", "error.message", "message", "error.object", "error"]),
        stack: Some(text(&["exception.stacktrace", "error.stack", "stack"])).filter(|stack| !stack.is_empty()),
    };
    (!exception.kind.is_empty() || !exception.message.is_empty()).then_some(exception)
}

/// Adds the exception that attributes describe. The events usually describe the same one.
fn add_exception(fields: &mut Span, exception: Exception) {
    if exception == Exception::default() {
        return;
    }
    let is_known = |known: &Exception| {
        exception.message.is_empty() || known.message.contains(&exception.message) || exception.message.contains(&known.message)
    };
    match fields.exceptions.iter_mut().rev().find(|known| is_known(known)) {
        Some(known) => {
            if known.kind.is_empty() {
                known.kind = exception.kind;
            }
            if known.message.is_empty() {
                known.message = exception.message;
            }
            known.stack = known.stack.take().or(exception.stack);
        }
        // The last exception is the one that ended the span.
        None => fields.exceptions.insert(0, exception),
    }
}

/// Whether the span is an HTTP request whose response was an error. A server reports the errors of its callers (4xx) with an unset status, so
/// these do not count.
fn is_failed_http_call(fields: &Span) -> bool {
    let has = |key: &str| fields.attribute(key).is_some();
    let status = ["http.response.status_code", "http.status_code"].iter().find_map(|key| fields.attribute(key)?.parse::<u16>().ok());
    let is_server = ["http.route", "client.address", "http.client_ip", "http.server_name"].iter().any(|key| has(key))
        || (has("url.path") && !has("url.full"))
        || (has("http.target") && !has("http.url"));
    status.is_some_and(|status| status >= if is_server { 500 } else { 400 })
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;

    fn only_exception(attributes: &[(&'static str, &'static str)]) -> (String, String) {
        let span = span_with(attributes);
        assert!(span.failed(), "{attributes:?}");
        let [exception] = span.exceptions.as_slice() else { panic!("{attributes:?}: {:?}", span.exceptions) };
        (exception.kind.clone(), exception.message.clone())
    }

    #[test]
    fn exceptions_in_attributes_are_read() {
        let expected = ("TimeoutError".to_owned(), "payment gateway timed out".to_owned());
        for attributes in [
            &[("exception.type", "TimeoutError"), ("exception.message", "payment gateway timed out")][..],
            &[("error.message", "payment gateway timed out"), ("error.name", "TimeoutError")],
            &[("error", r#"{"name":"TimeoutError","message":"payment gateway timed out"}"#)],
            &[("error", "true"), ("exception.type", "TimeoutError"), ("error.message", "payment gateway timed out")],
            &[("error", "payment gateway timed out"), ("error.kind", "TimeoutError"), ("error.message", "payment gateway timed out")],
        ] {
            assert_eq!(only_exception(attributes), expected, "{attributes:?}");
        }
        // Logfire.
        let (_, message) =
            only_exception(&[("error", r#"{"message":"Error running tool","data":{"tool_name":"f","error":"no such order"}}"#)]);
        assert_eq!(message, "Error running tool: no such order");
    }

    #[test]
    fn a_failure_without_a_status_is_a_failure() {
        for attributes in [
            &[("error", "true")][..],
            &[("error.type", "429")],
            &[("otel.status_code", "ERROR"), ("otel.status_description", "it broke")],
            &[("http.response.status_code", "404"), ("url.full", "https://orders.internal/A-17")],
            &[("http.status_code", "503"), ("http.target", "/orders"), ("http.url", "https://orders.internal/orders")],
        ] {
            assert!(span_with(attributes).failed(), "{attributes:?}");
        }
        for attributes in [
            &[("error", "false")][..],
            &[("otel.status_code", "OK")],
            &[("http.response.status_code", "404"), ("http.route", "/orders/{id}")],
            &[("http.response.status_code", "200")],
        ] {
            assert!(!span_with(attributes).failed(), "{attributes:?}");
        }
        assert_eq!(
            span_with(&[("otel.status_code", "ERROR"), ("otel.status_description", "it broke")]).status_message.as_deref(),
            Some("it broke")
        );
        assert_eq!(span_with(&[("error", "false")]).attribute("error"), Some("false"));
    }

    #[test]
    fn an_event_and_attributes_about_the_same_exception_are_one() {
        let mut span = SpanMapper::new(Span::default());
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
        span.set_attribute(Cow::Borrowed("error.message"), text("litellm.RateLimitError: slow down"));
        span.set_attribute(Cow::Borrowed("error.stack_trace"), text("File \"a.py\""));
        span.add_event(
            "exception",
            [(Cow::Borrowed("exception.type"), text("RateLimitError")), (Cow::Borrowed("exception.message"), text("slow down"))],
        );
        let span = span.finish();
        let [exception] = span.exceptions.as_slice() else { panic!("{:?}", span.exceptions) };
        assert_eq!((exception.kind.as_str(), exception.stack.as_deref()), ("RateLimitError", Some("File \"a.py\"")));
    }

    #[test]
    fn an_error_event_is_an_exception() {
        let mut span = SpanMapper::new(Span::default());
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text));
        span.add_event("error", [(Cow::Borrowed("error.kind"), text("IOError")), (Cow::Borrowed("message"), text("disk full"))]);
        span.add_event("error", [(Cow::Borrowed("retry"), Value::Int(1))]);
        let span = span.finish();
        assert_eq!(span.exceptions, [Exception { kind: "IOError".into(), message: "disk full".into(), stack: None }]);
    }
}
