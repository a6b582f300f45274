//! Captures of agent frameworks: every span is claimed by one convention, what is not understood is listed, and the labels are right.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use serde_json::Value;

use crate::support::{Place, call, rows, stderr};

const FOLDER: &str = "data/labelled/frameworks";

/// The files of each capture, by its name: `mlflow.traces.jsonl.gz` belongs to `mlflow`.
fn captures() -> BTreeMap<String, Vec<String>> {
    let mut captures: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in std::fs::read_dir(FOLDER).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().split('.').next().unwrap().to_owned();
        captures.entry(name).or_default().push(path.to_str().unwrap().to_owned());
    }
    captures
}

/// What `failsift inspect` reports about an object.
fn inspect(path: &str) -> Value {
    let output = call(&["inspect", path, "--format", "json"]);
    assert!(output.status.success(), "{path}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

#[test]
fn every_capture_has_one_format_and_its_instrumentations_one_main_convention() {
    for (name, files) in captures() {
        for path in files {
            let report = inspect(&path);
            let object = &report["objects"][0];
            // Log records are rejected without the spans that they belong to.
            let rejected = if path.contains(".logs.") { 0 } else { count(&report["rejected"]) };
            assert_eq!((&object["format"], rejected), (&Value::from("otlp"), 0), "{path}");
            for instrumentation in object["instrumentations"].as_array().unwrap() {
                let conventions = instrumentation["conventions"].as_object().unwrap();
                // General conventions (errors, HTTP) describe spans of any program.
                let mut counts: Vec<(&String, u64)> =
                    conventions.iter().filter(|(name, _)| *name != "opentelemetry").map(|(name, spans)| (name, count(spans))).collect();
                counts.sort_by_key(|(_, spans)| std::cmp::Reverse(*spans));
                let has_model_calls = instrumentation["parts"].as_array().unwrap().iter().any(|part| part["span_kind"] == "llm");
                assert!(!counts.is_empty() || !has_model_calls, "{name}: no convention reads {}", instrumentation["name"]);
                if let [(first, most), (second, next), ..] = counts.as_slice() {
                    assert!(most > next, "{name}: {} is claimed by {first} and by {second}", instrumentation["name"]);
                }
            }
        }
    }
}

#[test]
fn what_is_not_understood_is_listed_with_its_attribute_and_its_size() {
    let place = Place::new();
    let body = format!("<answer>{}</answer>", "late ".repeat(400));
    place.put("t.jsonl", span_of_an_unknown_framework(&body) + "\n");
    let report = inspect(&place.input());
    let instrumentation = &report["objects"][0]["instrumentations"][0];
    assert_eq!(instrumentation["name"], "acme.agents");
    let output = instrumentation["parts"].as_array().unwrap().iter().find(|part| part["part"] == "output").unwrap();
    assert_eq!((count(&output["not_understood"]), count(&output["understood"])), (1, 0));
    assert_eq!(count(&instrumentation["unread_content_bytes"]["acme.reply"]), body.len() as u64);
    let text = String::from_utf8(call(&["inspect", &place.input()]).stdout).unwrap();
    for line in [
        "recorded by  acme.agents (1 span, gen_ai)",
        "output not understood in 1 of 1 llm span",
        "attribute acme.reply holds 2.0 kB, not read",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    let summary = place.run(&[]);
    assert_eq!((count(&summary["spans_not_understood"]), count(&summary["stored"])), (1, 1));
}

fn span_of_an_unknown_framework(reply: &str) -> String {
    let attribute = |key: &str, value: &str| serde_json::json!({"key": key, "value": {"stringValue": value}});
    let span = serde_json::json!({
        "traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "ask", "startTimeUnixNano": "1795424400000000000",
        "attributes": [attribute("gen_ai.operation.name", "chat"), attribute("acme.reply", reply)],
    });
    serde_json::json!({"resourceSpans": [{"scopeSpans": [{"scope": {"name": "acme.agents"}, "spans": [span]}]}]}).to_string()
}

/// Development data: conventions and rules were written with these captures. Measurements on other data are in `docs/accuracy.md`.
#[test]
fn the_failures_of_every_framework_are_recognized() {
    let place = Place::new();
    let output = call(&["run", "--input", FOLDER, "--output", &place.output()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: HashMap<String, String> =
        rows(&place.output(), "select trace_id, category || '/' || contributing_factor as label from patterns")
            .into_iter()
            .map(|row| (row["trace_id"].as_str().unwrap().to_owned(), row["label"].as_str().unwrap().to_owned()))
            .collect();
    let mut scores: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in std::fs::read_to_string("data/labels/frameworks.jsonl").unwrap().lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        let expected = format!("{}/{}", label["category"].as_str().unwrap(), label["contributing_factor"].as_str().unwrap());
        let answer = found.get(label["trace_id"].as_str().unwrap());
        let is_right =
            answer.is_some_and(|answer| *answer == expected || label["also"].as_array().unwrap().iter().any(|also| also == answer));
        let (right, all) = scores.entry(label["set"].as_str().unwrap().to_owned()).or_default();
        (*right, *all) = (*right + usize::from(is_right), *all + 1);
    }
    let (right, all) = scores.values().fold((0, 0), |(right, all), score| (right + score.0, all + score.1));
    let low: Vec<_> = scores.iter().filter(|(_, (right, all))| right * 10 < all * 6).collect();
    assert!(right * 100 >= all * 95 && low.is_empty(), "{right} of {all} right; under 60 %: {low:?}");
}
