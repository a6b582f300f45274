//! The settings of a run: the sections and keys of a pipeline file, and their flags and environment variables.
//!
//! One structure describes the file, the command line and the defaults, so that `resolver` can lay them over each other. The id of an argument
//! is its key in the file. To add a setting, add a field here, its default to [`Pipeline::defaults`], and the key to
//! `schemas/pipeline.schema.json`; tests compare the three, and docs/cli.md.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::builder::BoolishValueParser;
use serde::{Deserialize, Serialize};

use super::{AnalyzerName, Excerpts, IfRunning, ModelOptions, NotifySection, SelectMode, parse_duration, timeout_from_seconds};
use crate::notify::When;
use crate::redact::{KindOptions, RedactionLevel};
use crate::{limits, parse};

/// The settings of a run that have a key in a pipeline file. A setting that is not given is `None` or empty.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the fields are the sections of a pipeline file")]
#[serde(default)]
pub struct Pipeline {
    pub source: SourceSection,
    pub redact: RedactSection,
    pub analyze: AnalyzeSection,
    pub model: ModelOptions,
    /// Templates by format.
    pub links: BTreeMap<String, String>,
    pub write: WriteSection,
    pub run: RunSection,
    pub notify: NotifySection,
    pub telemetry: TelemetrySection,
}

/// The section `[source]`: which traces are read.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct SourceSection {
    /// Traces to read: a path, a glob, file://, s3://, gs://, az:// or https://; a prefix includes all objects below it; can be repeated
    #[arg(id = "source.inputs", long = "input", value_name = "URL", env = "FAILSIFT_INPUT")]
    pub inputs: Vec<String>,
    #[expect(missing_docs, reason = "the help lists the formats")]
    #[arg(id = "source.format", long = "input-format", help = parse::format_help("Trace format"), value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT")]
    pub format: Option<String>,
    /// Traces to analyze: failed (an error status, a signal of a failure, or a negative annotation) or all [default: all]
    #[arg(id = "source.select", long = "select", value_name = "SELECT", value_enum, env = "FAILSIFT_SELECT")]
    pub select: Option<SelectMode>,
    /// Only traces that started at this time or later: 2026-11-23, 2026-11-23T09:00:00Z, or an age such as 90m, 24h, 7d
    #[arg(id = "source.since", long = "since", value_name = "TIME", env = "FAILSIFT_SINCE")]
    pub since: Option<String>,
    /// Only traces that started before this time
    #[arg(id = "source.until", long = "until", value_name = "TIME", env = "FAILSIFT_UNTIL")]
    pub until: Option<String>,
    /// Only traces of this service; can be repeated
    #[arg(id = "source.services", long = "service", value_name = "NAME", env = "FAILSIFT_SERVICE")]
    pub services: Vec<String>,
    /// Longest record; longer ones are rejected [default: 16777216]
    #[arg(id = "source.max_record_bytes", long = "max-record-bytes", value_name = "BYTES", env = "FAILSIFT_MAX_RECORD_BYTES")]
    pub max_record_bytes: Option<usize>,
    /// Memory for gathering spans into traces; beyond it they spill to TMPDIR [default: 96]
    #[arg(id = "source.memory_limit_mb", long = "memory-limit", value_name = "MB", value_parser = megabytes, env = "FAILSIFT_MEMORY_LIMIT")]
    pub memory_limit_mb: Option<usize>,
    /// Do not fail if an input contains no trace files
    #[arg(id = "source.allow_empty", long = "allow-empty", env = "FAILSIFT_ALLOW_EMPTY", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub allow_empty: Option<bool>,
    /// Read only objects that are new or changed since the last complete run of this pipeline
    #[arg(id = "source.since_last_run", long = "since-last-run", env = "FAILSIFT_SINCE_LAST_RUN", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub since_last_run: Option<bool>,
}

/// The section `[redact]`: what is redacted.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct RedactSection {
    /// File with the redaction key; `FAILSIFT_REDACTION_KEY` sets the key itself
    #[arg(id = "redact.key_file", long = "redaction-key-file", value_name = "FILE", env = "FAILSIFT_REDACTION_KEY_FILE")]
    pub key_file: Option<PathBuf>,
    /// File with custom detectors and allowed values; can be repeated
    #[arg(id = "redact.rules", long = "redaction-rules", value_name = "FILE", env = "FAILSIFT_REDACTION_RULES")]
    pub rules: Vec<PathBuf>,
    #[command(flatten)]
    #[serde(flatten)]
    #[expect(missing_docs, reason = "its text would replace the help of the command")]
    pub kinds: KindOptions,
    /// Excerpts of the trace in the evidence: short redacted ones, or none [default: short]
    #[arg(id = "redact.excerpts", long = "excerpts", value_name = "EXCERPTS", value_enum, env = "FAILSIFT_EXCERPTS")]
    pub excerpts: Option<Excerpts>,
    /// Insert known sensitive values into every trace, report how many were redacted, and exit with 3 if one was missed
    #[arg(id = "redact.canaries", long = "canaries", env = "FAILSIFT_CANARIES", num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub canaries: Option<bool>,
}

/// The section `[analyze]`: how traces are analyzed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct AnalyzeSection {
    /// Analyzer of the traces [default: embedded]
    #[arg(id = "analyze.analyzer", long = "analyzer", value_name = "ANALYZER", value_enum, env = "FAILSIFT_ANALYZER")]
    pub analyzer: Option<AnalyzerName>,
    /// File with custom rules, which add to the shipped ones or replace them; can be repeated
    #[arg(id = "analyze.rules", long = "rules", value_name = "FILE", env = "FAILSIFT_RULES")]
    pub rules: Vec<PathBuf>,
    /// Time budget of one trace in seconds, retries included [default: 10]
    #[arg(id = "analyze.trace_timeout_seconds", long = "trace-timeout", value_name = "SECONDS", value_parser = seconds, env = "FAILSIFT_TRACE_TIMEOUT")]
    pub trace_timeout_seconds: Option<f64>,
}

/// The section `[write]`: where the tables are, and when a run counts as failed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct WriteSection {
    /// Location of the tables, created if it does not exist
    #[arg(id = "write.output", long = "output", value_name = "URL", env = "FAILSIFT_OUTPUT")]
    pub output: Option<String>,
    /// Exit with 3 if a larger share of traces and records fails [default: 0.1]
    #[arg(id = "write.max_error_rate", long = "max-error-rate", value_name = "SHARE", value_parser = finite, env = "FAILSIFT_MAX_ERROR_RATE")]
    pub max_error_rate: Option<f64>,
    /// Commit finished patterns at this interval, such as 10m [default: at the end]
    #[arg(id = "write.commit_every", long = "commit-every", value_name = "TIME", value_parser = duration, env = "FAILSIFT_COMMIT_EVERY")]
    pub commit_every: Option<String>,
}

/// The section `[run]`: the limits of a run, and what it does about other runs.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct RunSection {
    /// Stop after this time, such as 2h, commit what is finished, and exit with 4 [default: no limit]
    #[arg(id = "run.max_duration", long = "max-duration", value_name = "TIME", value_parser = duration, env = "FAILSIFT_MAX_DURATION")]
    pub max_duration: Option<String>,
    /// Stop when more records and traces than this failed, commit what is finished, and exit with 3 [default: no limit]
    #[arg(id = "run.max_errors", long = "max-errors", value_name = "N", env = "FAILSIFT_MAX_ERRORS")]
    pub max_errors: Option<u64>,
    /// If another run of this pipeline into the same output is active: wait for it, skip this run, or fail [default: run beside it]
    #[arg(id = "run.if_running", long = "if-running", value_name = "ACTION", value_enum, env = "FAILSIFT_IF_RUNNING")]
    pub if_running: Option<IfRunning>,
}

/// The section `[telemetry]`: where metrics of the run go.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct TelemetrySection {
    /// File with metrics for Prometheus, replaced every 15 s and at the end, also of a failed run
    #[arg(id = "telemetry.metrics_file", long = "metrics-file", value_name = "FILE", env = "FAILSIFT_METRICS_FILE")]
    pub metrics_file: Option<PathBuf>,
    /// Address that serves metrics for Prometheus during the run, such as 127.0.0.1:9464 (feature telemetry)
    #[arg(id = "telemetry.metrics_listen", long = "metrics-listen", value_name = "ADDRESS", value_parser = address, env = "FAILSIFT_METRICS_LISTEN")]
    pub metrics_listen: Option<String>,
}

impl Pipeline {
    /// The defaults. A setting without one is not listed.
    pub(super) fn defaults() -> Self {
        Self {
            source: SourceSection {
                format: Some("auto".to_owned()),
                select: Some(SelectMode::All),
                max_record_bytes: Some(limits::RECORD_BYTES_MAX),
                memory_limit_mb: Some(limits::GATHER_MEMORY_BYTES >> 20),
                allow_empty: Some(false),
                since_last_run: Some(false),
                ..SourceSection::default()
            },
            redact: RedactSection {
                kinds: KindOptions { level: Some(RedactionLevel::Default), ..KindOptions::default() },
                excerpts: Some(Excerpts::Short),
                canaries: Some(false),
                ..RedactSection::default()
            },
            analyze: AnalyzeSection {
                analyzer: Some(AnalyzerName::Embedded),
                trace_timeout_seconds: Some(limits::TRACE_TIMEOUT.as_secs_f64()),
                ..AnalyzeSection::default()
            },
            model: ModelOptions {
                prompt_tokens: Some(limits::PROMPT_TOKENS_DEFAULT),
                output_tokens: Some(limits::OUTPUT_TOKENS_DEFAULT),
                concurrency: Some(limits::MODEL_CALLS_IN_FLIGHT_DEFAULT),
                ..ModelOptions::default()
            },
            links: BTreeMap::new(),
            write: WriteSection { max_error_rate: Some(limits::ERROR_RATE_MAX), ..WriteSection::default() },
            run: RunSection::default(),
            notify: NotifySection { when: Some(When::Always), titles: Some(false), ..NotifySection::default() },
            telemetry: TelemetrySection::default(),
        }
    }
}

/// Parses a number of megabytes.
fn megabytes(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number of MB"))
}

/// Parses a number that is neither infinite nor NaN, which JSON and TOML documents of settings cannot represent.
pub(super) fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|number: &f64| number.is_finite()).ok_or_else(|| format!("'{text}' is not a number"))
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds = text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?;
    timeout_from_seconds(seconds).map(|_| seconds)
}

fn duration(text: &str) -> Result<String, String> {
    parse_duration(text).map(|_| text.to_owned())
}

fn address(text: &str) -> Result<String, String> {
    parse_address(text).map(|_| text.to_owned())
}

/// Parses an IP address with a port.
pub(super) fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is not an IP address with a port, such as 127.0.0.1:9464"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::{Map, Value, json};

    use super::*;
    use crate::config::schema_check;
    use crate::schemas;

    /// The keys of the schema: section, key, and what the schema says about it.
    fn schema_keys() -> Vec<(String, String, Value)> {
        let schema: Value = serde_json::from_str(schemas::PIPELINE).unwrap();
        let sections = schema["properties"].as_object().unwrap().clone();
        let keys = |section: String, of: Value| {
            let keys = of["properties"].as_object().cloned().unwrap_or_default();
            keys.into_iter().map(move |(key, of)| (section.clone(), key, of))
        };
        sections.into_iter().flat_map(|(section, of)| keys(section, of)).collect()
    }

    fn keys_of(document: &Value) -> BTreeSet<(String, String)> {
        let sections = document.as_object().unwrap();
        let keys =
            |section: &String, keys: &Value| keys.as_object().unwrap().keys().map(|key| (section.clone(), key.clone())).collect::<Vec<_>>();
        sections.iter().flat_map(|(section, of)| keys(section, of)).collect()
    }

    #[test]
    fn the_schema_has_the_keys_and_defaults_of_the_structure() {
        let of_schema: BTreeSet<(String, String)> = schema_keys().into_iter().map(|(section, key, _)| (section, key)).collect();
        assert_eq!(of_schema, keys_of(&json!(Pipeline::default())));
        let defaults = json!(Pipeline::defaults());
        for (section, key, of) in schema_keys() {
            let default = &defaults[&section][&key];
            let is_set = !default.is_null() && default != &json!([]);
            let is_same = default == &of["default"] || default.as_f64().is_some_and(|number| of["default"].as_f64() == Some(number));
            assert!(if is_set { is_same } else { of.get("default").is_none() }, "[{section}] {key}: {default} is not {}", of["default"]);
            assert!(of["description"].as_str().is_some_and(|text| text.len() > 10), "[{section}] {key} has no description");
        }
    }

    #[test]
    fn a_value_that_the_schema_accepts_is_read() {
        for (section, key, of) in schema_keys() {
            let samples = match (of["enum"].as_array(), of["type"].as_str().unwrap()) {
                (Some(values), _) => values.clone(),
                (None, "string") => vec![json!("x")],
                (None, "array") => vec![json!(["x", "y"])],
                (None, "boolean") => vec![json!(true), json!(false)],
                (None, kind @ ("integer" | "number")) => {
                    let numbers = [&of["minimum"], &of["maximum"], &json!(7)];
                    let fits = |number: &&Value| kind == "number" || number.is_u64();
                    numbers.into_iter().filter(fits).filter(|number| !number.is_null()).cloned().collect()
                }
                (None, other) => panic!("[{section}] {key} has the type {other}"),
            };
            for sample in samples {
                let document = json!({ &section: { &key: sample } });
                let read: Pipeline =
                    serde_json::from_value(document.clone()).unwrap_or_else(|error| panic!("[{section}] {key} = {sample}: {error}"));
                let found = &json!(read)[&section][&key];
                assert!(
                    found == &sample || found.as_f64().is_some_and(|number| sample.as_f64() == Some(number)),
                    "[{section}] {key}: {found}"
                );
            }
        }
    }

    #[test]
    fn the_schema_has_the_ranges_of_the_limits() {
        let of = |section: &str, key: &str| schema_keys().into_iter().find(|(s, k, _)| s == section && k == key).unwrap().2;
        assert_eq!(of("model", "concurrency")["maximum"], limits::MODEL_CALLS_IN_FLIGHT_MAX);
        assert_eq!(of("model", "max_concurrency")["maximum"], limits::MODEL_CALLS_IN_FLIGHT_MAX);
        assert_eq!(of("model", "requests_per_minute")["maximum"], u32::MAX);
        assert_eq!(of("notify", "urls")["maxItems"], limits::NOTIFY_URLS_MAX);
        let timeout = of("analyze", "trace_timeout_seconds");
        for seconds in [&timeout["minimum"], &timeout["maximum"]] {
            assert!(timeout_from_seconds(seconds.as_f64().unwrap()).is_ok(), "{seconds}");
        }
    }

    #[test]
    fn every_mistake_of_a_document_is_found_once() {
        let document = |value: Value| value.as_object().cloned().unwrap_or_default();
        assert_eq!(schema_check::mistakes(&Map::new()), []);
        let wrong = document(json!({"source": {"select": 7, "inputs": "a"}, "model": {"concurrency": 0, "thinking": "hard"}, "writ": {}}));
        let mut found: Vec<String> = schema_check::mistakes(&wrong).into_iter().map(|mistake| format!("{mistake:?}")).collect();
        found.sort();
        for (found, expected) in found.iter().zip([
            "must be at least 1",
            "expected one of minimal, low",
            "expected a list, found a text",
            "expected a text, found a number",
            "did you mean 'write'?",
        ]) {
            assert!(found.contains(expected), "{expected} in {found}");
        }
        assert_eq!(found.len(), 5, "{found:#?}");
    }

    #[test]
    fn the_demo_pipeline_shows_every_key() {
        let demo = include_str!("../../pipelines/demo.toml");
        let mut section = "";
        let mut shown = BTreeSet::new();
        for line in demo.lines().map(|line| line.trim_start_matches("# ")) {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                section = name;
            } else if let Some((key, _)) = line.split_once(" = ") {
                shown.insert((section.to_owned(), key.to_owned()));
            }
        }
        for (section, key, _) in schema_keys().into_iter().filter(|(section, ..)| section != "model") {
            assert!(shown.contains(&(section.clone(), key.clone())), "pipelines/demo.toml lacks {key} in [{section}]");
        }
        assert!(demo.starts_with("#:schema "), "the comment by which editors find the schema");
    }
}
