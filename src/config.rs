//! Flags, environment and pipeline file -> [`RunConfig`], in which nothing is left to decide.
//!
//! Flags override the environment, which overrides the file, which overrides the defaults.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::analyze::llm::{Provider, Settings, Thinking};
use crate::limits;
use crate::select::Selection;
use crate::text_file;

/// Everything that a run needs to know.
#[derive(Debug, Clone, PartialEq)]
pub struct RunConfig {
    /// What is read and how it is analysed.
    pub analysis: AnalysisConfig,
    /// Where the tables lie.
    pub output: String,
    /// Exit with 3 where a larger share of what was received failed.
    pub error_rate_max: f64,
    /// Whether work that a killed run over the same input had finished is done again.
    pub fresh: bool,
    /// Whether what has a pattern of the same settings already is paid for again.
    pub force: bool,
    /// Makes finished patterns visible this often, and not only at the end.
    pub commit_every: Option<Duration>,
}

/// Everything up to the writer: what is read, and how it is analysed.
#[derive(Debug, Clone, PartialEq)]
pub struct AnalysisConfig {
    /// Name of the pipeline, for the `runs` table.
    pub pipeline: String,
    /// Where traces lie; at least one.
    pub inputs: Vec<String>,
    /// `auto`, or the name of a format.
    pub input_format: String,
    /// Which traces are looked at.
    pub selection: Selection,
    /// Who analyses.
    pub analyzer: AnalyzerName,
    /// How a model is asked, where one is.
    pub model: Settings,
    /// Files of rules beside the shipped ones.
    pub rules: Vec<PathBuf>,
    /// Time that one trace may take in the analyzer.
    pub trace_timeout: Duration,
    /// Lines over this are rejected.
    pub record_bytes_max: usize,
    /// Memory for gathering before it spills.
    pub memory_bytes: usize,
    /// Where the redaction key comes from.
    pub redaction_key: KeySource,
    /// Files with detectors and allowed values beside the shipped ones.
    pub redaction_rules: Vec<PathBuf>,
    /// What of a trace stands in the evidence.
    pub excerpts: Excerpts,
    /// Whether an input without trace files is no failure.
    pub allow_empty: bool,
    /// Whether known values are planted into every trace to measure redaction.
    pub canaries: bool,
}

/// The analyzers of this build.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum AnalyzerName {
    /// Deterministic rules, no network, no key.
    Embedded,
    /// Google's Gemini: `GEMINI_API_KEY`, or Vertex AI
    Gemini,
    /// OpenAI, and everything that speaks like it (vLLM, llama.cpp, Ollama, LiteLLM): `OPENAI_API_KEY`, `OPENAI_BASE_URL`
    Openai,
}

impl AnalyzerName {
    /// The word in flags, files and the `analyzer` column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Embedded => "embedded",
            Self::Gemini => "gemini",
            Self::Openai => "openai",
        }
    }

    /// The provider of the model that is asked; nothing where none is.
    pub fn provider(self) -> Option<Provider> {
        match self {
            Self::Embedded => None,
            Self::Gemini => Some(Provider::Gemini),
            Self::Openai => Some(Provider::OpenAi),
        }
    }
}

/// Who takes what a model could not analyse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The embedded analyzer; the row says so.
    Embedded,
}

/// How a model is asked, in the words of flags and of the section `[model]` of a pipeline file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, clap::Args)]
#[serde(deny_unknown_fields, default)]
#[command(next_help_heading = "Asking a model (gemini, openai)")]
pub struct ModelOptions {
    /// Name of the model [default: gemini-3.5-flash; for openai the one that the server has]
    #[arg(long = "model", value_name = "NAME", env = "FAILSIFT_MODEL")]
    pub name: Option<String>,
    /// Where requests go [default: `GOOGLE_GEMINI_BASE_URL`, `OPENAI_BASE_URL`, or the provider's own place]
    #[arg(long, value_name = "URL")]
    pub base_url: Option<String>,
    /// How much the model thinks before it answers; thoughts are paid like the answer [default: low for gemini]
    #[arg(long, value_enum)]
    pub thinking: Option<Thinking>,
    /// Tokens of a question, about; a trace that is longer is cut [default: 12000]
    #[arg(long, value_name = "N")]
    pub prompt_tokens: Option<usize>,
    /// Tokens of an answer at most, thoughts included [default: 4096]
    #[arg(long, value_name = "N")]
    pub output_tokens: Option<u64>,
    /// Traces at once; fewer while the provider is slow or refuses [default: 8]
    #[arg(long, value_name = "N", env = "FAILSIFT_CONCURRENCY")]
    pub concurrency: Option<usize>,
    /// Traces at once while the provider is fast [default: as --concurrency]
    #[arg(long, value_name = "N")]
    pub max_concurrency: Option<usize>,
    /// Requests a minute at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute at most, in and out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub tokens_per_minute: Option<u32>,
    /// US dollars that the run may spend; stops with exit code 4 before it spends more
    #[arg(long = "max-cost", value_name = "USD", env = "FAILSIFT_MAX_COST")]
    pub max_cost_usd: Option<f64>,
    /// File with prices that go before those of data/prices.toml
    #[arg(long, value_name = "FILE")]
    pub prices: Option<PathBuf>,
    /// Who takes what the model could not analyse; without it, that is an error
    #[arg(long, value_enum)]
    pub fallback: Option<Fallback>,
}

impl ModelOptions {
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

    fn settings(self) -> Result<Settings, ConfigError> {
        const PROMPT_TOKENS_MIN: usize = 6_000;
        const OUTPUT_TOKENS_MIN: u64 = 256;
        let out_of_range = |what: String| Err(ConfigError::OutOfRange(what));
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
            return out_of_range(format!("--concurrency must be between 1 and {}", limits::MODEL_CALLS_IN_FLIGHT_MAX));
        }
        if !(settings.concurrency..=limits::MODEL_CALLS_IN_FLIGHT_MAX).contains(&settings.concurrency_max) {
            return out_of_range(format!("--max-concurrency must be between --concurrency and {}", limits::MODEL_CALLS_IN_FLIGHT_MAX));
        }
        if settings.prompt_tokens < PROMPT_TOKENS_MIN {
            return out_of_range(format!("--prompt-tokens must be at least {PROMPT_TOKENS_MIN}; the instructions alone have some 3000"));
        }
        if settings.output_tokens < OUTPUT_TOKENS_MIN {
            return out_of_range(format!("--output-tokens must be at least {OUTPUT_TOKENS_MIN}; an answer has some 400"));
        }
        if settings.cost_max_usd.is_some_and(|most| !(0.0..1e6).contains(&most)) {
            return out_of_range("--max-cost is a number of US dollars from 0 on".into());
        }
        Ok(settings)
    }
}

/// Which traces are looked at, in the words of flags and files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum SelectName {
    /// Those with an error status, a sign of a failure, or a negative annotation.
    Failed,
    /// All.
    All,
}

/// What of a trace stands in the evidence of its pattern.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Excerpts {
    /// Signals, and short redacted excerpts.
    #[default]
    Short,
    /// Signals only.
    None,
}

impl Excerpts {
    /// The word on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::None => "none",
        }
    }
}

/// Where the redaction key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The variable `FAILSIFT_REDACTION_KEY`.
    Environment,
    /// A file that the user named.
    File(PathBuf),
    /// The user's configuration folder, made there where absent.
    User,
}

impl KeySource {
    /// A file where one is named, else the environment where it holds a key, else the user's own.
    pub fn resolve(file: Option<PathBuf>, key_in_environment: bool) -> Self {
        match file {
            Some(path) => Self::File(path),
            None if key_in_environment => Self::Environment,
            None => Self::User,
        }
    }
}

/// What can be given on the command line or in the environment; what is absent comes from the file or the defaults.
#[derive(Debug, Clone, Default, PartialEq)]
#[expect(missing_docs, reason = "the fields are those of RunConfig")]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line, each on its own")]
pub struct Overrides {
    pub inputs: Vec<String>,
    pub output: Option<String>,
    pub input_format: Option<String>,
    pub select: Option<SelectName>,
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

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The pipeline file cannot be read.
    #[error("cannot read the pipeline file {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// The pipeline file is not what it should be.
    #[error("cannot use the pipeline file {}: {reason}\n  hint: pipelines/demo.toml shows every section and key", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with line and key.
        reason: String,
    },
    /// The file of prices cannot be read.
    #[error("cannot read the prices {}: {reason}", path.display())]
    PricesUnreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// No input was given.
    #[error("no input is given\n  hint: --input PATH_OR_URL, or a pipeline file with [source] inputs = [...]")]
    NoInput,
    /// No output was given.
    #[error("no output is given\n  hint: --output PATH_OR_URL, or a pipeline file with [write] output = \"...\"")]
    NoOutput,
    /// A value is out of its range.
    #[error("{0}")]
    OutOfRange(String),
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
    select: Option<SelectName>,
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
    /// Resolves what was given. `key_in_environment` says whether `FAILSIFT_REDACTION_KEY` is set.
    ///
    /// # Errors
    /// [`ConfigError`], each a mistake of whoever wrote the configuration.
    pub fn resolve(file: Option<&Path>, given: Overrides, key_in_environment: bool) -> Result<Self, ConfigError> {
        let (output, error_rate, commit_every) = (given.output.clone(), given.error_rate_max, given.commit_every);
        let (fresh, force) = (given.fresh, given.force);
        let (analysis, write) = AnalysisConfig::resolve_with(file, given, key_in_environment)?;
        let error_rate_max = error_rate.or(write.max_error_rate).unwrap_or(limits::ERROR_RATE_MAX);
        if !(0.0..=1.0).contains(&error_rate_max) {
            return Err(ConfigError::OutOfRange("--max-error-rate is a share between 0 and 1".into()));
        }
        let commit_every = match (commit_every, write.commit_every) {
            (None, Some(text)) => {
                Some(duration_from(&text).map_err(|error| ConfigError::OutOfRange(format!("[write] commit_every: {error}")))?)
            }
            (given, _) => given,
        };
        Ok(Self { analysis, output: output.or(write.output).ok_or(ConfigError::NoOutput)?, error_rate_max, fresh, force, commit_every })
    }
}

impl AnalysisConfig {
    /// Resolves what was given, for what writes no tables.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(file: Option<&Path>, given: Overrides, key_in_environment: bool) -> Result<Self, ConfigError> {
        Ok(Self::resolve_with(file, given, key_in_environment)?.0)
    }

    /// Resolves what was given, with the place of the tables where one is named.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve_for_plan(
        file: Option<&Path>,
        given: Overrides,
        output: Option<String>,
        key_in_environment: bool,
    ) -> Result<(Self, Option<String>), ConfigError> {
        let (analysis, write) = Self::resolve_with(file, given, key_in_environment)?;
        Ok((analysis, output.or(write.output)))
    }

    fn resolve_with(file: Option<&Path>, given: Overrides, key_in_environment: bool) -> Result<(Self, WriteSection), ConfigError> {
        let pipeline = file.map_or_else(
            || "command line".to_owned(),
            |path| path.file_stem().map_or_else(|| path.display().to_string(), |stem| stem.to_string_lossy().into_owned()),
        );
        let file = file.map(read_file).transpose()?.unwrap_or_default();
        let inputs = if given.inputs.is_empty() { file.source.inputs } else { given.inputs };
        if inputs.is_empty() {
            return Err(ConfigError::NoInput);
        }
        let key_file = given.redaction_key_file.or(if key_in_environment { None } else { file.redact.key_file });
        let redaction_key = KeySource::resolve(key_file, key_in_environment);
        let now = chrono::Utc::now();
        let time = |name: &str, text: Option<String>| {
            let Some(text) = text else { return Ok(None) };
            time_from(&text, now).map(Some).map_err(|error| ConfigError::OutOfRange(format!("{name}: {error}")))
        };
        let selection = Selection {
            failed_only: given.select.or(file.source.select) == Some(SelectName::Failed),
            since_ns: time("--since", given.since.or(file.source.since))?,
            until_ns: time("--until", given.until.or(file.source.until))?,
            services: if given.services.is_empty() { file.source.services } else { given.services },
        };
        let config = Self {
            pipeline,
            inputs,
            input_format: given.input_format.or(file.source.format).unwrap_or_else(|| "auto".into()),
            selection,
            analyzer: given.analyzer.or(file.analyze.analyzer).unwrap_or(AnalyzerName::Embedded),
            model: given.model.or(file.model).settings()?,
            rules: if given.rules.is_empty() { file.analyze.rules } else { given.rules },
            trace_timeout: match (given.trace_timeout, file.analyze.trace_timeout_seconds) {
                (Some(timeout), _) => timeout,
                (None, Some(seconds)) => seconds_from(seconds).map_err(ConfigError::OutOfRange)?,
                (None, None) => limits::TRACE_TIMEOUT,
            },
            record_bytes_max: given.record_bytes_max.or(file.source.max_record_bytes).unwrap_or(limits::RECORD_BYTES_MAX),
            memory_bytes: given
                .memory_bytes
                .or(file.source.memory_limit_mb.map(|mb| mb.saturating_mul(1024 * 1024)))
                .unwrap_or(limits::GATHER_MEMORY_BYTES),
            redaction_key,
            redaction_rules: if given.redaction_rules.is_empty() { file.redact.rules } else { given.redaction_rules },
            excerpts: given.excerpts.or(file.redact.excerpts).unwrap_or_default(),
            canaries: given.canaries || file.redact.canaries,
            allow_empty: given.allow_empty || file.source.allow_empty,
        };
        Ok((config.check()?, file.write))
    }

    fn check(self) -> Result<Self, ConfigError> {
        const MEMORY_BYTES_MIN: usize = 32 * 1024 * 1024;
        const RECORD_BYTES_MIN: usize = 1_024;
        if self.memory_bytes < MEMORY_BYTES_MIN {
            return Err(ConfigError::OutOfRange("--memory-limit must be at least 32 MB; gathering sorts within it".into()));
        }
        if self.record_bytes_max < RECORD_BYTES_MIN {
            return Err(ConfigError::OutOfRange("--max-record-bytes must be at least 1024".into()));
        }
        if let (Some(since), Some(until)) = (self.selection.since_ns, self.selection.until_ns)
            && since >= until
        {
            return Err(ConfigError::OutOfRange("--since is not before --until, so no trace could be selected".into()));
        }
        Ok(self)
    }
}

/// A point in time, in nanoseconds since 1970: RFC 3339, a date (its start in UTC), or how long ago, such as `24h` or `7d`.
///
/// # Errors
/// What would have been understood.
pub fn time_from(text: &str, now: chrono::DateTime<chrono::Utc>) -> Result<i64, String> {
    let wrong = || format!("{text:?} is no time\n  hint: 2026-11-23, 2026-11-23T09:00:00Z, or how long ago: 90m, 24h, 7d");
    let ago = duration_from(text).ok().and_then(|ago| now.checked_sub_signed(chrono::TimeDelta::from_std(ago).ok()?));
    let date = || chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc());
    let exact = || chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| time.to_utc());
    ago.or_else(date).or_else(exact).and_then(|time| time.timestamp_nanos_opt()).ok_or_else(wrong)
}

/// A length of time: `30s`, `90m`, `24h`, `7d`, `2w`.
///
/// # Errors
/// What would have been understood.
pub fn duration_from(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no length of time\n  hint: 30s, 90m, 24h, 7d or 2w");
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        "w" => 7 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

/// A time-out in seconds, for flags and files.
///
/// # Errors
/// What is wrong with the number.
pub fn seconds_from(seconds: f64) -> Result<Duration, String> {
    if !(0.001..=86_400.0).contains(&seconds) {
        return Err(format!("a time-out of {seconds} s is not between 0.001 and 86400 s"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn read_file(path: &Path) -> Result<PipelineFile, ConfigError> {
    let text = text_file::read(path).map_err(|reason| ConfigError::Unreadable { path: path.to_owned(), reason })?;
    toml::from_str(&text).map_err(|error| ConfigError::Malformed { path: path.to_owned(), reason: error.to_string().trim_end().to_owned() })
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
        let given = Overrides { inputs: vec!["b".into()], trace_timeout: Some(Duration::from_secs(5)), ..Overrides::default() };
        let config = RunConfig::resolve(Some(file.path()), given, true).unwrap().analysis;
        assert_eq!(
            (config.inputs[0].as_str(), config.trace_timeout, config.redaction_key),
            ("b", Duration::from_secs(5), KeySource::Environment)
        );
    }

    #[test]
    fn times_are_points_or_how_long_ago() {
        let now = chrono::DateTime::from_timestamp(1_795_424_400, 0).unwrap();
        let seconds = |text: &str| time_from(text, now).map(|time| time / 1_000_000_000);
        assert_eq!(seconds("24h"), Ok(1_795_424_400 - 86_400));
        assert_eq!(seconds("2026-11-23"), Ok(1_795_392_000));
        assert_eq!(seconds("2026-11-23T10:00:00+01:00"), Ok(1_795_424_400));
        assert!(seconds("yesterday").is_err() && seconds("").is_err() && seconds("\u{e9}").is_err());
    }

    #[test]
    fn mistakes_are_named() {
        let misspelt = file("[source]\ninput = ['a']\n");
        let error = RunConfig::resolve(Some(misspelt.path()), Overrides::default(), false).unwrap_err().to_string();
        assert!(error.contains("unknown field `input`") && error.contains("inputs"), "{error}");
        assert!(matches!(RunConfig::resolve(None, Overrides::default(), false), Err(ConfigError::NoInput)));
        let no_output = Overrides { inputs: vec!["a".into()], ..Overrides::default() };
        assert!(matches!(RunConfig::resolve(None, no_output, false), Err(ConfigError::NoOutput)));
    }
}
