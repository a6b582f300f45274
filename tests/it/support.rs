//! Runs the built binary in a temporary folder and reads its output and its tables.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};

use serde_json::Value;

/// The redaction key of all tests, so that redaction tokens are the same in each run.
pub(crate) const KEY: &str = "a key for tests only, thirty-two";

/// The binary with a fixed redaction key and without the user's configuration.
pub(crate) fn failsift(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_failsift"));
    command
        .args(arguments)
        .env("FAILSIFT_REDACTION_KEY", KEY)
        .env("NO_COLOR", "1")
        .env_remove("RUST_LOG")
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    command
}

/// Runs the binary and waits for it.
pub(crate) fn call(arguments: &[&str]) -> Output {
    failsift(arguments).output().expect("start failsift")
}

/// Waits for a process; returns its output and its peak memory in MB, sampled every few milliseconds.
pub(crate) fn output_and_peak(mut child: Child) -> (Output, u64) {
    let status = format!("/proc/{}/status", child.id());
    let (exited, exit) = std::sync::mpsc::channel::<()>();
    let sampler = std::thread::spawn(move || {
        let mut peak_kb = 0;
        loop {
            // The kernel records the peak, but only while the process exists.
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak_kb = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0).max(peak_kb);
            if exit.recv_timeout(std::time::Duration::from_millis(3)) != Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                return peak_kb / 1024;
            }
        }
    });
    drop(child.stdin.take());
    let output = child.wait_with_output().expect("wait for failsift");
    drop(exited);
    (output, sampler.join().expect("the peak"))
}

/// Standard output as text.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("stdout is UTF-8")
}

/// Standard error as text.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("stderr is UTF-8")
}

/// A temporary folder with an input folder and an output.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("in")).expect("an input folder");
        Self { folder }
    }

    pub(crate) fn input(&self) -> String {
        self.folder.path().join("in").display().to_string()
    }

    pub(crate) fn output(&self) -> String {
        self.folder.path().join("out").display().to_string()
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the input folder.
    pub(crate) fn put(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join("in").join(name);
        std::fs::write(&path, bytes).expect("write an input");
        path
    }

    /// Runs over the input folder and returns the summary. Checks that it accounts for every trace and record, and that `exit_reason` matches
    /// the exit code.
    pub(crate) fn run(&self, more: &[&str]) -> Value {
        let (input, out) = (self.input(), self.output());
        let mut arguments = vec!["run", "--format", "json", "--input", &input, "--output", &out];
        arguments.extend(more);
        let output = call(&arguments);
        let summary: Value =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{:?}: {error}: {}", output.status, stderr(&output)));
        let code = match summary["exit_reason"].as_str() {
            None => 0,
            Some("cost_limit" | "max_duration") => 4,
            Some("interrupted") => 130,
            Some(_) => 3,
        };
        assert_eq!(output.status.code(), Some(code), "{summary}: {}", stderr(&output));
        let count = |key: &str| summary[key].as_u64().unwrap_or_else(|| panic!("{key} is a count"));
        let sum: u64 =
            ["stored", "validation_failures", "processing_errors", "timed_out", "unchanged", "filtered"].iter().map(|key| count(key)).sum();
        assert_eq!(count("received"), sum, "{summary}");
        let records: u64 =
            ["records_with_spans", "records_companion", "records_skipped", "records_rejected"].iter().map(|key| count(key)).sum();
        assert_eq!(count("records_read"), records, "{summary}");
        summary
    }

    /// The rows of a query as JSON.
    pub(crate) fn rows(&self, sql: &str) -> Vec<Value> {
        rows(&self.output(), sql)
    }
}

/// The rows of a query over the tables at `location`.
pub(crate) fn rows(location: &str, sql: &str) -> Vec<Value> {
    let output = call(&["query", "--tables", location, sql, "--format", "json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice::<Value>(&output.stdout).expect("rows are JSON").as_array().cloned().expect("rows are a list")
}

/// A trace in failsift's own format whose tool span failed.
pub(crate) fn trace(id: &str, message: &str) -> String {
    serde_json::json!({
        "trace_id": id, "service": "shop", "started_at": "2026-11-23T09:00:00Z",
        "spans": [
            {"span_id": "1", "name": "agent", "kind": "agent", "status": "error", "ended_at": "2026-11-23T09:00:02Z", "status_message": message},
            {"span_id": "2", "parent_span_id": "1", "name": "lookup", "kind": "tool", "status": "error", "status_message": message,
             "ended_at": "2026-11-23T09:00:01Z", "tool": {"name": "lookup", "arguments": {"id": 7}}},
        ],
    })
    .to_string()
        + "\n"
}

/// A shipped sample, decompressed.
pub(crate) fn sample(name: &str) -> String {
    let file = std::fs::File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("data/samples").join(name)).expect("a sample");
    std::io::read_to_string(flate2::read::MultiGzDecoder::new(file)).expect("a sample as text")
}
