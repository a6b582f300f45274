//! SQL over the tables with `DataFusion`. Reads the tables and knows nothing of the stages that made them.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use url::Url;

use crate::store;
use crate::write::{AsOf, TableName, open_existing, said};

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum QueryError {
    /// No tables lie there.
    #[error(
        "there are no failsift tables in {0}\n  hint: give the --output of a run as --tables, or traces as --input for the table spans"
    )]
    NoTables(String),
    /// The location is no usable place.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// A table cannot be opened.
    #[error("cannot open the table {table} in {location}: {reason}")]
    Table {
        /// Which one.
        table: &'static str,
        /// Where.
        location: String,
        /// What was said.
        reason: String,
    },
    /// The SQL is wrong or failed.
    #[error("{0}")]
    Sql(String),
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        Self::Sql(error.strip_backtrace())
    }
}

/// A session in which `patterns`, `errors` and `runs` are tables, and `spans` where an input was given.
pub struct TablesSession {
    context: SessionContext,
    location: String,
}

impl TablesSession {
    /// Opens the tables of an output location as they are now, or as they were.
    ///
    /// # Errors
    /// [`QueryError`] where there are none or they cannot be read.
    pub async fn open(location: &str, as_of: Option<AsOf>) -> Result<Self, QueryError> {
        let url: Url = store::table_url(location)?;
        let context = context();
        let mut found = false;
        for name in TableName::ALL {
            let wrong = |reason: String| QueryError::Table { table: name.as_str(), location: location.to_owned(), reason };
            let Some(table) = open_existing(&url, name, as_of).await.map_err(|error| wrong(said(&error)))? else { continue };
            found = true;
            table.update_datafusion_session(&context.state()).map_err(|error| wrong(error.to_string()))?;
            let provider = table.table_provider().await.map_err(|error| wrong(error.to_string()))?;
            context.register_table(name.as_str(), provider)?;
        }
        if found { Ok(Self { context, location: location.to_owned() }) } else { Err(QueryError::NoTables(location.to_owned())) }
    }

    /// A session over an input: `spans`, and the tables of the location where there are any.
    ///
    /// # Errors
    /// [`QueryError`] where tables lie there and cannot be read.
    pub async fn open_with_spans(location: &str, as_of: Option<AsOf>, spans: Arc<dyn TableProvider>) -> Result<Self, QueryError> {
        let session = match Self::open(location, as_of).await {
            Err(QueryError::NoTables(_)) => Self { context: context(), location: location.to_owned() },
            opened => opened?,
        };
        session.context.register_table("spans", spans)?;
        Ok(session)
    }

    /// Where the tables lie, as the user gave it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Plans a query. Statements that would change anything are refused: tables are written by runs alone.
    ///
    /// # Errors
    /// [`QueryError::Sql`].
    pub async fn sql(&self, sql: &str) -> Result<DataFrame, QueryError> {
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        Ok(self.context.sql_with_options(sql, options).await?)
    }

    /// Runs a query.
    ///
    /// # Errors
    /// [`QueryError::Sql`].
    pub async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream, QueryError> {
        Ok(self.sql(sql).await?.execute_stream().await?)
    }

    /// The rows of `table` whose `column` is `value`; the value is never part of SQL text.
    ///
    /// # Errors
    /// [`QueryError::Sql`].
    pub async fn rows_where(&self, table: TableName, column: &str, value: &str) -> Result<Vec<arrow::array::RecordBatch>, QueryError> {
        let rows = self.context.table(table.as_str()).await?.filter(col(column).eq(lit(value)))?;
        Ok(rows.collect().await?)
    }
}

fn context() -> SessionContext {
    SessionContext::new_with_config(SessionConfig::new().with_information_schema(true))
}
