//! Decides when an analysis may start and when its requests may be sent.
//!
//! Combines the two limits of a provider: how many analyses it can serve at once ([`ConcurrencyLimiter`]) and how many requests a second it accepts
//! ([`Pacer`]). Both learn from every answer, rate-limit error (429) and overload.

use std::sync::Arc;
use std::time::Duration;

use super::concurrency::ConcurrencyLimiter;
use super::pacer::{Pacer, SentRequest};
use crate::runtime::ConcurrencyPermit;

/// The limits that the user set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct RequestLimits {
    /// Concurrent analyses at the start.
    pub(super) concurrency: usize,
    pub(super) concurrency_max: usize,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) tokens_per_minute: Option<u32>,
}

/// Decides when requests are sent.
#[derive(Debug)]
pub(super) struct RequestLimiter {
    concurrency: Arc<ConcurrencyLimiter>,
    pacer: Pacer,
}

impl RequestLimiter {
    pub(super) fn new(limits: RequestLimits) -> Self {
        Self {
            concurrency: Arc::new(ConcurrencyLimiter::new(limits.concurrency, limits.concurrency_max)),
            pacer: Pacer::new(limits.requests_per_minute, limits.tokens_per_minute),
        }
    }

    /// Waits for a permit and, if `paced`, until the rate allows another analysis to start.
    pub(super) async fn acquire_permit(&self, paced: bool) -> ConcurrencyPermit {
        // Nothing closes the semaphore; if something did, working without a limit is better than not working.
        let Some(mut permit) = self.concurrency.acquire().await else { return ConcurrencyPermit::default() };
        if paced {
            self.pacer.wait_to_start().await;
        }
        permit.activate();
        ConcurrencyPermit::holding(permit)
    }

    /// Announces a retry, so that analyses that have not started yet leave a slot of the rate for it.
    pub(super) fn announce_retry(&self) {
        self.pacer.announce_retry();
    }

    /// Whether no request may be sent now.
    pub(super) fn is_paused(&self) -> bool {
        self.pacer.is_paused()
    }

    /// Waits until a request of a started analysis may be sent, and records that it was.
    pub(super) async fn wait_to_send(&self) -> SentRequest {
        self.pacer.wait_to_send().await
    }

    /// The request was answered and took `tokens`, input and output.
    pub(super) fn record_answer(&self, sent: SentRequest, tokens: u64) {
        self.pacer.record_answer(tokens);
        self.concurrency.record_latency(sent.at.elapsed());
    }

    /// The request was rate-limited (429): `wait` is the pause that the provider asks for, `requests_per_minute` the limit
    /// that it names.
    pub(super) fn record_rate_limit(&self, sent: SentRequest, wait: Option<Duration>, requests_per_minute: Option<f64>) {
        let rate = self.pacer.record_rate_limit(sent, wait, requests_per_minute);
        self.concurrency.record_overload(sent.at, rate);
    }

    /// The provider is overloaded and asks for a pause of `wait`.
    pub(super) fn record_overload(&self, sent: SentRequest, wait: Option<Duration>) {
        if let Some(wait) = wait {
            self.pacer.pause(wait);
        }
        self.concurrency.record_overload(sent.at, None);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use tokio::time::Instant;

    use super::*;
    use crate::analyze::llm::concurrency::CONCURRENCY_MIN;

    fn limits(concurrency: usize, concurrency_max: usize) -> RequestLimits {
        RequestLimits { concurrency, concurrency_max, requests_per_minute: None, tokens_per_minute: None }
    }

    fn as_f64(count: usize) -> f64 {
        f64::from(u32::try_from(count).unwrap())
    }

    /// Disturbances of an even pace.
    #[derive(Clone, Copy, Default)]
    struct Disturbance {
        /// The longest delay between permission to send and sending, and between sending and arrival.
        jitter: Duration,
        /// The time for which the machine stalls every ten seconds.
        stall: Duration,
    }

    impl Disturbance {
        /// Waits for the end of a stall.
        async fn wait_for_stall(self, started: Instant) {
            let into = Duration::from_secs_f64(started.elapsed().as_secs_f64() % 10.0).saturating_sub(Duration::from_secs(5));
            if !into.is_zero() && into < self.stall {
                tokio::time::sleep(self.stall.saturating_sub(into)).await;
            }
        }

        async fn delay(self, number: usize) {
            // Multiples of the golden ratio are evenly distributed, and neighbours differ.
            tokio::time::sleep(self.jitter.mul_f64((as_f64(number) * 0.618_034).fract())).await;
        }
    }

    /// Runs `requests` against a simulated provider that allows `rate` requests in each sliding second. Returns the achieved rate in requests
    /// a second and the number of rate-limited requests.
    async fn simulate(rate: usize, concurrency: usize, requests: usize, latency: Duration, disturbance: Disturbance) -> (f64, usize) {
        let limiter = Arc::new(RequestLimiter::new(limits(concurrency, concurrency)));
        let window = Arc::new(Mutex::new(VecDeque::new()));
        let rejections = Arc::new(Mutex::new(0));
        let started = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for request in 0..requests {
            let (limiter, window, rejections) = (Arc::clone(&limiter), Arc::clone(&window), Arc::clone(&rejections));
            tasks.spawn(async move {
                let _permit = limiter.acquire_permit(true).await;
                loop {
                    disturbance.wait_for_stall(started).await;
                    disturbance.delay(request * 7).await;
                    let sent = limiter.wait_to_send().await;
                    disturbance.wait_for_stall(started).await;
                    disturbance.delay(usize::try_from(sent.number).unwrap()).await;
                    let passes = {
                        let mut window = window.lock().unwrap();
                        while window.front().is_some_and(|at: &Instant| at.elapsed() >= Duration::from_secs(1)) {
                            window.pop_front();
                        }
                        let passes = window.len() < rate;
                        window.extend(passes.then(Instant::now));
                        passes
                    };
                    if passes {
                        tokio::time::sleep(latency).await;
                        disturbance.wait_for_stall(started).await;
                        limiter.record_answer(sent, 1_000);
                        return;
                    }
                    *rejections.lock().unwrap() += 1;
                    limiter.record_rate_limit(sent, None, None);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    limiter.announce_retry();
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let rejections = *rejections.lock().unwrap();
        (as_f64(requests) / started.elapsed().as_secs_f64(), rejections)
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_that_a_provider_allows_is_found_and_kept() {
        for (rate, concurrency, latency) in [(20, 64, 50), (20, 8, 50), (20, 64, 1_000), (5, 8, 50), (200, 64, 100)] {
            let requests = rate * 60;
            let (achieved, limited) = simulate(rate, concurrency, requests, Duration::from_millis(latency), Disturbance::default()).await;
            assert!(achieved >= 0.95 * as_f64(rate), "{rate}/s, {concurrency} at once, {latency} ms: {achieved:.2}/s");
            assert!(20 * limited < requests, "{rate}/s, {concurrency} at once, {latency} ms: {limited} of {requests} rate-limited");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_does_not_make_the_learned_rate_far_too_slow() {
        let milliseconds = Duration::from_millis;
        for (jitter, stall) in [(50, 0), (200, 0), (0, 1_000), (0, 3_000), (100, 2_000)] {
            let disturbance = Disturbance { jitter: milliseconds(jitter), stall: milliseconds(stall) };
            let (achieved, limited) = simulate(20, 32, 1_200, milliseconds(200), disturbance).await;
            // Requests that are missed during a stall cannot be caught up.
            let possible = 20.0 * (1.0 - disturbance.stall.as_secs_f64() / 10.0);
            assert!(achieved >= 0.9 * possible, "{jitter} ms of jitter, stalls of {stall} ms: {achieved:.2}/s of {possible}");
            assert!(10 * limited < 1_200, "{jitter} ms of jitter, stalls of {stall} ms: {limited} rate-limited");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn rate_limit_errors_unrelated_to_the_rate_do_not_stall_the_run() {
        let limiter = RequestLimiter::new(limits(8, 8));
        let started = Instant::now();
        for number in 0..300 {
            let sent = limiter.wait_to_send().await;
            if number % 3 == 0 {
                limiter.record_answer(sent, 1_000);
            } else {
                limiter.record_rate_limit(sent, Some(Duration::from_millis(100)), None);
            }
        }
        assert!(started.elapsed() < Duration::from_secs(90), "{:?}", started.elapsed());
        assert!(limiter.concurrency.limit() >= CONCURRENCY_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_is_sent_before_waiting_analyses_and_counts_towards_the_rate() {
        let limiter = Arc::new(RequestLimiter::new(RequestLimits { requests_per_minute: Some(60), ..limits(8, 8) }));
        let started = Instant::now();
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let limiter = Arc::clone(&limiter);
            waiting.spawn(async move {
                let _permit = limiter.acquire_permit(true).await;
                limiter.wait_to_send().await;
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        limiter.announce_retry();
        limiter.wait_to_send().await;
        assert!(started.elapsed() < Duration::from_millis(1_100), "{:?}", started.elapsed());
        while waiting.join_next().await.is_some() {}
        assert!((started.elapsed().as_secs_f64() - 5.0).abs() < 0.1, "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn concurrency_falls_when_answers_become_slow_and_recovers() {
        let limiter = RequestLimiter::new(limits(16, 24));
        let answer = async |seconds: f64| {
            let sent = limiter.wait_to_send().await;
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            limiter.record_answer(sent, 1_000);
        };
        for _ in 0..400 {
            answer(0.5).await;
        }
        assert_eq!(limiter.concurrency.limit(), 24);
        for _ in 0..30 {
            answer(4.0).await;
        }
        let slow = limiter.concurrency.limit();
        assert!((CONCURRENCY_MIN..20).contains(&slow), "{slow}");
        for _ in 0..600 {
            answer(0.5).await;
        }
        assert_eq!(limiter.concurrency.limit(), 24);
    }

    #[tokio::test]
    async fn surplus_permits_are_not_returned() {
        let limiter = RequestLimiter::new(limits(8, 8));
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(limiter.acquire_permit(false).await);
        }
        let sent = limiter.wait_to_send().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        limiter.record_overload(sent, None);
        assert_eq!(limiter.concurrency.limit(), 5);
        drop(held);
        assert_eq!(limiter.concurrency.available(), 5);
    }
}
