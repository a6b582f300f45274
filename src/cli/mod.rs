//! The command line, one command per file. A command parses its arguments, calls one library function, and prints the result.

mod analysis_args;
mod audit;
mod check;
mod eval;
mod exit;
mod explain;
mod inspect;
mod log;
mod maintain;
mod output;
mod plan;
mod progress;
mod query;
mod redact;
mod rules;
mod run;
mod run_summary;
mod runs;
mod schema;
mod show;
mod show_fingerprint;
mod watch;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::{Exit, Failure};
use crate::config::Origins;
use crate::limits;

/// Extracts structured failure patterns from the traces of LLM and agent runs.
#[derive(Debug, Parser)]
#[command(name = "failsift", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(flatten)]
    log: log::LogArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Extract patterns from traces into tables
    Run(run::Args),
    /// Estimate the cost and time of a run with a model, without asking the model
    Plan(plan::Args),
    /// Check the configuration of a run and everything that it needs, without running
    Check(check::Args),
    /// Query the tables with SQL, or open an interactive shell
    Query(query::Args),
    /// Show the contents of a file or prefix, and what a run would reject and why
    Inspect(inspect::Args),
    /// Print the pattern of one trace
    Show(show::Args),
    /// List runs, show one, or compare two: what is new, gone, more or less
    Runs(runs::Args),
    /// Measure an analyzer on labelled traces, or prepare patterns for rating by a person
    Eval(eval::Args),
    /// Redact sensitive data in a text, from a file or stdin to stdout
    Redact(redact::Args),
    /// Compact the tables, remove old files, and clean up after interrupted runs
    Maintain(maintain::Args),
    /// Search stored tables for sensitive data
    Audit(audit::Args),
    /// Check files with custom rules
    Rules(rules::Args),
    /// Print a JSON Schema
    Schema(schema::Args),
}

/// Parses the arguments, runs the command and returns its exit code.
pub fn main() -> ExitCode {
    // Files that this process creates, including those of libraries, are readable by their owner only.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    report_panics_without_text();
    let (cli, origins) = match parse_arguments() {
        Ok(parsed) => parsed,
        Err(error) => {
            // A closed pipe is not an error.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Complete.into() };
        }
    };
    cli.log.start();
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(limits::THREAD_STACK_BYTES).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let result = runtime.block_on(async {
        match cli.command {
            Command::Run(args) => run::execute(args, origins, &cli.log).await,
            Command::Plan(args) => plan::execute(args, origins).await,
            Command::Check(args) => check::execute(args, origins).await,
            Command::Query(args) => query::execute(args).await,
            Command::Inspect(args) => inspect::execute(args).await,
            Command::Show(args) => show::execute(args).await,
            Command::Runs(args) => runs::execute(args).await,
            Command::Eval(args) => eval::execute(args, &origins).await,
            Command::Redact(args) => redact::execute(&args),
            Command::Maintain(args) => maintain::execute(args).await,
            Command::Audit(args) => audit::execute(args).await,
            Command::Rules(args) => rules::execute(&args),
            Command::Schema(args) => schema::execute(&args),
        }
    });
    // After a second signal, do not wait for threads that still read from a store.
    runtime.shutdown_background();
    match result {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            output::error(&message);
            exit.into()
        }
    }
}

/// Parses the command line, and records whether each argument comes from a flag or from the environment.
fn parse_arguments() -> Result<(Cli, Origins), clap::Error> {
    let mut command = Cli::command();
    let matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let cli = Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))?;
    let of_subcommand = matches.subcommand().and_then(|(name, matches)| Some(Origins::of(command.find_subcommand(name)?, matches)));
    Ok((cli, of_subcommand.unwrap_or_default()))
}

/// Whether the environment has a redaction key, which takes precedence over the key file of a pipeline.
fn has_key_in_environment() -> bool {
    std::env::var_os("FAILSIFT_REDACTION_KEY").is_some()
}

/// Whether the process is exiting at the user's request.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Stops reporting panics. The process is exiting, and threads that still run may panic because their run no longer exists.
fn silence_panics() {
    EXITING.store(true, Ordering::Relaxed);
}

/// Reports only the location of a panic, because its text may quote a trace.
fn report_panics_without_text() {
    std::panic::set_hook(Box::new(|panic| {
        if EXITING.load(Ordering::Relaxed) {
            return;
        }
        let location = panic.location().map(|location| format!("{}:{}", location.file(), location.line())).unwrap_or_default();
        output::error(&format!("internal error at {location}\n  hint: this is a bug in failsift; please report it"));
    }));
}

/// Parses a number of megabytes.
fn megabytes(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("'{text}' is not a whole number of MB"))
}

/// A number with its noun: `1 object`, `2 objects`.
fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;
    use serde_json::Value;

    use super::Cli;
    use crate::schemas;

    /// Arguments of one run, which are no settings of a pipeline.
    const OF_ONE_RUN: [&str; 7] = ["pipeline", "set", "date", "fresh", "force", "explain", "format"];

    #[test]
    fn every_setting_has_a_key_a_flag_a_variable_and_a_row_in_the_docs() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        let schema: Value = serde_json::from_str(schemas::PIPELINE).unwrap();
        let page = include_str!("../../docs/cli.md");
        let mut without_flag: BTreeSet<String> = BTreeSet::new();
        for (section, of) in schema["properties"].as_object().unwrap().iter().filter(|(section, _)| *section != "variables") {
            match of["properties"].as_object() {
                Some(keys) => without_flag.extend(keys.keys().map(|key| format!("{section}.{key}"))),
                None => drop(without_flag.insert(section.clone())),
            }
        }
        let mut rows = 0;
        for argument in run.get_arguments().filter(|argument| !OF_ONE_RUN.contains(&argument.get_id().as_str())) {
            let id = argument.get_id().as_str();
            assert!(without_flag.remove(id), "{id} is no key of a pipeline file");
            let (flag, variable) = (argument.get_long().unwrap(), argument.get_env().unwrap_or_else(|| panic!("{id} has no variable")));
            let key = id.split_once('.').map_or_else(|| format!("`[{id}]`"), |(section, key)| format!("`[{section}] {key}`"));
            let row = format!("| {key} | `--{flag}` | `{}` |", variable.to_string_lossy());
            assert!(page.contains(&row), "docs/cli.md lacks: {row}");
            rows += 1;
            let of_file = id.split_once('.').map(|(section, key)| &schema["properties"][section]["properties"][key]["enum"]);
            if let Some(Value::Array(values)) = of_file {
                let of_flag: Vec<String> = argument.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect();
                assert_eq!(values.iter().map(|value| value.as_str().unwrap()).collect::<Vec<_>>(), of_flag, "{id}");
            }
        }
        assert!(without_flag.is_empty(), "keys without a flag: {without_flag:?}");
        assert_eq!(page.matches("| `[").count(), rows, "docs/cli.md has rows for settings that do not exist");
    }

    #[test]
    fn commands_that_share_settings_share_their_names() {
        let command = Cli::command();
        let run = command.find_subcommand("run").unwrap();
        for name in ["plan", "check", "eval"] {
            for argument in command.find_subcommand(name).unwrap().get_arguments() {
                // A setting of another id would lack its origin.
                let same_flag = run.get_arguments().find(|other| other.get_long().is_some() && other.get_long() == argument.get_long());
                if let Some(same_flag) = same_flag {
                    let is_compared = argument.get_id() == "analyzers";
                    assert!(is_compared || same_flag.get_id() == argument.get_id(), "{name} --{}", argument.get_long().unwrap_or_default());
                }
            }
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
