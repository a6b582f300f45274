//! Computes the confidence of a verdict. In: facts about it. Out: the probability that its category and factor are right.
//!
//! The weights are fitted on labelled traces by `data/fit/fit.py`, which also cross-validates them. `calibration.json` contains them with their
//! provenance.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::rule_file::RuleError;
use super::tree::SpanTree;
use crate::model::{Annotation, Span, SpanKind, Trace};

/// Facts about a verdict by name. The value of a fact without a number is 1.
pub(super) type Facts = BTreeMap<&'static str, f64>;

/// What a verdict is based on. Each basis has its own calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictBasis {
    /// A rule that matched an incident.
    Rule,
    /// The dialogue as a whole.
    Dialogue,
    /// Nothing: no failure was found, or no explanation for it.
    Nothing,
}

impl VerdictBasis {
    /// The word in `calibration.json` and in the output of `eval --explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Dialogue => "dialogue",
            Self::Nothing => "nothing",
        }
    }
}

/// The format of `calibration.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "provenance")]
    _provenance: serde_json::Value,
    #[serde(rename = "ways")]
    by_basis: BTreeMap<VerdictBasis, Logistic>,
}

/// A logistic regression.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Logistic {
    bias: f64,
    weights: BTreeMap<String, f64>,
}

/// Maps the facts about a verdict to a probability.
#[derive(Debug)]
pub(super) struct Calibration {
    by_basis: BTreeMap<VerdictBasis, Logistic>,
}

/// Limit for "no failure found" if a user or an evaluator rated the run negatively. No labelled trace has both, so it cannot be fitted.
const NEGATIVELY_RATED_CONFIDENCE_MAX: f64 = 0.5;

/// Limit for a verdict based on the dialogue alone. Of the most confident verdicts on runs that people labelled, 3 in 4 are right.
const DIALOGUE_CONFIDENCE_MAX: f64 = 0.75;

/// No verdict is certain.
const CONFIDENCE_RANGE: (f64, f64) = (0.02, 0.99);

impl Calibration {
    /// The shipped calibration.
    ///
    /// # Errors
    /// [`RuleError`] if the file is not well-formed, which a test rules out.
    pub(super) fn shipped() -> Result<Self, RuleError> {
        let file: File = serde_json::from_str(include_str!("calibration.json"))
            .map_err(|error| RuleError::of_file("calibration.json", error.to_string()))?;
        Ok(Self { by_basis: file.by_basis })
    }

    /// The probability that a verdict is right.
    pub(super) fn confidence(&self, basis: VerdictBasis, facts: &Facts) -> f64 {
        let Some(logistic) = self.by_basis.get(&basis) else { return CONFIDENCE_RANGE.0 };
        let sum = |negative: bool| self.contributions(basis, facts).map(|(_, by)| by).filter(|by| (*by < 0.0) == negative).sum::<f64>();
        // Raising facts count only up to the upper limit, so that a fact such as a missing parent span lowers the confidence of a rule that is
        // otherwise beyond doubt.
        let logit = (logistic.bias + sum(false)).min(logit(CONFIDENCE_RANGE.1)) + sum(true);
        let confidence = rounded((1.0 / (1.0 + (-logit).exp())).clamp(CONFIDENCE_RANGE.0, CONFIDENCE_RANGE.1));
        match basis {
            VerdictBasis::Nothing if facts.contains_key("rated_badly") => confidence.min(NEGATIVELY_RATED_CONFIDENCE_MAX),
            VerdictBasis::Dialogue => confidence.min(DIALOGUE_CONFIDENCE_MAX),
            VerdictBasis::Nothing | VerdictBasis::Rule => confidence,
        }
    }

    /// The contribution of each fact to the log odds.
    fn contributions<'s>(&'s self, basis: VerdictBasis, facts: &'s Facts) -> impl Iterator<Item = (&'static str, f64)> + 's {
        let weights = self.by_basis.get(&basis).map(|logistic| &logistic.weights);
        facts.iter().filter_map(move |(name, value)| Some((*name, weights?.get(*name)? * value)))
    }

    /// The facts that lowered the confidence noticeably, in words, strongest first.
    pub(super) fn lowering_facts(&self, basis: VerdictBasis, facts: &Facts) -> Vec<&'static str> {
        const NOTICEABLE: f64 = -0.25;
        let mut lowering: Vec<_> = self.contributions(basis, facts).filter(|(_, by)| *by < NOTICEABLE).collect();
        lowering.sort_by(|left, right| left.1.total_cmp(&right.1));
        let names = lowering.into_iter().map(|(name, _)| name);
        let rated = facts.get_key_value("rated_badly").filter(|_| basis == VerdictBasis::Nothing).map(|(name, _)| *name);
        rated.into_iter().chain(names).filter_map(describe).collect()
    }
}

/// A fact as a clause of a sentence.
fn describe(fact: &str) -> Option<&'static str> {
    Some(match fact {
        "last_resort" => "only a catch-all rule matched",
        "no_exception" => "no step reported an error",
        "no_message" => "the error has no message",
        "contested" => "another failure of the agent run has a different cause",
        "orphans" => "the parents of some spans are missing",
        "unfinished" => "some spans have no end time",
        "cycles" => "some spans form a cycle",
        "unnamed" => "some spans have no name",
        "unstructured" => "no span has attributes",
        "texts_missing" => "the model outputs were not recorded",
        "finish_reasons_missing" => "finish reasons were not recorded",
        "documents_missing" => "the retrieved documents were not recorded",
        "results_missing" => "tool results were not recorded",
        "rated_badly" => "the agent run was rated negatively",
        "dialogue" => "a long dialogue can fail without a visible error",
        "conversation" => "a conversation can fail without a visible error",
        "unexplained" => "the trace does not show what happened",
        "recovered" => "some steps failed before others succeeded",
        _ => return None,
    })
}

/// Facts that do not depend on the verdict: what the trace lacks, and how it was rated.
pub(super) fn trace_facts(trace: &Trace, tree: &SpanTree) -> Facts {
    let mut facts = Facts::new();
    let mut add = |name, applies: bool| {
        if applies {
            facts.insert(name, 1.0);
        }
    };
    add("orphans", tree.orphans > 0);
    add("unfinished", tree.unfinished > 0);
    add("cycles", tree.cycles > 0);
    add("unnamed", trace.spans.iter().any(|span| span.name.is_empty()));
    add("unstructured", trace.spans.iter().all(has_no_content));
    add("rated_badly", trace.spans.iter().flat_map(|span| &span.annotations).any(Annotation::is_negative));
    // A failed span often lacks its output because it failed, so only successful ones count.
    let successful = |kind: SpanKind| trace.spans.iter().filter(move |span| span.kind == kind && !span.failed());
    let lacks_output = |span: &Span| span.output.iter().all(|message| message.content.is_empty() && message.tool_calls.is_empty());
    add("texts_missing", successful(SpanKind::Llm).any(lacks_output));
    add("finish_reasons_missing", successful(SpanKind::Llm).any(|span| span.finish_reasons.is_empty()));
    add("documents_missing", successful(SpanKind::Retriever).any(|span| span.documents.is_none()));
    add("results_missing", successful(SpanKind::Tool).any(|span| span.tool.as_ref().is_none_or(|tool| tool.result.is_none())));
    facts
}

fn has_no_content(span: &Span) -> bool {
    let texts = [&span.input_text, &span.output_text];
    span.attributes.is_empty()
        && span.input.is_empty()
        && span.output.is_empty()
        && span.tool.is_none()
        && texts.iter().all(|text| text.is_none())
}

/// `confidence_rationale`: what decided, what lowered the confidence, and the notes on how the trace was delivered.
pub(super) fn rationale(basis: String, lowering_facts: &[&str], trace: &Trace) -> String {
    let mut rationale = basis;
    if !lowering_facts.is_empty() {
        // Writing to a string cannot fail.
        let _ = write!(rationale, " Lowered because {}.", lowering_facts.join("; "));
    }
    for note in &trace.notes {
        let _ = write!(rationale, " Note: {note}.");
    }
    rationale
}

/// Rounds to three decimals.
fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}

/// The log odds of a probability. Finite also for 0 and 1.
pub(super) fn logit(probability: f64) -> f64 {
    let p = probability.clamp(0.001, 0.999);
    (p / (1.0 - p)).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_calibration_covers_every_basis_and_stays_in_range() {
        let calibration = Calibration::shipped().unwrap();
        for basis in [VerdictBasis::Rule, VerdictBasis::Dialogue, VerdictBasis::Nothing] {
            assert!(calibration.by_basis.contains_key(&basis), "{}", basis.as_str());
            let confidence = calibration.confidence(basis, &Facts::from([("rule", 99.0), ("margin", 99.0)]));
            assert!((CONFIDENCE_RANGE.0..=CONFIDENCE_RANGE.1).contains(&confidence));
        }
        assert!(calibration.confidence(VerdictBasis::Dialogue, &Facts::from([("probability", 99.0)])) <= DIALOGUE_CONFIDENCE_MAX);
        // A missing parent lowers the confidence of a rule that is otherwise beyond doubt.
        let whole = Facts::from([("rule", 9.0)]);
        let orphaned = Facts::from([("rule", 9.0), ("orphans", 1.0)]);
        assert!(calibration.confidence(VerdictBasis::Rule, &orphaned) < calibration.confidence(VerdictBasis::Rule, &whole));
        let rated = calibration.confidence(VerdictBasis::Nothing, &Facts::from([("rated_badly", 1.0)]));
        assert!(rated <= NEGATIVELY_RATED_CONFIDENCE_MAX);
    }

    #[test]
    fn every_fact_with_a_negative_weight_has_a_description() {
        let calibration = Calibration::shipped().unwrap();
        for (basis, logistic) in &calibration.by_basis {
            for (name, weight) in logistic.weights.iter().filter(|(_, weight)| **weight < -0.3) {
                assert!(describe(name).is_some(), "{} {name} {weight}", basis.as_str());
            }
        }
    }
}
