//! Accuracy of the embedded analyzer on the labelled samples of the repository.

use std::collections::HashMap;

use serde_json::Value;

use crate::support::{Place, call, rows, stderr};

#[test]
fn the_samples_are_labelled_correctly() {
    let place = Place::new();
    let output = call(&["run", "--input", "data/samples", "--output", &place.output()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let found: HashMap<String, Value> = rows(&place.output(), "select trace_id, category, contributing_factor, evidence from patterns")
        .into_iter()
        .map(|row| (row["trace_id"].as_str().unwrap().to_owned(), row))
        .collect();
    let labels = std::fs::read_to_string("data/labels/samples.jsonl").unwrap();
    let (mut right, mut wrong, mut spans_right, mut spans) = (0, Vec::new(), 0, 0);
    for line in labels.lines() {
        let label: Value = serde_json::from_str(line).unwrap();
        let row = &found[label["trace_id"].as_str().unwrap()];
        let answer = format!("{}/{}", row["category"].as_str().unwrap(), row["contributing_factor"].as_str().unwrap());
        let expected = format!("{}/{}", label["category"].as_str().unwrap(), label["contributing_factor"].as_str().unwrap());
        if answer == expected || label["also"].as_array().unwrap().iter().any(|also| *also == answer) {
            right += 1;
        } else {
            wrong.push(format!("{}: expected {expected}, got {answer}", label["trace_id"]));
        }
        if label["span_id"].is_string() && label["category"] != "unclassified" {
            spans += 1;
            spans_right += usize::from(row["evidence"].as_array().unwrap().iter().any(|evidence| evidence["span_id"] == label["span_id"]));
        }
    }
    assert!(right * 100 >= labels.lines().count() * 97, "{right} right; {wrong:#?}");
    assert!(spans_right * 100 >= spans * 85, "the culprit span is in the evidence of {spans_right} of {spans}");
    let unverified = rows(&place.output(), "select count(*) n from (select unnest(evidence) e from patterns) where not e['verified']");
    assert_eq!(unverified[0]["n"], 0);
}
