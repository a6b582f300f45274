//! The rows of the table `runs`, newest first.

use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, WriterBuilder};
use chrono::{DateTime, Utc};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{Expr, cast, col, lit};
use datafusion::prelude::DataFrame;
use datafusion::scalar::ScalarValue;
use futures::TryStreamExt;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::RunsError;
use crate::limits::SUMMARY_FINGERPRINTS_MAX;
use crate::model::{RunStatus, RunSummary};
use crate::query::{QueryError, TablesSession};
use crate::tables::TableName;

/// Which runs are read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunFilter {
    /// Runs of this pipeline only.
    pub pipeline: Option<String>,
    /// Runs that started at this time or later.
    pub since: Option<DateTime<Utc>>,
    /// Runs that started before this time.
    pub before: Option<DateTime<Utc>>,
    /// Runs that started before this one.
    pub before_run: Option<String>,
    /// Complete runs only.
    pub is_complete: bool,
}

/// One run in a list.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ListedRun {
    /// Its id.
    pub run_id: String,
    /// Its pipeline.
    pub pipeline: String,
    /// How it ended.
    pub status: String,
    /// Why its exit code is not 0.
    pub exit_reason: Option<String>,
    /// Its start.
    pub started_at: String,
    /// How long it took.
    pub duration_seconds: f64,
    /// Traces and records that it received.
    pub received: u64,
    /// Patterns that it stored.
    pub stored: u64,
    /// Those of them with a failure; none for runs of earlier versions.
    pub failed_traces: Option<u64>,
    /// Traces and records that it could not process.
    pub errors: u64,
    /// Its cost in US dollars.
    pub cost_usd: f64,
}

/// What sets the failed traces of a fingerprint apart.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FingerprintDifferences {
    /// The kind of failure.
    pub category: String,
    /// Its contributing factor.
    pub contributing_factor: String,
    /// How many traces.
    pub traces: u64,
    /// The differences, the clearest first.
    pub differences: Vec<DifferenceSentence>,
}

/// A difference in words.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct DifferenceSentence {
    /// The sentence.
    pub sentence: String,
}

/// The runs of an output location.
pub struct StoredRuns {
    pub(super) session: TablesSession,
}

/// Columns with a value for each failure or object, which a comparison does not need.
const LONG_COLUMNS: [&str; 3] = ["failures", "skipped_objects", "skipped_records"];

impl StoredRuns {
    /// Opens the tables of a location.
    ///
    /// # Errors
    /// [`RunsError`] if there are none or they cannot be read.
    pub async fn open(location: &str) -> Result<Self, RunsError> {
        Ok(Self { session: TablesSession::open(location, None).await? })
    }

    /// The location of the tables, as the user gave it.
    pub fn location(&self) -> &str {
        self.session.location()
    }

    /// The newest runs, with what a list shows of each: columns of `runs`, the duration in seconds, and the errors, which are the traces and records
    /// that could not be processed.
    ///
    /// # Errors
    /// [`RunsError`] if the table cannot be read.
    pub async fn list(&self, filter: &RunFilter, runs_max: usize) -> Result<DataFrame, RunsError> {
        let runs = self.filtered(filter).await?.limit(0, Some(runs_max)).map_err(QueryError::from)?;
        let microseconds = |column: &str| cast(col(column), arrow::datatypes::DataType::Int64);
        let duration = cast(microseconds("finished_at") - microseconds("started_at"), arrow::datatypes::DataType::Float64) / lit(1e6);
        // Tables of earlier versions lack the column.
        let has_failed_traces = runs.schema().has_column_with_unqualified_name("failed_traces");
        let failed_traces = if has_failed_traces { col("failed_traces") } else { lit(ScalarValue::Int64(None)) };
        let columns = ["run_id", "pipeline", "status", "exit_reason", "started_at"].map(col).into_iter();
        let counts = ["received", "stored"].map(col).into_iter();
        let errors = col("validation_failures") + col("processing_errors") + col("timed_out");
        let computed = [failed_traces.alias("failed_traces"), errors.alias("errors"), col("cost_usd")];
        let columns: Vec<Expr> = columns.chain([duration.alias("duration_seconds")]).chain(counts).chain(computed).collect();
        Ok(runs.select(columns).map_err(QueryError::from)?)
    }

    /// The newest runs, without their failures and skipped objects.
    ///
    /// # Errors
    /// [`RunsError`] if the table cannot be read.
    pub async fn newest(&self, filter: &RunFilter, runs_max: usize) -> Result<Vec<RunSummary>, RunsError> {
        let runs = self.filtered(filter).await?.limit(0, Some(runs_max)).map_err(QueryError::from)?;
        summaries(runs.drop_columns(&LONG_COLUMNS).map_err(QueryError::from)?).await
    }

    /// The run with this id or the only one whose id begins so; `last` is the newest.
    ///
    /// # Errors
    /// [`RunsError`] if there is none, or if there are several.
    pub async fn find(&self, id: &str) -> Result<RunSummary, RunsError> {
        let runs = self.filtered(&RunFilter::default()).await?;
        let found = match id {
            "last" => runs.limit(0, Some(1)),
            _ => {
                let after_all = format!("{id}{}", char::MAX);
                let begins_so = col("run_id").gt_eq(lit(id)).and(col("run_id").lt(lit(after_all)));
                runs.filter(begins_so).and_then(|found| found.limit(0, Some(2)))
            }
        };
        let mut found = summaries(found.map_err(QueryError::from)?).await?.into_iter();
        match (found.next(), found.next()) {
            (Some(run), Some(other)) if run.run_id != id && other.run_id != id => {
                Err(RunsError::Ambiguous { id: id.to_owned(), first: other.run_id, second: run.run_id })
            }
            (Some(run), Some(other)) => Ok(if run.run_id == id { run } else { other }),
            (Some(run), None) => Ok(run),
            (None, _) => Err(RunsError::NotFound { id: id.chars().take(80).collect(), location: self.location().to_owned() }),
        }
    }

    /// What set failed traces of a run apart from healthy ones, of the most frequent fingerprint first; nothing if the version of `fingerprints` that
    /// the run committed is gone.
    ///
    /// # Errors
    /// [`RunsError`] if the table cannot be read.
    pub async fn differences(&self, run: &RunSummary) -> Result<Vec<FingerprintDifferences>, RunsError> {
        const COLUMNS: [&str; 5] = ["category", "contributing_factor", "traces", "fingerprint", "differences"];
        let parts: Vec<(u64, Vec<String>)> =
            run.fingerprints_version.map(|version| (version, vec![run.run_id.clone()])).into_iter().collect();
        if parts.is_empty() || !self.session.register_rows_of_runs("of_run", TableName::Fingerprints, &parts, &COLUMNS).await? {
            return Ok(Vec::new());
        }
        let sql = format!("SELECT * FROM of_run ORDER BY traces DESC, fingerprint LIMIT {SUMMARY_FINGERPRINTS_MAX}");
        let batches = self.session.stream(&sql).await?.try_collect::<Vec<_>>().await.map_err(QueryError::from)?;
        let rows: Vec<FingerprintDifferences> = decoded(&batches)?;
        Ok(rows.into_iter().filter(|row| !row.differences.is_empty()).collect())
    }

    async fn filtered(&self, filter: &RunFilter) -> Result<DataFrame, RunsError> {
        let time = |time: DateTime<Utc>| lit(ScalarValue::TimestampMicrosecond(Some(time.timestamp_micros()), Some("UTC".into())));
        let conditions = [
            filter.pipeline.as_ref().map(|pipeline| col("pipeline").eq(lit(pipeline.as_str()))),
            filter.since.map(|since| col("started_at").gt_eq(time(since))),
            filter.before.map(|before| col("started_at").lt(time(before))),
            filter.before_run.as_ref().map(|run| col("run_id").lt(lit(run.as_str()))),
            filter.is_complete.then(|| col("status").eq(lit(RunStatus::Complete.as_str()))),
        ];
        let mut runs = self.session.table(TableName::Runs).await?;
        for condition in conditions.into_iter().flatten() {
            runs = runs.filter(condition).map_err(QueryError::from)?;
        }
        // Ids of runs sort by time.
        Ok(runs.sort(vec![col("run_id").sort(false, false)]).map_err(QueryError::from)?)
    }
}

/// The rows of a list of runs.
///
/// # Errors
/// [`RunsError`] if the table cannot be read.
pub async fn rows(runs: DataFrame) -> Result<Vec<ListedRun>, RunsError> {
    decoded(&runs.collect().await.map_err(QueryError::from)?)
}

/// The rows of a list of runs as they arrive.
///
/// # Errors
/// [`RunsError`] if the table cannot be read.
pub async fn stream(runs: DataFrame) -> Result<SendableRecordBatchStream, RunsError> {
    Ok(runs.execute_stream().await.map_err(QueryError::from)?)
}

async fn summaries(runs: DataFrame) -> Result<Vec<RunSummary>, RunsError> {
    decoded(&runs.collect().await.map_err(QueryError::from)?)
}

/// A row without its nulls: a column that earlier versions did not have is absent, and takes its default.
fn without_nulls(row: Value) -> Value {
    match row {
        Value::Object(fields) => Value::Object(fields.into_iter().filter(|(_, value)| !value.is_null()).collect()),
        other => other,
    }
}

/// Rows as values of a type with the names of their columns.
pub(super) fn decoded<T: DeserializeOwned>(batches: &[RecordBatch]) -> Result<Vec<T>, RunsError> {
    let unreadable = |error: &dyn std::fmt::Display| RunsError::Unreadable(error.to_string());
    let mut rows = Vec::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
        writer.write(batch).and_then(|()| writer.finish()).map_err(|error| unreadable(&error))?;
        let of_batch: Vec<Value> = serde_json::from_slice(&writer.into_inner()).map_err(|error| unreadable(&error))?;
        for row in of_batch {
            rows.push(serde_json::from_value(without_nulls(row)).map_err(|error| unreadable(&error))?);
        }
    }
    Ok(rows)
}
