//! Looks up what an analyzer claims to quote: an excerpt must stand in the redacted trace at the span and field that it names.

use std::fmt::Write;

use crate::model::{Draft, EvidenceKind, Trace};

/// Marks what was found, drops excerpts that stand nowhere, and lowers the confidence for each. Returns how many excerpts there were
/// and how many were found.
pub(super) fn verify(draft: &mut Draft, trace: &Trace) -> (u64, u64) {
    /// What one invented quotation takes from the confidence.
    const PENALTY: f64 = 0.7;
    let (mut excerpts, mut found) = (0, 0);
    draft.evidence.retain_mut(|evidence| {
        let Some(excerpt) = &evidence.excerpt else {
            evidence.verified = evidence.kind == EvidenceKind::Signal;
            return true;
        };
        excerpts += 1;
        evidence.verified = stands_in(trace, evidence.span_id.as_deref(), evidence.field.as_deref(), excerpt);
        found += u64::from(evidence.verified);
        evidence.verified
    });
    if excerpts > found {
        for _ in found..excerpts {
            draft.confidence *= PENALTY;
        }
        // Writing to a string cannot fail.
        let _ = write!(
            draft.confidence_rationale,
            " {} of {excerpts} quotations stand nowhere in the trace and were dropped.",
            excerpts - found
        );
    }
    (excerpts, found)
}

fn stands_in(trace: &Trace, span_id: Option<&str>, field: Option<&str>, excerpt: &str) -> bool {
    let (Some(span_id), Some(field)) = (span_id, field) else { return false };
    let span = trace.spans.iter().find(|span| span.span_id == span_id);
    span.is_some_and(|span| span.fields(&mut |name, text| name.to_string() == field && text.contains(excerpt)))
}
