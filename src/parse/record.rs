//! One JSON object or one row of a table, field by field. A format takes the fields that it knows; what nobody took is kept as
//! attributes of the span, so that nothing that a vendor adds tomorrow is lost.

use std::borrow::Cow;
use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::cell::cell;
use super::json::{self, Text};
use super::value::Value;
use super::{Accounted, Parsed, Piece, Place, Position, Skip};
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, RejectionKind, Source, Span};

/// See the module.
#[derive(Debug, Default)]
pub struct Record<'a> {
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

impl<'a> Record<'a> {
    /// A JSON object without the fields in `skipped`, which is sorted.
    ///
    /// # Errors
    /// What the parser says of a text that is none.
    pub(super) fn of_json(line: &'a str, skipped: &[&str]) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(line);
        let fields = Without(skipped).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self { fields })
    }

    /// A JSON object that stands inside another.
    pub(super) fn of_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Map(fields) => Some(Self { fields }),
            _ => None,
        }
    }

    /// The rows of a batch with their places, without the columns in `skipped`, which is sorted.
    pub(super) fn rows(batch: &'a RecordBatch, skipped: &[&str], place: &Place<'a>) -> impl Iterator<Item = (Self, Place<'a>)> {
        let schema = batch.schema();
        let columns: Vec<(String, &ArrayRef)> = (schema.fields().iter().zip(batch.columns()))
            .filter(|(field, _)| skipped.binary_search(&field.name().as_str()).is_err())
            .map(|(field, column)| (field.name().clone(), column))
            .collect();
        let first_row = if let Position::Row(row) = place.position { row } else { 0 };
        let place = *place;
        (0..batch.num_rows()).map(move |row| {
            let fields = columns.iter().map(|(name, column)| (Cow::Owned(name.clone()), cell(column, row)));
            let record = Self { fields: fields.filter(|(_, value)| !value.is_null()).collect() };
            (record, Place { position: Position::Row(first_row + row as u64), ..place })
        })
    }

    /// Bytes of its texts, by which it is told how much may come of it.
    pub(super) fn text_bytes(&self) -> usize {
        self.fields.iter().map(|(_, value)| value.as_str().map_or(0, str::len)).sum()
    }

    /// Whether the field is there, also where it is null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == key)
    }

    /// The fields of both; of two with one name this record's is taken first, unless it is null.
    pub(super) fn before(mut self, other: Self) -> Self {
        self.fields.retain(|(_, value)| !value.is_null());
        self.fields.extend(other.fields);
        self
    }

    /// Sets a field that is not there.
    pub(super) fn set(&mut self, key: &'static str, value: Value<'a>) {
        self.fields.push((Cow::Borrowed(key), value));
    }

    /// All fields that nobody took.
    pub(super) fn into_fields(self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        self.fields.into_iter()
    }

    /// All fields that nobody took, as one value.
    pub(super) fn into_value(self) -> Value<'a> {
        Value::Map(self.fields)
    }

    /// Takes a field out; null where there is none.
    pub(super) fn take(&mut self, key: &str) -> Value<'a> {
        let index = self.fields.iter().position(|(name, _)| name == key);
        index.map_or(Value::Null, |index| self.fields.remove(index).1)
    }

    /// Takes a field whose value is a list or a map, also where that is written as JSON text.
    pub(super) fn take_tree(&mut self, key: &str) -> Value<'a> {
        match self.take(key) {
            Value::Text(Cow::Borrowed(text)) => Value::parse(text).unwrap_or(Value::Text(Cow::Borrowed(text))),
            Value::Text(Cow::Owned(text)) => Value::parse(&text).map(Value::into_owned).unwrap_or(Value::Text(Cow::Owned(text))),
            other => other,
        }
    }

    /// Takes a text that is not empty.
    pub(super) fn take_text(&mut self, key: &str) -> Option<String> {
        self.take(key).into_text().filter(|text| !text.is_empty())
    }

    /// Takes fields that tell a reader of the trace nothing: keys of the vendor's own database.
    pub(super) fn drop(&mut self, keys: &[&str]) {
        self.fields.retain(|(name, _)| !keys.contains(&name.as_ref()));
    }

    /// The ids without which a record is no part of any trace.
    ///
    /// # Errors
    /// The rejection of the record, where one is missing.
    pub(super) fn take_ids(
        &mut self,
        trace_key: &str,
        span_key: &str,
        place: &Place<'_>,
        out: &mut Parsed,
    ) -> Result<(String, String), Accounted> {
        let (trace_id, span_id) = (self.take(trace_key).as_id(), self.take(span_key).as_id());
        let missing = match (&trace_id, &span_id) {
            (None, _) => trace_key,
            (_, None) => span_key,
            (Some(trace_id), Some(span_id)) => return Ok((trace_id.clone(), span_id.clone())),
        };
        Err(out.reject(place, RejectionKind::MissingId, format!("cannot read {place}: {missing} is missing or empty")))
    }

    /// Takes the start time.
    ///
    /// # Errors
    /// The rejection of the record, where it is none.
    pub(super) fn take_start(&mut self, key: &str, place: &Place<'_>, out: &mut Parsed) -> Result<i64, Accounted> {
        let time = self.take(key).as_time();
        time.ok_or_else(|| out.reject(place, RejectionKind::MissingTime, format!("cannot read {place}: {key} is missing or not a time")))
    }

    /// Keeps what is left as attributes: nested values flattened to dotted keys as far as they are maps.
    pub(super) fn keep_rest(self, span: &mut Span) {
        for (key, value) in self.fields {
            keep(span, key, value, 0);
        }
    }
}

/// Reads a JSON object without some of its fields.
struct Without<'s>(&'s [&'s str]);

impl<'de> DeserializeSeed<'de> for Without<'_> {
    type Value = Vec<(Cow<'de, str>, Value<'de>)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Without<'_> {
    type Value = Vec<(Cow<'de, str>, Value<'de>)>;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::with_capacity(32);
        while let Some(Text(key)) = map.next_key::<Text<'de>>()? {
            if self.0.binary_search(&key.as_ref()).is_ok() {
                map.next_value::<IgnoredAny>()?;
            } else {
                json::charge(size_of::<(Cow<'de, str>, Value<'de>)>())?;
                fields.push((key, map.next_value()?));
            }
        }
        Ok(fields)
    }
}

/// Puts a value that no convention knows into the attributes.
pub(super) fn keep(span: &mut Span, key: Cow<'_, str>, value: Value<'_>, depth: usize) {
    const FLATTENED_MAX: usize = 3;
    match value {
        // One more than is kept, so that the span says that some are missing.
        value if value.is_empty() || span.attributes.len() > SPAN_ITEMS_MAX => {}
        Value::Map(fields) if depth < FLATTENED_MAX => {
            for (name, value) in fields {
                keep(span, Cow::Owned(format!("{key}.{name}")), value, depth + 1);
            }
        }
        other => span.attributes.extend(other.into_text().map(|value| Attribute { key: key.into_owned(), value })),
    }
}

/// Reads each item of a list that stands in a record; one that is no object is rejected, and an empty list is skipped.
pub(super) fn each(
    items: Vec<Value<'_>>,
    place: &Place<'_>,
    out: &mut Parsed,
    mut read: impl FnMut(Record<'_>, &Place<'_>, &mut Parsed) -> Accounted,
) -> Accounted {
    let mut all = None;
    for (item, index) in items.into_iter().zip(1..) {
        let place = place.span(index);
        let accounted = match Record::of_value(item) {
            Some(record) => read(record, &place, out),
            None => out.reject(&place, RejectionKind::MalformedRecord, format!("cannot read {place}: not a JSON object")),
        };
        all = Accounted::of_parts(all.into_iter().chain([accounted]));
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, place))
}

/// A span of a trace, read at `place`.
pub(super) fn piece(trace_id: String, span: Span, place: &Place<'_>) -> Piece {
    Piece { trace_id, service: None, environment: None, source: Source { uri: place.uri.to_owned() }, span, ..Piece::default() }
}
