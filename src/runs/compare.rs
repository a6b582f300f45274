//! Compares how often each failure occurs among the traces of two groups of runs.
//!
//! In: the traces of each group, counted. Out: one [`Change`] for each failure, with the exact test of Fisher on its two rates. A failure that does
//! not occur any more is gone only if all its traces were analyzed again; otherwise it was not seen.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Label;
use crate::statistics::{Share, exact_test_two_sided};

/// Probability that a list of changes contains one that only chance made significant. It is divided by the length of the list (Bonferroni).
pub const LEVEL: f64 = 0.05;

/// Traces that failed alike.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) category: String,
    pub(super) factor: String,
    /// Empty if it is not known.
    pub(super) fingerprint: String,
    /// Of the column by which traces are grouped.
    pub(super) value: Option<String>,
    pub(super) traces: u64,
    pub(super) title: String,
    pub(super) example_trace_id: String,
}

impl Counted {
    pub(super) fn is_healthy(&self) -> bool {
        let healthy = Label::NO_FAILURE_FOUND;
        self.category == healthy.category() && self.factor == healthy.factor()
    }
}

/// The traces of one side of a comparison.
#[derive(Debug, Clone, Default)]
pub(super) struct Side {
    pub(super) groups: Vec<Counted>,
    /// All traces, also those that `groups` leaves out.
    pub(super) traces: u64,
    /// Whether `groups` contains only the most frequent ones.
    pub(super) is_cut: bool,
}

/// By what traces are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    Category,
    Factor,
    Fingerprint,
}

/// How the frequency of a failure changed from A to B.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It occurs in B and not in A.
    New,
    /// Its share of the traces is significantly larger in B.
    More,
    /// All its traces of A were analyzed again in B, and none fails so any more.
    Gone,
    /// Its share of the traces is significantly smaller in B.
    Less,
    /// It does not occur in B, where not all its traces were analyzed again.
    NotSeen,
    /// It occurs in both, and chance may explain the difference.
    Same,
    /// One side lists only its most frequent failures, and not this one.
    Unknown,
}

/// One failure in both groups of runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// How its frequency changed.
    pub change: ChangeKind,
    /// Its category.
    pub category: String,
    /// Its contributing factor; none for a category as a whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contributing_factor: Option<String>,
    /// Its fingerprint, if traces are counted by fingerprint.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// Traces of A with it.
    pub a_traces: u64,
    /// Traces of B with it.
    pub b_traces: u64,
    /// Their share of the traces of A, from 0 to 1.
    pub a_rate: f64,
    /// Their share of the traces of B.
    pub b_rate: f64,
    /// The probability of such a difference, or a larger one, if nothing changed: two-sided exact test of Fisher.
    pub p_value: f64,
    /// Whether that is at most [`LEVEL`], divided by the number of failures in the list.
    pub is_significant: bool,
    /// How many of its traces of A were analyzed again in B; none if that is not known.
    pub analyzed_again: Option<u64>,
    /// Title of an example, of B if it occurs there.
    pub title: String,
    /// Trace id of the example.
    pub example_trace_id: String,
}

/// What is counted of one failure.
#[derive(Default)]
struct Tally<'c> {
    first: Option<&'c Counted>,
    a: u64,
    b: u64,
    again: u64,
}

/// The changes of all failures, the most important first. `again` are the traces of A that B analyzed again; `None` if they are not known.
pub(super) fn changes(level: Level, a: &Side, b: &Side, again: Option<&[Counted]>) -> Vec<Change> {
    let mut tallies: BTreeMap<[&str; 3], Tally<'_>> = BTreeMap::new();
    for counted in failures(&b.groups) {
        let tally = tallies.entry(level.key(counted)).or_default();
        tally.first.get_or_insert(counted);
        tally.b += counted.traces;
    }
    for counted in failures(&a.groups) {
        let tally = tallies.entry(level.key(counted)).or_default();
        tally.first.get_or_insert(counted);
        tally.a += counted.traces;
    }
    for counted in failures(again.unwrap_or_default()) {
        if let Some(tally) = tallies.get_mut(&level.key(counted)) {
            tally.again += counted.traces;
        }
    }
    let comparisons = u32::try_from(tallies.len()).unwrap_or(u32::MAX).max(1);
    let found = tallies.into_values().filter_map(|tally| {
        let first = tally.first?;
        let share = |with: u64, side: &Side| Share { with, of: side.traces.max(with) };
        let (of_a, of_b) = (share(tally.a, a), share(tally.b, b));
        let p_value = exact_test_two_sided(of_a, of_b);
        let is_significant = p_value <= LEVEL / f64::from(comparisons);
        let analyzed_again = again.map(|_| tally.again);
        let change = match (tally.a, tally.b) {
            (0, _) if a.is_cut => ChangeKind::Unknown,
            (_, 0) if b.is_cut => ChangeKind::Unknown,
            (0, _) => ChangeKind::New,
            (traces, 0) if analyzed_again.is_some_and(|again| again >= traces) => ChangeKind::Gone,
            (_, 0) => ChangeKind::NotSeen,
            _ if !is_significant => ChangeKind::Same,
            _ if of_b.value() > of_a.value() => ChangeKind::More,
            _ => ChangeKind::Less,
        };
        Some(Change {
            change,
            category: first.category.clone(),
            contributing_factor: (level != Level::Category).then(|| first.factor.clone()),
            fingerprint: (level == Level::Fingerprint).then(|| first.fingerprint.clone()),
            a_traces: tally.a,
            b_traces: tally.b,
            a_rate: of_a.value(),
            b_rate: of_b.value(),
            p_value,
            is_significant,
            analyzed_again,
            title: first.title.clone(),
            example_trace_id: first.example_trace_id.clone(),
        })
    });
    let mut found: Vec<Change> = found.collect();
    // Stable: what is equally unlikely stays in the order of its names.
    found.sort_by(|left, right| left.change.cmp(&right.change).then(left.p_value.total_cmp(&right.p_value)));
    found
}

fn failures(groups: &[Counted]) -> impl Iterator<Item = &Counted> {
    groups.iter().filter(|counted| !counted.is_healthy() && counted.traces > 0)
}

impl Level {
    fn key(self, counted: &Counted) -> [&str; 3] {
        match self {
            Self::Category => [&counted.category, "", ""],
            Self::Factor => [&counted.category, &counted.factor, ""],
            Self::Fingerprint => [&counted.category, &counted.factor, &counted.fingerprint],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(factor: &str, traces: u64) -> Counted {
        let (category, factor) = factor.split_once('/').unwrap();
        let text = |name: &str| format!("{factor} {name}");
        Counted {
            category: category.into(),
            factor: factor.into(),
            fingerprint: text("fingerprint"),
            value: None,
            traces,
            title: text("title"),
            example_trace_id: text("example"),
        }
    }

    /// A side with these failures; the other traces are healthy.
    fn side(traces: u64, failures: &[(&str, u64)]) -> Side {
        let failed: u64 = failures.iter().map(|(_, count)| count).sum();
        let healthy = counted("unclassified/no_failure_found", traces - failed);
        let groups = failures.iter().map(|(factor, count)| counted(factor, *count)).chain([healthy]).collect();
        Side { groups, traces, is_cut: false }
    }

    fn kinds(level: Level, a: &Side, b: &Side, again: Option<&[Counted]>) -> Vec<(ChangeKind, String, bool)> {
        let name = |change: &Change| change.contributing_factor.clone().unwrap_or_else(|| change.category.clone());
        changes(level, a, b, again).iter().map(|change| (change.change, name(change), change.is_significant)).collect()
    }

    #[test]
    fn a_failure_is_new_more_less_or_the_same() {
        let a = side(1_000, &[("t/grew", 10), ("t/shrank", 90), ("t/same", 50)]);
        let b = side(900, &[("t/grew", 80), ("t/shrank", 9), ("t/same", 48), ("t/fresh", 30), ("t/rare", 1)]);
        let found = kinds(Level::Factor, &a, &b, Some(&[]));
        let expected = [
            (ChangeKind::New, "fresh", true),
            (ChangeKind::New, "rare", false),
            (ChangeKind::More, "grew", true),
            (ChangeKind::Less, "shrank", true),
            (ChangeKind::Same, "same", false),
        ];
        assert_eq!(found, expected.map(|(kind, name, significant)| (kind, name.to_owned(), significant)));
        let category = &changes(Level::Category, &a, &b, Some(&[]))[0];
        assert_eq!((category.a_traces, category.b_traces, category.contributing_factor.as_deref()), (150, 168, None));
    }

    #[test]
    fn rates_are_of_all_traces_and_not_of_those_that_failed() {
        // Ten times as many traces, and ten times as many failures.
        let found = changes(Level::Factor, &side(100, &[("t/f", 10)]), &side(1_000, &[("t/f", 100)]), None);
        assert_eq!((found[0].change, found[0].a_rate, found[0].b_rate), (ChangeKind::Same, 0.1, 0.1));
    }

    #[test]
    fn a_failure_whose_traces_were_not_analyzed_again_is_never_gone() {
        let (a, b) = (side(1_000, &[("t/f", 60)]), side(1_000, &[]));
        for (again, expected) in [(0, ChangeKind::NotSeen), (59, ChangeKind::NotSeen), (60, ChangeKind::Gone)] {
            let again = [counted("t/f", again)];
            assert_eq!(kinds(Level::Fingerprint, &a, &b, Some(&again)), [(expected, "f".to_owned(), true)]);
        }
        assert_eq!(kinds(Level::Factor, &a, &b, None), [(ChangeKind::NotSeen, "f".to_owned(), true)], "it is not known");
    }

    #[test]
    fn a_failure_that_a_cut_list_lacks_is_unknown() {
        let cut = |side: Side| Side { is_cut: true, ..side };
        let unknown = |found: Vec<(ChangeKind, String, bool)>| found.iter().all(|(kind, ..)| *kind == ChangeKind::Unknown);
        assert!(unknown(kinds(Level::Factor, &cut(side(9, &[])), &side(9, &[("t/f", 2)]), None)));
        assert!(unknown(kinds(Level::Factor, &side(9, &[("t/f", 2)]), &cut(side(9, &[])), None)));
    }

    #[test]
    fn the_level_is_divided_by_the_number_of_failures() {
        let one = changes(Level::Factor, &side(100, &[]), &side(100, &[("t/f", 7)]), None);
        assert!(one[0].is_significant && one[0].p_value > LEVEL / 10.0, "{one:?}");
        let many: Vec<String> = (0..9).map(|number| format!("t/{number}")).collect();
        let many: Vec<(&str, u64)> = many.iter().map(|name| (name.as_str(), 1)).chain([("t/f", 7)]).collect();
        let among = changes(Level::Factor, &side(100, &[]), &side(100, &many), None);
        assert!(among.iter().all(|change| !change.is_significant), "{among:?}");
    }

    #[test]
    fn counts_that_contradict_each_other_do_not_panic() {
        let groups = vec![counted("t/f", 10)];
        let found = changes(Level::Factor, &Side { groups, traces: 3, is_cut: false }, &Side::default(), None);
        assert_eq!((found[0].a_rate, found[0].p_value), (1.0, 1.0));
    }
}
