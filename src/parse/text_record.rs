//! Finds the JSON objects in a text record, and parses each by its format.
//!
//! A record that is a JSON object of its format is parsed directly. Only if that fails are other shapes tried: JSON inside a JSON string, a
//! list or several values on one line, bytes that are not UTF-8, the errors that [`json_repair`](super::json_repair) corrects, a record in an
//! [`envelope`], and a record of another format than the rest of its object.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::detect::{self, Detected, DetectionScore};
use super::envelope::{self, Content, Item};
use super::json_repair::{self, Truncation};
use super::parsed::{Accounted, ParsedChunk, Skip};
use super::{Format, Position, RecordLocation, json};
use crate::model::RejectionKind;
use crate::read::values_in;

/// How many lists and strings around a record are unwrapped. A list of strings that contain JSON needs three.
const WRAPPERS_MAX: usize = 3;

/// Parses the text records of one object.
pub(super) struct Parser {
    /// The format of the object.
    pub(super) format: &'static dyn Format,
    /// The format that the user named; records of no other are read then.
    pub(super) forced: Option<&'static dyn Format>,
    /// Whether the records are in envelopes, or in lines of a log. A log contains other lines too.
    pub(super) is_log: bool,
}

impl Parser {
    /// Parses one record.
    pub(super) fn parse(&self, record: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        match std::str::from_utf8(record) {
            Ok(text) => self.parse_text(text, location, out, 0).unwrap_or_else(|error| self.reject(text, &error, location, out)),
            Err(error) => {
                let text = String::from_utf8_lossy(record);
                self.parse_text(&text, location, out, 0).unwrap_or_else(|_| {
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
        &self,
        text: &str,
        location: &RecordLocation<'_>,
        out: &mut ParsedChunk,
        depth: usize,
    ) -> Result<Accounted, serde_json::Error> {
        let error = match self.parse_object(text, location, out) {
            Ok(accounted) => return Ok(accounted),
            Err(error) => error,
        };
        if depth >= WRAPPERS_MAX {
            return Err(error);
        }
        if let Some(inner) = json_in_string(text) {
            return self.parse_text(&inner, location, out, depth + 1);
        }
        if let Some(json) = after_prefix(text) {
            return self.parse_text(json, location, out, depth + 1);
        }
        if let Some(values) = Values::split(text) {
            let each = values.iter().zip(1..).map(|(value, index)| {
                let location = item_location(location, index);
                self.parse_text(value, &location, out, depth + 1).unwrap_or_else(|error| self.reject(value, &error, &location, out))
            });
            return Ok(Accounted::of_parts(each).unwrap_or_else(|| out.skip(Skip::Empty, location)));
        }
        if error.is_data() {
            return Err(error);
        }
        match json_repair::repair(text, Truncation::Refuse) {
            Some(repaired) => self.parse_text(&repaired.json, location, out, WRAPPERS_MAX).map_err(|_| error),
            None => Err(error),
        }
    }

    /// Parses a JSON object: a record of the format of its object, one of another format, or one in an envelope.
    ///
    /// # Errors
    /// As for [`Self::parse_text`].
    fn parse_object(&self, text: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        if self.is_log {
            let contents = Contents::of(text, self.forced);
            if self.explains(&contents) {
                return self.parse_contents(contents, text, location, out);
            }
            return self.format.parse_json(text, location, out);
        }
        let mark = out.mark();
        let accounted = self.format.parse_json(text, location, out)?;
        if !accounted.is_rejected() {
            return Ok(accounted);
        }
        let contents = Contents::of(text, self.forced);
        if !self.explains(&contents) {
            return Ok(accounted);
        }
        out.take_back(&mark);
        self.parse_contents(contents, text, location, out)
    }

    /// Whether the contents say more about a record than that its format may parse it.
    fn explains(&self, contents: &Contents<'_>) -> bool {
        match contents {
            Contents::Record(format) => format.name() != self.format.name(),
            Contents::Enclosed(_) => true,
            Contents::Other(content) => content.broken_line.is_some() || content.is_empty_page || self.is_log,
        }
    }

    /// # Errors
    /// As for [`Self::parse_text`].
    fn parse_contents(
        &self,
        contents: Contents<'_>,
        text: &str,
        location: &RecordLocation<'_>,
        out: &mut ParsedChunk,
    ) -> Result<Accounted, serde_json::Error> {
        Ok(match contents {
            Contents::Record(format) => format.parse_json(text, location, out)?,
            Contents::Enclosed(content) => parse_items(&content.items, location, out),
            Contents::Other(Content { broken_line: Some(error), .. }) => {
                let reason = format!("cannot read {location}: the text in its envelope: {}", json::describe(&error));
                out.reject(location, RejectionKind::MalformedJson, reason)
            }
            Contents::Other(content) if content.is_empty_page => out.skip(Skip::Empty, location),
            Contents::Other(content) => {
                let mut objects = std::iter::once(text).chain(content.objects.iter().map(AsRef::as_ref));
                match objects.find_map(|object| parse_if_accepted(self.format, object, location, out)) {
                    Some(accounted) => accounted,
                    None if content.is_line => out.skip(Skip::OtherLogLine, location),
                    None => self.format.parse_json(text, location, out)?,
                }
            }
        })
    }

    /// Rejects a text that is not JSON, or skips it as a line of a log.
    fn reject(&self, text: &str, error: &serde_json::Error, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        if self.is_log && !text.trim_start().starts_with(['{', '[']) {
            return out.skip(Skip::OtherLogLine, location);
        }
        out.reject_json(location, error)
    }
}

/// Parses an object that is no record by its keys alone as one of a format that the records beside it have; `None` if the format rejects it.
fn parse_if_accepted(format: &dyn Format, text: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Option<Accounted> {
    let mark = out.mark();
    let accounted = format.parse_json(text, location, out).ok().filter(|accounted| !accounted.is_rejected());
    if accounted.is_none() {
        out.take_back(&mark);
    }
    accounted
}

/// Parses the items in one envelope.
fn parse_items(items: &[Item<'_>], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
    let mut all = None;
    let format = items.iter().find_map(|item| if let Item::Record(record) = item { Some(record.format) } else { None });
    for (item, index) in items.iter().zip(1..) {
        let location = if items.len() == 1 { *location } else { item_location(location, index) };
        let accounted = match item {
            Item::Record(record) => {
                let location = RecordLocation { modified_at_ns: record.at_ns.unwrap_or(location.modified_at_ns), ..location };
                let parsed = record.format.parse_json(&record.text, &location, out);
                parsed.unwrap_or_else(|error| out.reject_json(&location, &error))
            }
            Item::Line => out.skip(Skip::OtherLogLine, &location),
            Item::Unknown(text) => {
                let parsed = format.and_then(|format| parse_if_accepted(format, text, &location, out));
                parsed.unwrap_or_else(|| {
                    let reason = format!("cannot read {location}: this item is no record of a known format, unlike others in its list");
                    out.reject(&location, RejectionKind::UnrecognisedFormat, reason)
                })
            }
        };
        accounted.add_to(&mut all);
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
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

/// The object in a line after the prefix of a logger: `2026-11-25T08:00:00Z INFO {…}`.
fn after_prefix(text: &str) -> Option<&str> {
    (!text.starts_with(['{', '[', '"'])).then(|| envelope::json_in_line(text)).flatten()
}

/// What a JSON object is.
enum Contents<'t> {
    /// A record of this format.
    Record(&'static dyn Format),
    /// An envelope with records.
    Enclosed(Content<'t>),
    /// Neither.
    Other(Content<'t>),
}

impl<'t> Contents<'t> {
    /// Decides by the keys of the object. Where they are not those of one format alone, records inside decide if theirs are: a page of an API
    /// has keys that many programs use.
    fn of(text: &'t str, forced: Option<&'static dyn Format>) -> Self {
        let direct = json::top_level_keys(text).and_then(|keys| detect::format_of_keys(&keys, forced));
        if let Some((DetectionScore::Certain, format)) = direct {
            return Self::Record(format);
        }
        let content = envelope::open(text, forced);
        let has_certain_other =
            |format: &dyn Format| content.records().any(|record| record.is_certain && record.format.name() != format.name());
        match direct {
            None if content.items.is_empty() => Self::Other(content),
            Some((DetectionScore::Page, format)) if content.items.is_empty() => Self::Record(format),
            Some((DetectionScore::Weak(_), format)) if !has_certain_other(format) => Self::Record(format),
            _ => Self::Enclosed(content),
        }
    }
}

/// The format of a record, directly or in an envelope; `None` if no format recognizes it.
pub(super) fn detect(record: &[u8]) -> Option<Detected> {
    let text = String::from_utf8_lossy(record);
    let (_, object) = first_object(&text, 0)?;
    match Contents::of(&object.json, None) {
        Contents::Record(format) => Some(Detected { format, is_log: object.is_after_prefix }),
        Contents::Enclosed(content) => content.records().next().map(|record| Detected { format: record.format, is_log: true }),
        Contents::Other(_) => None,
    }
}

/// The keys of the first JSON object in a record; `None` if there is no object.
pub(super) fn keys(record: &[u8]) -> Option<Vec<String>> {
    first_object(&String::from_utf8_lossy(record), 0).map(|(keys, _)| keys)
}

/// The first JSON object in a record.
struct FirstObject<'t> {
    json: Cow<'t, str>,
    is_after_prefix: bool,
}

fn first_object(text: &str, depth: usize) -> Option<(Vec<String>, FirstObject<'_>)> {
    if let Some(keys) = json::top_level_keys(text) {
        return Some((keys, FirstObject { json: Cow::Borrowed(text), is_after_prefix: false }));
    }
    if depth >= WRAPPERS_MAX {
        return None;
    }
    let owned = |(keys, object): (Vec<String>, FirstObject<'_>)| {
        (keys, FirstObject { json: Cow::Owned(object.json.into_owned()), is_after_prefix: object.is_after_prefix })
    };
    if let Some(inner) = json_in_string(text) {
        return first_object(&inner, depth + 1).map(owned);
    }
    if let Some(json) = after_prefix(text) {
        return first_object(json, depth + 1).map(|(keys, object)| (keys, FirstObject { is_after_prefix: true, ..object }));
    }
    if let Some(values) = Values::split(text) {
        return values.iter().find_map(|value| first_object(value, depth + 1).map(owned));
    }
    json_repair::repair(text, Truncation::Refuse).and_then(|repaired| first_object(&repaired.json, WRAPPERS_MAX).map(owned))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::formats::Chat;
    use crate::parse::tests::location;

    fn parsed(record: &[u8]) -> (ParsedChunk, Accounted) {
        let mut out = ParsedChunk::default();
        let accounted = Parser { format: &Chat, forced: None, is_log: false }.parse(record, &location(), &mut out);
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
