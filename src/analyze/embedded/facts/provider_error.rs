//! What an API says about an error in its own fields: the message, the code and the type.

use super::super::byte_regex::ByteRegex;

use super::super::text::clip;
use super::names::fact_names;
use super::quote::quote;
use super::step::attempts_at;
use super::texts::{Source, attribute, find};
use super::{Case, Extractor, Facts, Place};
use crate::model::SpanKind;

fact_names! {
    PROVIDER_MESSAGE = "provider_message", Text, "the message of the API or its client";
    PROVIDER_ERROR_CODE = "provider_error_code", Text, "the error code of the API";
    PROVIDER_ERROR_TYPE = "provider_error_type", Text, "the error type of the API";
    LAST_REQUEST_ID = "last_request_id", Text, "the id of the request of the last attempt, for which the support of the provider asks";
    PROVIDER_OPERATION = "provider_operation", Text, "the operation that was called";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of a message; longer ones are cut between words.
const MESSAGE_CHARS_MAX: usize = 200;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    add_request_id(case, facts);
    let is_provider = case.label.category() == "provider_error";
    if !is_provider && !case.is(&["safety_filter", "context_window_exceeded"]) {
        return;
    }
    let sources = case.error_texts();
    add_facts(sources, facts);
}

/// The id that the API gave the request of the last attempt: from its error, or from a header that is recorded as an attribute.
fn add_request_id(case: &Case<'_, '_>, facts: &mut Facts) {
    const NAMES: [&str; 8] = [
        "requestid",
        "xrequestid",
        "xamznrequestid",
        "xamzrequestid",
        "apimrequestid",
        "xmsrequestid",
        "openairequestid",
        "anthropicrequestid",
    ];
    let Some(root) = case.root else { return };
    let Some(last) = attempts_at(case, root).last().copied() else { return };
    let message = last.status_message.iter().map(|text| ("status_message".to_owned(), text.as_str()));
    let exceptions = last.exceptions.iter().enumerate().next_back();
    let exceptions = exceptions.map(|(index, exception)| (format!("exceptions[{index}].message"), exception.message.as_str()));
    if let Some((field, id)) = message.chain(exceptions).find_map(|(field, text)| Some((field, request_id(clip(text))?))) {
        facts.add(&LAST_REQUEST_ID, id, Place::Field(last, &field));
        return;
    }
    // A request id of an application's own span is that of its caller.
    let call = Some(last).filter(|span| matches!(span.kind, SpanKind::Llm | SpanKind::Embedding));
    if let Some(source) = attribute(call.as_slice(), &NAMES) {
        let id = source.text.trim().trim_matches(['[', ']', '"', '\'']);
        if is_id(id) {
            facts.add(&LAST_REQUEST_ID, id, source.place());
        }
    }
}

/// The id of a request in a text: `request_id='req_011C'`, `(request id: 8f1c-…)`, `RequestId: …`, `x-request-id: …`.
fn request_id(text: &str) -> Option<&str> {
    static NAMED: ByteRegex = ByteRegex::new(concat!(
        r#"(?i)request[-_ ]?id\\?["']?\s?(?:[:=]|is)\s?\\?["'`]?([0-9A-Za-z][0-9A-Za-z_:.-]{6,70}[0-9A-Za-z])|"#,
        r"request[-_ ]id [`'\x22(]?([0-9A-Za-z][0-9A-Za-z_-]{6,70}[0-9A-Za-z])",
    ));
    static PREFIXED: ByteRegex = ByteRegex::new(r"(?-u:\b)(req_[0-9A-Za-z]{10,64})(?-u:\b)");
    let named = NAMED.captures(text).and_then(|captures| captures.iter().skip(1).flatten().next());
    let prefixed = || PREFIXED.captures(text)?.get(1);
    named.filter(|found| is_id(found.as_str())).or_else(prefixed).map(|found| found.as_str())
}

/// Whether a word is an id: ids have digits.
fn is_id(word: &str) -> bool {
    (8..=72).contains(&word.len()) && word.bytes().any(|byte| byte.is_ascii_digit()) && !word.contains(char::is_whitespace)
}

fn add_facts(sources: &[Source<'_>], facts: &mut Facts) {
    static MESSAGE: ByteRegex = ByteRegex::new(concat!(
        r#"["'](?:message|msg|detail|error_description)\\?["']\s*:\s*(?:\\"((?:[^"\\]|\\[^"]){3,}?)\\"|"((?:[^"\\]|\\.){3,})"|'((?:[^'\\]|\\.){3,})')|"#,
        r#"["']error\\?["']\s*:\s*(?:"((?:[^"\\]|\\.){3,})"|'((?:[^'\\]|\\.){3,})')"#,
    ));
    static AFTER_PREFIX: ByteRegex = ByteRegex::new(concat!(
        r"(?:^|\n)\s*(?:Error: )?(?:(?:[0-9A-Za-z_.]{3,}(?:Error|Exception|Exceeded|Timeout)): )*(?:[0-9A-Za-z_]{3,40}Exception - )?(?:Error code: [0-9]{3} - |[45][0-9]{2}:? |HTTP [45][0-9]{2}:? )?",
        r"(?:[A-Z_]{4,40}\. )?(?:An error occurred \([0-9A-Za-z_]+\) when calling the [0-9A-Za-z_]+ operation(?: \(reached max retries: [0-9]+\))?: )?([^\s{<\[(][^\n]{2,})",
    ));
    static CODE: ByteRegex = ByteRegex::new(
        r#"["'](?:code|error_code|errorCode|reason|status)\\?["']\s*:\s*\\?["']([A-Za-z][0-9A-Za-z_.-]{2,})\\?["']|An error occurred \(([0-9A-Za-z_]{3,})\) when calling|(?-u:\b)[45][0-9]{2} ([A-Z]{3,}(?:_[A-Z]+)+)(?-u:\b)"#,
    );
    static TYPE: ByteRegex = ByteRegex::new(r#"["']type\\?["']\s*:\s*\\?["']([A-Za-z][0-9A-Za-z_.]{2,})\\?["']"#);
    static OPERATION: ByteRegex = ByteRegex::new(
        r"(?-u:\b)when calling the ([0-9A-Za-z_]{3,40}) operation(?-u:\b)|(?-u:\b)Requests to the ([0-9A-Za-z_]{3,}) Operation(?-u:\b)|(?-u:\b)not supported for ([0-9A-Za-z_]{3,40})(?-u:\b)",
    );
    // A wrapper may say nothing itself: `The following component failed to run:`, followed by what its SDK raised.
    static OF_SDK: ByteRegex = ByteRegex::new(r"Error code: [0-9]{3} - ([^\s{<\[(\n][^\n]+)");
    let message = find(sources, &MESSAGE).or_else(|| find(sources, &OF_SDK)).or_else(|| find(sources, &AFTER_PREFIX));
    if let Some((source, captures)) = message
        && let Some(found) = captures.iter().skip(1).flatten().next()
    {
        let text = unescaped(found.as_str());
        let text = text.trim();
        let text = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).filter(|inside| !inside.contains('"')).unwrap_or(text);
        let text = text.trim_end_matches('.');
        if text.chars().any(char::is_alphabetic) && !text.ends_with(':') {
            facts.add(&PROVIDER_MESSAGE, quote(text, MESSAGE_CHARS_MAX), source.place());
        }
    }
    if let Some((source, captures)) = find(sources, &CODE)
        && let Some(code) = captures.iter().skip(1).flatten().next()
    {
        facts.add(&PROVIDER_ERROR_CODE, code.as_str(), source.place());
    }
    for source in sources {
        // Anthropic wraps its errors in an object of the type `error`.
        let types = TYPE.captures_iter(source.text).filter_map(|captures| captures.get(1)).map(|found| found.as_str());
        if let Some(kind) = types.into_iter().find(|kind| !matches!(*kind, "error" | "text" | "object" | "string" | "function")) {
            facts.add(&PROVIDER_ERROR_TYPE, kind, source.place());
            break;
        }
    }
    if let Some((source, captures)) = find(sources, &OPERATION)
        && let Some(name) = captures.iter().skip(1).flatten().next()
    {
        facts.add(&PROVIDER_OPERATION, name.as_str(), source.place());
    }
}

/// A text without the escapes of JSON and of Python.
fn unescaped(text: &str) -> String {
    text.replace("\\n", " ").replace("\\t", " ").replace("\\\"", "\"").replace("\\'", "'").replace("\\/", "/")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn ids_of_requests_are_read_in_the_notations_of_apis() {
        for (text, expected) in [
            (
                "{'type': 'error', 'error': {'type': 'overloaded_error'}, 'request_id': 'req_011CUZRT2E7vSQVqbdCpg9ARMxFU'}",
                Some("req_011CUZRT2E7vSQVqbdCpg9ARMxFU"),
            ),
            ("Please include the request ID req_9f3e2a1b0c4d5e6f in your message.", Some("req_9f3e2a1b0c4d5e6f")),
            ("Request id: 021765432100aabb", Some("021765432100aabb")),
            (
                "(Service: BedrockRuntime, Status Code: 429, Request ID: 4f0c6c8e-7a1b-4c9d-9b1e-0a1b2c3d4e5f)",
                Some("4f0c6c8e-7a1b-4c9d-9b1e-0a1b2c3d4e5f"),
            ),
            ("x-request-id: 8b1c2d3e4f5a6b7c", Some("8b1c2d3e4f5a6b7c")),
            (r#"{\"RequestId\": \"3c2b1a00-1111-2222-3333-444455556666\"}"#, Some("3c2b1a00-1111-2222-3333-444455556666")),
            ("the request id is missing", None),
            ("request ID not found", None),
            ("error 500", None),
        ] {
            assert_eq!(request_id(text), expected, "{text}");
        }
    }

    #[test]
    fn messages_codes_and_types_are_read_in_the_formats_of_apis() {
        for (text, message, code, kind) in [
            (
                "Error code: 429 - {'type': 'error', 'error': {'type': 'rate_limit_error', 'message': \"This request would exceed your organization's rate limit\"}}",
                "This request would exceed your organization's rate limit",
                "",
                "rate_limit_error",
            ),
            (
                "Error code: 404 - {'error': {'message': 'The model `gpt-5-turbo` does not exist.', 'type': 'invalid_request_error', 'code': 'model_not_found'}}",
                "The model `gpt-5-turbo` does not exist",
                "model_not_found",
                "invalid_request_error",
            ),
            (
                "503 UNAVAILABLE. {'error': {'code': 503, 'message': 'The model is overloaded. Please try again later.', 'status': 'UNAVAILABLE'}}",
                "The model is overloaded. Please try again later",
                "UNAVAILABLE",
                "",
            ),
            (r#"{"error":{"message":"say \"please\"","code":"x_1"}}"#, r#"say "please""#, "x_1", ""),
            (
                "An error occurred (ThrottlingException) when calling the Converse operation (reached max retries: 4): Too many requests, please wait.",
                "Too many requests, please wait",
                "ThrottlingException",
                "",
            ),
            ("litellm.RateLimitError: RateLimitError: OpenAIException - slow down", "slow down", "", ""),
            ("Error code: 503 - The engine is currently overloaded", "The engine is currently overloaded", "", ""),
            ("API error occurred: Status 429\n{\"message\":\"Requests rate limit exceeded\"}", "Requests rate limit exceeded", "", ""),
            (r#"404 "model 'qwen3:14b' not found""#, "model 'qwen3:14b' not found", "", ""),
            ("<html><head><title>502 Bad Gateway</title></head>", "", "", ""),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_facts(&[Source { span: &span, field: "status_message".into(), text }], &mut facts);
            let found = [&PROVIDER_MESSAGE, &PROVIDER_ERROR_CODE, &PROVIDER_ERROR_TYPE].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [message, code, kind], "{text}");
        }
    }
}
