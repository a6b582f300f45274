//! Excludes traces that a run is not to analyze, and counts them as filtered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;

use crate::analyze::embedded::Embedded;
use crate::model::{OutcomeStream, Trace};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, pool};

/// Which traces to analyze.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only traces that show a failure.
    pub failed_only: bool,
    /// Started at this time or later, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Started before this time, in nanoseconds since 1970.
    pub until_ns: Option<i64>,
    /// Of one of these services; of any service if empty.
    pub services: Vec<String>,
}

impl Selection {
    fn includes(&self, trace: &Trace) -> bool {
        let started_at = trace.started_at_ns();
        let in_time_window = self.since_ns.is_none_or(|since| started_at.is_some_and(|start| start >= since))
            && self.until_ns.is_none_or(|until| started_at.is_some_and(|start| start < until));
        let of_service = self.services.is_empty() || trace.service.as_ref().is_some_and(|service| self.services.contains(service));
        in_time_window && of_service
    }
}

/// Excludes traces of another time window or service. Runs before redaction, which is much more expensive.
pub fn by_time_and_service(traces: OutcomeStream<Trace>, selection: &Selection, filtered: &Arc<AtomicU64>) -> OutcomeStream<Trace> {
    let (selection, filtered) = (selection.clone(), Arc::clone(filtered));
    included(traces.map(move |trace| trace.map(|trace| (selection.includes(&trace), trace))).boxed(), filtered)
}

/// Excludes traces without a failure: no error status, no failure signal of the embedded rules, no negative annotation.
pub fn by_failure(
    traces: OutcomeStream<RedactedTrace>,
    selection: &Selection,
    rules: &Embedded,
    timeout: Duration,
    filtered: &Arc<AtomicU64>,
) -> OutcomeStream<RedactedTrace> {
    if !selection.failed_only {
        return traces;
    }
    let rules = rules.clone();
    let checked = pool::map_outcomes(traces, move |trace: RedactedTrace| {
        // If the rules cannot decide in time, the analyzer has to.
        let shows_failure = pool::catch_panic(|| rules.shows_failure(&trace, Deadline::after(timeout))).unwrap_or(true);
        Ok((shows_failure, trace))
    });
    included(checked, Arc::clone(filtered))
}

/// The items marked as included; the others are counted.
fn included<T: Send + 'static>(items: OutcomeStream<(bool, T)>, filtered: Arc<AtomicU64>) -> OutcomeStream<T> {
    items
        .filter_map(move |item| {
            let included = match item {
                Ok((false, _)) => {
                    filtered.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok((true, item)) => Some(Ok(item)),
                Err(rejection) => Some(Err(rejection)),
            };
            async move { included }
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn traces_are_selected_by_time_and_service() {
        let trace = |service: Option<&str>, start: Option<i64>| Trace {
            service: service.map(str::to_owned),
            spans: vec![Span { started_at_ns: start, ..Span::default() }],
            ..Trace::default()
        };
        let selection =
            Selection { since_ns: Some(10), until_ns: Some(20), services: vec!["a".into(), "b".into()], ..Selection::default() };
        assert!(selection.includes(&trace(Some("b"), Some(10))));
        assert!(!selection.includes(&trace(Some("b"), Some(20))) && !selection.includes(&trace(Some("b"), None)));
        assert!(!selection.includes(&trace(Some("c"), Some(15))) && !selection.includes(&trace(None, Some(15))));
        assert!(Selection::default().includes(&trace(None, None)));
    }
}
