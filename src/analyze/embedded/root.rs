//! Root before consequence: which incident came first and was not recovered from.

use super::incidents::{Incident, IncidentKind};
use super::rules::{Catalogue, Fit};
use super::tree::SpanTree;
use crate::model::Trace;
use crate::runtime::{Deadline, TimedOut};

/// The incident that decides, with the rule that names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Root<'i, 't, 'c> {
    pub(super) incident: &'i Incident<'t>,
    pub(super) fit: Fit<'c>,
    /// Another failure, from which the run did not recover either, has another name.
    pub(super) contested: bool,
}

/// The incident that decides, with the rule that names it; nothing where every failure was recovered from.
///
/// An error that goes up the tree is one failure, and the deepest span is its culprit, unless a rule says that the outer error has a
/// cause of its own. Of several failures the first in time wins; signs that are weak by themselves give way to an error.
pub(super) fn choose<'i, 't, 'c>(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &'i [Incident<'t>],
    catalogue: &'c Catalogue,
    deadline: Deadline,
) -> Result<Option<Root<'i, 't, 'c>>, TimedOut> {
    let mut open_error = vec![false; trace.spans.len()];
    for incident in incidents.iter().filter(|incident| !incident.recovered && incident.kind == IncidentKind::Error) {
        if let Some(mark) = open_error.get_mut(incident.index) {
            *mark = true;
        }
    }
    let error_below = tree.has_below(&open_error);
    let any_error = open_error.contains(&true);

    let mut named = Vec::new();
    for incident in incidents.iter().filter(|incident| !incident.recovered) {
        deadline.check()?;
        if any_error && matches!(incident.kind, IncidentKind::LowScores | IncidentKind::RepeatedCalls) {
            continue;
        }
        let Some(fit) = catalogue.best(incident) else { continue };
        let propagated = incident.kind == IncidentKind::Error && error_below.get(incident.index) == Some(&true);
        if !propagated || fit.rule.own_cause {
            named.push((incident, fit));
        }
    }
    // Of incidents at the same moment the inner span, which starts later, is the culprit.
    let first = named.iter().min_by_key(|(incident, _)| (incident.at_ns, std::cmp::Reverse(incident.index))).copied();
    Ok(first.map(|(incident, fit)| {
        let contested = named.iter().any(|(_, other)| other.rule.label != fit.rule.label);
        Root { incident, fit, contested }
    }))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyze::embedded::incidents;
    use crate::model::{Span, SpanKind, Status, ToolUse};

    /// A parent without an end looks as if it had failed first, by its times; its error still is the consequence.
    #[test]
    fn an_error_that_went_up_the_tree_is_named_by_the_deepest_span() {
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
        let tree = SpanTree::of(&trace);
        let deadline = Deadline::after(Duration::from_mins(1));
        let found = incidents::find(&trace, &tree, deadline).unwrap();
        let catalogue = Catalogue::shipped().unwrap();
        let root = choose(&trace, &tree, &found, &catalogue, deadline).unwrap().unwrap();
        assert_eq!(
            (root.incident.span.span_id.as_str(), root.fit.rule.label.to_string().as_str()),
            ("33", "tool_failure/tool_unavailable")
        );
    }
}
