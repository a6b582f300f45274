//! Conversations that are exported in other shapes: `ShareGPT`'s lists, and the data export of `ChatGPT`.

use std::collections::HashMap;

use crate::parse::value::Value;

/// The messages of `ShareGPT`: `{"from": "human", "value": "…"}`; other values unchanged.
pub(super) fn from_sharegpt(items: Vec<Value<'_>>) -> Vec<Value<'_>> {
    let convert = |item: Value<'_>| {
        let Some(speaker) = item.text_at("from") else { return item.into_owned() };
        let text = item.get("value").to_text();
        let role = match speaker.as_str() {
            "human" | "user" => "user",
            "gpt" | "model" | "assistant" | "bot" | "chatgpt" | "bing" | "bard" | "function_call" => "assistant",
            "observation" | "tool" | "function_response" => "tool",
            other => other,
        };
        let call = (speaker == "function_call").then(|| Value::parse(&text).map(Value::into_owned)).flatten();
        let mut fields = vec![("role".into(), Value::Text(role.to_owned().into()))];
        match call {
            Some(call) => fields.push(("tool_calls".into(), Value::List(vec![call]))),
            None => fields.push(("content".into(), Value::Text(text.into()))),
        }
        Value::Map(fields)
    };
    items.into_iter().map(convert).collect()
}

/// The messages of a conversation of `ChatGPT`, from the first to the current one. The conversation is a tree, because a prompt may be edited.
pub(super) fn from_chatgpt(mapping: &Value<'_>, current: Option<&str>) -> Vec<Value<'static>> {
    let nodes: HashMap<&str, &Value<'_>> = mapping.fields().iter().map(|(id, node)| (id.as_ref(), node)).collect();
    let last = || mapping.fields().iter().rev().find(|(_, node)| node.get("children").items().is_empty()).map(|(id, _)| id.as_ref());
    let mut next = current.filter(|id| nodes.contains_key(id)).or_else(last);
    let mut messages = Vec::new();
    // A node occurs once, unless the tree has a loop.
    for _ in 0..nodes.len() {
        let Some(node) = next.and_then(|id| nodes.get(id)) else { break };
        messages.extend(chatgpt_message(node.get("message")));
        next = node.get("parent").as_str();
    }
    messages.reverse();
    messages
}

/// `{"author": {"role", "name"}, "content": {"content_type": "text", "parts": […]}, "recipient": "python", "create_time": 1.0}`
fn chatgpt_message(message: &Value<'_>) -> Option<Value<'static>> {
    let author = message.get("author");
    let role = author.text_at("role")?;
    let content = message.get("content");
    let parts = content.get("parts").items().iter().map(|part| part.as_str().map_or_else(|| part.get("text").to_text(), str::to_owned));
    let mut text = parts.collect::<Vec<_>>().join("\n");
    if text.is_empty() {
        text = content.first(&["text", "result"]).to_text();
    }
    // Hidden instructions, and thoughts.
    if text.is_empty() && role == "system" || matches!(content.get("content_type").as_str(), Some("thoughts" | "reasoning_recap")) {
        return None;
    }
    let name = author.text_at("name").map(|name| ("name".into(), Value::Text(name.into())));
    let recipient = message.text_at("recipient").filter(|recipient| recipient != "all" && role == "assistant");
    let mut fields = vec![("role".into(), Value::Text(role.into()))];
    fields.extend(name);
    if let Some(tool) = recipient {
        let call = vec![("name".into(), Value::Text(tool.into())), ("arguments".into(), Value::Text(text.into()))];
        fields.push(("tool_calls".into(), Value::List(vec![Value::Map(call)])));
    } else {
        fields.push(("content".into(), Value::Text(text.into())));
    }
    let details = message.get("metadata").get("finish_details").text_at("type");
    fields.extend(details.map(|reason| ("finish_reason".into(), Value::Text(reason.into()))));
    fields.push(("timestamp".into(), message.get("create_time").clone().into_owned()));
    Some(Value::Map(fields))
}
