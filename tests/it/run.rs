//! `failsift run` on the command line: exit codes, summaries, messages.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Place, call, failsift, stderr, stdout, trace};

#[test]
fn the_summary_for_people_reads_well() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "HTTP 429 Too Many Requests") + "{\"trace_id\": \"cut\n");
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert_eq!(output.status.code(), Some(3));
    let place_name = place.path().display().to_string();
    insta::with_settings!({filters => vec![
        (place_name.as_str(), "[place]"),
        (r"run [0-9a-f-]{36}", "run [id]"),
        (r"in \d+\.\d s", "in [time]"),
    ]}, {
        insta::assert_snapshot!(stdout(&output));
    });
    assert!(stderr(&output).contains("50.0 % of traces and records failed"), "{}", stderr(&output));
}

#[test]
fn usage_errors_exit_with_2_and_a_hint() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let (input, out) = (place.input(), place.output());
    for (arguments, expected) in [
        (vec!["run", "--output", &out], "no input given"),
        (vec!["run", "--input", &input], "no output given"),
        (vec!["run", "--input", &input, "--output", &out, "--input-format", "nonsense"], "auto, otlp"),
        (
            vec!["run", "--input", &input, "--output", &out, "--memory-limit", "1"],
            "invalid --memory-limit: must be at least 32\n  hint: memory_limit_mb: Memory for gathering spans into traces, in MB",
        ),
        (vec!["run", "--input", &input, "--output", &out, "--memory-limit", "96MB"], "'96MB' is not a whole number of MB"),
        (vec!["run", "--input", &input, "--output", &out, "--trace-timeout", "soon"], "not a number of seconds"),
        (vec!["run", "--input", "gopher://x/y", "--output", &out], "s3://"),
        (vec!["run", "--input", &input, "--output", "https://example.com/x"], "plain web server"),
        (vec!["query", "--tables", &out, "select 1"], "no tables at"),
        (vec!["nonsense"], "Usage"),
    ] {
        let output = call(&arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_missing_input_and_an_unwritable_output_are_reported() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    let output = call(&["run", "--input", "/no/such/folder", "--output", &place.output()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/no/such/folder") && stderr(&output).contains("hint:"), "{}", stderr(&output));
    let output = call(&["run", "--input", &place.input(), "--output", "/proc/failsift"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/proc/failsift") && stderr(&output).contains("hint:"), "{}", stderr(&output));
}

#[test]
fn too_many_errors_exit_with_3() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + "{\"trace_id\": \"cut\n");
    let (input, out) = (place.input(), place.output());
    let code = |rate: &str| call(&["run", "--input", &input, "--output", &out, "--max-error-rate", rate]).status.code();
    assert_eq!(code("0.1"), Some(3));
    assert_eq!(code("0.5"), Some(0));
    let reasons = place.rows("select exit_reason from runs order by started_at");
    assert_eq!((&reasons[0]["exit_reason"], &reasons[1]["exit_reason"]), (&"error_rate".into(), &serde_json::Value::Null));
}

#[test]
fn a_run_that_stores_nothing_exits_with_3() {
    let broken = "not json\n".repeat(24);
    let metrics = "{\"resourceMetrics\":[{}]}\n".repeat(3);
    for (name, text, reason, received) in [
        ("broken.jsonl", "{\"trace_id\": \"cut\n".repeat(24), "nothing_stored", 24),
        ("no-json.jsonl", broken, "nothing_stored", 1),
        ("metrics.jsonl", metrics, "no_traces", 0),
        ("empty-batches.jsonl", "{\"resourceSpans\":[]}\n".to_owned(), "no_traces", 0),
    ] {
        let place = Place::new();
        // If all lines are broken, a trace without spans is needed to detect the format.
        let known = if name == "broken.jsonl" { "{\"trace_id\": \"t\", \"spans\": []}\n" } else { "" };
        place.put(name, text + known);
        let summary = place.run(&["--max-error-rate", "1"]);
        assert_eq!(summary["exit_reason"], reason, "{name}: {summary}");
        assert_eq!(summary["received"], received + u64::from(!known.is_empty()), "{name}: {summary}");
        assert_eq!(summary["status"], "complete");
    }
}

#[test]
fn an_input_without_traces_fails_unless_empty_input_is_allowed() {
    for files in [vec![], vec![("README.md", "# traces\n"), ("_SUCCESS", "")], vec![("a.jsonl", "")], vec![("b.jsonl", "\n \n")]] {
        let place = Place::new();
        for (name, text) in &files {
            place.put(name, text);
        }
        let (input, out) = (place.input(), place.output());
        let output = call(&["run", "--input", &input, "--output", &out]);
        assert_eq!(output.status.code(), Some(1), "{files:?}: {}", stderr(&output));
        let message = stderr(&output);
        assert!(
            message.contains(&input) && message.contains("no trace files") && message.contains("--allow-empty"),
            "{files:?}: {message}"
        );
        let summary = place.run(&["--allow-empty"]);
        assert_eq!((&summary["received"], &summary["status"]), (&0.into(), &"complete".into()), "{files:?}: {summary}");
        for table in ["patterns", "errors"] {
            assert_eq!(place.rows(&format!("select count(*) n from {table}"))[0]["n"], 0);
        }
        assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 1, "{files:?}");
    }
}

#[test]
fn created_files_are_accessible_only_to_their_owner() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom"));
    place.run(&[]);
    let mut folders = vec![place.path().join("out")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", folder.display());
        for entry in folder.read_dir().unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                files += 1;
                assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{}", path.display());
            }
        }
    }
    assert!(files >= 4, "{files} files");
}

#[test]
fn a_signal_interrupts_the_run_and_the_tables_are_consistent() {
    let place = Place::new();
    // Enough lines for the signal to arrive in the middle.
    let many: String = (0..200_000).map(|index| trace(&format!("t-{index}"), "HTTP 429 Too Many Requests")).collect();
    place.put("a.jsonl", many);
    let (input, out) = (place.input(), place.output());
    let child = failsift(&["run", "--format", "json", "--input", &input, "--output", &out])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start failsift");
    // The tables are opened at the start of the run, which then takes some seconds.
    let begun = place.path().join("out/runs/_delta_log");
    let end = Instant::now() + Duration::from_mins(1);
    while !begun.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(10));
    }
    std::thread::sleep(Duration::from_millis(700));
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM).expect("send a signal");
    let output = child.wait_with_output().unwrap();
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    if summary["status"] == "complete" {
        // On a fast machine the run may complete before the signal.
        return;
    }
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    assert_eq!(summary["status"], "interrupted");
    let counted = place.rows("select count(*) n, count(distinct trace_id) u from patterns");
    assert_eq!((counted[0]["n"].clone(), counted[0]["u"].clone()), (summary["stored"].clone(), summary["stored"].clone()));
    let errors = place.rows("select count(*) n from errors where kind = 'interrupted' and retryable");
    assert_eq!(errors[0]["n"], summary["processing_errors"]);
    // The next run analyzes the rest.
    let summary = place.run(&[]);
    assert_eq!(summary["stored"], 200_000);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 0);
}

#[test]
fn a_trace_that_takes_too_long_is_timed_out() {
    let place = Place::new();
    let spans: Vec<_> = (0..20_000)
        .map(|index| serde_json::json!({"span_id": index.to_string(), "name": "s", "kind": "tool", "status": "error", "status_message": "boom ".repeat(20)}))
        .collect();
    place.put("a.jsonl", serde_json::json!({"trace_id": "long", "started_at": "2026-11-23T09:00:00Z", "spans": spans}).to_string());
    let summary = place.run(&["--trace-timeout", "0.001"]);
    assert_eq!(summary["timed_out"], 1, "{summary}");
    assert_eq!(place.rows("select kind from errors")[0]["kind"], "timed_out");
}

/// Starts a run over a large input and sends signals while it runs; returns its output and the time from the signal to its end.
fn interrupted(place: &Place, more: &[&str], signals: usize) -> (std::process::Output, Duration) {
    let many: String = (0..60_000).map(|index| trace(&format!("t-{index}"), "HTTP 429 Too Many Requests")).collect();
    place.put("a.jsonl", many);
    let (input, out) = (place.input(), place.output());
    let mut arguments = vec!["run", "--format", "json", "--input", &input, "--output", &out];
    arguments.extend(more);
    let child = failsift(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start failsift");
    let begun = place.path().join("out/runs/_delta_log");
    let end = Instant::now() + Duration::from_mins(1);
    while !begun.exists() && Instant::now() < end {
        std::thread::sleep(Duration::from_millis(5));
    }
    std::thread::sleep(Duration::from_millis(300));
    let id = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap());
    let sent = Instant::now();
    for _ in 0..signals {
        // The process may have ended after the first signal.
        let _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGINT);
        std::thread::sleep(Duration::from_millis(20));
    }
    (child.wait_with_output().unwrap(), sent.elapsed())
}

#[test]
fn an_interrupted_run_with_a_selection_leaves_one_error_that_the_next_run_removes() {
    let place = Place::new();
    let (output, took) = interrupted(&place, &["--service", "shop"], 1);
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    if summary["status"] == "complete" {
        // On a fast machine the run may complete before the signal.
        return;
    }
    assert!(output.status.code() == Some(130) && took < Duration::from_secs(45), "{took:?} {}", stderr(&output));
    let not_gathered = place.rows("select trace_ref, retryable from errors where reason like '%not gathered into traces%'");
    assert_eq!(not_gathered.len(), 1, "{summary}");
    let named = place.rows("select count(*) n from errors")[0]["n"].as_u64().unwrap();
    assert!(named < 1_000, "traces that the selection may exclude are not rejected one by one: {named}");
    let counted = ["stored", "processing_errors", "filtered"].iter().map(|key| summary[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(summary["received"], counted);
    assert_eq!(place.run(&["--service", "shop"])["stored"], 60_000);
    assert_eq!(place.rows("select count(*) n from errors")[0]["n"], 0);
}

#[test]
fn a_second_signal_ends_the_run_immediately_and_cleanly() {
    let place = Place::new();
    let (output, took) = interrupted(&place, &[], 2);
    assert!(!stderr(&output).contains("a bug in failsift"), "{}", stderr(&output));
    if output.status.success() {
        return;
    }
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    if output.stdout.is_empty() {
        assert!(took < Duration::from_secs(20), "{took:?}");
        assert!(
            stderr(&output).contains("stopped before the work in flight was finished; the tables are unchanged"),
            "{}",
            stderr(&output)
        );
        assert_eq!(place.rows("select count(*) n from runs")[0]["n"], 0);
    }
}
