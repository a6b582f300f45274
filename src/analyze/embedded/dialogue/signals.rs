//! Signals of a dialogue: data in `rules/*.toml` (`[[signal]]`), found over the turns of one scope, or made of other signals.

use std::collections::HashMap;

use serde::Deserialize;

use super::finder::Finder;
use super::measures::{MEASURES, measure};
use super::{Dialogue, Turn, Who, speaker};
use crate::limits::{DIALOGUE_TEXT_BYTES_MAX, RULE_TEXT_END_BYTES_MAX};
use crate::runtime::{Deadline, TimedOut};

/// A signal as it stands in the file. Exactly one of `text`, `all`, `any` and `many` says when it shows.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::analyze::embedded) struct SignalEntry {
    pub(in crate::analyze::embedded) id: String,
    says: String,
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
    #[serde(default)]
    many: Option<String>,
    #[serde(default)]
    trouble: bool,
}

/// The turns in which an expression is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::analyze::embedded) enum Scope {
    /// Every turn but the application's instructions.
    Any,
    /// What starts the run.
    Task,
    /// The question in it.
    Question,
    /// Agents.
    Agent,
    /// Short turns of agents, which are words to each other.
    Brief,
    /// Users after the first turn.
    User,
    /// Tools and code that was run.
    Tool,
    /// The first of them.
    FirstTool,
    /// The last of them.
    LastTool,
    /// The last turn.
    Last,
    /// Names of the tools that are called.
    Calls,
    /// Names of those who speak.
    Speaker,
}

/// Why a signal cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::analyze::embedded) struct SignalError {
    pub(in crate::analyze::embedded) id: String,
    pub(in crate::analyze::embedded) reason: String,
}

/// All signals, with a finder for their expressions.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Signals {
    list: Vec<Signal>,
    by_id: HashMap<String, usize>,
    /// The signal of each expression that the finder knows.
    signal_of: Vec<usize>,
    texts: Finder,
}

#[derive(Debug)]
struct Signal {
    id: String,
    says: String,
    trouble: bool,
    shows: Shows,
}

#[derive(Debug)]
enum Shows {
    Measure,
    Text(Scope),
    Combined { all: Vec<usize>, any: Vec<usize>, none: Vec<usize> },
    Many(usize),
}

/// Where a signal shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyze::embedded) struct Sighting {
    /// Index of the turn.
    pub(in crate::analyze::embedded) turn: usize,
    /// The expression that matched there.
    pattern: Option<usize>,
    /// Turns in which it shows.
    count: usize,
}

/// What shows in one dialogue, by signal.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Sightings(Vec<Option<Sighting>>);

impl Sightings {
    #[cfg(test)]
    pub(in crate::analyze::embedded) fn of(shown: &[usize], signals: usize) -> Self {
        let sighting = Sighting { turn: 0, pattern: None, count: 1 };
        Self((0..signals).map(|signal| shown.contains(&signal).then_some(sighting)).collect())
    }

    pub(in crate::analyze::embedded) fn get(&self, signal: usize) -> Option<Sighting> {
        self.0.get(signal).copied().flatten()
    }
}

/// Turns in which a signal has to show to count as `many`.
const MANY: usize = 3;

/// A turn of an agent up to this length is a word to another and no report.
const BRIEF_BYTES: usize = 700;

impl Signals {
    /// Compiles signals; a later one replaces an earlier one of its id.
    pub(in crate::analyze::embedded) fn of(entries: &[SignalEntry]) -> Result<Self, SignalError> {
        let mut by_id: HashMap<String, usize> = HashMap::new();
        let measures = MEASURES.iter();
        let mut signals: Vec<Signal> =
            measures.map(|(id, says)| Signal { id: (*id).into(), says: (*says).into(), trouble: false, shows: Shows::Measure }).collect();
        let mut latest: Vec<&SignalEntry> = Vec::new();
        for entry in entries {
            match latest.iter_mut().find(|known| known.id == entry.id) {
                Some(known) => *known = entry,
                None => latest.push(entry),
            }
        }
        for (index, id) in signals.iter().map(|signal| &signal.id).chain(latest.iter().map(|entry| &entry.id)).enumerate() {
            by_id.insert(id.clone(), index);
        }
        let mut patterns = Vec::new();
        for entry in latest {
            let index = signals.len();
            let shows = shows(entry, index, &by_id, &mut patterns).map_err(|reason| SignalError { id: entry.id.clone(), reason })?;
            signals.push(Signal { id: entry.id.clone(), says: entry.says.clone(), trouble: entry.trouble, shows });
        }
        let texts = Finder::of(patterns.iter().map(|(_, text)| text.as_str())).map_err(|(pattern, reason)| {
            let signal = patterns.get(pattern).and_then(|(signal, _)| signals.get(*signal));
            SignalError { id: signal.map_or_else(String::new, |signal| signal.id.clone()), reason }
        })?;
        let signal_of = patterns.into_iter().map(|(signal, _)| signal).collect();
        Ok(Self { list: signals, by_id, signal_of, texts })
    }

    pub(in crate::analyze::embedded) fn index(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(in crate::analyze::embedded) fn id(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |signal| &signal.id)
    }

    /// What it means, as part of a sentence.
    pub(in crate::analyze::embedded) fn says(&self, index: usize) -> &str {
        self.list.get(index).map_or("", |signal| &signal.says)
    }

    /// The names of everything that shows, in the order of the catalogue.
    pub(in crate::analyze::embedded) fn shown<'s>(&'s self, sightings: &'s Sightings) -> impl Iterator<Item = &'s str> {
        self.list.iter().zip(&sightings.0).filter(|(_, seen)| seen.is_some()).map(|(signal, _)| signal.id.as_str())
    }

    /// Whether anything shows that speaks of trouble. Nothing is called failed without such a sign.
    pub(in crate::analyze::embedded) fn shows_trouble(&self, sightings: &Sightings) -> bool {
        self.list.iter().zip(&sightings.0).any(|(signal, seen)| signal.trouble && seen.is_some())
    }

    /// Whether a signal tells what kind of run it is rather than what went wrong in it.
    pub(in crate::analyze::embedded) fn is_background(&self, index: usize) -> bool {
        let background = |signal: &Signal| {
            !signal.trouble && matches!(signal.shows, Shows::Measure | Shows::Text(Scope::Question | Scope::Task | Scope::Speaker))
        };
        self.list.get(index).is_none_or(background)
    }

    /// The words of a turn that make a signal show, for an excerpt; names of speakers and tools stand in no text.
    pub(in crate::analyze::embedded) fn words(&self, sighting: Sighting, turn: &Turn<'_>) -> Option<std::ops::Range<usize>> {
        let pattern = sighting.pattern?;
        let signal = self.list.get(*self.signal_of.get(pattern)?)?;
        if matches!(signal.shows, Shows::Text(Scope::Speaker | Scope::Calls)) {
            return None;
        }
        parts(turn.text).into_iter().find_map(|(start, part)| {
            let found = self.texts.find(pattern, part)?;
            Some(start + found.start..start + found.end)
        })
    }

    /// Finds every signal.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(in crate::analyze::embedded) fn find(&self, dialogue: &Dialogue<'_>, deadline: Deadline) -> Result<Sightings, TimedOut> {
        let mut seen: Vec<Option<Sighting>> = vec![None; self.list.len()];
        let turns = &dialogue.turns;
        let last = turns.len().saturating_sub(1);
        let tool = |turn: &Turn<'_>| turn.who == Who::Tool;
        let (first_tool, last_tool) = (turns.iter().position(tool), turns.iter().rposition(tool));
        let mut bytes_left = DIALOGUE_TEXT_BYTES_MAX;
        for (index, turn) in turns.iter().enumerate() {
            deadline.check()?;
            if bytes_left == 0 && index != last {
                continue;
            }
            let holds = |scope: Scope| match scope {
                Scope::Any => turn.who != Who::System,
                Scope::Task => turn.who == Who::Task,
                Scope::Agent => turn.who == Who::Agent,
                Scope::Brief => turn.who == Who::Agent && turn.text.len() <= BRIEF_BYTES,
                Scope::User => turn.who == Who::User,
                Scope::Tool => turn.who == Who::Tool,
                Scope::FirstTool => first_tool == Some(index),
                Scope::LastTool => last_tool == Some(index),
                Scope::Last => index == last,
                Scope::Question | Scope::Calls | Scope::Speaker => false,
            };
            for (_, part) in parts(turn.text) {
                bytes_left = bytes_left.saturating_sub(part.len());
                self.note(&mut seen, index, part, holds);
            }
            if turn.who == Who::Task {
                self.note(&mut seen, index, question(turn.text), |scope| scope == Scope::Question);
            }
            if !matches!(turn.who, Who::System | Who::User) && !turn.name.is_empty() {
                self.note(&mut seen, index, &speaker(turn.name), |scope| scope == Scope::Speaker);
            }
            for call in turn.calls {
                self.note(&mut seen, index, &call.name, |scope| scope == Scope::Calls);
            }
        }
        for (signal, turn) in measure(dialogue).into_iter().enumerate() {
            if let (Some(turn), Some(slot)) = (turn, seen.get_mut(signal)) {
                *slot = Some(Sighting { turn, pattern: None, count: 1 });
            }
        }
        // A combination stands after what it is made of, which `shows` has checked.
        for index in 0..self.list.len() {
            let combined = self.list.get(index).and_then(|signal| combined(&signal.shows, &seen));
            if let (Some(sighting), Some(slot)) = (combined, seen.get_mut(index)) {
                *slot = Some(sighting);
            }
        }
        Ok(Sightings(seen))
    }

    fn note(&self, seen: &mut [Option<Sighting>], turn: usize, text: &str, holds: impl Fn(Scope) -> bool) {
        let in_scope = |pattern: usize| {
            let signal = self.signal_of.get(pattern).and_then(|signal| self.list.get(*signal));
            signal.is_some_and(|signal| matches!(&signal.shows, Shows::Text(scope) if holds(*scope)))
        };
        self.texts.matches(text, in_scope, |pattern| {
            let Some(slot) = self.signal_of.get(pattern).and_then(|signal| seen.get_mut(*signal)) else { return };
            match slot {
                // Two parts of one turn count once.
                Some(sighting) if sighting.turn == turn => {}
                Some(sighting) => sighting.count += 1,
                None => *slot = Some(Sighting { turn, pattern: Some(pattern), count: 1 }),
            }
        });
    }
}

fn shows(entry: &SignalEntry, index: usize, by_id: &HashMap<String, usize>, patterns: &mut Vec<(usize, String)>) -> Result<Shows, String> {
    let known = |ids: &[String]| -> Result<Vec<usize>, String> {
        ids.iter()
            .map(|id| match by_id.get(id) {
                Some(found) if *found < index => Ok(*found),
                Some(_) => Err(format!("{id:?} must stand before the signal that is made of it")),
                None => Err(format!("{id:?} is no signal")),
            })
            .collect()
    };
    if entry.says.trim().is_empty() {
        return Err("`says` must tell what it means".into());
    }
    let ways = [!entry.text.is_empty(), !entry.all.is_empty(), !entry.any.is_empty(), entry.many.is_some()];
    if ways.iter().filter(|way| **way).count() != 1 {
        return Err("exactly one of `text`, `all`, `any` and `many` says when it shows".into());
    }
    if let Some(many) = &entry.many {
        return Ok(Shows::Many(known(std::slice::from_ref(many))?.first().copied().unwrap_or_default()));
    }
    if entry.text.is_empty() {
        return Ok(Shows::Combined { all: known(&entry.all)?, any: known(&entry.any)?, none: known(&entry.none)? });
    }
    let scope = entry.scope.ok_or("`text` needs a `scope`: the turns in which it is looked for")?;
    patterns.extend(entry.text.iter().map(|text| (index, text.clone())));
    Ok(Shows::Text(scope))
}

fn combined(shows: &Shows, seen: &[Option<Sighting>]) -> Option<Sighting> {
    let sighting = |index: &usize| seen.get(*index).copied().flatten();
    match shows {
        Shows::Measure | Shows::Text(_) => None,
        Shows::Many(of) => sighting(of).filter(|seen| seen.count >= MANY),
        Shows::Combined { all, any, none } => {
            if none.iter().any(|index| sighting(index).is_some()) || !all.iter().all(|index| sighting(index).is_some()) {
                return None;
            }
            // What has words to show comes first.
            let mut made_of: Vec<Sighting> = all.iter().chain(any).filter_map(sighting).collect();
            made_of.sort_by_key(|seen| seen.pattern.is_none());
            made_of.first().copied()
        }
    }
}

/// The start and the end of a long text with their places in it: what somebody wants stands at the start, what went wrong at the end.
fn parts(text: &str) -> Vec<(usize, &str)> {
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

/// The question in a task: what stands below a heading `General Task` where a planner has added its own, else the start.
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

    fn shown(entries: &str, turns: &[(Who, &str)]) -> Vec<String> {
        #[derive(Deserialize)]
        struct File {
            signal: Vec<SignalEntry>,
        }
        let signals = Signals::of(&toml::from_str::<File>(entries).unwrap().signal).unwrap();
        let turns =
            turns.iter().map(|(who, text)| Turn { who: *who, name: "", text, calls: &[], span: 0, field: FieldName::Plain("output_text") });
        let dialogue = Dialogue { turns: turns.collect() };
        let sightings = signals.find(&dialogue, Deadline::after(Duration::from_mins(1))).unwrap();
        signals.shown(&sightings).filter(|id| MEASURES.iter().all(|(measure, _)| measure != id)).map(str::to_owned).collect()
    }

    #[test]
    fn signals_show_in_their_scope_and_combine() {
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
        let tool = |text| (Who::Tool, text);
        assert_eq!(shown(entries, &[tool("Refused"), (Who::Agent, "I am sorry")]), ["refused", "sorry", "gave_up"]);
        assert_eq!(shown(entries, &[(Who::Agent, "refused, sorry"), (Who::User, "no")]), Vec::<String>::new());
        let often = [tool("refused"), tool("ok"), tool("no\nrefused"), tool("refused"), (Who::Agent, "next")];
        assert_eq!(shown(entries, &often), ["refused", "silent", "refused_often"]);
    }

    #[test]
    fn of_a_long_text_both_ends_are_read() {
        let entries = "
            [[signal]]
            id = 'end'
            says = 'x'
            scope = 'agent'
            text = ['the end']";
        let long = "é".repeat(50_000) + "the end";
        assert_eq!(shown(entries, &[(Who::Agent, &long)]), ["end"]);
    }
}
