//! A decoded attribute value, whatever format it came in, borrowed from the record where that is possible.

use std::borrow::Cow;
use std::fmt::Write;

/// What an attribute can hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl Value<'_> {
    /// Strings as they are, everything else as JSON; nothing for null.
    pub(super) fn into_text(self) -> Option<String> {
        match self {
            Self::Null => None,
            Self::Text(text) => Some(text.into_owned()),
            other => Some(other.to_json_text()),
        }
    }

    /// The text of a string.
    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A count, also where it came as a double or as digits.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to be a whole number in range")]
    pub(super) fn as_u64(&self) -> Option<u64> {
        match self {
            Self::Int(number) => u64::try_from(*number).ok(),
            Self::Double(number) if number.fract() == 0.0 && (0.0..9e15).contains(number) => Some(*number as u64),
            Self::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// A number, also where it came as digits.
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

    /// A list of texts; a single text is a list of one.
    pub(super) fn into_texts(self) -> Vec<String> {
        match self {
            Self::List(values) => values.into_iter().filter_map(Value::into_text).collect(),
            other => other.into_text().into_iter().collect(),
        }
    }

    /// As a tree for code that looks into nested values. Nesting is bounded where values are made.
    pub(super) fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Null => serde_json::Value::Null,
            Self::Bool(value) => (*value).into(),
            Self::Int(value) => (*value).into(),
            Self::Double(value) => (*value).into(),
            Self::Text(text) => text.as_ref().into(),
            Self::List(values) => values.iter().map(Value::to_json).collect(),
            Self::Map(entries) => entries.iter().map(|(key, value)| (key.clone().into_owned(), value.to_json())).collect(),
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
            other => other.to_json().to_string(),
        }
    }
}
