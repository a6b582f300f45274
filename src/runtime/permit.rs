//! The permit that an analysis holds until its result is durable.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// One of the analyses that a paid analyzer may have in flight. It travels with the result and is released once nothing holds it: when the
/// trace was rejected, or when its pattern is durable. So what a killed run can lose is bounded by the number of permits.
#[derive(Clone, Default)]
pub struct ConcurrencyPermit(Option<Arc<dyn Any + Send + Sync>>);

impl ConcurrencyPermit {
    /// A permit that is released by dropping `guard`.
    pub fn holding(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(guard)))
    }

    /// Whether a limit applies; an analysis that costs nothing needs no permit.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for ConcurrencyPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_held() { "ConcurrencyPermit(held)" } else { "ConcurrencyPermit(none)" })
    }
}

/// A result on its way to the tables, with the permit of the analysis that gave it.
#[derive(Debug)]
pub struct Permitted<T> {
    /// The result.
    pub item: T,
    /// Released when the result is durable, or dropped with it.
    pub permit: ConcurrencyPermit,
}

/// A result that needed no permit.
impl<T> From<T> for Permitted<T> {
    fn from(item: T) -> Self {
        Self { item, permit: ConcurrencyPermit::default() }
    }
}
