//! `failsift audit`: searches the stored tables for sensitive values, and prints where they are but not the values.

use std::io::Write;
use std::path::PathBuf;

use super::counted;
use super::exit::{Exit, Failure};
use crate::audit;
use crate::model::escape_control_chars;
use crate::query::TablesSession;
use crate::redact::{CustomDetectors, KindOptions};

/// Findings that are printed. The last line counts all.
const FINDINGS_SHOWN: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Location of the tables
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Check this many rows of each table instead of all
    #[arg(long, value_name = "N")]
    sample: Option<u64>,
    /// File with custom detectors and allowed values; can be repeated
    #[arg(long = "rules", visible_alias = "redaction-rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
    #[command(flatten)]
    kinds: KindOptions,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let detectors = CustomDetectors::read(&args.rules)?.with_kinds(&args.kinds)?;
    let session = TablesSession::open(&args.tables, None).await?;
    let audit = audit::audit(&session, args.sample, &detectors).await?;
    let mut stdout = std::io::stdout().lock();
    for finding in audit.findings.iter().take(FINDINGS_SHOWN) {
        let kinds: Vec<String> =
            finding.kinds.iter().map(|(found, count)| format!("{count} {} ({})", found.kind, found.detector)).collect();
        writeln!(
            stdout,
            "{}.{} of {}: {}",
            finding.table,
            escape_control_chars(&finding.column),
            escape_control_chars(&finding.key),
            kinds.join(", ")
        )?;
    }
    let more = audit.findings.len().saturating_sub(FINDINGS_SHOWN);
    if more > 0 {
        writeln!(stdout, "… and {more} more")?;
    }
    let (texts, rows) = (counted(audit.texts, "text"), counted(audit.rows, "row"));
    writeln!(stdout, "{texts} in {rows} checked, {} with sensitive values", counted(audit.findings.len() as u64, "field"))?;
    Ok(if audit.findings.is_empty() { Exit::Complete } else { Exit::OverThreshold })
}
