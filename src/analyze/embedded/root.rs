//! Root cause before consequence: which incident came first, among those from which the run did not recover.

use std::collections::{HashMap, HashSet};

use super::closing_message;
use super::diagnosis::{Diagnosis, Knowledge};
use super::facts::duration_ms;
use super::incident::{Incident, IncidentKind};
use super::tree::SpanTree;
use crate::model::{Label, Span, Trace};
use crate::runtime::{Deadline, TimedOut};

/// The factors of a span that stops the steps in it after a time.
const LIMIT_EXPIRED: [&str; 2] = ["run_timeout", "tool_timeout"];

/// The factors of a call that ends with the error of a deadline, which may be its own or that of the run.
const CUT_BY_DEADLINE: [&str; 2] = ["provider_timeout", "tool_timeout"];

/// The factor of a step that something else stopped.
const RUN_CANCELLED: &str = "run_cancelled";

/// Whether a span records a time limit that it reached, while the call that was stopped in it took less than half of it.
fn used_up_its_limit(span: &Span, stopped: &Span) -> bool {
    const IN_MILLISECONDS: [&str; 5] = ["deadlinems", "timeoutms", "timelimitms", "maxdurationms", "deadlinemillis"];
    const IN_SECONDS: [&str; 5] = ["deadlineseconds", "timeoutseconds", "timelimitseconds", "maxdurationseconds", "deadlinesecs"];
    let Some((duration, of_call)) = duration_ms(span).zip(duration_ms(stopped)) else { return false };
    span.attributes.iter().take(512).any(|attribute| {
        let key: String = attribute.key.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        let ends_in = |words: &[&str]| words.iter().any(|word| key.ends_with(word));
        let factor = if ends_in(&IN_MILLISECONDS) {
            1.0
        } else if ends_in(&IN_SECONDS) {
            1e3
        } else {
            return false;
        };
        let limit = attribute.value.trim().parse::<f64>().ok().map(|limit| limit * factor);
        limit.is_some_and(|limit| limit > 0.0 && duration >= limit * 0.99 && duration <= limit * 1.1 && of_call < limit / 2.0)
    })
}

/// The incident that caused the failure, with the rule that names it.
#[derive(Debug, Clone)]
pub(super) struct RootCause<'i, 't, 'c> {
    pub(super) incident: &'i Incident<'t>,
    pub(super) diagnosis: Diagnosis<'c>,
    /// Whether another incident that was not recovered from has another label.
    pub(super) contested: bool,
}

/// The root cause of a failure; `None` if the run recovered from every incident that a rule matches.
///
/// An error that propagates up the tree is one failure, and its deepest span is the culprit, unless the rule of an outer error
/// has `own_cause`. For example, a guardrail that blocks a run is reported even if a tool below it failed. Of several failures
/// the first in time wins.
///
/// # Errors
/// [`TimedOut`].
pub(super) fn root_cause<'i, 't, 'c>(
    trace: &Trace,
    tree: &SpanTree,
    incidents: &'i [Incident<'t>],
    knowledge: &'c Knowledge,
    deadline: Deadline,
) -> Result<Option<RootCause<'i, 't, 'c>>, TimedOut> {
    let explained = explained_steps(incidents, knowledge, deadline)?;
    let is_open =
        |incident: &&Incident<'_>| !incident.recovered && !incident.step.is_some_and(|step| explained.contains(step.span_id.as_str()));
    let mut has_open_error = vec![false; trace.spans.len()];
    for incident in incidents.iter().filter(is_open).filter(|incident| incident.kind == IncidentKind::Error) {
        if let Some(flag) = has_open_error.get_mut(incident.index) {
            *flag = true;
        }
    }
    let error_below = tree.has_descendant_with(&has_open_error);
    let any_error = has_open_error.contains(&true);

    let mut candidates = Vec::new();
    for incident in incidents.iter().filter(is_open) {
        deadline.check()?;
        // These are weak evidence. If a step reports an error, the error explains the failure better.
        if any_error && matches!(incident.kind, IncidentKind::LowScores | IncidentKind::RepeatedCalls) {
            continue;
        }
        let Some(diagnosis) = knowledge.diagnose(incident) else { continue };
        let propagated = incident.kind == IncidentKind::Error && error_below.get(incident.index) == Some(&true);
        if !propagated || diagnosis.rule.own_cause {
            candidates.push((incident, diagnosis));
        }
    }
    drop_superseded(tree, &mut candidates);
    closing_message::drop_repeated_commands(&mut candidates);
    // Spans that end at the same moment are nested. The inner one starts later, so it has the higher index.
    let first =
        candidates.iter().min_by_key(|(incident, _)| (end_in_parent(trace, tree, incident), std::cmp::Reverse(incident.index))).cloned();
    // The time limit of a span around a step cancels the step. It ends later, but it is the cause.
    let limit = first.as_ref().and_then(|(stopped, diagnosis)| {
        if !CUT_BY_DEADLINE.contains(&diagnosis.label.factor()) {
            return None;
        }
        let expired = |incident: &&Incident<'_>| incident.kind == IncidentKind::Error && is_open(incident);
        let by_span: HashMap<usize, &'i Incident<'t>> =
            incidents.iter().filter(expired).map(|incident| (incident.index, incident)).collect();
        let mut around = tree.self_and_ancestors(stopped.index).skip(1).filter_map(|index| by_span.get(&index).copied());
        around.find_map(|incident| {
            // A call that ran for the time itself was stopped by its own limit.
            if !used_up_its_limit(incident.span, stopped.span) {
                return None;
            }
            let diagnosis = knowledge.diagnose(incident)?;
            LIMIT_EXPIRED.contains(&diagnosis.label.factor()).then_some((incident, diagnosis))
        })
    });
    let first = limit.or(first);
    let first = match first {
        Some((stopped, diagnosis)) if diagnosis.label.factor() == RUN_CANCELLED => {
            let open: HashMap<usize, &'i Incident<'t>> = incidents
                .iter()
                .filter(is_open)
                .filter(|incident| incident.kind == IncidentKind::Error)
                .map(|incident| (incident.index, incident))
                .collect();
            Some(cause_of_cancellation(tree, stopped, &open, knowledge).unwrap_or((stopped, diagnosis)))
        }
        first => first,
    };
    let first = first.map(|first| closing_message::root_among(trace, tree, &candidates, first));
    Ok(first.map(|(incident, diagnosis)| {
        let contested = candidates.iter().any(|(_, other)| other.label != diagnosis.label);
        RootCause { incident, diagnosis, contested }
    }))
}

/// The error of a span around a cancelled step that explains the cancellation: it ended at the same moment and is none itself. What was read in a stream, or
/// ran beside the step that failed, ends with it.
fn cause_of_cancellation<'i, 't, 'c>(
    tree: &SpanTree,
    stopped: &Incident<'t>,
    open: &HashMap<usize, &'i Incident<'t>>,
    knowledge: &'c Knowledge,
) -> Option<(&'i Incident<'t>, Diagnosis<'c>)> {
    const SAME_MOMENT_NS: u64 = 1_000_000_000;
    tree.self_and_ancestors(stopped.index).skip(1).filter_map(|index| open.get(&index).copied()).find_map(|around| {
        let diagnosis = knowledge.diagnose(around).filter(Diagnosis::is_by_sign)?;
        let factor = diagnosis.label.factor();
        let explains = factor != RUN_CANCELLED && !LIMIT_EXPIRED.contains(&factor);
        (explains && around.at_ns.abs_diff(stopped.at_ns) <= SAME_MOMENT_NS).then_some((around, diagnosis))
    })
}

/// Drops outputs that the model repaired: the same parser was called again, and rejected the next output for another reason.
fn drop_superseded<'i, 't, 'c>(tree: &SpanTree, candidates: &mut Vec<(&'i Incident<'t>, Diagnosis<'c>)>) {
    let is_of_output = |diagnosis: &Diagnosis<'_>| diagnosis.label.category() == "output_format";
    let step = |incident: &Incident<'t>| (tree.parent(incident.index), incident.span.name.as_str());
    let mut last: HashMap<(Option<usize>, &str), (i64, Label)> = HashMap::new();
    for (incident, diagnosis) in
        candidates.iter().filter(|(incident, diagnosis)| incident.kind == IncidentKind::Error && is_of_output(diagnosis))
    {
        let entry = last.entry(step(incident)).or_insert((incident.at_ns, diagnosis.label));
        if incident.at_ns > entry.0 {
            *entry = (incident.at_ns, diagnosis.label);
        }
    }
    candidates.retain(|(incident, diagnosis)| {
        let later = last.get(&step(incident)).filter(|(at, label)| *at > incident.at_ns && *label != diagnosis.label);
        !is_of_output(diagnosis) || incident.kind != IncidentKind::Error || later.is_none()
    });
}

/// When an incident happened. Programs in JavaScript record the start of a span in milliseconds and derive its end from it, so that a span may appear to
/// end after the one that contains it.
fn end_in_parent(trace: &Trace, tree: &SpanTree, incident: &Incident<'_>) -> i64 {
    let parent = tree.parent(incident.index).and_then(|parent| trace.spans.get(parent));
    parent.and_then(|parent| parent.ended_at_ns).map_or(incident.at_ns, |end| incident.at_ns.min(end))
}

/// The ids of failed steps that made calls of other services and say themselves why they failed, such as a model call with "maximum context
/// length exceeded". The call inside (`POST`, HTTP 400) says less.
fn explained_steps<'t>(incidents: &[Incident<'t>], knowledge: &Knowledge, deadline: Deadline) -> Result<HashSet<&'t str>, TimedOut> {
    let with_calls: HashSet<&str> = incidents.iter().filter_map(|incident| Some(incident.step?.span_id.as_str())).collect();
    let mut explained = HashSet::new();
    let is_step = |incident: &&Incident<'_>| incident.kind == IncidentKind::Error && with_calls.contains(incident.span.span_id.as_str());
    for incident in incidents.iter().filter(|incident| incident.step.is_none()).filter(is_step) {
        deadline.check()?;
        if !incident.recovered && knowledge.diagnose(incident).is_some_and(|diagnosis| !diagnosis.is_catch_all()) {
            explained.insert(incident.span.span_id.as_str());
        }
    }
    Ok(explained)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyze::embedded::incidents;
    use crate::model::{SpanKind, Status, ToolUse};

    /// A parent without an end time appears to have failed first, but its error is still the consequence.
    #[test]
    fn a_propagated_error_is_attributed_to_the_deepest_span() {
        let failed = |id: &str, parent: Option<&str>, kind, message: &str| Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            kind,
            status: Status::Error,
            status_message: Some(message.into()),
            started_at_ns: i64::try_from(id.len()).ok(),
            ..Span::default()
        };
        let mut tool = failed("33", Some("2"), SpanKind::Tool, "GET /orders -> 500 Internal Server Error");
        tool.tool = Some(ToolUse { name: "lookup".into(), ..ToolUse::default() });
        tool.ended_at_ns = Some(9);
        let spans = vec![failed("1", None, SpanKind::Agent, "step failed"), failed("2", Some("1"), SpanKind::Chain, "step failed"), tool];
        let trace = Trace { spans, ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let deadline = Deadline::after(Duration::from_mins(1));
        let found = incidents::find(&trace, &tree, deadline).unwrap();
        let knowledge = Knowledge::shipped().unwrap();
        let root = root_cause(&trace, &tree, &found, &knowledge, deadline).unwrap().unwrap();
        assert_eq!(
            (root.incident.span.span_id.as_str(), root.diagnosis.label.to_string().as_str()),
            ("33", "tool_failure/tool_unavailable")
        );
    }

    /// A span of a trace in which each span is named by its letter: its parent, kind, status message and attributes.
    type Row = (&'static str, Option<&'static str>, SpanKind, Option<&'static str>, &'static [(&'static str, &'static str)]);

    /// The label of the root cause in a trace of these spans, which run one after the other inside their parents.
    fn label_of(rows: &[Row]) -> Option<String> {
        let span = |(index, (id, parent, kind, message, attributes)): (usize, &Row)| {
            let index = i64::try_from(index).unwrap();
            let attribute = |(key, value): &(&str, &str)| crate::model::Attribute { key: (*key).into(), value: (*value).into() };
            Span {
                span_id: (*id).into(),
                parent_span_id: parent.map(str::to_owned),
                name: (*id).into(),
                kind: *kind,
                status: if message.is_some() { Status::Error } else { Status::Unset },
                status_message: message.map(str::to_owned),
                attributes: attributes.iter().map(attribute).collect(),
                started_at_ns: Some(10 * index),
                ended_at_ns: Some(if parent.is_none() { 1_000 } else { 10 * index + if *kind == SpanKind::Other { 5 } else { 9 } }),
                ..Span::default()
            }
        };
        let trace = Trace { spans: rows.iter().enumerate().map(span).collect(), ..Trace::default() };
        let (tree, deadline) = (SpanTree::new(&trace), Deadline::after(Duration::from_mins(1)));
        let found = incidents::find(&trace, &tree, deadline).unwrap();
        let knowledge = Knowledge::shipped().unwrap();
        let root = root_cause(&trace, &tree, &found, &knowledge, deadline).unwrap();
        root.map(|root| root.diagnosis.label.to_string())
    }

    #[test]
    fn a_failed_request_explains_the_step_that_made_it() {
        use SpanKind::{Agent, Llm, Other, Tool};
        const FAILED: Option<&str> = Some("");
        for (rows, label) in [
            (
                &[
                    ("a", None, Agent, FAILED, &[][..]),
                    ("m", Some("a"), Llm, FAILED, &[]),
                    ("r", Some("m"), Other, FAILED, &[("http.method", "POST"), ("http.status_code", "429")]),
                ][..],
                Some("provider_error/rate_limited"),
            ),
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("t", Some("a"), Tool, FAILED, &[]),
                    ("r", Some("t"), Other, FAILED, &[("url.full", "http://orders/1"), ("http.response.status_code", "503")]),
                ],
                Some("tool_failure/tool_unavailable"),
            ),
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("t", Some("a"), Tool, FAILED, &[]),
                    ("r", Some("t"), Other, FAILED, &[("rpc.system", "grpc"), ("rpc.grpc.status_code", "4")]),
                ],
                Some("tool_failure/tool_timeout"),
            ),
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("t", Some("a"), Tool, FAILED, &[]),
                    ("q", Some("t"), Other, Some("connection refused"), &[("db.system", "postgresql")]),
                ],
                Some("tool_failure/tool_unavailable"),
            ),
            // The instrumentation has no span for the model call.
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("r", Some("a"), Other, FAILED, &[("server.address", "api.anthropic.com"), ("http.response.status_code", "401")]),
                ],
                Some("provider_error/authentication_failed"),
            ),
            // The step itself says more.
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("m", Some("a"), Llm, Some("This model's maximum context length is 128000 tokens."), &[]),
                    ("r", Some("m"), Other, FAILED, &[("http.method", "POST"), ("http.status_code", "400")]),
                ],
                Some("context_overflow/context_window_exceeded"),
            ),
            (
                &[
                    ("a", None, Agent, Some("ClientDisconnect: client disconnected"), &[]),
                    ("m", Some("a"), Llm, Some("asyncio.CancelledError: the task was cancelled"), &[]),
                ],
                Some("coordination_failure/run_cancelled"),
            ),
            // A cache without the entry is no failure, also of a run that fails later.
            (
                &[
                    ("a", None, Agent, None, &[]),
                    ("r", Some("a"), Other, FAILED, &[("url.full", "http://cache/1"), ("http.response.status_code", "404")]),
                ],
                None,
            ),
            (
                &[
                    ("a", None, Agent, FAILED, &[]),
                    ("r", Some("a"), Other, FAILED, &[("url.full", "http://cache/1"), ("http.response.status_code", "404")]),
                    ("m", Some("a"), Llm, Some("Error code: 401 - Incorrect API key provided"), &[]),
                ],
                Some("provider_error/authentication_failed"),
            ),
            // A request that was retried.
            (
                &[
                    ("a", None, Agent, None, &[]),
                    ("r", Some("a"), Other, FAILED, &[("server.address", "api.openai.com"), ("http.response.status_code", "429")]),
                    ("s", Some("a"), Other, None, &[("server.address", "api.openai.com"), ("http.response.status_code", "200")]),
                ],
                None,
            ),
        ] {
            assert_eq!(label_of(rows).as_deref(), label, "{rows:?}");
        }
    }

    #[test]
    fn a_recorded_deadline_of_the_run_explains_a_short_call() {
        use crate::model::Attribute;
        let span = |milliseconds: i64, key: &str, value: &str| Span {
            started_at_ns: Some(0),
            ended_at_ns: Some(milliseconds * 1_000_000),
            attributes: [Attribute { key: key.into(), value: value.into() }].into(),
            ..Span::default()
        };
        let short = span(2_000, "x", "1");
        assert!(used_up_its_limit(&span(60_010, "run.deadline_ms", "60000"), &short));
        assert!(used_up_its_limit(&span(60_010, "job.timeoutSeconds", "60"), &short));
        assert!(!used_up_its_limit(&span(30_000, "run.deadline_ms", "60000"), &short));
        assert!(!used_up_its_limit(&span(60_010, "run.deadline_ms", "60000"), &span(59_000, "x", "1")));
        assert!(!used_up_its_limit(&span(60_010, "run.name", "60000"), &short));
    }
}
