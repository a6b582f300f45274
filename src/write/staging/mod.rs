//! Finished outcomes that are durable and not visible yet, in a folder of the run below the output location.
//!
//! ```text
//! _staging/RUN_ID/run.json                 run and job; rewritten every few seconds as a heartbeat
//!                 patterns-000001.parquet  rows, in one row group per bucket if there are enough of them
//!                 errors-000002.parquet
//!                 fingerprints-000004.parquet and runs-000005.parquet, just before the last commit
//!                 taken-000003.parquet     patterns recovered from an interrupted run of the same job
//!                 commit.json              the files of a commit that has begun; if the run is interrupted, any later run completes it
//! ```
//!
//! Takes encoded rows and returns the files of the next commit. Stores the record of a commit in progress; does not write tables.

mod folder;
mod other_runs;
mod recovered;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use futures::StreamExt;
use tokio::task::{AbortHandle, JoinSet};
use url::Url;

pub use self::folder::StagingError;
pub(super) use self::folder::{CommitRecord, RunFolder, StagedFile, StagingRoot};
use self::folder::{RUN_RECORD, RunRecord};
pub(super) use self::other_runs::{OtherRun, other_runs, store_time};
pub(super) use self::recovered::RecoveredWork;
use self::recovered::{RecoveredFile, read_rows};
use super::liveness::Process;
use super::running::ActiveRun;
use crate::limits::{HEARTBEAT_INTERVAL, STORE_REQUESTS_IN_FLIGHT_MAX};
use crate::tables::TableName;

/// How the names of recovered files begin.
const RECOVERED: &str = "taken";

/// The staged work of this run.
#[derive(Debug)]
pub(super) struct Staging {
    pub(super) folder: RunFolder,
    next_number: AtomicU32,
    /// Staged files that are not committed yet, by table.
    files: Mutex<BTreeMap<String, Vec<StagedFile>>>,
    pub(super) recovered: Arc<RecoveredWork>,
    heartbeat: AbortHandle,
    /// Stops the heartbeat when the run is dropped.
    _heartbeat_task: JoinSet<()>,
}

impl Staging {
    /// Creates the folder of a run, and finds those of other runs.
    ///
    /// # Errors
    /// [`StagingError`] if the output location cannot be written.
    pub(super) async fn begin(
        output: &Url,
        run_id: &str,
        job: &str,
        pipeline: Option<ActiveRun>,
    ) -> Result<(Self, Vec<OtherRun>), StagingError> {
        let root = StagingRoot::below(output)?;
        let folder = RunFolder::new(&root, run_id);
        let record = RunRecord { run_id: run_id.to_owned(), job: job.to_owned(), process: Process::current(), pipeline };
        let now = folder.write_run_record(&record).await?;
        let others = other_runs(&root, run_id, now).await?;
        let mut task = JoinSet::new();
        let heartbeat = task.spawn(send_heartbeats(folder.clone(), folder::encode(&record)?));
        let staging = Self {
            folder,
            next_number: AtomicU32::new(1),
            files: Mutex::default(),
            recovered: Arc::default(),
            heartbeat,
            _heartbeat_task: task,
        };
        Ok((staging, others))
    }

    /// Makes rows durable. Returns the name of their file.
    pub(super) async fn put(&self, table: TableName, bytes: Vec<u8>) -> Result<String, StagingError> {
        self.replace(table, &[], bytes).await
    }

    /// Makes rows durable in one file that are in several files already, and removes those.
    pub(super) async fn replace(&self, table: TableName, replaced: &[String], bytes: Vec<u8>) -> Result<String, StagingError> {
        let name = self.next_name(table.as_str());
        self.folder.put(&name, bytes).await?;
        {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            let files = files.entry(table.as_str().to_owned()).or_default();
            files.retain(|file| !replaced.contains(&file.name));
            files.push(StagedFile::whole(name.clone()));
        }
        for name in replaced {
            self.folder.delete(name).await?;
        }
        Ok(name)
    }

    fn next_name(&self, prefix: &str) -> String {
        format!("{prefix}-{:06}.parquet", self.next_number.fetch_add(1, Ordering::Relaxed))
    }

    /// Recovers the finished work of interrupted runs of the same job, and removes their folders.
    pub(super) async fn recover(&mut self, interrupted: &[OtherRun]) -> Result<(), StagingError> {
        let mut recovered = RecoveredWork::default();
        for other in interrupted {
            let names = other.folder.names().await?;
            for name in names.iter().filter(|name| name.starts_with(TableName::Errors.as_str())) {
                let Some(object) = other.folder.object(name).await? else { continue };
                if let Err(error) = recovered.unusable_answers.add(&object, None).await {
                    tracing::warn!(%error, "cannot read the unusable model answers of an interrupted run; they will be paid for again");
                }
            }
            let patterns = names.into_iter().filter(|name| name.starts_with(TableName::Patterns.as_str()) || name.starts_with(RECOVERED));
            // Concurrently: a run that asked a model may have staged hundreds of small files.
            let files = futures::stream::iter(patterns.map(|name| self.recover_file(&other.folder, name)));
            let mut files = std::pin::pin!(files.buffered(STORE_REQUESTS_IN_FLIGHT_MAX));
            while let Some(file) = files.next().await {
                let Some((name, batches)) = file? else { continue };
                // The traces of a file that cannot be read are analyzed again.
                if let Err(error) = batches.and_then(|batches| recovered.add(name, &batches)) {
                    tracing::warn!(%error, "cannot recover finished work of an interrupted run");
                }
            }
            other.folder.remove().await?;
        }
        self.recovered = Arc::new(recovered);
        Ok(())
    }

    /// Moves a file of an interrupted run to this one, and reads what is needed to recognize its rows. `None` if another run was faster.
    async fn recover_file(
        &self,
        folder: &RunFolder,
        name: String,
    ) -> Result<Option<(String, Result<Vec<RecordBatch>, StagingError>)>, StagingError> {
        let own_name = self.next_name(RECOVERED);
        if !folder.move_file(&name, &self.folder, &own_name).await? {
            return Ok(None);
        }
        let Some(object) = self.folder.object(&own_name).await? else { return Ok(None) };
        let batches = read_rows(&object).await;
        let batches = batches.map_err(|error| StagingError::new(format!("cannot read {}", self.folder.shown(&own_name)), &error));
        Ok(Some((own_name, batches)))
    }

    /// Whether every staged file is committed.
    pub(super) fn is_empty(&self) -> bool {
        self.files.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes the files of the next commit, by table; `with_recovered` includes recovered rows that this run claimed.
    pub(super) fn take_files(&self, with_recovered: bool) -> BTreeMap<String, Vec<StagedFile>> {
        let mut files = std::mem::take(&mut *self.files.lock().unwrap_or_else(PoisonError::into_inner));
        if with_recovered {
            let recovered = self.recovered.files.iter().filter_map(RecoveredFile::staged);
            files.entry(TableName::Patterns.as_str().to_owned()).or_default().extend(recovered);
        }
        files
    }

    /// Removes the folder after the last commit. Recovered rows that were not claimed belong to traces that changed or are gone; if the run was
    /// incomplete, they may belong to traces that it did not reach, and stay for the next run.
    pub(super) async fn finish(&self, is_complete: bool) -> Result<(), StagingError> {
        self.heartbeat.abort();
        if is_complete || self.recovered.files.iter().all(RecoveredFile::is_fully_claimed) {
            return self.folder.remove().await;
        }
        for name in self.folder.names().await? {
            let stays = name == RUN_RECORD || self.recovered.files.iter().any(|file| file.name == name && !file.is_fully_claimed());
            if !stays {
                self.folder.delete(&name).await?;
            }
        }
        Ok(())
    }

    /// Ends the run as a kill does: nothing is removed, and its process is gone.
    #[cfg(test)]
    pub(super) async fn simulate_kill(&self, job: &str) {
        self.heartbeat.abort();
        let record = RunRecord { run_id: self.folder.run_id.clone(), job: job.to_owned(), process: Process::terminated(), pipeline: None };
        self.folder.write_run_record(&record).await.unwrap();
    }

    /// Keeps finished work for the next run, after a failure. A folder without any is removed.
    pub(super) async fn keep_for_next_run(&self) {
        self.heartbeat.abort();
        let is_empty = self.folder.names().await.is_ok_and(|names| names.iter().all(|name| name == RUN_RECORD));
        if is_empty {
            // The run has failed already, and reports why.
            let _ = self.folder.remove().await;
        }
    }
}

async fn send_heartbeats(folder: RunFolder, record: Vec<u8>) {
    loop {
        tokio::time::sleep(HEARTBEAT_INTERVAL).await;
        if let Err(error) = folder.put(RUN_RECORD, record.clone()).await {
            tracing::warn!(%error, "cannot write the heartbeat");
        }
    }
}
