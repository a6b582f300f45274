//! Merges the rows of a run with those that the table has for the same fingerprints: the counts are those of the later run, the first and last
//! times those of all runs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{cast, concat_batches, filter_record_batch, interleave_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef, TimestampMicrosecondType};
use arrow::error::ArrowError;
use deltalake_core::DeltaResult;
use futures::StreamExt;
use parquet::arrow::arrow_reader::{ArrowPredicateFn, RowFilter};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use crate::store::{Object, ObjectReader};
use crate::tables::{Table, bucket_of};
use crate::write::keys::text_column;
use crate::write::table_files::{Bucket, files_by_bucket, object_of};
use crate::write::table_writer::conform;

/// The staged rows, merged with the rows of the loaded version of the table, by bucket.
pub(in crate::write) async fn merged_with_stored(
    table: &Table,
    staged: impl Iterator<Item = &Arc<Object>>,
) -> DeltaResult<BTreeMap<Bucket, RecordBatch>> {
    let schema = table.data_schema();
    let mut incoming = Vec::new();
    for object in staged {
        incoming.extend(read(object, &schema, None).await?);
    }
    let incoming = concat_batches(&schema, &incoming)?;
    let keys = text_column(&incoming, "fingerprint")?;
    let wanted: Arc<HashSet<String>> = Arc::new(keys.iter().flatten().map(str::to_owned).collect());
    let buckets: Vec<Bucket> = keys.iter().map(|key| Some(bucket_of(key.unwrap_or_default(), table.buckets()))).collect();
    let touched: HashSet<Bucket> = buckets.iter().copied().collect();
    let mut stored = Vec::new();
    for (_, files) in files_by_bucket(table).await?.into_iter().filter(|(bucket, _)| touched.contains(bucket)) {
        for file in files {
            stored.extend(read(&object_of(table, &file), &schema, Some(&wanted)).await?);
        }
    }
    let merged = merge(&incoming, &concat_batches(&schema, &stored)?)?;
    let of_bucket = |bucket: Bucket| -> DeltaResult<(Bucket, RecordBatch)> {
        let mask: BooleanArray = buckets.iter().map(|other| Some(*other == bucket)).collect();
        Ok((bucket, filter_record_batch(&merged, &mask)?))
    };
    touched.iter().copied().map(of_bucket).collect()
}

/// The rows of a file; only those of the `wanted` fingerprints are decoded.
async fn read(object: &Arc<Object>, schema: &SchemaRef, wanted: Option<&Arc<HashSet<String>>>) -> DeltaResult<Vec<RecordBatch>> {
    let mut builder = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?;
    if let Some(wanted) = wanted.cloned() {
        let key = ProjectionMask::columns(builder.parquet_schema(), ["fingerprint"]);
        let is_wanted = move |batch: RecordBatch| {
            let keys = text_column(&batch, "fingerprint").map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
            Ok(keys.iter().map(|key| Some(key.is_some_and(|key| wanted.contains(key)))).collect::<BooleanArray>())
        };
        builder = builder.with_row_filter(RowFilter::new(vec![Box::new(ArrowPredicateFn::new(key, is_wanted))]));
    }
    let mut batches = builder.build()?;
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.push(conform(&batch?, schema)?);
    }
    Ok(found)
}

/// One row for each incoming one, in their order.
fn merge(incoming: &RecordBatch, stored: &RecordBatch) -> DeltaResult<RecordBatch> {
    let (new, old) = (History::of(incoming)?, History::of(stored)?);
    let by_key: HashMap<&str, usize> = (0..stored.num_rows()).map(|row| (old.fingerprint.value(row), row)).collect();
    let mut chosen = Vec::with_capacity(incoming.num_rows());
    let mut merged: Vec<Seen> = Vec::with_capacity(incoming.num_rows());
    for row in 0..incoming.num_rows() {
        let of_run = new.seen(row);
        let Some(stored_row) = by_key.get(new.fingerprint.value(row)).copied() else {
            chosen.push((0, row));
            merged.push(of_run);
            continue;
        };
        // The commit of an interrupted run may be completed after that of a later one.
        chosen.push(if old.counted(stored_row) > new.counted(row) { (1, stored_row) } else { (0, row) });
        merged.push(of_run.merged(old.seen(stored_row), old.counted(stored_row).1 == new.counted(row).1));
    }
    let rows = interleave_record_batch(&[incoming, stored], &chosen)?;
    let times = |of: fn(&Seen) -> Option<i64>| -> ArrayRef {
        Arc::new(merged.iter().map(of).collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
    };
    let replaced: [(&str, ArrayRef); 4] = [
        ("first_seen_at", times(|seen| seen.first_at)),
        ("last_seen_at", times(|seen| seen.last_at)),
        ("first_run_id", Arc::new(merged.iter().map(|seen| seen.first_run_id.as_deref()).collect::<StringArray>())),
        ("runs_seen", Arc::new(merged.iter().map(|seen| Some(seen.runs)).collect::<Int64Array>())),
    ];
    let schema = rows.schema();
    let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| {
        let replaced = replaced.iter().find(|(name, _)| name == field.name());
        replaced.map_or_else(|| Ok(Arc::clone(column)), |(_, column)| cast(column, field.data_type()))
    });
    let columns = columns.collect::<Result<Vec<ArrayRef>, ArrowError>>()?;
    Ok(RecordBatch::try_new(schema, columns)?)
}

/// When a fingerprint was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    first_at: Option<i64>,
    last_at: Option<i64>,
    first_run_id: Option<String>,
    runs: i64,
}

impl Seen {
    fn merged(self, stored: Self, is_same_run: bool) -> Self {
        Self {
            first_at: self.first_at.into_iter().chain(stored.first_at).min(),
            last_at: self.last_at.into_iter().chain(stored.last_at).max(),
            // Ids of runs sort by time.
            first_run_id: self.first_run_id.into_iter().chain(stored.first_run_id).min(),
            runs: if is_same_run { stored.runs } else { stored.runs.saturating_add(self.runs) },
        }
    }
}

/// The columns that are merged.
struct History {
    fingerprint: StringArray,
    first_run_id: StringArray,
    run_id: StringArray,
    first_seen_at: TimestampMicrosecondArray,
    last_seen_at: TimestampMicrosecondArray,
    run_started_at: TimestampMicrosecondArray,
    runs_seen: Int64Array,
}

impl History {
    fn of(batch: &RecordBatch) -> DeltaResult<Self> {
        let wrong = |name: &str| deltalake_core::DeltaTableError::Generic(format!("the column {name} of a data file has another type"));
        let times = |name: &str| {
            let column = batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
            column.cloned().ok_or_else(|| wrong(name))
        };
        let runs_seen = batch.column_by_name("runs_seen").and_then(|column| column.as_primitive_opt::<Int64Type>());
        Ok(Self {
            fingerprint: text_column(batch, "fingerprint")?,
            first_run_id: text_column(batch, "first_run_id")?,
            run_id: text_column(batch, "run_id")?,
            first_seen_at: times("first_seen_at")?,
            last_seen_at: times("last_seen_at")?,
            run_started_at: times("run_started_at")?,
            runs_seen: runs_seen.cloned().ok_or_else(|| wrong("runs_seen"))?,
        })
    }

    fn seen(&self, row: usize) -> Seen {
        let time = |column: &TimestampMicrosecondArray| column.is_valid(row).then(|| column.value(row));
        Seen {
            first_at: time(&self.first_seen_at),
            last_at: time(&self.last_seen_at),
            first_run_id: self.first_run_id.is_valid(row).then(|| self.first_run_id.value(row).to_owned()),
            runs: if self.runs_seen.is_valid(row) { self.runs_seen.value(row) } else { 0 },
        }
    }

    /// The run whose counts a row has.
    fn counted(&self, row: usize) -> (i64, &str) {
        let started_at = if self.run_started_at.is_valid(row) { self.run_started_at.value(row) } else { i64::MIN };
        (started_at, self.run_id.value(row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FingerprintRow;
    use crate::write::columns;

    /// A row of a run that started at `run_at` and saw the failure between two times.
    fn row(fingerprint: &str, run_at: i64, seen: (i64, i64), traces: u64) -> FingerprintRow {
        FingerprintRow {
            fingerprint: fingerprint.into(),
            traces,
            run_id: format!("run-{run_at}"),
            run_started_at: run_at,
            first_seen_at: seen.0,
            last_seen_at: seen.1,
            first_run_id: format!("run-{run_at}"),
            ..FingerprintRow::sample()
        }
    }

    /// Fingerprint, traces, first and last time, first and last run, number of runs.
    fn merged(incoming: &[FingerprintRow], stored: &[FingerprintRow]) -> Vec<(String, i64, i64, i64, String, String, i64)> {
        let batch = |rows: &[FingerprintRow]| columns::fingerprints(rows, 16).unwrap();
        let found = merge(&batch(incoming), &batch(stored)).unwrap();
        let (history, traces) = (History::of(&found).unwrap(), found.column_by_name("traces").unwrap().as_primitive::<Int64Type>().clone());
        let of_row = |row| {
            let seen = history.seen(row);
            let (first, last) = (seen.first_at.unwrap(), seen.last_at.unwrap());
            let fingerprint = history.fingerprint.value(row).to_owned();
            (fingerprint, traces.value(row), first, last, seen.first_run_id.unwrap(), history.run_id.value(row).to_owned(), seen.runs)
        };
        (0..found.num_rows()).map(of_row).collect()
    }

    #[test]
    fn counts_are_of_the_later_run_and_times_of_all() {
        let found = merged(&[row("a", 7, (60, 65), 3), row("b", 7, (61, 61), 1)], &[row("a", 2, (10, 20), 40), row("c", 2, (1, 2), 9)]);
        let expected = |fingerprint: &str, traces, first, last, first_run: &str, runs| {
            (fingerprint.to_owned(), traces, first, last, first_run.to_owned(), "run-7".to_owned(), runs)
        };
        assert_eq!(found, [expected("a", 3, 10, 65, "run-2", 2), expected("b", 1, 61, 61, "run-7", 1)]);
    }

    #[test]
    fn an_earlier_run_that_commits_later_changes_the_times_only() {
        let found = merged(&[row("a", 2, (10, 20), 40)], &[row("a", 7, (60, 65), 3)]);
        assert_eq!(found, [("a".to_owned(), 3, 10, 65, "run-2".to_owned(), "run-7".to_owned(), 2)]);
    }

    #[test]
    fn the_same_run_counts_once() {
        let found = merged(&[row("a", 7, (60, 65), 3)], &[row("a", 7, (60, 65), 3)]);
        assert_eq!(found, [("a".to_owned(), 3, 60, 65, "run-7".to_owned(), "run-7".to_owned(), 1)]);
    }
}
