//! The error that a tool returned, and how a text describes one.

use super::result_text::{self, TextError};
use super::result_value::{Text, Value};
use super::signals::http_status;
use super::tool_nature::ToolNature;

/// An error that a tool returned.
#[derive(Debug, Default, PartialEq)]
pub(super) struct ToolError<'t> {
    /// The pieces of the result that say what happened, the most important first.
    pub(super) messages: Vec<&'t str>,
    /// As the result names it: `ValueError`, `not_in_channel`.
    pub(super) error_type: Option<String>,
    pub(super) http_status: Option<u16>,
    pub(super) exit_code: Option<i64>,
}

impl<'t> ToolError<'t> {
    pub(super) fn of_text(error: &TextError<'_>, message: &'t str) -> Self {
        Self {
            messages: vec![message],
            error_type: error.error_type.map(str::to_owned),
            http_status: error.http_status,
            exit_code: error.exit_code,
        }
    }

    pub(super) fn or_message(mut self, message: &'t str) -> Self {
        self.messages.retain(|message| !message.trim().is_empty());
        if self.messages.is_empty() {
            self.messages.push(message);
        }
        self
    }

    /// Adds what another description of the same error says.
    pub(super) fn joined(mut self, other: Self) -> Self {
        const MESSAGES_MAX: usize = 3;
        for message in other.messages {
            if self.messages.len() < MESSAGES_MAX && self.messages.iter().all(|known| !known.contains(message)) {
                self.messages.push(message);
            }
        }
        self.error_type = self.error_type.or(other.error_type);
        self.http_status = self.http_status.or(other.http_status);
        self.exit_code = self.exit_code.or(other.exit_code);
        self
    }
}

/// Bytes of a text that are read to judge it.
pub(super) const TEXT_BYTES_MAX: usize = 16 * 1024;

/// The texts of the content of a message.
pub(super) fn content_text<'t>(value: &Value<'t>) -> Vec<Text<'t>> {
    const PARTS_MAX: usize = 3;
    match value {
        Value::Text(text) => vec![*text],
        Value::List(list) => list.items.iter().take(PARTS_MAX).flat_map(content_text).collect(),
        Value::Object(part) => part.text(&["text", "message", "error", "content"]).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// The error that a text describes: its type and its HTTP status, if it names them.
pub(super) fn described(text: Text<'_>) -> ToolError<'_> {
    let decoded = text.decoded(TEXT_BYTES_MAX);
    match result_text::error_in_text(&decoded, ToolNature::default()) {
        Some(error) => ToolError::of_text(&error, piece_of(text.source, &decoded, error.message)),
        None => ToolError {
            messages: vec![text.source],
            http_status: http_status(&decoded).filter(|status| *status >= 400),
            ..ToolError::default()
        },
    }
}

/// The piece of the source for the end `message` of its decoded text. Escapes make the source longer, so that the last lines are counted from the end.
pub(super) fn piece_of<'t>(source: &'t str, decoded: &str, message: &str) -> &'t str {
    if decoded == source {
        return decoded.find(message).and_then(|at| source.get(at..at + message.len())).unwrap_or(source);
    }
    let Some(at) = decoded.find(message).filter(|at| *at > 0 && decoded.trim_end().ends_with(message.trim_end())) else { return source };
    let lines = decoded.get(at..).unwrap_or_default().trim_end().lines().count();
    let is_escape = |before: &str| before.ends_with('n') && before.trim_end_matches('n').ends_with('\\');
    let mut start = source.trim_end().trim_end_matches("\\n").len();
    for _ in 0..lines {
        let before = source.get(..start).unwrap_or_default();
        let Some(newline) = before.rmatch_indices('n').map(|(at, _)| at).find(|at| before.get(..=*at).is_some_and(is_escape)) else {
            return source;
        };
        start = newline;
    }
    source.get(start + 1..).unwrap_or(source)
}
