//! Plain data passed between the stages: traces, drafts, pattern rows, rejections, run summaries and the vocabulary.
//!
//! `parse` produces a [`Trace`], `analyze` a [`Draft`], `validate` a `Pattern` with its [`PatternRow`]. Every
//! stage can produce a [`Rejection`], and [`RunSummary`] counts all outcomes. Knows nothing of stages, storage or execution.

mod annotation;
mod context;
mod coverage;
mod draft;
mod fact;
mod fingerprint;
mod finish_reason;
mod input_read;
mod key;
mod pattern;
mod quantity;
mod reasons;
mod rejection;
mod run_summary;
mod spreadsheet;
mod text;
mod trace;
mod usage;
mod vocabulary;

pub use annotation::Annotation;
pub use context::{Context, ContextField, RunContext};
pub use coverage::{Coverage, Part, PartSet};
pub use draft::{Draft, Evidence, EvidenceKind};
pub use fact::{Fact, FailedStep, IncidentSummary, TraceProfile, TreeSpan};
pub use fingerprint::{Difference, Dimension, FingerprintRow};
pub use finish_reason::FinishReason;
pub use input_read::InputRead;
pub use key::{hex, key_hash};
pub use pattern::{PATTERN_SCHEMA_VERSION, PatternRow};
pub use quantity::{bytes, duration, with_separators};
pub use reasons::{ReasonCount, ReasonCounts, normalize_numbers};
pub use rejection::{Outcome, OutcomeStream, PaidAnswer, Rejection, RejectionKind, Stage, UnusableAnswer};
pub use run_summary::{AnalyzerCount, ExitReason, Failure, FingerprintTraces, LabelTraces, RunStatus, RunSummary};
pub use spreadsheet::without_formula;
pub use text::{escape_control_chars, escape_to_one_line, excerpt_around, is_unsafe_to_print, truncate_with_digest};
pub use trace::{
    Attribute, Document, Exception, FieldName, Message, Source, Span, SpanKind, Status, TextKind, TokenUsage, ToolCall, ToolUse, Trace,
    last_segment,
};
pub use usage::TraceUsage;
pub use vocabulary::{Label, UnknownLabel, vocabulary};
