//! Which of the traces a run looks at; what is left out is counted as filtered.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::StreamExt;

use crate::analyze::embedded::Embedded;
use crate::model::{OutcomeStream, Trace};
use crate::redact::RedactedTrace;
use crate::runtime::{Deadline, pool};

/// Which traces, by what stands in them before anything is analysed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    /// Only traces that show a failure.
    pub failed_only: bool,
    /// Started at this time or later, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Started before this time, in nanoseconds since 1970.
    pub until_ns: Option<i64>,
    /// Of one of these services; of any where it is empty.
    pub services: Vec<String>,
}

impl Selection {
    fn takes(&self, trace: &Trace) -> bool {
        let starts = trace.started_at_ns();
        let in_time = self.since_ns.is_none_or(|since| starts.is_some_and(|start| start >= since))
            && self.until_ns.is_none_or(|until| starts.is_some_and(|start| start < until));
        let of_service = self.services.is_empty() || trace.service.as_ref().is_some_and(|service| self.services.contains(service));
        in_time && of_service
    }
}

/// Leaves out traces of another time or service. Stands before redaction, which costs more than looking.
pub fn by_time_and_service(traces: OutcomeStream<Trace>, selection: &Selection, filtered: &Arc<AtomicU64>) -> OutcomeStream<Trace> {
    let (selection, filtered) = (selection.clone(), Arc::clone(filtered));
    kept(traces.map(move |trace| trace.map(|trace| (selection.takes(&trace), trace))).boxed(), filtered)
}

/// Leaves out traces that show no failure: no error status, no sign of a failure that the embedded rules know, no negative annotation.
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
    let looked_at = pool::map_outcomes(traces, move |trace: RedactedTrace| {
        // Where the rules cannot tell in time, the analyzer shall.
        let shows = pool::catch_panic(|| rules.shows_failure(&trace, Deadline::after(timeout))).unwrap_or(true);
        Ok((shows, trace))
    });
    kept(looked_at, Arc::clone(filtered))
}

fn kept<T: Send + 'static>(items: OutcomeStream<(bool, T)>, filtered: Arc<AtomicU64>) -> OutcomeStream<T> {
    items
        .filter_map(move |item| {
            let kept = match item {
                Ok((false, _)) => {
                    filtered.fetch_add(1, Ordering::Relaxed);
                    None
                }
                Ok((true, item)) => Some(Ok(item)),
                Err(rejection) => Some(Err(rejection)),
            };
            async move { kept }
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Span;

    #[test]
    fn time_and_service_select() {
        let trace = |service: Option<&str>, start: Option<i64>| Trace {
            service: service.map(str::to_owned),
            spans: vec![Span { started_at_ns: start, ..Span::default() }],
            ..Trace::default()
        };
        let selection =
            Selection { since_ns: Some(10), until_ns: Some(20), services: vec!["a".into(), "b".into()], ..Selection::default() };
        assert!(selection.takes(&trace(Some("b"), Some(10))));
        assert!(!selection.takes(&trace(Some("b"), Some(20))) && !selection.takes(&trace(Some("b"), None)));
        assert!(!selection.takes(&trace(Some("c"), Some(15))) && !selection.takes(&trace(None, Some(15))));
        assert!(Selection::default().takes(&trace(None, None)));
    }
}
