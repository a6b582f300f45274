//! The Vercel AI SDK for TypeScript.
//!
//! Specification: <https://ai-sdk.dev/docs/ai-sdk-core/telemetry#collected-data>; checked against `ai` 3.2, 3.4, 4.3, 5.0 and 6.0, and
//! `LegacyOpenTelemetry` of `@ai-sdk/otel` 1.0 for `ai` 7.0.
//!
//! ```json
//! {"ai.operationId": "ai.generateText.doGenerate", "ai.model.provider": "openai.chat", "ai.model.id": "gpt-4o",
//!  "ai.prompt.messages": "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Where is A-17?\"}]}]",
//!  "ai.response.finishReason": "tool-calls",
//!  "ai.response.toolCalls": "[{\"toolCallId\": \"c1\", \"toolName\": \"lookup\", \"input\": \"{\\\"id\\\": 17}\"}]"}
//! {"ai.operationId": "ai.toolCall", "ai.toolCall.name": "lookup", "ai.toolCall.id": "c1", "ai.toolCall.args": "{\"id\": 17}",
//!  "ai.toolCall.result": "{\"status\": \"late\"}"}
//! ```
//!
//! `ai.generateText` and its siblings span the whole loop, `….doGenerate` and `….doStream` one call of the model. The default exporter of
//! `ai` 7.0 follows [`gen_ai`](super::gen_ai).
//!
//! Quirks of real exporters:
//! - Before 3.3 there is no `ai.operationId`; `operation.name` starts with the same word, and `functionId` may follow it.
//! - Results were `ai.result.text`, `ai.result.object`, `ai.result.toolCalls` and `ai.finishReason` before 3.3, and both until 3.4.
//! - An answer without text has no `ai.response.text` (4.3 and later), so an empty answer is only recognized by its finish reason.
//! - Arguments of a tool call that do not parse are in `ai.response.toolCalls` as the model wrote them. Up to 4.3 such a call, and that of an
//!   unknown tool, fails `ai.generateText`; later versions only answer it with an error in the next `ai.prompt.messages`.
//! - An error in the middle of a stream sets only the finish reason `error` (6.0). A cancelled stream has no finish reason (6.0).
//! - `ai.toolCall.result` is JSON also for a text, which therefore is in quotes.
//! - `@arizeai/openinference-vercel` 2.8 adds [`openinference`](super::openinference) to the same spans, without tool results of its own.

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{Message, SpanKind};
use crate::parse::messages;
use crate::parse::value::Value;

/// The convention of the Vercel AI SDK; see the [module docs](self).
pub(super) struct VercelAi;

impl Convention for VercelAi {
    fn name(&self) -> &'static str {
        "vercel_ai"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["ai", "operation"]
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(VercelAiState::default())
    }
}

/// What the answer of one span consists of, and what tells an empty answer from one that was not recorded.
#[derive(Default)]
struct VercelAiState {
    /// `ai.generateText.doGenerate`
    operation: String,
    has_prompt: bool,
    has_finish_reason: bool,
    answer: Option<Message>,
}

impl ConventionState for VercelAiState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "ai.operationId" | "operation.name" => {
                self.set_operation(&value, span);
                return Some(value);
            }
            "ai.prompt.messages" => {
                self.has_prompt = true;
                return add_prompt_messages(value, span);
            }
            "ai.prompt" => return add_prompt(value, span),
            "ai.prompt.tools" => return span.offer_tools(value),
            "ai.response.text" | "ai.result.text" | "ai.response.object" | "ai.result.object" => self.set_answer_text(value),
            "ai.response.toolCalls" | "ai.result.toolCalls" => return self.add_tool_calls(value, span),
            "ai.response.finishReason" | "ai.finishReason" => {
                self.has_finish_reason = true;
                span.add_finish_reasons(Rank::High, value);
            }
            // Beside `gen_ai.usage.*` on calls of models; embeddings and whole loops have only these.
            "ai.usage.promptTokens" | "ai.usage.inputTokens" | "ai.usage.tokens" => {
                span.fields.usage.input = span.fields.usage.input.or(value.as_u64());
            }
            "ai.usage.completionTokens" | "ai.usage.outputTokens" => {
                span.fields.usage.output = span.fields.usage.output.or(value.as_u64());
            }
            "ai.model.id" => span.set_model(Rank::Fallback, value),
            "ai.response.model" => span.set_model(Rank::Normal, value),
            "ai.model.provider" => span.set_provider(Rank::Fallback, value),
            "ai.toolCall.name" => span.tool().name = value.into_text().unwrap_or_default(),
            "ai.toolCall.id" => span.tool().call_id = value.into_text(),
            "ai.toolCall.args" => span.tool().arguments = unquoted(value),
            "ai.toolCall.result" => span.tool().result = Some(unquoted(value)),
            "ai.value" | "ai.values" | "ai.documents" | "ai.request.text" => span.set_input(Rank::Normal, value),
            "ai.ranking" => span.set_output(Rank::Normal, value),
            // Vectors say nothing about a failure.
            "ai.embedding" | "ai.embeddings" => {}
            _ => return Some(value),
        }
        None
    }

    fn finish(mut self: Box<Self>, span: &mut SpanBuilder) {
        if span_kind(&self.operation) == Some(SpanKind::Llm) && self.has_prompt && self.has_finish_reason {
            self.answer();
        }
        let is_stream = self.operation.starts_with("ai.streamText");
        if is_stream && !self.has_finish_reason && !span.fields.failed() && span.fields.exceptions.is_empty() {
            // In brackets, because it is no text of the trace.
            span.fail(Some("[no finish reason: the stream was cancelled or broke off]".into()));
        }
        if let Some(answer) = self.answer {
            span.push_output(Rank::High, vec![answer]);
        }
    }
}

impl VercelAiState {
    /// Sets the kind from `ai.generateText.doGenerate`, which may be followed by the name of a function.
    fn set_operation(&mut self, value: &Value<'_>, span: &mut SpanBuilder) {
        let operation = value.as_str().and_then(|text| text.split(' ').next()).unwrap_or_default();
        if let Some(kind) = span_kind(operation) {
            operation.clone_into(&mut self.operation);
            span.set_kind(Rank::High, kind);
        }
    }

    fn answer(&mut self) -> &mut Message {
        self.answer.get_or_insert_with(|| Message { role: "assistant".into(), ..Message::default() })
    }

    /// Versions 3.3 and 3.4 record the text twice.
    fn set_answer_text(&mut self, value: Value<'_>) {
        if let Some(text) = value.into_text() {
            self.answer().content = text;
        }
    }

    fn add_tool_calls<'v>(&mut self, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        let Some(tree) = span.decode(&value) else { return Some(value) };
        let calls: Vec<_> = tree.items().iter().filter_map(messages::tool_call).collect();
        drop(tree);
        self.answer().tool_calls = calls;
        None
    }
}

fn span_kind(operation: &str) -> Option<SpanKind> {
    let kind = match operation {
        "ai.toolCall" => SpanKind::Tool,
        "ai.generateText" | "ai.streamText" => SpanKind::Agent,
        "ai.generateObject" | "ai.streamObject" | "ai.embed" | "ai.embedMany" | "ai.rerank" | "ai.rerank.doRerank" => SpanKind::Chain,
        _ if operation.starts_with("ai.embed") => SpanKind::Embedding,
        _ if operation.starts_with("ai.") && (operation.ends_with(".doGenerate") || operation.ends_with(".doStream")) => SpanKind::Llm,
        _ => return None,
    };
    Some(kind)
}

/// The messages of one call. An agent framework on top of the SDK may have set the question as plain text.
fn add_prompt_messages<'v>(value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    match value.as_str() {
        Some(text) if !text.trim_start().starts_with(['[', '{']) => {
            span.push_input(Rank::High, vec![message("user", text.to_owned())]);
            None
        }
        _ => span.add_input_messages(Rank::High, value),
    }
}

/// The input of a whole loop: `{"system", "prompt", "messages"}`, where `prompt` is a text or a list of messages.
fn add_prompt<'v>(value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
    let mut prompt = Vec::new();
    if let Some(tree) = span.decode(&value) {
        let system = tree.get("system");
        let system = system.as_str().or_else(|| system.get("content").as_str());
        prompt.extend(system.filter(|text| !text.is_empty()).map(|text| message("system", text.to_owned())));
        for holder in [tree.get("prompt"), tree.get("messages")] {
            match holder {
                Value::Text(text) => prompt.push(message("user", text.to_string())),
                list => list.items().iter().for_each(|item| messages::add_messages(item, &mut prompt)),
            }
        }
    }
    if prompt.is_empty() {
        return Some(value);
    }
    span.push_input(Rank::Normal, prompt);
    None
}

fn message(role: &str, content: String) -> Message {
    Message { role: role.into(), content, ..Message::default() }
}

/// The text of a JSON string; the text of other values.
fn unquoted(value: Value<'_>) -> String {
    let text = value.into_text().unwrap_or_default();
    if text.starts_with('"') { serde_json::from_str(&text).unwrap_or(text) } else { text }
}

#[cfg(test)]
mod tests {
    use super::super::tests::span_with;
    use super::*;

    #[test]
    fn token_counts_of_every_version_are_read() {
        let usage = |input, output| span_with(&[("ai.operationId", "ai.generateText"), (input, "5"), (output, "6")]).usage;
        for (input, output) in [("ai.usage.promptTokens", "ai.usage.completionTokens"), ("ai.usage.inputTokens", "ai.usage.outputTokens")] {
            assert_eq!((usage(input, output).input, usage(input, output).output), (Some(5), Some(6)));
        }
        assert_eq!(span_with(&[("ai.operationId", "ai.embed"), ("ai.usage.tokens", "5")]).usage.input, Some(5));
    }

    const PROMPT: &str = r#"[{"role":"system","content":"Be brief."},{"role":"user","content":[{"type":"text","text":"hi"}]}]"#;

    #[test]
    fn a_model_call_of_each_version_is_read() {
        let v3 = [("operation.name", "ai.generateText.doGenerate chat"), ("ai.finishReason", "tool-calls"), ("ai.result.text", "wait")];
        let v4 =
            [("ai.operationId", "ai.generateText.doGenerate"), ("ai.response.finishReason", "tool-calls"), ("ai.response.text", "wait")];
        let calls_v3 = r#"[{"toolCallType":"function","toolCallId":"c1","toolName":"f","args":"{\"x\":"}]"#;
        let calls_v5 = r#"[{"toolCallId":"c1","toolName":"f","input":"{\"x\":"}]"#;
        for (attributes, calls) in [(v3, ("ai.result.toolCalls", calls_v3)), (v4, ("ai.response.toolCalls", calls_v5))] {
            let tools = ("ai.prompt.tools", r#"["{\"type\":\"function\",\"name\":\"f\"}"]"#);
            let span = span_with(&[&attributes[..], &[calls, tools, ("ai.prompt.messages", PROMPT), ("ai.model.id", "m")]].concat());
            assert_eq!((span.kind, span.input.len(), span.model.as_deref()), (SpanKind::Llm, 2, Some("m")));
            let [answer] = span.output.as_slice() else { panic!("{:?}", span.output) };
            assert_eq!((answer.role.as_str(), answer.content.as_str()), ("assistant", "wait"));
            assert_eq!((answer.tool_calls[0].name.as_str(), answer.tool_calls[0].arguments.as_str()), ("f", "{\"x\":"));
            assert_eq!((span.finish_reasons, span.tools_offered), (vec!["tool-calls".to_owned()], vec!["f".to_owned()]));
        }
    }

    #[test]
    fn an_answer_without_text_is_empty_and_a_cancelled_one_is_absent() {
        let call = [("ai.operationId", "ai.streamText.doStream"), ("ai.prompt.messages", PROMPT)];
        let empty = span_with(&[&call[..], &[("ai.response.finishReason", "stop")]].concat());
        assert_eq!(empty.output, [message("assistant", String::new())]);
        let cancelled = span_with(&call);
        assert!(cancelled.output.is_empty() && cancelled.failed());
        let not_recorded = span_with(&[("ai.operationId", "ai.streamText.doStream"), ("ai.response.finishReason", "stop")]);
        assert!(not_recorded.output.is_empty());
    }

    #[test]
    fn the_span_around_the_calls_is_no_model_call() {
        for prompt in [
            r#"{"system":"Be brief.","prompt":"hi"}"#,
            r#"{"system":"Be brief.","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}"#,
            r#"{"system":{"role":"system","content":"Be brief."},"prompt":[{"role":"user","content":"hi"}]}"#,
        ] {
            let span = span_with(&[("ai.operationId", "ai.generateText"), ("ai.prompt", prompt), ("ai.response.text", "hello")]);
            let roles: Vec<_> = span.input.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
            assert_eq!((span.kind, roles), (SpanKind::Agent, vec![("system", "Be brief."), ("user", "hi")]), "{prompt}");
            assert_eq!(span.output[0].content, "hello");
        }
        assert_eq!(span_with(&[("ai.operationId", "ai.generateObject")]).kind, SpanKind::Chain);
    }

    #[test]
    fn a_tool_call_is_read() {
        let span = span_with(&[
            ("ai.operationId", "ai.toolCall"),
            ("ai.toolCall.name", "f"),
            ("ai.toolCall.id", "c1"),
            ("ai.toolCall.args", r#"{"x":1}"#),
            ("ai.toolCall.result", r#""no \"rows\"""#),
        ]);
        let tool = span.tool.unwrap();
        assert_eq!((span.kind, tool.name.as_str(), tool.call_id.as_deref()), (SpanKind::Tool, "f", Some("c1")));
        assert_eq!((tool.arguments.as_str(), tool.result.as_deref()), (r#"{"x":1}"#, Some(r#"no "rows""#)));
    }

    #[test]
    fn messages_of_the_sdk_take_precedence_over_those_of_openinference() {
        let span = span_with(&[
            ("ai.operationId", "ai.generateText.doGenerate"),
            ("ai.prompt.messages", PROMPT),
            ("ai.response.text", "hello"),
            ("openinference.span.kind", "LLM"),
            ("llm.input_messages.0.message.role", "user"),
            ("llm.output_messages.0.message.contents.0.message_content.text", "hello"),
            ("input.value", PROMPT),
        ]);
        assert_eq!((span.input.len(), span.output.len(), span.output[0].content.as_str()), (2, 1, "hello"));
    }

    #[test]
    fn embeddings_keep_their_texts_only() {
        let span = span_with(&[("ai.operationId", "ai.embed.doEmbed"), ("ai.values", r#"["\"q\""]"#), ("ai.embeddings", "[[1,2]]")]);
        assert_eq!((span.kind, span.output_text, span.attributes.len()), (SpanKind::Embedding, None, 1));
        assert!(span.input_text.is_some());
    }
}
