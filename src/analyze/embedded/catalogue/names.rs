//! Finds the names of exception classes and the error codes that an incident mentions: its recorded types, and words of its texts along the whole
//! chain of causes (`RunError: step failed … caused by: openai.RateLimitError: …`, `{"error": {"code": "insufficient_quota"}}`).

use super::super::incident::Incident;
use super::super::text::ends_of;
use crate::limits::EXCEPTIONS_READ_MAX;
use crate::model::last_segment;

/// Words of one text that are looked up.
const WORDS_MAX: usize = 2_000;

/// Where a name occurs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// It is recorded as the type of the error.
    Type,
    /// It is the value of a field for codes: `"code": "timeout"`, `status=UNAVAILABLE`.
    Code,
    /// It is followed by a message, as an exception is written: `openai.RateLimitError: …`, `TimeoutError('…')`.
    Raised,
    /// It is any other word.
    Text,
}

/// A name or a code in an incident.
#[derive(Debug, Clone)]
pub(super) struct Mention<'t> {
    pub(super) text: &'t str,
    pub(super) place: Place,
    pub(super) field: String,
}

impl<'t> Mention<'t> {
    /// The text, if it can be the name of a class: in a text, only words that look like one.
    pub(super) fn class_name(&self) -> Option<&'t str> {
        let bare = last_segment(self.text);
        let is_named_like_a_class = match self.place {
            Place::Type => true,
            Place::Raised => bare.starts_with(|c: char| c.is_ascii_uppercase()),
            Place::Code | Place::Text => words_of(bare) >= 2 && ENDINGS.iter().any(|ending| bare.ends_with(ending)),
        };
        is_named_like_a_class.then_some(self.text)
    }
}

/// Endings of the names of exceptions.
const ENDINGS: [&str; 14] = [
    "Error",
    "Exception",
    "Timeout",
    "Exceeded",
    "NotFound",
    "Failure",
    "Failed",
    "Fault",
    "Denied",
    "Cancelled",
    "Exhausted",
    "Unavailable",
    "Interrupt",
    "Violation",
];

/// Whether a code is a number, also a negative one or one with leading zeros.
pub(super) fn is_number(code: &str) -> bool {
    let digits = code.strip_prefix('-').unwrap_or(code);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words of an incident that name a service, in lower case: its types, its provider, and its texts.
pub(super) fn context(incident: &Incident<'_>) -> String {
    const TEXT_BYTES_MAX: usize = 500;
    let span = incident.span;
    let system = ["db.system.name", "db.system", "rpc.system"].iter().find_map(|key| span.attribute(key));
    let types = incident
        .error_type
        .as_deref()
        .into_iter()
        .chain(span.exceptions.iter().take(EXCEPTIONS_READ_MAX).map(|exception| exception.kind.as_str()));
    let names = types.chain(span.provider.as_deref()).chain(span.model.as_deref()).chain(system);
    let texts = incident.texts.iter().map(|(_, text)| {
        let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.get(..end).unwrap_or_default()
    });
    names.chain(texts).map(str::to_lowercase).collect::<Vec<_>>().join(" ")
}

/// Every mention of an incident, the recorded types first.
pub(super) fn mentions<'i>(incident: &'i Incident<'_>) -> impl Iterator<Item = Mention<'i>> {
    let recorded = incident.error_type.iter().map(|kind| (kind.as_str(), "error_type".to_owned()));
    let exceptions = incident.span.exceptions.iter().enumerate().take(EXCEPTIONS_READ_MAX);
    let raised = exceptions.map(|(number, exception)| (exception.kind.as_str(), format!("exceptions[{number}].type")));
    let types = recorded.chain(raised).filter(|(kind, _)| !kind.is_empty());
    let types = types.map(|(text, field)| Mention { text, place: Place::Type, field });
    // The state of a database is recorded beside the message: `db_status=42P01`.
    let states = incident.signals.iter().filter_map(|signal| Some((signal.text.strip_prefix("db_status=")?, signal.field.clone()?)));
    let types = types.chain(states.map(|(text, field)| Mention { text, place: Place::Code, field }));
    let texts = incident.texts.iter().flat_map(|(field, text)| ends_of(text).map(move |end| (field, end)));
    types.chain(texts.flat_map(|(field, text)| {
        words(text).take(WORDS_MAX).map(move |(word, place)| Mention { text: word, place, field: field.clone() })
    }))
}

/// The words of a text that may be names or codes, with their places.
fn words(text: &str) -> impl Iterator<Item = (&str, Place)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let start = at + text.get(at..)?.find(is_word_start)?;
            let end = start + word_length(text.get(start..)?);
            at = end;
            let word = text.get(start..end)?.trim_end_matches(['.', '-', '$']);
            if word.len() >= 3 {
                let following = text.get(start + word.len()..).and_then(|after| after.chars().next());
                return Some((word, place_of(text, start, word, following)));
            }
        }
    })
}

fn is_word_start(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

/// The length of the word at the start of a text. Colons join the names of a path: `reqwest::Error`, `net::ERR_FAILED`.
fn word_length(text: &str) -> usize {
    let mut length = 0;
    while let Some(rest) = text.get(length..) {
        let part = rest.find(|c: char| !(is_word_start(c) || matches!(c, '.' | '$'))).unwrap_or(rest.len());
        length += part;
        let joined = text.get(length..).and_then(|rest| rest.strip_prefix("::")).is_some_and(|next| next.starts_with(is_word_start));
        if !joined {
            break;
        }
        length += 2;
    }
    length
}

/// The place of a word that starts at `start` and is followed by a character.
fn place_of(text: &str, start: usize, word: &str, following: Option<char>) -> Place {
    /// The longest `"error_code": "` before a code.
    const FIELD_BYTES_MAX: usize = 40;
    if matches!(following, Some(':' | '(')) && word.starts_with(|c: char| c.is_ascii_alphabetic()) {
        return Place::Raised;
    }
    let mut from = start.saturating_sub(FIELD_BYTES_MAX);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    let before = text.get(from..start).unwrap_or_default();
    let before = before.trim_end_matches(['"', '\'', ' ', '\\', '[', '(', '<', '`']);
    let field = before.strip_suffix([':', '=']).map(|field| field.trim_end_matches(['"', '\'', ' ', '\\', '`']));
    let name_start = |field: &str| field.rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_').map_or(0, |at| at + 1);
    let is_field = field.is_some_and(|field| field.get(name_start(field)..).is_some_and(is_code_field));
    if is_field { Place::Code } else { Place::Text }
}

/// Whether a field contains a code.
fn is_code_field(name: &str) -> bool {
    const FIELDS: [&str; 19] = [
        "code",
        "type",
        "status",
        "reason",
        "errorcode",
        "errortype",
        "statuscode",
        "errno",
        "name",
        "kind",
        "sqlstate",
        "finishreason",
        "error",
        "errname",
        "errorname",
        "exception",
        "blockreason",
        "state",
        "codename",
    ];
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
    FIELDS.contains(&plain.as_str()) || plain.ends_with("errorcode") || plain.ends_with("errortype")
}

/// Whether a code cannot be an ordinary word or number, so that it is one wherever it occurs: `insufficient_quota`, `ECONNREFUSED`,
/// `ThrottlingException`.
pub(super) fn stands_for_itself(code: &str) -> bool {
    let has_letter = code.contains(|c: char| c.is_ascii_alphabetic());
    // Parameters of requests, which messages mention for many reasons.
    if matches!(
        code,
        "max_tokens" | "max_output_tokens" | "max_completion_tokens" | "max_new_tokens" | "tool_calls" | "end_turn" | "stop_sequence"
    ) {
        return false;
    }
    let is_joined = code.contains('_') || (code.contains(['-', '.', ':']) && code.len() >= 8);
    let is_upper = code.len() >= 6 && code.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    has_letter && (is_joined || (is_upper && !ORDINARY_UPPER.contains(&code)) || words_of(code) >= 2)
}

/// Codes in capitals that are also ordinary words of logs.
const ORDINARY_UPPER: [&str; 16] = [
    "ABORTED",
    "CANCELLED",
    "CANCELED",
    "UNKNOWN",
    "INTERNAL",
    "FAILED",
    "FAILURE",
    "REJECTED",
    "BLOCKED",
    "SAFETY",
    "LANGUAGE",
    "INVALID",
    "EXPIRED",
    "TIMEOUT",
    "UNAVAILABLE",
    "NOTFOUND",
];

/// The words of a name in camel case: `RateLimitError` has three.
fn words_of(name: &str) -> usize {
    let bytes = name.as_bytes();
    let starts = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_uppercase) && bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
    (0..bytes.len()).filter(|at| starts(*at)).count()
}

/// The ends of a class name that start with a word: `OrderServiceTimeoutError` ends in `ServiceTimeoutError` and `TimeoutError`. A single word such as
/// `Error` is no name.
pub(super) fn suffixes(name: &str) -> impl Iterator<Item = &str> {
    let bytes = name.as_bytes();
    let is_start = move |at: &usize| {
        bytes.get(*at).is_some_and(u8::is_ascii_uppercase)
            && (bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase) || bytes.get(at.wrapping_sub(1)).is_some_and(u8::is_ascii_lowercase))
    };
    (1..bytes.len()).filter(is_start).filter_map(move |at| name.get(at..)).filter(|suffix| words_of(suffix) >= 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str, word: &str) -> Option<Place> {
        words(text).find(|(found, _)| *found == word).map(|(_, place)| place)
    }

    #[test]
    fn names_and_codes_are_found_in_every_notation() {
        for (text, word, place) in [
            ("RunError: step failed, caused by: openai.RateLimitError: slow down", "openai.RateLimitError", Place::Raised),
            ("RetryError[<Future raised TimeoutError>]", "TimeoutError", Place::Text),
            ("raised TimeoutError('slow')", "TimeoutError", Place::Raised),
            (r#"{"error": {"type": "overloaded_error"}}"#, "overloaded_error", Place::Code),
            (r#"{\"code\":\"timeout\"}"#, "timeout", Place::Code),
            ("{'code': 'timeout', 'param': None}", "timeout", Place::Code),
            ("got status: UNAVAILABLE. {", "UNAVAILABLE", Place::Code),
            ("status=UNAVAILABLE", "UNAVAILABLE", Place::Code),
            ("status:UNAVAILABLE", "UNAVAILABLE", Place::Code),
            ("rpc error: code = Unavailable desc = x", "Unavailable", Place::Code),
            ("connect ECONNREFUSED 127.0.0.1:5432", "ECONNREFUSED", Place::Text),
            ("thread panicked: reqwest::Error::Timeout", "reqwest::Error::Timeout", Place::Text),
            ("the timeout was short", "timeout", Place::Text),
        ] {
            assert_eq!(find(text, word), Some(place), "{text}");
        }
    }

    #[test]
    fn codes_that_are_ordinary_words_need_a_field() {
        for code in [
            "insufficient_quota",
            "ECONNREFUSED",
            "ThrottlingException",
            "ERR_MODULE_NOT_FOUND",
            "net::ERR_FAILED",
            "GRAPH_RECURSION_LIMIT",
        ] {
            assert!(stands_for_itself(code), "{code}");
        }
        for code in ["timeout", "1113", "42P01", "UNAVAILABLE", "forbidden", "Unavailable", "-32601"] {
            assert!(!stands_for_itself(code), "{code}");
        }
    }

    #[test]
    fn a_name_has_suffixes_of_several_words() {
        assert_eq!(suffixes("OrderServiceTimeoutError").collect::<Vec<_>>(), ["ServiceTimeoutError", "TimeoutError"]);
        assert_eq!(suffixes("OpenAIRateLimitError").collect::<Vec<_>>(), ["AIRateLimitError", "RateLimitError", "LimitError"]);
        assert_eq!(suffixes("AppError").count(), 0);
    }
}
