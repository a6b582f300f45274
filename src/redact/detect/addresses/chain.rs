//! Chains of the parts of an address, and which of them are addresses.

use std::ops::Range;

use super::super::lexicon::look_up;
use super::super::text::Text;
use super::ADDRESS_BYTES_MAX;
use super::parts::{Part, PartKind, WordClass, is_building_word, lower, part_at, street_class};

/// The range of a chain if it is an address. After a label, less is required.
pub(super) fn validate_chain(text: Text<'_>, chain: &[Part], labelled: bool) -> Option<Range<usize>> {
    let streets = (0..chain.len()).filter(|index| is_street(text, chain, *index)).count() + usize::from(has_weak_street(chain));
    let numbers = chain
        .iter()
        .filter(|part| {
            matches!(part.kind, PartKind::Number | PartKind::Code)
                && !(streets == 0 && !labelled && is_year(text.slice(part.range.clone())))
                && text.slice(part.range.clone()).bytes().any(|byte| byte.is_ascii_digit())
        })
        .count();
    let segments = 1 + chain.iter().skip(1).filter(|part| part.starts_segment).count();
    let units = chain.iter().filter(|part| part.kind == PartKind::Unit).count();
    let capitals = chain.iter().filter(|part| matches!(part.kind, PartKind::Capital | PartKind::WeakStreet)).count();
    let places = chain
        .iter()
        .filter(|part| {
            let word = text.slice(part.range.clone());
            matches!(part.kind, PartKind::Capital | PartKind::WeakStreet)
                && word.len() >= 3
                && (!look_up(word).is_common_word()
                    || look_up(word).is_name()
                    || look_up(word).is_common_elsewhere()
                    || look_up(word).is_place_or_product())
        })
        .count();
    let range = chain.first()?.range.start..end_with_region(text, chain.last()?.range.end);
    // `03 Nov 2026` is a date; `Lake June, ST2 5UJ` is not.
    let is_dated = chain.windows(2).any(|pair| {
        let [left, right] = pair else { return false };
        let is_month = |part: &Part| is_calendar_word(text.slice(part.range.clone()));
        (is_month(left) && right.kind == PartKind::Number && !right.starts_segment) || (is_month(right) && left.kind == PartKind::Number)
    });
    let is_copyright = chain.iter().any(|part| matches!(text.slice(part.range.clone()), "Copyright" | "Inc" | "LLC" | "Ltd" | "GmbH"));
    if is_dated || is_copyright && streets == 0 || range.len() < 8 {
        return None;
    }
    let is_address = if labelled {
        // `7 Grant Squares, Martinfort`, but not `Unit 3`: a number, a word, and a second segment, street word or number.
        numbers >= 1 && capitals + streets + units >= 1 && (segments >= 2 || streets >= 1 || numbers >= 2)
    } else {
        // `Schenkstr. 38, 55372 Stuttgart` by its numbers and segments; `12 Main Street, Springfield` by its street word. `Windows Server
        // 2019, Version 1809` has no place name.
        (numbers >= 2 && segments >= 2 && places >= 1 && (streets >= 1 || has_postal_code(text, chain)) && capitals + streets + units >= 2)
            || (streets >= 1 && numbers >= 1 && capitals >= 1 && (segments >= 2 || places >= 1))
            || has_numbered_street(text, chain)
            // `Village Qoru, Dist. Rohtak, Haryana 124001`.
            || (units >= 2 && numbers >= 1 && places >= 2 && segments >= 3)
            // `Unit 2050 Box 4190, APO AP 96278`.
            || (numbers >= 1 && chain.iter().any(|part| matches!(text.slice(part.range.clone()), "APO" | "FPO" | "DPO")))
    };
    is_address.then_some(range)
}

/// Whether a street word of a chain stands as in an address: English ones after a name (`12 Qoru Square`, but not `12 Square Roots`),
/// others
/// also before one.
fn is_street(text: Text<'_>, chain: &[Part], index: usize) -> bool {
    let Some(part) = chain.get(index).filter(|part| part.kind == PartKind::Street) else { return false };
    let entry = look_up(text.slice(part.range.clone()));
    let is_english = entry.is_common_word() && !entry.is_common_elsewhere();
    let before = index.checked_sub(1).and_then(|before| chain.get(before)).filter(|_| !part.starts_segment);
    let next = chain.get(index + 1).filter(|next| !next.starts_segment);
    !is_english
        || before.is_some_and(|before| matches!(before.kind, PartKind::Capital | PartKind::Street | PartKind::Code | PartKind::WeakStreet))
        || before.is_some_and(|before| before.kind == PartKind::Number && text.slice(before.range.clone()).ends_with(['h', 't', 'd']))
        || next.is_some_and(|next| next.kind == PartKind::Particle)
}

/// Whether a chain has a number in the form of a postal code: four digits and more, `78-023`, `110 00`, `L2 5QL`.
fn has_postal_code(text: Text<'_>, chain: &[Part]) -> bool {
    let digits = |part: &Part| text.slice(part.range.clone()).bytes().filter(u8::is_ascii_digit).count();
    let is_code = |part: &Part| part.kind == PartKind::Code && digits(part) > 0;
    chain.iter().any(|part| part.kind == PartKind::Number && digits(part) >= 4 || is_code(part))
        || chain.windows(2).any(|pair| {
            let [left, right] = pair else { return false };
            left.kind == PartKind::Number
                && right.kind == PartKind::Number
                && !right.starts_segment
                && digits(left) == 3
                && digits(right) >= 2
        })
}

/// `2019`, `2006-2012`: years, as in copyright lines. A postal code that looks like one needs a street word.
fn is_year(number: &str) -> bool {
    let is_four = |part: &str| part.len() == 4 && (part.starts_with("19") || part.starts_with("20"));
    number.split('-').all(|part| is_four(part) || part.len() == 2)
        && number.len() >= 4
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// `12 Qoru Run`: a word that is also another one means a street between a house number with a name and the end of the segment.
fn has_weak_street(chain: &[Part]) -> bool {
    let Some([number, name, ..]) = chain.get(..2) else { return false };
    let segment = 1 + chain.iter().skip(1).take_while(|part| !part.starts_segment).count();
    number.kind == PartKind::Number
        && name.kind == PartKind::Capital
        && (3..=5).contains(&segment)
        && chain.len() > segment
        && chain.iter().take(segment).any(|part| part.kind == PartKind::WeakStreet)
}

/// The end of an address with the region in brackets after it: `… Salou (Tarragona)`.
fn end_with_region(text: Text<'_>, end: usize) -> usize {
    const REGION_BYTES_MAX: usize = 40;
    if text.byte_at(end) != b' ' || text.byte_at(end + 1) != b'(' {
        return end;
    }
    let close = text.find_byte(end + 2, REGION_BYTES_MAX, b')');
    let region = text.slice(end + 2..close);
    let is_region = text.byte_at(close) == b')'
        && region.starts_with(char::is_uppercase)
        && region.split(' ').count() <= 4
        && region.chars().all(|letter| letter.is_alphabetic() || matches!(letter, ' ' | '-' | '\''));
    if is_region { close + 1 } else { end }
}

/// Whether a word is the name of a month or a weekday, or a time zone.
pub(super) fn is_calendar_word(word: &str) -> bool {
    matches!(
        word.trim_end_matches('.'),
        "Jan"
            | "Feb"
            | "Mar"
            | "Apr"
            | "May"
            | "Jun"
            | "Jul"
            | "Aug"
            | "Sep"
            | "Sept"
            | "Oct"
            | "Nov"
            | "Dec"
            | "Mon"
            | "Tue"
            | "Wed"
            | "Thu"
            | "Fri"
            | "Sat"
            | "Sun"
            | "January"
            | "February"
            | "April"
            | "June"
            | "July"
            | "October"
            | "November"
            | "December"
            | "GMT"
            | "UTC"
    )
}

/// Whether a chain begins with a house number and a street that is an ordinal: `30 West 26th Street`, `912 8TH ST`.
fn has_numbered_street(text: Text<'_>, chain: &[Part]) -> bool {
    let [house, rest @ ..] = chain else { return false };
    let is_ordinal = |part: &Part| {
        let word = text.slice(part.range.clone());
        word.starts_with(|c: char| c.is_ascii_digit())
            && ["st", "nd", "rd", "th", "ST", "ND", "RD", "TH"].iter().any(|end| word.ends_with(end))
    };
    let numbered =
        |pair: &[Part]| matches!(pair, [number, street] if is_ordinal(number) && street.kind == PartKind::Street && !street.starts_segment);
    house.kind == PartKind::Number && !is_ordinal(house) && rest.windows(2).take(2).any(numbered)
}

fn count(text: &str, byte: u8) -> usize {
    text.bytes().filter(|other| *other == byte).count()
}

/// The longest chain from `start`.
pub(super) fn chain(text: Text<'_>, start: usize) -> Vec<Part> {
    parts_from(text, start, false)
}

/// The parts of a chain after a house number among which a street must be.
pub(super) const STREET_PARTS: usize = 5;

/// As [`chain`], but empty if it has more than [`STREET_PARTS`] and none of these may be a street, so that rows of words cost little.
pub(super) fn chain_with_street(text: Text<'_>, start: usize) -> Vec<Part> {
    parts_from(text, start, true)
}

fn parts_from(text: Text<'_>, start: usize, needs_street: bool) -> Vec<Part> {
    let is_street = |part: &Part| matches!(part.kind, PartKind::Street | PartKind::WeakStreet);
    let mut parts: Vec<Part> = Vec::with_capacity(8);
    let mut at = start;
    let mut starts_segment = false;
    let mut line_feeds = 0;
    while at < start + ADDRESS_BYTES_MAX && parts.len() < 28 {
        let part = part_at(text, at, starts_segment || parts.is_empty())
            .or_else(|| inner_word_at(text, at, parts.last()?, starts_segment))
            .or_else(|| unit_after_number(text, at, parts.last()?));
        let Some(mut part) = part else { break };
        // `No:4`: a unit and its number.
        let is_unit_with_number = part.kind == PartKind::Unit && text.byte_at(part.range.end) == b':';
        let after_colon = text.skip_while(part.range.end + 1, 1, |byte| byte == b' ');
        if is_unit_with_number && text.byte_at(after_colon).is_ascii_digit() && part.range.len() <= 12 {
            part.starts_segment = starts_segment;
            parts.push(part);
            at = after_colon;
            starts_segment = false;
            continue;
        }
        // `Mobile: 0752…` on the next line is another field, and `Name (…)`, `x@…`, `snake_case` are not part of an address.
        if matches!(text.byte_at(part.range.end), b':' | b'=' | b'(' | b'@' | b'_') {
            break;
        }
        part.starts_segment = starts_segment;
        at = part.range.end;
        // `Springfield.` ends the sentence, but `St.`, `Apt.` and `P.O.` are abbreviations.
        let word = text.slice(part.range.clone());
        let is_short = matches!(part.kind, PartKind::Street | PartKind::Unit)
            || word.contains('.')
            || (part.kind == PartKind::Capital && word.chars().count() <= 3);
        let is_sentence_end =
            text.byte_at(at) == b'.' && !is_short && text.byte_at(at + 1) != b',' && unit_after_number(text, at + 2, &part).is_none();
        parts.push(part);
        if needs_street && parts.len() == STREET_PARTS && !parts.iter().skip(1).any(is_street) {
            return Vec::new();
        }
        if is_sentence_end {
            break;
        }
        if text.byte_at(at) == b'.' {
            at += 1;
        }
        let gap = text.skip_while(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'\t'));
        let gap = after_line_prefix(text, start, gap);
        let between = text.slice(at..gap);
        if gap == at || count(between, b'\n') > 1 || count(between, b',') > 2 {
            break;
        }
        // `WV 25550 - Search`: a dash after a postal code ends the address.
        let after_postal_code = parts.last().is_some_and(|part| part.kind == PartKind::Number && part.range.len() >= 5);
        if after_postal_code && between.contains(" - ") {
            break;
        }
        line_feeds += count(between, b'\n');
        if line_feeds > 5 {
            break;
        }
        starts_segment = between.contains([',', '\n']);
        at = gap;
    }
    // Words in lower case at the end belong to the sentence.
    while parts.last().is_some_and(|part| {
        part.kind == PartKind::Particle
            || matches!(part.kind, PartKind::Street | PartKind::Unit)
                && text.char_at(part.range.start).is_some_and(char::is_lowercase)
                && part.starts_segment
    }) {
        parts.pop();
    }
    // At most a city and a country follow the last number. Further words belong to the next sentence.
    if let Some(last) = parts.iter().rposition(|part| matches!(part.kind, PartKind::Number | PartKind::Code)) {
        let keep = last + 1 + 5;
        parts.truncate(keep.max(last + 1));
    }
    parts
}

/// The position after the signs that begin each line of a quoted text, if they stand at `at` as well as on the line of
/// `start`: `> 12 Main Street⏎> Apt. 3`.
fn after_line_prefix(text: Text<'_>, start: usize, at: usize) -> usize {
    const PREFIX_BYTES_MAX: usize = 5;
    let line = text.skip_back_while(start, PREFIX_BYTES_MAX, |byte| byte != b'\n' && !byte.is_ascii_alphanumeric());
    let starts_line = line == 0 || text.byte_before(line) == b'\n';
    let prefix = text.slice(line..start).trim();
    let is_after_line_feed = text.slice(text.skip_back_while(at, 4, |byte| byte.is_ascii_whitespace())..at).contains('\n');
    // Headings and the items of a list are separate: `## 2 …⏎## 3 …`.
    let is_list = prefix.contains(['#', '-', '*']);
    if prefix.is_empty() || is_list || !starts_line || !is_after_line_feed || !text.rest(at).starts_with(prefix) {
        return at;
    }
    text.skip_while(at + prefix.len(), 4, |byte| byte == b' ')
}

/// A word in lower case between a name and a street word: `bottyán` in `Vak bottyán köz 355`.
fn inner_word_at(text: Text<'_>, at: usize, before: &Part, starts_segment: bool) -> Option<Part> {
    if starts_segment || before.kind != PartKind::Capital || text.byte_before(at) != b' ' {
        return None;
    }
    let end = text.skip_while(at, 24, |byte| byte.is_ascii_lowercase() || byte >= 0x80);
    if end < at + 4 || text.byte_at(end) != b' ' {
        return None;
    }
    let entry = look_up(text.slice(at..end));
    let is_word = !entry.is_common_word() || entry.is_common_elsewhere();
    let next = is_word.then(|| part_at(text, end + 1, false)).flatten()?;
    (next.kind == PartKind::Street).then_some(Part { range: at..end, kind: PartKind::Particle, starts_segment: false })
}

/// As [`inner_word_at`], for the word in `range` before the street word at `street`.
fn inner_word_before(text: Text<'_>, range: Range<usize>, street: usize) -> Option<Part> {
    let before = text.skip_back_while(range.start.checked_sub(1)?, 40, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let before = part_at(text, before, false)?;
    let part = inner_word_at(text, range.start, &before, false)?;
    (part.range == range && street == range.end + 1).then_some(part)
}

/// A unit in lower case after its number: `2. th`, `2º izq`.
fn unit_after_number(text: Text<'_>, at: usize, before: &Part) -> Option<Part> {
    if before.kind != PartKind::Number || before.range.len() > 4 {
        return None;
    }
    let end = text.skip_while(at, 16, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let is_unit = end > at && street_class(&lower(text.slice(at..end))) == Some(WordClass::Unit);
    is_unit.then_some(Part { range: at..end, kind: PartKind::Unit, starts_segment: false })
}

/// The start of the chain that contains `anchor`, going left over words and numbers to the house number or the street.
pub(super) fn chain_start(text: Text<'_>, anchor: usize) -> Option<usize> {
    let mut at = anchor;
    let mut start = None;
    let mut segments = 0;
    for _ in 0..24 {
        let gap = text.skip_back_while(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'.'));
        let gap = if gap == at && text.byte_before(at) == b':' && text.byte_at(at).is_ascii_digit() { at - 1 } else { gap };
        let between = text.slice(gap..at);
        if gap == at || count(between, b'\n') > 1 || anchor - gap > 160 {
            break;
        }
        // `… delivered. 55372 Stuttgart`: a full stop that ends a sentence, and not an abbreviation such as `Schenkstr.`.
        let word_before =
            || text.slice(text.skip_back_while(gap, 24, |byte| byte.is_ascii_alphabetic() || byte >= 0x80)..gap).to_lowercase();
        let is_long_word = |word: String| word.len() > 5 && street_class(word.trim_end_matches('.')).is_none();
        let ends_sentence = between.starts_with(". ") && is_long_word(word_before());
        if ends_sentence || (between.contains('.') && !between.starts_with('.')) {
            break;
        }
        let word_start =
            text.skip_back_while(gap, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'\'' | b'/' | b'.'));
        if word_start == gap {
            break;
        }
        // `Komsomolsk-na-Amure` is one word.
        let word_start = if text.byte_before(word_start) == b'-' {
            let hyphenated = text.skip_back_while(word_start, 40, |byte| byte.is_ascii_alphabetic() || byte >= 0x80 || byte == b'-');
            if text.char_at(hyphenated).is_some_and(char::is_uppercase) { hyphenated } else { word_start }
        } else {
            word_start
        };
        segments += usize::from(between.contains([',', '\n']));
        let Some(part) = part_at(text, word_start, true).or_else(|| inner_word_before(text, word_start..gap, at)) else { break };
        if part.range.end < gap && !text.slice(part.range.end..gap).chars().all(|c| c == '.')
            || matches!(text.byte_before(word_start), b'_' | b'@' | b'=' | b'$') && text.byte_before(word_start) != b'='
        {
            break;
        }
        if is_calendar_word(text.slice(part.range.clone())) {
            // `January 27, 2019 Pompano Beach`: the number is a part of a date.
            return None;
        }
        at = word_start;
        match part.kind {
            PartKind::Particle => {}
            _ => start = Some(word_start),
        }
        if segments > 5 {
            break;
        }
    }
    start
}

/// The start of an address that begins before `start`: with a flat, or the name of a house (`Flat 2, Orchid Towers, 12 Main Street`).
pub(super) fn with_units_before(text: Text<'_>, mut start: usize) -> usize {
    const SEGMENT_BYTES_MAX: usize = 48;
    for _ in 0..3 {
        let end = text.skip_back_while(start, 3, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'/'));
        let between = text.slice(end..start);
        if !between.contains([',', '\n', '/']) {
            break;
        }
        let segment = text.skip_back_while(end, SEGMENT_BYTES_MAX, |byte| !matches!(byte, b',' | b'\n' | b'"' | b':' | b';' | b'>' | b'('));
        let shown = text.slice(segment..end);
        let mut at = segment + (shown.len() - shown.trim_start().len());
        // In a sentence the flat follows other words: `it goes to Flat 2, …`.
        let mut unit = None;
        let mut is_building = false;
        let words_start = at;
        while at < end {
            let Some(part) = part_at(text, at, at == words_start) else {
                unit = None;
                is_building = false;
                at = text.skip_while(at, end - at, |byte| byte != b' ');
                at = text.skip_while(at, 1, |byte| byte == b' ');
                continue;
            };
            let is_unit = part.kind == PartKind::Unit;
            let word = text.slice(part.range.clone());
            if unit.is_none() && (is_unit || matches!(part.kind, PartKind::Capital | PartKind::Number)) {
                unit = Some((part.range.start, is_unit));
            }
            is_building |= is_building_word(&word.to_lowercase()) && word.starts_with(char::is_uppercase);
            at = text.skip_while(part.range.end, 3, |byte| matches!(byte, b' ' | b'.' | b':' | b'-' | b'/')).max(at + 1);
        }
        match unit {
            Some((unit_start, is_unit)) if is_unit || is_building => start = unit_start,
            _ => break,
        }
    }
    start
}
