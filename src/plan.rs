//! Estimates what a run with a model would cost, before anything is spent: traces are read, redacted and turned into prompts, and no model is
//! called.

use std::sync::Arc;
use std::time::Duration;

use crate::analyze::llm::{Estimate, Estimator};
use crate::config::AnalysisConfig;
use crate::model::OutcomeStream;
use crate::pipeline::{PreparedRun, RunError, RunProgress};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, Shutdown, pool};
use crate::store;
use crate::write::{self, ReusableResults};

/// What a run would cost.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The model, if it is known without asking the server.
    pub model: Option<String>,
    /// Traces for which the model would be called.
    pub traces: u64,
    /// Traces whose pattern is up to date, or whose answer was paid for and is unusable.
    pub unchanged: u64,
    /// Traces that the selection excludes.
    pub filtered: u64,
    /// Traces and records that could not be processed.
    pub rejected: u64,
    /// Traces whose prompt contains only some of their spans.
    pub cut: u64,
    /// Model tokens of the prompts.
    pub input_tokens: Range<u64>,
    /// Model tokens of the answers.
    pub output_tokens: Range<u64>,
    /// US dollars; `None` if the price is unknown.
    pub cost_usd: Option<Range<f64>>,
    /// Minutes until all answers have arrived.
    pub minutes: Range<f64>,
}

/// An estimate with its lower and upper bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<T> {
    /// The lower bound.
    pub min: T,
    /// The upper bound.
    pub max: T,
}

/// Model tokens of one answer: without reasoning, and with reasoning or a second attempt.
const ANSWER_TOKENS: Range<u64> = Range { min: 350, max: 1_800 };

/// Percentages of the counted tokens: the count is too high for prose, and some prompts are sent twice because their answer is unusable.
const INPUT_PERCENT: Range<u64> = Range { min: 70, max: 115 };

/// Seconds until an answer arrives.
const ANSWER_SECONDS: Range<f64> = Range { min: 2.0, max: 7.0 };

/// Estimates what a run over this input would request from the model. Traces whose pattern in the tables at `output` is up to date are not
/// analyzed again, unless `force` is set. `None` if the analyzer uses no model.
///
/// # Errors
/// [`RunError`].
pub async fn plan(config: &AnalysisConfig, output: Option<&str>, force: bool) -> Result<Option<Plan>, RunError> {
    let no_output = || url::Url::parse("memory://nowhere/").map_err(|error| RunError::Format(error.to_string()));
    let output = output.map(store::table_url).transpose()?;
    let prepared = PreparedRun::new(config, &output.clone().map_or_else(no_output, Ok)?).await?;
    let Some(estimator) = prepared.estimator()? else { return Ok(None) };
    let finished = match (&output, estimator.settings_digest.as_deref().filter(|_| !force)) {
        (Some(output), Some(digest)) => write::reusable_results(output, digest).await?,
        _ => Arc::default(),
    };
    let progress = RunProgress::default();
    let traces = prepared.into_traces(&progress, &finished, &Shutdown::default())?;
    let mut estimates = traces.map(|traces| estimates(traces, estimator.clone(), finished, config.trace_timeout));
    let mut totals = Totals::default();
    while let Some(estimate) = estimates.next().await {
        totals.add(estimate.as_ref().ok());
    }
    estimates.check_complete()?;
    Ok(Some(totals.plan(config, &estimator, progress.filtered())))
}

/// What a run would do with a trace.
enum TraceEstimate {
    /// Nothing: its pattern is up to date, or its answer was paid for and is unusable.
    UpToDate,
    /// A request, unless its prompt cannot be made in time.
    Request { estimate: Option<Estimate>, spans: u64 },
}

fn estimates(
    traces: OutcomeStream<RedactedTrace>,
    estimator: Estimator,
    finished: Arc<ReusableResults>,
    timeout: Duration,
) -> OutcomeStream<TraceEstimate> {
    pool::map_outcomes(traces, move |trace| {
        let digest = trace.digest();
        let is_up_to_date = finished.claim(&trace.trace_id, &digest, trace.spans.len(), &trace.source.uri);
        if is_up_to_date || finished.unusable_answer(&trace.trace_id, &digest).is_some() {
            return Ok(TraceEstimate::UpToDate);
        }
        let estimate = pool::catch_panic(|| estimator.estimate(&trace, Deadline::after(timeout))).ok().flatten();
        Ok(TraceEstimate::Request { estimate, spans: trace.spans.len() as u64 })
    })
}

#[derive(Debug, Default)]
struct Totals {
    traces: u64,
    unchanged: u64,
    rejected: u64,
    cut: u64,
    tokens: u64,
}

impl Totals {
    fn add(&mut self, estimate: Option<&TraceEstimate>) {
        match estimate {
            Some(TraceEstimate::Request { estimate: Some(estimate), spans }) => {
                self.traces += 1;
                self.tokens += estimate.input_tokens;
                self.cut += u64::from(estimate.spans_seen < *spans);
            }
            Some(TraceEstimate::UpToDate) => self.unchanged += 1,
            Some(TraceEstimate::Request { estimate: None, .. }) | None => self.rejected += 1,
        }
    }

    fn plan(self, config: &AnalysisConfig, estimator: &Estimator, filtered: u64) -> Plan {
        let answer = |tokens: u64| tokens.min(config.model.output_tokens) * self.traces;
        let input_tokens = Range { min: self.tokens * INPUT_PERCENT.min / 100, max: self.tokens * INPUT_PERCENT.max / 100 };
        let output_tokens = Range { min: answer(ANSWER_TOKENS.min), max: answer(ANSWER_TOKENS.max) };
        let cost = |input, output| estimator.cost_usd(input, output);
        let cost_usd =
            cost(input_tokens.min, output_tokens.min).zip(cost(input_tokens.max, output_tokens.max)).map(|(min, max)| Range { min, max });
        let minutes = |seconds: f64, at_once: usize, tokens: u64| minutes(config, self.traces, tokens, seconds, at_once);
        Plan {
            model: estimator.model.clone(),
            traces: self.traces,
            unchanged: self.unchanged,
            filtered,
            rejected: self.rejected,
            cut: self.cut,
            input_tokens,
            output_tokens,
            cost_usd,
            minutes: Range {
                min: minutes(ANSWER_SECONDS.min, config.model.concurrency_max, input_tokens.min + output_tokens.min),
                max: minutes(ANSWER_SECONDS.max, config.model.concurrency, input_tokens.max + output_tokens.max),
            },
        }
    }
}

/// The minutes that the slowest limit allows: waiting for answers, requests per minute, or tokens per minute.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn minutes(config: &AnalysisConfig, traces: u64, tokens: u64, answer_seconds: f64, at_once: usize) -> f64 {
    let rounds = (traces as f64 / at_once.max(1) as f64).ceil();
    let answer = answer_seconds.min(Duration::as_secs_f64(&config.trace_timeout));
    let by_requests = config.model.requests_per_minute.map_or(0.0, |limit| traces as f64 / f64::from(limit.max(1)));
    let by_tokens = config.model.tokens_per_minute.map_or(0.0, |limit| tokens as f64 / f64::from(limit.max(1)));
    (rounds * answer / 60.0).max(by_requests).max(by_tokens)
}
