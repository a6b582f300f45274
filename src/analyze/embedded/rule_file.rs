//! The format of rule files, as `docs/rules.md` describes it: what serde reads from TOML, and the error for a rule that cannot be used.
//!
//! Names of keys are part of the format. Fields with a clearer name are mapped by `serde(rename)`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::dialogue::SignalEntry;
use crate::messages;

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {file}: {reason}", item.as_ref().map_or_else(|| "invalid rule file".to_owned(), |item| format!("{item} in")))]
pub struct RuleError {
    file: String,
    /// `rule tool-unknown` or `signal in_loop`; `None` for an error of the whole file.
    item: Option<String>,
    reason: String,
}

impl RuleError {
    pub(super) fn new(file: impl Into<String>, item: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), item: Some(item.into()), reason: reason.into() }
    }

    pub(super) fn of_file(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), item: None, reason: reason.into() }
    }
}

/// A rule file.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RuleFile {
    #[serde(rename = "rule")]
    pub(super) rules: Vec<RuleEntry>,
    #[serde(rename = "signal")]
    pub(super) signals: Vec<SignalEntry>,
}

impl RuleFile {
    pub(super) fn parse(name: &str, text: &str) -> Result<Self, RuleError> {
        toml::from_str(text).map_err(|error| RuleError::of_file(name, messages::toml_error(text, &error)))
    }
}

/// A `[[rule]]` of a file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleEntry {
    pub(super) id: String,
    pub(super) label: String,
    #[serde(default)]
    pub(super) incidents: Vec<String>,
    #[serde(default)]
    pub(super) kinds: Vec<String>,
    #[serde(default)]
    pub(super) error_types: Vec<String>,
    #[serde(default)]
    pub(super) statuses: Vec<u16>,
    #[serde(default)]
    pub(super) text: Vec<String>,
    #[serde(default)]
    pub(super) signals: Vec<String>,
    #[serde(default)]
    pub(super) unless: Vec<String>,
    /// Whether `data/fit/fit.py` fits weights for the rule's signals.
    #[serde(default, rename = "weighed")]
    pub(super) weighted: bool,
    /// Signals of a weighted dialogue rule, each of which is sufficient without weights.
    #[serde(default, rename = "alone")]
    pub(super) standalone_signals: Vec<String>,
    /// Starting points of the fit.
    #[serde(default)]
    #[expect(dead_code, reason = "read by the fit; only its type is checked here")]
    expected: BTreeMap<String, f64>,
    #[serde(default = "default_rank")]
    pub(super) rank: u32,
    #[serde(default)]
    pub(super) own_cause: bool,
    pub(super) confidence: f64,
    pub(super) title: String,
    pub(super) hypothesis: String,
    pub(super) actions: Vec<String>,
    /// Names of facts.
    #[serde(default)]
    pub(super) wants: Vec<String>,
    #[serde(default, rename = "case")]
    pub(super) cases: Vec<Case>,
}

const fn default_rank() -> u32 {
    50
}

/// A sample that a rule must win or must not win: one step of a run, or a dialogue.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// Span kind of the step.
    #[serde(default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) error_type: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) finish_reason: String,
    /// The model's answer.
    #[serde(default)]
    pub(super) output: Option<String>,
    /// Tools that the model was offered.
    #[serde(default)]
    pub(super) offered: Vec<String>,
    /// The tool that the model calls.
    #[serde(default)]
    pub(super) calls: Option<String>,
    /// The arguments of the tool call, as JSON.
    #[serde(default)]
    pub(super) arguments: String,
    /// The tool's result.
    #[serde(default)]
    pub(super) result: Option<String>,
    /// The retrieved documents.
    #[serde(default)]
    pub(super) documents: Option<Vec<String>>,
    /// The retriever's query.
    #[serde(default)]
    pub(super) query: String,
    /// How often the step is repeated.
    #[serde(default = "default_times")]
    pub(super) times: usize,
    /// A dialogue instead of a step.
    #[serde(default)]
    pub(super) messages: Vec<CaseMessage>,
    /// Whether the rule must name the failure.
    pub(super) wins: bool,
}

const fn default_times() -> usize {
    1
}

/// A turn of a dialogue case.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseMessage {
    /// `user`, `system`, `tool`, or the name of an agent.
    #[serde(rename = "who")]
    pub(super) speaker: String,
    #[serde(default, rename = "says")]
    pub(super) content: String,
    /// The tool that the agent calls.
    #[serde(default)]
    pub(super) calls: Option<String>,
}
