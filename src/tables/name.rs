//! The names of the tables.

use arrow::datatypes::SchemaRef;

use super::schema::{errors_schema, fingerprints_schema, patterns_schema, runs_schema};

/// The tables of an output location.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TableName {
    /// One row per trace.
    Patterns,
    /// One row per trace or record that could not be processed.
    Errors,
    /// One row per fingerprint.
    Fingerprints,
    /// One row per run.
    Runs,
}

impl TableName {
    /// All tables, in the order in which a run commits them.
    pub const ALL: [Self; 4] = [Self::Patterns, Self::Errors, Self::Fingerprints, Self::Runs];

    /// The folder below the output location, and the name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patterns => "patterns",
            Self::Errors => "errors",
            Self::Fingerprints => "fingerprints",
            Self::Runs => "runs",
        }
    }

    /// The columns that this version of failsift writes.
    pub(super) fn schema(self) -> SchemaRef {
        match self {
            Self::Patterns => patterns_schema(),
            Self::Errors => errors_schema(),
            Self::Fingerprints => fingerprints_schema(),
            Self::Runs => runs_schema(),
        }
    }

    pub(super) fn partition_columns(self) -> &'static [&'static str] {
        match self {
            Self::Patterns | Self::Errors | Self::Fingerprints => &["bucket"],
            Self::Runs => &[],
        }
    }
}
