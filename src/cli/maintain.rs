//! `failsift maintain`: compacts and cleans up the tables, and prints what was done or, in a dry run, what would be done.

use std::io::Write;
use std::time::Duration;

use super::exit::{Exit, Failure};
use crate::pipeline::RunError;
use crate::query::QueryError;
use crate::write::{self, MaintenancePlan, MaintenanceReport};
use crate::{config, limits, store};

/// The shortest retention without `--force`: readers and commits in progress need files that long.
const RETENTION_MIN: Duration = Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Keep files of earlier versions, and finished work of interrupted runs, this long [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
    retention: Option<Duration>,
    /// Allow a retention below one hour, which breaks readers and runs that are active
    #[arg(long)]
    force: bool,
    /// Print what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Output format of the report
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    /// Human-readable text
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let retention = args.retention.unwrap_or(limits::RETENTION_DEFAULT);
    if retention < RETENTION_MIN && !args.force {
        return Err(Failure::usage(
            "a retention below one hour removes files that readers or runs may still need\n  hint: pass --force if there are none",
        ));
    }
    let location = store::table_url(&args.tables)?;
    let report = write::maintain(&location, retention, args.dry_run).await.map_err(RunError::from)?;
    let report = report.ok_or_else(|| QueryError::NoTables(args.tables.clone()))?;
    let mut stdout = std::io::stdout().lock();
    match args.format {
        ReportFormat::Text => stdout.write_all(text(&report).as_bytes())?,
        ReportFormat::Json => {
            let json = serde_json::to_string(&report).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(stdout, "{json}")?;
        }
    }
    Ok(Exit::Complete)
}

fn text(report: &MaintenanceReport) -> String {
    let head = ["table", "version", "files", "MB", "merged", "vacuumed", "log entries removed"];
    let mut lines = vec![format!("{:<13}{:>9}{:>14}{:>9}{:>9}{:>10}{:>21}", head[0], head[1], head[2], head[3], head[4], head[5], head[6])];
    for table in &report.tables {
        let files = format!("{} -> {}", table.files_before, table.files_after);
        #[expect(clippy::cast_precision_loss, reason = "for display")]
        let megabytes = table.bytes as f64 / 1e6;
        lines.push(format!(
            "{:<13}{:>9}{files:>14}{megabytes:>9.1}{:>9}{:>10}{:>21}",
            table.table, table.version, table.files_merged, table.files_vacuumed, table.log_entries_removed
        ));
    }
    let mut count = |count: usize, one: &str, many: &str| match count {
        0 => {}
        1 => lines.push(format!("1 {one}")),
        count => lines.push(format!("{count} {many}")),
    };
    count(report.commits_completed, "commit of an interrupted run completed", "commits of interrupted runs completed");
    count(
        report.staging_kept,
        "folder of an interrupted run kept for the next run over the same input",
        "folders of interrupted runs kept for the next run over the same input",
    );
    count(report.staging_removed, "abandoned folder of an interrupted run removed", "abandoned folders of interrupted runs removed");
    count(report.unfinished_removed, "partially written file removed", "partially written files removed");
    if let Some(plan) = &report.plan {
        lines.extend(planned(plan));
    }
    if report.dry_run {
        lines.push("dry run: nothing was changed".to_owned());
    }
    lines.join("\n") + "\n"
}

/// The plan of a dry run, one line per step.
fn planned(plan: &MaintenancePlan) -> Vec<String> {
    let mut lines = vec!["plan:".to_owned()];
    for commit in &plan.commits {
        lines.push(format!("  complete the commit of run {}", commit.run_id));
        lines.extend(commit.tables.iter().map(|table| format!("    {table}")));
    }
    lines.extend(plan.staging_kept.iter().map(|run_id| format!("  keep _staging/{run_id}")));
    lines.extend(plan.staging_removed.iter().map(|run_id| format!("  remove _staging/{run_id}")));
    for table in &plan.tables {
        let vacuumed = match table.vacuumed.len() {
            0 => "no files vacuumed".to_owned(),
            1 => "1 file vacuumed".to_owned(),
            files => format!("{files} files vacuumed"),
        };
        lines.push(format!("  {}, {vacuumed}", table.compaction));
    }
    lines
}
