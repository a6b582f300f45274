//! Speed of redaction on one core, relative to one Aho-Corasick pass with about 300 literals over the same bytes.
//!
//! ```console
//! $ cargo bench --bench redact            # or, without a release build:
//! $ CARGO_PROFILE_DEV_OPT_LEVEL=3 cargo bench --profile dev --bench redact
//! ```
//!
//! The texts are messages of real teams of agents (`data/labelled/agent_runs`), and short labelled texts full of sensitive values
//! (`data/redaction`). The literals are the prefixes that identify the formats of credentials.

#![expect(
    clippy::expect_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a benchmark prints, and panics if its setup fails"
)]

use std::hint::black_box;
use std::io::Read;
use std::time::Instant;

use aho_corasick::AhoCorasick;
use failsift::redact::{RedactionKey, Redactor};
use serde_json::Value;

fn main() {
    // A number among the arguments sets the rounds; `cargo bench` adds flags.
    let rounds: u32 = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    let redactor = Redactor::new(RedactionKey::from_text("a key for a benchmark, no secret").expect("a key"));
    let literals = literals();
    let automaton = AhoCorasick::new(&literals).expect("an automaton");
    for (name, file) in [("text of agent runs", "labelled/agent_runs/runs.jsonl.gz"), ("labelled texts", "redaction/texts.jsonl.gz")] {
        let texts = texts(file);
        let bytes: usize = texts.iter().map(String::len).sum();
        let redaction = rate(rounds, bytes, || {
            for text in &texts {
                black_box(redactor.redact(&mut text.clone()));
            }
        });
        let pass = rate(rounds, bytes, || {
            for text in &texts {
                black_box(automaton.find_iter(text).count());
            }
        });
        let copy = rate(rounds, bytes, || {
            for text in &texts {
                black_box(text.clone());
            }
        });
        println!(
            "{name:20} {:.1} MB: redacted at {redaction:.0} MB/s, 1/{:.1} of an automaton with {} literals ({pass:.0} MB/s); copied at {copy:.0} MB/s",
            bytes as f64 / 1e6,
            pass / redaction,
            literals.len()
        );
    }
}

/// Megabytes per second of the fastest round.
fn rate(rounds: u32, bytes: usize, mut work: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    for _ in 0..rounds {
        let start = Instant::now();
        work();
        best = best.min(start.elapsed().as_secs_f64());
    }
    bytes as f64 / 1e6 / best
}

/// Prefixes of credentials in the shipped rules.
fn literals() -> Vec<String> {
    let table: toml::Value = toml::from_str(include_str!("../src/redact/detect/rules/secrets.toml")).expect("the table of credentials");
    let entries = table.get("secret").and_then(toml::Value::as_array).expect("its entries");
    let prefixes = entries.iter().filter_map(|entry| entry.get("prefixes")?.as_array()).flatten();
    prefixes.filter_map(toml::Value::as_str).map(ToOwned::to_owned).collect()
}

/// All texts of more than 40 bytes in the records of a file.
fn texts(file: &str) -> Vec<String> {
    let file = std::fs::File::open(format!("data/{file}")).expect("the labelled data");
    let mut lines = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut lines).expect("gzip");
    let mut texts = Vec::new();
    for line in lines.lines() {
        collect_texts(&serde_json::from_str(line).expect("JSON"), &mut texts);
    }
    texts
}

fn collect_texts(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) if text.len() > 40 => texts.push(text.clone()),
        Value::Array(values) => values.iter().for_each(|value| collect_texts(value, texts)),
        Value::Object(fields) => fields.values().for_each(|value| collect_texts(value, texts)),
        _ => {}
    }
}
