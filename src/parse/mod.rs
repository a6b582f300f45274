//! Parses records of any trace format into span fragments.
//!
//! The input is chunks of records (JSON texts, binary messages, table rows). The output is a [`SpanFragment`] for each span, and a reason
//! for each record that yields none. This stage must not know where objects are stored or how they are compressed, or what a failure
//! is.
//!
//! A trace format is one file that implements [`Format`], its `mod` line, and one entry in [`FORMATS`]. `detect` finds the format of an
//! object, `tasks` parses its chunks on the thread pool, and the gather stage joins the fragments of one trace.

mod by_shape;
mod cell;
mod chat;
mod conventions;
mod counts;
mod datadog;
mod detect;
mod error_text;
mod failsift;
mod failure;
mod infer;
mod inspect;
mod javascript_error;
mod json;
mod json_repair;
mod langfuse;
mod langsmith;
pub(crate) mod message_body;
mod messages;
mod otlp;
mod parsed;
mod phoenix;
mod python_repr;
mod record;
mod span_fields;
mod tasks;
#[cfg(test)]
pub(crate) mod tests;
mod text_record;
mod value;

use arrow::array::RecordBatch;
use serde::{Deserialize, Serialize};

pub use self::counts::ParseCounts;
pub use self::detect::{DetectionScore, Signature};
pub use self::parsed::{Accounted, AnnotationTarget, ParsedChunk, RecordCounts, Skip};
pub use self::tasks::fragments;
use crate::model::{PartSet, RejectionKind, Source, Span};
use crate::read::ReadCounts;
use crate::store::Object;

pub use self::inspect::{Inspection, InstrumentationFacts, ObjectFacts, PartCounts};
pub use self::record::Record;
pub use crate::read::Position;

/// A trace format: one way in which programs export traces.
///
/// A format overrides [`Self::parse_record`] if its records are objects whose fields are all optional, and [`Self::parse_json`] or
/// [`Self::parse_message`] if it has a decoder of its own. It never fails: an error in a record becomes a rejection in the
/// output, and the returned [`Accounted`] proves that every record has an outcome.
pub trait Format: Send + Sync {
    /// The name for `--input-format`.
    fn name(&self) -> &'static str;

    /// The keys that identify its records, companion records included. A table is recognized by its
    /// columns, as if each row were an object with these keys.
    fn signatures(&self) -> &'static [Signature];

    /// How well the top-level keys of a JSON object, or the columns of a table, fit this format; `None` if they do not.
    fn detect_keys(&self, keys: &[String]) -> Option<DetectionScore> {
        detect::best_score(self.signatures(), keys)
    }

    /// Fields that are skipped without being decoded; sorted.
    fn skipped_fields(&self) -> &'static [&'static str] {
        &[]
    }

    /// Parses one record, a JSON object or a table row, whose fields were decoded generically.
    fn parse_record(&self, record: Record<'_>, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        drop(record);
        let reason =
            format!("cannot read {location}: format {} has no table rows\n  hint: --input-format auto detects the format", self.name());
        out.reject(location, RejectionKind::UnrecognisedFormat, reason)
    }

    /// Parses one JSON text.
    ///
    /// # Errors
    /// The parser's error if the text is not a JSON object. Nothing was added to `out` then, so the caller may repair the text and try again.
    fn parse_json(&self, json: &str, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Result<Accounted, serde_json::Error> {
        let record = Record::from_json(json, self.skipped_fields())?;
        Ok(self.parse_record(record, location, out))
    }

    /// Parses a batch of rows; returns one outcome per row.
    fn parse_rows(&self, batch: &RecordBatch, location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Vec<Accounted> {
        let rows = Record::rows(batch, self.skipped_fields(), location).map(|(record, location)| {
            out.begin_record();
            let _budget = json::Budget::for_record(record.text_bytes());
            let accounted = self.parse_record(record, &location, out);
            out.end_record(&location);
            accounted
        });
        rows.collect()
    }

    /// Parses one binary message.
    fn parse_message(&self, message: &[u8], location: &RecordLocation<'_>, out: &mut ParsedChunk) -> Accounted {
        let _ = message;
        let reason = format!(
            "cannot read {location}: format {} has no binary messages\n  hint: --input-format auto detects the format",
            self.name()
        );
        out.reject(location, RejectionKind::UnrecognisedFormat, reason)
    }
}

/// Every format. The order decides only if two formats have the same detection score.
pub const FORMATS: [&dyn Format; 7] =
    [&otlp::Otlp, &phoenix::Phoenix, &langsmith::LangSmith, &datadog::Datadog, &langfuse::Langfuse, &failsift::Failsift, &chat::Chat];

/// The format with this name; `None` for `auto`, which detects the format of each object.
///
/// # Errors
/// A message with the known names, if `name` is not one of them.
pub fn format_named(name: &str) -> Result<Option<&'static dyn Format>, String> {
    if name == "auto" {
        return Ok(None);
    }
    let unknown = || crate::messages::unknown_name("input format", name, &[&["auto"], FORMATS.map(Format::name).as_slice()].concat());
    FORMATS.into_iter().find(|format| format.name() == name).map(Some).ok_or_else(unknown)
}

/// The names of all formats, for messages: `otlp, phoenix, …`.
fn format_names() -> String {
    FORMATS.map(Format::name).join(", ")
}

/// The help of an option that names a format: `WHAT: auto, otlp, … or chat`.
pub fn format_help(what: &str) -> String {
    let names = format_names();
    let (first, last) = names.rsplit_once(", ").unwrap_or_default();
    format!("{what}: auto, {first} or {last}")
}

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
