//! What a killed run had finished is there for the next one, and nothing of it is visible before.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::{Place, call, failsift, stderr, stdout, trace};

/// More than are staged at once, so that some are staged long before the run ends.
const TRACES: usize = 30_000;

fn many_traces(place: &Place) {
    place.put("many.jsonl", (0..TRACES).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
}

fn start(place: &Place, more: &[&str]) -> Child {
    let (input, output) = (place.input(), place.output());
    let mut arguments = vec!["run", "--input", &input, "--output", &output];
    arguments.extend(more);
    failsift(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// Staged files whose names begin so.
fn staged(output: &str, prefix: &str) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(Path::new(output).join("_staging")).into_iter().flatten().flatten();
    let files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten().map(|file| file.path());
    let wanted = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(prefix) && !name.contains('#')
    };
    files.filter(wanted).collect()
}

/// Sends a signal once a file of that name is staged; says whether the run was still going on.
fn signal_when_staged(place: &Place, mut run: Child, prefix: &str, signal: Signal) -> bool {
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

fn counted(place: &Place) -> (u64, u64, u64) {
    let row = &place.rows("select count(*) n, count(distinct trace_id) u, count(distinct run_id) r from patterns")[0];
    let count = |key: &str| row[key].as_u64().unwrap();
    (count("n"), count("u"), count("r"))
}

#[test]
fn the_next_run_takes_up_what_a_killed_one_had_finished() {
    let all = u64::try_from(TRACES).unwrap();
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    assert_eq!(counted(&place), (0, 0, 0), "nothing is visible");
    // Other settings would give other patterns, so what is staged is not theirs.
    assert_eq!(place.run(&["--excerpts", "none"])["stored"], all);
    assert_eq!(counted(&place), (all, all, 1));
    assert!(!staged(&place.output(), "patterns-").is_empty(), "it waits for a run of the same job");
    // An interrupted run does not use it all up, and what it did not ask for waits on.
    assert!(signal_when_staged(&place, start(&place, &[]), "taken-", Signal::SIGINT));
    assert_eq!(place.run(&[])["stored"], all);
    let (rows, distinct, runs) = counted(&place);
    assert_eq!((rows, distinct), (all, all));
    assert!(runs >= 2, "rows of the killed run are kept: they were not analysed again");
    assert!(staged(&place.output(), "").is_empty(), "nothing is left behind");
}

#[test]
fn fresh_does_it_again() {
    let all = u64::try_from(TRACES).unwrap();
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    assert_eq!(place.run(&["--fresh"])["stored"], all);
    assert_eq!(counted(&place), (all, all, 1));
    assert!(staged(&place.output(), "").is_empty());
}

#[test]
fn a_trace_that_changed_is_analysed_again() {
    let place = Place::new();
    many_traces(&place);
    assert!(signal_when_staged(&place, start(&place, &[]), "patterns-", Signal::SIGKILL));
    let changed = |number: usize| if number.is_multiple_of(2) { "connection refused" } else { "boom" };
    place.put("many.jsonl", (0..TRACES).map(|number| trace(&format!("t-{number}"), changed(number))).collect::<String>());
    place.run(&[]);
    let all = u64::try_from(TRACES).unwrap();
    let (rows, distinct, runs) = counted(&place);
    assert_eq!((rows, distinct, runs), (all, all, 2));
    let old = place.rows(
        "select count(*) n from (select trace_id, unnest(evidence) e from patterns) where e['excerpt'] like '%boom%' and cast(substr(trace_id, 3) as int) % 2 = 0",
    );
    assert_eq!(old[0]["n"], 0, "no pattern is of a trace as it was before");
}

#[test]
fn a_commit_that_a_kill_cut_short_is_ended_by_whoever_comes_next() {
    for round in 0..20 {
        let place = Place::new();
        place.put("a.jsonl", (0..2_000).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>() + "broken\n");
        if !signal_when_staged(&place, start(&place, &[]), "commit.json", Signal::SIGKILL)
            || staged(&place.output(), "commit.json").is_empty()
        {
            continue;
        }
        if round % 2 == 0 {
            let maintained = call(&["maintain", "--tables", &place.output()]);
            assert!(stdout(&maintained).contains("1 commits of killed runs ended"), "{}{}", stdout(&maintained), stderr(&maintained));
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
    panic!("no kill met a commit");
}

#[test]
fn finished_patterns_are_visible_early_where_that_is_asked_for() {
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
        assert_eq!((&row["n"], &row["u"]), (&TRACES.into(), &TRACES.into()), "at every moment one row a trace");
    }
    assert!(run.wait().unwrap().success());
    assert!(parts > 0, "both runs were seen before the end");
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 3);
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 2);
    assert_eq!(counted(&place).2, 1, "in the end all rows are of the second run");
}

#[test]
fn a_stray_file_beside_the_folders_of_runs_fails_nothing() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let staging = place.path().join("out/_staging");
    std::fs::create_dir_all(&staging).unwrap();
    std::fs::write(staging.join("notes.txt"), "x").unwrap();
    assert_eq!(place.run(&[])["stored"], 1);
}
