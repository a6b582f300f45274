//! IBANs (ISO 13616).

use std::ops::Range;

use super::super::text::Text;
use super::{line_break_len, separator_len};

/// Length of the longest IBAN.
const IBAN_BYTES_MAX: usize = 34;

/// Two letters, two check digits and up to 30 letters and digits. `start` is the first check digit.
pub(super) fn iban(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let from = start.checked_sub(2)?;
    let (end, is_valid) = read(text, from, start)?;
    // Mistyped IBANs still identify a person: with upper-case letters in groups of four, the length and the share of digits are sufficient.
    // Lower-case ones must be valid, because hex ids have the same form (`bc84…`).
    let shown = text.slice(from..end);
    let count = shown.bytes().filter(u8::is_ascii_alphanumeric).count();
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    let is_lower = shown.starts_with(|c: char| c.is_ascii_lowercase());
    (is_valid || (!is_lower && digits * 3 >= count * 2 && is_in_fours(shown))).then_some(from..end)
}

/// A valid IBAN with a space after the country: `DE 89 3704 …`. `start` is the first check digit.
pub(super) fn iban_after_space(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let from = start.checked_sub(3)?;
    let (end, is_valid) = read(text, from, start)?;
    is_valid.then_some(from..end)
}

/// The end of the IBAN whose country is at `from` and whose check digits are at `start`, and whether it is valid.
fn read(text: Text<'_>, from: usize, start: usize) -> Option<(usize, bool)> {
    let country = text.bytes().get(from..from + 2)?;
    if !text.byte_at(start + 1).is_ascii_digit() || !country.iter().all(u8::is_ascii_alphabetic) || !text.is_word_start(from) {
        return None;
    }
    let len = iban_len(country)?;
    let is_lower = country.iter().all(u8::is_ascii_lowercase);
    let mut characters = [0; IBAN_BYTES_MAX];
    let characters = characters.get_mut(..len)?;
    let mut count = 0;
    for (to, from) in characters.iter_mut().zip(country) {
        *to = from.to_ascii_uppercase();
        count += 1;
    }
    let mut at = start;
    while let Some(to) = characters.get_mut(count) {
        let byte = text.byte_at(at);
        if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && byte.is_ascii_lowercase() == is_lower) {
            *to = byte.to_ascii_uppercase();
            count += 1;
            at += 1;
            continue;
        }
        let separator = separator_len(text, at, b"_/").max(line_break_len(text, at));
        if separator == 0 || !text.byte_before(at).is_ascii_alphanumeric() {
            return None;
        }
        at += separator;
    }
    text.is_word_end(at).then(|| (at, mod_97(characters) == 1))
}

/// Whether a written IBAN has no separators, or one after every fourth character.
fn is_in_fours(shown: &str) -> bool {
    let mut groups = shown.split(|c: char| !c.is_ascii_alphanumeric()).peekable();
    let mut is_first = true;
    while let Some(group) = groups.next() {
        let is_last = groups.peek().is_none();
        if !(is_first && is_last) && (group.len() > 4 || (group.len() < 4 && !is_last)) {
            return false;
        }
        is_first = false;
    }
    true
}

/// An IBAN next to its label, regardless of its country and check digits.
pub(in super::super) fn labelled_iban(text: Text<'_>, from: usize) -> Option<Range<usize>> {
    if !(text.byte_at(from).is_ascii_alphabetic() && text.byte_at(from + 1).is_ascii_alphabetic()) {
        return None;
    }
    let check = from + 2 + separator_len(text, from + 2, b"");
    if !text.byte_at(check).is_ascii_digit() || !text.byte_at(check + 1).is_ascii_digit() {
        return None;
    }
    let is_lower = text.byte_at(from).is_ascii_lowercase();
    // Words may follow after the length of the country.
    let len = text.bytes().get(from..from + 2).and_then(iban_len).unwrap_or(0);
    let (mut count, mut digits, mut end, mut at) = (2, 0, from, check);
    while count <= 34 {
        let byte = text.byte_at(at);
        if byte.is_ascii_digit() || (byte.is_ascii_alphabetic() && byte.is_ascii_lowercase() == is_lower) {
            count += 1;
            digits += usize::from(byte.is_ascii_digit());
            at += 1;
            end = at;
            if count == len && text.is_word_end(at) {
                return Some(from..at);
            }
            continue;
        }
        // A word after a space is not a part of a lower-case IBAN.
        let separator = separator_len(text, at, b"_/").max(line_break_len(text, at));
        if separator == 0 || at != end || (is_lower && !text.byte_at(at + separator).is_ascii_digit()) {
            break;
        }
        at += separator;
    }
    ((15..=34).contains(&count) && (!is_lower || digits * 3 >= count * 2)).then_some(from..end)
}

/// The IBAN length of a country: SWIFT's IBAN registry, release 101, and the countries that use the format without being registered.
fn iban_len(country: &[u8]) -> Option<usize> {
    let [first, second] = country else { return None };
    Some(match &[first.to_ascii_uppercase(), second.to_ascii_uppercase()] {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FO" | b"FI" | b"GL" | b"NL" | b"SD" | b"FK" | b"AX" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"XK" | b"LT" | b"LU" | b"MN" => 20,
        b"CR" | b"HR" | b"LI" | b"LV" | b"CH" => 21,
        b"BH" | b"BG" | b"GE" | b"DE" | b"IE" | b"ME" | b"RS" | b"GB" | b"VA" => 22,
        b"TL" | b"GI" | b"IQ" | b"IL" | b"AE" | b"OM" | b"SO" => 23,
        b"AD" | b"CZ" | b"MD" | b"PK" | b"RO" | b"SA" | b"SK" | b"ES" | b"SE" | b"TN" | b"VG" => 24,
        b"LY" | b"PT" | b"ST" | b"AO" | b"CV" | b"GW" | b"MZ" => 25,
        b"IS" | b"TR" | b"DZ" | b"IR" => 26,
        b"FR" | b"GR" | b"IT" | b"MR" | b"MC" | b"SM" | b"BI" | b"DJ" | b"GF" | b"GP" | b"MQ" | b"RE" | b"PF" | b"NC" | b"YT" | b"PM"
        | b"WF" | b"BL" | b"MF" | b"CM" | b"CF" | b"TD" | b"KM" | b"CG" | b"GA" | b"GQ" | b"MG" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"SV" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" | b"HN" | b"BJ" | b"BF" | b"CI" | b"ML"
        | b"MA" | b"NE" | b"SN" | b"TG" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" | b"YE" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// The check of ISO 13616: the number modulo 97, 1 if valid.
fn mod_97(characters: &[u8]) -> u32 {
    let rotated = characters.iter().skip(4).chain(characters.iter().take(4));
    rotated.fold(0, |rest, c| match c {
        b'0'..=b'9' => (rest * 10 + u32::from(c - b'0')) % 97,
        _ => (rest * 100 + u32::from(c - b'A') + 10) % 97,
    })
}
