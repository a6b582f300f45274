//! Values that are told by the label beside them: each shape of `labels.rs` read at its place.

use std::ops::Range;
use std::sync::LazyLock;

use regex::Regex;

use super::labels::{Label, Place, Shape, Tie, ends_cell, ends_token, place_after, value_at};
use super::literals::LabelKind;
use super::names::Verdict;
use super::secrets::{Joined, beginning, end_of_run, is_placeholder, looks_chosen, looks_random};
use super::text::{Text, is_cjk};
use super::view::View;
use super::{Found, addresses, names, numbers};

/// Words that stand where a secret would and are none.
const DULL: &str = "\
    string str password passwd secret token required optional bool boolean int integer text none null nil true false undefined \
    empty incorrect invalid wrong expired missing hidden masked field must should could would will cannot needs was were is are \
    not no yes with from that this authentication failed bearer basic object number array type default unknown any credentials \
    mismatch reset";

/// Words between a label and its value: `the password for the box is …`.
const JOINTS: [&str; 16] = ["is", "was", "are", "to", "ist", "lautet", "est", "es", "é", "è", "jest", "är", "er", "as", "use", "with"];

/// Of a longer value without quotes this much tells what it is.
pub(super) const TOKEN_BYTES_MAX: usize = 1024;

/// How far from its label a value may stand in a sentence, in bytes.
const SAID_BYTES_MAX: usize = 90;

/// Adds the values of a label.
pub(super) fn of_label(view: &View<'_>, label: &Label, kind: LabelKind, hits: &mut Vec<Found>, verdicts: &mut Vec<Verdict>) {
    let text = Text(view.text());
    let Some(place) = place_after(view, text, label.identifier.end) else { return };
    let reader = Reader { view, text, label, kind };
    let before = hits.len();
    match kind.shape {
        Shape::Password => reader.password(place, hits),
        Shape::AssignedPassword if place.tie == Tie::Assigned && !text.at(label.identifier.end).is_ascii_whitespace() => {
            reader.password(place, hits);
        }
        Shape::AssignedPassword => {}
        Shape::Secret | Shape::Key => reader.secret(place, hits),
        Shape::Authorization => reader.authorization(place, hits),
        Shape::Cookie => reader.cookie(place, hits),
        Shape::Seed => reader.seed(place, hits),
        Shape::Date => reader.date(place, hits),
        Shape::Id | Shape::Account => reader.id(place, hits),
        Shape::Iban => reader.iban(place, hits),
        Shape::Card => reader.card(place, hits),
        Shape::Phone => reader.phone(place, hits),
        Shape::Coordinate => reader.coordinate(place, hits),
        Shape::Address => reader.address(place, hits),
        Shape::Person => reader.person(place, true, verdicts),
        Shape::WeakPerson => reader.person(place, false, verdicts),
    }
    // `{"key": "API_TOKEN", "value": "…"}`: the label is itself a value, and its own value stands in the field beside.
    if hits.len() == before
        && let Some(place) = reader.sibling_value()
    {
        match kind.shape {
            Shape::Password | Shape::AssignedPassword => reader.password(place, hits),
            Shape::Secret | Shape::Key => reader.secret(place, hits),
            Shape::Id | Shape::Account => reader.id(place, hits),
            Shape::Phone => reader.phone(place, hits),
            Shape::Date => reader.date(place, hits),
            Shape::Address => reader.address(place, hits),
            Shape::Person => reader.person(place, true, verdicts),
            _ => {}
        }
    }
    if hits.len() == before && matches!(kind.shape, Shape::Secret | Shape::Key | Shape::Password) {
        reader.commented(hits);
    }
}

struct Reader<'r, 't> {
    view: &'r View<'t>,
    text: Text<'r>,
    label: &'r Label,
    kind: LabelKind,
}

impl Reader<'_, '_> {
    fn push(&self, mut range: Range<usize>, hits: &mut Vec<Found>) {
        if range.len() >= TOKEN_BYTES_MAX {
            range.end = end_of_run(self.text, range.end);
        }
        if !range.is_empty() {
            hits.push(Found { range, kind: self.kind.kind, why: "the label beside it" });
        }
    }

    fn token(&self, place: Place) -> Range<usize> {
        value_at(self.view, self.text, place, TOKEN_BYTES_MAX, ends_token)
    }

    fn cell(&self, place: Place) -> Range<usize> {
        let range = value_at(self.view, self.text, place, 512, ends_cell);
        let shown = self.text.slice(range.clone());
        let trimmed = shown.trim_end_matches([' ', '`', '\'', ')', '\\']);
        range.start..range.start + trimmed.len()
    }

    fn password(&self, place: Place, hits: &mut Vec<Found>) {
        if place.tie == Tie::Said {
            self.said_secret(place, looks_chosen, hits);
            return;
        }
        let range = match place.quote {
            // A password may hold signs that end other values.
            0 => {
                let is_sign = |byte: u8| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\'' | b'<' | b'|' | b'&' | b'`');
                let end = self.text.skip(place.start, TOKEN_BYTES_MAX, is_sign);
                let trimmed = self.text.slice(place.start..end).trim_end_matches([',', ';', ')', '}', ']', '.']);
                place.start..place.start + trimmed.len()
            }
            _ => self.token(place),
        };
        let value = self.text.slice(range.clone());
        let is_env = self.text.before(place.start) == b'=' || (place.quote != 0 && self.text.before(place.start - 1) == b'=');
        let dull = is_dull(value);
        let strong = looks_chosen(value) || looks_random(value);
        let accepted = match () {
            () if is_placeholder(value) || value.len() < 4 || value.starts_with(['{', '[']) => false,
            () if strong => true,
            () if dull || value.starts_with('/') => false,
            () if value.contains(' ') => place.quote != 0 && value.split(' ').count() <= 4 && !value.ends_with('.'),
            () => {
                (place.quote != 0 || is_env || place.tie == Tie::Cell)
                    && (value.len() >= 5 || value.bytes().any(|byte| byte.is_ascii_digit()))
                    && !value.contains('(')
            }
        };
        if accepted {
            self.push(range, hits);
        } else if place.tie == Tie::Assigned && place.quote == 0 {
            self.said_secret_after(place, 1, looks_chosen, hits);
        }
    }

    fn secret(&self, place: Place, hits: &mut Vec<Found>) {
        if place.tie == Tie::Said {
            self.said_secret(place, looks_random, hits);
            return;
        }
        let mut range = self.token(place);
        if matches!(self.text.before(self.label.identifier.start), b'?' | b'&')
            && let Some(fragment) = self.text.slice(range.clone()).find('#')
        {
            range.end = range.start + fragment;
        }
        // `"token": "Bearer …"`
        for scheme in ["Bearer ", "bearer ", "Token ", "token ", "Basic ", "ApiKey "] {
            if self.text.rest(place.start).starts_with(scheme) {
                let inner = Place { start: place.start + scheme.len(), ..place };
                range = self.token(inner);
            }
        }
        let value = self.text.slice(range.clone());
        if is_placeholder(value) || beginning(value).contains("://") {
            return;
        }
        let is_cookie = self.kind.kind == "session_cookie" && value.len() >= 16;
        if looks_random(value) || self.is_short_secret(value) || is_cookie {
            let end = self.wrapped_end(range.clone());
            self.push(range.start..end, hits);
        } else if let Some(end) = self.wrapped(range.clone()) {
            self.push(range.start..end, hits);
        } else if place.tie == Tie::Assigned && place.quote == 0 {
            self.said_secret_after(place, 1, looks_random, hits);
        }
    }

    /// What a name such as `api_key` makes a secret, although it does not look random by itself.
    fn is_short_secret(&self, value: &str) -> bool {
        let value = beginning(value);
        if self.kind.shape == Shape::Key || value.len() < 8 {
            return false;
        }
        let has_letters = value.bytes().any(|byte| byte.is_ascii_alphabetic());
        let has_digits = value.bytes().any(|byte| byte.is_ascii_digit());
        has_letters && has_digits && !value.contains([' ', '(', '/']) && !is_dull(value) && !is_slug(value)
    }

    /// Where a value ends that goes on in the next lines.
    fn wrapped_end(&self, range: Range<usize>) -> usize {
        self.wrapped(range.clone()).unwrap_or(range.end)
    }

    fn wrapped(&self, range: Range<usize>) -> Option<usize> {
        if !matches!(self.text.at(range.end), b'\n' | b'\r' | b'\\' | b'=' | b' ') || range.len() < 12 {
            return None;
        }
        let joined = Joined::new(self.text.window(range.start, 8192))?;
        looks_random(&joined.text).then(|| range.start + joined.raw(&(0..joined.text.len())).end)
    }

    /// A secret in a sentence: `password for the staging box is …`, `with password …`, `API key provided: …`.
    fn said_secret(&self, place: Place, accept: fn(&str) -> bool, hits: &mut Vec<Found>) {
        self.said_secret_after(place, 0, accept, hits);
    }

    fn said_secret_after(&self, place: Place, first: usize, accept: fn(&str) -> bool, hits: &mut Vec<Found>) {
        let window = self.sentence_window(place.start);
        let mut sentence = window.get(..window.find(['\n', ';', '{', '|']).unwrap_or(window.len())).unwrap_or(window);
        // The quote that ends the field in which the sentence stands.
        let closing = sentence.match_indices('"').find(|(at, _)| {
            let next = sentence.as_bytes().get(at + 1).copied().unwrap_or(b',');
            *at > 0 && matches!(next, b',' | b'}' | b']' | b':')
        });
        if let Some((at, _)) = closing {
            sentence = sentence.get(..at).unwrap_or_default();
        }
        let mut at = 0;
        let mut is_joined = false;
        let mut previous_ended = false;
        for (count, word) in sentence.split(' ').enumerate() {
            let start = place.start + at;
            at += word.len() + 1;
            if at > SAID_BYTES_MAX + word.len() || count > 12 || previous_ended {
                return;
            }
            let stripped = word.trim_matches(['"', '\'', '`', '(', ')', '[', ']', ',', '.', ':', '<', '>', '*']);
            if stripped.is_empty() {
                is_joined |= word.contains([':', '=']);
                continue;
            }
            let from = start + word.find(stripped).unwrap_or(0);
            // Directly behind the label, or behind `is`, `:` and the like.
            let is_assignment = stripped
                .split_once('=')
                .is_some_and(|(name, value)| !value.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            if is_assignment || stripped.contains(['"', '`', '<', '>']) {
                return;
            }
            let fits = count >= first && (count <= 1 || is_joined) && accept(stripped) && !is_placeholder(stripped) && !is_dull(stripped);
            if fits {
                let mut range = from..from + stripped.len();
                if range.end == place.start + window.len() {
                    range.end = end_of_run(self.text, range.end);
                }
                let end = self.wrapped_end(range.clone());
                self.push(range.start..end, hits);
                return;
            }
            is_joined = is_joined || word.ends_with([':', '=']) || JOINTS.contains(&stripped);
            previous_ended = word.ends_with(['.', '!', '?']) && word.len() > 3;
        }
    }

    /// The text behind a label in which a value may be said: as far as one may stand from it, and to the end of the last word.
    fn sentence_window(&self, start: usize) -> &str {
        // Of a longer word this is enough to tell what it is.
        const WORD_BYTES_MAX: usize = 512;
        let near_end = start + self.text.window(start, SAID_BYTES_MAX).len();
        let end = self.text.skip(near_end, WORD_BYTES_MAX, |byte| !matches!(byte, b' ' | b'\n' | b';' | b'{' | b'|'));
        self.text.window(start, end.saturating_sub(start))
    }

    /// `connect("…")  # airtable token`: the label stands in a comment behind the value.
    fn commented(&self, hits: &mut Vec<Found>) {
        const CODE_BYTES_MAX: usize = 400;
        let label = self.label.identifier.start;
        let line = self.text.left_of(label, CODE_BYTES_MAX + 1, [b'\n', b'\n']);
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
        let is_password = self.kind.shape == Shape::Password && looks_chosen(value);
        if (looks_random(value) || is_password) && !is_placeholder(value) {
            self.push(line + open + 1..line + close, hits);
        }
    }

    /// The field `value` beside a label that is itself a value: in JSON, YAML, and after a comma of a call.
    fn sibling_value(&self) -> Option<Place> {
        let text = self.text;
        let end = text.skip(self.label.identifier.end, 2, |byte| matches!(byte, b'"' | b'\'' | b'`'));
        if !matches!(text.at(end), b',' | b'\n' | b'}' | b'\r') {
            return None;
        }
        let at = text.skip(end, 24, |byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'-'));
        if end > self.label.identifier.end
            && matches!(text.at(at), b'"' | b'\'')
            && !text.rest(at + 1).starts_with("value")
            && text.at(end) == b','
        {
            // `set_secret("KEY", "value")`, `("password", "…")`
            let close = text.skip(at + 1, 4096, |byte| byte != text.at(at) && byte != b'\n');
            let is_key = text.at(close + 1) == b':';
            let opened = text.before(self.label.identifier.start.saturating_sub(1));
            return (!is_key && matches!(opened, b'(' | b'[' | b' ')).then(|| Place::quoted(at + 1, text.at(at)));
        }
        let word = text.skip(at, 1, |byte| matches!(byte, b'"' | b'\''));
        let name = ["value", "Value", "val", "content", "stringValue"].into_iter().find(|name| text.rest(word).starts_with(name))?;
        let place = place_after(self.view, text, word + name.len())?;
        // OTLP: `"value": {"stringValue": "…"}`
        if text.at(place.start) == b'{' {
            let inner = text.skip(place.start + 1, 20, |byte| byte.is_ascii_whitespace() || byte == b'"');
            let name = text.skip(inner, 20, |byte| byte.is_ascii_alphanumeric());
            return place_after(self.view, text, name).filter(|place| place.tie == Tie::Assigned);
        }
        (place.tie == Tie::Assigned).then_some(place)
    }

    /// `Authorization: Bearer …`: all but the scheme.
    fn authorization(&self, place: Place, hits: &mut Vec<Found>) {
        const SCHEME_BYTES_MAX: usize = 20;
        if place.tie == Tie::Said {
            return;
        }
        let range = value_at(self.view, self.text, place, TOKEN_BYTES_MAX, |byte| {
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
        if secret.len() >= 6
            && !is_placeholder(secret)
            && (looks_random(secret) || (is_scheme && (looks_chosen(secret) || kind == "basic_auth")))
        {
            let is_cut = secret.len() >= TOKEN_BYTES_MAX - SCHEME_BYTES_MAX;
            let end = if is_cut { end_of_run(self.text, start + secret.len()) } else { start + secret.len() };
            hits.push(Found { range: start..end, kind, why: "authorization header" });
        }
    }

    /// The values of a cookie header that are no settings.
    fn cookie(&self, place: Place, hits: &mut Vec<Found>) {
        if place.tie == Tie::Said {
            return;
        }
        let range = value_at(self.view, self.text, place, 4096, |byte| matches!(byte, b'\n' | b'\r' | b'"'));
        let mut at = range.start;
        for part in self.text.slice(range).split(';') {
            let from = at;
            at += part.len() + 1;
            let Some((name, value)) = part.split_once('=') else { continue };
            let value = value.trim_end_matches(['\'', '"', ' ']);
            let is_setting =
                ["path", "domain", "expires", "max-age", "samesite", "version"].contains(&name.trim().to_ascii_lowercase().as_str());
            if !is_setting && !is_placeholder(value) && value.len() >= 12 && (looks_random(value) || value.len() >= 20) {
                let start = from + name.len() + 1;
                hits.push(Found { range: start..start + value.len(), kind: "session_cookie", why: "cookie header" });
            }
        }
    }

    /// Twelve or more lower-case words behind `seed phrase`.
    fn seed(&self, place: Place, hits: &mut Vec<Found>) {
        static WORDS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"\b(?:[a-z]{3,8}[ ,]{1,2}){11,23}[a-z]{3,8}\b").ok());
        let window = self.text.window(place.start, 400);
        if let Some(found) = WORDS.as_ref().and_then(|words| words.find(window)).filter(|found| found.start() < 40) {
            self.push(place.start + found.start()..place.start + found.end(), hits);
        }
    }

    fn date(&self, place: Place, hits: &mut Vec<Found>) {
        let window = self.text.window(place.start, SAID_BYTES_MAX);
        if let Some(found) = date_in(window) {
            self.push(place.start + found.start..place.start + found.end, hits);
        } else if self.label.start >= 4 {
            // `1984年2月19日生まれ`, `13.05.1960 doğumlu`: the label follows.
            let from = self.text.0.floor_char_boundary(self.label.start.saturating_sub(24));
            let left = self.text.slice(from..self.label.start);
            if let Some(found) = date_in(left).filter(|found| found.end + 3 >= left.len()) {
                self.push(from + found.start..from + found.end, hits);
            }
        }
    }

    /// Letters and digits of an identity paper, a patient or an account.
    fn id(&self, place: Place, hits: &mut Vec<Found>) {
        let is_account = self.kind.shape == Shape::Account;
        if place.tie != Tie::Said {
            let mut range = self.cell(place);
            // `?account=4482910 HTTP/1.1" 200`, `mrn=8392011 200`: such a value holds no blanks.
            if place.quote == 0 && self.text.before(place.start) == b'=' {
                range.end = self.text.skip(range.start, range.len(), |byte| !byte.is_ascii_whitespace());
            }
            if let Some(found) = id_run(self.text, range.start, range.end) {
                let digits = count_digits(self.text.slice(found.clone()));
                let rest = self.text.slice(found.end..range.end);
                let short = place.quote == 0 && place.tie == Tie::Assigned;
                if digits >= if is_account { 6 } else { 4 } && (rest.len() < 3 || short) {
                    self.push(found, hits);
                }
                return;
            }
        }
        self.said_run(place, hits, |reader, at| {
            let found = id_run(reader.text, at, reader.text.len().min(at + 40))?;
            let digits = count_digits(reader.text.slice(found.clone()));
            let has_letters = found.len() >= 8 && found.len() <= 24 && digits >= 4 && digits < found.len();
            (digits >= if is_account { 6 } else { 5 } || (has_letters && !is_account)).then_some(found)
        });
    }

    /// Looks for a run that begins with a letter or digit and holds digits, not far behind the label in the same sentence.
    fn said_run(&self, place: Place, hits: &mut Vec<Found>, read: impl Fn(&Self, usize) -> Option<Range<usize>>) {
        let end = self.text.0.floor_char_boundary(self.text.len().min(place.start + SAID_BYTES_MAX));
        let mut at = place.start;
        let mut words = 0;
        while at < end {
            let byte = self.text.at(at);
            let starts = (byte.is_ascii_alphanumeric()
                || byte == b'+'
                || (byte == b'(' && (self.text.at(at + 1).is_ascii_digit() || self.text.at(at + 1) == b'+')))
                && (self.text.starts_word(at) || self.text.char_before(at).is_some_and(is_cjk));
            if starts {
                if let Some(found) = read(self, at) {
                    self.push(found, hits);
                    return;
                }
                if byte == b'(' {
                    at += 1;
                    continue;
                }
                let word_end = self.text.skip(at, 64, |byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'\'' || byte >= 0x80);
                let word = self.text.slice(at..word_end);
                words += 1;
                // Another number, or the next sentence: the value is not here.
                if words > 7 || word.bytes().any(|byte| byte.is_ascii_digit()) || word_end == at {
                    return;
                }
                at = word_end;
                continue;
            }
            let next_is_blank = self.text.at(at + 1).is_ascii_whitespace();
            let is_query = matches!(byte, b'?' | b'&' | b'=') && !next_is_blank;
            if is_query || matches!(byte, b'{' | b'}' | b'[' | b'<' | b'|') || (byte == b'\n' && self.text.at(at + 1) == b'\n') {
                return;
            }
            if byte == b'.'
                && next_is_blank
                && self.text.at(at + 2).is_ascii_uppercase()
                && !self.text.at(at + 3).is_ascii_uppercase()
                && self.text.before(at) != b'o'
                && self.text.before(at) != b'r'
            {
                let next = self.text.skip(at + 2, 20, |byte| byte.is_ascii_alphabetic());
                if next > at + 4 {
                    return;
                }
            }
            at += self.text.char_at(at).map_or(1, char::len_utf8);
        }
    }

    fn iban(&self, place: Place, hits: &mut Vec<Found>) {
        self.said_run(place, hits, |reader, at| numbers::iban_shaped(reader.text, at));
    }

    fn card(&self, place: Place, hits: &mut Vec<Found>) {
        self.said_run(place, hits, |reader, at| {
            let end = reader.text.skip(at, 24, |byte| byte.is_ascii_digit() || matches!(byte, b' ' | b'-'));
            let shown = reader.text.slice(at..end).trim_end_matches([' ', '-']);
            let digits = count_digits(shown);
            (13..=19).contains(&digits).then(|| at..at + shown.len())
        });
    }

    fn phone(&self, place: Place, hits: &mut Vec<Found>) {
        self.said_run(place, hits, |reader, at| {
            if reader.text.at(at).is_ascii_alphabetic() {
                return None;
            }
            let range = numbers::phone_shaped(reader.text, at, 7)?;
            let shown = reader.text.slice(range.clone());
            let parts: Vec<&str> = shown.split(|sign: char| !sign.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
            let after = reader.text.at(range.end);
            let is_number = shown.starts_with(['1', '2']) && parts.len() == 1 && matches!(shown.len(), 13 | 19);
            (!numbers::is_date(&parts) && !matches!(after, b':' | b'%') && !is_number && !is_version(shown)).then_some(range)
        });
    }

    fn coordinate(&self, place: Place, hits: &mut Vec<Found>) {
        static DEGREES: LazyLock<Option<Regex>> =
            LazyLock::new(|| Regex::new(r"\A\[?[-+]?\d{1,3}\.\d{4,}(?:\s*,\s*[-+]?\d{1,3}\.\d{4,})?").ok());
        if place.tie != Tie::Assigned {
            return;
        }
        let window = self.text.window(place.start, 60);
        if let Some(found) = DEGREES.as_ref().and_then(|degrees| degrees.find(window)) {
            self.push(place.start..place.start + found.end(), hits);
        }
    }

    fn address(&self, place: Place, hits: &mut Vec<Found>) {
        if let Some(range) = addresses::at_label(self.view, self.text, place) {
            self.push(range, hits);
        }
    }

    fn person(&self, place: Place, strong: bool, verdicts: &mut Vec<Verdict>) {
        if place.tie == Tie::Said {
            // Words before a name are the business of `names`.
            return;
        }
        let range = self.cell(place);
        verdicts.extend(names::in_field(self.text, range, strong));
    }
}

/// A date in the spellings of many languages.
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

fn count_digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// Groups of letters and digits with single separators between them, as identity papers have: `PW 76 96 66 D`, `900.404.925-83`.
fn id_run(text: Text<'_>, from: usize, limit: usize) -> Option<Range<usize>> {
    let is_sign = |byte: u8| byte.is_ascii_alphanumeric();
    let (mut end, mut at) = (from, from);
    if text.at(at) == b'#' {
        at += 1;
    }
    let start = at;
    while at < limit {
        let group_end = text.skip(at, 32, is_sign);
        let group = text.slice(at..group_end);
        let digits = count_digits(group);
        let fits = digits > 0 && (digits * 3 >= group.len() || group.len() >= 9)
            || (!group.is_empty() && group.len() <= 2 && group.bytes().all(|byte| byte.is_ascii_uppercase()));
        if group.is_empty() || !fits || group_end - start > 32 {
            break;
        }
        end = group_end;
        let separator = text.at(group_end);
        if !matches!(separator, b' ' | b'-' | b'.' | b'/') {
            break;
        }
        at = group_end + 1;
        // ` / ` between the parts; a hyphen between blanks stands for a field that is empty, as in access logs.
        if separator == b' ' && text.at(at) == b'/' && text.at(at + 1) == b' ' {
            at += 2;
        }
    }
    // Upper-case words at the end belong to the sentence unless they are one letter or two.
    let shown = text.slice(start..end);
    let last = shown.rsplit([' ']).next().unwrap_or("");
    if last.len() > 2 && !last.bytes().any(|byte| byte.is_ascii_digit()) {
        end -= last.len() + 1;
    }
    let shown = text.0.get(start..end).unwrap_or("");
    let parts: Vec<&str> = shown.split(|sign: char| !sign.is_ascii_digit()).filter(|part| !part.is_empty()).collect();
    let plain_date = numbers::is_date(&parts) && parts.len() == 3 && !shown.bytes().any(|byte| byte.is_ascii_alphabetic());
    (shown.len() >= 5 && text.ends_word(end) && text.starts_word(start) && !plain_date && parts.iter().any(|part| !part.is_empty()))
        .then_some(start..end)
}

fn is_version(shown: &str) -> bool {
    shown.contains('.')
        && shown.split('.').all(|part| part.len() < 4 && part.bytes().all(|byte| byte.is_ascii_digit()))
        && shown.split('.').count() == 3
        && shown.len() < 9
}

/// Words that stand where a secret would and are none.
fn is_dull(value: &str) -> bool {
    let lower = value.to_ascii_lowercase();
    let lower = lower.trim_matches(|sign: char| !sign.is_alphanumeric());
    lower.is_empty() || DULL.split_whitespace().any(|dull| dull == lower)
}

/// Words with hyphens, a name of a thing: `gpt-4o-mini`, `refresh_token_v2`.
fn is_slug(value: &str) -> bool {
    let parts: Vec<&str> = value.split(['-', '_', '.', ':']).collect();
    parts.len() > 1
        && parts.iter().all(|part| {
            let digits = count_digits(part);
            digits == 0 && part.bytes().all(|byte| byte.is_ascii_lowercase()) || digits == part.len() && digits <= 4 || part.len() <= 3
        })
}
