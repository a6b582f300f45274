//! `failsift schema NAME`: prints a JSON Schema.

use std::io::Write;

use super::exit::{Exit, Failure};
use crate::schemas;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Name of the schema
    #[arg(value_parser = ["trace", "pattern", "error", "fingerprint", "run_summary", "pipeline"])]
    name: String,
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let text = schemas::ALL.iter().find(|(name, _)| *name == args.name).map_or("", |(_, text)| *text);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(Exit::Complete)
}
