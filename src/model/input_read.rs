//! What a complete run had read of an input, so that a later run with `--since-last-run` reads only the rest.

use serde::{Deserialize, Serialize};

/// The objects of one input that a run, or the runs before it, had read: an item of `runs.inputs_read`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InputRead {
    /// The input in a normalized form, without credentials.
    pub input: String,
    /// How many objects.
    pub objects: u64,
    /// Modification time of the newest one, RFC 3339.
    pub newest_object_at: Option<String>,
    /// The run excluded traces that started before this time, RFC 3339.
    pub traces_since: Option<String>,
    /// Digest of the format and the other settings that decide which traces of an object are analyzed.
    pub selection: String,
    /// Digest of the settings of the analysis.
    pub settings: String,
    /// How many objects were modified in each period, and a digest of them; see `pipeline/incremental/periods.rs`. Not printed: it is for programs.
    #[serde(skip)]
    pub periods: String,
}
