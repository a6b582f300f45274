//! The memory and time that a query may take.

use std::time::Duration;

use crate::limits::QUERY_MEMORY_BYTES;

/// The limits of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes of memory that its operators and single values may take.
    pub memory_bytes: usize,
    /// Time until its last row; `None` is unlimited.
    pub time: Option<Duration>,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { memory_bytes: QUERY_MEMORY_BYTES, time: None }
    }
}
