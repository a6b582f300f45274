//! The values of all metrics of a run, computed from the counters of its stages whenever somebody asks.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::metrics::LAST_SUCCESS;
use crate::analyze::{AnalyzeCounts, LatencyBuckets};
use crate::model::{Label, RunSummary};
use crate::pipeline::RunProgress;

/// One value of a metric.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The name of the metric.
    pub name: &'static str,
    /// Names and values of its labels.
    pub labels: Vec<(&'static str, String)>,
    /// The value.
    pub value: f64,
}

/// The metrics of one run.
#[derive(Debug)]
pub struct RunMetrics {
    progress: Arc<RunProgress>,
    pipeline: String,
    started_at: SystemTime,
    state: Mutex<State>,
}

/// What the counters of the stages do not know.
#[derive(Debug, Default)]
struct State {
    end: Option<RunEnd>,
    /// Seconds since 1970.
    last_success: Option<f64>,
    new_fingerprints: Option<u64>,
    notifications_sent: u64,
    notifications_failed: u64,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RunEnd {
    /// The exit code of the process.
    pub exit_code: u8,
    /// When it ended.
    pub at: SystemTime,
    /// The final counts, unless the run failed.
    pub totals: Option<Totals>,
}

/// The outcomes in a run summary.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
#[expect(missing_docs, reason = "the fields are those of RunSummary")]
pub struct Totals {
    pub stored: u64,
    pub validation_failures: u64,
    pub processing_errors: u64,
    pub timed_out: u64,
    pub unchanged: u64,
    pub filtered: u64,
}

impl From<&RunSummary> for Totals {
    fn from(summary: &RunSummary) -> Self {
        Self {
            stored: summary.stored,
            validation_failures: summary.validation_failures,
            processing_errors: summary.processing_errors,
            timed_out: summary.timed_out,
            unchanged: summary.unchanged,
            filtered: summary.filtered,
        }
    }
}

impl RunMetrics {
    /// The metrics of a run that starts now. `last_success` is when an earlier run of this pipeline succeeded, in seconds since 1970.
    pub fn new(progress: Arc<RunProgress>, pipeline: &str, last_success: Option<f64>) -> Self {
        let state = Mutex::new(State { last_success, ..State::default() });
        Self { progress, pipeline: pipeline.to_owned(), started_at: SystemTime::now(), state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The value of the label `pipeline`, which every metric has.
    pub fn pipeline(&self) -> &str {
        &self.pipeline
    }

    /// The counters of the run.
    pub fn progress(&self) -> &RunProgress {
        &self.progress
    }

    /// When the run started.
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// How the run ended; `None` while it is in progress.
    pub fn end(&self) -> Option<RunEnd> {
        self.state().end
    }

    /// Notes how the run ended.
    pub fn set_end(&self, end: RunEnd) {
        let mut state = self.state();
        state.end = Some(end);
        if end.exit_code == 0 {
            state.last_success = Some(seconds_since_epoch(end.at));
        }
    }

    /// Notes how many failures the run saw for the first time.
    pub fn set_new_fingerprints(&self, count: u64) {
        self.state().new_fingerprints = Some(count);
    }

    /// Notes how many notifications were sent and how many failed.
    pub fn set_notifications(&self, sent: u64, failed: u64) {
        let mut state = self.state();
        (state.notifications_sent, state.notifications_failed) = (sent, failed);
    }

    /// The latencies of the analyze stage.
    pub fn latencies(&self) -> LatencyBuckets {
        self.progress.analysis().map(AnalyzeCounts::latency_buckets).unwrap_or_default()
    }

    /// The current value of every metric except the histogram. A metric without a value is left out.
    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = Samples::default();
        self.add_run(&mut samples);
        self.add_input(&mut samples);
        self.add_outcomes(&mut samples);
        self.add_queues(&mut samples);
        self.add_model(&mut samples);
        samples.0
    }

    fn add_run(&self, samples: &mut Samples) {
        let state = self.state();
        let now = state.end.map_or_else(SystemTime::now, |end| end.at);
        samples.add_with("failsift_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        samples.add("failsift_run_active", if state.end.is_none() { 1.0 } else { 0.0 });
        samples.add("failsift_run_start_timestamp_seconds", seconds_since_epoch(self.started_at));
        samples.add("failsift_run_duration_seconds", between(self.started_at, now).as_secs_f64());
        if let Some(end) = state.end {
            samples.add("failsift_run_exit_code", f64::from(end.exit_code));
        }
        if let Some(at) = state.last_success {
            samples.add(LAST_SUCCESS, at);
        }
        for (phase, start, end) in self.progress.phases().intervals(now) {
            samples.add_with("failsift_phase_duration_seconds", &[("phase", phase.as_str())], between(start, end).as_secs_f64());
        }
        if let Some(count) = state.new_fingerprints {
            samples.add("failsift_new_fingerprints", float(count));
        }
        for (result, count) in [("sent", state.notifications_sent), ("failed", state.notifications_failed)] {
            samples.add_with("failsift_notifications_total", &[("result", result)], float(count));
        }
    }

    fn add_input(&self, samples: &mut Samples) {
        let input = self.progress.input();
        let (listed, records) = (input.read.listed(), input.parse.records());
        samples.add("failsift_objects_listed", float(listed.objects));
        samples.add("failsift_input_listed_bytes", float(listed.bytes));
        samples.add("failsift_objects_read_total", load(&input.read.objects));
        samples.add("failsift_input_bytes_total", load(&input.read.bytes));
        let outcomes =
            [("spans", records.spans), ("companion", records.companions), ("skipped", records.skipped), ("rejected", records.rejected)];
        for (outcome, count) in outcomes {
            samples.add_with("failsift_records_total", &[("outcome", outcome)], float(count));
        }
        samples.add("failsift_spans_total", load(&input.parse.spans));
        samples.add("failsift_spans_not_understood_total", load(&input.parse.spans_not_understood));
    }

    fn add_outcomes(&self, samples: &mut Samples) {
        let (traces, outcomes) = (self.progress.traces(), self.progress.outcomes());
        let totals = self.state().end.and_then(|end| end.totals).unwrap_or_else(|| self.totals_so_far());
        samples.add("failsift_traces_received_total", float(traces.received));
        let by_outcome = [
            ("stored", totals.stored),
            ("validation_failure", totals.validation_failures),
            ("processing_error", totals.processing_errors),
            ("timed_out", totals.timed_out),
            ("unchanged", totals.unchanged),
            ("filtered", totals.filtered),
        ];
        for (outcome, count) in by_outcome {
            samples.add_with("failsift_traces_total", &[("outcome", outcome)], float(count));
        }
        let (mut patterns, mut failed) = (0, 0);
        for ((category, factor), count) in outcomes.patterns() {
            patterns += count;
            failed += if category == Label::NO_FAILURE_FOUND.category() { 0 } else { count };
            samples.add_with("failsift_patterns_total", &[("category", &category), ("contributing_factor", &factor)], float(count));
        }
        for ((stage, kind), count) in outcomes.rejections() {
            samples.add_with("failsift_rejections_total", &[("stage", stage), ("kind", kind)], float(count));
        }
        if patterns > 0 {
            samples.add("failsift_failed_traces_ratio", float(failed) / float(patterns));
        }
        if traces.received > 0 {
            samples.add("failsift_rejected_ratio", float(outcomes.classes().total()) / float(traces.received));
        }
    }

    /// What is known before the end of a run: patterns count as stored when they are committed.
    fn totals_so_far(&self) -> Totals {
        let classes = self.progress.outcomes().classes();
        Totals {
            stored: self.progress.write().patterns_committed(),
            validation_failures: classes.validation_failures,
            processing_errors: classes.processing_errors,
            timed_out: classes.timed_out,
            unchanged: 0,
            filtered: self.progress.filtered(),
        }
    }

    fn add_queues(&self, samples: &mut Samples) {
        let traces = self.progress.traces();
        samples.add("failsift_spans_waiting", float(self.progress.input().gather.spans_waiting()));
        let unstaged = u64::try_from(self.progress.write().unstaged()).unwrap_or(u64::MAX);
        for (queue, count) in [("redact", traces.waiting()), ("analyze", traces.analyzing), ("write", unstaged)] {
            samples.add_with("failsift_queue_traces", &[("queue", queue)], float(count));
        }
    }

    fn add_model(&self, samples: &mut Samples) {
        let Some(counts) = self.progress.analysis() else { return };
        let (requests, spent) = (counts.requests(), counts.spent());
        for draft in counts.analyzers() {
            samples.add_with("failsift_drafts_total", &[("analyzer", &draft.analyzer)], float(draft.traces));
        }
        samples.add("failsift_model_requests_total", float(requests.sent));
        samples.add("failsift_model_retries_total", float(requests.retries));
        samples.add_with("failsift_model_tokens_total", &[("type", "input")], float(spent.input_tokens));
        samples.add_with("failsift_model_tokens_total", &[("type", "output")], float(spent.output_tokens));
        samples.add("failsift_model_cost_usd_total", spent.cost_usd);
        let mut fallbacks = BTreeMap::<String, u64>::new();
        for fallback in counts.fallbacks() {
            *fallbacks.entry(fallback.kind).or_default() += fallback.traces;
        }
        for (kind, count) in fallbacks {
            samples.add_with("failsift_model_fallbacks_total", &[("kind", &kind)], float(count));
        }
        if let Some(ratio) = counts.grounding_rate() {
            samples.add("failsift_grounding_ratio", ratio);
        }
    }
}

#[derive(Debug, Default)]
struct Samples(Vec<Sample>);

impl Samples {
    fn add(&mut self, name: &'static str, value: f64) {
        self.add_with(name, &[], value);
    }

    fn add_with(&mut self, name: &'static str, labels: &[(&'static str, &str)], value: f64) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.0.push(Sample { name, labels, value });
    }
}

fn load(counter: &AtomicU64) -> f64 {
    float(counter.load(Ordering::Relaxed))
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus has floats only; they are exact below 2^53")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}

fn seconds_since_epoch(time: SystemTime) -> f64 {
    between(UNIX_EPOCH, time).as_secs_f64()
}

fn between(start: SystemTime, end: SystemTime) -> Duration {
    // The clock may be set back during a run.
    end.duration_since(start).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::metrics::METRICS;
    use super::*;

    fn value(metrics: &RunMetrics, name: &str) -> Option<f64> {
        metrics.samples().iter().find(|sample| sample.name == name).map(|sample| sample.value)
    }

    fn outcome(metrics: &RunMetrics, outcome: &str) -> Option<f64> {
        let samples = metrics.samples();
        let found =
            samples.iter().find(|sample| sample.name == "failsift_traces_total" && sample.labels == [("outcome", outcome.to_owned())]);
        found.map(|sample| sample.value)
    }

    #[test]
    fn every_sample_is_of_a_listed_metric_and_has_its_labels() {
        let metrics = RunMetrics::new(Arc::default(), "p", Some(1.0));
        metrics.set_end(RunEnd { exit_code: 0, at: SystemTime::now(), totals: None });
        metrics.set_new_fingerprints(1);
        for sample in metrics.samples() {
            let metric = METRICS.iter().find(|metric| metric.name == sample.name).unwrap_or_else(|| panic!("{}", sample.name));
            let labels: Vec<&str> = sample.labels.iter().map(|(name, _)| *name).collect();
            assert_eq!(labels, metric.labels, "{}", sample.name);
        }
    }

    #[test]
    fn only_a_run_that_exits_with_0_is_a_success() {
        let metrics = RunMetrics::new(Arc::default(), "p", Some(7.0));
        assert_eq!((value(&metrics, LAST_SUCCESS), value(&metrics, "failsift_run_active")), (Some(7.0), Some(1.0)));
        assert_eq!(value(&metrics, "failsift_run_exit_code"), None);
        let at = UNIX_EPOCH + Duration::from_secs(100);
        metrics.set_end(RunEnd { exit_code: 3, at, totals: None });
        assert_eq!((value(&metrics, LAST_SUCCESS), value(&metrics, "failsift_run_exit_code")), (Some(7.0), Some(3.0)));
        metrics.set_end(RunEnd { exit_code: 0, at, totals: None });
        assert_eq!((value(&metrics, LAST_SUCCESS), value(&metrics, "failsift_run_active")), (Some(100.0), Some(0.0)));
    }

    #[test]
    fn the_final_counts_are_those_of_the_summary() {
        let metrics = RunMetrics::new(Arc::default(), "p", None);
        assert_eq!(outcome(&metrics, "stored"), Some(0.0));
        let totals = Totals { stored: 5, unchanged: 2, ..Totals::default() };
        metrics.set_end(RunEnd { exit_code: 0, at: SystemTime::now(), totals: Some(totals) });
        assert_eq!(
            (outcome(&metrics, "stored"), outcome(&metrics, "unchanged"), outcome(&metrics, "filtered")),
            (Some(5.0), Some(2.0), Some(0.0))
        );
    }
}
