//! Pieces -> traces: brings together what belongs to one trace, wherever in the input it stood.
//!
//! Pieces are encoded (postcard), cut into rows of at most [`GATHER_ROW_BYTES_MAX`], and sorted by a hash of their trace id with `DataFusion`'s
//! external sort, which spills to disk under a memory limit. Then a trace is a run of rows with the same key. So memory depends on the
//! limit and on the largest single trace, never on the size of the input, and it does not matter in which object, line or format the
//! spans of a trace stood.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use arrow::array::{Array, ArrayRef, BinaryArray, BinaryBuilder, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::expressions::col;
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use datafusion::prelude::SessionConfig;
use futures::stream::{self, BoxStream, StreamExt};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::annotations::Annotations;
use super::bodies::Bodies;
use super::build::build;
use super::inspect::Inspection;
use super::{Format, Piece, RecordCounts};
use crate::limits::{
    GATHER_BATCH_BYTES, GATHER_BATCH_ROWS, GATHER_PARTITIONS, GATHER_ROW_BYTES_MAX, GATHERED_QUEUED_MAX, MESSAGE_BODIES_IN_FLIGHT_MAX,
    SUMMARY_SKIPPED_OBJECTS_MAX, TRACE_BYTES_MAX, TRACE_SPANS_MAX,
};
use crate::model::{Outcome, OutcomeStream, Rejection, RejectionKind, Source as TraceSource, Stage, Trace};
use crate::read::Chunk;
use crate::runtime::{FatalError, Shutdown, pool};

/// How to parse and gather.
#[derive(Clone)]
pub struct AssembleOptions {
    /// Reads everything with this format instead of telling it per object.
    pub format: Option<&'static dyn Format>,
    /// Memory for the sort before it spills.
    pub memory_bytes: usize,
    /// Where it spills to.
    pub spill_folder: PathBuf,
    /// Where message bodies lie that were uploaded apart from their spans.
    pub bodies: Bodies,
    /// When gathering ends early.
    pub shutdown: Shutdown,
    /// Whether traces that are whole once a stop is requested are rejected one by one, as long as it is not over. Where a selection may leave
    /// some of them out, they are not: nobody would take their rejections back.
    pub names_interrupted: bool,
}

impl AssembleOptions {
    /// Cancelled once gathering ends early.
    fn given_up(&self) -> &CancellationToken {
        if self.names_interrupted { self.shutdown.grace_ended() } else { self.shutdown.requested() }
    }
}

impl fmt::Debug for AssembleOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssembleOptions")
            .field("format", &self.format.map(Format::name))
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// Counts of what was parsed, shared with the run summary.
#[derive(Debug, Default)]
pub struct ParseCounts {
    /// Spans that came out of records, duplicates included.
    pub spans: AtomicU64,
    /// Records that the reader handed on.
    pub(super) records_in: AtomicU64,
    records: Mutex<RecordCounts>,
    annotations: Annotations,
    skipped: Mutex<BTreeSet<String>>,
    expected: Mutex<BTreeSet<String>>,
    /// What each object holds, where somebody asked.
    pub inspection: Option<Inspection>,
    /// Spans of traces that came out whole.
    gathered: AtomicU64,
    /// The object that the last spans came from.
    last_object: Mutex<String>,
    /// Whether a stop was over before everything was parsed that had been read.
    cut_short: AtomicBool,
}

impl ParseCounts {
    /// Counts that also say what each object holds.
    pub fn inspecting() -> Self {
        Self { inspection: Some(Inspection::default()), ..Self::default() }
    }

    /// Objects that hold no traces, the first [`SUMMARY_SKIPPED_OBJECTS_MAX`] of them, sorted.
    pub fn skipped_objects(&self) -> Vec<String> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Objects that a manifest names, the first [`SUMMARY_SKIPPED_OBJECTS_MAX`] of them, sorted.
    pub fn expected_objects(&self) -> Vec<String> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Where the records went.
    pub fn records(&self) -> RecordCounts {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that the reader handed on and that became nothing: 0, or a defect.
    pub fn records_lost(&self) -> u64 {
        self.records_in.load(Ordering::Relaxed).abs_diff(self.records().accounted_for())
    }

    /// Annotations whose span or trace is not in the input, once every trace is gathered.
    pub fn annotations_unused(&self) -> u64 {
        self.annotations.unused()
    }

    /// Whether something that was read was not parsed any more, so that its rejections are missing.
    pub fn is_cut_short(&self) -> bool {
        self.cut_short.load(Ordering::Relaxed)
    }

    /// One rejection for all spans that were read and not gathered when a stop ended it. It stands for an object that some of them came from,
    /// so that it goes when that one is read again.
    fn not_gathered(&self) -> Option<Rejection> {
        let spans = self.spans.load(Ordering::Relaxed).saturating_sub(self.gathered.load(Ordering::Relaxed));
        let uri = self.last_object.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let reason = format!("{spans} spans were read and not gathered into traces when the run was interrupted; run it again");
        (spans > 0).then(|| Rejection::at_location(&uri, &uri, Stage::Parse, RejectionKind::Interrupted, reason))
    }

    fn note_source(&self, pieces: &[Piece]) {
        if let Some(last) = pieces.last() {
            self.last_object.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&last.source.uri);
        }
    }

    fn note(&self, skipped: Vec<String>, expected: Vec<String>) {
        for (list, objects) in [(&self.skipped, skipped), (&self.expected, expected)] {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            let room = SUMMARY_SKIPPED_OBJECTS_MAX.saturating_sub(list.len());
            list.extend(objects.into_iter().take(room));
        }
    }
}

/// Parses chunks and gathers what belongs to one trace.
///
/// Once a shutdown is requested, traces that come out of the sorts are rejected as interrupted without being decoded; once gathering is given up,
/// the sorts are abandoned, and one rejection says how many spans were in them.
pub fn traces(
    chunks: OutcomeStream<Chunk>,
    options: &AssembleOptions,
    counts: Arc<ParseCounts>,
    fatal: &FatalError,
) -> OutcomeStream<Trace> {
    let (rejections_in, rejections_out) = mpsc::channel(64);
    let (gathered_in, gathered_out) = mpsc::channel(GATHERED_QUEUED_MAX);
    let mut tasks = JoinSet::new();
    let mut partitions = Vec::with_capacity(GATHER_PARTITIONS);
    for _ in 0..GATHER_PARTITIONS {
        let (rows_in, rows_out) = mpsc::channel(2);
        partitions.push(rows_in);
        match sorted(rows_out, options) {
            Ok(rows) => {
                let given_up = options.given_up().clone();
                tasks.spawn(forward(gathered(rows, fatal.clone()), gathered_in.clone(), Arc::clone(&counts), given_up));
            }
            Err(error) => fatal.set(format!("cannot gather spans: {error}")),
        }
    }
    drop(gathered_in);
    let (gathered_counts, counted) = (Arc::clone(&counts), Arc::clone(&counts));
    let encoded = super::parsed(chunks, options.format, Arc::clone(&counts), move |parsed| {
        if let Some(inspection) = &counted.inspection {
            inspection.add(&parsed);
        }
        let first = counted.spans.fetch_add(parsed.pieces.len() as u64, Ordering::Relaxed);
        counted.records.lock().unwrap_or_else(PoisonError::into_inner).merge(&parsed.records);
        counted.note_source(&parsed.pieces);
        counted.note(parsed.skipped, parsed.expected);
        counted.annotations.add(parsed.annotations);
        (encode(&parsed.pieces, first), parsed.rejections)
    });
    let rows = Rows { partitions, given_up: options.given_up().clone() };
    tasks.spawn(split(encoded, rows, rejections_in, fatal.clone(), options.shutdown.clone(), Arc::clone(&counts)));
    let rejections = channel_stream(rejections_out).map(Err);
    let (shutdown, names_interrupted) = (options.shutdown.clone(), options.names_interrupted);
    let traces = pool::map_outcomes(channel_stream(gathered_out).map(Ok).boxed(), move |gathered: GatheredTrace| {
        if names_interrupted && shutdown.is_requested() {
            return Err(gathered.interrupted());
        }
        let mut trace = gathered.decode()?;
        gathered_counts.annotations.attach(&mut trace);
        Ok(trace)
    });
    let (bodies, over) = (options.bodies.clone(), options.shutdown.grace_ended().clone());
    let traces = traces
        .map(move |trace| {
            let (bodies, over) = (bodies.clone(), over.clone());
            async move {
                let trace = trace?;
                let interrupted = Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Parse);
                tokio::select! {
                    biased;
                    trace = bodies.fill(trace) => Ok(trace),
                    () = over.cancelled() => Err(interrupted),
                }
            }
        })
        .buffer_unordered(MESSAGE_BODIES_IN_FLIGHT_MAX);
    let given_up = options.given_up().clone();
    let not_gathered = stream::once(async move { if given_up.is_cancelled() { counts.not_gathered() } else { None } });
    let not_gathered = not_gathered.filter_map(|rejection| std::future::ready(rejection.map(Err)));
    // The tasks live as long as the stream, so dropping the stream ends them.
    stream::select(rejections, traces)
        .chain(not_gathered)
        .map(move |item| {
            let _owned_by_the_stream = &tasks;
            item
        })
        .boxed()
}

/// Moves gathered traces into the channel that all sorts share. Returning abandons the sort.
async fn forward(
    mut gathered: BoxStream<'static, GatheredTrace>,
    channel: mpsc::Sender<GatheredTrace>,
    counts: Arc<ParseCounts>,
    given_up: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            biased;
            // A merge of many spill files may take long before it gives the first trace.
            () = given_up.cancelled() => return,
            next = gathered.next() => next,
        };
        let Some(trace) = next else { return };
        let spans = trace.spans;
        if channel.send(trace).await.is_err() {
            return;
        }
        counts.gathered.fetch_add(spans, Ordering::Relaxed);
    }
}

fn channel_stream<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

/// What a chunk of records became: rows for each sort, and what goes around them.
type Encoded = (Result<Vec<Vec<RecordBatch>>, String>, Vec<Rejection>);

/// Where rows go to.
struct Rows {
    partitions: Vec<mpsc::Sender<RecordBatch>>,
    given_up: CancellationToken,
}

impl Rows {
    /// Sends the rows of each sort to it; says whether anybody still wants to know of what is parsed.
    async fn send(&self, batches: Vec<Vec<RecordBatch>>) -> bool {
        for (batches, rows) in batches.into_iter().zip(&self.partitions) {
            for batch in batches {
                if rows.send(batch).await.is_err() {
                    // Of sorts that were abandoned the spans are counted, and the rejections of what was read still go their way.
                    return self.given_up.is_cancelled();
                }
            }
        }
        true
    }
}

/// Sends rows to the sort, and everything that is no part of a trace around it.
async fn split(
    mut encoded: BoxStream<'static, Encoded>,
    rows: Rows,
    rejections: mpsc::Sender<Rejection>,
    fatal: FatalError,
    shutdown: Shutdown,
    counts: Arc<ParseCounts>,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = encoded.next() => next,
            // A source that hangs does not see that reading has ended.
            () = shutdown.grace_ended().cancelled() => {
                counts.cut_short.store(true, Ordering::Relaxed);
                return;
            }
        };
        let Some((batches, rejected)) = next else { return };
        for rejection in rejected {
            if rejections.send(rejection).await.is_err() {
                return;
            }
        }
        match batches {
            Ok(batches) => {
                if !rows.send(batches).await {
                    return;
                }
            }
            Err(error) => return fatal.set(format!("cannot gather spans: {error}")),
        }
    }
}

/// Key: 16 bytes of SHA-256 of the trace id, 8 of the piece's number, 4 of the part's.
const TRACE_KEY_BYTES: usize = 16;
const PIECE_KEY_BYTES: usize = TRACE_KEY_BYTES + 8;

static ROWS: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("key", DataType::Binary, false), Field::new("part", DataType::Binary, false)])));

/// Rows for one sort, in batches of at most [`GATHER_BATCH_BYTES`] and a piece more.
#[derive(Default)]
struct Batches {
    keys: BinaryBuilder,
    parts: BinaryBuilder,
    bytes: usize,
    done: Vec<RecordBatch>,
}

impl Batches {
    fn add(&mut self, key: &[u8], part: &[u8]) -> Result<(), ArrowError> {
        self.keys.append_value(key);
        self.parts.append_value(part);
        self.bytes += key.len() + part.len();
        if self.bytes >= GATHER_BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        if self.bytes > 0 {
            let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.parts.finish())];
            self.done.push(RecordBatch::try_new(Arc::clone(&ROWS), columns)?);
            self.bytes = 0;
        }
        Ok(())
    }
}

/// Pieces as rows, numbered from `first`, batches for each sort. All pieces of a trace go to the same sort.
fn encode(pieces: &[Piece], first: u64) -> Result<Vec<Vec<RecordBatch>>, String> {
    let mut partitions: Vec<Batches> = Vec::new();
    partitions.resize_with(GATHER_PARTITIONS, Batches::default);
    let mut buffer = Vec::with_capacity(64 * 1024);
    for (piece, number) in pieces.iter().zip(first..) {
        buffer.clear();
        buffer = postcard::to_extend(&(&piece.trace_id, piece), buffer).map_err(|error| error.to_string())?;
        let hash = Sha256::digest(piece.trace_id.as_bytes());
        let partition = usize::from(hash.first().copied().unwrap_or_default()) % GATHER_PARTITIONS;
        let Some(rows) = partitions.get_mut(partition) else { continue };
        for (part, index) in buffer.chunks(GATHER_ROW_BYTES_MAX).zip(0u32..) {
            let mut key = [0u8; PIECE_KEY_BYTES + 4];
            let bytes = hash.iter().take(TRACE_KEY_BYTES).copied().chain(number.to_be_bytes()).chain(index.to_be_bytes());
            for (slot, byte) in key.iter_mut().zip(bytes) {
                *slot = byte;
            }
            rows.add(&key, part).map_err(|error| error.to_string())?;
        }
    }
    partitions
        .into_iter()
        .map(|mut rows| {
            rows.flush().map_err(|error| error.to_string())?;
            Ok(rows.done)
        })
        .collect()
}

/// The rows of a channel in the order of their keys.
fn sorted(rows: mpsc::Receiver<RecordBatch>, options: &AssembleOptions) -> Result<SendableRecordBatchStream, DataFusionError> {
    let source = StreamingTableExec::try_new(Arc::clone(&ROWS), vec![Arc::new(Source(Mutex::new(Some(rows))))], None, [], false, None)?;
    let by_key = LexOrdering::from([PhysicalSortExpr::new_default(col("key", &ROWS)?)]);
    let sort = SortExec::new(by_key, Arc::new(source));
    let disk = DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![options.spill_folder.clone()]));
    let memory_bytes = options.memory_bytes / GATHER_PARTITIONS;
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(memory_bytes)))
        .with_disk_manager_builder(disk)
        .build_arc()?;
    let config = SessionConfig::new()
        .with_batch_size(GATHER_BATCH_ROWS)
        .with_sort_spill_reservation_bytes(memory_bytes / 8)
        .with_target_partitions(1);
    sort.execute(0, Arc::new(TaskContext::default().with_session_config(config).with_runtime(runtime)))
}

/// The receiving end of the channel as a source of the plan. It can be read once.
#[derive(Debug)]
struct Source(Mutex<Option<mpsc::Receiver<RecordBatch>>>);

impl PartitionStream for Source {
    fn schema(&self) -> &SchemaRef {
        &ROWS
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = receiver.map_or_else(|| stream::empty().boxed(), channel_stream).map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&ROWS), batches))
    }
}

/// The rows of one trace, still encoded.
#[derive(Debug, Default)]
struct GatheredTrace {
    /// Batches and the rows in them.
    rows: Vec<(BinaryArray, BinaryArray, Range<usize>)>,
    bytes: usize,
    pieces: usize,
    /// Pieces that begin in the rows, of which one may take several.
    spans: u64,
    too_large: bool,
}

/// Cuts sorted rows where the trace changes.
fn gathered(rows: SendableRecordBatchStream, fatal: FatalError) -> BoxStream<'static, GatheredTrace> {
    struct State {
        rows: SendableRecordBatchStream,
        open: Option<([u8; TRACE_KEY_BYTES], GatheredTrace)>,
        fatal: FatalError,
        ended: bool,
    }
    let state = State { rows, open: None, fatal, ended: false };
    stream::unfold(state, |mut state| async move {
        if state.ended {
            return None;
        }
        let done: Vec<GatheredTrace> = match state.rows.next().await {
            Some(Ok(batch)) => cut(&batch, &mut state.open),
            Some(Err(error)) => {
                state.ended = true;
                state
                    .fatal
                    .set(format!("cannot gather spans: {error}\n  hint: --memory-limit gives gathering more room, TMPDIR another disk"));
                Vec::new()
            }
            None => {
                state.ended = true;
                state.open.take().map(|(_, trace)| trace).into_iter().collect()
            }
        };
        Some((stream::iter(done), state))
    })
    .flatten()
    .boxed()
}

/// Adds the rows of a batch to the open trace and returns those that are complete.
fn cut(batch: &RecordBatch, open: &mut Option<([u8; TRACE_KEY_BYTES], GatheredTrace)>) -> Vec<GatheredTrace> {
    let binary = |index: usize| batch.column(index).as_any().downcast_ref::<BinaryArray>().cloned();
    let (Some(keys), Some(parts)) = (binary(0), binary(1)) else { return Vec::new() };
    let trace_key = |row: usize| keys.value(row).first_chunk::<TRACE_KEY_BYTES>().copied().unwrap_or_default();
    let mut done = Vec::new();
    let mut start = 0;
    while start < keys.len() {
        let key = trace_key(start);
        let end = (start + 1..keys.len()).find(|row| trace_key(*row) != key).unwrap_or(keys.len());
        if open.as_ref().is_some_and(|(open_key, _)| *open_key != key) {
            done.extend(open.take().map(|(_, trace)| trace));
        }
        let (_, trace) = open.get_or_insert_with(|| (key, GatheredTrace::default()));
        trace.add(&keys, &parts, start..end);
        start = end;
    }
    done
}

impl GatheredTrace {
    fn add(&mut self, keys: &BinaryArray, parts: &BinaryArray, rows: Range<usize>) {
        self.bytes += rows.clone().map(|row| parts.value(row).len()).sum::<usize>();
        self.pieces += rows.len();
        let begins = |row: &usize| keys.value(*row).get(PIECE_KEY_BYTES..).is_some_and(|part| part.iter().all(|byte| *byte == 0));
        self.spans += rows.clone().filter(begins).count() as u64;
        // The first rows are kept, for the id in the rejection.
        self.too_large |= self.bytes > TRACE_BYTES_MAX || self.pieces > TRACE_SPANS_MAX;
        if !self.too_large || self.rows.is_empty() {
            self.rows.push((keys.clone(), parts.clone(), rows));
        } else {
            self.rows.truncate(1);
        }
    }

    /// The trace id and the object of the first piece, which stand at its start: as a rule in its first row, however large the piece is.
    fn identity(&self) -> (String, String) {
        type Start = (String, Option<String>, Option<String>, TraceSource);
        let mut begin: Vec<u8> = Vec::new();
        for (_, parts, rows) in &self.rows {
            for row in rows.clone() {
                begin.extend_from_slice(parts.value(row));
                if let Ok(((id, _, _, source), _)) = postcard::take_from_bytes::<Start>(&begin) {
                    return (id, source.uri);
                }
            }
        }
        let id = postcard::take_from_bytes::<String>(&begin).map_or_else(|_| "gathered spans".into(), |(id, _)| id);
        (id, String::new())
    }

    /// Names the trace without decoding more than its id and the object that its first piece came from.
    fn interrupted(self) -> Rejection {
        let (trace_id, uri) = self.identity();
        Rejection::interrupted(&trace_id, &uri, Stage::Parse)
    }

    /// Decodes the pieces and builds the trace.
    fn decode(self) -> Outcome<Trace> {
        if self.too_large {
            let reason = format!(
                "the trace has more than {TRACE_SPANS_MAX} spans or {} MiB, which is more than failsift looks at",
                TRACE_BYTES_MAX / (1024 * 1024)
            );
            let (id, uri) = self.identity();
            return Err(Rejection::for_trace(&id, &uri, Stage::Parse, RejectionKind::TraceTooLarge, reason));
        }
        let mut pieces = Vec::with_capacity(self.pieces);
        let mut joined: Vec<u8> = Vec::new();
        let mut rows =
            self.rows.iter().flat_map(|(keys, parts, rows)| rows.clone().map(|row| (keys.value(row), parts.value(row)))).peekable();
        while let Some((key, part)) = rows.next() {
            let piece_key = key.get(..PIECE_KEY_BYTES);
            let goes_on = rows.peek().is_some_and(|(next, _)| next.get(..PIECE_KEY_BYTES) == piece_key);
            let bytes = if joined.is_empty() && !goes_on {
                part
            } else {
                joined.extend_from_slice(part);
                if goes_on {
                    continue;
                }
                joined.as_slice()
            };
            match postcard::from_bytes::<(String, Piece)>(bytes) {
                Ok((trace_id, piece)) => pieces.push(Piece { trace_id, ..piece }),
                Err(error) => {
                    let (id, uri) = self.identity();
                    let reason = format!("a gathered span cannot be decoded ({error}); this is a bug in failsift");
                    return Err(Rejection::for_trace(&id, &uri, Stage::Parse, RejectionKind::Internal, reason));
                }
            }
            joined.clear();
        }
        build(pieces)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::Span;

    pub(in crate::parse) fn piece(trace: usize, span: usize, text: &str) -> Piece {
        Piece {
            trace_id: format!("trace-{trace}"),
            service: Some("s".into()),
            source: TraceSource { uri: "u".into() },
            span: Span {
                span_id: format!("{span}"),
                started_at_ns: i64::try_from(span).ok(),
                output_text: Some(text.into()),
                ..Span::default()
            },
            ..Piece::default()
        }
    }

    /// Files below a folder; DataFusion makes a folder of its own whether it spills or not.
    fn files_below(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| if entry.path().is_dir() { files_below(&entry.path()) } else { 1 }).sum()
    }

    async fn gather(batches: Vec<Vec<Piece>>, memory_bytes: usize) -> (Vec<Outcome<Trace>>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let options = AssembleOptions {
            format: None,
            memory_bytes,
            spill_folder: folder.path().to_owned(),
            bodies: Bodies::default(),
            shutdown: Shutdown::default(),
            names_interrupted: true,
        };
        let (sender, receiver) = mpsc::channel(1);
        let rows = sorted(receiver, &options).unwrap();
        let fatal = FatalError::default();
        let mut first = 0;
        let mut feeder = JoinSet::new();
        feeder.spawn(async move {
            for batch in batches {
                for rows in encode(&batch, first).unwrap().into_iter().flatten() {
                    if sender.send(rows).await.is_err() {
                        return;
                    }
                }
                first += batch.len() as u64;
            }
        });
        // Spill files may be gone by the time the first trace comes out, so they are counted while the sort runs.
        let (spills, ended) = (folder.path().to_owned(), Arc::new(AtomicU64::new(0)));
        let watcher = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut most = 0;
                while ended.load(Ordering::Relaxed) == 0 {
                    most = most.max(files_below(&spills));
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                most
            }
        });
        let traces = pool::map_outcomes(gathered(rows, fatal.clone()).map(Ok).boxed(), GatheredTrace::decode);
        let found: Vec<Outcome<Trace>> = traces.collect().await;
        ended.store(1, Ordering::Relaxed);
        let spilled = watcher.join().unwrap();
        assert_eq!(fatal.get(), None);
        (found, spilled)
    }

    #[tokio::test]
    async fn spans_of_a_trace_are_gathered_under_a_memory_limit_that_the_input_exceeds() {
        let text = "x".repeat(4_000);
        // 40 traces of 50 spans, 8 MB in all, delivered span by span across the traces.
        let batches: Vec<_> = (0..50).map(|span| (0..40).map(|trace| piece(trace, span, &text)).collect()).collect();
        let (traces, spilled) = gather(batches, 2 * 1024 * 1024).await;
        assert_eq!(traces.len(), 40);
        assert!(traces.iter().all(|trace| trace.as_ref().is_ok_and(|trace| trace.spans.len() == 50)));
        assert!(spilled > 0, "nothing was spilled, so the limit was not tested");
    }

    #[tokio::test]
    async fn spans_of_a_megabyte_are_gathered_in_little_memory() {
        let text = "y".repeat(1024 * 1024);
        let batches: Vec<_> = (0..20).map(|span| (0..3).map(|trace| piece(trace, span, &text)).collect()).collect();
        let (traces, spilled) = gather(batches, 32 * 1024 * 1024).await;
        assert_eq!((traces.len(), spilled > 0), (3, true));
        assert!(traces.iter().all(|trace| trace.as_ref().is_ok_and(|trace| trace.spans.len() == 20)));
    }

    #[tokio::test]
    async fn a_span_larger_than_a_row_comes_back_whole() {
        let text: String = (0..500_000).map(|index| char::from(b"abcdefghijklmnopqrstuvwxyz"[index % 26])).collect();
        let (traces, spilled) = gather(vec![vec![piece(0, 1, &text), piece(0, 2, "short")]], 64 * 1024 * 1024).await;
        assert_eq!(spilled, 0, "what fits into memory stays there");
        let trace = traces[0].as_ref().unwrap();
        assert_eq!(trace.spans[0].output_text.as_deref(), Some(text.as_str()));
        assert_eq!(trace.spans[1].output_text.as_deref(), Some("short"));
    }

    #[tokio::test]
    async fn a_trace_over_the_limit_is_rejected_by_name_and_its_neighbours_live() {
        let batches =
            (0..60).map(|batch| (0..1_000).map(|span| piece(0, batch * 1_000 + span, "")).collect()).chain([vec![piece(1, 1, "a")]]);
        let (mut traces, _) = gather(batches.collect(), 64 * 1024 * 1024).await;
        traces.sort_by_key(Result::is_ok);
        let rejection = traces[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind), ("trace-0", RejectionKind::TraceTooLarge));
        assert_eq!(traces[1].as_ref().unwrap().trace_id, "trace-1");
    }

    #[test]
    fn an_interrupted_trace_is_named_without_being_built_and_its_spans_are_counted() {
        let long = "y".repeat(3 * GATHER_ROW_BYTES_MAX);
        let batches = encode(&[piece(0, 1, &long), piece(0, 2, "short"), piece(0, 3, &long)], 7).unwrap();
        let mut open = None;
        for batch in batches.iter().flatten() {
            assert_eq!(cut(batch, &mut open).len(), 0);
        }
        let (_, trace) = open.unwrap();
        assert_eq!((trace.spans, trace.pieces > 3), (3, true), "a span takes several rows and counts once");
        let rejection = trace.interrupted();
        assert_eq!((rejection.trace_ref.as_str(), rejection.source_uri.as_str()), ("trace-0", "u"));
        assert_eq!((rejection.kind, rejection.retryable, rejection.is_location), (RejectionKind::Interrupted, true, false));
        // The head of the first piece is longer than a row.
        let endless = Piece { service: Some(long), ..piece(1, 1, "") };
        let mut open = None;
        encode(&[endless], 0).unwrap().iter().flatten().for_each(|batch| assert_eq!(cut(batch, &mut open).len(), 0));
        assert_eq!(open.unwrap().1.interrupted().trace_ref, "trace-1");
    }

    #[test]
    fn what_was_read_and_not_gathered_is_one_rejection_of_an_object() {
        let counts = ParseCounts::default();
        assert_eq!(counts.not_gathered(), None);
        counts.spans.store(10, Ordering::Relaxed);
        counts.gathered.store(4, Ordering::Relaxed);
        counts.note_source(&[piece(0, 1, "")]);
        let rejection = counts.not_gathered().unwrap();
        assert_eq!((rejection.trace_ref.as_str(), rejection.is_location, rejection.retryable), ("u", true, true));
        assert!(rejection.reason.starts_with("6 spans were read and not gathered"), "{}", rejection.reason);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sort_that_is_given_up_ends_at_once_and_what_is_parsed_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let options = AssembleOptions {
            format: None,
            memory_bytes: 32 * 1024 * 1024,
            spill_folder: folder.path().to_owned(),
            bodies: Bodies::default(),
            shutdown: Shutdown::default(),
            names_interrupted: false,
        };
        let (rows_in, rows_out) = mpsc::channel(1);
        let rows = sorted(rows_out, &options).unwrap();
        let (gathered_in, mut gathered_out) = mpsc::channel(1);
        let counts = Arc::new(ParseCounts::default());
        let forwarding = forward(gathered(rows, FatalError::default()), gathered_in, Arc::clone(&counts), options.given_up().clone());
        // It waits for more rows, and would for ever.
        options.shutdown.requested().cancel();
        forwarding.await;
        assert!(gathered_out.recv().await.is_none());
        let rows = Rows { partitions: vec![rows_in], given_up: options.given_up().clone() };
        let batches = encode(&[piece(0, 1, "")], 0).unwrap().into_iter().flatten().collect();
        assert!(rows.send(vec![batches]).await, "rejections behind it still come through");
    }
}
