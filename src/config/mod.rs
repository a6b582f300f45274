//! Resolves flags, environment variables and the pipeline file into one [`RunConfig`].
//!
//! Flags override the environment, which overrides the file, which overrides the defaults. `pipeline` lists the settings, `resolver` lays these
//! layers over each other and records the [`Origin`] of each value, and `resolve` makes the configuration of it. Paths and URLs are not opened
//! here, except the pipeline file and the price file.

mod model_options;
mod notify;
mod origin;
mod pipeline;
mod pipeline_file;
mod resolve;
mod resolver;
mod schema_check;
mod times;
mod variables;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::model_options::{Fallback, ModelOptions};
pub use self::notify::{NotifySection, NotifyUrl};
pub use self::origin::{Origin, Origins};
pub use self::pipeline::{AnalyzeSection, Pipeline, RedactSection, RunSection, SourceSection, TelemetrySection, WriteSection};
pub use self::resolve::COMMAND_LINE;
pub use self::resolver::{Given, Resolution, Setting};
pub use self::times::{parse_duration, parse_time, timeout_from_seconds};
pub use self::variables::VariableOptions;
use crate::analyze::Links;
use crate::analyze::llm::{Provider, Settings};
use crate::notify::NotifyConfig;
use crate::redact::KindOptions;
use crate::select::Selection;

/// The configuration of a run, with every value resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// Input, redaction and analysis.
    pub analysis: AnalysisConfig,
    /// Path or URL of the tables.
    pub output: String,
    /// Largest share of failed traces and records, from 0 to 1; beyond it the exit code is 3.
    pub error_rate_max: f64,
    /// Whether to ignore finished work of an interrupted run.
    pub fresh: bool,
    /// Whether to ask a model again about unchanged traces.
    pub force: bool,
    /// Interval of partial commits; `None` commits at the end only.
    pub commit_every: Option<Duration>,
    /// What to do if another run of the pipeline into the same output is active; `None` runs beside it.
    pub if_running: Option<IfRunning>,
    /// Longest time of the run; beyond it the run stops and commits what is finished.
    pub duration_max: Option<Duration>,
    /// Most records and traces that may fail; beyond it the run stops.
    pub errors_max: Option<u64>,
    /// Who is notified of the end of the run.
    pub notify: NotifyConfig,
    /// File with metrics of the run.
    pub metrics_file: Option<PathBuf>,
    /// Address that serves metrics during the run.
    pub metrics_listen: Option<SocketAddr>,
}

/// The configuration of the stages before the writer: input, redaction, analysis.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisConfig {
    /// Name of the pipeline, for the column `pipeline` of `runs`.
    pub pipeline: String,
    /// Paths and URLs of the traces; at least one.
    pub inputs: Vec<String>,
    /// `auto`, or the name of an input format.
    pub input_format: String,
    /// Which traces are analyzed.
    pub selection: Selection,
    /// The analyzer.
    pub analyzer: AnalyzerName,
    /// Model settings; unused by the embedded analyzer.
    pub model: Settings,
    /// Files with the user's rules.
    pub rules: Vec<PathBuf>,
    /// Time budget of one trace for redaction and analysis, retries included.
    pub trace_timeout: Duration,
    /// Largest record in bytes; longer ones are rejected.
    pub record_bytes_max: usize,
    /// Memory for gathering in bytes, before it spills to disk.
    pub memory_bytes: usize,
    /// Source of the redaction key.
    pub redaction_key: KeySource,
    /// Files with the user's detectors and allowed values.
    pub redaction_rules: Vec<PathBuf>,
    /// Which kinds of values are redacted.
    pub redaction_kinds: KindOptions,
    /// Whether evidence quotes the trace.
    pub excerpts: Excerpts,
    /// Templates of the links to traces in their own tools.
    pub links: Links,
    /// Whether an input without trace files is acceptable.
    pub allow_empty: bool,
    /// Whether to plant known sensitive values into each trace to measure redaction.
    pub canaries: bool,
    /// Whether to read only objects that are new or changed since the last complete run of the pipeline.
    pub since_last_run: bool,
}

/// An analyzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AnalyzerName {
    /// Deterministic rules; no network, no key
    #[default]
    Embedded,
    /// Google Gemini: needs `GEMINI_API_KEY`, or Vertex AI
    Gemini,
    /// OpenAI or a compatible server (vLLM, llama.cpp, Ollama, LiteLLM): needs `OPENAI_API_KEY` or `OPENAI_BASE_URL`
    Openai,
}

impl AnalyzerName {
    /// The name in flags, pipeline files and the column `analyzer`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Gemini => "gemini",
            Self::Openai => "openai",
        }
    }

    /// The provider of the model; `None` for the embedded analyzer.
    pub fn provider(self) -> Option<Provider> {
        match self {
            Self::Embedded => None,
            Self::Gemini => Some(Provider::Gemini),
            Self::Openai => Some(Provider::OpenAi),
        }
    }
}

/// What to do if another run of the same pipeline is active.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum IfRunning {
    /// Wait until it ends
    Wait,
    /// Do nothing, and exit with 0
    Skip,
    /// Exit with 1
    Fail,
}

/// Which traces are analyzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SelectMode {
    /// Traces with an error status, a signal of a failure, or a negative annotation
    Failed,
    /// All traces
    #[default]
    All,
}

/// Whether the evidence of a pattern quotes its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Excerpts {
    /// Signals and short redacted excerpts
    #[default]
    Short,
    /// Signals only
    None,
}

impl Excerpts {
    /// The name in flags and pipeline files.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::None => "none",
        }
    }
}

/// Source of the redaction key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The environment variable `FAILSIFT_REDACTION_KEY`.
    Environment,
    /// A file given by the user.
    File(PathBuf),
    /// A file in the user's configuration folder, created if it does not exist.
    User,
}

impl KeySource {
    /// The given file, or else the environment variable if it is set, or else the user's configuration folder.
    pub fn resolve(file: Option<PathBuf>, key_in_environment: bool) -> Self {
        match file {
            Some(path) => Self::File(path),
            None if key_in_environment => Self::Environment,
            None => Self::User,
        }
    }
}

/// An invalid configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The pipeline file cannot be read.
    #[error("cannot read the pipeline file {}: {reason}\n  hint: give the path of a pipeline file, or --input and --output without one", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// The pipeline file is not valid TOML or has an unknown key.
    #[error("cannot use the pipeline file {}: {reason}\n  hint: pipelines/demo.toml shows every section and key, and `failsift schema pipeline` describes them", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Line, key and cause.
        reason: String,
    },
    /// The price file cannot be read.
    #[error("cannot read the price file {}: {reason}\n  hint: data/prices.toml is an example", path.display())]
    PricesUnreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        reason: std::io::Error,
    },
    /// No input was given.
    #[error("no input given\n  hint: pass --input PATH_OR_URL, or a pipeline file with [source] inputs = [\"...\"]")]
    NoInput,
    /// No output was given.
    #[error("no output given\n  hint: pass --output PATH_OR_URL, or a pipeline file with [write] output = \"...\"")]
    NoOutput,
    /// A value is out of range or cannot be parsed.
    #[error("{0}")]
    InvalidValue(String),
}

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);
