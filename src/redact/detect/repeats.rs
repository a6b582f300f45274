//! A value that was found in one place is one wherever it stands.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::pieces::{LONG_BYTES_MIN, Pieces};
use super::text::{Text, is_cjk};
use super::view::View;
use super::{CustomDetectors, Found, Hit, Search, in_original, lexicon};

/// A shorter value is not looked for elsewhere: it is too likely to be something else.
const REPEATED_BYTES_MIN: usize = 6;

/// Values that were found somewhere, to be found wherever else they stand.
#[derive(Debug)]
pub(in crate::redact) struct Values {
    automaton: Automaton,
    /// The kind of each value, in the order of the search.
    kinds: Vec<&'static str>,
    pieces: Option<Pieces>,
}

#[derive(Debug)]
enum Automaton {
    /// A few values, one after the other: nothing has to be built that costs more than the search.
    Each(Vec<memchr::memmem::Finder<'static>>),
    /// Many, in one pass.
    Together(AhoCorasick),
}

impl Values {
    /// `None` where nothing is worth looking for.
    pub(in crate::redact) fn new<'h>(hits: impl IntoIterator<Item = &'h Hit>) -> Option<Self> {
        const EACH_MAX: usize = 16;
        let mut values: BTreeMap<&str, &'static str> = BTreeMap::new();
        for hit in hits {
            let value = hit.value.trim();
            if hit.kind == "person" {
                values.insert(value, hit.kind);
                for part in value.split([' ', '+', '\u{a0}', '\u{3000}', '\n']) {
                    let is_capital = part.starts_with(char::is_uppercase) && part.chars().count() >= 3;
                    let is_cjk_part = part.chars().all(is_cjk) && part.chars().count() >= 2;
                    if is_cjk_part || (is_capital && !lexicon::look_up(part).is_common()) {
                        values.insert(part, hit.kind);
                    }
                }
            } else if value.len() >= REPEATED_BYTES_MIN && hit.range.len() >= value.len() {
                values.insert(value, hit.kind);
            }
        }
        values.retain(|value, _| value.len() >= 3);
        if values.is_empty() {
            return None;
        }
        let (long, short): (BTreeMap<&str, _>, BTreeMap<&str, _>) =
            values.into_iter().partition(|(value, _)| value.len() >= LONG_BYTES_MIN);
        let automaton = if short.len() <= EACH_MAX {
            Automaton::Each(short.keys().map(|value| memchr::memmem::Finder::new(value.as_bytes()).into_owned()).collect())
        } else {
            // Building costs more than searching: no automaton that takes long to make.
            Automaton::Together(AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(short.keys()).ok()?)
        };
        let pieces = Pieces::new(long.into_iter().map(|(value, kind)| (value.to_owned(), kind)).collect());
        Some(Self { automaton, kinds: short.into_values().collect(), pieces })
    }

    /// Whether one of the values stands in `raw`, as whole words.
    pub(in crate::redact) fn stands_in(&self, raw: &str, own: &CustomDetectors) -> Option<&'static str> {
        let view = View::new(raw);
        self.found_in(Text(view.text()), &Search::new(own))
            .into_iter()
            .find(|found| found.range.len() >= REPEATED_BYTES_MIN)
            .map(|found| found.kind)
    }

    /// Adds what stands elsewhere in `raw` to its hits.
    pub(in crate::redact) fn repeat(&self, raw: &str, search: &Search<'_>, hits: &mut Vec<Hit>) {
        let view = View::new(raw);
        let found = self.found_in(Text(view.text()), search);
        if !found.is_empty() {
            hits.extend(in_original(&view, found));
            unite(hits);
        }
    }

    pub(super) fn found_in(&self, text: Text<'_>, search: &Search<'_>) -> Vec<Found> {
        let mut found = Vec::new();
        match &self.automaton {
            Automaton::Each(finders) => {
                for (finder, kind) in finders.iter().zip(&self.kinds) {
                    let len = finder.needle().len();
                    let places = finder.find_iter(text.bytes()).take_while(|_| !search.is_over());
                    found.extend(places.filter_map(|at| repeated(text, at..at + len, kind)));
                }
            }
            Automaton::Together(automaton) => {
                // Values overlap where one is a part of another.
                for hit in automaton.find_overlapping_iter(text.0).take_while(|_| !search.is_over()) {
                    let kind = self.kinds.get(hit.pattern().as_usize()).copied().unwrap_or_default();
                    found.extend(repeated(text, hit.range(), kind));
                }
            }
        }
        if let Some(pieces) = &self.pieces {
            pieces.find(text, search, &mut found);
        }
        found
    }
}

/// A place of a value that was found elsewhere, where it stands as a whole word.
fn repeated(text: Text<'_>, range: Range<usize>, kind: &'static str) -> Option<Found> {
    let starts = text.starts_word(range.start) || text.char_at(range.start).is_some_and(is_cjk);
    let ends = text.ends_word(range.end) || text.char_before(range.end).is_some_and(is_cjk);
    // A name inside an identifier, a path of code or a token is none.
    let is_code = matches!(text.before(range.start), b'<' | b'_' | b'$') || (text.at(range.end) == b':' && text.at(range.end + 1) == b':');
    (starts && ends && !(is_code && kind == "person")).then_some(Found { range, kind, why: "found elsewhere too" })
}

/// Puts hits in order; those that overlap become one.
pub(super) fn unite(hits: &mut Vec<Hit>) {
    hits.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    hits.dedup_by(|later, earlier| {
        let overlaps = later.range.start < earlier.range.end;
        if overlaps {
            earlier.range.end = earlier.range.end.max(later.range.end);
        }
        overlaps
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_and_many_are_found_alike() {
        let hit = |value: String| Hit { range: 0..value.len(), kind: "password", why: "", value };
        for count in [3, 40] {
            let mut hits: Vec<Hit> = (0..count).map(|index| hit(format!("filler-{index:03}"))).collect();
            // The second begins inside the first.
            hits.extend([hit("alpha beta7".into()), hit("beta7 gamma".into())]);
            let values = Values::new(&hits).unwrap();
            let mut found = Vec::new();
            let text = "so alpha beta7 gamma, filler-001 and filler-0012";
            let own = CustomDetectors::default();
            values.repeat(text, &Search::new(&own), &mut found);
            let shown: Vec<&str> = found.iter().filter_map(|hit| text.get(hit.range.clone())).collect();
            assert_eq!(shown, ["alpha beta7 gamma", "filler-001"], "{count} values");
        }
    }
}
