//! Limits the number of concurrent analyses.
//!
//! An overloaded provider answers slowly or with an error. The limit then falls, and it grows again while answers are
//! fast: additive increase, multiplicative decrease, as in TCP.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// The limit never falls below this, unless the user asked for less.
pub(super) const CONCURRENCY_MIN: usize = 4;

/// A semaphore whose number of permits follows latency and overload.
#[derive(Debug)]
pub(super) struct ConcurrencyLimiter {
    semaphore: Arc<Semaphore>,
    state: Mutex<State>,
}

impl ConcurrencyLimiter {
    /// Starts with `start` permits and never has more than `max`.
    pub(super) fn new(start: usize, max: usize) -> Self {
        let start = start.max(1);
        let state = State {
            limit: as_f64(start),
            min: CONCURRENCY_MIN.min(start),
            max: max.max(start),
            permits: start,
            surplus: 0,
            decreased_at: None,
            answers: 0,
            latency_recent_s: 0.0,
            latency_usual_s: 0.0,
            held_s: 0.0,
        };
        Self { semaphore: Arc::new(Semaphore::new(start)), state: Mutex::new(state) }
    }

    /// Waits for a permit. `None` if the semaphore was closed, which nothing does.
    pub(super) async fn acquire(self: &Arc<Self>) -> Option<Permit> {
        let semaphore_guard = Some(Arc::clone(&self.semaphore).acquire_owned().await.ok()?);
        Some(Permit { semaphore_guard, limiter: Arc::clone(self), active_since: None })
    }

    /// Records an answer that took `latency`.
    pub(super) fn record_latency(&self, latency: Duration) {
        self.state().record_latency(&self.semaphore, Instant::now(), latency);
    }

    /// Lowers the limit because a request sent at `sent_at` was rate-limited or met an overloaded provider. At most one decrease applies
    /// to all requests that were in flight together. With a known `rate` in requests a second, the limit stays high enough to keep that rate.
    pub(super) fn record_overload(&self, sent_at: Instant, rate: Option<f64>) {
        self.state().record_overload(&self.semaphore, sent_at, rate);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn limit(&self) -> usize {
        self.state().permits
    }

    #[cfg(test)]
    pub(super) fn available(&self) -> usize {
        self.semaphore.available_permits()
    }
}

/// The permit of one analysis. Dropping it returns the permit to the semaphore, unless the limit fell meanwhile.
#[derive(Debug)]
pub(super) struct Permit {
    semaphore_guard: Option<OwnedSemaphorePermit>,
    limiter: Arc<ConcurrencyLimiter>,
    active_since: Option<Instant>,
}

impl Permit {
    /// The analysis starts now. Until now it waited for the request rate.
    pub(super) fn activate(&mut self) {
        self.active_since = Some(Instant::now());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut state = self.limiter.state();
        if let Some(since) = self.active_since {
            let seconds = since.elapsed().as_secs_f64();
            state.held_s = if state.held_s > 0.0 { state.held_s + (seconds - state.held_s) * 0.1 } else { seconds };
        }
        if state.surplus > 0 {
            state.surplus -= 1;
            if let Some(permit) = self.semaphore_guard.take() {
                permit.forget();
            }
        }
    }
}

#[derive(Debug)]
struct State {
    limit: f64,
    min: usize,
    max: usize,
    /// The limit, rounded down.
    permits: usize,
    /// Permits in use that are forgotten instead of returned.
    surplus: usize,
    decreased_at: Option<Instant>,
    answers: u32,
    /// Moving average over the last few answers, in seconds.
    latency_recent_s: f64,
    /// Moving average over many answers.
    latency_usual_s: f64,
    /// Moving average of the time for which a permit is held, in seconds. It exceeds the latency because a permit is held until the row is durable.
    held_s: f64,
}

impl State {
    fn record_latency(&mut self, semaphore: &Semaphore, now: Instant, latency: Duration) {
        /// The usual latency is not meaningful before this many answers.
        const ANSWERS_MIN: u32 = 20;
        /// Ratio of recent to usual latency that counts as overload. Long answers alone take two to three times as long as short ones.
        const OVERLOAD_RATIO: f64 = 2.5;
        let seconds = latency.as_secs_f64();
        if self.answers == 0 {
            (self.latency_recent_s, self.latency_usual_s) = (seconds, seconds);
        }
        self.answers = self.answers.saturating_add(1);
        self.latency_recent_s += (seconds - self.latency_recent_s) * 0.2;
        self.latency_usual_s += (seconds - self.latency_usual_s) * 0.02;
        // After a decrease, wait for answers to requests that were sent since.
        let is_stable = self.decreased_at.is_none_or(|at| (now - at).as_secs_f64() > self.latency_recent_s);
        let is_slow = self.latency_recent_s > OVERLOAD_RATIO * self.latency_usual_s && self.latency_recent_s > 0.5;
        if self.answers > ANSWERS_MIN && is_slow && is_stable {
            self.decreased_at = Some(now);
            self.set_limit(semaphore, self.limit * 0.9);
        } else {
            self.set_limit(semaphore, self.limit + 1.0 / self.limit);
        }
    }

    fn record_overload(&mut self, semaphore: &Semaphore, sent_at: Instant, rate: Option<f64>) {
        if self.decreased_at.is_some_and(|at| sent_at <= at) {
            return;
        }
        self.decreased_at = Some(Instant::now());
        let needed = rate.map_or(0.0, |rate| rate * self.held_s.max(self.latency_recent_s) * 1.5);
        self.set_limit(semaphore, (self.limit * 0.7).max(needed.min(self.limit)));
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to small positive bounds")]
    fn set_limit(&mut self, semaphore: &Semaphore, limit: f64) {
        self.limit = limit.clamp(as_f64(self.min), as_f64(self.max));
        let wanted = self.limit as usize;
        if wanted > self.permits {
            let added = wanted - self.permits;
            let kept = added.min(self.surplus);
            self.surplus -= kept;
            semaphore.add_permits(added - kept);
        } else {
            let removed = self.permits - wanted;
            self.surplus += removed - semaphore.forget_permits(removed);
        }
        self.permits = wanted;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of analyses")]
fn as_f64(count: usize) -> f64 {
    count as f64
}
