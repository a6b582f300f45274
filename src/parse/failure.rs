//! Completes what a failed span says about its failure, for every format: the type of an exception that only its message or its stack trace
//! names, the parts of a status message that contains a stack trace, and, as a last resort, an attribute that has the name of an error.
//!
//! | recorded | taken as |
//! |---|---|
//! | exception `{message: "ToolException: no such order"}` | its type is `ToolException` |
//! | status message `Order A-17 is late\n    at lookup (file:///app/tools.js:3:9)` | the message and the stack trace of an exception |
//! | no text at all, `acme.step.error = "no such order"` | the status message |

use std::borrow::Cow;

use super::error_text;
use super::value::Value;
use crate::model::{Exception, Part, Span, Status};

/// Completes the exceptions and the status message of a span.
pub(super) fn infer_failure(span: &mut Span) {
    for exception in &mut span.exceptions {
        if exception.kind.is_empty() {
            exception.kind = error_text::kind_of(&exception.message, exception.stack.as_deref()).unwrap_or_default();
        }
    }
    if span.status == Status::Error {
        split_status_message(span);
    }
    if span.failed() && !has_cause(span) {
        find_cause(span);
    }
}

/// Makes an exception of a status message that contains a stack trace, unless the span has exceptions.
fn split_status_message(span: &mut Span) {
    if !span.exceptions.is_empty() {
        return;
    }
    let Some(message) = span.status_message.as_deref() else { return };
    let (head, Some(stack)) = error_text::split_stack(message) else { return };
    let kind = error_text::kind_of(head, Some(stack)).unwrap_or_default();
    span.exceptions.push(Exception { kind, message: head.trim().to_owned(), stack: Some(stack.to_owned()) });
}

/// Whether the span says why it failed, if only by a type.
fn has_cause(span: &Span) -> bool {
    let is_text = |text: Option<&str>| text.is_some_and(|text| !text.trim().is_empty());
    is_text(span.status_message.as_deref())
        || span.error_type.as_deref().is_some_and(is_error_type)
        || span.exceptions.iter().any(|exception| !exception.message.trim().is_empty() || !exception.kind.is_empty())
}

/// `_OTHER` is OpenTelemetry's word for a type that is not known.
fn is_error_type(kind: &str) -> bool {
    !matches!(kind, "" | "_OTHER" | "unknown" | "error" | "Error")
}

/// Takes the first unmapped attribute that has the name of an error as the status message.
fn find_cause(span: &mut Span) {
    let found = span.attributes.iter().find_map(|attribute| {
        let text = attribute.value.trim();
        if !has_name_of_error(&attribute.key) || is_flag(text) {
            return None;
        }
        let value = Value::Text(Cow::Borrowed(text));
        let exception = value.any_tree().map(|tree| error_text::exception_in(&tree)).filter(|found| !found.message.is_empty());
        Some(exception.unwrap_or_else(|| Exception { message: text.to_owned(), ..Exception::default() }))
    });
    if let Some(exception) = found {
        span.inferred.insert(Part::Error);
        span.status_message = Some(exception.message.clone());
        if !exception.kind.is_empty() || exception.stack.is_some() {
            span.exceptions.push(exception);
        }
    }
}

fn is_flag(text: &str) -> bool {
    text.is_empty()
        || text.bytes().all(|byte| byte.is_ascii_digit())
        || ["true", "false", "none", "null", "{}", "[]"].iter().any(|flag| text.eq_ignore_ascii_case(flag))
}

/// Whether a key ends in a word for an error: `acme.step.error`, `toolError`, `run.error_message`.
fn has_name_of_error(key: &str) -> bool {
    const NAMES: [&str; 22] = [
        "error",
        "errors",
        "err",
        "exception",
        "errormessage",
        "errormsg",
        "errortext",
        "errordetail",
        "errordetails",
        "errordescription",
        "errorreason",
        "exceptionmessage",
        "exceptiontext",
        "failure",
        "failurereason",
        "failuremessage",
        "failurecause",
        "statusmessage",
        "statusdescription",
        "stacktrace",
        "traceback",
        "faultstring",
    ];
    // The last segments are compared without separators: `error.message`, `error_message` and `errorMessage` are the same.
    let segments = || key.rsplit(['.', '_', '-', ' ', '/']);
    let last: String = segments().next().unwrap_or_default().to_ascii_lowercase();
    let last_two: String = segments().take(2).collect::<Vec<_>>().into_iter().rev().collect::<String>().to_ascii_lowercase();
    // `toolError`: the last word of a name in camel case.
    let last_word = key.rfind(|c: char| c.is_ascii_uppercase()).and_then(|at| key.get(at..)).unwrap_or_default().to_ascii_lowercase();
    [last, last_two, last_word].iter().any(|name| NAMES.contains(&name.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(span: Span) -> Span {
        let mut span = Span { status: Status::Error, ..span };
        infer_failure(&mut span);
        span
    }

    fn with_attribute(key: &str, value: &str) -> Span {
        let attribute = crate::model::Attribute { key: key.into(), value: value.into() };
        failed(Span { attributes: vec![attribute], ..Span::default() })
    }

    #[test]
    fn the_type_of_an_exception_comes_from_its_message_or_its_stack() {
        for (message, stack, kind) in [
            ("ToolException: no such order", None, "ToolException"),
            ("no such order", Some("OrderNotFoundError: no such order\n    at lookup (file:///app/tools.js:3:9)"), "OrderNotFoundError"),
            (
                "bad",
                Some("java.lang.IllegalStateException: bad\n\tat com.acme.Tools.lookup(Tools.java:17)"),
                "java.lang.IllegalStateException",
            ),
            ("bad", Some("Traceback (most recent call last):\n  File \"a.py\", line 1\nacme.BadOrder: bad\n"), "acme.BadOrder"),
            ("lookup() got an unexpected keyword argument 'id'", None, ""),
        ] {
            let exception = Exception { message: message.into(), stack: stack.map(str::to_owned), ..Exception::default() };
            let span = failed(Span { exceptions: vec![exception], ..Span::default() });
            assert_eq!(span.exceptions[0].kind, kind, "{message}");
        }
    }

    #[test]
    fn a_stack_trace_is_split_from_a_status_message() {
        for (text, kind, message) in [
            (
                "no such order\n\nOrderNotFoundError: no such order\n    at lookup (file:///app/tools.js:3:9)",
                "OrderNotFoundError",
                "no such order\n\nOrderNotFoundError: no such order",
            ),
            (
                "OrderNotFoundError: no such order\n    at lookup (file:///app/tools.js:3:9)",
                "OrderNotFoundError",
                "OrderNotFoundError: no such order",
            ),
            (
                "KeyError('A-17')Traceback (most recent call last):\n  File \"a.py\", line 1\nKeyError: 'A-17'",
                "KeyError",
                "KeyError('A-17')",
            ),
            ("Traceback (most recent call last):\n  File \"a.py\", line 1\nacme.BadOrder: no such order", "acme.BadOrder", ""),
        ] {
            let span = failed(Span { status_message: Some(text.into()), ..Span::default() });
            let exception = &span.exceptions[0];
            assert_eq!((exception.kind.as_str(), exception.message.as_str()), (kind, message), "{text}");
            assert_eq!(span.status_message.as_deref(), Some(text));
        }
        assert!(failed(Span { status_message: Some("no such order".into()), ..Span::default() }).exceptions.is_empty());
    }

    #[test]
    fn an_attribute_with_the_name_of_an_error_is_the_last_resort() {
        for key in ["acme.step.error", "toolError", "run.error_message", "acme.failure.reason", "crew.errorDetails", "exception"] {
            let span = with_attribute(key, "no such order");
            assert_eq!((span.status_message.as_deref(), span.inferred.contains(Part::Error)), (Some("no such order"), true), "{key}");
        }
        let span = with_attribute("acme.error", r#"{"type":"OrderNotFound","message":"no such order"}"#);
        assert_eq!((span.status_message.as_deref(), span.exceptions[0].kind.as_str()), (Some("no such order"), "OrderNotFound"));
        for (key, value) in [("acme.error_count", "several"), ("acme.mirror", "on the wall"), ("tool.error", "true"), ("acme.error", "7")] {
            assert_eq!(with_attribute(key, value).status_message, None, "{key}");
        }
    }
}
