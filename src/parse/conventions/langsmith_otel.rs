//! LangSmith's runs, exported over OTLP by its SDKs.
//!
//! Specification: <https://docs.langchain.com/langsmith/trace-with-opentelemetry> and `langsmith/_internal/otel/_otel_exporter.py`; checked against the
//! SDKs for Python 0.4 and 0.15, and for JavaScript 0.12.
//!
//! ```json
//! {"langsmith.span.kind": "llm", "langsmith.trace.name": "ChatOpenAI", "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o",
//!  "gen_ai.prompt": "{\"messages\": [[{\"lc\": 1, \"type\": \"constructor\", \"id\": […, \"HumanMessage\"], \"kwargs\": {…}}]]}",
//!  "gen_ai.completion": "{\"generations\": [[{\"text\": \"…\", \"generation_info\": {\"finish_reason\": \"stop\"}, \"message\": {…}}]]}"}
//! {"langsmith.span.kind": "tool", "gen_ai.prompt": "{\"input\": \"{'id': 17}\"}", "gen_ai.completion": "{\"output\": {…}}"}
//! ```
//!
//! `gen_ai.prompt` and `gen_ai.completion` are the whole inputs and outputs of any run, not only of a model call.
//!
//! Quirks of real exporters:
//! - `gen_ai.operation.name` is `embeddings` for retrievers and `chat` for prompt templates, so `langsmith.span.kind` decides (0.4 to 0.15).
//! - An error is recorded as `Exception` (`Error` in JavaScript) with the text `Type('message')` and the traceback as its message, and twice if the run
//!   is exported when it starts and again when it ends. The status has no text.
//! - A failed run has `{"output": null}`.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Exception, SpanKind};
use crate::parse::error_text;
use crate::parse::value::Value;

/// The convention of LangSmith's exporters; see the [module docs](self).
pub(super) struct LangSmithOtel;

impl Convention for LangSmithOtel {
    fn name(&self) -> &'static str {
        "langsmith_otel"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["langsmith"]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["gen_ai.prompt", "gen_ai.completion"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(LangSmithState::default())
    }
}

#[derive(Default)]
struct LangSmithState {
    run_type: Option<String>,
    input: Value<'static>,
    output: Value<'static>,
}

impl ConventionState for LangSmithState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "langsmith.span.kind" => self.run_type = value.into_text(),
            "gen_ai.prompt" => self.input = value.into_owned(),
            "gen_ai.completion" => self.output = value.into_owned(),
            "langsmith.metadata.ls_model_name" => span.set_model(Rank::Fallback, value),
            "langsmith.metadata.ls_provider" => span.set_provider(Rank::Low, value),
            "langsmith.usage_metadata" => {
                let Some(counts) = value.tree() else { return Some(value) };
                let usage = &mut span.fields.usage;
                usage.input = usage.input.or(counts.get("input_tokens").as_u64());
                usage.output = usage.output.or(counts.get("output_tokens").as_u64());
            }
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if let Some(run_type) = self.run_type {
            span.set_kind(Rank::High, run_kind(&run_type));
            split_errors(span);
        }
        if span.fields.kind == SpanKind::Llm {
            span.set_input(Rank::Normal, self.input);
            let is_nothing = self.output.tree().is_some_and(|output| output.fields().iter().all(|(_, value)| value.is_null()));
            span.set_output(Rank::Normal, if is_nothing { Value::Null } else { self.output });
        } else {
            span.set_input(Rank::Normal, single_value(self.input));
            span.set_output(Rank::Normal, single_value(self.output));
        }
    }
}

fn run_kind(word: &str) -> SpanKind {
    match word.to_ascii_lowercase().as_str() {
        "prompt" | "parser" => SpanKind::Chain,
        word => SpanKind::from_word(word).unwrap_or(SpanKind::Chain),
    }
}

/// The value of `{"input": "text"}` and `{"output": {…}}`, in which LangChain wraps what is no object. `{"output": null}` is nothing.
fn single_value(value: Value<'static>) -> Value<'static> {
    let inner = value.tree().and_then(|tree| match tree.fields() {
        [(key, inner)] if matches!(key.as_ref(), "input" | "output" | "query") => Some(inner.clone().into_owned()),
        _ => None,
    });
    inner.unwrap_or(value)
}

/// Splits the texts of errors into type, message and stack, and removes those that are recorded twice.
fn split_errors(span: &mut SpanBuilder) {
    let mut known: Vec<Exception> = Vec::new();
    for exception in std::mem::take(&mut span.fields.exceptions) {
        let is_wrapper = matches!(exception.kind.as_str(), "Exception" | "Error" | "builtins.Exception");
        let found = if is_wrapper { of_text(&exception) } else { exception };
        if known.iter().all(|other| (&other.kind, &other.message) != (&found.kind, &found.message)) {
            known.push(found);
        }
    }
    span.fields.exceptions = known;
}

fn of_text(exception: &Exception) -> Exception {
    // JavaScript's stack repeats the message.
    let (text, frames) = match exception.message.split_once("\n    at ") {
        Some((head, _)) => (head.split_once("\n\n").map_or(head, |(message, _)| message), Some(exception.message.clone())),
        None => (exception.message.as_str(), None),
    };
    let mut found = error_text::exception(text);
    found.stack = found.stack.or(frames).or_else(|| exception.stack.clone());
    if found.kind.is_empty() {
        found.kind.clone_from(&exception.kind);
    }
    found
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;
    use crate::model::Span;

    #[test]
    fn inputs_and_outputs_are_read_by_the_type_of_the_run() {
        let llm = span_with(&[
            ("langsmith.span.kind", "llm"),
            ("gen_ai.operation.name", "chat"),
            (
                "gen_ai.prompt",
                r#"{"messages":[[{"lc":1,"type":"constructor","id":["langchain","schema","messages","HumanMessage"],"kwargs":{"content":"hi","type":"human"}}]]}"#,
            ),
            (
                "gen_ai.completion",
                r#"{"generations":[[{"text":"late","generation_info":{"finish_reason":"length"},"type":"ChatGeneration","message":{"lc":1,"type":"constructor","id":["langchain","schema","messages","AIMessage"],"kwargs":{"content":"late","type":"ai"}}}]],"llm_output":null}"#,
            ),
        ]);
        assert_eq!((llm.kind, llm.input[0].content.as_str(), llm.output[0].content.as_str()), (SpanKind::Llm, "hi", "late"));
        assert_eq!(llm.finish_reasons, ["length"]);
        let tool = span_with(&[
            ("langsmith.span.kind", "tool"),
            ("gen_ai.tool.name", "lookup"),
            ("gen_ai.prompt", r#"{"input":"{'id': 17}"}"#),
            ("gen_ai.completion", r#"{"output":{"content":"late","type":"tool","name":"lookup","tool_call_id":"c1","status":"success"}}"#),
        ]);
        let used = tool.tool.unwrap();
        assert_eq!((used.arguments.as_str(), used.result.as_deref(), used.call_id.as_deref()), ("{'id': 17}", Some("late"), Some("c1")));
        let retriever = span_with(&[
            ("gen_ai.operation.name", "embeddings"),
            ("langsmith.span.kind", "retriever"),
            ("gen_ai.prompt", r#"{"query":"A-17"}"#),
            ("gen_ai.completion", r#"{"documents":[{"page_content":"late","metadata":{},"type":"Document"}]}"#),
        ]);
        assert_eq!((retriever.kind, retriever.input_text.as_deref()), (SpanKind::Retriever, Some("A-17")));
        assert_eq!(retriever.documents.unwrap()[0].content, "late");
        let template = span_with(&[("gen_ai.operation.name", "chat"), ("langsmith.span.kind", "prompt"), ("gen_ai.prompt", "{}")]);
        assert_eq!(template.kind, SpanKind::Chain);
    }

    #[test]
    fn the_cause_of_a_failure_is_in_the_message_of_the_exception() {
        let failed = |kind: &'static str, message: &'static str| {
            let mut span = SpanMapper::new(Span::default());
            span.set_attribute("langsmith.span.kind".into(), Value::Text("llm".into()));
            span.set_attribute("gen_ai.completion".into(), Value::Text(r#"{"output":null}"#.into()));
            for _ in 0..2 {
                let attributes = [("exception.type", kind), ("exception.message", message)];
                span.add_event("exception", attributes.map(|(key, value)| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)))));
            }
            let span = span.finish();
            assert_eq!((span.exceptions.len(), span.output.len(), span.output_text), (1, 0, None));
            (span.exceptions[0].kind.clone(), span.exceptions[0].message.clone())
        };
        let python = failed(
            "Exception",
            "RateLimitError('Error code: 429')Traceback (most recent call last):\n\n\n  File \"a.py\", line 1, in f\n\n\nopenai.RateLimitError: Error code: 429\n",
        );
        assert_eq!(python, ("RateLimitError".to_owned(), "Error code: 429".to_owned()));
        let javascript = failed("Error", "TypeError: x is undefined\n\nTypeError: x is undefined\n    at f (a.mjs:1:2)");
        assert_eq!(javascript, ("TypeError".to_owned(), "x is undefined".to_owned()));
    }
}
