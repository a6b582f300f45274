//! Real exports of every vendor, compared span by span with an independent reader of the same files (`tests/captures/expected.py`).

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value;

use crate::support::{Place, call, rows, stderr};

const CAPTURES: &str = "tests/captures";

/// What the independent reader found in each capture of a folder.
fn expected(folder: &str) -> HashMap<String, Vec<Value>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(CAPTURES).join("expected").join(format!("{folder}.jsonl.gz"));
    let text = std::io::read_to_string(flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap())).unwrap();
    let mut by_file: HashMap<String, Vec<Value>> = HashMap::new();
    for line in text.lines() {
        let span: Value = serde_json::from_str(line).unwrap();
        by_file.entry(span["file"].as_str().unwrap().to_owned()).or_default().push(span);
    }
    by_file
}

/// The spans that failsift reads from a capture.
fn spans(input: &str, columns: &str) -> Vec<Value> {
    let sql = format!("select {columns} from spans order by trace_id, span_id");
    let output = call(&["query", "--input", &format!("{CAPTURES}/{input}"), "--format", "json", &sql]);
    assert!(output.status.success(), "{input}: {}", stderr(&output));
    assert_eq!(stderr(&output), "", "{input}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The columns that correspond to the facts in `expected.py`.
const FACTS: &str = "trace_id, span_id, parent_span_id, name, status, model, finish_reasons, tool_name, tool_arguments, input_tokens, output_tokens,
    kind, service, tool_result, input, output, cast(started_at as bigint) as started_at, cast(ended_at as bigint) as ended_at, tool_calls, coalesce(exceptions[1]['type'], error_type) as error_type,
    coalesce(nullif(exceptions[1]['message'], ''), status_message) as message";

/// Whether a text equals the expected one, except for values that are replaced by redaction tokens.
fn same_text(expected: &str, found: &str) -> bool {
    static TOKEN: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"<[A-Z_]+(?::[0-9a-f]+)?>").unwrap());
    if expected == found {
        return true;
    }
    let parts: Vec<String> = TOKEN.split(found).map(regex::escape).collect();
    parts.len() > 1 && Regex::new(&format!("(?s)^{}$", parts.join(".+?"))).unwrap().is_match(expected)
}

/// JSON text without whitespace, for comparison.
fn canonical(value: &Value) -> String {
    let text = value.as_str().unwrap_or_default();
    serde_json::from_str::<Value>(text).map_or_else(|_| text.to_owned(), |tree| tree.to_string())
}

fn same(fact: &str, expected: &Value, found: &Value) -> bool {
    match fact {
        "asked" => {
            let calls = found["tool_calls"].as_array().unwrap();
            let asked = expected["asked"].as_array().unwrap();
            let matches = |(call, asked): (&Value, &Value)| {
                call["name"] == asked[0] && same_text(&canonical(&asked[1]), &canonical(&call["arguments"]))
            };
            asked.len() == calls.len() && calls.iter().zip(asked).all(matches)
        }
        // If the tool span has no arguments, failsift takes them from the message that requested the call.
        "tool_arguments" if expected[fact].is_null() => true,
        "tool_arguments" | "tool_result" => same_text(&canonical(&expected[fact]), &canonical(&found[fact])),
        "finish_reasons" => {
            let mut reasons: Vec<_> = found[fact].as_array().unwrap().iter().map(Value::to_string).collect();
            reasons.sort();
            reasons.dedup();
            reasons == expected[fact].as_array().unwrap().iter().map(Value::to_string).collect::<Vec<_>>()
        }
        "input" | "output" => same_messages(&expected[fact], &found[fact]),
        _ => match (expected[fact].as_str(), found[fact].as_str()) {
            (Some(expected), Some(found)) => same_text(expected, found),
            (None, Some("")) => expected[fact].is_null(),
            _ => expected[fact] == found[fact],
        },
    }
}

/// Whether messages, as JSON, have the expected roles and contents.
fn same_messages(expected: &Value, found: &Value) -> bool {
    let expected = expected.as_array().map(Vec::as_slice).unwrap_or_default();
    let found: Vec<Value> = found.as_str().map_or_else(Vec::new, |text| serde_json::from_str(text).unwrap_or_default());
    let is_same = |(expected, found): (&Value, &Value)| {
        expected[0] == found["role"] && same_text(&canonical(&expected[1]), &canonical(&found["content"]))
    };
    expected.len() == found.len() && expected.iter().zip(&found).all(is_same)
}

/// The id of a trace. One that is a location is shortened to the part below the folder of captures.
fn trace_id(span: &Value) -> &str {
    let id = span["trace_id"].as_str().unwrap();
    id.split_once("tests/captures/").map_or(id, |(_, location)| location)
}

/// Compares all captures in a folder.
fn compare(folder: &str) {
    let mut compared = 0;
    for (file, expected) in &expected(folder) {
        let found = spans(file, FACTS);
        let found: HashMap<(&str, &str), &Value> =
            found.iter().map(|span| ((trace_id(span), span["span_id"].as_str().unwrap()), span)).collect();
        assert_eq!(found.len(), expected.len(), "{file}");
        for span in expected {
            let id = (trace_id(span), span["span_id"].as_str().unwrap());
            let found = found.get(&id).unwrap_or_else(|| panic!("{file} lacks {id:?}"));
            for fact in span.as_object().unwrap().keys().filter(|fact| !matches!(fact.as_str(), "file" | "trace_id")) {
                assert!(same(fact, span, found), "{file}, span {}, {fact}: expected {}, found {}", id.1, span[fact], found[fact]);
            }
            compared += 1;
        }
    }
    assert!(compared > 0, "no capture in {folder}");
}

#[test]
fn otlp_spans_match() {
    compare("otlp");
}

#[test]
fn phoenix_spans_match() {
    compare("phoenix");
}

#[test]
fn langsmith_spans_match() {
    compare("langsmith");
}

#[test]
fn datadog_spans_match() {
    compare("datadog");
}

#[test]
fn langfuse_spans_match() {
    compare("langfuse");
}

#[test]
fn litellm_spans_match() {
    compare("litellm");
}

#[test]
fn bedrock_spans_match() {
    compare("bedrock");
}

#[test]
fn openai_agents_spans_match() {
    compare("openai_agents");
}

#[test]
fn langfuse_api_spans_match() {
    compare("langfuse_api");
}

#[test]
fn mlflow_spans_match() {
    compare("mlflow");
}

#[test]
fn braintrust_spans_match() {
    compare("braintrust");
}

#[test]
fn weave_spans_match() {
    compare("weave");
}

#[test]
fn opentelemetry_sdk_spans_match() {
    compare("opentelemetry_sdk");
}

#[test]
fn zipkin_spans_match() {
    compare("zipkin");
}

#[test]
fn xray_spans_match() {
    compare("xray");
}

#[test]
fn tempo_spans_match() {
    compare("tempo");
}

#[test]
fn chat_spans_match() {
    compare("chat");
}

#[test]
fn jaeger_spans_match() {
    compare("jaeger");
}

#[test]
fn clickhouse_spans_match() {
    compare("clickhouse");
}

#[test]
fn logfire_spans_match() {
    compare("logfire");
}

#[test]
fn claude_code_spans_match() {
    compare("claude_code");
}

#[test]
fn codex_spans_match() {
    compare("codex");
}

#[test]
fn gemini_cli_spans_match() {
    compare("gemini_cli");
}

#[test]
fn inspect_ai_spans_match() {
    compare("inspect_ai");
}

#[test]
fn swe_agent_spans_match() {
    compare("swe_agent");
}

#[test]
fn mini_swe_agent_spans_match() {
    compare("mini_swe_agent");
}

#[test]
fn openhands_spans_match() {
    compare("openhands");
}

#[test]
fn tau2_spans_match() {
    compare("tau2");
}

#[test]
fn every_encoding_of_the_collector_yields_the_same_spans() {
    let all = "* exclude (source_uri)";
    let json = spans("otlp/openinference.protobuf-json.jsonl.gz", all);
    assert_eq!((json.len(), spans("otlp/openinference.proto.bin.gz", all) == json), (21, true));
    let native = spans("otlp/openinference.json.zst", all);
    assert_eq!((native.len(), spans("otlp/openinference.framed.json.zst", all) == native), (38, true));
}

#[test]
fn a_complete_langfuse_export_yields_each_trace_once_with_its_scores() {
    let place = Place::new();
    let output = call(&["run", "--input", &format!("{CAPTURES}/langfuse"), "--output", &place.output(), "--format", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((summary["received"].as_u64(), summary["stored"].as_u64()), (Some(44), Some(44)), "{summary}");
    let skipped: Vec<_> = summary["skipped_objects"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(skipped.iter().any(|uri| uri.contains("/manifests/")) && skipped.iter().any(|uri| uri.contains("/scores/")), "{skipped:?}");
    // The manifest lists the Parquet file of `traces`, which these captures lack.
    assert!(stderr(&output).contains("the manifest of this export lists") && stderr(&output).contains("/traces/"), "{}", stderr(&output));
    let rated = rows(
        &place.output(),
        "select count(distinct trace_id) n from (select trace_id, unnest(evidence) e from patterns) where e['signal'] like 'annotation=%'",
    );
    assert_eq!(rated[0]["n"], 7);
}

#[test]
fn uploaded_message_bodies_are_read_below_the_input_and_are_not_traces() {
    let place = Place::new();
    let with = spans("otlp", "trace_id, input, output, tools_offered");
    let of_upload: Vec<_> = with.iter().filter(|span| span["trace_id"] == "60160d8ae91a5074bd66cbf44284bb92").collect();
    assert!(of_upload.iter().any(|span| span["input"].as_str().is_some_and(|input| input.contains("weather in Lyon"))), "{of_upload:#?}");
    assert!(of_upload.iter().any(|span| !span["tools_offered"].as_array().unwrap().is_empty()));
    let alone = call(&["run", "--input", &format!("{CAPTURES}/otlp/genai_openai.upload.traces.jsonl.gz"), "--output", &place.output()]);
    assert!(alone.status.success(), "{}", stderr(&alone));
    let rationale =
        rows(&place.output(), "select confidence_rationale r from patterns where trace_id = '60160d8ae91a5074bd66cbf44284bb92'");
    assert!(rationale[0]["r"].as_str().unwrap().contains("message bodies were not found"), "{rationale:?}");
}

#[test]
fn annotations_of_a_data_frame_are_added_to_their_spans() {
    let found = spans("phoenix", "trace_id, annotations");
    let rated: Vec<_> = found.iter().filter(|span| !span["annotations"].as_array().unwrap().is_empty()).collect();
    assert!(!rated.is_empty());
    assert!(rated.iter().any(|span| span["annotations"][0]["label"] == "bad"), "{rated:#?}");
}
