//! Where extractors look: the texts of an error, and the settings and addresses that instrumentations record beside it.

use super::super::byte_regex::{ByteRegex, Captures};

use super::super::incident::IncidentKind;
use super::super::text::{clip, message_of};
use super::{Case, FactName, Facts, Place};
use crate::model::{Span, SpanKind};

/// A text with its place.
#[derive(Debug, Clone)]
pub(super) struct Source<'t> {
    pub(super) span: &'t Span,
    pub(super) field: String,
    pub(super) text: &'t str,
}

impl Source<'_> {
    pub(super) fn place(&self) -> Place<'_> {
        Place::Field(self.span, &self.field)
    }
}

/// Attributes about errors that are read of one span.
const ERROR_ATTRIBUTES_MAX: usize = 16;

/// Ancestors whose error is read. A wrapper of a retry library is rarely more than two levels away.
const ANCESTORS_READ_MAX: usize = 4;

/// Children that are read for the address and the answer of a call.
const CHILDREN_READ_MAX: usize = 16;

/// The texts that describe the error: those of the incident, then other texts about errors of the span, of the step and of the spans to which it
/// propagated, which often say more: how often the call was retried, the headers of the answer.
pub(super) fn error_texts<'t>(case: &Case<'_, 't>) -> Vec<Source<'t>> {
    let Some(root) = case.root else { return Vec::new() };
    // The text of an answer that was cut, refused or blocked is no error.
    let is_answer = matches!(root.kind, IncidentKind::FinishReason | IncidentKind::Refusal | IncidentKind::EmptyOutput);
    let of_incident = root.texts.iter().filter(|_| !is_answer);
    let of_incident = of_incident.map(|(field, text)| Source { span: root.span, field: field.clone(), text: message_of(text) });
    let mut sources: Vec<Source<'t>> = of_incident.collect();
    push_texts_of_span(root.span, &mut sources);
    if let Some(step) = root.step.filter(|step| step.failed()) {
        push_texts_of_span(step, &mut sources);
    }
    let ancestors = case.tree.self_and_ancestors(root.index).skip(1).take(ANCESTORS_READ_MAX);
    for ancestor in ancestors.filter_map(|index| case.trace.spans.get(index)).filter(|span| span.failed()) {
        push_texts_of_span(ancestor, &mut sources);
    }
    sources
}

/// The status message, the last exception and the attributes about errors of a span.
fn push_texts_of_span<'t>(span: &'t Span, sources: &mut Vec<Source<'t>>) {
    let mut push = |field: String, text: &'t str| {
        let text = message_of(text);
        if !text.trim().is_empty() && sources.iter().all(|known| known.text != text) {
            sources.push(Source { span, field, text });
        }
    };
    if let Some(message) = &span.status_message {
        push("status_message".into(), message);
    }
    if let Some((index, exception)) = span.exceptions.iter().enumerate().next_back() {
        push(format!("exceptions[{index}].message"), &exception.message);
        if let Some(stack) = &exception.stack {
            push(format!("exceptions[{index}].stack"), stack);
        }
    }
    let is_about_error = |key: &str| {
        let key = key.to_ascii_lowercase();
        ["error", "exception", "headers", "response.body", "retry", "ratelimit", "rate_limit"].iter().any(|word| key.contains(word))
    };
    let attributes = span.attributes.iter().filter(|attribute| is_about_error(&attribute.key));
    for attribute in attributes.take(ERROR_ATTRIBUTES_MAX) {
        push(format!("attributes.{}", attribute.key), &attribute.value);
    }
}

/// The first match of an expression in these texts.
pub(super) fn find<'s, 't>(sources: &'s [Source<'t>], expression: &ByteRegex) -> Option<(&'s Source<'t>, Captures<'t>)> {
    sources.iter().find_map(|source| Some((source, expression.captures(source.text)?)))
}

/// Adds the first group that took part in a match of an expression. Returns whether there is one.
pub(super) fn add_match(name: &'static FactName, sources: &[Source<'_>], expression: &ByteRegex, facts: &mut Facts) -> bool {
    let Some((source, captures)) = find(sources, expression) else { return false };
    let Some(found) = captures.iter().skip(1).flatten().next() else { return false };
    facts.add(name, found.as_str(), source.place());
    true
}

/// Adds the words that belong to the first expression that matches: the meaning of what a text says.
pub(super) fn add_meaning(name: &'static FactName, sources: &[Source<'_>], meanings: &[(ByteRegex, &'static str)], facts: &mut Facts) {
    let found = meanings.iter().find_map(|(expression, meaning)| Some((find(sources, expression)?.0, *meaning)));
    if let Some((source, meaning)) = found {
        facts.add(name, meaning, Place::Span(source.span));
    }
}

/// The model call that a failure is about: the failed span, or the last model call directly below it.
pub(super) fn model_call<'t>(case: &Case<'_, 't>) -> Option<&'t Span> {
    let root = case.root?;
    let is_call = |span: &&Span| matches!(span.kind, SpanKind::Llm | SpanKind::Embedding);
    if let Some(span) = [root.span].into_iter().chain(root.step).find(is_call) {
        return Some(span);
    }
    let children = case.tree.children(root.index).iter().rev().take(CHILDREN_READ_MAX);
    children.filter_map(|index| case.trace.spans.get(*index)).find(is_call).or(Some(root.span))
}

/// The spans that describe one call: the failed one, its step, the calls inside of it, and the model spans around it, which other layers of an
/// instrumentation record for the same call.
pub(super) fn spans_of_call<'t>(case: &Case<'_, 't>) -> Vec<&'t Span> {
    let Some(root) = case.root else { return Vec::new() };
    let mut spans: Vec<&'t Span> = [root.span].into_iter().chain(root.step).chain(model_call(case)).collect();
    if matches!(root.span.kind, SpanKind::Llm | SpanKind::Embedding | SpanKind::Tool | SpanKind::Retriever) {
        let children = case.tree.children(root.index).iter().take(CHILDREN_READ_MAX);
        spans.extend(children.filter_map(|index| case.trace.spans.get(*index)));
    }
    let ancestors = case.tree.self_and_ancestors(root.index).skip(1).take(2).filter_map(|index| case.trace.spans.get(index));
    spans.extend(ancestors.filter(|span| matches!(span.kind, SpanKind::Llm | SpanKind::Embedding)));
    let mut known: Vec<*const Span> = Vec::with_capacity(spans.len());
    spans.retain(|span| {
        let is_new = !known.contains(&std::ptr::from_ref(*span));
        known.push(std::ptr::from_ref(*span));
        is_new
    });
    spans
}

/// Whether the last segment of an attribute's name is `name`, which has only small letters: `gen_ai.request.max_tokens` is `maxtokens`.
pub(super) fn is_called(key: &str, name: &str) -> bool {
    let last = key.rsplit('.').next().unwrap_or(key);
    last.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase()).eq(name.bytes())
}

/// The first attribute with one of these names that is not empty, by the order of the spans.
pub(super) fn attribute<'t>(spans: &[&'t Span], names: &[&str]) -> Option<Source<'t>> {
    spans.iter().find_map(|span| {
        let is_wanted = |key: &str| names.iter().any(|name| is_called(key, name));
        let found = span.attributes.iter().find(|attribute| !attribute.value.trim().is_empty() && is_wanted(&attribute.key))?;
        Some(Source { span, field: format!("attributes.{}", found.key), text: clip(&found.value) })
    })
}

/// Attributes whose value is an object with the parameters of a request.
pub(super) const PARAMETERS: [&str; 20] = [
    "invocationparameters",
    "invocationparams",
    "parameters",
    "modelparameters",
    "modelsettings",
    "modelkwargs",
    "modelconfig",
    "generationconfig",
    "inferenceconfig",
    "requestparameters",
    "requestparams",
    "requestoptions",
    "requestbody",
    "optionalparams",
    "llmrequest",
    "llmconfig",
    "kwargs",
    "config",
    "options",
    "metadata",
];

/// A number of the request: an attribute with one of these names, or what the expression finds in the attributes that hold all parameters as JSON.
pub(super) fn request_number<'t>(spans: &[&'t Span], names: &[&str], in_parameters: &ByteRegex) -> Option<(Source<'t>, &'t str)> {
    /// The parameters may be followed by the definitions of all tools.
    const PARAMETERS_BYTES_MAX: usize = 64 * 1024;
    let number = |text: &'t str| {
        let text = text.trim();
        (!text.is_empty() && text.len() < 12 && text.bytes().all(|byte| byte.is_ascii_digit())).then_some(text)
    };
    let direct = spans.iter().find_map(|span| {
        // The usage and the limits of a model are no settings of the request.
        let is_setting =
            |key: &str| !key.contains("usage") && !key.contains("Usage") && !key.contains("model_info") && !key.contains("modelInfo");
        let is_wanted = |key: &str| is_setting(key) && names.iter().any(|name| is_called(key, name));
        let mut found = span.attributes.iter().filter(|attribute| is_wanted(&attribute.key));
        let (key, text) = found.find_map(|attribute| Some((&attribute.key, number(&attribute.value)?)))?;
        Some((Source { span, field: format!("attributes.{key}"), text }, text))
    });
    let nested = || {
        spans.iter().find_map(|span| {
            let mut holders = span.attributes.iter().filter(|attribute| PARAMETERS.iter().any(|name| is_called(&attribute.key, name)));
            holders.find_map(|attribute| {
                let text = head(&attribute.value, PARAMETERS_BYTES_MAX);
                let value = in_parameters.captures(text)?.get(1)?.as_str();
                Some((Source { span, field: format!("attributes.{}", attribute.key), text }, value))
            })
        })
    };
    direct.or_else(nested)
}

/// The first bytes of a text, cut at a character boundary.
pub(super) fn head(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or(text)
}

/// A number without separators of thousands; `None` if it is none or too large to be one.
pub(super) fn number_of(text: &str) -> Option<u64> {
    const DIGITS_MAX: usize = 15;
    let digits: String = text.chars().filter(|c| !matches!(c, ',' | '_' | ' ')).take(DIGITS_MAX + 1).collect();
    (digits.len() <= DIGITS_MAX).then(|| digits.parse().ok()).flatten()
}

/// Milliseconds of a duration as people and Go write it: `2.59s`, `7m12s`, `1h 2m`, `20 seconds`, `86ms`; a number alone is in seconds.
pub(super) fn milliseconds_of(text: &str) -> Option<f64> {
    let (mut total, mut rest, mut found) = (0.0, text.trim(), false);
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at_checked(end)?;
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { break };
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        total += number
            * match unit.to_ascii_lowercase().as_str() {
                "ms" | "msec" | "msecs" | "millis" | "millisecond" | "milliseconds" => 1.0,
                "" | "s" | "sec" | "secs" | "second" | "seconds" => 1e3,
                "m" | "min" | "mins" | "minute" | "minutes" => 6e4,
                "h" | "hr" | "hrs" | "hour" | "hours" => 3.6e6,
                "d" | "day" | "days" => 8.64e7,
                _ => return found.then_some(total),
            };
        found = true;
        rest = after.trim_start_matches([' ', ',']);
    }
    found.then(|| (total * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Attribute;

    #[test]
    fn durations_are_read_in_the_notations_of_apis() {
        for (text, expected) in [
            ("2.59s", Some(2590.0)),
            ("7m12s", Some(432_000.0)),
            ("7m12.48s", Some(432_480.0)),
            ("1h2m3s", Some(3_723_000.0)),
            ("86ms", Some(86.0)),
            ("20 seconds", Some(20_000.0)),
            ("1 hour 5 minutes", Some(3_900_000.0)),
            ("3", Some(3000.0)),
            ("2 days", Some(172_800_000.0)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(milliseconds_of(text), expected, "{text}");
        }
    }

    #[test]
    fn names_of_attributes_are_compared_by_their_last_segment() {
        assert!(is_called("gen_ai.request.max_tokens", "maxtokens") && is_called("ai.settings.maxTokens", "maxtokens"));
        assert!(!is_called("max_tokens.total", "maxtokens") && !is_called("gen_ai.request.max_tokens_2", "maxtokens"));
    }

    #[test]
    fn numbers_of_a_request_are_found_beside_and_in_parameters() {
        let in_parameters = ByteRegex::new(r#"["']max_tokens["']\s*:\s*(\d+)"#);
        let read = |key: &str, value: &str| {
            let span = Span { attributes: vec![Attribute { key: key.into(), value: value.into() }], ..Span::default() };
            request_number(&[&span], &["maxtokens"], &in_parameters).map(|(_, value)| value.to_owned())
        };
        assert_eq!(read("gen_ai.request.max_tokens", "256").as_deref(), Some("256"));
        assert_eq!(read("llm.invocation_parameters", r#"{"model": "m", "max_tokens": 64}"#).as_deref(), Some("64"));
        assert_eq!(read("x.usage.max_tokens", "256"), None);
        assert_eq!(read("gen_ai.request.max_tokens", "many"), None);
        assert_eq!(read("acme.notes", r#"{"max_tokens": 64}"#), None);
    }
}
