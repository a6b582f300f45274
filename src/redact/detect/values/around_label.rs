//! Reads values around a label: linked by small words (`is`), before the label (`K8812043 is my passport number`), and lists of values.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use super::identifiers::{count_digits, date_in, id_run};
use super::{LabelForm, LabelSyntax, Match, Reader, ValueStart, ValueType};
use crate::redact::detect::numbers;
use crate::redact::detect::secrets::{is_placeholder, is_punctuated_secret, looks_like_password, looks_random};
use crate::redact::detect::text::is_unspaced;

/// Words between a label and its value: forms of "is", and possessives that some languages put after the noun.
const LINKING_WORDS: &str = "\
    is was are to be ist war lautet sind heißt heisst est sont es son era é e è são foi sono jest są to brzmi je jsou sú är bol bola var er on ovat oli olen as \
    use with este eo yra ir on glasi az ez е это есть це є είναι ήταν είν هو هي است הוא היא hi hu là la adalah ialah ay ni este zní znie \
    hier here below set that mine mi moj moja moje mój mea mou μου σου του της мой моя моё моє мій моја saya ku anda ko mo yangu yako של שלי שלך من من है হল হলো \
    ist: var: equals now currently aktuell actuel actual numero number no nr";

/// Words before a label that belong to it: `X is my passport number`.
const POSSESSIVES: &str = "\
    my the your a an his her our their its this mein meine dein deine sein seine ihr ihre die der das mon ma mes le la l' votre son mi mis su el il lo o os \
    meu minha seu sua mio mia tuo moje mój moja twoje můj moja môj mitt min ditt minun benim mijn uw zijn new old temporary current";

/// Forms of "is" between a value and its label.
const IS: &str = "is was ist war est es é è jest je er är on to lautet";

pub(super) fn is_linking_word(word: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| LINKING_WORDS.split_whitespace().collect());
    WORDS.contains(word)
}

impl Reader<'_, '_> {
    /// The start of the first word after `from` that links nothing: after `is`, possessives, and particles of scripts without spaces.
    pub(super) fn skip_linking_words(&self, from: usize) -> Option<usize> {
        const WORDS_MAX: usize = 4;
        let mut at = from;
        for _ in 0..=WORDS_MAX {
            at = self.text.skip_while(at, 6, |byte| matches!(byte, b' ' | b':' | b'"' | b'\'' | b'`' | b'*'));
            // `はX`, `是X`, `คือX`.
            let window = self.text.window(at, 24);
            let particles = window.find(|letter: char| !is_unspaced(letter)).unwrap_or(0);
            if particles > 0 {
                at += particles;
                continue;
            }
            let end = at + window.find(|letter: char| !letter.is_alphabetic()).unwrap_or(window.len());
            let word = self.text.slice(at..end).to_lowercase();
            // `E771429031`: the letter belongs to the value.
            let is_code = self.text.byte_at(end).is_ascii_digit();
            if word.is_empty() || is_code || !is_linking_word(&word) {
                return Some(at);
            }
            at = end;
        }
        None
    }

    /// The value before a label: `K8812043 is my passport number`, `61094478 (account no)`.
    pub(super) fn value_before_label(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const DISTANCE_BYTES_MAX: usize = 64;
        static KNOWN: LazyLock<(HashSet<&str>, HashSet<&str>)> =
            LazyLock::new(|| (POSSESSIVES.split_whitespace().collect(), IS.split_whitespace().collect()));
        if value_start.syntax != LabelSyntax::Sentence {
            return;
        }
        let label = self.label.identifier.start;
        if self.compared_value(label, matches) {
            return;
        }
        let known = &*KNOWN;
        let is_pin = self.rule.value_type == ValueType::Pin;
        let left = self.text.start_after_last(label, DISTANCE_BYTES_MAX, [b'\n', b'\n']);
        let left = self.text.0.ceil_char_boundary(left);
        let shown = self.text.slice(left..label);
        // `61094478 (account no)`, but not the call `encode(signature)`.
        let mut in_brackets = shown.ends_with(" (") && self.text.byte_at(self.label.identifier.end) != b'(';
        let mut rest = shown.trim_end_matches([' ', '(', '"', '\'']);
        // `K1234567 (Indian passport)`: a word or two before the label.
        if let Some((before, words)) = shown.rsplit_once(" (").filter(|_| !in_brackets && self.rule.value_type == ValueType::Id) {
            let is_words = words.len() <= 24 && words.ends_with(' ') && words.chars().all(|letter| letter.is_alphabetic() || letter == ' ');
            if is_words && self.text.byte_at(self.label.identifier.end) == b')' {
                in_brackets = true;
                rest = before;
            }
        }
        let mut is_linked = in_brackets;
        // SQL: `SELECT '7342661' AS patient_id, DATE '1967-01-01' AS birth_date`.
        if let Some(column) =
            rest.strip_suffix(" AS").or_else(|| rest.strip_suffix(" as")).map(str::trim_end).filter(|left| left.ends_with('\''))
        {
            rest = column;
            is_linked = true;
        }
        for _ in 0..4 {
            let word = rest.rsplit(' ').next().unwrap_or_default();
            let lower = word.to_lowercase();
            let is_possessive = known.0.contains(lower.as_str());
            let is_verb = known.1.contains(lower.as_str()) || (is_pin && lower == "as");
            // `your Google verification code`.
            let is_brand = is_pin && !is_linked && word.starts_with(|first: char| first.is_ascii_uppercase());
            if !(is_possessive || is_verb || is_brand) || word.is_empty() {
                break;
            }
            is_linked |= is_verb;
            rest = rest.get(..rest.len() - word.len()).unwrap_or_default().trim_end();
        }
        if !is_linked || rest.len() == shown.len() {
            return;
        }
        if self.rule.value_type == ValueType::Date {
            let found = date_in(rest).filter(|found| found.end + 3 >= rest.len());
            if let Some(found) = found {
                self.push(left + found.start..left + found.end, matches);
            }
            return;
        }
        let rest = rest.trim_end_matches(['"', '\'', '`', ',']);
        let word = rest.rsplit([' ', '"', '\'', '`', '(']).next().unwrap_or_default();
        let end = left + rest.len();
        let range = end - word.len()..end;
        let is_value = match self.rule.value_type {
            ValueType::Password => looks_like_password(word) && !is_placeholder(word) && !word.contains(['_', '.', ':']),
            ValueType::Secret => looks_random(word) && !is_placeholder(word),
            // `884120 is your one-time code`, `G-884120 is …`.
            ValueType::Pin => {
                let digits = count_digits(word);
                (4..=8).contains(&digits)
                    && word.trim_start_matches(|first: char| first.is_ascii_uppercase() || first == '-').len() == digits
            }
            ValueType::Id | ValueType::Account | ValueType::WeakId | ValueType::WeakAccount => {
                let range = self.spaced_number_before(range);
                if let Some(found) = id_run(self.text, range.start, range.end).filter(|found| found.end == end) {
                    let digits = count_digits(self.text.slice(found.clone()));
                    if digits >= if in_brackets { 6 } else { 5 } {
                        self.push(found, matches);
                    }
                }
                return;
            }
            _ => false,
        };
        if is_value {
            self.push(range, matches);
        }
    }

    /// A quoted secret that is compared with the label: `if ("value" == password)`.
    fn compared_value(&self, label: usize, matches: &mut Vec<Match>) -> bool {
        const OPERATORS: [&str; 6] = ["===", "!==", "==", "!=", " eq", " ne"];
        const VALUE_BYTES_MAX: usize = 130;
        let is_password = matches!(self.rule.value_type, ValueType::Password | ValueType::AssignedPassword);
        if !matches!(self.text.byte_before(label), b' ' | b'=' | b'(') || !(is_password || self.rule.value_type == ValueType::Secret) {
            return false;
        }
        let left = self.text.0.ceil_char_boundary(self.text.start_after_last(label, VALUE_BYTES_MAX, [b'\n', b'\n']));
        let shown = self.text.slice(left..label).trim_end();
        let Some(quoted) = OPERATORS.into_iter().find_map(|operator| shown.strip_suffix(operator)).map(str::trim_end) else {
            return false;
        };
        let Some((before, quote)) = quoted.char_indices().next_back().filter(|(_, quote)| matches!(quote, '"' | '\'')) else {
            return false;
        };
        let Some(open) = quoted.get(..before).and_then(|inner| inner.rfind(quote)) else { return false };
        let value = quoted.get(open + 1..before).unwrap_or_default();
        let is_strong = looks_random(value) || is_punctuated_secret(value) || (is_password && looks_like_password(value));
        if is_strong && !is_placeholder(value) {
            self.push(left + open + 1..left + before, matches);
            return true;
        }
        false
    }

    /// Extends a number to the left over its other groups: `QQ 12 34 56 C`.
    fn spaced_number_before(&self, range: Range<usize>) -> Range<usize> {
        const GROUPS_MAX: usize = 6;
        let mut start = range.start;
        for _ in 0..GROUPS_MAX {
            if self.text.byte_before(start) != b' ' {
                break;
            }
            let group = self.text.skip_back_while(start - 1, 12, |byte| byte.is_ascii_alphanumeric());
            let shown = self.text.slice(group..start - 1);
            let is_group = !shown.is_empty()
                && (count_digits(shown) == shown.len() || (shown.len() <= 2 && shown.bytes().all(|byte| byte.is_ascii_uppercase())))
                && self.text.is_word_start(group);
            if !is_group {
                break;
            }
            start = group;
        }
        start..range.end
    }

    /// The account after the number of its branch: `sort code 12-34-56 acc 12345678`, `BLZ 37040044, 1234567890`.
    pub(super) fn account_after_branch(&self, matches: &mut Vec<Match>) {
        const BRANCHES: [&str; 16] = [
            "sort",
            "bsb",
            "routing",
            "aba",
            "blz",
            "bankleitzahl",
            "transit",
            "clearing",
            "reg",
            "agência",
            "branch",
            "бик",
            "мфо",
            "institution",
            "ach",
            "bank code",
        ];
        const WORDS_MAX: usize = 2;
        let text = self.text;
        let label = text.slice(self.label.word.clone()).to_lowercase();
        let Some(branch) =
            matches.last().filter(|_| self.rule.kind == "bank_account" && BRANCHES.iter().any(|name| label.starts_with(name)))
        else {
            return;
        };
        let is_blank = |byte: u8| matches!(byte, b' ' | b',' | b';' | b':' | b'/' | b'.');
        let mut at = text.skip_while(branch.range.end, 3, is_blank);
        for _ in 0..WORDS_MAX {
            let word_end = text.skip_while(at, 10, |byte| byte.is_ascii_alphabetic() || byte >= 0x80 || byte == b'/');
            if word_end > at {
                at = text.skip_while(word_end, 3, is_blank);
            }
        }
        let end = text.skip_while(at, 16, |byte| byte.is_ascii_digit());
        let shown = text.slice(at..end);
        let is_date = shown.len() == 8 && (shown.starts_with("19") || shown.starts_with("20"));
        if at > branch.range.end && (6..=14).contains(&shown.len()) && text.is_word_start(at) && text.is_word_end(end) && !is_date {
            self.push(at..end, matches);
        }
    }

    /// Further values after the first one of a list: `Accounts: 61094478, 50211987 and 33308124`.
    pub(super) fn list_after_value(&self, matches: &mut Vec<Match>) {
        const VALUES_MAX: usize = 200;
        const SEPARATORS: [&str; 13] =
            ["\", \"", "\",\"", "', '", "','", ", and ", " and ", ", ", "; ", "\n- ", "\n* ", " und ", " et ", " y "];
        if !matches!(self.rule.value_type, ValueType::Id | ValueType::Account | ValueType::WeakAccount | ValueType::Phone | ValueType::Card)
        {
            return;
        }
        let Some(first) = matches.last().map(|found| found.range.clone()) else { return };
        let digits = count_digits(self.text.slice(first.clone()));
        let mut end = first.end;
        for _ in 0..VALUES_MAX {
            let Some(separator) = SEPARATORS.iter().find(|separator| self.text.rest(end).starts_with(**separator)) else { return };
            let at = end + separator.len();
            let found = match self.rule.value_type {
                ValueType::Phone => numbers::phone_shaped(self.text, at, 7),
                _ => id_run(self.text, at, self.text.len().min(at + 40)),
            };
            // The values of a list have the same form.
            let Some(found) = found.filter(|found| digits.abs_diff(count_digits(self.text.slice(found.clone()))) <= 1) else { return };
            if found.start != at || (self.text.byte_at(found.end) == b':' && self.text.byte_at(found.end + 1).is_ascii_digit()) {
                return;
            }
            end = found.end;
            self.push(found, matches);
        }
    }

    /// Whether a value is in the syntax of code or configuration, so that a plain word may be a value: quoted, after `=`, or in a field whose name is
    /// an identifier (`db_password: walnut`).
    pub(super) fn is_marked_value(&self, value_start: ValueStart) -> bool {
        let before = self.text.byte_before(value_start.offset);
        let is_env = before == b'=' || (value_start.quote != 0 && self.text.byte_before(value_start.offset - 1) == b'=');
        let name = self.text.slice(self.label.identifier.clone());
        let is_identifier = value_start.syntax == LabelSyntax::Assignment
            && (name.contains(['_', '.']) || self.rule.form == LabelForm::Glued)
            && !self.label.is_weak;
        value_start.quote != 0 || is_env || is_identifier || value_start.syntax == LabelSyntax::TableCell || self.follows_user_name()
    }

    /// Whether a user name is next to the label, so that it is one of a pair: `login robot password hedgehog`.
    pub(super) fn follows_user_name(&self) -> bool {
        const NAMES: [&str; 7] = ["user", "username", "login", "uid", "user id", "user name", "email"];
        const PAIR_BYTES_MAX: usize = 80;
        let label = self.label.identifier.start;
        let left = self.text.0.ceil_char_boundary(label.saturating_sub(PAIR_BYTES_MAX));
        let shown =
            self.text.slice(left..label).trim_end_matches(|letter: char| letter.is_whitespace() || matches!(letter, ',' | ';' | '/' | '-'));
        // The last words: a name of the pair, perhaps an operator, and its value.
        let line = shown.rsplit(['\n', ',', ';']).next().unwrap_or_default().trim_start_matches([' ', '-', '*']);
        let mut words = line.split_whitespace().rev();
        let Some(value) = words.next() else { return false };
        let before: Vec<&str> = words.take(2).collect();
        // `user name and password`.
        if matches!(value, "and" | "or" | "with" | "und" | "et" | "y" | "e" | "the" | "your") {
            return false;
        }
        let is_name = |word: &str| NAMES.iter().any(|name| word.trim_end_matches([':', '=']).eq_ignore_ascii_case(name));
        before.iter().any(|word| is_name(word)) && !value.ends_with(':')
            || value.split_once(['=', ':']).is_some_and(|(name, value)| is_name(name) && !value.is_empty())
    }
}
