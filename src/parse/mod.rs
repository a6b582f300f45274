//! Parses records of any trace format into span fragments.
//!
//! The input is chunks of records (JSON texts, binary messages, table rows). The output is a [`SpanFragment`] for each span, and a reason
//! for each record that yields none. This stage must not know where objects are stored or how they are compressed, or what a failure
//! is.
//!
//! A trace format is one file of `formats`. `detect` finds the format of an object, `tasks` parses its chunks on the thread pool, and the
//! gather stage joins the fragments of one trace.

mod by_shape;
mod cell;
mod context;
mod conventions;
mod counts;
mod detect;
mod envelope;
mod error_text;
mod failure;
mod formats;
mod infer;
mod inspect;
mod javascript_error;
mod json;
mod json_repair;
pub(crate) mod message_body;
mod messages;
mod parsed;
mod python_repr;
mod record;
mod span_fields;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod text_record;
mod value;

use serde::{Deserialize, Serialize};

pub use self::counts::ParseCounts;
pub use self::detect::{DetectionScore, Signature};
pub use self::formats::{FORMATS, Format, format_help, format_name, format_named, format_number};
pub use self::parsed::{Accounted, AnnotationTarget, ParsedChunk, RecordCounts, Skip};
pub use self::tasks::fragments;
use crate::model::{Context, PartSet, Source, Span};
use crate::read::ReadCounts;
use crate::store::Object;

pub use self::inspect::{Inspection, InstrumentationFacts, ObjectFacts, PartCounts};
pub use self::record::Record;
pub use crate::read::Position;

/// A span of a trace, or a record that adds to a span or a trace, as read from one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpanFragment {
    /// The trace that it belongs to. The gather stage stores it next to the fragment, so it is not encoded.
    #[serde(skip)]
    pub trace_id: String,
    /// The service, if the record names it.
    pub service: Option<String>,
    /// The environment, if the record names it.
    pub environment: Option<String>,
    /// The object that contains the record.
    pub source: Source,
    /// The span, or the fields to add to one.
    pub span: Span,
    /// Whether this is not a span, but a log record or a row about the whole trace: its fields are added to the span with the same id, or
    /// to the trace.
    pub addition: bool,
    /// Whether the record describes only a part of its span, such as the call of a tool, or its result. The parts of a span are joined.
    pub is_part: bool,
    /// [`Span::unread_fields`], which is not encoded with the span.
    pub unread_fields: u32,
    /// [`Span::truncated_fields`], which is not encoded with the span.
    pub truncated_fields: u32,
    /// [`Span::not_understood`], which is not encoded with the span.
    pub not_understood: PartSet,
    /// [`Span::inferred`], which is not encoded with the span.
    pub inferred: PartSet,
    /// Whether the record has neither id nor time, so that its location serves as the id and the time of its object as the time.
    pub has_synthetic_id: bool,
    /// What the record says about the deployment and the run as a whole.
    pub context: Context,
    /// [`Span::cost_usd`], which is not encoded with the span.
    pub cost_usd: Option<f64>,
    /// The format of the object: its number in [`FORMATS`], from 1; 0 if it is unknown.
    pub format: u8,
}

/// The location of a record, displayed as `URI#L4`, `URI#L4.s2`, `URI#msg=3` or `URI#row=17`.
#[derive(Debug, Clone, Copy)]
pub struct RecordLocation<'a> {
    /// The object.
    pub uri: &'a str,
    /// When the object was written, in nanoseconds since 1970.
    pub modified_at_ns: i64,
    /// The position in the object.
    pub position: Position,
    /// The index, from 1, of one of several spans in the record.
    pub span: Option<usize>,
}

impl<'a> RecordLocation<'a> {
    fn new(object: &'a Object, position: Position) -> Self {
        Self { uri: &object.uri, modified_at_ns: object.modified_at_ns, position, span: None }
    }

    /// The location of the `index`-th span (from 1) of the record at this location.
    #[must_use]
    pub fn span(self, index: usize) -> Self {
        Self { span: Some(index), ..self }
    }
}

impl std::fmt::Display for RecordLocation<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.uri, self.position)?;
        self.span.map_or(Ok(()), |span| write!(f, ".s{span}"))
    }
}

/// The objects that a manifest lists and the input lacks. An export that was copied in part looks complete otherwise. An object counts as
/// present if it was compressed since, with `.gz` added to its name.
#[must_use]
pub fn missing_objects(parsed: &ParseCounts, read: &ReadCounts) -> Vec<String> {
    let is_present = |uri: &String| read.has_opened(uri) || read.has_opened(&format!("{uri}.gz"));
    parsed.expected_objects().into_iter().filter(|uri| !is_present(uri)).collect()
}
