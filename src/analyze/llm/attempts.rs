//! Gets the answer for one trace: sends the request, retries, drops options that the provider does not support, and asks once more if the answer
//! is unusable.
//!
//! Knows what each outcome means for the trace and for the run; `api` knows the provider's format, and `answer` judges what the model wrote.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::AnalyzeError;
use super::answer::{self, InvalidAnswer};
use super::api::{ApiError, ModelRequest, RawAnswer, Usage};
use super::cost::Reservation;
use super::error_message::{self, ErrorMessage};
use super::pacer::SentRequest;
use super::request_options::{self, RequestOptions};
use super::{LlmAnalyzer, TraceAnalysis, prompt};
use crate::http::{Response, TransportError};
use crate::limits::CONSECUTIVE_UNUSABLE_ANSWERS_MAX;
use crate::model::{Draft, RejectionKind};
use crate::runtime::{Deadline, pool};

/// The part of a trace's time budget that is kept to record the outcome.
const RESERVED_TIME: Duration = Duration::from_millis(100);

/// The outcome of one request.
enum AttemptOutcome {
    Answered(RawAnswer, Usage),
    Failed(ApiError),
    /// The options were not supported; the current ones differ.
    Retry,
    TimedOut,
    /// The cost limit does not allow the request.
    OverBudget,
}

impl AttemptOutcome {
    fn unavailable(message: String) -> Self {
        Self::Failed(ApiError::Unavailable { message, wait: None, is_overloaded: false })
    }
}

/// What must be known about a sent request to handle its response.
#[derive(Clone, Copy)]
struct SentAttempt {
    options: RequestOptions,
    sent: SentRequest,
    request_bytes: usize,
    /// The limit of the answer that was requested.
    output_tokens_max: u64,
}

impl LlmAnalyzer {
    /// Requests an answer and makes a draft of it. Asks a second time if the first answer is unusable and there is time.
    pub(super) async fn request_draft(&self, analysis: &mut TraceAnalysis) -> Result<Draft, AnalyzeError> {
        let remaining = analysis.deadline.remaining();
        let answer = self.request_answer(analysis, None).await?;
        let took = remaining.saturating_sub(analysis.deadline.remaining());
        let mut result = self.evaluate(analysis, answer).await?;
        if let Err(invalid) = &result
            && let Some(feedback) = invalid.feedback.clone()
            && self.breaker.allows_repair()
            // A second answer will take about as long as the first.
            && analysis.deadline.remaining() > took + RESERVED_TIME
        {
            match self.request_answer(analysis, Some(feedback)).await {
                Ok(answer) => result = self.evaluate(analysis, answer).await?,
                Err(AnalyzeError::Fatal(reason)) => return Err(AnalyzeError::Fatal(reason)),
                // Keeps the error of the first answer, which was paid for and is more informative.
                Err(AnalyzeError::TimedOut(_) | AnalyzeError::Bug(_) | AnalyzeError::Rejected { .. }) => {}
            }
        }
        match result {
            Ok(draft) => {
                self.breaker.record_success();
                Ok(draft)
            }
            Err(InvalidAnswer { kind, reason, .. }) => {
                self.record_failure();
                Err(AnalyzeError::Rejected { kind, reason })
            }
        }
    }

    /// Makes a draft of an answer, or returns why it is unusable.
    async fn evaluate(&self, analysis: &TraceAnalysis, answer: RawAnswer) -> Result<Result<Draft, InvalidAnswer>, AnalyzeError> {
        let (prompt, trace, findings) = (Arc::clone(&analysis.prompt), Arc::clone(&analysis.trace), Arc::clone(&analysis.findings));
        // The provider's text is stored in a table, so it is bounded.
        let model = answer.model.as_deref().unwrap_or(self.api.model());
        let model = model.chars().filter(|c| !c.is_control()).take(100).collect();
        let deadline = analysis.deadline;
        let result = pool::run(move || pool::catch_panic(|| answer::draft(&answer, &prompt, &trace, &findings, deadline))).await;
        Ok(match result.map_err(AnalyzeError::Bug)?? {
            Ok((draft, grounding)) => {
                self.counts.add_dropped(grounding.given - grounding.found);
                let spans_seen = analysis.prompt.spans_seen as u64;
                Ok(Draft { analyzer: self.api.analyzer().into(), model, spans_seen, ..draft })
            }
            Err(invalid) => {
                self.counts.add_dropped(invalid.grounding.given - invalid.grounding.found);
                Err(invalid)
            }
        })
    }

    /// Counts a trace without a usable answer, and warns when that opens the circuit breaker.
    fn record_failure(&self) {
        if self.breaker.record_failure() {
            tracing::warn!(
                "{} gave no usable answer for {CONSECUTIVE_UNUSABLE_ANSWERS_MAX} traces in a row; no more requests are sent in this run",
                self.provider_and_model()
            );
        }
    }

    /// `Gemini (gemini-3.5-flash)`
    fn provider_and_model(&self) -> String {
        format!("{} ({})", self.api.provider(), self.api.model())
    }

    /// The error of every trace after requests were stopped for this run; `None` if they were not.
    fn stopped_error(&self) -> Option<AnalyzeError> {
        if let Some(reason) = self.counts.fatal() {
            return Some(AnalyzeError::Fatal(reason));
        }
        if let Some(reason) = self.quota_exhausted.get() {
            return Some(AnalyzeError::Rejected { kind: RejectionKind::QuotaExhausted, reason: reason.clone() });
        }
        self.breaker.is_open().then(|| AnalyzeError::Rejected {
            kind: RejectionKind::CircuitOpen,
            reason: self.with_hint(
                format!(
                    "{} gave no usable answer for {CONSECUTIVE_UNUSABLE_ANSWERS_MAX} traces in a row, so it was not asked about this trace",
                    self.provider_and_model()
                ),
                "fix the model and run again, or use --fallback embedded",
            ),
        })
    }

    /// Requests one answer, with as many attempts as needed.
    async fn request_answer(&self, analysis: &mut TraceAnalysis, feedback: Option<String>) -> Result<RawAnswer, AnalyzeError> {
        let request = ModelRequest {
            instructions: prompt::INSTRUCTIONS,
            prompt: Arc::clone(&analysis.prompt),
            feedback,
            schema: answer::schema(),
            output_tokens_max: self.settings.output_tokens,
        };
        // The addend covers the feedback and what the provider adds.
        let usage_max = Usage { input_tokens: analysis.prompt.bytes() + 4_096, output_tokens: self.settings.output_tokens };
        let mut retries = 0;
        let mut last_error: Option<AnalyzeError> = None;
        loop {
            if let Some(stopped) = self.stopped_error() {
                return Err(stopped);
            }
            let timeout = analysis.deadline.remaining().saturating_sub(RESERVED_TIME);
            let is_retry = std::mem::replace(&mut analysis.has_sent, true);
            let was_sent = AtomicBool::new(false);
            let attempt = self.attempt(&request, usage_max, analysis.deadline, is_retry, &was_sent);
            let error = match tokio::time::timeout(timeout, attempt).await {
                Err(_) if last_error.is_none() && !was_sent.load(Ordering::Relaxed) && self.limiter.is_paused() => {
                    let reason = format!("{} asked for a pause longer than the time left for this trace", self.api.provider());
                    return Err(AnalyzeError::Rejected { kind: RejectionKind::RateLimited, reason });
                }
                // An earlier error is more informative than the timeout of its retry.
                Err(_) => return Err(last_error.map_or(AnalyzeError::TimedOut(analysis.deadline.budget()), |error| self.give_up(error))),
                Ok(AttemptOutcome::Answered(answer, usage)) => {
                    analysis.usage += usage;
                    return Ok(answer);
                }
                Ok(AttemptOutcome::TimedOut) => return Err(AnalyzeError::TimedOut(analysis.deadline.budget())),
                Ok(AttemptOutcome::OverBudget) => return Err(self.over_budget()),
                Ok(AttemptOutcome::Retry) => continue,
                Ok(AttemptOutcome::Failed(error)) => error,
            };
            let (error, wait) = self.retryable(error)?;
            retries += 1;
            let wait = wait.unwrap_or_default().max(backoff(retries));
            if wait + RESERVED_TIME >= analysis.deadline.remaining() {
                return Err(self.give_up(error));
            }
            last_error = Some(error);
            tokio::time::sleep(wait).await;
        }
    }

    /// Appends a hint to the reason of a rejected trace. A fallback has none: its reasons are shown on one line.
    fn with_hint(&self, reason: String, hint: &str) -> String {
        if self.settings.falls_back { reason } else { format!("{reason}\n  hint: {hint}") }
    }

    fn over_budget(&self) -> AnalyzeError {
        self.counts.record_cost_limit();
        let limit = self.settings.cost_max_usd.unwrap_or_default();
        let reason = format!("the cost limit of {limit} US dollars does not allow this request");
        let reason = self.with_hint(reason, "raise --max-cost");
        AnalyzeError::Rejected { kind: RejectionKind::CostLimit, reason }
    }

    /// The trace's error for an API error, and the wait that the provider asks for.
    ///
    /// # Errors
    /// The trace's error, if a retry cannot help.
    fn retryable(&self, error: ApiError) -> Result<(AnalyzeError, Option<Duration>), AnalyzeError> {
        match error {
            ApiError::Fatal(message) => Err(AnalyzeError::Fatal(message)),
            ApiError::QuotaExhausted(message) => {
                let reason = format!("the quota is exhausted: {message}");
                if self.quota_exhausted.set(reason.clone()).is_ok() {
                    // Without the provider's message: reasons are redacted, the log is not.
                    tracing::warn!("the quota of {} is exhausted; no more requests are sent in this run", self.provider_and_model());
                }
                Err(AnalyzeError::Rejected { kind: RejectionKind::QuotaExhausted, reason })
            }
            ApiError::RequestRefused(message) => {
                self.record_failure();
                Err(AnalyzeError::Rejected { kind: RejectionKind::RequestRefused, reason: message })
            }
            ApiError::RateLimited { message, wait, .. } => {
                Ok((AnalyzeError::Rejected { kind: RejectionKind::RateLimited, reason: message }, wait))
            }
            ApiError::Unavailable { message, wait, .. } => {
                Ok((AnalyzeError::Rejected { kind: RejectionKind::ProviderError, reason: message }, wait))
            }
        }
    }

    /// The error of a trace whose time ran out. If the provider was never reached, it ends the run: other traces would fail too.
    fn give_up(&self, error: AnalyzeError) -> AnalyzeError {
        match error {
            AnalyzeError::Rejected { kind: RejectionKind::ProviderError, reason } if !self.was_reached.load(Ordering::Relaxed) => {
                AnalyzeError::Fatal(format!("{reason}\n  hint: check the network and the URL; --base-url sets another one"))
            }
            error => error,
        }
    }

    /// Sends one request, and sets `was_sent` when it does.
    async fn attempt(
        &self,
        request: &ModelRequest,
        usage_max: Usage,
        deadline: Deadline,
        is_retry: bool,
        was_sent: &AtomicBool,
    ) -> AttemptOutcome {
        let Some(mut reservation) = self.budget.reserve(usage_max).await else { return AttemptOutcome::OverBudget };
        let headers = match self.api.auth_headers().await {
            Ok(headers) => headers,
            Err(reason) => return AttemptOutcome::Failed(ApiError::Fatal(reason)),
        };
        let options = self.options.get();
        let (api, cloned) = (Arc::clone(&self.api), request.clone());
        let body = Bytes::from(pool::run(move || api.request_body(&cloned, options)).await);
        let request_bytes = body.len();
        if is_retry {
            self.limiter.announce_retry();
        }
        let sent = self.limiter.wait_to_send().await;
        reservation.mark_sent();
        was_sent.store(true, Ordering::Relaxed);
        self.counts.add_request(is_retry);
        let timeout = deadline.remaining().saturating_sub(RESERVED_TIME);
        let response = self.http.post(&self.api.url(), headers, body, timeout).await;
        // A connection that broke had reached the provider.
        self.was_reached.fetch_or(!matches!(response, Err(TransportError::NotSent(_))), Ordering::Relaxed);
        match response {
            Ok(response) => {
                let output_tokens_max = request.output_tokens_max(options);
                self.handle_response(&response, SentAttempt { options, sent, request_bytes, output_tokens_max }, reservation).await
            }
            // The provider may bill the request, so the reservation is charged by dropping it.
            Err(TransportError::TimedOut) => AttemptOutcome::TimedOut,
            Err(TransportError::Failed(cause)) => {
                AttemptOutcome::unavailable(format!("the connection to {} failed: {cause}", self.api.provider()))
            }
            Err(TransportError::NotSent(cause)) => {
                reservation.release();
                AttemptOutcome::unavailable(format!("cannot connect to {} at {}: {cause}", self.api.provider(), self.api.url()))
            }
        }
    }

    /// Reads the answer from a response and charges its cost, or handles the error in it.
    async fn handle_response(&self, response: &Response, attempt: SentAttempt, reservation: Reservation<'_>) -> AttemptOutcome {
        let body = response.json().await;
        let status = match response.status {
            status if status.is_success() => error_message::wrapped_error_status(&body).unwrap_or(status),
            status => status,
        };
        let answer =
            if status.is_success() { self.api.parse_answer(&body) } else { self.api.answer_in_error(&body).ok_or_else(String::new) };
        match answer {
            Ok(answer) => {
                let usage = self.usage_of(&answer, attempt.request_bytes);
                self.limiter.record_answer(attempt.sent, usage.input_tokens.saturating_add(usage.output_tokens));
                reservation.charge(usage);
                self.counts.add_usage(usage.input_tokens, usage.output_tokens, self.budget.cost_usd(usage));
                self.first_answer.cancel();
                AttemptOutcome::Answered(answer, usage)
            }
            // The provider may bill a response without an answer, so the reservation is charged by dropping it.
            Err(problem) if status.is_success() => {
                AttemptOutcome::unavailable(format!("invalid response from {}: {problem}", self.api.provider()))
            }
            Err(_) => {
                reservation.release();
                self.handle_error(status, &response.headers, &body, attempt)
            }
        }
    }

    /// Classifies an error response. Changes the options if they are unsupported, and slows down if the request was rate-limited.
    fn handle_error(&self, status: StatusCode, headers: &HeaderMap, body: &Value, attempt: SentAttempt) -> AttemptOutcome {
        let SentAttempt { options, sent, output_tokens_max, .. } = attempt;
        let message = ErrorMessage::from_body(body).without_model(self.api.model());
        let error = self.api.classify_error(status, headers, body, &message);
        // A rejected API key or region has nothing to do with options. A 404 may have: some gateways use it for models without a parameter.
        let is_final = matches!(error, ApiError::Fatal(_)) && status != StatusCode::NOT_FOUND;
        if request_options::may_concern_options(status) && !is_final {
            let after_unspecific = || options.after_unspecific_error(&message).filter(|_| status == StatusCode::BAD_REQUEST);
            let next = options.without_unsupported(&message, output_tokens_max).or_else(after_unspecific);
            if self.options.replace(options, next) {
                return AttemptOutcome::Retry;
            }
        }
        match &error {
            ApiError::RateLimited { wait, requests_per_minute, .. } => self.limiter.record_rate_limit(sent, *wait, *requests_per_minute),
            ApiError::Unavailable { wait, is_overloaded: true, .. } => self.limiter.record_overload(sent, *wait),
            ApiError::Unavailable { is_overloaded: false, .. }
            | ApiError::Fatal(_)
            | ApiError::QuotaExhausted(_)
            | ApiError::RequestRefused(_) => {}
        }
        AttemptOutcome::Failed(error)
    }

    /// The model tokens of an answer, estimated from bytes if the provider sent no count or an implausible one.
    fn usage_of(&self, answer: &RawAnswer, request_bytes: usize) -> Usage {
        answer.usage.filter(|usage| usage.is_plausible(request_bytes)).unwrap_or_else(|| {
            self.counts.add_estimated();
            Usage { input_tokens: prompt::estimate_tokens(request_bytes), output_tokens: prompt::estimate_tokens(answer.generated_bytes) }
        })
    }
}

/// A random wait that grows with the number of retries, so that requests that failed together are not repeated together.
fn backoff(retries: u32) -> Duration {
    const FIRST_MAX: Duration = Duration::from_millis(300);
    const MAX: Duration = Duration::from_secs(3);
    let max = (FIRST_MAX * 2_u32.saturating_pow(retries.saturating_sub(1).min(8))).min(MAX);
    max.mul_f64(0.5 + 0.5 * fastrand::f64())
}

#[cfg(test)]
mod tests {
    use super::super::{Provider, Settings};
    use super::*;
    use crate::analyze::{AnalyzeCounts, Analyzer, embedded::Embedded};
    use crate::model::{Span, Status, Trace};
    use crate::redact::{RedactedTrace, RedactionKey, Redactor};

    /// The URL of a port on which nothing listens: that of a listener that was closed.
    fn closed_port() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    }

    async fn connect(base_url: String) -> LlmAnalyzer {
        let settings = Settings {
            model: Some("mine".into()),
            base_url: Some(base_url),
            thinking: None,
            prompt_tokens: 4_000,
            output_tokens: 1_000,
            concurrency: 4,
            concurrency_max: 4,
            requests_per_minute: None,
            tokens_per_minute: None,
            cost_max_usd: Some(0.05),
            prices: Some("[[model]]\nname = 'mine'\ninput = 1\noutput = 1\n".into()),
            falls_back: false,
        };
        let counts = std::sync::Arc::<AnalyzeCounts>::default();
        LlmAnalyzer::connect(Provider::OpenAi, settings, Embedded::new().unwrap(), "", counts).await.unwrap()
    }

    fn trace() -> Arc<RedactedTrace> {
        let span = Span { span_id: "1".into(), status: Status::Error, status_message: Some("it broke".into()), ..Span::default() };
        let redactor = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap());
        let trace = Trace { trace_id: "t1".into(), spans: vec![span], ..Trace::default() };
        Arc::new(redactor.redact_trace(trace, Deadline::after(Duration::from_mins(1))).unwrap())
    }

    #[tokio::test]
    async fn a_refused_connection_costs_nothing_and_ends_the_run() {
        for base_url in [closed_port(), "http://no-such-host.invalid/v1".to_owned()] {
            let analyzer = connect(base_url.clone()).await;
            let error = analyzer.analyze(trace(), Deadline::after(Duration::from_secs(5))).await.unwrap_err();
            assert!(matches!(&error, AnalyzeError::Fatal(reason) if reason.contains(&format!("at {base_url}"))), "{error}");
            // The whole budget is free for one request that could cost all of it.
            let all = Usage { input_tokens: 50_000, output_tokens: 0 };
            assert!(analyzer.budget.reserve(all).await.is_some());
            assert!((analyzer.counts.spent().cost_usd).abs() < f64::EPSILON);
        }
    }

    #[test]
    fn backoff_grows_up_to_a_limit() {
        for (retries, max_ms) in [(1, 300), (2, 600), (3, 1_200), (10, 3_000), (1_000, 3_000)] {
            let wait = backoff(retries).as_millis();
            assert!((max_ms / 2..=max_ms).contains(&wait), "retry {retries}: {wait} ms");
        }
    }
}
