//! What must always hold, on generated input.

use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Place, sample, trace};

/// A line of every kind that people have, good and bad.
fn line() -> impl Strategy<Value = String> {
    let otlp = sample("otlp/genai.jsonl.gz");
    let first: String = otlp.lines().next().unwrap_or_default().to_owned();
    let cut = first.clone();
    prop_oneof![
        4 => (0..20u8, "[a-z ]{0,20}").prop_map(|(id, text)| trace(&format!("t-{id}"), &text).trim_end().to_owned()),
        1 => "[ -~]{0,60}",
        1 => (1..2_000usize).prop_map(move |length| cut.chars().take(length).collect()),
        1 => Just(first),
        1 => "\\PC{0,40}",
        1 => (0..20u8).prop_map(|id| format!("{{\"trace_id\": \"t-{id}\", \"spans\": []}}")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// Conservation is checked by `Place::run`; the tables agree with the summary; a second run changes nothing.
    #[test]
    fn every_record_has_one_outcome(files in prop::collection::vec(prop::collection::vec(line(), 0..12), 1..4)) {
        let place = Place::new();
        for (index, lines) in files.iter().enumerate() {
            place.put(&format!("{index}.jsonl"), lines.join("\n"));
        }
        let summary = place.run(&[]);
        let count = |sql: &str| place.rows(sql)[0]["n"].as_u64();
        prop_assert_eq!(count("select count(*) n from patterns"), summary["stored"].as_u64());
        prop_assert_eq!(count("select count(distinct trace_id) n from patterns"), summary["stored"].as_u64());
        prop_assert_eq!(count("select count(*) n from errors"), summary["processing_errors"].as_u64());
        let rows = |place: &Place| -> Vec<Value> { place.rows("select trace_id, summary, content_digest from patterns order by 1") };
        let before = rows(&place);
        place.run(&[]);
        prop_assert_eq!(rows(&place), before);
        prop_assert_eq!(count("select count(*) n from errors"), summary["processing_errors"].as_u64());
    }
}
