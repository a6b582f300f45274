//! The pauses between the attempts of a call, the retries that its client is configured for, and how many other calls ran at the same time.

use super::super::byte_regex::ByteRegex;

use super::super::incident::Incident;
use super::super::signals::recorded_status;
use super::names::fact_names;
use super::step::{ATTEMPTS, RETRIES, attempts_at};
use super::texts::{attribute, find, model_call, number_of, spans_of_call};
use super::{Case, Extractor, Facts, Place, milliseconds_between};
use crate::model::{Span, SpanKind, duration};

fact_names! {
    ATTEMPT_GAPS = "attempt_gaps", Text, "the pauses between the attempts";
    SHORT_GAPS = "short_gaps", Text, "the pauses between the attempts, if none took a minute";
    RETRIES_CONFIGURED = "retries_configured", Count, "the number of retries that the client is configured for";
    ATTEMPT_STATUSES = "attempt_statuses", Text, "the HTTP statuses of the requests below the failed call, in order";
    CALLS_SAME_SECOND = "calls_same_second", Count, "the calls that started within the same second";
    CALLS_IN_FLIGHT = "calls_in_flight", Count, "the calls that ran at the same time";
    CALLS_SUCCEEDED_BEFORE = "calls_succeeded_before", Count, "the model calls that succeeded before";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Pauses that are listed.
const GAPS_LISTED_MAX: usize = 5;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let is_of_provider = case.label.category() == "provider_error";
    let is_of_tool = case.is(&["tool_rate_limited", "tool_unavailable", "tool_auth_failed", "retriever_error"]);
    let Some(root) = case.root.filter(|_| is_of_provider || is_of_tool) else { return };
    let Some(failed) = model_call(case) else { return };
    add_gaps(case, root, facts);
    add_configured(case, facts);
    let is_alike = |span: &Span| span.kind == failed.kind && (failed.kind == SpanKind::Llm || span.name == failed.name);
    let has_outer_call = |index: usize| {
        let parent = case.tree.parent(index).and_then(|parent| case.trace.spans.get(parent));
        parent.is_some_and(|parent| parent.kind == failed.kind)
    };
    let outer =
        || case.trace.spans.iter().enumerate().filter(|(index, span)| is_alike(span) && !has_outer_call(*index)).map(|(_, span)| span);
    if is_of_provider && failed.kind == SpanKind::Llm {
        // Calls at another host say nothing about the key or the server of this one.
        let is_same_host = |span: &Span| host_of_span(span).zip(host_of_span(failed)).is_none_or(|(one, other)| one == other);
        let is_success = |span: &&Span| !span.failed() && span.model == failed.model && ended_before(span, failed) && is_same_host(span);
        let succeeded = outer().filter(is_success).count();
        if succeeded > 0 {
            facts.add(&CALLS_SUCCEEDED_BEFORE, succeeded, Place::Trace);
        }
    }
    if let Some(start) =
        failed.started_at_ns.filter(|_| case.is(&["rate_limited", "quota_exhausted", "tool_rate_limited", "provider_overloaded"]))
    {
        const SECOND_NS: i64 = 1_000_000_000;
        let in_second =
            outer().filter(|span| span.started_at_ns.is_some_and(|other| (other..other.saturating_add(SECOND_NS)).contains(&start)));
        let in_second = in_second.count();
        let in_flight =
            outer().filter(|span| span.started_at_ns.is_some_and(|at| at <= start) && span.ended_at_ns.is_some_and(|end| end > start));
        let in_flight = in_flight.count();
        // Two calls one after the other are no burst.
        if in_second > 2 || (in_second > 1 && in_flight > 1) {
            facts.add(&CALLS_SAME_SECOND, in_second, Place::Trace);
        }
        if in_flight > 1 {
            facts.add(&CALLS_IN_FLIGHT, in_flight, Place::Trace);
        }
    }
}

fn host_of_span(span: &Span) -> Option<&str> {
    ["server.address", "net.peer.name", "http.host", "url.host"].into_iter().find_map(|key| span.attribute(key))
}

fn ended_before(span: &Span, other: &Span) -> bool {
    span.ended_at_ns.zip(other.started_at_ns).is_some_and(|(end, start)| end <= start)
}

/// The pauses between the attempts.
fn add_gaps<'t>(case: &Case<'_, 't>, root: &Incident<'t>, facts: &mut Facts) {
    let mut attempts = attempts_at(case, root);
    if attempts.len() < 2 {
        let inner = requests_below(case, root);
        if inner.len() > 1 {
            let statuses: Vec<String> = inner.iter().filter_map(|span| status_of(span)).map(|status| status.to_string()).collect();
            if statuses.len() == inner.len() {
                facts.add(&ATTEMPT_STATUSES, statuses.join(", "), Place::Span(root.span));
            }
            facts.add(&ATTEMPTS, inner.len(), Place::Span(root.span));
            facts.add(&RETRIES, inner.len() - 1, Place::Span(root.span));
            attempts = inner;
        }
    }
    let pairs = attempts.iter().zip(attempts.iter().skip(1));
    let gaps = pairs.filter_map(|(one, next)| milliseconds_between(one.ended_at_ns?, next.started_at_ns?));
    let times: Vec<f64> = gaps.take(GAPS_LISTED_MAX).collect();
    // Of attempts whose times are not recorded.
    if times.iter().all(|gap| *gap <= 0.0) {
        return;
    }
    let gaps: Vec<String> = times.iter().map(|gap| duration(*gap)).collect();
    if attempts.len() > 1 && gaps.len() == (attempts.len() - 1).min(GAPS_LISTED_MAX) {
        facts.add(&ATTEMPT_GAPS, gaps.join(", "), Place::Trace);
        if times.iter().all(|gap| *gap < 60_000.0) {
            facts.add(&SHORT_GAPS, gaps.join(", "), Place::Trace);
        }
    }
}

/// The requests that an HTTP client made for the failed call, one after the other, all without success.
fn requests_below<'t>(case: &Case<'_, 't>, root: &Incident<'_>) -> Vec<&'t Span> {
    const SPANS_MAX: usize = 64;
    let mut found: Vec<&'t Span> = Vec::new();
    let mut level: Vec<usize> = vec![root.index];
    // The client may have a span between the call and its requests.
    for _ in 0..3 {
        let next = level.iter().flat_map(|index| case.tree.children(*index)).copied().take(SPANS_MAX);
        level = next.collect();
        let requests = level.iter().filter_map(|index| case.trace.spans.get(*index)).filter(|span| is_request(span));
        found.extend(requests.take(SPANS_MAX));
        if !found.is_empty() {
            break;
        }
    }
    let first = found.first().copied();
    let is_alike = |span: &&Span| first.is_some_and(|first| first.name == span.name) && (span.failed() || status_of(span).is_some());
    let follow = found.iter().zip(found.iter().skip(1)).all(|(one, next)| ended_before(one, next));
    if found.iter().all(is_alike) && follow { found } else { Vec::new() }
}

fn is_request(span: &Span) -> bool {
    let keys = ["http.request.method", "http.method", "http.url", "url.full"];
    span.kind == SpanKind::Other && keys.iter().any(|key| span.attribute(key).is_some())
}

/// The error status of a request. Micrometer calls it `status`.
fn status_of(span: &Span) -> Option<u16> {
    let of_micrometer = || span.attribute("status").and_then(|status| status.parse().ok()).filter(|status| (400..600).contains(status));
    recorded_status(span).map(|(status, _)| status).or_else(of_micrometer)
}

/// The number of retries for which the client is configured.
fn add_configured(case: &Case<'_, '_>, facts: &mut Facts) {
    static RETRIES_IN_TEXT: ByteRegex = ByteRegex::new(
        r"(?i)(?-u:\b)max(?:imum)? (?:number of )?retries(?: of|:)? \(?([0-9]{1,4})(?-u:\b)|(?-u:\b)retries exceeded \(([0-9]{1,4})\)",
    );
    let sources = case.error_texts();
    if let Some((source, captures)) = find(sources, &RETRIES_IN_TEXT)
        && let Some(found) = captures.iter().skip(1).flatten().next()
        && number_of(found.as_str()).is_some_and(|count| count > 0)
    {
        facts.add(&RETRIES_CONFIGURED, found.as_str(), source.place());
    }
    // Of the HTTP client and of frameworks: the number of retries, not of attempts.
    let retries = attribute(&spans_of_call(case), &["maxretries", "llmmaxretries"]);
    if let Some(source) = retries.filter(|source| number_of(source.text).is_some_and(|count| (1..1_000).contains(&count))) {
        facts.add(&RETRIES_CONFIGURED, source.text.trim(), source.place());
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, Trace};

    fn facts_of(spans: Vec<Span>, root: usize) -> Facts {
        let trace = Trace { spans, ..Trace::default() };
        let (tree, mut root) = (SpanTree::new(&trace), Incident::new(&trace, root, IncidentKind::Error).unwrap());
        if let Some(message) = root.span.status_message.as_deref() {
            root.texts.push(("status_message".into(), message));
        }
        let label = Label::parse("provider_error/rate_limited").unwrap();
        let mut facts = Facts::default();
        let failed = trace.spans.iter().enumerate().filter(|(_, span)| span.failed());
        let incidents: Vec<_> = failed.filter_map(|(index, _)| Incident::new(&trace, index, IncidentKind::Error)).collect();
        add(&Case::new(&trace, &tree, &incidents, Some(&root), label), &mut facts);
        facts
    }

    fn call(at_ms: i64, status: Status, message: Option<&str>) -> Span {
        Span {
            span_id: at_ms.to_string(),
            name: "chat".into(),
            kind: SpanKind::Llm,
            started_at_ns: Some(at_ms * 1_000_000),
            ended_at_ns: Some((at_ms + 100) * 1_000_000),
            status,
            status_message: message.map(str::to_owned),
            ..Span::default()
        }
    }

    #[test]
    fn pauses_and_other_calls_are_counted() {
        let failed = |at| call(at, Status::Error, Some("RateLimitError: slow down"));
        let facts = facts_of(vec![call(0, Status::Ok, None), call(100, Status::Ok, None), failed(200), failed(800), failed(2_000)], 2);
        assert_eq!(facts.get(&ATTEMPT_GAPS), Some("500 ms, 1.1 s"));
        assert_eq!((facts.get(&CALLS_SUCCEEDED_BEFORE), facts.get(&CALLS_SAME_SECOND)), (Some("2"), Some("3")));
        assert_eq!(facts.get(&CALLS_IN_FLIGHT), None);
        // One after the other, and at the same time.
        assert_eq!(facts_of(vec![call(0, Status::Ok, None), failed(200)], 1).get(&CALLS_SAME_SECOND), None);
        let facts = facts_of(vec![call(150, Status::Ok, None), failed(200)], 1);
        assert_eq!((facts.get(&CALLS_SAME_SECOND), facts.get(&CALLS_IN_FLIGHT)), (Some("2"), Some("2")));
    }

    #[test]
    fn configured_retries_are_read_from_the_text() {
        for (text, retries) in [
            ("(ThrottlingException) when calling the Converse operation (reached max retries: 4): Too many requests", Some("4")),
            ("LiteLLM Retried: 2 times, LiteLLM Max Retries: 3", Some("3")),
            ("giving up after 5 attempts", None),
            ("Max retries exceeded with url: /api/chat", None),
            ("after 429 errors", None),
        ] {
            let facts = facts_of(vec![call(0, Status::Error, Some(text))], 0);
            assert_eq!(facts.get(&RETRIES_CONFIGURED), retries, "{text}");
        }
    }
}
