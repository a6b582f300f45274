use std::time::{Duration, Instant};

use super::super::incidents;
use super::*;
use crate::model::{Document, Message, Status, ToolCall, ToolUse};

/// Chain spans with the given status and parent, by index.
fn spans(count: usize, status: impl Fn(usize) -> Status, parent: impl Fn(usize) -> Option<usize>) -> Trace {
    let span = |index: usize| Span {
        span_id: index.to_string(),
        parent_span_id: parent(index).map(|parent| parent.to_string()),
        name: "step".into(),
        kind: SpanKind::Chain,
        status: status(index),
        started_at_ns: i64::try_from(index).ok(),
        ..Span::default()
    };
    Trace { spans: (0..count).map(span).collect(), ..Trace::default() }
}

fn recovered(trace: &Trace) -> Vec<bool> {
    let found = incidents::find(trace, &SpanTree::new(trace), Deadline::after(Duration::from_mins(5))).unwrap();
    found.iter().map(|incident| incident.recovered).collect()
}

#[test]
fn a_later_success_recovers_the_span_and_its_descendants() {
    let status = |index: usize| if matches!(index, 1..=3) { Status::Error } else { Status::Ok };
    // 0 contains 1 and the successful 4; 1 contains 2, which contains 3.
    let parent = |index: usize| match index {
        0 => None,
        1 | 4 => Some(0),
        other => Some(other - 1),
    };
    assert_eq!(recovered(&spans(5, status, parent)), [true, true, true]);
    assert_eq!(recovered(&spans(4, status, parent)), [false, false, false]);
}

#[test]
fn a_failure_ends_the_spans_around_it_that_do_nothing_afterwards() {
    // 0 contains 1 > 2 > 3, which fails, and 4 > 5 > 6, which succeeds.
    let parent = |index: usize| match index {
        0 => None,
        1 | 4 => Some(0),
        other => Some(other - 1),
    };
    let status = |index: usize| if index == 3 { Status::Error } else { Status::Ok };
    assert_eq!(recovered(&spans(7, status, parent)), [true]);
    // Another step of 2 went on after the error.
    let mut trace = spans(8, status, |index| if index == 7 { Some(2) } else { parent(index) });
    trace.spans[7].name = "other".into();
    assert_eq!(recovered(&trace), [false]);
}

/// A step below an agent, in the order of the run: `(kind, name, error or result, answer)`.
#[derive(Clone, Copy)]
enum Step {
    /// A tool and its result.
    Tool(&'static str, &'static str),
    /// A tool whose span has an error.
    FailedTool(&'static str, &'static str),
    /// A model call that asks for a tool.
    Ask,
    /// A model call that failed.
    FailedModel,
    /// A retriever with so many documents.
    Retriever(usize),
    /// An agent that failed.
    FailedAgent(&'static str),
    /// A model call with an answer and its finish reason.
    Answer(&'static str, &'static str),
    /// The result of a tool in the input of a model call that asks for a tool.
    Message(&'static str, &'static str),
}

/// The run of these steps. Each has a parent of its own, which has its name, as in `LangGraph`.
fn run(steps: &[Step], root_failed: bool) -> Trace {
    let root = Span {
        span_id: "r".into(),
        name: "run".into(),
        kind: SpanKind::Agent,
        status: if root_failed { Status::Error } else { Status::Ok },
        ..Span::default()
    };
    let mut spans = vec![Span { started_at_ns: Some(0), ended_at_ns: Some(1_000), ..root }];
    for (number, step) in (1..).zip(steps) {
        let mut span = Span { span_id: number.to_string(), parent_span_id: Some(format!("p{number}")), ..Span::default() };
        let use_of =
            |name: &str, result: Option<&str>| ToolUse { name: name.into(), result: result.map(str::to_owned), ..ToolUse::default() };
        let asks = |name: &str| ToolCall { id: Some(format!("c{number}")), name: name.into(), arguments: "{}".into() };
        match *step {
            Step::Tool(name, result) => (span.kind, span.tool) = (SpanKind::Tool, Some(use_of(name, Some(result)))),
            Step::FailedTool(name, message) => {
                (span.kind, span.tool) = (SpanKind::Tool, Some(use_of(name, None)));
                (span.status, span.status_message) = (Status::Error, Some(message.into()));
            }
            Step::Ask => {
                span.kind = SpanKind::Llm;
                span.output = vec![Message { tool_calls: vec![asks("f")], ..Message::default() }];
            }
            Step::FailedModel => {
                (span.kind, span.status, span.status_message) = (SpanKind::Llm, Status::Error, Some("Error code: 503 - busy".into()));
            }
            Step::Retriever(count) => {
                (span.kind, span.documents) =
                    (SpanKind::Retriever, Some(vec![Document { content: "x".into(), ..Document::default() }; count]));
            }
            Step::FailedAgent(name) => (span.kind, span.name, span.status) = (SpanKind::Agent, name.into(), Status::Error),
            Step::Answer(text, reason) => {
                (span.kind, span.finish_reasons) = (SpanKind::Llm, vec![reason.into()]);
                span.output = vec![Message { content: text.into(), ..Message::default() }];
            }
            Step::Message(name, result) => {
                span.kind = SpanKind::Llm;
                let call = Message { role: "assistant".into(), tool_calls: vec![asks(name)], ..Message::default() };
                let result =
                    Message { role: "tool".into(), content: result.into(), tool_call_id: Some(format!("c{number}")), ..Message::default() };
                span.input = vec![call, result];
                span.output = vec![Message { tool_calls: vec![asks("f")], ..Message::default() }];
            }
        }
        (span.started_at_ns, span.ended_at_ns) = (Some(10 * number), Some(10 * number + 9));
        let parent = Span {
            span_id: format!("p{number}"),
            parent_span_id: Some("r".into()),
            kind: SpanKind::Chain,
            name: format!("node of {}", span.name),
            ..Span::default()
        };
        spans.push(Span { started_at_ns: span.started_at_ns, ended_at_ns: span.ended_at_ns, ..parent });
        spans.push(span);
    }
    Trace { spans, ..Trace::default() }
}

#[test]
fn a_run_recovers_by_what_it_does_after_the_failure() {
    use Step::{Answer, Ask, FailedAgent, FailedModel, FailedTool, Message, Retriever, Tool};
    const GOOD: Step = Answer("The depot opens at eight.", "stop");
    const SORRY: Step = Answer("Es tut mir leid, das ging schief.", "stop");
    const TROUBLE: Step = Answer("There was an issue on our side.", "stop");
    for (case, steps, recovered) in [
        // The same tool, whatever the answer.
        ("repaired", &[FailedTool("find", "bad week"), Tool("find", "3 hits"), SORRY][..], true),
        ("repaired result", &[Tool("find", "Error: bad week"), Tool("find", "3 hits"), SORRY], true),
        ("repaired, no answer", &[FailedTool("find", "bad week"), Tool("find", "3 hits"), Ask], true),
        ("repaired message", &[Message("find", "Error: bad week"), Message("find", "3 hits"), SORRY], true),
        ("failed again", &[FailedTool("find", "bad week"), FailedTool("find", "bad week"), SORRY], false),
        ("failed message", &[Message("find", "3 hits"), Message("find", "Error: bad week"), SORRY], false),
        // Another tool, and an answer without an apology.
        ("other tool", &[FailedTool("search_web", "timeout"), Tool("search_docs", "3 hits"), TROUBLE], true),
        ("other tool, apology", &[FailedTool("search_web", "timeout"), Tool("search_docs", "3 hits"), SORRY], false),
        ("other message", &[Message("search_web", "Error: x"), Message("search_docs", "3 hits"), TROUBLE], true),
        ("search after retrieval", &[Retriever(0), Tool("web_search", "3 hits"), GOOD], true),
        // An answer without a tool.
        ("answered from nothing", &[FailedTool("find", "timeout"), GOOD], false),
        ("answered message from nothing", &[Message("find", "Error: x"), GOOD], false),
        ("answered from another result", &[Tool("plan", "depot: opens at eight"), FailedTool("find", "timeout"), GOOD], true),
        ("trouble", &[FailedTool("find", "timeout"), TROUBLE], false),
        ("question", &[FailedTool("find", "timeout"), Answer("Which week do you mean?", "stop")], false),
        ("no answer", &[FailedTool("find", "timeout"), Ask], false),
        ("answered before", &[GOOD, FailedTool("find", "timeout")], false),
        ("cut answer", &[FailedTool("find", "timeout"), Answer("The depot op", "length")], true),
        // A shell does many things.
        (
            "command",
            &[Tool("bash", "make: *** no rule\nExit code: 2"), Tool("bash", "ok"), Answer("I fixed the error in the Makefile.", "stop")],
            true,
        ),
        ("last command", &[Tool("bash", "ok"), Tool("bash", "Exit code: 1"), Answer("The failing test is fixed.", "stop")], true),
        ("only command", &[Tool("bash", "Exit code: 1"), Answer("The failing test is fixed.", "stop")], false),
        ("other command", &[Tool("bash", "Exit code: 127"), Tool("bash", "a.txt"), Answer("I was unable to run it.", "stop")], false),
        // Other steps.
        ("other model", &[FailedModel, Ask, Tool("find", "3 hits"), GOOD], true),
        ("no model", &[FailedModel], false),
        ("other agent", &[FailedAgent("researcher"), GOOD], true),
        ("other agent, trouble", &[FailedAgent("researcher"), TROUBLE], false),
    ] {
        let found = recovered_of(&run(steps, false));
        assert_eq!(found.last(), Some(&recovered), "{case}: {found:?}");
    }
    // If the whole run failed, its last words do not count.
    for steps in [&[FailedTool("find", "timeout"), GOOD][..], &[FailedTool("search_web", "timeout"), Tool("search_docs", "3 hits"), GOOD]] {
        assert!(!recovered_of(&run(steps, true)).contains(&true));
    }
}

/// `recovered` of the incidents below the root.
fn recovered_of(trace: &Trace) -> Vec<bool> {
    let found = incidents::find(trace, &SpanTree::new(trace), Deadline::after(Duration::from_mins(5))).unwrap();
    found
        .iter()
        .filter(|incident| incident.index > 0 && incident.kind != IncidentKind::FinishReason)
        .map(|incident| incident.recovered)
        .collect()
}

#[test]
fn a_run_that_is_started_again_recovers() {
    let again = |second: Status| {
        let mut trace = run(&[Step::FailedModel], true);
        let root = trace.spans[0].clone();
        trace.spans.push(Span { span_id: "r2".into(), status: second, started_at_ns: Some(2_000), ended_at_ns: Some(3_000), ..root });
        recovered(&trace)
    };
    assert_eq!(again(Status::Ok), [true, true]);
    assert_eq!(again(Status::Error), [false, false, false]);
}

#[test]
fn time_grows_linearly_with_the_spans_however_they_are_nested() {
    let failed = |index: usize| if index % 50 == 49 { Status::Ok } else { Status::Error };
    let chain = |index: usize| index.checked_sub(1);
    let star = |index: usize| (index > 0).then_some(0);
    // A chain in which every span also has a leaf.
    let comb = |index: usize| if index % 2 == 1 { Some(index - 1) } else { index.checked_sub(2) };
    for shape in [chain as fn(usize) -> Option<usize>, star, comb] {
        let time = |count: usize| {
            let trace = spans(count, failed, shape);
            let start = Instant::now();
            recovered(&trace);
            start.elapsed().as_secs_f64()
        };
        let (short, long) = (time(5_000), time(40_000));
        assert!(long < 0.5 + 30.0 * short, "{short} s, then {long} s for eight times the spans");
    }
}
