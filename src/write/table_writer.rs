//! New data files of a table, by bucket; no reader sees them until a commit names them.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, Int32Array, RecordBatch, new_null_array};
use arrow::compute::{cast, filter_record_batch};
use arrow::datatypes::SchemaRef;
use deltalake_core::kernel::Add;
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use serde_json::{Map, Value, json};

use super::data_file::{DataFile, row_group_range};
use super::staging::StagedFile;
use super::table::{Table, TableName};
use super::upsert;
use crate::limits::{COPY_REQUEST_BYTES_MAX, DATA_FILE_TARGET_BYTES, DATA_FILES_OPEN_BYTES_MAX, STORE_REQUESTS_IN_FLIGHT_MAX};
use crate::model::key_hash;
use crate::store::{Object, ObjectReader};

/// The bucket of a data file; `runs` has none.
pub(super) type Bucket = Option<i32>;

/// Where the rows of a source belong.
#[derive(Debug, Clone, Copy)]
pub(super) enum Destination {
    /// All into one bucket: the source is a data file of a table.
    Bucket(Bucket),
    /// Where the column `bucket` says: the source is a staged file.
    Column,
}

/// Staged rows that come into a table.
pub(super) struct Incoming<'a> {
    files: Vec<(&'a StagedFile, Arc<Object>)>,
    to: Destination,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(name: TableName, files: Vec<(&'a StagedFile, Arc<Object>)>) -> Self {
        let to = if name == TableName::Runs { Destination::Bucket(None) } else { Destination::Column };
        Self { files, to }
    }

    /// The staged files.
    pub(super) fn files(&self) -> &[(&'a StagedFile, Arc<Object>)] {
        &self.files
    }

    /// New data files of the rows, without those whose keys are `left_out`; no version names them yet.
    pub(super) async fn write(&self, table: &Table, left_out: &HashSet<u128>) -> DeltaResult<Vec<Add>> {
        let mut writer = TableWriter::new(table);
        for (file, object) in &self.files {
            let kept = file.kept(object).await?;
            let kept = if left_out.is_empty() { kept } else { Some(without(table.name, object, kept, left_out).await?) };
            writer.bring(object, kept.as_deref(), self.to).await?;
        }
        writer.finish().await
    }
}

/// Of the rows that are kept those with other keys.
async fn without(name: TableName, object: &Arc<Object>, kept: Option<Vec<bool>>, left_out: &HashSet<u128>) -> DeltaResult<Vec<bool>> {
    let mut stays = Vec::new();
    upsert::each_key(name, object, |row| {
        let kept = kept.as_ref().is_none_or(|kept| kept.get(stays.len()).copied().unwrap_or(false));
        stays.push(kept && !left_out.contains(&key_hash(row.reference)));
    })
    .await?;
    Ok(stays)
}

/// Builds data files.
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

    /// Brings rows of a file into new files: all of them, or those that `kept` marks. Whole row groups are copied as they stand.
    pub(super) async fn bring(&mut self, source: &Arc<Object>, kept: Option<&[bool]>, to: Destination) -> DeltaResult<()> {
        let mut reader = ObjectReader::new(Arc::clone(source));
        let metadata = reader.get_metadata(None).await?;
        let mut decoded = Vec::new();
        let mut copied: Vec<(usize, Bucket)> = Vec::new();
        let mut start = 0;
        for (index, group) in metadata.row_groups().iter().enumerate() {
            let rows = usize::try_from(group.num_rows()).unwrap_or(0);
            let marks = kept.map(|kept| kept.get(start..start + rows).unwrap_or_default());
            start += rows;
            if marks.is_some_and(|marks| !marks.contains(&true)) {
                continue;
            }
            let bucket = match to {
                Destination::Bucket(bucket) => Some(bucket),
                Destination::Column => only_bucket(&metadata, group).map(Some),
            };
            match bucket {
                Some(bucket) if marks.is_none_or(|marks| !marks.contains(&false)) && self.file(bucket)?.can_copy(&metadata, group) => {
                    copied.push((index, bucket));
                }
                _ => decoded.push((index, marks.map(<[bool]>::to_vec))),
            }
        }
        self.copy(&mut reader, &metadata, &copied).await?;
        self.decode(source, metadata, decoded, to).await
    }

    /// Copies row groups; neighbours are fetched together.
    async fn copy(&mut self, reader: &mut ObjectReader, metadata: &ParquetMetaData, groups: &[(usize, Bucket)]) -> DeltaResult<()> {
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
                let offset = |place: u64| usize::try_from(place - start).unwrap_or(0);
                let part = bytes.slice(offset(range.start)..offset(range.end).min(bytes.len()));
                self.file(*bucket)?.copy(group, part)?;
                self.store_large().await?;
            }
        }
        Ok(())
    }

    async fn decode(
        &mut self,
        source: &Arc<Object>,
        metadata: Arc<ParquetMetaData>,
        groups: Vec<(usize, Option<Vec<bool>>)>,
        to: Destination,
    ) -> DeltaResult<()> {
        if groups.is_empty() {
            return Ok(());
        }
        let marks: Option<Vec<bool>> = groups.iter().any(|(_, marks)| marks.is_some()).then(|| {
            let rows_of = |index: usize| metadata.row_groups().get(index).map_or(0, |group| usize::try_from(group.num_rows()).unwrap_or(0));
            groups.iter().flat_map(|(index, marks)| marks.clone().unwrap_or_else(|| vec![true; rows_of(*index)])).collect()
        });
        let reader = ObjectReader::new(Arc::clone(source));
        let metadata = ArrowReaderMetadata::try_new(metadata, parquet::arrow::arrow_reader::ArrowReaderOptions::default())?;
        let mut batches = ParquetRecordBatchStreamBuilder::new_with_metadata(reader, metadata)
            .with_row_groups(groups.iter().map(|(index, _)| *index).collect())
            .build()?;
        let mut start = 0;
        while let Some(batch) = batches.next().await {
            let mut batch = batch?;
            if let Some(marks) = &marks {
                let mask: BooleanArray = marks.get(start..start + batch.num_rows()).unwrap_or_default().iter().copied().map(Some).collect();
                start += batch.num_rows();
                batch = filter_record_batch(&batch, &mask)?;
            }
            match to {
                Destination::Bucket(bucket) => self.write(bucket, &batch).await?,
                Destination::Column => {
                    for (bucket, batch) in by_bucket(&batch)? {
                        self.write(Some(bucket), &batch).await?;
                    }
                }
            }
        }
        Ok(())
    }

    async fn write(&mut self, bucket: Bucket, batch: &RecordBatch) -> DeltaResult<()> {
        if batch.num_rows() > 0 {
            let batch = fit(batch, &self.schema)?;
            self.file(bucket)?.write(batch)?;
            self.store_large().await?;
        }
        Ok(())
    }

    fn file(&mut self, bucket: Bucket) -> DeltaResult<&mut DataFile> {
        match self.open.entry(bucket) {
            std::collections::btree_map::Entry::Occupied(file) => Ok(file.into_mut()),
            std::collections::btree_map::Entry::Vacant(place) => Ok(place.insert(DataFile::new(Arc::clone(&self.schema))?)),
        }
    }

    /// Stores files that are large enough, and the largest where all together are too large.
    async fn store_large(&mut self) -> DeltaResult<()> {
        loop {
            let total: usize = self.open.values().map(DataFile::bytes).sum();
            let largest = self.open.iter().max_by_key(|(_, file)| file.bytes()).map(|(bucket, file)| (*bucket, file.bytes()));
            match largest {
                Some((bucket, bytes)) if bytes >= DATA_FILE_TARGET_BYTES || total >= DATA_FILES_OPEN_BYTES_MAX => {
                    self.store(bucket).await?
                }
                _ => return Ok(()),
            }
        }
    }

    async fn store(&mut self, bucket: Bucket) -> DeltaResult<()> {
        if let Some(file) = self.open.remove(&bucket).filter(|file| !file.is_empty()) {
            self.adds.push(stored(Arc::clone(&self.store), bucket, file).await?);
        }
        Ok(())
    }

    /// Stores what is open; the files are named by nobody yet.
    pub(super) async fn finish(self) -> DeltaResult<Vec<Add>> {
        let files = self.open.into_iter().filter(|(_, file)| !file.is_empty());
        let storing = futures::stream::iter(files).map(|(bucket, file)| stored(Arc::clone(&self.store), bucket, file));
        let last: Vec<Add> = storing.buffer_unordered(STORE_REQUESTS_IN_FLIGHT_MAX).try_collect().await?;
        Ok(self.adds.into_iter().chain(last).collect())
    }
}

/// Stores a file under a name of its own; says how a commit names it.
async fn stored(store: Arc<dyn ObjectStore>, bucket: Bucket, file: DataFile) -> DeltaResult<Add> {
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

/// The bucket of a row group of a staged file, where all its rows are of one.
fn only_bucket(metadata: &ParquetMetaData, group: &RowGroupMetaData) -> Bucket {
    let column = metadata.file_metadata().schema_descr().columns().iter().position(|column| column.name() == "bucket")?;
    match group.columns().get(column)?.statistics()? {
        Statistics::Int32(bounds) if bounds.min_opt() == bounds.max_opt() => bounds.min_opt().copied(),
        _ => None,
    }
}

fn by_bucket(batch: &RecordBatch) -> DeltaResult<BTreeMap<i32, RecordBatch>> {
    let column = batch.column_by_name("bucket").and_then(|column| column.as_any().downcast_ref::<Int32Array>());
    let buckets = column.ok_or_else(|| DeltaTableError::Generic("a staged file has no column bucket".into()))?;
    let mut found = BTreeMap::new();
    for bucket in buckets.values() {
        if !found.contains_key(bucket) {
            let mask: BooleanArray = buckets.values().iter().map(|other| Some(other == bucket)).collect();
            found.insert(*bucket, filter_record_batch(batch, &mask)?);
        }
    }
    Ok(found)
}

/// The columns that `schema` names, in its order and types; a column that a file of an older version lacks is null.
fn fit(batch: &RecordBatch, schema: &SchemaRef) -> DeltaResult<RecordBatch> {
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

/// Delta's statistics of a file, for the columns by which people and engines choose rows.
///
/// Format: <https://github.com/delta-io/delta/blob/master/PROTOCOL.md#per-file-statistics>. Bounds of texts may be cut; they are bounds still.
fn statistics(metadata: &ParquetMetaData) -> Value {
    const COLUMNS: [&str; 12] = [
        "trace_id",
        "trace_ref",
        "category",
        "contributing_factor",
        "service",
        "fingerprint",
        "kind",
        "run_id",
        "trace_started_at",
        "extracted_at",
        "occurred_at",
        "started_at",
    ];
    let (mut min_values, mut max_values, mut null_count) = (Map::new(), Map::new(), Map::new());
    let descriptions = metadata.file_metadata().schema_descr().columns();
    for (index, description) in descriptions.iter().enumerate().filter(|(_, column)| COLUMNS.contains(&column.name())) {
        if description.path().parts().len() != 1 {
            continue;
        }
        let chunks = || metadata.row_groups().iter().filter_map(|group| group.columns().get(index)?.statistics());
        let known = chunks().count() == metadata.row_groups().len();
        if !known {
            continue;
        }
        null_count.insert(description.name().to_owned(), json!(chunks().filter_map(Statistics::null_count_opt).sum::<u64>()));
        let bounds: Option<Vec<(Value, Value)>> = chunks().filter(|chunk| chunk.min_bytes_opt().is_some()).map(bounds).collect();
        let by_text = |left: &Value, right: &Value| left.as_str().unwrap_or_default().cmp(right.as_str().unwrap_or_default());
        let Some(bounds) = bounds else { continue };
        let (lower, upper): (Vec<Value>, Vec<Value>) = bounds.into_iter().unzip();
        if let (Some(lower), Some(upper)) = (lower.into_iter().min_by(by_text), upper.into_iter().max_by(by_text)) {
            min_values.insert(description.name().to_owned(), lower);
            max_values.insert(description.name().to_owned(), upper);
        }
    }
    json!({
        "numRecords": metadata.file_metadata().num_rows(),
        "minValues": min_values, "maxValues": max_values, "nullCount": null_count,
    })
}

/// Bounds of a column of a row group as Delta writes them. Texts and times both compare as texts.
fn bounds(statistics: &Statistics) -> Option<(Value, Value)> {
    match statistics {
        Statistics::ByteArray(bounds) => {
            let text = |bytes: Option<&parquet::data_type::ByteArray>| Some(Value::from(std::str::from_utf8(bytes?.data()).ok()?));
            text(bounds.min_opt()).zip(text(bounds.max_opt()))
        }
        Statistics::Int64(bounds) => {
            // Delta compares times by the millisecond, so the bounds are widened to it.
            let time = |micros: i64| {
                let time = chrono::DateTime::from_timestamp_millis(micros)?;
                Some(Value::from(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)))
            };
            time(bounds.min_opt()?.div_euclid(1_000)).zip(time(bounds.max_opt()?.div_euclid(1_000) + 1))
        }
        _ => None,
    }
}

/// Projects a file to some of its columns.
pub(super) async fn columns_of(
    object: &Arc<Object>,
    columns: &[&str],
) -> DeltaResult<parquet::arrow::async_reader::ParquetRecordBatchStream<ObjectReader>> {
    let builder = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    Ok(builder.with_projection(mask).build()?)
}
