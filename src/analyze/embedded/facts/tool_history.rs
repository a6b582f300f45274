//! The other calls of the failed tool: how many worked, and which argument tells the failed call from one that worked.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::super::incident::IncidentKind;
use super::super::tool_result;
use super::call::RecordedCall;
use super::calls::{Call, calls_of};
use super::names::fact_names;
use super::tool_call::CALLED_TOOL;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::{Span, SpanKind};

fact_names! {
    WORKING_CALLS = "working_calls", Count, "the number of calls of the tool that worked";
    FAILED_ARGUMENT = "failed_argument", Text, "the argument that only the failed call had with this value";
    FAILED_ARGUMENT_VALUE = "failed_argument_value", Text, "the value of that argument in the failed call";
    WORKING_ARGUMENT_VALUE = "working_argument_value", Text, "the value of that argument in a call that worked";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of a value in a fact.
const VALUE_CHARS_MAX: usize = 100;

/// Calls of the tool that are read.
const CALLS_READ_MAX: usize = 200;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(incident) = case.root else { return };
    let is_about_tool = incident.span_kind() == SpanKind::Tool
        || matches!(case.label.category(), "tool_failure" | "tool_misuse")
        || case.is(&["handoff_failed", "guardrail_blocked"]) && incident.kind == IncidentKind::ToolResult;
    if !is_about_tool {
        return;
    }
    let recorded = RecordedCall::of(case);
    let name = recorded.as_ref().map(|call| call.name).or(incident.tool.as_deref());
    let Some(name) = name.or_else(|| facts.get(&CALLED_TOOL)).map(str::to_owned).filter(|name| !name.is_empty()) else { return };
    let failed_spans: HashSet<*const Span> = case.incidents.iter().map(|incident| std::ptr::from_ref(incident.span)).collect();
    let calls = calls_of(case);
    let of_tool: Vec<&Call<'_>> = calls.iter().filter(|call| call.name == name).take(CALLS_READ_MAX).collect();
    // A call without a recorded result may have failed.
    let is_known = |call: &&Call<'_>| call.has_span || call.result.is_some();
    let worked: Vec<&Call<'_>> = of_tool.into_iter().filter(is_known).filter(|call| !has_failed(call, &failed_spans)).collect();
    if !worked.is_empty() {
        facts.add(&WORKING_CALLS, worked.len(), Place::Trace);
    }
    let Some(arguments) = recorded.as_ref().and_then(RecordedCall::json) else { return };
    add_difference(case, &arguments, incident.span, &worked, facts);
}

fn has_failed(call: &Call<'_>, failed_spans: &HashSet<*const Span>) -> bool {
    if call.has_span && (call.span.failed() || failed_spans.contains(&std::ptr::from_ref(call.span))) {
        return true;
    }
    call.result.is_some_and(|result| tool_result::error_in_result(call.name, call.arguments, result).is_some())
}

/// The argument whose value no call that worked had. Only one may differ: of several, it is not known which matters. If a resource ran out, it is a number.
fn add_difference(case: &Case<'_, '_>, arguments: &Map<String, Value>, span: &Span, worked: &[&Call<'_>], facts: &mut Facts) {
    let of_worked: Vec<(Map<String, Value>, &Span)> =
        worked.iter().filter_map(|call| Some((RecordedCall::json_of(call.arguments)?, call.span))).collect();
    let is_numeric = case.is(&["resource_exhausted", "tool_timeout"]);
    let is_new = |key: &str, value: &Value| of_worked.iter().all(|(other, _)| other.get(key) != Some(value));
    let mut differing = arguments.iter().filter(|(key, value)| {
        let is_read = if is_numeric { value.is_number() } else { value.is_number() || value.is_string() };
        is_read && of_worked.iter().any(|(other, _)| other.contains_key(key.as_str())) && is_new(key, value)
    });
    let Some((key, value)) = differing.next().filter(|_| differing.next().is_none()) else {
        if is_numeric {
            add_size(arguments, span, facts);
        }
        return;
    };
    let Some((other, other_span)) = of_worked.iter().rev().find_map(|(other, span)| Some((other.get(key)?, *span))) else { return };
    facts.add(&FAILED_ARGUMENT, shortened(key, VALUE_CHARS_MAX), Place::Span(span));
    facts.add(&FAILED_ARGUMENT_VALUE, shortened(&written(value), VALUE_CHARS_MAX), Place::Span(span));
    facts.add(&WORKING_ARGUMENT_VALUE, shortened(&written(other), VALUE_CHARS_MAX), Place::Span(other_span));
}

/// The argument that says how much a call was to do, if no other call tells.
fn add_size(arguments: &Map<String, Value>, span: &Span, facts: &mut Facts) {
    const WORDS: [&str; 22] = [
        "batch",
        "size",
        "count",
        "limit",
        "width",
        "height",
        "num",
        "max",
        "length",
        "chunk",
        "workers",
        "rows",
        "resolution",
        "dpi",
        "frames",
        "samples",
        "pages",
        "threads",
        "steps",
        "scale",
        "duration",
        "concurrency",
    ];
    let is_size = |key: &str| {
        let key = key.to_ascii_lowercase();
        WORDS.iter().any(|word| key.contains(word))
    };
    let mut sizes = arguments.iter().filter(|(key, value)| value.is_number() && is_size(key));
    if let Some((key, value)) = sizes.next().filter(|_| sizes.next().is_none()) {
        facts.add(&FAILED_ARGUMENT, shortened(key, VALUE_CHARS_MAX), Place::Span(span));
        facts.add(&FAILED_ARGUMENT_VALUE, written(value), Place::Span(span));
    }
}

fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::Incident;
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, ToolUse, Trace};

    fn facts_of(label: &str, calls: &[(&str, bool)]) -> Facts {
        let span = |(index, (arguments, is_ok)): (usize, &(&str, bool))| Span {
            span_id: index.to_string(),
            kind: SpanKind::Tool,
            status: if *is_ok { Status::Ok } else { Status::Error },
            tool: Some(ToolUse { name: "load".into(), arguments: (*arguments).into(), ..ToolUse::default() }),
            ..Span::default()
        };
        let trace = Trace { spans: calls.iter().enumerate().map(span).collect(), ..Trace::default() };
        let failed = calls.iter().rposition(|(_, is_ok)| !is_ok).unwrap();
        let incidents = vec![Incident::new(&trace, failed, IncidentKind::Error).unwrap()];
        let tree = SpanTree::new(&trace);
        let case = Case::new(&trace, &tree, &incidents, incidents.first(), Label::parse(label).unwrap());
        let mut facts = Facts::default();
        add(&case, &mut facts);
        facts
    }

    #[test]
    fn the_argument_that_only_the_failed_call_had_is_named() {
        let of = |label: &str, calls: &[(&str, bool)]| {
            let facts = facts_of(label, calls);
            [&WORKING_CALLS, &FAILED_ARGUMENT, &FAILED_ARGUMENT_VALUE, &WORKING_ARGUMENT_VALUE]
                .map(|name| facts.get(name).unwrap_or_default().to_owned())
        };
        let denied = "tool_failure/tool_auth_failed";
        assert_eq!(
            of(denied, &[(r#"{"box": "a"}"#, true), (r#"{"box": "b"}"#, false), (r#"{"box": "b"}"#, false)]),
            ["1", "box", "b", "a"]
        );
        // Two arguments differ, so that neither is known to matter.
        assert_eq!(of(denied, &[(r#"{"box": "a", "day": 1}"#, true), (r#"{"box": "b", "day": 2}"#, false)]), ["1", "", "", ""]);
        // The failed value worked before.
        assert_eq!(of(denied, &[(r#"{"box": "a"}"#, true), (r#"{"box": "a"}"#, false)]), ["1", "", "", ""]);
        let memory = "environment_error/resource_exhausted";
        let runs = [(r#"{"file": "1", "batch_size": 8}"#, true), (r#"{"file": "2", "batch_size": 32}"#, false)];
        assert_eq!(of(memory, &runs), ["1", "batch_size", "32", "8"]);
        assert_eq!(of(memory, &[(r#"{"file": "2", "batch_size": 32}"#, false)]), ["", "batch_size", "32", ""]);
    }
}
