//! Phone numbers: international, North American, and national ones with a trunk zero or brackets.

use std::ops::Range;

use super::super::text::Text;
use super::calling_codes::{is_assigned, is_international};
use super::{is_date, separator_len};

/// A phone number without a label: international (`+49 30 901820`), North American (`415-555-0142`), or national with a trunk zero or
/// brackets and several groups (`030 / 8486578`). Most plain runs of digits are ids; accepted are 10 and 11 digits with a trunk zero, and mobile
/// numbers in Chinese text.
pub(super) fn phone(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // Most numbers have none of the possible beginnings and are excluded here.
    let before = text.byte_before(start);
    if matches!(before, b':' | b'/' | b'=')
        && is_in_link(text, start)
        && let Some(range) = phone_shaped(text, start, 5)
    {
        return Some(range);
    }
    let (first, next) = (text.byte_at(start), text.byte_at(start + 1));
    let has_trunk_one = matches!((first, next), (b'1' | b'7' | b'8', b' ' | b'-' | b'.' | b'('));
    let separated = matches!(text.byte_at(start + 3), b' ' | b'-' | b'.' | b')' | b'/' | 0xc2 | 0xe2);
    if first == b'1' && is_chinese_mobile(text, start) {
        return Some(start..start + 11);
    }
    let has_pair = text.byte_at(start + 2) == b' ' && text.byte_at(start + 3) == b'9';
    if first != b'0' && !separated && !has_trunk_one && !has_pair && !matches!(before, b'+' | b'(') {
        return None;
    }
    // `(+358) 635836962` or `(+358 635836962)`.
    if before == b'+' && text.byte_before(start - 1) == b'(' {
        return phone_shaped(text, start - 2, 8).or_else(|| phone_shaped(text, start - 1, 8));
    }
    if before == b'+' && (text.is_word_start(start - 1) || text.byte_before(start - 1) == b'.') {
        let range = phone_shaped(text, start - 1, 7)?;
        let digits: Vec<u8> = text.slice(range.clone()).bytes().filter(u8::is_ascii_digit).collect();
        return (is_international(&digits) || (digits.len() >= 8 && is_assigned(&digits))).then_some(range);
    }
    // `+(49) 30 901820`.
    if before == b'(' && text.byte_before(start - 1) == b'+' {
        return phone_shaped(text, start - 2, 8);
    }
    // The bracket is part of the number in `(0161) 928 5582`, but not in `(07462 996164)`.
    let close = text.skip_while(start, 6, |byte| byte.is_ascii_digit());
    let from = if before == b'(' && text.byte_at(close) == b')' { start - 1 } else { start };
    // Not a part of a decimal number, a path, an issue number, an amount or an identifier: `.030`, `/030`, `#030`, `$030`, `_030`.
    if matches!(before, b'.' | b'-' | b'/' | b'#' | b'=' | b':' | b'$' | b'_') && !matches!(before, b':' | b'=') {
        return None;
    }
    // `package==030.1`.
    if matches!(before, b'=') && text.byte_before(start - 1) == b'=' {
        return None;
    }
    if first == b'0'
        && let Some(range) = international_without_plus(text, start).or_else(|| plain_with_trunk_zero(text, start))
    {
        return Some(range);
    }
    if has_pair && let Some(range) = brazilian_mobile(text, start) {
        return Some(range);
    }
    if has_trunk_one && let Some(range) = with_trunk_digit(text, start) {
        return Some(range);
    }
    north_american(text, start).or_else(|| {
        // The first group has two digits and more, without three zeros; excludes most numbers.
        let may_have_trunk = first == b'0' && next.is_ascii_digit() && !(next == b'0' && text.byte_at(start + 2) == b'0');
        if !may_have_trunk && from == start {
            return None;
        }
        let range = phone_shaped(text, from, 9)?;
        let shown = text.slice(range.clone());
        let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let first = parts.first()?;
        // `030 / 8486578`, but not `0 306` or `000 123`; `(11) 90608-4758`.
        let trunk = first.starts_with('0') && first.len() >= 2 && parts.len() >= 2 && !first.starts_with("000");
        let brackets = from < start && matches!(parts.len(), 2..=4) && matches!(first.len(), 2..=5);
        // `01.27.97.08.41`, but not the decimal number `03.14159` or a mix such as `03.14-15`.
        let by_dots = shown.contains('.');
        let dots_fit = !by_dots || (parts.len() >= 3 && !shown.contains(['-', '/']));
        let after = text.byte_at(range.end);
        ((trunk || brackets) && dots_fit && !is_date(&parts) && !matches!(after, b':' | b'%' | b'/') && !is_decimal_tail(text, range.end))
            .then_some(range)
    })
}

/// Whether decimals follow: `030 901.5`.
fn is_decimal_tail(text: Text<'_>, end: usize) -> bool {
    matches!(text.byte_at(end), b'.' | b',') && text.byte_at(end + 1).is_ascii_digit()
}

/// A North American number: `(415) 555-0142`, `415.555.0142`. Area code and exchange never start with 0 or 1.
fn north_american(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // Not a part of a longer number: `978-415-555-0142`.
    north_american_at(text, start, false).filter(|range| !matches!(text.byte_before(range.start), b'-' | b'.'))
}

/// As [`north_american`], possibly after a trunk digit, and with `any_area` for all area codes.
fn north_american_at(text: Text<'_>, start: usize, any_area: bool) -> Option<Range<usize>> {
    let digits_at =
        |from: usize, count: usize| text.bytes().get(from..from + count).is_some_and(|part| part.iter().all(u8::is_ascii_digit));
    let is_separator = |at: usize| matches!(text.byte_at(at), b' ' | b'-' | b'.');
    let in_brackets = text.byte_before(start) == b'(' && text.byte_at(start + 3) == b')';
    let (from, second) = if in_brackets {
        (start - 1, start + 4 + usize::from(is_separator(start + 4)))
    } else if is_separator(start + 3) || text.byte_at(start + 3) == b'/' {
        (start, start + 4)
    } else {
        return None;
    };
    let area = (any_area || matches!(text.byte_at(start), b'2'..=b'9')) && digits_at(start, 3);
    let line = is_separator(second + 3) && digits_at(second + 4, 4);
    if !(area && line && digits_at(second, 3)) {
        return None;
    }
    let is_valid_exchange = matches!(text.byte_at(second), b'2'..=b'9');
    let same_separators = in_brackets || matches!(text.byte_at(start + 3), b'/') || text.byte_at(start + 3) == text.byte_at(second + 3);
    let end = extension_end(text, second + 8);
    // Hyphens or an extension are enough evidence for an exchange that does not exist.
    let is_written_as_phone = text.byte_at(second + 3) == b'-' && same_separators || end > second + 8;
    let exchange = is_valid_exchange || is_written_as_phone;
    let is_delimited =
        text.is_word_end(end) && text.byte_at(end) != b'-' && !(text.byte_at(second + 3) == b' ' && is_in_row(text, from, end));
    (exchange && same_separators && is_delimited).then_some(from..end)
}

/// Whether two numbers separated by spaces precede or follow, as in a row of a table.
fn is_in_row(text: Text<'_>, start: usize, end: usize) -> bool {
    let next_number = |at: usize| {
        let end = text.skip_while(at + 1, 8, |byte| byte.is_ascii_digit());
        (text.byte_at(at) == b' ' && end > at + 1 && text.is_word_end(end)).then_some(end)
    };
    let number_before = |at: usize| {
        let from = text.skip_back_while(at.checked_sub(1)?, 8, |byte| byte.is_ascii_digit());
        (text.byte_before(at) == b' ' && from + 1 < at && matches!(text.byte_before(from), b' ' | b'\t' | b'\n' | 0)).then_some(from)
    };
    next_number(end).and_then(next_number).is_some() || number_before(start).and_then(number_before).is_some()
}

/// `min` to 15 digits from `from` (a `+`, a bracket or a digit), grouped like a phone number: `+44 (0)161 928 5582`, `030 / 8486578`.
pub(in super::super) fn phone_shaped(text: Text<'_>, from: usize, min: usize) -> Option<Range<usize>> {
    let (mut count, mut best, mut last, mut at) = (0usize, None, from, from);
    if text.byte_at(at) == b'+' {
        at += 1;
        last = at;
    }
    let mut open = false;
    while at < text.len() {
        match text.byte_at(at) {
            b'0'..=b'9' => {
                count += 1;
                if count > 15 {
                    break;
                }
                last = at + 1;
                let has_extension = matches!(text.byte_at(last), b'x' | b'X' | b'e') && extension_end(text, last) > last;
                if count >= min && (text.is_word_end(last) || has_extension) && !open {
                    best = Some(last);
                }
            }
            b'(' if !open && at - last < 2 && (text.byte_at(at + 1).is_ascii_digit() || text.byte_at(at + 1) == b'+') => {
                open = true;
                at += usize::from(text.byte_at(at + 1) == b'+');
            }
            b')' if open && at == last => {
                open = false;
                last = at + 1;
                // A digit may directly follow the bracket: `(0)494`.
                at += 1;
                continue;
            }
            // One separator between groups, or one with spaces around it (` - `, ` / `).
            b' ' | b'-' | b'.' | b'/' if at > from && at - last < 1 => {}
            b' ' | b'-' | b'/' if at > from && at - last < 3 && (text.byte_before(at) == b' ' || text.byte_at(at) == b' ') => {}
            0xc2 | 0xe2 if at - last < 1 && separator_len(text, at, b"") > 0 => at += separator_len(text, at, b"") - 1,
            _ => break,
        }
        at += 1;
    }
    // E.164 allows 15 digits; a longer plain run is an id.
    let end = best?;
    if count > 15 && text.slice(from..end).bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(from..extension_end(text, end))
}

/// The end of an extension after a phone number: `x12`, `ext. 12`, `;ext=12`, `Durchwahl -12`; `end` if there is none.
fn extension_end(text: Text<'_>, end: usize) -> usize {
    const WORDS: &[&str] = &[
        "extension",
        "ext",
        "xtn",
        "x",
        "#",
        "durchwahl",
        "dw",
        "app",
        "apparat",
        "nebenstelle",
        "poste",
        "extensión",
        "extension",
        "anexo",
        "interno",
        "int",
        "ramal",
        "toestel",
        "tst",
        "anknytning",
        "lokal",
        "wew",
        "wewn",
        "доб",
        "内線",
        "分机",
        "내선",
    ];
    let at = text.skip_while(end, 3, |byte| matches!(byte, b' ' | b',' | b';' | b'(' | b'-' | b'/'));
    // Most numbers have no word after them.
    let first = text.byte_at(at);
    if !(first.is_ascii_alphabetic() || first == b'#' || first >= 0x80) {
        return end;
    }
    let Some(word) = WORDS.iter().find(|word| {
        text.bytes().get(at..at + word.len()).is_some_and(|shown| shown.eq_ignore_ascii_case(word.as_bytes()))
            && !text.byte_at(at + word.len()).is_ascii_alphabetic()
    }) else {
        return end;
    };
    let digits = text.skip_while(at + word.len(), 3, |byte| matches!(byte, b' ' | b'.' | b':' | b'=' | b'-'));
    let tail = text.skip_while(digits, 7, |byte| byte.is_ascii_digit());
    if tail == digits || !text.is_word_end(tail) { end } else { tail }
}

/// Whether the digits at `start` are the number of a link to a phone: `tel:5550142`, `https://wa.me/4930901820`.
fn is_in_link(text: Text<'_>, start: usize) -> bool {
    const LINKS: &[&str] =
        &["tel:", "tel://", "sms:", "smsto:", "callto:", "facetime:", "wa.me/", "?phone=", "&phone=", "wa.me/message/", "whatsapp:"];
    if !matches!(text.byte_before(start - 1), b'a'..=b'z' | b'A'..=b'Z' | b'/') {
        return false;
    }
    LINKS.iter().any(|link| {
        start
            .checked_sub(link.len())
            .and_then(|from| text.bytes().get(from..start))
            .is_some_and(|shown| shown.eq_ignore_ascii_case(link.as_bytes()))
    })
}

/// A plain number with the prefix `00` or `011` and a valid number of a country: `004930901820`, `0114930901820`.
fn international_without_plus(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip_while(start, 20, |byte| byte.is_ascii_digit());
    let shown = text.slice(start..end);
    let rest = shown.strip_prefix("011").filter(|rest| is_international(rest.as_bytes())).or_else(|| shown.strip_prefix("00"))?;
    (rest.len() >= 9 && is_international(rest.as_bytes()) && text.is_word_end(end)).then(|| start..extension_end(text, end))
}

/// A plain national number: 10 or 11 digits with a trunk zero, such as `0383772567`. Not a number padded with zeros, nor an ISBN-10.
fn plain_with_trunk_zero(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = text.skip_while(start, 12, |byte| byte.is_ascii_digit());
    let shown = text.bytes().get(start..end).filter(|shown| matches!(shown.len(), 10 | 11))?;
    let isbn: u32 = shown.iter().rev().zip(1..).map(|(byte, weight)| u32::from(*byte - b'0') * weight).sum();
    let is_isbn = shown.len() == 10 && isbn.is_multiple_of(11);
    let fits = text.byte_at(start + 1) != b'0' && !is_isbn;
    let is_delimited = text.is_word_end(end) && !is_decimal_tail(text, end) && !matches!(text.byte_at(end), b'-' | b'/' | b':' | b'%');
    (fits && is_delimited && !is_ascending(shown)).then_some(start..end)
}

/// Whether digits count up, as in an alphabet: `0123456789`.
fn is_ascending(digits: &[u8]) -> bool {
    digits.iter().zip(digits.iter().skip(1)).all(|(digit, next)| next.wrapping_sub(*digit) == 1)
}

/// A mobile number of China in Chinese text: 11 digits that start with 13 to 19.
fn is_chinese_mobile(text: Text<'_>, start: usize) -> bool {
    let end = text.skip_while(start, 12, |byte| byte.is_ascii_digit());
    if end - start != 11 || !matches!(text.byte_at(start + 1), b'3'..=b'9') || !text.is_word_end(end) {
        return false;
    }
    let around = text.bytes().get(start.saturating_sub(30)..text.len().min(end + 30)).unwrap_or_default();
    around.iter().any(|byte| (0xe4..=0xe9).contains(byte)) && !matches!(text.byte_before(start), b'.' | b'-' | b'/' | b'#' | b'_')
}

/// A mobile number of Brazil: `11 91234-5678`.
fn brazilian_mobile(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let end = start + 13;
    let shown = text.bytes().get(start..end)?;
    let fits = shown.iter().zip(b"99 99999-9999").all(|(byte, form)| if *form == b'9' { byte.is_ascii_digit() } else { byte == form });
    (fits && text.byte_at(start) != b'0' && text.is_word_end(end) && text.byte_at(end) != b'-').then_some(start..end)
}

/// A number of North America or Russia with the trunk digit: `1-415-555-0142`, `8 (495) 123-45-67`.
fn with_trunk_digit(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let before = text.byte_before(start);
    if before == b',' {
        return None;
    }
    let first = text.byte_at(start);
    let area = text.skip_while(start + 1, 2, |byte| matches!(byte, b' ' | b'-' | b'.' | b'('));
    if first == b'1' {
        // `1-014-673-0024` has no valid area, but no other meaning either.
        let is_hyphenated = text.byte_at(start + 1) == b'-';
        return north_american_at(text, area, is_hyphenated).map(|range| start..range.end);
    }
    // The groups of Russian numbers are 3, 3, 2 and 2 digits. The length of the second excludes most numbers.
    let second = text.skip_while(start + 1, 8, |byte| !byte.is_ascii_digit());
    if !matches!(text.skip_while(second, 5, |byte| byte.is_ascii_digit()) - second, 3 | 4) {
        return None;
    }
    let range = phone_shaped(text, start, 11)?;
    let shown = text.slice(range.clone());
    let lens: Vec<usize> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).map(str::len).collect();
    let digits: Vec<u8> = shown.bytes().filter(u8::is_ascii_digit).skip(1).collect();
    let national = [b"7".as_slice(), digits.as_slice()].concat();
    let grouped = matches!(lens.as_slice(), [1, 3, 3, 2, 2] | [1, 3, 3, 4] | [1, 4, 2, 2, 2] | [1, 3, 7] | [1, 3, 2, 2, 3]);
    let in_brackets = shown.contains('(');
    (digits.len() == 10 && grouped && is_international(&national) && (in_brackets || shown.contains('-') || lens.len() == 5))
        .then_some(range)
}

/// The next number of a list after a phone number that ends at `end`: `030 1234567, 030 1234568`. Returns where it may start.
pub(in super::super) fn next_of_list(text: Text<'_>, end: usize) -> Option<usize> {
    const WORDS: &[&str] = &[
        "or", "and", "oder", "und", "ou", "et", "o", "y", "e", "of", "en", "lub", "i", "и", "или", "és", "vagy", "och", "eller", "nebo",
        "a",
    ];
    let mut at = text.skip_while(end, 4, |byte| matches!(byte, b' ' | b',' | b';' | b'/' | b'|' | b'&' | b'\n'));
    if let Some(word) = WORDS.iter().find(|word| text.rest(at).starts_with(*word) && text.byte_at(at + word.len()) == b' ') {
        at += word.len() + 1;
    }
    let is_number = |at: usize| text.byte_at(at).is_ascii_digit() || matches!(text.byte_at(at), b'+' | b'(');
    (at > end && is_number(at)).then_some(at)
}
