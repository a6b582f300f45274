//! Connects the stages into one stream with bounded queues. Traces and outcomes are counted at both ends, so that a lost one is detected.
//!
//! `traces` connects read, parse and gather for every command that reads an input. `prepare` checks a configuration and connects the stages
//! up to validate. `run` adds the writer.

mod error;
mod incremental;
mod prepare;
mod progress;
mod run;
mod running;
mod traces;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;

pub use self::error::RunError;
pub use self::prepare::{Analysis, PreparedRun, ProviderRefusal, TraceObserver, redaction_key, rule_files};
pub use self::progress::{OutcomeCounts, Phase, Phases, RejectionClasses, RunProgress, TraceCounts};
pub use self::run::{FailedRun, RunReport, run};
pub use self::traces::{InputCounts, TraceSource, TraceStream};
use crate::model::OutcomeStream;

/// Counts the items of a stream, rejections included.
fn counted<T: Send + 'static>(items: OutcomeStream<T>, counter: &Arc<AtomicU64>) -> OutcomeStream<T> {
    let counter = Arc::clone(counter);
    items
        .inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .boxed()
}
