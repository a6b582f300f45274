//! The command line: one verb a file. A verb parses, calls one library function, and prints.

mod analysis_args;
mod audit;
mod eval;
mod exit;
mod inspect;
mod maintain;
mod output;
mod plan;
mod query;
mod redact;
mod rules;
mod run;
mod schema;
mod show;

use std::io::IsTerminal;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use self::exit::{Exit, Failure};
use crate::limits;

/// Reads the traces of failed LLM and agent runs and writes one structured failure pattern for each.
#[derive(Debug, Parser)]
#[command(name = "failsift", version, about, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Extract patterns from traces into tables
    Run(run::Args),
    /// Tell what a run with a model would cost and take, before anything is spent
    Plan(plan::Args),
    /// Ask the tables with SQL; without SQL an interactive shell
    Query(query::Args),
    /// Tell what a file or a prefix holds: format, traces, spans, unmapped fields, what would be rejected and why
    Inspect(inspect::Args),
    /// Print the pattern of one trace for reading
    Show(show::Args),
    /// Score an analyzer on labelled traces, or have patterns rated by a person
    Eval(eval::Args),
    /// Take what is sensitive out of a text: a filter from stdin to stdout
    Redact(redact::Args),
    /// Merge small files of the tables, remove old ones, and end or remove what killed runs left
    Maintain(maintain::Args),
    /// Look through stored tables for anything sensitive
    Audit(audit::Args),
    /// Check rules of your own
    Rules(rules::Args),
    /// Print a JSON Schema: trace, pattern, error or `run_summary`
    Schema(schema::Args),
}

/// Parses the arguments, runs the verb and says how it ended.
pub fn main() -> ExitCode {
    // Everything that this process creates belongs to its owner alone, also what libraries write.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
    hide_panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A closed pipe is no reason to say anything more.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage.into() } else { Exit::Complete.into() };
        }
    };
    start_logging();
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_stack_size(limits::THREAD_STACK_BYTES).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&format!("cannot start threads: {error}"));
            return Exit::Failed.into();
        }
    };
    let ended = runtime.block_on(async {
        match cli.verb {
            Verb::Run(args) => run::execute(args).await,
            Verb::Plan(args) => plan::execute(args).await,
            Verb::Query(args) => query::execute(args).await,
            Verb::Inspect(args) => inspect::execute(args).await,
            Verb::Show(args) => show::execute(args).await,
            Verb::Eval(args) => eval::execute(args).await,
            Verb::Redact(args) => redact::execute(&args),
            Verb::Maintain(args) => maintain::execute(args).await,
            Verb::Audit(args) => audit::execute(args).await,
            Verb::Rules(args) => rules::execute(&args),
            Verb::Schema(args) => schema::execute(&args),
        }
    });
    // Threads that still read from a store after a second signal are not waited for.
    runtime.shutdown_background();
    match ended {
        Ok(exit) => exit.into(),
        Err(Failure { exit, message }) => {
            output::error(&message);
            exit.into()
        }
    }
}

/// Whether the process is about to end because its user wants it to.
static STOPPED: AtomicBool = AtomicBool::new(false);

/// From here on panics are not shown: the process ends, and threads that still work lose what they work with.
fn show_no_panics() {
    STOPPED.store(true, Ordering::Relaxed);
}

/// The text of a panic may quote a trace, so only its place is shown.
fn hide_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if STOPPED.load(Ordering::Relaxed) {
            return;
        }
        let place = panic.location().map(|place| format!("{}:{}", place.file(), place.line())).unwrap_or_default();
        output::error(&format!("a bug in failsift at {place}; please report it"));
    }));
}

/// Logs go to stderr. `RUST_LOG` sets what is shown of failsift; libraries only warn, for their logs may quote what they handle.
fn start_logging() {
    let own = std::env::var("RUST_LOG").ok().and_then(|level| level.parse::<tracing::Level>().ok()).unwrap_or(tracing::Level::WARN);
    let filter = EnvFilter::new(format!("off,failsift={own}"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal()).init();
}
