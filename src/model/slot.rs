//! What an analysis holds until its result is durable.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

/// A place among the analyses that a paid analyzer has under way. It travels with the result, and is free again once nothing holds it:
/// when the trace was rejected, or when its pattern is durable. So what a kill can cost is bounded by the number of places.
#[derive(Clone, Default)]
pub struct Slot(Option<Arc<dyn Any + Send + Sync>>);

impl Slot {
    /// A place that is given back by dropping `guard`.
    pub fn holding(guard: impl Any + Send + Sync) -> Self {
        Self(Some(Arc::new(guard)))
    }

    /// Whether somebody waits for it; an analysis that costs nothing holds none.
    pub fn is_held(&self) -> bool {
        self.0.is_some()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_held() { "Slot(held)" } else { "Slot(none)" })
    }
}

/// Results are the same whatever they hold.
impl PartialEq for Slot {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
