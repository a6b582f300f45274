//! Why a model stopped, in one set of words for all providers and frameworks.
//!
//! Read in the sources of the SDKs: OpenAI 3.57 (Chat, Responses), Anthropic 2.14, google-genai 3.6 (`FinishReason`, `BlockedReason`,
//! `TurnCompleteReason`), Bedrock Converse (botocore 1.44), Cohere 7.3, Mistral 3.7, Groq 1.7, xAI 1.21, Together 3.1, Reka 3.2, Azure AI
//! Inference 1.0b9, Hugging Face TGI, Strands 1.62, Semantic Kernel 1.45, Pydantic AI 2.68, `LiteLLM` 1.110, Genkit, and the provider packages
//! of the Vercel AI SDK.
//!
//! Not checked against a source: the words of Bedrock Titan, watsonx.ai, AI21, Ollama, `DeepSeek`, vLLM, llama.cpp, Mastra, `LangChain4j` and Letta.

/// The meaning of a finish reason. Spans keep the original word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FinishReason {
    /// The model ended its answer.
    Stop,
    /// The answer was cut off at a token limit.
    Length,
    /// The model called tools.
    ToolCalls,
    /// A safety or content filter of the provider stopped the answer, or blocked the prompt.
    ContentFilter,
    /// A guardrail that the application configured stopped the answer, or blocked the prompt.
    Guardrail,
    /// The model refused.
    Refusal,
    /// The model wrote a tool call that does not parse.
    MalformedToolCall,
    /// The model called a tool that it was not offered.
    UnknownTool,
    /// The model wrote an answer that does not parse.
    MalformedOutput,
    /// The run reached its limit of steps, turns or tool calls.
    StepLimit,
    /// The run reached its budget of tokens or money.
    Budget,
    /// The provider rejected the request.
    InvalidRequest,
    /// The provider had no capacity.
    Overloaded,
    /// The provider's time limit was reached.
    Timeout,
    /// The provider or the connection failed.
    Error,
    /// The caller stopped the call.
    Cancelled,
    /// The answer continues in another turn.
    Pause,
    /// The provider stopped the answer for a reason that it does not name.
    Other,
    /// The source says that it does not know.
    Unknown,
}

impl FinishReason {
    /// The meaning of a word of a provider or a framework, in any spelling (`MAX_TOKENS`, `maxTokens`, `FinishReason.MAX_TOKENS`, `"max_tokens"`);
    /// `None` if the word is not known.
    pub fn from_word(word: &str) -> Option<Self> {
        let meaning = |word: &str| WORDS.iter().find(|(_, words)| words.contains(&word)).map(|(meaning, _)| *meaning);
        // Most words are written as in the table.
        meaning(word).or_else(|| meaning(&normalized(word)))
    }

    /// The word for all spellings: `tool_calls`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
            Self::ContentFilter => "content_filter",
            Self::Guardrail => "guardrail",
            Self::Refusal => "refusal",
            Self::MalformedToolCall => "malformed_tool_call",
            Self::UnknownTool => "unknown_tool",
            Self::MalformedOutput => "malformed_output",
            Self::StepLimit => "step_limit",
            Self::Budget => "budget_exhausted",
            Self::InvalidRequest => "invalid_request",
            Self::Overloaded => "overloaded",
            Self::Timeout => "timeout",
            Self::Error => "error",
            Self::Cancelled => "cancelled",
            Self::Pause => "pause",
            Self::Other => "other",
            Self::Unknown => "unknown",
        }
    }

    /// Whether the word says that the answer is not what the model would have given: it was cut off, blocked, refused, malformed or interrupted.
    pub fn is_abnormal(self) -> bool {
        !matches!(self, Self::Stop | Self::ToolCalls | Self::Pause | Self::Unknown)
    }
}

/// The words of providers and frameworks, normalized.
#[rustfmt::skip]
const WORDS: [(FinishReason, &[&str]); 19] = [
    (FinishReason::Stop, &[
        "stop", "stopped", "stop_sequence", "stop_sequences", "stop_word", "stop_token", "stop_criteria_met", "end_turn", "end_of_turn", "end_of_text",
        "end_of_sequence", "end_of_sequence_token", "eos", "eos_token", "endoftext", "end", "complete", "completed", "finish", "finished", "done",
        "success", "succeeded", "normal", "word",
    ]),
    (FinishReason::Length, &[
        "length", "max_tokens", "max_output_tokens", "max_token", "max_length", "max_len", "max_completion_tokens", "max_new_tokens",
        "max_tokens_exceeded", "max_context", "context", "context_length", "context_length_exceeded", "context_window_exceeded", "model_length",
        "model_context_window_exceeded", "token_limit", "token_limit_reached", "limit_output_tokens", "limit", "error_limit", "incomplete",
        "continuation",
    ]),
    (FinishReason::ToolCalls, &[
        "tool_calls", "tool_call", "tool_use", "function_call", "function_calls", "tool_execution", "requires_action",
    ]),
    (FinishReason::ContentFilter, &[
        "content_filter", "content_filtered", "content_filtering", "content_policy", "content_policy_violation", "safety", "recitation", "blocklist",
        "prohibited_content", "spii", "language", "blocked", "filtered", "flagged", "moderation", "model_armor", "jailbreak", "escalation",
        "pup_limited_disabled", "image_safety", "image_prohibited_content", "image_recitation", "error_toxic", "sensitive", "response_rejected",
        "prohibited_input_content", "image_prohibited_input_content", "input_text_contain_prominent_person_prohibited", "input_image_celebrity",
        "input_image_photo_realistic_child_prohibited", "input_text_ncii_prohibited", "input_ip_prohibited", "unsafe_prompt_for_image_generation",
        "generated_image_safety", "generated_content_safety", "generated_audio_safety", "generated_video_safety", "generated_content_prohibited",
        "generated_content_blocklist", "generated_image_prohibited", "generated_image_celebrity",
        "generated_image_prominent_people_detected_by_rewriter", "generated_image_identifiable_people", "generated_image_minors",
        "output_image_ip_prohibited",
    ]),
    (FinishReason::Guardrail, &["guardrail", "guardrails", "guardrail_intervened", "guardrail_triggered", "tripwire"]),
    (FinishReason::Refusal, &["refusal", "refused"]),
    (FinishReason::MalformedToolCall, &[
        "malformed_function_call", "malformed_tool_call", "malformed_tool_use", "invalid_tool_call", "tool_use_failed",
    ]),
    (FinishReason::UnknownTool, &["unknown_tool", "unexpected_tool_call"]),
    (FinishReason::MalformedOutput, &["malformed_output", "malformed_model_output", "malformed_response", "invalid_llm_response"]),
    (FinishReason::StepLimit, &[
        "step_limit", "limit_turns", "max_turns", "error_max_turns", "max_steps", "max_iterations", "too_many_tool_calls", "max_messages",
    ]),
    (FinishReason::Budget, &["budget_exhausted", "limit_total_tokens", "error_max_budget_usd"]),
    (FinishReason::InvalidRequest, &["invalid_request", "missing_thought_signature"]),
    (FinishReason::Overloaded, &["overloaded", "server_overloaded", "insufficient_system_resource"]),
    (FinishReason::Timeout, &["timeout", "timed_out", "time_limit", "deadline_exceeded", "expired"]),
    (FinishReason::Error, &["error", "failed", "failure", "network_error", "llm_api_error", "error_during_execution"]),
    (FinishReason::Cancelled, &["cancelled", "canceled", "user_cancel", "abort", "aborted"]),
    (FinishReason::Pause, &[
        "pause", "paused", "pause_turn", "interrupt", "interrupted", "suspended", "detached", "checkpoint", "compaction", "steered", "in_progress",
        "processing", "queued", "not_finished", "input_required", "need_more_input", "requires_approval",
    ]),
    (FinishReason::Other, &[
        "other", "image_other", "input_other", "generated_other", "no_image", "max_regeneration_reached", "rag_query_when_rag_disabled",
    ]),
    (FinishReason::Unknown, &["unknown", "unspecified", "undefined", "invalid", "null", "none", "load", "unload"]),
];

/// `FinishReason.MAX_TOKENS`, `"maxTokens"`, `<FinishReason.MAX_TOKENS: 2>` and `FINISH_REASON_MAX_TOKENS` are `max_tokens`.
fn normalized(word: &str) -> String {
    const WORD_CHARS_MAX: usize = 100;
    const PREFIXES: [&str; 6] = ["turn_complete_reason_", "blocked_reason_", "finish_reason_", "stop_reason_", "block_reason_", "reason_"];
    let word = word.trim().trim_matches(['"', '\'']);
    // Python's `repr` of an enum has the value after the name.
    let word = word.strip_prefix('<').map_or(word, |repr| repr.split(':').next().unwrap_or(repr));
    let word = word.rsplit(['.', ':']).next().unwrap_or(word).trim();
    let mut normalized = String::new();
    let mut previous_is_lower = false;
    for c in word.chars().take(WORD_CHARS_MAX) {
        if c.is_ascii_uppercase() && previous_is_lower {
            normalized.push('_');
        }
        previous_is_lower = c.is_ascii_lowercase();
        normalized.push(if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' });
    }
    let without_prefix = PREFIXES.iter().find_map(|prefix| normalized.strip_prefix(prefix)).map(str::to_owned);
    without_prefix.unwrap_or(normalized)
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
                    "<FinishReason.MAX_TOKENS: 'MAX_TOKENS'>",
                    "<FinishReason.MAX_TOKENS: 2>",
                    "REASON_MAX_LEN",
                    "TOKEN_LIMIT",
                ][..],
                FinishReason::Length,
            ),
            (&["content-filter", "ContentFilter", "SAFETY", "ERROR_TOXIC", "BlockedReason.JAILBREAK"], FinishReason::ContentFilter),
            (&["guardrail_intervened", "GUARDRAIL_INTERVENED"], FinishReason::Guardrail),
            (&["tool-calls", "ToolCalls", "TOOL_CALL", "tool_use", "REASON_TOOL_CALLS", "TOOL_EXECUTION"], FinishReason::ToolCalls),
            (&["REASON_STOP", "end_turn", "COMPLETE", "stop_sequence", "EndOfSequenceToken", "FINISH"], FinishReason::Stop),
            (&["MALFORMED_FUNCTION_CALL", "malformed_function_call", "malformed_tool_use"], FinishReason::MalformedToolCall),
            (&["UNEXPECTED_TOOL_CALL"], FinishReason::UnknownTool),
            (&["pause_turn", "interrupted", "compaction"], FinishReason::Pause),
            (&["USER_CANCEL", "abort"], FinishReason::Cancelled),
            (&["TIMEOUT", "REASON_TIME_LIMIT"], FinishReason::Timeout),
            (&["OTHER", "IMAGE_OTHER"], FinishReason::Other),
            (&["FINISH_REASON_UNSPECIFIED", "BLOCKED_REASON_UNSPECIFIED", "REASON_INVALID", "null"], FinishReason::Unknown),
        ] {
            for word in spellings {
                assert_eq!(FinishReason::from_word(word), Some(meaning), "{word}");
            }
        }
        assert_eq!(FinishReason::from_word("because"), None);
        assert_eq!(FinishReason::from_word(""), None);
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
