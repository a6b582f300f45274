//! The finished work of an interrupted run is recovered by the next one, and is invisible until then.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, call, failsift, stderr, stdout, trace};

/// More traces than fit into one staged file, so some are staged long before the run ends.
const TRACES: usize = 30_000;

fn many_traces(place: &Place) {
    place.put("many.jsonl", (0..TRACES).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
}

pub(crate) fn start(place: &Place, more: &[&str]) -> Child {
    let (input, output) = (place.input(), place.output());
    let mut arguments = vec!["run", "--input", &input, "--output", &output];
    arguments.extend(more);
    failsift(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Staged files whose names have this prefix.
fn staged(output: &str, prefix: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(Path::new(output).join("_staging")).into_iter().flatten().flatten();
    let files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten().map(|file| file.path());
    let matches = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(prefix) && !name.contains('#')
    };
    files.filter(matches).collect()
}

/// Sends a signal as soon as a file with this prefix is staged. Returns whether the run was still active.
pub(crate) fn signal_when_staged(place: &Place, mut run: Child, prefix: &str, signal: Signal) -> bool {
    let end = Instant::now() + Duration::from_mins(2);
    while staged(&place.output(), prefix).is_empty() {
        if run.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < end, "nothing was staged");
        std::thread::sleep(Duration::from_millis(1));
    }
    kill(Pid::from_raw(run.id().cast_signed()), signal).unwrap();
    let status = run.wait().unwrap();
    signal != Signal::SIGKILL || !status.success()
}

fn row_counts(place: &Place) -> (u64, u64, u64) {
    let row = &place.rows("select count(*) n, count(distinct trace_id) u, count(distinct run_id) r from patterns")[0];
    let count = |key: &str| row[key].as_u64().unwrap();
    (count("n"), count("u"), count("r"))
}

#[test]
fn the_next_run_recovers_the_finished_work_of_a_killed_one() {
    let all = u64::try_from(TRACES).unwrap();
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    assert_eq!(row_counts(&place), (0, 0, 0), "nothing is visible");
    // A run with other settings is another job, and does not recover the staged patterns.
    assert_eq!(place.run(&["--excerpts", "none"])["stored"], all);
    assert_eq!(row_counts(&place), (all, all, 1));
    assert!(!staged(&place.output(), "patterns-").is_empty(), "the staged work is kept for a run of the same job");
    // A run that is stopped early does not claim all of it, and the rest is kept.
    assert!(signal_when_staged(&place, start(&place, &[]), "taken-", Signal::SIGINT));
    assert_eq!(place.run(&[])["stored"], all);
    let (rows, distinct, runs) = row_counts(&place);
    assert_eq!((rows, distinct), (all, all));
    assert!(runs >= 2, "rows of the killed run were committed, and not analyzed again");
    assert!(staged(&place.output(), "").is_empty(), "nothing is left behind");
}

#[test]
fn fresh_discards_the_work_of_a_killed_run() {
    let all = u64::try_from(TRACES).unwrap();
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    assert_eq!(place.run(&["--fresh"])["stored"], all);
    assert_eq!(row_counts(&place), (all, all, 1));
    assert!(staged(&place.output(), "").is_empty());
}

#[test]
fn a_trace_whose_content_changed_is_analyzed_again() {
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    let changed = |number: usize| if number.is_multiple_of(2) { "connection refused" } else { "boom" };
    place.put("many.jsonl", (0..TRACES).map(|number| trace(&format!("t-{number}"), changed(number))).collect::<String>());
    place.run(&[]);
    let all = u64::try_from(TRACES).unwrap();
    let (rows, distinct, runs) = row_counts(&place);
    assert_eq!((rows, distinct, runs), (all, all, 2));
    let old = place.rows(
        "select count(*) n from (select trace_id, unnest(evidence) e from patterns) where e['excerpt'] like '%boom%' and cast(substr(trace_id, 3) as int) % 2 = 0",
    );
    assert_eq!(old[0]["n"], 0, "no pattern was made from the old content");
}

#[test]
fn an_interrupted_commit_is_completed_by_the_next_run_or_by_maintenance() {
    for round in 0..20 {
        let place = Place::new();
        place.put("a.jsonl", (0..2_000).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>() + "broken\n");
        if !signal_when_staged(&place, start(&place, &[]), "commit.json", Signal::SIGKILL)
            || staged(&place.output(), "commit.json").is_empty()
        {
            continue;
        }
        if round % 2 == 0 {
            let planned = call(&["maintain", "--tables", &place.output(), "--dry-run", "--format", "json"]);
            let report: serde_json::Value = serde_json::from_slice(&planned.stdout).unwrap();
            assert_eq!((&report["commits_ended"], row_counts(&place).0), (&1.into(), 0), "announced and not done: {report}");
            assert!(report["plan"]["commits"][0]["tables"].to_string().contains("rows added in 16 buckets"), "{report}");
            let maintained = call(&["maintain", "--tables", &place.output()]);
            assert!(
                stdout(&maintained).contains("1 commit of an interrupted run completed"),
                "{}{}",
                stdout(&maintained),
                stderr(&maintained)
            );
        } else {
            let other = Place::new();
            other.put("b.jsonl", trace("other", "boom"));
            let output = call(&["run", "--input", &other.input(), "--output", &place.output()]);
            assert!(output.status.success(), "{}", stderr(&output));
        }
        let found = &place.rows("select count(*) n, count(distinct trace_id) u from patterns where trace_id <> 'other'")[0];
        assert_eq!((&found["n"], &found["u"]), (&2_000.into(), &2_000.into()));
        let errors = place.rows("select run_id from errors");
        assert_eq!(errors.len(), 1);
        let run = &errors[0]["run_id"];
        assert!(place.rows("select run_id from runs").iter().any(|row| row["run_id"] == *run), "its summary is there too");
        return;
    }
    panic!("no run was killed during its commit");
}

#[test]
fn commit_every_makes_finished_patterns_visible_before_the_end() {
    let place = Place::new();
    many_traces(&place);
    place.put("broken.jsonl", "broken\n".repeat(3) + &trace("t-0", "boom"));
    place.run(&[]);
    let mut run = start(&place, &["--commit-every", "1s"]);
    let (mut parts, mut seen) = (0, place.rows("select count(*) n from patterns group by run_id").len());
    while run.try_wait().unwrap().is_none() {
        let now = place.rows("select count(*) n from patterns group by run_id").len();
        parts += usize::from(now != seen);
        seen = now;
        let row = &place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0];
        assert_eq!((&row["n"], &row["u"]), (&TRACES.into(), &TRACES.into()), "at any moment one row per trace");
    }
    assert!(run.wait().unwrap().success());
    assert!(parts > 0, "rows of both runs were visible before the end");
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 3);
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 2);
    assert_eq!(row_counts(&place).2, 1, "at the end all rows are from the second run");
}

#[test]
fn a_stray_file_in_the_staging_folder_is_ignored() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let staging = place.path().join("out/_staging");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("notes.txt"), "x").unwrap();
    assert_eq!(place.run(&[])["stored"], 1);
}
