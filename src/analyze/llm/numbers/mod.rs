//! Checks the numbers in a model's sentences: each must be a fact or a number of the trace, or follow plainly from two of them.
//!
//! In: a draft whose excerpts are verified, its trace and the findings. Out: the numbers that nothing supports. `claims` reads the numbers of the
//! draft with their units and precision (`units`), and leaves out what is no claim by the words around it (`context`). `known` names the numbers of the trace, from the cheapest
//! source to the most expensive one. `sought` matches the two. No text is changed.
//!
//! The check is lenient: a number that could mean another unit or stands elsewhere in the trace counts as supported. It finds numbers that a
//! model made up, and not those that it mixed up.

mod claims;
mod context;
mod known;
mod sought;
mod units;

use std::fmt::Write;

use self::claims::{Sentence, claims};
use self::sought::Sought;
use crate::analyze::embedded::Findings;
use crate::model::{Draft, Trace};
use crate::runtime::{Deadline, TimedOut};

/// The numbers of a draft.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct NumberCheck {
    /// Different numbers that are claimed.
    claimed: usize,
    /// Those that nothing supports, as written.
    unsupported: Vec<String>,
}

/// Looks up the numbers in title, summary, hypothesis and actions of a draft.
///
/// # Errors
/// [`TimedOut`]: searching a long trace may take seconds.
pub(super) fn check(draft: &Draft, trace: &Trace, findings: &Findings, deadline: Deadline) -> Result<NumberCheck, TimedOut> {
    let statements = [&draft.title, &draft.summary, &draft.root_cause_hypothesis].map(|text| (text.as_str(), Sentence::Statement));
    let actions = draft.actions.iter().map(|action| (action.as_str(), Sentence::Action));
    let claims = claims(statements.into_iter().chain(actions));
    let mut sought = Sought::new(&claims);
    let unsupported = |sought: &Sought| {
        let missing = claims.iter().enumerate().filter(|(index, _)| sought.is_missing(*index));
        NumberCheck { claimed: claims.len(), unsupported: missing.map(|(_, claim)| claim.shown.clone()).collect() }
    };
    if claims.is_empty() {
        return Ok(NumberCheck::default());
    }
    let (facts, quoted) = (&findings.verdict.facts, &draft.evidence);
    known::see_findings(&mut sought, findings, quoted);
    known::see_positions(&mut sought, &claims, trace);
    known::see_derived(&mut sought, &claims, facts, quoted);
    if sought.all_found() {
        return Ok(unsupported(&sought));
    }
    known::see_structure(&mut sought, &claims, trace, deadline)?;
    known::see_implied_statuses(&mut sought, &claims, findings, quoted);
    if !sought.all_found() && !known::see_texts(&mut sought, &claims, trace, findings, deadline)? {
        // Texts that were not searched may have the others.
        return Ok(NumberCheck { claimed: claims.len(), unsupported: Vec::new() });
    }
    // Now that more operands are known.
    known::see_derived(&mut sought, &claims, facts, quoted);
    Ok(unsupported(&sought))
}

impl NumberCheck {
    /// Lowers the confidence of a draft for each unsupported number and names them in the rationale.
    pub(super) fn penalize(&self, draft: &mut Draft) {
        /// Factor on the confidence for each number.
        const PENALTY: f64 = 0.8;
        if self.unsupported.is_empty() {
            return;
        }
        for _ in &self.unsupported {
            draft.confidence *= PENALTY;
        }
        let (count, listed) = (self.unsupported.len(), self.listed());
        let (numbers, do_not) = if count == 1 { ("number", "does not") } else { ("numbers", "do not") };
        // Writing to a string cannot fail.
        let _ = write!(draft.confidence_rationale, " {count} {numbers} ({listed}) {do_not} occur in the trace.");
    }

    /// Why the answer is unusable, for the table of errors, and what to tell the model; `None` if it is usable. An answer with a single unsupported
    /// number is usable, also if it has no other number.
    pub(super) fn rejection(&self) -> Option<(String, String)> {
        const UNSUPPORTED_MAX: usize = 2;
        let (claimed, count) = (self.claimed, self.unsupported.len());
        let is_unusable = count > UNSUPPORTED_MAX || (count > 1 && count * 2 > claimed);
        is_unusable.then(|| {
            let reason = format!("{count} of {claimed} numbers of the answer do not occur in the trace");
            let listed = self.listed();
            let feedback =
                format!("{count} of its numbers ({listed}) do not occur in the trace; write only numbers of the facts and of the trace");
            (reason, feedback)
        })
    }

    /// The first unsupported numbers, quoted. They consist of digits, separators and names of units.
    fn listed(&self) -> String {
        const LISTED_MAX: usize = 5;
        self.unsupported.iter().take(LISTED_MAX).map(|number| format!("“{number}”")).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;
    use std::time::Duration;

    use super::*;
    use crate::analyze::embedded::Embedded;
    use crate::model::{Document, Fact, Message, Span, SpanKind, Status, TokenUsage, ToolUse};
    use crate::redact::{RedactedTrace, RedactionKey, Redactor};

    const SECOND: i64 = 1_000_000_000;

    fn deadline() -> Deadline {
        Deadline::after(Duration::from_mins(1))
    }

    /// Three model calls, the last of which is too long, and a search.
    fn trace() -> RedactedTrace {
        let call = |number: i64, tokens: u64, error: Option<&str>| Span {
            span_id: format!("s{number}"),
            name: "chat".into(),
            kind: SpanKind::Llm,
            status: if error.is_some() { Status::Error } else { Status::Ok },
            status_message: error.map(str::to_owned),
            model: Some("gpt-4o-2024-08-06".into()),
            started_at_ns: Some(number * 20 * SECOND),
            ended_at_ns: Some(number * 20 * SECOND + 12_434_000_000),
            usage: TokenUsage { input: Some(tokens), output: Some(17) },
            input: (0..30)
                .map(|index| Message { role: "user".into(), content: format!("row {index} of 37"), ..Message::default() })
                .collect(),
            ..Span::default()
        };
        let search = Span {
            span_id: "r".into(),
            name: "search_orders".into(),
            kind: SpanKind::Tool,
            tool: Some(ToolUse {
                name: "search_orders".into(),
                result: Some("x".repeat(92_431)),
                arguments: "{\"limit\": 5000}".into(),
                ..ToolUse::default()
            }),
            documents: Some(vec![Document { score: Some(0.634), content: "from 1.40.2".into(), ..Document::default() }]),
            started_at_ns: Some(35 * SECOND),
            ended_at_ns: Some(36 * SECOND),
            ..Span::default()
        };
        let message =
            "BadRequestError: This model's maximum context length is 128000 tokens. However, your messages resulted in 141397 tokens.";
        let spans = vec![call(0, 40_000, None), call(1, 61_000, None), search, call(2, 0, Some(message))];
        let trace = Trace { trace_id: "t".into(), spans, ..Trace::default() };
        Redactor::new(RedactionKey::from_text("a key for tests only").unwrap()).redact_trace(trace, deadline()).unwrap()
    }

    /// The trace with its findings, three of them facts.
    static EXAMINED: LazyLock<(RedactedTrace, Findings)> = LazyLock::new(|| {
        let trace = trace();
        let mut findings = Embedded::new().unwrap().findings(&trace, deadline()).unwrap();
        let fact = |name: &str, value: &str, unit: &str| Fact {
            name: name.into(),
            value: value.into(),
            unit: Some(unit.into()),
            span_id: None,
            field: None,
        };
        findings.verdict.facts = vec![
            fact("limit_tokens", "128000", "tokens"),
            fact("request_tokens", "141397", "tokens"),
            fact("retry_after_ms", "432345", "ms"),
        ];
        (trace, findings)
    });

    fn check_texts(summary: &str, action: &str) -> NumberCheck {
        let (trace, findings) = &*EXAMINED;
        let draft = Draft { actions: vec![action.into()], ..Draft::sample(summary) };
        check(&draft, trace, findings, deadline()).unwrap()
    }

    #[test]
    fn numbers_of_facts_and_of_the_trace_are_supported() {
        for text in [
            "141,397 tokens against 128,000 (13,397 too many, 10 % over the limit, 110 % of it, 1.1 times as many).",
            "About 141,000 tokens, over 141k, roughly 13k more than the 128k limit.",
            "The call took 12.4 s, that is 12434 ms or 0.2 min, and started 40 s after the first one.",
            "The three calls took 37.3 s in total; the server asked to wait 7 min 12 s (432 s).",
            "Between two calls 7.5 s passed.",
            "HTTP 400 for span 4 of 4, message 29 of 30, 37 rows.",
            "`search_orders` was called with limit=5000 and added 92 KB (92,431 characters, 90 KiB).",
            "The best score was 0.63, or 63 %; the client is 1.40.2.",
            "The calls used 40,000 and 61,000 input tokens, 101,000 together, and 17 output tokens.",
            "gpt-4o failed for <EMAIL:1a2b3c> on 2024-08-06.",
        ] {
            let found = check_texts(text, "Limit it to 50 rows.");
            assert_eq!(found.unsupported, [""; 0], "{text}");
        }
    }

    #[test]
    fn invented_numbers_are_named() {
        for (text, expected) in [
            ("141,000 tokens against 128,000.", vec!["141,000"]),
            ("It took 99.7 s for 141,397 tokens.", vec!["99.7 s"]),
            ("HTTP 503 after 77 retries, 250 MB.", vec!["503", "77", "250 MB"]),
            ("Since 3.2.1, 87 % fail at $13.37.", vec!["3.2.1", "$13.37"]),
            ("It failed in span 1,234.", vec!["1,234"]),
        ] {
            let found = check_texts(text, "Mend it.");
            assert!(expected.iter().all(|number| found.unsupported.iter().any(|found| found == number)), "{text}: {found:?}");
        }
        assert_eq!(check_texts("It failed.", "Cut the 999,999 tokens of history.").unsupported, ["999,999"]);
        assert_eq!(check_texts("It failed.", "Mend it."), NumberCheck::default());
    }

    #[test]
    fn an_answer_is_unusable_if_three_or_most_of_several_numbers_are_unsupported() {
        let check = |claimed: usize, unsupported: &[&str]| NumberCheck {
            claimed,
            unsupported: unsupported.iter().map(|number| (*number).to_owned()).collect(),
        };
        for (numbers, is_unusable) in [
            (check(0, &[]), false),
            (check(1, &["141,000"]), false),
            (check(2, &["141,000"]), false),
            (check(2, &["141,000", "37 %"]), true),
            (check(3, &["141,000", "37 %"]), true),
            (check(4, &["141,000", "37 %"]), false),
            (check(30, &["1", "2", "3"]), true),
        ] {
            assert_eq!(numbers.rejection().is_some(), is_unusable, "{numbers:?}");
        }
        let mut draft = Draft::sample("s");
        check(4, &["141,000"]).penalize(&mut draft);
        assert_eq!(draft.confidence_rationale, "because 1 number (“141,000”) does not occur in the trace.");
        assert!((draft.confidence - 0.4).abs() < 1e-9);
        check(4, &["141,000", "37 %"]).penalize(&mut draft);
        assert!(draft.confidence_rationale.ends_with(" 2 numbers (“141,000”, “37 %”) do not occur in the trace."));
    }

    #[test]
    fn the_search_ends_at_the_deadline() {
        let (trace, findings) = &*EXAMINED;
        let over = Deadline::after(Duration::ZERO);
        assert_eq!(check(&Draft::sample("It had 77 rows."), trace, findings, over), Err(TimedOut(Duration::ZERO)));
        assert_eq!(check(&Draft::sample("It had rows."), trace, findings, over), Ok(NumberCheck::default()));
    }
}
