//! `--if-running`: one run of a pipeline into an output at a time.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant, SystemTime};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::support::{Place, failsift, stderr, trace};

/// Starts a run that reads a pipe, so that the test decides when it ends.
pub(crate) fn start_piped(output: &str, environment: &[(&str, String)], more: &[&str]) -> Child {
    let mut arguments = vec!["run", "--input", "-", "--output", output, "--format", "json"];
    arguments.extend(more);
    let mut command = failsift(&arguments);
    command.envs(environment.iter().cloned()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

/// Ends the input of a run with one trace.
pub(crate) fn finish(mut run: Child, id: &str) -> Output {
    // It may have ended already.
    let _ = run.stdin.take().unwrap().write_all(trace(id, "boom").as_bytes());
    run.wait_with_output().unwrap()
}

fn summary(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", stderr(output)))
}

fn files_in_staging(place: &Place, prefix: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(place.path().join("out/_staging")).into_iter().flatten().flatten();
    // Files that are being written, and those by which processes take turns, have a `#` in their names.
    let is_whole = |name: &str| name.starts_with(prefix) && !name.contains('#');
    entries.map(|entry| entry.path()).filter(|path| is_whole(&path.file_name().unwrap().to_string_lossy())).collect()
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Starts a run and waits until it has its lock, or without one its folder.
fn start_holder(place: &Place, more: &[&str]) -> Child {
    let holder = start_piped(&place.output(), &[], more);
    wait_until("the run starts", || {
        let is_written = |folder: &PathBuf| folder.join("run.json").exists();
        if more.is_empty() { files_in_staging(place, "").iter().any(is_written) } else { !files_in_staging(place, "lock-").is_empty() }
    });
    holder
}

fn another(place: &Place, more: &[&str]) -> Output {
    finish(start_piped(&place.output(), &[], more), "t-2")
}

#[test]
fn a_run_is_skipped_fails_or_runs_beside_one_that_is_active() {
    for holder_flag in [&["--if-running", "fail"][..], &[]] {
        let place = Place::new();
        let holder = start_holder(&place, holder_flag);
        let skipped = another(&place, &["--if-running", "skip"]);
        let (row, message) = (summary(&skipped), stderr(&skipped));
        assert_eq!((skipped.status.code(), &row["status"], &row["stored"]), (Some(0), &"skipped".into(), &0.into()), "{message}");
        assert!(message.contains("note: skipped, because run ") && message.contains(" of this pipeline is active on "), "{message}");
        let failed = another(&place, &["--if-running", "fail"]);
        assert_eq!((failed.status.code(), failed.stdout.len()), (Some(1), 0));
        assert!(stderr(&failed).starts_with("error: cannot run: run ") && stderr(&failed).contains("hint: "), "{}", stderr(&failed));
        assert_eq!(summary(&another(&place, &[]))["stored"], 1, "without the flag both run");
        // Other inputs are another run: a scheduler may start one for each prefix.
        place.put("a.jsonl", trace("t-3", "boom"));
        assert_eq!(place.run(&["--if-running", "fail"])["stored"], 1);
        let held = finish(holder, "t-1");
        let held = summary(&held);
        assert_eq!((&held["status"], &held["stored"]), (&"complete".into(), &1.into()));
        assert!(message.contains(held["run_id"].as_str().unwrap()), "{message}");
        assert_eq!(place.rows("select status from runs").len(), 3, "a skipped run has no row");
        assert_eq!(summary(&another(&place, &["--if-running", "skip"]))["status"], "complete", "the other has ended");
        assert!(files_in_staging(&place, "lock-").is_empty());
    }
}

#[test]
fn a_run_waits_for_another_one_and_can_be_stopped_meanwhile() {
    let place = Place::new();
    let holder = start_holder(&place, &["--if-running", "wait"]);
    let waiting = start_piped(&place.output(), &[], &["--if-running", "wait"]);
    let stopped = start_piped(&place.output(), &[], &["--if-running", "wait"]);
    std::thread::sleep(Duration::from_secs(2));
    kill(Pid::from_raw(stopped.id().cast_signed()), Signal::SIGTERM).unwrap();
    let stopped = stopped.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(143), "{}", stderr(&stopped));
    assert!(stderr(&stopped).contains("stopped while waiting for another run; nothing was read"), "{}", stderr(&stopped));
    let held = summary(&finish(holder, "t-1"));
    let waited = finish(waiting, "t-2");
    assert_eq!(summary(&waited)["stored"], 1);
    assert!(stderr(&waited).contains(&format!("waiting: run {}", held["run_id"].as_str().unwrap())), "{}", stderr(&waited));
    let times = place.rows("select started_at, finished_at from runs order by finished_at");
    assert_eq!(times.len(), 2);
}

#[test]
fn a_killed_run_does_not_exclude_later_ones() {
    let place = Place::new();
    let mut holder = start_holder(&place, &["--if-running", "fail"]);
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert!(!files_in_staging(&place, "lock-").is_empty(), "it left its lock");
    let next = another(&place, &["--if-running", "fail"]);
    assert_eq!((next.status.code(), &summary(&next)["stored"]), (Some(0), &1.into()), "{}", stderr(&next));
    assert!(files_in_staging(&place, "lock-").is_empty(), "it removed the lock");
}

#[test]
fn a_run_on_another_machine_excludes_others_until_its_heartbeats_end() {
    let place = Place::new();
    let mut holder = start_holder(&place, &["--if-running", "fail"]);
    let lock = files_in_staging(&place, "lock-").remove(0);
    let record = std::fs::read_to_string(&lock).unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    std::fs::remove_dir_all(place.path().join("out/_staging")).unwrap();
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let mut elsewhere: Value = serde_json::from_str(&record).unwrap();
    elsewhere["process"]["boot"] = "another machine".into();
    std::fs::write(&lock, elsewhere.to_string()).unwrap();
    assert_eq!(another(&place, &["--if-running", "fail"]).status.code(), Some(1));
    let past = SystemTime::now() - Duration::from_mins(3);
    std::fs::File::options().append(true).open(&lock).unwrap().set_modified(past).unwrap();
    // Its last heartbeat counts, and not when it took the lock.
    let folder = lock.with_file_name(elsewhere["run"]["run_id"].as_str().unwrap());
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("run.json"), "{}").unwrap();
    assert_eq!(another(&place, &["--if-running", "fail"]).status.code(), Some(1));
    std::fs::File::options().append(true).open(folder.join("run.json")).unwrap().set_modified(past).unwrap();
    assert_eq!(another(&place, &["--if-running", "fail"]).status.code(), Some(0));
}

/// Starts runs at once; returns how many ended as skipped while one was active, and the result of that one.
pub(crate) fn race(output: &str, environment: &[(&str, String)], runs: usize) -> (usize, Output) {
    let mut active: Vec<Child> = (0..runs).map(|_| start_piped(output, environment, &["--if-running", "skip"])).collect();
    let mut skipped = 0;
    let end = Instant::now() + Duration::from_mins(2);
    while active.len() > 1 {
        let (ended, others): (Vec<Child>, Vec<Child>) = active.into_iter().map(|mut run| (run.try_wait().unwrap().is_some(), run)).fold(
            (vec![], vec![]),
            |mut split, (has_ended, run)| {
                if has_ended { &mut split.0 } else { &mut split.1 }.push(run);
                split
            },
        );
        active = others;
        for run in ended {
            let run = run.wait_with_output().unwrap();
            assert_eq!((run.status.code(), &summary(&run)["status"]), (Some(0), &"skipped".into()), "{}", stderr(&run));
            skipped += 1;
        }
        assert!(Instant::now() < end, "{} runs are active", active.len());
        std::thread::sleep(Duration::from_millis(20));
    }
    (skipped, finish(active.pop().expect("one run has the lock"), "t-1"))
}

#[test]
fn of_runs_that_start_at_once_exactly_one_runs() {
    let place = Place::new();
    for round in 1..=3 {
        let (skipped, output) = race(&place.output(), &[], 8);
        assert_eq!((skipped, &summary(&output)["status"]), (7, &"complete".into()), "round {round}");
        assert_eq!(place.rows("select status from runs").len(), round);
    }
}
