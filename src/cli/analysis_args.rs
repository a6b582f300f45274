//! What `run` and `plan` have in common: which traces, and how they are analysed.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::{self, AnalyzerName, Excerpts, ModelOptions, Overrides, SelectMode};

#[derive(Debug, clap::Args)]
pub(super) struct AnalysisArgs {
    /// Pipeline file; flags and FAILSIFT_* variables override it
    pipeline: Option<PathBuf>,
    /// Where traces lie: a path, a glob, file://, s3://, gs://, az://, https://; a prefix means all below it
    #[arg(long = "input", value_name = "URL")]
    inputs: Vec<String>,
    /// auto, otlp, phoenix, langsmith, datadog, langfuse, failsift or chat
    #[arg(long, value_name = "NAME", env = "FAILSIFT_INPUT_FORMAT")]
    input_format: Option<String>,
    /// Which traces: failed (an error status, a sign of a failure, or a negative annotation) or all [default: all]
    #[arg(long, value_enum, env = "FAILSIFT_SELECT")]
    select: Option<SelectMode>,
    /// Only traces that started then or later: 2026-11-23, 2026-11-23T09:00:00Z, or how long ago: 90m, 24h, 7d
    #[arg(long, value_name = "TIME", env = "FAILSIFT_SINCE")]
    since: Option<String>,
    /// Only traces that started before
    #[arg(long, value_name = "TIME", env = "FAILSIFT_UNTIL")]
    until: Option<String>,
    /// Only traces of this service; may be given several times
    #[arg(long = "service", value_name = "NAME")]
    services: Vec<String>,
    /// Who analyses the traces [default: embedded]
    #[arg(long, value_enum, env = "FAILSIFT_ANALYZER")]
    analyzer: Option<AnalyzerName>,
    /// File with rules of your own beside the shipped ones; may be given several times
    #[arg(long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    /// Time budget of one trace in seconds, repeated requests included [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = seconds, env = "FAILSIFT_TRACE_TIMEOUT")]
    trace_timeout: Option<Duration>,
    /// Reject longer records [default: 16777216]
    #[arg(long, value_name = "BYTES", env = "FAILSIFT_MAX_RECORD_BYTES")]
    max_record_bytes: Option<usize>,
    /// Memory for gathering spans before they spill to TMPDIR [default: 96]
    #[arg(long, value_name = "MB", env = "FAILSIFT_MEMORY_LIMIT")]
    memory_limit: Option<usize>,
    /// File with the key that makes redaction tokens; `FAILSIFT_REDACTION_KEY` holds a key itself
    #[arg(long, value_name = "FILE")]
    redaction_key_file: Option<PathBuf>,
    /// File with detectors of your own and values to leave alone; may be given several times
    #[arg(long = "redaction-rules", value_name = "FILE")]
    redaction_rules: Vec<PathBuf>,
    /// What of a trace stands in the evidence: short redacted excerpts, or none [default: short]
    #[arg(long, value_enum, env = "FAILSIFT_EXCERPTS")]
    excerpts: Option<Excerpts>,
    /// Plant known sensitive values into every trace, say how many redaction found, exit with 3 where it missed one
    #[arg(long)]
    canaries: bool,
    /// Do not fail where an input holds no trace files
    #[arg(long, env = "FAILSIFT_ALLOW_EMPTY")]
    allow_empty: bool,
    #[command(flatten)]
    model: ModelOptions,
}

fn seconds(text: &str) -> Result<Duration, String> {
    config::timeout_from_seconds(text.parse().map_err(|_| format!("{text:?} is no number of seconds"))?)
}

impl AnalysisArgs {
    /// The pipeline file, and what was given beside it.
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
            excerpts: self.excerpts,
            canaries: self.canaries,
            allow_empty: self.allow_empty,
            ..Overrides::default()
        };
        (self.pipeline, given)
    }
}
