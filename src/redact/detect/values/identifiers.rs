//! Reads numbers that identify a person next to their labels: ids, accounts, IBANs, cards, phones, dates of birth, coordinates.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{LabelSyntax, Match, Reader, SENTENCE_DISTANCE_BYTES_MAX, ValueStart, ValueType};
use crate::redact::detect::numbers;
use crate::redact::detect::text::{Text, is_cjk};

impl Reader<'_, '_> {
    /// A date of birth, which usually follows its label.
    pub(super) fn date(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let window = self.text.window(value_start.offset, SENTENCE_DISTANCE_BYTES_MAX);
        if let Some(found) = date_in(window) {
            self.push(value_start.offset + found.start..value_start.offset + found.end, matches);
        } else if self.label.start >= 4 {
            // In some languages the label follows the date: `1984年2月19日生まれ`, `13.05.1960 doğumlu`.
            let from = self.text.0.floor_char_boundary(self.label.start.saturating_sub(24));
            let left = self.text.slice(from..self.label.start);
            if let Some(found) = date_in(left).filter(|found| found.end + 3 >= left.len()) {
                self.push(from + found.start..from + found.end, matches);
            }
        }
    }

    /// The number of an identity document, a patient or an account.
    pub(super) fn id(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let is_account = self.rule.value_type == ValueType::Account;
        if value_start.syntax != LabelSyntax::Sentence {
            let mut range = self.spaced_value(value_start);
            // In access logs a value after `=` contains no spaces: `?account=4482910 HTTP/1.1" 200`, `mrn=8392011 200`.
            if value_start.quote == 0 && self.text.byte_before(value_start.offset) == b'=' {
                range.end = self.text.skip_while(range.start, range.len(), |byte| !byte.is_ascii_whitespace());
            }
            // `passport no: V03893827`, but not `document: 3 (score 0.71)`: enough digits, and nothing but the number in the field.
            if let Some(found) = id_run(self.text, range.start, range.end) {
                let digits = count_digits(self.text.slice(found.clone()));
                let rest = self.text.slice(found.end..range.end);
                let is_assigned = value_start.quote == 0 && value_start.syntax == LabelSyntax::Assignment;
                if digits >= if is_account { 6 } else { 4 } && (rest.len() < 3 || is_assigned) {
                    self.push(found, matches);
                }
                return;
            }
        }
        self.run_in_sentence(value_start, matches, |reader, at| {
            let found = id_run(reader.text, at, reader.text.len().min(at + 40))?;
            let digits = count_digits(reader.text.slice(found.clone()));
            // `personal number 41071093689`, `documento es 57641173E`; an account number has at least six digits: `account 12` does not match.
            let has_letters = found.len() >= 8 && found.len() <= 24 && digits >= 4 && digits < found.len();
            (digits >= if is_account { 6 } else { 5 } || (has_letters && !is_account)).then_some(found)
        });
    }

    /// Adds the first run after the label that `read` accepts. Stops after a few words, at another number, and at the end of the sentence.
    fn run_in_sentence(&self, value_start: ValueStart, matches: &mut Vec<Match>, read: impl Fn(&Self, usize) -> Option<Range<usize>>) {
        let end = self.text.0.floor_char_boundary(self.text.len().min(value_start.offset + SENTENCE_DISTANCE_BYTES_MAX));
        let mut at = value_start.offset;
        let mut words = 0;
        while at < end {
            let byte = self.text.byte_at(at);
            let starts_run = (byte.is_ascii_alphanumeric()
                || byte == b'+'
                || (byte == b'(' && (self.text.byte_at(at + 1).is_ascii_digit() || self.text.byte_at(at + 1) == b'+')))
                && (self.text.is_word_start(at) || self.text.char_before(at).is_some_and(is_cjk));
            if starts_run {
                if let Some(found) = read(self, at) {
                    self.push(found, matches);
                    return;
                }
                if byte == b'(' {
                    at += 1;
                    continue;
                }
                let word_end =
                    self.text.skip_while(at, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'\'' || byte >= 0x80);
                let word = self.text.slice(at..word_end);
                words += 1;
                // The label has no value here: `document 3 …` (another number), or too many words.
                if words > 7 || word.bytes().any(|byte| byte.is_ascii_digit()) || word_end == at {
                    return;
                }
                at = word_end;
                continue;
            }
            let is_space_next = self.text.byte_at(at + 1).is_ascii_whitespace();
            let is_query = matches!(byte, b'?' | b'&' | b'=') && !is_space_next;
            if is_query || matches!(byte, b'{' | b'}' | b'[' | b'<' | b'|') || (byte == b'\n' && self.text.byte_at(at + 1) == b'\n') {
                return;
            }
            // A full stop ends the sentence if a capitalized word of three letters or more follows: `… number. Please`, but not `no. AB 12` or
            // `nr. 12`, which end in `o` or `r`.
            if byte == b'.'
                && is_space_next
                && self.text.byte_at(at + 2).is_ascii_uppercase()
                && !self.text.byte_at(at + 3).is_ascii_uppercase()
                && self.text.byte_before(at) != b'o'
                && self.text.byte_before(at) != b'r'
            {
                let next = self.text.skip_while(at + 2, 20, |byte| byte.is_ascii_alphabetic());
                if next > at + 4 {
                    return;
                }
            }
            at += self.text.char_at(at).map_or(1, char::len_utf8);
        }
    }

    pub(super) fn iban(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        self.run_in_sentence(value_start, matches, |reader, at| numbers::labelled_iban(reader.text, at));
    }

    /// A card number with 13 to 19 digits. The check digit may be wrong, because the label is sufficient.
    pub(super) fn card(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        self.run_in_sentence(value_start, matches, |reader, at| {
            let end = reader.text.skip_while(at, 24, |byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'));
            let shown = reader.text.slice(at..end).trim_end_matches([' ', '-']);
            let digits = count_digits(shown);
            (13..=19).contains(&digits).then(|| at..at + shown.len())
        });
    }

    pub(super) fn phone(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        self.run_in_sentence(value_start, matches, |reader, at| {
            if reader.text.byte_at(at).is_ascii_alphabetic() {
                return None;
            }
            let range = numbers::phone_shaped(reader.text, at, 7)?;
            let shown = reader.text.slice(range.clone());
            let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
            let after = reader.text.byte_at(range.end);
            // Not a date (`2026-11-23`), a time (`10:11`), a percentage, an epoch time in ms or ns, or a version (`1.2.3`).
            let is_epoch_time = shown.starts_with(['1', '2']) && parts.len() == 1 && matches!(shown.len(), 13 | 19);
            (!numbers::is_date(&parts) && !matches!(after, b':' | b'%') && !is_epoch_time && !is_version(shown)).then_some(range)
        });
    }

    /// A coordinate with at least four decimals, which locates a building: `52.520008`, but not `52.5`.
    pub(super) fn coordinate(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        static DEGREES: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"\A\[?[-+]?\d{1,3}\.\d{4,}(?:\s*,\s*[-+]?\d{1,3}\.\d{4,})?").ok());
        if value_start.syntax != LabelSyntax::Assignment {
            return;
        }
        let window = self.text.window(value_start.offset, 60);
        if let Some(found) = DEGREES.as_ref().and_then(|degrees| degrees.find(window)) {
            self.push(value_start.offset..value_start.offset + found.end(), matches);
        }
    }
}

/// The first date in a text, in the notations of many languages.
fn date_in(window: &str) -> Option<Range<usize>> {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let month = "(?:jan|feb|mar|m[aä]r|apr|abr|avr|a[vb]r|ma[iyj]|máj|jun|juin|jui|jul|aug|ago|ao[uû]|aoû|ag[ou]|sep|set|szept|sept|oct|okt|out|ott|nov|dec|dez|d[ée]c|dic|gen|ene|giu|lug|mag|fév|fev|feb|ocak|şub|mart|nis|haz|tem|ağu|eyl|eki|kas|ara|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru|led|úno|bře|dub|kvě|čer|srp|zář|říj|pro|янв|фев|мар|апр|мая|май|июн|июл|авг|сен|окт|ноя|дек)";
        Regex::new(&format!(
            r"(?ix)(?:
              (?-u:\b)(?:18|19|20)\d\d\ ?[-/.]\ ?\d{{1,2}}\ ?[-/.]\ ?\d{{1,2}}(?-u:\b)
            | (?-u:\b)\d{{1,2}}\ ?[-/.]\ ?\d{{1,2}}\ ?[-/.]\ ?(?:(?:18|19|20)\d\d|\d\d)(?-u:\b)
            | (?-u:\b)\d{{1,2}}(?:st|nd|rd|th|\.|er|º|°)?[\ -]?(?:de\ |of\ |di\ )?{month}\w*\.?,?[\ -]?(?:de\ |del\ |of\ )?(?:18|19|20)\d\d(?-u:\b)
            | (?-u:\b){month}\w*\.?\ \d{{1,2}}(?:st|nd|rd|th)?,?\ (?:18|19|20)\d\d(?-u:\b)
            | (?-u:\b)(?:18|19|20)\d\d(?:\.|,)?\ {month}\w*\.?\ \d{{1,2}}(?-u:\b)
            | (?:18|19|20)\d\d[年년]\s?\d{{1,2}}[月월]\s?\d{{1,2}}[日일]
            | (?:昭和|平成|令和|大正)\d{{1,2}}年\d{{1,2}}月\d{{1,2}}日
            | (?-u:\b)(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?-u:\b)
            )"
        ))
        .ok()
    });
    DATE.as_ref()?.find(window).map(|found| found.range())
}

pub(super) fn count_digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// A number of an identity document from `from`: groups of letters and digits with single separators, such as `PW 76 96 66 D` or
/// `900.404.925-83`.
fn id_run(text: Text<'_>, from: usize, limit: usize) -> Option<Range<usize>> {
    let is_group_byte = |byte: u8| byte.is_ascii_alphanumeric();
    let (mut end, mut at) = (from, from);
    if text.byte_at(at) == b'#' {
        at += 1;
    }
    let start = at;
    while at < limit {
        let group_end = text.skip_while(at, 32, is_group_byte);
        let group = text.slice(at..group_end);
        let digits = count_digits(group);
        // A group has many digits (`V03893827`), is long (`NWBK60161331926819`), or consists of one or two capitals (`PW`, `D`).
        let fits = digits > 0 && (digits * 3 >= group.len() || group.len() >= 9)
            || (!group.is_empty() && group.len() <= 2 && group.bytes().all(|byte| byte.is_ascii_uppercase()));
        if group.is_empty() || !fits || group_end - start > 32 {
            break;
        }
        end = group_end;
        let separator = text.byte_at(group_end);
        if !matches!(separator, b' ' | b'-' | b'.' | b'/') {
            break;
        }
        at = group_end + 1;
        // ` / ` may separate groups. ` - ` does not: in access logs it is an empty field.
        if separator == b' ' && text.byte_at(at) == b'/' && text.byte_at(at + 1) == b' ' {
            at += 2;
        }
    }
    // `V03893827 AND`: a longer word in capitals at the end belongs to the sentence.
    let shown = text.slice(start..end);
    let last = shown.rsplit([' ']).next().unwrap_or("");
    if last.len() > 2 && !last.bytes().any(|byte| byte.is_ascii_digit()) {
        end -= last.len() + 1;
    }
    let shown = text.0.get(start..end).unwrap_or("");
    let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    // Excludes dates, which other labels read, and short numbers.
    let is_plain_date = numbers::is_date(&parts) && parts.len() == 3 && !shown.bytes().any(|byte| byte.is_ascii_alphabetic());
    (shown.len() >= 5 && text.is_word_end(end) && text.is_word_start(start) && !is_plain_date && parts.iter().any(|part| !part.is_empty()))
        .then_some(start..end)
}

/// Whether a number is a version such as `4.12.1`.
fn is_version(shown: &str) -> bool {
    shown.contains('.')
        && shown.split('.').all(|part| part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
        && shown.split('.').count() == 3
        && shown.len() < 9
}
