//! `failsift redact`: redacts JSON Lines or plain text from a file or stdin.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use serde_json::value::RawValue;

use super::exit::{Exit, Failure};
use super::output;
use crate::config::KeySource;
use crate::messages::io_cause;
use crate::pipeline;
use crate::redact::{CustomDetectors, KindOptions, Redactor, Replacement};

/// JSON lines that are redacted in parallel.
const LINES_PER_BATCH: usize = 512;

/// Plain text is redacted in parts of this size, cut at the end of a line. Also limits the bytes of a batch of JSON lines.
const PART_BYTES: usize = 4 * 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// File to read instead of stdin
    file: Option<PathBuf>,
    /// Format of input and output: jsonl reads {"id", "text"} and writes {"id", "text", "spans"}; auto detects it from the first line
    #[arg(long, value_enum, default_value_t = TextFormat::Auto)]
    format: TextFormat,
    /// File with custom detectors and allowed values; can be repeated
    #[arg(long = "rules", visible_alias = "redaction-rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    kinds: KindOptions,
    /// File with the redaction key; `FAILSIFT_REDACTION_KEY` sets the key itself
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// Report on stderr which detector replaced which range; values are never shown
    #[arg(long)]
    explain: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TextFormat {
    /// jsonl if the first line is a JSON object with a text
    Auto,
    /// One JSON object per line
    Jsonl,
    /// Plain text
    Text,
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let source = KeySource::resolve(args.redaction_key_file.clone(), super::has_key_in_environment());
    let key = pipeline::redaction_key(&source)?;
    if let Some(path) = key.created_file() {
        output::note(&format!("created the redaction key {}; keep it, so that the same value gets the same token again", path.display()));
    }
    let redactor = Redactor::new(key).with_custom_detectors(CustomDetectors::read(&args.rules)?.with_kinds(&args.kinds)?);
    let mut input = open(args.file.as_deref())?;
    let mut first_line = Vec::new();
    read_line(&mut input, &mut first_line)?;
    let is_jsonl = match args.format {
        TextFormat::Jsonl => true,
        TextFormat::Text => false,
        TextFormat::Auto => serde_json::from_slice::<InputLine<'_>>(&first_line).is_ok(),
    };
    let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
    let exit = if is_jsonl {
        redact_json_lines(&redactor, first_line, &mut input, args.explain, &mut stdout)?
    } else {
        redact_plain_text(&redactor, first_line, &mut input, args.explain, &mut stdout)?
    };
    stdout.flush()?;
    Ok(exit)
}

fn open(file: Option<&Path>) -> Result<Box<dyn BufRead>, Failure> {
    let Some(path) = file else { return Ok(Box::new(BufReader::new(std::io::stdin().lock()))) };
    let opened = File::open(path).map_err(|error| Failure::usage(format!("cannot read {}: {}", path.display(), io_cause(&error))))?;
    Ok(Box::new(BufReader::with_capacity(256 * 1024, opened)))
}

/// Appends the next line with its line feed to `line`; false at the end of the input.
fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, Failure> {
    let count = input.read_until(b'\n', line).map_err(|error| Failure::failed(format!("cannot read the input: {}", io_cause(&error))))?;
    Ok(count > 0)
}

/// A line of input. Other fields are dropped, because they are not redacted.
#[derive(serde::Deserialize)]
struct InputLine<'a> {
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    text: String,
}

#[derive(Serialize)]
struct OutputLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a RawValue>,
    text: &'a str,
    spans: Vec<CharSpan>,
}

/// A replaced range of the original text, in characters.
#[derive(Serialize)]
struct CharSpan {
    start: usize,
    end: usize,
    kind: &'static str,
}

fn redact_json_lines(
    redactor: &Redactor,
    first_line: Vec<u8>,
    input: &mut dyn BufRead,
    explain: bool,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut exit = Exit::Complete;
    let mut number = 0;
    let mut next = Some(first_line);
    while next.is_some() {
        let mut batch = Vec::with_capacity(LINES_PER_BATCH);
        let mut bytes = 0;
        while let Some(line) = next.take() {
            bytes += line.len();
            batch.push(line);
            let mut line = Vec::new();
            if read_line(input, &mut line)? {
                next = Some(line);
            }
            if batch.len() == LINES_PER_BATCH || bytes > PART_BYTES {
                break;
            }
        }
        let results: Vec<Result<(String, Vec<String>), String>> =
            batch.par_iter().map(|line| redact_json_line(redactor, line, explain)).collect();
        for result in results {
            number += 1;
            match result {
                Ok((line, explanations)) => {
                    for explanation in &explanations {
                        output::plain(explanation);
                    }
                    if !line.is_empty() {
                        writeln!(out, "{line}")?;
                    }
                }
                Err(reason) => {
                    // The line itself is not shown, because it may be sensitive.
                    output::error(&format!("cannot redact line {number}: {reason}"));
                    exit = Exit::Failed;
                }
            }
        }
    }
    Ok(exit)
}

/// Redacts one line; returns the output line and, with `explain`, a line for each replacement. Blank lines become empty.
fn redact_json_line(redactor: &Redactor, line: &[u8], explain: bool) -> Result<(String, Vec<String>), String> {
    if line.iter().all(u8::is_ascii_whitespace) {
        return Ok((String::new(), Vec::new()));
    }
    let input: InputLine<'_> = serde_json::from_slice(line).map_err(|error| {
        format!(
            "not a JSON object with a \"text\" (column {})\n  hint: write lines such as {{\"id\": 1, \"text\": \"…\"}}, or use --format text",
            error.column()
        )
    })?;
    let mut text = input.text.clone();
    let replacements = redactor.redact(&mut text);
    let spans = to_char_spans(&input.text, &replacements);
    let id = input.id.map_or("-", RawValue::get);
    let explanations = if explain { explanations(id, &spans, &replacements) } else { Vec::new() };
    let line = OutputLine { id: input.id, text: &text, spans };
    Ok((serde_json::to_string(&line).map_err(|error| error.to_string())?, explanations))
}

/// One line for each replacement: `id start..end token (detector)`.
fn explanations(id: &str, spans: &[CharSpan], replacements: &[Replacement]) -> Vec<String> {
    spans
        .iter()
        .zip(replacements)
        .map(|(span, replacement)| format!("{id} {}..{} {} ({})", span.start, span.end, replacement.token, replacement.detector))
        .collect()
}

/// Converts byte ranges to character ranges.
fn to_char_spans(text: &str, replacements: &[Replacement]) -> Vec<CharSpan> {
    let (mut bytes, mut characters) = (0, 0);
    let mut advance = |to: usize| {
        characters += text.get(bytes..to).unwrap_or_default().chars().count();
        bytes = to;
        characters
    };
    replacements
        .iter()
        .map(|replacement| CharSpan {
            start: advance(replacement.range.start),
            end: advance(replacement.range.end),
            kind: replacement.kind,
        })
        .collect()
}

fn redact_plain_text(
    redactor: &Redactor,
    first_line: Vec<u8>,
    input: &mut dyn BufRead,
    explain: bool,
    out: &mut dyn Write,
) -> Result<Exit, Failure> {
    let mut part = first_line;
    let mut offset = 0;
    let mut more = true;
    while more {
        let limit = u64::try_from(PART_BYTES.saturating_sub(part.len())).unwrap_or(0);
        Read::take(&mut *input, limit)
            .read_to_end(&mut part)
            .map_err(|error| Failure::failed(format!("cannot read the input: {}", io_cause(&error))))?;
        more = part.len() >= PART_BYTES && read_line(input, &mut part)?;
        let Ok(original) = String::from_utf8(std::mem::take(&mut part)) else {
            return Err(Failure::failed(format!("the input is not valid UTF-8 after byte {offset}")));
        };
        let mut text = original.clone();
        let replacements = redactor.redact(&mut text);
        if explain {
            let spans = to_char_spans(&original, &replacements);
            for line in explanations(if offset == 0 { "-" } else { "+" }, &spans, &replacements) {
                output::plain(&line);
            }
        }
        offset += original.len();
        out.write_all(text.as_bytes())?;
    }
    Ok(Exit::Complete)
}
