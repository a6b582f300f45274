//! Finds numbers that states and insurers give to persons: identity, tax, social security and health numbers, licences.
//!
//! A format describes how a number is written and its check ([`IdFormat`]). There are three levels of proof. If few random numbers of a written
//! form pass the check, the number is sufficient ([`IdFormat::alone`]). Otherwise the name of the number, or general words such as "tax number",
//! must be near it ([`IdFormat::near`]). A value next to a label in `rules/labels.toml` is read by [`super::super::values`], whatever its
//! check digits.
//!
//! Formats, lengths and algorithms are facts of the issuing authorities, most of them as implemented in the Python package `python-stdnum`
//! (2.2).

mod accounts;
mod africa_asia;
mod americas;
mod checks;
mod europe;
mod things;
mod words;

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::LazyLock;

use self::checks::Number;
use self::words::Words;
use super::super::Match;
use super::super::text::Text;

pub(super) use self::checks::luhn;

/// The detectors of numbers that are sufficient alone, and of those with a name near them.
pub(in super::super) const CHECK_DIGITS: &str = "check digits";
pub(in super::super) const CHECK_DIGITS_NEAR_NAME: &str = "check digits near a name";

/// A number of one country.
#[derive(Debug)]
struct IdFormat {
    /// The country (ISO 3166-1).
    country: &'static str,
    /// The kind of the number, for `--explain`.
    kind: &'static str,
    /// Written forms that are sufficient with a valid check. `9` is any digit, `0` to `8` this digit, `A` a letter, `X` a letter or digit,
    /// and all other characters are themselves.
    alone: &'static [&'static str],
    /// Written forms that also need words near them.
    near: &'static [&'static str],
    /// Names of the number in lower case; a name of four letters and more may continue.
    names: &'static [&'static str],
    is_valid: fn(&Number) -> bool,
    /// Whether general names of such numbers are enough near it. Not for numbers without check digits.
    accepts_general_names: bool,
}

/// A format of a `national_id`.
const fn id(
    country: &'static str,
    alone: &'static [&'static str],
    near: &'static [&'static str],
    names: &'static [&'static str],
    is_valid: fn(&Number) -> bool,
) -> IdFormat {
    IdFormat { country, kind: "national_id", alone, near, names, is_valid, accepts_general_names: true }
}

/// A format without check digits, which needs its own name or that of its country.
const fn unchecked(
    country: &'static str,
    alone: &'static [&'static str],
    near: &'static [&'static str],
    names: &'static [&'static str],
    is_valid: fn(&Number) -> bool,
) -> IdFormat {
    IdFormat { accepts_general_names: false, ..id(country, alone, near, names, is_valid) }
}

impl IdFormat {
    const fn of_kind(self, kind: &'static str) -> Self {
        Self { kind, ..self }
    }
}

/// A written form of a format, in the index.
#[derive(Debug, Clone, Copy)]
struct Form {
    format: &'static IdFormat,
    /// The position of the format in [`formats`].
    index: usize,
    pattern: &'static str,
    /// Characters before its first digit.
    lead: usize,
    /// The number of digits after the separator that follows its first digits, if it is fixed.
    second: Option<usize>,
    is_alone: bool,
    /// Whether spaces separate its groups, so that it is none in a row of numbers.
    has_space: bool,
    /// Whether it consists of any digits.
    is_plain: bool,
}

impl Form {
    /// Whether the form ends with its first digits.
    fn is_one_group(&self, first: usize) -> bool {
        self.pattern.len() == self.lead + first
    }
}

/// The forms with the same beginning, in the order in which they are tried.
#[derive(Debug, Clone, Default)]
struct Forms {
    all: Vec<Form>,
    /// A bit for each length of the second group of digits that one of the forms has; of all forms, and of those without spaces.
    /// Excludes most numbers.
    seconds: u32,
    seconds_without_space: u32,
}

impl Forms {
    fn add(&mut self, form: Form, first: usize) {
        let seconds = form.second.filter(|_| !form.is_one_group(first)).map_or(u32::MAX, |second| 1 << second.min(31));
        self.seconds |= seconds;
        self.seconds_without_space |= if form.has_space { 0 } else { seconds };
        self.all.push(form);
    }
}

/// The number of digits of the longest first group in any form.
const FIRST_DIGITS_MAX: usize = 26;

/// What precedes the first digit: up to six letters, or letters and a separator.
const LEADS: usize = 8;
const LEAD_SEPARATED: usize = 7;

/// What follows the first group of digits: one of `SEPARATORS`, a letter, or anything else.
const SEPARATORS: &[u8] = b"-. /+(";
const AFTER_LETTER: usize = 6;
const AFTER_OTHER: usize = 7;
const AFTERS: usize = 8;

/// All forms by what precedes their first digit, the length of the first group of digits and what follows it.
static FORMS: LazyLock<Vec<Forms>> = LazyLock::new(|| {
    let mut index = vec![Forms::default(); LEADS * (FIRST_DIGITS_MAX + 1) * AFTERS];
    for (position, format) in formats().enumerate() {
        let forms = [(format.alone, true), (format.near, false)];
        for (pattern, is_alone) in forms.into_iter().flat_map(|(forms, is_alone)| forms.iter().map(move |form| (*form, is_alone))) {
            let bytes = pattern.as_bytes();
            let lead = bytes.iter().take_while(|byte| !byte.is_ascii_digit()).count();
            let lead_class = if bytes.iter().take(lead).all(u8::is_ascii_alphabetic) { lead } else { LEAD_SEPARATED };
            let digits = bytes.iter().skip(lead).take_while(|byte| byte.is_ascii_digit()).count();
            let second = bytes.iter().skip(lead + digits + 1).take_while(|byte| byte.is_ascii_digit()).count();
            // `X` may continue it.
            let second = if bytes.get(lead + digits + 1 + second) == Some(&b'X') { None } else { Some(second) };
            // `X` after the group may be another digit of it.
            let open = bytes.iter().skip(lead + digits).take_while(|byte| **byte == b'X').count();
            for more in 0..=open {
                let after = match bytes.get(lead + digits + more) {
                    None => AFTER_OTHER,
                    Some(b'A' | b'X') => AFTER_LETTER,
                    Some(byte) => after_class(*byte),
                };
                // A form without a tail may be followed by any separator: `85070998 is`.
                let afters = if after == AFTER_OTHER { 0..AFTERS } else { after..after + 1 };
                for after in afters.filter(|after| *after != AFTER_LETTER || bytes.len() > lead + digits + more) {
                    if let Some(forms) = index.get_mut(slot(lead_class, digits + more, after)) {
                        let (has_space, is_plain) = (bytes.contains(&b' '), bytes.iter().all(|byte| *byte == b'9'));
                        forms.add(Form { format, index: position, pattern, lead, second, is_alone, has_space, is_plain }, digits + more);
                    }
                }
            }
        }
    }
    index
});

/// All formats.
fn formats() -> impl Iterator<Item = &'static IdFormat> {
    [europe::FORMATS, americas::FORMATS, africa_asia::FORMATS, accounts::FORMATS].into_iter().flatten()
}

fn slot(lead: usize, digits: usize, after: usize) -> usize {
    (lead * (FIRST_DIGITS_MAX + 1) + digits) * AFTERS + after
}

fn after_class(byte: u8) -> usize {
    match byte {
        b'0'..=b'9' | b'"' | b'\n' | b',' => AFTER_OTHER,
        _ if byte.is_ascii_alphabetic() => AFTER_LETTER,
        _ => SEPARATORS.iter().position(|separator| *separator == byte).unwrap_or(AFTER_OTHER),
    }
}

/// The number whose first group of digits is `first`, possibly after letters.
pub(super) fn at_digits(text: Text<'_>, first: Range<usize>) -> Option<Match> {
    if first.len() > FIRST_DIGITS_MAX {
        return None;
    }
    let letters = first.start - text.skip_back_while(first.start, LEAD_SEPARATED, |byte| byte.is_ascii_alphabetic());
    let is_separated = letters == 0
        && matches!(text.byte_before(first.start), b' ' | b'-' | b'.')
        && text.byte_before(first.start - 1).is_ascii_alphabetic();
    let after = after_class(text.byte_at(first.end));
    let is_separator = after < AFTER_LETTER;
    let second = if is_separator { text.skip_while(first.end + 1, 20, |byte| byte.is_ascii_digit()) - first.end - 1 } else { 0 };
    // As in [`is_delimited`].
    let is_in_row = letters == 0 && text.byte_before(first.start) == b' ' && text.byte_before(first.start - 1).is_ascii_digit();
    let find = |lead_class: usize| {
        let forms = FORMS.get(slot(lead_class, first.len(), after))?;
        let seconds = if is_in_row { forms.seconds_without_space } else { forms.seconds };
        if seconds == 0 || (is_separator && (seconds >> second.min(31)) & 1 == 0) {
            return None;
        }
        let context = Context::default();
        let may_fit = |form: &&Form| {
            !(is_in_row && form.has_space)
                && (!is_separator || form.second.is_none_or(|digits| digits == second) || form.is_one_group(first.len()))
        };
        forms.all.iter().filter(may_fit).find_map(|form| context.find_form(text, first.start.checked_sub(form.lead)?, form))
    };
    let is_part = letters == 0 && continues_before(text, first.start);
    let found = if letters < LEAD_SEPARATED && !is_part { find(letters) } else { None };
    found.or_else(|| if is_separated { find(LEAD_SEPARATED) } else { None })
}

/// What is the same for all forms of a number, and found out when a form needs it.
#[derive(Debug, Default)]
struct Context {
    /// The words near the number, around the first form that needs them.
    words: OnceCell<Words>,
    /// The number in forms that consist of any digits; `None` if it is a part of something else or uniform.
    plain: OnceCell<Option<Number>>,
}

impl Context {
    /// The number at `start`, if it has the form, a valid check, and the words that the form needs.
    fn find_form(&self, text: Text<'_>, start: usize, form: &Form) -> Option<Match> {
        // Nothing near the number is a name of such numbers.
        if !form.is_alone && self.words.get().is_some_and(|words| !words.name_any()) {
            return None;
        }
        let range = start..start + form.pattern.len();
        let read;
        let number = if form.is_plain {
            // The first group has as many digits as the form.
            self.plain.get_or_init(|| number_at(text, &range)).as_ref()?
        } else {
            let is_form = form.pattern.bytes().zip(text.bytes().get(range.clone())?).all(|(expected, byte)| fits(expected, *byte));
            read = if is_form { number_at(text, &range)? } else { return None };
            &read
        };
        let words = || self.words.get_or_init(|| Words::near(text, &range));
        if !form.is_alone && !words().name(form.index) || !(form.format.is_valid)(number) {
            return None;
        }
        let shown = text.slice(range.clone());
        // Short hex ids end in a lower-case letter, and most plain numbers of these lengths are times.
        let has_only_digits = shown.bytes().all(|byte| byte.is_ascii_digit());
        let is_ambiguous = (shown.len() < 12 && shown.bytes().any(|byte| byte.is_ascii_lowercase()))
            || (has_only_digits && (looks_like_time(shown) || is_path(text, start)));
        let is_sufficient = form.is_alone && !is_ambiguous && !(has_only_digits && things::names_a_thing(text, &range));
        if !is_sufficient && !words().name(form.index) {
            return None;
        }
        let detector = if is_sufficient { CHECK_DIGITS } else { CHECK_DIGITS_NEAR_NAME };
        Some(Match { range, kind: form.format.kind, detector })
    }
}

/// Whether a character of a text is what a pattern of [`IdFormat`] expects there.
fn fits(expected: u8, byte: u8) -> bool {
    match expected {
        b'9' => byte.is_ascii_digit(),
        b'A' => byte.is_ascii_alphabetic(),
        b'X' => byte.is_ascii_alphanumeric(),
        _ => byte == expected || (expected.is_ascii_uppercase() && byte == expected.to_ascii_lowercase()),
    }
}

/// The number in `range`, if that is not a part of something else, all letters have the same case, and not all characters are equal.
fn number_at(text: Text<'_>, range: &Range<usize>) -> Option<Number> {
    if !is_delimited(text, range.start, range.end) {
        return None;
    }
    let shown = text.slice(range.clone());
    let has_both_cases = shown.bytes().any(|byte| byte.is_ascii_uppercase()) && shown.bytes().any(|byte| byte.is_ascii_lowercase());
    Number::new(shown).filter(|number| !has_both_cases && !number.is_uniform())
}

/// Whether a number or an identifier precedes a value at `start` and goes on in it.
fn continues_before(text: Text<'_>, start: usize) -> bool {
    let before = text.byte_before(start);
    matches!(before, b'.' | b'-' | b'+' | b'/' | b',' | b'$')
        && (matches!(before, b'$' | b'+') || text.byte_before(start - 1).is_ascii_alphanumeric())
}

/// Whether a value at `start..end` is not a part of a longer number, identifier or decimal number.
fn is_delimited(text: Text<'_>, start: usize, end: usize) -> bool {
    let (before, after) = (text.byte_before(start), text.byte_at(end));
    let continues_after =
        matches!(after, b'.' | b'-' | b'/' | b',' | b':' | b'%') && text.byte_at(end + 1).is_ascii_alphanumeric() || after == b'%';
    // Groups of digits go on: a row of a table, or a longer number.
    let is_in_row = text.slice(start..end).contains(' ')
        && ((before == b' ' && text.byte_before(start - 1).is_ascii_digit() && text.byte_at(start).is_ascii_digit())
            || (after == b' ' && text.byte_at(end + 1).is_ascii_digit() && text.byte_before(end).is_ascii_digit()));
    text.is_word_start(start) && text.is_word_end(end) && !continues_before(text, start) && !continues_after && !is_in_row
}

/// Whether a plain number is a segment of a path, the number of an issue, or negative: `/orders/39053344705`.
fn is_path(text: Text<'_>, start: usize) -> bool {
    matches!(text.byte_before(start), b'/' | b'#' | b'-')
}

/// Whether a plain number is in the range of times since 1970 that occur in today's texts, in s, ms or us, or a time `yyyymmddhhmm`.
fn looks_like_time(digits: &str) -> bool {
    let part = |from: usize| digits.get(from..from + 2).and_then(|part| part.parse::<u32>().ok()).unwrap_or(99);
    let is_since_1970 = match digits.len() {
        10 => (13..=19).contains(&part(0)),
        13 | 16 => (14..=18).contains(&part(0)),
        _ => false,
    };
    let is_written = digits.len() >= 12
        && matches!(part(0), 19 | 20)
        && (1..=12).contains(&part(4))
        && (1..=31).contains(&part(6))
        && part(8) < 24
        && part(10) < 60;
    is_since_1970 || is_written
}

#[cfg(test)]
mod tests;
