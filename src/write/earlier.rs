//! Rows about traces that this run has to join with what earlier runs have read: the rest of a trace arrived, or a temporary failure is retried.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use deltalake_core::DeltaResult;
use futures::StreamExt;
use url::Url;

use super::error::{WriteError, table_error};
use super::keys::{for_each_key, project, text_column};
use super::table_files::objects;
use crate::limits::{KEY_READS_IN_FLIGHT_MAX, RETRIED_TRACES_MAX};
use crate::model::{RejectionKind, key_hash};
use crate::store::Object;
use crate::tables::{Table, TableName, open_existing};

/// What the tables know of a trace. Small, because an export that contains everything again continues every trace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EarlierTrace {
    /// Spans that its pattern was made from; 0 if it has none.
    pub spans: u64,
    /// Hashes of the URIs of the objects that its spans are from, or of some of them; of an entry, that of its archive.
    pub objects: Vec<u128>,
    /// Whether these are not all: the trace is in many objects, or an older failsift wrote the row.
    pub has_more_objects: bool,
}

/// Rows about the traces in `continued`, and about those that failed temporarily, by a hash of the trace id.
///
/// # Errors
/// [`WriteError`] if a table cannot be read.
pub async fn earlier_traces(output: &Url, continued: &HashSet<u128>) -> Result<HashMap<u128, EarlierTrace>, WriteError> {
    let shown = output.to_string();
    let mut found = HashMap::new();
    for name in [TableName::Errors, TableName::Patterns] {
        let failed = |error| table_error(name, &shown, &error);
        let Some(delta) = open_existing(output, name, None).await.map_err(failed)? else { continue };
        let table = Table { delta, name };
        let files = futures::stream::iter(objects(&table).await.map_err(failed)?);
        let mut read = std::pin::pin!(files.map(|object| of_file(name, object, continued)).buffer_unordered(KEY_READS_IN_FLIGHT_MAX));
        while let Some(of_file) = read.next().await {
            for (trace, row) in of_file.map_err(failed)? {
                if name == TableName::Errors && !continued.contains(&trace) && found.len() >= RETRIED_TRACES_MAX {
                    continue;
                }
                merge(found.entry(trace).or_default(), row);
            }
        }
    }
    // A retried trace may have a pattern too, which tells how many spans it had.
    Ok(found)
}

/// A trace may have a row in both tables.
fn merge(earlier: &mut EarlierTrace, row: EarlierTrace) {
    earlier.spans = earlier.spans.max(row.spans);
    earlier.has_more_objects |= row.has_more_objects;
    for object in row.objects {
        if !earlier.objects.contains(&object) {
            earlier.objects.push(object);
        }
    }
}

async fn of_file(name: TableName, object: Arc<Object>, continued: &HashSet<u128>) -> DeltaResult<Vec<(u128, EarlierTrace)>> {
    let spans = if name == TableName::Patterns { spans_of(&object, continued).await? } else { HashMap::new() };
    let columns: &[&str] = match name {
        TableName::Errors => &["trace_ref", "source_uri", "source_uris", "kind", "retryable", "content_digest"],
        _ => &["trace_id", "source_uri", "source_uris"],
    };
    let mut found = Vec::new();
    let mut batches = project(&object, columns).await?;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let traces = text_column(&batch, if name == TableName::Errors { "trace_ref" } else { "trace_id" })?;
        let sources = text_column(&batch, "source_uri")?;
        for row in 0..batch.num_rows() {
            let trace = key_hash(traces.value(row));
            if !continued.contains(&trace) && !(name == TableName::Errors && is_retried(&batch, row)?) {
                continue;
            }
            let objects = listed_objects(&batch, row)?;
            let has_more_objects = objects.is_none();
            let objects = objects.unwrap_or_else(|| vec![object_key(sources.value(row))]);
            found.push((trace, EarlierTrace { spans: spans.get(&trace).copied().unwrap_or(0), objects, has_more_objects }));
        }
    }
    Ok(found)
}

async fn spans_of(object: &Arc<Object>, continued: &HashSet<u128>) -> DeltaResult<HashMap<u128, u64>> {
    let mut spans = HashMap::new();
    for_each_key(TableName::Patterns, object, |row| {
        let trace = key_hash(row.reference);
        if continued.contains(&trace) {
            spans.insert(trace, row.spans().unwrap_or(0));
        }
    })
    .await?;
    Ok(spans)
}

/// The key of an object in [`EarlierTrace::objects`].
pub fn object_key(uri: &str) -> u128 {
    key_hash(Object::container_uri(uri))
}

/// The column `source_uris`; `None` if it is null, or if the file is older than the column.
fn listed_objects(batch: &RecordBatch, row: usize) -> DeltaResult<Option<Vec<u128>>> {
    let Some(lists) = batch.column_by_name("source_uris").and_then(|column| column.as_list_opt::<i32>()) else { return Ok(None) };
    if lists.is_null(row) {
        return Ok(None);
    }
    let texts = cast(&lists.value(row), &DataType::Utf8)?;
    Ok(texts.as_string_opt::<i32>().map(|texts| texts.iter().flatten().map(object_key).collect()))
}

/// Whether a row of `errors` is about a trace that failed for a reason outside of it. An answer that was paid for is not asked for again, and logs
/// without spans wait for these.
fn is_retried(batch: &RecordBatch, row: usize) -> DeltaResult<bool> {
    const TEMPORARY: [RejectionKind; 7] = [
        RejectionKind::TimedOut,
        RejectionKind::Interrupted,
        RejectionKind::RateLimited,
        RejectionKind::QuotaExhausted,
        RejectionKind::ProviderError,
        RejectionKind::CircuitOpen,
        RejectionKind::CostLimit,
    ];
    let retryable = batch.column_by_name("retryable").and_then(|column| column.as_any().downcast_ref::<BooleanArray>());
    let kind = text_column(batch, "kind")?;
    let is_temporary = TEMPORARY.iter().any(|temporary| temporary.as_str() == kind.value(row));
    Ok(is_temporary && retryable.is_some_and(|column| column.is_valid(row) && column.value(row)))
}
