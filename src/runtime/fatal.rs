//! Errors that end a run instead of rejecting a record.

use std::sync::{Arc, OnceLock};

/// Why a run cannot continue: a listing that cannot be completed, a full disk. Set at most once.
#[derive(Debug, Clone, Default)]
pub struct FatalError(Arc<OnceLock<String>>);

impl FatalError {
    /// The error, if there was one.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Records what failed; the first error wins.
    pub fn set(&self, reason: String) {
        let _ = self.0.set(reason);
    }
}
