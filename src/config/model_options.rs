//! Model settings as flags and as the section `[model]` of a pipeline file.

use std::path::PathBuf;

use serde::Deserialize;

use super::ConfigError;
use crate::analyze::llm::{Settings, Thinking};
use crate::{limits, text_file};

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
    pub(super) fn or(self, file: Self) -> Self {
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

    pub(super) fn into_settings(self) -> Result<Settings, ConfigError> {
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
