//! Metrics of the analyze stage: latency, grounding, model tokens and cost, and how many drafts each analyzer made. All counters of a run are in one
//! [`AnalyzeCounts`], whose size does not depend on the number of traces.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::model::{AnalyzerCount, ReasonCount, ReasonCounts, RejectionKind};

/// The counters of a run, shared by all analyses.
#[derive(Debug, Default)]
pub struct AnalyzeCounts(Mutex<Counters>);

#[derive(Debug, Default)]
struct Counters {
    latencies: Latencies,
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
        let mut counters = self.counters();
        counters.latencies.record(latency);
        counters.excerpts += excerpts;
        counters.excerpts_found += excerpts_found;
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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

#[cfg(test)]
mod tests {
    use super::*;

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
