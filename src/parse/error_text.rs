//! Errors that come as one text: `Type('message')` and a traceback behind it, as LangSmith keeps them, or `Type: message`.

use std::sync::LazyLock;

use regex::Regex;

use super::python;
use crate::model::Exception;

const TRACEBACK: &str = "Traceback (most recent call last)";

/// Splits an error text into type, message and stack; what is not there stays empty.
///
/// LangSmith writes `repr(error)`, a blank line or none, and the traceback; an exception without a telling `repr` (pydantic's) is
/// followed by a traceback whose last line names its type.
pub(super) fn exception(text: &str) -> Exception {
    let at = text.find(TRACEBACK).unwrap_or(text.len());
    let (head, stack) = text.split_at_checked(at).unwrap_or((text, ""));
    let stack = (!stack.is_empty()).then(|| stack.to_owned());
    let head = head.trim();
    let of_traceback = || stack.as_deref().and_then(raised).unwrap_or_default();
    if let Some((kind, message)) = repr(head) {
        return Exception { kind, message, stack };
    }
    if let Some((kind, message)) = prefixed(head) {
        return Exception { kind: kind.to_owned(), message: message.to_owned(), stack };
    }
    Exception { kind: of_traceback(), message: head.to_owned(), stack }
}

/// `RateLimitError('Error code: 429')` -> type and message; the message is empty where the call has no text.
fn repr(head: &str) -> Option<(String, String)> {
    let (kind, rest) = head.split_once('(')?;
    if kind.is_empty() || !is_type_name(kind) {
        return None;
    }
    if rest.starts_with(')') {
        return Some((kind.to_owned(), String::new()));
    }
    match python::leading_text(rest) {
        Some((message, _)) => Some((kind.to_owned(), message)),
        // `KeyError(7)`: what stands in the parentheses is the message.
        None => Some((kind.to_owned(), rest.strip_suffix(')').unwrap_or(rest).to_owned())),
    }
}

/// `TimeoutError: too long` -> type and message.
pub(super) fn prefixed(text: &str) -> Option<(&str, &str)> {
    static TYPE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(
            r"^[A-Za-z_][\w.]{2,80}(?:Error|Exception|Exit|Interrupt|Violation|Timeout|Failure|Cancelled|NotFound|Exceeded|Group|Warning)$",
        )
        .ok()
    });
    let (kind, message) = text.split_once(':').unwrap_or((text, ""));
    TYPE.as_ref().is_some_and(|expression| expression.is_match(kind)).then_some((kind, message.trim_start()))
}

fn is_type_name(text: &str) -> bool {
    text.len() <= 120
        && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}

/// The type that the last traceback of a text ends with: the first line in the first column after its last frame,
/// `openai.RateLimitError: Error code …`.
fn raised(stack: &str) -> Option<String> {
    let last_frame = stack.rfind("\n  File \"").and_then(|at| stack.get(at + 1..))?;
    let line = last_frame.lines().find(|line| !line.starts_with([' ', '\t']) && !line.is_empty())?;
    let kind = line.split_once(':').map_or(line, |(kind, _)| kind);
    is_type_name(kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repr_with_a_traceback_is_split() {
        for gap in ["\n\n", ""] {
            let found = exception(&format!("RateLimitError(\"it's 429\"){gap}Traceback (most recent call last):\n  File \"a.py\"\n"));
            assert_eq!((found.kind.as_str(), found.message.as_str()), ("RateLimitError", "it's 429"));
            assert!(found.stack.unwrap().starts_with("Traceback"));
        }
        let found = exception("TimeoutError()\n\nTraceback (most recent call last):\n");
        assert_eq!((found.kind.as_str(), found.message.as_str()), ("TimeoutError", ""));
    }

    #[test]
    fn a_message_without_a_type_takes_it_from_the_traceback() {
        let found = exception(
            "1 validation error for Ticket\nurgency\n  Field required\n\nTraceback (most recent call last):\n  File \"a.py\", line 1\n\npydantic_core._pydantic_core.ValidationError: 1 validation error for Ticket\nurgency\n  Field required\n",
        );
        assert_eq!(found.kind, "pydantic_core._pydantic_core.ValidationError");
        assert!(found.message.starts_with("1 validation error"));
        assert_eq!(exception("it broke"), Exception { kind: String::new(), message: "it broke".into(), stack: None });
        assert_eq!(exception("ValueError: bad").kind, "ValueError");
    }
}
