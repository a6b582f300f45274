//! Reads objects as chunks of records. Knows compression, encodings, lines, tables and messages; must not know any trace format.
//!
//! The first bytes of an object determine how it is read: a gzip file named `.jsonl` is decompressed. The name only excludes: uploaded message
//! bodies, and readmes and licenses without JSON, are skipped; a `.parquet` that is not Parquet and unframed `.br` or `.snappy` data are
//! rejected. At most [`OBJECTS_IN_FLIGHT_MAX`] objects are open at once, each with [`CHUNKS_QUEUED_MAX`] chunks in its queue. An object without
//! records is reported as skipped.

mod archive;
mod container_log;
mod content;
mod csv;
mod decompress;
mod encoding;
mod framing;
mod javascript;
mod javascript_value;
mod layers;
mod lines;
mod listing;
mod messages;
mod parquet;
mod scan;
mod values;

use std::collections::HashSet;
use std::io::{self, ErrorKind, Read, Seek};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::framing::Framing;
use self::layers::{Decoded, decode_layers};
pub use self::listing::ListedTotal;
use self::listing::listed_ahead;
pub use self::scan::values_in;
use crate::limits::{CHUNK_RECORDS_MAX, CHUNKS_QUEUED_MAX, OBJECTS_IN_FLIGHT_MAX, SPOOLED_BYTES_MAX, TABLE_COLUMNS_MAX};
use crate::model::{Outcome, OutcomeStream, Rejection, RejectionKind, Stage, key_hash};
use crate::runtime::FatalError;
use crate::store::{self, Listed, Object, StoreError};

/// Some records or rows of one object.
#[derive(Debug)]
pub enum Chunk {
    /// JSON texts or binary messages.
    Records(Records),
    /// Rows of a table.
    Rows(Rows),
    /// An object without traces: empty, a license, a readme, or metadata of another program.
    Skipped(Arc<Object>),
}

/// Some complete records of one object.
#[derive(Debug)]
pub struct Records {
    /// The object that they are from.
    pub object: Arc<Object>,
    bytes: Bytes,
    ranges: Vec<(Position, Range<usize>)>,
    /// Whether these are the first records of the object, which determine its format.
    pub first: bool,
    /// Whether they may be binary messages instead of JSON.
    pub binary: bool,
    /// Whether they are lines of a container's log, which contains other lines than traces.
    pub is_log: bool,
}

impl Records {
    /// The records with their positions, without empty lines.
    pub fn iter(&self) -> impl Iterator<Item = (Position, &[u8])> {
        self.ranges.iter().map(|(position, range)| (*position, self.bytes.get(range.clone()).unwrap_or_default()))
    }

    /// The size of all records in bytes.
    pub fn bytes(&self) -> usize {
        self.ranges.iter().map(|(_, range)| range.len()).sum()
    }

    /// Splits the records into groups of at most [`CHUNK_RECORDS_MAX`].
    fn split(self) -> impl Iterator<Item = Self> {
        let Self { object, bytes, ranges, first, binary, is_log } = self;
        let mut remaining = ranges.into_iter();
        let mut first = first;
        std::iter::from_fn(move || {
            let ranges: Vec<_> = remaining.by_ref().take(CHUNK_RECORDS_MAX).collect();
            let is_first = std::mem::replace(&mut first, false);
            (!ranges.is_empty()).then(|| Self {
                object: Arc::clone(&object),
                bytes: bytes.clone(),
                ranges,
                first: is_first,
                binary,
                is_log,
            })
        })
    }
}

/// The position of a record in its object. Its text is the part after `URI#` in a location.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// Line number, from 1: `L4`.
    Line(u64),
    /// Line number, and number of the item from 1, of a list that begins on that line: `L4.s2`.
    Item(u64, usize),
    /// Message number, from 1: `msg=3`.
    Message(u64),
    /// Row index, from 0: `row=17`.
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

/// Some rows of a table.
#[derive(Debug)]
pub struct Rows {
    /// The object that they are from.
    pub object: Arc<Object>,
    /// The columns.
    pub batch: RecordBatch,
    /// Index of the first row in the file, from 0.
    pub first_row: u64,
}

/// How to read.
#[derive(Debug, Clone)]
pub struct ReadOptions {
    /// Records larger than this are rejected, in bytes.
    pub record_bytes_max: usize,
}

/// What was read so far, shared with the run summary.
#[derive(Debug, Default)]
pub struct ReadCounts {
    /// Objects that were opened.
    pub objects: AtomicU64,
    /// Bytes that were read, before decompression.
    pub bytes: AtomicU64,
    /// The objects that the listing has returned so far.
    listed: Mutex<ListedTotal>,
    opened: Mutex<HashSet<u128>>,
    completed: Mutex<HashSet<u128>>,
}

impl ReadCounts {
    /// Hashes of the URIs of the objects that were read to their end, so that all errors in them are known.
    pub fn object_keys(&self) -> HashSet<u128> {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether the object with this URI was opened.
    pub fn has_opened(&self, uri: &str) -> bool {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).contains(&key_hash(uri))
    }

    /// Whether the object whose URI has this hash was opened.
    pub fn has_opened_key(&self, key: u128) -> bool {
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).contains(&key)
    }

    /// The objects that the listing has returned so far.
    pub fn listed(&self) -> ListedTotal {
        *self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_listed(&self, change: impl FnOnce(&mut ListedTotal)) {
        change(&mut self.listed.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn add_opened(&self, object: &Object) {
        self.objects.fetch_add(1, Ordering::Relaxed);
        self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(key_hash(&object.uri));
    }

    fn add_completed(&self, object: &Object) {
        self.completed.lock().unwrap_or_else(PoisonError::into_inner).insert(key_hash(&object.uri));
    }
}

/// Reads every listed object. When `shutdown` is cancelled, no further object is opened and reading ends early. An incomplete listing is a
/// fatal error, because the missing objects are unknown.
pub fn chunks(
    listed: BoxStream<'static, Result<Listed, StoreError>>,
    options: ReadOptions,
    counts: Arc<ReadCounts>,
    fatal: &FatalError,
    shutdown: CancellationToken,
) -> OutcomeStream<Chunk> {
    let fatal = fatal.clone();
    listed_ahead(listed, Arc::clone(&counts))
        .take_until(shutdown.clone().cancelled_owned())
        .scan((), move |(), listed| {
            let listed = listed.map_err(|error| fatal.set(error.to_string())).ok();
            std::future::ready(listed)
        })
        .map(move |listed| match listed {
            Listed::Object(object) => object_chunks(Arc::new(object), options.clone(), Arc::clone(&counts), shutdown.clone()),
            Listed::Skipped(object) => stream::once(async { Ok(Chunk::Skipped(Arc::new(object))) }).boxed(),
            Listed::Unreadable { uri, reason } => stream::once(async move { Err(permanently_unreadable(&uri, &reason)) }).boxed(),
        })
        .flatten_unordered(OBJECTS_IN_FLIGHT_MAX)
        .boxed()
}

/// The rejection of an object that cannot be requested, which a retry does not change.
fn permanently_unreadable(uri: &str, reason: &str) -> Rejection {
    let rejection = Rejection::at_location(uri, uri, Stage::Read, RejectionKind::Unreadable, format!("cannot read {uri}: {reason}"));
    Rejection { retryable: false, ..rejection }
}

/// The chunks of one object, or the object as skipped if it has none.
fn object_chunks(object: Arc<Object>, options: ReadOptions, counts: Arc<ReadCounts>, shutdown: CancellationToken) -> OutcomeStream<Chunk> {
    if is_message_body(&object.name().to_ascii_lowercase()) {
        return stream::once(async { Ok(Chunk::Skipped(object)) }).boxed();
    }
    tracing::debug!(uri = object.uri, "reading");
    counts.add_opened(&object);
    let is_complete = Arc::new(AtomicBool::new(false));
    let task =
        ReadTask { object: Arc::clone(&object), options, counts: Arc::clone(&counts), shutdown, is_complete: Arc::clone(&is_complete) };
    let mut chunks = stream::once(open(task)).flatten().boxed();
    async_stream::stream! {
        let mut is_empty = true;
        while let Some(chunk) = chunks.next().await {
            is_empty = false;
            yield chunk;
        }
        if is_complete.load(Ordering::Acquire) {
            counts.add_completed(&object);
            if is_empty {
                yield Ok(Chunk::Skipped(object));
            }
        }
    }
    .boxed()
}

/// Everything needed to read an object.
struct ReadTask {
    object: Arc<Object>,
    options: ReadOptions,
    counts: Arc<ReadCounts>,
    shutdown: CancellationToken,
    /// Set when the object was read to its end.
    is_complete: Arc<AtomicBool>,
}

/// Opens an object. Its first bytes determine whether it is read by ranges or sequentially.
async fn open(task: ReadTask) -> OutcomeStream<Chunk> {
    let object = Arc::clone(&task.object);
    let rejected = move |error: &io::Error| {
        let rejection = unreadable(&object, error);
        stream::once(async { Err(rejection) }).boxed()
    };
    let source = match task.object.open(task.shutdown.clone()).await {
        Ok(source) => source,
        Err(_) if task.shutdown.is_cancelled() => return stream::empty().boxed(),
        Err(error) => return rejected(&error),
    };
    let compressed_bytes = Arc::new(AtomicU64::new(0));
    let mut source = CountingSource { source, of_object: Arc::clone(&compressed_bytes), counts: Arc::clone(&task.counts) };
    let first_read = tokio::task::spawn_blocking(move || {
        let head = read_head(&mut source, parquet::MAGIC.len());
        (head, source)
    });
    let ((head, failure), source) = match first_read.await {
        Ok(read) => read,
        Err(error) => return rejected(&error.into()),
    };
    if head == parquet::MAGIC && task.object.has_ranges() {
        return parquet::rows(task);
    }
    let source = io::Cursor::new(head).chain(decompress::FailingSource(failure)).chain(source);
    sequential(task, Box::new(source), compressed_bytes)
}

/// Counts the bytes that are read from an object.
struct CountingSource {
    source: Box<dyn Read + Send>,
    of_object: Arc<AtomicU64>,
    counts: Arc<ReadCounts>,
}

impl Read for CountingSource {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.of_object.fetch_add(read as u64, Ordering::Relaxed);
        self.counts.bytes.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// Whether a source was read to its end and all of its records were emitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completion {
    Complete,
    /// The source failed, the run was interrupted, or the receiver was dropped.
    Incomplete,
}

impl Completion {
    fn complete_if(is_complete: bool) -> Self {
        if is_complete { Self::Complete } else { Self::Incomplete }
    }
}

/// The records of an object that is read and decompressed from start to end, on a blocking thread.
fn sequential(task: ReadTask, source: Box<dyn Read + Send>, compressed_bytes: Arc<AtomicU64>) -> OutcomeStream<Chunk> {
    let (sender, receiver) = mpsc::channel(CHUNKS_QUEUED_MAX);
    tokio::task::spawn_blocking(move || {
        let emit = &mut |item: Outcome<Chunk>| match item {
            Ok(Chunk::Records(records)) => records.split().all(|part| sender.blocking_send(Ok(Chunk::Records(part))).is_ok()),
            item => sender.blocking_send(item).is_ok(),
        };
        if split_object(&task, source, &compressed_bytes, emit) == Completion::Complete {
            task.is_complete.store(true, Ordering::Release);
        }
    });
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

/// Decompresses an object and splits it into records.
fn split_object(task: &ReadTask, source: Box<dyn Read + Send>, compressed_bytes: &Arc<AtomicU64>, emit: Emit<'_>) -> Completion {
    let ReadTask { object, options, shutdown, .. } = task;
    let trailing = decompress::TrailingBytes::default();
    let (head, source) = match decode_layers(source, object.name(), compressed_bytes, &trailing) {
        Decoded::Records { head, source } => (head, source),
        Decoded::Parquet(source) => return parquet::rows_of_stream(source, object, options, shutdown, emit),
        Decoded::Zip(source) => return archive::split(task, source, emit),
        Decoded::Unsupported { content, hint } => return Completion::complete_if(emit(Err(unsupported(object, content, hint)))),
    };
    if !head.is_empty() && object.name().to_ascii_lowercase().ends_with(".parquet") {
        let hint = "rename the file if it has another format, or write it again";
        let reason = format!("cannot read {}: not a Parquet file\n  hint: {hint}", object.uri);
        let rejection = Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::CorruptParquet, reason);
        return Completion::complete_if(emit(Err(rejection)));
    }
    let framing = Framing::of(&head);
    let is_output = framing.is_program_output() && object.name().to_ascii_lowercase().ends_with(".txt");
    if is_notice(object.name()) && !framing::begins_with_json(&head) && !framing.is_binary() && !is_output {
        // Whether the rest of it can be read does not matter.
        return Completion::complete_if(emit(Ok(Chunk::Skipped(Arc::clone(object)))));
    }
    let split: Split = match framing {
        Framing::Lines => lines::split,
        Framing::SingleLine => values::split_within_lines,
        Framing::Values => values::split,
        Framing::ValuesInLog => values::split_in_log,
        Framing::ContainerLog => container_log::split,
        Framing::JavaScript => javascript::split,
        Framing::Csv => csv::split,
        Framing::Messages => messages::split,
        Framing::SingleMessage => messages::split_single,
    };
    let completion = split(source, object, options, shutdown, emit);
    if trailing.get().is_some() {
        emit(Err(trailing_bytes(object)));
        return Completion::Incomplete;
    }
    completion
}

/// Receives the chunks and rejections of an object; returns false if the receiver was dropped.
type Emit<'a> = &'a mut dyn FnMut(Outcome<Chunk>) -> bool;

/// Reads a source to its end and emits chunks and rejections, until `emit` returns false.
type Split = fn(Box<dyn Read + Send>, &Arc<Object>, &ReadOptions, &CancellationToken, Emit<'_>) -> Completion;

/// The byte before each text in a JSON text sequence (RFC 7464).
const RECORD_SEPARATOR: u8 = 0x1e;

/// Whether the name is that of a readme or license. Such files are skipped unless they begin with JSON, or are the output of a program.
fn is_notice(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let extension = lower.rsplit('.').next().unwrap_or_default();
    matches!(extension, "txt" | "md") || matches!(stem, "license" | "licence" | "notice" | "readme" | "copying")
}

/// Whether the name is that of a message body that is read when a span refers to it: a UUID or a SHA-256, and the kind of content. The names are
/// those of OpenTelemetry's `GenAI` utilities and of Bedrock's invocation logs.
fn is_message_body(name: &str) -> bool {
    let name = name.strip_suffix(".gz").unwrap_or(name);
    let stem = name.strip_suffix(".jsonl").or_else(|| name.strip_suffix(".json")).unwrap_or_default();
    let suffixes = [
        "_inputs",
        "_outputs",
        "_system_instruction",
        "_system.instructions",
        "_system_instructions",
        "_tool.definitions",
        "_input",
        "_output",
    ];
    suffixes
        .iter()
        .filter_map(|suffix| stem.strip_suffix(suffix))
        .any(|id| matches!(id.len(), 32 | 36 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-'))
}

/// The first bytes of a source, at most `bytes_max`, and the error if it failed before.
fn read_head(source: &mut dyn Read, bytes_max: usize) -> (Vec<u8>, Option<io::Error>) {
    let mut head = Vec::new();
    let failure = source.take(bytes_max as u64).read_to_end(&mut head).err();
    (head, failure)
}

/// Copies a source to an unnamed temporary file.
fn spool(source: Box<dyn Read + Send>) -> io::Result<std::fs::File> {
    let mut file = tempfile::tempfile()?;
    let copied = io::copy(&mut source.take(SPOOLED_BYTES_MAX + 1), &mut file)?;
    if copied > SPOOLED_BYTES_MAX {
        let reason = format!("a Parquet file or a zip archive of more than {SPOOLED_BYTES_MAX} bytes must be in a folder or a bucket");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, reason));
    }
    file.rewind()?;
    Ok(file)
}

/// Appends more bytes of the source to `buffer`; returns 0 at its end.
fn read_more(buffer: &mut Vec<u8>, source: &mut dyn Read) -> io::Result<usize> {
    const READ_BYTES: usize = 128 * 1024;
    let start = buffer.len();
    buffer.resize(start + READ_BYTES, 0);
    let read = source.read(buffer.get_mut(start..).unwrap_or_default());
    buffer.truncate(start + *read.as_ref().unwrap_or(&0));
    read
}

/// The rejection of an object whose content is known and not supported.
fn unsupported(object: &Object, content: &str, hint: &str) -> Rejection {
    let reason = format!("cannot read {}: unsupported content: {content}\n  hint: {hint}", object.uri);
    Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::UnrecognisedFormat, reason)
}

/// The rejection for bytes after the compressed data, which was read.
fn trailing_bytes(object: &Object) -> Rejection {
    let uri = &object.uri;
    let reason = format!(
        "cannot read the end of {uri}: the compressed data, which was read, is followed by other bytes\n  hint: remove them or write the file again"
    );
    Rejection::at_location(uri, uri, Stage::Read, RejectionKind::CorruptCompression, reason)
}

/// The rejection of a record.
fn rejected(object: &Object, position: Position, kind: RejectionKind, cause: &str) -> Rejection {
    let uri = &object.uri;
    let location = format!("{uri}#{position}");
    let reason = format!("cannot read {location}: {cause}");
    Rejection::at_location(location, uri, Stage::Read, kind, reason)
}

/// The cause of a rejection for a record over the size limit.
fn too_long(record_bytes_max: usize) -> String {
    format!("the record is longer than {record_bytes_max} bytes\n  hint: raise --max-record-bytes if such records are expected")
}

/// The cause of a rejection for a record that is cut off by the end of the object.
const TRUNCATED: &str = "the file ends inside this record\n  hint: it may be truncated; copy it again";

/// The cause of a rejection for compressed data that cannot be decoded.
const CORRUPT: &str = "the compressed data is corrupt\n  hint: copy the file again";

/// The rejection of a table with more columns than any export has.
fn too_many_columns(object: &Object, columns: usize) -> Rejection {
    let uri = &object.uri;
    let reason = format!(
        "cannot read {uri}: the table has {columns} columns, more than the limit of {TABLE_COLUMNS_MAX}\n  hint: export only the columns of the trace"
    );
    Rejection::at_location(uri, uri, Stage::Read, RejectionKind::Oversize, reason)
}

/// The rejection for the rest of an object after a read error.
fn read_failed(object: &Object, line: u64, error: &io::Error) -> Rejection {
    let uri = &object.uri;
    let (kind, cause) = match error.kind() {
        ErrorKind::UnexpectedEof => (
            RejectionKind::Truncated,
            "the compressed data is truncated; the lines before were read\n  hint: copy the file again".to_owned(),
        ),
        ErrorKind::InvalidData | ErrorKind::InvalidInput => (RejectionKind::CorruptCompression, corruption(error)),
        _ => (RejectionKind::Unreadable, crate::messages::io_cause(error)),
    };
    let reason = format!("cannot read {uri} from line {line}: {cause}");
    Rejection::at_location(format_args!("{uri}#L{line}"), uri, Stage::Read, kind, reason)
}

/// The cause for data that a decoder rejected, without the decoder's own words.
fn corruption(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<decompress::RatioExceeded>()) {
        Some(exceeded) => exceeded.to_string(),
        None => CORRUPT.to_owned(),
    }
}

/// The rejection of an object that cannot be opened.
fn unreadable(object: &Object, error: &io::Error) -> Rejection {
    Rejection::at_location(&object.uri, &object.uri, Stage::Read, RejectionKind::Unreadable, store::unreadable(&object.uri, error))
}

#[cfg(test)]
pub(crate) mod tests {
    use object_store::memory::InMemory;

    use super::*;

    /// A source that returns a fixed number of bytes per read.
    pub(crate) struct Steps(pub(crate) Vec<u8>, pub(crate) usize);

    impl Read for Steps {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let take = self.1.min(self.0.len()).min(buffer.len());
            buffer[..take].copy_from_slice(&self.0[..take]);
            self.0.drain(..take);
            Ok(take)
        }
    }

    /// Splits `bytes`, read in steps; returns the records with their positions, and the rejections.
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
    fn readmes_and_licenses_are_recognized_by_name() {
        for name in ["LICENSE.AgentRx.txt", "NOTICE", "readme.md", "DEPRECATION_NOTICE.txt"] {
            assert!(is_notice(name), "{name}");
        }
        for name in ["traces.jsonl", "license_agent.jsonl", "a.parquet", "data"] {
            assert!(!is_notice(name), "{name}");
        }
    }

    #[test]
    fn message_bodies_are_recognized_by_name() {
        assert!(is_message_body("07f92534-fa48-4475-bf05-2dac65208f21_inputs.jsonl"));
        assert!(is_message_body("4039c6b8f97f7f8b0b66227c1ce9b8cb6f20351f0ec46df59bb9519ca4030905_tool.definitions.jsonl"));
        assert!(is_message_body("a1b2c3d4-5678-90ab-cdef-000000000024_input.json.gz"));
        assert!(!is_message_body("night_run_inputs.jsonl") && !is_message_body("07f92534-fa48-4475-bf05-2dac65208f21.jsonl"));
    }
}
