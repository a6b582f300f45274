//! Opening and creating one Delta table, on every store that failsift knows.

use std::sync::Arc;

use datafusion::parquet::basic::{Compression, ZstdLevel};
use datafusion::parquet::file::properties::WriterProperties;
use deltalake_core::kernel::StructField;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore, logstore_factories,
    object_store_factories,
};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::writer::RecordBatchWriter;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError, Path};
use url::Url;

use super::columns;
use crate::limits::BUCKETS;
use crate::store;

/// The property in which a table keeps how many buckets it was made with.
const BUCKETS_PROPERTY: &str = "failsift.buckets";

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

    fn schema(self) -> arrow::datatypes::SchemaRef {
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
#[derive(Debug)]
pub(super) struct Table {
    pub(super) delta: DeltaTable,
    pub(super) name: TableName,
}

impl Table {
    /// Opens the table below `location`; creates it where it does not exist. Of two runs that create it at once one does.
    pub(super) async fn open(location: &Url, name: TableName) -> DeltaResult<Self> {
        let url = table_url(location, name)?;
        if let Some(delta) = load(&url).await? {
            return Ok(Self { delta, name });
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
            .with_configuration([(BUCKETS_PROPERTY, Some(BUCKETS.to_string()))])
            .with_raise_if_key_not_exists(false)
            .with_save_mode(SaveMode::Ignore)
            .await;
        match (created, load(&url).await?) {
            (_, Some(delta)) => Ok(Self { delta, name }),
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(DeltaTableError::NotATable(url.to_string())),
        }
    }

    /// How many buckets the table was made with.
    pub(super) fn buckets(&self) -> i32 {
        let configured = self.delta.snapshot().ok().and_then(|state| state.metadata().configuration().get(BUCKETS_PROPERTY)?.parse().ok());
        configured.filter(|buckets| *buckets > 0).unwrap_or(BUCKETS)
    }

    /// A writer of data files that no commit names yet.
    pub(super) fn writer(&self) -> DeltaResult<RecordBatchWriter> {
        /// Rows of a row group: what a partition holds in memory before it encodes.
        const ROW_GROUP_ROWS: usize = 2_048;
        /// Each text column of each open file holds a dictionary until its row group ends.
        const DICTIONARY_BYTES: usize = 128 * 1024;
        const FILE_BYTES: u64 = 64 * 1024 * 1024;
        let level = ZstdLevel::try_new(3).unwrap_or_default();
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
            .set_dictionary_page_size_limit(DICTIONARY_BYTES)
            .build();
        Ok(RecordBatchWriter::for_table(&self.delta)?.with_writer_properties(properties).with_target_file_size(FILE_BYTES))
    }
}

/// Opens a table for reading.
///
/// # Errors
/// `None` where there is none; an error where the store refuses or the log is corrupt.
pub async fn open_existing(location: &Url, name: TableName) -> DeltaResult<Option<DeltaTable>> {
    load(&table_url(location, name)?).await
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
    const SCHEMES: [&str; 8] = ["s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "adl"];
    for scheme in SCHEMES {
        if let Ok(url) = Url::parse(&format!("{scheme}://")) {
            object_store_factories().entry(url.clone()).or_insert_with(|| Arc::new(Stores));
            logstore_factories().entry(url).or_insert_with(|| Arc::new(Stores));
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
