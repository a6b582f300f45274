//! `failsift rules`: checks rule files, and prints the cases that fail.

use std::io::Write;
use std::path::PathBuf;

use super::counted;
use super::exit::{Exit, Failure};
use crate::analyze::embedded::{self, RuleCheck};
use crate::model::escape_control_chars;
use crate::pipeline::{self, RunError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    command: RulesCommand,
}

#[derive(Debug, clap::Subcommand)]
enum RulesCommand {
    /// Check that rule files are well-formed and that each case gives the expected result
    Check {
        /// Rule files, in the format of docs/rules.md
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let RulesCommand::Check { files } = &args.command;
    let mut stdout = std::io::stdout().lock();
    let mut exit = Exit::Complete;
    for (name, text) in pipeline::rule_files(files)? {
        let check = embedded::check_rules(&name, &text).map_err(RunError::from)?;
        for failure in &check.failures {
            writeln!(stdout, "{}: {}", escape_control_chars(&name), escape_control_chars(failure))?;
        }
        if check.failures.is_empty() {
            writeln!(stdout, "{}: {}", escape_control_chars(&name), passed(&check))?;
        } else {
            exit = Exit::OverThreshold;
        }
    }
    Ok(exit)
}

fn passed(check: &RuleCheck) -> String {
    format!("{}, {}, all passed", counted(check.rules as u64, "rule"), counted(check.cases as u64, "case"))
}
