//! Failing providers: what is retried, what fails a trace, and what ends the run.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{KEY, command, error_kinds, one_kind, run, workspace};
use crate::model_stub::{ModelStub, Reaction, gemini_error, gemini_quota_error};
use crate::support::stderr;

#[test]
fn absurd_waits_and_quotas_are_survived() {
    let reactions = [
        Reaction::Status(429, gemini_quota_error("GenerateRequestsPerMinutePerProjectPerModel", "1e400", "99999999999999999999s"), None),
        Reaction::Status(503, Value::Null, Some("18446744073709551615")),
    ];
    // A pause of a day is shortened to two minutes, so there is only one trace.
    for reaction in reactions {
        let workspace = workspace(1);
        let stub = ModelStub::start(move |_| reaction.clone());
        let (output, summary) = run(&workspace, &stub, "gemini", &["--trace-timeout", "2"]);
        assert!(output.status.code() == Some(3) && !stderr(&output).contains("a bug in failsift"), "{summary} {}", stderr(&output));
        assert!(
            error_kinds(&workspace).keys().all(|kind| kind == "rate_limited" || kind == "provider_error"),
            "{:?}",
            error_kinds(&workspace)
        );
    }
}

#[test]
fn temporary_failures_are_retried() {
    let minute = || gemini_quota_error("GenerateRequestsPerMinutePerProjectPerModel", "6000", "0.3s");
    let reactions: Vec<(&str, Reaction)> = vec![
        ("500", Reaction::Status(500, gemini_error(500, "An internal error has occurred.", &Value::Null), None)),
        ("503", Reaction::Status(503, gemini_error(503, "The model is overloaded.", &Value::Null), Some("1"))),
        ("429", Reaction::Status(429, minute(), None)),
        ("429 without a body", Reaction::Status(429, Value::Null, Some("0"))),
        ("closed", Reaction::Close),
        ("truncated", Reaction::Truncate),
        ("no candidates", Reaction::Status(200, json!({}), None)),
    ];
    for analyzer in ["gemini", "openai"] {
        for (name, reaction) in &reactions {
            let (workspace, reaction) = (workspace(3), reaction.clone());
            let stub = ModelStub::start(
                move |request| if request.number % 2 == 0 && request.number < 5 { reaction.clone() } else { Reaction::Answer },
            );
            let (output, summary) = run(&workspace, &stub, analyzer, &["--concurrency", "1"]);
            assert!(output.status.success() && summary["stored"] == 3, "{analyzer} {name}: {summary} {}", stderr(&output));
            assert_eq!(stub.request_count(), 6, "{analyzer} {name}");
        }
    }
}

#[test]
fn a_truncated_response_fails_the_trace_and_not_the_run() {
    for (reaction, analyzer) in [(Reaction::Truncate, "gemini"), (Reaction::Truncate, "openai"), (Reaction::Close, "openai")] {
        let (workspace, each) = (workspace(6), reaction.clone());
        let stub = ModelStub::start(move |_| each.clone());
        let (output, summary) = run(&workspace, &stub, analyzer, &["--trace-timeout", "2"]);
        assert_eq!(
            (output.status.code(), error_kinds(&workspace)),
            (Some(3), one_kind("provider_error", 6)),
            "{reaction:?}: {}",
            stderr(&output)
        );
        assert_eq!(summary["processing_errors"], 6, "{summary}");
    }
}

#[test]
fn a_rejected_key_and_an_unknown_model_end_the_run_after_one_request() {
    let invalid = json!([{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]);
    for (status, details) in [(400, invalid), (401, Value::Null), (403, Value::Null), (404, Value::Null)] {
        let workspace = workspace(100);
        let stub = ModelStub::start(move |_| {
            Reaction::Status(status, gemini_error(status, &format!("Key {KEY} or model not valid."), &details), None)
        });
        let (output, _) = run(&workspace, &stub, "gemini", &[]);
        let message = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{status}: {message}");
        assert_eq!(stub.request_count(), 1, "{status}: the first trace is analyzed alone");
        assert!(message.contains("Gemini") && message.contains("hint") && !message.contains(KEY), "{message}");
        assert!(workspace.rows("SELECT 1 FROM errors").is_empty() && workspace.rows("SELECT 1 FROM runs").is_empty());
    }
}

#[test]
fn an_unsupported_region_costs_one_request() {
    let openai = json!({"error": {"code": "unsupported_country_region_territory", "message": "Country, region, or territory not supported", "type": "request_forbidden"}});
    let gemini = gemini_error(400, "User location is not supported for the API use.", &Value::Null);
    let key = gemini_error(400, "API key not valid. Please pass a valid API key.", &Value::Null);
    for (analyzer, status, body) in
        [("openai", 403, openai.clone()), ("openai", 400, openai), ("gemini", 400, gemini), ("gemini", 400, key)]
    {
        let (workspace, response) = (workspace(40), body.clone());
        let stub = ModelStub::start(move |_| Reaction::Status(status, response.clone(), None));
        let (output, _) = run(&workspace, &stub, analyzer, &["--concurrency", "8", "--fallback", "embedded"]);
        assert_eq!((output.status.code(), stub.request_count()), (Some(1), 1), "{body}: {}", stderr(&output));
        assert!(stderr(&output).contains("hint:"), "{}", stderr(&output));
    }
}

#[test]
fn an_unreachable_provider_ends_the_run() {
    let workspace = workspace(50);
    let stub = ModelStub::start(|_| Reaction::Answer);
    let (input, out) = (workspace.input(), workspace.output());
    let arguments = ["run", "--input", &input, "--output", &out, "--trace-timeout", "2", "--base-url", "http://127.0.0.1:9"];
    let started = Instant::now();
    let output = command(&stub, "gemini", &arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("cannot connect to Gemini at http://127.0.0.1:9") && started.elapsed() < Duration::from_secs(5),
        "{}",
        stderr(&output)
    );
}

#[test]
fn missing_keys_and_invalid_settings_are_reported_before_anything_is_read() {
    let (workspace, stub) = (workspace(1), ModelStub::start(|_| Reaction::Answer));
    let (input, out) = (workspace.input(), workspace.output());
    let base = ["run", "--input", &input, "--output", &out];
    let error = |analyzer: &str, more: &[&str], without: &[&str]| {
        let mut command = command(&stub, analyzer, &base);
        command.args(more);
        for name in without {
            command.env_remove(name);
        }
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {}", stderr(&output));
        stderr(&output)
    };
    assert!(error("gemini", &[], &["GEMINI_API_KEY"]).contains("set GEMINI_API_KEY"));
    assert!(error("openai", &[], &["OPENAI_BASE_URL"]).contains("set OPENAI_API_KEY"));
    assert!(error("gemini", &["--max-cost", "1", "--model", "unheard-of"], &[]).contains("--prices FILE"));
    assert!(error("gemini", &["--max-cost=-1"], &[]).contains("--max-cost"));
    assert!(error("gemini", &["--concurrency", "0"], &[]).contains("--concurrency"));
    assert!(error("gemini", &["--base-url", "ftp://there"], &[]).contains("ftp://there"));
    assert!(error("gemini", &["--prices", "/nowhere/prices.toml"], &[]).contains("/nowhere/prices.toml"));
    assert_eq!(stub.request_count(), 0);
    assert!(!std::path::Path::new(&out).exists(), "nothing was written");
}

#[test]
fn an_exhausted_daily_quota_stops_requests_and_the_rest_fails_or_falls_back() {
    let day = || gemini_quota_error("GenerateRequestsPerDayPerProjectPerModel-FreeTier", "250", "34s");
    for fallback in [false, true] {
        let workspace = workspace(100);
        let stub = ModelStub::start(move |request| if request.number < 10 { Reaction::Answer } else { Reaction::Status(429, day(), None) });
        let started = Instant::now();
        let more: &[&str] = if fallback { &["--fallback", "embedded"] } else { &[] };
        let (output, summary) = run(&workspace, &stub, "gemini", more);
        assert_eq!(output.status.code(), Some(if fallback { 0 } else { 3 }), "{}", stderr(&output));
        assert!(
            stub.request_count() <= 18 && started.elapsed() < Duration::from_secs(8),
            "{} requests in {:?}",
            stub.request_count(),
            started.elapsed()
        );
        assert!(stderr(&output).contains("no more requests are sent") && !stderr(&output).contains("billing"), "{}", stderr(&output));
        if fallback {
            assert_eq!(summary["stored"], 100, "{summary}");
            let rows = workspace.rows("SELECT analyzer, count(*) AS n, count(settings_digest) AS kept FROM patterns GROUP BY 1 ORDER BY 1");
            assert_eq!(rows, [json!({"analyzer": "embedded", "n": 90, "kept": 0}), json!({"analyzer": "gemini", "n": 10, "kept": 10})]);
        } else {
            assert_eq!((summary["stored"].as_u64(), error_kinds(&workspace)), (Some(10), one_kind("quota_exhausted", 90)), "{summary}");
        }
    }
}
