//! The spans of a trace as a tree. Tolerates what real traces contain: missing parents, several roots, cycles.

use std::collections::HashMap;

use crate::model::{Span, Trace};

/// Parents and children of spans, by index into `trace.spans`.
#[derive(Debug)]
pub(super) struct SpanTree {
    parents: Vec<Option<usize>>,
    children: Vec<Vec<usize>>,
    /// Spans whose parent is missing from the trace.
    pub(super) orphans: usize,
    /// Spans without an end time.
    pub(super) unfinished: usize,
    /// Spans that were their own ancestor; they became roots.
    pub(super) cycles: usize,
    /// Whether a root has no end time.
    pub(super) unfinished_root: bool,
}

impl SpanTree {
    pub(super) fn new(trace: &Trace) -> Self {
        let by_id: HashMap<&str, usize> = trace.spans.iter().enumerate().map(|(index, span)| (span.span_id.as_str(), index)).collect();
        let mut parents: Vec<Option<usize>> =
            trace.spans.iter().map(|span| span.parent_span_id.as_deref().and_then(|id| by_id.get(id).copied())).collect();
        let orphans = trace.spans.iter().zip(&parents).filter(|(span, parent)| span.parent_span_id.is_some() && parent.is_none()).count();
        let cycles = break_cycles(&mut parents);
        let mut children = vec![Vec::new(); parents.len()];
        for (index, parent) in parents.iter().enumerate() {
            if let Some(list) = parent.and_then(|parent| children.get_mut(parent)) {
                list.push(index);
            }
        }
        // A chat log has a span for each message and never an end time, so a missing one does not mean that the run was killed.
        let is_log = trace.spans.len() > 1 && trace.spans.iter().all(|span| span.ended_at_ns.is_none() && span.parent_span_id.is_none());
        let is_unfinished = |span: &Span| span.ended_at_ns.is_none() && !is_log;
        let unfinished = trace.spans.iter().filter(|span| is_unfinished(span)).count();
        let unfinished_root =
            trace.spans.iter().zip(&parents).any(|(span, parent)| parent.is_none() && span.parent_span_id.is_none() && is_unfinished(span));
        Self { parents, children, orphans, unfinished, cycles, unfinished_root }
    }

    pub(super) fn parent(&self, index: usize) -> Option<usize> {
        self.parents.get(index).copied().flatten()
    }

    /// Direct children, in the order of their start.
    pub(super) fn children(&self, index: usize) -> &[usize] {
        self.children.get(index).map_or(&[], Vec::as_slice)
    }

    /// The span and its ancestors, innermost first.
    pub(super) fn self_and_ancestors(&self, index: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(Some(index), |index| self.parent(*index))
    }

    /// For every span, whether one of its descendants has `property`.
    pub(super) fn has_descendant_with(&self, property: &[bool]) -> Vec<bool> {
        let mut below = vec![false; self.parents.len()];
        for index in (0..property.len()).filter(|index| property.get(*index) == Some(&true)) {
            for ancestor in self.self_and_ancestors(index).skip(1) {
                match below.get_mut(ancestor) {
                    // Its ancestors are marked already. This keeps the time linear.
                    Some(true) | None => break,
                    Some(flag) => *flag = true,
                }
            }
        }
        below
    }
}

/// Turns spans that are their own ancestors into roots. Returns how many there were.
fn break_cycles(parents: &mut [Option<usize>]) -> usize {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Unvisited,
        OnPath,
        Done,
    }
    let mut states = vec![State::Unvisited; parents.len()];
    let mut cycles = 0;
    for start in 0..parents.len() {
        let mut path = Vec::new();
        let mut at = Some(start);
        while let Some(index) = at {
            match states.get(index) {
                Some(State::Unvisited) => {
                    if let Some(state) = states.get_mut(index) {
                        *state = State::OnPath;
                    }
                    path.push(index);
                    at = parents.get(index).copied().flatten();
                }
                Some(State::OnPath) => {
                    if let Some(parent) = parents.get_mut(index) {
                        *parent = None;
                    }
                    cycles += 1;
                    break;
                }
                _ => break,
            }
        }
        for index in path {
            if let Some(state) = states.get_mut(index) {
                *state = State::Done;
            }
        }
    }
    cycles
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(links: &[(&str, Option<&str>)]) -> SpanTree {
        let span = |(id, parent): &(&str, Option<&str>)| Span {
            span_id: (*id).into(),
            parent_span_id: parent.map(str::to_owned),
            ended_at_ns: Some(1),
            ..Span::default()
        };
        SpanTree::new(&Trace { spans: links.iter().map(span).collect(), ..Trace::default() })
    }

    #[test]
    fn cycles_are_broken_and_missing_parents_counted() {
        let tree = tree(&[("a", Some("b")), ("b", Some("c")), ("c", Some("a")), ("d", Some("a")), ("e", Some("gone")), ("f", Some("f"))]);
        assert_eq!((tree.cycles, tree.orphans), (2, 1));
        for index in 0..6 {
            assert!(tree.self_and_ancestors(index).count() <= 6);
        }
    }

    #[test]
    fn a_chain_of_fifty_thousand_spans_is_processed_in_time() {
        let ids: Vec<String> = (0..50_000).map(|index| index.to_string()).collect();
        let links: Vec<_> = ids
            .iter()
            .enumerate()
            .map(|(index, id)| (id.as_str(), index.checked_sub(1).and_then(|parent| ids.get(parent)).map(String::as_str)))
            .collect();
        let tree = tree(&links);
        let below = tree.has_descendant_with(&vec![true; 50_000]);
        assert_eq!(below.iter().filter(|below| **below).count(), 49_999);
    }
}
