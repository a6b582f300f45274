//! Resolves flags, environment variables and the pipeline file into one [`RunConfig`].
//!
//! Flags override the environment, which overrides the file, which overrides the defaults. Paths and URLs are not opened here, except the
//! pipeline file and the price file.

mod model_options;
mod notify;
mod pipeline_file;
mod times;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

pub use self::model_options::{Fallback, ModelOptions};
pub use self::notify::{NotifyOptions, NotifyUrl};
use self::pipeline_file::{PipelineFile, WriteSection, read_pipeline_file};
pub use self::times::{parse_duration, parse_time, timeout_from_seconds};
use crate::analyze::Links;
use crate::analyze::llm::{Provider, Settings};
use crate::limits;
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
    /// Who is notified of the end of the run.
    pub notify: NotifyConfig,
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
    pub redaction_kinds: KindOptions,
    pub excerpts: Option<Excerpts>,
    pub trace_urls: Vec<String>,
    pub canaries: bool,
    pub allow_empty: bool,
    pub error_rate_max: Option<f64>,
    pub fresh: bool,
    pub force: bool,
    pub commit_every: Option<Duration>,
    pub notify: NotifyOptions,
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

impl RunConfig {
    /// Resolves the configuration of a run. `key_in_environment`: whether `FAILSIFT_REDACTION_KEY` is set.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn resolve(file: Option<&Path>, overrides: Overrides, key_in_environment: bool) -> Result<Self, ConfigError> {
        let (output, error_rate, commit_every) = (overrides.output.clone(), overrides.error_rate_max, overrides.commit_every);
        let (fresh, force) = (overrides.fresh, overrides.force);
        let notify = overrides.notify.clone();
        let (analysis, write, notify_section) = AnalysisConfig::resolve_sections(file, overrides, key_in_environment)?;
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
        let notify = notify.resolve(notify_section, file)?;
        let output = output.or(write.output).ok_or(ConfigError::NoOutput)?;
        Ok(Self { analysis, output, error_rate_max, fresh, force, commit_every, notify })
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
        let (analysis, write, _) = Self::resolve_sections(file, overrides, key_in_environment)?;
        Ok((analysis, output.or(write.output)))
    }

    fn resolve_sections(
        file: Option<&Path>,
        overrides: Overrides,
        key_in_environment: bool,
    ) -> Result<(Self, WriteSection, NotifyOptions), ConfigError> {
        let pipeline = pipeline_name(file);
        let PipelineFile { source, redact, analyze, model, links, write, notify } =
            file.map(read_pipeline_file).transpose()?.unwrap_or_default();
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
            redaction_kinds: overrides.redaction_kinds.or(KindOptions {
                level: redact.level,
                redacted: redact.redact_kinds,
                kept: redact.keep_kinds,
            }),
            excerpts: overrides.excerpts.or(redact.excerpts).unwrap_or_default(),
            canaries: overrides.canaries || redact.canaries,
            links: resolve_links(file, &links, &overrides.trace_urls)?,
            allow_empty: overrides.allow_empty || source.allow_empty,
        };
        config.check_ranges(&memory_limit, &max_record_bytes)?;
        Ok((config, write, notify))
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

/// The templates of links. A flag replaces the template of the file for the same format.
fn resolve_links(file: Option<&Path>, of_file: &BTreeMap<String, String>, flags: &[String]) -> Result<Links, ConfigError> {
    let mut links = Links::default();
    for (format, template) in of_file {
        let name = setting_name(file, false, "", &format!("[links] {format}"));
        links.set(format, template).map_err(|error| ConfigError::InvalidValue(format!("{name}: {error}")))?;
    }
    for text in flags {
        links.set_from_flag(text).map_err(|error| ConfigError::InvalidValue(format!("--trace-url: {error}")))?;
    }
    Ok(links)
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
    fn a_flag_replaces_the_link_of_the_file_for_the_same_format() {
        let file =
            file("[source]\ninputs = ['a']\n[links]\ndefault = 'https://a.example/{trace_id}'\nlangfuse = 'https://b.example{path}'\n");
        let overrides = Overrides { trace_urls: vec!["https://c.example/{trace_id}".into()], ..Overrides::default() };
        let mut expected = Links::default();
        expected.set("default", "https://c.example/{trace_id}").unwrap();
        expected.set("langfuse", "https://b.example{path}").unwrap();
        assert_eq!(AnalysisConfig::resolve(Some(file.path()), overrides, false).unwrap().links, expected);
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
        let error = error_in("[source]\ninputs = ['a']\n[links]\nlangfuse = 'ftp://x/{trace_id}'\n");
        assert!(error.starts_with("[links] langfuse in ") && error.contains(": invalid trace URL 'ftp://x/{trace_id}'"), "{error}");
        let since = Overrides { inputs: vec!["a".into()], since: Some("yesterday".into()), ..Overrides::default() };
        let error = RunConfig::resolve(Some(file("[source]\nsince = '1h'\n").path()), since, false).unwrap_err().to_string();
        assert!(error.starts_with("--since: invalid time 'yesterday'"), "{error}");
        assert!(matches!(RunConfig::resolve(None, Overrides::default(), false), Err(ConfigError::NoInput)));
        let no_output = Overrides { inputs: vec!["a".into()], ..Overrides::default() };
        assert!(matches!(RunConfig::resolve(None, no_output, false), Err(ConfigError::NoOutput)));
    }
}
