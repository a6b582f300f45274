//! Runs over time: the list, the summary of one, what changed between two, limits of a run, and runs that fail.

use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::support::{Place, call, failsift, stderr, stdout, trace};

/// A trace of `shop` that calls the tool `tool`, which fails if there is a message.
fn shop_trace(id: &str, version: &str, tool: &str, message: Option<&str>) -> String {
    let status = if message.is_some() { "error" } else { "ok" };
    let text = json!([{"role": "user", "content": "Where is my order 7?"}]);
    let mut root =
        json!({"span_id": "1", "name": "agent", "kind": "agent", "status": status, "ended_at": "2026-11-23T09:00:02Z", "input": text});
    let mut call = json!({"span_id": "2", "parent_span_id": "1", "name": tool, "kind": "tool", "status": status, "ended_at": "2026-11-23T09:00:01Z",
        "tool": {"name": tool, "arguments": {"id": 7}}});
    match message {
        Some(message) => (root["status_message"], call["status_message"]) = (message.into(), message.into()),
        None => {
            root["output"] = json!([{"role": "assistant", "content": "It ships tomorrow."}]);
            call["tool"]["result"] = "{\"state\": \"shipped\"}".into();
        }
    }
    let resource = json!({"service.version": version});
    let trace =
        json!({"trace_id": id, "service": "shop", "resource": resource, "started_at": "2026-11-23T09:00:00Z", "spans": [root, call]});
    trace.to_string() + "\n"
}

/// The traces of one night: 100 of one version, of which some fail.
fn night(version: &str, failed: impl Fn(usize) -> Option<(&'static str, &'static str)>) -> String {
    let of = |number: usize| {
        let failure = failed(number);
        shop_trace(&format!("t-{number}"), version, failure.map_or("lookup", |(tool, _)| tool), failure.map(|(_, message)| message))
    };
    (0..100).map(of).collect()
}

const RATE_LIMITED: (&str, &str) = ("lookup", "HTTP 429 Too Many Requests");
const DENIED: (&str, &str) = ("export", "permission denied");
const REFUSED: (&str, &str) = ("ship", "connection refused");

/// Three runs of the pipeline `nightly`. The second night has a version with which `ship` fails, `export` works again, and one failed trace is
/// not read any more; the third night is like the second. Returns the run ids.
fn three_nights(place: &Place) -> [String; 3] {
    let pipeline = place.path().join("nightly.toml");
    let (input, output) = (place.input(), place.output());
    std::fs::write(&pipeline, format!("[source]\ninputs = [{input:?}]\n[write]\noutput = {output:?}\nmax_error_rate = 1.0\n")).unwrap();
    let before = |number: usize| match number {
        0..10 => Some(RATE_LIMITED),
        10 => Some(DENIED),
        _ => None,
    };
    let after = |number: usize| match number {
        0..9 => Some(RATE_LIMITED),
        40..70 => Some(REFUSED),
        _ => None,
    };
    // Its id would colour a terminal.
    let unread = shop_trace("x-\u{1b}[31m1", "1.4.1", "pay", Some("HTTP 503 Service Unavailable"));
    let inputs = [night("1.4.1", before) + &unread, night("1.4.2", after) + "broken\n", night("1.4.2", after)];
    inputs.map(|text| {
        place.put("a.jsonl", text);
        // The default is too short for an unoptimized build on a busy machine.
        let mut run = failsift(&["run", pipeline.to_str().unwrap(), "--format", "json"]);
        let run = run.env("FAILSIFT_TRACE_TIMEOUT", "300").output().unwrap();
        assert!(run.status.success(), "{}", stderr(&run));
        serde_json::from_slice::<Value>(&run.stdout).unwrap()["run_id"].as_str().unwrap().to_owned()
    })
}

/// The output of `failsift runs`, which succeeds and contains no escape sequence.
fn runs(place: &Place, arguments: &[&str]) -> String {
    let output = place.output();
    let arguments: Vec<&str> = ["runs"].into_iter().chain(arguments.iter().copied()).chain(["--tables", &output]).collect();
    let output = call(&arguments);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stdout(&output).contains('\u{1b}'), "{}", stdout(&output));
    stdout(&output)
}

fn diff(place: &Place, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = ["diff", "--format", "json"].into_iter().chain(arguments.iter().copied()).collect();
    serde_json::from_str(&runs(place, &arguments)).unwrap()
}

/// The message of `failsift runs`, which fails as wrong usage.
fn refusal(place: &Place, arguments: &[&str]) -> String {
    let output = place.output();
    let arguments: Vec<&str> = ["runs"].into_iter().chain(arguments.iter().copied()).chain(["--tables", &output]).collect();
    let output = call(&arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stdout(&output));
    stderr(&output)
}

/// Factor, kind of change and both counts of each change.
fn changes(list: &Value) -> Vec<(String, String, u64, u64)> {
    let text = |change: &Value, key: &str| change[key].as_str().unwrap_or_default().to_owned();
    let of = |change: &Value| {
        let counts = (change["a_traces"].as_u64().unwrap(), change["b_traces"].as_u64().unwrap());
        (text(change, "contributing_factor"), text(change, "change"), counts.0, counts.1)
    };
    list.as_array().unwrap().iter().map(of).collect()
}

#[test]
fn what_the_last_deployment_broke() {
    let place = Place::new();
    let [first, second, third] = three_nights(&place);
    let found = diff(&place, &[&first, &second, "--by", "service.version"]);
    assert_eq!((&found["compared_by"], &found["a"]["traces"], &found["b"]["traces"]), (&"traces".into(), &101.into(), &100.into()));
    let shared = json!({"traces": 100, "fail_now": 30, "repaired": 2, "fail_otherwise": 0, "failed_not_analyzed_again": 1});
    assert_eq!(found["shared_traces"], shared);
    let kinds = [
        ("connection_refused", "new", 0, 30),
        ("permission_denied", "gone", 1, 0),
        ("service_unavailable", "not_seen", 1, 0),
        ("tool_rate_limited", "same", 10, 9),
    ];
    let kind_of = |kind: &str| {
        let found: Vec<_> = changes(&found["fingerprints"]).into_iter().filter(|(_, change, ..)| change == kind).collect();
        assert_eq!(found.len(), 1, "{kind}: {found:?}");
        (found[0].2, found[0].3)
    };
    for (_, kind, a, b) in kinds {
        assert_eq!(kind_of(kind), (a, b), "{kind}");
    }
    let new = &found["fingerprints"][0];
    assert_eq!((&new["change"], &new["is_significant"]), (&"new".into(), &true.into()), "{new}");
    assert!(new["example_trace_id"].as_str().unwrap().starts_with("t-") && new["title"].as_str().unwrap().contains("ship"), "{new}");
    let groups: Vec<(&Value, u64, u64)> = found["groups"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| (&group["value"], group["a_traces"].as_u64().unwrap(), group["b_traces"].as_u64().unwrap()))
        .collect();
    assert_eq!(groups, [(&json!("1.4.2"), 0, 100), (&json!("1.4.1"), 101, 0)]);
    assert_eq!(found["groups"][0]["compared_with"], "all");
    let text = runs(&place, &["diff", &first, &second, "--by", "service_version"]);
    insta::with_settings!({filters => vec![
        (r"[0-9a-f]{8}-[0-9a-f-]{27}", "[run id]"),
        (r"started \d{4}-\d\d-\d\d \d\d:\d\d", "started [time]"),
        (r"(?m)  [0-9a-f]{16}$", "  [fingerprint]"),
        (place.path().to_str().unwrap(), "[place]"),
    ]}, { insta::assert_snapshot!(text) });
    // Without arguments the last two complete runs are compared.
    let last = diff(&place, &[]);
    assert_eq!((&last["a"]["run_ids"][0], &last["b"]["run_ids"][0]), (&second.as_str().into(), &third.as_str().into()));
    assert!(changes(&last["fingerprints"]).iter().all(|(_, kind, ..)| kind == "same"), "{last}");
    assert_eq!(last["notes"], json!([]));
}

#[test]
fn runs_since_a_time_are_compared_with_as_many_before_it() {
    let place = Place::new();
    let [first, second, third] = three_nights(&place);
    let started =
        place.rows(&format!("select started_at from runs where run_id = '{second}'"))[0]["started_at"].as_str().unwrap().to_owned();
    let found = diff(&place, &["--since", &started]);
    assert_eq!((&found["b"]["run_ids"], &found["a"]["run_ids"]), (&json!([third, second]), &json!([first])));
    assert_eq!((&found["b"]["traces"], &found["b"]["errors"]), (&100.into(), &1.into()), "each trace counts once");
    assert_eq!(changes(&found["fingerprints"])[0].1, "new");
    assert!(refusal(&place, &["diff", "--since", "2020-01-01"]).contains("no complete run before 2020-01-01T00:00:00Z"));
    assert!(refusal(&place, &["diff", "--since", "0s"]).contains("no complete run since"));
    assert!(refusal(&place, &["diff", "--pipeline", "other"]).contains("there is no complete run"));
    assert!(refusal(&place, &["diff", &first, &first]).contains("is A and B"));
}

#[test]
fn where_maintenance_removed_a_version_counts_are_compared() {
    let place = Place::new();
    let [first, second, _] = three_nights(&place);
    let maintained = call(&["maintain", "--tables", &place.output(), "--retention", "0s", "--force"]);
    assert!(maintained.status.success(), "{}", stderr(&maintained));
    let found = diff(&place, &[&first, &second, "--by", "region"]);
    assert_eq!((&found["compared_by"], &found["shared_traces"], &found["groups"]), (&"counts".into(), &Value::Null, &json!([])));
    let notes = found["notes"].to_string();
    assert!(notes.contains("maintain removes old ones") && notes.contains("--by has no answer"), "{notes}");
    let kinds: Vec<(String, u64, u64)> = changes(&found["fingerprints"]).into_iter().map(|(_, kind, a, b)| (kind, a, b)).collect();
    let wanted = [("new", 0, 30), ("not_seen", 1, 0), ("not_seen", 1, 0), ("same", 10, 9)];
    assert_eq!(kinds, wanted.map(|(kind, a, b)| (kind.to_owned(), a, b)), "whether traces were analyzed again is not known");
    assert!(runs(&place, &["diff", &first, &second]).contains("note: a version of patterns"));
}

#[test]
fn the_list_and_the_page_of_a_run() {
    let place = Place::new();
    let [first, second, third] = three_nights(&place);
    place.put("b.jsonl", trace("other", "boom"));
    let printed = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert_eq!(runs(&place, &["show", "last"]), stdout(&printed), "the page is what the run printed");
    let listed: Vec<Value> = serde_json::from_str(&runs(&place, &["--format", "json"])).unwrap();
    let ids: Vec<&str> = listed.iter().map(|run| run["run_id"].as_str().unwrap()).collect();
    assert_eq!(ids[1..], [third.as_str(), &second, &first], "newest first");
    let of_second = &listed[2];
    assert_eq!((&of_second["failed_traces"], &of_second["errors"], &of_second["stored"]), (&39.into(), &1.into(), &100.into()));
    assert!(of_second["duration_seconds"].as_f64().unwrap() > 0.0);
    let nightly: Vec<Value> = serde_json::from_str(&runs(&place, &["--pipeline", "nightly", "--limit", "2", "--format", "json"])).unwrap();
    assert_eq!(nightly.iter().map(|run| &run["run_id"]).collect::<Vec<_>>(), [third.as_str(), second.as_str()]);
    assert_eq!(runs(&place, &["--since", "0s", "--format", "json"]).trim(), "[]");
    assert_eq!(runs(&place, &["--format", "csv"]).lines().count(), 5);
    let table = runs(&place, &[]);
    assert!(table.starts_with("run ") && table.lines().count() == 5 && table.contains("nightly"), "{table}");
    // Ids of runs that start within some hours of each other begin alike.
    assert!(refusal(&place, &["show", &first[..6]]).contains("is the beginning of several run ids"));
    assert!(refusal(&place, &["show", "0000"]).contains("no run 0000 in the tables at"));
    let shown: Value = serde_json::from_str(&runs(&place, &["show", &second, "--format", "json"])).unwrap();
    assert_eq!((&shown["run_id"], &shown["failed_traces"]), (&second.as_str().into(), &39.into()));
}

#[test]
fn the_row_of_a_run_whose_commit_another_one_completed_has_the_versions() {
    for _ in 0..20 {
        let place = Place::new();
        place.put("a.jsonl", (0..2_000).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
        let mut run = failsift(&["run", "--input", &place.input(), "--output", &place.output()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = || {
            let folders = std::fs::read_dir(place.path().join("out/_staging")).into_iter().flatten().flatten();
            folders.map(|folder| folder.path().join("commit.json")).any(|path| path.exists())
        };
        while !begun() && run.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        kill(Pid::from_raw(run.id().cast_signed()), Signal::SIGKILL).unwrap();
        run.wait().unwrap();
        if !begun() {
            continue;
        }
        let other = Place::new();
        other.put("b.jsonl", trace("other", "boom"));
        let completed = call(&["run", "--input", &other.input(), "--output", &place.output()]);
        assert!(completed.status.success(), "{}", stderr(&completed));
        let rows = place.rows("select run_id, patterns_version, errors_version, fingerprints_version from runs order by run_id");
        assert_eq!(rows.len(), 2);
        let version = rows[0]["patterns_version"].to_string();
        let sql = format!("select count(*) n from patterns where run_id = {}", rows[0]["run_id"].to_string().replace('"', "'"));
        let counted = call(&["query", "--tables", &place.output(), "--as-of", &version, "--format", "json", &sql]);
        assert_eq!(stdout(&counted).trim(), "[{\"n\":2000}]", "{rows:?}: {}", stderr(&counted));
        let found = diff(&place, &[]);
        assert_eq!((&found["a"]["traces"], &found["b"]["traces"], &found["compared_by"]), (&2_000.into(), &1.into(), &"traces".into()));
        return;
    }
    panic!("no run was killed during its commit");
}

#[test]
fn a_run_that_reaches_its_longest_time_commits_what_is_finished() {
    let place = Place::new();
    place.put("a.jsonl", (0..6_000).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
    // How far a run gets in a time depends on the machine.
    let is_stopped_between = |duration: &&str| {
        let summary = place.run(&["--trace-timeout", "300", "--max-duration", duration]);
        let is_stopped = summary["exit_reason"] == "max_duration";
        assert_eq!(is_stopped, summary["status"] == "interrupted", "{summary}");
        is_stopped && summary["processing_errors"] != 0
    };
    assert!(
        ["1s", "2s", "4s", "8s", "12s", "18s", "27s", "40s", "60s", "90s"].iter().any(is_stopped_between),
        "no run was stopped after it had begun to read"
    );
    let rows = place.rows("select kind, min(cast(retryable as int)) r from errors group by kind");
    assert_eq!(rows, [json!({"kind": "interrupted", "r": 1})]);
    let page = runs(&place, &["show", "last"]);
    assert!(page.contains("exit code 4: stopped by --max-duration"), "{page}");
    assert!(refusal(&place, &["diff"]).contains("no complete run"), "an incomplete run is not compared by default");
    assert_eq!(place.run(&["--trace-timeout", "300", "--max-duration", "1h"])["stored"], 6_000);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 0);
}

#[test]
fn a_run_with_more_errors_than_allowed_stops() {
    let place = Place::new();
    let good: String = (0..100).map(|number| trace(&format!("t-{number}"), "boom")).collect();
    place.put("a.jsonl", good + &"{\"trace_id\": \"cut\n".repeat(6));
    let pipeline = place.path().join("p.toml");
    let (input, output) = (place.input(), place.output());
    std::fs::write(
        &pipeline,
        format!("[source]\ninputs = [{input:?}]\n[write]\noutput = {output:?}\n[run]\nmax_errors = 5\nmax_duration = '1h'\n"),
    )
    .unwrap();
    let run = |max_errors: Option<&str>| {
        let mut command = failsift(&["run", pipeline.to_str().unwrap(), "--format", "json", "--trace-timeout", "300"]);
        if let Some(max_errors) = max_errors {
            command.env("FAILSIFT_MAX_ERRORS", max_errors);
        }
        let output = command.output().unwrap();
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let (code, summary) = run(None);
    assert_eq!((code, &summary["exit_reason"], &summary["status"]), (Some(3), &"max_errors".into(), &"interrupted".into()));
    let (code, summary) = run(Some("6"));
    assert_eq!((code, &summary["exit_reason"]), (Some(0), &Value::Null), "the environment overrides the file: {summary}");
}

/// The summary of a run that failed, which matches the schema.
fn failed_summary(place: &Place, input: &str) -> Value {
    let output = call(&["run", "--format", "json", "--trace-timeout", "300", "--input", input, "--output", &place.output()]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let schema: Value = serde_json::from_slice(&call(&["schema", "run_summary"]).stdout).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let complaints: Vec<_> = validator.iter_errors(&summary).map(|error| error.to_string()).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    assert_eq!((&summary["status"], &summary["exit_reason"]), (&"failed".into(), &"failed".into()));
    let error = summary["error"].as_str().unwrap();
    assert!(stderr(&output).contains(error), "{error}: {}", stderr(&output));
    summary
}

#[test]
fn a_run_that_fails_prints_its_summary_and_has_a_row() {
    let place = Place::new();
    let summary = failed_summary(&place, "/no/such/folder");
    assert!(summary["error"].as_str().unwrap().contains("/no/such/folder"));
    assert!(!place.path().join("out").exists(), "no tables are made for a run that never read anything");
    place.put("a.jsonl", (0..20).map(|number| trace(&format!("t-{number}"), "boom")).collect::<String>());
    place.run(&["--trace-timeout", "300"]);
    let summary = failed_summary(&place, "/no/such/folder");
    let rows = place.rows("select run_id, status, error from runs order by started_at");
    assert_eq!((&rows[1]["run_id"], &rows[1]["status"], &rows[1]["error"]), (&summary["run_id"], &"failed".into(), &summary["error"]));
    // A data file that the commit has to read is damaged.
    let pattern = place.path().join("out/patterns");
    let bucket = std::fs::read_dir(pattern)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("bucket="))
        .unwrap();
    let file = std::fs::read_dir(bucket).unwrap().map(|entry| entry.unwrap().path()).next().unwrap();
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    let summary = failed_summary(&place, &place.input());
    assert_eq!((&summary["received"], &summary["stored"], &summary["by_label"]), (&20.into(), &0.into(), &json!([])));
    std::fs::write(&file, &bytes).unwrap();
    assert_eq!(place.rows("select count(*) n from runs where status = 'failed'")[0]["n"], 2);
    let page = runs(&place, &["show", "last"]);
    assert!(page.contains(" failed: 20 traces") && page.contains("exit code 1: cannot access the table patterns"), "{page}");
    // The next run takes up the finished work, whose rows keep their run id, and the comparison finds them.
    let next = place.run(&["--trace-timeout", "300"]);
    assert_eq!((&next["stored"], &next["recovered_runs"]), (&20.into(), &json!([summary["run_id"]])));
    let found = diff(&place, &[]);
    assert_eq!((&found["a"]["traces"], &found["b"]["traces"], &found["shared_traces"]["traces"]), (&20.into(), &20.into(), &20.into()));
    // Wrong usage is no run.
    let output = call(&["run", "--format", "json", "--input", &place.input(), "--output", &place.output(), "--input-format", "nonsense"]);
    assert_eq!((output.status.code(), stdout(&output)), (Some(2), String::new()));
}
