//! Commits the files of a staging folder. This is the only way rows enter the tables: the end of a run, a part of one (`--commit-every`) and the
//! completion of an interrupted commit all use it.
//!
//! Several runs may complete the commit of the same interrupted run concurrently. Each table accepts it once, by its [`CommitTag`]. The run that
//! finishes all tables first removes `commit.json`, then the files that it names. So once `commit.json`
//! has been written, a staged file that is gone means that the commit is complete; the tags in the tables confirm it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use deltalake_core::DeltaTableError;

use super::decision::{Decision, open_incoming};
use super::error::{WriteError, table_error};
use super::incoming::IncomingKeys;
use super::keys::Coverage;
use super::output::OutputTables;
use super::staging::{CommitRecord, RunFolder};
use super::upsert::{CommitTag, ScanCache, Superseded, UpsertPlan, plan_upsert, upsert};
use super::versions::CommittedVersions;
use crate::tables::{Table, TableName};

/// Completes the commit that an interrupted run began. Returns whether it had begun one. Other runs may do the same concurrently.
pub(super) async fn complete_interrupted_commit(tables: &mut OutputTables, folder: &RunFolder) -> Result<bool, WriteError> {
    let Some(record) = folder.commit_record().await? else { return Ok(false) };
    tracing::info!(interrupted_run = folder.run_id, "completing the commit of an interrupted run");
    commit(tables, folder, &record, None).await?;
    folder.finish_commit(&record).await?;
    Ok(true)
}

/// Commits the staged files of `record` to every table that does not have them yet. `decision` is given by the run that just made it. Returns the
/// versions that the commit made.
pub(super) async fn commit(
    tables: &mut OutputTables,
    folder: &RunFolder,
    record: &CommitRecord,
    decision: Option<Decision>,
) -> Result<CommittedVersions, WriteError> {
    let committed = commit_tables(tables, folder, record, decision).await;
    // Another run that considered this one interrupted may have completed the commit and removed the files.
    if committed.is_err() && is_complete(tables, folder, record).await.unwrap_or(false) {
        let mut versions = CommittedVersions::default();
        for name in TableName::ALL {
            versions.set(name, tag_of(folder, record).version_in(tables.get(name)).await);
        }
        return Ok(versions);
    }
    committed
}

/// Whether a commit has been completed, by any run: its record is gone, and each table has it.
async fn is_complete(tables: &mut OutputTables, folder: &RunFolder, record: &CommitRecord) -> Result<bool, WriteError> {
    if folder.is_committing(record).await? {
        return Ok(false);
    }
    let (location, tag) = (tables.location.clone(), tag_of(folder, record));
    for name in TableName::ALL.into_iter().filter(|name| !record.files_of(*name).is_empty()) {
        let failed = |error: DeltaTableError| table_error(name, &location, &error);
        let table = tables.get(name);
        table.delta.update_state().await.map_err(failed)?;
        if !tag.is_in(table).await.map_err(failed)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn tag_of(folder: &RunFolder, record: &CommitRecord) -> CommitTag {
    CommitTag { run_id: folder.run_id.clone(), part: record.part }
}

async fn commit_tables(
    tables: &mut OutputTables,
    folder: &RunFolder,
    record: &CommitRecord,
    mut decision: Option<Decision>,
) -> Result<CommittedVersions, WriteError> {
    let location = tables.location.clone();
    let tag = tag_of(folder, record);
    let (mut versions, mut superseded) = (CommittedVersions::default(), SupersededSoFar::default());
    for name in TableName::ALL {
        let failed = |error: DeltaTableError| table_error(name, &location, &error);
        let incoming = open_incoming(folder, record.files_of(name), &location).await?.with_versions(versions);
        let table = tables.get(name);
        let Decision { keys, mut cache } = match decision.take() {
            Some(decision) => decision,
            None => Decision { keys: IncomingKeys::read(table, &incoming).await.map_err(failed)?, cache: ScanCache::new() },
        };
        let of_table = superseded.of_table(name, keys.committed, record, &tag);
        versions.set(name, upsert(table, &incoming, &keys.rows, &of_table, &tag, &mut cache).await.map_err(failed)?);
        superseded.carry_over(name, of_table, keys.kept_fuller);
    }
    Ok(versions)
}

/// What the commit of an interrupted run would do to the current version of each table; the tables that have it already are left out.
pub(super) async fn plan_interrupted_commit(
    tables: &[Table],
    folder: &RunFolder,
    record: &CommitRecord,
    location: &str,
) -> Result<Vec<UpsertPlan>, WriteError> {
    let tag = tag_of(folder, record);
    let (mut plans, mut superseded) = (Vec::new(), SupersededSoFar::default());
    for table in tables {
        let name = table.name;
        let failed = |error: DeltaTableError| table_error(name, location, &error);
        let incoming = open_incoming(folder, record.files_of(name), location).await?;
        let keys = IncomingKeys::read(table, &incoming).await.map_err(failed)?;
        let of_table = superseded.of_table(name, keys.committed, record, &tag);
        if !tag.is_in(table).await.map_err(failed)? {
            plans.push(plan_upsert(table, &keys.rows, &of_table).await.map_err(failed)?);
        }
        superseded.carry_over(name, of_table, keys.kept_fuller);
    }
    Ok(plans)
}

/// The keys that the tables committed so far supersede. There are many, so they are moved from table to table and not copied.
#[derive(Default)]
struct SupersededSoFar(HashMap<u128, Coverage>);

impl SupersededSoFar {
    /// What the commit supersedes in one table.
    ///
    /// In `errors` these are also the traces that have a pattern now, of this run or a fuller one. In `patterns` a trace that fails keeps its
    /// last pattern: keys of `errors` are never searched there.
    fn of_table(&mut self, name: TableName, committed: HashMap<u128, Coverage>, record: &CommitRecord, tag: &CommitTag) -> Arc<Superseded> {
        // Fingerprints are no keys of traces.
        if name == TableName::Fingerprints {
            return Arc::new(Superseded { keys: committed, ..Superseded::default() });
        }
        self.0.extend(committed);
        let mut objects = HashSet::new();
        if name == TableName::Errors {
            self.0.extend(record.resolved_errors.iter().map(|key| (*key, Coverage::REPLACES_ALL)));
            objects.extend(record.objects.iter().copied());
        }
        // `runs` has no key: rows are only added.
        let keys = if name == TableName::Runs { HashMap::new() } else { std::mem::take(&mut self.0) };
        Arc::new(Superseded { keys, objects, run_id: tag.run_id.clone() })
    }

    fn carry_over(&mut self, name: TableName, of_table: Arc<Superseded>, kept_fuller: Vec<u128>) {
        if name == TableName::Fingerprints {
            return;
        }
        self.0 = Arc::try_unwrap(of_table).map_or_else(|shared| shared.keys.clone(), |unique| unique.keys);
        self.0.extend(kept_fuller.into_iter().map(|key| (key, Coverage::REPLACES_ALL)));
    }
}
