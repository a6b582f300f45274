//! The overhead of calling a model: a provider answers each request after a second, and 64 traces are analyzed concurrently. The ideal is the
//! time of whole rounds of 64 requests. The same run with the embedded analyzer shows what start-up, reading and writing take.
//!
//! ```text
//! cargo bench --bench models                      # release: for the figures
//! cargo bench --profile dev --bench models -- 128 # fewer traces, to check that it works
//! ```

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints its results and panics if its setup fails"
)]

#[path = "../tests/it/model_stub.rs"]
#[allow(dead_code, clippy::similar_names, reason = "shared with the tests, which use the rest")]
mod model_stub;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use self::model_stub::{ModelStub, Reaction};

const CONCURRENCY: usize = 64;

fn main() {
    let traces = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("traces.jsonl");
    std::fs::write(&input, (0..traces).map(trace).collect::<String>()).expect("an input");
    let latency = Duration::from_secs(1);
    let stub = ModelStub::start(move |_| Reaction::Delay(latency, Box::new(Reaction::Answer)));
    let (embedded_s, embedded_cpu_s) = run(&input, &folder.path().join("embedded"), "embedded", &stub);
    let (gemini_s, gemini_cpu_s) = run(&input, &folder.path().join("gemini"), "gemini", &stub);
    let ideal_s = traces.div_ceil(CONCURRENCY) as f64 * latency.as_secs_f64();
    println!("{traces} traces, {CONCURRENCY} at once, answers after {} s, {} requests", latency.as_secs_f64(), stub.request_count());
    println!("  wall time            {gemini_s:6.2} s; with the embedded analyzer {embedded_s:.2} s");
    println!("  ideal                {ideal_s:6.2} s");
    println!("  without start-up     {:6.3} of the ideal", (gemini_s - embedded_s) / ideal_s);
    println!(
        "  CPU time per trace   {:6.2} ms; with the embedded analyzer {:.2} ms",
        gemini_cpu_s * 1e3 / traces as f64,
        embedded_cpu_s * 1e3 / traces as f64
    );
}

/// A trace with the spans and texts of a small agent run.
fn trace(number: usize) -> String {
    let text =
        |what: &str| format!("{what} of order {number}: {}", "the parcel is on its way and the customer asks where it is. ".repeat(12));
    serde_json::json!({
        "trace_id": format!("t{number}"), "service": "shop", "started_at": "2026-11-23T09:00:00Z",
        "spans": [
            {"span_id": "1", "name": "agent", "kind": "agent", "status": "error", "started_at": "2026-11-23T09:00:00Z", "ended_at": "2026-11-23T09:00:04Z"},
            {"span_id": "2", "parent_span_id": "1", "name": "plan", "kind": "llm", "started_at": "2026-11-23T09:00:00Z", "ended_at": "2026-11-23T09:00:01Z",
             "input": [{"role": "system", "content": text("rules")}, {"role": "user", "content": text("question")}],
             "output": [{"role": "assistant", "content": text("plan")}]},
            {"span_id": "3", "parent_span_id": "1", "name": "lookup", "kind": "tool", "status": "error", "status_message": format!("ToolError: shelf {number} is empty"),
             "started_at": "2026-11-23T09:00:01Z", "ended_at": "2026-11-23T09:00:02Z", "tool": {"name": "lookup", "arguments": {"id": number}}},
        ],
    })
    .to_string()
        + "\n"
}

/// Wall time and CPU time of a run, in seconds.
fn run(input: &Path, output: &Path, analyzer: &str, stub: &ModelStub) -> (f64, f64) {
    let binary = env!("CARGO_BIN_EXE_failsift");
    let concurrency = CONCURRENCY.to_string();
    let started = Instant::now();
    // The shell reports the CPU time of its children.
    let output_of_shell = Command::new("sh")
        .args(["-c", "\"$@\" > /dev/null && times", "sh", binary, "run", "--analyzer", analyzer, "--concurrency", &concurrency, "--input"])
        .arg(input)
        .arg("--output")
        .arg(output)
        .env("FAILSIFT_REDACTION_KEY", "a key for a benchmark, not a secret")
        .env("GEMINI_API_KEY", "stub")
        .env("GOOGLE_GEMINI_BASE_URL", &stub.url)
        .output()
        .expect("a shell");
    let wall = started.elapsed().as_secs_f64();
    assert!(output_of_shell.status.success(), "{}", String::from_utf8_lossy(&output_of_shell.stderr));
    let times = String::from_utf8_lossy(&output_of_shell.stdout).into_owned();
    let children = times.lines().last().expect("the times of children");
    (wall, children.split_whitespace().map(seconds).sum())
}

/// Parses `0m1.250s` into seconds.
fn seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap_or_else(|| panic!("{text} is not a time"));
    minutes.parse::<f64>().expect("minutes") * 60.0 + seconds.parse::<f64>().expect("seconds")
}
