//! Root before consequence: which incident came first and was not recovered from.

use super::incidents::{Incident, IncidentKind};
use super::rules::{Catalogue, Rule};
use super::tree::SpanTree;
use crate::analyze::{Deadline, TimedOut};
use crate::model::Trace;

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
) -> Result<Option<(&'i Incident<'t>, &'c Rule)>, TimedOut> {
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
        let Some(rule) = catalogue.best(incident) else { continue };
        let propagated = incident.kind == IncidentKind::Error && error_below.get(incident.index) == Some(&true);
        if !propagated || rule.own_cause {
            named.push((incident, rule));
        }
    }
    // Of incidents at the same moment the inner span, which starts later, is the culprit.
    Ok(named.into_iter().min_by_key(|(incident, _)| (incident.at_ns, std::cmp::Reverse(incident.index))))
}
