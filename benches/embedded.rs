//! How long the embedded analyzer takes for one trace on one core, beside the SHA-256 of the same bytes, which it has to compute anyway.
//!
//! ```console
//! $ cargo bench --bench embedded            # or, without a release build:
//! $ CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev --bench embedded
//! ```
//!
//! The traces have 100 spans and 200 KB: a tool-calling agent whose last tool failed, and a dialogue of a real team of agents
//! (`data/labelled/agent_runs`), which is the worst case, because every word of it is searched. Prints the median of each and fails
//! above 2 ms.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark prints, and panics if its setup fails"
)]

use std::hint::black_box;
use std::io::Read;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use failsift::analyze::embedded::Embedded;
use failsift::model::{Message, Span, SpanKind, Status, ToolUse, Trace};
use failsift::redact::{RedactedTrace, RedactionKey, Redactor};
use failsift::runtime::Deadline;
use sha2::{Digest, Sha256};

const SPANS: usize = 100;
const BYTES: usize = 200_000;
const LIMIT: Duration = Duration::from_millis(2);

fn main() -> ExitCode {
    // `cargo bench` passes flags; a number sets how often each trace is analyzed.
    let rounds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(300);
    let embedded = Embedded::new().expect("the shipped rules are well-formed");
    let redactor = Redactor::new(RedactionKey::from_text("a key for a benchmark, no secret").expect("a key"));
    let texts = messages_of_runs();
    let mut slow = false;
    for (name, trace) in [("tool-calling agent", agent(&texts)), ("dialogue of a team", dialogue(&texts))] {
        let trace = redactor.redact_trace(trace, Deadline::after(Duration::from_mins(1))).expect("in time");
        let bytes: usize = trace.spans.iter().map(size).sum();
        let analysis = median(rounds, || embedded.draft_of(&trace, Deadline::after(Duration::from_mins(1))));
        let floor = median(rounds, || Sha256::digest(text(&trace)));
        println!(
            "{name:20} {} spans, {} KB: {:.2} ms, {:.1} times the SHA-256 of its texts",
            trace.spans.len(),
            bytes / 1_000,
            analysis.as_secs_f64() * 1e3,
            analysis.as_secs_f64() / floor.as_secs_f64()
        );
        slow |= analysis > LIMIT;
    }
    if slow {
        println!("over the limit of {} ms", LIMIT.as_millis());
    }
    // The limit applies to optimized builds only.
    if slow && !cfg!(debug_assertions) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn median<T>(rounds: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..rounds.max(1))
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// The longer messages of the labelled runs.
fn messages_of_runs() -> Vec<String> {
    let file = std::fs::File::open("data/labelled/agent_runs/runs.jsonl.gz").expect("the labelled runs");
    let mut lines = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut lines).expect("text");
    let runs = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a run"));
    let team = runs.filter(|run| run["service"] == "magentic-one");
    let messages = team.flat_map(|run| run["messages"].as_array().cloned().unwrap_or_default());
    messages.filter_map(|message| message["content"].as_str().map(str::to_owned)).filter(|text| text.len() > 200).collect()
}

/// Texts of about the size that a span has on average.
fn pieces(texts: &[String]) -> Vec<String> {
    let piece = |text: &String| text.chars().take(BYTES / SPANS).collect::<String>();
    texts.iter().map(piece).filter(|text| text.len() > BYTES / SPANS / 2).take(SPANS).collect()
}

fn dialogue(texts: &[String]) -> Trace {
    let mut spans: Vec<Span> = Vec::new();
    let mut bytes = 0;
    for (index, text) in pieces(texts).into_iter().enumerate() {
        bytes += text.len();
        let name = ["Orchestrator (thought)", "Orchestrator (-> WebSurfer)", "WebSurfer"][index % 3];
        let message = Message { role: name.into(), content: text, ..Message::default() };
        spans.push(Span {
            span_id: index.to_string(),
            name: name.into(),
            kind: SpanKind::Llm,
            started_at_ns: i64::try_from(index).ok(),
            output: vec![message],
            ..Span::default()
        });
    }
    pad(&mut spans, bytes);
    Trace { trace_id: "dialogue".into(), spans, ..Trace::default() }
}

fn agent(texts: &[String]) -> Trace {
    let mut spans: Vec<Span> = Vec::new();
    let mut bytes = 0;
    for (index, text) in pieces(texts).into_iter().enumerate() {
        bytes += text.len();
        let at = i64::try_from(index).ok();
        let mut span = Span { span_id: index.to_string(), name: "step".into(), started_at_ns: at, ended_at_ns: at, ..Span::default() };
        if index % 2 == 0 {
            span.kind = SpanKind::Llm;
            span.output = vec![Message { role: "assistant".into(), content: text, ..Message::default() }];
        } else {
            span.kind = SpanKind::Tool;
            span.tool = Some(ToolUse {
                name: "lookup".into(),
                arguments: format!("{{\"id\": {index}}}"),
                result: Some(text),
                ..ToolUse::default()
            });
        }
        spans.push(span);
    }
    pad(&mut spans, bytes);
    if let Some(last) = spans.last_mut() {
        last.status = Status::Error;
        last.status_message = Some("HTTP 429 Too Many Requests".into());
    }
    Trace { trace_id: "agent".into(), spans, ..Trace::default() }
}

/// Adds text until the spans have `bytes` bytes.
fn pad(spans: &mut [Span], bytes: usize) {
    if let Some(span) = spans.first_mut() {
        span.input_text = Some("and so on ".repeat(BYTES.saturating_sub(bytes) / 10));
    }
}

fn size(span: &Span) -> usize {
    let mut bytes = 0;
    span.fields(&mut |_, text| {
        bytes += text.len();
        false
    });
    bytes
}

fn text(trace: &RedactedTrace) -> String {
    let mut text = String::with_capacity(2 * BYTES);
    for span in &trace.spans {
        span.fields(&mut |_, part| {
            text.push_str(part);
            false
        });
    }
    text
}
