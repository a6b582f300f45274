//! The summary of a failed step: what happened, where and when, how long it took, what followed, and from what the run had recovered before.

use std::fmt::Write;

use super::facts::{
    ATTEMPTS_DURATION, FAILED_CALLS, FINAL_ERROR_MESSAGE, FINAL_ERROR_SPAN, FINAL_ERROR_TYPE, Facts, GUARDRAIL_NAME, GUARDRAIL_SIDE, chain,
    display_name, duration_ms, loops, quoted_message, run, shortened, step,
};
use super::incident::{Incident, IncidentKind};
use super::tree::SpanTree;
use super::wording::{NAME_CHARS_MAX, counted, shown, shown_duration};
use crate::model::{Span, SpanKind, Trace, last_segment};

/// Two to four sentences about a failed step.
pub(super) fn summary(trace: &Trace, tree: &SpanTree, incident: &Incident<'_>, incidents: &[Incident<'_>], facts: &Facts) -> String {
    let sentences = [
        Some(what_and_where(trace, incident, incidents, facts)),
        how_long(trace, incident, facts),
        what_followed(trace, tree, incident, incidents, facts),
        what_was_answered(facts),
        what_had_recovered(incident, incidents, facts),
    ];
    let mut sentences: Vec<String> = sentences.into_iter().flatten().collect();
    if sentences.len() == 1 {
        match (trace.spans.len(), incidents.len()) {
            (1, _) => sentences.push("It is the only span of the trace.".to_owned()),
            // Spans around a failed one may have an error status too.
            (count, _)
                if incident.kind == IncidentKind::Error
                    && trace.spans.iter().filter(|span| span.failed()).count() <= 1
                    && incidents.len() <= 1 =>
            {
                sentences.push(format!("No other of the {count} spans failed."));
            }
            _ => {}
        }
    }
    sentences.join(" ")
}

/// `The tool call "search" (step 7 of 12) failed with KeyError 12.4 s into the run, after 3 attempts: "'customer'".`
fn what_and_where(trace: &Trace, incident: &Incident<'_>, incidents: &[Incident<'_>], facts: &Facts) -> String {
    if let Some(sentence) = repeated_call(incident, facts) {
        return sentence;
    }
    // The call of another service is named after the step that made it.
    let name = display_name(incident.step.unwrap_or(incident.span));
    // The error of a tool, or the call of an unknown one, may be recorded only in the messages of a model call.
    let in_messages =
        incident.tool.as_deref().filter(|_| incident.kind == IncidentKind::ToolResult && incident.span.kind != SpanKind::Tool);
    let is_request = in_messages.is_some() && incident.texts.first().is_some_and(|(field, _)| field.starts_with("output"));
    let noun = if in_messages.is_some() { step_noun(incident.span.kind) } else { step_noun(incident.span_kind()) };
    let mut sentence = noun.to_owned();
    // Writing to a string cannot fail.
    if !name.trim().is_empty() {
        let _ = write!(sentence, " {:?}", shortened(&name, NAME_CHARS_MAX));
    }
    if let Some((position, total)) = facts.get(&step::STEP_POSITION).zip(facts.get(&step::STEPS_TOTAL)) {
        let _ = write!(sentence, " (step {position} of {total})");
    }
    let message = quoted_message(incident).map(|(_, message)| message);
    // The text of an unknown call is its name.
    let message = message.filter(|message| incident.tool.as_ref() != Some(message));
    match in_messages.map(|tool| shortened(tool, NAME_CHARS_MAX)) {
        Some(tool) if is_request => {
            let _ = write!(sentence, " requested a call of {tool} that cannot be made");
        }
        Some(tool) => {
            let _ = write!(sentence, " got an error as the result of {tool}");
        }
        None => {
            let is_block = incident.span_kind() == SpanKind::Guardrail && (facts.has(&GUARDRAIL_SIDE) || facts.has(&GUARDRAIL_NAME));
            let _ = write!(sentence, " {}", if is_block { "stopped the run" } else { what_happened(incident.kind) });
        }
    }
    if let Some(kind) = incident.error_type.as_deref().map(last_segment).filter(|_| incident.kind == IncidentKind::Error) {
        let is_named = message.as_deref().is_some_and(|message| message.contains(kind));
        if !is_named && !matches!(kind, "" | "Error" | "Exception" | "error") {
            let _ = write!(sentence, " with {}", shortened(kind, NAME_CHARS_MAX));
        }
    } else if let Some(reason) = incident.span.finish_reasons.last().filter(|_| incident.kind == IncidentKind::FinishReason) {
        let _ = write!(sentence, " (finish reason {})", shortened(reason, NAME_CHARS_MAX));
    }
    if trace.spans.len() > 1
        && let Some(after) = shown_duration(facts, &step::FAILED_AFTER)
    {
        let _ = write!(sentence, " {after} into the run");
    }
    sentence.push_str(&how_often(incident, incidents, facts));
    match (message, incident.kind) {
        (None, _) => sentence.push('.'),
        // The text of such an incident is the question, or a document.
        (Some(query), IncidentKind::EmptyRetrieval) => {
            let _ = write!(sentence, " for \"{query}\".");
        }
        (Some(document), IncidentKind::LowScores) => {
            let _ = write!(sentence, "; the first document begins with \"{document}\".");
        }
        (Some(message), _) => {
            let _ = write!(sentence, ": \"{message}\".");
        }
    }
    sentence
}

/// `, after 3 attempts` if the step itself tried again; `, the first of 3 attempts` if the others are steps of their own.
fn how_often(incident: &Incident<'_>, incidents: &[Incident<'_>], facts: &Facts) -> String {
    let count = |name| facts.get(name).and_then(|count| count.parse::<u64>().ok()).filter(|count: &u64| *count > 1);
    let (attempts, failed) = (count(&step::ATTEMPTS), count(&FAILED_CALLS));
    let is_alike = |other: &Incident<'_>| other.span.name == incident.span.name && other.span.kind == incident.span.kind;
    let is_first = !incidents.iter().any(|other| other.index != incident.index && is_alike(other) && other.at_ns < incident.at_ns);
    let which = if is_first { "the first" } else { "one" };
    match (attempts, failed) {
        (Some(attempts), _) if !facts.has(&ATTEMPTS_DURATION) => format!(", after {attempts} attempts"),
        (Some(attempts), failed) if failed.is_none_or(|failed| failed <= attempts) => format!(", {which} of {attempts} attempts"),
        (_, Some(failed)) => format!(", {which} of {failed} failed calls"),
        _ => String::new(),
    }
}

/// `The agent made the same call of poll_job 7 times, with {"job": 5}.`
fn repeated_call(incident: &Incident<'_>, facts: &Facts) -> Option<String> {
    let is_repetition = incident.kind == IncidentKind::RepeatedCalls;
    let (tool, times) = facts.get(&loops::REPEATED_TOOL).zip(facts.get(&loops::REPEATED_TIMES)).filter(|_| is_repetition)?;
    let arguments = facts.get(&loops::REPEATED_ARGUMENTS).map(|arguments| format!(" with the arguments {arguments}")).unwrap_or_default();
    let result = facts.get(&loops::REPEATED_RESULT).map(|result| format!("; the result was always {result}"));
    let results =
        || facts.get(&loops::REPEATED_RESULTS).filter(|count| *count != "1").map(|count| format!("; the results were of {count} kinds"));
    Some(format!(
        "The agent called {} {times} times{arguments}{}.",
        shortened(tool, NAME_CHARS_MAX),
        result.or_else(results).unwrap_or_default()
    ))
}

/// `It took 30 s; the median of 4 other calls is 1.2 s.`
fn how_long(trace: &Trace, incident: &Incident<'_>, facts: &Facts) -> Option<String> {
    /// A shorter step is not worth a sentence, unless it is the only one.
    const WORTH_SAYING_MS: f64 = 1_000.0;
    /// A step that took as long as others did not fail because of its time.
    const SLOW_FACTOR: f64 = 1.5;
    if incident.kind == IncidentKind::RepeatedCalls {
        let duration = shown_duration(facts, &loops::LOOP_DURATION)?;
        return Some(format!("The repetitions took {duration}."));
    }
    let milliseconds = duration_ms(incident.span).filter(|milliseconds| *milliseconds > 0.0)?;
    let attempts = facts.get(&step::ATTEMPTS).zip(shown_duration(facts, &ATTEMPTS_DURATION));
    if let Some((attempts, in_all)) = attempts {
        let number = |text: &str| text.parse::<u64>().unwrap_or_default();
        // Other calls failed too, which are no attempts at the same.
        let is_part = facts.get(&FAILED_CALLS).is_some_and(|failed| number(failed) > number(attempts));
        return (!is_part).then(|| format!("The {attempts} attempts took {in_all}."));
    }
    let took = crate::model::duration(milliseconds);
    let typical = facts.get(&step::TYPICAL_DURATION).and_then(|typical| typical.parse::<f64>().ok());
    let is_slow = milliseconds >= WORTH_SAYING_MS && typical.is_none_or(|typical| milliseconds >= typical * SLOW_FACTOR);
    // The sentence before says when it failed.
    let is_whole_run =
        facts.get(&step::FAILED_AFTER).and_then(|after| after.parse::<f64>().ok()).is_some_and(|after| after <= milliseconds * 1.01);
    if !is_slow && trace.spans.len() > 1 || is_whole_run && trace.spans.len() > 1 {
        return None;
    }
    let usual = shown_duration(facts, &step::TYPICAL_DURATION).zip(facts.get(&step::COMPARED_CALLS));
    match usual {
        Some((usual, "1")) => Some(format!("It took {took}; the other successful call of this name took {usual}.")),
        Some((usual, calls)) => Some(format!("It took {took}; the median of {calls} successful calls of this name is {usual}.")),
        None => Some(format!("It took {took}.")),
    }
}

/// `The error propagated to 2 parent spans, up to "agent", and the run ended 0.8 s later.`
fn what_followed(trace: &Trace, tree: &SpanTree, incident: &Incident<'_>, incidents: &[Incident<'_>], facts: &Facts) -> Option<String> {
    let parents = chain::parents_with_error(trace, tree, incidents, incident);
    let name_of =
        |span: &Span| Some(display_name(span)).filter(|name| !name.trim().is_empty()).map(|name| shortened(&name, NAME_CHARS_MAX));
    let is_direct = |span: &Span| {
        tree.parent(incident.index).and_then(|parent| trace.spans.get(parent)).is_some_and(|parent| std::ptr::eq(parent, span))
    };
    let propagated = parents.last().map(|outermost| match (parents.len(), name_of(outermost)) {
        (1, Some(name)) if is_direct(outermost) => format!("The error propagated to its parent {name:?}"),
        (1, Some(name)) => format!("The error propagated up to {name:?}"),
        (1, None) => "The error propagated to 1 parent span".to_owned(),
        (count, Some(name)) => format!("The error propagated to {count} parent spans, up to {name:?}"),
        (count, None) => format!("The error propagated to {count} parent spans"),
    });
    let after = shown_duration(facts, &chain::RUN_ENDED_AFTER);
    if let Some(error) = final_error(facts) {
        let ancestors = tree.self_and_ancestors(incident.index).skip(1).filter_map(|index| trace.spans.get(index));
        let ended = if is_retry_limit(facts) { "because the retries were used up" } else { "with another error" };
        let is_of_parent = facts.get(&FINAL_ERROR_SPAN).is_some_and(|name| ancestors.into_iter().any(|span| display_name(span) == name));
        return Some(match (after, facts.get(&chain::STEPS_AFTER)) {
            (Some(after), Some(steps)) => {
                format!("The run went on for {after} with {}, and ended {ended}: {error}.", counted(steps, "more step"))
            }
            (Some(after), None) if is_of_parent => format!("The span around it failed {after} later: {error}."),
            (Some(after), None) => format!("The run ended {after} later {ended}: {error}."),
            (None, _) => format!("The run ended {ended}: {error}."),
        });
    }
    // Of a call that was tried again the other attempts are no more steps.
    let attempts = facts.get(&step::ATTEMPTS).filter(|_| facts.has(&ATTEMPTS_DURATION)).and_then(|count| count.parse::<u64>().ok());
    let steps = facts.get(&chain::STEPS_AFTER).and_then(|count| count.parse::<u64>().ok());
    let is_only_attempts = attempts.zip(steps).is_some_and(|(attempts, steps)| steps < attempts);
    let after = after.filter(|_| !is_only_attempts);
    let ended = match (after, facts.get(&chain::STEPS_AFTER)) {
        (Some(after), Some(steps)) => Some(format!("the run went on for {after} with {}", counted(steps, "more step"))),
        (Some(after), None) => Some(format!("the run ended {after} later")),
        (None, _) => None,
    };
    // The first sentence counts the failed calls of one name.
    let own_name = display_name(incident.span);
    let later = facts.get(&chain::FOLLOWED_BY).filter(|names| **names != *own_name).map(|names| format!("{names} failed later"));
    let mut parts = [propagated, ended, later].into_iter().flatten();
    let first = parts.next()?;
    let rest: Vec<String> = parts.collect();
    let joined = match rest.split_last() {
        None => first,
        Some((last, [])) => format!("{first}, and {last}"),
        Some((last, middle)) => format!("{first}, {}, and {last}", middle.join(", ")),
    };
    let mut chars = joined.chars();
    let is_name = joined.split_whitespace().next().is_some_and(|word| word != "the");
    let sentence: String = if is_name { joined } else { chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect() };
    Some(format!("{sentence}."))
}

/// Whether the run ended because a framework had tried the failed step as often as it may: that is the same failure.
fn is_retry_limit(facts: &Facts) -> bool {
    const TYPES: [&str; 7] = [
        "RetryError",
        "MaxRetriesExceeded",
        "MaxRetriesExceededError",
        "RetriesExceeded",
        "RetryExhaustedError",
        "InstructorRetryException",
        "AI_RetryError",
    ];
    let says = |message: &str| {
        let message = message.to_ascii_lowercase();
        let names_limit =
            ["exceeded max", "exceeded the max", "max retries", "maximum retries", "retry limit", "retries exhausted", "giving up after"];
        names_limit.iter().any(|words| message.contains(words)) && (message.contains("retr") || message.contains("attempt"))
    };
    facts.get(&FINAL_ERROR_TYPE).is_some_and(|kind| TYPES.contains(&kind)) || facts.get(&FINAL_ERROR_MESSAGE).is_some_and(says)
}

/// `TypeError in publish_digest ("'NoneType' object is not subscriptable")`
fn final_error(facts: &Facts) -> Option<String> {
    /// Characters of its message.
    const CHARS_MAX: usize = 120;
    let (kind, message) = (facts.get(&FINAL_ERROR_TYPE), facts.get(&FINAL_ERROR_MESSAGE));
    let name = |name: &str| shortened(name, NAME_CHARS_MAX);
    let place = facts.get(&FINAL_ERROR_SPAN).map(|span| format!(" in {}", name(span))).unwrap_or_default();
    match (kind, message.map(|message| shortened(message, CHARS_MAX))) {
        (Some(kind), Some(message)) => {
            let message = message.strip_prefix(kind).map_or(message.as_str(), |rest| rest.trim_start_matches([':', ' ']));
            Some(if message.is_empty() { format!("{}{place}", name(kind)) } else { format!("{}{place} (\"{message}\")", name(kind)) })
        }
        (Some(kind), None) => Some(format!("{}{place}", name(kind))),
        (None, Some(message)) => Some(format!("\"{message}\"{place}")),
        (None, None) => None,
    }
}

/// `The final answer begins "I could not search for flights".`
fn what_was_answered(facts: &Facts) -> Option<String> {
    const CHARS_MAX: usize = 120;
    let answer = facts.get(&run::FINAL_ANSWER)?;
    Some(format!("The final answer begins \"{}\".", shortened(answer, CHARS_MAX).trim_end_matches(['.', '"'])))
}

/// `The run had recovered from 2 failures before, first in "embed" (RateLimitError).`
fn what_had_recovered(incident: &Incident<'_>, incidents: &[Incident<'_>], facts: &Facts) -> Option<String> {
    let before = chain::recovered_before(incidents, incident.at_ns).len();
    let place = facts
        .get(&chain::FIRST_RECOVERED_SPAN)
        .filter(|name| !name.is_empty())
        .map(|name| format!("{:?}", shortened(name, NAME_CHARS_MAX)));
    let kinds = shown(facts, &chain::RECOVERED_ERRORS).map(|kinds| format!(" ({kinds})")).unwrap_or_default();
    match before {
        0 => None,
        1 => Some(format!(
            "The run had recovered from 1 failure before{}{kinds}.",
            place.map(|place| format!(", in {place}")).unwrap_or_default()
        )),
        count => Some(format!(
            "The run had recovered from {count} failures before{}{kinds}.",
            place.map(|place| format!(", first in {place}")).unwrap_or_default()
        )),
    }
}

/// The subject of a sentence about a step.
fn step_noun(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Llm => "The model call",
        SpanKind::Tool => "The tool call",
        SpanKind::Retriever => "The search",
        SpanKind::Agent => "The agent run",
        SpanKind::Chain | SpanKind::Other => "The step",
        SpanKind::Embedding => "The embedding call",
        SpanKind::Guardrail => "The guardrail",
    }
}

fn what_happened(kind: IncidentKind) -> &'static str {
    match kind {
        IncidentKind::Error => "failed",
        IncidentKind::FinishReason => "ended without a complete answer",
        IncidentKind::Refusal => "was refused by the model",
        IncidentKind::EmptyOutput => "returned an empty answer",
        IncidentKind::EmptyRetrieval => "found no documents",
        IncidentKind::LowScores => "found documents that do not match the question",
        IncidentKind::ToolResult => "returned an error",
        IncidentKind::RepeatedCalls => "was repeated with the same arguments",
        IncidentKind::CannedAnswer => "answered with a fixed sentence instead of a result",
        IncidentKind::AnnouncedStep => "only announced its next step",
        IncidentKind::CopiedUnit => "got a value in another unit than its argument",
        IncidentKind::Dialogue => "did not do what was asked",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, Status};

    fn span(id: &str, parent: Option<&str>) -> Span {
        Span {
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            name: format!("step {id}"),
            kind: SpanKind::Chain,
            status: Status::Error,
            ..Span::default()
        }
    }

    #[test]
    fn a_summary_counts_the_parent_spans_to_which_the_error_propagated() {
        let trace = Trace { spans: vec![span("1", None), span("2", Some("1")), span("3", Some("2"))], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let summary = |index: usize| {
            let incident = Incident::new(&trace, index, IncidentKind::Error).unwrap();
            super::summary(&trace, &tree, &incident, &[], &Facts::default())
        };
        assert_eq!(summary(0), "The step \"step 1\" failed.");
        assert_eq!(summary(1), "The step \"step 2\" failed. The error propagated to its parent \"step 1\".");
        assert_eq!(summary(2), "The step \"step 3\" failed. The error propagated to 2 parent spans, up to \"step 1\".");
    }

    #[test]
    fn a_message_is_quoted_without_a_second_period_and_a_class_is_no_message() {
        let trace = Trace { spans: vec![span("1", None)], ..Trace::default() };
        let tree = SpanTree::new(&trace);
        let summary = |message: &'static str, kind: Option<&str>| {
            let mut incident = Incident::new(&trace, 0, IncidentKind::Error).unwrap();
            incident.texts.push(("status_message".into(), message));
            incident.error_type = kind.map(str::to_owned);
            super::summary(&trace, &tree, &incident, &[], &Facts::default())
        };
        let ending = " It is the only span of the trace.";
        for (message, kind, expected) in [
            ("The queue is full.", None, "The step \"step 1\" failed: \"The queue is full\"."),
            ("TimeoutError:", Some("TimeoutError"), "The step \"step 1\" failed with TimeoutError."),
            ("builtins.KeyError", Some("builtins.KeyError"), "The step \"step 1\" failed with KeyError."),
            ("'customer'", Some("KeyError"), "The step \"step 1\" failed with KeyError: \"'customer'\"."),
            ("KeyError: 'customer'", Some("KeyError"), "The step \"step 1\" failed: \"KeyError: 'customer'\"."),
            ("ReadTimeout()", Some("httpx.ReadTimeout"), "The step \"step 1\" failed with ReadTimeout."),
            ("{\n  \"error\": {\"message\": \"no credits\", \"code\": 4}\n}", None, "The step \"step 1\" failed: \"no credits\"."),
            ("first\n\nsecond", None, "The step \"step 1\" failed: \"first\"."),
            ("first\nsecond", None, "The step \"step 1\" failed: \"first second\"."),
            ("", None, "The step \"step 1\" failed."),
        ] {
            assert_eq!(summary(message, kind), format!("{expected}{ending}"), "{message}");
        }
    }
}
