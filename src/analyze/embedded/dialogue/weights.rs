//! Which failure the signals of a dialogue make likely: a log-linear model, fitted on labelled runs by `data/fit/fit.py`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Sightings, Signals};
use crate::model::Label;

/// The file as `data/fit/fit.py` writes it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// What it was fitted on, for people.
    #[serde(rename = "provenance")]
    _provenance: serde_json::Value,
    /// How much the choice of a category counts against that of a factor in it.
    category_first: f64,
    labels: BTreeMap<String, Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    bias: f64,
    weights: BTreeMap<String, f64>,
}

/// The model, with signals by index.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Weights {
    category_first: f64,
    labels: Vec<Weighed>,
}

/// What speaks for one label.
#[derive(Debug)]
struct Weighed {
    label: Label,
    bias: f64,
    /// By index of the signal.
    weights: Vec<(usize, f64)>,
}

/// A label with its probability.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Ranked {
    pub(in crate::analyze::embedded) label: Label,
    /// Before calibration.
    pub(in crate::analyze::embedded) probability: f64,
    /// What the labels are ordered by: a likely category first, in it a likely factor.
    pub(in crate::analyze::embedded) score: f64,
    /// Signals that speak for it, the strongest first, with their weights.
    pub(in crate::analyze::embedded) reasons: Vec<(usize, f64)>,
}

impl Weights {
    /// Reads the weights that failsift ships.
    ///
    /// # Errors
    /// What does not fit, which a test rules out.
    pub(in crate::analyze::embedded) fn shipped(signals: &Signals) -> Result<Self, String> {
        Self::read(include_str!("../weights.json"), signals)
    }

    fn read(text: &str, signals: &Signals) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let mut labels = Vec::with_capacity(file.labels.len());
        for (name, entry) in file.labels {
            let label = Label::parse(&name).map_err(|error| error.to_string())?;
            // A signal that a user's file has replaced keeps its weight; one that is gone has none.
            let weights = entry.weights.iter().filter_map(|(id, weight)| Some((signals.index(id)?, *weight))).collect();
            labels.push(Weighed { label, bias: entry.bias, weights });
        }
        Ok(Self { category_first: file.category_first, labels })
    }

    /// Every label, the likeliest first.
    pub(in crate::analyze::embedded) fn rank(&self, sightings: &Sightings) -> Vec<Ranked> {
        let shows = |(signal, _): &&(usize, f64)| sightings.get(*signal).is_some();
        let logit = |of: &Weighed| of.bias + of.weights.iter().filter(shows).map(|(_, weight)| weight).sum::<f64>();
        let logits: Vec<f64> = self.labels.iter().map(logit).collect();
        let top = logits.iter().copied().fold(f64::MIN, f64::max);
        let total: f64 = logits.iter().map(|logit| (logit - top).exp()).sum();
        let probabilities: Vec<f64> = logits.iter().map(|logit| (logit - top).exp() / total).collect();
        let mut of_category: BTreeMap<&str, f64> = BTreeMap::new();
        for (of, probability) in self.labels.iter().zip(&probabilities) {
            *of_category.entry(of.label.category()).or_default() += probability;
        }
        let mut ranked: Vec<Ranked> = self
            .labels
            .iter()
            .zip(&probabilities)
            .map(|(Weighed { label, weights, .. }, probability)| {
                let mut reasons: Vec<(usize, f64)> = weights.iter().filter(shows).filter(|(_, weight)| *weight > 0.0).copied().collect();
                reasons.sort_by(|left, right| right.1.total_cmp(&left.1));
                let score = probability + self.category_first * of_category.get(label.category()).copied().unwrap_or_default();
                Ranked { label: *label, probability: *probability, score, reasons }
            })
            .collect();
        ranked.sort_by(|left, right| right.score.total_cmp(&left.score));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::rules::Catalogue;
    use super::*;

    /// A renamed signal or rule would silently lose its weight.
    #[test]
    fn every_weight_belongs_to_a_signal_and_to_a_rule() {
        let catalogue = Catalogue::shipped().unwrap();
        let file: File = serde_json::from_str(include_str!("../weights.json")).unwrap();
        assert!(file.labels.len() > 10);
        for (label, entry) in &file.labels {
            assert!(catalogue.of_dialogue(Label::parse(label).unwrap()).is_some(), "{label} has no rule");
            for id in entry.weights.keys() {
                assert!(catalogue.signals.index(id).is_some(), "{id} of {label} is no signal");
            }
        }
    }

    #[test]
    fn a_weight_counts_only_where_its_signal_shows() {
        let catalogue = Catalogue::shipped().unwrap();
        let text = r#"{"provenance": null, "category_first": 0, "labels": {
            "planning_failure/goal_deviation": {"bias": 0, "weights": {"robot_wall": 5}},
            "hallucination/fabricated_fact": {"bias": 1, "weights": {}}}}"#;
        let weights = Weights::read(text, &catalogue.signals).unwrap();
        let wall = catalogue.signals.index("robot_wall").unwrap();
        let first = |shown: &[usize]| {
            let ranked = weights.rank(&Sightings::of(shown, wall + 1));
            (ranked[0].label.factor(), ranked[0].reasons.clone())
        };
        assert_eq!(first(&[]), ("fabricated_fact", vec![]));
        assert_eq!(first(&[wall]), ("goal_deviation", vec![(wall, 5.0)]));
    }
}
