//! What controls the execution of a run and is not data: the thread pool, requests to shut down, time budgets, concurrency permits, and
//! errors that end a run.

mod deadline;
mod fatal;
mod permit;
pub(crate) mod pool;
mod shutdown;

pub use deadline::{Deadline, TimedOut};
pub use fatal::FatalError;
pub use permit::{ConcurrencyPermit, Permitted};
pub use shutdown::Shutdown;
