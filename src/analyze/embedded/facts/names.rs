//! Names and units of facts.

/// A name of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyze::embedded) struct FactName {
    /// As in the table and in placeholders of rules: `limit_tokens`.
    pub(in crate::analyze::embedded) name: &'static str,
    /// The unit of its value.
    pub(in crate::analyze::embedded) unit: Unit,
    /// What it is, as a noun phrase with an article: `the limit of tokens`. For documentation, and to say what was not recorded.
    pub(in crate::analyze::embedded) says: &'static str,
}

/// The unit of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyze::embedded) enum Unit {
    /// A text.
    Text,
    /// A number of things.
    Count,
    Tokens,
    Milliseconds,
    Bytes,
    /// 0 to 100.
    Percent,
    Dollars,
    /// A number without a unit, such as a score.
    Number,
}

impl Unit {
    /// The word in the column `unit`.
    pub(in crate::analyze::embedded) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::Text | Self::Count | Self::Number => None,
            Self::Tokens => Some("tokens"),
            Self::Milliseconds => Some("ms"),
            Self::Bytes => Some("bytes"),
            Self::Percent => Some("percent"),
            Self::Dollars => Some("usd"),
        }
    }
}

/// Declares the facts of an extractor: constants in capitals, with their unit and what they are, and `NAMES` with all of them.
macro_rules! fact_names {
    ($($constant:ident = $name:literal, $unit:ident, $says:literal;)*) => {
        $(pub(in crate::analyze::embedded) const $constant: $crate::analyze::embedded::facts::FactName =
            $crate::analyze::embedded::facts::FactName {
                name: $name,
                unit: $crate::analyze::embedded::facts::Unit::$unit,
                says: $says,
            };)*
        /// All facts of this extractor.
        pub(super) const NAMES: &[&$crate::analyze::embedded::facts::FactName] = &[$(&$constant),*];
    };
}
pub(super) use fact_names;
