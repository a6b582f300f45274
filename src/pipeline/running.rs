//! Decides whether a run starts while another run of the same pipeline is active.

use std::time::Instant;

use tokio_util::sync::CancellationToken;
use url::Url;

use super::RunError;
use crate::config::{AnalysisConfig, IfRunning};
use crate::limits::{RUNNING_POLL_INTERVAL, RUNNING_WAIT_MAX};
use crate::model::key_hash;
use crate::store::Location;
use crate::write::{self, ActiveRun, Attempt, PipelineLock};

/// Whether a run starts.
pub(super) enum Start {
    /// It does, with the lock if it asked for it.
    Run(Option<PipelineLock>),
    /// It does not, because this run is active.
    Skip(ActiveRun),
}

/// This run. Runs of one pipeline file over different inputs, such as the mapped tasks of a scheduler, do not exclude each other.
pub(super) fn this_run(config: &AnalysisConfig, run_id: &str, started_at: &str) -> Result<ActiveRun, RunError> {
    let inputs = config.inputs.iter().map(|input| Ok(Location::parse(input)?.canonical()));
    let mut inputs = inputs.collect::<Result<Vec<String>, RunError>>()?;
    inputs.sort();
    let pipeline = format!("{:032x}", key_hash(&serde_json::json!([config.pipeline, inputs]).to_string()));
    Ok(ActiveRun::new(run_id, pipeline, started_at))
}

/// Takes the lock of the pipeline, if the configuration asks for it.
pub(super) async fn start(
    if_running: Option<IfRunning>,
    output: &Url,
    run: &ActiveRun,
    shutdown: &CancellationToken,
) -> Result<Start, RunError> {
    let Some(if_running) = if_running else { return Ok(Start::Run(None)) };
    let waiting_since = Instant::now();
    let mut waits_for = None;
    loop {
        let other = match write::try_lock(output, run).await? {
            Attempt::Locked(lock) => return Ok(Start::Run(Some(lock))),
            Attempt::Busy(other) => other,
        };
        match if_running {
            IfRunning::Skip => return Ok(Start::Skip(other)),
            IfRunning::Fail => return Err(RunError::Running(other)),
            IfRunning::Wait if waiting_since.elapsed() >= RUNNING_WAIT_MAX => return Err(RunError::Running(other)),
            IfRunning::Wait => {}
        }
        if waits_for.as_ref() != Some(&other) {
            tracing::warn!("waiting: {other}");
            waits_for = Some(other);
        }
        tokio::select! {
            () = tokio::time::sleep(RUNNING_POLL_INTERVAL) => {}
            () = shutdown.cancelled() => return Err(RunError::StoppedWaiting),
        }
    }
}
