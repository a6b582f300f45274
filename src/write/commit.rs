//! The one way into the tables: from a staging folder. A normal end, a part (`--commit-every`) and the end of what a killed run began are
//! the same function.
//!
//! Several runs may end the commit of the same dead run at once. Each table takes it once, by the mark of the run; whoever is through with
//! all tables removes `commit.json` first and what it names after it. So a staged file that is gone says that the commit is ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, Float64Array};
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::StreamExt;

use super::staging::{CommitRecord, Folder, StagedFile, text_column};
use super::table::{Table, TableName};
use super::table_writer::{Incoming, columns_of};
use super::upsert::{self, Extent, LookedAt, Mark, Superseded};
use super::{LabelCount, Tables, WriteError, wrong};
use crate::limits::STORE_REQUESTS_IN_FLIGHT_MAX;
use crate::model::key_hash;
use crate::store::Object;

/// Ends the commit that a dead run began, if it began one; says whether. Others may be doing the same.
pub(super) async fn roll_forward(tables: &mut Tables, folder: &Folder) -> Result<bool, WriteError> {
    let Some(record) = folder.commit_record().await? else { return Ok(false) };
    tracing::info!(run_id = folder.run_id, "ending the commit of a run that was killed in it");
    commit(tables, folder, &record, None).await?;
    folder.end_commit(&record).await?;
    Ok(true)
}

/// Brings the staged files of a commit into the tables. What is in a table already is not repeated.
pub(super) async fn commit(
    tables: &mut Tables,
    folder: &Folder,
    record: &CommitRecord,
    decided: Option<Decided>,
) -> Result<(), WriteError> {
    let brought = bring(tables, folder, record, decided).await;
    // Another run that took this one for dead, or ends the same commit, may be through with it and have removed the files.
    if brought.is_err() && is_ended(tables, folder, record).await.unwrap_or(false) {
        return Ok(());
    }
    brought
}

/// Whether somebody has ended a commit: its record is gone, and each table has it.
async fn is_ended(tables: &mut Tables, folder: &Folder, record: &CommitRecord) -> Result<bool, WriteError> {
    if folder.is_committing(record).await? {
        return Ok(false);
    }
    let (location, mark) = (tables.location.clone(), mark(folder, record));
    for name in TableName::ALL.into_iter().filter(|name| !record.files_of(*name).is_empty()) {
        let at = |error: DeltaTableError| wrong(name, &location, &error);
        let table = tables.get(name);
        table.delta.update_state().await.map_err(at)?;
        if !mark.is_in(table).await.map_err(at)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn mark(folder: &Folder, record: &CommitRecord) -> Mark {
    Mark { run_id: folder.run_id.clone(), part: record.part }
}

async fn bring(tables: &mut Tables, folder: &Folder, record: &CommitRecord, decided: Option<Decided>) -> Result<(), WriteError> {
    let location = tables.location.clone();
    let mark = mark(folder, record);
    let mut decided = decided;
    let mut superseded: HashMap<u128, Extent> = HashMap::new();
    for name in TableName::ALL {
        let at = |error: DeltaTableError| wrong(name, &location, &error);
        let incoming = incoming(name, folder, record.files_of(name), &location).await?;
        let Decided { keys, mut looked_at } = match decided.take() {
            Some(decided) => decided,
            None => Decided { keys: keys_of(name, &incoming).await.map_err(at)?, looked_at: LookedAt::new() },
        };
        superseded.extend(keys.coming);
        if name == TableName::Errors {
            superseded.extend(record.settled.iter().map(|key| (*key, Extent::ANY)));
        }
        let objects = if name == TableName::Errors { record.objects.iter().copied().collect() } else { HashSet::new() };
        let keys_now = if name == TableName::Runs { HashMap::new() } else { std::mem::take(&mut superseded) };
        let replaced = Arc::new(Superseded { keys: keys_now, objects, run_id: mark.run_id.clone() });
        upsert::commit(tables.get(name), &incoming, &replaced, &mark, &mut looked_at).await.map_err(at)?;
        // A trace that now succeeds leaves `errors` too, also where a fuller pattern of it stays; one that fails replaces its row there and
        // keeps its last good pattern. The keys are many, so they are handed on and not copied.
        superseded = Arc::try_unwrap(replaced).map_or_else(|shared| shared.keys.clone(), |replaced| replaced.keys);
        superseded.extend(keys.smaller.into_iter().map(|key| (key, Extent::ANY)));
    }
    Ok(())
}

async fn incoming<'a>(name: TableName, folder: &Folder, files: &'a [StagedFile], location: &str) -> Result<Incoming<'a>, WriteError> {
    let found = folder.objects(files).await?;
    Ok(Incoming::new(name, found.ok_or_else(|| WriteError::TakenOver { location: location.to_owned() })?))
}

/// Keys of staged rows.
#[derive(Debug, Default)]
struct Keys {
    coming: HashMap<u128, Extent>,
    /// Of rows that do not come in, because a fuller one is there.
    smaller: Vec<u128>,
}

async fn keys_of(name: TableName, incoming: &Incoming<'_>) -> DeltaResult<Keys> {
    let mut keys = Keys::default();
    if name == TableName::Runs {
        return Ok(keys);
    }
    let read = futures::stream::iter(incoming.files()).map(|(file, object)| keys_of_file(name, file, object));
    let mut read = std::pin::pin!(read.buffer_unordered(STORE_REQUESTS_IN_FLIGHT_MAX));
    while let Some(of_file) = read.next().await {
        let of_file = of_file?;
        keys.coming.extend(of_file.coming);
        keys.smaller.extend(of_file.smaller);
    }
    Ok(keys)
}

async fn keys_of_file(name: TableName, file: &StagedFile, object: &Arc<Object>) -> DeltaResult<Keys> {
    let mut keys = Keys::default();
    let (mut dropped, mut smaller) = (numbers(&file.dropped), numbers(&file.smaller));
    let mut row = 0;
    upsert::each_key(name, object, |found| {
        let key = key_hash(found.reference);
        if dropped.next_if_eq(&row).is_some() {
        } else if smaller.next_if_eq(&row).is_some() {
            keys.smaller.push(key);
        } else {
            keys.coming.insert(key, found.extent().unwrap_or(Extent::ANY));
        }
        row += 1;
    })
    .await?;
    Ok(keys)
}

fn numbers(rows: &[usize]) -> std::iter::Peekable<std::iter::Copied<std::slice::Iter<'_, usize>>> {
    rows.iter().copied().peekable()
}

/// Which staged patterns come in, and what was looked at to know it.
#[derive(Debug, Default)]
pub(super) struct Decided {
    keys: Keys,
    looked_at: LookedAt,
}

/// Staged patterns that do not come in, because the table has one of a fuller piece of their trace.
#[derive(Debug, Default)]
pub(super) struct KeptFuller {
    pub(super) count: u64,
    keys: HashSet<u128>,
    /// How many by label, and the sum of their confidences.
    labels: BTreeMap<String, (u64, f64)>,
    /// By label title and trace id of a pattern that does come in.
    examples: HashMap<String, (String, String)>,
}

impl KeptFuller {
    /// Takes them out of what is counted as stored.
    pub(super) fn take_out_of(&self, labels: &mut BTreeMap<String, LabelCount>) {
        for (label, (count, confidence_sum)) in &self.labels {
            let Some(stored) = labels.get_mut(label) else { continue };
            stored.count = stored.count.saturating_sub(*count);
            stored.confidence_sum -= confidence_sum;
            if self.keys.contains(&key_hash(&stored.trace_id))
                && let Some((title, trace_id)) = self.examples.get(label)
            {
                (stored.title, stored.trace_id) = (title.clone(), trace_id.clone());
            }
        }
        labels.retain(|_, stored| stored.count > 0);
    }
}

/// Decides which of the staged patterns come in, and notes in `files` which do not.
///
/// That is the moment for which the summary of the run is true. Another writer may bring a fuller row between it and the commit: then that
/// one stays, as if this run had committed before.
pub(super) async fn decide(
    patterns: &mut Table,
    folder: &Folder,
    files: &mut [StagedFile],
    location: &str,
) -> Result<(Decided, KeptFuller), WriteError> {
    let at = |error: DeltaTableError| wrong(TableName::Patterns, location, &error);
    let incoming = incoming(TableName::Patterns, folder, files, location).await?;
    let keys = keys_of(TableName::Patterns, &incoming).await.map_err(at)?;
    patterns.delta.update_state().await.map_err(at)?;
    let superseded = Superseded { keys: keys.coming, ..Superseded::default() };
    let mut looked_at = LookedAt::new();
    let smaller = upsert::fuller(patterns, &superseded, &mut looked_at).await.map_err(at)?;
    let mut coming = superseded.keys;
    let mut kept = KeptFuller::default();
    if !smaller.is_empty() {
        coming.retain(|key, _| !smaller.contains(key));
        // Rows that do not come in ask nothing of the files that they were compared with.
        looked_at.values_mut().for_each(Vec::clear);
        kept.keys = smaller;
        let objects: Vec<Arc<Object>> = incoming.files().iter().map(|(_, object)| Arc::clone(object)).collect();
        for (file, object) in files.iter_mut().zip(objects) {
            file.smaller = kept.add(file, &object).await.map_err(at)?;
        }
    }
    let keys = Keys { coming, smaller: kept.keys.iter().copied().collect() };
    Ok((Decided { keys, looked_at }, kept))
}

impl KeptFuller {
    /// Counts those of one staged file, and gives the numbers of their rows.
    async fn add(&mut self, file: &StagedFile, object: &Arc<Object>) -> DeltaResult<Vec<usize>> {
        const COLUMNS: [&str; 5] = ["trace_id", "category", "contributing_factor", "title", "confidence"];
        let mut dropped = numbers(&file.dropped);
        let (mut found, mut row) = (Vec::new(), 0);
        let mut batches = columns_of(object, &COLUMNS).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let texts = |name| text_column(&batch, name).ok_or_else(|| DeltaTableError::Generic(format!("a staged file has no {name}")));
            let (ids, titles) = (texts("trace_id")?, texts("title")?);
            let (categories, factors) = (texts("category")?, texts("contributing_factor")?);
            let confidences = batch.column_by_name("confidence").and_then(|column| column.as_any().downcast_ref::<Float64Array>());
            for index in 0..batch.num_rows() {
                let number = row;
                row += 1;
                if dropped.next_if_eq(&number).is_some() {
                    continue;
                }
                let label = format!("{}/{}", categories.value(index), factors.value(index));
                if self.keys.contains(&key_hash(ids.value(index))) {
                    let counted = self.labels.entry(label).or_default();
                    counted.0 += 1;
                    counted.1 += confidences.map_or(0.0, |column| column.value(index));
                    self.count += 1;
                    found.push(number);
                } else {
                    self.examples.entry(label).or_insert_with(|| (titles.value(index).to_owned(), ids.value(index).to_owned()));
                }
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use deltalake_core::Path;
    use url::Url;

    use super::*;
    use crate::model::{Draft, Rejection, RejectionKind, RunSummary, Source, Stage};
    use crate::runtime::Shutdown;
    use crate::validate::{self, PatternSchema};
    use crate::write::{LastCommit, WriteOptions, Writer};

    fn last(summary: &mut RunSummary) -> LastCommit<'_> {
        LastCommit { summary, objects: HashSet::new(), exit_reason: &|_| None }
    }

    /// What a run of a test is: its traces with their spans and where they were read, and lines that are broken.
    #[derive(Clone, Default)]
    struct Run<'a> {
        id: &'a str,
        job: &'a str,
        traces: Vec<(String, u64, &'a str)>,
        broken: Vec<&'a str>,
    }

    fn traces(range: std::ops::Range<usize>, spans: u64, source: &str) -> Vec<(String, u64, &str)> {
        range.map(|number| (format!("t{number}"), spans, source)).collect()
    }

    impl Run<'_> {
        /// A writer that has all outcomes of the run, and its summary.
        async fn written(&self, output: &Url) -> (Writer, RunSummary) {
            let drafts = self.traces.iter().map(|(id, spans, source)| {
                let source = Source { uri: (*source).to_owned() };
                Ok(Draft { trace_id: id.clone(), spans_total: *spans, spans_seen: *spans, source, ..Draft::sample("It failed.") }.into())
            });
            let broken = self.broken.iter().map(|place| {
                let uri = place.split('#').next().unwrap();
                Err(Rejection::at_location(place, uri, Stage::Parse, RejectionKind::MalformedJson, "broken"))
            });
            let items: Vec<_> = drafts.chain(broken).collect();
            let options = WriteOptions { job: self.job.into(), fresh: false, commit_every: None, reuse: None };
            let mut writer = Writer::begin(output, self.id, options, Arc::default()).await.unwrap();
            let mut summary = RunSummary::started(self.id.into(), self.job.into(), "2026-11-25T09:00:00Z".into(), "");
            summary.received = items.len() as u64;
            let outcomes = validate::patterns(futures::stream::iter(items).boxed(), PatternSchema::new(self.id).unwrap());
            writer.outcomes(outcomes, &mut summary, &Shutdown::default()).await.unwrap();
            (writer, summary)
        }

        async fn run(&self, output: &Url) -> RunSummary {
            let (writer, mut summary) = self.written(output).await;
            let labels = writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
            assert_eq!(labels.values().map(|label| label.count).sum::<u64>(), summary.stored);
            summary
        }

        /// A run that is killed once it has decided what comes in.
        async fn killed_in_commit(&self, output: &Url) -> RunSummary {
            let (mut writer, mut summary) = self.written(output).await;
            writer.begin_commit(Some(last(&mut summary))).await.unwrap();
            writer.staging.die(self.job).await;
            summary
        }
    }

    /// The values of two columns of all rows of a table, sorted.
    async fn rows(output: &Url, name: TableName, columns: [&str; 2]) -> Vec<(String, String)> {
        let table = Table::open(output, name).await.unwrap();
        let frame = datafusion::prelude::SessionContext::new().read_table(table.delta.table_provider().await.unwrap()).unwrap();
        let mut found = Vec::new();
        for batch in frame.select_columns(&columns).unwrap().collect().await.unwrap() {
            let text = |index: usize, row: usize| arrow::util::display::array_value_to_string(batch.column(index), row).unwrap();
            found.extend((0..batch.num_rows()).map(|row| (text(0, row), text(1, row))));
        }
        found.sort();
        found
    }

    fn place() -> (tempfile::TempDir, Url) {
        let folder = tempfile::tempdir().unwrap();
        let url = Url::from_directory_path(folder.path()).unwrap();
        (folder, url)
    }

    fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
        rows.into_iter().map(|(left, right)| (left.to_owned(), right.to_owned())).collect()
    }

    /// Seen before each attempt looked for the mark of its commit: several rows of the dead run in `runs`.
    #[tokio::test(flavor = "multi_thread")]
    async fn several_runs_that_end_the_commit_of_a_dead_one_bring_each_row_once() {
        let trials = std::env::var("TRIALS").map_or(6, |trials| trials.parse().unwrap());
        for trial in 0..trials {
            let (_folder, output) = place();
            Run { id: "first", job: "a", traces: traces(0..40, 2, "a"), ..Run::default() }.run(&output).await;
            let dead = Run { id: "dead", job: "a", traces: traces(20..60, 2, "a"), broken: vec!["a#L1", "a#L2"] };
            dead.killed_in_commit(&output).await;
            let ids = ["one", "two", "three", "four"];
            std::thread::scope(|scope| {
                for (number, id) in ids.into_iter().enumerate() {
                    let output = &output;
                    // Some are of the same job, and take up what the dead run left.
                    let job = if number % 2 == 0 { "a" } else { "b" };
                    let own = Run { id, job, traces: traces(100 + number..101 + number, 2, "b"), broken: vec!["b#L1"] };
                    scope.spawn(move || {
                        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                        assert_eq!(runtime.block_on(own.run(output)).stored, 1);
                    });
                }
            });
            let runs: Vec<_> = rows(&output, TableName::Runs, ["run_id", "status"]).await.into_iter().map(|(id, _)| id).collect();
            assert_eq!(runs, ["dead", "first", "four", "one", "three", "two"], "trial {trial}");
            let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
            for (_, run) in rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await {
                *patterns.entry(run).or_default() += 1;
            }
            let expected = [("dead", 40), ("first", 20), ("four", 1), ("one", 1), ("three", 1), ("two", 1)];
            assert_eq!(patterns, expected.map(|(run, count)| (run.to_owned(), count)).into(), "trial {trial}");
            let errors: Vec<_> =
                rows(&output, TableName::Errors, ["trace_ref", "run_id"]).await.into_iter().map(|(place, _)| place).collect();
            assert_eq!(errors, ["a#L1", "a#L2", "b#L1"], "trial {trial}");
            let left = std::fs::read_dir(output.to_file_path().unwrap().join("_staging/dead")).into_iter().flatten().count();
            assert!(left <= 1, "only the sign of life of the dead run is left in trial {trial}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_dead_run_whose_commit_cannot_be_ended_is_left_alone_until_it_can() {
        let (folder, output) = place();
        Run { id: "first", job: "a", traces: traces(0..40, 2, "a"), ..Run::default() }.run(&output).await;
        Run { id: "dead", job: "a", traces: traces(0..40, 2, "a"), broken: vec!["a#L1"] }.killed_in_commit(&output).await;
        let table = Table::open(&output, TableName::Patterns).await.unwrap();
        let damaged =
            folder.path().join("patterns").join(table.delta.get_file_uris().unwrap().next().unwrap().rsplit_once("patterns/").unwrap().1);
        let bytes = std::fs::read(&damaged).unwrap();
        std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
        let staged = || std::fs::read_dir(folder.path().join("_staging/dead")).unwrap().count();
        let before = staged();
        for (id, fresh) in [("again", false), ("fresh", true)] {
            let options = WriteOptions { job: "a".into(), fresh, commit_every: None, reuse: None };
            let writer = Writer::begin(&output, id, options, Arc::default()).await.unwrap();
            assert!(writer.finished().is_empty(), "nothing of it is taken up");
            writer.leave().await;
            assert_eq!(staged(), before);
        }
        std::fs::write(&damaged, &bytes).unwrap();
        Run { id: "last", job: "a", ..Run::default() }.run(&output).await;
        let runs: Vec<_> = rows(&output, TableName::Runs, ["run_id", "status"]).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(runs, ["dead", "first", "last"]);
        assert!(rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await.iter().all(|(_, run)| run == "dead"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_commit_that_somebody_else_ended_meanwhile_is_no_failure_and_one_whose_files_are_gone_is() {
        for ended in [true, false] {
            let (_folder, output) = place();
            let (mut writer, mut summary) =
                Run { id: "run", job: "a", traces: traces(0..3, 1, "a"), ..Run::default() }.written(&output).await;
            let (record, _) = writer.begin_commit(Some(last(&mut summary))).await.unwrap();
            let folder = writer.staging.folder.clone();
            if ended {
                let mut others = Tables::open(&output).await.unwrap();
                assert!(roll_forward(&mut others, &folder).await.unwrap());
            } else {
                folder.remove().await.unwrap();
            }
            let committed = commit(&mut writer.tables, &folder, &record, None).await;
            assert_eq!(committed.is_ok(), ended, "{committed:?}");
            assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), usize::from(ended));
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_smaller_piece_of_a_trace_does_not_replace_a_fuller_one_unless_of_the_same_source() {
        let (_folder, output) = place();
        let one = |id: &str, spans, source: &'static str| vec![(id.to_owned(), spans, source)];
        let run = |id: &'static str, traces| Run { id, job: id, traces, ..Run::default() };
        run("whole", [one("t", 7, "hour=09"), one("u", 7, "hour=09"), one("v", 7, "hour=09")].concat()).run(&output).await;
        let later = [one("t", 1, "hour=10"), one("u", 7, "hour=10"), one("v", 3, "hour=09"), one("w", 1, "hour=10")].concat();
        let summary = run("later", later).run(&output).await;
        assert_eq!((summary.received, summary.stored, summary.unchanged, summary.kept_fuller, summary.processed), (4, 3, 1, 1, 4));
        let found = rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await;
        assert_eq!(found, pairs([("t", "whole"), ("u", "later"), ("v", "later"), ("w", "later")]));
        let fuller = run("fuller", one("t", 8, "hour=11")).run(&output).await;
        assert_eq!((fuller.stored, fuller.kept_fuller), (1, 0));
    }

    /// Ours before theirs, as if they had come after us: the summary of ours is true, and theirs is there.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_fuller_pattern_that_comes_between_the_decision_and_the_commit_survives() {
        let (_folder, output) = place();
        let small = Run { id: "small", job: "a", traces: traces(0..3, 1, "hour=10"), ..Run::default() };
        let (mut writer, mut summary) = small.written(&output).await;
        let (record, decided) = writer.begin_commit(Some(last(&mut summary))).await.unwrap();
        let theirs = Run { id: "theirs", job: "b", traces: traces(1..3, 5, "hour=09"), ..Run::default() };
        theirs.run(&output).await;
        let folder = writer.staging.folder.clone();
        commit(&mut writer.tables, &folder, &record, Some(decided)).await.unwrap();
        assert_eq!((summary.stored, summary.kept_fuller), (3, 0));
        let found = rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await;
        assert_eq!(found, pairs([("t0", "small"), ("t1", "theirs"), ("t2", "theirs")]));
        assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), 2);
        // The data file with the rows that stayed outside is not left behind.
        let table = Table::open(&output, TableName::Patterns).await.unwrap();
        let named = table.delta.get_file_uris().unwrap().count();
        let listed = table.delta.object_store().list(Some(&Path::from("")));
        let there =
            listed.filter(|meta| std::future::ready(meta.as_ref().is_ok_and(|meta| meta.location.to_string().contains("part-")))).count();
        assert_eq!(there.await, named);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_killed_run_decided_holds_when_its_commit_is_ended() {
        let (_folder, output) = place();
        let run = |id: &'static str, traces| Run { id, job: id, traces, ..Run::default() };
        run("whole", traces(0..1, 7, "hour=09")).run(&output).await;
        // Begins before the other one dies, and brings a fuller pattern after it.
        let (theirs, mut their_summary) = run("theirs", traces(2..3, 4, "hour=09")).written(&output).await;
        let summary = run("dead", traces(0..3, 1, "hour=10")).killed_in_commit(&output).await;
        assert_eq!((summary.stored, summary.unchanged, summary.kept_fuller), (2, 1, 1));
        theirs.commit(&mut their_summary, HashSet::new(), &|_| None).await.unwrap();
        run("next", Vec::new()).run(&output).await;
        let found = rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await;
        assert_eq!(found, pairs([("t0", "whole"), ("t1", "dead"), ("t2", "theirs")]));
        let runs = rows(&output, TableName::Runs, ["run_id", "kept_fuller"]).await;
        assert_eq!(runs, pairs([("dead", "1"), ("next", "0"), ("theirs", "0"), ("whole", "0")]));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_trace_of_which_a_fuller_pattern_stays_leaves_errors() {
        let (_folder, output) = place();
        Run { id: "whole", job: "a", traces: traces(0..1, 7, "hour=09"), ..Run::default() }.run(&output).await;
        let (mut writer, mut summary) = Run { id: "failed", job: "b", ..Run::default() }.written(&output).await;
        let rejection = Rejection::for_trace("t0", "hour=10", Stage::Analyze, RejectionKind::TimedOut, "too long");
        let outcomes = futures::stream::iter([Err(rejection)]).boxed();
        summary.received = 1;
        writer.outcomes(outcomes, &mut summary, &Shutdown::default()).await.unwrap();
        writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
        assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await.len(), 1);
        let later = Run { id: "later", job: "b", traces: traces(0..1, 1, "hour=10"), ..Run::default() }.run(&output).await;
        assert_eq!((later.stored, later.kept_fuller), (0, 1));
        assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await, []);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_finished_is_committed_at_once_when_a_stop_is_requested() {
        let (_folder, output) = place();
        let (mut writer, mut summary) = Run { id: "stopped", job: "a", ..Run::default() }.written(&output).await;
        let drafts = (0..3).map(|number| Ok(Draft { trace_id: format!("t{number}"), ..Draft::sample("It failed.") }.into()));
        let patterns = validate::patterns(futures::stream::iter(drafts).boxed(), PatternSchema::new("stopped").unwrap());
        let tables = output.clone();
        // Comes only once something is visible.
        let interrupted = futures::stream::once(async move {
            while rows(&tables, TableName::Patterns, ["trace_id", "run_id"]).await.is_empty() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
            Err(Rejection::interrupted("t3", "a", Stage::Parse))
        });
        let shutdown = Shutdown::default();
        let asked = shutdown.clone();
        let patterns = patterns.inspect(move |_| asked.requested().cancel()).chain(interrupted).boxed();
        summary.received = 4;
        writer.outcomes(patterns, &mut summary, &shutdown).await.unwrap();
        writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
        assert_eq!((summary.stored, summary.processing_errors), (3, 1));
        assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await, pairs([("t3", "interrupted")]));
        assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), 1);
    }

    /// A part is no place to say which objects were read: what is wrong with them may still be under way when the run is killed.
    #[tokio::test(flavor = "multi_thread")]
    async fn older_errors_of_an_object_go_with_the_last_commit_only_and_those_of_earlier_parts_stay() {
        let (_folder, output) = place();
        Run { id: "first", job: "a", broken: vec!["a#L1", "a#L2", "b#L1"], ..Run::default() }.run(&output).await;
        let (mut writer, mut summary) =
            Run { id: "second", job: "b", broken: vec!["a#L2", "a#L3"], ..Run::default() }.written(&output).await;
        writer.commit_staged(None).await.unwrap();
        let places = async || rows(&output, TableName::Errors, ["trace_ref", "run_id"]).await;
        assert_eq!(places().await, pairs([("a#L1", "first"), ("a#L2", "second"), ("a#L3", "second"), ("b#L1", "first")]));
        writer.commit(&mut summary, [key_hash("a")].into(), &|_| None).await.unwrap();
        assert_eq!(places().await, pairs([("a#L2", "second"), ("a#L3", "second"), ("b#L1", "first")]));
    }
}
