//! `--since-last-run`: a run reads what is new or changed, and a pattern is still made from the whole trace.

use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::staging::{signal_when_staged, start};
use crate::support::{Place, call, failsift, stderr, trace};

const SINCE: &str = "--since-last-run";

/// Nights are a day apart, and files of one night have different times.
const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;

/// Writes an input that was modified this long after the start of the tests' calendar.
fn put_at(place: &Place, name: &str, content: &str, seconds: u64) {
    let path = place.path().join("in").join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, content).unwrap();
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_006_400 + seconds);
    std::fs::File::options().append(true).open(path).unwrap().set_modified(time).unwrap();
}

/// A part of a trace: one span for each number. Span 1 is the root; the last span of a trace with a message failed.
fn part(id: &str, spans: &[u64], message: Option<&str>) -> String {
    let span = |number: &u64| {
        let failed = message.filter(|_| Some(number) == spans.last());
        json!({
            "span_id": number.to_string(), "parent_span_id": (*number > 1).then_some("1"), "name": format!("step {number}"),
            "kind": if *number == 1 { "agent" } else { "tool" }, "status": if failed.is_some() { "error" } else { "ok" }, "status_message": failed,
            "started_at": format!("2026-11-23T09:00:{number:02}Z"), "ended_at": format!("2026-11-23T09:00:{number:02}.5Z"),
            "output": [{"role": "assistant", "content": "done"}],
        })
    };
    let spans: Vec<Value> = spans.iter().map(span).collect();
    json!({"trace_id": id, "service": "shop", "started_at": "2026-11-23T09:00:00Z", "spans": spans}).to_string() + "\n"
}

fn counts(summary: &Value) -> (u64, u64, u64) {
    let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key}: {summary}"));
    (count("objects_read"), count("objects_unchanged"), count("stored"))
}

fn spans_total(place: &Place, trace_id: &str) -> u64 {
    let row = place.rows(&format!("select spans_total from patterns where trace_id = '{trace_id}'")).remove(0);
    row["spans_total"].as_u64().unwrap()
}

/// Runs over the input folder; returns the notes on stderr.
fn notes(place: &Place, more: &[&str]) -> String {
    let (input, output) = (place.input(), place.output());
    let mut arguments = vec!["run", "--input", &input, "--output", &output, SINCE];
    arguments.extend(more);
    let run = call(&arguments);
    assert_eq!(run.status.code(), Some(0), "{}", stderr(&run));
    stderr(&run)
}

#[test]
fn each_night_reads_what_is_new_and_a_night_without_anything_is_complete() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &(trace("t-1", "boom") + &trace("t-2", "boom")), 0);
    let first = place.run(&[SINCE]);
    assert_eq!((counts(&first), &first["since_run"]), ((1, 0, 2), &Value::Null));
    put_at(&place, "2.jsonl", &trace("t-3", "boom"), DAY);
    let second = place.run(&[SINCE]);
    assert_eq!((counts(&second), &second["since_run"]), ((1, 1, 1), &first["run_id"]));
    let third = place.run(&[SINCE]);
    assert_eq!((counts(&third), &third["received"], &third["status"]), ((0, 2, 0), &0.into(), &"complete".into()));
    assert_eq!(third["since_run"], second["run_id"]);
    put_at(&place, "3.jsonl", &trace("t-4", "boom"), 2 * DAY);
    let fourth = place.run(&[SINCE]);
    assert_eq!((counts(&fourth), &fourth["since_run"]), ((1, 2, 1), &third["run_id"]));
    let read = &fourth["inputs_read"][0];
    assert_eq!((&read["objects"], &read["newest_object_at"]), (&3.into(), &"2023-11-17T00:00:00Z".into()));
    let found = &place.rows("select count(*) n, count(distinct run_id) r, (select count(*) from runs) runs from patterns")[0];
    assert_eq!((&found["n"], &found["r"], &found["runs"]), (&4.into(), &3.into(), &4.into()));
    // A run without the flag reads everything, and counts for later ones.
    assert_eq!(place.run(&[])["objects_read"], 3);
    assert_eq!(counts(&place.run(&[SINCE])), (0, 3, 0));
}

#[test]
fn what_is_read_is_said() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &trace("t-1", "boom"), 0);
    assert!(notes(&place, &[]).contains("note: no earlier run of this pipeline has read these inputs, so everything was read"));
    let second = notes(&place, &[]);
    assert!(second.contains("note: nothing is new since run ") && second.contains(": the only object was read before"), "{second}");
    put_at(&place, "2.jsonl", &trace("t-2", "boom"), DAY);
    let changed = notes(&place, &["--excerpts", "none"]);
    assert!(changed.contains("what was read before is not analyzed again") && changed.contains("hint: run once without"), "{changed}");
    assert_eq!(place.rows("select trace_id from patterns").len(), 2);
    assert!(!notes(&place, &["--excerpts", "none"]).contains("settings"), "the settings are those of the last run");
}

#[test]
fn a_late_file_is_read_whatever_its_time() {
    let place = Place::new();
    for (name, time) in [("a", 0), ("b", 10 * DAY), ("c", 10 * DAY + 30 * 60), ("d", 20 * DAY)] {
        put_at(&place, &format!("{name}.jsonl"), &trace(name, "boom"), time);
    }
    place.run(&[SINCE]);
    // Of a time at which nothing was known, between known files of one day, and of the very second of the newest file.
    for (name, time, read) in [("early", 3 * DAY, 1), ("between", 10 * DAY + 60, 3), ("newest", 20 * DAY, 2)] {
        put_at(&place, &format!("{name}.jsonl"), &trace(name, "boom"), time);
        let summary = place.run(&[SINCE]);
        assert_eq!((&summary["objects_read"], &summary["stored"]), (&read.into(), &read.into()), "{name}");
        assert_eq!(place.rows(&format!("select 1 from patterns where trace_id = '{name}'")).len(), 1);
    }
    assert_eq!(counts(&place.run(&[SINCE])), (0, 7, 0));
}

#[test]
fn a_file_that_was_overwritten_is_read_and_one_that_vanished_is_nothing_new() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &trace("t-1", "first"), 0);
    put_at(&place, "2.jsonl", &trace("t-2", "first"), DAY);
    place.run(&[SINCE]);
    // The same size and time as before.
    put_at(&place, "1.jsonl", &trace("t-1", "other"), 0);
    assert_eq!(counts(&place.run(&[SINCE])), (1, 1, 1));
    let evidence = place.rows("select evidence from patterns where trace_id = 't-1'").remove(0);
    assert!(evidence.to_string().contains("other"), "{evidence}");
    std::fs::remove_file(place.path().join("in/1.jsonl")).unwrap();
    assert_eq!(counts(&place.run(&[SINCE])), (0, 1, 0));
    assert_eq!(place.rows("select 1 from patterns").len(), 2);
}

#[test]
fn the_rest_of_a_trace_is_joined_with_what_was_read_before() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &(part("t-1", &[1, 2], None) + &trace("t-2", "boom") + "broken\n"), 0);
    put_at(&place, "2.jsonl", &part("t-1", &[3], None), 60);
    let first = place.run(&[SINCE, "--max-error-rate", "1"]);
    assert_eq!(first["stored"], 2);
    // Once more spans than before, and once fewer.
    for (night, spans, total) in [(1, &[4, 5, 6, 7, 8][..], 8), (2, &[9][..], 9)] {
        put_at(&place, &format!("{night}-later.jsonl"), &part("t-1", spans, Some("boom")), night * DAY);
        let summary = place.run(&[SINCE]);
        assert_eq!((counts(&summary), &summary["received"], &summary["traces_continued"]), ((1, 1 + night, 1), &1.into(), &1.into()));
        assert_eq!(spans_total(&place, "t-1"), total, "night {night}");
    }
    let row = place.rows("select source_uris, contributing_factor f from patterns where trace_id = 't-1'").remove(0);
    assert_eq!(row["source_uris"].as_array().unwrap().len(), 4, "{row}");
    assert_ne!(row["f"], "no_failure_found");
    // What else is in these objects keeps its outcome.
    assert_eq!(place.rows("select run_id from patterns where trace_id = 't-2'")[0]["run_id"], first["run_id"]);
    assert_eq!(place.rows("select run_id from errors"), [json!({"run_id": first["run_id"]})]);
}

#[test]
fn a_trace_whose_earlier_file_is_gone_keeps_its_fuller_pattern() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &part("t-1", &[1, 2], Some("boom")), 0);
    put_at(&place, "2.jsonl", &part("t-1", &[3, 4, 5], None), DAY);
    place.run(&[SINCE]);
    assert_eq!(spans_total(&place, "t-1"), 5);
    std::fs::remove_file(place.path().join("in/2.jsonl")).unwrap();
    put_at(&place, "3.jsonl", &part("t-1", &[6], None), 2 * DAY);
    let summary = place.run(&[SINCE]);
    assert_eq!((&summary["stored"], &summary["unchanged"], &summary["kept_fuller"]), (&0.into(), &1.into(), &1.into()));
    assert_eq!(spans_total(&place, "t-1"), 5);
}

#[test]
fn a_trace_that_a_selection_left_out_is_whole_when_it_fails_later() {
    let place = Place::new();
    let select = [SINCE, "--select", "failed"];
    put_at(&place, "1.jsonl", &part("t-1", &[1, 2, 3], None), 0);
    assert_eq!(place.run(&select)["filtered"], 1);
    put_at(&place, "2.jsonl", &part("t-1", &[4], Some("boom")), 60);
    let summary = place.run(&select);
    assert_eq!((counts(&summary), spans_total(&place, "t-1")), ((1, 1, 1), 4));
}

#[test]
fn a_temporary_failure_is_retried_without_reading_everything_again() {
    let place = Place::new();
    put_at(&place, "0.jsonl", &trace("t-0", "boom"), 0);
    place.run(&[SINCE]);
    let long: Vec<u64> = (1..60).collect();
    let text = part("t-1", &long, Some("boom")).replace("\"done\"", &format!("{:?}", "a word and another. ".repeat(2_000)));
    put_at(&place, "1.jsonl", &text, DAY);
    let slow = place.run(&[SINCE, "--trace-timeout", "0.001", "--max-error-rate", "1"]);
    assert_eq!((&slow["timed_out"], &slow["stored"]), (&1.into(), &0.into()));
    let retried = place.run(&[SINCE, "--trace-timeout", "600"]);
    assert_eq!((counts(&retried), &retried["received"]), ((0, 2, 1), &1.into()));
    assert_eq!((spans_total(&place, "t-1"), place.rows("select 1 from errors").len()), (59, 0));
    assert_eq!(place.run(&[SINCE])["received"], 0);
}

#[test]
fn an_interrupted_run_does_not_count_as_read() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &trace("t-1", "boom"), 0);
    let first = place.run(&[SINCE]);
    let many: String = (0..9_000).map(|number| trace(&format!("m-{number}"), "boom")).collect();
    put_at(&place, "2.jsonl", &many, DAY);
    for signal in [Signal::SIGINT, Signal::SIGKILL] {
        assert!(signal_when_staged(&place, start(&place, &[SINCE]), "patterns-", signal));
    }
    let complete = place.run(&[SINCE]);
    assert_eq!(
        (&complete["since_run"], &complete["objects_read"], &complete["objects_unchanged"]),
        (&first["run_id"], &1.into(), &1.into())
    );
    assert_eq!(place.rows("select count(*) n, count(distinct trace_id) u from patterns"), [json!({"n": 9_001, "u": 9_001})]);
    assert_eq!(place.rows("select 1 from errors").len(), 0);
    let recorded = place.rows("select status, inputs_read is null as unrecorded from runs order by started_at");
    assert!(recorded.iter().all(|row| row["unrecorded"] == (row["status"] == "interrupted")), "{recorded:?}");
}

#[test]
fn a_new_input_and_a_wider_selection_are_read_whole() {
    let place = Place::new();
    put_at(&place, "a/1.jsonl", &trace("t-1", "boom"), 0);
    put_at(&place, "b/2.jsonl", &trace("t-2", "boom"), 0);
    let (a, b, output) = (format!("{}/a", place.input()), format!("{}/b", place.input()), place.output());
    let run = |more: &[&str]| {
        let mut arguments = vec!["run", "--output", &output, "--format", "json", SINCE, "--input", &a];
        arguments.extend(more);
        let run = call(&arguments);
        assert!(run.status.success(), "{}", stderr(&run));
        (serde_json::from_slice::<Value>(&run.stdout).unwrap(), stderr(&run))
    };
    run(&[]);
    let (both, notes) = run(&["--input", &b]);
    assert_eq!(counts(&both), (1, 1, 1));
    assert!(notes.contains(&format!("no earlier run of this pipeline has read {b} with this selection")), "{notes}");
    assert_eq!(counts(&run(&["--input", &b]).0), (0, 2, 0), "each input has its own record");
    for other in [["--service", "shop"], ["--select", "failed"], ["--input-format", "failsift"]] {
        assert_eq!(run(&other).0["objects_read"], 1, "{other:?}");
    }
    // What a run left out before its `--since` is read by a run that wants it.
    for (since, read) in [("2026-11-20", 0), ("2026-11-21", 0), ("2026-11-01", 1), ("2026-11-02", 0)] {
        assert_eq!(run(&["--since", since]).0["objects_read"], read, "{since}");
    }
    assert_eq!(run(&[]).0["objects_read"], 1);
    let refused = call(&["run", "--input", &a, "--output", &output, SINCE, "--until", "1h"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("--since-last-run cannot be used with --until"), "{}", stderr(&refused));
}

#[test]
fn the_pipelines_of_one_output_do_not_count_for_each_other() {
    let place = Place::new();
    put_at(&place, "1.jsonl", &trace("t-1", "boom"), 0);
    let run = |name: &str| {
        let file = place.path().join(format!("{name}.toml"));
        let (input, output) = (place.input(), place.output());
        std::fs::write(&file, format!("[source]\ninputs = [{input:?}]\nsince_last_run = true\n[write]\noutput = {output:?}\n")).unwrap();
        let run = call(&["run", file.to_str().unwrap(), "--format", "json"]);
        assert!(run.status.success(), "{}", stderr(&run));
        counts(&serde_json::from_slice(&run.stdout).unwrap())
    };
    assert_eq!(run("one"), (1, 0, 1));
    assert_eq!(run("two"), (1, 0, 1));
    assert_eq!(run("one"), (0, 1, 0));
    // Whoever removes the patterns wants all of them again.
    std::fs::remove_dir_all(place.path().join("out/patterns")).unwrap();
    assert_eq!(run("one"), (1, 0, 1));
}

#[test]
fn an_input_without_versions_is_always_read_and_a_name_that_cannot_be_read_is_reported_once() {
    let place = Place::new();
    let run = |input: &str| {
        let arguments = ["run", "--input", input, "--output", &place.output(), SINCE, "--format", "json", "--max-error-rate", "1"];
        let mut child = failsift(&arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), trace("t-1", "boom").as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    for _ in 0..2 {
        let piped = run("-");
        assert_eq!((&piped["objects_read"], &piped["stored"], &piped["inputs_read"]), (&1.into(), &1.into(), &json!([])));
    }
    put_at(&place, "1.jsonl", &trace("t-2", "boom"), 0);
    std::os::unix::fs::symlink("gone", place.path().join("in/dangling.jsonl")).unwrap();
    assert_eq!(run(&place.input())["processing_errors"], 1);
    let second = run(&place.input());
    assert_eq!((&second["received"], &second["objects_unchanged"]), (&0.into(), &2.into()));
    assert_eq!(place.rows("select 1 from errors").len(), 1);
    // An empty folder is still a mistake.
    let empty = place.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_failsift"))
        .args(["run", SINCE, "--input"])
        .arg(empty)
        .args(["--output", &place.output()])
        .output();
    assert_eq!(run.unwrap().status.code(), Some(1));
}
