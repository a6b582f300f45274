//! The interface between the analyzer and a provider's API. An [`Api`] builds request bodies and interprets responses; it sends nothing and
//! decides nothing about retries.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;
use serde_json::value::RawValue;

use super::error_message::ErrorMessage;
use super::prompt::Prompt;
use super::request_options::RequestOptions;
use crate::limits::REPORTED_TOKENS_MAX;

/// Model tokens that a provider counted, or that a request can use at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) input_tokens: u64,
    /// Includes thinking, which is billed like the answer.
    pub(crate) output_tokens: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Self) {
        // Saturates, because a provider may report any number.
        self.input_tokens = self.input_tokens.saturating_add(other.input_tokens);
        self.output_tokens = self.output_tokens.saturating_add(other.output_tokens);
    }
}

impl Usage {
    /// Whether a request of `request_bytes` bytes can have used this much. A tokenizer makes at least one token of a prompt and at most one per
    /// byte; a chat template adds little.
    pub(super) fn is_plausible(self, request_bytes: usize) -> bool {
        const TEMPLATE_TOKENS_MAX: u64 = 4_096;
        let input_tokens_max = (request_bytes as u64).saturating_add(TEMPLATE_TOKENS_MAX).min(REPORTED_TOKENS_MAX);
        (1..=input_tokens_max).contains(&self.input_tokens) && self.output_tokens <= REPORTED_TOKENS_MAX
    }
}

/// The contents of a request, independent of the provider.
#[derive(Debug, Clone)]
pub(super) struct ModelRequest {
    /// The task; contains no text of a trace.
    pub(super) instructions: &'static str,
    /// The trace.
    pub(super) prompt: Arc<Prompt>,
    /// The feedback on an earlier answer, if this is a repair.
    pub(super) feedback: Option<String>,
    /// JSON Schema of the answer. Models write properties in its order.
    pub(super) schema: &'static RawValue,
    /// The limit of the answer, thinking included.
    pub(super) output_tokens_max: u64,
}

impl ModelRequest {
    /// The user message: the trace, and the feedback on an earlier answer.
    pub(super) fn user_message(&self) -> Cow<'_, str> {
        match &self.feedback {
            Some(feedback) => Cow::Owned(self.prompt.with_feedback(feedback)),
            None => Cow::Borrowed(&self.prompt.text),
        }
    }

    /// The system message: the instructions, and the schema if the request has no field for it.
    pub(super) fn system_message(&self, options: RequestOptions) -> Cow<'_, str> {
        if options.format.has_schema() {
            return Cow::Borrowed(self.instructions);
        }
        Cow::Owned(format!(
            "{}\n\nAnswer with one JSON object, and nothing else, that fits this JSON Schema:\n{}",
            self.instructions,
            self.schema.get()
        ))
    }

    /// The limit of the answer, not above what the model supports.
    pub(super) fn output_tokens_max(&self, options: RequestOptions) -> u64 {
        self.output_tokens_max.min(options.output_tokens_max)
    }
}

/// A model's answer as the API returned it, not yet parsed.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RawAnswer {
    pub(super) text: String,
    pub(super) finish_reason: FinishReason,
    /// The provider's count; `None` if it sent none.
    pub(super) usage: Option<Usage>,
    /// Bytes that the model generated, thinking included.
    pub(super) generated_bytes: usize,
    /// The model's name as the provider reports it.
    pub(super) model: Option<String>,
}

/// Why the model stopped generating.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FinishReason {
    /// The answer is complete.
    Completed,
    /// The output limit was reached.
    Truncated,
    /// The provider blocked the prompt or the answer, with its reason.
    Blocked(String),
    /// Another reason, in the provider's words.
    Other(String),
}

/// An error response, classified by what to do about it. Each has a message for people; those of `Fatal` end with a hint.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum ApiError {
    /// No request of this run can succeed: wrong API key, no access, unknown model.
    Fatal(String),
    /// The daily quota or the account's credit is used up.
    QuotaExhausted(String),
    /// Too many requests for now.
    RateLimited {
        message: String,
        /// The pause that the provider asks for.
        wait: Option<Duration>,
        /// The limit that the provider names.
        requests_per_minute: Option<f64>,
    },
    /// The provider failed, or could not be reached.
    Unavailable {
        message: String,
        /// The pause that the provider asks for.
        wait: Option<Duration>,
        /// Whether the cause is load.
        is_overloaded: bool,
    },
    /// This request cannot succeed; others may.
    RequestRefused(String),
}

/// A provider's API.
#[async_trait]
pub(super) trait Api: Send + Sync {
    /// The word in the `analyzer` column.
    fn analyzer(&self) -> &'static str;

    /// The provider's name in messages.
    fn provider(&self) -> &'static str;

    /// The model's name as the provider spells it.
    fn model(&self) -> &str;

    /// The URL to which requests are posted.
    fn url(&self) -> String;

    /// The headers that authenticate a request.
    ///
    /// # Errors
    /// A message about what is wrong with the credentials, with a hint.
    async fn auth_headers(&self) -> Result<HeaderMap, String>;

    /// The options of the first request.
    fn initial_options(&self) -> RequestOptions;

    /// Builds the JSON body; [`insert_schema`] adds the schema. Takes a while for a long prompt.
    fn request_body(&self, request: &ModelRequest, options: RequestOptions) -> String;

    /// Reads the answer from a successful response.
    ///
    /// # Errors
    /// A message about what the response lacks.
    fn parse_answer(&self, body: &Value) -> Result<RawAnswer, String>;

    /// Classifies an error response. `body` is null if it is not JSON.
    fn classify_error(&self, status: StatusCode, headers: &HeaderMap, body: &Value, error: &ErrorMessage) -> ApiError;

    /// The model's answer inside an error response, for providers that reject an answer that does not match the schema.
    fn answer_in_error(&self, _body: &Value) -> Option<RawAnswer> {
        None
    }
}

/// Placeholder for the schema in a request body.
pub(super) const SCHEMA_PLACEHOLDER: &str = "@the schema of the answer@";

/// Replaces the placeholder by the schema as it is written. Models write properties in the schema's order, which `serde_json::Value` does not keep.
pub(super) fn insert_schema(body: &Value, schema: &RawValue) -> String {
    // Quotation marks inside strings are escaped, so only a value that is exactly the placeholder matches.
    body.to_string().replacen(&format!("\"{SCHEMA_PLACEHOLDER}\""), schema.get(), 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn implausible_token_counts_are_detected() {
        let usage = |input_tokens, output_tokens| Usage { input_tokens, output_tokens };
        assert!(usage(1_000, 200).is_plausible(4_000) && usage(1_000, 0).is_plausible(4_000));
        for implausible in [usage(0, 200), usage(1_000_000_000_000_000_000, 1), usage(1_000, u64::MAX), usage(9_000, 1)] {
            assert!(!implausible.is_plausible(4_000), "{implausible:?}");
        }
    }
}
