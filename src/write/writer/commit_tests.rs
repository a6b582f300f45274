//! Commits of several runs into the same tables, interrupted and concurrent.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use deltalake_core::Path;
use futures::StreamExt;
use object_store::ObjectStore;
use url::Url;

use super::{LastCommit, WriteOptions, Writer};
use crate::model::{Draft, Rejection, RejectionKind, RunStatus, RunSummary, Source, Stage, key_hash};
use crate::runtime::{Shutdown, StopReason};
use crate::tables::{Table, TableName};
use crate::validate::{self, PatternSchema};
use crate::write::commit::{commit, complete_interrupted_commit};
use crate::write::output::OutputTables;
use crate::write::staging::CommitRecord;

fn last_commit(summary: &mut RunSummary) -> LastCommit<'_> {
    LastCommit { summary, objects: HashSet::new(), exit_reason: &|_| None }
}

/// A run: its traces, each with its number of spans and its object, and the locations of malformed records.
#[derive(Clone, Default)]
struct Run<'a> {
    id: &'a str,
    job: &'a str,
    traces: Vec<(String, u64, &'a str)>,
    malformed: Vec<&'a str>,
}

fn traces(range: std::ops::Range<usize>, spans: u64, source: &str) -> Vec<(String, u64, &str)> {
    range.map(|number| (format!("t{number}"), spans, source)).collect()
}

impl Run<'_> {
    /// A writer that has received all outcomes of the run, and the summary.
    async fn staged(&self, output: &Url) -> (Writer, RunSummary) {
        let drafts = self.traces.iter().map(|(id, spans, source)| {
            let source = Source { uri: (*source).to_owned() };
            Ok(Draft { trace_id: id.clone(), spans_total: *spans, spans_seen: *spans, source, ..Draft::sample("It failed.") }.into())
        });
        let malformed = self.malformed.iter().map(|location| {
            let uri = location.split('#').next().unwrap();
            Err(Rejection::at_location(location, uri, Stage::Parse, RejectionKind::MalformedJson, "malformed"))
        });
        let items: Vec<_> = drafts.chain(malformed).collect();
        let options = WriteOptions { job: self.job.into(), fresh: false, commit_every: None, reuse: None, errors_max: None, active: None };
        let mut writer = Writer::begin(output, self.id, options, Arc::default()).await.unwrap();
        let mut summary = RunSummary::started(self.id.into(), self.job.into(), "2026-11-25T09:00:00Z".into(), "");
        summary.received = items.len() as u64;
        let outcomes = validate::patterns(futures::stream::iter(items).boxed(), PatternSchema::new(self.id).unwrap());
        writer.write_outcomes(outcomes, &mut summary, &Shutdown::default()).await.unwrap();
        (writer, summary)
    }

    async fn run(&self, output: &Url) -> RunSummary {
        let (mut writer, mut summary) = self.staged(output).await;
        writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
        assert_eq!(summary.by_label.iter().map(|label| label.traces).sum::<u64>(), summary.stored);
        summary
    }

    /// A run that is killed after it recorded what it commits.
    async fn killed_in_commit(&self, output: &Url) -> RunSummary {
        let (mut writer, mut summary) = self.staged(output).await;
        writer.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
        writer.staging.simulate_kill(self.job).await;
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

fn output_folder() -> (tempfile::TempDir, Url) {
    let folder = tempfile::tempdir().unwrap();
    let url = Url::from_directory_path(folder.path()).unwrap();
    (folder, url)
}

fn pairs<'a>(rows: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<(String, String)> {
    rows.into_iter().map(|(left, right)| (left.to_owned(), right.to_owned())).collect()
}

/// Regression test: several rows of the interrupted run in `runs`, when attempts did not check for the tag of their commit first.
#[tokio::test(flavor = "multi_thread")]
async fn several_runs_that_complete_the_same_interrupted_commit_add_each_row_once() {
    let trials = std::env::var("TRIALS").map_or(6, |trials| trials.parse().unwrap());
    for trial in 0..trials {
        let (_folder, output) = output_folder();
        Run { id: "first", job: "a", traces: traces(0..40, 2, "a"), ..Run::default() }.run(&output).await;
        let killed = Run { id: "killed", job: "a", traces: traces(20..60, 2, "a"), malformed: vec!["a#L1", "a#L2"] };
        killed.killed_in_commit(&output).await;
        let ids = ["one", "two", "three", "four"];
        std::thread::scope(|scope| {
            for (number, id) in ids.into_iter().enumerate() {
                let output = &output;
                // Some belong to the same job, and recover the work of the interrupted run.
                let job = if number % 2 == 0 { "a" } else { "b" };
                let own = Run { id, job, traces: traces(100 + number..101 + number, 2, "b"), malformed: vec!["b#L1"] };
                scope.spawn(move || {
                    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
                    assert_eq!(runtime.block_on(own.run(output)).stored, 1);
                });
            }
        });
        let runs: Vec<_> = rows(&output, TableName::Runs, ["run_id", "status"]).await.into_iter().map(|(id, _)| id).collect();
        assert_eq!(runs, ["first", "four", "killed", "one", "three", "two"], "trial {trial}");
        let mut patterns: BTreeMap<String, usize> = BTreeMap::new();
        for (_, run) in rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await {
            *patterns.entry(run).or_default() += 1;
        }
        let expected = [("killed", 40), ("first", 20), ("four", 1), ("one", 1), ("three", 1), ("two", 1)];
        assert_eq!(patterns, expected.map(|(run, count)| (run.to_owned(), count)).into(), "trial {trial}");
        let errors: Vec<_> =
            rows(&output, TableName::Errors, ["trace_ref", "run_id"]).await.into_iter().map(|(location, _)| location).collect();
        assert_eq!(errors, ["a#L1", "a#L2", "b#L1"], "trial {trial}");
        let left = std::fs::read_dir(output.to_file_path().unwrap().join("_staging/killed")).into_iter().flatten().count();
        assert!(left <= 1, "at most the heartbeat of the interrupted run is left in trial {trial}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_run_is_left_alone_while_its_commit_cannot_be_completed() {
    let (folder, output) = output_folder();
    Run { id: "first", job: "a", traces: traces(0..40, 2, "a"), ..Run::default() }.run(&output).await;
    Run { id: "killed", job: "a", traces: traces(0..40, 2, "a"), malformed: vec!["a#L1"] }.killed_in_commit(&output).await;
    let table = Table::open(&output, TableName::Patterns).await.unwrap();
    let damaged =
        folder.path().join("patterns").join(table.delta.get_file_uris().unwrap().next().unwrap().rsplit_once("patterns/").unwrap().1);
    let bytes = std::fs::read(&damaged).unwrap();
    std::fs::write(&damaged, &bytes[..bytes.len() / 2]).unwrap();
    let staged = || std::fs::read_dir(folder.path().join("_staging/killed")).unwrap().count();
    let before = staged();
    for (id, fresh) in [("again", false), ("fresh", true)] {
        let options = WriteOptions { job: "a".into(), fresh, commit_every: None, reuse: None, errors_max: None, active: None };
        let writer = Writer::begin(&output, id, options, Arc::default()).await.unwrap();
        assert!(writer.reusable().is_empty(), "nothing of it is recovered");
        writer.end_failed(&mut RunSummary::started(id.into(), "a".into(), "2026-11-25T09:00:00Z".into(), "")).await;
        assert_eq!(staged(), before);
    }
    std::fs::write(&damaged, &bytes).unwrap();
    Run { id: "last", job: "a", ..Run::default() }.run(&output).await;
    let runs: Vec<_> = rows(&output, TableName::Runs, ["run_id", "status"]).await.into_iter().map(|(id, _)| id).collect();
    assert_eq!(runs, ["again", "first", "fresh", "killed", "last"]);
    assert!(rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await.iter().all(|(_, run)| run == "killed"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_completed_by_another_run_succeeds_and_one_whose_files_are_gone_fails() {
    for completed in [true, false] {
        let (_folder, output) = output_folder();
        let (mut writer, mut summary) = Run { id: "run", job: "a", traces: traces(0..3, 1, "a"), ..Run::default() }.staged(&output).await;
        let (record, _) = writer.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
        let folder = writer.staging.folder.clone();
        if completed {
            let mut others = OutputTables::open(&output).await.unwrap();
            assert!(complete_interrupted_commit(&mut others, &folder).await.unwrap());
        } else {
            folder.remove().await.unwrap();
        }
        let committed = commit(&mut writer.tables, &folder, &record, None).await;
        assert_eq!(committed.is_ok(), completed, "{committed:?}");
        assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), usize::from(completed));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_with_fewer_spans_replaces_a_fuller_one_only_if_it_is_from_the_same_object() {
    let (_folder, output) = output_folder();
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

/// Our run counts as committed before theirs: our summary stays true, and their pattern stays.
#[tokio::test(flavor = "multi_thread")]
async fn a_fuller_pattern_committed_between_our_decision_and_our_commit_survives() {
    let (_folder, output) = output_folder();
    let small = Run { id: "small", job: "a", traces: traces(0..3, 1, "hour=10"), ..Run::default() };
    let (mut writer, mut summary) = small.staged(&output).await;
    let (record, decision) = writer.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
    let theirs = Run { id: "theirs", job: "b", traces: traces(1..3, 5, "hour=09"), ..Run::default() };
    theirs.run(&output).await;
    let folder = writer.staging.folder.clone();
    commit(&mut writer.tables, &folder, &record, Some(decision)).await.unwrap();
    assert_eq!((summary.stored, summary.kept_fuller), (3, 0));
    let found = rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await;
    assert_eq!(found, pairs([("t0", "small"), ("t1", "theirs"), ("t2", "theirs")]));
    assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), 2);
    // The data file that contained the left-out rows was deleted.
    let table = Table::open(&output, TableName::Patterns).await.unwrap();
    let named = table.delta.get_file_uris().unwrap().count();
    let listed = table.delta.object_store().list(Some(&Path::from("")));
    let there =
        listed.filter(|meta| std::future::ready(meta.as_ref().is_ok_and(|meta| meta.location.to_string().contains("part-")))).count();
    assert_eq!(there.await, named);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_decision_of_a_killed_run_holds_when_its_commit_is_completed() {
    let (_folder, output) = output_folder();
    let run = |id: &'static str, traces| Run { id, job: id, traces, ..Run::default() };
    run("whole", traces(0..1, 7, "hour=09")).run(&output).await;
    // Starts before the other run is killed, and commits a fuller pattern after it.
    let (mut theirs, mut their_summary) = run("theirs", traces(2..3, 4, "hour=09")).staged(&output).await;
    let summary = run("killed", traces(0..3, 1, "hour=10")).killed_in_commit(&output).await;
    assert_eq!((summary.stored, summary.unchanged, summary.kept_fuller), (2, 1, 1));
    theirs.commit(&mut their_summary, HashSet::new(), &|_| None).await.unwrap();
    run("next", Vec::new()).run(&output).await;
    let found = rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await;
    assert_eq!(found, pairs([("t0", "whole"), ("t1", "killed"), ("t2", "theirs")]));
    let runs = rows(&output, TableName::Runs, ["run_id", "kept_fuller"]).await;
    assert_eq!(runs, pairs([("killed", "1"), ("next", "0"), ("theirs", "0"), ("whole", "0")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_row_in_errors_of_a_trace_is_removed_if_its_fuller_pattern_stays() {
    let (_folder, output) = output_folder();
    Run { id: "whole", job: "a", traces: traces(0..1, 7, "hour=09"), ..Run::default() }.run(&output).await;
    let (mut writer, mut summary) = Run { id: "failed", job: "b", ..Run::default() }.staged(&output).await;
    let rejection = Rejection::for_trace("t0", "hour=10", Stage::Analyze, RejectionKind::TimedOut, "too long");
    let outcomes = futures::stream::iter([Err(rejection)]).boxed();
    summary.received = 1;
    writer.write_outcomes(outcomes, &mut summary, &Shutdown::default()).await.unwrap();
    writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
    assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await.len(), 1);
    let later = Run { id: "later", job: "b", traces: traces(0..1, 1, "hour=10"), ..Run::default() }.run(&output).await;
    assert_eq!((later.stored, later.kept_fuller), (0, 1));
    assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_patterns_are_committed_immediately_when_a_shutdown_is_requested() {
    let (_folder, output) = output_folder();
    let (mut writer, mut summary) = Run { id: "stopped", job: "a", ..Run::default() }.staged(&output).await;
    let drafts = (0..3).map(|number| Ok(Draft { trace_id: format!("t{number}"), ..Draft::sample("It failed.") }.into()));
    let patterns = validate::patterns(futures::stream::iter(drafts).boxed(), PatternSchema::new("stopped").unwrap());
    let tables = output.clone();
    // This outcome arrives only after something is visible.
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
    writer.write_outcomes(patterns, &mut summary, &shutdown).await.unwrap();
    writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
    assert_eq!((summary.stored, summary.processing_errors), (3, 1));
    assert_eq!(rows(&output, TableName::Errors, ["trace_ref", "kind"]).await, pairs([("t3", "interrupted")]));
    assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), 1);
}

/// A partial commit must not remove errors of the objects read so far: their new errors may be in flight when the run is killed.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_last_commit_removes_older_errors_of_an_object() {
    let (_folder, output) = output_folder();
    Run { id: "first", job: "a", malformed: vec!["a#L1", "a#L2", "b#L1"], ..Run::default() }.run(&output).await;
    let (mut writer, mut summary) = Run { id: "second", job: "b", malformed: vec!["a#L2", "a#L3"], ..Run::default() }.staged(&output).await;
    writer.commit_staged(None).await.unwrap();
    let locations = async || rows(&output, TableName::Errors, ["trace_ref", "run_id"]).await;
    assert_eq!(locations().await, pairs([("a#L1", "first"), ("a#L2", "second"), ("a#L3", "second"), ("b#L1", "first")]));
    writer.commit(&mut summary, [key_hash("a")].into(), &|_| None).await.unwrap();
    assert_eq!(locations().await, pairs([("a#L2", "second"), ("a#L3", "second"), ("b#L1", "first")]));
}

/// Of all runs the id and the versions of `patterns`, `errors` and `fingerprints` after its commit.
async fn versions(output: &Url) -> Vec<(String, String)> {
    let (patterns, others) = (
        rows(output, TableName::Runs, ["run_id", "patterns_version"]).await,
        rows(output, TableName::Runs, ["errors_version", "fingerprints_version"]).await,
    );
    assert_eq!(patterns.len(), others.len());
    patterns
}

/// The versions of each table at which rows of a run are there.
async fn versions_with(output: &Url, name: TableName, run_id: &str) -> Vec<u64> {
    let latest = Table::open(output, name).await.unwrap().delta.version().unwrap();
    let mut found = Vec::new();
    for version in 0..=latest {
        let delta = crate::tables::open_version(output, name, version).await.unwrap().unwrap();
        let frame = datafusion::prelude::SessionContext::new().read_table(delta.table_provider().await.unwrap()).unwrap();
        let of_run = datafusion::logical_expr::col("run_id").eq(datafusion::logical_expr::lit(run_id));
        if frame.filter(of_run).unwrap().count().await.unwrap() > 0 {
            found.push(version);
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_stores_the_versions_that_it_committed() {
    let (_folder, output) = output_folder();
    let run = |id: &'static str| Run { id, job: id, traces: traces(0..3, 1, "a"), malformed: vec!["a#L1"] };
    let first = run("first").run(&output).await;
    let second = run("second").run(&output).await;
    let numbers = |summary: &RunSummary| [summary.patterns_version, summary.errors_version, summary.fingerprints_version];
    for name in [TableName::Patterns, TableName::Errors, TableName::Fingerprints] {
        let index = TableName::ALL.iter().position(|other| *other == name).unwrap();
        // The second run replaces all rows of the first one.
        assert_eq!(versions_with(&output, name, "first").await, [numbers(&first)[index].unwrap()], "{name:?}");
        assert_eq!(versions_with(&output, name, "second").await, [numbers(&second)[index].unwrap()], "{name:?}");
    }
    let stored = versions(&output).await;
    let text = |summary: &RunSummary| summary.patterns_version.unwrap().to_string();
    assert_eq!(stored, [("first".to_owned(), text(&first)), ("second".to_owned(), text(&second))]);
    let unchanged = Run { id: "third", job: "third", ..Run::default() }.run(&output).await;
    assert_eq!(numbers(&unchanged), numbers(&second), "a run that changes nothing stores the versions that it found");
}

/// The run is killed between the commits of two tables, and another one commits before a third one completes its commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_completed_by_another_run_stores_the_versions_of_the_interrupted_one() {
    let (_folder, output) = output_folder();
    let killed = Run { id: "killed", job: "a", traces: traces(0..3, 1, "a"), malformed: vec!["a#L1"] };
    let theirs = Run { id: "theirs", job: "b", traces: traces(1..4, 1, "b"), malformed: vec!["b#L1"] };
    // Begins before the other one is killed, so it does not complete that commit.
    let (mut their_writer, mut their_summary) = theirs.staged(&output).await;
    let (mut writer, mut summary) = killed.staged(&output).await;
    let (record, _) = writer.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
    let of_patterns = record.files_of(TableName::Patterns).to_vec();
    let only_patterns = CommitRecord { files: [(TableName::Patterns.as_str().to_owned(), of_patterns)].into(), ..record };
    let folder = writer.staging.folder.clone();
    commit(&mut writer.tables, &folder, &only_patterns, None).await.unwrap();
    writer.staging.simulate_kill("a").await;
    their_writer.commit(&mut their_summary, HashSet::new(), &|_| None).await.unwrap();
    Run { id: "next", job: "c", ..Run::default() }.run(&output).await;
    let own = versions_with(&output, TableName::Patterns, "killed").await[0];
    assert!(own < their_summary.patterns_version.unwrap());
    let stored = versions(&output).await;
    assert_eq!(stored[0], ("killed".to_owned(), own.to_string()));
    assert_eq!(versions_with(&output, TableName::Errors, "killed").await.len(), 1, "committed by the third run");
    let errors = rows(&output, TableName::Runs, ["run_id", "errors_version"]).await;
    assert!(errors[0].1.parse::<u64>().unwrap() > their_summary.errors_version.unwrap(), "{errors:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_run_has_a_row_and_its_finished_work_is_kept() {
    let (folder, output) = output_folder();
    Run { id: "first", job: "b", traces: traces(0..3, 1, "a"), ..Run::default() }.run(&output).await;
    let (writer, mut summary) = Run { id: "failed", job: "a", traces: traces(5..9, 1, "a"), ..Run::default() }.staged(&output).await;
    summary.status = RunStatus::Failed;
    writer.end_failed(&mut summary).await;
    assert_eq!((summary.received, summary.stored), (4, 0));
    assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await, pairs([("failed", "failed"), ("first", "complete")]));
    assert_eq!(rows(&output, TableName::Patterns, ["trace_id", "run_id"]).await.len(), 3);
    let names = std::fs::read_dir(folder.path().join("_staging/failed")).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["patterns-000001.parquet", "run.json"]);
    // One whose commit has begun gets its row when that commit is completed.
    let (mut writer, mut summary) = Run { id: "late", job: "c", traces: traces(5..9, 1, "a"), ..Run::default() }.staged(&output).await;
    writer.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
    writer.end_failed(&mut RunSummary { status: RunStatus::Failed, ..summary }).await;
    assert_eq!(rows(&output, TableName::Runs, ["run_id", "status"]).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_failures_than_allowed_request_a_shutdown() {
    for (errors_max, expected) in [(Some(2), None), (Some(1), Some(StopReason::MaxErrors)), (None, None)] {
        let (_folder, output) = output_folder();
        let options = WriteOptions { job: "a".into(), fresh: false, commit_every: None, reuse: None, errors_max, active: None };
        let mut writer = Writer::begin(&output, "run", options, Arc::default()).await.unwrap();
        let mut summary = RunSummary::started("run".into(), "a".into(), "2026-11-25T09:00:00Z".into(), "");
        let rejections = [
            Rejection::for_trace("t0", "a", Stage::Analyze, RejectionKind::TimedOut, "too long"),
            Rejection::for_trace("t1", "a", Stage::Analyze, RejectionKind::CostLimit, "too expensive"),
            Rejection::for_trace("t2", "a", Stage::Analyze, RejectionKind::TimedOut, "too long"),
        ];
        let shutdown = Shutdown::default();
        writer.write_outcomes(futures::stream::iter(rejections.map(Err)).boxed(), &mut summary, &shutdown).await.unwrap();
        assert_eq!(shutdown.reason(), expected, "{errors_max:?}");
    }
}

/// The fingerprint of the traces of these tests: the number of traces, and the runs that saw it.
async fn fingerprint(output: &Url) -> (String, String) {
    let mut found = rows(output, TableName::Fingerprints, ["traces", "runs_seen"]).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints_count_the_patterns_that_the_last_run_stored() {
    let (_folder, output) = output_folder();
    let run = |id: &'static str, traces| Run { id, job: id, traces, ..Run::default() };
    let counts = |traces: &str, runs: &str| (traces.to_owned(), runs.to_owned());
    run("1", traces(0..40, 7, "hour=09")).run(&output).await;
    assert_eq!(fingerprint(&output).await, counts("40", "1"));
    // Of four traces one is not stored, because the table has a fuller pattern.
    run("2", [traces(0..1, 1, "hour=10"), traces(1..4, 7, "hour=10")].concat()).run(&output).await;
    assert_eq!(fingerprint(&output).await, counts("3", "2"));
    run("3", traces(0..5, 1, "hour=11")).run(&output).await;
    assert_eq!(fingerprint(&output).await, counts("3", "2"), "nothing of the third run was stored");
    let (mut late, mut summary) = run("4", traces(50..60, 1, "hour=12")).staged(&output).await;
    let (record, _) = late.begin_commit(Some(last_commit(&mut summary))).await.unwrap();
    // A later run commits first.
    run("5", traces(60..62, 1, "hour=13")).run(&output).await;
    assert_eq!(fingerprint(&output).await, counts("2", "3"));
    let folder = late.staging.folder.clone();
    assert!(complete_interrupted_commit(&mut OutputTables::open(&output).await.unwrap(), &folder).await.unwrap());
    commit(&mut late.tables, &folder, &record, None).await.unwrap();
    assert_eq!(fingerprint(&output).await, counts("2", "4"), "the counts of the later run stay, and the earlier one counts once");
}

#[tokio::test(flavor = "multi_thread")]
async fn fingerprints_count_the_recovered_patterns_and_come_with_the_last_commit() {
    let (_folder, output) = output_folder();
    let job = Run { id: "killed", job: "a", traces: traces(0..30, 1, "a"), ..Run::default() };
    let (killed, _) = job.staged(&output).await;
    killed.staging.simulate_kill("a").await;
    let again = Run { id: "next", job: "a", ..Run::default() };
    let (mut writer, mut summary) = again.staged(&output).await;
    let digest = Draft::sample("It failed.").content_digest;
    let reusable = writer.reusable();
    assert!((0..20).all(|number| reusable.claim(&format!("t{number}"), &digest, 1, "a")));
    summary.received = 20;
    let drafts = (40..45).map(|number| Ok(Draft { trace_id: format!("t{number}"), ..Draft::sample("It failed.") }.into()));
    let patterns = validate::patterns(futures::stream::iter(drafts).boxed(), PatternSchema::new("next").unwrap());
    summary.received += 5;
    writer.write_outcomes(patterns, &mut summary, &Shutdown::default()).await.unwrap();
    writer.commit_staged(None).await.unwrap();
    assert_eq!(rows(&output, TableName::Fingerprints, ["traces", "runs_seen"]).await, []);
    writer.commit(&mut summary, HashSet::new(), &|_| None).await.unwrap();
    assert_eq!(fingerprint(&output).await, ("25".to_owned(), "1".to_owned()));
    assert_eq!(summary.recovered_runs, ["killed"], "its rows have the id of the run that made them");
    // These traces have no failure.
    assert_eq!((summary.by_fingerprint[0].traces, summary.by_label[0].traces, summary.failed_traces), (25, 25, 0));
}
