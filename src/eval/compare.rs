//! Analyzers side by side: how right each is, what it costs, and how often two of them say the same.

use std::collections::HashMap;

use serde::Serialize;

use super::{Answers, Figures, Labels, score};
use crate::model::PatternRow;

/// One analyzer of a comparison.
#[derive(Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub analyzer: &'static str,
    /// Traces with a pattern.
    pub patterns: usize,
    /// Traces and records without one.
    pub rejected: u64,
    /// US dollars.
    pub cost_usd: f64,
    /// Tokens of questions.
    pub input_tokens: u64,
    /// Tokens of answers.
    pub output_tokens: u64,
    /// Median time of an analysis in milliseconds.
    pub latency_ms_p50: Option<f64>,
    /// How right it is, where there are labels.
    pub figures: Option<Figures>,
}

impl Compared {
    /// What one analyzer said, with its figures.
    pub fn of(analyzer: &'static str, answers: &Answers, labels: Option<&Labels>) -> Self {
        Self {
            analyzer,
            patterns: answers.patterns.len(),
            rejected: answers.rejected,
            cost_usd: answers.spent.cost_usd,
            input_tokens: answers.spent.input_tokens,
            output_tokens: answers.spent.output_tokens,
            latency_ms_p50: answers.latency_ms_p50,
            figures: labels.map(|labels| Figures::of(&score(answers, labels))),
        }
    }
}

/// How often two analyzers say the same of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Of the first.
    pub left: &'static str,
    /// Of the second.
    pub right: &'static str,
    /// Traces for which both have a pattern.
    pub both: usize,
    /// Of these, with the same category.
    pub category: usize,
    /// And the same contributing factor.
    pub label: usize,
}

impl Agreement {
    /// Compares the patterns of two analyzers by trace.
    pub fn of(left: (&'static str, &Answers), right: (&'static str, &Answers)) -> Self {
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
