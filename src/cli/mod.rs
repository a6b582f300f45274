//! The command line, one command per file. A command parses its arguments, calls one library function, and prints the result.

mod analysis_args;
mod audit;
mod eval;
mod exit;
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
mod schema;
mod show;
mod show_fingerprint;
mod watch;

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};

use self::exit::{Exit, Failure};
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
    /// Query the tables with SQL, or open an interactive shell
    Query(query::Args),
    /// Show the contents of a file or prefix, and what a run would reject and why
    Inspect(inspect::Args),
    /// Print the pattern of one trace
    Show(show::Args),
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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
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
            Command::Run(args) => run::execute(args, &cli.log).await,
            Command::Plan(args) => plan::execute(args).await,
            Command::Query(args) => query::execute(args).await,
            Command::Inspect(args) => inspect::execute(args).await,
            Command::Show(args) => show::execute(args).await,
            Command::Eval(args) => eval::execute(args).await,
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
