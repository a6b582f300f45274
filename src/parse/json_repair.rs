//! Repairs almost valid JSON.
//!
//! Called only for text that the JSON parser refused. One pass over the text:
//!
//! | input | output | written by |
//! |---|---|---|
//! | `NaN`, `Infinity`, `undefined`, `None`, a number too large for a double | `null` | Python's `json.dumps`, JavaScript loggers |
//! | `True`, `False` | `true`, `false` | Python's `repr` |
//! | an unpaired surrogate (`\ud83d`) | U+FFFD | text that was cut between two UTF-16 units |
//! | an escape that JSON lacks (`\x41`, `\'`) | the characters themselves | shell and Python quoting |
//! | a control character in a string | the same character, escaped | loggers that do not escape |
//! | a comma before a closing bracket | nothing | templates |
//! | lists and objects nested deeper than [`DEPTH_MAX`] | `null` | hostile input |
//! | the end of the text inside a value ([`Truncation::Close`]) | the value up to there | attribute length limits of SDKs |
//!
//! Everything else is refused, so that plain text which starts with a bracket is not mistaken for data.

use std::fmt::Write;

/// Lists and objects nested deeper than this become null. The JSON parser refuses a record with more than 128 levels.
const DEPTH_MAX: usize = 100;

/// What to do if the text ends inside a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Truncation {
    /// Refuse the text.
    Refuse,
    /// Close the open strings, lists and objects.
    Close,
}

/// A valid JSON text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Repaired {
    pub(super) json: String,
    /// Whether the text ended inside a value.
    pub(super) was_truncated: bool,
}

/// Repairs one JSON value; `None` if the text is not JSON after all corrections.
pub(super) fn repair(text: &str, truncation: Truncation) -> Option<Repaired> {
    let mut repairer = Repairer {
        bytes: text.as_bytes(),
        text,
        at: 0,
        out: String::with_capacity(text.len() + 16),
        open: Vec::new(),
        expected: Expected::Value,
        pending_comma: false,
    };
    while repairer.expected != Expected::End {
        repairer.skip_space();
        if repairer.at >= repairer.bytes.len() {
            return (truncation == Truncation::Close).then(|| repairer.close_all()).flatten();
        }
        if !repairer.step()? {
            return (truncation == Truncation::Close).then(|| repairer.close_all()).flatten();
        }
    }
    repairer.skip_space();
    (repairer.at >= repairer.bytes.len()).then_some(Repaired { json: repairer.out, was_truncated: false })
}

/// What the grammar allows next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Value,
    /// A value, or the end of the list.
    Item,
    /// A key, or the end of the object.
    Key,
    Colon,
    /// A comma, or the end of the innermost list or object.
    CommaOrEnd,
    /// Nothing: the value is complete.
    End,
}

struct Repairer<'t> {
    bytes: &'t [u8],
    text: &'t str,
    at: usize,
    out: String,
    /// The closing bracket of each open list and object.
    open: Vec<u8>,
    expected: Expected,
    /// Whether a comma was read. It is written before the next item, if there is one.
    pending_comma: bool,
}

impl Repairer<'_> {
    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    /// Reads one JSON token. `Some(false)` if the text ends inside it, `None` if the text is not JSON.
    fn step(&mut self) -> Option<bool> {
        let byte = self.byte()?;
        match (self.expected, byte) {
            (Expected::Item, b']') | (Expected::Key, b'}') | (Expected::CommaOrEnd, b']' | b'}') => self.close(byte),
            (Expected::CommaOrEnd, b',') => {
                self.at += 1;
                self.pending_comma = true;
                self.expected = if self.open.last() == Some(&b'}') { Expected::Key } else { Expected::Item };
                Some(true)
            }
            (Expected::Colon, b':') => {
                self.at += 1;
                self.out.push(':');
                self.expected = Expected::Value;
                Some(true)
            }
            (Expected::Key, b'"') => {
                let start = self.out.len();
                self.write_comma();
                if self.string() {
                    self.expected = Expected::Colon;
                    return Some(true);
                }
                // A truncated key is useless.
                self.out.truncate(start);
                Some(false)
            }
            (Expected::Value | Expected::Item, _) => self.value(byte),
            _ => None,
        }
    }

    fn value(&mut self, byte: u8) -> Option<bool> {
        self.write_comma();
        match byte {
            b'{' | b'[' if self.open.len() >= DEPTH_MAX => {
                self.out.push_str("null");
                let whole = self.skip_container();
                self.after_value();
                Some(whole)
            }
            b'{' | b'[' => {
                self.at += 1;
                self.out.push(char::from(byte));
                let (closing, expected) = if byte == b'{' { (b'}', Expected::Key) } else { (b']', Expected::Item) };
                self.open.push(closing);
                self.expected = expected;
                Some(true)
            }
            b'"' => {
                let whole = self.string();
                self.after_value();
                Some(whole)
            }
            _ => self.word(),
        }
    }

    fn write_comma(&mut self) {
        if std::mem::take(&mut self.pending_comma) {
            self.out.push(',');
        }
    }

    fn close(&mut self, byte: u8) -> Option<bool> {
        let opened = self.open.pop().filter(|closing| *closing == byte)?;
        self.at += 1;
        self.pending_comma = false;
        self.out.push(char::from(opened));
        self.after_value();
        Some(true)
    }

    fn after_value(&mut self) {
        self.expected = if self.open.is_empty() { Expected::End } else { Expected::CommaOrEnd };
    }

    /// Skips a list or object that is nested too deep; `false` if the text ends inside it.
    fn skip_container(&mut self) -> bool {
        let mut depth = 0_usize;
        while let Some(byte) = self.byte() {
            self.at += 1;
            match byte {
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                b'"' => {
                    while let Some(byte) = self.byte() {
                        self.at += if byte == b'\\' { 2 } else { 1 };
                        if byte == b'"' {
                            break;
                        }
                    }
                }
                _ => {}
            }
            if depth == 0 {
                return true;
            }
        }
        false
    }

    /// A number or a literal.
    fn word(&mut self) -> Option<bool> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let word = self.text.get(start..self.at).filter(|word| !word.is_empty())?;
        let unsigned = word.trim_start_matches(['+', '-']);
        let json = match unsigned {
            "true" | "false" | "null" => unsigned,
            "True" => "true",
            "False" => "false",
            "NaN" | "nan" | "Infinity" | "infinity" | "inf" | "Inf" | "undefined" | "None" => "null",
            _ => match serde_json::from_str::<f64>(word) {
                Ok(_) => word,
                // A number that is too large for a double, or truncated.
                Err(_) if unsigned.starts_with(|first: char| first.is_ascii_digit()) && is_number_like(unsigned) => "null",
                // The text ends inside a literal such as `tru`, whose value is unknown.
                Err(_) if self.at >= self.bytes.len() && is_truncated_literal(word) => {
                    self.out.push_str("null");
                    self.after_value();
                    return Some(false);
                }
                Err(_) => return None,
            },
        };
        self.out.push_str(json);
        self.after_value();
        Some(true)
    }

    /// Copies a string; `false` if the text ends inside it.
    fn string(&mut self) -> bool {
        self.out.push('"');
        self.at += 1;
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let plain = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0x00..=0x1f)).unwrap_or(rest.len());
            self.out.push_str(self.text.get(self.at..self.at + plain).unwrap_or_default());
            self.at += plain;
            match self.byte() {
                None => {
                    self.out.push('"');
                    return false;
                }
                Some(b'"') => {
                    self.at += 1;
                    self.out.push('"');
                    return true;
                }
                Some(b'\\') => self.escape(),
                Some(control) => {
                    self.at += 1;
                    let _infallible = write!(self.out, "\\u{:04x}", u32::from(control));
                }
            }
        }
    }

    /// Copies an escape that starts at the current backslash. A truncated escape is dropped.
    fn escape(&mut self) {
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        match rest.first() {
            None => self.at = self.bytes.len(),
            Some(b'u') => self.unicode_escape(),
            Some(escaped @ (b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't')) => {
                self.out.push('\\');
                self.out.push(char::from(*escaped));
                self.at += 2;
            }
            Some(b'\'') => self.at += 1,
            Some(_) => {
                self.out.push_str("\\\\");
                self.at += 1;
            }
        }
    }

    fn unicode_escape(&mut self) {
        let Some(unit) = self.unit(self.at) else {
            // Truncated, or without hex digits.
            if self.at + 6 > self.bytes.len() {
                self.at = self.bytes.len();
            } else {
                self.out.push_str("\\\\u");
                self.at += 2;
            }
            return;
        };
        let second = self.unit(self.at + 6);
        match (unit, second) {
            (0xd800..=0xdbff, Some(0xdc00..=0xdfff)) => {
                self.out.push_str(self.text.get(self.at..self.at + 12).unwrap_or_default());
                self.at += 12;
            }
            (0xd800..=0xdfff, _) => {
                self.out.push('\u{fffd}');
                self.at += 6;
            }
            _ => {
                self.out.push_str(self.text.get(self.at..self.at + 6).unwrap_or_default());
                self.at += 6;
            }
        }
    }

    /// The UTF-16 unit of the escape `\uXXXX` at byte `at`.
    fn unit(&self, at: usize) -> Option<u16> {
        let digits = self.text.get(at..at.checked_add(6)?)?.strip_prefix("\\u")?;
        if digits.bytes().all(|digit| digit.is_ascii_hexdigit()) { u16::from_str_radix(digits, 16).ok() } else { None }
    }

    /// Closes the open lists and objects at the end of the text; `None` if they are all empty.
    fn close_all(mut self) -> Option<Repaired> {
        if self.expected == Expected::Colon {
            self.out.push_str(":null");
        } else if self.expected == Expected::Value {
            self.out.push_str("null");
        }
        let is_empty = self.out.bytes().all(|byte| matches!(byte, b'[' | b'{')) || self.out == "null";
        while let Some(closing) = self.open.pop() {
            self.out.push(char::from(closing));
        }
        (!is_empty).then_some(Repaired { json: self.out, was_truncated: true })
    }
}

fn is_number_like(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'))
}

fn is_truncated_literal(word: &str) -> bool {
    word == "-" || ["true", "false", "null", "NaN", "Infinity", "-Infinity"].iter().any(|literal| literal.starts_with(word))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn value(text: &str) -> Option<Value> {
        repair(text, Truncation::Refuse).map(|repaired| serde_json::from_str(&repaired.json).unwrap())
    }

    fn truncated_value(text: &str) -> Option<Value> {
        repair(text, Truncation::Close).map(|repaired| serde_json::from_str(&repaired.json).unwrap())
    }

    #[test]
    fn literals_that_json_lacks_become_null() {
        assert_eq!(
            value("[NaN, -Infinity, Infinity, undefined, None, True, 1e999, -1.5]"),
            Some(json!([null, null, null, null, null, true, null, -1.5]))
        );
        assert_eq!(value("{\"a\": nan, \"b\": 1}"), Some(json!({"a": null, "b": 1})));
        assert_eq!(value("[nope]"), None);
    }

    #[test]
    fn invalid_escapes_and_control_characters_are_kept_as_text() {
        assert_eq!(
            value("\"a\\ud83d b\\ude00 \\ud83d\\ude00 \\udc00\\ud800\""),
            Some(json!("a\u{fffd} b\u{fffd} \u{1f600} \u{fffd}\u{fffd}"))
        );
        assert_eq!(value("\"a\tb\u{0}c\nd\""), Some(json!("a\tb\u{0}c\nd")));
        assert_eq!(value(r#"["\x41", "it\'s", "\u00zz", "C:\dir"]"#), Some(json!(["\\x41", "it's", "\\u00zz", "C:\\dir"])));
    }

    #[test]
    fn a_trailing_comma_is_dropped() {
        assert_eq!(value("[1, {\"a\": 2,},]"), Some(json!([1, {"a": 2}])));
        assert_eq!(value("[1,,2]"), None);
        assert_eq!(value("[,]"), None);
    }

    #[test]
    fn plain_text_is_refused() {
        for text in ["[INFO] started", "{name} is here", "{'a': 1}", "hello", "", "{\"a\": 1} and more", "[1 2]", "}", "[1}", "{]"] {
            assert_eq!((value(text), truncated_value(text)), (None, None), "{text}");
        }
    }

    #[test]
    fn a_truncated_text_is_read_up_to_its_end() {
        assert_eq!(value("[{\"a\": \"b"), None);
        for (text, expected) in [
            ("[{\"role\": \"user\", \"content\": \"hel", json!([{"role": "user", "content": "hel"}])),
            ("[{\"role\": \"user\", \"cont", json!([{"role": "user"}])),
            ("[{\"role\": \"user\", \"content\"", json!([{"role": "user", "content": null}])),
            ("[{\"role\": \"user\", \"content\": ", json!([{"role": "user", "content": null}])),
            ("{\"a\": \"x\\", json!({"a": "x"})),
            ("{\"a\": \"x\\u00", json!({"a": "x"})),
            ("{\"a\": \"\\ud83d\\ude", json!({"a": "\u{fffd}"})),
            ("{\"a\": tru", json!({"a": null})),
            ("{\"a\": 12", json!({"a": 12})),
            ("{\"a\": 1, ", json!({"a": 1})),
        ] {
            assert_eq!(truncated_value(text), Some(expected), "{text}");
            assert!(repair(text, Truncation::Close).unwrap().was_truncated);
        }
        for nothing in ["[", "{", "[[", "{\"a"] {
            assert_eq!(truncated_value(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn a_value_nested_too_deep_is_null_and_its_siblings_stay() {
        let deep = format!("{}\"]\\\"\"{}", "[".repeat(5_000), "]".repeat(5_000));
        let repaired = repair(&format!("{{\"deep\": {deep}, \"b\": 1}}"), Truncation::Refuse).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&repaired.json).unwrap()["b"], 1);
    }

    fn json_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,12}".prop_map(Value::from),
            "[\"\\\\\n\u{0}a]{0,6}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-c\"]{0,3}", inner, 0..4).prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        /// Valid JSON is unchanged, and each prefix of it is repaired or refused.
        #[test]
        fn valid_json_is_unchanged(value in json_value(), cut in 0usize..200) {
            let text = value.to_string();
            prop_assert_eq!(self::value(&text), Some(value));
            let end = text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(cut).unwrap_or(text.len());
            let _parses_or_is_refused = truncated_value(text.get(..end).unwrap());
        }

        #[test]
        fn the_output_is_valid_json(text in "[\\[\\]{}:,\"\\\\ud8aN1e. \u{0}é]{0,40}") {
            for truncation in [Truncation::Refuse, Truncation::Close] {
                if let Some(repaired) = repair(&text, truncation) {
                    prop_assert!(serde_json::from_str::<Value>(&repaired.json).is_ok(), "{} -> {}", text, repaired.json);
                }
            }
        }
    }
}
