//! Input of every format: valid, truncated, mistyped, huge, deeply nested; and the selection of traces.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use crate::support::{Place, call, stderr, stdout, trace};

const TIME: &str = "2026-11-23T09:00:00Z";
const NANOSECONDS: &str = "1795424400000000000";

fn otlp(span: &Value) -> Value {
    json!({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
}

/// One valid record of each format that has JSON lines, with `text` as an attribute or a message.
fn valid_records(text: &str) -> Vec<(&'static str, Value)> {
    let (id, span_id) = ("5b8efff798038103d269b633813fc60c", "eee19b7ec3c1b174");
    let attribute = json!({"key": "note", "value": {"stringValue": text}});
    vec![
        ("otlp", otlp(&json!({"traceId": id, "spanId": span_id, "startTimeUnixNano": NANOSECONDS, "attributes": [attribute]}))),
        (
            "opentelemetry_sdk",
            json!({"name": "step", "context": {"trace_id": id, "span_id": span_id}, "kind": "SpanKind.INTERNAL", "parent_id": null, "start_time": TIME,
                "attributes": {"note": text}, "resource": {"attributes": {}}}),
        ),
        (
            "zipkin",
            json!({"traceId": id, "id": span_id, "timestamp": 1_795_424_400_000_000_i64, "localEndpoint": {}, "tags": {"note": text}}),
        ),
        (
            "phoenix",
            json!({"context": {"trace_id": "p", "span_id": "1"}, "span_kind": "LLM", "start_time": TIME, "attributes": {"note": text}}),
        ),
        ("langsmith", json!({"id": "1", "trace_id": "l", "run_type": "llm", "start_time": TIME, "extra": {"metadata": {"note": text}}})),
        (
            "datadog",
            json!({"trace_id": "d", "span_id": "1", "start_ns": 1_795_424_400_000_000_000_i64, "meta": {"input": {"value": text}}}),
        ),
        ("langfuse", json!({"id": "1", "trace_id": "f", "type": "SPAN", "parent_observation_id": "", "start_time": TIME, "input": text})),
        (
            "mlflow",
            json!({"info": {"trace_id": "m"}, "data": {"spans": [
                {"span_id": "1", "name": "f", "start_time_unix_nano": 1_795_424_400_000_000_000_i64, "attributes": {"note": text}}]}}),
        ),
        ("braintrust", json!({"id": "1", "span_id": "1", "root_span_id": "b", "span_parents": [], "created": TIME, "input": text})),
        ("weave", json!({"id": "1", "trace_id": "w", "op_name": "f", "started_at": TIME, "inputs": {"question": text}})),
        ("failsift", json!({"trace_id": "s", "started_at": TIME, "spans": [{"span_id": "1", "input_text": text}]})),
        ("chat", json!({"id": "c", "started_at": TIME, "messages": [{"role": "user", "content": text}]})),
    ]
}

#[test]
fn invalid_records_of_every_format_are_rejected_and_valid_ones_stored() {
    for (format, record) in valid_records("hello") {
        let place = Place::new();
        let line = record.to_string();
        // Ids and lists become objects, in those of these fields that the format has.
        let mangled = ["traceId", "trace_id", "id", "span_id", "spans", "messages"].iter().fold(line.clone(), |line, key| {
            line.replace(&format!("\"{key}\":"), &format!("\"{key}\":{{\"is\":[\"nonsense\"]}},\"was_{key}\":"))
        });
        let timeless = line.replace(TIME, "when it was dark").replace("1795424400000000000", "0");
        let deep = format!("{}{}", "{\"a\":[".repeat(50_000), &line);
        place.put("bad.jsonl", format!("{}\n{line}\n{mangled}\n{timeless}\n{deep}\n", line.split_at(line.len() / 2).0));
        let summary = place.run(&["--input-format", format]);
        // A chat run without a time has the time of its object, so its line stays valid.
        let stored = summary["stored"].as_u64().unwrap();
        assert_eq!((format, stored), (format, 1), "{summary}");
        assert!(summary["processing_errors"].as_u64().unwrap() >= 3, "{format}: {summary}");
        for failure in summary["failures"].as_array().unwrap() {
            assert_ne!(failure["kind"], "internal", "{format}: {failure}");
            assert!(!failure["reason"].as_str().unwrap().contains("nonsense"), "the reason quotes the record: {failure}");
        }
    }
}

#[test]
fn a_megabyte_of_text_is_stored_and_a_trace_over_the_span_limit_is_rejected() {
    for (format, record) in valid_records(&"lorem ipsum ".repeat(90_000)) {
        let place = Place::new();
        place.put("large.jsonl", record.to_string());
        assert_eq!(place.run(&[])["stored"], 1, "{format}");
    }
    let place = Place::new();
    let spans =
        (0..100_000).map(|index| format!("{{\"id\":\"{index}\",\"trace_id\":\"l\",\"run_type\":\"chain\",\"start_time\":\"{TIME}\"}}\n"));
    place.put("many.jsonl", spans.collect::<String>());
    place.put("other.jsonl", trace("other", "boom"));
    let summary = place.run(&[]);
    assert_eq!(
        (&summary["failures"][0]["kind"], &summary["failures"][0]["trace_ref"]),
        (&json!("trace_too_large"), &json!("l")),
        "{summary}"
    );
    assert_eq!(summary["stored"], 1);
}

#[test]
fn a_trace_with_contradictory_spans_is_stored() {
    let place = Place::new();
    let span = |id: &str, parent: &str, start: &str, service: &str| {
        let resource = json!({"attributes": [{"key": "service.name", "value": {"stringValue": service}}]});
        let span = json!({"traceId": "5b8efff798038103d269b633813fc60c", "spanId": id, "parentSpanId": parent, "name": "step", "startTimeUnixNano": start, "endTimeUnixNano": "1"});
        json!({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": [span]}]}]}).to_string()
    };
    // A cycle of parents, two services, an end before the start, and a parent that starts after its child.
    place.put("a.jsonl", span("aaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbb", "1795424400000000000", "one"));
    place.put("b.jsonl", span("bbbbbbbbbbbbbbbb", "aaaaaaaaaaaaaaaa", "1795424300000000000", "two"));
    place.put("c.jsonl", span("cccccccccccccccc", "dddddddddddddddd", "1795424500000000000", "two"));
    let summary = place.run(&[]);
    assert_eq!((&summary["received"], &summary["stored"], &summary["spans_read"]), (&json!(1), &json!(1), &json!(3)), "{summary}");
    assert_eq!(place.rows("select spans_total from patterns")[0]["spans_total"], 3);
}

#[test]
fn a_multiline_document_and_a_list_of_records_are_read() {
    let records: Vec<Value> = valid_records("hello").into_iter().map(|(_, record)| record).collect();
    for record in &records {
        let place = Place::new();
        place.put("pretty.json", serde_json::to_string_pretty(record).unwrap());
        assert_eq!(place.run(&[])["stored"], 1, "{record}");
        let place = Place::new();
        place.put("list.json", serde_json::to_string_pretty(&[record]).unwrap());
        assert_eq!(place.run(&[])["stored"], 1, "a list of {record}");
    }
}

#[test]
fn the_location_of_chat_messages_without_an_id_is_their_id() {
    let place = Place::new();
    let messages = [
        json!({"role": "user", "content": "Where is A-17?"}),
        json!({"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "lookup", "arguments": "{\"id\": 17}"}}]}),
        json!({"role": "tool", "tool_call_id": "c1", "content": "Error: 503 Service Unavailable"}),
    ];
    let lists = format!("{}\n{}\n", json!(messages), json!(messages));
    let lines = messages.iter().map(Value::to_string).collect::<Vec<_>>().join("\n");
    let uri = |name: &str| format!("{}/{name}", place.input());
    place.put("lists.jsonl", lists);
    place.put("lines.jsonl", lines);
    place.put("pretty.json", serde_json::to_string_pretty(&messages).unwrap());
    let summary = place.run(&[]);
    assert_eq!(summary["stored"], 4, "{summary}");
    let found = place.rows("select trace_id, spans_total, confidence_rationale, trace_started_at from patterns order by trace_id");
    let ids: Vec<_> = found.iter().map(|row| row["trace_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, [uri("lines.jsonl"), uri("lists.jsonl#L1"), uri("lists.jsonl#L2"), uri("pretty.json#L1")]);
    for row in &found {
        assert_eq!(row["spans_total"], 3);
        assert!(row["confidence_rationale"].as_str().unwrap().contains("the chat log has no id or timestamp"), "{row}");
        assert!(row["trace_started_at"].is_string(), "{row}");
    }
    let input = place.input();
    let sql = "select tool_name, tool_arguments from spans where kind = 'tool'";
    let tools: Vec<Value> = serde_json::from_slice(&call(&["query", "--input", &input, sql, "--format", "json"]).stdout).unwrap();
    assert_eq!(tools[0], json!({"tool_name": "lookup", "tool_arguments": "{\"id\": 17}"}));
}

#[test]
fn failsift_parquet_with_spans_as_json_text_is_read() {
    let place = Place::new();
    let line: Value = serde_json::from_str(&trace("p-1", "boom")).unwrap();
    let column = |text: &str| Arc::new(StringArray::from(vec![text])) as ArrayRef;
    let batch = RecordBatch::try_from_iter([
        ("trace_id", column("p-1")),
        ("service", column("shop")),
        ("started_at", column(TIME)),
        ("spans", column(&line["spans"].to_string())),
    ])
    .unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    place.put("traces.parquet", writer.into_inner().unwrap());
    place.put("traces.jsonl", trace("p-2", "boom"));
    assert_eq!(place.run(&[])["stored"], 2);
    let found = place.rows("select category, contributing_factor, fingerprint, trace_started_at from patterns");
    assert_eq!(found[0], found[1]);
}

#[test]
fn traces_outside_of_the_selection_are_counted_as_filtered() {
    let place = Place::new();
    let healthy = |id: &str, start: &str, more: Value| {
        let mut span = json!({"span_id": "1", "name": "answer", "kind": "chain", "status": "ok", "started_at": start, "ended_at": start, "output_text": "42"});
        span.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"trace_id": id, "service": "shop", "spans": [span]}).to_string() + "\n"
    };
    let silent = json!({"kind": "llm", "finish_reasons": ["length"], "output": [{"role": "assistant", "content": "cut"}]});
    let rated = json!({"annotations": [{"name": "user_score", "score": 0.0}]});
    let other = healthy("other", TIME, json!({})).replace("shop", "bakery");
    place.put(
        "t.jsonl",
        [
            trace("failed", "boom"),
            healthy("fine", TIME, json!({})),
            healthy("silent", TIME, silent),
            healthy("rated", TIME, rated),
            healthy("old", "2026-11-01T09:00:00Z", json!({})),
            other,
        ]
        .concat(),
    );
    let selected = |more: &[&str]| -> (Vec<String>, u64) {
        let out = place.path().join("selected").display().to_string();
        let _ = std::fs::remove_dir_all(&out);
        let mut arguments = vec!["run", "--input"];
        let input = place.input();
        arguments.extend([input.as_str(), "--output", &out, "--format", "json"]);
        arguments.extend(more);
        let output = call(&arguments);
        assert!(output.status.success(), "{}", stderr(&output));
        let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
        let count = |key: &str| summary[key].as_u64().unwrap();
        assert_eq!(count("received"), count("stored") + count("filtered"), "{summary}");
        let ids = crate::support::rows(&out, "select trace_id from patterns order by 1");
        (ids.iter().map(|row| row["trace_id"].as_str().unwrap().to_owned()).collect(), count("filtered"))
    };
    assert_eq!(selected(&[]).1, 0);
    assert_eq!(selected(&["--select", "failed"]), (vec!["failed".to_owned(), "rated".into(), "silent".into()], 3));
    assert_eq!(selected(&["--since", "2026-11-20"]).1, 1);
    assert_eq!(selected(&["--until", "2026-11-20T00:00:00Z"]), (vec!["old".to_owned()], 5));
    assert_eq!(selected(&["--service", "bakery"]), (vec!["other".to_owned()], 5));
    let output = call(&["run", "--input", &place.input(), "--output", &place.output(), "--since", "yesterday"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("invalid time 'yesterday'") && stderr(&output).contains("hint:"), "{}", stderr(&output));
}

#[test]
fn inspect_lists_the_contents_of_objects_and_their_rejections() {
    let place = Place::new();
    let secret = concat!("sk_", "live_", "abcdefghijklmnop1234");
    place.put("a.jsonl", format!("{}{{\"trace_id\": \"cut\", \"spans\": [{secret}\n", trace("t-1", "boom").repeat(2)));
    place.put("b.csv", "x,y,z\n1,2,3\n");
    place.put("LICENSE", "free");
    let input = place.input();
    let output = call(&["inspect", &input]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for line in [
        "format       failsift",
        "3 records, 4 spans of 1 trace\n",
        "total: 1 trace with 2 spans, 2 rejected",
        "malformed_json",
        "unrecognised_format",
        "columns are x, y, z",
        "skipped 1 object without",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    assert!(!text.contains(secret));
    let found: Value = serde_json::from_slice(&call(&["inspect", &input, "--format", "json"]).stdout).unwrap();
    assert_eq!((&found["traces"], &found["rejected"], &found["objects"][0]["format"]), (&json!(1), &json!(2), &json!("failsift")));
    // Nothing is stored and no redaction key is created.
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1);
}

#[test]
fn spans_are_redacted_and_can_be_joined_with_patterns() {
    let place = Place::new();
    place.put("t.jsonl", trace("t-1", "mail ann@example.com and try again"));
    place.run(&[]);
    let (input, out) = (place.input(), place.output());
    let sql = "select s.name, s.status_message, p.category from spans s join patterns p using (trace_id) where s.kind = 'tool'";
    let output = call(&["query", "--input", &input, "--tables", &out, sql, "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("<EMAIL:") && !stdout(&output).contains("ann@example.com"), "{}", stdout(&output));
    assert!(stdout(&output).contains("\"category\""));
    place.put("broken.jsonl", "{\"trace_id\": \"x\", \"spans\": [\n");
    let output = call(&["query", "--input", &input, "select count(*) n from spans", "--format", "json"]);
    assert!(stdout(&output).contains("\"n\":2") && stderr(&output).contains("1 record or trace could not be read"), "{}", stderr(&output));
    let output = call(&["query", "--input", "/no/such/place", "select 1"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn every_convention_is_documented_and_registered() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/parse/conventions");
    let registry = std::fs::read_to_string(folder.join("mod.rs")).unwrap();
    let page = std::fs::read_to_string("docs/formats.md").unwrap();
    let mut conventions = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let (text, file) = (std::fs::read_to_string(&path).unwrap(), path.file_name().unwrap().to_string_lossy().into_owned());
        let Some(name) = text.split("impl Convention for ").nth(1).and_then(|rest| rest.split(' ').next()) else { continue };
        for heading in ["//! Specification: <https://", "//! ```json", "//! Quirks of real exporters"] {
            assert!(text.contains(heading), "{file} lacks {heading:?}");
        }
        assert!(registry.contains(&format!("::{name}")), "{name} is not in CONVENTIONS");
        assert!(page.contains(&format!("| `{file}` |")), "docs/formats.md lacks {file}");
        conventions += 1;
    }
    assert!(conventions >= 5);
}

#[test]
fn objects_between_other_output_of_a_program_are_read() {
    let python = "INFO: ready, \"listening\"\n{\n    \"name\": \"step\",\n    \"context\": {\n        \"trace_id\": \"0x5b8efff798038103d269b633813fc60c\",\n        \"span_id\": \"0xeee19b7ec3c1b174\"\n    },\n    \"kind\": \"SpanKind.INTERNAL\",\n    \"parent_id\": null,\n    \"start_time\": \"2026-11-23T09:00:00Z\",\n    \"resource\": {}\n}\nINFO: done\n";
    let javascript = "> node app.js\n\nready\n{\n  resource: { attributes: {} },\n  traceId: '5b8efff798038103d269b633813fc60c',\n  name: `it's a \"step\"`,\n  id: 'eee19b7ec3c1b174',\n  timestamp: 1795424400000000,\n  duration: 5.5,\n  attributes: {},\n  status: { code: 0 },\n  events: [],\n  links: []\n}\ndone\n";
    let container = |text: &str| text.lines().map(|line| format!("2026-11-23T09:00:00Z stdout F {line}\n")).collect::<Vec<_>>().concat();
    for text in [python.to_owned(), javascript.to_owned(), container(python), container(javascript)] {
        let place = Place::new();
        place.put("output.txt", &text);
        let summary = place.run(&[]);
        assert_eq!((&summary["stored"], &summary["processing_errors"]), (&json!(1), &json!(0)), "{text}\n{summary}");
    }
}

#[test]
fn every_format_is_documented_with_a_sample_and_its_quirks() {
    let message = stderr(&call(&["inspect", "x", "--input-format", "nonsense"]));
    let names = message.split_once("auto, ").unwrap().1.trim();
    let page = std::fs::read_to_string("docs/formats.md").unwrap();
    // Its specification is `schemas/`.
    for name in names.split(", ").filter(|name| *name != "failsift") {
        let module = std::path::Path::new("src/parse/formats").join(name);
        let text = match std::fs::read_dir(&module) {
            Ok(files) => files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect(),
            Err(_) => std::fs::read_to_string(module.with_extension("rs")).unwrap(),
        };
        for heading in ["//! ```", "//! Quirks"] {
            assert!(text.contains(heading), "{name} lacks {heading:?}");
        }
        assert!(page.contains(&format!("\n| `{name}` | ")), "docs/formats.md lacks {name}");
    }
}
