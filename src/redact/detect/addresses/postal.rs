//! Postal codes: which numbers are one, by the form of the code and the words around it.

use super::super::lexicon::look_up;
use super::super::text::Text;
use super::parts::{PartKind, part_at};

/// Whether a capitalized word follows the postal code at `end`, or a second part of the code (`01310-100`, `90210-1234`).
pub(super) fn follows_city(text: Text<'_>, end: usize) -> bool {
    let mut at = end;
    if text.byte_at(at) == b'-' && text.byte_at(at + 1).is_ascii_digit() {
        at = text.skip_while(at + 1, 5, |byte| byte.is_ascii_digit());
        return text.is_word_end(at);
    }
    if text.byte_at(at) != b' ' {
        return false;
    }
    at += 1;
    if !(text.byte_at(at).is_ascii_uppercase() || text.byte_at(at) >= 0xc3) {
        return false;
    }
    part_at(text, at, false).is_some_and(|part| part.kind == PartKind::Capital && text.byte_at(part.range.end) != b':')
}

/// How a city or a state precedes a postal code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CityBefore {
    /// `MI 62634`, `Mysore 979112`, `Guna-668403`, `Pune - 411001`, but not `Error 979112`.
    Adjacent,
    /// `Nairobi, 00100`: an address only with a street or a flat.
    AfterComma,
}

pub(super) fn city_before(text: Text<'_>, at: usize) -> Option<CityBefore> {
    let end = text.skip_back_while(at, 3, |byte| matches!(byte, b' ' | b'-' | b',' | b'\n'));
    let last = text.byte_before(end);
    if !(last.is_ascii_alphabetic() || last >= 0x80) {
        return None;
    }
    let between = text.slice(end..at);
    let relation = match between {
        " " | "-" | " - " => CityBefore::Adjacent,
        ", " | ",\n" | "," | "\n" => CityBefore::AfterComma,
        _ => return None,
    };
    let start = text.skip_back_while(end, 32, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let word = text.slice(start..end);
    let is_capital = word.chars().next().is_some_and(char::is_uppercase);
    let is_place = || {
        word.len() == 2
            || !look_up(word).is_common_word()
            || look_up(word).is_name()
            || look_up(word).is_common_elsewhere()
            || look_up(word).is_place_or_product()
    };
    (is_capital && word.len() >= 2 && is_place()).then_some(relation)
}

/// Whether a word for postal codes precedes: `CEP 01310-100`, `C.P. 03940`, `Τ.Κ. 38575`.
pub(super) fn is_after_code_word(text: Text<'_>, at: usize) -> bool {
    let end = text.skip_back_while(at, 3, |byte| matches!(byte, b' ' | b'.' | b':'));
    let last = text.byte_before(end);
    if end == at || !(last.is_ascii_alphabetic() || last >= 0x80) {
        return false;
    }
    let start = text.skip_back_while(end, 8, |byte| byte.is_ascii_alphabetic() || byte == b'.' || byte >= 0x80);
    let word = text.slice(start..end);
    matches!(word, "CEP" | "CP" | "C.P" | "c.p" | "PLZ" | "Τ.Κ" | "ΤΚ" | "PIN" | "Pin" | "PIN Code" | "Eircode" | "ZIP" | "Zip" | "PSČ")
}

/// Whether the digits that end at `end` are a Dutch postal code: `1799 VX`.
pub(super) fn is_dutch_code(text: Text<'_>, end: usize) -> bool {
    let at = text.skip_while(end, 1, |byte| byte == b' ');
    let letters = text.slice(at..at + 2);
    letters.len() == 2
        && letters.bytes().all(|byte| byte.is_ascii_uppercase())
        && text.is_word_end(at + 2)
        && !matches!(letters, "SA" | "SD" | "SS" | "AM" | "PM" | "MB" | "GB" | "KB" | "MS")
}

/// Whether `at` is the digit of the second part of a British postal code: `7` in `FK9 7RU`.
pub(super) fn is_british_code(text: Text<'_>, at: usize) -> bool {
    let inward = text.byte_at(at + 1).is_ascii_uppercase() && text.byte_at(at + 2).is_ascii_uppercase() && text.is_word_end(at + 3);
    if !inward || text.byte_before(at) != b' ' {
        return false;
    }
    let start = text.skip_back_while(at - 1, 5, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let outward = text.bytes().get(start..at - 1).unwrap_or_default();
    let letters = outward.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (1..=2).contains(&letters)
        && (2..=4).contains(&outward.len())
        && outward.get(letters).is_some_and(u8::is_ascii_digit)
        && text.is_word_start(start)
}
