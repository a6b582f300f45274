//! Shutdown requests and the grace period that follows them.

use std::sync::{Arc, OnceLock};

use tokio_util::sync::CancellationToken;

/// The state of a shutdown, passed to every stage. When it is requested (by a signal or a limit), reading ends, no further trace is analyzed, and
/// gathered traces are recorded in `errors`. When the grace period ends, work in flight is abandoned, so that finished work can be
/// committed in time.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    grace_ended: CancellationToken,
    /// Empty if a signal requested it.
    limit: Arc<OnceLock<StopReason>>,
}

/// Why a run is stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason {
    /// A signal.
    Signal,
    /// The run takes longer than it may.
    MaxDuration,
    /// More records and traces failed than may.
    MaxErrors,
}

impl Shutdown {
    /// A shutdown that a signal requests by cancelling `requested`.
    pub fn on(requested: CancellationToken) -> Self {
        Self { requested, ..Self::default() }
    }

    /// Requests the shutdown. If it is requested already, the first reason stays.
    pub fn request(&self, reason: StopReason) {
        if !self.is_requested() {
            // Another thread may have been faster.
            let _ = self.limit.set(reason);
            self.requested.cancel();
        }
    }

    /// Cancelled when the shutdown is requested.
    pub fn requested(&self) -> &CancellationToken {
        &self.requested
    }

    /// Cancelled at the end of the grace period.
    pub fn grace_ended(&self) -> &CancellationToken {
        &self.grace_ended
    }

    /// Whether a shutdown was requested.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Why a shutdown was requested, if it was.
    pub fn reason(&self) -> Option<StopReason> {
        self.is_requested().then(|| self.limit.get().copied().unwrap_or(StopReason::Signal))
    }

    /// Whether the grace period has ended.
    pub fn is_grace_ended(&self) -> bool {
        self.grace_ended.is_cancelled()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_reason_of_a_shutdown_stays() {
        let signal = CancellationToken::new();
        let shutdown = Shutdown::on(signal.clone());
        assert_eq!(shutdown.reason(), None);
        shutdown.clone().request(StopReason::MaxErrors);
        shutdown.request(StopReason::MaxDuration);
        signal.cancel();
        assert_eq!(shutdown.reason(), Some(StopReason::MaxErrors));
        let shutdown = Shutdown::on(signal);
        shutdown.request(StopReason::MaxDuration);
        assert_eq!(shutdown.reason(), Some(StopReason::Signal));
    }
}
