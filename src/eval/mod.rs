//! How good an analyzer is: labelled traces through the pipeline, scored.
//!
//! `labels` reads what is right, `figures` computes the scores, `compare` puts analyzers side by side, `review` writes patterns as a sheet for a person to rate and reads the
//! ratings back. Nothing is written to tables.

mod compare;
mod figures;
mod labels;
mod review;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;

pub use self::compare::{Agreement, Compared};
pub use self::figures::{CategoryFigures, Figures, Reliability, Scored};
pub use self::labels::{LabelError, Labels, Truth};
pub use self::review::{RatingsError, read_ratings, write_sheet};
use crate::analyze::Spending;
use crate::analyze::embedded::{Embedded, Explanation};
use crate::config::AnalysisConfig;
use crate::model::{Label, PatternRow};
use crate::pipeline::{self, Look, Prepared, Progress, RunError};
use crate::runtime::Deadline;
use crate::runtime::Shutdown;

/// What an analyzer said of the input.
#[derive(Debug, Default)]
pub struct Answers {
    /// Its patterns, by the order of their trace ids.
    pub patterns: Vec<PatternRow>,
    /// Traces and records that became no pattern.
    pub rejected: u64,
    /// Why the first of them did not.
    pub first_rejection: Option<String>,
    /// Median time of an analysis in milliseconds.
    pub latency_ms_p50: Option<f64>,
    /// Tokens and money.
    pub spent: Spending,
    /// What the embedded analyzer rests on, by trace id, where it was asked for.
    pub explanations: Vec<(String, Explanation)>,
}

/// Runs the input through the pipeline up to the writer.
///
/// # Errors
/// [`RunError`].
pub async fn answers(config: &AnalysisConfig, explain: bool) -> Result<Answers, RunError> {
    // Nothing is written; no input lies below this place.
    let nowhere = url::Url::parse("memory://nowhere/").map_err(|error| RunError::Format(error.to_string()))?;
    let explained = Arc::new(Mutex::new(Vec::new()));
    let look = if explain { Some(explainer(config, &explained)?) } else { None };
    let run_id = uuid::Uuid::now_v7().to_string();
    let prepared = Prepared::new(config, &nowhere).await?;
    let analyzer = prepared.analyzer().await?;
    let mut analysis = prepared.analysis(analyzer, &run_id, &Progress::default(), look, Arc::default(), &Shutdown::default())?;
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
    if let Some(reason) = analysis.fatal.get() {
        return Err(RunError::Gather(reason.to_owned()));
    }
    if let Some(reason) = analysis.refusal.get() {
        return Err(RunError::Refused(reason));
    }
    answers.latency_ms_p50 = analysis.counts.latency_ms(0.5);
    answers.spent = analysis.counts.spent();
    answers.patterns.sort_by(|left, right| left.trace_id.cmp(&right.trace_id));
    answers.explanations = std::mem::take(&mut *explained.lock().unwrap_or_else(PoisonError::into_inner));
    answers.explanations.sort_by(|left, right| left.0.cmp(&right.0));
    Ok(answers)
}

fn explainer(config: &AnalysisConfig, into: &Arc<Mutex<Vec<(String, Explanation)>>>) -> Result<Look, RunError> {
    let rules: Vec<PathBuf> = config.rules.clone();
    let embedded = Embedded::with_rules(&pipeline::rule_files(&rules)?)?;
    let (timeout, into) = (config.trace_timeout, Arc::clone(into));
    Ok(Arc::new(move |trace| {
        if let Ok(explanation) = embedded.explain(trace, Deadline::after(timeout)) {
            into.lock().unwrap_or_else(PoisonError::into_inner).push((trace.trace_id.clone(), explanation));
        }
    }))
}

/// Joins answers and labels. A labelled trace without a pattern is wrong; a pattern without a label is left out.
pub fn score(answers: &Answers, labels: &Labels) -> Vec<Scored> {
    let by_id: HashMap<String, &PatternRow> =
        answers.patterns.iter().map(|pattern| (labels::normalized(&pattern.trace_id), pattern)).collect();
    labels
        .iter()
        .map(|(id, truth)| {
            let pattern = by_id.get(id.as_str());
            let answer = pattern.and_then(|row| Label::parse(&format!("{}/{}", row.category, row.contributing_factor)).ok());
            let shows =
                |span: &str| pattern.is_some_and(|row| row.evidence.iter().any(|evidence| evidence.span_id.as_deref() == Some(span)));
            Scored {
                trace_id: pattern.map_or_else(|| id.clone(), |row| row.trace_id.clone()),
                answer,
                confidence: pattern.map_or(0.0, |row| row.confidence),
                truth: Some(truth.label),
                right: answer.is_some_and(|answer| truth.accepts(answer)),
                category_right: answer.is_some_and(|answer| truth.accepts_category(answer)),
                strict: answer == Some(truth.label),
                accepted: truth.accepted(),
                span_shown: truth.span.as_deref().filter(|_| !truth.label.is_healthy()).map(shows),
            }
        })
        .collect()
}
