//! Objects -> records. Knows bytes, lines and rows; nothing of trace formats.
//!
//! What an object is, its first bytes say, not its name: a gzip file named `.jsonl` is read, a text named `.parquet` is rejected.
//! At most [`OBJECTS_IN_FLIGHT_MAX`] objects are open, each with [`CHUNKS_QUEUED_MAX`] chunks in its queue.

mod csv;
mod decompress;
mod lines;
mod messages;
mod parquet;
mod shape;
mod values;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt};
use object_store::{GetOptions, GetResultPayload, ObjectStore};
use tokio::sync::mpsc;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use self::shape::Shape;
use crate::limits::{CHUNKS_QUEUED_MAX, OBJECTS_IN_FLIGHT_MAX};
use crate::model::{Kind, Outcome, OutcomeStream, Rejection, Stage, text_key};
use crate::store::{Object, StoreError};

/// What the reader hands on: some lines or some rows of one object.
#[derive(Debug)]
pub enum Chunk {
    /// JSON texts or binary messages.
    Records(Records),
    /// Rows of a table.
    Rows(Rows),
    /// An object that holds no traces by its name: a licence, a notice.
    Skipped(Arc<Object>),
}

/// Some whole records of one object.
#[derive(Debug)]
pub struct Records {
    /// Where they came from.
    pub object: Arc<Object>,
    bytes: Vec<u8>,
    ranges: Vec<(Position, Range<usize>)>,
    /// Whether these are the first records of the object, by which its format is told.
    pub first: bool,
    /// Whether they may be something else than JSON.
    pub binary: bool,
}

impl Records {
    /// The records with their positions; empty lines are left out.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &[u8])> {
        self.ranges.iter().map(|(position, range)| (*position, self.bytes.get(range.clone()).unwrap_or_default()))
    }
}

/// Where in its object a record stands; written as it stands behind `URI#`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line, from 1: `L4`.
    Line(u64),
    /// Item, from 1, of the list that begins on a line: `L4.s2`.
    Item(u64, usize),
    /// Message, from 1: `msg=3`.
    Message(u64),
    /// Row, from 0: `row=17`.
    Row(u64),
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "L{line}"),
            Self::Item(line, item) => write!(f, "L{line}.s{item}"),
            Self::Message(message) => write!(f, "msg={message}"),
            Self::Row(row) => write!(f, "row={row}"),
        }
    }
}

/// A batch of rows.
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

    /// Whether an object of this URI was opened.
    pub fn has_opened(&self, uri: &str) -> bool {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(&text_key(uri))
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

/// Names that people leave beside traces, and those of message bodies, which are read when a span refers to them. Hidden files and `_SUCCESS` markers are skipped as every Hadoop reader does.
fn holds_no_traces(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let extension = lower.rsplit('.').next().unwrap_or_default();
    lower.starts_with(['.', '_'])
        || is_message_body(&lower)
        || matches!(extension, "txt" | "md")
        || matches!(stem, "license" | "licence" | "notice" | "readme" | "copying")
}

/// Whether an object of this name is a message body that an instrumentation uploaded: a UUID or a SHA-256 and what it holds. Names are
/// those of OpenTelemetry's `GenAI` utilities.
fn is_message_body(name: &str) -> bool {
    let stem = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".json")).unwrap_or_default();
    let suffixes = ["_inputs", "_outputs", "_system_instruction", "_system.instructions", "_system_instructions", "_tool.definitions"];
    suffixes
        .iter()
        .filter_map(|suffix| stem.strip_suffix(suffix))
        .any(|id| matches!(id.len(), 32 | 36 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
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
        let mut source = decompress::reader(source, compression, object.size);
        let emit = &mut |item| sender.blocking_send(item).is_ok();
        let (head, failure) = head_of(&mut source);
        let split: Split = match Shape::of(&head) {
            Shape::Lines => lines::split,
            Shape::Values => values::split,
            Shape::Csv => csv::split,
            Shape::Messages => messages::split,
            Shape::Message => messages::single,
        };
        let source = io::Cursor::new(head).chain(decompress::Failed(failure)).chain(source);
        split(Box::new(source), &object, &options, &shutdown, emit);
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

/// Cuts a source into chunks.
type Split = fn(Box<dyn Read + Send>, &Arc<Object>, &ReadOptions, &CancellationToken, &mut dyn FnMut(Outcome<Chunk>) -> bool);

/// The first bytes of a source, and why there are no more where it failed.
fn head_of(source: &mut dyn Read) -> (Vec<u8>, Option<io::Error>) {
    let mut head = Vec::new();
    let mut buffer = [0; 8 * 1024];
    while head.len() < shape::HEAD_BYTES {
        match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => head.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (head, Some(error)),
        }
    }
    (head, None)
}

/// Reads some bytes more to the end of `buffer`; 0 at the end of the source.
fn fill(buffer: &mut Vec<u8>, source: &mut dyn Read) -> io::Result<usize> {
    const READ_BYTES: usize = 128 * 1024;
    let start = buffer.len();
    buffer.resize(start + READ_BYTES, 0);
    let read = source.read(buffer.get_mut(start..).unwrap_or_default());
    buffer.truncate(start + *read.as_ref().unwrap_or(&0));
    read
}

/// A record that could not be read.
fn rejected(object: &Object, position: Position, kind: Kind, what: &str) -> Rejection {
    let uri = &object.uri;
    let place = format!("{uri}#{position}");
    let reason = format!("cannot read {place}: {what}");
    Rejection::at_place(place, uri, Stage::Read, kind, reason)
}

/// What is said of a record over the limit.
fn over(record_bytes_max: usize) -> String {
    format!("it is longer than {record_bytes_max} bytes; raise --max-record-bytes if such records are real")
}

/// What becomes of the rest of an object that cannot be read further.
fn failed_at(object: &Object, line: u64, error: &io::Error) -> Rejection {
    let uri = &object.uri;
    let (kind, what) = match error.kind() {
        ErrorKind::UnexpectedEof => (Kind::Truncated, "the compressed data ends in the middle; the lines before it were read".to_owned()),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => (Kind::CorruptCompression, format!("the compressed data is corrupt: {error}")),
        // zstd reports a corrupt frame with the kind `Other`.
        ErrorKind::Other if error.to_string().contains("frame") || error.to_string().contains("orrupt") => {
            (Kind::CorruptCompression, format!("the compressed data is corrupt: {error}"))
        }
        _ => (Kind::Unreadable, error.to_string().lines().next().unwrap_or_default().to_owned()),
    };
    let reason = format!("cannot read {uri} from line {line} on: {what}");
    Rejection::at_place(format_args!("{uri}#L{line}"), uri, Stage::Read, kind, reason)
}

fn unreadable(object: &Object, error: &dyn std::fmt::Display) -> Rejection {
    let reason = format!("cannot read {}: {}", object.uri, error.to_string().lines().next().unwrap_or_default());
    Rejection::at_place(&object.uri, &object.uri, Stage::Read, Kind::Unreadable, reason)
}

#[cfg(test)]
pub(crate) mod tests {
    use object_store::memory::InMemory;

    use super::*;

    /// A source that gives so many bytes at a time.
    pub(crate) struct Steps(pub(crate) Vec<u8>, pub(crate) usize);

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0.drain(..take);
            Ok(take)
        }
    }

    /// What a splitter makes of `bytes` read in steps: records with their positions, and what was rejected.
    pub(crate) fn collect(split: Split, bytes: &[u8], step: usize, record_bytes_max: usize) -> (Vec<String>, Vec<String>) {
        let (mut found, mut rejections) = (Vec::new(), Vec::new());
        let source = Box::new(Steps(bytes.to_vec(), step));
        split(source, &object(), &ReadOptions { record_bytes_max }, &CancellationToken::new(), &mut |item| {
            match item {
                Ok(Chunk::Records(records)) => {
                    found.extend(records.iter().map(|(position, record)| format!("{position} {}", String::from_utf8_lossy(record))));
                }
                Ok(_) => unreachable!(),
                Err(rejection) => rejections.push(format!("{} {}", rejection.trace_ref, rejection.kind.as_str())),
            }
            true
        });
        (found, rejections)
    }

    pub(crate) fn object() -> Arc<Object> {
        Arc::new(Object { store: Arc::new(InMemory::new()), path: "a".into(), uri: "a".into(), size: 0, modified_at_ns: 0 })
    }

    #[test]
    fn notices_are_skipped_and_traces_are_not() {
        for name in ["LICENSE.AgentRx.txt", "NOTICE", "readme.md", "DEPRECATION_NOTICE.txt", "_SUCCESS", ".DS_Store"] {
            assert!(holds_no_traces(name), "{name}");
        }
        for name in ["traces.jsonl", "license_agent.jsonl", "a.parquet", "data"] {
            assert!(!holds_no_traces(name), "{name}");
        }
    }

    #[test]
    fn bodies_are_told_by_their_names() {
        assert!(is_message_body("07f92534-fa48-4475-bf05-2dac65208f21_inputs.jsonl"));
        assert!(is_message_body("4039c6b8f97f7f8b0b66227c1ce9b8cb6f20351f0ec46df59bb9519ca4030905_tool.definitions.jsonl"));
        assert!(!is_message_body("night_run_inputs.jsonl") && !is_message_body("07f92534-fa48-4475-bf05-2dac65208f21.jsonl"));
    }
}
