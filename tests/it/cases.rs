//! Unusual inputs with expected results (`tests/cases`): each is read or reported, and no other record is lost.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::{failsift, stderr};

/// The result of one case.
struct CaseResult {
    code: i64,
    summary: Value,
    /// All rejection reasons and stderr, in lower case.
    reasons: String,
}

impl CaseResult {
    fn run(case: &Value, folder: &Path) -> Self {
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

    /// Expectations that are not met.
    fn unmet(&self, expected: &Value) -> Vec<String> {
        let mut unmet = Vec::new();
        for (key, wanted) in expected.as_object().unwrap() {
            let is_met = match (key.as_str(), key.split_once('_')) {
                ("rc", _) => wanted.as_array().map_or(wanted == self.code, |codes| codes.contains(&self.code.into())),
                ("rc_not_zero_or_stored", _) => self.code != 0 || self.count("stored") > 0,
                ("reason_contains", _) => {
                    let one_of = |words: &Value| words.as_str().unwrap().split('|').any(|word| self.reasons.contains(&word.to_lowercase()));
                    wanted.as_array().unwrap().iter().all(one_of)
                }
                ("any_of", _) => wanted.as_array().unwrap().iter().any(|one| self.unmet(one).is_empty()),
                (_, Some(("min", what))) => self.counted(what) >= wanted.as_u64().unwrap(),
                (_, Some(("max", what))) => self.counted(what) <= wanted.as_u64().unwrap(),
                (what @ ("received" | "stored"), _) => Some(self.counted(what)) == wanted.as_u64(),
                (other, _) => panic!("unknown expectation {other}"),
            };
            if !is_met {
                let summary = ["received", "stored", "processing_errors"].map(|name| self.count(name));
                unmet.push(format!("{key} {wanted}; exit code {}, received, stored, errors {summary:?}: {}", self.code, self.reasons));
            }
        }
        let sum: u64 = ["stored", "rejected", "unchanged", "filtered"].iter().map(|name| self.counted(name)).sum();
        if self.count("received") != sum {
            unmet.push(format!("received {} and {sum} outcomes", self.count("received")));
        }
        let is_internal = |failure: &Value| failure["kind"] == "internal";
        if self.reasons.contains("a bug in failsift") || self.summary["failures"].as_array().into_iter().flatten().any(is_internal) {
            unmet.push(self.reasons.clone());
        }
        unmet
    }
}

#[test]
fn unusual_inputs_are_read_or_reported() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let text = std::fs::read_to_string(folder.join("cases.jsonl")).unwrap();
    let cases: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(cases.len() > 200);
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = CaseResult::run(case, &folder).unmet(&case["expect"]);
                    failures.lock().unwrap().extend(found.into_iter().map(|failure| format!("{} {failure}", case["id"])));
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
