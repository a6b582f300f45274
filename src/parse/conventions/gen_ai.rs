//! OpenTelemetry's conventions for generative AI: attributes, events on the span, and events as log records.
//!
//! Specification: <https://opentelemetry.io/docs/specs/semconv/gen-ai/>, semantic conventions 1.37 (messages in attributes), and 1.30
//! (messages in events).
//!
//! ```json
//! {"gen_ai.operation.name": "chat", "gen_ai.provider.name": "openai", "gen_ai.request.model": "gpt-4o",
//!  "gen_ai.input.messages": "[{\"role\": \"user\", \"parts\": [{\"type\": \"text\", \"content\": \"Where is A-17?\"}]}]",
//!  "gen_ai.output.messages": "[{\"role\": \"assistant\", \"parts\": […], \"finish_reason\": \"tool_calls\"}]",
//!  "gen_ai.usage.input_tokens": 12, "gen_ai.response.finish_reasons": ["tool_calls"]}
//! ```
//!
//! Quirks of real exporters:
//! - Messages are JSON text (genai-openai 1.3b0, util-genai 0.4b0, OpenLLMetry 0.62); the specification also allows nested values.
//! - Attribute length limits of the SDK cut that JSON text off.
//! - Before 1.37 messages are in events, which [`gen_ai_events`](super::gen_ai_events) reads.
//! - Agent frameworks have operations of their own: `execute_event_loop_cycle` (Strands 1.62), `text_completions` (Semantic Kernel 1.45).
//! - Messages may be uploaded, with only a reference in `gen_ai.input.messages_ref` (genai-openai 1.3b0); the gather stage fetches the
//!   body.
//! - `gen_ai.prompt` and `gen_ai.completion` with the whole input and output (`LangSmith`, Mastra, `OpenRouter`, examples of `LangWatch`).
//! - OpenLLMetry 0.40 names the token counts `prompt_tokens` and `completion_tokens`.

use super::gen_ai_events::EventContent;
use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState, Scope};
use crate::model::SpanKind;
use crate::parse::value::Value;

/// The `GenAI` convention; see the [module docs](self).
pub(super) struct GenAi;

impl Convention for GenAi {
    fn name(&self) -> &'static str {
        "gen_ai"
    }

    fn scope(&self) -> Scope {
        Scope::Shared
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["gen_ai"]
    }

    fn reads_event(&self, name: &str) -> bool {
        name.starts_with("gen_ai.")
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(GenAiState::default())
    }
}

/// The content of the span's events, which counts only if its attributes have none.
#[derive(Default)]
struct GenAiState(Option<Box<EventContent>>);

impl ConventionState for GenAiState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let fields = &mut span.fields;
        match key {
            "gen_ai.operation.name" => {
                if let Some(kind) = value.as_str().and_then(span_kind) {
                    span.set_kind(Rank::Normal, kind);
                }
            }
            "gen_ai.provider.name" => span.set_provider(Rank::Normal, value),
            "gen_ai.system" => span.set_provider(Rank::Fallback, value),
            // Micrometer, and so Spring AI, writes `none` for an answer that did not come.
            "gen_ai.response.model" if value.as_str() == Some("none") => {}
            "gen_ai.response.model" => span.set_model(Rank::Low, value),
            "gen_ai.request.model" => span.set_model(Rank::Fallback, value),
            "gen_ai.response.finish_reasons" => span.add_finish_reasons(Rank::Normal, value),
            "gen_ai.response.finish_reason" => {
                let words = value.as_str().unwrap_or_default().split(',').map(|word| Value::Text(word.trim().to_owned().into())).collect();
                span.add_finish_reasons(Rank::Low, Value::List(words));
            }
            "gen_ai.usage.input_tokens" | "gen_ai.usage.prompt_tokens" => fields.usage.input = value.as_u64(),
            "gen_ai.usage.output_tokens" | "gen_ai.usage.completion_tokens" => fields.usage.output = value.as_u64(),
            "gen_ai.tool.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.id" => span.tool().call_id = value.into_text(),
            "gen_ai.tool.call.arguments" => span.tool().arguments = value.into_text().unwrap_or_default(),
            "gen_ai.tool.call.result" => span.tool().result = value.into_text(),
            "gen_ai.input.messages" => return span.add_input_messages(Rank::Normal, value),
            "gen_ai.output.messages" => return span.add_output_messages(Rank::Normal, value),
            // Whole values, of exporters that do not follow the specification.
            "gen_ai.prompt" => span.set_input(Rank::Low, value),
            "gen_ai.completion" => span.set_output(Rank::Low, value),
            "gen_ai.system_instructions" => span.set_system_prompt(&value),
            "gen_ai.tool.definitions" => return span.offer_tools(value),
            "gen_ai.retrieval.documents" => return span.set_documents(value),
            "gen_ai.retrieval.query.text" => fields.input_text = value.into_text(),
            _ => return Some(value),
        }
        None
    }

    fn add_event(&mut self, name: &str, attributes: Value<'_>, _span: &mut SpanBuilder) {
        self.0.get_or_insert_default().add_span_event(name, &attributes);
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if let Some(content) = self.0 {
            content.add_to(span);
        }
    }
}

/// The kind of an operation, of the specification or of an agent framework.
fn span_kind(operation: &str) -> Option<SpanKind> {
    /// Also of Semantic Kernel, azure-ai-projects and Gemini CLI.
    const LLM: [&str; 11] = [
        "llm_request",
        "chat",
        "text_completion",
        "generate_content",
        "completion",
        "fetch_response",
        "text_completions",
        "chat.completions",
        "text.completions",
        "responses",
        "llm_call",
    ];
    /// Also the runs on a server of azure-ai-agents.
    const AGENT: [&str; 8] = [
        "create_agent",
        "agent_call",
        "user_prompt",
        "plan",
        "start_thread_run",
        "get_thread_run",
        "process_thread_run",
        "submit_tool_outputs",
    ];
    /// Also records of a conversation on a server.
    const CHAIN: [&str; 12] = [
        "execute_task",
        "invoke_workflow",
        "agent_step",
        "rerank",
        "orchestrate_tools",
        "schedule_tool_calls",
        "create_thread",
        "create_message",
        "list_messages",
        "list_run_steps",
        "create_conversation",
        "list_conversation_items",
    ];
    match operation {
        _ if LLM.contains(&operation) => Some(SpanKind::Llm),
        _ if AGENT.contains(&operation) => Some(SpanKind::Agent),
        _ if CHAIN.contains(&operation) => Some(SpanKind::Chain),
        "execute_tool" | "tool_call" => Some(SpanKind::Tool),
        "retrieval" | "vector_db_retrieve" | "search_memory" | "memory.search" => Some(SpanKind::Retriever),
        "embeddings" => Some(SpanKind::Embedding),
        // Strands: `invoke_swarm`, `execute_event_loop_cycle`. Copilot: `execute_hook`.
        _ if operation.starts_with("invoke_") => Some(SpanKind::Agent),
        _ if operation.starts_with("execute_") => Some(SpanKind::Chain),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::SpanMapper;
    use super::*;
    use crate::model::{Message, Span, Status};

    #[test]
    fn messages_in_events_count_if_the_attributes_have_none() {
        let mut span = SpanMapper::new(Span::default());
        span.add_event("gen_ai.user.message", [text("gen_ai.event.content", r#"{"role":"user","content":"hi"}"#)]);
        span.add_event("gen_ai.system.message", [text("content", "Be brief.")]);
        span.add_event("gen_ai.choice", [text("gen_ai.event.content", r#"{"finish_reason":"length","message":{"content":"cut"}}"#)]);
        span.add_event("exception", [text("exception.type", "E"), text("exception.message", "m")]);
        let span = span.finish();
        assert_eq!(span.input.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["user", "system"]);
        assert_eq!((span.kind, span.output[0].content.as_str(), span.finish_reasons[0].as_str()), (SpanKind::Llm, "cut", "length"));
        assert_eq!(span.exceptions[0].kind, "E");
        let mut openlit = SpanMapper::new(Span::default());
        openlit.add_event("gen_ai.content.prompt", [text("gen_ai.prompt", r#"[{"role":"user","content":"old"}]"#)]);
        openlit.add_event("gen_ai.content.completion", [text("gen_ai.completion", "plain")]);
        let openlit = openlit.finish();
        assert_eq!((openlit.input[0].content.as_str(), openlit.output[0].content.as_str()), ("old", "plain"));
        let mut both = SpanMapper::new(Span::default());
        both.add_event("gen_ai.user.message", [text("content", "event")]);
        both.set_attribute("gen_ai.input.messages".into(), Value::Text(r#"[{"role":"user","content":"attribute"}]"#.into()));
        assert_eq!(both.finish().input[0].content, "attribute");
    }

    fn text(key: &'static str, value: &'static str) -> (Cow<'static, str>, Value<'static>) {
        (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)))
    }

    fn span(attributes: &[(&'static str, &'static str)], events: &[(&'static str, &[(&'static str, &'static str)])]) -> Span {
        let mut span = SpanMapper::new(Span { name: "step".into(), ..Span::default() });
        for (key, value) in attributes {
            span.set_attribute(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        for (name, attributes) in events {
            span.add_event(name, attributes.iter().map(|(key, value)| text(key, value)));
        }
        span.finish()
    }

    #[test]
    fn a_model_call_of_strands_has_blocks_in_events() {
        let call = span(
            &[("gen_ai.operation.name", "chat")],
            &[
                ("gen_ai.system.message", &[("content", r#"[{"text": "Be brief."}]"#)]),
                ("gen_ai.user.message", &[("content", r#"[{"text": "Where is A-17?"}]"#)]),
                (
                    "gen_ai.assistant.message",
                    &[("content", r#"[{"toolUse": {"toolUseId": "c1", "name": "lookup", "input": {"id": 17}}}]"#)],
                ),
                (
                    "gen_ai.tool.message",
                    &[("content", r#"[{"toolResult": {"toolUseId": "c1", "status": "success", "content": [{"text": "late"}]}}]"#)],
                ),
                ("gen_ai.choice", &[("finish_reason", "max_tokens"), ("message", r#"[{"text": "It is"}]"#)]),
            ],
        );
        let input: Vec<_> = call.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!(input, [("system", "Be brief."), ("user", "Where is A-17?"), ("assistant", ""), ("tool", "late")]);
        assert_eq!((call.input[2].tool_calls[0].name.as_str(), call.input[3].tool_call_id.as_deref()), ("lookup", Some("c1")));
        assert_eq!((call.output[0].content.as_str(), call.finish_reasons[0].as_str()), ("It is", "max_tokens"));
        let empty = span(&[("gen_ai.operation.name", "chat")], &[("gen_ai.choice", &[("finish_reason", "end_turn"), ("message", "[]")])]);
        assert_eq!(empty.output, [Message { role: "assistant".into(), ..Message::default() }]);
    }

    #[test]
    fn a_tool_of_strands_has_arguments_and_result_in_events() {
        let expected = |tool: Span| {
            let status = tool.status;
            let tool = tool.tool.unwrap();
            assert_eq!(
                (tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()),
                ("lookup", r#"{"id": 17}"#, Some("no such order"))
            );
            status
        };
        let attributes = [("gen_ai.operation.name", "execute_tool"), ("gen_ai.tool.name", "lookup"), ("gen_ai.tool.status", "error")];
        let status = expected(span(
            &attributes,
            &[
                ("gen_ai.tool.message", &[("role", "tool"), ("content", r#"{"id": 17}"#), ("id", "c1")]),
                ("gen_ai.choice", &[("message", r#"[{"text": "no such order"}]"#), ("id", "c1")]),
            ],
        ));
        assert_eq!(status, Status::Error);
        let details = "gen_ai.client.inference.operation.details";
        let latest = span(
            &attributes,
            &[
                (
                    details,
                    &[(
                        "gen_ai.input.messages",
                        r#"[{"role":"tool","parts":[{"type":"tool_call","name":"lookup","id":"c1","arguments":"{\"id\": 17}"}]}]"#,
                    )],
                ),
                (
                    details,
                    &[(
                        "gen_ai.output.messages",
                        r#"[{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":[{"text":"no such order"}]}]}]"#,
                    )],
                ),
            ],
        );
        expected(latest);
    }

    #[test]
    fn an_event_loop_cycle_is_no_model_call() {
        let cycle =
            span(&[("gen_ai.operation.name", "execute_event_loop_cycle")], &[("gen_ai.choice", &[("message", r#"[{"text": "late"}]"#)])]);
        assert_eq!(cycle.kind, SpanKind::Chain);
        assert_eq!(span(&[("gen_ai.operation.name", "invoke_swarm")], &[]).kind, SpanKind::Agent);
    }

    #[test]
    fn bodies_of_log_records_are_read() {
        let read = |name: &str, body: &str| {
            let mut content = EventContent::default();
            content.add(name, &Value::Text(Cow::Borrowed(body)));
            let mut span = Span::default();
            content.append_to(&mut span);
            span
        };
        // Semantic Kernel writes JSON text.
        let choice = read("gen_ai.choice", r#"{"message":{"role":"assistant","content":"late"},"finish_reason":"stop","index":0}"#);
        assert_eq!((choice.output[0].content.as_str(), choice.finish_reasons[0].as_str()), ("late", "stop"));
        assert_eq!(read("gen_ai.prompt", "Where is A-17?").input[0].content, "Where is A-17?");
        // Google ADK has Gemini's content below `content`, also of the model and of tools.
        let user = read(
            "gen_ai.user.message",
            r#"{"content":{"parts":[{"text":null,"function_call":{"name":"lookup","args":{"id":17}}}],"role":"model"}}"#,
        );
        assert_eq!((user.input[0].role.as_str(), user.input[0].tool_calls[0].name.as_str()), ("assistant", "lookup"));
        let choice =
            read("gen_ai.choice", r#"{"content":{"parts":[{"text":"It is"}],"role":"model"},"index":0,"finish_reason":"MAX_TOKENS"}"#);
        assert_eq!((choice.output[0].content.as_str(), choice.finish_reasons[0].as_str()), ("It is", "MAX_TOKENS"));
        let elided = read("gen_ai.choice", r#"{"content":"<elided>","index":0,"finish_reason":"STOP"}"#);
        assert_eq!((elided.output.len(), elided.finish_reasons.len()), (0, 1));
    }

    #[test]
    fn system_instructions_are_the_first_message() {
        let call = span(
            &[
                ("gen_ai.system_instructions", r#"[{"type":"text","content":"Be brief."}]"#),
                ("gen_ai.input.messages", r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]}]"#),
                ("gen_ai.response.finish_reason", "FinishReason.LENGTH,FinishReason.STOP"),
            ],
            &[],
        );
        assert_eq!(call.input.iter().map(|message| message.content.as_str()).collect::<Vec<_>>(), ["Be brief.", "hi"]);
        assert_eq!(call.finish_reasons, ["FinishReason.LENGTH", "FinishReason.STOP"]);
    }
}
