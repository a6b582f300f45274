//! Pieces of long values: a key file without its frame, a token that a log cut off.

use std::collections::BTreeMap;

use aho_corasick::AhoCorasick;

use super::text::Text;
use super::{Found, Search};

/// A shorter piece tells nothing of a value that is longer than [`LONG_BYTES_MIN`].
const PIECE_BYTES_MIN: usize = 32;

/// A value of this many bytes is looked for in pieces too.
pub(super) const LONG_BYTES_MIN: usize = 64;

/// Bytes that are searched for, at every multiple of so many in a value: a piece of twice that holds one of them.
const CHUNK_BYTES: usize = 24;

/// Chunks of all values together. Of the values past it only the first chunk is searched for.
const CHUNKS_MAX: usize = 8192;

/// Long values, to be found in whole or in part.
#[derive(Debug)]
pub(super) struct Pieces {
    values: Vec<(String, &'static str)>,
    chunks: AhoCorasick,
    /// For each chunk its value and where it stands there.
    places: Vec<(usize, usize)>,
}

impl Pieces {
    /// `None` where there are no values.
    pub(super) fn new(values: Vec<(String, &'static str)>) -> Option<Self> {
        let mut places: BTreeMap<&[u8], (usize, usize)> = BTreeMap::new();
        for (index, (value, _)) in values.iter().enumerate() {
            for (number, chunk) in value.as_bytes().chunks_exact(CHUNK_BYTES).enumerate() {
                if number > 0 && places.len() >= CHUNKS_MAX {
                    break;
                }
                places.entry(chunk).or_insert((index, number * CHUNK_BYTES));
            }
        }
        if places.is_empty() {
            return None;
        }
        let chunks = AhoCorasick::builder().build(places.keys()).ok()?;
        let places = places.into_values().collect();
        Some(Self { values, chunks, places })
    }

    /// Adds every place where one of the values or a piece of it stands.
    pub(super) fn find(&self, text: Text<'_>, search: &Search<'_>, found: &mut Vec<Found>) {
        let mut covered = 0;
        for hit in self.chunks.find_iter(text.bytes()).take_while(|_| !search.is_over()) {
            let place = self.places.get(hit.pattern().as_usize());
            let Some((offset, (value, kind))) = place.and_then(|(index, offset)| Some((*offset, self.values.get(*index)?))) else {
                continue;
            };
            if hit.start() < covered {
                continue;
            }
            let value = value.as_bytes();
            let same = |pair: &(&u8, &u8)| pair.0 == pair.1;
            let left = text.bytes().get(covered..hit.start()).unwrap_or_default().iter().rev();
            let left = left.zip(value.get(..offset).unwrap_or_default().iter().rev()).take_while(same).count();
            let right = text.bytes().get(hit.end()..).unwrap_or_default().iter();
            let right = right.zip(value.get(offset + CHUNK_BYTES..).unwrap_or_default()).take_while(same).count();
            let range = text.0.floor_char_boundary(hit.start() - left)..text.0.ceil_char_boundary(hit.end() + right);
            if range.len() >= PIECE_BYTES_MIN {
                covered = range.end;
                found.push(Found { range, kind, why: "a piece of it is found elsewhere too" });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::CustomDetectors;
    use super::*;

    fn pieces_in(value: &str, text: &str) -> Vec<String> {
        let pieces = Pieces::new(vec![(value.to_owned(), "generic_secret")]).unwrap();
        let own = CustomDetectors::default();
        let mut found = Vec::new();
        pieces.find(Text(text), &Search::new(&own), &mut found);
        found.into_iter().map(|found| text.get(found.range).unwrap().to_owned()).collect()
    }

    #[test]
    fn a_value_is_found_in_whole_and_in_part() {
        let value: String = (0..60).map(|number| format!("{:x}", number * 7919 % 65_521)).collect::<Vec<_>>().join("Z");
        assert_eq!(pieces_in(&value, &format!("x{value}y {value}")), [value.as_str(), &value]);
        for (from, to) in [(0, 60), (1, 80), (37, 90), (100, 160)] {
            let piece = value.get(from..to).unwrap();
            assert_eq!(pieces_in(&value, &format!("cut: {piece}… and more")), [piece], "{from}..{to}");
        }
        assert!(pieces_in(&value, value.get(30..54).unwrap()).is_empty());
    }

    #[test]
    fn a_piece_ends_at_whole_characters() {
        let value = "ключ".repeat(30);
        assert_eq!(pieces_in(&value, &format!("é{}é", value.get(8..100).unwrap_or_default())).len(), 1);
    }

    #[test]
    fn a_value_that_repeats_itself_takes_linear_time() {
        let value = "k7Qx".repeat(2_000);
        let text = "k7Qx".repeat(500_000);
        assert!(pieces_in(&value, &text).concat().len() > text.len() / 100 * 99);
    }
}
