//! Reads the value next to a label according to the type of the value.
//!
//! Secrets are in [`credentials`], numbers that identify a person (ids, accounts, phones, dates) in [`identifiers`]. Each reader accepts a value only if it
//! has the right form, because labels also occur in ordinary sentences and code.

mod credentials;
mod identifiers;

use std::ops::Range;

use super::decoded_text::DecodedText;
use super::labels::{Label, LabelSyntax, ValueStart, ValueType, ends_spaced_value, ends_unspaced_value, find_value_start, value_range};
use super::literals::LabelRule;
use super::names::NameMatch;
use super::secrets::end_of_word_run;
use super::text::Text;
use super::{Match, addresses, names};

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
    let Some(value_start) = find_value_start(decoded, text, label.identifier.end) else { return };
    let reader = Reader { decoded, text, label, rule };
    let before = matches.len();
    match rule.value_type {
        ValueType::Password => reader.password(value_start, matches),
        ValueType::AssignedPassword
            if value_start.syntax == LabelSyntax::Assignment && !text.byte_at(label.identifier.end).is_ascii_whitespace() =>
        {
            reader.password(value_start, matches);
        }
        ValueType::AssignedPassword => {}
        ValueType::Secret | ValueType::Key => reader.secret(value_start, matches),
        ValueType::Authorization => reader.authorization(value_start, matches),
        ValueType::Cookie => reader.cookie(value_start, matches),
        ValueType::Seed => reader.seed(value_start, matches),
        ValueType::Date => reader.date(value_start, matches),
        ValueType::Id | ValueType::Account => reader.id(value_start, matches),
        ValueType::Iban => reader.iban(value_start, matches),
        ValueType::Card => reader.card(value_start, matches),
        ValueType::Phone => reader.phone(value_start, matches),
        ValueType::Coordinate => reader.coordinate(value_start, matches),
        ValueType::Address => reader.address(value_start, matches),
        ValueType::Person => reader.person(value_start, true, name_matches),
        ValueType::WeakPerson => reader.person(value_start, false, name_matches),
    }
    // `{"key": "API_TOKEN", "value": "…"}`: the label is itself a value, and its value is in the next field.
    if matches.len() == before
        && let Some(value_start) = reader.sibling_value()
    {
        match rule.value_type {
            ValueType::Password | ValueType::AssignedPassword => reader.password(value_start, matches),
            ValueType::Secret | ValueType::Key => reader.secret(value_start, matches),
            ValueType::Id | ValueType::Account => reader.id(value_start, matches),
            ValueType::Phone => reader.phone(value_start, matches),
            ValueType::Date => reader.date(value_start, matches),
            ValueType::Address => reader.address(value_start, matches),
            ValueType::Person => reader.person(value_start, true, name_matches),
            _ => {}
        }
    }
    if matches.len() == before && matches!(rule.value_type, ValueType::Secret | ValueType::Key | ValueType::Password) {
        reader.secret_before_comment(matches);
    }
}

/// Reads the value of one label in a decoded text.
struct Reader<'r, 't> {
    decoded: &'r DecodedText<'t>,
    text: Text<'r>,
    label: &'r Label,
    rule: LabelRule,
}

impl Reader<'_, '_> {
    /// Adds a match; a value that was cut at its length limit is extended to its end.
    fn push(&self, mut range: Range<usize>, matches: &mut Vec<Match>) {
        if range.len() >= VALUE_BYTES_MAX {
            range.end = end_of_word_run(self.text, range.end);
        }
        if !range.is_empty() {
            matches.push(Match { range, kind: self.rule.kind, detector: "label" });
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

    /// The value that follows a label which is itself a value: a field `value` in JSON or YAML, or the next argument of a call.
    fn sibling_value(&self) -> Option<ValueStart> {
        let text = self.text;
        let end = text.skip_while(self.label.identifier.end, 2, |byte| matches!(byte, b'"' | b'\'' | b'`'));
        if !matches!(text.byte_at(end), b',' | b'\n' | b'}' | b'\r') {
            return None;
        }
        let at = text.skip_while(end, 24, |byte| byte.is_ascii_whitespace() || matches!(byte, b',' | b'-'));
        if end > self.label.identifier.end
            && matches!(text.byte_at(at), b'"' | b'\'')
            && !text.rest(at + 1).starts_with("value")
            && text.byte_at(end) == b','
        {
            // `set_secret("KEY", "value")`, `("password", "…")`, but not `"password", "user": …`, where the next string is a key.
            let close = text.skip_while(at + 1, 4096, |byte| byte != text.byte_at(at) && byte != b'\n');
            let is_key = text.byte_at(close + 1) == b':';
            let opened = text.byte_before(self.label.identifier.start.saturating_sub(1));
            return (!is_key && matches!(opened, b'(' | b'[' | b' ')).then(|| ValueStart::quoted(at + 1, text.byte_at(at)));
        }
        let word = text.skip_while(at, 1, |byte| matches!(byte, b'"' | b'\''));
        let name = ["value", "Value", "val", "content", "stringValue"].into_iter().find(|name| text.rest(word).starts_with(name))?;
        let value_start = find_value_start(self.decoded, text, word + name.len())?;
        // OTLP: `"value": {"stringValue": "…"}`.
        if text.byte_at(value_start.offset) == b'{' {
            let inner = text.skip_while(value_start.offset + 1, 20, |byte| byte.is_ascii_whitespace() || byte == b'"');
            let name = text.skip_while(inner, 20, |byte| byte.is_ascii_alphanumeric());
            return find_value_start(self.decoded, text, name).filter(|value_start| value_start.syntax == LabelSyntax::Assignment);
        }
        (value_start.syntax == LabelSyntax::Assignment).then_some(value_start)
    }

    fn address(&self, value_start: ValueStart, matches: &mut Vec<Match>) {
        if let Some(range) = addresses::after_label(self.decoded, self.text, value_start) {
            self.push(range, matches);
        }
    }

    fn person(&self, value_start: ValueStart, strong: bool, name_matches: &mut Vec<NameMatch>) {
        if value_start.syntax == LabelSyntax::Sentence {
            // In sentences, names are found by cues instead.
            return;
        }
        let range = self.spaced_value(value_start);
        name_matches.extend(names::match_field_value(self.text, range, strong));
    }
}
