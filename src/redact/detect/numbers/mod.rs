//! Finds values by their digits: payment cards, IBANs, phone numbers, IP and hardware addresses, numbers of persons, and the machine-
//! readable zones of their documents.
//!
//! Each function takes the position of a digit and returns the range of the value around it. Check digits and reserved ranges exclude most of
//! the ids, versions, dates and measurements that look similar.

mod calling_codes;
mod cards;
mod iban;
mod mrz;
mod national;
mod network;
mod phone;

use std::ops::Range;

use super::Match;
use super::text::Text;

pub(super) use self::cards::labelled_card;
pub(super) use self::iban::labelled_iban;
pub(super) use self::national::{CHECK_DIGITS, CHECK_DIGITS_NEAR_NAME};
pub(super) use self::network::ipv6_at_letter;
pub(super) use self::phone::{next_of_list, phone_shaped};

/// The value that starts at the first digit of a run, or a few characters before it (`+49 …`, `DE89 …`).
pub(super) fn at_digit(text: Text<'_>, start: usize) -> Option<Match> {
    let found = |range: Option<Range<usize>>, kind: &'static str| range.map(|range| Match { range, kind, detector: "shape" });
    let end = text.skip_while(start, 40, |byte| byte.is_ascii_digit());
    if end - start == 7
        && matches!(text.byte_at(end), b'M' | b'F' | b'X' | b'<')
        && let Some(zone) = mrz::at_birth_date(text, start)
    {
        return Some(zone);
    }
    if text.byte_before(start).is_ascii_alphabetic() {
        return found(iban::iban(text, start), "iban").or_else(|| national::at_digits(text, start..end));
    }
    if !text.is_word_start(start) {
        return None;
    }
    if end - start == 2
        && matches!(text.byte_before(start), b' ' | b'-')
        && text.byte_before(start - 1).is_ascii_alphabetic()
        && let Some(range) = iban::iban_after_space(text, start)
    {
        return Some(Match { range, kind: "iban", detector: "shape" });
    }
    if let Some(number) = national::at_digits(text, start..end) {
        return Some(number);
    }
    // The character after the digits excludes most formats.
    let (digits, after) = (end - start, text.byte_at(end));
    let card = || found(cards::card(text, start), "credit_card");
    match after {
        b'.' => found(network::ip(text, start), "ip").or_else(|| found(network::mac(text, start), "mac")).or_else(card),
        b':' => found(network::mac(text, start), "mac").or_else(|| found(network::ipv6(text, start), "ip")).or_else(card),
        b'-' => found(network::mac(text, start), "mac").or_else(card),
        b'a'..=b'f' | b'A'..=b'F' if digits < 12 => {
            return found(network::mac(text, start), "mac").or_else(|| found(network::ipv6(text, start), "ip"));
        }
        b' ' if digits == 2 => found(network::mac(text, start), "mac"),
        b' ' | b'/' | b'_' | b'\n' | b'\r' | 0xc2 | 0xe2 if matches!(digits, 4 | 6) => card(),
        _ if digits >= 12 => card().or_else(|| found(network::mac(text, start), "mac")),
        _ => None,
    }
    .or_else(|| found(phone::phone(text, start), "phone"))
}

/// The length of the separator between two groups of digits at `at`: a space, hyphen or dot of any width, or one of `more`; 0 if there is none.
fn separator_len(text: Text<'_>, at: usize, more: &[u8]) -> usize {
    let rest = text.bytes().get(at..text.len().min(at + 3)).unwrap_or_default();
    match rest {
        [b' ' | b'-' | b'.', ..] => 1,
        [byte, ..] if more.contains(byte) => 1,
        // A no-break space.
        [0xc2, 0xa0, ..] => 2,
        // Spaces of a fixed width, hyphens and dashes, and narrow no-break spaces.
        [0xe2, 0x80, 0x80..=0x95 | 0xaf] | [0xe2, 0x88, 0x92] => 3,
        _ => 0,
    }
}

/// The length of a line break at `at` with up to three spaces before and eight after it; 0 if there is none.
fn line_break_len(text: Text<'_>, at: usize) -> usize {
    let line_end = text.skip_while(at, 3, |byte| byte == b' ');
    let next_line = text.skip_while(line_end, 2, |byte| matches!(byte, b'\r' | b'\n'));
    if next_line == line_end { 0 } else { text.skip_while(next_line, 8, |byte| byte == b' ') - at }
}

/// Whether groups of digits form a date: `01.10.1944`, `2026-11-23`.
pub(super) fn is_date(parts: &[&str]) -> bool {
    let number = |index: usize| parts.get(index).and_then(|part| part.parse::<u32>().ok()).unwrap_or(9999);
    let len = |index: usize| parts.get(index).map_or(0, |part| part.len());
    if parts.len() < 3 {
        return false;
    }
    let year_first = len(0) == 4 && (1800..2200).contains(&number(0)) && (1..=12).contains(&number(1)) && number(2) <= 31;
    let year_last = len(2) == 4 && (1800..2200).contains(&number(2)) && number(0) <= 31 && number(1) <= 31 && len(0) <= 2 && len(1) <= 2;
    year_first || year_last
}

#[cfg(test)]
mod tests;
