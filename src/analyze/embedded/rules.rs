//! The rule catalogue: compiles the rules of `rules/*.toml` and of the user's files, and finds the rule that fits an incident or a dialogue best.
//!
//! Knows nothing of traces as a whole or of drafts.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use regex::{Regex, RegexBuilder};

use super::dialogue::{SignalEntry, SignalMatches, SignalSet, Weights};
use super::facts::{FactName, fact_name};
use super::incident::{Incident, IncidentKind};
use super::rule_file::{RuleEntry, RuleError, RuleFile};
use super::template::Template;
use super::text::{clip, expression_problem, message_of};
use crate::model::{FinishReason, Label, SpanKind, last_segment};

/// Version of the catalogue, in the `model` column.
pub(crate) const RULES_VERSION: &str = "rules-3";

/// `(name, text)` of the shipped files. Among rules of equal rank the first wins.
pub(super) const FILES: [(&str, &str); 10] = [
    ("provider.toml", include_str!("rules/provider.toml")),
    ("context.toml", include_str!("rules/context.toml")),
    ("blocked.toml", include_str!("rules/blocked.toml")),
    ("tool.toml", include_str!("rules/tool.toml")),
    ("format.toml", include_str!("rules/format.toml")),
    ("retrieval.toml", include_str!("rules/retrieval.toml")),
    ("planning.toml", include_str!("rules/planning.toml")),
    ("runaway.toml", include_str!("rules/runaway.toml")),
    ("environment.toml", include_str!("rules/environment.toml")),
    ("dialogue.toml", include_str!("rules/dialogue.toml")),
];

/// Rules of last resort have lower ranks. Between them and the others are matches of a status alone.
const STATUS_RANK: u32 = 10;

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) id: String,
    pub(super) label: Label,
    incidents: Vec<IncidentKind>,
    kinds: Vec<SpanKind>,
    /// Last segments, in lower case.
    error_types: Vec<String>,
    statuses: Vec<u16>,
    signals: Vec<String>,
    /// Indexes of `text` in `RuleSet::expressions`.
    text: Range<usize>,
    /// Indexes of `unless` in `RuleSet::expressions`.
    unless: Range<usize>,
    /// The expressions of `text` again, each of them alone, to find the range of a match.
    text_expressions: LazyExpressions,
    rank: u32,
    /// Whether it is a rule of the user, which wins against what else failsift knows about errors.
    is_users: bool,
    /// Whether the error is not a consequence of errors in descendant spans.
    pub(super) own_cause: bool,
    pub(super) confidence: f64,
    pub(super) title: Template,
    pub(super) hypothesis: Template,
    /// Those whose values are known are used; one at least needs none.
    pub(super) actions: Vec<Template>,
    /// Facts that an expert looks for. Those that the trace does not have are named.
    pub(super) wants: Vec<&'static FactName>,
    /// Indexes of the dialogue signals that are each sufficient for this rule.
    standalone_signals: Vec<usize>,
}

/// A rule that fits an incident.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleMatch<'c> {
    pub(super) rule: &'c Rule,
    /// How many of the rule's four criteria are met: error type, status, text, signal.
    pub(super) criteria_met: u32,
    /// Whether the text or a signal is one of them.
    pub(super) by_words: bool,
    /// Whether the error type is one of them.
    by_type: bool,
}

impl RuleMatch<'_> {
    /// Whether more matched than a status or, for a rule of last resort, nothing.
    pub(super) fn is_specific(&self) -> bool {
        let is_about_the_kind = self.rule.is_catch_all() && self.rule.rank > STATUS_RANK;
        self.by_words || self.by_type || self.rule.is_users || is_about_the_kind
    }

    /// Whether the rule names what many causes look like: `RateLimitError` and "429 Too Many Requests" are also what services answer for a spent quota.
    pub(super) fn is_vague(&self) -> bool {
        let has_many_causes = ["rate_limited", "provider_overloaded", "invalid_request"].contains(&self.rule.label.factor());
        has_many_causes && !self.rule.is_users
    }

    /// The rank of the rule, or a low one if nothing but a status matched: a 404 may be anything that its text or type says.
    fn rank(&self) -> u32 {
        let by_status_alone = !self.is_specific() && self.criteria_met > 0;
        if by_status_alone { self.rule.rank.min(STATUS_RANK) } else { self.rule.rank }
    }
}

impl Rule {
    /// Whether the rule has no criteria beyond incident and span kind, so it applies if no other rule of its group does.
    pub(super) fn is_catch_all(&self) -> bool {
        self.error_types.is_empty() && self.statuses.is_empty() && self.text.is_empty() && self.signals.is_empty()
    }

    /// The part of `text` that the rule's expressions match.
    pub(super) fn matched_range(&self, text: &str) -> Option<Range<usize>> {
        self.text_expressions.get().iter().find_map(|expression| expression.find(clip(text))).map(|found| found.range())
    }

    /// How the rule fits an incident in a step of a kind; `None` if it does not.
    fn fit(&self, incident: &Incident<'_>, kind: SpanKind, error_type: Option<&str>, matched: &HashSet<usize>) -> Option<RuleMatch<'_>> {
        if !self.covers(incident.kind, kind) {
            return None;
        }
        if self.unless.clone().any(|index| matched.contains(&index)) {
            return None;
        }
        let by_type = error_type.is_some_and(|kind| self.error_types.iter().any(|known| known == kind));
        let by_status = incident.status.is_some_and(|status| self.statuses.contains(&status));
        let by_text = self.text.clone().any(|index| matched.contains(&index));
        let by_signal = incident.signals.iter().any(|signal| self.signals.iter().any(|known| is_same_signal(known, &signal.text)));
        let criteria_met = [by_type, by_status, by_text, by_signal].into_iter().map(u32::from).sum();
        let fits = criteria_met > 0 || self.is_catch_all();
        fits.then_some(RuleMatch { rule: self, criteria_met, by_words: by_text || by_signal, by_type })
    }

    /// Whether the rule is about this kind of incident in this kind of step.
    fn covers(&self, incident: IncidentKind, kind: SpanKind) -> bool {
        // An error that software returns as an answer is described like one that it raised.
        let is_covered =
            self.incidents.contains(&incident) || (incident == IncidentKind::CannedAnswer && self.incidents.contains(&IncidentKind::Error));
        is_covered && (self.kinds.is_empty() || self.kinds.contains(&kind))
    }
}

/// Whether two signals are equal. Finish reasons are equal if they have the same meaning, in whichever words of providers: `length`, `MAX_TOKENS`.
fn is_same_signal(known: &str, found: &str) -> bool {
    let meaning = |signal: &str| signal.strip_prefix("finish_reason=").and_then(FinishReason::from_word);
    known.eq_ignore_ascii_case(found) || meaning(known).is_some_and(|known| meaning(found) == Some(known))
}

/// Expressions that are compiled on first use: most runs quote few rules.
#[derive(Debug)]
struct LazyExpressions {
    sources: Vec<String>,
    compiled: OnceLock<Vec<Regex>>,
}

impl LazyExpressions {
    fn get(&self) -> &[Regex] {
        // An invalid expression was rejected when the rule was compiled.
        self.compiled.get_or_init(|| {
            self.sources.iter().filter_map(|source| RegexBuilder::new(source).case_insensitive(true).build().ok()).collect()
        })
    }
}

/// All rules, with one automaton over all their expressions, and the signals and weights of dialogues.
#[derive(Debug)]
pub(super) struct RuleSet {
    rules: Vec<Rule>,
    expressions: RegexSet,
    pub(super) signals: SignalSet,
    pub(super) weights: Weights,
}

impl RuleSet {
    /// The shipped rules.
    #[cfg(test)]
    pub(super) fn shipped() -> Result<Self, RuleError> {
        Self::with(&[])
    }

    /// Whether `fragment` occurs in the title, hypothesis or actions of a rule.
    pub(super) fn contains_text(&self, fragment: &str) -> bool {
        let texts =
            |rule: &'_ Rule| [&rule.title, &rule.hypothesis].into_iter().chain(&rule.actions).any(|text| text.contains_text(fragment));
        self.rules.iter().any(texts)
    }

    /// The shipped rules and those of the user's `(name, text)` files. A rule or signal with a known id replaces the shipped one. Others are
    /// added, and win against shipped ones of equal rank.
    ///
    /// # Errors
    /// [`RuleError`].
    pub(super) fn with(user_files: &[(String, String)]) -> Result<Self, RuleError> {
        let Definitions { rules: entries, signals } = read_files(user_files)?;
        let file_of =
            |id: &str| user_files.iter().find(|(_, text)| text.contains(id)).map_or("the shipped rules", |(name, _)| name.as_str());
        let signals = SignalSet::compile(&signals)
            .map_err(|error| RuleError::new(file_of(&error.id), format!("signal {}", error.id), error.reason))?;
        let (mut rules, mut sources) = (Vec::with_capacity(entries.len()), Vec::new());
        for (file, entry) in entries {
            let item = format!("rule {}", entry.id);
            let is_users = user_files.iter().any(|(name, _)| *name == file);
            let rule = compile(entry, &mut sources, &signals).map_err(|reason| RuleError::new(file, item, reason))?;
            rules.push(Rule { is_users, ..rule });
        }
        // Without Unicode classes the automaton is smaller and faster, and error texts are mostly ASCII.
        let expressions = RegexSetBuilder::new(&sources)
            .case_insensitive(true)
            .unicode(false)
            .size_limit(64 * 1024 * 1024)
            .dfa_size_limit(8 * 1024 * 1024)
            .build()
            .map_err(|error| RuleError::new("the rule files", "expressions", error.to_string()))?;
        let weights = Weights::shipped(&signals).map_err(|reason| RuleError::of_file("weights.json", reason))?;
        Ok(Self { rules, expressions, signals, weights })
    }

    /// The rule that fits an incident in a step of a kind best: by rank, then by the number of criteria met, then by order.
    pub(super) fn best_match(&self, incident: &Incident<'_>, kind: SpanKind) -> Option<RuleMatch<'_>> {
        let mut matched = HashSet::new();
        for (_, text) in &incident.texts {
            matched.extend(self.expressions.matches(message_of(text).as_bytes()));
        }
        // The type may name the cause when the text does not: `BudgetExceededError` with an empty message.
        if let Some(kind) = &incident.error_type {
            matched.extend(self.expressions.matches(kind.as_bytes()));
        }
        let error_type = incident.error_type.as_deref().map(|kind| last_segment(kind).to_ascii_lowercase());
        // Reversed, because `max_by_key` returns the last of several equal ones.
        let fitting = self.rules.iter().rev().filter_map(|rule| rule.fit(incident, kind, error_type.as_deref(), &matched));
        fitting.max_by_key(|found| (found.rank(), found.criteria_met))
    }

    /// The rule that describes a failure with this label: one for this kind of incident and step, or else any that has the label.
    pub(super) fn describing(&self, label: Label, kind: SpanKind, incident: IncidentKind) -> Option<&Rule> {
        let with_label = || self.rules.iter().filter(move |rule| rule.label == label);
        let is_about = |rule: &&Rule| rule.covers(incident, kind) || rule.covers(IncidentKind::Error, kind);
        let of_errors = |rule: &&Rule| rule.incidents.contains(&IncidentKind::Error);
        with_label().find(is_about).or_else(|| with_label().find(of_errors)).or_else(|| with_label().next())
    }

    /// The dialogue rule for `label`.
    pub(super) fn dialogue_rule(&self, label: Label) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.label == label && rule.incidents.contains(&IncidentKind::Dialogue))
    }

    /// Of the dialogue rules with a matched signal that is sufficient alone, the one with the highest confidence, and that signal.
    pub(super) fn best_standalone(&self, matches: &SignalMatches) -> Option<(&Rule, usize)> {
        let fitting = self
            .rules
            .iter()
            .rev()
            .filter_map(|rule| Some((rule, *rule.standalone_signals.iter().find(|signal| matches.get(**signal).is_some())?)));
        fitting.max_by(|left, right| left.0.confidence.total_cmp(&right.0.confidence))
    }

    #[cfg(test)]
    pub(super) fn labels(&self) -> HashSet<Label> {
        self.rules.iter().map(|rule| rule.label).collect()
    }
}

/// What the rule files define.
#[derive(Default)]
struct Definitions {
    /// `(file, rule)`.
    rules: Vec<(String, RuleEntry)>,
    signals: Vec<SignalEntry>,
}

/// The definitions of the user's files and the shipped ones.
fn read_files(user_files: &[(String, String)]) -> Result<Definitions, RuleError> {
    let user_files = user_files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
    let mut found = Definitions::default();
    for (name, text) in user_files.chain(FILES) {
        let file = RuleFile::parse(name, text)?;
        let mut ids_in_file = HashSet::new();
        for entry in file.rules {
            if !ids_in_file.insert(entry.id.clone()) {
                return Err(RuleError::new(name, format!("rule {}", entry.id), "this id is used twice in the file"));
            }
            // The user's files are read first, so their rules replace shipped ones.
            if found.rules.iter().all(|(_, known)| known.id != entry.id) {
                found.rules.push((name.to_owned(), entry));
            }
        }
        // A later signal replaces an earlier one, so the user's signals are moved to the end.
        found.signals.splice(0..0, file.signals);
    }
    Ok(found)
}

fn compile(entry: RuleEntry, sources: &mut Vec<String>, signals: &SignalSet) -> Result<Rule, String> {
    let label = Label::parse(&entry.label).map_err(|error| error.to_string())?;
    let incidents = incident_kinds(&entry.incidents)?;
    let standalone_signals = standalone_signals(&entry, &incidents, signals)?;
    let kinds = entry
        .kinds
        .iter()
        .map(|word| SpanKind::from_word(word).ok_or_else(|| format!("unknown span kind '{word}'")))
        .collect::<Result<_, _>>()?;
    if entry.actions.is_empty() || entry.actions.iter().any(String::is_empty) {
        return Err("a rule needs at least one action, and actions must not be empty".into());
    }
    if !(0.0..=1.0).contains(&entry.confidence) {
        return Err(format!("confidence {} is not between 0 and 1", entry.confidence));
    }
    let wording = RuleWording::compile(&entry)?;
    for text in entry.text.iter().chain(&entry.unless) {
        RegexBuilder::new(text)
            .build()
            .map_err(|error| format!("invalid expression '{text}': {}", expression_problem(&error.to_string())))?;
    }
    let mut add = |expressions: Vec<String>| {
        let start = sources.len();
        // The automaton has no Unicode classes; an expression with other letters than ASCII needs them.
        let in_automaton = |source: String| if source.is_ascii() { source } else { format!("(?u:{source})") };
        sources.extend(expressions.into_iter().map(in_automaton));
        start..sources.len()
    };
    let text_expressions = LazyExpressions { sources: entry.text.clone(), compiled: OnceLock::new() };
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
        text_expressions,
        rank: entry.rank,
        is_users: false,
        own_cause: entry.own_cause,
        confidence: entry.confidence,
        title: wording.title,
        hypothesis: wording.hypothesis,
        actions: wording.actions,
        wants: wording.wants,
        standalone_signals,
    })
}

/// Words of templates that every failure has a value or a general word for.
pub(super) const COMMON_PLACEHOLDERS: [&str; 7] = ["tool", "model", "provider", "span", "error_type", "status", "service"];

/// The sentences of a rule.
struct RuleWording {
    title: Template,
    hypothesis: Template,
    actions: Vec<Template>,
    wants: Vec<&'static FactName>,
}

impl RuleWording {
    fn compile(entry: &RuleEntry) -> Result<Self, String> {
        let (title, hypothesis) = (template("title", &entry.title)?, template("hypothesis", &entry.hypothesis)?);
        for (key, text) in [("title", &title), ("hypothesis", &hypothesis)] {
            if let Some(name) = text.required_names().into_iter().find(|name| !COMMON_PLACEHOLDERS.contains(name)) {
                return Err(format!("{key}: put the part with {{{name}}} in brackets, because not every trace has that fact"));
            }
            if text.is_conditional() {
                return Err(format!(
                    "{key}: put the condition and what depends on it in brackets, because there must always be a sentence"
                ));
            }
            if text.may_be_empty() {
                return Err(format!("{key} is empty if the trace lacks the facts that it names"));
            }
        }
        let actions = entry.actions.iter().map(|action| template("actions", action)).collect::<Result<Vec<_>, _>>()?;
        let is_always_used = |action: &Template| {
            !action.may_be_empty()
                && !action.is_conditional()
                && action.required_names().iter().all(|name| COMMON_PLACEHOLDERS.contains(name))
        };
        if !actions.iter().any(is_always_used) {
            return Err("every action names a fact that a trace may lack, or has a condition; add one that needs none".to_owned());
        }
        let wants = entry.wants.iter().map(|name| fact_name(name).ok_or_else(|| format!("wants: unknown fact '{name}'")));
        Ok(Self { title, hypothesis, actions, wants: wants.collect::<Result<_, _>>()? })
    }
}

/// A template whose placeholders are all known.
fn template(key: &str, text: &str) -> Result<Template, String> {
    // The value of `{status}` is "HTTP 429" or "an error".
    let template = Template::parse(&text.replace("HTTP {status}", "{status}")).map_err(|reason| format!("{key}: {reason}"))?;
    let unknown = template.names().into_iter().find(|name| !COMMON_PLACEHOLDERS.contains(name) && fact_name(name).is_none());
    match unknown {
        None => Ok(template),
        Some(name) => Err(format!("{key}: unknown placeholder {{{name}}}; docs/facts.md lists the facts")),
    }
}

fn incident_kinds(words: &[String]) -> Result<Vec<IncidentKind>, String> {
    if words.is_empty() {
        return Ok(vec![IncidentKind::Error]);
    }
    let parse = |word: &String| {
        IncidentKind::ALL.into_iter().find(|kind| kind.as_str() == word).ok_or_else(|| {
            let known = IncidentKind::ALL.map(IncidentKind::as_str).join(", ");
            format!("unknown incident '{word}'; expected one of {known}")
        })
    };
    words.iter().map(parse).collect()
}

/// The signals that are each sufficient for a dialogue rule: all of a rule without weights, those under `alone` of a weighted one.
fn standalone_signals(entry: &RuleEntry, incidents: &[IncidentKind], signals: &SignalSet) -> Result<Vec<usize>, String> {
    let mut standalone = Vec::new();
    if incidents.contains(&IncidentKind::Dialogue) {
        if incidents.len() > 1 || entry.signals.is_empty() {
            return Err("a dialogue rule needs at least one signal, and cannot have other incidents".into());
        }
        for id in entry.signals.iter().chain(&entry.standalone_signals) {
            let signal = signals.index(id).ok_or_else(|| format!("unknown dialogue signal '{id}'"))?;
            if !entry.weighted || entry.standalone_signals.contains(id) {
                standalone.push(signal);
            }
        }
    }
    Ok(standalone)
}
