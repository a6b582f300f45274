//! Calls that repeat with the same arguments, in a run without any other failure. The tests are those of `incidents`.

use std::collections::{HashMap, HashSet};

use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use crate::model::{Message, Span, SpanKind, Trace};

/// A tool that was called at least five times with the same arguments. Fewer repetitions are common in healthy runs, for example polling.
pub(super) fn repeated_calls(trace: &Trace) -> Option<Incident<'_>> {
    const REPETITIONS_MIN: usize = 5;
    // `(count, index of the last call)` by tool and arguments.
    let mut calls: HashMap<(&str, &str), (usize, usize)> = HashMap::new();
    for (index, span) in trace.spans.iter().enumerate() {
        if let Some(tool) = &span.tool {
            let entry = calls.entry((&tool.name, &tool.arguments)).or_insert((0, index));
            *entry = (entry.0 + 1, index);
        }
    }
    let (count, index) = calls.into_values().max()?;
    if count < REPETITIONS_MIN {
        return None;
    }
    let mut incident = Incident::new(trace, index, IncidentKind::RepeatedCalls)?;
    let span = incident.span;
    incident.signals.push(Signal { text: format!("tool_called_{count}_times_alike"), field: Some("tool.arguments".into()) });
    if let Some(tool) = &span.tool {
        incident.texts.push(("tool.arguments".into(), &tool.arguments));
    }
    Some(incident)
}

/// A run that ends with the same tool call for the third time, without an answer: frameworks such as the Vercel AI SDK and Mastra stop an agent at its
/// limit of steps without an error.
pub(super) fn ended_in_a_loop(trace: &Trace) -> Option<Incident<'_>> {
    const REPETITIONS_MIN: usize = 3;
    let has_content = |message: &Message| !message.content.trim().is_empty() || !message.tool_calls.is_empty();
    let is_call = |span: &Span| span.kind == SpanKind::Llm && span.output.iter().any(has_content);
    let (index, last) = trace.spans.iter().enumerate().rev().find(|(_, span)| is_call(span))?;
    let call = last.output.last().filter(|message| message.content.trim().is_empty())?.tool_calls.first()?;
    // Nested spans of one model call repeat the call with its id.
    let mut ids = HashSet::new();
    let calls = trace.spans.iter().filter(|span| is_call(span)).flat_map(|span| &span.output).flat_map(|message| &message.tool_calls);
    let alike = calls.filter(|other| other.name == call.name && is_same_json(&other.arguments, &call.arguments));
    let repetitions = alike.filter(|other| other.id.as_ref().is_none_or(|id| ids.insert(id))).count();
    let answers = trace.spans.iter().filter(|span| span.kind == SpanKind::Agent).filter_map(|span| span.output.last());
    if repetitions < REPETITIONS_MIN || answers.into_iter().any(|answer| !answer.content.trim().is_empty()) {
        return None;
    }
    let mut incident = Incident::new(trace, index, IncidentKind::RepeatedCalls)?;
    incident.signals.push(Signal::new("run_ends", "after_tool_call", "output[0].tool_calls.name"));
    incident.texts.push(("output[0].tool_calls.name".into(), &call.name));
    Some(incident)
}

/// Whether two JSON texts have the same value; texts that do not parse must be equal.
fn is_same_json(first: &str, second: &str) -> bool {
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
    first == second || value(first).is_some_and(|first| Some(first) == value(second))
}
