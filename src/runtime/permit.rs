//! Concurrency permits, each of which is kept from the start of an analysis until its result is durable.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// Permission for one analysis of a paid analyzer to be in flight. It accompanies the result and is released when the last clone is
/// dropped: when the trace is rejected or its pattern is durable. The number of permits therefore bounds what a killed run can lose.
#[derive(Clone, Default)]
pub struct ConcurrencyPermit(Option<Arc<dyn Any + Send + Sync>>);

impl ConcurrencyPermit {
    /// A permit that is released by dropping `guard`.
    pub fn holding(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(guard)))
    }

    /// Whether this is a real permit; an analysis without cost needs none.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for ConcurrencyPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_held() { "ConcurrencyPermit(held)" } else { "ConcurrencyPermit(none)" })
    }
}

/// A result on its way to the tables, with the permit of its analysis.
#[derive(Debug)]
pub struct Permitted<T> {
    /// The result.
    pub item: T,
    /// Released when the result is durable or dropped.
    pub permit: ConcurrencyPermit,
}

/// A result without a permit.
impl<T> From<T> for Permitted<T> {
    fn from(item: T) -> Self {
        Self { item, permit: ConcurrencyPermit::default() }
    }
}
