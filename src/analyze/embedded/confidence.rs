//! Computes the confidence of a verdict. In: facts about it. Out: the probability that its category and factor are right.
//!
//! The weights are fitted on labelled traces by `data/fit/fit.py`, which also cross-validates them. `calibration.json` contains them with their
//! provenance.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Deserialize;

use super::rule_file::RuleError;
use super::tree::SpanTree;
use crate::model::{Annotation, Coverage, FinishReason, Part, Span, SpanKind, Trace};

/// Facts about a verdict by name. The value of a fact without a number is 1.
pub(super) type Facts = BTreeMap<&'static str, f64>;

/// What a verdict is based on. Each basis has its own calibration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VerdictBasis {
    /// A rule that matched an incident.
    Rule,
    /// A class or code of the catalogue of errors, or a status.
    Catalogue,
    /// The words of an error, weighed by the text model.
    TextModel,
    /// A statement in the dialogue.
    Dialogue,
    /// A suspicion that the dialogue raises. The probability is that of the suspected label.
    Suspicion,
    /// Nothing: no failure was found, or no explanation for it.
    Nothing,
}

impl VerdictBasis {
    /// The word in `calibration.json` and in the output of `eval --explain`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rule => "rule",
            Self::Catalogue => "catalogue",
            Self::TextModel => "text_model",
            Self::Dialogue => "dialogue",
            Self::Suspicion => "suspicion",
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

/// Limit for "no failure found" if nothing in the trace backs the final answer: a fluent answer may be wrong. Of answers to questions of general
/// knowledge that people checked, one in four to one in two has a wrong fact (`HaluEval`).
const NOT_BACKED_CONFIDENCE_MAX: f64 = 0.75;

/// Limit for "no failure found" if failsift could not read what a step returned, or found no answer.
const NOT_READ_CONFIDENCE_MAX: f64 = 0.6;

/// Limit for a verdict based on the dialogue alone. Of the most confident verdicts on runs that people labelled, 3 in 4 are right.
const DIALOGUE_CONFIDENCE_MAX: f64 = 0.75;

/// Limit for a suspicion. Nothing that the dialogue of a run suggests was right more often than not on runs of another kind.
pub(super) const SUSPICION_CONFIDENCE_MAX: f64 = 0.49;

/// Facts that limit the confidence of "no failure found". Few labelled traces have them, so their effect cannot be fitted.
const NO_FAILURE_LIMITS: [(&str, f64); 6] = [
    ("rated_badly", NEGATIVELY_RATED_CONFIDENCE_MAX),
    ("outputs_not_understood", NOT_READ_CONFIDENCE_MAX),
    ("nothing_read", NOT_READ_CONFIDENCE_MAX),
    ("no_answer", NOT_READ_CONFIDENCE_MAX),
    ("answer_not_backed", NOT_BACKED_CONFIDENCE_MAX),
    ("answer_not_comparable", NOT_BACKED_CONFIDENCE_MAX),
];

/// Facts that limit the confidence of a failure.
const FAILURE_LIMITS: [(&str, f64); 1] = [("goes_on", 0.75)];

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
        let confidence = limits(basis, facts).fold(confidence, |confidence, (_, limit)| confidence.min(limit));
        match basis {
            VerdictBasis::Dialogue => confidence.min(DIALOGUE_CONFIDENCE_MAX),
            VerdictBasis::Suspicion => confidence.min(SUSPICION_CONFIDENCE_MAX),
            _ => confidence,
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
        let mut names: Vec<&str> = limits(basis, facts).map(|(fact, _)| fact).chain(names).collect();
        // A conversation has several turns.
        if names.contains(&"conversation") {
            names.retain(|name| *name != "dialogue");
        }
        names.into_iter().filter_map(describe).collect()
    }
}

/// The facts that limit the confidence of a verdict, with their limits.
fn limits(basis: VerdictBasis, facts: &Facts) -> impl Iterator<Item = (&'static str, f64)> {
    let limits: &[(&str, f64)] = if basis == VerdictBasis::Nothing { &NO_FAILURE_LIMITS } else { &FAILURE_LIMITS };
    limits.iter().filter(|(fact, _)| facts.contains_key(fact)).copied()
}

/// A fact as a clause of a sentence.
fn describe(fact: &str) -> Option<&'static str> {
    Some(match fact {
        "last_resort" => "only a catch-all rule matched",
        "no_exception" => "no step reported an error",
        "no_message" => "the error has no message",
        "disputed" => "the error has another sign that means something else",
        "name_suffix" => "the class of the error is known only by the end of its name",
        "base" => "the class of the error is known only by its base class",
        "status" => "only the status says what happened",
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
        "goes_on" => "the model called another tool after the failure, and the trace ends there",
        "outputs_not_understood" => "what some steps returned is recorded in a form that failsift does not understand",
        "nothing_read" => "neither an answer nor a tool result was recorded",
        "no_answer" => "the trace has no final answer",
        "answer_not_backed" => "the numbers of the final answer are in no tool result, document or prompt of the trace",
        "answer_not_comparable" => "the final answer could not be compared with a source in the trace",
        "results_not_understood" => "some tool results are recorded in a form that failsift does not understand",
        "finish_reasons_not_understood" => "some finish reasons are not known",
        "rated_badly" => "the agent run was rated negatively",
        "dialogue" => "a run of several turns can fail without a visible error",
        "conversation" => "a conversation can fail without a visible error",
        "dialogue_length" => "long runs fail more often than short ones",
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
    let is_unread = |span: &Span, part: Part| !span.failed() && span.coverage(part) == Coverage::NotUnderstood;
    let unread =
        |kinds: &'static [SpanKind], part: Part| trace.spans.iter().any(|span| kinds.contains(&span.kind) && is_unread(span, part));
    add("outputs_not_understood", unread(&[SpanKind::Llm], Part::Output));
    add("results_not_understood", unread(&[SpanKind::Tool, SpanKind::Retriever], Part::Output));
    add("finish_reasons_not_understood", successful(SpanKind::Llm).any(has_unknown_finish_reason));
    add("results_missing", successful(SpanKind::Tool).any(|span| span.tool.as_ref().is_none_or(|tool| tool.result.is_none())));
    facts
}

/// Whether the model stopped for a reason that failsift does not know.
fn has_unknown_finish_reason(span: &Span) -> bool {
    span.coverage(Part::FinishReason) == Coverage::NotUnderstood
        || span.finish_reasons.last().is_some_and(|word| FinishReason::from_word(word).is_none())
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
        for basis in [
            VerdictBasis::Rule,
            VerdictBasis::Catalogue,
            VerdictBasis::TextModel,
            VerdictBasis::Dialogue,
            VerdictBasis::Suspicion,
            VerdictBasis::Nothing,
        ] {
            assert!(calibration.by_basis.contains_key(&basis), "{}", basis.as_str());
            let confidence = calibration.confidence(basis, &Facts::from([("rule", 99.0), ("margin", 99.0)]));
            assert!((CONFIDENCE_RANGE.0..=CONFIDENCE_RANGE.1).contains(&confidence));
        }
        assert!(calibration.confidence(VerdictBasis::Dialogue, &Facts::from([("probability", 99.0)])) <= DIALOGUE_CONFIDENCE_MAX);
        assert!(calibration.confidence(VerdictBasis::Suspicion, &Facts::from([("probability", 99.0)])) <= SUSPICION_CONFIDENCE_MAX);
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
