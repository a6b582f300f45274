//! Signals that no expression over one turn can find: the length of the dialogue, how it ends, who takes part, and whether the final answer
//! occurs in an earlier turn.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::super::text::expression;
use super::turns::{Dialogue, Turn, TurnKind};
use crate::limits::DIALOGUE_TEXT_BYTES_MAX;
use crate::model::excerpt_around;

/// Id and description of each measure. Rules reference them by id, like other signals.
pub(super) const MEASURES: [(&str, &str); 14] = [
    ("team", "at least three agents take part"),
    ("talks_to_user", "the agent talks with a user"),
    ("turns_few", "the run has at most 8 turns"),
    ("turns_some", "the run has 20 to 59 turns"),
    ("turns_many", "the run has at least 60 turns"),
    ("turns_over_22", "the run has more than 22 turns"),
    ("calls_tools", "the agents call tools"),
    ("agents_speak", "an agent speaks"),
    ("ends_on_tool", "the last turn is the result of a tool"),
    ("ends_on_agent", "the last turn is a message of an agent"),
    ("ends_on_user", "the last turn is a message of the user"),
    ("repeats", "an agent sends the same message at least three times"),
    ("writes_unconfirmed", "the agent changed data without the user's confirmation"),
    ("final_unseen", "the final answer does not occur in what the run had found"),
];

/// The turn that shows each measure, in the order of [`MEASURES`]; `None` if it does not apply.
pub(super) fn measure(dialogue: &Dialogue<'_>) -> [Option<usize>; MEASURES.len()] {
    let turns = &dialogue.turns;
    let last = turns.len().saturating_sub(1);
    let count = turns.len();
    let last_kind = turns.last().map(|turn| turn.kind);
    let at_start = |applies: bool| applies.then_some(0);
    let at_end = |applies: bool| applies.then_some(last);
    [
        at_start(dialogue.speakers().len() >= 3),
        at_start(dialogue.user_turns() >= 2),
        at_end(count <= 8),
        at_end((20..60).contains(&count)),
        at_end(count >= 60),
        at_end(count > 22),
        turns.iter().position(|turn| !turn.calls.is_empty()),
        turns.iter().position(|turn| turn.kind == TurnKind::Agent),
        at_end(last_kind == Some(TurnKind::Tool)),
        at_end(last_kind == Some(TurnKind::Agent)),
        at_end(last_kind == Some(TurnKind::User)),
        repeated_message(turns),
        unconfirmed_write(turns),
        unseen_final_answer(turns),
    ]
}

/// The third agent message that starts the same way. Short messages (`Done.`, `TERMINATE`) repeat in healthy runs, so they do not count.
fn repeated_message(turns: &[Turn<'_>]) -> Option<usize> {
    const REPETITIONS_MIN: usize = 3;
    const BYTES_MIN: usize = 60;
    let mut counts: HashMap<&str, usize> = HashMap::new();
    turns.iter().enumerate().filter(|(_, turn)| turn.kind == TurnKind::Agent && turn.text.len() > BYTES_MIN).find_map(|(index, turn)| {
        // Only the start is compared, so that a changed number or date at the end does not hide a repetition.
        let start = excerpt_around(turn.text, 0..1);
        let count = counts.entry(start).and_modify(|count| *count += 1).or_insert(1);
        (*count >= REPETITIONS_MIN).then_some(index)
    })
}

/// A tool call that changes data although the user's last message is not a confirmation. Example: the user asks "What would it cost?", and
/// the agent calls `cancel_order`.
///
/// Applies only after the user has replied at least once. An agent that gets its whole task in one message has nobody to ask.
fn unconfirmed_write(turns: &[Turn<'_>]) -> Option<usize> {
    // Creating something (`book_`, `order_`) is usually the request itself, so it needs no further confirmation.
    static WRITE_CALL: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"^(?:modify|cancel|return|exchange|delete|refund)_"));
    static CONFIRMATION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(r"(?i)\b(?:yes|yep|yeah|sure|go ahead|confirm\w*|correct|proceed|please do|do that|let's do|sounds)\b")
    });
    let (write_call, confirmation) = (WRITE_CALL.as_ref()?, CONFIRMATION.as_ref()?);
    let mut confirmed = false;
    let mut user_replied = false;
    for (index, turn) in turns.iter().enumerate() {
        match turn.kind {
            TurnKind::User | TurnKind::Task => {
                user_replied |= turn.kind == TurnKind::User;
                confirmed = confirmation.is_match(turn.text);
            }
            TurnKind::Agent if user_replied && !confirmed && turn.calls.iter().any(|call| write_call.is_match(&call.name)) => {
                return Some(index);
            }
            _ => {}
        }
    }
    None
}

/// A final answer none of whose numbers, or less than half of whose words, occur in an earlier turn.
///
/// Example: every page returned "Error 404", and the run answers "FINAL ANSWER: Harbour Street Cafe". Words shorter than four letters occur in
/// every text, so they are ignored.
fn unseen_final_answer(turns: &[Turn<'_>]) -> Option<usize> {
    static FINAL: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"(?i)final answer: *([^\n]{1,400})"));
    static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"\d[\d,.]*\d|\d"));
    static WORD: LazyLock<Option<Regex>> = LazyLock::new(|| expression(r"[A-Za-z]{4,}"));
    /// A framework may add a turn or two after the answer (`TERMINATE`).
    const TURNS_FROM_END_MAX: usize = 3;
    const WORDS_MAX: usize = 20;
    let (last, answer) = turns
        .iter()
        .enumerate()
        .rev()
        .take(TURNS_FROM_END_MAX)
        .find_map(|(index, turn)| Some((index, FINAL.as_ref()?.captures(turn.text)?.get(1)?)))?;
    let same_turn_before = turns.get(last).and_then(|turn| turn.text.get(..answer.start())).unwrap_or_default();
    // Latest turns first: if the byte limit is reached, the oldest ones are left out.
    let earlier: Vec<&str> = turns
        .iter()
        .take(last)
        .rev()
        .scan(DIALOGUE_TEXT_BYTES_MAX, |bytes_left, turn| {
            let text = (*bytes_left > 0).then_some(turn.text)?;
            *bytes_left = bytes_left.saturating_sub(text.len());
            Some(text)
        })
        .collect();
    let is_seen = |term: &str| same_turn_before.contains(term) || earlier.iter().any(|text| text.contains(term));
    let numbers: Vec<&str> = NUMBER.as_ref()?.find_iter(answer.as_str()).take(WORDS_MAX).map(|number| number.as_str()).collect();
    // `1,000` in the answer may be `1000` in a tool result.
    let numbers_unseen = !numbers.is_empty() && !numbers.iter().any(|number| is_seen(number) || is_seen(&number.replace(',', "")));
    let words: Vec<&str> = WORD.as_ref()?.find_iter(answer.as_str()).take(WORDS_MAX).map(|word| word.as_str()).collect();
    let words_unseen = || !words.is_empty() && words.iter().filter(|word| is_seen(word)).count() * 2 < words.len();
    (numbers_unseen || words_unseen()).then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FieldName, ToolCall};

    fn turn<'t>(kind: TurnKind, text: &'t str, calls: &'t [ToolCall]) -> Turn<'t> {
        Turn { kind, speaker: "", text, calls: calls.into(), span: 0, field: FieldName::Plain("output_text") }
    }

    #[test]
    fn a_write_without_confirmation_is_found() {
        let call = [ToolCall { name: "cancel_order".into(), ..ToolCall::default() }];
        let run = |answer: &'static str| {
            let turns = [
                turn(TurnKind::Task, "cancel it", &[]),
                turn(TurnKind::Agent, "sure?", &[]),
                turn(TurnKind::User, answer, &[]),
                turn(TurnKind::Agent, "", &call),
            ];
            unconfirmed_write(&turns)
        };
        assert_eq!((run("Yes, please."), run("What would it cost?")), (None, Some(3)));
    }

    #[test]
    fn a_final_answer_that_occurs_nowhere_before_is_found() {
        let run = |found: &'static str, answer: &'static str| {
            unseen_final_answer(&[turn(TurnKind::Tool, found, &[]), turn(TurnKind::Agent, answer, &[])])
        };
        assert_eq!(run("the volume is 0.1777 m3", "FINAL ANSWER: 0.1777"), None);
        assert_eq!(run("Error 404", "FINAL ANSWER: 12.6"), Some(1));
        assert_eq!(run("Error 404", "FINAL ANSWER: Harbour Street Cafe"), Some(1));
        assert_eq!(run("Error 404", "done"), None);
    }
}
