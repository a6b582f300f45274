//! A table that can be written: created if it does not exist, and evolved to the columns of this version.

use std::sync::Arc;

use arrow::datatypes::{FieldRef, Schema, SchemaRef};
use deltalake_core::kernel::StructField;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaResult, DeltaTable, DeltaTableBuilder, DeltaTableError};
use url::Url;

use super::name::TableName;
use super::open::{load, table_url};
use crate::limits::{COMMIT_ATTEMPTS_MAX, TABLE_BUCKETS};
use crate::model::PATTERN_SCHEMA_VERSION;

/// The table property that records how many buckets the table was created with.
const BUCKETS_PROPERTY: &str = "failsift.buckets";

/// The table property that records which version of failsift's columns the table has.
const SCHEMA_VERSION_PROPERTY: &str = "failsift.schema_version";

/// One table at one version.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) delta: DeltaTable,
    pub(crate) name: TableName,
}

impl Table {
    /// Opens the table below `location`, or creates it. If two runs create it concurrently, one of them wins and both use that table.
    pub(crate) async fn open(location: &Url, name: TableName) -> DeltaResult<Self> {
        let url = table_url(location, name)?;
        if let Some(delta) = load(&url).await? {
            return Self { delta, name }.evolve().await;
        }
        if let Ok(path) = url.to_file_path() {
            use std::os::unix::fs::DirBuilderExt;
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        }
        let created = create(&url, name).await;
        match (created, load(&url).await?) {
            (_, Some(delta)) => Self { delta, name }.evolve().await,
            (Err(error), None) => Err(error),
            (Ok(_), None) => Err(DeltaTableError::NotATable(url.to_string())),
        }
    }

    pub(crate) fn partition_columns(&self) -> Option<Vec<String>> {
        let columns = self.name.partition_columns();
        (!columns.is_empty()).then(|| columns.iter().map(|column| (*column).to_owned()).collect())
    }

    /// The number of buckets that the table was created with.
    pub(crate) fn buckets(&self) -> i32 {
        let configured = self.delta.snapshot().ok().and_then(|state| state.metadata().configuration().get(BUCKETS_PROPERTY)?.parse().ok());
        configured.filter(|buckets| *buckets > 0).unwrap_or(TABLE_BUCKETS)
    }

    /// The columns of its data files: all but the partition column, whose value is in the path of the file.
    pub(crate) fn data_schema(&self) -> SchemaRef {
        let schema = self.delta.snapshot().map_or_else(|_| self.name.schema(), |state| state.snapshot().arrow_schema());
        let fields: Vec<FieldRef> = schema.fields().iter().filter(|field| field.name() != "bucket").cloned().collect();
        Arc::new(Schema::new(fields))
    }

    /// Adds the columns that the table lacks, without rewriting its files: readers see nulls in older rows.
    ///
    /// Another writer may do the same concurrently, so each attempt starts from the latest version. Only names are compared: types and
    /// comments of existing columns stay as they are.
    async fn evolve(mut self) -> DeltaResult<Self> {
        for _ in 0..COMMIT_ATTEMPTS_MAX {
            let state = self.delta.snapshot()?;
            // Tables that are older than the property lack it.
            let configured = state.metadata().configuration().get(SCHEMA_VERSION_PROPERTY).cloned().unwrap_or_default();
            if parsed_version(&configured) > parsed_version(PATTERN_SCHEMA_VERSION) {
                return Err(DeltaTableError::Generic(format!(
                    "it was written by a newer failsift (schema {configured}; this one supports {PATTERN_SCHEMA_VERSION}); use the newer one"
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
            tracing::info!(table = self.name.as_str(), columns = missing.len(), "evolving the table to this version");
            let delta = self.delta.clone();
            let changed = if missing.is_empty() {
                // The version is set last: an older failsift refuses the table only when it has all columns of the newer one.
                let version = (SCHEMA_VERSION_PROPERTY.to_owned(), PATTERN_SCHEMA_VERSION.to_owned());
                delta.set_tbl_properties().with_properties([version].into()).with_raise_if_not_exists(false).await
            } else {
                delta.add_columns().with_fields(missing).await
            };
            match changed {
                Ok(delta) => self.delta = delta,
                Err(error) => {
                    tracing::debug!(%error, "another writer changed the table concurrently");
                    self.delta.update_state().await?;
                }
            }
        }
        Err(DeltaTableError::Generic("other writers keep changing its columns".into()))
    }
}

async fn create(url: &Url, name: TableName) -> DeltaResult<DeltaTable> {
    let fields: Vec<StructField> =
        name.schema().fields().iter().map(|field| field.as_ref().try_into_kernel()).collect::<Result<_, arrow::error::ArrowError>>()?;
    CreateBuilder::new()
        .with_log_store(DeltaTableBuilder::from_url(url.clone())?.build_storage()?)
        .with_table_name(name.as_str())
        .with_columns(fields)
        .with_partition_columns(name.partition_columns().iter().copied())
        .with_configuration([
            (BUCKETS_PROPERTY, Some(TABLE_BUCKETS.to_string())),
            (SCHEMA_VERSION_PROPERTY, Some(PATTERN_SCHEMA_VERSION.to_owned())),
            // Readers fetch the commits since the last checkpoint one by one. 10 is the protocol's default; the library would use 100.
            ("delta.checkpointInterval", Some("10".to_owned())),
            // The tags by which a run recognizes its commits (`write::upsert::CommitTag`).
            ("delta.setTransactionRetentionDuration", Some("interval 30 days".to_owned())),
        ])
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::Ignore)
        .await
}

/// Compares as numbers: `1.10` is newer than `1.9`, which is newer than an empty version.
fn parsed_version(text: &str) -> Vec<u32> {
    text.split('.').filter(|part| !part.is_empty()).map(|part| part.parse().unwrap_or(u32::MAX)).collect()
}
