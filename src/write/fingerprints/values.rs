//! How many traces of a group have each value of each dimension. Bounded: what is over a limit is known to be there, but not counted by value.

use std::collections::HashMap;

use crate::limits::{COMPARED_VALUE_BYTES_MAX, COMPARED_VALUES_MAX, COMPARED_VALUES_OF_RUN_MAX};
use crate::model::Dimension;

/// The values of one dimension that a trace has.
#[derive(Debug, Clone, Copy)]
pub(super) enum Values<'a> {
    /// The trace does not tell.
    Unknown,
    /// One value.
    One(&'a str),
    /// Several, or none: the models or tools that it used.
    Set(&'a [String]),
}

impl<'a> Values<'a> {
    pub(super) fn optional(value: Option<&'a str>) -> Self {
        value.filter(|value| !value.is_empty()).map_or(Self::Unknown, Self::One)
    }

    pub(super) fn optional_set(values: Option<&'a [String]>) -> Self {
        values.map_or(Self::Unknown, Self::Set)
    }

    fn iter(self) -> impl Iterator<Item = &'a str> {
        let (one, set) = match self {
            Self::Unknown => (None, [].as_slice()),
            Self::One(value) => (Some(value), [].as_slice()),
            Self::Set(values) => (None, values),
        };
        one.into_iter().chain(set.iter().map(String::as_str))
    }
}

/// The values of a trace, in the order of [`Dimension::ALL`].
pub(super) type TraceValues<'a> = [Values<'a>; Dimension::COUNT];

/// The number of a value.
pub(super) type ValueId = u32;

/// Numbers the distinct values of a run, so that each is stored once.
#[derive(Debug, Default)]
pub(super) struct ValueIds {
    ids: HashMap<Box<str>, ValueId>,
}

impl ValueIds {
    /// The number of a value. `None` if it is too long, or if there are too many.
    fn id(&mut self, value: &str) -> Option<ValueId> {
        if let Some(id) = self.ids.get(value) {
            return Some(*id);
        }
        if value.len() > COMPARED_VALUE_BYTES_MAX || self.ids.len() >= COMPARED_VALUES_OF_RUN_MAX {
            return None;
        }
        let id = ValueId::try_from(self.ids.len()).ok()?;
        self.ids.insert(value.into(), id);
        Some(id)
    }

    /// The number of a value that was counted.
    pub(super) fn known(&self, value: &str) -> Option<ValueId> {
        self.ids.get(value).copied()
    }

    /// All values, by number.
    pub(super) fn by_id(&self) -> Vec<&str> {
        let mut values: Vec<(ValueId, &str)> = self.ids.iter().map(|(value, id)| (*id, value.as_ref())).collect();
        values.sort_unstable();
        values.into_iter().map(|(_, value)| value).collect()
    }
}

/// Counts of a group of traces, in the order of [`Dimension::ALL`].
#[derive(Debug, Default)]
pub(super) struct ValueCounts {
    pub(super) dimensions: [DimensionCounts; Dimension::COUNT],
}

/// Counts of one dimension.
#[derive(Debug, Default)]
pub(super) struct DimensionCounts {
    /// Traces for which the dimension is known.
    pub(super) known: u64,
    /// Traces by value, in the order in which the values appeared.
    pub(super) traces: Vec<(ValueId, u64)>,
    /// Whether there are values that are not counted.
    has_uncounted: bool,
    /// Whether a trace was removed whose values were not known any more, so that no count is exact.
    is_inexact: bool,
}

impl ValueCounts {
    pub(super) fn add(&mut self, values: &TraceValues<'_>, ids: &mut ValueIds) {
        for (counts, values) in self.dimensions.iter_mut().zip(values) {
            counts.add(*values, ids);
        }
    }

    /// Takes a trace out that was added. `values` may tell less than when it was added.
    pub(super) fn remove(&mut self, values: &TraceValues<'_>, ids: &ValueIds) {
        for (counts, values) in self.dimensions.iter_mut().zip(values) {
            counts.remove(*values, ids);
        }
    }
}

impl DimensionCounts {
    fn add(&mut self, values: Values<'_>, ids: &mut ValueIds) {
        if matches!(values, Values::Unknown) {
            return;
        }
        self.known += 1;
        for value in values.iter() {
            let Some(id) = ids.id(value) else {
                self.has_uncounted = true;
                continue;
            };
            if let Some((_, traces)) = self.traces.iter_mut().find(|(known, _)| *known == id) {
                *traces += 1;
            } else if self.traces.len() < COMPARED_VALUES_MAX {
                self.traces.push((id, 1));
            } else {
                self.has_uncounted = true;
            }
        }
    }

    fn remove(&mut self, values: Values<'_>, ids: &ValueIds) {
        if matches!(values, Values::Unknown) {
            // The trace may have had values when it was added.
            self.is_inexact |= self.known > 0;
            return;
        }
        self.known = self.known.saturating_sub(1);
        for value in values.iter() {
            let id = ids.known(value);
            if let Some((_, traces)) = self.traces.iter_mut().find(|(known, _)| Some(*known) == id) {
                *traces = traces.saturating_sub(1);
            }
        }
    }

    /// Traces with a value; `None` if that is not known.
    pub(super) fn traces_with(&self, value: ValueId) -> Option<u64> {
        if self.is_inexact {
            return None;
        }
        match self.traces.iter().find(|(known, _)| *known == value) {
            Some((_, traces)) => Some(*traces),
            None => (!self.has_uncounted).then_some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts_of(values: &[Values<'_>]) -> (DimensionCounts, ValueIds) {
        let (mut counts, mut ids) = (DimensionCounts::default(), ValueIds::default());
        for values in values {
            counts.add(*values, &mut ids);
        }
        (counts, ids)
    }

    #[test]
    fn each_value_of_a_trace_is_counted_and_unknown_ones_are_not() {
        let set = ["a".to_owned(), "b".to_owned()];
        let (mut counts, ids) = counts_of(&[Values::One("a"), Values::Set(&set), Values::Unknown, Values::Set(&[])]);
        let with = |counts: &DimensionCounts, value| counts.traces_with(ids.known(value).unwrap());
        assert_eq!((counts.known, with(&counts, "a"), with(&counts, "b")), (3, Some(2), Some(1)));
        assert_eq!(ids.by_id(), ["a", "b"]);
        counts.remove(Values::One("a"), &ids);
        assert_eq!((counts.known, with(&counts, "a")), (2, Some(1)));
        counts.remove(Values::Unknown, &ids);
        assert_eq!(with(&counts, "a"), None, "no count is exact any more");
    }

    #[test]
    fn what_is_over_a_limit_is_not_taken_for_absent() {
        let many: Vec<String> = (0..=COMPARED_VALUES_MAX).map(|number| format!("pod-{number}")).collect();
        let (mut counts, mut ids) = counts_of(&many.iter().map(|value| Values::One(value)).collect::<Vec<_>>());
        assert_eq!(counts.traces.len(), COMPARED_VALUES_MAX);
        assert_eq!(counts.traces_with(0), Some(1));
        assert_eq!(counts.traces_with(ids.known(many.last().unwrap()).unwrap()), None);
        let long = "x".repeat(COMPARED_VALUE_BYTES_MAX + 1);
        counts.add(Values::One(&long), &mut ids);
        assert_eq!(ids.known(&long), None);
    }
}
