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

/// The message in the text of a failure: the part before a stack trace of Python, JavaScript, Java or .NET, at most
/// [`RULE_TEXT_END_BYTES_MAX`] long. Names of files and functions in a stack trace would look like words of the message.
pub(super) fn message_of(text: &str) -> &str {
    const STARTS: [&str; 4] = ["Traceback (most recent call last)", "\n    at ", "\n\tat ", "\n   at "];
    let start = STARTS.iter().filter_map(|start| text.find(start)).min();
    match start.and_then(|start| text.get(..start)) {
        None => clip(text),
        Some(head) if !head.trim().is_empty() => clip(head),
        Some(_) => clip(end_of_traceback(text)),
    }
}

/// The error at the end of a Python stack trace, which follows the last frame without indentation. Other texts are returned unchanged.
fn end_of_traceback(text: &str) -> &str {
    let last_frame = text.rfind("\n  File \"").and_then(|at| text.get(at + 1..)).unwrap_or_default();
    let mut rest = last_frame;
    while let Some((line, after)) = rest.split_once('\n') {
        rest = after;
        if line.starts_with(' ') && !after.starts_with(' ') && !after.trim().is_empty() {
            return after;
        }
    }
    text
}

/// The first [`RULE_TEXT_END_BYTES_MAX`] of a text, cut at a character boundary.
pub(super) fn clip(text: &str) -> &str {
    let mut end = text.len().min(RULE_TEXT_END_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// The first and the last [`RULE_TEXT_END_BYTES_MAX`] of a text; a short text is returned whole.
pub(super) fn ends_of(text: &str) -> impl Iterator<Item = &str> {
    let mut start = text.len().saturating_sub(RULE_TEXT_END_BYTES_MAX).max(clip(text).len());
    while !text.is_char_boundary(start) {
        start += 1;
    }
    std::iter::once(clip(text)).chain(text.get(start..).filter(|end| !end.is_empty()))
}
