//! The values of OTLP's JSON: attributes, tagged values of any type, and status codes, with the spellings of all exporters.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::model::Status;
use crate::parse::json::{self, Integer, Text, json_object};
use crate::parse::span_fields;
use crate::parse::value::Value;

json_object! {
    pub(super) struct KeyValue<'a> {
        "key" => key: Text<'a>,
        "value" => value: AnyValue<'a>,
    }
}

/// Attributes as pairs of key and value.
pub(super) fn pairs(attributes: Vec<KeyValue<'_>>) -> impl Iterator<Item = (Cow<'_, str>, Value<'_>)> {
    attributes.into_iter().map(|KeyValue { key, value }| (key.0, value.0))
}

/// A status code as a number or as a name.
#[derive(Default)]
pub(super) struct StatusCode(pub(super) Status);

impl<'de> Deserialize<'de> for StatusCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct StatusVisitor;
        impl Visitor<'_> for StatusVisitor {
            type Value = StatusCode;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a status code as a number or a name")
            }
            fn visit_u64<E>(self, code: u64) -> Result<StatusCode, E> {
                Ok(StatusCode(span_fields::status(&code.to_string())))
            }
            fn visit_i64<E>(self, code: i64) -> Result<StatusCode, E> {
                Ok(StatusCode(span_fields::status(&code.to_string())))
            }
            fn visit_str<E>(self, code: &str) -> Result<StatusCode, E> {
                Ok(StatusCode(span_fields::status(code)))
            }
            fn visit_unit<E>(self) -> Result<StatusCode, E> {
                Ok(StatusCode::default())
            }
        }
        deserializer.deserialize_any(StatusVisitor)
    }
}

/// A tagged value: `{"stringValue": …}`, `{"kvlistValue": {"values": […]}}`, or `{}` for none.
pub(super) struct AnyValue<'a>(pub(super) Value<'a>);

impl Default for AnyValue<'_> {
    fn default() -> Self {
        Self(Value::Null)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for AnyValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct AnyValueVisitor;
        impl<'de> Visitor<'de> for AnyValueVisitor {
            type Value = AnyValue<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an OTLP value such as {\"stringValue\": …}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                json::charge(size_of::<AnyValue<'de>>())?;
                let mut value = Value::Null;
                while let Some(kind) = map.next_key::<Text<'de>>()? {
                    let found = match kind.0.as_ref() {
                        "stringValue" | "string_value" | "bytesValue" | "bytes_value" => {
                            map.next_value::<Option<Text<'de>>>()?.map(|text| Value::Text(text.0))
                        }
                        "intValue" | "int_value" => map.next_value::<Option<Integer>>()?.map(|number| Value::Int(number.0)),
                        "doubleValue" | "double_value" => {
                            map.next_value::<Option<Double>>()?.and_then(|number| number.0).map(Value::Double)
                        }
                        "boolValue" | "bool_value" => map.next_value::<Option<bool>>()?.map(Value::Bool),
                        "arrayValue" | "array_value" => map
                            .next_value::<Option<Values<AnyValue<'de>>>>()?
                            .map(|values| Value::List(values.0.into_iter().map(|value| value.0).collect())),
                        "kvlistValue" | "kvlist_value" => {
                            map.next_value::<Option<Values<KeyValue<'de>>>>()?.map(|entries| Value::Map(pairs(entries.0).collect()))
                        }
                        _ => {
                            map.next_value::<IgnoredAny>()?;
                            None
                        }
                    };
                    // Phoenix writes every tag, with null for those that are not set.
                    value = found.unwrap_or(value);
                }
                Ok(AnyValue(value))
            }
            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(AnyValue(Value::Null))
            }
        }
        deserializer.deserialize_any(AnyValueVisitor)
    }
}

/// `{"values": […]}`, or the list itself.
struct Values<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Values<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ValuesVisitor<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for ValuesVisitor<T> {
            type Value = Values<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of values")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Values<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(key) = map.next_key::<Text<'de>>()? {
                    if key.0 == "values" {
                        values = map.next_value()?;
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Values(values))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Values<T>, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    values.push(value);
                }
                Ok(Values(values))
            }
            fn visit_unit<E>(self) -> Result<Values<T>, E> {
                Ok(Values(Vec::new()))
            }
        }
        deserializer.deserialize_any(ValuesVisitor(std::marker::PhantomData))
    }
}

/// A double: a number, or a string for the values that JSON lacks (`NaN`, `Infinity`).
struct Double(Option<f64>);

impl<'de> Deserialize<'de> for Double {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct DoubleVisitor;
        impl Visitor<'_> for DoubleVisitor {
            type Value = Double;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_f64<E>(self, number: f64) -> Result<Double, E> {
                Ok(Double(Some(number)))
            }
            #[expect(clippy::cast_precision_loss, reason = "a double was meant")]
            fn visit_i64<E>(self, number: i64) -> Result<Double, E> {
                Ok(Double(Some(number as f64)))
            }
            #[expect(clippy::cast_precision_loss, reason = "a double was meant")]
            fn visit_u64<E>(self, number: u64) -> Result<Double, E> {
                Ok(Double(Some(number as f64)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Double, E> {
                Ok(Double(text.parse().ok()))
            }
        }
        deserializer.deserialize_any(DoubleVisitor)
    }
}
