//! Which incidents the run recovered from: the same work was done well later, by the span itself again or by a span that encloses it, or
//! another tool did it instead.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::incidents::{Incident, IncidentKind};
use super::signals::{self, expression};
use super::tree::SpanTree;
use crate::model::{Span, SpanKind, Trace};
use crate::runtime::{Deadline, TimedOut};

/// Sets `recovered` of every incident. The time it takes grows with the spans, however they are nested.
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

/// Spans among which work is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Place<'t> {
    /// Below one span.
    Below(usize),
    /// Below the children of a span that have this name: frameworks put each turn into a node of its own (`tools`, `model`), so cousins
    /// below nodes of one name count as siblings.
    BelowChildren(usize, &'t str),
}

/// What counts as the same work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Work<'t> {
    OfKind(SpanKind),
    OfTool(Option<&'t str>),
    Named(&'t str),
}

/// What an incident is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Subject<'t> {
    /// The work of its span.
    Span,
    /// A tool, whose answer stands in the span.
    Tool(Option<&'t str>),
}

/// When a span started, where that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Start(Option<i64>);

struct Recovery<'t> {
    trace: &'t Trace,
    tree: &'t SpanTree,
    /// Spans with an incident.
    bad: Vec<bool>,
    /// When work of each kind was last begun well, by place.
    last_done_well: HashMap<(Place<'t>, Work<'t>), Start>,
    /// When a tool was last called well, if the run then answered without an apology.
    other_tool: Option<Start>,
}

impl<'t> Recovery<'t> {
    fn new(trace: &'t Trace, tree: &'t SpanTree, incidents: &[Incident<'_>]) -> Self {
        let mut bad = vec![false; trace.spans.len()];
        for incident in incidents {
            if let Some(mark) = bad.get_mut(incident.index) {
                *mark = true;
            }
        }
        let mut this = Self { trace, tree, bad, last_done_well: HashMap::new(), other_tool: None };
        for (index, span) in trace.spans.iter().enumerate().filter(|(index, _)| this.bad.get(*index) == Some(&false)) {
            let Some(place) = place(trace, tree, index) else { continue };
            let tool = (span.kind == SpanKind::Tool).then_some(Work::OfTool(tool_name(span)));
            for work in [Work::OfKind(span.kind), Work::Named(&span.name)].into_iter().chain(tool) {
                let last = this.last_done_well.entry((place, work)).or_insert(Start(span.started_at_ns));
                *last = (*last).max(Start(span.started_at_ns));
            }
        }
        this.other_tool = this.last_tool_that_helped();
        this
    }

    fn of_all(&self, incidents: &'t [Incident<'_>], deadline: Deadline) -> Result<Vec<bool>, TimedOut> {
        let mut known = HashMap::new();
        let mut all = Vec::with_capacity(incidents.len());
        for incident in incidents {
            all.push(self.was_repeated(incident, &mut known, deadline)? || self.other_tool_worked(incident));
        }
        Ok(all)
    }

    /// Whether the span of an incident, or a bad one that encloses it without a good one between, was done well later. `known` holds what
    /// was found for spans on the way up, by the tool that the incident is about where that matters.
    fn was_repeated(
        &self,
        incident: &'t Incident<'_>,
        known: &mut HashMap<(usize, Subject<'t>), bool>,
        deadline: Deadline,
    ) -> Result<bool, TimedOut> {
        let subject = if incident.kind == IncidentKind::ToolResult { Subject::Tool(incident.tool.as_deref()) } else { Subject::Span };
        let mut path = Vec::new();
        let mut at = Some(incident.index);
        let mut repeated = false;
        while let Some(index) = at {
            deadline.check()?;
            if let Some(found) = known.get(&(index, subject)) {
                repeated = *found;
                break;
            }
            path.push(index);
            if self.was_done_well_later(index, subject) {
                repeated = true;
                break;
            }
            at = self.tree.parent(index).filter(|parent| self.bad.get(*parent) == Some(&true));
        }
        known.extend(path.into_iter().map(|index| ((index, subject), repeated)));
        Ok(repeated)
    }

    fn was_done_well_later(&self, index: usize, subject: Subject<'t>) -> bool {
        let Some(span) = self.trace.spans.get(index) else { return false };
        let Some(place) = place(self.trace, self.tree, index) else { return false };
        let work = match (span.kind, subject) {
            (SpanKind::Llm, Subject::Tool(tool)) => Work::OfTool(tool),
            (SpanKind::Llm | SpanKind::Retriever, _) => Work::OfKind(span.kind),
            (SpanKind::Tool, _) => Work::OfTool(tool_name(span)),
            _ => Work::Named(&span.name),
        };
        self.last_done_well.get(&(place, work)).is_some_and(|last| last.0 >= span.ended_at_ns.or(span.started_at_ns))
    }

    /// Another tool did it instead, and the answer does not apologise.
    fn other_tool_worked(&self, incident: &Incident<'_>) -> bool {
        incident.span_kind() == SpanKind::Tool
            && incident.kind != IncidentKind::RepeatedCalls
            && self.other_tool.is_some_and(|last| last.0 >= incident.span.ended_at_ns.or(incident.span.started_at_ns))
    }

    fn last_tool_that_helped(&self) -> Option<Start> {
        static APOLOGY: LazyLock<Option<Regex>> = LazyLock::new(|| {
            expression(
                r"(?i)(?-u:\b)(?:sorry|apologi[sz]e|unfortunately|unable to|not able to|could ?n[o']t|can ?not|can't|failed to|was not possible|try again later)(?-u:\b)",
            )
        });
        let spans = &self.trace.spans;
        if spans.iter().enumerate().any(|(index, span)| self.tree.parent(index).is_none() && span.failed()) {
            return None;
        }
        let answer = spans.iter().rev().filter(|span| span.kind == SpanKind::Llm).find_map(|span| span.output.last())?;
        let apologises = APOLOGY.as_ref().is_some_and(|apology| apology.is_match(signals::clip(&answer.content)));
        if answer.content.trim().is_empty() || apologises {
            return None;
        }
        let good = spans.iter().zip(&self.bad).filter(|(span, bad)| span.kind == SpanKind::Tool && !**bad);
        good.map(|(span, _)| Start(span.started_at_ns)).max()
    }
}

/// Where a span's work may be repeated; nowhere for a root.
fn place<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> Option<Place<'t>> {
    let parent = tree.parent(index)?;
    Some(match (tree.parent(parent), trace.spans.get(parent)) {
        (Some(above), Some(span)) => Place::BelowChildren(above, &span.name),
        _ => Place::Below(parent),
    })
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

    /// Spans of one kind with their status; each below the one that `parent` gives.
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
        let found = incidents::find(trace, &SpanTree::of(trace), Deadline::after(Duration::from_mins(5))).unwrap();
        found.iter().map(|incident| incident.recovered).collect()
    }

    #[test]
    fn work_that_was_done_well_later_counts_for_the_span_and_for_what_is_below_it() {
        let status = |index: usize| if matches!(index, 1..=3) { Status::Error } else { Status::Ok };
        // 0 holds 1 and the good 4; 1 holds 2, which holds 3.
        let parent = |index: usize| match index {
            0 => None,
            1 | 4 => Some(0),
            other => Some(other - 1),
        };
        assert_eq!(recovered(&spans(5, status, parent)), [true, true, true]);
        assert_eq!(recovered(&spans(4, status, parent)), [false, false, false]);
    }

    #[test]
    fn time_grows_with_the_spans_however_they_are_nested() {
        let failed = |index: usize| if index % 50 == 49 { Status::Ok } else { Status::Error };
        let chain = |index: usize| index.checked_sub(1);
        let star = |index: usize| (index > 0).then_some(0);
        // Every second span has a leaf beside the next.
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
