//! Facts of a cancelled run: what cancelled it, and how long it had run.

use std::collections::HashSet;

use super::super::incident::Incident;
use super::super::signals::error_type;
use super::super::text::message_of;
use super::case::{duration_ms, milliseconds_between};
use super::find::{attributes_ending_in, capture, expressions};
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, display_name, shortened};
use crate::model::{Span, last_segment};

fact_names! {
    CANCELLED_BY = "cancelled_by", Text, "who or what cancelled the run";
    CANCELLING_SPAN = "cancelling_span", Text, "the parent span that reports a time limit";
    FAILED_SIBLING = "failed_sibling", Text, "the step that failed before the cancellation";
    SIBLING_ERROR = "sibling_error", Text, "the error of the step that failed before";
    CANCELLING_ERROR = "cancelling_error", Text, "the error type of the parent span that says who cancelled";
    CANCELLING_SPAN_NAME = "cancelled_in", Text, "the parent span that says who cancelled";
    CANCELLED_STEPS = "cancelled_steps", Count, "the number of cancelled steps";
    CANCEL_REASON = "cancel_reason", Text, "the reason that a parent span gives for the cancellation";
    CANCEL_STATUS = "cancel_status", Count, "the HTTP status with which the cancelled request ended";
    RAN_FOR = "ran_for_ms", Milliseconds, "how long the step had run when it was cancelled";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Parents whose error is read.
const PARENTS_READ_MAX: usize = 8;

expressions! {
    BY_USER = r"(?i)\b(?:(?:by|from)(?: the)? (?:end[ -])?user|user (?:cancell?ed|aborted|interrupt\w*|requested|stopped|pressed)|USER_CANCEL|KeyboardInterrupt|Ctrl-?C)\b";
    BY_CLIENT = r"(?i)\bclient (?:has )?(?:disconnect\w*|closed|went away|hung up|gone)|\bClientDisconnect\w*|\b(?:by|from)(?: the)? client\b|connection (?:was )?closed by (?:the )?client|\b499\b";
    BY_TIMEOUT = r"(?i)\b(?:deadline|time limit|timeout|timed out)\b";
    BY_CALLER = r"(?i)\b(?:by|from)(?: the)? (?:caller|parent|supervisor|orchestrator|scheduler|operator|admin\w*)\b|\bterminat\w+ by\b";
    BY_SHUTDOWN = r"(?i)\bshut(?:ting)?[ -]?down|\bSIGTERM\b|\bSIGINT\b|\bsignal (?:15|2)\b|\bdraining\b|\bevict(?:ed|ion)\b|\bpreempt(?:ed|ion)\b|\brolling (?:update|restart|deploy)|lifespan";
    BY_NAME = r#"(?i)\bcancell?ed by (?:the )?['"`]?([\w.\-]+)|\bcancell?ed via ([\w.\- ]+)"#;
}

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root.filter(|_| case.is(&["run_cancelled"])) else { return };
    let span = root.span;
    for (field, text) in case.messages() {
        for (expression, who) in
            [(&BY_USER, "the user"), (&BY_CLIENT, "the client"), (&BY_TIMEOUT, "a time limit"), (&BY_SHUTDOWN, "a shutdown of the process")]
        {
            if expression.is_match(text) {
                facts.add(&CANCELLED_BY, who, Place::Span(span));
            }
        }
        if let Some(who) = capture(&BY_NAME, text)
            .filter(|who| !matches!(*who, "a" | "an" | "its" | "another" | "cancel" | "user" | "client" | "caller") && !is_mechanism(who))
        {
            facts.add(&CANCELLED_BY, who, Place::Field(span, field));
        }
        if BY_CALLER.is_match(text) {
            facts.add(&CANCELLED_BY, "the caller", Place::Span(span));
        }
    }
    let own_type = root.error_type.as_deref().map(|kind| (kind, span));
    let parents = case.tree.self_and_ancestors(root.index).skip(1).filter_map(|index| case.trace.spans.get(index));
    let parents: Vec<&Span> = parents.filter(|span| span.failed()).take(PARENTS_READ_MAX).collect();
    let of_parents = || parents.iter().filter_map(|parent| Some((error_type(parent)?.0, *parent)));
    if let Some((who, span)) = own_type.and_then(|(kind, span)| Some((canceller_of_type(kind)?, span))) {
        facts.add(&CANCELLED_BY, who, Place::Span(span));
    }
    // A cancelled call only says that it was cancelled; a span around it may say by whom.
    if let Some((who, parent, kind)) = of_parents().find_map(|(kind, parent)| Some((canceller_of_type(&kind)?, parent, kind))) {
        facts.add(&CANCELLED_BY, who, Place::Span(parent));
        facts.add(&CANCELLING_ERROR, last_segment(&kind), Place::Span(parent));
        facts.add(&CANCELLING_SPAN_NAME, display_name(parent), Place::Span(parent));
    }
    for parent in &parents {
        const STATUS: &[&str] = &["httpresponsestatuscode", "httpstatuscode"];
        const REASONS: &[&str] = &["cancelreason", "cancellationreason", "cancelledreason", "abortreason"];
        if let Some((key, reason)) = attributes_ending_in(parent, REASONS).next() {
            let reason = super::super::text::clip(reason);
            for (expression, who) in [(&BY_USER, "the user"), (&BY_CLIENT, "the client")] {
                if expression.is_match(reason) {
                    facts.add(&CANCELLED_BY, who, Place::Span(parent));
                }
            }
            facts.add(&CANCEL_REASON, shortened(reason, 120), Place::Field(parent, &format!("attributes.{key}")));
            facts.add(&CANCELLING_SPAN_NAME, display_name(parent), Place::Span(parent));
        }
        // The status with which nginx, and servers after it, record that the client closed the connection.
        if let Some((key, status)) = attributes_ending_in(parent, STATUS).find(|(_, status)| *status == "499") {
            facts.add(&CANCELLED_BY, "the client", Place::Span(parent));
            facts.add(&CANCEL_STATUS, status, Place::Field(parent, &format!("attributes.{key}")));
            facts.add(&CANCELLING_SPAN_NAME, display_name(parent), Place::Span(parent));
        }
        let Some(text) = parent.status_message.as_deref().map(message_of) else { continue };
        for (expression, who) in [(&BY_USER, "the user"), (&BY_CLIENT, "the client")] {
            if expression.is_match(text) {
                facts.add(&CANCELLED_BY, who, Place::Span(parent));
                facts.add(&CANCELLING_SPAN_NAME, display_name(parent), Place::Span(parent));
            }
        }
    }
    add_surroundings(case, root, facts);
    // The steps around a cancelled one report the same error.
    let is_cancelled = |incident: &&Incident<'_>| incident.error_type == root.error_type && incident.error_type.is_some();
    let around: HashSet<usize> =
        case.incidents.iter().filter(is_cancelled).filter_map(|incident| case.tree.parent(incident.index)).collect();
    let cancelled = case.incidents.iter().filter(is_cancelled).filter(|incident| !around.contains(&incident.index)).count();
    if cancelled > 1 {
        facts.add(&CANCELLED_STEPS, cancelled, Place::Trace);
    }
    if let Some(duration) = duration_ms(span) {
        facts.add(&RAN_FOR, duration, Place::Span(span));
    }
}

/// `cancel scope 7f1c…` of `AnyIO` is how a task was cancelled, not who or what did it.
fn is_mechanism(who: &str) -> bool {
    let who = who.to_ascii_lowercase();
    ["cancel scope", "task group", "taskgroup", "nursery", "asyncio", "abortcontroller", "abort signal"]
        .iter()
        .any(|word| who.starts_with(word))
}

/// Who stops a run with an error of this type.
fn canceller_of_type(kind: &str) -> Option<&'static str> {
    match last_segment(kind) {
        "KeyboardInterrupt" | "UserCancelled" | "UserCancelledError" | "UserAbort" | "UserInterrupt" => Some("the user"),
        "ClientDisconnect"
        | "ClientDisconnected"
        | "ClientDisconnectedError"
        | "ClientDisconnectError"
        | "ClientClosedRequest"
        | "ClientAbortException"
        | "ConnectionClosedByClient" => Some("the client"),
        _ => None,
    }
}

/// A time limit in a parent, or a step that failed shortly before.
fn add_surroundings(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    /// A task group cancels its other tasks at once.
    const CANCELLED_WITHIN_MS: f64 = 1_000.0;
    let says_timeout = |span: &&Span| {
        let texts = [span.error_type.as_deref(), span.status_message.as_deref().map(super::super::text::clip)];
        let exceptions = span.exceptions.iter().map(|exception| exception.kind.as_str());
        texts.into_iter().flatten().chain(exceptions).any(|text| {
            let text = text.to_ascii_lowercase();
            text.contains("timeout") || text.contains("timed out") || text.contains("deadline")
        })
    };
    let parents = case.tree.self_and_ancestors(root.index).skip(1).filter_map(|index| case.trace.spans.get(index));
    if let Some(parent) = parents.into_iter().find(says_timeout) {
        facts.add(&CANCELLED_BY, "a time limit", Place::Span(parent));
        facts.add(&CANCELLING_SPAN, display_name(parent), Place::Span(parent));
    }
    let is_shortly_before = |other: &&Incident<'_>| {
        other.index != root.index
            && other.error_type != root.error_type
            && case.tree.parent(other.index) == case.tree.parent(root.index)
            && milliseconds_between(other.at_ns, root.at_ns).is_some_and(|gap| gap <= CANCELLED_WITHIN_MS)
    };
    if let Some(sibling) = case.incidents.iter().find(is_shortly_before) {
        facts.add(&FAILED_SIBLING, display_name(sibling.span), Place::Span(sibling.span));
        if let Some(kind) = &sibling.error_type {
            facts.add(&SIBLING_ERROR, last_segment(kind), Place::Span(sibling.span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::IncidentKind;
    use super::super::super::tree::SpanTree;
    use super::*;

    #[test]
    fn a_span_around_the_cancelled_call_says_who_cancelled() {
        use crate::model::{Label, Status, Trace};
        for (kind, message, who) in [
            ("starlette.requests.ClientDisconnect", "client disconnected", Some("the client")),
            ("RuntimeError", "stream closed: client went away", Some("the client")),
            ("KeyboardInterrupt", "", Some("the user")),
            ("asyncio.CancelledError", "", None),
        ] {
            let parent = Span {
                span_id: "p".into(),
                name: "stream_reply".into(),
                status: Status::Error,
                status_message: Some(message.into()),
                error_type: Some(kind.into()),
                ..Span::default()
            };
            let call = Span { span_id: "c".into(), parent_span_id: Some("p".into()), status: Status::Error, ..Span::default() };
            let trace = Trace { spans: vec![parent, call], ..Trace::default() };
            let (tree, mut root) = (SpanTree::new(&trace), Incident::new(&trace, 1, IncidentKind::Error).unwrap());
            root.error_type = Some("CancelledError".into());
            let label = Label::parse("coordination_failure/run_cancelled").unwrap();
            let mut facts = Facts::default();
            add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
            assert_eq!((facts.get(&CANCELLED_BY), facts.get(&CANCELLING_SPAN_NAME)), (who, who.map(|_| "stream_reply")), "{kind}");
        }
    }

    #[test]
    fn a_mechanism_is_nobody() {
        assert!(is_mechanism("cancel scope 7f1c2c0d") && is_mechanism("task group"));
        assert!(!is_mechanism("supervisor") && !is_mechanism("the scheduler"));
    }

    #[test]
    fn it_is_read_who_cancelled() {
        let expressions =
            [(&BY_USER, "user"), (&BY_CLIENT, "client"), (&BY_TIMEOUT, "timeout"), (&BY_SHUTDOWN, "shutdown"), (&BY_CALLER, "caller")];
        for (text, who) in [
            ("Run cancelled by user", Some("user")),
            ("USER_CANCEL", Some("user")),
            ("The user aborted a request.", Some("user")),
            ("client disconnected", Some("client")),
            ("Request cancelled: connection closed by client", Some("client")),
            ("Cancelled by cancel scope 7f", None),
            ("context deadline exceeded: deadline", Some("timeout")),
            ("cancelled by the orchestrator", Some("caller")),
            ("worker received SIGTERM", Some("shutdown")),
            ("the server is shutting down", Some("shutdown")),
            ("pod was evicted", Some("shutdown")),
            ("This operation was aborted", None),
            ("context canceled", None),
        ] {
            let found = expressions.iter().find(|(expression, _)| expression.is_match(text)).map(|(_, who)| *who);
            assert_eq!(found, who, "{text}");
        }
    }
}
