//! What shows in a dialogue and no expression over one turn can tell: how long it is, how it ends, who takes part, whether the final
//! answer stands anywhere before.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::{Dialogue, Turn, Who, is_generic};
use crate::analyze::embedded::signals::expression;
use crate::limits::DIALOGUE_TEXT_BYTES_MAX;
use crate::model::excerpt_around;

/// Name and meaning of each measure, as rules name them.
pub(super) const MEASURES: [(&str, &str); 14] = [
    ("team", "three agents and more take part"),
    ("talks_to_user", "the agent talks with a user"),
    ("turns_few", "the run has at most 8 turns"),
    ("turns_some", "the run has 20 to 59 turns"),
    ("turns_many", "the run has 60 turns and more"),
    ("turns_over_22", "the run has more than 22 turns"),
    ("calls_tools", "the agents call tools"),
    ("agents_speak", "an agent speaks"),
    ("ends_on_tool", "the last word is a tool's"),
    ("ends_on_agent", "the last word is an agent's"),
    ("ends_on_user", "the last word is the user's"),
    ("repeats", "an agent says the same three times and more"),
    ("writes_unconfirmed", "the agent changes data and the user had not said yes"),
    ("final_unseen", "the final answer stands nowhere in what the run had found"),
];

/// Which measures hold, with the turn that shows it.
pub(super) fn measure(dialogue: &Dialogue<'_>) -> [Option<usize>; MEASURES.len()] {
    let turns = &dialogue.turns;
    let last = turns.len().saturating_sub(1);
    let count = turns.len();
    let who_ends = turns.last().map(|turn| turn.who);
    let by_user = |turn: &&Turn<'_>| turn.who == Who::User || (turn.who == Who::Task && is_generic(turn.name));
    let user_turns = turns.iter().filter(by_user).count();
    let first = |holds: bool| holds.then_some(0);
    let at_end = |holds: bool| holds.then_some(last);
    [
        first(dialogue.speakers().len() >= 3),
        first(user_turns >= 2),
        at_end(count <= 8),
        at_end((20..60).contains(&count)),
        at_end(count >= 60),
        at_end(count > 22),
        turns.iter().position(|turn| !turn.calls.is_empty()),
        turns.iter().position(|turn| turn.who == Who::Agent),
        at_end(who_ends == Some(Who::Tool)),
        at_end(who_ends == Some(Who::Agent)),
        at_end(who_ends == Some(Who::User)),
        repeats(turns),
        writes_unconfirmed(turns),
        final_unseen(turns),
    ]
}

fn repeats(turns: &[Turn<'_>]) -> Option<usize> {
    const ALIKE_MIN: usize = 3;
    const CHARS_MIN: usize = 60;
    let mut alike: HashMap<&str, usize> = HashMap::new();
    turns.iter().enumerate().filter(|(_, turn)| turn.who == Who::Agent && turn.text.len() > CHARS_MIN).find_map(|(index, turn)| {
        let start = excerpt_around(turn.text, 0..1);
        let count = alike.entry(start).and_modify(|count| *count += 1).or_insert(1);
        (*count >= ALIKE_MIN).then_some(index)
    })
}

/// A call that changes something, and the last word of the user before it is no yes.
fn writes_unconfirmed(turns: &[Turn<'_>]) -> Option<usize> {
    static WRITES: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"^(?:modify|cancel|return|exchange|delete|refund)_"));
    static YES: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(r"(?i)\b(?:yes|yep|yeah|sure|go ahead|confirm\w*|correct|proceed|please do|do that|let's do|sounds)\b")
    });
    let (writes, yes) = (WRITES.as_ref()?, YES.as_ref()?);
    let mut confirmed = false;
    let mut talks = false;
    for (index, turn) in turns.iter().enumerate() {
        match turn.who {
            Who::User | Who::Task => {
                talks |= turn.who == Who::User;
                confirmed = yes.is_match(turn.text);
            }
            Who::Agent if talks && !confirmed && turn.calls.iter().any(|call| writes.is_match(&call.name)) => return Some(index),
            _ => {}
        }
    }
    None
}

/// A final answer whose numbers stand nowhere before, or most of whose words.
fn final_unseen(turns: &[Turn<'_>]) -> Option<usize> {
    static FINAL: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"(?i)final answer: *([^\n]{1,400})"));
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"\d[\d,.]*\d|\d"));
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"[A-Za-z]{4,}"));
    const TURNS_BACK: usize = 3;
    const WORDS_MAX: usize = 20;
    let (last, found) = turns
        .iter()
        .enumerate()
        .rev()
        .take(TURNS_BACK)
        .find_map(|(index, turn)| Some((index, FINAL.as_ref()?.captures(turn.text)?.get(1)?)))?;
    let head = turns.get(last).and_then(|turn| turn.text.get(..found.start())).unwrap_or_default();
    // The latest come first, so that a bound on how much is read costs the oldest.
    let before: Vec<&str> = turns
        .iter()
        .take(last)
        .rev()
        .scan(DIALOGUE_TEXT_BYTES_MAX, |left, turn| {
            let part = (*left > 0).then_some(turn.text)?;
            *left = left.saturating_sub(part.len());
            Some(part)
        })
        .collect();
    let stands = |what: &str| head.contains(what) || before.iter().any(|text| text.contains(what));
    let numbers: Vec<&str> = NUMBER.as_ref()?.find_iter(found.as_str()).take(WORDS_MAX).map(|number| number.as_str()).collect();
    let number_unseen = !numbers.is_empty() && !numbers.iter().any(|number| stands(number) || stands(&number.replace(',', "")));
    let words: Vec<&str> = WORD.as_ref()?.find_iter(found.as_str()).take(WORDS_MAX).map(|word| word.as_str()).collect();
    let words_unseen = || !words.is_empty() && words.iter().filter(|word| stands(word)).count() * 2 < words.len();
    (number_unseen || words_unseen()).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldName, ToolCall};

    fn turn<'t>(who: Who, text: &'t str, calls: &'t [ToolCall]) -> Turn<'t> {
        Turn { who, name: "", text, calls, span: 0, field: FieldName::Plain("output_text") }
    }

    #[test]
    fn a_change_without_a_yes_is_noticed() {
        let call = [ToolCall { name: "cancel_order".into(), ..ToolCall::default() }];
        let run = |answer: &'static str| {
            let turns = [
                turn(Who::Task, "cancel it", &[]),
                turn(Who::Agent, "sure?", &[]),
                turn(Who::User, answer, &[]),
                turn(Who::Agent, "", &call),
            ];
            writes_unconfirmed(&turns)
        };
        assert_eq!((run("Yes, please."), run("What would it cost?")), (None, Some(3)));
    }

    #[test]
    fn a_final_answer_from_nowhere_is_noticed() {
        let run = |found: &'static str, answer: &'static str| final_unseen(&[turn(Who::Tool, found, &[]), turn(Who::Agent, answer, &[])]);
        assert_eq!(run("the volume is 0.1777 m3", "FINAL ANSWER: 0.1777"), None);
        assert_eq!(run("Error 404", "FINAL ANSWER: 12.6"), Some(1));
        assert_eq!(run("Error 404", "FINAL ANSWER: Harbour Street Cafe"), Some(1));
        assert_eq!(run("Error 404", "done"), None);
    }
}
