//! Sorts rows by key within a memory limit: `DataFusion`'s external sort, which spills to disk, fed from a channel.

use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
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

/// The rows of a channel in the order of their keys. Each sort has its share of the memory.
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
