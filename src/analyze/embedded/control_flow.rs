//! Spans that "failed" although nothing went wrong: frameworks raise exceptions to pause a run, to hand over or to end it, and what is no longer needed is
//! cancelled.
//!
//! A cancellation counts as control flow only if the run got its result. Otherwise a caller stopped the run, which is a failure.

use std::sync::LazyLock;

use regex::Regex;

use super::answers::{self, FinalAnswer};
use super::client_calls;
use super::signals;
use super::text::{clip, expression};
use super::tool_nature::ToolNature;
use super::tree::SpanTree;
use crate::model::{FinishReason, Span, SpanKind, Trace, last_segment};

/// Exceptions that only hand over control, by the package that defines them. One with a module is compared with it, because its name alone says little.
const HANDING_OVER: [(&str, &[&str]); 25] = [
    ("langgraph.errors", &["GraphBubbleUp", "GraphInterrupt", "NodeInterrupt", "GraphDrained", "GraphDelegate", "ParentCommand"]),
    (
        "pydantic_ai.exceptions",
        &["ApprovalRequired", "CallDeferred", "SkipModelRequest", "SkipToolValidation", "SkipToolExecution", "RetryModelRequest"],
    ),
    ("agent_framework", &["WorkflowInterrupted", "MiddlewareTermination", "UserInputRequiredException"]),
    ("google.adk.workflow", &["NodeInterruptedError", "ToolInterruptError"]),
    ("strands.interrupt", &["InterruptException"]),
    ("agno.exceptions", &["StopAgentRun", "RetryAgentRun"]),
    ("livekit.agents.llm", &["StopResponse"]),
    ("smolagents.local_python_executor", &["FinalAnswerException"]),
    ("haystack.core.errors", &["BreakpointException"]),
    ("crewai.flow", &["HumanFeedbackPending"]),
    ("workflows (LlamaIndex)", &["WaitingForEvent"]),
    ("minisweagent.exceptions", &["Submitted"]),
    ("mcp.shared.exceptions", &["UrlElicitationRequiredError"]),
    ("Mastra, Vercel Workflow", &["WorkflowSuspended", "WorkflowSuspension"]),
    (
        "temporalio, io.temporal",
        &["ContinueAsNewError", "_ContinueAsNewError", "CompleteAsyncError", "_CompleteAsyncError", "ContinueAsNewException"],
    ),
    ("restate", &["SuspendedException", "SuspendedError"]),
    ("prefect", &["prefect.exceptions.Pause", "PausedRun"]),
    ("celery", &["celery.exceptions.Retry", "celery.exceptions.Ignore", "celery.exceptions.Reject"]),
    ("airflow", &["AirflowSkipException", "AirflowRescheduleException", "TaskDeferred", "DownstreamTasksSkipped"]),
    ("streamlit, marimo", &["RerunException", "streamlit.runtime.scriptrunner.StopException", "MarimoStopError"]),
    ("Next.js", &["NEXT_REDIRECT", "NEXT_NOT_FOUND"]),
    ("kotlinx.coroutines.flow", &["AbortFlowException"]),
    ("anyio", &["anyio.EndOfStream"]),
    ("pytest, unittest", &["SkipTest", "_pytest.outcomes.Skipped"]),
    ("Python", &["StopIteration", "StopAsyncIteration"]),
];

/// Exceptions by which a step is told to stop: those of asyncio, trio and anyio, of the web (`AbortController`), Java and Kotlin, .NET, Go, agno, LangGraph,
/// Pydantic AI, the OpenAI Agents SDK, and a generator of Python that is not read to its end.
const CANCELLATIONS: [&str; 20] = [
    "CancelledError",
    "Cancelled",
    "CancelledException",
    "CanceledError",
    "CanceledException",
    "CancellationError",
    "CancellationException",
    "JobCancellationException",
    "TaskCanceledException",
    "TaskCancelledException",
    "OperationCanceledException",
    "OperationCancelledException",
    "AbortError",
    "APIUserAbortError",
    "AbortException",
    "RunCancelledException",
    "NodeCancelledError",
    "RunCancelled",
    "MCPToolCancellationError",
    "GeneratorExit",
];

/// Recognizes control flow in one trace.
pub(super) struct ControlFlow<'a, 't> {
    trace: &'t Trace,
    tree: &'a SpanTree,
    answer: Option<FinalAnswer<'t>>,
}

impl<'a, 't> ControlFlow<'a, 't> {
    pub(super) fn new(trace: &'t Trace, tree: &'a SpanTree) -> Self {
        Self { trace, tree, answer: answers::final_answer(trace, tree) }
    }

    /// Whether the failed span at `index` has nothing but control flow.
    pub(super) fn contains(&self, index: usize) -> bool {
        let Some(span) = self.trace.spans.get(index) else { return false };
        if is_answer_from_cache(span) || is_answer_of_command(span) {
            return true;
        }
        let Some((kind, _)) = signals::error_type(span) else { return false };
        let all_are = |is: &dyn Fn(&str) -> bool| {
            is(&kind) && span.exceptions.iter().all(|exception| exception.kind.is_empty() || is(&exception.kind))
        };
        all_are(&hands_over) || is_normal_exit(&kind, span) || (all_are(&is_cancellation) && self.has_result(index, span))
    }

    /// Whether a cancelled step was no longer needed: another one that the same span started gave the result, or the run had given its answer.
    fn has_result(&self, index: usize, span: &Span) -> bool {
        let ended = span.ended_at_ns.or(span.started_at_ns);
        let is_answered = self.answer.as_ref().is_some_and(|answer| {
            // A span that contains the answer, such as a generator that nobody reads to its end, was cancelled after it.
            let contains_answer = self.tree.self_and_ancestors(answer.index).any(|ancestor| ancestor == index);
            answer.is_complete && (contains_answer || !self.root_failed())
        });
        if is_answered || is_complete(span) {
            return true;
        }
        let Some(parent) = self.tree.parent(index) else { return false };
        let is_winner = |sibling: &Span| {
            !sibling.failed()
                && sibling.kind == span.kind
                && sibling.ended_at_ns.is_some()
                && sibling.ended_at_ns <= ended
                && sibling.ended_at_ns >= span.started_at_ns
        };
        let siblings = self.tree.children(parent).iter().filter_map(|sibling| self.trace.spans.get(*sibling));
        let parent_failed = self.trace.spans.get(parent).is_some_and(Span::failed);
        // The spans of a wide parent are looked at once for each cancelled one, so that their number is limited.
        !parent_failed && siblings.take(SIBLINGS_MAX).any(is_winner)
    }

    fn root_failed(&self) -> bool {
        self.answer.as_ref().is_some_and(|answer| answer.root_failed)
    }
}

/// Parallel steps that are compared with a cancelled one.
const SIBLINGS_MAX: usize = 64;

/// Whether an exception only hands over control.
fn hands_over(kind: &str) -> bool {
    let is_entry = |entry: &&str| if entry.contains('.') { kind == *entry } else { last_segment(kind) == *entry };
    HANDING_OVER.iter().any(|(_, entries)| entries.iter().any(is_entry))
}

fn is_cancellation(kind: &str) -> bool {
    CANCELLATIONS.contains(&last_segment(kind))
}

/// `SystemExit` with the code 0, or without one.
fn is_normal_exit(kind: &str, span: &Span) -> bool {
    let messages = span.exceptions.iter().map(|exception| exception.message.as_str()).chain(span.status_message.as_deref());
    let is_zero =
        |message: &str| matches!(message.trim().trim_start_matches("SystemExit").trim_start_matches(':').trim(), "" | "0" | "None");
    last_segment(kind) == "SystemExit" && messages.into_iter().all(is_zero)
}

/// Whether a model call gave its whole answer before it was stopped.
fn is_complete(span: &Span) -> bool {
    let stopped = || span.finish_reasons.last().and_then(|word| FinishReason::from_word(word)) == Some(FinishReason::Stop);
    span.kind == SpanKind::Llm && stopped() && span.output.iter().any(|message| !message.content.trim().is_empty())
}

/// Whether a request was answered with "not modified" or another status that is no error, which some instrumentations record as one.
fn is_answer_from_cache(span: &Span) -> bool {
    let status = || ["http.response.status_code", "http.status_code"].iter().find_map(|key| span.attribute(key)?.parse::<u16>().ok());
    client_calls::is_client_call(span) && span.exceptions.is_empty() && status().is_some_and(|status| (100..400).contains(&status))
}

/// Whether a command ended with exit code 1 to say that nothing matches or that files differ.
fn is_answer_of_command(span: &Span) -> bool {
    static EXIT_CODE: LazyLock<Option<Regex>> =
        LazyLock::new(|| expression(r"(?i)\bexit(?:ed with)?[ _-]?(?:code|status)\W{1,4}([0-9]{1,3})\b"));
    let Some(tool) = span.tool.as_ref().filter(|_| span.kind == SpanKind::Tool && span.exceptions.is_empty()) else { return false };
    let texts = [span.status_message.as_deref(), tool.result.as_deref(), span.output_text.as_deref()];
    let in_text = |text: &str| Some(EXIT_CODE.as_ref()?.captures(clip(text))?.get(1)?.as_str() == "1");
    let is_one = || span.attribute("exit_code").map(|code| code == "1").or_else(|| texts.into_iter().flatten().find_map(in_text));
    ToolNature::of(&tool.name, &tool.arguments).answers_with_exit_code && is_one() == Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Exception, Message, Status, ToolUse};

    /// A failed span with an exception.
    fn raised(kind: &str, message: &str) -> Span {
        let exceptions = vec![Exception { kind: kind.into(), message: message.into(), ..Exception::default() }];
        Span {
            span_id: "x".into(),
            kind: SpanKind::Tool,
            status: Status::Error,
            exceptions,
            started_at_ns: Some(10),
            ended_at_ns: Some(20),
            ..Span::default()
        }
    }

    fn is_control_flow(spans: Vec<Span>) -> bool {
        let index = spans.iter().position(|span| span.span_id == "x").unwrap();
        let trace = Trace { spans, ..Trace::default() };
        let tree = SpanTree::new(&trace);
        ControlFlow::new(&trace, &tree).contains(index)
    }

    #[test]
    fn exceptions_that_hand_over_control_are_no_failures() {
        for (kind, message, expected) in [
            ("langgraph.errors.GraphInterrupt", "", true),
            ("langgraph.errors.GraphRecursionError", "", false),
            ("agno.exceptions.StopAgentRun", "done", true),
            ("celery.exceptions.Retry", "", true),
            ("tenacity.Retry", "", false),
            ("temporalio.workflow.ContinueAsNewError", "", true),
            ("StopAsyncIteration", "", true),
            ("RuntimeError", "generator raised StopIteration", false),
            ("SystemExit", "0", true),
            ("SystemExit", "2", false),
            ("ValueError", "GraphInterrupt", false),
        ] {
            assert_eq!(is_control_flow(vec![raised(kind, message)]), expected, "{kind}");
        }
        let mut both = raised("langgraph.errors.GraphInterrupt", "");
        both.exceptions.insert(0, Exception { kind: "KeyError".into(), ..Exception::default() });
        assert!(!is_control_flow(vec![both]));
    }

    #[test]
    fn a_cancellation_is_control_flow_if_the_run_got_its_result() {
        let span = |id: &str, parent: Option<&str>, kind, start, end| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            kind,
            started_at_ns: Some(start),
            ended_at_ns: Some(end),
            ..Span::default()
        };
        let root = || span("r", None, SpanKind::Agent, 0, 100);
        let answer = |content: &str| {
            let message = Message { role: "assistant".into(), content: content.into(), ..Message::default() };
            Span { output: vec![message], finish_reasons: vec!["stop".into()], ..span("a", Some("r"), SpanKind::Llm, 30, 40) }
        };
        for kind in ["asyncio.exceptions.CancelledError", "AbortError", "System.Threading.Tasks.TaskCanceledException", "trio.Cancelled"] {
            let cancelled = || Span { parent_span_id: Some("r".into()), ..raised(kind, "") };
            assert!(is_control_flow(vec![root(), cancelled(), answer("It is late.")]), "{kind}");
            assert!(is_control_flow(vec![root(), cancelled(), span("w", Some("r"), SpanKind::Tool, 5, 15)]), "{kind}");
            assert!(!is_control_flow(vec![root(), cancelled()]), "{kind}");
            assert!(!is_control_flow(vec![root(), cancelled(), answer("")]), "{kind}");
            let failed = Span { status: Status::Error, ..root() };
            assert!(!is_control_flow(vec![failed, cancelled(), answer("It is late.")]), "{kind}");
        }
        // The consumer of a stream stops reading after the answer.
        let generator = Span { kind: SpanKind::Agent, ended_at_ns: Some(100), ..raised("GeneratorExit", "") };
        let inside = |content: &str| Span { parent_span_id: Some("x".into()), ..answer(content) };
        assert!(is_control_flow(vec![generator.clone(), inside("It is late.")]));
        assert!(!is_control_flow(vec![generator, inside("")]));
    }

    #[test]
    fn a_search_without_a_match_is_no_failure() {
        let ran = |command: &str, code: &str| {
            let arguments = format!(r#"{{"command": "{command}"}}"#);
            let tool =
                ToolUse { name: "shell".into(), arguments, result: Some(format!("Exit code: {code}\nOutput:\n")), ..ToolUse::default() };
            is_control_flow(vec![Span {
                span_id: "x".into(),
                kind: SpanKind::Tool,
                status: Status::Error,
                tool: Some(tool),
                ..Span::default()
            }])
        };
        assert!(ran("grep -rn TODO src", "1") && ran("cd a && git diff --quiet", "1"));
        assert!(!ran("grep -rn TODO src", "2") && !ran("make", "1"));
    }

    #[test]
    fn a_response_from_a_cache_is_no_failure() {
        let call = |status: &str| {
            let attribute = |key: &str, value: &str| crate::model::Attribute { key: key.into(), value: value.into() };
            let attributes = vec![attribute("http.request.method", "GET"), attribute("http.response.status_code", status)];
            Span { span_id: "x".into(), kind: SpanKind::Other, status: Status::Error, attributes, ..Span::default() }
        };
        assert!(is_control_flow(vec![call("304")]) && !is_control_flow(vec![call("404")]));
    }
}
