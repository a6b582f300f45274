//! Read, parse and gather, connected once for every command that reads an input: `run`, `plan`, `eval`, `inspect`, `query --input`.

use std::sync::Arc;

use futures::StreamExt;
use url::Url;

use super::RunError;
use super::incremental::{EarlierObjects, ReadRecord, Reading};
use crate::gather::{self, GatherCounts, GatherOptions, MessageBodies};
use crate::model::{Outcome, OutcomeStream, RejectionKind, Trace};
use crate::parse::{self, Format, ParseCounts};
use crate::read::{self, Chunk, ReadCounts, ReadOptions};
use crate::runtime::{FatalError, Shutdown};
use crate::spill::SpillFolder;
use crate::store::{self, Listing, Location, StoreError};
use crate::write::ReusableResults;

/// Where traces are read from, and how.
#[derive(Clone)]
pub struct TraceSource {
    /// The locations of the traces.
    pub inputs: Vec<Location>,
    /// Reads every object in this format instead of detecting it.
    pub format: Option<&'static dyn Format>,
    /// Longer records are rejected.
    pub record_bytes_max: usize,
    /// Memory of the gather stage before it spills, in bytes.
    pub memory_bytes: usize,
}

impl std::fmt::Debug for TraceSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TraceSource").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// Counters of the stages that read an input.
#[derive(Debug, Default)]
pub struct InputCounts {
    /// Counts of the read stage.
    pub read: Arc<ReadCounts>,
    /// Counts of the parse stage.
    pub parse: Arc<ParseCounts>,
    /// Counts of the gather stage.
    pub gather: Arc<GatherCounts>,
}

impl InputCounts {
    /// Counters that also collect the contents of each object.
    pub fn inspecting() -> Self {
        Self { parse: Arc::new(ParseCounts::inspecting()), ..Self::default() }
    }

    /// Objects that a manifest names and that were not read.
    pub fn missing_objects(&self) -> Vec<String> {
        parse::missing_objects(&self.parse, &self.read)
    }
}

/// The outcomes of the stages that were connected so far.
pub struct TraceStream<T> {
    traces: OutcomeStream<T>,
    fatal: FatalError,
}

impl<T> TraceStream<T> {
    /// The next outcome: one for each trace, and for each record that could not become part of one.
    pub async fn next(&mut self) -> Option<Outcome<T>> {
        self.traces.next().await
    }

    /// Whether the whole input was read and gathered. Call it when the outcomes have ended.
    ///
    /// # Errors
    /// [`RunError::Gather`] if reading or gathering ended early.
    pub fn check_complete(&self) -> Result<(), RunError> {
        check_complete(&self.fatal)
    }

    /// Adds stages.
    pub fn map<U>(self, stages: impl FnOnce(OutcomeStream<T>) -> OutcomeStream<U>) -> TraceStream<U> {
        TraceStream { traces: stages(self.traces), fatal: self.fatal }
    }

    /// The stream, and the error that may have ended it early, which is known when the stream has ended.
    pub fn into_parts(self) -> (OutcomeStream<T>, FatalError) {
        (self.traces, self.fatal)
    }
}

impl TraceSource {
    /// Lists the objects of all inputs. Objects of the tables at `tables` are excluded.
    ///
    /// # Errors
    /// [`StoreError`] if an input cannot be listed, or is empty and `allow_empty` is false.
    pub async fn objects(&self, tables: &Url, allow_empty: bool) -> Result<Listing, StoreError> {
        store::objects(&self.inputs, tables, allow_empty).await
    }

    /// Reads, parses and gathers `objects`. `rejects_interrupted_traces`: see [`GatherOptions`].
    ///
    /// # Errors
    /// [`RunError::Spill`] if the temporary folder cannot be created.
    pub fn traces(
        self,
        objects: Listing,
        counts: &InputCounts,
        rejects_interrupted_traces: bool,
        shutdown: &Shutdown,
    ) -> Result<TraceStream<Trace>, RunError> {
        self.traces_of_run(objects, counts, rejects_interrupted_traces, shutdown, None)
    }

    /// The same for a run, which records what it reads and may join traces with what earlier runs have read.
    pub(super) fn traces_of_run(
        self,
        objects: Listing,
        counts: &InputCounts,
        rejects_interrupted_traces: bool,
        shutdown: &Shutdown,
        incremental: Option<IncrementalInput>,
    ) -> Result<TraceStream<Trace>, RunError> {
        let spill = spill_folder()?;
        let reading = ReadOptions { record_bytes_max: self.record_bytes_max };
        let gathering = GatherOptions {
            memory_bytes: self.memory_bytes,
            spill_folder: spill.path().to_owned(),
            message_bodies: MessageBodies::new(self.inputs, self.record_bytes_max),
            shutdown: shutdown.clone(),
            rejects_interrupted_traces,
        };
        let fatal = FatalError::default();
        let stop = shutdown.requested().clone();
        let mut chunks = read::chunks(objects, reading.clone(), Arc::clone(&counts.read), &fatal, stop.clone());
        let (record, earlier) = incremental.map_or((None, None), |input| (Some(input.record), input.earlier));
        if let Some(record) = record {
            chunks = unread_recorded(chunks, record);
        }
        let keys = earlier.as_ref().map(|(earlier, _)| earlier.keys());
        let mut fragments = parse::fragments(chunks, self.format, &counts.parse, gather::encoder(&counts.gather, keys));
        if let Some((earlier, reusable)) = earlier {
            let (read, gather) = (Arc::clone(&counts.read), Arc::clone(&counts.gather));
            let reading = Reading { options: reading, format: self.format, read, gather, fatal: fatal.clone(), stop, reusable };
            fragments = fragments.chain(earlier.fragments(reading)).boxed();
        }
        let traces = gather::traces(fragments, &gathering, Arc::clone(&counts.gather), &fatal);
        // The stream owns the folder, so dropping the stream removes it.
        let traces = traces.map(move |trace| {
            let _owned_by_the_stream = &spill;
            trace
        });
        Ok(TraceStream { traces: traces.boxed(), fatal })
    }
}

/// What a run adds to reading an input.
pub(super) struct IncrementalInput {
    pub(super) record: Arc<ReadRecord>,
    /// Set if earlier runs have read a part of the input.
    pub(super) earlier: Option<(EarlierObjects, Arc<ReusableResults>)>,
}

/// Records objects that cannot be read now, so that the next run reads them again.
fn unread_recorded(chunks: OutcomeStream<Chunk>, record: Arc<ReadRecord>) -> OutcomeStream<Chunk> {
    chunks
        .inspect(move |chunk| {
            if let Err(rejection) = chunk
                && rejection.kind == RejectionKind::Unreadable
                && rejection.retryable
            {
                record.set_unread(&rejection.source_uri);
            }
        })
        .boxed()
}

fn spill_folder() -> Result<SpillFolder, RunError> {
    let parent = std::env::temp_dir();
    SpillFolder::create(&parent).map_err(|reason| RunError::Spill { folder: parent.display().to_string(), reason })
}

pub(super) fn check_complete(fatal: &FatalError) -> Result<(), RunError> {
    fatal.get().map_or(Ok(()), |reason| Err(RunError::Gather(reason.to_owned())))
}
