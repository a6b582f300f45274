//! What ends a run rather than a record.

use std::sync::{Arc, OnceLock};

/// Why a run cannot go on: a listing that cannot be completed, a full disk. Filled at most once.
#[derive(Debug, Clone, Default)]
pub struct Fatal(Arc<OnceLock<String>>);

impl Fatal {
    /// The failure, if there was one.
    pub fn get(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }

    /// Says what failed; the first reason is the one that counts.
    pub fn set(&self, reason: String) {
        let _ = self.0.set(reason);
    }
}
