//! Chat messages, in the shapes that instrumentations and SDKs write.
//!
//! | source | shape |
//! |---|---|
//! | OpenAI | `{role, content, refusal, tool_calls: [{id, function: {name, arguments}}]}`; `content` may be a list of parts |
//! | OTel GenAI | `{role, parts: [{type: text \| tool_call \| tool_call_response \| refusal, …}], finish_reason}` |
//! | Anthropic | `content` as a list of blocks, with `tool_use` and `tool_result` |
//! | LangChain | `{type: ai, content, tool_calls}`, or serialized: `{lc: 1, type: constructor, id: […, AIMessage], kwargs: {…}}` |
//! | Datadog | tool calls as `{name, tool_id, arguments}` |

use super::value::Value;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Message, ToolCall};

/// The input or output of a model call.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Conversation {
    pub(super) messages: Vec<Message>,
    pub(super) finish_reasons: Vec<String>,
    /// Names of the tools that the request offers to the model.
    pub(super) tools: Vec<String>,
}

/// The messages of a request or a response of a provider's API, in any of these shapes; `None` if the value contains no message.
pub(super) fn conversation(tree: &Value<'_>) -> Option<Conversation> {
    let mut found = Conversation::default();
    collect(tree, &mut found, 0);
    found.tools.extend(tree.get("tools").items().iter().filter_map(tool_name));
    (!found.messages.is_empty()).then_some(found)
}

/// How many lists and objects around a message are opened: `{"generations": [[{"message": {…}}]]}`.
const ENVELOPES_MAX: usize = 5;

fn collect(tree: &Value<'_>, found: &mut Conversation, depth: usize) {
    if depth > ENVELOPES_MAX || found.messages.len() > SPAN_ITEMS_MAX {
        return;
    }
    if let Value::List(items) = tree {
        for item in items {
            collect(item, found, depth + 1);
        }
        return;
    }
    let envelope = ["messages", "choices", "generations"].iter().map(|key| tree.get(key)).find(|inner| matches!(inner, Value::List(_)));
    if let Some(inner) = envelope {
        // Anthropic's API has the system prompt beside the messages.
        if let Some(system) = tree.get("system").as_str() {
            found.messages.push(Message { role: "system".into(), content: system.to_owned(), ..Message::default() });
        }
        collect(inner, found, depth + 1);
        return;
    }
    let reason = [tree, tree.get("generation_info")].iter().find_map(|holder| {
        ["finish_reason", "stop_reason"].iter().find_map(|key| holder.get(key).as_str().filter(|reason| !reason.is_empty()))
    });
    found.finish_reasons.extend(reason.map(str::to_owned));
    let inner = tree.get("message");
    found.messages.extend(message(if inner.is_null() { tree } else { inner }));
}

/// Messages and finish reasons of a list of messages, or of a single one.
pub(super) fn from_tree(tree: &Value<'_>) -> Option<(Vec<Message>, Vec<String>)> {
    let items = match tree {
        Value::List(items) => items.as_slice(),
        Value::Map(_) => std::slice::from_ref(tree),
        _ => return None,
    };
    // One more than the limit is kept, so that the span counts as cut.
    let messages = items.iter().filter_map(message).take(SPAN_ITEMS_MAX + 1).collect();
    let reasons = items.iter().filter_map(|item| item.text_at("finish_reason")).take(SPAN_ITEMS_MAX + 1).collect();
    Some((messages, reasons))
}

/// One message; `None` if the value has neither a role nor content.
pub(super) fn message(value: &Value<'_>) -> Option<Message> {
    let serialized = value.get("kwargs");
    let value = if value.get("lc").is_null() || serialized.is_null() { value } else { serialized };
    if !value.fields().iter().any(|(key, _)| matches!(key.as_ref(), "role" | "content" | "parts" | "tool_calls")) {
        return None;
    }
    let mut message = Message {
        role: value.get("role").as_str().or_else(|| langchain_role(value)).unwrap_or_default().to_owned(),
        refusal: value.first(&["refusal"]).as_str().or_else(|| value.get("additional_kwargs").get("refusal").as_str()).map(str::to_owned),
        tool_call_id: value.first(&["tool_call_id", "id"]).as_str().map(str::to_owned),
        ..Message::default()
    };
    for key in ["content", "parts"] {
        match value.get(key) {
            Value::Text(text) => message.content.push_str(text),
            Value::List(parts) => parts.iter().for_each(|part| add_part(&mut message, part)),
            _ => {}
        }
    }
    for key in ["tool_calls", "invalid_tool_calls"] {
        message.tool_calls.extend(value.get(key).items().iter().filter_map(tool_call));
    }
    Some(message)
}

/// The role of a LangChain message, as providers name it.
fn langchain_role<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    Some(match value.get("type").as_str()? {
        "human" => "user",
        "ai" | "AIMessageChunk" => "assistant",
        other => other,
    })
}

/// A tool call, whose name and arguments are under `function` or beside the id.
pub(super) fn tool_call(value: &Value<'_>) -> Option<ToolCall> {
    let function = value.get("function");
    let call = if matches!(function, Value::Map(_)) { function } else { value };
    let name = call.text_at("name")?;
    let arguments = call.first(&["arguments", "args", "input"]);
    // Datadog wraps arguments that are not valid JSON.
    let arguments = match arguments.fields() {
        [(key, Value::Text(raw))] if key == "value" && raw.starts_with('{') => raw.to_string(),
        _ => arguments.to_text(),
    };
    Some(ToolCall { id: value.first(&["id", "tool_id"]).as_str().map(str::to_owned), name, arguments })
}

/// The name in a tool definition: `{"function": {"name"}}` or `{"name"}`.
pub(super) fn tool_name(definition: &Value<'_>) -> Option<String> {
    definition.get("function").text_at("name").or_else(|| definition.text_at("name"))
}

fn add_part(message: &mut Message, part: &Value<'_>) {
    match part.get("type").as_str() {
        Some("tool_call" | "tool_use" | "function_call") => message.tool_calls.extend(tool_call(part)),
        Some("tool_call_response" | "tool_result") => {
            message.tool_call_id = part.first(&["id", "tool_use_id"]).as_str().map(str::to_owned);
            add_text(&mut message.content, &part.first(&["response", "result", "content"]).to_text());
        }
        Some("refusal") => message.refusal = part.first(&["refusal", "content"]).as_str().map(str::to_owned),
        _ => add_text(&mut message.content, part.as_str().or_else(|| part.first(&["content", "text"]).as_str()).unwrap_or_default()),
    }
}

fn add_text(content: &mut String, text: &str) {
    if !content.is_empty() && !text.is_empty() {
        content.push('\n');
    }
    content.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_text(text: &str) -> (Vec<Message>, Vec<String>) {
        from_tree(&Value::parse(text).unwrap()).unwrap()
    }

    #[test]
    fn openai_messages_are_read() {
        let text = r#"[{"role":"user","content":[{"type":"text","text":"a"},{"type":"text","text":"b"}]},
            {"role":"assistant","content":null,"refusal":"no","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"x\": 1"}}]}]"#;
        let (messages, reasons) = from_text(text);
        assert_eq!(messages[0].content, "a\nb");
        assert_eq!(messages[1].refusal.as_deref(), Some("no"));
        assert_eq!(messages[1].tool_calls, [ToolCall { id: Some("c1".into()), name: "f".into(), arguments: "{\"x\": 1".into() }]);
        assert!(reasons.is_empty());
    }

    #[test]
    fn gen_ai_parts_are_read() {
        let text = r#"[{"role":"assistant","parts":[{"type":"text","content":"hi"},{"type":"tool_call","id":"c","name":"f","arguments":{"x":1}}],"finish_reason":"tool_call"},
            {"role":"tool","parts":[{"type":"tool_call_response","id":"c","response":"42"}]}]"#;
        let (messages, reasons) = from_text(text);
        assert_eq!(messages[0].content, "hi");
        assert_eq!(messages[0].tool_calls[0].arguments, r#"{"x":1}"#);
        assert_eq!((messages[1].content.as_str(), messages[1].tool_call_id.as_deref()), ("42", Some("c")));
        assert_eq!(reasons, ["tool_call"]);
    }

    #[test]
    fn serialized_langchain_messages_are_read() {
        let text = r#"{"generations":[[{"text":"","generation_info":{"finish_reason":"tool_calls"},"message":{"lc":1,"type":"constructor",
            "id":["langchain","schema","messages","AIMessage"],"kwargs":{"content":"","type":"ai","additional_kwargs":{"refusal":"no"},
            "tool_calls":[{"name":"f","args":{"x":1},"id":"c1"}],"invalid_tool_calls":[{"name":"g","args":"{\"x","id":"c2"}]}}}]]}"#;
        let found = conversation(&Value::parse(text).unwrap()).unwrap();
        assert_eq!((found.messages[0].role.as_str(), found.messages[0].refusal.as_deref()), ("assistant", Some("no")));
        let calls: Vec<_> = found.messages[0].tool_calls.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect();
        assert_eq!(calls, [("f", r#"{"x":1}"#), ("g", "{\"x")]);
        assert_eq!(found.finish_reasons, ["tool_calls"]);
    }

    #[test]
    fn requests_and_responses_of_providers_are_read() {
        let request = r#"{"model":"m","system":"Be brief.","messages":[{"role":"user","content":"hi"}],"tools":[{"function":{"name":"f"}},{"name":"g"}]}"#;
        let found = conversation(&Value::parse(request).unwrap()).unwrap();
        assert_eq!(found.messages.iter().map(|message| message.role.as_str()).collect::<Vec<_>>(), ["system", "user"]);
        assert_eq!(found.tools, ["f", "g"]);
        let anthropic = r#"{"role":"assistant","stop_reason":"tool_use","content":[{"type":"tool_use","id":"t","name":"f","input":{}}]}"#;
        let found = conversation(&Value::parse(anthropic).unwrap()).unwrap();
        assert_eq!((found.messages[0].tool_calls.len(), found.finish_reasons[0].as_str()), (1, "tool_use"));
        assert_eq!(conversation(&Value::parse(r#"{"order_id": "A-1", "status": "late"}"#).unwrap()), None);
    }

    #[test]
    fn arguments_wrapped_by_datadog_are_unwrapped() {
        let wrapped = Value::parse(r#"{"name":"f","tool_id":"c1","arguments":{"value":"{\"city\": \"Par"}}"#).unwrap();
        assert_eq!(tool_call(&wrapped), Some(ToolCall { id: Some("c1".into()), name: "f".into(), arguments: "{\"city\": \"Par".into() }));
        let own = Value::parse(r#"{"name":"f","arguments":{"value":"7"}}"#).unwrap();
        assert_eq!(tool_call(&own).unwrap().arguments, r#"{"value":"7"}"#);
    }
}
