//! The folders of other runs over the same output location, and whether those runs are alive.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::TryStreamExt;

use super::folder::{RunFolder, RunRecord, StagingError, StagingRoot};
use crate::write::liveness::{Process, is_alive};
use crate::write::running::ActiveRun;

/// Another run's folder.
#[derive(Debug)]
pub(in crate::write) struct OtherRun {
    pub(in crate::write) folder: RunFolder,
    pub(in crate::write) job: String,
    /// What it runs.
    pub(in crate::write) pipeline: Option<ActiveRun>,
    /// Whether the run ended without removing its folder: killed, crashed, or failed.
    pub(in crate::write) is_interrupted: bool,
    /// The age of the newest file in the folder, by the clock of the store.
    pub(in crate::write) since_last_heartbeat: Duration,
}

/// The current time by the clock of the store, which dates its objects: the date of an object that is written and removed again.
pub(in crate::write) async fn store_time(root: &StagingRoot) -> Result<chrono::DateTime<chrono::Utc>, StagingError> {
    let folder = RunFolder::new(root, &format!("clock-{}", uuid::Uuid::now_v7()));
    let record = RunRecord { run_id: folder.run_id.clone(), job: String::new(), process: Process::current(), pipeline: None };
    let written = folder.write_run_record(&record).await;
    folder.remove().await?;
    written
}

/// All folders but that of `own_run_id`. `now` is by the clock of the store.
pub(in crate::write) async fn other_runs(
    root: &StagingRoot,
    own_run_id: &str,
    now: chrono::DateTime<chrono::Utc>,
) -> Result<Vec<OtherRun>, StagingError> {
    let listed = match root.store.list(Some(&root.path)).try_collect::<Vec<_>>().await {
        Ok(listed) => listed,
        Err(object_store::Error::NotFound { .. }) => Vec::new(),
        Err(error) => return Err(StagingError::new(format!("cannot list {}", root.path), &error)),
    };
    let mut newest: BTreeMap<String, chrono::DateTime<chrono::Utc>> = BTreeMap::new();
    for meta in listed {
        // A file beside the folders belongs to no run.
        let run_id = meta.location.prefix_match(&root.path).and_then(|mut parts| {
            let run_id = parts.next()?.as_ref().to_owned();
            parts.next().map(|_| run_id)
        });
        if let Some(run_id) = run_id.filter(|run_id| run_id != own_run_id) {
            let last = newest.entry(run_id).or_insert(meta.last_modified);
            *last = meta.last_modified.max(*last);
        }
    }
    let mut found = Vec::new();
    for (run_id, last) in newest {
        let folder = RunFolder::new(root, &run_id);
        let record = folder.run_record().await?;
        let since_last_heartbeat = (now - last).to_std().unwrap_or_default();
        let is_interrupted = !is_alive(record.as_ref().and_then(|record| record.process.as_ref()), since_last_heartbeat);
        let (job, pipeline) = record.map(|record| (record.job, record.pipeline)).unwrap_or_default();
        found.push(OtherRun { folder, job, pipeline, is_interrupted, since_last_heartbeat });
    }
    Ok(found)
}
