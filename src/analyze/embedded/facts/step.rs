//! Facts of any failed step: its duration beside that of other calls of the same name, its place in the run, attempts, and exit code.

use std::collections::HashSet;

use super::super::incident::Incident;
use super::case::{duration_ms, milliseconds_between};
use super::find::{attributes_ending_in, capture, expressions};
use super::names::fact_names;
use super::texts::Source;
use super::{Case, Extractor, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    DURATION = "duration_ms", Milliseconds, "the duration of the failed step";
    TYPICAL_DURATION = "typical_duration_ms", Milliseconds, "the median duration of successful calls of the same name";
    COMPARED_CALLS = "compared_calls", Count, "the number of successful calls of the same name";
    ATTEMPTS = "attempts", Count, "the number of attempts, if there were several";
    RETRIES = "retries", Count, "the number of retries";
    STEP_POSITION = "step_position", Count, "the position of the failed step among the steps without children";
    STEPS_TOTAL = "steps_total", Count, "the number of steps without children";
    FAILED_AFTER = "failed_after_ms", Milliseconds, "the time from the start of the run to the failure";
    EXIT_CODE = "exit_code", Count, "the exit code of the process";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(root) = case.root else { return };
    let span = root.span;
    // A log has one time for both ends of a step.
    if let Some(duration) = duration_ms(span).filter(|duration| *duration > 0.0) {
        facts.add(&DURATION, duration, Place::Span(span));
    }
    add_typical_duration(case, root, facts);
    add_attempts(case, root, facts);
    add_position(case, root, facts);
    add_exit_code(case, span, facts);
}

/// The median duration of other calls of the same name that did not fail.
fn add_typical_duration(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let failed: HashSet<usize> = case.incidents.iter().map(|incident| incident.index).collect();
    let spans = case.trace.spans.iter().enumerate();
    let alike = spans.filter(|(index, span)| {
        let tool = |span: &Span| span.tool.as_ref().map(|tool| tool.name.clone());
        // The spans of all tools may share a name, such as `running tool`.
        let is_alike =
            span.name == root.span.name && span.kind == root.span.kind && span.model == root.span.model && tool(span) == tool(root.span);
        is_alike && !span.failed() && !failed.contains(index) && *index != root.index
    });
    let mut durations: Vec<f64> = alike.filter_map(|(_, span)| duration_ms(span)).collect();
    durations.sort_by(f64::total_cmp);
    let (median, count) = (middle(&durations), durations.len());
    // Two calls have no usual duration.
    if let Some(median) = median.filter(|_| count >= 3) {
        facts.add(&TYPICAL_DURATION, (median * 1e3).round() / 1e3, Place::Trace);
        facts.add(&COMPARED_CALLS, count, Place::Trace);
    }
}

/// The median of sorted values.
pub(super) fn middle(sorted: &[f64]) -> Option<f64> {
    let at = |index: usize| sorted.get(index).copied();
    let half = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) {
        at(half.wrapping_sub(1)).zip(at(half)).map(|(low, high)| f64::midpoint(low, high))
    } else {
        at(half)
    }
}

fn add_position(case: &Case<'_, '_>, root: &Incident<'_>, facts: &mut Facts) {
    let is_leaf = |index: &usize| case.tree.children(*index).is_empty();
    let total = (0..case.trace.spans.len()).filter(is_leaf).count();
    if total > 1 && is_leaf(&root.index) {
        facts.add(&STEP_POSITION, (0..=root.index).filter(is_leaf).count(), Place::Span(root.span));
        facts.add(&STEPS_TOTAL, total, Place::Trace);
    }
    let failed_at = root.span.ended_at_ns.or(root.span.started_at_ns);
    if let Some(after) = case.trace.started_at_ns().zip(failed_at).and_then(|(start, end)| milliseconds_between(start, end))
        // A log may have no times, or one for the whole run.
        && after > 0.0
    {
        facts.add(&FAILED_AFTER, after, Place::Span(root.span));
    }
}

/// A larger number is no count of attempts.
const ATTEMPTS_MAX: u64 = 1_000;

fn add_attempts<'t>(case: &Case<'_, 't>, root: &Incident<'t>, facts: &mut Facts) {
    let spans = attempts_at(case, root);
    let retries = spans.iter().flat_map(|span| recorded(span, true)).max();
    // Some count the attempts under that name, from 1: the last of four has `retry.attempt=4`.
    let counts_attempts = spans.len() > 1 && retries.is_some_and(|(count, _)| count == spans.len() as u64);
    let retries = retries.filter(|_| !counts_attempts);
    let attempts = spans.iter().flat_map(|span| recorded(span, false)).max();
    for (retries, place) in retries.iter().map(|(count, _)| (*count, Place::Span(root.span))) {
        facts.add(&RETRIES, retries, place);
        if retries > 0 {
            facts.add(&ATTEMPTS, retries + 1, place);
        }
    }
    if let Some((attempts, _)) = attempts.filter(|(attempts, _)| *attempts > 0) {
        if attempts > 1 {
            facts.add(&ATTEMPTS, attempts, Place::Span(root.span));
        }
        facts.add(&RETRIES, attempts - 1, Place::Span(root.span));
    }
    for source in texts_about_attempts(case, root) {
        let (place, text) = (source.place(), source.text);
        if let Some(attempts) = count(capture(&ATTEMPTS_IN_TEXT, text)).filter(|attempts| *attempts > 0) {
            if attempts > 1 {
                facts.add(&ATTEMPTS, attempts, place);
            }
            facts.add(&RETRIES, attempts - 1, Place::Span(root.span));
        }
        if let Some(retries) = count(capture(&RETRIES_IN_TEXT, text)) {
            facts.add(&RETRIES, retries, place);
            if retries > 0 {
                facts.add(&ATTEMPTS, retries + 1, Place::Span(root.span));
            }
        }
    }
    if spans.len() > 1 {
        facts.add(&ATTEMPTS, spans.len(), Place::Trace);
        facts.add(&RETRIES, spans.len() - 1, Place::Trace);
    }
}

/// The texts of the error, and of the spans around it that quote it: a client or a framework says there how often it tried.
fn texts_about_attempts<'t>(case: &Case<'_, 't>, root: &Incident<'t>) -> Vec<Source<'t>> {
    const QUOTED_CHARS: usize = 60;
    let own = case.messages().map(|(field, text)| Source { span: root.span, field: field.to_owned(), text });
    let mut sources: Vec<Source<'t>> = own.collect();
    let said: Vec<String> = sources
        .iter()
        .map(|source| source.text.trim().chars().take(QUOTED_CHARS).collect::<String>())
        .filter(|text| text.chars().count() >= 10)
        .collect();
    let quotes = |text: &str| said.iter().any(|said| text.contains(said.as_str()));
    let is_of_call = |span: &Span| matches!(span.kind, SpanKind::Llm | SpanKind::Embedding | SpanKind::Tool);
    let others = case.error_texts().iter().filter(|source| {
        let is_own = std::ptr::eq(source.span, root.span) && !source.field.starts_with("attributes.");
        is_own || !std::ptr::eq(source.span, root.span) && (is_of_call(source.span) || quotes(source.text))
    });
    sources.extend(others.cloned());
    sources
}

fn count(text: Option<&str>) -> Option<u64> {
    text?.parse().ok().filter(|count| *count <= ATTEMPTS_MAX)
}

expressions! {
    ATTEMPTS_IN_TEXT =
        r"(?i)\bafter (?:all |making |a total of |trying )?(\d{1,4}) (?:(?:failed|unsuccessful|total|connection|retry) )?(?:attempts?|tries)\b",
        r"|\ball (\d{1,4}) (?:retry )?(?:attempts|tries)(?: (?:have |were )?(?:failed|exhausted|unsuccessful)|:)",
        r"|\b(?:tried|attempted) (\d{1,4}) times\b|\b(\d{1,4}) attempts? (?:failed|exhausted|were made|was made|made)\b",
        r"|\battempt (\d{1,4}) ?(?:of|/) ?\d{1,4}\b|\bfailed (\d{1,4}) times in a row\b";
    RETRIES_IN_TEXT =
        r"(?i)\bafter (\d{1,4}) (?:\w+ )?retr(?:y|ies)\b|\bretried:? (\d{1,4}) times?\b|\bretry (\d{1,4}) ?(?:of|/) ?\d{1,4}\b",
        r"|\b(?:exceeded|reached|exhausted)(?: the)? max(?:imum)?[ _-]?(?:number of )?(?:retries|retry attempts|retry count)(?: of)?[ :=]*\(?(\d{1,4})\b",
        r"|\bmax(?:imum)?[ _-]?(?:number of )?(?:retries|retry attempts|retry count)(?: of)?[ :=]*\(?(\d{1,4})\)? (?:was |were )?(?:exceeded|reached|exhausted)",
        r"|\b(\d{1,4}) retries (?:failed|exhausted|were made)\b";
    EXIT_CODE_IN_TEXT =
        r#"(?i)\bexit(?:ed)?[ _-]?(?:with )?(?:(?:a )?non-?zero )?(?:exit )?(?:code|status|value)(?: of)?"?\s{0,3}[:=]?\s{0,3}\(?(-?\d{1,5})\b"#,
        r#"|\b(?:exited|terminated|failed|finished) with (\d{1,3})(?:[\s.,;:)]|$)|\breturn[ _-]?code"?\s{0,3}[:=>]\s{0,3}(-?\d{1,5})\b"#;
}

/// The spans in which the same work failed alike, with the span itself, in order.
pub(super) fn attempts_at<'t>(case: &Case<'_, 't>, root: &Incident<'t>) -> Vec<&'t Span> {
    let mut spans: Vec<&Span> = Vec::new();
    let mut known = HashSet::new();
    for incident in case.incidents {
        let is_root = incident.index == root.index;
        if (is_root || is_same_attempt(case, root, incident)) && known.insert(incident.index) {
            spans.push(incident.span);
        }
    }
    if spans.is_empty() {
        spans.push(root.span);
    }
    spans
}

/// Whether two incidents are attempts at the same work, one after the other, that failed alike.
pub(super) fn is_same_attempt(case: &Case<'_, '_>, root: &Incident<'_>, other: &Incident<'_>) -> bool {
    let (first, second) = (root.span, other.span);
    if other.index == root.index
        || other.kind != root.kind
        || first.name != second.name
        || first.kind != second.kind
        || other.status != root.status
        || other.error_type != root.error_type
    {
        return false;
    }
    // Calls at the same time are no attempts.
    let follows = |before: &Span, after: &Span| before.ended_at_ns.zip(after.started_at_ns).is_none_or(|(end, start)| end <= start);
    if !follows(first, second) && !follows(second, first) {
        return false;
    }
    if let (Some(first), Some(second)) = (&first.tool, &second.tool) {
        // A model that corrects a call which the tool rejected tries with other arguments.
        let is_corrected = case.label.category() == "tool_misuse";
        return first.name == second.name && (is_corrected || first.arguments == second.arguments);
    }
    let is_below_same = is_below_same(case, root.index, other.index);
    // A step of the application may do other work under the same name.
    let is_call = matches!(first.kind, SpanKind::Llm | SpanKind::Retriever | SpanKind::Embedding) || root.step.is_some();
    let has_input = !first.input.is_empty() || first.input_text.is_some();
    is_below_same && (is_call || has_input) && first.input == second.input && first.input_text == second.input_text
}

/// Whether two spans have one parent, or parents of the same name below one parent, as a framework wraps each attempt of its client.
fn is_below_same(case: &Case<'_, '_>, one: usize, other: usize) -> bool {
    let (above_one, above_other) = (case.tree.parent(one), case.tree.parent(other));
    if above_one == above_other {
        return true;
    }
    let Some((above_one, above_other)) = above_one.zip(above_other) else { return false };
    let Some((wrapper, next)) = case.trace.spans.get(above_one).zip(case.trace.spans.get(above_other)) else { return false };
    wrapper.name == next.name && wrapper.kind == next.kind && case.tree.parent(above_one) == case.tree.parent(above_other)
}

/// The counts of retries, or of attempts, in the attributes of a span, with their keys.
fn recorded(span: &Span, of_retries: bool) -> impl Iterator<Item = (u64, &str)> {
    const RETRIES: &[&str] =
        &["resendcount", "attemptedretries", "retries", "retrycount", "retryattempt", "retriescount", "retriesattempted"];
    const ATTEMPTS: &[&str] = &["attempts", "attempt", "attemptnumber", "attemptcount"];
    // The setting, not what happened.
    const SETTINGS: [&str; 6] = ["max", "limit", "config", "param", "setting", "option"];
    attributes_ending_in(span, if of_retries { RETRIES } else { ATTEMPTS }).filter_map(move |(key, value)| {
        let lower = key.to_ascii_lowercase();
        let is_setting =
            SETTINGS.iter().any(|word| lower.contains(word)) || (lower.contains("request.") && !lower.ends_with("resend_count"));
        let is_retry_attempt = lower.replace(['.', '-'], "_").ends_with("retry_attempt");
        (!is_setting && (of_retries || !is_retry_attempt)).then(|| Some((count(Some(value.trim()))?, key))).flatten()
    })
}

fn add_exit_code(case: &Case<'_, '_>, span: &Span, facts: &mut Facts) {
    const KEYS: &[&str] = &["exitcode", "exitstatus", "returncode"];
    let is_failure = |code: &&str| code.parse::<i32>().is_ok_and(|code| code != 0);
    for (key, value) in attributes_ending_in(span, KEYS) {
        if let Some(code) = Some(value.trim()).filter(is_failure) {
            facts.add(&EXIT_CODE, code, Place::Field(span, &format!("attributes.{key}")));
        }
    }
    for (field, text) in case.messages() {
        if let Some(code) = capture(&EXIT_CODE_IN_TEXT, text).filter(is_failure) {
            facts.add(&EXIT_CODE, code, Place::Field(span, field));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[test]
    fn attempts_and_retries_are_read_from_messages() {
        for (text, attempts, retries) in [
            ("Failed after 3 attempts. Last error: Overloaded", Some("3"), None),
            ("giving up after 4 tries", Some("4"), None),
            ("All 5 attempts failed", Some("5"), None),
            ("tried 3 times, last status 503", Some("3"), None),
            ("attempt 2 of 5: connection reset", Some("2"), None),
            ("LiteLLM Retried: 2 times, LiteLLM Max Retries: 4", None, Some("2")),
            ("An error occurred (ThrottlingException) (reached max retries: 4)", None, Some("4")),
            ("Exceeded maximum retries (1) for output validation", None, Some("1")),
            ("Max retries (3) exceeded", None, Some("3")),
            ("Request failed after 2 retries", None, Some("2")),
            ("Max retries exceeded with url: /v1/chat", None, None),
            ("max_retries=3", None, None),
            ("Please retry after 20 seconds", None, None),
            ("there were no attempts", None, None),
        ] {
            assert_eq!((capture(&ATTEMPTS_IN_TEXT, text), capture(&RETRIES_IN_TEXT, text)), (attempts, retries), "{text}");
        }
    }

    #[test]
    fn exit_codes_are_read_from_messages() {
        for (text, code) in [
            ("python exited with code 1: NameError", Some("1")),
            ("Command '['make']' returned non-zero exit status 2.", Some("2")),
            ("exitcode: 1 (execution failed)", Some("1")),
            ("Process exited with status: 137", Some("137")),
            (r#"{"stdout": "", "exit_code": 127}"#, Some("127")),
            ("<returncode>1</returncode>", Some("1")),
            ("exit status 1", Some("1")),
            ("container terminated with 137", Some("137")),
            ("exit code=-9", Some("-9")),
            ("the program exited 30 seconds ago", None),
            ("exit the program", None),
        ] {
            assert_eq!(capture(&EXIT_CODE_IN_TEXT, text), code, "{text}");
        }
    }

    #[test]
    fn counts_of_retries_are_no_settings() {
        let of = |key: &str, of_retries: bool| {
            let span = Span { attributes: vec![Attribute { key: key.into(), value: "3".into() }], ..Span::default() };
            recorded(&span, of_retries).next().is_some()
        };
        for key in
            ["http.request.resend_count", "llm.retries", "retry.attempt", "x-litellm-attempted-retries", "num_retries", "retry_count"]
        {
            assert!(of(key, true) && !of(key, false), "{key}");
        }
        assert!(of("attempts", false) && of("task.attempt", false) && of("temporalActivityAttempt", false));
        for key in ["max_retries", "gen_ai.request.num_retries", "llm.invocation_parameters.retries", "client.config.retries"] {
            assert!(!of(key, true), "{key}");
        }
    }
}
