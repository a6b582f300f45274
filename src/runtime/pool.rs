//! CPU work off the async threads: one rayon pool, with a panic of one task turned into a value.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use futures::StreamExt;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tokio::sync::oneshot;
use tokio::task::JoinError;

use crate::limits::{TASKS_IN_FLIGHT_MAX, TRACES_PER_TASK};
use crate::model::{Outcome, OutcomeStream};

/// Records nest up to the depth that the JSON and protobuf readers allow, and a frame of each level is some kilobytes.
const STACK_BYTES: usize = 16 * 1024 * 1024;

static POOL: LazyLock<Option<ThreadPool>> = LazyLock::new(|| ThreadPoolBuilder::new().stack_size(STACK_BYTES).build().ok());

/// Runs `work` on the pool and waits for it without holding an async thread.
///
/// # Panics
/// Where `work` panicked; [`catch_panic`] keeps that to one item.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = oneshot::channel();
    let task = move || {
        // Nobody waits any more when the run was stopped; then the result is dropped.
        let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
    };
    match &*POOL {
        Some(pool) => pool.spawn(task),
        None => rayon::spawn(task),
    }
    match receiver.await {
        Ok(Ok(value)) => value,
        Ok(Err(panic)) => std::panic::resume_unwind(panic),
        // The pool drops a task only where the process ends.
        Err(_) => std::future::pending().await,
    }
}

/// What a task gave; nothing where it was stopped together with the run, which is no defect.
///
/// # Panics
/// Where the task panicked.
pub(crate) fn join_result<T>(ended: Result<T, JoinError>) -> Option<T> {
    match ended.map_err(JoinError::try_into_panic) {
        Ok(value) => Some(value),
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        Err(Err(_stopped)) => None,
    }
}

/// Runs `work`; a panic becomes its message, so that a defect met by one trace costs that trace alone.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| panic_place(&*panic))
}

/// What is known of a panic without its text, which may quote a trace.
fn panic_place(panic: &(dyn Any + Send)) -> String {
    match panic.downcast_ref::<&'static str>() {
        Some(text) => format!("a defect of failsift: {text}"),
        None => "a defect of failsift".to_owned(),
    }
}

/// A CPU stage: applies `work` to the living items of a stream, several batches at once and in order. Rejections pass.
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
    async fn a_stage_keeps_order_and_passes_rejections() {
        use crate::model::{Rejection, RejectionKind, Stage};
        let rejection = || Rejection::at_place("p", "p", Stage::Read, RejectionKind::Unreadable, "r");
        let items = (0..1_000).map(move |number| if number % 7 == 0 { Err(rejection()) } else { Ok(number) });
        let doubled: Vec<_> = map_outcomes(futures::stream::iter(items).boxed(), |number| Ok(number * 2)).collect().await;
        assert_eq!(doubled.len(), 1_000);
        assert!(doubled.iter().enumerate().all(|(index, item)| item.as_ref().map_or(index % 7 == 0, |number| *number == index * 2)));
    }

    #[test]
    fn a_panic_is_a_value_without_the_text_of_a_trace() {
        let secret = String::from("secret");
        let said = catch_panic(|| std::panic::panic_any(format!("index {secret}"))).unwrap_err();
        assert_eq!(said, "a defect of failsift");
    }
}
