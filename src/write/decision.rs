//! Decides which staged patterns a commit adds: all but those for which the table has a pattern of the same trace with more spans, from another
//! object.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, Float64Array};
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::StreamExt;

use super::error::{WriteError, table_error};
use super::incoming::{Incoming, IncomingKeys};
use super::keys::{project, text_column};
use super::labels::LabelCount;
use super::staging::{RunFolder, StagedFile};
use super::upsert::{ScanCache, Superseded, keys_kept_fuller};
use crate::model::key_hash;
use crate::store::Object;
use crate::tables::{Table, TableName};

/// The keys of the staged patterns, and the scans of data files that were needed to decide which of them are committed.
#[derive(Debug, Default)]
pub(super) struct Decision {
    pub(super) keys: IncomingKeys,
    pub(super) cache: ScanCache,
}

/// Staged patterns that are not committed, because the table has one with more spans, from another object.
#[derive(Debug, Default)]
pub(super) struct KeptFuller {
    pub(super) count: u64,
    keys: HashSet<u128>,
    /// How many by label, and the sum of their confidences.
    labels: BTreeMap<String, (u64, f64)>,
    /// By label, title and trace id of a pattern that is committed.
    examples: HashMap<String, (String, String)>,
}

/// Decides which of the staged patterns are committed, and marks the other rows in `files`.
///
/// The summary of the run is correct as of this moment. If another writer commits a pattern with more spans between it and the commit, that pattern
/// stays, as if this run had committed before that writer.
pub(super) async fn decide(
    patterns: &mut Table,
    folder: &RunFolder,
    files: &mut [StagedFile],
    location: &str,
) -> Result<(Decision, KeptFuller), WriteError> {
    let failed = |error: DeltaTableError| table_error(TableName::Patterns, location, &error);
    let incoming = open_incoming(folder, files, location).await?;
    let mut keys = IncomingKeys::read(patterns, &incoming).await.map_err(failed)?;
    patterns.delta.update_state().await.map_err(failed)?;
    let superseded = Superseded { keys: std::mem::take(&mut keys.committed), ..Superseded::default() };
    let mut cache = ScanCache::new();
    let kept_fuller = keys_kept_fuller(patterns, &superseded, &mut cache).await.map_err(failed)?;
    keys.committed = superseded.keys;
    let mut kept = KeptFuller::default();
    if !kept_fuller.is_empty() {
        keys.exclude_kept_fuller(&kept_fuller, patterns.buckets());
        // The fuller rows were found for incoming rows that are no longer part of the commit.
        cache.values_mut().for_each(Vec::clear);
        kept.keys = kept_fuller;
        let objects: Vec<Arc<Object>> = incoming.files().iter().map(|(_, object)| Arc::clone(object)).collect();
        for (file, object) in files.iter_mut().zip(objects) {
            file.kept_fuller_rows = kept.count_file(file, &object).await.map_err(failed)?;
        }
    }
    Ok((Decision { keys, cache }, kept))
}

/// The staged files of one table, for reading.
///
/// # Errors
/// [`WriteError::RecoveredByOther`] if one of them is gone.
pub(super) async fn open_incoming<'a>(folder: &RunFolder, files: &'a [StagedFile], location: &str) -> Result<Incoming<'a>, WriteError> {
    let found = folder.objects(files).await?;
    Ok(Incoming::new(found.ok_or_else(|| WriteError::RecoveredByOther { location: location.to_owned() })?))
}

impl KeptFuller {
    /// Subtracts them from what is counted as stored.
    pub(super) fn subtract_from(&self, labels: &mut BTreeMap<String, LabelCount>) {
        for (label, (count, confidence_sum)) in &self.labels {
            let Some(stored) = labels.get_mut(label) else { continue };
            stored.count = stored.count.saturating_sub(*count);
            stored.confidence_sum -= confidence_sum;
            if self.keys.contains(&key_hash(&stored.trace_id))
                && let Some((title, trace_id)) = self.examples.get(label)
            {
                (stored.title, stored.trace_id) = (title.clone(), trace_id.clone());
            }
        }
        labels.retain(|_, stored| stored.count > 0);
    }

    /// Counts those of one staged file. Returns the numbers of their rows.
    async fn count_file(&mut self, file: &StagedFile, object: &Arc<Object>) -> DeltaResult<Vec<usize>> {
        const COLUMNS: [&str; 5] = ["trace_id", "category", "contributing_factor", "title", "confidence"];
        let mut unused = file.unused_rows.iter().copied().peekable();
        let (mut found, mut row) = (Vec::new(), 0);
        let mut batches = project(object, &COLUMNS).await?;
        while let Some(batch) = batches.next().await {
            let batch = batch?;
            let (ids, titles) = (text_column(&batch, "trace_id")?, text_column(&batch, "title")?);
            let (categories, factors) = (text_column(&batch, "category")?, text_column(&batch, "contributing_factor")?);
            let confidences = batch.column_by_name("confidence").and_then(|column| column.as_any().downcast_ref::<Float64Array>());
            for index in 0..batch.num_rows() {
                let number = row;
                row += 1;
                if unused.next_if_eq(&number).is_some() {
                    continue;
                }
                let label = format!("{}/{}", categories.value(index), factors.value(index));
                if self.keys.contains(&key_hash(ids.value(index))) {
                    let counted = self.labels.entry(label).or_default();
                    counted.0 += 1;
                    counted.1 += confidences.map_or(0.0, |column| column.value(index));
                    self.count += 1;
                    found.push(number);
                } else {
                    self.examples.entry(label).or_insert_with(|| (titles.value(index).to_owned(), ids.value(index).to_owned()));
                }
            }
        }
        Ok(found)
    }
}
