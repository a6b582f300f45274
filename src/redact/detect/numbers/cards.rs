//! Payment card numbers (ISO/IEC 7812).

use std::ops::Range;

use super::super::text::Text;
use super::national::luhn;
use super::{line_break_len, separator_len};

/// Shortest and longest card numbers: Maestro, and Visa or `UnionPay`.
const DIGITS_MIN: usize = 12;
const DIGITS_MAX: usize = 19;

/// Digits in groups.
struct Groups {
    digits: Few<u8>,
    /// The number of digits and the position at the end of each group.
    ends: Few<(usize, usize)>,
    /// Whether a separator other than a space or hyphen occurs.
    has_rare_separator: bool,
    /// The position of the first line break between groups, 0 without one.
    line_break: usize,
}

/// A list of at most [`DIGITS_MAX`] items, without an allocation, because most numbers are not a card.
#[derive(Default)]
struct Few<T> {
    items: [T; DIGITS_MAX],
    len: usize,
}

impl<T> Few<T> {
    fn push(&mut self, item: T) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = item;
            self.len += 1;
        }
    }

    fn as_slice(&self) -> &[T] {
        self.items.get(..self.len).unwrap_or_default()
    }
}

impl Groups {
    /// At most [`DIGITS_MAX`] digits from `start`, in groups with one separator or line break between them.
    fn read(text: Text<'_>, start: usize) -> Self {
        let mut groups = Self { digits: Few::default(), ends: Few::default(), has_rare_separator: false, line_break: 0 };
        let mut at = start;
        loop {
            while text.byte_at(at).is_ascii_digit() && groups.digits.len < DIGITS_MAX {
                groups.digits.push(text.byte_at(at) - b'0');
                at += 1;
            }
            groups.ends.push((groups.digits.len, at));
            if text.byte_at(at).is_ascii_alphanumeric() {
                return groups;
            }
            let line_break = line_break_len(text, at);
            let separator = separator_len(text, at, b"/_").max(line_break);
            if separator == 0 || !text.byte_at(at + separator).is_ascii_digit() || groups.digits.len >= DIGITS_MAX {
                return groups;
            }
            groups.has_rare_separator |= !matches!(text.byte_at(at), b' ' | b'-') && text.byte_at(at).is_ascii();
            if line_break > 0 && groups.line_break == 0 {
                groups.line_break = at;
            }
            at += separator;
        }
    }

    /// The lengths of the groups that contain the first `count` digits.
    fn lens(&self, count: usize) -> Few<usize> {
        let (mut lens, mut last) = (Few::default(), 0);
        for (end, _) in self.ends.as_slice().iter().take_while(|(end, _)| *end <= count) {
            lens.push(end - std::mem::replace(&mut last, *end));
        }
        lens
    }
}

/// A card number: 12 to 19 digits in the ranges of the issuers, with a valid Luhn check digit. The group after a space may be another number,
/// so every end of a group is tried, the longest first.
pub(super) fn card(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    // Not inside a decimal number, a range or a path: `0.4111111111111111`.
    let first = text.byte_at(start);
    let is_maestro = first == b'0' && text.rest(start).starts_with("0604");
    if !(matches!(first, b'2'..=b'6' | b'8' | b'9') || is_maestro) || matches!(text.byte_before(start), b'.' | b'-' | b'/') {
        return None;
    }
    // The fifth number of a row and later ones.
    if is_in_row(text, start, text.len()) {
        return None;
    }
    let groups = Groups::read(text, start);
    let is_card = |count: usize, end: usize| {
        let digits = groups.digits.as_slice().get(..count).unwrap_or_default();
        let is_plain = groups.ends.as_slice().first().is_some_and(|(first, _)| *first == count);
        // Excludes most numbers.
        if count < DIGITS_MIN || !issuer_accepts(digits, is_plain) {
            return false;
        }
        let lens = groups.lens(count);
        let lens = lens.as_slice();
        let in_fours = matches!(lens, [4, 4, 4] | [4, 4, 4, 1..=4] | [4, 4, 4, 4, 3] | [4, 6, 4 | 5] | [6, 13]);
        let varied = digits.iter().any(|digit| Some(digit) != digits.first());
        let is_valid = luhn(digits.iter().rev().map(|digit| u32::from(*digit)));
        // Some `UnionPay` cards have no check digit.
        let is_union_pay = digits.starts_with(&[6, 2]) && count >= 16 && in_fours && !groups.has_rare_separator;
        varied
            && (is_valid || is_union_pay)
            && (in_fours || !groups.has_rare_separator)
            && is_usual_grouping(lens)
            && !is_in_row(text, start, end)
            && text.is_word_end(end)
            && !(groups.line_break > 0 && groups.line_break < end && is_in_column(text, start, end))
    };
    let (_, end) = groups.ends.as_slice().iter().rev().find(|(count, end)| is_card(*count, *end))?;
    Some(start..*end)
}

/// Whether two more groups of four digits are around the number, as in a row of a table.
fn is_in_row(text: Text<'_>, start: usize, end: usize) -> bool {
    let next = |at: usize| {
        let end = text.skip_while(at + 1, 5, |byte| byte.is_ascii_digit());
        (text.byte_at(at) == b' ' && end == at + 5).then_some(end)
    };
    let previous = |at: usize| {
        let from = text.skip_back_while(at.checked_sub(1)?, 5, |byte| byte.is_ascii_digit());
        (text.byte_before(at) == b' ' && from + 5 == at).then_some(from)
    };
    // One more group may be a year, two are a row.
    let (after, before) = (next(end), previous(start));
    let more = [after.and_then(next), before.and_then(previous)];
    [after, before].into_iter().chain(more).flatten().count() >= 2
}

/// Whether lines of digits precede or follow: a wrapped number has text around it.
fn is_in_column(text: Text<'_>, start: usize, end: usize) -> bool {
    let left = text.skip_back_while(start, 8, |byte| byte.is_ascii_whitespace());
    let right = text.skip_while(end, 8, |byte| byte.is_ascii_whitespace());
    (left < start && text.byte_before(left).is_ascii_digit()) || (right > end && text.byte_at(right).is_ascii_digit())
}

/// Whether cards are written in groups of these lengths. Not an order number such as `503-1234567-1234567`, nor a row of a table.
fn is_usual_grouping(lens: &[usize]) -> bool {
    match lens {
        [_] | [4 | 6 | 8, _] | [4, 6, 4 | 5] | [4, 5, 6] | [4, 3, 3, 3] => true,
        [start @ .., _] => start.iter().all(|len| *len == 4),
        [] => false,
    }
}

/// Whether an issuer has cards of these first digits and this length. A plain number needs more evidence than one in groups, because most of
/// them are ids and times: every tenth passes the check.
fn issuer_accepts(digits: &[u8], is_plain: bool) -> bool {
    let prefix = |count: usize| digits.iter().take(count).fold(0u32, |prefix, digit| prefix * 10 + u32::from(*digit));
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    let is_maestro = matches!(four, 604 | 5018 | 5020 | 5038 | 5893 | 6304 | 6390 | 6706 | 6709 | 6759 | 6761..=6763 | 6767 | 6771);
    let is_maestro_range = matches!(two, 50 | 56..=58 | 60..=69);
    match digits.len() {
        12 => is_maestro || (!is_plain && is_maestro_range),
        // A number of a product (GTIN) may begin with the same digits.
        13 => (two / 10 == 4 || is_maestro || (!is_plain && is_maestro_range)) && !(is_plain && is_gtin(digits)),
        14 => matches!(two, 36 | 38 | 39) || matches!(three, 300..=305 | 309) || is_maestro || (!is_plain && is_maestro_range),
        15 => matches!(two, 34 | 37) || matches!(four, 2131 | 1800) || is_maestro || (!is_plain && is_maestro_range),
        16 => {
            matches!(two, 36 | 38 | 39 | 40..=69 | 81 | 82)
                || matches!(three, 300..=305)
                || matches!(four, 2200..=2205 | 2221..=2720 | 3500..=3599 | 8600 | 9704 | 9792 | 9860)
        }
        // Verve, Mir and `UnionPay`.
        17..=19 if is_plain => is_maestro || two == 62 || matches!(four, 5061 | 6500 | 2200..=2204),
        17..=19 => two / 10 == 4 || is_maestro_range || matches!(four, 2200..=2204 | 3528..=3589 | 9704) || two == 81,
        _ => false,
    }
}

/// Whether the last digit is a valid check digit of GS1.
fn is_gtin(digits: &[u8]) -> bool {
    let sum: u32 = digits.iter().rev().enumerate().map(|(index, digit)| u32::from(*digit) * if index % 2 == 0 { 1 } else { 3 }).sum();
    sum.is_multiple_of(10)
}

/// A card number next to its label. The check digit may be wrong, because the label is sufficient.
pub(in super::super) fn labelled_card(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    if !text.byte_at(start).is_ascii_digit() {
        return None;
    }
    let groups = Groups::read(text, start);
    let accepts = |count: usize| match count {
        12 => matches!(text.byte_at(start), b'5' | b'6'),
        13..=DIGITS_MAX => true,
        _ => false,
    };
    let (_, end) = groups.ends.as_slice().iter().rev().find(|(count, end)| accepts(*count) && text.is_word_end(*end))?;
    Some(start..*end)
}
