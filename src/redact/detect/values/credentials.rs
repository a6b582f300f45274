//! Reads passwords next to their labels, pairs of a user name and a password, and seed phrases.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use base64::Engine;
use regex::Regex;

use super::around_label::is_linking_word;
use super::identifiers::count_digits;
use super::secrets::SentenceSearch;
use super::{LabelSyntax, Match, Reader, VALUE_BYTES_MAX, ValueStart};
use crate::redact::detect::secrets::{
    beginning, is_digit_password, is_letter_password, is_passphrase, is_placeholder, is_punctuated_secret, is_symbolic_password,
    looks_like_password, looks_random,
};

/// Words that often follow a label of a secret but are not secrets: `password: string`, `token expired`.
const NON_SECRET_WORDS: &str = "\
    string str password passwd secret token required optional bool boolean int integer text none null nil true false undefined \
    empty incorrect invalid wrong expired missing hidden masked field must should could would will cannot needs was were is are \
    not no yes with from that this authentication failed bearer basic object number array type default unknown any credentials \
    mismatch reset new secretstr secretbytes passwordstr securestring passcode passphrase passwort kennwort contraseña clave senha hasło wachtwoord lösenord adgangskode passord salasana jelszó \
    heslo parola şifre пароль κωδικός パスワード 密码 密碼 비밀번호";

impl Reader<'_, '_> {
    pub(super) fn password(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax == LabelSyntax::Sentence {
            if self.follows_user_name() && self.password_of_pair(value_start, matches) {
                return;
            }
            let before = matches.len();
            self.secret_in_sentence(
                value_start,
                |word| looks_like_password(word) || is_digit_password(word) || is_passphrase(word),
                matches,
            );
            if matches.len() == before {
                self.assigned_in_sentence(value_start, matches);
            }
            if matches.len() == before && !self.label.is_weak {
                self.in_line_after_sentence(value_start, |word| looks_like_password(word) || is_passphrase(word), matches);
            }
            return;
        }
        // `user / password: ada / …`.
        let left = self.text.slice(self.label.identifier.start.saturating_sub(4)..self.label.identifier.start);
        if left.trim_end().ends_with('/') && value_start.quote == 0 && self.after_slash(value_start, matches) {
            return;
        }
        let range = match value_start.quote {
            // A password may contain characters that end other values: `Kx7,qpz;2`.
            0 => {
                let is_password_byte = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'<' | b'|' | b'&' | b'`');
                let mut end = self.text.skip_while(value_start.offset, VALUE_BYTES_MAX, is_password_byte);
                // A quote inside the password: `P@$$:"w0rd` up to the end of the line.
                if matches!(self.text.byte_at(end), b'"' | b'\'') && self.text.byte_at(end + 1).is_ascii_alphanumeric() {
                    let line_end = self.text.skip_while(end + 1, 64, is_password_byte);
                    end = if matches!(self.text.byte_at(line_end), 0 | b'\n' | b'\r') { line_end } else { end };
                }
                let word = self.text.slice(value_start.offset..end).trim_end_matches([',', ';', '.']);
                let trimmed = if is_punctuated_secret(word) { word } else { word.trim_end_matches([',', ';', ')', '}', ']', '.']) };
                value_start.offset..value_start.offset + trimmed.len()
            }
            _ => self.unspaced_value(value_start),
        };
        // A pair in a connection string: `Password=lantern;Server=db`.
        let pair_end = self.text.slice(range.clone()).find(';').filter(|at| {
            let tail = self.text.slice(range.start + at + 1..range.end);
            tail.split_once('=').is_some_and(|(name, _)| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic()))
        });
        let range = range.start..pair_end.map_or(range.end, |at| range.start + at);
        let value = self.text.slice(range.clone());
        let is_non_secret = is_non_secret_word(value);
        // `userPassword`, `(ConvertTo-SecureString`: a name in code, whatever its capitals.
        let is_name_in_code =
            value.strip_prefix('(').is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-'))
                || value.bytes().all(|byte| byte.is_ascii_alphabetic())
                    && names_a_password(value)
                    && (value_start.quote == 0 && self.text.byte_before(value_start.offset) == b' '
                        || self.text.slice(self.label.identifier.clone()).contains(value));
        let strong = !is_name_in_code
            && (looks_like_password(value)
                || looks_random(value)
                || is_symbolic_password(value)
                || is_digit_password(value)
                || is_punctuated_secret(value)
                || is_passphrase(value));
        // Nothing follows, so that this is not the first word of a sentence.
        let is_whole_line = matches!(self.text.byte_at(range.end), 0 | b'\n' | b'\r' | b',' | b';' | b'"' | b'\'' | b'}' | b'&');
        let accepted = match () {
            // `password = Column(String(128))`, `password: PropTypes.string`.
            () if value_start.quote == 0 && self.is_code(range.clone()) => false,
            () if value_start.syntax == LabelSyntax::NextLine && !self.is_alone_in_line(&range) => false,
            // `${PASSWORD}`, `abc`, `{"min_length": 8}`.
            () if is_placeholder(value) || value.len() < 4 || value.starts_with(['{', '[']) || value.starts_with("(ConvertTo") => false,
            // `PASSWORD_HASHERS = ["auth.hashers.Argon2"]`.
            () if self.label.is_weak && value.contains('.') => false,
            // `hunter2xyz`, `Wq7!x6SW`.
            () if strong => true,
            // `password: required`, `password=/run/secrets/db`, `token_store: redis`.
            () if is_non_secret || value.starts_with('/') || self.label.is_weak || names_a_password(value) => false,
            // `password: walnutharbor`.
            () if is_whole_line
                && matches!(value_start.syntax, LabelSyntax::Assignment | LabelSyntax::TableCell)
                && is_letter_password(value) =>
            {
                true
            }
            () => match value_start.syntax {
                LabelSyntax::NextLine => false,
                // `--password walnut`, `PASSWORD 'walnut'`, `setPassword("walnut")`, but not `get_password("user")` or `no password 'field'`.
                LabelSyntax::Argument => self.is_marked_argument(value_start) && is_plain_word(value),
                // `"password": "correct horse"`, but not `"password": "Must have at least 12 characters."`.
                // Nor `"password": "Mot de passe"`, a text of a user interface.
                _ if value.contains(' ') => {
                    value_start.quote != 0 && value.split(' ').count() <= 4 && !value.ends_with('.') && !is_interface_text(value)
                }
                // A plain word only if its syntax marks it as a value: `"password": "walnut"`, `PASSWORD=walnut`, but not `password: walnut`.
                _ => self.is_marked_value(value_start) && (value.len() >= 5 || count_digits(value) > 0) && !value.contains('('),
            },
        };
        if accepted {
            self.push(range, matches);
        } else if value_start.syntax == LabelSyntax::Assignment && value_start.quote == 0 {
            let search = SentenceSearch { first: 1, needs_link: false };
            self.secret_in_sentence_from(value_start, search, |word| looks_like_password(word) || is_passphrase(word), matches);
        }
    }

    /// Whether nothing follows a value in its line.
    pub(super) fn is_alone_in_line(&self, range: &Range<usize>) -> bool {
        let end = self.text.skip_while(range.end, 8, |byte| matches!(byte, b' ' | b'\t' | b'\r' | b'`' | b'*' | b'"' | b'\''));
        end >= self.text.len() || self.text.byte_at(end) == b'\n'
    }

    /// Whether an unquoted value is a call, or a path of names in code.
    pub(super) fn is_code(&self, range: Range<usize>) -> bool {
        let value = beginning(self.text.slice(range.clone()));
        let is_call = value.find('(').is_some_and(|open| {
            open > 0
                && value
                    .get(..open)
                    .is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')))
        });
        // `request.form["user"]`, `_step2.value.key`.
        let path = value.trim_end_matches('[');
        let is_part = |part: &str| {
            let name = part.trim_end_matches(|last: char| last.is_ascii_digit());
            let is_numbered = name.len() < part.len();
            !name.is_empty()
                && part.len() - name.len() <= 1
                && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase() || (byte.is_ascii_alphabetic() && !is_numbered))
        };
        let is_path = path.contains('.') && path.len() <= 80 && path.split('.').all(is_part);
        is_path || (is_call && (value.contains('.') || matches!(self.text.byte_at(range.end), b')' | b';' | b',' | b'\n')))
    }

    /// User name and password: the arguments of a call, or words around a slash.
    pub(super) fn pair(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        const ARGUMENTS_BYTES_MAX: usize = 240;
        let text = self.text;
        let end = text.skip_while(self.label.identifier.end, 3, |byte| matches!(byte, b'=' | b' '));
        if text.byte_at(end) == b'(' {
            let window = text.window(end + 1, ARGUMENTS_BYTES_MAX);
            let mut quoted: Vec<Range<usize>> = Vec::new();
            let mut at = 0;
            while let Some(open) = window.get(at..).and_then(|rest| rest.find(['"', '\'', ')', '\n', '{'])).map(|open| at + open) {
                let quote = window.as_bytes().get(open).copied().unwrap_or(b')');
                if !matches!(quote, b'"' | b'\'') {
                    break;
                }
                let Some(len) = window.get(open + 1..).and_then(|rest| rest.find(char::from(quote))) else { return };
                quoted.push(end + 1 + open + 1..end + 1 + open + 1 + len);
                at = open + len + 2;
            }
            let Some(last) = quoted.last().filter(|_| (2..=3).contains(&quoted.len())) else { return };
            let value = text.slice(last.clone());
            if (looks_like_password(value) || looks_random(value) || is_plain_word(value))
                && !is_placeholder(value)
                && !is_non_secret_word(value)
            {
                self.push(last.clone(), matches);
            }
        } else if value_start.syntax == LabelSyntax::Assignment {
            self.after_slash(value_start, matches);
        } else if value_start.syntax == LabelSyntax::Sentence
            && let Some(colon) = self.colon_of_sentence(value_start.offset)
        {
            self.after_slash(ValueStart { offset: colon, ..value_start }, matches);
        }
    }

    /// The start of the word after a colon or arrow in the same line, a few words after a label: `login for staging: …`, `pw for the archive? -> …`.
    fn colon_of_sentence(&self, start: usize) -> Option<usize> {
        const WORDS_BYTES_MAX: usize = 40;
        let text = self.text;
        let is_word_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte >= 0x80 || b" _.'?-".contains(&byte);
        let first = text.window(start, 6);
        let is_linked =
            [" for ", " to ", " of ", " on ", " (", " für", " zu", " pour", " para", " per "].iter().any(|word| first.starts_with(word));
        let from = start + usize::from(first.starts_with(" (")) * 2;
        let mut end = text.skip_while(from, WORDS_BYTES_MAX, is_word_byte);
        if text.byte_at(end) == b')' {
            end += 1;
        }
        let is_arrow = text.byte_at(end) == b'>' && text.byte_before(end) == b'-';
        let is_colon = text.byte_at(end) == b':' && matches!(text.byte_at(end + 1), b' ' | b'"');
        (is_linked && (is_arrow || is_colon)).then(|| text.skip_while(end + 1, 3, |byte| matches!(byte, b' ' | b'"' | b'`' | b'*')))
    }

    /// The password after a label that is too common a word for a sentence: `pw for the archive? -> …`.
    pub(super) fn assigned_in_sentence(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if value_start.syntax != LabelSyntax::Sentence {
            return;
        }
        let Some(start) = self.colon_of_sentence(value_start.offset) else { return };
        let end = self.text.skip_while(start, VALUE_BYTES_MAX, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'`' | b'<'));
        let value = self.text.slice(start..end).trim_end_matches([',', ';', ')', '.']);
        let has = |class: fn(&u8) -> bool| value.bytes().any(|byte| class(&byte));
        // Clearer than in an assignment, because `pass` and `pw` have other meanings.
        let is_strong = looks_like_password(value) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase) && has(u8::is_ascii_digit);
        if is_strong && !is_placeholder(value) {
            self.push(start..start + value.len(), matches);
        }
    }

    /// The value alone in a line after a sentence that ends with a colon: `use the following password:`, an empty line, the value.
    pub(super) fn in_line_after_sentence(&self, value_start: ValueStart, accept: impl Fn(&str) -> bool, matches: &mut Vec<Match>) {
        const SENTENCE_BYTES_MAX: usize = 80;
        let text = self.text;
        let colon =
            text.skip_while(value_start.offset, SENTENCE_BYTES_MAX, |byte| !matches!(byte, b'\n' | b':' | b'=' | b'{' | b'"' | b'<'));
        let line_end = text.skip_while(colon + 1, 3, |byte| matches!(byte, b' ' | b'\r' | b'`' | b'*'));
        if text.byte_at(colon) != b':' || text.byte_at(line_end) != b'\n' {
            return;
        }
        let start = text.skip_while(line_end, 24, |byte| byte.is_ascii_whitespace() || matches!(byte, b'`' | b'>' | b'*'));
        let end = text.skip_while(start, VALUE_BYTES_MAX, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'`' | b'<'));
        let value = text.slice(start..end);
        let is_alone = self.is_alone_in_line(&(start..end));
        if is_alone && accept(value) && !value.contains("://") && !is_placeholder(value) && !is_non_secret_word(value) {
            self.push(start..end, matches);
        }
    }

    /// The password after a user name and a slash: `credentials: ada / …`.
    fn after_slash(&self, value_start: ValueStart, matches: &mut Vec<Match>) -> bool {
        let user_end = self.text.skip_while(value_start.offset, 64, |byte| byte.is_ascii_alphanumeric() || b"._-@".contains(&byte));
        let slash = self.text.skip_while(user_end, 2, |byte| byte == b' ');
        if user_end == value_start.offset || !matches!(self.text.byte_at(slash), b'/' | b':') {
            return false;
        }
        let start = self.text.skip_while(slash + 1, 2, |byte| byte == b' ');
        let end = self.text.skip_while(start, VALUE_BYTES_MAX, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'<'));
        let value = self.text.slice(start..end).trim_end_matches([',', ';', '.', ')']);
        let accepted = looks_like_password(value) && !is_placeholder(value);
        if accepted {
            self.push(start..start + value.len(), matches);
        }
        accepted
    }

    /// Whether the syntax of an argument shows that it is a value.
    fn is_marked_argument(&self, value_start: ValueStart) -> bool {
        let identifier = self.text.slice(self.label.identifier.clone());
        let name = self.text.slice(self.label.start..self.label.identifier.end);
        let prefix = self.text.slice(self.label.identifier.start..self.label.start);
        let is_call = self.text.byte_at(self.label.identifier.end) == b'(';
        match value_start.quote {
            // A flag, or a part of a form.
            0 => identifier.starts_with('-') || self.text.byte_before(value_start.offset) == b'\n',
            _ if is_call => {
                prefix.ends_with('.') || ["set", "Set", "with", "With", "set_", "with_"].iter().any(|verb| prefix.ends_with(verb))
            }
            // SQL keywords in capitals, a part of a form, or a flag.
            _ => {
                !name.bytes().any(|byte| byte.is_ascii_lowercase())
                    || identifier.starts_with('-')
                    || matches!(self.text.byte_before(value_start.offset), b'\n')
                    || name.eq_ignore_ascii_case("identified by")
            }
        }
    }

    /// The word after a label that follows a user name: `login robot password hedgehog`.
    fn password_of_pair(&self, value_start: ValueStart, matches: &mut Vec<Match>) -> bool {
        let start = self.text.skip_while(value_start.offset, 4, |byte| matches!(byte, b' ' | b'"' | b'\''));
        let end = self.text.skip_while(start, VALUE_BYTES_MAX, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''));
        let value = self.text.slice(start..end).trim_end_matches([',', ';', '.', ')']);
        // Nothing else follows in the line, unlike in `the login page password field`.
        let rest = self.text.slice(end..self.text.find_byte(end, 40, b'\n')).trim_matches([' ', '"', '\'', ',', ';', '}', ')', '\r']);
        let accepted =
            start > value_start.offset && rest.is_empty() && is_plain_word(value) && !is_placeholder(value) && !is_non_secret_word(value);
        if accepted && !is_linking_word(value) {
            self.push(start..start + value.len(), matches);
            return true;
        }
        false
    }

    /// User name and password in base64: `"auth": "Ym90OkNvYmFsdDdNaW5l"`.
    pub(super) fn encoded_pair(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if !matches!(value_start.syntax, LabelSyntax::Assignment | LabelSyntax::TableCell) {
            return;
        }
        let range = self.unspaced_value(value_start);
        let value = beginning(self.text.slice(range.clone()));
        let is_pair = base64::engine::general_purpose::STANDARD_NO_PAD
            .decode(value.trim_end_matches('='))
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .is_some_and(|pair| {
                pair.split_once(':').is_some_and(|(user, password)| user.len() >= 2 && password.len() >= 3)
                    && !pair.contains(char::is_control)
            });
        if value.len() >= 8 && is_pair {
            self.push(range, matches);
        } else if looks_random(value) && value.len() >= 24 && !is_placeholder(value) && value_start.quote != 0 {
            matches.push(Match { range, kind: "generic_secret", detector: "label" });
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
pub(in crate::redact::detect) fn is_non_secret_word(value: &str) -> bool {
    static WORDS: LazyLock<HashSet<&str>> = LazyLock::new(|| NON_SECRET_WORDS.split_whitespace().collect());
    let lower = value.to_ascii_lowercase();
    let lower = lower.trim_matches(|c: char| !c.is_alphanumeric());
    lower.is_empty() || WORDS.contains(lower)
}

/// Whether a phrase names passwords, or begins like a sentence to a user: `Mot de passe`, `Enter a phrase`.
fn is_interface_text(value: &str) -> bool {
    let lower = value.to_lowercase();
    let first = lower.split(' ').next().unwrap_or_default();
    matches!(
        first,
        "enter" | "your" | "forgot" | "choose" | "confirm" | "repeat" | "new" | "old" | "the" | "must" | "please" | "change" | "show"
    ) || (lower.split(' ').count() <= 3 && lower.split(' ').any(is_non_secret_word))
        || lower.contains("mot de passe")
        || lower.contains("kata sandi")
        || lower.contains("mật khẩu")
}

/// Whether a value is one word without the syntax of code: `walnut`, but not `PASSWORD`, `$x`, `<password>` or `user.password`.
fn is_plain_word(value: &str) -> bool {
    value.len() >= 5
        && value.starts_with(|first: char| first.is_alphanumeric())
        && value.bytes().any(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        && !value.contains(['(', ')', '<', '>', '$', '{', ' ', '.', '[', '=', '/', ','])
}

/// Whether a value speaks of passwords, as the labels of forms do: `Enter your password`.
fn names_a_password(value: &str) -> bool {
    let lower = beginning(value).to_lowercase();
    [
        "passw",
        "passe",
        "kennwort",
        "contrase",
        "senha",
        "enter ",
        "your ",
        "пароль",
        "hasło",
        "wachtwoord",
        "lösenord",
        "密码",
        "パスワード",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests;
