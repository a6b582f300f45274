//! Signals of a dialogue: defined in `rules/*.toml` (`[[signal]]`), and found in the turns of one scope, or derived from other signals.

use std::collections::HashMap;
use std::ops::Range;

use serde::Deserialize;

use super::measures::{MEASURES, measure};
use super::pattern_set::PatternSet;
use super::turns::{Dialogue, Turn, TurnKind, normalized_speaker};
use crate::limits::{DIALOGUE_TEXT_BYTES_MAX, RULE_TEXT_END_BYTES_MAX};
use crate::runtime::{Deadline, TimedOut};

/// A `[[signal]]` of a rule file. Exactly one of `text`, `all`, `any` and `many` is set.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::analyze::embedded) struct SignalEntry {
    pub(in crate::analyze::embedded) id: String,
    #[serde(rename = "says")]
    description: String,
    #[serde(default)]
    scope: Option<Scope>,
    #[serde(default)]
    text: Vec<String>,
    #[serde(default)]
    all: Vec<String>,
    #[serde(default)]
    any: Vec<String>,
    #[serde(default)]
    none: Vec<String>,
    #[serde(default, rename = "many")]
    repeated: Option<String>,
    #[serde(default, rename = "trouble")]
    indicates_failure: bool,
}

/// The turns in which an expression is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::analyze::embedded) enum Scope {
    /// Every turn except the application's instructions.
    Any,
    /// The message that starts the run.
    Task,
    /// The question in that message.
    Question,
    /// Agents.
    Agent,
    /// The last message of an agent: the answer.
    LastAgent,
    /// Short turns of agents, which are messages to other agents rather than reports.
    Brief,
    /// Users, after the first turn.
    User,
    /// The last words of the user: how the conversation ended for them.
    LastUser,
    /// Tools, and code that was run.
    Tool,
    /// The first tool turn.
    FirstTool,
    /// The last tool turn.
    LastTool,
    /// The last turn.
    Last,
    /// Names of the called tools.
    Calls,
    /// Names of the speakers.
    Speaker,
}

/// Why a signal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analyze::embedded) struct SignalError {
    pub(in crate::analyze::embedded) id: String,
    pub(in crate::analyze::embedded) reason: String,
}

/// All signals, with one [`PatternSet`] for their expressions.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct SignalSet {
    signals: Vec<Signal>,
    index_by_id: HashMap<String, usize>,
    /// By pattern: the signal that it belongs to.
    signal_of_pattern: Vec<usize>,
    patterns: PatternSet,
}

#[derive(Debug)]
struct Signal {
    id: String,
    description: String,
    indicates_failure: bool,
    trigger: Trigger,
}

/// When a signal matches.
#[derive(Debug)]
enum Trigger {
    /// Computed by `measures`.
    Measure,
    /// An expression matches in a turn of this scope.
    Text(Scope),
    /// Other signals match, or do not match.
    Combined { all: Vec<usize>, any: Vec<usize>, none: Vec<usize> },
    /// Another signal matches in several turns.
    Repeated(usize),
}

/// Where a signal matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyze::embedded) struct SignalMatch {
    /// Index of the first turn with a match.
    pub(in crate::analyze::embedded) turn: usize,
    /// The pattern that matched there.
    pattern: Option<usize>,
    /// The number of matching turns.
    turn_count: usize,
}

/// The matches in one dialogue, by signal.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct SignalMatches(Vec<Option<SignalMatch>>);

impl SignalMatches {
    #[cfg(test)]
    pub(in crate::analyze::embedded) fn of(matched: &[usize], signals: usize) -> Self {
        let found = SignalMatch { turn: 0, pattern: None, turn_count: 1 };
        Self((0..signals).map(|signal| matched.contains(&signal).then_some(found)).collect())
    }

    pub(in crate::analyze::embedded) fn get(&self, signal: usize) -> Option<SignalMatch> {
        self.0.get(signal).copied().flatten()
    }
}

/// Turns in which a signal must match to count as repeated (`many`).
const REPEATED_TURNS_MIN: usize = 3;

/// A longer turn of an agent is a report, not a message to another agent.
const BRIEF_BYTES_MAX: usize = 700;

impl SignalSet {
    /// Compiles signals. A later signal replaces an earlier one with the same id.
    pub(in crate::analyze::embedded) fn compile(entries: &[SignalEntry]) -> Result<Self, SignalError> {
        let measures = MEASURES.iter();
        let mut signals: Vec<Signal> = measures
            .map(|(id, description)| Signal {
                id: (*id).into(),
                description: (*description).into(),
                indicates_failure: false,
                trigger: Trigger::Measure,
            })
            .collect();
        let mut latest: Vec<&SignalEntry> = Vec::new();
        for entry in entries {
            match latest.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => latest.push(entry),
            }
        }
        let ids = signals.iter().map(|signal| &signal.id).chain(latest.iter().map(|entry| &entry.id));
        let index_by_id: HashMap<String, usize> = ids.enumerate().map(|(index, id)| (id.clone(), index)).collect();
        // `(signal, expression)`
        let mut patterns = Vec::new();
        for entry in latest {
            let index = signals.len();
            let trigger =
                trigger(entry, index, &index_by_id, &mut patterns).map_err(|reason| SignalError { id: entry.id.clone(), reason })?;
            let (id, description) = (entry.id.clone(), entry.description.clone());
            signals.push(Signal { id, description, indicates_failure: entry.indicates_failure, trigger });
        }
        let compiled = PatternSet::compile(patterns.iter().map(|(_, text)| text.as_str())).map_err(|(pattern, reason)| {
            let signal = patterns.get(pattern).and_then(|(signal, _)| signals.get(*signal));
            SignalError { id: signal.map_or_else(String::new, |signal| signal.id.clone()), reason }
        })?;
        let signal_of_pattern = patterns.into_iter().map(|(signal, _)| signal).collect();
        Ok(Self { signals, index_by_id, signal_of_pattern, patterns: compiled })
    }

    pub(in crate::analyze::embedded) fn index(&self, id: &str) -> Option<usize> {
        self.index_by_id.get(id).copied()
    }

    pub(in crate::analyze::embedded) fn id(&self, index: usize) -> &str {
        self.signals.get(index).map_or("", |signal| &signal.id)
    }

    /// The signal's meaning, as a clause of a sentence.
    pub(in crate::analyze::embedded) fn description(&self, index: usize) -> &str {
        self.signals.get(index).map_or("", |signal| &signal.description)
    }

    /// The ids of all matched signals, in the order of the catalogue.
    pub(in crate::analyze::embedded) fn matched_ids<'s>(&'s self, matches: &'s SignalMatches) -> impl Iterator<Item = &'s str> {
        self.signals.iter().zip(&matches.0).filter(|(_, found)| found.is_some()).map(|(signal, _)| signal.id.as_str())
    }

    /// Whether a signal matched that indicates a failure. Without one, no dialogue is called failed, however likely a label is.
    pub(in crate::analyze::embedded) fn indicates_failure(&self, matches: &SignalMatches) -> bool {
        self.signals.iter().zip(&matches.0).any(|(signal, found)| signal.indicates_failure && found.is_some())
    }

    /// Whether a signal describes the kind of run rather than a problem in it, such as `turns_many` or `task_image`.
    pub(in crate::analyze::embedded) fn is_background(&self, index: usize) -> bool {
        let is_background = |signal: &Signal| {
            !signal.indicates_failure
                && matches!(signal.trigger, Trigger::Measure | Trigger::Text(Scope::Question | Scope::Task | Scope::Speaker))
        };
        self.signals.get(index).is_none_or(is_background)
    }

    /// The range of the turn's text that matched, for an excerpt. Names of speakers and tools are not part of the text.
    pub(in crate::analyze::embedded) fn matched_range(&self, found: SignalMatch, turn: &Turn<'_>) -> Option<Range<usize>> {
        let pattern = found.pattern?;
        let signal = self.signals.get(*self.signal_of_pattern.get(pattern)?)?;
        if matches!(signal.trigger, Trigger::Text(Scope::Speaker | Scope::Calls)) {
            return None;
        }
        head_and_tail(turn.text).into_iter().find_map(|(start, part)| {
            let range = self.patterns.find(pattern, part)?;
            Some(start + range.start..start + range.end)
        })
    }

    /// Finds all signals in a dialogue.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(in crate::analyze::embedded) fn find(&self, dialogue: &Dialogue<'_>, deadline: Deadline) -> Result<SignalMatches, TimedOut> {
        let mut found: Vec<Option<SignalMatch>> = vec![None; self.signals.len()];
        let turns = &dialogue.turns;
        let last = turns.len().saturating_sub(1);
        let is_tool = |turn: &Turn<'_>| turn.kind == TurnKind::Tool;
        let (first_tool, last_tool) = (turns.iter().position(is_tool), turns.iter().rposition(is_tool));
        let last_user = turns.iter().rposition(|turn| turn.kind == TurnKind::User && has_words(turn.text));
        let last_agent = turns.iter().rposition(|turn| turn.kind == TurnKind::Agent && has_words(turn.text));
        let mut bytes_left = DIALOGUE_TEXT_BYTES_MAX;
        for (index, turn) in turns.iter().enumerate() {
            deadline.check()?;
            // The last turns are always read: they often show how the run ended.
            if bytes_left == 0 && index != last && last_user != Some(index) && last_agent != Some(index) {
                continue;
            }
            let in_scope = |scope: Scope| match scope {
                Scope::Any => turn.kind != TurnKind::System,
                Scope::Task => turn.kind == TurnKind::Task,
                Scope::Agent => turn.kind == TurnKind::Agent,
                Scope::Brief => turn.kind == TurnKind::Agent && turn.text.len() <= BRIEF_BYTES_MAX,
                Scope::User => turn.kind == TurnKind::User,
                Scope::LastUser => last_user == Some(index),
                Scope::LastAgent => last_agent == Some(index),
                Scope::Tool => turn.kind == TurnKind::Tool,
                Scope::FirstTool => first_tool == Some(index),
                Scope::LastTool => last_tool == Some(index),
                Scope::Last => index == last,
                Scope::Question | Scope::Calls | Scope::Speaker => false,
            };
            for (_, part) in head_and_tail(turn.text) {
                bytes_left = bytes_left.saturating_sub(part.len());
                self.find_in_text(&mut found, index, part, in_scope);
            }
            if turn.kind == TurnKind::Task {
                self.find_in_text(&mut found, index, question(turn.text), |scope| scope == Scope::Question);
            }
            if !matches!(turn.kind, TurnKind::System | TurnKind::User) && !turn.speaker.is_empty() {
                self.find_in_text(&mut found, index, &normalized_speaker(turn.speaker), |scope| scope == Scope::Speaker);
            }
            for call in turn.calls.iter() {
                self.find_in_text(&mut found, index, &call.name, |scope| scope == Scope::Calls);
            }
        }
        for (signal, turn) in measure(dialogue).into_iter().enumerate() {
            if let (Some(turn), Some(entry)) = (turn, found.get_mut(signal)) {
                *entry = Some(SignalMatch { turn, pattern: None, turn_count: 1 });
            }
        }
        // A derived signal is defined after the signals that it uses, which `trigger` checks, so one pass is enough.
        for index in 0..self.signals.len() {
            let derived = self.signals.get(index).and_then(|signal| derived_match(&signal.trigger, &found));
            if let (Some(derived), Some(entry)) = (derived, found.get_mut(index)) {
                *entry = Some(derived);
            }
        }
        Ok(SignalMatches(found))
    }

    /// Finds the signals of some scopes in one text of a turn.
    fn find_in_text(&self, found: &mut [Option<SignalMatch>], turn: usize, text: &str, in_scope: impl Fn(Scope) -> bool) {
        let is_wanted = |pattern: usize| {
            let signal = self.signal_of_pattern.get(pattern).and_then(|signal| self.signals.get(*signal));
            signal.is_some_and(|signal| matches!(&signal.trigger, Trigger::Text(scope) if in_scope(*scope)))
        };
        self.patterns.matches(text, is_wanted, |pattern| {
            let Some(entry) = self.signal_of_pattern.get(pattern).and_then(|signal| found.get_mut(*signal)) else { return };
            match entry {
                // Several matches in one turn count once.
                Some(known) if known.turn == turn => {}
                Some(known) => known.turn_count += 1,
                None => *entry = Some(SignalMatch { turn, pattern: Some(pattern), turn_count: 1 }),
            }
        });
    }
}

/// The trigger of an entry. Adds its expressions to `patterns`.
fn trigger(
    entry: &SignalEntry,
    index: usize,
    index_by_id: &HashMap<String, usize>,
    patterns: &mut Vec<(usize, String)>,
) -> Result<Trigger, String> {
    let known = |ids: &[String]| -> Result<Vec<usize>, String> {
        ids.iter()
            .map(|id| match index_by_id.get(id) {
                Some(found) if *found < index => Ok(*found),
                Some(_) => Err(format!("signal '{id}' must be defined before the signals that use it")),
                None => Err(format!("unknown signal '{id}'")),
            })
            .collect()
    };
    if entry.description.trim().is_empty() {
        return Err("`says` must not be empty".into());
    }
    let set = [!entry.text.is_empty(), !entry.all.is_empty(), !entry.any.is_empty(), entry.repeated.is_some()];
    if set.iter().filter(|set| **set).count() != 1 {
        return Err("exactly one of `text`, `all`, `any` and `many` must be set".into());
    }
    if let Some(repeated) = &entry.repeated {
        return Ok(Trigger::Repeated(known(std::slice::from_ref(repeated))?.first().copied().unwrap_or_default()));
    }
    if entry.text.is_empty() {
        return Ok(Trigger::Combined { all: known(&entry.all)?, any: known(&entry.any)?, none: known(&entry.none)? });
    }
    let scope = entry.scope.ok_or("`text` needs a `scope`, the turns in which it is searched")?;
    patterns.extend(entry.text.iter().map(|text| (index, text.clone())));
    Ok(Trigger::Text(scope))
}

/// The match of a signal that is derived from others.
fn derived_match(trigger: &Trigger, found: &[Option<SignalMatch>]) -> Option<SignalMatch> {
    let get = |index: &usize| found.get(*index).copied().flatten();
    match trigger {
        Trigger::Measure | Trigger::Text(_) => None,
        Trigger::Repeated(signal) => get(signal).filter(|found| found.turn_count >= REPEATED_TURNS_MIN),
        Trigger::Combined { all, any, none } => {
            if none.iter().any(|index| get(index).is_some()) || !all.iter().all(|index| get(index).is_some()) {
                return None;
            }
            // A match with a pattern can be quoted, so it is preferred.
            let mut parts: Vec<SignalMatch> = all.iter().chain(any).filter_map(get).collect();
            parts.sort_by_key(|found| found.pattern.is_none());
            parts.first().copied()
        }
    }
}

/// Whether a text says something. `###STOP###` and `TERMINATE` only end a run.
fn has_words(text: &str) -> bool {
    let without_marker = text.trim_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '.' | '*' | '<' | '>' | '[' | ']' | '{' | '}'));
    !matches!(without_marker, "" | "STOP" | "TERMINATE" | "TRANSFER" | "OUT-OF-SCOPE" | "DONE" | "END")
}

/// The parts of a text that are searched, with their offsets: all of a short text, the start and the end of a long one. A request is usually
/// at the start, an error at the end.
fn head_and_tail(text: &str) -> Vec<(usize, &str)> {
    if text.len() <= 2 * RULE_TEXT_END_BYTES_MAX {
        return vec![(0, text)];
    }
    let (mut head, mut tail) = (RULE_TEXT_END_BYTES_MAX, text.len() - RULE_TEXT_END_BYTES_MAX);
    while !text.is_char_boundary(head) {
        head -= 1;
    }
    while !text.is_char_boundary(tail) {
        tail += 1;
    }
    vec![(0, text.get(..head).unwrap_or_default()), (tail, text.get(tail..).unwrap_or_default())]
}

/// The question in a task: its start, or the section `General Task` if a planner added sections of its own around it.
fn question(task: &str) -> &str {
    const HEADING: &str = "# General Task";
    const CHARS_MAX: usize = 1_200;
    let start = task.find(HEADING).map_or(0, |at| at + HEADING.len());
    let rest = task.get(start..).unwrap_or_default().trim_start();
    let rest = if start > 0 { rest.split("\n# ").next().unwrap_or_default() } else { rest };
    rest.char_indices().nth(CHARS_MAX).and_then(|(end, _)| rest.get(..end)).unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::FieldName;

    fn matched(entries: &str, turns: &[(TurnKind, &str)]) -> Vec<String> {
        #[derive(Deserialize)]
        struct File {
            signal: Vec<SignalEntry>,
        }
        let signals = SignalSet::compile(&toml::from_str::<File>(entries).unwrap().signal).unwrap();
        let turns = turns.iter().map(|(kind, text)| Turn {
            kind: *kind,
            speaker: "",
            text,
            calls: std::borrow::Cow::Borrowed(&[]),
            span: 0,
            field: FieldName::Plain("output_text"),
        });
        let dialogue = Dialogue { turns: turns.collect(), ..Dialogue::default() };
        let matches = signals.find(&dialogue, Deadline::after(Duration::from_mins(1))).unwrap();
        signals.matched_ids(&matches).filter(|id| MEASURES.iter().all(|(measure, _)| measure != id)).map(str::to_owned).collect()
    }

    #[test]
    fn signals_match_in_their_scope_and_combine() {
        let entries = "
            [[signal]]
            id = 'refused'
            says = 'x'
            scope = 'tool'
            text = ['^refused']
            [[signal]]
            id = 'sorry'
            says = 'x'
            scope = 'last'
            text = ['sorry']
            [[signal]]
            id = 'gave_up'
            says = 'x'
            all = ['refused', 'sorry']
            [[signal]]
            id = 'silent'
            says = 'x'
            all = ['refused']
            none = ['sorry']
            [[signal]]
            id = 'refused_often'
            says = 'x'
            many = 'refused'";
        let tool = |text| (TurnKind::Tool, text);
        assert_eq!(matched(entries, &[tool("Refused"), (TurnKind::Agent, "I am sorry")]), ["refused", "sorry", "gave_up"]);
        assert_eq!(matched(entries, &[(TurnKind::Agent, "refused, sorry"), (TurnKind::User, "no")]), Vec::<String>::new());
        let often = [tool("refused"), tool("ok"), tool("no\nrefused"), tool("refused"), (TurnKind::Agent, "next")];
        assert_eq!(matched(entries, &often), ["refused", "silent", "refused_often"]);
    }

    #[test]
    fn the_last_words_of_a_user_and_of_an_agent_have_scopes() {
        let entries = "
            [[signal]]
            id = 'unhappy_at_the_end'
            says = 'x'
            scope = 'last_user'
            text = ['wrong']
            [[signal]]
            id = 'gave_up'
            says = 'x'
            scope = 'last_agent'
            text = ['cannot']";
        let (agent, user) = (TurnKind::Agent, TurnKind::User);
        let unhappy = [(user, "no"), (agent, "I cannot"), (user, "wrong"), (agent, "ok"), (user, "###STOP###"), (agent, "TERMINATE")];
        assert_eq!(matched(entries, &unhappy), ["unhappy_at_the_end"]);
        let helped = [(user, "wrong"), (agent, "I am sorry, here it is"), (user, "Thanks"), (agent, "I cannot do more")];
        assert_eq!(matched(entries, &helped), ["gave_up"]);
    }

    #[test]
    fn both_ends_of_a_long_text_are_searched() {
        let entries = "
            [[signal]]
            id = 'end'
            says = 'x'
            scope = 'agent'
            text = ['the end']";
        let long = "é".repeat(50_000) + "the end";
        assert_eq!(matched(entries, &[(TurnKind::Agent, &long)]), ["end"]);
    }
}
