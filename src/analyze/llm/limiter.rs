//! How many analyses are under way at once, and how fast their requests go out.
//!
//! Two things limit a model's provider: how much it can do at once, and how many requests it allows in a stretch of time. The first shows as
//! rising latency and as "overloaded"; [`Slots`] answers with fewer analyses at once (additive increase, multiplicative decrease). The second
//! shows as refusals (429); [`Pace`] learns from what was let through how fast requests may go, stays just below, and feels its way up again.
//! A [`Gate`] keeps that pace, also where this machine is busy and its timers are late.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::limits::REQUEST_INTERVAL_MAX;
use crate::runtime::ConcurrencyPermit;

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
    /// For analyses that begin: one that waits here does not use up its time.
    turns: Gate,
    /// For requests that are ready, since preparing some takes longer than preparing others.
    departures: Gate,
}

/// A request that went out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    number: u64,
    at: Instant,
}

impl Limiter {
    pub(super) fn new(bounds: Bounds) -> Self {
        let now = Instant::now();
        Self {
            slots: Arc::new(Slots::new(bounds)),
            pace: Mutex::new(Pace::new(bounds, now)),
            turns: Gate::new(now),
            departures: Gate::new(now),
        }
    }

    /// Waits for a place among the analyses under way, and for its turn unless `at_once`.
    pub(super) async fn slot(&self, at_once: bool) -> ConcurrencyPermit {
        // Nobody closes it; if somebody did, working without a limit is better than not at all.
        let Ok(permit) = Arc::clone(&self.slots.semaphore).acquire_owned().await else { return ConcurrencyPermit::default() };
        let mut taken = Taken { permit: Some(permit), slots: Arc::clone(&self.slots), since: None };
        if !at_once {
            self.turns.pass(&self.pace).await;
        }
        taken.since = Some(Instant::now());
        ConcurrencyPermit::holding(taken)
    }

    /// A request is about to be tried again. It goes ahead of analyses that have not begun, since its time runs already.
    pub(super) fn again(&self) {
        self.turns.ahead.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether no request goes out for now, because the provider asked for a pause or refused too many.
    pub(super) fn is_closed(&self) -> bool {
        lock(&self.pace).steady_from > Instant::now()
    }

    /// Waits for the moment at which a request that had its turn may go out, and notes that it does.
    pub(super) async fn departure(&self) -> Sent {
        self.departures.pass(&self.pace).await;
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
    /// From when on it is more than waiting.
    since: Option<Instant>,
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut state = lock(&self.slots.state);
        if let Some(since) = self.since {
            let seconds = since.elapsed().as_secs_f64();
            state.held = if state.held > 0.0 { state.held + (seconds - state.held) * 0.1 } else { seconds };
        }
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
    /// How long a place is taken, in seconds: longer than an answer takes, since its row is kept before the place is free.
    held: f64,
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
            held: 0.0,
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
        let needed = rate.map_or(0.0, |rate| rate * self.held.max(self.recent) * 1.5);
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

/// Lets one after the other through, in the order in which they came, at the pace that holds when they pass.
#[derive(Debug)]
struct Gate {
    next: tokio::sync::Mutex<Instant>,
    /// Requests that passed beside the line, each of which takes a turn from it.
    ahead: AtomicU32,
}

impl Gate {
    fn new(now: Instant) -> Self {
        Self { next: tokio::sync::Mutex::new(now), ahead: AtomicU32::new(0) }
    }

    async fn pass(&self, pace: &Mutex<Pace>) {
        /// How much of the time that was lost by waking up late is made up for. A machine that stood still for longer must not send at once what
        /// it did not send meanwhile.
        const LATE_MAX: Duration = Duration::from_millis(20);
        let mut next = self.next.lock().await;
        loop {
            let (now, ahead) = (Instant::now(), self.ahead.swap(0, Ordering::Relaxed));
            if ahead > 0 {
                *next = next.max(now) + (lock(pace).interval(now) * ahead).min(REQUEST_INTERVAL_MAX);
            }
            let at = next.max(lock(pace).steady_from);
            if at <= now {
                *next = at.max(now.checked_sub(LATE_MAX).unwrap_or(now)) + lock(pace).interval(now);
                return;
            }
            tokio::time::sleep_until(at).await;
        }
    }
}

/// How fast requests may go out.
#[derive(Debug)]
struct Pace {
    /// What the user or the provider says, in requests a second.
    known: Option<f64>,
    learned: Option<Learned>,
    tokens_per_second: Option<f64>,
    tokens_per_request: f64,
    /// When requests went out in the last minutes, with their number and whether they were refused.
    sent: VecDeque<(Instant, u64, bool)>,
    /// From when on requests go out at this pace; none does earlier.
    steady_from: Instant,
    number: u64,
}

/// What refusals taught, in requests a second: after a refusal the pace falls to `least`, comes back to just below what was refused, stays there
/// for a while, and then feels its way up, faster and faster: the curve of CUBIC (RFC 9438, section 4.2), with the time that it takes to come back
/// given and not its steepness.
#[derive(Debug, Clone, Copy)]
struct Learned {
    least: f64,
    refused: f64,
    at: Instant,
}

impl Learned {
    fn rate(&self, now: Instant) -> f64 {
        let back = seconds_of(60, self.least).clamp(5.0, 120.0);
        let time = (now - self.at).as_secs_f64() / back - 1.0;
        let fallen = (self.refused - self.least).max(self.refused * (1.0 - KEPT));
        (self.refused + fallen * time.powi(3)).max(RATE_MIN)
    }
}

/// What is kept of a pace that is just allowed.
const KEPT: f64 = 0.985;

/// Never slower than this, in requests a second.
const RATE_MIN: f64 = 0.1;

/// How far back it is known which requests were refused.
const REMEMBERED: Duration = Duration::from_mins(2);

/// Refusals that come within this time are of one event.
const ONE_EVENT: Duration = Duration::from_millis(500);

/// How long so many requests take at this rate.
fn seconds_of(requests: u32, rate: f64) -> f64 {
    f64::from(requests) / rate
}

impl Pace {
    fn new(bounds: Bounds, now: Instant) -> Self {
        /// Until the first answer says more: a trace of some thousand tokens.
        const TOKENS_PER_REQUEST: f64 = 4_000.0;
        Self {
            known: bounds.requests_per_minute.map(|requests| f64::from(requests.max(1)) / 60.0),
            learned: None,
            tokens_per_second: bounds.tokens_per_minute.map(|tokens| f64::from(tokens.max(1)) / 60.0),
            tokens_per_request: TOKENS_PER_REQUEST,
            sent: VecDeque::new(),
            steady_from: now,
            number: 0,
        }
    }

    fn rate(&self, now: Instant) -> Option<f64> {
        match (self.known, self.learned.map(|learned| learned.rate(now))) {
            (Some(known), Some(learned)) => Some(known.min(learned)),
            (known, learned) => known.or(learned),
        }
    }

    /// Between two requests.
    fn interval(&self, now: Instant) -> Duration {
        let of_requests = self.rate(now).map_or(0.0, |rate| 1.0 / rate);
        let of_tokens = self.tokens_per_second.map_or(0.0, |tokens| self.tokens_per_request / tokens);
        Duration::from_secs_f64(of_requests.max(of_tokens).min(REQUEST_INTERVAL_MAX.as_secs_f64()))
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
        /// Faster than that, nothing is gained by keeping a pace.
        const RATE_MAX: f64 = 1_000.0;
        #[expect(clippy::cast_precision_loss, reason = "tokens of a request")]
        let tokens = tokens as f64;
        self.tokens_per_request += (tokens - self.tokens_per_request) * 0.1;
        self.learned = self.learned.filter(|learned| learned.rate(now) < RATE_MAX);
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
            return self.rate(now);
        }
        match self.learned {
            // Of requests that went out before there was a pace, it shows only how many were let through.
            None => self.learn_from_burst(sent, f64::INFINITY, now),
            Some(learned) if sent.at < self.steady_from => self.learn_from_burst(sent, learned.least, now),
            Some(learned) => self.learned = Some(self.learn_from_pace(learned, sent, now)),
        }
        self.rate(now)
    }

    /// A little less than what was let through of requests that went out at this pace.
    fn learn_from_pace(&self, learned: Learned, sent: Sent, now: Instant) -> Learned {
        let rate = learned.rate(now);
        let one_event = now - learned.at < ONE_EVENT;
        let refused = if one_event { learned.refused } else { rate };
        // So many requests that one more or less makes little difference.
        let (shortest, longest) = (seconds_of(30, rate).clamp(2.0, 60.0), seconds_of(60, rate).clamp(5.0, 120.0));
        let window = (sent.at - self.steady_from).min(Duration::from_secs_f64(longest));
        let least = if window.as_secs_f64() >= shortest {
            let Window { passed, all, least } = self.passed(sent.at.checked_sub(window).unwrap_or(sent.at), window);
            // Where fewer went out than might have, those that passed do not say how many would have.
            let allowed = (passed / window.as_secs_f64()).max(rate * passed / all.max(1.0));
            (KEPT * allowed).clamp(least.min(rate), rate)
        } else if one_event {
            rate
        } else {
            (rate * KEPT).max(RATE_MIN)
        };
        Learned { least, refused, at: now }
    }

    /// As many requests a second as were let through in the one around `sent`: a request that was sent early may arrive late and be refused.
    /// They went out too fast, so the next one waits until their time is over.
    fn learn_from_burst(&mut self, sent: Sent, most: f64, now: Instant) {
        let second = Duration::from_secs(1);
        let begun = self.sent.iter().map(|(at, ..)| *at).find(|at| sent.at.duration_since(*at) < second).unwrap_or(sent.at);
        let Window { passed, least, .. } = self.passed(begun, second);
        let rate = (KEPT * passed).max(least).min(most);
        self.learned = Some(Learned { least: rate, refused: rate, at: now });
        self.steady_from = self.steady_from.max(begun + Duration::from_secs_f64((passed / rate).min(2.0)));
    }

    /// Requests that were let through of those that went out in a stretch of time.
    fn passed(&self, from: Instant, window: Duration) -> Window {
        /// A provider that refuses most of what comes at this pace may refuse for another reason; going slower would freeze the run, and
        /// refused requests cost nothing.
        const LEARNED_MIN: f64 = 4.0;
        /// Fewer requests prove nothing.
        const REQUESTS_MIN: usize = 8;
        let in_window = |(at, ..): &&(Instant, u64, bool)| *at >= from && *at - from < window;
        let all = self.sent.iter().filter(in_window).count();
        let passed = self.sent.iter().filter(in_window).filter(|(.., refused)| !refused).count();
        let least = if 2 * passed < all || all < REQUESTS_MIN { LEARNED_MIN } else { RATE_MIN };
        Window { passed: as_number(passed), all: as_number(all), least }
    }

    fn pause(&mut self, until: Instant) {
        /// Whatever a provider says, so that a run never stands still.
        const PAUSE_MAX: Duration = Duration::from_mins(2);
        self.steady_from = self.steady_from.max(until.min(Instant::now() + PAUSE_MAX));
    }
}

/// See [`Pace::passed`].
struct Window {
    passed: f64,
    all: f64,
    /// The least pace that may be concluded from it.
    least: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bounds(start: usize, most: usize) -> Bounds {
        Bounds { start, most, requests_per_minute: None, tokens_per_minute: None }
    }

    /// What stands in the way of an even pace.
    #[derive(Clone, Copy, Default)]
    struct Machine {
        /// Between the turn of a request and its departure, and between its departure and its arrival, at most.
        jitter: Duration,
        /// Every ten seconds, nothing of ours happens for so long.
        stall: Duration,
    }

    impl Machine {
        /// The time until which it stands still.
        async fn wakes(self, begun: Instant) {
            let into = Duration::from_secs_f64(begun.elapsed().as_secs_f64() % 10.0).saturating_sub(Duration::from_secs(5));
            if !into.is_zero() && into < self.stall {
                tokio::time::sleep(self.stall.saturating_sub(into)).await;
            }
        }

        async fn carries(self, number: usize) {
            // The golden ratio's multiples: even over time, and no two neighbours alike.
            tokio::time::sleep(self.jitter.mul_f64((as_number(number) * 0.618_034).fract())).await;
        }
    }

    /// A provider that allows `rate` requests in each second, as a window that moves; time is simulated. Gives the requests that passed in a
    /// second, and how many were refused.
    async fn against(rate: usize, start: usize, requests: usize, latency: Duration, machine: Machine) -> (f64, usize) {
        let limiter = Arc::new(Limiter::new(bounds(start, start)));
        let window = Arc::new(Mutex::new(VecDeque::new()));
        let refused = Arc::new(Mutex::new(0));
        let begun = Instant::now();
        let mut tasks = tokio::task::JoinSet::new();
        for request in 0..requests {
            let (limiter, window, refused) = (Arc::clone(&limiter), Arc::clone(&window), Arc::clone(&refused));
            tasks.spawn(async move {
                let _slot = limiter.slot(false).await;
                loop {
                    machine.wakes(begun).await;
                    machine.carries(request * 7).await;
                    let sent = limiter.departure().await;
                    machine.wakes(begun).await;
                    machine.carries(usize::try_from(sent.number).unwrap()).await;
                    let passes = {
                        let mut window = lock(&window);
                        while window.front().is_some_and(|at: &Instant| at.elapsed() >= Duration::from_secs(1)) {
                            window.pop_front();
                        }
                        let passes = window.len() < rate;
                        window.extend(passes.then(Instant::now));
                        passes
                    };
                    if passes {
                        tokio::time::sleep(latency).await;
                        machine.wakes(begun).await;
                        limiter.answered(sent, 1_000);
                        return;
                    }
                    *lock(&refused) += 1;
                    limiter.refused(sent, None, None);
                    tokio::time::sleep(Duration::from_millis(500)).await;
                    limiter.again();
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
            let (sustained, refused) = against(rate, start, requests, Duration::from_millis(latency), Machine::default()).await;
            assert!(sustained >= 0.95 * as_number(rate), "{rate}/s, {start} at once, {latency} ms: {sustained:.2}/s");
            assert!(20 * refused < requests, "{rate}/s, {start} at once, {latency} ms: {refused} of {requests} refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_machine_does_not_teach_a_pace_that_is_far_too_slow() {
        let milliseconds = Duration::from_millis;
        for (jitter, stall) in [(50, 0), (200, 0), (0, 1_000), (0, 3_000), (100, 2_000)] {
            let machine = Machine { jitter: milliseconds(jitter), stall: milliseconds(stall) };
            let (sustained, refused) = against(20, 32, 1_200, milliseconds(200), machine).await;
            // What is not sent while the machine stands still is lost.
            let possible = 20.0 * (1.0 - machine.stall.as_secs_f64() / 10.0);
            assert!(sustained >= 0.9 * possible, "{jitter} ms of jitter, stalls of {stall} ms: {sustained:.2}/s of {possible}");
            assert!(10 * refused < 1_200, "{jitter} ms of jitter, stalls of {stall} ms: {refused} refused");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_that_have_nothing_to_do_with_the_pace_do_not_freeze_it() {
        let limiter = Limiter::new(bounds(8, 8));
        let begun = Instant::now();
        for number in 0..300 {
            let sent = limiter.departure().await;
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
    async fn a_request_that_is_tried_again_goes_ahead_and_takes_a_turn() {
        let limiter = Arc::new(Limiter::new(Bounds { requests_per_minute: Some(60), ..bounds(8, 8) }));
        let begun = Instant::now();
        let mut line = tokio::task::JoinSet::new();
        for _ in 0..5 {
            let limiter = Arc::clone(&limiter);
            line.spawn(async move {
                let _slot = limiter.slot(false).await;
                limiter.departure().await;
            });
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        limiter.again();
        limiter.departure().await;
        assert!(begun.elapsed() < Duration::from_millis(1_100), "{:?}", begun.elapsed());
        while line.join_next().await.is_some() {}
        assert!((begun.elapsed().as_secs_f64() - 5.0).abs() < 0.1, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_pace_has_a_floor() {
        let limiter = Limiter::new(bounds(8, 8));
        let rate = || lock(&limiter.pace).rate(Instant::now()).unwrap();
        for _ in 0..2_000 {
            limiter.refused(limiter.departure().await, None, None);
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(rate() >= RATE_MIN, "{}", rate());
        }
        limiter.refused(limiter.departure().await, None, Some(0.0));
        assert!(rate() >= RATE_MIN, "{}", rate());
    }

    #[tokio::test(start_paused = true)]
    async fn limits_of_a_minute_are_kept() {
        let limiter = Limiter::new(Bounds { requests_per_minute: Some(120), ..bounds(8, 8) });
        let begun = Instant::now();
        for _ in 0..21 {
            limiter.departure().await;
        }
        assert!((begun.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", begun.elapsed());
        let limiter = Limiter::new(Bounds { tokens_per_minute: Some(240_000), ..bounds(8, 8) });
        let begun = Instant::now();
        for _ in 0..11 {
            let sent = limiter.departure().await;
            limiter.answered(sent, 4_000);
        }
        assert!((begun.elapsed().as_secs_f64() - 10.0).abs() < 0.1, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn an_absurd_count_of_tokens_does_not_stop_the_run() {
        let limiter = Limiter::new(Bounds { tokens_per_minute: Some(1_000), ..bounds(8, 8) });
        let sent = limiter.departure().await;
        limiter.answered(sent, u64::MAX);
        let begun = Instant::now();
        limiter.departure().await;
        limiter.departure().await;
        assert!(begun.elapsed() <= 2 * REQUEST_INTERVAL_MAX, "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn slots_shrink_when_answers_become_slow_and_grow_back() {
        let limiter = Limiter::new(bounds(16, 24));
        let answer = async |seconds: f64| {
            let sent = limiter.departure().await;
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
            held.push(limiter.slot(true).await);
        }
        let sent = limiter.departure().await;
        tokio::time::sleep(Duration::from_millis(2)).await;
        limiter.overloaded(sent, None);
        assert_eq!(limiter.limit(), 5);
        drop(held);
        assert_eq!(limiter.slots.semaphore.available_permits(), 5);
    }
}
