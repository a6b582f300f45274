//! `failsift audit`.

use std::io::Write;
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use crate::audit;
use crate::model::escape_control_chars;
use crate::query::TablesSession;
use crate::redact::CustomDetectors;

/// Findings that are printed; the count says how many there are.
const FINDINGS_SHOWN: usize = 50;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where the tables lie
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT", default_value = "failsift-out")]
    tables: String,
    /// Look at this many rows of each table instead of all
    #[arg(long, value_name = "N")]
    sample: Option<u64>,
    /// File with detectors of your own and values to leave alone; may be given several times
    #[arg(long = "rules", value_name = "FILE")]
    rules: Vec<PathBuf>,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let own = CustomDetectors::read(&args.rules)?;
    let session = TablesSession::open(&args.tables, None).await?;
    let audit = audit::audit(&session, args.sample, &own).await?;
    let mut stdout = std::io::stdout().lock();
    for finding in audit.findings.iter().take(FINDINGS_SHOWN) {
        let kinds: Vec<String> = finding.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
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
    writeln!(stdout, "{} texts in {} rows: {} hold something sensitive", audit.texts, audit.rows, audit.findings.len())?;
    Ok(if audit.findings.is_empty() { Exit::Complete } else { Exit::OverThreshold })
}
