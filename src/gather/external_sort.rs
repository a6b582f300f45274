//! Sorts the rows of one partition by key within a memory limit: `DataFusion`'s external sort, which spills to disk, fed from a channel.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
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
use futures::stream::{self, StreamExt};
use tokio::sync::mpsc;

use super::rows::{KEY_COLUMN, SCHEMA};
use super::{GatherOptions, receiver_stream};
use crate::limits::{GATHER_BATCH_ROWS, GATHER_PARTITIONS};

/// The rows of a channel in the order of their keys. Each partition has its share of the memory.
pub(super) fn sorted(rows: mpsc::Receiver<RecordBatch>, options: &GatherOptions) -> Result<SendableRecordBatchStream, DataFusionError> {
    let source =
        StreamingTableExec::try_new(Arc::clone(&SCHEMA), vec![Arc::new(ChannelSource(Mutex::new(Some(rows))))], None, [], false, None)?;
    let by_key = LexOrdering::from([PhysicalSortExpr::new_default(col(KEY_COLUMN, &SCHEMA)?)]);
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

/// The message for an error of the sort, with the limit or the I/O error that caused it.
pub(super) fn error_message(error: &DataFusionError) -> String {
    const DISK_HINT: &str = "set TMPDIR to a folder on a disk with more space, or raise --memory-limit";
    let text = error.find_root().strip_backtrace();
    let (cause, hint) = match (error.find_root(), io_error(error.find_root())) {
        _ if text.contains("used disk space") => ("the spill files are too large".to_owned(), "pass fewer objects at once"),
        (_, Some(io)) if io.kind() == io::ErrorKind::StorageFull => ("no space left on the device for spill files".to_owned(), DISK_HINT),
        (_, Some(io)) => (first_line(&io.to_string()), DISK_HINT),
        (DataFusionError::ResourcesExhausted(_), None) => ("the memory limit is too low to sort them".to_owned(), "raise --memory-limit"),
        _ => (first_line(&text), "this is a bug in failsift, please report it"),
    };
    format!("cannot gather spans: {cause}\n  hint: {hint}")
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

fn io_error(error: &DataFusionError) -> Option<&io::Error> {
    match error {
        DataFusionError::IoError(error) => Some(error),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::IoError(_, error) => Some(error),
            _ => None,
        },
        DataFusionError::External(error) => error.downcast_ref(),
        _ => None,
    }
}

/// The receiving end of a channel as a source of the plan. It can be read once.
#[derive(Debug)]
struct ChannelSource(Mutex<Option<mpsc::Receiver<RecordBatch>>>);

impl PartitionStream for ChannelSource {
    fn schema(&self) -> &SchemaRef {
        &SCHEMA
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let receiver = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let batches = receiver.map_or_else(|| stream::empty().boxed(), receiver_stream).map(Ok);
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&SCHEMA), batches))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_sort_have_a_plain_cause_and_a_hint() {
        let full = DataFusionError::IoError(io::Error::from(io::ErrorKind::StorageFull)).context("spill");
        let message = error_message(&full);
        assert!(message.starts_with("cannot gather spans: no space left on the device for spill files\n  hint: set TMPDIR"), "{message}");
        let memory = error_message(&DataFusionError::ResourcesExhausted("Failed to allocate additional 1 KB".into()));
        assert_eq!(memory, "cannot gather spans: the memory limit is too low to sort them\n  hint: raise --memory-limit");
    }
}
