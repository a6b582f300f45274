//! Detects sensitive values in texts: takes a text, and returns the byte range, kind and detector of each value ([`Detection`]).
//!
//! [`scanner`] searches one text in these steps, within an optional deadline:
//!
//! 1. Decode the text ([`decoded_text`]). All detectors work on the decoded text; at the end their matches are mapped back to the original.
//! 2. Find email addresses and URL credentials around each `@` ([`shapes`]). The local parts of the addresses help to recognize names later.
//! 3. Find where words begin ([`word_starts`]); the next two steps look only there.
//! 4. In one pass over the literals of all rules ([`literals`]), find credentials by their format ([`secrets`]) and labels, which identify
//!    the value next to them. The name of a vendor identifies a key that follows it ([`vendors`]).
//! 5. In one pass over the words ([`words`]), find numbers ([`numbers`]), wallets ([`wallets`]), names ([`names`]), addresses
//!    ([`addresses`]) and encoded data ([`encoded`]).
//! 6. Read the values of the labels ([`labels`], [`value_start`], [`values`], [`tables`]).
//! 7. Find names and addresses in Chinese, Japanese and Korean ([`cjk`]).
//! 8. Apply the user's detectors and allowed values ([`custom`]).
//! 9. Drop matches of kinds that the user keeps ([`kinds`]), and those inside the tokens of an earlier redaction ([`tokens`]), so that redacting
//!    twice changes nothing.
//!
//! [`scan_cache`] remembers the detections of texts that were scanned before. [`repeats`] then finds other occurrences of the detected values;
//! callers use it across all texts of a trace. [`remaining_in`] searches redacted texts for the leak check by a second method: instead of step 9
//! it removes all tokens first. Nothing here knows traces or
//! redaction keys.

mod addresses;
mod byte_lists;
mod byte_search;
mod characters;
mod cjk;
mod custom;
mod decoded_text;
mod encoded;
mod escapes;
mod field_names;
mod formats;
mod joints;
mod kinds;
mod labels;
mod lexicon;
mod literals;
mod matches;
mod names;
mod numbers;
mod partial_matches;
mod repeats;
mod scan_cache;
mod scanner;
mod secret_values;
mod secrets;
mod shapes;
mod tables;
mod text;
mod tokens;
mod value_start;
mod values;
mod vendors;
mod wallets;
mod word_starts;
mod words;

pub use self::custom::{CustomDetectors, CustomDetectorsError};
pub(super) use self::field_names::kind_of_value;
pub use self::kinds::{KindOptions, RedactionLevel, UnknownKind};
pub use self::matches::DetectedKind;
pub(super) use self::matches::Detection;
use self::matches::Match;
pub(super) use self::repeats::KnownValues;
pub(super) use self::scan_cache::{ScanCache, TextDigest};
pub(super) use self::scanner::{Scanner, remaining_in};
pub(super) use self::tokens::{LOW_ENTROPY_KINDS, TOKEN_SUFFIX_DIGITS, is_token};

/// How deeply nested encodings are followed.
const ENCODING_DEPTH_MAX: usize = 4;

/// One literal of each entry of the rule tables, and one vendor.
#[cfg(test)]
pub(super) fn sample_literals() -> Vec<String> {
    let labels = labels::table()
        .into_iter()
        .flat_map(|table| table.label)
        .filter_map(|entry| entry.words.values().flatten().next().map(|words| words.trim_end_matches('*').to_owned()));
    let secrets = secrets::entries().into_iter().flatten().filter_map(|entry| entry.prefixes.first().cloned());
    labels.chain(secrets).chain(["datadog".to_owned()]).collect()
}

#[cfg(test)]
fn scan(text: &str, custom: &CustomDetectors) -> Vec<Detection> {
    Scanner::new(custom).scan(text)
}

/// Checks that every example is detected as `kind` in several carriers, and no counterexample.
#[cfg(test)]
fn check(kind: &str, examples: &[&str], counterexamples: &[&str]) {
    for example in examples {
        for text in [(*example).to_owned(), format!("a {example}, b"), format!("{{\"k\": \"x\\n{example}\"}}"), format!("({example})")] {
            let found = scan(&text, &CustomDetectors::default());
            assert!(
                found.iter().any(|detection| detection.kind == kind && detection.value.contains(example)),
                "{kind} not found in {text:?}: {found:?}"
            );
        }
    }
    for text in counterexamples {
        let found = scan(text, &CustomDetectors::default());
        assert!(found.iter().all(|detection| detection.kind != kind), "{kind} wrongly found in {text:?}: {found:?}");
    }
}

#[cfg(test)]
mod tests;
