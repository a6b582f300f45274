//! Reads secrets next to their labels: passwords, keys, tokens, authorization headers, cookies, seed phrases.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::identifiers::count_digits;
use super::{LabelSyntax, Match, Reader, SENTENCE_DISTANCE_BYTES_MAX, VALUE_BYTES_MAX, ValueStart, ValueType, value_range};
use crate::redact::detect::secrets::{JoinedLines, beginning, end_of_word_run, is_placeholder, looks_like_password, looks_random};

/// Words that often follow a label of a secret but are not secrets: `password: string`, `token expired`.
const NON_SECRET_WORDS: &str = "\
    string str password passwd secret token required optional bool boolean int integer text none null nil true false undefined \
    empty incorrect invalid wrong expired missing hidden masked field must should could would will cannot needs was were is are \
    not no yes with from that this authentication failed bearer basic object number array type default unknown any credentials \
    mismatch reset";

/// Words between a label and its value: `is` in `the password for the box is …`.
const LINKING_WORDS: [&str; 16] =
    ["is", "was", "are", "to", "ist", "lautet", "est", "es", "é", "è", "jest", "är", "er", "as", "use", "with"];

impl Reader<'_, '_> {
    pub(super) fn password(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            self.secret_in_sentence(value_start, looks_like_password, matches);
            return;
        }
        let range = match value_start.quote {
            // A password may contain characters that end other values: `Kx7,qpz;2`.
            0 => {
                let is_password_byte = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'<' | b'|' | b'&' | b'`');
                let end = self.text.skip_while(value_start.offset, VALUE_BYTES_MAX, is_password_byte);
                let trimmed = self.text.slice(value_start.offset..end).trim_end_matches([',', ';', ')', '}', ']', '.']);
                value_start.offset..value_start.offset + trimmed.len()
            }
            _ => self.unspaced_value(value_start),
        };
        let value = self.text.slice(range.clone());
        let is_env = self.text.byte_before(value_start.offset) == b'='
            || (value_start.quote != 0 && self.text.byte_before(value_start.offset - 1) == b'=');
        let is_non_secret = is_non_secret_word(value);
        let strong = looks_like_password(value) || looks_random(value);
        let accepted = match () {
            // `${PASSWORD}`, `abc`, `{"min_length": 8}`.
            () if is_placeholder(value) || value.len() < 4 || value.starts_with(['{', '[']) => false,
            // `hunter2xyz`, `Wq7!x6SW`.
            () if strong => true,
            // `password: required`, `password=/run/secrets/db`.
            () if is_non_secret || value.starts_with('/') => false,
            // `"password": "correct horse"`, but not `"password": "Must have at least 12 characters."`.
            () if value.contains(' ') => value_start.quote != 0 && value.split(' ').count() <= 4 && !value.ends_with('.'),
            // A plain word only if its syntax marks it as a value: `"password": "walnut"`, `PASSWORD=walnut`, but not `password: walnut`.
            () => {
                (value_start.quote != 0 || is_env || value_start.syntax == LabelSyntax::TableCell)
                    && (value.len() >= 5 || value.bytes().any(|byte| byte.is_ascii_digit()))
                    && !value.contains('(')
            }
        };
        if accepted {
            self.push(range, matches);
        } else if value_start.syntax == LabelSyntax::Assignment && value_start.quote == 0 {
            self.secret_in_sentence_from(value_start, 1, looks_like_password, matches);
        }
    }

    pub(super) fn secret(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            self.secret_in_sentence(value_start, looks_random, matches);
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
        let value = self.text.slice(range.clone());
        // `token: ${TOKEN}`, `token: https://…`.
        if is_placeholder(value) || beginning(value).contains("://") {
            return;
        }
        let is_cookie = self.rule.kind == "session_cookie" && value.len() >= 16;
        if looks_random(value) || self.is_short_secret(value) || is_cookie {
            let end = self.wrapped_end(range.clone());
            self.push(range.start..end, matches);
        } else if let Some(end) = self.wrapped(range.clone()) {
            self.push(range.start..end, matches);
        } else if value_start.syntax == LabelSyntax::Assignment && value_start.quote == 0 {
            self.secret_in_sentence_from(value_start, 1, looks_random, matches);
        }
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
        has_letters && has_digits && !value.contains([' ', '(', '/']) && !is_non_secret_word(value) && !is_slug(value)
    }

    /// The end of a value, including the lines over which it is wrapped.
    fn wrapped_end(&self, range: Range<usize>) -> usize {
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
    fn secret_in_sentence(&self, value_start: ValueStart, accept: fn(&str) -> bool, matches: &mut Vec<Match>) {
        self.secret_in_sentence_from(value_start, 0, accept, matches);
    }

    /// As [`Self::secret_in_sentence`], from the word with index `first` on.
    fn secret_in_sentence_from(&self, value_start: ValueStart, first: usize, accept: fn(&str) -> bool, matches: &mut Vec<Match>) {
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
            let stripped = word.trim_matches(['"', '\'', '`', '(', ')', '[', ']', ',', '.', ':', '<', '>', '*']);
            if stripped.is_empty() {
                is_linked |= word.contains([':', '=']);
                continue;
            }
            let from = start + word.find(stripped).unwrap_or(0);
            // `password MAX_RETRIES=3`: another assignment, so the label has no value here.
            let is_assignment = stripped
                .split_once('=')
                .is_some_and(|(name, value)| !value.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            if is_assignment || stripped.contains(['"', '`', '<', '>']) {
                return;
            }
            // The secret directly follows the label, or a linking word or `:` after it.
            let fits = count >= first
                && (count <= 1 || is_linked)
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
            is_linked = is_linked || word.ends_with([':', '=']) || LINKING_WORDS.contains(&stripped);
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
        if left.len() > CODE_BYTES_MAX {
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

    /// The credentials of an authorization header, without the scheme: `Authorization: Bearer …`.
    pub(super) fn authorization(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const SCHEME_BYTES_MAX: usize = 20;
        if value_start.syntax == LabelSyntax::Sentence {
            return;
        }
        let range = value_range(self.decoded, self.text, value_start, VALUE_BYTES_MAX, |byte| {
            matches!(byte, b'\n' | b'\r' | b'"' | b'\'' | b',' | b'}' | b'<' | b'`')
        });
        let value = self.text.slice(range.clone());
        let (scheme, secret) = match value.split_once(' ') {
            Some((scheme, secret))
                if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') && scheme.len() < SCHEME_BYTES_MAX =>
            {
                (scheme, secret.trim_start())
            }
            _ => ("", value),
        };
        let start = range.end - secret.len();
        let secret = secret.get(..secret.find([' ', ';', ')']).unwrap_or(secret.len())).unwrap_or(secret);
        let kind = if scheme.eq_ignore_ascii_case("basic") { "basic_auth" } else { "bearer_token" };
        let is_scheme =
            ["bearer", "basic", "token", "apikey", "api-key", "key", "digest"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
        // `Bearer mF_9.B5f`, `Basic dXNlcjpw` (short ones are common), but not `authorization: failed after 3 attempts`.
        if secret.len() >= 6
            && !is_placeholder(secret)
            && (looks_random(secret) || (is_scheme && (looks_like_password(secret) || kind == "basic_auth")))
        {
            let is_cut = secret.len() >= VALUE_BYTES_MAX - SCHEME_BYTES_MAX;
            let end = if is_cut { end_of_word_run(self.text, start + secret.len()) } else { start + secret.len() };
            matches.push(Match { range: start..end, kind, detector: "authorization header" });
        }
    }

    /// The session cookies of a cookie header: long values that are not attributes such as `Path` or `Expires`.
    pub(super) fn cookie(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            return;
        }
        let range = value_range(self.decoded, self.text, value_start, 4096, |byte| matches!(byte, b'\n' | b'\r' | b'"'));
        let mut at = range.start;
        for part in self.text.slice(range).split(';') {
            let from = at;
            at += part.len() + 1;
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim_end_matches(['\'', '"', ' ']);
            let is_cookie_attribute =
                ["path", "domain", "expires", "max-age", "samesite", "version"].contains(&name.trim().to_ascii_lowercase().as_str());
            // `sid=7cd47nmx4829c1hj`, but not `theme=dark` or `lang=en`.
            if !is_cookie_attribute && !is_placeholder(value) && value.len() >= 12 && (looks_random(value) || value.len() >= 20) {
                let start = from + name.len() + 1;
                matches.push(Match { range: start..start + value.len(), kind: "session_cookie", detector: "cookie header" });
            }
        }
    }

    /// A wallet's seed phrase: 12 to 24 lower-case words.
    pub(super) fn seed(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8}\b").ok());
        let window = self.text.window(value_start.offset, 400);
        if let Some(found) = WORDS.as_ref().and_then(|words| words.find(window)).filter(|found| found.start() < 40) {
            self.push(value_start.offset + found.start()..value_start.offset + found.end(), matches);
        }
    }
}

/// Whether a value is one of [`NON_SECRET_WORDS`], or only punctuation.
fn is_non_secret_word(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let lower = lower.trim_matches(|c: char| !c.is_alphanumeric());
    lower.is_empty() || NON_SECRET_WORDS.split_whitespace().any(|word| word == lower)
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
