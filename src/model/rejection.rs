//! What becomes of a record or a trace that could not be processed.

use std::fmt;

use futures::stream::BoxStream;

use super::bounded;
use crate::limits::ID_BYTES_MAX;

/// An item on its way through the stages: alive, or rejected by an earlier stage.
pub type Outcome<T> = Result<T, Rejection>;

/// What a stage takes and returns.
pub type OutcomeStream<T> = BoxStream<'static, Outcome<T>>;

/// The stage in which something was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Objects to records.
    Read,
    /// Records to traces.
    Parse,
    /// Traces to redacted traces.
    Redact,
    /// Redacted traces to drafts.
    Analyze,
    /// Drafts to patterns.
    Validate,
}

impl Stage {
    /// The word in the `stage` column.
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

/// Why something was rejected, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectionKind {
    /// The object could not be opened or read to its end.
    Unreadable,
    /// The object ended in the middle: a cut gzip, zstd or Parquet file.
    Truncated,
    /// Compressed bytes that do not decompress, or that grow without end.
    CorruptCompression,
    /// A Parquet file whose footer or pages cannot be read.
    CorruptParquet,
    /// A record over the size limit.
    Oversize,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A line that is no JSON.
    MalformedJson,
    /// JSON of the right format with a field of the wrong type.
    MalformedRecord,
    /// An object in no known format.
    UnrecognisedFormat,
    /// A record without its trace id or span id.
    MissingId,
    /// A record without its time.
    MissingTime,
    /// A trace of which no span came.
    NoSpans,
    /// A trace with more spans or bytes than the limit.
    TraceTooLarge,
    /// The analyzer took longer than the trace's time budget.
    TimedOut,
    /// The pattern breaks its schema.
    SchemaViolation,
    /// The model's answer ends in the middle.
    AnswerTruncated,
    /// The model's provider held back the question or the answer.
    AnswerBlocked,
    /// The model answered nothing.
    AnswerEmpty,
    /// The model repeated itself without end.
    AnswerRepetitive,
    /// The model's answer is no JSON.
    AnswerNotJson,
    /// The model's answer is JSON of another shape, or names a label outside the vocabulary.
    AnswerOffSchema,
    /// Nothing that the model's answer rests on stands in the trace.
    AnswerUngrounded,
    /// The model found no failure where the trace plainly shows one.
    AnswerContradicted,
    /// The model's provider refused this request.
    RequestRefused,
    /// The model's provider allows no more requests for now.
    RateLimited,
    /// The model's provider allows no more requests for today, or the account has no money left.
    QuotaExhausted,
    /// The model's provider failed or could not be reached.
    ProviderError,
    /// Too many answers of the model in a row could not be used, so that it was not asked.
    CircuitOpen,
    /// The run may not spend more.
    CostLimit,
    /// A value that was redacted in the trace stands in its pattern all the same.
    SensitiveText,
    /// The run was interrupted before this trace was analysed.
    Interrupted,
    /// A defect of failsift; the trace is kept out, the run goes on.
    Internal,
}

impl RejectionKind {
    /// The word in the `kind` column.
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
    /// Whether the same may succeed later, wherever it happened. A model answers differently each time, save what its provider refuses.
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

    /// What can be wrong with the answer of a model.
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

    /// Whether there was an answer, which was paid for and could not be used.
    pub fn is_unusable_answer(self) -> bool {
        Self::UNUSABLE_ANSWERS.contains(&self)
    }

    /// The kind of an unusable answer that has this word in the `kind` column.
    pub fn unusable_answer_named(word: &str) -> Option<Self> {
        Self::UNUSABLE_ANSWERS.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// By what an answer that could not be used is known again, so that nobody pays for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaidAnswer {
    /// SHA-256 over the redacted trace, hex.
    pub content_digest: String,
    /// Digest of everything beside the trace that the answer depends on, hex.
    pub settings_digest: String,
}

/// What was wrong with the answer that an earlier run paid for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnusableAnswer {
    /// One of the kinds of answers.
    pub kind: RejectionKind,
    /// A sentence for a person, redacted.
    pub reason: String,
}

/// One record or trace that could not be processed: a row of the `errors` table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The trace id, or the place where there is none: `URI#L4`, `URI#L4.s2`, `URI#row=17`, `URI`.
    pub trace_ref: String,
    /// Where it happened.
    pub stage: Stage,
    /// What happened, for programs.
    pub kind: RejectionKind,
    /// A sentence for a person.
    pub reason: String,
    /// Whether the same input may succeed later.
    pub retryable: bool,
    /// The object that it came from.
    pub source_uri: String,
    /// True where `trace_ref` is a place and no trace id.
    pub is_place: bool,
    /// Where there was an answer, which was paid for and could not be used.
    pub paid_answer: Option<Box<PaidAnswer>>,
}

impl Rejection {
    /// A record that has no trace id, named by its place in an object.
    pub fn at_place(place: impl fmt::Display, source_uri: &str, stage: Stage, kind: RejectionKind, reason: impl Into<String>) -> Self {
        Self {
            trace_ref: place.to_string(),
            stage,
            kind,
            reason: reason.into(),
            retryable: kind.is_retryable() || matches!(kind, RejectionKind::Unreadable | RejectionKind::Truncated),
            source_uri: source_uri.to_owned(),
            is_place: true,
            paid_answer: None,
        }
    }

    /// A trace with an id.
    pub fn of_trace(trace_id: &str, source_uri: &str, stage: Stage, kind: RejectionKind, reason: impl Into<String>) -> Self {
        Self {
            trace_ref: bounded(trace_id.to_owned(), ID_BYTES_MAX),
            stage,
            kind,
            reason: reason.into(),
            retryable: kind.is_retryable() || matches!(kind, RejectionKind::NoSpans | RejectionKind::Internal),
            source_uri: source_uri.to_owned(),
            is_place: false,
            paid_answer: None,
        }
    }

    /// A trace that was read and not analysed because the run was asked to stop.
    pub fn interrupted(trace_id: &str, source_uri: &str, stage: Stage) -> Self {
        Self::of_trace(
            trace_id,
            source_uri,
            stage,
            RejectionKind::Interrupted,
            "the run was interrupted before this trace was analysed; run it again",
        )
    }
}
