//! `failsift eval` and `failsift rules` on the command line, and the accuracy of the embedded analyzer on the labelled traces.

use serde_json::Value;

use crate::support::{Place, call, stderr, stdout};

fn figures(set: &str) -> Value {
    let output =
        call(&["eval", "--input", &format!("data/labelled/{set}"), "--labels", &format!("data/labels/{set}.jsonl"), "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("figures are JSON")
}

fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or_else(|| panic!("{key} in {figures}"))
}

#[test]
fn captures_are_labelled_correctly_with_calibrated_confidence() {
    let captures = figures("captures");
    assert!(number(&captures, "accuracy") >= 0.95, "{captures}");
    assert!(number(&captures, "ece") <= 0.05 && number(&captures, "confidence_gap") >= 0.2, "{captures}");
    assert!(number(&captures, "precision_sure") >= 0.9 && captures["false_alarms"] == 0, "{captures}");
    assert!(number(&captures, "span_accuracy") >= 0.85, "{captures}");
}

#[test]
fn error_messages_of_sdks_and_tools_are_labelled_correctly() {
    assert!(number(&figures("error_messages"), "accuracy") >= 0.97);
}

/// The weights were fitted on these runs. `data/fit/fit.py --check` measures runs that they were not fitted on. Most verdicts on dialogues only
/// suspect a label.
#[test]
fn accuracy_on_runs_labelled_by_people_is_well_above_a_constant_answer() {
    for set in ["agent_runs", "who_and_when"] {
        let runs = figures(set);
        let (category, both) = (number(&runs, "category_accuracy_with_suspicions"), number(&runs, "accuracy_with_suspicions"));
        assert!(category >= 0.6 && both >= 0.4, "{set}: {runs}");
        assert!(category > number(&runs, "best_constant_category_accuracy") + 0.1, "{set}: {runs}");
    }
}

#[test]
fn healthy_runs_are_not_called_failed() {
    let healthy = figures("healthy_runs");
    assert!(healthy["false_alarms"].as_u64().unwrap() <= 2 && healthy["healthy"] == 120, "{healthy}");
}

#[test]
fn healthy_conversations_are_not_called_failed() {
    let place = Place::new();
    let chat = |id: &str, turns: &[(&str, &str)]| {
        let messages: Vec<Value> = turns
            .iter()
            .map(|(speaker, text)| match *speaker {
                "user" | "assistant" => serde_json::json!({"role": speaker, "content": text}),
                name => serde_json::json!({"role": "assistant", "name": name, "content": text}),
            })
            .collect();
        serde_json::json!({"trace_id": id, "messages": messages}).to_string() + "\n"
    };
    let text = chat(
        "recipes",
        &[
            ("user", "What can I cook with leeks?"),
            ("assistant", "A quiche, a soup, or a gratin."),
            ("user", "How long does the soup take?"),
            ("assistant", "About half an hour."),
            ("user", "Thanks, I will make that."),
            ("assistant", "Enjoy your meal!"),
        ],
    ) + &chat(
        "review",
        &[
            ("user", "Please review this change."),
            ("Author", "The change adds a cache with a limit of 100 entries."),
            ("Reviewer", "The limit is tested. The name of the field could be clearer."),
            ("Author", "Renamed to entries_max."),
            ("Reviewer", "Approved."),
        ],
    );
    place.put("a.jsonl", text);
    place.run(&[]);
    for row in place.rows("select trace_id, category, confidence from patterns") {
        assert_eq!(row["category"], "unclassified", "{row}");
    }
}

#[test]
fn a_missed_threshold_exits_with_3_and_the_text_lists_wrong_answers() {
    let arguments = ["eval", "--input", "data/labelled/captures", "--labels", "data/labels/captures.jsonl"];
    let output = call(&[&arguments[..], &["--min-accuracy", "1"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "354 labelled traces",
        "category and factor right",
        "expected calibration error",
        "wrong answers, most confident first (",
        "instead of",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let output = call(&[&arguments[..], &["--min-accuracy", "0.9", "--max-ece", "0.05"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn errors_in_labels_are_reported_before_the_run() {
    let place = Place::new();
    let labels = place.path().join("labels.jsonl");
    std::fs::write(&labels, "{\"trace_id\": \"a\", \"category\": \"tool_failure\", \"contributing_factor\": \"slow\"}\n").unwrap();
    let labels = labels.display().to_string();
    let output = call(&["eval", "--input", "/no/such/input", "--labels", &labels]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("line 1") && stderr(&output).contains("tool_failure/slow"), "{}", stderr(&output));
    let output = call(&["eval", "--input", "data/labelled/captures"]);
    assert_eq!(output.status.code(), Some(2));
    let output = call(&["eval", "--input", "data/samples/failsift", "--labels", "data/labels/healthy_runs.jsonl"]);
    assert!(stderr(&output).contains("120 of 120 labels name a trace without a pattern"), "{}", stderr(&output));
}

#[test]
fn a_rated_sheet_is_scored() {
    let place = Place::new();
    let sheet = place.path().join("sheet.csv");
    let path = sheet.display().to_string();
    let output = call(&["eval", "--input", "data/samples/otlp", "--review", "5", "--sheet", &path]);
    assert!(output.status.success() && stderr(&output).contains("wrote 5 patterns"), "{}", stderr(&output));
    let unrated = call(&["eval", "--ratings", &path]);
    assert_eq!(unrated.status.code(), Some(2), "{}", stdout(&unrated));

    let mut reader = csv::Reader::from_path(&sheet).unwrap();
    let headers = reader.headers().unwrap().clone();
    let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    let mut writer = csv::Writer::from_path(&sheet).unwrap();
    writer.write_record(&headers).unwrap();
    for (index, row) in rows.iter().enumerate() {
        let right = headers.iter().position(|header| header == "right").unwrap();
        let rating = ["yes", "yes", "yes", "category", "no"][index];
        writer.write_record(row.iter().enumerate().map(|(column, cell)| if column == right { rating } else { cell })).unwrap();
    }
    writer.flush().unwrap();
    let output = call(&["eval", "--ratings", &path, "--format", "json"]);
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!((number(&figures, "accuracy") - 0.6).abs() < 1e-9 && (number(&figures, "category_accuracy") - 0.8).abs() < 1e-9, "{figures}");
}

/// A user's rule file, as in `docs/rules.md`.
const USER_RULES: &str = "
[[rule]]
id = 'acme-proxy'
label = 'environment_error/misconfiguration'
kinds = ['tool']
text = ['acme proxy refused']
rank = 90
confidence = 0.95
title = 'The ACME proxy refused {tool}'
hypothesis = 'The tool is not on the list of the proxy.'
actions = ['Ask the platform team to add it.']
[[rule.case]]
kind = 'tool'
message = 'HTTP 429: ACME proxy refused'
wins = true
[[rule.case]]
kind = 'tool'
message = 'HTTP 429 Too Many Requests'
wins = false
";

#[test]
fn user_rules_are_checked_and_win_over_shipped_ones() {
    let place = Place::new();
    let file = place.path().join("own.toml");
    std::fs::write(&file, USER_RULES).unwrap();
    let path = file.display().to_string();
    let output = call(&["rules", "check", &path]);
    assert!(output.status.success() && stdout(&output).contains("1 rule, 2 cases, all passed"), "{}{}", stdout(&output), stderr(&output));

    // The largest rank is accepted.
    std::fs::write(&file, USER_RULES.replace("rank = 90", "rank = 4294967295")).unwrap();
    assert!(call(&["rules", "check", &path]).status.success());

    place.put("a.jsonl", crate::support::trace("t", "HTTP 429: ACME proxy refused"));
    place.run(&[]);
    assert_eq!(place.rows("select contributing_factor f from patterns")[0]["f"], "tool_rate_limited");
    place.run(&["--rules", &path]);
    let row = &place.rows("select contributing_factor f, title, confidence_rationale r from patterns")[0];
    assert_eq!((&row["f"], &row["title"]), (&"misconfiguration".into(), &"The ACME proxy refused lookup".into()), "{row}");

    std::fs::write(&file, USER_RULES.replace("wins = false", "wins = true")).unwrap();
    let output = call(&["rules", "check", &path]);
    assert_eq!(output.status.code(), Some(3));
    assert!(stdout(&output).contains("rule acme-proxy case 2 should win, but rule tool-rate-limited won"), "{}", stdout(&output));
    std::fs::write(&file, USER_RULES.replace("rank", "rnak")).unwrap();
    let output = call(&["rules", "check", &path]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("unknown key 'rnak'") && stderr(&output).contains("docs/rules.md"), "{}", stderr(&output));
    let output = call(&["run", "--input", "data/samples/failsift", "--output", &place.output(), "--rules", "/no/such/rules.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("cannot read the rule file /no/such/rules.toml"), "{}", stderr(&output));
}
