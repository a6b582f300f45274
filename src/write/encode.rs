//! Encodes rows as Parquet files for staging.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use parquet::errors::ParquetError;

use super::columns;
use super::data_file::DataFile;
use super::error::WriteError;
use crate::limits::ROW_GROUP_ROWS_COPIED_MIN;
use crate::model::PatternRow;
use crate::tables::{bucket_of, patterns_schema};

/// Patterns as a Parquet file. A bucket with enough rows gets separate row groups, which a commit can copy without decoding.
pub(super) fn encode_patterns(rows: Vec<PatternRow>, buckets: i32) -> Result<Vec<u8>, WriteError> {
    let mut by_bucket: BTreeMap<i32, Vec<PatternRow>> = BTreeMap::new();
    for row in rows {
        by_bucket.entry(bucket_of(&row.trace_id, buckets)).or_default().push(row);
    }
    let mut file = DataFile::new(patterns_schema()).map_err(|error| encode_error(&error))?;
    let mut small_batches = Vec::new();
    for (bucket, rows) in by_bucket {
        let batch = columns::patterns(&rows, bucket)?;
        if rows.len() < ROW_GROUP_ROWS_COPIED_MIN {
            small_batches.push(batch);
            continue;
        }
        file.write(batch).and_then(|()| file.end_row_group()).map_err(|error| encode_error(&error))?;
    }
    for batch in small_batches {
        file.write(batch).map_err(|error| encode_error(&error))?;
    }
    Ok(file.finish().map_err(|error| encode_error(&error))?.0)
}

/// Other rows as a Parquet file.
pub(super) fn encode_batch(batch: &RecordBatch) -> Result<Vec<u8>, WriteError> {
    let mut file = DataFile::new(batch.schema()).map_err(|error| encode_error(&error))?;
    file.write(batch.clone()).map_err(|error| encode_error(&error))?;
    Ok(file.finish().map_err(|error| encode_error(&error))?.0)
}

fn encode_error(error: &ParquetError) -> WriteError {
    WriteError::Encode(ArrowError::ParquetError(error.to_string()))
}
