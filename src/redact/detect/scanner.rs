//! Runs all detectors over a text: decode, match, resolve, map back to the original.

use std::cell::Cell;
use std::ops::Range;

use super::decoded_text::DecodedText;
use super::labels::{Label, label_at};
use super::literals::{LabelRule, Literals, RuleRef, ScanControl, literals};
use super::matches::{DetectedKind, Detection, Match, merge_overlaps, resolve_overlaps, to_detections};
use super::names::NameMatch;
use super::secrets::{is_placeholder, looks_random};
use super::tables::Tables;
use super::text::{Text, is_cjk};
use super::word_starts::WordStarts;
use super::{CustomDetectors, KnownValues, cjk, joints, lexicon, names, shapes, tokens, values, vendors, words};
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
    /// Bytes that may still be decompressed in the current text.
    decompression_limit: Cell<usize>,
}

/// The detector of credentials that are split over the items of a list.
const IN_ITEMS: &str = "credential in several items of a list";

/// How much longer all decompressed data in a text may be than the text itself, so that scanning it takes linear time.
const DECOMPRESSION_RATIO_MAX: usize = 16;

/// Bytes that may be decompressed in any text.
const DECOMPRESSED_BYTES: usize = 64 * 1024;

impl<'s> Scanner<'s> {
    /// A scanner without a deadline.
    pub(in crate::redact) fn new(custom: &'s CustomDetectors) -> Self {
        Self { custom, deadline: None, timeout_checks: Cell::new(0), timed_out: Cell::new(false), decompression_limit: Cell::new(0) }
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

    /// Whether a value of this kind is replaced, as far as the user decides it.
    pub(in crate::redact) fn replaces(&self, kind: &str, value: &str) -> bool {
        self.custom.replaces(kind) && !self.custom.allows(value)
    }

    /// How many bytes may be decompressed now.
    pub(super) fn decompression_limit(&self) -> usize {
        self.decompression_limit.get()
    }

    pub(super) fn count_decompressed(&self, bytes: usize) {
        self.decompression_limit.set(self.decompression_limit.get().saturating_sub(bytes));
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
        let is_in_token = |range: &Range<usize>| {
            // A value may have been read with the line breaks around a token: `"private_key": "<PRIVATE_KEY:…>\n"`.
            let shown = text.slice(range.clone());
            let (start, end) = (range.end - shown.trim_start().len(), range.start + shown.trim_end().len());
            tokens::token_around(text, start, self.custom).is_some_and(|token| token.end >= end)
        };
        matches.retain(|found| self.replaces(found.kind, text.slice(found.range.clone())) && !is_in_token(&found.range));
        let mut detections = to_detections(decoded, matches);
        for detection in &mut detections {
            let value = match detection.detector {
                words::ENCODED_TEXT => words::encoded_value(self, &detection.value, depth),
                IN_ITEMS => Some(joints::value_of_items(&detection.value)),
                _ => None,
            };
            if let Some(value) = value {
                detection.value = value;
            }
        }
        detections
    }
}

/// The values that remain in a redacted text. Tokens are removed from the text first, which is a different method than that of
/// [`Scanner::scan`], so that a defect of one of them is detected by the other.
pub(in crate::redact) fn remaining_in(text: &str, custom: &CustomDetectors) -> Vec<DetectedKind> {
    let decoded = DecodedText::new(text);
    let without_tokens = tokens::strip_tokens(decoded.text(), custom);
    let mut matches = find_matches(&DecodedText::new(&without_tokens), &Scanner::new(custom), 0);
    custom.find(&without_tokens, &mut matches);
    let is_allowed = |found: &Match| custom.allows(without_tokens.get(found.range.clone()).unwrap_or_default());
    matches.retain(|found| custom.replaces(found.kind) && !is_allowed(found));
    resolve_overlaps(matches).into_iter().map(|found| DetectedKind { kind: found.kind, detector: found.detector }).collect()
}

/// The matches of the built-in detectors, in no particular order.
fn find_matches(decoded: &DecodedText<'_>, scanner: &Scanner<'_>, depth: usize) -> Vec<Match> {
    let Some(literals) = literals() else { return Vec::new() };
    let text = Text(decoded.text());
    if text.len() < TEXT_BYTES_MIN {
        return Vec::new();
    }
    if depth == 0 {
        scanner.decompression_limit.set(DECOMPRESSED_BYTES + text.len().saturating_mul(DECOMPRESSION_RATIO_MAX));
    }
    let mut matches = Vec::new();
    shapes::match_around_at_signs(text, &mut matches);
    let email_local_parts = email_local_parts(text, &matches);
    let starts = WordStarts::of(text.bytes());
    let mut name_matches = Vec::new();
    let labels = match_literals(literals, text, &starts, scanner, &mut matches, &mut name_matches);
    names::at_phrase_starts(text, &mut name_matches);
    words::match_words(text, &starts, scanner, depth, &email_local_parts, &mut matches, &mut name_matches);
    words::match_ascii85(text, scanner, depth, &mut matches);
    words::match_seed_phrases(text, &starts, &mut matches);
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
    if starts.has_cjk && text.0.chars().any(is_cjk) {
        cjk::names(text, &mut matches);
        cjk::addresses(text, &mut matches);
    }
    if scanner.custom.is_strict() {
        match_random_words(text, &mut matches);
    }
    accept_names(text, name_matches, scanner.custom.is_strict(), &mut matches);
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
fn match_literals(
    literals: &Literals,
    text: Text<'_>,
    starts: &WordStarts,
    scanner: &Scanner<'_>,
    matches: &mut Vec<Match>,
    name_matches: &mut Vec<NameMatch>,
) -> Vec<(Label, LabelRule)> {
    let mut labels = Vec::new();
    // The end of the last value of the formats that occur. A prefix inside that value does not start another one.
    let mut secret_ends: Vec<(usize, usize)> = Vec::new();
    literals.scan_at(text.0, starts, &mut |literal, rule| match rule {
        _ if scanner.is_timed_out() => ScanControl::Stop,
        RuleRef::Secret(index) => {
            let Some(rule) = literals.secrets.get(index) else { return ScanControl::NextRule };
            let place = secret_ends.iter().position(|(format, _)| *format == index);
            let mut last_end = place.and_then(|place| secret_ends.get(place)).map_or(0, |(_, end)| *end);
            if literal.start < last_end {
                return ScanControl::SkipLiteral;
            }
            let mut found = rule.find(text, literal.start, &mut last_end).map(|range| (range, rule.name));
            if found.is_none() {
                let range = joints::find_in_items(text, literal.start, |items| rule.find(items, 0, &mut 0));
                found = range.map(|range| (range, IN_ITEMS));
            }
            if let Some((range, detector)) = &found {
                last_end = range.end;
                matches.push(Match { range: range.clone(), kind: rule.kind, detector });
            }
            match place.and_then(|place| secret_ends.get_mut(place)) {
                Some((_, end)) => *end = last_end,
                None if last_end > 0 => secret_ends.push((index, last_end)),
                None => {}
            }
            ScanControl::skip_if(found.is_some())
        }
        RuleRef::Label(index) => {
            let Some(rule) = literals.labels.get(index).copied() else { return ScanControl::NextRule };
            // A whole word that does not count as a label here contains no shorter label: `api_key` in `create_api_key` excludes `key`.
            let is_whole_word = text.is_word_end(literal.end);
            let label = label_at(text, literal, rule);
            let is_label = label.is_some();
            labels.extend(label.map(|label| (label, rule)));
            ScanControl::skip_if(is_label || is_whole_word)
        }
        RuleRef::Vendor(index) => {
            if let Some(rule) = literals.vendors.get(index) {
                vendors::keys_after(text, &literal, rule, matches);
            }
            ScanControl::NextRule
        }
        RuleRef::HomeDirectory => {
            matches.extend(shapes::user_of_path(text, literal.start, literal.end));
            ScanControl::NextRule
        }
        RuleRef::NameCue(cue) => {
            name_matches.extend(names::after_cue(text, literal, cue));
            ScanControl::NextRule
        }
    });
    // Literals that may stand inside words were visited first.
    labels.sort_by_key(|(label, _)| label.start);
    labels
}

/// Adds every word that looks like a generated secret, whatever stands beside it. Hex ids and UUIDs do not count.
fn match_random_words(text: Text<'_>, matches: &mut Vec<Match>) {
    const WORD_BYTES_MIN: usize = 20;
    let mut at = 0;
    for word in text.0.split(|c: char| c.is_whitespace() || "\"'`<>()[]{},;:|&=".contains(c)) {
        let start = at;
        at += word.len() + text.rest(at + word.len()).chars().next().map_or(0, char::len_utf8);
        let is_hex = word.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        // Names of code have no digits, or one: `ChatCompletionMessage`, `HTTPSConnectionPoolV2`.
        let has_digits = word.bytes().filter(u8::is_ascii_digit).count() > 1;
        if word.len() >= WORD_BYTES_MIN && !is_hex && has_digits && looks_random(word) && !is_placeholder(word) {
            matches.push(Match { range: start..start + word.len(), kind: "generic_secret", detector: "random word" });
        }
    }
}

/// Adds certain names, and candidates with other personal data near them: `Zyrqel Vantroba, +49 30 901820`. If `strict`, adds all candidates of
/// several words.
fn accept_names(text: Text<'_>, name_matches: Vec<NameMatch>, strict: bool, matches: &mut Vec<Match>) {
    const DISTANCE_BYTES_MAX: usize = 160;
    let mut personal_data: Vec<usize> =
        matches.iter().filter(|found| is_personal_data(found.kind)).map(|found| found.range.start).collect();
    personal_data.sort_unstable();
    for name_match in name_matches {
        match name_match {
            NameMatch::Certain(range) => matches.push(Match { range, kind: "person", detector: "name" }),
            NameMatch::Candidate(range) if strict && text.slice(range.clone()).contains(' ') => {
                matches.push(Match { range, kind: "person", detector: "possible name" });
            }
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
