//! Decides from which incidents the run recovered: the same work succeeded later, in the span itself or in a span that contains it, or another
//! tool did the work.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::client_calls;
use super::incident::{Incident, IncidentKind};
use super::text::{clip, expression};
use super::tree::SpanTree;
use crate::model::{Span, SpanKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// Sets `recovered` of every incident. The time grows linearly with the number of spans, however deeply they are nested.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn mark_recovered(trace: &Trace, tree: &SpanTree, incidents: &mut [Incident<'_>], deadline: Deadline) -> Result<(), TimedOut> {
    let recovered = Recovery::new(trace, tree, incidents).of_all(incidents, deadline)?;
    for (incident, recovered) in incidents.iter_mut().zip(recovered) {
        incident.recovered = recovered;
    }
    Ok(())
}

/// Spans that are searched for a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum SiblingGroup<'t> {
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
    /// The latest start of a successful tool call, if the run then gave an answer without an apology.
    last_helpful_tool: Option<StartTime>,
}

impl<'t> Recovery<'t> {
    fn new(trace: &'t Trace, tree: &'t SpanTree, incidents: &[Incident<'_>]) -> Self {
        let mut has_incident = vec![false; trace.spans.len()];
        for incident in incidents {
            if let Some(flag) = has_incident.get_mut(incident.index) {
                *flag = true;
            }
        }
        // Successful work is indexed by every key by which a failed span may search for it.
        let mut this = Self { trace, tree, has_incident, last_success: HashMap::new(), last_model_answer: None, last_helpful_tool: None };
        for (index, span) in trace.spans.iter().enumerate().filter(|(index, _)| this.has_incident.get(*index) == Some(&false)) {
            let is_model_call = span.kind == SpanKind::Llm || (client_calls::is_client_call(span) && client_calls::calls_provider(span));
            if is_model_call {
                this.last_model_answer = this.last_model_answer.max(Some(StartTime(span.ended_at_ns.or(span.started_at_ns))));
            }
            let Some(group) = sibling_group(trace, tree, index) else { continue };
            let tool = (span.kind == SpanKind::Tool).then_some(Work::OfTool(tool_name(span)));
            for work in [Work::OfKind(span.kind), Work::Named(&span.name)].into_iter().chain(tool) {
                let last = this.last_success.entry((group, work)).or_insert(StartTime(span.started_at_ns));
                *last = (*last).max(StartTime(span.started_at_ns));
            }
        }
        this.last_helpful_tool = this.find_last_helpful_tool();
        this
    }

    fn of_all(&self, incidents: &'t [Incident<'_>], deadline: Deadline) -> Result<Vec<bool>, TimedOut> {
        let mut known = HashMap::new();
        let mut all = Vec::with_capacity(incidents.len());
        for incident in incidents {
            all.push(self.was_handled(incident) || self.was_repeated(incident, &mut known, deadline)? || self.other_tool_worked(incident));
        }
        Ok(all)
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
        let Some(group) = sibling_group(self.trace, self.tree, index) else { return false };
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
        self.last_success.get(&(group, work)).is_some_and(|last| last.0 >= failed_at)
    }

    /// Whether a failed tool, or a numbered step of an agent's loop, was replaced by another one: a later tool call succeeded, and the final answer does not apologize. For example,
    /// `search_web` times out and `search_docs` finds the answer.
    fn other_tool_worked(&self, incident: &Incident<'_>) -> bool {
        let is_step = incident.span.kind == SpanKind::Chain && without_number(&incident.span.name) != incident.span.name;
        (incident.span_kind() == SpanKind::Tool || is_step)
            && incident.kind != IncidentKind::RepeatedCalls
            && self.last_helpful_tool.is_some_and(|last| last.0 >= incident.span.ended_at_ns.or(incident.span.started_at_ns))
    }

    fn find_last_helpful_tool(&self) -> Option<StartTime> {
        // An answer with these words usually reports that the failed tool was not replaced: "Unfortunately I could not look up your order".
        static APOLOGY: LazyLock<Option<Regex>> = LazyLock::new(|| {
            expression(
                r"(?i)(?-u:\b)(?:sorry|apologi[sz]e|unfortunately|unable to|not able to|could ?n[o']t|can ?not|can't|failed to|was not possible|try again later)(?-u:\b)",
            )
        });
        let spans = &self.trace.spans;
        // If the whole run failed, no tool helped.
        if spans.iter().enumerate().any(|(index, span)| self.tree.parent(index).is_none() && span.failed()) {
            return None;
        }
        let answer = spans.iter().rev().filter(|span| span.kind == SpanKind::Llm).find_map(|span| span.output.last())?;
        // Some frameworks let the model give its answer as the argument of a tool.
        let final_call = answer.tool_calls.iter().find(|call| matches!(call.name.as_str(), "final_answer" | "final_result"));
        let answer = if answer.content.trim().is_empty() { &final_call?.arguments } else { &answer.content };
        if APOLOGY.as_ref().is_some_and(|apology| apology.is_match(clip(answer))) {
            return None;
        }
        let successful = spans.iter().zip(&self.has_incident).filter(|(span, has_incident)| span.kind == SpanKind::Tool && !**has_incident);
        successful.map(|(span, _)| StartTime(span.started_at_ns)).max()
    }
}

/// The group in which the work of a span may be retried; `None` for a root.
fn sibling_group<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> Option<SiblingGroup<'t>> {
    let parent = tree.parent(index)?;
    Some(match (tree.parent(parent), trace.spans.get(parent)) {
        (Some(grandparent), Some(span)) => SiblingGroup::GrandchildrenBelow(grandparent, without_number(&span.name)),
        _ => SiblingGroup::Children(parent),
    })
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
    use crate::model::Status;

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
