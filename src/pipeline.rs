//! One run: joins the six stages into one bounded stream, and counts at both ends, so that the conservation check can fail.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::analyze::embedded::{Embedded, RuleError};
use crate::analyze::{self, AnalyzeCounts, Analyzer};
use crate::config::{AnalyzerName, KeySource, RunConfig};
use crate::model::{OutcomeStream, RunStatus, RunSummary};
use crate::parse::{self, AssembleOptions, Bodies, Fatal, ParseCounts, SpillFolder};
use crate::read::{self, ReadCounts, ReadOptions};
use crate::redact::{self, KeyError, RedactionKey, Redactor};
use crate::select;
use crate::store::{self, Location, StoreError};
use crate::validate::{self, PatternSchema, SchemaError};
use crate::write::{self, LabelCount, Tables, WriteError};

/// Why a run failed; nothing of it is visible then.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// An input or the output is no usable place.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The input format does not exist.
    #[error("{0}")]
    Format(String),
    /// There is no redaction key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The rules that are compiled in are broken.
    #[error(transparent)]
    Rules(#[from] RuleError),
    /// The schema that is compiled in is broken.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// The spill folder cannot be made.
    #[error("cannot make a folder for spilling below {folder}: {reason}\n  hint: set TMPDIR to a place that can be written")]
    Spill {
        /// The parent folder.
        folder: String,
        /// What the system said.
        reason: std::io::Error,
    },
    /// Gathering failed.
    #[error("{0}")]
    Gather(String),
    /// The tables cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl RunError {
    /// Whether the user has to change the command or the configuration, rather than the world around it.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Format(_) | Self::Store(StoreError::Location { .. }) | Self::Key(KeyError::TooShort(_)))
    }
}

/// What a run did.
#[derive(Debug)]
pub struct RunReport {
    /// The row of `runs`.
    pub summary: RunSummary,
    /// What was stored, by category and factor.
    pub labels: BTreeMap<String, LabelCount>,
    /// The file in which a redaction key was made by this run.
    pub key_made_at: Option<std::path::PathBuf>,
}

/// Counts of a run that goes on, for a progress line and for the summary.
#[derive(Debug, Default)]
pub struct Progress {
    read: Arc<ReadCounts>,
    parse: Arc<ParseCounts>,
    received: Arc<AtomicU64>,
    filtered: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (objects, megabytes) = (count(&self.read.objects), count(&self.read.bytes) / 1_000_000);
        write!(
            f,
            "{objects} objects ({megabytes} MB) opened, {} spans read, {} traces gathered, {} done",
            count(&self.parse.spans),
            count(&self.received),
            count(&self.done) + count(&self.filtered)
        )
    }
}

/// Runs the whole pipeline once. When `shutdown` is cancelled, reading stops, what is not analysed yet is rejected as interrupted, and
/// what was finished is committed.
///
/// # Errors
/// [`RunError`]; the tables are then unchanged, or one after the other wholly updated.
pub async fn run(config: &RunConfig, progress: &Progress, shutdown: CancellationToken) -> Result<RunReport, RunError> {
    let started_at = now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let format = parse::format_named(&config.input_format).map_err(RunError::Format)?;
    let output = store::table_url(&config.output)?;
    let inputs = config.inputs.iter().map(|input| Location::parse(input)).collect::<Result<Vec<_>, _>>()?;
    let objects = store::objects(&inputs, &output).await?;
    let key = redaction_key(&config.redaction_key)?;
    let key_made_at = key.made_at().map(std::path::Path::to_owned);
    let redactor = Arc::new(Redactor::new(key));
    let embedded = Embedded::new()?;
    let analyzer: Arc<dyn Analyzer> = match config.analyzer {
        AnalyzerName::Embedded => Arc::new(embedded.clone()),
    };
    let schema = PatternSchema::new(&run_id)?;
    let tables = Tables::open(&output).await?;
    let temporary = std::env::temp_dir();
    let spill = SpillFolder::create(&temporary).map_err(|reason| RunError::Spill { folder: temporary.display().to_string(), reason })?;

    let (read_counts, parse_counts) = (Arc::clone(&progress.read), Arc::clone(&progress.parse));
    let analyze_counts = Arc::new(AnalyzeCounts::default());
    let fatal = Fatal::default();
    let reading = ReadOptions { record_bytes_max: config.record_bytes_max };
    let gathering = AssembleOptions {
        format,
        memory_bytes: config.memory_bytes,
        spill_folder: spill.path().to_owned(),
        bodies: Bodies::new(inputs, config.record_bytes_max),
    };

    let records = read::records(objects, reading, Arc::clone(&read_counts), shutdown.clone());
    let traces = parse::traces(records, &gathering, Arc::clone(&parse_counts), &fatal);
    let traces = counted(traces, &progress.received);
    let selected = select::by_time_and_service(traces, &config.selection, &progress.filtered);
    let redacted = redact::traces(selected, &redactor);
    let failed = select::by_failure(redacted, &config.selection, &embedded, config.trace_timeout, &progress.filtered);
    let drafts = analyze::drafts(failed, analyzer, config.trace_timeout, Arc::clone(&analyze_counts), shutdown.clone());
    let drafts = redact::drafts(drafts, &redactor);
    let patterns = validate::patterns(drafts, schema);
    let outcomes = redact::reasons(patterns, &redactor);
    let outcomes = counted(outcomes, &progress.done);

    let mut summary = empty_summary(run_id, config.pipeline.clone(), started_at, redactor.key_id());
    let staged = write::outcomes(outcomes, &tables, &mut summary).await?;
    if let Some(reason) = fatal.get() {
        return Err(RunError::Gather(reason.to_owned()));
    }
    summary.received = progress.received.load(Ordering::Relaxed);
    summary.filtered = progress.filtered.load(Ordering::Relaxed);
    summary.status = if shutdown.is_cancelled() { RunStatus::Interrupted } else { RunStatus::Complete };
    summary.skipped_objects = parse_counts.skipped_objects();
    summary.objects_read = read_counts.objects.load(Ordering::Relaxed);
    summary.bytes_read = read_counts.bytes.load(Ordering::Relaxed);
    summary.spans_read = parse_counts.spans.load(Ordering::Relaxed);
    summary.grounding_rate = analyze_counts.grounding_rate();
    summary.latency_ms_p50 = analyze_counts.latency_ms(0.5);
    summary.latency_ms_p95 = analyze_counts.latency_ms(0.95);
    summary.latency_ms_max = analyze_counts.latency_ms_max();
    summary.finished_at = now();
    let missing = parse::missing_objects(&parse_counts, &read_counts);
    if let Some(first) = missing.first() {
        tracing::warn!(count = missing.len(), first, "a manifest names objects that are not below the inputs");
    }
    let labels = staged.labels.clone();
    write::commit(tables, staged, &summary, read_counts.object_keys()).await?;
    Ok(RunReport { summary, labels, key_made_at })
}

/// The redaction key that the configuration asks for.
///
/// # Errors
/// [`KeyError`].
pub fn redaction_key(source: &KeySource) -> Result<RedactionKey, KeyError> {
    match source {
        KeySource::Environment => RedactionKey::from_text(&std::env::var("FAILSIFT_REDACTION_KEY").unwrap_or_default()),
        KeySource::File(path) => RedactionKey::from_file(path),
        KeySource::User => RedactionKey::of_user(),
    }
}

/// Counts the items that pass, alive or rejected.
fn counted<T: Send + 'static>(items: OutcomeStream<T>, counter: &Arc<AtomicU64>) -> OutcomeStream<T> {
    let counter = Arc::clone(counter);
    items
        .inspect(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        })
        .boxed()
}

fn now() -> String {
    chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}

fn empty_summary(run_id: String, pipeline: String, started_at: String, key_id: &str) -> RunSummary {
    RunSummary {
        run_id,
        pipeline,
        status: RunStatus::Complete,
        finished_at: started_at.clone(),
        started_at,
        received: 0,
        processed: 0,
        stored: 0,
        validation_failures: 0,
        processing_errors: 0,
        timed_out: 0,
        unchanged: 0,
        filtered: 0,
        skipped_objects: Vec::new(),
        objects_read: 0,
        bytes_read: 0,
        spans_read: 0,
        input_tokens: 0,
        output_tokens: 0,
        cost_usd: 0.0,
        grounding_rate: None,
        redaction_key_id: key_id.to_owned(),
        latency_ms_p50: None,
        latency_ms_p95: None,
        latency_ms_max: None,
        failures: Vec::new(),
    }
}
