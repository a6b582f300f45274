//! Tool calls that agents write as text, and the messages that return their results: agents without function calling.
//!
//! | source | call | result, in the next message |
//! |---|---|---|
//! | mini-swe-agent 1 and 2 | one fenced block, `bash` or `mswea_bash_command`; `<mswea_bash_command>` | `<returncode>`, `<output>`, `<exception>` |
//! | SWE-agent 0.7, 1.0 | a fenced block, `<command>`, `<function=bash>` | `OBSERVATION:`, `(Open file: …)` and a prompt `bash-$` |
//! | `OpenHands` | `<execute_bash>`, `<function=execute_bash>` | `EXECUTION RESULT of [execute_bash]`, `[The command completed with exit code 0.]` |
//! | smolagents | `<code>…</code>`, `py` fences with `<end_code>`, `Calling tools: [{…}]` | `Observation:`, `Execution logs:` |
//! | `ReAct`, `LangChain`, `LlamaIndex`, `CrewAI` | `Action: search` and `Action Input: …`; `Action 1: Search[…]`; JSON `{"action", "action_input"}` | `Observation:` |
//! | Qwen, Hermes, GLM | `<tool_call>{"name", "arguments"}</tool_call>` | `<tool_response>` |
//! | Anthropic before tool use | `<function_calls><invoke name="search">` | `<function_results>` |
//! | Llama, Mistral, `DeepSeek`, Kimi, gpt-oss | `<function=search>{…}`, `[TOOL_CALLS]`, `<｜tool▁sep｜>search`, `to=functions.search` | |
//! | Cline, Roo Code | `<execute_command>`, `<read_file>` … | `[execute_command for '…'] Result:` |
//!
//! Checked against the sources of mini-swe-agent 2.4.6 and smolagents 1.26.0, and against runs of mini-swe-agent and SWE-agent. The other rows were
//! not checked against a source or a run.
//!
//! This is a view of the dialogue; the messages of the trace stay as they are. A fenced block alone is no call: an answer may show code to a user.
//! It is one if the next message returns its output.

use std::sync::LazyLock;

use regex::Regex;

use super::super::text::{clip, expression};
use crate::model::ToolCall;

/// Of longer texts only the end is read, where agents write their calls.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Calls of one message.
const CALLS_MAX: usize = 50;

/// The calls that an agent's message writes in a notation that serves no other purpose. Examples of it in fenced blocks do not count.
pub(super) fn written_calls(text: &str) -> Vec<ToolCall> {
    let text = end_of(text);
    let prose = without_fences(text);
    let mut calls = tagged_calls(&prose);
    if calls.is_empty() {
        calls = react_calls(&prose);
    }
    if calls.is_empty() {
        calls.extend(json_call(text));
    }
    calls
}

/// The calls of an agent's message to which the next message is the result: [`written_calls`], also in fenced blocks, or the code in these blocks.
pub(super) fn executed_calls(text: &str) -> Vec<ToolCall> {
    let mut calls = written_calls(text);
    let text = end_of(text);
    let finders: [fn(&str) -> Vec<ToolCall>; 3] = [tagged_calls, react_calls, code_calls];
    for find in finders {
        if calls.is_empty() {
            calls = find(text);
        }
    }
    calls
}

/// Whether a message is the result of a call.
pub(super) fn is_result(text: &str) -> bool {
    static START: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"^\s*(?:<(?:returncode|exception|output|stdout|stderr|tool_response|tool_result|tool_output|function_results?|function_response|observation|execution_result|execute_result|command_output|system-out|information)[\s>]",
            r"|(?i:observation|tool (?:result|output|response)|execution (?:result|output|logs?)|code output|command output|execution result of \[[^\]\n]{1,80}\])\s*:",
            r"|Last output from code snippet:|Call id: |Out: ?\n|Error:\n|Error in code parsing:|The last command <command>",
            // Cline and Roo Code.
            r"|\[[a-z_]{3,40}(?: for '[^\n]{0,300}')?\] Result:)",
        ))
    });
    static END: LazyLock<Option<Regex>> = LazyLock::new(|| {
        // The prompt of SWE-agent; the status lines of OpenHands.
        expression(
            r"(?:\(Current directory: [^\n]{0,300}\)\s*\n?bash-\$|\[(?:The command completed|Command finished) with exit code -?\d+\.?\]|\[(?:Jupyter )?[Pp]ython [Ii]nterpreter: [^\n]{0,300}\])\s*$",
        )
    });
    let matches = |expression: &Option<Regex>, part: &str| expression.as_ref().is_some_and(|expression| expression.is_match(part));
    matches(&START, clip(text)) || matches(&END, last_bytes(text, 1_000))
}

/// Whether a message is the complaint of a framework about a message of the agent without a call that it can parse: of mini-swe-agent, SWE-agent,
/// smolagents and LangChain.
pub(super) fn is_complaint(text: &str) -> bool {
    static START: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"^\s*(?:Format error:|Your previous response reached the output token limit|Please always provide EXACTLY ONE action",
            r"|(?:Your output|Your last output) (?:was|did) not |No tool calls? found in the response|Invalid Format:|Invalid or incomplete response",
            r"|Error:\nError (?:while|in) )",
        ))
    });
    START.as_ref().is_some_and(|expression| expression.is_match(clip(text)))
}

/// Whether a message contains a fenced block with code that can be run.
pub(super) fn has_code(text: &str) -> bool {
    !code_calls(end_of(text)).is_empty()
}

/// Calls in tags, and in the special tokens of models.
fn tagged_calls(text: &str) -> Vec<ToolCall> {
    static TAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?m)^[ \t]*(?:",
            // Qwen, Hermes: JSON, or one of the tags below.
            r"<tool_call>\s*(?P<json>\{)",
            // GLM.
            r"|<tool_call>(?P<glm>[A-Za-z0-9_.-]{1,80})\s*(?:\n\s*<arg_key>|</tool_call>)",
            // Llama, Qwen Coder, SWE-agent, OpenHands.
            r"|(?:<tool_call>\s*)?<function=(?P<function>[A-Za-z0-9_.-]{1,80})>",
            // Anthropic.
            r#"|(?:<(?:antml:)?function_calls>\s*)?<(?:antml:)?invoke name="(?P<invoke>[A-Za-z0-9_.-]{1,80})">"#,
            r"|(?:<function_calls>\s*)?<invoke>\s*<tool_name>(?P<tool_name>[A-Za-z0-9_.-]{1,80})</tool_name>",
            // OpenHands, and agents after CodeAct.
            r"|<(?P<execute>execute_(?:bash|ipython|browse)|execute|bash|run_shell|mswea_bash_command)>",
            // SWE-agent, and agents for web pages.
            r"|<(?P<action>action)>\s*[^<\s]",
            // Cline, Roo Code.
            r"|<(?P<cline>execute_command|read_file|write_to_file|replace_in_file|apply_diff|insert_content|search_files|list_files|list_code_definition_names|browser_action|use_mcp_tool|access_mcp_resource)>",
            r")",
            // Special tokens may follow other text.
            r"|\[TOOL_CALLS\]\s*(?:\[\s*\{[^\n]{0,200}?\x22name\x22\s*:\s*\x22)?(?P<mistral>[A-Za-z0-9_.-]{1,80})",
            r"|<[|｜]tool[▁_]sep[|｜]>(?P<deepseek>[A-Za-z0-9_.-]{1,80})",
            r"|<\|tool_call_begin\|>\s*(?:functions\.)?(?P<kimi>[A-Za-z0-9_.-]{1,80})",
            r"|<\|channel\|>(?:commentary|analysis) to=(?:functions\.)?(?P<harmony>[A-Za-z0-9_.-]{1,80})",
            r"|<(?P<python>\|python_tag\|)>",
            r"|✿FUNCTION✿:\s*(?P<qwen>[A-Za-z0-9_.-]{1,80})",
            r"|^Calling tools:\s*\[\{[^\n]{0,200}?'name': '(?P<smolagents>[A-Za-z0-9_.-]{1,80})'",
        ))
    });
    const NAMES: [&str; 15] = [
        "glm",
        "function",
        "invoke",
        "tool_name",
        "execute",
        "action",
        "cline",
        "mistral",
        "deepseek",
        "kimi",
        "harmony",
        "python",
        "qwen",
        "smolagents",
        "json",
    ];
    let Some(tag) = TAG.as_ref() else { return Vec::new() };
    let call = |captures: regex::Captures<'_>| {
        let (kind, found) = NAMES.iter().find_map(|name| Some((*name, captures.name(name)?)))?;
        let rest = text.get(captures.get(0)?.end()..).unwrap_or_default();
        match kind {
            "json" => json_object_call(text.get(found.start()..)?),
            "python" => Some(call_of("python", rest)),
            // The expression has read the first character of the action.
            "action" => Some(call_of("action", text.get(found.end() + 1..)?)),
            _ => Some(call_of(found.as_str(), rest)),
        }
    };
    tag.captures_iter(text).take(CALLS_MAX).filter_map(call).collect()
}

/// Calls in the lines of `ReAct`: a tool and its input, or `Search[…]`.
fn react_calls(text: &str) -> Vec<ToolCall> {
    static ACTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?m)^[ \t]*\**Action\**:\**[ \t]*`?(?P<name>[^\n`\[\]{}:]{1,80}?)`?[ \t]*\n+[ \t]*\**Action Input\**:\**[ \t]*(?P<input>[^\n]*)",
            r"|^[ \t]*(?:Action|Act)(?: \d+)?:[ \t]*(?P<paper>[A-Za-z]\w{1,40})\[(?P<argument>[^\n]*)\][ \t]*$",
        ))
    });
    let Some(action) = ACTION.as_ref() else { return Vec::new() };
    let call = |captures: regex::Captures<'_>| {
        let name = captures.name("name").or_else(|| captures.name("paper"))?.as_str().trim();
        let input = captures.name("input").or_else(|| captures.name("argument")).map_or("", |found| found.as_str());
        (!is_no_tool(name)).then(|| call_of(name, input))
    };
    action.captures_iter(text).take(CALLS_MAX).filter_map(call).collect()
}

/// Whether a name means that the agent calls no tool: `ReAct` agents write `Action: None`, `Final Answer` or `Finish`.
fn is_no_tool(name: &str) -> bool {
    matches!(
        name.trim_matches(['"', '\'', '.']).to_ascii_lowercase().as_str(),
        "" | "none" | "n/a" | "final answer" | "final_answer" | "finish" | "respond"
    )
}

/// The call of LangChain's structured chat agent: a message whose only JSON, perhaps in a fence, is `{"action": "search", "action_input": …}`.
fn json_call(text: &str) -> Option<ToolCall> {
    static JSON: LazyLock<Option<Regex>> =
        LazyLock::new(|| expression(r#"(?:\A|\n)\s*(?:```(?:json)?\s*\n)?\s*\{\s*"action"\s*:\s*"[^"\n]{1,80}"\s*,\s*"action_input"\s*:"#));
    let found = JSON.as_ref()?.find(text)?;
    let object = found.as_str().find('{').and_then(|at| text.get(found.start() + at..))?;
    json_object_call(object)
}

/// The call in the JSON object at the start of a text.
fn json_object_call(text: &str) -> Option<ToolCall> {
    let object = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>().next()?.ok()?;
    let name = ["name", "action", "tool", "tool_name", "function"].iter().find_map(|key| object.get(key)?.as_str())?;
    let arguments = ["arguments", "action_input", "parameters", "args", "input"].iter().find_map(|key| object.get(key));
    (!is_no_tool(name)).then(|| call_of(name, &arguments.map(ToString::to_string).unwrap_or_default()))
}

/// The code in fenced blocks, and in `<code>` and `<command>` tags on lines of their own.
fn code_calls(text: &str) -> Vec<ToolCall> {
    static CODE: LazyLock<Option<Regex>> =
        LazyLock::new(|| expression(r"(?m)^[ \t]*(?:```[ \t]*([\w+-]*)[^\n]*|<(code|command)>[ \t]*)$\n"));
    /// Languages that an agent may run; a fence without a language counts.
    const LANGUAGES: [&str; 21] = [
        "",
        "bash",
        "sh",
        "shell",
        "zsh",
        "console",
        "terminal",
        "cmd",
        "powershell",
        "python",
        "python3",
        "py",
        "ipython",
        "tool_code",
        "javascript",
        "js",
        "typescript",
        "ts",
        "sql",
        "r",
        "mswea_bash_command",
    ];
    let mut calls = Vec::new();
    let mut rest = text;
    while let Some(captures) = CODE.as_ref().and_then(|code| code.captures(rest)) {
        let Some(start) = captures.get(0) else { break };
        let language = captures.get(1).map_or("", |language| language.as_str()).to_ascii_lowercase();
        let (name, closing) = match captures.get(2).map(|tag| tag.as_str()) {
            Some("command") => ("command", "</command>"),
            Some(_) => ("python", "</code>"),
            None if language.is_empty() => ("code", "```"),
            None => (language.as_str(), "```"),
        };
        let body = rest.get(start.end()..).unwrap_or_default();
        let end = body.find(closing);
        let code = body.get(..end.unwrap_or(body.len())).unwrap_or_default();
        if LANGUAGES.contains(&language.as_str()) && !code.trim().is_empty() && calls.len() < CALLS_MAX {
            calls.push(call_of(name, code));
        }
        // After the closing fence, which would look like an opening one.
        rest = end.and_then(|end| body.get(end..)).map(|closing| closing.trim_start_matches('`')).unwrap_or_default();
    }
    calls
}

fn call_of(name: &str, arguments: &str) -> ToolCall {
    const ARGUMENT_CHARS_MAX: usize = 500;
    ToolCall { id: None, name: name.to_owned(), arguments: arguments.trim().chars().take(ARGUMENT_CHARS_MAX).collect() }
}

/// The text without its fenced blocks.
fn without_fences(text: &str) -> String {
    let mut is_outside = true;
    let lines = text.split_inclusive('\n').filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        let keep = is_outside && !is_fence;
        is_outside ^= is_fence;
        keep
    });
    lines.collect()
}

fn end_of(text: &str) -> &str {
    last_bytes(text, TEXT_BYTES_MAX)
}

/// At most the last `bytes_max` bytes of a text, from a character boundary.
fn last_bytes(text: &str, bytes_max: usize) -> &str {
    let mut start = text.len().saturating_sub(bytes_max);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(found: &[ToolCall]) -> Vec<(&str, &str)> {
        found.iter().map(|call| (call.name.as_str(), call.arguments.as_str())).collect()
    }

    #[test]
    fn notations_of_calls_are_read() {
        for (source, text, name, arguments) in [
            (
                "Qwen",
                "I will look.\n<tool_call>\n{\"name\": \"search\", \"arguments\": {\"q\": \"A-17\"}}\n</tool_call>",
                "search",
                r#"{"q":"A-17"}"#,
            ),
            (
                "GLM",
                "<tool_call>search\n<arg_key>q</arg_key>\n<arg_value>A-17</arg_value>\n</tool_call>",
                "search",
                "q</arg_key>\n<arg_value>A-17</arg_value>\n</tool_call>",
            ),
            (
                "Qwen Coder",
                "<tool_call>\n<function=search>\n<parameter=q>\nA-17\n</parameter>",
                "search",
                "<parameter=q>\nA-17\n</parameter>",
            ),
            ("Llama", "<function=search>{\"q\": 1}</function>", "search", "{\"q\": 1}</function>"),
            (
                "Anthropic",
                "<function_calls>\n<invoke name=\"search\">\n<parameter name=\"q\">A-17</parameter>",
                "search",
                "<parameter name=\"q\">A-17</parameter>",
            ),
            ("Anthropic, 2023", "<function_calls>\n<invoke>\n<tool_name>search</tool_name>\n", "search", ""),
            ("OpenHands", "Let me look.\n<execute_bash>\nls -la\n</execute_bash>", "execute_bash", "ls -la\n</execute_bash>"),
            ("action tags", "<thought>I look.</thought>\n<action>\nls\n</action>", "action", "ls\n</action>"),
            ("Cline", "<read_file>\n<path>a.py</path>\n</read_file>", "read_file", "<path>a.py</path>\n</read_file>"),
            ("Mistral", "[TOOL_CALLS] [{\"name\": \"search\", \"arguments\": {}}]", "search", "\", \"arguments\": {}}]"),
            ("DeepSeek", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>search\n", "search", ""),
            ("gpt-oss", "<|channel|>commentary to=functions.search <|constrain|>json", "search", "<|constrain|>json"),
            (
                "smolagents",
                "Calling tools:\n[{'id': 'c1', 'type': 'function', 'function': {'name': 'search', 'arguments': {}}}]",
                "search",
                ", 'arguments': {}}}]",
            ),
            ("ReAct", "Thought: I should look.\nAction: search\nAction Input: A-17", "search", "A-17"),
            ("ReAct in bold", "**Action:** `search`\n**Action Input:** A-17", "search", "A-17"),
            ("ReAct, 2022", "Thought 1: I look.\nAction 1: Search[A-17]", "Search", "A-17"),
            (
                "LangChain",
                "Thought: I look.\n```json\n{\n  \"action\": \"search\",\n  \"action_input\": \"A-17\"\n}\n```",
                "search",
                "\"A-17\"",
            ),
        ] {
            assert_eq!(calls(&written_calls(text)), [(name, arguments)], "{source}");
        }
        let two =
            "<tool_call>{\"name\": \"f\", \"arguments\": {}}</tool_call>\n<tool_call>{\"name\": \"g\", \"arguments\": {}}</tool_call>";
        assert_eq!(calls(&written_calls(two)), [("f", "{}"), ("g", "{}")]);
    }

    #[test]
    fn texts_that_only_contain_code_or_speak_of_calls_are_none() {
        for text in [
            "Run this:\n\n```bash\npip install acme\n```\n\nThen restart.",
            "A call looks like this:\n```xml\n<tool_call>\n{\"name\": \"f\", \"arguments\": {}}\n</tool_call>\n```",
            "Write the call between `<tool_call>` and `</tool_call>`.",
            "```\nThought: …\nAction: search\nAction Input: A-17\n```",
            "Action: we have to hurry.\nThe customer is waiting.",
            "Thought: I know the answer.\nAction: Final Answer\nAction Input: 42",
            "```json\n{\"action\": \"Final Answer\", \"action_input\": \"42\"}\n```",
            "Use <code>ls</code> to list files.",
            "The HTML element <action> is unknown.",
            "",
        ] {
            assert_eq!(calls(&written_calls(text)), [], "{text}");
        }
    }

    #[test]
    fn code_is_a_call_if_it_was_executed() {
        for (text, expected) in [
            ("THOUGHT: I look.\n\n```bash\nls -la\n```", vec![("bash", "ls -la")]),
            ("I look.\n```\nfind . -name x\n```\n", vec![("code", "find . -name x")]),
            ("```mswea_bash_command\nls\n```", vec![("mswea_bash_command", "ls")]),
            ("Thought: I add.\n<code>\nprint(1 + 1)\n</code>", vec![("python", "print(1 + 1)")]),
            ("I create it.\n<command>\ncreate a.py\n</command>", vec![("command", "create a.py")]),
            ("Code:\n```py\nprint(1)\n```<end_code>", vec![("py", "print(1)")]),
            ("```python\na = 1\n```\nand\n```sh\nls\n```", vec![("python", "a = 1"), ("sh", "ls")]),
            ("```json\n{\"a\": 1}\n```\nThat is the result.", vec![]),
            ("No code.", vec![]),
        ] {
            assert_eq!(calls(&executed_calls(text)), expected, "{text}");
            assert_eq!(has_code(text), !expected.is_empty(), "{text}");
        }
    }

    #[test]
    fn results_are_distinguished_from_messages_of_users() {
        for text in [
            "<returncode>0</returncode>\n<output>\nREADME.md\n</output>",
            "<exception>timed out</exception>\n<returncode>-1</returncode>",
            "<tool_response>\n{\"status\": \"late\"}\n</tool_response>",
            "Observation: the order is late",
            "OBSERVATION:\nREADME.md",
            "EXECUTION RESULT of [execute_bash]:\nREADME.md",
            "README.md\n(Open file: n/a)\n(Current directory: /testbed)\nbash-$",
            "7\n[Jupyter Python interpreter: /usr/bin/python]",
            "README.md\n[The command completed with exit code 0.]",
            "[execute_command for 'npm test'] Result:\nok",
        ] {
            assert!(is_result(text) && !is_complaint(text), "{text}");
        }
        for text in [
            "Please always provide EXACTLY ONE action in triple backticks, found 0 actions.",
            "Format error:\n\n<error>\nfound 0 actions\n</error>",
            "Error:\nError while parsing tool call from model output: no tool call\nNow let's retry: take care not to repeat previous errors!",
        ] {
            assert!(is_complaint(text), "{text}");
        }
        for text in [
            "Where is my order?",
            "I observed that it is late: see the photo.",
            "The output is wrong. Output: 7",
            "<p>Hello</p>",
            "Please continue.",
        ] {
            assert!(!is_result(text) && !is_complaint(text), "{text}");
        }
    }
}
