//! Ranks the labels that the signals of a dialogue indicate: a log-linear model, fitted on labelled runs by `data/fit/fit.py`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::signals::{SignalMatches, SignalSet};
use crate::model::Label;

/// The format of `weights.json`, which `data/fit/fit.py` writes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// The data of the fit, for readers.
    #[serde(rename = "provenance")]
    _provenance: serde_json::Value,
    /// Weight of the probability of a label's category against that of the label itself.
    #[serde(rename = "category_first")]
    category_weight: f64,
    labels: BTreeMap<String, LabelEntry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelEntry {
    bias: f64,
    weights: BTreeMap<String, f64>,
}

/// The model, with signals referenced by index.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Weights {
    category_weight: f64,
    labels: Vec<LabelWeights>,
}

/// The weights of one label.
#[derive(Debug)]
struct LabelWeights {
    label: Label,
    bias: f64,
    /// `(signal, weight)`.
    weights: Vec<(usize, f64)>,
}

/// A label with its probability and score.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct RankedLabel {
    pub(in crate::analyze::embedded) label: Label,
    /// Before calibration.
    pub(in crate::analyze::embedded) probability: f64,
    /// Labels are ordered by this: first by the likely category, then by the likely factor within it.
    pub(in crate::analyze::embedded) score: f64,
    /// `(signal, weight)` of the matched signals that raise the probability, strongest first.
    pub(in crate::analyze::embedded) supporting_signals: Vec<(usize, f64)>,
}

impl Weights {
    /// The shipped weights.
    ///
    /// # Errors
    /// The reason why the file is invalid, which a test rules out.
    pub(in crate::analyze::embedded) fn shipped(signals: &SignalSet) -> Result<Self, String> {
        Self::read(include_str!("../weights.json"), signals)
    }

    fn read(text: &str, signals: &SignalSet) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut labels = Vec::with_capacity(file.labels.len());
        for (name, entry) in file.labels {
            let label = Label::parse(&name).map_err(|error| error.to_string())?;
            // A signal that a user's file replaces keeps its weight. An unknown one is ignored.
            let weights = entry.weights.iter().filter_map(|(id, weight)| Some((signals.index(id)?, *weight))).collect();
            labels.push(LabelWeights { label, bias: entry.bias, weights });
        }
        Ok(Self { category_weight: file.category_weight, labels })
    }

    /// Every label, most likely first.
    pub(in crate::analyze::embedded) fn rank(&self, matches: &SignalMatches) -> Vec<RankedLabel> {
        let is_matched = |(signal, _): &&(usize, f64)| matches.get(*signal).is_some();
        let logit = |label: &LabelWeights| label.bias + label.weights.iter().filter(is_matched).map(|(_, weight)| weight).sum::<f64>();
        let logits: Vec<f64> = self.labels.iter().map(logit).collect();
        // Softmax, shifted by the largest logit so that `exp` cannot overflow.
        let largest = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|logit| (logit - largest).exp()).sum();
        let probabilities: Vec<f64> = logits.iter().map(|logit| (logit - largest).exp() / total).collect();
        let mut category_probabilities: BTreeMap<&str, f64> = BTreeMap::new();
        for (weights, probability) in self.labels.iter().zip(&probabilities) {
            *category_probabilities.entry(weights.label.category()).or_default() += probability;
        }
        let mut ranked: Vec<RankedLabel> = self
            .labels
            .iter()
            .zip(&probabilities)
            .map(|(LabelWeights { label, weights, .. }, probability)| {
                let mut supporting_signals: Vec<(usize, f64)> =
                    weights.iter().filter(is_matched).filter(|(_, weight)| *weight > 0.0).copied().collect();
                supporting_signals.sort_by(|left, right| right.1.total_cmp(&left.1));
                let score = probability + self.category_weight * category_probabilities.get(label.category()).copied().unwrap_or_default();
                RankedLabel { label: *label, probability: *probability, score, supporting_signals }
            })
            .collect();
        ranked.sort_by(|left, right| right.score.total_cmp(&left.score));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::RuleSet;
    use super::*;

    /// A renamed signal or rule would silently lose its weight.
    #[test]
    fn every_weight_belongs_to_a_signal_and_a_rule() {
        let catalogue = RuleSet::shipped().unwrap();
        let file: File = serde_json::from_str(include_str!("../weights.json")).unwrap();
        assert!(file.labels.len() > 10);
        for (label, entry) in &file.labels {
            assert!(catalogue.dialogue_rule(Label::parse(label).unwrap()).is_some(), "{label} has no rule");
            for id in entry.weights.keys() {
                assert!(catalogue.signals.index(id).is_some(), "{id} of {label} is not a signal");
            }
        }
    }

    #[test]
    fn a_weight_counts_only_if_its_signal_matches() {
        let catalogue = RuleSet::shipped().unwrap();
        let text = r#"{"provenance": null, "category_first": 0, "labels": {
            "planning_failure/goal_deviation": {"bias": 0, "weights": {"robot_wall": 5}},
            "hallucination/fabricated_fact": {"bias": 1, "weights": {}}}}"#;
        let weights = Weights::read(text, &catalogue.signals).unwrap();
        let wall = catalogue.signals.index("robot_wall").unwrap();
        let first = |matched: &[usize]| {
            let ranked = weights.rank(&SignalMatches::of(matched, wall + 1));
            (ranked[0].label.factor(), ranked[0].supporting_signals.clone())
        };
        assert_eq!(first(&[]), ("fabricated_fact", vec![]));
        assert_eq!(first(&[wall]), ("goal_deviation", vec![(wall, 5.0)]));
    }
}
