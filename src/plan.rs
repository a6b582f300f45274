//! What a run with a model would take, before anything is spent: the traces are read, redacted and written as questions, and nobody is asked.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use crate::analyze::llm::{Estimate, Estimator};
use crate::config::AnalysisConfig;
use crate::pipeline::{Prepared, Progress, RunError, Traces};
use crate::runtime::Deadline;
use crate::runtime::{Shutdown, pool};
use crate::{store, write};

/// What a run would take.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The model, where that is known without asking the server.
    pub model: Option<String>,
    /// Traces about which it would be asked.
    pub traces: u64,
    /// Traces whose pattern is there already, or whose answer was paid for and could not be used.
    pub unchanged: u64,
    /// Traces that the selection leaves out.
    pub filtered: u64,
    /// Traces and records that could not be processed.
    pub rejected: u64,
    /// Traces of which the question shows a part only.
    pub cut: u64,
    /// Tokens of the questions.
    pub input_tokens: Range<u64>,
    /// Tokens of the answers.
    pub output_tokens: Range<u64>,
    /// US dollars; nothing where the price is not known.
    pub cost_usd: Option<Range<f64>>,
    /// Minutes that the model would take.
    pub minutes: Range<f64>,
}

/// A number that is not known exactly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range<T> {
    /// At least, as far as can be told.
    pub least: T,
    /// At most, as far as can be told.
    pub most: T,
}

/// Tokens of one answer: without thoughts, and with thoughts or a second answer.
const ANSWER_TOKENS: Range<u64> = Range { least: 350, most: 1_800 };

/// The count errs on the high side for prose, and some answers have to be asked for again: shares of the count, in percent.
const INPUT_PERCENT: Range<u64> = Range { least: 70, most: 115 };

/// Seconds until an answer is there.
const ANSWER_SECONDS: Range<f64> = Range { least: 2.0, most: 7.0 };

/// Looks at what a run over this input would ask. `output` says where patterns may lie already; `force` that these do not count.
///
/// # Errors
/// [`RunError`]; nothing where the analyzer asks no model.
pub async fn plan(config: &AnalysisConfig, output: Option<&str>, force: bool) -> Result<Option<Plan>, RunError> {
    let nowhere = || url::Url::parse("memory://nowhere/").map_err(|error| RunError::Format(error.to_string()));
    let place = output.map(store::table_url).transpose()?;
    let prepared = Prepared::new(config, &place.clone().map_or_else(nowhere, Ok)?).await?;
    let Some(estimator) = prepared.estimator()? else { return Ok(None) };
    let finished = match (&place, estimator.settings_digest.as_deref().filter(|_| !force)) {
        (Some(place), Some(digest)) => write::reusable_results(place, digest).await?,
        _ => Arc::default(),
    };
    let progress = Progress::default();
    let Traces { traces, fatal, .. } = &mut prepared.traces(&progress, None, &Shutdown::default())?;
    let (timeout, looking) = (config.trace_timeout, estimator.clone());
    let traces = std::mem::replace(traces, futures::stream::empty().boxed());
    let mut looked_at = pool::map_outcomes(traces, move |trace| {
        let digest = trace.digest();
        let is_there = finished.claim(&trace.trace_id, &digest, trace.spans.len(), &trace.source.uri);
        if is_there || finished.unusable_answer(&trace.trace_id, &digest).is_some() {
            return Ok(Seen::Unchanged);
        }
        let estimate = pool::catch_panic(|| looking.of(&trace, Deadline::after(timeout))).ok().flatten();
        Ok(Seen::New { estimate, spans: trace.spans.len() as u64 })
    });
    let mut counts = Counts::default();
    while let Some(seen) = looked_at.next().await {
        counts.add(seen.as_ref().ok());
    }
    if let Some(reason) = fatal.get() {
        return Err(RunError::Gather(reason.to_owned()));
    }
    Ok(Some(counts.plan(config, &estimator, progress.filtered())))
}

enum Seen {
    Unchanged,
    New { estimate: Option<Estimate>, spans: u64 },
}

#[derive(Debug, Default)]
struct Counts {
    traces: u64,
    unchanged: u64,
    rejected: u64,
    cut: u64,
    tokens: u64,
}

impl Counts {
    fn add(&mut self, seen: Option<&Seen>) {
        match seen {
            Some(Seen::New { estimate: Some(estimate), spans }) => {
                self.traces += 1;
                self.tokens += estimate.input_tokens;
                self.cut += u64::from(estimate.spans_seen < *spans);
            }
            Some(Seen::Unchanged) => self.unchanged += 1,
            Some(Seen::New { estimate: None, .. }) | None => self.rejected += 1,
        }
    }

    fn plan(self, config: &AnalysisConfig, estimator: &Estimator, filtered: u64) -> Plan {
        let answer = |tokens: u64| tokens.min(config.model.output_tokens) * self.traces;
        let input_tokens = Range { least: self.tokens * INPUT_PERCENT.least / 100, most: self.tokens * INPUT_PERCENT.most / 100 };
        let output_tokens = Range { least: answer(ANSWER_TOKENS.least), most: answer(ANSWER_TOKENS.most) };
        let cost = |input, output| estimator.cost(input, output);
        let cost_usd = cost(input_tokens.least, output_tokens.least)
            .zip(cost(input_tokens.most, output_tokens.most))
            .map(|(least, most)| Range { least, most });
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
                least: minutes(ANSWER_SECONDS.least, config.model.concurrency_max, input_tokens.least + output_tokens.least),
                most: minutes(ANSWER_SECONDS.most, config.model.concurrency, input_tokens.most + output_tokens.most),
            },
        }
    }
}

/// Whatever takes longest: answers, requests a minute, or tokens a minute.
#[expect(clippy::cast_precision_loss, reason = "an estimate")]
fn minutes(config: &AnalysisConfig, traces: u64, tokens: u64, answer_seconds: f64, at_once: usize) -> f64 {
    let rounds = (traces as f64 / at_once.max(1) as f64).ceil();
    let answer = answer_seconds.min(Duration::as_secs_f64(&config.trace_timeout));
    let by_requests = config.model.requests_per_minute.map_or(0.0, |limit| traces as f64 / f64::from(limit.max(1)));
    let by_tokens = config.model.tokens_per_minute.map_or(0.0, |limit| tokens as f64 / f64::from(limit.max(1)));
    (rounds * answer / 60.0).max(by_requests).max(by_tokens)
}
