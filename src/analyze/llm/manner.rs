//! How a question is put: which parameters go with it. What a provider or a model refuses is renamed or left out, once, and that is remembered
//! for the run.
//!
//! The words are those with which `OpenAI`, Azure, vLLM, llama.cpp, Ollama, `LiteLLM`, Mistral, Groq, `DeepSeek`, `OpenRouter` and Gemini refuse.

use std::sync::{Mutex, PoisonError};

use reqwest::StatusCode;

use super::said::Said;

/// How the shape of an answer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// By a JSON Schema that the server promises to keep to.
    StrictSchema,
    /// By a JSON Schema.
    Schema,
    /// As some JSON; the schema stands in the instructions.
    Json,
    /// As text; the schema stands in the instructions.
    Text,
}

impl Shape {
    /// Whether the request itself holds the schema.
    pub(super) fn has_schema(self) -> bool {
        matches!(self, Self::StrictSchema | Self::Schema)
    }
}

/// Under which name the answer's tokens are limited, for those who speak like OpenAI.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LimitName {
    /// The older one, which most servers know.
    MaxTokens,
    /// The one that OpenAI's newer models want.
    MaxCompletionTokens,
}

impl LimitName {
    fn other(self) -> Self {
        match self {
            Self::MaxTokens => Self::MaxCompletionTokens,
            Self::MaxCompletionTokens => Self::MaxTokens,
        }
    }
}

/// How the answer's tokens are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenLimit {
    /// Under this name.
    Named(LimitName),
    /// Under this name, after the other one was refused.
    Renamed(LimitName),
    /// Not at all: both were refused.
    Unlimited,
}

impl TokenLimit {
    /// The name, where there is a limit.
    pub(super) fn name(self) -> Option<LimitName> {
        match self {
            Self::Named(name) | Self::Renamed(name) => Some(name),
            Self::Unlimited => None,
        }
    }

    fn without_this_name(self) -> Self {
        match self {
            Self::Named(name) => Self::Renamed(name.other()),
            Self::Renamed(_) | Self::Unlimited => Self::Unlimited,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Manner {
    pub(super) shape: Shape,
    pub(super) limit: TokenLimit,
    /// Tokens of an answer that the model can have, where it said so.
    pub(super) limit_most: u64,
    /// Whether the temperature is set.
    pub(super) temperature: bool,
    /// Whether it is said how much the model shall think.
    pub(super) thinking: bool,
    /// Whether the instructions stand apart from the trace.
    pub(super) system: bool,
}

impl Manner {
    /// With everything that can be asked for.
    pub(super) const FULL: Self = Self {
        shape: Shape::StrictSchema,
        limit: TokenLimit::Named(LimitName::MaxTokens),
        limit_most: u64::MAX,
        temperature: true,
        thinking: true,
        system: true,
    };

    /// The manner in which to ask after this one was refused, with so many tokens asked for; nothing where the refusal is about something else.
    pub(super) fn after(self, said: &Said, tokens: u64) -> Option<Self> {
        let named = said.parameters.iter().fold(self, |manner, name| manner.without_parameter(name, said, tokens));
        if named != self {
            return Some(named);
        }
        Feature::ALL.into_iter().filter(|feature| said.has(feature.words())).find_map(|feature| {
            let next = self.without(feature, said, tokens);
            (next != self).then_some(next)
        })
    }

    /// The same without the one thing that is refused most often, for refusals that say nothing.
    pub(super) fn after_silence(self, said: &Said) -> Option<Self> {
        const SAY_NOTHING: [&str; 7] = [
            "request contains an invalid argument",
            "invalid argument",
            "provider returned error",
            "requested parameters",
            "bad request",
            "invalid request",
            "invalid_request",
        ];
        let silent = said.message.is_empty() || (said.message.len() < 80 && said.has(&SAY_NOTHING));
        (silent && self.shape.has_schema()).then_some(Self { shape: Shape::Json, ..self })
    }

    fn without_parameter(self, name: &str, said: &Said, tokens: u64) -> Self {
        let feature = Feature::ALL.into_iter().find(|feature| feature.words().iter().any(|word| name.contains(word)));
        match feature {
            Some(feature) => self.without(feature, said, tokens),
            None if name.rsplit('.').next() == Some("role") => self.without(Feature::System, said, tokens),
            None => self,
        }
    }

    fn without(self, feature: Feature, said: &Said, tokens: u64) -> Self {
        match feature {
            Feature::System => Self { system: false, ..self },
            Feature::Limit => self.with_other_limit(said, tokens),
            Feature::Temperature => Self { temperature: false, ..self },
            Feature::Thinking => Self { thinking: false, ..self },
            Feature::Shape => Self { shape: self.simpler_shape(said), ..self },
        }
    }

    /// One step; two requests that find out at once go it together, since both were asked in this manner.
    fn simpler_shape(self, said: &Said) -> Shape {
        match self.shape {
            // What OpenAI says of a schema that is no strict one, and others of the word itself.
            Shape::StrictSchema
                if said.has(&["invalid schema for response_format"]) || said.parameters.iter().any(|name| name.contains("strict")) =>
            {
                Shape::Schema
            }
            Shape::StrictSchema | Shape::Schema if !said.has(&["json mode", "response_mime_type", "responsemimetype"]) => Shape::Json,
            Shape::StrictSchema | Shape::Schema | Shape::Json | Shape::Text => Shape::Text,
        }
    }

    /// Under another name where the name is refused, lower where the number is.
    fn with_other_limit(self, said: &Said, tokens: u64) -> Self {
        /// A shorter answer holds no pattern.
        const TOKENS_MIN: u64 = 512;
        const NUMBER: [&str; 8] =
            ["too large", "too high", "at most", "less than or equal", "<=", "must be between", "exceed", "supported range"];
        const NAME: [&str; 7] =
            ["not supported", "unsupported", "unrecognized", "unknown", "not permitted", "not allowed", "does not support"];
        if said.has(&NAME) || !said.has(&NUMBER) {
            return Self { limit: self.limit.without_this_name(), ..self };
        }
        let allowed = numbers(&said.text).filter(|number| (TOKENS_MIN..tokens).contains(number)).max();
        // That of a context that is nearly full depends on the trace; a half leaves room for most.
        let half = (said.has(&["context"]) && tokens / 2 >= TOKENS_MIN).then_some(tokens / 2);
        match allowed.or(half) {
            Some(most) => Self { limit_most: most, ..self },
            None => Self { limit: TokenLimit::Unlimited, ..self },
        }
    }
}

/// Whether a refusal with this status may be about how the question was put.
pub(super) fn is_about_manner(status: StatusCode) -> bool {
    matches!(status.as_u16(), 400 | 404 | 405 | 415 | 422 | 500 | 501 | 502)
}

/// What can be left out of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    System,
    Limit,
    Temperature,
    Thinking,
    Shape,
}

impl Feature {
    /// The one with the plainest words first.
    const ALL: [Self; 5] = [Self::System, Self::Limit, Self::Temperature, Self::Thinking, Self::Shape];

    /// By what a refusal names it.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::System => &[
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
            Self::Limit => &["max_tokens", "max_completion_tokens", "maxoutputtokens", "max_output_tokens"],
            Self::Temperature => &["temperature"],
            Self::Thinking => &["reasoning_effort", "reasoning effort", "thinking"],
            Self::Shape => &[
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

/// The manner that holds now. Requests that were under way in an older one and are refused for it are repeated, not lost.
#[derive(Debug)]
pub(super) struct Manners(Mutex<Manner>);

impl Manners {
    pub(super) fn new(first: Manner) -> Self {
        Self(Mutex::new(first))
    }

    /// How the next request is put.
    pub(super) fn now(&self) -> Manner {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether to ask again after a request in the manner `asked` was refused: in another manner than that.
    pub(super) fn refused(&self, asked: Manner, next: Option<Manner>) -> bool {
        let mut now = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *now == asked
            && let Some(next) = next
        {
            *now = next;
        }
        *now != asked
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn after(manner: Manner, body: &Value) -> Option<Manner> {
        manner.after(&Said::of(body), 4_096)
    }

    fn message(text: &str) -> Value {
        json!({"error": {"message": text}})
    }

    #[test]
    fn what_real_servers_refuse_is_left_out() {
        let full = Manner::FULL;
        let renamed = Manner { limit: TokenLimit::Renamed(LimitName::MaxCompletionTokens), ..full };
        let json = Manner { shape: Shape::Json, ..full };
        let cases: Vec<(&str, Value, Manner)> = vec![
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
                Manner { temperature: false, ..full },
            ),
            ("Kimi", message("invalid temperature: only 1 is allowed for this model"), Manner { temperature: false, ..full }),
            ("DeepSeek", message("This response_format type is unavailable now"), json),
            (
                "Azure",
                json!({"error": {"message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.", "param": "response_format"}}),
                json,
            ),
            (
                "OpenAI",
                json!({"error": {"message": "Invalid schema for response_format 'failure_pattern': In context=(), 'required' is required to be supplied", "param": "response_format"}}),
                Manner { shape: Shape::Schema, ..full },
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
                Manner { thinking: false, ..full },
            ),
            (
                "OpenAI's o1-mini",
                json!({"error": {"message": "Unsupported value: 'messages[0].role' does not support 'system' with this model.", "param": "messages[0].role"}}),
                Manner { system: false, ..full },
            ),
            (
                "a template of vLLM",
                json!({"object": "error", "message": "System role not supported", "code": 400}),
                Manner { system: false, ..full },
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
            ("Gemini", message("JSON mode is not enabled for models/gemma-3-27b-it"), Manner { shape: Shape::Text, ..full }),
            ("Gemini", message("Developer instruction is not enabled for models/gemma-3-27b-it"), Manner { system: false, ..full }),
            ("Gemini", message("Thinking level is not supported for this model."), Manner { thinking: false, ..full }),
        ];
        for (who, body, expected) in cases {
            assert_eq!(after(full, &body), Some(expected), "{who}: {body}");
        }
        let mistral = json!({"detail": [{"type": "extra_forbidden", "loc": ["body", "max_completion_tokens"], "msg": "Extra inputs are not permitted"}]});
        let newer = Manner { limit: TokenLimit::Named(LimitName::MaxCompletionTokens), ..full };
        assert_eq!(after(newer, &mistral).unwrap().limit, TokenLimit::Renamed(LimitName::MaxTokens));
        assert_eq!(after(renamed, &mistral).unwrap().limit, TokenLimit::Unlimited);
    }

    #[test]
    fn a_limit_that_is_too_high_is_lowered_and_keeps_its_name() {
        let lowered = |text: &str| after(Manner::FULL, &message(text)).map(|manner| (manner.limit.name(), manner.limit_most));
        let name = Some(LimitName::MaxTokens);
        let openai = "max_tokens is too large: 4096. This model supports at most 2048 completion tokens, whereas you provided 4096.";
        assert_eq!(lowered(openai), Some((name, 2_048)));
        assert_eq!(lowered("`max_tokens` must be less than or equal to `1024`, the maximum value for this model"), Some((name, 1_024)));
        let vllm = "'max_tokens' or 'max_completion_tokens' is too large: 4096. This model's maximum context length is 8192 tokens and your request has 5000 input tokens (4096 > 8192 - 5000).";
        assert_eq!(lowered(vllm), Some((name, 2_048)));
    }

    #[test]
    fn other_refusals_change_nothing() {
        for text in ["This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.", "flagged", ""] {
            assert_eq!(after(Manner::FULL, &message(text)), None, "{text}");
        }
        let silent = |text: &str| Manner::FULL.after_silence(&Said::of(&message(text))).map(|manner| manner.shape);
        assert_eq!(silent("Request contains an invalid argument."), Some(Shape::Json));
        assert_eq!(silent(""), Some(Shape::Json));
        assert_eq!(silent("The response was filtered due to the prompt triggering our content management policy."), None);
    }

    #[test]
    fn every_chain_of_refusals_ends() {
        let everything = message("response_format temperature max_tokens reasoning_effort system role not supported");
        let mut manner = Manner::FULL;
        for steps in 0.. {
            assert!(steps < 20, "{manner:?}");
            let Some(next) = after(manner, &everything) else { break };
            manner = next;
        }
        assert_eq!((manner.shape, manner.limit, manner.system), (Shape::Text, TokenLimit::Unlimited, false));
    }

    #[test]
    fn those_that_find_out_at_once_go_one_step() {
        let manners = Manners::new(Manner::FULL);
        let next = Manner { shape: Shape::Json, ..Manner::FULL };
        assert!(manners.refused(Manner::FULL, Some(next)) && manners.refused(Manner::FULL, Some(next)));
        assert_eq!(manners.now(), next);
        assert!(manners.refused(Manner::FULL, None), "an older manner was refused");
        assert!(!manners.refused(next, None));
    }
}
