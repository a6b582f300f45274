//! Cost of a run: the limit, the plan, the summary, and that nothing is paid for twice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{command, error_kinds, off_schema, one_kind, run, workspace};
use crate::model_stub::{ModelStub, Reaction};
use crate::support::{stderr, stdout, trace};

#[test]
fn the_cost_limit_is_never_exceeded_and_the_rest_is_reported() {
    // An answer costs $0.0033. More is reserved for each request, so some cents are left.
    let (workspace, stub) = (workspace(60), ModelStub::start(|_| Reaction::Answer));
    let (output, summary) = run(&workspace, &stub, "gemini", &["--max-cost", "0.2"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    let (cost, stored) = (summary["cost_usd"].as_f64().unwrap(), summary["stored"].as_u64().unwrap());
    assert!(cost <= 0.2 && cost > 0.1 && stored == stub.request_count() as u64, "{summary}");
    assert_eq!((error_kinds(&workspace), summary["status"].as_str()), (one_kind("cost_limit", 60 - stored), Some("cost_limit")));
    // The next run analyzes the rest, and nothing twice.
    let (output, summary) = run(&workspace, &stub, "gemini", &[]);
    assert!(output.status.success());
    assert_eq!(
        (summary["unchanged"].as_u64(), summary["stored"].as_u64(), stub.request_count()),
        (Some(stored), Some(60 - stored), 60),
        "{summary}"
    );
    assert!(error_kinds(&workspace).is_empty());
}

#[test]
fn unchanged_traces_are_not_paid_for_twice() {
    let (workspace, stub) = (workspace(6), ModelStub::start(|_| Reaction::Answer));
    run(&workspace, &stub, "gemini", &[]);
    let run_again = |more: &[&str], unchanged: u64, requests: usize| {
        let before = stub.request_count();
        let (output, summary) = run(&workspace, &stub, "gemini", more);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!((summary["unchanged"].as_u64(), stub.request_count() - before), (Some(unchanged), requests), "{more:?}: {summary}");
        assert_eq!(workspace.rows("SELECT count(*) AS n FROM patterns")[0]["n"], 6);
    };
    run_again(&[], 6, 0);
    run_again(&["--force"], 0, 6);
    run_again(&["--concurrency", "2", "--max-cost", "5"], 6, 0);
    // With another model or another thinking level, results differ.
    run_again(&["--model", "gemini-3.5-flash-lite"], 0, 6);
    run_again(&["--model", "gemini-3.5-flash-lite", "--thinking", "high"], 0, 6);
    run_again(&[], 0, 6);
    let text: String =
        (0..6).map(|number| trace(&format!("t{number}"), &format!("ToolError: shelf {} is empty", number / 5 * 100 + number))).collect();
    workspace.put("traces.jsonl", text);
    run_again(&[], 5, 1);
    // Patterns of the embedded analyzer do not count as results of a model.
    assert_eq!(workspace.run(&[])["unchanged"], 0);
    run_again(&[], 0, 6);
}

#[test]
fn an_unusable_answer_is_not_paid_for_again() {
    let (workspace, stub) = (workspace(3), ModelStub::start(|_| off_schema()));
    let run_again = |more: &[&str], requests: usize| {
        let before = stub.request_count();
        let (_, summary) = run(&workspace, &stub, "gemini", more);
        assert_eq!(stub.request_count() - before, requests, "{more:?}: {summary}");
        summary
    };
    run_again(&[], 6);
    for _ in 0..2 {
        let summary = run_again(&[], 0);
        assert_eq!((&summary["processing_errors"], &summary["exit_reason"]), (&json!(3), &json!("nothing_stored")), "{summary}");
        let reason = summary["failures"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("evidence[0].span must be an integer"), "{reason}");
        assert_eq!(reason.matches("--force asks again").count(), 1, "{reason}");
    }
    assert_eq!(error_kinds(&workspace), one_kind("answer_off_schema", 3));
    let summary = run_again(&["--fallback", "embedded"], 0);
    assert_eq!((&summary["stored"], &summary["analyzers"]), (&json!(3), &json!([{"analyzer": "embedded", "traces": 3}])), "{summary}");
    assert_eq!(run_again(&["--fallback", "embedded"], 0)["unchanged"], 3);
    run_again(&["--force"], 6);
    // Other settings and other content make another prompt.
    run_again(&["--model", "gemini-3.5-flash-lite"], 6);
    workspace.put("traces.jsonl", trace("t0", "ToolError: shelf 70 is empty"));
    run_again(&[], 2);
}

#[test]
fn missing_and_absurd_token_counts_are_estimated() {
    let prices = "[[model]]\nname = 'stub-model'\ninput = 1\noutput = 1\n";
    for usage in [Value::Null, json!({"prompt_tokens": 1_000_000_000_000_000_000_u64, "completion_tokens": 1_000_000_000_000_000_000_u64})]
    {
        let workspace = workspace(4);
        let file = workspace.path().join("prices.toml").display().to_string();
        std::fs::write(&file, prices).unwrap();
        let reported = usage.clone();
        let stub = ModelStub::start(move |request| {
            let choice = json!({"message": {"content": request.answer().to_string()}, "finish_reason": "stop"});
            Reaction::Status(200, json!({"choices": [choice], "usage": reported}), None)
        });
        let started = Instant::now();
        let (output, summary) = run(&workspace, &stub, "openai", &["--prices", &file, "--tokens-per-minute", "10000000"]);
        assert!(output.status.success() && summary["stored"] == 4, "{usage}: {summary} {}", stderr(&output));
        assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
        assert_eq!(summary["answers_estimated"], 4, "{summary}");
        let (input, output) = (summary["input_tokens"].as_u64().unwrap(), summary["output_tokens"].as_u64().unwrap());
        assert!((4_000..40_000).contains(&input) && (200..4_000).contains(&output), "{summary}");
        assert!(summary["cost_usd"].as_f64().unwrap() > 0.004, "{summary}");
    }
}

#[test]
fn a_plan_estimates_a_run_without_sending_requests() {
    let (workspace, stub) = (workspace(40), ModelStub::start(|_| Reaction::Answer));
    let (input, out) = (workspace.input(), workspace.output());
    let plan = |more: &[&str]| {
        let mut arguments = vec!["plan", "--input", &input, "--output", &out, "--format", "json"];
        arguments.extend(more);
        let output = command(&stub, "gemini", &arguments).env_remove("GEMINI_API_KEY").output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let whole = plan(&[]);
    assert_eq!((whole["traces"].as_u64(), whole["unchanged"].as_u64(), stub.request_count()), (Some(40), Some(0), 0), "{whole}");
    assert!(!std::path::Path::new(&out).exists(), "nothing was written");
    let between = |name: &str, low: f64, high: f64| {
        let (min, max) = (whole[name][0].as_f64().unwrap(), whole[name][1].as_f64().unwrap());
        assert!(low <= min && min <= max && max <= high, "{name}: {whole}");
    };
    between("input_tokens", 40.0 * 1_500.0, 40.0 * 5_000.0);
    between("cost_usd", 0.1, 1.2);
    between("minutes", 0.1, 1.0);
    assert!(plan(&["--requests-per-minute", "10"])["minutes"][0].as_f64().unwrap() >= 4.0);
    assert_eq!(plan(&["--model", "unheard-of"])["cost_usd"], Value::Null);
    run(&workspace, &stub, "gemini", &[]);
    let rest = plan(&[]);
    assert_eq!((rest["traces"].as_u64(), rest["unchanged"].as_u64(), stub.request_count()), (Some(0), Some(40), 40), "{rest}");
    assert_eq!(plan(&["--force"])["traces"], 40);
    let text = command(&stub, "gemini", &["plan", "--input", &input]).output().unwrap();
    assert!(stdout(&text).contains("US dollars") && stdout(&text).contains("gemini-3.5-flash"), "{}", stdout(&text));
    let embedded = command(&stub, "embedded", &["plan", "--input", &input]).output().unwrap();
    assert_eq!(embedded.status.code(), Some(2));
}

#[test]
fn the_summary_shows_the_cost_if_the_price_is_known() {
    let (workspace, stub) = (workspace(2), ModelStub::start(|_| Reaction::Answer));
    let (input, out) = (workspace.input(), workspace.output());
    for (model, cost) in [("gemini-3.5-flash", "US dollars; 100 % of the quotations"), ("unheard-of", "price unknown")] {
        let output = command(&stub, "gemini", &["run", "--model", model, "--input", &input, "--output", &out]).output().unwrap();
        assert!(stdout(&output).contains("model tokens") && stdout(&output).contains(cost), "{}", stdout(&output));
    }
}
