//! Verifies evidence: every excerpt that an analyzer claims to quote must occur in the redacted trace.
//!
//! In: a draft and its trace. Out: the draft with verified evidence: excerpts that occur elsewhere than claimed are corrected, and those that do
//! not occur are dropped.

use std::fmt::Write;

use crate::model::{Draft, Evidence, EvidenceKind, Fact, Span, Trace, excerpt_around};
use crate::runtime::{Deadline, TimedOut};

/// How many excerpts of a draft are grounded in the trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grounding {
    /// Excerpts that the analyzer gave.
    pub(super) given: u64,
    /// Excerpts that occur in the trace, in the claimed field or elsewhere.
    pub(super) found: u64,
}

/// Sets `verified` on all evidence, corrects the span and field of excerpts, drops excerpts that do not occur in the trace, and lowers the
/// confidence for each dropped one.
///
/// # Errors
/// [`TimedOut`]: searching a long trace may take seconds.
pub(super) fn verify(draft: &mut Draft, trace: &Trace, deadline: Deadline) -> Result<Grounding, TimedOut> {
    /// Factor on the confidence for each invented excerpt.
    const PENALTY: f64 = 0.7;
    let mut grounding = Grounding::default();
    for mut evidence in std::mem::take(&mut draft.evidence) {
        if evidence.excerpt.is_none() {
            evidence.verified = evidence.kind == EvidenceKind::Signal;
            draft.evidence.push(evidence);
            continue;
        }
        grounding.given += 1;
        evidence.verified = ground(&mut evidence, trace, deadline)?;
        if evidence.verified {
            grounding.found += 1;
            draft.evidence.push(evidence);
        }
    }
    draft.facts.retain(|fact| is_proven(fact, trace));
    let invented = grounding.given - grounding.found;
    if invented > 0 {
        for _ in 0..invented {
            draft.confidence *= PENALTY;
        }
        let given = grounding.given;
        let (verb, was) = if invented == 1 { ("does", "was") } else { ("do", "were") };
        // Writing to a string cannot fail.
        let _ = write!(draft.confidence_rationale, " {invented} of {given} excerpts {verb} not occur in the trace and {was} dropped.");
    }
    Ok(grounding)
}

/// Whether the field that a fact names contains its value. A fact that names no field is computed from several.
pub(super) fn is_proven(fact: &Fact, trace: &Trace) -> bool {
    let (Some(span_id), Some(field)) = (&fact.span_id, &fact.field) else { return true };
    let spans = trace.spans.iter().filter(|span| span.span_id == *span_id);
    spans.into_iter().any(|span| has_number(span, field, &fact.value) || has_text(span, field, &fact.value))
}

/// Whether a field of a span is a number with this value.
fn has_number(span: &Span, field: &str, value: &str) -> bool {
    let number = match field {
        "usage.input" => span.usage.input.map(|tokens| tokens.to_string()),
        "usage.output" => span.usage.output.map(|tokens| tokens.to_string()),
        _ => {
            let index = field.strip_prefix("documents[").and_then(|rest| rest.strip_suffix("].score")?.parse::<usize>().ok());
            let document = index.and_then(|index| span.documents.as_ref()?.get(index));
            document.and_then(|document| document.score).map(|score| score.to_string())
        }
    };
    number.as_deref() == Some(value)
}

/// Whether a text field of a span contains a value. Separators of thousands, white space and escapes may differ, and a long value may be cut at both ends.
fn has_text(span: &Span, field: &str, value: &str) -> bool {
    let value = value.strip_prefix('…').unwrap_or(value);
    let value = value.strip_suffix('…').unwrap_or(value);
    let normalized = NormalizedText::new(value).text;
    span.fields(&mut |name, text| {
        name.is_named(field)
            && (text.contains(value)
                || (value.bytes().all(|byte| byte.is_ascii_digit()) && text.replace([',', '_'], "").contains(value))
                || NormalizedText::new(text).text.contains(&normalized))
    })
}

/// Whether an excerpt occurs in the trace. If it occurs elsewhere, or with different white space or escapes, the evidence is corrected.
fn ground(evidence: &mut Evidence, trace: &Trace, deadline: Deadline) -> Result<bool, TimedOut> {
    /// A shorter excerpt may occur anywhere by chance, so it counts only in the field that it names.
    const CHARS_MIN_ELSEWHERE: usize = 12;
    let Some(excerpt) = evidence.excerpt.take() else { return Ok(false) };
    let named_span = evidence.span_id.as_deref().and_then(|id| trace.spans.iter().find(|span| span.span_id == id));
    let field = evidence.field.as_deref().unwrap_or_default();
    let mut found = match named_span {
        Some(span) => find_in(span, Some(field), &excerpt, deadline)?,
        None => None,
    };
    if excerpt.chars().count() >= CHARS_MIN_ELSEWHERE {
        let others = trace.spans.iter().filter(|span| named_span.is_none_or(|named| !std::ptr::eq(*span, named)));
        let mut spans = named_span.into_iter().chain(others);
        while let (None, Some(span)) = (&found, spans.next()) {
            found = find_in(span, None, &excerpt, deadline)?;
        }
    }
    let Some(found) = found else { return Ok(false) };
    evidence.span_id = Some(found.span_id.to_owned());
    evidence.field = Some(found.field);
    evidence.excerpt = Some(found.text.to_owned());
    Ok(!found.text.is_empty())
}

/// An excerpt found in a trace.
struct Found<'t> {
    span_id: &'t str,
    field: String,
    text: &'t str,
}

/// Searches for an excerpt in one field of a span, or in all of them: first literally, then ignoring white space and escapes, which models often
/// change when they quote.
fn find_in<'t>(span: &'t Span, field: Option<&str>, excerpt: &str, deadline: Deadline) -> Result<Option<Found<'t>>, TimedOut> {
    let mut found = None;
    for exact in [true, false] {
        let normalized_excerpt = if exact { String::new() } else { NormalizedText::new(excerpt).text };
        if !exact && normalized_excerpt.is_empty() {
            continue;
        }
        let mut in_time = deadline.check();
        span.fields(&mut |name, text| {
            if field.is_some_and(|field| !name.is_named(field)) {
                return false;
            }
            in_time = deadline.check();
            if in_time.is_err() {
                return true;
            }
            let range = if exact {
                text.find(excerpt).map(|at| at..at + excerpt.len())
            } else {
                let text = NormalizedText::new(text);
                text.text.find(&normalized_excerpt).map(|at| text.original_range(at, normalized_excerpt.len()))
            };
            found = range.and_then(|range| {
                // The original may have more white space, so the limit is applied again.
                let text = excerpt_around(text.get(range.clone())?, 0..0);
                Some(Found { span_id: &span.span_id, field: name.to_string(), text })
            });
            found.is_some()
        });
        in_time?;
        if found.is_some() {
            break;
        }
    }
    Ok(found)
}

/// A text without white space and escapes, with the original position of each byte.
struct NormalizedText {
    text: String,
    /// By byte: where its character starts in the original.
    starts: Vec<usize>,
    /// By byte: where its character ends in the original.
    ends: Vec<usize>,
}

impl NormalizedText {
    /// Resolves the escapes of JSON: `\"` becomes `"`, and `\n` is removed like other white space. Repeated backslashes become one, because a
    /// text may have been escaped several times.
    fn new(text: &str) -> Self {
        let mut normalized = Self { text: String::with_capacity(text.len()), starts: Vec::new(), ends: Vec::new() };
        let mut chars = text.char_indices().peekable();
        while let Some((at, mut c)) = chars.next() {
            let mut end = at + c.len_utf8();
            if c == '\\' {
                while let Some((next, '\\')) = chars.peek().copied() {
                    end = next + 1;
                    chars.next();
                }
                match chars.peek().copied() {
                    Some((next, 'n' | 't' | 'r')) => {
                        end = next + 1;
                        c = ' ';
                        chars.next();
                    }
                    Some((next, quote @ ('"' | '\'' | '/'))) => {
                        end = next + 1;
                        c = quote;
                        chars.next();
                    }
                    _ => {}
                }
            }
            if c.is_whitespace() {
                continue;
            }
            let before = normalized.text.len();
            normalized.text.push(c);
            for _ in before..normalized.text.len() {
                normalized.starts.push(at);
                normalized.ends.push(end);
            }
        }
        normalized
    }

    fn original_range(&self, at: usize, length: usize) -> std::ops::Range<usize> {
        let start = self.starts.get(at).copied().unwrap_or_default();
        start..self.ends.get((at + length).saturating_sub(1)).copied().unwrap_or(start).max(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace() -> Trace {
        let span = |id: &str, message: &str, output: &str| Span {
            span_id: id.into(),
            status_message: Some(message.into()),
            output_text: Some(output.into()),
            ..Span::default()
        };
        Trace {
            spans: vec![
                span("a", "the first message", ""),
                span("b", "quota of\n  \"tools\" used up", "{\"path\": \"C:\\\\x\", \"ü\": 1}"),
            ],
            ..Trace::default()
        }
    }

    fn quote(span: &str, field: &str, excerpt: &str) -> Option<(String, String, String)> {
        let mut draft = Draft::sample("s");
        draft.evidence.truncate(1);
        draft.evidence[0] = Evidence {
            kind: EvidenceKind::Excerpt,
            span_id: Some(span.into()),
            field: Some(field.into()),
            signal: None,
            excerpt: Some(excerpt.into()),
            verified: false,
        };
        let grounding = verify(&mut draft, &trace(), Deadline::after(std::time::Duration::from_mins(1))).unwrap();
        assert_eq!((grounding.given, grounding.found), (1, draft.evidence.len() as u64));
        assert_eq!(draft.confidence < 0.5, draft.evidence.is_empty());
        let evidence = draft.evidence.pop()?;
        assert!(evidence.verified);
        Some((evidence.span_id?, evidence.field?, evidence.excerpt?))
    }

    #[expect(clippy::unnecessary_wraps, reason = "compared with an optional value")]
    fn found(span: &str, field: &str, text: &str) -> Option<(String, String, String)> {
        Some((span.into(), field.into(), text.into()))
    }

    #[test]
    fn a_correct_excerpt_is_unchanged() {
        assert_eq!(quote("a", "status_message", "first"), found("a", "status_message", "first"));
    }

    #[test]
    fn an_excerpt_found_elsewhere_is_corrected() {
        assert_eq!(quote("b", "status_message", "the first message"), found("a", "status_message", "the first message"));
        assert_eq!(quote("a", "output_text", "the first message"), found("a", "status_message", "the first message"));
        assert_eq!(quote("nowhere", "", "the first message"), found("a", "status_message", "the first message"));
    }

    #[test]
    fn white_space_and_escapes_are_taken_from_the_trace() {
        let expected = found("b", "status_message", "quota of\n  \"tools\" used");
        assert_eq!(quote("b", "status_message", "quota of \"tools\" used"), expected);
        assert_eq!(quote("b", "status_message", "quota of\\n  \\\"tools\\\" used"), expected);
        assert_eq!(quote("b", "output_text", "\"path\": \"C:\\x\""), found("b", "output_text", "\"path\": \"C:\\\\x\""));
        assert_eq!(quote("b", "output_text", "\"ü\":1}"), found("b", "output_text", "\"ü\": 1}"));
    }

    #[test]
    fn verification_ends_at_the_deadline() {
        let mut draft = Draft::sample("s");
        draft.evidence[1].excerpt = Some("the first message".into());
        let over = Deadline::after(std::time::Duration::ZERO);
        assert_eq!(verify(&mut draft, &trace(), over), Err(TimedOut(std::time::Duration::ZERO)));
    }

    #[test]
    fn a_fact_that_its_field_does_not_contain_is_dropped() {
        let fact = |span: Option<&str>, field: Option<&str>, value: &str| Fact {
            name: "limit_tokens".into(),
            value: value.into(),
            unit: None,
            span_id: span.map(str::to_owned),
            field: field.map(str::to_owned),
        };
        let mut trace = trace();
        trace.spans[0].status_message = Some("at most 128,000 tokens for \\\"search\\\"".into());
        trace.spans[0].usage.input = Some(17);
        for (fact, proven) in [
            (fact(Some("a"), Some("status_message"), "128000"), true),
            (fact(Some("a"), Some("status_message"), "at most 128,000 tok…"), true),
            (fact(Some("a"), Some("status_message"), "for \"search\""), true),
            (fact(Some("a"), Some("status_message"), "129000"), false),
            (fact(Some("b"), Some("status_message"), "128000"), false),
            (fact(Some("a"), Some("usage.input"), "17"), true),
            (fact(Some("a"), Some("usage.input"), "7"), false),
            (fact(Some("a"), None, "computed"), true),
            (fact(None, None, "computed"), true),
        ] {
            assert_eq!(is_proven(&fact, &trace), proven, "{fact:?}");
        }
        let mut draft = Draft::sample("s");
        draft.evidence.clear();
        draft.facts = vec![fact(Some("a"), Some("status_message"), "129000"), fact(Some("a"), Some("status_message"), "128000")];
        verify(&mut draft, &trace, Deadline::after(std::time::Duration::from_mins(1))).unwrap();
        assert_eq!(draft.facts.iter().map(|fact| fact.value.as_str()).collect::<Vec<_>>(), ["128000"]);
    }

    #[test]
    fn an_excerpt_that_does_not_occur_is_dropped() {
        assert_eq!(quote("a", "status_message", "the second message"), None);
        assert_eq!(quote("b", "status_message", "first"), None, "a short excerpt proves nothing elsewhere");
        assert_eq!(quote("a", "status_message", ""), None);
        assert_eq!(quote("a", "status_message", " \n"), None);
    }
}
