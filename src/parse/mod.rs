//! Records -> traces.
//!
//! [`Format`] is the seam: one file a format, and one line in [`FORMATS`]. A format turns a line or a batch of rows into
//! [`Piece`]s of traces; `assemble` brings the pieces of one trace together, whatever objects and formats they came in.
//! The format is told per object by the first line or the columns that a format recognises, past broken lines.

mod assemble;
mod conventions;
mod failsift;
mod json;
mod messages;
mod otlp;
mod phoenix;
mod spill;
mod value;

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

pub use self::assemble::{AssembleOptions, Fatal, ParseCounts, traces};
pub use self::spill::SpillFolder;
use crate::limits::TASKS_IN_FLIGHT_MAX;
use crate::model::{Kind, OutcomeStream, Rejection, Source, Span, Stage};
use crate::pool;
use crate::read::{Chunk, Lines, Rows};
use crate::store::Object;

/// A trace format: everything that is known about one way of writing traces down.
pub trait Format: Send + Sync {
    /// The name for `--input-format`.
    fn name(&self) -> &'static str;

    /// Whether a JSON line with these top-level keys is of this format.
    fn recognises_keys(&self, keys: &[String]) -> bool;

    /// Whether a Parquet file with these columns is of this format.
    fn recognises_columns(&self, columns: &Schema) -> bool {
        let _ = columns;
        false
    }

    /// Reads one line.
    fn parse_line(&self, line: &str, place: &Place<'_>, out: &mut Parsed);

    /// Reads one batch of rows.
    fn parse_rows(&self, batch: &RecordBatch, place: &Place<'_>, out: &mut Parsed) {
        let _ = batch;
        out.reject(place, Kind::UnrecognisedFormat, format!("cannot read {place}: {} is not written as Parquet", self.name()));
    }
}

/// Every format, in the order in which they are tried. A new one is its file and one line here.
pub const FORMATS: [&dyn Format; 3] = [&otlp::Otlp, &phoenix::Phoenix, &failsift::Failsift];

/// A part of a trace as it stands in one record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// A log record: it adds messages to the span of that id and is no span itself.
    pub addition: bool,
}

/// What the records of a chunk became.
#[derive(Debug, Default)]
pub struct Parsed {
    /// Parts of traces.
    pub pieces: Vec<Piece>,
    /// Records that could not be put into a trace.
    pub rejections: Vec<Rejection>,
    /// Objects that hold no traces.
    pub skipped: Vec<String>,
}

impl Parsed {
    /// Records that something at `place` could not be read.
    pub fn reject(&mut self, place: &Place<'_>, kind: Kind, reason: impl Into<String>) {
        self.rejections.push(Rejection::at_place(place, place.uri, Stage::Parse, kind, reason));
    }
}

/// Where a record stands: rendered as `URI#L4`, `URI#L4.s2`, `URI#row=17`.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// The object.
    pub uri: &'a str,
    /// The position in it.
    pub position: Position,
}

/// A position in an object.
#[derive(Debug, Clone, Copy)]
pub enum Position {
    /// Line, from 1.
    Line(u64),
    /// Span of a line, both from 1.
    LineSpan(u64, usize),
    /// Row, from 0.
    Row(u64),
}

impl Place<'_> {
    /// The `index`-th span (from 1) of the line at this place.
    #[must_use]
    pub fn span(self, index: usize) -> Self {
        match self.position {
            Position::Line(line) => Self { position: Position::LineSpan(line, index), ..self },
            _ => self,
        }
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.position {
            Position::Line(line) => write!(f, "{}#L{line}", self.uri),
            Position::LineSpan(line, span) => write!(f, "{}#L{line}.s{span}", self.uri),
            Position::Row(row) => write!(f, "{}#row={row}", self.uri),
        }
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
                    Task::Lines(format, lines) => pool::run(move || then(parse_lines(format, &lines))).await,
                    Task::Rows(format, rows) => pool::run(move || then(parse_rows(format, &rows))).await,
                }
            }
        })
        .buffer_unordered(TASKS_IN_FLIGHT_MAX)
        .boxed()
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
    Lines(&'static dyn Format, Lines),
    Rows(&'static dyn Format, Rows),
}

impl Task {
    /// Decides with which format a chunk is read. Chunks of one object arrive in order, so the first one decides for all.
    fn new(chunk: Chunk, forced: Option<&'static dyn Format>, formats: &mut RecentObjects) -> Self {
        let (object, first) = match &chunk {
            Chunk::Lines(lines) => (&lines.object, lines.first),
            Chunk::Rows(rows) => (&rows.object, rows.first_row == 0),
            Chunk::Skipped(object) => return Self::Done(Parsed { skipped: vec![object.uri.clone()], ..Parsed::default() }),
        };
        let detected = match forced {
            Some(format) => Detected::Format(format),
            None => formats.get_or_insert(&object.uri, || detect(&chunk)),
        };
        match (detected, chunk) {
            (Detected::Format(format), Chunk::Lines(lines)) => Self::Lines(format, lines),
            (Detected::Format(format), Chunk::Rows(rows)) => Self::Rows(format, rows),
            (_, chunk) => Self::Done(if first { unrecognised(&chunk) } else { Parsed::default() }),
        }
    }
}

fn detect(chunk: &Chunk) -> Detected {
    let format = match chunk {
        Chunk::Lines(lines) => lines.iter().find_map(|(_, line)| {
            let keys = json::top_level_keys(line)?;
            FORMATS.into_iter().find(|format| format.recognises_keys(&keys))
        }),
        Chunk::Rows(rows) => FORMATS.into_iter().find(|format| format.recognises_columns(rows.batch.schema_ref())),
        Chunk::Skipped(_) => None,
    };
    format.map_or(Detected::Unknown, Detected::Format)
}

/// One rejection for an object in no known format, which says what was seen.
fn unrecognised(chunk: &Chunk) -> Parsed {
    let (object, seen): (&Arc<Object>, String) = match chunk {
        Chunk::Lines(lines) => {
            let keys = lines.iter().find_map(|(_, line)| json::top_level_keys(line));
            let seen = keys.map_or_else(
                || "no line is a JSON object".to_owned(),
                |keys| {
                    let shown: Vec<_> = keys.iter().take(8).map(|key| key.chars().take(40).collect::<String>()).collect();
                    format!("its JSON objects have the keys {}", shown.join(", "))
                },
            );
            (&lines.object, seen)
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
    Parsed { rejections: vec![rejection], ..Parsed::default() }
}

fn parse_lines(format: &dyn Format, lines: &Lines) -> Parsed {
    let mut out = Parsed::default();
    for (number, line) in lines.iter() {
        let place = Place { uri: &lines.object.uri, position: Position::Line(number) };
        match std::str::from_utf8(line) {
            Ok(line) => format.parse_line(line, &place, &mut out),
            Err(error) => {
                let reason = format!("cannot read {place}: byte {} is no UTF-8; write the file again as UTF-8", error.valid_up_to() + 1);
                out.reject(&place, Kind::InvalidUtf8, reason);
            }
        }
    }
    out
}

fn parse_rows(format: &dyn Format, rows: &Rows) -> Parsed {
    let mut out = Parsed::default();
    let place = Place { uri: &rows.object.uri, position: Position::Row(rows.first_row) };
    format.parse_rows(&rows.batch, &place, &mut out);
    out
}

/// Nanoseconds since 1970 of a time as people write it: RFC 3339, or without a zone, which then is UTC.
fn time_from_text(text: &str) -> Option<i64> {
    let zoned = chrono::DateTime::parse_from_rfc3339(text).or_else(|_| chrono::DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f%:z"));
    let time = zoned.map(|time| time.to_utc()).ok().or_else(|| {
        let naive =
            ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f"].iter().find_map(|form| chrono::NaiveDateTime::parse_from_str(text, form).ok());
        naive.map(|time| time.and_utc())
    })?;
    time.timestamp_nanos_opt()
}
