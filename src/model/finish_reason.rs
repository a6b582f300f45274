//! Why a model stopped, in one set of words for all providers and frameworks.

/// The meaning of a finish reason. Spans keep the original word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its answer.
    Stop,
    /// The answer was cut off at a token limit.
    Length,
    /// The model called tools.
    ToolCalls,
    /// A safety or content filter stopped the answer, or blocked the prompt.
    ContentFilter,
    /// The model refused.
    Refusal,
    /// The model wrote a tool call that does not parse.
    MalformedToolCall,
    /// The provider or the connection failed.
    Error,
    /// The caller stopped the call.
    Cancelled,
    /// The answer continues in another turn.
    Pause,
    /// The source says that it does not know.
    Unknown,
}

impl FinishReason {
    /// The meaning of a word of a provider or a framework, in any spelling (`MAX_TOKENS`, `maxTokens`, `FinishReason.MAX_TOKENS`, `"max_tokens"`); `None` if
    /// the word is not known.
    pub fn from_word(word: &str) -> Option<Self> {
        let word = normalized(word);
        WORDS.iter().find(|(_, words)| words.contains(&word.as_str())).map(|(meaning, _)| *meaning)
    }

    /// The word for all spellings: `tool_calls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Refusal => "refusal",
            Self::MalformedToolCall => "malformed_tool_call",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Pause => "pause",
            Self::Unknown => "unknown",
        }
    }
}

/// The words of providers and frameworks, normalized; from the published enums of their APIs and SDKs.
const WORDS: [(FinishReason, &[&str]); 10] = [
    (
        FinishReason::Stop,
        &[
            "stop",
            "stopped",
            "stop_sequence",
            "stop_word",
            "end_turn",
            "end_of_turn",
            "eos",
            "eos_token",
            "endoftext",
            "end",
            "complete",
            "completed",
            "finish",
            "finished",
            "done",
            "success",
            "normal",
        ],
    ),
    (
        FinishReason::Length,
        &[
            "length",
            "max_tokens",
            "max_output_tokens",
            "max_token",
            "max_length",
            "max_len",
            "max_completion_tokens",
            "model_length",
            "token_limit",
            "max_context",
            "model_context_window_exceeded",
            "error_limit",
            "incomplete",
        ],
    ),
    (FinishReason::ToolCalls, &["tool_calls", "tool_call", "tool_use", "function_call", "function_calls"]),
    (
        FinishReason::ContentFilter,
        &[
            "content_filter",
            "content_filtered",
            "content_filtering",
            "safety",
            "recitation",
            "blocklist",
            "prohibited_content",
            "spii",
            "language",
            "blocked",
            "guardrail_intervened",
            "model_armor",
            "jailbreak",
            "image_safety",
            "image_prohibited_content",
            "image_recitation",
            "error_toxic",
            "sensitive",
        ],
    ),
    (FinishReason::Refusal, &["refusal", "refused"]),
    (
        FinishReason::MalformedToolCall,
        &[
            "malformed_function_call",
            "malformed_tool_call",
            "malformed_tool_use",
            "unexpected_tool_call",
            "too_many_tool_calls",
            "tool_use_failed",
        ],
    ),
    (
        FinishReason::Error,
        &[
            "error",
            "failed",
            "failure",
            "malformed_response",
            "malformed_model_output",
            "network_error",
            "insufficient_system_resource",
            "time_limit",
            "timeout",
            "missing_thought_signature",
            "invalid",
        ],
    ),
    (FinishReason::Cancelled, &["cancelled", "canceled", "user_cancel", "abort", "aborted", "interrupted"]),
    (FinishReason::Pause, &["pause", "pause_turn", "interrupt", "in_progress", "queued", "not_finished"]),
    (
        FinishReason::Unknown,
        &["unknown", "other", "unspecified", "blocked_reason_unspecified", "null", "none", "image_other", "no_image", "load", "unload"],
    ),
];

/// `FinishReason.MAX_TOKENS`, `"maxTokens"` and `FINISH_REASON_MAX_TOKENS` are `max_tokens`.
fn normalized(word: &str) -> String {
    const WORD_BYTES_MAX: usize = 100;
    let word = word.trim().trim_matches(['"', '\'']);
    let word = word.rsplit(['.', ':']).next().unwrap_or(word);
    let mut normalized = String::new();
    let mut previous_is_lower = false;
    for c in word.chars().take(WORD_BYTES_MAX) {
        if c.is_ascii_uppercase() && previous_is_lower {
            normalized.push('_');
        }
        previous_is_lower = c.is_ascii_lowercase();
        normalized.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    let without_prefix = ["finish_reason_", "stop_reason_", "reason_"].iter().find_map(|prefix| normalized.strip_prefix(prefix));
    without_prefix.map(str::to_owned).unwrap_or(normalized)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_has_one_meaning_in_every_spelling() {
        for (spellings, meaning) in [
            (
                &[
                    "max_tokens",
                    "MAX_TOKENS",
                    "maxTokens",
                    "max-tokens",
                    "FinishReason.MAX_TOKENS",
                    "FINISH_REASON_MAX_TOKENS",
                    "\"max_tokens\"",
                ][..],
                FinishReason::Length,
            ),
            (&["content-filter", "ContentFilter", "SAFETY", "guardrail_intervened"], FinishReason::ContentFilter),
            (&["tool-calls", "ToolCalls", "TOOL_CALL", "tool_use"], FinishReason::ToolCalls),
            (&["REASON_STOP", "end_turn", "COMPLETE", "stop_sequence"], FinishReason::Stop),
            (&["MALFORMED_FUNCTION_CALL", "malformed_function_call"], FinishReason::MalformedToolCall),
            (&["pause_turn"], FinishReason::Pause),
            (&["USER_CANCEL"], FinishReason::Cancelled),
            (&["FINISH_REASON_UNSPECIFIED", "OTHER"], FinishReason::Unknown),
        ] {
            for word in spellings {
                assert_eq!(FinishReason::from_word(word), Some(meaning), "{word}");
            }
        }
        assert_eq!(FinishReason::from_word("because"), None);
    }

    #[test]
    fn no_word_has_two_meanings() {
        let mut words: Vec<&str> = WORDS.iter().flat_map(|(_, words)| *words).copied().collect();
        let count = words.len();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), count);
        for (meaning, words) in WORDS {
            assert!(words.contains(&meaning.as_str()) && words.iter().all(|word| normalized(word) == *word), "{meaning:?}");
        }
    }
}
