//! One run: analyzes every trace of the input, writes the outcomes, and summarizes them.

use std::collections::HashSet;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::RunError;
use super::prepare::{Analysis, PreparedRun};
use super::progress::{Phase, RunProgress};
use super::running::{self, Start};
use super::traces::InputCounts;
use crate::analyze::Analyzer;
use crate::config::RunConfig;
use crate::limits::FAILED_ROW_TIMEOUT;
use crate::model::{ExitReason, RunStatus, RunSummary};
use crate::parse::ParseCounts;
use crate::redact::CanaryCounts;
use crate::runtime::{Shutdown, StopReason};
use crate::store;
use crate::tables::{TableName, open_existing};
use crate::write::{ActiveRun, FingerprintReport, WriteOptions, Writer};

/// The result of a run.
#[derive(Debug)]
pub struct RunReport {
    /// The row of the table `runs`.
    pub summary: RunSummary,
    /// What sets failed traces apart from healthy ones.
    pub fingerprints: FingerprintReport,
    /// The file of the redaction key, if this run created it.
    pub created_key_file: Option<PathBuf>,
    /// Known values that were planted to measure redaction.
    pub canaries: Option<Arc<CanaryCounts>>,
    /// What the user should know about `--since-last-run`.
    pub notes: Vec<String>,
}

/// A run that failed.
#[derive(Debug)]
pub struct FailedRun {
    /// Why.
    pub error: RunError,
    /// What it had counted until then; `None` if its configuration is wrong, so that it did not start.
    pub summary: Option<Box<RunSummary>>,
}

/// What an analysis has besides the summary.
struct Analyzed {
    created_key_file: Option<PathBuf>,
    canaries: Option<Arc<CanaryCounts>>,
    /// Why the run was stopped early, if it was.
    stopped: Option<StopReason>,
    notes: Vec<String>,
}

/// A run in progress. Its summary and writer outlive a failure.
struct Run<'a> {
    config: &'a RunConfig,
    progress: &'a RunProgress,
    shutdown: Shutdown,
    output: Url,
    summary: RunSummary,
    writer: Option<Writer>,
}

/// Runs the whole pipeline once. When `shutdown` is cancelled, or when the run reaches its longest time or its most errors, reading stops and
/// finished work is committed. Traces that are not analyzed yet are rejected as interrupted, each with its own rejection until the grace period
/// ends.
///
/// # Errors
/// [`FailedRun`]. Each table is then unchanged or completely updated, and finished work is kept for the next run. The row of the run is stored in
/// `runs` if that is possible.
pub async fn run(config: &RunConfig, progress: &RunProgress, shutdown: CancellationToken) -> Result<RunReport, FailedRun> {
    let deadline = config.duration_max.and_then(|duration| Instant::now().checked_add(duration));
    let output = store::table_url(&config.output).map_err(|error| FailedRun { error: error.into(), summary: None })?;
    let summary = RunSummary::started(progress.run_id().to_owned(), config.analysis.pipeline.clone(), now(), "");
    let not_started = |error| FailedRun { error, summary: None };
    let active = running::this_run(&config.analysis, &summary.run_id, &summary.started_at).map_err(not_started)?;
    let lock = match running::start(config.if_running, &output, &active, &shutdown).await.map_err(not_started)? {
        Start::Run(lock) => lock,
        Start::Skip(other) => return Ok(skipped(summary, &other)),
    };
    let run = Run { config, progress, shutdown: Shutdown::on(shutdown), output, summary, writer: None };
    let report = run.run_alone(deadline, active).await;
    if let Some(lock) = lock {
        lock.release().await;
    }
    report
}

/// The report of a run that was not started because `other` is active.
fn skipped(summary: RunSummary, other: &ActiveRun) -> RunReport {
    RunReport {
        summary: RunSummary { status: RunStatus::Skipped, ..summary },
        fingerprints: FingerprintReport::default(),
        created_key_file: None,
        canaries: None,
        notes: vec![format!("skipped, because {other}")],
    }
}

impl Run<'_> {
    /// Runs once no other run has to be considered.
    async fn run_alone(mut self, deadline: Option<Instant>, active: ActiveRun) -> Result<RunReport, FailedRun> {
        // Boxed, because the state of a whole run is large.
        let executed = Box::pin(self.execute(deadline, active)).await;
        match executed {
            Ok((fingerprints, analyzed)) => {
                let Analyzed { created_key_file, canaries, notes, .. } = analyzed;
                Ok(RunReport { summary: self.summary, fingerprints, created_key_file, canaries, notes })
            }
            Err(error) => Err(Box::pin(self.failed(error)).await),
        }
    }

    async fn execute(&mut self, deadline: Option<Instant>, active: ActiveRun) -> Result<(FingerprintReport, Analyzed), RunError> {
        let progress = self.progress;
        progress.phases.begin(Phase::Prepare);
        let prepared = PreparedRun::new(&self.config.analysis, &self.output).await?;
        progress.set_analysis(prepared.counts());
        let analyzer = prepared.analyzer().await?;
        let reuse = analyzer.settings_digest().filter(|_| !self.config.force).map(str::to_owned);
        let options = WriteOptions {
            job: prepared.job_digest(&*analyzer),
            fresh: self.config.fresh,
            commit_every: self.config.commit_every,
            reuse,
            errors_max: self.config.errors_max,
            active: Some(active),
        };
        let writer = Writer::begin(&self.output, &self.summary.run_id, options, Arc::clone(&progress.write)).await?;
        let writer = self.writer.insert(writer);
        progress.phases.begin(Phase::Read);
        let shutdown = self.shutdown.clone();
        let analyzed = tokio::select! {
            analyzed = stage_outcomes(self.config, progress, prepared, analyzer, writer, &self.shutdown, &mut self.summary) => analyzed?,
            never = stop_at(deadline, &shutdown) => match never {},
        };
        progress.phases.begin(Phase::Commit);
        let fingerprints = commit(self.config, &progress.input, writer, &mut self.summary, &analyzed).await?;
        Ok((fingerprints, analyzed))
    }

    /// Ends a run that failed: completes its summary, and stores it as a row of `runs`.
    async fn failed(mut self, error: RunError) -> FailedRun {
        if error.is_usage() {
            return FailedRun { error, summary: None };
        }
        let mut summary = self.summary;
        summarize_input(&mut summary, self.progress);
        count_records(&mut summary, &self.progress.input.parse);
        (summary.status, summary.exit_reason) = (RunStatus::Failed, Some(ExitReason::Failed));
        summary.error = Some(error.to_string());
        summary.finished_at = now();
        let writer = self.writer.take();
        // What makes the run fail may prevent this too, and must not delay its end.
        let stored = tokio::time::timeout(FAILED_ROW_TIMEOUT, async {
            match writer {
                Some(writer) => Box::pin(writer.end_failed(&mut summary)).await,
                None => Box::pin(store_row_of_failed(&self.output, &mut summary)).await,
            }
        });
        if stored.await.is_err() {
            tracing::info!("the run failed, and its row in runs cannot be stored in time");
        }
        FailedRun { error, summary: Some(Box::new(summary)) }
    }
}

/// Stores the row of a run that failed before it opened the tables. Tables that do not exist are not created.
async fn store_row_of_failed(output: &Url, summary: &mut RunSummary) {
    if !matches!(open_existing(output, TableName::Runs, None).await, Ok(Some(_))) {
        return;
    }
    // A job of its own, so that the finished work of other runs stays where it is.
    let options =
        WriteOptions { job: summary.run_id.clone(), fresh: false, commit_every: None, reuse: None, errors_max: None, active: None };
    match Writer::begin(output, &summary.run_id, options, Arc::default()).await {
        Ok(writer) => Box::pin(writer.end_failed(summary)).await,
        Err(error) => tracing::info!(%error, "the run failed, and its row in runs cannot be stored"),
    }
}

/// Stops the run at the deadline, and never returns.
async fn stop_at(deadline: Option<Instant>, shutdown: &Shutdown) -> Infallible {
    if let Some(deadline) = deadline {
        tokio::time::sleep_until(deadline).await;
        tracing::warn!("--max-duration is reached: finished work is committed");
        shutdown.request(StopReason::MaxDuration);
    }
    std::future::pending().await
}

/// Analyzes all traces, stages their outcomes and fills in the summary.
async fn stage_outcomes(
    config: &RunConfig,
    progress: &RunProgress,
    prepared: PreparedRun,
    analyzer: Arc<dyn Analyzer>,
    writer: &mut Writer,
    shutdown: &Shutdown,
    summary: &mut RunSummary,
) -> Result<Analyzed, RunError> {
    let inputs = prepared.shown_inputs();
    let (incremental, settings) = (Arc::clone(&prepared.incremental), prepared.analysis_digest(&*analyzer));
    let mut analysis = prepared.into_analysis(analyzer, &summary.run_id, progress, None, writer.reusable(), shutdown)?;
    summary.redaction_key_id.clone_from(&analysis.key_id);
    let outcomes = std::mem::replace(&mut analysis.outcomes, Box::pin(futures::stream::empty()));
    let written = writer.write_outcomes(outcomes, summary, shutdown).await;
    summarize_analysis(summary, &analysis);
    written?;
    analysis.check_complete()?;
    summarize_input(summary, progress);
    summary.status = match () {
        () if shutdown.is_requested() => RunStatus::Interrupted,
        () if analysis.counts.is_cost_limited() => RunStatus::CostLimit,
        () => RunStatus::Complete,
    };
    summarize_records(summary, &progress.input.parse)?;
    incremental.summarize(summary, &settings, analysis.traces_continued.load(Ordering::Relaxed));
    summary.finished_at = now();
    warn_about(summary, &progress.input);
    let is_empty = summary.records_read == 0 && !incremental.has_unchanged();
    if is_empty && summary.status == RunStatus::Complete && !config.analysis.allow_empty {
        return Err(RunError::no_trace_files(inputs, "no trace files, or only empty ones".to_owned(), store::EMPTY_INPUT_HINT));
    }
    let notes = incremental.notes(summary, &settings);
    Ok(Analyzed { created_key_file: analysis.created_key_file, canaries: analysis.canaries, stopped: shutdown.reason(), notes })
}

/// Commits staged outcomes.
async fn commit(
    config: &RunConfig,
    input: &InputCounts,
    writer: &mut Writer,
    summary: &mut RunSummary,
    analyzed: &Analyzed,
) -> Result<FingerprintReport, RunError> {
    let is_canary_missed = analyzed.canaries.as_ref().is_some_and(|canaries| canaries.found() < canaries.planted());
    let exit_reason = |summary: &RunSummary| match analyzed.stopped {
        Some(StopReason::Signal) => Some(ExitReason::Interrupted),
        Some(StopReason::MaxDuration) => Some(ExitReason::MaxDuration),
        Some(StopReason::MaxErrors) => Some(ExitReason::MaxErrors),
        None => summary.exit_reason(config.error_rate_max).or(is_canary_missed.then_some(ExitReason::CanaryMissed)),
    };
    // If rejections of what was read are missing, earlier errors of these objects are kept.
    let objects = if input.gather.is_cut_short() { HashSet::new() } else { input.read.object_keys() };
    Ok(writer.commit(summary, objects, &exit_reason).await?)
}

fn summarize_input(summary: &mut RunSummary, progress: &RunProgress) {
    let InputCounts { read, parse, .. } = &progress.input;
    summary.received = progress.received.load(Ordering::Relaxed);
    summary.filtered = progress.filtered.load(Ordering::Relaxed);
    summary.skipped_objects = parse.skipped_objects();
    summary.objects_read = read.objects.load(Ordering::Relaxed);
    summary.bytes_read = read.bytes.load(Ordering::Relaxed);
    summary.spans_read = parse.spans.load(Ordering::Relaxed);
    summary.spans_not_understood = parse.spans_not_understood.load(Ordering::Relaxed);
}

fn summarize_analysis(summary: &mut RunSummary, analysis: &Analysis) {
    let counts = &analysis.counts;
    let spent = counts.spent();
    (summary.input_tokens, summary.output_tokens, summary.cost_usd) = (spent.input_tokens, spent.output_tokens, spent.cost_usd);
    summary.answers_estimated = counts.answers_estimated();
    summary.analyzers = counts.analyzers();
    summary.fallbacks = analysis.refusal.redacted(counts.fallbacks());
    summary.grounding_rate = counts.grounding_rate();
    summary.latency_ms_p50 = counts.latency_ms(0.5);
    summary.latency_ms_p95 = counts.latency_ms(0.95);
    summary.latency_ms_max = counts.latency_ms_max();
}

/// Adds the outcomes of records.
///
/// # Errors
/// [`RunError::RecordsLost`] if a record has no outcome.
fn summarize_records(summary: &mut RunSummary, parse: &ParseCounts) -> Result<(), RunError> {
    // An interrupted run has records in flight.
    if summary.status != RunStatus::Interrupted && parse.records_lost() > 0 {
        return Err(RunError::RecordsLost(parse.records_lost()));
    }
    count_records(summary, parse);
    Ok(())
}

fn count_records(summary: &mut RunSummary, parse: &ParseCounts) {
    let records = parse.records();
    summary.records_read = records.read;
    summary.records_with_spans = records.spans;
    summary.records_companion = records.companions;
    summary.records_skipped = records.skipped;
    summary.records_rejected = records.rejected;
    summary.skipped_records = records.skips.iter().map(|(skip, count)| format!("{}: {count}", skip.as_str())).collect();
}

/// Warns about facts that the summary does not show, or not clearly.
fn warn_about(summary: &RunSummary, input: &InputCounts) {
    let missing = input.missing_objects();
    if let Some(first) = missing.first() {
        let objects = if missing.len() == 1 { "1 object that is" } else { &format!("{} objects that are", missing.len()) };
        tracing::warn!("the manifest of this export lists {objects} not in the input, such as {first}; the export may be incomplete");
    }
    if summary.status == RunStatus::Complete && input.gather.annotations_unused() > 0 {
        tracing::warn!(
            count = input.gather.annotations_unused(),
            "some annotations or scores refer to spans or traces that are not in the input"
        );
    }
    if !summary.fallbacks.is_empty() && summary.analyzers.iter().all(|count| count.analyzer == "embedded") {
        let traces: u64 = summary.fallbacks.iter().map(|count| count.traces).sum();
        tracing::warn!(
            traces,
            "the model gave no usable answer; the embedded analyzer was used instead, and the summary gives the reasons"
        );
    }
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
