//! Objects -> records. Knows bytes, lines and rows; nothing of trace formats.
//!
//! What an object is, its first bytes say, not its name: a gzip file named `.jsonl` is read, a text named `.parquet` is rejected.
//! At most [`OBJECTS_IN_FLIGHT_MAX`] objects are open, each with [`CHUNKS_QUEUED_MAX`] chunks in its queue. Each object is accounted for:
//! one of which nothing comes out is named as skipped.

mod content;
mod csv;
mod decompress;
mod lines;
mod messages;
mod parquet;
mod scan;
mod shape;
mod text;
mod unpack;
mod values;

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use self::scan::values_in;
use self::shape::Shape;
use self::unpack::{Unpacked, unpacked};
use crate::limits::{CHUNK_RECORDS_MAX, CHUNKS_QUEUED_MAX, OBJECTS_IN_FLIGHT_MAX, TABLE_COLUMNS_MAX};
use crate::model::{Outcome, OutcomeStream, Rejection, RejectionKind, Stage, key_hash};
use crate::runtime::FatalError;
use crate::store::{Listed, Object, StoreError};

/// What the reader hands on: some lines or some rows of one object.
#[derive(Debug)]
pub enum Chunk {
    /// JSON texts or binary messages.
    Records(Records),
    /// Rows of a table.
    Rows(Rows),
    /// An object that holds no traces: a licence, a notice, bookkeeping of a table, or nothing at all.
    Skipped(Arc<Object>),
}

/// Some whole records of one object.
#[derive(Debug)]
pub struct Records {
    /// Where they came from.
    pub object: Arc<Object>,
    bytes: Bytes,
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

    /// Bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(|(_, range)| range.len()).sum()
    }

    /// The same records, at most [`CHUNK_RECORDS_MAX`] at once.
    fn parts(self) -> impl Iterator<Item = Self> {
        let Self { object, bytes, ranges, first, binary } = self;
        let mut rest = ranges.into_iter();
        let mut first = first;
        std::iter::from_fn(move || {
            let ranges: Vec<_> = rest.by_ref().take(CHUNK_RECORDS_MAX).collect();
            let is_first = std::mem::replace(&mut first, false);
            (!ranges.is_empty()).then(|| Self { object: Arc::clone(&object), bytes: bytes.clone(), ranges, first: is_first, binary })
        })
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
    /// Bytes that were read of them, before decompression.
    pub bytes: AtomicU64,
    opened: Mutex<HashSet<u128>>,
    read_whole: Mutex<HashSet<u128>>,
}

impl ReadCounts {
    /// The keys of the URIs of the objects that were read to their end: whatever is wrong with them was found.
    pub fn object_keys(&self) -> HashSet<u128> {
        self.read_whole.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether an object of this URI was opened.
    pub fn has_opened(&self, uri: &str) -> bool {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).contains(&key_hash(uri))
    }

    fn opened(&self, object: &Object) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key_hash(&object.uri));
    }

    fn read_whole(&self, object: &Object) {
        self.read_whole.lock().unwrap_or_else(PoisonError::into_inner).insert(key_hash(&object.uri));
    }
}

/// Reads every object that is listed; stops opening new ones and ends early once `shutdown` is cancelled. A listing that cannot be
/// completed is `fatal`: nobody knows what it would have named.
pub fn records(
    listed: BoxStream<'static, Result<Listed, StoreError>>,
    options: ReadOptions,
    counts: Arc<ReadCounts>,
    fatal: &FatalError,
    shutdown: CancellationToken,
) -> OutcomeStream<Chunk> {
    let fatal = fatal.clone();
    listed
        .take_until(shutdown.clone().cancelled_owned())
        .scan((), move |(), listed| {
            let listed = listed.map_err(|error| fatal.set(error.to_string())).ok();
            std::future::ready(listed)
        })
        .map(move |listed| match listed {
            Listed::Object(object) => chunks(Arc::new(object), options.clone(), Arc::clone(&counts), shutdown.clone()),
            Listed::Skipped(object) => stream::once(async { Ok(Chunk::Skipped(Arc::new(object))) }).boxed(),
            Listed::Unreadable { uri, reason } => stream::once(async move { Err(never_readable(&uri, &reason)) }).boxed(),
        })
        .flatten_unordered(OBJECTS_IN_FLIGHT_MAX)
        .boxed()
}

fn never_readable(uri: &str, reason: &str) -> Rejection {
    let rejection = Rejection::at_location(uri, uri, Stage::Read, RejectionKind::Unreadable, format!("cannot read {uri}: {reason}"));
    Rejection { retryable: false, ..rejection }
}

/// The chunks of one object, or that there are none.
fn chunks(object: Arc<Object>, options: ReadOptions, counts: Arc<ReadCounts>, shutdown: CancellationToken) -> OutcomeStream<Chunk> {
    if is_message_body(&object.name().to_ascii_lowercase()) {
        return stream::once(async { Ok(Chunk::Skipped(object)) }).boxed();
    }
    tracing::debug!(uri = object.uri, "reading");
    counts.opened(&object);
    let is_whole = Arc::new(AtomicBool::new(false));
    let source = Opening { object: Arc::clone(&object), options, counts: Arc::clone(&counts), shutdown, is_whole: Arc::clone(&is_whole) };
    let mut chunks = stream::once(opened(source)).flatten().boxed();
    async_stream::stream! {
        let mut is_empty = true;
        while let Some(chunk) = chunks.next().await {
            is_empty = false;
            yield chunk;
        }
        if is_whole.load(Ordering::Acquire) {
            counts.read_whole(&object);
            if is_empty {
                yield Ok(Chunk::Skipped(object));
            }
        }
    }
    .boxed()
}

/// What reading an object takes.
struct Opening {
    object: Arc<Object>,
    options: ReadOptions,
    counts: Arc<ReadCounts>,
    shutdown: CancellationToken,
    /// Set once the object was read to its end.
    is_whole: Arc<AtomicBool>,
}

/// Opens an object, and tells by its first bytes whether it is read in parts or from its start to its end.
async fn opened(opening: Opening) -> OutcomeStream<Chunk> {
    let object = Arc::clone(&opening.object);
    let rejected = move |error: &dyn std::fmt::Display| {
        let rejection = unreadable(&object, error);
        stream::once(async { Err(rejection) }).boxed()
    };
    let source = match opening.object.open(opening.shutdown.clone()).await {
        Ok(source) => source,
        Err(_) if opening.shutdown.is_cancelled() => return stream::empty().boxed(),
        Err(error) => return rejected(&error),
    };
    let packed_bytes = Arc::new(AtomicU64::new(0));
    let mut source = Counting { source, of_object: Arc::clone(&packed_bytes), counts: Arc::clone(&opening.counts) };
    let first_read = tokio::task::spawn_blocking(move || {
        let begin = begin_of(&mut source, parquet::MAGIC.len());
        (begin, source)
    });
    let ((begin, failure), source) = match first_read.await {
        Ok(read) => read,
        Err(error) => return rejected(&error),
    };
    if begin == parquet::MAGIC && opening.object.has_ranges() {
        return parquet::rows(opening);
    }
    let source = io::Cursor::new(begin).chain(decompress::Failed(failure)).chain(source);
    from_start(opening, Box::new(source), packed_bytes)
}

/// Counts what is read of an object.
struct Counting {
    source: Box<dyn Read + Send>,
    of_object: Arc<AtomicU64>,
    counts: Arc<ReadCounts>,
}

impl Read for Counting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.of_object.fetch_add(read as u64, Ordering::Relaxed);
        self.counts.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Whether a source was read to its end and everything in it handed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    Whole,
    /// It failed, the run ends, or nobody listens any more.
    Cut,
}

impl End {
    fn whole_if(is_whole: bool) -> Self {
        if is_whole { Self::Whole } else { Self::Cut }
    }
}

/// Records of an object that is read, unpacked and decoded from its start, on a thread that may block.
fn from_start(opening: Opening, source: Box<dyn Read + Send>, packed_bytes: Arc<AtomicU64>) -> OutcomeStream<Chunk> {
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    tokio::task::spawn_blocking(move || {
        let emit = &mut |item: Outcome<Chunk>| match item {
            Ok(Chunk::Records(records)) => records.parts().all(|part| sender.blocking_send(Ok(Chunk::Records(part))).is_ok()),
            item => sender.blocking_send(item).is_ok(),
        };
        if split(&opening, source, &packed_bytes, emit) == End::Whole {
            opening.is_whole.store(true, Ordering::Release);
        }
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

fn split(opening: &Opening, source: Box<dyn Read + Send>, packed_bytes: &Arc<AtomicU64>, emit: Emit<'_>) -> End {
    let Opening { object, options, shutdown, .. } = opening;
    let trailing = decompress::Trailing::default();
    let (head, source) = match unpacked(source, object.name(), packed_bytes, &trailing) {
        Unpacked::Records { head, source } => (head, source),
        Unpacked::Parquet(source) => return parquet::spooled(source, object, options, shutdown, emit),
        Unpacked::Other { what, hint } => return End::whole_if(emit(Err(unusable(object, what, hint)))),
    };
    if head.is_empty() || !object.name().to_ascii_lowercase().ends_with(".parquet") {
        let shape = Shape::of(&head);
        if is_notice(object.name()) && !shape::begins_with_json(&head) && !shape.is_binary() {
            // A failure to read more of it changes nothing.
            return End::whole_if(emit(Ok(Chunk::Skipped(Arc::clone(object)))));
        }
        let split: Split = match shape {
            Shape::Lines => lines::split,
            Shape::OneLine => values::split_within_lines,
            Shape::Values => values::split,
            Shape::Csv => csv::split,
            Shape::Messages => messages::split,
            Shape::Message => messages::single,
        };
        let end = split(source, object, options, shutdown, emit);
        if trailing.get().is_some() {
            emit(Err(trailing_bytes(object)));
            return End::Cut;
        }
        return end;
    }
    let reason = format!("cannot read {}: it is named .parquet but does not start with PAR1, so it is no Parquet file", object.uri);
    End::whole_if(emit(Err(Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::CorruptParquet, reason))))
}

/// Takes what comes out of an object; says whether anybody listens.
type Emit<'a> = &'a mut dyn FnMut(Outcome<Chunk>) -> bool;

/// Cuts a source into chunks.
type Split = fn(Box<dyn Read + Send>, &Arc<Object>, &ReadOptions, &CancellationToken, Emit<'_>) -> End;

/// The byte before each text of a sequence of JSON texts (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1e;

/// Names that people leave beside traces. They are skipped where they hold what they say, which is no JSON.
fn is_notice(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let extension = lower.rsplit('.').next().unwrap_or_default();
    matches!(extension, "txt" | "md") || matches!(stem, "license" | "licence" | "notice" | "readme" | "copying")
}

/// Whether an object of this name is a message body that an instrumentation uploaded, which is read when a span refers to it: a UUID or a
/// SHA-256 and what it holds. Names are those of OpenTelemetry's `GenAI` utilities.
fn is_message_body(name: &str) -> bool {
    let stem = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".json")).unwrap_or_default();
    let suffixes = ["_inputs", "_outputs", "_system_instruction", "_system.instructions", "_system_instructions", "_tool.definitions"];
    suffixes
        .iter()
        .filter_map(|suffix| stem.strip_suffix(suffix))
        .any(|id| matches!(id.len(), 32 | 36 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
}

/// The first bytes of a source, at most `bytes_max`, and why there are no more where it failed.
fn begin_of(source: &mut dyn Read, bytes_max: usize) -> (Vec<u8>, Option<io::Error>) {
    let mut begin = Vec::new();
    let failure = source.take(bytes_max as u64).read_to_end(&mut begin).err();
    (begin, failure)
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

/// An object that is known to be something else.
fn unusable(object: &Object, what: &str, hint: &str) -> Rejection {
    let reason = format!("cannot read {}: it is {what}; {hint}", object.uri);
    Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::UnrecognisedFormat, reason)
}

/// What stands behind packed data and is none.
fn trailing_bytes(object: &Object) -> Rejection {
    let uri = &object.uri;
    let reason = format!("cannot read the end of {uri}: bytes follow the compressed data that are none; what stands before them was read");
    Rejection::at_location(uri, uri, Stage::Read, RejectionKind::CorruptCompression, reason)
}

/// A record that could not be read.
fn rejected(object: &Object, position: Position, kind: RejectionKind, what: &str) -> Rejection {
    let uri = &object.uri;
    let place = format!("{uri}#{position}");
    let reason = format!("cannot read {place}: {what}");
    Rejection::at_location(place, uri, Stage::Read, kind, reason)
}

/// What is said of a record over the limit.
fn over(record_bytes_max: usize) -> String {
    format!("it is longer than {record_bytes_max} bytes; raise --max-record-bytes if such records are real")
}

/// A table with more columns than any export has.
fn too_wide(object: &Object, columns: usize) -> Rejection {
    let uri = &object.uri;
    let reason = format!("cannot read {uri}: the table has {columns} columns, and {TABLE_COLUMNS_MAX} are read at most; leave columns out");
    Rejection::at_location(uri, uri, Stage::Read, RejectionKind::Oversize, reason)
}

/// What becomes of the rest of an object that cannot be read further.
fn failed_at(object: &Object, line: u64, error: &io::Error) -> Rejection {
    let uri = &object.uri;
    let (kind, what) = match error.kind() {
        ErrorKind::UnexpectedEof => {
            (RejectionKind::Truncated, "the compressed data ends in the middle; the lines before it were read".to_owned())
        }
        ErrorKind::InvalidData | ErrorKind::InvalidInput => {
            (RejectionKind::CorruptCompression, format!("the compressed data is corrupt: {error}"))
        }
        _ => (RejectionKind::Unreadable, error.to_string().lines().next().unwrap_or_default().to_owned()),
    };
    let reason = format!("cannot read {uri} from line {line} on: {what}");
    Rejection::at_location(format_args!("{uri}#L{line}"), uri, Stage::Read, kind, reason)
}

fn unreadable(object: &Object, error: &dyn std::fmt::Display) -> Rejection {
    let reason = format!("cannot read {}: {}", object.uri, error.to_string().lines().next().unwrap_or_default());
    Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::Unreadable, reason)
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
        Arc::new(Object::in_store(Arc::new(InMemory::new()), "a".into(), "a".into(), 0, 0))
    }

    #[test]
    fn notices_are_skipped_and_traces_are_not() {
        for name in ["LICENSE.AgentRx.txt", "NOTICE", "readme.md", "DEPRECATION_NOTICE.txt"] {
            assert!(is_notice(name), "{name}");
        }
        for name in ["traces.jsonl", "license_agent.jsonl", "a.parquet", "data"] {
            assert!(!is_notice(name), "{name}");
        }
    }

    #[test]
    fn bodies_are_told_by_their_names() {
        assert!(is_message_body("07f92534-fa48-4475-bf05-2dac65208f21_inputs.jsonl"));
        assert!(is_message_body("4039c6b8f97f7f8b0b66227c1ce9b8cb6f20351f0ec46df59bb9519ca4030905_tool.definitions.jsonl"));
        assert!(!is_message_body("night_run_inputs.jsonl") && !is_message_body("07f92534-fa48-4475-bf05-2dac65208f21.jsonl"));
    }
}
