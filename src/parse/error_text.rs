//! Splits the text of an error into its type, message and stack trace.
//!
//! LangSmith stores `Type('message')` followed by a traceback, other exporters `Type: message`.

use memchr::memmem;

use super::python_repr;
use super::value::Value;
use crate::model::Exception;

const TRACEBACK: &str = "Traceback (most recent call last)";

/// Splits an error text. A part that is missing is empty.
///
/// LangSmith writes `repr(error)`, perhaps a blank line, and the traceback. Exceptions whose `repr` lacks their type (pydantic's) get the
/// type from the last line of the traceback.
pub(super) fn exception(text: &str) -> Exception {
    let stack_start = memmem::find(text.as_bytes(), TRACEBACK.as_bytes()).unwrap_or(text.len());
    let (head, stack) = text.split_at_checked(stack_start).unwrap_or((text, ""));
    let stack = (!stack.is_empty()).then(|| stack.to_owned());
    let head = head.trim();
    // Nothing but a traceback: its last line has the type and the message.
    if head.is_empty()
        && let Some(raised) = stack.as_deref().and_then(raised_in)
    {
        return Exception { stack, ..raised };
    }
    if let Some((kind, message)) = split_repr(head) {
        return Exception { kind, message, stack };
    }
    if let Some((kind, message)) = split_prefix(head) {
        return Exception { kind: kind.to_owned(), message: message.to_owned(), stack };
    }
    let kind = stack.as_deref().and_then(type_of_traceback).unwrap_or_default();
    Exception { kind, message: head.to_owned(), stack }
}

/// Splits the stack trace off the end of a text: of Python, JavaScript, Java or .NET.
pub(super) fn split_stack(text: &str) -> (&str, Option<&str>) {
    let first_frame = || {
        let mut starts = memmem::find_iter(text.as_bytes(), b"\n").map(|at| at + 1);
        starts.find(|start| text.get(*start..).is_some_and(is_frame))
    };
    let start = memmem::find(text.as_bytes(), TRACEBACK.as_bytes()).or_else(first_frame);
    let split = start.and_then(|start| text.split_at_checked(start));
    split.map_or((text, None), |(head, stack)| (head, Some(stack)))
}

/// Whether a text starts with a frame of JavaScript, Java or .NET: `    at lookup (tools.js:3:9)`, `\tat com.acme.Tools.lookup(Tools.java:17)`. "At
/// noon" names no place.
fn is_frame(text: &str) -> bool {
    const FRAME_BYTES_MAX: usize = 300;
    let indented = text.trim_start_matches([' ', '\t']);
    let Some(place) = indented.strip_prefix("at ").filter(|_| indented.len() < text.len()) else { return false };
    let place = place.as_bytes().get(..FRAME_BYTES_MAX).unwrap_or(place.as_bytes());
    let line = place.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let is_place = |pair: &[u8]| {
        matches!(pair, [b':', digit] if digit.is_ascii_digit()) || matches!(pair, [b'.', word] if word.is_ascii_alphanumeric())
    };
    line.contains(&b'(') || line.windows(2).any(is_place)
}

/// The type of an error that has none of its own: the first word of its message, `ToolException: …`, or what its stack trace names.
pub(super) fn kind_of(message: &str, stack: Option<&str>) -> Option<String> {
    let first_word = |line: &str| split_prefix(line.trim()).map(|(kind, _)| kind.to_owned());
    // LangChain.js writes the message, and then the stack trace, which repeats it after the type.
    let in_text = |text: &str| text.lines().next().and_then(first_word).or_else(|| text.lines().next_back().and_then(first_word));
    let in_stack =
        |stack: &str| if stack.contains(TRACEBACK) { type_of_traceback(stack) } else { stack.lines().next().and_then(first_word) };
    in_text(message.trim()).or_else(|| in_stack(stack?))
}

/// The exception in an object such as `{"name": "TypeError", "message": "…", "stack": "…"}`. A cause inside is added to the message: Logfire
/// writes `{"message": "Error running tool", "data": {"error": "…"}}`.
pub(super) fn exception_in(tree: &Value<'_>) -> Exception {
    let text = |keys: &[&str]| keys.iter().find_map(|key| tree.get(key).as_str()).unwrap_or_default().to_owned();
    let mut message = text(&["message", "msg", "detail", "error_message", "errorMessage", "description", "error", "reason"]);
    let holders = [tree.get("data"), tree.get("cause"), tree.get("error")];
    let cause = holders.into_iter().find_map(|holder| holder.first(&["error", "message", "detail"]).as_str());
    if let Some(cause) = cause.filter(|cause| !message.contains(cause)) {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(cause);
    }
    let stack = Some(text(&["stack", "stacktrace", "stack_trace", "traceback"])).filter(|stack| !stack.is_empty());
    Exception { kind: text(&["name", "type", "error_type", "errorType", "kind", "class", "code"]), message, stack }
}

/// `RateLimitError('Error code: 429')` -> type and message. The message is empty if there are no arguments.
fn split_repr(head: &str) -> Option<(String, String)> {
    let (kind, rest) = head.split_once('(')?;
    if kind.is_empty() || !is_type_name(kind) {
        return None;
    }
    if rest.starts_with(')') {
        return Some((kind.to_owned(), String::new()));
    }
    match python_repr::leading_string(rest) {
        Some((message, _)) => Some((kind.to_owned(), message)),
        // `KeyError(7)`: the arguments are the message.
        None => Some((kind.to_owned(), rest.strip_suffix(')').unwrap_or(rest).to_owned())),
    }
}

/// `TimeoutError: too long` -> type and message.
pub(super) fn split_prefix(text: &str) -> Option<(&str, &str)> {
    /// How names of exceptions end; other words before a colon are sentences (`Note: …`).
    const ENDINGS: [&str; 12] = [
        "Error",
        "Exception",
        "Exit",
        "Interrupt",
        "Violation",
        "Timeout",
        "Failure",
        "Cancelled",
        "NotFound",
        "Exceeded",
        "Group",
        "Warning",
    ];
    /// The length of what is before the ending.
    const PREFIX_BYTES: std::ops::RangeInclusive<usize> = 3..=81;
    let (kind, message) = text.split_once(':').unwrap_or((text, ""));
    let has_ending = |ending: &&str| kind.strip_suffix(*ending).is_some_and(|prefix| PREFIX_BYTES.contains(&prefix.len()));
    (is_type_name(kind) && ENDINGS.iter().any(has_ending)).then_some((kind, message.trim_start()))
}

/// The exceptions that led to the one of a Python stack trace, in the order in which they were raised.
pub(super) fn causes(stack: &str) -> Vec<Exception> {
    const LINKS: [&str; 2] = [
        "The above exception was the direct cause of the following exception:",
        "During handling of the above exception, another exception occurred:",
    ];
    /// Each search for a link reads the rest of the text.
    const CAUSES_MAX: usize = 50;
    let mut found = Vec::new();
    let mut rest = stack;
    while found.len() < CAUSES_MAX
        && let Some((block, after)) = LINKS.iter().filter_map(|link| rest.split_once(link)).min_by_key(|(block, _)| block.len())
    {
        found.extend(raised_in(block));
        rest = after;
    }
    found
}

/// The exception of one traceback: `Type: message` after the last frame. The message may have several lines.
fn raised_in(traceback: &str) -> Option<Exception> {
    let last_frame = traceback.rfind("\n  File \"").and_then(|at| traceback.get(at + 1..))?;
    let frame_lines = last_frame.split_inclusive('\n').take_while(|line| line.starts_with([' ', '\t']));
    let text = last_frame.get(frame_lines.map(str::len).sum::<usize>()..)?.trim_end();
    let (kind, message) = text.split_once(':').unwrap_or((text, ""));
    is_type_name(kind).then(|| Exception { kind: kind.to_owned(), message: message.trim_start().to_owned(), stack: None })
}

/// Whether a text can be the name of a type, with its modules. JavaScript allows `$`.
pub(super) fn is_type_name(text: &str) -> bool {
    const NAME_BYTES_MAX: usize = 120;
    text.len() <= NAME_BYTES_MAX
        && text.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '$' | '.'))
}

/// The type in the last line of a traceback, `openai.RateLimitError: Error code …`: the first unindented line after the last frame.
fn type_of_traceback(stack: &str) -> Option<String> {
    let last_frame = stack.rfind("\n  File \"").and_then(|at| stack.get(at + 1..))?;
    let line = last_frame.lines().find(|line| !line.starts_with([' ', '\t']) && !line.is_empty())?;
    let kind = line.split_once(':').map_or(line, |(kind, _)| kind);
    is_type_name(kind).then(|| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_trace_is_split_off_at_its_first_frame() {
        for (text, head) in [
            ("bad\n    at lookup (file:///app/tools.js:3:9)\n    at run (a.js:1:1)", "bad\n"),
            ("bad\n\tat com.acme.Tools.lookup(Tools.java:17)", "bad\n"),
            ("bad\n   at Acme.Tools.Lookup(String id) in /src/Tools.cs:line 12", "bad\n"),
            ("bad\nTraceback (most recent call last):\n  File \"a.py\"", "bad\n"),
            ("meet me\n at noon", "meet me\n at noon"),
        ] {
            assert_eq!(split_stack(text).0, head, "{text}");
        }
    }

    #[test]
    fn a_repr_is_split_from_its_traceback() {
        for gap in ["\n\n", ""] {
            let found = exception(&format!("RateLimitError(\"it's 429\"){gap}Traceback (most recent call last):\n  File \"a.py\"\n"));
            assert_eq!((found.kind.as_str(), found.message.as_str()), ("RateLimitError", "it's 429"));
            assert!(found.stack.unwrap().starts_with("Traceback"));
        }
        let found = exception("TimeoutError()\n\nTraceback (most recent call last):\n");
        assert_eq!((found.kind.as_str(), found.message.as_str()), ("TimeoutError", ""));
    }

    #[test]
    fn causes_are_found_in_the_order_of_the_stack_trace() {
        let stack = "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\n    ^^^\na.FirstError: one\n  detail\n\nThe above exception was the direct cause of the following exception:\n\nTraceback (most recent call last):\n  File \"b.py\", line 2\nSecondError\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"c.py\", line 3\nThirdError: three\n";
        let found: Vec<_> = causes(stack).into_iter().map(|cause| (cause.kind, cause.message)).collect();
        assert_eq!(found, [("a.FirstError".to_owned(), "one\n  detail".to_owned()), ("SecondError".to_owned(), String::new())]);
        assert!(causes("").is_empty());
    }

    #[test]
    fn the_type_comes_from_the_traceback_if_the_message_has_none() {
        let found = exception(
            "1 validation error for Ticket\nurgency\n  Field required\n\nTraceback (most recent call last):\n  File \"a.py\", line 1\n\npydantic_core._pydantic_core.ValidationError: 1 validation error for Ticket\nurgency\n  Field required\n",
        );
        assert_eq!(found.kind, "pydantic_core._pydantic_core.ValidationError");
        assert!(found.message.starts_with("1 validation error"));
        assert_eq!(exception("it broke"), Exception { kind: String::new(), message: "it broke".into(), stack: None });
        assert_eq!(exception("ValueError: bad").kind, "ValueError");
        let found = exception("Traceback (most recent call last):\n  File \"a.py\", line 1, in f\n    g()\nacme.BadOrder: no such order\n");
        assert_eq!((found.kind.as_str(), found.message.as_str(), found.stack.is_some()), ("acme.BadOrder", "no such order", true));
    }
}
