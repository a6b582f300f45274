//! When permits are released, and what is known of paid answers.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use url::Url;

use super::{WriteOptions, Writer};
use crate::model::{Draft, Rejection, RunSummary, UnusableAnswer};
use crate::runtime::{ConcurrencyPermit, Permitted, Shutdown};
use crate::validate::{self, PatternSchema};
use crate::write::unstaged::Unstaged;

/// A permit guard that records how many files of patterns are staged when it is released.
struct Guard {
    output: PathBuf,
    staged: Arc<Mutex<Vec<usize>>>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let runs = std::fs::read_dir(self.output.join("_staging")).into_iter().flatten().flatten();
        let files = runs.flat_map(|run| std::fs::read_dir(run.path())).flatten().flatten();
        let patterns = files.filter(|file| file.file_name().to_string_lossy().starts_with("patterns-")).count();
        self.staged.lock().unwrap().push(patterns);
    }
}

#[tokio::test]
async fn a_permit_is_released_only_after_its_pattern_is_durable() {
    let output = tempfile::tempdir().unwrap();
    let staged = Arc::new(Mutex::new(Vec::new()));
    let drafts: Vec<_> = (0..6)
        .map(|number| {
            let guard = Guard { output: output.path().to_owned(), staged: Arc::clone(&staged) };
            let item = Draft { trace_id: format!("t{number}"), ..Draft::sample("It failed.") };
            Ok(Permitted { item, permit: ConcurrencyPermit::holding(guard) })
        })
        .collect();
    let patterns = validate::patterns(futures::stream::iter(drafts).boxed(), PatternSchema::new("a-run").unwrap());
    let location = crate::store::table_url(output.path().to_str().unwrap()).unwrap();
    let options = WriteOptions { job: "a-job".into(), fresh: true, commit_every: None, reuse: None, errors_max: None, active: None };
    let mut writer = Writer::begin(&location, "a-run", options, Arc::default()).await.unwrap();
    let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
    writer.write_outcomes(patterns, &mut summary, &Shutdown::default()).await.unwrap();
    let staged = staged.lock().unwrap();
    assert!(staged.len() == 6 && staged.iter().all(|files| *files > 0), "{staged:?}");
}

/// What a run of this job, with this settings digest, knows about the answer for a trace.
async fn unusable(output: &Url, run_id: &str, reuse: Option<&str>) -> Option<UnusableAnswer> {
    let options = WriteOptions {
        job: "a-job".into(),
        fresh: false,
        commit_every: None,
        reuse: reuse.map(str::to_owned),
        errors_max: None,
        active: None,
    };
    let writer = Writer::begin(output, run_id, options, Arc::default()).await.unwrap();
    let reusable = writer.reusable();
    assert_eq!(reusable.unusable_answer("t1", "another content"), None);
    let found = reusable.unusable_answer("t1", "content");
    writer.staging.simulate_kill("another-job").await;
    found
}

#[tokio::test]
async fn an_unusable_answer_is_known_after_a_commit_and_after_a_kill() {
    use crate::model::{PaidAnswer, RejectionKind, Stage};
    for killed in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        let output = Url::from_directory_path(folder.path()).unwrap();
        let options = WriteOptions { job: "a-job".into(), fresh: false, commit_every: None, reuse: None, errors_max: None, active: None };
        let mut writer = Writer::begin(&output, "a-run", options, Arc::default()).await.unwrap();
        let answered = PaidAnswer { content_digest: "content".into(), settings_digest: "settings".into() };
        let rejection = Rejection::for_trace("t1", "a.jsonl", Stage::Analyze, RejectionKind::AnswerOffSchema, "title must be a string");
        let rejection = Rejection { paid_answer: Some(Box::new(answered)), ..rejection };
        let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
        summary.received = 1;
        writer.write_outcomes(futures::stream::iter([Err(rejection)]).boxed(), &mut summary, &Shutdown::default()).await.unwrap();
        if killed {
            writer.staging.simulate_kill("a-job").await;
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
async fn a_permit_is_held_while_its_pattern_is_staged_with_others() {
    let output = tempfile::tempdir().unwrap();
    let staged = Arc::new(Mutex::new(Vec::new()));
    let guard = Guard { output: output.path().to_owned(), staged: Arc::clone(&staged) };
    let draft = Permitted { item: Draft::sample("It failed."), permit: ConcurrencyPermit::holding(guard) };
    let mut patterns = validate::patterns(futures::stream::iter([Ok(draft)]).boxed(), PatternSchema::new("a-run").unwrap());
    let location = crate::store::table_url(output.path().to_str().unwrap()).unwrap();
    let options = WriteOptions { job: "a-job".into(), fresh: true, commit_every: None, reuse: None, errors_max: None, active: None };
    let mut writer = Writer::begin(&location, "a-run", options, Arc::default()).await.unwrap();
    let mut summary = RunSummary::started("a-run".into(), "a-job".into(), "2026-11-25T09:00:00Z".into(), "");
    let mut unstaged = Unstaged::default();
    writer.add(patterns.next().await.unwrap(), &mut unstaged, &mut summary);
    // As after an interval or before a commit, and not because a permit is held.
    writer.stage(&mut unstaged).await.unwrap();
    drop(unstaged);
    assert!(staged.lock().unwrap().is_empty(), "nothing is durable yet");
    writer.wait_for_staging(0).await.unwrap();
    assert_eq!(*staged.lock().unwrap(), [1]);
}
