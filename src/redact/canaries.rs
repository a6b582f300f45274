//! Canaries: known values that are planted in every trace of a run to measure redaction, and removed before analysis.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Attribute, Trace};

/// The attribute that contains the canaries.
const ATTRIBUTE: &str = "failsift.canaries";

/// Counts of planted and detected canaries.
#[derive(Debug, Default)]
pub struct CanaryCounts {
    planted: AtomicU64,
    found: AtomicU64,
}

impl CanaryCounts {
    /// Number of planted canaries.
    pub fn planted(&self) -> u64 {
        self.planted.load(Ordering::Relaxed)
    }

    /// Number of canaries that redaction replaced.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}

/// Fictitious values, each in two parts, and a text to plant it in. Credentials are split so that secret scanners do not report this file.
const CANARIES: [(&str, &str, &str); 14] = [
    ("canary.person@mail.example", "", "customer e-mail is {}"),
    ("+49 30 90182", "0457", "please call {} tomorrow"),
    ("4111 1111 ", "1111 1111", "the card {} was declined"),
    ("DE89 3704 0044 ", "0532 0130 00", "refund to {}"),
    ("078-05-", "1120", "{\"ssn\": \"{}\"}"),
    ("203.0.113.", "77", "login from {}"),
    ("3c:22:fb:", "9a:10:4e", "device {}"),
    ("Marguerite Oyelaran", "", "my name is {} and I wait"),
    ("48 Willowbrook Lane, Springfield, IL 62704", "", "ship it to {}."),
    ("1984-02-29", "", "date of birth: {}"),
    ("ghp_", "3JD61rztPeHmI1g6pD96mjTwnxv9aLqmlCEV", "GITHUB_TOKEN={}"),
    ("sk-proj-38AibNyyurlGFb0EkjKWREhbiGjlvhkTp3SK", "QOo6Cd6rvau5T3BlbkFJkHvRwMzz", "Incorrect API key provided: {}."),
    ("Wq7!x6SW", "oUnvNPs", "\\\"password\\\": \\\"{}\\\""),
    ("walnut", "Harbor675", "https://deploy:{}@git.mail.example/tools.git"),
];

/// Adds the canaries to the first span of a trace, and returns the index of their attribute.
pub(super) fn plant(trace: &mut Trace) -> Option<usize> {
    let texts: Vec<String> = CANARIES.iter().map(|(first, second, carrier)| carrier.replace("{}", &format!("{first}{second}"))).collect();
    let span = trace.spans.first_mut()?;
    span.attributes.push(Attribute { key: ATTRIBUTE.to_owned(), value: texts.join("\n") });
    Some(span.attributes.len() - 1)
}

/// Removes the canaries from the redacted trace and counts those that redaction replaced.
pub(super) fn remove(trace: &mut Trace, index: usize, counts: &CanaryCounts) {
    let Some(span) = trace.spans.first_mut().filter(|span| index < span.attributes.len()) else { return };
    let text = span.attributes.remove(index).value;
    let found = CANARIES.iter().filter(|(first, second, _)| !text.contains(&format!("{first}{second}"))).count();
    counts.planted.fetch_add(CANARIES.len() as u64, Ordering::Relaxed);
    counts.found.fetch_add(found as u64, Ordering::Relaxed);
}
