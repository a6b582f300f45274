//! What two groups of runs found differently.
//!
//! The traces of a run are the rows of `patterns` with its id, at the version that it committed: a later run replaces rows, and a failed trace that
//! is not analyzed again keeps its row. If `maintain` has removed a version, the counts that `runs` keeps are compared instead.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::compare::{Change, Counted, Level, Side, changes};
use super::error::RunsError;
use super::stored::{StoredRuns, decoded};
use crate::limits::COMPARED_GROUPS_MAX;
use crate::model::{RunStatus, RunSummary};
use crate::query::QueryError;
use crate::tables::TableName;

/// A column of `patterns` by which traces are grouped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum GroupColumn {
    /// Service
    Service,
    /// Version of the service
    #[value(alias = "service.version")]
    ServiceVersion,
    /// Model of the failed step
    ModelName,
    /// Tool of the failed step
    ToolName,
    /// Environment
    Environment,
    /// Region or zone
    Region,
    /// Version of the prompt
    PromptVersion,
    /// Revision of the source code
    VcsRevision,
}

impl GroupColumn {
    /// The name of the column.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::ServiceVersion => "service_version",
            Self::ModelName => "model_name",
            Self::ToolName => "tool_name",
            Self::Environment => "environment",
            Self::Region => "region",
            Self::PromptVersion => "prompt_version",
            Self::VcsRevision => "vcs_revision",
        }
    }
}

/// The difference between two groups of runs, A and B.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The earlier runs.
    pub a: RunGroup,
    /// The later runs.
    pub b: RunGroup,
    /// `traces`, or `counts` if a version of `patterns` is gone.
    pub compared_by: &'static str,
    /// What limits the comparison.
    pub notes: Vec<String>,
    /// Traces that both analyzed; none if they are not known.
    pub shared_traces: Option<SharedTraces>,
    /// Changes by category.
    pub categories: Vec<Change>,
    /// Changes by category and contributing factor.
    pub factors: Vec<Change>,
    /// Changes by fingerprint.
    pub fingerprints: Vec<Change>,
    /// The column of `groups`.
    pub by: Option<&'static str>,
    /// Changes for each value of that column.
    pub groups: Vec<GroupDiff>,
}

/// The runs of one side.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RunGroup {
    /// Their ids, the newest first.
    pub run_ids: Vec<String>,
    /// Their pipelines.
    pub pipelines: Vec<String>,
    /// Start of the first of them.
    pub started_at: String,
    /// End of the last of them.
    pub finished_at: String,
    /// Traces that they analyzed and stored.
    pub traces: u64,
    /// Those of them with a failure.
    pub failed: u64,
    /// Traces and records that they could not process.
    pub errors: u64,
}

/// What became of traces that both sides analyzed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SharedTraces {
    /// How many there are.
    pub traces: u64,
    /// They fail in B and did not in A.
    pub fail_now: u64,
    /// They failed in A and do not in B.
    pub repaired: u64,
    /// They fail in both, with another label or fingerprint.
    pub fail_otherwise: u64,
    /// Failed traces of A that B did not analyze.
    pub failed_not_analyzed_again: u64,
}

/// The changes among traces with one value of a column.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupDiff {
    /// The value; none for traces without one.
    pub value: Option<String>,
    /// Traces of A with the value.
    pub a_traces: u64,
    /// Those of them with a failure.
    pub a_failed: u64,
    /// Traces of B with the value.
    pub b_traces: u64,
    /// Those of them with a failure.
    pub b_failed: u64,
    /// `same_value`, or `all` if one side has no trace with the value: then the other side is compared with all its traces.
    pub compared_with: &'static str,
    /// Changes by category and contributing factor.
    pub factors: Vec<Change>,
}

/// The traces of both sides.
struct Sides {
    a: Side,
    b: Side,
    /// The traces of A and B by label only, where their fingerprints may be incomplete.
    by_label: Option<[Side; 2]>,
    /// Traces of A that B analyzed again, counted by what they were in A; `None` if they are not known.
    again: Option<Vec<Counted>>,
    shared: Option<SharedTraces>,
}

/// Compares the traces of two groups of runs, each with the newest run first.
///
/// # Errors
/// [`RunsError`] if a run has neither versions nor counts, or if the tables cannot be read.
pub async fn diff(runs: &StoredRuns, a: &[RunSummary], b: &[RunSummary], by: Option<GroupColumn>) -> Result<Diff, RunsError> {
    let mut notes = notes_about(a, b);
    let sides = match of_traces(runs, a, b, by).await? {
        Some(sides) => sides,
        None => {
            notes.insert(0, by_counts_because(a, b));
            let ((a, a_by_label), (b, b_by_label)) = (counted_by_runs(a)?, counted_by_runs(b)?);
            Sides { a, b, by_label: Some([a_by_label, b_by_label]), again: None, shared: None }
        }
    };
    let compared_by = if sides.shared.is_some() { "traces" } else { "counts" };
    if by.is_some() && sides.shared.is_none() {
        notes.push("runs keeps no counts by value, so --by has no answer for these runs".to_owned());
    }
    if sides.a.is_cut || sides.b.is_cut {
        notes.push("only the most frequent fingerprints are compared".to_owned());
    }
    let again = sides.again.as_deref();
    let compared = |level| match &sides.by_label {
        Some([a, b]) if level != Level::Fingerprint => changes(level, a, b, again),
        _ => changes(level, &sides.a, &sides.b, again),
    };
    Ok(Diff {
        a: run_group(a, sides.by_label.as_ref().map_or(&sides.a, |[a, _]| a)),
        b: run_group(b, sides.by_label.as_ref().map_or(&sides.b, |[_, b]| b)),
        compared_by,
        notes,
        categories: compared(Level::Category),
        factors: compared(Level::Factor),
        fingerprints: compared(Level::Fingerprint),
        by: by.map(GroupColumn::as_str),
        groups: if by.is_some() && sides.shared.is_some() { by_value(&sides) } else { Vec::new() },
        shared_traces: sides.shared,
    })
}

fn run_group(runs: &[RunSummary], side: &Side) -> RunGroup {
    let mut pipelines: Vec<String> = runs.iter().map(|run| run.pipeline.clone()).collect();
    pipelines.sort();
    pipelines.dedup();
    RunGroup {
        run_ids: runs.iter().map(|run| run.run_id.clone()).collect(),
        pipelines,
        started_at: runs.iter().map(|run| run.started_at.clone()).min().unwrap_or_default(),
        finished_at: runs.iter().map(|run| run.finished_at.clone()).max().unwrap_or_default(),
        traces: side.traces,
        failed: failed_in(&side.groups),
        errors: runs.iter().map(|run| run.validation_failures + run.processing_errors + run.timed_out).sum(),
    }
}

fn failed_in(groups: &[Counted]) -> u64 {
    groups.iter().filter(|counted| !counted.is_healthy()).map(|counted| counted.traces).sum()
}

/// What the reader has to know about the runs.
fn notes_about(a: &[RunSummary], b: &[RunSummary]) -> Vec<String> {
    let mut notes = Vec::new();
    for (name, runs) in [("A", a), ("B", b)] {
        let sum = |of: fn(&RunSummary) -> u64| runs.iter().map(of).sum::<u64>();
        if let Some(run) = runs.iter().find(|run| run.status != RunStatus::Complete) {
            notes.push(format!("{name} is incomplete: run {} has the status {}", run.run_id, run.status.as_str()));
        }
        let unchanged = sum(|run| run.unchanged);
        if unchanged > 0 {
            notes.push(format!("{unchanged} traces of {name} kept the pattern of an earlier run and are not compared"));
        }
        let filtered = sum(|run| run.filtered);
        if filtered > 0 {
            notes.push(format!("{filtered} traces of {name} were not selected; rates are of the selected ones"));
        }
    }
    let pipeline = |runs: &[RunSummary]| runs.first().map(|run| run.pipeline.clone());
    if pipeline(a) != pipeline(b) {
        notes.push("A and B are runs of different pipelines".to_owned());
    }
    notes
}

/// Why only counts can be compared.
fn by_counts_because(a: &[RunSummary], b: &[RunSummary]) -> String {
    match a.iter().chain(b).find(|run| run.patterns_version.is_none()) {
        Some(run) => {
            format!("the version of patterns that run {} committed is not known: compared by the counts that runs keeps", run.run_id)
        }
        None => "a version of patterns that these runs committed is gone (failsift maintain removes old ones): compared by the counts that runs keeps"
            .to_owned(),
    }
}

/// The traces of both sides, from the versions of `patterns` that the runs committed; `None` if one of them cannot be read any more.
async fn of_traces(runs: &StoredRuns, a: &[RunSummary], b: &[RunSummary], by: Option<GroupColumn>) -> Result<Option<Sides>, RunsError> {
    let columns = ["trace_id", "run_id", "category", "contributing_factor", "fingerprint", "title"].into_iter();
    let columns: Vec<&str> = columns.chain(by.map(GroupColumn::as_str)).collect();
    for (name, side) in [("a", a), ("b", b)] {
        let Some(parts) = side.iter().map(part_of).collect::<Option<Vec<_>>>() else { return Ok(None) };
        if !runs.session.register_rows_of_runs(name, TableName::Patterns, &parts, &columns).await? {
            return Ok(None);
        }
    }
    let value = by.map_or_else(|| "CAST(NULL AS VARCHAR)".to_owned(), |column| format!("a.{}", column.as_str()));
    let (of_a, of_b) = (newest_rows("a", a), newest_rows("b", b));
    let sql = format!(
        "SELECT a.category, a.contributing_factor, a.fingerprint, {value} AS value, b.category AS b_category, \
         b.contributing_factor AS b_factor, b.fingerprint AS b_fingerprint, count(*) AS traces \
         FROM {of_a} AS a JOIN {of_b} AS b ON a.trace_id = b.trace_id GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY traces DESC"
    );
    let pairs: Vec<Pair> = rows_of(runs, &sql).await?;
    let value = by.map_or("CAST(NULL AS VARCHAR)", GroupColumn::as_str);
    let (a, b) = (counted_rows(runs, &of_a, value).await?, counted_rows(runs, &of_b, value).await?);
    let shared = shared_traces(&pairs, &a);
    Ok(Some(Sides { a, b, by_label: None, again: Some(pairs.into_iter().map(Pair::into_counted).collect()), shared: Some(shared) }))
}

/// The version of a run, and the ids that its rows have: those of interrupted runs whose finished work it committed keep theirs.
fn part_of(run: &RunSummary) -> Option<(u64, Vec<String>)> {
    let run_ids = std::iter::once(&run.run_id).chain(&run.recovered_runs).cloned().collect();
    Some((run.patterns_version?, run_ids))
}

/// The rows of a side, of each trace that of its newest run.
fn newest_rows(table: &str, runs: &[RunSummary]) -> String {
    if runs.len() < 2 {
        return table.to_owned();
    }
    format!(
        "(SELECT * FROM (SELECT *, row_number() OVER (PARTITION BY trace_id ORDER BY run_id DESC) AS place FROM {table}) WHERE place = 1)"
    )
}

async fn counted_rows(runs: &StoredRuns, rows: &str, value: &str) -> Result<Side, RunsError> {
    let sql = format!(
        "SELECT category, contributing_factor, fingerprint, {value} AS value, count(*) AS traces, \
         first_value(title ORDER BY trace_id) AS title, min(trace_id) AS example_trace_id \
         FROM {rows} GROUP BY 1, 2, 3, 4 ORDER BY traces DESC, 1, 2, 3, 4"
    );
    let groups: Vec<CountedRow> = rows_of(runs, &sql).await?;
    let traces: Vec<Total> = rows_of(runs, &format!("SELECT count(*) AS traces FROM {rows}")).await?;
    let is_cut = groups.len() > COMPARED_GROUPS_MAX;
    let groups = groups.into_iter().take(COMPARED_GROUPS_MAX).map(CountedRow::into_counted).collect();
    Ok(Side { groups, traces: traces.first().map_or(0, |total| total.traces), is_cut })
}

/// The rows of a query, at most one more than are compared.
async fn rows_of<T: DeserializeOwned>(runs: &StoredRuns, sql: &str) -> Result<Vec<T>, RunsError> {
    let stream = runs.session.stream(&format!("{sql} LIMIT {}", COMPARED_GROUPS_MAX + 1)).await?;
    let batches = stream.try_collect::<Vec<_>>().await.map_err(QueryError::from)?;
    decoded(&batches)
}

#[derive(Deserialize)]
struct Total {
    traces: u64,
}

#[derive(Deserialize)]
struct CountedRow {
    category: String,
    contributing_factor: String,
    fingerprint: String,
    value: Option<String>,
    traces: u64,
    title: String,
    example_trace_id: String,
}

impl CountedRow {
    fn into_counted(self) -> Counted {
        let Self { category, contributing_factor: factor, fingerprint, value, traces, title, example_trace_id } = self;
        Counted { category, factor, fingerprint, value, traces, title, example_trace_id }
    }
}

/// Traces that both sides analyzed and that were and are alike.
#[derive(Deserialize)]
struct Pair {
    category: String,
    contributing_factor: String,
    fingerprint: String,
    value: Option<String>,
    b_category: String,
    b_factor: String,
    b_fingerprint: String,
    traces: u64,
}

impl Pair {
    /// What the traces were in A.
    fn into_counted(self) -> Counted {
        let Self { category, contributing_factor: factor, fingerprint, value, traces, .. } = self;
        Counted { category, factor, fingerprint, value, traces, ..Counted::default() }
    }
}

fn shared_traces(pairs: &[Pair], a: &Side) -> SharedTraces {
    let mut shared = SharedTraces::default();
    let mut failed_again = 0;
    for pair in pairs {
        let label = |category: &str, factor: &str| Counted { category: category.into(), factor: factor.into(), ..Counted::default() };
        let was_healthy = label(&pair.category, &pair.contributing_factor).is_healthy();
        let is_healthy = label(&pair.b_category, &pair.b_factor).is_healthy();
        let is_alike =
            (&pair.category, &pair.contributing_factor, &pair.fingerprint) == (&pair.b_category, &pair.b_factor, &pair.b_fingerprint);
        shared.traces += pair.traces;
        match (was_healthy, is_healthy) {
            (true, false) => shared.fail_now += pair.traces,
            (false, true) => shared.repaired += pair.traces,
            (false, false) if !is_alike => shared.fail_otherwise += pair.traces,
            _ => {}
        }
        failed_again += if was_healthy { 0 } else { pair.traces };
    }
    shared.failed_not_analyzed_again = failed_in(&a.groups).saturating_sub(failed_again);
    shared
}

/// The counts that the rows of the runs contain, by fingerprint and by label.
fn counted_by_runs(runs: &[RunSummary]) -> Result<(Side, Side), RunsError> {
    let (mut side, mut by_label) = (Side::default(), Side::default());
    for run in runs {
        if run.by_label.is_empty() && run.stored > 0 {
            return Err(RunsError::NothingToCompare {
                reason: format!("run {} has neither a version of patterns nor counts", run.run_id),
                hint: "it was stored by an earlier failsift, or it failed; compare other runs".to_owned(),
            });
        }
        side.traces += run.stored;
        by_label.traces += run.stored;
        by_label.groups.extend(run.by_label.iter().map(|counted| Counted {
            category: counted.category.clone(),
            factor: counted.contributing_factor.clone(),
            fingerprint: String::new(),
            value: None,
            traces: counted.traces,
            title: counted.title.clone(),
            example_trace_id: counted.example_trace_id.clone(),
        }));
        let listed: u64 = run.by_fingerprint.iter().map(|counted| counted.traces).sum();
        side.is_cut |= listed < run.stored;
        side.groups.extend(run.by_fingerprint.iter().map(|counted| Counted {
            category: counted.category.clone(),
            factor: counted.contributing_factor.clone(),
            fingerprint: counted.fingerprint.clone(),
            value: None,
            traces: counted.traces,
            title: counted.title.clone(),
            example_trace_id: counted.example_trace_id.clone(),
        }));
    }
    Ok((side, by_label))
}

/// The changes for each value of the column, the value with the most traces of B first.
fn by_value(sides: &Sides) -> Vec<GroupDiff> {
    let mut values: BTreeMap<Option<&str>, (u64, u64)> = BTreeMap::new();
    for counted in &sides.a.groups {
        values.entry(counted.value.as_deref()).or_default().0 += counted.traces;
    }
    for counted in &sides.b.groups {
        values.entry(counted.value.as_deref()).or_default().1 += counted.traces;
    }
    let mut found: Vec<GroupDiff> = values
        .into_iter()
        .map(|(value, (a_traces, b_traces))| {
            let with_value = |groups: &[Counted]| -> Vec<Counted> {
                groups.iter().filter(|counted| counted.value.as_deref() == value).cloned().collect()
            };
            let side = |side: &Side, traces| Side { groups: with_value(&side.groups), traces, is_cut: side.is_cut };
            let (a, b) = (side(&sides.a, a_traces), side(&sides.b, b_traces));
            let again = sides.again.as_deref().map(with_value);
            let (compared_with, factors) = match (a_traces, b_traces) {
                (0, _) => ("all", changes(Level::Factor, &sides.a, &b, None)),
                (_, 0) => ("all", changes(Level::Factor, &a, &sides.b, again.as_deref())),
                _ => ("same_value", changes(Level::Factor, &a, &b, again.as_deref())),
            };
            let (a_failed, b_failed) = (failed_in(&a.groups), failed_in(&b.groups));
            GroupDiff { value: value.map(str::to_owned), a_traces, a_failed, b_traces, b_failed, compared_with, factors }
        })
        .collect();
    found.sort_by_key(|group| std::cmp::Reverse((group.b_traces, group.a_traces)));
    found
}
