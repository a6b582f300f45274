//! Finds long values in whole or in part: a key file without its header and footer, a token that was truncated in a log.
//!
//! Substrings at fixed offsets of each value ("anchors") are looked up at every position of a text. Each anchor that is found is extended to
//! both sides as far as text and value agree. A hash table of the anchors is built in a fraction of the time of an automaton, which matters
//! because each text with a long value needs its own.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::text::Text;
use super::{Match, Scanner};

/// Shorter parts reveal little of a value of [`LONG_BYTES_MIN`] bytes.
const PARTIAL_MATCH_BYTES_MIN: usize = 32;

/// Values of at least this length are also searched in part.
pub(super) const LONG_BYTES_MIN: usize = 64;

/// Length of an anchor, and distance between two anchors of a value. Every part of twice this length contains an anchor.
const ANCHOR_BYTES: usize = 24;

/// Anchors of all values together. Beyond it, only the first anchor of a value is searched.
const ANCHORS_MAX: usize = 8192;

/// Searches texts for long values, in whole or in part.
#[derive(Debug)]
pub(super) struct PartialMatcher {
    /// Values with their kinds.
    values: Vec<(String, &'static str)>,
    /// For each anchor, the index of its value and its offset in it.
    anchors: HashMap<[u8; ANCHOR_BYTES], (usize, usize), RandomState>,
    /// Whether any anchor starts with eight bytes of this hash: excludes most positions before the lookup in `anchors`.
    starts: Vec<bool>,
}

const START_BITS: u32 = 12;

/// A hash of the first eight bytes.
#[inline]
fn start_hash(bytes: [u8; 8]) -> usize {
    (u64::from_le_bytes(bytes).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - START_BITS)) as usize
}

impl PartialMatcher {
    /// `None` if there are no values.
    pub(super) fn new(values: Vec<(String, &'static str)>) -> Option<Self> {
        let mut anchors: HashMap<[u8; ANCHOR_BYTES], (usize, usize), RandomState> = HashMap::default();
        let mut starts = Vec::new();
        for (index, (value, _)) in values.iter().enumerate() {
            for (number, anchor) in value.as_bytes().as_chunks::<ANCHOR_BYTES>().0.iter().enumerate() {
                if number > 0 && anchors.len() >= ANCHORS_MAX {
                    break;
                }
                anchors.entry(*anchor).or_insert((index, number * ANCHOR_BYTES));
                starts.resize(1 << START_BITS, false);
                if let Some(start) = anchor.first_chunk().and_then(|start| starts.get_mut(start_hash(*start))) {
                    *start = true;
                }
            }
        }
        (!anchors.is_empty()).then_some(Self { values, anchors, starts })
    }

    /// The first anchor at `from` or later, with its position.
    fn next_anchor(&self, bytes: &[u8], from: usize) -> Option<(usize, (usize, usize))> {
        bytes.get(from..)?.windows(ANCHOR_BYTES).enumerate().find_map(|(distance, window)| {
            let may_start = self.starts.get(start_hash(*window.first_chunk()?)) == Some(&true);
            let origin = may_start.then(|| self.anchors.get(window)).flatten()?;
            Some((from + distance, *origin))
        })
    }

    /// Adds every occurrence of a value or a part of it.
    pub(super) fn find(&self, text: Text<'_>, scanner: &Scanner<'_>, matches: &mut Vec<Match>) {
        let (mut covered, mut from) = (0, 0);
        while let Some((at, (index, offset))) = self.next_anchor(text.bytes(), from).filter(|_| !scanner.is_timed_out()) {
            from = at + 1;
            let Some((value, kind)) = self.values.get(index) else { continue };
            let value = value.as_bytes();
            let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
            let left = text.bytes().get(covered..at).unwrap_or_default().iter().rev();
            let left = left.zip(value.get(..offset).unwrap_or_default().iter().rev()).take_while(same).count();
            let right = text.bytes().get(at + ANCHOR_BYTES..).unwrap_or_default().iter();
            let right = right.zip(value.get(offset + ANCHOR_BYTES..).unwrap_or_default()).take_while(same).count();
            let range = text.0.floor_char_boundary(at - left)..text.0.ceil_char_boundary(at + ANCHOR_BYTES + right);
            if range.len() >= PARTIAL_MATCH_BYTES_MIN {
                (covered, from) = (range.end, range.end);
                matches.push(Match { range, kind, detector: "part of a value detected elsewhere" });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CustomDetectors;
    use super::*;

    fn parts_in(value: &str, text: &str) -> Vec<String> {
        let matcher = PartialMatcher::new(vec![(value.to_owned(), "generic_secret")]).unwrap();
        let custom = CustomDetectors::default();
        let mut found = Vec::new();
        matcher.find(Text(text), &Scanner::new(&custom), &mut found);
        found.into_iter().map(|found| text.get(found.range).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_value_is_found_in_whole_and_in_part() {
        let value: String = (0..60).map(|number| format!("{:x}", number * 7919 % 65_521)).collect::<Vec<_>>().join("Z");
        assert_eq!(parts_in(&value, &format!("x{value}y {value}")), [value.as_str(), &value]);
        for (from, to) in [(0, 60), (1, 80), (37, 90), (100, 160)] {
            let part = value.get(from..to).unwrap();
            assert_eq!(parts_in(&value, &format!("cut: {part}… and more")), [part], "{from}..{to}");
        }
        assert!(parts_in(&value, value.get(30..54).unwrap()).is_empty());
    }

    #[test]
    fn partial_matches_end_at_character_boundaries() {
        let value = "ключ".repeat(30);
        assert_eq!(parts_in(&value, &format!("é{}é", value.get(8..100).unwrap_or_default())).len(), 1);
    }

    #[test]
    fn a_self_repeating_value_takes_linear_time() {
        let value = "k7Qx".repeat(2_000);
        let text = "k7Qx".repeat(500_000);
        assert!(parts_in(&value, &text).concat().len() > text.len() / 100 * 99);
    }
}
