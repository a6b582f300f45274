//! Cuts a long message around what it says: a code, a number, a permission, a negation. The first words of an error are often the least telling ones.

use std::ops::Range;

use super::super::byte_regex::ByteRegex;
use super::values::shortened;

/// Words that tell what happened, with their weight.
static MARKS: [(ByteRegex, u32); 5] = [
    // A denial, a limit or a demand.
    (
        ByteRegex::new(
            r"(?i)\b(?:not (?:authorized|allowed|permitted|found|supported|exist|a valid|in)|does not|do not|is not|cannot|can't|could not|denied|forbidden|unauthorized|expired|exceed[a-z]*|invalid|missing|required|must (?:be|have|not)|expected|unexpected|unsupported|unknown|refused|rejected|no such|too (?:many|large|long)|maximum|limit(?: of| is|:)|full|disabled|revoked)\b",
        ),
        3,
    ),
    // A code or a permission: `INVALID_OBJECT_IDS`, `57P03`, `kms:Decrypt`, `ORA-00054`.
    (
        ByteRegex::new(
            r"\b(?:[A-Z][A-Z0-9]{2,}(?:[_-][A-Z0-9]{2,})+|[0-9]{2}[A-Z][0-9]{2}|[a-z]{2,20}:[A-Z][A-Za-z]{3,40}|[A-Z]{2,6}-?[0-9]{3,6})\b",
        ),
        3,
    ),
    // A number that is no year and no part of an id.
    (ByteRegex::new(r"(?:^|[\s(=>])[0-9][0-9.,]*(?:[\s);]|$)"), 1),
    (ByteRegex::new(r"(?i)\b(?:because|instead of|but (?:got|was|is)|while)\b"), 2),
    (ByteRegex::new(r"[`'\x22][A-Za-z_][A-Za-z0-9_.-]{2,40}[`'\x22]"), 1),
];

/// Marks that are read in one message.
const MARKS_MAX: usize = 64;

/// What it costs to leave out the beginning.
const CUT_COST: u32 = 2;

/// A message of at most `chars_max` characters: as it is, or the part that tells most, with `…` where something is missing.
pub(super) fn quote(message: &str, chars_max: usize) -> String {
    let message = super::super::text::clip(message.trim());
    if message.chars().count() <= chars_max {
        return message.to_owned();
    }
    let marks = marks(message);
    let value = |start: usize| {
        let kept = window(message, start, chars_max);
        let told: u32 =
            marks.iter().filter(|(range, _)| kept.start <= range.start && range.end <= kept.end).map(|(_, weight)| *weight).sum();
        told.saturating_sub(if start == 0 { 0 } else { CUT_COST })
    };
    // Of equal ones the first.
    let best = starts(message, &marks, chars_max).into_iter().rev().max_by_key(|start| value(*start)).unwrap_or_default();
    match best {
        0 => shortened(message, chars_max),
        start => format!("…{}", shortened(message.get(start..).unwrap_or_default(), chars_max.saturating_sub(1))),
    }
}

fn marks(message: &str) -> Vec<(Range<usize>, u32)> {
    let mut found = Vec::new();
    for (expression, weight) in &MARKS {
        let ranges =
            expression.captures_iter(message).filter_map(|captures| captures.get(0)).map(|found| (found.start()..found.end(), *weight));
        found.extend(ranges.take(MARKS_MAX));
    }
    found
}

/// Where the kept part may begin: the beginning, and before each mark the start of its clause or a few words.
fn starts(message: &str, marks: &[(Range<usize>, u32)], chars_max: usize) -> Vec<usize> {
    let mut starts = vec![0];
    for (mark, _) in marks {
        let before = message.get(..mark.start).unwrap_or_default();
        // As much as fits, so that the mark stands in the second half.
        let room = before.char_indices().rev().take(chars_max / 2).last().map_or(mark.start, |(at, _)| at);
        let lead = message.get(room..mark.start).unwrap_or_default();
        let clause = [". ", ": ", "; ", ", "].iter().filter_map(|end| lead.find(end).map(|at| room + at + end.len())).min();
        let word = lead.find(' ').map(|at| room + at + 1);
        starts.extend(clause.or(word).filter(|at| message.is_char_boundary(*at)));
    }
    starts.sort_unstable();
    starts.dedup();
    starts
}

/// The part of a message that is kept if it begins at `start`.
fn window(message: &str, start: usize, chars_max: usize) -> Range<usize> {
    let rest = message.get(start..).unwrap_or_default();
    let end = rest.char_indices().nth(chars_max.saturating_sub(2)).map_or(rest.len(), |(at, _)| at);
    start..start + end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_around_what_it_says() {
        let principal = "arn:aws:sts::111122223333:assumed-role/ledger-agent-production-eu/i-0aa1bb2cc3dd4ee5f";
        let denied = format!(
            "An error occurred (AccessDenied) when calling the PutItem operation: User: {principal} is not authorized to perform: dynamodb:PutItem on resource: table because no policy allows it"
        );
        let filler = "The request was sent to the service and the service looked at all of it with great care before it answered us";
        for (message, expected) in [
            (denied, "dynamodb:PutItem"),
            (format!("{filler}. The field `amount` must be below 5000"), "must be below 5000"),
            (format!("{filler}: OBJECT_IS_LOCKED"), "OBJECT_IS_LOCKED"),
            (format!("{filler}. Quota 120 of 100 used, which exceeds the maximum"), "exceeds the maximum"),
        ] {
            let cut = quote(&message, 100);
            assert!(cut.contains(expected) && cut.chars().count() <= 100 && cut.starts_with('…'), "{cut}");
        }
    }

    #[test]
    fn a_message_without_such_words_keeps_its_beginning() {
        assert_eq!(quote("short", 100), "short");
        let plain = "word ".repeat(60);
        assert!(quote(&plain, 100).starts_with("word") && quote(&plain, 100).ends_with('…'));
        // What the beginning says is enough.
        let first = format!("The limit of 5 MB is exceeded. {}", "word ".repeat(60));
        assert!(quote(&first, 100).starts_with("The limit"));
        let wide = "é".repeat(400);
        assert!(quote(&wide, 100).chars().count() <= 100);
    }
}
