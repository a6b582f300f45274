//! Records -> traces.
//!
//! [`Format`] is the seam: one file a format, and one line in [`FORMATS`]. A format turns a line or a batch of rows into
//! [`Piece`]s of traces; `assemble` brings the pieces of one trace together, whatever objects and formats they came in.
//! The format is told per object by the first line or the columns that a format recognises, past broken lines.

mod annotations;
mod assemble;
mod bodies;
mod build;
mod cell;
mod chat;
mod conventions;
mod datadog;
mod error_text;
mod failsift;
mod inspect;
mod json;
mod langfuse;
mod langsmith;
mod messages;
mod otlp;
mod phoenix;
mod python;
mod record;
mod spill;
mod value;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use self::assemble::{AssembleOptions, ParseCounts, traces};
pub use self::spill::SpillFolder;
use crate::limits::TASKS_IN_FLIGHT_MAX;
use crate::model::{Annotation, Kind, OutcomeStream, Rejection, Source, Span, Stage};
use crate::pool;
use crate::read::{Chunk, ReadCounts, Records, Rows};
use crate::store::Object;

pub use self::bodies::Bodies;
pub use self::inspect::{Inspection, ObjectFacts};
pub use self::record::Record;
pub use crate::model::Fatal;
pub use crate::read::Position;

/// A trace format: everything that is known about one way of writing traces down.
pub trait Format: Send + Sync {
    /// The name for `--input-format`.
    fn name(&self) -> &'static str;

    /// Whether a JSON object with these top-level keys is a record of this format, or a companion that it knows.
    fn recognises_keys(&self, keys: &[String]) -> bool;

    /// Whether a table with these columns is of this format: as a rule one whose rows would be its objects.
    fn recognises_columns(&self, columns: &Schema) -> bool {
        let names: Vec<String> = columns.fields().iter().map(|field| field.name().clone()).collect();
        self.recognises_keys(&names)
    }

    /// Fields of a record that are skipped while it is read; sorted.
    fn skips(&self) -> &'static [&'static str] {
        &[]
    }

    /// Reads one record, a JSON object or a row, field by field.
    fn parse_record(&self, record: Record<'_>, place: &Place<'_>, out: &mut Parsed) {
        drop(record);
        out.reject(place, Kind::UnrecognisedFormat, format!("cannot read {place}: {} is not written so", self.name()));
    }

    /// Reads one JSON text.
    fn parse_json(&self, json: &str, place: &Place<'_>, out: &mut Parsed) {
        if let Some(record) = Record::of_json(json, self.skips(), place, out) {
            self.parse_record(record, place, out);
        }
    }

    /// Reads one batch of rows.
    fn parse_rows(&self, batch: &RecordBatch, place: &Place<'_>, out: &mut Parsed) {
        for (record, place) in Record::rows(batch, self.skips(), place) {
            self.parse_record(record, &place, out);
        }
    }

    /// Reads one binary message.
    fn parse_message(&self, message: &[u8], place: &Place<'_>, out: &mut Parsed) {
        let _ = message;
        out.reject(place, Kind::UnrecognisedFormat, format!("cannot read {place}: it is binary, and {} is not", self.name()));
    }
}

fn has_keys(keys: &[String], wanted: &[&str]) -> bool {
    wanted.iter().all(|wanted| keys.iter().any(|key| key == wanted))
}

/// Every format, in the order in which they are tried. A new one is its file and one line here.
pub const FORMATS: [&dyn Format; 7] =
    [&otlp::Otlp, &phoenix::Phoenix, &langsmith::LangSmith, &datadog::Datadog, &langfuse::Langfuse, &failsift::Failsift, &chat::Chat];

/// A part of a trace as it stands in one record.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// The trace it belongs to. Stands beside the piece while it is gathered, so it is not encoded with it.
    #[serde(skip)]
    pub trace_id: String,
    /// Service, where the record says so.
    pub service: Option<String>,
    /// Environment, where the record says so.
    pub environment: Option<String>,
    /// The object it was read from.
    pub source: Source,
    /// The span, or what is added to one.
    pub span: Span,
    /// No span itself, but a log record or a row about the whole trace, which adds to the span of that id or to the trace.
    pub addition: bool,
    /// The record has neither id nor time of its own and took those of its place.
    pub place_is_id: bool,
}

/// What an annotation is about, where the record names only that.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AnnotationTarget {
    /// The span of this id.
    Span(String),
    /// The trace of this id.
    Trace(String),
}

/// What the records of a chunk became.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The object that the chunk is of, and the format that it is read with.
    pub object: Option<(Arc<Object>, Option<&'static str>)>,
    /// Records of the chunk.
    pub records: u64,
    /// Parts of traces.
    pub pieces: Vec<Piece>,
    /// Records that could not be put into a trace.
    pub rejections: Vec<Rejection>,
    /// Objects that hold no traces, or something else beside them.
    pub skipped: Vec<String>,
    /// Annotations that stand apart from their span.
    pub annotations: Vec<(AnnotationTarget, Annotation)>,
    /// URIs of objects that should lie beside this one, as a manifest says.
    pub expected: Vec<String>,
}

impl Parsed {
    /// Records that something at `place` could not be read.
    pub fn reject(&mut self, place: &Place<'_>, kind: Kind, reason: impl Into<String>) {
        self.rejections.push(Rejection::at_place(place, place.uri, Stage::Parse, kind, reason));
    }

    /// Records that the object at `place` holds something known that is no trace.
    fn skip(&mut self, place: &Place<'_>) {
        if self.skipped.last().is_none_or(|last| last != place.uri) {
            self.skipped.push(place.uri.to_owned());
        }
    }
}

/// Where a record stands: rendered as `URI#L4`, `URI#L4.s2`, `URI#msg=3`, `URI#row=17`.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The object.
    pub uri: &'a str,
    /// When the object was written, in nanoseconds since 1970.
    pub modified_at_ns: i64,
    /// The position in it.
    pub position: Position,
    /// The span of a record that holds several, from 1.
    pub span: Option<usize>,
}

impl<'a> Place<'a> {
    fn of(object: &'a Object, position: Position) -> Self {
        Self { uri: &object.uri, modified_at_ns: object.modified_at_ns, position, span: None }
    }

    /// The `index`-th span (from 1) of the record at this place.
    #[must_use]
    pub fn span(self, index: usize) -> Self {
        Self { span: Some(index), ..self }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.uri, self.position)?;
        self.span.map_or(Ok(()), |span| write!(f, ".s{span}"))
    }
}

/// The format that the user named, or none for `auto`.
///
/// # Errors
/// The names that exist, where `name` is none of them.
pub fn format_named(name: &str) -> Result<Option<&'static dyn Format>, String> {
    if name == "auto" {
        return Ok(None);
    }
    let names = || FORMATS.map(Format::name).join(", ");
    FORMATS
        .into_iter()
        .find(|format| format.name() == name)
        .map(Some)
        .ok_or_else(|| format!("{name:?} is no input format\n  hint: auto, {}", names()))
}

/// The objects that a manifest names and that were not there, also not packed: an export that was copied in part looks whole otherwise.
#[must_use]
pub fn missing_objects(parsed: &ParseCounts, read: &ReadCounts) -> Vec<String> {
    let is_there = |uri: &String| read.has_opened(uri) || read.has_opened(&format!("{uri}.gz"));
    parsed.expected_objects().into_iter().filter(|uri| !is_there(uri)).collect()
}

/// Parses chunks on the thread pool, several at once, and does `then` with what a chunk became while it is still warm.
fn parsed<T: Send + 'static>(
    chunks: OutcomeStream<Chunk>,
    forced: Option<&'static dyn Format>,
    then: impl Fn(Parsed) -> T + Clone + Send + Sync + 'static,
) -> BoxStream<'static, T> {
    let mut formats = RecentObjects::default();
    chunks
        .map(move |chunk| match chunk {
            Ok(chunk) => Task::new(chunk, forced, &mut formats),
            Err(rejection) => Task::Done(Parsed { rejections: vec![rejection], ..Parsed::default() }),
        })
        .map(move |task| {
            let then = then.clone();
            async move {
                match task {
                    Task::Done(parsed) => then(parsed),
                    Task::Records(format, records) => {
                        pool::run(move || then(guarded(&records.object, || parse_records(format, &records)))).await
                    }
                    Task::Rows(format, rows) => pool::run(move || then(guarded(&rows.object, || parse_rows(format, &rows)))).await,
                }
            }
        })
        .buffer_unordered(TASKS_IN_FLIGHT_MAX)
        .boxed()
}

/// A defect that a chunk meets costs that chunk and not the run.
fn guarded(object: &Object, parse: impl FnOnce() -> Parsed) -> Parsed {
    pool::guarded(parse).unwrap_or_else(|defect| {
        let reason = format!("cannot read a part of {}: {defect}; please report it", object.uri);
        let rejection = Rejection::at_place(&object.uri, &object.uri, Stage::Parse, Kind::Internal, reason);
        Parsed { rejections: vec![rejection], ..Parsed::default() }
    })
}

/// What the first chunk said of an object.
#[derive(Clone, Copy)]
enum Detected {
    Format(&'static dyn Format),
    Unknown,
}

/// The formats of the objects that were read last. An object that falls out while it is still read is told again by its next chunk.
#[derive(Default)]
struct RecentObjects(VecDeque<(String, Detected)>);

impl RecentObjects {
    const LEN_MAX: usize = 64;

    fn get_or_insert(&mut self, uri: &str, detect: impl FnOnce() -> Detected) -> Detected {
        let known = self.0.iter().position(|(known, _)| known == uri).and_then(|index| self.0.remove(index));
        let entry = known.unwrap_or_else(|| (uri.to_owned(), detect()));
        let detected = entry.1;
        self.0.push_back(entry);
        if self.0.len() > Self::LEN_MAX {
            self.0.pop_front();
        }
        detected
    }
}

enum Task {
    Done(Parsed),
    Records(&'static dyn Format, Records),
    Rows(&'static dyn Format, Rows),
}

impl Task {
    /// Decides with which format a chunk is read. Chunks of one object arrive in order, so the first one decides for all.
    fn new(chunk: Chunk, forced: Option<&'static dyn Format>, formats: &mut RecentObjects) -> Self {
        let (object, first) = match &chunk {
            Chunk::Records(records) => (&records.object, records.first),
            Chunk::Rows(rows) => (&rows.object, rows.first_row == 0),
            Chunk::Skipped(object) => return Self::Done(Parsed { skipped: vec![object.uri.clone()], ..Parsed::default() }),
        };
        let detected = match forced {
            Some(format) => Detected::Format(format),
            None => formats.get_or_insert(&object.uri, || detect(&chunk)),
        };
        match (detected, chunk) {
            (Detected::Format(format), Chunk::Records(records)) => Self::Records(format, records),
            (Detected::Format(format), Chunk::Rows(rows)) => Self::Rows(format, rows),
            (_, chunk) => Self::Done(if first { unrecognised(&chunk) } else { Parsed::default() }),
        }
    }
}

fn detect(chunk: &Chunk) -> Detected {
    let format = match chunk {
        Chunk::Records(records) if records.binary && records.iter().all(|(_, record)| is_binary(record)) => {
            Some(&otlp::Otlp as &'static dyn Format)
        }
        Chunk::Records(records) => records.iter().find_map(|(_, record)| {
            let keys = json::top_level_keys(record)?;
            FORMATS.into_iter().find(|format| format.recognises_keys(&keys))
        }),
        Chunk::Rows(rows) => FORMATS.into_iter().find(|format| format.recognises_columns(rows.batch.schema_ref())),
        Chunk::Skipped(_) => None,
    };
    format.map_or(Detected::Unknown, Detected::Format)
}

/// Whether a framed message is protobuf; the Collector frames JSON too.
fn is_binary(message: &[u8]) -> bool {
    !message.starts_with(b"{")
}

/// One rejection for an object in no known format, which says what was seen.
fn unrecognised(chunk: &Chunk) -> Parsed {
    let (object, seen): (&Arc<Object>, String) = match chunk {
        Chunk::Records(records) => {
            let keys = records.iter().find_map(|(_, record)| json::top_level_keys(record));
            let seen = keys.map_or_else(
                || "it holds no JSON object".to_owned(),
                |keys| {
                    let shown: Vec<_> = keys.iter().take(8).map(|key| key.chars().take(40).collect::<String>()).collect();
                    format!("its JSON objects have the keys {}", shown.join(", "))
                },
            );
            (&records.object, seen)
        }
        Chunk::Rows(rows) => {
            let schema = rows.batch.schema();
            let columns: Vec<_> = schema.fields().iter().take(8).map(|field| field.name().clone()).collect();
            (&rows.object, format!("its columns are {}", columns.join(", ")))
        }
        Chunk::Skipped(object) => (object, String::new()),
    };
    let names = FORMATS.map(Format::name).join(", ");
    let reason =
        format!("cannot read {}: it is in no known trace format; {seen}; known are {names} (--input-format forces one)", object.uri);
    let rejection = Rejection::at_place(&object.uri, &object.uri, Stage::Parse, Kind::UnrecognisedFormat, reason);
    Parsed { object: Some((Arc::clone(object), None)), rejections: vec![rejection], ..Parsed::default() }
}

fn parse_records(format: &dyn Format, records: &Records) -> Parsed {
    let mut out = Parsed { object: Some((Arc::clone(&records.object), Some(format.name()))), ..Parsed::default() };
    for (position, record) in records.iter() {
        out.records += 1;
        let place = Place::of(&records.object, position);
        if records.binary && is_binary(record) {
            format.parse_message(record, &place, &mut out);
            continue;
        }
        match std::str::from_utf8(record) {
            Ok(record) => format.parse_json(record, &place, &mut out),
            Err(error) => {
                let reason = format!("cannot read {place}: byte {} is no UTF-8; write the file again as UTF-8", error.valid_up_to() + 1);
                out.reject(&place, Kind::InvalidUtf8, reason);
            }
        }
    }
    out
}

fn parse_rows(format: &dyn Format, rows: &Rows) -> Parsed {
    let mut out = Parsed {
        object: Some((Arc::clone(&rows.object), Some(format.name()))),
        records: rows.batch.num_rows() as u64,
        ..Parsed::default()
    };
    let place = Place::of(&rows.object, Position::Row(rows.first_row));
    format.parse_rows(&rows.batch, &place, &mut out);
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn place() -> Place<'static> {
        Place { uri: "t.jsonl", modified_at_ns: 1, position: Position::Line(4), span: None }
    }

    /// What a format makes of one line.
    pub(crate) fn parse_line(format: &dyn Format, line: &str) -> Parsed {
        parse_at(format, line, Position::Line(4))
    }

    /// What a format makes of one record at `position`.
    pub(crate) fn parse_at(format: &dyn Format, record: &str, position: Position) -> Parsed {
        let mut out = Parsed::default();
        format.parse_json(record, &Place { position, ..place() }, &mut out);
        out
    }
}
