//! `failsift run`: extracts patterns from traces into tables.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::watch::Watch;
use super::{explain, log, output, progress, run_summary};
use crate::config::{Given, NotifySection, Origins, RunConfig, RunSection, TelemetrySection, WriteSection};
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
    #[command(flatten)]
    notify: NotifySection,
    #[command(flatten)]
    telemetry: TelemetrySection,
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

pub(super) async fn execute(args: Args, origins: Origins, log: &log::LogArgs) -> Result<Exit, Failure> {
    let format = args.format;
    let mut given = Given { fresh: args.fresh, force: args.force, ..args.analysis.into_given(args.write, args.run, origins) };
    given.settings.notify = args.notify;
    given.settings.telemetry = args.telemetry;
    if args.explain {
        return explain::execute(&given, format == SummaryFormat::Json);
    }
    let config = RunConfig::resolve(&given)?;

    let progress = Arc::new(RunProgress::default());
    log::set_run_id(progress.run_id());
    let watch = Watch::start(&config, &progress).await?;
    let signals = Signals::default();
    let result = run_until_stopped(&config, &progress, &signals, log.is_quiet()).await;
    progress::clear();
    let (exit, report, printed) = match &result {
        Ok(report) => (exit_of(report, &signals), Some(report), print(&config, report, format)),
        Err(Stopped { failure, summary }) => {
            let summary = summary.as_ref().filter(|_| format == SummaryFormat::Json);
            (failure.exit, None, summary.map_or(Ok(()), |summary| print_json(summary)))
        }
    };
    watch.finish(&config, exit, report, !signals.is_second.load(Ordering::Relaxed)).await;
    printed?;
    result.map(|_| exit).map_err(|stopped| stopped.failure)
}

/// Why a run has no report, and what it had counted until then.
struct Stopped {
    failure: Failure,
    summary: Option<Box<RunSummary>>,
}

/// The signals that the process received.
#[derive(Default)]
struct Signals {
    /// The exit code for the first one.
    exit_code: AtomicU8,
    /// Whether there was a second one.
    is_second: AtomicBool,
}

async fn run_until_stopped(config: &RunConfig, progress: &RunProgress, signals: &Signals, is_quiet: bool) -> Result<RunReport, Stopped> {
    let shutdown = CancellationToken::new();
    tokio::select! {
        report = pipeline::run(config, progress, shutdown.clone()) => report.map_err(|failed| stopped_by(failed, signals)),
        never = progress::show(progress, is_quiet) => match never {},
        () = grace_period_ended(shutdown.clone(), signals) => {
            let failure = Failure { exit: exit_after_signal(signals), message: progress.if_stopped_now() };
            Err(Stopped { failure, summary: None })
        }
    }
}

fn stopped_by(failed: FailedRun, signals: &Signals) -> Stopped {
    let FailedRun { error, summary } = failed;
    let failure = match error {
        RunError::StoppedWaiting => Failure { exit: exit_after_signal(signals), message: error.to_string() },
        error => error.into(),
    };
    Stopped { failure, summary }
}

fn exit_of(report: &RunReport, signals: &Signals) -> Exit {
    match report.summary.exit_reason {
        None => Exit::Complete,
        Some(ExitReason::Interrupted) => exit_after_signal(signals),
        Some(ExitReason::CostLimit | ExitReason::MaxDuration) => Exit::StoppedByLimit,
        Some(
            ExitReason::NothingStored | ExitReason::NoTraces | ExitReason::ErrorRate | ExitReason::MaxErrors | ExitReason::CanaryMissed,
        ) => Exit::OverThreshold,
        Some(ExitReason::Failed) => Exit::Failed,
    }
}

/// Requests a shutdown at the first signal. Returns at the second signal, or when the grace period has ended.
async fn grace_period_ended(shutdown: CancellationToken, signals: &Signals) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    let code = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    signals.exit_code.store(code, Ordering::Relaxed);
    tracing::warn!("shutting down: finished work is committed; interrupt again to exit immediately");
    shutdown.cancel();
    let is_second = tokio::select! {
        _ = interrupt.recv() => true,
        _ = terminate.recv() => true,
        () = tokio::time::sleep(GRACE_PERIOD) => false,
    };
    signals.is_second.store(is_second, Ordering::Relaxed);
    // Threads that are still working may panic when the run is dropped.
    super::silence_panics();
}

fn exit_after_signal(signals: &Signals) -> Exit {
    if signals.exit_code.load(Ordering::Relaxed) == 143 { Exit::Terminated } else { Exit::Interrupted }
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
        SummaryFormat::Json => print_json(&report.summary)?,
        SummaryFormat::Text if report.summary.status == RunStatus::Skipped => {}
        SummaryFormat::Text => {
            let text = run_summary::text(&config.output, &report.summary, &report.fingerprints);
            write!(std::io::stdout().lock(), "{}", escape_control_chars(&text))?;
        }
    }
    if let Some(reason) = report.summary.exit_reason {
        tracing::warn!(reason = reason.as_str(), "{}", run_summary::exit_reason_text(reason, &report.summary));
    }
    Ok(())
}

fn print_json(summary: &RunSummary) -> Result<(), Failure> {
    let json = serde_json::to_string(summary).map_err(|error| Failure::failed(error.to_string()))?;
    Ok(writeln!(std::io::stdout().lock(), "{}", output::escaped_json(&json))?)
}
