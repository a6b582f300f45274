//! `failsift runs`: lists runs, shows the summary of one, and compares what two of them found.

mod changes;
mod list;

use std::io::Write;

use chrono::{DateTime, Utc};

use super::exit::{Exit, Failure};
use super::output::{self, RowFormat};
use super::run_summary;
use crate::config;
use crate::limits::{COMPARED_RUNS_MAX, RUNS_LISTED_DEFAULT};
use crate::model::{RunSummary, escape_control_chars};
use crate::runs::{self, FingerprintDifferences, GroupColumn, RunFilter, RunsError, StoredRuns};
use crate::write::{FingerprintReport, ReportedDifference};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the summary of a run
    Show(ShowArgs),
    /// Compare two runs: what is new, gone, more or less, by category, contributing factor and fingerprint
    Diff(DiffArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Only runs of this pipeline: the name of the pipeline file, or `command line`
    #[arg(long, value_name = "NAME")]
    pipeline: Option<String>,
    /// Only runs that started at this time or later: 2026-11-23, 2026-11-23T09:00:00Z, or an age such as 90m, 24h, 7d
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<DateTime<Utc>>,
    /// Number of runs, the newest first
    #[arg(long, value_name = "N", default_value_t = RUNS_LISTED_DEFAULT)]
    limit: usize,
    /// Output format of rows
    #[arg(long, value_enum, default_value_t = RowFormat::Table)]
    format: RowFormat,
}

#[derive(Debug, clap::Args)]
struct ShowArgs {
    /// Run id or its beginning, or `last`
    id: String,
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Output format of the summary
    #[arg(long, value_enum, default_value_t = PageFormat::Text)]
    format: PageFormat,
}

#[derive(Debug, clap::Args)]
struct DiffArgs {
    /// The earlier run: its id or the beginning of it [default: the last complete run before B of the same pipeline]
    a: Option<String>,
    /// The later run: its id or the beginning of it, or `last` [default: the last complete run]
    b: Option<String>,
    /// Compare the complete runs since this time, such as that of a deployment, with as many before it
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with_all = ["a", "b"])]
    since: Option<DateTime<Utc>>,
    /// Only runs of this pipeline
    #[arg(long, value_name = "NAME", conflicts_with_all = ["a", "b"])]
    pipeline: Option<String>,
    /// Also compare the traces of each value of this column
    #[arg(long, value_enum, value_name = "COLUMN")]
    by: Option<GroupColumn>,
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Output format of the comparison
    #[arg(long, value_enum, default_value_t = PageFormat::Text)]
    format: PageFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum PageFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    match args.command {
        None => list(args.list).await,
        Some(Command::Show(args)) => show(args).await,
        Some(Command::Diff(args)) => diff(args).await,
    }
}

async fn list(args: ListArgs) -> Result<Exit, Failure> {
    let runs = StoredRuns::open(&args.tables).await?;
    let filter = RunFilter { pipeline: args.pipeline, since: args.since, ..RunFilter::default() };
    let rows = runs.list(&filter, args.limit).await?;
    match args.format {
        RowFormat::Table => write!(std::io::stdout().lock(), "{}", list::text(&runs::rows(rows).await?))?,
        format => output::rows(runs::stream(rows).await?, format).await?,
    }
    Ok(Exit::Complete)
}

async fn show(args: ShowArgs) -> Result<Exit, Failure> {
    let stored = StoredRuns::open(&args.tables).await?;
    let run = stored.find(&args.id).await?;
    let text = match args.format {
        PageFormat::Json => json_line(&run)?,
        PageFormat::Text => {
            let differences = stored.differences(&run).await?.into_iter().filter_map(reported).collect();
            let fingerprints = FingerprintReport { differences, traces_left_out: 0 };
            escape_control_chars(&run_summary::text(&args.tables, &run, &fingerprints)).into_owned()
        }
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
}

/// The clearest difference of a fingerprint.
fn reported(of_fingerprint: FingerprintDifferences) -> Option<ReportedDifference> {
    let FingerprintDifferences { category, contributing_factor, traces, differences } = of_fingerprint;
    let sentence = differences.into_iter().next()?.sentence;
    Some(ReportedDifference { label: format!("{category}/{contributing_factor}"), traces, sentence })
}

async fn diff(args: DiffArgs) -> Result<Exit, Failure> {
    let stored = StoredRuns::open(&args.tables).await?;
    let (a, b) = match args.since {
        Some(since) => runs_around(&stored, args.pipeline, since).await?,
        None => {
            let (a, b) = two_runs(&stored, args.pipeline, args.a.as_deref(), args.b.as_deref()).await?;
            (vec![a], vec![b])
        }
    };
    let diff = runs::diff(&stored, &a, &b, args.by).await?;
    let text = match args.format {
        PageFormat::Json => json_line(&diff)?,
        PageFormat::Text => changes::page(&diff, &args.tables),
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
}

/// The runs that are compared if no time is given.
async fn two_runs(
    stored: &StoredRuns,
    pipeline: Option<String>,
    a: Option<&str>,
    b: Option<&str>,
) -> Result<(RunSummary, RunSummary), RunsError> {
    let last_complete = async |filter: RunFilter, what: &str| {
        let found = stored.newest(&RunFilter { is_complete: true, ..filter }, 1).await?.into_iter().next();
        found.ok_or_else(|| RunsError::NothingToCompare {
            reason: format!("there is no complete run {what}"),
            hint: format!("list runs with failsift runs --tables {}", stored.location()),
        })
    };
    let a = match a {
        Some(a) => Some(stored.find(a).await?),
        None => None,
    };
    let b = match b {
        Some(b) => stored.find(b).await?,
        None => {
            let pipeline = a.as_ref().map(|a| a.pipeline.clone()).or(pipeline);
            last_complete(RunFilter { pipeline, ..RunFilter::default() }, "in these tables").await?
        }
    };
    let a = match a {
        Some(a) => a,
        None => {
            let earlier = RunFilter { pipeline: Some(b.pipeline.clone()), before_run: Some(b.run_id.clone()), ..RunFilter::default() };
            last_complete(earlier, &format!("of the pipeline {} before {}", b.pipeline, b.run_id)).await?
        }
    };
    if a.run_id == b.run_id {
        let reason = format!("{} is A and B", a.run_id);
        return Err(RunsError::NothingToCompare { reason, hint: "give the ids of two runs".to_owned() });
    }
    Ok((a, b))
}

/// The complete runs since a time, and as many before it, of the same pipeline.
async fn runs_around(
    stored: &StoredRuns,
    pipeline: Option<String>,
    time: DateTime<Utc>,
) -> Result<(Vec<RunSummary>, Vec<RunSummary>), RunsError> {
    let none = |when: &str| RunsError::NothingToCompare {
        reason: format!("there is no complete run {when} {}", time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)),
        hint: format!("list runs with failsift runs --tables {}", stored.location()),
    };
    let since = RunFilter { pipeline, since: Some(time), is_complete: true, ..RunFilter::default() };
    let pipeline = match &since.pipeline {
        Some(pipeline) => pipeline.clone(),
        None => stored.newest(&since, 1).await?.into_iter().next().ok_or_else(|| none("since"))?.pipeline,
    };
    let of_pipeline = RunFilter { pipeline: Some(pipeline), ..since };
    let b = stored.newest(&of_pipeline, COMPARED_RUNS_MAX).await?;
    if b.is_empty() {
        return Err(none("since"));
    }
    let a = stored.newest(&RunFilter { since: None, before: Some(time), ..of_pipeline }, b.len()).await?;
    if a.is_empty() {
        return Err(none("before"));
    }
    Ok((a, b))
}

fn json_line(value: &impl serde::Serialize) -> Result<String, Failure> {
    let json = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(output::escaped_json(&json) + "\n")
}

fn time(text: &str) -> Result<DateTime<Utc>, String> {
    config::parse_time(text, Utc::now()).map(DateTime::from_timestamp_nanos)
}
