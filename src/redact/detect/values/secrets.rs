//! Reads keys, tokens and other secrets next to their labels: assigned, in a sentence, in the line after it, and before a comment.

use std::ops::Range;

use super::around_label::is_linking_word;
use super::credentials::is_non_secret_word;
use super::identifiers::count_digits;
use super::{LabelSyntax, Match, Reader, SENTENCE_DISTANCE_BYTES_MAX, ValueStart, ValueType};
use crate::redact::detect::labels::is_credential_property;
use crate::redact::detect::secrets::{
    JoinedLines, beginning, end_of_word_run, is_letter_password, is_long_number, is_mixed, is_placeholder, is_punctuated_secret,
    looks_like_password, looks_random,
};
use crate::redact::detect::text::is_unspaced;

/// Where in a sentence a secret may stand.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct SentenceSearch {
    /// The index of the first word that may be the secret.
    pub(super) first: usize,
    /// Whether a word such as `is`, or a colon, must be between the label and the secret.
    pub(super) needs_link: bool,
}

impl Reader<'_, '_> {
    pub(super) fn secret(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            // `return tokens`, `key_pair.public()`: names in code.
            if self.label.is_plural || self.label.is_weak {
                return;
            }
            let before = matches.len();
            self.secret_in_sentence(value_start, looks_random, matches);
            if self.rule.value_type != ValueType::Secret {
                return;
            }
            if matches.len() == before {
                // `deploy token gl-9f2c71ab44`, but `token` and `secret` alone need a word that links them: `the token is …`.
                let search =
                    if self.is_compound_label() { SentenceSearch::default() } else { SentenceSearch { first: 0, needs_link: true } };
                self.secret_in_sentence_from(value_start, search, is_short_token, matches);
            }
            if matches.len() == before {
                self.in_line_after_sentence(value_start, looks_random, matches);
            }
            return;
        }
        // `public key: …` in two words.
        let left =
            self.text.slice(self.text.0.ceil_char_boundary(self.label.identifier.start.saturating_sub(7))..self.label.identifier.start);
        if left.eq_ignore_ascii_case("public ") {
            return;
        }
        let mut range = self.unspaced_value(value_start);
        // `?token=…#L4`: the fragment of a URL is not part of a query parameter.
        if matches!(self.text.byte_before(self.label.identifier.start), b'?' | b'&')
            && let Some(fragment) = self.text.slice(range.clone()).find('#')
        {
            range.end = range.start + fragment;
        }
        // `"token": "Bearer …"`.
        for scheme in ["Bearer ", "bearer ", "Token ", "token ", "Basic ", "ApiKey "] {
            if self.text.rest(value_start.offset).starts_with(scheme) {
                let inner = ValueStart { offset: value_start.offset + scheme.len(), ..value_start };
                range = self.unspaced_value(inner);
            }
        }
        // `api_key: m{h}o)p$e]nob(ody#f>`: brackets belong to the value if they do not match.
        if value_start.quote == 0 && self.text.byte_at(range.end).is_ascii_punctuation() && value_start.syntax == LabelSyntax::Assignment {
            let end = self
                .text
                .skip_while(value_start.offset, 128, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'`' | b','));
            if is_punctuated_secret(self.text.slice(value_start.offset..end)) {
                range.end = end;
            }
        }
        let value = self.text.slice(range.clone());
        // `key = Key::generate()`, `return tokens` before a line of code.
        let is_code = value_start.quote == 0 && (value.contains("::") || self.is_code(range.clone()))
            || (value_start.syntax == LabelSyntax::NextLine && !self.is_alone_in_line(&range));
        if is_code {
            return;
        }
        // `token: ${TOKEN}`, `token: https://…`.
        if is_placeholder(value) || beginning(value).contains("://") {
            return;
        }
        let is_cookie = self.rule.kind == "session_cookie" && value.len() >= 16;
        let is_clear = value_start.syntax != LabelSyntax::NextLine && !self.label.is_weak;
        let is_key = self.rule.value_type == ValueType::Key;
        let is_secret = looks_random(value) || (!is_key && (is_punctuated_secret(value) || is_long_number(value)));
        if !is_clear && !is_secret {
            return;
        }
        if is_secret || self.is_short_secret(value) || is_cookie || (!is_key && self.is_plain_secret(value_start, value)) {
            let end = self.wrapped_end(range.clone());
            self.push(range.start..end, matches);
        } else if let Some(end) = self.wrapped(range.clone()) {
            self.push(range.start..end, matches);
        } else if value_start.syntax == LabelSyntax::Assignment && value_start.quote == 0 {
            let search = SentenceSearch { first: 1, needs_link: false };
            self.secret_in_sentence_from(value_start, search, looks_random, matches);
        }
    }

    /// Whether the name of a label has more words than the one for the credential: `client secret`, `DB_SECRET`, but not `secret`.
    fn is_compound_label(&self) -> bool {
        const NOUNS: [&str; 7] = ["secret", "token", "key", "pat", "seed", "code", "salt"];
        let name = self.text.slice(self.label.word.clone()).to_ascii_lowercase();
        let has_prefix = self.label.identifier.start < self.label.start;
        (has_prefix && !self.text.slice(self.label.identifier.clone()).starts_with('-'))
            || NOUNS.iter().any(|noun| name.len() > noun.len() + 1 && name.ends_with(noun))
    }

    /// Whether an assigned value without the mixture of a generated secret is one because of its label: a number (`auth_token=88213417790`), or
    /// words (`client_secret: bluewhale-orbit`).
    fn is_plain_secret(&self, value_start: ValueStart, value: &str) -> bool {
        if self.label.is_plural || self.label.is_weak || value_start.syntax == LabelSyntax::NextLine {
            return false;
        }
        if is_digit_token(value) {
            return true;
        }
        let label = self.text.slice(self.label.word.clone()).to_ascii_lowercase();
        let is_secret = label.ends_with("secret") || label.ends_with("passkey") || label.ends_with("salt") || label.ends_with("pepper");
        // `"secret": "hunter2"`.
        let is_named_alike = value.to_ascii_lowercase().starts_with(&label);
        if is_secret && value_start.quote != 0 && value.len() == 7 && looks_like_password(value) && !is_slug(value) && !is_named_alike {
            return true;
        }
        self.is_compound_label() && (is_letter_password(value) || is_secret && is_worded_secret(value))
    }

    /// Whether a value is a secret because of a label such as `api_key`, although it does not look random: `5TtRY8Hw`, but not `cl100k_base`
    /// or `gpt-4o-mini`.
    fn is_short_secret(&self, value: &str) -> bool {
        let value = beginning(value);
        if self.rule.value_type == ValueType::Key || value.len() < 8 {
            return false;
        }
        let has_letters = value.bytes().any(|byte| byte.is_ascii_alphabetic());
        let has_digits = value.bytes().any(|byte| byte.is_ascii_digit());
        let is_path = value.contains('/') && (value.starts_with('/') || !is_mixed(value));
        has_letters && has_digits && !value.contains([' ', '(']) && !is_path && !is_non_secret_word(value) && !is_slug(value)
    }

    /// The end of a value, including the lines over which it is wrapped.
    pub(super) fn wrapped_end(&self, range: Range<usize>) -> usize {
        self.wrapped(range.clone()).unwrap_or(range.end)
    }

    /// The end of a wrapped value; `None` if the value is not wrapped or does not look random when joined.
    fn wrapped(&self, range: Range<usize>) -> Option<usize> {
        if !matches!(self.text.byte_at(range.end), b'\n' | b'\r' | b'\\' | b'=' | b' ') || range.len() < 12 {
            return None;
        }
        let joined = JoinedLines::new(self.text.window(range.start, 8192))?;
        looks_random(&joined.text).then(|| range.start + joined.to_window(&(0..joined.text.len())).end)
    }

    /// A secret in the sentence after a label: `password for the staging box is …`, `with password …`, `API key provided: …`.
    pub(super) fn secret_in_sentence(&self, value_start: ValueStart, accept: fn(&str) -> bool, matches: &mut Vec<Match>) {
        self.secret_in_sentence_from(value_start, SentenceSearch::default(), accept, matches);
    }

    /// As [`Self::secret_in_sentence`], with conditions on the place of the secret.
    pub(super) fn secret_in_sentence_from(
        &self,
        value_start: ValueStart,
        search: SentenceSearch,
        accept: fn(&str) -> bool,
        matches: &mut Vec<Match>,
    ) {
        let window = self.sentence_window(value_start.offset);
        let mut sentence = window.get(..window.find(['\n', ';', '{', '|']).unwrap_or(window.len())).unwrap_or(window);
        // The sentence ends at the quote that closes the JSON field containing it.
        let closing = sentence.match_indices('"').find(|(at, _)| {
            let next = sentence.as_bytes().get(at + 1).copied().unwrap_or(b',');
            *at > 0 && matches!(next, b',' | b'}' | b']' | b':')
        });
        if let Some((at, _)) = closing {
            sentence = sentence.get(..at).unwrap_or_default();
        }
        let mut at = 0;
        let mut is_linked = false;
        let mut previous_ends_sentence = false;
        for (count, word) in sentence.split(' ').enumerate() {
            let start = value_start.offset + at;
            at += word.len() + 1;
            if at > SENTENCE_DISTANCE_BYTES_MAX + word.len() || count > 12 || previous_ends_sentence {
                return;
            }
            let is_edge = |letter: char| "\"'`()[],.:<>*–—-。、，".contains(letter) || is_unspaced(letter);
            let stripped = word.trim_matches(is_edge);
            is_linked |= word.starts_with(is_unspaced);
            if stripped.is_empty() {
                is_linked |= word.contains([':', '=']);
                continue;
            }
            let from = start + word.find(stripped).unwrap_or(0);
            // `password MAX_RETRIES=3`, `"password" value="<>"`: another assignment, so the label has no value here.
            let is_assignment = stripped.split_once('=').is_some_and(|(name, value)| {
                (!value.is_empty() || (word.ends_with(['"', '\'']) && name.len() <= 24))
                    && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
            });
            if is_assignment || stripped.contains(['"', '`', '<', '>']) {
                return;
            }
            // The secret directly follows the label, or a linking word or `:` after it.
            let fits = count >= search.first
                && (is_linked || (count <= 1 && !search.needs_link))
                && accept(stripped)
                && !is_placeholder(stripped)
                && !is_non_secret_word(stripped);
            if fits {
                let mut range = from..from + stripped.len();
                if range.end == value_start.offset + window.len() {
                    range.end = end_of_word_run(self.text, range.end);
                }
                let end = self.wrapped_end(range.clone());
                self.push(range.start..end, matches);
                return;
            }
            // `signature algorithm: …`: the value is a property of the credential.
            if count <= 1 && word.ends_with([':', '=']) && is_credential_property(stripped) {
                return;
            }
            is_linked = is_linked || word.ends_with([':', '=']) || is_linking_word(&stripped.to_lowercase());
            previous_ends_sentence = word.ends_with(['.', '!', '?']) && word.len() > 3;
        }
    }

    /// The text after a label that is searched for its value: [`SENTENCE_DISTANCE_BYTES_MAX`] bytes and the rest of the last word.
    fn sentence_window(&self, start: usize) -> &str {
        // Enough of a longer word to judge it.
        const WORD_BYTES_MAX: usize = 512;
        let near_end = start + self.text.window(start, SENTENCE_DISTANCE_BYTES_MAX).len();
        let end = self.text.skip_while(near_end, WORD_BYTES_MAX, |byte| !matches!(byte, b' ' | b'\n' | b';' | b'{' | b'|'));
        self.text.window(start, end.saturating_sub(start))
    }

    /// A secret in a line of code before a comment that contains the label: `connect("…")  # airtable token`.
    pub(super) fn secret_before_comment(&self, matches: &mut Vec<Match>) {
        const CODE_BYTES_MAX: usize = 400;
        let label = self.label.identifier.start;
        let line = self.text.start_after_last(label, CODE_BYTES_MAX + 1, [b'\n', b'\n']);
        let left = self.text.slice(line..label);
        // The end of an element is no comment: `<Password Type="PasswordText">…</Password>`.
        if left.len() > CODE_BYTES_MAX || left.ends_with("</") || left.ends_with(':') && left.contains("</") {
            return;
        }
        let Some(comment) = left.rfind(['#', '/']).filter(|at| left.get(*at..).is_some_and(|tail| tail.len() < 40)) else { return };
        let code = left.get(..comment).unwrap_or_default();
        let Some(close) = code.rfind(['"', '\'']) else { return };
        let quote = code.get(close..=close).unwrap_or("\"");
        let Some(open) = code.get(..close).and_then(|code| code.rfind(quote)) else { return };
        let value = code.get(open + 1..close).unwrap_or_default();
        let is_password = self.rule.value_type == ValueType::Password && looks_like_password(value);
        if (looks_random(value) || is_password) && !is_placeholder(value) {
            self.push(line + open + 1..line + close, matches);
        }
    }
}

/// Whether a value is a name made of words and short numbers: `gpt-4o-mini`, `refresh_token_v2`.
fn is_slug(value: &str) -> bool {
    let parts: Vec<&str> = value.split(['-', '_', '.', ':']).collect();
    parts.len() > 1
        && parts.iter().all(|part| {
            let digits = count_digits(part);
            digits == 0 && part.bytes().all(|byte| byte.is_ascii_lowercase()) || digits == part.len() && digits <= 4 || part.len() <= 3
        })
}

/// Whether a word of a sentence is a token although it is shorter than those that look random: its letters and digits alternate, as in
/// `prod-9f2c71ab` and `sh4r3d0ne`, but not in `sha256withrsa`, `v1beta2rc1` or `model-2024`.
fn is_short_token(word: &str) -> bool {
    const ALTERNATIONS_MIN: usize = 3;
    let word = beginning(word);
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let alternations = |part: &str| {
        part.as_bytes()
            .windows(2)
            .filter(|pair| matches!(pair, [a, b] if a.is_ascii_alphanumeric() && b.is_ascii_alphanumeric() && a.is_ascii_digit() != b.is_ascii_digit()))
            .count()
    };
    let is_version = word.starts_with(['v', 'V']) && word.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
    (8..=128).contains(&word.len())
        && word.bytes().all(is_part)
        && !is_version
        && !is_slug(word)
        && word.split(['-', '_']).any(|part| part.len() >= 6 && alternations(part) >= ALTERNATIONS_MIN)
}

/// Whether an assigned value is a token of digits alone, and not a date or a time since 1970: `88213417790`.
fn is_digit_token(value: &str) -> bool {
    let is_date = value.len() == 8 && (value.starts_with("19") || value.starts_with("20"));
    let is_time = matches!(value.len(), 10 | 13 | 16 | 19) && value.starts_with('1');
    let is_round = value.ends_with("000");
    (8..=23).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_digit()) && !is_date && !is_time && !is_round
}

/// Whether an assigned value is made of words that name no setting: `bluewhale-orbit`, but not `client-secret-ref` or `github-webhook`.
fn is_worded_secret(value: &str) -> bool {
    const NAMES: [&str; 30] = [
        "secret",
        "key",
        "token",
        "name",
        "ref",
        "client",
        "config",
        "credential",
        "credentials",
        "value",
        "vault",
        "file",
        "path",
        "env",
        "prod",
        "dev",
        "staging",
        "test",
        "webhook",
        "oauth",
        "auth",
        "app",
        "api",
        "service",
        "admin",
        "user",
        "db",
        "type",
        "id",
        "default",
    ];
    let words: Vec<&str> = value.split(['-', '_']).collect();
    (2..=6).contains(&words.len())
        && (8..=64).contains(&value.len())
        && words.iter().all(|word| {
            (3..=16).contains(&word.len())
                && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
                && !NAMES.contains(word)
        })
}
