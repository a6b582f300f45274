//! How a run is asked to stop, and when what is under way has had its time.

use tokio_util::sync::CancellationToken;

/// Handed down to every stage. At a signal it is requested: reading ends, nothing more is analysed, what is gathered is named in `errors`.
/// Later it is over: whatever still goes on is given up, so that what is finished can be committed in time.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    requested: CancellationToken,
    over: CancellationToken,
}

impl Stop {
    /// Asked for by `requested`.
    pub fn on(requested: CancellationToken) -> Self {
        Self { requested, over: CancellationToken::new() }
    }

    /// Cancelled once the run is to stop.
    pub fn requested(&self) -> &CancellationToken {
        &self.requested
    }

    /// Cancelled once what is under way has had its time.
    pub fn over(&self) -> &CancellationToken {
        &self.over
    }

    /// Whether the run is to stop.
    pub fn is_requested(&self) -> bool {
        self.requested.is_cancelled()
    }

    /// Whether what is under way has had its time.
    pub fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }
}
