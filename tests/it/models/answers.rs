//! Answers of a model: checks, the repair of an unusable one, and errors that name the problem.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::{command, error_kinds, off_schema, one_kind, run, shelves, workspace};
use crate::model_stub::{ModelStub, Reaction, USAGE};
use crate::support::{Place as Workspace, stderr, stdout};

/// Unusable answers, each with the kind of its error and whether a repair is requested.
fn unusable_answers() -> Vec<(&'static str, Reaction, bool)> {
    let text = |text: &str, finish_reason| Reaction::Text(text.into(), finish_reason);
    let invented = json!([{"span": 1, "field": "status_message", "excerpt": "This sentence does not occur in the trace."}]);
    vec![
        ("answer_truncated", text("{\"evidence\": [], \"label\": \"tool_fail", "MAX_TOKENS"), true),
        ("answer_blocked", Reaction::Block, false),
        ("answer_blocked", text("", "SAFETY"), false),
        ("answer_empty", text("", "STOP"), true),
        ("answer_empty", text(" \n", "STOP"), true),
        ("answer_not_json", text("I looked at the trace and everything seems fine.", "STOP"), true),
        ("answer_not_json", text("{\"label\": \"unclassified/no_failure_found\"", "STOP"), true),
        ("answer_repetitive", text(&format!("{{\"title\": \"{}", "ab ".repeat(20_000)), "STOP"), true),
        ("answer_repetitive", text(&"no ".repeat(5_000), "MAX_TOKENS"), true),
        ("answer_off_schema", text("{\"verdict\": \"fine\"}", "STOP"), true),
        ("answer_off_schema", text("[]", "STOP"), true),
        ("answer_off_schema", Reaction::AnswerWith(json!({"label": "tool_failure/made_up"})), true),
        ("answer_off_schema", Reaction::AnswerWith(json!({"label": "provider_error/tool_exception"})), true),
        ("answer_off_schema", Reaction::AnswerWith(json!({"confidence": "high"})), true),
        ("answer_off_schema", Reaction::AnswerWith(json!({"actions": []})), true),
        ("answer_off_schema", Reaction::AnswerWith(json!({"title": " "})), true),
        ("answer_ungrounded", Reaction::AnswerWith(json!({"evidence": invented, "signals": ["made_up=1"]})), true),
        ("answer_ungrounded", Reaction::AnswerWith(json!({"evidence": []})), true),
        ("answer_ungrounded", Reaction::AnswerWith(json!({"summary": "After 77 calls and 45 s, 152,000 rows were lost."})), true),
        // The tool's error is plain.
        ("answer_contradicted", Reaction::AnswerWith(json!({"label": "unclassified/no_failure_found"})), true),
    ]
}

#[test]
fn an_unusable_answer_is_an_error_of_its_kind_and_never_a_pattern() {
    for analyzer in ["gemini", "openai"] {
        for (kind, reaction, is_repaired) in unusable_answers() {
            let (workspace, each) = (workspace(1), reaction.clone());
            let stub = ModelStub::start(move |_| each.clone());
            let (output, summary) = run(&workspace, &stub, analyzer, &[]);
            assert_eq!((output.status.code(), &summary["exit_reason"]), (Some(3), &"nothing_stored".into()), "{analyzer} {reaction:?}");
            assert_eq!(error_kinds(&workspace), one_kind(kind, 1), "{analyzer} {reaction:?}: {summary}");
            assert_eq!(stub.request_count(), if is_repaired { 2 } else { 1 }, "{analyzer} {reaction:?}");
            assert!(workspace.rows("SELECT 1 FROM patterns").is_empty());
            let row = &workspace.rows("SELECT retryable, reason, stage FROM errors")[0];
            assert_eq!((row["retryable"].as_bool(), row["stage"].as_str()), (Some(kind != "answer_blocked"), Some("analyze")), "{row}");
            assert!(!row["reason"].as_str().unwrap().contains("seems fine"), "a reason does not quote the answer");
            // An unusable answer is paid for too.
            assert!(summary["input_tokens"].as_u64() >= Some(USAGE.0), "{analyzer} {reaction:?}: {summary}");
        }
    }
}

#[test]
fn an_unusable_answer_is_repaired_once_and_both_are_paid() {
    for (kind, reaction, _) in unusable_answers().into_iter().filter(|(.., is_repaired)| *is_repaired) {
        let (workspace, bad) = (workspace(1), reaction.clone());
        let stub = ModelStub::start(move |request| if request.number == 0 { bad.clone() } else { Reaction::Answer });
        let (_, summary) = run(&workspace, &stub, "gemini", &[]);
        assert_eq!(summary["stored"], 1, "{kind} {reaction:?}: {summary}");
        assert_eq!(summary["input_tokens"].as_u64(), Some(2 * USAGE.0));
        assert_eq!(workspace.rows("SELECT input_tokens FROM patterns")[0]["input_tokens"].as_u64(), Some(2 * USAGE.0));
        assert!(stub.requests()[1].trace_text().contains("An earlier answer could not be used"));
    }
}

#[test]
fn invented_quotes_are_dropped_and_misplaced_ones_corrected() {
    let workspace = workspace(1);
    let evidence = json!([
        {"span": 2, "field": "status_message", "excerpt": "ToolError: shelf 0  is empty"},
        {"span": 1, "field": "output_text", "excerpt": "ToolError: shelf 0 is"},
        {"span": 7, "field": "status_message", "excerpt": "This sentence is in no field of any span."},
    ]);
    let stub =
        ModelStub::start(move |_| Reaction::AnswerWith(json!({"evidence": evidence, "signals": ["error_type=ToolError", "invented=1"]})));
    let (_, summary) = run(&workspace, &stub, "gemini", &[]);
    let row = &workspace.rows("SELECT * FROM patterns")[0];
    let excerpts: Vec<_> = row["evidence"].as_array().unwrap().iter().filter(|one| one["kind"] == "excerpt").collect();
    assert_eq!(excerpts.len(), 2, "{row}");
    assert_eq!(
        (excerpts[0]["excerpt"].as_str(), excerpts[0]["field"].as_str()),
        (Some("ToolError: shelf 0 is empty"), Some("status_message"))
    );
    assert_eq!((excerpts[1]["span_id"].as_str(), excerpts[1]["field"].as_str()), (Some("1"), Some("status_message")));
    let signals: HashSet<_> = row["evidence"].as_array().unwrap().iter().filter_map(|one| one["signal"].as_str()).collect();
    assert!(signals.contains("error_type=ToolError") && !signals.contains("invented=1"), "{signals:?}");
    assert!(row["confidence"].as_f64().unwrap() < 0.8 * 0.7 * 0.8 + 1e-9, "{row}");
    assert!((summary["grounding_rate"].as_f64().unwrap() - 2.0 / 3.0).abs() < 1e-9, "{summary}");
}

#[test]
fn facts_are_sent_and_numbers_are_checked_against_the_trace() {
    let workspace = Workspace::new();
    let message =
        "BadRequestError: This model's maximum context length is 128000 tokens. However, your messages resulted in 141397 tokens.";
    let call = json!({
        "trace_id": "t1", "service": "shop", "started_at": "2026-11-23T09:00:00Z",
        "spans": [{
            "span_id": "1", "name": "chat", "kind": "llm", "status": "error", "status_message": message, "model": "gpt-4o",
            "started_at": "2026-11-23T09:00:00Z", "ended_at": "2026-11-23T09:00:02Z",
        }],
    });
    workspace.put("traces.jsonl", format!("{call}\n"));
    let right = json!({
        "label": "context_overflow/context_window_exceeded", "title": "gpt-4o got 141,397 tokens, 13,397 over its limit",
        "summary": "The request took 2 s and was refused with 141k tokens.", "root_cause_hypothesis": "The limit is 128,000 tokens.",
        "actions": ["Keep the history below 100,000 tokens."],
    });
    let with = |name: &str, text: &str| {
        let mut answer = right.clone();
        answer[name] = text.into();
        answer
    };
    let one = with("summary", "The request held 152,000 tokens.");
    let many = with("summary", "The request held 152,000 tokens after 77 messages and 45 s.");
    let columns = "SELECT confidence, confidence_rationale, summary, facts, failed_span_id FROM patterns";

    let answer = right.clone();
    let stub = ModelStub::start(move |_| Reaction::AnswerWith(answer.clone()));
    run(&workspace, &stub, "gemini", &[]);
    let sent = stub.requests()[0].trace_text().to_owned();
    for fact in
        ["\"limit_tokens\" = \"128000\" tokens (span 1, status_message)", "\"request_tokens\" = \"141397\" tokens (span 1, status_message)"]
    {
        assert!(sent.contains(&format!("\n- {fact}\n")), "{sent}");
    }
    let row = workspace.rows(columns).remove(0);
    assert!((row["confidence"].as_f64().unwrap() - 0.8).abs() < 1e-9, "{row}");
    assert!(row["facts"].to_string().contains("limit_tokens") && row["failed_span_id"] == "1", "{row}");

    let stub = ModelStub::start(move |_| Reaction::AnswerWith(one.clone()));
    run(&workspace, &stub, "openai", &["--force"]);
    let row = workspace.rows(columns).remove(0);
    assert!((row["confidence"].as_f64().unwrap() - 0.8 * 0.8).abs() < 1e-9, "{row}");
    assert!(row["confidence_rationale"].as_str().unwrap().contains(" 1 number (“152,000”) does not occur in the trace."), "{row}");
    assert_eq!((row["summary"].as_str(), stub.request_count()), (Some("The request held 152,000 tokens."), 1), "{row}");

    let stub = ModelStub::start(move |request| Reaction::AnswerWith(if request.number == 0 { many.clone() } else { right.clone() }));
    let (_, summary) = run(&workspace, &stub, "gemini", &["--force"]);
    assert_eq!((summary["stored"].as_u64(), stub.request_count()), (Some(1), 2), "{summary}");
    assert!(stub.requests()[1].trace_text().contains("3 of its numbers (“152,000”, “77”, “45 s”) do not occur in the trace"));
    let row = workspace.rows(columns).remove(0);
    assert!((row["confidence"].as_f64().unwrap() - 0.8).abs() < 1e-9, "{row}");
}

#[test]
fn the_summary_counts_fallbacks_with_their_reasons() {
    let (workspace, stub) = (workspace(30), ModelStub::start(|_| off_schema()));
    let (output, summary) = run(&workspace, &stub, "gemini", &["--fallback", "embedded"]);
    assert!(output.status.success() && summary["stored"] == 30, "{summary}");
    assert_eq!(summary["analyzers"], json!([{"analyzer": "embedded", "traces": 30}]));
    let fallbacks = summary["fallbacks"].as_array().unwrap();
    let of = |kind: &str| fallbacks.iter().find(|count| count["kind"] == kind).unwrap_or_else(|| panic!("{kind}: {summary}"));
    assert!(of("answer_off_schema")["reason"].as_str().unwrap().contains("evidence[0].span must be an integer"), "{summary}");
    assert_eq!(of("answer_off_schema")["traces"].as_u64().unwrap() + of("circuit_open")["traces"].as_u64().unwrap(), 30);
    assert!(stub.request_count() <= 27, "{} requests for 30 traces without a usable answer", stub.request_count());
    assert!(stderr(&output).contains("the model gave no usable answer") && stderr(&output).contains("traces=30"), "{}", stderr(&output));
    let row = &workspace.rows("SELECT analyzers, fallbacks FROM runs")[0];
    assert_eq!((&row["analyzers"], &row["fallbacks"]), (&summary["analyzers"], &summary["fallbacks"]));
    let kept = workspace.rows("SELECT confidence_rationale, settings_digest, input_tokens FROM patterns WHERE settings_digest IS NOT NULL");
    assert_eq!(kept.len() as u64, of("answer_off_schema")["traces"].as_u64().unwrap(), "rows that are not paid for again");
    assert!(kept[0]["confidence_rationale"].as_str().unwrap().contains("evidence[0].span must be an integer"), "{}", kept[0]);
    assert!(kept[0]["input_tokens"].as_u64() >= Some(USAGE.0), "{}", kept[0]);
    // The next run only asks about the other traces.
    let before: HashSet<String> = shelves(&stub).into_iter().collect();
    let (requests_before, (_, summary)) = (stub.request_count(), run(&workspace, &stub, "gemini", &["--fallback", "embedded"]));
    assert_eq!(summary["unchanged"].as_u64(), Some(before.len() as u64), "{summary}");
    assert!(shelves(&stub)[requests_before..].iter().all(|shelf| !before.contains(shelf)), "{before:?}");
    let (input, out) = (workspace.input(), workspace.output());
    let text =
        command(&stub, "gemini", &["run", "--force", "--fallback", "embedded", "--input", &input, "--output", &out]).output().unwrap();
    let text = stdout(&text);
    assert!(text.contains("answered by         embedded 30") && text.contains("fell back") && text.contains("circuit_open"), "{text}");
}

#[test]
fn the_circuit_breaker_opens_after_ten_unusable_answers() {
    let is_usable = Arc::new(AtomicBool::new(false));
    let (workspace, answers_well) = (workspace(40), Arc::clone(&is_usable));
    let stub = ModelStub::start(move |_| if answers_well.load(Ordering::Relaxed) { Reaction::Answer } else { off_schema() });
    let (output, summary) = run(&workspace, &stub, "gemini", &["--concurrency", "1"]);
    assert_eq!((output.status.code(), stub.request_count()), (Some(3), 13), "two requests for three traces, one for seven: {summary}");
    assert_eq!(error_kinds(&workspace), BTreeMap::from([("answer_off_schema".to_owned(), 10), ("circuit_open".to_owned(), 30)]));
    let open = &workspace.rows("SELECT retryable, reason, settings_digest FROM errors WHERE kind = 'circuit_open'")[0];
    assert!(open["retryable"] == true && open["settings_digest"].is_null(), "{open}");
    assert!(open["reason"].as_str().unwrap().contains("10 traces in a row"), "{open}");
    let (input, out) = (workspace.input(), workspace.output());
    is_usable.store(true, Ordering::Relaxed);
    let text = command(&stub, "gemini", &["run", "--input", &input, "--output", &out]).output().unwrap();
    assert_eq!(stub.request_count(), 13 + 30, "unusable answers are not paid for again");
    assert!(stdout(&text).contains("(and 9 more like it)"), "{}", stdout(&text));
    assert_eq!((error_kinds(&workspace), workspace.rows("SELECT 1 FROM patterns").len()), (one_kind("answer_off_schema", 10), 30));
}
