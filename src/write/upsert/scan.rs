//! Reads the key columns of the data files that a commit may touch: the input of an [`UpsertPlan`](super::plan::UpsertPlan).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use deltalake_core::kernel::LogicalFileView;
use deltalake_core::{DeltaResult, DeltaTableError};
use futures::StreamExt;
use tokio::task::{JoinError, JoinSet};

use super::plan::{FileScan, FileStats};
use crate::limits::{KEY_READS_IN_FLIGHT_MAX, REWRITES_IN_FLIGHT_MAX};
use crate::model::key_hash;
use crate::runtime::pool;
use crate::store::Object;
use crate::tables::{Table, TableName, bucket_of_hash, error_message};
use crate::write::keys::{Coverage, RowKey, for_each_key};
use crate::write::table_files::{Bucket, bytes_of, files_by_bucket, object_of};

/// Which rows of a table a commit supersedes.
#[derive(Debug, Default)]
pub(in crate::write) struct Superseded {
    /// Hashes of trace ids and references. In `patterns` the coverage of the incoming row decides whether it replaces the stored one.
    pub(in crate::write) keys: HashMap<u128, Coverage>,
    /// Hashes of the URIs of objects that were read again: rows that are keyed by a location in them are removed.
    pub(in crate::write) objects: HashSet<u128>,
    /// Rows of this run are not removed with their object: an earlier commit of the run added them.
    pub(in crate::write) run_id: String,
}

impl Superseded {
    fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.objects.is_empty()
    }

    fn removes_record_error(&self, row: &RowKey<'_>) -> bool {
        row.record_uri().is_some_and(|uri| row.run_id != Some(&self.run_id) && self.objects.contains(&key_hash(uri)))
    }
}

/// For each data file without superseded rows, by path: the keys of its rows that are kept because they are fuller than the incoming
/// ones. Data files never change, so each is scanned once, however often a commit is planned.
pub(in crate::write) type ScanCache = HashMap<String, Vec<u128>>;

/// The data files of the scanned buckets, by path.
pub(super) type TableFiles = HashMap<String, LogicalFileView>;

/// Scans all data files in the buckets of superseded rows and in `incoming` buckets.
pub(super) async fn scan(
    table: &Table,
    superseded: &Arc<Superseded>,
    incoming: impl Iterator<Item = Bucket>,
    cache: &mut ScanCache,
) -> DeltaResult<(Vec<FileScan>, TableFiles)> {
    let buckets = table.buckets();
    let mut touched: HashSet<Bucket> =
        superseded.keys.keys().chain(&superseded.objects).map(|key| Some(bucket_of_hash(*key, buckets))).collect();
    touched.extend(incoming);
    let mut by_bucket: BTreeMap<Bucket, Vec<FileScan>> = BTreeMap::new();
    let mut take = |scanned: Result<DeltaResult<(Bucket, Vec<FileScan>)>, JoinError>| -> DeltaResult<()> {
        let (bucket, scans) = pool::join_result(scanned).ok_or_else(stopped)??;
        by_bucket.insert(bucket, scans);
        Ok(())
    };
    // Separate tasks, because decoding keeps a core busy.
    let (shared, mut tasks, mut files) = (Arc::new(table.clone()), JoinSet::new(), TableFiles::new());
    for (bucket, in_bucket) in files_by_bucket(table).await?.into_iter().filter(|(bucket, _)| touched.contains(bucket)) {
        if tasks.len() >= REWRITES_IN_FLIGHT_MAX
            && let Some(scanned) = tasks.join_next().await
        {
            take(scanned)?;
        }
        files.extend(in_bucket.iter().map(|file| (file.path().into_owned(), file.clone())));
        let known = in_bucket.into_iter().map(|file| (cache.get(&*file.path()).cloned(), file)).collect();
        tasks.spawn(scan_bucket(Arc::clone(&shared), bucket, known, Arc::clone(superseded)));
    }
    while let Some(scanned) = tasks.join_next().await {
        take(scanned)?;
    }
    let scans: Vec<FileScan> = by_bucket.into_values().flatten().collect();
    for scan in scans.iter().filter(|scan| scan.superseded_rows.is_empty()) {
        cache.insert(scan.file.path.clone(), scan.kept_fuller.clone());
    }
    Ok((scans, files))
}

pub(super) fn stopped() -> DeltaTableError {
    DeltaTableError::Generic("the run was stopped".into())
}

async fn scan_bucket(
    table: Arc<Table>,
    bucket: Bucket,
    files: Vec<(Option<Vec<u128>>, LogicalFileView)>,
    superseded: Arc<Superseded>,
) -> DeltaResult<(Bucket, Vec<FileScan>)> {
    let scans = futures::stream::iter(files).map(|(known, file)| {
        let (table, superseded) = (&table, &superseded);
        async move {
            match known {
                Some(kept_fuller) => Ok(FileScan { file: stats_of(bucket, &file), superseded_rows: Vec::new(), kept_fuller }),
                None => scan_file(table, bucket, &file, superseded).await,
            }
        }
    });
    let mut scans = std::pin::pin!(scans.buffered(KEY_READS_IN_FLIGHT_MAX));
    let mut found = Vec::new();
    while let Some(scan) = scans.next().await {
        found.push(scan?);
    }
    Ok((bucket, found))
}

async fn scan_file(table: &Table, bucket: Bucket, file: &LogicalFileView, superseded: &Superseded) -> DeltaResult<FileScan> {
    let mut scan = FileScan { file: stats_of(bucket, file), superseded_rows: Vec::new(), kept_fuller: Vec::new() };
    if superseded.is_empty() {
        return Ok(scan);
    }
    let object = object_of(table, file);
    let name = table.name;
    let mut number = 0;
    let scanned = for_each_key(name, &object, |row| {
        let key = key_hash(row.reference);
        let stays = match superseded.keys.get(&key) {
            Some(incoming) if name == TableName::Patterns => {
                let stays = row.coverage().is_some_and(|stored| !incoming.replaces(stored));
                scan.kept_fuller.extend(stays.then_some(key));
                stays
            }
            Some(_) => false,
            None => !superseded.removes_record_error(row),
        };
        scan.superseded_rows.extend((!stays).then_some(number));
        number += 1;
    });
    scanned.await.map_err(|error| unreadable(name, &object, &error))?;
    Ok(scan)
}

/// The keys of incoming rows that are not added, because the table keeps a row that was made from more spans, and from another object.
pub(in crate::write) async fn keys_kept_fuller(
    table: &Table,
    superseded: &Superseded,
    cache: &mut ScanCache,
) -> DeltaResult<HashSet<u128>> {
    let buckets = table.buckets();
    let touched: HashSet<Bucket> = superseded.keys.keys().map(|key| Some(bucket_of_hash(*key, buckets))).collect();
    let files = files_by_bucket(table).await?.into_iter().filter(|(bucket, _)| touched.contains(bucket));
    let files = files.flat_map(|(bucket, files)| files.into_iter().map(move |file| (bucket, file)));
    let scans = futures::stream::iter(files).map(|(bucket, file)| async move { scan_file(table, bucket, &file, superseded).await });
    let mut scans = std::pin::pin!(scans.buffer_unordered(KEY_READS_IN_FLIGHT_MAX));
    let mut found = HashSet::new();
    while let Some(scan) = scans.next().await {
        let scan = scan?;
        found.extend(scan.kept_fuller.iter().copied());
        if scan.superseded_rows.is_empty() {
            cache.insert(scan.file.path, scan.kept_fuller);
        }
    }
    Ok(found)
}

pub(super) fn stats_of(bucket: Bucket, file: &LogicalFileView) -> FileStats {
    FileStats { path: file.path().into_owned(), bucket, bytes: bytes_of(file) }
}

pub(super) fn unreadable(table: TableName, object: &Object, error: &DeltaTableError) -> DeltaTableError {
    DeltaTableError::Generic(format!("cannot read the data file {}/{}: {}", table.as_str(), object.uri, error_message(error)))
}
