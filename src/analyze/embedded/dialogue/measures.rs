//! Signals that no expression over one turn can find: the length of the dialogue, how it ends, who takes part, and whether the final answer
//! occurs in an earlier turn.

use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use super::super::text::expression;
use super::turns::{Dialogue, Turn, TurnKind};
use crate::limits::{DIALOGUE_TEXT_BYTES_MAX, RULE_TEXT_END_BYTES_MAX};
use crate::model::{excerpt_around, last_segment};

/// Id and description of each measure. Rules reference them by id, like other signals.
pub(super) const MEASURES: [(&str, &str); 18] = [
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
    ("tools_answer", "a tool or a retriever answers"),
    ("several_agents", "at least two agents take part"),
    ("turns_over_30", "the run has more than 30 turns"),
    ("objection_after_write", "the user objected to a change that the agent had made"),
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
        answering_tool(dialogue),
        at_start(dialogue.speakers().len() >= 2),
        at_end(count > 30),
        objection_after_write(turns),
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

/// The first result of a tool or a retriever, also if no message records the call.
fn answering_tool(dialogue: &Dialogue<'_>) -> Option<usize> {
    let last = dialogue.turns.len().checked_sub(1)?;
    let span = dialogue.acts_at.map(|turn| turn.min(last));
    let turn = dialogue.turns.iter().position(|turn| turn.kind == TurnKind::Tool);
    [span, turn].into_iter().flatten().min()
}

/// A message in which the user objects to what the agent has done, after a call that changed data.
///
/// "I only want to exchange the lamp" before the call is a request, so the words must be about the past, or demand that it be undone.
fn objection_after_write(turns: &[Turn<'_>]) -> Option<usize> {
    static OBJECTION: LazyLock<Option<Regex>> = LazyLock::new(|| {
        expression(concat!(
            // The verbs of requests: "I just wanted to say thanks" is no objection.
            r"(?i)\b(?:(?:i|we) (?:only|just) (?:wanted|meant|asked|needed)(?: you| for you)? (?:to (?:cancel|return|exchange|change|modify|update|delete|remove|book|order|send|refund|move|rename|edit|fix|replace|add|upgrade)|the|that|this|one|half|part|for)\b",
            r"|(?:i|we) (?:did(?: not|n.?t)|never) (?:ask(?:ed)?|want(?:ed)?|request(?:ed)?|agreed?|authori[sz]ed?|approved?|told|tell)(?: for| to| you)* (?:that|this|it|you|to|the|a|any|all)\b",
            r"|(?:this|that|it)(?: is|.?s)(?: definitely| really)? not (?:at all )?what (?:i|we) (?:asked|wanted|meant|said|requested|ordered)",
            r"|you (?:should(?: not|n.?t) have|were(?: not|n.?t) supposed to|had no (?:right|permission) to)\b",
            r"|why did you (?:cancel|change|modify|return|exchange|delete|remove|book|charge|update|send|refund|overwrite)\b",
            r"|you(?:.ve| have)? (?:just )?(?:cancel+ed|changed|modified|returned|exchanged|deleted|removed|booked|charged|updated|sent|refunded|overwrote|overwritten) (?:the wrong|(?:the|my) (?:entire|whole)|everything|all of))"
        ))
    });
    let objection = OBJECTION.as_ref()?;
    let mut has_written = false;
    for (index, turn) in turns.iter().enumerate() {
        if has_written && turn.kind == TurnKind::User && objection.is_match(excerpt_of_end(turn.text)) {
            return Some(index);
        }
        has_written |= turn.kind == TurnKind::Agent && turn.calls.iter().any(|call| changes_data(&call.name));
    }
    None
}

/// Whether a tool changes data, by the first verb of its name: `modify_order`, `calendar.deleteEvent`, `crm-update-contact`, but not `get_order`.
fn changes_data(tool: &str) -> bool {
    const READS: [&str; 16] = [
        "get",
        "list",
        "find",
        "search",
        "read",
        "fetch",
        "show",
        "check",
        "lookup",
        "look",
        "view",
        "describe",
        "query",
        "count",
        "preview",
        "calculate",
    ];
    const WRITES: [&str; 38] = [
        "modify",
        "cancel",
        "return",
        "exchange",
        "update",
        "delete",
        "remove",
        "create",
        "book",
        "send",
        "submit",
        "order",
        "pay",
        "refund",
        "charge",
        "set",
        "change",
        "apply",
        "place",
        "issue",
        "reschedule",
        "upgrade",
        "downgrade",
        "close",
        "revoke",
        "merge",
        "deploy",
        "write",
        "edit",
        "add",
        "insert",
        "move",
        "rename",
        "post",
        "put",
        "patch",
        "transfer",
        "replace",
    ];
    /// Words before the verb name a service or a subject.
    const WORDS_MAX: usize = 8;
    let name = last_segment(tool);
    let is_start = |index: usize, c: char| c.is_uppercase() && name.get(..index).is_some_and(|before| before.ends_with(char::is_lowercase));
    let mut spaced = String::with_capacity(name.len());
    for (index, c) in name.char_indices() {
        if is_start(index, c) {
            spaced.push(' ');
        }
        spaced.extend(c.to_lowercase());
    }
    let mut words = spaced.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).take(WORDS_MAX);
    // A handover to a person changes nothing.
    let is_handover = name.starts_with("transfer_to") || name.starts_with("transferTo");
    !is_handover && words.find(|word| READS.contains(word) || WRITES.contains(word)).is_some_and(|verb| WRITES.contains(&verb))
}

/// The end of a message, at most as long as an expression may search.
fn excerpt_of_end(text: &str) -> &str {
    let mut start = text.len().saturating_sub(RULE_TEXT_END_BYTES_MAX);
    while !text.is_char_boundary(start) {
        start += 1;
    }
    text.get(start..).unwrap_or(text)
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
    fn tools_that_change_data_are_known_by_their_verb() {
        for name in
            ["modify_user_address", "calendar.deleteEvent", "crm-update-contact", "git_merge", "mcp__files__write_file", "sendEmail"]
        {
            assert!(changes_data(name), "{name}");
        }
        for name in ["get_order", "listUpdates", "search-bookings", "transfer_to_human_agents", "think", "calculate", ""] {
            assert!(!changes_data(name), "{name}");
        }
    }

    #[test]
    fn an_objection_counts_only_after_a_change() {
        let call = |name: &str| [ToolCall { name: name.into(), ..ToolCall::default() }];
        let run = |name: &str, words: &str| {
            let calls = call(name);
            let turns = [
                turn(TurnKind::Task, "I only wanted to return the lamp.", &[]),
                turn(TurnKind::Agent, "", &calls),
                turn(TurnKind::Tool, "ok", &[]),
                turn(TurnKind::Agent, "Done.", &[]),
                turn(TurnKind::User, words, &[]),
            ];
            objection_after_write(&turns)
        };
        for (name, words) in [
            ("cancel_pending_order", "I only wanted to cancel the hose, not the rest."),
            ("calendar.delete_event", "That's not what I asked for."),
            ("sendEmail", "But I never asked you to write to him!"),
            ("crm-update-contact", "You changed the wrong one."),
            ("git_merge", "You were not supposed to do it yet."),
            ("refund_payment", "Why did you refund it?"),
            ("book_table", "I didn't want that."),
        ] {
            assert_eq!(run(name, words), Some(4), "{name}: {words}");
        }
        for (name, words) in [
            ("cancel_pending_order", "I just wanted to say thanks."),
            ("cancel_pending_order", "I only want to exchange the lamp, nothing else."),
            ("cancel_pending_order", "I ordered the wrong item once, can I return that as well?"),
            ("get_order", "That's not what I asked for."),
            ("list_updates", "I never asked you to look there."),
            ("modify_address", "I didn't know that. Thanks!"),
        ] {
            assert_eq!(run(name, words), None, "{name}: {words}");
        }
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
