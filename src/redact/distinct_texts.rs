//! The distinct texts of one trace, so that each is scanned and redacted once.

use std::collections::HashMap;

use super::detect::{Detection, TextDigest};

/// Deduplicates the texts of a trace. Every model call of a conversation repeats the messages before it, so most texts are duplicates.
#[derive(Default)]
pub(super) struct DistinctTexts {
    /// The index of each distinct text.
    indexes: HashMap<TextDigest, usize>,
    texts: Vec<String>,
    /// The detections in each distinct text.
    detections: Vec<Vec<Detection>>,
    /// The index of every text of the trace, in the order in which the texts were added.
    order: Vec<usize>,
}

impl DistinctTexts {
    /// Adds the next text of the trace, and scans it with `scan` if it is new. `digest` identifies it with everything that its detections depend
    /// on.
    pub(super) fn add(&mut self, digest: TextDigest, text: &str, scan: impl FnOnce() -> Vec<Detection>) {
        let next = self.texts.len();
        let index = *self.indexes.entry(digest).or_insert(next);
        if index == next {
            self.texts.push(text.to_owned());
            self.detections.push(scan());
        }
        self.order.push(index);
    }

    /// The detections in all texts.
    pub(super) fn detections(&self) -> impl Iterator<Item = &Detection> {
        self.detections.iter().flatten()
    }

    /// Redacts each distinct text with `redact`, which returns `None` for unchanged texts. Returns the result for every text of the trace, in
    /// the order in which the texts were added.
    pub(super) fn redact(self, redact: impl Fn(&str, Vec<Detection>) -> Option<String>) -> RedactedTexts {
        let Self { texts, detections, order, .. } = self;
        let distinct = texts.iter().zip(detections).map(|(text, detections)| redact(text, detections)).collect();
        RedactedTexts { distinct, order: order.into_iter() }
    }
}

/// The redacted texts of a trace, in order.
pub(super) struct RedactedTexts {
    distinct: Vec<Option<String>>,
    order: std::vec::IntoIter<usize>,
}

impl RedactedTexts {
    /// The next text, or `None` if redaction did not change it. Called once for each text, in the order in which they were added.
    pub(super) fn next_change(&mut self) -> Option<&String> {
        self.order.next().and_then(|index| self.distinct.get(index).and_then(Option::as_ref))
    }
}
