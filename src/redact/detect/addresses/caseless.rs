//! Addresses in scripts without capitals (Arabic, Hebrew, Thai, Georgian, the scripts of India): a street word with a number near it.

use std::ops::Range;

use super::super::text::Text;
use super::parts::is_caseless_street_word;

/// Length of an address on either side of its number.
const SIDE_BYTES_MAX: usize = 160;

/// Words after the last number or comma, which may be the town.
const LAST_WORDS_MAX: usize = 2;

fn is_caseless(letter: char) -> bool {
    matches!(letter, '\u{590}'..='\u{7ff}' | '\u{900}'..='\u{e7f}' | '\u{10d0}'..='\u{10ff}' | '\u{200c}') && !is_separator(letter)
}

fn is_separator(letter: char) -> bool {
    matches!(letter, ',' | '،')
}

/// The address around the number at `at..end`.
pub(super) fn at_number(text: Text<'_>, at: usize, end: usize) -> Option<Range<usize>> {
    // Cheap to exclude: a letter of these scripts is next to the number.
    let is_near = |index: usize| text.byte_at(index) >= 0xd6 && text.byte_at(index) < 0xe3;
    let next = text.skip_while(end, 4, |byte| matches!(byte, b' ' | b',' | b'/' | b'0'..=b'9'));
    let left = text.skip_back_while(at, 2, |byte| matches!(byte, b' ' | b','));
    let before = if text.byte_before(left) < 0x80 { None } else { text.char_before(left) };
    if !(is_near(next) || before.is_some_and(|letter| is_caseless(letter) || letter == '،')) {
        return None;
    }
    let from = text.0.floor_char_boundary(at.saturating_sub(SIDE_BYTES_MAX));
    let left = text.slice(from..at);
    let line = left.rfind(['\n', '"', '<', '|', ':', ';', '(']).map_or(0, |index| index + 1);
    let line_start = from
        + text
            .0
            .get(from + line..)
            .map_or(line, |rest| line + rest.chars().next().map_or(0, |c| if is_caseless(c) || c.is_ascii() { 0 } else { c.len_utf8() }));
    // The first street word before the number, or the number itself if one follows.
    let words = words_of(text, line_start, at);
    let street = words.iter().find(|range| is_street(text, range));
    let start = street.map_or(at, |range| range.start);
    let is_followed = || {
        let right = words_of(text, end, text.0.floor_char_boundary((end + 60).min(text.len())));
        right.iter().take(2).any(|range| is_street(text, range))
    };
    if street.is_none() && !is_followed() {
        return None;
    }
    // A house number before the street word: `661 نهج النيل`.
    let number = text.skip_back_while(start, 8, |byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'/'));
    let start = start - text.slice(number..start).trim_start().len();
    Some(start..extend(text, end))
}

fn is_street(text: Text<'_>, range: &Range<usize>) -> bool {
    let word = text.slice(range.clone());
    is_caseless_street_word(word)
        || is_caseless_street_word(word.trim_end_matches('.'))
        // Thai words are joined: `ถนนสุขุมวิท`, `ต.บางรัก`.
        || ["ถนน", "ซอย", "แขวง", "เขต", "ตำบล", "อำเภอ", "จังหวัด", "หมู่", "ต.", "อ.", "จ.", "ถ.", "ซ."].iter().any(|prefix| word.starts_with(prefix))
}

/// The words of these scripts between two positions.
fn words_of(text: Text<'_>, start: usize, end: usize) -> Vec<Range<usize>> {
    let shown = text.slice(start..end);
    let mut words = Vec::new();
    let mut word: Option<usize> = None;
    for (index, letter) in shown.char_indices().chain([(shown.len(), ' ')]) {
        let is_part = is_caseless(letter) || word.is_some() && matches!(letter, '.' | '\'' | '"');
        match (word, is_part) {
            (None, true) => word = Some(index),
            (Some(from), false) => {
                words.push(start + from..start + index);
                word = None;
            }
            _ => {}
        }
    }
    words
}

/// The end of the address after its first number: words of these scripts, numbers and commas, to the postal code or two words after the
/// last
/// comma.
fn extend(text: Text<'_>, from: usize) -> usize {
    let window = text.window(from, SIDE_BYTES_MAX);
    let mut end = 0;
    let (mut words, mut has_break) = (0, false);
    let mut at = 0;
    while let Some(letter) = window.get(at..).and_then(|rest| rest.chars().next()) {
        if letter.is_ascii_digit() {
            let rest = window.get(at..).unwrap_or_default();
            let len = rest.find(|c: char| !c.is_ascii_digit() && !matches!(c, '/' | '-')).unwrap_or(rest.len());
            at += len;
            end = at;
            words = 0;
            if (5..=10).contains(&len) {
                break;
            }
        } else if is_caseless(letter) {
            let rest = window.get(at..).unwrap_or_default();
            let len = rest.find(|c: char| !is_caseless(c) && c != '.' && c != '\'').unwrap_or(rest.len());
            words += 1;
            at += len;
            if has_break && words <= LAST_WORDS_MAX + 1 || is_street(text, &(from + at - len..from + at)) {
                end = at;
            }
            if words > LAST_WORDS_MAX + 2 {
                break;
            }
        } else if is_separator(letter) || letter == ' ' || letter == '/' || letter == '-' {
            has_break |= is_separator(letter);
            words = if is_separator(letter) { 0 } else { words };
            at += letter.len_utf8();
        } else {
            break;
        }
    }
    from + end
}

/// The address after a label in a sentence.
pub(super) fn after_label(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let at = text.skip_while(start, 2, |byte| matches!(byte, b' ' | b':'));
    let window = text.window(at, 80);
    if !window.starts_with(is_caseless) {
        return None;
    }
    let digit = window.find(|letter: char| letter.is_ascii_digit())?;
    let is_plain =
        window.get(..digit)?.chars().all(|letter| is_caseless(letter) || is_separator(letter) || matches!(letter, ' ' | '.' | '\''));
    let end = text.skip_while(at + digit, 8, |byte| byte.is_ascii_digit());
    is_plain.then(|| at..extend(text, end).max(end))
}
