//! The Delta tables below an output location: their names and columns, and how they are created, opened, evolved and read as of an
//! earlier state.
//!
//! Takes a location and returns a table at one version. Used by everything that reads or writes tables; knows nothing of how rows are made,
//! committed or queried.

mod bucket;
mod error;
mod log_store;
mod name;
mod open;
mod schema;
mod table;

pub(crate) use self::bucket::{bucket_of, bucket_of_hash};
pub(crate) use self::error::{error_hint, error_message, failure_message};
pub use self::name::TableName;
pub(crate) use self::open::open_version;
pub use self::open::{AsOf, open_existing};
pub(crate) use self::schema::{
    analyzer_fields, difference_fields, evidence_fields, fact_fields, failure_fields, fallback_fields, fingerprint_traces_fields,
    incident_fields, input_read_fields, label_traces_fields, tree_span_fields,
};
pub use self::schema::{errors_schema, fingerprints_schema, patterns_schema, runs_schema};
pub(crate) use self::table::Table;
