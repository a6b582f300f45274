//! Canaries: known values that are planted in every trace of a run to measure redaction, and removed before analysis.

use std::sync::atomic::{AtomicU64, Ordering};

use super::CustomDetectors;
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

/// Kinds of fictitious values, the values in two parts, and a text to plant each in. Credentials are split so that secret scanners do not report this file.
const CANARIES: [(&str, &str, &str, &str); 14] = [
    ("email", "canary.person@mail.example", "", "customer e-mail is {}"),
    ("phone", "+49 30 90182", "0457", "please call {} tomorrow"),
    ("credit_card", "4111 1111 ", "1111 1111", "the card {} was declined"),
    ("iban", "DE89 3704 0044 ", "0532 0130 00", "refund to {}"),
    ("ssn", "078-05-", "1120", "{\"ssn\": \"{}\"}"),
    ("ip", "203.0.113.", "77", "login from {}"),
    ("mac", "3c:22:fb:", "9a:10:4e", "device {}"),
    ("person", "Marguerite Oyelaran", "", "my name is {} and I wait"),
    ("address", "48 Willowbrook Lane, Springfield, IL 62704", "", "ship it to {}."),
    ("date_of_birth", "1984-02-29", "", "date of birth: {}"),
    ("github_token", "ghp_", "3JD61rztPeHmI1g6pD96mjTwnxv9aLqmlCEV", "GITHUB_TOKEN={}"),
    ("openai_key", "sk-proj-38AibNyyurlGFb0EkjKWREhbiGjlvhkTp3SK", "QOo6Cd6rvau5T3BlbkFJkHvRwMzz", "Incorrect API key provided: {}."),
    ("password", "Wq7!x6SW", "oUnvNPs", "\\\"password\\\": \\\"{}\\\""),
    ("url_credentials", "walnut", "Harbor675", "https://deploy:{}@git.mail.example/tools.git"),
];

/// Adds the canaries of the kinds that `detectors` replace to the first span of a trace, and returns the index of their attribute.
pub(super) fn plant(trace: &mut Trace, detectors: &CustomDetectors) -> Option<usize> {
    let planted = CANARIES.iter().filter(|(kind, ..)| detectors.replaces(kind));
    let texts: Vec<String> = planted.map(|(_, first, second, carrier)| carrier.replace("{}", &format!("{first}{second}"))).collect();
    let span = trace.spans.first_mut()?;
    span.attributes.push(Attribute { key: ATTRIBUTE.to_owned(), value: texts.join("\n") });
    Some(span.attributes.len() - 1)
}

/// Removes the canaries from the redacted trace and counts those that redaction replaced.
pub(super) fn remove(trace: &mut Trace, index: usize, detectors: &CustomDetectors, counts: &CanaryCounts) {
    let Some(span) = trace.spans.first_mut().filter(|span| index < span.attributes.len()) else { return };
    let text = span.attributes.remove(index).value;
    let planted: Vec<String> =
        CANARIES.iter().filter(|(kind, ..)| detectors.replaces(kind)).map(|(_, first, second, _)| format!("{first}{second}")).collect();
    let found = planted.iter().filter(|value| !text.contains(value.as_str())).count();
    counts.planted.fetch_add(planted.len() as u64, Ordering::Relaxed);
    counts.found.fetch_add(found as u64, Ordering::Relaxed);
}
