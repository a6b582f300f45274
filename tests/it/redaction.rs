//! Redaction as users see it: `failsift redact`, `failsift audit`, and the tables of a run.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::process::Stdio;

use serde_json::Value;

use crate::support::{Place, call, failsift, stderr, stdout, trace};

fn redact(arguments: &[&str], input: &[u8]) -> std::process::Output {
    let mut child =
        failsift(&[&["redact"], arguments].concat()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A command that refuses its arguments reads nothing.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

/// Writes a detector file next to the input.
fn detector_file(place: &Place, text: &str) -> String {
    let path = place.path().join("own.toml");
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn plain_text_is_redacted_line_by_line() {
    let output = redact(
        &[],
        "Hello,\nmy name is Zyrqel Vantroba <z.vantroba@mail.example>.\nTraceback of run 43993eadc22e5ed0f9a1cc2e01626425\n".as_bytes(),
    );
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.starts_with("Hello,\nmy name is <PERSON:") && text.contains("<EMAIL:"), "{text}");
    assert!(text.ends_with(".\nTraceback of run 43993eadc22e5ed0f9a1cc2e01626425\n") && !text.contains("Vantroba"), "{text}");
}

#[test]
fn json_lines_keep_their_ids_and_list_the_replaced_spans() {
    let input = "{\"id\": 7, \"text\": \"é mail ann@mail.example\", \"more\": 1}\n\n{\"text\": \"nothing\"}\n";
    let output = redact(&["--explain"], input.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    let lines: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    assert_eq!((lines[0]["id"].as_i64(), &lines[0]["spans"]), (Some(7), &serde_json::json!([{"start": 7, "end": 23, "kind": "email"}])));
    assert_eq!(lines[1], serde_json::json!({"text": "nothing", "spans": []}));
    assert!(stderr(&output).starts_with("7 7..23 <EMAIL:") && !stderr(&output).contains("ann@"), "{}", stderr(&output));
    // Of a label, the word of the tables is named, and never what stands around it.
    let output = redact(&["--explain"], b"{\"text\": \"annsPassport_No: CL6753464\"}\n");
    assert!(stderr(&output).contains("(label \"passport"), "{}", stderr(&output));
    assert!(!stderr(&output).to_lowercase().contains("ann") && !stderr(&output).contains("675"), "{}", stderr(&output));
}

#[test]
fn a_broken_line_is_reported_and_the_others_are_redacted() {
    let output = redact(&["--format", "jsonl"], b"{\"text\": \"a\"}\n{\"text\": ann@mail.example\n{\"text\": \"b\"}\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(stdout(&output).lines().count(), 2);
    assert!(stderr(&output).contains("cannot redact line 2: ") && stderr(&output).contains("hint:"), "{}", stderr(&output));
    assert!(!stderr(&output).contains("ann@"), "{}", stderr(&output));
}

#[test]
fn unreadable_files_and_texts_are_reported() {
    let place = Place::new();
    let detectors = detector_file(&place, "[[detector]]\nkind = \"badge\"\nexpression = '('\n");
    for (arguments, expected) in [
        (vec!["--rules", &detectors], "does not compile"),
        (vec!["--rules", "/no/such.toml"], "/no/such.toml"),
        (vec!["/no/such"], "/no/such"),
    ] {
        let output = redact(&arguments, b"x\n");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(expected), "{arguments:?}: {}", stderr(&output));
    }
    let output = redact(&["--format", "text"], b"a\xff");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("not valid UTF-8"), "{}", stderr(&output));
}

#[test]
fn a_level_and_names_of_kinds_decide_what_is_replaced() {
    let text = b"ann@mail.example from 203.0.113.9 wrote to Zyrqel Vantroba; password: Wq7!x6SWoUnvNPs\n";
    let kinds = |arguments: &[&str]| {
        let output = redact(arguments, text);
        assert!(output.status.success(), "{arguments:?}: {}", stderr(&output));
        let tokens = ["EMAIL", "IP", "PERSON", "PASSWORD"].into_iter().filter(|kind| stdout(&output).contains(&format!("<{kind}:")));
        tokens.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(kinds(&["--redaction-level", "credentials"]), "PASSWORD");
    assert_eq!(kinds(&["--redaction-level", "credentials", "--redact-kinds", "ip,email"]), "EMAIL IP PASSWORD");
    assert_eq!(kinds(&["--keep-kinds", "ip,person"]), "EMAIL PASSWORD");
    assert_eq!(kinds(&["--redaction-level", "strict"]), "EMAIL IP PERSON PASSWORD");
    let unknown = redact(&["--keep-kinds", "emial"], text);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(
        stderr(&unknown).starts_with("error: unknown kind 'emial'; did you mean 'email'?\n  hint: use one of "),
        "{}",
        stderr(&unknown)
    );
}

#[test]
fn a_run_redacts_the_kinds_of_its_level_in_all_columns() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "cannot reach 3c:22:fb:9a:10:4e as ann@mail.example with password: Wq7!x6SWoUnvNPs"));
    let pipeline = place.path().join("own.toml");
    let shown = || {
        let rows = place.rows("select * from patterns");
        let text = serde_json::to_string(&rows).unwrap();
        ["3c:22:fb:9a:10:4e", "ann@mail.example", "Wq7!x6SWoUnvNPs"].map(|value| text.contains(value))
    };
    place.run(&["--canaries"]);
    assert_eq!(shown(), [false, false, false]);
    std::fs::write(&pipeline, "[redact]\nlevel = \"credentials\"\nredact_kinds = [\"email\"]\n").unwrap();
    place.run(&[&pipeline.display().to_string(), "--canaries"]);
    assert_eq!(shown(), [true, false, false]);
    // Flags take precedence over the file.
    place.run(&[&pipeline.display().to_string(), "--redaction-level", "default", "--redact-kinds", "mac"]);
    assert_eq!(shown(), [false, false, false]);
    let audit = |more: &[&str]| call(&[&["audit", "--tables", &place.output()], more].concat()).status.code();
    place.run(&["--keep-kinds", "mac"]);
    assert_eq!(shown(), [true, false, false]);
    assert_eq!((audit(&[]), audit(&["--keep-kinds", "mac"])), (Some(3), Some(0)));
}

#[test]
fn custom_detectors_add_kinds_and_allow_values() {
    let place = Place::new();
    let detectors = detector_file(
        &place,
        "allow = [\"support@mail.example\"]\n[[detector]]\nkind = \"badge\"\nexpression = 'EMP-\\d{6}'\nexamples = [\"EMP-123456\"]\n",
    );
    let output = redact(&["--rules", &detectors], b"EMP-654321 wrote to support@mail.example and ann@mail.example\n");
    let text = stdout(&output);
    assert!(text.starts_with("<BADGE:") && text.contains("support@mail.example and <EMAIL:"), "{text}");
}

#[test]
fn redaction_time_grows_linearly_up_to_fifty_megabytes() {
    const MEGABYTE: usize = 1_000_000;
    let seconds = |megabytes: usize| {
        let filler = "Step 12: the tool search_orders answered in 317 ms with 3 orders; next the agent asks for a refund. ";
        let text = format!("{}mail ann@mail.example", filler.repeat(megabytes * MEGABYTE / filler.len()));
        let line = serde_json::json!({"id": 1, "text": text}).to_string();
        let start = std::time::Instant::now();
        let output = redact(&[], line.as_bytes());
        assert!(output.status.success() && stdout(&output).contains("mail <EMAIL:"), "{}", stderr(&output));
        start.elapsed().as_secs_f64()
    };
    let (small, large) = (seconds(5), seconds(50));
    assert!(large < 3.0 + 30.0 * small, "5 MB take {small} s, 50 MB {large} s");
}

/// Recall and precision on the labelled texts of `data/redaction`. The thresholds are slightly below the measured values.
#[test]
fn labelled_texts_keep_their_recall_and_precision() {
    let mut texts = String::new();
    let file = std::fs::File::open("data/redaction/texts.jsonl.gz").unwrap();
    flate2::read::GzDecoder::new(file).read_to_string(&mut texts).unwrap();
    let records: Vec<Value> = texts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let output = redact(&[], texts.as_bytes());
    assert!(output.status.success(), "{}", stderr(&output));
    let answers: Vec<Value> = stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), answers.len());

    let mut by_kind: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let (mut harmless, mut removed) = (0, 0);
    let mut missed = Vec::new();
    for (record, answer) in records.iter().zip(&answers) {
        let count = record["text"].as_str().unwrap().chars().count();
        let (mut gone, mut sensitive) = (vec![false; count], vec![false; count]);
        let range = |span: &Value| {
            usize::try_from(span["start"].as_u64().unwrap()).unwrap()..usize::try_from(span["end"].as_u64().unwrap()).unwrap()
        };
        for span in answer["spans"].as_array().unwrap() {
            gone[range(span)].fill(true);
        }
        for value in record["values"].as_array().unwrap() {
            sensitive[range(value)].fill(true);
            let left = gone[range(value)].split(|gone| *gone).map(<[bool]>::len).max().unwrap_or(0);
            // Leaked if a part remains that a reader could use.
            let leaked = left >= 6.max(range(value).len() * 2 / 5) || left == range(value).len();
            let (planted, leaks) = by_kind.entry(value["kind"].as_str().unwrap().to_owned()).or_default();
            *planted += 1;
            *leaks += usize::from(leaked);
            if leaked {
                missed.push(format!("{} {}", record["id"], value["kind"]));
            }
        }
        harmless += sensitive.iter().filter(|sensitive| !**sensitive).count();
        removed += gone.iter().zip(&sensitive).filter(|(gone, sensitive)| **gone && !**sensitive).count();
    }
    let recall = |kinds: &[&str]| {
        let (planted, leaks) = kinds.iter().filter_map(|kind| by_kind.get(*kind)).fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        assert!(planted > 10, "{kinds:?}");
        1.0 - f64::from(u32::try_from(leaks).unwrap()) / f64::from(u32::try_from(planted).unwrap())
    };
    let secrets: Vec<&str> = by_kind
        .keys()
        .map(String::as_str)
        .filter(|kind| kind.ends_with("_key") || kind.ends_with("_token") || ["jwt", "password", "generic_secret"].contains(kind))
        .collect();
    for (kinds, floor) in [
        (&["email", "phone", "iban", "ip"][..], 0.97),
        (&["date_of_birth", "passport", "national_id", "medical_id"], 0.95),
        (&["person"], 0.96),
        (&["address"], 0.9),
        (&secrets, 0.97),
    ] {
        assert!(recall(kinds) >= floor, "{kinds:?}: {} under {floor}: {missed:?}", recall(kinds));
    }
    assert!(removed * 1000 <= harmless * 3, "{removed} of {harmless} harmless characters are gone");
}

/// A trace with a name, a password, a phone number and an email address, some of which only their context identifies.
fn sensitive_trace() -> String {
    let arguments =
        serde_json::json!({"full_name": "Zyrqel Vantroba", "password": "walnutHarbor675", "note": "call 0752 1996164"}).to_string();
    let span = serde_json::json!({
        "span_id": "s1", "name": "login", "kind": "tool", "status": "error", "ended_at": "2026-11-23T09:00:01Z",
        "status_message": "login of Vantroba failed: bad credentials for z.vantroba@mail.example",
        "tool": {"name": "login", "arguments": arguments},
    });
    serde_json::json!({"trace_id": "t-1", "started_at": "2026-11-23T09:00:00Z", "spans": [span]}).to_string() + "\n"
}

#[test]
fn sensitive_values_are_neither_stored_nor_printed() {
    let place = Place::new();
    place.put("a.jsonl", sensitive_trace());
    let output = call(&["run", "--input", &place.input(), "--output", &place.output(), "--canaries"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("canaries: redaction found 14 of 14"), "{}", stderr(&output));
    let rows = call(&["query", "--tables", &place.output(), "select * from patterns", "--format", "json"]);
    for raw in ["Vantroba", "Zyrqel", "walnutHarbor675", "1996164", "z.vantroba"] {
        assert!(
            !stdout(&rows).contains(raw) && !stdout(&output).contains(raw) && !stderr(&output).contains(raw),
            "{raw}: {}",
            stdout(&rows)
        );
    }
    let audit = call(&["audit", "--tables", &place.output()]);
    assert!(audit.status.success(), "{}{}", stdout(&audit), stderr(&audit));
    assert!(stdout(&audit).contains(", 0 fields with sensitive values"), "{}", stdout(&audit));
}

#[test]
fn an_audit_reports_locations_but_not_values() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "badge EMP-654321 was refused"));
    assert!(call(&["run", "--input", &place.input(), "--output", &place.output()]).status.success());
    let detectors = detector_file(&place, "[[detector]]\nkind = \"badge\"\nexpression = 'EMP-\\d{6}'\n");
    let audit = call(&["audit", "--tables", &place.output(), "--rules", &detectors, "--sample", "5"]);
    assert_eq!(audit.status.code(), Some(3), "{}", stderr(&audit));
    assert!(stdout(&audit).contains("patterns.evidence of t-1: 1 badge (custom detector)"), "{}", stdout(&audit));
    assert!(!stdout(&audit).contains("654321"), "{}", stdout(&audit));
}

#[test]
fn without_excerpts_only_signals_are_stored() {
    let place = Place::new();
    place.put("a.jsonl", trace("t-1", "HTTP 429 Too Many Requests"));
    let excerpts = |arguments: &[&str]| {
        let run = call(&[&["run", "--input", &place.input(), "--output", &place.output()], arguments].concat());
        assert!(run.status.success(), "{}", stderr(&run));
        let sql = "select evidence from patterns";
        let rows: Value = serde_json::from_str(&stdout(&call(&["query", "--tables", &place.output(), sql, "--format", "json"]))).unwrap();
        let evidence = rows[0]["evidence"].as_array().unwrap().clone();
        assert!(!evidence.is_empty());
        evidence.iter().filter(|one| one["excerpt"].is_string()).count()
    };
    assert!(excerpts(&[]) > 0);
    assert_eq!(excerpts(&["--excerpts", "none"]), 0);
}

#[test]
fn local_source_paths_are_not_redacted() {
    let place = Place::new();
    place.put("a.jsonl", "{\"trace_id\": \"cut\n".to_owned() + &trace("t-1", "boom"));
    let run = call(&["run", "--input", &place.input(), "--output", &place.output(), "--max-error-rate", "0.5"]);
    assert!(run.status.success(), "{}", stderr(&run));

    let rows = call(&[
        "query",
        "--tables",
        &place.output(),
        "select source_uri from patterns union all select source_uri from errors",
        "--format",
        "csv",
    ]);
    assert_eq!(stdout(&rows).matches(&place.path().display().to_string()).count(), 2, "{}", stdout(&rows));
}
