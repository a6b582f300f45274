//! Bad input: each piece has a place to go, and nothing else is lost.

use std::io::Write;

use crate::support::{Place, call, sample, stderr, trace};

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

/// `(kind, trace_ref without the folder)` of every error, sorted.
fn errors(place: &Place) -> Vec<(String, String)> {
    let folder = format!("{}/", place.input());
    let rows = place.rows("select kind, trace_ref, reason, source_uri from errors order by trace_ref");
    rows.iter()
        .map(|row| {
            let text = |key: &str| row[key].as_str().unwrap().to_owned();
            assert!(text("reason").contains(&text("source_uri")), "the reason names the object: {row}");
            (text("kind"), text("trace_ref").replace(&folder, ""))
        })
        .collect()
}

#[test]
fn broken_lines_are_rejected_at_their_place_and_their_neighbours_live() {
    let place = Place::new();
    place.put("bad.jsonl", "{\"resourceSpans\": [\nnot json at all\n{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{\"name\":\"no ids\"}]}]}]}\n{\"resourceSpans\":[]}\n");
    place.put("good.jsonl", trace("t-1", "boom"));
    let mut mixed = trace("t-2", "boom").into_bytes();
    mixed.extend(b"{\"trace_id\": \"\xff\", \"spans\": [\n");
    mixed.extend(trace("t-4", "bo@m").bytes().map(|byte| if byte == b'@' { 0xff } else { byte }));
    mixed.extend(trace("t-3", "boom").into_bytes());
    place.put("mixed.jsonl", mixed);
    let summary = place.run(&[]);
    assert_eq!((summary["stored"].as_u64(), summary["processing_errors"].as_u64()), (Some(4), Some(4)));
    assert_eq!(place.rows("select count(*) n from patterns where trace_id = 't-4'")[0]["n"], 1, "a byte that is no UTF-8 costs no trace");
    let expected = [
        ("malformed_json", "bad.jsonl#L1"),
        ("malformed_json", "bad.jsonl#L2"),
        ("missing_id", "bad.jsonl#L3.s1"),
        ("invalid_utf8", "mixed.jsonl#L2"),
    ];
    assert_eq!(errors(&place), expected.map(|(kind, reference)| (kind.to_owned(), reference.to_owned())));
}

#[test]
fn objects_that_are_not_what_they_say_are_rejected_and_the_rest_goes_on() {
    let place = Place::new();
    let lines: String = (0..2_000).map(|index| trace(&format!("t-{index}"), "boom")).collect();
    let whole = gzip(&lines);
    place.put("cut.jsonl.gz", &whole[..whole.len() - 20]);
    place.put("garbage.jsonl.gz", [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0x55; 400]].concat());
    place.put("named.parquet", "this is no parquet");
    place.put("cut.parquet", [b"PAR1".as_slice(), &[7; 100]].concat());
    place.put("notes.jsonl", "{\"hello\": 1}\n{\"hello\": 2}\n");
    place.put("empty.jsonl", "");
    place.put("LICENSE.txt", "free");
    place.put("misnamed.txt.jsonl", gzip(&trace("gz-1", "boom")));
    let summary = place.run(&[]);
    let kinds: Vec<_> = errors(&place);
    let kind = |name: &str| kinds.iter().find(|(_, reference)| reference.starts_with(name)).map(|(kind, _)| kind.as_str());
    assert_eq!(kind("cut.jsonl.gz"), Some("truncated"));
    assert_eq!(kind("garbage.jsonl.gz"), Some("corrupt_compression"));
    assert_eq!(kind("named.parquet"), Some("corrupt_parquet"));
    assert_eq!(kind("cut.parquet"), Some("corrupt_parquet"));
    assert_eq!(kind("notes.jsonl"), Some("unrecognised_format"));
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert_eq!(summary["skipped_objects"].as_array().unwrap().len(), 1);
    let stored = summary["stored"].as_u64().unwrap();
    assert!(stored > 1_000, "the lines before the cut are kept: {stored}");
    assert_eq!(place.rows("select count(*) n from patterns where trace_id = 'gz-1'")[0]["n"], 1);
}

#[test]
fn an_oversize_line_is_rejected_without_its_neighbours() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + &trace("big", &"x".repeat(100_000)) + &trace("t-2", "boom"));
    let summary = place.run(&["--max-record-bytes", "20000"]);
    assert_eq!((summary["stored"].as_u64(), summary["processing_errors"].as_u64()), (Some(2), Some(1)));
    assert_eq!(errors(&place), [("oversize".to_owned(), "a.jsonl#L2".to_owned())]);
}

#[test]
fn an_incomplete_trace_gets_a_pattern_with_less_confidence_and_says_what_is_missing() {
    let place = Place::new();
    let whole = trace("whole", "HTTP 429 Too Many Requests");
    let orphan = serde_json::json!({"trace_id": "orphan", "started_at": "2026-11-23T09:00:00Z", "spans": [
        {"span_id": "2", "parent_span_id": "gone", "name": "lookup", "kind": "tool", "status": "error", "status_message": "HTTP 429 Too Many Requests"}]});
    place.put("a.jsonl", whole + &orphan.to_string());
    place.run(&[]);
    let rows = place.rows("select confidence, confidence_rationale, contributing_factor from patterns order by trace_id");
    assert_eq!(
        (&rows[0]["contributing_factor"], &rows[1]["contributing_factor"]),
        (&"tool_rate_limited".into(), &"tool_rate_limited".into())
    );
    assert!(rows[0]["confidence"].as_f64() < rows[1]["confidence"].as_f64());
    let rationale = rows[0]["confidence_rationale"].as_str().unwrap();
    assert!(rationale.contains("the parent is missing") && rationale.contains("without an end"), "{rationale}");
}

#[test]
fn spans_of_one_trace_in_many_lines_files_and_encodings_are_one_trace() {
    let place = Place::new();
    let text = sample("otlp/openinference.jsonl.gz");
    // One file a line, the lines in reverse, one of them delivered twice and one in zstd.
    for (index, line) in text.lines().rev().enumerate() {
        match index {
            0 => place.put("0.jsonl.zst", zstd::encode_all(line.as_bytes(), 3).unwrap()),
            1 => place.put("1.jsonl", format!("{line}\n{line}\n")),
            _ => place.put(&format!("{index}.jsonl"), line),
        };
    }
    let summary = place.run(&[]);
    assert_eq!((summary["stored"].as_u64(), summary["processing_errors"].as_u64()), (Some(33), Some(0)));
    let whole = Place::new();
    whole.put("all.jsonl", &text);
    whole.run(&[]);
    let sql =
        "select trace_id, category, contributing_factor, summary, spans_total, content_digest, fingerprint from patterns order by trace_id";
    assert_eq!(place.rows(sql), whole.rows(sql));
}

#[test]
fn a_phoenix_dataframe_is_read() {
    let place = Place::new();
    std::fs::copy("data/samples/phoenix/langchain.spans_dataframe.parquet", place.put("a.parquet", "")).unwrap();
    let summary = place.run(&[]);
    assert_eq!((summary["stored"].as_u64(), summary["spans_read"].as_u64()), (Some(11), Some(62)), "{summary}");
}

#[test]
fn texts_of_any_length_make_a_pattern_of_bounded_length() {
    let place = Place::new();
    let long = "long ".repeat(200_000);
    let trace = serde_json::json!({"trace_id": "long", "service": "s", "started_at": "2026-11-23T09:00:00Z", "spans": [{
        "span_id": "1", "name": long, "kind": "tool", "status": "error", "status_message": long, "model": long, "finish_reasons": [long],
        "exceptions": [{"type": long, "message": long, "stack": long}], "tool": {"name": long, "arguments": long, "result": long},
        "attributes": {&*long: long}}]});
    place.put("a.jsonl", trace.to_string());
    let summary = place.run(&[]);
    assert_eq!(summary["stored"], 1, "{summary}");
    let row = place.rows("select * from patterns").remove(0);
    assert!(row.to_string().len() < 10_000, "{} bytes", row.to_string().len());
}

#[test]
fn nothing_panics_on_nonsense() {
    let place = Place::new();
    for (index, nonsense) in [
        "[",
        "{}",
        "[]",
        "null",
        "\u{0}",
        "{\"resourceSpans\":[[[]]]}",
        "{\"resourceSpans\":{}}",
        "{\"trace_id\":1,\"spans\":2}",
        "\"\\ud800\"",
    ]
    .iter()
    .enumerate()
    {
        place.put(&format!("{index}.jsonl"), nonsense);
    }
    place.put("deep.jsonl", "[".repeat(1_000_000));
    place.put("deep-otlp.jsonl", format!("{{\"resourceSpans\":{}", "[".repeat(1_000_000)));
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing_stored"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("defect"), "{}", stderr(&output));
}
