//! The rule catalogue: data in `rules/*.toml`, compiled in. `docs/rules.md` describes the format.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::OnceLock;

use regex::bytes::{RegexSet, RegexSetBuilder};
use regex::{Regex, RegexBuilder};
use serde::Deserialize;

use super::incidents::{Incident, IncidentKind};
use super::signals;
use crate::model::{Label, SpanKind, last_segment};

/// The files, in the order in which rules of equal rank win.
const FILES: [(&str, &str); 8] = [
    ("provider.toml", include_str!("rules/provider.toml")),
    ("context.toml", include_str!("rules/context.toml")),
    ("blocked.toml", include_str!("rules/blocked.toml")),
    ("tool.toml", include_str!("rules/tool.toml")),
    ("format.toml", include_str!("rules/format.toml")),
    ("retrieval.toml", include_str!("rules/retrieval.toml")),
    ("runaway.toml", include_str!("rules/runaway.toml")),
    ("environment.toml", include_str!("rules/environment.toml")),
];

/// Why a rule cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {rule} in {file}: {reason}")]
pub struct RuleError {
    file: String,
    rule: String,
    reason: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rule: Vec<Entry>,
}

/// A rule as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    id: String,
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
    #[serde(default = "default_rank")]
    rank: u32,
    #[serde(default)]
    own_cause: bool,
    confidence: f64,
    title: String,
    hypothesis: String,
    actions: Vec<String>,
    #[serde(default)]
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the catalogue"))]
    case: Vec<Case>,
}

const fn default_rank() -> u32 {
    50
}

/// A sample that a rule must win, or must not.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(not(test), expect(dead_code, reason = "read by the tests of the catalogue"))]
struct Case {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    error_type: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    finish_reason: String,
    #[serde(default)]
    output: Option<String>,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    documents: Option<Vec<String>>,
    #[serde(default)]
    query: String,
    /// Whether the rule names the failure of a trace with one such span.
    wins: bool,
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
}

impl Rule {
    /// Where in `text` the words stand that made the rule fire.
    pub(super) fn focus(&self, text: &str) -> Option<Range<usize>> {
        self.expressions.get().iter().find_map(|expression| expression.find(signals::clip(text))).map(|found| found.range())
    }

    /// How well the rule fits; nothing where it does not.
    fn score(&self, incident: &Incident<'_>, error_type: Option<&str>, matched: &HashSet<usize>) -> Option<u32> {
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
        let asks_nothing = self.error_types.is_empty() && self.statuses.is_empty() && self.text.is_empty() && self.signals.is_empty();
        (fired > 0 || asks_nothing).then(|| self.rank * 10 + u32::try_from(fired).unwrap_or(0))
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

/// All rules, with one automaton over all their expressions.
#[derive(Debug)]
pub(super) struct Catalogue {
    rules: Vec<Rule>,
    texts: RegexSet,
}

impl Catalogue {
    /// The rules that failsift ships.
    pub(super) fn shipped() -> Result<Self, RuleError> {
        Self::of(FILES)
    }

    fn of<'f>(files: impl IntoIterator<Item = (&'f str, &'f str)>) -> Result<Self, RuleError> {
        let (mut rules, mut texts) = (Vec::new(), Vec::new());
        for (name, text) in files {
            let wrong = |rule: &str, reason: String| RuleError { file: name.to_owned(), rule: rule.to_owned(), reason };
            let file: File = toml::from_str(text).map_err(|error| wrong("(file)", error.to_string()))?;
            for entry in file.rule {
                let id = entry.id.clone();
                rules.push(compile(entry, &mut texts).map_err(|reason| wrong(&id, reason))?);
            }
        }
        let texts = RegexSetBuilder::new(&texts)
            .case_insensitive(true)
            .unicode(false)
            .size_limit(64 * 1024 * 1024)
            .dfa_size_limit(8 * 1024 * 1024)
            .build()
            .map_err(|error| RuleError { file: "(all)".into(), rule: "(all)".into(), reason: error.to_string() })?;
        Ok(Self { rules, texts })
    }

    /// The rule that fits best; of equals the first.
    pub(super) fn best(&self, incident: &Incident<'_>) -> Option<&Rule> {
        let mut matched = HashSet::new();
        for (_, text) in &incident.texts {
            matched.extend(self.texts.matches(signals::message_of(text).as_bytes()));
        }
        if let Some(kind) = &incident.error_type {
            matched.extend(self.texts.matches(kind.as_bytes()));
        }
        let error_type = incident.error_type.as_deref().map(|kind| last_segment(kind).to_ascii_lowercase());
        let scored = self.rules.iter().rev().filter_map(|rule| Some((rule.score(incident, error_type.as_deref(), &matched)?, rule)));
        scored.max_by_key(|(score, _)| *score).map(|(_, rule)| rule)
    }
}

fn compile(entry: Entry, texts: &mut Vec<String>) -> Result<Rule, String> {
    let label = Label::parse(&entry.label).map_err(|error| error.to_string())?;
    let incidents = if entry.incidents.is_empty() { vec!["error".to_owned()] } else { entry.incidents };
    let incidents = incidents
        .iter()
        .map(|word| incident_kind(word).ok_or_else(|| format!("{word:?} is no kind of incident")))
        .collect::<Result<_, _>>()?;
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
    })
}

fn incident_kind(word: &str) -> Option<IncidentKind> {
    use IncidentKind::{EmptyOutput, EmptyRetrieval, Error, FinishReason, LowScores, Refusal, RepeatedCalls, ToolResult};
    [Error, FinishReason, Refusal, EmptyOutput, EmptyRetrieval, LowScores, ToolResult, RepeatedCalls]
        .into_iter()
        .find(|kind| kind.as_str() == word)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::analyze::Deadline;
    use crate::model::{Document, Message, Span, Status, ToolUse, Trace};

    fn trace_of(case: &Case) -> Trace {
        let failed = !case.error_type.is_empty() || !case.message.is_empty();
        let kind = SpanKind::from_word(&case.kind).unwrap_or_default();
        let span = Span {
            span_id: "1".into(),
            name: "step".into(),
            kind,
            started_at_ns: Some(1),
            ended_at_ns: Some(2),
            status: if failed { Status::Error } else { Status::Ok },
            status_message: (!case.message.is_empty()).then(|| case.message.clone()),
            error_type: (!case.error_type.is_empty()).then(|| case.error_type.clone()),
            finish_reasons: if case.finish_reason.is_empty() { vec![] } else { vec![case.finish_reason.clone()] },
            output: case.output.iter().map(|content| Message { content: content.clone(), ..Message::default() }).collect(),
            tool: (kind == SpanKind::Tool).then(|| ToolUse { name: "t".into(), result: case.result.clone(), ..ToolUse::default() }),
            documents: case.documents.as_ref().map(|texts| {
                texts.iter().map(|text| Document { content: text.clone(), score: Some(0.1), ..Document::default() }).collect()
            }),
            input_text: Some(case.query.clone()),
            ..Span::default()
        };
        let answer = Span {
            span_id: "0".into(),
            output: vec![Message { content: "text".into(), ..Message::default() }],
            kind: SpanKind::Llm,
            ended_at_ns: Some(1),
            ..Span::default()
        };
        let copies = if case.query == "five-times" { 5 } else { 1 };
        let spans = (1..=copies).map(|number| Span { span_id: number.to_string(), ..span.clone() });
        Trace { trace_id: "t".into(), spans: [answer].into_iter().chain(spans).collect(), ..Trace::default() }
    }

    #[test]
    fn every_rule_wins_its_cases_and_no_others() {
        let analyzer = super::super::Embedded::new().unwrap_or_else(|error| panic!("{error}"));
        let (mut ids, mut complaints) = (HashSet::new(), Vec::new());
        for (name, text) in FILES {
            for rule in toml::from_str::<File>(text).unwrap().rule {
                assert!(ids.insert(rule.id.clone()), "{} stands twice", rule.id);
                assert!(
                    rule.case.iter().any(|case| case.wins) && rule.case.iter().any(|case| !case.wins),
                    "{} in {name} needs a case that it wins and one that it does not",
                    rule.id
                );
                for (number, case) in rule.case.iter().enumerate() {
                    let draft = analyzer.draft(&trace_of(case), Deadline::after(Duration::from_mins(1))).unwrap();
                    let won = draft.confidence_rationale.starts_with(&format!("Rule {} fired", rule.id));
                    if won != case.wins {
                        complaints.push(format!("{} case {}: {} with {}", rule.id, number + 1, draft.label, draft.confidence_rationale));
                    }
                }
            }
        }
        assert!(complaints.is_empty(), "{}", complaints.join("\n"));
    }

    #[test]
    fn every_operational_factor_has_a_rule() {
        let catalogue = Catalogue::shipped().unwrap();
        let covered: HashSet<String> = catalogue.rules.iter().map(|rule| rule.label.to_string()).collect();
        for category in ["provider_error", "content_blocked", "tool_failure", "runaway_execution", "environment_error"] {
            for factor in &crate::model::vocabulary()[category] {
                assert!(covered.contains(&format!("{category}/{factor}")), "{category}/{factor}");
            }
        }
        for label in [Label::NO_FAILURE_FOUND, Label::INSUFFICIENT_EVIDENCE] {
            assert_eq!(Label::parse(&label.to_string()), Ok(label));
        }
    }
}
