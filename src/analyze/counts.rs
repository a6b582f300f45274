//! Metrics of the analyze stage: latency, grounding, model requests, tokens and cost, and how many drafts each analyzer made. All counters of a run are in one
//! [`AnalyzeCounts`], whose size does not depend on the number of traces.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::model::{AnalyzerCount, ReasonCount, ReasonCounts, RejectionKind};

/// Upper bounds of [`LatencyBuckets`] in seconds: from a rule on a short trace to the slowest model. The default time budget is one of them.
pub const LATENCY_BOUNDS_SECONDS: [f64; 15] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// The counters of a run, shared by all analyses.
#[derive(Default)]
pub struct AnalyzeCounts {
    counters: Mutex<Counters>,
    /// Called with each latency, for exporters that build their own histogram.
    latency_observer: OnceLock<LatencyObserver>,
}

/// Receives the latency of each analysis.
pub type LatencyObserver = Box<dyn Fn(Duration) + Send + Sync>;

impl fmt::Debug for AnalyzeCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AnalyzeCounts").field(&self.counters).finish()
    }
}

/// How many analyses took how long.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LatencyBuckets {
    /// Analyses that took at most the bound of [`LATENCY_BOUNDS_SECONDS`], and more than the one before.
    pub counts: [u64; LATENCY_BOUNDS_SECONDS.len()],
    /// All analyses, including those above the last bound.
    pub count: u64,
    /// The sum of their latencies.
    pub sum: Duration,
}

impl LatencyBuckets {
    fn record(&mut self, latency: Duration) {
        self.count += 1;
        self.sum = self.sum.saturating_add(latency);
        let seconds = latency.as_secs_f64();
        if let Some((_, count)) = LATENCY_BOUNDS_SECONDS.iter().zip(&mut self.counts).find(|(bound, _)| seconds <= **bound) {
            *count += 1;
        }
    }
}

/// Requests to a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RequestCounts {
    /// Requests that were sent, retries included.
    pub sent: u64,
    /// Requests after the first of a trace: after an error, without an unsupported parameter, or for a second answer.
    pub retries: u64,
}

#[derive(Debug, Default)]
struct Counters {
    in_flight: u64,
    latencies: Latencies,
    latency_buckets: LatencyBuckets,
    requests: RequestCounts,
    excerpts: u64,
    excerpts_found: u64,
    spent: Spending,
    is_cost_limited: bool,
    fatal: Option<String>,
    /// Traces by the analyzer that made their draft.
    traces_by_analyzer: BTreeMap<String, u64>,
    fallbacks: ReasonCounts,
    answers_estimated: u64,
}

/// Model tokens and money, unusable answers included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spending {
    /// Model tokens of prompts.
    pub input_tokens: u64,
    /// Model tokens of answers.
    pub output_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

/// A histogram of latencies in microseconds, exact to [`Self::SIGNIFICANT_DIGITS`]. The maximum is exact.
#[derive(Debug, Default)]
struct Latencies {
    /// Created with the first latency.
    histogram: Option<Histogram<u64>>,
    max: Duration,
}

impl Latencies {
    const SIGNIFICANT_DIGITS: u8 = 2;

    fn record(&mut self, latency: Duration) {
        self.max = self.max.max(latency);
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        if self.histogram.is_none() {
            // Fails only for more than five digits.
            self.histogram = Histogram::new(Self::SIGNIFICANT_DIGITS).ok();
        }
        if let Some(histogram) = &mut self.histogram {
            // Fails only for values outside of the range, which grows as needed.
            let _ = histogram.record(micros);
        }
    }

    /// The latency that a share of `quantile` of all analyses did not exceed, in milliseconds; `None` without any.
    #[expect(clippy::cast_precision_loss, reason = "times are far below the range in which f64 is exact")]
    fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        let micros = self.histogram.as_ref()?.value_at_quantile(quantile);
        // The value is the upper end of its bucket, which may exceed the maximum.
        Some((micros as f64 / 1e3).min(self.max_ms()?))
    }

    fn max_ms(&self) -> Option<f64> {
        self.histogram.as_ref().map(|_| self.max.as_secs_f64() * 1e3)
    }
}

impl AnalyzeCounts {
    /// Counts a finished analysis: its latency, the excerpts of its draft, and how many of these were found in the trace.
    pub(super) fn add(&self, latency: Duration, excerpts: u64, excerpts_found: u64) {
        if let Some(observe) = self.latency_observer.get() {
            observe(latency);
        }
        let mut counters = self.counters();
        counters.latencies.record(latency);
        counters.latency_buckets.record(latency);
        counters.excerpts += excerpts;
        counters.excerpts_found += excerpts_found;
    }

    /// Counts a trace as being analyzed until the guard is dropped.
    pub(super) fn start_analysis(&self) -> InFlight<'_> {
        self.counters().in_flight += 1;
        InFlight(self)
    }

    /// Counts a request that is sent to a model.
    pub(super) fn add_request(&self, is_retry: bool) {
        let requests = &mut self.counters().requests;
        requests.sent += 1;
        requests.retries += u64::from(is_retry);
    }

    /// Calls `observer` with the latency of each further analysis. Only the first observer counts.
    pub fn observe_latencies(&self, observer: LatencyObserver) {
        // A run sets one.
        let _ = self.latency_observer.set(observer);
    }

    /// Traces that are being analyzed.
    pub fn in_flight(&self) -> u64 {
        self.counters().in_flight
    }

    /// How many analyses took how long.
    pub fn latency_buckets(&self) -> LatencyBuckets {
        self.counters().latency_buckets
    }

    /// Requests to a model.
    pub fn requests(&self) -> RequestCounts {
        self.counters().requests
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts excerpts that were dropped before the draft because they were not found.
    pub(super) fn add_dropped(&self, excerpts: u64) {
        self.counters().excerpts += excerpts;
    }

    /// Counts the model tokens and the cost of one answer.
    pub(super) fn add_usage(&self, input_tokens: u64, output_tokens: u64, cost_usd: f64) {
        let spent = &mut self.counters().spent;
        spent.input_tokens = spent.input_tokens.saturating_add(input_tokens);
        spent.output_tokens = spent.output_tokens.saturating_add(output_tokens);
        spent.cost_usd += cost_usd;
    }

    /// Records that a trace was not analyzed because of the cost limit.
    pub(super) fn record_cost_limit(&self) {
        self.counters().is_cost_limited = true;
    }

    /// Counts an answer whose model tokens are estimated.
    pub(super) fn add_estimated(&self) {
        self.counters().answers_estimated += 1;
    }

    /// Counts a trace whose draft `analyzer` made.
    pub(super) fn add_answered(&self, analyzer: &str) {
        *self.counters().traces_by_analyzer.entry(analyzer.to_owned()).or_default() += 1;
    }

    /// Counts a trace that fell back to the embedded analyzer, by kind and reason.
    pub(super) fn add_fallback(&self, kind: RejectionKind, reason: &str) {
        self.counters().fallbacks.add(kind.as_str(), reason);
    }

    /// Records an error because of which no trace of this run can be analyzed. Only the first one is kept.
    pub(super) fn set_fatal(&self, reason: &str) {
        self.counters().fatal.get_or_insert_with(|| reason.to_owned());
    }

    /// The number of traces for each analyzer that made drafts.
    pub fn analyzers(&self) -> Vec<AnalyzerCount> {
        let count = |(analyzer, traces): (&String, &u64)| AnalyzerCount { analyzer: analyzer.clone(), traces: *traces };
        self.counters().traces_by_analyzer.iter().map(count).collect()
    }

    /// The reasons of fallbacks to the embedded analyzer, with counts. The reasons contain messages of providers, which may quote the
    /// trace, so they must be redacted.
    pub fn fallbacks(&self) -> Vec<ReasonCount> {
        self.counters().fallbacks.counts()
    }

    /// The number of answers whose model tokens are estimated.
    pub fn answers_estimated(&self) -> u64 {
        self.counters().answers_estimated
    }

    /// The model tokens and the money that were spent.
    pub fn spent(&self) -> Spending {
        self.counters().spent
    }

    /// Whether a trace was not analyzed because of the cost limit.
    pub fn is_cost_limited(&self) -> bool {
        self.counters().is_cost_limited
    }

    /// The error because of which no further trace can be analyzed; `None` if there was none.
    pub fn fatal(&self) -> Option<String> {
        self.counters().fatal.clone()
    }

    /// The latency that a share of `quantile` of all analyses did not exceed, in milliseconds, exact to two significant digits.
    pub fn latency_ms(&self, quantile: f64) -> Option<f64> {
        self.counters().latencies.quantile_ms(quantile)
    }

    /// The longest analysis in milliseconds.
    pub fn latency_ms_max(&self) -> Option<f64> {
        self.counters().latencies.max_ms()
    }

    /// The share of excerpts that were found in their trace.
    #[expect(clippy::cast_precision_loss, reason = "counts of excerpts")]
    pub fn grounding_rate(&self) -> Option<f64> {
        let counters = self.counters();
        (counters.excerpts > 0).then(|| counters.excerpts_found as f64 / counters.excerpts as f64)
    }
}

/// A trace that is being analyzed.
#[derive(Debug)]
pub(super) struct InFlight<'c>(&'c AnalyzeCounts);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        let in_flight = &mut self.0.counters().in_flight;
        *in_flight = in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_in_the_first_bucket_that_is_not_below_it() {
        let counts = counts_of([1, 2, 10_000, 10_001, 600_000].into_iter());
        let buckets = counts.latency_buckets();
        let filled: Vec<(f64, u64)> = LATENCY_BOUNDS_SECONDS.into_iter().zip(buckets.counts).filter(|(_, count)| *count > 0).collect();
        assert_eq!(filled, [(0.001, 1), (0.0025, 1), (10.0, 1), (30.0, 1)]);
        assert_eq!((buckets.count, buckets.sum), (5, Duration::from_millis(620_004)));
    }

    #[test]
    fn an_analysis_is_in_flight_until_its_guard_is_dropped() {
        let counts = AnalyzeCounts::default();
        let guards = [counts.start_analysis(), counts.start_analysis()];
        assert_eq!(counts.in_flight(), 2);
        drop(guards);
        assert_eq!(counts.in_flight(), 0);
    }

    fn counts_of(millis: impl Iterator<Item = u64>) -> AnalyzeCounts {
        let counts = AnalyzeCounts::default();
        millis.for_each(|millis| counts.add(Duration::from_millis(millis), 2, 1));
        counts
    }

    #[test]
    fn latency_quantiles_are_exact_to_two_digits() {
        let counts = counts_of(1..=1_000);
        for (quantile, expected) in [(0.5, 500.0), (0.95, 950.0)] {
            let found = counts.latency_ms(quantile).unwrap();
            assert!((found / expected - 1.0).abs() < 0.01, "{found} for {expected}");
        }
        assert!((counts.latency_ms_max().unwrap() - 1_000.0).abs() < 1e-6);
        assert!((counts.grounding_rate().unwrap() - 0.5).abs() < 1e-9);
    }

    #[test]
    fn latency_quantiles_are_ordered_and_below_the_maximum() {
        assert_eq!((AnalyzeCounts::default().latency_ms(0.5), AnalyzeCounts::default().latency_ms_max()), (None, None));
        for millis in [vec![0], vec![7], vec![1, 100_000_000], vec![1_023, 1_024, 1_025], (1..100).collect()] {
            let counts = counts_of(millis.iter().copied());
            let (p50, p95) = (counts.latency_ms(0.5).unwrap(), counts.latency_ms(0.95).unwrap());
            assert!(p50 <= p95 && p95 <= counts.latency_ms_max().unwrap(), "{millis:?}: {p50} {p95}");
        }
        let counts = AnalyzeCounts::default();
        counts.add(Duration::MAX, 0, 0);
        assert!(counts.latency_ms(0.5) <= counts.latency_ms_max());
    }
}
