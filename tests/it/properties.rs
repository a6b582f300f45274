//! Properties that hold for any input, tested with generated input.

use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use crate::support::{Place, sample, trace};

/// A line of any kind: valid, truncated, of another format, or arbitrary text.
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

/// Every capture is truncated, has bytes changed, or a part duplicated. No input causes an internal error, and no record is lost.
#[test]
fn mangled_captures_of_every_format_end_in_rejections() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    let place = Place::new();
    let mut files = Vec::new();
    captures(Path::new("tests/captures"), &mut files);
    assert!(files.len() > 30);
    for (number, file) in files.iter().enumerate() {
        let mut whole = std::fs::read(file).unwrap();
        if whole.starts_with(&[0x1f, 0x8b]) {
            whole = std::io::read_to_string(flate2::read::MultiGzDecoder::new(whole.as_slice())).map_or(whole, String::into_bytes);
        }
        let extension = if file.extension().is_some_and(|extension| extension == "parquet") { "parquet" } else { "data" };
        for round in 0..6 {
            let mut bytes = whole.clone();
            match round % 3 {
                0 => bytes.truncate(random(whole.len())),
                1 => (0..20).for_each(|_| {
                    let at = random(whole.len());
                    bytes[at] = b"\"{}[],:\\\n\x00\xff0e"[random(13)];
                }),
                _ => {
                    let (start, length) = (random(whole.len()), random(2_000));
                    let part = whole[start..(start + length).min(whole.len())].to_vec();
                    let at = random(whole.len());
                    bytes.splice(at..at, part);
                }
            }
            place.put(&format!("{number}-{round}.{extension}"), bytes);
        }
    }
    let summary = place.run(&[]);
    assert!(summary["stored"].as_u64().unwrap() > 100, "{summary}");
    let internal_errors: Vec<_> = summary["failures"].as_array().unwrap().iter().filter(|failure| failure["kind"] == "internal").collect();
    assert!(internal_errors.is_empty(), "{internal_errors:#?}");
}

fn captures(folder: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "uploads" {
            captures(&path, found);
        } else if path.is_file() && !name.starts_with("expected") && name != "README.md" {
            found.push(path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, ..ProptestConfig::default() })]

    /// The tables agree with the summary, and a second run changes nothing. `Place::run` checks that all records have an outcome.
    #[test]
    fn every_record_has_one_outcome(files in prop::collection::vec(prop::collection::vec(line(), 0..12), 1..4)) {
        let place = Place::new();
        for (index, lines) in files.iter().enumerate() {
            place.put(&format!("{index}.jsonl"), lines.join("\n"));
        }
        let summary = place.run(&["--allow-empty"]);
        let count = |sql: &str| place.rows(sql)[0]["n"].as_u64();
        prop_assert_eq!(count("select count(*) n from patterns"), summary["stored"].as_u64());
        prop_assert_eq!(count("select count(distinct trace_id) n from patterns"), summary["stored"].as_u64());
        prop_assert_eq!(count("select count(*) n from errors"), summary["processing_errors"].as_u64());
        let rows = |place: &Place| -> Vec<Value> { place.rows("select trace_id, summary, content_digest from patterns order by 1") };
        let before = rows(&place);
        place.run(&["--allow-empty"]);
        prop_assert_eq!(rows(&place), before);
        prop_assert_eq!(count("select count(*) n from errors"), summary["processing_errors"].as_u64());
    }
}

/// The content of the input for a trace id.
#[derive(Debug, Clone)]
enum InputTrace {
    /// A trace with this number in its error message.
    Valid(u8),
    /// A trace without spans.
    Invalid,
}

/// An operation on the tables.
#[derive(Debug, Clone)]
enum Step {
    Run(std::collections::BTreeMap<u8, InputTrace>),
    /// A run that is killed after this many milliseconds.
    KilledRun(std::collections::BTreeMap<u8, InputTrace>, u64),
    Maintain,
}

fn step() -> impl Strategy<Value = Step> {
    let input_trace = prop_oneof![3 => (0..3u8).prop_map(InputTrace::Valid), 1 => Just(InputTrace::Invalid)];
    let input = prop::collection::btree_map(0..30u8, input_trace, 0..12);
    prop_oneof![
        4 => input.clone().prop_map(Step::Run),
        2 => (input, 20..400u64).prop_map(|(input, millis)| Step::KilledRun(input, millis)),
        1 => Just(Step::Maintain),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, ..ProptestConfig::default() })]

    /// After any sequence of runs, `patterns` has the last valid pattern of each trace id, and `errors` the ids whose last trace was invalid. A
    /// killed run has either all of its effects or none.
    #[test]
    fn tables_are_maps(steps in prop::collection::vec(step(), 1..8)) {
        use std::collections::{BTreeMap, BTreeSet};
        let place = Place::new();
        place.put("none.jsonl", "");
        place.run(&["--allow-empty"]);
        let apply = |(mut patterns, mut errors): (BTreeMap<u8, u8>, BTreeSet<u8>), input: &BTreeMap<u8, InputTrace>| {
            for (id, input_trace) in input {
                match input_trace {
                    InputTrace::Valid(message) => {
                        patterns.insert(*id, *message);
                        errors.remove(id);
                    }
                    InputTrace::Invalid => {
                        errors.insert(*id);
                    }
                }
            }
            (patterns, errors)
        };
        let put = |input: &BTreeMap<u8, InputTrace>| {
            let line = |(id, input_trace): (&u8, &InputTrace)| match input_trace {
                InputTrace::Valid(message) => trace(&format!("{id}"), &format!("boom number {message}")),
                InputTrace::Invalid => format!("{{\"trace_id\": \"{id}\", \"spans\": []}}\n"),
            };
            place.put("a.jsonl", input.iter().map(line).collect::<String>());
        };
        let mut expected = (BTreeMap::new(), BTreeSet::new());
        for step in &steps {
            let mut allowed = Vec::new();
            match step {
                Step::Run(input) => {
                    put(input);
                    place.run(&["--allow-empty"]);
                    allowed.push(apply(expected.clone(), input));
                }
                Step::KilledRun(input, millis) => {
                    put(input);
                    let mut run = crate::support::failsift(&["run", "--input", &place.input(), "--output", &place.output()])
                        .stdout(std::process::Stdio::null())
                        .spawn()
                        .unwrap();
                    std::thread::sleep(std::time::Duration::from_millis(*millis));
                    run.kill().unwrap();
                    run.wait().unwrap();
                    // Completes an interrupted commit, so that there are two cases and not one for each table.
                    crate::support::call(&["maintain", "--tables", &place.output()]);
                    allowed.extend([expected.clone(), apply(expected.clone(), input)]);
                }
                Step::Maintain => {
                    prop_assert!(crate::support::call(&["maintain", "--tables", &place.output()]).status.success());
                    allowed.push(expected.clone());
                }
            }
            let number = |row: &Value, key: &str| row[key].as_str().unwrap().parse::<u8>().unwrap();
            let sql = "select distinct trace_id, regexp_replace(e['excerpt'], '.*boom number ([0-9]).*', '\\1') m from (select trace_id, unnest(evidence) e from patterns) where e['excerpt'] like '%boom%'";
            let patterns: BTreeMap<u8, u8> = place.rows(sql).iter().map(|row| (number(row, "trace_id"), number(row, "m"))).collect();
            let errors = place.rows("select trace_ref from errors");
            let found = (patterns, errors.iter().map(|row| number(row, "trace_ref")).collect::<BTreeSet<u8>>());
            prop_assert_eq!(errors.len(), found.1.len());
            prop_assert_eq!(place.rows("select count(*) n from patterns")[0]["n"].as_u64(), Some(found.0.len() as u64));
            prop_assert!(allowed.contains(&found), "{:?}: {:?} is not one of {:?}", step, found, allowed);
            expected = found;
        }
    }
}
