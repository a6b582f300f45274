//! One text record -> its format, whatever is odd about it.
//!
//! A record is taken as it stands where it is JSON of its format. What is not gets a second look, and nothing else pays for it: JSON
//! inside a JSON string, a list on one line, several values on one line, bytes that are no UTF-8, and what [`repair`](super::repair) knows.

use std::ops::Range;

use serde_json::value::RawValue;

use super::parsed::{Accounted, Parsed, Skip};
use super::repair::{self, Cut};
use super::{Format, Place, Position, json};
use crate::model::RejectionKind;
use crate::read::values_in;

/// Lists and strings around a record that are opened: a list of strings that hold JSON is three deep.
const WRAPPERS_MAX: usize = 3;

/// Reads one record with `format`.
pub(super) fn parse(format: &dyn Format, record: &[u8], place: &Place<'_>, out: &mut Parsed) -> Accounted {
    match std::str::from_utf8(record) {
        Ok(text) => parse_text(format, text, place, out, 0).unwrap_or_else(|error| out.reject_json(place, &error)),
        Err(error) => {
            let text = String::from_utf8_lossy(record);
            parse_text(format, &text, place, out, 0).unwrap_or_else(|_| {
                let reason = format!(
                    "cannot read {place}: invalid UTF-8 at byte {}, and the rest is not JSON\n  hint: write the file as UTF-8",
                    error.valid_up_to() + 1
                );
                out.reject(place, RejectionKind::InvalidUtf8, reason)
            })
        }
    }
}

/// # Errors
/// What the parser says of a text that it cannot read; nothing was taken from it then.
fn parse_text(format: &dyn Format, text: &str, place: &Place<'_>, out: &mut Parsed, depth: usize) -> Result<Accounted, serde_json::Error> {
    let error = match format.parse_json(text, place, out) {
        Ok(accounted) => return Ok(accounted),
        Err(error) => error,
    };
    if depth >= WRAPPERS_MAX {
        return Err(error);
    }
    if let Some(inner) = json_in_string(text) {
        return parse_text(format, &inner, place, out, depth + 1);
    }
    if let Some(values) = Values::of(text) {
        let each = values.iter().zip(1..).map(|(value, index)| {
            let place = item(place, index);
            parse_text(format, value, &place, out, depth + 1).unwrap_or_else(|error| out.reject_json(&place, &error))
        });
        return Ok(Accounted::of_parts(each).unwrap_or_else(|| out.skip(Skip::Empty, place)));
    }
    if error.is_data() {
        return Err(error);
    }
    match repair::repair(text, Cut::Refuse) {
        Some(repaired) => parse_text(format, &repaired.json, place, out, WRAPPERS_MAX).map_err(|_| error),
        None => Err(error),
    }
}

/// The place of one of several values that stand at `place`.
fn item<'a>(place: &Place<'a>, index: usize) -> Place<'a> {
    match place.position {
        Position::Line(line) if place.span.is_none() => Place { position: Position::Item(line, index), ..*place },
        _ => place.span(index),
    }
}

/// The text of a JSON string that holds a JSON object or list: a line that was encoded twice.
fn json_in_string(text: &str) -> Option<String> {
    if !text.starts_with('"') {
        return None;
    }
    let inner: String = serde_json::from_str(text).ok()?;
    let trimmed = inner.trim();
    trimmed.starts_with(['{', '[']).then(|| trimmed.to_owned())
}

/// The items of a list, or the values of a text that holds several.
enum Values<'t> {
    Items(Vec<&'t RawValue>),
    Ranges(&'t str, Vec<Range<usize>>),
}

impl<'t> Values<'t> {
    /// Nothing where it is one value.
    fn of(text: &'t str) -> Option<Self> {
        if text.starts_with('[')
            && let Ok(items) = serde_json::from_str(text)
        {
            return Some(Self::Items(items));
        }
        let values = values_in(text.as_bytes());
        let is_other = values.len() > 1 || values.first().is_some_and(|value| value.len() < text.len());
        is_other.then_some(Self::Ranges(text, values))
    }

    fn iter(&self) -> Box<dyn Iterator<Item = &'t str> + '_> {
        match self {
            Self::Items(items) => Box::new(items.iter().map(|item| item.get())),
            Self::Ranges(text, ranges) => Box::new(ranges.iter().filter_map(|range| text.get(range.clone()))),
        }
    }
}

/// The keys of the first JSON object of a record, by which its format is told; nothing where it holds none.
pub(super) fn keys(record: &[u8]) -> Option<Vec<String>> {
    let text = String::from_utf8_lossy(record);
    keys_of(&text, 0)
}

fn keys_of(text: &str, depth: usize) -> Option<Vec<String>> {
    if let Some(keys) = json::top_level_keys(text) {
        return Some(keys);
    }
    if depth >= WRAPPERS_MAX {
        return None;
    }
    if let Some(inner) = json_in_string(text) {
        return keys_of(&inner, depth + 1);
    }
    if let Some(values) = Values::of(text) {
        return values.iter().find_map(|value| keys_of(value, depth + 1));
    }
    repair::repair(text, Cut::Refuse).and_then(|repaired| keys_of(&repaired.json, WRAPPERS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::chat::Chat;
    use crate::parse::tests::place;

    fn parsed(record: &[u8]) -> (Parsed, Accounted) {
        let mut out = Parsed::default();
        let accounted = parse(&Chat, record, &place(), &mut out);
        (out, accounted)
    }

    fn contents(record: &[u8]) -> Vec<String> {
        let (out, _) = parsed(record);
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.pieces.iter().map(|piece| piece.span.output[0].content.clone()).collect()
    }

    const MESSAGE: &str = r#"{"role":"assistant","content":"hi"}"#;

    #[test]
    fn wrapped_and_joined_records_are_opened() {
        let twice = serde_json::to_string(MESSAGE).unwrap();
        for (record, count) in [
            (MESSAGE.to_owned(), 1),
            (twice.clone(), 1),
            (format!("[{MESSAGE}, {MESSAGE}]"), 2),
            (format!("[{twice}]"), 1),
            (format!("{MESSAGE}{MESSAGE} {MESSAGE}"), 3),
            (format!("{MESSAGE},{MESSAGE}"), 2),
            (format!("\u{feff}{MESSAGE},"), 1),
            (format!("\u{1e}{MESSAGE}"), 1),
        ] {
            assert_eq!(contents(record.as_bytes()), vec!["hi"; count], "{record}");
            assert!(keys(record.as_bytes()).unwrap().contains(&"role".to_owned()), "{record}");
        }
    }

    #[test]
    fn odd_values_cost_nothing_but_themselves() {
        assert_eq!(contents(br#"{"role":"assistant","content":"a\ud83d","logprob":NaN}"#), ["a\u{fffd}"]);
        assert_eq!(contents(b"{\"role\":\"assistant\",\"content\":\"caf\xe9\"}"), ["caf\u{fffd}"]);
        let mixed = format!("{MESSAGE}{{\"role\":\"assistant\",\"content\":\"hi\",\"p\":-Infinity}}");
        assert_eq!(contents(mixed.as_bytes()), ["hi", "hi"]);
    }

    #[test]
    fn what_is_no_json_says_why() {
        for (record, kind, reason) in [
            (&b"{\"role\": \"assistant\", \"content\": \"hi"[..], RejectionKind::MalformedJson, "ends inside a value"),
            (b"not json", RejectionKind::MalformedJson, "invalid JSON at column 2"),
            (b"7", RejectionKind::MalformedRecord, "not a JSON object"),
            (b"\"text\"", RejectionKind::MalformedRecord, "not a JSON object"),
            (b"{\"role\": \"caf\xe9", RejectionKind::InvalidUtf8, "invalid UTF-8 at byte 14"),
        ] {
            let (out, accounted) = parsed(record);
            assert_eq!((out.rejections[0].kind, out.rejections.len()), (kind, 1), "{:?}", out.rejections);
            assert!(out.rejections[0].reason.contains(reason), "{}", out.rejections[0].reason);
            assert_eq!(Accounted::of_parts([accounted]), Some(accounted));
        }
        let (out, _) = parsed(b"[]");
        assert_eq!((out.rejections.len(), out.skipped.len()), (0, 1));
    }
}
