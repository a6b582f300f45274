//! Known values that are planted into every trace of a run to measure what its redactor finds, and taken out again before anything is
//! analysed.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::model::{Attribute, Trace};

/// The attribute in which canaries stand.
const ATTRIBUTE: &str = "failsift.canaries";

/// How many canaries were planted and how many were found.
#[derive(Debug, Default)]
pub struct CanaryCounts {
    planted: AtomicU64,
    found: AtomicU64,
}

impl CanaryCounts {
    /// How many were planted.
    pub fn planted(&self) -> u64 {
        self.planted.load(Ordering::Relaxed)
    }

    /// How many of these were taken out by redaction.
    pub fn found(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }
}

/// A value, and a text around it as traces have. Every value is made up. The values of credentials are in two parts, so that no secret
/// scanner takes this file for a leak.
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

/// Adds the canaries to the first span of a trace; the place of the attribute comes back.
pub(super) fn plant(trace: &mut Trace) -> Option<usize> {
    let texts: Vec<String> = CANARIES.iter().map(|(first, second, carrier)| carrier.replace("{}", &format!("{first}{second}"))).collect();
    let span = trace.spans.first_mut()?;
    span.attributes.push(Attribute { key: ATTRIBUTE.to_owned(), value: texts.join("\n") });
    Some(span.attributes.len() - 1)
}

/// Takes the canaries out of the redacted trace and counts those that redaction found.
pub(super) fn take_out(trace: &mut Trace, index: usize, counts: &CanaryCounts) {
    let Some(span) = trace.spans.first_mut().filter(|span| index < span.attributes.len()) else { return };
    let text = span.attributes.remove(index).value;
    let found = CANARIES.iter().filter(|(first, second, _)| !text.contains(&format!("{first}{second}"))).count();
    counts.planted.fetch_add(CANARIES.len() as u64, Ordering::Relaxed);
    counts.found.fetch_add(found as u64, Ordering::Relaxed);
}
