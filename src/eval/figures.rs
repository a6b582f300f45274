//! The scores.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Label;

/// One labelled or rated answer.
#[derive(Debug, Clone)]
pub struct Scored {
    /// As the pattern has it, or as the label where there is no pattern.
    pub trace_id: String,
    /// What the analyzer said; nothing where the trace became no pattern.
    pub answer: Option<Label>,
    /// How sure it was.
    pub confidence: f64,
    /// What people said; nothing where a rater only said no.
    pub truth: Option<Label>,
    /// Category and factor are right.
    pub right: bool,
    /// The category is right.
    pub category_right: bool,
    /// Exactly the label, and none of those that are right too.
    pub strict: bool,
    /// Every right answer.
    pub accepted: Vec<Label>,
    /// Whether the culprit span stands in the evidence, where a failure has one.
    pub span_shown: Option<bool>,
}

/// All figures of one evaluation; shares are between 0 and 1.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Labelled traces.
    pub labelled: usize,
    /// Of these without a pattern.
    pub unanswered: usize,
    /// Category and factor right.
    pub accuracy: f64,
    /// Category right.
    pub category_accuracy: f64,
    /// Category and factor exactly as labelled.
    pub strict_accuracy: f64,
    /// What the best constant answer would get.
    pub best_constant_accuracy: f64,
    /// What the best constant category would get.
    pub best_constant_category_accuracy: f64,
    /// The culprit span stands in the evidence, of failures whose label names one.
    pub span_accuracy: Option<f64>,
    /// Healthy traces that were given a failure with a confidence of 0.5 and more.
    pub false_alarms: usize,
    /// Labelled as healthy.
    pub healthy: usize,
    /// Mean confidence of right answers.
    pub confidence_right: Option<f64>,
    /// Mean confidence of wrong answers.
    pub confidence_wrong: Option<f64>,
    /// Answers with a confidence of 0.8 and more.
    pub sure: usize,
    /// Right among these.
    pub precision_sure: Option<f64>,
    /// Expected calibration error over ten bins of equal width (Naeini et al. 2015).
    pub ece: f64,
    /// Mean squared difference of confidence and outcome (Brier 1950).
    pub brier: f64,
    /// Confidence against outcome, by bin.
    pub reliability: Vec<Reliability>,
    /// By category of the labels and answers.
    pub categories: BTreeMap<String, CategoryFigures>,
    /// How often a category was answered with another: label, answer, count.
    pub confusion: Vec<(String, String, usize)>,
}

/// One bin of confidences.
#[derive(Debug, Clone, Serialize)]
pub struct Reliability {
    /// Lower edge.
    pub from: f64,
    /// Answers in it.
    pub answers: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share that is right.
    pub right: f64,
}

/// How well a category is told.
#[derive(Debug, Clone, Serialize)]
pub struct CategoryFigures {
    /// Traces that are labelled with it.
    pub labelled: usize,
    /// Answers with it.
    pub answered: usize,
    /// Of the answers with it the share that is right.
    pub precision: Option<f64>,
    /// Of the traces labelled with it the share whose category was answered rightly.
    pub recall: Option<f64>,
}

/// From this confidence on an answer counts as sure.
const SURE: f64 = 0.8;

/// From this confidence on a failure of a healthy trace is an alarm.
const ALARM: f64 = 0.5;

const BINS: usize = 10;

impl Figures {
    /// Computes everything; of nothing every share is 0.
    pub fn of(scored: &[Scored]) -> Self {
        let answered: Vec<&Scored> = scored.iter().filter(|one| one.answer.is_some()).collect();
        let sure: Vec<&&Scored> = answered.iter().filter(|one| one.confidence >= SURE).collect();
        let healthy = || scored.iter().filter(|one| one.truth.is_some_and(Label::is_healthy));
        let alarm = |one: &&Scored| !one.right && one.answer.is_some_and(|answer| !answer.is_healthy()) && one.confidence >= ALARM;
        let with_span: Vec<bool> = scored.iter().filter_map(|one| one.span_shown).collect();
        let confidence_of = |right: bool| mean(answered.iter().filter(|one| one.right == right).map(|one| one.confidence));
        let reliability = reliability(&answered);
        Self {
            labelled: scored.len(),
            unanswered: scored.len() - answered.len(),
            accuracy: share(scored.iter().map(|one| one.right)),
            category_accuracy: share(scored.iter().map(|one| one.category_right)),
            strict_accuracy: share(scored.iter().map(|one| one.strict)),
            best_constant_accuracy: best_constant(scored, |label| label.to_string()),
            best_constant_category_accuracy: best_constant(scored, |label| label.category().to_owned()),
            span_accuracy: (!with_span.is_empty()).then(|| share(with_span.into_iter())),
            false_alarms: healthy().filter(alarm).count(),
            healthy: healthy().count(),
            confidence_right: confidence_of(true),
            confidence_wrong: confidence_of(false),
            sure: sure.len(),
            precision_sure: mean(sure.iter().map(|one| f64::from(u8::from(one.right)))),
            ece: ece(&reliability, answered.len()),
            brier: mean(answered.iter().map(|one| (one.confidence - f64::from(u8::from(one.right))).powi(2))).unwrap_or_default(),
            reliability,
            categories: categories(scored),
            confusion: confusion(scored),
        }
    }

    /// Mean confidence of right minus of wrong answers, where there are both.
    pub fn confidence_gap(&self) -> Option<f64> {
        Some(self.confidence_right? - self.confidence_wrong?)
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of traces")]
fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / count as f64)
}

fn share(values: impl Iterator<Item = bool>) -> f64 {
    mean(values.map(|value| f64::from(u8::from(value)))).unwrap_or_default()
}

/// The share of traces that accept the one answer that most of them accept.
fn best_constant(scored: &[Scored], word: impl Fn(Label) -> String) -> f64 {
    let words: Vec<Vec<String>> = scored.iter().map(|one| one.accepted.iter().map(|label| word(*label)).collect()).collect();
    let candidates: Vec<&String> = words.iter().flatten().collect();
    candidates.into_iter().map(|candidate| share(words.iter().map(|accepted| accepted.contains(candidate)))).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bin between 0 and 9")]
fn reliability(answered: &[&Scored]) -> Vec<Reliability> {
    let bin_of = |confidence: f64| ((confidence * BINS as f64) as usize).min(BINS - 1);
    (0..BINS)
        .filter_map(|bin| {
            let within: Vec<_> = answered.iter().filter(|one| bin_of(one.confidence) == bin).collect();
            Some(Reliability {
                from: bin as f64 / BINS as f64,
                answers: within.len(),
                confidence: mean(within.iter().map(|one| one.confidence))?,
                right: share(within.iter().map(|one| one.right)),
            })
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of traces")]
fn ece(reliability: &[Reliability], answers: usize) -> f64 {
    let off = reliability.iter().map(|bin| (bin.confidence - bin.right).abs() * bin.answers as f64).sum::<f64>();
    if answers == 0 { 0.0 } else { off / answers as f64 }
}

fn categories(scored: &[Scored]) -> BTreeMap<String, CategoryFigures> {
    let words = scored.iter().flat_map(|one| [one.truth, one.answer]).flatten().map(|label| label.category().to_owned());
    let words: std::collections::BTreeSet<String> = words.collect();
    words
        .into_iter()
        .map(|category| {
            let is = |label: Option<Label>| label.is_some_and(|label| label.category() == category);
            let labelled = || scored.iter().filter(|one| is(one.truth));
            let answered = || scored.iter().filter(|one| is(one.answer));
            let right = |one: &Scored| f64::from(u8::from(one.category_right));
            let figures = CategoryFigures {
                labelled: labelled().count(),
                answered: answered().count(),
                precision: mean(answered().map(right)),
                recall: mean(labelled().map(right)),
            };
            (category, figures)
        })
        .collect()
}

fn confusion(scored: &[Scored]) -> Vec<(String, String, usize)> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for one in scored {
        let word = |label: Option<Label>, absent: &str| label.map_or_else(|| absent.to_owned(), |label| label.category().to_owned());
        *counts.entry((word(one.truth, "(other)"), word(one.answer, "(no pattern)"))).or_default() += 1;
    }
    let mut rows: Vec<_> = counts.into_iter().map(|((truth, answer), count)| (truth, answer, count)).collect();
    rows.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(answer: &str, truth: &str, confidence: f64) -> Scored {
        let (answer, truth) = (Label::parse(answer).unwrap(), Label::parse(truth).unwrap());
        Scored {
            trace_id: "t".into(),
            answer: Some(answer),
            confidence,
            truth: Some(truth),
            right: answer == truth,
            category_right: answer.category() == truth.category(),
            strict: answer == truth,
            accepted: vec![truth],
            span_shown: None,
        }
    }

    #[test]
    fn figures_are_those_that_one_gets_by_hand() {
        let (timeout, exception, healthy) = ("tool_failure/tool_timeout", "tool_failure/tool_exception", "unclassified/no_failure_found");
        let mut unanswered = scored(timeout, timeout, 0.0);
        (unanswered.answer, unanswered.right, unanswered.category_right) = (None, false, false);
        let figures =
            Figures::of(&[scored(timeout, timeout, 0.9), scored(exception, timeout, 0.7), scored(timeout, healthy, 0.6), unanswered]);
        let near = |left: f64, right: f64| (left - right).abs() < 1e-9;
        assert!(near(figures.accuracy, 0.25) && near(figures.category_accuracy, 0.5));
        assert!(near(figures.best_constant_accuracy, 0.75));
        assert_eq!((figures.labelled, figures.unanswered, figures.false_alarms, figures.healthy), (4, 1, 1, 1));
        assert!(near(figures.confidence_gap().unwrap(), 0.25));
        assert!(near(figures.ece, (0.1 + 0.7 + 0.6) / 3.0), "{}", figures.ece);
        assert!(near(figures.brier, (0.01 + 0.49 + 0.36) / 3.0));
        assert_eq!(figures.precision_sure, Some(1.0));
        let tool = &figures.categories["tool_failure"];
        assert!(near(tool.precision.unwrap(), 2.0 / 3.0) && near(tool.recall.unwrap(), 2.0 / 3.0));
        assert_eq!(figures.confusion[0], ("tool_failure".into(), "tool_failure".into(), 2));
    }

    #[test]
    fn of_nothing_there_are_no_shares() {
        let figures = Figures::of(&[]);
        assert_eq!((figures.labelled, figures.precision_sure, figures.confidence_gap()), (0, None, None));
    }
}
