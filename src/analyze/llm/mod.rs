//! Analyzers that ask a model: `gemini` and `openai`.
//!
//! `prompt` writes the question, `api` with `gemini` and `openai` asks it, `answer` reads what comes back and checks it against the trace.
//! `limiter` says when a request may go out, and `money` whether. All that one trace takes, repeated requests and one repair of an unusable
//! answer included, has to fit into its budget of time.

mod answer;
mod api;
mod gemini;
mod limiter;
mod money;
mod openai;
mod prompt;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};

pub(crate) use self::api::Usage;
use self::api::{Api, Broken, Http, Question, Refusal, Reply};
use self::limiter::{Bounds, Limiter};
use self::money::{Purse, price_of};
use self::prompt::Prompt;
use super::embedded::{Embedded, Findings};
use super::{AnalyzeCounts, AnalyzeError, Analyzer, Deadline, TimedOut};
use crate::model::{Draft, Kind, PATTERN_SCHEMA_VERSION, Slot, hex};
use crate::pool;
use crate::redact::RedactedTrace;

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
    api: Box<dyn Api>,
    http: Http,
    limiter: Limiter,
    purse: Purse,
    settings: Settings,
    embedded: Embedded,
    settings_digest: String,
    counts: Arc<AnalyzeCounts>,
    /// Why no more requests are made today.
    quota: OnceLock<String>,
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
        let api: Box<dyn Api> = match provider {
            Provider::Gemini => Box::new(gemini::Gemini::connect(&settings)?),
            Provider::OpenAi => Box::new(openai::OpenAi::connect(&settings, &http).await?),
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
    let asked = (provider, model, settings.thinking, settings.prompt_tokens, settings.output_tokens);
    let fixed = (prompt::INSTRUCTIONS, answer::schema().get(), PATTERN_SCHEMA_VERSION);
    hex(&Sha256::digest(format!("{asked:?} {fixed:?} {circumstances}")))
}

/// What a run over a trace would take, without asking anybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Tokens of the question.
    pub input_tokens: u64,
    /// Spans that it shows.
    pub spans_seen: u64,
}

/// Estimates what runs take: for `plan`.
#[derive(Debug, Clone)]
pub struct Estimator {
    embedded: Embedded,
    prompt_tokens: usize,
    /// The model that would be asked, where that is known without asking.
    pub model: Option<String>,
    price: Option<money::Price>,
    /// The digest of the settings, where the model is known.
    pub settings_digest: Option<String>,
}

impl Estimator {
    /// With the settings of a run. Nobody is asked anything, and no key is needed.
    ///
    /// # Errors
    /// [`ConnectError::Settings`] where the prices cannot be read.
    pub fn new(provider: Provider, settings: &Settings, embedded: Embedded, circumstances: &str) -> Result<Self, ConnectError> {
        let (name, model) = match provider {
            Provider::Gemini => ("gemini", Some(gemini::model_of(settings).trim_start_matches("models/").to_owned())),
            Provider::OpenAi => ("openai", settings.model.clone()),
        };
        let price = model.as_deref().map(|model| price(settings, model)).transpose()?.flatten();
        let settings_digest = model.as_deref().map(|model| settings_digest(name, model, settings, circumstances));
        Ok(Self { embedded, prompt_tokens: settings.prompt_tokens, model, price, settings_digest })
    }

    /// What one trace would take; nothing where it cannot be looked at in time.
    pub fn of(&self, trace: &RedactedTrace, deadline: Deadline) -> Option<Estimate> {
        let findings = self.embedded.findings(trace, deadline).ok()?;
        let prompt = prompt::render(trace, &findings, self.prompt_tokens);
        Some(Estimate { input_tokens: prompt.tokens(), spans_seen: prompt.spans_seen as u64 })
    }

    /// US dollars for so many tokens; nothing where the price is not known.
    pub fn cost(&self, input_tokens: u64, output_tokens: u64) -> Option<f64> {
        self.price.map(|price| price.of(Usage { input_tokens, output_tokens }))
    }
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

    async fn turn(&self) -> Slot {
        self.limiter.slot(self.quota.get().is_some() || self.purse.is_exhausted()).await
    }

    async fn analyze(&self, trace: Arc<RedactedTrace>, deadline: Deadline) -> Result<Draft, AnalyzeError> {
        let (embedded, of, tokens) = (self.embedded.clone(), Arc::clone(&trace), self.settings.prompt_tokens);
        let prepared = pool::run(move || {
            pool::guarded(|| {
                let findings = embedded.findings(&of, deadline)?;
                let prompt = prompt::render(&of, &findings, tokens);
                Ok::<_, TimedOut>((findings, prompt))
            })
        });
        let (findings, prompt) = match prepared.await {
            Ok(Ok(prepared)) => prepared,
            Ok(Err(TimedOut(budget))) => return Err(AnalyzeError::TimedOut(budget)),
            Err(defect) => return Err(AnalyzeError::Defect(defect)),
        };
        let mut work =
            Work { trace, findings: Arc::new(findings), prompt: Arc::new(prompt), deadline, usage: Usage::default(), begun: false };
        match self.asked(&mut work).await {
            Ok(draft) => {
                let cost_usd = self.purse.cost(work.usage);
                let Usage { input_tokens, output_tokens } = work.usage;
                let settings_digest = Some(self.settings_digest.clone());
                Ok(Draft { input_tokens, output_tokens, cost_usd, settings_digest, ..draft })
            }
            Err(AnalyzeError::Fatal(reason)) => Err(AnalyzeError::Fatal(reason)),
            Err(error) if self.settings.falls_back => {
                tracing::debug!(kind = error.kind().as_str(), "the embedded analyzer takes a trace that the model could not analyse");
                Ok(Arc::unwrap_or_clone(work.findings).verdict)
            }
            Err(error) => Err(error),
        }
    }
}

/// What is kept of a trace's time to write down how it ended.
const MARGIN: Duration = Duration::from_millis(100);

impl Llm {
    /// Asks, and asks once more where the answer is none and there is time.
    async fn asked(&self, work: &mut Work) -> Result<Draft, AnalyzeError> {
        let mut complaint = None;
        loop {
            let begun = work.deadline.left();
            let reply = self.replied(work, complaint).await?;
            let took = begun.saturating_sub(work.deadline.left());
            let (prompt, trace, findings) = (Arc::clone(&work.prompt), Arc::clone(&work.trace), Arc::clone(&work.findings));
            // What the provider says goes into a table.
            let model = reply.model.as_deref().unwrap_or(self.api.model());
            let model = model.chars().filter(|c| !c.is_control()).take(100).collect();
            let read = pool::run(move || pool::guarded(|| answer::draft(&reply, &prompt, &trace, &findings))).await;
            match read.map_err(AnalyzeError::Defect)? {
                Ok((draft, grounding)) => {
                    self.counts.add_dropped(grounding.given - grounding.found);
                    let spans_seen = work.prompt.spans_seen as u64;
                    return Ok(Draft { analyzer: self.api.name().into(), model, spans_seen, ..draft });
                }
                Err(unusable) => {
                    self.counts.add_dropped(unusable.grounding.given - unusable.grounding.found);
                    // A second answer will take about as long as the first.
                    let in_time = work.deadline.left() > took + MARGIN;
                    match unusable.complaint.filter(|_| complaint.is_none() && in_time) {
                        Some(what) => complaint = Some(what),
                        None => return Err(AnalyzeError::Rejected { kind: unusable.kind, reason: unusable.reason }),
                    }
                }
            }
        }
    }

    /// One reply, by as many requests as it takes.
    async fn replied(&self, work: &mut Work, complaint: Option<&str>) -> Result<Reply, AnalyzeError> {
        let text = complaint.map(|complaint| work.prompt.with_complaint(complaint));
        let question = Question {
            instructions: prompt::INSTRUCTIONS,
            text: text.as_deref().unwrap_or(&work.prompt.text),
            schema: answer::schema(),
            output_tokens: self.settings.output_tokens,
        };
        // With the complaint and what the provider adds.
        let most = Usage { input_tokens: work.prompt.bytes() + 4_096, output_tokens: self.settings.output_tokens };
        let mut attempts = 0;
        let mut last: Option<AnalyzeError> = None;
        loop {
            if let Some(reason) = self.quota.get() {
                return Err(AnalyzeError::Rejected { kind: Kind::QuotaExhausted, reason: reason.clone() });
            }
            let time = work.deadline.left().saturating_sub(MARGIN);
            let again = std::mem::replace(&mut work.begun, true);
            let is_out = AtomicBool::new(false);
            let tried = tokio::time::timeout(time, self.request(&question, most, work.deadline, again, &is_out)).await;
            let refusal = match tried {
                Err(_) if last.is_none() && !is_out.load(Ordering::Relaxed) && self.limiter.is_closed() => {
                    let reason = format!("{} asked for a pause that outlasts the time of this trace", self.api.name());
                    return Err(AnalyzeError::Rejected { kind: Kind::RateLimited, reason });
                }
                // What was wrong before says more than that the time ran out while waiting to try again.
                Err(_) => return Err(last.map_or(AnalyzeError::TimedOut(work.deadline.budget()), |last| self.given_up(last))),
                Ok(Tried::Answered(reply)) => {
                    work.usage += reply.usage;
                    return Ok(reply);
                }
                Ok(Tried::TimedOut) => return Err(AnalyzeError::TimedOut(work.deadline.budget())),
                Ok(Tried::TooExpensive) => {
                    self.counts.limit_cost();
                    let most = self.settings.cost_max_usd.unwrap_or_default();
                    let reason = format!("the run may spend {most} US dollars, and this trace could have cost more than what was left");
                    return Err(AnalyzeError::Rejected { kind: Kind::CostLimit, reason });
                }
                Ok(Tried::Again) => continue,
                Ok(Tried::Refused(refusal)) => refusal,
            };
            let (error, wait) = self.judge(refusal)?;
            attempts += 1;
            let wait = wait.unwrap_or_default().max(backoff(attempts));
            if wait + MARGIN >= work.deadline.left() {
                return Err(self.given_up(error));
            }
            last = Some(error);
            tokio::time::sleep(wait).await;
        }
    }

    /// What a refusal means for the trace, and how long to wait before the next try; an error where there is none.
    fn judge(&self, refusal: Refusal) -> Result<(AnalyzeError, Option<Duration>), AnalyzeError> {
        let asked = format!("{} ({})", self.api.name(), self.api.model());
        match refusal {
            Refusal::Everything(reason) => Err(AnalyzeError::Fatal(format!("{asked}: {reason}"))),
            Refusal::Quota(reason) => {
                let reason = format!("{asked} allows no more requests for now: {reason}");
                if self.quota.set(reason.clone()).is_ok() {
                    // What the provider says stands in the rejections, which are redacted; a log is not.
                    tracing::warn!("{asked} allows no more requests for now; no more are made");
                }
                Err(AnalyzeError::Rejected { kind: Kind::QuotaExhausted, reason })
            }
            Refusal::This(reason) => {
                Err(AnalyzeError::Rejected { kind: Kind::RequestRefused, reason: format!("{asked} refused the request: {reason}") })
            }
            Refusal::TooMany { reason, wait, .. } => {
                Ok((AnalyzeError::Rejected { kind: Kind::RateLimited, reason: format!("{asked} allows fewer requests: {reason}") }, wait))
            }
            Refusal::Failing { reason, wait, .. } => {
                Ok((AnalyzeError::Rejected { kind: Kind::ProviderError, reason: format!("{asked} failed: {reason}") }, wait))
            }
        }
    }

    /// The error of a trace that was tried until its time ran out: where nothing ever answered, no other will fare better.
    fn given_up(&self, error: AnalyzeError) -> AnalyzeError {
        match error {
            AnalyzeError::Rejected { kind: Kind::ProviderError, reason } if !self.reached.load(Ordering::Relaxed) => {
                AnalyzeError::Fatal(format!("{reason}\n  hint: nothing answers at {}; --base-url names another place", self.api.url()))
            }
            error => error,
        }
    }

    /// One request; `is_out` is set once it goes out.
    async fn request(&self, question: &Question<'_>, most: Usage, deadline: Deadline, again: bool, is_out: &AtomicBool) -> Tried {
        let Some(mut reserved) = self.purse.reserve(most).await else { return Tried::TooExpensive };
        let headers = match self.api.credentials().await {
            Ok(headers) => headers,
            Err(reason) => return Tried::Refused(Refusal::Everything(format!("cannot get credentials: {reason}"))),
        };
        let request = Bytes::from(self.api.body(question));
        if again {
            self.limiter.again();
        }
        let sent = self.limiter.departure().await;
        reserved.goes_out();
        is_out.store(true, Ordering::Relaxed);
        let time = deadline.left().saturating_sub(MARGIN);
        let answer = match self.http.post(&self.api.url(), headers, request.clone(), time).await {
            Ok(answer) => {
                self.reached.store(true, Ordering::Relaxed);
                answer
            }
            // Nobody knows whether it is paid for, so what was set aside is gone.
            Err(Broken::TimedOut) => {
                self.reached.store(true, Ordering::Relaxed);
                return Tried::TimedOut;
            }
            Err(Broken::Failed(reason)) => {
                return Tried::Refused(Refusal::Failing { reason, wait: None, overloaded: false });
            }
        };
        if answer.status.is_success() {
            return match self.api.reply(&answer.json()) {
                Ok(reply) => {
                    self.limiter.answered(sent, reply.usage.input_tokens.saturating_add(reply.usage.output_tokens));
                    reserved.settle(reply.usage);
                    self.counts.add_usage(reply.usage.input_tokens, reply.usage.output_tokens, self.purse.cost(reply.usage));
                    Tried::Answered(reply)
                }
                Err(what) => {
                    let reason = format!("its answer is no answer: {what}");
                    Tried::Refused(Refusal::Failing { reason, wait: None, overloaded: false })
                }
            };
        }
        reserved.settle(Usage::default());
        let body = answer.json();
        if self.api.simplify(&String::from_utf8_lossy(&request), answer.status, &body) {
            return Tried::Again;
        }
        let refusal = self.api.refusal(answer.status, &answer.headers, &body);
        match &refusal {
            Refusal::TooMany { wait, per_minute, .. } => self.limiter.refused(sent, *wait, *per_minute),
            Refusal::Failing { wait, overloaded: true, .. } => self.limiter.overloaded(sent, *wait),
            _ => {}
        }
        Tried::Refused(refusal)
    }
}

/// What became of one request.
enum Tried {
    Answered(Reply),
    Refused(Refusal),
    /// The server lacks something that was asked for, and is asked for less.
    Again,
    TimedOut,
    TooExpensive,
}

/// A random time that grows with the attempts, so that those who failed together do not come back together.
fn backoff(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(300);
    const LONGEST: Duration = Duration::from_secs(3);
    let most = (FIRST * 2_u32.saturating_pow(attempts.saturating_sub(1).min(8))).min(LONGEST);
    let random = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or(0);
    most / 2 + most * u32::from(random) / 512
}
