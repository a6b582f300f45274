//! The whole job on 10, 100 and 1,000 MB of real traces: MB/s, traces/s and peak memory of the process, relative to parsing the same bytes
//! to `serde_json::Value` on one core in the same run.
//!
//! ```text
//! cargo bench --bench main_job                       # release: for the figures
//! cargo bench --profile dev --bench main_job -- 10   # only 10 MB, with the development profile
//! ```
//!
//! The input is copies of `data/samples/otlp`. Each copy gets new trace ids, so a thousand copies have a thousand times the traces.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and panics if its setup fails"
)]

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use regex::{Captures, Regex};

const SAMPLES: [&str; 2] = ["data/samples/otlp/openinference.jsonl.gz", "data/samples/otlp/genai.jsonl.gz"];

/// Limit of the peak memory, for an input of any size.
const PEAK_MB_MAX: f64 = 400.0;

fn main() {
    let sizes: Vec<u64> = std::env::args().skip(1).filter_map(|argument| argument.parse().ok()).collect();
    let sizes = if sizes.is_empty() { vec![10, 100, 1_000] } else { sizes };
    let folder = tempfile::tempdir().expect("a folder for the input");
    println!("{:>6}  {:>9}  {:>9}  {:>9}  {:>8}  {:>12}  {:>6}", "MB", "job s", "job MB/s", "traces/s", "peak MB", "Value MB/s", "ratio");
    for size in sizes {
        let input = folder.path().join(format!("{size}.jsonl"));
        let bytes = generate(&input, size * 1_000_000);
        let parsing = parse_to_values(&input);
        let job = run_job(&input, &folder.path().join(format!("out-{size}")));
        let megabytes = bytes as f64 / 1e6;
        let ratio = job.wall.as_secs_f64() / parsing.as_secs_f64();
        println!(
            "{megabytes:>6.0}  {:>9.2}  {:>9.1}  {:>9.0}  {:>8.0}  {:>12.1}  {ratio:>6.2}",
            job.wall.as_secs_f64(),
            megabytes / job.wall.as_secs_f64(),
            job.traces as f64 / job.wall.as_secs_f64(),
            job.peak_mb,
            megabytes / parsing.as_secs_f64(),
        );
        assert!(job.peak_mb < PEAK_MB_MAX, "the job used {:.0} MB of memory for {size} MB of input", job.peak_mb);
        fs::remove_file(&input).expect("remove the input");
    }
}

/// Writes copies of the samples with new trace ids until the file has `bytes_min` bytes.
fn generate(path: &Path, bytes_min: u64) -> u64 {
    let mut text = String::new();
    for sample in SAMPLES {
        let file = File::open(Path::new(env!("CARGO_MANIFEST_DIR")).join(sample)).expect("a sample");
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).expect("a sample as text");
    }
    let ids = Regex::new(r#""traceId":\s*"([0-9a-f]{8})"#).expect("an expression");
    let mut out = BufWriter::new(File::create(path).expect("the input"));
    let (mut bytes, mut copy) = (0, 0u32);
    while bytes < bytes_min {
        let copied = ids.replace_all(&text, |found: &Captures<'_>| {
            let id = u32::from_str_radix(&found[1], 16).expect("hex digits") ^ copy.wrapping_mul(0x9e37_79b9);
            format!("\"traceId\":\"{id:08x}")
        });
        out.write_all(copied.as_bytes()).expect("write the input");
        bytes += copied.len() as u64;
        copy += 1;
    }
    out.flush().expect("write the input");
    bytes
}

/// The lower bound: the time to parse each line, already in memory, to a `serde_json::Value` on one core.
fn parse_to_values(path: &Path) -> Duration {
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path).expect("the input"));
    let mut line = String::new();
    let mut parsing = Duration::ZERO;
    while lines.read_line(&mut line).expect("a line") > 0 {
        let start = Instant::now();
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        std::hint::black_box(&value);
        drop(value);
        parsing += start.elapsed();
        line.clear();
    }
    parsing
}

struct Job {
    wall: Duration,
    traces: u64,
    peak_mb: f64,
}

/// Runs the binary and measures its wall time and its peak resident memory.
fn run_job(input: &Path, output: &Path) -> Job {
    let start = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_failsift"))
        .args(["run", "--format", "json", "--input"])
        .arg(input)
        .arg("--output")
        .arg(output)
        .env("FAILSIFT_REDACTION_KEY", "a key for benchmarks only")
        .stdout(Stdio::piped())
        .spawn()
        .expect("start failsift");
    let status = format!("/proc/{}/status", child.id());
    let mut peak_kb = 0u64;
    let wall = loop {
        if let Ok(text) = fs::read_to_string(&status) {
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            peak_kb = peak_kb.max(line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0));
        }
        if let Some(exit) = child.try_wait().expect("wait for failsift") {
            assert!(exit.success(), "failsift failed: {exit}");
            break start.elapsed();
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let mut summary = String::new();
    child.stdout.take().expect("stdout").read_to_string(&mut summary).expect("the summary");
    let summary: serde_json::Value = serde_json::from_str(&summary).expect("the summary as JSON");
    assert_eq!(summary["received"], summary["stored"], "traces were rejected: {summary}");
    Job { wall, traces: summary["stored"].as_u64().expect("a count"), peak_mb: peak_kb as f64 / 1024.0 }
}
