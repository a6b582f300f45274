//! Finds the messages, finish reasons, offered tools and token counts of a request or a response, in any of the shapes in the
//! [module docs](super).

use std::borrow::Cow;

use super::message::{add_messages, has_message_keys};
use super::tool_call::tool_names;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Message, TokenUsage};
use crate::parse::value::Value;

/// The input or output of a model call.
#[derive(Debug, Default, PartialEq)]
pub(in crate::parse) struct Conversation {
    pub(in crate::parse) messages: Vec<Message>,
    pub(in crate::parse) finish_reasons: Vec<String>,
    /// Names of the tools that the request offers to the model.
    pub(in crate::parse) tools: Vec<String>,
    pub(in crate::parse) usage: TokenUsage,
    /// The tokens that the model used for reasoning, if there are any, after the name for them.
    pub(in crate::parse) reasoning_tokens: Option<(&'static str, u64)>,
    /// The model that a body names.
    pub(in crate::parse) model: Option<String>,
}

/// The messages of a request or a response of a provider's API or of a framework; `None` if the value contains neither a message nor a
/// finish reason.
pub(in crate::parse) fn conversation(tree: &Value<'_>) -> Option<Conversation> {
    let mut found = Conversation::default();
    collect(tree, &mut found, 0);
    if found.messages.is_empty() && is_list_of_blocks(tree) {
        let message = Value::Map(vec![("role".into(), Value::Text("assistant".into())), ("content".into(), tree.clone())]);
        add_messages(&message, &mut found.messages);
    }
    (!found.messages.is_empty() || !found.finish_reasons.is_empty()).then_some(found)
}

/// Whether a value is the content of an answer without its message: blocks of Bedrock or Anthropic.
fn is_list_of_blocks(tree: &Value<'_>) -> bool {
    let is_block = |block: &Value<'_>| match block.fields() {
        [(key, value)] => {
            (key == "text" && value.as_str().is_some())
                || (matches!(key.as_ref(), "toolUse" | "reasoningContent") && !value.fields().is_empty())
        }
        _ => {
            matches!(block.get("type").as_str(), Some("text" | "tool_use" | "thinking"))
                && !block.first(&["text", "input", "thinking"]).is_null()
        }
    };
    !tree.items().is_empty() && tree.items().iter().all(is_block)
}

/// How many lists and objects around a message are opened: `{"generations": [[{"message": {…}}]]}`.
const ENVELOPES_MAX: usize = 7;

/// Whether a field is one that most messages have, so that an object with only such fields says nothing else about the call.
fn is_part_of_message(key: &str) -> bool {
    matches!(key, "role" | "content" | "parts" | "tool_calls" | "tool_call_id" | "name" | "type" | "id" | "text")
}

/// The fields that contain the messages of a request, in this order. Only the first that contains any is read.
const REQUEST_KEYS: [&str; 9] =
    ["messages", "input_messages", "contents", "chat_history", "input", "prompts", "prompt", "all_messages", "items"];
/// The fields that contain the messages of a response, in this order.
const RESPONSE_KEYS: [&str; 17] = [
    "choices",
    "candidates",
    "content",
    "generations",
    "replies",
    "output_messages",
    "output",
    "outputs",
    "message",
    "response",
    "responses",
    "result",
    "results",
    "generation",
    "completion",
    "raw",
    "body",
];
/// The system prompt that some APIs have beside the messages.
const SYSTEM_KEYS: [&str; 6] = ["system", "instructions", "systemInstruction", "system_instruction", "system_instructions", "preamble"];

fn collect(tree: &Value<'_>, found: &mut Conversation, depth: usize) {
    if depth > ENVELOPES_MAX || found.messages.len() > SPAN_ITEMS_MAX {
        return;
    }
    match tree {
        Value::List(items) => items.iter().for_each(|item| collect(item, found, depth + 1)),
        Value::Map(_) => collect_map(tree, found, depth),
        // JSON in JSON, or Python's `repr` of a message (Haystack, smolagents).
        Value::Text(text) if depth > 0 => {
            if let Some(inner) = Value::Text(Cow::Borrowed(text.as_ref())).any_tree() {
                collect(&inner, found, depth + 1);
            }
        }
        _ => {}
    }
}

fn collect_map(tree: &Value<'_>, found: &mut Conversation, depth: usize) {
    if tree.fields().iter().any(|(key, _)| !is_part_of_message(key)) {
        add_facts(tree, found);
    }
    let is_message = ["role", "_role", "lc", "part_kind"].iter().any(|key| !tree.get(key).is_null())
        || matches!(tree.get("kind").as_str(), Some("request" | "response"))
        || matches!(tree.get("type").as_str(), Some("human" | "ai" | "system" | "tool" | "AIMessageChunk"))
        || tree.get("type").as_str().is_some_and(|kind| kind.ends_with("_call") || kind.ends_with("_call_output"));
    if is_message {
        add_messages(tree, &mut found.messages);
        return add_raw_response(tree, found);
    }
    let known = found.messages.len();
    // Google's SDKs have it in the configuration of the request.
    let holders = [tree, tree.get("config")];
    let system = holders.iter().find_map(|holder| SYSTEM_KEYS.iter().map(|key| holder.get(key)).find(|value| !value.is_empty()));
    for key in REQUEST_KEYS {
        if found.messages.len() > known {
            break;
        }
        match tree.get(key) {
            Value::Null => {}
            Value::Text(text) if matches!(key, "input" | "prompt") && system_or_model(tree) => {
                found.messages.push(Message { role: "user".into(), content: text.to_string(), ..Message::default() });
            }
            Value::List(items) if key == "prompts" && items.iter().all(|item| item.as_str().is_some()) => {
                let texts = items.iter().filter_map(Value::as_str);
                found.messages.extend(texts.map(|text| Message { role: "user".into(), content: text.to_owned(), ..Message::default() }));
            }
            inner => collect(inner, found, depth + 1),
        }
    }
    if found.messages.len() > known
        && let Some(system) = system
    {
        found.messages.insert(known, Message { role: "system".into(), content: system_text(system), ..Message::default() });
    }
    for key in RESPONSE_KEYS {
        if found.messages.len() > known {
            break;
        }
        match tree.get(key) {
            Value::Null => {}
            Value::Text(text) if key == "completion" || key == "generation" => found.messages.push(assistant(text)),
            // Gemini's content is an object; elsewhere it is that of a message.
            Value::List(_) | Value::Text(_) if key == "content" => {}
            inner => collect(inner, found, depth + 1),
        }
    }
    if found.messages.len() == known && is_bare_message(tree) {
        add_messages(tree, &mut found.messages);
        if found.messages.len() == known {
            found.messages.extend(tree.get("text").as_str().map(assistant));
        }
        if let Some(message) = found.messages.get_mut(known).filter(|message| message.role.is_empty() && is_answer(tree)) {
            message.role = "assistant".into();
        }
    }
}

/// Adds the facts of the provider's response that a message may carry as JSON or as Python's `repr`: smolagents' `raw`.
fn add_raw_response(message: &Value<'_>, found: &mut Conversation) {
    let raw = message.get("raw");
    let Some(raw) = raw.any_tree() else { return };
    let Some(response) = conversation(&raw) else { return };
    if found.finish_reasons.is_empty() {
        found.finish_reasons = response.finish_reasons;
    }
    found.usage = or_usage(found.usage, response.usage);
    let refusal = response.messages.into_iter().find_map(|message| message.refusal);
    if let (Some(last), Some(refusal)) = (found.messages.last_mut(), refusal) {
        last.refusal.get_or_insert(refusal);
    }
}

/// Whether a map without a role is a message: it has content or tool calls, or text beside what only a model's answer has.
fn is_bare_message(tree: &Value<'_>) -> bool {
    const OF_ANSWERS: [&str; 10] = [
        "toolCalls",
        "tool_calls",
        "finishReason",
        "finish_reason",
        "stop_reason",
        "usage",
        "reasoning",
        "warnings",
        "generation_info",
        "sources",
    ];
    let is_answer = || tree.get("text").as_str().is_some() && OF_ANSWERS.iter().any(|key| !tree.get(key).is_null());
    has_message_keys(tree) || is_answer()
}

/// Whether a message without a role is an answer: it has no content, or a finish reason (`CreateResult` of `AutoGen`).
fn is_answer(tree: &Value<'_>) -> bool {
    tree.get("content").is_null() || tree.get("finish_reason").as_str().is_some()
}

fn system_or_model(tree: &Value<'_>) -> bool {
    ["model", "system", "instructions", "model_id", "modelId", "max_tokens"].iter().any(|key| !tree.get(key).is_null())
}

fn assistant(text: &str) -> Message {
    Message { role: "assistant".into(), content: text.to_owned(), ..Message::default() }
}

/// The message of a system prompt that stands beside the messages; `None` if it has no text.
pub(in crate::parse) fn system_message(system: &Value<'_>) -> Option<Message> {
    let content = system_text(system);
    (!content.is_empty()).then(|| Message { role: "system".into(), content, ..Message::default() })
}

/// The text of a system prompt: a text, a list of text blocks, or Gemini's content with parts.
pub(in crate::parse) fn system_text(system: &Value<'_>) -> String {
    if let Some(text) = system.as_str() {
        return text.to_owned();
    }
    let mut messages = Vec::new();
    let parts = system.get("parts");
    let wrapped = Value::Map(vec![("parts".into(), if parts.is_null() { system.clone() } else { parts.clone() })]);
    add_messages(&wrapped, &mut messages);
    messages.into_iter().map(|message| message.content).collect::<Vec<_>>().join("\n")
}

/// What a map says about the call beside its messages: finish reason, usage, model, offered tools.
fn add_facts(tree: &Value<'_>, found: &mut Conversation) {
    const REASON_KEYS: [&str; 7] =
        ["finish_reason", "stop_reason", "finishReason", "stopReason", "done_reason", "finish_reasons", "completionReason"];
    const MODEL_KEYS: [&str; 6] = ["model", "modelId", "model_id", "modelVersion", "model_version", "model_name"];
    let of_message = tree.get("kwargs").get("response_metadata");
    let holders = [
        tree,
        tree.get("generation_info"),
        tree.get("response_metadata"),
        tree.get("meta"),
        tree.get("_meta"),
        tree.get("llm_output"),
        of_message,
    ];
    let reason = holders.iter().map(|holder| holder.first(&REASON_KEYS)).find(|reason| !reason.is_empty());
    // A serialized message of LangChain repeats what the generation around it says.
    let is_repeated = !of_message.is_null() && found.finish_reasons.len() > found.messages.len();
    let reason = reason.filter(|_| !is_repeated);
    // Responses API: `{"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}`. Gemini: a prompt that was blocked.
    let reason = reason.or_else(|| Some(tree.get("incomplete_details").get("reason")).filter(|reason| !reason.is_empty()));
    // A response of the Responses API that is complete, or failed.
    let reason = reason.or_else(|| Some(tree.get("status")).filter(|_| is_response_of_openai(tree)));
    let reason = reason.or_else(|| {
        let feedback = tree.first(&["promptFeedback", "prompt_feedback"]);
        Some(feedback.first(&["blockReason", "block_reason"])).filter(|reason| !reason.is_empty())
    });
    if let Some(reason) = reason
        && found.finish_reasons.len() <= SPAN_ITEMS_MAX
    {
        found.finish_reasons.extend(finish_reason_words(reason));
    }
    found.usage = or_usage(or_usage(found.usage, usage(tree)), usage(tree.get("kwargs")));
    found.reasoning_tokens = found.reasoning_tokens.or_else(|| reasoning_tokens(tree)).or_else(|| reasoning_tokens(tree.get("kwargs")));
    if found.model.is_none() {
        found.model = holders.iter().find_map(|holder| holder.first(&MODEL_KEYS).as_str()).map(str::to_owned);
    }
    let config = tree.first(&["toolConfig", "tool_config", "kwargs", "config"]);
    let of_pydantic_ai = tree.get("model_request_parameters").get("function_tools");
    let tools = [tree.get("tools"), config.get("tools"), tree.get("functions"), of_pydantic_ai].into_iter().find(|tools| !tools.is_empty());
    if let Some(tools) = tools {
        found.tools.extend(tool_names(tools));
    }
}

/// Whether a map is the response of OpenAI's Responses API.
fn is_response_of_openai(tree: &Value<'_>) -> bool {
    tree.get("object").as_str() == Some("response")
}

/// The words of a finish reason, which Mastra and the Vercel AI SDK 6 may wrap: `{"unified": "stop", "raw": "stop"}`.
fn finish_reason_words(reason: &Value<'_>) -> Vec<String> {
    match reason {
        Value::List(_) => reason.clone().into_texts(),
        Value::Map(_) => reason.first(&["unified", "value", "type", "reason"]).as_str().map(str::to_owned).into_iter().collect(),
        other => other.as_str().map(str::to_owned).into_iter().collect(),
    }
}

/// The fields that contain the token counts of a body.
const USAGE_KEYS: [&str; 8] = ["usage", "usageMetadata", "usage_metadata", "token_usage", "tokenUsage", "llm_output", "meta", "_meta"];

/// The tokens of reasoning in the usage of a body: of the APIs of `OpenAI`, `DeepSeek`, `xAI` and Gemini, of LangChain and of the Vercel AI SDK. Those of
/// Gemini's API are not part of its output tokens, so they have a name of their own.
fn reasoning_tokens(tree: &Value<'_>) -> Option<(&'static str, u64)> {
    const DETAILS: [&str; 7] = [
        "completion_tokens_details",
        "output_tokens_details",
        "output_token_details",
        "outputTokenDetails",
        "outputTokensDetails",
        "completionTokensDetails",
        "outputTokens",
    ];
    const COUNTS: [&str; 4] = ["reasoning_tokens", "reasoningTokens", "thinking_tokens", "reasoning"];
    let of_details = |holder: &Value<'_>| DETAILS.iter().find_map(|key| holder.get(key).first(&COUNTS).as_u64());
    let of_holder = |holder: &Value<'_>| {
        let of_api = || of_details(holder).or_else(|| holder.first(&COUNTS).as_u64()).map(|tokens| ("usage.reasoning_tokens", tokens));
        let of_gemini = || Some(("usage.thoughts_token_count", holder.first(&["thoughtsTokenCount", "thoughts_token_count"]).as_u64()?));
        of_api().or_else(of_gemini).filter(|(_, tokens)| *tokens > 0)
    };
    let mut nested = USAGE_KEYS.iter().map(|key| tree.get(key)).filter(|holder| matches!(holder, Value::Map(_)));
    nested.find_map(|holder| of_holder(holder).or_else(|| of_holder(holder.get("token_usage"))))
}

/// The token counts in a body, or in its `usage`.
fn usage(tree: &Value<'_>) -> TokenUsage {
    let nested = USAGE_KEYS.iter().map(|key| tree.get(key)).find(|holder| matches!(holder, Value::Map(_)));
    let Some(holder) = nested else {
        // Ollama.
        return TokenUsage { input: tree.get("prompt_eval_count").as_u64(), output: tree.get("eval_count").as_u64() };
    };
    let holder =
        [holder.get("token_usage"), holder.get("usage"), holder.get("tokens")].into_iter().find(|inner| !inner.is_null()).unwrap_or(holder);
    TokenUsage {
        input: holder
            .first(&["prompt_tokens", "input_tokens", "promptTokens", "inputTokens", "promptTokenCount", "prompt_token_count"])
            .as_u64(),
        output: holder
            .first(&[
                "completion_tokens",
                "output_tokens",
                "completionTokens",
                "outputTokens",
                "candidatesTokenCount",
                "candidates_token_count",
            ])
            .as_u64(),
    }
}

fn or_usage(first: TokenUsage, second: TokenUsage) -> TokenUsage {
    TokenUsage { input: first.input.or(second.input), output: first.output.or(second.output) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ToolCall;

    fn read(text: &str) -> Conversation {
        conversation(&Value::parse(text).unwrap()).unwrap_or_else(|| panic!("no messages in {text}"))
    }

    #[test]
    fn a_serialized_message_of_langchain_says_why_it_ended() {
        let generation = |info: &str, metadata: &str| {
            format!(
                r#"{{"generations":[[{{"text":"late","generation_info":{info},"type":"ChatGeneration","message":{{"lc":1,"type":"constructor","id":["langchain","schema","messages","AIMessage"],"kwargs":{{"content":"late","type":"ai","response_metadata":{metadata},"usage_metadata":{{"input_tokens":5,"output_tokens":6,"output_token_details":{{"reasoning":4}}}}}}}}}}]],"llm_output":null}}"#
            )
        };
        for (info, metadata, reason) in [
            ("{}", r#"{"stop_reason":"max_tokens"}"#, "max_tokens"),
            ("{}", r#"{"stopReason":"max_tokens"}"#, "max_tokens"),
            ("{}", r#"{"finish_reason":"MAX_TOKENS"}"#, "MAX_TOKENS"),
            ("{}", r#"{"done_reason":"length"}"#, "length"),
            // Both name it, and it counts once.
            (r#"{"finish_reason":"length"}"#, r#"{"finish_reason":"length"}"#, "length"),
        ] {
            let found = read(&generation(info, metadata));
            assert_eq!(found.finish_reasons, [reason], "{info} {metadata}");
            assert_eq!((found.usage.input, found.usage.output), (Some(5), Some(6)));
            assert_eq!(found.reasoning_tokens, Some(("usage.reasoning_tokens", 4)));
        }
        let anthropic =
            r#"{"generations":[[{"text":"late","message":{"content":"late","type":"ai"}}]],"llm_output":{"stop_reason":"max_tokens"}}"#;
        assert_eq!(read(anthropic).finish_reasons, ["max_tokens"]);
    }

    #[test]
    fn tokens_of_reasoning_are_read_in_the_usage_of_apis() {
        for (usage, expected) in [
            (r#""usage":{"completion_tokens_details":{"reasoning_tokens":64}}"#, Some(("usage.reasoning_tokens", 64))),
            (r#""usage":{"output_tokens_details":{"reasoning_tokens":64}}"#, Some(("usage.reasoning_tokens", 64))),
            (r#""usage":{"inputTokens":1,"reasoningTokens":64}"#, Some(("usage.reasoning_tokens", 64))),
            (r#""usageMetadata":{"thoughtsTokenCount":64}"#, Some(("usage.thoughts_token_count", 64))),
            (r#""usage":{"completion_tokens_details":{"reasoning_tokens":0}}"#, None),
            (r#""usage":{"completion_tokens":64}"#, None),
        ] {
            let body = format!(r#"{{"choices":[{{"message":{{"role":"assistant","content":"hi"}}}}],{usage}}}"#);
            assert_eq!(read(&body).reasoning_tokens, expected, "{usage}");
        }
    }

    #[test]
    fn answers_of_providers_are_read() {
        let call = |id: Option<&str>| ToolCall { id: id.map(str::to_owned), name: "f".into(), arguments: r#"{"x":1}"#.into() };
        for (source, id, reason, text) in [
            (
                "OpenAI Chat",
                Some("c1"),
                "tool_calls",
                r#"{"id":"chatcmpl-1","model":"m","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":"wait","refusal":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]}}],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
            ),
            (
                "Anthropic",
                Some("c1"),
                "tool_use",
                r#"{"type":"message","role":"assistant","model":"m","stop_reason":"tool_use","content":[{"type":"text","text":"wait"},{"type":"tool_use","id":"c1","name":"f","input":{"x":1}}],"usage":{"input_tokens":5,"output_tokens":6}}"#,
            ),
            (
                "Gemini",
                None,
                "STOP",
                r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"wait"},{"functionCall":{"name":"f","args":{"x":1}}}]},"finishReason":"STOP"}],"modelVersion":"m","usageMetadata":{"promptTokenCount":5,"candidatesTokenCount":6}}"#,
            ),
            (
                "Bedrock Converse",
                Some("c1"),
                "tool_use",
                r#"{"modelId":"m","output":{"message":{"role":"assistant","content":[{"text":"wait"},{"toolUse":{"toolUseId":"c1","name":"f","input":{"x":1}}}]}},"stopReason":"tool_use","usage":{"inputTokens":5,"outputTokens":6}}"#,
            ),
            (
                "Ollama",
                None,
                "stop",
                r#"{"model":"m","message":{"role":"assistant","content":"wait","tool_calls":[{"function":{"name":"f","arguments":{"x":1}}}]},"done_reason":"stop","prompt_eval_count":5,"eval_count":6}"#,
            ),
            (
                "Cohere",
                Some("c1"),
                "TOOL_CALL",
                r#"{"id":"1","model":"m","finish_reason":"TOOL_CALL","message":{"role":"assistant","content":[{"type":"text","text":"wait"}],"tool_calls":[{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}]},"usage":{"tokens":{"input_tokens":5,"output_tokens":6}}}"#,
            ),
            (
                "LangChain",
                Some("c1"),
                "tool_calls",
                r#"{"generations":[[{"text":"wait","generation_info":{"finish_reason":"tool_calls"},"message":{"lc":1,"type":"constructor","id":["langchain","schema","messages","AIMessage"],"kwargs":{"content":"wait","type":"ai","tool_calls":[{"name":"f","args":{"x":1},"id":"c1"}]}}}]],"llm_output":{"model_name":"m","token_usage":{"prompt_tokens":5,"completion_tokens":6}}}"#,
            ),
            (
                "Vercel AI SDK",
                Some("c1"),
                "tool-calls",
                r#"{"model":"m","text":"wait","toolCalls":[{"toolCallId":"c1","toolName":"f","input":{"x":1}}],"finishReason":"tool-calls","usage":{"inputTokens":5,"outputTokens":6}}"#,
            ),
            (
                "Haystack",
                Some("c1"),
                "tool_calls",
                r#"{"model":"m","replies":[{"role":"assistant","meta":{"finish_reason":"tool_calls","usage":{"prompt_tokens":5,"completion_tokens":6}},"content":[{"text":"wait"},{"tool_call":{"tool_name":"f","arguments":{"x":1},"id":"c1"}}]}]}"#,
            ),
        ] {
            let found = read(text);
            let [message] = found.messages.as_slice() else { panic!("{source}: {:?}", found.messages) };
            assert_eq!((message.role.as_str(), message.content.as_str()), ("assistant", "wait"), "{source}");
            assert_eq!(message.tool_calls, [call(id)], "{source}");
            assert_eq!(found.finish_reasons, [reason], "{source}");
            assert_eq!((found.usage.input, found.usage.output), (Some(5), Some(6)), "{source}");
            if source != "LangChain" {
                assert_eq!(found.model.as_deref(), Some("m"), "{source}");
            }
        }
    }

    #[test]
    fn answers_of_the_responses_api_are_read() {
        let found = read(
            r#"{"object":"response","status":"incomplete","incomplete_details":{"reason":"max_output_tokens"},"model":"m","output":[
            {"type":"reasoning","summary":[]},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"cut"}]}],"usage":{"input_tokens":5,"output_tokens":6}}"#,
        );
        assert_eq!((found.messages.len(), found.messages[0].content.as_str()), (1, "cut"));
        assert_eq!(found.finish_reasons, ["max_output_tokens"]);
        let failed = read(r#"{"object":"response","status":"failed","error":{"code":"server_error","message":"boom"},"output":[]}"#);
        assert_eq!(failed.finish_reasons, ["failed"]);
        let request = read(r#"{"model":"m","instructions":"Be brief.","input":"hi","tools":[{"type":"function","name":"f"}]}"#);
        let roles: Vec<_> = request.messages.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
        assert_eq!((roles, request.tools), (vec![("system", "Be brief."), ("user", "hi")], vec!["f".to_owned()]));
    }

    #[test]
    fn requests_with_the_system_prompt_beside_the_messages_are_read() {
        for text in [
            r#"{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"hi"}],"tools":[{"function":{"name":"f"}},{"name":"g"}]}"#,
            r#"{"system":[{"text":"Be brief."}],"messages":[{"role":"user","content":[{"text":"hi"}]}],"toolConfig":{"tools":[{"toolSpec":{"name":"f"}},{"toolSpec":{"name":"g"}}]}}"#,
            r#"{"systemInstruction":{"parts":[{"text":"Be brief."}]},"contents":[{"role":"user","parts":[{"text":"hi"}]}],"tools":[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}]}"#,
            r#"{"system":"Be brief.","prompt":"hi","tools":["f","g"]}"#,
        ] {
            let found = read(text);
            let messages: Vec<_> = found.messages.iter().map(|message| (message.role.as_str(), message.content.as_str())).collect();
            assert_eq!(messages, [("system", "Be brief."), ("user", "hi")], "{text}");
            assert_eq!(found.tools, ["f", "g"], "{text}");
        }
    }

    #[test]
    fn serialized_langchain_messages_are_read() {
        let found = read(
            r#"{"generations":[[{"text":"","generation_info":{"finish_reason":"tool_calls"},"message":{"lc":1,"type":"constructor",
            "id":["langchain","schema","messages","AIMessage"],"kwargs":{"content":"","type":"ai","additional_kwargs":{"refusal":"no"},
            "tool_calls":[{"name":"f","args":{"x":1},"id":"c1"}],"invalid_tool_calls":[{"name":"g","args":"{\"x","id":"c2"}]}}}]]}"#,
        );
        assert_eq!((found.messages[0].role.as_str(), found.messages[0].refusal.as_deref()), ("assistant", Some("no")));
        let calls: Vec<_> = found.messages[0].tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, [("f", r#"{"x":1}"#), ("g", "{\"x")]);
        assert_eq!(found.finish_reasons, ["tool_calls"]);
    }

    #[test]
    fn a_blocked_prompt_has_a_finish_reason_and_no_message() {
        let found = read(r#"{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"},"usageMetadata":{"promptTokenCount":5}}"#);
        assert_eq!((found.messages.len(), found.finish_reasons.as_slice()), (0, &["PROHIBITED_CONTENT".to_owned()][..]));
    }

    #[test]
    fn an_answer_may_be_only_text() {
        let found = read(r#"{"text":"cut","finish_reason":"length","usage":{"completion_tokens":6}}"#);
        assert_eq!((found.messages[0].role.as_str(), found.messages[0].content.as_str()), ("assistant", "cut"));
        assert_eq!(found.finish_reasons, ["length"]);
    }

    #[test]
    fn other_objects_are_no_conversation() {
        for text in [
            r#"{"order_id": "A-1", "status": "late"}"#,
            r#"{"text": "a label", "score": 0.3}"#,
            r#"{"input": "hi", "output": {"total": 3}}"#,
            r#"[1, 2, {"kind": "order"}]"#,
            r#"{"result": {"items": [{"type": "book"}]}}"#,
        ] {
            assert_eq!(conversation(&Value::parse(text).unwrap()), None, "{text}");
        }
    }
}
