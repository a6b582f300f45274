//! OpenInference, the convention of Arize's instrumentations and of Phoenix.
//!
//! Specification: <https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md>, semantic conventions 0.1.
//!
//! ```json
//! {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o", "llm.provider": "openai",
//!  "llm.input_messages.0.message.role": "user", "llm.input_messages.0.message.content": "Where is A-17?",
//!  "llm.output_messages.0.message.tool_calls.0.tool_call.function.name": "lookup",
//!  "llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments": "{\"id\": 17}",
//!  "llm.token_count.prompt": 12, "input.value": "{\"messages\": […]}", "output.value": "{\"choices\": […]}"}
//! ```
//!
//! Lists are flattened to one attribute per leaf; a Phoenix data frame keeps them as one nested value whose keys contain dots.
//!
//! Quirks of real exporters:
//! - `LlamaIndex` 4.6 calls also the methods around a model call `LLM`, such as `predict`; they are chains here. The result of its tools is JSON with
//!   `raw_output` and `is_error`.
//! - `CrewAI` 1.1.21 and the agent of Haystack (0.1.46) have no spans of model calls; the span of the agent has all messages in `output.value`.
//! - `BeeAI` 0.1.30 has the causes of an error only in `output.value`, and spans for its events, with the kind of the span around them.
//! - smolagents 0.1.43 has roles of its own, `tool-call` and `tool-response`. The finish reason and the refusal are only in `raw`, Python's `repr` of
//!   the response inside `output.value`. A step whose tool call failed may have the status OK and an event `agent.step_recovery`.
//! - The finish reason is in `llm.finish_reason` (openai instrumentation 0.1.66, google-genai 1.4). Other exports have it only inside
//!   `output.value`, which is not searched for it.
//! - A `refusal` of OpenAI's API is only inside `output.value`; [`infer`](crate::parse::infer) finds it there.
//! - A retrieval that finds nothing has no `retrieval.documents` (langchain instrumentation).
//! - `tool.parameters` of a tool span is the parsed input and may be `{}` if the model's JSON does not parse; `input.value` has the text.

use std::borrow::Cow;

use super::indexed::split_index;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::{Exception, Message, SpanKind, last_segment};
use crate::parse::messages;
use crate::parse::value::Value;

/// The `OpenInference` convention; see the [module docs](self).
pub(super) struct OpenInference;

impl Convention for OpenInference {
    fn name(&self) -> &'static str {
        "openinference"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["openinference", "llm", "input", "output", "retrieval", "reranker", "tool", "tool_call", "embedding"]
    }

    fn reads_event(&self, name: &str) -> bool {
        name == "agent.step_recovery"
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(Self)
    }
}

impl ConventionState for OpenInference {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let fields = &mut span.fields;
        match key {
            "openinference.span.kind" => span.set_kind(Rank::High, value.as_str().and_then(span_kind).unwrap_or(SpanKind::Other)),
            "input.value" => fields.input_text = value.into_text(),
            "output.value" => fields.output_text = value.into_text(),
            "llm.model_name" | "embedding.model_name" => span.set_model(Rank::Normal, value),
            "llm.response.model_name" => span.set_model(Rank::Low, value),
            "llm.request.model_name" => span.set_model(Rank::Fallback, value),
            "reranker.query" => span.set_input(Rank::Low, value),
            "llm.function_call" => {
                let call = span.decode(&value).and_then(|tree| messages::tool_call(&tree));
                let Some(call) = call else { return Some(value) };
                span.push_output(Rank::Low, vec![Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() }]);
            }
            "llm.provider" => span.set_provider(Rank::High, value),
            "llm.system" => span.set_provider(Rank::Low, value),
            "llm.finish_reason" => span.add_finish_reasons(Rank::Normal, value),
            "llm.token_count.prompt" => fields.usage.input = value.as_u64(),
            "llm.token_count.completion" => fields.usage.output = value.as_u64(),
            "tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "tool.parameters" => {
                let tool = span.tool();
                if tool.arguments.is_empty() {
                    tool.arguments = value.into_text().unwrap_or_default();
                }
            }
            "tool_call.id" | "tool.id" => span.tool().call_id = value.into_text(),
            "llm.input_messages" | "llm.output_messages" => return set_messages(key, value, span),
            "retrieval.documents" => return span.set_documents(value),
            "llm.tools" => {
                offer_tools(&value, span);
                return Some(value);
            }
            _ => return set_indexed(key, value, span),
        }
        None
    }

    /// The error of a step that the agent may correct, which smolagents does not record as the status.
    fn add_event(&mut self, _name: &str, attributes: Value<'_>, span: &mut SpanBuilder) {
        let message = attributes.text_at("message").unwrap_or_default();
        span.fail(Some(message.clone()));
        span.fields.exceptions.push(Exception { kind: attributes.text_at("type").unwrap_or_default(), message, ..Exception::default() });
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        take_error_from_output(span);
        match span.fields.kind {
            // An event of BeeAI that became a span.
            SpanKind::Llm if span.fields.model.is_none() && span.fields.attribute("metadata.path").is_some() => {
                span.fields.kind = SpanKind::Chain;
            }
            SpanKind::Llm if is_wrapper(&span.fields.name) => span.fields.kind = SpanKind::Chain,
            SpanKind::Agent => add_agent_output(span),
            // Haystack's agent is a component like others.
            SpanKind::Chain if span.fields.name.ends_with("Agent.run") || span.fields.name.ends_with("Agent.run_async") => {
                span.fields.kind = SpanKind::Agent;
                add_agent_output(span);
            }
            _ => {}
        }
    }
}

/// Takes the error of a failed span from its output: `ChatModelError(beeai_framework.backend.errors): …` with all causes, where the exception has only
/// the outermost one.
fn take_error_from_output(span: &mut SpanBuilder) {
    let fields = &mut span.fields;
    let Some(kind) = fields.exceptions.last().map(|exception| format!("{}(", last_segment(&exception.kind))) else { return };
    if fields.failed() && fields.status_message.is_none() && fields.output_text.as_deref().is_some_and(|output| output.starts_with(&kind)) {
        fields.status_message = fields.output_text.take();
    }
}

/// The messages of an agent, of a framework that has no spans of model calls itself: `CrewAI`, and the agent of Haystack.
fn add_agent_output(span: &mut SpanBuilder) {
    let Some(text) = span.fields.output_text.as_deref().filter(|text| text.contains("\"messages\"")) else { return };
    let Some(task) = Value::parse(text).map(Value::into_owned) else { return };
    let Some(found) = messages::conversation(task.get("messages")) else { return };
    let mut messages = found.messages;
    let last = messages.pop_if(|message| message.role == "assistant");
    // The final answer of `CrewAI`, which is not always among the messages.
    let answer = task.text_at("raw").map(|content| Message { role: "assistant".into(), content, ..Message::default() });
    let Some(answer) = answer.or_else(|| last.clone()) else { return };
    if let Some(last) = last.filter(|last| last.content != answer.content) {
        messages.push(last);
    }
    span.push_input(Rank::Low, messages);
    span.push_output(Rank::Low, vec![answer]);
    span.add_finish_reasons(
        Rank::Fallback,
        Value::List(found.finish_reasons.into_iter().map(|reason| Value::Text(reason.into())).collect()),
    );
}

/// Whether a span that is called a model call only prepares or contains one: methods of `LlamaIndex`' class for models.
fn is_wrapper(name: &str) -> bool {
    const METHODS: [&str; 14] = [
        "_prepare_chat_with_tools",
        "_validate_chat_with_tools_response",
        "_extend_messages",
        "get_tool_calls_from_response",
        "chat_with_tools",
        "achat_with_tools",
        "predict",
        "apredict",
        "predict_and_call",
        "apredict_and_call",
        "structured_predict",
        "astructured_predict",
        "as_structured_llm",
        "class_name",
    ];
    name.rsplit_once('.').is_some_and(|(_, method)| METHODS.contains(&method))
}

/// `llm.output_messages.0.message.role`, `retrieval.documents.0.document.content`, `llm.tools.0.tool.json_schema`.
fn set_indexed<'v>(key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    if let Some((index, part)) = key.strip_prefix("llm.input_messages.").and_then(split_index) {
        return span.input_message(Rank::Normal, index).set(part.strip_prefix("message.").unwrap_or(part), value);
    }
    if let Some((index, part)) = key.strip_prefix("llm.output_messages.").and_then(split_index) {
        return span.output_message(Rank::Normal, index).set(part.strip_prefix("message.").unwrap_or(part), value);
    }
    if let Some((index, "prompt.text")) = key.strip_prefix("llm.prompts.").and_then(split_index) {
        let _ = span.input_message(Rank::Low, index).set("role", Value::Text("user".into()));
        return span.input_message(Rank::Low, index).set("content", value);
    }
    if let Some((index, "completion.text")) = key.strip_prefix("llm.choices.").and_then(split_index) {
        let _ = span.output_message(Rank::Low, index).set("role", Value::Text("assistant".into()));
        return span.output_message(Rank::Low, index).set("content", value);
    }
    if let Some((index, part)) = key.strip_prefix("retrieval.documents.").and_then(split_index) {
        let document = span.document(index);
        match part.strip_prefix("document.").unwrap_or(part) {
            "content" => document.content = value.into_text().unwrap_or_default(),
            "id" => document.id = value.into_text(),
            "score" => document.score = value.as_f64(),
            _ => return Some(value),
        }
        return None;
    }
    if let Some((_, "tool.json_schema")) = key.strip_prefix("llm.tools.").and_then(split_index) {
        span.fields.tools_offered.extend(value.tree().and_then(|tree| messages::tool_name(&tree)));
    }
    Some(value)
}

/// All messages in one attribute, as Phoenix' data frames have them.
fn set_messages<'v>(key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    let found = span.decode(&value).and_then(|tree| messages::from_tree(&without_message_prefix(&tree)));
    let Some((messages, finish_reasons)) = found else { return Some(value) };
    if key == "llm.input_messages" {
        span.push_input(Rank::Normal, messages);
    } else {
        span.push_output(Rank::Normal, messages);
        span.add_finish_reasons(Rank::Low, Value::List(finish_reasons.into_iter().map(|reason| Value::Text(Cow::Owned(reason))).collect()));
    }
    None
}

/// The names in a list of tool definitions, `[{"tool.json_schema": "{…}"}]`.
fn offer_tools(value: &Value<'_>, span: &mut SpanBuilder) {
    let tree = value.tree();
    let schemas = tree.iter().flat_map(|tree| tree.items()).filter_map(|tool| tool.first(&["tool.json_schema", "json_schema"]).tree());
    span.fields.tools_offered.extend(schemas.filter_map(|schema| messages::tool_name(&schema)));
}

/// The kind of a span, from a word of OpenInference.
pub(in crate::parse) fn span_kind(word: &str) -> Option<SpanKind> {
    match word.to_ascii_uppercase().as_str() {
        "PROMPT" | "EVALUATOR" | "RERANKER" => Some(SpanKind::Chain),
        other => SpanKind::from_word(other),
    }
}

/// Removes the prefixes of nested keys (`message.role`, `tool_call.function.name`), so that one reader understands all chat messages.
fn without_message_prefix<'v>(tree: &'v Value<'_>) -> Value<'v> {
    match tree {
        Value::List(items) => Value::List(items.iter().map(without_message_prefix).collect()),
        Value::Map(fields) => {
            let renamed = fields.iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| {
                let name = ["message.", "tool_call.", "message_content."].iter().find_map(|prefix| key.strip_prefix(prefix)).unwrap_or(key);
                let name = name.strip_prefix("function.").unwrap_or(name);
                (Cow::Borrowed(if name == "contents" { "parts" } else { name }), without_message_prefix(value))
            });
            Value::Map(renamed.collect())
        }
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn flattened_messages_are_joined() {
        let span = span_with(&[
            ("openinference.span.kind", "LLM"),
            ("llm.output_messages.0.message.role", "assistant"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.name", "f"),
            ("llm.output_messages.0.message.tool_calls.0.tool_call.function.arguments", "{\"x\""),
            ("llm.output_messages.999999999.message.role", "hostile"),
            ("user.id", "u"),
        ]);
        assert_eq!(span.kind, SpanKind::Llm);
        assert_eq!(span.output.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["assistant", "hostile"]);
        assert_eq!(span.output[0].tool_calls[0].arguments, "{\"x\"");
        assert_eq!(span.attribute("user.id"), Some("u"));
    }

    #[test]
    fn old_function_calls_prompts_and_choices_are_read() {
        let span = span_with(&[
            ("openinference.span.kind", "LLM"),
            ("llm.prompts.0.prompt.text", "Where is A-17?"),
            ("llm.output_messages.0.message.role", "assistant"),
            ("llm.output_messages.0.message.function_call_name", "lookup"),
            ("llm.output_messages.0.message.function_call_arguments_json", "{\"id\": 17}"),
        ]);
        assert_eq!((span.input[0].role.as_str(), span.input[0].content.as_str()), ("user", "Where is A-17?"));
        assert_eq!(
            (span.output[0].tool_calls[0].name.as_str(), span.output[0].tool_calls[0].arguments.as_str()),
            ("lookup", "{\"id\": 17}")
        );
        let completion = span_with(&[("openinference.span.kind", "LLM"), ("llm.choices.0.completion.text", "late")]);
        assert_eq!((completion.output[0].role.as_str(), completion.output[0].content.as_str()), ("assistant", "late"));
    }

    #[test]
    fn the_response_in_python_repr_of_smolagents_is_read() {
        let span = span_with(&[
            ("openinference.span.kind", "LLM"),
            ("llm.output_messages.0.message.role", "assistant"),
            (
                "output.value",
                r#"{"role": "assistant", "content": null, "tool_calls": null, "raw": "ChatCompletion(id='c1', choices=[Choice(finish_reason='length', index=0, logprobs=None, message=ChatCompletionMessage(content=None, refusal=\"I can't help with that.\", role='assistant', tool_calls=None))], created=1, model='m', usage=CompletionUsage(completion_tokens=12, prompt_tokens=804))"}"#,
            ),
        ]);
        assert_eq!(
            (span.finish_reasons.as_slice(), span.output[0].refusal.as_deref()),
            (&["length".to_owned()][..], Some("I can't help with that."))
        );
    }

    #[test]
    fn the_outcome_of_a_tool_is_taken_from_its_envelope() {
        let failed = span_with(&[
            ("openinference.span.kind", "TOOL"),
            ("tool.name", "lookup"),
            (
                "output.value",
                r#"{"blocks":[{"text":"no such order"}],"tool_name":"lookup","raw_input":{"kwargs":{"id":17}},"raw_output":"no such order","is_error":true}"#,
            ),
        ]);
        assert_eq!((failed.failed(), failed.tool.unwrap().result.as_deref()), (true, Some("no such order")));
        let google = span_with(&[
            ("openinference.span.kind", "TOOL"),
            ("output.value", r#"{"id":"c1","name":"lookup","response":{"result":"late"}}"#),
        ]);
        let tool = google.tool.unwrap();
        assert_eq!((tool.result.as_deref(), tool.call_id.as_deref()), (Some("late"), Some("c1")));
    }

    #[test]
    fn a_method_around_a_model_call_is_a_chain() {
        let kind = |name: &str| {
            let mut span = super::super::SpanMapper::new(crate::model::Span { name: name.into(), ..crate::model::Span::default() });
            span.set_attribute("openinference.span.kind".into(), Value::Text("LLM".into()));
            span.finish().kind
        };
        assert_eq!(
            (kind("OpenAILike.predict"), kind("OpenAILike.achat"), kind("ChatCompletion")),
            (SpanKind::Chain, SpanKind::Llm, SpanKind::Llm)
        );
    }

    #[test]
    fn an_agent_of_crewai_has_the_messages_of_its_task() {
        let agent = span_with(&[
            ("openinference.span.kind", "AGENT"),
            (
                "output.value",
                r#"{"description": "Where is A-17?", "raw": "It is late.", "output_format": "raw", "messages": [{"role": "user", "content": "Where is A-17?"}, {"role": "tool", "content": "Error: no such order", "tool_call_id": "c1"}, {"role": "assistant", "content": "It is late."}]}"#,
            ),
        ]);
        assert_eq!((agent.input.len(), agent.output[0].content.as_str()), (2, "It is late."));
    }

    #[test]
    fn an_error_that_the_agent_may_correct_fails_the_step() {
        let mut step = super::super::SpanMapper::new(crate::model::Span { name: "Step 2".into(), ..crate::model::Span::default() });
        step.add_event(
            "agent.step_recovery",
            [("type".into(), Value::Text("AgentToolCallError".into())), ("message".into(), Value::Text("bad argument".into()))],
        );
        let step = step.finish();
        assert_eq!((step.failed(), step.exceptions[0].kind.as_str()), (true, "AgentToolCallError"));
    }

    #[test]
    fn the_causes_of_an_error_are_taken_from_the_output() {
        let mut span =
            super::super::SpanMapper::new(crate::model::Span { status: crate::model::Status::Error, ..crate::model::Span::default() });
        span.set_attribute(
            "output.value".into(),
            Value::Text(
                "ChatModelError(beeai.errors): Chat Model error\n  AuthenticationError(litellm.exceptions): Incorrect API key".into(),
            ),
        );
        span.add_event(
            "exception",
            [
                ("exception.type".into(), Value::Text("beeai.errors.ChatModelError".into())),
                ("exception.message".into(), Value::Text("Chat Model error".into())),
            ],
        );
        assert!(span.finish().status_message.unwrap().contains("Incorrect API key"));
    }
}
