//! Root cause before consequence: which incident came first, among those from which the run did not recover.

use super::incident::{Incident, IncidentKind};
use super::rules::{Catalogue, RuleMatch};
use super::tree::SpanTree;
use crate::model::Trace;
use crate::runtime::{Deadline, TimedOut};

/// The incident that caused the failure, with the rule that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct RootCause<'i, 't, 'c> {
    pub(super) incident: &'i Incident<'t>,
    pub(super) matched: RuleMatch<'c>,
    /// Whether another incident that was not recovered from has another label.
    pub(super) contested: bool,
}

/// The root cause of a failure; `None` if the run recovered from every incident that a rule matches.
///
/// An error that propagates up the tree is one failure, and its deepest span is the culprit, unless the rule of an outer error
/// has `own_cause`. For example, a guardrail that blocks a run is reported even if a tool below it failed. Of several failures
/// the first in time wins.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn root_cause<'i, 't, 'c>(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &'i [Incident<'t>],
    catalogue: &'c Catalogue,
    deadline: Deadline,
) -> Result<Option<RootCause<'i, 't, 'c>>, TimedOut> {
    let mut has_open_error = vec![false; trace.spans.len()];
    for incident in incidents.iter().filter(|incident| !incident.recovered && incident.kind == IncidentKind::Error) {
        if let Some(flag) = has_open_error.get_mut(incident.index) {
            *flag = true;
        }
    }
    let error_below = tree.has_descendant_with(&has_open_error);
    let any_error = has_open_error.contains(&true);

    let mut candidates = Vec::new();
    for incident in incidents.iter().filter(|incident| !incident.recovered) {
        deadline.check()?;
        // These are weak evidence. If a step reports an error, the error explains the failure better.
        if any_error && matches!(incident.kind, IncidentKind::LowScores | IncidentKind::RepeatedCalls) {
            continue;
        }
        let Some(matched) = catalogue.best_match(incident) else { continue };
        let propagated = incident.kind == IncidentKind::Error && error_below.get(incident.index) == Some(&true);
        if !propagated || matched.rule.own_cause {
            candidates.push((incident, matched));
        }
    }
    // Spans that end at the same moment are nested. The inner one starts later, so it has the higher index.
    let first =
        candidates.iter().min_by_key(|(incident, _)| (end_in_parent(trace, tree, incident), std::cmp::Reverse(incident.index))).copied();
    Ok(first.map(|(incident, matched)| {
        let contested = candidates.iter().any(|(_, other)| other.rule.label != matched.rule.label);
        RootCause { incident, matched, contested }
    }))
}

/// When an incident happened. Programs in JavaScript record the start of a span in milliseconds and derive its end from it, so that a span may appear to
/// end after the one that contains it.
fn end_in_parent(trace: &Trace, tree: &SpanTree, incident: &Incident<'_>) -> i64 {
    let parent = tree.parent(incident.index).and_then(|parent| trace.spans.get(parent));
    parent.and_then(|parent| parent.ended_at_ns).map_or(incident.at_ns, |end| incident.at_ns.min(end))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyze::embedded::incidents;
    use crate::model::{Span, SpanKind, Status, ToolUse};

    /// A parent without an end time appears to have failed first, but its error is still the consequence.
    #[test]
    fn a_propagated_error_is_attributed_to_the_deepest_span() {
        let failed = |id: &str, parent: Option<&str>, kind, message: &str| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            kind,
            status: Status::Error,
            status_message: Some(message.into()),
            started_at_ns: i64::try_from(id.len()).ok(),
            ..Span::default()
        };
        let mut tool = failed("33", Some("2"), SpanKind::Tool, "GET /orders -> 500 Internal Server Error");
        tool.tool = Some(ToolUse { name: "lookup".into(), ..ToolUse::default() });
        tool.ended_at_ns = Some(9);
        let spans = vec![failed("1", None, SpanKind::Agent, "step failed"), failed("2", Some("1"), SpanKind::Chain, "step failed"), tool];
        let trace = Trace { spans, ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let deadline = Deadline::after(Duration::from_mins(1));
        let found = incidents::find(&trace, &tree, deadline).unwrap();
        let catalogue = Catalogue::shipped().unwrap();
        let root = root_cause(&trace, &tree, &found, &catalogue, deadline).unwrap().unwrap();
        assert_eq!(
            (root.incident.span.span_id.as_str(), root.matched.rule.label.to_string().as_str()),
            ("33", "tool_failure/tool_unavailable")
        );
    }
}
