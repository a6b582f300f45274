//! Replaces rows: new files come in, and of the files there were only those that hold a superseded row are rewritten.
//!
//! The key column alone is read to find them, so an upsert costs what it changes. Each attempt plans against one version and commits
//! only on top of that version; the loser of a race plans again. A reader sees the version before or the version after.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, StringArray, StringViewArray};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::{DataType, Field, Schema};
use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add, LogicalFileView};
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::writer::DeltaWriter;
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::table::{Table, TableName};
use crate::limits::COMMIT_ATTEMPTS_MAX;
use crate::model::text_key;
use crate::store::{Object, ObjectReader};

/// Which rows are replaced.
#[derive(Debug, Default)]
pub(super) struct Superseded {
    /// Keys of trace ids and references.
    pub(super) keys: HashSet<u128>,
    /// Keys of objects that were read again: rows that are keyed by a place in them go.
    pub(super) objects: HashSet<u128>,
}

/// The bucket of a trace id or reference: stable, and even whatever ids look like.
pub(super) fn bucket(text: &str, buckets: i32) -> i32 {
    let buckets = u128::from(buckets.unsigned_abs().max(1));
    i32::try_from(text_key(text) % buckets).unwrap_or(0)
}

/// Commits `new` files and removes the superseded rows, all or nothing.
pub(super) async fn commit(table: &mut Table, new: Vec<Add>, superseded: &Superseded) -> DeltaResult<()> {
    let mut delay = Duration::from_millis(20);
    for attempt in 1.. {
        table.delta.update_state().await?;
        let mut actions: Vec<Action> = new.iter().cloned().map(Action::Add).collect();
        actions.extend(rewrites(table, superseded).await?);
        if actions.is_empty() {
            return Ok(());
        }
        match try_commit(table, actions).await {
            Err(error) if is_race(&error) && attempt < COMMIT_ATTEMPTS_MAX => {
                tracing::debug!(table = table.name.as_str(), attempt, "another writer was faster, planning again");
                tokio::time::sleep(jittered(delay)).await;
                delay = (delay * 2).min(Duration::from_secs(2));
            }
            result => return result,
        }
    }
    Ok(())
}

fn is_race(error: &DeltaTableError) -> bool {
    let text = error.to_string();
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    ) || text.contains("already exists")
}

/// Half of `delay` and a random part of the other half.
fn jittered(delay: Duration) -> Duration {
    let random = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or(0);
    delay / 2 + delay * u32::from(random) / 512
}

/// Commits on top of the version that was planned against, or not at all.
async fn try_commit(table: &mut Table, actions: Vec<Action>) -> DeltaResult<()> {
    let partition_by = match table.name {
        TableName::Runs => None,
        _ => Some(vec!["bucket".to_owned()]),
    };
    let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by, predicate: None };
    let state = table.delta.snapshot()?;
    CommitBuilder::from(CommitProperties::default().with_max_retries(0))
        .with_actions(actions)
        .build(Some(state), table.delta.log_store(), operation)
        .await?;
    Ok(())
}

/// For each file that holds a superseded row: its removal, and a new file with the rows that stay.
async fn rewrites(table: &Table, superseded: &Superseded) -> DeltaResult<Vec<Action>> {
    if superseded.keys.is_empty() && superseded.objects.is_empty() {
        return Ok(Vec::new());
    }
    let files: Vec<LogicalFileView> =
        table.delta.snapshot()?.snapshot().file_views(table.delta.log_store().as_ref(), None).try_collect().await?;
    let mut actions = Vec::new();
    for file in files {
        let object = object_of(table, &file);
        let Some(kept) = rows_kept(table.name, &object, superseded).await? else { continue };
        actions.push(Action::Remove(file.remove_action(true)));
        if kept.iter().any(|kept| *kept) {
            let bucket = file.partition_values_map().get("bucket").cloned().flatten().and_then(|bucket| bucket.parse().ok()).unwrap_or(0);
            actions.extend(rewrite(table, &object, &kept, bucket).await?.into_iter().map(Action::Add));
        }
    }
    Ok(actions)
}

fn object_of(table: &Table, file: &LogicalFileView) -> Arc<Object> {
    let path: Path = file.object_store_path();
    let size = u64::try_from(file.size()).unwrap_or(0);
    Arc::new(Object { store: table.delta.object_store(), uri: path.to_string(), size, path, modified_at_ns: 0 })
}

/// For each row whether it stays; nothing where all do. Reads the key columns only.
async fn rows_kept(name: TableName, object: &Arc<Object>, superseded: &Superseded) -> DeltaResult<Option<Vec<bool>>> {
    let columns: &[&str] = if name == TableName::Errors { &["trace_ref", "source_uri"] } else { &["trace_id"] };
    let builder = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    let mut batches = builder.with_projection(mask).build()?;
    let mut kept = Vec::new();
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let texts = columns.iter().map(|name| text_column(&batch, name)).collect::<DeltaResult<Vec<_>>>()?;
        for row in 0..batch.num_rows() {
            let reference = texts.first().map_or("", |column| column.value(row));
            let of_object = texts.get(1).is_some_and(|uris| {
                let uri = uris.value(row);
                let is_place = reference.strip_prefix(uri).is_some_and(|rest| rest.is_empty() || rest.starts_with('#'));
                is_place && superseded.objects.contains(&text_key(uri))
            });
            kept.push(!of_object && !superseded.keys.contains(&text_key(reference)));
        }
    }
    Ok(kept.contains(&false).then_some(kept))
}

fn text_column(batch: &RecordBatch, name: &str) -> DeltaResult<StringArray> {
    let column = batch.column_by_name(name).ok_or_else(|| DeltaTableError::Generic(format!("a data file lacks the column {name}")))?;
    let column: ArrayRef = match column.as_any().downcast_ref::<StringViewArray>() {
        Some(_) => cast(column, &DataType::Utf8)?,
        None => Arc::clone(column),
    };
    column.as_any().downcast_ref::<StringArray>().cloned().ok_or_else(|| DeltaTableError::Generic(format!("the column {name} is no text")))
}

/// Writes the rows that stay into a new file of the same bucket.
async fn rewrite(table: &Table, object: &Arc<Object>, kept: &[bool], bucket: i32) -> DeltaResult<Vec<Add>> {
    let mut writer = table.writer()?;
    let mut batches = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?.build()?;
    let mut start = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let mask: BooleanArray = kept.get(start..start + batch.num_rows()).unwrap_or_default().iter().copied().map(Some).collect();
        start += batch.num_rows();
        let batch = filter_record_batch(&batch, &mask)?;
        if batch.num_rows() > 0 {
            writer.write(with_bucket(&batch, bucket)?).await?;
        }
    }
    writer.flush().await
}

/// Data files leave out the partition column; the writer wants it back.
fn with_bucket(batch: &RecordBatch, bucket: i32) -> DeltaResult<RecordBatch> {
    let mut fields: Vec<Arc<Field>> = batch.schema().fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new("bucket", DataType::Int32, false)));
    let mut columns = batch.columns().to_vec();
    columns.push(Arc::new(Int32Array::from(vec![bucket; batch.num_rows()])));
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}
