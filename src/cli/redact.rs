//! `failsift redact`.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::KeySource;
use crate::pipeline;
use crate::redact::{CustomDetectors, Redactor, Replacement};

/// Lines that are redacted together, on all cores.
const LINES_PER_BATCH: usize = 512;

/// Plain text is redacted in parts of this size, cut at the end of a line.
const PART_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to read instead of stdin
    file: Option<PathBuf>,
    /// How the text comes and goes: jsonl is {"id", "text"} in and {"id", "text", "spans"} out; auto looks at the first line
    #[arg(long, value_enum, default_value_t = TextFormat::Auto)]
    format: TextFormat,
    /// File with detectors of your own and values to leave alone; may be given several times
    #[arg(long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// File with the key that makes tokens; `FAILSIFT_REDACTION_KEY` holds a key itself
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// Say on stderr which detector took what out where; the values are never shown
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TextFormat {
    /// jsonl if the first line is an object with a text
    Auto,
    /// One object a line
    Jsonl,
    /// Plain text
    Text,
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let source = KeySource::resolve(args.redaction_key_file.clone(), std::env::var_os("FAILSIFT_REDACTION_KEY").is_some());
    let key = pipeline::redaction_key(&source)?;
    if let Some(path) = key.created_file() {
        output::note(&format!("made the redaction key {}; keep it, so that the same value gives the same token again", path.display()));
    }
    let redactor = Redactor::new(key).with_custom_detectors(CustomDetectors::read(&args.rules)?);
    let mut input = open(args.file.as_deref())?;
    let mut first = Vec::new();
    read(&mut input, &mut first)?;
    let is_jsonl = match args.format {
        TextFormat::Jsonl => true,
        TextFormat::Text => false,
        TextFormat::Auto => serde_json::from_slice::<Line<'_>>(&first).is_ok(),
    };
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let exit = if is_jsonl {
        lines(&redactor, first, &mut input, args.explain, &mut stdout)?
    } else {
        text(&redactor, first, &mut input, args.explain, &mut stdout)?
    };
    stdout.flush()?;
    Ok(exit)
}

fn open(file: Option<&Path>) -> Result<Box<dyn BufRead>, Failure> {
    let Some(path) = file else { return Ok(Box::new(BufReader::new(std::io::stdin().lock()))) };
    let opened = File::open(path).map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))?;
    Ok(Box::new(BufReader::with_capacity(256 * 1024, opened)))
}

/// Reads the next line with its line feed; false at the end.
fn read(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, Failure> {
    let count = input.read_until(b'\n', line).map_err(|error| Failure::failed(format!("cannot read the input: {error}")))?;
    Ok(count > 0)
}

/// A line of input. What stands beside id and text is left out of the result: nobody has looked through it.
#[derive(serde::Deserialize)]
struct Line<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    text: String,
}

#[derive(Serialize)]
struct RedactedLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    text: &'a str,
    spans: Vec<Span>,
}

/// A place in the original text, in characters.
#[derive(Serialize)]
struct Span {
    start: usize,
    end: usize,
    kind: &'static str,
}

fn lines(redactor: &Redactor, first: Vec<u8>, input: &mut dyn BufRead, explain: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut exit = Exit::Complete;
    let mut number = 0;
    let mut next = Some(first);
    while next.is_some() {
        let mut batch = Vec::with_capacity(LINES_PER_BATCH);
        let mut bytes = 0;
        while let Some(line) = next.take() {
            bytes += line.len();
            batch.push(line);
            let mut line = Vec::new();
            if read(input, &mut line)? {
                next = Some(line);
            }
            if batch.len() == LINES_PER_BATCH || bytes > PART_BYTES {
                break;
            }
        }
        let done: Vec<Result<(String, Vec<String>), String>> =
            batch.par_iter().map(|line| redacted_line(redactor, line, explain)).collect();
        for result in done {
            number += 1;
            match result {
                Ok((line, findings)) => {
                    for finding in &findings {
                        output::plain(finding);
                    }
                    if !line.is_empty() {
                        writeln!(out, "{line}")?;
                    }
                }
                Err(reason) => {
                    // The line itself may hold what must not be shown.
                    output::error(&format!("line {number} is left out: {reason}"));
                    exit = Exit::Failed;
                }
            }
        }
    }
    Ok(exit)
}

fn redacted_line(redactor: &Redactor, line: &[u8], explain: bool) -> Result<(String, Vec<String>), String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok((String::new(), Vec::new()));
    }
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(|error| {
        format!("it is no JSON object with a text (column {})\n  hint: {{\"id\": 1, \"text\": \"…\"}}, or --format text", error.column())
    })?;
    let mut text = parsed.text.clone();
    let findings = redactor.redact(&mut text);
    let spans = in_characters(&parsed.text, &findings);
    let id = parsed.id.map_or("-", RawValue::get);
    let explained = if explain { explained(id, &spans, &findings) } else { Vec::new() };
    let line = RedactedLine { id: parsed.id, text: &text, spans };
    Ok((serde_json::to_string(&line).map_err(|error| error.to_string())?, explained))
}

fn explained(id: &str, spans: &[Span], findings: &[Replacement]) -> Vec<String> {
    spans
        .iter()
        .zip(findings)
        .map(|(span, finding)| format!("{id} {}..{} {} ({})", span.start, span.end, finding.token, finding.detector))
        .collect()
}

/// Ranges in bytes to ranges in characters.
fn in_characters(text: &str, findings: &[Replacement]) -> Vec<Span> {
    let (mut bytes, mut characters) = (0, 0);
    let mut advance = |to: usize| {
        characters += text.get(bytes..to).unwrap_or_default().chars().count();
        bytes = to;
        characters
    };
    findings
        .iter()
        .map(|finding| Span { start: advance(finding.range.start), end: advance(finding.range.end), kind: finding.kind })
        .collect()
}

fn text(redactor: &Redactor, first: Vec<u8>, input: &mut dyn BufRead, explain: bool, out: &mut dyn Write) -> Result<Exit, Failure> {
    let mut part = first;
    let mut offset = 0;
    let mut more = true;
    while more {
        let limit = u64::try_from(PART_BYTES.saturating_sub(part.len())).unwrap_or(0);
        Read::take(&mut *input, limit)
            .read_to_end(&mut part)
            .map_err(|error| Failure::failed(format!("cannot read the input: {error}")))?;
        more = part.len() >= PART_BYTES && read(input, &mut part)?;
        let Ok(original) = String::from_utf8(std::mem::take(&mut part)) else {
            return Err(Failure::failed(format!("the text is no UTF-8 after its byte {offset}")));
        };
        let mut text = original.clone();
        let findings = redactor.redact(&mut text);
        if explain {
            let spans = in_characters(&original, &findings);
            for line in explained(if offset == 0 { "-" } else { "+" }, &spans, &findings) {
                output::plain(&line);
            }
        }
        offset += original.len();
        out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Complete)
}
