//! Counts of parsed records, and the parts of a parsed chunk that the gather stage needs.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{AnnotationTarget, Inspection, ParsedChunk, RecordCounts, SpanFragment};
use crate::limits::SUMMARY_SKIPPED_OBJECTS_MAX;
use crate::model::{Annotation, Rejection};

/// What was parsed so far, shared with the run summary.
#[derive(Debug, Default)]
pub struct ParseCounts {
    /// Span fragments, duplicates included.
    pub spans: AtomicU64,
    /// Spans with a part that is recorded in a form that failsift does not understand.
    pub spans_not_understood: AtomicU64,
    /// The contents of each object, if they were requested.
    pub inspection: Option<Inspection>,
    /// Records that the read stage delivered.
    records_in: AtomicU64,
    records: Mutex<RecordCounts>,
    skipped: Mutex<BTreeSet<String>>,
    expected: Mutex<BTreeSet<String>>,
}

impl ParseCounts {
    /// Counts that also collect the contents of each object.
    pub fn inspecting() -> Self {
        Self { inspection: Some(Inspection::default()), ..Self::default() }
    }

    /// Objects without traces, sorted; the first [`SUMMARY_SKIPPED_OBJECTS_MAX`] that were found.
    pub fn skipped_objects(&self) -> Vec<String> {
        self.skipped.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Objects that a manifest names, sorted; the first [`SUMMARY_SKIPPED_OBJECTS_MAX`] that were found.
    pub fn expected_objects(&self) -> Vec<String> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// The outcomes of records.
    pub fn records(&self) -> RecordCounts {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Records that were delivered and have no outcome. Anything but 0 is a bug.
    pub fn records_lost(&self) -> u64 {
        self.records_in.load(Ordering::Relaxed).abs_diff(self.records().accounted_for())
    }

    pub(super) fn add_records_in(&self, records: u64) {
        self.records_in.fetch_add(records, Ordering::Relaxed);
    }

    pub(super) fn add(&self, parsed: &ParsedChunk) {
        if let Some(inspection) = &self.inspection {
            inspection.add(parsed);
        }
        self.spans.fetch_add(parsed.fragments.len() as u64, Ordering::Relaxed);
        let not_understood = parsed.fragments.iter().filter(|fragment| fragment.span.is_not_understood()).count();
        self.spans_not_understood.fetch_add(not_understood as u64, Ordering::Relaxed);
        self.records.lock().unwrap_or_else(PoisonError::into_inner).merge(&parsed.records);
        // An object may have annotations beside its spans, and nothing that is skipped.
        let has_skips = parsed.records.spans == 0 || !parsed.records.skips.is_empty();
        let skipped = if has_skips { parsed.skipped.as_slice() } else { &[] };
        for (list, objects) in [(&self.skipped, skipped), (&self.expected, parsed.expected.as_slice())] {
            let mut list = list.lock().unwrap_or_else(PoisonError::into_inner);
            let room = SUMMARY_SKIPPED_OBJECTS_MAX.saturating_sub(list.len());
            list.extend(objects.iter().take(room).cloned());
        }
    }
}

impl ParsedChunk {
    /// What the gather stage needs: span fragments, annotations that are exported apart from their span, and rejections.
    pub fn into_parts(self) -> (Vec<SpanFragment>, Vec<(AnnotationTarget, Annotation)>, Vec<Rejection>) {
        (self.fragments, self.annotations, self.rejections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::Skip;

    #[test]
    fn an_object_with_spans_is_listed_only_if_it_has_skipped_records() {
        let counts = ParseCounts::default();
        let mut chunk = ParsedChunk { skipped: vec!["t.jsonl".into()], ..ParsedChunk::default() };
        chunk.records.spans = 1;
        counts.add(&chunk);
        assert!(counts.skipped_objects().is_empty());
        chunk.records.spans = 0;
        counts.add(&chunk);
        assert_eq!(counts.skipped_objects(), ["t.jsonl"]);
        chunk.records.spans = 1;
        chunk.records.skips.insert(Skip::OtherSignal, 1);
        let counts = ParseCounts::default();
        counts.add(&chunk);
        assert_eq!(counts.skipped_objects(), ["t.jsonl"]);
    }
}
