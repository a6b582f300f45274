//! One message, in any of the shapes in the [module docs](super).

use super::tool_call::tool_call;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::Message;
use crate::parse::value::Value;

/// One message; `None` if the value has neither a role nor content. Several tool results in it are joined.
pub(in crate::parse) fn message(value: &Value<'_>) -> Option<Message> {
    let mut all = Vec::new();
    add_messages(value, &mut all);
    let mut all = all.into_iter();
    let mut joined = all.next()?;
    for other in all {
        add_text(&mut joined.content, &other.content);
        joined.tool_calls.extend(other.tool_calls);
        joined.refusal = joined.refusal.or(other.refusal);
        joined.tool_call_id = joined.tool_call_id.or(other.tool_call_id);
    }
    Some(joined)
}

/// Adds the messages of a value: one, or several if it contains tool results or parts with roles of their own. None if the value has neither
/// a role nor content.
pub(in crate::parse) fn add_messages(value: &Value<'_>, messages: &mut Vec<Message>) {
    let envelope = value;
    let value = unwrapped(value);
    if !has_message_keys(value) {
        return;
    }
    let role = Some(role(value)).filter(|role| !role.is_empty()).unwrap_or_else(|| role(envelope));
    let mut reader = MessageReader {
        message: Message {
            role: role.to_owned(),
            refusal: [value, value.get("additional_kwargs")].iter().find_map(|holder| holder.text_at("refusal")),
            tool_call_id: answered_call(value),
            ..Message::default()
        },
        tool_results: Vec::new(),
        others: Vec::new(),
        has_other_content: false,
    };
    match value.get("type").as_str() {
        // Items of OpenAI's Responses API.
        Some("reasoning" | "item_reference") => return,
        Some("function_call_output" | "custom_tool_call_output" | "computer_call_output" | "local_shell_call_output") => {
            reader.add_tool_result(value);
        }
        Some(kind) if kind.ends_with("_call") && value.get("role").is_null() => reader.add_call_item(kind, value),
        _ => reader.add_content(value),
    }
    reader.finish(messages);
}

/// The object that has the fields of the message: serialized LangChain messages have them in `kwargs` or `data`.
fn unwrapped<'v>(value: &'v Value<'v>) -> &'v Value<'v> {
    let kwargs = value.get("kwargs");
    if !value.get("lc").is_null() && !kwargs.is_null() {
        return kwargs;
    }
    let data = value.get("data");
    if matches!(data, Value::Map(_)) && !data.get("content").is_null() && value.get("content").is_null() { data } else { value }
}

/// Whether the value has a field that only messages have, or that they have at least.
pub(super) fn has_message_keys(value: &Value<'_>) -> bool {
    const KEYS: [&str; 14] = [
        "role",
        "_role",
        "content",
        "_content",
        "parts",
        "blocks",
        "tool_calls",
        "toolCalls",
        "function_call",
        "toolUse",
        "toolResult",
        "part_kind",
        "functionCall",
        "functionResponse",
    ];
    let is_item = || value.get("type").as_str().is_some_and(|kind| kind.ends_with("_call") || kind.ends_with("_call_output"));
    value.fields().iter().any(|(key, _)| KEYS.contains(&key.as_ref())) || is_item()
}

/// The role of a message, in the words of OpenAI's API where a framework has its own.
fn role<'v>(value: &'v Value<'_>) -> &'v str {
    if let Some(word) = value.first(&["role", "_role"]).as_str() {
        return match word {
            // The repr of an enum in Python, the words of Cohere, and Gemini's `model`.
            "ChatRole.USER" | "MessageRole.USER" | "Role.USER" | "USER" => "user",
            "model" | "ChatRole.ASSISTANT" | "MessageRole.ASSISTANT" | "Role.ASSISTANT" | "ASSISTANT" | "CHATBOT" => "assistant",
            "ChatRole.SYSTEM" | "MessageRole.SYSTEM" | "Role.SYSTEM" | "SYSTEM" => "system",
            "ChatRole.TOOL" | "MessageRole.TOOL" | "Role.TOOL" | "TOOL" => "tool",
            word => word,
        };
    }
    // LangChain's serialization: `["langchain_core", "messages", "AIMessage"]`.
    let class = value.get("id").items().last().and_then(Value::as_str);
    let word = class.or_else(|| value.first(&["type", "kind", "part_kind", "source"]).as_str()).unwrap_or_default();
    match word {
        // Pydantic AI: `request` and `response`, whose parts have the roles.
        "human" | "HumanMessage" | "HumanMessageChunk" | "user-prompt" | "UserMessage" | "request" => "user",
        "ai" | "AIMessage" | "AIMessageChunk" | "AssistantMessage" | "text" | "response" => "assistant",
        "SystemMessage" | "system-prompt" => "system",
        "ToolMessage" | "tool-return" | "retry-prompt" | "FunctionExecutionResultMessage" => "tool",
        "message" | "constructor" => "",
        _ => word,
    }
}

/// The id of the call that a tool's message answers. The `id` of other messages is their own.
fn answered_call(value: &Value<'_>) -> Option<String> {
    let explicit = value.first(&["tool_call_id", "toolCallId", "call_id"]).as_str();
    explicit.or_else(|| value.get("id").as_str().filter(|_| matches!(role(value), "tool" | "function" | ""))).map(str::to_owned)
}

/// A message and the tool results that its parts contain.
struct MessageReader {
    message: Message,
    tool_results: Vec<Message>,
    /// Parts with another role than the message.
    others: Vec<Message>,
    /// Whether there is content that is not text: an image, or a part of an unknown shape.
    has_other_content: bool,
}

impl MessageReader {
    fn finish(mut self, messages: &mut Vec<Message>) {
        let has_content = !self.message.content.is_empty() || !self.message.tool_calls.is_empty() || self.message.refusal.is_some();
        let has_parts = !self.others.is_empty() || !self.tool_results.is_empty();
        let is_only_envelope = has_parts && !has_content;
        if is_only_envelope && let [only] = self.tool_results.as_mut_slice() {
            // A single result keeps the role and the id of its message. In Anthropic's API that is the role of the user.
            if !matches!(self.message.role.as_str(), "user" | "" | "assistant") && !self.message.role.ends_with("_output") {
                only.role.clone_from(&self.message.role);
            }
            only.tool_call_id = only.tool_call_id.take().or(self.message.tool_call_id.take());
        }
        messages.append(&mut self.others);
        messages.append(&mut self.tool_results);
        // A message whose content could not be read must not look like an empty one.
        if !is_only_envelope && (has_content || !self.has_other_content) {
            messages.push(self.message);
        }
    }

    /// The content, tool calls and parts of a message.
    fn add_content(&mut self, value: &Value<'_>) {
        for key in ["content", "_content", "parts", "blocks"] {
            match value.get(key) {
                Value::Text(text) => add_text(&mut self.message.content, text),
                Value::List(parts) => parts.iter().take(SPAN_ITEMS_MAX).for_each(|part| self.add_part(part)),
                // Gemini's content of a candidate, and of a response of Google ADK.
                content @ Value::Map(_) if matches!(content.get("parts"), Value::List(_)) => {
                    if self.message.role.is_empty() {
                        role(content).clone_into(&mut self.message.role);
                    }
                    self.add_content(content);
                }
                part @ Value::Map(_) => self.add_part(part),
                _ => {}
            }
        }
        if has_only_content(value) {
            return;
        }
        if self.message.content.is_empty()
            && let Some(text) = value.get("text").as_str()
        {
            add_text(&mut self.message.content, text);
        }
        // The result of a tool may be any value.
        if self.message.role == "tool"
            && self.message.content.is_empty()
            && self.tool_results.is_empty()
            && !value.get("content").is_empty()
        {
            self.message.content = tool_result_text(value.get("content"));
        }
        for key in ["tool_calls", "invalid_tool_calls", "toolCalls", "tool_invocations", "toolInvocations"] {
            self.message.tool_calls.extend(value.get(key).items().iter().filter_map(tool_call));
        }
        if self.message.tool_calls.is_empty() {
            let kwargs = value.get("additional_kwargs");
            let single = [value, kwargs].into_iter().map(|holder| holder.get("function_call")).find(|call| matches!(call, Value::Map(_)));
            self.message.tool_calls.extend(kwargs.get("tool_calls").items().iter().filter_map(tool_call));
            self.message.tool_calls.extend(single.and_then(tool_call));
        }
        // The message is itself a part.
        if ["toolUse", "toolResult", "functionCall", "functionResponse", "part_kind"].iter().any(|key| !value.get(key).is_null()) {
            self.add_part(value);
        }
    }

    /// A call that is an item of OpenAI's Responses API: of a function, or of a tool that the provider runs.
    fn add_call_item(&mut self, kind: &str, item: &Value<'_>) {
        self.message.role = "assistant".into();
        self.message.tool_call_id = None;
        let call = tool_call(item).unwrap_or_else(|| crate::model::ToolCall {
            id: item.first(&["call_id", "id"]).as_str().map(str::to_owned),
            name: kind.to_owned(),
            arguments: item.first(&["arguments", "action", "queries", "code", "input"]).to_text(),
        });
        self.message.tool_calls.push(call);
    }

    fn add_part(&mut self, part: &Value<'_>) {
        let kind = part.first(&["type", "part_kind", "block_type", "kind"]).as_str().unwrap_or_default();
        if matches!(kind, "text" | "input_text" | "output_text") {
            return self.add_text_part(part);
        }
        let has = |key: &str| matches!(part.get(key), Value::Map(_));
        match kind {
            "tool_call_response"
            | "tool_result"
            | "tool-result"
            | "tool-return"
            | "function_call_output"
            | "function_result"
            | "tool_response" => {
                self.add_tool_result(part);
            }
            "retry-prompt" if part.get("tool_name").as_str().is_some() => self.add_tool_result(part),
            "tool_call" | "tool_use" | "function_call" | "tool-call" | "server_tool_use" | "builtin-tool-call" | "mcp_tool_use" => {
                self.message.tool_calls.extend(tool_call(part));
            }
            "refusal" => self.message.refusal = part.first(&["refusal", "content", "text"]).as_str().map(str::to_owned),
            // What the model thought is not its answer, and the content of a file is encoded.
            "thinking" | "reasoning" | "redacted_thinking" | "redacted-reasoning" | "thought" | "binary" | "blob" | "image" | "audio"
            | "video" | "document" | "file" | "uri" => {}
            "system-prompt" => self.add_other("system", part),
            "user-prompt" if self.message.role != "user" => self.add_other("user", part),
            _ if has("toolUse") || has("functionCall") || has("function_call") || has("tool_call") || has("toolRequest") => {
                self.message.tool_calls.extend(tool_call(part));
            }
            _ if has("toolResult")
                || has("functionResponse")
                || has("function_response")
                || has("tool_call_result")
                || has("toolResponse") =>
            {
                let keys = ["toolResult", "functionResponse", "function_response", "tool_call_result", "toolResponse"];
                self.add_tool_result(part.first(&keys));
            }
            // Without a type, as in Python's `repr`: `ToolCallResult(result='…', origin=ToolCall(…))` of Haystack, and results and calls of AutoGen.
            "" if (has("origin") && !part.get("result").is_null())
                || (part.get("call_id").as_str().is_some() && !part.get("content").is_null()) =>
            {
                self.add_tool_result(part);
            }
            "" if part.first(&["tool_name", "name"]).as_str().is_some() && !part.get("arguments").is_null() => {
                self.message.tool_calls.extend(tool_call(part));
            }
            _ => self.add_text_part(part),
        }
    }

    fn add_text_part(&mut self, part: &Value<'_>) {
        if matches!(part.get("thought"), Value::Bool(true)) {
            return;
        }
        let text = part.as_str().or_else(|| part.first(&["text", "content", "input_text", "output_text"]).as_str());
        match (text, part.get("content")) {
            (Some(text), _) => add_text(&mut self.message.content, text),
            // A part that has parts of its own.
            (None, Value::List(parts)) => parts.iter().filter_map(|part| part.first(&["text", "content"]).as_str()).for_each(|text| {
                add_text(&mut self.message.content, text);
            }),
            // Bedrock: a tool's result, or an answer with citations.
            _ if !part.get("json").is_null() => add_text(&mut self.message.content, &part.get("json").to_text()),
            _ => match part.get("citationsContent").get("content") {
                Value::List(parts) => parts.iter().for_each(|part| self.add_text_part(part)),
                _ => self.has_other_content |= !part.is_empty(),
            },
        }
    }

    fn add_other(&mut self, role: &str, part: &Value<'_>) {
        self.others.push(Message { role: role.into(), content: part.first(&["content", "text"]).to_text(), ..Message::default() });
    }

    fn add_tool_result(&mut self, part: &Value<'_>) {
        let origin = part.get("origin");
        let id = [part, origin]
            .iter()
            .find_map(|holder| holder.first(&["tool_use_id", "toolUseId", "tool_call_id", "toolCallId", "call_id", "id", "ref"]).as_str());
        let result = part.first(&["response", "result", "output", "content", "tool_result"]);
        let mut content = tool_result_text(result);
        if says_failed(part) && !content.trim_start().to_ascii_lowercase().starts_with("error") {
            content.insert_str(0, "Error: ");
        }
        self.tool_results.push(Message { role: "tool".into(), content, tool_call_id: id.map(str::to_owned), ..Message::default() });
    }
}

/// Whether a tool result says that the tool failed, beside its text: Anthropic's `is_error`, Bedrock's `status`, and the type of the Vercel AI SDK's
/// `output`.
fn says_failed(part: &Value<'_>) -> bool {
    let is_true = |key: &str| matches!(part.get(key), Value::Bool(true));
    let kind = part.get("output").get("type").as_str().unwrap_or_default();
    is_true("is_error")
        || is_true("isError")
        || part.get("status").as_str() == Some("error")
        || matches!(kind, "error-text" | "error-json" | "execution-denied")
}

/// Whether a message has nothing but a role and content, as most have; the content of a tool's result may be any value.
fn has_only_content(value: &Value<'_>) -> bool {
    let is_text = |value: &Value<'_>| matches!(value, Value::Null | Value::Text(_));
    value.fields().iter().all(|(key, field)| match key.as_ref() {
        "role" => field.as_str() != Some("tool"),
        "content" => is_text(field) || matches!(field, Value::List(_)),
        "parts" | "finish_reason" => true,
        _ => false,
    })
}

/// The text of a tool's result: of text parts the texts, of a value in an envelope (`{type: json, value}`, `{json}`, `{result}`) the value.
pub(in crate::parse) fn tool_result_text(result: &Value<'_>) -> String {
    match result {
        Value::List(parts) if !parts.is_empty() && parts.iter().all(is_result_part) => {
            let mut joined = String::new();
            for part in parts {
                add_text(&mut joined, &result_part_text(part));
            }
            joined
        }
        // Google's SDKs wrap a result that is no object.
        Value::Map(fields) if matches!(fields.as_slice(), [(key, _)] if key == "result") => result.get("result").to_text(),
        Value::Map(fields) if fields.len() == 2 && result.get("type").as_str().is_some() && !result.get("value").is_null() => {
            result.get("value").to_text()
        }
        other => other.to_text(),
    }
}

fn is_result_part(part: &Value<'_>) -> bool {
    !part.first(&["text", "json"]).is_null() || part.get("type").as_str() == Some("text")
}

fn result_part_text(part: &Value<'_>) -> String {
    part.first(&["text", "json", "content"]).to_text()
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

    #[test]
    fn parts_in_python_repr_are_read() {
        let call = "ToolCall(tool_name='f', arguments={'x': 1}, id='c1', extra=None)";
        let text = format!(
            "[ChatMessage(_role=<ChatRole.ASSISTANT: 'assistant'>, _content=[{call}], _name=None, _meta={{}}), ChatMessage(_role=<ChatRole.TOOL: 'tool'>, _content=[ToolCallResult(result='late', origin={call}, error=False)], _name=None, _meta={{}})]"
        );
        let tree = crate::parse::python_repr::parse(&text).unwrap();
        let mut messages = Vec::new();
        for item in tree.items() {
            add_messages(item, &mut messages);
        }
        assert_eq!((messages[0].tool_calls[0].name.as_str(), messages[0].tool_calls[0].id.as_deref()), ("f", Some("c1")));
        assert_eq!(
            (messages[1].role.as_str(), messages[1].content.as_str(), messages[1].tool_call_id.as_deref()),
            ("tool", "late", Some("c1"))
        );
    }

    /// Role, content, names of the called tools, and id of the answered call of each message.
    fn read(text: &str) -> Vec<(String, String, String, Option<String>)> {
        let tree = Value::parse(text).unwrap();
        let mut messages = Vec::new();
        let items = if tree.items().is_empty() { std::slice::from_ref(&tree) } else { tree.items() };
        for item in items {
            add_messages(item, &mut messages);
        }
        let calls = |message: &Message| {
            let calls: Vec<_> = message.tool_calls.iter().map(|call| format!("{}({})", call.name, call.arguments)).collect();
            calls.concat()
        };
        messages.into_iter().map(|message| (message.role.clone(), message.content.clone(), calls(&message), message.tool_call_id)).collect()
    }

    fn expected(messages: &[(&str, &str, &str, Option<&str>)]) -> Vec<(String, String, String, Option<String>)> {
        let owned = |&(role, content, calls, id): &(&str, &str, &str, Option<&str>)| {
            (role.to_owned(), content.to_owned(), calls.to_owned(), id.map(str::to_owned))
        };
        messages.iter().map(owned).collect()
    }

    #[test]
    fn the_same_conversation_is_read_in_the_shape_of_every_source() {
        let conversation =
            expected(&[("user", "hi", "", None), ("assistant", "wait", r#"f({"x":1})"#, None), ("tool", "42", "", Some("c1"))]);
        for (source, text) in [
            (
                "OpenAI Chat",
                r#"[{"role":"user","content":"hi"},{"role":"assistant","content":"wait","tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"x\":1}"}}]},{"role":"tool","tool_call_id":"c1","content":"42"}]"#,
            ),
            (
                "Anthropic",
                r#"[{"role":"user","content":"hi"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"text","text":"wait"},{"type":"tool_use","id":"c1","name":"f","input":{"x":1}}]},{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":[{"type":"text","text":"42"}]}]}]"#,
            ),
            (
                "Gemini",
                r#"[{"role":"user","parts":[{"text":"hi"}]},{"role":"model","parts":[{"text":"wait"},{"functionCall":{"name":"f","args":{"x":1}}}]},{"role":"user","parts":[{"functionResponse":{"id":"c1","name":"f","response":42}}]}]"#,
            ),
            (
                "Bedrock Converse",
                r#"[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"text":"wait"},{"toolUse":{"toolUseId":"c1","name":"f","input":{"x":1}}}]},{"role":"user","content":[{"toolResult":{"toolUseId":"c1","status":"success","content":[{"json":42}]}}]}]"#,
            ),
            (
                "Genkit",
                r#"[{"role":"user","content":[{"text":"hi"}]},{"role":"model","content":[{"text":"wait"},{"toolRequest":{"ref":"c1","name":"f","input":{"x":1}}}]},{"role":"tool","content":[{"toolResponse":{"ref":"c1","name":"f","output":42}}]}]"#,
            ),
            (
                "OTel GenAI",
                r#"[{"role":"user","parts":[{"type":"text","content":"hi"}]},{"role":"assistant","parts":[{"type":"reasoning","content":"hm"},{"type":"text","content":"wait"},{"type":"tool_call","id":"c1","name":"f","arguments":{"x":1}}]},{"role":"tool","parts":[{"type":"tool_call_response","id":"c1","response":"42"}]}]"#,
            ),
            (
                "Vercel AI SDK",
                r#"[{"role":"user","content":[{"type":"text","text":"hi"}]},{"role":"assistant","content":[{"type":"text","text":"wait"},{"type":"tool-call","toolCallId":"c1","toolName":"f","input":{"x":1}}]},{"role":"tool","content":[{"type":"tool-result","toolCallId":"c1","toolName":"f","output":{"type":"json","value":42}}]}]"#,
            ),
            (
                "Pydantic AI",
                r#"[{"kind":"request","parts":[{"part_kind":"user-prompt","content":"hi"}]},{"kind":"response","parts":[{"part_kind":"text","content":"wait"},{"part_kind":"tool-call","tool_name":"f","args":"{\"x\":1}","tool_call_id":"c1"}]},{"kind":"request","parts":[{"part_kind":"tool-return","tool_name":"f","content":"42","tool_call_id":"c1"}]}]"#,
            ),
            (
                "Haystack",
                r#"[{"role":"user","content":[{"text":"hi"}]},{"role":"assistant","content":[{"text":"wait"},{"tool_call":{"tool_name":"f","arguments":{"x":1},"id":"c1"}}]},{"role":"tool","content":[{"tool_call_result":{"result":"42","error":false,"origin":{"tool_name":"f","arguments":{"x":1},"id":"c1"}}}]}]"#,
            ),
            (
                "LangChain.js",
                r#"[{"lc":1,"type":"constructor","id":["langchain_core","messages","HumanMessage"],"kwargs":{"content":"hi"}},{"lc":1,"type":"constructor","id":["langchain_core","messages","AIMessage"],"kwargs":{"content":"wait","tool_calls":[{"name":"f","args":{"x":1},"id":"c1"}]}},{"lc":1,"type":"constructor","id":["langchain_core","messages","ToolMessage"],"kwargs":{"content":"42","tool_call_id":"c1"}}]"#,
            ),
            (
                "LangChain",
                r#"[{"type":"human","content":"hi"},{"lc":1,"type":"constructor","id":["langchain","schema","messages","AIMessage"],"kwargs":{"type":"ai","content":"wait","tool_calls":[{"name":"f","args":{"x":1},"id":"c1"}]}},{"type":"tool","data":{"content":"42","tool_call_id":"c1"}}]"#,
            ),
            (
                "AutoGen",
                r#"[{"content":"hi","source":"user","type":"UserMessage"},{"content":"wait","thought":null,"source":"a","type":"AssistantMessage","tool_calls":[{"id":"c1","name":"f","arguments":"{\"x\":1}"}]},{"content":[{"content":"42","name":"f","call_id":"c1","is_error":false}],"type":"FunctionExecutionResultMessage"}]"#,
            ),
            (
                "LlamaIndex",
                r#"[{"role":"user","additional_kwargs":{},"blocks":[{"block_type":"text","text":"hi"}]},{"role":"assistant","additional_kwargs":{"tool_calls":[{"id":"c1","function":{"name":"f","arguments":"{\"x\":1}"}}]},"blocks":[{"block_type":"text","text":"wait"}]},{"role":"tool","additional_kwargs":{"tool_call_id":"c1"},"tool_call_id":"c1","blocks":[{"block_type":"text","text":"42"}]}]"#,
            ),
        ] {
            assert_eq!(read(text), conversation, "{source}");
        }
    }

    #[test]
    fn a_message_with_several_results_becomes_several_messages() {
        let text = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"a","content":"1"},{"type":"tool_result","tool_use_id":"b","content":"2"},{"type":"text","text":"go on"}]}"#;
        assert_eq!(read(text), expected(&[("tool", "1", "", Some("a")), ("tool", "2", "", Some("b")), ("user", "go on", "", None)]));
        let joined = message(&Value::parse(text).unwrap()).unwrap();
        assert_eq!((joined.content.as_str(), joined.tool_call_id.as_deref()), ("1\n2\ngo on", Some("a")));
    }

    #[test]
    fn a_message_that_could_not_be_read_is_not_an_empty_message() {
        let unread =
            r#"[{"role":"assistant","content":[{"image":{"bytes":"…"}}]},{"role":"assistant","content":[{"answer_v9":{"body":"hi"}}]}]"#;
        assert_eq!(read(unread), expected(&[]));
        let empty = r#"[{"role":"assistant","content":[]},{"role":"assistant","content":[{"type":"text","text":""}]},{"role":"assistant","content":[{"type":"thinking","thinking":"hm"}]}]"#;
        assert_eq!(read(empty), expected(&[("assistant", "", "", None); 3]));
    }

    #[test]
    fn a_result_that_only_its_flag_calls_an_error_becomes_one() {
        for text in [
            r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","is_error":true,"content":"no such order"}]}"#,
            r#"{"role":"user","content":[{"toolResult":{"toolUseId":"c1","status":"error","content":[{"text":"no such order"}]}}]}"#,
            r#"{"role":"tool","content":[{"type":"tool-result","toolCallId":"c1","toolName":"f","output":{"type":"error-text","value":"no such order"}}]}"#,
            r#"{"role":"tool","content":[{"type":"tool-result","toolCallId":"c1","toolName":"f","isError":true,"result":"Error: no such order"}]}"#,
        ] {
            assert_eq!(read(text), expected(&[("tool", "Error: no such order", "", Some("c1"))]), "{text}");
        }
    }

    #[test]
    fn the_result_of_a_tool_may_be_any_value() {
        let text = r#"[{"role":"tool","id":"c1","content":{"n":3}},{"role":"tool","id":"c2","content":[{"id":1}]},{"role":"tool","id":"c3","content":7}]"#;
        let contents: Vec<_> = read(text).into_iter().map(|(_, content, ..)| content).collect();
        assert_eq!(contents, [r#"{"n":3}"#, r#"[{"id":1}]"#, "7"]);
    }

    #[test]
    fn items_of_the_responses_api_are_read() {
        let text = r#"[{"type":"reasoning","summary":[]},{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{}"},
            {"type":"function_call_output","call_id":"c1","output":"42"},{"type":"web_search_call","id":"ws_1","status":"completed","action":{"query":"q"}},
            {"type":"message","role":"assistant","content":[{"type":"output_text","text":"done"},{"type":"refusal","refusal":"no"}]}]"#;
        let messages = read(text);
        assert_eq!(
            messages,
            expected(&[
                ("assistant", "", "f({})", None),
                ("tool", "42", "", Some("c1")),
                ("assistant", "", r#"web_search_call({"query":"q"})"#, None),
                ("assistant", "done", "", None),
            ])
        );
    }
}
