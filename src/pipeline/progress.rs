//! Counts of a run in progress: for the progress display, the metrics and the run summary.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;

use futures::StreamExt;

use super::traces::InputCounts;
use crate::analyze::{AnalyzeCounts, LatencyObserver};
use crate::model::{OutcomeStream, Rejection, RejectionKind, Stage};
use crate::validate::Pattern;
use crate::write::WriteProgress;

/// Counters that the stages update while they run.
#[derive(Debug)]
pub struct RunProgress {
    run_id: String,
    pub(super) input: InputCounts,
    /// Traces that were gathered, and records that were rejected before that.
    pub(super) received: Arc<AtomicU64>,
    /// Traces that the selection excluded.
    pub(super) filtered: Arc<AtomicU64>,
    /// Outcomes that reached the writer, and traces whose pattern is up to date.
    pub(super) done: Arc<AtomicU64>,
    pub(super) outcomes: Arc<OutcomeCounts>,
    pub(super) write: Arc<WriteProgress>,
    pub(super) phases: Arc<Phases>,
    analyze: OnceLock<Arc<AnalyzeCounts>>,
    latency_observer: Mutex<Observer>,
}

/// An observer that waits for the analyze stage.
#[derive(Default)]
struct Observer(Option<LatencyObserver>);

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Observer").field(&self.0.is_some()).finish()
    }
}

impl Default for RunProgress {
    fn default() -> Self {
        Self {
            run_id: uuid::Uuid::now_v7().to_string(),
            input: InputCounts::default(),
            received: Arc::default(),
            filtered: Arc::default(),
            done: Arc::default(),
            outcomes: Arc::default(),
            write: Arc::default(),
            phases: Arc::default(),
            analyze: OnceLock::new(),
            latency_observer: Mutex::default(),
        }
    }
}

impl RunProgress {
    /// The id of the run.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Describes what the tables contain if the run is stopped now without completing.
    pub fn if_stopped_now(&self) -> String {
        self.write.if_stopped_now()
    }

    /// Traces that the selection excluded.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }

    /// The counters of the analyze stage; `None` until the configuration has been checked.
    pub fn analysis(&self) -> Option<&AnalyzeCounts> {
        self.analyze.get().map(|counts| &**counts)
    }

    /// The counters of the stages that read the input.
    pub fn input(&self) -> &InputCounts {
        &self.input
    }

    /// The progress of the writer.
    pub fn write(&self) -> &WriteProgress {
        &self.write
    }

    /// The outcomes so far.
    pub fn outcomes(&self) -> &OutcomeCounts {
        &self.outcomes
    }

    /// The phases that have begun.
    pub fn phases(&self) -> &Phases {
        &self.phases
    }

    /// Calls `observer` with the latency of each analysis.
    pub fn observe_latencies(&self, observer: LatencyObserver) {
        self.latency_observer.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(observer);
    }

    /// Makes the counters of the analyze stage visible.
    pub(super) fn set_analysis(&self, counts: &Arc<AnalyzeCounts>) {
        if let Some(observer) = self.latency_observer.lock().unwrap_or_else(PoisonError::into_inner).0.take() {
            counts.observe_latencies(observer);
        }
        // A run has one analyze stage.
        let _ = self.analyze.set(Arc::clone(counts));
    }

    /// How many traces are where.
    pub fn traces(&self) -> TraceCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // In the reverse order of the data path, so that no difference is negative.
        let (done, filtered) = (count(&self.done), count(&self.filtered));
        let analyzing = self.analysis().map_or(0, AnalyzeCounts::in_flight);
        TraceCounts { received: count(&self.received), filtered, done, analyzing }
    }
}

/// How many traces are where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TraceCounts {
    /// Traces that were gathered, and records that were rejected before that.
    pub received: u64,
    /// Traces that the selection excluded.
    pub filtered: u64,
    /// Traces and records with an outcome, and traces whose pattern is up to date.
    pub done: u64,
    /// Traces that are being analyzed.
    pub analyzing: u64,
}

impl TraceCounts {
    /// Traces that were received and are neither filtered nor done.
    pub fn in_flight(self) -> u64 {
        self.received.saturating_sub(self.filtered).saturating_sub(self.done)
    }

    /// Traces that are gathered and not analyzed yet.
    pub fn waiting(self) -> u64 {
        self.in_flight().saturating_sub(self.analyzing)
    }
}

/// The outcomes of traces and records.
#[derive(Debug, Default)]
pub struct OutcomeCounts(Mutex<Outcomes>);

#[derive(Debug, Default)]
struct Outcomes {
    /// By category and contributing factor.
    patterns: BTreeMap<(String, String), u64>,
    /// By stage and kind.
    rejections: BTreeMap<(&'static str, &'static str), u64>,
    timed_out: u64,
    validation_failures: u64,
    processing_errors: u64,
}

/// Rejections by their class in the run summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the fields are those of RunSummary")]
pub struct RejectionClasses {
    pub validation_failures: u64,
    pub processing_errors: u64,
    pub timed_out: u64,
}

impl RejectionClasses {
    /// All rejections.
    pub fn total(self) -> u64 {
        self.validation_failures + self.processing_errors + self.timed_out
    }
}

impl OutcomeCounts {
    fn outcomes(&self) -> MutexGuard<'_, Outcomes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add_pattern(&self, pattern: &Pattern) {
        let label = (pattern.row().category.clone(), pattern.row().contributing_factor.clone());
        *self.outcomes().patterns.entry(label).or_default() += 1;
    }

    fn add_rejection(&self, rejection: &Rejection) {
        let (stage, kind) = (rejection.stage.as_str(), rejection.kind.as_str());
        // Without its reason: a reason may quote the trace.
        if rejection.is_location {
            tracing::debug!(location = rejection.trace_ref, stage, kind, "rejected");
        } else {
            tracing::debug!(trace_id = rejection.trace_ref, stage, kind, "rejected");
        }
        let mut outcomes = self.outcomes();
        *outcomes.rejections.entry((stage, kind)).or_default() += 1;
        *match (rejection.stage, rejection.kind) {
            (_, RejectionKind::TimedOut) => &mut outcomes.timed_out,
            (Stage::Validate, _) => &mut outcomes.validation_failures,
            _ => &mut outcomes.processing_errors,
        } += 1;
    }

    /// Validated patterns by category and contributing factor.
    pub fn patterns(&self) -> BTreeMap<(String, String), u64> {
        self.outcomes().patterns.clone()
    }

    /// Rejections by stage and kind, the words of the table `errors`.
    pub fn rejections(&self) -> BTreeMap<(&'static str, &'static str), u64> {
        self.outcomes().rejections.clone()
    }

    /// Rejections by their class in the run summary.
    pub fn classes(&self) -> RejectionClasses {
        let Outcomes { validation_failures, processing_errors, timed_out, .. } = *self.outcomes();
        RejectionClasses { validation_failures, processing_errors, timed_out }
    }
}

/// Counts outcomes as they pass.
pub(super) fn count_outcomes(outcomes: OutcomeStream<Pattern>, counts: &Arc<OutcomeCounts>) -> OutcomeStream<Pattern> {
    let counts = Arc::clone(counts);
    outcomes
        .inspect(move |outcome| match outcome {
            Ok(pattern) => counts.add_pattern(pattern),
            Err(rejection) => counts.add_rejection(rejection),
        })
        .boxed()
}

/// A part of a run. The stages are concurrent; the phases follow each other, because no trace leaves the gather stage before the whole input
/// was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Checking the configuration, opening the tables, completing interrupted commits.
    Prepare,
    /// Reading, parsing and sorting the input.
    Read,
    /// Redaction, analysis, validation and staging.
    Analyze,
    /// Committing the tables.
    Commit,
}

impl Phase {
    /// Every phase, in order.
    pub const ALL: [Self; 4] = [Self::Prepare, Self::Read, Self::Analyze, Self::Commit];

    /// The name in metrics and spans.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Read => "read",
            Self::Analyze => "analyze",
            Self::Commit => "commit",
        }
    }
}

/// When each phase of a run began.
#[derive(Debug, Default)]
pub struct Phases {
    prepare: OnceLock<SystemTime>,
    read: OnceLock<SystemTime>,
    analyze: OnceLock<SystemTime>,
    commit: OnceLock<SystemTime>,
}

impl Phases {
    fn start_of(&self, phase: Phase) -> &OnceLock<SystemTime> {
        match phase {
            Phase::Prepare => &self.prepare,
            Phase::Read => &self.read,
            Phase::Analyze => &self.analyze,
            Phase::Commit => &self.commit,
        }
    }

    /// Notes that a phase begins, unless it has begun.
    pub(super) fn begin(&self, phase: Phase) {
        self.start_of(phase).get_or_init(SystemTime::now);
    }

    /// The latest phase that has begun.
    pub fn current(&self) -> Option<Phase> {
        Phase::ALL.into_iter().rev().find(|phase| self.start_of(*phase).get().is_some())
    }

    /// The phases that have begun, each with its start and its end, which is `now` for the current one.
    pub fn intervals(&self, now: SystemTime) -> Vec<(Phase, SystemTime, SystemTime)> {
        let starts: Vec<(Phase, SystemTime)> =
            Phase::ALL.into_iter().filter_map(|phase| Some((phase, *self.start_of(phase).get()?))).collect();
        let ends = starts.iter().skip(1).map(|(_, start)| *start).chain([now]);
        starts.iter().zip(ends).map(|((phase, start), end)| (*phase, *start, end)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_phase_ends_when_the_next_one_begins() {
        let phases = Phases::default();
        assert_eq!((phases.current(), phases.intervals(SystemTime::now())), (None, Vec::new()));
        phases.begin(Phase::Prepare);
        // An input without traces has no phase in which they are analyzed.
        phases.begin(Phase::Read);
        phases.begin(Phase::Read);
        phases.begin(Phase::Commit);
        let now = SystemTime::now() + Duration::from_secs(7);
        let intervals = phases.intervals(now);
        let names: Vec<&str> = intervals.iter().map(|(phase, ..)| phase.as_str()).collect();
        assert_eq!(names, ["prepare", "read", "commit"]);
        assert!(intervals.windows(2).all(|pair| pair[0].2 == pair[1].1));
        assert_eq!((phases.current(), intervals[2].2), (Some(Phase::Commit), now));
    }

    #[test]
    fn rejections_are_counted_by_kind_and_by_class() {
        let counts = OutcomeCounts::default();
        for (stage, kind) in [
            (Stage::Read, RejectionKind::Unreadable),
            (Stage::Analyze, RejectionKind::TimedOut),
            (Stage::Redact, RejectionKind::TimedOut),
            (Stage::Validate, RejectionKind::SchemaViolation),
        ] {
            counts.add_rejection(&Rejection::for_trace("t", "u", stage, kind, "r"));
        }
        assert_eq!(counts.classes(), RejectionClasses { validation_failures: 1, processing_errors: 1, timed_out: 2 });
        assert_eq!(counts.rejections().get(&("analyze", "timed_out")), Some(&1));
        assert_eq!((counts.rejections().len(), counts.classes().total()), (4, 4));
    }

    #[test]
    fn traces_wait_until_they_are_analyzed() {
        let counts = TraceCounts { received: 100, filtered: 10, done: 40, analyzing: 32 };
        assert_eq!((counts.in_flight(), counts.waiting()), (50, 18));
        // Counters are read one after the other.
        assert_eq!(TraceCounts { received: 1, done: 2, ..counts }.waiting(), 0);
    }
}
