//! Model settings as flags and as the section `[model]` of a pipeline file.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::ConfigError;
use super::pipeline::finite;
use crate::analyze::llm::{Settings, Thinking};
use crate::text_file;

/// The analyzer for traces that the model could not analyze.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// The embedded analyzer
    Embedded,
}

/// Heading of the model flags in help texts. `next_help_heading` would also move the flags of the command that follow.
const MODEL_HEADING: &str = "Model options (gemini, openai)";

/// Model settings: flags, and the section `[model]` of a pipeline file.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, clap::Args)]
#[serde(default)]
pub struct ModelOptions {
    /// Name of the model [default: gemini-3.5-flash; for openai the only model of the server]
    #[arg(help_heading = MODEL_HEADING, id = "model.name", long = "model", value_name = "NAME", env = "FAILSIFT_MODEL")]
    pub name: Option<String>,
    /// Base URL of the API [default: `GOOGLE_GEMINI_BASE_URL`, `OPENAI_BASE_URL`, or the provider's URL]
    #[arg(help_heading = MODEL_HEADING, id = "model.base_url", long = "base-url", value_name = "URL", env = "FAILSIFT_BASE_URL")]
    pub base_url: Option<String>,
    /// Thinking effort of the model; thinking is billed like the answer [default: low for gemini]
    #[arg(help_heading = MODEL_HEADING, id = "model.thinking", long = "thinking", value_name = "EFFORT", value_enum, env = "FAILSIFT_THINKING")]
    pub thinking: Option<Thinking>,
    /// Approximate maximum of model tokens in a question; longer traces are shortened [default: 12000]
    #[arg(help_heading = MODEL_HEADING, id = "model.prompt_tokens", long = "prompt-tokens", value_name = "N", env = "FAILSIFT_PROMPT_TOKENS")]
    pub prompt_tokens: Option<usize>,
    /// Maximum of model tokens in an answer, including thinking [default: 4096]
    #[arg(help_heading = MODEL_HEADING, id = "model.output_tokens", long = "output-tokens", value_name = "N", env = "FAILSIFT_OUTPUT_TOKENS")]
    pub output_tokens: Option<u64>,
    /// Traces in flight; reduced while the provider is slow or overloaded [default: 8]
    #[arg(help_heading = MODEL_HEADING, id = "model.concurrency", long = "concurrency", value_name = "N", env = "FAILSIFT_CONCURRENCY")]
    pub concurrency: Option<usize>,
    /// Maximum of traces in flight while the provider is fast [default: --concurrency]
    #[arg(help_heading = MODEL_HEADING, id = "model.max_concurrency", long = "max-concurrency", value_name = "N", env = "FAILSIFT_MAX_CONCURRENCY")]
    pub max_concurrency: Option<usize>,
    /// Maximum of requests per minute
    #[arg(help_heading = MODEL_HEADING, id = "model.requests_per_minute", long = "requests-per-minute", value_name = "N", env = "FAILSIFT_REQUESTS_PER_MINUTE")]
    pub requests_per_minute: Option<u32>,
    /// Maximum of model tokens per minute, input and output
    #[arg(help_heading = MODEL_HEADING, id = "model.tokens_per_minute", long = "tokens-per-minute", value_name = "N", env = "FAILSIFT_TOKENS_PER_MINUTE")]
    pub tokens_per_minute: Option<u32>,
    /// Maximum cost of the run in US dollars; the run stops with exit code 4 before exceeding it
    #[arg(help_heading = MODEL_HEADING, id = "model.max_cost_usd", long = "max-cost", value_name = "USD", value_parser = finite, env = "FAILSIFT_MAX_COST")]
    pub max_cost_usd: Option<f64>,
    /// File with prices that override those in data/prices.toml
    #[arg(help_heading = MODEL_HEADING, id = "model.prices", long = "prices", value_name = "FILE", env = "FAILSIFT_PRICES")]
    pub prices: Option<PathBuf>,
    /// Analyzer for traces that the model could not analyze; without it they are errors
    #[arg(help_heading = MODEL_HEADING, id = "model.fallback", long = "fallback", value_name = "ANALYZER", value_enum, env = "FAILSIFT_FALLBACK")]
    pub fallback: Option<Fallback>,
}

impl ModelOptions {
    /// The settings of the model. `problems` receives what is wrong with them; `name` is the name of a key in messages.
    pub(super) fn into_settings(self, name: impl Fn(&str) -> String, problems: &mut Vec<ConfigError>) -> Settings {
        let concurrency = self.concurrency.unwrap_or_default();
        let concurrency_max = self.max_concurrency.unwrap_or(concurrency);
        if concurrency_max < concurrency {
            problems.push(ConfigError::InvalidValue(format!(
                "invalid {}: must be at least {} ({concurrency})",
                name("max_concurrency"),
                name("concurrency")
            )));
        }
        let prices = self.prices.map(|path| text_file::read(&path).map_err(|reason| ConfigError::PricesUnreadable { path, reason }));
        let prices = prices.transpose().unwrap_or_else(|error| {
            problems.push(error);
            None
        });
        Settings {
            model: self.name,
            base_url: self.base_url,
            thinking: self.thinking,
            prompt_tokens: self.prompt_tokens.unwrap_or_default(),
            output_tokens: self.output_tokens.unwrap_or_default(),
            concurrency,
            concurrency_max,
            requests_per_minute: self.requests_per_minute,
            tokens_per_minute: self.tokens_per_minute,
            cost_max_usd: self.max_cost_usd,
            prices,
            falls_back: self.fallback.is_some(),
        }
    }
}
