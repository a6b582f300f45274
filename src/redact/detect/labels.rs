//! Names that say what the value beside them is (`rules/labels.toml`), and where that value stands.

use std::ops::Range;
use std::sync::LazyLock;

use serde::Deserialize;

use super::text::{Text, is_cjk};
use super::tokens::token_end;
use super::view::View;

/// How the value of a label looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Shape {
    Password,
    /// A password only where a sign assigns it: the label is a common word.
    AssignedPassword,
    Secret,
    /// A secret that has to look random: the label is `key`.
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
    WeakPerson,
}

/// One entry of `rules/labels.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelRule {
    pub(super) kind: String,
    pub(super) value: Shape,
    pub(super) words: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) examples: Vec<String>,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the table"))]
    pub(super) counterexamples: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LabelTable {
    pub(super) label: Vec<LabelRule>,
    prefix: Vec<Prefix>,
}

/// Words before a label in its identifier that take its meaning away, or without which it has none.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    value: Shape,
    #[serde(default)]
    excluded: Vec<String>,
    #[serde(default)]
    only: Vec<String>,
}

static PREFIXES: LazyLock<Vec<Prefix>> = LazyLock::new(|| table().map(|table| table.prefix).unwrap_or_default());

pub(super) fn table() -> Option<LabelTable> {
    toml::from_str(include_str!("rules/labels.toml")).ok()
}

/// The spellings of a label: a blank also stands for `_`, `-` and nothing.
pub(super) fn spellings(words: &str) -> Vec<String> {
    if words.contains(' ') { [" ", "_", "-", ""].map(|separator| words.replace(' ', separator)).to_vec() } else { vec![words.to_owned()] }
}

/// How a value is tied to its label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tie {
    /// `label: value`, `label=value`.
    Assigned,
    /// The next cell of a table, or the text inside or after a tag of HTML.
    Cell,
    /// `label is value`: the words between are for the shape to read.
    Said,
}

/// Where the value of a label begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    pub(super) start: usize,
    pub(super) tie: Tie,
    /// The quote that opened it, 0 where none did.
    pub(super) quote: u8,
    /// Bytes of the original that the opening quote took.
    pub(super) quote_len: usize,
}

impl Place {
    /// A value behind a quote.
    pub(super) fn quoted(start: usize, quote: u8) -> Self {
        Self { start, tie: Tie::Assigned, quote, quote_len: 1 }
    }
}

/// A label in a text, with the identifier around it.
#[derive(Debug, Clone)]
pub(super) struct Label {
    pub(super) start: usize,
    /// The whole identifier, such as `customer.phone` around `phone`.
    pub(super) identifier: Range<usize>,
}

/// The label at a hit, where it is a word or a part of an identifier that says what the value is.
pub(super) fn label_at(text: Text<'_>, hit: Range<usize>, shape: Shape) -> Option<Label> {
    let (start, end) = (hit.start, hit.end);
    let (before, first) = (text.before(start), text.at(start));
    let is_cjk_label = text.char_at(start).is_some_and(is_cjk);
    let free_left = is_cjk_label
        || if before >= 0x80 {
            !text.char_before(start).is_some_and(char::is_alphanumeric)
        } else {
            !before.is_ascii_alphanumeric() || (first.is_ascii_uppercase() && !before.is_ascii_uppercase())
        };
    if !free_left {
        return None;
    }
    let identifier_start = text.skip_back(start, 64, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
    // The kind in a token of an earlier redaction names no value.
    if text.before(identifier_start) == b'<' && token_end(text, identifier_start - 1, None).is_some() {
        return None;
    }
    let mut identifier_end = end;
    if !is_cjk_label {
        let (last, next) = (text.before(end), text.at(end));
        if next >= 0x80 && text.char_at(end).is_some_and(|letter| letter.is_alphabetic() && !is_cjk(letter)) {
            return None;
        }
        let goes_on = match next {
            b'_' | b'-' => text.at(end + 1).is_ascii_alphanumeric(),
            byte if byte.is_ascii_uppercase() => last.is_ascii_lowercase(),
            byte if byte.is_ascii_lowercase() => return None,
            byte => byte.is_ascii_digit(),
        };
        if goes_on {
            identifier_end = text.skip(end, 40, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            // `MRN-361271`: the value follows a hyphen.
            if text.at(end) == b'-' && text.at(end + 1).is_ascii_digit() && hit.len() >= 3 {
                identifier_end = end;
            } else if !words_of(text.slice(end..identifier_end)).all(|word| is_harmless_suffix(&word)) {
                return None;
            }
        }
    }
    let prefix = text.slice(identifier_start..start);
    prefix_fits(prefix, text.slice(start..end), shape).then_some(Label { start, identifier: identifier_start..identifier_end })
}

/// The words of a part of an identifier, in lower case: `customerPhone_2` gives `customer`, `phone`, `2`.
fn words_of(part: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut last = ' ';
    for sign in part.chars() {
        if sign.is_alphanumeric() {
            let starts =
                !last.is_alphanumeric() || (sign.is_uppercase() && last.is_lowercase()) || (sign.is_numeric() != last.is_numeric());
            if starts || words.is_empty() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(sign.to_lowercase());
            }
        }
        last = sign;
    }
    words.into_iter()
}

fn is_harmless_suffix(word: &str) -> bool {
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

/// Whether what stands before the label in its identifier leaves it its meaning.
fn prefix_fits(prefix: &str, label: &str, shape: Shape) -> bool {
    if prefix.is_empty() {
        return true;
    }
    // Its last word, in lower case.
    let body = prefix.trim_end_matches(['_', '-', '.']);
    let mut from = body.len();
    for (index, sign) in body.char_indices().rev() {
        if !sign.is_ascii_alphanumeric() {
            break;
        }
        from = index;
        if sign.is_ascii_uppercase() && body.get(index + 1..).is_some_and(|tail| tail.starts_with(|next: char| next.is_ascii_lowercase())) {
            break;
        }
    }
    let last = body.get(from..).unwrap_or_default().to_ascii_lowercase();
    let last = last.as_str();
    let excluded = |shape: Shape| PREFIXES.iter().any(|prefix| prefix.value == shape && prefix.excluded.iter().any(|word| word == last));
    match shape {
        // `customer.name`, and no `tool.name`; but `message.author`.
        Shape::WeakPerson if label.eq_ignore_ascii_case("name") => {
            PREFIXES.iter().any(|prefix| prefix.value == shape && prefix.only.iter().any(|word| word == last))
        }
        Shape::WeakPerson => prefix.ends_with(['.', '-', '_']) && !excluded(shape),
        Shape::AssignedPassword => !excluded(Shape::Password),
        Shape::Account => !excluded(Shape::Id),
        _ => !excluded(shape),
    }
}

/// Where the value of a label begins.
pub(super) fn place_after(view: &View<'_>, text: Text<'_>, end: usize) -> Option<Place> {
    let is_closing = |byte: u8| matches!(byte, b'"' | b'\'' | b'`' | b'*' | b']' | b')');
    let closed = text.skip(end, 4, is_closing);
    let at = text.skip(closed, 8, |byte| matches!(byte, b' ' | b'\t'));
    let (tie, mut start) = match (text.at(at), text.at(at + 1)) {
        (b':', b':' | b'/') => return None,
        (b':' | b'=', _) => {
            let mut after = text.skip(at, 3, |byte| matches!(byte, b':' | b'=' | b'>' | b'~'));
            // `**Name:** value`
            after = text.skip(after, 2, |byte| byte == b'*');
            (Tie::Assigned, after)
        }
        (b'-', b'>') => (Tie::Assigned, at + 2),
        (b'>', _) => (Tie::Cell, after_tags(text, at + 1)),
        (b'<', b'/' | b'b' | b't' | b'd' | b's') => (Tie::Cell, after_tags(text, at)),
        (b'|' | b'\t', _) => (Tie::Cell, at + 1),
        _ if text.rest(at).starts_with('：') => (Tie::Assigned, at + '：'.len_utf8()),
        // `MRN-361271`
        (b'-', b'0'..=b'9') if at == closed => (Tie::Said, closed + 1),
        // Inside encoded data, a path or an expression.
        (b'+' | b'/' | b'-' | b'@' | b'%' | b'\\' | b'(', _) if at == closed => return None,
        _ => (Tie::Said, closed),
    };
    if tie != Tie::Said {
        start = text.skip(start, 80, |byte| matches!(byte, b' ' | b'\t'));
    }
    let mut place = Place { start, tie, quote: 0, quote_len: 0 };
    if tie != Tie::Said {
        // `b"…"`, `["…"]`, `**…**`
        let mut at = start;
        if matches!(text.at(at), b'b' | b'f' | b'r' | b'u') && matches!(text.at(at + 1), b'"' | b'\'') {
            at += 1;
        }
        if text.at(at) == b'[' && matches!(text.at(at + 1), b'"' | b'\'') {
            at += 1;
        }
        match text.at(at) {
            quote @ (b'"' | b'\'' | b'`') => {
                place = Place { start: at + 1, tie, quote, quote_len: view.raw_len_at(at) };
            }
            b'*' => place.start = text.skip(at, 2, |byte| byte == b'*'),
            _ => {}
        }
    }
    (place.start <= text.len()).then_some(place)
}

/// Past tags of HTML and white space.
fn after_tags(text: Text<'_>, mut at: usize) -> usize {
    for _ in 0..4 {
        at = text.skip(at, 40, |byte| byte.is_ascii_whitespace());
        if text.at(at) != b'<' {
            break;
        }
        let end = text.skip(at, 120, |byte| byte != b'>' && byte != b'\n');
        if text.at(end) != b'>' {
            break;
        }
        at = end + 1;
    }
    at
}

/// A longer value in quotes is cut here.
const QUOTED_BYTES_MAX: usize = 8192;

/// The value at a place: up to the quote that closes it, or to the sign that ends a value of its kind, `max` bytes at most.
pub(super) fn value_at(view: &View<'_>, text: Text<'_>, place: Place, max: usize, ends: impl Fn(u8) -> bool) -> Range<usize> {
    if place.quote != 0 {
        let window = text.bytes().get(place.start..text.len().min(place.start + QUOTED_BYTES_MAX)).unwrap_or_default();
        // A quote of a deeper level is written with more backslashes and belongs to the value.
        for distance in memchr::memchr_iter(place.quote, window) {
            let at = place.start + distance;
            if view.raw_len_at(at) <= place.quote_len {
                return place.start..at;
            }
        }
    }
    place.start..text.skip(place.start, max, |byte| !ends(byte))
}

/// Ends an unquoted value that holds no blanks.
pub(super) fn ends_token(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | b';' | b'&' | b'"' | b'\'' | b')' | b'}' | b']' | b'<' | b'>' | b'|' | b'`')
}

/// Ends an unquoted value that may hold blanks.
pub(super) fn ends_cell(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r' | b'\t' | b',' | b';' | b'&' | b'"' | b'|' | b'<' | b'>' | b'}' | b']' | b'*' | b'(')
}
