//! The order of the results of tools that stand only among the messages of model calls: such tools have no spans with times.

use std::collections::HashMap;

use super::incident::Incident;
use super::tool_incidents::MessageOutcome;

/// The order of the results of tools among the messages.
#[derive(Debug, Default)]
pub(super) struct MessageOrder<'t> {
    /// `(position, tool)` by span and field.
    positions: HashMap<(usize, &'t str), (usize, Option<&'t str>)>,
    /// The last position at which a tool worked.
    last_success: HashMap<Option<&'t str>, usize>,
    /// The last position at which any tool worked.
    last_success_of_any: Option<usize>,
}

impl<'t> MessageOrder<'t> {
    pub(super) fn new(outcomes: &'t [MessageOutcome<'t>]) -> Self {
        let mut order = Self::default();
        for (position, outcome) in outcomes.iter().enumerate() {
            if outcome.failed {
                order.positions.insert((outcome.index, &outcome.field), (position, outcome.tool));
            } else {
                order.last_success.insert(outcome.tool, position);
                order.last_success_of_any = Some(position);
            }
        }
        order
    }

    /// Whether any tool worked.
    pub(super) fn any_worked(&self) -> bool {
        self.last_success_of_any.is_some()
    }

    /// Whether the tool of an incident, and whether any tool, worked in a later message.
    pub(super) fn worked_later(&self, incident: &Incident<'_>) -> (bool, bool) {
        let field = incident.texts.first().map_or("", |(field, _)| field.as_str());
        let Some((position, tool)) = self.positions.get(&(incident.index, field)) else { return (false, false) };
        let is_later = |last: Option<&usize>| last.is_some_and(|last| last > position);
        (tool.is_some() && is_later(self.last_success.get(tool)), is_later(self.last_success_of_any.as_ref()))
    }
}
