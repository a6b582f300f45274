//! Opening a table for reading: its latest version, or an earlier one.

use std::collections::HashSet;

use deltalake_core::kernel::LogicalFileView;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError, Path};
use futures::TryStreamExt;
use object_store::{ObjectStore, ObjectStoreExt};
use url::Url;

use super::log_store;
use super::name::TableName;

/// An earlier state of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// While `patterns` was at this version.
    Version(u64),
    /// At this time.
    Time(chrono::DateTime<chrono::Utc>),
}

/// Opens a table for reading, at its latest version or as of an earlier state. `None` if there is no such table, or if it is `fingerprints`,
/// which tables of earlier versions lack, and did not exist at that time.
///
/// # Errors
/// The store refuses, the transaction log is corrupt, or the table did not exist at that time.
pub async fn open_existing(location: &Url, name: TableName, as_of: Option<AsOf>) -> DeltaResult<Option<DeltaTable>> {
    let Some(mut table) = load(&table_url(location, name)?).await? else { return Ok(None) };
    let exists = match as_of {
        None => true,
        Some(AsOf::Version(version)) if name == TableName::Patterns => {
            let latest = table.version().unwrap_or_default();
            if version > latest {
                return Err(DeltaTableError::Generic(format!("there is no version {version}; the latest is {latest}")));
            }
            table.load_version(version).await?;
            true
        }
        Some(AsOf::Version(version)) => {
            // A run commits `patterns` first. So the rows of the other tables that belong to a version of it were committed before the
            // next version.
            let Some(patterns) = load(&table_url(location, TableName::Patterns)?).await? else { return Ok(None) };
            match committed_at(&patterns, version + 1).await? {
                Some(next) => load_as_of(&mut table, name, next - chrono::TimeDelta::milliseconds(1)).await?,
                None => true,
            }
        }
        Some(AsOf::Time(time)) => load_as_of(&mut table, name, time).await?,
    };
    Ok(exists.then_some(table))
}

/// Opens one version of a table for reading. `None` if there is no such table, or if its version cannot be read any more, because its log entry or
/// one of its data files has been removed.
///
/// # Errors
/// The store refuses, or the transaction log is corrupt.
pub(crate) async fn open_version(location: &Url, name: TableName, version: u64) -> DeltaResult<Option<DeltaTable>> {
    let Some(mut table) = load(&table_url(location, name)?).await? else { return Ok(None) };
    if table.version() != Some(version) {
        if committed_at(&table, version).await?.is_none() {
            return Ok(None);
        }
        table.load_version(version).await?;
    }
    Ok(has_all_files(&table).await?.then_some(table))
}

/// Whether every data file of the loaded version exists.
async fn has_all_files(table: &DeltaTable) -> DeltaResult<bool> {
    let files: Vec<LogicalFileView> = table.snapshot()?.snapshot().file_views(table.log_store().as_ref(), None).try_collect().await?;
    let mut missing: HashSet<Path> = files.iter().map(LogicalFileView::object_store_path).collect();
    let store = table.object_store();
    let mut listed = store.list(None);
    while let Some(object) = listed.try_next().await? {
        missing.remove(&object.location);
    }
    Ok(missing.is_empty())
}

/// Loads the version of a time. Returns whether there was one.
async fn load_as_of(table: &mut DeltaTable, name: TableName, time: chrono::DateTime<chrono::Utc>) -> DeltaResult<bool> {
    table.load_with_datetime(time).await?;
    match committed_at(table, table.version().unwrap_or_default()).await? {
        // The library falls back to the oldest version if all are later.
        Some(committed) if committed > time && name == TableName::Fingerprints => Ok(false),
        Some(committed) if committed > time => {
            Err(DeltaTableError::Generic(format!("there was no table yet; the oldest version still kept was committed at {committed}")))
        }
        _ => Ok(true),
    }
}

/// When a version was committed. `None` if it does not exist or its log entry has been removed.
async fn committed_at(table: &DeltaTable, version: u64) -> DeltaResult<Option<chrono::DateTime<chrono::Utc>>> {
    match table.object_store().head(&Path::from(format!("_delta_log/{version:020}.json"))).await {
        Ok(meta) => Ok(Some(meta.last_modified)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The latest version of the table at `url`. `None` if there is no table.
pub(super) async fn load(url: &Url) -> DeltaResult<Option<DeltaTable>> {
    log_store::register();
    if let Ok(path) = url.to_file_path()
        && !has_log(&path)?
    {
        return Ok(None);
    }
    match DeltaTableBuilder::from_url(url.clone())?.load().await {
        Ok(table) => Ok(Some(table)),
        Err(DeltaTableError::NotATable(_) | DeltaTableError::InvalidTableLocation(_)) => Ok(None),
        Err(error) if error.to_string().contains("No files in log segment") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether a local folder contains a transaction log. A folder that may not be read is an error, and not a missing table.
fn has_log(folder: &std::path::Path) -> DeltaResult<bool> {
    match folder.join("_delta_log").try_exists() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Err(error.into()),
        exists => Ok(exists.unwrap_or(false)),
    }
}

pub(super) fn table_url(location: &Url, name: TableName) -> DeltaResult<Url> {
    let mut url = location.clone();
    {
        let mut segments = url.path_segments_mut().map_err(|()| DeltaTableError::InvalidTableLocation(location.to_string()))?;
        segments.pop_if_empty().push(name.as_str());
    }
    Ok(url)
}
