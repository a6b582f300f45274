//! Input crafted to exhaust memory or time, such as a few bytes that expand to many, or one value that is referenced many times.

use std::process::Stdio;
use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, Int32Array, RecordBatch, StringArray};
use arrow::datatypes::Int32Type;
use parquet::arrow::ArrowWriter;
use serde_json::Value;

use crate::support::{Place, failsift, output_and_peak, stderr};

/// The memory that a run with default limits may use.
const PEAK_MB_MAX: u64 = 300;

/// Runs over one object; asserts its peak memory and returns the summary.
fn run(name: &str, object: &str, bytes: &[u8]) -> Value {
    let place = Place::new();
    place.put(object, bytes);
    let mut command = failsift(&["run", "--format", "json", "--input", &place.input(), "--output", &place.output()]);
    let (output, peak_mb) = output_and_peak(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{name}: {}", stderr(&output)));
    assert!(peak_mb < PEAK_MB_MAX, "{name} of {} bytes: {peak_mb} MB", bytes.len());
    assert!(summary["received"].as_u64().unwrap() <= 103, "{name}: {summary}");
    summary
}

/// `start`, then `item` repeated, then `end`: a text of about `bytes`.
fn repeated(start: &str, item: &str, end: &str, bytes: usize) -> String {
    let count = (bytes - start.len() - end.len()) / (item.len() + 1);
    format!("{start}{}{item}{end}", format!("{item},").repeat(count.saturating_sub(1)))
}

const SPAN: &str = r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","startTimeUnixNano":"1795424023443017575""#;

/// Templates of a record with many parts: name, start, repeated part, end.
fn json_templates() -> Vec<(&'static str, String, &'static str, &'static str)> {
    let owned = |text: &str| text.to_owned();
    let otlp = |start: &str| format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{SPAN},{start}"#);
    let own = |start: &str| format!(r#"{{"trace_id":"t","started_at":"2026-11-23T09:00:00Z","spans":[{start}"#);
    let phoenix = |start: &str| {
        let ids = r#""context":{"trace_id":"T1","span_id":"s1"}"#;
        format!(r#"{{{ids},"span_kind":"LLM","start_time":"2026-11-23T08:53:46Z",{start}"#)
    };
    let chat = r#"{"id":"a","messages":["#;
    vec![
        ("a list of empty objects on one line", "{\"role\":\"user\",\"content\":\"x\"}\n[".into(), "{}", "]"),
        ("strings on one line", "{\"role\":\"user\",\"content\":\"x\"}\n[".into(), "\"{}\"", "]"),
        ("empty messages", owned(chat), "{}", "]}"),
        ("numbers for messages", owned(chat), "0", "]}"),
        ("messages without content", owned(chat), r#"{"role":""}"#, "]}"),
        ("empty parts", format!(r#"{chat}{{"role":"user","content":["#), "[]", "]}]}"),
        ("maps of one field", format!(r#"{chat}{{"role":"user","content":["#), r#"{"":0}"#, "]}]}"),
        ("empty spans", own(""), "{}", "]}"),
        ("empty documents", own(r#"{"span_id":"1","documents":["#), "{}", "]}]}"),
        ("empty exceptions", own(r#"{"span_id":"1","exceptions":["#), "{}", "]}]}"),
        ("empty annotations", own(r#"{"span_id":"1","annotations":["#), "{}", "]}]}"),
        ("messages of a span", own(r#"{"span_id":"1","input":["#), r#"{"role":""}"#, "]}]}"),
        ("OTLP resources", owned(r#"{"resourceSpans":["#), "{}", "]}"),
        ("OTLP scopes", owned(r#"{"resourceSpans":[{"scopeSpans":["#), "{}", "]}]}"),
        ("OTLP spans", owned(r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#), "{}", "]}]}]}"),
        ("OTLP spans that are not objects", owned(r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#), "7", "]}]}]}"),
        ("OTLP logs", owned(r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":["#), "{}", "]}]}]}"),
        ("OTLP attributes", otlp(r#""attributes":["#), "{}", "]}]}]}]}"),
        ("OTLP events", otlp(r#""events":["#), r#"{"name":"exception"}"#, "]}]}]}]}"),
        ("OTLP links", otlp(r#""links":["#), "{}", "]}]}]}]}"),
        ("OTLP array", otlp(r#""attributes":[{"key":"x","value":{"arrayValue":{"values":["#), "{}", "]}}}]}]}]}]}"),
        (
            "messages in a string",
            otlp(r#""attributes":[{"key":"gen_ai.input.messages","value":{"stringValue":"["#),
            r#"{\"role\":0}"#,
            r#"]"}}]}]}]}]}"#,
        ),
        ("documents in a string", otlp(r#""attributes":[{"key":"retrieval.documents","value":{"stringValue":"["#), "0", r#"]"}}]}]}]}]}"#),
        ("Phoenix spans", owned(r#"{"next_cursor":null,"data":["#), "{}", "]}"),
        ("Phoenix events", phoenix(r#""events":["#), r#"{"name":"exception"}"#, "]}"),
        ("Datadog spans", owned(r#"{"_dd.stage":"raw","event_type":"span","spans":["#), "{}", "]}"),
    ]
}

#[test]
fn a_record_with_many_small_parts_needs_little_memory() {
    for bytes in [64 * 1024, 8_000_000] {
        for (name, start, item, end) in json_templates() {
            run(name, "a.jsonl", repeated(&start, item, end, bytes).as_bytes());
        }
    }
}

#[test]
fn large_indexes_need_no_more_memory_than_their_values() {
    let attribute = |prefix: &str, index: usize, suffix: &str| {
        format!(r#"{{"key":"{prefix}.{}.{suffix}","value":{{"stringValue":"x"}}}}"#, index.wrapping_mul(1_000_003_000_007))
    };
    let mut attributes = Vec::new();
    for (prefix, suffix) in [
        ("gen_ai.completion.0.tool_calls", "name"),
        ("llm.output_messages.7.message.tool_calls", "tool_call.function.name"),
        ("llm.input_messages", "message.content"),
        ("gen_ai.prompt", "content"),
        ("retrieval.documents", "document.content"),
        ("llm.tools", "tool.json_schema"),
    ] {
        attributes.extend((0..8_000).map(|index| attribute(prefix, index, suffix)));
    }
    let line = format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{SPAN},"attributes":[{}]}}]}}]}}]}}"#, attributes.join(","));
    assert_eq!(run("sparse indexes", "a.jsonl", line.as_bytes())["stored"], 1);
}

#[test]
fn rejections_of_one_record_are_limited_and_the_rest_is_counted() {
    let place = Place::new();
    place.put("a.jsonl", format!("{}[{}{{}}]", crate::support::trace("t", "boom"), "{},".repeat(9_999)));
    let summary = place.run(&[]);
    assert_eq!((summary["received"].as_u64(), summary["records_rejected"].as_u64()), (Some(102), Some(1)), "{summary}");
    let rows = place.rows("SELECT reason FROM errors WHERE trace_ref LIKE '%.more'");
    assert!(rows.len() == 1 && rows[0]["reason"].as_str().unwrap().contains("9900 more parts"), "{rows:?}");
}

/// A length-delimited protobuf field.
fn field(number: u8, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    let mut length = value.len();
    while length > 0x7f {
        bytes.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).unwrap());
    bytes.extend_from_slice(value);
    bytes
}

#[test]
fn many_empty_protobuf_messages_need_little_memory() {
    let empty = |number: u8| field(number, &[]).repeat(4_000_000);
    for (name, message) in [
        ("groups", empty(1)),
        ("scopes", field(1, &empty(2))),
        ("spans", field(1, &field(2, &empty(2)))),
        ("attributes", field(1, &field(2, &field(2, &[field(1, &[7; 16]), empty(9)].concat())))),
        ("events", field(1, &field(2, &field(2, &[field(1, &[7; 16]), empty(11)].concat())))),
    ] {
        let framed = [&u32::try_from(message.len()).unwrap().to_be_bytes()[..], &message].concat();
        run(name, "a.binpb", &framed);
    }
}

fn parquet(columns: Vec<(&str, ArrayRef)>, copies: usize) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let properties = parquet::file::properties::WriterProperties::builder().set_dictionary_page_size_limit(4_000_000);
    let properties = properties.set_compression(parquet::basic::Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    (0..copies).for_each(|_| writer.write(&batch).unwrap());
    writer.into_inner().unwrap()
}

#[test]
fn a_value_that_many_rows_share_is_in_memory_once() {
    // 900 MB if each row had its own copy; reading stops before that.
    let rows = 1_000;
    let large = StringArray::from(vec!["x".repeat(900_000)]);
    let dictionary = DictionaryArray::<Int32Type>::new(Int32Array::from(vec![0; rows]), Arc::new(large));
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; rows])) };
    let columns = vec![
        ("context.trace_id", texts("t")),
        ("context.span_id", texts("s")),
        ("name", texts("n")),
        ("start_time", texts("2026-11-23T08:53:46Z")),
        ("attributes.input.value", Arc::new(dictionary) as ArrayRef),
    ];
    let bytes = parquet(columns, 1);
    assert!(bytes.len() < 1_000_000, "{} bytes", bytes.len());
    let place = Place::new();
    place.put("a.parquet", &bytes);
    let mut command = failsift(&["inspect", &place.input(), "--format", "json"]);
    let (output, peak_mb) = output_and_peak(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(peak_mb < PEAK_MB_MAX, "{peak_mb} MB");
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", stderr(&output)));
    assert!(found["rejections"].to_string().contains("times the size of the file"), "{}", found["rejections"]);
}

#[test]
fn large_rows_with_a_high_compression_ratio_are_read_one_by_one() {
    let texts = |text: &str| -> ArrayRef { Arc::new(StringArray::from(vec![text; 48])) };
    let large: ArrayRef = Arc::new(StringArray::from_iter_values((0..48).map(|row| format!("{row}{}", "x".repeat(4_000_000)))));
    let columns = vec![
        ("context.trace_id", texts("t")),
        ("context.span_id", texts("s")),
        ("name", texts("n")),
        ("start_time", texts("2026-11-23T08:53:46Z")),
        ("attributes.input.value", large),
    ];
    let place = Place::new();
    place.put("a.parquet", parquet(columns, 1));
    let mut command = failsift(&["inspect", &place.input(), "--format", "json"]);
    let (output, peak_mb) = output_and_peak(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    assert!(output.status.success() && peak_mb < PEAK_MB_MAX, "{peak_mb} MB: {}", stderr(&output));
}

#[test]
fn an_oversize_row_is_one_rejection() {
    let texts = |texts: [&str; 3]| -> ArrayRef { Arc::new(StringArray::from(texts.to_vec())) };
    let large = "x".repeat(200_000);
    let columns = vec![
        ("context.trace_id", texts(["a", "b", "c"])),
        ("context.span_id", texts(["s", "s", "s"])),
        ("name", texts(["n", "n", "n"])),
        ("start_time", texts(["2026-11-23T08:53:46Z"; 3])),
        ("attributes.input.value", texts(["x", &large, "y"])),
    ];
    let place = Place::new();
    place.put("a.parquet", parquet(columns, 1));
    let summary = place.run(&["--max-record-bytes", "100000"]);
    assert_eq!((summary["stored"].as_u64(), summary["received"].as_u64()), (Some(2), Some(3)), "{summary}");
    assert!(summary["failures"][0]["reason"].as_str().unwrap().contains("longer than 100000 bytes"), "{summary}");
    assert!(summary["failures"][0]["trace_ref"].as_str().unwrap().ends_with("#row=1"), "{summary}");
}

#[test]
fn a_table_with_a_million_columns_is_rejected() {
    let header = (0..1_000_000).map(|column| format!("a{column}")).collect::<Vec<_>>().join(",");
    let summary = run("columns", "a.csv", format!("{header}\n1,2\n").as_bytes());
    assert!(summary["failures"][0]["reason"].as_str().unwrap().contains("1000000 columns"), "{summary}");
}

/// Records that would take quadratic time in a naive parser: unclosed brackets and strings, almost valid syntax, long reference chains.
fn slow_records(bytes: usize) -> Vec<(&'static str, String)> {
    let span = |index: usize, parent: usize| {
        let ids =
            format!(r#""traceId":"5b8efff798038103d269b633813fc60c","spanId":"{:016x}","parentSpanId":"{:016x}""#, index + 1, parent + 1);
        format!(r#"{{{ids},"startTimeUnixNano":"1795424023443017575"}}"#)
    };
    let spans = |parent: &dyn Fn(usize) -> usize| {
        let spans: Vec<String> = (0..bytes / 150).map(|index| span(index, parent(index))).collect();
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, spans.join(","))
    };
    let attribute = |key: &str, text: String| {
        let text = serde_json::to_string(&text).unwrap();
        format!(
            r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{{{SPAN},"attributes":[{{"key":"{key}","value":{{"stringValue":{text}}}}}]}}]}}]}}]}}"#
        )
    };
    let repr = |text: String| {
        let text = serde_json::to_string(&text).unwrap();
        let ids = r#""context":{"trace_id":"T1","span_id":"s1"},"span_kind":"LLM","start_time":"2026-11-23T08:53:46Z""#;
        format!(r#"{{{ids},"attributes":{{"llm.input_messages":{text}}}}}"#)
    };
    let error = |text: String| {
        let text = serde_json::to_string(&text).unwrap();
        format!(r#"{{"id":"a","trace_id":"a","run_type":"chain","start_time":"2026-11-23T08:53:46Z","error":{text}}}"#)
    };
    let first = "{\"role\":\"user\",\"content\":\"x\"}\n";
    let messages = "gen_ai.input.messages";
    vec![
        ("a chain of parents", spans(&|index| index.saturating_sub(1))),
        ("a cycle of parents", spans(&|index| (index + 1) % (bytes / 150))),
        ("children of one parent", spans(&|_| 0)),
        ("unclosed lists in a string", attribute(messages, "[".repeat(bytes))),
        ("unclosed strings in a string", attribute(messages, format!("[\"{}", "\\\"".repeat(bytes / 2)))),
        ("a truncated string", attribute(messages, format!("[{{\"role\":\"user\",\"content\":\"{}", "a".repeat(bytes)))),
        ("values that JSON lacks", attribute(messages, format!("[{}]", "NaN,".repeat(bytes / 4)))),
        ("refusals", attribute("output.value", "\"refusal\":\"\\u".repeat(bytes / 13))),
        ("unclosed documents", attribute("output.value", "{\"documents\":[".repeat(bytes / 14))),
        ("unclosed Python lists", repr("[".repeat(bytes))),
        ("unclosed Python strings", repr(format!("['{}", "a\\'".repeat(bytes / 3)))),
        ("adjacent Python strings", repr(format!("['a'{}]", " 'b'".repeat(bytes / 4)))),
        ("an error with many frames", error(format!("Traceback (most recent call last)\n{}", "  File \"x\"\n".repeat(bytes / 11)))),
        ("an error with many strings", error(format!("E({}", "'a' ".repeat(bytes / 4)))),
        ("unclosed objects", "{\"a\":".repeat(bytes / 5)),
        ("closing brackets", format!("{first}{}", "}".repeat(bytes))),
        ("backslashes", format!("{{\"role\":\"user\",\"content\":\"{}", "\\".repeat(bytes))),
        ("separators", format!("{first}{}x", ", ".repeat(bytes / 2))),
        ("quotation marks in CSV", format!("trace_id,id,start_time\n\"{}", "\"\"".repeat(bytes / 2))),
    ]
}

#[test]
fn reading_takes_linear_time() {
    let seconds = |name: &str, text: &str| {
        let place = Place::new();
        place.put(if name.contains("CSV") { "a.csv" } else { "a.jsonl" }, text);
        let begun = std::time::Instant::now();
        let output = failsift(&["inspect", &place.input(), "--format", "json"]).output().unwrap();
        assert!(output.status.code() == Some(0), "{name}: {}", stderr(&output));
        begun.elapsed().as_secs_f64()
    };
    for ((name, small), (_, large)) in slow_records(1_000_000).iter().zip(&slow_records(8_000_000)) {
        let (of_small, of_large) = (seconds(name, small), seconds(name, large));
        // Linear time is a factor of 8, quadratic time a factor of 64. Short times are dominated by the start of the process.
        assert!(of_large < 1.0 || of_large < 24.0 * of_small, "{name}: {of_small:.2} s, and {of_large:.2} s for an input 8 times larger");
    }
}
