//! The data files of one version of a table, as its transaction log lists them.

use std::collections::BTreeMap;
use std::sync::Arc;

use deltalake_core::kernel::LogicalFileView;
use deltalake_core::{DeltaResult, Path};
use futures::TryStreamExt;

use crate::store::Object;
use crate::tables::Table;

/// The partition of a data file; `None` for `runs`, which is not partitioned.
pub(super) type Bucket = Option<i32>;

/// All data files.
pub(super) async fn files_of(table: &Table) -> DeltaResult<Vec<LogicalFileView>> {
    table.delta.snapshot()?.snapshot().file_views(table.delta.log_store().as_ref(), None).try_collect().await
}

/// All data files, by bucket.
pub(super) async fn files_by_bucket(table: &Table) -> DeltaResult<BTreeMap<Bucket, Vec<LogicalFileView>>> {
    let mut buckets: BTreeMap<Bucket, Vec<LogicalFileView>> = BTreeMap::new();
    for file in files_of(table).await? {
        let bucket = file.partition_values_map().get("bucket").cloned().flatten().and_then(|bucket| bucket.parse().ok());
        buckets.entry(bucket).or_default().push(file);
    }
    Ok(buckets)
}

/// All data files, for reading.
pub(super) async fn objects(table: &Table) -> DeltaResult<Vec<Arc<Object>>> {
    Ok(files_of(table).await?.iter().map(|file| object_of(table, file)).collect())
}

/// The number of data files, and their size in bytes.
pub(super) async fn size(table: &Table) -> DeltaResult<(usize, u64)> {
    let files = files_of(table).await?;
    Ok((files.len(), files.iter().map(bytes_of).sum()))
}

/// One data file, for reading.
pub(super) fn object_of(table: &Table, file: &LogicalFileView) -> Arc<Object> {
    let path: Path = file.object_store_path();
    let uri = path.to_string();
    Arc::new(Object::in_store(table.delta.object_store(), path, uri, bytes_of(file), 0))
}

/// The size of a data file.
pub(super) fn bytes_of(file: &LogicalFileView) -> u64 {
    u64::try_from(file.size()).unwrap_or(0)
}
