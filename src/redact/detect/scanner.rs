//! Runs all detectors over a text: decode, match, resolve, map back to the original.

use std::cell::Cell;
use std::ops::Range;

use super::decoded_text::DecodedText;
use super::labels::{Label, label_at};
use super::literals::{LabelRule, Literals, RuleRef, ScanControl, literals};
use super::matches::{Detection, Match, merge_overlaps, resolve_overlaps, to_detections};
use super::names::NameMatch;
use super::tables::Tables;
use super::text::{Text, is_cjk};
use super::{CustomDetectors, KnownValues, cjk, lexicon, shapes, tokens, values, words};
use crate::runtime::Deadline;

/// Shorter texts contain no value together with something that identifies it.
const TEXT_BYTES_MIN: usize = 5;

/// Searches texts for sensitive values, with the user's detectors and an optional deadline.
#[derive(Debug)]
pub(in crate::redact) struct Scanner<'s> {
    custom: &'s CustomDetectors,
    deadline: Option<Deadline>,
    /// Calls of [`Self::is_timed_out`]; the clock is read only in some of them.
    timeout_checks: Cell<u32>,
    timed_out: Cell<bool>,
}

impl<'s> Scanner<'s> {
    /// A scanner without a deadline.
    pub(in crate::redact) fn new(custom: &'s CustomDetectors) -> Self {
        Self { custom, deadline: None, timeout_checks: Cell::new(0), timed_out: Cell::new(false) }
    }

    /// A scanner that stops early after `deadline`. Its results are incomplete if [`Self::is_timed_out`] is true.
    pub(in crate::redact) fn with_deadline(custom: &'s CustomDetectors, deadline: Deadline) -> Self {
        Self { deadline: Some(deadline), ..Self::new(custom) }
    }

    /// Whether the deadline has passed. Cheap enough for inner loops: most calls only count.
    pub(in crate::redact) fn is_timed_out(&self) -> bool {
        const CALLS_PER_CLOCK_READ: u32 = 64;
        let Some(deadline) = self.deadline else { return false };
        let checks = self.timeout_checks.get().wrapping_add(1);
        self.timeout_checks.set(checks);
        if checks.is_multiple_of(CALLS_PER_CLOCK_READ) && deadline.check().is_err() {
            self.timed_out.set(true);
        }
        self.timed_out.get()
    }

    /// Every detection in `raw`, in order and without overlaps.
    pub(in crate::redact) fn scan(&self, raw: &str) -> Vec<Detection> {
        self.scan_nested(raw, 0)
    }

    /// As [`Self::scan`], and every other occurrence of the detected values in `raw`.
    pub(in crate::redact) fn scan_with_repeats(&self, raw: &str) -> Vec<Detection> {
        let decoded = DecodedText::new(raw);
        let mut detections = self.scan_decoded(&decoded, 0);
        if let Some(values) = KnownValues::new(&detections) {
            let repeats = values.matches_in(Text(decoded.text()), self);
            if !repeats.is_empty() {
                detections.extend(to_detections(&decoded, repeats));
                merge_overlaps(&mut detections);
            }
        }
        detections
    }

    /// As [`Self::scan`], for a text that was decoded from `depth` levels of base64 or hex.
    pub(super) fn scan_nested(&self, raw: &str, depth: usize) -> Vec<Detection> {
        self.scan_decoded(&DecodedText::new(raw), depth)
    }

    fn scan_decoded(&self, decoded: &DecodedText<'_>, depth: usize) -> Vec<Detection> {
        let mut matches = find_matches(decoded, self, depth);
        self.custom.find(decoded.text(), &mut matches);
        let text = Text(decoded.text());
        // Tokens of an earlier redaction stay, so that redacting twice changes nothing.
        let is_in_token =
            |range: &Range<usize>| tokens::token_around(text, range.start, self.custom).is_some_and(|token| token.end >= range.end);
        matches.retain(|found| !self.custom.allows(text.slice(found.range.clone())) && !is_in_token(&found.range));
        to_detections(decoded, matches)
    }
}

/// The kinds of the values that remain in a redacted text. Tokens are removed from the text first, which is a different method than that of
/// [`Scanner::scan`], so that a defect of one of them is detected by the other.
pub(in crate::redact) fn kinds_remaining_in(text: &str, custom: &CustomDetectors) -> Vec<&'static str> {
    let decoded = DecodedText::new(text);
    let without_tokens = tokens::strip_tokens(decoded.text(), custom);
    let mut matches = find_matches(&DecodedText::new(&without_tokens), &Scanner::new(custom), 0);
    custom.find(&without_tokens, &mut matches);
    matches.retain(|found| !custom.allows(without_tokens.get(found.range.clone()).unwrap_or_default()));
    resolve_overlaps(matches).into_iter().map(|found| found.kind).collect()
}

/// The matches of the built-in detectors, in no particular order.
fn find_matches(decoded: &DecodedText<'_>, scanner: &Scanner<'_>, depth: usize) -> Vec<Match> {
    let Some(literals) = literals() else { return Vec::new() };
    let text = Text(decoded.text());
    if text.len() < TEXT_BYTES_MIN {
        return Vec::new();
    }
    let mut matches = Vec::new();
    shapes::match_around_at_signs(text, &mut matches);
    let email_local_parts = email_local_parts(text, &matches);
    let labels = match_literals(literals, text, scanner, &mut matches);
    let mut name_matches = Vec::new();
    words::match_words(text, scanner, depth, &email_local_parts, &mut matches, &mut name_matches);
    let mut tables = Tables::default();
    // The end of the last long value. Labels well inside it are skipped, because their values are a part of it.
    let mut long_value_end = 0;
    for (label, rule) in &labels {
        if scanner.is_timed_out() {
            return matches;
        }
        if label.identifier.end + values::VALUE_BYTES_MAX < long_value_end {
            continue;
        }
        values::match_value_of_label(decoded, label, *rule, &mut matches, &mut name_matches);
        if let Some(last) = matches.last().filter(|last| last.range.len() >= values::VALUE_BYTES_MAX) {
            long_value_end = long_value_end.max(last.range.end);
        }
        tables.match_table_of_label(literals, text, label, &mut matches);
    }
    if !text.0.is_ascii() && text.0.chars().any(is_cjk) {
        cjk::names(text, &mut matches);
        cjk::addresses(text, &mut matches);
    }
    accept_names(text, name_matches, &mut matches);
    matches
}

/// The letters of the local parts (before the `@`) of all email addresses, in lower case.
fn email_local_parts(text: Text<'_>, matches: &[Match]) -> Vec<String> {
    const ADDRESSES_MAX: usize = 200;
    let local_part = |found: &Match| text.slice(found.range.clone()).split('@').next().unwrap_or_default().to_lowercase();
    let letters = |local_part: String| local_part.chars().filter_map(lexicon::fold).filter(|c| c.is_alphabetic()).collect::<String>();
    matches
        .iter()
        .filter(|found| found.kind == "email")
        .take(ADDRESSES_MAX)
        .map(|found| letters(local_part(found)))
        .filter(|name| name.len() >= 3)
        .collect()
}

/// Adds credentials with a known format and user names in paths. Returns the labels, whose values are read later.
fn match_literals(literals: &Literals, text: Text<'_>, scanner: &Scanner<'_>, matches: &mut Vec<Match>) -> Vec<(Label, LabelRule)> {
    let mut labels = Vec::new();
    // The end of the last value of each format. A prefix inside that value does not start another one.
    let mut secret_ends = vec![0; literals.secrets.len()];
    literals.scan(text.0, &mut |literal, rule| match rule {
        _ if scanner.is_timed_out() => ScanControl::Stop,
        RuleRef::Secret(index) => {
            let (Some(rule), Some(last_end)) = (literals.secrets.get(index), secret_ends.get_mut(index)) else {
                return ScanControl::NextRule;
            };
            if literal.start < *last_end {
                return ScanControl::SkipLiteral;
            }
            let found = rule.find(text, literal.start);
            if let Some(range) = &found {
                *last_end = range.end;
                matches.push(Match { range: range.clone(), kind: rule.kind, detector: rule.name });
            }
            ScanControl::skip_if(found.is_some())
        }
        RuleRef::Label(index) => {
            let Some(rule) = literals.labels.get(index).copied() else { return ScanControl::NextRule };
            // A whole word that does not count as a label here contains no shorter label: `api_key` in `create_api_key` excludes `key`.
            let is_whole_word = text.is_word_end(literal.end);
            let label = label_at(text, literal, rule.value_type);
            let is_label = label.is_some();
            labels.extend(label.map(|label| (label, rule)));
            ScanControl::skip_if(is_label || is_whole_word)
        }
        RuleRef::HomeDirectory => {
            matches.extend(shapes::user_of_path(text, literal.start, literal.end));
            ScanControl::NextRule
        }
    });
    labels
}

/// Adds certain names, and candidates with other personal data near them: `Zyrqel Vantroba, +49 30 901820`.
fn accept_names(text: Text<'_>, name_matches: Vec<NameMatch>, matches: &mut Vec<Match>) {
    const DISTANCE_BYTES_MAX: usize = 160;
    let mut personal_data: Vec<usize> =
        matches.iter().filter(|found| is_personal_data(found.kind)).map(|found| found.range.start).collect();
    personal_data.sort_unstable();
    for name_match in name_matches {
        match name_match {
            NameMatch::Certain(range) => matches.push(Match { range, kind: "person", detector: "name" }),
            NameMatch::Candidate(range) => {
                let first = personal_data.partition_point(|at| *at + DISTANCE_BYTES_MAX < range.start);
                let near = personal_data.get(first..).unwrap_or_default().iter().take_while(|at| **at <= range.end + DISTANCE_BYTES_MAX);
                let is_same_paragraph = |at: &&usize| {
                    let between = if **at > range.end { range.end..**at } else { **at..range.start };
                    !text.slice(between).contains("\n\n")
                };
                if near.filter(is_same_paragraph).count() > 0 {
                    matches.push(Match { range, kind: "person", detector: "name near personal data" });
                }
            }
        }
    }
}

/// Whether a kind identifies a person, so that words next to it are likely a name.
fn is_personal_data(kind: &str) -> bool {
    matches!(
        kind,
        "email"
            | "phone"
            | "date_of_birth"
            | "address"
            | "iban"
            | "credit_card"
            | "passport"
            | "national_id"
            | "ssn"
            | "medical_id"
            | "drivers_license"
            | "bank_account"
    )
}
