//! SQL over the tables, with `DataFusion`.
//!
//! In: a location and a query. Out: rows, read-only. Memory and time of a query are bounded ([`QueryLimits`]): `text` checks its length and
//! depth, `growth` the functions that return large values, the engine's memory pool what operators hold, and `guard` the whole process. Knows
//! nothing of the stages that write the tables.

mod error;
mod growth;
mod guard;
mod limits;
mod text;

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, col, lit};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use url::Url;

pub use self::error::{ExceededError, QueryError};
pub use self::limits::QueryLimits;
use crate::limits::{QUERY_BATCH_ROWS, QUERY_SPILL_BYTES_MAX};
use crate::spill::SpillFolder;
use crate::store;
use crate::tables::{AsOf, TableName, error_hint, error_message, failure_message, open_existing, open_version};

/// A session with the tables `patterns`, `errors`, `fingerprints` and `runs`, and with `spans` if an input was given.
pub struct TablesSession {
    context: SessionContext,
    location: String,
    limits: QueryLimits,
    /// Exists as long as the session, because its queries may write to it.
    _spill: Option<SpillFolder>,
}

impl TablesSession {
    /// Opens the tables of an output location, at their latest versions or as of an earlier state.
    ///
    /// # Errors
    /// [`QueryError`] if there are none or one cannot be read.
    pub async fn open(location: &str, as_of: Option<AsOf>) -> Result<Self, QueryError> {
        Self::open_limited(location, as_of, QueryLimits::default()).await
    }

    /// Opens the tables for queries with these limits.
    ///
    /// # Errors
    /// [`QueryError`] if there are none or one cannot be read.
    pub async fn open_limited(location: &str, as_of: Option<AsOf>, limits: QueryLimits) -> Result<Self, QueryError> {
        let url: Url = store::table_url(location)?;
        let session = Self::empty(location, limits)?;
        let mut found = false;
        for name in TableName::ALL {
            let failed = |reason: String| QueryError::Table { table: name.as_str(), location: location.to_owned(), reason };
            let table = open_existing(&url, name, as_of).await.map_err(|error| {
                let hint = error_hint(&error).map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                failed(error_message(&error) + &hint)
            })?;
            let Some(table) = table else { continue };
            found = true;
            table.update_datafusion_session(&session.context.state()).map_err(|error| failed(failure_message(&error)))?;
            let provider = table.table_provider().await.map_err(|error| failed(failure_message(&error)))?;
            session.context.register_table(name.as_str(), provider)?;
        }
        if found { Ok(session) } else { Err(QueryError::NoTables(location.to_owned())) }
    }

    /// Opens a session over an input: the table `spans`, and the tables of the location if it has any.
    ///
    /// # Errors
    /// [`QueryError`] if there are tables and one cannot be read.
    pub async fn open_with_spans(
        location: &str,
        as_of: Option<AsOf>,
        limits: QueryLimits,
        spans: Arc<dyn TableProvider>,
    ) -> Result<Self, QueryError> {
        let session = match Self::open_limited(location, as_of, limits).await {
            Err(QueryError::NoTables(_)) => Self::empty(location, limits)?,
            opened => opened?,
        };
        session.context.register_table("spans", spans)?;
        Ok(session)
    }

    /// A session without tables. Its queries use no more memory than `limits` allow; sorts that need more spill to disk if the folder for temporary
    /// files is writable.
    fn empty(location: &str, limits: QueryLimits) -> Result<Self, QueryError> {
        let spill = SpillFolder::create(&std::env::temp_dir()).ok();
        let mode = match &spill {
            Some(folder) => DiskManagerMode::Directories(vec![folder.path().to_owned()]),
            None => DiskManagerMode::Disabled,
        };
        let disk = DiskManagerBuilder::default().with_mode(mode).with_max_temp_directory_size(QUERY_SPILL_BYTES_MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(limits.memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let context = SessionContext::new_with_config_rt(
            SessionConfig::new().with_information_schema(true).with_batch_size(QUERY_BATCH_ROWS),
            runtime,
        );
        growth::bound_functions(&context, limits.memory_bytes);
        Ok(Self { context, location: location.to_owned(), limits, _spill: spill })
    }

    /// The location of the tables, as the user gave it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Runs a query. Statements that would change anything are refused: only runs write tables.
    ///
    /// # Errors
    /// [`QueryError`] if the query cannot be planned. Later errors are items of the stream, which convert to [`QueryError`].
    pub async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream, QueryError> {
        text::check(sql)?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let (context, sql) = (self.context.clone(), sql.to_owned());
        let query = async move { context.sql_with_options(&sql, options).await?.execute_stream().await };
        guard::guarded(self.limits, query).await
    }

    /// Whether there is a table of this name: outputs of earlier versions lack `fingerprints`.
    pub fn has(&self, table: TableName) -> bool {
        self.context.table_exist(table.as_str()).unwrap_or(false)
    }

    /// A table, to select from it with values that never become SQL text.
    ///
    /// # Errors
    /// [`QueryError::Sql`] if there is no such table.
    pub(crate) async fn table(&self, table: TableName) -> Result<DataFrame, QueryError> {
        Ok(self.context.table(table.as_str()).await?)
    }

    /// Makes rows of earlier versions of `table` queryable as the table `name`, with these columns: those with the run ids of each part, at its
    /// version. Text columns that a version lacks are null. Returns whether all versions can be read; otherwise there is no table `name`.
    ///
    /// # Errors
    /// [`QueryError`] if the table cannot be read.
    pub(crate) async fn register_rows_of_runs(
        &self,
        name: &str,
        table: TableName,
        parts: &[(u64, Vec<String>)],
        columns: &[&str],
    ) -> Result<bool, QueryError> {
        let failed = |reason: String| QueryError::Table { table: table.as_str(), location: self.location.clone(), reason };
        let url = store::table_url(&self.location)?;
        let mut rows: Option<DataFrame> = None;
        for (version, run_ids) in parts {
            let opened = open_version(&url, table, *version).await.map_err(|error| failed(error_message(&error)))?;
            let Some(opened) = opened else { return Ok(false) };
            opened.update_datafusion_session(&self.context.state()).map_err(|error| failed(failure_message(&error)))?;
            let provider = opened.table_provider().await.map_err(|error| failed(failure_message(&error)))?;
            let part = self.context.read_table(provider)?;
            let selected: Vec<Expr> = columns
                .iter()
                .map(|column| {
                    let is_there = part.schema().has_column_with_unqualified_name(column);
                    if is_there { col(*column) } else { lit(ScalarValue::Utf8(None)).alias(*column) }
                })
                .collect();
            let of_runs = col("run_id").in_list(run_ids.iter().map(|id| lit(id.as_str())).collect(), false);
            let part = part.filter(of_runs)?.select(selected)?;
            rows = Some(match rows {
                Some(rows) => rows.union(part)?,
                None => part,
            });
        }
        if let Some(rows) = rows {
            self.context.register_table(name, rows.into_view())?;
        }
        Ok(true)
    }

    /// The rows of `table` whose `column` equals `value`. The value never becomes SQL text, so it needs no escaping.
    ///
    /// # Errors
    /// [`QueryError::Sql`].
    pub async fn rows_where(&self, table: TableName, column: &str, value: &str) -> Result<Vec<arrow::array::RecordBatch>, QueryError> {
        let rows = self.context.table(table.as_str()).await?.filter(col(column).eq(lit(value)))?;
        Ok(rows.collect().await?)
    }
}
