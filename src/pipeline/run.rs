//! One run: analyzes every trace of the input, writes the outcomes, and summarizes them.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;

use super::RunError;
use super::prepare::{Analysis, PreparedRun};
use super::progress::{Phase, RunProgress};
use super::traces::InputCounts;
use crate::analyze::Analyzer;
use crate::config::RunConfig;
use crate::model::{ExitReason, RunStatus, RunSummary};
use crate::parse::ParseCounts;
use crate::redact::CanaryCounts;
use crate::runtime::Shutdown;
use crate::store;
use crate::write::{Committed, FingerprintReport, LabelCount, WriteOptions, Writer};

/// The result of a run.
#[derive(Debug)]
pub struct RunReport {
    /// The row of the table `runs`.
    pub summary: RunSummary,
    /// What was stored, by category and contributing factor.
    pub labels: BTreeMap<String, LabelCount>,
    /// What sets failed traces apart from healthy ones.
    pub fingerprints: FingerprintReport,
    /// The file of the redaction key, if this run created it.
    pub created_key_file: Option<PathBuf>,
    /// Known values that were planted to measure redaction.
    pub canaries: Option<Arc<CanaryCounts>>,
}

/// A run whose outcomes are all staged and not committed.
struct Staged {
    summary: RunSummary,
    created_key_file: Option<PathBuf>,
    canaries: Option<Arc<CanaryCounts>>,
}

/// Runs the whole pipeline once. When `shutdown` is cancelled, reading stops and finished work is committed. Traces that are not analyzed
/// yet are rejected as interrupted, each with its own rejection until the grace period ends.
///
/// # Errors
/// [`RunError`]. Each table is then unchanged or completely updated, and finished work is kept for the next run.
pub async fn run(config: &RunConfig, progress: &RunProgress, shutdown: CancellationToken) -> Result<RunReport, RunError> {
    let started_at = now();
    let run_id = progress.run_id().to_owned();
    progress.phases.begin(Phase::Prepare);
    let output = store::table_url(&config.output)?;
    let prepared = PreparedRun::new(&config.analysis, &output).await?;
    progress.set_analysis(prepared.counts());
    let analyzer = prepared.analyzer().await?;
    let reuse = analyzer.settings_digest().filter(|_| !config.force).map(str::to_owned);
    let job = prepared.job_digest(&*analyzer);
    let options = WriteOptions { job, fresh: config.fresh, commit_every: config.commit_every, reuse };
    let shutdown = Shutdown::on(shutdown);
    let mut writer = Writer::begin(&output, &run_id, options, Arc::clone(&progress.write)).await?;
    progress.phases.begin(Phase::Read);
    match stage_outcomes(config, progress, prepared, analyzer, &mut writer, &shutdown, (run_id, started_at)).await {
        Ok(staged) => {
            progress.phases.begin(Phase::Commit);
            commit(config, &progress.input, writer, staged).await
        }
        Err(error) => {
            writer.keep_for_next_run().await;
            Err(error)
        }
    }
}

/// Analyzes all traces, stages their outcomes and fills in the summary.
async fn stage_outcomes(
    config: &RunConfig,
    progress: &RunProgress,
    prepared: PreparedRun,
    analyzer: Arc<dyn Analyzer>,
    writer: &mut Writer,
    shutdown: &Shutdown,
    (run_id, started_at): (String, String),
) -> Result<Staged, RunError> {
    let inputs = prepared.shown_inputs();
    let mut analysis = prepared.into_analysis(analyzer, &run_id, progress, None, writer.reusable(), shutdown)?;
    let mut summary = RunSummary::started(run_id, config.analysis.pipeline.clone(), started_at, &analysis.key_id);
    let outcomes = std::mem::replace(&mut analysis.outcomes, Box::pin(futures::stream::empty()));
    writer.write_outcomes(outcomes, &mut summary, shutdown).await?;
    analysis.check_complete()?;
    summarize_input(&mut summary, progress);
    summarize_analysis(&mut summary, &analysis);
    summary.status = match () {
        () if shutdown.is_requested() => RunStatus::Interrupted,
        () if analysis.counts.is_cost_limited() => RunStatus::CostLimit,
        () => RunStatus::Complete,
    };
    summarize_records(&mut summary, &progress.input.parse)?;
    summary.finished_at = now();
    warn_about(&summary, &progress.input);
    if summary.records_read == 0 && summary.status == RunStatus::Complete && !config.analysis.allow_empty {
        return Err(RunError::no_trace_files(inputs, "no trace files, or only empty ones".to_owned(), store::EMPTY_INPUT_HINT));
    }
    Ok(Staged { summary, created_key_file: analysis.created_key_file, canaries: analysis.canaries })
}

/// Commits staged outcomes.
async fn commit(config: &RunConfig, input: &InputCounts, writer: Writer, staged: Staged) -> Result<RunReport, RunError> {
    let Staged { mut summary, created_key_file, canaries } = staged;
    let is_canary_missed = canaries.as_ref().is_some_and(|canaries| canaries.found() < canaries.planted());
    let exit_reason =
        |summary: &RunSummary| summary.exit_reason(config.error_rate_max).or(is_canary_missed.then_some(ExitReason::CanaryMissed));
    // If rejections of what was read are missing, earlier errors of these objects are kept.
    let objects = if input.gather.is_cut_short() { HashSet::new() } else { input.read.object_keys() };
    let Committed { labels, fingerprints } = writer.commit(&mut summary, objects, &exit_reason).await?;
    Ok(RunReport { summary, labels, fingerprints, created_key_file, canaries })
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
    let records = parse.records();
    summary.records_read = records.read;
    summary.records_with_spans = records.spans;
    summary.records_companion = records.companions;
    summary.records_skipped = records.skipped;
    summary.records_rejected = records.rejected;
    summary.skipped_records = records.skips.iter().map(|(skip, count)| format!("{}: {count}", skip.as_str())).collect();
    Ok(())
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
