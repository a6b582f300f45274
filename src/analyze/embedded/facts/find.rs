//! Reads values from the texts and attributes of an error by expressions that are compiled once.

use super::super::byte_regex::ByteRegex;

use super::{Case, FactName, Facts, Place};
use crate::model::Span;

/// Declares expressions. Alternatives of one are separate strings.
macro_rules! expressions {
    ($($name:ident = $($piece:literal),+;)*) => {
        $(static $name: $crate::analyze::embedded::byte_regex::ByteRegex =
            $crate::analyze::embedded::byte_regex::ByteRegex::new(concat!($($piece),+));)*
    };
}
pub(super) use expressions;

/// The first group of an expression that took part in the match.
pub(super) fn capture<'t>(expression: &ByteRegex, text: &'t str) -> Option<&'t str> {
    let captures = expression.captures(text)?;
    let found = captures.iter().skip(1).flatten().next()?;
    Some(found.as_str())
}

/// The group of an expression with a name.
pub(super) fn named<'t>(expression: &ByteRegex, text: &'t str, group: &str) -> Option<&'t str> {
    Some(expression.captures(text)?.name(group)?.as_str())
}

/// A name as the text gives it, without quotation marks and the punctuation of the sentence.
pub(super) fn bare(name: &str) -> &str {
    let name = name.trim().trim_matches(['"', '\'', '`', '“', '”', '‘', '’']).trim_end_matches(['.', ',', ':', ';', '!', '?']);
    if name.contains('(') { name } else { name.trim_end_matches(')') }
}

/// For each fact, the first value that its expression finds in the texts of the error.
pub(super) fn add_from_messages(case: &Case<'_, '_>, facts: &mut Facts, table: &[(&'static FactName, &ByteRegex)]) {
    let Some(span) = case.span() else { return };
    for (field, text) in case.messages() {
        for (name, expression) in table {
            if let Some(value) = capture(expression, text).map(bare).filter(|value| !value.is_empty()) {
                facts.add(name, value, Place::Field(span, field));
            }
        }
    }
}

/// The attributes of a span whose name ends in one of these words, with dots, dashes and capitals as they like: `max_turns` is also `acme.maxTurns`.
pub(super) fn attributes_ending_in<'t>(span: &'t Span, words: &'static [&'static str]) -> impl Iterator<Item = (&'t str, &'t str)> {
    // From the end, because names differ there, and without a copy, because there are many.
    let ends_in = |key: &str, word: &str| {
        let mut letters = key.bytes().rev().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase());
        word.bytes().rev().all(|byte| letters.next() == Some(byte))
    };
    let is_named = move |key: &str| words.iter().any(|word| ends_in(key, word));
    span.attributes
        .iter()
        .filter(move |attribute| is_named(&attribute.key))
        .map(|attribute| (attribute.key.as_str(), attribute.value.as_str()))
}

/// Names as a list of at most `names_max`: `a, b and 3 more`.
pub(super) fn listed<'n>(names: impl IntoIterator<Item = &'n str>, names_max: usize) -> String {
    const NAME_CHARS_MAX: usize = 40;
    let mut distinct: Vec<&str> = Vec::new();
    let mut more = 0_usize;
    for name in names {
        if name.is_empty() || distinct.contains(&name) {
            continue;
        }
        if distinct.len() < names_max { distinct.push(name) } else { more += 1 }
    }
    let mut words: Vec<String> = distinct.into_iter().map(|name| super::shortened(name, NAME_CHARS_MAX)).collect();
    if more > 0 {
        words.push("others".to_owned());
    }
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[test]
    fn attributes_are_found_in_any_spelling() {
        let attribute = |key: &str| Attribute { key: key.into(), value: "5".into() };
        let span = Span { attributes: ["acme.maxTurns", "max_turns", "agent.max-turns", "turns"].map(attribute).into(), ..Span::default() };
        assert_eq!(attributes_ending_in(&span, &["maxturns"]).count(), 3);
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(listed(["a", "b", "a"], 3), "a and b");
        assert_eq!(listed(["a"], 3), "a");
        assert_eq!(listed(["a", "b", "c", "d", "e"], 3), "a, b, c and others");
        assert_eq!(listed([], 3), "");
    }
}
