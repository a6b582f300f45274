//! The staged rows that one commit adds to a table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deltalake_core::DeltaResult;
use deltalake_core::kernel::Add;
use futures::StreamExt;
use parquet::arrow::ParquetRecordBatchStreamBuilder;

use super::fingerprints::merged_with_stored;
use super::keys::{Coverage, for_each_key};
use super::staging::StagedFile;
use super::table_files::Bucket;
use super::table_writer::{Destination, RowSelection, TableWriter, conform};
use super::versions::CommittedVersions;
use crate::limits::STORE_REQUESTS_IN_FLIGHT_MAX;
use crate::model::key_hash;
use crate::store::{Object, ObjectReader};
use crate::tables::{Table, TableName, bucket_of, bucket_of_hash};

/// Staged files whose rows a commit adds to a table.
pub(super) struct Incoming<'a> {
    files: Vec<(&'a StagedFile, Arc<Object>)>,
    /// For rows of `runs`: what the commit made of the other tables.
    versions: CommittedVersions,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(files: Vec<(&'a StagedFile, Arc<Object>)>) -> Self {
        Self { files, versions: CommittedVersions::default() }
    }

    /// Rows of `runs` get these versions of the other tables.
    pub(super) fn with_versions(self, versions: CommittedVersions) -> Self {
        Self { versions, ..self }
    }

    /// The staged files.
    pub(super) fn files(&self) -> &[(&'a StagedFile, Arc<Object>)] {
        &self.files
    }

    /// Whether what is written depends on the version of the table.
    pub(super) fn is_merged(table: TableName) -> bool {
        table == TableName::Fingerprints
    }

    /// Writes data files with the rows, without those whose keys are in `kept_fuller`. No table version references them yet. Rows of `fingerprints`
    /// are merged with those of the loaded version, and rows of `runs` get the versions of the other tables.
    pub(super) async fn write(&self, table: &Table, kept_fuller: &HashSet<u128>) -> DeltaResult<Vec<Add>> {
        let mut writer = TableWriter::new(table);
        if Self::is_merged(table.name) {
            for (bucket, rows) in merged_with_stored(table, self.files.iter().map(|(_, object)| object)).await? {
                writer.write(bucket, &rows).await?;
            }
            return writer.finish().await;
        }
        if table.name == TableName::Runs {
            for (_, object) in &self.files {
                let mut rows = ParquetRecordBatchStreamBuilder::new(ObjectReader::new(Arc::clone(object))).await?.build()?;
                while let Some(batch) = rows.next().await {
                    writer.write(None, &self.versions.filled_into(&conform(&batch?, &table.data_schema())?)?).await?;
                }
            }
            return writer.finish().await;
        }
        for (file, object) in &self.files {
            let mut kept = file.kept_rows(object).await?;
            if !kept_fuller.is_empty() {
                kept = Some(without_keys(table.name, object, kept, kept_fuller).await?);
            }
            let selection = kept.map_or(RowSelection::All, RowSelection::Kept);
            writer.copy_rows(object, &selection, Destination::BucketColumn).await?;
        }
        writer.finish().await
    }
}

/// Of the kept rows, those whose keys are not in `kept_fuller`.
async fn without_keys(
    name: TableName,
    object: &Arc<Object>,
    kept: Option<Vec<bool>>,
    kept_fuller: &HashSet<u128>,
) -> DeltaResult<Vec<bool>> {
    let mut stays = Vec::new();
    for_each_key(name, object, |row| {
        let kept = kept.as_ref().is_none_or(|kept| kept.get(stays.len()).copied().unwrap_or(false));
        stays.push(kept && !kept_fuller.contains(&key_hash(row.reference)));
    })
    .await?;
    Ok(stays)
}

/// The keys of staged rows.
#[derive(Debug, Default)]
pub(super) struct IncomingKeys {
    /// Of rows that are committed, with their coverages.
    pub(super) committed: HashMap<u128, Coverage>,
    /// Of rows that are not, because the table has rows with more spans, from another object.
    pub(super) kept_fuller: Vec<u128>,
    /// How many rows are committed, by bucket.
    pub(super) rows: BTreeMap<Bucket, u64>,
}

impl IncomingKeys {
    /// Reads the keys of all staged files.
    pub(super) async fn read(table: &Table, incoming: &Incoming<'_>) -> DeltaResult<Self> {
        let mut all = Self::default();
        if table.name == TableName::Runs {
            all.rows.insert(None, incoming.files.len() as u64);
            return Ok(all);
        }
        let buckets = table.buckets();
        let read = futures::stream::iter(&incoming.files).map(|(file, object)| keys_of_file(table.name, buckets, file, object));
        let mut read = std::pin::pin!(read.buffer_unordered(STORE_REQUESTS_IN_FLIGHT_MAX));
        while let Some(of_file) = read.next().await {
            let of_file = of_file?;
            all.committed.extend(of_file.committed);
            all.kept_fuller.extend(of_file.kept_fuller);
            for (bucket, rows) in of_file.rows {
                *all.rows.entry(bucket).or_default() += rows;
            }
        }
        Ok(all)
    }

    /// Marks rows as not committed, because the table has rows with more spans, from another object.
    pub(super) fn exclude_kept_fuller(&mut self, kept_fuller: &HashSet<u128>, buckets: i32) {
        for key in kept_fuller {
            self.committed.remove(key);
            if let Some(rows) = self.rows.get_mut(&Some(bucket_of_hash(*key, buckets))) {
                *rows = rows.saturating_sub(1);
            }
        }
        self.rows.retain(|_, rows| *rows > 0);
        self.kept_fuller = kept_fuller.iter().copied().collect();
    }
}

async fn keys_of_file(name: TableName, buckets: i32, file: &StagedFile, object: &Arc<Object>) -> DeltaResult<IncomingKeys> {
    let mut keys = IncomingKeys::default();
    let (mut unused, mut kept_fuller) = (file.unused_rows.iter().copied().peekable(), file.kept_fuller_rows.iter().copied().peekable());
    let mut row = 0;
    for_each_key(name, object, |found| {
        let key = key_hash(found.reference);
        if unused.next_if_eq(&row).is_some() {
        } else if kept_fuller.next_if_eq(&row).is_some() {
            keys.kept_fuller.push(key);
        } else {
            keys.committed.insert(key, found.coverage().unwrap_or(Coverage::REPLACES_ALL));
            // Rows that are keyed by a location are in the bucket of its object.
            let location = if name == TableName::Errors { found.record_uri() } else { None };
            let bucket = location.map_or_else(|| bucket_of_hash(key, buckets), |uri| bucket_of(uri, buckets));
            *keys.rows.entry(Some(bucket)).or_default() += 1;
        }
        row += 1;
    })
    .await?;
    Ok(keys)
}
