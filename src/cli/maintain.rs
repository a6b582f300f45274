//! `failsift maintain`.

use std::io::Write;
use std::time::Duration;

use super::exit::{Exit, Failure};
use crate::pipeline::RunError;
use crate::query::QueryError;
use crate::write::{self, Maintained};
use crate::{config, limits, store};

/// Files are kept at least this long for readers that have them open, unless the user insists.
const RETENTION_MIN: Duration = Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the tables lie
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Keep what earlier versions need, and what dead runs left, this long [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = config::parse_duration)]
    retention: Option<Duration>,
    /// Allow a retention below an hour, which breaks whoever is reading or writing at the moment
    #[arg(long)]
    force: bool,
    /// Say what would be done
    #[arg(long)]
    dry_run: bool,
    /// How the report is printed
    #[arg(long, value_enum, default_value_t = ReportFormat::Text)]
    format: ReportFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    /// For reading
    Text,
    /// One JSON object
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let retention = args.retention.unwrap_or(limits::RETENTION);
    if retention < RETENTION_MIN && !args.force {
        return Err(Failure::usage(
            "a retention below an hour removes files that somebody may be reading, and that a run is about to commit\n  hint: --force if nobody does",
        ));
    }
    let location = store::table_url(&args.tables)?;
    let maintained = write::maintain(&location, retention, args.dry_run).await.map_err(RunError::from)?;
    let maintained = maintained.ok_or_else(|| QueryError::NoTables(args.tables.clone()))?;
    let mut stdout = std::io::stdout().lock();
    match args.format {
        ReportFormat::Text => stdout.write_all(text(&maintained).as_bytes())?,
        ReportFormat::Json => {
            let json = serde_json::to_string(&maintained).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(stdout, "{json}")?;
        }
    }
    Ok(Exit::Complete)
}

fn text(maintained: &Maintained) -> String {
    let head = ["table", "version", "files", "MB", "merged", "vacuumed", "log entries removed"];
    let mut lines = vec![format!("{:<10}{:>9}{:>14}{:>9}{:>9}{:>10}{:>21}", head[0], head[1], head[2], head[3], head[4], head[5], head[6])];
    for table in &maintained.tables {
        let files = format!("{} -> {}", table.files_before, table.files_after);
        #[expect(clippy::cast_precision_loss, reason = "for reading")]
        let megabytes = table.bytes as f64 / 1e6;
        lines.push(format!(
            "{:<10}{:>9}{files:>14}{megabytes:>9.1}{:>9}{:>10}{:>21}",
            table.table, table.version, table.files_merged, table.files_vacuumed, table.log_entries_removed
        ));
    }
    let mut said = |count: usize, what: &str| {
        if count > 0 {
            lines.push(format!("{count} {what}"));
        }
    };
    said(maintained.commits_ended, "commits of killed runs ended");
    said(maintained.staging_kept, "folders of killed runs kept for the next run over the same input");
    said(maintained.staging_removed, "folders of killed runs removed");
    said(maintained.unfinished_removed, "files removed that killed runs had not written to their end");
    if maintained.dry_run {
        lines.push("nothing was changed (--dry-run)".to_owned());
    }
    lines.join("\n") + "\n"
}
