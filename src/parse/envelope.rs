//! Opens what other programs put around records: log shippers, queues, log services, and pages of APIs.
//!
//! | around the record | written by |
//! |---|---|
//! | `{"log": "{…}\n", "stream": "stdout", "time": …}` | Docker, Fluent Bit |
//! | `{"message": "{…}", "host": …}`, `{"message": {…}}` | Vector, Logstash, Filebeat |
//! | `{"topic": …, "offset": …, "value": {…}}`, `{"schema": …, "payload": …}` | Kafka Connect |
//! | `{"messageType": "DATA_MESSAGE", "logEvents": [{"message": "{…}"}]}` | CloudWatch subscriptions, through Firehose |
//! | `{"insertId": …, "jsonPayload": {…}}`, `{"message": {"data": "<base64>"}}` | Google Cloud Logging and Pub/Sub |
//! | `{"hits": {"hits": [{"_source": {…}}]}}` | Elasticsearch |
//! | `{"data": [{…}, {…}], "meta": …}` | pages of APIs |
//! | `2026-11-25T08:00:00Z INFO {…}` | loggers, exports of CloudWatch |
//!
//! No envelope is described in detail. A record is searched for objects that a format recognizes: in fields whose names are usual for content
//! ([`CONTENT_KEYS`]) any format counts, in other fields only one that is certain. Texts may be JSON, JSON after the prefix of a logger, or base64 of
//! JSON. A record inside has the time of its envelope if it has none of its own.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::detect::DetectionScore;
use super::json;
use super::json_repair::{self, Truncation};
use super::value::{time_from_number, time_from_text};
use super::{Format, detect};

/// Names of fields that contain a record, or records.
const CONTENT_KEYS: [&str; 30] = [
    "@message",
    "MESSAGE",
    "_source",
    "body",
    "content",
    "data",
    "document",
    "event",
    "events",
    "fields",
    "hits",
    "items",
    "jsonPayload",
    "line",
    "log",
    "logEvents",
    "logs",
    "message",
    "messages",
    "msg",
    "objects",
    "payload",
    "record",
    "records",
    "result",
    "results",
    "rows",
    "textPayload",
    "value",
    "values",
];

/// Names of fields that contain one line of a log.
const LINE_KEYS: [&str; 8] = ["@message", "MESSAGE", "jsonPayload", "line", "log", "message", "msg", "textPayload"];

/// Names of fields with the time of a log record.
const TIME_KEYS: [&str; 7] = ["@timestamp", "date", "time", "timestamp", "ts", "publishTime", "receiveTimestamp"];

/// Envelopes around each other: a bucket may contain a page of log events that contain lines of a container. Each may add a list.
const ENVELOPES_MAX: usize = 8;

/// A record without its envelopes.
pub(super) struct Enclosed<'t> {
    /// The JSON text of an object.
    pub(super) text: Cow<'t, str>,
    pub(super) format: &'static dyn Format,
    /// Whether only this format has its keys.
    pub(super) is_certain: bool,
    /// The time in the innermost envelope that has one, in nanoseconds since 1970.
    pub(super) at_ns: Option<i64>,
}

/// An item in an envelope.
pub(super) enum Item<'t> {
    Record(Enclosed<'t>),
    /// A line of a log without a record, beside others with one.
    Line,
    /// The JSON text of an object that no format recognizes by itself, beside others in its list that one does.
    Unknown(Cow<'t, str>),
}

/// What is in a record that is no record of a format itself.
#[derive(Default)]
pub(super) struct Content<'t> {
    /// Empty if there is no record.
    pub(super) items: Vec<Item<'t>>,
    /// The record is a page of an API without items.
    pub(super) is_empty_page: bool,
    /// The record is a line of a log.
    pub(super) is_line: bool,
    /// The JSON texts of objects in the record, if no format recognizes any by itself.
    pub(super) objects: Vec<Cow<'t, str>>,
    /// The parser's error for a line that starts like JSON and is not.
    pub(super) broken_line: Option<serde_json::Error>,
}

impl<'t> Content<'t> {
    /// The records in the order of the source.
    pub(super) fn records(&self) -> impl Iterator<Item = &Enclosed<'t>> {
        self.items.iter().filter_map(|item| if let Item::Record(record) = item { Some(record) } else { None })
    }
}

/// Opens a text: a JSON object, or a line that contains one. `forced` is the format that the user named, the only one that is looked for then.
pub(super) fn open<'t>(text: &'t str, forced: Option<&'static dyn Format>) -> Content<'t> {
    let mut search = Search { forced, content: Content::default() };
    match text.as_bytes().first() {
        Some(b'{') => search.object(text, Around { depth: 0, at_ns: None, is_content: true }),
        _ => search.line(text, Around { depth: 0, at_ns: None, is_content: true }),
    }
    search.content
}

/// What is known about a value from the envelopes around it.
#[derive(Debug, Clone, Copy)]
struct Around {
    depth: usize,
    at_ns: Option<i64>,
    /// The names of all fields around it are usual for content.
    is_content: bool,
}

struct Search<'t> {
    forced: Option<&'static dyn Format>,
    content: Content<'t>,
}

impl<'t> Search<'t> {
    fn value(&mut self, text: &'t str, around: Around) {
        if around.depth > ENVELOPES_MAX {
            return;
        }
        match text.as_bytes().first() {
            Some(b'{') => self.object(text, around),
            Some(b'[') => {
                let Ok(Items(items)) = serde_json::from_str(text) else { return };
                self.list(&items, Around { depth: around.depth + 1, ..around });
            }
            // Other texts may be what a user wrote.
            Some(b'"') if around.is_content => {
                if let Ok(line) = serde_json::from_str::<String>(text) {
                    self.line(&line, around);
                }
            }
            _ => {}
        }
    }

    /// Searches a list. If some of its objects contain records, the others are listed as items too, so that none is lost.
    fn list(&mut self, values: &[&'t RawValue], around: Around) {
        let start = self.content.items.len();
        let mut has_records = false;
        for (value, index) in values.iter().zip(0..) {
            let before = self.content.items.len();
            self.value(value.get(), around);
            let has_items = self.content.items.len() > before;
            if has_items && !has_records {
                has_records = true;
                let others = values.iter().take(index).filter_map(|value| other_item(value.get()));
                self.content.items.splice(start..start, others);
            } else if !has_items && has_records {
                self.content.items.extend(other_item(value.get()));
            }
        }
    }

    fn object(&mut self, text: &'t str, around: Around) {
        let Ok(Fields(fields)) = serde_json::from_str(text) else { return };
        if around.depth > 0 && self.take_record(&fields, Cow::Borrowed(text), around) {
            return;
        }
        let at_ns = fields.iter().find(|(key, _)| TIME_KEYS.contains(&key.as_str())).and_then(|(_, value)| time(value.get()));
        for (key, value) in &fields {
            let is_content = around.is_content && CONTENT_KEYS.contains(&key.as_str());
            self.value(value.get(), Around { depth: around.depth + 1, at_ns: at_ns.or(around.at_ns), is_content });
        }
        if around.depth == 0 && self.content.items.is_empty() {
            self.content.is_empty_page = is_empty_page(&fields);
            self.describe_line(&fields);
        }
    }

    /// Takes an object as a record if a format recognizes it.
    fn take_record(&mut self, fields: &[(String, &RawValue)], text: Cow<'t, str>, around: Around) -> bool {
        /// Records before this one with which it is compared.
        const COMPARED_MAX: usize = 4;
        let keys: Vec<String> = fields.iter().map(|(key, _)| key.clone()).collect();
        let found = detect::format_of_keys(&keys, self.forced);
        let is_certain = |score: DetectionScore| score == DetectionScore::Certain;
        let is_record = |score: DetectionScore| is_certain(score) || (around.is_content && score != DetectionScore::Page);
        let Some((score, format)) = found.filter(|(score, _)| is_record(*score)) else { return false };
        // A shipper may keep the original beside the parsed message.
        let is_same = |item: &Item<'_>| matches!(item, Item::Record(record) if record.text == text);
        if !self.content.items.iter().rev().take(COMPARED_MAX).any(is_same) {
            self.content.items.push(Item::Record(Enclosed { text, format, is_certain: is_certain(score), at_ns: around.at_ns }));
        }
        true
    }

    /// Searches a line of a log: JSON, JSON after a prefix, or base64 of JSON.
    fn line(&mut self, line: &str, around: Around) {
        if around.depth > ENVELOPES_MAX {
            return;
        }
        let inner = Around { depth: around.depth + 1, ..around };
        let trimmed = line.trim();
        if let Some(json) = json_in_line(trimmed) {
            self.owned(json, inner);
        } else if let Some(decoded) = base64_json(trimmed).or_else(|| repaired(trimmed)) {
            self.owned(&decoded, inner);
        }
    }

    /// Searches a text that was decoded, and keeps copies of the records in it.
    fn owned(&mut self, text: &str, around: Around) {
        let mut search = Search { forced: self.forced, content: Content::default() };
        search.value(text, around);
        let owned = |item| match item {
            Item::Record(record) => Item::Record(Enclosed { text: Cow::Owned(record.text.into_owned()), ..record }),
            Item::Line => Item::Line,
            Item::Unknown(text) => Item::Unknown(Cow::Owned(text.into_owned())),
        };
        self.content.items.extend(search.content.items.into_iter().map(owned));
    }

    /// Describes an object without records: whether it is a line of a log, the objects in it, and whether it contains broken JSON.
    fn describe_line(&mut self, fields: &[(String, &'t RawValue)]) {
        self.content.is_line = line_in(fields).is_some();
        for (_, value) in fields.iter().filter(|(key, _)| CONTENT_KEYS.contains(&key.as_str())) {
            if value.get().starts_with('{') {
                self.content.objects.push(Cow::Borrowed(value.get()));
                continue;
            }
            let line = serde_json::from_str::<String>(value.get()).unwrap_or_default();
            if let Some(json) = json_in_line(line.trim()) {
                self.content.objects.extend(json.starts_with('{').then(|| Cow::Owned(json.to_owned())));
            } else if line.trim_start().starts_with("{\"") {
                self.content.broken_line = serde_json::from_str::<serde::de::IgnoredAny>(line.trim()).err();
            }
        }
    }
}

/// An object of a list that contains no record.
fn other_item(json: &str) -> Option<Item<'_>> {
    let is_line = || serde_json::from_str(json).is_ok_and(|Fields(fields)| line_in(&fields).is_some());
    json.starts_with('{').then(|| if is_line() { Item::Line } else { Item::Unknown(Cow::Borrowed(json)) })
}

/// The line of a log in an object.
fn line_in<'t>(fields: &[(String, &'t RawValue)]) -> Option<&'t RawValue> {
    fields.iter().find(|(key, _)| LINE_KEYS.contains(&key.as_str())).map(|(_, value)| *value)
}

/// The JSON object or list in a line, which may have a prefix: `2026-11-25T08:00:00Z INFO {…}`.
pub(super) fn json_in_line(line: &str) -> Option<&str> {
    const PREFIX_BYTES_MAX: usize = 512;
    if line.starts_with(['{', '[']) && serde_json::from_str::<serde::de::IgnoredAny>(line).is_ok() {
        return Some(line);
    }
    // A prefix has no quotation marks, so that JSON which is quoted in a sentence does not count.
    let start = memchr::memmem::find(line.as_bytes(), b"{\"").filter(|start| *start <= PREFIX_BYTES_MAX)?;
    let (prefix, json) = line.split_at_checked(start)?;
    let is_json = !prefix.contains('"') && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok();
    is_json.then_some(json)
}

/// The JSON in base64, as queues write a binary message.
fn base64_json(text: &str) -> Option<String> {
    // `{"`, `[{` and `{ ` in base64.
    const STARTS: [&str; 4] = ["ey", "W3", "ew", "Wy"];
    let starts_like_json = STARTS.iter().any(|start| text.starts_with(start));
    if !starts_like_json || !json::try_charge(text.len()) {
        return None;
    }
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    String::from_utf8(bytes).ok().filter(|decoded| serde_json::from_str::<serde::de::IgnoredAny>(decoded).is_ok())
}

/// The JSON in a text with values that JSON lacks.
fn repaired(text: &str) -> Option<String> {
    let starts_like_json = text.starts_with(['{', '[']);
    starts_like_json.then(|| json_repair::repair(text, Truncation::Refuse)).flatten().map(|repaired| repaired.json)
}

fn time(json: &str) -> Option<i64> {
    match serde_json::from_str::<serde_json::Value>(json).ok()? {
        serde_json::Value::String(text) => time_from_text(&text),
        #[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(number) => time_from_number(number),
            // Fluent Bit writes seconds with a fraction.
            None => number.as_f64().and_then(|seconds| time_from_number((seconds * 1e9) as i64)),
        },
        _ => None,
    }
}

/// Whether an object is a page of an API without items. An object with a name or an id is something else.
fn is_empty_page(fields: &[(String, &RawValue)]) -> bool {
    const ITEMS: [&str; 8] = ["data", "hits", "items", "logEvents", "objects", "records", "results", "rows"];
    let is_thing = fields.iter().any(|(key, _)| key == "name" || key == "id" || key.ends_with("_id"));
    !is_thing && fields.iter().any(|(key, value)| ITEMS.contains(&key.as_str()) && is_empty_list(value.get()))
}

fn is_empty_list(json: &str) -> bool {
    json.strip_prefix('[').is_some_and(|rest| rest.trim_start().starts_with(']'))
}

/// The fields of an object, each as its text.
struct Fields<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;
        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    json::charge(size_of::<(String, &RawValue)>() + key.len())?;
                    fields.push((key, value));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(FieldsVisitor)
    }
}

/// The items of a list, each as its text.
struct Items<'t>(Vec<&'t RawValue>);

impl<'de> Deserialize<'de> for Items<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemsVisitor;
        impl<'de> Visitor<'de> for ItemsVisitor {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Items<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = list.next_element::<&'de RawValue>()? {
                    json::charge(size_of::<&RawValue>())?;
                    items.push(item);
                }
                Ok(Items(items))
            }
        }
        deserializer.deserialize_seq(ItemsVisitor)
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use serde_json::json;

    use super::*;

    const RECORD: &str = r#"{"content":"hi \"there\"","role":"assistant"}"#;
    const REQUEST: &str = r#"{"resourceSpans":[]}"#;

    fn record() -> serde_json::Value {
        serde_json::from_str(RECORD).unwrap()
    }

    /// The records in a text, with their formats.
    fn opened(text: &str) -> Vec<(String, &'static str)> {
        let content = open(text, None);
        content.records().map(|record| (record.text.clone().into_owned(), record.format.name())).collect()
    }

    #[test]
    fn a_record_is_found_in_the_envelope_of_every_shipper() {
        let line = format!("{RECORD}\n");
        let encoded = base64::engine::general_purpose::STANDARD.encode(RECORD);
        for envelope in [
            json!({"log": line, "stream": "stdout", "time": "2026-11-25T10:00:00Z"}),
            json!({"date": 1_795_600_000.5, "log": RECORD, "kubernetes": {"pod_name": "p"}}),
            json!({"message": RECORD, "host": "h", "source_type": "file"}),
            json!({"message": record(), "host": "h"}),
            json!({"topic": "t", "offset": 7, "key": null, "value": record()}),
            json!({"schema": {"type": "struct"}, "payload": RECORD}),
            json!({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "timestamp": 1, "message": RECORD}]}),
            json!({"insertId": "i", "jsonPayload": record(), "timestamp": "2026-11-25T10:00:00Z"}),
            json!({"message": {"data": encoded, "messageId": "1"}, "subscription": "s"}),
            json!({"hits": {"total": 1, "hits": [{"_index": "i", "_source": record()}]}}),
            json!({"_source": {"message": RECORD, "event": {"original": RECORD}}}),
            json!({"time": "t", "event": RECORD}),
            json!({"streams": [], "data": {"result": [{"stream": {}, "values": [["1795600000000000000", RECORD]]}]}}),
            json!({"log": format!("2026-11-25T08:00:00Z INFO {RECORD}")}),
            json!({"log": json!({"message": RECORD}).to_string()}),
        ] {
            assert_eq!(opened(&envelope.to_string()), [(RECORD.to_owned(), "chat")], "{envelope}");
        }
        assert_eq!(opened(&format!("2026-11-25T08:00:00Z {RECORD}")), [(RECORD.to_owned(), "chat")]);
        // With a value that JSON lacks.
        let invalid = json!({"log": RECORD.replace("\"hi \\\"there\\\"\"", "NaN")}).to_string();
        assert_eq!(opened(&invalid)[0].1, "chat");
    }

    #[test]
    fn a_page_has_a_record_for_each_item() {
        let page = json!({"data": [record(), {"role": "user", "content": "?"}], "meta": {"page": 1}}).to_string();
        assert_eq!(opened(&page).len(), 2);
        let empty = open(r#"{"data": [ ], "meta": {}}"#, None);
        assert!(empty.items.is_empty() && empty.is_empty_page);
        assert!(!open(r#"{"name": "step", "span_kind": "LLM", "data": []}"#, None).is_empty_page);
        let mixed = json!({"data": [{"error": "expired"}, record(), {"message": "started"}, 7]}).to_string();
        let content = open(&mixed, None);
        assert!(matches!(content.items.as_slice(), [Item::Unknown(_), Item::Record(_), Item::Line]));
    }

    #[test]
    fn only_certain_records_count_in_fields_with_other_names_and_none_in_texts() {
        assert!(opened(&json!({"input": record(), "note": RECORD}).to_string()).is_empty());
        let request: serde_json::Value = serde_json::from_str(REQUEST).unwrap();
        assert_eq!(opened(&json!({"exported": request}).to_string()), [(REQUEST.to_owned(), "otlp")]);
        assert!(opened(&json!({"question": REQUEST}).to_string()).is_empty());
    }

    #[test]
    fn the_time_is_that_of_the_innermost_envelope() {
        let inner = json!({"timestamp": "2026-11-25T10:00:00Z", "message": RECORD}).to_string();
        let at = |text: &str| open(text, None).records().next().unwrap().at_ns;
        assert_eq!(at(&json!({"time": 1, "log": inner}).to_string()), Some(1_795_600_800_000_000_000));
        assert_eq!(at(&json!({"date": 1_795_600_800.5, "log": RECORD}).to_string()), Some(1_795_600_800_500_000_000));
        assert_eq!(at(&json!({"log": RECORD}).to_string()), None);
    }

    #[test]
    fn lines_of_a_log_are_told_from_broken_records() {
        let facts = |text: &str| {
            let record = json!({"log": text, "stream": "stdout"}).to_string();
            let content = open(&record, None);
            (content.is_line, content.broken_line.is_some())
        };
        assert_eq!(facts("server started"), (true, false));
        assert_eq!(facts("{\"role\":\"assistant\",\"content\":\"h"), (true, true));
        assert!(!open(r#"{"a": 1}"#, None).is_line);
    }

    #[test]
    fn nesting_is_limited() {
        let mut text = RECORD.to_owned();
        for _ in 0..3 {
            text = json!({"log": text}).to_string();
        }
        assert_eq!(opened(&text).len(), 1);
        for _ in 0..20 {
            text = format!("{{\"data\":{text}}}");
        }
        assert!(opened(&text).is_empty());
        let deep = format!("{}{}", "{\"data\":[".repeat(60), "]}".repeat(60));
        assert!(opened(&deep).is_empty());
    }
}
