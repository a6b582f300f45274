//! Interrupted runs: paid answers are kept, and the next run reuses them.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{command, error_kinds, one_kind, run, workspace};
use crate::model_stub::{ModelStub, Reaction};
use crate::support::stderr;

/// Kills runs at different moments, then lets one finish.
fn kill_runs(kills: usize, traces: usize) {
    const CONCURRENCY: usize = 8;
    let workspace = workspace(traces);
    let stub = ModelStub::start(|request| {
        Reaction::Delay(Duration::from_millis(20 + (request.number as u64 * 37) % 60), Box::new(Reaction::Answer))
    });
    let (input, out) = (workspace.input(), workspace.output());
    let arguments = ["run", "--format", "json", "--input", &input, "--output", &out, "--concurrency", "8"];
    let mut hits = 0;
    for kill in 0..kills {
        let mut child = command(&stub, "gemini", &arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(300 + (kill as u64 * 131) % 400));
        hits += usize::from(child.try_wait().unwrap().is_none());
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let (output, summary) = run(&workspace, &stub, "gemini", &["--concurrency", "8"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stub.request_count() <= traces + CONCURRENCY * kills,
        "{} requests for {traces} traces and {kills} kills: {summary}",
        stub.request_count()
    );
    assert!(hits > kills / 2, "only {hits} kills hit a run");
    let rows = workspace.rows("SELECT count(*) AS n, count(DISTINCT trace_id) AS traces, count(DISTINCT title) AS titles FROM patterns");
    assert_eq!(rows, [json!({"n": traces, "traces": traces, "titles": 1})]);
    assert!(error_kinds(&workspace).is_empty());
    assert_eq!(summary["stored"].as_u64().unwrap() + summary["unchanged"].as_u64().unwrap(), traces as u64);
}

#[test]
fn a_kill_costs_at_most_the_answers_in_flight() {
    kill_runs(3, 120);
}

#[test]
#[ignore = "takes half a minute; tests/run runs it"]
fn ten_kills_cost_at_most_the_answers_in_flight() {
    kill_runs(10, 400);
}

#[test]
fn an_interrupted_run_keeps_every_paid_answer() {
    let (workspace, stub) = (workspace(200), ModelStub::start(|_| Reaction::Delay(Duration::from_millis(150), Box::new(Reaction::Answer))));
    let (input, out) = (workspace.input(), workspace.output());
    let arguments = ["run", "--format", "json", "--input", &input, "--output", &out];
    let child = command(&stub, "gemini", &arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while stub.request_count() < 20 {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(summary["stored"].as_u64(), Some(stub.request_count() as u64), "every answer is a row: {summary}");
    let before = stub.request_count();
    let (_, summary) = run(&workspace, &stub, "gemini", &[]);
    assert_eq!((summary["unchanged"].as_u64(), stub.request_count()), (Some(before as u64), 200), "{summary}");
}

#[test]
fn an_unchanged_trace_with_a_pattern_is_removed_from_errors() {
    let is_usable = Arc::new(AtomicBool::new(true));
    let (workspace, answers_well) = (workspace(3), Arc::clone(&is_usable));
    let stub = ModelStub::start(move |_| if answers_well.load(Ordering::Relaxed) { Reaction::Answer } else { Reaction::Block });
    run(&workspace, &stub, "gemini", &[]);
    is_usable.store(false, Ordering::Relaxed);
    run(&workspace, &stub, "gemini", &["--force"]);
    assert_eq!((error_kinds(&workspace), stub.request_count()), (one_kind("answer_blocked", 3), 6));
    let (_, summary) = run(&workspace, &stub, "gemini", &[]);
    assert_eq!((summary["unchanged"].as_u64(), stub.request_count()), (Some(3), 6), "{summary}");
    assert!(error_kinds(&workspace).is_empty() && workspace.rows("SELECT 1 FROM patterns").len() == 3);
}
