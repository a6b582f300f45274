//! Puts together the chunks of a stream of `InvokeModel`, in the shapes of the models on Bedrock.
//!
//! | model | chunks |
//! |---|---|
//! | Anthropic | `message_start`, `content_block_start`, `content_block_delta`, `message_delta`, `message_stop` in `type` |
//! | Nova, Converse | `{messageStart}`, `{contentBlockStart}`, `{contentBlockDelta}`, `{messageStop}`, `{metadata}` |
//! | `OpenAI`, Mistral, `DeepSeek`, AI21 | `{choices: [{delta \| message \| text, finish_reason \| stop_reason}]}` |
//! | Llama, Titan, Cohere, Mistral 7B, Claude 2 | `{generation}`, `{outputText}`, `{text}`, `{outputs: [{text}]}`, `{completion}` |
//!
//! The last chunk has `amazon-bedrock-invocationMetrics`. A stream that fails ends in an exception of Bedrock or in an error of the model.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::limits::SPAN_ITEMS_MAX;
use crate::parse::value::Value;

/// The counts and the latency that Bedrock adds to the last chunk.
pub(super) const METRICS: &str = "amazon-bedrock-invocationMetrics";
/// What a guardrail of Bedrock did, which is in a chunk of any model.
const GUARDRAIL: &str = "amazon-bedrock-guardrailAction";

/// The answer that the chunks have together, in the shape of Anthropic's response, and the message of a failure.
pub(super) fn assemble<'a>(chunks: &[Value<'a>]) -> (Value<'a>, Option<String>) {
    let mut answer = Answer::default();
    for chunk in chunks {
        let inner = chunk.get("chunk");
        answer.add(if matches!(inner, Value::Map(_)) { inner } else { chunk });
    }
    let failure = answer.failure.take();
    (answer.into_body(), failure)
}

#[derive(Default)]
struct Answer<'a> {
    /// Texts and tool calls by their index.
    blocks: BTreeMap<u64, Block>,
    reason: Option<String>,
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    metrics: Value<'a>,
    guardrail: Value<'a>,
    failure: Option<String>,
}

#[derive(Default)]
struct Block {
    text: String,
    tool: Option<Tool>,
}

#[derive(Default)]
struct Tool {
    id: String,
    name: String,
    arguments: String,
}

impl<'a> Answer<'a> {
    fn add(&mut self, chunk: &Value<'a>) {
        for (field, key) in [(&mut self.metrics, METRICS), (&mut self.guardrail, GUARDRAIL)] {
            if !chunk.get(key).is_null() {
                field.clone_from(chunk.get(key));
            }
        }
        if chunk.get("choices").is_null() && chunk.fields().iter().any(|(key, _)| is_converse(key)) {
            return self.add_converse(chunk);
        }
        match chunk.get("type").as_str() {
            Some("error") => self.fail(chunk.get("error")),
            Some("message_start") => self.add_usage(chunk.get("message").get("usage")),
            Some("message_delta") => {
                self.add_reason(chunk.get("delta"));
                self.add_usage(chunk.get("usage"));
            }
            Some("content_block_start" | "content_block_delta") => self.add_block(chunk),
            _ if !chunk.get("choices").is_null() => chunk.get("choices").items().iter().for_each(|choice| self.add_choice(choice)),
            _ => self.add_text_chunk(chunk),
        }
        if self.reason.is_none() && chunk.get("type").is_null() {
            self.add_reason(chunk);
        }
    }

    fn block(&mut self, index: u64) -> Option<&mut Block> {
        // An index beyond the limit is not one of a model.
        if index > SPAN_ITEMS_MAX as u64 { None } else { Some(self.blocks.entry(index).or_default()) }
    }

    /// Anthropic's `content_block_start` and `content_block_delta`.
    fn add_block(&mut self, chunk: &Value<'_>) {
        let Some(block) = self.block(chunk.get("index").as_u64().unwrap_or_default()) else { return };
        let (start, delta) = (chunk.get("content_block"), chunk.get("delta"));
        if start.get("type").as_str() == Some("tool_use") {
            block.tool = Some(Tool {
                id: start.get("id").to_text(),
                name: start.get("name").to_text(),
                arguments: Some(start.get("input")).filter(|input| !input.is_empty()).map(Value::to_text).unwrap_or_default(),
            });
        }
        block.text.push_str(start.get("text").as_str().or_else(|| delta.get("text").as_str()).unwrap_or_default());
        if let (Some(tool), Some(part)) = (&mut block.tool, delta.get("partial_json").as_str()) {
            tool.arguments.push_str(part);
        }
    }

    /// An event of Converse and Nova, whose only key is its type; or an exception of Bedrock.
    fn add_converse(&mut self, chunk: &Value<'_>) {
        for (key, event) in chunk.fields() {
            let index = event.get("contentBlockIndex").as_u64().unwrap_or_default();
            match key.as_ref() {
                "contentBlockStart" => {
                    let tool = event.get("start").get("toolUse");
                    if !tool.is_null()
                        && let Some(block) = self.block(index)
                    {
                        block.tool =
                            Some(Tool { id: tool.get("toolUseId").to_text(), name: tool.get("name").to_text(), ..Tool::default() });
                    }
                }
                "contentBlockDelta" => {
                    let Some(block) = self.block(index) else { continue };
                    let delta = event.get("delta");
                    block.text.push_str(delta.get("text").as_str().unwrap_or_default());
                    if let Some(tool) = &mut block.tool {
                        tool.arguments.push_str(&delta.get("toolUse").get("input").to_text());
                    }
                }
                "messageStop" => self.add_reason(event),
                "metadata" => self.add_usage(event.get("usage")),
                _ if key.ends_with("Exception") => self.fail(event),
                _ => {}
            }
        }
    }

    /// A choice of a chat completion, or of a text completion.
    fn add_choice(&mut self, choice: &Value<'_>) {
        self.add_reason(choice);
        let delta = choice.first(&["delta", "message"]);
        let text = delta.get("content").as_str().or_else(|| choice.get("text").as_str()).unwrap_or_default();
        if let Some(block) = self.block(0) {
            block.text.push_str(text);
        }
        for (call, position) in delta.get("tool_calls").items().iter().zip(0u64..) {
            // The text is the first block.
            let index = call.get("index").as_u64().unwrap_or(position).saturating_add(1);
            let Some(block) = self.block(index) else { continue };
            let tool = block.tool.get_or_insert_default();
            tool.id.push_str(call.get("id").as_str().unwrap_or_default());
            tool.name.push_str(call.get("function").get("name").as_str().unwrap_or_default());
            tool.arguments.push_str(&call.get("function").get("arguments").to_text());
        }
    }

    /// A chunk of a model that writes text only. The last chunk of Cohere repeats the whole answer in `response`.
    fn add_text_chunk(&mut self, chunk: &Value<'_>) {
        let outputs = chunk.get("outputs").items().iter().filter_map(|output| output.get("text").as_str());
        let text = chunk.first(&["generation", "outputText", "completion", "text"]).as_str();
        let joined: String = text.into_iter().chain(outputs).collect();
        if let Some(block) = self.block(0) {
            block.text.push_str(&joined);
        }
        for output in chunk.get("outputs").items() {
            self.add_reason(output);
        }
        self.add_usage(chunk);
    }

    fn add_reason(&mut self, holder: &Value<'_>) {
        let reason = holder.first(&["stop_reason", "stopReason", "finish_reason", "completionReason"]).as_str();
        if let Some(reason) = reason.filter(|reason| !reason.is_empty()) {
            self.reason = Some(reason.to_owned());
        }
    }

    fn add_usage(&mut self, usage: &Value<'_>) {
        let input = usage.first(&["input_tokens", "inputTokens", "prompt_token_count", "prompt_tokens"]).as_u64();
        let output = usage.first(&["output_tokens", "outputTokens", "generation_token_count", "completion_tokens"]).as_u64();
        self.input_tokens = input.or(self.input_tokens);
        self.output_tokens = output.or(self.output_tokens);
    }

    fn fail(&mut self, error: &Value<'_>) {
        let message = error.get("message").as_str().map(str::to_owned);
        self.failure = message.or_else(|| error.clone().into_text());
    }

    fn into_body(self) -> Value<'a> {
        let text = |text: String| Value::Text(Cow::Owned(text));
        let field = |key: &'static str, value: Value<'a>| (Cow::Borrowed(key), value);
        let mut content = Vec::new();
        for block in self.blocks.into_values() {
            if !block.text.is_empty() {
                content.push(Value::Map(vec![field("type", text("text".to_owned())), field("text", text(block.text))]));
            }
            if let Some(mut tool) = block.tool {
                if tool.arguments.is_empty() && self.reason.is_some() {
                    tool.arguments.push_str("{}");
                }
                content.push(Value::Map(vec![
                    field("type", text("tool_use".to_owned())),
                    field("id", text(tool.id)),
                    field("name", text(tool.name)),
                    field("input", text(tool.arguments)),
                ]));
            }
        }
        if content.is_empty() && self.reason.is_none() {
            return Value::Map(vec![field(METRICS, self.metrics), field(GUARDRAIL, self.guardrail)]);
        }
        let count = |count: Option<u64>| count.and_then(|count| i64::try_from(count).ok()).map_or(Value::Null, Value::Int);
        Value::Map(vec![
            field("role", text("assistant".to_owned())),
            field("content", Value::List(content)),
            field("stop_reason", self.reason.map_or(Value::Null, text)),
            field(
                "usage",
                Value::Map(vec![field("input_tokens", count(self.input_tokens)), field("output_tokens", count(self.output_tokens))]),
            ),
            field(METRICS, self.metrics),
            field(GUARDRAIL, self.guardrail),
        ])
    }
}

/// Whether a key is the type of an event of Converse, or an exception of Bedrock.
fn is_converse(key: &str) -> bool {
    matches!(key, "messageStart" | "contentBlockStart" | "contentBlockDelta" | "contentBlockStop" | "messageStop" | "metadata")
        || key.ends_with("Exception")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::messages::{self, Conversation};

    fn read(chunks: &str) -> (Conversation, Option<String>) {
        let chunks = Value::parse(chunks).unwrap();
        let (body, failure) = assemble(chunks.items());
        (messages::conversation(&body).unwrap_or_default(), failure)
    }

    #[test]
    fn the_text_and_the_reason_of_every_model_are_put_together() {
        for (model, chunks) in [
            (
                "Anthropic",
                r#"[{"type":"message_start","message":{"usage":{"input_tokens":5}}},{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}},{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}},{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"b"}},{"type":"message_delta","delta":{"stop_reason":"length"},"usage":{"output_tokens":6}}]"#,
            ),
            (
                "Nova",
                r#"[{"messageStart":{"role":"assistant"}},{"contentBlockDelta":{"delta":{"text":"a"},"contentBlockIndex":0}},{"contentBlockDelta":{"delta":{"text":"b"},"contentBlockIndex":0}},{"messageStop":{"stopReason":"length"}},{"metadata":{"usage":{"inputTokens":5,"outputTokens":6}}}]"#,
            ),
            (
                "Llama",
                r#"[{"generation":"a","prompt_token_count":5},{"generation":"b","generation_token_count":6,"stop_reason":"length"}]"#,
            ),
            ("Titan", r#"[{"outputText":"a","completionReason":null},{"outputText":"b","completionReason":"length"}]"#),
            ("Mistral 7B", r#"[{"outputs":[{"text":"a","stop_reason":null}]},{"outputs":[{"text":"b","stop_reason":"length"}]}]"#),
            (
                "Cohere",
                r#"[{"event_type":"text-generation","text":"a"},{"event_type":"text-generation","text":"b"},{"event_type":"stream-end","finish_reason":"length","response":{"text":"ab"}}]"#,
            ),
            ("OpenAI", r#"[{"choices":[{"delta":{"content":"a"}}]},{"choices":[{"delta":{"content":"b"},"finish_reason":"length"}]}]"#),
            ("DeepSeek", r#"[{"choices":[{"text":"a"}]},{"choices":[{"text":"b","stop_reason":"length"}]}]"#),
            ("in an envelope", r#"[{"chunk":{"generation":"ab"}},{"chunk":{"generation":"","stop_reason":"length"}}]"#),
        ] {
            let (found, failure) = read(chunks);
            assert_eq!((found.messages.len(), found.messages[0].content.as_str(), failure), (1, "ab", None), "{model}");
            assert_eq!(found.finish_reasons, ["length"], "{model}");
        }
    }

    #[test]
    fn arguments_of_tool_calls_are_put_together() {
        for chunks in [
            r#"[{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}},{"type":"content_block_delta","index":1,"delta":{"partial_json":"{\"x\""}},{"type":"content_block_delta","index":1,"delta":{"partial_json":":1}"}}]"#,
            r#"[{"contentBlockStart":{"start":{"toolUse":{"toolUseId":"t","name":"f"}},"contentBlockIndex":1}},{"contentBlockDelta":{"delta":{"toolUse":{"input":"{\"x\":1}"}},"contentBlockIndex":1}}]"#,
            r#"[{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"t","function":{"name":"f","arguments":"{\"x\""}}]}}]},{"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"arguments":":1}"}}]}}]}]"#,
        ] {
            let (found, _) = read(chunks);
            let call = &found.messages[0].tool_calls[0];
            assert_eq!((call.id.as_deref(), call.name.as_str(), call.arguments.as_str()), (Some("t"), "f", r#"{"x":1}"#), "{chunks}");
        }
        let (without, _) = read(
            r#"[{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}},{"type":"message_delta","delta":{"stop_reason":"tool_use"}}]"#,
        );
        assert_eq!(without.messages[0].tool_calls[0].arguments, "{}");
    }

    #[test]
    fn a_failure_ends_the_stream() {
        let (found, failure) = read(
            r#"[{"contentBlockDelta":{"delta":{"text":"a"}}},{"modelStreamErrorException":{"message":"broken","originalStatusCode":500}}]"#,
        );
        assert_eq!((found.messages[0].content.as_str(), failure.as_deref()), ("a", Some("broken")));
        let (_, failure) = read(r#"[{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}]"#);
        assert_eq!(failure.as_deref(), Some("Overloaded"));
        let (body, _) = assemble(Value::parse(r#"[{"x":1},7,null]"#).unwrap().items());
        assert_eq!(messages::conversation(&body), None);
    }
}
