//! Finds postal addresses: chains of capitalized words and numbers, separated by commas or line feeds.
//!
//! A chain is searched for after a label, at a house number with a street word (`12 Main Street`), around a postal code (`55372
//! Stuttgart`) and
//! at a post-office box. [`chain`] collects the [`parts`] and decides whether they are an address; [`postal`] knows postal codes.
//! Addresses in
//! lower case are in [`lower_case`], those in scripts without capitals in [`caseless`] and in [`super::cjk`].

mod caseless;
mod chain;
mod lower_case;
mod parts;
mod postal;

use std::ops::Range;

use self::chain::{STREET_PARTS, chain, chain_start, chain_with_street, validate_chain, with_units_before};
use self::parts::{PartKind, box_before, is_street_word, lower, part_at, street_class};
use self::postal::{CityBefore, city_before, follows_city, is_after_code_word, is_british_code, is_dutch_code};
use super::decoded_text::DecodedText;
use super::labels::{LabelSyntax, ValueStart, value_range};
use super::lexicon::look_up;
use super::text::{Text, is_cjk};
use super::{Match, cjk};

/// Length of an address; longer than any on an envelope.
const ADDRESS_BYTES_MAX: usize = 220;

/// The address after a label.
pub(super) fn after_label(decoded: &DecodedText<'_>, text: Text<'_>, value_start: ValueStart) -> Option<Range<usize>> {
    if value_start.quote != 0 {
        let range = value_range(decoded, text, value_start, ADDRESS_BYTES_MAX * 2, |byte| matches!(byte, b'"' | b'\''));
        return is_address_text(text.slice(range.clone())).then_some(range);
    }
    let mut start = text.skip_while(value_start.offset, 24, |byte| byte.is_ascii_whitespace() || byte == b'>');
    if value_start.syntax != LabelSyntax::Sentence {
        let chain = chain(text, start);
        let chained = validate_chain(text, &chain, true);
        let end =
            text.skip_while(start, ADDRESS_BYTES_MAX, |byte| !matches!(byte, b'\n' | b'\r' | b'|' | b'<' | b'"' | b';' | b'&' | b'}'));
        let shown = text.slice(start..end).trim_end();
        let words = shown.split_whitespace().count();
        // A line that is not a chain, but has the length and form of an address, and is not code: `address: rear building, door 3`.
        let is_line = is_address_text(shown)
            && (2..=14).contains(&words)
            && shown.bytes().any(|byte| byte.is_ascii_digit())
            && !shown.contains(['=', '(', ':']);
        let end = end_of_sentence(text, start, start + shown.len());
        if let Some(range) = chained {
            // The whole line, if it has more of the form of an address than the chain.
            let is_more = is_line && end > range.end && text.slice(range.end..end).split_whitespace().count() <= 8;
            return Some(range.start..if is_more { end } else { range.end });
        }
        return (is_line || cjk::address_in(shown).is_some_and(|found| found.start < 4)).then_some(start..end);
    }
    if let Some(range) = lower_case::after_label(text, start).or_else(|| caseless::after_label(text, start)) {
        return Some(range);
    }
    // A few words may follow the label: `my address is …`, `deliver it to the …`.
    let limit = start + 60;
    while start < limit {
        let word_end =
            text.skip_while(start, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'/' | b'\'' | b'-'));
        let is_start = part_at(text, start, true).is_some_and(|part| part.kind != PartKind::Particle);
        if is_start {
            let chain = chain(text, start);
            if let Some(range) = validate_chain(text, &chain, true) {
                return Some(range);
            }
        }
        if let Some(found) = cjk::address_in(text.window(start, ADDRESS_BYTES_MAX)).filter(|found| found.start < 12) {
            return Some(start + found.start..start + found.end);
        }
        let next = word_end.max(start + text.char_at(start).map_or(1, char::len_utf8));
        let blank = text.skip_while(next, 12, |byte| matches!(byte, b' ' | b':' | b'\n' | b'\r' | b',' | b'"'));
        if matches!(text.byte_at(next), b'.' | b'{' | b'}' | b'(' | b'[') || blank == next && !text.char_at(next).is_some_and(is_cjk) {
            return None;
        }
        start = blank;
    }
    None
}

/// The end of the first sentence between `start` and `end`. An abbreviation does not end one: `Brgy. San Isidro`.
fn end_of_sentence(text: Text<'_>, start: usize, end: usize) -> usize {
    let shown = text.slice(start..end);
    shown
        .match_indices(". ")
        .find(|(at, _)| {
            let left = shown.get(..*at).unwrap_or_default();
            let word = left.rsplit([' ', ',', '.']).next().unwrap_or_default().to_lowercase();
            word.chars().count() > 4 && street_class(&word).is_none() && !word.bytes().all(|byte| byte.is_ascii_digit())
        })
        .map_or(end, |(at, _)| start + at)
}

/// Whether the value of a field with an address label has the form of an address: `7 Grant Squares, Martinfort`, but not `unknown`,
/// `0x7f8de1a4008d`, a URL or code.
fn is_address_text(value: &str) -> bool {
    let value = value.trim();
    let letters = value.chars().filter(|letter| letter.is_alphabetic()).count();
    let has_number = value.chars().any(char::is_numeric);
    let has_cjk = value.chars().any(is_cjk);
    let words = value.split([' ', '+', '\n', ',']).filter(|word| !word.is_empty()).count();
    (6..=ADDRESS_BYTES_MAX * 2).contains(&value.len())
        && letters >= 4
        && (words >= 2 || has_cjk)
        && (has_number || has_cjk || (value.contains(',') && value.chars().any(char::is_uppercase)))
        && !value.contains("://")
        && !value.contains(['{', '}', '=', '@', '_', '<', '>'])
        && words <= 24
        && !is_prose(value)
}

/// Whether a value is a sentence, or says that there is no address: `see the attached form 2`, `unknown, 0 results`, `user's home (line 1)`.
fn is_prose(value: &str) -> bool {
    // Words that stand in no address, in lower case.
    const WORDS: [&str; 60] = [
        "see", "is", "are", "was", "were", "be", "been", "has", "have", "must", "should", "can", "will", "if", "when", "where", "which",
        "that", "this", "these", "your", "our", "their", "user", "user's", "users", "customer", "please", "as", "for", "with", "without",
        "from", "into", "and/or", "text", "string", "field", "value", "lines", "line", "results", "result", "options", "option", "unknown",
        "unset", "none", "missing", "invalid", "frame", "form", "attached", "section", "contains", "e.g", "etc", "optional", "required",
        "example",
    ];
    // Words with which such a value begins.
    const STARTS: [&str; 12] =
        ["unknown", "tbd", "n/a", "none", "see ", "same ", "not ", "no ", "to be ", "the address", "address ", "pending"];
    let lower = value.trim().to_lowercase();
    STARTS.iter().any(|start| lower.starts_with(start))
        || value.split([' ', ',', '\n', '(', ')', ':', ';', '.']).any(|word| WORDS.contains(&word))
}

/// The address around a number without a label. `at` is the first digit of a run.
pub(super) fn at_number(text: Text<'_>, at: usize) -> Option<Match> {
    let end = text.skip_while(at, 12, |byte| byte.is_ascii_digit());
    if is_among_numbers(text, at, end) {
        return None;
    }
    let digits = end - at;
    let found = |range: Range<usize>| Match { range, kind: "address", detector: "street or postal code" };
    // A house number, then a street: `659 Jennifer Circles`, `12 Main Street`. Cheap to exclude.
    let next = text.skip_while(end, 1, |byte| byte.is_ascii_alphabetic());
    // `912-914 8TH ST`.
    let next = if text.byte_at(end) == b'-' { text.skip_while(end + 1, 5, |byte| byte.is_ascii_digit()) } else { next };
    if digits <= 5
        && text.byte_at(next) == b' '
        && (text.byte_at(next + 1).is_ascii_uppercase()
            || is_ordinal_at(text, next + 1)
            || text.byte_at(next + 1) >= 0xc3
            || is_street_before_name(text, next + 1))
        && text.is_word_start(at)
    {
        let chain = chain_with_street(text, at);
        let street = chain.iter().take(STREET_PARTS).skip(1).any(|part| part.kind == PartKind::Street);
        let is_weak = chain.iter().take(STREET_PARTS).skip(2).any(|part| part.kind == PartKind::WeakStreet);
        if (street || is_weak)
            && let Some(range) = validate_chain(text, &chain, false)
        {
            return Some(found(with_units_before(text, range.start)..range.end));
        }
    }
    if let Some(range) = grid_address(text, at, end) {
        return Some(found(range));
    }
    if let Some(range) = box_at(text, at) {
        return Some(found(range));
    }
    if digits <= 5 && is_after_street(text, at) {
        let start = chain_start(text, at)?;
        let chain = chain(text, start);
        if chain.iter().any(|part| part.kind == PartKind::Street)
            && let Some(range) = validate_chain(text, &chain, false).filter(|range| range.end > at && range.start < at)
        {
            return Some(found(range));
        }
    }
    if let Some(range) = lower_case::at_number(text, at, end).or_else(|| caseless::at_number(text, at, end)) {
        return Some(found(range));
    }
    // By the number of digits: `8318 Haugland`; `55372 Stuttgart`, `Mysore 979112`; `78-023 Ostrów`; `FK9 7RU`; `110 00 Praha`, `600 002`.
    let are_digits = |from: usize, count: usize| {
        text.bytes().get(from..from + count).is_some_and(|code| code.iter().all(u8::is_ascii_digit)) && text.is_word_end(from + count)
    };
    let city = if matches!(digits, 3 | 5 | 6 | 7 | 8) { city_before(text, at) } else { None };
    let is_postal_code = match digits {
        4 => follows_city(text, end) || is_dutch_code(text, end) || is_after_code_word(text, at),
        5..=8 => follows_city(text, end) || city.is_some() || is_after_code_word(text, at),
        2 => text.byte_at(end) == b'-' && are_digits(end + 1, 3),
        1 => is_british_code(text, at) || is_canadian_code(text, at),
        3 => {
            // Japan: `Tokyo 108-0075`.
            text.byte_at(end) == b'-' && are_digits(end + 1, 4) && city == Some(CityBefore::Adjacent)
                || text.byte_at(end) == b' '
                    && (are_digits(end + 1, 2) && (follows_city(text, end + 3) || city.is_some())
                        || are_digits(end + 1, 3) && city == Some(CityBefore::Adjacent))
        }
        _ => false,
    };
    if !is_postal_code {
        return None;
    }
    let start = chain_start(text, at)?;
    let chain = chain(text, start);
    let range = validate_chain(text, &chain, false)?;
    let has_street = || chain.iter().any(|part| matches!(part.kind, PartKind::Street | PartKind::WeakStreet | PartKind::Unit));
    let is_enough = city != Some(CityBefore::AfterComma) || follows_city(text, end) || has_street();
    (range.end > at && range.start < at && is_enough).then(|| found(range))
}

/// Whether an ordinal with a capitalized word after it starts at `at`: `26th Street`.
fn is_ordinal_at(text: Text<'_>, at: usize) -> bool {
    let digits = text.skip_while(at, 3, |byte| byte.is_ascii_digit());
    let end = text.skip_while(digits, 2, |byte| byte.is_ascii_alphabetic());
    digits > at && end == digits + 2 && text.byte_at(end) == b' ' && text.byte_at(end + 1).is_ascii_uppercase()
}

/// Whether a number is before `at`, and neither a word nor a second part of a postal code is after `end`: `, 41, ` in a list. Excludes most
/// numbers from the checks of [`at_number`], which all need one of these.
fn is_among_numbers(text: Text<'_>, at: usize, end: usize) -> bool {
    let left = text.skip_back_while(at, 2, |byte| matches!(byte, b' ' | b',' | b'.'));
    if !text.byte_before(left).is_ascii_digit() {
        return false;
    }
    let is_word_near = || !text.byte_at(text.skip_while(end, 4, |byte| matches!(byte, b' ' | b',' | b'/' | b'0'..=b'9'))).is_ascii();
    match text.byte_at(end) {
        // `110 00 Praha`.
        b' ' => text.byte_at(end + 1).is_ascii_digit() && end - at != 3 && !is_word_near(),
        b',' | b'/' => !is_word_near(),
        after => after.is_ascii() && !after.is_ascii_alphanumeric() && after != b'-' && after != b'#',
    }
}

/// Whether a street word in lower case stands before a name: `place de la …`, `rue Vantroba`.
fn is_street_before_name(text: Text<'_>, at: usize) -> bool {
    let end = text.skip_while(at, 12, |byte| byte.is_ascii_lowercase() || byte >= 0x80);
    let word = text.slice(at..end);
    if word.len() < 3 {
        return false;
    }
    matches!(
        word.as_bytes(),
        b"place"
            | b"rue"
            | b"avenue"
            | b"boulevard"
            | b"chemin"
            | b"impasse"
            | b"all\xc3\xa9e"
            | b"quai"
            | b"route"
            | b"cours"
            | b"square"
            | b"passage"
            | b"sentier"
            | b"voie"
    ) && part_at(text, end + 1, false).is_some_and(|part| matches!(part.kind, PartKind::Particle | PartKind::Capital))
}

/// A Colombian address, which names two streets by their numbers: `Cl. 93B #11A-84`, `Carrera 43A No. 1-50`.
fn grid_address(text: Text<'_>, at: usize, end: usize) -> Option<Range<usize>> {
    let end = text.skip_while(end, 2, |byte| byte.is_ascii_uppercase());
    let mark = text.skip_while(end, 1, |byte| byte == b' ');
    if !matches!(text.byte_at(mark), b'#' | b'N') {
        return None;
    }
    let after = ["#", "No. ", "No ", "N° "].iter().find_map(|number| text.rest(mark).starts_with(number).then(|| mark + number.len()))?;
    let number = text.skip_while(after, 1, |byte| byte == b' ');
    let word_end = text.skip_back_while(at, 2, |byte| matches!(byte, b' ' | b'.'));
    let start = text.skip_back_while(word_end, 12, |byte| byte.is_ascii_alphabetic());
    let word = text.slice(start..word_end).to_ascii_lowercase();
    let is_street = matches!(
        word.as_str(),
        "calle" | "cl" | "cll" | "carrera" | "cra" | "cr" | "kr" | "kra" | "av" | "avenida" | "diagonal" | "dg" | "transversal" | "tv"
    );
    let digits = text.skip_while(number, 4, |byte| byte.is_ascii_digit());
    let dash = text.skip_while(digits, 1, |byte| byte.is_ascii_uppercase());
    if !is_street || digits == number || text.byte_at(dash) != b'-' || !text.is_word_start(start) {
        return None;
    }
    let number_end = text.skip_while(dash + 1, 4, |byte| byte.is_ascii_digit());
    let gap = text.skip_while(number_end, 2, |byte| matches!(byte, b' ' | b','));
    let is_followed = gap > number_end && (text.byte_at(number_end) == b',' || text.byte_at(gap).is_ascii_uppercase());
    let rest = if is_followed { chain(text, gap) } else { Vec::new() };
    Some(start..rest.last().map_or(number_end, |last| last.range.end))
}

/// The post-office box whose number starts at `at`, with the rest of its address.
fn box_at(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    let (len, is_strong) = box_before(text, at)?;
    let mut start = at - len;
    // `CMR 420, Box 77`, `RR 2 Box 45`.
    if let Some(before) =
        text.slice(start.saturating_sub(16)..start).trim_end_matches([' ', ',']).rsplit_once(' ').map(|(_, number)| number)
        && before.bytes().all(|byte| byte.is_ascii_digit())
        && !before.is_empty()
        && let Some(number) = text.slice(start.saturating_sub(16)..start).rfind(before)
        && let Some((route, _)) = box_before(text, start.saturating_sub(16) + number)
    {
        start = start.saturating_sub(16) + number - route;
    }
    let number = text.skip_while(at, 12, |byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'));
    let number = at + text.slice(at..number).trim_end_matches([' ', '-']).len();
    // The number of a German box is in groups: `Postfach 10 02 44`.
    let mut end = number;
    let mut numbers = 1;
    let mut places = 0;
    let gap = text.skip_while(number, 3, |byte| matches!(byte, b' ' | b',' | b'\n'));
    let rest = if gap > number { chain(text, gap) } else { Vec::new() };
    for part in &rest {
        match part.kind {
            PartKind::Number => numbers += 1,
            PartKind::Capital | PartKind::Street | PartKind::WeakStreet => places += 1,
            _ => {}
        }
    }
    let is_separate = text.slice(number..gap).contains([',', '\n']);
    if (numbers > 1 || places > 0 && is_separate)
        && let Some(last) = rest.last()
    {
        end = last.range.end;
    }
    (is_strong || (numbers > 1 && places > 0)).then_some(start..end)
}

/// Whether a street word stands in the four words before a number: `Rákóczi ferenc út 12`, `Avenida de la Paz 9`.
fn is_after_street(text: Text<'_>, at: usize) -> bool {
    let mut end = text.skip_back_while(at, 3, |byte| matches!(byte, b' ' | b',' | b'.'));
    if end == at || text.byte_before(at) == b'.' {
        return false;
    }
    for index in 0..4 {
        let start = text.skip_back_while(end, 40, |byte| byte.is_ascii_alphabetic() || byte >= 0x80 || matches!(byte, b'\'' | b'-'));
        let word = text.slice(start..end);
        let is_capital = text.byte_at(start).is_ascii_uppercase() || word.starts_with(char::is_uppercase);
        // The word before the number is a name or the street word. English street words have capitals.
        if word.len() < 2 || index == 0 && !is_capital && word.is_ascii() && (word.len() > 6 || !is_street_word(word)) {
            return false;
        }
        let entry = || look_up(word);
        if is_street_word(&lower(word)) && (is_capital || !entry().is_common_word() || entry().is_common_elsewhere()) {
            return true;
        }
        let left = text.skip_back_while(start, 2, |byte| matches!(byte, b' ' | b'.'));
        if left == start {
            return false;
        }
        end = left;
    }
    false
}

/// Whether `at` is the digit of the second part of a Canadian postal code: `1S0` in `N0B 1S0`.
fn is_canadian_code(text: Text<'_>, at: usize) -> bool {
    let is = |index: usize, is_digit: bool| {
        let byte = text.byte_at(index);
        if is_digit { byte.is_ascii_digit() } else { byte.is_ascii_uppercase() }
    };
    let first = at.saturating_sub(4);
    at >= 4
        && is(at + 1, false)
        && is(at + 2, true)
        && text.is_word_end(at + 3)
        && text.byte_before(at) == b' '
        && is(first, false)
        && is(first + 1, true)
        && is(first + 2, false)
        && text.is_word_start(first)
}

/// The address around an alphanumeric postal code whose first digit is at `at`, after one or two letters: `R93 D5P6`, `C1043AAZ`.
pub(super) fn at_code(text: Text<'_>, at: usize) -> Option<Match> {
    // `Private Bag X12`.
    if text.byte_before(at) == b'X'
        && let Some(range) = box_at(text, at)
    {
        return Some(Match { range, kind: "address", detector: "street or postal code" });
    }
    let start = text.skip_back_while(at, 2, |byte| byte.is_ascii_uppercase());
    // Each form below begins with a letter, two digits, and a space or a digit.
    let third = text.byte_at(at + 2);
    if at - start != 1 || !text.byte_at(at + 1).is_ascii_digit() || !(third == b' ' || third.is_ascii_digit()) {
        return None;
    }
    let code = text.slice(start..text.skip_while(start, 12, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b' '));
    let form: String = code
        .chars()
        .map(|c| {
            if c.is_ascii_digit() {
                '9'
            } else if c == ' ' {
                ' '
            } else {
                'A'
            }
        })
        .collect();
    // Ireland, Argentina.
    let is_irish = form.starts_with("A99 ")
        && form.len() >= 8
        && form.get(4..8).is_some_and(|unique| !unique.contains(' ') && unique != "AAAA" && unique != "9999");
    let is_argentine = form.starts_with("A9999AAA");
    let code_end = start + if is_irish || is_argentine { 8 } else { return None };
    if !text.is_word_start(start) || !text.is_word_end(code_end) {
        return None;
    }
    let from = chain_start(text, start).unwrap_or(start);
    let chain = chain(text, from);
    let range = chain.first()?.range.start..chain.last()?.range.end.max(code_end);
    let places = chain.iter().filter(|part| part.kind == PartKind::Capital).count();
    (places >= 2 && range.contains(&start)).then_some(Match { range, kind: "address", detector: "street or postal code" })
}

#[cfg(test)]
mod tests;
