//! The redaction stages: of traces after gathering, of drafts after analysis, and of rejection reasons before writing.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;

use super::leak_check::UncheckedDraft;
use super::redacted_trace::RedactedTrace;
use super::redactor::Redactor;
use crate::model::{Draft, OutcomeStream, Rejection, RejectionKind, Stage, Trace};
use crate::runtime::{Deadline, Permitted, Shutdown, TimedOut, pool};

/// Redacts traces. Traces that arrive after the grace period of a shutdown are rejected as interrupted, and traces whose redaction takes
/// longer than `timeout` as timed out.
pub fn traces(
    traces: OutcomeStream<Trace>,
    redactor: &Arc<Redactor>,
    timeout: Duration,
    shutdown: &Shutdown,
) -> OutcomeStream<RedactedTrace> {
    let (redactor, shutdown) = (Arc::clone(redactor), shutdown.clone());
    pool::map_outcomes(traces, move |trace: Trace| {
        if shutdown.is_grace_ended() {
            return Err(Rejection::interrupted(&trace.trace_id, &trace.source.uri, Stage::Redact).of_objects(&trace.source_uris));
        }
        let (id, uri, objects) = (trace.trace_id.clone(), trace.source.uri.clone(), trace.source_uris.clone());
        let rejected = |kind, reason| Rejection::for_trace(&id, &uri, Stage::Redact, kind, reason).of_objects(&objects);
        let redacted = pool::catch_panic(|| redactor.redact_trace(trace, Deadline::after(timeout)));
        redacted.map_err(|panic| rejected(RejectionKind::Internal, panic))?.map_err(|TimedOut(budget)| {
            let reason = format!("redaction exceeded the trace's time budget of {} s; raise it with --trace-timeout", budget.as_secs_f64());
            rejected(RejectionKind::TimedOut, reason)
        })
    })
}

/// Redacts drafts, because an analyzer's output is untrusted too. Drafts that still contain a sensitive value are rejected.
pub fn drafts(drafts: OutcomeStream<UncheckedDraft>, redactor: &Arc<Redactor>) -> OutcomeStream<Permitted<Draft>> {
    let redactor = Arc::clone(redactor);
    pool::map_outcomes(drafts, move |draft: UncheckedDraft| redactor.check_draft(draft))
}

/// Redacts the reasons, trace references and source URIs of rejections.
pub fn reasons<T: Send + 'static>(items: OutcomeStream<T>, redactor: &Arc<Redactor>) -> OutcomeStream<T> {
    let redactor = Arc::clone(redactor);
    // Consecutive rejections usually have the same object, and an interrupted run has many, so the last URI is cached.
    let mut last = (String::new(), String::new());
    items
        .map(move |item| {
            item.map_err(|mut rejection| {
                // Interrupted traces all have the same reason, which contains no trace text.
                if rejection.kind != RejectionKind::Interrupted {
                    rejection.reason = redactor.redact_reason(&rejection.reason, &rejection.source_uri);
                }
                if last.0 != rejection.source_uri {
                    last = (rejection.source_uri.clone(), redactor.redact_location(&rejection.source_uri));
                }
                rejection.source_uri.clone_from(&last.1);
                rejection.trace_ref = redactor.redact_reference(&rejection.trace_ref, rejection.is_location);
                rejection
            })
        })
        .boxed()
}
