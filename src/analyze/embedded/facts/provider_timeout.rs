//! Facts of a model call that took too long: the time limit, which part of the call it covers, and how long other calls of the model took.

use super::super::byte_regex::ByteRegex;

use super::names::fact_names;
use super::texts::{add_meaning, attribute, find, milliseconds_of, model_call, spans_of_call};
use super::{Case, Extractor, Facts, Place, duration_ms};
use crate::model::{Span, SpanKind};

fact_names! {
    TIMEOUT = "timeout_ms", Milliseconds, "the time limit of the call";
    TIMEOUT_PHASE = "timeout_phase", Text, "what the time limit covers";
    USUAL_CALL = "usual_call_ms", Milliseconds, "the median duration of the other calls of the model";
    LONGEST_CALL = "longest_call_ms", Milliseconds, "the longest of the other calls of the model";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Successful calls that are compared.
const CALLS_MAX: usize = 1_000;

static PHASES: [(ByteRegex, &str); 6] = [
    (
        ByteRegex::new(r"(?i)gateway time-?out|upstream request timeout|(?-u:\b)504(?-u:\b)|Error 524|reason_time_limit"),
        "a gateway's wait for the provider",
    ),
    (ByteRegex::new(r"(?i)ConnectTimeout|connect(?:ion)? time(?:d )?-?out|UND_ERR_CONNECT_TIMEOUT|connecting timed out"), "the connection"),
    (ByteRegex::new(r"(?i)WriteTimeout|write operation timed out"), "sending the request"),
    (ByteRegex::new(r"(?i)PoolTimeout|connection pool"), "a free connection of the client's pool"),
    (
        ByteRegex::new(
            r"(?i)ReadTimeout|read (?:operation )?timed? ?out|UND_ERR_(?:HEADERS|BODY)_TIMEOUT|read timeout|awaiting headers|读取超时",
        ),
        "the answer",
    ),
    (ByteRegex::new(r"(?i)deadline"), "the deadline of the call"),
];

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(call) = model_call(case).filter(|_| case.is(&["provider_timeout"])) else { return };
    add_limit(case, facts);
    let sources = case.error_texts();
    add_meaning(&TIMEOUT_PHASE, sources, &PHASES, facts);
    let by_type = case.root.and_then(|root| root.error_type.as_deref());
    let phase = by_type.and_then(|kind| PHASES.iter().find(|(phase, _)| phase.is_match(kind)));
    if let Some((_, phase)) = phase {
        facts.add(&TIMEOUT_PHASE, phase, Place::Span(call));
    }
    let is_other = |span: &&Span| {
        span.kind == SpanKind::Llm && !span.failed() && span.model == call.model && span.name == call.name && !std::ptr::eq(*span, call)
    };
    let mut durations: Vec<f64> = case.trace.spans.iter().filter(is_other).filter_map(duration_ms).take(CALLS_MAX).collect();
    durations.sort_by(f64::total_cmp);
    if let Some(median) = durations.get(durations.len() / 2).filter(|median| **median > 0.0) {
        facts.add(&USUAL_CALL, median, Place::Trace);
        if let Some(longest) = durations.last().filter(|_| durations.len() > 1) {
            facts.add(&LONGEST_CALL, longest, Place::Trace);
        }
    }
}

/// The time limit that the error names or the request set.
fn add_limit(case: &Case<'_, '_>, facts: &mut Facts) {
    static LIMIT: ByteRegex = ByteRegex::new(concat!(
        r"(?i)(?-u:\b)(?:read |connect |request |client |total )?time-?out(?: passed| value| setting| limit)?(?:\s?[=:]|\s?\(|\s(?:of|after|is)\s)\s?([0-9]+(?:\.[0-9]+)?(?: ?(?:ms|milliseconds|seconds|secs|sec|s|minutes|min|m)(?-u:\b))?)|",
        r"(?-u:\b)(?:timed out after|no (?:response|answer) (?:within|after|for)|not (?:respond|finish|complete) (?:within|in)|within|waited|deadline(?: of)? exceeded after|exceeded (?:its |the )?(?:time limit|timeout) of|time limit of)",
        r" ([0-9]+(?:\.[0-9]+)? ?(?:ms|milliseconds|seconds|secs|sec|s|minutes|min|m)(?-u:\b))|(?-u:\b)timeout ([0-9]+(?:\.[0-9]+)? ?(?:ms|s|seconds)) exceeded",
    ));
    let sources = case.error_texts();
    if let Some((source, captures)) = find(sources, &LIMIT) {
        let found = captures.iter().skip(1).flatten().next().and_then(|found| milliseconds_of(found.as_str()));
        if let Some(limit) = found.filter(|limit| *limit > 0.0) {
            facts.add(&TIMEOUT, limit, Place::Span(source.span));
            return;
        }
    }
    let setting = attribute(&spans_of_call(case), &["timeoutms", "requesttimeoutms"]);
    if let Some((limit, source)) =
        setting.and_then(|source| Some((source.text.trim().parse::<f64>().ok().filter(|limit| *limit > 0.0)?, source)))
    {
        facts.add(&TIMEOUT, limit, Place::Span(source.span));
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, Status, Trace};

    fn facts_of(text: &str) -> Facts {
        let call = |at: i64, seconds: i64| Span {
            name: "chat".into(),
            kind: SpanKind::Llm,
            started_at_ns: Some(at),
            ended_at_ns: Some(at + seconds * 1_000_000_000),
            ..Span::default()
        };
        let failed = Span { status: Status::Error, status_message: Some(text.into()), ..call(9, 60) };
        let trace = Trace { spans: vec![call(1, 2), call(2, 3), call(3, 9), failed], ..Trace::default() };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 3, IncidentKind::Error).unwrap());
        let label = Label::parse("provider_error/provider_timeout").unwrap();
        let mut facts = Facts::default();
        add(&Case::new(&trace, &tree, &[], Some(&root), label), &mut facts);
        facts
    }

    #[test]
    fn time_limits_are_read_in_the_messages_of_clients() {
        for (text, limit, phase) in [
            ("HTTPSConnectionPool(host='x', port=443): Read timed out. (read timeout=10)", "10000", "the answer"),
            (
                "litellm.Timeout: APITimeoutError - Request timed out. Error_str: Request timed out. - timeout value=600.0, time taken=601.2 seconds",
                "600000",
                "",
            ),
            ("timeout of 60000ms exceeded", "60000", ""),
            ("Timed out after 120 seconds", "120000", ""),
            ("The model did not respond within 30 s", "30000", ""),
            ("Connection timeout after 5s", "5000", "the connection"),
            ("504 Gateway Time-out", "", "a gateway's wait for the provider"),
            ("504 Deadline Exceeded", "", "a gateway's wait for the provider"),
            ("Request timed out.", "", ""),
            ("httpx.ReadTimeout: The read operation timed out", "", "the answer"),
        ] {
            let facts = facts_of(text);
            let found = [&TIMEOUT, &TIMEOUT_PHASE].map(|name| facts.get(name).unwrap_or_default());
            assert_eq!(found, [limit, phase], "{text}");
            assert_eq!((facts.get(&USUAL_CALL), facts.get(&LONGEST_CALL)), (Some("3000"), Some("9000")));
        }
    }
}
