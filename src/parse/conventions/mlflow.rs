//! `MLflow` Tracing: spans of its decorators and of its autologging for some 20 SDKs, exported over OTLP.
//!
//! Specification: <https://mlflow.org/docs/latest/genai/tracing/opentelemetry/export/> and `mlflow/tracing/constant.py`; checked against versions
//! 2.14, 2.20 and 3.17 with the autologging of each.
//!
//! ```json
//! {"mlflow.spanType": "\"CHAT_MODEL\"", "mlflow.message.format": "\"openai\"", "mlflow.llm.model": "\"gpt-4o\"",
//!  "mlflow.spanInputs": "{\"model\": \"gpt-4o\", \"messages\": [{\"role\": \"user\", \"content\": \"Where is A-17?\"}], \"tools\": […]}",
//!  "mlflow.spanOutputs": "{\"choices\": [{\"finish_reason\": \"stop\", \"message\": {…}}], \"usage\": {…}}",
//!  "mlflow.chat.tokenUsage": "{\"input_tokens\": 12, \"output_tokens\": 40}"}
//! {"mlflow.spanType": "\"RETRIEVER\"", "mlflow.spanInputs": "\"A-17\"",
//!  "mlflow.spanOutputs": "[{\"page_content\": \"…\", \"metadata\": {\"doc_uri\": \"…\"}, \"id\": \"d1\"}]"}
//! ```
//!
//! Inputs and outputs of a model call are the arguments and the result of the SDK's method: bodies of the provider's API, or objects of the framework.
//!
//! Quirks of real exporters:
//! - Every attribute is JSON text, so texts are in quotes (2.14 to 3.17). Spans that pass through `MLflow`'s own server have plain values, or
//!   key-value lists.
//! - A failed span has `mlflow.spanOutputs = null` or none, and its status no text; the cause is in the exception event. For the OpenAI Agents SDK, the
//!   event has an empty type and a generic message; the cause is JSON in its stack trace (3.17).
//! - Wrappers have the type of a model call and contain the actual call: `DSPy`'s `Predict.forward` is `LLM`, `LlamaIndex`' `OpenAI.predict`, and
//!   `Chat.send_message` and `Models.generate_content` of Google's SDK.
//! - A streamed answer is joined from its text only, with the finish reason `stop`; tool calls and the actual reason are only in the events
//!   `mlflow.chunk.item.N` (OpenAI, 2.14 to 3.17).
//! - `mlflow.chat.messages` has the input and the answer of one call in one list (2.20 to 3.0).
//! - The Responses API's `status` and `incomplete_details` are attributes without a prefix (OpenAI Agents SDK, 3.17).

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::span_builder::{Rank, SpanBuilder};
use super::{Convention, ConventionState};
use crate::model::{SpanKind, ToolCall};
use crate::parse::messages;
use crate::parse::value::Value;

/// The `MLflow` convention; see the [module docs](self).
pub(super) struct Mlflow;

impl Convention for Mlflow {
    fn name(&self) -> &'static str {
        "mlflow"
    }

    fn namespaces(&self) -> &'static [&'static str] {
        &["mlflow", "name", "status", "incomplete_details"]
    }

    fn reads_event(&self, name: &str) -> bool {
        name.starts_with("mlflow.chunk.item.")
    }

    fn start(&self) -> Box<dyn ConventionState> {
        Box::new(MlflowState::default())
    }
}

#[derive(Default)]
struct MlflowState {
    /// Whether the span has any attribute of `MLflow`, without which `name` and `status` belong to another vocabulary.
    is_mlflow: bool,
    span_type: Option<String>,
    function_name: Option<String>,
    inputs: Value<'static>,
    outputs: Value<'static>,
    /// `mlflow.chat.messages`.
    messages: Value<'static>,
    /// `name`: of the tool, in spans of `DSPy`'s tools.
    name: Option<String>,
    /// `incomplete_details`, `status`.
    response: Vec<(Cow<'static, str>, Value<'static>)>,
    chunks: Chunks,
}

impl ConventionState for MlflowState {
    fn set_attribute<'v>(&mut self, key: &str, value: Value<'v>, span: &mut SpanBuilder) -> Option<Value<'v>> {
        match key {
            "mlflow.spanType" => self.span_type = value.unquoted().into_text(),
            "mlflow.spanFunctionName" => self.function_name = value.unquoted().into_text(),
            "mlflow.spanInputs" => self.inputs = without_null(value),
            "mlflow.spanOutputs" => self.outputs = without_null(value),
            "mlflow.chat.messages" => self.messages = value.into_owned(),
            "mlflow.chat.tools" => {
                self.is_mlflow = true;
                return span.offer_tools(value);
            }
            "mlflow.chat.tokenUsage" => {
                let Some(counts) = value.tree() else { return Some(value) };
                let usage = &mut span.fields.usage;
                usage.input = usage.input.or(counts.get("input_tokens").as_u64());
                usage.output = usage.output.or(counts.get("output_tokens").as_u64());
            }
            "mlflow.llm.model" => span.set_model(Rank::Low, value.unquoted()),
            "mlflow.llm.provider" => span.set_provider(Rank::Normal, value.unquoted()),
            "name" => {
                self.name = value.clone().unquoted().into_text();
                return Some(value);
            }
            "status" | "incomplete_details" => {
                self.response.push((Cow::Owned(key.to_owned()), value.clone().unquoted().into_owned()));
                return Some(value);
            }
            _ => {
                self.is_mlflow |= key.starts_with("mlflow.");
                return Some(value);
            }
        }
        self.is_mlflow = true;
        None
    }

    fn add_event(&mut self, _name: &str, attributes: Value<'_>, _span: &mut SpanBuilder) {
        if let Some(chunk) = attributes.get("mlflow.chunk.value").tree() {
            self.chunks.add(&chunk);
        }
    }

    fn finish(self: Box<Self>, span: &mut SpanBuilder) {
        if !self.is_mlflow {
            return;
        }
        unwrap_agent_error(span);
        if let Some(kind) = self.span_type.as_deref().and_then(|word| span_kind(word, &span.fields.name)) {
            span.set_kind(Rank::High, kind);
        }
        match span.fields.kind {
            SpanKind::Tool => self.finish_tool(span),
            SpanKind::Llm => self.finish_llm(span),
            _ => {
                span.set_input(Rank::High, self.inputs);
                span.set_output(Rank::High, self.outputs);
            }
        }
    }
}

impl MlflowState {
    fn finish_llm(self, span: &mut SpanBuilder) {
        // The model that answered; the request may name an alias of it.
        if let Some(model) = self.outputs.tree().and_then(|outputs| outputs.text_at("model")) {
            span.set_model(Rank::Fallback, Value::Text(Cow::Owned(model)));
        }
        if let Some(reason) = &self.chunks.finish_reason {
            span.add_finish_reasons(Rank::Normal, Value::Text(Cow::Borrowed(reason)));
        }
        span.set_input(Rank::High, self.inputs);
        span.set_output(Rank::High, with_role(self.outputs));
        if let Some(answer) = self.chunks.answer() {
            span.set_output(Rank::Fallback, answer);
        }
        if let Some(list) = self.messages.tree() {
            let (answers, inputs) = match list.items() {
                [inputs @ .., last] if last.get("role").as_str() == Some("assistant") => (std::slice::from_ref(last), inputs),
                inputs => (Default::default(), inputs),
            };
            for (items, is_input) in [(inputs, true), (answers, false)] {
                let found = messages::from_tree(&Value::List(items.to_vec())).map(|(found, _)| found).unwrap_or_default();
                if is_input {
                    span.push_input(Rank::Fallback, found);
                } else {
                    span.push_output(Rank::Fallback, found);
                }
            }
        }
        // The other fields of a response of the Responses API, whose output is in `mlflow.spanOutputs`.
        let details = self.response.iter().find(|(key, _)| key == "incomplete_details").and_then(|(_, value)| value.tree());
        let reason = details.and_then(|details| details.text_at("reason"));
        let status = self.response.iter().find(|(key, _)| key == "status").and_then(|(_, value)| value.as_str().map(str::to_owned));
        if let Some(reason) = reason.or(status) {
            span.add_finish_reasons(Rank::Low, Value::Text(Cow::Owned(reason)));
        }
    }

    fn finish_tool(self, span: &mut SpanBuilder) {
        let Self { function_name, name, inputs, outputs, .. } = self;
        let from_span = span.fields.name.strip_prefix("Tool.").map(str::to_owned);
        let name = function_name.or_else(|| name.filter(|_| from_span.is_some())).or(from_span);
        // smolagents.
        let name = name.or_else(|| span.fields.name.strip_suffix(".__call__").map(str::to_owned));
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            span.tool().name = name;
        }
        // smolagents.
        let keywords = inputs.tree().filter(|inputs| !inputs.get("sanitize_inputs_outputs").is_null());
        let keywords = keywords.map(|inputs| inputs.get("kwargs").clone().into_owned());
        span.set_input(Rank::High, keywords.unwrap_or(inputs));
        // CrewAI, Claude Code, smolagents.
        let only_result = outputs.tree().and_then(|outputs| match outputs.fields() {
            [(key, result)] if matches!(key.as_ref(), "result" | "_value") => Some(result.clone().into_owned()),
            _ => None,
        });
        span.set_output(Rank::High, only_result.unwrap_or(outputs));
    }
}

/// The kind of a span of this type; `None` if it says nothing. A wrapper of a model call is a chain.
fn span_kind(word: &str, name: &str) -> Option<SpanKind> {
    const WRAPPERS: [&str; 9] = [
        "forward",
        "predict",
        "apredict",
        "structured_predict",
        "astructured_predict",
        "predict_and_call",
        "apredict_and_call",
        "send_message",
        "send_message_stream",
    ];
    let method = name.rsplit_once('.').map_or("", |(_, method)| method);
    match word {
        "LLM" | "CHAT_MODEL"
            if WRAPPERS.contains(&method) || matches!(name, "Models.generate_content" | "AsyncModels.generate_content") =>
        {
            Some(SpanKind::Chain)
        }
        "LLM" | "CHAT_MODEL" => Some(SpanKind::Llm),
        "UNKNOWN" | "" => None,
        // Also types of the application.
        other => Some(SpanKind::from_word(other).unwrap_or(SpanKind::Chain)),
    }
}

/// The value without the quotes of JSON; null for the JSON text `null`.
fn without_null(value: Value<'_>) -> Value<'static> {
    if value.as_str() == Some("null") { Value::Null } else { value.unquoted().into_owned() }
}

/// Strands records the parts of an answer without their message: `[{"text": "…"}, {"toolUse": {…}}]`.
fn with_role(outputs: Value<'static>) -> Value<'static> {
    let is_part = |item: &Value<'_>| matches!(item.fields(), [(key, _)] if matches!(key.as_ref(), "text" | "toolUse" | "reasoningContent"));
    let message = outputs.tree().filter(|parts| !parts.items().is_empty() && parts.items().iter().all(is_part)).map(|parts| {
        let role = (Cow::Borrowed("role"), Value::Text(Cow::Borrowed("assistant")));
        Value::Map(vec![role, (Cow::Borrowed("content"), parts.into_owned().into_owned())])
    });
    message.unwrap_or(outputs)
}

/// An error of the OpenAI Agents SDK is `{"message", "data"}`, whose data `MLflow` writes to the stack trace of an exception without type.
fn unwrap_agent_error(span: &mut SpanBuilder) {
    for exception in &mut span.fields.exceptions {
        let data = exception.stack.as_deref().filter(|_| exception.kind.is_empty()).and_then(Value::parse);
        if let Some(cause) = data.and_then(|data| data.text_at("error")).filter(|cause| !cause.is_empty()) {
            exception.message = format!("{}: {cause}", exception.message);
            exception.stack = None;
        }
    }
}

/// A streamed answer of OpenAI's API.
#[derive(Default)]
struct Chunks {
    content: String,
    refusal: String,
    tool_calls: BTreeMap<u64, ToolCall>,
    finish_reason: Option<String>,
}

impl Chunks {
    fn add(&mut self, chunk: &Value<'_>) {
        let [choice, ..] = chunk.get("choices").items() else { return };
        let delta = choice.get("delta");
        self.content.push_str(delta.get("content").as_str().unwrap_or_default());
        self.refusal.push_str(delta.get("refusal").as_str().unwrap_or_default());
        self.finish_reason = choice.text_at("finish_reason").or(self.finish_reason.take());
        for (position, part) in (0..).zip(delta.get("tool_calls").items()) {
            let call = self.tool_calls.entry(part.get("index").as_u64().unwrap_or(position)).or_default();
            let function = part.get("function");
            call.id = call.id.take().or(part.text_at("id"));
            call.name.push_str(function.get("name").as_str().unwrap_or_default());
            call.arguments.push_str(function.get("arguments").as_str().unwrap_or_default());
        }
    }

    /// The answer as the API would return it as a whole.
    fn answer(self) -> Option<Value<'static>> {
        let text = |text: String| Value::Text(Cow::Owned(text));
        let optional = |value: String| if value.is_empty() { Value::Null } else { text(value) };
        let map = |fields: Vec<(&'static str, Value<'static>)>| {
            Value::Map(fields.into_iter().map(|(key, value)| (Cow::Borrowed(key), value)).collect())
        };
        if self.content.is_empty() && self.refusal.is_empty() && self.tool_calls.is_empty() && self.finish_reason.is_none() {
            return None;
        }
        let calls = self.tool_calls.into_values().map(|call| {
            map(vec![("id", call.id.map_or(Value::Null, text)), ("name", text(call.name)), ("arguments", text(call.arguments))])
        });
        Some(map(vec![
            ("role", text("assistant".to_owned())),
            ("content", text(self.content)),
            ("refusal", optional(self.refusal)),
            ("tool_calls", Value::List(calls.collect())),
            ("finish_reason", self.finish_reason.map_or(Value::Null, text)),
        ]))
    }
}

#[cfg(test)]
mod tests {
    use super::super::SpanMapper;
    use super::super::tests::span_with;
    use super::*;
    use crate::model::Span;

    fn named(name: &str, attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanMapper::new(Span { name: name.into(), ..Span::default() });
        for (key, value) in attributes {
            span.set_attribute(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        span.finish()
    }

    #[test]
    fn types_of_spans_are_read_with_and_without_quotes() {
        for (word, kind) in [
            ("\"CHAT_MODEL\"", SpanKind::Llm),
            ("LLM", SpanKind::Llm),
            ("\"AGENT\"", SpanKind::Agent),
            ("\"TOOL\"", SpanKind::Tool),
            ("\"EMBEDDING\"", SpanKind::Embedding),
            ("\"GUARDRAIL\"", SpanKind::Guardrail),
            ("\"PARSER\"", SpanKind::Chain),
            ("\"RERANKER\"", SpanKind::Chain),
            ("\"WORKFLOW\"", SpanKind::Chain),
            ("\"of the application\"", SpanKind::Chain),
            ("\"UNKNOWN\"", SpanKind::Other),
        ] {
            assert_eq!(span_with(&[("mlflow.spanType", word)]).kind, kind, "{word}");
        }
        let llm = [("mlflow.spanType", "\"LLM\"")];
        assert_eq!((named("Predict.forward", &llm).kind, named("OpenAI.predict", &llm).kind), (SpanKind::Chain, SpanKind::Chain));
        assert_eq!(named("Models._generate_content", &llm).kind, SpanKind::Llm);
    }

    #[test]
    fn inputs_and_outputs_of_every_integration_are_read() {
        for (integration, inputs, outputs) in [
            (
                "openai",
                r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"type":"function","function":{"name":"f"}}]}"#,
                r#"{"choices":[{"finish_reason":"length","message":{"role":"assistant","content":"late"}}]}"#,
            ),
            (
                "anthropic",
                r#"{"model":"m","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f"}]}"#,
                r#"{"type":"message","role":"assistant","content":[{"type":"text","text":"late"}],"stop_reason":"max_tokens"}"#,
            ),
            (
                "gemini",
                r#"{"model":"m","contents":"hi","config":null,"tools":[{"function_declarations":[{"name":"f"}]}]}"#,
                r#"{"candidates":[{"content":{"parts":[{"text":"late","thought":null}],"role":"model"},"finish_reason":"MAX_TOKENS"}]}"#,
            ),
            (
                "bedrock",
                r#"{"modelId":"m","messages":[{"role":"user","content":[{"text":"hi"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f"}}]}}"#,
                r#"{"output":{"message":{"role":"assistant","content":[{"text":"late"}]}},"stopReason":"max_tokens"}"#,
            ),
            (
                "langchain 2.20",
                r#"[[{"content":"hi","additional_kwargs":{},"type":"human","id":null}]]"#,
                r#"{"generations":[[{"text":"late","generation_info":{"finish_reason":"length"},"message":{"content":"late","type":"ai"}}]],"llm_output":null}"#,
            ),
            (
                "pydantic_ai",
                r#"{"messages":[{"parts":[{"content":"hi","part_kind":"user-prompt"}],"kind":"request"}],"model_request_parameters":{"function_tools":[{"name":"f"}]}}"#,
                r#"{"parts":[{"content":"late","part_kind":"text"}],"kind":"response","finish_reason":"length"}"#,
            ),
            (
                "autogen",
                r#"{"messages":[{"content":"hi","source":"user","type":"UserMessage"}],"tools":[{"name":"f"}]}"#,
                r#"{"finish_reason":"length","content":"late","usage":{"prompt_tokens":5,"completion_tokens":6},"cached":false}"#,
            ),
            ("crewai", r#"{"messages":"hi"}"#, "\"late\""),
            ("dspy", r#"{"messages":[{"role":"user","content":"hi"}]}"#, r#"["late"]"#),
            ("langchain's LLMs", r#"["hi"]"#, r#"{"choices":[{"message":{"role":"assistant","content":"late"},"finish_reason":null}]}"#),
            ("strands", r#"[{"role":"user","content":[{"text":"hi"}]}]"#, r#"[{"text":"late"}]"#),
            ("a decorated function", r#"{"prompt":"hi"}"#, "\"late\""),
        ] {
            let span = span_with(&[("mlflow.spanOutputs", outputs), ("mlflow.spanInputs", inputs), ("mlflow.spanType", "\"CHAT_MODEL\"")]);
            let read = |messages: &[crate::model::Message]| {
                messages.iter().map(|message| (message.role.clone(), message.content.clone())).collect::<Vec<_>>()
            };
            assert_eq!(read(&span.input), [("user".to_owned(), "hi".to_owned())], "{integration}");
            assert_eq!(read(&span.output), [("assistant".to_owned(), "late".to_owned())], "{integration}");
            assert!(
                span.finish_reasons.is_empty()
                    || span.finish_reasons[0].to_ascii_lowercase().contains("length")
                    || span.finish_reasons[0].to_ascii_lowercase().contains("max"),
                "{integration}"
            );
            assert!(span.tools_offered.is_empty() || span.tools_offered == ["f"], "{integration}");
            assert!(span.not_understood.is_empty(), "{integration}");
        }
    }

    #[test]
    fn tools_of_every_integration_are_read() {
        for (integration, name, attributes) in [
            (
                "langchain",
                "lookup",
                &[
                    ("mlflow.spanInputs", r#"{"id":17}"#),
                    ("mlflow.spanOutputs", r#"{"content":"late","type":"tool","name":"lookup","tool_call_id":"c1","status":"success"}"#),
                ][..],
            ),
            (
                "a decorated function",
                "step 2",
                &[("mlflow.spanFunctionName", "\"lookup\""), ("mlflow.spanInputs", r#"{"id":17}"#), ("mlflow.spanOutputs", "\"late\"")][..],
            ),
            (
                "crewai",
                "lookup",
                &[("mlflow.spanInputs", r#"{"tool_name":"lookup","tool_args":{"id":17}}"#), ("mlflow.spanOutputs", r#"{"result":"late"}"#)]
                    [..],
            ),
            (
                "dspy",
                "Tool.lookup",
                &[("name", "\"lookup\""), ("mlflow.spanInputs", r#"{"id":17}"#), ("mlflow.spanOutputs", "\"late\"")][..],
            ),
            (
                "smolagents",
                "lookup.__call__",
                &[
                    ("mlflow.spanInputs", r#"{"sanitize_inputs_outputs":true,"kwargs":{"id":17}}"#),
                    ("mlflow.spanOutputs", r#"{"_value":"late"}"#),
                ][..],
            ),
        ] {
            let span = named(name, &[&[("mlflow.spanType", "\"TOOL\"")], attributes].concat());
            let tool = span.tool.unwrap();
            assert_eq!(
                (tool.name.as_str(), tool.arguments.as_str(), tool.result.as_deref()),
                ("lookup", r#"{"id":17}"#, Some("late")),
                "{integration}"
            );
        }
        assert_eq!(span_with(&[("name", "x"), ("status", "open")]).attribute("status"), Some("open"));
    }

    #[test]
    fn documents_and_failures_are_read() {
        let retriever = span_with(&[
            ("mlflow.spanType", "\"RETRIEVER\""),
            ("mlflow.spanOutputs", r#"[{"page_content":"late","metadata":{"doc_uri":"u"},"id":"d1"}]"#),
        ]);
        assert_eq!(retriever.documents.unwrap()[0].content, "late");
        let failed = span_with(&[("mlflow.spanType", "\"AGENT\""), ("mlflow.spanOutputs", "null")]);
        assert_eq!(failed.output_text, None);
        let mut agents = SpanMapper::new(Span::default());
        agents.set_attribute("mlflow.spanType".into(), Value::Text("\"TOOL\"".into()));
        let attributes = [
            ("exception.type", ""),
            ("exception.message", "Error running tool"),
            ("exception.stacktrace", r#"{"tool_name": "f", "error": "503"}"#),
        ];
        agents.add_event("exception", attributes.map(|(key, value)| (Cow::Borrowed(key), Value::Text(Cow::Borrowed(value)))));
        assert_eq!(agents.finish().exceptions[0].message, "Error running tool: 503");
    }

    #[test]
    fn the_tool_calls_and_the_finish_reason_of_a_stream_are_in_its_chunks() {
        let mut span = SpanMapper::new(Span::default());
        span.set_attribute("mlflow.spanType".into(), Value::Text("\"CHAT_MODEL\"".into()));
        span.set_attribute(
            "mlflow.spanOutputs".into(),
            Value::Text(
                r#"{"model":"m-2024","choices":[{"finish_reason":"stop","message":{"role":"assistant","content":"","tool_calls":null}}]}"#
                    .into(),
            ),
        );
        for chunk in [
            r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c1","function":{"name":"f","arguments":""}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":null,"function":{"name":null,"arguments":"{\"x\":1}"}}]}}]}"#,
            r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        ] {
            span.add_event("mlflow.chunk.item.0", [(Cow::Borrowed("mlflow.chunk.value"), Value::Text(Cow::Borrowed(chunk)))]);
        }
        let span = span.finish();
        let call = &span.output[0].tool_calls[0];
        assert_eq!((call.id.as_deref(), call.name.as_str(), call.arguments.as_str()), (Some("c1"), "f", r#"{"x":1}"#));
        assert_eq!((span.finish_reasons.as_slice(), span.model.as_deref()), (&["tool_calls".to_owned()][..], Some("m-2024")));
    }

    #[test]
    fn messages_and_the_fields_of_a_response_complete_a_call() {
        let span = span_with(&[
            ("mlflow.spanType", "\"CHAT_MODEL\""),
            ("mlflow.chat.messages", r#"[{"role":"user","content":"hi"},{"role":"assistant","content":"late"}]"#),
            ("incomplete_details", r#"{"reason": "max_output_tokens"}"#),
            ("status", "\"incomplete\""),
            ("mlflow.chat.tokenUsage", r#"{"input_tokens": 5, "output_tokens": 6}"#),
            ("mlflow.llm.model", "\"m\""),
        ]);
        assert_eq!((span.input[0].content.as_str(), span.output[0].content.as_str(), span.model.as_deref()), ("hi", "late", Some("m")));
        assert_eq!((span.finish_reasons.as_slice(), span.usage.output), (&["max_output_tokens".to_owned()][..], Some(6)));
    }
}
