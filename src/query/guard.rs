//! A query under way: on a task of its own, watched for time and memory.
//!
//! The engine counts what sorts, joins and groups hold against its memory pool. What it does not count (a batch of very large values, a plan
//! that grows while it is optimised) shows in the memory of the process, which a thread looks at. The thread needs nothing of the runtime, so it
//! also ends queries that never give up their thread.

use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{ExceededError, QueryError, QueryLimits};
use crate::limits::{QUERY_GUARD_INTERVAL, QUERY_UNTRACKED_BYTES_MAX};

type Outcome<T> = Result<T, DataFusionError>;

/// Plans and runs `query`; its rows end with an error where it takes more than `limits` allow.
///
/// # Errors
/// [`QueryError`] where it cannot be planned within the limits.
pub(super) async fn guarded(
    limits: QueryLimits,
    query: impl Future<Output = Outcome<SendableRecordBatchStream>> + Send + 'static,
) -> Result<SendableRecordBatchStream, QueryError> {
    let mut watch = Watch::start(limits)?;
    let (planned_in, planned_out) = oneshot::channel();
    let (batches_in, mut batches) = mpsc::channel::<Outcome<RecordBatch>>(1);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut rows = match query.await {
            Ok(rows) => rows,
            // Where nobody waits any more nobody wants to know.
            Err(error) => return drop(planned_in.send(Err(limits.explained(error)))),
        };
        if planned_in.send(Ok(rows.schema())).is_err() {
            return;
        }
        while let Some(batch) = rows.next().await {
            if batches_in.send(batch.map_err(|error| limits.explained(error))).await.is_err() {
                return;
            }
        }
    });
    let schema = tokio::select! {
        planned = planned_out => planned.map_err(|_| QueryError::Sql("the engine failed on this query".to_owned()))??,
        exceeded = watch.exceeded() => return Err(exceeded.into()),
    };
    let rows = async_stream::stream! {
        loop {
            let batch = tokio::select! {
                batch = batches.recv() => batch,
                exceeded = watch.exceeded() => Some(Err(DataFusionError::External(Box::new(exceeded)))),
            };
            let Some(batch) = batch else { break };
            let failed = batch.is_err();
            yield batch;
            if failed {
                return;
            }
        }
        if let Some(Err(_)) = task.join_next().await {
            yield Err(DataFusionError::Execution("the engine failed on this query".to_owned()));
        }
    };
    Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows.boxed())))
}

/// A thread that looks at the clock and at the memory of the process until it is dropped.
struct Watch {
    exceeded: Option<oneshot::Receiver<ExceededError>>,
    _ends_with: Sender<()>,
}

impl Watch {
    fn start(limits: QueryLimits) -> Result<Self, QueryError> {
        let (ends_with, ended) = std::sync::mpsc::channel();
        let (exceeded_in, exceeded) = oneshot::channel();
        let begun = Instant::now();
        let look = move || {
            while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(QUERY_GUARD_INTERVAL) {
                if let Some(exceeded) = limits.exceeded(begun.elapsed(), resident_bytes()) {
                    // Where the query ended meanwhile nobody wants to know.
                    let _ = exceeded_in.send(exceeded);
                    return;
                }
            }
        };
        let started = std::thread::Builder::new().name("query watch".to_owned()).spawn(look);
        started.map_err(|error| QueryError::Sql(format!("cannot start a thread: {error}")))?;
        Ok(Self { exceeded: Some(exceeded), _ends_with: ends_with })
    }

    /// Waits until the query takes too much.
    async fn exceeded(&mut self) -> ExceededError {
        if let Some(exceeded) = &mut self.exceeded
            && let Ok(exceeded) = exceeded.await
        {
            return exceeded;
        }
        self.exceeded = None;
        std::future::pending().await
    }
}

impl QueryLimits {
    /// What the engine says where its memory pool is empty, in words for whoever asked.
    fn explained(self, error: DataFusionError) -> DataFusionError {
        match error.find_root() {
            DataFusionError::ResourcesExhausted(_) => {
                DataFusionError::External(Box::new(ExceededError::Memory { bytes_max: self.memory_bytes as u64 }))
            }
            _ => error,
        }
    }

    fn exceeded(self, elapsed: Duration, resident_bytes: Option<u64>) -> Option<ExceededError> {
        if let Some(time) = self.time.filter(|time| elapsed > *time) {
            return Some(ExceededError::Time { time });
        }
        let bytes_max = self.memory_bytes.saturating_add(QUERY_UNTRACKED_BYTES_MAX) as u64;
        resident_bytes.filter(|bytes| *bytes > bytes_max).map(|_| ExceededError::Memory { bytes_max: self.memory_bytes as u64 })
    }
}

/// Memory of the process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_compared_with_the_limits() {
        let limits = QueryLimits { memory_bytes: 1_000_000, time: Some(Duration::from_secs(5)) };
        let fits = QUERY_UNTRACKED_BYTES_MAX as u64;
        assert_eq!(limits.exceeded(Duration::from_secs(4), Some(fits)), None);
        assert_eq!(limits.exceeded(Duration::from_secs(4), None), None);
        assert!(matches!(limits.exceeded(Duration::from_secs(6), None), Some(ExceededError::Time { .. })));
        assert!(matches!(limits.exceeded(Duration::ZERO, Some(fits + 2_000_000)), Some(ExceededError::Memory { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_tells_the_memory_of_the_process() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
