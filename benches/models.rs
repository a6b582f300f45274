//! What asking a model takes beside waiting for its answers: traces about which a provider that answers after a second is asked, 64 at once.
//! The ideal is the time of as many whole rounds; the same job with the embedded analyzer is what start-up, reading and writing take.
//!
//! ```text
//! cargo bench --bench models                      # release: for the figures
//! cargo bench --profile dev --bench models -- 128 # fewer traces, to see that it works
//! ```

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark prints, and ends where its set-up fails"
)]

#[path = "../tests/it/model_stub.rs"]
#[allow(dead_code, clippy::similar_names, reason = "shared with the tests, which use all of it")]
mod model_stub;

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use self::model_stub::{Act, Stub};

const AT_ONCE: usize = 64;

fn main() {
    let traces = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(1_000);
    let folder = tempfile::tempdir().expect("a folder");
    let input = folder.path().join("traces.jsonl");
    std::fs::write(&input, (0..traces).map(trace).collect::<String>()).expect("an input");
    let answer = Duration::from_secs(1);
    let stub = Stub::start(move |_| Act::After(answer, Box::new(Act::Answer)));
    let (embedded, embedded_cpu) = run(&input, &folder.path().join("embedded"), "embedded", &stub);
    let (asked, asked_cpu) = run(&input, &folder.path().join("asked"), "gemini", &stub);
    let ideal = traces.div_ceil(AT_ONCE) as f64 * answer.as_secs_f64();
    println!("{traces} traces, {AT_ONCE} at once, answers after {} s, {} asked", answer.as_secs_f64(), stub.calls());
    println!("  wall time            {asked:6.2} s; with the embedded analyzer {embedded:.2} s");
    println!("  ideal                {ideal:6.2} s");
    println!("  beyond start-up      {:6.3} of the ideal", (asked - embedded) / ideal);
    println!(
        "  CPU of a trace       {:6.2} ms; with the embedded analyzer {:.2} ms",
        asked_cpu * 1e3 / traces as f64,
        embedded_cpu * 1e3 / traces as f64
    );
}

/// A trace of some spans with the texts of a small agent run.
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

/// Wall time and CPU time of a run in seconds.
fn run(input: &Path, output: &Path, analyzer: &str, stub: &Stub) -> (f64, f64) {
    let binary = env!("CARGO_BIN_EXE_failsift");
    let at_once = AT_ONCE.to_string();
    let begun = Instant::now();
    // The shell says what its children took.
    let ended = Command::new("sh")
        .args(["-c", "\"$@\" > /dev/null && times", "sh", binary, "run", "--analyzer", analyzer, "--concurrency", &at_once, "--input"])
        .arg(input)
        .arg("--output")
        .arg(output)
        .env("FAILSIFT_REDACTION_KEY", "a key for a benchmark, no secret")
        .env("GEMINI_API_KEY", "stub")
        .env("GOOGLE_GEMINI_BASE_URL", &stub.url)
        .output()
        .expect("a shell");
    let wall = begun.elapsed().as_secs_f64();
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    let times = String::from_utf8_lossy(&ended.stdout).into_owned();
    let children = times.lines().last().expect("the times of children");
    (wall, children.split_whitespace().map(seconds).sum())
}

/// `0m1.250s` as seconds.
fn seconds(text: &str) -> f64 {
    let (minutes, seconds) = text.trim_end_matches('s').split_once('m').unwrap_or_else(|| panic!("{text} is no time"));
    minutes.parse::<f64>().expect("minutes") * 60.0 + seconds.parse::<f64>().expect("seconds")
}
