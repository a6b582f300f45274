//! Why a thing that a tool asked for is not there: it expired, was deleted or moved. That is another failure than a wrong name.

use super::super::byte_regex::ByteRegex;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place};

fact_names! {
    ABSENCE_REASON = "absence_reason", Text, "what became of the thing that was not found";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some((root, span)) = case.root.zip(case.span()).filter(|_| case.is(&["tool_resource_not_found"])) else { return };
    let said = case.messages().find_map(|(_, text)| reason_in(text));
    // The status for a thing that was there.
    if let Some(reason) = said.or_else(|| (root.status == Some(410)).then_some("is gone for good")) {
        facts.add(&ABSENCE_REASON, reason, Place::Span(span));
    }
}

/// What a message says about a thing that was there once. Each completes "the thing …".
fn reason_in(text: &str) -> Option<&'static str> {
    static REASONS: [(ByteRegex, &str); 4] = [
        (
            ByteRegex::new(
                r"(?i)\b(?:has|have|is|was|already|link|url|file|artifact|session|invitation|token|offer|quote|cart|job|upload) expired\b|\bexpired (?:on|at|since)\b|\bno longer available\b.{0,40}expir|abgelaufen|a expiré|ha caducado|ha expirado|expirou|已过期|期限切れ",
            ),
            "has expired",
        ),
        (
            ByteRegex::new(
                r"(?i)\b(?:has been|was|were|is|already|been) (?:permanently |soft-?)?deleted\b|\bdeleted (?:on|at|by)\b|is in the (?:trash|recycle bin)|gelöscht|a été supprimé|fue eliminad|已删除|削除(?:され|済)",
            ),
            "was deleted",
        ),
        (
            ByteRegex::new(
                r"(?i)\b(?:has|have|was|were|been|permanently) (?:been )?moved\b|\bmoved (?:permanently|to)\b|\brelocated to\b|\brenamed to\b|\bwas renamed\b|verschoben|umbenannt|a été déplacé|已移动",
            ),
            "was moved or renamed",
        ),
        (
            ByteRegex::new(r"(?i)\b(?:has been|was|is) archived\b|\barchived (?:on|at)\b|\bmigrated to\b"),
            "was archived or moved to another system",
        ),
    ];
    let text = super::super::text::clip(text);
    REASONS.iter().find(|(expression, _)| expression.is_match(text)).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_thing_is_read_from_the_message() {
        for (text, reason) in [
            ("410 Artifact has expired", Some("has expired")),
            ("This download link expired at 2031-01-01", Some("has expired")),
            ("file f-12 was deleted by its owner", Some("was deleted")),
            ("Message has been deleted", Some("was deleted")),
            ("The repository has been moved to acme/new", Some("was moved or renamed")),
            ("301 Moved Permanently", Some("was moved or renamed")),
            ("Ticket 7 is archived", Some("was archived or moved to another system")),
            ("order 5 not found", None),
            ("No such file or directory: 'expired.csv'", None),
        ] {
            assert_eq!(reason_in(text), reason, "{text}");
        }
        assert!(["", "x"].iter().all(|text| reason_in(text).is_none()));
    }
}
