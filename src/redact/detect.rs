//! Finds what is sensitive in one text: cheap passes find anchors (an `@`, a digit, a known prefix), and a detector looks only there.

use std::ops::Range;

use super::{numbers, secrets, shapes};

/// Something sensitive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hit {
    /// Bytes of the text.
    pub(super) range: Range<usize>,
    /// The word in the token.
    pub(super) kind: &'static str,
}

/// Every hit, in order and without overlaps; of two that overlap the one that starts first, then the longer one, stays.
pub(super) fn find(text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    secrets::find(text, &mut hits);
    shapes::find(text, &mut hits);
    numbers::find(text, &mut hits);
    if hits.len() > 1 {
        hits.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
        let mut end = 0;
        hits.retain(|hit| {
            let keep = hit.range.start >= end;
            if keep {
                end = hit.range.end;
            }
            keep
        });
    }
    hits
}

/// Whether a value can start at `at`: no word goes on to its left. The `n` of an escaped line feed (`\n` inside JSON text) is no word.
pub(super) fn starts_word(bytes: &[u8], at: usize) -> bool {
    let before = |distance: usize| at.checked_sub(distance).and_then(|index| bytes.get(index)).copied();
    match before(1) {
        None => true,
        Some(b'n' | b't' | b'r') if before(2) == Some(b'\\') => true,
        Some(byte) => !byte.is_ascii_alphanumeric() && byte != b'_',
    }
}

/// Whether a value can end before `at`.
pub(super) fn ends_word(bytes: &[u8], at: usize) -> bool {
    bytes.get(at).is_none_or(|byte| !byte.is_ascii_alphanumeric() && *byte != b'_')
}

#[cfg(test)]
pub(super) fn check(kind: &str, examples: &[&str], counterexamples: &[&str]) {
    for example in examples {
        for text in [(*example).to_owned(), format!("a {example}, b"), format!("{{\"k\": \"x\\n{example}\"}}"), format!("({example})")] {
            let found = find(&text);
            assert!(
                found.iter().any(|hit| hit.kind == kind && text.get(hit.range.clone()).is_some_and(|found| found.contains(example))),
                "{kind} not found in {text:?}: {found:?}"
            );
        }
    }
    for text in counterexamples {
        let found = find(text);
        assert!(found.iter().all(|hit| hit.kind != kind), "{kind} wrongly found in {text:?}: {found:?}");
    }
}
