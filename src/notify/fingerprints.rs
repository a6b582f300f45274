//! The failures that a run saw for the first time, read from the table `fingerprints` after its commit.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use futures::StreamExt;

use crate::limits::NOTIFY_FINGERPRINTS_MAX;
use crate::model::Label;
use crate::query::{QueryError, TablesSession};

/// The failures that a run saw for the first time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewFingerprints {
    /// How many there are.
    pub count: u64,
    /// Those with the most traces; at most [`NOTIFY_FINGERPRINTS_MAX`].
    pub first: Vec<NewFingerprint>,
}

/// A failure that a run saw for the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are columns of the table fingerprints")]
pub struct NewFingerprint {
    pub fingerprint: String,
    pub category: String,
    pub contributing_factor: String,
    pub traces: u64,
    pub title: String,
}

/// The failures that the run saw for the first time. Healthy traces and traces without a verdict are not failures.
///
/// # Errors
/// [`QueryError`] if the tables cannot be read.
pub async fn new_fingerprints(tables: &str, run_id: &str) -> Result<NewFingerprints, QueryError> {
    let session = TablesSession::open(tables, None).await?;
    // An id that this program makes, without characters that SQL would interpret.
    let run_id: String = run_id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let sql = format!(
        "SELECT fingerprint, category, contributing_factor, traces, title, count(*) OVER () AS all_new FROM fingerprints \
         WHERE first_run_id = '{run_id}' AND category <> '{}' ORDER BY traces DESC, fingerprint LIMIT {NOTIFY_FINGERPRINTS_MAX}",
        Label::NO_FAILURE_FOUND.category()
    );
    let mut rows = session.stream(&sql).await?;
    let mut found = NewFingerprints::default();
    while let Some(batch) = rows.next().await {
        add_rows(&mut found, &batch?)?;
    }
    Ok(found)
}

fn add_rows(found: &mut NewFingerprints, batch: &RecordBatch) -> Result<(), QueryError> {
    let column = |name: &str, data_type: &DataType| {
        let index = batch.schema().index_of(name)?;
        cast(batch.column(index), data_type)
    };
    let wrong = |error: arrow::error::ArrowError| QueryError::Sql(error.to_string());
    let text = |name: &str| column(name, &DataType::Utf8).map_err(wrong);
    let number = |name: &str| column(name, &DataType::Int64).map_err(wrong);
    let (fingerprints, categories, factors, titles) =
        (text("fingerprint")?, text("category")?, text("contributing_factor")?, text("title")?);
    let (traces, all_new) = (number("traces")?, number("all_new")?);
    let text_of = |column: &dyn Array, row: usize| column.as_string::<i32>().value(row).to_owned();
    let number_of = |column: &dyn Array, row: usize| u64::try_from(column.as_primitive::<Int64Type>().value(row)).unwrap_or(0);
    for row in 0..batch.num_rows() {
        found.count = number_of(&all_new, row);
        found.first.push(NewFingerprint {
            fingerprint: text_of(&fingerprints, row),
            category: text_of(&categories, row),
            contributing_factor: text_of(&factors, row),
            traces: number_of(&traces, row),
            title: text_of(&titles, row),
        });
    }
    Ok(())
}
