//! How sure: facts about a verdict -> a probability that category and factor are right.
//!
//! The weights are fitted on labelled traces (`data/fit/fit.py`, which also says how well by cross-validation) and stand in
//! `calibration.json` with their provenance.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::RuleError;
use super::tree::SpanTree;
use crate::model::{Annotation, Span, SpanKind, Trace};

/// What is known of a verdict, by name; the value is 1 for what holds, or a number.
pub(super) type Facts = BTreeMap<&'static str, f64>;

/// How a verdict came about; each way is calibrated by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// A rule named an incident.
    Rule,
    /// The dialogue as a whole.
    Dialogue,
    /// Nothing was found.
    Nothing,
}

impl Way {
    /// The word in `calibration.json` and in what `eval` writes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Dialogue => "dialogue",
            Self::Nothing => "nothing",
        }
    }
}

/// The calibration that failsift ships.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "provenance")]
    _provenance: serde_json::Value,
    ways: BTreeMap<Way, Logistic>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logistic {
    bias: f64,
    weights: BTreeMap<String, f64>,
}

/// Facts to probability.
#[derive(Debug)]
pub(super) struct Calibration {
    ways: BTreeMap<Way, Logistic>,
}

/// Confidence that nothing failed where somebody says that something did: no labelled trace tells.
const RATED_BADLY_MAX: f64 = 0.5;

/// Confidence of a verdict by dialogue alone: among the surest of runs labelled by people 3 in 4 are right.
const DIALOGUE_MAX: f64 = 0.75;

/// Nothing is certain.
const BOUNDS: (f64, f64) = (0.02, 0.99);

impl Calibration {
    /// # Errors
    /// [`RuleError`] where the shipped file is not well-formed, which a test rules out.
    pub(super) fn shipped() -> Result<Self, RuleError> {
        let file: File = serde_json::from_str(include_str!("calibration.json"))
            .map_err(|error| RuleError::new("calibration.json", "(file)", error.to_string()))?;
        Ok(Self { ways: file.ways })
    }

    /// The probability that a verdict is right.
    pub(super) fn confidence(&self, way: Way, facts: &Facts) -> f64 {
        let Some(logistic) = self.ways.get(&way) else { return BOUNDS.0 };
        let sum = |lowers: bool| self.moved_by(way, facts).map(|(_, by)| by).filter(|by| (*by < 0.0) == lowers).sum::<f64>();
        // What is missing lowers also the confidence of what is otherwise beyond doubt.
        let logit = (logistic.bias + sum(false)).min(logit(BOUNDS.1)) + sum(true);
        let confidence = thousandths((1.0 / (1.0 + (-logit).exp())).clamp(BOUNDS.0, BOUNDS.1));
        match way {
            Way::Nothing if facts.contains_key("rated_badly") => confidence.min(RATED_BADLY_MAX),
            Way::Dialogue => confidence.min(DIALOGUE_MAX),
            Way::Nothing | Way::Rule => confidence,
        }
    }

    fn moved_by<'s>(&'s self, way: Way, facts: &'s Facts) -> impl Iterator<Item = (&'static str, f64)> + 's {
        let weights = self.ways.get(&way).map(|logistic| &logistic.weights);
        facts.iter().filter_map(move |(name, value)| Some((*name, weights?.get(*name)? * value)))
    }

    /// What lowered the confidence most, as the end of a sentence.
    pub(super) fn lowered_by(&self, way: Way, facts: &Facts) -> Vec<&'static str> {
        const NOTEWORTHY: f64 = -0.25;
        let mut lowered: Vec<_> = self.moved_by(way, facts).filter(|(_, by)| *by < NOTEWORTHY).collect();
        lowered.sort_by(|left, right| left.1.total_cmp(&right.1));
        let named = lowered.into_iter().map(|(name, _)| name);
        let rated = facts.get_key_value("rated_badly").filter(|_| way == Way::Nothing).map(|(name, _)| *name);
        rated.into_iter().chain(named).filter_map(meaning).collect()
    }
}

/// A fact in words.
fn meaning(fact: &str) -> Option<&'static str> {
    Some(match fact {
        "last_resort" => "only the last resort of its group fits",
        "no_exception" => "no step says that it failed",
        "no_message" => "the error has no message",
        "contested" => "another failure of the run has another cause",
        "orphans" => "the parent is missing of some spans",
        "unfinished" => "some spans are without an end",
        "cycles" => "spans stand in a cycle",
        "unnamed" => "spans have no name",
        "unstructured" => "no span has attributes",
        "texts_missing" => "what the models said was not recorded",
        "finish_reasons_missing" => "no finish reason was recorded",
        "documents_missing" => "what a retriever found was not recorded",
        "results_missing" => "what a tool answered was not recorded",
        "rated_badly" => "the run was rated badly",
        "dialogue" => "a long dialogue may fail without a sign",
        "conversation" => "a conversation of several may fail without a sign",
        "unexplained" => "nothing says what happened",
        "recovered" => "steps failed before others worked",
        _ => return None,
    })
}

/// What a trace lacks and shows, whatever the verdict.
pub(super) fn of_trace(trace: &Trace, tree: &SpanTree) -> Facts {
    let mut facts = Facts::new();
    let mut note = |name, holds: bool| {
        if holds {
            facts.insert(name, 1.0);
        }
    };
    note("orphans", tree.orphans > 0);
    note("unfinished", tree.unfinished > 0);
    note("cycles", tree.cycles > 0);
    note("unnamed", trace.spans.iter().any(|span| span.name.is_empty()));
    note("unstructured", trace.spans.iter().all(says_nothing));
    note("rated_badly", trace.spans.iter().flat_map(|span| &span.annotations).any(Annotation::is_negative));
    let worked = |kind: SpanKind| trace.spans.iter().filter(move |span| span.kind == kind && !span.failed());
    note(
        "texts_missing",
        worked(SpanKind::Llm).any(|span| span.output.iter().all(|message| message.content.is_empty() && message.tool_calls.is_empty())),
    );
    note("finish_reasons_missing", worked(SpanKind::Llm).any(|span| span.finish_reasons.is_empty()));
    note("documents_missing", worked(SpanKind::Retriever).any(|span| span.documents.is_none()));
    note("results_missing", worked(SpanKind::Tool).any(|span| span.tool.as_ref().is_none_or(|tool| tool.result.is_none())));
    facts
}

fn says_nothing(span: &Span) -> bool {
    let texts = [&span.input_text, &span.output_text];
    span.attributes.is_empty()
        && span.input.is_empty()
        && span.output.is_empty()
        && span.tool.is_none()
        && texts.iter().all(|text| text.is_none())
}

/// `confidence_rationale`: what fired, what lowered the confidence, and what was wrong with the delivery.
pub(super) fn rationale(first: String, lowered_by: &[&str], trace: &Trace) -> String {
    let mut rationale = first;
    if !lowered_by.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(rationale, " Lowered, because {}.", lowered_by.join(", "));
    }
    for note in &trace.notes {
        let _ = write!(rationale, " Note: {note}.");
    }
    rationale
}

fn thousandths(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// The log odds of a probability, kept finite.
pub(super) fn logit(probability: f64) -> f64 {
    let p = probability.clamp(0.001, 0.999);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_calibration_covers_every_way_and_stays_within_bounds() {
        let calibration = Calibration::shipped().unwrap();
        for way in [Way::Rule, Way::Dialogue, Way::Nothing] {
            assert!(calibration.ways.contains_key(&way), "{}", way.as_str());
            let confidence = calibration.confidence(way, &Facts::from([("rule", 99.0), ("margin", 99.0)]));
            assert!((BOUNDS.0..=BOUNDS.1).contains(&confidence));
        }
        assert!(calibration.confidence(Way::Dialogue, &Facts::from([("probability", 99.0)])) <= DIALOGUE_MAX);
        // What is missing lowers also what is otherwise beyond doubt.
        let whole = Facts::from([("rule", 9.0)]);
        let orphaned = Facts::from([("rule", 9.0), ("orphans", 1.0)]);
        assert!(calibration.confidence(Way::Rule, &orphaned) < calibration.confidence(Way::Rule, &whole));
        let rated = calibration.confidence(Way::Nothing, &Facts::from([("rated_badly", 1.0)]));
        assert!(rated <= RATED_BADLY_MAX);
    }

    #[test]
    fn every_fact_with_a_negative_weight_can_be_told() {
        let calibration = Calibration::shipped().unwrap();
        for (way, logistic) in &calibration.ways {
            for (name, weight) in logistic.weights.iter().filter(|(_, weight)| **weight < -0.3) {
                assert!(meaning(name).is_some(), "{} {name} {weight}", way.as_str());
            }
        }
    }
}
