//! The time budget of one trace, from redaction to its draft.

use std::time::{Duration, Instant};

/// The time by which work on a trace must end, for CPU work that cannot be cancelled from outside.
#[derive(Debug, Clone, Copy)]
pub struct Deadline {
    at: Instant,
    budget: Duration,
}

/// The deadline has passed. Contains the time budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimedOut(pub Duration);

impl Deadline {
    /// The deadline `budget` from now.
    pub fn after(budget: Duration) -> Self {
        Self { at: Instant::now() + budget, budget }
    }

    /// The deadline for the rest of `budget` if `spent` of it is already used.
    pub fn after_spending(spent: Duration, budget: Duration) -> Self {
        Self { at: Instant::now() + budget.saturating_sub(spent), budget }
    }

    /// The remaining time; zero after the deadline.
    pub fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// The whole time budget.
    pub fn budget(&self) -> Duration {
        self.budget
    }

    /// Fails after the deadline, so that `?` ends the work. Takes some tens of nanoseconds: call it once per span or text.
    ///
    /// # Errors
    /// [`TimedOut`] after the deadline.
    pub fn check(&self) -> Result<(), TimedOut> {
        if Instant::now() >= self.at { Err(TimedOut(self.budget)) } else { Ok(()) }
    }
}
