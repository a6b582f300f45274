//! Invariants of the tables over any sequence of runs.

use crate::support::{Place, call, stderr, trace};

#[test]
fn running_twice_adds_only_a_row_to_runs() {
    let place = Place::new();
    place.put("a.jsonl", (0..50).map(|index| trace(&format!("t-{index}"), "boom")).collect::<String>() + "broken\n");
    place.run(&[]);
    let sql = "select trace_id, category, contributing_factor, summary, content_digest, bucket from patterns order by trace_id";
    let first = (place.rows(sql), place.rows("select trace_ref, kind, reason from errors order by 1"));
    place.run(&[]);
    assert_eq!((place.rows(sql), place.rows("select trace_ref, kind, reason from errors order by 1")), first);
    assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 2);
    assert_eq!(place.rows("select count(distinct run_id) n from patterns")[0]["n"], 1);
}

#[test]
fn a_trace_that_fails_keeps_its_last_pattern_and_one_that_succeeds_is_removed_from_errors() {
    let place = Place::new();
    let no_spans = |id: &str| format!("{{\"trace_id\": \"{id}\", \"spans\": []}}\n");
    place.put("a.jsonl", trace("good", "boom") + &no_spans("bad"));
    place.run(&[]);
    assert_eq!(place.rows("select trace_id from patterns")[0]["trace_id"], "good");
    assert_eq!(place.rows("select trace_ref from errors")[0]["trace_ref"], "bad");
    place.put("a.jsonl", no_spans("good") + &trace("bad", "boom"));
    place.run(&[]);
    let patterns = place.rows("select trace_id from patterns order by trace_id");
    assert_eq!(patterns.iter().map(|row| row["trace_id"].as_str().unwrap()).collect::<Vec<_>>(), ["bad", "good"]);
    let errors = place.rows("select trace_ref, kind from errors");
    assert_eq!(errors.len(), 1);
    assert_eq!((&errors[0]["trace_ref"], &errors[0]["kind"]), (&"good".into(), &"no_spans".into()));
}

#[test]
fn errors_keyed_by_location_are_replaced_when_their_object_is_read_again() {
    let place = Place::new();
    place.put("a.jsonl", "broken\n".to_owned() + &trace("t-1", "boom") + "broken\n");
    place.put("b.jsonl", "broken\n".to_owned() + &trace("t-2", "boom"));
    place.run(&[]);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 3);
    let a = place.put("a.jsonl", trace("t-1", "boom"));
    let output = call(&["run", "--input", a.to_str().unwrap(), "--output", &place.output()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let left = place.rows("select trace_ref from errors");
    assert_eq!(left.len(), 1);
    assert!(left[0]["trace_ref"].as_str().unwrap().ends_with("b.jsonl#L1"), "{left:?}");
}

#[test]
fn all_tables_exist_after_an_empty_run() {
    let place = Place::new();
    place.put("empty.jsonl", "");
    let summary = place.run(&["--allow-empty"]);
    assert_eq!(summary["received"], 0);
    for (table, rows) in [("patterns", 0), ("errors", 0), ("fingerprints", 0), ("runs", 1)] {
        assert_eq!(place.rows(&format!("select count(*) n from {table}"))[0]["n"], rows, "{table}");
    }
}

#[test]
fn concurrent_writers_lose_and_duplicate_nothing() {
    let place = Place::new();
    // Each writer shares half of its traces with the next one.
    let inputs: Vec<String> = (0..4)
        .map(|writer| {
            let traces = (0..40).map(|number| trace(&format!("t-{}", writer * 20 + number), "boom"));
            place.put(&format!("{writer}.jsonl"), traces.collect::<String>() + "broken\n").display().to_string()
        })
        .collect();
    let out = place.output();
    for round in 1..=3 {
        std::thread::scope(|scope| {
            let writers: Vec<_> = inputs.iter().map(|input| scope.spawn(|| call(&["run", "--input", input, "--output", &out]))).collect();
            // Maintenance runs concurrently. In the first round the tables may not exist yet.
            let maintenance = scope.spawn(|| (0..3).map(|_| call(&["maintain", "--tables", &out])).collect::<Vec<_>>());
            for output in writers.into_iter().map(|writer| writer.join().unwrap()) {
                assert!(output.status.success(), "{}", stderr(&output));
            }
            for output in maintenance.join().unwrap() {
                assert!(output.status.success() || round == 1, "{}", stderr(&output));
            }
        });
        let counted = &place.rows("select count(*) n, count(distinct trace_id) u from patterns")[0];
        assert_eq!((&counted["n"], &counted["u"]), (&100.into(), &100.into()), "round {round}");
        assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 4);
        assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 4 * round);
    }
}

#[test]
fn rows_match_the_published_schemas() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + "broken\n");
    let summary = place.run(&[]);
    let schema = |name: &str| -> serde_json::Value {
        let output = call(&["schema", name]);
        serde_json::from_slice(&output.stdout).expect("a schema")
    };
    let valid = |schema: &serde_json::Value, row: &serde_json::Value| {
        let validator = jsonschema::draft202012::new(schema).unwrap();
        let complaints: Vec<_> = validator.iter_errors(row).map(|error| error.to_string()).collect();
        assert!(complaints.is_empty(), "{complaints:?}");
    };
    valid(&schema("run_summary"), &summary);
    for (name, table) in [("pattern", "patterns"), ("error", "errors"), ("fingerprint", "fingerprints")] {
        let mut row = place.rows(&format!("select * from {table}")).remove(0);
        row.as_object_mut().unwrap().remove("bucket");
        valid(&schema(name), &row);
    }
    let columns: Vec<String> = place.rows("select * from runs")[0].as_object().unwrap().keys().cloned().collect();
    let keys: Vec<String> = summary.as_object().unwrap().keys().cloned().collect();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    assert_eq!(sorted(columns), sorted(keys), "the summary's keys are the columns of runs");
}

#[test]
fn planted_secrets_appear_in_no_output() {
    let place = Place::new();
    let secrets = [
        "ada.lovelace@example.com",
        "4111 1111 1111 1111",
        concat!("ghp_", "3JD61rztPeHmI1g6pD96mjTwnxv9aLqmlCEV"),
        "078-05-1120",
        "10.20.4.17",
        "+49 30 901820",
    ];
    let lines: String = secrets
        .iter()
        .enumerate()
        .map(|(index, secret)| trace(&format!("t-{index}"), &format!("lookup failed for {secret} today")))
        .collect();
    place.put("a.jsonl", lines + "broken ada.lovelace@example.com\n");
    let output = crate::support::failsift(&["run", "--input", &place.input(), "--output", &place.output()])
        .env("RUST_LOG", "trace")
        .output()
        .unwrap();
    let mut output_text = crate::support::stdout(&output) + &stderr(&output);
    for table in ["patterns", "errors", "fingerprints", "runs"] {
        output_text += &serde_json::to_string(&place.rows(&format!("select * from {table}"))).unwrap();
    }
    for secret in secrets {
        assert!(!output_text.contains(secret), "{secret} was printed or stored");
    }
    assert!(output_text.contains("<EMAIL:"), "the excerpts show tokens");
}

/// One trace whose spans arrive in two hourly windows: the second window has only one late span.
fn windows(place: &Place) {
    let record = |spans: serde_json::Value| {
        let resource = serde_json::json!({"attributes": [{"key": "service.name", "value": {"stringValue": "acme-bot"}}]});
        serde_json::json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"scope": {"name": "test"}, "spans": spans}]}]})
            .to_string()
    };
    let span = |id: &str, parent: Option<&str>, code: u8, message: &str| {
        let attributes = serde_json::json!([{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]);
        let mut span = serde_json::json!({
            "traceId": "00000000000000000000000000000001", "spanId": id, "name": "chat", "kind": 1,
            "startTimeUnixNano": "1795600000000000000", "endTimeUnixNano": "1795600001000000000",
            "attributes": attributes, "status": {"code": code, "message": message},
        });
        if let Some(parent) = parent {
            span["parentSpanId"] = parent.into();
        }
        span
    };
    let failed = "Error code: 429 - Rate limit reached for gpt-4o-mini on requests per min";
    std::fs::create_dir_all(place.path().join("in/hour=09")).unwrap();
    std::fs::create_dir_all(place.path().join("in/hour=10")).unwrap();
    let root = span("000000000000000a", None, 2, "429");
    let child = |id: &str| span(id, Some("000000000000000a"), 2, failed);
    place.put("hour=09/a.jsonl", record(serde_json::json!([root, child("000000000000000b"), child("000000000000000c")])));
    place.put("hour=10/b.jsonl", record(serde_json::json!([span("0000000000000011", Some("000000000000000a"), 0, "")])));
}

/// Runs over one window. Returns the summary's `stored`, `unchanged` and `kept_fuller`, and the row of the trace.
fn run_over(place: &Place, window: &str, more: &[&str]) -> ([u64; 3], serde_json::Value) {
    let (input, output) = (format!("{}{window}", place.input()), place.output());
    let mut arguments = vec!["run", "--format", "json", "--input", &input, "--output", &output];
    arguments.extend(more);
    let run = call(&arguments);
    assert!(run.status.success(), "{}", stderr(&run));
    let summary: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    let counts = ["stored", "unchanged", "kept_fuller"].map(|key| summary[key].as_u64().unwrap());
    assert_eq!(counts[0] + counts[1], summary["received"], "{summary}");
    (counts, place.rows("select category, spans_total from patterns").remove(0))
}

#[test]
fn a_later_window_with_one_late_span_does_not_replace_the_pattern_of_the_whole_trace() {
    let place = Place::new();
    windows(&place);
    let (counts, whole) = run_over(&place, "/hour=09", &[]);
    assert_eq!((counts, whole["spans_total"].as_u64()), ([1, 0, 0], Some(3)));
    assert_ne!(whole["category"], "unclassified");
    let (counts, after) = run_over(&place, "/hour=10", &[]);
    assert_eq!((counts, &after), ([0, 1, 1], &whole), "the pattern of the late span does not replace the one of the whole trace");
    // A pattern with as many spans from another object, or with fewer spans from the same object, does.
    place.put("hour=10/c.jsonl", std::fs::read(place.path().join("in/hour=09/a.jsonl")).unwrap());
    std::fs::remove_file(place.path().join("in/hour=10/b.jsonl")).unwrap();
    assert_eq!(run_over(&place, "/hour=10", &[]).0, [1, 0, 0]);
    let text = std::fs::read_to_string(place.path().join("in/hour=10/c.jsonl")).unwrap().replace("000000000000000c", "000000000000000b");
    place.put("hour=10/c.jsonl", text);
    let (counts, corrected) = run_over(&place, "/hour=10", &[]);
    assert_eq!((counts, corrected["spans_total"].as_u64()), ([1, 0, 0], Some(2)));
    assert_eq!(place.rows("select sum(kept_fuller) n from runs")[0]["n"], 1);
}

#[test]
fn windows_in_reverse_order_and_both_together_give_the_whole_trace() {
    let place = Place::new();
    windows(&place);
    let (counts, late) = run_over(&place, "/hour=10", &[]);
    assert_eq!((counts, late["spans_total"].as_u64()), ([1, 0, 0], Some(1)));
    assert_eq!(run_over(&place, "/hour=09", &[]).1["spans_total"], 3);
    assert_eq!(run_over(&place, "", &[]).1["spans_total"], 4, "gathered from both windows");
    let text = call(&["run", "--input", &format!("{}/hour=10", place.input()), "--output", &place.output()]);
    let text = crate::support::stdout(&text);
    assert!(text.contains("unchanged") && text.contains("kept (more spans)") && !text.contains("no_failure_found"), "{text}");
}

#[test]
fn errors_of_an_object_stay_if_the_run_was_stopped_before_it_was_read() {
    let place = Place::new();
    place.put("z.jsonl", "broken\n".to_owned() + &trace("t-1", "boom"));
    place.run(&[]);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 1);
    // Stopped early, while the first object is being read, which is the larger one.
    place.put("a.jsonl", (0..60_000).map(|number| trace(&format!("a-{number}"), "boom")).collect::<String>());
    let child = crate::support::failsift(&["run", "--input", &place.input(), "--output", &place.output()])
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(300));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().cast_signed()), nix::sys::signal::Signal::SIGINT).unwrap();
    child.wait_with_output().unwrap();
    let left = place.rows("select count(*) n from errors where kind = 'malformed_json'");
    assert_eq!(left[0]["n"], 1, "the line is malformed, whether it was read again or not");
}
