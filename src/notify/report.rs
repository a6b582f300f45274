//! What a notification says about a run, and whether the run is a problem.

use serde::Serialize;

use super::NotifyConfig;
use super::fingerprints::NewFingerprints;
use crate::model::RunSummary;

/// The facts of a run that a notification may contain.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The id of the run.
    pub run_id: String,
    /// The name of the pipeline.
    pub pipeline: String,
    /// The exit code of the process.
    pub exit_code: u8,
    /// `status` of the run summary; `failed` for a run without one.
    pub status: &'static str,
    /// `exit_reason` of the run summary.
    pub exit_reason: Option<&'static str>,
    /// Seconds from start to end.
    pub duration_seconds: f64,
    /// Counts of the run summary; `None` for a run without one.
    pub counts: Option<RunCounts>,
    /// What the run saw for the first time; `None` if it is not known.
    pub new_fingerprints: Option<NewFingerprints>,
}

/// Counts of a run summary.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the fields are those of RunSummary")]
pub struct RunCounts {
    pub received: u64,
    pub stored: u64,
    pub validation_failures: u64,
    pub processing_errors: u64,
    pub timed_out: u64,
    pub unchanged: u64,
    pub filtered: u64,
    pub input_tokens: u64,
    pub output_tokens: u64,
    pub cost_usd: f64,
    /// Stored patterns that describe a failure.
    pub failed_traces: u64,
}

impl RunCounts {
    /// The counts of a summary. `failed_traces`: how many of the stored patterns describe a failure.
    pub fn of(summary: &RunSummary, failed_traces: u64) -> Self {
        Self {
            received: summary.received,
            stored: summary.stored,
            validation_failures: summary.validation_failures,
            processing_errors: summary.processing_errors,
            timed_out: summary.timed_out,
            unchanged: summary.unchanged,
            filtered: summary.filtered,
            input_tokens: summary.input_tokens,
            output_tokens: summary.output_tokens,
            cost_usd: summary.cost_usd,
            failed_traces,
        }
    }

    /// Traces and records that were rejected.
    pub fn rejected(&self) -> u64 {
        self.validation_failures + self.processing_errors + self.timed_out
    }

    /// The share of stored patterns that describe a failure.
    pub fn failure_rate(&self) -> f64 {
        share(self.failed_traces, self.stored)
    }

    /// The share of received traces and records that were rejected.
    pub fn rejected_rate(&self) -> f64 {
        share(self.rejected(), self.received)
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share; 2^52 traces is out of reach")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Why a run needs attention.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Problem {
    /// The exit code is not 0.
    ExitCode,
    /// The run saw failures for the first time.
    NewFingerprints,
    /// The share of failures exceeds `failure_rate_over`.
    FailureRate,
    /// The share of rejections exceeds `rejected_rate_over`.
    RejectedRate,
}

impl RunReport {
    /// Why the run needs attention; empty if it does not.
    pub fn problems(&self, config: &NotifyConfig) -> Vec<Problem> {
        let is_over = |threshold: Option<f64>, rate: fn(&RunCounts) -> f64| {
            threshold.zip(self.counts.as_ref()).is_some_and(|(threshold, counts)| rate(counts) > threshold)
        };
        let has_new = self.new_fingerprints.as_ref().is_some_and(|new| new.count > 0);
        let found = [
            (self.exit_code != 0, Problem::ExitCode),
            (has_new, Problem::NewFingerprints),
            (is_over(config.failure_rate_over, RunCounts::failure_rate), Problem::FailureRate),
            (is_over(config.rejected_rate_over, RunCounts::rejected_rate), Problem::RejectedRate),
        ];
        found.into_iter().filter_map(|(is_found, problem)| is_found.then_some(problem)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{NotifyConfig, Target, When};
    use super::*;

    pub(in super::super) fn report() -> RunReport {
        let counts = RunCounts {
            received: 100,
            stored: 80,
            validation_failures: 1,
            processing_errors: 2,
            timed_out: 2,
            unchanged: 10,
            filtered: 5,
            input_tokens: 0,
            output_tokens: 0,
            cost_usd: 0.0,
            failed_traces: 20,
        };
        RunReport {
            run_id: "0198-run".into(),
            pipeline: "nightly".into(),
            exit_code: 0,
            status: "complete",
            exit_reason: None,
            duration_seconds: 83.0,
            counts: Some(counts),
            new_fingerprints: Some(NewFingerprints::default()),
        }
    }

    #[test]
    fn a_run_is_a_problem_for_each_of_its_reasons() {
        let config = NotifyConfig { failure_rate_over: Some(0.25), rejected_rate_over: Some(0.05), ..NotifyConfig::default() };
        assert_eq!(report().problems(&config), [], "a rate that equals its threshold is not over it");
        let lower = NotifyConfig { failure_rate_over: Some(0.24), rejected_rate_over: Some(0.049), ..NotifyConfig::default() };
        assert_eq!(report().problems(&lower), [Problem::FailureRate, Problem::RejectedRate]);
        let failed = RunReport { exit_code: 1, counts: None, new_fingerprints: None, ..report() };
        assert_eq!(failed.problems(&lower), [Problem::ExitCode]);
        let new = RunReport { new_fingerprints: Some(NewFingerprints { count: 2, first: Vec::new() }), ..report() };
        assert_eq!(new.problems(&NotifyConfig::default()), [Problem::NewFingerprints]);
    }

    #[test]
    fn a_run_without_problems_is_reported_only_if_all_are() {
        let targets = vec![Target::parse("https://a.example").unwrap()];
        let config = |when| NotifyConfig { targets: targets.clone(), when, ..NotifyConfig::default() };
        assert!(config(When::Always).applies_to(&report()) && !config(When::Problem).applies_to(&report()));
        assert!(config(When::Problem).applies_to(&RunReport { exit_code: 3, ..report() }));
        assert!(!NotifyConfig::default().applies_to(&RunReport { exit_code: 3, ..report() }), "nobody is to be notified");
    }

    #[test]
    fn a_run_over_nothing_has_no_rates() {
        let counts = RunCounts {
            received: 0,
            stored: 0,
            failed_traces: 0,
            validation_failures: 0,
            processing_errors: 0,
            timed_out: 0,
            ..report().counts.unwrap()
        };
        assert_eq!((counts.failure_rate(), counts.rejected_rate()), (0.0, 0.0));
    }
}
