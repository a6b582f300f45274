//! Plain data that passes between the stages. Uses no other module of the crate.
//!
//! A [`Trace`] comes out of `parse`, a [`Draft`] out of `analyze`, a [`Pattern`] out of `validate`; a [`Rejection`] can come
//! out of every stage, and [`RunSummary`] counts what became of everything.

mod draft;
mod key;
mod pattern;
mod reasons;
mod rejection;
mod run_summary;
mod spreadsheet;
mod text;
mod trace;
mod vocabulary;

pub use draft::{Draft, Evidence, EvidenceKind};
pub use key::{hex, key_hash};
pub use pattern::{PATTERN_SCHEMA_VERSION, PatternRow};
pub use reasons::{ReasonCount, ReasonCounts, alike};
pub use rejection::{Outcome, OutcomeStream, PaidAnswer, Rejection, RejectionKind, Stage, UnusableAnswer};
pub use run_summary::{AnalyzerCount, ExitReason, Failure, RunStatus, RunSummary};
pub use spreadsheet::without_formula;
pub use text::{bounded, excerpt_around, is_hostile, one_line, visible};
pub use trace::{
    Annotation, Attribute, Document, Exception, FieldName, Message, Source, Span, SpanKind, Status, TextKind, TokenUsage, ToolCall,
    ToolUse, Trace, last_segment,
};
pub use vocabulary::{Label, UnknownLabel, vocabulary};
