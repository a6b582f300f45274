//! Reads the value next to a label according to the type of the value.
//!
//! Passwords are in [`credentials`], keys and tokens in [`secrets`], those of HTTP headers in [`headers`], short codes in [`codes`], numbers that
//! identify a person (ids, accounts, phones, dates) in [`identifiers`], those in formats of health care in [`health_records`], names in
//! [`persons`]; [`around_label`] reads values before a label and lists of values. Each reader accepts a value only if it has the right form,
//! because labels also occur in ordinary sentences and code.

mod around_label;
mod codes;
mod credentials;
mod headers;
mod health_records;
mod identifiers;
mod persons;
mod secrets;

use std::ops::Range;

pub(super) use self::credentials::is_non_secret_word;
pub(super) use self::identifiers::is_document_code;

use super::decoded_text::DecodedText;
use super::labels::{
    Label, LabelForm, LabelSyntax, ValueStart, ValueType, detector_of, ends_spaced_value, ends_unspaced_value, find_value_start,
    value_range, value_start_of_label,
};
use super::literals::LabelRule;
use super::names::NameMatch;
use super::secrets::end_of_word_run;
use super::text::Text;
use super::tokens::token_end;
use super::{Match, addresses};

/// Length of an unquoted value that is read to judge it; a longer value is replaced completely.
pub(super) const VALUE_BYTES_MAX: usize = 1024;

/// Distance of a value from its label in a sentence.
const SENTENCE_DISTANCE_BYTES_MAX: usize = 90;

/// Adds the value of a label, or the name next to it.
pub(super) fn match_value_of_label(
    decoded: &DecodedText<'_>,
    label: &Label,
    rule: LabelRule,
    matches: &mut Vec<Match>,
    name_matches: &mut Vec<NameMatch>,
) {
    let text = Text(decoded.text());
    let value_start = match value_start_of_label(decoded, text, label, rule.value_type.is_argument()) {
        Some(value_start) => value_start,
        // The arguments of a call: `login(url, "ada", "…")`.
        None if rule.value_type == ValueType::Pair => ValueStart::sentence(label.identifier.end),
        None => return,
    };
    // The value was already replaced, so that what follows is not another one.
    if value_start.syntax != LabelSyntax::Sentence && starts_with_token(text, value_start.offset) {
        return;
    }
    // At the end of another word the label is a name of a field, not a word of a sentence.
    if rule.form == LabelForm::Glued && value_start.syntax == LabelSyntax::Sentence {
        return;
    }
    let reader = Reader { decoded, text, label, rule };
    let (before, names_before) = (matches.len(), name_matches.len());
    reader.read(value_start, matches, name_matches);
    if matches.len() > before {
        reader.list_after_value(matches);
        reader.account_after_branch(matches);
        return;
    }
    if name_matches.len() > names_before {
        return;
    }
    // `{"key": "API_TOKEN", "value": "…"}`: the label is itself a value, and its value is in the next field.
    let sibling = reader.sibling_value().or_else(|| reader.value_in_object(value_start)).or_else(|| reader.rejected_input());
    if let Some(value_start) = sibling {
        reader.read(value_start, matches, name_matches);
    }
    if matches.len() == before {
        reader.value_before_label(value_start, matches);
    }
    if matches.len() == before && matches!(rule.value_type, ValueType::Secret | ValueType::Key | ValueType::Password) {
        reader.secret_before_comment(matches);
    }
}

/// Whether a redaction token starts at `at`, or the `<>` that the leak check leaves of it.
fn starts_with_token(text: Text<'_>, at: usize) -> bool {
    text.byte_at(at) == b'<' && (text.byte_at(at + 1) == b'>' || token_end(text, at, None).is_some())
}

/// Reads the value of one label in a decoded text.
struct Reader<'r, 't> {
    decoded: &'r DecodedText<'t>,
    text: Text<'r>,
    label: &'r Label,
    rule: LabelRule,
}

impl Reader<'_, '_> {
    /// Reads the value at `value_start` according to its type.
    fn read(&self, value_start: ValueStart, matches: &mut Vec<Match>, name_matches: &mut Vec<NameMatch>) {
        match self.rule.value_type {
            ValueType::Password => self.password(value_start, matches),
            ValueType::AssignedPassword if self.is_assigned(value_start) => self.password(value_start, matches),
            ValueType::AssignedPassword => self.assigned_in_sentence(value_start, matches),
            ValueType::Answer => self.answer(value_start, matches),
            ValueType::Pin => self.pin(value_start, matches),
            ValueType::Secret | ValueType::Key => self.secret(value_start, matches),
            ValueType::Authorization => self.authorization(value_start, matches),
            ValueType::Pair => self.pair(value_start, matches),
            ValueType::EncodedPair => self.encoded_pair(value_start, matches),
            ValueType::Cookie => self.cookie(value_start, matches),
            ValueType::Seed => self.seed(value_start, matches),
            ValueType::Date => self.date(value_start, matches),
            ValueType::Id | ValueType::Account => self.id(value_start, matches),
            ValueType::WeakId | ValueType::WeakAccount => self.weak_id(value_start, matches),
            ValueType::PersonNumber => self.person_number(value_start, matches),
            ValueType::CodedId => self.coded_id(matches),
            ValueType::Segment => self.segment(matches),
            ValueType::LastDigits => self.last_digits(value_start, matches),
            ValueType::Iban => self.iban(value_start, matches),
            ValueType::Card => self.card(value_start, matches),
            ValueType::Expiry => self.expiry(value_start, matches),
            ValueType::Phone => self.phone(value_start, matches),
            ValueType::Coordinate => self.coordinate(value_start, matches),
            ValueType::Address => self.address(value_start, matches),
            ValueType::PostalCode => self.postal_code(value_start, matches),
            ValueType::Person => self.person(value_start, true, name_matches),
            ValueType::WeakPerson => self.person(value_start, false, name_matches),
        }
    }

    /// Whether a value is assigned to its label without a space before the operator: `pwd=…`, `pass: …`, but not `tests pass: 12`.
    fn is_assigned(&self, value_start: ValueStart) -> bool {
        match value_start.syntax {
            LabelSyntax::Assignment => !self.text.byte_at(self.label.identifier.end).is_ascii_whitespace() || value_start.quote != 0,
            LabelSyntax::Argument | LabelSyntax::TableCell => true,
            LabelSyntax::NextLine | LabelSyntax::Sentence => false,
        }
    }

    /// Adds a match; a value that was cut at its length limit is extended to its end.
    fn push(&self, mut range: Range<usize>, matches: &mut Vec<Match>) {
        if range.len() >= VALUE_BYTES_MAX {
            range.end = end_of_word_run(self.text, range.end);
        }
        if !range.is_empty() {
            let detector = detector_of(self.text.slice(self.label.word.clone()));
            matches.push(Match { range, kind: self.rule.kind, detector });
        }
    }

    /// The range of a value without spaces, or of a quoted value.
    fn unspaced_value(&self, value_start: ValueStart) -> Range<usize> {
        value_range(self.decoded, self.text, value_start, VALUE_BYTES_MAX, ends_unspaced_value)
    }

    /// The range of a value that may contain spaces, such as a cell of a table.
    fn spaced_value(&self, value_start: ValueStart) -> Range<usize> {
        let range = value_range(self.decoded, self.text, value_start, 512, ends_spaced_value);
        let shown = self.text.slice(range.clone());
        let trimmed = shown.trim_end_matches([' ', '`', '\'', ')', '\\']);
        range.start..range.start + trimmed.len()
    }

    /// The value that follows a label which is itself a value: a field `value` in JSON, YAML or XML, or the next argument of a call.
    fn sibling_value(&self) -> Option<ValueStart> {
        let text = self.text;
        let start = self.label.identifier.start;
        // A selector of an element of a page: `"input[name=password]"`.
        let end = text.skip_while(self.label.identifier.end, 5, |byte| matches!(byte, b'"' | b'\'' | b'`' | b']' | b'\\'));
        if !matches!(text.byte_at(end), b',' | b'\n' | b'}' | b'\r' | b' ' | b'/' | b'>' | b';') {
            return None;
        }
        let is_quoted = end > self.label.identifier.end;
        let at = text.skip_while(end, 24, |byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'-'));
        let is_field_next = text.rest(at + 1).starts_with("value");
        if is_quoted && matches!(text.byte_at(at), b'"' | b'\'') && !is_field_next && text.byte_at(end) == b',' {
            // `set_secret("KEY", "value")`, `("password", "…")`, but not `"password", "user": …`, where the next string is a key.
            let close = text.skip_while(at + 1, 4096, |byte| byte != text.byte_at(at) && byte != b'\n');
            let is_key = text.byte_at(close + 1) == b':';
            let opened = text.byte_before(start.saturating_sub(1));
            if !is_key && matches!(opened, b'(' | b'[' | b' ') {
                return Some(ValueStart::quoted(at + 1, text.byte_at(at)));
            }
        }
        self.is_value_of_name_field().then(|| self.value_field_after(end).or_else(|| self.value_field_before())).flatten()
    }

    /// Whether the label is the value of a field that names something: `"name": "password"`, `key: password`, `name="password"`.
    fn is_value_of_name_field(&self) -> bool {
        const NAME_FIELDS: [&str; 29] = [
            "system",
            "display",
            "kind",
            "category",
            "scheme",
            "selector",
            "locator",
            "css",
            "xpath",
            "element",
            "ref",
            "code",
            "name",
            "key",
            "field",
            "label",
            "id",
            "attribute",
            "property",
            "title",
            "question",
            "header",
            "k",
            "n",
            "param",
            "parameter",
            "variable",
            "type",
            "text",
        ];
        let text = self.text;
        // A label may be a part of its field: `"name": "User password"`.
        let start = text.skip_back_while(self.label.identifier.start, 24, |byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b' ' | b'_' | b'.' | b'-' | b'#')
        });
        let quote = text.skip_back_while(start, 1, |byte| matches!(byte, b'"' | b'\''));
        let operator = text.skip_back_while(quote, 3, |byte| byte == b' ');
        if !matches!(text.byte_before(operator), b':' | b'=') {
            return false;
        }
        let name_end = text.skip_back_while(operator - 1, 2, |byte| matches!(byte, b'"' | b'\'' | b' '));
        let name_start = text.skip_back_while(name_end, 16, |byte| byte.is_ascii_alphabetic() || byte == b'_');
        let name = text.slice(name_start..name_end).to_ascii_lowercase();
        NAME_FIELDS.contains(&name.as_str()) || ["name", "key", "type"].iter().any(|ending| name.ends_with(ending))
    }

    /// The value in an object after its label: `"passport": {"number": "K8812043"}`.
    fn value_in_object(&self, value_start: ValueStart) -> Option<ValueStart> {
        const OBJECT_BYTES_MAX: usize = 120;
        if value_start.syntax != LabelSyntax::Assignment || self.text.byte_at(value_start.offset) != b'{' {
            return None;
        }
        let window = self.text.window(value_start.offset, OBJECT_BYTES_MAX);
        self.value_field(value_start.offset, window.get(..window.find('}').unwrap_or(window.len())).unwrap_or_default())
    }

    /// The value that a validator rejects: the name of the field, then `input_value='…'` in the next lines (Pydantic).
    fn rejected_input(&self) -> Option<ValueStart> {
        const MESSAGE_BYTES_MAX: usize = 200;
        const INPUT: &str = "input_value='";
        let end = self.label.identifier.end;
        if self.text.byte_at(end) != b'\n' {
            return None;
        }
        let window = self.text.window(end, MESSAGE_BYTES_MAX);
        let at = window.find(INPUT)?;
        let is_near = window.get(..at)?.matches('\n').count() <= 3;
        is_near.then(|| ValueStart::quoted(end + at + INPUT.len(), b'\''))
    }

    /// The value of a field `value` after the label, in the same object or element: within a few fields, and not in the next list item.
    fn value_field_after(&self, end: usize) -> Option<ValueStart> {
        const OBJECT_BYTES_MAX: usize = 160;
        let window = self.text.window(end, OBJECT_BYTES_MAX);
        // `{"type": {"text": "MRN"}, "value": "7720193"}`: the object of the name is closed first.
        let closed = window.find(|next: char| !matches!(next, '"' | '\'' | ' ' | '}' | ']')).unwrap_or(0);
        let stop = window
            .get(closed..)
            .and_then(|rest| rest.find(['}', '>', ']']))
            .map_or(window.len(), |at| closed + at)
            .min(window.find("\n-").unwrap_or(window.len()));
        let window = window.get(..stop).unwrap_or_default();
        let lines = window.find("\n\n").unwrap_or(window.len());
        self.value_field(end, window.get(..lines).unwrap_or_default())
    }

    /// The value of a field `value` before the label: `{"value": "…", "name": "password"}`.
    fn value_field_before(&self) -> Option<ValueStart> {
        const OBJECT_BYTES_MAX: usize = 160;
        let end = self.label.identifier.start;
        let start = self.text.start_after_last(end, OBJECT_BYTES_MAX, [b'{', b'<']);
        if !matches!(self.text.byte_before(start), b'{' | b'<') || self.text.slice(start..end).contains(['}', '>']) {
            return None;
        }
        self.value_field(start, self.text.slice(start..end)).filter(|value_start| value_start.quote != 0)
    }

    /// The value of the first field named `value` or similar in `window`, which begins at `start`.
    fn value_field(&self, start: usize, window: &str) -> Option<ValueStart> {
        const VALUE_FIELDS: [&str; 13] = [
            "value",
            "text",
            "Value",
            "VALUE",
            "val",
            "content",
            "stringValue",
            "answer",
            "string",
            "secret",
            "number",
            "no",
            "AttributeValue",
        ];
        let text = self.text;
        for (distance, _) in window.match_indices(['v', 'V', 'c', 's', 'a', 'n', 'A', 't']) {
            let at = start + distance;
            if !text.is_word_start(at) {
                continue;
            }
            let Some(name) = VALUE_FIELDS.into_iter().find(|name| text.rest(at).starts_with(name) && text.is_word_end(at + name.len()))
            else {
                continue;
            };
            let value_start = find_value_start(self.decoded, text, at + name.len())?;
            // OTLP: `"value": {"stringValue": "…"}`.
            if text.byte_at(value_start.offset) == b'{' {
                let inner = text.skip_while(value_start.offset + 1, 20, |byte| byte.is_ascii_whitespace() || byte == b'"');
                let name = text.skip_while(inner, 20, |byte| byte.is_ascii_alphanumeric());
                return find_value_start(self.decoded, text, name).filter(|value_start| value_start.syntax == LabelSyntax::Assignment);
            }
            return (value_start.syntax == LabelSyntax::Assignment).then_some(value_start);
        }
        None
    }

    fn address(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        // `street view 2024, New York`: in a sentence the word names no field.
        let label = self.text.slice(self.label.word.clone());
        if value_start.syntax == LabelSyntax::Sentence && label.eq_ignore_ascii_case("street") {
            return;
        }
        if let Some(range) = addresses::after_label(self.decoded, self.text, value_start) {
            self.push(range, matches);
        }
    }
}

#[cfg(test)]
mod tests;
