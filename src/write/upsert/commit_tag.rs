//! Tags by which a writer recognizes its own commits.

use deltalake_core::DeltaResult;
use deltalake_core::kernel::Transaction;
use serde::Deserialize;

use crate::limits::LOG_ENTRIES_SEARCHED_MAX;
use crate::tables::Table;

/// The transaction id of a commit: the run, and the number of the commit within it. If the response to a commit was lost, or another run may
/// have completed it, the tag shows whether the table has it.
#[derive(Debug, Clone)]
pub(in crate::write) struct CommitTag {
    pub(in crate::write) run_id: String,
    /// The number of the commit within the run.
    pub(in crate::write) part: i64,
}

impl CommitTag {
    fn application_id(&self) -> String {
        format!("failsift/{}", self.run_id)
    }

    /// As the transaction log stores it.
    pub(super) fn transaction(&self) -> Transaction {
        Transaction::new(self.application_id(), self.part)
    }

    /// Whether the loaded version of the table includes the commit.
    pub(in crate::write) async fn is_in(&self, table: &Table) -> DeltaResult<bool> {
        let state = table.delta.snapshot()?;
        let version = state.transaction_version(table.delta.log_store().as_ref(), self.application_id()).await?;
        Ok(version.is_some_and(|version| version >= self.part))
    }

    /// The version of the table that this commit made, if it is one of the latest; `None` if its log entry is not found.
    pub(in crate::write) async fn version_in(&self, table: &Table) -> Option<u64> {
        let (log, latest) = (table.delta.log_store(), table.delta.version()?);
        for version in (0..=latest).rev().take(LOG_ENTRIES_SEARCHED_MAX) {
            // Entries that a checkpoint covers may have been removed. Then so are all earlier ones.
            let entry = log.read_commit_entry(version).await.ok().flatten()?;
            let mut actions = entry.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<LoggedAction>(line).ok());
            if actions.any(|action| action.txn.is_some_and(|txn| txn.app_id == self.application_id() && txn.version == self.part)) {
                return Some(version);
            }
        }
        None
    }
}

/// The part of a log entry's line that tells whose commit it is.
#[derive(Deserialize)]
struct LoggedAction {
    txn: Option<LoggedTransaction>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LoggedTransaction {
    app_id: String,
    version: i64,
}
