//! Maintenance of the tables: completes the commits of interrupted runs, removes abandoned staging folders, merges small files, and removes
//! files and log entries that no version within the retention needs.
//!
//! It takes an output location and returns a report. A dry run computes the same report, with the plan that leads to it, and changes nothing.

use std::time::Duration;

use deltalake_core::operations::vacuum::VacuumMode;
use deltalake_core::protocol::checkpoints::{cleanup_metadata, create_checkpoint};
use deltalake_core::table::config::TablePropertiesExt;
use deltalake_core::{DeltaResult, Path};
use futures::TryStreamExt;
use object_store::ObjectStore;
use serde::Serialize;
use url::Url;

use super::commit::{complete_interrupted_commit, plan_interrupted_commit};
use super::error::{WriteError, table_error};
use super::output::OutputTables;
use super::staging::{OtherRun, StagingError, StagingRoot, other_runs, store_time};
use super::table_files;
use super::upsert::{FileAction, UpsertPlan, compact, plan_compaction};
use crate::store;
use crate::tables::{Table, TableName, open_existing};

/// What was done, or what a dry run would have done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MaintenanceReport {
    /// One for each table that exists.
    pub tables: Vec<TableReport>,
    /// Commits of interrupted runs that were completed.
    #[serde(rename = "commits_ended")]
    pub commits_completed: usize,
    /// Folders of interrupted runs that were removed, because no run recovered their work within the retention.
    pub staging_removed: usize,
    /// Folders of interrupted runs that are kept for the next run over the same input.
    pub staging_kept: usize,
    /// Partially written local files that were removed.
    pub unfinished_removed: usize,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// The steps in detail; for a dry run only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<MaintenancePlan>,
}

/// One table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Data files of the current version before.
    pub files_before: usize,
    /// Data files of the current version after.
    pub files_after: usize,
    /// Bytes of the current version after; of a dry run before.
    pub bytes: u64,
    /// Small files that were merged into larger ones.
    pub files_merged: usize,
    /// Files that were removed, because no version within the retention names them.
    pub files_vacuumed: usize,
    /// Entries of the transaction log that were removed.
    pub log_entries_removed: usize,
    /// The version that readers see.
    pub version: u64,
}

/// What a dry run announces, file by file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct MaintenancePlan {
    /// Commits of interrupted runs that would be completed. The tables below are planned as they are now, without these commits.
    pub commits: Vec<PlannedCommit>,
    /// Run ids of staging folders that would be removed.
    pub staging_removed: Vec<String>,
    /// Run ids of staging folders that would be kept.
    pub staging_kept: Vec<String>,
    /// One for each table that exists.
    pub tables: Vec<TablePlan>,
}

/// The commit of an interrupted run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedCommit {
    /// The run.
    pub run_id: String,
    /// What it would do, in one line per table.
    pub tables: Vec<String>,
}

/// What would happen to the files of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TablePlan {
    /// Its name.
    pub table: &'static str,
    /// The compaction in one line.
    pub compaction: String,
    /// Paths of files that would be merged.
    pub merged: Vec<String>,
    /// Paths of files that would be removed.
    pub vacuumed: Vec<String>,
}

/// Maintains the tables at `location`; `None` if there are none. Runs and readers may be active meanwhile.
///
/// # Errors
/// [`WriteError`]; each table is then unchanged or wholly maintained.
pub async fn maintain(location: &Url, retention: Duration, dry_run: bool) -> Result<Option<MaintenanceReport>, WriteError> {
    let mut tables = existing_tables(location).await?;
    if tables.is_empty() {
        return Ok(None);
    }
    let mut report = MaintenanceReport {
        tables: Vec::new(),
        commits_completed: 0,
        staging_removed: 0,
        staging_kept: 0,
        unfinished_removed: 0,
        dry_run,
        plan: dry_run.then(MaintenancePlan::default),
    };
    let root = StagingRoot::below(location)?;
    let (now, clock_skew) = if dry_run { (chrono::Utc::now(), Duration::ZERO) } else { store_clock(&root).await? };
    let retention = retention.saturating_add(clock_skew);
    for other in other_runs(&root, "", now).await?.into_iter().filter(|other| other.is_interrupted) {
        maintain_staging(location, &tables, other, retention, &mut report).await?;
    }
    for table in &mut tables {
        let name = table.name;
        let maintained = maintain_table(table, retention, dry_run).await;
        let (of_table, plan) = maintained.map_err(|error| table_error(name, location.as_str(), &error))?;
        report.tables.push(of_table);
        if let Some(plans) = &mut report.plan {
            plans.tables.push(plan);
        }
    }
    let removed = store::remove_incomplete(location, retention, dry_run);
    report.unfinished_removed =
        removed.map_err(|error| StagingError::new(format!("cannot remove partially written files in {location}"), &error))?;
    Ok(Some(report))
}

/// The time by the clock of the store, and by how much the clock of this machine is ahead of it. Asking the store writes an object, which a dry
/// run must not do.
///
/// The Delta library and local files compare ages with the clock of this machine. If that is ahead, files seem older than they are, so everything
/// is kept longer by the difference.
async fn store_clock(root: &StagingRoot) -> Result<(chrono::DateTime<chrono::Utc>, Duration), WriteError> {
    // Taken before the request, whose duration would otherwise count as a difference of the clocks.
    let here = chrono::Utc::now();
    let now = store_time(root).await?;
    Ok((now, (here - now).to_std().unwrap_or_default()))
}

/// The tables as they are: not created, and not evolved.
async fn existing_tables(location: &Url) -> Result<Vec<Table>, WriteError> {
    let mut tables = Vec::new();
    for name in TableName::ALL {
        let opened = open_existing(location, name, None).await.map_err(|error| table_error(name, location.as_str(), &error))?;
        tables.extend(opened.map(|delta| Table { delta, name }));
    }
    Ok(tables)
}

/// Completes the commit of an interrupted run, and removes its folder if no run recovered its work within the retention.
async fn maintain_staging(
    location: &Url,
    tables: &[Table],
    other: OtherRun,
    retention: Duration,
    report: &mut MaintenanceReport,
) -> Result<(), WriteError> {
    let run_id = other.folder.run_id.clone();
    let completed =
        if report.dry_run { plan_commit(location, tables, &other, report).await } else { complete_commit(location, &other).await };
    if let Err(error) = &completed {
        tracing::warn!("cannot complete the commit of the interrupted run {run_id} now; _staging/{run_id} stays as it is: {error}");
    }
    report.commits_completed += usize::from(*completed.as_ref().unwrap_or(&false));
    // A commit whose files are gone can never be completed, so its folder need not stay.
    let must_stay = matches!(completed, Err(ref error) if !matches!(error, WriteError::RecoveredByOther { .. }));
    let stays = other.since_last_heartbeat < retention || must_stay;
    if stays {
        report.staging_kept += 1;
    } else {
        report.staging_removed += 1;
    }
    if let Some(plan) = &mut report.plan {
        if stays { &mut plan.staging_kept } else { &mut plan.staging_removed }.push(run_id);
    } else if !stays {
        other.folder.remove().await?;
    }
    Ok(())
}

/// Returns whether there was a commit to complete.
async fn complete_commit(location: &Url, other: &OtherRun) -> Result<bool, WriteError> {
    if other.folder.commit_record().await?.is_none() {
        return Ok(false);
    }
    complete_interrupted_commit(&mut OutputTables::open(location).await?, &other.folder).await
}

/// Adds the commit to the plan, if there is one to complete.
async fn plan_commit(location: &Url, tables: &[Table], other: &OtherRun, report: &mut MaintenanceReport) -> Result<bool, WriteError> {
    let Some(record) = other.folder.commit_record().await? else { return Ok(false) };
    let plans = plan_interrupted_commit(tables, &other.folder, &record, location.as_str()).await?;
    if let Some(plan) = &mut report.plan {
        let tables = plans.iter().map(UpsertPlan::to_string).collect();
        plan.commits.push(PlannedCommit { run_id: other.folder.run_id.clone(), tables });
    }
    Ok(true)
}

async fn maintain_table(table: &mut Table, retention: Duration, dry_run: bool) -> DeltaResult<(TableReport, TablePlan)> {
    table.delta.update_state().await?;
    let (files_before, _) = table_files::size(table).await?;
    let compaction = if dry_run { plan_compaction(table).await? } else { compact(table).await? };
    // Vacuum takes files that the loaded version does not name for orphans: it must know those that compaction has just added.
    table.delta.update_state().await?;
    let merged: Vec<String> =
        compaction.files.iter().filter(|file| file.action == FileAction::Merge).map(|file| file.stats.path.clone()).collect();
    let mut vacuumed = vacuum(table, retention, dry_run).await?;
    if dry_run && retention.is_zero() {
        // With a retention of zero, files that are merged are vacuumed in the same run.
        vacuumed.extend(merged.iter().cloned());
    }
    let log_entries_removed = if dry_run {
        removable_log_entries(table, !merged.is_empty() || !vacuumed.is_empty()).await?
    } else {
        create_checkpoint(&table.delta, None).await?;
        cleanup_metadata(&table.delta, None).await?
    };
    let (files, bytes) = table_files::size(table).await?;
    let report = TableReport {
        table: table.name.as_str(),
        files_before,
        files_after: if dry_run { files - merged.len() + compaction.files_written() } else { files },
        bytes,
        files_merged: merged.len(),
        files_vacuumed: vacuumed.len(),
        log_entries_removed,
        version: table.delta.version().unwrap_or_default(),
    };
    let plan = TablePlan { table: table.name.as_str(), compaction: compaction.to_string(), merged, vacuumed };
    Ok((report, plan))
}

/// Removes data files that no version within the retention names, and those that no commit ever named: a run was killed before its commit.
/// Returns their paths.
async fn vacuum(table: &mut Table, retention: Duration, dry_run: bool) -> DeltaResult<Vec<String>> {
    let period = chrono::Duration::from_std(retention).unwrap_or(chrono::Duration::MAX);
    let vacuum = table.delta.clone().vacuum().with_mode(VacuumMode::Full).with_retention_period(period);
    let (delta, metrics) = vacuum.with_enforce_retention_duration(false).with_dry_run(dry_run).await?;
    table.delta = delta;
    table.delta.update_state().await?;
    Ok(metrics.files_deleted)
}

/// How many entries of the transaction log would be removed after a checkpoint: those older than the log's retention that no version within it
/// needs. `is_changed`: maintenance commits a version first.
async fn removable_log_entries(table: &Table, is_changed: bool) -> DeltaResult<usize> {
    let state = table.delta.snapshot()?;
    let current = u64::try_from(i128::from(state.version())).unwrap_or(0);
    let cutoff = chrono::Utc::now() - state.table_config().log_retention_duration();
    let log = Path::from("_delta_log");
    let listed: Vec<object_store::ObjectMeta> = table.delta.object_store().list(Some(&log)).try_collect().await?;
    let entries: Vec<(u64, bool, chrono::DateTime<chrono::Utc>)> = listed
        .iter()
        .filter_map(|meta| {
            let (version, kind) = meta.location.filename()?.split_once('.')?;
            let is_checkpoint = kind.starts_with("checkpoint");
            let version = version.parse().ok().filter(|_| version.len() == 20 && (is_checkpoint || kind == "json"))?;
            Some((version, is_checkpoint, meta.last_modified))
        })
        .collect();
    // The versions within the log's retention are kept, and so is everything after the last checkpoint before them. If maintenance commits no
    // version, its checkpoint is of the current one.
    let oldest_kept = entries.iter().filter(|(_, _, time)| *time >= cutoff).map(|(version, ..)| *version).min();
    let oldest_kept = oldest_kept.unwrap_or(if is_changed { current + 1 } else { current });
    let checkpoints = entries.iter().filter(|(_, is_checkpoint, _)| *is_checkpoint).map(|(version, ..)| *version);
    let checkpoints = checkpoints.chain((!is_changed).then_some(current));
    let Some(checkpoint) = checkpoints.filter(|version| *version <= oldest_kept).max() else { return Ok(0) };
    Ok(entries.iter().filter(|(version, _, time)| *version < checkpoint && *time <= cutoff).count())
}
