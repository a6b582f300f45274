//! Finds repeated occurrences of detected values: a password found by its label is also replaced in the chat message that quotes it.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

use foldhash::fast::RandomState;

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
    short_values: ShortValues,
    /// Finds the long values, in whole or in part.
    long_values: Option<PartialMatcher>,
}

#[derive(Debug)]
enum ShortValues {
    /// A few values, with their kinds, are searched one after the other.
    Few(Vec<(memchr::memmem::Finder<'static>, &'static str)>),
    /// Many values are looked up at every position.
    Many(ValueTable),
}

/// A hash table of values of less than [`LONG_BYTES_MIN`] bytes. It is built in a fraction of the time of an automaton, and each text may need
/// its own.
#[derive(Debug)]
struct ValueTable {
    kinds: HashMap<Vec<u8>, &'static str, RandomState>,
    /// For the first three bytes of a value, the lengths of the values that start with them, as a bit set.
    lengths: HashMap<[u8; 3], u64, RandomState>,
    /// Whether any value starts with three bytes of this hash: excludes most positions before the lookup in `lengths`.
    starts: Vec<bool>,
}

const START_BITS: u32 = 13;

#[inline]
fn start_hash([a, b, c]: [u8; 3]) -> usize {
    (u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - START_BITS)) as usize
}

impl ValueTable {
    fn new<'v>(values: impl IntoIterator<Item = (&'v str, &'static str)>) -> Self {
        let mut table = Self { kinds: HashMap::default(), lengths: HashMap::default(), starts: vec![false; 1 << START_BITS] };
        for (value, kind) in values {
            let Some(start) = value.as_bytes().first_chunk() else { continue };
            table.kinds.insert(value.as_bytes().to_vec(), kind);
            *table.lengths.entry(*start).or_default() |= 1 << (value.len() % LONG_BYTES_MIN);
            if let Some(is_start) = table.starts.get_mut(start_hash(*start)) {
                *is_start = true;
            }
        }
        table
    }

    /// Calls `found` with every value in a text.
    fn find(&self, text: Text<'_>, scanner: &Scanner<'_>, found: &mut dyn FnMut(Range<usize>, &'static str)) {
        let bytes = text.bytes();
        for (at, start) in bytes.windows(3).enumerate() {
            let Some(start) = start.first_chunk() else { continue };
            if self.starts.get(start_hash(*start)) != Some(&true) {
                continue;
            }
            if scanner.is_timed_out() {
                return;
            }
            let mut lengths = self.lengths.get(start).copied().unwrap_or(0);
            while lengths != 0 {
                let len = lengths.trailing_zeros() as usize;
                lengths &= lengths - 1;
                if let Some(kind) = bytes.get(at..at + len).and_then(|value| self.kinds.get(value)) {
                    found(at..at + len, kind);
                }
            }
        }
    }
}

impl KnownValues {
    /// `None` if no value is worth searching for.
    pub(in crate::redact) fn new<'h>(detections: impl IntoIterator<Item = &'h Detection>) -> Option<Self> {
        const FEW: usize = 8;
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
        let short_values = if short.len() <= FEW {
            let finder = |value: &str| memchr::memmem::Finder::new(value.as_bytes()).into_owned();
            ShortValues::Few(short.into_iter().map(|(value, kind)| (finder(value), kind)).collect())
        } else {
            ShortValues::Many(ValueTable::new(short))
        };
        let long_values = PartialMatcher::new(long.into_iter().map(|(value, kind)| (value.to_owned(), kind)).collect());
        Some(Self { short_values, long_values })
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
        match &self.short_values {
            ShortValues::Few(finders) => {
                for (finder, kind) in finders {
                    let len = finder.needle().len();
                    let positions = finder.find_iter(text.bytes()).take_while(|_| !scanner.is_timed_out());
                    found.extend(positions.filter_map(|at| repeated(text, at..at + len, kind)));
                }
            }
            ShortValues::Many(table) => {
                table.find(text, scanner, &mut |range, kind| found.extend(repeated(text, range, kind)));
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
    #[test]
    fn values_with_equal_beginnings_take_linear_time() {
        let detection = |value: String| Detection { range: 0..value.len(), kind: "password", detector: "", value };
        let values: Vec<Detection> =
            (0..20_000).map(|index| detection(format!("customer-{index:0width$}", width = 6 + index % 40))).collect();
        let values = KnownValues::new(&values).unwrap();
        let text = "customer-0000001 customer-".repeat(50_000);
        let start = crate::redact::tests::thread_seconds();
        let custom = CustomDetectors::default();
        assert!(values.matches_in(Text(&text), &Scanner::new(&custom)).len() >= 50_000);
        assert!(crate::redact::tests::thread_seconds() - start < 5.0);
    }
}
