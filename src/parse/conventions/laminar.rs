//! Laminar's SDKs.
//!
//! Specification: <https://docs.laminar.sh/tracing/otel>; checked against the SDK for Python 0.4 and 0.8, and that for JavaScript 0.8.
//!
//! ```json
//! {"lmnr.span.type": "TOOL", "lmnr.span.path": ["agent", "lookup"], "lmnr.span.input": "{\"id\": 17}", "lmnr.span.output": "\"late\""}
//! {"lmnr.span.type": "LLM", "gen_ai.system": "openai", "gen_ai.prompt.0.role": "user", "gen_ai.completion.0.finish_reason": "stop",
//!  "lmnr.sdk.raw.response": "{\"choices\": […]}"}
//! ```
//!
//! Its instrumentations of model SDKs follow [`gen_ai`](super::gen_ai) and [`openllmetry`](super::openllmetry).
//!
//! Quirks of real exporters:
//! - `DEFAULT` is the type of every span whose type was not set, also of model calls that an instrumentation recorded, so it decides last.
//! - Inputs and outputs are JSON, so texts are in quotes (0.4 to 0.8). A payload above the limit of the SDK is cut off.
//! - A call that was answered from recorded responses has the type `CACHED` (0.8).

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The Laminar convention; see the [module docs](self).
pub(super) struct Laminar;

impl Convention for Laminar {
    fn name(&self) -> &'static str {
        "laminar"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["lmnr"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for Laminar {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "lmnr.span.type" => match value.as_str() {
                Some("LLM" | "CACHED") => span.set_kind(Rank::High, SpanKind::Llm),
                Some("TOOL") => span.set_kind(Rank::High, SpanKind::Tool),
                Some(_) => span.set_kind(Rank::Fallback, SpanKind::Chain),
                None => return Some(value),
            },
            "lmnr.span.input" => span.set_input(Rank::Normal, value.unquoted()),
            "lmnr.span.output" => span.set_output(Rank::Normal, value.unquoted()),
            "lmnr.sdk.raw.response" => span.set_output(Rank::Fallback, value),
            _ => return Some(value),
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn inputs_and_outputs_are_read_by_the_type_of_the_span() {
        let tool =
            span_with(&[("lmnr.span.input", r#"{"id":17}"#), ("lmnr.span.output", "\"late\""), ("lmnr.span.type", "TOOL")]).tool.unwrap();
        assert_eq!((tool.arguments.as_str(), tool.result.as_deref()), (r#"{"id":17}"#, Some("late")));
        let llm = span_with(&[
            ("lmnr.span.type", "LLM"),
            ("lmnr.span.input", r#"[{"role":"user","content":"hi"}]"#),
            ("lmnr.span.output", "\"It is late.\""),
        ]);
        assert_eq!((llm.input[0].content.as_str(), llm.output[0].content.as_str()), ("hi", "It is late."));
    }

    #[test]
    fn an_instrumented_call_of_the_default_type_is_a_model_call() {
        let span = span_with(&[
            ("lmnr.span.type", "DEFAULT"),
            ("llm.request.type", "chat"),
            ("gen_ai.completion.0.content", "late"),
            ("gen_ai.completion.0.role", "assistant"),
            (
                "lmnr.sdk.raw.response",
                r#"{"choices":[{"finish_reason":"stop","message":{"role":"assistant","content":null,"refusal":"I can't"}}]}"#,
            ),
        ]);
        assert_eq!(
            (span.kind, span.output[0].content.as_str(), span.output[0].refusal.as_deref()),
            (SpanKind::Llm, "late", Some("I can't"))
        );
        assert_eq!(span_with(&[("lmnr.span.type", "DEFAULT"), ("lmnr.span.input", "{}")]).kind, SpanKind::Chain);
    }
}
