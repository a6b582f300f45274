//! Facts of whole traces: attempts, chains, loops, cancellations, handoffs and exceptions.

use super::super::incident::{Incident, IncidentKind};
use super::super::tree::SpanTree;
use super::{Case, Facts};
use crate::model::{Attribute, Exception, Label, Span, SpanKind, Status, TokenUsage, ToolUse, Trace};

const MS: i64 = 1_000_000;

/// A span with times in milliseconds.
fn span(id: &str, parent: Option<&str>, kind: SpanKind, name: &str, times: (i64, i64)) -> Span {
    Span {
        span_id: id.into(),
        parent_span_id: parent.map(str::to_owned),
        name: name.into(),
        kind,
        started_at_ns: Some(times.0 * MS),
        ended_at_ns: Some(times.1 * MS),
        ..Span::default()
    }
}

fn failed(mut span: Span, kind: &str, message: &str) -> Span {
    span.status = Status::Error;
    span.exceptions = vec![Exception { kind: kind.into(), message: message.into(), stack: None }];
    span
}

fn tool(mut span: Span, arguments: &str, result: &str) -> Span {
    span.tool = Some(ToolUse { name: span.name.clone(), call_id: None, arguments: arguments.into(), result: Some(result.into()) });
    span
}

/// The facts of a trace whose failed spans are incidents; `root` is the index of the root cause, `recovered` those of the recovered ones.
fn facts_of(spans: Vec<Span>, label: &str, root: usize, recovered: &[usize]) -> Facts {
    let trace = Trace { spans, ..Trace::default() };
    let tree = SpanTree::new(&trace);
    let is_incident = |index: &usize| trace.spans[*index].failed() || *index == root;
    let incidents: Vec<Incident<'_>> = (0..trace.spans.len())
        .filter(is_incident)
        .map(|index| {
            let mut incident = Incident::new(&trace, index, IncidentKind::Error).unwrap();
            for exception in &trace.spans[index].exceptions {
                incident.texts.push(("exceptions[0].message".into(), exception.message.as_str()));
                incident.error_type = Some(exception.kind.clone());
            }
            incident.recovered = recovered.contains(&index);
            incident
        })
        .collect();
    let root = incidents.iter().find(|incident| incident.index == root);
    Facts::of(&Case::new(&trace, &tree, &incidents, root, Label::parse(label).unwrap()))
}

fn check(facts: &Facts, expected: &[(&str, Option<&str>)]) {
    let items = facts.clone().into_items();
    for (name, value) in expected {
        let found = items.iter().find(|fact| fact.name == *name).map(|fact| fact.value.as_str());
        assert_eq!(found, *value, "{name} in {items:?}");
    }
}

#[test]
fn equal_calls_that_failed_one_after_the_other_are_attempts() {
    let call = |id: &str, times| failed(span(id, Some("0"), SpanKind::Llm, "chat", times), "RateLimitError", "429");
    let spans = vec![
        failed(span("0", None, SpanKind::Agent, "agent", (0, 100)), "RateLimitError", "429"),
        call("1", (0, 10)),
        call("2", (20, 30)),
        call("3", (40, 95)),
        span("4", Some("0"), SpanKind::Tool, "search", (96, 97)),
    ];
    let facts = facts_of(spans, "provider_error/rate_limited", 1, &[]);
    check(
        &facts,
        &[
            ("attempts", Some("3")),
            ("retries", Some("2")),
            ("duration_ms", Some("10")),
            ("step_position", Some("1")),
            ("steps_total", Some("4")),
            ("failed_after_ms", Some("10")),
            ("failed_parents", Some("1")),
            ("failed_root_span", Some("agent")),
            ("followed_by", None),
            ("run_ended_after_ms", Some("90")),
        ],
    );
    // Calls at the same time are none.
    let spans = vec![span("0", None, SpanKind::Agent, "agent", (0, 100)), call("1", (0, 10)), call("2", (5, 30))];
    check(&facts_of(spans, "provider_error/rate_limited", 1, &[]), &[("attempts", None), ("retries", None), ("followed_by", Some("chat"))]);
}

#[test]
fn the_duration_is_compared_with_successful_calls_of_the_name() {
    let mut spans = vec![failed(span("f", None, SpanKind::Tool, "search", (0, 30_000)), "TimeoutError", "timed out")];
    for (index, duration) in [100, 900, 200, 400].into_iter().enumerate() {
        spans.push(span(&index.to_string(), None, SpanKind::Tool, "search", (40_000, 40_000 + duration)));
    }
    spans.push(span("other", None, SpanKind::Tool, "lookup", (0, 5)));
    check(
        &facts_of(spans, "tool_failure/tool_timeout", 0, &[]),
        &[("typical_duration_ms", Some("300")), ("compared_calls", Some("4")), ("steps_after_failure", Some("4"))],
    );
}

#[test]
fn recovered_failures_and_what_followed_are_named() {
    let spans = vec![
        span("0", None, SpanKind::Agent, "agent", (0, 100)),
        failed(span("1", Some("0"), SpanKind::Embedding, "embed", (0, 10)), "APITimeoutError", "slow"),
        failed(span("2", Some("0"), SpanKind::Tool, "search", (20, 30)), "ValueError", "bad"),
        failed(span("3", Some("0"), SpanKind::Tool, "report", (40, 50)), "KeyError", "'rows'"),
    ];
    check(
        &facts_of(spans, "tool_failure/tool_exception", 2, &[1]),
        &[
            ("recovered_failures", Some("1")),
            ("first_recovered_span", Some("embed")),
            ("recovered_errors", Some("APITimeoutError")),
            ("followed_by", Some("report")),
            ("followed_count", Some("1")),
            ("failed_parents", None),
        ],
    );
}

#[test]
fn counts_of_retries_are_read_from_attributes() {
    let mut call = failed(span("1", None, SpanKind::Llm, "chat", (0, 10)), "APIConnectionError", "Connection error.");
    call.attributes = vec![Attribute { key: "http.request.resend_count".into(), value: "2".into() }];
    check(&facts_of(vec![call], "provider_error/connection_failed", 0, &[]), &[("retries", Some("2")), ("attempts", Some("3"))]);
    let call = failed(span("1", None, SpanKind::Llm, "chat", (0, 10)), "RetryError", "Failed after 4 attempts. Last error: Overloaded");
    check(&facts_of(vec![call], "provider_error/provider_overloaded", 0, &[]), &[("retries", Some("3")), ("attempts", Some("4"))]);
}

#[test]
fn a_loop_names_its_call_and_what_it_returned() {
    let run = |results: [&str; 3], label: &str| {
        let mut spans = vec![failed(span("0", None, SpanKind::Agent, "agent", (0, 100)), "MaxTurnsExceeded", "Max turns (3) exceeded")];
        for (index, result) in results.into_iter().enumerate() {
            let at = i64::try_from(index).unwrap() * 20;
            let mut call = span(&format!("m{index}"), Some("0"), SpanKind::Llm, "chat", (at, at + 5));
            call.usage = TokenUsage { input: Some(100), output: Some(10) };
            spans.push(call);
            spans.push(tool(span(&format!("t{index}"), Some("0"), SpanKind::Tool, "poll", (at + 6, at + 8)), r#"{"job": 5}"#, result));
        }
        facts_of(spans, label, 0, &[])
    };
    check(
        &run(["pending"; 3], "runaway_execution/max_iterations_reached"),
        &[
            ("step_limit", Some("3")),
            ("repeated_tool", Some("poll")),
            ("repeated_arguments", Some(r#"{"job": 5}"#)),
            ("repeated_times", Some("3")),
            ("repeated_outcome", Some("the same result each time")),
            ("repeated_result", Some("pending")),
            ("repeated_percent", Some("100")),
            ("loop_duration_ms", Some("42")),
            ("loop_tokens", Some("220")),
            ("most_called_variants", Some("1")),
            ("model_calls", Some("3")),
            ("tool_calls", Some("3")),
        ],
    );
    check(
        &run(["1 %", "2 %", "3 %"], "runaway_execution/max_iterations_reached"),
        &[("repeated_outcome", Some("3 different results")), ("repeated_result", None)],
    );
    check(
        &run([""; 3], "runaway_execution/token_budget_exhausted"),
        &[
            ("repeated_outcome", Some("an empty result each time")),
            ("spent_tokens", Some("330")),
            ("largest_call", Some("chat")),
            ("largest_call_tokens", Some("110")),
            ("slowest_step", Some("chat")),
            ("slowest_step_ms", Some("5")),
        ],
    );
    check(&run(["pending"; 3], "tool_failure/tool_exception"), &[("repeated_tool", None), ("step_limit", None)]);
}

#[test]
fn a_cancelled_run_names_what_cancelled_it() {
    let cancelled = |message: &str| failed(span("1", Some("0"), SpanKind::Llm, "chat", (0, 50)), "CancelledError", message);
    let parent = span("0", None, SpanKind::Agent, "agent", (0, 60));
    let of = |spans: Vec<Span>| facts_of(spans, "coordination_failure/run_cancelled", 1, &[]);
    check(&of(vec![parent.clone(), cancelled("cancelled by user")]), &[("cancelled_by", Some("the user")), ("ran_for_ms", Some("50"))]);
    check(&of(vec![parent.clone(), cancelled("")]), &[("cancelled_by", None), ("cancelling_span", None), ("failed_sibling", None)]);
    let timed_out = failed(parent.clone(), "TimeoutError", "");
    check(&of(vec![timed_out, cancelled("")]), &[("cancelled_by", Some("a time limit")), ("cancelling_span", Some("agent"))]);
    let sibling = failed(span("2", Some("0"), SpanKind::Tool, "search", (5, 45)), "KeyError", "'id'");
    check(
        &of(vec![parent, cancelled(""), sibling]),
        &[("failed_sibling", Some("search")), ("sibling_error", Some("KeyError")), ("cancelled_by", None)],
    );
}

#[test]
fn a_handoff_names_its_agents() {
    let spans = vec![
        span("0", None, SpanKind::Agent, "triage", (0, 60)),
        failed(span("1", Some("0"), SpanKind::Tool, "transfer", (5, 6)), "HandoffError", "handoff to 'billing' failed: not registered"),
        span("2", Some("0"), SpanKind::Agent, "refunds", (10, 20)),
    ];
    check(
        &facts_of(spans, "coordination_failure/handoff_failed", 1, &[]),
        &[("from_agent", Some("triage")), ("to_agent", Some("billing")), ("known_agents", Some("refunds and triage"))],
    );
}

#[test]
fn an_exception_names_its_place_and_what_it_is_about() {
    let mut step = failed(span("0", None, SpanKind::Chain, "handle", (0, 60)), "KeyError", "'customer'");
    step.exceptions[0].stack = Some(
        "Traceback (most recent call last):\n  File \"/app/orders.py\", line 42, in process\n    return order[\"customer\"]\nKeyError: 'customer'\n".into(),
    );
    check(
        &facts_of(vec![step], "environment_error/application_exception", 0, &[]),
        &[
            ("error_place", Some("/app/orders.py:42")),
            ("error_function", Some("process")),
            ("error_code_line", Some("return order[\"customer\"]")),
            ("missing_key", Some("customer")),
            ("error_library", None),
            ("trace_duration_ms", Some("60")),
        ],
    );
}

#[test]
fn hostile_texts_are_bounded() {
    let long = "x".repeat(3_000_000);
    let mut step = failed(span("0", None, SpanKind::Chain, &long, (0, 60)), &long, &format!("{long}\n    at {long} ({long}:1:2)"));
    step.exceptions[0].stack = Some("  File \"a.py\", line 1, in f\n".repeat(200_000));
    step.attributes = vec![Attribute { key: "retries".into(), value: long }];
    let facts = facts_of(vec![step], "environment_error/application_exception", 0, &[]);
    assert!(facts.into_items().iter().all(|fact| fact.value.chars().count() <= crate::limits::FACT_CHARS_MAX));
}
