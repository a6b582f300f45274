//! `failsift run`.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::analysis_args::AnalysisArgs;
use super::exit::{Exit, Failure};
use super::output;
use crate::config::{self, Overrides, RunConfig};
use crate::model::{self, ExitReason, RunStatus, RunSummary, normalize_numbers, escape_to_one_line, escape_control_chars};
use crate::pipeline::{self, RunProgress, RunReport};
use crate::write::LabelCount;

/// Time after a signal in which what is in flight may finish and be committed.
const GRACE: Duration = Duration::from_mins(1);

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    analysis: AnalysisArgs,
    /// Where the tables lie or are made
    #[arg(long, value_name = "URL", env = "FAILSIFT_OUTPUT")]
    output: Option<String>,
    /// Exit with 3 where a larger share of what was received failed [default: 0.1]
    #[arg(long, value_name = "SHARE", env = "FAILSIFT_MAX_ERROR_RATE")]
    max_error_rate: Option<f64>,
    /// Do again what a killed run over the same input had finished
    #[arg(long)]
    fresh: bool,
    /// Ask a model again about traces that have not changed since it was asked with the same settings
    #[arg(long)]
    force: bool,
    /// Make finished patterns visible this often, such as 10m, and not only at the end
    #[arg(long, value_name = "TIME", value_parser = config::duration_from, env = "FAILSIFT_COMMIT_EVERY")]
    commit_every: Option<Duration>,
    /// How the summary is printed
    #[arg(long, value_enum, default_value_t = SummaryFormat::Text)]
    format: SummaryFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum SummaryFormat {
    /// For reading
    Text,
    /// One flat JSON object, the row of `runs`
    Json,
}

pub(super) async fn execute(args: Args) -> Result<Exit, Failure> {
    let format = args.format;
    let (pipeline, given) = args.analysis.into_overrides();
    let given = Overrides {
        output: args.output,
        error_rate_max: args.max_error_rate,
        fresh: args.fresh,
        force: args.force,
        commit_every: args.commit_every,
        ..given
    };
    let config = RunConfig::resolve(pipeline.as_deref(), given, std::env::var_os("FAILSIFT_REDACTION_KEY").is_some())?;

    let shutdown = CancellationToken::new();
    let signal_exit = Arc::new(AtomicU8::new(0));
    let progress = RunProgress::default();
    let report = tokio::select! {
        report = pipeline::run(&config, &progress, shutdown.clone()) => report,
        never = show(&progress) => match never {},
        () = signalled(shutdown.clone(), Arc::clone(&signal_exit)) => {
            let exit = exit_of(signal_exit.load(Ordering::Relaxed));
            clear_progress();
            return Err(Failure { exit, message: progress.if_stopped_now() });
        }
    };
    clear_progress();
    let report = report?;
    print(&config, &report, format)?;
    if let Some(reason) = report.summary.exit_reason {
        tracing::warn!(reason = reason.as_str(), "{}", explained(reason, &report.summary));
    }
    Ok(match report.summary.exit_reason {
        None => Exit::Complete,
        Some(ExitReason::Interrupted) => exit_of(signal_exit.load(Ordering::Relaxed)),
        Some(ExitReason::CostLimit) => Exit::CostLimit,
        Some(ExitReason::NothingStored | ExitReason::NoTraces | ExitReason::ErrorRate | ExitReason::CanaryMissed) => Exit::OverThreshold,
    })
}

/// Why the exit code is not 0, as a sentence.
fn explained(reason: ExitReason, summary: &RunSummary) -> String {
    match reason {
        ExitReason::NothingStored => format!("none of {} traces and records received could be stored", summary.received),
        ExitReason::NoTraces => format!("{} records were read, and none belongs to a trace", summary.records_read),
        ExitReason::ErrorRate => {
            format!("{:.1} % of what was received failed; --max-error-rate sets how much may", summary.error_rate() * 100.0)
        }
        ExitReason::CanaryMissed => "redaction missed a planted value".to_owned(),
        ExitReason::CostLimit => "stopped by --max-cost".to_owned(),
        ExitReason::Interrupted => "interrupted by a signal".to_owned(),
    }
}

/// Asks the run to stop at the first signal; returns at the second, or when the grace time is over.
async fn signalled(shutdown: CancellationToken, which: Arc<AtomicU8>) {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) else {
        return std::future::pending().await;
    };
    let number = tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    };
    which.store(number, Ordering::Relaxed);
    tracing::warn!("stopping: finished work is kept; once more to stop at once");
    shutdown.cancel();
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    // Threads that are in the middle of something meet a run that is gone, which is no defect.
    super::show_no_panics();
}

/// Shows on a terminal how far the run is, once it takes longer than a moment.
async fn show(progress: &RunProgress) -> Infallible {
    if !std::io::stderr().is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    ticks.tick().await;
    loop {
        ticks.tick().await;
        // Where stderr is closed there is nobody to show it to.
        let _ = write!(std::io::stderr(), "\r\x1b[K{progress}");
    }
}

fn clear_progress() {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr(), "\r\x1b[K");
    }
}

fn exit_of(signal: u8) -> Exit {
    if signal == 143 { Exit::Terminated } else { Exit::Interrupted }
}

fn print(config: &RunConfig, report: &RunReport, format: SummaryFormat) -> Result<(), Failure> {
    if let Some(path) = &report.key_made_at {
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(
            std::io::stderr(),
            "note: made the redaction key {}; keep it, so that the same value gives the same token in later runs",
            path.display()
        );
    }
    if let Some(canaries) = &report.canaries {
        let (found, planted) = (canaries.found(), canaries.planted());
        // Where stderr is closed there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "canaries: redaction found {found} of {planted} planted values");
    }
    let mut stdout = std::io::stdout().lock();
    match format {
        SummaryFormat::Json => {
            let json = serde_json::to_string(&report.summary).map_err(|error| Failure::failed(error.to_string()))?;
            writeln!(stdout, "{}", output::escaped_json(&json))?;
        }
        SummaryFormat::Text => {
            write!(stdout, "{}", escape_control_chars(&text(config, &report.summary, &report.labels)))?;
        }
    }
    Ok(())
}

/// The summary for a person: what came in, what became of it, which patterns, which failures, what to do next.
fn text(config: &RunConfig, summary: &RunSummary, labels: &BTreeMap<String, LabelCount>) -> String {
    const FAILURES_SHOWN: usize = 10;
    let mut out = String::new();
    let mut line = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    line(format!(
        "run {} {}: {} traces and broken records in {} objects ({} spans, {:.1} MB) in {:.1} s",
        summary.run_id,
        summary.status.as_str(),
        summary.received,
        summary.objects_read,
        summary.spans_read,
        megabytes(summary.bytes_read),
        seconds_between(&summary.started_at, &summary.finished_at)
    ));
    for (name, count) in [
        ("stored", summary.stored),
        ("validation failures", summary.validation_failures),
        ("processing errors", summary.processing_errors),
        ("timed out", summary.timed_out),
        ("unchanged", summary.unchanged),
        ("  of them fuller", summary.kept_fuller),
        ("filtered", summary.filtered),
    ] {
        if count > 0 || name == "stored" {
            line(format!("  {name:<20}{count:>8}"));
        }
    }
    line(records(summary));
    // How a run was stopped is in its status.
    if let Some(reason) = summary.exit_reason.filter(|_| summary.status == RunStatus::Complete) {
        line(format!("  exit code 3: {}", explained(reason, summary)));
    }
    if summary.input_tokens > 0 {
        let found = summary.grounding_rate.map_or_else(String::new, |rate| format!("; {:.0} % of the quotations were found", rate * 100.0));
        let (input, output) = (summary.input_tokens, summary.output_tokens);
        let cost = if summary.cost_usd > 0.0 { format!("{:.4} US dollars", summary.cost_usd) } else { "no price is known".into() };
        let estimated = match summary.answers_estimated {
            0 => String::new(),
            answers => format!(" (estimated for {answers} answers)"),
        };
        line(format!("  asked with {input} tokens, answered with {output}{estimated}, {cost}{found}"));
    }
    analyzers(summary).into_iter().for_each(&mut line);
    if !labels.is_empty() {
        line(String::new());
        line(format!("{:>6}  {:<10}  {:<44}  {}", "traces", "confidence", "category/contributing_factor", "for example"));
        let mut sorted: Vec<_> = labels.iter().collect();
        sorted.sort_by(|(left_name, left), (right_name, right)| right.count.cmp(&left.count).then(left_name.cmp(right_name)));
        for (label, count) in sorted {
            let title: String = escape_to_one_line(&count.title).chars().take(70).collect();
            line(format!("{:>6}  {:<10.2}  {label:<44}  {title}", count.count, mean(count)));
        }
    }
    if !summary.failures.is_empty() {
        line(String::new());
        line("not processed:".to_owned());
        let groups = grouped(&summary.failures);
        for Alike { first, traces } in groups.iter().take(FAILURES_SHOWN) {
            let others = if *traces > 1 { format!("  (and {} more like it)", traces - 1) } else { String::new() };
            line(format!("  {}  {}{others}\n      {}", escape_to_one_line(&first.trace_ref), first.kind, escape_to_one_line(&first.reason)));
        }
        let more: usize = groups.iter().skip(FAILURES_SHOWN).map(|group| group.traces).sum();
        if more > 0 {
            line(format!("  … and {more} more in the table errors"));
        }
    }
    if !summary.skipped_objects.is_empty() {
        line(format!(
            "\nskipped {} objects without traces, such as {}",
            summary.skipped_objects.len(),
            summary.skipped_objects.first().map_or_else(String::new, |uri| escape_to_one_line(uri))
        ));
    }
    line(String::new());
    line(format!("tables: {}", config.output));
    if let Some(example) = labels.iter().find(|(label, _)| !label.starts_with("unclassified")).map(|(_, count)| &count.trace_id) {
        line(format!("  failsift show {} --tables {}", shell_word(example), config.output));
    }
    line(format!(
        "  failsift query --tables {} \"SELECT category, contributing_factor, count(*) FROM patterns GROUP BY 1, 2 ORDER BY 3 DESC\"",
        config.output
    ));
    out
}

/// Who answered, where a model was asked, and why another did in its place.
fn analyzers(summary: &RunSummary) -> Vec<String> {
    const REASONS_SHOWN: usize = 5;
    if summary.fallbacks.is_empty() && summary.analyzers.iter().all(|count| count.analyzer == "embedded") {
        return Vec::new();
    }
    let counts: Vec<String> = summary.analyzers.iter().map(|count| format!("{} {}", count.analyzer, count.traces)).collect();
    let mut lines = vec![format!("  {:<20}{}", "answered by", counts.join(", "))];
    let fallen_back: u64 = summary.fallbacks.iter().map(|count| count.traces).sum();
    if fallen_back > 0 {
        lines.push(format!("  {:<20}{fallen_back:>8}", "fell back"));
    }
    for count in summary.fallbacks.iter().take(REASONS_SHOWN) {
        lines.push(format!("    {:<18}{:>8}: {}", count.kind, count.traces, escape_to_one_line(&count.reason)));
    }
    lines
}

/// Failures that are alike.
struct Alike<'s> {
    first: &'s model::Failure,
    traces: usize,
}

/// Failures for one reason together, the most frequent first.
fn grouped(failures: &[model::Failure]) -> Vec<Alike<'_>> {
    let mut places: HashMap<(&str, String), usize> = HashMap::new();
    let mut groups: Vec<Alike<'_>> = Vec::new();
    for failure in failures {
        let place = *places.entry((&failure.kind, normalize_numbers(&failure.reason))).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.traces += 1,
            None => groups.push(Alike { first: failure, traces: 1 }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.traces));
    groups
}

/// An id as a word of a command that somebody may copy into a shell: ids come out of the input.
fn shell_word(id: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '#' | '@' | '=' | '+');
    if !id.is_empty() && !id.starts_with(['-', '#']) && id.chars().all(is_plain) {
        return id.to_owned();
    }
    format!("'{}'", escape_to_one_line(id).replace('\'', r"'\''"))
}

/// `  records read             120: 118 with spans, 1 skipped (other_signal: 1), 1 rejected`
fn records(summary: &RunSummary) -> String {
    let mut parts = vec![format!("{} with spans", summary.records_with_spans)];
    for (count, what) in [(summary.records_companion, "companions"), (summary.records_rejected, "rejected")] {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    }
    if !summary.skipped_records.is_empty() {
        parts.push(format!("{} skipped ({})", summary.records_skipped, summary.skipped_records.join(", ")));
    }
    format!("  {:<20}{:>8}: {}", "records read", summary.records_read, parts.join(", "))
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "a mean over traces")]
fn mean(count: &LabelCount) -> f64 {
    count.confidence_sum / count.count.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "for reading")]
fn seconds_between(start: &str, end: &str) -> f64 {
    let time = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
    time(start).zip(time(end)).map_or(0.0, |(start, end)| (end - start).num_milliseconds() as f64 / 1e3)
}
