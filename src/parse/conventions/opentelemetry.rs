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
//! Quirks of real exporters: one failure is often recorded on every span from the call up to the root (OpenInference, OpenLLMetry 0.62);
//! the genai-openai instrumentation 1.3b0 sets `error.type` and records no event.

use super::span_builder::SpanBuilder;
use super::{Convention, ConventionState, Scope};
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
}
