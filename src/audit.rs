//! Looks through stored tables for anything sensitive, as the redactor would.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use futures::StreamExt;

use crate::query::{QueryError, TablesSession};
use crate::redact::{self, Own};

/// What an audit found.
#[derive(Debug, Default)]
pub struct Audit {
    /// Rows that were looked at.
    pub rows: u64,
    /// Texts in these rows.
    pub texts: u64,
    /// Where something stands: table, column, the row's key, and how often each kind. Never the value.
    pub findings: Vec<Finding>,
}

/// A text of a table in which something sensitive stands.
#[derive(Debug)]
pub struct Finding {
    /// `patterns`, `errors` or `runs`.
    pub table: &'static str,
    /// The column.
    pub column: String,
    /// The trace id, the place or the run id.
    pub key: String,
    /// What was found, by kind.
    pub kinds: BTreeMap<&'static str, u64>,
}

/// Each table with the column that names a row, and the columns that are places, ids or fixed words and no text of a trace.
const TABLES: [(&str, &str, &[&str]); 3] = [
    (
        "patterns",
        "trace_id",
        &[
            "trace_id",
            "category",
            "contributing_factor",
            "fingerprint",
            "analyzer",
            "source_uri",
            "content_digest",
            "settings_digest",
            "run_id",
            "schema_version",
            "bucket",
        ],
    ),
    ("errors", "trace_ref", &["trace_ref", "stage", "kind", "source_uri", "run_id", "content_digest", "settings_digest", "bucket"]),
    ("runs", "run_id", &["run_id", "status", "skipped_objects", "redaction_key_id", "bucket"]),
];

/// Looks through the tables: all rows, or `sample` of each table, spread over it.
///
/// # Errors
/// [`QueryError`].
pub async fn audit(session: &TablesSession, sample: Option<u64>, own: &Own) -> Result<Audit, QueryError> {
    let mut audit = Audit::default();
    for (table, key, skipped) in TABLES {
        let limit = match sample {
            // Ids are random, so their order is none.
            Some(sample) => format!(" ORDER BY {key} LIMIT {sample}"),
            None => String::new(),
        };
        let mut rows = session.stream(&format!("SELECT * FROM {table}{limit}")).await?;
        while let Some(batch) = rows.next().await {
            look_at(&batch.map_err(QueryError::from)?, table, key, skipped, own, &mut audit);
        }
    }
    Ok(audit)
}

fn look_at(batch: &RecordBatch, table: &'static str, key: &str, skipped: &[&str], own: &Own, audit: &mut Audit) {
    audit.rows += batch.num_rows() as u64;
    let schema = batch.schema();
    let keys = batch.column_by_name(key);
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        if skipped.contains(&field.name().as_str()) {
            continue;
        }
        for row in 0..batch.num_rows() {
            let mut texts = Vec::new();
            texts_of(column.as_ref(), row, &mut texts);
            let mut kinds = BTreeMap::new();
            for text in texts {
                audit.texts += 1;
                // Errors name the place of an object, and a place is no text of a trace.
                let is_place = |kind: &str| table != "patterns" && kind == "username_path";
                for kind in redact::kinds_in(&text, own).into_iter().filter(|kind| !is_place(kind)) {
                    *kinds.entry(kind).or_default() += 1;
                }
            }
            if !kinds.is_empty() {
                let mut key = Vec::new();
                if let Some(keys) = keys {
                    texts_of(keys.as_ref(), row, &mut key);
                }
                audit.findings.push(Finding { table, column: field.name().clone(), key: key.concat(), kinds });
            }
        }
    }
}

/// Every text of one value, through lists and structs.
fn texts_of(column: &dyn Array, row: usize, texts: &mut Vec<String>) {
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        DataType::Utf8 => texts.push(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => texts.push(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => texts.push(column.as_string_view().value(row).to_owned()),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).for_each(|index| texts_of(list.as_ref(), index, texts));
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>().value(row);
            (0..list.len()).for_each(|index| texts_of(list.as_ref(), index, texts));
        }
        DataType::Struct(_) => {
            for field in column.as_struct().columns() {
                texts_of(field.as_ref(), row, texts);
            }
        }
        _ => {}
    }
}
