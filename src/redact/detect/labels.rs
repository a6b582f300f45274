//! Labels: names such as `password` or `date of birth` that identify the value next to them (`rules/labels.toml`).
//!
//! Finds a label in a text, rejects it if its identifier changes its meaning (`ip_address` is not an `address`), and locates the start and
//! end of its value. Whether the value fits the label is decided in [`super::values`].

use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;

use super::decoded_text::DecodedText;
use super::text::{Text, is_cjk};
use super::tokens::token_end;

/// The type of a label's value, which decides how the value is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ValueType {
    Password,
    /// A password if it is assigned (`pwd=…`); the label is too common a word to match in a sentence ("tests pass").
    AssignedPassword,
    Secret,
    /// A secret that must look random, because its label (`key`) also has harmless values such as `partition_key: region`.
    Key,
    Authorization,
    Cookie,
    Seed,
    Date,
    Id,
    Account,
    Iban,
    Card,
    Phone,
    Coordinate,
    Address,
    Person,
    /// A person if the value looks like a name; the label (`name`, `user`, `from`) has many other values.
    WeakPerson,
}

/// One `[[label]]` entry of `rules/labels.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelEntry {
    pub(super) kind: String,
    pub(super) value: ValueType,
    pub(super) words: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) examples: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) counterexamples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelTable {
    pub(super) label: Vec<LabelEntry>,
    prefix: Vec<PrefixRule>,
}

/// One `[[prefix]]` entry: words before a label in its identifier that change its meaning.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PrefixRule {
    value: ValueType,
    /// With these the label does not match: `ip_address`.
    #[serde(default)]
    excluded: Vec<String>,
    /// Only with these the label matches: `customer_name`.
    #[serde(default)]
    only: Vec<String>,
}

static PREFIX_RULES: LazyLock<Vec<PrefixRule>> = LazyLock::new(|| table().map(|table| table.prefix).unwrap_or_default());

pub(super) fn table() -> Option<LabelTable> {
    toml::from_str(include_str!("rules/labels.toml")).ok()
}

/// The spellings of a label. A space also matches `_`, `-` and nothing, so `date of birth` matches `date_of_birth`.
pub(super) fn spellings(words: &str) -> Vec<String> {
    if words.contains(' ') { [" ", "_", "-", ""].map(|separator| words.replace(' ', separator)).to_vec() } else { vec![words.to_owned()] }
}

/// How a value follows its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LabelSyntax {
    /// `label: value`, `label=value`.
    Assignment,
    /// The next cell of a table, or the text inside or after an HTML tag.
    TableCell,
    /// `label is value`, with words in between that the reader of the value type skips.
    Sentence,
}

/// The position after a label where its value begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueStart {
    pub(super) offset: usize,
    pub(super) syntax: LabelSyntax,
    /// The opening quote, 0 if the value is unquoted.
    pub(super) quote: u8,
    /// Bytes of the opening quote in the original text, which tell its escaping level: 1 for `"`, 2 for `\"`.
    pub(super) quote_len: usize,
}

impl ValueStart {
    /// The start of a quoted value.
    pub(super) fn quoted(offset: usize, quote: u8) -> Self {
        Self { offset, syntax: LabelSyntax::Assignment, quote, quote_len: 1 }
    }
}

/// A label in a text, with the identifier that contains it.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) start: usize,
    /// The whole identifier, such as `customer.phone` around `phone`.
    pub(super) identifier: Range<usize>,
}

/// The label at `literal`, if it is a word or a part of an identifier and the rest of the identifier does not change its meaning.
pub(super) fn label_at(text: Text<'_>, literal: Range<usize>, value_type: ValueType) -> Option<Label> {
    let (start, end) = (literal.start, literal.end);
    let (before, first) = (text.byte_before(start), text.byte_at(start));
    let is_cjk_label = text.char_at(start).is_some_and(is_cjk);
    // The label starts a word (`phone`, `home_phone`) or a camel-case part (`homePhone`), but not inside a word (`headphone`).
    let is_part_start = is_cjk_label
        || if before >= 0x80 {
            !text.char_before(start).is_some_and(char::is_alphanumeric)
        } else {
            !before.is_ascii_alphanumeric() || (first.is_ascii_uppercase() && !before.is_ascii_uppercase())
        };
    if !is_part_start {
        return None;
    }
    let identifier_start = text.skip_back_while(start, 64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    // The kind in a redaction token is not a label: `PASSWORD` in `<PASSWORD:1a2b3c>`.
    if text.byte_before(identifier_start) == b'<' && token_end(text, identifier_start - 1, None).is_some() {
        return None;
    }
    let mut identifier_end = end;
    if !is_cjk_label {
        let (last, next) = (text.byte_before(end), text.byte_at(end));
        // The word continues with a non-ASCII letter: `nom` in `nomás`.
        if next >= 0x80 && text.char_at(end).is_some_and(|letter| letter.is_alphabetic() && !is_cjk(letter)) {
            return None;
        }
        // The identifier continues (`phone_number`, `phoneNumber`, `phone2`), or the word does (`phones`).
        let continues = match next {
            b'_' | b'-' => text.byte_at(end + 1).is_ascii_alphanumeric(),
            byte if byte.is_ascii_uppercase() => last.is_ascii_lowercase(),
            byte if byte.is_ascii_lowercase() => return None,
            byte => byte.is_ascii_digit(),
        };
        if continues {
            identifier_end = text.skip_while(end, 40, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            // `MRN-361271`: the value follows a hyphen. Otherwise only neutral words may follow: `password_hash`, but not `token_type`.
            if text.byte_at(end) == b'-' && text.byte_at(end + 1).is_ascii_digit() && literal.len() >= 3 {
                identifier_end = end;
            } else if !words_of(text.slice(end..identifier_end)).all(|word| is_neutral_suffix(&word)) {
                return None;
            }
        }
    }
    let prefix = text.slice(identifier_start..start);
    prefix_is_compatible(prefix, text.slice(start..end), value_type)
        .then_some(Label { start, identifier: identifier_start..identifier_end })
}

/// Splits a part of an identifier into lower-case words: `customerPhone_2` into `customer`, `phone`, `2`.
fn words_of(part: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for c in part.chars() {
        if c.is_alphanumeric() {
            let starts_word = !last.is_alphanumeric() || (c.is_uppercase() && last.is_lowercase()) || (c.is_numeric() != last.is_numeric());
            if starts_word || words.is_empty() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        last = c;
    }
    words.into_iter()
}

/// Whether a word after a label in its identifier keeps the label's meaning: `phone_number`, `api_key_prod`.
fn is_neutral_suffix(word: &str) -> bool {
    matches!(
        word,
        "value"
            | "text"
            | "number"
            | "no"
            | "nr"
            | "num"
            | "plain"
            | "raw"
            | "str"
            | "string"
            | "full"
            | "line"
            | "primary"
            | "secondary"
            | "current"
            | "new"
            | "old"
            | "main"
            | "confirm"
            | "confirmation"
            | "hash"
            | "base"
            | "b64"
            | "encoded"
            | "prod"
            | "dev"
            | "test"
            | "live"
            | "staging"
            | "secret"
            | "home"
            | "work"
            | "mobile"
            | "legal"
            | "formatted"
            | "input"
            | "app"
            | "io"
            | "com"
            | "terraform"
            | "env"
            | "one"
            | "two"
    ) || word.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether the label keeps its meaning after `prefix`, the part of its identifier before it.
fn prefix_is_compatible(prefix: &str, label: &str, value_type: ValueType) -> bool {
    if prefix.is_empty() {
        return true;
    }
    // Only the last word of the prefix counts, in lower case: `remote` in `server.remoteAddress`.
    let body = prefix.trim_end_matches(['_', '-', '.']);
    let mut from = body.len();
    for (index, c) in body.char_indices().rev() {
        if !c.is_ascii_alphanumeric() {
            break;
        }
        from = index;
        if c.is_ascii_uppercase() && body.get(index + 1..).is_some_and(|tail| tail.starts_with(|next: char| next.is_ascii_lowercase())) {
            break;
        }
    }
    let last = body.get(from..).unwrap_or_default().to_ascii_lowercase();
    let last = last.as_str();
    let excluded = |value_type: ValueType| {
        PREFIX_RULES.iter().any(|prefix| prefix.value == value_type && prefix.excluded.iter().any(|word| word == last))
    };
    match value_type {
        // `customer.name`, but not `tool.name`.
        ValueType::WeakPerson if label.eq_ignore_ascii_case("name") => {
            PREFIX_RULES.iter().any(|prefix| prefix.value == value_type && prefix.only.iter().any(|word| word == last))
        }
        // `message.author`, but not `coauthor`.
        ValueType::WeakPerson => prefix.ends_with(['.', '-', '_']) && !excluded(value_type),
        ValueType::AssignedPassword => !excluded(ValueType::Password),
        ValueType::Account => !excluded(ValueType::Id),
        _ => !excluded(value_type),
    }
}

/// Finds the start of the value after a label that ends at `end`.
pub(super) fn find_value_start(decoded: &DecodedText<'_>, text: Text<'_>, end: usize) -> Option<ValueStart> {
    let is_closing = |byte: u8| matches!(byte, b'"' | b'\'' | b'`' | b'*' | b']' | b')');
    let closed = text.skip_while(end, 4, is_closing);
    let at = text.skip_while(closed, 8, |byte| matches!(byte, b' ' | b'\t'));
    let (syntax, mut start) = match (text.byte_at(at), text.byte_at(at + 1)) {
        // `token::new()`, `password://`: a path of code or a URL scheme.
        (b':', b':' | b'/') => return None,
        (b':' | b'=', _) => {
            let mut after = text.skip_while(at, 3, |byte| matches!(byte, b':' | b'=' | b'>' | b'~'));
            // Markdown: `**Name:** value`.
            after = text.skip_while(after, 2, |byte| byte == b'*');
            (LabelSyntax::Assignment, after)
        }
        (b'-', b'>') => (LabelSyntax::Assignment, at + 2),
        (b'>', _) => (LabelSyntax::TableCell, skip_html_tags(text, at + 1)),
        (b'<', b'/' | b'b' | b't' | b'd' | b's') => (LabelSyntax::TableCell, skip_html_tags(text, at)),
        (b'|' | b'\t', _) => (LabelSyntax::TableCell, at + 1),
        _ if text.rest(at).starts_with('：') => (LabelSyntax::Assignment, at + '：'.len_utf8()),
        // `MRN-361271`.
        (b'-', b'0'..=b'9') if at == closed => (LabelSyntax::Sentence, closed + 1),
        // The label is part of encoded data, a path or an expression: `pass/word`, `key+1`, `token(x)`.
        (b'+' | b'/' | b'-' | b'@' | b'%' | b'\\' | b'(', _) if at == closed => return None,
        _ => (LabelSyntax::Sentence, closed),
    };
    if syntax != LabelSyntax::Sentence {
        start = text.skip_while(start, 80, |byte| matches!(byte, b' ' | b'\t'));
    }
    let mut value_start = ValueStart { offset: start, syntax, quote: 0, quote_len: 0 };
    if syntax != LabelSyntax::Sentence {
        // Python string prefixes and lists: `b"…"`, `["…"]`.
        let mut at = start;
        if matches!(text.byte_at(at), b'b' | b'f' | b'r' | b'u') && matches!(text.byte_at(at + 1), b'"' | b'\'') {
            at += 1;
        }
        if text.byte_at(at) == b'[' && matches!(text.byte_at(at + 1), b'"' | b'\'') {
            at += 1;
        }
        match text.byte_at(at) {
            quote @ (b'"' | b'\'' | b'`') => {
                value_start = ValueStart { offset: at + 1, syntax, quote, quote_len: decoded.raw_len_at(at) };
            }
            b'*' => value_start.offset = text.skip_while(at, 2, |byte| byte == b'*'),
            _ => {}
        }
    }
    (value_start.offset <= text.len()).then_some(value_start)
}

/// Skips up to four HTML tags and the white space around them.
fn skip_html_tags(text: Text<'_>, mut at: usize) -> usize {
    for _ in 0..4 {
        at = text.skip_while(at, 40, |byte| byte.is_ascii_whitespace());
        if text.byte_at(at) != b'<' {
            break;
        }
        let end = text.skip_while(at, 120, |byte| byte != b'>' && byte != b'\n');
        if text.byte_at(end) != b'>' {
            break;
        }
        at = end + 1;
    }
    at
}

/// How far the closing quote of a quoted value is searched.
const QUOTED_BYTES_MAX: usize = 8192;

/// The value at `value_start`: up to its closing quote or, unquoted, up to the first byte that `ends` accepts and at most `max` bytes.
pub(super) fn value_range(
    decoded: &DecodedText<'_>,
    text: Text<'_>,
    value_start: ValueStart,
    max: usize,
    ends: impl Fn(u8) -> bool,
) -> Range<usize> {
    if value_start.quote != 0 {
        let window = text.bytes().get(value_start.offset..text.len().min(value_start.offset + QUOTED_BYTES_MAX)).unwrap_or_default();
        // A quote with more backslashes than the opening one is nested inside the value.
        for distance in memchr::memchr_iter(value_start.quote, window) {
            let at = value_start.offset + distance;
            if decoded.raw_len_at(at) <= value_start.quote_len {
                return value_start.offset..at;
            }
        }
    }
    value_start.offset..text.skip_while(value_start.offset, max, |byte| !ends(byte))
}

/// Whether `byte` ends an unquoted value without spaces, such as a key.
pub(super) fn ends_unspaced_value(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'&' | b'"' | b'\'' | b')' | b'}' | b']' | b'<' | b'>' | b'|' | b'`')
}

/// Whether `byte` ends an unquoted value that may contain spaces, such as a name.
pub(super) fn ends_spaced_value(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\t' | b',' | b';' | b'&' | b'"' | b'|' | b'<' | b'>' | b'}' | b']' | b'*' | b'(')
}
