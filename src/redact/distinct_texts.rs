//! The distinct texts of one trace, so that each is scanned and redacted once.

use std::collections::HashMap;

use super::detect::Detection;
use crate::model::TextKind;

/// Deduplicates the texts of a trace. Every model call of a conversation repeats the messages before it, so most texts are duplicates.
#[derive(Default)]
pub(super) struct DistinctTexts {
    /// The index of each distinct text.
    indexes: HashMap<TextKey, usize>,
    /// The detections in each distinct text.
    detections: Vec<Vec<Detection>>,
    /// The index of every text of the trace, in the order in which the texts were added.
    order: Vec<usize>,
}

/// A text with everything that its detections depend on.
#[derive(Debug, PartialEq, Eq, Hash)]
struct TextKey {
    is_attribute_name: bool,
    /// For the value of an attribute: its name.
    attribute_name: Option<String>,
    text: String,
}

impl DistinctTexts {
    /// Adds the next text of the trace, and scans it with `scan` if it is new.
    pub(super) fn add(&mut self, kind: TextKind<'_>, text: &str, scan: impl FnOnce(TextKind<'_>, &str) -> Vec<Detection>) {
        let next = self.detections.len();
        let attribute_name = if let TextKind::ValueOf(name) = kind { Some(name.to_owned()) } else { None };
        let key = TextKey { is_attribute_name: kind == TextKind::AttributeName, attribute_name, text: text.to_owned() };
        let index = *self.indexes.entry(key).or_insert(next);
        if index == next {
            self.detections.push(scan(kind, text));
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
        let Self { indexes, mut detections, order } = self;
        let mut distinct = vec![None; detections.len()];
        for (TextKey { text, .. }, index) in &indexes {
            if let (Some(detections), Some(redacted)) = (detections.get_mut(*index), distinct.get_mut(*index)) {
                *redacted = redact(text, std::mem::take(detections));
            }
        }
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
