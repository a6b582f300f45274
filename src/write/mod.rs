//! Outcomes -> the Delta tables `patterns`, `errors`, `runs`.
//!
//! Rows are encoded while the run goes on, into files that no reader sees; at the end one commit per table makes them visible and
//! removes the rows that they supersede. So memory does not grow with the number of traces, and a reader sees a run wholly or not.

mod columns;
mod table;
mod upsert;

use std::collections::{BTreeMap, HashSet};

use deltalake_core::DeltaTableError;
use deltalake_core::writer::{DeltaWriter, RecordBatchWriter};
use futures::StreamExt;
use url::Url;

pub use self::columns::{errors_schema, patterns_schema, runs_schema};
use self::table::Table;
pub use self::table::{TableName, open_existing};
use self::upsert::Superseded;
use crate::limits::WRITE_BATCH_ROWS;
use crate::model::{OutcomeStream, PatternRow, Rejection, RunSummary, text_key};
use crate::validate::Pattern;

/// Why the tables could not be written. Nothing of the run is visible then.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Delta or the store below it.
    #[error(
        "cannot write the table {table} below {location}: {reason}\n  hint: check that the place exists or can be made, and that you may write there"
    )]
    Table {
        /// Which table.
        table: &'static str,
        /// The output location.
        location: String,
        /// What was said.
        reason: String,
    },
    /// Rows could not be brought into columns, a defect.
    #[error("cannot encode rows: {0}")]
    Encode(#[from] arrow::error::ArrowError),
    /// Something was lost or doubled on the way: nothing is committed.
    #[error(
        "{received} traces came in and {outcomes} outcomes came out; nothing was written\n  hint: this is a defect of failsift, please report it"
    )]
    Conservation {
        /// Counted where traces are made.
        received: u64,
        /// Counted here.
        outcomes: u64,
    },
}

/// The three tables of an output location.
#[derive(Debug)]
pub struct Tables {
    location: String,
    patterns: Table,
    errors: Table,
    runs: Table,
}

impl Tables {
    /// Opens the tables, and creates those that do not exist.
    ///
    /// # Errors
    /// [`WriteError::Table`].
    pub async fn open(location: &Url) -> Result<Self, WriteError> {
        let shown = location.to_string();
        Ok(Self {
            patterns: Table::open(location, TableName::Patterns).await.map_err(|error| wrong(TableName::Patterns, &shown, &error))?,
            errors: Table::open(location, TableName::Errors).await.map_err(|error| wrong(TableName::Errors, &shown, &error))?,
            runs: Table::open(location, TableName::Runs).await.map_err(|error| wrong(TableName::Runs, &shown, &error))?,
            location: shown,
        })
    }
}

fn wrong(table: TableName, location: &str, error: &DeltaTableError) -> WriteError {
    WriteError::Table {
        table: table.as_str(),
        location: location.to_owned(),
        reason: error.to_string().lines().next().unwrap_or_default().to_owned(),
    }
}

/// Outcomes that are encoded and not yet visible.
#[derive(Debug)]
pub struct Staged {
    patterns: RecordBatchWriter,
    errors: RecordBatchWriter,
    /// Keys of traces that were stored.
    stored: HashSet<u128>,
    /// Keys of what failed.
    failed: HashSet<u128>,
    outcomes: u64,
    /// What was stored, by category and factor.
    pub labels: BTreeMap<String, LabelCount>,
}

/// How often one label was stored, with an example.
#[derive(Debug, Clone, PartialEq)]
pub struct LabelCount {
    /// Patterns with this label.
    pub count: u64,
    /// Sum of their confidences.
    pub confidence_sum: f64,
    /// The first of them.
    pub title: String,
    /// Its trace.
    pub trace_id: String,
}

/// Takes every outcome, counts it in `summary`, and encodes its row.
///
/// # Errors
/// [`WriteError`] where the store refuses; nothing is visible then.
pub async fn outcomes(mut outcomes: OutcomeStream<Pattern>, tables: &Tables, summary: &mut RunSummary) -> Result<Staged, WriteError> {
    let mut staged = Staged {
        patterns: tables.patterns.writer().map_err(|error| wrong(TableName::Patterns, &tables.location, &error))?,
        errors: tables.errors.writer().map_err(|error| wrong(TableName::Errors, &tables.location, &error))?,
        stored: HashSet::new(),
        failed: HashSet::new(),
        outcomes: 0,
        labels: BTreeMap::new(),
    };
    let mut patterns: Vec<PatternRow> = Vec::with_capacity(WRITE_BATCH_ROWS);
    let mut errors: Vec<Rejection> = Vec::new();
    while let Some(outcome) = outcomes.next().await {
        staged.outcomes += 1;
        match outcome {
            Ok(pattern) => {
                let row = pattern.into_row();
                summary.stored += 1;
                summary.processed += 1;
                summary.input_tokens += row.input_tokens;
                summary.output_tokens += row.output_tokens;
                summary.cost_usd += row.cost_usd;
                staged.stored.insert(text_key(&row.trace_id));
                count_label(&mut staged.labels, &row);
                patterns.push(row);
            }
            Err(rejection) => {
                summary.count_rejection(&rejection);
                staged.failed.insert(text_key(&rejection.trace_ref));
                errors.push(rejection);
            }
        }
        if patterns.len() >= WRITE_BATCH_ROWS {
            stage_patterns(&mut patterns, tables, &mut staged).await?;
        }
        if errors.len() >= WRITE_BATCH_ROWS {
            stage_errors(&mut errors, tables, &mut staged, &summary.run_id).await?;
        }
    }
    stage_patterns(&mut patterns, tables, &mut staged).await?;
    stage_errors(&mut errors, tables, &mut staged, &summary.run_id).await?;
    Ok(staged)
}

fn count_label(labels: &mut BTreeMap<String, LabelCount>, row: &PatternRow) {
    let entry = labels.entry(format!("{}/{}", row.category, row.contributing_factor)).or_insert_with(|| LabelCount {
        count: 0,
        confidence_sum: 0.0,
        title: row.title.clone(),
        trace_id: row.trace_id.clone(),
    });
    entry.count += 1;
    entry.confidence_sum += row.confidence;
}

async fn stage_patterns(rows: &mut Vec<PatternRow>, tables: &Tables, staged: &mut Staged) -> Result<(), WriteError> {
    if rows.is_empty() {
        return Ok(());
    }
    let batch = columns::patterns(rows, tables.patterns.buckets())?;
    rows.clear();
    staged.patterns.write(batch).await.map_err(|error| wrong(TableName::Patterns, &tables.location, &error))
}

async fn stage_errors(rows: &mut Vec<Rejection>, tables: &Tables, staged: &mut Staged, run_id: &str) -> Result<(), WriteError> {
    if rows.is_empty() {
        return Ok(());
    }
    let batch = columns::errors(rows, run_id, tables.errors.buckets())?;
    rows.clear();
    staged.errors.write(batch).await.map_err(|error| wrong(TableName::Errors, &tables.location, &error))
}

/// Makes a run visible: `patterns` first, then `errors`, then `runs`, each in one commit.
///
/// `received` is what the parser counted: where it differs from the outcomes that came here, something was lost, and nothing is
/// committed. `objects` are the keys of those that were read: errors that are keyed by a place in one of them are replaced.
///
/// # Errors
/// [`WriteError`]; a table is then as it was before or wholly updated.
#[expect(clippy::implicit_hasher, reason = "the set of this crate, made by the reader")]
pub async fn commit(mut tables: Tables, mut staged: Staged, summary: &RunSummary, objects: HashSet<u128>) -> Result<(), WriteError> {
    if staged.outcomes + summary.filtered != summary.received || summary.accounted_for() != summary.received {
        return Err(WriteError::Conservation { received: summary.received, outcomes: staged.outcomes });
    }
    let location = tables.location.clone();
    let at = |table| {
        let location = location.clone();
        move |error: DeltaTableError| wrong(table, &location, &error)
    };
    let new_patterns = staged.patterns.flush().await.map_err(at(TableName::Patterns))?;
    let new_errors = staged.errors.flush().await.map_err(at(TableName::Errors))?;

    let patterns_superseded = Superseded { keys: staged.stored.clone(), objects: HashSet::new() };
    upsert::commit(&mut tables.patterns, new_patterns, &patterns_superseded).await.map_err(at(TableName::Patterns))?;

    // A trace that now succeeds leaves `errors`; one that fails replaces its row there.
    staged.failed.extend(staged.stored);
    let errors_superseded = Superseded { keys: staged.failed, objects };
    upsert::commit(&mut tables.errors, new_errors, &errors_superseded).await.map_err(at(TableName::Errors))?;

    let mut runs = tables.runs.writer().map_err(at(TableName::Runs))?;
    runs.write(columns::runs(summary)?).await.map_err(at(TableName::Runs))?;
    let new_runs = runs.flush().await.map_err(at(TableName::Runs))?;
    upsert::commit(&mut tables.runs, new_runs, &Superseded::default()).await.map_err(at(TableName::Runs))
}
