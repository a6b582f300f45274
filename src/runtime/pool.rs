//! Runs CPU work on a rayon pool instead of the async threads, and turns panics into values.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use futures::StreamExt;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinError;

use crate::limits::{TASKS_IN_FLIGHT_MAX, TRACES_PER_TASK};
use crate::model::{Outcome, OutcomeStream};

/// Room for records nested as deeply as the JSON and protobuf readers allow, with some kilobytes of stack per level.
const STACK_BYTES: usize = 16 * 1024 * 1024;

static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| ThreadPoolBuilder::new().stack_size(STACK_BYTES).build().ok());

/// Runs `work` on the pool and waits for it without blocking an async thread.
///
/// # Panics
/// If `work` panics; [`catch_panic`] limits that to one item.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    let task = move || {
        // The receiver is gone if the run was cancelled; the result is dropped then.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    match &*POOL {
        Some(pool) => pool.spawn(task),
        None => rayon::spawn(task),
    }
    match receiver.await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // The pool drops a task only when the process exits.
        Err(_) => std::future::pending().await,
    }
}

/// The value of a finished task; `None` if the task was cancelled together with the run, which is not an error.
///
/// # Panics
/// If the task panicked.
pub(crate) fn join_result<T>(result: Result<T, JoinError>) -> Option<T> {
    match result.map_err(JoinError::try_into_panic) {
        Ok(value) => Some(value),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_cancelled)) => None,
    }
}

/// Runs `work` and turns a panic into a message, so that a bug triggered by one trace rejects only that trace.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_message(&*panic))
}

/// Describes a panic. Only literal messages are shown: a formatted message may quote the trace.
fn panic_message(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => format!("a bug in failsift: {text}"),
        None => "a bug in failsift".to_owned(),
    }
}

/// Applies `work` to the items of a stream, in concurrent batches and in order. Rejections pass through unchanged.
pub(crate) fn map_outcomes<T, U, F>(items: OutcomeStream<T>, work: F) -> OutcomeStream<U>
where
    T: Send + 'static,
    U: Send + 'static,
    F: Fn(T) -> Outcome<U> + Clone + Send + Sync + 'static,
{
    items
        .ready_chunks(TRACES_PER_TASK)
        .map(move |batch| {
            let work = work.clone();
            run(move || batch.into_iter().map(|item| item.and_then(&work)).collect::<Vec<_>>())
        })
        .buffered(TASKS_IN_FLIGHT_MAX)
        .flat_map(futures::stream::iter)
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn mapping_keeps_order_and_passes_rejections() {
        use crate::model::{Rejection, RejectionKind, Stage};
        let rejection = || Rejection::at_location("p", "p", Stage::Read, RejectionKind::Unreadable, "r");
        let items = (0..1_000).map(move |number| if number % 7 == 0 { Err(rejection()) } else { Ok(number) });
        let doubled: Vec<_> = map_outcomes(futures::stream::iter(items).boxed(), |number| Ok(number * 2)).collect().await;
        assert_eq!(doubled.len(), 1_000);
        assert!(doubled.iter().enumerate().all(|(index, item)| item.as_ref().map_or(index % 7 == 0, |number| *number == index * 2)));
    }

    #[test]
    fn a_panic_becomes_a_message_without_trace_text() {
        let secret = String::from("secret");
        let message = catch_panic(|| std::panic::panic_any(format!("index {secret}"))).unwrap_err();
        assert_eq!(message, "a bug in failsift");
    }
}
