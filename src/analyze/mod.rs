//! The analyze stage. In: redacted traces. Out: drafts.
//!
//! An [`Analyzer`] turns one redacted trace into a [`Draft`], within the trace's time budget. `evidence` then checks every excerpt of the draft
//! against the trace, and `disarm` neutralizes links and commands in its texts, whichever analyzer wrote it. This module knows nothing of tables.

mod counts;
mod disarm;
pub mod embedded;
mod evidence;
mod links;
pub mod llm;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

pub use self::counts::{AnalyzeCounts, LATENCY_BOUNDS_SECONDS, LatencyBuckets, LatencyObserver, RequestCounts, Spending};
pub use self::disarm::disarmed;
use self::evidence::Grounding;
pub use self::links::{Links, linked};
use crate::limits::ANALYSES_IN_FLIGHT_MAX;
use crate::model::{Draft, Outcome, OutcomeStream, PaidAnswer, Rejection, RejectionKind, Stage, UnusableAnswer};
use crate::redact::{RedactedTrace, UncheckedDraft};
use crate::runtime::{ConcurrencyPermit, Deadline, Shutdown, TimedOut, pool};

/// Extracts one pattern from one trace.
///
/// The trace is redacted, and its text is data, never instructions. An implementation returns before `deadline`; CPU work calls
/// [`Deadline::check`] at least once per span. If it cannot examine the trace, it returns an error, and never `no_failure_found`.
#[async_trait]
pub trait Analyzer: Send + Sync {
    /// The value of the `analyzer` column.
    fn name(&self) -> &'static str;

    /// How many traces it can analyze concurrently.
    fn in_flight_max(&self) -> usize {
        ANALYSES_IN_FLIGHT_MAX
    }

    /// A digest of everything except the trace on which a result depends. `Some` only if results are expensive, so that the next run reuses them.
    fn settings_digest(&self) -> Option<&str> {
        None
    }

    /// Waits until a trace may be analyzed. The trace's time budget starts afterwards. The permit is held until the result is durable.
    async fn acquire_permit(&self) -> ConcurrencyPermit {
        ConcurrencyPermit::default()
    }

    /// Analyzes one trace.
    ///
    /// # Errors
    /// [`AnalyzeError`], which becomes the trace's rejection.
    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError>;

    /// Handles a trace for which an earlier run, with the same settings, paid for an answer that was unusable. Must not pay for it again.
    ///
    /// # Errors
    /// [`AnalyzeError`], which becomes the trace's rejection.
    async fn analyze_after_unusable_answer(
        &self,
        _trace: Arc<RedactedTrace>,
        _deadline: Deadline,
        answer: UnusableAnswer,
    ) -> Result<Draft, AnalyzeError> {
        Err(AnalyzeError::Rejected { kind: answer.kind, reason: answer.reason })
    }
}

/// A trace to be analyzed.
#[derive(Debug)]
pub struct Candidate {
    /// The trace.
    pub trace: RedactedTrace,
    /// The unusable answer that an earlier run paid for, if neither the trace nor the settings have changed since.
    pub unusable_answer: Option<UnusableAnswer>,
}

impl From<RedactedTrace> for Candidate {
    fn from(trace: RedactedTrace) -> Self {
        Self { trace, unusable_answer: None }
    }
}

/// Why there is no draft.
#[derive(Debug, thiserror::Error)]
pub enum AnalyzeError {
    /// The time budget is exhausted.
    #[error("the analysis exceeded its time budget of {} s; raise it with --trace-timeout", .0.as_secs_f64())]
    TimedOut(Duration),
    /// A bug in the analyzer.
    #[error("{0}")]
    Bug(String),
    /// The trace cannot be analyzed.
    #[error("{reason}")]
    Rejected {
        /// The reason, for programs.
        kind: RejectionKind,
        /// The reason, for people.
        reason: String,
    },
    /// No trace of this run can be analyzed.
    #[error("{0}")]
    Fatal(String),
}

impl AnalyzeError {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::TimedOut(_) => RejectionKind::TimedOut,
            Self::Bug(_) => RejectionKind::Internal,
            Self::Rejected { kind, .. } => *kind,
            // The run ends, so no rejection has this kind.
            Self::Fatal(_) => RejectionKind::ProviderError,
        }
    }
}

impl From<TimedOut> for AnalyzeError {
    fn from(TimedOut(budget): TimedOut) -> Self {
        Self::TimedOut(budget)
    }
}

/// The stage after redact.
///
/// After a shutdown request, waiting traces are rejected as interrupted; after its grace period, traces being analyzed are too. If no further trace
/// can be analyzed, the stream ends early, and `counts` has the reason. Each analysis is a task, so it continues while earlier results are
/// written.
pub fn drafts(
    mut candidates: OutcomeStream<Candidate>,
    analyzer: Arc<dyn Analyzer>,
    timeout: Duration,
    counts: Arc<AnalyzeCounts>,
    shutdown: Shutdown,
) -> OutcomeStream<UncheckedDraft> {
    let stream = async_stream::stream! {
        let mut tasks = JoinSet::new();
        let mut has_more = true;
        loop {
            tokio::select! {
                Some(ended) = tasks.join_next(), if !tasks.is_empty() => match pool::join_result(ended) {
                    Some(outcome) => yield outcome,
                    None => break,
                },
                next = candidates.next(), if has_more && tasks.len() < analyzer.in_flight_max() => match next {
                    Some(Ok(candidate)) => {
                        let (analyzer, counts, shutdown) = (Arc::clone(&analyzer), Arc::clone(&counts), shutdown.clone());
                        tasks.spawn(async move { draft(candidate, &*analyzer, timeout, &counts, &shutdown).await });
                    }
                    Some(Err(rejection)) => yield Err(rejection),
                    None => has_more = false,
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

/// The outcome of one trace: waits for a permit, analyzes the trace within its time budget, and counts the result.
async fn draft(
    Candidate { trace, unusable_answer }: Candidate,
    analyzer: &dyn Analyzer,
    timeout: Duration,
    counts: &AnalyzeCounts,
    shutdown: &Shutdown,
) -> Outcome<UncheckedDraft> {
    let needs_analysis = unusable_answer.is_none();
    // Handling an earlier answer costs nothing, so it must not occupy a permit.
    let acquire_permit = async { if needs_analysis { analyzer.acquire_permit().await } else { ConcurrencyPermit::default() } };
    let permit = tokio::select! {
        biased;
        () = shutdown.requested().cancelled() => return Err(interrupted(&trace)),
        permit = acquire_permit => permit,
    };
    let trace = Arc::new(trace);
    let _in_flight = counts.start_analysis();
    let start = Instant::now();
    let deadline = Deadline::after_spending(trace.redaction_time(), timeout);
    let analysis = AssertUnwindSafe(analyze_and_verify(Arc::clone(&trace), unusable_answer, analyzer, deadline)).catch_unwind();
    let result = tokio::select! {
        result = tokio::time::timeout(deadline.remaining(), analysis) => result,
        () = shutdown.grace_ended().cancelled() => return Err(interrupted(&trace)),
    };
    let result = match result {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(AnalyzeError::Bug("a bug in failsift".into())),
        Err(_) => Err(AnalyzeError::TimedOut(timeout)),
    };
    let grounding = result.as_ref().map_or_else(|_| Grounding::default(), |(_, grounding)| *grounding);
    if needs_analysis {
        counts.add(start.elapsed(), grounding.given, grounding.found);
    }
    match result {
        Ok((draft, _)) => {
            counts.add_answered(&draft.analyzer);
            Ok(trace.unchecked(draft, permit))
        }
        Err(error) => {
            if let AnalyzeError::Fatal(reason) = &error {
                counts.set_fatal(reason);
            }
            Err(rejection(&trace, &error, analyzer.settings_digest()).await)
        }
    }
}

/// Analyzes a trace and checks the excerpts of the draft, both before `deadline`.
async fn analyze_and_verify(
    trace: Arc<RedactedTrace>,
    unusable_answer: Option<UnusableAnswer>,
    analyzer: &dyn Analyzer,
    deadline: Deadline,
) -> Result<(Draft, Grounding), AnalyzeError> {
    let analyzed_trace = Arc::clone(&trace);
    let mut draft = match unusable_answer {
        None => analyzer.analyze(analyzed_trace, deadline).await?,
        Some(answer) => analyzer.analyze_after_unusable_answer(analyzed_trace, deadline, answer).await?,
    };
    let verified = pool::run(move || {
        pool::catch_panic(|| {
            let grounding = evidence::verify(&mut draft, &trace, deadline)?;
            draft.bound_names();
            Ok::<_, TimedOut>((draft, grounding))
        })
    });
    Ok(verified.await.map_err(AnalyzeError::Bug)??)
}

fn interrupted(trace: &RedactedTrace) -> Rejection {
    Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Analyze).of_objects(&trace.source_uris)
}

/// The rejection of a trace without a draft. If an unusable answer was paid for, it includes what the next run needs to avoid paying again.
async fn rejection(trace: &Arc<RedactedTrace>, error: &AnalyzeError, settings_digest: Option<&str>) -> Rejection {
    let rejection = Rejection::for_trace(&trace.trace_id, &trace.source.uri, Stage::Analyze, error.kind(), error.to_string());
    let rejection = rejection.of_objects(&trace.source_uris);
    let Some(settings_digest) = settings_digest.filter(|_| error.kind().is_unusable_answer()) else { return rejection };
    let digested_trace = Arc::clone(trace);
    let content_digest = pool::run(move || digested_trace.digest()).await;
    let paid_answer = PaidAnswer { content_digest, settings_digest: settings_digest.to_owned() };
    Rejection { paid_answer: Some(Box::new(paid_answer)), ..rejection }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An analyzer that never returns.
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
    async fn a_trace_over_its_time_budget_is_rejected_as_timed_out() {
        use crate::model::Trace;
        use crate::redact::{RedactionKey, Redactor};
        let redactor = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap());
        let trace = Trace { trace_id: "t1".into(), ..Trace::default() };
        let trace = redactor.redact_trace(trace, Deadline::after(Duration::from_mins(1))).unwrap();
        let stream = futures::stream::iter([Ok(trace.into())]).boxed();
        let timeout = Duration::from_millis(20);
        let drafts: Vec<_> = drafts(stream, Arc::new(Stuck), timeout, Arc::default(), Shutdown::default()).collect().await;
        let rejection = drafts[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind, rejection.retryable), ("t1", RejectionKind::TimedOut, true));
    }
}
