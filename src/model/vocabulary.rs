//! The controlled vocabulary of categories and contributing factors, read from the embedded `schemas/pattern.schema.json`.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

/// A category with one of its contributing factors. Only labels of the schema can be constructed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Label {
    category: &'static str,
    factor: &'static str,
}

/// A label that is not in the vocabulary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown label {0:?}: not a category/contributing_factor of the vocabulary")]
pub struct UnknownLabel(pub String);

impl Label {
    /// Looks up `category/contributing_factor`.
    ///
    /// # Errors
    /// [`UnknownLabel`] if the schema does not define this pair.
    pub fn parse(text: &str) -> Result<Self, UnknownLabel> {
        let unknown = || UnknownLabel(text.to_owned());
        let (category, factor) = text.split_once('/').ok_or_else(unknown)?;
        let (category, factors) = vocabulary().get_key_value(category).ok_or_else(unknown)?;
        let factor = factors.iter().find(|known| **known == factor).ok_or_else(unknown)?;
        Ok(Self { category, factor })
    }

    /// The label of a healthy trace.
    pub const NO_FAILURE_FOUND: Self = Self { category: "unclassified", factor: "no_failure_found" };

    /// The label of a failed trace that does not show the cause.
    pub const INSUFFICIENT_EVIDENCE: Self = Self { category: "unclassified", factor: "insufficient_evidence" };

    /// Whether the label means that nothing failed.
    pub fn is_healthy(self) -> bool {
        self == Self::NO_FAILURE_FOUND
    }

    /// The category.
    pub fn category(self) -> &'static str {
        self.category
    }

    /// The contributing factor.
    pub fn factor(self) -> &'static str {
        self.factor
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.category, self.factor)
    }
}

/// Every category with its contributing factors, from the schema's `allOf` rules.
pub fn vocabulary() -> &'static BTreeMap<&'static str, Vec<&'static str>> {
    static VOCABULARY: LazyLock<BTreeMap<&'static str, Vec<&'static str>>> = LazyLock::new(|| {
        let schema: &'static Value = Box::leak(Box::new(crate::schemas::pattern().clone()));
        let rules = schema.get("allOf").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        rules
            .iter()
            .filter_map(|rule| {
                let category = rule.pointer("/if/properties/category/const")?.as_str()?;
                let factors = rule.pointer("/then/properties/contributing_factor/enum")?.as_array()?;
                Some((category, factors.iter().filter_map(Value::as_str).collect()))
            })
            .collect()
    });
    &VOCABULARY
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_defines_the_whole_vocabulary() {
        assert_eq!(vocabulary().len(), 14);
        assert_eq!(vocabulary().values().map(Vec::len).sum::<usize>(), 63);
        let enumerated = crate::schemas::pattern()["properties"]["category"]["enum"].as_array().unwrap();
        assert_eq!(enumerated.len(), 14);
    }

    #[test]
    fn labels_outside_the_vocabulary_are_rejected() {
        assert_eq!(Label::parse("provider_error/rate_limited").unwrap().to_string(), "provider_error/rate_limited");
        assert!(Label::parse("provider_error/tool_timeout").is_err());
        assert!(Label::parse("nonsense").is_err());
    }
}
