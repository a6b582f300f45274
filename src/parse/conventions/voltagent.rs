//! `VoltAgent`, a framework for TypeScript.
//!
//! Specification: <https://voltagent.dev/observability-docs/>; checked against `@voltagent/core` 0.1, 1.2 and 2.10.
//!
//! ```json
//! {"entity.type": "agent", "entity.name": "desk", "agent.state": "completed", "input": "Where is A-17?", "output": "It is late.",
//!  "ai.response.finish_reason": "stop"}
//! {"entity.type": "agent", "span.type": "llm", "llm.operation": "generateText", "llm.model": "gpt-4o", "llm.tools": "lookup,refund",
//!  "llm.messages": "[{\"role\": \"user\", \"content\": \"Where is A-17?\"}]", "llm.finish_reason": "stop"}
//! {"entity.type": "agent", "span.type": "tool", "tool.name": "lookup", "tool.call.id": "c1", "input": "{\"id\": 17}", "output": "{…}"}
//! ```
//!
//! Quirks of real exporters:
//! - Only the span of the agent has the answer; a model call has neither text nor tool calls (2.10).
//! - One model call spans all steps of the loop. An unknown tool and arguments that do not parse leave no trace at all (2.10).
//! - `tool.parameters` is the schema of the tool, not its arguments (2.10).
//! - An agent that stops at its limit of steps has status OK, and the finish reason `tool-calls` (2.10).
//! - A cancelled workflow has status OK and the state `cancelled`.
//! - A retriever returns one text, and `null` if it finds nothing (2.10).
//! - Version 0.1 has no span of the model; that of the agent has `ai.prompt.messages` and `ai.response.text`, as in
//!   [`vercel_ai`](super::vercel_ai). Its tools have `tool.arguments` and `tool.result`.

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Document, Message, SpanKind};
use crate::parse::value::Value;

/// The convention of `VoltAgent`; see the [module docs](self).
pub(super) struct VoltAgent;

impl Convention for VoltAgent {
    fn name(&self) -> &'static str {
        "voltagent"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["entity", "span", "agent", "workflow", "llm", "tool", "ai", "voltagent"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(VoltAgentState::default())
    }
}

/// What makes a span one of `VoltAgent`: the type of its entity, with the type of the span or the state of a root.
#[derive(Default)]
struct VoltAgentState {
    has_entity: bool,
    span_type: Option<String>,
    agent_state: Option<String>,
    workflow_state: Option<String>,
    stopped_by_max_steps: bool,
    called_tools_last: bool,
}

impl ConventionState for VoltAgentState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "entity.type" => self.has_entity = matches!(value.as_str(), Some("agent" | "workflow")),
            "span.type" => self.span_type = value.as_str().map(str::to_owned),
            "agent.state" => self.agent_state = value.as_str().map(str::to_owned),
            "workflow.state" => self.workflow_state = value.as_str().map(str::to_owned),
            "voltagent.stopped_by_max_steps" => self.stopped_by_max_steps = matches!(value, Value::Bool(true)),
            "ai.response.finish_reason" => {
                self.called_tools_last = value.as_str() == Some("tool-calls");
                span.add_finish_reasons(Rank::Normal, value);
                return None;
            }
            "llm.messages" => return span.add_input_messages(Rank::High, value),
            "llm.model" => {
                span.set_model(Rank::Normal, value);
                return None;
            }
            "tool.call.id" => {
                span.tool().call_id = value.into_text();
                return None;
            }
            "tool.arguments" => {
                span.tool().arguments = value.into_text().unwrap_or_default();
                return None;
            }
            "tool.result" => {
                span.tool().result = value.into_text();
                return None;
            }
            _ => {}
        }
        Some(value)
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let is_root = self.agent_state.is_some() || self.workflow_state.is_some();
        if !self.has_entity || !(is_root || self.span_type.is_some()) {
            return;
        }
        let kind = self.span_kind();
        span.set_kind(Rank::High, kind);
        let (input, output) = (span.take_attribute("input"), span.take_attribute("output"));
        match kind {
            SpanKind::Agent => self.finish_agent(input, output, span),
            SpanKind::Tool => {
                let tool = span.tool();
                tool.arguments = input.unwrap_or_default();
                tool.result = output;
            }
            SpanKind::Retriever => finish_retriever(input, output, span),
            SpanKind::Llm => {
                if let Some(names) = span.take_attribute("llm.tools") {
                    span.fields.tools_offered = names.split(',').map(str::to_owned).collect();
                }
                set_content(input, output, span);
            }
            _ => set_content(input, output, span),
        }
        if self.workflow_state.as_deref() == Some("cancelled") {
            span.fail(Some("Workflow cancelled".into()));
        }
    }
}

impl VoltAgentState {
    fn span_kind(&self) -> SpanKind {
        match self.span_type.as_deref() {
            Some("llm") => SpanKind::Llm,
            Some("tool") => SpanKind::Tool,
            Some("retriever") => SpanKind::Retriever,
            Some("guardrail") => SpanKind::Guardrail,
            Some("embedding") => SpanKind::Embedding,
            Some("agent") => SpanKind::Agent,
            None if self.agent_state.is_some() => SpanKind::Agent,
            _ => SpanKind::Chain,
        }
    }

    /// The whole run: what the user asked, the instructions and the answer.
    fn finish_agent(&self, input: Option<String>, output: Option<String>, span: &mut SpanBuilder) {
        let instructions = span.take_attribute("agent.instructions").filter(|text| !text.is_empty());
        span.push_input(Rank::Normal, instructions.into_iter().map(|text| message("system", text)).collect());
        let asked = input.map(|text| Value::Text(Cow::Owned(text)));
        let plain = asked.and_then(|value| span.add_input_messages(Rank::Normal, value)).and_then(Value::into_text);
        span.push_input(Rank::Normal, plain.into_iter().map(|text| message("user", text)).collect());
        span.push_output(Rank::Normal, output.into_iter().map(|text| message("assistant", text)).collect());
        if self.stopped_by_max_steps && self.called_tools_last {
            let limit = span.take_attribute("voltagent.max_steps").unwrap_or_default();
            span.fail(Some(format!("stopped at the maximum number of steps, {limit}")));
        }
    }
}

/// A retriever returns one text; `null` if it found nothing.
fn finish_retriever(input: Option<String>, output: Option<String>, span: &mut SpanBuilder) {
    set_content(input, None, span);
    if let Some(content) = output {
        let found = (content != "null").then(|| Document { content, ..Document::default() });
        span.fields.documents = Some(found.into_iter().collect());
    }
}

fn set_content(input: Option<String>, output: Option<String>, span: &mut SpanBuilder) {
    if let Some(input) = input {
        span.set_input(Rank::Normal, Value::Text(Cow::Owned(input)));
    }
    if let Some(output) = output {
        span.set_output(Rank::Normal, Value::Text(Cow::Owned(output)));
    }
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.into(), content, ..Message::default() }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn the_agent_has_the_question_and_the_answer() {
        let agent = [("entity.type", "agent"), ("agent.state", "completed"), ("agent.instructions", "Be brief."), ("output", "hello")];
        for input in ["hi", r#"[{"role":"user","content":"hi"}]"#] {
            let span = span_with(&[&agent[..], &[("input", input), ("ai.response.finish_reason", "length")]].concat());
            let roles: Vec<_> = span.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
            assert_eq!((span.kind, roles), (SpanKind::Agent, vec![("system", "Be brief."), ("user", "hi")]));
            assert_eq!((span.output[0].content.as_str(), span.finish_reasons[0].as_str()), ("hello", "length"));
        }
    }

    #[test]
    fn a_model_call_is_read() {
        let span = span_with(&[
            ("entity.type", "agent"),
            ("span.type", "llm"),
            ("llm.model", "m"),
            ("llm.tools", "f,g"),
            ("llm.messages", r#"[{"role":"user","content":[{"type":"text","text":"hi"}]}]"#),
            ("llm.finish_reason", "stop"),
            ("llm.usage.prompt_tokens", "5"),
        ]);
        assert_eq!((span.kind, span.model.as_deref(), span.input[0].content.as_str()), (SpanKind::Llm, Some("m"), "hi"));
        assert_eq!(
            (span.tools_offered, span.finish_reasons, span.usage.input),
            (vec!["f".to_owned(), "g".to_owned()], vec!["stop".to_owned()], Some(5))
        );
        assert!(span.output.is_empty() && span.not_understood.is_empty());
    }

    #[test]
    fn the_schema_of_a_tool_is_not_its_arguments() {
        let tool = [
            ("entity.type", "agent"),
            ("span.type", "tool"),
            ("tool.name", "f"),
            ("tool.call.id", "c1"),
            ("tool.parameters", "{\"type\":\"object\"}"),
        ];
        let used = span_with(&[&tool[..], &[("input", "{}"), ("output", "42")]].concat()).tool.unwrap();
        assert_eq!((used.arguments.as_str(), used.result.as_deref(), used.call_id.as_deref()), ("{}", Some("42"), Some("c1")));
        assert_eq!(span_with(&tool).tool.unwrap().arguments, "");
        let old = span_with(&[("tool.name", "f"), ("tool.arguments", "{\"x\":1}"), ("tool.result", "42")]).tool.unwrap();
        assert_eq!((old.arguments.as_str(), old.result.as_deref()), ("{\"x\":1}", Some("42")));
    }

    #[test]
    fn a_retriever_without_a_text_found_nothing() {
        let found = |output| {
            span_with(&[("entity.type", "agent"), ("span.type", "retriever"), ("input", "q"), ("output", output)]).documents.unwrap()
        };
        assert_eq!((found("a text")[0].content.as_str(), found("null").len()), ("a text", 0));
    }

    #[test]
    fn an_agent_that_stops_at_its_limit_fails() {
        let stopped_after = |reason: &'static str| {
            let mut span = SpanMapper::new(crate::model::Span::default());
            for (key, value) in [("entity.type", "agent"), ("agent.state", "completed"), ("ai.response.finish_reason", reason)] {
                span.set_attribute(Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)));
            }
            span.set_attribute(Cow::Borrowed("voltagent.stopped_by_max_steps"), Value::Bool(true));
            span.finish()
        };
        assert_eq!((stopped_after("tool-calls").failed(), stopped_after("stop").failed()), (true, false));
    }

    #[test]
    fn the_input_of_another_program_is_left_alone() {
        let span = span_with(&[("input", "hi"), ("span.type", "llm"), ("tool.parameters", "{}")]);
        assert_eq!(span.attribute("input"), Some("hi"));
    }
}
