//! Notifications: a summary of a run, posted to web hooks after it ended.
//!
//! A notification has counts, labels of the vocabulary and fingerprints, and titles of patterns only if they were asked for. It never has a
//! trace id, a reason of a rejection or another text of a trace. The URL of a web hook usually contains a secret, so it is never shown: `target`
//! hides it.

mod fingerprints;
mod message;
mod report;
mod send;
mod target;

use serde::{Deserialize, Serialize};

pub use self::fingerprints::{NewFingerprint, NewFingerprints, new_fingerprints};
pub use self::message::Format;
pub use self::report::{Problem, RunCounts, RunReport};
pub use self::send::{Delivery, send};
pub use self::target::Target;

/// Who is notified of what.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NotifyConfig {
    /// The receivers.
    pub targets: Vec<Target>,
    /// The format for all receivers; `None` chooses by host.
    pub format: Option<Format>,
    /// After which runs.
    pub when: When,
    /// Share of patterns that describe a failure, from 0 to 1, above which a run is a problem.
    pub failure_rate_over: Option<f64>,
    /// Share of received traces and records that were rejected, from 0 to 1, above which a run is a problem.
    pub rejected_rate_over: Option<f64>,
    /// Whether the titles of new fingerprints are sent.
    pub titles: bool,
}

/// After which runs a notification is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// After every run
    #[default]
    Always,
    /// After a run that did not exit with 0, saw new failures, or exceeded a threshold
    Problem,
}

impl NotifyConfig {
    /// Whether a notification about this run is sent.
    pub fn applies_to(&self, report: &RunReport) -> bool {
        !self.targets.is_empty() && (self.when == When::Always || !report.problems(self).is_empty())
    }
}
