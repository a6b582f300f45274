//! Decides from which incidents the run recovered: the same work succeeded later, in the span itself or in a span that contains it, another tool did the
//! work, or the run answered without it.
//!
//! | after the error | recovered |
//! |---|---|
//! | the same tool works, with whatever arguments | yes |
//! | another tool works, and the final answer does not apologize | yes |
//! | no tool works, and the final answer speaks of no problem at all | yes |
//! | a shell works later, and the final answer apologizes | no: a shell does many things |
//! | the same call failed each time, no tool works later, and the final answer shows a gap | no |
//! | the same call failed each time, and the final answer names what it could not do | no |
//! | the run ends without an answer, or its root fails | no, unless the same work succeeded |

use std::cell::OnceCell;
use std::collections::HashMap;

use super::admissions::{Admission, admits_failure, may_report_a_gap};
use super::answers::{self, FinalAnswer};
use super::client_calls;
use super::grounding::{self, Grounding};
use super::incident::{Incident, IncidentKind};
use super::message_order::MessageOrder;
use super::persistent_failures::PersistentFailures;
use super::shell_command::ShellCommand;
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
    if incidents.is_empty() {
        return Ok(());
    }
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
    /// Calls that failed each time.
    persistent: PersistentFailures<'t>,
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
        let admission = answer.and_then(|answer| levels.into_iter().find(|level| !admits_failure(answer.text, *level)));
        let persistent = PersistentFailures::new(trace, &has_incident, messages);
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
            persistent,
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
            if self.was_given_up(incident) {
                all.push(false);
                continue;
            }
            let repeated =
                self.was_handled(incident) || self.was_repeated(incident, &mut known, deadline)? || self.same_tool_worked(incident);
            let recovered =
                (repeated && !self.only_something_else_worked(incident)) || self.other_tool_worked(incident) || self.was_answered(incident);
            all.push(recovered);
        }
        Ok(all)
    }

    /// Whether the same call failed each time, and the final answer shows it: it says that it could not do what the call was about, or no tool worked
    /// afterwards and it may report that only a part was done.
    fn was_given_up(&self, incident: &Incident<'_>) -> bool {
        let Some(answer) = self.answer.filter(|answer| answer.is_complete) else { return false };
        let is_tool_failure = matches!(incident.kind, IncidentKind::Error | IncidentKind::ToolResult);
        if !is_tool_failure || is_command(incident) || !self.persistent.contains(incident) {
            return false;
        }
        let is_admitted = self.admission < Some(Admission::Inability);
        let any_worked_later =
            || self.last_successful_tool.is_some_and(|last| last.0 >= failed_at(incident)) || self.messages.worked_later(incident).1;
        (is_admitted && self.persistent.is_named_in(answer.text, incident)) || (!any_worked_later() && may_report_a_gap(answer.text))
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
            && !self.command_worked_later(incident)
    }

    /// Whether the command of an incident was run again later, and worked.
    fn command_worked_later(&self, incident: &Incident<'_>) -> bool {
        const SPANS_READ_MAX: usize = 2_000;
        let Some(tool) = incident.span.tool.as_ref() else { return false };
        let later = self.trace.spans.iter().enumerate().skip(incident.index + 1).take(SPANS_READ_MAX);
        let worked = later.filter(|(index, _)| self.has_incident.get(*index) == Some(&false)).filter_map(|(_, span)| span.tool.as_ref());
        worked.into_iter().any(|other| other.name == tool.name && ShellCommand::is_run_again(&tool.arguments, &other.arguments))
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
        let is_command = is_command(incident);
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

/// Whether a command of a shell failed.
fn is_command(incident: &Incident<'_>) -> bool {
    incident.signals.iter().any(|signal| signal.text.starts_with("exit_code="))
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
mod tests;
