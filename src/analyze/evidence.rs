//! Looks up what an analyzer claims to quote: an excerpt must stand in the redacted trace, and in its row it names where.

use std::fmt::Write;

use crate::model::{Draft, Evidence, EvidenceKind, Span, Trace, excerpt_around};
use crate::runtime::{Deadline, TimedOut};

/// What became of the excerpts of a draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Grounding {
    /// Excerpts that the analyzer gave.
    pub(super) given: u64,
    /// Those that stand in the trace, where they claim to or elsewhere.
    pub(super) found: u64,
}

/// Marks what was found, corrects where it stands, drops excerpts that stand nowhere, and lowers the confidence for each of these.
///
/// # Errors
/// [`TimedOut`]; a long trace takes a while to search.
pub(super) fn verify(draft: &mut Draft, trace: &Trace, deadline: Deadline) -> Result<Grounding, TimedOut> {
    /// What one invented quotation takes from the confidence.
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
    let invented = grounding.given - grounding.found;
    if invented > 0 {
        for _ in 0..invented {
            draft.confidence *= PENALTY;
        }
        let given = grounding.given;
        // Writing to a string cannot fail.
        let _ = write!(draft.confidence_rationale, " {invented} of {given} quotations stand nowhere in the trace and were dropped.");
    }
    Ok(grounding)
}

/// Whether an excerpt stands in the trace. Where it stands elsewhere than it says, or in other white space or escapes, it is corrected.
fn ground(evidence: &mut Evidence, trace: &Trace, deadline: Deadline) -> Result<bool, TimedOut> {
    /// Shorter words stand anywhere; they count only at the place that they name.
    const CHARS_MIN_ELSEWHERE: usize = 12;
    let Some(excerpt) = evidence.excerpt.take() else { return Ok(false) };
    let named = evidence.span_id.as_deref().and_then(|id| trace.spans.iter().find(|span| span.span_id == id));
    let field = evidence.field.as_deref().unwrap_or_default();
    let mut found = match named {
        Some(span) => find_in(span, Some(field), &excerpt, deadline)?,
        None => None,
    };
    if excerpt.chars().count() >= CHARS_MIN_ELSEWHERE {
        let others = trace.spans.iter().filter(|span| named.is_none_or(|named| !std::ptr::eq(*span, named)));
        let mut spans = named.into_iter().chain(others);
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

struct Found<'t> {
    span_id: &'t str,
    field: String,
    text: &'t str,
}

/// Looks for an excerpt in one field of a span, or in all: as it stands, then with other white space and escapes.
fn find_in<'t>(span: &'t Span, field: Option<&str>, excerpt: &str, deadline: Deadline) -> Result<Option<Found<'t>>, TimedOut> {
    let mut found = None;
    for exact in [true, false] {
        let loose = if exact { String::new() } else { Loose::of(excerpt).text };
        if !exact && loose.is_empty() {
            continue;
        }
        let mut in_time = deadline.check();
        span.fields(&mut |name, text| {
            let name = name.to_string();
            if field.is_some_and(|field| field != name) {
                return false;
            }
            in_time = deadline.check();
            if in_time.is_err() {
                return true;
            }
            let range = if exact {
                text.find(excerpt).map(|at| at..at + excerpt.len())
            } else {
                let text = Loose::of(text);
                text.text.find(&loose).map(|at| text.original(at, loose.len()))
            };
            found = range.and_then(|range| {
                // Other white space may be longer.
                let text = excerpt_around(text.get(range.clone())?, 0..0);
                Some(Found { span_id: &span.span_id, field: name, text })
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

/// A text without white space and escapes, and where each byte of it came from.
struct Loose {
    text: String,
    from: Vec<usize>,
    end: Vec<usize>,
}

impl Loose {
    /// Escapes are those of JSON, so that `\n`, `\"` and `\\` in an excerpt or a text are what they stand for; what stands for white space
    /// goes with it.
    fn of(text: &str) -> Self {
        let mut loose = Self { text: String::with_capacity(text.len()), from: Vec::new(), end: Vec::new() };
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
            let before = loose.text.len();
            loose.text.push(c);
            for _ in before..loose.text.len() {
                loose.from.push(at);
                loose.end.push(end);
            }
        }
        loose
    }

    fn original(&self, at: usize, length: usize) -> std::ops::Range<usize> {
        let from = self.from.get(at).copied().unwrap_or_default();
        from..self.end.get((at + length).saturating_sub(1)).copied().unwrap_or(from).max(from)
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

    #[expect(clippy::unnecessary_wraps, reason = "what it is compared with is optional")]
    fn found(span: &str, field: &str, text: &str) -> Option<(String, String, String)> {
        Some((span.into(), field.into(), text.into()))
    }

    #[test]
    fn what_stands_where_it_says_stays() {
        assert_eq!(quote("a", "status_message", "first"), found("a", "status_message", "first"));
    }

    #[test]
    fn what_stands_elsewhere_is_corrected() {
        assert_eq!(quote("b", "status_message", "the first message"), found("a", "status_message", "the first message"));
        assert_eq!(quote("a", "output_text", "the first message"), found("a", "status_message", "the first message"));
        assert_eq!(quote("nowhere", "", "the first message"), found("a", "status_message", "the first message"));
    }

    #[test]
    fn white_space_and_escapes_are_those_of_the_trace() {
        let expected = found("b", "status_message", "quota of\n  \"tools\" used");
        assert_eq!(quote("b", "status_message", "quota of \"tools\" used"), expected);
        assert_eq!(quote("b", "status_message", "quota of\\n  \\\"tools\\\" used"), expected);
        assert_eq!(quote("b", "output_text", "\"path\": \"C:\\x\""), found("b", "output_text", "\"path\": \"C:\\\\x\""));
        assert_eq!(quote("b", "output_text", "\"ü\":1}"), found("b", "output_text", "\"ü\": 1}"));
    }

    #[test]
    fn looking_up_ends_with_the_time_of_the_trace() {
        let mut draft = Draft::sample("s");
        draft.evidence[1].excerpt = Some("the first message".into());
        let over = Deadline::after(std::time::Duration::ZERO);
        assert_eq!(verify(&mut draft, &trace(), over), Err(TimedOut(std::time::Duration::ZERO)));
    }

    #[test]
    fn what_stands_nowhere_is_dropped() {
        assert_eq!(quote("a", "status_message", "the second message"), None);
        assert_eq!(quote("b", "status_message", "first"), None, "a short word proves nothing elsewhere");
        assert_eq!(quote("a", "status_message", ""), None);
        assert_eq!(quote("a", "status_message", " \n"), None);
    }
}
