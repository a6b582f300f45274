//! `failsift rules`.

use std::io::Write;
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use crate::analyze::embedded::Embedded;
use crate::model::escape_control_chars;
use crate::pipeline::{self, RunError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check files of rules: are they well-formed, and does each rule win the cases that it should
    Check {
        /// Files as docs/rules.md describes them
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let Verb::Check { files } = &args.verb;
    let mut stdout = std::io::stdout().lock();
    let mut exit = Exit::Complete;
    for (name, text) in pipeline::rule_files(files)? {
        let (rules, cases, complaints) = Embedded::check_rules(&name, &text).map_err(RunError::from)?;
        for complaint in &complaints {
            writeln!(stdout, "{}: {}", escape_control_chars(&name), escape_control_chars(complaint))?;
        }
        if complaints.is_empty() {
            writeln!(stdout, "{}: {rules} rules, {cases} cases, all as they should be", escape_control_chars(&name))?;
        } else {
            exit = Exit::OverThreshold;
        }
    }
    Ok(exit)
}
