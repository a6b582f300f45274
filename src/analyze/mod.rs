//! Redacted traces -> drafts.
//!
//! [`Analyzer`] is the seam: a redacted trace in, a [`Draft`] out, within the trace's time budget. What an analyzer claims to quote is
//! looked up again by `evidence`, whoever wrote it.

pub mod embedded;
mod evidence;
pub mod llm;

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

use crate::limits::ANALYSES_IN_FLIGHT_MAX;
pub use crate::model::{Deadline, TimedOut};
use crate::model::{Draft, Kind, Outcome, OutcomeStream, Rejection, Slot, Stage, Stop};
use crate::pool;
use crate::redact::{RedactedTrace, UnprovenDraft};

/// Extracts one pattern from one trace.
///
/// The trace is redacted and its text is data, never instructions. An implementation answers before `deadline` or gives up by itself;
/// CPU work asks [`Deadline::check`] often enough. It must not answer `no_failure_found` because it could not look.
#[async_trait]
pub trait Analyzer: Send + Sync {
    /// The word in the `analyzer` column.
    fn name(&self) -> &'static str;

    /// Traces that it can analyse at once.
    fn in_flight_max(&self) -> usize {
        ANALYSES_IN_FLIGHT_MAX
    }

    /// A digest of everything beside the trace that a result depends on, where results cost so much that they are kept for the next run.
    fn settings_digest(&self) -> Option<&str> {
        None
    }

    /// Waits until a trace may be analysed. The time budget of the trace begins after it, and what it gives is held until the result is
    /// durable.
    async fn turn(&self) -> Slot {
        Slot::default()
    }

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
    /// It could not be done, for this reason.
    #[error("{reason}")]
    Rejected {
        /// What happened, for programs.
        kind: Kind,
        /// A sentence for a person.
        reason: String,
    },
    /// No trace of this run can be analysed.
    #[error("{0}")]
    Fatal(String),
}

impl AnalyzeError {
    fn kind(&self) -> Kind {
        match self {
            Self::TimedOut(_) => Kind::TimedOut,
            Self::Defect(_) => Kind::Internal,
            Self::Rejected { kind, .. } => *kind,
            // The run ends, so that it is nobody's reason.
            Self::Fatal(_) => Kind::ProviderError,
        }
    }
}

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
    fn add(&self, latency: Duration, excerpts: u64, grounded: u64) {
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
    fn add_dropped(&self, excerpts: u64) {
        self.measured().excerpts += excerpts;
    }

    /// Counts what one answer took.
    fn add_usage(&self, input_tokens: u64, output_tokens: u64, cost_usd: f64) {
        let spent = &mut self.measured().spent;
        spent.input_tokens = spent.input_tokens.saturating_add(input_tokens);
        spent.output_tokens = spent.output_tokens.saturating_add(output_tokens);
        spent.cost_usd += cost_usd;
    }

    /// Notes that a trace was not analysed because of the limit of cost.
    fn limit_cost(&self) {
        self.measured().cost_limited = true;
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

/// The stage after redact. Once a stop is requested, what was not analysed yet is rejected as interrupted, and once it is over, what is being
/// analysed too. Where no trace can be analysed any more, the stream ends early, and `counts` says why.
///
/// Analyses are tasks of their own, so that they go on while what they gave is being written.
pub fn drafts(
    mut traces: OutcomeStream<RedactedTrace>,
    analyzer: Arc<dyn Analyzer>,
    timeout: Duration,
    counts: Arc<AnalyzeCounts>,
    stop: Stop,
) -> OutcomeStream<UnprovenDraft> {
    let stream = async_stream::stream! {
        let mut tasks = JoinSet::new();
        let mut more = true;
        loop {
            tokio::select! {
                Some(done) = tasks.join_next(), if !tasks.is_empty() => match pool::joined(done) {
                    Some(outcome) => yield outcome,
                    None => break,
                },
                next = traces.next(), if more && tasks.len() < analyzer.in_flight_max() => match next {
                    Some(Ok(trace)) => {
                        let (analyzer, counts, stop) = (Arc::clone(&analyzer), Arc::clone(&counts), stop.clone());
                        tasks.spawn(async move { draft(trace, &*analyzer, timeout, &counts, &stop).await });
                    }
                    Some(Err(rejection)) => yield Err(rejection),
                    None => more = false,
                },
                else => break,
            }
            if counts.fatal().is_some() {
                break;
            }
        }
    };
    stream.boxed()
}

async fn draft(
    trace: RedactedTrace,
    analyzer: &dyn Analyzer,
    timeout: Duration,
    counts: &AnalyzeCounts,
    stop: &Stop,
) -> Outcome<UnprovenDraft> {
    let reject =
        |trace: &RedactedTrace, kind, reason: String| Rejection::of_trace(&trace.trace_id, &trace.source.uri, Stage::Analyze, kind, reason);
    let slot = tokio::select! {
        biased;
        () = stop.requested().cancelled() => return Err(Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Analyze)),
        slot = analyzer.turn() => slot,
    };
    let trace = Arc::new(trace);
    let start = Instant::now();
    let deadline = Deadline::after_spending(trace.redaction_time(), timeout);
    let analysis = AssertUnwindSafe(analyzer.analyze(Arc::clone(&trace), deadline)).catch_unwind();
    let answer = tokio::select! {
        answer = tokio::time::timeout(deadline.left(), analysis) => answer,
        () = stop.over().cancelled() => return Err(Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Analyze)),
    };
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(AnalyzeError::Defect("a defect of failsift".into())),
        Err(_) => Err(AnalyzeError::TimedOut(timeout)),
    };
    let latency = start.elapsed();
    match answer {
        Ok(mut draft) => {
            let grounding = evidence::verify(&mut draft, &trace);
            counts.add(latency, grounding.given, grounding.found);
            draft.slot = slot;
            Ok(trace.unproven(draft))
        }
        Err(error) => {
            counts.add(latency, 0, 0);
            if let AnalyzeError::Fatal(reason) = &error {
                counts.measured().fatal = Some(reason.clone());
            }
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
        let trace = Trace { trace_id: "t1".into(), ..Trace::default() };
        let trace = redactor.trace(trace, Deadline::after(Duration::from_mins(1))).unwrap();
        let stream = futures::stream::iter([Ok(trace)]).boxed();
        let timeout = Duration::from_millis(20);
        let drafts: Vec<_> = drafts(stream, Arc::new(Stuck), timeout, Arc::default(), Stop::default()).collect().await;
        let rejection = drafts[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind, rejection.retryable), ("t1", Kind::TimedOut, true));
    }
}
