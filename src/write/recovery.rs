//! The first step of the writer: completes the commits of interrupted runs, and finds those runs whose finished work can be reused.

use super::commit::complete_interrupted_commit;
use super::output::OutputTables;
use super::progress::WriteProgress;
use super::staging::OtherRun;

/// Completes the commits that interrupted runs began. Returns the interrupted runs of this job, whose finished work can be recovered.
///
/// If a commit cannot be completed now, its run is left alone: its rows exist nowhere else. This run continues, because what prevents that commit
/// may not concern it; otherwise it fails at the same point itself.
pub(super) async fn complete_interrupted_commits(
    tables: &mut OutputTables,
    others: Vec<OtherRun>,
    job: &str,
    progress: &WriteProgress,
) -> Vec<OtherRun> {
    let mut same_job = Vec::new();
    for other in others.into_iter().filter(|other| other.is_interrupted) {
        progress.recovery_started();
        match complete_interrupted_commit(tables, &other.folder).await {
            Ok(_) if other.job == job => same_job.push(other),
            Ok(_) => {}
            Err(error) => {
                let run_id = other.folder.run_id;
                tracing::warn!(
                    "cannot complete the commit of the interrupted run {run_id} now; its finished work stays in _staging/{run_id}, and the next run or `failsift maintain` tries again: {error}"
                );
            }
        }
    }
    progress.recovery_finished();
    same_job
}
