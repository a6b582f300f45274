//! The folder of one run below `_staging/`: its files, and the records that describe the run and its commit.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use deltalake_core::{DeltaResult, Path};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use parquet::arrow::async_reader::AsyncFileReader;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::limits::STORE_REQUESTS_IN_FLIGHT_MAX;
use crate::store::{self, Object, ObjectReader, StoreError};
use crate::tables::{TableName, failure_message};
use crate::write::liveness::Process;
use crate::write::running::ActiveRun;

/// The folder below an output location.
const FOLDER: &str = "_staging";
pub(super) const RUN_RECORD: &str = "run.json";
const COMMIT_RECORD: &str = "commit.json";

/// Why finished work cannot be staged, listed or read.
#[derive(Debug, thiserror::Error)]
pub enum StagingError {
    /// The output location is unusable.
    #[error(transparent)]
    Location(#[from] StoreError),
    /// The store refuses or fails.
    #[error("{operation}: {reason}")]
    Store {
        /// What failed.
        operation: String,
        /// The cause.
        reason: String,
    },
}

impl StagingError {
    pub(in crate::write) fn new(operation: impl Into<String>, cause: &(dyn std::error::Error + 'static)) -> Self {
        Self::Store { operation: operation.into(), reason: failure_message(cause) }
    }
}

/// The content of `run.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) run_id: String,
    /// Equal for runs over the same input with the same settings.
    pub(super) job: String,
    pub(super) process: Option<Process>,
    /// For runs of the same pipeline with `--if-running`. Records of older versions lack it.
    #[serde(default)]
    pub(super) pipeline: Option<ActiveRun>,
}

/// One staged file of a commit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::write) struct StagedFile {
    pub(in crate::write) name: String,
    /// Numbers of recovered rows that are not committed because this run did not need them, ascending.
    #[serde(rename = "dropped", default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::write) unused_rows: Vec<usize>,
    /// Numbers of rows that are not committed because the table has a pattern of the same trace with more spans, from another object;
    /// ascending.
    #[serde(rename = "smaller", default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::write) kept_fuller_rows: Vec<usize>,
}

impl StagedFile {
    /// A file whose rows are all committed.
    pub(super) fn whole(name: String) -> Self {
        Self { name, ..Self::default() }
    }

    /// Whether it was moved from the folder of an interrupted run.
    pub(in crate::write) fn is_recovered(&self) -> bool {
        self.name.starts_with(super::RECOVERED)
    }

    /// For each row whether it is committed; `None` if all are.
    pub(in crate::write) async fn kept_rows(&self, object: &Arc<Object>) -> DeltaResult<Option<Vec<bool>>> {
        if self.unused_rows.is_empty() && self.kept_fuller_rows.is_empty() {
            return Ok(None);
        }
        let metadata = ObjectReader::new(Arc::clone(object)).get_metadata(None).await?;
        let mut kept = vec![true; usize::try_from(metadata.file_metadata().num_rows()).unwrap_or(0)];
        for row in self.unused_rows.iter().chain(&self.kept_fuller_rows) {
            if let Some(kept) = kept.get_mut(*row) {
                *kept = false;
            }
        }
        Ok(Some(kept))
    }
}

/// The content of `commit.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::write) struct CommitRecord {
    /// The number of the commit within the run.
    pub(in crate::write) part: i64,
    /// The staged files, by table.
    pub(in crate::write) files: BTreeMap<String, Vec<StagedFile>>,
    /// Hashes of the URIs of objects that were read to their end: older errors that are keyed by a location in one of them are removed.
    pub(in crate::write) objects: Vec<u128>,
    /// Hashes of the ids of traces whose rows in `errors` are removed without a new pattern, because the table has one for the same content.
    #[serde(rename = "settled", default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::write) resolved_errors: Vec<u128>,
}

impl CommitRecord {
    /// The staged files of one table.
    pub(in crate::write) fn files_of(&self, name: TableName) -> &[StagedFile] {
        self.files.get(name.as_str()).map(Vec::as_slice).unwrap_or_default()
    }
}

/// The parent of the folders of all runs over one output location.
#[derive(Debug, Clone)]
pub(in crate::write) struct StagingRoot {
    pub(in crate::write) store: Arc<dyn ObjectStore>,
    pub(in crate::write) path: Path,
    local: Option<PathBuf>,
}

impl StagingRoot {
    pub(in crate::write) fn below(output: &Url) -> Result<Self, StagingError> {
        let (store, root) = store::open(output)?;
        Ok(Self { store, path: root.join(FOLDER), local: output.to_file_path().ok().map(|path| path.join(FOLDER)) })
    }

    /// When a run wrote its last heartbeat, by the clock of the store; `None` if it has no folder.
    pub(in crate::write) async fn last_heartbeat(&self, run_id: &str) -> Result<Option<chrono::DateTime<chrono::Utc>>, StagingError> {
        let folder = RunFolder::new(self, run_id);
        match self.store.head(&folder.path_of(RUN_RECORD)).await {
            Ok(meta) => Ok(Some(meta.last_modified)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StagingError::new(format!("cannot read {}", folder.shown(RUN_RECORD)), &error)),
        }
    }
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub(in crate::write) struct RunFolder {
    store: Arc<dyn ObjectStore>,
    path: Path,
    /// Set for local files: object stores have no folders that would have to be removed.
    local: Option<PathBuf>,
    pub(in crate::write) run_id: String,
}

impl RunFolder {
    pub(super) fn new(root: &StagingRoot, run_id: &str) -> Self {
        Self {
            store: Arc::clone(&root.store),
            path: root.path.clone().join(run_id),
            local: root.local.as_ref().map(|folder| folder.join(run_id)),
            run_id: run_id.to_owned(),
        }
    }

    fn path_of(&self, name: &str) -> Path {
        self.path.clone().join(name)
    }

    /// The path of a file, for messages.
    pub(super) fn shown(&self, name: &str) -> String {
        self.local.as_ref().map_or_else(|| self.path_of(name).to_string(), |folder| folder.join(name).display().to_string())
    }

    pub(super) async fn put(&self, name: &str, bytes: impl Into<PutPayload>) -> Result<(), StagingError> {
        let path = self.path_of(name);
        let put = self.store.put(&path, bytes.into()).await;
        put.map(drop).map_err(|error| StagingError::new(format!("cannot write {}", self.shown(name)), &error))
    }

    /// The content of a file; `None` if it does not exist.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, StagingError> {
        let failed = |error| StagingError::new(format!("cannot read {}", self.shown(name)), &error);
        match self.store.get(&self.path_of(name)).await {
            Ok(found) => found.bytes().await.map(Some).map_err(failed),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    /// The names of all files, sorted.
    pub(super) async fn names(&self) -> Result<Vec<String>, StagingError> {
        let listed = self.store.list(Some(&self.path)).try_collect::<Vec<_>>().await;
        let found = listed.map_err(|error| StagingError::new(format!("cannot list {}", self.path), &error))?;
        let mut names: Vec<String> = found.iter().filter_map(|meta| meta.location.filename().map(str::to_owned)).collect();
        names.sort();
        Ok(names)
    }

    /// Staged files as objects; `None` if one of them is gone.
    pub(in crate::write) async fn objects<'a>(
        &self,
        files: &'a [StagedFile],
    ) -> Result<Option<Vec<(&'a StagedFile, Arc<Object>)>>, StagingError> {
        // Concurrently: a long run has many.
        let lookups = futures::stream::iter(files).map(|file| async move { self.object(&file.name).await.map(|object| (file, object)) });
        let found: Vec<(&StagedFile, Option<Arc<Object>>)> = lookups.buffered(STORE_REQUESTS_IN_FLIGHT_MAX).try_collect().await?;
        Ok(found.into_iter().map(|(file, object)| Some((file, object?))).collect())
    }

    /// A staged file as an object; `None` if it is gone.
    pub(super) async fn object(&self, name: &str) -> Result<Option<Arc<Object>>, StagingError> {
        let path = self.path_of(name);
        match self.store.head(&path).await {
            Ok(meta) => {
                let uri = path.to_string();
                Ok(Some(Arc::new(Object::in_store(Arc::clone(&self.store), path, uri, meta.size, 0))))
            }
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(StagingError::new(format!("cannot read {}", self.shown(name)), &error)),
        }
    }

    /// Writes `run.json`. Returns when that was, by the clock of the store.
    pub(super) async fn write_run_record(&self, record: &RunRecord) -> Result<chrono::DateTime<chrono::Utc>, StagingError> {
        self.put(RUN_RECORD, encode(record)?).await?;
        let head = self.store.head(&self.path_of(RUN_RECORD)).await;
        let meta = head.map_err(|error| StagingError::new(format!("cannot read {}", self.shown(RUN_RECORD)), &error))?;
        Ok(meta.last_modified)
    }

    pub(super) async fn run_record(&self) -> Result<Option<RunRecord>, StagingError> {
        // A run that was killed while it wrote its record has no work.
        Ok(self.get(RUN_RECORD).await?.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    /// A commit that was begun and not completed.
    pub(in crate::write) async fn commit_record(&self) -> Result<Option<CommitRecord>, StagingError> {
        let Some(bytes) = self.get(COMMIT_RECORD).await? else { return Ok(None) };
        let decoded = serde_json::from_slice(&bytes);
        decoded.map(Some).map_err(|error| StagingError::new(format!("cannot read {}", self.shown(COMMIT_RECORD)), &error))
    }

    /// Whether this commit was begun and is not completed yet.
    pub(in crate::write) async fn is_committing(&self, record: &CommitRecord) -> Result<bool, StagingError> {
        Ok(self.commit_record().await?.is_some_and(|found| found.part == record.part))
    }

    /// Records durably that a commit has begun. From here on it will be completed, by this run or a later one.
    pub(in crate::write) async fn begin_commit(&self, record: &CommitRecord) -> Result<(), StagingError> {
        self.put(COMMIT_RECORD, encode(record)?).await
    }

    /// Removes the record of a commit that cannot be completed, because its files are gone.
    pub(in crate::write) async fn abandon_commit(&self) -> Result<(), StagingError> {
        self.delete(COMMIT_RECORD).await
    }

    /// Removes the record of a completed commit, then its files: a run that finds the record must find the files. A recovered file with rows that
    /// no trace of this run claimed stays for the next run. Its rows that were committed already have the same keys, so committing them again
    /// changes nothing.
    pub(in crate::write) async fn finish_commit(&self, record: &CommitRecord) -> Result<(), StagingError> {
        if self.is_committing(record).await? {
            self.delete(COMMIT_RECORD).await?;
        }
        for file in record.files.values().flatten().filter(|file| file.unused_rows.is_empty()) {
            self.delete(&file.name).await?;
        }
        Ok(())
    }

    pub(super) async fn delete(&self, name: &str) -> Result<(), StagingError> {
        match self.store.delete(&self.path_of(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(StagingError::new(format!("cannot delete {}", self.shown(name)), &error)),
        }
    }

    /// Moves a file of this folder into another one. Returns whether it still existed.
    pub(super) async fn move_file(&self, name: &str, target: &Self, new_name: &str) -> Result<bool, StagingError> {
        let (from, to) = (self.path_of(name), target.path_of(new_name));
        match self.store.rename(&from, &to).await {
            Ok(()) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(StagingError::new(format!("cannot recover {}", self.shown(name)), &error)),
        }
    }

    /// Removes all files, `run.json` last: as long as there are files, it identifies their run.
    pub(in crate::write) async fn remove(&self) -> Result<(), StagingError> {
        for name in self.names().await?.iter().filter(|name| *name != RUN_RECORD) {
            self.delete(name).await?;
        }
        self.delete(RUN_RECORD).await?;
        if let Some(local) = &self.local {
            // Fails if the folder is not empty, because another program put a file there.
            let _ = std::fs::remove_dir(local);
        }
        Ok(())
    }
}

/// A record as JSON.
pub(super) fn encode(record: &impl Serialize) -> Result<Vec<u8>, StagingError> {
    serde_json::to_vec(record).map_err(|error| StagingError::new("cannot encode a record of the run", &error))
}
