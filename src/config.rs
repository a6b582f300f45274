//! Resolves flags, environment variables and the pipeline file into one [`RunConfig`].
//!
//! Flags override the environment, which overrides the file, which overrides the defaults. Paths and URLs are not opened here, except the
//! pipeline file and the price file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::analyze::llm::{Provider, Settings, Thinking};
use crate::limits;
use crate::select::Selection;
use crate::{messages, text_file};

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
    /// Whether evidence quotes the trace.
    pub excerpts: Excerpts,
    /// Whether an input without trace files is acceptable.
    pub allow_empty: bool,
    /// Whether to plant known sensitive values into each trace to measure redaction.
    pub canaries: bool,
}

/// An analyzer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AnalyzerName {
    /// Deterministic rules; no network, no key
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

/// The analyzer for traces that the model could not analyze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The embedded analyzer
    Embedded,
}

/// Heading of the model flags in help texts. `next_help_heading` would also move the flags of the command that follow.
const MODEL_HEADING: &str = "Model options (gemini, openai)";

/// Model settings: flags, and the section `[model]` of a pipeline file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
pub struct ModelOptions {
    /// Name of the model [default: gemini-3.5-flash; for openai the only model of the server]
    #[arg(help_heading = MODEL_HEADING, long = "model", value_name = "NAME", env = "FAILSIFT_MODEL")]
    pub name: Option<String>,
    /// Base URL of the API [default: `GOOGLE_GEMINI_BASE_URL`, `OPENAI_BASE_URL`, or the provider's URL]
    #[arg(help_heading = MODEL_HEADING, long, value_name = "URL")]
    pub base_url: Option<String>,
    /// Thinking effort of the model; thinking is billed like the answer [default: low for gemini]
    #[arg(help_heading = MODEL_HEADING, long, value_enum)]
    pub thinking: Option<Thinking>,
    /// Approximate maximum of model tokens in a question; longer traces are shortened [default: 12000]
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N")]
    pub prompt_tokens: Option<usize>,
    /// Maximum of model tokens in an answer, including thinking [default: 4096]
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N")]
    pub output_tokens: Option<u64>,
    /// Traces in flight; reduced while the provider is slow or overloaded [default: 8]
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N", env = "FAILSIFT_CONCURRENCY")]
    pub concurrency: Option<usize>,
    /// Maximum of traces in flight while the provider is fast [default: --concurrency]
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N")]
    pub max_concurrency: Option<usize>,
    /// Maximum of requests per minute
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: Option<u32>,
    /// Maximum of model tokens per minute, input and output
    #[arg(help_heading = MODEL_HEADING, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens_per_minute: Option<u32>,
    /// Maximum cost of the run in US dollars; the run stops with exit code 4 before exceeding it
    #[arg(help_heading = MODEL_HEADING, long = "max-cost", value_name = "USD", env = "FAILSIFT_MAX_COST")]
    pub max_cost_usd: Option<f64>,
    /// File with prices that override those in data/prices.toml
    #[arg(help_heading = MODEL_HEADING, long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Analyzer for traces that the model could not analyze; without it they are errors
    #[arg(help_heading = MODEL_HEADING, long, value_enum)]
    pub fallback: Option<Fallback>,
}

impl ModelOptions {
    /// Takes each missing value from the pipeline file.
    fn or(self, file: Self) -> Self {
        Self {
            name: self.name.or(file.name),
            base_url: self.base_url.or(file.base_url),
            thinking: self.thinking.or(file.thinking),
            prompt_tokens: self.prompt_tokens.or(file.prompt_tokens),
            output_tokens: self.output_tokens.or(file.output_tokens),
            concurrency: self.concurrency.or(file.concurrency),
            max_concurrency: self.max_concurrency.or(file.max_concurrency),
            requests_per_minute: self.requests_per_minute.or(file.requests_per_minute),
            tokens_per_minute: self.tokens_per_minute.or(file.tokens_per_minute),
            max_cost_usd: self.max_cost_usd.or(file.max_cost_usd),
            prices: self.prices.or(file.prices),
            fallback: self.fallback.or(file.fallback),
        }
    }

    fn into_settings(self) -> Result<Settings, ConfigError> {
        const PROMPT_TOKENS_MIN: usize = 6_000;
        const OUTPUT_TOKENS_MIN: u64 = 256;
        let invalid = |reason: String| Err(ConfigError::InvalidValue(reason));
        let concurrency = self.concurrency.unwrap_or(limits::MODEL_CALLS_IN_FLIGHT_DEFAULT);
        let settings = Settings {
            model: self.name,
            base_url: self.base_url,
            thinking: self.thinking,
            prompt_tokens: self.prompt_tokens.unwrap_or(limits::PROMPT_TOKENS_DEFAULT),
            output_tokens: self.output_tokens.unwrap_or(limits::OUTPUT_TOKENS_DEFAULT),
            concurrency,
            concurrency_max: self.max_concurrency.unwrap_or(concurrency),
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            cost_max_usd: self.max_cost_usd,
            prices: self
                .prices
                .map(|path| text_file::read(&path).map_err(|reason| ConfigError::PricesUnreadable { path, reason }))
                .transpose()?,
            falls_back: self.fallback.is_some(),
        };
        if !(1..=limits::MODEL_CALLS_IN_FLIGHT_MAX).contains(&settings.concurrency) {
            return invalid(format!("invalid --concurrency: must be between 1 and {}", limits::MODEL_CALLS_IN_FLIGHT_MAX));
        }
        if !(settings.concurrency..=limits::MODEL_CALLS_IN_FLIGHT_MAX).contains(&settings.concurrency_max) {
            return invalid(format!("invalid --max-concurrency: must be between --concurrency and {}", limits::MODEL_CALLS_IN_FLIGHT_MAX));
        }
        if settings.prompt_tokens < PROMPT_TOKENS_MIN {
            return invalid(format!(
                "invalid --prompt-tokens: must be at least {PROMPT_TOKENS_MIN}; the instructions alone take about 3000"
            ));
        }
        if settings.output_tokens < OUTPUT_TOKENS_MIN {
            return invalid(format!("invalid --output-tokens: must be at least {OUTPUT_TOKENS_MIN}; an answer takes about 400"));
        }
        if settings.cost_max_usd.is_some_and(|cost| !(0.0..1e6).contains(&cost)) {
            return invalid("invalid --max-cost: must be an amount in US dollars, 0 or more".into());
        }
        Ok(settings)
    }
}

/// Which traces are analyzed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SelectMode {
    /// Traces with an error status, a signal of a failure, or a negative annotation
    Failed,
    /// All traces
    All,
}

/// Whether the evidence of a pattern quotes its trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
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

/// Values from the command line and the environment; missing ones come from the pipeline file or the defaults.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of RunConfig")]
#[expect(clippy::struct_excessive_bools, reason = "independent command-line flags")]
pub struct Overrides {
    pub inputs: Vec<String>,
    pub output: Option<String>,
    pub input_format: Option<String>,
    pub select: Option<SelectMode>,
    pub since: Option<String>,
    pub until: Option<String>,
    pub services: Vec<String>,
    pub analyzer: Option<AnalyzerName>,
    pub model: ModelOptions,
    pub rules: Vec<PathBuf>,
    pub trace_timeout: Option<Duration>,
    pub record_bytes_max: Option<usize>,
    pub memory_bytes: Option<usize>,
    pub redaction_key_file: Option<PathBuf>,
    pub redaction_rules: Vec<PathBuf>,
    pub excerpts: Option<Excerpts>,
    pub canaries: bool,
    pub allow_empty: bool,
    pub error_rate_max: Option<f64>,
    pub fresh: bool,
    pub force: bool,
    pub commit_every: Option<Duration>,
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
    /// The pipeline file is not valid TOML or has an unknown key or value.
    #[error("cannot use the pipeline file {}: {reason}\n  hint: pipelines/demo.toml shows every section and key", path.display())]
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct PipelineFile {
    source: SourceSection,
    redact: RedactSection,
    analyze: AnalyzeSection,
    model: ModelOptions,
    write: WriteSection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SourceSection {
    inputs: Vec<String>,
    format: Option<String>,
    select: Option<SelectMode>,
    since: Option<String>,
    until: Option<String>,
    services: Vec<String>,
    max_record_bytes: Option<usize>,
    memory_limit_mb: Option<usize>,
    allow_empty: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RedactSection {
    key_file: Option<PathBuf>,
    rules: Vec<PathBuf>,
    excerpts: Option<Excerpts>,
    canaries: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AnalyzeSection {
    analyzer: Option<AnalyzerName>,
    rules: Vec<PathBuf>,
    trace_timeout_seconds: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct WriteSection {
    output: Option<String>,
    max_error_rate: Option<f64>,
    commit_every: Option<String>,
}

impl RunConfig {
    /// Resolves the configuration of a run. `key_in_environment`: whether `FAILSIFT_REDACTION_KEY` is set.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(file: Option<&Path>, overrides: Overrides, key_in_environment: bool) -> Result<Self, ConfigError> {
        let (output, error_rate, commit_every) = (overrides.output.clone(), overrides.error_rate_max, overrides.commit_every);
        let (fresh, force) = (overrides.fresh, overrides.force);
        let (analysis, write) = AnalysisConfig::resolve_sections(file, overrides, key_in_environment)?;
        let error_rate_max = error_rate.or(write.max_error_rate).unwrap_or(limits::ERROR_RATE_MAX);
        if !(0.0..=1.0).contains(&error_rate_max) {
            let name = setting_name(file, error_rate.is_some(), "--max-error-rate", "[write] max_error_rate");
            return Err(ConfigError::InvalidValue(format!("invalid {name}: must be between 0 and 1 (0.1 means 10 %)")));
        }
        let commit_every = match (commit_every, write.commit_every) {
            (None, Some(text)) => {
                let name = setting_name(file, false, "--commit-every", "[write] commit_every");
                Some(parse_duration(&text).map_err(|error| ConfigError::InvalidValue(format!("{name}: {error}")))?)
            }
            (from_flag, _) => from_flag,
        };
        Ok(Self { analysis, output: output.or(write.output).ok_or(ConfigError::NoOutput)?, error_rate_max, fresh, force, commit_every })
    }
}

impl AnalysisConfig {
    /// Resolves the configuration of a command that writes no tables.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(file: Option<&Path>, overrides: Overrides, key_in_environment: bool) -> Result<Self, ConfigError> {
        Ok(Self::resolve_sections(file, overrides, key_in_environment)?.0)
    }

    /// Resolves the configuration of a command that may read tables, and the location of the tables if one is given.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve_for_plan(
        file: Option<&Path>,
        overrides: Overrides,
        output: Option<String>,
        key_in_environment: bool,
    ) -> Result<(Self, Option<String>), ConfigError> {
        let (analysis, write) = Self::resolve_sections(file, overrides, key_in_environment)?;
        Ok((analysis, output.or(write.output)))
    }

    fn resolve_sections(file: Option<&Path>, overrides: Overrides, key_in_environment: bool) -> Result<(Self, WriteSection), ConfigError> {
        let pipeline = pipeline_name(file);
        let PipelineFile { source, redact, analyze, model, write } = file.map(read_pipeline_file).transpose()?.unwrap_or_default();
        let inputs = non_empty_or(overrides.inputs, source.inputs);
        if inputs.is_empty() {
            return Err(ConfigError::NoInput);
        }
        let now = chrono::Utc::now();
        let since = setting_name(file, overrides.since.is_some(), "--since", "[source] since");
        let until = setting_name(file, overrides.until.is_some(), "--until", "[source] until");
        let selection = Selection {
            failed_only: overrides.select.or(source.select) == Some(SelectMode::Failed),
            since_ns: parse_bound(&since, overrides.since.or(source.since), now)?,
            until_ns: parse_bound(&until, overrides.until.or(source.until), now)?,
            services: non_empty_or(overrides.services, source.services),
        };
        // A key in the environment overrides the key file of the pipeline file, but not the flag.
        let key_file = overrides.redaction_key_file.or(if key_in_environment { None } else { redact.key_file });
        let memory_limit = setting_name(file, overrides.memory_bytes.is_some(), "--memory-limit", "[source] memory_limit_mb");
        let max_record_bytes = setting_name(file, overrides.record_bytes_max.is_some(), "--max-record-bytes", "[source] max_record_bytes");
        let trace_timeout = setting_name(file, false, "--trace-timeout", "[analyze] trace_timeout_seconds");
        let memory_bytes = overrides.memory_bytes.or(source.memory_limit_mb.map(|mb| mb.saturating_mul(1024 * 1024)));
        let config = Self {
            pipeline,
            inputs,
            input_format: overrides.input_format.or(source.format).unwrap_or_else(|| "auto".into()),
            selection,
            analyzer: overrides.analyzer.or(analyze.analyzer).unwrap_or(AnalyzerName::Embedded),
            model: overrides.model.or(model).into_settings()?,
            rules: non_empty_or(overrides.rules, analyze.rules),
            trace_timeout: match (overrides.trace_timeout, analyze.trace_timeout_seconds) {
                (Some(timeout), _) => timeout,
                (None, Some(seconds)) => {
                    timeout_from_seconds(seconds).map_err(|error| ConfigError::InvalidValue(format!("{trace_timeout}: {error}")))?
                }
                (None, None) => limits::TRACE_TIMEOUT,
            },
            record_bytes_max: overrides.record_bytes_max.or(source.max_record_bytes).unwrap_or(limits::RECORD_BYTES_MAX),
            memory_bytes: memory_bytes.unwrap_or(limits::GATHER_MEMORY_BYTES),
            redaction_key: KeySource::resolve(key_file, key_in_environment),
            redaction_rules: non_empty_or(overrides.redaction_rules, redact.rules),
            excerpts: overrides.excerpts.or(redact.excerpts).unwrap_or_default(),
            canaries: overrides.canaries || redact.canaries,
            allow_empty: overrides.allow_empty || source.allow_empty,
        };
        config.check_ranges(&memory_limit, &max_record_bytes)?;
        Ok((config, write))
    }

    /// `memory_limit` and `max_record_bytes` are the names of these settings in messages.
    fn check_ranges(&self, memory_limit: &str, max_record_bytes: &str) -> Result<(), ConfigError> {
        // Sorting the spans needs this much.
        const MEMORY_BYTES_MIN: usize = 32 * 1024 * 1024;
        const RECORD_BYTES_MIN: usize = 1_024;
        if self.memory_bytes < MEMORY_BYTES_MIN {
            return Err(ConfigError::InvalidValue(format!("invalid {memory_limit}: must be at least 32 (MB)")));
        }
        if self.record_bytes_max < RECORD_BYTES_MIN {
            return Err(ConfigError::InvalidValue(format!("invalid {max_record_bytes}: must be at least 1024")));
        }
        if let (Some(since), Some(until)) = (self.selection.since_ns, self.selection.until_ns)
            && since >= until
        {
            return Err(ConfigError::InvalidValue("invalid time range: --since must be before --until".into()));
        }
        Ok(())
    }
}

/// The name of the pipeline file without its extension.
fn pipeline_name(file: Option<&Path>) -> String {
    let Some(path) = file else { return "command line".to_owned() };
    path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned())
}

fn non_empty_or<T>(values: Vec<T>, default: Vec<T>) -> Vec<T> {
    if values.is_empty() { default } else { values }
}

/// The name of a setting in messages: the flag or, if the pipeline file sets it, its key and the file.
fn setting_name(file: Option<&Path>, is_flag_given: bool, flag: &str, key: &str) -> String {
    match file.filter(|_| !is_flag_given) {
        Some(path) => format!("{key} in {}", path.display()),
        None => flag.to_owned(),
    }
}

fn parse_bound(name: &str, text: Option<String>, now: chrono::DateTime<chrono::Utc>) -> Result<Option<i64>, ConfigError> {
    let time = text.map(|text| parse_time(&text, now)).transpose();
    time.map_err(|error| ConfigError::InvalidValue(format!("{name}: {error}")))
}

/// Parses a point in time to nanoseconds since 1970: RFC 3339, a date (midnight UTC), or an age such as `24h` or `7d`.
///
/// # Errors
/// A message with a hint that shows valid times.
pub fn parse_time(text: &str, now: chrono::DateTime<chrono::Utc>) -> Result<i64, String> {
    let invalid =
        || format!("invalid time '{text}'\n  hint: use a date (2026-11-23), a time (2026-11-23T09:00:00Z) or an age (90m, 24h, 7d)");
    let age = || parse_duration(text).ok().and_then(|age| now.checked_sub_signed(chrono::TimeDelta::from_std(age).ok()?));
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc());
    let exact = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    age().or_else(date).or_else(exact).and_then(|time| time.timestamp_nanos_opt()).ok_or_else(invalid)
}

/// Parses a duration: `30s`, `90m`, `24h`, `7d`, `2w`, `1h 30m`.
///
/// # Errors
/// A message with a hint that shows valid durations.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    // humantime takes a bare 0, which elsewhere may be a version or a count.
    let has_unit = text.ends_with(|c: char| !c.is_ascii_digit());
    let parsed = humantime::parse_duration(text.strip_prefix('+').unwrap_or(text)).ok().filter(|_| has_unit);
    parsed.ok_or_else(|| format!("invalid duration '{text}'\n  hint: use a number and a unit: 30s, 90m, 24h, 7d, 2w"))
}

/// Converts a timeout in seconds from flags and files.
///
/// # Errors
/// A message if the timeout is out of range.
pub fn timeout_from_seconds(seconds: f64) -> Result<Duration, String> {
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(format!("invalid timeout of {seconds} s: must be between 0.001 and 86400 s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn read_pipeline_file(path: &Path) -> Result<PipelineFile, ConfigError> {
    let text = text_file::read(path).map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed { path: path.to_owned(), reason: messages::toml_error(&text, &error) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::with_suffix(".toml").unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn flags_override_the_file_and_the_file_the_defaults() {
        let file = file("[source]\ninputs = ['a']\nformat = 'otlp'\n[analyze]\ntrace_timeout_seconds = 2\n[write]\noutput = 'out'\n");
        let config = RunConfig::resolve(Some(file.path()), Overrides::default(), false).unwrap();
        let analysis = config.analysis;
        assert_eq!(
            (analysis.inputs.as_slice(), config.output.as_str(), analysis.input_format.as_str()),
            (["a".to_owned()].as_slice(), "out", "otlp")
        );
        assert_eq!((analysis.trace_timeout, analysis.record_bytes_max), (Duration::from_secs(2), limits::RECORD_BYTES_MAX));
        let overrides = Overrides { inputs: vec!["b".into()], trace_timeout: Some(Duration::from_secs(5)), ..Overrides::default() };
        let config = RunConfig::resolve(Some(file.path()), overrides, true).unwrap().analysis;
        assert_eq!(
            (config.inputs[0].as_str(), config.trace_timeout, config.redaction_key),
            ("b", Duration::from_secs(5), KeySource::Environment)
        );
    }

    #[test]
    fn a_time_is_a_date_an_exact_time_or_an_age() {
        let now = chrono::DateTime::from_timestamp(1_795_424_400, 0).unwrap();
        let seconds = |text: &str| parse_time(text, now).map(|time| time / 1_000_000_000);
        assert_eq!(seconds("24h"), Ok(1_795_424_400 - 86_400));
        assert_eq!(seconds("1h 30m"), Ok(1_795_424_400 - 5_400));
        assert_eq!(seconds("2026-11-23"), Ok(1_795_392_000));
        assert_eq!(seconds("2026-11-23T10:00:00+01:00"), Ok(1_795_424_400));
        for text in ["yesterday", "", "\u{e9}", "0", "12", "h", "-1h", "4294967295w", "2026-13-01"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(seconds("yesterday").unwrap_err().starts_with("invalid time 'yesterday'\n  hint: "));
    }

    #[test]
    fn every_unit_from_seconds_to_weeks_is_a_duration() {
        for (text, seconds) in
            [("0s", 0), ("30s", 30), ("90m", 5_400), ("24h", 86_400), ("+7d", 7 * 86_400), ("2w", 14 * 86_400), ("007m", 420)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        // The largest number that was ever accepted.
        assert_eq!(parse_duration("4294967295w"), Ok(Duration::from_hours(4_294_967_295 * 7 * 24)));
        for text in ["", "0", "5", "h", "-1h", "1.5x", "s1", "++1s", "1h-30m"] {
            assert_eq!(parse_duration(text).unwrap_err().lines().next(), Some(format!("invalid duration '{text}'").as_str()));
        }
    }

    #[test]
    fn mistakes_are_reported_with_their_remedy() {
        let error_in = |text: &str| RunConfig::resolve(Some(file(text).path()), Overrides::default(), false).unwrap_err().to_string();
        let error = error_in("[source]\ninput = ['a']\n");
        assert!(error.contains(": line 2: unknown key 'input'; did you mean 'inputs'?\n  hint: pipelines/demo.toml"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\n[analyze]\nanalyzer = 'embeded'\n");
        assert!(error.contains(": line 4: unknown value 'embeded'; did you mean 'embedded'?"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\n[write]\noutput = 'out'\ncommit_every = 'often'\n");
        assert!(error.starts_with("[write] commit_every in ") && error.contains(".toml: invalid duration 'often'"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\nsince = 'yesterday'\n");
        assert!(error.starts_with("[source] since in ") && error.contains(".toml: invalid time 'yesterday'"), "{error}");
        let error = error_in("[source]\ninputs = ['a']\nmemory_limit_mb = 1\n");
        assert!(error.starts_with("invalid [source] memory_limit_mb in ") && error.ends_with(": must be at least 32 (MB)"), "{error}");
        let since = Overrides { inputs: vec!["a".into()], since: Some("yesterday".into()), ..Overrides::default() };
        let error = RunConfig::resolve(Some(file("[source]\nsince = '1h'\n").path()), since, false).unwrap_err().to_string();
        assert!(error.starts_with("--since: invalid time 'yesterday'"), "{error}");
        assert!(matches!(RunConfig::resolve(None, Overrides::default(), false), Err(ConfigError::NoInput)));
        let no_output = Overrides { inputs: vec!["a".into()], ..Overrides::default() };
        assert!(matches!(RunConfig::resolve(None, no_output, false), Err(ConfigError::NoOutput)));
    }
}
