//! Decides from which incidents the run recovered: the same work succeeded later, in the span itself or in a span that contains it, another tool did the
//! work, or the run answered without it.
//!
//! | after the error | recovered |
//! |---|---|
//! | the same tool works, with whatever arguments | yes |
//! | another tool works, and the final answer does not apologize | yes |
//! | no tool works, and the final answer speaks of no problem at all | yes |
//! | a shell works later, and the final answer apologizes | no: a shell does many things |
//! | the run ends without an answer, or its root fails | no, unless the same work succeeded |

use std::cell::OnceCell;
use std::collections::HashMap;

use super::answers::{self, Admission, FinalAnswer};
use super::client_calls;
use super::grounding::{self, Grounding};
use super::incident::{Incident, IncidentKind};
use super::message_order::MessageOrder;
use super::tool_incidents::MessageOutcome;
use super::tool_nature::ToolNature;
use super::tree::SpanTree;
use crate::model::{Span, SpanKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// Sets `recovered` of every incident. The time grows linearly with the number of spans, however deeply they are nested.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn mark_recovered(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &mut [Incident<'_>],
    messages: &[MessageOutcome<'_>],
    deadline: Deadline,
) -> Result<(), TimedOut> {
    let recovered = Recovery::new(trace, tree, incidents, messages).of_all(incidents, deadline)?;
    for (incident, recovered) in incidents.iter_mut().zip(recovered) {
        incident.recovered = recovered;
    }
    Ok(())
}

/// Spans that are searched for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SiblingGroup<'t> {
    /// The roots, among them the spans whose parent is missing.
    Roots,
    /// The children of one span.
    Children(usize),
    /// The children of those children of one span that have this name. Agent frameworks put each turn into its own node (`tools`, `model`), so
    /// a retry is a cousin: `agent > tools > lookup` fails, and a second `agent > tools > lookup` succeeds. The number of a turn does not count:
    /// `Step 1`, `Step 2`.
    GrandchildrenBelow(usize, &'t str),
}

/// What counts as the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work<'t> {
    /// Any span of this kind: a model call may be retried with another model, so its name does not count.
    OfKind(SpanKind),
    /// A call of this tool, with any arguments: a model often retries with corrected ones.
    OfTool(Option<&'t str>),
    /// A span with this name.
    Named(&'t str),
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject<'t> {
    /// The work of its span.
    Span,
    /// The work of its span, which failed with an error.
    FailedSpan,
    /// A tool whose result is among the messages of the span.
    Tool(Option<&'t str>),
}

/// When a span started, if known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StartTime(Option<i64>);

struct Recovery<'t> {
    trace: &'t Trace,
    tree: &'t SpanTree,
    /// By span: whether it has an incident.
    has_incident: Vec<bool>,
    /// The latest start of successful work.
    last_success: HashMap<(SiblingGroup<'t>, Work<'t>), StartTime>,
    /// The latest end of a successful model call, or of a successful request to a model provider.
    last_model_answer: Option<StartTime>,
    /// The starts of the successful calls of each tool, wherever they are in the trace, in their order.
    successes_of_tool: HashMap<&'t str, Vec<StartTime>>,
    /// The latest start of a successful tool call, of a search for documents among them.
    last_successful_tool: Option<StartTime>,
    /// The results of tools among the messages.
    messages: MessageOrder<'t>,
    /// The final answer, if the run came to its end.
    answer: Option<FinalAnswer<'t>>,
    /// The strongest admission that the final answer does not make, from which it follows what it may have replaced.
    admission: Option<Admission>,
    /// Whether something that a tool returned backs the final answer.
    is_backed: OnceCell<bool>,
}

impl<'t> Recovery<'t> {
    fn new(trace: &'t Trace, tree: &'t SpanTree, incidents: &[Incident<'_>], messages: &'t [MessageOutcome<'t>]) -> Self {
        let mut has_incident = vec![false; trace.spans.len()];
        for incident in incidents {
            if let Some(flag) = has_incident.get_mut(incident.index) {
                *flag = true;
            }
        }
        let answer = answers::final_answer(trace, tree).filter(|answer| (answer.is_complete || answer.was_cut) && !answer.root_failed);
        let levels = [Admission::Problem, Admission::Inability, Admission::Apology];
        let admission = answer.and_then(|answer| levels.into_iter().find(|level| !answers::admits_failure(answer.text, *level)));
        // Successful work is indexed by every key by which a failed span may search for it.
        let mut this = Self {
            trace,
            tree,
            has_incident,
            last_success: HashMap::new(),
            last_model_answer: None,
            successes_of_tool: HashMap::new(),
            last_successful_tool: None,
            messages: MessageOrder::new(messages),
            answer,
            admission,
            is_backed: OnceCell::new(),
        };
        for (index, span) in trace.spans.iter().enumerate() {
            if this.has_incident.get(index) == Some(&false) {
                this.add_success(index, span);
            }
        }
        this.successes_of_tool.values_mut().for_each(|starts| starts.sort_unstable());
        this
    }

    /// Adds the work of a span without an incident.
    fn add_success(&mut self, index: usize, span: &'t Span) {
        let started = StartTime(span.started_at_ns);
        let is_model_call = span.kind == SpanKind::Llm || (client_calls::is_client_call(span) && client_calls::calls_provider(span));
        if is_model_call {
            self.last_model_answer = self.last_model_answer.max(Some(StartTime(span.ended_at_ns.or(span.started_at_ns))));
        }
        let found_documents = || span.documents.as_ref().is_some_and(|documents| !documents.is_empty());
        if span.kind == SpanKind::Tool || (span.kind == SpanKind::Retriever && found_documents()) {
            self.last_successful_tool = self.last_successful_tool.max(Some(started));
        }
        if let Some(name) = tool_name(span).filter(|_| span.kind == SpanKind::Tool) {
            self.successes_of_tool.entry(name).or_default().push(started);
        }
        let group = sibling_group(self.trace, self.tree, index);
        let tool = (span.kind == SpanKind::Tool).then_some(Work::OfTool(tool_name(span)));
        for work in [Work::OfKind(span.kind), Work::Named(&span.name)].into_iter().chain(tool) {
            let last = self.last_success.entry((group, work)).or_insert(started);
            *last = (*last).max(started);
        }
    }

    fn of_all(&self, incidents: &'t [Incident<'_>], deadline: Deadline) -> Result<Vec<bool>, TimedOut> {
        let mut known = HashMap::new();
        let mut all = Vec::with_capacity(incidents.len());
        for incident in incidents {
            let repeated =
                self.was_handled(incident) || self.was_repeated(incident, &mut known, deadline)? || self.same_tool_worked(incident);
            let recovered =
                (repeated && !self.only_something_else_worked(incident)) || self.other_tool_worked(incident) || self.was_answered(incident);
            all.push(recovered);
        }
        Ok(all)
    }

    /// Whether the tool of an incident worked later, anywhere in the trace.
    fn same_tool_worked(&self, incident: &Incident<'_>) -> bool {
        let is_tool_failure =
            matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult) && incident.span_kind() == SpanKind::Tool;
        is_tool_failure && (self.later_successes(incident) > 0 || self.messages.worked_later(incident).0)
    }

    /// How often the tool of an incident worked later.
    fn later_successes(&self, incident: &Incident<'_>) -> usize {
        let name = incident.tool.as_deref().or_else(|| tool_name(incident.span)).filter(|name| !name.is_empty());
        let starts = name.and_then(|name| self.successes_of_tool.get(name)).map_or(&[][..], Vec::as_slice);
        starts.len() - starts.partition_point(|start| start.0 < failed_at(incident))
    }

    /// Whether the tool that worked later is one for many purposes, such as a shell, and the final answer apologizes. Then what worked was something else,
    /// unless the run went on for long: a failed command in the middle of it is normal.
    fn only_something_else_worked(&self, incident: &Incident<'_>) -> bool {
        const LATER_SUCCESSES_MAX: usize = 5;
        let name = incident.tool.as_deref().or_else(|| tool_name(incident.span)).unwrap_or_default();
        let is_tool_failure = incident.span_kind() == SpanKind::Tool && incident.kind != IncidentKind::RepeatedCalls;
        is_tool_failure
            && ToolNature::of(name, "").runs_code
            && self.answer.is_some()
            && self.admission.is_none()
            && self.later_successes(incident) <= LATER_SUCCESSES_MAX
    }

    /// Whether the work of the incident's span, or of an ancestor, succeeded later. The search goes up as long as the ancestors have incidents
    /// too, because then the failure propagated: if `plan > call` fails in both spans, a second `plan` repeats the call as well. An ancestor that
    /// did nothing after the error ended with it, also if its own status does not say so.
    ///
    /// `known` caches the results of spans on the path, by the subject of the incident.
    fn was_repeated(
        &self,
        incident: &'t Incident<'_>,
        known: &mut HashMap<(usize, Subject<'t>), bool>,
        deadline: Deadline,
    ) -> Result<bool, TimedOut> {
        let subject = match incident.kind {
            IncidentKind::ToolResult => Subject::Tool(incident.tool.as_deref()),
            // The error of a tool ends a turn of an agent and not its run: the next turn answers it.
            IncidentKind::Error if incident.span.kind != SpanKind::Tool => Subject::FailedSpan,
            _ => Subject::Span,
        };
        let mut path = Vec::new();
        let mut next = Some(incident.index);
        let mut repeated = false;
        while let Some(index) = next {
            deadline.check()?;
            if let Some(found) = known.get(&(index, subject)) {
                repeated = *found;
                break;
            }
            path.push(index);
            if self.succeeded_later(index, subject) {
                repeated = true;
                break;
            }
            let ended_with = |parent: usize| subject == Subject::FailedSpan && self.tree.children(parent).last() == Some(&index);
            next = self.tree.parent(index).filter(|parent| self.has_incident.get(*parent) == Some(&true) || ended_with(*parent));
        }
        known.extend(path.into_iter().map(|index| ((index, subject), repeated)));
        Ok(repeated)
    }

    /// Whether the call of another service failed, and what made the call did not: it retried the call, or did without it. That a cache has no
    /// entry (404) is no failure of the run.
    ///
    /// Without a span of the model call, only the failed request shows that it failed, so one to a model provider needs a later success.
    fn was_handled(&self, incident: &Incident<'_>) -> bool {
        /// A connection below a request below a proxy.
        const NESTED_CALLS_MAX: usize = 16;
        let is_call = |index: usize| self.trace.spans.get(index).is_some_and(client_calls::is_client_call);
        let nested = self.tree.self_and_ancestors(incident.index).take(NESTED_CALLS_MAX).take_while(|index| is_call(*index));
        let Some(call) = nested.last() else { return false };
        let (Some(span), Some(parent)) = (self.trace.spans.get(call), self.tree.parent(call)) else { return false };
        let ended = StartTime(span.ended_at_ns.or(span.started_at_ns));
        if self.has_incident.get(parent) == Some(&true) {
            // Children are in the order of their start.
            let last = self.tree.children(parent).iter().rev().find(|sibling| **sibling != call);
            return last
                .and_then(|last| self.trace.spans.get(*last))
                .is_some_and(|last| last.started_at_ns.is_some() && StartTime(last.started_at_ns) >= ended);
        }
        !client_calls::calls_provider(span) || self.last_model_answer.is_some_and(|last| last >= ended)
    }

    fn succeeded_later(&self, index: usize, subject: Subject<'t>) -> bool {
        let Some(span) = self.trace.spans.get(index) else { return false };
        let group = sibling_group(self.trace, self.tree, index);
        let work = match (span.kind, subject) {
            // The failed tool has no span of its own, so a later span of the tool counts.
            (SpanKind::Llm, Subject::Tool(tool)) => Work::OfTool(tool),
            (SpanKind::Llm | SpanKind::Retriever, _) => Work::OfKind(span.kind),
            (SpanKind::Tool, _) => Work::OfTool(tool_name(span)),
            _ => Work::Named(&span.name),
        };
        let failed_at = match (span.kind, subject) {
            // The failed tool ran before the model call that reads its result.
            (SpanKind::Llm, Subject::Tool(_)) => span.started_at_ns,
            _ => span.ended_at_ns.or(span.started_at_ns),
        };
        // A root without an end is not its own repetition.
        let is_itself = |last: &StartTime| group == SiblingGroup::Roots && last.0 == span.started_at_ns;
        self.last_success.get(&(group, work)).is_some_and(|last| last.0 >= failed_at && !is_itself(last))
    }

    /// Whether a failed tool, search, or numbered step of an agent's loop, was replaced by another one: a later tool call succeeded, and the final
    /// answer does not apologize. For example, `search_web` times out and `search_docs` finds the answer.
    fn other_tool_worked(&self, incident: &Incident<'_>) -> bool {
        let is_step = incident.span.kind == SpanKind::Chain && without_number(&incident.span.name) != incident.span.name;
        let is_replaceable = matches!(incident.span_kind(), SpanKind::Tool | SpanKind::Retriever) || is_step;
        let in_spans = || self.last_successful_tool.is_some_and(|last| last.0 >= failed_at(incident));
        is_replaceable
            && incident.kind != IncidentKind::RepeatedCalls
            && self.admission >= Some(Admission::Inability)
            && (in_spans() || self.messages.worked_later(incident).1)
    }

    fn any_tool_worked(&self) -> bool {
        self.last_successful_tool.is_some() || self.messages.any_worked()
    }

    /// Whether something that a tool returned backs the final answer. Without that it can only speak of the failure, or make something up.
    fn is_backed(&self) -> bool {
        *self.is_backed.get_or_init(|| {
            let failed = self.has_incident.iter().enumerate().filter(|(_, has_incident)| **has_incident).map(|(index, _)| index).collect();
            grounding::of(self.trace, &failed) == Grounding::Backed
        })
    }

    /// Whether the run did without the failed step: it ended with an answer that speaks of no problem, and that was written after the failure.
    fn was_answered(&self, incident: &Incident<'_>) -> bool {
        let Some(answer) = self.answer else { return false };
        let is_inner = incident.span.parent_span_id.is_some();
        // Who reports on work with commands speaks of errors that are gone.
        let is_command = incident.signals.iter().any(|signal| signal.text.starts_with("exit_code="));
        let can_be_omitted = match (incident.kind, incident.span_kind()) {
            (IncidentKind::Error | IncidentKind::ToolResult, SpanKind::Tool) => {
                (is_command && self.any_tool_worked()) || answer.was_cut || self.is_backed()
            }
            (
                IncidentKind::Error,
                SpanKind::Llm | SpanKind::Retriever | SpanKind::Embedding | SpanKind::Agent | SpanKind::Chain | SpanKind::Other,
            ) => is_inner,
            _ => false,
        };
        let needed = if is_command { Admission::Inability } else { Admission::Problem };
        can_be_omitted
            && (answer.index != incident.index || is_of_message(incident))
            && answer.at_ns.is_some()
            && answer.at_ns >= failed_at(incident)
            && self.admission >= Some(needed)
            && !answers::asks_back(answer.text)
    }
}

/// When the failure of an incident was over: a tool whose result is among the messages of a model call failed before the call.
fn failed_at(incident: &Incident<'_>) -> Option<i64> {
    match (incident.kind, incident.span.kind) {
        (IncidentKind::ToolResult, SpanKind::Llm | SpanKind::Agent) if incident.tool.is_some() || is_of_message(incident) => {
            incident.span.started_at_ns
        }
        _ => incident.span.ended_at_ns.or(incident.span.started_at_ns),
    }
}

fn is_of_message(incident: &Incident<'_>) -> bool {
    incident.texts.first().is_some_and(|(field, _)| field.starts_with("input["))
}

/// The group in which the work of a span may be retried.
fn sibling_group<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> SiblingGroup<'t> {
    let Some(parent) = tree.parent(index) else { return SiblingGroup::Roots };
    match (tree.parent(parent), trace.spans.get(parent)) {
        (Some(grandparent), Some(span)) => SiblingGroup::GrandchildrenBelow(grandparent, without_number(&span.name)),
        _ => SiblingGroup::Children(parent),
    }
}

/// The name of a span without a number at its end.
fn without_number(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit())
}

fn tool_name(span: &Span) -> Option<&str> {
    span.tool.as_ref().map(|tool| tool.name.as_str())
}

#[cfg(test)]
mod tests {
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
                    let result = Message {
                        role: "tool".into(),
                        content: result.into(),
                        tool_call_id: Some(format!("c{number}")),
                        ..Message::default()
                    };
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
                &[
                    Tool("bash", "make: *** no rule\nExit code: 2"),
                    Tool("bash", "ok"),
                    Answer("I fixed the error in the Makefile.", "stop"),
                ],
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
        for steps in
            [&[FailedTool("find", "timeout"), GOOD][..], &[FailedTool("search_web", "timeout"), Tool("search_docs", "3 hits"), GOOD]]
        {
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
}
