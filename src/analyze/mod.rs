//! Redacted traces -> drafts.
//!
//! [`Analyzer`] is the seam: a redacted trace in, a [`Draft`] out, within the trace's time budget. What an analyzer claims to quote is
//! looked up again by `evidence`, whoever wrote it.

mod counts;
mod disarm;
pub mod embedded;
mod evidence;
pub mod llm;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use tokio::task::JoinSet;

pub use self::counts::{AnalyzeCounts, Spent};
pub use self::disarm::disarmed;
use self::evidence::Grounding;
use crate::limits::ANALYSES_IN_FLIGHT_MAX;
use crate::model::{Draft, Outcome, OutcomeStream, PaidAnswer, Rejection, RejectionKind, Stage, UnusableAnswer};
use crate::redact::{RedactedTrace, UnprovenDraft};
use crate::runtime::{ConcurrencyPermit, Deadline, Shutdown, TimedOut, pool};

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
    async fn turn(&self) -> ConcurrencyPermit {
        ConcurrencyPermit::default()
    }

    /// Analyses one trace.
    ///
    /// # Errors
    /// [`AnalyzeError`], which becomes the trace's rejection.
    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError>;

    /// Analyses a trace for which an earlier run paid, with the same settings, and got an answer that could not be used. Nobody pays again.
    ///
    /// # Errors
    /// [`AnalyzeError`], which becomes the trace's rejection.
    async fn analyze_without_paying(
        &self,
        _trace: Arc<RedactedTrace>,
        _deadline: Deadline,
        earlier: UnusableAnswer,
    ) -> Result<Draft, AnalyzeError> {
        Err(AnalyzeError::Rejected { kind: earlier.kind, reason: earlier.reason })
    }
}

/// A trace that is to be analysed.
#[derive(Debug)]
pub struct Candidate {
    /// The trace.
    pub trace: RedactedTrace,
    /// What was wrong with the answer that an earlier run paid for, where nothing has changed since.
    pub earlier: Option<UnusableAnswer>,
}

impl From<RedactedTrace> for Candidate {
    fn from(trace: RedactedTrace) -> Self {
        Self { trace, earlier: None }
    }
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
        kind: RejectionKind,
        /// A sentence for a person.
        reason: String,
    },
    /// No trace of this run can be analysed.
    #[error("{0}")]
    Fatal(String),
}

impl AnalyzeError {
    fn kind(&self) -> RejectionKind {
        match self {
            Self::TimedOut(_) => RejectionKind::TimedOut,
            Self::Defect(_) => RejectionKind::Internal,
            Self::Rejected { kind, .. } => *kind,
            // The run ends, so that it is nobody's reason.
            Self::Fatal(_) => RejectionKind::ProviderError,
        }
    }
}

impl From<TimedOut> for AnalyzeError {
    fn from(TimedOut(budget): TimedOut) -> Self {
        Self::TimedOut(budget)
    }
}

/// The stage after redact. Once a shutdown is requested, what was not analysed yet is rejected as interrupted, and once it is over, what is being
/// analysed too. Where no trace can be analysed any more, the stream ends early, and `counts` says why.
///
/// Analyses are tasks of their own, so that they go on while what they gave is being written.
pub fn drafts(
    mut candidates: OutcomeStream<Candidate>,
    analyzer: Arc<dyn Analyzer>,
    timeout: Duration,
    counts: Arc<AnalyzeCounts>,
    shutdown: Shutdown,
) -> OutcomeStream<UnprovenDraft> {
    let stream = async_stream::stream! {
        let mut tasks = JoinSet::new();
        let mut more = true;
        loop {
            tokio::select! {
                Some(done) = tasks.join_next(), if !tasks.is_empty() => match pool::join_result(done) {
                    Some(outcome) => yield outcome,
                    None => break,
                },
                next = candidates.next(), if more && tasks.len() < analyzer.in_flight_max() => match next {
                    Some(Ok(candidate)) => {
                        let (analyzer, counts, shutdown) = (Arc::clone(&analyzer), Arc::clone(&counts), shutdown.clone());
                        tasks.spawn(async move { draft(candidate, &*analyzer, timeout, &counts, &shutdown).await });
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
    Candidate { trace, earlier }: Candidate,
    analyzer: &dyn Analyzer,
    timeout: Duration,
    counts: &AnalyzeCounts,
    shutdown: &Shutdown,
) -> Outcome<UnprovenDraft> {
    let asks = earlier.is_none();
    // What nobody is asked about takes no place of those that are.
    let turn = async { if asks { analyzer.turn().await } else { ConcurrencyPermit::default() } };
    let permit = tokio::select! {
        biased;
        () = shutdown.requested().cancelled() => return Err(Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Analyze)),
        permit = turn => permit,
    };
    let trace = Arc::new(trace);
    let start = Instant::now();
    let deadline = Deadline::after_spending(trace.redaction_time(), timeout);
    let analysis = AssertUnwindSafe(analysed(Arc::clone(&trace), earlier, analyzer, deadline)).catch_unwind();
    let answer = tokio::select! {
        answer = tokio::time::timeout(deadline.remaining(), analysis) => answer,
        () = shutdown.grace_ended().cancelled() => return Err(Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Analyze)),
    };
    let answer = match answer {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(AnalyzeError::Defect("a bug in failsift".into())),
        Err(_) => Err(AnalyzeError::TimedOut(timeout)),
    };
    let grounding = answer.as_ref().map_or_else(|_| Grounding::default(), |(_, grounding)| *grounding);
    if asks {
        counts.add(start.elapsed(), grounding.given, grounding.found);
    }
    match answer {
        Ok((draft, _)) => {
            counts.add_answered(&draft.analyzer);
            Ok(trace.unproven(draft, permit))
        }
        Err(error) => {
            if let AnalyzeError::Fatal(reason) = &error {
                counts.set_fatal(reason);
            }
            Err(rejection(&trace, &error, analyzer.settings_digest()).await)
        }
    }
}

/// Analyses a trace and looks up what the draft quotes, all within its time.
async fn analysed(
    trace: Arc<RedactedTrace>,
    earlier: Option<UnusableAnswer>,
    analyzer: &dyn Analyzer,
    deadline: Deadline,
) -> Result<(Draft, Grounding), AnalyzeError> {
    let of = Arc::clone(&trace);
    let mut draft = match earlier {
        None => analyzer.analyze(of, deadline).await?,
        Some(earlier) => analyzer.analyze_without_paying(of, deadline, earlier).await?,
    };
    let verified = pool::run(move || {
        pool::catch_panic(|| {
            let grounding = evidence::verify(&mut draft, &trace, deadline)?;
            Ok::<_, TimedOut>((draft, grounding))
        })
    });
    Ok(verified.await.map_err(AnalyzeError::Defect)??)
}

/// Why a trace has no draft; where somebody paid for that, with what it takes not to pay again.
async fn rejection(trace: &Arc<RedactedTrace>, error: &AnalyzeError, settings_digest: Option<&str>) -> Rejection {
    let rejection = Rejection::for_trace(&trace.trace_id, &trace.source.uri, Stage::Analyze, error.kind(), error.to_string());
    let Some(settings_digest) = settings_digest.filter(|_| error.kind().is_unusable_answer()) else { return rejection };
    let of = Arc::clone(trace);
    let content_digest = pool::run(move || of.digest()).await;
    let answered = PaidAnswer { content_digest, settings_digest: settings_digest.to_owned() };
    Rejection { paid_answer: Some(Box::new(answered)), ..rejection }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let trace = redactor.redact_trace(trace, Deadline::after(Duration::from_mins(1))).unwrap();
        let stream = futures::stream::iter([Ok(trace.into())]).boxed();
        let timeout = Duration::from_millis(20);
        let drafts: Vec<_> = drafts(stream, Arc::new(Stuck), timeout, Arc::default(), Shutdown::default()).collect().await;
        let rejection = drafts[0].as_ref().unwrap_err();
        assert_eq!((rejection.trace_ref.as_str(), rejection.kind, rejection.retryable), ("t1", RejectionKind::TimedOut, true));
    }
}
