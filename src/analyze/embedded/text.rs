//! Bounded pieces of trace text, and the expressions that are searched in them.
//!
//! A trace may contain texts of many megabytes. Rules and heuristics read only a bounded part of each, so that the time for a trace does not
//! depend on the length of one field.

use regex::Regex;

use crate::limits::RULE_TEXT_END_BYTES_MAX;

/// Compiles an expression of this crate. Returns `None` for an invalid one, which the tests of its user rule out.
pub(super) fn expression(text: &'static str) -> Option<Regex> {
    Regex::new(text).ok()
}

/// The problem in an error message of the expression compiler: its last line. The lines before it repeat the expression.
pub(super) fn expression_problem(message: &str) -> &str {
    let last = message.trim_end().lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last)
}

/// The message in the text of a failure: the part before a Python stack trace, at most [`RULE_TEXT_END_BYTES_MAX`] long.
pub(super) fn message_of(text: &str) -> &str {
    // A text that is only a stack trace has no other message, so it is kept.
    let head = text.find("Traceback (most recent call last)").filter(|at| *at > 0).map_or(text, |at| text.get(..at).unwrap_or(text));
    clip(head)
}

/// The first [`RULE_TEXT_END_BYTES_MAX`] of a text, cut at a character boundary.
pub(super) fn clip(text: &str) -> &str {
    let mut end = text.len().min(RULE_TEXT_END_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}
