//! One run: joins the six stages into one bounded stream, and counts at both ends, so that the conservation check can fail.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;
use tokio_util::sync::CancellationToken;

use crate::analyze::embedded::{Embedded, RULES_VERSION, RuleError};
use crate::analyze::llm::{ConnectError, Estimator, Llm};
use crate::analyze::{self, AnalyzeCounts, Analyzer, Candidate};
use crate::config::{AnalysisConfig, Excerpts, KeySource, RunConfig};
use crate::model::{ExitReason, OutcomeStream, PATTERN_SCHEMA_VERSION, ReasonCount, RunStatus, RunSummary, key_hash};
use crate::parse::{self, AssembleOptions, Bodies, Format, ParseCounts, SpillFolder};
use crate::read::{self, ReadCounts, ReadOptions};
use crate::redact::{self, CanaryCounts, CustomDetectors, CustomDetectorsError, KeyError, RedactedTrace, RedactionKey, Redactor};
use crate::runtime::{FatalError, Shutdown, pool};
use crate::select::{self, Selection};
use crate::store::{self, Listing, Location, StoreError};
use crate::text_file;
use crate::validate::{self, Pattern, PatternSchema, SchemaError};
use crate::write::{Finished, LabelCount, WriteError, WriteOptions, WriteProgress, Writer};

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
    /// A rule cannot be used.
    #[error("{0}\n  hint: docs/rules.md describes rules; `failsift rules check FILE` checks a file")]
    Rules(#[from] RuleError),
    /// A file of rules cannot be read.
    #[error("cannot read the rules {file}: {reason}")]
    RulesUnreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: std::io::Error,
    },
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
    /// The inputs hold nothing that could be a trace.
    #[error(
        "cannot read {location}: {reason}\n  hint: check the path; names that start with _ or . and failsift's own tables are no input; --allow-empty makes an empty input end with exit code 0"
    )]
    NoTraceFiles {
        /// The inputs, without credentials.
        location: String,
        /// What is missing.
        reason: String,
    },
    /// An input is the place of the tables.
    #[error("cannot read {0}: it is the output, or one of its tables\n  hint: --input names traces, --output another place for the tables")]
    InputIsOutput(String),
    /// Records were read and became nothing.
    #[error("{0} records were read and are not accounted for; nothing was written\n  hint: this is a bug in failsift, please report it")]
    RecordsLost(u64),
    /// The tables cannot be written.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// A file of detectors cannot be used.
    #[error(transparent)]
    Detectors(#[from] CustomDetectorsError),
    /// A model cannot be asked.
    #[error(transparent)]
    Model(#[from] ConnectError),
    /// The model's provider refuses everything that this run asks.
    #[error("{0}")]
    Refused(String),
}

impl RunError {
    /// Whether the user has to change the command or the configuration, rather than the world around it.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Format(_)
                | Self::Rules(_)
                | Self::RulesUnreadable { .. }
                | Self::Detectors(_)
                | Self::Model(_)
                | Self::InputIsOutput(_)
                | Self::Store(StoreError::Location { .. })
                | Self::Key(KeyError::TooShort(_))
        )
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
    /// Known values that were planted to measure redaction.
    pub canaries: Option<Arc<CanaryCounts>>,
}

/// Counts of a run that goes on, for a progress line and for the summary.
#[derive(Debug, Default)]
pub struct Progress {
    read: Arc<ReadCounts>,
    parse: Arc<ParseCounts>,
    received: Arc<AtomicU64>,
    filtered: Arc<AtomicU64>,
    done: Arc<AtomicU64>,
    write: Arc<WriteProgress>,
}

impl Progress {
    /// What is in the tables of a run that is stopped at once, for a person.
    pub fn if_stopped_now(&self) -> String {
        self.write.if_stopped_now()
    }

    /// Traces that were left out by the selection.
    pub fn filtered(&self) -> u64 {
        self.filtered.load(Ordering::Relaxed)
    }
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

/// Runs the whole pipeline once. When `shutdown` is cancelled, reading stops, what was finished is committed, and what is not analysed yet is
/// rejected as interrupted, one by one as far as there is time.
///
/// # Errors
/// [`RunError`]; the tables are then unchanged, or one after the other wholly updated, and what was finished is kept for the next run.
pub async fn run(config: &RunConfig, progress: &Progress, shutdown: CancellationToken) -> Result<RunReport, RunError> {
    let started_at = now();
    let run_id = uuid::Uuid::now_v7().to_string();
    let output = store::table_url(&config.output)?;
    let prepared = Prepared::new(&config.analysis, &output).await?;
    let shown_inputs = prepared.inputs.iter().map(Location::shown).collect::<Vec<_>>().join(", ");
    let analyzer = prepared.analyzer().await?;
    let reuse = analyzer.settings_digest().filter(|_| !config.force).map(str::to_owned);
    let options = WriteOptions { job: prepared.job(&*analyzer), fresh: config.fresh, commit_every: config.commit_every, reuse };
    let shutdown = Shutdown::on(shutdown);
    let mut writer = Writer::begin(&output, &run_id, options, Arc::clone(&progress.write)).await?;
    let analysis = match prepared.analysis(analyzer, &run_id, progress, None, writer.finished(), &shutdown) {
        Ok(analysis) => analysis,
        Err(error) => {
            writer.leave().await;
            return Err(error);
        }
    };

    let mut summary = RunSummary::started(run_id, config.analysis.pipeline.clone(), started_at, &analysis.key_id);
    let (read, parse) = (&progress.read, &progress.parse);
    let written = writer.outcomes(analysis.outcomes, &mut summary, &shutdown).await.map_err(RunError::from);
    let gathered = written.and_then(|()| analysis.fatal.get().map_or(Ok(()), |reason| Err(RunError::Gather(reason.to_owned()))));
    let analysed = gathered.and_then(|()| analysis.refusal.get().map_or(Ok(()), |reason| Err(RunError::Refused(reason))));
    if let Err(error) = analysed {
        writer.leave().await;
        return Err(error);
    }
    summary.received = progress.received.load(Ordering::Relaxed);
    summary.filtered = progress.filtered.load(Ordering::Relaxed);
    summary.status = match () {
        () if shutdown.is_requested() => RunStatus::Interrupted,
        () if analysis.counts.is_cost_limited() => RunStatus::CostLimit,
        () => RunStatus::Complete,
    };
    let spent = analysis.counts.spent();
    (summary.input_tokens, summary.output_tokens, summary.cost_usd) = (spent.input_tokens, spent.output_tokens, spent.cost_usd);
    summary.answers_estimated = analysis.counts.answers_estimated();
    summary.analyzers = analysis.counts.analyzers();
    summary.fallbacks = analysis.refusal.redacted(analysis.counts.fallbacks());
    summary.skipped_objects = parse.skipped_objects();
    summary.objects_read = read.objects.load(Ordering::Relaxed);
    summary.bytes_read = read.bytes.load(Ordering::Relaxed);
    summary.spans_read = parse.spans.load(Ordering::Relaxed);
    count_records(&mut summary, parse)?;
    summary.grounding_rate = analysis.counts.grounding_rate();
    summary.latency_ms_p50 = analysis.counts.latency_ms(0.5);
    summary.latency_ms_p95 = analysis.counts.latency_ms(0.95);
    summary.latency_ms_max = analysis.counts.latency_ms_max();
    summary.finished_at = now();
    let missing = parse::missing_objects(parse, read);
    if let Some(first) = missing.first() {
        tracing::warn!(count = missing.len(), first, "a manifest names objects that are not below the inputs");
    }
    if summary.status == RunStatus::Complete && parse.annotations_unused() > 0 {
        tracing::warn!(count = parse.annotations_unused(), "annotations or scores name spans or traces that are not in the input");
    }
    if !summary.fallbacks.is_empty() && summary.analyzers.iter().all(|count| count.analyzer == "embedded") {
        let traces: u64 = summary.fallbacks.iter().map(|count| count.traces).sum();
        tracing::warn!("the model answered none of {traces} traces; the embedded analyzer took them, and the summary says why");
    }
    let canary_missed = analysis.canaries.as_ref().is_some_and(|canaries| canaries.found() < canaries.planted());
    if summary.records_read == 0 && summary.status == RunStatus::Complete && !config.analysis.allow_empty {
        writer.leave().await;
        let reason = "no trace files, or only empty ones".to_owned();
        return Err(RunError::NoTraceFiles { location: shown_inputs, reason });
    }
    let exit_reason =
        |summary: &RunSummary| summary.exit_reason(config.error_rate_max).or(canary_missed.then_some(ExitReason::CanaryMissed));
    // Where not all rejections of what was read came, older errors stay.
    let objects = if parse.is_cut_short() { HashSet::new() } else { read.object_keys() };
    let labels = writer.commit(&mut summary, objects, &exit_reason).await?;
    Ok(RunReport { summary, labels, key_made_at: analysis.key_made_at, canaries: analysis.canaries })
}

/// Says in the summary where the records went.
///
/// # Errors
/// [`RunError::RecordsLost`] where some became nothing.
fn count_records(summary: &mut RunSummary, parse: &ParseCounts) -> Result<(), RunError> {
    // An interrupted run leaves records on their way.
    if summary.status != RunStatus::Interrupted && parse.records_lost() > 0 {
        return Err(RunError::RecordsLost(parse.records_lost()));
    }
    let records = parse.records();
    summary.records_read = records.read;
    summary.records_with_spans = records.spans;
    summary.records_companion = records.companions;
    summary.records_skipped = records.skipped;
    summary.records_rejected = records.rejected;
    summary.skipped_records = records.skips.iter().map(|(skip, count)| format!("{}: {count}", skip.as_str())).collect();
    Ok(())
}

/// Somebody who looks at every redacted trace on its way to the analyzer.
pub type Look = Arc<dyn Fn(&RedactedTrace) + Send + Sync>;

/// The stages from read to validate, joined and ready to be drawn from.
pub struct Analysis {
    /// One outcome for each trace that was received and not filtered.
    pub outcomes: OutcomeStream<Pattern>,
    /// What the analyze stage measured, complete once the outcomes end.
    pub counts: Arc<AnalyzeCounts>,
    /// Why gathering ended early, known once the outcomes end.
    pub fatal: FatalError,
    /// Known values that were planted, complete once the outcomes end.
    pub canaries: Option<Arc<CanaryCounts>>,
    /// Why analysing ended early, known once the outcomes end.
    pub refusal: Refusal,
    key_id: String,
    key_made_at: Option<std::path::PathBuf>,
    /// Lives as long as outcomes come out of it.
    _spill: SpillFolder,
}

/// Why the model's provider refuses everything, known once the outcomes end.
#[derive(Debug)]
pub struct Refusal {
    counts: Arc<AnalyzeCounts>,
    redactor: Arc<Redactor>,
}

impl Refusal {
    /// The reason, if it does. Providers repeat keys in what they say, so it is redacted.
    pub fn get(&self) -> Option<String> {
        let mut reason = self.counts.fatal()?;
        self.redactor.redact(&mut reason);
        Some(reason)
    }

    fn redacted(&self, mut counts: Vec<ReasonCount>) -> Vec<ReasonCount> {
        for count in &mut counts {
            self.redactor.redact(&mut count.reason);
        }
        counts
    }
}

/// What an analysis needs, checked: whatever is wrong with a command is found before anything is written.
pub struct Prepared {
    config: AnalysisConfig,
    format: Option<&'static dyn Format>,
    inputs: Vec<Location>,
    objects: Listing,
    rules: Vec<(String, String)>,
    embedded: Embedded,
    redactor: Arc<Redactor>,
    canaries: Option<Arc<CanaryCounts>>,
    key_made_at: Option<std::path::PathBuf>,
    counts: Arc<AnalyzeCounts>,
}

impl Prepared {
    /// Looks at everything that the configuration names. Objects below `output` are no input.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn new(config: &AnalysisConfig, output: &url::Url) -> Result<Self, RunError> {
        let format = parse::format_named(&config.input_format).map_err(RunError::Format)?;
        let inputs = config.inputs.iter().map(|input| Location::parse(input)).collect::<Result<Vec<_>, _>>()?;
        let rules = rule_files(&config.rules)?;
        let embedded = Embedded::with_rules(&rules)?;
        if let Some(input) = inputs.iter().find(|input| store::same_place(input, output)) {
            return Err(RunError::InputIsOutput(input.shown().to_owned()));
        }
        let objects = store::objects(&inputs, output, config.allow_empty).await.map_err(|error| match error {
            StoreError::Empty { location, reason } => RunError::NoTraceFiles { location, reason },
            other => RunError::Store(other),
        })?;
        let key = redaction_key(&config.redaction_key)?;
        let key_made_at = key.created_file().map(std::path::Path::to_owned);
        let canaries = config.canaries.then(|| Arc::new(CanaryCounts::default()));
        let redactor = redactor(key, config, canaries.as_ref())?;
        let (config, counts) = (config.clone(), Arc::default());
        Ok(Self { config, format, inputs, objects, rules, embedded, redactor, canaries, key_made_at, counts })
    }

    /// The analyzer that the configuration asks for, ready to work.
    ///
    /// # Errors
    /// [`RunError::Model`] where credentials are missing.
    pub async fn analyzer(&self) -> Result<Arc<dyn Analyzer>, RunError> {
        let Some(provider) = self.config.analyzer.provider() else { return Ok(Arc::new(self.embedded.clone())) };
        let (settings, counts) = (self.config.model.clone(), Arc::clone(&self.counts));
        Ok(Arc::new(Llm::connect(provider, settings, self.embedded.clone(), &self.circumstances(), counts).await?))
    }

    /// What estimates what asking the model would take; nothing for an analyzer that asks none.
    ///
    /// # Errors
    /// [`RunError::Model`] where the prices cannot be read.
    pub fn estimator(&self) -> Result<Option<Estimator>, RunError> {
        let Some(provider) = self.config.analyzer.provider() else { return Ok(None) };
        Ok(Some(Estimator::new(provider, &self.config.model, self.embedded.clone(), &self.circumstances())?))
    }

    /// What a model's result depends on beside the trace, which says by itself how it was redacted, and the settings of the model.
    fn circumstances(&self) -> String {
        canonical(&(self.rule_texts(), self.config.excerpts.as_str()))
    }

    /// A digest of what is analysed and how: the same where the result for a trace is the same. The window of time is no part of it, for
    /// that of a run that is started again has moved.
    pub fn job(&self, analyzer: &dyn Analyzer) -> String {
        let config = &self.config;
        let mut inputs: Vec<String> = self.inputs.iter().map(Location::canonical).collect();
        inputs.sort();
        let selection = (config.selection.failed_only, &config.selection.services);
        let redaction = (self.redactor.key_id(), redaction_rule_texts(&config.redaction_rules), config.excerpts.as_str());
        let versions = (RULES_VERSION, env!("CARGO_PKG_VERSION"), PATTERN_SCHEMA_VERSION);
        let analysis = (analyzer.name(), analyzer.settings_digest(), self.rule_texts(), versions);
        format!("{:032x}", key_hash(&canonical(&(inputs, &config.input_format, selection, redaction, analysis))))
    }

    /// The rules of the user by what they say: a file that was moved is the same rules.
    fn rule_texts(&self) -> Vec<&str> {
        self.rules.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Joins the stages from read to validate. Traces that are `finished` are left out.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn analysis(
        self,
        analyzer: Arc<dyn Analyzer>,
        run_id: &str,
        progress: &Progress,
        look: Option<Look>,
        finished: Arc<Finished>,
        shutdown: &Shutdown,
    ) -> Result<Analysis, RunError> {
        let schema = PatternSchema::new(run_id)?;
        let (timeout, counts, redactor) = (self.config.trace_timeout, Arc::clone(&self.counts), Arc::clone(&self.redactor));
        let (canaries, key_made_at) = (self.canaries.clone(), self.key_made_at.clone());
        let embedded = self.embedded.clone();
        let Traces { traces, fatal, spill } = self.traces(progress, look, shutdown)?;
        let candidates = candidates(traces, finished, &progress.done);
        let drafts = analyze::drafts(candidates, analyzer, timeout, Arc::clone(&counts), shutdown.clone());
        let drafts = redact::drafts(drafts, &redactor);
        let drafts = analyze::disarmed(drafts, embedded);
        let patterns = validate::patterns(drafts, schema);
        let outcomes = redact::reasons(patterns, &redactor);
        let outcomes = counted(outcomes, &progress.done);
        let key_id = redactor.key_id().to_owned();
        let refusal = Refusal { counts: Arc::clone(&counts), redactor };
        Ok(Analysis { outcomes, counts, fatal, canaries, refusal, key_id, key_made_at, _spill: spill })
    }

    /// Joins the stages from read to redact: the traces that are to be analysed.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn traces(self, progress: &Progress, look: Option<Look>, shutdown: &Shutdown) -> Result<Traces, RunError> {
        let (config, embedded, redactor) = (self.config, self.embedded, self.redactor);
        let temporary = std::env::temp_dir();
        let spill =
            SpillFolder::create(&temporary).map_err(|reason| RunError::Spill { folder: temporary.display().to_string(), reason })?;

        let (read_counts, parse_counts) = (Arc::clone(&progress.read), Arc::clone(&progress.parse));
        let fatal = FatalError::default();
        let reading = ReadOptions { record_bytes_max: config.record_bytes_max };
        let gathering = AssembleOptions {
            format: self.format,
            memory_bytes: config.memory_bytes,
            spill_folder: spill.path().to_owned(),
            bodies: Bodies::new(self.inputs, config.record_bytes_max),
            shutdown: shutdown.clone(),
            names_interrupted: config.selection == Selection::default(),
        };

        let records = read::records(self.objects, reading, read_counts, &fatal, shutdown.requested().clone());
        let traces = parse::traces(records, &gathering, parse_counts, &fatal);
        let traces = counted(traces, &progress.received);
        let selected = select::by_time_and_service(traces, &config.selection, &progress.filtered);
        let redacted = redact::traces(selected, &redactor, config.trace_timeout, shutdown);
        let failed = select::by_failure(redacted, &config.selection, &embedded, config.trace_timeout, &progress.filtered);
        Ok(Traces { traces: looked_at(failed, look), fatal, spill })
    }
}

/// Redacted traces that are to be analysed, and what lives as long as they come.
pub struct Traces {
    /// One outcome for each trace that was received and not filtered.
    pub traces: OutcomeStream<RedactedTrace>,
    /// Why gathering ended early, known once the traces end.
    pub fatal: FatalError,
    spill: SpillFolder,
}

/// Leaves out traces whose pattern is there already, and notes of the others what was wrong with an answer that was paid for.
fn candidates(traces: OutcomeStream<RedactedTrace>, finished: Arc<Finished>, done: &Arc<AtomicU64>) -> OutcomeStream<Candidate> {
    if finished.is_empty() {
        return traces.map(|trace| trace.map(Candidate::from)).boxed();
    }
    let done = Arc::clone(done);
    // The digest of a long trace takes a while.
    let looked_up = pool::map_outcomes(traces, move |trace: RedactedTrace| {
        let digest = trace.digest();
        if finished.has(&trace.trace_id, &digest, trace.spans.len(), &trace.source.uri) {
            done.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let earlier = finished.unusable(&trace.trace_id, &digest);
        Ok(Some(Candidate { trace, earlier }))
    });
    looked_up.filter_map(|candidate| std::future::ready(candidate.transpose())).boxed()
}

/// What stands in files of detectors, which were read already.
fn redaction_rule_texts(paths: &[std::path::PathBuf]) -> Vec<String> {
    paths.iter().map(|path| text_file::read(path).unwrap_or_default()).collect()
}

/// The redactor that the configuration asks for.
fn redactor(key: RedactionKey, config: &AnalysisConfig, canaries: Option<&Arc<CanaryCounts>>) -> Result<Arc<Redactor>, RunError> {
    let mut redactor = Redactor::new(key).with_custom_detectors(CustomDetectors::read(&config.redaction_rules)?);
    if config.excerpts == Excerpts::None {
        redactor = redactor.without_excerpts();
    }
    if let Some(counts) = canaries {
        redactor = redactor.with_canaries(Arc::clone(counts));
    }
    Ok(Arc::new(redactor))
}

/// Plain data as text by which it is compared with that of other runs, and of other versions of failsift.
fn canonical(data: &impl serde::Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

/// Reads files of rules, with their names.
///
/// # Errors
/// [`RunError::RulesUnreadable`].
pub fn rule_files(paths: &[std::path::PathBuf]) -> Result<Vec<(String, String)>, RunError> {
    let read = |path: &std::path::PathBuf| {
        let file = path.display().to_string();
        let text = text_file::read(path).map_err(|reason| RunError::RulesUnreadable { file: file.clone(), reason })?;
        Ok((file, text))
    };
    paths.iter().map(read).collect()
}

fn looked_at(traces: OutcomeStream<RedactedTrace>, look: Option<Look>) -> OutcomeStream<RedactedTrace> {
    let Some(look) = look else { return traces };
    traces
        .inspect(move |trace| {
            if let Ok(trace) = trace {
                look(trace);
            }
        })
        .boxed()
}

/// The redaction key that the configuration asks for.
///
/// # Errors
/// [`KeyError`].
pub fn redaction_key(source: &KeySource) -> Result<RedactionKey, KeyError> {
    match source {
        KeySource::Environment => RedactionKey::from_text(&std::env::var("FAILSIFT_REDACTION_KEY").unwrap_or_default()),
        KeySource::File(path) => RedactionKey::from_file(path),
        KeySource::User => RedactionKey::from_user_config(),
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
