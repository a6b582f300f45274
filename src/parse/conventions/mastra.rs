//! Mastra's exporters for OpenTelemetry.
//!
//! Specification: <https://mastra.ai/docs/observability/tracing/exporters/otel>; checked against `@mastra/otel-exporter` 0.3 with
//! `@mastra/core` 0.24, and `@mastra/otel-exporter` 1.4 with `@mastra/core` 1.71. `@mastra/otel-bridge` sets the same attributes.
//!
//! ```json
//! {"mastra.span.type": "model_step", "input": "{\"body\": {\"model\": \"gpt-4o\", \"messages\": […]}}",
//!  "output": "{\"text\": \"\", \"toolCalls\": [{\"toolCallId\": \"c1\", \"toolName\": \"lookup\", \"args\": {\"id\": 17}}]}"}
//! {"mastra.span.type": "model_step", "mastra.model_step.input": "[{\"role\": \"user\", \"content\": \"Where is A-17?\"}]",
//!  "mastra.model_step.output": "{\"text\": \"\", \"toolCalls\": […]}"}
//! ```
//!
//! Version 0.3 has the content in `input` and `output`, and once more in `gen_ai.prompt`, `gen_ai.completion`, `gen_ai.tool.input` and
//! `gen_ai.tool.output`. Version 1.4 has it in `gen_ai.*` for tools and for the span that it regards as the model call, and in
//! `mastra.TYPE.input` and `mastra.TYPE.output` for all others.
//!
//! Quirks of real exporters:
//! - A `model_generation` contains one `model_step` for each call of the model. In 0.3 the generation has the finish reason, the step has the
//!   tool calls. In 1.4 the call is the `model_inference` in the step, which has the finish reason but neither input nor tool calls.
//! - A failed call has status OK and the finish reason `error`. In 0.3 the error is only in the output of a span named `chunk: 'error'`, and
//!   the root of the run is never exported. In 1.4 the run has the error.
//! - Every exception has the type `Error`, and `error.type` is `unknown` if the error has no id.
//! - Values nested more deeply than the exporter's limit are the text `[MaxDepth]`.
//! - A step has the provider's response in the attribute `body` (0.3).

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Exception, Message, SpanKind};
use crate::parse::span_fields::documents_in;
use crate::parse::value::Value;

/// The convention of Mastra; see the [module docs](self).
pub(super) struct Mastra;

impl Convention for Mastra {
    fn name(&self) -> &'static str {
        "mastra"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["mastra"]
    }

    fn keys(&self) -> &'static [&'static str] {
        &["gen_ai.tool.input", "gen_ai.tool.output"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(MastraState::default())
    }
}

/// The parts of one span, whose meaning depends on its type.
#[derive(Default)]
struct MastraState {
    span_type: Option<String>,
    input: Option<String>,
    output: Option<String>,
    /// Whether the content is in `mastra.TYPE.*`, and not in the attributes of a model call.
    has_own_content: bool,
}

impl ConventionState for MastraState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "mastra.span.type" => {
                self.span_type = value.as_str().map(str::to_ascii_lowercase);
                return Some(value);
            }
            "gen_ai.tool.input" => span.tool().arguments = value.into_text().unwrap_or_default(),
            "gen_ai.tool.output" => span.tool().result = value.into_text(),
            _ => {
                let part = key.strip_prefix("mastra.").and_then(|rest| rest.rsplit_once('.')).map(|(_, part)| part);
                let content = match part {
                    Some("input") => &mut self.input,
                    Some("output") => &mut self.output,
                    _ => return Some(value),
                };
                *content = value.into_text();
                self.has_own_content = true;
            }
        }
        None
    }

    fn finish(mut self: Box<Self>, span: &mut SpanBuilder) {
        let Some(span_type) = self.span_type.take() else { return };
        for (content, names) in [(&mut self.input, ["input", "gen_ai.prompt"]), (&mut self.output, ["output", "gen_ai.completion"])] {
            for name in names {
                let kept = span.take_attribute(name);
                *content = content.take().or(kept);
            }
        }
        if span.fields.error_type.as_deref() == Some("unknown") {
            span.fields.error_type = None;
        }
        let kind = self.span_kind(&span_type);
        match span_type.as_str() {
            "model_chunk" | "llm_chunk" => self.finish_chunk(span),
            "model_step" | "llm_step" => self.finish_step(span),
            "agent_run" => self.finish_agent(span),
            "rag_vector_operation" => self.finish_vector_operation(span),
            _ => self.set_content(span),
        }
        // A kind that the content itself shows precedes that of the type.
        span.set_kind(Rank::High, kind);
    }
}

impl MastraState {
    fn span_kind(&self, span_type: &str) -> SpanKind {
        match span_type {
            "agent_run" => SpanKind::Agent,
            // The loop around the steps, unless it is what the exporter regards as the call.
            "model_generation" | "llm_generation" if self.has_own_content => SpanKind::Chain,
            "model_generation" | "llm_generation" | "model_step" | "llm_step" | "model_inference" => SpanKind::Llm,
            "tool_call" | "mcp_tool_call" | "client_tool_call" | "provider_tool_call" => SpanKind::Tool,
            "rag_embedding" => SpanKind::Embedding,
            "generic" => SpanKind::Other,
            _ => SpanKind::Chain,
        }
    }

    fn set_content(self, span: &mut SpanBuilder) {
        if let Some(input) = self.input {
            span.set_input(Rank::Normal, Value::Text(Cow::Owned(input)));
        }
        if let Some(output) = self.output {
            span.set_output(Rank::Normal, Value::Text(Cow::Owned(output)));
        }
    }

    /// A piece of a stream. Its text is repeated in the step, but an error is recorded nowhere else.
    fn finish_chunk(self, span: &mut SpanBuilder) {
        let output = self.output.as_deref().and_then(Value::parse).unwrap_or_default();
        let error = output.get("error");
        if error.is_empty() || !output.get("toolCallId").is_null() {
            drop(output);
            return self.set_content(span);
        }
        let message = error.as_str().map_or_else(|| error.get("message").to_text(), str::to_owned);
        let kind = error.first(&["name", "type"]).as_str().unwrap_or("Error").to_owned();
        *span.exception() = Exception { kind, message: message.clone(), stack: error.text_at("stack") };
        span.set_kind(Rank::High, SpanKind::Llm);
        span.fail(Some(message));
    }

    /// One call of the model. The provider's response has what the output lacks, such as a refusal.
    fn finish_step(self, span: &mut SpanBuilder) {
        self.set_content(span);
        if let Some(body) = span.take_attribute("body") {
            span.set_output(Rank::Low, Value::Text(Cow::Owned(body)));
        }
    }

    /// The answer of an agent is `{"text": "…", "files": []}`.
    fn finish_agent(mut self, span: &mut SpanBuilder) {
        let text = self.output.as_deref().and_then(Value::parse).and_then(|output| output.text_at("text"));
        if let Some(content) = text {
            span.push_output(Rank::Normal, vec![Message { role: "assistant".into(), content, ..Message::default() }]);
            self.output = None;
        }
        self.set_content(span);
    }

    /// A query of a vector store; other operations have no documents.
    fn finish_vector_operation(self, span: &mut SpanBuilder) {
        let output = self.output.as_deref().and_then(Value::parse).unwrap_or_default();
        // A write returns the ids of its documents.
        let is_query = output.items().iter().all(|item| matches!(item, Value::Map(_)));
        let documents = documents_in(&output).filter(|documents| is_query && documents.iter().any(|document| !document.content.is_empty()));
        drop(output);
        if documents.is_some() {
            span.fields.documents = documents;
            span.set_kind(Rank::High, SpanKind::Retriever);
        }
        self.set_content(span);
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn the_steps_of_both_versions_are_model_calls() {
        let output = r#"{"text":"wait","toolCalls":[{"toolCallId":"c1","toolName":"f","args":{"x":1}}]}"#;
        let body = r#"{"choices":[{"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"refusal":"no","tool_calls":["[MaxDepth]"]}}]}"#;
        let old = span_with(&[
            ("mastra.span.type", "model_step"),
            (
                "input",
                r#"{"body":{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}}"#,
            ),
            ("output", output),
            ("body", body),
        ]);
        let new = span_with(&[
            ("mastra.span.type", "model_step"),
            ("mastra.model_step.input", r#"[{"role":"user","content":"hi"}]"#),
            ("mastra.model_step.output", output),
        ]);
        for span in [&old, &new] {
            assert_eq!((span.kind, span.input[0].content.as_str(), span.output[0].content.as_str()), (SpanKind::Llm, "hi", "wait"));
            assert_eq!(span.output[0].tool_calls[0].name, "f");
            assert_eq!((span.attribute("input"), span.attribute("output"), span.attribute("body")), (None, None, None));
        }
        assert_eq!((old.finish_reasons, old.tools_offered), (vec!["tool_calls".to_owned()], vec!["f".to_owned()]));
        assert_eq!((old.output[0].refusal.as_deref(), old.model.as_deref()), (Some("no"), Some("m")));
    }

    #[test]
    fn a_generation_is_a_model_call_only_if_no_other_span_is() {
        let content = r#"{"files":[],"reasoning":[],"text":"hello","warnings":[]}"#;
        let old = span_with(&[
            ("gen_ai.operation.name", "chat"),
            ("mastra.span.type", "model_generation"),
            ("output", content),
            ("gen_ai.completion", content),
            ("gen_ai.response.finish_reasons", "length"),
        ]);
        assert_eq!((old.kind, old.output[0].content.as_str(), old.finish_reasons[0].as_str()), (SpanKind::Llm, "hello", "length"));
        assert_eq!((old.output_text.as_deref(), old.attribute("gen_ai.completion")), (None, None));
        let new = span_with(&[("mastra.span.type", "model_generation"), ("mastra.model_generation.output", content)]);
        assert_eq!((new.kind, new.output_text.as_deref()), (SpanKind::Chain, Some(content)));
    }

    #[test]
    fn an_error_in_a_stream_fails_its_span() {
        let span = span_with(&[
            ("mastra.span.type", "model_chunk"),
            ("output", r#"{"type":"error","error":{"name":"AI_APICallError","message":"Bad Gateway"}}"#),
        ]);
        assert_eq!((span.kind, span.failed(), span.status_message.as_deref()), (SpanKind::Llm, true, Some("Bad Gateway")));
        assert_eq!(span.exceptions[0].kind, "AI_APICallError");
        let text = span_with(&[("mastra.span.type", "model_chunk"), ("output", r#"{"text":"an error"}"#)]);
        assert_eq!((text.kind, text.failed()), (SpanKind::Chain, false));
    }

    #[test]
    fn tools_and_agents_are_read() {
        let tool = span_with(&[
            ("mastra.span.type", "mcp_tool_call"),
            ("input", r#"{"x":1}"#),
            ("gen_ai.tool.input", r#"{"x":1}"#),
            ("output", "42"),
            ("gen_ai.tool.output", "42"),
            ("gen_ai.tool.name", "f"),
            ("error.type", "unknown"),
        ]);
        let used = tool.tool.unwrap();
        assert_eq!(
            (tool.kind, used.name.as_str(), used.arguments.as_str(), used.result.as_deref()),
            (SpanKind::Tool, "f", r#"{"x":1}"#, Some("42"))
        );
        assert_eq!(tool.error_type, None);
        let agent = span_with(&[
            ("mastra.span.type", "agent_run"),
            ("mastra.agent_run.input", "hi"),
            ("mastra.agent_run.output", r#"{"text":"hello","files":[]}"#),
        ]);
        assert_eq!((agent.kind, agent.input_text.as_deref(), agent.output[0].content.as_str()), (SpanKind::Agent, Some("hi"), "hello"));
    }

    #[test]
    fn a_query_of_a_vector_store_is_a_retriever() {
        let query = [
            ("mastra.span.type", "rag_vector_operation"),
            ("mastra.rag_vector_operation.output", r#"[{"id":"d1","score":0.5,"metadata":{"text":"a"}}]"#),
        ];
        let span = span_with(&query);
        assert_eq!((span.kind, span.documents.unwrap()[0].content.as_str()), (SpanKind::Retriever, "a"));
        let write = span_with(&[("mastra.span.type", "rag_vector_operation"), ("mastra.rag_vector_operation.output", r#"["d1","d2"]"#)]);
        assert_eq!(write.kind, SpanKind::Chain);
    }

    #[test]
    fn the_input_of_another_program_is_left_alone() {
        assert_eq!(span_with(&[("input", "hi"), ("mastra_like", "x")]).attribute("input"), Some("hi"));
    }
}
