//! Writes the outcomes of a run to the tables `patterns`, `errors`, `fingerprints` and `runs`.
//!
//! While a run is active, finished outcomes are staged: durable, and invisible to readers (`staging`). At its end, one commit per table makes them
//! visible and removes the rows that they supersede (`commit`, `upsert`). So memory does not grow with the number of traces, a reader sees a run
//! completely or not at all, and the finished work of an interrupted run is recovered by the next one. Knows nothing of how outcomes are computed.

mod columns;
mod commit;
mod data_file;
mod decision;
mod earlier;
mod encode;
mod error;
mod file_statistics;
mod fingerprints;
mod incoming;
mod inputs_read;
mod keys;
mod labels;
mod liveness;
mod maintain;
mod output;
mod progress;
mod recovery;
mod reusable;
mod running;
mod staging;
mod stored;
mod table_files;
mod table_writer;
mod unstaged;
mod upsert;
mod versions;
mod writer;

pub use self::earlier::{EarlierTrace, earlier_traces, object_key};
pub use self::error::WriteError;
pub use self::fingerprints::{FingerprintReport, ReportedDifference};
pub use self::inputs_read::{LastRead, last_inputs_read};
pub use self::maintain::{MaintenancePlan, MaintenanceReport, PlannedCommit, TablePlan, TableReport, maintain};
pub use self::progress::WriteProgress;
pub use self::reusable::{ReusableResults, reusable_results};
pub use self::running::{ActiveRun, Attempt, PipelineLock, try_lock};
pub use self::staging::StagingError;
pub use self::writer::{ExitReasonOf, WriteOptions, Writer};
