//! Paces requests: uses a provider's rate limit without exceeding it.
//!
//! A rate comes from the user (`--requests-per-minute`, `--tokens-per-minute`), from the provider's error details, or from rate-limit errors (429):
//! the pacer learns how many requests were let through, stays just below, and probes upwards again.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::REQUEST_INTERVAL_MAX;

/// Spaces requests evenly at the current rate.
#[derive(Debug)]
pub(super) struct Pacer {
    rate: Mutex<RequestRate>,
    /// Analyses that wait to start; the time budget of a trace begins after this queue.
    start_queue: Queue,
    /// Requests that are ready to send. A second queue is needed because some prompts take longer to prepare than others.
    send_queue: Queue,
}

/// A request that was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct SentRequest {
    pub(super) number: u64,
    pub(super) at: Instant,
}

impl Pacer {
    pub(super) fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>) -> Self {
        let now = Instant::now();
        Self {
            rate: Mutex::new(RequestRate::new(requests_per_minute, tokens_per_minute, now)),
            start_queue: Queue::new(now),
            send_queue: Queue::new(now),
        }
    }

    /// Waits until another analysis may start.
    pub(super) async fn wait_to_start(&self) {
        self.start_queue.wait(&self.rate).await;
    }

    /// Announces a retry. It takes precedence over analyses that wait to start, because the time budget of its trace already runs.
    pub(super) fn announce_retry(&self) {
        self.start_queue.bypassed.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until a request may be sent, and records that it was.
    pub(super) async fn wait_to_send(&self) -> SentRequest {
        self.send_queue.wait(&self.rate).await;
        self.rate().record_sent(Instant::now())
    }

    /// Whether nothing may be sent now: the provider asked for a pause, or rate-limited too many requests.
    pub(super) fn is_paused(&self) -> bool {
        self.rate().resume_at > Instant::now()
    }

    /// Records an answer that took `tokens`, input and output.
    pub(super) fn record_answer(&self, tokens: u64) {
        self.rate().record_answer(Instant::now(), tokens);
    }

    /// Records a rate-limit error (429): `wait` is the pause that the provider asks for, `requests_per_minute` the limit that it names. Returns the
    /// new rate in requests a second.
    pub(super) fn record_rate_limit(&self, sent: SentRequest, wait: Option<Duration>, requests_per_minute: Option<f64>) -> Option<f64> {
        self.rate().record_rate_limit(sent, wait, requests_per_minute, Instant::now())
    }

    /// Sends nothing for `wait`.
    pub(super) fn pause(&self, wait: Duration) {
        self.rate().pause_until(Instant::now() + wait);
    }

    fn rate(&self) -> MutexGuard<'_, RequestRate> {
        lock(&self.rate)
    }

    #[cfg(test)]
    pub(super) fn requests_per_second(&self) -> Option<f64> {
        self.rate().per_second(Instant::now())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets waiting tasks pass one at a time, first come first served, at the rate that applies when they pass.
#[derive(Debug)]
struct Queue {
    next_at: tokio::sync::Mutex<Instant>,
    /// Requests that passed outside the queue; each takes one slot of the rate.
    bypassed: AtomicU32,
}

impl Queue {
    fn new(now: Instant) -> Self {
        Self { next_at: tokio::sync::Mutex::new(now), bypassed: AtomicU32::new(0) }
    }

    async fn wait(&self, rate: &Mutex<RequestRate>) {
        /// The delay that is caught up. Timers are late on a busy machine; after a longer stall, the missed requests must not be sent all at once.
        const CATCH_UP_MAX: Duration = Duration::from_millis(20);
        let mut next_at = self.next_at.lock().await;
        loop {
            let (now, bypassed) = (Instant::now(), self.bypassed.swap(0, Ordering::Relaxed));
            if bypassed > 0 {
                *next_at = (*next_at).max(now) + (lock(rate).interval(now) * bypassed).min(REQUEST_INTERVAL_MAX);
            }
            let at = (*next_at).max(lock(rate).resume_at);
            if at <= now {
                *next_at = at.max(now.checked_sub(CATCH_UP_MAX).unwrap_or(now)) + lock(rate).interval(now);
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }
}

/// The rate at which requests may be sent, with the recent requests that it was learned from.
#[derive(Debug)]
struct RequestRate {
    /// The limit that the user or the provider named, in requests a second.
    configured: Option<f64>,
    learned: Option<LearnedRate>,
    tokens_per_second: Option<f64>,
    /// Moving average.
    tokens_per_request: f64,
    /// Requests of the last minutes: when sent, number, whether rate-limited.
    sent: VecDeque<(Instant, u64, bool)>,
    /// Nothing is sent before this time; from then on requests are sent at this rate.
    resume_at: Instant,
    last_number: u64,
}

/// A rate learned from rate-limit errors, in requests a second. After one, the rate falls to `floor`, returns to just below `limited`, stays there
/// for a while, and then probes upwards ever faster. This is the curve of CUBIC (RFC 9438, section 4.2), except that the time to return is given and
/// not the steepness.
#[derive(Debug, Clone, Copy)]
struct LearnedRate {
    floor: f64,
    limited: f64,
    at: Instant,
}

impl LearnedRate {
    fn per_second(&self, now: Instant) -> f64 {
        let recovery_s = duration_s(60, self.floor).clamp(5.0, 120.0);
        let time = (now - self.at).as_secs_f64() / recovery_s - 1.0;
        let drop = (self.limited - self.floor).max(self.limited * (1.0 - SAFETY_FACTOR));
        (self.limited + drop * time.powi(3)).max(RATE_MIN)
    }
}

/// The share of the highest allowed rate that is used.
const SAFETY_FACTOR: f64 = 0.985;

/// The slowest rate, in requests a second.
const RATE_MIN: f64 = 0.1;

/// The time for which sent requests are remembered.
const HISTORY: Duration = Duration::from_mins(2);

/// Rate-limit errors within this time have the same cause.
const SAME_EVENT: Duration = Duration::from_millis(500);

/// The time that `requests` take at `rate`, in seconds.
fn duration_s(requests: u32, rate: f64) -> f64 {
    f64::from(requests) / rate
}

impl RequestRate {
    fn new(requests_per_minute: Option<u32>, tokens_per_minute: Option<u32>, now: Instant) -> Self {
        /// Assumed until answers report their tokens: a trace of some thousand tokens.
        const TOKENS_PER_REQUEST: f64 = 4_000.0;
        let per_second = |per_minute: u32| f64::from(per_minute.max(1)) / 60.0;
        Self {
            configured: requests_per_minute.map(per_second),
            learned: None,
            tokens_per_second: tokens_per_minute.map(per_second),
            tokens_per_request: TOKENS_PER_REQUEST,
            sent: VecDeque::new(),
            resume_at: now,
            last_number: 0,
        }
    }

    /// Requests a second; `None` without any limit.
    fn per_second(&self, now: Instant) -> Option<f64> {
        match (self.configured, self.learned.map(|learned| learned.per_second(now))) {
            (Some(configured), Some(learned)) => Some(configured.min(learned)),
            (configured, learned) => configured.or(learned),
        }
    }

    /// The time between two requests.
    fn interval(&self, now: Instant) -> Duration {
        let by_requests = self.per_second(now).map_or(0.0, |rate| 1.0 / rate);
        let by_tokens = self.tokens_per_second.map_or(0.0, |tokens| self.tokens_per_request / tokens);
        Duration::from_secs_f64(by_requests.max(by_tokens).min(REQUEST_INTERVAL_MAX.as_secs_f64()))
    }

    fn record_sent(&mut self, now: Instant) -> SentRequest {
        /// Bounds memory at rates that no provider allows.
        const HISTORY_MAX: usize = 10_000;
        while self.sent.len() >= HISTORY_MAX || self.sent.front().is_some_and(|(at, ..)| now - *at > HISTORY) {
            self.sent.pop_front();
        }
        self.last_number += 1;
        self.sent.push_back((now, self.last_number, false));
        SentRequest { number: self.last_number, at: now }
    }

    fn record_answer(&mut self, now: Instant, tokens: u64) {
        /// Pacing has no effect at higher rates.
        const RATE_MAX: f64 = 1_000.0;
        #[expect(clippy::cast_precision_loss, reason = "tokens of a request")]
        let tokens = tokens as f64;
        self.tokens_per_request += (tokens - self.tokens_per_request) * 0.1;
        self.learned = self.learned.filter(|learned| learned.per_second(now) < RATE_MAX);
    }

    fn record_rate_limit(
        &mut self,
        sent: SentRequest,
        wait: Option<Duration>,
        requests_per_minute: Option<f64>,
        now: Instant,
    ) -> Option<f64> {
        if let Some((.., limited)) = self.sent.iter_mut().rev().find(|(_, number, _)| *number == sent.number) {
            *limited = true;
        }
        if let Some(wait) = wait {
            self.pause_until(now + wait);
        }
        if let Some(requests) = requests_per_minute {
            let named = (requests / 60.0).max(RATE_MIN);
            self.configured = Some(self.configured.map_or(named, |configured| configured.min(named)));
            return self.per_second(now);
        }
        match self.learned {
            // Requests sent before there was a rate only show how many were let through.
            None => self.learn_from_burst(sent, f64::INFINITY, now),
            Some(learned) if sent.at < self.resume_at => self.learn_from_burst(sent, learned.floor, now),
            Some(learned) => self.learned = Some(self.learn_from_pace(learned, sent, now)),
        }
        self.per_second(now)
    }

    /// The rate after an evenly paced request was rate-limited: slightly below what was let through.
    fn learn_from_pace(&self, learned: LearnedRate, sent: SentRequest, now: Instant) -> LearnedRate {
        let rate = learned.per_second(now);
        let same_event = now - learned.at < SAME_EVENT;
        let limited = if same_event { learned.limited } else { rate };
        // Long enough that one request more or less makes little difference.
        let (shortest_s, longest_s) = (duration_s(30, rate).clamp(2.0, 60.0), duration_s(60, rate).clamp(5.0, 120.0));
        let window = (sent.at - self.resume_at).min(Duration::from_secs_f64(longest_s));
        let floor = if window.as_secs_f64() >= shortest_s {
            let Window { passed, total, floor_min } = self.window(sent.at.checked_sub(window).unwrap_or(sent.at), window);
            // If fewer requests were sent than allowed, those that passed underestimate the limit.
            let allowed = (passed / window.as_secs_f64()).max(rate * passed / total.max(1.0));
            (SAFETY_FACTOR * allowed).clamp(floor_min.min(rate), rate)
        } else if same_event {
            rate
        } else {
            (rate * SAFETY_FACTOR).max(RATE_MIN)
        };
        LearnedRate { floor, limited, at: now }
    }

    /// Learns as many requests a second as were let through in the second around `sent`, which includes earlier requests because one that was
    /// sent early may arrive late and be rate-limited. These requests were too fast, so the next one waits until they would have been due.
    fn learn_from_burst(&mut self, sent: SentRequest, rate_max: f64, now: Instant) {
        let second = Duration::from_secs(1);
        let started = self.sent.iter().map(|(at, ..)| *at).find(|at| sent.at.duration_since(*at) < second).unwrap_or(sent.at);
        let Window { passed, floor_min, .. } = self.window(started, second);
        let rate = (SAFETY_FACTOR * passed).max(floor_min).min(rate_max);
        self.learned = Some(LearnedRate { floor: rate, limited: rate, at: now });
        self.resume_at = self.resume_at.max(started + Duration::from_secs_f64((passed / rate).min(2.0)));
    }

    /// Counts the requests that were sent in the window `[from, from + length)`.
    fn window(&self, from: Instant, length: Duration) -> Window {
        /// If most requests are rate-limited even at this rate, the cause may be another one. Slowing down further would stall the run, and
        /// rate-limited requests are free.
        const LEARNED_MIN: f64 = 4.0;
        /// A window with fewer requests proves nothing.
        const REQUESTS_MIN: usize = 8;
        let in_window = |(at, ..): &&(Instant, u64, bool)| *at >= from && *at - from < length;
        let total = self.sent.iter().filter(in_window).count();
        let passed = self.sent.iter().filter(in_window).filter(|(.., limited)| !limited).count();
        let floor_min = if 2 * passed < total || total < REQUESTS_MIN { LEARNED_MIN } else { RATE_MIN };
        Window { passed: as_f64(passed), total: as_f64(total), floor_min }
    }

    fn pause_until(&mut self, until: Instant) {
        /// Longer pauses are shortened, so that a pause never stalls a run.
        const PAUSE_MAX: Duration = Duration::from_mins(2);
        self.resume_at = self.resume_at.max(until.min(Instant::now() + PAUSE_MAX));
    }
}

/// The counts of [`RequestRate::window`].
struct Window {
    passed: f64,
    total: f64,
    /// The lowest rate that may be concluded from it.
    floor_min: f64,
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests")]
fn as_f64(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_rate_has_a_lower_bound() {
        let pacer = Pacer::new(None, None);
        let rate = || pacer.requests_per_second().unwrap();
        for _ in 0..2_000 {
            pacer.record_rate_limit(pacer.wait_to_send().await, None, None);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(rate() >= RATE_MIN, "{}", rate());
        }
        pacer.record_rate_limit(pacer.wait_to_send().await, None, Some(0.0));
        assert!(rate() >= RATE_MIN, "{}", rate());
    }

    #[tokio::test(start_paused = true)]
    async fn limits_per_minute_are_kept() {
        let pacer = Pacer::new(Some(120), None);
        let started = Instant::now();
        for _ in 0..21 {
            pacer.wait_to_send().await;
        }
        assert!((started.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", started.elapsed());
        let pacer = Pacer::new(None, Some(240_000));
        let started = Instant::now();
        for _ in 0..11 {
            pacer.wait_to_send().await;
            pacer.record_answer(4_000);
        }
        assert!((started.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_token_count_does_not_stall_the_run() {
        let pacer = Pacer::new(None, Some(1_000));
        pacer.wait_to_send().await;
        pacer.record_answer(u64::MAX);
        let started = Instant::now();
        pacer.wait_to_send().await;
        pacer.wait_to_send().await;
        assert!(started.elapsed() <= 2 * REQUEST_INTERVAL_MAX, "{:?}", started.elapsed());
    }
}
