//! The arguments and the result of a tool in the envelopes of frameworks. That of a result often also says whether the tool failed.
//!
//! | source | envelope of arguments |
//! |---|---|
//! | functions of Python | `{args: [], kwargs: {…}}` |
//! | LangChain (OpenLLMetry) | `{input_str: "…", inputs: {…}, tags, metadata, kwargs}` |
//! | MCP, CrewAI | `{name \| tool_name, arguments \| tool_args}` |
//!
//! | source | envelope of a result |
//! |---|---|
//! | LangChain | `ToolMessage`: `{type: tool, content, tool_call_id, name, status: error}`, also serialized with `lc` and `kwargs` |
//! | LlamaIndex | `ToolOutput`: `{tool_name, content \| blocks, raw_input, raw_output, is_error}` |
//! | AutoGen | `FunctionExecutionResult`: `{content, name, call_id, is_error}` |
//! | Haystack | `{tool_call_result: {result, error, origin: {tool_name, arguments, id}}}` |
//! | MCP | `CallToolResult`: `{content: [{type: text, text}], isError}` |
//! | Anthropic, Bedrock, Strands | `{tool_use_id, content, is_error}`, `{toolUseId, status: error, content}` |
//! | Agno | `{status: failure, result, error}` |

use std::borrow::Cow;

use super::message::tool_result_text;
use crate::parse::python_repr;
use crate::parse::value::Value;

/// The arguments in an envelope, with the name of the tool if the envelope has it; `None` if the value is no envelope, so that it is the arguments itself.
pub(in crate::parse) fn tool_arguments<'v>(value: &'v Value<'v>) -> Option<(&'v Value<'v>, Option<&'v str>)> {
    let (arguments, keywords) = (value.get("args"), value.get("kwargs"));
    let fields = value.fields().len();
    match (arguments, keywords) {
        (Value::List(positional), Value::Map(named)) if fields == 2 => {
            return match (positional.as_slice(), named.is_empty()) {
                ([], _) => Some((keywords, None)),
                ([only], true) => Some((only, None)),
                _ => None,
            };
        }
        _ => {}
    }
    let text = value.get("input_str");
    if !text.is_null() {
        return Some((if value.get("inputs").is_empty() { text } else { value.get("inputs") }, None));
    }
    let name = value.first(&["tool_name", "name"]).as_str();
    let arguments = value.first(&["arguments", "tool_args"]);
    (fields == 2 && name.is_some() && !arguments.is_null()).then_some((arguments, name))
}

/// What a tool returned.
#[derive(Debug, Default, PartialEq)]
pub(in crate::parse) struct ToolOutcome {
    pub(in crate::parse) result: String,
    /// Whether the envelope says that the tool failed.
    pub(in crate::parse) failed: bool,
    pub(in crate::parse) name: Option<String>,
    pub(in crate::parse) call_id: Option<String>,
}

/// The outcome in an envelope; `None` if the value is none of the envelopes above, so that it is the result itself.
pub(in crate::parse) fn tool_outcome(value: &Value<'_>) -> Option<ToolOutcome> {
    let value = inner(value);
    let failed = ["is_error", "isError", "error"].iter().any(|key| matches!(value.get(key), Value::Bool(true)))
        || matches!(value.get("status").as_str(), Some("error" | "failure"));
    if !is_envelope(value) {
        return None;
    }
    let origin = value.get("origin");
    let holders = [value, origin];
    let text_at = |keys: &[&str]| holders.iter().find_map(|holder| holder.first(keys).as_str()).filter(|text| !text.is_empty());
    Some(ToolOutcome {
        result: result_text(value, failed),
        failed,
        name: text_at(&["tool_name", "name"]).map(str::to_owned),
        call_id: text_at(&["tool_call_id", "toolUseId", "tool_use_id", "call_id", "id"]).map(str::to_owned),
    })
}

/// The outcome in a text: JSON, or Python's `repr` of LangChain's `ToolMessage`, `content='late' name='lookup' tool_call_id='c1'`.
pub(in crate::parse) fn tool_outcome_of_text(text: &str) -> Option<ToolOutcome> {
    let Some(fields) = text.strip_prefix("content=") else {
        let value = Value::Text(Cow::Borrowed(text));
        return value.any_tree().and_then(|tree| tool_outcome(&tree));
    };
    let (result, rest) = python_repr::leading_string(fields)?;
    let field = |key: &str| rest.split_once(key).and_then(|(_, value)| python_repr::leading_string(value)).map(|(value, _)| value);
    let call_id = field(" tool_call_id=")?;
    Some(ToolOutcome { result, failed: field(" status=").as_deref() == Some("error"), name: field(" name="), call_id: Some(call_id) })
}

/// The object in a list of one, in `{"output": …}`, in LangChain's serialization, or in a part of a message.
fn inner<'v>(value: &'v Value<'v>) -> &'v Value<'v> {
    match (value, value.fields()) {
        (Value::List(items), _) if let [only @ Value::Map(_)] = items.as_slice() => inner(only),
        (_, [(key, only @ (Value::Map(_) | Value::List(_)))])
            if matches!(key.as_ref(), "output" | "toolResult" | "tool_call_result" | "message" | "tool_messages") =>
        {
            inner(only)
        }
        // OpenLLMetry's LangChain.
        (_, [(first, only @ Value::Map(_)), (second, _)]) if first == "output" && second == "kwargs" => inner(only),
        _ if !value.get("lc").is_null() && !value.get("kwargs").is_null() => value.get("kwargs"),
        _ => match (value.first(&["role", "_role"]).as_str(), value.first(&["content", "_content"]).items()) {
            (Some("tool"), [part]) if !part.get("tool_call_result").is_null() => part.get("tool_call_result"),
            _ => value,
        },
    }
}

fn is_envelope(value: &Value<'_>) -> bool {
    let has = |key: &str| !value.get(key).is_null();
    let is_flag = |key: &str| matches!(value.get(key), Value::Bool(_));
    (has("content") && (has("tool_call_id") || has("tool_use_id") || has("toolUseId")))
        || ((has("content") || has("blocks")) && has("raw_output"))
        || (has("content") && (is_flag("is_error") || is_flag("isError")))
        || (has("result") && is_flag("error") && has("origin"))
        || (matches!(value.get("status").as_str(), Some("success" | "failure")) && value.fields().iter().any(|(key, _)| key == "error"))
}

fn result_text(value: &Value<'_>, failed: bool) -> String {
    let error = value.get("error").as_str().filter(|error| failed && !error.is_empty());
    if let Some(error) = error {
        return error.to_owned();
    }
    let blocks = value.get("blocks");
    tool_result_text(if blocks.items().is_empty() { value.first(&["content", "result"]) } else { blocks })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_unwrapped() {
        for (source, text, failed, name, call_id) in [
            (
                "LangChain",
                r#"{"content":"late","type":"tool","name":"f","tool_call_id":"c1","status":"success"}"#,
                false,
                Some("f"),
                Some("c1"),
            ),
            (
                "LangChain, serialized",
                r#"{"output":{"lc":1,"type":"constructor","id":["langchain","schema","messages","ToolMessage"],"kwargs":{"content":"late","tool_call_id":"c1","name":"f","status":"error"}}}"#,
                true,
                Some("f"),
                Some("c1"),
            ),
            (
                "LlamaIndex",
                r#"{"blocks":[{"block_type":"text","text":"late"}],"tool_name":"f","raw_input":{},"raw_output":"late","is_error":true}"#,
                true,
                Some("f"),
                None,
            ),
            ("AutoGen", r#"{"content":"late","name":"f","call_id":"c1","is_error":false}"#, false, Some("f"), Some("c1")),
            (
                "Haystack",
                r#"{"tool_messages":[{"role":"tool","content":[{"tool_call_result":{"result":"late","error":true,"origin":{"tool_name":"f","arguments":{},"id":"c1"}}}]}]}"#,
                true,
                Some("f"),
                Some("c1"),
            ),
            ("MCP", r#"{"content":[{"type":"text","text":"late"}],"isError":true}"#, true, None, None),
            ("Strands", r#"[{"toolResult":{"toolUseId":"c1","status":"error","content":[{"text":"late"}]}}]"#, true, None, Some("c1")),
            ("Agno", r#"{"status":"failure","result":null,"error":"late"}"#, true, None, None),
        ] {
            let found = tool_outcome(&Value::parse(text).unwrap()).unwrap_or_else(|| panic!("{source}"));
            assert_eq!((found.result.as_str(), found.failed), ("late", failed), "{source}");
            assert_eq!((found.name.as_deref(), found.call_id.as_deref()), (name, call_id), "{source}");
        }
    }

    #[test]
    fn arguments_are_unwrapped() {
        for (text, expected, name) in [
            (r#"{"args":[],"kwargs":{"id":17}}"#, r#"{"id":17}"#, None),
            (r#"{"args":["A-17"],"kwargs":{}}"#, "A-17", None),
            (r#"{"input_str":"{'id': 17}","tags":[],"inputs":{"id":17},"kwargs":{}}"#, r#"{"id":17}"#, None),
            (r#"{"input_str":"A-17","tags":[],"inputs":null,"kwargs":{}}"#, "A-17", None),
            (r#"{"tool_name":"f","tool_args":{"id":17}}"#, r#"{"id":17}"#, Some("f")),
        ] {
            let tree = Value::parse(text).unwrap();
            let (arguments, found) = tool_arguments(&tree).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((arguments.to_text().as_str(), found), (expected, name), "{text}");
        }
        for text in [r#"{"id":17}"#, r#"{"name":"Ann","arguments":{},"x":1}"#, r#"{"args":[1,2],"kwargs":{"x":1}}"#] {
            assert_eq!(tool_arguments(&Value::parse(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn the_repr_of_a_tool_message_is_read() {
        let found = tool_outcome_of_text("content=\"it's late\" name='f' id='7' tool_call_id='c1' status='error'").unwrap();
        assert_eq!(
            (found.result.as_str(), found.failed, found.name.as_deref(), found.call_id.as_deref()),
            ("it's late", true, Some("f"), Some("c1"))
        );
        assert_eq!(tool_outcome_of_text("content='late'"), None);
        assert_eq!(tool_outcome_of_text("late"), None);
    }

    #[test]
    fn a_result_of_the_application_is_no_envelope() {
        for text in [
            r#"{"content":"text","id":7}"#,
            r#"{"status":"error","order":"A-17"}"#,
            r#"{"error":true}"#,
            r#"[{"name":"x"}]"#,
            r#"{"output":"x"}"#,
        ] {
            assert_eq!(tool_outcome(&Value::parse(text).unwrap()), None, "{text}");
        }
    }
}
