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
mod parsed;
mod phoenix;
mod python;
mod record;
mod repair;
mod spill;
mod text;
mod value;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use futures::StreamExt;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use self::assemble::{AssembleOptions, ParseCounts, traces};
pub use self::parsed::{Accounted, AnnotationTarget, Parsed, RecordCounts, Skip};
pub use self::spill::SpillFolder;
use crate::limits::{CHUNK_BYTES, TASKS_IN_FLIGHT_MAX};
use crate::model::{OutcomeStream, Rejection, RejectionKind, Source, Span, Stage};
use crate::read::{Chunk, ReadCounts, Records, Rows};
use crate::runtime::pool;
use crate::store::Object;
use crate::suggest;

pub use self::bodies::Bodies;
pub use self::inspect::{Inspection, ObjectFacts};
pub use self::record::Record;
pub use crate::read::Position;
pub use crate::runtime::FatalError;

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
    fn parse_record(&self, record: Record<'_>, place: &Place<'_>, out: &mut Parsed) -> Accounted {
        drop(record);
        out.reject(place, RejectionKind::UnrecognisedFormat, format!("cannot read {place}: {} is not written so", self.name()))
    }

    /// Reads one JSON text.
    ///
    /// # Errors
    /// What the parser says of a text that is no JSON, or no JSON object. Nothing was taken from it then, and it is looked at again.
    fn parse_json(&self, json: &str, place: &Place<'_>, out: &mut Parsed) -> Result<Accounted, serde_json::Error> {
        let record = Record::of_json(json, self.skips())?;
        Ok(self.parse_record(record, place, out))
    }

    /// Reads one batch of rows; one answer for each.
    fn parse_rows(&self, batch: &RecordBatch, place: &Place<'_>, out: &mut Parsed) -> Vec<Accounted> {
        let rows = Record::rows(batch, self.skips(), place).map(|(record, place)| {
            out.begin_record();
            let _budget = json::Budget::for_record(record.text_bytes());
            let accounted = self.parse_record(record, &place, out);
            out.end_record(&place);
            accounted
        });
        rows.collect()
    }

    /// Reads one binary message.
    fn parse_message(&self, message: &[u8], place: &Place<'_>, out: &mut Parsed) -> Accounted {
        let _ = message;
        out.reject(place, RejectionKind::UnrecognisedFormat, format!("cannot read {place}: it is binary, and {} is not", self.name()))
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
    /// [`Span::unread_fields`] and [`Span::cut_fields`], which are not encoded with the span.
    pub unread_fields: u32,
    /// See above.
    pub cut_fields: u32,
    /// The record has neither id nor time of its own and took those of its place.
    pub place_is_id: bool,
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
    let unknown = || suggest::unknown_name("input format", name, &[&["auto"], FORMATS.map(Format::name).as_slice()].concat());
    FORMATS.into_iter().find(|format| format.name() == name).map(Some).ok_or_else(unknown)
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
    counts: Arc<ParseCounts>,
    then: impl Fn(Parsed) -> T + Clone + Send + Sync + 'static,
) -> BoxStream<'static, T> {
    let mut formats = RecentObjects::default();
    let room = Arc::new(Semaphore::new(TASKS_IN_FLIGHT_MAX));
    chunks
        .inspect(move |chunk| {
            let records = chunk.as_ref().map_or(1, records_of);
            counts.records_in.fetch_add(records, Ordering::Relaxed);
        })
        .map(move |chunk| match chunk {
            Ok(chunk) => Task::new(chunk, forced, &mut formats),
            Err(rejection) => Task::Done(unreadable(rejection)),
        })
        .map(move |task| {
            let (then, room) = (then.clone(), Arc::clone(&room));
            async move {
                // A record of megabytes takes many times as much while it is read, so there is one of them at a time.
                let _room = room.acquire_many(task.weight()).await;
                match task {
                    Task::Done(parsed) => then(parsed),
                    Task::Records(format, records) => {
                        let count = records.iter().count() as u64;
                        pool::run(move || then(guarded(&records.object, count, || parse_records(format, &records)))).await
                    }
                    Task::Rows(format, rows) => {
                        let count = rows.batch.num_rows() as u64;
                        pool::run(move || then(guarded(&rows.object, count, || parse_rows(format, &rows)))).await
                    }
                }
            }
        })
        .buffer_unordered(TASKS_IN_FLIGHT_MAX)
        .boxed()
}

fn records_of(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Records(records) => records.iter().count() as u64,
        Chunk::Rows(rows) => rows.batch.num_rows() as u64,
        Chunk::Skipped(_) => 0,
    }
}

/// A defect that a chunk meets costs that chunk and not the run.
fn guarded(object: &Object, records: u64, parse: impl FnOnce() -> Parsed) -> Parsed {
    pool::catch_panic(parse).unwrap_or_else(|defect| {
        let reason = format!("cannot read a part of {}: {defect}; please report it", object.uri);
        let rejection = Rejection::at_place(&object.uri, &object.uri, Stage::Parse, RejectionKind::Internal, reason);
        let mut out = Parsed::default();
        out.records.add_rejected(records);
        // The records of the chunk have no places any more; the one rejection stands for all.
        let _counted_above = out.reject_as(rejection);
        out
    })
}

/// A record, or the rest of an object, that could not be read.
fn unreadable(rejection: Rejection) -> Parsed {
    let mut out = Parsed::default();
    let accounted = out.reject_as(rejection);
    out.records.add(accounted);
    out
}

/// What the chunks of an object have said so far.
#[derive(Clone, Copy)]
enum Detected {
    Format(&'static dyn Format),
    /// No record was recognised; the next chunk may hold one.
    Unknown,
}

/// The formats of the objects that were read last. An object that falls out while it is still read is told again by its next chunk.
#[derive(Default)]
struct RecentObjects(VecDeque<(String, Detected)>);

impl RecentObjects {
    const LEN_MAX: usize = 64;

    fn detect(&mut self, uri: &str, detect: impl FnOnce() -> Detected) -> Detected {
        let known = self.0.iter().position(|(known, _)| known == uri).and_then(|index| self.0.remove(index));
        let detected = match known {
            Some((_, Detected::Format(format))) => Detected::Format(format),
            _ => detect(),
        };
        self.0.push_back((uri.to_owned(), detected));
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
    /// How many chunks of the usual size it is worth.
    fn weight(&self) -> u32 {
        let bytes = match self {
            Self::Done(_) => 0,
            Self::Records(_, records) => records.bytes(),
            // Chunks of rows are of the usual size, or one row that is larger.
            Self::Rows(_, rows) => {
                if rows.batch.num_rows() == 1 {
                    CHUNK_BYTES * 2 * TASKS_IN_FLIGHT_MAX
                } else {
                    0
                }
            }
        };
        u32::try_from((bytes / (2 * CHUNK_BYTES)).clamp(1, TASKS_IN_FLIGHT_MAX)).unwrap_or(1)
    }

    /// Decides with which format a chunk is read. Chunks of one object arrive in order, so the first one of which a record is recognised
    /// decides for those behind it.
    fn new(chunk: Chunk, forced: Option<&'static dyn Format>, formats: &mut RecentObjects) -> Self {
        let (object, first) = match &chunk {
            Chunk::Records(records) => (&records.object, records.first),
            Chunk::Rows(rows) => (&rows.object, rows.first_row == 0),
            Chunk::Skipped(object) => return Self::Done(Parsed { skipped: vec![object.uri.clone()], ..Parsed::default() }),
        };
        if let Chunk::Rows(rows) = &chunk
            && is_own_table(rows.batch.schema_ref())
        {
            return Self::Done(own_table(rows));
        }
        let detected = match forced {
            Some(format) => Detected::Format(format),
            None => formats.detect(&object.uri, || detect(&chunk)),
        };
        match (detected, chunk) {
            (Detected::Format(format), Chunk::Records(records)) => Self::Records(format, records),
            (Detected::Format(format), Chunk::Rows(rows)) => Self::Rows(format, rows),
            (_, chunk) => Self::Done(unrecognised(&chunk, first)),
        }
    }
}

/// Whether a table with these columns is one that failsift wrote: tables of other runs lie below many an input.
fn is_own_table(columns: &Schema) -> bool {
    let own: [&[&str]; 3] = [
        &["trace_id", "category", "contributing_factor", "fingerprint", "confidence_rationale"],
        &["trace_ref", "stage", "kind", "reason", "retryable", "source_uri"],
        &["run_id", "pipeline", "status", "received", "stored", "redaction_key_id"],
    ];
    own.iter().any(|names| names.iter().all(|name| columns.column_with_name(name).is_some()))
}

fn own_table(rows: &Rows) -> Parsed {
    let mut out = Parsed { skipped: vec![rows.object.uri.clone()], ..Parsed::default() };
    out.records.add_skipped(Skip::OwnTable, rows.batch.num_rows() as u64);
    out
}

fn detect(chunk: &Chunk) -> Detected {
    let format = match chunk {
        Chunk::Records(records) if records.binary && records.iter().all(|(_, record)| is_binary(record)) => {
            Some(&otlp::Otlp as &'static dyn Format)
        }
        Chunk::Records(records) => records.iter().find_map(|(_, record)| {
            let keys = text::keys(record)?;
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

/// A key as a reason shows it. What is no name is not cut: of a half value redaction would not know what it was.
fn shown_key(key: &str) -> String {
    const SHOWN_BYTES_MAX: usize = 40;
    let is_name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$'));
    if is_name && key.len() <= SHOWN_BYTES_MAX { key.to_owned() } else { format!("… ({} bytes)", key.len()) }
}

/// One rejection for an object in no known format, which says what was seen. What comes behind its first chunk is only counted.
fn unrecognised(chunk: &Chunk, first: bool) -> Parsed {
    let (object, records, seen): (&Arc<Object>, u64, String) = match chunk {
        Chunk::Records(records) => {
            let keys = records.iter().find_map(|(_, record)| text::keys(record));
            let seen = keys.map_or_else(
                || "it holds no JSON object".to_owned(),
                |keys| {
                    let shown: Vec<_> = keys.iter().take(8).map(|key| shown_key(key)).collect();
                    format!("its JSON objects have the keys {}", shown.join(", "))
                },
            );
            (&records.object, records.iter().count() as u64, seen)
        }
        Chunk::Rows(rows) => {
            let schema = rows.batch.schema();
            let columns: Vec<_> = schema.fields().iter().take(8).map(|field| shown_key(field.name())).collect();
            (&rows.object, rows.batch.num_rows() as u64, format!("its columns are {}", columns.join(", ")))
        }
        Chunk::Skipped(object) => (object, 0, String::new()),
    };
    let mut out = Parsed { object: Some((Arc::clone(object), None)), ..Parsed::default() };
    out.records.add_rejected(records);
    if first {
        let names = FORMATS.map(Format::name).join(", ");
        let reason = format!(
            "cannot read {}: unknown trace format; {seen}; known formats: {names}\n  hint: --input-format NAME reads it as one of them",
            object.uri
        );
        let rejection = Rejection::at_place(&object.uri, &object.uri, Stage::Parse, RejectionKind::UnrecognisedFormat, reason);
        // Its records are counted above; the one rejection stands for all.
        let _counted_above = out.reject_as(rejection);
    }
    out
}

fn parse_records(format: &dyn Format, records: &Records) -> Parsed {
    let mut out = Parsed { object: Some((Arc::clone(&records.object), Some(format.name()))), ..Parsed::default() };
    for (position, record) in records.iter() {
        let place = Place::of(&records.object, position);
        out.begin_record();
        let _budget = json::Budget::for_record(record.len());
        let accounted = if records.binary && is_binary(record) {
            format.parse_message(record, &place, &mut out)
        } else {
            text::parse(format, record, &place, &mut out)
        };
        out.end_record(&place);
        out.records.add(accounted);
    }
    out
}

fn parse_rows(format: &dyn Format, rows: &Rows) -> Parsed {
    let mut out = Parsed { object: Some((Arc::clone(&rows.object), Some(format.name()))), ..Parsed::default() };
    let place = Place::of(&rows.object, Position::Row(rows.first_row));
    for accounted in format.parse_rows(&rows.batch, &place, &mut out) {
        out.records.add(accounted);
    }
    out
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

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
        parse_bytes(format, record.as_bytes(), position)
    }

    fn parse_bytes(format: &dyn Format, record: &[u8], position: Position) -> Parsed {
        let mut out = Parsed::default();
        let accounted = text::parse(format, record, &Place { position, ..place() }, &mut out);
        out.records.add(accounted);
        out
    }

    /// Names that formats look for, so that generated records get past their first checks.
    const NAMES: [&str; 40] = [
        "resourceSpans",
        "resourceLogs",
        "resourceMetrics",
        "resource",
        "scopeSpans",
        "scopeLogs",
        "spans",
        "logRecords",
        "traceId",
        "spanId",
        "trace_id",
        "span_id",
        "id",
        "name",
        "startTimeUnixNano",
        "start_time",
        "start_ns",
        "attributes",
        "key",
        "value",
        "stringValue",
        "events",
        "status",
        "data",
        "meta",
        "links",
        "body",
        "path",
        "headers",
        "type",
        "runs",
        "cursors",
        "messages",
        "role",
        "content",
        "context",
        "annotator_kind",
        "files",
        "projectId",
        "timestamp",
    ];

    fn json() -> impl Strategy<Value = String> {
        let text = prop_oneof!["[a-z0-9]{0,8}", Just("5b8efff798038103d269b633813fc60c".to_owned()), Just("eee19b7ec3c1b174".to_owned())];
        let leaf = prop_oneof![
            Just("null".to_owned()),
            Just("NaN".to_owned()),
            Just("1795424023443017575".to_owned()),
            Just("\"2026-11-23T09:00:00Z\"".to_owned()),
            any::<bool>().prop_map(|value| value.to_string()),
            text.prop_map(|text| format!("{text:?}")),
        ];
        let key = prop_oneof![9 => prop::sample::select(NAMES.as_slice()).prop_map(str::to_owned), 1 => "[a-z]{1,4}"];
        leaf.prop_recursive(6, 40, 5, move |inner| {
            let fields = prop::collection::vec((key.clone(), inner.clone()), 0..5);
            let object = fields.prop_map(|fields| {
                let fields: Vec<_> = fields.into_iter().map(|(key, value)| format!("{key:?}:{value}")).collect();
                format!("{{{}}}", fields.join(","))
            });
            prop_oneof![2 => prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(","))), 3 => object]
        })
    }

    /// Whatever came in went to exactly one place, and that place is not empty.
    fn assert_accounted(out: &Parsed, input: &str) {
        let records = &out.records;
        assert_eq!((records.read, records.accounted_for()), (1, 1), "{input}");
        let spans = out.pieces.iter().filter(|piece| !piece.addition).count();
        let companions = out.pieces.len() - spans + out.annotations.len() + out.expected.len();
        assert_eq!(records.spans > 0, spans > 0, "{input}");
        assert!(records.companions == 0 || companions > 0 || !out.skipped.is_empty(), "{input}");
        assert!(records.rejected == 0 || !out.rejections.is_empty(), "{input}");
        assert!(records.skipped == 0 || !records.skips.is_empty(), "{input}");
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

        #[test]
        fn every_format_accounts_for_arbitrary_json(record in json()) {
            for format in FORMATS {
                assert_accounted(&parse_line(format, &record), &record);
            }
        }

        #[test]
        fn every_format_accounts_for_arbitrary_bytes(record in prop::collection::vec(any::<u8>(), 0..60)) {
            for format in FORMATS {
                assert_accounted(&parse_bytes(format, &record, Position::Line(1)), &String::from_utf8_lossy(&record));
                let mut out = Parsed::default();
                let accounted = format.parse_message(&record, &place(), &mut out);
                out.records.add(accounted);
                assert_accounted(&out, &String::from_utf8_lossy(&record));
            }
        }
    }
}
