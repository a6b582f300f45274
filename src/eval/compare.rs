//! Compares analyzers: the accuracy and cost of each, and how often two of them agree.

use std::collections::HashMap;

use serde::Serialize;

use super::{Answers, Figures, Labels, score};
use crate::model::{PatternRow, ReasonCount};

/// The result of one analyzer in a comparison.
#[derive(Debug, Serialize)]
pub struct AnalyzerResult {
    /// Its name.
    pub analyzer: &'static str,
    /// Traces with a pattern.
    pub patterns: usize,
    /// Traces and records without a pattern.
    pub rejected: u64,
    /// Traces that another analyzer answered instead, by reason.
    pub fallbacks: Vec<ReasonCount>,
    /// Cost in US dollars.
    pub cost_usd: f64,
    /// Model tokens of prompts.
    pub input_tokens: u64,
    /// Model tokens of answers.
    pub output_tokens: u64,
    /// Median time of an analysis in milliseconds.
    pub latency_ms_p50: Option<f64>,
    /// Its scores, if there are labels.
    pub figures: Option<Figures>,
}

impl AnalyzerResult {
    /// Summarizes the answers of one analyzer, and scores them if there are labels.
    pub fn new(analyzer: &'static str, answers: &Answers, labels: Option<&Labels>) -> Self {
        Self {
            analyzer,
            patterns: answers.patterns.len(),
            rejected: answers.rejected,
            fallbacks: answers.fallbacks.clone(),
            cost_usd: answers.spent.cost_usd,
            input_tokens: answers.spent.input_tokens,
            output_tokens: answers.spent.output_tokens,
            latency_ms_p50: answers.latency_ms_p50,
            figures: labels.map(|labels| Figures::compute(&score(answers, labels))),
        }
    }
}

/// How often two analyzers agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Name of the first analyzer.
    pub left: &'static str,
    /// Name of the second analyzer.
    pub right: &'static str,
    /// Traces for which both have a pattern.
    pub both: usize,
    /// Of these, traces with the same category.
    pub category: usize,
    /// Of these, traces with the same category and contributing factor.
    pub label: usize,
}

impl Agreement {
    /// Compares the patterns of two analyzers by trace.
    pub fn between(left: (&'static str, &Answers), right: (&'static str, &Answers)) -> Self {
        let by_id: HashMap<&str, &PatternRow> = right.1.patterns.iter().map(|row| (row.trace_id.as_str(), row)).collect();
        let mut agreement = Self { left: left.0, right: right.0, both: 0, category: 0, label: 0 };
        for row in &left.1.patterns {
            let Some(other) = by_id.get(row.trace_id.as_str()) else { continue };
            agreement.both += 1;
            if row.category == other.category {
                agreement.category += 1;
                agreement.label += usize::from(row.contributing_factor == other.contributing_factor);
            }
        }
        agreement
    }
}
