//! Finds repeated occurrences of detected values: a password found by its label is also replaced in the chat message that quotes it.

use std::collections::BTreeMap;
use std::ops::Range;

use aho_corasick::{AhoCorasick, AhoCorasickKind};

use super::decoded_text::DecodedText;
use super::matches::{merge_overlaps, to_detections};
use super::partial_matches::{LONG_BYTES_MIN, PartialMatcher};
use super::text::{Text, is_cjk};
use super::{CustomDetectors, Detection, Match, Scanner, lexicon};

/// Shorter values are not searched elsewhere, because they are likely to occur with another meaning.
const REPEATED_BYTES_MIN: usize = 6;

/// Detected values, to be found wherever else they occur.
#[derive(Debug)]
pub(in crate::redact) struct KnownValues {
    automaton: Automaton,
    /// The kind of each short value, in the order of the search.
    kinds: Vec<&'static str>,
    /// Finds the long values, in whole or in part.
    long_values: Option<PartialMatcher>,
}

#[derive(Debug)]
enum Automaton {
    /// A few values are searched one after the other, because building an automaton would cost more than the search.
    Sequential(Vec<memchr::memmem::Finder<'static>>),
    /// Many values are searched in one pass.
    Combined(AhoCorasick),
}

impl KnownValues {
    /// `None` if no value is worth searching for.
    pub(in crate::redact) fn new<'h>(detections: impl IntoIterator<Item = &'h Detection>) -> Option<Self> {
        const SEQUENTIAL_MAX: usize = 16;
        let mut values: BTreeMap<&str, &'static str> = BTreeMap::new();
        for detection in detections {
            let value = detection.value.trim();
            if detection.kind == "person" {
                values.insert(value, detection.kind);
                // Parts of a name are searched too, unless they are common words: `Ada Page` adds `Ada`, but not `Page`.
                for part in value.split([' ', '+', '\u{a0}', '\u{3000}', '\n']) {
                    let is_capital = part.starts_with(char::is_uppercase) && part.chars().count() >= 3;
                    let is_cjk_part = part.chars().all(is_cjk) && part.chars().count() >= 2;
                    if is_cjk_part || (is_capital && !lexicon::look_up(part).is_common_word()) {
                        values.insert(part, detection.kind);
                    }
                }
            // Values inside encoded data are shorter than their range; the encoded form cannot be searched for.
            } else if value.len() >= REPEATED_BYTES_MIN && detection.range.len() >= value.len() {
                values.insert(value, detection.kind);
            }
        }
        values.retain(|value, _| value.len() >= 3);
        if values.is_empty() {
            return None;
        }
        let (long, short): (BTreeMap<&str, _>, BTreeMap<&str, _>) =
            values.into_iter().partition(|(value, _)| value.len() >= LONG_BYTES_MIN);
        let automaton = if short.len() <= SEQUENTIAL_MAX {
            Automaton::Sequential(short.keys().map(|value| memchr::memmem::Finder::new(value.as_bytes()).into_owned()).collect())
        } else {
            // A DFA would search faster, but building it would take longer than the search.
            Automaton::Combined(AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(short.keys()).ok()?)
        };
        let long_values = PartialMatcher::new(long.into_iter().map(|(value, kind)| (value.to_owned(), kind)).collect());
        Some(Self { automaton, kinds: short.into_values().collect(), long_values })
    }

    /// The kind of the first value that occurs in `raw` as whole words, if any.
    pub(in crate::redact) fn first_kind_in(&self, raw: &str, custom: &CustomDetectors) -> Option<&'static str> {
        let decoded = DecodedText::new(raw);
        self.matches_in(Text(decoded.text()), &Scanner::new(custom))
            .into_iter()
            .find(|found| found.range.len() >= REPEATED_BYTES_MIN)
            .map(|found| found.kind)
    }

    /// Adds the occurrences of the values in `raw` to its detections.
    pub(in crate::redact) fn add_repeats(&self, raw: &str, scanner: &Scanner<'_>, detections: &mut Vec<Detection>) {
        let decoded = DecodedText::new(raw);
        let repeats = self.matches_in(Text(decoded.text()), scanner);
        if !repeats.is_empty() {
            detections.extend(to_detections(&decoded, repeats));
            merge_overlaps(detections);
        }
    }

    /// Every occurrence of the values in a decoded text. Matches may overlap.
    pub(super) fn matches_in(&self, text: Text<'_>, scanner: &Scanner<'_>) -> Vec<Match> {
        let mut found = Vec::new();
        match &self.automaton {
            Automaton::Sequential(finders) => {
                for (finder, kind) in finders.iter().zip(&self.kinds) {
                    let len = finder.needle().len();
                    let positions = finder.find_iter(text.bytes()).take_while(|_| !scanner.is_timed_out());
                    found.extend(positions.filter_map(|at| repeated(text, at..at + len, kind)));
                }
            }
            Automaton::Combined(automaton) => {
                // Overlapping matches are needed because one value may be a part of another.
                for occurrence in automaton.find_overlapping_iter(text.0).take_while(|_| !scanner.is_timed_out()) {
                    let kind = self.kinds.get(occurrence.pattern().as_usize()).copied().unwrap_or_default();
                    found.extend(repeated(text, occurrence.range(), kind));
                }
            }
        }
        if let Some(long_values) = &self.long_values {
            long_values.find(text, scanner, &mut found);
        }
        found
    }
}

/// The match of a repeated value at `range`, if the value is a whole word there.
fn repeated(text: Text<'_>, range: Range<usize>, kind: &'static str) -> Option<Match> {
    let starts = text.is_word_start(range.start) || text.char_at(range.start).is_some_and(is_cjk);
    let ends = text.is_word_end(range.end) || text.char_before(range.end).is_some_and(is_cjk);
    // A name is not a name inside an identifier (`_Ada`, `$Ada`), a path of code (`Ada::new`) or a tag (`<Ada`).
    let is_code = matches!(text.byte_before(range.start), b'<' | b'_' | b'$')
        || (text.byte_at(range.end) == b':' && text.byte_at(range.end + 1) == b':');
    (starts && ends && !(is_code && kind == "person")).then_some(Match { range, kind, detector: "value detected elsewhere" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_values_and_many_are_found_in_the_same_way() {
        let detection = |value: String| Detection { range: 0..value.len(), kind: "password", detector: "", value };
        for count in [3, 40] {
            let mut detections: Vec<Detection> = (0..count).map(|index| detection(format!("filler-{index:03}"))).collect();
            // The second begins inside the first.
            detections.extend([detection("alpha beta7".into()), detection("beta7 gamma".into())]);
            let values = KnownValues::new(&detections).unwrap();
            let mut found = Vec::new();
            let text = "so alpha beta7 gamma, filler-001 and filler-0012";
            let custom = CustomDetectors::default();
            values.add_repeats(text, &Scanner::new(&custom), &mut found);
            let shown: Vec<&str> = found.iter().filter_map(|detection| text.get(detection.range.clone())).collect();
            assert_eq!(shown, ["alpha beta7 gamma", "filler-001"], "{count} values");
        }
    }
}
