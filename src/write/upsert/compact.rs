//! Merges small files of a table.

use deltalake_core::DeltaResult;
use deltalake_core::kernel::transaction::CommitProperties;
use deltalake_core::protocol::DeltaOperation;

use super::attempts::{Attempts, delete_unreferenced, try_commit};
use super::execute::move_rows;
use super::plan::UpsertPlan;
use super::scan::{TableFiles, stats_of};
use crate::limits::DATA_FILE_TARGET_BYTES;
use crate::tables::Table;
use crate::write::table_files::files_by_bucket;

/// What [`compact`] would do to the loaded version of the table.
pub(in crate::write) async fn plan_compaction(table: &Table) -> DeltaResult<UpsertPlan> {
    Ok(plan(table).await?.0)
}

async fn plan(table: &Table) -> DeltaResult<(UpsertPlan, TableFiles)> {
    let (mut stats, mut files) = (Vec::new(), TableFiles::new());
    for (bucket, in_bucket) in files_by_bucket(table).await? {
        stats.extend(in_bucket.iter().map(|file| stats_of(bucket, file)));
        files.extend(in_bucket.into_iter().map(|file| (file.path().into_owned(), file)));
    }
    Ok((UpsertPlan::compaction(table.name, stats), files))
}

/// Merges the small files of each bucket in one commit. Returns the plan that was executed.
pub(in crate::write) async fn compact(table: &mut Table) -> DeltaResult<UpsertPlan> {
    let mut attempts = Attempts::default();
    loop {
        table.delta.update_state().await?;
        let (plan, files) = plan(table).await?;
        if plan.is_empty() {
            return Ok(plan);
        }
        // One bucket at a time, because maintenance may run beside other work and should take little memory.
        let mut changes = move_rows(table, &plan, &files, 1).await?;
        changes.added.iter_mut().for_each(|add| add.data_change = false);
        changes.removed.iter_mut().for_each(|remove| remove.data_change = false);
        let moved = changes.added.clone();
        let operation =
            DeltaOperation::Optimize { predicate: None, target_size: i64::try_from(DATA_FILE_TARGET_BYTES).unwrap_or(i64::MAX) };
        let committed = try_commit(table, changes.into_actions(&[]), operation, CommitProperties::default()).await;
        let Err(error) = committed else { return Ok(plan) };
        attempts.pause(table.name, error).await?;
        delete_unreferenced(table, &moved).await;
    }
}
