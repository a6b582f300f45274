//! Reads the numbers that a model claims in its sentences, with their units and their precision.
//!
//! What is no claim about the trace is left out: parts of names (`gpt-4o`, `claude-3-5-sonnet`, `Python 3.11`), dates and times of day, ids, ordinals,
//! tokens of the redaction (`<EMAIL:1a2b3c>`), counts that a person writes as a word, and the values that an action proposes.

use std::sync::LazyLock;

use regex::Regex;

use super::context::{Role, follows_name, is_approximate, is_between_items, role};
use super::units::{Dimension, Unit};

/// Numbers read from one text, claims or not.
const NUMBERS_MAX: usize = 256;

/// Claims of one answer.
const CLAIMS_MAX: usize = 64;

/// The largest count that is no claim: `two attempts`, `all 12 steps`.
const TRIVIAL_MAX: f64 = 12.0;

/// Where a sentence stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sentence {
    /// Says what happened.
    Statement,
    /// Says what to do, and may propose new values.
    Action,
}

/// What a number refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ClaimKind {
    Quantity,
    /// The position of a span, message or attempt: `span 14`.
    Position,
    /// Perhaps an HTTP status.
    Status,
    /// A version with at least three parts, which must occur literally.
    Version,
}

/// A number that a model claims.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Claim {
    /// As written, with a unit that changes its value: `141,397`, `12.4 s`.
    pub(super) shown: String,
    pub(super) kind: ClaimKind,
    pub(super) dimension: Dimension,
    /// In the unit of its dimension.
    pub(super) value: f64,
    /// How far a number may be below or above and is still written like this.
    margins: (f64, f64),
    /// What to multiply for powers of 1,024; else 1.
    binary_ratio: f64,
    /// What its own unit is in the unit of the dimension.
    factor: f64,
}

impl Claim {
    /// The ranges of numbers, in the unit of the dimension, that are written like this.
    pub(super) fn variants(&self) -> impl Iterator<Item = (f64, f64)> {
        let range = |ratio: f64| {
            // Sums of fractions are inexact.
            let slack = (self.value * ratio).abs() * 1e-9;
            ((self.value - self.margins.0) * ratio - slack, (self.value + self.margins.1) * ratio + slack)
        };
        let binary = (self.binary_ratio > 1.0).then(|| range(self.binary_ratio));
        std::iter::once(range(1.0)).chain(binary)
    }

    /// The range of numbers that are written like this in the same unit: 141 for `141k`.
    pub(super) fn as_written(&self) -> (f64, f64) {
        ((self.value - self.margins.0) / self.factor, (self.value + self.margins.1) / self.factor)
    }
}

/// The claims of several sentences, each once.
pub(super) fn claims<'t>(texts: impl IntoIterator<Item = (&'t str, Sentence)>) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for (text, sentence) in texts {
        for claim in read(text, sentence) {
            let is_known = claims.iter().any(|known| {
                known.kind == claim.kind
                    && known.dimension.is_comparable(claim.dimension)
                    && (known.value - claim.value).abs() <= f64::EPSILON * known.value.abs()
                    && (claim.kind != ClaimKind::Version || known.shown == claim.shown)
            });
            if !is_known && claims.len() < CLAIMS_MAX {
                claims.push(claim);
            }
        }
    }
    claims
}

/// The parts of a sentence that may be numbers, and those whose digits are none.
static PARTS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?x) <[A-Z][A-Z0-9_]*(?::[0-9A-Za-z]+)?>",                       // a token of the redaction
        r"| [A-Za-z][A-Za-z0-9+.-]*://[^\s<>]+",                           // an address
        r"| [\p{L}_][\p{L}\p{N}_]*(?:[-./@\\][\p{L}\p{N}_]+|\[[0-9]+\])*", // a word, a name, a path
        r"| (?P<version>[0-9]+(?:\.[0-9]+){2,})[\p{L}\p{N}_+-]*",
        r"| [0-9]+(?:-[0-9]+){2,}[\p{L}\p{N}_:.+-]*",            // a date, an id
        r"| [0-9]{1,4}/[0-9]{1,2}/[0-9]{1,4}",                   // a date
        r"| [0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?Z?", // a time of day
        r"| (?P<number>[0-9]{1,3}(?:[,_'’\x{a0}\x{202f}\x20][0-9]{3})+(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?)",
    ))
    .ok()
});

/// A number in a text.
struct Found {
    claim: Claim,
    /// Where the digits start, and where the unit ends.
    start: usize,
    end: usize,
    role: Role,
}

/// The claims of one text in their order.
fn read(text: &str, sentence: Sentence) -> Vec<Claim> {
    let Some(parts) = PARTS.as_ref() else { return Vec::new() };
    let mut found: Vec<Found> = Vec::new();
    let mut at = 0;
    while let Some(part) = parts.captures_at(text, at).filter(|_| found.len() < NUMBERS_MAX) {
        let Some(whole) = part.get(0) else { break };
        at = whole.end().max(at + 1);
        if let Some(version) = part.name("version").filter(|_| sentence == Sentence::Statement) {
            found.push(Found { claim: version_claim(version.as_str()), start: version.start(), end: at, role: Role::Claim });
        } else if let Some(digits) = part.name("number") {
            let quantity = Quantity::read(text, digits.start(), digits.end());
            at = quantity.end.max(digits.start() + 1);
            if let Some(claim) = quantity.claim {
                let before = found.last().map(|last| (last.role, text.get(last.end..digits.start()).unwrap_or_default()));
                let role = role(text, digits.start(), before, &claim, sentence);
                merge_or_push(&mut found, text, Found { claim, start: digits.start(), end: quantity.end, role });
            }
        }
    }
    let kept = found.into_iter().filter(|found| matches!(found.role, Role::Claim | Role::Position) && !is_trivial(&found.claim));
    kept.filter_map(|Found { mut claim, role, .. }| {
        if role == Role::Position {
            claim.kind = ClaimKind::Position;
        } else if claim.kind == ClaimKind::Status && sentence == Sentence::Action {
            // "Retry on 429 and 503."
            return None;
        }
        Some(claim)
    })
    .collect()
}

fn version_claim(version: &str) -> Claim {
    Claim {
        shown: version.chars().take(40).collect(),
        kind: ClaimKind::Version,
        dimension: Dimension::Plain,
        value: -1.0,
        margins: (0.0, 0.0),
        binary_ratio: 1.0,
        factor: 1.0,
    }
}

/// Adds a number, or completes a duration with it: `3 min 20 s`.
fn merge_or_push(found: &mut Vec<Found>, text: &str, next: Found) {
    if let Some(last) = found.last_mut()
        && (last.claim.dimension, next.claim.dimension) == (Dimension::Time, Dimension::Time)
        && next.claim.value < last.claim.margins.1
        && text.get(last.end..next.start).is_some_and(|gap| gap.trim().is_empty())
    {
        last.claim.value += next.claim.value;
        (last.claim.margins, last.claim.factor) = (next.claim.margins, next.claim.factor);
        last.claim.shown = text.get(last.start..next.end).unwrap_or_default().chars().take(40).collect();
        last.end = next.end;
        return;
    }
    // "30-60 s": the unit of the last number of a range is that of all.
    if let Some(last) = found.last_mut()
        && last.claim.dimension == Dimension::Plain
        && !matches!(next.claim.dimension, Dimension::Plain | Dimension::Tokens)
        && !is_trivial(&last.claim)
        && text.get(last.end..next.start).is_some_and(is_between_items)
        && let Some((_, unit)) = Unit::after(text, next.start + digits_bytes(text, next.start))
    {
        last.claim.dimension = unit.dimension;
        last.claim.value *= unit.factor;
        last.claim.margins = (last.claim.margins.0 * unit.factor, last.claim.margins.1 * unit.factor);
        (last.claim.kind, last.claim.factor) = (ClaimKind::Quantity, last.claim.factor * unit.factor);
    }
    found.push(next);
}

/// The length of the digits at a place, with separators and a fraction.
fn digits_bytes(text: &str, at: usize) -> usize {
    let digits = text.get(at..).unwrap_or_default().bytes();
    digits.take_while(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b',' | b'_')).count()
}

/// A number with its unit, and where it ends.
struct Quantity {
    claim: Option<Claim>,
    end: usize,
}

impl Quantity {
    /// Reads the number whose digits stand in this range. There is no claim if they are part of a name or of an ordinal.
    fn read(text: &str, start: usize, end: usize) -> Self {
        let mut end = end;
        let starts_with_digit = |at: usize| text.get(at..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        if starts_with_digit(end) {
            // `1,2345` is a list.
            end = start + text.get(start..).unwrap_or_default().bytes().take_while(u8::is_ascii_digit).count();
        }
        let raw = text.get(start..end).unwrap_or_default();
        let rest = text.get(end..).unwrap_or_default();
        let is_money = text.get(..start).is_some_and(|before| before.ends_with(['$', '€', '£']));
        let (unit_bytes, unit) = match Unit::after(text, end) {
            Some((bytes, unit)) => (bytes, unit),
            None if rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') => {
                // `4o`, `5xx`, `2nd`, `3f2a9c`.
                let name = rest.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-')));
                return Self { claim: None, end: end + name.unwrap_or(rest.len()) };
            }
            None => (0, Unit::PLAIN),
        };
        let unit = if is_money { Unit { dimension: Dimension::Money, ..unit } } else { unit };
        let digits: String = raw.chars().filter(|c| c.is_ascii_digit() || matches!(c, '.' | 'e' | 'E' | '+' | '-')).collect();
        let Some(number) = digits.parse::<f64>().ok().filter(|number| number.is_finite()) else {
            return Self { claim: None, end };
        };
        let fraction = digits.split(['e', 'E']).next().and_then(|digits| digits.split_once('.')).map_or(0, |(_, fraction)| fraction.len());
        let step = 10_f64.powi(-i32::try_from(fraction.min(15)).unwrap_or_default());
        // Written exactly, or rounded, or cut.
        let margins = if is_approximate(text, start, end + unit_bytes) {
            let coarse = if fraction > 0 { step } else { step_of_zeros(number) };
            let margin = coarse.min(number * 0.1).max(step);
            (margin, margin)
        } else {
            (step * 0.5, step)
        };
        let changes_value = unit.dimension != Dimension::Plain && (unit.dimension != Dimension::Tokens || unit.factor > 1.0);
        let shown_from = if is_money { start - 1 } else { start };
        let shown = text.get(shown_from..if changes_value || unit.factor > 1.0 { end + unit_bytes } else { end });
        // The signs of euros and pounds have several bytes.
        let shown = shown.or_else(|| text.get(start..end)).unwrap_or_default();
        let claim = Claim {
            shown: shown.chars().take(40).collect(),
            kind: if unit == Unit::PLAIN && is_status(raw) { ClaimKind::Status } else { ClaimKind::Quantity },
            dimension: unit.dimension,
            value: number * unit.factor,
            margins: (margins.0 * unit.factor, margins.1 * unit.factor),
            binary_ratio: unit.binary_factor / unit.factor,
            factor: unit.factor,
        };
        let is_name = unit == Unit::PLAIN && fraction > 0 && follows_name(text, start);
        Self { claim: (!is_name && !is_of_day(raw, rest)).then_some(claim), end: end + unit_bytes }
    }
}

/// 1,000 for 141,000.
fn step_of_zeros(number: f64) -> f64 {
    let mut step = 1.0;
    while step < number && (number / (step * 10.0)).fract() == 0.0 {
        step *= 10.0;
    }
    step
}

fn is_status(raw: &str) -> bool {
    raw.len() == 3 && raw.bytes().all(|byte| byte.is_ascii_digit()) && raw.starts_with(['4', '5'])
}

/// `24/7`
fn is_of_day(raw: &str, rest: &str) -> bool {
    raw == "24" && rest.starts_with("/7")
}

/// Counts that a person writes as a word, nothing, and everything.
fn is_trivial(claim: &Claim) -> bool {
    let is_whole = claim.value.fract() == 0.0;
    match claim.dimension {
        _ if claim.kind == ClaimKind::Version => false,
        _ if claim.value == 0.0 => true,
        Dimension::Plain | Dimension::Times => is_whole && claim.value <= TRIVIAL_MAX,
        Dimension::Percent => (claim.value - 100.0).abs() < f64::EPSILON,
        Dimension::Tokens | Dimension::Time | Dimension::Size | Dimension::Money => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str, sentence: Sentence) -> Vec<String> {
        claims([(text, sentence)]).into_iter().map(|claim| claim.shown).collect()
    }

    #[test]
    fn numbers_are_read_with_their_units() {
        for (text, dimension, value) in [
            ("The request had 141,397 tokens.", Dimension::Tokens, 141_397.0),
            ("The request had 141397 tokens.", Dimension::Tokens, 141_397.0),
            ("The request had 141\u{202f}397 tokens.", Dimension::Tokens, 141_397.0),
            ("The request had 141 397 tokens.", Dimension::Tokens, 141_397.0),
            ("It had 141k tokens.", Dimension::Tokens, 141_000.0),
            ("It had 1.4 million tokens.", Dimension::Tokens, 1_400_000.0),
            ("a 128K-token window", Dimension::Tokens, 128_000.0),
            ("It took 12.4 s.", Dimension::Time, 12_400.0),
            ("It took 12.4s, then failed", Dimension::Time, 12_400.0),
            ("a 30-second timeout", Dimension::Time, 30_000.0),
            ("It waited 850 ms.", Dimension::Time, 850.0),
            ("after 3 min 20 s", Dimension::Time, 200_000.0),
            ("after 2m30s", Dimension::Time, 150_000.0),
            ("after 2 h 5 min.", Dimension::Time, 7_500_000.0),
            ("It added 92 KB.", Dimension::Size, 92_000.0),
            ("It added 1.4MB.", Dimension::Size, 1_400_000.0),
            ("Only 512 bytes", Dimension::Size, 512.0),
            ("63 % of it", Dimension::Percent, 63.0),
            ("63% of it", Dimension::Percent, 63.0),
            ("63 percent of it", Dimension::Percent, 63.0),
            ("It cost $0.0123.", Dimension::Money, 0.0123),
            ("14x slower", Dimension::Times, 14.0),
            ("max_tokens=4096", Dimension::Plain, 4_096.0),
            ("`temperature: 0.7`", Dimension::Plain, 0.7),
            ("(25 iterations)", Dimension::Plain, 25.0),
            ("HTTP 429", Dimension::Plain, 429.0),
            ("failed with 1.5e3 rows", Dimension::Plain, 1_500.0),
            ("order #4711", Dimension::Plain, 4_711.0),
        ] {
            let found = claims([(text, Sentence::Statement)]);
            assert_eq!(found.len(), 1, "{text}: {found:?}");
            assert_eq!(found[0].dimension, dimension, "{text}");
            assert!((found[0].value - value).abs() < 1e-6, "{text}: {}", found[0].value);
        }
    }

    #[test]
    fn what_is_no_claim_is_left_out() {
        for text in [
            "gpt-4o, gpt-4.1-mini, o3, o4-mini-2025-04-16, claude-3-5-sonnet-20241022 and llama-3.1-70b-instruct",
            "Claude 3.5 Sonnet, Gemini 2.5 Pro, GPT 4.1, Llama 3.3, Python 3.11 and version 1.4",
            "models/gemini-1.5-pro-002 of us-east-1 and text-embedding-3-small",
            "on 2025-11-23, 2025-11-23T09:00:00Z, 23/11/2025, at 09:15:04.123, June 14, 2025 or 14 June 2025, since 2024",
            "<EMAIL:1a2b3c> and <CREDIT_CARD:99ff01> and <PHONE:123456>",
            "https://example.com/v1/4711?limit=500 and /v1/chat/4711 and C:\\x\\4711",
            "request req_011CSHoEeqs5C35K2UUqR7Fy, id 3f2a9c1e-4b7d-4c11-9a2b-0123456789ab, 550e8400-e29b-41d4-a716-446655440000, 12345678-1234-1234",
            "the 1st, 2nd, 3rd and 14th attempt, step_25, input[14].content, x86_64, utf-8, sha256, 5xx, 16GiB2",
            "1. first 2. second: all 3 of 12 tools, 0 results, 0 tokens, 100 %, twice, 2x, 24/7",
            "a 7B and a 70B model, p95, H100, IPv6, 3D",
            "nothing",
            "",
        ] {
            assert_eq!(shown(text, Sentence::Statement), [""; 0], "{text}");
        }
    }

    #[test]
    fn lists_ranges_and_repetitions_are_read_once_each() {
        for (text, expected) in [
            ("429/503/529", vec!["429", "503", "529"]),
            ("20, 30 and 40 rows", vec!["20", "30", "40"]),
            ("30-60 s", vec!["30", "60 s"]),
            ("141,397 of 128,000 tokens, that is 141397 tokens", vec!["141,397", "128,000"]),
            ("1,2345", vec!["2345"]),
            ("openai 1.40.0 and 10.0.0.17", vec!["1.40.0", "10.0.0.17"]),
            ("spans 3, 14 and 27", vec!["14", "27"]),
        ] {
            assert_eq!(shown(text, Sentence::Statement), expected, "{text}");
        }
        let ranged = claims([("30-60 s", Sentence::Statement)]);
        assert!((ranged[0].value - 30_000.0).abs() < 1e-6, "{ranged:?}");
        let positions = claims([("spans 3, 14 and 27", Sentence::Statement)]);
        assert!(positions.iter().all(|claim| claim.kind == ClaimKind::Position), "{positions:?}");
    }

    #[test]
    fn values_that_an_action_proposes_are_no_claims() {
        for (action, expected) in [
            ("Raise the timeout of `search_orders` from 10 s to 30 s.", vec!["10 s"]),
            ("Set `max_tokens=4096` or `limit: 50`.", vec![]),
            ("Limit the result to 20 rows and 2,000 characters.", vec![]),
            ("Retry on 429 and 503 with exponential backoff (e.g. 1 s, 2 s, 4 s), at most 30 s.", vec![]),
            ("Upgrade to openai 1.40.0.", vec![]),
            ("Cut the 141,000 tokens of history before call 14.", vec!["141,000", "14"]),
            ("Remove the field that 37 rows have.", vec!["37"]),
        ] {
            assert_eq!(shown(action, Sentence::Action), expected, "{action}");
        }
    }

    #[test]
    fn margins_follow_the_precision() {
        for (text, inside, outside) in [
            ("141,000 tokens", vec![141_000.0], vec![141_397.0, 140_999.0]),
            ("about 141,000 tokens", vec![141_397.0, 140_600.0], vec![143_000.0]),
            ("over 141,000 tokens", vec![141_397.0], vec![150_000.0]),
            ("141k tokens", vec![141_397.0, 140_600.0, 141_000.0 * 1.024], vec![150_000.0]),
            ("12.4 s", vec![12_400.0, 12_440.0, 12_499.0, 12_350.0], vec![12_600.0, 12_300.0]),
            ("3 min 20 s", vec![200_000.0, 200_900.0], vec![205_000.0, 180_000.0]),
            ("92 KB", vec![92_431.0, 94_208.0], vec![97_000.0, 90_000.0]),
            ("63 %", vec![63.0, 63.4, 62.6], vec![65.0, 62.0]),
            ("429", vec![429.0], vec![428.0, 431.0]),
        ] {
            let claim = claims([(text, Sentence::Statement)]).remove(0);
            let covers = |number: f64| claim.variants().any(|(low, high)| low <= number && number < high);
            assert!(inside.iter().all(|number| covers(*number)) && !outside.iter().any(|number| covers(*number)), "{text}: {claim:?}");
        }
    }

    #[test]
    fn hostile_sentences_are_read_in_bounded_time() {
        let start = std::time::Instant::now();
        for part in ["9", "1,", "1,234", "1 2 ", "1m", "é1", "to 13 s, ", "1.1.1", "1-1-", "x1", "<A", "$", "12:34", "²³½"] {
            let text: String = part.chars().cycle().take(4_000).collect();
            let action: String = text.chars().take(500).collect();
            assert!(claims([(action.as_str(), Sentence::Action), (text.as_str(), Sentence::Statement)]).len() <= CLAIMS_MAX, "{part}");
        }
        assert!(start.elapsed().as_secs() < 5);
    }
}
