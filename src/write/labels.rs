//! How many patterns of each label a run stored.

use std::collections::BTreeMap;

/// How often one label was stored, with an example.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelCount {
    /// Patterns with this label.
    pub count: u64,
    /// Sum of their confidences.
    pub confidence_sum: f64,
    /// Title of the example, the first of them.
    pub title: String,
    /// Trace id of the example.
    pub trace_id: String,
}

impl LabelCount {
    /// Counts one pattern; the first of a label becomes its example.
    pub(super) fn add(labels: &mut BTreeMap<String, Self>, label: &str, confidence: f64, title: &str, trace_id: &str) {
        let entry = labels.entry(label.to_owned()).or_insert_with(|| Self {
            count: 0,
            confidence_sum: 0.0,
            title: title.to_owned(),
            trace_id: trace_id.to_owned(),
        });
        entry.count += 1;
        entry.confidence_sum += confidence;
    }
}
