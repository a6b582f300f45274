//! The optional parameters of a request. A parameter that a server or model does not support is renamed or left out, and that is remembered for the
//! rest of the run, so each unsupported parameter costs one request.
//!
//! The errors are recognized by the words of OpenAI, Azure, vLLM, llama.cpp, Ollama, LiteLLM, Mistral, Groq, DeepSeek, OpenRouter and Gemini.

use std::sync::{Mutex, PoisonError};

use reqwest::StatusCode;

use super::error_message::ErrorMessage;

/// The way in which the format of the answer is requested, from strict to none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    /// With a JSON Schema that the server guarantees.
    StrictSchema,
    /// With a JSON Schema.
    Schema,
    /// As JSON; the schema is in the instructions.
    Json,
    /// As text; the schema is in the instructions.
    Text,
}

impl AnswerFormat {
    /// Whether the request has a field for the schema.
    pub(super) fn has_schema(self) -> bool {
        matches!(self, Self::StrictSchema | Self::Schema)
    }
}

/// The field that limits the answer's tokens in OpenAI-compatible APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenLimitField {
    /// The older name, which most servers know.
    MaxTokens,
    /// The name that newer models of OpenAI require.
    MaxCompletionTokens,
}

impl TokenLimitField {
    fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// The limit of the answer's tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenLimit {
    /// By this field.
    Preferred(TokenLimitField),
    /// By this field, because the other one is unsupported.
    Alternative(TokenLimitField),
    /// Not limited: both fields are unsupported.
    Unlimited,
}

impl TokenLimit {
    /// The field, if there is a limit.
    pub(super) fn field(self) -> Option<TokenLimitField> {
        match self {
            Self::Preferred(field) | Self::Alternative(field) => Some(field),
            Self::Unlimited => None,
        }
    }

    fn without_this_field(self) -> Self {
        match self {
            Self::Preferred(field) => Self::Alternative(field.other()),
            Self::Alternative(_) | Self::Unlimited => Self::Unlimited,
        }
    }
}

/// The optional parts of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct RequestOptions {
    pub(super) format: AnswerFormat,
    pub(super) limit: TokenLimit,
    /// The largest limit that the model accepts, if an error named it.
    pub(super) output_tokens_max: u64,
    /// Whether the temperature is set.
    pub(super) temperature: bool,
    /// Whether the amount of thinking is set.
    pub(super) thinking: bool,
    /// Whether the instructions are a system message. Otherwise they precede the trace in the user message.
    pub(super) system_message: bool,
}

impl RequestOptions {
    /// Everything that can be requested.
    pub(super) const FULL: Self = Self {
        format: AnswerFormat::StrictSchema,
        limit: TokenLimit::Preferred(TokenLimitField::MaxTokens),
        output_tokens_max: u64::MAX,
        temperature: true,
        thinking: true,
        system_message: true,
    };

    /// The options without what `error` reports as unsupported; `None` if the error is about something else. `tokens` is the answer limit of the
    /// failed request.
    pub(super) fn without_unsupported(self, error: &ErrorMessage, tokens: u64) -> Option<Self> {
        let by_name = error.parameters.iter().fold(self, |options, name| options.without_named(name, error, tokens));
        if by_name != self {
            return Some(by_name);
        }
        Parameter::ALL.into_iter().filter(|parameter| error.contains_any(parameter.words())).find_map(|parameter| {
            let next = self.without(parameter, error, tokens);
            (next != self).then_some(next)
        })
    }

    /// The options without the schema, which is unsupported most often, if the error does not say what is wrong.
    pub(super) fn after_unspecific_error(self, error: &ErrorMessage) -> Option<Self> {
        const UNSPECIFIC: [&str; 7] = [
            "request contains an invalid argument",
            "invalid argument",
            "provider returned error",
            "requested parameters",
            "bad request",
            "invalid request",
            "invalid_request",
        ];
        // A long message that happens to contain such words has a specific cause, such as a content filter.
        let is_unspecific = error.summary.is_empty() || (error.summary.len() < 80 && error.contains_any(&UNSPECIFIC));
        (is_unspecific && self.format.has_schema()).then_some(Self { format: AnswerFormat::Json, ..self })
    }

    fn without_named(self, name: &str, error: &ErrorMessage, tokens: u64) -> Self {
        let parameter = Parameter::ALL.into_iter().find(|parameter| parameter.words().iter().any(|word| name.contains(word)));
        match parameter {
            Some(parameter) => self.without(parameter, error, tokens),
            // `messages[0].role`: the system message is unsupported.
            None if name.rsplit('.').next() == Some("role") => self.without(Parameter::SystemMessage, error, tokens),
            None => self,
        }
    }

    fn without(self, parameter: Parameter, error: &ErrorMessage, tokens: u64) -> Self {
        match parameter {
            Parameter::SystemMessage => Self { system_message: false, ..self },
            Parameter::TokenLimit => self.with_other_limit(error, tokens),
            Parameter::Temperature => Self { temperature: false, ..self },
            Parameter::Thinking => Self { thinking: false, ..self },
            Parameter::Format => Self { format: self.simpler_format(error), ..self },
        }
    }

    /// The next simpler format. Depends only on the failed format, so two requests that fail at once take one step, not two.
    fn simpler_format(self, error: &ErrorMessage) -> AnswerFormat {
        match self.format {
            // OpenAI's error for a schema that strict mode does not support, and other servers' error for the parameter `strict`.
            AnswerFormat::StrictSchema
                if error.contains_any(&["invalid schema for response_format"])
                    || error.parameters.iter().any(|name| name.contains("strict")) =>
            {
                AnswerFormat::Schema
            }
            // A model without JSON mode, such as Gemma, needs text.
            AnswerFormat::StrictSchema | AnswerFormat::Schema
                if !error.contains_any(&["json mode", "response_mime_type", "responsemimetype"]) =>
            {
                AnswerFormat::Json
            }
            AnswerFormat::StrictSchema | AnswerFormat::Schema | AnswerFormat::Json | AnswerFormat::Text => AnswerFormat::Text,
        }
    }

    /// Another field if the field is unsupported, a lower limit if the number is too high.
    fn with_other_limit(self, error: &ErrorMessage, tokens: u64) -> Self {
        /// A shorter answer cannot contain a pattern.
        const TOKENS_MIN: u64 = 512;
        const NUMBER_REFUSED: [&str; 8] =
            ["too large", "too high", "at most", "less than or equal", "<=", "must be between", "exceed", "supported range"];
        const FIELD_REFUSED: [&str; 7] =
            ["not supported", "unsupported", "unrecognized", "unknown", "not permitted", "not allowed", "does not support"];
        if error.contains_any(&FIELD_REFUSED) || !error.contains_any(&NUMBER_REFUSED) {
            return Self { limit: self.limit.without_this_field(), ..self };
        }
        let allowed = numbers(&error.text).filter(|number| (TOKENS_MIN..tokens).contains(number)).max();
        // If the context is nearly full, the allowed number depends on the trace; half is enough for most traces.
        let half = (error.contains_any(&["context"]) && tokens / 2 >= TOKENS_MIN).then_some(tokens / 2);
        match allowed.or(half) {
            Some(output_tokens_max) => Self { output_tokens_max, ..self },
            None => Self { limit: TokenLimit::Unlimited, ..self },
        }
    }
}

/// Whether an error with this status may be about the options of the request. Some servers report an unsupported parameter as their own failure.
pub(super) fn may_concern_options(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 415 | 422 | 500 | 501 | 502)
}

/// An optional part of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parameter {
    SystemMessage,
    TokenLimit,
    Temperature,
    Thinking,
    Format,
}

impl Parameter {
    /// In order of precedence: the parameter with the most specific words is first.
    const ALL: [Self; 5] = [Self::SystemMessage, Self::TokenLimit, Self::Temperature, Self::Thinking, Self::Format];

    /// The words by which errors refer to it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::SystemMessage => &[
                "system role",
                "system message",
                "system prompt",
                "does not support 'system'",
                "role 'system'",
                "developer instruction",
                "system instruction",
                "systeminstruction",
                "system_instruction",
            ],
            Self::TokenLimit => &["max_tokens", "max_completion_tokens", "maxoutputtokens", "max_output_tokens"],
            Self::Temperature => &["temperature"],
            Self::Thinking => &["reasoning_effort", "reasoning effort", "thinking"],
            Self::Format => &[
                "response_format",
                "response format",
                "json_schema",
                "json schema",
                "json_object",
                "json mode",
                "schema",
                "grammar",
                "guided",
                "structured output",
                "structured_output",
                "too many states",
                "response_mime_type",
                "responsemimetype",
                "invalid format",
                "required for format",
            ],
        }
    }
}

fn numbers(text: &str) -> impl Iterator<Item = u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok())
}

/// The options of the next request, shared by all analyses.
#[derive(Debug)]
pub(super) struct CurrentOptions(Mutex<RequestOptions>);

impl CurrentOptions {
    pub(super) fn new(initial: RequestOptions) -> Self {
        Self(Mutex::new(initial))
    }

    /// The options of the next request.
    pub(super) fn get(&self) -> RequestOptions {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Switches to `next` after a request with the options `failed`. Returns whether to retry: the current options differ from the
    /// failed ones, perhaps because another request failed first.
    pub(super) fn replace(&self, failed: RequestOptions, next: Option<RequestOptions>) -> bool {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *current == failed
            && let Some(next) = next
        {
            *current = next;
        }
        *current != failed
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn without_unsupported(options: RequestOptions, body: &Value) -> Option<RequestOptions> {
        options.without_unsupported(&ErrorMessage::from_body(body), 4_096)
    }

    fn message(text: &str) -> Value {
        json!({"error": {"message": text}})
    }

    #[test]
    fn parameters_that_real_servers_do_not_support_are_left_out() {
        let full = RequestOptions::FULL;
        let renamed = RequestOptions { limit: TokenLimit::Alternative(TokenLimitField::MaxCompletionTokens), ..full };
        let json = RequestOptions { format: AnswerFormat::Json, ..full };
        let cases: Vec<(&str, Value, RequestOptions)> = vec![
            (
                "OpenAI, Azure",
                json!({"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.", "type": "invalid_request_error", "param": "max_tokens", "code": "unsupported_parameter"}}),
                renamed,
            ),
            (
                "the same through a proxy",
                message("Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."),
                renamed,
            ),
            (
                "OpenAI",
                json!({"error": {"message": "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.", "param": "temperature", "code": "unsupported_value"}}),
                RequestOptions { temperature: false, ..full },
            ),
            ("Kimi", message("invalid temperature: only 1 is allowed for this model"), RequestOptions { temperature: false, ..full }),
            ("DeepSeek", message("This response_format type is unavailable now"), json),
            (
                "Azure",
                json!({"error": {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", "param": "response_format"}}),
                json,
            ),
            (
                "OpenAI",
                json!({"error": {"message": "Invalid schema for response_format 'failure_pattern': In context=(), 'required' is required to be supplied", "param": "response_format"}}),
                RequestOptions { format: AnswerFormat::Schema, ..full },
            ),
            (
                "llama.cpp",
                json!({"error": {"code": 500, "message": "Failed to initialize samplers: failed to parse grammar", "type": "server_error"}}),
                json,
            ),
            (
                "vLLM",
                json!({"object": "error", "message": "The provided JSON schema contains features not supported by xgrammar.", "param": null, "code": 400}),
                json,
            ),
            ("Ollama", json!({"error": "invalid format: expected \"json\" or a JSON schema"}), json),
            (
                "LiteLLM",
                message(
                    "litellm.UnsupportedParamsError: together_ai does not support parameters: ['response_format'], for model=m. To drop these, set `litellm.drop_params=True`",
                ),
                json,
            ),
            (
                "Groq",
                json!({"error": {"message": "`reasoning_effort` must be one of `none` or `default`", "type": "invalid_request_error"}}),
                RequestOptions { thinking: false, ..full },
            ),
            (
                "OpenAI's o1-mini",
                json!({"error": {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this model.", "param": "messages[0].role"}}),
                RequestOptions { system_message: false, ..full },
            ),
            (
                "a chat template of vLLM",
                json!({"object": "error", "message": "System role not supported", "code": 400}),
                RequestOptions { system_message: false, ..full },
            ),
            (
                "Gemini",
                message(
                    "The specified schema produces a constraint that has too many states for serving. Typical causes of this error are schemas with lots of text",
                ),
                json,
            ),
            (
                "Gemini",
                message("Invalid JSON payload received. Unknown name \"responseJsonSchema\" at 'generation_config': Cannot find field."),
                json,
            ),
            (
                "Gemini",
                message("JSON mode is not enabled for models/gemma-3-27b-it"),
                RequestOptions { format: AnswerFormat::Text, ..full },
            ),
            (
                "Gemini",
                message("Developer instruction is not enabled for models/gemma-3-27b-it"),
                RequestOptions { system_message: false, ..full },
            ),
            ("Gemini", message("Thinking level is not supported for this model."), RequestOptions { thinking: false, ..full }),
        ];
        for (server, body, expected) in cases {
            assert_eq!(without_unsupported(full, &body), Some(expected), "{server}: {body}");
        }
        let mistral = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]});
        let newer = RequestOptions { limit: TokenLimit::Preferred(TokenLimitField::MaxCompletionTokens), ..full };
        assert_eq!(without_unsupported(newer, &mistral).unwrap().limit, TokenLimit::Alternative(TokenLimitField::MaxTokens));
        assert_eq!(without_unsupported(renamed, &mistral).unwrap().limit, TokenLimit::Unlimited);
    }

    #[test]
    fn a_token_limit_that_is_too_high_is_lowered_and_keeps_its_field() {
        let lowered = |text: &str| {
            without_unsupported(RequestOptions::FULL, &message(text)).map(|options| (options.limit.field(), options.output_tokens_max))
        };
        let field = Some(TokenLimitField::MaxTokens);
        let openai = "max_tokens is too large: 4096. This model supports at most 2048 completion tokens, whereas you provided 4096.";
        assert_eq!(lowered(openai), Some((field, 2_048)));
        assert_eq!(lowered("`max_tokens` must be less than or equal to `1024`, the maximum value for this model"), Some((field, 1_024)));
        let vllm = "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (4096 > 8192 - 5000).";
        assert_eq!(lowered(vllm), Some((field, 2_048)));
    }

    #[test]
    fn other_errors_change_no_options() {
        for text in ["This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", "flagged", ""] {
            assert_eq!(without_unsupported(RequestOptions::FULL, &message(text)), None, "{text}");
        }
        let unspecific = |text: &str| {
            RequestOptions::FULL.after_unspecific_error(&ErrorMessage::from_body(&message(text))).map(|options| options.format)
        };
        assert_eq!(unspecific("Request contains an invalid argument."), Some(AnswerFormat::Json));
        assert_eq!(unspecific(""), Some(AnswerFormat::Json));
        assert_eq!(unspecific("The response was filtered due to the prompt triggering our content management policy."), None);
    }

    #[test]
    fn every_chain_of_unsupported_parameters_ends() {
        let everything = message("response_format temperature max_tokens reasoning_effort system role not supported");
        let mut options = RequestOptions::FULL;
        for steps in 0.. {
            assert!(steps < 20, "{options:?}");
            let Some(next) = without_unsupported(options, &everything) else { break };
            options = next;
        }
        assert_eq!((options.format, options.limit, options.system_message), (AnswerFormat::Text, TokenLimit::Unlimited, false));
    }

    #[test]
    fn simultaneous_failures_change_the_options_once() {
        let current = CurrentOptions::new(RequestOptions::FULL);
        let next = RequestOptions { format: AnswerFormat::Json, ..RequestOptions::FULL };
        assert!(current.replace(RequestOptions::FULL, Some(next)) && current.replace(RequestOptions::FULL, Some(next)));
        assert_eq!(current.get(), next);
        assert!(current.replace(RequestOptions::FULL, None), "older options failed");
        assert!(!current.replace(next, None));
    }
}
