//! Why a run cannot write its tables.

use deltalake_core::DeltaTableError;

use super::staging::StagingError;
use crate::tables::{TableName, error_message};

/// Why the tables could not be written. Afterwards nothing of the run is visible, or all of it will be.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A table or the store below it failed.
    #[error(
        "cannot access the table {table} in {location}: {reason}\n  hint: check that the location is writable and has space; finished work is kept for the next run over the same input"
    )]
    Table {
        /// Which table.
        table: &'static str,
        /// The output location.
        location: String,
        /// The cause.
        reason: String,
    },
    /// Finished work cannot be staged or read.
    #[error("{0}\n  hint: check that you may write at the output location and that there is space")]
    Staging(#[from] StagingError),
    /// Rows could not be encoded; a bug.
    #[error("cannot encode rows: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    /// The staged files of this run are gone.
    #[error(
        "cannot commit to {location}: another run took over the staged work of this run\n  hint: check the table runs; if that run did not complete, run this one again"
    )]
    RecoveredByOther {
        /// The output location.
        location: String,
    },
    /// The run was stopped while rows were staged.
    #[error("stopped before all finished work was saved\n  hint: run it again; what was not saved is analyzed again")]
    Stopped,
    /// An outcome was lost or duplicated. Nothing is committed.
    #[error(
        "cannot commit: {received} traces were received and {outcomes} outcomes reached the writer; nothing was written\n  hint: this is a bug in failsift, please report it"
    )]
    OutcomeCountMismatch {
        /// Counted where traces are made.
        received: u64,
        /// Counted by the writer.
        outcomes: u64,
    },
}

pub(super) fn table_error(table: TableName, location: &str, error: &DeltaTableError) -> WriteError {
    WriteError::Table { table: table.as_str(), location: location.to_owned(), reason: error_message(error) }
}
