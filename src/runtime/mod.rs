//! Execution control: the thread pool, shutdown requests, time budgets, concurrency permits, and errors that end a run.
//!
//! Knows the outcome stream type of `model`, and no stage.

mod deadline;
mod fatal;
mod permit;
pub(crate) mod pool;
mod shutdown;

pub use deadline::{Deadline, TimedOut};
pub use fatal::FatalError;
pub use permit::{ConcurrencyPermit, Permitted};
pub use shutdown::{Shutdown, StopReason};
