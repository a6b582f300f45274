//! Signals of a failed span: its error type, its HTTP status, and other facts as `name=value`.

use std::sync::LazyLock;

use regex::Regex;

use super::status;
pub(super) use super::status::in_text as http_status;
use super::text::expression;
use crate::model::Span;

/// A fact about a span, and the field that shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signal {
    /// `http_status=429`
    pub(super) text: String,
    /// `status_message`
    pub(super) field: Option<String>,
}

impl Signal {
    pub(super) fn new(name: &str, value: impl std::fmt::Display, field: impl Into<String>) -> Self {
        const SIGNAL_CHARS_MAX: usize = 120;
        Self { text: format!("{name}={value}").chars().take(SIGNAL_CHARS_MAX).collect(), field: Some(field.into()) }
    }
}

/// The error type of a span, and the field that contains it.
pub(super) fn error_type(span: &Span) -> Option<(String, String)> {
    // The last exception is the one that ended the span; earlier ones may have been handled.
    if let Some((index, exception)) = span.exceptions.iter().enumerate().rev().find(|(_, exception)| is_type(&exception.kind)) {
        return Some((exception.kind.clone(), format!("exceptions[{index}].type")));
    }
    if let Some(kind) = span.error_type.as_deref().filter(|kind| is_type(kind)) {
        return Some((kind.to_owned(), "error_type".into()));
    }
    Some((type_in_text(span.status_message.as_deref()?)?.to_owned(), "status_message".into()))
}

/// The type of an error at the start of its text.
pub(super) fn type_in_text(text: &str) -> Option<&str> {
    // Some exporters record the exception only as text: `RateLimitError: …`, `OpenAIRateLimitError('…')`. The list of endings keeps
    // ordinary sentences out (`Note: …`).
    static PREFIX: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(
            r"^\s*([A-Za-z_][\w.]{2,80}(?:Error|Exception|Exit|Interrupt|Violation|Timeout|Failure|Cancelled|NotFound|Exceeded))\b\s*(?:[:(]|$)",
        )
    });
    PREFIX.as_ref()?.captures(text)?.get(1).map(|found| found.as_str())
}

/// Whether a word is a type, and neither a status (`429`) nor a word for an unknown type. OpenTelemetry's is `_OTHER`.
fn is_type(kind: &str) -> bool {
    let digits = || kind.bytes().all(|byte| byte.is_ascii_digit());
    !kind.is_empty() && !digits() && !matches!(kind, "_OTHER" | "unknown" | "Error" | "error" | "Exception" | "exception")
}

/// The HTTP error status that an instrumentation recorded beside the message, and the field that contains it: as an attribute, or as the error type
/// of an HTTP client.
pub(super) fn recorded_status(span: &Span) -> Option<(u16, String)> {
    let is_error = |text: &str| text.parse().ok().filter(|status| (400..600).contains(status));
    // The second key is OpenTelemetry's earlier name for the first.
    let by_convention = ["http.response.status_code", "http.status_code"]
        .iter()
        .find_map(|key| Some((is_error(span.attribute(key)?)?, format!("attributes.{key}"))));
    // `429`, `http 429`, `HTTP_503`, `429 Too Many Requests`
    let in_type = |kind: &str| is_error(kind).or_else(|| is_error(&status::in_text(&kind.replace('_', " "))?.to_string()));
    let of_type = || Some((in_type(span.error_type.as_deref()?)?, "error_type".to_owned()));
    let of_exception = || {
        let mut exceptions = span.exceptions.iter().enumerate().rev();
        exceptions.find_map(|(index, exception)| Some((in_type(&exception.kind)?, format!("exceptions[{index}].type"))))
    };
    // `error.code`, `llm.response.status_code`, `acme.statusCode`.
    let is_status_key = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["status_code", "statuscode", "http.status", "http_status", "error.code", "error_code", "errorcode"]
            .iter()
            .any(|name| key.ends_with(name))
    };
    let by_name = || {
        let mut attributes = span.attributes.iter().filter(|attribute| is_status_key(&attribute.key));
        attributes.find_map(|attribute| Some((is_error(&attribute.value)?, format!("attributes.{}", attribute.key))))
    };
    by_convention.or_else(of_type).or_else(of_exception).or_else(by_name)
}

/// Whether an error can only come from the SDK of a model provider, by its type or by the format of its message. If the instrumentation lost the span
/// of the model call, only a span around it has the error.
pub(super) fn is_provider_error(error_type: Option<&str>, texts: &[(String, &str)]) -> bool {
    /// Types that other libraries do not have.
    const TYPES: [&str; 9] = [
        "APIStatusError",
        "APIConnectionError",
        "APITimeoutError",
        "APIConnectionTimeoutError",
        "AI_APICallError",
        "AI_RetryError",
        "OpenAIError",
        "AnthropicError",
        "ModelHTTPError",
    ];
    static MESSAGE: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            // SDKs of OpenAI and Anthropic for Python; LiteLLM.
            r"(?-u:\b)Error code: [45]\d\d(?: - |$)|(?-u:\b)litellm\.\w+(?:Error|Exception)|(?:OpenAI|Anthropic|Azure|Gemini|Bedrock|VertexAI|Vertex_ai)\w{0,20}Exception - ",
            // SDKs for JavaScript: a status and the message of the API.
            r"|^(?:Error: )?[45]\d\d [^\n]{0,200}(?:(?-u:\b)model(?-u:\b)|tokens per min|requests per min|[Oo]verloaded|API key|quota|credits|content management policy)",
            r"|^(?:Error: )?(?:Connection error|Request timed out)\.$|OpenAI API(?: returned|: | error| request)|(?i:failed to connect to (?:openai|anthropic|gemini)\b)",
        ))
    });
    let by_type = error_type.is_some_and(|kind| is_of_provider_sdk(kind) || TYPES.contains(&crate::model::last_segment(kind)));
    by_type || texts.iter().any(|(_, text)| MESSAGE.as_ref().is_some_and(|message| message.is_match(super::text::message_of(text).trim())))
}

/// Whether a qualified exception type is one of a model provider's SDK: `openai.RateLimitError`.
pub(super) fn is_of_provider_sdk(error_type: &str) -> bool {
    const MODULES: [&str; 26] = [
        "openai.",
        "anthropic.",
        "litellm.",
        "google.genai.",
        "google.generativeai.",
        "google.api_core.exceptions.",
        "vertexai.",
        "mistralai.",
        "cohere.",
        "groq.",
        "together.",
        "fireworks.",
        "replicate.",
        "cerebras.",
        "huggingface_hub.",
        "ollama.",
        "xai_sdk.",
        "zhipuai.",
        "zai.",
        "dashscope.",
        "ai21.",
        "voyageai.",
        "reka.",
        "ibm_watsonx_ai.",
        "writerai.",
        "volcenginesdkarkruntime.",
    ];
    MODULES.iter().any(|module| error_type.starts_with(module))
}

/// The status of a failed RPC or database call, its field, and the HTTP status with the same meaning.
pub(super) fn protocol_status(span: &Span) -> Option<(Signal, Option<u16>)> {
    let text = |key: &str| span.attribute(key).filter(|value| !value.is_empty());
    for key in ["rpc.grpc.status_code", "rpc.response.status_code", "rpc.connect_rpc.error_code", "grpc.status_code"] {
        if let Some((name, status)) = text(key).and_then(status::of_grpc) {
            return Some((Signal::new("rpc_status", name, format!("attributes.{key}")), Some(status)));
        }
    }
    let key = ["db.response.status_code", "db.cassandra.error_code"].into_iter().find(|key| text(key).is_some_and(|code| code != "0"))?;
    Some((Signal::new("db_status", text(key)?, format!("attributes.{key}")), None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span_with(attributes: &[(&str, &str)]) -> Span {
        let attributes = attributes.iter().map(|(key, value)| crate::model::Attribute { key: (*key).into(), value: (*value).into() });
        Span { attributes: attributes.collect(), ..Span::default() }
    }

    #[test]
    fn statuses_beside_the_message_are_found() {
        for (key, value, status) in [
            ("http.response.status_code", "429", Some(429)),
            ("http.status_code", "503", Some(503)),
            ("error.code", "402", Some(402)),
            ("acme.statusCode", "500", Some(500)),
            ("http.response.status_code", "200", None),
            ("error.code", "ECONNREFUSED", None),
        ] {
            assert_eq!(recorded_status(&span_with(&[(key, value)])).map(|(status, _)| status), status, "{key}");
        }
        let typed = Span { error_type: Some("429".into()), ..Span::default() };
        assert_eq!((recorded_status(&typed), error_type(&typed)), (Some((429, "error_type".into())), None));
    }

    #[test]
    fn a_status_may_be_the_type_of_an_error() {
        for (kind, status) in
            [("http 429", Some(429)), ("HTTP_503", Some(503)), ("429 Too Many Requests", Some(429)), ("TimeoutError", None)]
        {
            let span = Span { error_type: Some(kind.into()), ..Span::default() };
            assert_eq!(recorded_status(&span).map(|(status, _)| status), status, "{kind}");
        }
    }

    #[test]
    fn errors_of_provider_sdks_are_recognized_without_the_span_of_the_call() {
        let of_text = |text: &str| is_provider_error(None, &[("status_message".into(), text)]);
        for text in [
            "Error code: 402 - {'error': {'message': 'Insufficient credits'}}",
            "litellm.RateLimitError: RateLimitError: OpenAIException - slow down",
            "429 Rate limit reached for gpt-4o-mini in organization org-1 on tokens per min (TPM): Limit 200000",
            "529 Overloaded",
            "404 \"model 'qwen3:14b' not found\"",
            "Failed to connect to OpenAI API: Connection error.",
            "Request timed out.",
        ] {
            assert!(of_text(text), "{text}");
        }
        for text in
            ["404 Not Found", "500 Internal Server Error", "Connection error: redis is down", "order 429 of model R2 is late", "bad value"]
        {
            assert!(!of_text(text), "{text}");
        }
        assert!(is_provider_error(Some("openai.BadRequestError"), &[]) && is_provider_error(Some("AI_APICallError"), &[]));
        assert!(!is_provider_error(Some("ValueError"), &[]) && !is_provider_error(Some("acme.openai.Wrapper"), &[]));
    }

    #[test]
    fn statuses_of_protocols_have_the_meaning_of_http_statuses() {
        for (key, value, signal, status) in [
            ("rpc.grpc.status_code", "8", "rpc_status=RESOURCE_EXHAUSTED", Some(429)),
            ("rpc.response.status_code", "DEADLINE_EXCEEDED", "rpc_status=DEADLINE_EXCEEDED", Some(504)),
            ("rpc.connect_rpc.error_code", "unavailable", "rpc_status=UNAVAILABLE", Some(503)),
            ("db.response.status_code", "42P01", "db_status=42P01", None),
        ] {
            let (found, mapped) = protocol_status(&span_with(&[(key, value)])).unwrap();
            assert_eq!((found.text.as_str(), mapped), (signal, status), "{key}");
        }
        assert_eq!(protocol_status(&span_with(&[("rpc.grpc.status_code", "0")])), None);
        assert_eq!(protocol_status(&span_with(&[("rpc.grpc.status_code", "99")])), None);
    }

    #[test]
    fn error_types_are_found_before_messages() {
        let typed = |message: &str| error_type(&Span { status_message: Some(message.into()), ..Span::default() }).map(|(kind, _)| kind);
        assert_eq!(typed("RateLimitError: Error code: 429").as_deref(), Some("RateLimitError"));
        assert_eq!(typed("OpenAIRateLimitError('Error code: 429')Traceback").as_deref(), Some("OpenAIRateLimitError"));
        assert_eq!(typed("TimeoutError: ").as_deref(), Some("TimeoutError"));
        assert_eq!(typed("near \"order\": syntax error"), None);
    }
}
