//! `failsift run`: extracts patterns from traces into tables.

use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::{explain, output, run_summary};
use crate::config::{Given, Origins, RunConfig, RunSection, WriteSection};
use crate::model::{ExitReason, RunStatus, RunSummary, escape_control_chars};
use crate::pipeline::{self, FailedRun, RunError, RunProgress, RunReport};

/// Time after a signal in which work in flight may finish and be committed.
const GRACE_PERIOD: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    analysis: AnalysisArgs,
    #[command(flatten)]
    write: WriteSection,
    #[command(flatten)]
    run: RunSection,
    /// Ignore finished work of an interrupted run over the same input
    #[arg(long)]
    fresh: bool,
    /// Ask a model again about traces whose content and settings have not changed
    #[arg(long)]
    force: bool,
    /// Print every setting with where its value comes from, and exit without running
    #[arg(long)]
    explain: bool,
    /// Output format of the summary
    #[arg(long, value_enum, default_value_t = SummaryFormat::Text)]
    format: SummaryFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SummaryFormat {
    /// Human-readable text
    Text,
    /// One flat JSON object: the row of the table `runs`
    Json,
}

pub(super) async fn execute(args: Args, origins: Origins) -> Result<Exit, Failure> {
    let format = args.format;
    let given = Given { fresh: args.fresh, force: args.force, ..args.analysis.into_given(args.write, args.run, origins) };
    if args.explain {
        return explain::execute(&given, format == SummaryFormat::Json);
    }
    let config = RunConfig::resolve(&given)?;

    let shutdown = CancellationToken::new();
    let signal_exit_code = Arc::new(AtomicU8::new(0));
    let progress = RunProgress::default();
    let report = tokio::select! {
        report = pipeline::run(&config, &progress, shutdown.clone()) => report,
        never = show_progress(&progress) => match never {},
        () = grace_period_ended(shutdown.clone(), Arc::clone(&signal_exit_code)) => {
            let exit = exit_after_signal(signal_exit_code.load(Ordering::Relaxed));
            clear_progress();
            return Err(Failure { exit, message: progress.if_stopped_now() });
        }
    };
    clear_progress();
    let report = match report {
        Ok(report) => report,
        Err(FailedRun { error: RunError::StoppedWaiting, .. }) => {
            let exit = exit_after_signal(signal_exit_code.load(Ordering::Relaxed));
            return Err(Failure { exit, message: RunError::StoppedWaiting.to_string() });
        }
        Err(FailedRun { error, summary }) => {
            if let Some(summary) = summary.filter(|_| format == SummaryFormat::Json) {
                print_json(&summary)?;
            }
            return Err(error.into());
        }
    };
    print(&config, &report, format)?;
    if let Some(reason) = report.summary.exit_reason {
        tracing::warn!(reason = reason.as_str(), "{}", run_summary::exit_reason_text(reason, &report.summary));
    }
    Ok(match report.summary.exit_reason {
        None => Exit::Complete,
        Some(ExitReason::Interrupted) => exit_after_signal(signal_exit_code.load(Ordering::Relaxed)),
        Some(ExitReason::CostLimit | ExitReason::MaxDuration) => Exit::StoppedByLimit,
        Some(
            ExitReason::NothingStored | ExitReason::NoTraces | ExitReason::ErrorRate | ExitReason::MaxErrors | ExitReason::CanaryMissed,
        ) => Exit::OverThreshold,
        Some(ExitReason::Failed) => Exit::Failed,
    })
}

/// Requests a shutdown at the first signal. Returns at the second signal, or when the grace period has ended.
async fn grace_period_ended(shutdown: CancellationToken, exit_code: Arc<AtomicU8>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    let code = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    exit_code.store(code, Ordering::Relaxed);
    tracing::warn!("shutting down: finished work is committed; interrupt again to exit immediately");
    shutdown.cancel();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tokio::time::sleep(GRACE_PERIOD) => {}
    }
    // Threads that are still working may panic when the run is dropped.
    super::silence_panics();
}

/// Shows the progress of the run on a terminal, after the first half second.
async fn show_progress(progress: &RunProgress) -> Infallible {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // A closed stderr is not an error.
        let _ = write!(std::io::stderr(), "\r\x1b[K{progress}");
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

fn exit_after_signal(code: u8) -> Exit {
    if code == 143 { Exit::Terminated } else { Exit::Interrupted }
}

fn print(config: &RunConfig, report: &RunReport, format: SummaryFormat) -> Result<(), Failure> {
    if let Some(path) = &report.created_key_file {
        output::note(&format!("created the redaction key {}; keep it, so that later runs give equal values equal tokens", path.display()));
    }
    report.notes.iter().for_each(|note| output::note(note));
    if let Some(canaries) = &report.canaries {
        output::plain(&format!("canaries: redaction found {} of {} planted values", canaries.found(), canaries.planted()));
    }
    match format {
        SummaryFormat::Json => print_json(&report.summary),
        SummaryFormat::Text if report.summary.status == RunStatus::Skipped => Ok(()),
        SummaryFormat::Text => {
            let text = run_summary::text(&config.output, &report.summary, &report.fingerprints);
            Ok(write!(std::io::stdout().lock(), "{}", escape_control_chars(&text))?)
        }
    }
}

fn print_json(summary: &RunSummary) -> Result<(), Failure> {
    let json = serde_json::to_string(summary).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(std::io::stdout().lock(), "{}", output::escaped_json(&json))?)
}
