//! Plain data that passes between the stages. Uses no other module of the crate.
//!
//! A [`Trace`] comes out of `parse`, a [`Draft`] out of `analyze`, a [`Pattern`] out of `validate`; a [`Rejection`] can come
//! out of every stage, and [`RunSummary`] counts what became of everything.

mod deadline;
mod draft;
mod fatal;
mod key;
mod pattern;
mod reasons;
mod rejection;
mod run_summary;
mod slot;
mod stop;
mod text;
mod trace;
mod vocabulary;

pub use deadline::{Deadline, TimedOut};
pub use draft::{Draft, Evidence, EvidenceKind};
pub use fatal::Fatal;
pub use key::{hex, text_key};
pub use pattern::{PATTERN_SCHEMA_VERSION, PatternRow};
pub use reasons::{ReasonCount, Reasons, alike};
pub use rejection::{Answered, Kind, Outcome, OutcomeStream, Rejection, Stage, UnusableAnswer};
pub use run_summary::{AnalyzerCount, ExitReason, Failure, RunStatus, RunSummary};
pub use slot::Slot;
pub use stop::Stop;
pub use text::{bounded, excerpt_around, is_hostile, one_line, visible};
pub use trace::{
    Annotation, Attribute, Document, Exception, FieldName, Message, Source, Span, SpanKind, Status, TextKind, TokenUsage, ToolCall,
    ToolUse, Trace, last_segment,
};
pub use vocabulary::{Label, UnknownLabel, vocabulary};
