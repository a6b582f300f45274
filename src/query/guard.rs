//! Runs a query on a separate task, while a thread monitors its time and the memory of the process.
//!
//! The engine's memory pool tracks sorts, joins and aggregations. What it does not track, such as a batch of very large values or a plan that grows
//! while it is optimized, shows in the memory of the process. The monitor is an OS thread and not a task, so it also stops queries that never
//! yield.

use std::sync::mpsc::{RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::common::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::error::{ExceededError, QueryError};
use super::limits::QueryLimits;
use crate::limits::{QUERY_GUARD_INTERVAL, QUERY_UNTRACKED_BYTES_MAX};

type Outcome<T> = Result<T, DataFusionError>;

/// Plans and runs `query`. If it exceeds `limits`, its rows end with an error.
///
/// # Errors
/// [`QueryError`] if it cannot be planned within the limits.
pub(super) async fn guarded(
    limits: QueryLimits,
    query: impl Future<Output = Outcome<SendableRecordBatchStream>> + Send + 'static,
) -> Result<SendableRecordBatchStream, QueryError> {
    // No query takes no time, but a short one would end before the monitor looks.
    if let Some(time) = limits.time.filter(Duration::is_zero) {
        return Err(ExceededError::Time { time }.into());
    }
    let mut monitor = Monitor::start(limits)?;
    let (planned_in, planned_out) = oneshot::channel();
    let (batches_in, mut batches) = mpsc::channel::<Outcome<RecordBatch>>(1);
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut rows = match query.await {
            Ok(rows) => rows,
            // The receiver is gone if the query was cancelled.
            Err(error) => return drop(planned_in.send(Err(limits.translate(error)))),
        };
        if planned_in.send(Ok(rows.schema())).is_err() {
            return;
        }
        while let Some(batch) = rows.next().await {
            if batches_in.send(batch.map_err(|error| limits.translate(error))).await.is_err() {
                return;
            }
        }
    });
    let schema = tokio::select! {
        planned = planned_out => planned.map_err(|_| QueryError::Sql("the engine failed on this query".to_owned()))??,
        exceeded = monitor.exceeded() => return Err(exceeded.into()),
    };
    let rows = async_stream::stream! {
        loop {
            let batch = tokio::select! {
                batch = batches.recv() => batch,
                exceeded = monitor.exceeded() => Some(Err(DataFusionError::External(Box::new(exceeded)))),
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

/// A thread that checks elapsed time and the memory of the process at an interval, until this is dropped.
struct Monitor {
    exceeded: Option<oneshot::Receiver<ExceededError>>,
    /// Dropping it stops the thread.
    _stop: Sender<()>,
}

impl Monitor {
    fn start(limits: QueryLimits) -> Result<Self, QueryError> {
        let (stop, stopped) = std::sync::mpsc::channel();
        let (exceeded_in, exceeded) = oneshot::channel();
        let started = Instant::now();
        let monitor = move || {
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(QUERY_GUARD_INTERVAL) {
                if let Some(exceeded) = limits.exceeded(started.elapsed(), resident_bytes()) {
                    // The receiver is gone if the query has ended.
                    let _ = exceeded_in.send(exceeded);
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name("query monitor".to_owned()).spawn(monitor);
        spawned.map_err(|error| QueryError::Sql(format!("cannot start a thread: {error}")))?;
        Ok(Self { exceeded: Some(exceeded), _stop: stop })
    }

    /// Waits until a limit is exceeded.
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
    /// Replaces the engine's error for an exhausted memory pool by one that names the limit, which the user can raise.
    fn translate(self, error: DataFusionError) -> DataFusionError {
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

/// Resident memory of the process. `None` on systems without `/proc`.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_and_memory_are_checked_against_the_limits() {
        let limits = QueryLimits { memory_bytes: 1_000_000, time: Some(Duration::from_secs(5)) };
        let fits = QUERY_UNTRACKED_BYTES_MAX as u64;
        assert_eq!(limits.exceeded(Duration::from_secs(4), Some(fits)), None);
        assert_eq!(limits.exceeded(Duration::from_secs(4), None), None);
        assert!(matches!(limits.exceeded(Duration::from_secs(6), None), Some(ExceededError::Time { .. })));
        assert!(matches!(limits.exceeded(Duration::ZERO, Some(fits + 2_000_000)), Some(ExceededError::Memory { .. })));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn resident_memory_is_read_from_proc() {
        assert!(resident_bytes().is_some_and(|bytes| bytes > 100_000));
    }
}
