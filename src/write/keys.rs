//! The key columns of Parquet files, staged or of a table: what identifies a row, and what decides whether another row replaces it.
//!
//! Takes a Parquet file and calls back once for each row. Only the key columns are read.
//!
//! A stored pattern that an incoming one does not replace, because it is more complete ([`Coverage::replaces`]), is called `kept_fuller`, like the
//! column of `runs` that counts them. The incoming pattern is then not added.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray, StringViewArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::StreamExt;
use parquet::arrow::async_reader::ParquetRecordBatchStream;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use crate::model::key_hash;
use crate::store::{Object, ObjectReader};
use crate::tables::TableName;

/// The number of spans that a pattern was made from, and the object of its root span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Coverage {
    spans: u64,
    /// A hash of the URI.
    source: u64,
}

impl Coverage {
    /// An incoming coverage that replaces every stored row.
    pub(super) const REPLACES_ALL: Self = Self { spans: u64::MAX, source: 0 };

    pub(super) fn new(spans: u64, source_uri: &str) -> Self {
        // Any half of a SHA-256 is evenly distributed.
        let source = u64::try_from(key_hash(source_uri) & u128::from(u64::MAX)).unwrap_or(0);
        Self { spans, source }
    }

    /// Whether a new row with this coverage replaces a stored one: it has at least as many spans, or is from the same object, whose corrected export
    /// may have fewer. So a later window with one late span of a trace does not replace the pattern of the whole trace.
    pub(super) fn replaces(self, stored: Self) -> bool {
        self.spans >= stored.spans || self.source == stored.source
    }
}

/// The key columns of one row.
pub(super) struct RowKey<'a> {
    /// The trace id, or the location of a record.
    pub(super) reference: &'a str,
    /// URI of the object that the row is from.
    pub(super) source: Option<&'a str>,
    pub(super) run_id: Option<&'a str>,
    spans: Option<u64>,
}

impl RowKey<'_> {
    /// The number of spans that a pattern was made from; `None` as for [`Self::coverage`].
    pub(super) fn spans(&self) -> Option<u64> {
        self.spans
    }

    /// The coverage of a pattern. `None` if an older failsift wrote the row, without that column.
    pub(super) fn coverage(&self) -> Option<Coverage> {
        Some(Coverage::new(self.spans?, self.source.unwrap_or_default()))
    }

    /// The URI of the object if the row is about a record (its key is a location: `URI`, `URI#L4`), and not about a trace.
    pub(super) fn record_uri(&self) -> Option<&str> {
        self.source.filter(|uri| self.reference.strip_prefix(*uri).is_some_and(|rest| rest.is_empty() || rest.starts_with('#')))
    }
}

/// Calls `visit` with the key of each row of a file of `patterns`, `errors` or `fingerprints`, in order.
pub(super) async fn for_each_key(name: TableName, object: &Arc<Object>, mut visit: impl FnMut(&RowKey<'_>)) -> DeltaResult<()> {
    let (key, columns): (&str, &[&str]) = match name {
        TableName::Errors => ("trace_ref", &["trace_ref", "source_uri", "run_id"]),
        TableName::Fingerprints => ("fingerprint", &["fingerprint"]),
        TableName::Patterns | TableName::Runs => ("trace_id", &["trace_id", "source_uri", "spans_total"]),
    };
    let mut batches = project(object, columns).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let references = text_column(&batch, key)?;
        // Files of older versions may lack the others.
        let (sources, runs) = (text_column(&batch, "source_uri").ok(), text_column(&batch, "run_id").ok());
        let spans = batch.column_by_name("spans_total").and_then(|column| column.as_any().downcast_ref::<Int64Array>());
        for row in 0..batch.num_rows() {
            visit(&RowKey {
                reference: references.value(row),
                source: sources.as_ref().map(|column| column.value(row)),
                run_id: runs.as_ref().map(|column| column.value(row)),
                spans: spans.filter(|column| column.is_valid(row)).and_then(|column| u64::try_from(column.value(row)).ok()),
            });
        }
    }
    Ok(())
}

/// Calls `visit` with the values of some text columns of each row. Never calls it if the file lacks one of the columns.
pub(super) async fn for_each_row(object: &Arc<Object>, columns: &[&str], mut visit: impl FnMut(&[Option<&str>])) -> DeltaResult<()> {
    let mut batches = project(object, columns).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let Ok(texts) = columns.iter().map(|name| text_column(&batch, name)).collect::<DeltaResult<Vec<_>>>() else { return Ok(()) };
        for row in 0..batch.num_rows() {
            let values: Vec<Option<&str>> = texts.iter().map(|column| column.is_valid(row).then(|| column.value(row))).collect();
            visit(&values);
        }
    }
    Ok(())
}

/// Reads some columns of a Parquet file.
pub(super) async fn project(object: &Arc<Object>, columns: &[&str]) -> DeltaResult<ParquetRecordBatchStream<ObjectReader>> {
    let builder = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
    Ok(builder.with_projection(mask).build()?)
}

/// A column of texts.
pub(super) fn text_column(batch: &RecordBatch, name: &str) -> DeltaResult<StringArray> {
    let column = batch.column_by_name(name).ok_or_else(|| DeltaTableError::Generic(format!("a data file lacks the column {name}")))?;
    let column: ArrayRef = match column.as_any().downcast_ref::<StringViewArray>() {
        Some(_) => cast(column, &DataType::Utf8)?,
        None => Arc::clone(column),
    };
    let texts = column.as_any().downcast_ref::<StringArray>().cloned();
    texts.ok_or_else(|| DeltaTableError::Generic(format!("the column {name} of a data file is not a text column")))
}
