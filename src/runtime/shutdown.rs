//! Shutdown requests and the grace period that follows them.

use tokio_util::sync::CancellationToken;

/// The state of a shutdown, passed to every stage. When it is requested (by a signal), reading ends, no further trace is analyzed, and
/// gathered traces are recorded in `errors`. When the grace period ends, work in flight is abandoned, so that finished work can be
/// committed in time.
#[derive(Debug, Clone, Default)]
pub struct Shutdown {
    requested: CancellationToken,
    grace_ended: CancellationToken,
}

impl Shutdown {
    /// A shutdown that is requested by cancelling `requested`.
    pub fn on(requested: CancellationToken) -> Self {
        Self { requested, grace_ended: CancellationToken::new() }
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

    /// Whether the grace period has ended.
    pub fn is_grace_ended(&self) -> bool {
        self.grace_ended.is_cancelled()
    }
}
