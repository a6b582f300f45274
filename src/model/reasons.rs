//! Counts of failure reasons. A thousand traces that failed for the same reason become one line of a report.

use serde::{Deserialize, Serialize};

use crate::limits::DISTINCT_REASONS_MAX;

/// The number of traces with the same reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReasonCount {
    /// Machine-readable kind, as in the `kind` column.
    pub kind: String,
    /// Human-readable reason of the first of these traces.
    pub reason: String,
    /// Number of traces.
    pub traces: u64,
}

/// Counts traces by reason. Stores at most [`DISTINCT_REASONS_MAX`] distinct reasons; further ones are counted by kind only.
#[derive(Debug, Clone, Default)]
pub struct ReasonCounts(Vec<Group>);

#[derive(Debug, Clone)]
struct Group {
    kind: String,
    /// The reason with its numbers replaced, by which reasons are compared.
    normalized: String,
    reason: String,
    traces: u64,
}

impl ReasonCounts {
    /// Counts one trace.
    pub fn add(&mut self, kind: &str, reason: &str) {
        let normalized = normalize_numbers(reason);
        if let Some(group) = self.0.iter_mut().find(|group| group.kind == kind && group.normalized == normalized) {
            group.traces += 1;
            return;
        }
        let reason = if self.0.len() < DISTINCT_REASONS_MAX { reason } else { "other reasons" };
        if let Some(group) = self.0.iter_mut().find(|group| group.kind == kind && group.reason == reason) {
            group.traces += 1;
            return;
        }
        self.0.push(Group { kind: kind.to_owned(), normalized, reason: reason.to_owned(), traces: 1 });
    }

    /// The counts, most frequent reason first.
    pub fn counts(&self) -> Vec<ReasonCount> {
        let count = |group: &Group| ReasonCount { kind: group.kind.clone(), reason: group.reason.clone(), traces: group.traces };
        let mut counts: Vec<ReasonCount> = self.0.iter().map(count).collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.traces));
        counts
    }
}

/// Replaces each run of digits by `#`, so that reasons that differ only in lines, columns, indexes or counts become equal.
pub fn normalize_numbers(reason: &str) -> String {
    let mut normalized = String::with_capacity(reason.len());
    for c in reason.chars() {
        match c.is_ascii_digit() {
            true if normalized.ends_with('#') => {}
            true => normalized.push('#'),
            false => normalized.push(c),
        }
    }
    normalized
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_only_in_numbers_are_counted_together() {
        let mut reasons = ReasonCounts::default();
        reasons.add("answer_empty", "empty");
        for number in 0..30 {
            reasons.add("answer_off_schema", &format!("evidence[{number}].span must be an integer"));
        }
        let counts = reasons.counts();
        assert_eq!((counts[0].reason.as_str(), counts[0].traces), ("evidence[0].span must be an integer", 30));
        assert_eq!((counts[1].kind.as_str(), counts[1].traces, counts.len()), ("answer_empty", 1, 2));
    }

    #[test]
    fn distinct_reasons_are_bounded_and_every_trace_is_counted() {
        let mut reasons = ReasonCounts::default();
        for number in 0..10_000_usize {
            reasons.add("provider_error", &"x".repeat(number % 500));
        }
        let counts = reasons.counts();
        assert_eq!((counts.len(), counts.iter().map(|count| count.traces).sum::<u64>()), (DISTINCT_REASONS_MAX + 1, 10_000));
        assert_eq!(counts[0].reason, "other reasons");
    }
}
