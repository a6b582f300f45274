//! A decoded value of any format (JSON, protobuf, a table cell), which borrows from the record if possible.

use std::borrow::Cow;
use std::fmt::{self, Write};

use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq, Serializer};
use serde::{Deserialize, Serialize};

use super::json::{self, Text};
use super::json_repair::{self, Truncation};
use super::python_repr;

/// The value of a field or an attribute.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Value<'a> {
    #[default]
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// Fields in the order of the source; a name may occur twice.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// Parses text that is a JSON object or list, also one with values that JSON lacks, such as `NaN`; `None` for other text.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let start = text.trim_start().as_bytes().first()?;
        if !matches!(start, b'{' | b'[') {
            return None;
        }
        serde_json::from_str(text).ok().or_else(|| Self::repaired(text, Truncation::Refuse))
    }

    /// Parses the beginning of a JSON object or list whose end was cut off, as the attribute length limits of SDKs do; `None` for other text,
    /// and for text that is complete.
    pub(super) fn parse_truncated(text: &str) -> Option<Value<'static>> {
        if !text.trim_start().starts_with(['{', '[']) || serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok() {
            return None;
        }
        Value::repaired(text, Truncation::Close)
    }

    fn repaired<'b>(text: &str, truncation: Truncation) -> Option<Value<'b>> {
        let repaired =
            json_repair::repair(text, truncation).filter(|repaired| repaired.was_truncated == (truncation == Truncation::Close))?;
        serde_json::from_str::<Value<'_>>(&repaired.json).ok().map(Value::into_owned)
    }

    /// The value if it is a list or a map, or the list or map in its JSON text.
    pub(super) fn tree(&self) -> Option<Cow<'_, Value<'_>>> {
        match self {
            Self::List(_) | Self::Map(_) => Some(Cow::Borrowed(self)),
            Self::Text(text) => Value::parse(text).map(Cow::Owned),
            _ => None,
        }
    }

    /// [`Self::tree`], also of a JSON string that contains JSON, and of Python's `repr`.
    pub(super) fn any_tree(&self) -> Option<Cow<'_, Value<'_>>> {
        self.tree().or_else(|| {
            let text = self.as_str()?.trim();
            if text.starts_with('"') {
                let inner: String = serde_json::from_str(text).ok()?;
                return Value::parse(&inner).map(|tree| Cow::Owned(tree.into_owned()));
            }
            python_repr::parse(text).filter(|tree| matches!(tree, Value::List(_) | Value::Map(_))).map(Cow::Owned)
        })
    }

    /// [`Self::any_tree`] by value; a value without one is returned unchanged.
    pub(super) fn into_tree(self) -> Self {
        let parsed = if matches!(self, Self::Text(_)) { self.any_tree().map(|tree| tree.into_owned().into_owned()) } else { None };
        parsed.unwrap_or(self)
    }

    /// The text of a JSON string, `"text"` with its quotes, without them; any other value unchanged. Some SDKs write every attribute as JSON.
    pub(super) fn unquoted(self) -> Self {
        let inner = self.as_str().filter(|text| text.starts_with('"')).and_then(|text| serde_json::from_str::<String>(text).ok());
        inner.map_or(self, |text| Self::Text(Cow::Owned(text)))
    }

    /// The text of a string, or the JSON text of another value; `None` for null.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.into_owned()),
            other => Some(other.to_json_text()),
        }
    }

    /// [`Self::into_text`] by reference; empty for null.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Null => String::new(),
            Self::Text(text) => text.clone().into_owned(),
            other => other.to_json_text(),
        }
    }

    /// The text of a string; `None` for other values.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The field `key` of a map; null if it is missing.
    pub(super) fn get(&self, key: &str) -> &Value<'a> {
        const NULL: &Value<'static> = &Value::Null;
        self.fields().iter().find(|(name, _)| name == key).map_or(NULL, |(_, value)| value)
    }

    /// The first field of `keys` that is not null; null if there is none.
    pub(super) fn first(&self, keys: &[&str]) -> &Value<'a> {
        keys.iter().map(|key| self.get(key)).find(|value| !value.is_null()).unwrap_or(&Value::Null)
    }

    /// The text of the field `key`, if it is a string.
    pub(super) fn text_at(&self, key: &str) -> Option<String> {
        self.get(key).as_str().map(str::to_owned)
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value is null, an empty text, or an empty list or map.
    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => text.is_empty(),
            Self::List(items) => items.is_empty(),
            Self::Map(fields) => fields.is_empty(),
            _ => false,
        }
    }

    /// The items of a list; none for other values.
    pub(super) fn items(&self) -> &[Value<'a>] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The fields of a map; none for other values.
    pub(super) fn fields(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        match self {
            Self::Map(fields) => fields,
            _ => &[],
        }
    }

    /// A count, also if it is a double or a string of digits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number in range")]
    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Double(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => Some(*number as u64),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A finite number, also if it is a string of digits.
    #[expect(clippy::cast_precision_loss, reason = "scores and counts")]
    pub(super) fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(number) => Some(*number as f64),
            Self::Double(number) => Some(*number),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
        .filter(|number| number.is_finite())
    }

    /// The JSON type, for messages: `a string`.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Double(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// An id: a non-empty text or an integer.
    pub(super) fn as_id(&self) -> Option<String> {
        match self {
            Self::Text(text) if !text.is_empty() => Some(text.clone().into_owned()),
            Self::Int(number) => Some(number.to_string()),
            _ => None,
        }
    }

    /// A time in nanoseconds since 1970, from text or from a number in any unit; see [`time_from_number`].
    pub(super) fn as_time(&self) -> Option<i64> {
        match self {
            Self::Text(text) => time_from_text(text).or_else(|| time_from_number(text.parse().ok()?)),
            Self::Int(number) => time_from_number(*number),
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
            Self::Double(number) if *number < 1e11 => time_from_number((number * 1e9) as i64),
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
            Self::Double(number) => time_from_number(*number as i64),
            _ => None,
        }
    }

    /// The texts of a list; a single value is a list of one.
    pub(super) fn into_texts(self) -> Vec<String> {
        match self {
            Self::List(values) => values.into_iter().filter_map(Value::into_text).collect(),
            other => other.into_text().into_iter().collect(),
        }
    }

    /// The same value without borrows.
    pub(super) fn into_owned<'b>(self) -> Value<'b> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Double(value) => Value::Double(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Map(fields) => {
                Value::Map(fields.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect())
            }
        }
    }

    fn to_json_text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Double(value) => {
                let mut text = String::new();
                let _infallible = write!(text, "{value}");
                text
            }
            other => serde_json::to_string(other).unwrap_or_default(),
        }
    }
}

impl Serialize for Value<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) => serializer.serialize_i64(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(items) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                items.iter().try_for_each(|item| list.serialize_element(item))?;
                list.end()
            }
            Self::Map(fields) => {
                let mut map = serializer.serialize_map(Some(fields.len()))?;
                fields.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Value<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValueVisitor;
        impl<'de> Visitor<'de> for ValueVisitor {
            type Value = Value<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }
            fn visit_unit<E>(self) -> Result<Value<'de>, E> {
                Ok(Value::Null)
            }
            fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
                Ok(Value::Bool(value))
            }
            fn visit_i64<E>(self, value: i64) -> Result<Value<'de>, E> {
                Ok(Value::Int(value))
            }
            fn visit_u64<E>(self, value: u64) -> Result<Value<'de>, E> {
                // An integer over 2^63 is an id, as in Datadog's spans; as a double it would lose digits.
                Ok(i64::try_from(value).map_or_else(|_| Value::Text(Cow::Owned(value.to_string())), Value::Int))
            }
            fn visit_f64<E>(self, value: f64) -> Result<Value<'de>, E> {
                Ok(Value::Double(value))
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
                Ok(Value::Text(Cow::Owned(text)))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value<'de>, A::Error> {
                let mut items = Vec::new();
                while let Some(item) = seq.next_element()? {
                    json::charge(size_of::<Value<'de>>())?;
                    push_small(&mut items, item);
                }
                Ok(Value::List(items))
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some((key, value)) = map.next_entry::<Text<'de>, Value<'de>>()? {
                    json::charge(size_of::<(Cow<'de, str>, Value<'de>)>())?;
                    push_small(&mut fields, (key.0, value));
                }
                Ok(Value::Map(fields))
            }
        }
        deserializer.deserialize_any(ValueVisitor)
    }
}

/// Appends to a list without spare capacity while it is short: a record may contain millions of lists with at most one item.
fn push_small<T>(list: &mut Vec<T>, item: T) {
    match list.len() {
        0 => list.reserve_exact(1),
        1 => list.reserve_exact(3),
        _ => {}
    }
    list.push(item);
}

/// Nanoseconds since 1970 of an RFC 3339 time, also with a space instead of the `T`, or without a zone (UTC).
pub(super) fn time_from_text(text: &str) -> Option<i64> {
    let zoned = chrono::DateTime::parse_from_rfc3339(text);
    let time = zoned.or_else(|_| chrono::DateTime::parse_from_rfc3339(&format!("{text}Z"))).ok()?;
    time.timestamp_nanos_opt()
}

/// Nanoseconds since 1970 of a number of seconds, milliseconds, microseconds or nanoseconds. The magnitude determines the unit: between 1973 and
/// 2286 the ranges do not overlap.
pub(super) fn time_from_number(number: i64) -> Option<i64> {
    match number {
        ..=0 => None,
        1..100_000_000_000 => number.checked_mul(1_000_000_000),
        100_000_000_000..100_000_000_000_000 => number.checked_mul(1_000_000),
        100_000_000_000_000..100_000_000_000_000_000 => number.checked_mul(1_000),
        _ => Some(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_keeps_the_order_of_fields_and_large_integers() {
        let value = Value::parse(r#" {"b": [1, 2.5, null, true], "a": "x\ny", "n": 18446744073709551615}"#).unwrap();
        assert_eq!(value.to_text(), r#"{"b":[1,2.5,null,true],"a":"x\ny","n":"18446744073709551615"}"#);
        assert_eq!(value.get("b").items().len(), 4);
        assert_eq!(value.first(&["missing", "a"]).as_str(), Some("x\ny"));
        assert_eq!(Value::parse("{\"cut\": "), None);
        assert_eq!(Value::parse("plain"), None);
    }

    #[test]
    fn the_unit_of_a_time_follows_from_its_magnitude() {
        let expected = Some(1_761_833_858_897_000_000);
        for time in ["2025-10-30T14:17:38.897Z", "2025-10-30 14:17:38.897", "2025-10-30T15:17:38.897+01:00"] {
            assert_eq!(Value::Text(time.into()).as_time(), expected, "{time}");
        }
        assert_eq!(Value::Int(1_761_833_858_897).as_time(), expected);
        assert_eq!(Value::Text("1761833858897000000".into()).as_time(), expected);
        assert_eq!(Value::Int(1_761_833_858_897_000).as_time(), expected);
        assert_eq!(Value::Int(1_761_833_858_897_000_000).as_time(), expected);
        assert_eq!(Value::Int(1_761_833_858).as_time(), Some(1_761_833_858_000_000_000));
        assert_eq!(Value::Int(0).as_time(), None);
    }
}
