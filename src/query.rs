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
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use url::Url;

pub use self::error::{ExceededError, QueryError};
pub use self::limits::QueryLimits;
use crate::store;
use crate::tables::{AsOf, TableName, error_hint, error_message, failure_message, open_existing};

/// A session with the tables `patterns`, `errors` and `runs`, and with `spans` if an input was given.
pub struct TablesSession {
    context: SessionContext,
    location: String,
    limits: QueryLimits,
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
        let context = context(limits)?;
        let mut found = false;
        for name in TableName::ALL {
            let failed = |reason: String| QueryError::Table { table: name.as_str(), location: location.to_owned(), reason };
            let table = open_existing(&url, name, as_of).await.map_err(|error| {
                let hint = error_hint(&error).map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
                failed(error_message(&error) + &hint)
            })?;
            let Some(table) = table else { continue };
            found = true;
            table.update_datafusion_session(&context.state()).map_err(|error| failed(failure_message(&error)))?;
            let provider = table.table_provider().await.map_err(|error| failed(failure_message(&error)))?;
            context.register_table(name.as_str(), provider)?;
        }
        if found { Ok(Self { context, location: location.to_owned(), limits }) } else { Err(QueryError::NoTables(location.to_owned())) }
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
            Err(QueryError::NoTables(_)) => Self { context: context(limits)?, location: location.to_owned(), limits },
            opened => opened?,
        };
        session.context.register_table("spans", spans)?;
        Ok(session)
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

    /// The rows of `table` whose `column` equals `value`. The value never becomes SQL text, so it needs no escaping.
    ///
    /// # Errors
    /// [`QueryError::Sql`].
    pub async fn rows_where(&self, table: TableName, column: &str, value: &str) -> Result<Vec<arrow::array::RecordBatch>, QueryError> {
        let rows = self.context.table(table.as_str()).await?.filter(col(column).eq(lit(value)))?;
        Ok(rows.collect().await?)
    }
}

/// An engine session that uses no more memory than `limits` allow, and does not spill to disk.
fn context(limits: QueryLimits) -> Result<SessionContext, QueryError> {
    let config = SessionConfig::new().with_information_schema(true);
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(Arc::new(GreedyMemoryPool::new(limits.memory_bytes)))
        .with_disk_manager_builder(DiskManagerBuilder::default().with_mode(DiskManagerMode::Disabled))
        .build_arc()?;
    let context = SessionContext::new_with_config_rt(config, runtime);
    growth::bound_functions(&context, limits.memory_bytes);
    Ok(context)
}
