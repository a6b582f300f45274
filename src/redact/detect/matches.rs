//! Matches in decoded text, detections in original text, and how overlapping ones are resolved.

use std::ops::Range;

use super::decoded_text::DecodedText;
use super::numbers::{CHECK_DIGITS, CHECK_DIGITS_NEAR_NAME};

/// A sensitive value in a decoded text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Match {
    /// Bytes of the decoded text.
    pub(super) range: Range<usize>,
    /// What it is: `email`, `github_token`.
    pub(super) kind: &'static str,
    /// The detector that found it, for `--explain`.
    pub(super) detector: &'static str,
}

/// What a value is and how it was found, without the value itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct DetectedKind {
    /// Kind of the value: `email`, `github_token`.
    pub kind: &'static str,
    /// The detector that found it.
    pub detector: &'static str,
}

/// A sensitive value in an original text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::redact) struct Detection {
    /// Bytes of the original text.
    pub(in crate::redact) range: Range<usize>,
    /// What it is: `email`, `github_token`.
    pub(in crate::redact) kind: &'static str,
    /// The detector that found it, for `--explain`.
    pub(in crate::redact) detector: &'static str,
    /// The decoded value.
    pub(in crate::redact) value: String,
}

/// Resolves overlapping matches and maps them to the original text.
pub(super) fn to_detections(decoded: &DecodedText<'_>, matches: Vec<Match>) -> Vec<Detection> {
    resolve_overlaps(matches)
        .into_iter()
        .map(|found| Detection {
            value: decoded.text().get(found.range.clone()).unwrap_or_default().to_owned(),
            range: decoded.to_raw(found.range),
            kind: found.kind,
            detector: found.detector,
        })
        .collect()
}

/// Sorts matches and replaces overlapping ones by a match over all of them, with the kind of the longest.
pub(super) fn resolve_overlaps(mut matches: Vec<Match>) -> Vec<Match> {
    matches.retain(|found| !found.range.is_empty());
    matches.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    let mut resolved: Vec<(Match, usize)> = Vec::with_capacity(matches.len());
    for found in matches {
        let len = found.range.len();
        match resolved.last_mut() {
            Some((last, longest)) if found.range.start < last.range.end => {
                last.range.end = last.range.end.max(found.range.end);
                // `password: ghp_…` is a `github_token`, not a `password`.
                let is_more_specific = len == *longest && specificity(found.kind, found.detector) > specificity(last.kind, last.detector);
                if len > *longest || is_more_specific {
                    (last.kind, last.detector, *longest) = (found.kind, found.detector, len);
                }
            }
            _ => resolved.push((found, len)),
        }
    }
    resolved.into_iter().map(|(found, _)| found).collect()
}

/// Ranks kinds by how much they tell. If a label and a format match the same range, the format determines the kind.
fn specificity(kind: &str, detector: &str) -> u8 {
    match kind {
        // A label tells more about a number than its check digits.
        _ if detector == CHECK_DIGITS || detector == CHECK_DIGITS_NEAR_NAME => 1,
        "generic_secret" | "phone" => 0,
        "api_key" => 1,
        "bearer_token" | "password" => 2,
        _ => 3,
    }
}

/// Sorts detections and merges overlapping ones, keeping the kind of the first.
pub(super) fn merge_overlaps(detections: &mut Vec<Detection>) {
    detections.sort_by(|a, b| a.range.start.cmp(&b.range.start).then(b.range.end.cmp(&a.range.end)));
    detections.dedup_by(|later, earlier| {
        let overlaps = later.range.start < earlier.range.end;
        if overlaps {
            earlier.range.end = earlier.range.end.max(later.range.end);
        }
        overlaps
    });
}
