//! Counts of a run in progress, for the progress line and the run summary.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::traces::InputCounts;
use crate::write::WriteProgress;

/// Counters that the stages update while they run.
#[derive(Debug, Default)]
pub struct RunProgress {
    pub(super) input: InputCounts,
    /// Traces that were gathered, and records that were rejected before that.
    pub(super) received: Arc<AtomicU64>,
    /// Traces that the selection excluded.
    pub(super) filtered: Arc<AtomicU64>,
    /// Outcomes that reached the writer, and traces whose pattern is up to date.
    pub(super) done: Arc<AtomicU64>,
    pub(super) write: Arc<WriteProgress>,
}

impl RunProgress {
    /// Describes what the tables contain if the run is stopped now without completing.
    pub fn if_stopped_now(&self) -> String {
        self.write.if_stopped_now()
    }

    /// Traces that the selection excluded.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }
}

impl std::fmt::Display for RunProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (objects, megabytes) = (count(&self.input.read.objects), count(&self.input.read.bytes) / 1_000_000);
        write!(
            f,
            "{objects} objects opened ({megabytes} MB), {} spans read, {} traces gathered, {} done",
            count(&self.input.parse.spans),
            count(&self.received),
            count(&self.done) + count(&self.filtered)
        )
    }
}
