//! Every format in every envelope and compression: no trace is lost or invented, and nothing is rejected.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use base64::Engine;
use serde_json::{Value, json};

use crate::support::{Place, call, stderr};

/// The longest part of a line that Docker and CRI write: longer lines are split.
const PART_BYTES: usize = 16 * 1024;

/// Captures of each format that are JSON, the smallest ones.
fn captures() -> BTreeMap<String, Vec<(PathBuf, Vec<Value>)>> {
    const FILES_PER_FORMAT: usize = 2;
    let mut captures: BTreeMap<String, Vec<(PathBuf, Vec<Value>)>> = BTreeMap::new();
    let mut files = files_below(Path::new("tests/captures"));
    files.push("data/samples/failsift/invoice-reader.jsonl".into());
    // Events of `codex exec` and lines of its oldest sessions are recognized only by others in their object, which an envelope takes apart.
    files.retain(|path| !path.starts_with("tests/captures/codex") || path.to_string_lossy().contains("/sessions/0.1"));
    files.sort_by_key(|path| std::fs::metadata(path).unwrap().len());
    for path in files {
        let Some(records) = json_records(&path) else { continue };
        let output = call(&["inspect", path.to_str().unwrap(), "--format", "json"]);
        let Ok(report) = serde_json::from_slice::<Value>(&output.stdout) else { continue };
        let object = &report["objects"][0];
        let Some(format) = object["format"].as_str() else { continue };
        let is_complete = object["traces"].as_u64() > Some(0) && report["rejected"] == 0;
        let of_format = captures.entry(format.to_owned()).or_default();
        if is_complete && of_format.len() < FILES_PER_FORMAT {
            of_format.push((path, records));
        }
    }
    captures
}

/// The names of all formats, from the message for an unknown one.
fn format_names() -> Vec<String> {
    let message = stderr(&call(&["inspect", "x", "--input-format", "nonsense"]));
    let (_, names) = message.split_once("auto, ").expect(&message);
    names.lines().next().unwrap().split(", ").map(|name| name.trim_end_matches(')').to_owned()).collect()
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

/// The JSON values in a file; `None` if it contains something else.
fn json_records(path: &Path) -> Option<Vec<Value>> {
    let name = path.file_name()?.to_str()?;
    let is_json = [".json", ".traj"].iter().any(|extension| name.contains(extension));
    if !is_json || name.contains("expected") || name.contains(".zst") {
        return None;
    }
    let bytes = std::fs::read(path).ok()?;
    let text = if bytes.starts_with(&[0x1f, 0x8b]) {
        std::io::read_to_string(flate2::read::GzDecoder::new(bytes.as_slice())).ok()?
    } else {
        String::from_utf8(bytes).ok()?
    };
    let values: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(&text).into_iter().collect();
    let values = values.ok()?;
    Some(values.into_iter().flat_map(|value| if let Value::Array(items) = value { items } else { vec![value] }).collect())
}

type Envelope = fn(&[Value]) -> String;

/// One line for each record.
fn lines(records: &[Value], line: impl Fn(&Value) -> String) -> String {
    records.iter().map(|record| line(record) + "\n").collect()
}

/// The parts into which a container runtime splits a line.
fn parts(line: &str) -> Vec<String> {
    let characters: Vec<char> = line.chars().collect();
    characters.chunks(PART_BYTES).map(|part| part.iter().collect()).collect()
}

const ENVELOPES: [(&str, Envelope); 15] = [
    ("none", |records| lines(records, Value::to_string)),
    ("list", |records| json!(records).to_string()),
    ("indented", |records| lines(records, |record| serde_json::to_string_pretty(record).unwrap())),
    ("page", |records| json!({"data": records, "meta": {"page": 1}}).to_string()),
    ("fluent-bit", |records| lines(records, |record| json!({"date": 1_795_600_000.5, "log": record.to_string()}).to_string())),
    ("vector", |records| lines(records, |record| json!({"host": "n1", "message": record.to_string(), "source_type": "file"}).to_string())),
    ("docker", |records| {
        lines(records, |record| {
            let line = format!("{record}\n");
            let parts = parts(&line);
            let part = |text: &String| json!({"log": text, "stream": "stdout", "time": "2026-11-25T10:02:38.6Z"}).to_string();
            parts.iter().map(part).collect::<Vec<_>>().join("\n")
        })
    }),
    ("cri", |records| {
        lines(records, |record| {
            let parts = parts(&record.to_string());
            let (last, others) = parts.split_last().unwrap();
            let other = |text: &String| format!("2026-11-25T10:02:38.6Z stdout P {text}\n");
            format!("{}2026-11-25T10:02:38.6Z stdout F {last}", others.iter().map(other).collect::<String>())
        })
    }),
    ("kafka", |records| lines(records, |record| json!({"topic": "t", "offset": 1, "key": null, "value": record}).to_string())),
    ("connect", |records| lines(records, |record| json!({"schema": {"type": "string"}, "payload": record.to_string()}).to_string())),
    // Firehose writes no line ends.
    ("cloudwatch", |records| {
        let event = |record: &Value| json!({"id": "1", "timestamp": 1_795_600_000_000_u64, "message": record.to_string()});
        let message = |records: &[Value]| {
            let events: Vec<Value> = records.iter().map(event).collect();
            json!({"messageType": "DATA_MESSAGE", "owner": "1", "logGroup": "g", "logStream": "s", "logEvents": events}).to_string()
        };
        records.chunks(3).map(message).collect()
    }),
    ("cloud-logging", |records| lines(records, |record| json!({"insertId": "i", "logName": "l", "jsonPayload": record}).to_string())),
    ("pubsub", |records| {
        let encode = |record: &Value| base64::engine::general_purpose::STANDARD.encode(record.to_string());
        lines(records, |record| json!({"message": {"data": encode(record), "messageId": "1"}, "subscription": "s"}).to_string())
    }),
    ("elasticsearch", |records| {
        let hits: Vec<Value> = records.iter().map(|record| json!({"_index": "i", "_id": "1", "_source": record})).collect();
        json!({"took": 1, "hits": {"total": {"value": 1}, "hits": hits}}).to_string()
    }),
    ("logger", |records| lines(records, |record| format!("2026-11-25T08:00:00Z INFO {record}"))),
];

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(bytes, flate2::Compression::fast());
    let mut compressed = Vec::new();
    std::io::Read::read_to_end(&mut encoder, &mut compressed).unwrap();
    compressed
}

/// The trace ids that a run over a folder stores, the location in an id without its line. Every record must be read, and no line be taken for one of
/// a log.
fn stored(place: &Place, envelope: &str) -> BTreeSet<String> {
    let input = format!("{}/", place.input());
    let without_place = |id: &str| id.replace(&input, "").split('#').next().unwrap().to_owned();
    let summary = place.run(&[]);
    let count = |key: &str| summary[key].as_u64().unwrap_or(0);
    assert_eq!((count("received"), count("processing_errors")), (count("stored"), 0), "{envelope}: {summary}");
    assert!(!summary["skipped_records"].to_string().contains("other_log_line"), "{envelope}: {summary}");
    place.rows("select trace_id from patterns").iter().map(|row| without_place(row["trace_id"].as_str().unwrap())).collect()
}

#[test]
fn all_formats_are_read_from_one_folder_in_every_envelope_and_compression() {
    let captures = captures();
    for format in format_names() {
        assert!(captures.contains_key(&format), "no JSON capture of {format}");
    }
    let mut expected: Option<BTreeSet<String>> = None;
    for (envelope, wrap) in ENVELOPES {
        let place = Place::new();
        for (number, (format, (_, records))) in
            captures.iter().flat_map(|(format, files)| files.iter().map(move |file| (format, file))).enumerate()
        {
            let text = wrap(records).into_bytes();
            let name = format!("{format}-{number}.json");
            match number % 3 {
                0 => place.put(&name, text),
                1 => place.put(&format!("{name}.gz"), gzip(&text)),
                _ => place.put(&format!("{name}.zst"), zstd::encode_all(text.as_slice(), 1).unwrap()),
            };
        }
        let found = stored(&place, envelope);
        assert!(!found.is_empty());
        let expected = expected.get_or_insert_with(|| found.clone());
        let missing: Vec<_> = expected.difference(&found).take(5).collect();
        let invented: Vec<_> = found.difference(expected).take(5).collect();
        assert!(missing.is_empty() && invented.is_empty(), "{envelope}: missing {missing:?}, invented {invented:?}");
    }
}

#[test]
fn lines_of_a_log_beside_records_are_skipped_and_broken_records_are_rejected() {
    let record =
        json!({"trace_id": "t-1", "started_at": "2026-11-23T09:00:00Z", "spans": [{"span_id": "1", "name": "a", "status": "error"}]});
    let place = Place::new();
    let line = |text: &str| json!({"log": text, "stream": "stdout", "date": 1}).to_string() + "\n";
    let cut: String = record.to_string().chars().take(60).collect();
    place.put("app.jsonl", [line("server started"), line(&record.to_string()), line(&cut), line("{\"level\": \"info\"}")].concat());
    let summary = place.run(&["--max-error-rate", "1"]);
    assert_eq!(
        (&summary["stored"], &summary["received"], &summary["skipped_records"]),
        (&json!(1), &json!(2), &json!(["other_log_line: 2"]))
    );
    let errors = place.rows("select trace_ref, kind, reason from errors");
    assert_eq!(errors[0]["kind"], "malformed_json");
    assert!(errors[0]["trace_ref"].as_str().unwrap().ends_with("app.jsonl#L3"), "{errors:?}");
    assert!(errors[0]["reason"].as_str().unwrap().contains("the text in its envelope: unexpected end of JSON"), "{errors:?}");
}

#[test]
fn an_object_may_contain_records_of_several_formats() {
    let mut captures = captures();
    // The steps of these are recognized by other records of their object.
    captures.retain(|format, _| !matches!(format.as_str(), "claude_code" | "codex" | "gemini_cli"));
    let place = Place::new();
    let records: Vec<Value> = captures.values().flatten().flat_map(|(_, records)| records.iter().cloned()).collect();
    place.put("mixed.jsonl", lines(&records, Value::to_string));
    let mixed = stored(&place, "none");
    let place = Place::new();
    for (number, (path, _)) in captures.values().flatten().enumerate() {
        let name = path.file_name().unwrap().to_str().unwrap();
        place.put(&format!("{number}-{name}"), std::fs::read(path).unwrap());
    }
    let apart = stored(&place, "none");
    // A trace without an id of its own has that of its object.
    let difference: Vec<_> =
        mixed.symmetric_difference(&apart).filter(|id| ![".json", ".traj"].iter().any(|extension| id.contains(extension))).collect();
    assert!(difference.is_empty(), "{difference:?}");
}

/// A JSON object with keys and values that no format knows.
fn foreign_object(random: &mut fastrand::Rng) -> Value {
    let word = |random: &mut fastrand::Rng| -> String { (0..random.usize(3..9)).map(|_| random.lowercase()).collect() };
    let mut object = serde_json::Map::new();
    for _ in 0..random.usize(1..5) {
        let value = match random.u8(0..5) {
            0 => json!(random.i32(..)),
            1 => json!([word(random), {"nested": word(random)}]),
            2 => json!({word(random): {word(random): null}}),
            _ => json!(word(random)),
        };
        object.insert(format!("x{}", word(random)), value);
    }
    Value::Object(object)
}

#[test]
fn cut_and_foreign_objects_end_in_rejections_that_say_what_was_seen() {
    const CUTS: usize = 6;
    let mut random = fastrand::Rng::with_seed(7);
    let place = Place::new();
    let mut foreign = Vec::new();
    let mut cut = Vec::new();
    for (format, files) in captures() {
        for (number, (_, records)) in files.iter().enumerate() {
            // One record, so that nothing else of the object can be read.
            let text: Vec<char> = records[0].to_string().chars().collect();
            for _ in 0..CUTS {
                let end = random.usize(2..text.len() - 1);
                let name = format!("cut-{format}-{number}-{end}.json");
                place.put(&name, text[..end].iter().collect::<String>());
                cut.push(name);
            }
        }
    }
    for number in 0..60 {
        let objects: Vec<Value> = (0..random.usize(1..4)).map(|_| foreign_object(&mut random)).collect();
        let name = format!("foreign-{number}.json");
        match number % 3 {
            0 => place.put(&name, lines(&objects, Value::to_string)),
            1 => place.put(&name, serde_json::to_string_pretty(&objects).unwrap()),
            _ => place.put(&name, lines(&objects, |object| json!({"log": object.to_string(), "stream": "stdout"}).to_string())),
        };
        foreign.push(name);
    }
    let summary = place.run(&["--max-error-rate", "1"]);
    let errors = place.rows("select source_uri, kind, reason from errors");
    let stored = place.rows("select source_uri from patterns");
    let of_object = |rows: &'_ [Value], name: &str| -> Vec<Value> {
        rows.iter().filter(|row| row["source_uri"].as_str().unwrap().ends_with(name)).cloned().collect()
    };
    for name in &cut {
        let found = of_object(&errors, name);
        assert!(!found.is_empty() || !of_object(&stored, name).is_empty(), "nothing is said of {name}: {summary}");
        for error in found {
            let reason = error["reason"].as_str().unwrap();
            assert!(reason.starts_with("cannot read ") && reason.contains(name.as_str()), "{error}");
            assert_ne!(error["kind"], "internal", "{error}");
        }
    }
    for name in &foreign {
        let found = of_object(&errors, name);
        assert_eq!((found.len(), &found[0]["kind"]), (1, &json!("unrecognised_format")), "{name}: {found:?}");
        assert!(found[0]["reason"].as_str().unwrap().contains("its JSON objects have the keys "), "{found:?}");
    }
}
