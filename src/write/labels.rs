//! How many patterns of each label a run stored.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::model::LabelTraces;

/// How often one label was stored, with an example.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelCount {
    /// Patterns with this label.
    pub(super) count: u64,
    /// Sum of their confidences.
    pub(super) confidence_sum: f64,
    /// Title of the example, the first of them.
    pub(super) title: String,
    /// Trace id of the example.
    pub(super) trace_id: String,
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

/// The labels as the summary of a run lists them, the most frequent first.
#[expect(clippy::cast_precision_loss, reason = "a mean over traces")]
pub(super) fn labels_of(counts: &BTreeMap<String, LabelCount>) -> Vec<LabelTraces> {
    let label = |(label, count): (&String, &LabelCount)| {
        let (category, factor) = label.split_once('/').unwrap_or((label, ""));
        LabelTraces {
            category: category.to_owned(),
            contributing_factor: factor.to_owned(),
            traces: count.count,
            confidence: count.confidence_sum / count.count.max(1) as f64,
            title: count.title.clone(),
            example_trace_id: count.trace_id.clone(),
        }
    };
    let mut labels: Vec<LabelTraces> = counts.iter().map(label).collect();
    // Stable: labels that are equally frequent stay in alphabetical order.
    labels.sort_by_key(|label| Reverse(label.traces));
    labels
}
