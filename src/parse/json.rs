//! The JSON reader, in one place so that it can be changed.
//!
//! serde's `serde_json`: it borrows what has no escapes, skips what nobody asks for without recursion, and bounds the nesting of the rest
//! at 128 levels. sonic-rs was slower at it by a quarter without compiling for one processor, and skips by unbounded recursion
//! (`docs/decisions.md`).

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::limits::{PARSED_BYTES_BASE, PARSED_GROWTH_RATIO_MAX};

/// What an error says of a record that [`Budget`] refused.
const TOO_MANY_PARTS: &str = "too many parts";

thread_local! {
    /// Bytes that what is read on this thread may still take.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

/// Bounds what the parts of one record take once they are read, until it is dropped: two bytes of JSON may become some hundred of a structure.
pub(super) struct Budget(());

impl Budget {
    /// For a record of `bytes`.
    pub(super) fn for_record(bytes: usize) -> Self {
        LEFT.set(PARSED_BYTES_BASE.saturating_add(bytes.saturating_mul(PARSED_GROWTH_RATIO_MAX)));
        Self(())
    }
}

impl Drop for Budget {
    fn drop(&mut self) {
        LEFT.set(usize::MAX);
    }
}

/// Takes what a part of `bytes` needs; whether it was there.
pub(super) fn has_room(bytes: usize) -> bool {
    let left = LEFT.get();
    LEFT.set(left.saturating_sub(bytes));
    left >= bytes
}

/// The same for what reads with serde.
pub(super) fn charge<E: serde::de::Error>(bytes: usize) -> Result<(), E> {
    if has_room(bytes) { Ok(()) } else { Err(E::custom(TOO_MANY_PARTS)) }
}

/// Whether a record was refused because of its many parts.
pub(super) fn has_too_many_parts(error: &serde_json::Error) -> bool {
    error.is_data() && error.to_string().starts_with(TOO_MANY_PARTS)
}

/// Parses one record into `T`.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

/// A struct that is read from a JSON object: each field with its names there. Null is as good as nothing, for every field, which is why
/// these are not derived; what has no field is skipped. A field that stands there twice is an error: neither of the two may get lost.
///
/// With `_ => field` the name of the first key that has no field, and is none of those in brackets, is kept: where nothing else was found,
/// it tells what was written instead.
macro_rules! json_object {
    ($(#[$meta:meta])* struct $name:ident<'a> { $($($key:literal)|+ => $field:ident: $type:ty,)* $([$($known:literal),*] _ => $other:ident,)? }) => {
        $(#[$meta])*
        #[derive(Default)]
        struct $name<'a> {
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

/// What the parser says of a text that it refused, without any of the text: it may hold what must not reach an error.
pub(super) fn describe(error: &serde_json::Error) -> String {
    if error.is_eof() {
        return format!("the JSON ends inside a value, at column {}", error.column());
    }
    if has_too_many_parts(error) {
        return "it holds so many small parts that they would take many times its own size of memory".to_owned();
    }
    if error.is_data() {
        return "not a JSON object".to_owned();
    }
    let said = error.to_string();
    // Of the grammar serde_json speaks in fixed phrases: "expected value at line 1 column 2".
    let said = said.split(" at line ").next().unwrap_or_default();
    format!("invalid JSON at column {}: {said}", error.column())
}

/// The keys of a text that is a JSON object; nothing where it is broken or something else.
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

/// A string that borrows from the line unless it holds escapes.
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

/// An integer that is written as a number or as digits in a string, as protobuf's JSON mapping does with 64-bit ones.
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
            #[expect(clippy::cast_possible_truncation, reason = "saturates, and times that large are nonsense anyway")]
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
    fn objects_take_their_fields_by_any_name_and_skip_the_rest() {
        let thing: Thing<'_> = parse(r#"{"other":{"a":[1,true,null,-2,0.5,"x"]},"title":"t","parts":[{"name":null}]}"#).unwrap();
        assert_eq!((thing.name.0.as_ref(), thing.parts.len()), ("t", 1));
        assert!(parse::<Thing<'_>>(r#"{"name": 7}"#).is_err() && parse::<Thing<'_>>("[]").is_err());
    }

    #[test]
    fn a_record_of_many_parts_is_refused_within_its_budget() {
        let many = format!("{{\"parts\":[{}{{}}]}}", "{},".repeat(2_000_000));
        assert!(parse::<Thing<'_>>(&many).is_ok());
        let budget = Budget::for_record(many.len());
        let error = parse::<Thing<'_>>(&many).err().unwrap();
        assert!(has_too_many_parts(&error) && describe(&error).contains("many small parts"));
        let few = format!("{{\"parts\":[{}{{}}]}}", "{},".repeat(2_000));
        drop(budget);
        let _budget = Budget::for_record(few.len());
        assert!(parse::<Thing<'_>>(&few).is_ok());
    }

    #[test]
    fn nesting_is_bounded_in_what_is_skipped_and_in_what_is_kept() {
        assert!(parse::<Thing<'_>>(&"{\"other\":[".repeat(1_000_000)).is_err());
        assert!(parse::<Thing<'_>>(&"{\"parts\":[".repeat(1_000_000)).is_err());
        let error = parse::<Thing<'_>>("{\"a\": \"secret\" oops}").err().unwrap();
        assert_eq!(describe(&error), "invalid JSON at column 16: expected `,` or `}`");
    }
}
