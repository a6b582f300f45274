//! The runs of an output location: reading their rows, and comparing what two of them found.
//!
//! In: the tables of a location. Out: run summaries (`stored`), or what is new, gone, more or less between two groups of runs (`diff`, which reads
//! the rows that each run stored, at the version that it committed; `compare`, which counts and tests). Knows nothing of how runs work.

mod compare;
mod diff;
mod error;
mod stored;

pub use self::compare::{Change, ChangeKind, LEVEL};
pub use self::diff::{Diff, GroupColumn, GroupDiff, RunGroup, SharedTraces, diff};
pub use self::error::RunsError;
pub use self::stored::{DifferenceSentence, FingerprintDifferences, ListedRun, RunFilter, StoredRuns, rows, stream};
