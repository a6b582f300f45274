//! Objects -> records. Knows bytes, lines and rows; nothing of trace formats.
//!
//! What an object is, its first bytes say, not its name: a gzip file named `.jsonl` is read, a text named `.parquet` is rejected.
//! At most [`OBJECTS_IN_FLIGHT_MAX`] objects are open, each with [`CHUNKS_QUEUED_MAX`] chunks in its queue.

mod decompress;
mod lines;
mod parquet;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{GetOptions, GetResultPayload, ObjectStore};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

pub use self::lines::Lines;
use crate::limits::{CHUNKS_QUEUED_MAX, OBJECTS_IN_FLIGHT_MAX};
use crate::model::{Kind, Outcome, OutcomeStream, Rejection, Stage, text_key};
use crate::store::{Object, StoreError};

/// What the reader hands on: some lines or some rows of one object.
#[derive(Debug)]
pub enum Chunk {
    /// Whole lines.
    Lines(Lines),
    /// Rows of a Parquet file.
    Rows(Rows),
    /// An object that holds no traces by its name: a licence, a notice.
    Skipped(Arc<Object>),
}

/// A batch of Parquet rows.
#[derive(Debug)]
pub struct Rows {
    /// Where they came from.
    pub object: Arc<Object>,
    /// The columns.
    pub batch: RecordBatch,
    /// Index of the first row in the file, from 0.
    pub first_row: u64,
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Lines over this are rejected as oversize.
    pub record_bytes_max: usize,
}

/// Counts of what was read, shared with the run summary.
#[derive(Debug, Default)]
pub struct ReadCounts {
    /// Objects opened.
    pub objects: AtomicU64,
    /// Their bytes before decompression.
    pub bytes: AtomicU64,
    keys: Mutex<HashSet<u128>>,
}

impl ReadCounts {
    /// The keys of the URIs of the objects that were opened.
    pub fn object_keys(&self) -> HashSet<u128> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn opened(&self, object: &Object) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(object.size, Ordering::Relaxed);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(text_key(&object.uri));
    }
}

/// Reads every object of `objects`; stops opening new ones and ends early once `shutdown` is cancelled.
pub fn records(
    objects: BoxStream<'static, Result<Object, StoreError>>,
    options: ReadOptions,
    counts: Arc<ReadCounts>,
    shutdown: CancellationToken,
) -> OutcomeStream<Chunk> {
    objects
        .take_until(shutdown.clone().cancelled_owned())
        .map(move |object| match object {
            Ok(object) => chunks(Arc::new(object), options.clone(), Arc::clone(&counts), shutdown.clone()),
            Err(error) => {
                let location = match &error {
                    StoreError::Location { location, .. } | StoreError::Unreadable { location, .. } => location.clone(),
                };
                let rejection = Rejection::at_place(&location, &location, Stage::Read, Kind::Unreadable, error.to_string());
                stream::once(async { Err(rejection) }).boxed()
            }
        })
        .flatten_unordered(OBJECTS_IN_FLIGHT_MAX)
        .boxed()
}

/// The chunks of one object.
fn chunks(object: Arc<Object>, options: ReadOptions, counts: Arc<ReadCounts>, shutdown: CancellationToken) -> OutcomeStream<Chunk> {
    if holds_no_traces(object.name()) {
        return stream::once(async { Ok(Chunk::Skipped(object)) }).boxed();
    }
    stream::once(async move {
        tracing::debug!(uri = object.uri, size = object.size, "reading");
        counts.opened(&object);
        match open(&object).await {
            Ok(Opened::Empty) => stream::empty().boxed(),
            Ok(Opened::Parquet) => parquet::rows(object),
            Ok(Opened::Text(source, compression)) => text(object, source, compression, options, shutdown),
            Err(rejection) => stream::once(async { Err(rejection) }).boxed(),
        }
    })
    .flatten()
    .boxed()
}

/// Names that people leave beside traces. Hidden files and `_SUCCESS` markers are skipped as every Hadoop reader does.
fn holds_no_traces(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let extension = lower.rsplit('.').next().unwrap_or_default();
    lower.starts_with(['.', '_'])
        || matches!(extension, "txt" | "md")
        || matches!(stem, "license" | "licence" | "notice" | "readme" | "copying")
}

/// An object that was opened once, and what its first bytes say.
enum Opened {
    Empty,
    Parquet,
    Text(Box<dyn io::Read + Send>, decompress::Compression),
}

/// Opens an object with one request: plain web servers know no ranges, and buckets bill requests.
async fn open(object: &Object) -> Outcome<Opened> {
    if object.size == 0 {
        return Ok(Opened::Empty);
    }
    let result = object.store.get_opts(&object.path, GetOptions::default()).await.map_err(|error| unreadable(object, &error))?;
    let (head, source): (Vec<u8>, Box<dyn io::Read + Send>) = match result.payload {
        GetResultPayload::File(mut file, _) => {
            let head = head_of_file(&mut file).map_err(|error| unreadable(object, &error))?;
            (head, Box::new(file))
        }
        GetResultPayload::Stream(mut body) => {
            let mut head = Vec::new();
            while head.len() < MAGIC_BYTES
                && let Some(part) = body.next().await
            {
                head.extend_from_slice(&part.map_err(|error| unreadable(object, &error))?);
            }
            let first = stream::once(std::future::ready(Ok(bytes::Bytes::from(head.clone()))));
            let rest = body.map(|part| part.map_err(|error| io::Error::new(io::ErrorKind::ConnectionAborted, error)));
            (head, Box::new(SyncIoBridge::new(StreamReader::new(first.chain(rest)))))
        }
    };
    if head.starts_with(b"PAR1") {
        return Ok(Opened::Parquet);
    }
    if object.name().to_ascii_lowercase().ends_with(".parquet") {
        let reason = format!("cannot read {}: it is named .parquet but does not start with PAR1, so it is no Parquet file", object.uri);
        return Err(Rejection::at_place(&object.uri, &object.uri, Stage::Read, Kind::CorruptParquet, reason));
    }
    Ok(Opened::Text(source, decompress::Compression::of(&head)))
}

/// Bytes by which an object's kind is told.
const MAGIC_BYTES: usize = 4;

fn head_of_file(file: &mut File) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    file.take(MAGIC_BYTES as u64).read_to_end(&mut head)?;
    file.rewind()?;
    Ok(head)
}

/// Lines of a text object, read and decompressed on a thread that may block.
fn text(
    object: Arc<Object>,
    source: Box<dyn io::Read + Send>,
    compression: decompress::Compression,
    options: ReadOptions,
    shutdown: CancellationToken,
) -> OutcomeStream<Chunk> {
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    tokio::task::spawn_blocking(move || {
        let source = decompress::reader(source, compression, object.size);
        lines::split(source, &object, &options, &shutdown, &mut |item| sender.blocking_send(item).is_ok());
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

fn unreadable(object: &Object, error: &dyn std::fmt::Display) -> Rejection {
    let reason = format!("cannot read {}: {}", object.uri, error.to_string().lines().next().unwrap_or_default());
    Rejection::at_place(&object.uri, &object.uri, Stage::Read, Kind::Unreadable, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_are_skipped_and_traces_are_not() {
        for name in ["LICENSE.AgentRx.txt", "NOTICE", "readme.md", "DEPRECATION_NOTICE.txt", "_SUCCESS", ".DS_Store"] {
            assert!(holds_no_traces(name), "{name}");
        }
        for name in ["traces.jsonl", "license_agent.jsonl", "a.parquet", "data"] {
            assert!(!holds_no_traces(name), "{name}");
        }
    }
}
