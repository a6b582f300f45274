//! The rule catalogue: data in `rules/*.toml`, compiled in. `docs/rules.md` describes the format.

use std::collections::{BTreeMap, HashSet};
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::cases::Case;
use super::dialogue::{Sightings, SignalEntry, Signals, Weights};
use super::incidents::{Incident, IncidentKind};
use super::signals;
use crate::model::{Label, SpanKind, last_segment};
use crate::suggest;

/// The files, in the order in which rules of equal rank win.
pub(super) const FILES: [(&str, &str); 9] = [
    ("provider.toml", include_str!("rules/provider.toml")),
    ("context.toml", include_str!("rules/context.toml")),
    ("blocked.toml", include_str!("rules/blocked.toml")),
    ("tool.toml", include_str!("rules/tool.toml")),
    ("format.toml", include_str!("rules/format.toml")),
    ("retrieval.toml", include_str!("rules/retrieval.toml")),
    ("runaway.toml", include_str!("rules/runaway.toml")),
    ("environment.toml", include_str!("rules/environment.toml")),
    ("dialogue.toml", include_str!("rules/dialogue.toml")),
];

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what} in {file}: {reason}")]
pub struct RuleError {
    file: String,
    /// `rule tool-unknown`, `signal in_loop`, or `(file)`.
    what: String,
    reason: String,
}

impl RuleError {
    pub(super) fn new(file: impl Into<String>, what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), what: what.into(), reason: reason.into() }
    }
}

/// A file of rules, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct File {
    pub(super) rule: Vec<Entry>,
    pub(super) signal: Vec<SignalEntry>,
}

impl File {
    pub(super) fn read(name: &str, text: &str) -> Result<Self, RuleError> {
        toml::from_str(text).map_err(|error| RuleError::new(name, "(file)", suggest::toml_error(text, &error)))
    }
}

/// A rule as it stands in the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) id: String,
    label: String,
    #[serde(default)]
    incidents: Vec<String>,
    #[serde(default)]
    kinds: Vec<String>,
    #[serde(default)]
    error_types: Vec<String>,
    #[serde(default)]
    statuses: Vec<u16>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    signals: Vec<String>,
    #[serde(default)]
    unless: Vec<String>,
    /// Whether `data/fit/fit.py` fits weights for its signals.
    #[serde(default)]
    weighed: bool,
    /// For a weighed rule over dialogues: signals each of which is enough.
    #[serde(default)]
    alone: Vec<String>,
    /// Weights from which the fit starts.
    #[serde(default)]
    #[expect(dead_code, reason = "read by the fit; checked here for its shape")]
    expected: BTreeMap<String, f64>,
    #[serde(default = "default_rank")]
    rank: u32,
    #[serde(default)]
    own_cause: bool,
    confidence: f64,
    title: String,
    hypothesis: String,
    actions: Vec<String>,
    #[serde(default)]
    pub(super) case: Vec<Case>,
}

const fn default_rank() -> u32 {
    50
}

/// A rule, ready to match.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) label: Label,
    incidents: Vec<IncidentKind>,
    kinds: Vec<SpanKind>,
    error_types: Vec<String>,
    statuses: Vec<u16>,
    signals: Vec<String>,
    /// Of `Catalogue::texts`.
    text: Range<usize>,
    unless: Range<usize>,
    /// The same expressions as `text`, compiled when the rule is first quoted.
    expressions: LazyExpressions,
    rank: u32,
    /// The error is no consequence of errors below it.
    pub(super) own_cause: bool,
    pub(super) confidence: f64,
    pub(super) title: String,
    pub(super) hypothesis: String,
    pub(super) actions: Vec<String>,
    /// For a rule over dialogues: the signals each of which is enough, by index.
    dialogue: Vec<usize>,
}

/// A rule that fits, and how it came to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fit<'c> {
    pub(super) rule: &'c Rule,
    /// How many of the four things that a rule can ask for hold.
    pub(super) fired: u32,
}

impl Rule {
    /// Whether it asks for nothing beyond incident and kind: the last resort of its group.
    pub(super) fn is_last_resort(&self) -> bool {
        self.error_types.is_empty() && self.statuses.is_empty() && self.text.is_empty() && self.signals.is_empty()
    }

    /// Where in `text` the words stand that made the rule fire.
    pub(super) fn focus(&self, text: &str) -> Option<Range<usize>> {
        self.expressions.get().iter().find_map(|expression| expression.find(signals::clip(text))).map(|found| found.range())
    }

    /// How many of the things that the rule asks for hold; nothing where it does not fit.
    fn fired(&self, incident: &Incident<'_>, error_type: Option<&str>, matched: &HashSet<usize>) -> Option<u32> {
        if !self.incidents.contains(&incident.kind) || (!self.kinds.is_empty() && !self.kinds.contains(&incident.span_kind())) {
            return None;
        }
        if self.unless.clone().any(|index| matched.contains(&index)) {
            return None;
        }
        let typed = error_type.is_some_and(|kind| self.error_types.iter().any(|known| known == kind));
        let status = incident.status.is_some_and(|status| self.statuses.contains(&status));
        let said = self.text.clone().any(|index| matched.contains(&index));
        let signal = incident.signals.iter().any(|signal| self.signals.iter().any(|known| known.eq_ignore_ascii_case(&signal.text)));
        let fired = [typed, status, said, signal].into_iter().filter(|fired| *fired).count();
        (fired > 0 || self.is_last_resort()).then(|| u32::try_from(fired).unwrap_or(0))
    }
}

/// Expressions that most runs never need one by one.
#[derive(Debug)]
struct LazyExpressions {
    sources: Vec<String>,
    compiled: OnceLock<Vec<Regex>>,
}

impl LazyExpressions {
    fn get(&self) -> &[Regex] {
        // What does not compile has been refused when the catalogue's automaton was built.
        self.compiled.get_or_init(|| {
            self.sources.iter().filter_map(|source| RegexBuilder::new(source).case_insensitive(true).build().ok()).collect()
        })
    }
}

/// All rules, with one automaton over all their expressions, and what is known of dialogues.
#[derive(Debug)]
pub(super) struct Catalogue {
    rules: Vec<Rule>,
    texts: RegexSet,
    pub(super) signals: Signals,
    pub(super) weights: Weights,
}

impl Catalogue {
    /// The rules that failsift ships.
    #[cfg(test)]
    pub(super) fn shipped() -> Result<Self, RuleError> {
        Self::with(&[])
    }

    /// Whether a piece of text stands in the title, hypothesis or actions of a rule.
    pub(super) fn writes(&self, piece: &str) -> bool {
        let texts = |rule: &'_ Rule| rule.title.contains(piece) || rule.hypothesis.contains(piece);
        self.rules.iter().any(|rule| texts(rule) || rule.actions.iter().any(|action| action.contains(piece)))
    }

    /// The rules that failsift ships, with those of `(name, text)` files of the user: a rule or signal of a known id replaces it, others
    /// are added and come before shipped ones of equal standing.
    pub(super) fn with(files: &[(String, String)]) -> Result<Self, RuleError> {
        let users = files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let (mut entries, mut signals): (Vec<(String, Entry)>, Vec<SignalEntry>) = (Vec::new(), Vec::new());
        for (name, text) in users.chain(FILES) {
            let file = File::read(name, text)?;
            let mut own = HashSet::new();
            for entry in file.rule {
                if !own.insert(entry.id.clone()) {
                    return Err(RuleError::new(name, format!("rule {}", entry.id), "stands twice in this file"));
                }
                if entries.iter().all(|(_, known)| known.id != entry.id) {
                    entries.push((name.to_owned(), entry));
                }
            }
            signals.splice(0..0, file.signal);
        }
        let where_is = |id: &str| files.iter().find(|(_, text)| text.contains(id)).map_or("the shipped rules", |(name, _)| name);
        let signals =
            Signals::of(&signals).map_err(|error| RuleError::new(where_is(&error.id), format!("signal {}", error.id), error.reason))?;
        let (mut rules, mut texts) = (Vec::with_capacity(entries.len()), Vec::new());
        for (file, entry) in entries {
            let what = format!("rule {}", entry.id);
            rules.push(compile(entry, &mut texts, &signals).map_err(|reason| RuleError::new(file, what, reason))?);
        }
        let texts = RegexSetBuilder::new(&texts)
            .case_insensitive(true)
            .unicode(false)
            .size_limit(64 * 1024 * 1024)
            .dfa_size_limit(8 * 1024 * 1024)
            .build()
            .map_err(|error| RuleError::new("(all)", "(all)", error.to_string()))?;
        let weights = Weights::shipped(&signals).map_err(|reason| RuleError::new("weights.json", "(file)", reason))?;
        Ok(Self { rules, texts, signals, weights })
    }

    /// The rule that fits best; of equals the first.
    pub(super) fn best(&self, incident: &Incident<'_>) -> Option<Fit<'_>> {
        let mut matched = HashSet::new();
        for (_, text) in &incident.texts {
            matched.extend(self.texts.matches(signals::message_of(text).as_bytes()));
        }
        if let Some(kind) = &incident.error_type {
            matched.extend(self.texts.matches(kind.as_bytes()));
        }
        let error_type = incident.error_type.as_deref().map(|kind| last_segment(kind).to_ascii_lowercase());
        let fits = self.rules.iter().rev().filter_map(|rule| {
            let fired = rule.fired(incident, error_type.as_deref(), &matched)?;
            Some(Fit { rule, fired })
        });
        fits.max_by_key(|fit| (fit.rule.rank, fit.fired))
    }

    /// The rule that writes down what a dialogue shows of `label`.
    pub(super) fn of_dialogue(&self, label: Label) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.label == label && rule.incidents.contains(&IncidentKind::Dialogue))
    }

    /// Of the rules over dialogues of which a signal shows that is enough by itself the surest, with that signal.
    pub(super) fn explicit(&self, sightings: &Sightings) -> Option<(&Rule, usize)> {
        let fired = self
            .rules
            .iter()
            .rev()
            .filter_map(|rule| Some((rule, *rule.dialogue.iter().find(|signal| sightings.get(**signal).is_some())?)));
        fired.max_by(|left, right| left.0.confidence.total_cmp(&right.0.confidence))
    }

    #[cfg(test)]
    pub(super) fn labels(&self) -> HashSet<Label> {
        self.rules.iter().map(|rule| rule.label).collect()
    }
}

fn compile(entry: Entry, texts: &mut Vec<String>, known: &Signals) -> Result<Rule, String> {
    let label = Label::parse(&entry.label).map_err(|error| error.to_string())?;
    let incidents = if entry.incidents.is_empty() { vec!["error".to_owned()] } else { entry.incidents };
    let incidents = incidents
        .iter()
        .map(|word| incident_kind(word).ok_or_else(|| format!("{word:?} is no kind of incident; {INCIDENTS}")))
        .collect::<Result<Vec<_>, _>>()?;
    let mut dialogue = Vec::new();
    if incidents.contains(&IncidentKind::Dialogue) {
        if incidents.len() > 1 || entry.signals.is_empty() {
            return Err("a rule over dialogues has incidents = [\"dialogue\"] alone, and names signals".into());
        }
        for id in entry.signals.iter().chain(&entry.alone) {
            let signal = known.index(id).ok_or_else(|| format!("{id:?} is no signal of a dialogue"))?;
            if !entry.weighed || entry.alone.contains(id) {
                dialogue.push(signal);
            }
        }
    }
    let kinds = entry
        .kinds
        .iter()
        .map(|word| SpanKind::from_word(word).ok_or_else(|| format!("{word:?} is no kind of span")))
        .collect::<Result<_, _>>()?;
    if entry.actions.is_empty() || entry.actions.iter().any(String::is_empty) {
        return Err("a rule needs at least one action".into());
    }
    if !(0.0..=1.0).contains(&entry.confidence) {
        return Err(format!("confidence {} is not between 0 and 1", entry.confidence));
    }
    for text in entry.text.iter().chain(&entry.unless) {
        RegexBuilder::new(text).build().map_err(|error| format!("{text:?} is no expression: {error}"))?;
    }
    let mut add = |expressions: Vec<String>| {
        let start = texts.len();
        texts.extend(expressions);
        start..texts.len()
    };
    let expressions = LazyExpressions { sources: entry.text.clone(), compiled: OnceLock::new() };
    Ok(Rule {
        id: entry.id,
        label,
        incidents,
        kinds,
        error_types: entry.error_types.iter().map(|kind| last_segment(kind).to_ascii_lowercase()).collect(),
        statuses: entry.statuses,
        signals: entry.signals,
        text: add(entry.text),
        unless: add(entry.unless),
        expressions,
        rank: entry.rank,
        own_cause: entry.own_cause,
        confidence: entry.confidence,
        title: entry.title,
        hypothesis: entry.hypothesis,
        actions: entry.actions,
        dialogue,
    })
}

/// For error messages.
const INCIDENTS: &str =
    "there are error, finish_reason, refusal, empty_output, empty_retrieval, low_scores, tool_result, repeated_calls and dialogue";

fn incident_kind(word: &str) -> Option<IncidentKind> {
    use IncidentKind::{Dialogue, EmptyOutput, EmptyRetrieval, Error, FinishReason, LowScores, Refusal, RepeatedCalls, ToolResult};
    [Error, FinishReason, Refusal, EmptyOutput, EmptyRetrieval, LowScores, ToolResult, RepeatedCalls, Dialogue]
        .into_iter()
        .find(|kind| kind.as_str() == word)
}
