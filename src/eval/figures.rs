//! Computes the scores: accuracy, calibration, and confusion between categories. Knows only scored answers.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Label;

/// The answer for one labelled or rated trace.
#[derive(Debug, Clone)]
pub struct ScoredAnswer {
    /// The pattern's trace id, or the label's if there is no pattern.
    pub trace_id: String,
    /// The analyzer's answer; `None` if the trace has no pattern.
    pub answer: Option<Label>,
    /// The answer's confidence.
    pub confidence: f64,
    /// The expected label; `None` if a rater rejected the answer without giving one.
    pub truth: Option<Label>,
    /// The label that an answer of `insufficient_evidence` suspects.
    pub suspected: Option<Label>,
    /// Whether category and factor are right.
    pub right: bool,
    /// Whether the category is right.
    pub category_right: bool,
    /// Whether the answer equals the label. A label listed under `also` does not count.
    pub strict: bool,
    /// Every right answer.
    pub accepted: Vec<Label>,
    /// Whether the evidence contains the culprit span, if the label names one.
    pub span_shown: Option<bool>,
}

impl ScoredAnswer {
    /// Whether the suspected label is like one of the right ones.
    fn suspects(&self, is_like: impl Fn(Label, Label) -> bool) -> bool {
        self.suspected.is_some_and(|suspected| self.accepted.iter().any(|right| is_like(suspected, *right)))
    }
}

/// All figures of one evaluation; shares are between 0 and 1.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Labelled traces.
    pub labelled: usize,
    /// Labelled traces without a pattern.
    pub unanswered: usize,
    /// Share with the right category and factor.
    pub accuracy: f64,
    /// Share with the right category.
    pub category_accuracy: f64,
    /// Share with exactly the labelled category and factor.
    pub strict_accuracy: f64,
    /// Verdicts that suspect a label without claiming it.
    pub suspicions: usize,
    /// As `accuracy`, if a suspected label counts as the answer.
    pub accuracy_with_suspicions: f64,
    /// As `category_accuracy`, if a suspected label counts as the answer.
    pub category_accuracy_with_suspicions: f64,
    /// Accuracy of the best constant answer.
    pub best_constant_accuracy: f64,
    /// Category accuracy of the best constant answer.
    pub best_constant_category_accuracy: f64,
    /// Share of failures with a labelled culprit span whose evidence contains it.
    pub span_accuracy: Option<f64>,
    /// Healthy traces that were called failed with a confidence of at least 0.5.
    pub false_alarms: usize,
    /// Traces labelled as healthy.
    pub healthy: usize,
    /// Mean confidence of right answers.
    pub confidence_right: Option<f64>,
    /// Mean confidence of wrong answers.
    pub confidence_wrong: Option<f64>,
    /// Answers with a confidence of at least 0.8.
    pub sure: usize,
    /// Share of these that is right.
    pub precision_sure: Option<f64>,
    /// Expected calibration error over ten bins of equal width (Naeini et al. 2015), of the answers that name a failure. "No failure found" is left out:
    /// no analyzer without a source of truth knows whether a fluent answer is right.
    pub ece: f64,
    /// Mean squared difference of confidence and outcome (Brier 1950), of the same answers.
    pub brier: f64,
    /// Mean confidence and accuracy of the same answers, by bin.
    pub reliability: Vec<Reliability>,
    /// Answers that say that nothing failed, or not what.
    pub unclassified: usize,
    /// Share of these that is right.
    pub unclassified_precision: Option<f64>,
    /// Scores by category.
    pub categories: BTreeMap<String, CategoryFigures>,
    /// `(labelled category, answered category, count)`, most frequent first.
    pub confusion: Vec<(String, String, usize)>,
}

/// One bin of a reliability table.
#[derive(Debug, Clone, Serialize)]
pub struct Reliability {
    /// Lower bound of the bin.
    pub from: f64,
    /// Answers in the bin.
    pub answers: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// Share of right answers.
    pub right: f64,
}

/// The scores of one category.
#[derive(Debug, Clone, Serialize)]
pub struct CategoryFigures {
    /// Traces labelled with the category.
    pub labelled: usize,
    /// Answers with the category.
    pub answered: usize,
    /// Share of the answers that is right.
    pub precision: Option<f64>,
    /// Share of the labelled traces with the right category.
    pub recall: Option<f64>,
}

/// The category of verdicts that name no failure.
const UNCLASSIFIED: &str = "unclassified";

/// The confidence from which an answer counts as sure.
const SURE_MIN: f64 = 0.8;

/// The confidence from which a failure reported for a healthy trace counts as a false alarm.
const ALARM_MIN: f64 = 0.5;

const BINS: usize = 10;

impl Figures {
    /// Computes all scores. Without answers every share is 0.
    pub fn compute(scored: &[ScoredAnswer]) -> Self {
        let answered: Vec<&ScoredAnswer> = scored.iter().filter(|answer| answer.answer.is_some()).collect();
        let sure: Vec<&&ScoredAnswer> = answered.iter().filter(|answer| answer.confidence >= SURE_MIN).collect();
        let healthy = || scored.iter().filter(|answer| answer.truth.is_some_and(Label::is_healthy));
        let is_false_alarm = |answer: &&ScoredAnswer| {
            !answer.right && answer.answer.is_some_and(|answer| !answer.is_healthy()) && answer.confidence >= ALARM_MIN
        };
        let with_span: Vec<bool> = scored.iter().filter_map(|answer| answer.span_shown).collect();
        let confidence_of = |right: bool| mean(answered.iter().filter(|answer| answer.right == right).map(|answer| answer.confidence));
        let (unclassified, named): (Vec<_>, Vec<_>) =
            answered.iter().copied().partition(|answer| answer.answer.is_some_and(|label| label.category() == UNCLASSIFIED));
        let reliability = reliability(&named);
        Self {
            labelled: scored.len(),
            unanswered: scored.len() - answered.len(),
            accuracy: share(scored.iter().map(|answer| answer.right)),
            category_accuracy: share(scored.iter().map(|answer| answer.category_right)),
            strict_accuracy: share(scored.iter().map(|answer| answer.strict)),
            suspicions: scored.iter().filter(|answer| answer.suspected.is_some()).count(),
            accuracy_with_suspicions: share(
                scored.iter().map(|answer| answer.right || answer.suspects(|suspected, right| suspected == right)),
            ),
            category_accuracy_with_suspicions: share(
                scored
                    .iter()
                    .map(|answer| answer.category_right || answer.suspects(|suspected, right| suspected.category() == right.category())),
            ),
            best_constant_accuracy: best_constant(scored, |label| label.to_string()),
            best_constant_category_accuracy: best_constant(scored, |label| label.category().to_owned()),
            span_accuracy: (!with_span.is_empty()).then(|| share(with_span.into_iter())),
            false_alarms: healthy().filter(is_false_alarm).count(),
            healthy: healthy().count(),
            confidence_right: confidence_of(true),
            confidence_wrong: confidence_of(false),
            sure: sure.len(),
            precision_sure: mean(sure.iter().map(|answer| f64::from(u8::from(answer.right)))),
            ece: ece(&reliability, named.len()),
            brier: mean(named.iter().map(|answer| (answer.confidence - f64::from(u8::from(answer.right))).powi(2))).unwrap_or_default(),
            reliability,
            unclassified: unclassified.len(),
            unclassified_precision: mean(unclassified.iter().map(|answer| f64::from(u8::from(answer.right)))),
            categories: categories(scored),
            confusion: confusion(scored),
        }
    }

    /// Mean confidence of right answers minus that of wrong ones; `None` if there are not both.
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

/// The accuracy of the best constant answer.
fn best_constant(scored: &[ScoredAnswer], word: impl Fn(Label) -> String) -> f64 {
    let words: Vec<Vec<String>> = scored.iter().map(|answer| answer.accepted.iter().map(|label| word(*label)).collect()).collect();
    let candidates: Vec<&String> = words.iter().flatten().collect();
    candidates.into_iter().map(|candidate| share(words.iter().map(|accepted| accepted.contains(candidate)))).fold(0.0, f64::max)
}

#[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a bin between 0 and 9")]
fn reliability(answered: &[&ScoredAnswer]) -> Vec<Reliability> {
    let bin_of = |confidence: f64| ((confidence * BINS as f64) as usize).min(BINS - 1);
    (0..BINS)
        .filter_map(|bin| {
            let within: Vec<_> = answered.iter().filter(|answer| bin_of(answer.confidence) == bin).collect();
            Some(Reliability {
                from: bin as f64 / BINS as f64,
                answers: within.len(),
                confidence: mean(within.iter().map(|answer| answer.confidence))?,
                right: share(within.iter().map(|answer| answer.right)),
            })
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "counts of traces")]
fn ece(reliability: &[Reliability], answers: usize) -> f64 {
    let error = reliability.iter().map(|bin| (bin.confidence - bin.right).abs() * bin.answers as f64).sum::<f64>();
    if answers == 0 { 0.0 } else { error / answers as f64 }
}

fn categories(scored: &[ScoredAnswer]) -> BTreeMap<String, CategoryFigures> {
    let words = scored.iter().flat_map(|answer| [answer.truth, answer.answer]).flatten().map(|label| label.category().to_owned());
    let words: std::collections::BTreeSet<String> = words.collect();
    words
        .into_iter()
        .map(|category| {
            let is = |label: Option<Label>| label.is_some_and(|label| label.category() == category);
            let labelled = || scored.iter().filter(|answer| is(answer.truth));
            let answered = || scored.iter().filter(|answer| is(answer.answer));
            let right = |answer: &ScoredAnswer| f64::from(u8::from(answer.category_right));
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

fn confusion(scored: &[ScoredAnswer]) -> Vec<(String, String, usize)> {
    let mut counts: BTreeMap<(String, String), usize> = BTreeMap::new();
    for answer in scored {
        let word = |label: Option<Label>, absent: &str| label.map_or_else(|| absent.to_owned(), |label| label.category().to_owned());
        *counts.entry((word(answer.truth, "(other)"), word(answer.answer, "(no pattern)"))).or_default() += 1;
    }
    let mut rows: Vec<_> = counts.into_iter().map(|((truth, answer), count)| (truth, answer, count)).collect();
    rows.sort_by_key(|(_, _, count)| std::cmp::Reverse(*count));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scored(answer: &str, truth: &str, confidence: f64) -> ScoredAnswer {
        let (answer, truth) = (Label::parse(answer).unwrap(), Label::parse(truth).unwrap());
        ScoredAnswer {
            trace_id: "t".into(),
            answer: Some(answer),
            confidence,
            truth: Some(truth),
            suspected: None,
            right: answer == truth,
            category_right: answer.category() == truth.category(),
            strict: answer == truth,
            accepted: vec![truth],
            span_shown: None,
        }
    }

    #[test]
    fn figures_match_a_calculation_by_hand() {
        let (timeout, exception, healthy) = ("tool_failure/tool_timeout", "tool_failure/tool_exception", "unclassified/no_failure_found");
        let mut unanswered = scored(timeout, timeout, 0.0);
        (unanswered.answer, unanswered.right, unanswered.category_right) = (None, false, false);
        let mut answers = vec![scored(timeout, timeout, 0.9), scored(exception, timeout, 0.7), scored(timeout, healthy, 0.6), unanswered];
        // A verdict that names no failure counts neither for the calibration error nor for the Brier score.
        let calibration = |answers: &[ScoredAnswer]| {
            let figures = Figures::compute(answers);
            (figures.ece, figures.brier, figures.unclassified, figures.unclassified_precision)
        };
        let (ece, brier, ..) = calibration(&answers);
        answers.push(scored(healthy, timeout, 0.9));
        assert_eq!(calibration(&answers), (ece, brier, 1, Some(0.0)));
        answers.pop();
        let mut suspicion = scored("unclassified/insufficient_evidence", timeout, 0.3);
        suspicion.suspected = Label::parse(exception).ok();
        let with = Figures::compute(&[suspicion.clone(), scored(timeout, timeout, 0.9)]);
        assert_eq!((with.suspicions, with.accuracy, with.accuracy_with_suspicions), (1, 0.5, 0.5));
        assert_eq!((with.category_accuracy, with.category_accuracy_with_suspicions), (0.5, 1.0));
        let figures = Figures::compute(&answers);
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
    fn figures_of_no_answers_are_empty() {
        let figures = Figures::compute(&[]);
        assert_eq!((figures.labelled, figures.precision_sure, figures.confidence_gap()), (0, None, None));
    }
}
