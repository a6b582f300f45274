//! The summary of one run: printed at its end and stored as a row of `runs`.

use serde::{Deserialize, Serialize};

use super::{FingerprintRow, InputRead, Label, ReasonCount, Rejection, RejectionKind, Stage};

/// One row of `runs`, which `--format json` prints unchanged.
///
/// Conservation: `received = stored + validation_failures + processing_errors + timed_out + unchanged + filtered`. A run that failed may have
/// received traces that have no outcome: then the sum is smaller.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[expect(missing_docs, reason = "each column is documented in schemas/run_summary.schema.json, which a test compares")]
pub struct RunSummary {
    pub run_id: String,
    pub pipeline: String,
    pub status: RunStatus,
    pub exit_reason: Option<ExitReason>,
    pub started_at: String,
    pub finished_at: String,
    pub received: u64,
    pub processed: u64,
    pub stored: u64,
    pub validation_failures: u64,
    pub processing_errors: u64,
    pub timed_out: u64,
    pub unchanged: u64,
    pub filtered: u64,
    pub kept_fuller: u64,
    pub skipped_objects: Vec<String>,
    pub objects_read: u64,
    pub bytes_read: u64,
    pub spans_read: u64,
    pub spans_not_understood: u64,
    pub records_read: u64,
    pub records_with_spans: u64,
    pub records_companion: u64,
    pub records_skipped: u64,
    pub records_rejected: u64,
    pub skipped_records: Vec<String>,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: f64,
    pub answers_estimated: u64,
    pub analyzers: Vec<AnalyzerCount>,
    pub fallbacks: Vec<ReasonCount>,
    pub grounding_rate: Option<f64>,
    pub redaction_key_id: String,
    pub latency_ms_p50: Option<f64>,
    pub latency_ms_p95: Option<f64>,
    pub latency_ms_max: Option<f64>,
    pub failures: Vec<Failure>,
    pub since_run: Option<String>,
    pub objects_unchanged: Option<u64>,
    pub traces_continued: Option<u64>,
    pub inputs_read: Option<Vec<InputRead>>,
    pub error: Option<String>,
    pub failed_traces: u64,
    pub by_label: Vec<LabelTraces>,
    pub by_fingerprint: Vec<FingerprintTraces>,
    pub patterns_version: Option<u64>,
    pub errors_version: Option<u64>,
    pub fingerprints_version: Option<u64>,
    pub recovered_runs: Vec<String>,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Every received trace and record has an outcome.
    #[default]
    Complete,
    /// Stopped early, by a signal or a limit; traces that were not analyzed are in `errors`.
    Interrupted,
    /// The cost limit was reached; traces that were not analyzed are in `errors`.
    CostLimit,
    /// Not started, because another run of the pipeline is active (`--if-running skip`). Only printed: there is no row.
    Skipped,
    /// The run failed; only what it had committed before is in the tables.
    Failed,
}

impl RunStatus {
    /// The word stored in the `status` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::CostLimit => "cost_limit",
            Self::Skipped => "skipped",
            Self::Failed => "failed",
        }
    }
}

/// Why a run does not exit with 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// Traces or records were received, but none was stored, unchanged or filtered.
    NothingStored,
    /// Objects with content were read, but they contained no trace.
    NoTraces,
    /// The share of failed traces exceeds `--max-error-rate`.
    ErrorRate,
    /// Redaction missed a canary value.
    CanaryMissed,
    /// The cost limit was reached.
    CostLimit,
    /// Stopped by a signal.
    Interrupted,
    /// `--max-duration` was reached.
    MaxDuration,
    /// More records and traces failed than `--max-errors` allows.
    MaxErrors,
    /// The run failed.
    Failed,
}

impl ExitReason {
    /// The word stored in the `exit_reason` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NothingStored => "nothing_stored",
            Self::NoTraces => "no_traces",
            Self::ErrorRate => "error_rate",
            Self::CanaryMissed => "canary_missed",
            Self::CostLimit => "cost_limit",
            Self::Interrupted => "interrupted",
            Self::MaxDuration => "max_duration",
            Self::MaxErrors => "max_errors",
            Self::Failed => "failed",
        }
    }
}

/// The number of traces that one analyzer labelled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnalyzerCount {
    /// The analyzer, as in the `analyzer` column of `patterns`.
    pub analyzer: String,
    /// Traces for which it produced a draft.
    pub traces: u64,
}

/// The stored patterns with one label.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LabelTraces {
    /// The kind of failure.
    pub category: String,
    /// The condition without which it would not have happened.
    pub contributing_factor: String,
    /// How many traces.
    pub traces: u64,
    /// Mean of their confidences.
    pub confidence: f64,
    /// Title of an example.
    pub title: String,
    /// Trace id of the example.
    pub example_trace_id: String,
}

impl LabelTraces {
    /// Whether the traces have no failure.
    pub fn is_healthy(&self) -> bool {
        let healthy = Label::NO_FAILURE_FOUND;
        self.category == healthy.category() && self.contributing_factor == healthy.factor()
    }
}

/// The patterns of a run with one fingerprint.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FingerprintTraces {
    /// The fingerprint.
    pub fingerprint: String,
    /// The kind of failure.
    pub category: String,
    /// The condition without which it would not have happened.
    pub contributing_factor: String,
    /// How many traces.
    pub traces: u64,
    /// Title of an example.
    pub title: String,
    /// Trace id of the example.
    pub example_trace_id: String,
}

impl From<FingerprintRow> for FingerprintTraces {
    fn from(row: FingerprintRow) -> Self {
        let FingerprintRow { fingerprint, category, contributing_factor, traces, title, example_trace_id, .. } = row;
        Self { fingerprint, category, contributing_factor, traces, title, example_trace_id }
    }
}

/// One failure listed in the summary; the table `errors` has all of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Trace id or location.
    pub trace_ref: String,
    /// Machine-readable kind, as in the `kind` column.
    pub kind: String,
    /// Human-readable reason.
    pub reason: String,
}

impl RunSummary {
    /// The summary of a run that has just started. `started_at` is RFC 3339.
    pub fn started(run_id: String, pipeline: String, started_at: String, redaction_key_id: &str) -> Self {
        Self {
            run_id,
            pipeline,
            finished_at: started_at.clone(),
            started_at,
            redaction_key_id: redaction_key_id.to_owned(),
            ..Self::default()
        }
    }

    /// Counts one rejection in its class of the conservation sum.
    pub fn count_rejection(&mut self, rejection: &Rejection) {
        match (rejection.stage, rejection.kind) {
            (_, RejectionKind::TimedOut) => self.timed_out += 1,
            (Stage::Validate, _) => {
                self.validation_failures += 1;
                self.processed += 1;
            }
            _ => self.processing_errors += 1,
        }
        if self.failures.len() < crate::limits::SUMMARY_FAILURES_MAX {
            self.failures.push(Failure {
                trace_ref: rejection.trace_ref.clone(),
                kind: rejection.kind.as_str().to_owned(),
                reason: rejection.reason.clone(),
            });
        }
    }

    /// The number of outcomes, which equals `received` if no trace was lost.
    pub fn accounted_for(&self) -> u64 {
        self.stored + self.validation_failures + self.processing_errors + self.timed_out + self.unchanged + self.filtered
    }

    /// Why the run does not exit with 0 if at most `error_rate_max` of the traces may fail; `None` if it does.
    pub fn exit_reason(&self, error_rate_max: f64) -> Option<ExitReason> {
        match self.status {
            RunStatus::Interrupted => Some(ExitReason::Interrupted),
            RunStatus::CostLimit => Some(ExitReason::CostLimit),
            RunStatus::Skipped => None,
            RunStatus::Failed => Some(ExitReason::Failed),
            RunStatus::Complete if self.received > 0 && self.stored + self.unchanged + self.filtered == 0 => {
                Some(ExitReason::NothingStored)
            }
            RunStatus::Complete if self.received == 0 && self.records_read > 0 => Some(ExitReason::NoTraces),
            RunStatus::Complete => (self.error_rate() > error_rate_max).then_some(ExitReason::ErrorRate),
        }
    }

    /// The share of received traces that failed; 0 if none was received.
    #[expect(clippy::cast_precision_loss, reason = "a share; 2^52 traces is out of reach")]
    pub fn error_rate(&self) -> f64 {
        if self.received == 0 {
            return 0.0;
        }
        (self.validation_failures + self.processing_errors + self.timed_out) as f64 / self.received as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(received: u64, stored: u64, failed: u64) -> RunSummary {
        let started = RunSummary::started("r".into(), "p".into(), "2026-11-25T09:00:00Z".into(), "k");
        RunSummary { received, stored, processing_errors: failed, records_read: received, ..started }
    }

    #[test]
    fn a_run_that_stores_nothing_does_not_exit_with_0() {
        assert_eq!(summary(24, 0, 24).exit_reason(1.0), Some(ExitReason::NothingStored));
        assert_eq!(summary(30, 29, 1).exit_reason(0.1), None);
        assert_eq!(summary(30, 20, 10).exit_reason(0.1), Some(ExitReason::ErrorRate));
        assert_eq!(RunSummary { filtered: 5, ..summary(5, 0, 0) }.exit_reason(0.1), None);
        assert_eq!(RunSummary { unchanged: 5, ..summary(5, 0, 0) }.exit_reason(0.0), None);
        assert_eq!(RunSummary { records_read: 3, ..summary(0, 0, 0) }.exit_reason(0.1), Some(ExitReason::NoTraces));
        assert_eq!(summary(0, 0, 0).exit_reason(0.1), None);
        let interrupted = RunSummary { status: RunStatus::Interrupted, ..summary(5, 0, 5) };
        assert_eq!(interrupted.exit_reason(0.1), Some(ExitReason::Interrupted));
    }
}
