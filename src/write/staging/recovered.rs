//! Finished work of interrupted runs of the same job, which this run reuses.
//!
//! Their staged rows are indexed by trace. The run claims the row of a trace, and commits it with its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{Array, Float64Array, RecordBatch};
use deltalake_core::DeltaResult;
use futures::TryStreamExt;

use super::folder::{StagedFile, StagingError};
use crate::model::{UnusableAnswer, key_hash};
use crate::store::Object;
use crate::write::keys::{project, text_column};
use crate::write::labels::LabelCount;
use crate::write::stored::UnusableAnswers;

/// Columns that are read of recovered rows.
const COLUMNS: [&str; 6] = ["trace_id", "content_digest", "category", "contributing_factor", "title", "confidence"];

/// Only this many rows of each label keep their title: one of them becomes the example of the label.
const TITLES_KEPT: u64 = 16;

/// Recovered patterns, by trace.
#[derive(Debug, Default)]
pub(in crate::write) struct RecoveredWork {
    rows: HashMap<u128, RecoveredRow>,
    pub(super) files: Vec<RecoveredFile>,
    /// Answers that the interrupted runs paid for and could not use. Each is staged again when its trace is read.
    pub(super) unusable_answers: UnusableAnswers,
    /// The labels of all rows, with the number of rows of each.
    labels: Vec<(String, u64)>,
    claimed: Mutex<BTreeMap<String, LabelCount>>,
}

/// One recovered pattern. Small, because there may be as many as the interrupted run had traces.
#[derive(Debug)]
struct RecoveredRow {
    content_digest: u128,
    confidence: f64,
    /// Index of the label.
    label: usize,
    /// Index of the file.
    file: usize,
    /// Number of the row within the file.
    row: usize,
    title: Option<Box<str>>,
}

/// A file that was moved from the folder of an interrupted run.
#[derive(Debug)]
pub(super) struct RecoveredFile {
    pub(super) name: String,
    /// For each row whether its trace was read again with the same content.
    claimed: Vec<AtomicBool>,
}

impl RecoveredFile {
    pub(super) fn is_fully_claimed(&self) -> bool {
        self.claimed.iter().all(|claimed| claimed.load(Ordering::Relaxed))
    }

    /// The file with its claimed rows; `None` if there are none.
    pub(super) fn staged(&self) -> Option<StagedFile> {
        let unused = |(row, claimed): (usize, &AtomicBool)| (!claimed.load(Ordering::Relaxed)).then_some(row);
        let unused_rows: Vec<usize> = self.claimed.iter().enumerate().filter_map(unused).collect();
        (unused_rows.len() < self.claimed.len()).then(|| StagedFile { unused_rows, ..StagedFile::whole(self.name.clone()) })
    }
}

impl RecoveredWork {
    /// Whether nothing was recovered.
    pub(in crate::write) fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unusable_answers.is_empty()
    }

    /// What was wrong with the answer that an interrupted run paid for a trace with this content.
    pub(in crate::write) fn unusable_answer(&self, trace_id: &str, content_digest: &str) -> Option<UnusableAnswer> {
        self.unusable_answers.get(trace_id, content_digest)
    }

    /// Whether there is a pattern of the trace with this content. It is then committed with this run.
    pub(in crate::write) fn claim(&self, trace_id: &str, content_digest: &str) -> bool {
        let Some(found) = self.rows.get(&key_hash(trace_id)).filter(|row| row.content_digest == key_hash(content_digest)) else {
            return false;
        };
        let Some(claimed) = self.files.get(found.file).and_then(|file| file.claimed.get(found.row)) else { return false };
        if !claimed.swap(true, Ordering::Relaxed) {
            let label = self.labels.get(found.label).map_or("", |(label, _)| label);
            let mut counts = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
            LabelCount::add(&mut counts, label, found.confidence, found.title.as_deref().unwrap_or_default(), trace_id);
        }
        true
    }

    /// How many patterns were claimed, by label.
    pub(in crate::write) fn claimed(&self) -> BTreeMap<String, LabelCount> {
        self.claimed.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts a row of a label. Returns the index of the label, and how many rows of it there are now.
    fn count_label(&mut self, label: &str) -> (usize, u64) {
        if let Some((index, (_, count))) = self.labels.iter_mut().enumerate().find(|(_, (known, _))| known == label) {
            *count += 1;
            return (index, *count);
        }
        self.labels.push((label.to_owned(), 1));
        (self.labels.len() - 1, 1)
    }

    /// Adds the rows of a file, which were read with [`read_rows`].
    pub(super) fn add(&mut self, name: String, batches: &[RecordBatch]) -> Result<(), StagingError> {
        let (file, mut row) = (self.files.len(), 0);
        for batch in batches {
            let texts = |column| text_column(batch, column).map_err(|error| StagingError::new(format!("cannot read {name}"), &error));
            let (ids, digests) = (texts("trace_id")?, texts("content_digest")?);
            let (categories, factors, titles) = (texts("category")?, texts("contributing_factor")?, texts("title")?);
            let confidences = batch.column_by_name("confidence").and_then(|column| column.as_any().downcast_ref::<Float64Array>());
            for index in 0..batch.num_rows() {
                let (label, count) = self.count_label(&format!("{}/{}", categories.value(index), factors.value(index)));
                let recovered = RecoveredRow {
                    content_digest: key_hash(digests.value(index)),
                    confidence: confidences.map_or(0.0, |column| column.value(index)),
                    label,
                    file,
                    row,
                    title: (count <= TITLES_KEPT).then(|| titles.value(index).into()),
                };
                self.rows.insert(key_hash(ids.value(index)), recovered);
                row += 1;
            }
        }
        self.files.push(RecoveredFile { name, claimed: (0..row).map(|_| AtomicBool::new(false)).collect() });
        Ok(())
    }
}

/// Reads what is needed to recognize and count the rows of a recovered file.
pub(super) async fn read_rows(object: &Arc<Object>) -> DeltaResult<Vec<RecordBatch>> {
    Ok(project(object, &COLUMNS).await?.try_collect().await?)
}
