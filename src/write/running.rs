//! One run of a pipeline into an output at a time, for `--if-running`: an object below `_staging/` that only one run can create.
//!
//! A run holds it until it ends. Whether it is alive is determined as for its staged work: by its process on the same machine, and elsewhere by its
//! heartbeat ([`is_alive`]). The lock of a run that was killed is taken over by a conditional write, which only one run wins. Runs without
//! `--if-running` take no lock; they are found by the record of their staging folder.

use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use serde::{Deserialize, Serialize};
use url::Url;

use super::error::WriteError;
use super::liveness::{Process, host_name, is_alive};
use super::staging::{StagingError, StagingRoot, other_runs, store_time};
use crate::limits::COMMIT_STORE_FAILURES_MAX;

/// A run, as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActiveRun {
    /// The run.
    pub run_id: String,
    /// Equal for runs of the same pipeline over the same inputs, which exclude each other.
    pub pipeline: String,
    /// The machine.
    pub host: String,
    /// When it started, RFC 3339.
    pub started_at: String,
}

impl ActiveRun {
    /// This run.
    pub fn new(run_id: &str, pipeline: String, started_at: &str) -> Self {
        Self { run_id: run_id.to_owned(), pipeline, host: host_name(), started_at: started_at.to_owned() }
    }
}

impl std::fmt::Display for ActiveRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "run {} of this pipeline is active on {} since {}", self.run_id, self.host, self.started_at)
    }
}

/// The content of the lock.
#[derive(Debug, Serialize, Deserialize)]
struct LockRecord {
    run: ActiveRun,
    process: Option<Process>,
}

/// The result of an attempt to take the lock.
#[derive(Debug)]
pub enum Attempt {
    /// This run has it.
    Locked(PipelineLock),
    /// Another run is active.
    Busy(ActiveRun),
}

/// The lock of this run. [`Self::release`] it at the end; if the process is killed, other runs take it over.
#[derive(Debug)]
pub struct PipelineLock {
    root: StagingRoot,
    path: Path,
    run_id: String,
}

/// Takes the lock of the pipeline, unless another run of it into this output is active.
///
/// # Errors
/// [`WriteError`] if the store refuses or fails.
pub async fn try_lock(output: &Url, run: &ActiveRun) -> Result<Attempt, WriteError> {
    let root = StagingRoot::below(output)?;
    let lock = PipelineLock { path: root.path.clone().join(format!("lock-{}.json", run.pipeline)), root, run_id: run.run_id.clone() };
    if let Some(holder) = lock.acquire(run).await? {
        return Ok(Attempt::Busy(holder));
    }
    // Another run without a lock.
    let now = store_time(&lock.root).await?;
    let others = other_runs(&lock.root, &run.run_id, now).await?;
    let active = others.into_iter().filter(|other| !other.is_interrupted).filter_map(|other| other.pipeline);
    match active.into_iter().find(|other| other.pipeline == run.pipeline) {
        Some(other) => {
            lock.release().await;
            Ok(Attempt::Busy(other))
        }
        None => Ok(Attempt::Locked(lock)),
    }
}

impl PipelineLock {
    /// Creates the lock, or takes over that of a run that is dead. Returns its holder if that is alive.
    async fn acquire(&self, run: &ActiveRun) -> Result<Option<ActiveRun>, StagingError> {
        let record = LockRecord { run: run.clone(), process: Process::current() };
        let record = serde_json::to_vec(&record).map_err(|error| StagingError::new("cannot encode the lock", &error))?;
        let mut mode = PutMode::Create;
        let mut failures = 0;
        loop {
            match self.root.store.put_opts(&self.path, Bytes::from(record.clone()).into(), PutOptions::from(mode)).await {
                Ok(_) => return Ok(None),
                // Another run was faster; or this write succeeded, its response was lost, and it was repeated.
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotFound { .. }) => {}
                Err(error) => {
                    failures += 1;
                    if failures >= COMMIT_STORE_FAILURES_MAX
                        || matches!(error, Error::NotImplemented { .. } | Error::PermissionDenied { .. })
                    {
                        return Err(self.failed("write", &error));
                    }
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
            mode = match self.holder().await? {
                Holder::None => PutMode::Create,
                Holder::Alive(holder) if holder.run_id == self.run_id => return Ok(None),
                Holder::Alive(holder) => return Ok(Some(holder)),
                Holder::Dead(version) => PutMode::Update(version),
            };
        }
    }

    async fn holder(&self) -> Result<Holder, StagingError> {
        let Some((record, meta)) = self.record().await? else { return Ok(Holder::None) };
        let version = UpdateVersion { e_tag: meta.e_tag, version: meta.version };
        // Locks are written atomically, so one that cannot be read is of no run.
        let Some(record) = record else { return Ok(Holder::Dead(version)) };
        let is_alive = match record.process.as_ref().and_then(Process::is_running) {
            Some(is_running) => is_running,
            None => {
                // A run has a heartbeat as soon as it has listed its input.
                let heartbeat = self.root.last_heartbeat(&record.run.run_id).await?.unwrap_or(meta.last_modified);
                let age = store_time(&self.root).await? - heartbeat.max(meta.last_modified);
                is_alive(None, age.to_std().unwrap_or_default())
            }
        };
        Ok(if is_alive { Holder::Alive(record.run) } else { Holder::Dead(version) })
    }

    /// The content of the lock, if it exists and can be decoded.
    async fn record(&self) -> Result<Option<(Option<LockRecord>, ObjectMeta)>, StagingError> {
        let found = match self.root.store.get(&self.path).await {
            Ok(found) => found,
            Err(Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let meta = found.meta.clone();
        let bytes = found.bytes().await.map_err(|error| self.failed("read", &error))?;
        Ok(Some((serde_json::from_slice(&bytes).ok(), meta)))
    }

    /// Ends the exclusion of other runs, unless another run has considered this one dead.
    pub async fn release(self) {
        let is_own = matches!(self.record().await, Ok(Some((Some(record), _))) if record.run.run_id == self.run_id);
        if is_own && let Err(error) = self.root.store.delete(&self.path).await {
            // The process ends soon, and others see that.
            tracing::debug!(%error, "cannot remove the lock of the pipeline");
        }
    }

    fn failed(&self, operation: &str, error: &Error) -> StagingError {
        StagingError::new(format!("cannot {operation} the lock {}", self.path), error)
    }
}

/// Who has the lock.
enum Holder {
    None,
    Alive(ActiveRun),
    /// A run that has ended without releasing it, with the version of its lock.
    Dead(UpdateVersion),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str) -> ActiveRun {
        ActiveRun::new(id, "p".into(), "2026-11-25T09:00:00Z")
    }

    async fn lock(output: &Url, id: &str) -> Option<PipelineLock> {
        match try_lock(output, &run(id)).await.unwrap() {
            Attempt::Locked(lock) => Some(lock),
            Attempt::Busy(_) => None,
        }
    }

    #[tokio::test]
    async fn a_lock_excludes_runs_of_the_same_pipeline_until_it_is_released() {
        let folder = tempfile::tempdir().unwrap();
        let output = Url::from_directory_path(folder.path()).unwrap();
        let first = lock(&output, "1").await.unwrap();
        assert!(matches!(try_lock(&output, &run("2")).await.unwrap(), Attempt::Busy(holder) if holder == run("1")));
        let other = ActiveRun { pipeline: "q".into(), ..run("3") };
        assert!(matches!(try_lock(&output, &other).await.unwrap(), Attempt::Locked(_)), "another pipeline");
        first.release().await;
        assert!(lock(&output, "2").await.is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_runs_that_find_a_dead_holder_at_once_exactly_one_takes_over() {
        for _ in 0..20 {
            let folder = tempfile::tempdir().unwrap();
            let output = Url::from_directory_path(folder.path()).unwrap();
            let root = StagingRoot::below(&output).unwrap();
            let dead = LockRecord { run: run("dead"), process: Process::terminated() };
            let bytes = Bytes::from(serde_json::to_vec(&dead).unwrap());
            root.store.put(&root.path.clone().join("lock-p.json"), bytes.into()).await.unwrap();
            let mut attempts = tokio::task::JoinSet::new();
            for number in 0..8 {
                let output = output.clone();
                attempts.spawn(async move { lock(&output, &format!("run-{number}")).await });
            }
            let held: Vec<_> = attempts.join_all().await.into_iter().flatten().collect();
            assert_eq!(held.len(), 1);
            // One that was considered dead does not remove the lock of another.
            PipelineLock { root, path: held[0].path.clone(), run_id: "dead".into() }.release().await;
            assert!(lock(&output, "later").await.is_none());
        }
    }
}
