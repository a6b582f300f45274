//! The numbers that a trace shows: its facts, signals and texts, what can be counted and measured in it, and what follows from these.

use std::collections::HashMap;

use super::claims::{Claim, ClaimKind};
use super::sought::{Sought, bits_of, is_ratio, visit_numbers};
use super::units::Dimension;
use crate::analyze::embedded::Findings;
use crate::limits::NUMBERS_SEARCHED_BYTES_MAX;
use crate::model::{Evidence, Fact, Span, Trace};
use crate::runtime::{Deadline, TimedOut};

/// Notes what the rules found, which is in the prompt, and what the model quoted.
pub(super) fn see_findings(sought: &mut Sought, findings: &Findings, quoted: &[Evidence]) {
    let verdict = &findings.verdict;
    verdict.facts.iter().for_each(|fact| sought.see_text(&fact.value));
    let texts = findings.signals.iter().chain(quoted).flat_map(|evidence| evidence.signal.iter().chain(&evidence.excerpt));
    texts.for_each(|text| sought.see_text(text));
    let step = &verdict.step;
    let numbers = [step.http_status.map(f64::from), step.retries.map(count), step.duration_ms];
    let incidents =
        [verdict.incidents.len(), verdict.incidents.iter().filter(|incident| incident.recovered).count()].map(|len| Some(size(len)));
    let offsets = verdict.incidents.iter().map(|incident| incident.offset_ms);
    numbers.into_iter().chain(incidents).chain(offsets).flatten().for_each(|number| sought.see(number));
}

/// Notes statuses that an error is known by: `429` for a `RateLimitError`.
pub(super) fn see_implied_statuses(sought: &mut Sought, claims: &[Claim], findings: &Findings, quoted: &[Evidence]) {
    const NAMES: [(f64, &[&str]); 13] = [
        (400.0, &["badrequest", "invalidrequest", "invalidargument"]),
        (401.0, &["unauthorized", "unauthenticated", "authentication", "invalidapikey"]),
        (403.0, &["forbidden", "permissiondenied", "accessdenied"]),
        (404.0, &["notfound", "doesnotexist"]),
        (408.0, &["requesttimeout", "timedout"]),
        (413.0, &["toolarge"]),
        (422.0, &["unprocessable"]),
        (429.0, &["ratelimit", "toomanyrequests", "resourceexhausted", "throttl", "quota"]),
        (500.0, &["internalserver", "internalerror"]),
        (502.0, &["badgateway"]),
        (503.0, &["unavailable", "overloaded"]),
        (504.0, &["gatewaytimeout", "deadlineexceeded"]),
        (529.0, &["overloaded"]),
    ];
    let mut missing = (0..claims.len()).filter(|index| sought.is_missing(*index)).filter_map(|index| Some((index, claims.get(index)?)));
    if !missing.any(|(_, claim)| claim.kind == ClaimKind::Status) {
        return;
    }
    let texts = findings.signals.iter().chain(quoted).flat_map(|evidence| evidence.signal.iter().chain(&evidence.excerpt));
    let texts = texts.chain(&findings.verdict.step.error_type).map(String::as_str);
    let letters: String = texts.flat_map(|text| text.chars().filter(char::is_ascii_alphabetic).chain([' '])).collect();
    let letters = letters.to_ascii_lowercase();
    for (status, names) in NAMES {
        if names.iter().any(|name| letters.contains(name)) {
            sought.see_for(status, bits_of(claims, |claim| claim.kind == ClaimKind::Status));
        }
    }
}

/// Notes differences, sums, shares and multiples of two facts, quoted numbers, or numbers that the trace shows.
pub(super) fn see_derived(sought: &mut Sought, claims: &[Claim], facts: &[Fact], quoted: &[Evidence]) {
    /// Numbers that are combined with each other.
    const OPERANDS_MAX: usize = 48;
    let of_facts = facts.iter().filter_map(|fact| Some((Dimension::of_fact(fact.unit.as_deref()), fact.value.parse::<f64>().ok()?)));
    let mut operands: Vec<(Dimension, f64)> = of_facts.collect();
    let shown = claims.iter().enumerate().filter(|(index, claim)| !sought.is_missing(*index) && claim.kind == ClaimKind::Quantity);
    operands.extend(shown.map(|(_, claim)| (claim.dimension, claim.value)));
    for excerpt in quoted.iter().filter_map(|evidence| evidence.excerpt.as_ref()) {
        visit_numbers(excerpt, &mut |number| operands.push((Dimension::Plain, number)));
    }
    operands.retain(|(_, number)| number.is_finite() && *number != 0.0);
    operands.truncate(OPERANDS_MAX);
    let ratios = bits_of(claims, is_ratio);
    for (index, (dimension, first)) in operands.iter().enumerate() {
        let others = operands.iter().skip(index + 1).filter(|(other, _)| dimension.is_comparable(*other));
        let same = bits_of(claims, |claim| claim.dimension.is_comparable(*dimension));
        for (_, second) in others {
            sought.see_for(first - second, same);
            sought.see_for(first + second, same);
            for (part, whole) in [(first, second), (second, first)] {
                sought.see_for(part / whole, ratios);
                sought.see_for((part - whole) / whole, ratios);
            }
        }
    }
}

/// Notes what can be counted and measured in the spans of a trace: durations, times between steps, tokens, numbers of spans and messages, sizes.
pub(super) fn see_structure(sought: &mut Sought, claims: &[Claim], trace: &Trace, deadline: Deadline) -> Result<(), TimedOut> {
    let start = trace.started_at_ns().unwrap_or_default();
    let since_start = |at: Option<i64>| at.map(|at| milliseconds(at.saturating_sub(start)));
    let sizes = bits_of(claims, |claim| claim.dimension == Dimension::Size);
    let mut groups: HashMap<(&str, &str), (u64, f64)> = HashMap::new();
    let mut offsets: Vec<f64> = Vec::new();
    let (mut input, mut output) = (0, 0);
    for span in &trace.spans {
        deadline.check()?;
        let (started, ended) = (since_start(span.started_at_ns), since_start(span.ended_at_ns));
        offsets.extend(started.into_iter().chain(ended));
        let duration = started.zip(ended).map(|(started, ended)| ended - started);
        let usage = [span.usage.input, span.usage.output].map(Option::unwrap_or_default);
        (input, output) = (usage[0].saturating_add(input), usage[1].saturating_add(output));
        let tokens = [usage[0], usage[1], usage[0].saturating_add(usage[1])].map(count);
        tokens.into_iter().chain(duration).for_each(|number| sought.see(number));
        let tool = span.tool.as_ref().map_or("", |tool| tool.name.as_str());
        let status = if span.failed() { "failed" } else { "" };
        for key in [("name", span.name.as_str()), ("tool", tool), ("kind", span.kind.as_str()), ("status", status)] {
            let group = groups.entry(key).or_default();
            *group = (group.0 + 1, group.1 + duration.unwrap_or_default());
        }
        see_contents(sought, span, sizes);
    }
    for (number, duration) in groups.into_values() {
        sought.see(count(number));
        sought.see(duration);
    }
    for number in [size(trace.spans.len()), count(input), count(output), count(input.saturating_add(output))] {
        sought.see(number);
    }
    see_times_between(sought, claims, offsets);
    Ok(())
}

/// Notes the numbers of messages, calls, tools and documents of a span, its scores, and the size of its input.
fn see_contents(sought: &mut Sought, span: &Span, sizes: u64) {
    let documents = span.documents.as_deref().unwrap_or_default();
    let calls: usize = span.input.iter().chain(&span.output).map(|message| message.tool_calls.len()).sum();
    let lengths = [span.input.len(), span.output.len(), calls, span.tools_offered.len(), documents.len(), span.exceptions.len()];
    for length in lengths {
        sought.see(size(length));
    }
    let scores = documents.iter().filter_map(|document| document.score);
    scores.chain(span.annotations.iter().filter_map(|annotation| annotation.score)).for_each(|score| sought.see(score));
    if sizes != 0 {
        let total = |texts: &mut dyn Iterator<Item = &String>| size(texts.map(String::len).sum());
        sought.see_for(total(&mut span.input.iter().map(|message| &message.content)), sizes);
        sought.see_for(total(&mut span.output.iter().map(|message| &message.content)), sizes);
        sought.see_for(total(&mut documents.iter().map(|document| &document.content)), sizes);
    }
}

/// Supports durations that lie between the start or end of one step and that of another.
fn see_times_between(sought: &mut Sought, claims: &[Claim], mut offsets: Vec<f64>) {
    offsets.sort_by(f64::total_cmp);
    for (index, claim) in claims.iter().enumerate().filter(|(_, claim)| claim.dimension == Dimension::Time) {
        let is_between = |low: f64, high: f64| {
            offsets.iter().any(|from| {
                let next = offsets.partition_point(|at| *at < from + low);
                offsets.get(next).is_some_and(|at| *at < from + high)
            })
        };
        if sought.is_missing(index) && claim.variants().any(|(low, high)| is_between(low, high)) {
            sought.support(index);
        }
    }
}

/// Notes the numbers in the texts of a trace, those of the spans with incidents first. Returns whether all texts were searched, or all claims found.
pub(super) fn see_texts(
    sought: &mut Sought,
    claims: &[Claim],
    trace: &Trace,
    findings: &Findings,
    deadline: Deadline,
) -> Result<bool, TimedOut> {
    let sizes = bits_of(claims, |claim| claim.dimension == Dimension::Size);
    let versions: Vec<(usize, &str)> = claims
        .iter()
        .enumerate()
        .filter(|(_, claim)| claim.kind == ClaimKind::Version)
        .map(|(index, claim)| (index, claim.shown.as_str()))
        .collect();
    trace.service.iter().chain(&trace.environment).for_each(|text| sought.see_text(text));
    let mut left = NUMBERS_SEARCHED_BYTES_MAX;
    let failed = findings.spans.iter().filter_map(|index| trace.spans.get(*index));
    for span in failed.chain(&trace.spans) {
        let mut in_time = deadline.check();
        let stopped = span.fields(&mut |_, text| {
            in_time = deadline.check();
            if in_time.is_err() || text.len() > left {
                return true;
            }
            left -= text.len();
            sought.see_text(text);
            if sizes != 0 {
                sought.see_for(size(text.len()), sizes);
                sought.see_for(size(text.chars().count()), sizes);
            }
            for (index, version) in &versions {
                if sought.is_missing(*index) && text.contains(version) {
                    sought.support(*index);
                }
            }
            sought.all_found()
        });
        in_time?;
        if stopped {
            return Ok(sought.all_found());
        }
    }
    Ok(true)
}

/// Supports the numbers of spans and messages, which the prompt counts from 1 or 0.
pub(super) fn see_positions(sought: &mut Sought, claims: &[Claim], trace: &Trace) {
    let messages = trace.spans.iter().map(|span| span.input.len().max(span.output.len())).max().unwrap_or_default();
    let last = size(trace.spans.len().max(messages));
    for (index, claim) in claims.iter().enumerate() {
        if claim.kind == ClaimKind::Position && claim.value <= last {
            sought.support(index);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "compared with numbers that people write")]
fn count(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_precision_loss, reason = "compared with numbers that people write")]
fn size(length: usize) -> f64 {
    length as f64
}

#[expect(clippy::cast_precision_loss, reason = "compared with numbers that people write")]
fn milliseconds(nanoseconds: i64) -> f64 {
    nanoseconds as f64 / 1e6
}
