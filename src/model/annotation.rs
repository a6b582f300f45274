//! Ratings of spans and traces, by people and evaluators.

use serde::{Deserialize, Serialize};

/// A rating of a span or of a trace, by a person, a program or a model.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Annotation {
    /// The rated property: `user_score`, `answer_quality`.
    pub name: String,
    /// `bad`, `thumbs_down` …
    pub label: Option<String>,
    /// A number on the rater's scale.
    pub score: Option<f64>,
    /// The rater's explanation.
    pub comment: Option<String>,
}

impl Annotation {
    /// Whether the rating is negative: it has a negative label or, without a label, a score of at most 0 on a scale where more is better.
    pub fn is_negative(&self) -> bool {
        const NEGATIVE_LABELS: [&str; 22] = [
            "bad",
            "fail",
            "failed",
            "failure",
            "false",
            "hallucinated",
            "incorrect",
            "irrelevant",
            "negative",
            "no",
            "not_helpful",
            "poor",
            "refusal",
            "rejected",
            "thumbs-down",
            "thumbs_down",
            "toxic",
            "unacceptable",
            "unfaithful",
            "unhelpful",
            "unrelated",
            "wrong",
        ];
        // Parts of names such as `answer_quality`. A `toxicity` of 0 is good, so other names do not count.
        const MORE_IS_BETTER: [&str; 14] = [
            "accura", "correct", "faithful", "feedback", "ground", "helpful", "quality", "rating", "relevan", "satisf", "score", "success",
            "thumb", "user",
        ];
        if let Some(label) = &self.label {
            return NEGATIVE_LABELS.contains(&label.trim().to_lowercase().as_str());
        }
        let name = self.name.to_lowercase();
        self.score.is_some_and(|score| score <= 0.0) && MORE_IS_BETTER.iter().any(|part| name.contains(part))
    }
}

impl std::fmt::Display for Annotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        match (&self.label, self.score) {
            (Some(label), _) => write!(f, "={label}"),
            (None, Some(score)) => write!(f, "={score}"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_negative_by_label_or_by_score() {
        let negative = |name: &str, label: Option<&str>, score: Option<f64>| {
            Annotation { name: name.into(), label: label.map(str::to_owned), score, comment: None }.is_negative()
        };
        assert!(negative("answer_quality", Some("Bad"), Some(1.0)) && negative("user_score", None, Some(0.0)));
        assert!(!negative("answer_quality", Some("good"), Some(0.0)) && !negative("user_score", None, Some(1.0)));
        // No toxicity is good.
        assert!(!negative("toxicity", None, Some(0.0)));
    }
}
