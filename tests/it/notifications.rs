//! Notifications at the end of a run, received by a stub of a web hook.

use std::io::Write;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::model_stub::{ModelStub, Reaction};
use crate::monitoring::wait_until_reading;
use crate::support::{Place, call, failsift, stderr, stdout, trace};

/// The secret part of the web hook's URL.
const SECRET: &str = "s3cr3t-t0k3n";

/// The text of the traces, which must not leave the tables.
const CANARY: &str = "canary of the trace";

fn accepted() -> Reaction {
    Reaction::Status(200, json!("ok"), None)
}

fn url(stub: &ModelStub) -> String {
    format!("{}/services/{SECRET}?key={SECRET}", stub.url)
}

/// Three failed traces and a broken line.
fn place() -> Place {
    let place = Place::new();
    let traces: String =
        (0..3).map(|number| trace(&format!("trace-id-{number}"), &format!("HTTP 429 Too Many Requests: {CANARY}"))).collect();
    place.put("a.jsonl", traces + "broken\n");
    place
}

fn run(place: &Place, more: &[&str]) -> Output {
    let (input, out) = (place.input(), place.output());
    // The default budget is too short for an unoptimized build on a busy machine.
    let mut arguments =
        vec!["run", "--format", "json", "--trace-timeout", "300", "--max-error-rate", "1", "--input", &input, "--output", &out];
    arguments.extend(more);
    let output = call(&arguments);
    assert!(!stderr(&output).contains(SECRET) && !stdout(&output).contains(SECRET), "{}", stderr(&output));
    output
}

#[test]
fn a_program_gets_counts_and_fingerprints_and_nothing_of_a_trace() {
    let (place, stub) = (place(), ModelStub::start(|_| accepted()));
    let output = run(&place, &["--notify", &url(&stub)]);
    assert!(output.status.success(), "{}", stderr(&output));
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    let requests = stub.requests();
    assert_eq!((requests.len(), requests[0].path.as_str()), (1, format!("/services/{SECRET}?key={SECRET}").as_str()));
    let sent = &requests[0].body;
    assert_eq!(
        (&sent["event"], &sent["status"], &sent["exit_code"], &sent["run_id"]),
        (&"run_finished".into(), &"complete".into(), &0.into(), &summary["run_id"])
    );
    for key in ["received", "stored", "processing_errors", "timed_out", "unchanged", "filtered"] {
        assert_eq!(sent["counts"][key], summary[key], "{key}");
    }
    assert_eq!((&sent["failure_rate"], &sent["rejected_rate"]), (&json!(1.0), &json!(0.25)));
    let row = &place.rows("select fingerprint, category, contributing_factor, traces, title from fingerprints")[0];
    let mut expected = row.clone();
    expected.as_object_mut().unwrap().remove("title");
    assert_eq!((&sent["new_fingerprints"], &sent["new_fingerprints_count"]), (&json!([expected]), &1.into()));
    for hidden in [CANARY, "trace-id-", row["title"].as_str().unwrap(), SECRET, "a.jsonl"] {
        assert!(!requests[0].raw_body.contains(hidden), "{hidden}: {}", requests[0].raw_body);
    }
    // The failure is known now.
    run(&place, &["--notify", &url(&stub)]);
    assert_eq!((&stub.requests()[1].body["new_fingerprints"], &stub.requests()[1].body["problems"]), (&json!([]), &json!([])));
    run(&place, &["--notify", &url(&stub), "--notify-when", "problem"]);
    assert_eq!(stub.request_count(), 2, "a run without problems is not reported");
    // The address is nowhere in the tables either.
    assert!(!place.rows("select * from runs").iter().any(|row| row.to_string().contains(SECRET)));
}

#[test]
fn people_get_a_text_and_titles_only_if_asked_for() {
    let (place, stub) = (place(), ModelStub::start(|_| accepted()));
    run(&place, &["--notify", &url(&stub), "--notify-format", "slack"]);
    let text = stub.requests()[0].body["text"].as_str().unwrap().to_owned();
    let title = place.rows("select title from fingerprints")[0]["title"].as_str().unwrap().to_owned();
    for part in
        ["failsift command line: complete, exit code 0", "3 stored, 100.0 % of them failures", "1 rejected (25.0 %)", "1 failure is new:"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains(&title) && !text.contains(CANARY), "{text}");
    std::fs::remove_dir_all(place.output()).unwrap();
    run(&place, &["--notify", &url(&stub), "--notify-format", "teams", "--notify-titles"]);
    let card = &stub.requests()[1].body["attachments"][0];
    assert_eq!(card["contentType"], "application/vnd.microsoft.card.adaptive");
    assert!(card.to_string().contains(&title), "{card}");
}

#[test]
fn thresholds_of_the_pipeline_file_make_a_run_a_problem() {
    let (place, stub) = (place(), ModelStub::start(|_| accepted()));
    run(&place, &[]);
    for (threshold, expected) in [
        ("failure_rate_over = 0.9", Some("failure_rate")),
        ("rejected_rate_over = 0.2", Some("rejected_rate")),
        ("rejected_rate_over = 0.3", None),
    ] {
        let file = place.path().join("p.toml");
        let text = format!("[notify]\nurls = ['{}']\nwhen = 'problem'\n{threshold}\n", url(&stub));
        std::fs::write(&file, text).unwrap();
        let before = stub.request_count();
        run(&place, &[file.to_str().unwrap()]);
        let sent = stub.requests().get(before).map(|request| request.body["problems"].clone());
        assert_eq!(sent, expected.map(|problem| json!([problem])), "{threshold}");
    }
}

#[test]
fn a_busy_receiver_is_asked_again() {
    let (place, stub) = (
        place(),
        ModelStub::start(|request| match request.number {
            0 => Reaction::Status(503, json!({}), None),
            1 => Reaction::Status(429, json!({}), Some("2")),
            _ => accepted(),
        }),
    );
    let output = run(&place, &["--notify", &url(&stub)]);
    assert!(output.status.success() && !stderr(&output).contains("WARN"), "{}", stderr(&output));
    let times: Vec<Instant> = stub.requests().iter().map(|request| request.received_at).collect();
    assert_eq!(times.len(), 3);
    assert!(times[2] - times[1] >= Duration::from_secs(2), "the receiver asked for two seconds");
}

#[test]
fn a_failed_notification_is_a_warning() {
    let (place, stub) = (place(), ModelStub::start(|_| Reaction::Status(404, json!({"echo": SECRET}), None)));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gone = format!("http://{closed}/{SECRET}");
    let output = run(&place, &["--notify", &url(&stub), "--notify", &gone]);
    assert!(output.status.success(), "{}", stderr(&output));
    let messages = stderr(&output);
    assert!(messages.contains(&format!("cannot notify {}: it answered with status 404", stub.url)), "{messages}");
    assert!(messages.contains(&format!("cannot notify http://{closed}: ")) && messages.contains("after 4 attempts"), "{messages}");
    assert_eq!(stub.request_count(), 1, "a wrong URL does not become right");
}

#[test]
#[ignore = "takes half a minute; tests/run runs it"]
fn a_receiver_that_does_not_answer_does_not_hold_the_run() {
    let (place, stub) = (place(), ModelStub::start(|_| Reaction::Hang));
    let started = Instant::now();
    let output = run(&place, &["--notify", &url(&stub)]);
    assert!(output.status.success() && stderr(&output).contains("no answer in time"), "{}", stderr(&output));
    assert!(started.elapsed() < Duration::from_mins(1), "{:?}", started.elapsed());
}

#[test]
fn failed_and_interrupted_runs_are_reported() {
    let (place, stub) = (place(), ModelStub::start(|_| accepted()));
    let failed = call(&["run", "--input", "/nowhere", "--output", &place.output(), "--notify", &url(&stub), "--notify-when", "problem"]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    let sent = stub.requests()[0].body.clone();
    assert_eq!((&sent["status"], &sent["exit_code"], &sent["counts"]), (&"failed".into(), &1.into(), &Value::Null), "{sent}");
    assert!(!sent.to_string().contains("nowhere"), "{sent}");

    let mut command = failsift(&["run", "--input", "-", "--output", &place.output(), "--notify-when", "problem"]);
    let command = command.env("FAILSIFT_NOTIFY", url(&stub)).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(trace("t-1", "boom").as_bytes()).unwrap();
    wait_until_reading(&place);
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(143));
    drop(stdin);
    let sent = stub.requests()[1].body.clone();
    assert_eq!(
        (&sent["status"], &sent["exit_code"], &sent["exit_reason"]),
        (&"interrupted".into(), &143.into(), &"interrupted".into()),
        "{sent}"
    );
}

#[test]
fn the_address_is_not_shown_by_messages_and_help() {
    for arguments in [&["--notify", "ftp://host/s3cr3t-t0k3n"][..], &["--notify", SECRET], &["--help"]] {
        let mut command = failsift(&["run", "--input", "x", "--output", "y"]);
        let output = command.args(arguments).env("FAILSIFT_NOTIFY", format!("https://host/{SECRET}")).output().unwrap();
        assert!(!stderr(&output).contains(SECRET) && !stdout(&output).contains(SECRET), "{arguments:?}: {}", stderr(&output));
    }
    for arguments in [&["check", "--offline"][..], &["run", "--explain"], &["run", "--explain", "--format", "json"]] {
        let mut command = failsift(arguments);
        let command =
            command.args(["--input", "x", "--output", "y"]).env("FAILSIFT_NOTIFY", format!("https://user:{SECRET}@host:8443/{SECRET}"));
        let output = command.output().unwrap();
        let text = stdout(&output) + &stderr(&output);
        assert!(text.contains("https://host:8443") && !text.contains(SECRET), "{arguments:?}: {text}");
    }
}
