//! Lists that arrive one attribute at a time, each with its index in the key: `llm.input_messages.3.message.role`.

use std::collections::BTreeMap;

use crate::model::{Message, ToolCall};
use crate::parse::value::Value;

/// Items ordered by their index. Gaps take no space, so a hostile index needs the memory of one item.
#[derive(Debug)]
pub(super) struct IndexedItems<T>(BTreeMap<usize, T>);

impl<T> Default for IndexedItems<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Default> IndexedItems<T> {
    /// The item at `index`, inserted if it is new.
    pub(super) fn item_mut(&mut self, index: usize) -> &mut T {
        self.0.entry(index).or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = T> {
        self.0.into_values()
    }
}

/// Splits `3.message.role` into `(3, "message.role")`.
pub(super) fn split_index(key: &str) -> Option<(usize, &str)> {
    let (index, rest) = key.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

/// A message whose fields and tool calls arrive one at a time.
#[derive(Debug, Default)]
pub(super) struct MessageParts {
    message: Message,
    tool_calls: IndexedItems<ToolCall>,
}

impl MessageParts {
    /// Sets one part: `role`, `content`, `tool_calls.0.name` and so on. Returns the value if the part is unknown.
    pub(super) fn set<'v>(&mut self, part: &str, value: Value<'v>) -> Option<Value<'v>> {
        let message = &mut self.message;
        match part {
            "role" => message.role = role(value.into_text().unwrap_or_default()),
            "content" => message.content = value.into_text().unwrap_or_default(),
            "refusal" => message.refusal = value.into_text(),
            "tool_call_id" => message.tool_call_id = value.into_text(),
            // A single call in OpenAI's old API.
            "function_call_name" => self.tool_calls.item_mut(0).name = value.into_text().unwrap_or_default(),
            "function_call_arguments_json" => self.tool_calls.item_mut(0).arguments = value.into_text().unwrap_or_default(),
            _ => {
                if let Some((_, rest)) = part.strip_prefix("contents.").and_then(split_index) {
                    return add_content(message, rest, value);
                }
                let Some((index, rest)) = part.strip_prefix("tool_calls.").and_then(split_index) else { return Some(value) };
                return set_tool_call(self.tool_calls.item_mut(index), rest, value);
            }
        }
        None
    }

    fn into_message(self) -> Message {
        let mut message = self.message;
        message.tool_calls.extend(self.tool_calls.into_items());
        message
    }
}

/// A role in the words of OpenAI's API, where smolagents has its own.
fn role(word: String) -> String {
    match word.as_str() {
        "tool-response" => "tool".to_owned(),
        "tool-call" => "assistant".to_owned(),
        _ => word,
    }
}

/// Appends a text part of a multimodal message, `message_content.text`; other parts (images) are not text.
fn add_content<'v>(message: &mut Message, part: &str, value: Value<'v>) -> Option<Value<'v>> {
    if !part.ends_with("text") {
        return Some(value);
    }
    let text = value.into_text().unwrap_or_default();
    if !message.content.is_empty() {
        message.content.push('\n');
    }
    message.content.push_str(&text);
    None
}

/// `tool_call.function.name` (OpenInference) or `name` (OpenLLMetry).
fn set_tool_call<'v>(call: &mut ToolCall, part: &str, value: Value<'v>) -> Option<Value<'v>> {
    match part.strip_prefix("tool_call.").unwrap_or(part) {
        "id" => call.id = value.into_text(),
        "function.name" | "name" => call.name = value.into_text().unwrap_or_default(),
        "function.arguments" | "arguments" => call.arguments = value.into_text().unwrap_or_default(),
        _ => return Some(value),
    }
    None
}

impl IndexedItems<MessageParts> {
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.into_items().map(MessageParts::into_message).collect()
    }
}
