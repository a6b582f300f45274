//! Completes the exceptions of programs in JavaScript, for every format.
//!
//! | recorded | taken as |
//! |---|---|
//! | message `429 Slow down\n\nRateLimitError: 429 Slow down\n    at f (a.mjs:1:2)` (LangChain.js) | type, message and stack trace |
//! | type `400`, the status of an error of the framework (Genkit) | the type that the stack trace names |
//! | type `Error` or a code, raised in the package `openai` | `openai.Error`: the SDKs of providers do not name their classes |
//!
//! The OpenTelemetry SDK for JavaScript takes an error's `code` as the type of the exception, and otherwise its `name`.

use memchr::memmem;

use super::error_text::{is_type_name, split_prefix};
use crate::model::{Exception, Span};

/// The start of a line of a stack trace.
const FRAME: &str = "\n    at ";

/// Completes the exceptions, and removes a stack trace from the status message.
pub(super) fn complete_failure(span: &mut Span) {
    for exception in &mut span.exceptions {
        complete(exception);
    }
    let message = span.status_message.as_deref().and_then(split_stack).map(|(_, message, _)| message.to_owned());
    if message.is_some() {
        span.status_message = message;
    }
}

fn complete(exception: &mut Exception) {
    if exception.stack.is_none()
        && let Some((kind, message, stack)) = split_stack(&exception.message)
    {
        let kind = if exception.kind.is_empty() { kind.to_owned() } else { std::mem::take(&mut exception.kind) };
        *exception = Exception { kind, message: message.to_owned(), stack: Some(stack.to_owned()) };
    }
    let Some((head, frames)) = exception.stack.as_deref().and_then(split_frames) else { return };
    if exception.kind.bytes().all(|byte| byte.is_ascii_digit()) {
        let kind = head.split_once(':').map_or(head, |(kind, _)| kind).trim();
        if is_type_name(kind) {
            exception.kind = kind.to_owned();
        }
    }
    let is_own_type = exception.kind.len() > "Error".len() && exception.kind.ends_with("Error");
    if !is_own_type && let Some(module) = provider_of(frames.lines().next().unwrap_or_default()) {
        exception.kind = format!("{module}.{}", exception.kind);
    }
}

/// Splits a text with a stack trace into type, message and trace. The text is the trace, which starts with `Type: message`, or the message and then
/// the trace.
fn split_stack(text: &str) -> Option<(&str, &str, &str)> {
    /// A message may have paragraphs; each is compared with its first line.
    const PARAGRAPHS_MAX: usize = 20;
    let (head, _) = split_frames(text)?;
    let first_line = head.lines().next().unwrap_or_default();
    let repeated = head.match_indices("\n\n").take(PARAGRAPHS_MAX).find_map(|(at, gap)| {
        let message = head.get(..at)?;
        let stack = text.get(at + gap.len()..)?;
        let rest = head.get(at..)?.trim();
        let (kind, again) = rest.split_once(':').unwrap_or((rest, ""));
        (is_type_name(kind) && again.trim_start().starts_with(first_line)).then_some((kind, message.trim(), stack.trim_start()))
    });
    repeated.or_else(|| split_prefix(head).map(|(kind, message)| (kind, message.trim(), text)))
}

/// Splits a text at its first frame: what is before, and the frames.
fn split_frames(text: &str) -> Option<(&str, &str)> {
    // The traces of Python are long, and have many lines that start alike.
    if text.starts_with("Traceback") {
        return None;
    }
    let at = memmem::find(text.as_bytes(), FRAME.as_bytes())?;
    text.get(..at).zip(text.get(at + FRAME.len()..))
}

/// The provider whose SDK contains a frame, as the name of its module in Python.
fn provider_of(frame: &str) -> Option<&'static str> {
    const PACKAGES: [(&str, &str); 8] = [
        ("/node_modules/openai/", "openai"),
        ("/node_modules/@anthropic-ai/sdk/", "anthropic"),
        ("/node_modules/@google/genai/", "google.genai.errors"),
        ("/node_modules/groq-sdk/", "groq"),
        ("/node_modules/together-ai/", "together"),
        ("/node_modules/cohere-ai/", "cohere"),
        ("/node_modules/@mistralai/mistralai/", "mistralai"),
        ("/node_modules/ollama/", "ollama"),
    ];
    PACKAGES.iter().find(|(package, _)| frame.contains(package)).map(|(_, module)| *module)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(kind: &str, message: &str, stack: Option<&str>) -> Span {
        let exception = Exception { kind: kind.into(), message: message.into(), stack: stack.map(str::to_owned) };
        let mut span = Span { exceptions: vec![exception], status_message: Some(message.into()), ..Span::default() };
        complete_failure(&mut span);
        span
    }

    #[test]
    fn a_stack_trace_is_split_from_the_message() {
        let stack = "RateLimitError: 429 Slow down\n\nSee: https://example.org\n\n    at f (a.mjs:1:2)\n    at async g (b.js:3:4)";
        let message = "429 Slow down\n\nSee: https://example.org";
        for text in [format!("{message}\n\n\n{stack}"), stack.to_owned()] {
            let span = completed("", &text, None);
            assert_eq!(span.exceptions, [Exception { kind: "RateLimitError".into(), message: message.into(), stack: Some(stack.into()) }]);
            assert_eq!(span.status_message.as_deref(), Some(message));
        }
        let other = completed("", "look\n    at this", None);
        assert_eq!((other.exceptions[0].kind.as_str(), other.status_message.as_deref()), ("", Some("look\n    at this")));
    }

    #[test]
    fn a_number_is_no_type() {
        let kind = |kind: &str, stack: Option<&str>| completed(kind, "m", stack).exceptions[0].kind.clone();
        assert_eq!(kind("404", Some("GenkitError: NOT_FOUND: m\n    at f (a.mjs:1:2)")), "GenkitError");
        assert_eq!(kind("ENOTFOUND", Some("Error: getaddrinfo\n    at f (node:dns:1:2)")), "ENOTFOUND");
        assert_eq!(kind("402", None), "402");
    }

    #[test]
    fn an_error_of_a_provider_names_its_package() {
        let kind = |kind: &str, frame: &str| {
            completed(kind, "m", Some(&format!("Error: m\n    at {frame}\n    at g (/app/a.mjs:1:2)"))).exceptions[0].kind.clone()
        };
        let openai = "APIError.generate (file:///app/node_modules/openai/core/error.mjs:59:20)";
        assert_eq!(kind("Error", openai), "openai.Error");
        assert_eq!(kind("insufficient_quota", openai), "openai.insufficient_quota");
        assert_eq!(kind("402", "Anthropic.request (/app/node_modules/@anthropic-ai/sdk/client.js:1:2)"), "anthropic.Error");
        assert_eq!(kind("RateLimitError", openai), "RateLimitError");
        assert_eq!(kind("Error", "f (/app/node_modules/express/index.js:1:2)"), "Error");
    }
}
