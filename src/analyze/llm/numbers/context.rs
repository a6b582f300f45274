//! What a number in a sentence is about, by the words around it.

use super::claims::{Claim, Sentence};
use super::units::{Dimension, word_after};

/// What a number is in its sentence. A list has the role of its first number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Claim,
    Position,
    Proposal,
    Date,
}

/// What the number at a place is in its sentence. `previous`: what the number before it is, and the text between the two.
pub(super) fn role(text: &str, start: usize, previous: Option<(Role, &str)>, claim: &Claim, sentence: Sentence) -> Role {
    const POSITIONS: [&str; 20] = [
        "span",
        "spans",
        "step",
        "steps",
        "turn",
        "turns",
        "message",
        "messages",
        "attempt",
        "attempts",
        "call",
        "calls",
        "iteration",
        "iterations",
        "round",
        "rounds",
        "try",
        "retry",
        "generation",
        "generations",
    ];
    const MONTHS: [&str; 22] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
        "jan",
        "feb",
        "mar",
        "apr",
        "jun",
        "jul",
        "aug",
        "sep",
        "oct",
        "nov",
    ];
    let is_plain = claim.dimension == Dimension::Plain;
    if let Some((previous, gap)) = previous {
        // "20 rows and 2,000 characters"
        let after_noun = || gap.trim_start().trim_start_matches(char::is_alphabetic);
        let is_next = match previous {
            Role::Proposal => is_between_items(gap) || is_between_items(after_noun()),
            Role::Position | Role::Date => is_plain && is_between_items(gap),
            Role::Claim => false,
        };
        if is_next {
            return previous;
        }
    }
    let before = text.get(..start).unwrap_or_default();
    let word = last_word(before).to_ascii_lowercase();
    let digits = before.len() + text.get(start..).map_or(0, |rest| rest.bytes().take_while(u8::is_ascii_digit).count());
    let after = text.get(digits..).map(|rest| word_after(rest).1.to_ascii_lowercase()).unwrap_or_default();
    let is_year = is_plain && claim.value.fract() == 0.0 && (1_990.0..2_100.0).contains(&claim.value);
    if is_plain && (MONTHS.contains(&word.as_str()) || MONTHS.contains(&after.as_str())) && claim.value <= 2_100.0
        || is_year && matches!(word.as_str(), "in" | "since" | "until" | "year")
    {
        return Role::Date;
    }
    if is_plain && POSITIONS.contains(&word.as_str()) {
        return Role::Position;
    }
    if sentence == Sentence::Action && is_proposed(before, &word) {
        return Role::Proposal;
    }
    Role::Claim
}

/// Verbs with which an action sets a value.
const VERBS: [&str; 58] = [
    "add",
    "adjust",
    "allow",
    "back",
    "bound",
    "budget",
    "cap",
    "change",
    "chunk",
    "configure",
    "constrain",
    "cut",
    "decrease",
    "enforce",
    "ensure",
    "expand",
    "extend",
    "fetch",
    "give",
    "increase",
    "insert",
    "keep",
    "leave",
    "limit",
    "lower",
    "make",
    "pass",
    "pause",
    "query",
    "raise",
    "reduce",
    "request",
    "reserve",
    "restrict",
    "retry",
    "return",
    "reject",
    "sample",
    "schedule",
    "select",
    "send",
    "set",
    "shorten",
    "shrink",
    "split",
    "start",
    "stop",
    "summarize",
    "switch",
    "throttle",
    "tighten",
    "trim",
    "truncate",
    "try",
    "tune",
    "use",
    "wait",
    "abort",
];

/// Words before a value that an action proposes.
const CONNECTORS: [&str; 37] = [
    "to",
    "at",
    "as",
    "of",
    "below",
    "under",
    "above",
    "over",
    "least",
    "most",
    "than",
    "like",
    "every",
    "within",
    "after",
    "for",
    "by",
    "around",
    "about",
    "approximately",
    "roughly",
    "maximum",
    "minimum",
    "max",
    "min",
    "top",
    "up",
    "first",
    "last",
    "into",
    "e.g",
    "eg",
    "say",
    "with",
    "between",
    "per",
    "exceeds",
];

/// Whether an action proposes the value that follows: `Raise the timeout from 10 s to 30 s` proposes 30 s, and 10 s is what the trace shows.
fn is_proposed(before: &str, word: &str) -> bool {
    let sentence = before.rsplit([';', '\n']).next().unwrap_or_default();
    let has_verb = sentence.split(|c: char| !c.is_alphanumeric()).any(|word| VERBS.contains(&word.to_ascii_lowercase().as_str()));
    let is_set =
        before.trim_end().ends_with(['=', ':', '~', '≈', '<', '>', '≤', '≥']) || CONNECTORS.contains(&word) || VERBS.contains(&word);
    has_verb && is_set
}

/// Whether a text stands between the items of a list or the ends of a range.
pub(super) fn is_between_items(gap: &str) -> bool {
    matches!(
        gap.trim().to_ascii_lowercase().as_str(),
        "," | "and" | "or" | "/" | "-" | "–" | "—" | "to" | ", and" | ", or" | "then" | ", then" | "through" | "&"
    )
}

/// Whether a number is said to be inexact: `about 141,000`, `~12 s`, `over 90 %`, `141,000+`.
pub(super) fn is_approximate(text: &str, start: usize, end: usize) -> bool {
    const WORDS: [&str; 19] = [
        "about",
        "around",
        "roughly",
        "approximately",
        "approx",
        "nearly",
        "almost",
        "over",
        "than",
        "some",
        "circa",
        "ca",
        "under",
        "above",
        "below",
        "exceeding",
        "least",
        "most",
        "beyond",
    ];
    let before = text.get(..start).unwrap_or_default();
    text.get(end..).is_some_and(|after| after.starts_with('+'))
        || before.trim_end().ends_with(['~', '≈', '∼'])
        || WORDS.contains(&last_word(before).to_ascii_lowercase().as_str())
}

/// The last word of a text, without quotation marks and brackets around it; empty after a sign such as `=`.
fn last_word(text: &str) -> &str {
    const WORD_CHARS_MAX: usize = 40;
    let text = text.trim_end_matches(|c: char| {
        c.is_whitespace() || matches!(c, '(' | '[' | '"' | '\'' | '`' | '“' | '‘' | '*' | '$' | '€' | '£' | '.')
    });
    let start =
        text.char_indices().rev().take(WORD_CHARS_MAX).take_while(|(_, c)| c.is_alphanumeric() || matches!(c, '_' | '.' | '-')).last();
    start.and_then(|(start, _)| text.get(start..)).unwrap_or_default()
}

/// Whether a number with a fraction is the version of a thing that is named before it: `Claude 3.5`, `version 1.4`.
pub(super) fn follows_name(text: &str, start: usize) -> bool {
    let before = text.get(..start).unwrap_or_default();
    let word = last_word(before);
    let is_name = word.starts_with(char::is_uppercase) || word.contains(|c: char| c.is_ascii_digit());
    before.ends_with([' ', '-']) && (is_name || matches!(word, "version" | "versions" | "v" | "release" | "python" | "node"))
}
