//! ReasonCounts that are alike, counted: a thousand traces that failed for one reason are one line for a person.

use serde::Serialize;

use crate::limits::REASONS_MAX;

/// How many traces met one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReasonCount {
    /// What happened, for programs.
    pub kind: String,
    /// A sentence for a person, of the first of these traces.
    pub reason: String,
    /// How many.
    pub traces: u64,
}

/// Counts of reasons; the least frequent of very many different ones are counted by kind alone.
#[derive(Debug, Clone, Default)]
pub struct ReasonCounts(Vec<Group>);

#[derive(Debug, Clone)]
struct Group {
    kind: String,
    alike: String,
    reason: String,
    traces: u64,
}

impl ReasonCounts {
    /// Counts one trace.
    pub fn add(&mut self, kind: &str, reason: &str) {
        let alike = alike(reason);
        if let Some(group) = self.0.iter_mut().find(|group| group.kind == kind && group.alike == alike) {
            group.traces += 1;
            return;
        }
        let reason = if self.0.len() < REASONS_MAX { reason } else { "other reasons" };
        if let Some(group) = self.0.iter_mut().find(|group| group.kind == kind && group.reason == reason) {
            group.traces += 1;
            return;
        }
        self.0.push(Group { kind: kind.to_owned(), alike, reason: reason.to_owned(), traces: 1 });
    }

    /// The counts, the most frequent reason first.
    pub fn counts(&self) -> Vec<ReasonCount> {
        let count = |group: &Group| ReasonCount { kind: group.kind.clone(), reason: group.reason.clone(), traces: group.traces };
        let mut counts: Vec<ReasonCount> = self.0.iter().map(count).collect();
        counts.sort_by_key(|count| std::cmp::Reverse(count.traces));
        counts
    }
}

/// The same for reasons that differ in their numbers only: lines, columns, indexes, counts.
pub fn alike(reason: &str) -> String {
    let mut alike = String::with_capacity(reason.len());
    for c in reason.chars() {
        match c.is_ascii_digit() {
            true if alike.ends_with('#') => {}
            true => alike.push('#'),
            false => alike.push(c),
        }
    }
    alike
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_that_differ_in_numbers_only_are_counted_together() {
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
    fn memory_is_bounded_and_nothing_is_lost() {
        let mut reasons = ReasonCounts::default();
        for number in 0..10_000_usize {
            reasons.add("provider_error", &"x".repeat(number % 500));
        }
        let counts = reasons.counts();
        assert_eq!((counts.len(), counts.iter().map(|count| count.traces).sum::<u64>()), (REASONS_MAX + 1, 10_000));
        assert_eq!(counts[0].reason, "other reasons");
    }
}
