//! Incidents of tool calls: results that are errors, and calls of tools that do not exist.

use std::collections::HashSet;
use std::sync::LazyLock;

use regex::Regex;

use super::incident::{Incident, IncidentKind};
use super::signals::{self, Signal};
use super::text::{clip, expression};
use crate::model::{Span, SpanKind, Trace};

/// Whether the text of a tool result is an error.
///
/// Matches an error at the start (`Error: …`, `Traceback …`, `ValueError(…)`, `exit code: 1`, `HTTP 503`) and the fields by which JSON results
/// report one (`{"error": "…"}`, `"status": "failed"`, `"isError": true`). The word "error" inside a text does not count: a tool that searches
/// logs returns it when it works. `{"error": null}` does not count either.
fn is_error_text(result: &str) -> bool {
    static ERROR: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            // The start of the text: "Error: …", a Python or JavaScript exception.
            r#"(?i)^\W{0,3}(?:error(?-u:\b)|exception(?-u:\b)|traceback \(most recent call last\)|[A-Za-z_.]{2,60}(?:Error|Exception)(?-u:\b)\s*[:(]|failed to "#,
            // The start of the text: errors of a shell, "exit code: 1".
            r#"|(?:ba)?sh: (?:line \d+: )?[^\n]{1,60}: (?:command not found|permission denied|no such file)|exit(?:ed)?:? ?(?:with )?(?:code|status):? ?[1-9]"#,
            // The start of the text: errors of agent frameworks, and of HTTP.
            r#"|error invoking tool|tool execution failed|tool ['"]?[A-Za-z0-9_.:-]{1,80}['"]? (?:is |was )?(?:not found|not available|does not exist)|http (?:error )?[45]\d\d"#,
            // The start of the text: the status line of an HTTP response.
            r#"|[45]\d\d (?:bad request|unauthorized|forbidden|not found|request timeout|conflict|too many requests|internal server error|bad gateway|service unavailable|gateway time-?out))"#,
            // A JSON object whose first key is an error that is not empty.
            r#"|^\s*\{\s*"(?:error|errors|exception)"\s*:\s*(?:"[^"]|\{\s*"|\[\s*["{])"#,
            // Anywhere: the status fields of JSON results, and of MCP.
            r#"|"status"\s*:\s*"(?:error|failed|failure)"|"(?:is_?error|isError)"\s*:\s*true"#,
            // Semantic Kernel's results for a call that it cannot make.
            r#"|tool call arguments are malformed|is not part of the provided tools"#,
            // Pydantic AI's request to repeat a call.
            r#"|fix the errors and try again\.\s*$"#,
            // LangGraph's result for an unknown tool.
            r#"|is not a valid tool, try one of"#,
            // Anywhere: an HTTP status field.
            r#"|"status(?:_?code)?"\s*:\s*[45]\d\d(?-u:\b)"#,
        ))
    });
    ERROR.as_ref().is_some_and(|error| error.is_match(clip(result)))
}

/// A tool span without an error status whose result is an error. Many frameworks catch a tool's exception and return its text to the model.
pub(super) fn failed_tool_result(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let result = incident.span.tool.as_ref()?.result.as_deref().filter(|result| is_error_text(result))?;
    incident.signals.push(Signal::new("error_in_tool_result", "true", "tool.result"));
    if let Some(status) = signals::http_status(clip(result)) {
        incident.signals.push(Signal::new("http_status", status, "tool.result"));
        incident.status = Some(status);
    }
    incident.texts.push(("tool.result".into(), result));
    Some(incident)
}

/// A tool error that is recorded only among the input messages of the next model call: `LangGraph` writes no tool span for an unknown tool.
///
/// `answered_calls` contains the ids of calls that have a span or were reported already; later model calls repeat the message as history.
pub(super) fn failed_tool_message<'t>(trace: &'t Trace, index: usize, answered_calls: &mut HashSet<&'t str>) -> Option<Incident<'t>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let span = incident.span;
    let (number, message, id) = span.input.iter().enumerate().find_map(|(number, message)| {
        let id = message.tool_call_id.as_deref()?;
        (message.role == "tool" && !answered_calls.contains(id) && is_error_text(&message.content)).then_some((number, message, id))
    })?;
    answered_calls.insert(id);
    let calls = span.input.iter().flat_map(|message| &message.tool_calls);
    incident.tool = calls.filter(|call| call.id.as_deref() == Some(id)).map(|call| call.name.clone()).next_back();
    // The tool failed before the model call that reads its result.
    incident.at_ns = span.started_at_ns.unwrap_or(incident.at_ns);
    let field = format!("input[{number}].content");
    incident.signals.push(Signal::new("error_in_tool_result", "true", field.clone()));
    incident.status = signals::http_status(clip(&message.content));
    incident.texts.push((field, &message.content));
    Some(incident)
}

/// A call to a tool that the model was not offered.
pub(super) fn unknown_tool_call(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let span = incident.span;
    // Many instrumentations do not record the offered tools. Then any call may be valid.
    if span.tools_offered.is_empty() {
        return None;
    }
    let offered: HashSet<&str> = span.tools_offered.iter().map(String::as_str).collect();
    let (number, call) = span.output.iter().enumerate().find_map(|(number, message)| {
        let is_unknown = |name: &str| !name.is_empty() && !offered.contains(name) && !is_hosted_tool(name);
        let call = message.tool_calls.iter().find(|call| is_unknown(&call.name))?;
        Some((number, call))
    })?;
    let field = format!("output[{number}].tool_calls.name");
    incident.tool = Some(call.name.clone());
    incident.signals.push(Signal::new("tool_offered", "no", field.clone()));
    incident.texts.push((field, &call.name));
    Some(incident)
}

/// Whether a call is of a tool that the provider runs, such as `web_search_call`. It is offered by its type and not by a name.
fn is_hosted_tool(name: &str) -> bool {
    const CALLS: [&str; 9] = [
        "web_search_call",
        "file_search_call",
        "computer_call",
        "code_interpreter_call",
        "image_generation_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "tool_search_call",
    ];
    CALLS.contains(&name)
}

/// A tool call whose arguments end too early, as the last thing that the model wrote: LangChain.js then ends the run without an answer.
pub(super) fn incomplete_tool_call(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let is_later_step = |span: &Span| matches!(span.kind, SpanKind::Llm | SpanKind::Tool);
    if trace.spans.iter().skip(index + 1).any(is_later_step) {
        return None;
    }
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let (number, message) = incident.span.output.iter().enumerate().next_back()?;
    let call = message.tool_calls.iter().find(|call| is_incomplete_json(&call.arguments))?;
    let field = format!("output[{number}].tool_calls.arguments");
    incident.tool = Some(call.name.clone());
    incident.signals.push(Signal::new("arguments", "incomplete_json", field.clone()));
    incident.texts.push((field, &call.arguments));
    Some(incident)
}

/// Whether the arguments of a call are JSON that ends too early. Longer arguments may have been cut off by the exporter.
pub(super) fn is_incomplete_json(arguments: &str) -> bool {
    const ARGUMENTS_BYTES_MAX: usize = 1_000;
    arguments.len() < ARGUMENTS_BYTES_MAX
        && arguments.trim_start().starts_with('{')
        && serde_json::from_str::<serde::de::IgnoredAny>(arguments).is_err_and(|error| error.is_eof())
}
