//! The writer of one run: counts outcomes, stages them, and commits what is staged.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::stream::Fuse;
use futures::{FutureExt, StreamExt};
use tokio::task::{JoinError, JoinSet};
use url::Url;

use super::columns;
use super::commit::commit;
use super::decision::{Decision, decide, open_incoming};
use super::encode::{encode_batch, encode_patterns};
use super::error::{WriteError, table_error};
use super::fingerprints::{FingerprintReport, RunFingerprints, for_each_pattern};
use super::labels::{LabelCount, labels_of};
use super::output::OutputTables;
use super::progress::WriteProgress;
use super::recovery::complete_interrupted_commits;
use super::reusable::ReusableResults;
use super::running::ActiveRun;
use super::staging::{CommitRecord, StagedFile, Staging};
use super::stored::StoredResults;
use super::unstaged::Unstaged;
use super::versions::CommittedVersions;
use crate::limits::{
    FINGERPRINTS_MAX, SHUTDOWN_GRACE_PERIOD, STAGE_INTERVAL, STAGED_BATCH_ROWS, STAGING_IN_FLIGHT_MAX, SUMMARY_FINGERPRINTS_MAX,
    SUMMARY_RECOVERED_RUNS_MAX,
};
use crate::model::{ExitReason, FingerprintTraces, Outcome, OutcomeStream, PatternRow, RejectionKind, RunStatus, RunSummary};
use crate::runtime::{Shutdown, StopReason, pool};
use crate::tables::TableName;
use crate::validate::Pattern;

/// How a run writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WriteOptions {
    /// Equal for runs over the same input with the same settings.
    pub job: String,
    /// Whether finished work of interrupted runs of the same job is discarded instead of recovered.
    pub fresh: bool,
    /// Makes finished outcomes visible this often; `None` only at the end.
    pub commit_every: Option<Duration>,
    /// The settings digest of patterns that need not be made again; `None` makes all of them again.
    pub reuse: Option<String>,
    /// What other runs of the same pipeline see of this one.
    pub active: Option<ActiveRun>,
    /// Stops the run when more records and traces failed.
    pub errors_max: Option<u64>,
}

/// Computes the exit reason from a summary whose counts are final.
pub type ExitReasonOf<'a> = dyn Fn(&RunSummary) -> Option<ExitReason> + Send + Sync + 'a;

/// What only the last commit of a run has.
struct LastCommit<'a> {
    summary: &'a mut RunSummary,
    /// Hashes of the URIs of objects that were read to their end.
    objects: HashSet<u128>,
    exit_reason: &'a ExitReasonOf<'a>,
}

/// The writer of one run.
#[derive(Debug)]
pub struct Writer {
    tables: OutputTables,
    staging: Arc<Staging>,
    /// Rows that are being encoded and staged.
    in_flight: JoinSet<Result<(), WriteError>>,
    reusable: Arc<ReusableResults>,
    /// Rows of paid patterns that are staged in many small files, and the names of these files.
    small_file_rows: Vec<PatternRow>,
    small_files: Arc<Mutex<Vec<String>>>,
    options: WriteOptions,
    run_id: String,
    /// The number of commits so far.
    part: i64,
    /// The patterns of the run that are committed.
    patterns_committed: u64,
    /// The runs whose patterns were recovered and are committed by this one.
    recovered_runs: BTreeSet<String>,
    /// Records and traces that failed, without those that were not analyzed because the run was stopped.
    failed: u64,
    /// New and recovered patterns.
    patterns: u64,
    /// Those of them that were not committed, because the table has patterns with more spans, from another object.
    kept_fuller: u64,
    progress: Arc<WriteProgress>,
    /// The stored patterns, by label.
    labels: BTreeMap<String, LabelCount>,
    /// The patterns of the run, by fingerprint.
    fingerprints: RunFingerprints,
    fingerprint_report: FingerprintReport,
    outcomes: u64,
}

impl Writer {
    /// Opens the tables of an output location, and creates those that do not exist. Then completes the commits of interrupted runs, and recovers
    /// the finished work of those of the same job.
    ///
    /// # Errors
    /// [`WriteError`] if the output location cannot be used.
    pub async fn begin(output: &Url, run_id: &str, options: WriteOptions, progress: Arc<WriteProgress>) -> Result<Self, WriteError> {
        let mut tables = OutputTables::open(output).await?;
        let (mut staging, others) = Staging::begin(output, run_id, &options.job, options.active.clone()).await?;
        let same_job = complete_interrupted_commits(&mut tables, others, &options.job, &progress).await;
        if options.fresh {
            for other in same_job {
                other.folder.remove().await?;
            }
        } else {
            staging.recover(&same_job).await?;
        }
        let stored = match &options.reuse {
            Some(settings_digest) => {
                let read = StoredResults::read(&tables.patterns, &tables.errors, settings_digest).await;
                read.map_err(|error| table_error(TableName::Patterns, &tables.location, &error))?
            }
            None => StoredResults::default(),
        };
        let reusable = Arc::new(ReusableResults { recovered: Arc::clone(&staging.recovered), stored, ..ReusableResults::default() });
        Ok(Self {
            tables,
            staging: Arc::new(staging),
            reusable,
            small_file_rows: Vec::new(),
            small_files: Arc::default(),
            in_flight: JoinSet::new(),
            options,
            run_id: run_id.to_owned(),
            part: 0,
            patterns_committed: 0,
            recovered_runs: BTreeSet::new(),
            failed: 0,
            patterns: 0,
            kept_fuller: 0,
            progress,
            labels: BTreeMap::new(),
            fingerprints: RunFingerprints::default(),
            fingerprint_report: FingerprintReport::default(),
            outcomes: 0,
        })
    }

    /// Results of earlier runs that need not be computed again.
    pub fn reusable(&self) -> Arc<ReusableResults> {
        Arc::clone(&self.reusable)
    }

    /// Consumes all outcomes, counts them in `summary`, and stages their rows.
    ///
    /// When a shutdown is requested, finished outcomes are committed immediately, because the process may be killed before its end.
    /// Outcomes that arrive afterwards are accepted for [`SHUTDOWN_GRACE_PERIOD`].
    ///
    /// # Errors
    /// [`WriteError`] if the store refuses. What is staged stays for the next run.
    pub async fn write_outcomes(
        &mut self,
        outcomes: OutcomeStream<Pattern>,
        summary: &mut RunSummary,
        shutdown: &Shutdown,
    ) -> Result<(), WriteError> {
        let mut outcomes = outcomes.fuse();
        let mut unstaged = Unstaged::default();
        let mut staged_at = Instant::now();
        let mut committed_at = Instant::now();
        let mut stopping_since: Option<Instant> = None;
        loop {
            let interval = STAGE_INTERVAL.saturating_sub(staged_at.elapsed());
            let interval = stopping_since.map_or(interval, |since| interval.min(SHUTDOWN_GRACE_PERIOD.saturating_sub(since.elapsed())));
            tokio::select! {
                outcome = outcomes.next() => match outcome {
                    Some(outcome) => self.add(outcome, &mut unstaged, summary),
                    None => break,
                },
                Some(staged) = self.in_flight.join_next(), if !self.in_flight.is_empty() => staging_result(staged)?,
                () = shutdown.requested().cancelled(), if stopping_since.is_none() => {}
                () = tokio::time::sleep(interval), if !shutdown.is_grace_ended() => {}
            }
            if self.options.errors_max.is_some_and(|errors_max| self.failed > errors_max) {
                shutdown.request(StopReason::MaxErrors);
            }
            self.progress.set_unstaged(unstaged.len());
            let commit_now = shutdown.is_requested() && stopping_since.is_none();
            if stopping_since.is_some_and(|since| since.elapsed() >= SHUTDOWN_GRACE_PERIOD) {
                shutdown.grace_ended().cancel();
            }
            if unstaged.patterns.holds_permits() {
                self.stage_paid(&mut unstaged, &mut outcomes, summary).await?;
            }
            if unstaged.len() >= STAGED_BATCH_ROWS || staged_at.elapsed() >= STAGE_INTERVAL {
                self.stage(&mut unstaged).await?;
                staged_at = Instant::now();
            }
            if commit_now || self.options.commit_every.is_some_and(|every| committed_at.elapsed() >= every) {
                self.stage(&mut unstaged).await?;
                self.compact_staged().await?;
                self.commit_staged(None).await?;
                committed_at = Instant::now();
                stopping_since = commit_now.then_some(committed_at).or(stopping_since);
            }
        }
        self.stage(&mut unstaged).await?;
        self.progress.set_unstaged(0);
        self.compact_staged().await
    }

    /// Starts to stage paid patterns immediately, unless enough are being staged. Those that arrive meanwhile are staged together.
    async fn stage_paid(
        &mut self,
        unstaged: &mut Unstaged,
        outcomes: &mut Fuse<OutcomeStream<Pattern>>,
        summary: &mut RunSummary,
    ) -> Result<(), WriteError> {
        /// One for the first of many answers that arrive at the same time, and one for the others.
        const IN_FLIGHT_MAX: usize = 2;
        if self.in_flight.len() >= IN_FLIGHT_MAX {
            return Ok(());
        }
        // Outcomes that are ready are staged in the same file.
        while let Some(Some(outcome)) = outcomes.next().now_or_never() {
            self.add(outcome, unstaged, summary);
        }
        let patterns = std::mem::take(&mut unstaged.patterns);
        self.small_file_rows.extend(patterns.rows().iter().cloned());
        let (staging, files, buckets) = (Arc::clone(&self.staging), Arc::clone(&self.small_files), self.tables.patterns.buckets());
        self.in_flight.spawn(async move {
            let name = patterns.stage(&staging, buckets).await?;
            files.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            Ok(())
        });
        if self.small_file_rows.len() >= STAGED_BATCH_ROWS {
            self.compact_staged().await?;
        }
        Ok(())
    }

    /// Waits for the rows that are being staged, and replaces the small files of paid patterns with one file.
    async fn compact_staged(&mut self) -> Result<(), WriteError> {
        self.wait_for_staging(0).await?;
        let files = std::mem::take(&mut *self.small_files.lock().unwrap_or_else(PoisonError::into_inner));
        let rows = std::mem::take(&mut self.small_file_rows);
        if files.len() > 1 {
            let buckets = self.tables.patterns.buckets();
            let bytes = pool::run(move || encode_patterns(rows, buckets)).await?;
            self.staging.replace(TableName::Patterns, &files, bytes).await?;
        }
        Ok(())
    }

    fn add(&mut self, outcome: Outcome<Pattern>, unstaged: &mut Unstaged, summary: &mut RunSummary) {
        self.outcomes += 1;
        match outcome {
            Ok(pattern) => {
                let row = unstaged.patterns.push(pattern);
                self.patterns += 1;
                summary.stored += 1;
                summary.processed += 1;
                let label = format!("{}/{}", row.category, row.contributing_factor);
                LabelCount::add(&mut self.labels, &label, row.confidence, &row.title, &row.trace_id);
                self.fingerprints.add(row);
            }
            Err(rejection) => {
                summary.count_rejection(&rejection);
                self.failed += u64::from(!matches!(rejection.kind, RejectionKind::Interrupted | RejectionKind::CostLimit));
                unstaged.errors.push(rejection);
            }
        }
    }

    /// Starts to stage all rows, after waiting until few enough batches are being staged.
    async fn stage(&mut self, unstaged: &mut Unstaged) -> Result<(), WriteError> {
        if !unstaged.patterns.is_empty() {
            self.wait_for_staging(STAGING_IN_FLIGHT_MAX - 1).await?;
            let (patterns, staging) = (std::mem::take(&mut unstaged.patterns), Arc::clone(&self.staging));
            let buckets = self.tables.patterns.buckets();
            self.in_flight.spawn(async move { patterns.stage(&staging, buckets).await.map(drop) });
        }
        if !unstaged.errors.is_empty() {
            let (rows, buckets) = (std::mem::take(&mut unstaged.errors), self.tables.errors.buckets());
            let (run_id, staging) = (self.run_id.clone(), Arc::clone(&self.staging));
            self.wait_for_staging(STAGING_IN_FLIGHT_MAX - 1).await?;
            self.in_flight.spawn(async move {
                let bytes = pool::run(move || encode_batch(&columns::errors(&rows, &run_id, buckets)?)).await?;
                Ok(staging.put(TableName::Errors, bytes).await.map(drop)?)
            });
        }
        Ok(())
    }

    /// Waits until at most `in_flight_max` batches are being staged.
    async fn wait_for_staging(&mut self, in_flight_max: usize) -> Result<(), WriteError> {
        while self.in_flight.len() > in_flight_max
            && let Some(staged) = self.in_flight.join_next().await
        {
            staging_result(staged)?;
        }
        Ok(())
    }

    /// Makes the run visible: `patterns` first, then `errors`, `fingerprints` and `runs`, each in one commit. Completes the summary, and returns what
    /// sets failed traces apart.
    ///
    /// `summary.received` was counted by the parser. If it differs from the outcomes that arrived here, an outcome was lost or duplicated, and
    /// nothing is committed. `objects` are hashes of the URIs of objects that were read to their end: older errors that are keyed by a location
    /// in one of them are removed. `exit_reason` is called when all counts are final.
    ///
    /// # Errors
    /// [`WriteError`]; each table is then unchanged or wholly updated.
    pub async fn commit(
        &mut self,
        summary: &mut RunSummary,
        objects: HashSet<u128>,
        exit_reason: &ExitReasonOf<'_>,
    ) -> Result<FingerprintReport, WriteError> {
        let mut outcomes = self.outcomes;
        for (label, count) in self.staging.recovered.claimed() {
            outcomes += count.count;
            self.patterns += count.count;
            summary.stored += count.count;
            summary.processed += count.count;
            let total = self.labels.entry(label).or_insert_with(|| LabelCount { count: 0, confidence_sum: 0.0, ..count.clone() });
            total.count += count.count;
            total.confidence_sum += count.confidence_sum;
        }
        let unchanged = self.reusable.stored.unchanged();
        if outcomes + summary.filtered + unchanged != summary.received {
            return Err(WriteError::OutcomeCountMismatch { received: summary.received, outcomes });
        }
        let versions = self.commit_staged(Some(LastCommit { summary: &mut *summary, objects, exit_reason })).await?;
        versions.fill_in(summary);
        // The run is committed. `maintain` removes what cannot be removed now.
        if let Err(error) = self.staging.finish(summary.status == RunStatus::Complete).await {
            tracing::warn!(%error, "the run is committed, but its staged files cannot be removed");
        }
        Ok(std::mem::take(&mut self.fingerprint_report))
    }

    /// Ends a run that failed: keeps finished work for the next run, and stores the summary as its row in `runs`, if the store permits. If the
    /// commit of the run has begun, a later run completes it, and its row with it.
    pub async fn end_failed(mut self, summary: &mut RunSummary) {
        // Rows that are being staged are finished work too. Their errors are ignored: the failure of the run is reported already.
        while self.in_flight.join_next().await.is_some() {}
        summary.stored = self.patterns_committed;
        // They describe the whole run.
        (summary.failed_traces, summary.by_label, summary.by_fingerprint) = (0, Vec::new(), Vec::new());
        if let Err(error) = self.store_row(summary).await {
            tracing::info!(%error, "the run failed, and its row in runs cannot be stored");
        }
        self.staging.keep_for_next_run().await;
    }

    /// Commits only the row of the run.
    async fn store_row(&mut self, summary: &mut RunSummary) -> Result<(), WriteError> {
        if self.staging.folder.commit_record().await?.is_some() {
            return Ok(());
        }
        let name = self.staging.put(TableName::Runs, encode_batch(&columns::runs(summary)?)?).await?;
        let files = BTreeMap::from([(TableName::Runs.as_str().to_owned(), vec![StagedFile { name, ..StagedFile::default() }])]);
        let record = CommitRecord { part: self.part, files, objects: Vec::new(), resolved_errors: Vec::new() };
        self.staging.folder.begin_commit(&record).await?;
        commit(&mut self.tables, &self.staging.folder, &record, None).await?.fill_in(summary);
        Ok(self.staging.folder.finish_commit(&record).await?)
    }

    /// Commits what is staged. `last` makes it the last commit of the run.
    async fn commit_staged(&mut self, last: Option<LastCommit<'_>>) -> Result<CommittedVersions, WriteError> {
        let is_last = last.is_some();
        if !is_last && self.staging.is_empty() {
            return Ok(CommittedVersions::default());
        }
        let (record, decision) = self.begin_commit(last).await?;
        let committed = commit(&mut self.tables, &self.staging.folder, &record, Some(decision)).await;
        if matches!(committed, Err(WriteError::RecoveredByOther { .. })) {
            // Otherwise every later run would try to complete it. The failure itself is reported by the caller.
            let _ = self.staging.folder.abandon_commit().await;
        }
        let versions = committed?;
        self.patterns_committed = self.patterns.saturating_sub(self.kept_fuller);
        self.progress.commit_finished(self.patterns_committed, is_last);
        self.staging.folder.finish_commit(&record).await?;
        self.part += 1;
        Ok(versions)
    }

    /// Decides which rows are committed and records the decision durably. From here on they will be committed, even if this run is killed.
    ///
    /// Only the last commit removes older errors of the objects that were read. Before it, rejections of those objects may still be in flight,
    /// and the run may be killed.
    async fn begin_commit(&mut self, last: Option<LastCommit<'_>>) -> Result<(CommitRecord, Decision), WriteError> {
        let mut files = self.staging.take_files(last.is_some());
        let patterns = files.entry(TableName::Patterns.as_str().to_owned()).or_default();
        let (decision, kept) = decide(&mut self.tables.patterns, &self.staging.folder, patterns, &self.tables.location).await?;
        self.kept_fuller += kept.count;
        kept.subtract_from(&mut self.labels);
        let recovered_runs = count_staged(&mut self.fingerprints, &self.staging, patterns, &self.tables.location).await?;
        self.recovered_runs.extend(recovered_runs);
        let mut objects_read = Vec::new();
        if let Some(LastCommit { summary, objects, exit_reason }) = last {
            self.finalize_counts(summary)?;
            self.stage_fingerprints(summary).await?;
            summary.by_label = labels_of(&self.labels);
            summary.failed_traces = summary.by_label.iter().filter(|label| !label.is_healthy()).map(|label| label.traces).sum();
            summary.recovered_runs = self.recovered_runs.iter().take(SUMMARY_RECOVERED_RUNS_MAX).cloned().collect();
            summary.exit_reason = exit_reason(summary);
            self.staging.put(TableName::Runs, encode_batch(&columns::runs(summary)?)?).await?;
            files.extend(self.staging.take_files(false));
            objects_read.extend(objects);
        }
        let resolved_errors = self.reusable.stored.resolved_errors();
        let record = CommitRecord { part: self.part, files, objects: objects_read, resolved_errors };
        self.progress.commit_started();
        self.staging.folder.begin_commit(&record).await?;
        Ok((record, decision))
    }

    /// Stages the rows of `fingerprints`: the counts are of the whole run. The summary gets the most frequent ones.
    async fn stage_fingerprints(&mut self, summary: &mut RunSummary) -> Result<(), WriteError> {
        let started_at = chrono::DateTime::parse_from_rfc3339(&summary.started_at).map_or_else(|_| chrono::Utc::now(), Into::into);
        let counted = std::mem::take(&mut self.fingerprints);
        let (run_id, buckets) = (self.run_id.clone(), self.tables.fingerprints.buckets());
        let (bytes, most_frequent, report) = pool::run(move || {
            let (rows, report) = counted.finish(&run_id, started_at.timestamp_micros());
            let bytes = if rows.is_empty() { None } else { Some(encode_batch(&columns::fingerprints(&rows, buckets)?)?) };
            let most_frequent = rows.into_iter().take(SUMMARY_FINGERPRINTS_MAX).map(FingerprintTraces::from).collect();
            Ok::<_, WriteError>((bytes, most_frequent, report))
        })
        .await?;
        summary.by_fingerprint = most_frequent;
        if report.traces_left_out > 0 {
            tracing::warn!(
                traces = report.traces_left_out,
                "the run has more than {FINGERPRINTS_MAX} fingerprints; the traces of further ones are not counted in the table fingerprints"
            );
        }
        self.fingerprint_report = report;
        if let Some(bytes) = bytes {
            self.staging.put(TableName::Fingerprints, bytes).await?;
        }
        Ok(())
    }

    /// Moves patterns that were not committed from `stored` to `unchanged`, and checks that every trace and record has one outcome.
    fn finalize_counts(&self, summary: &mut RunSummary) -> Result<(), WriteError> {
        let stored = &self.reusable.stored;
        summary.stored = summary.stored.saturating_sub(self.kept_fuller);
        summary.unchanged = stored.unchanged() + self.kept_fuller;
        summary.kept_fuller = stored.kept_fuller() + self.kept_fuller;
        if summary.accounted_for() != summary.received {
            return Err(WriteError::OutcomeCountMismatch { received: summary.received, outcomes: summary.accounted_for() });
        }
        Ok(())
    }
}

/// Counts the patterns that were recovered from interrupted runs, and takes out those that are not committed because the table has fuller ones.
/// `files` are the staged patterns of one commit. Returns the interrupted runs.
async fn count_staged(
    fingerprints: &mut RunFingerprints,
    staging: &Staging,
    files: &[StagedFile],
    location: &str,
) -> Result<BTreeSet<String>, WriteError> {
    let mut recovered_runs = BTreeSet::new();
    let (recovered, own): (Vec<&StagedFile>, Vec<&StagedFile>) = files.iter().partition(|file| file.is_recovered());
    let files: Vec<StagedFile> =
        recovered.into_iter().chain(own.into_iter().filter(|file| !file.kept_fuller_rows.is_empty())).cloned().collect();
    if files.is_empty() {
        return Ok(recovered_runs);
    }
    for (file, object) in open_incoming(&staging.folder, &files, location).await?.files() {
        let is_in = |rows: &[usize], number: usize| rows.binary_search(&number).is_ok();
        let counted = for_each_pattern(object, |number, pattern, run_id| {
            if !file.is_recovered() {
                if is_in(&file.kept_fuller_rows, number) {
                    fingerprints.remove_pattern(pattern);
                }
            } else if !is_in(&file.unused_rows, number) && !is_in(&file.kept_fuller_rows, number) {
                fingerprints.add_pattern(pattern);
                if !recovered_runs.contains(run_id) {
                    recovered_runs.insert(run_id.to_owned());
                }
            }
        });
        counted.await.map_err(|error| table_error(TableName::Patterns, location, &error))?;
    }
    Ok(recovered_runs)
}

/// The result of a task that stages rows.
fn staging_result(staged: Result<Result<(), WriteError>, JoinError>) -> Result<(), WriteError> {
    pool::join_result(staged).unwrap_or(Err(WriteError::Stopped))
}

#[cfg(test)]
mod commit_tests;
#[cfg(test)]
mod staging_tests;
