//! Writes the new files of a plan. No reader sees them until a commit names them.

use std::sync::Arc;

use deltalake_core::DeltaResult;
use deltalake_core::kernel::{Action, Add, LogicalFileView, Remove};
use tokio::task::{JoinError, JoinSet};

use super::plan::{FileAction, PlannedFile, UpsertPlan};
use super::scan::{TableFiles, stopped, unreadable};
use crate::runtime::pool;
use crate::tables::Table;
use crate::write::table_files::{Bucket, object_of};
use crate::write::table_writer::{Destination, RowSelection, TableWriter};

/// What a commit changes about the files that were there.
#[derive(Debug, Default)]
pub(super) struct FileChanges {
    pub(super) removed: Vec<Remove>,
    pub(super) added: Vec<Add>,
}

impl FileChanges {
    /// Actions of the transaction log: these changes, and `new` files.
    pub(super) fn into_actions(self, new: &[Add]) -> Vec<Action> {
        let added = new.iter().cloned().chain(self.added).map(Action::Add);
        added.chain(self.removed.into_iter().map(Action::Remove)).collect()
    }
}

/// Moves the rows of the files that `plan` rewrites or merges, `buckets_in_flight` at a time. `files` are those that were planned.
pub(super) async fn move_rows(table: &Table, plan: &UpsertPlan, files: &TableFiles, buckets_in_flight: usize) -> DeltaResult<FileChanges> {
    let (shared, mut tasks, mut all) = (Arc::new(table.clone()), JoinSet::new(), FileChanges::default());
    let mut take = |moved: Result<DeltaResult<FileChanges>, JoinError>| -> DeltaResult<()> {
        let moved = pool::join_result(moved).ok_or_else(stopped)??;
        all.removed.extend(moved.removed);
        all.added.extend(moved.added);
        Ok(())
    };
    for (bucket, planned) in plan.moved_files() {
        if tasks.len() >= buckets_in_flight
            && let Some(moved) = tasks.join_next().await
        {
            take(moved)?;
        }
        let of_plan = |planned: &PlannedFile| Some((files.get(&planned.stats.path)?.clone(), planned.action.clone()));
        let planned = planned.into_iter().filter_map(of_plan).collect();
        // Separate tasks, because decoding and encoding keep a core busy.
        tasks.spawn(move_rows_of_bucket(Arc::clone(&shared), bucket, planned));
    }
    while let Some(moved) = tasks.join_next().await {
        take(moved)?;
    }
    Ok(all)
}

async fn move_rows_of_bucket(table: Arc<Table>, bucket: Bucket, files: Vec<(LogicalFileView, FileAction)>) -> DeltaResult<FileChanges> {
    let mut changes = FileChanges::default();
    let mut writer = TableWriter::new(&table);
    for (file, action) in files {
        let selection = match action {
            FileAction::Rewrite { superseded_rows } => RowSelection::Without(superseded_rows),
            FileAction::Merge | FileAction::Keep => RowSelection::All,
        };
        changes.removed.push(file.remove_action(true));
        let object = object_of(&table, &file);
        let copied = writer.copy_rows(&object, &selection, Destination::Bucket(bucket)).await;
        copied.map_err(|error| unreadable(table.name, &object, &error))?;
    }
    changes.added = writer.finish().await?;
    Ok(changes)
}
