//! Rejections: records and traces that could not be processed, with stage, kind and reason.

use std::fmt;

use futures::stream::BoxStream;

use super::truncate_with_digest;
use crate::limits::ID_BYTES_MAX;

/// An item in the pipeline, or its rejection by an earlier stage.
pub type Outcome<T> = Result<T, Rejection>;

/// The input and output type of a stage.
pub type OutcomeStream<T> = BoxStream<'static, Outcome<T>>;

/// The stage that rejected a record or trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Objects to records.
    Read,
    /// Records to traces: parsing and gathering.
    Parse,
    /// Traces to redacted traces.
    Redact,
    /// Redacted traces to drafts.
    Analyze,
    /// Drafts to patterns.
    Validate,
}

impl Stage {
    /// The word stored in the `stage` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Parse => "parse",
            Self::Redact => "redact",
            Self::Analyze => "analyze",
            Self::Validate => "validate",
        }
    }
}

/// Machine-readable reason for a rejection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionKind {
    /// The object could not be opened or read completely.
    Unreadable,
    /// The object ends early: a truncated gzip, zstd or Parquet file.
    Truncated,
    /// The compressed data is invalid, or it decompresses beyond the limits.
    CorruptCompression,
    /// The footer or a page of the Parquet file cannot be read.
    CorruptParquet,
    /// The record exceeds the size limit.
    Oversize,
    /// The record is not valid UTF-8.
    InvalidUtf8,
    /// The record is not valid JSON.
    MalformedJson,
    /// The record has the right format, but a field of the wrong type.
    MalformedRecord,
    /// The object's format is unknown.
    UnrecognisedFormat,
    /// The record has no trace id or no span id.
    MissingId,
    /// The record has no timestamp.
    MissingTime,
    /// No span of the trace was received.
    NoSpans,
    /// The trace exceeds the limit of spans or bytes.
    TraceTooLarge,
    /// Redaction or analysis exceeded the trace's time budget.
    TimedOut,
    /// The pattern violates its schema.
    SchemaViolation,
    /// The model's answer was cut off.
    AnswerTruncated,
    /// The model's provider blocked the prompt or the answer.
    AnswerBlocked,
    /// The model's answer is empty.
    AnswerEmpty,
    /// The model's answer repeats itself endlessly.
    AnswerRepetitive,
    /// The model's answer is not valid JSON.
    AnswerNotJson,
    /// The model's answer violates the schema or uses a label outside the vocabulary.
    AnswerOffSchema,
    /// None of the evidence in the model's answer occurs in the trace, or several of its numbers do not.
    AnswerUngrounded,
    /// The model reported no failure, but the trace plainly shows one.
    AnswerContradicted,
    /// The model's provider refused this request.
    RequestRefused,
    /// The model's provider temporarily accepts no more requests.
    RateLimited,
    /// The daily quota or the balance of the provider account is exhausted.
    QuotaExhausted,
    /// The model's provider failed or could not be reached.
    ProviderError,
    /// The model was not asked, because too many of its previous answers were unusable.
    CircuitOpen,
    /// The run reached its cost limit.
    CostLimit,
    /// The pattern contains a value that was redacted in its trace.
    SensitiveText,
    /// The run was interrupted before the trace was analyzed.
    Interrupted,
    /// A bug in failsift. Only this trace is rejected; the run continues.
    Internal,
}

impl RejectionKind {
    /// The word stored in the `kind` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Truncated => "truncated",
            Self::CorruptCompression => "corrupt_compression",
            Self::CorruptParquet => "corrupt_parquet",
            Self::Oversize => "oversize",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::MalformedJson => "malformed_json",
            Self::MalformedRecord => "malformed_record",
            Self::UnrecognisedFormat => "unrecognised_format",
            Self::MissingId => "missing_id",
            Self::MissingTime => "missing_time",
            Self::NoSpans => "no_spans",
            Self::TraceTooLarge => "trace_too_large",
            Self::TimedOut => "timed_out",
            Self::SchemaViolation => "schema_violation",
            Self::AnswerTruncated => "answer_truncated",
            Self::AnswerBlocked => "answer_blocked",
            Self::AnswerEmpty => "answer_empty",
            Self::AnswerRepetitive => "answer_repetitive",
            Self::AnswerNotJson => "answer_not_json",
            Self::AnswerOffSchema => "answer_off_schema",
            Self::AnswerUngrounded => "answer_ungrounded",
            Self::AnswerContradicted => "answer_contradicted",
            Self::RequestRefused => "request_refused",
            Self::RateLimited => "rate_limited",
            Self::QuotaExhausted => "quota_exhausted",
            Self::ProviderError => "provider_error",
            Self::CircuitOpen => "circuit_open",
            Self::CostLimit => "cost_limit",
            Self::SensitiveText => "sensitive_text",
            Self::Interrupted => "interrupted",
            Self::Internal => "internal",
        }
    }
}

impl RejectionKind {
    /// Whether a retry may succeed, regardless of the stage. A model's answers differ between requests, so most are retryable; blocked and
    /// refused requests are not.
    fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Interrupted
                | Self::AnswerTruncated
                | Self::AnswerEmpty
                | Self::AnswerRepetitive
                | Self::AnswerNotJson
                | Self::AnswerOffSchema
                | Self::AnswerUngrounded
                | Self::AnswerContradicted
                | Self::RateLimited
                | Self::QuotaExhausted
                | Self::ProviderError
                | Self::CircuitOpen
                | Self::CostLimit
        )
    }

    /// The kinds of unusable model answers.
    const UNUSABLE_ANSWERS: [Self; 8] = [
        Self::AnswerTruncated,
        Self::AnswerBlocked,
        Self::AnswerEmpty,
        Self::AnswerRepetitive,
        Self::AnswerNotJson,
        Self::AnswerOffSchema,
        Self::AnswerUngrounded,
        Self::AnswerContradicted,
    ];

    /// Whether the model gave an answer, which was paid for but could not be used.
    pub fn is_unusable_answer(self) -> bool {
        Self::UNUSABLE_ANSWERS.contains(&self)
    }

    /// The kind of unusable answer with this word in the `kind` column.
    pub fn unusable_answer_named(word: &str) -> Option<Self> {
        Self::UNUSABLE_ANSWERS.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Identifies an unusable answer, so that a later run does not pay for the same question again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidAnswer {
    /// SHA-256 of the redacted trace, hex.
    pub content_digest: String,
    /// Digest of everything except the trace that the answer depends on, hex.
    pub settings_digest: String,
}

/// Why an answer that an earlier run paid for could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableAnswer {
    /// One of the kinds for which [`RejectionKind::is_unusable_answer`] is true.
    pub kind: RejectionKind,
    /// Human-readable reason, redacted.
    pub reason: String,
}

/// One record or trace that could not be processed: a row of the table `errors`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The trace id, or the record's location if it has none: `URI#L4`, `URI#L4.s2`, `URI#row=17`, `URI`.
    pub trace_ref: String,
    /// The stage that rejected it.
    pub stage: Stage,
    /// Machine-readable kind.
    pub kind: RejectionKind,
    /// Human-readable reason.
    pub reason: String,
    /// Whether the same input may succeed in a later run.
    pub retryable: bool,
    /// The object that contains the record or trace.
    pub source_uri: String,
    /// The objects of the trace, as in [`Trace::source_uris`](super::Trace::source_uris); empty if they are not known.
    pub source_uris: Vec<String>,
    /// Whether `trace_ref` is a location rather than a trace id.
    pub is_location: bool,
    /// Set if the model gave an answer, which was paid for but could not be used.
    pub paid_answer: Option<Box<PaidAnswer>>,
}

impl Rejection {
    /// Rejects a record without a trace id, identified by its location in an object.
    pub fn at_location(
        location: impl fmt::Display,
        source_uri: &str,
        stage: Stage,
        kind: RejectionKind,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            trace_ref: location.to_string(),
            stage,
            kind,
            reason: reason.into(),
            retryable: kind.is_retryable() || matches!(kind, RejectionKind::Unreadable | RejectionKind::Truncated),
            source_uri: source_uri.to_owned(),
            source_uris: Vec::new(),
            is_location: true,
            paid_answer: None,
        }
    }

    /// Rejects a trace, identified by its id.
    pub fn for_trace(trace_id: &str, source_uri: &str, stage: Stage, kind: RejectionKind, reason: impl Into<String>) -> Self {
        Self {
            trace_ref: truncate_with_digest(trace_id.to_owned(), ID_BYTES_MAX),
            stage,
            kind,
            reason: reason.into(),
            retryable: kind.is_retryable() || matches!(kind, RejectionKind::NoSpans | RejectionKind::Internal),
            source_uri: source_uri.to_owned(),
            source_uris: Vec::new(),
            is_location: false,
            paid_answer: None,
        }
    }

    /// Adds the objects of the trace.
    #[must_use]
    pub fn of_objects(self, source_uris: &[String]) -> Self {
        Self { source_uris: source_uris.to_vec(), ..self }
    }

    /// Rejects a trace that was read but not analyzed because the run was interrupted.
    pub fn interrupted(trace_id: &str, source_uri: &str, stage: Stage) -> Self {
        Self::for_trace(
            trace_id,
            source_uri,
            stage,
            RejectionKind::Interrupted,
            "the run was interrupted before this trace was analyzed; run it again",
        )
    }
}
