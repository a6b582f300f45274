//! Opening and creating one Delta table, on every store that failsift knows.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use deltalake_core::kernel::StructField;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
    object_store_factories,
};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError, Path};
use object_store::ObjectStoreExt;
use url::Url;

use super::columns;
use crate::limits::{COMMIT_ATTEMPTS_MAX, TABLE_BUCKETS};
use crate::model::PATTERN_SCHEMA_VERSION;
use crate::store;

/// The property in which a table keeps how many buckets it was made with.
const BUCKETS_PROPERTY: &str = "failsift.buckets";

/// The property in which a table keeps which version of failsift's columns it has.
const SCHEMA_VERSION_PROPERTY: &str = "failsift.schema_version";

/// The three tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableName {
    /// One row a trace.
    Patterns,
    /// One row for what failed.
    Errors,
    /// One row a run.
    Runs,
}

impl TableName {
    /// All three, for code that registers them.
    pub const ALL: [Self; 3] = [Self::Patterns, Self::Errors, Self::Runs];

    /// The folder below the output location, and the name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Patterns => "patterns",
            Self::Errors => "errors",
            Self::Runs => "runs",
        }
    }

    fn schema(self) -> SchemaRef {
        match self {
            Self::Patterns => columns::patterns_schema(),
            Self::Errors => columns::errors_schema(),
            Self::Runs => columns::runs_schema(),
        }
    }

    fn partition_columns(self) -> &'static [&'static str] {
        match self {
            Self::Patterns | Self::Errors => &["bucket"],
            Self::Runs => &[],
        }
    }
}

/// A table that exists.
#[derive(Debug, Clone)]
pub(super) struct Table {
    pub(super) delta: DeltaTable,
    pub(super) name: TableName,
}

impl Table {
    /// Opens the table below `location`; creates it where it does not exist. Of two runs that create it at once one does.
    pub(super) async fn open(location: &Url, name: TableName) -> DeltaResult<Self> {
        let url = table_url(location, name)?;
        if let Some(delta) = load(&url).await? {
            return Self { delta, name }.evolve().await;
        }
        if let Ok(path) = url.to_file_path() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        let fields: Vec<StructField> =
            name.schema().fields().iter().map(|field| field.as_ref().try_into_kernel()).collect::<Result<_, arrow::error::ArrowError>>()?;
        let created = CreateBuilder::new()
            .with_log_store(DeltaTableBuilder::from_url(url.clone())?.build_storage()?)
            .with_table_name(name.as_str())
            .with_columns(fields)
            .with_partition_columns(name.partition_columns().iter().copied())
            .with_configuration([
                (BUCKETS_PROPERTY, Some(TABLE_BUCKETS.to_string())),
                (SCHEMA_VERSION_PROPERTY, Some(PATTERN_SCHEMA_VERSION.to_owned())),
                // Readers fetch what was committed since one by one; Delta's own default, which the library raises to 100.
                ("delta.checkpointInterval", Some("10".to_owned())),
                // Each run leaves a mark by which it knows its commits again.
                ("delta.setTransactionRetentionDuration", Some("interval 30 days".to_owned())),
            ])
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::Ignore)
            .await;
        match (created, load(&url).await?) {
            (_, Some(delta)) => Self { delta, name }.evolve().await,
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(DeltaTableError::NotATable(url.to_string())),
        }
    }

    pub(super) fn partition_by(&self) -> Option<Vec<String>> {
        let columns = self.name.partition_columns();
        (!columns.is_empty()).then(|| columns.iter().map(|column| (*column).to_owned()).collect())
    }

    /// How many buckets the table was made with.
    pub(super) fn buckets(&self) -> i32 {
        let configured = self.delta.snapshot().ok().and_then(|state| state.metadata().configuration().get(BUCKETS_PROPERTY)?.parse().ok());
        configured.filter(|buckets| *buckets > 0).unwrap_or(TABLE_BUCKETS)
    }

    /// The columns of its data files: those of the table without the one by which it is partitioned.
    pub(super) fn data_schema(&self) -> SchemaRef {
        let schema = self.delta.snapshot().map_or_else(|_| self.name.schema(), |state| state.snapshot().arrow_schema());
        let fields: Vec<FieldRef> = schema.fields().iter().filter(|field| field.name() != "bucket").cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// Adds columns that came after the table was made, without touching its files; readers see nulls in their place.
    ///
    /// Another writer may do the same at the same moment, so it is tried again on what that one left.
    async fn evolve(mut self) -> DeltaResult<Self> {
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let state = self.delta.snapshot()?;
            // Tables of before there was such a property have none.
            let configured = state.metadata().configuration().get(SCHEMA_VERSION_PROPERTY).cloned().unwrap_or_default();
            if version_of(&configured) > version_of(PATTERN_SCHEMA_VERSION) {
                return Err(DeltaTableError::Generic(format!(
                    "it was written by a newer failsift (schema {configured}, this one knows {PATTERN_SCHEMA_VERSION}); use that one"
                )));
            }
            let known = state.snapshot().arrow_schema();
            let fields = self.name.schema();
            let missing = fields.fields().iter().filter(|field| known.field_with_name(field.name()).is_err());
            let missing: Vec<StructField> = missing
                .map(|field| (&field.as_ref().clone().with_nullable(true)).try_into_kernel())
                .collect::<Result<_, arrow::error::ArrowError>>()?;
            if missing.is_empty() && configured == PATTERN_SCHEMA_VERSION {
                return Ok(self);
            }
            tracing::info!(table = self.name.as_str(), columns = missing.len(), "bringing the table to this version");
            let delta = self.delta.clone();
            let changed = if missing.is_empty() {
                // Last, so that an older failsift refuses a table only when it has all its columns.
                let version = (SCHEMA_VERSION_PROPERTY.to_owned(), PATTERN_SCHEMA_VERSION.to_owned());
                delta.set_tbl_properties().with_properties([version].into()).with_raise_if_not_exists(false).await
            } else {
                delta.add_columns().with_fields(missing).await
            };
            match changed {
                Ok(delta) => self.delta = delta,
                Err(error) => {
                    tracing::debug!(%error, "another writer changed the table at the same moment");
                    self.delta.update_state().await?;
                }
            }
        }
        Err(DeltaTableError::Generic("other writers change its columns all the time".into()))
    }
}

/// What an error of Delta says, without the name of its kind where that tells nothing, on one line.
pub fn said(error: &DeltaTableError) -> String {
    let text = match error {
        DeltaTableError::Generic(text) => text.clone(),
        // Its own words say only that some line could not be read.
        DeltaTableError::Io { .. } => format!("its transaction log cannot be read: {}", innermost(error)),
        other => other.to_string(),
    };
    let line = text.lines().next().unwrap_or_default();
    if is_denied(error) {
        return format!("{line}; may this user, or may these credentials, read _delta_log and the files of the table?");
    }
    line.to_owned()
}

/// What the last error of a chain says: the one that the others were made of.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

/// Whether something was not allowed.
fn is_denied(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let of_file = error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
        let of_store = matches!(
            error.downcast_ref::<object_store::Error>(),
            Some(object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. })
        );
        if of_file || of_store || error.to_string().contains("Permission denied") {
            return true;
        }
        next = error.source();
    }
    false
}

/// `1.10` is newer than `1.9`, which is newer than nothing.
fn version_of(text: &str) -> Vec<u32> {
    text.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}

/// An earlier state of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsOf {
    /// While `patterns` was at this version.
    Version(u64),
    /// At this time.
    Time(chrono::DateTime<chrono::Utc>),
}

/// Opens a table for reading, as it is or as it was.
///
/// # Errors
/// `None` where there is none; an error where the store refuses, the log is corrupt, or there was no table then.
pub async fn open_existing(location: &Url, name: TableName, as_of: Option<AsOf>) -> DeltaResult<Option<DeltaTable>> {
    let Some(mut table) = load(&table_url(location, name)?).await? else { return Ok(None) };
    match as_of {
        None => {}
        Some(AsOf::Version(version)) if name == TableName::Patterns => {
            let latest = table.version().unwrap_or_default();
            if version > latest {
                return Err(DeltaTableError::Generic(format!("there is no version {version}; the latest is {latest}")));
            }
            table.load_version(version).await?;
        }
        Some(AsOf::Version(version)) => {
            // A run commits `patterns` first, so what belongs to a version was there when the next one came.
            let Some(patterns) = load(&table_url(location, TableName::Patterns)?).await? else { return Ok(None) };
            if let Some(next) = committed_at(&patterns, version + 1).await? {
                load_as_of(&mut table, next - chrono::TimeDelta::milliseconds(1)).await?;
            }
        }
        Some(AsOf::Time(time)) => load_as_of(&mut table, time).await?,
    }
    Ok(Some(table))
}

async fn load_as_of(table: &mut DeltaTable, time: chrono::DateTime<chrono::Utc>) -> DeltaResult<()> {
    table.load_with_datetime(time).await?;
    match committed_at(table, table.version().unwrap_or_default()).await? {
        Some(committed) if committed > time => {
            Err(DeltaTableError::Generic(format!("there was no table yet; its first version that is kept is of {committed}")))
        }
        _ => Ok(()),
    }
}

/// When a version was committed; nothing where it was not, or is not kept any more.
async fn committed_at(table: &DeltaTable, version: u64) -> DeltaResult<Option<chrono::DateTime<chrono::Utc>>> {
    match table.object_store().head(&Path::from(format!("_delta_log/{version:020}.json"))).await {
        Ok(meta) => Ok(Some(meta.last_modified)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn load(url: &Url) -> DeltaResult<Option<DeltaTable>> {
    register_stores();
    if let Ok(path) = url.to_file_path()
        && !path.join("_delta_log").exists()
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

fn table_url(location: &Url, name: TableName) -> DeltaResult<Url> {
    let mut url = location.clone();
    {
        let mut segments = url.path_segments_mut().map_err(|()| DeltaTableError::InvalidTableLocation(location.to_string()))?;
        segments.pop_if_empty().push(name.as_str());
    }
    Ok(url)
}

/// Teaches Delta the stores that `store` knows. Delta keeps a registry for the process; registering again changes nothing.
fn register_stores() {
    const SCHEMES: [&str; 9] = ["file", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];
    for scheme in SCHEMES {
        if let Ok(url) = Url::parse(&format!("{scheme}://")) {
            // Delta has stores of its own for local files, whose writes do not survive a power loss.
            object_store_factories().insert(url.clone(), Arc::new(Stores));
            logstore_factories().insert(url, Arc::new(Stores));
        }
    }
}

#[derive(Debug)]
struct Stores;

impl ObjectStoreFactory for Stores {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let (store, path) = store::open(url).map_err(|error| DeltaTableError::InvalidTableLocation(error.to_string()))?;
        Ok((store, path))
    }
}

impl LogStoreFactory for Stores {
    /// The default log store commits with a conditional put, which S3, GCS and Azure offer.
    fn with_options(
        &self,
        prefixed: ObjectStoreRef,
        root: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed, root, location, options))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_may_not_be_read_is_said_to_be_so() {
        let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
        let said = said(&DeltaTableError::Io { source: denied });
        assert!(said.contains("transaction log") && said.contains("permission denied") && said.contains("may this user"), "{said}");
    }
}
