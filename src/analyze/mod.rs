//! Redacted traces -> drafts.
//!
//! [`Analyzer`] is the seam: a redacted trace in, a [`Draft`] out, within the trace's time budget. What an analyzer claims to quote is
//! looked up again by `evidence`, whoever wrote it.

mod budget;
pub mod embedded;
mod evidence;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::StreamExt;
use tokio_util::sync::CancellationToken;

pub use self::budget::{Deadline, TimedOut};
use crate::limits::ANALYSES_IN_FLIGHT_MAX;
use crate::model::{Draft, Kind, Outcome, OutcomeStream, Rejection, Stage};
use crate::redact::{RedactedTrace, UnprovenDraft};

/// Extracts one pattern from one trace.
///
/// The trace is redacted and its text is data, never instructions. An implementation answers before `deadline` or gives up by itself;
/// CPU work asks [`Deadline::check`] often enough. It must not answer `no_failure_found` because it could not look.
#[async_trait]
pub trait Analyzer: Send + Sync {
    /// The word in the `analyzer` column.
    fn name(&self) -> &'static str;

    /// Analyses one trace.
    ///
    /// # Errors
    /// [`AnalyzeError`], which becomes the trace's rejection.
    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError>;
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The time budget is used up.
    #[error("the analysis took longer than its budget of {} s; --trace-timeout raises it", .0.as_secs_f64())]
    TimedOut(Duration),
    /// A defect of the analyzer.
    #[error("{0}")]
    Defect(String),
}

impl AnalyzeError {
    fn kind(&self) -> Kind {
        match self {
            Self::TimedOut(_) => Kind::TimedOut,
            Self::Defect(_) => Kind::Internal,
        }
    }
}

/// What the stage measured: how long each analysis took, and how many excerpts were found where they claim to stand.
#[derive(Debug, Default)]
pub struct AnalyzeCounts(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    /// Counts of latencies in buckets that grow by 10 %, so that memory does not grow with the traces.
    latencies: Vec<u64>,
    latency_max: Duration,
    excerpts: u64,
    grounded: u64,
}

const LATENCY_FIRST_US: f64 = 1.0;
const LATENCY_GROWTH: f64 = 1.1;

impl AnalyzeCounts {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bucket number between 0 and a few hundred")]
    fn add(&self, latency: Duration, excerpts: u64, grounded: u64) {
        let micros = (latency.as_secs_f64() * 1e6 / LATENCY_FIRST_US).max(1.0);
        let bucket = (micros.ln() / LATENCY_GROWTH.ln()) as usize;
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    /// The latency below which `share` of the analyses stayed, in milliseconds, exact to 10 %.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_possible_wrap,
        reason = "counts of traces"
    )]
    pub fn latency_ms(&self, share: f64) -> Option<f64> {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!measured.latencies.is_empty()).then_some(measured.latency_max.as_secs_f64() * 1e3)
    }

    /// The share of excerpts that were found where they claim to stand.
    #[expect(clippy::cast_precision_loss, reason = "counts of excerpts")]
    pub fn grounding_rate(&self) -> Option<f64> {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (measured.excerpts > 0).then(|| measured.grounded as f64 / measured.excerpts as f64)
    }
}

/// The stage after redact. Once `shutdown` is cancelled, what was not analysed yet is rejected as interrupted.
pub fn drafts(
    traces: OutcomeStream<RedactedTrace>,
    analyzer: Arc<dyn Analyzer>,
    timeout: Duration,
    counts: Arc<AnalyzeCounts>,
    shutdown: CancellationToken,
) -> OutcomeStream<UnprovenDraft> {
    traces
        .map(move |trace| {
            let (analyzer, counts, shutdown) = (Arc::clone(&analyzer), Arc::clone(&counts), shutdown.clone());
            async move { draft(trace?, &*analyzer, timeout, &counts, &shutdown).await }
        })
        .buffer_unordered(ANALYSES_IN_FLIGHT_MAX)
        .boxed()
}

async fn draft(
    trace: RedactedTrace,
    analyzer: &dyn Analyzer,
    timeout: Duration,
    counts: &AnalyzeCounts,
    shutdown: &CancellationToken,
) -> Outcome<UnprovenDraft> {
    let reject =
        |trace: &RedactedTrace, kind, reason: String| Rejection::of_trace(&trace.trace_id, &trace.source.uri, Stage::Analyze, kind, reason);
    if shutdown.is_cancelled() {
        return Err(reject(&trace, Kind::Interrupted, "the run was interrupted before this trace was analysed; run it again".into()));
    }
    let trace = Arc::new(trace);
    let start = Instant::now();
    let answer = match tokio::time::timeout(timeout, analyzer.analyze(Arc::clone(&trace), Deadline::after(timeout))).await {
        Ok(answer) => answer,
        Err(_) => Err(AnalyzeError::TimedOut(timeout)),
    };
    let latency = start.elapsed();
    match answer {
        Ok(mut draft) => {
            let (excerpts, grounded) = evidence::verify(&mut draft, &trace);
            counts.add(latency, excerpts, grounded);
            Ok(trace.unproven(draft))
        }
        Err(error) => {
            counts.add(latency, 0, 0);
            Err(reject(&trace, error.kind(), error.to_string()))
        }
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

    /// An analyzer that never answers and one that works without end.
    struct Stuck;

    #[async_trait]
    impl Analyzer for Stuck {
        fn name(&self) -> &'static str {
            "stuck"
        }
        async fn analyze(&self, _: Arc<RedactedTrace>, _: Deadline) -> Result<Draft, AnalyzeError> {
            std::future::pending().await
        }
    }

    #[tokio::test]
    async fn a_trace_over_its_budget_is_rejected_by_name() {
        use crate::model::Trace;
        use crate::redact::{RedactionKey, Redactor};
        let redactor = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap());
        let trace = redactor.trace(Trace { trace_id: "t1".into(), ..Trace::default() });
        let stream = futures::stream::iter([Ok(trace)]).boxed();
        let timeout = Duration::from_millis(20);
        let drafts: Vec<_> = drafts(stream, Arc::new(Stuck), timeout, Arc::default(), CancellationToken::new()).collect().await;
        let rejection = drafts[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind, rejection.retryable), ("t1", Kind::TimedOut, true));
    }
}
