//! Housekeeping: merges small files, removes what no version names any more, and ends or removes what dead runs left.

use std::time::Duration;

use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::protocol::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::{DeltaResult, DeltaTableError};
use serde::Serialize;
use url::Url;

use super::staging::{self, Folder, Place};
use super::table::{Table, TableName, open_existing};
use super::{Tables, WriteError, roll_forward, upsert, wrong};
use crate::store;

/// What was done, or with `dry_run` what would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Maintained {
    /// Each table that is there.
    pub tables: Vec<MaintainedTable>,
    /// Commits of killed runs that were ended.
    pub commits_ended: usize,
    /// Folders of dead runs that were removed with the work that nobody took up.
    pub staging_removed: usize,
    /// Folders of dead runs that are kept for the next run over the same input.
    pub staging_kept: usize,
    /// Files that killed runs had not written to their end and that were removed.
    pub unfinished_removed: usize,
    /// Nothing was changed.
    pub dry_run: bool,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaintainedTable {
    /// Its name.
    pub table: &'static str,
    /// Data files of the current version before.
    pub files_before: usize,
    /// And after.
    pub files_after: usize,
    /// Bytes of the current version, after.
    pub bytes: u64,
    /// Small files that were merged into others.
    pub files_merged: usize,
    /// Files that no version within the retention names and that were removed.
    pub files_vacuumed: usize,
    /// Entries of the transaction log that were removed.
    pub log_entries_removed: usize,
    /// The version that readers see.
    pub version: u64,
}

/// Looks after the tables at `location`; nothing where there are none. Runs may go on meanwhile.
///
/// # Errors
/// [`WriteError`]; each table is then as it was or wholly looked after.
pub async fn maintain(location: &Url, retention: Duration, dry_run: bool) -> Result<Option<Maintained>, WriteError> {
    let mut there = Vec::new();
    for name in TableName::ALL {
        let at = |error: DeltaTableError| wrong(name, location.as_str(), &error);
        there.extend(open_existing(location, name, None).await.map_err(at)?.map(|delta| Table { delta, name }));
    }
    if there.is_empty() {
        return Ok(None);
    }
    let mut done = Maintained { tables: Vec::new(), commits_ended: 0, staging_removed: 0, staging_kept: 0, unfinished_removed: 0, dry_run };
    let place = Place::below(location)?;
    // Nothing may be written only to look.
    let now = if dry_run { chrono::Utc::now() } else { staging::clock(&place).await? };
    // What Delta and local files are compared with is the clock of this machine: where that is ahead, things look older than they are.
    let ahead = (chrono::Utc::now() - now).to_std().unwrap_or_default();
    let retention = retention.saturating_add(ahead);
    for other in staging::others(&place, "", now).await?.into_iter().filter(|other| other.dead) {
        let ended = end_commit(location, &other.folder, dry_run).await;
        if let Err(error) = &ended {
            let run_id = &other.folder.run_id;
            tracing::warn!("the commit that run {run_id} was killed in cannot be ended now; _staging/{run_id} stays as it is: {error}");
        }
        done.commits_ended += usize::from(*ended.as_ref().unwrap_or(&false));
        // Of a commit whose files are gone nothing can be had any more.
        let is_waiting = matches!(ended, Err(ref error) if !matches!(error, WriteError::TakenOver { .. }));
        if other.silence < retention || is_waiting {
            done.staging_kept += 1;
            continue;
        }
        done.staging_removed += 1;
        if !dry_run {
            other.folder.remove().await?;
        }
    }
    for table in there {
        let name = table.name;
        let looked_after = look_after(table, retention, dry_run).await;
        done.tables.push(looked_after.map_err(|error| wrong(name, location.as_str(), &error))?);
    }
    if !dry_run {
        let removed = store::remove_incomplete(location, retention);
        done.unfinished_removed = removed.map_err(|error| staging::failed(format!("cannot look through {location}"), error))?;
    }
    Ok(Some(done))
}

/// Ends the commit that a dead run began; says whether there was, or with `dry_run` is, one.
async fn end_commit(location: &Url, folder: &Folder, dry_run: bool) -> Result<bool, WriteError> {
    if folder.commit_record().await?.is_none() {
        return Ok(false);
    }
    if dry_run {
        return Ok(true);
    }
    roll_forward(&mut Tables::open(location).await?, folder).await
}

async fn look_after(mut table: Table, retention: Duration, dry_run: bool) -> DeltaResult<MaintainedTable> {
    table.delta.update_state().await?;
    let (files_before, _) = upsert::size(&table).await?;
    let files_merged = if dry_run { upsert::mergeable(&table).await? } else { upsert::compact(&mut table).await? };
    let period = chrono::Duration::from_std(retention).unwrap_or(chrono::Duration::MAX);
    // Also what no commit ever named: files of runs that were killed while they committed.
    let vacuum = table.delta.clone().vacuum().with_mode(VacuumMode::Full).with_retention_period(period);
    let (delta, vacuumed) = vacuum.with_enforce_retention_duration(false).with_dry_run(dry_run).await?;
    table.delta = delta;
    table.delta.update_state().await?;
    let mut log_entries_removed = 0;
    if !dry_run {
        create_checkpoint(&table.delta, None).await?;
        log_entries_removed = cleanup_metadata(&table.delta, None).await?;
    }
    let (files_after, bytes) = upsert::size(&table).await?;
    Ok(MaintainedTable {
        table: table.name.as_str(),
        files_before,
        files_after,
        bytes,
        files_merged,
        files_vacuumed: vacuumed.files_deleted.len(),
        log_entries_removed,
        version: table.delta.version().unwrap_or_default(),
    })
}
