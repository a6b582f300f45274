//! The table `fingerprints`: how often a failure was seen, since when, and what sets its traces apart.

use std::fmt::Write;
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Place, call, failsift, stderr, stdout, trace};

/// A trace of the service `shop` that answers, or whose tool `lookup` fails.
fn shop_trace(id: &str, is_failed: bool, environment: &str, day: u32) -> String {
    let at = |second: u32| format!("2026-11-{day:02}T09:00:{second:02}Z");
    let question = json!([{"role": "user", "content": "Where is my order 7?"}]);
    let answer = json!([{"role": "assistant", "content": "Your order 7 ships tomorrow."}]);
    let mut root =
        json!({"span_id": "1", "name": "agent", "kind": "agent", "status": "ok", "ended_at": at(3), "input": question, "output": answer});
    let model = json!({"span_id": "2", "parent_span_id": "1", "name": "chat", "kind": "llm", "status": "ok", "model": "gpt-4o", "provider": "openai",
        "finish_reasons": ["stop"], "input": question, "output": answer, "ended_at": at(1)});
    let mut tool = json!({"span_id": "3", "parent_span_id": "1", "name": "lookup", "kind": "tool", "status": "ok", "ended_at": at(2),
        "tool": {"name": "lookup", "arguments": {"id": 7}, "result": "{\"state\": \"shipped\"}"}});
    if is_failed {
        tool["status"] = "error".into();
        tool["status_message"] = "connection refused".into();
        tool["tool"].as_object_mut().unwrap().remove("result");
        root["status"] = "error".into();
        root.as_object_mut().unwrap().remove("output");
    }
    let trace = json!({"trace_id": id, "service": "shop", "environment": environment, "started_at": at(0), "spans": [root, model, tool]});
    trace.to_string() + "\n"
}

fn shop_traces(prefix: &str, count: usize, is_failed: bool, environment: &str, day: u32) -> String {
    (0..count).map(|number| shop_trace(&format!("{prefix}-{number}"), is_failed, environment, day)).collect()
}

/// The row of the failed traces.
fn failed_row(place: &Place) -> Value {
    let mut rows = place.rows("select * from fingerprints where category <> 'unclassified'");
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows.remove(0)
}

const SENTENCE: &str = "All 40 ran in the environment staging; none of the 60 healthy traces of shop did.";

#[test]
fn what_only_failed_traces_have_is_in_the_table_the_page_and_the_summary() {
    let place = Place::new();
    place.put("a.jsonl", shop_traces("bad", 40, true, "staging", 21) + &shop_traces("good", 60, false, "production", 22));
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert!(stdout(&output).contains(SENTENCE), "{}{}", stdout(&output), stderr(&output));
    let row = failed_row(&place);
    let expected = json!([{"dimension": "environment", "value": "staging", "traces": 40, "healthy_traces": 0, "healthy_traces_compared": 60,
        "sentence": SENTENCE}]);
    assert_eq!(row["differences"], expected, "the model and the tool are the same, and the tool works for others");
    assert_eq!(
        (&row["traces"], &row["healthy_traces"], &row["services"], &row["users"]),
        (&40.into(), &60.into(), &1.into(), &Value::Null)
    );
    let shown = call(&["show", "bad-7", "--tables", &place.output()]);
    for line in ["40 traces in the run of ", "(60 healthy of the same service)", "first 2026-11-21, last 2026-11-21", SENTENCE] {
        assert!(stdout(&shown).contains(line), "{line}: {}", stdout(&shown));
    }
    let shown = call(&["show", "bad-7", "--tables", &place.output(), "--format", "json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!(shown["fingerprint"], row);
    // A healthy trace names the model of its last call too.
    let models = place.rows("select distinct model_name, provider, failed_span_id from patterns where category = 'unclassified'");
    assert_eq!(models, [json!({"model_name": "gpt-4o", "provider": "openai", "failed_span_id": null})]);
    let counted = "select (select sum(traces) from fingerprints) f, (select count(*) from patterns) p, \
        (select count(*) from patterns p join fingerprints f on p.fingerprint = f.fingerprint) j";
    assert_eq!(place.rows(counted), [json!({"f": 100, "p": 100, "j": 100})]);
}

#[test]
fn what_healthy_traces_have_too_is_not_told() {
    let place = Place::new();
    place.put("a.jsonl", shop_traces("bad", 40, true, "production", 21) + &shop_traces("good", 60, false, "production", 22));
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert!(!stdout(&output).contains("in common"), "{}", stdout(&output));
    assert_eq!(failed_row(&place)["differences"], json!([]));
}

#[test]
fn counts_are_of_the_last_run_and_times_of_all_runs() {
    let place = Place::new();
    place.put("a.jsonl", shop_traces("a", 12, true, "production", 10));
    let first_run = place.run(&[])["run_id"].clone();
    std::fs::remove_file(place.path().join("in/a.jsonl")).unwrap();
    place.put("b.jsonl", shop_traces("b", 3, true, "production", 20));
    let last_run = place.run(&[])["run_id"].clone();
    let row = failed_row(&place);
    assert_eq!((&row["traces"], &row["run_id"], &row["first_run_id"], &row["runs_seen"]), (&3.into(), &last_run, &first_run, &2.into()));
    let times = ["first_seen_at", "last_seen_at", "run_first_seen_at", "run_last_seen_at"].map(|column| row[column].as_str().unwrap());
    let (first, last) = ("2026-11-10T09:00:00Z", "2026-11-20T09:00:00Z");
    assert_eq!(times, [first, last, last, last]);
    // A run that does not see it leaves the row alone, and one over earlier traces moves the first time.
    std::fs::remove_file(place.path().join("in/b.jsonl")).unwrap();
    place.put("good.jsonl", shop_traces("good", 2, false, "production", 25));
    place.run(&[]);
    assert_eq!(failed_row(&place), row);
    place.put("c.jsonl", shop_traces("c", 1, true, "production", 5));
    place.run(&[]);
    let row = failed_row(&place);
    assert_eq!((&row["first_seen_at"], &row["last_seen_at"]), (&"2026-11-05T09:00:00Z".into(), &last.into()));
}

#[test]
fn running_again_changes_only_the_run() {
    let place = Place::new();
    place.put("a.jsonl", shop_traces("bad", 40, true, "staging", 21) + &shop_traces("good", 60, false, "production", 22));
    let rows = || {
        let mut rows = place.rows("select * from fingerprints order by fingerprint");
        for row in &mut rows {
            for column in ["run_id", "run_started_at", "runs_seen"] {
                assert!(row.as_object_mut().unwrap().remove(column).is_some());
            }
        }
        rows
    };
    place.run(&[]);
    let first = rows();
    place.run(&[]);
    assert_eq!(rows(), first);
    assert_eq!(place.rows("select distinct runs_seen from fingerprints"), [json!({"runs_seen": 2})]);
}

#[test]
fn concurrent_runs_lose_no_time_and_no_run() {
    let place = Place::new();
    let inputs: Vec<String> = (1..=4)
        .map(|day| place.put(&format!("{day}.jsonl"), shop_traces(&format!("t{day}"), 3, true, "production", day)).display().to_string())
        .collect();
    std::thread::scope(|scope| {
        let runs: Vec<_> =
            inputs.iter().map(|input| scope.spawn(|| call(&["run", "--input", input, "--output", &place.output()]))).collect();
        for run in runs {
            let output = run.join().unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
    });
    let row = failed_row(&place);
    assert_eq!((&row["first_seen_at"], &row["last_seen_at"]), (&"2026-11-01T09:00:00Z".into(), &"2026-11-04T09:00:00Z".into()));
    assert_eq!((&row["runs_seen"], &row["traces"]), (&4.into(), &3.into()));
}

#[test]
fn the_work_of_an_interrupted_run_is_counted_by_the_next_one() {
    let place = Place::new();
    // More than fit into one staged file, so that some are recovered.
    let traces = 20_000;
    place.put("many.jsonl", (0..traces).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
    let output = place.output();
    let mut run =
        failsift(&["run", "--input", &place.input(), "--output", &output]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let is_staged = || {
        let folders = std::fs::read_dir(place.path().join("out/_staging")).into_iter().flatten().flatten();
        let mut files = folders.filter_map(|folder| std::fs::read_dir(folder.path()).ok()).flatten().flatten();
        files.any(|file| file.file_name().to_string_lossy().starts_with("patterns-"))
    };
    while !is_staged() && run.try_wait().unwrap().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).unwrap();
    run.wait().unwrap();
    place.run(&[]);
    let counted = "select sum(traces) traces, count(distinct run_id) runs from fingerprints";
    assert_eq!(place.rows(counted), [json!({"traces": traces, "runs": 1})]);
}

#[test]
fn many_fingerprints_are_bounded_and_what_is_left_out_is_said() {
    let place = Place::new();
    let services = 10_050;
    let named = |number: usize| trace(&format!("t-{number}"), "boom").replace("\"shop\"", &format!("\"shop-{number}\""));
    let lines = (0..services).fold(String::new(), |mut lines, number| {
        write!(lines, "{}", named(number)).unwrap();
        lines
    });
    place.put("many.jsonl", lines);
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("more than 10000 fingerprints") && stderr(&output).contains("traces=50"), "{}", stderr(&output));
    assert_eq!(place.rows("select count(*) n, sum(traces) t from fingerprints"), [json!({"n": 10_000, "t": 10_000})]);
}

#[test]
fn tables_of_an_earlier_version_get_the_table_with_the_next_run() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    place.run(&[]);
    std::fs::remove_dir_all(place.path().join("out/fingerprints")).unwrap();
    let shown = call(&["show", "t-1", "--tables", &place.output()]);
    assert!(shown.status.success() && !stdout(&shown).contains("Seen"), "{}{}", stdout(&shown), stderr(&shown));
    for command in ["audit", "maintain"] {
        let output = call(&[command, "--tables", &place.output()]);
        assert!(output.status.success(), "{}", stderr(&output));
    }
    place.run(&[]);
    assert_eq!(place.rows("select traces from fingerprints"), [json!({"traces": 1})]);
    // The state before has no such table.
    let before = call(&["query", "--tables", &place.output(), "--as-of", "1", "--format", "json", "select count(*) n from patterns"]);
    assert!(before.status.success(), "{}", stderr(&before));
    let shown = call(&["show", "t-1", "--tables", &place.output()]);
    assert!(stdout(&shown).contains("\nSeen\n  1 trace in the run of"), "{}", stdout(&shown));
}
