//! Attempts at one commit. A commit succeeds only on top of the version that it was planned against.

use std::collections::HashSet;
use std::time::Duration;

use deltalake_core::kernel::transaction::{CommitBuilder, CommitProperties, TransactionError};
use deltalake_core::kernel::{Action, Add};
use deltalake_core::protocol::DeltaOperation;
use deltalake_core::{DeltaResult, DeltaTableError, Path};
use object_store::ObjectStoreExt;

use crate::limits::{COMMIT_ATTEMPTS_MAX, COMMIT_STORE_FAILURES_MAX};
use crate::tables::{Table, TableName};
use crate::write::table_files::files_of;

/// Counts attempts, and pauses longer after each.
#[derive(Default)]
pub(super) struct Attempts {
    lost_races: usize,
    failures: usize,
}

impl Attempts {
    /// Waits before the next attempt.
    ///
    /// # Errors
    /// `error`, if there were too many attempts.
    pub(super) async fn pause(&mut self, table: TableName, error: DeltaTableError) -> DeltaResult<()> {
        let lost_race = is_lost_race(&error);
        if lost_race {
            self.lost_races += 1;
        } else {
            self.failures += 1;
        }
        if self.lost_races >= COMMIT_ATTEMPTS_MAX || self.failures >= COMMIT_STORE_FAILURES_MAX {
            return Err(error);
        }
        tracing::debug!(table = table.as_str(), lost_race, "the commit failed, planning again");
        let delay = Duration::from_millis(20 << (self.lost_races + self.failures).min(7)).min(Duration::from_secs(2));
        // Jitter, so that writers that collided do not collide again.
        let random = uuid::Uuid::new_v4().as_bytes().first().copied().unwrap_or(0);
        tokio::time::sleep(delay / 2 + delay * u32::from(random) / 512).await;
        Ok(())
    }
}

/// Whether another writer committed the version first.
fn is_lost_race(error: &DeltaTableError) -> bool {
    let text = error.to_string();
    matches!(
        error,
        DeltaTableError::VersionAlreadyExists(_)
            | DeltaTableError::Transaction {
                source: TransactionError::MaxCommitAttempts(_)
                    | TransactionError::VersionAlreadyExists(_)
                    | TransactionError::CommitConflict(_)
            }
    ) || text.contains("already exists")
}

/// Commits on top of the loaded version, or fails. Returns the new version.
pub(super) async fn try_commit(
    table: &mut Table,
    actions: Vec<Action>,
    operation: DeltaOperation,
    properties: CommitProperties,
) -> DeltaResult<u64> {
    let state = table.delta.snapshot()?;
    let properties = properties.with_max_retries(0);
    let committed = CommitBuilder::from(properties).with_actions(actions).build(Some(state), table.delta.log_store(), operation).await?;
    Ok(committed.version())
}

/// Deletes the files of an attempt that failed. Files that cannot be deleted now are vacuumed later.
pub(super) async fn delete_unreferenced(table: &mut Table, files: &[Add]) {
    // A store's client may repeat a commit and lose the race against itself. Then the files are in the table.
    if table.delta.update_state().await.is_err() {
        return;
    }
    let Ok(current) = files_of(table).await else { return };
    let referenced: HashSet<String> = current.iter().map(|file| file.path().into_owned()).collect();
    for file in files.iter().filter(|file| !referenced.contains(&file.path)) {
        let _ = table.delta.object_store().delete(&Path::from(file.path.as_str())).await;
    }
}
