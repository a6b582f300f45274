//! Reads short codes next to their labels: PINs and one-time codes, expiry months, last digits, postal codes, security answers.

use std::ops::Range;

use super::identifiers::count_digits;
use super::{LabelSyntax, Match, Reader, ValueStart};
use crate::redact::detect::secrets::is_placeholder;

impl Reader<'_, '_> {
    /// The range of a short value: in its quotes, or the word after the label and the words that link it, such as `is`.
    fn short_value(&self, value_start: ValueStart) -> Option<Range<usize>> {
        if value_start.syntax != LabelSyntax::Sentence {
            let range = self.spaced_value(value_start);
            if value_start.quote != 0 {
                return Some(range);
            }
            let end = self.text.skip_while(range.start, range.len(), |byte| !byte.is_ascii_whitespace());
            return Some(range.start..self.trimmed_end(range.start..end));
        }
        let at = self.skip_linking_words(value_start.offset)?;
        let end = self.text.skip_while(at, 24, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'/'));
        Some(at..end)
    }

    /// The end of a value without the punctuation of its sentence.
    fn trimmed_end(&self, range: Range<usize>) -> usize {
        range.start + self.text.slice(range).trim_end_matches(['.', ',', ';', '!', '?', ')', ':']).len()
    }

    /// A PIN or a one-time code.
    pub(super) fn pin(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let Some(range) = self.short_value(value_start) else { return };
        let value = self.text.slice(range.clone());
        let digits = count_digits(value);
        let is_number = digits == value.len() || (value.len() == digits + 1 && value.contains(['-', ' ']));
        let label = self.text.slice(self.label.start..self.label.identifier.end);
        let is_card_code = label.to_ascii_lowercase().starts_with("cv") || label.eq_ignore_ascii_case("csc");
        let next = self.text.byte_at(range.end);
        // `PIN 13` of a chip, `otp 27.1`, `pin: 2` of a lamp.
        let fits = is_number
            && (if is_card_code { 3..=4 } else { 4..=8 }).contains(&digits)
            && !matches!(next, b'.' | b'%' | b'/' | b':' | b'_' | b'-')
            || (next == b'.' && is_number && digits >= 4 && !self.text.byte_at(range.end + 1).is_ascii_digit());
        // Recovery codes have letters: `8hd2-22kd`.
        let is_mixed = value_start.syntax != LabelSyntax::Sentence
            && (6..=16).contains(&value.len())
            && digits >= 2
            && value.bytes().any(|byte| byte.is_ascii_alphabetic())
            && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !is_placeholder(value)
            && label.contains(['o', 'O'])
            && label.len() >= 7;
        if fits || is_mixed {
            self.push(range, matches);
        }
    }

    /// The month in which a card expires: `04/29`, `04/2029`.
    pub(super) fn expiry(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let Some(range) = self.short_value(value_start) else { return };
        let value = self.text.slice(range.clone());
        let Some((month, year)) = value.split_once(['/', '-']) else { return };
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        let is_month = (1..=2).contains(&month.len()) && is_number(month) && month.parse().is_ok_and(|month: u8| (1..=12).contains(&month));
        let is_year = is_number(year) && (year.len() == 2 || (year.len() == 4 && year.starts_with("20")));
        if is_month && is_year {
            self.push(range, matches);
        }
    }

    /// The last four digits of a number.
    pub(super) fn last_digits(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let Some(range) = self.short_value(value_start) else { return };
        let value = self.text.slice(range.clone());
        if value.len() == 4 && count_digits(value) == 4 {
            self.push(range, matches);
        }
    }

    /// A postal code in its own field.
    pub(super) fn postal_code(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if !matches!(value_start.syntax, LabelSyntax::Assignment | LabelSyntax::TableCell) {
            return;
        }
        let range = self.spaced_value(value_start);
        let value = self.text.slice(range.clone());
        let is_code = value.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || matches!(byte, b' ' | b'-'));
        if is_code && (4..=10).contains(&value.len()) && count_digits(value) >= 2 {
            self.push(range, matches);
        }
    }

    /// The answer to a security question.
    pub(super) fn answer(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const NO_ANSWERS: [&str; 9] = ["null", "none", "string", "text", "required", "true", "false", "nil", "str"];
        if !matches!(value_start.syntax, LabelSyntax::Assignment | LabelSyntax::TableCell | LabelSyntax::Argument) {
            return;
        }
        let range = self.spaced_value(value_start);
        let value = self.text.slice(range.clone());
        let is_short = (2..=80).contains(&value.len()) && value.split(' ').count() <= 6;
        if is_short && !is_placeholder(value) && !NO_ANSWERS.contains(&value.to_ascii_lowercase().as_str()) {
            self.push(range, matches);
        }
    }
}
