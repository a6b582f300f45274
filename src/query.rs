//! SQL over the tables with `DataFusion`. Reads the tables and knows nothing of the stages that made them.
//!
//! A query may take so much memory and so much time ([`QueryLimits`]): `text` looks at its text, `growth` at functions that make large
//! values, the engine at what its operators hold, and `guard` at everything else.

mod growth;
mod guard;
mod text;

use std::sync::Arc;
use std::time::Duration;

use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::context::SQLOptions;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::sqlparser::parser::ParserError;
use url::Url;

use crate::limits::{QUERY_BYTES_MAX, QUERY_MEMORY_BYTES, QUERY_OPERATORS_MAX};
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
    /// The query takes more than it may.
    #[error(transparent)]
    Exceeded(#[from] ExceededError),
}

/// What of a query is over its limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExceededError {
    /// Its text.
    #[error(
        "cannot run the query: it is {found} bytes long, and at most {QUERY_BYTES_MAX} are allowed\n  hint: compare with a range or a join instead of a list of values"
    )]
    Length {
        /// Bytes.
        found: usize,
    },
    /// Its operators, keywords and joins, of which each may make the plan deeper.
    #[error(
        "cannot run the query: it has {found} operators and keywords, and at most {QUERY_OPERATORS_MAX} are allowed\n  hint: write a chain of OR as IN (…), and a chain of UNION ALL as VALUES"
    )]
    Operators {
        /// How many.
        found: usize,
    },
    /// Its nesting.
    #[error("cannot run the query: it is nested too deep\n  hint: name inner queries with WITH")]
    Nesting,
    /// A value that one of its functions would make.
    #[error(
        "cannot run the query: {function} would make a value of more than {} MB\n  hint: --memory-limit allows more",
        bytes_max / (1024 * 1024)
    )]
    Value {
        /// The function.
        function: String,
        /// What a value may have.
        bytes_max: u64,
    },
    /// Memory.
    #[error(
        "cannot run the query: it needs more than {} MB of memory\n  hint: --memory-limit allows more; fewer columns, WHERE or LIMIT need less",
        bytes_max / (1024 * 1024)
    )]
    Memory {
        /// What it may have.
        bytes_max: u64,
    },
    /// Time.
    #[error("cannot run the query: it takes more than {} s\n  hint: --timeout allows more; WHERE or LIMIT need less", time.as_secs_f64())]
    Time {
        /// What it may take.
        time: Duration,
    },
}

/// What a query may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueryLimits {
    /// Bytes of memory that its operators may hold.
    pub memory_bytes: usize,
    /// Time until its last row.
    pub time: Option<Duration>,
}

impl Default for QueryLimits {
    fn default() -> Self {
        Self { memory_bytes: QUERY_MEMORY_BYTES, time: None }
    }
}

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        match error.find_root() {
            DataFusionError::External(source) => match source.downcast_ref::<ExceededError>() {
                Some(exceeded) => exceeded.clone().into(),
                None => Self::Sql(source.to_string()),
            },
            DataFusionError::SQL(parser, _) if matches!(**parser, ParserError::RecursionLimitExceeded) => ExceededError::Nesting.into(),
            _ => Self::Sql(error.strip_backtrace()),
        }
    }
}

/// A session in which `patterns`, `errors` and `runs` are tables, and `spans` where an input was given.
pub struct TablesSession {
    context: SessionContext,
    location: String,
    limits: QueryLimits,
}

impl TablesSession {
    /// Opens the tables of an output location as they are now, or as they were.
    ///
    /// # Errors
    /// [`QueryError`] where there are none or they cannot be read.
    pub async fn open(location: &str, as_of: Option<AsOf>) -> Result<Self, QueryError> {
        Self::open_limited(location, as_of, QueryLimits::default()).await
    }

    /// The same for queries that may take as much as `limits` allow.
    ///
    /// # Errors
    /// [`QueryError`] where there are none or they cannot be read.
    pub async fn open_limited(location: &str, as_of: Option<AsOf>, limits: QueryLimits) -> Result<Self, QueryError> {
        let url: Url = store::table_url(location)?;
        let context = context(limits)?;
        let mut found = false;
        for name in TableName::ALL {
            let wrong = |reason: String| QueryError::Table { table: name.as_str(), location: location.to_owned(), reason };
            let Some(table) = open_existing(&url, name, as_of).await.map_err(|error| wrong(said(&error)))? else { continue };
            found = true;
            table.update_datafusion_session(&context.state()).map_err(|error| wrong(error.to_string()))?;
            let provider = table.table_provider().await.map_err(|error| wrong(error.to_string()))?;
            context.register_table(name.as_str(), provider)?;
        }
        if found { Ok(Self { context, location: location.to_owned(), limits }) } else { Err(QueryError::NoTables(location.to_owned())) }
    }

    /// A session over an input: `spans`, and the tables of the location where there are any.
    ///
    /// # Errors
    /// [`QueryError`] where tables lie there and cannot be read.
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

    /// Where the tables lie, as the user gave it.
    pub fn location(&self) -> &str {
        &self.location
    }

    /// Runs a query. Statements that would change anything are refused: tables are written by runs alone.
    ///
    /// # Errors
    /// [`QueryError`]; what goes wrong later is an error among the rows, of which [`QueryError`] is made too.
    pub async fn stream(&self, sql: &str) -> Result<SendableRecordBatchStream, QueryError> {
        text::check(sql)?;
        let options = SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
        let (context, sql) = (self.context.clone(), sql.to_owned());
        let query = async move { context.sql_with_options(&sql, options).await?.execute_stream().await };
        guard::guarded(self.limits, query).await
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

/// A session that holds no more than `limits` allow, and puts nothing on a disk.
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
