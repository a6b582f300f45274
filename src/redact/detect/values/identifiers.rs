//! Reads numbers that identify a person next to their labels: ids, accounts, IBANs, cards, phones, dates of birth, coordinates.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::{LabelSyntax, Match, Reader, SENTENCE_DISTANCE_BYTES_MAX, ValueStart, ValueType, starts_with_token};
use crate::redact::detect::numbers;
use crate::redact::detect::text::{Text, is_cjk};

impl Reader<'_, '_> {
    /// A date of birth, which usually follows its label.
    pub(super) fn date(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        /// `00:00:00.000000+00:00`.
        const TIME_BYTES_MAX: usize = 21;
        let window = self.until_token(value_start.offset, self.text.window(value_start.offset, SENTENCE_DISTANCE_BYTES_MAX));
        let is_sentence = value_start.syntax == LabelSyntax::Sentence;
        // `the birth of the company on 12 March 1987`.
        if is_sentence && self.text.slice(self.label.word.clone()).eq_ignore_ascii_case("birth") {
            return;
        }
        if let Some(found) = date_in(window) {
            // A time stamp is a date of birth in a field, but not in a sentence: `born since 2019-01-01T00:00:00Z`.
            let has_time = window.get(found.clone()).is_some_and(|date| date.ends_with('T'));
            let start = value_start.offset + found.start;
            let mut end = value_start.offset + found.end;
            if has_time {
                let is_time = |byte: u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'+' | b'-' | b'Z');
                end = self.text.skip_while(end, TIME_BYTES_MAX, is_time);
            }
            if !(has_time && is_sentence) {
                self.push(start..end, matches);
            }
        } else if !is_sentence && matches!(self.digits_at(value_start.offset), 6 | 8) {
            // `dob=680604`, `dob=04061968`.
            self.push(value_start.offset..value_start.offset + self.digits_at(value_start.offset), matches);
        } else if let Some(found) = self.day_without_year(value_start) {
            self.push(found, matches);
        } else if self.label.start >= 4 {
            // In some languages the label follows the date: `1984年2月19日生まれ`, `13.05.1960 doğumlu`.
            // The sign for "day" is part of the date and of the label: `1989年7月5日生`. A sentence may continue it: `5日生産`.
            let label = self.text.window(self.label.start, "日生".len());
            let is_day = label == "日生" && !self.text.char_at(self.label.start + label.len()).is_some_and(is_han);
            let label_start = self.label.start + if is_day { '日'.len_utf8() } else { 0 };
            let from = self.text.0.floor_char_boundary(label_start.saturating_sub(24));
            let left = self.text.slice(from..label_start);
            if let Some(found) = date_in(left).filter(|found| found.end + 3 >= left.len()) {
                self.push(from + found.start..from + found.end, matches);
            }
        }
    }

    /// A birthday without its year, directly after the label: `birthday: 12 March`, `my birthday is on March 3rd`.
    fn day_without_year(&self, value_start: ValueStart) -> Option<Range<usize>> {
        static DAY: LazyLock<Option<Regex>> = LazyLock::new(|| {
            let month = "(?:January|February|March|April|May|June|July|August|September|October|November|December|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept|Sep|\
                Oct|Nov|Dec)";
            Regex::new(&format!(
                r"(?i)\A(?:on )?(?:the )?(\d{{1,2}}(?:st|nd|rd|th|\.)?(?: of)? {month}|{month} \d{{1,2}}(?:st|nd|rd|th)?)(?-u:\b)"
            ))
            .ok()
        });
        let start =
            if value_start.syntax == LabelSyntax::Sentence { self.skip_linking_words(value_start.offset)? } else { value_start.offset };
        let window = self.text.window(start, 32);
        let found = DAY.as_ref()?.captures(window)?.get(1)?;
        Some(start + found.start()..start + found.end())
    }

    /// The part of a text at `from` that is before a redaction token, which is the value that was already replaced. The leak check leaves `<>` of it.
    fn until_token<'w>(&self, from: usize, window: &'w str) -> &'w str {
        let end = memchr::memchr_iter(b'<', window.as_bytes()).find(|at| starts_with_token(self.text, from + at));
        let end = end.unwrap_or(window.len());
        window.get(..end).unwrap_or(window)
    }

    /// The number of digits at a position.
    fn digits_at(&self, at: usize) -> usize {
        self.text.skip_while(at, 12, |byte| byte.is_ascii_digit()) - at
    }

    /// The number of an identity document, a patient or an account.
    pub(super) fn id(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let is_account = self.rule.value_type == ValueType::Account;
        if value_start.syntax != LabelSyntax::Sentence {
            let mut range = self.id_field(value_start);
            // `3131,4726359`: the comma belongs to the number.
            if is_account && self.text.byte_at(range.end) == b',' && (4..=6).contains(&range.len()) {
                let is_rest = |byte: u8| byte.is_ascii_digit() || matches!(byte, b' ' | b'-');
                let end = self.text.skip_while(range.end + 1, 16, is_rest);
                let end = range.start + self.text.slice(range.start..end).trim_end_matches([' ', '-']).len();
                if is_swedish_account(self.text.slice(range.start..end)) {
                    range.end = end;
                }
            }
            let digits_min = if is_account { 6 } else { 4 };
            let value = self.text.slice(range.clone());
            if self.series_and_number_after(range.start, matches) {
                return;
            }
            if is_id_text(value, digits_min) || (!is_account && is_document_code(value)) || (is_account && is_swedish_account(value)) {
                self.push(range, matches);
                return;
            }
            // `passport no: V03893827`, but not `document: 3 (score 0.71)`: enough digits, and nothing but the number in the field.
            if let Some(found) = id_run(self.text, range.start, range.end) {
                let digits = count_digits(self.text.slice(found.clone()));
                let rest = self.text.slice(found.end..range.end);
                let is_assigned = value_start.quote == 0 && matches!(value_start.syntax, LabelSyntax::Assignment | LabelSyntax::NextLine);
                if digits >= digits_min && (rest.len() < 3 || is_assigned) {
                    self.push(found, matches);
                }
                return;
            }
            if value_start.syntax == LabelSyntax::NextLine {
                return;
            }
        }
        if !is_account && self.series_and_number_after(value_start.offset, matches) {
            return;
        }
        self.run_in_sentence(value_start, matches, |reader, at| {
            // Directly after its label: `passport CZ6X4MVT2`.
            if at <= value_start.offset + 2 && !is_account {
                let is_code_byte = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
                let end = reader.text.skip_while(at, 24, is_code_byte);
                if is_document_code(reader.text.slice(at..end)) && reader.text.is_word_end(end) {
                    return Some(at..end);
                }
            }
            let found = id_run(reader.text, at, reader.text.len().min(at + 40))?;
            let digits = count_digits(reader.text.slice(found.clone()));
            // `personal number 41071093689`, `documento es 57641173E`; an account number has at least six digits: `account 12` does not match.
            let has_letters = found.len() >= 8 && found.len() <= 24 && digits >= 4 && digits < found.len();
            // `Medicare spending reached 839000`: a short number far from the label is an amount.
            let is_amount = digits == found.len() && digits < 7 && at > value_start.offset + 20;
            if is_amount || (reader.rule.kind == "ssn" && digits < 8) {
                return None;
            }
            (digits >= if is_account { 6 } else { 5 } || (has_letters && !is_account)).then_some(found)
        });
    }

    /// A document named by its series and its number: `паспорт серия 4512 номер 345678`, `CI seria RX nr. 482913`.
    fn series_and_number_after(&self, at: usize, matches: &mut Vec<Match>) -> bool {
        const SERIES: [&str; 9] = ["series", "серия", "серии", "серія", "серії", "seria", "serie", "série", "ser."];
        const NUMBER: [&str; 16] = [
            "номером",
            "номера",
            "номер",
            "numer",
            "número",
            "numéro",
            "numero",
            "numărul",
            "number",
            "№",
            "nº",
            "n°",
            "nr.",
            "nr",
            "no.",
            "no",
        ];
        let text = self.text;
        let blanks = |at: usize| text.skip_while(at, 3, |byte| matches!(byte, b' ' | b':' | b',' | b'"'));
        let word_at = |at: usize, words: &[&str]| {
            let shown = text.window(at, 24).to_lowercase();
            words.iter().find(|word| shown.starts_with(**word)).map(|word| at + word.len())
        };
        let Some(series) = word_at(blanks(at), &SERIES) else { return false };
        let start = blanks(series);
        let shown = text.window(start, 16);
        let len = shown.find(|letter: char| !letter.is_alphanumeric()).unwrap_or(shown.len());
        // `45 12`.
        let len = if len == 2 && text.byte_at(start + 2) == b' ' && text.byte_at(start + 3).is_ascii_digit() { 5 } else { len };
        let middle = blanks(start + len);
        let digits_start = blanks(word_at(middle, &NUMBER).unwrap_or(middle));
        let end = text.skip_while(digits_start, 10, |byte| byte.is_ascii_digit());
        let fits = (1..=8).contains(&len) && (4..=9).contains(&(end - digits_start)) && text.is_word_end(end);
        if fits {
            self.push(start..end, matches);
        }
        fits
    }

    /// The range of a field with a number.
    fn id_field(&self, value_start: ValueStart) -> Range<usize> {
        let mut range = self.spaced_value(value_start);
        // In access logs a value after `=` contains no spaces: `?account=4482910 HTTP/1.1" 200`, `mrn=8392011 200`.
        if value_start.quote == 0 && self.text.byte_before(value_start.offset) == b'=' {
            range.end = self.text.skip_while(range.start, range.len(), |byte| !byte.is_ascii_whitespace());
        }
        range
    }

    /// A number next to a label that is a common word or a short acronym: `documento es 57641173E`, `RG 12.345.678-9`, `account: 61094478`.
    pub(super) fn weak_id(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        let label = self.text.slice(self.label.start..self.label.identifier.end);
        let is_acronym = label.bytes().filter(u8::is_ascii_alphabetic).count() <= 4;
        // In lower case an acronym may be a word: `run`, `said`.
        let is_in_capitals = !label.bytes().any(|byte| byte.is_ascii_lowercase());
        let is_identifier = self.text.slice(self.label.identifier.clone()).contains('_');
        // `?dl=N43732786`: a licence has no other short name.
        let is_licence = self.rule.kind == "drivers_license" && self.text.byte_before(value_start.offset) == b'=';
        if is_acronym && !is_in_capitals && !is_identifier && value_start.quote == 0 && !is_licence {
            return;
        }
        // `documents: 123456` counts them.
        if self.label.is_plural && self.rule.value_type == ValueType::WeakId {
            return;
        }
        let (at, end) = if value_start.syntax == LabelSyntax::Sentence {
            let Some(at) = self.skip_linking_words(value_start.offset) else { return };
            (at, self.text.len().min(at + 40))
        } else {
            let range = self.id_field(value_start);
            (range.start, range.end)
        };
        if self.rule.kind == "drivers_license" && is_document_code(self.text.slice(at..end)) {
            self.push(at..end, matches);
            return;
        }
        let Some(found) = id_run(self.text, at, end) else { return };
        let value = self.text.slice(found.clone());
        let digits = count_digits(value);
        let is_whole = value_start.syntax == LabelSyntax::Sentence || found.end + 2 >= end || self.rule.kind == "medical_id";
        let next = self.text.byte_at(found.end);
        let is_decimal = matches!(next, b'.' | b',' | b'%') && self.text.byte_at(found.end + 1).is_ascii_digit();
        let is_amount = value.split_once('.').is_some_and(|(_, cents)| cents.len() <= 2);
        let is_compact_date = digits == 8 && value.len() == 8 && (value.starts_with("19") || value.starts_with("20"));
        // After an acronym a plain number must be long, and no word may follow: `CI 12345678`, `NIC 1234567890 bytes`.
        let is_weak_acronym = is_acronym && self.rule.value_type == ValueType::WeakId;
        let is_plain = digits == value.len();
        let is_counted = value_start.syntax == LabelSyntax::Sentence
            && next == b' '
            && self.text.byte_at(found.end + 1).is_ascii_lowercase()
            && digits < 11;
        if is_weak_acronym && is_plain && is_counted && self.rule.kind != "medical_id" {
            return;
        }
        // The acronyms of hospitals have no other meaning: `HN: 1048829`.
        let is_clear = self.rule.kind == "medical_id" && value_start.syntax != LabelSyntax::Sentence;
        let digits_min = match (is_weak_acronym, is_plain) {
            (true, true) if is_clear => 6,
            (true, true) => 9,
            (true, false) => 7,
            _ => 6,
        };
        let alphanumeric = value.bytes().filter(u8::is_ascii_alphanumeric).count();
        let is_long_mixture = digits >= 4 && alphanumeric >= 9 && alphanumeric > digits;
        if alphanumeric >= digits_min && (digits >= 5 || is_long_mixture) && is_whole && !is_decimal && !is_amount && !is_compact_date {
            self.push(found, matches);
        }
    }

    /// Adds the first run after the label that `read` accepts. Stops after a few words, at another number, and at the end of the sentence.
    fn run_in_sentence(&self, value_start: ValueStart, matches: &mut Vec<Match>, read: impl Fn(&Self, usize) -> Option<Range<usize>>) {
        let end = self.text.0.floor_char_boundary(self.text.len().min(value_start.offset + SENTENCE_DISTANCE_BYTES_MAX));
        let mut at = value_start.offset;
        let mut words = 0;
        while at < end {
            let byte = self.text.byte_at(at);
            // `ΑΕ5512093`: the letters of the series are Greek or Cyrillic.
            if byte >= 0x80
                && let Some(found) = series_and_number(self.text, at)
                && matches!(self.rule.value_type, ValueType::Id)
            {
                self.push(found, matches);
                return;
            }
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

    /// A card number with 12 to 19 digits. The check digit may be wrong, because the label is sufficient.
    pub(super) fn card(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        self.run_in_sentence(value_start, matches, |reader, at| numbers::labelled_card(reader.text, at));
    }

    /// A phone number, and the numbers of a list after it: `030 1234567, 030 1234568`.
    pub(super) fn phone(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const NUMBERS_MAX: usize = 16;
        const VERBS: [&str; 6] = ["call", "dial", "reach", "text me", "contact", "confirm on"];
        let label = self.text.slice(self.label.start..self.label.identifier.end);
        // `we call 71 06 12 the code`.
        let is_noun = !VERBS.iter().any(|verb| verb.eq_ignore_ascii_case(label));
        // A general word for "number" names another number after an acronym: `ДДС номер`, `ALV-numero`.
        if is_general_number(label) && self.follows_acronym() {
            return;
        }
        let before = matches.len();
        self.run_in_sentence(value_start, matches, |reader, at| {
            // Small countries have numbers of six digits, which only a field identifies.
            let is_next = value_start.syntax != LabelSyntax::Sentence || (is_noun && at <= value_start.offset + 2);
            reader.phone_at(at, 7).or_else(|| if is_next { reader.phone_at(at, 6) } else { None })
        });
        for _ in 0..NUMBERS_MAX {
            let Some(last) = matches.get(before..).and_then(|found| found.last()) else { return };
            let next = numbers::next_of_list(self.text, last.range.end).and_then(|at| self.phone_at(at, 7));
            let Some(next) = next else { return };
            self.push(next, matches);
        }
    }

    /// Whether a word in capitals is directly before the label.
    fn follows_acronym(&self) -> bool {
        let start = self.label.start;
        if !matches!(self.text.byte_before(start), b' ' | b'-') {
            return false;
        }
        let from = self.text.0.floor_char_boundary(start.saturating_sub(16));
        let left = self.text.slice(from..start - 1);
        let word = left.rsplit([' ', '-', '\n', '"', '(']).next().unwrap_or_default();
        word.chars().count() >= 2 && word.chars().all(char::is_uppercase) && !matches!(word, "TEL" | "GSM" | "SMS" | "WA" | "HP" | "ТЕЛ")
    }

    /// The phone number at `at` with at least `min` digits. A number of fewer than seven must be in pairs or triples: `71 06 12`.
    fn phone_at(&self, at: usize, min: usize) -> Option<Range<usize>> {
        // Not the end of a name such as `claude-sonnet-4-5-20250929`.
        let is_in_name = self.text.byte_before(at) == b'-' && at >= 2 && self.text.byte_before(at - 1).is_ascii_alphanumeric();
        if self.text.byte_at(at).is_ascii_alphabetic() || is_in_name {
            return None;
        }
        let range = numbers::phone_shaped(self.text, at, min)?;
        let shown = self.text.slice(range.clone());
        let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
        let after = self.text.byte_at(range.end);
        // Not a date (`2026-11-23`), a time (`10:11`), a percentage, an epoch time in ms or ns, or a version (`1.2.3`).
        let is_grouped =
            min >= 7 || (parts.len() >= 2 && parts.iter().all(|part| matches!(part.len(), 2 | 3)) && !shown.contains(['.', '/']));
        let is_epoch_time = shown.starts_with(['1', '2']) && parts.len() == 1 && matches!(shown.len(), 13 | 19);
        (!numbers::is_date(&parts) && !matches!(after, b':' | b'%') && !is_epoch_time && !is_version(shown) && is_grouped).then_some(range)
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

/// The beginnings of month names in ASCII letters. A word with other letters, or with a capital, between a day and a year is a month in any language.
const MONTHS: &str = "jan|feb|mar|apr|abr|avr|ma[iyj]|jun|jui|jul|aug|ago|ao|set|sep|szept|oct|okt|out|ott|nov|dec|dez|dic|des|gen|ene|giu|lug|mag|fev|\
    noi|ocak|mart|nis|haz|tem|eyl|eki|kas|ara|sty|lut|kwi|cze|lip|sie|wrz|lis|gru|led|dub|srp|pro|tammi|helmi|maalis|huhti|touko|kes|heina|elo|syys|loka|\
    marras|joulu|jaan|veeb|juun|juul|saus|vas|kov|bal|geg|bir|liep|rug|spal|lap|gruo|sij|velj|tra|svib|kol|ruj|stu|peb|hun|hul|nob|dis|ogos|agus|mac|ian|\
    iun|iul|iyun|iyul|oca|thang";

/// The first date in a text, in the notations of many languages.
pub(super) fn date_in(window: &str) -> Option<Range<usize>> {
    static DATE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        // Any letter outside ASCII, without the tables of Unicode classes, which take long to compile.
        let letter = r"(?-i:[A-Za-z\x{80}-\x{10ffff}])";
        let month =
            format!(r"(?:(?:{MONTHS}){letter}*|(?-i:[A-Z]){letter}{{2,14}}|[a-z]{{0,6}}(?-i:[\x{{80}}-\x{{10ffff}}]){letter}{{0,14}})");
        let year = "(?:18|19|20|24|25)\\d\\d";
        Regex::new(&format!(
            r"(?ix)(?:
              (?-u:\b)(?:1[3489]|2[0456])\d\d\ ?[-/.]\ ?\d{{1,2}}\ ?[-/.]\ ?\d{{1,2}}(?:(?-u:\b)|T)
            | (?-u:\b)\d{{1,2}}\ ?[-/.]\ ?\d{{1,2}}\ ?[-/.]\ ?(?:{year}|\d\d)(?-u:\b)
            | (?-u:\b)\d{{1,2}}\ \d{{1,2}}\ (?:19|20)\d\d(?-u:\b)
            | (?-u:\b)\d{{1,2}}(?:st|nd|rd|th|\.|er|º|°|\.º)?[\ \-/]?(?:de\ |of\ |di\ |ng\ |de'|d'|יום\ )?{month}\.?,?[\ \-/]?(?:de\ |del\ |of\ |năm\ |พ\.ศ\.\ ?|ค\.ศ\.\ ?)?{year}(?-u:\b)
            | (?-u:\b)\d{{1,2}}\ tháng\ \d{{1,2}},?\ (?:năm\ )?{year}(?-u:\b)
            | (?-u:\b)\d{{1,2}}[-\ /]?[A-Z]{{3}}[-\ /]'?\d\d(?-u:\b)
            | (?-u:\b){month}\.?\ \d{{1,2}}(?:st|nd|rd|th)?,?\ {year}(?-u:\b)
            | (?-u:\b){year}(?:\.|,)?\ (?:m\.\ )?{month}\.?\ \d{{1,2}}(?-u:\b)
            | (?-u:\b){year}\.\ gada\ \d{{1,2}}\.\ {month}
            | (?:18|19|20)\d\d[年년]\s?\d{{1,2}}[月월]\s?\d{{1,2}}[日일]
            | (?:昭和|平成|令和|大正)\d{{1,2}}年\d{{1,2}}月\d{{1,2}}日
            | (?-u:\b)(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?-u:\b)
            )"
        ))
        .ok()
    });
    DATE.as_ref()?.find(window).map(|found| found.range())
}

/// Whether a field is the number of a document as a whole: groups of digits and capitals with separators, such as `MORGA 657054 SM9IJ`.
fn is_id_text(value: &str, digits_min: usize) -> bool {
    const ID_BYTES_MAX: usize = 34;
    let has_spaces = value.contains(' ');
    let groups = || value.split([' ', '-', '.', '/']);
    let parts: Vec<&str> = value.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    (5..=ID_BYTES_MAX).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte.is_ascii_lowercase() && !has_spaces || b" -./".contains(&byte))
        && groups().all(|group| !group.is_empty() && (group.len() <= 5 || count_digits(group) > 0))
        && count_digits(value) >= digits_min
        // A word and a number are the name of something: `version-12345`.
        && !groups().any(|group| group.len() >= 4 && group.bytes().all(|byte| byte.is_ascii_lowercase()))
        && !(numbers::is_date(&parts) && parts.len() == 3 && !value.bytes().any(|byte| byte.is_ascii_alphabetic()))
}

/// Whether a label of phone numbers is also the word for any number.
fn is_general_number(label: &str) -> bool {
    const WORDS: [&str; 8] = ["номер", "numero", "número", "numéro", "nomor", "numer", "broj", "number"];
    let lower = label.to_lowercase();
    WORDS.contains(&lower.rsplit(['-', '_']).next().unwrap_or_default())
}

/// Whether a value is a code of capitals and digits, such as `CZ6X4MVT2`: the numbers of some documents have few digits.
pub(in super::super) fn is_document_code(value: &str) -> bool {
    const DIGITS_MIN: usize = 2;
    (8..=20).contains(&value.len())
        && value.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase() || byte == b'-')
        && value.split('-').all(|group| (2..=12).contains(&group.len()))
        && (count_digits(value) >= DIGITS_MIN || (value.len() == 9 && count_digits(value) == 1 && !value.contains('-')))
}

/// Whether a value is a Swedish account: four or five digits of the clearing number, a comma, six to eleven digits.
fn is_swedish_account(value: &str) -> bool {
    value.split_once(',').is_some_and(|(clearing, account)| {
        let is_number = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'));
        is_number(clearing)
            && is_number(account)
            && matches!(count_digits(clearing), 4 | 5)
            && clearing.len() <= 6
            && (6..=11).contains(&count_digits(account))
    })
}

fn is_han(letter: char) -> bool {
    ('\u{4e00}'..='\u{9fff}').contains(&letter)
}

pub(super) fn count_digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// A number of an identity document from `from`: groups of letters and digits with single separators, such as `PW 76 96 66 D` or
/// `900.404.925-83`.
pub(super) fn id_run(text: Text<'_>, from: usize, limit: usize) -> Option<Range<usize>> {
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
        // Three capitals are a group of an Italian tax code or a Polish identity card, unless they are a word.
        let fits = digits > 0 && (digits * 3 >= group.len() || group.len() >= 9)
            || (matches!(group.len(), 1..=3)
                && group.bytes().all(|byte| byte.is_ascii_uppercase())
                && !matches!(group, "AND" | "FOR" | "THE" | "NOT" | "IS" | "NO" | "OR" | "TO" | "IN" | "ON" | "OF" | "NR"));
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
    if let Some((groups, last)) = text.slice(start..end).rsplit_once(' ')
        && last.len() > 2
        && !last.bytes().any(|byte| byte.is_ascii_digit())
    {
        end = start + groups.len();
    }
    let shown = text.0.get(start..end).unwrap_or("");
    let parts: Vec<&str> = shown.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    // `2019-2024`.
    let is_years = parts.len() == 2
        && shown.len() == 9
        && parts.iter().all(|part| part.len() == 4 && (part.starts_with("19") || part.starts_with("20")));
    // Excludes dates, which other labels read, and short numbers.
    let is_plain_date = numbers::is_date(&parts) && parts.len() == 3 && !shown.bytes().any(|byte| byte.is_ascii_alphabetic());
    (shown.len() >= 5
        && text.is_word_end(end)
        && text.is_word_start(start)
        && !is_plain_date
        && !is_years
        && parts.iter().any(|part| !part.is_empty()))
    .then_some(start..end)
}

/// A number of five to nine digits after one to three capitals of another alphabet.
fn series_and_number(text: Text<'_>, at: usize) -> Option<Range<usize>> {
    const LETTERS_BYTES_MAX: usize = 8;
    if !text.is_word_start(at) {
        return None;
    }
    let window = text.window(at, LETTERS_BYTES_MAX);
    let letters = window.find(|letter: char| !letter.is_uppercase() || letter.is_ascii()).unwrap_or(0);
    let end = text.skip_while(at + letters, 10, |byte| byte.is_ascii_digit());
    (letters > 0 && (5..=9).contains(&(end - at - letters)) && text.is_word_end(end)).then_some(at..end)
}

/// Whether a number is a version such as `4.12.1`.
fn is_version(shown: &str) -> bool {
    shown.contains('.')
        && shown.split('.').all(|part| part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
        && shown.split('.').count() == 3
        && shown.len() < 9
}
