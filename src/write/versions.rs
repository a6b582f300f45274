//! The versions of the tables that the commit of a run made. The row of the run stores them, so that its result can be read later.
//!
//! The row is staged before anything is committed, and its table is committed last. So the versions are filled in when the row enters the table:
//! by the run itself, or by the run that completes its interrupted commit.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use deltalake_core::DeltaResult;

use crate::model::RunSummary;
use crate::tables::TableName;

/// The version of each table after the commit of a run; `None` for a table that is not committed yet, or if the version cannot be determined.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct CommittedVersions {
    patterns: Option<u64>,
    errors: Option<u64>,
    fingerprints: Option<u64>,
}

impl CommittedVersions {
    pub(super) fn set(&mut self, table: TableName, version: Option<u64>) {
        match table {
            TableName::Patterns => self.patterns = version,
            TableName::Errors => self.errors = version,
            TableName::Fingerprints => self.fingerprints = version,
            // The row of a run cannot contain the version that its own commit makes.
            TableName::Runs => {}
        }
    }

    /// Stores them in the summary of the run.
    pub(super) fn fill_in(self, summary: &mut RunSummary) {
        summary.patterns_version = self.patterns;
        summary.errors_version = self.errors;
        summary.fingerprints_version = self.fingerprints;
    }

    /// Rows of `runs` with these versions.
    pub(super) fn filled_into(self, rows: &RecordBatch) -> DeltaResult<RecordBatch> {
        let versions = [("patterns_version", self.patterns), ("errors_version", self.errors), ("fingerprints_version", self.fingerprints)];
        let schema = rows.schema();
        let columns = schema.fields().iter().zip(rows.columns()).map(|(field, column)| -> ArrayRef {
            let Some((_, version)) = versions.iter().find(|(name, _)| name == field.name()) else { return Arc::clone(column) };
            let version = version.and_then(|version| i64::try_from(version).ok());
            Arc::new(Int64Array::from(vec![version; rows.num_rows()]))
        });
        let columns = columns.collect();
        Ok(RecordBatch::try_new(schema, columns)?)
    }
}
