//! Analyzers that call a large language model: `gemini` and `openai`.
//!
//! Each takes a redacted trace and returns a draft that was checked against it. The embedded analyzer runs first: its findings are part of the
//! prompt, check the answer, and are the fallback. `prompt` renders the trace, `attempts` gets its answer,
//! `answer` checks what the model wrote, `numbers` the numbers in it. A provider is an [`Api`] (`gemini`, `openai`); `request_options` tracks which parameters it supports,
//! `error_message` reads its errors, `http` sends requests. `limiter` (`concurrency`, `pacer`) decides when a request is sent, `cost` whether it
//! may be, and `breaker` when to stop. Retries and one repair of an unusable answer fit into the trace's time budget.
//! An unusable answer that was paid for is remembered between runs: with the same content and settings it is not requested again.
//!
//! Only one trace is analyzed until the first answer. A rejected API key or an unsupported parameter then costs one request, not one for each
//! concurrent trace.

mod answer;
mod answer_fields;
mod api;
mod attempts;
mod breaker;
mod concurrency;
mod cost;
mod error_message;
mod estimate;
mod gemini;
mod limiter;
mod numbers;
mod openai;
mod pacer;
mod probe;
mod prompt;
mod request_options;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

use self::api::{Api, Usage};
use self::breaker::CircuitBreaker;
use self::cost::{CostBudget, Price};
pub use self::estimate::{Estimate, Estimator};
use self::limiter::{RequestLimiter, RequestLimits};
pub use self::probe::{check_settings, probe};
use self::prompt::Prompt;
use self::request_options::CurrentOptions;
use super::embedded::{Embedded, Findings};
use super::{AnalyzeCounts, AnalyzeError, Analyzer};
use crate::http::HttpClient;
use crate::model::{Draft, PATTERN_SCHEMA_VERSION, UnusableAnswer, hex};
use crate::redact::RedactedTrace;
use crate::runtime::{ConcurrencyPermit, Deadline, TimedOut, pool};

/// The API that is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Google's `generateContent`.
    Gemini,
    /// `/v1/chat/completions` of OpenAI and compatible servers.
    OpenAi,
}

/// The amount of thinking before an answer. Thinking is billed like the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// As little as the model supports.
    Minimal,
    /// A little.
    Low,
    /// A moderate amount.
    Medium,
    /// As much as the model needs.
    High,
}

impl Thinking {
    fn as_str(self) -> &'static str {
        match self {
            Self::Minimal => "minimal",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }

    /// The budget in tokens, for models without levels.
    fn tokens(self) -> u64 {
        match self {
            Self::Minimal => 0,
            Self::Low => 1_024,
            Self::Medium => 4_096,
            Self::High => 16_384,
        }
    }
}

/// The settings of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The model's name. Gemini has a default, and a server with a single model needs none.
    pub model: Option<String>,
    /// The base URL of the API, instead of the provider's own.
    pub base_url: Option<String>,
    /// The amount of thinking.
    pub thinking: Option<Thinking>,
    /// Approximate size of a prompt in model tokens.
    pub prompt_tokens: usize,
    /// The limit of an answer in model tokens, thinking included.
    pub output_tokens: u64,
    /// Concurrent traces at the start.
    pub concurrency: usize,
    /// The highest number of concurrent traces.
    pub concurrency_max: usize,
    /// The highest number of requests a minute.
    pub requests_per_minute: Option<u32>,
    /// The highest number of model tokens a minute, input and output.
    pub tokens_per_minute: Option<u32>,
    /// The cost limit of a run, in US dollars.
    pub cost_max_usd: Option<f64>,
    /// The text of a price file.
    pub prices: Option<String>,
    /// Whether the embedded analyzer analyzes the traces for which the model gave no usable answer.
    pub falls_back: bool,
}

/// Why a model cannot be used in this run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// An API key or other credentials are missing or malformed.
    #[error("{0}")]
    Credentials(String),
    /// A setting is invalid.
    #[error("{0}")]
    Settings(String),
}

/// The value of an environment variable that is not blank.
fn env_var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// Analyzes traces with a model. One instance serves all traces of a run.
pub struct LlmAnalyzer {
    api: Arc<dyn Api>,
    http: HttpClient,
    limiter: RequestLimiter,
    budget: CostBudget,
    settings: Settings,
    embedded: Embedded,
    settings_digest: String,
    counts: Arc<AnalyzeCounts>,
    options: CurrentOptions,
    breaker: CircuitBreaker,
    /// Set when the provider's quota is exhausted: the reason why no more requests are sent.
    quota_exhausted: OnceLock<String>,
    /// Whether the first trace has started.
    has_started: AtomicBool,
    /// Cancelled at the first answer, or when the first trace ends without one; other traces wait for it.
    first_answer: CancellationToken,
    /// Whether the provider was ever reached. Tells a wrong URL from a temporary failure.
    was_reached: AtomicBool,
}

impl LlmAnalyzer {
    /// Reads the credentials and determines the model. `analysis_settings` is everything else that a result depends on: rules and redaction.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        provider: Provider,
        settings: Settings,
        embedded: Embedded,
        analysis_settings: &str,
        counts: Arc<AnalyzeCounts>,
    ) -> Result<Self, ConnectError> {
        let limits = RequestLimits {
            concurrency: settings.concurrency,
            concurrency_max: settings.concurrency_max,
            requests_per_minute: settings.requests_per_minute,
            tokens_per_minute: settings.tokens_per_minute,
        };
        let http = HttpClient::new(settings.concurrency_max)
            .map_err(|error| ConnectError::Settings(format!("cannot set up the HTTP client: {error}")))?;
        let api: Arc<dyn Api> = match provider {
            Provider::Gemini => Arc::new(gemini::Gemini::connect(&settings)?),
            Provider::OpenAi => Arc::new(openai::OpenAi::connect(&settings, &http).await?),
        };
        let price = price_of(&settings, api.model())?;
        let settings_digest = settings_digest(api.analyzer(), api.model(), &settings, analysis_settings);
        Ok(Self {
            limiter: RequestLimiter::new(limits),
            budget: CostBudget::new(price, settings.cost_max_usd),
            options: CurrentOptions::new(api.initial_options()),
            breaker: CircuitBreaker::default(),
            has_started: AtomicBool::new(false),
            first_answer: CancellationToken::new(),
            api,
            http,
            settings,
            embedded,
            settings_digest,
            counts,
            quota_exhausted: OnceLock::new(),
            was_reached: AtomicBool::new(false),
        })
    }
}

/// The price of a model, which a cost limit needs.
fn price_of(settings: &Settings, model: &str) -> Result<Option<Price>, ConnectError> {
    let price = find_price(settings, model)?;
    if price.is_none() && settings.cost_max_usd.is_some() {
        return Err(ConnectError::Settings(format!(
            "--max-cost needs the price of {model}, which is unknown\n  hint: add it to a file and pass that with --prices FILE; data/prices.toml shows the format"
        )));
    }
    Ok(price)
}

fn find_price(settings: &Settings, model: &str) -> Result<Option<Price>, ConnectError> {
    cost::find_price(model, settings.prices.as_deref())
        .map_err(|error| ConnectError::Settings(format!("invalid price file: {error}\n  hint: data/prices.toml shows the format")))
}

/// A digest of everything that a result depends on apart from the trace.
fn settings_digest(analyzer: &str, model: &str, settings: &Settings, analysis_settings: &str) -> String {
    let request = (analyzer, model, settings.thinking.map(Thinking::as_str), settings.prompt_tokens, settings.output_tokens);
    let prompt = (prompt::INSTRUCTIONS, answer::schema().get(), PATTERN_SCHEMA_VERSION);
    // JSON is the same with every compiler version. Serializing strings and numbers cannot fail.
    hex(&Sha256::digest(serde_json::to_string(&(request, prompt, analysis_settings)).unwrap_or_default()))
}

/// The analysis of one trace, with the model tokens that it has used so far.
struct TraceAnalysis {
    trace: Arc<RedactedTrace>,
    findings: Arc<Findings>,
    prompt: Arc<Prompt>,
    deadline: Deadline,
    usage: Usage,
    /// Whether a request was sent. The first one waited for the rate limit before the time budget began; later ones count as retries.
    has_sent: bool,
}

#[async_trait]
impl Analyzer for LlmAnalyzer {
    fn name(&self) -> &'static str {
        self.api.analyzer()
    }

    fn in_flight_max(&self) -> usize {
        self.settings.concurrency_max
    }

    fn settings_digest(&self) -> Option<&str> {
        Some(&self.settings_digest)
    }

    async fn acquire_permit(&self) -> ConcurrencyPermit {
        // If no request will be sent, the rate limit does not matter.
        let is_paced = || self.quota_exhausted.get().is_none() && !self.budget.is_exhausted() && !self.breaker.is_open();
        if self.has_started.swap(true, Ordering::Relaxed) {
            self.first_answer.cancelled().await;
            return self.limiter.acquire_permit(is_paced()).await;
        }
        // The other traces start when the permit of the first one is dropped, however it ended.
        let release_others = self.first_answer.clone().drop_guard();
        ConcurrencyPermit::holding((self.limiter.acquire_permit(is_paced()).await, release_others))
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let (findings, prompt) = self.prepare(&trace, deadline).await?;
        let mut analysis = TraceAnalysis {
            trace,
            findings: Arc::new(findings),
            prompt: Arc::new(prompt),
            deadline,
            usage: Usage::default(),
            has_sent: false,
        };
        match self.request_draft(&mut analysis).await {
            Ok(draft) => Ok(Draft { settings_digest: Some(self.settings_digest.clone()), ..self.with_usage(draft, analysis.usage) }),
            Err(AnalyzeError::Fatal(reason)) => Err(AnalyzeError::Fatal(reason)),
            Err(error) if self.settings.falls_back => {
                let verdict = Arc::unwrap_or_clone(analysis.findings).verdict;
                Ok(self.with_usage(self.fallback_draft(verdict, &error), analysis.usage))
            }
            Err(error) => Err(error),
        }
    }

    async fn analyze_after_unusable_answer(
        &self,
        trace: Arc<RedactedTrace>,
        deadline: Deadline,
        earlier: UnusableAnswer,
    ) -> Result<Draft, AnalyzeError> {
        let error = AnalyzeError::Rejected { kind: earlier.kind, reason: reason_of_earlier_run(&earlier.reason) };
        if !self.settings.falls_back {
            return Err(error);
        }
        let embedded = self.embedded.clone();
        let verdict = pool::run(move || pool::catch_panic(|| embedded.draft_of(&trace, deadline))).await.map_err(AnalyzeError::Bug)??;
        Ok(self.fallback_draft(verdict, &error))
    }
}

/// Appends a note to the reason that an earlier run stored, unless it has one.
fn reason_of_earlier_run(reason: &str) -> String {
    const NOTE_END: &str = "; --force asks again)";
    if reason.ends_with(NOTE_END) { reason.to_owned() } else { format!("{reason} (paid for by an earlier run{NOTE_END}") }
}

impl LlmAnalyzer {
    /// Runs the rules over a trace and renders its prompt.
    async fn prepare(&self, trace: &Arc<RedactedTrace>, deadline: Deadline) -> Result<(Findings, Prompt), AnalyzeError> {
        let (embedded, trace, tokens) = (self.embedded.clone(), Arc::clone(trace), self.settings.prompt_tokens);
        let prepared = pool::run(move || {
            pool::catch_panic(|| {
                let findings = embedded.findings(&trace, deadline)?;
                let prompt = prompt::render(&trace, &findings, tokens);
                Ok::<_, TimedOut>((findings, prompt))
            })
        });
        Ok(prepared.await.map_err(AnalyzeError::Bug)??)
    }

    fn with_usage(&self, draft: Draft, usage: Usage) -> Draft {
        let Usage { input_tokens, output_tokens } = usage;
        Draft { input_tokens, output_tokens, cost_usd: self.budget.cost_usd(usage), ..draft }
    }

    /// The embedded analyzer's verdict in place of the model's. If an answer was paid for, the row gets the settings digest like a row of the
    /// model, so that the next run does not pay for another unusable answer.
    fn fallback_draft(&self, verdict: Draft, error: &AnalyzeError) -> Draft {
        let (kind, reason) = (error.kind(), error.to_string());
        self.counts.add_fallback(kind, &reason);
        let settings_digest = kind.is_unusable_answer().then(|| self.settings_digest.clone());
        // A provider's message may quote the trace. The summary's reasons are redacted, but this row must not contain unchecked text.
        let cause = if kind.is_unusable_answer() { reason } else { kind.as_str().to_owned() };
        let cause: String = cause.chars().take(300).collect();
        let rationale = format!("{} Fallback, because {} gave no usable answer: {cause}.", verdict.confidence_rationale, self.api.model());
        Draft { settings_digest, confidence_rationale: rationale.chars().take(2_000).collect(), ..verdict }
    }
}
