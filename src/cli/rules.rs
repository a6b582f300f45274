//! `failsift rules`.

use std::io::Write;
use std::path::PathBuf;

use super::exit::{Exit, Failure};
use crate::analyze::embedded::{self, RuleCheck};
use crate::model::escape_control_chars;
use crate::pipeline::{self, RunError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Check that rule files are well-formed and that each rule wins the cases it should
    Check {
        /// Rule files, in the format of docs/rules.md
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

pub(super) fn execute(args: &Args) -> Result<Exit, Failure> {
    let Verb::Check { files } = &args.verb;
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
    let count = |count: usize, noun: &str| format!("{count} {noun}{}", if count == 1 { "" } else { "s" });
    format!("{}, {}, all passed", count(check.rules, "rule"), count(check.cases, "case"))
}
