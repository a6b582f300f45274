//! Searches stored tables for sensitive values, with the detectors of the redactor.
//!
//! In: a session over tables. Out: which fields contain which kinds of values, and never the values themselves.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::DataType;
use arrow::util::display::array_value_to_string;
use futures::StreamExt;

use crate::query::{QueryError, TablesSession};
use crate::redact::{self, CustomDetectors, DetectedKind};
use crate::tables::TableName;

/// The result of an audit.
#[derive(Debug, Default)]
pub struct Audit {
    /// Rows that were checked.
    pub rows: u64,
    /// Texts in these rows, including those in lists and structs.
    pub texts: u64,
    /// Fields with sensitive values.
    pub findings: Vec<Finding>,
}

/// A field of a row that contains sensitive values.
#[derive(Debug)]
pub struct Finding {
    /// `patterns`, `errors`, `fingerprints` or `runs`.
    pub table: &'static str,
    /// The column.
    pub column: String,
    /// The trace id, location or run id of the row. Sensitive values in it are replaced by their kinds.
    pub key: String,
    /// How many values of each kind, by the detector that found them.
    pub kinds: BTreeMap<DetectedKind, u64>,
}

/// Each table with its key column.
const TABLES: [(TableName, &str); 4] = [
    (TableName::Patterns, "trace_id"),
    (TableName::Errors, "trace_ref"),
    (TableName::Fingerprints, "fingerprint"),
    (TableName::Runs, "run_id"),
];

/// Columns with locations of objects. A user name in the path of a home folder (`/home/nora/traces/a.jsonl`) is not a finding there: users choose
/// these paths, and rows must name them.
const LOCATION_COLUMNS: [&str; 6] = ["source_uri", "trace_ref", "reason", "failures", "skipped_objects", "pipeline"];

/// Checks all rows of the tables, or `sample` rows of each.
///
/// # Errors
/// [`QueryError`].
pub async fn audit(session: &TablesSession, sample: Option<u64>, detectors: &CustomDetectors) -> Result<Audit, QueryError> {
    let mut audit = Audit::default();
    for (name, key) in TABLES {
        let table = name.as_str();
        // Outputs of earlier versions lack it.
        if name == TableName::Fingerprints && !session.has(name) {
            continue;
        }
        let limit = match sample {
            // Ids are random, so the first ones in their order are a random sample.
            Some(sample) => format!(" ORDER BY {key} LIMIT {sample}"),
            None => String::new(),
        };
        let mut rows = session.stream(&format!("SELECT * FROM {table}{limit}")).await?;
        while let Some(batch) = rows.next().await {
            check_batch(&batch.map_err(QueryError::from)?, table, key, detectors, &mut audit);
        }
    }
    Ok(audit)
}

fn check_batch(batch: &RecordBatch, table: &'static str, key: &str, detectors: &CustomDetectors, audit: &mut Audit) {
    audit.rows += batch.num_rows() as u64;
    let schema = batch.schema();
    let keys = batch.column_by_name(key);
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let has_locations = LOCATION_COLUMNS.contains(&field.name().as_str());
        for row in 0..batch.num_rows() {
            let mut texts = Vec::new();
            collect_texts(column.as_ref(), row, &mut texts);
            let mut kinds = BTreeMap::new();
            for text in texts {
                audit.texts += 1;
                let is_allowed = |found: &DetectedKind| has_locations && found.kind == "username_path";
                for found in redact::detected_kinds(&text, detectors).into_iter().filter(|found| !is_allowed(found)) {
                    *kinds.entry(found).or_default() += 1;
                }
            }
            if !kinds.is_empty() {
                let mut key = Vec::new();
                if let Some(keys) = keys {
                    collect_texts(keys.as_ref(), row, &mut key);
                }
                let key = redact::redact_without_key(&key.concat(), detectors);
                audit.findings.push(Finding { table, column: field.name().clone(), key, kinds });
            }
        }
    }
}

/// Collects the texts of one value, also those in lists and structs.
fn collect_texts(column: &dyn Array, row: usize, texts: &mut Vec<String>) {
    if column.is_null(row) {
        return;
    }
    match column.data_type() {
        DataType::Utf8 => texts.push(column.as_string::<i32>().value(row).to_owned()),
        DataType::LargeUtf8 => texts.push(column.as_string::<i64>().value(row).to_owned()),
        DataType::Utf8View => texts.push(column.as_string_view().value(row).to_owned()),
        DataType::List(_) => {
            let list = column.as_list::<i32>().value(row);
            (0..list.len()).for_each(|index| collect_texts(list.as_ref(), index, texts));
        }
        DataType::LargeList(_) => {
            let list = column.as_list::<i64>().value(row);
            (0..list.len()).for_each(|index| collect_texts(list.as_ref(), index, texts));
        }
        DataType::Struct(_) => {
            for field in column.as_struct().columns() {
                collect_texts(field.as_ref(), row, texts);
            }
        }
        DataType::Boolean | DataType::Timestamp(..) | DataType::Null => {}
        numeric if numeric.is_numeric() => {}
        // Types that failsift itself does not write.
        _ => texts.extend(array_value_to_string(column, row).ok()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, StringArray};
    use arrow::datatypes::{Field, Schema};

    use super::*;

    /// The findings in a row with `value` in one column and a harmless word in every other.
    fn findings(columns: &[&str], column: &str, value: &str) -> Vec<Finding> {
        let text = |name: &&str| -> ArrayRef { Arc::new(StringArray::from(vec![if *name == column { value } else { "abc" }])) };
        let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, false)).collect();
        let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns.iter().map(text).collect()).unwrap();
        let mut audit = Audit::default();
        check_batch(&batch, "patterns", "trace_id", &CustomDetectors::default(), &mut audit);
        audit.findings
    }

    #[test]
    fn every_column_is_checked_and_no_value_is_shown() {
        let columns =
            ["trace_id", "category", "fingerprint", "model", "source_uri", "content_digest", "run_id", "schema_version", "unknown"];
        for column in columns {
            for value in ["<DE89370400440532013000>", "run of ada@example.com", "4111111111111111"] {
                let found = findings(&columns, column, value);
                assert_eq!(found.len(), 1, "{value} in {column}");
                let shown = format!("{found:?}");
                assert!(!shown.contains("DE89") && !shown.contains("ada@") && !shown.contains("4111"), "{shown}");
            }
            for harmless in ["019ab0c8-1c2d-7e3f-8a9b-0c1d2e3f4a5b", "43993eadc22e5ed0f9a1cc2e01626425", "chat of <EMAIL:1a2b3c>", "1.1"] {
                assert!(findings(&columns, column, harmless).is_empty(), "{harmless} in {column}");
            }
        }
        assert!(findings(&columns, "source_uri", "file:///home/nora/traces/a.jsonl").is_empty());
        assert_eq!(findings(&columns, "model", "file:///home/nora/traces/a.jsonl").len(), 1);
    }

    #[test]
    fn columns_of_other_types_are_checked_too() {
        let column: ArrayRef = Arc::new(arrow::array::BinaryArray::from(vec![b"ada@example.com".as_slice()]));
        let batch = RecordBatch::try_from_iter([("unknown", column)]).unwrap();
        let mut audit = Audit::default();
        check_batch(&batch, "runs", "run_id", &CustomDetectors::default(), &mut audit);
        assert_eq!(audit.findings.len(), 1);
    }
}
