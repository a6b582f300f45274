//! Incidents of tool calls: results that are errors, and calls of tools that do not exist.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use regex::Regex;

use super::condition::Condition;
use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use super::text::expression;
use super::tool_error::ToolError;
use super::tool_result;
use crate::model::{Message, Span, SpanKind, ToolCall, Trace, last_segment};

/// A tool span without an error status whose result is an error. Many frameworks catch a tool's exception and return its text to the model.
pub(super) fn failed_tool_result(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
    let tool = incident.span.tool.as_ref()?;
    let (field, result) = result_of(incident.span)?;
    let Some(error) = tool_result::error_in_result(&tool.name, &tool.arguments, result) else {
        return is_bot_check(result).then(|| {
            incident.condition = Some(Condition::GuardrailBlocked);
            incident.signals.push(Signal::new("page", "bot_check", field));
            incident.texts.push((field.to_owned(), result));
            incident
        });
    };
    describe(&mut incident, error, field);
    Some(incident)
}

/// Whether a fetched page is nothing but the check for bots that Cloudflare, Akamai, `DataDome`, Imperva, `PerimeterX` or a search engine puts in front of a
/// site.
fn is_bot_check(result: &str) -> bool {
    /// Longer pages have content of their own.
    const PAGE_BYTES_MAX: usize = 3_000;
    static CHECK: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            r"(?i)(?:performing security verification|checking (?:your browser|if the site connection is secure)|attention required! \| cloudflare",
            r"|enable javascript and cookies to continue|verify(?:ing)? (?:that )?you are (?:a )?human|please (?:complete|solve) the (?:captcha|security check)",
            r"|pardon our interruption|press (?:and|&) hold to confirm|unusual traffic from your|are you a robot\?|request unsuccessful\. incapsula)",
        ))
    });
    result.len() <= PAGE_BYTES_MAX && CHECK.as_ref().is_some_and(|check| check.is_match(result))
}

/// The result of a tool, and the field that contains it. Some instrumentations record it only as the output of the span.
fn result_of(span: &Span) -> Option<(&'static str, &str)> {
    let result = span.tool.as_ref()?.result.as_deref().map(|result| ("tool.result", result));
    result.or_else(|| Some(("output_text", span.output_text.as_deref()?)))
}

/// A retriever without an error status whose output is an error. Its span has no documents then, as if it had found none.
pub(super) fn failed_retrieval(trace: &Trace, index: usize) -> Option<Incident<'_>> {
    let mut incident = Incident::new(trace, index, IncidentKind::Error)?;
    let has_documents = incident.span.documents.as_ref().is_some_and(|documents| !documents.is_empty());
    let output = incident.span.output_text.as_deref().filter(|_| !has_documents)?;
    let error = tool_result::error_in_result(&incident.span.name, incident.span.input_text.as_deref().unwrap_or_default(), output)?;
    describe(&mut incident, error, "output_text");
    Some(incident)
}

/// Adds to an incident what the result in `field` says.
fn describe<'t>(incident: &mut Incident<'t>, error: ToolError<'t>, field: &str) {
    incident.signals.push(Signal::new("error_in_tool_result", "true", field));
    if let Some(code) = error.exit_code {
        incident.signals.push(Signal::new("exit_code", code, field));
    }
    if let Some(status) = error.http_status {
        incident.signals.push(Signal::new("http_status", status, field));
    }
    if let Some(kind) = &error.error_type {
        incident.signals.push(Signal::new("error_type", last_segment(kind), field));
    }
    incident.status = error.http_status;
    incident.error_type = error.error_type;
    incident.texts.extend(error.messages.into_iter().map(|message| (field.to_owned(), message)));
}

/// What a tool answered in a message, without a span of its own.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MessageOutcome<'t> {
    /// Index of the span with the message.
    pub(super) index: usize,
    /// The field that contains it.
    pub(super) field: String,
    /// Name of the tool, if the call was recorded.
    pub(super) tool: Option<&'t str>,
    /// Its arguments, if the call was recorded.
    pub(super) arguments: &'t str,
    pub(super) failed: bool,
}

/// Results of tools that are recorded only among the input messages of the next model call: `LangGraph` writes no tool span for an unknown tool, and some
/// instrumentations write none at all.
#[derive(Debug, Default)]
pub(super) struct ToolMessages<'t> {
    /// Ids of calls that have a span or were read already, and contents of results without an id. Later model calls repeat the messages as history.
    known: HashSet<&'t str>,
    /// In the order of the run.
    pub(super) outcomes: Vec<MessageOutcome<'t>>,
}

impl<'t> ToolMessages<'t> {
    pub(super) fn new(trace: &'t Trace) -> Self {
        // A span without a result does not say whether the tool failed.
        let reported = trace.spans.iter().filter(|span| span.failed() || result_of(span).is_some());
        let known = reported.filter_map(|span| span.tool.as_ref()?.call_id.as_deref()).collect();
        Self { known, outcomes: Vec::new() }
    }

    /// Reads the results that are new in the input of the span at `index`, and returns the errors.
    pub(super) fn read(&mut self, trace: &'t Trace, index: usize) -> Vec<Incident<'t>> {
        let Some(span) = trace.spans.get(index) else { return Vec::new() };
        let is_new = |known: &HashSet<&str>, message: &Message| message.role == "tool" && !known.contains(key_of(message));
        if !span.input.iter().any(|message| is_new(&self.known, message)) {
            return Vec::new();
        }
        let calls = span.input.iter().flat_map(|message| &message.tool_calls);
        let calls: HashMap<&str, &ToolCall> = calls.filter_map(|call| Some((call.id.as_deref()?, call))).collect();
        let mut found = Vec::new();
        for (number, message) in span.input.iter().enumerate() {
            if message.role != "tool" || !self.known.insert(key_of(message)) {
                continue;
            }
            let call = message.tool_call_id.as_deref().and_then(|id| calls.get(id));
            let (name, arguments) = call.map_or(("", ""), |call| (call.name.as_str(), call.arguments.as_str()));
            let error = tool_result::error_in_result(name, arguments, &message.content);
            let (field, tool) = (format!("input[{number}].content"), call.map(|call| call.name.as_str()));
            self.outcomes.push(MessageOutcome { index, field: field.clone(), tool, arguments, failed: error.is_some() });
            found.extend(error.and_then(|error| {
                let mut incident = Incident::new(trace, index, IncidentKind::ToolResult)?;
                incident.tool = tool.map(str::to_owned);
                // The tool failed before the model call that reads its result.
                incident.at_ns = span.started_at_ns.unwrap_or(incident.at_ns);
                describe(&mut incident, error, &field);
                Some(incident)
            }));
        }
        found
    }
}

/// By what a result is recognized in the history of later calls.
fn key_of(message: &Message) -> &str {
    message.tool_call_id.as_deref().unwrap_or(&message.content)
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
