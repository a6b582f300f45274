//! Joins span fragments into traces, wherever the fragments of a trace are in the input: in several lines, objects or formats.
//!
//! The input is [`EncodedChunk`]s, and the output is [`Trace`]s and rejections. Fragments are encoded as rows and distributed to
//! [`GATHER_PARTITIONS`] partitions by a hash of their trace id. Each partition is an external sort of its rows, which spills to disk;
//! sorted, the rows of one trace are adjacent. So memory depends on the memory limit and on the largest trace, not on the size of the
//! input, and no trace leaves this stage before the whole input is read.
//!
//! Annotations and uploaded message bodies are attached here, too. After a shutdown, each trace that is left is rejected, or, if a selection
//! is active, one rejection counts their spans. The rejections of this stage have [`Stage::Parse`]: the column `stage` reports both stages as
//! `parse`.
//!
//! This module must not know any trace format.

mod annotations;
mod external_sort;
mod message_bodies;
mod rows;
mod sorted_trace;
mod span_parts;
mod trace_builder;

use std::collections::HashSet;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::annotations::Annotations;
pub use self::message_bodies::MessageBodies;
use self::sorted_trace::SortedTrace;
use crate::limits::{GATHER_PARTITIONS, GATHERED_QUEUED_MAX, MESSAGE_BODIES_IN_FLIGHT_MAX};
use crate::model::{Annotation, OutcomeStream, Rejection, RejectionKind, Stage, Trace, key_hash};
use crate::parse::{AnnotationTarget, ParsedChunk, SpanFragment};
use crate::runtime::{FatalError, Shutdown, pool};

/// How fragments are joined into traces.
#[derive(Clone)]
pub struct GatherOptions {
    /// Memory of all partitions together before they spill, in bytes.
    pub memory_bytes: usize,
    /// The folder of the spill files.
    pub spill_folder: PathBuf,
    /// Where to look for message bodies that were uploaded separately from their spans.
    pub message_bodies: MessageBodies,
    /// Ends gathering early.
    pub shutdown: Shutdown,
    /// Whether each trace that is complete when a shutdown is requested gets its own rejection, until the grace period ends. Off if a
    /// selection may exclude traces: no later run would remove the rejection of an excluded trace.
    pub rejects_interrupted_traces: bool,
}

impl GatherOptions {
    /// Cancelled when gathering must stop without waiting for complete traces.
    fn stop(&self) -> &CancellationToken {
        if self.rejects_interrupted_traces { self.shutdown.grace_ended() } else { self.shutdown.requested() }
    }
}

impl fmt::Debug for GatherOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GatherOptions").field("memory_bytes", &self.memory_bytes).finish_non_exhaustive()
    }
}

/// What was gathered so far, shared with the run summary.
#[derive(Debug, Default)]
pub struct GatherCounts {
    annotations: Annotations,
    fragments_in: AtomicU64,
    /// Fragments of traces that left the partitions.
    fragments_out: AtomicU64,
    /// The object of the fragments that arrived last.
    last_object: Mutex<String>,
    is_cut_short: AtomicBool,
}

impl GatherCounts {
    /// Annotations whose span or trace is not in the input. Final when all traces are gathered.
    pub fn annotations_unused(&self) -> u64 {
        self.annotations.unused()
    }

    /// Whether the grace period ended before everything that had been read was parsed, so that rejections are missing.
    pub fn is_cut_short(&self) -> bool {
        self.is_cut_short.load(Ordering::Relaxed)
    }

    /// Spans that were read and whose trace is not gathered yet.
    pub fn spans_waiting(&self) -> u64 {
        self.fragments_in.load(Ordering::Relaxed).saturating_sub(self.spans_gathered())
    }

    /// Spans of the traces that were gathered. Anything but 0 means that the whole input was read.
    pub fn spans_gathered(&self) -> u64 {
        self.fragments_out.load(Ordering::Relaxed)
    }

    /// Counts fragments that enter the partitions; returns the number of the first one.
    fn add_fragments(&self, fragments: &[SpanFragment]) -> u64 {
        if let Some(last) = fragments.last() {
            self.last_object.lock().unwrap_or_else(PoisonError::into_inner).clone_from(&last.source.uri);
        }
        self.fragments_in.fetch_add(fragments.len() as u64, Ordering::Relaxed)
    }

    /// One rejection for all spans that were still in the partitions when a shutdown stopped gathering. Its location is an object that some
    /// of them came from, so that it is removed when that object is read again.
    fn not_gathered(&self) -> Option<Rejection> {
        let spans = self.fragments_in.load(Ordering::Relaxed).saturating_sub(self.fragments_out.load(Ordering::Relaxed));
        let uri = self.last_object.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let verb = if spans == 1 { "span was" } else { "spans were" };
        let reason = format!("{spans} {verb} read and not gathered into traces because the run was interrupted\n  hint: run it again");
        (spans > 0).then(|| Rejection::at_location(&uri, &uri, Stage::Parse, RejectionKind::Interrupted, reason))
    }
}

/// A parsed chunk in the form in which it enters this stage: rows for each partition, and rejections that bypass them.
#[derive(Debug)]
pub struct EncodedChunk {
    batches: Result<Vec<Vec<RecordBatch>>, String>,
    rejections: Vec<Rejection>,
}

/// Encodes what was parsed of a chunk. The parse stage calls it on the same thread, so that decoded spans do not accumulate between the stages.
///
/// The keys of the traces that were seen are added to `keys`, if given.
pub fn encoder(
    counts: &Arc<GatherCounts>,
    keys: Option<Arc<TraceKeys>>,
) -> impl Fn(ParsedChunk) -> EncodedChunk + Clone + Send + Sync + 'static {
    let counts = Arc::clone(counts);
    move |parsed| {
        let (fragments, annotations, rejections) = parsed.into_parts();
        if let Some(keys) = &keys {
            keys.add(&fragments, &annotations);
        }
        encode(&counts, &fragments, annotations, rejections)
    }
}

/// Encodes only what belongs to the traces `wanted`, by the hashes of their ids: the objects were read before, and everything else in them has its
/// outcome.
pub fn encoder_of_traces(
    counts: &Arc<GatherCounts>,
    wanted: Arc<HashSet<u128>>,
) -> impl Fn(ParsedChunk) -> EncodedChunk + Clone + Send + Sync + 'static {
    let counts = Arc::clone(counts);
    move |parsed| {
        let (mut fragments, mut annotations, mut rejections) = parsed.into_parts();
        fragments.retain(|fragment| wanted.contains(&key_hash(&fragment.trace_id)));
        annotations.retain(|(target, _)| match target {
            AnnotationTarget::Trace(id) => wanted.contains(&key_hash(id)),
            AnnotationTarget::Span(_) => true,
        });
        rejections.retain(|rejection| !rejection.is_location && wanted.contains(&key_hash(&rejection.trace_ref)));
        encode(&counts, &fragments, annotations, rejections)
    }
}

fn encode(
    counts: &GatherCounts,
    fragments: &[SpanFragment],
    annotations: Vec<(AnnotationTarget, Annotation)>,
    rejections: Vec<Rejection>,
) -> EncodedChunk {
    counts.annotations.add(annotations);
    let first_number = counts.add_fragments(fragments);
    EncodedChunk { batches: rows::encode(fragments, first_number), rejections }
}

/// The traces of which something was seen, by the hashes of their ids.
#[derive(Debug, Default)]
pub struct TraceKeys(Mutex<HashSet<u128>>);

impl TraceKeys {
    fn add(&self, fragments: &[SpanFragment], annotations: &[(AnnotationTarget, Annotation)]) {
        let of_annotations = annotations.iter().filter_map(|(target, _)| match target {
            AnnotationTarget::Trace(id) => Some(id),
            AnnotationTarget::Span(_) => None,
        });
        let ids = fragments.iter().map(|fragment| &fragment.trace_id).chain(of_annotations);
        let keys: Vec<u128> = ids.map(|id| key_hash(id)).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(keys);
    }

    /// Takes the keys.
    pub fn take(&self) -> HashSet<u128> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Joins the fragments of all chunks into traces.
///
/// When a shutdown is requested, traces that leave the partitions are rejected as interrupted without being decoded. If gathering stops
/// before that, one rejection gives the number of spans that were still in the partitions.
pub fn traces(
    chunks: BoxStream<'static, EncodedChunk>,
    options: &GatherOptions,
    counts: Arc<GatherCounts>,
    fatal: &FatalError,
) -> OutcomeStream<Trace> {
    let (rejection_sender, rejections) = mpsc::channel(64);
    let (trace_sender, sorted_traces) = mpsc::channel(GATHERED_QUEUED_MAX);
    let mut tasks = JoinSet::new();
    let mut partitions = Vec::with_capacity(GATHER_PARTITIONS);
    for _ in 0..GATHER_PARTITIONS {
        let (row_sender, rows) = mpsc::channel(2);
        partitions.push(row_sender);
        match external_sort::sorted(rows, options) {
            Ok(rows) => {
                let traces = sorted_trace::split(rows, fatal.clone());
                tasks.spawn(forward(traces, trace_sender.clone(), Arc::clone(&counts), options.stop().clone()));
            }
            Err(error) => fatal.set(external_sort::error_message(&error)),
        }
    }
    drop(trace_sender);
    let rows = RowSenders { partitions, stop: options.stop().clone() };
    tasks.spawn(distribute(chunks, rows, rejection_sender, fatal.clone(), options.shutdown.clone(), Arc::clone(&counts)));
    let traces = with_message_bodies(decoded(sorted_traces, options, &counts), options);
    // The stream owns the tasks, so dropping the stream ends them.
    stream::select(receiver_stream(rejections).map(Err), traces)
        .chain(not_gathered_rejection(options.stop().clone(), counts))
        .map(move |item| {
            let _owned_by_the_stream = &tasks;
            item
        })
        .boxed()
}

/// Moves traces into the channel that all partitions share. Returning drops the sort of the partition.
async fn forward(
    mut traces: BoxStream<'static, SortedTrace>,
    channel: mpsc::Sender<SortedTrace>,
    counts: Arc<GatherCounts>,
    stop: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            biased;
            // Merging many spill files may take long before the first trace is ready.
            () = stop.cancelled() => return,
            next = traces.next() => next,
        };
        let Some(trace) = next else { return };
        let fragments = trace.fragments();
        if channel.send(trace).await.is_err() {
            return;
        }
        counts.fragments_out.fetch_add(fragments, Ordering::Relaxed);
    }
}

/// The input channels of the partitions.
struct RowSenders {
    partitions: Vec<mpsc::Sender<RecordBatch>>,
    stop: CancellationToken,
}

impl RowSenders {
    /// Sends the rows of each partition to it. Returns whether to continue with the next chunk.
    async fn send(&self, batches: Vec<Vec<RecordBatch>>) -> bool {
        for (batches, rows) in batches.into_iter().zip(&self.partitions) {
            for batch in batches {
                if rows.send(batch).await.is_err() {
                    // If gathering stopped, the spans in the partitions are counted, and later rejections are still forwarded.
                    return self.stop.is_cancelled();
                }
            }
        }
        true
    }
}

/// Sends rows to the partitions, and rejections directly to the output.
async fn distribute(
    mut chunks: BoxStream<'static, EncodedChunk>,
    rows: RowSenders,
    rejections: mpsc::Sender<Rejection>,
    fatal: FatalError,
    shutdown: Shutdown,
    counts: Arc<GatherCounts>,
) {
    loop {
        let next = tokio::select! {
            biased;
            next = chunks.next() => next,
            // A source that blocks does not notice that reading has ended.
            () = shutdown.grace_ended().cancelled() => {
                counts.is_cut_short.store(true, Ordering::Relaxed);
                return;
            }
        };
        let Some(chunk) = next else { return };
        for rejection in chunk.rejections {
            if rejections.send(rejection).await.is_err() {
                return;
            }
        }
        match chunk.batches {
            Ok(batches) => {
                if !rows.send(batches).await {
                    return;
                }
            }
            Err(error) => {
                return fatal.set(format!("cannot encode a span: {error}\n  hint: this is a bug in failsift, please report it"));
            }
        }
    }
}

/// Decodes traces on the thread pool and attaches their annotations.
fn decoded(traces: mpsc::Receiver<SortedTrace>, options: &GatherOptions, counts: &Arc<GatherCounts>) -> OutcomeStream<Trace> {
    let (shutdown, rejects_interrupted, counts) = (options.shutdown.clone(), options.rejects_interrupted_traces, Arc::clone(counts));
    pool::map_outcomes(receiver_stream(traces).map(Ok).boxed(), move |sorted: SortedTrace| {
        if rejects_interrupted && shutdown.is_requested() {
            return Err(sorted.interrupted());
        }
        let mut trace = sorted.decode()?;
        counts.annotations.attach(&mut trace);
        Ok(trace)
    })
}

/// Fetches the message bodies that spans refer to.
fn with_message_bodies(traces: OutcomeStream<Trace>, options: &GatherOptions) -> OutcomeStream<Trace> {
    let (bodies, grace_ended) = (options.message_bodies.clone(), options.shutdown.grace_ended().clone());
    traces
        .map(move |trace| {
            let (bodies, grace_ended) = (bodies.clone(), grace_ended.clone());
            async move {
                let trace = trace?;
                let interrupted = Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Parse).of_objects(&trace.source_uris);
                tokio::select! {
                    biased;
                    trace = bodies.fetch_into(trace) => Ok(trace),
                    () = grace_ended.cancelled() => Err(interrupted),
                }
            }
        })
        .buffer_unordered(MESSAGE_BODIES_IN_FLIGHT_MAX)
        .boxed()
}

/// The rejection for spans that were still in the partitions when gathering stopped, if there are any.
fn not_gathered_rejection(stop: CancellationToken, counts: Arc<GatherCounts>) -> OutcomeStream<Trace> {
    let rejection = stream::once(async move { if stop.is_cancelled() { counts.not_gathered() } else { None } });
    rejection.filter_map(|rejection| std::future::ready(rejection.map(Err))).boxed()
}

/// The items of a channel as a stream.
fn receiver_stream<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> BoxStream<'static, T> {
    stream::unfold(receiver, |mut receiver| async { receiver.recv().await.map(|item| (item, receiver)) }).boxed()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::{Outcome, Source, Span};

    pub(super) fn fragment(trace: usize, span: usize, text: &str) -> SpanFragment {
        SpanFragment {
            trace_id: format!("trace-{trace}"),
            service: Some("s".into()),
            source: Source { uri: "u".into() },
            span: Span {
                span_id: format!("{span}"),
                started_at_ns: i64::try_from(span).ok(),
                output_text: Some(text.into()),
                ..Span::default()
            },
            ..SpanFragment::default()
        }
    }

    fn options(memory_bytes: usize, spill_folder: &std::path::Path) -> GatherOptions {
        GatherOptions {
            memory_bytes,
            spill_folder: spill_folder.to_owned(),
            message_bodies: MessageBodies::default(),
            shutdown: Shutdown::default(),
            rejects_interrupted_traces: true,
        }
    }

    /// Files below a folder. DataFusion creates a subfolder even if nothing is spilled.
    fn files_below(folder: &std::path::Path) -> usize {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        // The type is part of the entry, so a folder that is removed meanwhile does not count as a file.
        let is_folder = |entry: &std::fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
        entries.map(|entry| if is_folder(&entry) { files_below(&entry.path()) } else { 1 }).sum()
    }

    /// Gathers fragments that arrive batch by batch in one partition; returns the traces and the largest number of spill files seen.
    async fn gather(batches: Vec<Vec<SpanFragment>>, memory_bytes: usize) -> (Vec<Outcome<Trace>>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let (sender, receiver) = mpsc::channel(1);
        let rows = external_sort::sorted(receiver, &options(memory_bytes, folder.path())).unwrap();
        let fatal = FatalError::default();
        let mut first = 0;
        let mut feeder = JoinSet::new();
        feeder.spawn(async move {
            for batch in batches {
                for rows in rows::encode(&batch, first).unwrap().into_iter().flatten() {
                    if sender.send(rows).await.is_err() {
                        return;
                    }
                }
                first += batch.len() as u64;
            }
        });
        // Spill files may be gone when the first trace arrives, so they are counted while the sort runs.
        let (spills, ended) = (folder.path().to_owned(), Arc::new(AtomicBool::new(false)));
        let watcher = std::thread::spawn({
            let ended = Arc::clone(&ended);
            move || {
                let mut most = 0;
                while !ended.load(Ordering::Relaxed) {
                    most = most.max(files_below(&spills));
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                most
            }
        });
        let traces = pool::map_outcomes(sorted_trace::split(rows, fatal.clone()).map(Ok).boxed(), SortedTrace::decode);
        let found: Vec<Outcome<Trace>> = traces.collect().await;
        ended.store(true, Ordering::Relaxed);
        let spilled = watcher.join().unwrap();
        assert_eq!(fatal.get(), None);
        (found, spilled)
    }

    #[tokio::test]
    async fn input_larger_than_the_memory_limit_is_gathered_by_spilling() {
        let text = "x".repeat(4_000);
        // 40 traces of 50 spans, 8 MB in total, delivered span by span across the traces.
        let batches: Vec<_> = (0..50).map(|span| (0..40).map(|trace| fragment(trace, span, &text)).collect()).collect();
        let (traces, spilled) = gather(batches, 2 * 1024 * 1024).await;
        assert_eq!(traces.len(), 40);
        assert!(traces.iter().all(|trace| trace.as_ref().is_ok_and(|trace| trace.spans.len() == 50)));
        assert!(spilled > 0, "nothing was spilled, so the limit was not tested");
    }

    #[tokio::test]
    async fn spans_of_a_megabyte_are_gathered_in_little_memory() {
        let text = "y".repeat(1024 * 1024);
        let batches: Vec<_> = (0..20).map(|span| (0..3).map(|trace| fragment(trace, span, &text)).collect()).collect();
        let (traces, spilled) = gather(batches, 32 * 1024 * 1024).await;
        assert_eq!((traces.len(), spilled > 0), (3, true));
        assert!(traces.iter().all(|trace| trace.as_ref().is_ok_and(|trace| trace.spans.len() == 20)));
    }

    #[tokio::test]
    async fn a_span_larger_than_a_row_is_restored_whole() {
        let text: String = (0..500_000).map(|index| char::from(b"abcdefghijklmnopqrstuvwxyz"[index % 26])).collect();
        let (traces, spilled) = gather(vec![vec![fragment(0, 1, &text), fragment(0, 2, "short")]], 64 * 1024 * 1024).await;
        assert_eq!(spilled, 0, "what fits into memory stays there");
        let trace = traces[0].as_ref().unwrap();
        assert_eq!(trace.spans[0].output_text.as_deref(), Some(text.as_str()));
        assert_eq!(trace.spans[1].output_text.as_deref(), Some("short"));
    }

    #[tokio::test]
    async fn a_trace_over_the_limit_is_rejected_by_its_id_and_other_traces_are_kept() {
        let batches =
            (0..60).map(|batch| (0..1_000).map(|span| fragment(0, batch * 1_000 + span, "")).collect()).chain([vec![fragment(1, 1, "a")]]);
        let (mut traces, _) = gather(batches.collect(), 64 * 1024 * 1024).await;
        traces.sort_by_key(Result::is_ok);
        let rejection = traces[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind), ("trace-0", RejectionKind::TraceTooLarge));
        assert_eq!(traces[1].as_ref().unwrap().trace_id, "trace-1");
    }

    #[test]
    fn spans_that_were_not_gathered_are_one_rejection_of_an_object() {
        let counts = GatherCounts::default();
        assert_eq!(counts.not_gathered(), None);
        let fragments: Vec<_> = (0..10).map(|span| fragment(0, span, "")).collect();
        assert_eq!(counts.add_fragments(&fragments), 0);
        counts.fragments_out.store(4, Ordering::Relaxed);
        let rejection = counts.not_gathered().unwrap();
        assert_eq!((rejection.trace_ref.as_str(), rejection.is_location, rejection.retryable), ("u", true, true));
        assert!(rejection.reason.starts_with("6 spans were read and not gathered"), "{}", rejection.reason);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_stopped_partition_ends_immediately_and_later_rejections_are_still_forwarded() {
        let folder = tempfile::tempdir().unwrap();
        let options = GatherOptions { rejects_interrupted_traces: false, ..options(32 * 1024 * 1024, folder.path()) };
        let (row_sender, rows) = mpsc::channel(1);
        let rows = external_sort::sorted(rows, &options).unwrap();
        let (trace_sender, mut traces) = mpsc::channel(1);
        let counts = Arc::new(GatherCounts::default());
        let forwarding =
            forward(sorted_trace::split(rows, FatalError::default()), trace_sender, Arc::clone(&counts), options.stop().clone());
        // It waits for more rows, which never arrive.
        options.shutdown.requested().cancel();
        forwarding.await;
        assert!(traces.recv().await.is_none());
        let rows = RowSenders { partitions: vec![row_sender], stop: options.stop().clone() };
        let batches = rows::encode(&[fragment(0, 1, "")], 0).unwrap().into_iter().flatten().collect();
        assert!(rows.send(vec![batches]).await, "the next chunk may have rejections");
    }
}
