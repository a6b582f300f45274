//! The time that one trace may take, from redaction to its draft.

use std::time::{Duration, Instant};

/// The moment by which work on a trace has to end, for CPU work that cannot be stopped from outside.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

/// The deadline has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

impl Deadline {
    /// `budget` from now on.
    pub fn after(budget: Duration) -> Self {
        Self { at: Instant::now() + budget, budget }
    }

    /// What is left of `budget` after `spent`, from now on.
    pub fn after_spending(spent: Duration, budget: Duration) -> Self {
        Self { at: Instant::now() + budget.saturating_sub(spent), budget }
    }

    /// What is left of the time.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// The whole time.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Goes on, or stops the work with `?`. Costs some tens of nanoseconds: ask once a span or once a text.
    ///
    /// # Errors
    /// [`TimedOut`] once the time is up.
    pub fn check(&self) -> Result<(), TimedOut> {
        if Instant::now() >= self.at { Err(TimedOut(self.budget)) } else { Ok(()) }
    }
}
