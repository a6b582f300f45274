//! What a run shows of itself while it is in progress and afterwards: metrics, logs, progress.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, Stdio};
use std::time::{Duration, Instant};

use failsift::telemetry::{Kind, METRICS};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use regex::Regex;
use serde_json::Value;

use crate::support::{Place, call, failsift, stderr, trace};

/// The text of the traces, which no log and no metric may contain.
const CANARY: &str = "canary of the trace";

/// The time budget of a trace. The default is too short for an unoptimized build on a busy machine.
const PATIENCE: &str = "300";

/// Failed traces, a healthy one, and broken lines.
fn place() -> Place {
    let place = Place::new();
    let failed = (0..5).map(|number| trace(&format!("t-{number}"), &format!("HTTP 429 Too Many Requests: {CANARY}")));
    let healthy = trace("healthy", "fine").replace("\"error\"", "\"ok\"");
    place.put(
        "a.jsonl",
        failed.chain([healthy, format!("broken {CANARY}\n"), format!("{{\"trace_id\": \"{CANARY}\"\n")]).collect::<String>(),
    );
    place
}

/// The values of a metrics file by name and labels, without the label `pipeline`.
fn parsed(text: &str) -> BTreeMap<String, f64> {
    let sample = Regex::new(r#"(?m)^(\w+)\{pipeline="([^"]*)",?([^}]*)\} (\S+)$"#).unwrap();
    let of_line = |found: regex::Captures<'_>| {
        let name = if found[3].is_empty() { found[1].to_owned() } else { format!("{}{{{}}}", &found[1], &found[3]) };
        (name, found[4].parse().unwrap())
    };
    let samples: BTreeMap<String, f64> = sample.captures_iter(text).map(of_line).collect();
    assert_eq!(samples.len(), text.lines().filter(|line| !line.starts_with('#')).count(), "{text}");
    samples
}

/// Checks the metrics of the first run over an output against its summary and its tables.
fn check_against_summary(metrics: &BTreeMap<String, f64>, summary: &Value, place: &Place) {
    let value = |name: &str| metrics.get(name).copied().unwrap_or_else(|| panic!("no {name} in {metrics:#?}"));
    for (name, key) in [
        ("failsift_traces_received_total", "received"),
        ("failsift_traces_total{outcome=\"stored\"}", "stored"),
        ("failsift_traces_total{outcome=\"processing_error\"}", "processing_errors"),
        ("failsift_traces_total{outcome=\"validation_failure\"}", "validation_failures"),
        ("failsift_traces_total{outcome=\"timed_out\"}", "timed_out"),
        ("failsift_traces_total{outcome=\"unchanged\"}", "unchanged"),
        ("failsift_traces_total{outcome=\"filtered\"}", "filtered"),
        ("failsift_objects_read_total", "objects_read"),
        ("failsift_input_bytes_total", "bytes_read"),
        ("failsift_spans_total", "spans_read"),
        ("failsift_spans_not_understood_total", "spans_not_understood"),
        ("failsift_records_total{outcome=\"spans\"}", "records_with_spans"),
        ("failsift_records_total{outcome=\"rejected\"}", "records_rejected"),
        ("failsift_model_cost_usd_total", "cost_usd"),
        ("failsift_grounding_ratio", "grounding_rate"),
        ("failsift_analysis_duration_seconds_count", "processed"),
    ] {
        assert_eq!(Some(value(name)), summary[key].as_f64(), "{name}");
    }
    for row in place.rows("select stage, kind, count(*) n from errors group by 1, 2") {
        let (stage, kind) = (row["stage"].as_str().unwrap(), row["kind"].as_str().unwrap());
        assert_eq!(Some(value(&format!("failsift_rejections_total{{stage=\"{stage}\",kind=\"{kind}\"}}"))), row["n"].as_f64(), "{row}");
    }
    for row in place.rows("select category c, contributing_factor f, count(*) n from patterns group by 1, 2") {
        let name = format!("failsift_patterns_total{{category={},contributing_factor={}}}", row["c"], row["f"]);
        assert_eq!(Some(value(&name)), row["n"].as_f64(), "{row}");
    }
    let new = place.rows("select count(*) n from fingerprints where category <> 'unclassified'");
    assert_eq!(Some(value("failsift_new_fingerprints")), new[0]["n"].as_f64());
}

#[test]
fn the_metrics_file_agrees_with_the_summary() {
    let place = place();
    let file = place.path().join("failsift.prom");
    let summary = place.run(&["--trace-timeout", PATIENCE, "--max-error-rate", "1", "--metrics-file", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(!text.contains(CANARY), "{text}");
    let metrics = parsed(&text);
    check_against_summary(&metrics, &summary, &place);
    for (name, expected) in [
        ("failsift_run_active", 0.0),
        ("failsift_run_exit_code", 0.0),
        ("failsift_rejected_ratio", 0.25),
        ("failsift_spans_waiting", 0.0),
        ("failsift_queue_traces{queue=\"redact\"}", 0.0),
        ("failsift_queue_traces{queue=\"analyze\"}", 0.0),
        ("failsift_queue_traces{queue=\"write\"}", 0.0),
    ] {
        assert_eq!(metrics.get(name), Some(&expected), "{name}");
    }
    let bytes = std::fs::metadata(place.path().join("in/a.jsonl")).unwrap().len();
    assert_eq!(
        (metrics["failsift_objects_listed"], metrics["failsift_input_listed_bytes"]),
        (1.0, f64::from(u32::try_from(bytes).unwrap()))
    );
    // Every metric is one that the documentation lists.
    let names: Vec<&str> = METRICS.iter().map(|metric| metric.name).collect();
    for line in text.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        assert!(names.contains(&line.split(' ').next().unwrap()), "{line}");
    }
}

#[test]
fn the_last_success_survives_a_run_that_fails() {
    let place = place();
    let file = place.path().join("failsift.prom");
    let file = file.to_str().unwrap();
    let metrics = || parsed(&std::fs::read_to_string(file).unwrap());
    place.run(&["--trace-timeout", PATIENCE, "--max-error-rate", "1", "--metrics-file", file]);
    let succeeded = metrics()["failsift_last_success_timestamp_seconds"];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    assert!((now - 300.0..=now).contains(&succeeded), "{succeeded} at {now}");
    let failed = call(&["run", "--input", "/nowhere", "--output", &place.output(), "--metrics-file", file]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let after = metrics();
    assert_eq!(
        (after["failsift_last_success_timestamp_seconds"], after["failsift_run_exit_code"], after["failsift_run_active"]),
        (succeeded, 1.0, 0.0)
    );
    assert_eq!(after.get("failsift_traces_total{outcome=\"stored\"}"), Some(&0.0));
    // Over the threshold is no success either.
    place.run(&["--trace-timeout", PATIENCE, "--max-error-rate", "0", "--metrics-file", file]);
    let after = metrics();
    assert_eq!((after["failsift_last_success_timestamp_seconds"], after["failsift_run_exit_code"]), (succeeded, 3.0));
}

#[test]
fn a_metrics_file_that_cannot_be_written_is_reported_before_the_run() {
    let place = place();
    let output = call(&["run", "--input", &place.input(), "--output", &place.output(), "--metrics-file", "/nowhere/failsift.prom"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).starts_with("error: cannot write the metrics file /nowhere/failsift.prom: no such file or folder"),
        "{}",
        stderr(&output)
    );
    assert!(!std::path::Path::new(&place.output()).exists());
}

/// Starts a run that waits for more input, after some traces.
fn start_waiting(place: &Place, more: &[&str], stderr: impl Into<Stdio>) -> (Child, ChildStdin) {
    let out = place.output();
    let mut arguments = vec!["run", "--input", "-", "--output", &out];
    arguments.extend(more);
    let mut command = failsift(&arguments);
    command.env("TERM", "xterm").env("FAILSIFT_TRACE_TIMEOUT", PATIENCE).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(stderr);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let traces: String = (0..5).map(|number| trace(&format!("t-{number}"), CANARY)).collect();
    stdin.write_all(traces.as_bytes()).unwrap();
    (child, stdin)
}

/// Waits until a run has opened its tables, so that it handles signals, and has read what it was given.
pub(crate) fn wait_until_reading(place: &Place) {
    let tables = std::path::Path::new(&place.output()).join("runs/_delta_log");
    wait_until("the tables are opened", || tables.exists());
    std::thread::sleep(Duration::from_secs(2));
}

/// Waits until a condition is true.
fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_metrics_file_shows_a_run_in_progress_and_its_interruption() {
    let place = Place::new();
    let file = place.path().join("failsift.prom");
    let (child, stdin) = start_waiting(&place, &["--metrics-file", file.to_str().unwrap()], Stdio::piped());
    wait_until("the file is written at the start", || file.exists());
    let metrics = parsed(&std::fs::read_to_string(&file).unwrap());
    assert_eq!((metrics["failsift_run_active"], metrics.get("failsift_run_exit_code")), (1.0, None));
    wait_until_reading(&place);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    drop(stdin);
    let metrics = parsed(&std::fs::read_to_string(&file).unwrap());
    assert_eq!((metrics["failsift_run_active"], metrics["failsift_run_exit_code"]), (0.0, 143.0));
    assert!(!metrics.contains_key("failsift_last_success_timestamp_seconds"));
}

#[test]
#[ignore = "needs Python; tests/run prepares it"]
fn the_parser_of_prometheus_reads_the_metrics_file() {
    let script = "import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = list(text_string_to_metric_families(sys.stdin.read()))
print(json.dumps([[f.name, f.type, f.documentation, [[s.name, s.labels, s.value] for s in f.samples]] for f in families]))";
    let place = place();
    let pipeline = place.path().join("night \"ly\\.toml");
    std::fs::write(&pipeline, "").unwrap();
    let file = place.path().join("failsift.prom");
    place.run(&[
        "--trace-timeout",
        PATIENCE,
        "--max-error-rate",
        "1",
        "--metrics-file",
        file.to_str().unwrap(),
        pipeline.to_str().unwrap(),
    ]);
    let mut command = std::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/target/python/bin/python"));
    let output = command.args(["-c", script]).stdin(File::open(&file).unwrap()).output().expect("target/python is missing: run tests/run");
    assert!(output.status.success(), "{}", stderr(&output));
    let families: Vec<(String, String, String, Vec<(String, BTreeMap<String, String>, f64)>)> =
        serde_json::from_slice(&output.stdout).unwrap();
    assert!(families.len() > 20, "{}", families.len());
    for (name, kind, help, samples) in families {
        let metric = METRICS
            .iter()
            .find(|metric| metric.name == name || metric.name.strip_suffix("_total") == Some(&name))
            .unwrap_or_else(|| panic!("{name}"));
        let expected = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        assert_eq!((kind.as_str(), help.as_str()), (expected, metric.help), "{name}");
        assert!(samples.iter().all(|(_, labels, _)| labels["pipeline"] == "night \"ly\\"), "{samples:?}");
    }
}

#[test]
fn the_documentation_lists_every_metric() {
    let page = std::fs::read_to_string("docs/monitoring.md").unwrap();
    for metric in METRICS {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let labels = metric.labels.iter().map(|label| format!("`{label}`")).collect::<Vec<_>>().join(", ");
        let start = format!("| `{}` | {kind} | {labels}", metric.name);
        assert!(page.lines().any(|line| line.starts_with(start.trim_end())), "docs/monitoring.md lacks: {start}");
    }
    let listed = Regex::new(r"(?m)^\| `(failsift_\w+)` \| (counter|gauge|histogram)").unwrap();
    assert_eq!(listed.captures_iter(&page).count(), METRICS.len());
}

#[test]
fn logs_as_json_have_ids_and_nothing_of_a_trace() {
    let place = place();
    // A trace without spans is rejected under its id.
    place.put("b.jsonl", r#"{"trace_id": "without-spans", "service": "shop", "started_at": "2026-11-23T09:00:00Z", "spans": []}"#);
    let output =
        failsift(&["run", "--input", &place.input(), "--output", &place.output(), "--max-error-rate", "0", "-vv", "--format", "json"])
            .env("FAILSIFT_LOG_FORMAT", "json")
            .env("FAILSIFT_TRACE_TIMEOUT", PATIENCE)
            .output()
            .unwrap();
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines: Vec<Value> = stderr(&output).lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect();
    assert!(lines.len() > 3, "{}", stderr(&output));
    for line in &lines {
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["message"].is_string(), "{line}");
        assert_eq!(line["run_id"], summary["run_id"], "{line}");
    }
    let rejected: Vec<&Value> = lines.iter().filter(|line| line["message"] == "rejected").collect();
    assert_eq!(Some(rejected.len() as u64), summary["processing_errors"].as_u64(), "{rejected:?}");
    assert!(rejected.iter().any(|line| line["fields"]["kind"] == "malformed_json" && line.get("trace_id").is_none()), "{rejected:?}");
    let of_trace: Vec<&&Value> = rejected.iter().filter(|line| line["trace_id"] == "without-spans").collect();
    assert_eq!(
        of_trace.len(),
        summary["failures"].as_array().unwrap().iter().filter(|failure| failure["trace_ref"] == "without-spans").count()
    );
    assert!(lines.iter().any(|line| line["level"] == "WARN" && line["fields"]["reason"] == "error_rate"), "{lines:?}");
    assert!(!stderr(&output).contains(CANARY) && !stderr(&output).contains("429"), "{}", stderr(&output));
    // The message of a failure is one of the lines.
    let failed = call(&["run", "--input", "/nowhere", "--output", &place.output(), "--log-format", "json"]);
    let line: Value = serde_json::from_str(stderr(&failed).trim()).unwrap();
    assert!(line["level"] == "ERROR" && line["message"].as_str().unwrap().starts_with("cannot read /nowhere"), "{line}");
}

#[test]
fn flags_choose_how_much_is_logged() {
    let place = place();
    let messages = |more: &[&str]| {
        let mut arguments = vec!["run", "--input", "in", "--output", "out", "--max-error-rate", "0"];
        arguments.extend(more);
        let output = failsift(&arguments)
            .current_dir(place.path())
            .env("RUST_LOG", "warn")
            .env("FAILSIFT_TRACE_TIMEOUT", PATIENCE)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
        stderr(&output)
    };
    assert!(messages(&[]).contains(" WARN failsift::cli::run: ") && messages(&[]).contains(" run_id="), "{}", messages(&[]));
    assert!(!messages(&["-v"]).contains("DEBUG") && messages(&["-vv"]).contains("DEBUG failsift::read: reading"));
    assert_eq!(messages(&["--quiet"]), "");
    assert_eq!(call(&["run", "-q", "-v"]).status.code(), Some(2));
}

#[test]
fn without_a_terminal_a_line_reports_the_progress_every_ten_seconds() {
    let places = [Place::new(), Place::new(), Place::new()];
    let flags: [&[&str]; 3] = [&["--quiet"], &[], &["--log-format", "json"]];
    let [(quiet, quiet_stdin), mut text, mut json] =
        std::array::from_fn(|index| start_waiting(&places[index], flags[index], Stdio::piped()));
    // Waits for the first line.
    let line_of = |(child, _): &mut (Child, ChildStdin)| {
        let mut line = String::new();
        BufReader::new(child.stderr.as_mut().unwrap()).read_line(&mut line).unwrap();
        line
    };
    let started = Instant::now();
    let line = line_of(&mut text);
    let expected = Regex::new(r"^1\d s: read 1 of 1 objects, [\d.]+ k?B; \d+ spans read, 0 traces gathered; traces: 0 of 0 done").unwrap();
    assert!(expected.is_match(&line), "{line}");
    assert!(started.elapsed() > Duration::from_secs(7), "a run of a few seconds has no such line");
    let line: Value = serde_json::from_str(&line_of(&mut json)).unwrap();
    assert_eq!(
        (&line["message"], &line["fields"]["objects_read"], line["fields"].get("bytes_total")),
        (&"progress".into(), &1.into(), None)
    );
    for (mut child, stdin) in [text, json] {
        drop(stdin);
        assert!(child.wait().unwrap().success());
    }
    drop(quiet_stdin);
    let output = quiet.wait_with_output().unwrap();
    assert!(output.status.success() && stderr(&output).is_empty(), "{}", stderr(&output));
}

/// Runs on a pseudo-terminal of this width until `ends` lets it end. Returns everything that was written to it.
fn on_terminal(place: &Place, width: u16, more: &[&str], ends: impl FnOnce(&Child, ChildStdin)) -> Vec<u8> {
    let size = Winsize { ws_row: 24, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
    let terminal = openpty(Some(&size), None).unwrap();
    let slave: OwnedFd = terminal.slave;
    let (mut child, stdin) = start_waiting(place, more, slave);
    let mut master = File::from(terminal.master);
    let reader = std::thread::spawn(move || {
        let (mut written, mut buffer) = (Vec::new(), [0; 4096]);
        // Reading fails when the other side is closed.
        while let Ok(count @ 1..) = master.read(&mut buffer) {
            written.extend_from_slice(&buffer[..count]);
        }
        written
    });
    ends(&child, stdin);
    child.wait().unwrap();
    reader.join().unwrap()
}

/// The lines that a terminal shows after this output.
fn screen(written: &[u8], width: u16) -> Vec<String> {
    let mut terminal = vt100::Parser::new(24, width, 0);
    terminal.process(written);
    terminal.screen().rows(0, width).map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
}

#[test]
fn a_terminal_shows_the_progress_until_the_run_ends() {
    for width in [100, 40] {
        let place = Place::new();
        let written = on_terminal(&place, width, &[], |_, stdin| {
            wait_until_reading(&place);
            drop(stdin);
        });
        // The screen before the display is removed, which is the last thing that happens.
        let shown = (0..written.len()).rev().map(|end| screen(&written[..end], width)).find(|lines| lines.len() == 3);
        let shown = shown.unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&written)));
        for (line, start) in shown.iter().zip(["read     1 of 1 objects, ", "gather   10 spans read, ", "analyze  "]) {
            assert!(line.starts_with(start) && line.chars().count() <= usize::from(width), "{shown:#?}");
        }
        assert_eq!(screen(&written, width), [""; 0], "{}", String::from_utf8_lossy(&written));
        assert!(!String::from_utf8_lossy(&written).contains("\x1b[3"), "NO_COLOR is set");
    }
}

#[test]
fn log_lines_stand_above_the_display_and_stay() {
    let place = Place::new();
    let written = on_terminal(&place, 200, &[], |child, stdin| {
        wait_until_reading(&place);
        // A warning while the display is shown.
        kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGINT).unwrap();
        std::thread::sleep(Duration::from_secs(2));
        drop(stdin);
    });
    let left = screen(&written, 200);
    let text = String::from_utf8_lossy(&written);
    assert!(!left.is_empty() && left.iter().all(|line| line.contains(" WARN failsift::cli::run: ")), "{left:#?}\n{text}");
    assert!(left[0].contains("shutting down: finished work is committed") && left[0].contains(" run_id="), "{left:#?}");
    assert!(text.contains("spans read"), "the display was shown: {text}");
}

#[test]
fn quiet_runs_show_nothing_on_a_terminal() {
    let place = Place::new();
    let written = on_terminal(&place, 100, &["-q"], |_, stdin| {
        wait_until_reading(&place);
        drop(stdin);
    });
    assert_eq!(String::from_utf8_lossy(&written), "");
}

#[cfg(not(feature = "telemetry"))]
#[test]
fn a_port_needs_the_feature() {
    let output = call(&["run", "--input", "x", "--output", "y", "--metrics-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("built without the feature telemetry\n  hint: "), "{}", stderr(&output));
}

#[cfg(feature = "telemetry")]
mod telemetry;
