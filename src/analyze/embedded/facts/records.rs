//! The records in the text of a result: objects with their fields, in JSON, in Python's or Node's notation, in JSON inside of strings, or cut off.
//!
//! Facts about a value name the field that holds it and the fields beside it. A reader that keeps the spelling of keys, and goes on after a value that it
//! does not know, is enough for that.

/// Records of one text that are kept.
const RECORDS_MAX: usize = 400;
/// Fields of one record that are kept.
const FIELDS_MAX: usize = 80;
/// Texts of one list that are kept: the columns of a table.
const TEXTS_MAX: usize = 80;
/// Deeper values are skipped.
const DEPTH_MAX: usize = 10;
/// Texts inside of texts that are read.
const QUOTING_MAX: usize = 3;
/// A longer text is no value that is compared.
const VALUE_BYTES_MAX: usize = 4 * 1024;
/// A longer text is read up to this length.
const TEXT_BYTES_MAX: usize = 256 * 1024;

/// An object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Record {
    /// The record that contains it, directly or in a list.
    pub(super) parent: Option<usize>,
    /// The key under which it stands.
    pub(super) name: String,
    pub(super) fields: Vec<(String, FieldValue)>,
}

/// The value of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FieldValue {
    Text(String),
    /// A number, or a word such as the member of an enum, as written.
    Word(String),
    Bool(bool),
    Null,
    /// A list with its number of items, and its texts.
    List(usize, Vec<String>),
    /// An object, or a text with objects, that has records of its own.
    Nested,
}

impl FieldValue {
    /// A text, number or word.
    pub(super) fn as_scalar(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Word(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Whether there is nothing in it.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null | Self::List(0, _) => true,
            Self::Text(text) => text.trim().is_empty(),
            _ => false,
        }
    }
}

impl Record {
    #[cfg(test)]
    fn get(&self, key: &str) -> Option<&FieldValue> {
        self.fields.iter().find(|(known, _)| known == key).map(|(_, value)| value)
    }
}

/// The records in a text, the outer ones first. None for a text without objects.
pub(super) fn records_in(text: &str) -> Vec<Record> {
    let mut records = Vec::new();
    read_text(super::texts::head(text, TEXT_BYTES_MAX), None, "", 0, &mut records);
    records
}

/// The number of items of a text that is a list.
pub(super) fn list_length(text: &str) -> Option<usize> {
    let text = super::texts::head(text, TEXT_BYTES_MAX);
    let mut reader = Reader { text, at: 0, quoting: 0, records: &mut Vec::new() };
    match reader.value(None, "", 0)? {
        FieldValue::List(items, _) => Some(items),
        _ => None,
    }
}

/// A record and those that contain it, from the inside.
pub(super) fn with_parents(records: &[Record], index: usize) -> impl Iterator<Item = &Record> {
    std::iter::successors(records.get(index), |record| record.parent.and_then(|parent| records.get(parent))).take(DEPTH_MAX)
}

/// Reads all objects and lists of a text, which may stand in prose.
fn read_text(text: &str, parent: Option<usize>, name: &str, quoting: usize, records: &mut Vec<Record>) {
    const STARTS_MAX: usize = 200;
    let mut reader = Reader { text, at: 0, quoting, records };
    for _ in 0..STARTS_MAX {
        let Some(start) = reader.rest().find(['{', '[']) else { return };
        // The whole text may be a string of JSON.
        let quote =
            reader.rest().get(..start).filter(|before| matches!(before.trim(), "\"" | "'")).and_then(|before| before.find(['"', '\'']));
        reader.at += quote.unwrap_or(start);
        let before = reader.at;
        reader.value(parent, name, 0);
        reader.at = reader.at.max(before + 1);
        while !text.is_char_boundary(reader.at) {
            reader.at += 1;
        }
    }
}

struct Reader<'t, 'r> {
    text: &'t str,
    at: usize,
    quoting: usize,
    records: &'r mut Vec<Record>,
}

impl<'t> Reader<'t, '_> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
        self.rest().chars().next()
    }

    fn skip(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn value(&mut self, parent: Option<usize>, name: &str, depth: usize) -> Option<FieldValue> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            '{' => self.object(parent, name, depth),
            '[' => self.list(parent, name, depth),
            '"' | '\'' | '`' => {
                let text = self.string()?;
                if self.quoting < QUOTING_MAX && text.len() > 4 && text.trim_start().starts_with(['{', '[']) {
                    let known = self.records.len();
                    read_text(&text, parent, name, self.quoting + 1, self.records);
                    if self.records.len() > known {
                        return Some(FieldValue::Nested);
                    }
                }
                Some(FieldValue::Text(cut(text)))
            }
            _ => self.word(),
        }
    }

    fn object(&mut self, parent: Option<usize>, name: &str, depth: usize) -> Option<FieldValue> {
        self.skip('{');
        // Further objects are read, so that their list is counted, but not kept.
        let index = if self.records.len() < RECORDS_MAX { self.records.len() } else { usize::MAX };
        if index != usize::MAX {
            self.records.push(Record { parent, name: name.to_owned(), fields: Vec::new() });
        }
        loop {
            while self.skip(',') {}
            if self.skip('}') {
                break;
            }
            let key = self.key()?;
            if !self.skip(':') && !self.skip('=') {
                // No object: a set of Python, or a brace in prose.
                return None;
            }
            let value = self.value(Some(index), &key, depth + 1)?;
            if let Some(record) = self.records.get_mut(index).filter(|record| record.fields.len() < FIELDS_MAX) {
                record.fields.push((key, value));
            }
        }
        Some(FieldValue::Nested)
    }

    fn list(&mut self, parent: Option<usize>, name: &str, depth: usize) -> Option<FieldValue> {
        self.skip('[');
        let (mut count, mut texts) = (0, Vec::new());
        loop {
            while self.skip(',') {}
            if self.skip(']') {
                return Some(FieldValue::List(count, texts));
            }
            let value = self.value(parent, name, depth + 1)?;
            count += 1;
            if let Some(text) = value.as_scalar().filter(|_| texts.len() < TEXTS_MAX) {
                texts.push(text.to_owned());
            }
        }
    }

    fn key(&mut self) -> Option<String> {
        const KEY_BYTES_MAX: usize = 120;
        let key = match self.peek()? {
            '"' | '\'' => self.string()?,
            _ => {
                let end = self.rest().find([':', '=', ',', '}', '{', '\n'])?;
                let key = self.rest().get(..end)?.trim().to_owned();
                self.at += end;
                key
            }
        };
        (!key.is_empty() && key.len() <= KEY_BYTES_MAX).then_some(key)
    }

    /// A text in quotes, without its escapes.
    fn string(&mut self) -> Option<String> {
        let quote = self.peek()?;
        let body = self.rest().get(quote.len_utf8()..)?;
        let (mut text, mut chars) = (String::new(), body.char_indices());
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => match chars.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    'r' => text.push('\r'),
                    'u' => {
                        let digits: String = chars.by_ref().take(4).map(|(_, digit)| digit).collect();
                        text.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                    }
                    other => text.push(other),
                },
                _ if c == quote => {
                    self.at += quote.len_utf8() + at + c.len_utf8();
                    return Some(text);
                }
                _ => text.push(c),
            }
        }
        // Cut off.
        None
    }

    fn word(&mut self) -> Option<FieldValue> {
        let rest = self.rest();
        let end = rest.find([',', '}', ']', '\n', '{']).unwrap_or(rest.len());
        let word = rest.get(..end)?.trim();
        self.at += end;
        // The class of an object in Python: `Order(id=1)` is skipped up to the next comma.
        match word {
            "" => None,
            "null" | "None" | "undefined" | "nil" | "NaN" => Some(FieldValue::Null),
            "true" | "True" => Some(FieldValue::Bool(true)),
            "false" | "False" => Some(FieldValue::Bool(false)),
            _ => Some(FieldValue::Word(cut(word.to_owned()))),
        }
    }
}

/// A value that is compared is short.
fn cut(mut text: String) -> String {
    if text.len() > VALUE_BYTES_MAX {
        text.truncate(super::texts::head(&text, VALUE_BYTES_MAX).len());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(records: &[Record], key: &str) -> Option<String> {
        records.iter().find_map(|record| record.get(key)?.as_scalar().map(str::to_owned))
    }

    #[test]
    fn records_are_read_in_any_notation() {
        for (text, key, expected) in [
            (r#"{"id": 7, "name": "Ada"}"#, "name", "Ada"),
            (
                r#"Found 1 row:
{"rows": [{"net_total": 12.5}]}"#,
                "net_total",
                "12.5",
            ),
            (r#"[{"type": "text", "text": "{\"order\": {\"orderId\": \"A-17\"}}"}]"#, "orderId", "A-17"),
            (r#""{\"city\": \"Graz\"}""#, "city", "Graz"),
            ("{'sku': 'B-2', 'tags': ['x', 'y'], 'none': None}", "sku", "B-2"),
            ("{ id: 'c-9', total: 3 }", "id", "c-9"),
            (r#"{"phone": <PHONE:1a2b3c>, "id": "p-1"}"#, "phone", "<PHONE:1a2b3c>"),
            (r#"{"items": [{"id": "cut-1", "note": "the rest is m"#, "id", "cut-1"),
            (r#"{"name": "Gr\u00fcn"}"#, "name", "Grün"),
        ] {
            assert_eq!(scalar(&records_in(text), key).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "plain words", "{", "[1, 2", "{a set, of words}", "}{", "{\"é", "[[[[[[[[[[[[[[[["] {
            assert!(records_in(text).iter().all(|record| record.fields.is_empty()), "{text}");
        }
    }

    #[test]
    fn records_know_what_contains_them() {
        let records = records_in(r#"{"results": [{"id": "1", "properties": {"company": "9"}}, {"id": "2"}], "next": null}"#);
        let inner = records.iter().position(|record| record.get("company").is_some()).unwrap();
        let ids: Vec<_> = with_parents(&records, inner).filter_map(|record| record.get("id")?.as_scalar()).collect();
        assert_eq!(ids, ["1"]);
        assert_eq!(records[0].get("results"), Some(&FieldValue::List(2, vec![])));
        assert!(records[0].get("next").is_some_and(FieldValue::is_empty));
        let many = format!("[{}]", vec![r#"{"id": 1}"#; 900].join(", "));
        assert_eq!((list_length(&many), list_length(r#"{"a": 1}"#)), (Some(900), None));
    }
}
