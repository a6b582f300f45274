//! The JSON reader, in one place so that it can be changed: sonic-rs for typed reading, which skips what nobody asks for.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};

/// Nesting of a record, beyond which it is rejected. sonic-rs skips unknown fields by recursion without a limit of its own, and a
/// record of a few hundred kilobytes could so exhaust any stack.
const DEPTH_MAX: u32 = 128;

/// Parses one record into `T`.
pub(super) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    if is_too_deep(text) {
        return None;
    }
    sonic_rs::from_str(text).ok()
}

fn is_too_deep(text: &str) -> bool {
    let is_open = |byte: &&u8| matches!(byte, b'{' | b'[');
    // Counting is much faster than looking, and most records have few brackets.
    if text.as_bytes().iter().filter(is_open).count() <= DEPTH_MAX as usize {
        return false;
    }
    let mut depth = 0_u32;
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => rest = after_text(after),
            b'{' | b'[' => {
                depth += 1;
                if depth > DEPTH_MAX {
                    return true;
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// What follows the text that begins at `rest`, behind its closing quotation mark.
fn after_text(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_end = rest.get(at) == Some(&b'"');
        rest = rest.get(at + if is_end { 1 } else { 2 }..).unwrap_or_default();
        if is_end {
            return rest;
        }
    }
    &[]
}

/// What went wrong, without the text of the record: it may hold what must not reach an error.
pub(super) fn describe(line: &str) -> String {
    if is_too_deep(line) {
        return format!("the JSON nests deeper than {DEPTH_MAX} levels");
    }
    match serde_json::from_str::<IgnoredAny>(line) {
        Ok(_) => "it is JSON, but a field has another type than the format says".to_owned(),
        Err(error) if error.is_eof() => format!("the JSON ends in the middle, at column {}", error.column()),
        Err(error) => format!("it is no JSON from column {} on", error.column()),
    }
}

/// The keys of a line that is a JSON object; nothing where it is broken or something else.
pub(super) fn top_level_keys(line: &[u8]) -> Option<Vec<String>> {
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
    let line = std::str::from_utf8(line).ok()?;
    serde_json::from_str::<Keys>(line).ok().map(|keys| keys.0)
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

    #[test]
    fn nesting_is_bounded_and_brackets_in_texts_do_not_count() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(!is_too_deep(&nested(128)) && is_too_deep(&nested(129)));
        assert!(!is_too_deep(&format!("[{}]", "[],".repeat(1_000))));
        assert!(!is_too_deep(&format!("[\"{}\\\\\"]", "[".repeat(1_000))));
        assert!(is_too_deep(&format!("[\"\\\"]]]]\", {}", "[".repeat(200))));
        assert!(describe(&"{\"a\":[".repeat(100_000)).contains("deeper than 128"));
    }
}
