//! The arguments that `run` and `plan` share: which traces to read and how to analyze them. Only collects what was given; `config` resolves it.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{self, AnalyzerName, Excerpts, ModelOptions, Overrides, SelectMode};
use crate::parse;
use crate::redact::KindOptions;

#[derive(Debug, clap::Args)]
pub(super) struct AnalysisArgs {
    /// Pipeline file; flags and FAILSIFT_* variables take precedence
    pipeline: Option<PathBuf>,
    /// Traces to read: a path, a glob, file://, s3://, gs://, az:// or https://; a prefix includes all objects below it; can be repeated
    #[arg(long = "input", value_name = "URL")]
    inputs: Vec<String>,
    #[arg(long, help = parse::format_help("Trace format"), value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT")]
    input_format: Option<String>,
    /// Traces to analyze: failed (an error status, a signal of a failure, or a negative annotation) or all [default: all]
    #[arg(long, value_enum, env = "FAILSIFT_SELECT")]
    select: Option<SelectMode>,
    /// Only traces that started at this time or later: 2026-11-23, 2026-11-23T09:00:00Z, or an age such as 90m, 24h, 7d
    #[arg(long, value_name = "TIME", env = "FAILSIFT_SINCE")]
    since: Option<String>,
    /// Only traces that started before this time
    #[arg(long, value_name = "TIME", env = "FAILSIFT_UNTIL")]
    until: Option<String>,
    /// Only traces of this service; can be repeated
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Analyzer of the traces [default: embedded]
    #[arg(long, value_enum, env = "FAILSIFT_ANALYZER")]
    analyzer: Option<AnalyzerName>,
    /// File with custom rules, which add to the shipped ones or replace them; can be repeated
    #[arg(long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Time budget of one trace in seconds, retries included [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "FAILSIFT_TRACE_TIMEOUT")]
    trace_timeout: Option<Duration>,
    /// Longest record; longer ones are rejected [default: 16777216]
    #[arg(long, value_name = "BYTES", env = "FAILSIFT_MAX_RECORD_BYTES")]
    max_record_bytes: Option<usize>,
    /// Memory for gathering spans into traces; beyond it they spill to TMPDIR [default: 96]
    #[arg(long, value_name = "MB", value_parser = super::megabytes, env = "FAILSIFT_MEMORY_LIMIT")]
    memory_limit: Option<usize>,
    /// File with the redaction key; `FAILSIFT_REDACTION_KEY` sets the key itself
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// File with custom detectors and allowed values; can be repeated
    #[arg(long = "redaction-rules", value_name = "FILE")]
    redaction_rules: Vec<PathBuf>,
    #[command(flatten)]
    redaction_kinds: KindOptions,
    /// Excerpts of the trace in the evidence: short redacted ones, or none [default: short]
    #[arg(long, value_enum, env = "FAILSIFT_EXCERPTS")]
    excerpts: Option<Excerpts>,
    /// Template of the link to a trace in its own tool, as `[FORMAT=]URL` with placeholders such as `{trace_id}`; can be repeated
    #[arg(long = "trace-url", value_name = "URL", env = "FAILSIFT_TRACE_URL")]
    trace_urls: Vec<String>,
    /// Insert known sensitive values into every trace, report how many were redacted, and exit with 3 if one was missed
    #[arg(long)]
    canaries: bool,
    /// Do not fail if an input contains no trace files
    #[arg(long, env = "FAILSIFT_ALLOW_EMPTY")]
    allow_empty: bool,
    /// Read only objects that are new or changed since the last complete run of this pipeline
    #[arg(long, env = "FAILSIFT_SINCE_LAST_RUN")]
    since_last_run: bool,
    #[command(flatten)]
    model: ModelOptions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    config::timeout_from_seconds(text.parse().map_err(|_| format!("'{text}' is not a number of seconds"))?)
}

impl AnalysisArgs {
    /// The pipeline file, and the arguments that override it.
    pub(super) fn into_overrides(self) -> (Option<PathBuf>, Overrides) {
        let given = Overrides {
            inputs: self.inputs,
            input_format: self.input_format,
            select: self.select,
            since: self.since,
            until: self.until,
            services: self.services,
            analyzer: self.analyzer,
            model: self.model,
            rules: self.rules,
            trace_timeout: self.trace_timeout,
            record_bytes_max: self.max_record_bytes,
            memory_bytes: self.memory_limit.map(|mb| mb.saturating_mul(1024 * 1024)),
            redaction_key_file: self.redaction_key_file,
            redaction_rules: self.redaction_rules,
            redaction_kinds: self.redaction_kinds,
            excerpts: self.excerpts,
            trace_urls: self.trace_urls,
            canaries: self.canaries,
            allow_empty: self.allow_empty,
            since_last_run: self.since_last_run,
            ..Overrides::default()
        };
        (self.pipeline, given)
    }
}
