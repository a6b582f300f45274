//! Odd inputs with what their users expect (`tests/cases`): each is read, or said, and nothing beside it is lost.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{failsift, stderr};

/// What came of one case.
struct Found {
    code: i64,
    summary: Value,
    /// Every reason in lower case.
    reasons: String,
}

impl Found {
    fn of(case: &Value, folder: &Path) -> Self {
        let output = tempfile::tempdir().unwrap();
        let out = output.path().join("out").display().to_string();
        let inputs: Vec<String> =
            case["input"].as_array().unwrap().iter().map(|input| folder.join(input.as_str().unwrap()).display().to_string()).collect();
        let is_piped = case["how"] == "stdin";
        let mut arguments = vec!["run", "--format", "json", "--output", &out];
        for input in &inputs {
            arguments.extend(["--input", if is_piped { "-" } else { input }]);
        }
        arguments.extend(case["args"].as_array().into_iter().flatten().filter_map(Value::as_str));
        let mut command = failsift(&arguments);
        if is_piped {
            command.stdin(Stdio::from(File::open(&inputs[0]).unwrap()));
        }
        let run = command.output().unwrap();
        let summary: Value = serde_json::from_slice(&run.stdout).unwrap_or_default();
        let failures = summary["failures"].as_array().into_iter().flatten();
        let reasons = failures.filter_map(|failure| failure["reason"].as_str()).collect::<Vec<_>>().join("\n") + &stderr(&run);
        Self { code: run.status.code().unwrap_or(-1).into(), summary, reasons: reasons.to_lowercase() }
    }

    fn count(&self, name: &str) -> u64 {
        let value = &self.summary[name];
        value.as_u64().unwrap_or_else(|| value.as_array().map_or(0, |items| items.len() as u64))
    }

    fn counted(&self, what: &str) -> u64 {
        match what {
            "rejected" => ["validation_failures", "processing_errors", "timed_out"].iter().map(|name| self.count(name)).sum(),
            "accounted" => self.count("received") + self.count("skipped_objects"),
            name => self.count(name),
        }
    }

    /// What is not as expected.
    fn complaints(&self, expected: &Value) -> Vec<String> {
        let mut complaints = Vec::new();
        for (key, wanted) in expected.as_object().unwrap() {
            let holds = match (key.as_str(), key.split_once('_')) {
                ("rc", _) => wanted.as_array().map_or(wanted == self.code, |codes| codes.contains(&self.code.into())),
                ("rc_not_zero_or_stored", _) => self.code != 0 || self.count("stored") > 0,
                ("reason_contains", _) => {
                    let one_of = |words: &Value| words.as_str().unwrap().split('|').any(|word| self.reasons.contains(&word.to_lowercase()));
                    wanted.as_array().unwrap().iter().all(one_of)
                }
                ("any_of", _) => wanted.as_array().unwrap().iter().any(|one| self.complaints(one).is_empty()),
                (_, Some(("min", what))) => self.counted(what) >= wanted.as_u64().unwrap(),
                (_, Some(("max", what))) => self.counted(what) <= wanted.as_u64().unwrap(),
                (what @ ("received" | "stored"), _) => Some(self.counted(what)) == wanted.as_u64(),
                (other, _) => panic!("unknown expectation {other}"),
            };
            if !holds {
                let summary = ["received", "stored", "processing_errors"].map(|name| self.count(name));
                complaints.push(format!("{key} {wanted}; exit code {}, received, stored, errors {summary:?}: {}", self.code, self.reasons));
            }
        }
        let sum: u64 = ["stored", "rejected", "unchanged", "filtered"].iter().map(|name| self.counted(name)).sum();
        if self.count("received") != sum {
            complaints.push(format!("received {} and {sum} outcomes", self.count("received")));
        }
        if self.reasons.contains("defect") {
            complaints.push(self.reasons.clone());
        }
        complaints
    }
}

#[test]
fn odd_inputs_are_read_or_said() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 200);
    let (next, complaints) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = Found::of(case, &folder).complaints(&case["expect"]);
                    complaints.lock().unwrap().extend(found.into_iter().map(|complaint| format!("{} {complaint}", case["id"])));
                }
            });
        }
    });
    let complaints = complaints.into_inner().unwrap();
    assert!(complaints.is_empty(), "{}", complaints.join("\n"));
}
