//! Measures an analyzer: labelled traces go through the pipeline up to the writer, and their patterns are scored.
//!
//! `labels` reads the expected labels, `figures` computes the scores, and `compare` compares analyzers. `review` writes patterns to a
//! sheet for a person to rate, and reads the ratings back. Nothing is written to tables.

mod compare;
mod figures;
mod labels;
mod review;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;

pub use self::compare::{Agreement, AnalyzerResult};
pub use self::figures::{CategoryFigures, Figures, Reliability, ScoredAnswer};
pub use self::labels::{ExpectedLabel, LabelError, Labels};
pub use self::review::{RatingsError, read_ratings, write_sheet};
use crate::analyze::Spending;
use crate::analyze::embedded::{Embedded, Explanation};
use crate::config::AnalysisConfig;
use crate::model::{Label, PatternRow, ReasonCount};
use crate::pipeline::{self, PreparedRun, RunError, RunProgress, TraceObserver};
use crate::runtime::{Deadline, Shutdown};

/// The answers of an analyzer for all traces of the input.
#[derive(Debug, Default)]
pub struct Answers {
    /// Its patterns, ordered by trace id.
    pub patterns: Vec<PatternRow>,
    /// The number of traces and records without a pattern.
    pub rejected: u64,
    /// The reason of the first rejection.
    pub first_rejection: Option<String>,
    /// Traces that another analyzer answered instead, by reason.
    pub fallbacks: Vec<ReasonCount>,
    /// Median time of an analysis in milliseconds.
    pub latency_ms_p50: Option<f64>,
    /// Tokens and cost.
    pub spent: Spending,
    /// Explanations of the embedded analyzer by trace id, if requested.
    pub explanations: Vec<(String, Explanation)>,
}

impl Answers {
    /// The number of traces that another analyzer answered instead.
    pub fn fallback_count(&self) -> u64 {
        self.fallbacks.iter().map(|count| count.traces).sum()
    }
}

/// Runs the input through the pipeline up to the writer.
///
/// # Errors
/// [`RunError`].
pub async fn collect_answers(config: &AnalysisConfig, explain: bool) -> Result<Answers, RunError> {
    // Nothing is written. The output only has to differ from every input.
    let nowhere = url::Url::parse("memory://nowhere/").map_err(|error| RunError::Format(error.to_string()))?;
    let explanations = Arc::new(Mutex::new(Vec::new()));
    let observer = if explain { Some(explainer(config, &explanations)?) } else { None };
    let run_id = uuid::Uuid::now_v7().to_string();
    let prepared = PreparedRun::new(config, &nowhere).await?;
    let analyzer = prepared.analyzer().await?;
    let mut analysis =
        prepared.into_analysis(analyzer, &run_id, &RunProgress::default(), observer, Arc::default(), &Shutdown::default())?;
    let mut answers = Answers::default();
    while let Some(outcome) = analysis.outcomes.next().await {
        match outcome {
            Ok(pattern) => answers.patterns.push(pattern.into_row()),
            Err(rejection) => {
                answers.rejected += 1;
                answers.first_rejection.get_or_insert(rejection.reason);
            }
        }
    }
    analysis.check_complete()?;
    answers.fallbacks = analysis.refusal.redacted(analysis.counts.fallbacks());
    answers.latency_ms_p50 = analysis.counts.latency_ms(0.5);
    answers.spent = analysis.counts.spent();
    answers.patterns.sort_by(|left, right| left.trace_id.cmp(&right.trace_id));
    answers.explanations = std::mem::take(&mut *explanations.lock().unwrap_or_else(PoisonError::into_inner));
    answers.explanations.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(answers)
}

/// A hook of the pipeline that collects the explanation of every redacted trace.
fn explainer(config: &AnalysisConfig, into: &Arc<Mutex<Vec<(String, Explanation)>>>) -> Result<TraceObserver, RunError> {
    let rules: Vec<PathBuf> = config.rules.clone();
    let embedded = Embedded::with_rules(&pipeline::rule_files(&rules)?)?;
    let (timeout, into) = (config.trace_timeout, Arc::clone(into));
    Ok(Arc::new(move |trace| {
        if let Ok(explanation) = embedded.explain(trace, Deadline::after(timeout)) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push((trace.trace_id.clone(), explanation));
        }
    }))
}

/// Scores the answers against the labels. A labelled trace without a pattern counts as wrong; a pattern without a label is left out.
pub fn score(answers: &Answers, labels: &Labels) -> Vec<ScoredAnswer> {
    let by_id: HashMap<String, &PatternRow> =
        answers.patterns.iter().map(|pattern| (labels::normalized(&pattern.trace_id), pattern)).collect();
    labels
        .iter()
        .map(|(id, truth)| {
            let pattern = by_id.get(id.as_str());
            let answer = pattern.and_then(|row| Label::parse(&format!("{}/{}", row.category, row.contributing_factor)).ok());
            let suspected =
                || pattern?.evidence.iter().find_map(|evidence| Label::parse(evidence.signal.as_deref()?.strip_prefix("suspected=")?).ok());
            let is_in_evidence =
                |span: &str| pattern.is_some_and(|row| row.evidence.iter().any(|evidence| evidence.span_id.as_deref() == Some(span)));
            ScoredAnswer {
                trace_id: pattern.map_or_else(|| id.clone(), |row| row.trace_id.clone()),
                answer,
                confidence: pattern.map_or(0.0, |row| row.confidence),
                truth: Some(truth.label),
                suspected: suspected(),
                right: answer.is_some_and(|answer| truth.accepts(answer)),
                category_right: answer.is_some_and(|answer| truth.accepts_category(answer)),
                strict: answer == Some(truth.label),
                accepted: truth.accepted(),
                span_shown: truth.span.as_deref().filter(|_| !truth.label.is_healthy()).map(is_in_evidence),
            }
        })
        .collect()
}
