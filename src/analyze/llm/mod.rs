//! Analyzers that ask a model: `gemini` and `openai`.
//!
//! `prompt` writes the question, `asking` carries it to its answer: `api` with `gemini` and `openai` knows the wire, `manner` how the question
//! is put, `said` what a refusal says, and `answer` reads what comes back and checks it against the trace. `limiter` says when a request may go
//! out, `money` whether, and `breaker` when to stop. All that one trace takes, repeated requests and one repair of an unusable answer included,
//! has to fit into its budget of time.
//!
//! The first trace goes alone until it has an answer: a key that is refused costs one request, and so does each parameter.

mod answer;
mod api;
mod asking;
mod breaker;
mod estimate;
mod gemini;
mod limiter;
mod manner;
mod money;
mod openai;
mod prompt;
mod said;
mod written;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio_util::sync::CancellationToken;

pub(crate) use self::api::Usage;
use self::api::{Api, Http};
use self::breaker::Breaker;
pub use self::estimate::{Estimate, Estimator};
use self::limiter::{Bounds, Limiter};
use self::manner::Manners;
use self::money::{Purse, price_of};
use self::prompt::Prompt;
use super::embedded::{Embedded, Findings};
use super::{AnalyzeCounts, AnalyzeError, Analyzer};
use crate::model::{Draft, PATTERN_SCHEMA_VERSION, UnusableAnswer, hex};
use crate::redact::RedactedTrace;
use crate::runtime::{ConcurrencyPermit, pool};
use crate::runtime::{Deadline, TimedOut};

/// Which way of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// Google's `generateContent`.
    Gemini,
    /// `/v1/chat/completions`.
    OpenAi,
}

/// How much a model thinks before it answers; thoughts are paid like the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Thinking {
    /// As little as the model can.
    Minimal,
    /// A little.
    Low,
    /// More.
    Medium,
    /// As much as it likes.
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

    /// The same in tokens, for models that are told so.
    fn tokens(self) -> u64 {
        match self {
            Self::Minimal => 0,
            Self::Low => 1_024,
            Self::Medium => 4_096,
            Self::High => 16_384,
        }
    }
}

/// What the user wants of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Its name; Gemini has a default, a server with one model too.
    pub model: Option<String>,
    /// Where requests go, instead of the provider's own place.
    pub base_url: Option<String>,
    /// How much it thinks.
    pub thinking: Option<Thinking>,
    /// Tokens of a question, about.
    pub prompt_tokens: usize,
    /// Tokens of an answer, with thoughts.
    pub output_tokens: u64,
    /// Traces at once to begin with.
    pub concurrency: usize,
    /// And at most.
    pub concurrency_max: usize,
    /// Requests a minute at most.
    pub requests_per_minute: Option<u32>,
    /// Tokens a minute at most, in and out.
    pub tokens_per_minute: Option<u32>,
    /// US dollars that a run may spend.
    pub cost_max_usd: Option<f64>,
    /// The text of a file with prices.
    pub prices: Option<String>,
    /// Whether the embedded analyzer takes what the model could not.
    pub falls_back: bool,
}

/// Why a model cannot be asked at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// A key or other credentials are missing.
    #[error("{0}")]
    Credentials(String),
    /// A setting cannot be used.
    #[error("{0}")]
    Settings(String),
}

/// An environment variable that holds something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.trim().is_empty())
}

/// See the module.
pub struct Llm {
    api: Arc<dyn Api>,
    http: Http,
    limiter: Limiter,
    purse: Purse,
    settings: Settings,
    embedded: Embedded,
    settings_digest: String,
    counts: Arc<AnalyzeCounts>,
    manners: Manners,
    breaker: Breaker,
    /// Why no more requests are made today.
    quota: OnceLock<String>,
    /// Whether the first trace is on its way.
    begun: AtomicBool,
    /// Cancelled once the others may follow.
    follow: CancellationToken,
    /// Whether anything has answered, so that a place where nobody is is told apart from a bad minute.
    reached: AtomicBool,
}

impl Llm {
    /// Finds the credentials and the model, and makes ready to ask. `circumstances` is what a result depends on beside the trace and the
    /// settings here: rules, redaction.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn connect(
        provider: Provider,
        settings: Settings,
        embedded: Embedded,
        circumstances: &str,
        counts: Arc<AnalyzeCounts>,
    ) -> Result<Self, ConnectError> {
        let bounds = Bounds {
            start: settings.concurrency,
            most: settings.concurrency_max,
            requests_per_minute: settings.requests_per_minute,
            tokens_per_minute: settings.tokens_per_minute,
        };
        let http = Http::new(bounds.most).map_err(|error| ConnectError::Settings(format!("cannot make ready for HTTPS: {error}")))?;
        let api: Arc<dyn Api> = match provider {
            Provider::Gemini => Arc::new(gemini::Gemini::connect(&settings)?),
            Provider::OpenAi => Arc::new(openai::OpenAi::connect(&settings, &http).await?),
        };
        let price = price(&settings, api.model())?;
        if price.is_none() && settings.cost_max_usd.is_some() {
            return Err(ConnectError::Settings(format!(
                "--max-cost needs the price of {}, which is not known\n  hint: --prices FILE names a file with it; data/prices.toml shows its form",
                api.model()
            )));
        }
        let settings_digest = settings_digest(api.name(), api.model(), &settings, circumstances);
        Ok(Self {
            limiter: Limiter::new(bounds),
            purse: Purse::new(price, settings.cost_max_usd),
            manners: Manners::new(api.first_manner()),
            breaker: Breaker::default(),
            begun: AtomicBool::new(false),
            follow: CancellationToken::new(),
            api,
            http,
            settings,
            embedded,
            settings_digest,
            counts,
            quota: OnceLock::new(),
            reached: AtomicBool::new(false),
        })
    }
}

/// The price of a model by the settings.
fn price(settings: &Settings, model: &str) -> Result<Option<money::Price>, ConnectError> {
    price_of(model, settings.prices.as_deref())
        .map_err(|error| ConnectError::Settings(format!("the file of prices cannot be used: {error}")))
}

/// The same where the result for a trace would be the same.
fn settings_digest(provider: &str, model: &str, settings: &Settings, circumstances: &str) -> String {
    let asked = (provider, model, settings.thinking.map(Thinking::as_str), settings.prompt_tokens, settings.output_tokens);
    let fixed = (prompt::INSTRUCTIONS, answer::schema().get(), PATTERN_SCHEMA_VERSION);
    // Canonical JSON, which no compiler changes; encoding plain data cannot fail.
    hex(&Sha256::digest(serde_json::to_string(&(asked, fixed, circumstances)).unwrap_or_default()))
}

/// One trace on its way: what it took so far.
struct Work {
    trace: Arc<RedactedTrace>,
    findings: Arc<Findings>,
    prompt: Arc<Prompt>,
    deadline: Deadline,
    usage: Usage,
    /// Whether a request has gone out: the first one has waited already, before the trace's time began.
    begun: bool,
}

#[async_trait]
impl Analyzer for Llm {
    fn name(&self) -> &'static str {
        self.api.name()
    }

    fn in_flight_max(&self) -> usize {
        self.settings.concurrency_max
    }

    fn settings_digest(&self) -> Option<&str> {
        Some(&self.settings_digest)
    }

    async fn acquire_permit(&self) -> ConcurrencyPermit {
        let at_once = || self.quota.get().is_some() || self.purse.is_exhausted() || self.breaker.is_open();
        if self.begun.swap(true, Ordering::Relaxed) {
            self.follow.cancelled().await;
            return self.limiter.slot(at_once()).await;
        }
        // However the first trace ends, the others follow.
        let lets_follow = self.follow.clone().drop_guard();
        ConcurrencyPermit::holding((self.limiter.slot(at_once()).await, lets_follow))
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let (findings, prompt) = self.prepared(&trace, deadline).await?;
        let mut work =
            Work { trace, findings: Arc::new(findings), prompt: Arc::new(prompt), deadline, usage: Usage::default(), begun: false };
        match self.asked(&mut work).await {
            Ok(draft) => Ok(Draft { settings_digest: Some(self.settings_digest.clone()), ..self.paid(draft, work.usage) }),
            Err(AnalyzeError::Fatal(reason)) => Err(AnalyzeError::Fatal(reason)),
            Err(error) if self.settings.falls_back => {
                let verdict = Arc::unwrap_or_clone(work.findings).verdict;
                Ok(self.paid(self.fallen_back(verdict, &error), work.usage))
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
        /// Behind a reason that an earlier run wrote down, once.
        const BOUGHT: &str = " (bought by an earlier run; --force asks again)";
        let reason = format!("{}{BOUGHT}", earlier.reason.trim_end_matches(BOUGHT));
        let error = AnalyzeError::Rejected { kind: earlier.kind, reason };
        if !self.settings.falls_back {
            return Err(error);
        }
        let embedded = self.embedded.clone();
        let verdict =
            pool::run(move || pool::catch_panic(|| embedded.draft_of(&trace, deadline))).await.map_err(AnalyzeError::Defect)??;
        Ok(self.fallen_back(verdict, &error))
    }
}

impl Llm {
    /// What the rules find in a trace, and the question about it.
    async fn prepared(&self, trace: &Arc<RedactedTrace>, deadline: Deadline) -> Result<(Findings, Prompt), AnalyzeError> {
        let (embedded, of, tokens) = (self.embedded.clone(), Arc::clone(trace), self.settings.prompt_tokens);
        let prepared = pool::run(move || {
            pool::catch_panic(|| {
                let findings = embedded.findings(&of, deadline)?;
                let prompt = prompt::render(&of, &findings, tokens);
                Ok::<_, TimedOut>((findings, prompt))
            })
        });
        Ok(prepared.await.map_err(AnalyzeError::Defect)??)
    }

    /// The draft with what its answers took.
    fn paid(&self, draft: Draft, usage: Usage) -> Draft {
        let Usage { input_tokens, output_tokens } = usage;
        Draft { input_tokens, output_tokens, cost_usd: self.purse.cost(usage), ..draft }
    }

    /// The embedded analyzer's verdict on a trace that the model could not analyse. Where the model's answer was paid for, the row is kept like
    /// one of the model's, so that nobody pays for another answer of the same kind.
    fn fallen_back(&self, verdict: Draft, error: &AnalyzeError) -> Draft {
        let (kind, reason) = (error.kind(), error.to_string());
        self.counts.add_fallback(kind, &reason);
        let settings_digest = kind.is_unusable_answer().then(|| self.settings_digest.clone());
        // A provider's own words stand in the summary, redacted, and not in a row that is proven word by word.
        let why = if kind.is_unusable_answer() { reason } else { kind.as_str().to_owned() };
        let why: String = why.chars().take(300).collect();
        let rationale = format!("{} The model {} was to judge it and did not: {why}.", verdict.confidence_rationale, self.api.model());
        Draft { settings_digest, confidence_rationale: rationale.chars().take(2_000).collect(), ..verdict }
    }
}
