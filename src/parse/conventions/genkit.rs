//! Genkit, Google's framework for TypeScript, Go and Python.
//!
//! Specification: <https://genkit.dev/docs/observability/telemetry-collection/>; checked against `@genkit-ai/core` 1.42, and the tracing code
//! of Genkit for Go and for Python, which set the same attributes.
//!
//! ```json
//! {"genkit:type": "action", "genkit:metadata:subtype": "model", "genkit:name": "googleai/gemini-2.5-flash", "genkit:state": "success",
//!  "genkit:input": "{\"messages\": [{\"role\": \"user\", \"content\": [{\"text\": \"Where is A-17?\"}]}], \"tools\": [{\"name\": \"lookup\", …}]}",
//!  "genkit:output": "{\"message\": {\"role\": \"model\", \"content\": [{\"toolRequest\": {\"name\": \"lookup\", \"ref\": \"1\", \"input\": {\"id\": 17}}}]},
//!    \"finishReason\": \"stop\", \"usage\": {\"inputTokens\": 12}}"}
//! ```
//!
//! Input and output are JSON of any type of action: those of a model contain messages, those of a retriever documents.
//!
//! Quirks of real exporters:
//! - A text is JSON too, and therefore in quotes.
//! - A model that asks for tools has the finish reason `stop`. A blocked answer (`blocked`) fails the span `generate` around the model, not that
//!   of the model.
//! - An unknown tool and arguments that do not fit the schema fail only the span `generate`, because the tool never starts. Only the stack trace
//!   tells rejected arguments (`resolveToolRequest`) from a rejected answer of the model, so that they get a type of their own here.
//! - `exception.type` is the HTTP status of Genkit's own error (`400` for `INVALID_ARGUMENT`), not that of a provider.
//! - A tool that asks the user ("interrupt") fails with a `ToolInterruptError` without a message, which is no failure.
//! - The plugin for Google Cloud replaces `:` in keys by `/`, and all content by `<redacted>` unless it is told otherwise.
//! - Genkit for Go records the output `null` for a failed action.

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{SpanKind, Status};
use crate::parse::value::Value;

/// The convention of Genkit; see the [module docs](self).
pub(super) struct Genkit;

impl Convention for Genkit {
    fn name(&self) -> &'static str {
        "genkit"
    }

    // The keys have no dots, so that each is a namespace of its own.
    fn namespaces(&self) -> &'static [&'static str] {
        &[
            "genkit:type",
            "genkit:metadata:subtype",
            "genkit:name",
            "genkit:input",
            "genkit:output",
            "genkit:state",
            "genkit/type",
            "genkit/metadata/subtype",
            "genkit/name",
            "genkit/input",
            "genkit/output",
            "genkit/state",
        ]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(GenkitState::default())
    }
}

#[derive(Default)]
struct GenkitState {
    span_type: String,
    subtype: String,
    name: String,
}

impl ConventionState for GenkitState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let is_content = !matches!(value.as_str(), Some("<redacted>" | "null"));
        match key.get("genkit:".len()..).unwrap_or_default() {
            "input" if is_content => {
                span.set_input(Rank::Normal, unquoted(value));
                return None;
            }
            "output" if is_content => {
                span.set_output(Rank::Normal, unquoted(value));
                return None;
            }
            "type" => self.span_type = value.to_text(),
            "metadata:subtype" | "metadata/subtype" => self.subtype = value.to_text(),
            "name" => self.name = value.to_text(),
            "state" if value.as_str() == Some("error") => span.fail(None),
            _ => {}
        }
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let kind = span_kind(&self.span_type, &self.subtype);
        span.set_kind(Rank::High, kind);
        match kind {
            SpanKind::Llm => span.set_model(Rank::Low, Value::Text(Cow::Owned(self.name))),
            SpanKind::Tool => span.tool().name = self.name,
            _ => {}
        }
        for exception in &mut span.fields.exceptions {
            let is_rejected_call = |stack: &str| stack.contains("at parseSchema ") && stack.contains("at resolveToolRequest ");
            if exception.stack.as_deref().is_some_and(is_rejected_call) {
                exception.kind = "ToolInputValidationError".into();
            }
        }
        if span.fields.exceptions.last().is_some_and(|exception| exception.kind == "ToolInterruptError") {
            span.fields.exceptions.clear();
            (span.fields.status, span.fields.status_message) = (Status::Unset, None);
        }
    }
}

fn span_kind(span_type: &str, subtype: &str) -> SpanKind {
    match (span_type, subtype) {
        (_, "model") | ("model", _) => SpanKind::Llm,
        (_, "tool" | "tool.v2") | ("tool", _) => SpanKind::Tool,
        (_, "retriever") | ("retriever", _) => SpanKind::Retriever,
        (_, "embedder") | ("embedder", _) => SpanKind::Embedding,
        (_, "agent") => SpanKind::Agent,
        ("" | "userEngagement", "") => SpanKind::Other,
        // Flows and their steps, prompts, and the loop around a model.
        _ => SpanKind::Chain,
    }
}

/// The text of a JSON string; other values are returned unchanged.
fn unquoted(value: Value<'_>) -> Value<'_> {
    let inner = value.as_str().filter(|text| text.starts_with('"')).and_then(|text| serde_json::from_str::<String>(text).ok());
    inner.map_or(value, |text| Value::Text(Cow::Owned(text)))
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn a_model_call_is_read() {
        let span = span_with(&[
            ("genkit:type", "action"),
            ("genkit:metadata:subtype", "model"),
            ("genkit:name", "googleai/g"),
            (
                "genkit:input",
                r#"{"messages":[{"role":"system","content":[{"text":"Be brief."}]},{"role":"model","content":[{"toolRequest":{"name":"f","ref":"r1","input":{}}}]},{"role":"tool","content":[{"toolResponse":{"name":"f","ref":"r1","output":{"temp":3}}}]}],"tools":[{"name":"f","description":"d"}]}"#,
            ),
            (
                "genkit:output",
                r#"{"message":{"role":"model","content":[{"text":"wait"},{"toolRequest":{"name":"f","ref":"r2","input":{"x":1}}}]},"finishReason":"stop","usage":{"inputTokens":5,"outputTokens":6}}"#,
            ),
        ]);
        let roles: Vec<_> = span.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!((span.kind, roles), (SpanKind::Llm, vec![("system", "Be brief."), ("assistant", ""), ("tool", r#"{"temp":3}"#)]));
        assert_eq!((span.input[1].tool_calls[0].id.as_deref(), span.input[2].tool_call_id.as_deref()), (Some("r1"), Some("r1")));
        let call = &span.output[0].tool_calls[0];
        assert_eq!((span.output[0].content.as_str(), call.name.as_str(), call.arguments.as_str()), ("wait", "f", r#"{"x":1}"#));
        assert_eq!((span.finish_reasons, span.tools_offered), (vec!["stop".to_owned()], vec!["f".to_owned()]));
        assert_eq!((span.usage.input, span.model.as_deref()), (Some(5), Some("googleai/g")));
    }

    #[test]
    fn other_actions_are_read() {
        let tool = span_with(&[
            ("genkit:type", "action"),
            ("genkit:metadata:subtype", "tool"),
            ("genkit:name", "f"),
            ("genkit:input", "{\"x\":1}"),
            ("genkit:output", "\"a\""),
        ]);
        let used = tool.tool.unwrap();
        assert_eq!((used.name.as_str(), used.arguments.as_str(), used.result.as_deref()), ("f", "{\"x\":1}", Some("a")));
        let found = |documents| {
            let retriever = [("genkit:type", "action"), ("genkit:metadata:subtype", "retriever")];
            span_with(&[&retriever[..], &[("genkit:output", documents)]].concat()).documents.unwrap()
        };
        assert_eq!(found(r#"{"documents":[{"content":[{"text":"a"},{"text":"b"}],"metadata":{"id":"d1"}}]}"#)[0].content, "a\nb");
        assert!(found(r#"{"documents":[]}"#).is_empty());
        let flow = span_with(&[
            ("genkit/type", "action"),
            ("genkit/metadata/subtype", "flow"),
            ("genkit/input", "\"hi\""),
            ("genkit/state", "error"),
        ]);
        assert_eq!((flow.kind, flow.input_text.as_deref(), flow.failed()), (SpanKind::Chain, Some("hi"), true));
    }

    #[test]
    fn exceptions_of_tools_are_told_apart() {
        let failed = |kind: &'static str, stack: &'static str| {
            let mut span = SpanMapper::new(crate::model::Span { status: Status::Error, ..Default::default() });
            span.set_attribute(Cow::Borrowed("genkit:type"), Value::Text(Cow::Borrowed("action")));
            let attributes = [("exception.type", kind), ("exception.message", "INVALID_ARGUMENT: x"), ("exception.stacktrace", stack)];
            span.add_event("exception", attributes.map(|(key, value)| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)))));
            span.finish()
        };
        let rejected = failed("400", "GenkitError: x\n    at parseSchema (a.mjs:1:2)\n    at resolveToolRequest (b.mjs:3:4)");
        assert_eq!(rejected.exceptions[0].kind, "ToolInputValidationError");
        assert_eq!(failed("400", "GenkitError: x\n    at parseSchema (a.mjs:1:2)").exceptions[0].kind, "GenkitError");
        assert!(!failed("ToolInterruptError", "ToolInterruptError\n    at f (a.mjs:1:2)").failed());
    }

    #[test]
    fn redacted_content_is_absent() {
        let span = span_with(&[("genkit/type", "action"), ("genkit/metadata/subtype", "model"), ("genkit/output", "<redacted>")]);
        assert!(span.output.is_empty() && span.output_text.is_none() && span.not_understood.is_empty());
    }
}
