//! One trace's question on its way to an answer: repeated where that can help, put otherwise where the provider refuses how it was put.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::super::AnalyzeError;
use super::answer::{self, Unusable};
use super::api::{Broken, Question, Refusal, Reply, Usage};
use super::limiter::Sent;
use super::manner::{self, Manner};
use super::said::{self, Said};
use super::{Llm, Work, prompt};
use crate::limits::CONSECUTIVE_UNUSABLE_ANSWERS_MAX;
use crate::model::{Draft, RejectionKind};
use crate::runtime::Deadline;
use crate::runtime::pool;

/// What is kept of a trace's time to write down how it ended.
const MARGIN: Duration = Duration::from_millis(100);

impl Llm {
    /// Asks, and asks once more where the answer is none and there is time.
    pub(super) async fn asked(&self, work: &mut Work) -> Result<Draft, AnalyzeError> {
        let begun = work.deadline.remaining();
        let reply = self.replied(work, None).await?;
        let took = begun.saturating_sub(work.deadline.remaining());
        let mut answer = self.read(work, reply).await?;
        if let Err(unusable) = &answer
            && let Some(complaint) = unusable.complaint.clone()
            // A second answer will take about as long as the first.
            && self.breaker.repairs()
            && work.deadline.remaining() > took + MARGIN
        {
            match self.replied(work, Some(complaint)).await {
                Ok(reply) => answer = self.read(work, reply).await?,
                Err(AnalyzeError::Fatal(reason)) => return Err(AnalyzeError::Fatal(reason)),
                // There is none; that there is a first one, which was paid for, says more.
                Err(_) => {}
            }
        }
        match answer {
            Ok(draft) => {
                self.breaker.useful();
                Ok(draft)
            }
            Err(Unusable { kind, reason, .. }) => {
                self.note_useless();
                Err(AnalyzeError::Rejected { kind, reason })
            }
        }
    }

    /// The draft that an answer makes, or why it is none.
    async fn read(&self, work: &Work, reply: Reply) -> Result<Result<Draft, Unusable>, AnalyzeError> {
        let (prompt, trace, findings) = (Arc::clone(&work.prompt), Arc::clone(&work.trace), Arc::clone(&work.findings));
        // What the provider says goes into a table.
        let model = reply.model.as_deref().unwrap_or(self.api.model());
        let model = model.chars().filter(|c| !c.is_control()).take(100).collect();
        let deadline = work.deadline;
        let read = pool::run(move || pool::catch_panic(|| answer::draft(&reply, &prompt, &trace, &findings, deadline))).await;
        Ok(match read.map_err(AnalyzeError::Defect)?? {
            Ok((draft, grounding)) => {
                self.counts.add_dropped(grounding.given - grounding.found);
                let spans_seen = work.prompt.spans_seen as u64;
                Ok(Draft { analyzer: self.api.name().into(), model, spans_seen, ..draft })
            }
            Err(unusable) => {
                self.counts.add_dropped(unusable.grounding.given - unusable.grounding.found);
                Err(unusable)
            }
        })
    }

    fn note_useless(&self) {
        if self.breaker.useless() {
            tracing::warn!(
                "{} gave no usable answer for {CONSECUTIVE_UNUSABLE_ANSWERS_MAX} traces in a row; it is not asked any more in this run",
                self.described()
            );
        }
    }

    /// `gemini (gemini-3.5-flash)`
    fn described(&self) -> String {
        format!("{} ({})", self.api.name(), self.api.model())
    }

    /// Why no request goes out any more.
    fn closed(&self) -> Option<AnalyzeError> {
        if let Some(reason) = self.counts.fatal() {
            return Some(AnalyzeError::Fatal(reason));
        }
        if let Some(reason) = self.quota.get() {
            return Some(AnalyzeError::Rejected { kind: RejectionKind::QuotaExhausted, reason: reason.clone() });
        }
        self.breaker.is_open().then(|| AnalyzeError::Rejected {
            kind: RejectionKind::CircuitOpen,
            reason: format!(
                "{} gave no usable answer for {CONSECUTIVE_UNUSABLE_ANSWERS_MAX} traces in a row, so that it was not asked about this one",
                self.described()
            ),
        })
    }

    /// One reply, by as many requests as it takes.
    async fn replied(&self, work: &mut Work, complaint: Option<String>) -> Result<Reply, AnalyzeError> {
        let question = Question {
            instructions: prompt::INSTRUCTIONS,
            prompt: Arc::clone(&work.prompt),
            complaint,
            schema: answer::schema(),
            output_tokens: self.settings.output_tokens,
        };
        // With the complaint and what the provider adds.
        let most = Usage { input_tokens: work.prompt.bytes() + 4_096, output_tokens: self.settings.output_tokens };
        let mut attempts = 0;
        let mut last: Option<AnalyzeError> = None;
        loop {
            if let Some(closed) = self.closed() {
                return Err(closed);
            }
            let time = work.deadline.remaining().saturating_sub(MARGIN);
            let again = std::mem::replace(&mut work.begun, true);
            let is_out = AtomicBool::new(false);
            let tried = tokio::time::timeout(time, self.request(&question, most, work.deadline, again, &is_out)).await;
            let refusal = match tried {
                Err(_) if last.is_none() && !is_out.load(Ordering::Relaxed) && self.limiter.is_closed() => {
                    let reason = format!("{} asked for a pause that outlasts the time of this trace", self.api.name());
                    return Err(AnalyzeError::Rejected { kind: RejectionKind::RateLimited, reason });
                }
                // What was wrong before says more than that the time ran out while waiting to try again.
                Err(_) => return Err(last.map_or(AnalyzeError::TimedOut(work.deadline.budget()), |last| self.given_up(last))),
                Ok(Tried::Answered(reply, usage)) => {
                    work.usage += usage;
                    return Ok(reply);
                }
                Ok(Tried::TimedOut) => return Err(AnalyzeError::TimedOut(work.deadline.budget())),
                Ok(Tried::TooExpensive) => {
                    self.counts.limit_cost();
                    let most = self.settings.cost_max_usd.unwrap_or_default();
                    let reason = format!("the run may spend {most} US dollars, and this trace could have cost more than what was left");
                    return Err(AnalyzeError::Rejected { kind: RejectionKind::CostLimit, reason });
                }
                Ok(Tried::Again) => continue,
                Ok(Tried::Refused(refusal)) => refusal,
            };
            let (error, wait) = self.judge(refusal)?;
            attempts += 1;
            let wait = wait.unwrap_or_default().max(backoff(attempts));
            if wait + MARGIN >= work.deadline.remaining() {
                return Err(self.given_up(error));
            }
            last = Some(error);
            tokio::time::sleep(wait).await;
        }
    }

    /// What a refusal means for the trace, and how long to wait before the next try; an error where there is none.
    fn judge(&self, refusal: Refusal) -> Result<(AnalyzeError, Option<Duration>), AnalyzeError> {
        let asked = self.described();
        match refusal {
            Refusal::Everything(reason) => Err(AnalyzeError::Fatal(format!("{asked}: {reason}"))),
            Refusal::Quota(reason) => {
                let reason = format!("{asked} allows no more requests for now: {reason}");
                if self.quota.set(reason.clone()).is_ok() {
                    // What the provider says stands in the rejections, which are redacted; a log is not.
                    tracing::warn!("{asked} allows no more requests for now; no more are made");
                }
                Err(AnalyzeError::Rejected { kind: RejectionKind::QuotaExhausted, reason })
            }
            Refusal::This(reason) => {
                self.note_useless();
                Err(AnalyzeError::Rejected {
                    kind: RejectionKind::RequestRefused,
                    reason: format!("{asked} refused the request: {reason}"),
                })
            }
            Refusal::TooMany { reason, wait, .. } => Ok((
                AnalyzeError::Rejected { kind: RejectionKind::RateLimited, reason: format!("{asked} allows fewer requests: {reason}") },
                wait,
            )),
            Refusal::Failing { reason, wait, .. } => {
                Ok((AnalyzeError::Rejected { kind: RejectionKind::ProviderError, reason: format!("{asked} failed: {reason}") }, wait))
            }
        }
    }

    /// The error of a trace that was tried until its time ran out: where nothing ever answered, no other will fare better.
    fn given_up(&self, error: AnalyzeError) -> AnalyzeError {
        match error {
            AnalyzeError::Rejected { kind: RejectionKind::ProviderError, reason } if !self.reached.load(Ordering::Relaxed) => {
                AnalyzeError::Fatal(format!("{reason}\n  hint: nothing answers at {}; --base-url names another place", self.api.url()))
            }
            error => error,
        }
    }

    /// One request; `is_out` is set once it goes out.
    async fn request(&self, question: &Question, most: Usage, deadline: Deadline, again: bool, is_out: &AtomicBool) -> Tried {
        let Some(mut reserved) = self.purse.reserve(most).await else { return Tried::TooExpensive };
        let headers = match self.api.credentials().await {
            Ok(headers) => headers,
            Err(reason) => return Tried::Refused(Refusal::Everything(format!("cannot get credentials: {reason}"))),
        };
        let manner = self.manners.now();
        let (api, asked) = (Arc::clone(&self.api), question.clone());
        let request = Bytes::from(pool::run(move || api.body(&asked, manner)).await);
        let request_bytes = request.len();
        if again {
            self.limiter.again();
        }
        let sent = self.limiter.departure().await;
        reserved.goes_out();
        is_out.store(true, Ordering::Relaxed);
        let time = deadline.remaining().saturating_sub(MARGIN);
        let answer = self.http.post(&self.api.url(), headers, request, time).await;
        // Half an answer comes from somebody too.
        self.reached.fetch_or(!matches!(answer, Err(Broken::NotSent(_))), Ordering::Relaxed);
        let answer = match answer {
            Ok(answer) => answer,
            // Nobody knows whether it is paid for, so what was set aside is gone.
            Err(Broken::TimedOut) => return Tried::TimedOut,
            Err(Broken::Failed(reason)) => return Tried::failing(reason),
            Err(Broken::NotSent(reason)) => {
                reserved.settle(Usage::default());
                return Tried::failing(reason);
            }
        };
        let body = answer.json().await;
        let status = if answer.status.is_success() { said::status_inside(&body).unwrap_or(answer.status) } else { answer.status };
        let reply = if status.is_success() { self.api.reply(&body) } else { self.api.withheld(&body).ok_or_else(String::new) };
        match reply {
            Ok(reply) => {
                let usage = self.usage_of(&reply, request_bytes);
                self.limiter.answered(sent, usage.input_tokens.saturating_add(usage.output_tokens));
                reserved.settle(usage);
                self.counts.add_usage(usage.input_tokens, usage.output_tokens, self.purse.cost(usage));
                self.follow.cancel();
                Tried::Answered(reply, usage)
            }
            Err(what) if status.is_success() => Tried::failing(format!("its answer is no answer: {what}")),
            Err(_) => {
                reserved.settle(Usage::default());
                self.refused(&Refused {
                    status,
                    headers: &answer.headers,
                    body: &body,
                    manner,
                    sent,
                    tokens: question.output_tokens(manner),
                })
            }
        }
    }

    /// What is made of a refusal: the question is put otherwise from now on, or it is waited, or not.
    fn refused(&self, refused: &Refused<'_>) -> Tried {
        let Refused { status, manner, sent, .. } = *refused;
        // Some models are called after what they can do.
        let said = Said::of(refused.body).without(self.api.model());
        let refusal = self.api.refusal(status, refused.headers, refused.body, &said);
        // A key that is refused is not asked for less.
        if manner::is_about_manner(status) && !(matches!(refusal, Refusal::Everything(_)) && status != StatusCode::NOT_FOUND) {
            let silence = || manner.after_silence(&said).filter(|_| status == StatusCode::BAD_REQUEST);
            if self.manners.refused(manner, manner.after(&said, refused.tokens).or_else(silence)) {
                return Tried::Again;
            }
        }
        match &refusal {
            Refusal::TooMany { wait, per_minute, .. } => self.limiter.refused(sent, *wait, *per_minute),
            Refusal::Failing { wait, overloaded: true, .. } => self.limiter.overloaded(sent, *wait),
            _ => {}
        }
        Tried::Refused(refusal)
    }

    /// What an answer took; estimated where the provider did not count, or counted what cannot be.
    fn usage_of(&self, reply: &Reply, request_bytes: usize) -> Usage {
        reply.usage.filter(|usage| usage.is_plausible(request_bytes)).unwrap_or_else(|| {
            self.counts.add_estimated();
            Usage { input_tokens: prompt::tokens_of(request_bytes), output_tokens: prompt::tokens_of(reply.written_bytes) }
        })
    }
}

/// A refusal, and the request that was refused.
struct Refused<'a> {
    status: StatusCode,
    headers: &'a HeaderMap,
    body: &'a Value,
    manner: Manner,
    sent: Sent,
    /// Tokens of an answer that were asked for.
    tokens: u64,
}

/// What became of one request.
enum Tried {
    /// With what it took.
    Answered(Reply, Usage),
    Refused(Refusal),
    /// The question was put in a manner that the server does not know, and is put otherwise.
    Again,
    TimedOut,
    TooExpensive,
}

impl Tried {
    fn failing(reason: String) -> Self {
        Self::Refused(Refusal::Failing { reason, wait: None, overloaded: false })
    }
}

/// A random time that grows with the attempts, so that those who failed together do not come back together.
fn backoff(attempts: u32) -> Duration {
    const FIRST: Duration = Duration::from_millis(300);
    const LONGEST: Duration = Duration::from_secs(3);
    let most = (FIRST * 2_u32.saturating_pow(attempts.saturating_sub(1).min(8))).min(LONGEST);
    let random = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or(0);
    most / 2 + most * u32::from(random) / 512
}

#[cfg(test)]
mod tests {
    use super::super::{Provider, Settings};
    use super::*;
    use crate::analyze::{AnalyzeCounts, Analyzer, embedded::Embedded};
    use crate::model::{Span, Status, Trace};
    use crate::redact::{RedactedTrace, RedactionKey, Redactor};

    /// A port at which nobody listens: that of a listener which is gone.
    fn nowhere() -> String {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    }

    async fn asking(base_url: String) -> Llm {
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
        Llm::connect(Provider::OpenAi, settings, Embedded::new().unwrap(), "", counts).await.unwrap()
    }

    fn trace() -> Arc<RedactedTrace> {
        let span = Span { span_id: "1".into(), status: Status::Error, status_message: Some("it broke".into()), ..Span::default() };
        let redactor = Redactor::new(RedactionKey::from_text("a key for tests only").unwrap());
        let trace = Trace { trace_id: "t1".into(), spans: vec![span], ..Trace::default() };
        Arc::new(redactor.redact_trace(trace, Deadline::after(Duration::from_mins(1))).unwrap())
    }

    #[tokio::test]
    async fn a_refused_connection_costs_nothing() {
        for base_url in [nowhere(), "http://no-such-host.invalid/v1".to_owned()] {
            let llm = asking(base_url).await;
            let refused = llm.analyze(trace(), Deadline::after(Duration::from_secs(2))).await.unwrap_err();
            assert!(matches!(&refused, AnalyzeError::Fatal(reason) if reason.contains("nothing answers")), "{refused}");
            // All of the money is there for one request that could cost all of it.
            let all = Usage { input_tokens: 50_000, output_tokens: 0 };
            assert!(llm.purse.reserve(all).await.is_some());
            assert!((llm.counts.spent().cost_usd).abs() < f64::EPSILON);
        }
    }
}
