//! Parses chunks on the thread pool.
//!
//! At most [`TASKS_IN_FLIGHT_MAX`] chunks are parsed at once. A chunk whose parser panics becomes one rejection.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::Semaphore;

use super::detect::{self, Detected, ObjectFormats};
use super::{Format, ParseCounts, ParsedChunk, Position, RecordLocation, Skip, json, text_record};
use crate::limits::{CHUNK_BYTES, TASKS_IN_FLIGHT_MAX};
use crate::model::{OutcomeStream, Rejection, RejectionKind, Stage};
use crate::read::{Chunk, Records, Rows};
use crate::runtime::pool;
use crate::store::Object;

/// Parses chunks on the thread pool, several at once, and applies `then` to each parsed chunk on the same thread, within the same memory
/// bound: the spans of a large record take many times its size. `forced` is the format that the user named; otherwise each object's format
/// is detected.
pub fn fragments<T: Send + 'static>(
    chunks: OutcomeStream<Chunk>,
    forced: Option<&'static dyn Format>,
    counts: &Arc<ParseCounts>,
    then: impl Fn(ParsedChunk) -> T + Clone + Send + Sync + 'static,
) -> BoxStream<'static, T> {
    let (records_in, counts) = (Arc::clone(counts), Arc::clone(counts));
    let then = move |parsed: ParsedChunk| {
        counts.add(&parsed);
        then(parsed)
    };
    let mut formats = ObjectFormats::default();
    let permits = Arc::new(Semaphore::new(TASKS_IN_FLIGHT_MAX));
    chunks
        .inspect(move |chunk| {
            let records = chunk.as_ref().map_or(1, record_count);
            records_in.add_records_in(records);
        })
        .map(move |chunk| match chunk {
            Ok(chunk) => Task::new(chunk, forced, &mut formats),
            Err(rejection) => Task::Done(rejected(rejection)),
        })
        .map(move |task| {
            let (then, permits) = (then.clone(), Arc::clone(&permits));
            async move {
                // A record of several megabytes takes many times its size while it is parsed, so it takes all permits.
                let _permits = permits.acquire_many(task.permits()).await;
                match task {
                    Task::Done(parsed) => then(parsed),
                    Task::Records(detected, records) => {
                        let count = records.iter().count() as u64;
                        pool::run(move || then(catch_panic(&records.object, count, || parse_records(detected, forced, &records)))).await
                    }
                    Task::Rows(format, rows) => {
                        let count = rows.batch.num_rows() as u64;
                        pool::run(move || then(catch_panic(&rows.object, count, || parse_rows(format, &rows)))).await
                    }
                }
            }
        })
        .buffer_unordered(TASKS_IN_FLIGHT_MAX)
        .boxed()
}

fn record_count(chunk: &Chunk) -> u64 {
    match chunk {
        Chunk::Records(records) => records.iter().count() as u64,
        Chunk::Rows(rows) => rows.batch.num_rows() as u64,
        Chunk::Skipped(_) => 0,
    }
}

/// Turns a panic of the parser into one rejection, so that a bug affects one chunk and not the run.
fn catch_panic(object: &Object, records: u64, parse: impl FnOnce() -> ParsedChunk) -> ParsedChunk {
    pool::catch_panic(parse).unwrap_or_else(|panic| {
        let reason = format!("cannot read a part of {}: {panic}\n  hint: please report it", object.uri);
        let rejection = Rejection::at_location(&object.uri, &object.uri, Stage::Parse, RejectionKind::Internal, reason);
        let mut out = ParsedChunk::default();
        // The panic dropped the records and their locations, so one rejection covers all of them.
        out.records.add_rejected(records);
        let _counted_above = out.reject_as(rejection);
        out
    })
}

/// The outcome of a record, or of the rest of an object, that the reader rejected.
fn rejected(rejection: Rejection) -> ParsedChunk {
    let mut out = ParsedChunk::default();
    let accounted = out.reject_as(rejection);
    out.records.add(accounted);
    out
}

/// The work for one chunk.
enum Task {
    /// Nothing to parse.
    Done(ParsedChunk),
    Records(Detected, Records),
    Rows(&'static dyn Format, Rows),
}

impl Task {
    fn new(chunk: Chunk, forced: Option<&'static dyn Format>, formats: &mut ObjectFormats) -> Self {
        match &chunk {
            Chunk::Skipped(object) => return Self::Done(ParsedChunk { skipped: vec![object.uri.clone()], ..ParsedChunk::default() }),
            Chunk::Rows(rows) if detect::is_failsift_table(rows.batch.schema_ref()) => return Self::Done(skip_failsift_table(rows)),
            Chunk::Records(_) | Chunk::Rows(_) => {}
        }
        match (forced.map(Detected::direct).or_else(|| formats.format_of(&chunk)), chunk) {
            (Some(detected), Chunk::Records(records)) => Self::Records(detected, records),
            (Some(Detected { format, .. }), Chunk::Rows(rows)) => Self::Rows(format, rows),
            (_, chunk) => Self::Done(detect::reject_unrecognized(&chunk)),
        }
    }

    /// The permits that the task needs: its size in chunks of the usual size.
    fn permits(&self) -> u32 {
        let bytes = match self {
            Self::Records(_, records) => records.bytes(),
            // The reader cuts rows into chunks of the usual size; only a single row can be larger.
            Self::Rows(_, rows) if rows.batch.num_rows() == 1 => CHUNK_BYTES * 2 * TASKS_IN_FLIGHT_MAX,
            Self::Rows(..) | Self::Done(_) => 0,
        };
        u32::try_from((bytes / (2 * CHUNK_BYTES)).clamp(1, TASKS_IN_FLIGHT_MAX)).unwrap_or(1)
    }
}

fn skip_failsift_table(rows: &Rows) -> ParsedChunk {
    let mut out = ParsedChunk { skipped: vec![rows.object.uri.clone()], ..ParsedChunk::default() };
    out.records.add_skipped(Skip::OwnTable, rows.batch.num_rows() as u64);
    out
}

fn parse_records(detected: Detected, forced: Option<&'static dyn Format>, records: &Records) -> ParsedChunk {
    let format = detected.format;
    let mut out = ParsedChunk { object: Some((Arc::clone(&records.object), Some(format.name()))), ..ParsedChunk::default() };
    let parser = text_record::Parser { format, forced, is_log: detected.is_log || records.is_log };
    for (position, record) in records.iter() {
        let location = RecordLocation::new(&records.object, position);
        out.begin_record();
        let _budget = json::Budget::for_record(record.len());
        let accounted = if records.binary && detect::is_protobuf(record) {
            format.parse_message(record, &location, &mut out)
        } else {
            parser.parse(record, &location, &mut out)
        };
        out.end_record(&location);
        out.records.add(accounted);
    }
    out.set_format(format.name());
    out
}

fn parse_rows(format: &dyn Format, rows: &Rows) -> ParsedChunk {
    let mut out = ParsedChunk { object: Some((Arc::clone(&rows.object), Some(format.name()))), ..ParsedChunk::default() };
    let location = RecordLocation::new(&rows.object, Position::Row(rows.first_row));
    for accounted in format.parse_rows(&rows.batch, &location, &mut out) {
        out.records.add(accounted);
    }
    out.set_format(format.name());
    out
}
