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
//! - Token counts use Langfuse's names or the provider's (`prompt_tokens`).
//! - A span of the provider's SDK (`com.anthropic.sdk.python`) may carry `gen_ai.*` beside these.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
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
        Box::new(Self)
    }
}

impl ConventionState for Langfuse {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "langfuse.observation.type" => span.set_kind(Rank::High, value.as_str().map(observation_kind).unwrap_or_default()),
            "langfuse.observation.input" => span.set_input(Rank::High, value),
            "langfuse.observation.output" => span.set_output(Rank::High, value),
            "langfuse.observation.model.name" => span.set_model(Rank::Normal, value),
            "langfuse.observation.usage_details" => {
                let Some(details) = value.tree() else { return Some(value) };
                let usage = &mut span.fields.usage;
                usage.input = usage.input.or(details.first(&["input", "prompt_tokens", "input_tokens"]).as_u64());
                usage.output = usage.output.or(details.first(&["output", "completion_tokens", "output_tokens"]).as_u64());
            }
            _ => return Some(value),
        }
        None
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
