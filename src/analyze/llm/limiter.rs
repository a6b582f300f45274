//! How many analyses are under way at once, and how fast their requests go out.
//!
//! Two things limit a model's provider: how much it can do at once, and how many requests it allows in a stretch of time. The first shows as
//! rising latency and as "overloaded"; [`Slots`] answers with fewer analyses at once (additive increase, multiplicative decrease). The second
//! shows as refusals (429); [`Pace`] learns from what was let through how fast requests may go, stays just below, and feels its way up again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::model::Slot;

/// What the user allows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bounds {
    /// Analyses at once to begin with.
    pub(super) start: usize,
    /// And at most.
    pub(super) most: usize,
    pub(super) requests_per_minute: Option<u32>,
    pub(super) tokens_per_minute: Option<u32>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Limiter {
    slots: Arc<Slots>,
    pace: Mutex<Pace>,
}

/// A request that went out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    number: u64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self { slots: Arc::new(Slots::new(bounds)), pace: Mutex::new(Pace::new(bounds, Instant::now())) }
    }

    /// Waits for a place among the analyses under way.
    pub(super) async fn slot(&self) -> Slot {
        match Arc::clone(&self.slots.semaphore).acquire_owned().await {
            Ok(permit) => Slot::holding(Taken { permit: Some(permit), slots: Arc::clone(&self.slots) }),
            // Nobody closes it; if somebody did, working without a limit is better than not at all.
            Err(_) => Slot::default(),
        }
    }

    /// Waits for the moment at which the next request may go out.
    pub(super) async fn pace(&self) {
        loop {
            let at = lock(&self.pace).reserve(Instant::now());
            tokio::time::sleep_until(at).await;
            // The provider may have asked for a pause meanwhile.
            if lock(&self.pace).paused_until <= Instant::now() {
                return;
            }
        }
    }

    /// Notes that a request goes out now.
    pub(super) fn sent(&self) -> Sent {
        lock(&self.pace).sent(Instant::now())
    }

    /// The request was answered, with so many tokens in and out.
    pub(super) fn answered(&self, sent: Sent, tokens: u64) {
        let now = Instant::now();
        lock(&self.pace).answered(now, tokens);
        lock(&self.slots.state).answered(&self.slots.semaphore, now, now - sent.at);
    }

    /// The request was refused because there were too many; `wait` is how long the provider asks to wait.
    pub(super) fn refused(&self, sent: Sent, wait: Option<Duration>, per_minute: Option<f64>) {
        let rate = lock(&self.pace).refused(sent, wait, per_minute, Instant::now());
        lock(&self.slots.state).congested(&self.slots.semaphore, sent.at, rate);
    }

    /// The provider said that it has too much to do, and asks to wait for `wait`.
    pub(super) fn overloaded(&self, sent: Sent, wait: Option<Duration>) {
        if let Some(wait) = wait {
            lock(&self.pace).pause(Instant::now() + wait);
        }
        lock(&self.slots.state).congested(&self.slots.semaphore, sent.at, None);
    }

    #[cfg(test)]
    fn limit(&self) -> usize {
        lock(&self.slots.state).given
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Places for analyses, of which there are sometimes fewer.
#[derive(Debug)]
struct Slots {
    semaphore: Arc<Semaphore>,
    state: Mutex<SlotState>,
}

/// One place that is taken; free again once dropped, unless there shall be fewer.
struct Taken {
    permit: Option<OwnedSemaphorePermit>,
    slots: Arc<Slots>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = lock(&self.slots.state);
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.permit.take() {
                permit.forget();
            }
        }
    }
}

#[derive(Debug)]
struct SlotState {
    limit: f64,
    least: usize,
    most: usize,
    /// Places that there shall be: the limit, rounded down.
    given: usize,
    /// Places that are taken and shall not come back.
    surplus: usize,
    decreased_at: Option<Instant>,
    answers: u32,
    /// Latency of the last answers, and of many, in seconds.
    recent: f64,
    usual: f64,
}

/// Never fewer analyses at once, unless fewer were asked for.
const SLOTS_MIN: usize = 4;

impl Slots {
    fn new(bounds: Bounds) -> Self {
        let start = bounds.start.max(1);
        let state = SlotState {
            limit: as_number(start),
            least: SLOTS_MIN.min(start),
            most: bounds.most.max(start),
            given: start,
            surplus: 0,
            decreased_at: None,
            answers: 0,
            recent: 0.0,
            usual: 0.0,
        };
        Self { semaphore: Arc::new(Semaphore::new(start)), state: Mutex::new(state) }
    }
}

impl SlotState {
    fn answered(&mut self, semaphore: &Semaphore, now: Instant, latency: Duration) {
        /// Answers after which the usual latency means something.
        const ANSWERS_MIN: u32 = 20;
        /// What counts as rising: models take two to three times as long for a long answer as for a short one.
        const RISEN: f64 = 2.5;
        let seconds = latency.as_secs_f64();
        if self.answers == 0 {
            (self.recent, self.usual) = (seconds, seconds);
        }
        self.answers = self.answers.saturating_add(1);
        self.recent += (seconds - self.recent) * 0.2;
        self.usual += (seconds - self.usual) * 0.02;
        let settled = self.decreased_at.is_none_or(|at| (now - at).as_secs_f64() > self.recent);
        if self.answers > ANSWERS_MIN && self.recent > RISEN * self.usual && self.recent > 0.5 && settled {
            self.decreased_at = Some(now);
            self.set(semaphore, self.limit * 0.9);
        } else {
            self.set(semaphore, self.limit + 1.0 / self.limit);
        }
    }

    /// Fewer at once, once for all requests that were out at the time. Where it is known how fast requests may go, as many stay as that takes.
    fn congested(&mut self, semaphore: &Semaphore, sent_at: Instant, rate: Option<f64>) {
        if self.decreased_at.is_some_and(|at| sent_at <= at) {
            return;
        }
        self.decreased_at = Some(Instant::now());
        let needed = rate.map_or(0.0, |rate| rate * self.recent * 1.5);
        self.set(semaphore, (self.limit * 0.7).max(needed.min(self.limit)));
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between the bounds, which are small")]
    fn set(&mut self, semaphore: &Semaphore, limit: f64) {
        self.limit = limit.clamp(as_number(self.least), as_number(self.most));
        let wanted = self.limit as usize;
        if wanted > self.given {
            let more = wanted - self.given;
            let back = more.min(self.surplus);
            self.surplus -= back;
            semaphore.add_permits(more - back);
        } else {
            let fewer = self.given - wanted;
            self.surplus += fewer - semaphore.forget_permits(fewer);
        }
        self.given = wanted;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of analyses and requests")]
fn as_number(count: usize) -> f64 {
    count as f64
}

/// When requests may go out.
#[derive(Debug)]
struct Pace {
    /// What the user or the provider says, in requests a second.
    known: Option<f64>,
    /// What refusals taught, in requests a second.
    learned: Option<f64>,
    learned_at: Instant,
    next: Instant,
    tokens_per_second: Option<f64>,
    tokens_per_request: f64,
    next_by_tokens: Instant,
    paused_until: Instant,
    /// When requests went out in the last minutes, with their number and whether they were refused.
    sent: VecDeque<(Instant, u64, bool)>,
    /// From when on requests have gone out at the learned pace.
    steady_from: Instant,
    number: u64,
}

/// What is kept of a pace that is just allowed.
const KEPT: f64 = 0.985;

/// Never slower than this, in requests a second.
const RATE_MIN: f64 = 0.1;

/// How far back it is known which requests were refused.
const REMEMBERED: Duration = Duration::from_mins(2);

impl Pace {
    fn new(bounds: Bounds, now: Instant) -> Self {
        /// Until the first answer says more: a trace of some thousand tokens.
        const TOKENS_PER_REQUEST: f64 = 4_000.0;
        Self {
            known: bounds.requests_per_minute.map(|requests| f64::from(requests.max(1)) / 60.0),
            learned: None,
            learned_at: now,
            next: now,
            tokens_per_second: bounds.tokens_per_minute.map(|tokens| f64::from(tokens.max(1)) / 60.0),
            tokens_per_request: TOKENS_PER_REQUEST,
            next_by_tokens: now,
            paused_until: now,
            sent: VecDeque::new(),
            steady_from: now,
            number: 0,
        }
    }

    fn rate(&self) -> Option<f64> {
        match (self.known, self.learned) {
            (Some(known), Some(learned)) => Some(known.min(learned)),
            (known, learned) => known.or(learned),
        }
    }

    fn reserve(&mut self, now: Instant) -> Instant {
        let at = now.max(self.paused_until).max(self.next).max(self.next_by_tokens);
        if let Some(rate) = self.rate() {
            self.next = at + Duration::from_secs_f64(1.0 / rate);
        }
        if let Some(tokens) = self.tokens_per_second {
            self.next_by_tokens = at + Duration::from_secs_f64(self.tokens_per_request / tokens);
        }
        at
    }

    fn sent(&mut self, now: Instant) -> Sent {
        /// Of a pace that no provider allows, so that memory is bounded.
        const KEPT_MAX: usize = 10_000;
        while self.sent.len() >= KEPT_MAX || self.sent.front().is_some_and(|(at, ..)| now - *at > REMEMBERED) {
            self.sent.pop_front();
        }
        self.number += 1;
        self.sent.push_back((now, self.number, false));
        Sent { number: self.number, at: now }
    }

    fn answered(&mut self, now: Instant, tokens: u64) {
        #[expect(clippy::cast_precision_loss, reason = "tokens of a request")]
        let tokens = tokens as f64;
        self.tokens_per_request += (tokens - self.tokens_per_request) * 0.1;
        let Some(learned) = self.learned else { return };
        // Slowly at first, so that few requests are wasted on finding out; faster the longer nothing was refused.
        let quiet = (now - self.learned_at).as_secs_f64();
        let grown = learned * (1.0 + 0.0003 * (1.0 + quiet / 10.0));
        self.learned = (grown < 1_000.0).then_some(grown);
    }

    /// Learns from a refusal; gives the pace that it taught.
    fn refused(&mut self, sent: Sent, wait: Option<Duration>, per_minute: Option<f64>, now: Instant) -> Option<f64> {
        if let Some((.., refused)) = self.sent.iter_mut().rev().find(|(_, number, _)| *number == sent.number) {
            *refused = true;
        }
        if let Some(wait) = wait {
            self.pause(now + wait);
        }
        if let Some(requests) = per_minute {
            let told = (requests / 60.0).max(RATE_MIN);
            self.known = Some(self.known.map_or(told, |known| known.min(told)));
            return self.rate();
        }
        let second = Duration::from_secs(1);
        match self.learned {
            // Of requests that went out before there was a pace, it shows only how many were let through.
            None => self.learn_from_burst(sent, second, f64::INFINITY),
            Some(learned) if sent.at < self.steady_from => self.learn_from_burst(sent, second, learned),
            Some(learned) => {
                // So many requests that one more or less makes little difference.
                let (least, most) = ((30.0 / learned).clamp(2.0, 60.0), (60.0 / learned).clamp(5.0, 120.0));
                let window = (sent.at - self.steady_from).min(Duration::from_secs_f64(most));
                if window.as_secs_f64() >= least {
                    let (passed, least) = self.passed(sent, window);
                    self.learned = Some((KEPT * as_number(passed) / window.as_secs_f64()).clamp(least.min(learned), learned));
                } else if now - self.learned_at > second / 2 {
                    self.learned = Some((learned * KEPT).max(RATE_MIN));
                }
            }
        }
        self.learned_at = now;
        self.rate()
    }

    /// As many requests a second as were let through in the last one. They went out too fast, so the next one waits until their time is over.
    fn learn_from_burst(&mut self, sent: Sent, second: Duration, most: f64) {
        let (passed, least) = self.passed(sent, second);
        let learned = (KEPT * as_number(passed)).max(least).min(most);
        let begun = self.sent.iter().map(|(at, ..)| *at).find(|at| sent.at.duration_since(*at) < second).unwrap_or(sent.at);
        self.learned = Some(learned);
        self.steady_from = self.paused_until.max(begun + Duration::from_secs_f64(as_number(passed) / learned));
        self.next = self.next.max(self.steady_from);
    }

    /// How many requests were let through in a stretch of time that ends with `sent`, and the least pace that may be concluded from it.
    fn passed(&self, sent: Sent, window: Duration) -> (usize, f64) {
        /// A provider that refuses most of what comes at this pace may refuse for another reason; going slower would freeze the run, and
        /// refused requests cost nothing.
        const LEARNED_MIN: f64 = 4.0;
        /// Fewer requests prove nothing.
        const REQUESTS_MIN: usize = 8;
        let in_window = |(at, ..): &&(Instant, u64, bool)| *at <= sent.at && sent.at - *at < window;
        let all = self.sent.iter().filter(in_window).count();
        let passed = self.sent.iter().filter(in_window).filter(|(.., refused)| !refused).count();
        (passed, if 2 * passed < all || all < REQUESTS_MIN { LEARNED_MIN } else { RATE_MIN })
    }

    fn pause(&mut self, until: Instant) {
        /// Whatever a provider says, so that a run never stands still.
        const PAUSE_MAX: Duration = Duration::from_mins(2);
        self.paused_until = self.paused_until.max(until.min(Instant::now() + PAUSE_MAX));
        self.steady_from = self.steady_from.max(self.paused_until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: usize, most: usize) -> Bounds {
        Bounds { start, most, requests_per_minute: None, tokens_per_minute: None }
    }

    /// A provider that allows `rate` requests in each second; time is simulated.
    async fn against(rate: usize, start: usize, requests: usize, latency: Duration) -> (f64, usize) {
        let limiter = Arc::new(Limiter::new(bounds(start, start)));
        let second = Arc::new(Mutex::new((Instant::now(), 0)));
        let refused = Arc::new(Mutex::new(0));
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..requests {
            let (limiter, second, refused) = (Arc::clone(&limiter), Arc::clone(&second), Arc::clone(&refused));
            tasks.spawn(async move {
                let _slot = limiter.slot().await;
                loop {
                    limiter.pace().await;
                    let sent = limiter.sent();
                    let passes = {
                        let mut second = lock(&second);
                        if second.0.elapsed() >= Duration::from_secs(1) {
                            *second = (Instant::now(), 0);
                        }
                        second.1 += 1;
                        second.1 <= rate
                    };
                    if passes {
                        tokio::time::sleep(latency).await;
                        limiter.answered(sent, 1_000);
                        return;
                    }
                    *lock(&refused) += 1;
                    limiter.refused(sent, None, None);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            });
        }
        while tasks.join_next().await.is_some() {}
        let refused = *lock(&refused);
        (as_number(requests) / begun.elapsed().as_secs_f64(), refused)
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_that_the_provider_allows_is_found_and_kept() {
        for (rate, start, latency) in [(20, 64, 50), (20, 8, 50), (20, 64, 1_000), (5, 8, 50), (200, 64, 100)] {
            let requests = rate * 60;
            let (sustained, refused) = against(rate, start, requests, Duration::from_millis(latency)).await;
            assert!(sustained >= 0.95 * as_number(rate), "{rate}/s, {start} at once, {latency} ms: {sustained:.2}/s");
            assert!(20 * refused < requests, "{rate}/s, {start} at once, {latency} ms: {refused} of {requests} refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_that_have_nothing_to_do_with_the_pace_do_not_freeze_it() {
        let limiter = Limiter::new(bounds(8, 8));
        let begun = Instant::now();
        for number in 0..300 {
            limiter.pace().await;
            let sent = limiter.sent();
            if number % 3 == 0 {
                limiter.answered(sent, 1_000);
            } else {
                limiter.refused(sent, Some(Duration::from_millis(100)), None);
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(90), "{:?}", begun.elapsed());
        assert!(limiter.limit() >= SLOTS_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn limits_of_a_minute_are_kept() {
        let limiter = Limiter::new(Bounds { requests_per_minute: Some(120), ..bounds(8, 8) });
        let begun = Instant::now();
        for _ in 0..21 {
            limiter.pace().await;
        }
        assert!((begun.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", begun.elapsed());
        let limiter = Limiter::new(Bounds { tokens_per_minute: Some(240_000), ..bounds(8, 8) });
        let begun = Instant::now();
        for _ in 0..11 {
            limiter.pace().await;
            let sent = limiter.sent();
            limiter.answered(sent, 4_000);
        }
        assert!((begun.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn slots_shrink_when_answers_become_slow_and_grow_back() {
        let limiter = Limiter::new(bounds(16, 24));
        let answer = async |seconds: f64| {
            limiter.pace().await;
            let sent = limiter.sent();
            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
            limiter.answered(sent, 1_000);
        };
        for _ in 0..400 {
            answer(0.5).await;
        }
        assert_eq!(limiter.limit(), 24);
        for _ in 0..30 {
            answer(4.0).await;
        }
        let slow = limiter.limit();
        assert!((SLOTS_MIN..20).contains(&slow), "{slow}");
        for _ in 0..600 {
            answer(0.5).await;
        }
        assert_eq!(limiter.limit(), 24);
    }

    #[tokio::test]
    async fn a_slot_that_shall_go_does_not_come_back() {
        let limiter = Limiter::new(bounds(8, 8));
        let mut held = Vec::new();
        for _ in 0..8 {
            held.push(limiter.slot().await);
        }
        let sent = limiter.sent();
        tokio::time::sleep(Duration::from_millis(2)).await;
        limiter.overloaded(sent, None);
        assert_eq!(limiter.limit(), 5);
        drop(held);
        assert_eq!(limiter.slots.semaphore.available_permits(), 5);
    }
}
