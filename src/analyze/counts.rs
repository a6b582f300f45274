//! What the analyze stage measures.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::model::{AnalyzerCount, ReasonCount, ReasonCounts, RejectionKind};

/// What the stage measured: how long each analysis took, how many excerpts stand in their trace, and what it took.
#[derive(Debug, Default)]
pub struct AnalyzeCounts(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// Counts of latencies in buckets that grow by 10 %, so that memory does not grow with the traces.
    latencies: Vec<u64>,
    latency_max: Duration,
    excerpts: u64,
    grounded: u64,
    spent: Spent,
    cost_limited: bool,
    fatal: Option<String>,
    /// Traces by the analyzer that answered.
    answered: BTreeMap<String, u64>,
    /// Why another analyzer took traces than the one that was asked for.
    fallbacks: ReasonCounts,
    estimated: u64,
}

/// Tokens and money that analyses took, those of answers that could not be used included.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Spent {
    /// Tokens of questions.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// US dollars.
    pub cost_usd: f64,
}

const LATENCY_FIRST_US: f64 = 1.0;
const LATENCY_GROWTH: f64 = 1.1;

impl AnalyzeCounts {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bucket number between 0 and a few hundred")]
    pub(super) fn add(&self, latency: Duration, excerpts: u64, grounded: u64) {
        let micros = (latency.as_secs_f64() * 1e6 / LATENCY_FIRST_US).max(1.0);
        let bucket = (micros.ln() / LATENCY_GROWTH.ln()) as usize;
        let mut measured = self.measured();
        if measured.latencies.len() <= bucket {
            measured.latencies.resize(bucket + 1, 0);
        }
        if let Some(count) = measured.latencies.get_mut(bucket) {
            *count += 1;
        }
        measured.latency_max = measured.latency_max.max(latency);
        measured.excerpts += excerpts;
        measured.grounded += grounded;
    }

    fn measured(&self) -> MutexGuard<'_, Measured> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts excerpts that stand nowhere and came no further.
    pub(super) fn add_dropped(&self, excerpts: u64) {
        self.measured().excerpts += excerpts;
    }

    /// Counts what one answer took.
    pub(super) fn add_usage(&self, input_tokens: u64, output_tokens: u64, cost_usd: f64) {
        let spent = &mut self.measured().spent;
        spent.input_tokens = spent.input_tokens.saturating_add(input_tokens);
        spent.output_tokens = spent.output_tokens.saturating_add(output_tokens);
        spent.cost_usd += cost_usd;
    }

    /// Notes that a trace was not analysed because of the limit of cost.
    pub(super) fn limit_cost(&self) {
        self.measured().cost_limited = true;
    }

    /// Counts an answer whose tokens are estimated.
    pub(super) fn add_estimated(&self) {
        self.measured().estimated += 1;
    }

    /// Counts a trace of which `analyzer` made a draft.
    pub(super) fn add_answered(&self, analyzer: &str) {
        *self.measured().answered.entry(analyzer.to_owned()).or_default() += 1;
    }

    /// Counts a trace that another analyzer took, and why.
    pub(super) fn add_fallback(&self, kind: RejectionKind, reason: &str) {
        self.measured().fallbacks.add(kind.as_str(), reason);
    }

    /// Notes that no trace of this run can be analysed any more.
    pub(super) fn set_fatal(&self, reason: &str) {
        self.measured().fatal.get_or_insert_with(|| reason.to_owned());
    }

    /// How many traces each analyzer answered.
    pub fn analyzers(&self) -> Vec<AnalyzerCount> {
        let count = |(analyzer, traces): (&String, &u64)| AnalyzerCount { analyzer: analyzer.clone(), traces: *traces };
        self.measured().answered.iter().map(count).collect()
    }

    /// Why another analyzer took traces; providers repeat in their words what they were sent, so that these have to be redacted.
    pub fn fallbacks(&self) -> Vec<ReasonCount> {
        self.measured().fallbacks.counts()
    }

    /// Answers whose tokens are estimated.
    pub fn answers_estimated(&self) -> u64 {
        self.measured().estimated
    }

    /// Tokens and money that were spent.
    pub fn spent(&self) -> Spent {
        self.measured().spent
    }

    /// Whether a trace was not analysed because of the limit of cost.
    pub fn is_cost_limited(&self) -> bool {
        self.measured().cost_limited
    }

    /// Why no trace could be analysed any more.
    pub fn fatal(&self) -> Option<String> {
        self.measured().fatal.clone()
    }

    /// The latency below which `share` of the analyses stayed, in milliseconds, exact to 10 %.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "counts of traces"
    )]
    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        let measured = self.measured();
        let total: u64 = measured.latencies.iter().sum();
        let wanted = (total as f64 * share).ceil() as u64;
        // A bucket ends above what lies in it.
        let longest = measured.latency_max.as_secs_f64() * 1e3;
        let mut seen = 0;
        measured.latencies.iter().enumerate().find_map(|(bucket, count)| {
            seen += count;
            (total > 0 && seen >= wanted).then(|| (LATENCY_FIRST_US * LATENCY_GROWTH.powi(bucket as i32 + 1) / 1e3).min(longest))
        })
    }

    /// The longest analysis in milliseconds.
    pub fn latency_ms_max(&self) -> Option<f64> {
        let measured = self.measured();
        (!measured.latencies.is_empty()).then_some(measured.latency_max.as_secs_f64() * 1e3)
    }

    /// The share of excerpts that were found where they claim to stand.
    #[expect(clippy::cast_precision_loss, reason = "counts of excerpts")]
    pub fn grounding_rate(&self) -> Option<f64> {
        let measured = self.measured();
        (measured.excerpts > 0).then(|| measured.grounded as f64 / measured.excerpts as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_exact_to_ten_percent_in_constant_memory() {
        let counts = AnalyzeCounts::default();
        for millis in 1..=1_000 {
            counts.add(Duration::from_millis(millis), 2, 1);
        }
        for (share, expected) in [(0.5, 500.0), (0.95, 950.0)] {
            let found = counts.latency_ms(share).unwrap();
            assert!((found / expected - 1.0).abs() < 0.12, "{found} for {expected}");
        }
        assert!((counts.latency_ms_max().unwrap() - 1_000.0).abs() < 1e-6);
        assert!((counts.grounding_rate().unwrap() - 0.5).abs() < 1e-9);
    }
}
