//! Chat messages, and the bodies of requests and responses that contain them, in the shapes of providers, SDKs and frameworks.
//!
//! Readers go by the shape of a value, not by where it was found: the same body of a provider's API occurs in attributes of OTLP spans, in
//! inputs and outputs of Langfuse, LangSmith and `MLflow`, and in log records.
//!
//! | source | shape |
//! |---|---|
//! | OpenAI Chat, Mistral, Ollama | `{role, content, refusal, tool_calls: [{id, function: {name, arguments}}]}`; `content` may be a list of parts |
//! | OpenAI Responses | items `{type: message \| function_call \| function_call_output \| reasoning, …}` in `input` or `output`, beside `instructions` |
//! | Anthropic | `content` as a list of blocks, with `tool_use` and `tool_result` |
//! | Gemini | `{role, parts: [{text} \| {functionCall} \| {functionResponse}]}` in `contents` or `candidates[].content`, beside `systemInstruction` |
//! | Bedrock Converse, Strands | `{role, content: [{text} \| {toolUse} \| {toolResult}]}` in `messages` or `output.message` |
//! | OTel GenAI | `{role, parts: [{type: text \| tool_call \| tool_call_response \| refusal, …}], finish_reason}` |
//! | Vercel AI SDK, Mastra | `content: [{type: tool-call, toolCallId, toolName, input}, {type: tool-result, …, output: {type, value}}]` |
//! | Pydantic AI | `{kind: request, parts: [{part_kind: user-prompt \| tool-return \| …}]}` |
//! | Haystack | `{role, content: [{text} \| {tool_call} \| {tool_call_result}], meta: {finish_reason, usage}}` |
//! | LangChain | `{type: ai, content, tool_calls}`, or serialized: `{lc: 1, type: constructor, id: […, AIMessage], kwargs: {…}}` in `generations` |
//! | `LlamaIndex` | `{role, blocks: [{block_type: text, text}], additional_kwargs: {tool_calls}}` |
//! | Genkit | `{role, content: [{text} \| {toolRequest: {name, ref, input}} \| {toolResponse: {name, ref, output}}]}` |
//! | Datadog | tool calls as `{name, tool_id, arguments}` |
//!
//! `body` finds the messages of a body, `plain` those of a model that completes text, `message` reads one message, `tool_call` one call and one
//! definition of a tool, `tool_envelope` the arguments and the result of a tool.

mod body;
mod message;
mod plain;
mod tool_call;
mod tool_envelope;

pub(super) use self::body::{Conversation, conversation, system_message, system_text};
pub(super) use self::message::{add_messages, message, tool_result_text};
pub(super) use self::plain::{answer, prompt};
pub(super) use self::tool_call::{tool_call, tool_name, tool_names};
pub(super) use self::tool_envelope::{tool_arguments, tool_outcome, tool_outcome_of_text};
use super::value::Value;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::Message;

/// Messages and finish reasons of a list of messages, or of a single one.
pub(super) fn from_tree(tree: &Value<'_>) -> Option<(Vec<Message>, Vec<String>)> {
    let items = match tree {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(tree),
        _ => return None,
    };
    let mut messages = Vec::new();
    // One more than the limit is kept, so that the span counts as cut.
    for item in items {
        if messages.len() > SPAN_ITEMS_MAX {
            break;
        }
        add_messages(item, &mut messages);
    }
    let reasons = items.iter().filter_map(|item| item.text_at("finish_reason")).take(SPAN_ITEMS_MAX + 1).collect();
    Some((messages, reasons))
}
