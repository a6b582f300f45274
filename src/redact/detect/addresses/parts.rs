//! The parts of an address: words, street words, numbers and codes (`rules/street_words.txt`).

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::super::lexicon::look_up;
use super::super::text::{Text, WordFilter, is_cjk, lowered};

/// Length of one word or number of an address.
const PART_BYTES_MAX: usize = 64;

/// A part of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) range: Range<usize>,
    pub(super) kind: PartKind,
    /// Whether a comma or a line feed precedes it.
    pub(super) starts_segment: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartKind {
    /// A capitalized word: `Stuttgart`.
    Capital,
    /// A word for a street: `Street`, `Schenkstraße`.
    Street,
    /// A word for a street that is also another word, and counts after a house number and a name: `12 Qoru Run`.
    WeakStreet,
    /// A word for a house or a part of it, or for a district: `Apt`, `RT`.
    Unit,
    /// `7`, `51/238`, `10d`, `62634`.
    Number,
    /// A short code of capitals and digits: `MI`, `L2`, `5QL`.
    Code,
    /// A small word inside a name: `de la`, `im`.
    Particle,
}

/// The part of a chain at `at`. `lower_case` tells whether a street word may be in lower case, as at the start of a segment (`rue de …`).
pub(super) fn part_at(text: Text<'_>, at: usize, lower_case: bool) -> Option<Part> {
    let rest = text.window(at, PART_BYTES_MAX);
    let first = rest.chars().next()?;
    // "No number", or an abbreviation of "number".
    if matches!(first, 'S' | 's' | 'N' | 'n')
        && let Some(marker) = ["S/N", "s/n", "N°", "n°", "Nº", "nº"].into_iter().find(|marker| rest.starts_with(marker))
    {
        return Some(part(at, marker.len(), PartKind::Number));
    }
    // Dutch: `'s-Gravenhage`.
    if rest.starts_with("'s-") {
        let inner = part_at(text, at + 3, false)?;
        return Some(part(at, inner.range.end - at, PartKind::Capital));
    }
    if first == '#' {
        let digits = text.skip_while(at + 1, 1, |byte| byte == b' ');
        let end = text.skip_while(digits, 8, |byte| byte.is_ascii_alphanumeric() || byte == b'-');
        return text.byte_at(digits).is_ascii_digit().then(|| part(at, end - at, PartKind::Number));
    }
    if first.is_ascii_digit() {
        return number_at(text, at);
    }
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    word_at(text, at, lower_case)
}

fn part(at: usize, len: usize, kind: PartKind) -> Part {
    Part { range: at..at + len, kind, starts_segment: false }
}

/// The number of a house or flat, or a postal code, that starts at `at`.
fn number_at(text: Text<'_>, at: usize) -> Option<Part> {
    let end = text.skip_while(at, 14, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-'));
    let shown = text.slice(at..end).trim_end_matches(['-', '/']);
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    let letters = shown.bytes().filter(u8::is_ascii_alphabetic).count();
    let longest = shown.split(['-', '/']).map(str::len).max().unwrap_or(0);
    // An ordinal of a floor: `3º`, `3.º`.
    let after = text.rest(at + shown.len());
    if after.starts_with(['.', '-', 'º', 'ª', '°'])
        && let Some(ordinal) = ["º", "ª", ".º", ".ª", "°", "-й", "-я", "-е"].into_iter().find(|ordinal| after.starts_with(ordinal))
    {
        return (digits <= 3).then(|| part(at, shown.len() + ordinal.len(), PartKind::Number));
    }
    // `7`, `51/238`, `10d`, but not a decimal number, a time, a percentage, an id or a phone number.
    let is_integer = text.byte_at(at + shown.len()) != b'.' || !text.byte_at(at + shown.len() + 1).is_ascii_digit();
    (digits <= 9
        && longest <= 8
        && letters <= 4
        && is_integer
        && text.byte_at(at + shown.len()) != b':'
        && text.byte_at(at + shown.len()) != b'%')
        .then(|| part(at, shown.len(), PartKind::Number))
}

/// The word or code that starts with the letter at `at`.
fn word_at(text: Text<'_>, at: usize, lower_case: bool) -> Option<Part> {
    let rest = text.window(at, PART_BYTES_MAX);
    let first = rest.chars().next()?;
    let end = ascii_word_len(rest).unwrap_or_else(|| word_len(rest));
    let shown = rest.get(..end)?;
    let has_digit = shown.bytes().any(|byte| byte.is_ascii_digit());
    if has_digit {
        let is_postal_code = shown.len() <= 8 && shown.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        return is_postal_code.then(|| part(at, end, PartKind::Code));
    }
    let mut buffer = [0; 64];
    let lower = lowered(shown, &mut buffer);
    let word = lower.trim_end_matches('.');
    let is_capital = first.is_uppercase();
    let class = street_class(word);
    match class {
        Some(WordClass::Street) if is_capital || lower_case || is_lower_case_street_word(word) => {
            return Some(part(at, end, PartKind::Street));
        }
        Some(WordClass::Unit) if is_capital || lower_case || is_before_number(text, at + end) => {
            return Some(part(at, end, PartKind::Unit));
        }
        // `Gedimino pr. 9`.
        Some(WordClass::WeakStreet) if !is_capital && is_before_number(text, at + end) && text.byte_before(at) == b' ' => {
            return Some(part(at, end, PartKind::Street));
        }
        Some(WordClass::WeakStreet) if is_capital => return Some(part(at, end, PartKind::WeakStreet)),
        _ => {}
    }
    if is_capital {
        let (count, is_capitals, is_code_name) = if shown.is_ascii() {
            let bytes = shown.as_bytes();
            let turns_upper = |pair: &[u8]| matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase());
            (bytes.len(), bytes.iter().all(u8::is_ascii_uppercase), bytes.windows(2).any(turns_upper))
        } else {
            let turns_upper = shown.chars().zip(shown.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
            (shown.chars().count(), shown.chars().all(char::is_uppercase), turns_upper)
        };
        if is_capitals && (2..=3).contains(&count) {
            return Some(part(at, end, PartKind::Code));
        }
        return (!is_code_name || is_family_prefix(shown)).then(|| part(at, end, PartKind::Capital));
    }
    // `Rákóczi ferenc út`, `Vak bottyán köz`: a word in lower case before a street word.
    (STREET_WORDS.particles.contains(lower.as_ref())).then(|| part(at, end, PartKind::Particle))
}

/// The length of the word at the start of a text. Apostrophes, hyphens and full stops inside it belong to it.
fn word_len(text: &str) -> usize {
    let mut end = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((index, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        let continues = letter.is_alphanumeric() || (matches!(letter, '\'' | '’' | '-' | '.') && next.is_some_and(char::is_alphanumeric));
        // `Guna-668403`, `RT.02`: the number is a separate part.
        if !continues || (matches!(letter, '-' | '.') && next.is_some_and(|next| next.is_ascii_digit())) {
            break;
        }
        end = index + letter.len_utf8();
    }
    end
}

/// As [`word_len`], for a word that is of ASCII and before a byte that is.
fn ascii_word_len(text: &str) -> Option<usize> {
    let mut bytes = text.bytes().enumerate().peekable();
    while let Some((index, byte)) = bytes.next() {
        let next = bytes.peek().map_or(0, |(_, next)| *next);
        let is_inner_mark = matches!(byte, b'\'' | b'-' | b'.');
        if byte >= 0x80 || (is_inner_mark && next >= 0x80) {
            return None;
        }
        let continues = byte.is_ascii_alphanumeric() || (is_inner_mark && next.is_ascii_alphanumeric());
        if !continues || (matches!(byte, b'-' | b'.') && next.is_ascii_digit()) {
            return Some(index);
        }
    }
    Some(text.len())
}

fn is_family_prefix(word: &str) -> bool {
    ["Mc", "Mac", "De", "Di", "Le", "La", "Van", "O'", "D'", "L'"].iter().any(|prefix| word.starts_with(prefix))
}

/// Whether a number, or a code of one letter, follows a unit word in lower case: `apt 5b`, `кв. 5`, `bâtiment B`.
fn is_before_number(text: Text<'_>, end: usize) -> bool {
    let at = text.skip_while(end, 2, |byte| matches!(byte, b' ' | b'.' | b':'));
    at > end && (text.byte_at(at).is_ascii_digit() || (text.byte_at(at).is_ascii_uppercase() && text.is_word_end(at + 1)))
}

/// Whether a street word may be in lower case inside a segment: in languages that write it so.
fn is_lower_case_street_word(word: &str) -> bool {
    !look_up(word).is_common_word()
        || look_up(word).is_common_elsewhere()
        || matches!(word, "via" | "avenue" | "boulevard" | "av" | "str" | "rue")
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WordClass {
    Street,
    WeakStreet,
    Unit,
}

/// What a word in lower case means in an address.
pub(super) fn street_class(word: &str) -> Option<WordClass> {
    let class = if STREET_WORDS.words_filter.may_contain(word) { STREET_WORDS.words.get(word).copied() } else { None };
    class.or_else(|| has_street_ending(word).then_some(WordClass::Street))
}

/// `schenkstraße`: the name of a street and a word for it. `-ring` is such a word; `substring` is not a street.
fn has_street_ending(word: &str) -> bool {
    const ENDING_BYTES: std::ops::RangeInclusive<usize> = 3..=10;
    word.len() > 6
        && word.as_bytes().last_chunk().is_some_and(|last| STREET_WORDS.has_last_bytes(*last))
        && !word.ends_with("tring")
        && ENDING_BYTES
            .filter(|len| len + 2 < word.len())
            .any(|len| word.get(word.len() - len..).is_some_and(|ending| STREET_WORDS.endings.contains(ending)))
}

/// Whether a word in lower case means a street.
pub(super) fn is_street_word(word: &str) -> bool {
    street_class(word) == Some(WordClass::Street)
}

/// Whether a word in lower case ends the name of a house: `Orchid Towers`.
pub(super) fn is_building_word(word: &str) -> bool {
    STREET_WORDS.buildings.contains(word)
}

/// The length of the post-office box or route whose number starts at `at`: the bytes of `PO Box ` before it, and whether the words mean
/// nothing
/// else.
pub(super) fn box_before(text: Text<'_>, at: usize) -> Option<(usize, bool)> {
    const BOX_BYTES_MAX: usize = 32;
    let end = text.skip_back_while(at, 3, |byte| matches!(byte, b' ' | b'.' | b':' | b'#' | b'X'));
    if end == at {
        return None;
    }
    let last = text.byte_before(end);
    if last.is_ascii() && !last.is_ascii_alphabetic() {
        return None;
    }
    // Most words before a number are excluded by one lookup without an allocation.
    let word_start = text.skip_back_while(end, 16, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let word = text.slice(word_start..end);
    if !STREET_WORDS.box_ends_filter.may_contain(word) || !STREET_WORDS.box_ends.contains(lowered(word, &mut [0; 64]).as_ref()) {
        return None;
    }
    let left = text.slice(text.0.floor_char_boundary(end.saturating_sub(BOX_BYTES_MAX))..end);
    STREET_WORDS.boxes.iter().find_map(|(words, is_strong)| {
        let len: usize = left.chars().rev().take(words.chars().count()).map(char::len_utf8).sum();
        let shown = left.get(left.len() - len..)?;
        let is_there = lower(shown) == words.as_str() && text.is_word_start(end - len);
        // `pl 3` in a sentence is not a box; short words are in capitals.
        let is_short = words.len() <= 3 && shown.chars().any(char::is_lowercase);
        (is_there && !is_short).then_some((at - end + len, *is_strong))
    })
}

/// A word in lower case, borrowed if it is.
pub(super) fn lower(word: &str) -> Cow<'_, str> {
    if word.bytes().all(|byte| byte < 0x80 && !byte.is_ascii_uppercase()) { Cow::Borrowed(word) } else { Cow::Owned(word.to_lowercase()) }
}

/// The contents of `rules/street_words.txt`.
#[derive(Debug, Default)]
struct StreetWords {
    words: HashMap<&'static str, WordClass, FixedState>,
    words_filter: WordFilter,
    endings: HashSet<&'static str, FixedState>,
    /// The hashes of the last three bytes of `endings`, as a bit set: excludes most words.
    last_bytes: Vec<u64>,
    buildings: HashSet<&'static str, FixedState>,
    particles: HashSet<&'static str, FixedState>,
    /// Post-office boxes, the longest first; true if the words mean nothing else.
    boxes: Vec<(String, bool)>,
    /// The last words of `boxes`.
    box_ends: HashSet<&'static str, FixedState>,
    box_ends_filter: WordFilter,
    caseless: HashSet<&'static str, FixedState>,
}

impl StreetWords {
    const LAST_BITS: u32 = 12;

    fn last_hash([a, b, c]: [u8; 3]) -> usize {
        (u32::from_le_bytes([a, b, c, 0]).wrapping_mul(0x9e37_79b1) >> (32 - Self::LAST_BITS)) as usize
    }

    fn has_last_bytes(&self, last: [u8; 3]) -> bool {
        let hash = Self::last_hash(last);
        self.last_bytes.get(hash / 64).is_some_and(|bits| (bits >> (hash % 64)) & 1 == 1)
    }
}

/// Whether a word means a street, a district or a box in a script without capitals.
pub(super) fn is_caseless_street_word(word: &str) -> bool {
    STREET_WORDS.caseless.contains(word)
}

static STREET_WORDS: LazyLock<StreetWords> = LazyLock::new(|| {
    let mut table = StreetWords::default();
    let lines = include_str!("../rules/street_words.txt").lines().filter(|line| !line.starts_with('#'));
    for (class, words) in lines.filter_map(|line| line.split_once(": ")) {
        for word in words.split(' ') {
            if matches!(class, "street" | "weak street" | "unit" | "code") {
                table.words_filter.insert(word);
            }
            match class {
                "street" => {
                    table.words.insert(word, WordClass::Street);
                }
                "weak street" => {
                    table.words.entry(word).or_insert(WordClass::WeakStreet);
                }
                "unit" | "code" => {
                    table.words.entry(word).or_insert(WordClass::Unit);
                }
                "ending" => {
                    table.endings.insert(word);
                }
                "building" => {
                    table.buildings.insert(word);
                }
                "particle" => {
                    table.particles.insert(word);
                }
                "box" | "weak box" => {
                    table.boxes.push((word.replace('_', " "), class == "box"));
                    let end = word.rsplit(['_', '.', '/']).next().unwrap_or(word);
                    table.box_ends.insert(end);
                    table.box_ends_filter.insert(end);
                }
                _ => {
                    table.caseless.insert(word);
                }
            }
        }
    }
    table.last_bytes = vec![0; 1 << (StreetWords::LAST_BITS - 6)];
    for last in table.endings.iter().filter_map(|ending| ending.as_bytes().last_chunk()) {
        let hash = StreetWords::last_hash(*last);
        if let Some(bits) = table.last_bytes.get_mut(hash / 64) {
            *bits |= 1 << (hash % 64);
        }
    }
    table.boxes.sort_by_key(|(words, _)| std::cmp::Reverse(words.len()));
    table
});
