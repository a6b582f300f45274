//! Facts of a run that only its dialogue judges: its turns, who takes part, which tools were called, and the turn that shows the failure.

use std::collections::HashMap;
use std::ops::Range;

use super::super::dialogue::{Dialogue, Turn, TurnKind};
use super::find::listed;
use super::names::fact_names;
use super::{Extractor, Facts, Place, shortened};
use crate::model::Trace;

fact_names! {
    TURNS = "dialogue_turns", Count, "the number of turns of the dialogue";
    USER_TURNS = "user_turns", Count, "the number of turns of the user";
    AGENTS = "dialogue_agents", Text, "the agents that speak";
    CALLS = "dialogue_calls", Count, "the number of tool calls in the dialogue";
    TOOLS = "called_tools", Text, "the tools that were called, most often first";
    DIALOGUE_SIZE = "dialogue_bytes", Bytes, "the size of the dialogue without instructions";
    QUOTED_TURN = "quoted_turn", Count, "the position of the quoted turn";
    QUOTED_SPEAKER = "quoted_speaker", Text, "the speaker of the quoted turn";
    QUOTED_TEXT = "quoted_text", Text, "the words of the quoted turn";
    TASK = "task", Text, "the start of the task";
    LAST_SPEAKER = "last_speaker", Text, "who had the last turn";
}

/// The analyzer adds these facts with [`add`], because other failures do not need the dialogue.
pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add: |_, _| {} };

/// Adds the facts of a dialogue. `quoted` is the turn that shows the failure, and the words in it.
pub(in crate::analyze::embedded) fn add(
    trace: &Trace,
    dialogue: &Dialogue<'_>,
    quoted: Option<(usize, Option<Range<usize>>)>,
    facts: &mut Facts,
) {
    const AGENTS_MAX: usize = 4;
    const TOOLS_MAX: usize = 4;
    const TASK_CHARS_MAX: usize = 120;
    facts.add(&TURNS, dialogue.turns.len(), Place::Trace);
    if dialogue.user_turns() > 0 {
        facts.add(&USER_TURNS, dialogue.user_turns(), Place::Trace);
    }
    let agents = dialogue
        .turns
        .iter()
        .filter(|turn| turn.kind == TurnKind::Agent)
        .map(|turn| turn.speaker.split('(').next().unwrap_or_default().trim());
    facts.add(&AGENTS, listed(agents, AGENTS_MAX), Place::Trace);
    let mut times: HashMap<&str, usize> = HashMap::new();
    for call in dialogue.turns.iter().flat_map(|turn| turn.calls.iter()).filter(|call| !call.name.is_empty()) {
        *times.entry(call.name.as_str()).or_default() += 1;
    }
    // A call may stand in several messages, as the model wrote it and in the history; it ran once for each span of its tool.
    for (name, times) in &mut times {
        let ran = trace.spans.iter().filter_map(|span| span.tool.as_ref()).filter(|tool| tool.name == *name).count();
        if ran > 0 {
            *times = ran.min(*times);
        }
    }
    if !times.is_empty() {
        facts.add(&CALLS, times.values().sum::<usize>(), Place::Trace);
        let mut by_times: Vec<(&str, usize)> = times.into_iter().collect();
        by_times.sort_by_key(|(name, times)| (usize::MAX - times, *name));
        facts.add(&TOOLS, listed(by_times.into_iter().map(|(name, _)| name), TOOLS_MAX), Place::Trace);
    }
    facts.add(&DIALOGUE_SIZE, dialogue.text_bytes(), Place::Trace);
    // In a conversation the agent may speak first, with a greeting.
    let is_task = |turn: &&Turn<'_>| match turn.kind {
        TurnKind::Task => !matches!(turn.speaker.to_ascii_lowercase().as_str(), "assistant" | "agent" | "ai" | "model" | "bot"),
        kind => kind == TurnKind::User,
    };
    if let Some(task) = dialogue.turns.iter().find(is_task)
        && let Some(span) = trace.spans.get(task.span)
    {
        facts.add(&TASK, shortened(first_line(task.text), TASK_CHARS_MAX), Place::Field(span, &task.field.to_string()));
    }
    if let Some(last) = dialogue.turns.last() {
        facts.add(&LAST_SPEAKER, speaker_of(last.kind, last.speaker), Place::Trace);
    }
    let Some((index, range)) = quoted else { return };
    let Some((turn, span)) = dialogue.turns.get(index).and_then(|turn| Some((turn, trace.spans.get(turn.span)?))) else { return };
    if let Some(words) = range.and_then(|range| words_around(turn.text, range)) {
        facts.add(&QUOTED_TURN, index + 1, Place::Span(span));
        facts.add(&QUOTED_SPEAKER, speaker_of(turn.kind, turn.speaker), Place::Span(span));
        facts.add(&QUOTED_TEXT, words, Place::Field(span, &turn.field.to_string()));
    }
}

/// A speaker in a sentence.
fn speaker_of(kind: TurnKind, name: &str) -> String {
    let is_role =
        matches!(name.to_ascii_lowercase().as_str(), "user" | "human" | "assistant" | "system" | "developer" | "tool" | "function" | "");
    match kind {
        TurnKind::User => "the user".to_owned(),
        TurnKind::Task => "the task".to_owned(),
        TurnKind::Tool if is_role => "a tool result".to_owned(),
        TurnKind::Tool => format!("the result of {}", shortened(name, 40)),
        TurnKind::System => "the instructions".to_owned(),
        TurnKind::FrameworkNotice => "a notice of the framework".to_owned(),
        TurnKind::Agent if is_role => "the agent".to_owned(),
        TurnKind::Agent => shortened(name, 40),
    }
}

/// The words of a range with the start of their sentence or, in a long one, some words before.
fn words_around(text: &str, range: Range<usize>) -> Option<String> {
    const CHARS_MAX: usize = 130;
    const CHARS_BEFORE_MAX: usize = 50;
    let before = text.get(..range.start)?;
    let window = before.char_indices().rev().nth(CHARS_BEFORE_MAX).map_or(0, |(at, _)| at);
    let near = before.get(window..)?;
    let ends = [". ", "! ", "? ", "\n"];
    let after_sentence = ends.iter().filter_map(|end| near.rfind(end).map(|at| at + end.len())).max();
    // Without a sentence that starts near, the words begin after a space.
    let at_word = || if window == 0 { Some(0) } else { near.find(char::is_whitespace).map(|at| at + 1) };
    let start = window + after_sentence.or_else(at_word).unwrap_or(near.len());
    let line = text.get(start..)?.trim_start();
    // Up to the end of the line of the match.
    let shown = line.split('\n').next().filter(|line| line.len() > 20).unwrap_or(line);
    let words = shortened(&shown.replace("\\n", " ").split_whitespace().take(60).collect::<Vec<_>>().join(" "), CHARS_MAX);
    (!words.is_empty()).then_some(words)
}

/// The first line of a task that says something: not a heading of a framework, such as `New task:`.
fn first_line(text: &str) -> &str {
    const HEADING_WORDS_MAX: usize = 4;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next().unwrap_or_default();
    let is_heading = first.ends_with(':') && first.split_whitespace().count() <= HEADING_WORDS_MAX || first.starts_with('#');
    if is_heading { lines.next().unwrap_or(first) } else { first }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_begin_with_a_sentence() {
        let text = "We have looked. I will assume that the price is 12 dollars. Then we go on.";
        let at = text.find("assume").unwrap();
        assert_eq!(words_around(text, at..at + 6).as_deref(), Some("I will assume that the price is 12 dollars. Then we go on."));
        let long = format!("{} assume {}", "word ".repeat(40), "more ".repeat(60));
        let at = long.find("assume").unwrap();
        let words = words_around(&long, at..at + 6).unwrap();
        assert!(words.starts_with("word ") && words.contains("assume") && words.ends_with('…'), "{words}");
        assert_eq!(words_around("é", 1..2), None);
    }
}
