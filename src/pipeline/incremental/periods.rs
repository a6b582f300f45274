//! A bounded record of which objects have been read: their number and a digest of them for each period of modification times.
//!
//! A single newest time would miss an object that becomes visible late, such as a multipart upload or a copied file that keeps its time. A list of
//! all objects would grow without limit. Of a period, the record tells whether its objects are exactly those that were read. If they are not, all
//! of its objects are read again, which is safe because rows are keyed by trace. So periods are short where objects still arrive: a minute for the
//! newest two hours, an hour for three days, and a day before that.

use std::collections::BTreeMap;

use crate::limits::PERIODS_MAX;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The objects of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Objects {
    count: u64,
    /// The sum of their hashes, which does not depend on their order.
    digest: u64,
}

impl Objects {
    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.digest = self.digest.wrapping_add(other.digest);
    }
}

/// An object as these periods see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// When it was modified, in seconds since 1970.
    pub(super) second: i64,
    /// A hash of its URI and version.
    pub(super) hash: u64,
}

impl From<Seen> for Objects {
    fn from(seen: Seen) -> Self {
        Self { count: 1, digest: seen.hash }
    }
}

/// Objects by period. A period is identified by its first second and has the second of its last object as its end, so that later objects of the same
/// minute are outside of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Periods(BTreeMap<i64, (i64, Objects)>);

impl Periods {
    /// Adds an object, in a period of its own second if no other contains it.
    pub(super) fn add(&mut self, seen: Seen) {
        /// The first run over a bucket adds millions.
        const UNJOINED_MAX: usize = 8 * PERIODS_MAX;
        let start = self.period_of(seen.second).unwrap_or(seen.second);
        self.add_all(start, seen.second, seen.into());
        if self.0.len() > UNJOINED_MAX {
            *self = self.coarser();
        }
    }

    /// Adds all objects of other periods.
    pub(super) fn extend(&mut self, other: &Self) {
        for (start, (end, objects)) in &other.0 {
            self.add_all(*start, *end, *objects);
        }
    }

    /// Takes back an object that was added.
    pub(super) fn remove(&mut self, seen: Seen) {
        let start = self.period_of(seen.second).unwrap_or(seen.second);
        if let Some((_, objects)) = self.0.get_mut(&start) {
            objects.count = objects.count.saturating_sub(1);
            objects.digest = objects.digest.wrapping_sub(seen.hash);
        }
    }

    fn add_all(&mut self, start: i64, end: i64, objects: Objects) {
        let period = self.0.entry(start).or_insert((end, Objects::default()));
        period.0 = period.0.max(end);
        period.1.add(objects);
    }

    /// The first second of the period that contains this one.
    pub(super) fn period_of(&self, second: i64) -> Option<i64> {
        let (start, (end, _)) = self.0.range(..=second).next_back()?;
        (second <= *end).then_some(*start)
    }

    /// Counts a listed object of the period that starts at `start`.
    pub(super) fn add_listed(&mut self, start: i64, seen: Seen) {
        self.add_all(start, seen.second, seen.into());
    }

    /// Whether the period has the same objects in `listed`.
    pub(super) fn is_same(&self, listed: &Self, start: i64) -> bool {
        self.0.get(&start).map(|(_, objects)| objects) == listed.0.get(&start).map(|(_, objects)| objects)
    }

    /// The periods that satisfy a condition.
    pub(super) fn filter(&self, is_kept: impl Fn(i64) -> bool) -> Self {
        Self(self.0.iter().filter(|(start, _)| is_kept(**start)).map(|(start, period)| (*start, *period)).collect())
    }

    /// The first seconds of all periods.
    pub(super) fn starts(&self) -> impl Iterator<Item = i64> {
        self.0.keys().copied()
    }

    /// How many objects there are.
    pub(super) fn count(&self) -> u64 {
        self.0.values().map(|(_, objects)| objects.count).sum()
    }

    /// The second of the newest object.
    pub(super) fn newest(&self) -> Option<i64> {
        self.0.values().map(|(end, _)| *end).max()
    }

    /// The same objects in fewer periods: the older they are, the longer their period. Periods that overlap are joined.
    pub(super) fn coarser(&self) -> Self {
        let newest = self.newest().unwrap_or_default();
        let mut coarser = Self::default();
        for (start, (end, objects)) in &self.0 {
            if objects.count == 0 {
                continue;
            }
            let age = newest.saturating_sub(*end);
            let width = match () {
                () if age <= 2 * HOUR => MINUTE,
                () if age <= 3 * DAY => HOUR,
                () => DAY,
            };
            let aligned = start.div_euclid(width).saturating_mul(width);
            // A longer period that began before and reaches here contains this one.
            let aligned = coarser.period_of(*start).unwrap_or(aligned);
            coarser.add_all(aligned, *end, *objects);
        }
        while coarser.0.len() > PERIODS_MAX
            && let Some((oldest, (_, first))) = coarser.0.pop_first()
            && let Some((_, (end, second))) = coarser.0.pop_first()
        {
            coarser.add_all(oldest, end, first);
            coarser.add_all(oldest, end, second);
        }
        coarser
    }

    /// `START-END:COUNT:DIGEST` of each period, separated by blanks: first and last second since 1970, and the digest in hex.
    pub(super) fn encode(&self) -> String {
        let periods = self.0.iter().map(|(start, (end, objects))| format!("{start}..{end}:{}:{:x}", objects.count, objects.digest));
        periods.collect::<Vec<_>>().join(" ")
    }

    /// The reverse of [`Self::encode`]; `None` for a text that it did not make.
    pub(super) fn decode(text: &str) -> Option<Self> {
        let mut periods = Self::default();
        for period in text.split_whitespace() {
            let (times, objects) = period.split_once(':')?;
            let ((start, end), (count, digest)) = (times.split_once("..")?, objects.split_once(':')?);
            let objects = Objects { count: count.parse().ok()?, digest: u64::from_str_radix(digest, 16).ok()? };
            periods.0.insert(start.parse().ok()?, (end.parse().ok()?, objects));
        }
        Some(periods)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(second: i64, hash: u64) -> Seen {
        Seen { second, hash }
    }

    fn of(objects: &[(i64, u64)]) -> Periods {
        let mut periods = Periods::default();
        objects.iter().for_each(|(second, hash)| periods.add(seen(*second, *hash)));
        periods
    }

    #[test]
    fn an_object_is_in_a_period_up_to_its_last_object_only() {
        let stored = of(&[(600, 1), (605, 2), (7_200_000, 3)]).coarser();
        assert_eq!(stored.period_of(600), stored.period_of(604), "between two known objects");
        assert!(stored.period_of(600).is_some());
        assert_eq!(stored.period_of(7_200_001), None, "after the newest one, in the same minute");
        assert_eq!(stored.period_of(500_000), None);
        assert_eq!((stored.count(), stored.newest()), (3, Some(7_200_000)));
    }

    #[test]
    fn a_period_is_the_same_only_with_exactly_the_objects_that_were_read() {
        let stored = of(&[(600, 1), (605, 2)]).coarser();
        let listed = |objects: &[(i64, u64)]| {
            let mut listed = Periods::default();
            objects.iter().for_each(|(second, hash)| listed.add_listed(stored.period_of(*second).unwrap(), seen(*second, *hash)));
            listed
        };
        let start = stored.period_of(600).unwrap();
        assert!(stored.is_same(&listed(&[(605, 2), (600, 1)]), start), "in any order");
        for other in [&[(600, 1)][..], &[(600, 1), (605, 9)], &[(600, 1), (603, 5), (605, 2)], &[]] {
            assert!(!stored.is_same(&listed(other), start), "{other:?}");
        }
    }

    #[test]
    fn coarser_periods_have_the_same_objects_and_their_number_is_bounded() {
        let hourly: Vec<(i64, u64)> = (0..24 * 4_000).map(|hour| (hour * HOUR + 17, u64::try_from(hour).unwrap())).collect();
        let all = of(&hourly);
        let coarser = all.coarser();
        assert!(coarser.0.len() <= PERIODS_MAX, "{}", coarser.0.len());
        assert_eq!(coarser.count(), all.count());
        let digest = |periods: &Periods| periods.0.values().map(|(_, objects)| objects.digest).fold(0, u64::wrapping_add);
        assert_eq!(digest(&coarser), digest(&all));
        assert!(hourly.iter().all(|(second, _)| coarser.period_of(*second).is_some()));
        // The newest objects have periods of their own, and again after later ones were added.
        let newest = hourly.last().unwrap().0;
        assert_ne!(coarser.period_of(newest), coarser.period_of(newest - HOUR));
        let mut later = coarser.clone();
        later.add(seen(newest + 30 * DAY, 7));
        let later = later.coarser();
        assert_eq!((later.count(), later.period_of(newest)), (all.count() + 1, later.period_of(newest - HOUR)), "a day, after a month");
        assert_eq!(Periods::decode(&later.encode()), Some(later));
    }

    #[test]
    fn an_object_that_was_not_read_after_all_is_unknown() {
        let mut periods = of(&[(600, 1), (605, 2)]);
        periods.remove(seen(605, 2));
        assert_eq!(periods.coarser(), of(&[(600, 1)]).coarser());
    }

    #[test]
    fn other_texts_are_no_periods() {
        assert_eq!(Periods::decode(""), Some(Periods::default()));
        for text in ["x", "1..2:3", "1..2:3:g", "1-2:3:4", "1..2:-3:4"] {
            assert_eq!(Periods::decode(text), None, "{text}");
        }
    }
}
