//! Writes data files of a table, by bucket. No reader sees them until a commit names them.
//!
//! Takes rows of Parquet files, staged or of the table, and returns the `Add` actions of new files. Row groups are copied without
//! decoding whenever all their rows are kept and belong to one bucket.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, RecordBatch, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::ParquetRecordBatchStreamBuilder;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;

use super::data_file::{DataFile, row_group_range};
use super::file_statistics::statistics;
use super::table_files::Bucket;
use crate::limits::{COPY_REQUEST_BYTES_MAX, DATA_FILE_TARGET_BYTES, DATA_FILES_OPEN_BYTES_MAX, STORE_REQUESTS_IN_FLIGHT_MAX};
use crate::store::{Object, ObjectReader};
use crate::tables::Table;

/// The buckets to which the rows of a source are written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Destination {
    /// All rows to this one: the source is a data file of the table.
    Bucket(Bucket),
    /// Each row to the one in its column `bucket`: the source is a staged file.
    BucketColumn,
}

/// Which rows of a source are copied.
#[derive(Debug, Clone)]
pub(super) enum RowSelection {
    All,
    /// Those that are `true`; one value per row.
    Kept(Vec<bool>),
    /// All but these row numbers, which ascend.
    Without(Vec<u32>),
}

impl RowSelection {
    /// One value per row of a range of rows, `true` for those that are copied; `None` if all are.
    fn mask(&self, rows: std::ops::Range<usize>) -> Option<Vec<bool>> {
        match self {
            Self::All => None,
            Self::Kept(kept) => Some(kept.get(rows).unwrap_or_default().to_vec()),
            Self::Without(excluded) => {
                let number = |row: &u32| usize::try_from(*row).unwrap_or(usize::MAX);
                let first = excluded.partition_point(|row| number(row) < rows.start);
                let in_range = excluded.iter().skip(first).map(number).take_while(|row| *row < rows.end);
                let mut mask = vec![true; rows.len()];
                for row in in_range {
                    if let Some(kept) = mask.get_mut(row - rows.start) {
                        *kept = false;
                    }
                }
                Some(mask)
            }
        }
    }
}

/// Builds the new data files of one commit. Keeps one open file per bucket.
pub(super) struct TableWriter {
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    open: BTreeMap<Bucket, DataFile>,
    adds: Vec<Add>,
}

impl TableWriter {
    pub(super) fn new(table: &Table) -> Self {
        Self { store: table.delta.object_store(), schema: table.data_schema(), open: BTreeMap::new(), adds: Vec::new() }
    }

    /// Copies rows of a file to new files.
    pub(super) async fn copy_rows(&mut self, source: &Arc<Object>, selection: &RowSelection, destination: Destination) -> DeltaResult<()> {
        let mut reader = ObjectReader::new(Arc::clone(source));
        let metadata = reader.get_metadata(None).await?;
        let mut decoded = Vec::new();
        let mut copied: Vec<(usize, Bucket)> = Vec::new();
        let mut start = 0;
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            let mask = selection.mask(start..start + rows);
            start += rows;
            if mask.as_ref().is_some_and(|mask| !mask.contains(&true)) {
                continue;
            }
            let bucket = match destination {
                Destination::Bucket(bucket) => Some(bucket),
                Destination::BucketColumn => only_bucket(&metadata, group).map(Some),
            };
            let keeps_all = mask.as_ref().is_none_or(|mask| !mask.contains(&false));
            match bucket {
                Some(bucket) if keeps_all && self.file(bucket)?.can_copy(&metadata, group) => copied.push((index, bucket)),
                _ => decoded.push((index, mask)),
            }
        }
        self.copy_row_groups(&mut reader, &metadata, &copied).await?;
        self.decode_row_groups(source, metadata, decoded, destination).await
    }

    /// Copies row groups without decoding them. Adjacent ones are fetched with one request.
    async fn copy_row_groups(
        &mut self,
        reader: &mut ObjectReader,
        metadata: &ParquetMetaData,
        groups: &[(usize, Bucket)],
    ) -> DeltaResult<()> {
        let mut rest = groups;
        while let Some((first, _)) = rest.first() {
            let range_of = |index: usize| metadata.row_groups().get(index).map(row_group_range).unwrap_or_default();
            let start = range_of(*first).start;
            let mut end = start;
            let together = rest.iter().take_while(|(index, _)| {
                let range = range_of(*index);
                let fits = range.start == end.max(start) && (end == start || range.end - start <= COPY_REQUEST_BYTES_MAX as u64);
                end = if fits { range.end } else { end };
                fits
            });
            let count = together.count().max(1);
            let (batch, later) = rest.split_at(count);
            rest = later;
            let end = batch.last().map_or(start, |(index, _)| range_of(*index).end);
            let bytes = reader.get_bytes(start..end).await?;
            for (index, bucket) in batch {
                let Some(group) = metadata.row_groups().get(*index) else { continue };
                let range = row_group_range(group);
                let offset = |position: u64| usize::try_from(position - start).unwrap_or(0);
                let part = bytes.slice(offset(range.start)..offset(range.end).min(bytes.len()));
                self.file(*bucket)?.copy(group, part)?;
                self.upload_large().await?;
            }
        }
        Ok(())
    }

    /// Decodes row groups and writes the rows that are `true` in their masks.
    async fn decode_row_groups(
        &mut self,
        source: &Arc<Object>,
        metadata: Arc<ParquetMetaData>,
        groups: Vec<(usize, Option<Vec<bool>>)>,
        destination: Destination,
    ) -> DeltaResult<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let mask: Option<Vec<bool>> = groups.iter().any(|(_, mask)| mask.is_some()).then(|| {
            let rows_of = |index: usize| metadata.row_groups().get(index).map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or(0));
            groups.iter().flat_map(|(index, mask)| mask.clone().unwrap_or_else(|| vec![true; rows_of(*index)])).collect()
        });
        let reader = ObjectReader::new(Arc::clone(source));
        let metadata = ArrowReaderMetadata::try_new(metadata, parquet::arrow::arrow_reader::ArrowReaderOptions::default())?;
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_row_groups(groups.iter().map(|(index, _)| *index).collect())
            .build()?;
        let mut start = 0;
        while let Some(batch) = batches.next().await {
            let mut batch = batch?;
            if let Some(mask) = &mask {
                let mask: BooleanArray = mask.get(start..start + batch.num_rows()).unwrap_or_default().iter().copied().map(Some).collect();
                start += batch.num_rows();
                batch = filter_record_batch(&batch, &mask)?;
            }
            match destination {
                Destination::Bucket(bucket) => self.write(bucket, &batch).await?,
                Destination::BucketColumn => {
                    for (bucket, batch) in by_bucket(&batch)? {
                        self.write(Some(bucket), &batch).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes rows of one bucket.
    pub(super) async fn write(&mut self, bucket: Bucket, batch: &RecordBatch) -> DeltaResult<()> {
        if batch.num_rows() > 0 {
            let batch = conform(batch, &self.schema)?;
            self.file(bucket)?.write(batch)?;
            self.upload_large().await?;
        }
        Ok(())
    }

    fn file(&mut self, bucket: Bucket) -> DeltaResult<&mut DataFile> {
        match self.open.entry(bucket) {
            std::collections::btree_map::Entry::Occupied(file) => Ok(file.into_mut()),
            std::collections::btree_map::Entry::Vacant(entry) => Ok(entry.insert(DataFile::new(Arc::clone(&self.schema))?)),
        }
    }

    /// Uploads files that have reached the target size, and the largest one while all open files together take too much memory.
    async fn upload_large(&mut self) -> DeltaResult<()> {
        loop {
            let total: usize = self.open.values().map(DataFile::bytes).sum();
            let largest = self.open.iter().max_by_key(|(_, file)| file.bytes()).map(|(bucket, file)| (*bucket, file.bytes()));
            match largest {
                Some((bucket, bytes)) if bytes >= DATA_FILE_TARGET_BYTES || total >= DATA_FILES_OPEN_BYTES_MAX => {
                    self.upload(bucket).await?;
                }
                _ => return Ok(()),
            }
        }
    }

    async fn upload(&mut self, bucket: Bucket) -> DeltaResult<()> {
        if let Some(file) = self.open.remove(&bucket).filter(|file| !file.is_empty()) {
            self.adds.push(upload(Arc::clone(&self.store), bucket, file).await?);
        }
        Ok(())
    }

    /// Uploads the open files. Returns all files; no version of the table names them yet.
    pub(super) async fn finish(self) -> DeltaResult<Vec<Add>> {
        let files = self.open.into_iter().filter(|(_, file)| !file.is_empty());
        let uploads = futures::stream::iter(files).map(|(bucket, file)| upload(Arc::clone(&self.store), bucket, file));
        let last: Vec<Add> = uploads.buffer_unordered(STORE_REQUESTS_IN_FLIGHT_MAX).try_collect().await?;
        Ok(self.adds.into_iter().chain(last).collect())
    }
}

/// Uploads a file under a new name. Returns the action with which a commit adds it.
async fn upload(store: Arc<dyn ObjectStore>, bucket: Bucket, file: DataFile) -> DeltaResult<Add> {
    let (bytes, metadata) = file.finish()?;
    let name = format!("part-{}.parquet", uuid::Uuid::now_v7());
    let path = bucket.map_or_else(|| name.clone(), |bucket| format!("bucket={bucket}/{name}"));
    let size = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
    store.put(&Path::from(path.as_str()), bytes.into()).await?;
    Ok(Add {
        path,
        partition_values: bucket.map(|bucket| ("bucket".to_owned(), Some(bucket.to_string()))).into_iter().collect::<HashMap<_, _>>(),
        size,
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(statistics(&metadata).to_string()),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// The bucket of a row group of a staged file. `None` if its rows are in several.
fn only_bucket(metadata: &ParquetMetaData, group: &RowGroupMetaData) -> Bucket {
    let column = metadata.file_metadata().schema_descr().columns().iter().position(|column| column.name() == "bucket")?;
    match group.columns().get(column)?.statistics()? {
        Statistics::Int32(bounds) if bounds.min_opt() == bounds.max_opt() => bounds.min_opt().copied(),
        _ => None,
    }
}

fn by_bucket(batch: &RecordBatch) -> DeltaResult<BTreeMap<i32, RecordBatch>> {
    let column = batch.column_by_name("bucket").and_then(|column| column.as_any().downcast_ref::<Int32Array>());
    let buckets = column.ok_or_else(|| DeltaTableError::Generic("a staged file lacks the column bucket".into()))?;
    let mut found = BTreeMap::new();
    for bucket in buckets.values() {
        if !found.contains_key(bucket) {
            let mask: BooleanArray = buckets.values().iter().map(|other| Some(other == bucket)).collect();
            found.insert(*bucket, filter_record_batch(batch, &mask)?);
        }
    }
    Ok(found)
}

/// The columns of `schema`, in its order and types. Columns that a file of an older version lacks are null.
pub(super) fn conform(batch: &RecordBatch, schema: &SchemaRef) -> DeltaResult<RecordBatch> {
    let column = |field: &arrow::datatypes::FieldRef| -> Result<ArrayRef, arrow::error::ArrowError> {
        match batch.column_by_name(field.name()) {
            Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
            Some(column) => cast(column, field.data_type()),
            None => Ok(new_null_array(field.data_type(), batch.num_rows())),
        }
    };
    let columns = schema.fields().iter().map(column).collect::<Result<Vec<_>, _>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
