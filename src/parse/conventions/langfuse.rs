//! Langfuse's own attributes, as its SDK sends them over OTLP.
//!
//! Specification: <https://langfuse.com/integrations/native/opentelemetry#property-mapping>, SDK 5.0.
//!
//! ```json
//! {"langfuse.observation.type": "generation", "langfuse.observation.model.name": "gpt-4o",
//!  "langfuse.observation.input": "[{\"role\": \"user\", \"content\": \"Where is A-17?\"}]",
//!  "langfuse.observation.output": "{\"role\": \"assistant\", \"content\": \"…\"}",
//!  "langfuse.observation.usage_details": "{\"input\": 12, \"output\": 40}"}
//! ```
//!
//! Quirks of real exporters (SDK 5.0.4):
//! - Input and output are messages or plain text; only the type of the observation, which may follow later, determines which.
//! - A failed observation has the level `ERROR` and a status message; the status of its span is not set (SDK 5.0 for Python, 5.11 for
//!   JavaScript).
//! - Token counts use Langfuse's names or the provider's (`prompt_tokens`).
//! - A span of the provider's SDK (`com.anthropic.sdk.python`) may carry `gen_ai.*` beside these.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// The Langfuse convention; see the [module docs](self).
pub(super) struct Langfuse;

impl Convention for Langfuse {
    fn name(&self) -> &'static str {
        "langfuse"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["langfuse"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Observation::default())
    }
}

/// Level and message of the observation, which arrive in any order.
#[derive(Default)]
struct Observation {
    has_failed: bool,
    message: Option<String>,
}

impl ConventionState for Observation {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "langfuse.observation.type" => span.set_kind(Rank::High, value.as_str().map(observation_kind).unwrap_or_default()),
            "langfuse.observation.input" => span.set_input(Rank::High, value),
            "langfuse.observation.output" => span.set_output(Rank::High, value),
            "langfuse.observation.level" => {
                self.has_failed = value.as_str() == Some("ERROR");
                return Some(value);
            }
            "langfuse.observation.status_message" => self.message = value.into_text(),
            "langfuse.observation.model.name" => span.set_model(Rank::Normal, value),
            "langfuse.observation.usage_details" => {
                let Some(details) = value.tree() else { return Some(value) };
                let usage = &mut span.fields.usage;
                usage.input = usage.input.or(details.first(&["input", "prompt_tokens", "input_tokens"]).as_u64());
                usage.output = usage.output.or(details.first(&["output", "completion_tokens", "output_tokens"]).as_u64());
                span_fields::add_reasoning_of_langfuse(&mut span.fields.attributes, &details);
            }
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if self.has_failed {
            span.fail(self.message);
        } else if let Some(message) = self.message {
            span.keep_attribute("langfuse.observation.status_message".into(), Value::Text(message.into()));
        }
    }
}

/// The kind of an observation: `GENERATION`, `TOOL`, `SPAN` …
pub(in crate::parse) fn observation_kind(word: &str) -> SpanKind {
    match word.to_ascii_lowercase().as_str() {
        "generation" => SpanKind::Llm,
        "span" | "evaluator" => SpanKind::Chain,
        word => SpanKind::from_word(word).unwrap_or(SpanKind::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn the_level_of_an_observation_is_its_status() {
        let [level, message] = [("langfuse.observation.level", "ERROR"), ("langfuse.observation.status_message", "Error: 429 slow down")];
        for attributes in [[level, message], [message, level]] {
            let span = span_with(&attributes);
            assert_eq!((span.failed(), span.status_message.as_deref()), (true, Some("Error: 429 slow down")));
        }
        let warned = span_with(&[("langfuse.observation.level", "WARNING"), message]);
        assert_eq!((warned.failed(), warned.status_message.as_deref()), (false, None));
        assert_eq!(warned.attribute("langfuse.observation.status_message"), Some("Error: 429 slow down"));
    }

    #[test]
    fn input_is_read_by_the_type_of_the_observation_in_either_order() {
        let input = ("langfuse.observation.input", r#"[{"role":"user","content":"hi"}]"#);
        for attributes in [[input, ("langfuse.observation.type", "generation")], [("langfuse.observation.type", "generation"), input]] {
            let span = span_with(&attributes);
            assert_eq!((span.kind, span.input[0].content.as_str(), span.input_text), (SpanKind::Llm, "hi", None));
        }
        let span = span_with(&[input, ("langfuse.observation.type", "span")]);
        assert_eq!((span.input.len(), span.input_text.as_deref()), (0, Some(input.1)));
    }
}
