//! The tables of one output location, opened for writing.

use deltalake_core::DeltaTableError;
use url::Url;

use super::error::{WriteError, table_error};
use crate::tables::{Table, TableName};

/// All tables of an output location.
#[derive(Debug)]
pub(super) struct OutputTables {
    /// The location, for messages.
    pub(super) location: String,
    pub(super) patterns: Table,
    pub(super) errors: Table,
    pub(super) fingerprints: Table,
    runs: Table,
}

impl OutputTables {
    /// Opens the tables, creates those that do not exist, and adds columns that they lack.
    pub(super) async fn open(location: &Url) -> Result<Self, WriteError> {
        let shown = location.to_string();
        let failed = |name: TableName| {
            let shown = shown.clone();
            move |error: DeltaTableError| table_error(name, &shown, &error)
        };
        Ok(Self {
            patterns: Table::open(location, TableName::Patterns).await.map_err(failed(TableName::Patterns))?,
            errors: Table::open(location, TableName::Errors).await.map_err(failed(TableName::Errors))?,
            fingerprints: Table::open(location, TableName::Fingerprints).await.map_err(failed(TableName::Fingerprints))?,
            runs: Table::open(location, TableName::Runs).await.map_err(failed(TableName::Runs))?,
            location: shown,
        })
    }

    pub(super) fn get(&mut self, name: TableName) -> &mut Table {
        match name {
            TableName::Patterns => &mut self.patterns,
            TableName::Errors => &mut self.errors,
            TableName::Fingerprints => &mut self.fingerprints,
            TableName::Runs => &mut self.runs,
        }
    }
}
