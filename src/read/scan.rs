//! Finds JSON values in a text that may contain several.

use std::ops::Range;

/// The ranges of the values in a text, in order. Values may be separated by white space, commas, byte order marks, record separators or zero
/// bytes. A value starts with a bracket or a quotation mark and extends to the matching one; anything else extends to the next bracket. So each
/// byte that is not a separator is in exactly one range, even if it is not JSON. Takes linear time.
pub fn values_in(text: &[u8]) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) = start_of_value(text, at) {
        let end = match text.get(start) {
            Some(b'{' | b'[') => end_of_brackets(text, start),
            Some(b'"') => end_of_string(text, start),
            _ => end_of_other(text, start),
        };
        found.push(start..end);
        at = end;
    }
    found
}

fn start_of_value(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        match text.get(at..).unwrap_or_default() {
            [] => return None,
            [0xef, 0xbb, 0xbf, ..] => at += 3,
            [byte, ..] if is_separator(*byte) => at += 1,
            _ => return Some(at),
        }
    }
}

fn is_separator(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b',' | super::RECORD_SEPARATOR | 0)
}

/// The position after the bracket that closes the one at `start`, or the end of the text.
fn end_of_brackets(text: &[u8], start: usize) -> usize {
    let (mut at, mut depth) = (start, 0_usize);
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' => {
                at = end_of_string(text, at);
                continue;
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

/// The position after the quotation mark that closes the one at `start`, or the end of the text.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(found) = text.get(at..).and_then(|rest| memchr::memchr2(b'"', b'\\', rest)) {
        at += found;
        if text.get(at) == Some(&b'"') {
            return at + 1;
        }
        at += 2;
    }
    text.len()
}

/// The end of something that is neither bracketed nor a string: the next bracket, without the separators before it.
fn end_of_other(text: &[u8], start: usize) -> usize {
    // Only opening brackets count, because a closing one has no match here.
    let rest = text.get(start..).unwrap_or_default();
    let length = memchr::memchr2(b'{', b'[', rest).unwrap_or(rest.len());
    let other = rest.get(..length).unwrap_or_default();
    let kept = other.iter().rposition(|byte| !is_separator(*byte)).map_or(1, |last| last + 1);
    let kept = if other.get(..kept).is_some_and(|other| other.ends_with(b"\xef\xbb\xbf") && kept > 3) { kept - 3 } else { kept };
    start + kept
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(text: &str) -> Vec<&str> {
        values_in(text.as_bytes()).into_iter().map(|range| text.get(range).unwrap()).collect()
    }

    #[test]
    fn values_are_found_with_any_separator_between_them() {
        for separator in ["", " ", ",", " ,\t", "\u{feff}", "\u{1e}", "\0", "\r\n"] {
            let values = [r#"{"a": "}{\"]"}"#, "[1, {}]", r#""te,xt""#, r#"{"b": [{}]}"#];
            assert_eq!(texts(&format!("{separator}{}{separator}", values.join(separator))), values, "{separator:?}");
        }
        assert_eq!(texts(""), [""; 0]);
        assert_eq!(texts(" ,\0"), [""; 0]);
    }

    #[test]
    fn text_that_is_not_json_is_in_a_range_too() {
        assert_eq!(texts(r#"2026-11-23 INFO, well {"a": 1} done"#), ["2026-11-23 INFO, well", r#"{"a": 1}"#, "done"]);
        assert_eq!(texts(r#"{"a": 1}}{"b": 1}"#), [r#"{"a": 1}"#, "}", r#"{"b": 1}"#]);
        assert_eq!(texts(r#"{"a": {"b": 1}{"c": 1}"#), [r#"{"a": {"b": 1}{"c": 1}"#]);
        assert_eq!(texts(r#"{"a": "cut"#), [r#"{"a": "cut"#]);
        assert_eq!(texts("x\u{feff}{}"), ["x", "{}"]);
    }

    proptest! {
        #[test]
        fn every_byte_except_separators_is_in_one_range(text in "[{}\\[\\]\",:\\\\a1 \u{feff}\u{1e}]{0,60}") {
            let bytes = text.as_bytes();
            let mut at = 0;
            for range in values_in(bytes) {
                prop_assert!(range.start >= at && range.end > range.start);
                prop_assert!(start_of_value(&bytes[at..range.start], 0).is_none());
                at = range.end;
            }
            prop_assert!(start_of_value(&bytes[at..], 0).is_none());
        }
    }
}
