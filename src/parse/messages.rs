//! Chat messages, in the shapes in which instrumentations write them as JSON.
//!
//! `OpenAI`'s `{role, content, refusal, tool_calls: [{id, function: {name, arguments}}]}`, content as a list of parts, and the `OTel`
//! `GenAI` conventions' `{role, parts: [{type: text | tool_call | tool_call_response | refusal, …}], finish_reason}`.

use serde_json::Value;

use super::json::parse_tree;
use crate::model::{Message, ToolCall};

/// Messages and finish reasons of a JSON text; nothing where it is no list of messages.
pub(super) fn from_text(text: &str) -> Option<(Vec<Message>, Vec<String>)> {
    parse_tree(text).and_then(|tree| from_tree(&tree))
}

/// Messages and finish reasons of a list of messages, or of a single one.
pub(super) fn from_tree(tree: &Value) -> Option<(Vec<Message>, Vec<String>)> {
    let items = match tree {
        Value::Array(items) => items.as_slice(),
        Value::Object(_) => std::slice::from_ref(tree),
        _ => return None,
    };
    let messages = items.iter().filter_map(message).collect();
    let reasons = items.iter().filter_map(|item| item["finish_reason"].as_str().map(str::to_owned)).collect();
    Some((messages, reasons))
}

/// One message; nothing where the value has neither role nor content.
pub(super) fn message(value: &Value) -> Option<Message> {
    let fields = value.as_object()?;
    if !["role", "content", "parts", "tool_calls"].iter().any(|key| fields.contains_key(*key)) {
        return None;
    }
    let mut message = Message {
        role: value["role"].as_str().unwrap_or_default().to_owned(),
        refusal: value["refusal"].as_str().map(str::to_owned),
        tool_call_id: value["tool_call_id"].as_str().or_else(|| value["id"].as_str()).map(str::to_owned),
        ..Message::default()
    };
    for key in ["content", "parts"] {
        match &value[key] {
            Value::String(text) => message.content.push_str(text),
            Value::Array(parts) => parts.iter().for_each(|part| add_part(&mut message, part)),
            _ => {}
        }
    }
    if let Value::Array(calls) = &value["tool_calls"] {
        message.tool_calls.extend(calls.iter().filter_map(tool_call));
    }
    Some(message)
}

/// A tool call, with name and arguments under `function` or beside the id.
pub(super) fn tool_call(value: &Value) -> Option<ToolCall> {
    let call = if value["function"].is_object() { &value["function"] } else { value };
    let name = call["name"].as_str()?.to_owned();
    let arguments = ["arguments", "args", "input"].iter().find_map(|key| call.get(*key)).map(as_text).unwrap_or_default();
    Some(ToolCall { id: value["id"].as_str().map(str::to_owned), name, arguments })
}

fn add_part(message: &mut Message, part: &Value) {
    match part["type"].as_str() {
        Some("tool_call" | "tool_use" | "function_call") => message.tool_calls.extend(tool_call(part)),
        Some("tool_call_response" | "tool_result") => {
            message.tool_call_id = part["id"].as_str().or_else(|| part["tool_use_id"].as_str()).map(str::to_owned);
            let answer = ["response", "result", "content"].iter().find_map(|key| part.get(*key));
            add_text(&mut message.content, &answer.map(as_text).unwrap_or_default());
        }
        Some("refusal") => {
            message.refusal = part["refusal"].as_str().or_else(|| part["content"].as_str()).map(str::to_owned);
        }
        _ => {
            let text = part.as_str().or_else(|| part["content"].as_str()).or_else(|| part["text"].as_str()).unwrap_or_default();
            add_text(&mut message.content, text);
        }
    }
}

fn add_text(content: &mut String, text: &str) {
    if !content.is_empty() && !text.is_empty() {
        content.push('\n');
    }
    content.push_str(text);
}

/// A string as it is, everything else as JSON.
pub(super) fn as_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openai_messages() {
        let text = r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"refusal":"no","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"x\": 1"}}]}]"#;
        let (messages, reasons) = from_text(text).unwrap();
        assert_eq!(messages[0].content, "a\nb");
        assert_eq!(messages[1].refusal.as_deref(), Some("no"));
        assert_eq!(messages[1].tool_calls, [ToolCall { id: Some("c1".into()), name: "f".into(), arguments: "{\"x\": 1".into() }]);
        assert!(reasons.is_empty());
    }

    #[test]
    fn genai_parts() {
        let text = r#"[{"role":"assistant","parts":[{"type":"text","content":"hi"},{"type":"tool_call","id":"c","name":"f","arguments":{"x":1}}],"finish_reason":"tool_call"},
            {"role":"tool","parts":[{"type":"tool_call_response","id":"c","response":"42"}]}]"#;
        let (messages, reasons) = from_text(text).unwrap();
        assert_eq!(messages[0].content, "hi");
        assert_eq!(messages[0].tool_calls[0].arguments, r#"{"x":1}"#);
        assert_eq!((messages[1].content.as_str(), messages[1].tool_call_id.as_deref()), ("42", Some("c")));
        assert_eq!(reasons, ["tool_call"]);
    }

    #[test]
    fn text_that_is_no_list_of_messages_is_left_alone() {
        assert_eq!(from_text("hello"), None);
        assert_eq!(from_text("[1, 2]").unwrap().0, []);
        assert_eq!(from_text("{\"cut\": "), None);
    }
}
