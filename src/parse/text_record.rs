//! Finds the JSON objects in a text record, and parses each by its format.
//!
//! A record that is a JSON object of its format is parsed directly. Only if that fails are other shapes tried: JSON inside a JSON string, a
//! list or several values on one line, bytes that are not UTF-8, and the errors that [`json_repair`](super::json_repair) corrects.

use std::ops::Range;

use serde_json::value::RawValue;

use super::json_repair::{self, Truncation};
use super::parsed::{Accounted, ParsedChunk, Skip};
use super::{Format, Position, RecordLocation, json};
use crate::model::RejectionKind;
use crate::read::values_in;

/// How many lists and strings around a record are unwrapped. A list of strings that contain JSON needs three.
const WRAPPERS_MAX: usize = 3;

/// Parses one record with `format`.
pub(super) fn parse(format: &dyn Format, record: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    match std::str::from_utf8(record) {
        Ok(text) => parse_text(format, text, location, out, 0).unwrap_or_else(|error| out.reject_json(location, &error)),
        Err(error) => {
            let text = String::from_utf8_lossy(record);
            parse_text(format, &text, location, out, 0).unwrap_or_else(|_| {
                let reason = format!(
                    "cannot read {location}: invalid UTF-8 at byte {}, and the rest is not valid JSON\n  hint: write the file as UTF-8",
                    error.valid_up_to() + 1
                );
                out.reject(location, RejectionKind::InvalidUtf8, reason)
            })
        }
    }
}

/// Parses a text that is JSON in some shape. `depth` counts the wrappers around it that were opened.
///
/// # Errors
/// The parser's error if the text is not JSON in any known shape. Nothing was added to `out` then.
fn parse_text(
    format: &dyn Format,
    text: &str,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
    depth: usize,
) -> Result<Accounted, serde_json::Error> {
    let error = match format.parse_json(text, location, out) {
        Ok(accounted) => return Ok(accounted),
        Err(error) => error,
    };
    if depth >= WRAPPERS_MAX {
        return Err(error);
    }
    if let Some(inner) = json_in_string(text) {
        return parse_text(format, &inner, location, out, depth + 1);
    }
    if let Some(values) = Values::split(text) {
        let each = values.iter().zip(1..).map(|(value, index)| {
            let location = item_location(location, index);
            parse_text(format, value, &location, out, depth + 1).unwrap_or_else(|error| out.reject_json(&location, &error))
        });
        return Ok(Accounted::of_parts(each).unwrap_or_else(|| out.skip(Skip::Empty, location)));
    }
    if error.is_data() {
        return Err(error);
    }
    match json_repair::repair(text, Truncation::Refuse) {
        Some(repaired) => parse_text(format, &repaired.json, location, out, WRAPPERS_MAX).map_err(|_| error),
        None => Err(error),
    }
}

/// The location of the `index`-th (from 1) of several values at `location`.
fn item_location<'a>(location: &RecordLocation<'a>, index: usize) -> RecordLocation<'a> {
    match location.position {
        Position::Line(line) if location.span.is_none() => RecordLocation { position: Position::Item(line, index), ..*location },
        _ => location.span(index),
    }
}

/// The contents of a JSON string that contains a JSON object or list: a record that was encoded twice.
fn json_in_string(text: &str) -> Option<String> {
    if !text.starts_with('"') {
        return None;
    }
    let inner: String = serde_json::from_str(text).ok()?;
    let trimmed = inner.trim();
    trimmed.starts_with(['{', '[']).then(|| trimmed.to_owned())
}

/// The items of a list, or the values in a text that has several.
enum Values<'t> {
    Items(Vec<&'t RawValue>),
    Ranges(&'t str, Vec<Range<usize>>),
}

impl<'t> Values<'t> {
    /// Splits a text; `None` if it is one value.
    fn split(text: &'t str) -> Option<Self> {
        if text.starts_with('[')
            && let Ok(items) = serde_json::from_str(text)
        {
            return Some(Self::Items(items));
        }
        let values = values_in(text.as_bytes());
        // A single value that is shorter than the text has separators or a byte order mark around it.
        let is_split = values.len() > 1 || values.first().is_some_and(|value| value.len() < text.len());
        is_split.then_some(Self::Ranges(text, values))
    }

    fn iter(&self) -> Box<dyn Iterator<Item = &'t str> + '_> {
        match self {
            Self::Items(items) => Box::new(items.iter().map(|item| item.get())),
            Self::Ranges(text, ranges) => Box::new(ranges.iter().filter_map(|range| text.get(range.clone()))),
        }
    }
}

/// The keys of the first JSON object in a record, by which its format is detected; `None` if there is no object.
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
    if let Some(values) = Values::split(text) {
        return values.iter().find_map(|value| keys_of(value, depth + 1));
    }
    json_repair::repair(text, Truncation::Refuse).and_then(|repaired| keys_of(&repaired.json, WRAPPERS_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::chat::Chat;
    use crate::parse::tests::location;

    fn parsed(record: &[u8]) -> (ParsedChunk, Accounted) {
        let mut out = ParsedChunk::default();
        let accounted = parse(&Chat, record, &location(), &mut out);
        (out, accounted)
    }

    fn contents(record: &[u8]) -> Vec<String> {
        let (out, _) = parsed(record);
        assert!(out.rejections.is_empty(), "{:?}", out.rejections);
        out.fragments.iter().map(|fragment| fragment.span.output[0].content.clone()).collect()
    }

    const MESSAGE: &str = r#"{"role":"assistant","content":"hi"}"#;

    #[test]
    fn wrapped_and_concatenated_objects_are_parsed() {
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
    fn invalid_values_are_repaired() {
        assert_eq!(contents(br#"{"role":"assistant","content":"a\ud83d","logprob":NaN}"#), ["a\u{fffd}"]);
        assert_eq!(contents(b"{\"role\":\"assistant\",\"content\":\"caf\xe9\"}"), ["caf\u{fffd}"]);
        let mixed = format!("{MESSAGE}{{\"role\":\"assistant\",\"content\":\"hi\",\"p\":-Infinity}}");
        assert_eq!(contents(mixed.as_bytes()), ["hi", "hi"]);
    }

    #[test]
    fn text_that_is_not_json_is_rejected_with_the_cause() {
        for (record, kind, reason) in [
            (&b"{\"role\": \"assistant\", \"content\": \"hi"[..], RejectionKind::MalformedJson, "unexpected end of JSON at column 36"),
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
