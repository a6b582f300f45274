//! Detects sensitive values in one text.
//!
//! The text is first decoded ([`decoded_text`]). One pass over the literals of all rules ([`literals`]) finds credentials by their format
//! ([`secrets`]) and labels that identify the value next to them ([`labels`], [`values`], [`tables`]). One pass over the words ([`words`])
//! finds numbers ([`numbers`]), names ([`names`]), addresses ([`addresses`]) and encoded data ([`encoded`]). Names and addresses in scripts
//! without spaces are found separately ([`cjk`]). Detected values are then searched for everywhere else ([`repeats`]).
//!
//! All of this works on the decoded text; [`scanner`] runs it and maps the matches to bytes of the original. Knows nothing of traces or keys.

mod addresses;
mod cjk;
mod custom;
mod decoded_text;
mod encoded;
mod labels;
mod lexicon;
mod literals;
mod matches;
mod names;
mod numbers;
mod partial_matches;
mod repeats;
mod scanner;
mod secrets;
mod shapes;
mod tables;
mod text;
mod tokens;
mod values;
mod words;

pub use self::custom::{CustomDetectors, CustomDetectorsError};
pub(super) use self::matches::Detection;
use self::matches::Match;
pub(super) use self::repeats::KnownValues;
pub(super) use self::scanner::{Scanner, kinds_remaining_in};
pub(super) use self::tokens::{LOW_ENTROPY_KINDS, TOKEN_SUFFIX_DIGITS};

/// How deeply nested encodings are followed.
const ENCODING_DEPTH_MAX: usize = 4;

/// One literal of each entry of the rule tables.
#[cfg(test)]
pub(super) fn sample_literals() -> Vec<String> {
    let labels = labels::table().into_iter().flat_map(|table| table.label).filter_map(|entry| entry.words.first().cloned());
    let secrets = secrets::table().into_iter().flat_map(|table| table.secret).filter_map(|entry| entry.prefixes.first().cloned());
    labels.chain(secrets).collect()
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
