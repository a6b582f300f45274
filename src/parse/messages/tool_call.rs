//! Tool calls that a model requests, and the definitions of tools that it may call.

use crate::model::ToolCall;
use crate::parse::value::Value;

/// The keys of a call's id, of its name, and of its arguments.
const ID_KEYS: [&str; 8] = ["id", "tool_id", "call_id", "tool_call_id", "toolCallId", "toolUseId", "tool_use_id", "ref"];
const NAME_KEYS: [&str; 6] = ["name", "tool_name", "toolName", "function_name", "tool", "function"];
const ARGUMENT_KEYS: [&str; 7] = ["arguments", "args", "input", "parameters", "toolInput", "tool_args", "tool_input"];

/// A tool call, whose name and arguments are beside the id, or under a key such as `function`. `None` if it has no name.
pub(in crate::parse) fn tool_call(value: &Value<'_>) -> Option<ToolCall> {
    // Events have lists of texts: each call is JSON text (LiveKit 1.2).
    let parsed = value.as_str().and_then(Value::parse);
    let value = parsed.as_ref().unwrap_or(value);
    let nested = ["function", "functionCall", "function_call", "toolUse", "tool_call", "toolCall", "toolRequest", "payload"];
    let call = nested.iter().map(|key| value.get(key)).find(|inner| matches!(inner, Value::Map(_))).unwrap_or(value);
    let name = call.first(&NAME_KEYS).as_str()?.to_owned();
    let arguments = call.first(&ARGUMENT_KEYS);
    // Datadog wraps arguments that are not valid JSON.
    let arguments = match arguments.fields() {
        [(key, Value::Text(raw))] if key == "value" && raw.starts_with('{') => raw.to_string(),
        _ => arguments.to_text(),
    };
    let id = [value, call].iter().find_map(|holder| holder.first(&call_id_keys(holder)).as_str());
    Some(ToolCall { id: id.filter(|id| !id.is_empty()).map(str::to_owned), name, arguments })
}

/// Parts and items of Pydantic AI and of OpenAI's Responses API have an id of their own, `fc_…`, beside that of the call.
fn call_id_keys(holder: &Value<'_>) -> [&'static str; 8] {
    let mut keys = ID_KEYS;
    let explicit = keys.iter().position(|key| matches!(*key, "call_id" | "tool_call_id") && holder.get(key).as_str().is_some());
    if let Some(position) = explicit {
        keys.swap(0, position);
    }
    keys
}

/// The name in a tool definition: `{"function": {"name"}}`, `{"toolSpec": {"name"}}`, `{"name"}`, or only the name.
pub(in crate::parse) fn tool_name(definition: &Value<'_>) -> Option<String> {
    let parsed = definition.as_str().and_then(Value::parse);
    let definition = parsed.as_ref().unwrap_or(definition);
    if let Some(name) = definition.as_str().filter(|name| is_tool_name(name)) {
        return Some(name.to_owned());
    }
    let nested = ["function", "toolSpec", "tool_spec", "data", "kwargs"];
    let holder = nested.iter().map(|key| definition.get(key)).find(|inner| inner.get("name").as_str().is_some()).unwrap_or(definition);
    holder.first(&["name", "tool_name", "toolName"]).as_str().map(str::to_owned)
}

/// Whether a text can be the name of a tool: providers allow letters, digits, `_`, `-`, `.` and `:`.
fn is_tool_name(text: &str) -> bool {
    const NAME_BYTES_MAX: usize = 128;
    !text.is_empty()
        && text.len() <= NAME_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b':'))
}

/// The names of all tools in a list of definitions; Gemini groups them under `functionDeclarations`. A map has them as its keys.
pub(in crate::parse) fn tool_names(definitions: &Value<'_>) -> Vec<String> {
    if let Value::Map(fields) = definitions {
        let inner = definitions.first(&["tools", "functionDeclarations", "function_declarations"]);
        return match inner {
            Value::Null => fields.iter().filter(|(_, tool)| matches!(tool, Value::Map(_))).map(|(name, _)| name.to_string()).collect(),
            list => tool_names(list),
        };
    }
    let mut names = Vec::new();
    for definition in definitions.items() {
        match definition.first(&["functionDeclarations", "function_declarations"]) {
            Value::Null => names.extend(tool_name(definition)),
            group => names.extend(group.items().iter().filter_map(tool_name)),
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Value<'_> {
        Value::parse(text).unwrap()
    }

    #[test]
    fn arguments_wrapped_by_datadog_are_unwrapped() {
        let wrapped = parse(r#"{"name":"f","tool_id":"c1","arguments":{"value":"{\"city\": \"Par"}}"#);
        assert_eq!(tool_call(&wrapped), Some(ToolCall { id: Some("c1".into()), name: "f".into(), arguments: "{\"city\": \"Par".into() }));
        let own = parse(r#"{"name":"f","arguments":{"value":"7"}}"#);
        assert_eq!(tool_call(&own).unwrap().arguments, r#"{"value":"7"}"#);
    }

    #[test]
    fn calls_of_providers_are_read() {
        let expected = Some(ToolCall { id: Some("c1".into()), name: "f".into(), arguments: r#"{"x":1}"#.into() });
        for call in [
            r#"{"id":"c1","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}}"#,
            r#"{"type":"function_call","id":"fc_1","call_id":"c1","name":"f","arguments":"{\"x\":1}"}"#,
            r#"{"type":"tool_use","id":"c1","name":"f","input":{"x":1}}"#,
            r#"{"type":"function","id":"c1","function":"f","arguments":{"x":1}}"#,
            r#"{"toolUse":{"toolUseId":"c1","name":"f","input":{"x":1}}}"#,
            r#"{"functionCall":{"id":"c1","name":"f","args":{"x":1}}}"#,
            r#"{"toolRequest":{"ref":"c1","name":"f","input":{"x":1}}}"#,
            r#"{"type":"tool-call","toolCallId":"c1","toolName":"f","input":{"x":1}}"#,
            r#"{"part_kind":"tool-call","tool_call_id":"c1","tool_name":"f","args":{"x":1},"id":"fc_1"}"#,
            r#"{"tool_call":{"id":"c1","tool_name":"f","arguments":{"x":1},"extra":null}}"#,
        ] {
            assert_eq!(tool_call(&parse(call)), expected, "{call}");
        }
    }

    #[test]
    fn definitions_of_tools_are_read() {
        for tools in [
            r#"[{"type":"function","function":{"name":"f"}},{"type":"function","function":{"name":"g"}}]"#,
            r#"[{"name":"f"},"{\"type\":\"function\",\"name\":\"g\"}"]"#,
            r#"[{"functionDeclarations":[{"name":"f"},{"name":"g"}]}]"#,
            r#"{"tools":[{"toolSpec":{"name":"f"}},{"toolSpec":{"name":"g"}}]}"#,
            r#"{"f":{"description":"a"},"g":{"description":"b"}}"#,
            r#"["f","g"]"#,
        ] {
            assert_eq!(tool_names(&parse(tools)), ["f", "g"], "{tools}");
        }
        assert!(tool_names(&parse(r#"["a sentence is no name"]"#)).is_empty());
    }
}
