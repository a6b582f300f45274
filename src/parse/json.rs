//! The JSON parser, in one place so that it can be replaced, and the memory budget of a record.
//!
//! `serde_json` borrows strings without escapes, skips unknown fields without recursion, and limits the nesting of other values to 128 levels.
//! sonic-rs was a quarter slower unless compiled for one processor model, and skips by unbounded recursion (`docs/decisions.md`).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::{PARSED_BYTES_BASE, PARSED_GROWTH_RATIO_MAX};

/// The message of the error for a record that exceeds its [`Budget`].
const OVER_BUDGET: &str = "too many parts";

thread_local! {
    /// The bytes of decoded values that the record parsed on this thread may still allocate.
    static REMAINING_BYTES: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Limits the memory of the decoded values of one record, until it is dropped: two bytes of JSON may become a struct of a hundred.
pub(super) struct Budget(());

impl Budget {
    /// The budget of a record with this size.
    pub(super) fn for_record(bytes: usize) -> Self {
        REMAINING_BYTES.set(PARSED_BYTES_BASE.saturating_add(bytes.saturating_mul(PARSED_GROWTH_RATIO_MAX)));
        Self(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        REMAINING_BYTES.set(usize::MAX);
    }
}

/// Charges the budget of the record; returns whether it was sufficient.
pub(super) fn try_charge(bytes: usize) -> bool {
    let remaining = REMAINING_BYTES.get();
    REMAINING_BYTES.set(remaining.saturating_sub(bytes));
    remaining >= bytes
}

/// [`try_charge`] for implementations of [`Deserialize`].
pub(super) fn charge<E: serde::de::Error>(bytes: usize) -> Result<(), E> {
    if try_charge(bytes) { Ok(()) } else { Err(E::custom(OVER_BUDGET)) }
}

/// Whether a record exceeded its budget.
pub(super) fn is_over_budget(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(OVER_BUDGET)
}

/// Parses one record into `T`.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// Defines a struct that is decoded from a JSON object, each field with its names there. Unknown keys are skipped. A null is the same as a
/// missing field, which serde cannot derive for every type. A field that occurs twice is an error, because neither value may be lost.
///
/// With `_ => field` the struct keeps the first unknown key that is not in the brackets. A message can name it if nothing else was found.
macro_rules! json_object {
    ($(#[$meta:meta])* $vis:vis struct $name:ident<'a> { $($($key:literal)|+ => $field:ident: $type:ty,)* $([$($known:literal),*] _ => $other:ident,)? }) => {
        $(#[$meta])*
        #[derive(Default)]
        $vis struct $name<'a> {
            $($field: $type,)*
            $($other: Option<std::borrow::Cow<'a, str>>,)?
        }

        impl<'de: 'a, 'a> serde::Deserialize<'de> for $name<'a> {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct ObjectVisitor<'a>(std::marker::PhantomData<&'a ()>);
                impl<'de: 'a, 'a> serde::de::Visitor<'de> for ObjectVisitor<'a> {
                    type Value = $name<'a>;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }
                    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<$name<'a>, A::Error> {
                        $crate::parse::json::charge(size_of::<$name>())?;
                        let mut object = $name::default();
                        $(let mut $field = false;)*
                        while let Some(key) = map.next_key::<$crate::parse::json::Text<'de>>()? {
                            match key.0.as_ref() {
                                $($($key)|+ => {
                                    if let Some(value) = map.next_value::<Option<$type>>()? {
                                        if std::mem::replace(&mut $field, true) {
                                            return Err(serde::de::Error::duplicate_field(stringify!($field)));
                                        }
                                        object.$field = value;
                                    }
                                })*
                                $($($known => {
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                })*)?
                                _ => {
                                    $(object.$other.get_or_insert(key.0);)?
                                    map.next_value::<serde::de::IgnoredAny>()?;
                                }
                            }
                        }
                        Ok(object)
                    }
                }
                deserializer.deserialize_map(ObjectVisitor(std::marker::PhantomData))
            }
        }
    };
}
pub(super) use json_object;

/// Describes the parser's error without quoting the text, which may contain personal data.
pub(super) fn describe(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return format!("unexpected end of JSON at column {}", error.column());
    }
    if is_over_budget(error) {
        return "decoding its many small values would take many times its size in memory\n  hint: export smaller batches".to_owned();
    }
    if error.is_data() {
        return "not a JSON object".to_owned();
    }
    let message = error.to_string();
    // serde_json describes syntax errors in fixed phrases: "expected value at line 1 column 2".
    let cause = message.split(" at line ").next().unwrap_or_default();
    format!("invalid JSON at column {}: {cause}", error.column())
}

/// The keys of a JSON object; `None` if the text is not a valid JSON object.
pub(super) fn top_level_keys(text: &str) -> Option<Vec<String>> {
    struct Keys(Vec<String>);
    impl<'de> Deserialize<'de> for Keys {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct KeysVisitor;
            impl<'de> Visitor<'de> for KeysVisitor {
                type Value = Keys;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a JSON object")
                }
                fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Keys, A::Error> {
                    let mut keys = Vec::new();
                    while let Some(key) = map.next_key::<String>()? {
                        map.next_value::<IgnoredAny>()?;
                        keys.push(key);
                    }
                    Ok(Keys(keys))
                }
            }
            deserializer.deserialize_map(KeysVisitor)
        }
    }
    serde_json::from_str::<Keys>(text).ok().map(|keys| keys.0)
}

/// A string that borrows from its record unless it contains escapes. Null is an empty string.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
            fn visit_string<E>(self, text: String) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text)))
            }
            fn visit_unit<E>(self) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed("")))
            }
        }
        deserializer.deserialize_any(TextVisitor)
    }
}

/// An integer that is a number or a string of digits; protobuf's JSON mapping writes 64-bit integers as strings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Integer(pub(super) i64);

impl<'de> Deserialize<'de> for Integer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntegerVisitor;
        impl Visitor<'_> for IntegerVisitor {
            type Value = Integer;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an integer, or digits in a string")
            }
            fn visit_i64<E>(self, number: i64) -> Result<Integer, E> {
                Ok(Integer(number))
            }
            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Integer, E> {
                i64::try_from(number).map(Integer).map_err(|_| E::custom("the number is too large"))
            }
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and such large times are invalid anyway")]
            fn visit_f64<E>(self, number: f64) -> Result<Integer, E> {
                Ok(Integer(number as i64))
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Integer, E> {
                if text.is_empty() {
                    return Ok(Integer(0));
                }
                text.parse().map(Integer).map_err(|_| E::custom("expected digits"))
            }
            fn visit_unit<E>(self) -> Result<Integer, E> {
                Ok(Integer(0))
            }
        }
        deserializer.deserialize_any(IntegerVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    json_object! {
        struct Thing<'a> {
            "name" | "title" => name: Text<'a>,
            "parts" => parts: Vec<Thing<'a>>,
        }
    }

    #[test]
    fn fields_have_several_names_and_unknown_keys_are_skipped() {
        let thing: Thing<'_> = parse(r#"{"other":{"a":[1,true,null,-2,0.5,"x"]},"title":"t","parts":[{"name":null}]}"#).unwrap();
        assert_eq!((thing.name.0.as_ref(), thing.parts.len()), ("t", 1));
        assert!(parse::<Thing<'_>>(r#"{"name": 7}"#).is_err() && parse::<Thing<'_>>("[]").is_err());
    }

    #[test]
    fn a_record_over_its_budget_is_rejected() {
        let many = format!("{{\"parts\":[{}{{}}]}}", "{},".repeat(2_000_000));
        assert!(parse::<Thing<'_>>(&many).is_ok());
        let budget = Budget::for_record(many.len());
        let error = parse::<Thing<'_>>(&many).err().unwrap();
        assert!(is_over_budget(&error) && describe(&error).contains("many small values"));
        let few = format!("{{\"parts\":[{}{{}}]}}", "{},".repeat(2_000));
        drop(budget);
        let _budget = Budget::for_record(few.len());
        assert!(parse::<Thing<'_>>(&few).is_ok());
    }

    #[test]
    fn nesting_is_limited_in_skipped_and_in_decoded_values() {
        assert!(parse::<Thing<'_>>(&"{\"other\":[".repeat(1_000_000)).is_err());
        assert!(parse::<Thing<'_>>(&"{\"parts\":[".repeat(1_000_000)).is_err());
        let error = parse::<Thing<'_>>("{\"a\": \"secret\" oops}").err().unwrap();
        assert_eq!(describe(&error), "invalid JSON at column 16: expected `,` or `}`");
    }
}
