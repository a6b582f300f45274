//! Outcomes -> the Delta tables `patterns`, `errors`, `runs`.
//!
//! While a run goes on, finished outcomes are staged: durable, and seen by no reader (`staging`). At its end they are brought into data
//! files (`table_writer`), and one commit per table makes them visible and removes the rows that they supersede (`upsert`). So memory does
//! not grow with the number of traces, a reader sees a run wholly or not, and what a killed run had finished is there for the next one.

mod columns;
mod commit;
mod data_file;
mod lease;
mod maintain;
mod progress;
mod staging;
mod stored;
mod table;
mod table_writer;
mod unsaved;
mod upsert;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deltalake_core::DeltaTableError;
use futures::stream::Fuse;
use futures::{FutureExt, StreamExt};
use tokio::task::{JoinError, JoinSet};
use url::Url;

pub use self::columns::{errors_schema, patterns_schema, runs_schema};
use self::commit::{Decided, commit, decide, roll_forward};
use self::data_file::DataFile;
pub use self::maintain::{Maintained, MaintainedTable, maintain};
pub use self::progress::WriteProgress;
pub use self::staging::StagingError;
use self::staging::{CommitRecord, Other, Staging, TakenUp};
use self::stored::Stored;
use self::table::Table;
pub use self::table::{AsOf, TableName, open_existing, said};
use self::unsaved::Unsaved;
use self::upsert::Extent;
use crate::limits::{ROW_GROUP_ROWS_COPIED_MIN, SHUTDOWN_GRACE_PERIOD, STAGE_INTERVAL, STAGED_BATCH_ROWS, STAGING_IN_FLIGHT_MAX};
use crate::model::{ExitReason, Outcome, OutcomeStream, PatternRow, Rejection, RunStatus, RunSummary, UnusableAnswer};
use crate::runtime::{Shutdown, pool};
use crate::validate::Pattern;

/// Why the tables could not be written. Nothing of the run is visible then, or all of it will be.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Delta or the store below it.
    #[error(
        "cannot write the table {table} below {location}: {reason}\n  hint: check that the place exists or can be made, that you may write there and that there is room; the next run over the same input takes up what is finished"
    )]
    Table {
        /// Which table.
        table: &'static str,
        /// The output location.
        location: String,
        /// What was said.
        reason: String,
    },
    /// Finished work cannot be kept or found.
    #[error("{0}\n  hint: check that you may write at the output and that there is room")]
    Staging(#[from] StagingError),
    /// Rows could not be brought into columns, a defect.
    #[error("cannot encode rows: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    /// The staged files of this run are gone.
    #[error(
        "the finished work of this run is gone from {location}/_staging: another run took it for dead and took it up\n  hint: nothing is lost; run it again where the other run did not end well"
    )]
    TakenOver {
        /// The output location.
        location: String,
    },
    /// The run was stopped while rows were staged.
    #[error("cannot keep finished work: the run was stopped\n  hint: run it again")]
    Stopped,
    /// Something was lost or doubled on the way: nothing is committed.
    #[error(
        "{received} traces came in and {outcomes} outcomes came out; nothing was written\n  hint: this is a bug in failsift, please report it"
    )]
    Conservation {
        /// Counted where traces are made.
        received: u64,
        /// Counted here.
        outcomes: u64,
    },
}

/// The three tables of an output location.
#[derive(Debug)]
struct Tables {
    location: String,
    patterns: Table,
    errors: Table,
    runs: Table,
}

impl Tables {
    /// Opens the tables, and creates those that do not exist.
    async fn open(location: &Url) -> Result<Self, WriteError> {
        let shown = location.to_string();
        let at = |table: TableName| {
            let shown = shown.clone();
            move |error: DeltaTableError| wrong(table, &shown, &error)
        };
        Ok(Self {
            patterns: Table::open(location, TableName::Patterns).await.map_err(at(TableName::Patterns))?,
            errors: Table::open(location, TableName::Errors).await.map_err(at(TableName::Errors))?,
            runs: Table::open(location, TableName::Runs).await.map_err(at(TableName::Runs))?,
            location: shown,
        })
    }

    fn get(&mut self, name: TableName) -> &mut Table {
        match name {
            TableName::Patterns => &mut self.patterns,
            TableName::Errors => &mut self.errors,
            TableName::Runs => &mut self.runs,
        }
    }
}

fn wrong(table: TableName, location: &str, error: &DeltaTableError) -> WriteError {
    WriteError::Table { table: table.as_str(), location: location.to_owned(), reason: table::said(error) }
}

/// What a run writes, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOptions {
    /// The same for runs over the same input with the same settings.
    pub job: String,
    /// Whether work that a killed run of the same job had finished is left alone.
    pub fresh: bool,
    /// Makes finished outcomes visible this often; at the end only where it is nothing.
    pub commit_every: Option<Duration>,
    /// The digest of settings with which a pattern in the table is as good as a new one; nothing where all are made anew.
    pub reuse: Option<String>,
}

/// Traces that need no analysis, because their pattern is there already.
#[derive(Debug, Default)]
pub struct Finished {
    /// Of a killed run of the same job; the writer commits it.
    taken_up: Arc<TakenUp>,
    /// In the table.
    stored: Stored,
}

impl Finished {
    /// Whether there is nothing to ask for.
    pub fn is_empty(&self) -> bool {
        self.taken_up.is_empty() && self.stored.is_empty()
    }

    /// Whether the pattern of a trace is there. `digest` is that of the redacted trace. What is asked for is counted, so each trace asks once.
    ///
    /// Also where it is that of a fuller piece of the trace, read from another object than `source_uri`: a smaller one would not replace it.
    pub fn has(&self, trace_id: &str, digest: &str, spans: usize, source_uri: &str) -> bool {
        self.taken_up.has(trace_id, digest) || self.stored.has(trace_id, digest, Extent::new(spans as u64, source_uri))
    }

    /// What was wrong with the answer that was paid for this trace with the same settings; asking again would cost the same and give no more.
    pub fn unusable(&self, trace_id: &str, digest: &str) -> Option<UnusableAnswer> {
        self.taken_up.unusable(trace_id, digest).or_else(|| self.stored.unusable(trace_id, digest))
    }
}

/// What a run over an output location with these settings need not analyse again. Nothing is made or changed there.
///
/// # Errors
/// [`WriteError`] where the tables that are there cannot be read.
pub async fn finished_in(output: &Url, settings_digest: &str) -> Result<Arc<Finished>, WriteError> {
    let shown = output.to_string();
    let mut tables = Vec::new();
    for name in [TableName::Patterns, TableName::Errors] {
        let found = open_existing(output, name, None).await.map_err(|error| wrong(name, &shown, &error))?;
        tables.extend(found.map(|delta| Table { delta, name }));
    }
    let stored = match tables.as_slice() {
        [patterns, errors] => {
            Stored::find(patterns, errors, settings_digest).await.map_err(|error| wrong(TableName::Patterns, &shown, &error))?
        }
        _ => Stored::default(),
    };
    Ok(Arc::new(Finished { taken_up: Arc::default(), stored }))
}

/// How often one label was stored, with an example.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelCount {
    /// Patterns with this label.
    pub count: u64,
    /// Sum of their confidences.
    pub confidence_sum: f64,
    /// The first of them.
    pub title: String,
    /// Its trace.
    pub trace_id: String,
}

impl LabelCount {
    fn add(labels: &mut BTreeMap<String, Self>, label: &str, confidence: f64, title: &str, trace_id: &str) {
        let entry = labels.entry(label.to_owned()).or_insert_with(|| Self {
            count: 0,
            confidence_sum: 0.0,
            title: title.to_owned(),
            trace_id: trace_id.to_owned(),
        });
        entry.count += 1;
        entry.confidence_sum += confidence;
    }
}

/// Tells of a summary with all its counts why the exit code is not 0.
pub type ExitReasonOf<'a> = dyn Fn(&RunSummary) -> Option<ExitReason> + Send + Sync + 'a;

/// What the last commit of a run brings beside its rows.
struct LastCommit<'a> {
    summary: &'a mut RunSummary,
    /// Keys of the objects that were read to their end.
    objects: HashSet<u128>,
    exit_reason: &'a ExitReasonOf<'a>,
}

/// The writer of one run.
#[derive(Debug)]
pub struct Writer {
    tables: Tables,
    staging: Arc<Staging>,
    /// Rows that are being encoded and staged.
    in_flight: JoinSet<Result<(), WriteError>>,
    finished: Arc<Finished>,
    /// Rows of paid patterns that are staged in many small files, and these files.
    scattered: Vec<PatternRow>,
    scattered_files: Arc<Mutex<Vec<String>>>,
    options: WriteOptions,
    run_id: String,
    /// Commits that were made before the last one.
    part: i64,
    /// Patterns that came, and that were taken up.
    patterns: u64,
    /// Those of them that were left out of commits because the table has fuller ones.
    kept_fuller: u64,
    progress: Arc<WriteProgress>,
    /// What was stored, by category and factor.
    labels: BTreeMap<String, LabelCount>,
    outcomes: u64,
}

impl Writer {
    /// Opens the tables of an output location, makes those that do not exist, ends what a run that was killed in its commit began, and
    /// takes up what a killed run of the same job had finished.
    ///
    /// # Errors
    /// [`WriteError`] where the output cannot be used.
    pub async fn begin(output: &Url, run_id: &str, options: WriteOptions, progress: Arc<WriteProgress>) -> Result<Self, WriteError> {
        let mut tables = Tables::open(output).await?;
        let (mut staging, others) = Staging::begin(output, run_id, &options.job).await?;
        let same_job = recover(&mut tables, others, &options.job, &progress).await;
        if options.fresh {
            for other in same_job {
                other.folder.remove().await?;
            }
        } else {
            staging.take_up(&same_job).await?;
        }
        let stored = match &options.reuse {
            Some(settings) => {
                let found = Stored::find(&tables.patterns, &tables.errors, settings).await;
                found.map_err(|error| wrong(TableName::Patterns, &tables.location, &error))?
            }
            None => Stored::default(),
        };
        let finished = Arc::new(Finished { taken_up: Arc::clone(&staging.taken), stored });
        Ok(Self {
            tables,
            staging: Arc::new(staging),
            finished,
            scattered: Vec::new(),
            scattered_files: Arc::default(),
            in_flight: JoinSet::new(),
            options,
            run_id: run_id.to_owned(),
            part: 0,
            patterns: 0,
            kept_fuller: 0,
            progress,
            labels: BTreeMap::new(),
            outcomes: 0,
        })
    }

    /// Traces whose pattern is there already.
    pub fn finished(&self) -> Arc<Finished> {
        Arc::clone(&self.finished)
    }

    /// Takes every outcome, counts it in `summary`, and stages its row. When a shutdown is requested, what is finished is committed at once, because
    /// the run may not come to its end; then the others have [`SHUTDOWN_GRACE_PERIOD`] until the stop is over.
    ///
    /// # Errors
    /// [`WriteError`] where the store refuses; what is finished stays for the next run.
    pub async fn outcomes(
        &mut self,
        outcomes: OutcomeStream<Pattern>,
        summary: &mut RunSummary,
        shutdown: &Shutdown,
    ) -> Result<(), WriteError> {
        let mut outcomes = outcomes.fuse();
        let mut waiting = Waiting::default();
        let mut staged_at = Instant::now();
        let mut committed_at = Instant::now();
        let mut stopping_at: Option<Instant> = None;
        loop {
            let interval = STAGE_INTERVAL.saturating_sub(staged_at.elapsed());
            let interval = stopping_at.map_or(interval, |since| interval.min(SHUTDOWN_GRACE_PERIOD.saturating_sub(since.elapsed())));
            tokio::select! {
                outcome = outcomes.next() => match outcome {
                    Some(outcome) => self.take(outcome, &mut waiting, summary),
                    None => break,
                },
                Some(staged) = self.in_flight.join_next(), if !self.in_flight.is_empty() => ended(staged)?,
                () = shutdown.requested().cancelled(), if stopping_at.is_none() => {}
                () = tokio::time::sleep(interval), if !shutdown.is_grace_ended() => {}
            }
            let commits_now = shutdown.is_requested() && stopping_at.is_none();
            if stopping_at.is_some_and(|since| since.elapsed() >= SHUTDOWN_GRACE_PERIOD) {
                shutdown.grace_ended().cancel();
            }
            if waiting.patterns.is_paid() {
                self.stage_paid(&mut waiting, &mut outcomes, summary).await?;
            }
            if waiting.len() >= STAGED_BATCH_ROWS || staged_at.elapsed() >= STAGE_INTERVAL {
                self.stage(&mut waiting).await?;
                staged_at = Instant::now();
            }
            if commits_now || self.options.commit_every.is_some_and(|every| committed_at.elapsed() >= every) {
                self.stage(&mut waiting).await?;
                self.gather().await?;
                self.commit_staged(None).await?;
                committed_at = Instant::now();
                stopping_at = commits_now.then_some(committed_at).or(stopping_at);
            }
        }
        self.stage(&mut waiting).await?;
        self.gather().await
    }

    /// Begins to stage patterns for which somebody paid at once, unless enough others are being staged: those that come meanwhile go together.
    async fn stage_paid(
        &mut self,
        waiting: &mut Waiting,
        outcomes: &mut Fuse<OutcomeStream<Pattern>>,
        summary: &mut RunSummary,
    ) -> Result<(), WriteError> {
        /// The first answer of many that come at the same time is staged alone, so the others do not wait for it.
        const AT_ONCE_MAX: usize = 2;
        if self.in_flight.len() >= AT_ONCE_MAX {
            return Ok(());
        }
        // What is there already goes along.
        while let Some(Some(outcome)) = outcomes.next().now_or_never() {
            self.take(outcome, waiting, summary);
        }
        let patterns = std::mem::take(&mut waiting.patterns);
        self.scattered.extend(patterns.rows().iter().cloned());
        let (staging, files, buckets) = (Arc::clone(&self.staging), Arc::clone(&self.scattered_files), self.tables.patterns.buckets());
        self.in_flight.spawn(async move {
            let name = patterns.save(&staging, buckets).await?;
            files.lock().unwrap_or_else(PoisonError::into_inner).push(name);
            Ok(())
        });
        if self.scattered.len() >= STAGED_BATCH_ROWS {
            self.gather().await?;
        }
        Ok(())
    }

    /// Waits for what is being staged, and brings small files of paid patterns together into one.
    async fn gather(&mut self) -> Result<(), WriteError> {
        self.staged(0).await?;
        let files = std::mem::take(&mut *self.scattered_files.lock().unwrap_or_else(PoisonError::into_inner));
        let rows = std::mem::take(&mut self.scattered);
        if files.len() > 1 {
            let buckets = self.tables.patterns.buckets();
            let bytes = pool::run(move || encode_patterns(rows, buckets)).await?;
            self.staging.replace(TableName::Patterns, &files, bytes).await?;
        }
        Ok(())
    }

    fn take(&mut self, outcome: Outcome<Pattern>, waiting: &mut Waiting, summary: &mut RunSummary) {
        self.outcomes += 1;
        match outcome {
            Ok(pattern) => {
                let row = waiting.patterns.push(pattern);
                self.patterns += 1;
                summary.stored += 1;
                summary.processed += 1;
                let label = format!("{}/{}", row.category, row.contributing_factor);
                LabelCount::add(&mut self.labels, &label, row.confidence, &row.title, &row.trace_id);
            }
            Err(rejection) => {
                summary.count_rejection(&rejection);
                waiting.errors.push(rejection);
            }
        }
    }

    /// Begins to stage what waits, as soon as there is room.
    async fn stage(&mut self, waiting: &mut Waiting) -> Result<(), WriteError> {
        if !waiting.patterns.is_empty() {
            self.staged(STAGING_IN_FLIGHT_MAX - 1).await?;
            let (patterns, staging) = (std::mem::take(&mut waiting.patterns), Arc::clone(&self.staging));
            let buckets = self.tables.patterns.buckets();
            self.in_flight.spawn(async move { patterns.save(&staging, buckets).await.map(drop) });
        }
        if !waiting.errors.is_empty() {
            let (rows, buckets) = (std::mem::take(&mut waiting.errors), self.tables.errors.buckets());
            let (run_id, staging) = (self.run_id.clone(), Arc::clone(&self.staging));
            self.staged(STAGING_IN_FLIGHT_MAX - 1).await?;
            self.in_flight.spawn(async move {
                let bytes = pool::run(move || encode(&columns::errors(&rows, &run_id, buckets)?)).await?;
                Ok(staging.put(TableName::Errors, bytes).await.map(drop)?)
            });
        }
        Ok(())
    }

    /// Waits until no more than `left` are being staged.
    async fn staged(&mut self, left: usize) -> Result<(), WriteError> {
        while self.in_flight.len() > left
            && let Some(staged) = self.in_flight.join_next().await
        {
            ended(staged)?;
        }
        Ok(())
    }

    /// Makes a run visible: `patterns` first, then `errors`, then `runs`, each in one commit. Gives what was stored, by label.
    ///
    /// `summary.received` is what the parser counted: where it differs from the outcomes that came here, something was lost, and nothing is
    /// committed. `objects` are the keys of those that were read to their end: older errors that are keyed by a place in one of them go.
    /// `exit_reason` is asked once all counts are known.
    ///
    /// # Errors
    /// [`WriteError`]; a table is then as it was before or wholly updated.
    pub async fn commit(
        mut self,
        summary: &mut RunSummary,
        objects: HashSet<u128>,
        exit_reason: &ExitReasonOf<'_>,
    ) -> Result<BTreeMap<String, LabelCount>, WriteError> {
        let mut outcomes = self.outcomes;
        for (label, count) in self.staging.taken.used() {
            outcomes += count.count;
            self.patterns += count.count;
            summary.stored += count.count;
            summary.processed += count.count;
            let total = self.labels.entry(label).or_insert_with(|| LabelCount { count: 0, confidence_sum: 0.0, ..count.clone() });
            total.count += count.count;
            total.confidence_sum += count.confidence_sum;
        }
        let unchanged = self.finished.stored.unchanged();
        if outcomes + summary.filtered + unchanged != summary.received {
            return Err(WriteError::Conservation { received: summary.received, outcomes });
        }
        self.commit_staged(Some(LastCommit { summary: &mut *summary, objects, exit_reason })).await?;
        // The run is committed; what cannot be removed now is removed by `maintain`.
        if let Err(error) = self.staging.finish(summary.status == RunStatus::Complete).await {
            tracing::warn!(%error, "the run is committed, and its staged work stays behind");
        }
        Ok(self.labels)
    }

    /// Leaves finished work to the next run, after a failure.
    pub async fn leave(mut self) {
        // What is being staged is finished work too; why the run failed is said already.
        while self.in_flight.join_next().await.is_some() {}
        self.staging.leave().await;
    }

    /// Commits what is staged; with the summary and the objects that were read comes the last commit of the run.
    async fn commit_staged(&mut self, last: Option<LastCommit<'_>>) -> Result<(), WriteError> {
        let is_last = last.is_some();
        if !is_last && self.staging.is_empty() {
            return Ok(());
        }
        let (record, decided) = self.begin_commit(last).await?;
        let committed = commit(&mut self.tables, &self.staging.folder, &record, Some(decided)).await;
        if matches!(committed, Err(WriteError::TakenOver { .. })) {
            // Why the run fails is said; the record would be in the way of others for ever.
            let _ = self.staging.folder.give_up_commit().await;
        }
        committed?;
        self.progress.ended(self.patterns.saturating_sub(self.kept_fuller), is_last);
        self.staging.folder.end_commit(&record).await?;
        self.part += 1;
        Ok(())
    }

    /// Decides what comes in and says so durably: from here on it does, whatever becomes of this run.
    ///
    /// Only with the last commit go older errors of the objects that were read. Before, what the run has to say about them may still be under
    /// way, and it may be killed.
    async fn begin_commit(&mut self, last: Option<LastCommit<'_>>) -> Result<(CommitRecord, Decided), WriteError> {
        let mut files = self.staging.files(last.is_some());
        let patterns = files.entry(TableName::Patterns.as_str().to_owned()).or_default();
        let (decided, kept) = decide(&mut self.tables.patterns, &self.staging.folder, patterns, &self.tables.location).await?;
        self.kept_fuller += kept.count;
        kept.take_out_of(&mut self.labels);
        let mut objects_read = Vec::new();
        if let Some(LastCommit { summary, objects, exit_reason }) = last {
            self.settle(summary)?;
            summary.exit_reason = exit_reason(summary);
            self.staging.put(TableName::Runs, encode(&columns::runs(summary)?)?).await?;
            files.extend(self.staging.files(false));
            objects_read.extend(objects);
        }
        let record = CommitRecord { part: self.part, files, objects: objects_read, settled: self.finished.stored.settled() };
        self.progress.begun();
        self.staging.folder.begin_commit(&record).await?;
        Ok((record, decided))
    }

    /// Counts patterns of which the table has a fuller one as unchanged, and checks that everything has its outcome.
    fn settle(&self, summary: &mut RunSummary) -> Result<(), WriteError> {
        let before_analysis = &self.finished.stored;
        summary.stored = summary.stored.saturating_sub(self.kept_fuller);
        summary.unchanged = before_analysis.unchanged() + self.kept_fuller;
        summary.kept_fuller = before_analysis.kept_fuller() + self.kept_fuller;
        if summary.accounted_for() != summary.received {
            return Err(WriteError::Conservation { received: summary.received, outcomes: summary.accounted_for() });
        }
        Ok(())
    }
}

/// How the staging of some rows ended.
fn ended(staged: Result<Result<(), WriteError>, JoinError>) -> Result<(), WriteError> {
    pool::join_result(staged).unwrap_or(Err(WriteError::Stopped))
}

/// Ends the commits that dead runs began, and gives those of this job, whose work can be taken up.
///
/// A dead run whose commit cannot be ended now is left wholly alone: its rows stand nowhere else. What stands in its way may be nothing to
/// this run, which otherwise meets it itself.
async fn recover(tables: &mut Tables, others: Vec<Other>, job: &str, progress: &WriteProgress) -> Vec<Other> {
    let mut same_job = Vec::new();
    for other in others.into_iter().filter(|other| other.dead) {
        progress.recovering();
        match roll_forward(tables, &other.folder).await {
            Ok(_) if other.job == job => same_job.push(other),
            Ok(_) => {}
            Err(error) => {
                let run_id = other.folder.run_id;
                tracing::warn!(
                    "the commit that run {run_id} was killed in cannot be ended now; its finished work stays in _staging/{run_id}, and the next run or `failsift maintain` tries again: {error}"
                );
            }
        }
    }
    progress.recovered();
    same_job
}

/// Outcomes that are not staged yet.
#[derive(Debug, Default)]
struct Waiting {
    patterns: Unsaved,
    errors: Vec<Rejection>,
}

impl Waiting {
    fn len(&self) -> usize {
        self.patterns.len() + self.errors.len()
    }
}

/// Why rows are no Parquet; a defect.
fn defect(error: &parquet::errors::ParquetError) -> WriteError {
    WriteError::Encode(arrow::error::ArrowError::ParquetError(error.to_string()))
}

/// Patterns as a Parquet file in which each bucket has row groups of its own where it has enough rows, so that a commit can copy them.
fn encode_patterns(rows: Vec<PatternRow>, buckets: i32) -> Result<Vec<u8>, WriteError> {
    let mut by_bucket: BTreeMap<i32, Vec<PatternRow>> = BTreeMap::new();
    for row in rows {
        by_bucket.entry(upsert::bucket(&row.trace_id, buckets)).or_default().push(row);
    }
    let mut file = DataFile::new(patterns_schema()).map_err(|error| defect(&error))?;
    let mut few = Vec::new();
    for (bucket, rows) in by_bucket {
        let batch = columns::patterns(&rows, bucket)?;
        if rows.len() < ROW_GROUP_ROWS_COPIED_MIN {
            few.push(batch);
            continue;
        }
        file.write(batch).and_then(|()| file.end_row_group()).map_err(|error| defect(&error))?;
    }
    for batch in few {
        file.write(batch).map_err(|error| defect(&error))?;
    }
    Ok(file.finish().map_err(|error| defect(&error))?.0)
}

fn encode(batch: &arrow::array::RecordBatch) -> Result<Vec<u8>, WriteError> {
    let mut file = DataFile::new(batch.schema()).map_err(|error| defect(&error))?;
    file.write(batch.clone()).map_err(|error| defect(&error))?;
    Ok(file.finish().map_err(|error| defect(&error))?.0)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::model::Draft;
    use crate::runtime::{ConcurrencyPermit, Permitted};
    use crate::validate::{self, PatternSchema};

    /// Notes how many files of patterns are staged when it is given back.
    struct Place {
        output: PathBuf,
        staged: Arc<Mutex<Vec<usize>>>,
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let runs = std::fs::read_dir(self.output.join("_staging")).into_iter().flatten().flatten();
            let files = runs.flat_map(|run| std::fs::read_dir(run.path())).flatten().flatten();
            let patterns = files.filter(|file| file.file_name().to_string_lossy().starts_with("patterns-")).count();
            self.staged.lock().unwrap().push(patterns);
        }
    }

    #[tokio::test]
    async fn a_place_is_free_only_once_its_pattern_is_durable() {
        let output = tempfile::tempdir().unwrap();
        let staged = Arc::new(Mutex::new(Vec::new()));
        let drafts: Vec<_> = (0..6)
            .map(|number| {
                let place = Place { output: output.path().to_owned(), staged: Arc::clone(&staged) };
                let item = Draft { trace_id: format!("t{number}"), ..Draft::sample("It failed.") };
                Ok(Permitted { item, permit: ConcurrencyPermit::holding(place) })
            })
            .collect();
        let patterns = validate::patterns(futures::stream::iter(drafts).boxed(), PatternSchema::new("a-run").unwrap());
        let location = crate::store::table_url(output.path().to_str().unwrap()).unwrap();
        let options = WriteOptions { job: "a-job".into(), fresh: true, commit_every: None, reuse: None };
        let mut writer = Writer::begin(&location, "a-run", options, Arc::default()).await.unwrap();
        let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
        writer.outcomes(patterns, &mut summary, &Shutdown::default()).await.unwrap();
        let staged = staged.lock().unwrap();
        assert!(staged.len() == 6 && staged.iter().all(|files| *files > 0), "{staged:?}");
    }

    /// What is known of the answer for a trace by a run of this job that looks for those of these settings in the table.
    async fn unusable(output: &Url, run_id: &str, reuse: Option<&str>) -> Option<UnusableAnswer> {
        let options = WriteOptions { job: "a-job".into(), fresh: false, commit_every: None, reuse: reuse.map(str::to_owned) };
        let writer = Writer::begin(output, run_id, options, Arc::default()).await.unwrap();
        let finished = writer.finished();
        assert_eq!(finished.unusable("t1", "another content"), None);
        let found = finished.unusable("t1", "content");
        writer.staging.die("another-job").await;
        found
    }

    #[tokio::test]
    async fn an_answer_that_could_not_be_used_is_known_after_a_commit_and_after_a_kill() {
        use crate::model::{PaidAnswer, RejectionKind, Stage};
        for killed in [true, false] {
            let folder = tempfile::tempdir().unwrap();
            let output = Url::from_directory_path(folder.path()).unwrap();
            let options = WriteOptions { job: "a-job".into(), fresh: false, commit_every: None, reuse: None };
            let mut writer = Writer::begin(&output, "a-run", options, Arc::default()).await.unwrap();
            let answered = PaidAnswer { content_digest: "content".into(), settings_digest: "settings".into() };
            let rejection = Rejection::for_trace("t1", "a.jsonl", Stage::Analyze, RejectionKind::AnswerOffSchema, "title must be a string");
            let rejection = Rejection { paid_answer: Some(Box::new(answered)), ..rejection };
            let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
            summary.received = 1;
            writer.outcomes(futures::stream::iter([Err(rejection)]).boxed(), &mut summary, &Shutdown::default()).await.unwrap();
            if killed {
                writer.staging.die("a-job").await;
            } else {
                writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
            }
            let wanted = Some(UnusableAnswer { kind: RejectionKind::AnswerOffSchema, reason: "title must be a string".into() });
            if !killed {
                assert_eq!(unusable(&output, "b-run", Some("other settings")).await, None);
            }
            assert_eq!(unusable(&output, "c-run", Some("settings")).await, wanted, "killed: {killed}");
        }
    }

    #[tokio::test]
    async fn a_place_stays_taken_whichever_way_its_pattern_is_staged() {
        let output = tempfile::tempdir().unwrap();
        let staged = Arc::new(Mutex::new(Vec::new()));
        let place = Place { output: output.path().to_owned(), staged: Arc::clone(&staged) };
        let draft = Permitted { item: Draft::sample("It failed."), permit: ConcurrencyPermit::holding(place) };
        let mut patterns = validate::patterns(futures::stream::iter([Ok(draft)]).boxed(), PatternSchema::new("a-run").unwrap());
        let location = crate::store::table_url(output.path().to_str().unwrap()).unwrap();
        let options = WriteOptions { job: "a-job".into(), fresh: true, commit_every: None, reuse: None };
        let mut writer = Writer::begin(&location, "a-run", options, Arc::default()).await.unwrap();
        let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
        let mut waiting = Waiting::default();
        writer.take(patterns.next().await.unwrap(), &mut waiting, &mut summary);
        // As after an interval or before a commit, and not because somebody paid.
        writer.stage(&mut waiting).await.unwrap();
        drop(waiting);
        assert!(staged.lock().unwrap().is_empty(), "nothing is durable yet");
        writer.staged(0).await.unwrap();
        assert_eq!(*staged.lock().unwrap(), [1]);
    }
}
