//! The table `fingerprints`: how often a run saw each failure, since when it is known, and what its traces have in common that healthy traces
//! of the same service have not.
//!
//! In: every pattern of a run, as it arrives (`counts`, `values`), or from a staged file (`staged`). Out: one row per fingerprint, with the
//! differences that are too clear to be chance (`difference`, `wording`). A commit merges the rows with those of earlier runs (`merge`). Memory
//! is bounded by limits and does not grow with the number of traces.

mod counts;
mod difference;
mod merge;
mod staged;
mod values;
mod wording;

pub(super) use self::counts::RunFingerprints;
pub use self::counts::{FingerprintReport, ReportedDifference};
pub(super) use self::merge::merged_with_stored;
pub(super) use self::staged::for_each_pattern;
