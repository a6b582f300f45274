//! Invalid and unusual input: everything invalid is reported, and everything else is read.

use std::io::Write;

use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, call, failsift, sample, stderr, stdout, trace};

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

/// Skipped objects, without the folder.
fn skipped(place: &Place, summary: &Value) -> Vec<String> {
    let folder = format!("{}/", place.input());
    let objects = summary["skipped_objects"].as_array().unwrap();
    objects.iter().map(|uri| uri.as_str().unwrap().replace(&folder, "")).collect()
}

/// The ids of all traces with a pattern.
fn ids(place: &Place) -> Vec<String> {
    place.rows("select trace_id from patterns order by trace_id").iter().map(|row| row["trace_id"].as_str().unwrap().to_owned()).collect()
}

/// A trace on one line, without the line end.
fn one(id: &str) -> String {
    trace(id, "boom").trim_end().to_owned()
}

/// Runs over `input` with `bytes` on standard input; returns the summary.
fn run_on_stdin(place: &Place, input: &str, bytes: &[u8]) -> Value {
    let mut command = failsift(&["run", "--input", input, "--output", &place.output(), "--format", "json", "--max-error-rate", "0.5"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{input}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn standard_input_and_pipes_are_read_to_their_end() {
    let place = Place::new();
    let packed = gzip(&(one("t-1") + &one("t-2")));
    let parquet = std::fs::read("data/samples/phoenix/langchain.spans_dataframe.parquet").unwrap();
    for input in ["-", "/dev/stdin", "/dev/fd/0"] {
        assert_eq!(run_on_stdin(&place, input, format!("{}broken\n", trace("t-1", "boom")).as_bytes())["processing_errors"], 1, "{input}");
        assert_eq!(run_on_stdin(&place, input, &packed)["received"], 2, "{input}");
        assert_eq!(run_on_stdin(&place, input, &parquet)["received"], 11, "{input}");
    }
    let summary = run_on_stdin(&place, "-", &packed);
    assert_eq!(summary["bytes_read"], packed.len());
    let sources = place.rows("select distinct source_uri from patterns where trace_id = 't-1'");
    assert_eq!(sources[0]["source_uri"], "stdin");

    let path = place.path().join("pipe");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for verb in [&["inspect", "--format", "json"][..], &["query", "select count(*) n from spans", "--format", "json", "--input"]] {
        let (to, bytes) = (path.clone(), packed.clone());
        let writer = std::thread::spawn(move || std::fs::write(to, bytes).unwrap());
        let mut arguments = verb.to_vec();
        arguments.push(path.to_str().unwrap());
        let output = call(&arguments);
        writer.join().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("\"n\":4") || stdout(&output).contains("\"traces\":2"), "{}", stdout(&output));
    }
}

#[test]
fn a_run_that_waits_for_a_pipe_can_be_interrupted() {
    let place = Place::new();
    let mut command = failsift(&["run", "--input", "-", "--output", &place.output(), "--format", "json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all((trace("t-1", "boom") + &trace("t-2", "boom")).as_bytes()).unwrap();
    std::thread::sleep(std::time::Duration::from_secs(2));
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id().try_into().unwrap()), nix::sys::signal::Signal::SIGTERM).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(143), "{}", stderr(&output));
    drop(stdin);
}

#[test]
fn a_file_with_a_reported_size_of_0_is_read() {
    let place = Place::new();
    // Files in /proc report a size of 0.
    let output = call(&["run", "--input", "/proc/self/status", "--output", &place.output(), "--format", "json"]);
    let summary: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&summary["received"], &summary["failures"][0]["kind"]), (&1.into(), &"unrecognised_format".into()), "{summary}");
}

#[test]
fn values_are_separated_in_every_framing() {
    let utf16 = |text: &str, mark: &[u8], unit: fn(u16) -> [u8; 2]| {
        mark.iter().copied().chain(text.encode_utf16().flat_map(unit)).collect::<Vec<u8>>()
    };
    let pretty = |id: &str| serde_json::to_string_pretty(&serde_json::from_str::<Value>(&one(id)).unwrap()).unwrap();
    let (a, b) = (one("t-1"), one("t-2"));
    let long = one("t-1").replace("boom", &"long ".repeat(40_000));
    let framings: Vec<(&str, Vec<u8>)> = vec![
        ("no separator", format!("{a}{b}").into()),
        ("long, no separator", format!("{long}{b}").into()),
        ("commas", format!("{a},{b},").into()),
        ("commas at line ends", format!("{a},\n{b},\n").into()),
        ("blanks", format!(" {a} {b} ").into()),
        ("byte order marks", format!("\u{feff}{a}\u{feff}{b}").into()),
        ("byte order marks on each line", format!("\u{feff}{a}\n\u{feff}{b}\n").into()),
        ("JSON text sequence", format!("\u{1e}{a}\n\u{1e}{b}\n").into()),
        ("JSON text sequence without line feeds", format!("\u{1e}{a}\u{1e}{b}").into()),
        ("carriage returns", format!("{a}\r{b}\r").into()),
        ("carriage returns and line feeds", format!("{a}\r\n{b}\r\n").into()),
        ("pretty", format!("{}\n{}\n", pretty("t-1"), pretty("t-2")).into()),
        ("pretty, with commas", format!("{},\n{}", pretty("t-1"), pretty("t-2")).into()),
        ("pretty, no separator", format!("{}{}", pretty("t-1"), pretty("t-2")).into()),
        ("a list", format!("[{a},{b}]").into()),
        ("lists", format!("[{a}][{b}]").into()),
        ("zeros at the end", format!("{a}\n{b}\n{}", "\0".repeat(5_000)).into()),
        ("UTF-16, little-endian", utf16(&format!("{a}\r\n{b}"), &[0xff, 0xfe], u16::to_le_bytes)),
        ("UTF-16, big-endian", utf16(&format!("{a}\n{b}"), &[0xfe, 0xff], u16::to_be_bytes)),
        ("UTF-16 without a byte order mark", utf16(&format!("{a}{b}"), &[], u16::to_le_bytes)),
        ("members with line ends between them", [gzip(&trace("t-1", "x")), b"\n".to_vec(), gzip(&b), b"\r\n".to_vec()].concat()),
        ("members with zeros after them", [gzip(&a), gzip(&b), vec![0; 3_000]].concat()),
        ("gzip in gzip", {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(&gzip(&format!("{a}\n{b}\n"))).unwrap();
            encoder.finish().unwrap()
        }),
    ];
    for (framing, bytes) in framings {
        let place = Place::new();
        place.put("part-0", bytes);
        let summary = place.run(&[]);
        assert_eq!((&summary["received"], ids(&place)), (&2.into(), vec!["t-1".to_owned(), "t-2".to_owned()]), "{framing}: {summary}");
    }
}

#[test]
fn bytes_after_compressed_data_are_rejected_and_the_data_is_kept() {
    let place = Place::new();
    place.put("a.jsonl.gz", [gzip(&one("t-1")), b"garbage".to_vec()].concat());
    let summary = place.run(&[]);
    assert_eq!((&summary["received"], ids(&place)), (&2.into(), vec!["t-1".to_owned()]));
    assert_eq!(errors(&place), [("corrupt_compression".to_owned(), "a.jsonl.gz".to_owned())]);
}

#[test]
fn content_is_detected_independently_of_names_and_unsupported_formats_are_named() {
    let place = Place::new();
    place.put("traces.txt", trace("txt", "boom"));
    place.put("README.md", gzip(&trace("md", "boom")));
    place.put("readme.txt", "{braces} are not JSON");
    place.put("export.dat", trace("dat", "boom"));
    place.put("no-suffix", trace("none", "boom"));
    for (name, bytes) in [
        ("a.jsonl", &b"PK\x03\x04 and so on"[..]),
        ("b.jsonl", b"Obj\x01avro.schema"),
        ("c.json", b"SQLite format 3\0"),
        ("d.json.gz", b"\x78\x9c\x00\x01"),
        ("e", b"%PDF-1.7"),
    ] {
        place.put(name, bytes);
    }
    let summary = place.run(&[]);
    assert_eq!(ids(&place), ["dat", "md", "none", "txt"]);
    assert_eq!(skipped(&place, &summary), ["readme.txt"]);
    let reasons = place.rows("select reason from errors order by trace_ref");
    for (row, expected) in reasons.iter().zip([
        "the archive is truncated or corrupt\n  hint: copy the file again",
        "an Avro file",
        "an SQLite database",
        "zlib",
        "a PDF document",
    ]) {
        assert!(row["reason"].as_str().unwrap().contains(expected), "{row}");
    }
    assert_eq!(reasons.len(), 5);
}

#[test]
fn unreadable_names_are_rejected_and_everything_else_is_read() {
    use std::os::unix::ffi::OsStrExt;
    let place = Place::new();
    let input = std::path::PathBuf::from(place.input());
    std::fs::create_dir_all(input.join("sub/_delta_log")).unwrap();
    for name in ["team#1", "q?.jsonl", "p%20q.jsonl", "sub/[x]*.jsonl", "ünï code.jsonl"] {
        place.put(name, trace(name, "boom"));
    }
    place.put("sub/_delta_log/0.json", "{\"commitInfo\": {}}");
    place.put("sub/_SUCCESS", "");
    std::fs::write(input.join(std::ffi::OsStr::from_bytes(b"latin-\xe9.jsonl")), trace("never", "boom")).unwrap();
    std::os::unix::fs::symlink(input.join("gone"), input.join("link.jsonl")).unwrap();
    std::os::unix::fs::symlink(&input, input.join("sub/round")).unwrap();
    let summary = place.run(&[]);
    assert_eq!((&summary["received"], ids(&place).len()), (&7.into(), 5), "{summary}");
    assert_eq!(skipped(&place, &summary), ["sub/_SUCCESS", "sub/_delta_log/", "sub/round"]);
    let named = errors(&place);
    let expected = [("unreadable", "latin-\u{fffd}.jsonl"), ("unreadable", "link.jsonl")];
    assert_eq!(named, expected.map(|(kind, reference)| (kind.to_owned(), reference.to_owned())));
    assert_eq!(place.rows("select count(*) n from errors where retryable")[0]["n"], 0);

    // Every URI in the output can be used as an input.
    let found = call(&["inspect", &place.input(), "--format", "json"]);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let objects: Vec<&Value> = found["objects"].as_array().unwrap().iter().filter(|object| object["traces"] == 1).collect();
    assert_eq!(objects.len(), 5, "{found}");
    for object in objects {
        let uri = object["uri"].as_str().unwrap();
        let again = call(&["inspect", uri, "--format", "json"]);
        let again: Value = serde_json::from_slice(&again.stdout).unwrap();
        assert_eq!((&again["traces"], &again["objects"][0]["uri"]), (&1.into(), &uri.into()), "{uri}");
    }
}

#[test]
fn errors_of_an_object_are_kept_until_it_is_read_to_its_end() {
    let place = Place::new();
    let lines: String = (0..300).map(|index| trace(&format!("t-{index}"), &format!("boom {index}"))).collect();
    let whole = gzip(&format!("broken\n{lines}"));
    place.put("a.jsonl.gz", &whole);
    place.run(&[]);
    assert_eq!(errors(&place), [("malformed_json".to_owned(), "a.jsonl.gz#L1".to_owned())]);
    // Truncated before the end of its first line.
    place.put("a.jsonl.gz", &whole[..12]);
    place.run(&[]);
    let kinds: Vec<String> = errors(&place).into_iter().map(|(kind, _)| kind).collect();
    assert!(kinds.contains(&"truncated".to_owned()), "{kinds:?}");
    place.put("a.jsonl.gz", gzip(&lines));
    place.run(&[]);
    assert_eq!(errors(&place), []);
}

#[test]
fn invalid_lines_are_rejected_with_their_location_and_other_lines_are_read() {
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
    assert_eq!(
        place.rows("select count(*) n from patterns where trace_id = 't-4'")[0]["n"],
        1,
        "a byte that is not valid UTF-8 does not reject the trace"
    );
    let expected = [
        ("malformed_json", "bad.jsonl#L1"),
        ("malformed_json", "bad.jsonl#L2"),
        ("missing_id", "bad.jsonl#L3.s1"),
        ("invalid_utf8", "mixed.jsonl#L2"),
    ];
    assert_eq!(errors(&place), expected.map(|(kind, reference)| (kind.to_owned(), reference.to_owned())));
}

#[test]
fn corrupt_objects_are_rejected_and_others_are_read() {
    let place = Place::new();
    let lines: String = (0..2_000).map(|index| trace(&format!("t-{index}"), "boom")).collect();
    let whole = gzip(&lines);
    place.put("cut.jsonl.gz", &whole[..whole.len() - 20]);
    place.put("garbage.jsonl.gz", [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3][..], &[0x55; 400]].concat());
    place.put("named.parquet", "this is not Parquet");
    place.put("cut.parquet", [b"PAR1".as_slice(), &[7; 100]].concat());
    place.put("notes.jsonl", "{\"hello\": 1}\n{\"hello\": 2}\n");
    place.put("empty.jsonl", "");
    place.put("LICENSE.txt", "free");
    place.put("misnamed.txt.jsonl", gzip(&trace("gz-1", "boom")));
    place.put("blank.jsonl", " \n\n");
    place.put("empty.json", "[]");
    place.put("empty.jsonl.gz", gzip(""));
    let summary = place.run(&[]);
    let kinds: Vec<_> = errors(&place);
    let kind = |name: &str| kinds.iter().find(|(_, reference)| reference.starts_with(name)).map(|(kind, _)| kind.as_str());
    assert_eq!(kind("cut.jsonl.gz"), Some("truncated"));
    assert_eq!(kind("garbage.jsonl.gz"), Some("corrupt_compression"));
    assert_eq!(kind("named.parquet"), Some("corrupt_parquet"));
    assert_eq!(kind("cut.parquet"), Some("corrupt_parquet"));
    assert_eq!(kind("notes.jsonl"), Some("unrecognised_format"));
    assert_eq!(kinds.len(), 5, "{kinds:?}");
    assert_eq!(skipped(&place, &summary), ["LICENSE.txt", "blank.jsonl", "empty.json", "empty.jsonl", "empty.jsonl.gz"]);
    let stored = summary["stored"].as_u64().unwrap();
    assert!(stored > 1_000, "the lines before the truncation are kept: {stored}");
    assert_eq!(place.rows("select count(*) n from patterns where trace_id = 'gz-1'")[0]["n"], 1);
}

#[test]
fn only_the_oversize_line_is_rejected() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "boom") + &trace("big", &"x".repeat(100_000)) + &trace("t-2", "boom"));
    let summary = place.run(&["--max-record-bytes", "20000"]);
    assert_eq!((summary["stored"].as_u64(), summary["processing_errors"].as_u64()), (Some(2), Some(1)));
    assert_eq!(errors(&place), [("oversize".to_owned(), "a.jsonl#L2".to_owned())]);
}

#[test]
fn the_pattern_of_an_incomplete_trace_has_lower_confidence_and_names_what_is_missing() {
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
    assert!(rationale.contains("the parents of some spans are missing") && rationale.contains("no end time"), "{rationale}");
}

#[test]
fn spans_of_one_trace_in_many_lines_files_and_encodings_are_one_trace() {
    let place = Place::new();
    let text = sample("otlp/openinference.jsonl.gz");
    // One file per line in reverse order, one line delivered twice and one compressed with zstd.
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
fn the_size_of_a_pattern_is_bounded_for_texts_of_any_length() {
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
fn invalid_input_does_not_panic() {
    let place = Place::new();
    for (index, invalid) in [
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
        place.put(&format!("{index}.jsonl"), invalid);
    }
    place.put("deep.jsonl", "[".repeat(1_000_000));
    place.put("deep-otlp.jsonl", format!("{{\"resourceSpans\":{}", "[".repeat(1_000_000)));
    let output = call(&["run", "--input", &place.input(), "--output", &place.output()]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("nothing_stored"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("a bug in failsift"), "{}", stderr(&output));
}
