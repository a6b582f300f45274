//! Tags by which a writer recognizes its own commits.

use deltalake_core::DeltaResult;
use deltalake_core::kernel::Transaction;

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
}
