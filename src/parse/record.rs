//! One JSON object or table row whose fields are taken one by one.
//!
//! A format takes the fields that it knows. The remaining fields become attributes of the span, so that a field which a vendor adds later is
//! not lost.

use std::borrow::Cow;
use std::fmt;

use arrow::array::{ArrayRef, RecordBatch};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::cell::cell_value;
use super::json::{self, Text};
use super::value::Value;
use super::{Accounted, ParsedChunk, Position, RecordLocation, Skip, SpanFragment};
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, RejectionKind, Source, Span};

/// The fields of a record that are not taken yet; see the [module docs](self).
#[derive(Debug, Default)]
pub struct Record<'a> {
    fields: Vec<(Cow<'a, str>, Value<'a>)>,
}

/// The fields without which a record is not a span.
pub(super) struct SpanIdentity {
    pub(super) trace_id: String,
    pub(super) span_id: String,
    /// Nanoseconds since 1970.
    pub(super) started_at_ns: i64,
}

/// The names of the fields in [`SpanIdentity`].
pub(super) struct IdentityKeys {
    pub(super) trace_id: &'static str,
    pub(super) span_id: &'static str,
    pub(super) start_time: &'static str,
}

impl<'a> Record<'a> {
    /// Decodes a JSON object, except for the fields in `skipped`, which must be sorted.
    ///
    /// # Errors
    /// The parser's error, if the text is not a JSON object.
    pub(super) fn from_json(text: &'a str, skipped: &[&str]) -> Result<Self, serde_json::Error> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let fields = FieldsExcept(skipped).deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(Self { fields })
    }

    /// A nested object as a record; `None` for other values.
    pub(super) fn from_value(value: Value<'a>) -> Option<Self> {
        match value {
            Value::Map(fields) => Some(Self { fields }),
            _ => None,
        }
    }

    /// The rows of a batch with their locations, without the columns in `skipped`, which must be sorted.
    pub(super) fn rows(
        batch: &'a RecordBatch,
        skipped: &[&str],
        location: &RecordLocation<'a>,
    ) -> impl Iterator<Item = (Self, RecordLocation<'a>)> {
        let schema = batch.schema();
        let columns: Vec<(String, &ArrayRef)> = (schema.fields().iter().zip(batch.columns()))
            .filter(|(field, _)| skipped.binary_search(&field.name().as_str()).is_err())
            .map(|(field, column)| (field.name().clone(), column))
            .collect();
        let first_row = if let Position::Row(row) = location.position { row } else { 0 };
        let location = *location;
        (0..batch.num_rows()).map(move |row| {
            let fields = columns.iter().map(|(name, column)| (Cow::Owned(name.clone()), cell_value(column, row)));
            let record = Self { fields: fields.filter(|(_, value)| !value.is_null()).collect() };
            (record, RecordLocation { position: Position::Row(first_row + row as u64), ..location })
        })
    }

    /// The size of its texts in bytes, which bounds how much may be decoded from them.
    pub(super) fn text_bytes(&self) -> usize {
        self.fields.iter().map(|(_, value)| value.as_str().map_or(0, str::len)).sum()
    }

    /// Whether the field is present, even if it is null.
    pub(super) fn has(&self, key: &str) -> bool {
        self.fields.iter().any(|(name, _)| name == key)
    }

    /// The value of a field, which stays; null if it is not present.
    pub(super) fn get(&self, key: &str) -> &Value<'a> {
        const NULL: &Value<'static> = &Value::Null;
        self.fields.iter().find(|(name, _)| name == key).map_or(NULL, |(_, value)| value)
    }

    /// The number of the first of several fields that has one. The fields stay.
    pub(super) fn first_number(&self, keys: &[&str]) -> Option<f64> {
        keys.iter().find_map(|key| self.get(key).as_f64())
    }

    /// The fields of both records. If both have a field, the non-null value of `self` is taken first.
    pub(super) fn chain(mut self, other: Self) -> Self {
        self.fields.retain(|(_, value)| !value.is_null());
        self.fields.extend(other.fields);
        self
    }

    /// Adds a field that is not present.
    pub(super) fn insert(&mut self, key: &'static str, value: Value<'a>) {
        self.fields.push((Cow::Borrowed(key), value));
    }

    /// The remaining fields.
    pub(super) fn into_fields(self) -> impl Iterator<Item = (Cow<'a, str>, Value<'a>)> {
        self.fields.into_iter()
    }

    /// The remaining fields as one value.
    pub(super) fn into_value(self) -> Value<'a> {
        Value::Map(self.fields)
    }

    /// Removes a field and returns it; null if it is not present.
    pub(super) fn take(&mut self, key: &str) -> Value<'a> {
        let index = self.fields.iter().position(|(name, _)| name == key);
        index.map_or(Value::Null, |index| self.fields.remove(index).1)
    }

    /// Removes a field and returns it, decoded if it is JSON text of a list or an object.
    pub(super) fn take_tree(&mut self, key: &str) -> Value<'a> {
        match self.take(key) {
            Value::Text(Cow::Borrowed(text)) => Value::parse(text).unwrap_or(Value::Text(Cow::Borrowed(text))),
            Value::Text(Cow::Owned(text)) => Value::parse(&text).map(Value::into_owned).unwrap_or(Value::Text(Cow::Owned(text))),
            other => other,
        }
    }

    /// Removes a field and returns it, decoded if it is JSON text or Python's `repr` of a list or an object. A table may have it as columns of
    /// their own, `metrics.start` and `metrics.end`: then the object with these fields.
    pub(super) fn take_nested(&mut self, key: &str) -> Value<'a> {
        let value = self.take(key);
        if !value.is_null() {
            return match &value {
                Value::Text(_) => value.any_tree().map(|tree| tree.into_owned().into_owned()).unwrap_or(value),
                _ => value,
            };
        }
        let is_column = |name: &str| name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'));
        let mut columns: Vec<_> = self.fields.extract_if(.., |(name, _)| is_column(name)).collect();
        columns.retain(|(_, value)| !value.is_empty());
        if columns.is_empty() {
            return Value::Null;
        }
        columns.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut nested = Value::Map(Vec::new());
        for (name, value) in columns {
            insert_at(&mut nested, name.get(key.len() + 1..).unwrap_or_default(), value, 0);
        }
        nested
    }

    /// Removes a field and returns it as text; `None` if it is empty.
    pub(super) fn take_text(&mut self, key: &str) -> Option<String> {
        self.take(key).into_text().filter(|text| !text.is_empty())
    }

    /// Removes fields that do not describe the run, such as keys of the vendor's own database.
    pub(super) fn discard(&mut self, keys: &[&str]) {
        self.fields.retain(|(name, _)| !keys.contains(&name.as_ref()));
    }

    /// Removes the ids and the start time and returns them.
    ///
    /// # Errors
    /// The rejection of the record, if one of them is missing or unusable.
    pub(super) fn take_identity(
        &mut self,
        keys: &IdentityKeys,
        location: &RecordLocation<'_>,
        out: &mut ParsedChunk,
    ) -> Result<SpanIdentity, Accounted> {
        let (trace_id, span_id) = (self.take(keys.trace_id).as_id(), self.take(keys.span_id).as_id());
        let (trace_id, span_id) = match (trace_id, span_id) {
            (Some(trace_id), Some(span_id)) => (trace_id, span_id),
            (trace_id, _) => {
                let missing = if trace_id.is_none() { keys.trace_id } else { keys.span_id };
                return Err(out.reject(
                    location,
                    RejectionKind::MissingId,
                    format!("cannot read {location}: {missing} is missing or empty\n  hint: include it in the export"),
                ));
            }
        };
        let Some(started_at_ns) = self.take(keys.start_time).as_time() else {
            let reason = format!(
                "cannot read {location}: {} is missing or not a time\n  hint: a time is RFC 3339 text, or Unix time in seconds, ms, µs or ns",
                keys.start_time
            );
            return Err(out.reject(location, RejectionKind::MissingTime, reason));
        };
        Ok(SpanIdentity { trace_id, span_id, started_at_ns })
    }

    /// Keeps the remaining fields as attributes of the span.
    pub(super) fn keep_rest(self, span: &mut Span) {
        for (key, value) in self.fields {
            keep_attribute(span, key, value);
        }
    }
}

/// Decodes a JSON object without some of its fields.
struct FieldsExcept<'s>(&'s [&'s str]);

impl<'de> DeserializeSeed<'de> for FieldsExcept<'_> {
    type Value = Vec<(Cow<'de, str>, Value<'de>)>;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for FieldsExcept<'_> {
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

/// Sets the value at a path of dots in nested objects. Columns come sorted, so the object of the one before is the last field.
fn insert_at<'a>(tree: &mut Value<'a>, path: &str, value: Value<'a>, depth: usize) {
    const LEVELS_MAX: usize = 12;
    let Value::Map(fields) = tree else { return };
    let Some((first, rest)) = path.split_once('.').filter(|_| depth < LEVELS_MAX) else {
        fields.push((Cow::Owned(path.to_owned()), value));
        return;
    };
    let is_known = fields.last().is_some_and(|(name, inner)| name == first && matches!(inner, Value::Map(_)));
    if !is_known {
        fields.push((Cow::Owned(first.to_owned()), Value::Map(Vec::new())));
    }
    if let Some((_, inner)) = fields.last_mut() {
        insert_at(inner, rest, value, depth + 1);
    }
}

/// Keeps a value as attributes of a span: the first levels of an object are flattened to dotted keys, anything below is JSON text.
pub(super) fn keep_attribute(span: &mut Span, key: Cow<'_, str>, value: Value<'_>) {
    keep_at_depth(span, key, value, 0);
}

fn keep_at_depth(span: &mut Span, key: Cow<'_, str>, value: Value<'_>, depth: usize) {
    const FLATTENED_LEVELS_MAX: usize = 3;
    match value {
        // One more than the limit is kept, so that the span counts as cut.
        value if value.is_empty() || span.attributes.len() > SPAN_ITEMS_MAX => {}
        Value::Map(fields) if depth < FLATTENED_LEVELS_MAX => {
            for (name, value) in fields {
                keep_at_depth(span, Cow::Owned(format!("{key}.{name}")), value, depth + 1);
            }
        }
        other => span.attributes.extend(other.into_text().map(|value| Attribute { key: key.into_owned(), value })),
    }
}

/// Parses each item of a list in a record. An item that is not an object is rejected, an empty list is skipped.
pub(super) fn parse_each(
    items: Vec<Value<'_>>,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
    mut parse: impl FnMut(Record<'_>, &RecordLocation<'_>, &mut ParsedChunk) -> Accounted,
) -> Accounted {
    let mut all = None;
    for (item, index) in items.into_iter().zip(1..) {
        let location = location.span(index);
        let accounted = match Record::from_value(item) {
            Some(record) => parse(record, &location, out),
            None => out.reject(&location, RejectionKind::MalformedRecord, format!("cannot read {location}: not a JSON object")),
        };
        accounted.add_to(&mut all);
    }
    all.unwrap_or_else(|| out.skip(Skip::Empty, location))
}

/// Parses each span in the list of a trace. A trace without spans is skipped; a value that is not a list is rejected.
pub(super) fn parse_each_span(
    spans: Value<'_>,
    location: &RecordLocation<'_>,
    out: &mut ParsedChunk,
    parse: impl FnMut(Record<'_>, &RecordLocation<'_>, &mut ParsedChunk) -> Accounted,
) -> Accounted {
    match spans {
        Value::List(spans) if !spans.is_empty() => parse_each(spans, location, out, parse),
        Value::List(_) | Value::Null => out.skip(Skip::TraceWithoutSpans, location),
        _ => {
            let reason = format!("cannot read {location}: spans is not a list\n  hint: export the trace again");
            out.reject(location, RejectionKind::MalformedRecord, reason)
        }
    }
}

/// A fragment with this span, without service and environment.
pub(super) fn fragment(trace_id: String, span: Span, location: &RecordLocation<'_>) -> SpanFragment {
    SpanFragment { trace_id, source: Source { uri: location.uri.to_owned() }, span, ..SpanFragment::default() }
}
