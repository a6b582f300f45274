//! Haystack's tracing of pipelines, components, agents and tools.
//!
//! Specification: <https://docs.haystack.deepset.ai/docs/tracing>; checked against haystack-ai 2.6, 2.12, 2.17, 2.22 and 3.4. Contents are recorded with
//! `HAYSTACK_CONTENT_TRACING_ENABLED=true` only.
//!
//! ```json
//! {"haystack.component.name": "llm", "haystack.component.type": "OpenAIChatGenerator",
//!  "haystack.component.input": "{\"messages\": [{\"role\": \"user\", \"content\": [{\"text\": \"Where is A-17?\"}]}]}",
//!  "haystack.component.output": "{\"replies\": [{\"role\": \"assistant\", \"meta\": {\"finish_reason\": \"stop\"}, \"content\": […]}]}"}
//! {"haystack.tool.name": "lookup", "haystack.agent.step.tool.input": "{\"id\": 17}", "haystack.agent.step.tool.output": "late",
//!  "haystack.tool.error": true}
//! ```
//!
//! All spans of one kind have the same name, `haystack.component.run`; the type of the component determines what it does.
//!
//! Quirks of real exporters:
//! - Values are JSON text, or Python's `repr` of the objects if they are not serializable (2.6 to 3.4).
//! - Messages are `{role, content, meta}` with text (2.6), `{_role, _content, _meta}` (2.9 to 2.17) or `{role, content, meta}` with parts.
//! - A failed component is wrapped into a `PipelineRuntimeError`, whose text contains the cause after `Error: `.
//! - A tool that fails has no error status, but `haystack.tool.error` and its error as output (3.x). Before, tools have no spans: the component
//!   `ToolInvoker` runs all calls of one answer, and its output has the errors.
//! - Asynchronous pipelines write `haystack.component.outputs` (2.12).
//! - An agent that reaches its limit of steps returns its state without an error; 3.x adds `exit_reason`.
//! - A human decision about a tool call, `haystack.agent.hook.human_in_the_loop.strategy`, has the name of the tool too (3.x).

use std::borrow::Cow;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::SpanKind;
use crate::parse::messages;
use crate::parse::value::Value;

/// The Haystack convention; see the [module docs](self).
pub(super) struct Haystack;

impl Convention for Haystack {
    fn name(&self) -> &'static str {
        "haystack"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["haystack"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(HaystackState::default())
    }
}

#[derive(Default)]
struct HaystackState {
    component_type: Option<String>,
    /// Of what the span is, by the names of its attributes and by its own.
    step: Option<SpanKind>,
    input: Value<'static>,
    output: Value<'static>,
    tool_name: Option<String>,
    tool_failed: bool,
    max_steps: Option<u64>,
    steps_taken: Option<u64>,
}

impl ConventionState for HaystackState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let Some(name) = key.strip_prefix("haystack.") else { return Some(value) };
        let step = match name {
            _ if name.starts_with("agent.hook") => Some(SpanKind::Chain),
            _ if name.starts_with("agent.step.tool") => Some(SpanKind::Tool),
            _ if name.starts_with("agent.step.llm") => Some(SpanKind::Llm),
            "tool.description" | "tool.error" => Some(SpanKind::Tool),
            "agent.step" => Some(SpanKind::Chain),
            _ if name.starts_with("pipeline.") => Some(SpanKind::Chain),
            _ if name.starts_with("agent.") => Some(SpanKind::Agent),
            _ => None,
        };
        self.step = self.step.or(step);
        match name {
            "component.type" => {
                self.component_type = value.as_str().map(str::to_owned);
                return Some(value);
            }
            "component.input" | "pipeline.input_data" | "agent.input" | "agent.step.llm.input" | "agent.step.tool.input" => {
                self.input = value.into_owned();
            }
            "component.output"
            | "component.outputs"
            | "pipeline.output_data"
            | "agent.output"
            | "agent.step.llm.output"
            | "agent.step.tool.output" => {
                self.output = value.into_owned();
            }
            "tool.name" => self.tool_name = value.into_text(),
            "tool.error" => {
                self.tool_failed =
                    matches!(value, Value::Bool(true)) || value.as_str().is_some_and(|word| word.eq_ignore_ascii_case("true"))
            }
            "agent.tools" => return span.offer_tools(value),
            "agent.max_steps" => {
                self.max_steps = value.as_u64();
                return Some(value);
            }
            "agent.steps_taken" => {
                self.steps_taken = value.as_u64();
                return Some(value);
            }
            _ => return Some(value),
        }
        None
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        let by_name = match span.fields.name.as_str() {
            "haystack.agent.step.tool" => Some(SpanKind::Tool),
            "haystack.agent.step.llm" => Some(SpanKind::Llm),
            _ => None,
        };
        let kind = by_name.or(self.step).or_else(|| self.component_type.as_deref().map(component_kind)).unwrap_or(SpanKind::Chain);
        span.set_kind(Rank::High, kind);
        match kind {
            SpanKind::Tool if self.component_type.is_some() => self.finish_tool_invoker(span),
            SpanKind::Tool => self.finish_tool(span),
            SpanKind::Agent => self.finish_agent(span),
            SpanKind::Retriever if !self.output.is_null() => {
                span.set_input(Rank::High, query(self.input));
                if let Some(unread) = span.set_documents(self.output) {
                    span.set_output(Rank::High, unread);
                }
            }
            SpanKind::Llm => {
                span.set_input(Rank::High, self.input);
                span.set_output(Rank::High, with_meta(self.output));
            }
            _ => {
                span.set_input(Rank::High, self.input);
                span.set_output(Rank::High, self.output);
            }
        }
    }
}

impl HaystackState {
    fn finish_tool(self: Box<Self>, span: &mut SpanBuilder) {
        if let Some(name) = self.tool_name {
            span.tool().name = name;
        }
        span.set_input(Rank::High, self.input);
        if self.tool_failed {
            let error = self.output.tree().and_then(|output| output.text_at("error")).or_else(|| self.output.as_str().map(str::to_owned));
            span.fail(error);
        }
        span.set_output(Rank::High, self.output);
    }

    /// The component runs all tool calls of one answer. A span has one tool, so it shows the first failed call, or the first.
    fn finish_tool_invoker(self: Box<Self>, span: &mut SpanBuilder) {
        let outcomes: Vec<_> = self
            .output
            .any_tree()
            .map_or_else(Vec::new, |output| output.get("tool_messages").items().iter().filter_map(messages::tool_outcome).collect());
        let Some(outcome) = outcomes.iter().find(|outcome| outcome.failed).or(outcomes.first()) else {
            span.set_input(Rank::High, self.input);
            span.set_output(Rank::High, self.output);
            return;
        };
        if outcome.failed {
            span.fail(Some(outcome.result.clone()));
        }
        let calls = self.input.any_tree().and_then(|input| messages::conversation(&input));
        let mut calls = calls.into_iter().flat_map(|found| found.messages).flat_map(|message| message.tool_calls);
        let call = calls.find(|call| call.id == outcome.call_id && outcome.name.as_ref().is_none_or(|name| *name == call.name));
        let tool = span.tool();
        tool.name = outcome.name.clone().unwrap_or_default();
        tool.call_id.clone_from(&outcome.call_id);
        tool.result = Some(outcome.result.clone());
        tool.arguments = call.map(|call| call.arguments).unwrap_or_default();
    }

    /// The output of an agent is its state; its answer is the last message.
    fn finish_agent(self: Box<Self>, span: &mut SpanBuilder) {
        span.set_input(Rank::High, self.input);
        let state = self.output.any_tree();
        let last = state.as_deref().and_then(|state| match state.get("last_message") {
            Value::Null => state.get("messages").items().last(),
            last => Some(last),
        });
        let last = last.and_then(messages::message).unwrap_or_default();
        let exit_reason = state.as_deref().and_then(|state| state.text_at("exit_reason"));
        let took_all_steps = self.max_steps.is_some() && self.steps_taken >= self.max_steps;
        // Before 3.x the state has no reason. An agent whose last message is an answer ended by itself.
        let has_answer = last.role == "assistant" && last.tool_calls.is_empty();
        match exit_reason.as_deref() {
            Some("max_agent_steps") => span.fail(Some("exit_reason: max_agent_steps".to_owned())),
            None if took_all_steps && state.is_some() && !has_answer => {
                span.fail(Some("steps_taken = max_steps, without an answer".to_owned()))
            }
            _ => {}
        }
        let answer = if last.content.is_empty() { None } else { Some(Value::Text(Cow::Owned(last.content))) };
        drop(state);
        span.set_output(Rank::High, answer.unwrap_or(self.output));
    }
}

/// The kind of a component by its type, whose last words name what it does: `OpenAIChatGenerator`.
fn component_kind(type_name: &str) -> SpanKind {
    let ends_with = |words: &[&str]| words.iter().any(|word| type_name.ends_with(word));
    if ends_with(&["ImageGenerator"]) {
        SpanKind::Chain
    } else if ends_with(&["Generator"]) {
        SpanKind::Llm
    } else if ends_with(&["Retriever", "WebSearch", "Search"]) {
        SpanKind::Retriever
    } else if ends_with(&["Embedder"]) {
        SpanKind::Embedding
    } else if ends_with(&["ToolInvoker"]) {
        SpanKind::Tool
    } else if ends_with(&["Agent"]) {
        SpanKind::Agent
    } else {
        SpanKind::Chain
    }
}

/// The query of a retriever, if it is all that its input has.
fn query(input: Value<'static>) -> Value<'static> {
    let text = input.any_tree().and_then(|input| input.text_at("query"));
    text.map_or(input, |text| Value::Text(Cow::Owned(text)))
}

/// A generator without chat returns `{"replies": ["text"], "meta": [{"finish_reason": "stop"}]}`: one message per reply.
fn with_meta(output: Value<'static>) -> Value<'static> {
    let messages = output.any_tree().and_then(|tree| {
        let (replies, meta) = (tree.get("replies").items(), tree.get("meta").items());
        if replies.is_empty() || !replies.iter().all(|reply| reply.as_str().is_some()) {
            return None;
        }
        let message = |(number, reply): (usize, &Value<'_>)| {
            let fields = [
                ("role", Value::Text(Cow::Borrowed("assistant"))),
                ("content", reply.clone().into_owned()),
                ("meta", meta.get(number).cloned().unwrap_or_default().into_owned()),
            ];
            Value::Map(fields.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
        };
        Some(Value::List(replies.iter().enumerate().map(message).collect()))
    });
    messages.unwrap_or(output)
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;
    use crate::model::Status;

    #[test]
    fn the_type_of_a_component_is_its_kind() {
        for (type_name, kind) in [
            ("OpenAIChatGenerator", SpanKind::Llm),
            ("FallbackChatGenerator", SpanKind::Llm),
            ("InMemoryBM25Retriever", SpanKind::Retriever),
            ("SerperDevWebSearch", SpanKind::Retriever),
            ("SentenceTransformersTextEmbedder", SpanKind::Embedding),
            ("TransformersSimilarityRanker", SpanKind::Chain),
            ("ToolInvoker", SpanKind::Tool),
            ("Agent", SpanKind::Agent),
            ("PromptBuilder", SpanKind::Chain),
            ("DALLEImageGenerator", SpanKind::Chain),
        ] {
            assert_eq!(span_with(&[("haystack.component.type", type_name)]).kind, kind, "{type_name}");
        }
        assert_eq!(span_with(&[("haystack.agent.max_steps", "8")]).kind, SpanKind::Agent);
        assert_eq!(span_with(&[("haystack.agent.step", "0")]).kind, SpanKind::Chain);
    }

    #[test]
    fn messages_of_every_version_are_read() {
        for (version, output) in [
            (
                "2.6",
                r#"{"replies":[{"content":"late","role":"assistant","name":null,"meta":{"model":"m","finish_reason":"length","usage":{"prompt_tokens":5,"completion_tokens":6}}}]}"#,
            ),
            (
                "2.12",
                r#"{"replies":[{"_role":"assistant","_content":[{"text":"late"}],"_name":null,"_meta":{"finish_reason":"length","usage":{"prompt_tokens":5,"completion_tokens":6}}}]}"#,
            ),
            (
                "3.4",
                r#"{"replies":[{"role":"assistant","meta":{"finish_reason":"length","usage":{"prompt_tokens":5,"completion_tokens":6}},"name":null,"content":[{"text":"late"}]}]}"#,
            ),
            (
                "repr",
                "{'replies': [ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[TextContent(text='late')], _name=None, _meta={'finish_reason': 'length', 'usage': {'prompt_tokens': 5, 'completion_tokens': 6}})]}",
            ),
            (
                "without chat",
                r#"{"replies":["late"],"meta":[{"model":"m","finish_reason":"length","usage":{"prompt_tokens":5,"completion_tokens":6}}]}"#,
            ),
        ] {
            let span = span_with(&[("haystack.component.type", "OpenAIChatGenerator"), ("haystack.component.output", output)]);
            assert_eq!((span.output[0].role.as_str(), span.output[0].content.as_str()), ("assistant", "late"), "{version}");
            assert_eq!((span.finish_reasons.as_slice(), span.usage.output), (&["length".to_owned()][..], Some(6)), "{version}");
        }
        let prompt = span_with(&[
            ("haystack.component.type", "OpenAIGenerator"),
            ("haystack.component.input", r#"{"prompt":"hi","generation_kwargs":null}"#),
        ]);
        assert_eq!((prompt.input[0].role.as_str(), prompt.input[0].content.as_str()), ("user", "hi"));
    }

    #[test]
    fn a_failed_tool_has_its_error_as_output() {
        let mut mapper =
            super::super::SpanMapper::new(crate::model::Span { name: "haystack.agent.step.tool".into(), ..crate::model::Span::default() });
        mapper.set_attribute("haystack.tool.name".into(), Value::Text("lookup".into()));
        mapper.set_attribute("haystack.agent.step.tool.input".into(), Value::Text(r#"{"id":17}"#.into()));
        mapper.set_attribute("haystack.tool.error".into(), Value::Bool(true));
        mapper.set_attribute("haystack.agent.step.tool.output".into(), Value::Text(r#"{"error":"no such order"}"#.into()));
        let span = mapper.finish();
        assert_eq!((span.kind, span.status, span.status_message.as_deref()), (SpanKind::Tool, Status::Error, Some("no such order")));
        let tool = span.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.arguments.as_str()), ("lookup", r#"{"id":17}"#));
        let decision = span_with(&[("haystack.tool.name", "lookup"), ("haystack.agent.hook.human_in_the_loop.strategy.type", "x.Ask")]);
        assert_eq!((decision.kind, decision.tool), (SpanKind::Chain, None));
    }

    #[test]
    fn a_tool_invoker_shows_the_call_that_failed() {
        let call = |id: &str, name: &str| format!(r#"{{"tool_call":{{"tool_name":"{name}","arguments":{{"id":17}},"id":"{id}"}}}}"#);
        let result = |id: &str, name: &str, text: &str, error: bool| {
            format!(
                r#"{{"_role":"tool","_content":[{{"tool_call_result":{{"result":"{text}","error":{error},"origin":{{"tool_name":"{name}","arguments":{{"id":17}},"id":"{id}"}}}}}}]}}"#
            )
        };
        let input = format!(r#"{{"messages":[{{"_role":"assistant","_content":[{},{}]}}]}}"#, call("c1", "f"), call("c2", "g"));
        let output = format!(r#"{{"tool_messages":[{},{}]}}"#, result("c1", "f", "late", false), result("c2", "g", "no such order", true));
        let mut mapper = super::super::SpanMapper::new(crate::model::Span::default());
        for (key, value) in [
            ("haystack.component.type", "ToolInvoker".to_owned()),
            ("haystack.component.input", input),
            ("haystack.component.output", output),
        ] {
            mapper.set_attribute(key.into(), Value::Text(value.into()));
        }
        let span = mapper.finish();
        assert_eq!((span.status, span.status_message.as_deref()), (Status::Error, Some("no such order")));
        let tool = span.tool.unwrap();
        assert_eq!((tool.name.as_str(), tool.call_id.as_deref(), tool.arguments.as_str()), ("g", Some("c2"), r#"{"id":17}"#));
        assert_eq!(tool.result.as_deref(), Some("no such order"));
    }

    #[test]
    fn an_agent_that_used_all_steps_has_no_answer() {
        let agent = |output: &'static str| {
            span_with(&[("haystack.agent.max_steps", "2"), ("haystack.agent.steps_taken", "2"), ("haystack.agent.output", output)])
        };
        let newer = agent(r#"{"messages":[{"role":"assistant","content":[{"text":"hm"}]}],"exit_reason":"max_agent_steps"}"#);
        assert_eq!(
            (newer.kind, newer.status, newer.status_message.as_deref()),
            (SpanKind::Agent, Status::Error, Some("exit_reason: max_agent_steps"))
        );
        let older = agent(
            r#"{"messages":[{"_role":"tool","_content":[{"tool_call_result":{"result":"late","error":false,"origin":{"tool_name":"f","arguments":{}}}}]}]}"#,
        );
        assert_eq!(older.status, Status::Error);
        let answered = agent(r#"{"messages":[{"role":"assistant","content":[{"text":"It is late."}]}],"exit_reason":"text"}"#);
        assert_eq!((answered.status, answered.output_text.as_deref()), (Status::Unset, Some("It is late.")));
    }

    #[test]
    fn documents_that_cannot_be_read_are_not_nothing() {
        let retriever = |output: &'static str| {
            span_with(&[("haystack.component.type", "InMemoryBM25Retriever"), ("haystack.component.output", output)])
        };
        assert_eq!(retriever(r#"{"documents":[{"id":"d1","content":"late","score":5.8}]}"#).documents.unwrap()[0].content, "late");
        assert_eq!(retriever(r#"{"documents":[]}"#).documents, Some(Vec::new()));
        let unread = retriever("<unserializable>");
        assert_eq!((unread.documents, unread.unread_fields), (None, 1));
    }
}
