//! Checks a configuration before anything is written, and connects the stages from read to validate.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::StreamExt;

use super::incremental::{EarlierObjects, Incremental};
use super::progress::{Phase, count_outcomes};
use super::traces::{IncrementalInput, TraceSource, TraceStream, check_complete};
use super::{RunError, RunProgress, counted};
use crate::analyze::embedded::{Embedded, RULES_VERSION};
use crate::analyze::llm::{Estimator, LlmAnalyzer};
use crate::analyze::{self, AnalyzeCounts, Analyzer, Candidate};
use crate::config::{AnalysisConfig, Excerpts, KeySource};
use crate::model::{OutcomeStream, PATTERN_SCHEMA_VERSION, ReasonCount, key_hash};
use crate::parse;
use crate::redact::{self, CanaryCounts, CustomDetectors, KeyError, RedactedTrace, RedactionKey, Redactor};
use crate::runtime::{FatalError, Shutdown, pool};
use crate::select::{self, Selection};
use crate::store::{self, Listing, Location, StoreError};
use crate::text_file;
use crate::validate::{self, Pattern, PatternSchema};
use crate::write::ReusableResults;

/// Called with every redacted trace before it is analyzed.
pub type TraceObserver = Arc<dyn Fn(&RedactedTrace) + Send + Sync>;

/// The stages from read to validate. Nothing runs until the outcomes are polled.
pub struct Analysis {
    /// One outcome for each trace that was received and not excluded by the selection.
    pub outcomes: OutcomeStream<Pattern>,
    /// Measurements of the analyze stage, final when the outcomes have ended.
    pub counts: Arc<AnalyzeCounts>,
    /// Known values that were planted to measure redaction, final when the outcomes have ended.
    pub canaries: Option<Arc<CanaryCounts>>,
    /// Whether the model provider refuses all requests, known when the outcomes have ended.
    pub refusal: ProviderRefusal,
    pub(super) key_id: String,
    pub(super) created_key_file: Option<PathBuf>,
    fatal: FatalError,
    /// Traces of which an earlier run has read a part, final when the outcomes have ended.
    pub(super) traces_continued: Arc<AtomicU64>,
}

impl Analysis {
    /// Whether every trace was analyzed. Call it when the outcomes have ended.
    ///
    /// # Errors
    /// [`RunError::Gather`] if the input was not read to its end, [`RunError::Refused`] if the provider refuses all requests.
    pub fn check_complete(&self) -> Result<(), RunError> {
        check_complete(&self.fatal)?;
        self.refusal.reason().map_or(Ok(()), |reason| Err(RunError::Refused(reason)))
    }
}

/// Why the model provider refuses all requests, if it does.
#[derive(Debug)]
pub struct ProviderRefusal {
    counts: Arc<AnalyzeCounts>,
    redactor: Arc<Redactor>,
}

impl ProviderRefusal {
    /// The reason, redacted because providers repeat keys and inputs in their messages.
    pub fn reason(&self) -> Option<String> {
        let mut reason = self.counts.fatal()?;
        self.redactor.redact(&mut reason);
        Some(reason)
    }

    /// Redacts the reasons of fallbacks, which may quote the provider.
    pub fn redacted(&self, mut counts: Vec<ReasonCount>) -> Vec<ReasonCount> {
        for count in &mut counts {
            self.redactor.redact(&mut count.reason);
        }
        counts
    }
}

/// Everything that an analysis needs, loaded and checked.
pub struct PreparedRun {
    config: AnalysisConfig,
    source: TraceSource,
    output: url::Url,
    objects: Listing,
    pub(super) incremental: Arc<Incremental>,
    /// The user's rule files: name and content.
    rules: Vec<(String, String)>,
    embedded: Embedded,
    redactor: Arc<Redactor>,
    canaries: Option<Arc<CanaryCounts>>,
    created_key_file: Option<PathBuf>,
    counts: Arc<AnalyzeCounts>,
}

impl PreparedRun {
    /// Loads and checks everything that the configuration names. Objects of the tables at `output` are not part of the input.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn new(config: &AnalysisConfig, output: &url::Url) -> Result<Self, RunError> {
        let format = parse::format_named(&config.input_format).map_err(RunError::Format)?;
        for name in config.links.formats() {
            parse::format_named(name).map_err(RunError::Format)?;
        }
        let inputs = config.inputs.iter().map(|input| Location::parse(input)).collect::<Result<Vec<_>, _>>()?;
        let rules = rule_files(&config.rules)?;
        let embedded = Embedded::with_rules(&rules)?;
        if let Some(input) = inputs.iter().find(|input| store::is_table_location(input, output)) {
            return Err(RunError::InputIsOutput(input.shown().to_owned()));
        }
        let source = TraceSource { inputs, format, record_bytes_max: config.record_bytes_max, memory_bytes: config.memory_bytes };
        let incremental = Incremental::new(config, &source.inputs, output).await?;
        let objects = incremental.record.unread(output, config.allow_empty).await.map_err(|error| match error {
            StoreError::Empty { location, reason, hint } => RunError::no_trace_files(location, reason, &hint),
            other => RunError::Store(other),
        })?;
        let key = redaction_key(&config.redaction_key)?;
        let created_key_file = key.created_file().map(std::path::Path::to_owned);
        let canaries = config.canaries.then(|| Arc::new(CanaryCounts::default()));
        let redactor = redactor(key, config, canaries.as_ref())?;
        let (config, counts, incremental, output) = (config.clone(), Arc::default(), Arc::new(incremental), output.clone());
        Ok(Self { config, source, output, objects, incremental, rules, embedded, redactor, canaries, created_key_file, counts })
    }

    /// The counters of the analyze stage.
    pub(super) fn counts(&self) -> &Arc<AnalyzeCounts> {
        &self.counts
    }

    /// The inputs for a message, without credentials.
    pub(super) fn shown_inputs(&self) -> String {
        self.source.inputs.iter().map(Location::shown).collect::<Vec<_>>().join(", ")
    }

    /// Creates the configured analyzer.
    ///
    /// # Errors
    /// [`RunError::Model`] if credentials are missing.
    pub async fn analyzer(&self) -> Result<Arc<dyn Analyzer>, RunError> {
        let Some(provider) = self.config.analyzer.provider() else { return Ok(Arc::new(self.embedded.clone())) };
        let (settings, counts) = (self.config.model.clone(), Arc::clone(&self.counts));
        Ok(Arc::new(LlmAnalyzer::connect(provider, settings, self.embedded.clone(), &self.settings_digest_input(), counts).await?))
    }

    /// Estimates the cost of the configured model; `None` for an analyzer that uses no model.
    ///
    /// # Errors
    /// [`RunError::Model`] if the prices cannot be read.
    pub fn estimator(&self) -> Result<Option<Estimator>, RunError> {
        let Some(provider) = self.config.analyzer.provider() else { return Ok(None) };
        Ok(Some(Estimator::new(provider, &self.config.model, self.embedded.clone(), &self.settings_digest_input())?))
    }

    /// What a model's result depends on besides the model settings and the redacted trace. It is part of the settings digest, which decides
    /// whether a stored pattern is up to date.
    fn settings_digest_input(&self) -> String {
        canonical_json(&(self.rule_texts(), self.config.excerpts.as_str()))
    }

    /// A digest of the inputs and of everything that determines the result for a trace. A run recovers finished work of an interrupted run
    /// with the same digest. The time window is not included, because it moves between the attempts of a scheduled run.
    pub fn job_digest(&self, analyzer: &dyn Analyzer) -> String {
        let config = &self.config;
        let mut inputs: Vec<String> = self.source.inputs.iter().map(Location::canonical).collect();
        inputs.sort();
        let selection = (config.selection.failed_only, &config.selection.services);
        format!("{:032x}", key_hash(&canonical_json(&(inputs, &config.input_format, selection, self.analysis_digest(analyzer)))))
    }

    /// A digest of everything that determines the result for a trace.
    pub(super) fn analysis_digest(&self, analyzer: &dyn Analyzer) -> String {
        let config = &self.config;
        let rules = redaction_rule_texts(&config.redaction_rules);
        let redaction = (self.redactor.key_id(), rules, &config.redaction_kinds, config.excerpts.as_str());
        let versions = (RULES_VERSION, env!("CARGO_PKG_VERSION"), PATTERN_SCHEMA_VERSION);
        let analysis = (analyzer.name(), analyzer.settings_digest(), self.rule_texts(), versions, config.links.digest_input());
        format!("{:032x}", key_hash(&canonical_json(&(redaction, analysis))))
    }

    /// The contents of the user's rule files. Their paths do not matter to a digest.
    fn rule_texts(&self) -> Vec<&str> {
        self.rules.iter().map(|(_, text)| text.as_str()).collect()
    }

    /// Connects the stages from read to validate. Traces in `finished` are not analyzed again.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn into_analysis(
        self,
        analyzer: Arc<dyn Analyzer>,
        run_id: &str,
        progress: &RunProgress,
        observer: Option<TraceObserver>,
        finished: Arc<ReusableResults>,
        shutdown: &Shutdown,
    ) -> Result<Analysis, RunError> {
        let schema = PatternSchema::new(run_id)?;
        let (timeout, counts, redactor) = (self.config.trace_timeout, Arc::clone(&self.counts), Arc::clone(&self.redactor));
        let (canaries, created_key_file) = (self.canaries.clone(), self.created_key_file.clone());
        let (embedded, links) = (self.embedded.clone(), self.config.links.clone());
        let earlier = self.incremental.earlier_objects(&self.config, &self.output);
        let continued = earlier.as_ref().map(EarlierObjects::continued).unwrap_or_default();
        let looks_up = earlier.is_some() || !finished.is_empty();
        let earlier = earlier.map(|earlier| (earlier, Arc::clone(&finished)));
        let (traces, fatal) = self.traces_joined_with(earlier, progress, observer, shutdown)?.into_parts();
        let candidates = if looks_up { candidates(traces, finished, &progress.done) } else { all_candidates(traces) };
        let drafts = analyze::drafts(candidates, analyzer, timeout, Arc::clone(&counts), shutdown.clone());
        let drafts = redact::drafts(drafts, &redactor);
        let drafts = analyze::linked(drafts, links);
        let drafts = analyze::disarmed(drafts, embedded);
        let patterns = validate::patterns(drafts, schema);
        let outcomes = redact::reasons(patterns, &redactor);
        let outcomes = count_outcomes(outcomes, &progress.outcomes);
        let outcomes = counted(outcomes, &progress.done);
        let key_id = redactor.key_id().to_owned();
        let refusal = ProviderRefusal { counts: Arc::clone(&counts), redactor };
        Ok(Analysis { outcomes, counts, canaries, refusal, key_id, created_key_file, fatal, traces_continued: continued })
    }

    /// Connects the stages from read to redact: the traces to be analyzed. `finished` is told of traces that are incomplete.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn into_traces(
        self,
        progress: &RunProgress,
        finished: &Arc<ReusableResults>,
        shutdown: &Shutdown,
    ) -> Result<TraceStream<RedactedTrace>, RunError> {
        let earlier = self.incremental.earlier_objects(&self.config, &self.output);
        let earlier = earlier.map(|earlier| (earlier, Arc::clone(finished)));
        self.traces_joined_with(earlier, progress, None, shutdown)
    }

    fn traces_joined_with(
        self,
        earlier: Option<(EarlierObjects, Arc<ReusableResults>)>,
        progress: &RunProgress,
        observer: Option<TraceObserver>,
        shutdown: &Shutdown,
    ) -> Result<TraceStream<RedactedTrace>, RunError> {
        let input = IncrementalInput { record: Arc::clone(&self.incremental.record), earlier };
        let (config, embedded, redactor) = (self.config, self.embedded, self.redactor);
        let selects_all = config.selection == Selection::default();
        let traces = self.source.traces_of_run(self.objects, &progress.input, selects_all, shutdown, Some(input))?;
        Ok(traces.map(|traces| {
            let phases = Arc::clone(&progress.phases);
            let traces = traces
                .inspect(move |trace| {
                    if trace.is_ok() {
                        phases.begin(Phase::Analyze);
                    }
                })
                .boxed();
            let traces = counted(traces, &progress.received);
            let selected = select::by_time_and_service(traces, &config.selection, &progress.filtered);
            let redacted = redact::traces(selected, &redactor, config.trace_timeout, shutdown);
            let failed = select::by_failure(redacted, &config.selection, &embedded, config.trace_timeout, &progress.filtered);
            observed(failed, observer)
        }))
    }
}

fn all_candidates(traces: OutcomeStream<RedactedTrace>) -> OutcomeStream<Candidate> {
    traces.map(|trace| trace.map(Candidate::from)).boxed()
}

/// Leaves out traces whose pattern is up to date. Adds to the others why an earlier answer of the model, which was paid for, was unusable.
fn candidates(traces: OutcomeStream<RedactedTrace>, finished: Arc<ReusableResults>, done: &Arc<AtomicU64>) -> OutcomeStream<Candidate> {
    let done = Arc::clone(done);
    // On the thread pool, because the digest of a long trace takes time.
    let looked_up = pool::map_outcomes(traces, move |trace: RedactedTrace| {
        let digest = trace.digest();
        if finished.claim(&trace.trace_id, &digest, trace.spans.len(), &trace.source.uri) {
            done.fetch_add(1, Ordering::Relaxed);
            return Ok(None);
        }
        let unusable_answer = finished.unusable_answer(&trace.trace_id, &digest);
        Ok(Some(Candidate { trace, unusable_answer }))
    });
    looked_up.filter_map(|candidate| std::future::ready(candidate.transpose())).boxed()
}

fn observed(traces: OutcomeStream<RedactedTrace>, observer: Option<TraceObserver>) -> OutcomeStream<RedactedTrace> {
    let Some(observe) = observer else { return traces };
    traces
        .inspect(move |trace| {
            if let Ok(trace) = trace {
                observe(trace);
            }
        })
        .boxed()
}

/// The contents of custom detector files. They were readable when the redactor was built.
fn redaction_rule_texts(paths: &[PathBuf]) -> Vec<String> {
    paths.iter().map(|path| text_file::read(path).unwrap_or_default()).collect()
}

/// Builds the configured redactor.
fn redactor(key: RedactionKey, config: &AnalysisConfig, canaries: Option<&Arc<CanaryCounts>>) -> Result<Arc<Redactor>, RunError> {
    let detectors = CustomDetectors::read(&config.redaction_rules)?.with_kinds(&config.redaction_kinds)?;
    let mut redactor = Redactor::new(key).with_custom_detectors(detectors);
    if config.excerpts == Excerpts::None {
        redactor = redactor.without_excerpts();
    }
    if let Some(counts) = canaries {
        redactor = redactor.with_canaries(Arc::clone(counts));
    }
    Ok(Arc::new(redactor))
}

/// Plain data as a text for digests, which other versions of failsift produce in the same way.
fn canonical_json(data: &impl serde::Serialize) -> String {
    serde_json::to_string(data).unwrap_or_default()
}

/// Reads rule files; returns name and content of each.
///
/// # Errors
/// [`RunError::RulesUnreadable`].
pub fn rule_files(paths: &[PathBuf]) -> Result<Vec<(String, String)>, RunError> {
    let read = |path: &PathBuf| {
        let file = path.display().to_string();
        let text = text_file::read(path).map_err(|reason| RunError::RulesUnreadable { file: file.clone(), reason })?;
        Ok((file, text))
    };
    paths.iter().map(read).collect()
}

/// Loads the configured redaction key.
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
