//! The dialogue of a run: who said what, in order, whatever the format of the trace.
//!
//! Comes in: a redacted trace. Goes out: turns, each with the span and field in which it stands. `signals` finds what shows in them,
//! `measures` counts what no expression can, `weights` says which failure that makes likely.

mod finder;
mod measures;
mod signals;
mod weights;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

pub(super) use self::signals::{Sightings, SignalEntry, Signals};
pub(super) use self::weights::{Ranked, Weights};
use super::tree::SpanTree;
use crate::limits::DIALOGUE_TURNS_MAX;
use crate::model::{FieldName, Message, Span, SpanKind, ToolCall, Trace, last_segment};
use crate::runtime::{Deadline, TimedOut};

/// Who speaks in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Instructions of the application.
    System,
    /// What starts the run, by a user or by another program.
    Task,
    /// A person.
    User,
    /// A model in some role.
    Agent,
    /// A tool, or code that was run.
    Tool,
    /// A framework's word to the agents, which is nobody's work.
    Notice,
}

/// One turn of the dialogue.
#[derive(Debug)]
pub(super) struct Turn<'t> {
    pub(super) who: Who,
    /// Name of the speaker, where the trace has one.
    pub(super) name: &'t str,
    pub(super) text: &'t str,
    pub(super) calls: &'t [ToolCall],
    /// Of the span in the trace.
    pub(super) span: usize,
    pub(super) field: FieldName<'static>,
}

/// The turns of a run.
#[derive(Debug, Default)]
pub(super) struct Dialogue<'t> {
    pub(super) turns: Vec<Turn<'t>>,
}

impl<'t> Dialogue<'t> {
    /// Collects the turns. A message that a later call carries along as history is one turn.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(super) fn of(trace: &'t Trace, tree: &SpanTree, deadline: Deadline) -> Result<Self, TimedOut> {
        let mut dialogue = Self::default();
        let mut seen = HashSet::new();
        let mut started = false;
        for (index, span) in trace.spans.iter().enumerate() {
            deadline.check()?;
            if dialogue.turns.len() >= DIALOGUE_TURNS_MAX {
                break;
            }
            // A span that is one message (a chat log) repeats nothing; a model call repeats all that was said before.
            let carries_history = span.kind == SpanKind::Llm;
            for (number, message) in span.input.iter().enumerate() {
                if seen.insert(digest(message)) || !carries_history {
                    let field = FieldName::Item("input", number, "content");
                    dialogue.push(turn(index, span_name(span, message), message, field, &mut started));
                }
            }
            if let Some(tool) = &span.tool {
                let text = tool.result.as_deref().unwrap_or_default();
                seen.insert(digest_of(text, &[]));
                let field = FieldName::Plain("tool.result");
                dialogue.push(Turn { who: Who::Tool, name: &tool.name, text, calls: &[], span: index, field });
            }
            for (number, message) in span.output.iter().enumerate() {
                seen.insert(digest(message));
                let name = if is_generic(&span.name) { agent_name(trace, tree, index) } else { &span.name };
                dialogue.push(turn(index, name, message, FieldName::Item("output", number, "content"), &mut started));
            }
        }
        Ok(dialogue)
    }

    fn push(&mut self, turn: Turn<'t>) {
        if self.turns.len() < DIALOGUE_TURNS_MAX {
            self.turns.push(turn);
        }
    }

    /// Whether there is more to it than a question and an answer.
    pub(super) fn is_long(&self) -> bool {
        const TURNS_MIN: usize = 5;
        self.turns.len() >= TURNS_MIN
    }

    /// Whether several take part, a user comes back, or code is written and run in turns: only then a dialogue can fail without any
    /// step that does.
    pub(super) fn is_conversation(&self) -> bool {
        let by_user = |turn: &&Turn<'_>| turn.who == Who::User || (turn.who == Who::Task && is_generic(turn.name));
        let of_users = self.turns.iter().filter(by_user).count();
        let runs_code = || self.turns.iter().any(|turn| turn.who == Who::Notice || (turn.who == Who::Tool && is_code_result(turn.text)));
        self.is_long() && (self.speakers().len() >= 2 || of_users >= 2 || runs_code())
    }

    /// Names of the agents that speak, without what a framework adds to them: `Orchestrator (thought)` is `orchestrator`.
    pub(super) fn speakers(&self) -> HashSet<String> {
        let agents = self.turns.iter().filter(|turn| matches!(turn.who, Who::Agent | Who::Task) && !turn.name.is_empty());
        agents.map(|turn| speaker(turn.name)).filter(|name| !matches!(name.as_str(), "user" | "human")).collect()
    }
}

/// The turn that a message is. The first of a person or an agent is the task.
fn turn<'t>(span: usize, name: &'t str, message: &'t Message, field: FieldName<'static>, started: &mut bool) -> Turn<'t> {
    let text = message.content.as_str();
    let who = match message.role.as_str() {
        _ if is_code_result(text) => Who::Tool,
        _ if is_notice(text) => Who::Notice,
        "tool" | "function" => Who::Tool,
        "system" | "developer" => Who::System,
        _ if !*started => Who::Task,
        "user" | "human" if name.is_empty() || is_generic(name) => Who::User,
        _ => Who::Agent,
    };
    *started |= who == Who::Task;
    Turn { who, name, text, calls: &message.tool_calls, span, field }
}

/// The name of a speaker without roles in brackets, in lower case.
fn speaker(name: &str) -> String {
    name.split('(').next().unwrap_or_default().trim().to_lowercase()
}

fn span_name<'t>(span: &'t Span, message: &'t Message) -> &'t str {
    if span.kind == SpanKind::Llm || is_generic(&span.name) { &message.role } else { &span.name }
}

/// Roles that name nobody.
fn is_generic(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "user" | "human" | "assistant" | "system" | "developer" | "tool" | "function" | "")
}

/// The agent in whose turn a model was called.
fn agent_name<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> &'t str {
    let mut above = tree.self_and_ancestors(index).skip(1).filter_map(|above| trace.spans.get(above));
    above.find(|span| span.kind == SpanKind::Agent).map_or("assistant", |span| last_segment(&span.name))
}

/// What `AutoGen`'s code executor writes.
fn is_code_result(text: &str) -> bool {
    text.starts_with("exitcode: ")
}

/// What `AutoGen` tells a group that has no code to run.
fn is_notice(text: &str) -> bool {
    text.starts_with("There is no code from the last")
}

fn digest(message: &Message) -> u64 {
    digest_of(&message.content, &message.tool_calls)
}

fn digest_of(text: &str, calls: &[ToolCall]) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    for call in calls {
        (&call.name, &call.arguments).hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn message(role: &str, content: &str) -> Message {
        Message { role: role.into(), content: content.into(), ..Message::default() }
    }

    fn turns(trace: &Trace) -> Vec<(Who, String, String)> {
        let dialogue = Dialogue::of(trace, &SpanTree::of(trace), Deadline::after(Duration::from_mins(1))).unwrap();
        dialogue.turns.iter().map(|turn| (turn.who, turn.name.to_owned(), turn.text.to_owned())).collect()
    }

    #[test]
    fn history_that_is_carried_along_is_one_turn() {
        let call = |input: Vec<Message>, output: &str| Span {
            kind: SpanKind::Llm,
            input,
            output: vec![message("assistant", output)],
            ..Span::default()
        };
        let trace = Trace {
            spans: vec![
                call(vec![message("system", "be kind"), message("user", "hi")], "hello"),
                call(
                    vec![message("system", "be kind"), message("user", "hi"), message("assistant", "hello"), message("user", "more")],
                    "yes",
                ),
            ],
            ..Trace::default()
        };
        let said: Vec<_> = turns(&trace).into_iter().map(|(who, _, text)| (who, text)).collect();
        let expected = [(Who::System, "be kind"), (Who::Task, "hi"), (Who::Agent, "hello"), (Who::User, "more"), (Who::Agent, "yes")];
        assert_eq!(said, expected.map(|(who, text)| (who, text.to_owned())));
    }

    #[test]
    fn a_chat_log_repeats_nothing_and_names_its_agents() {
        let said = |name: &str, role: &str, text: &str| Span { name: name.into(), input: vec![message(role, text)], ..Span::default() };
        let trace = Trace {
            spans: vec![
                said("user", "user", "solve"),
                said("Computer_terminal", "user", "exitcode: 0 ok"),
                said("Math_Expert", "user", "so"),
                said("Math_Expert", "user", "so"),
            ],
            ..Trace::default()
        };
        let who: Vec<_> = turns(&trace).into_iter().map(|(who, name, _)| (who, name)).collect();
        let expected = [(Who::Task, "user"), (Who::Tool, "Computer_terminal"), (Who::Agent, "Math_Expert"), (Who::Agent, "Math_Expert")];
        assert_eq!(who, expected.map(|(who, name)| (who, name.to_owned())));
    }
}
