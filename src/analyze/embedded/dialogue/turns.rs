//! The turns of a run, in order, for every trace format: chat logs with a span for each message, and model calls that repeat the history.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::tree::SpanTree;
use crate::limits::DIALOGUE_TURNS_MAX;
use crate::model::{FieldName, Message, Span, SpanKind, ToolCall, Trace, last_segment};
use crate::runtime::{Deadline, TimedOut};

/// What kind of turn it is, by its speaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::analyze::embedded) enum TurnKind {
    /// Instructions of the application.
    System,
    /// The message that starts the run, from a user or another program.
    Task,
    /// A later message of a user.
    User,
    /// A message of a model.
    Agent,
    /// The result of a tool, or of code that was run.
    Tool,
    /// A message of the agent framework.
    FrameworkNotice,
}

/// One turn of a dialogue.
#[derive(Debug)]
pub(in crate::analyze::embedded) struct Turn<'t> {
    pub(in crate::analyze::embedded) kind: TurnKind,
    /// The speaker's name; empty if the trace has none.
    pub(in crate::analyze::embedded) speaker: &'t str,
    pub(in crate::analyze::embedded) text: &'t str,
    pub(in crate::analyze::embedded) calls: &'t [ToolCall],
    /// Index of the span in the trace.
    pub(in crate::analyze::embedded) span: usize,
    pub(in crate::analyze::embedded) field: FieldName<'static>,
}

/// The turns of a run.
#[derive(Debug, Default)]
pub(in crate::analyze::embedded) struct Dialogue<'t> {
    pub(in crate::analyze::embedded) turns: Vec<Turn<'t>>,
}

impl<'t> Dialogue<'t> {
    /// Collects the turns of a trace. A message that later model calls repeat as history becomes one turn.
    ///
    /// # Errors
    /// [`TimedOut`].
    pub(in crate::analyze::embedded) fn collect(trace: &'t Trace, tree: &SpanTree, deadline: Deadline) -> Result<Self, TimedOut> {
        let mut dialogue = Self::default();
        let mut seen = HashSet::new();
        let mut started = false;
        // An agent and its steps repeat the messages of the model calls below them.
        let has_model_calls =
            trace.spans.iter().any(|span| span.kind == SpanKind::Llm && !(span.input.is_empty() && span.output.is_empty()));
        let repeats_model_calls = |span: &Span| has_model_calls && matches!(span.kind, SpanKind::Agent | SpanKind::Chain);
        for (index, span) in trace.spans.iter().enumerate().filter(|(_, span)| !repeats_model_calls(span)) {
            deadline.check()?;
            if dialogue.turns.len() >= DIALOGUE_TURNS_MAX {
                break;
            }
            // A model call repeats all earlier messages. A chat log does not: the same message twice is two turns there.
            let repeats_history = span.kind == SpanKind::Llm;
            for (number, message) in span.input.iter().enumerate() {
                if seen.insert(message_hash(message)) || !repeats_history {
                    let field = FieldName::Item("input", number, "content");
                    dialogue.push(turn(index, input_speaker(span, message), message, field, &mut started));
                }
            }
            // A tool result is a turn at its own span, not again when the next model call receives it as a message.
            if let Some(tool) = &span.tool {
                let text = tool.result.as_deref().unwrap_or_default();
                seen.insert(content_hash(text, &[]));
                let field = FieldName::Plain("tool.result");
                dialogue.push(Turn { kind: TurnKind::Tool, speaker: &tool.name, text, calls: &[], span: index, field });
            }
            for (number, message) in span.output.iter().enumerate() {
                seen.insert(message_hash(message));
                // The agent around a model call is the speaker: instrumentations name the call after the operation, the step or the role.
                let agent = agent_name(trace, tree, index).filter(|_| span.kind == SpanKind::Llm);
                let speaker = agent.unwrap_or(if is_role_name(&span.name) { "assistant" } else { &span.name });
                dialogue.push(turn(index, speaker, message, FieldName::Item("output", number, "content"), &mut started));
            }
        }
        Ok(dialogue)
    }

    fn push(&mut self, turn: Turn<'t>) {
        if self.turns.len() < DIALOGUE_TURNS_MAX {
            self.turns.push(turn);
        }
    }

    /// Whether there are more turns than a question, a tool call and an answer.
    pub(in crate::analyze::embedded) fn is_long(&self) -> bool {
        const TURNS_MIN: usize = 5;
        self.turns.len() >= TURNS_MIN
    }

    /// Whether several agents take part, a user replies, or an agent writes code and reads its output.
    ///
    /// Only such a dialogue can fail without a failed step. A single answer to a single question cannot be judged by its words.
    pub(in crate::analyze::embedded) fn is_conversation(&self) -> bool {
        let runs_code = || {
            self.turns
                .iter()
                .any(|turn| turn.kind == TurnKind::FrameworkNotice || (turn.kind == TurnKind::Tool && is_code_result(turn.text)))
        };
        self.is_long() && (self.speakers().len() >= 2 || self.user_turns() >= 2 || runs_code())
    }

    /// How many turns are messages of a user. A task counts unless an agent wrote it, such as a planner.
    pub(super) fn user_turns(&self) -> usize {
        let is_user = |turn: &&Turn<'_>| turn.kind == TurnKind::User || (turn.kind == TurnKind::Task && is_role_name(turn.speaker));
        self.turns.iter().filter(is_user).count()
    }

    /// The names of the agents that take part, as [`normalized_speaker`].
    pub(super) fn speakers(&self) -> HashSet<String> {
        // In a team without users an agent, such as a planner, writes the task.
        let agents = self.turns.iter().filter(|turn| matches!(turn.kind, TurnKind::Agent | TurnKind::Task) && !turn.speaker.is_empty());
        agents.map(|turn| normalized_speaker(turn.speaker)).filter(|name| !matches!(name.as_str(), "user" | "human")).collect()
    }
}

/// The turn of a message. The first message that is not an instruction, a tool result or a notice is the task.
fn turn<'t>(span: usize, speaker: &'t str, message: &'t Message, field: FieldName<'static>, started: &mut bool) -> Turn<'t> {
    let text = message.content.as_str();
    let kind = match message.role.as_str() {
        // AutoGen sends results and notices with the role `user`, so their texts are checked before the role.
        _ if is_code_result(text) => TurnKind::Tool,
        _ if is_framework_notice(text) => TurnKind::FrameworkNotice,
        "tool" | "function" => TurnKind::Tool,
        "system" | "developer" => TurnKind::System,
        _ if !*started => TurnKind::Task,
        // With a name such as `Math_Expert`, the role `user` only means that the message is input of another agent.
        "user" | "human" if speaker.is_empty() || is_role_name(speaker) => TurnKind::User,
        _ => TurnKind::Agent,
    };
    *started |= kind == TurnKind::Task;
    Turn { kind, speaker, text, calls: &message.tool_calls, span, field }
}

/// A speaker's name in lower case, without a part in parentheses: `Orchestrator (thought)` becomes `orchestrator`.
pub(super) fn normalized_speaker(name: &str) -> String {
    name.split('(').next().unwrap_or_default().trim().to_lowercase()
}

/// The speaker of an input message: the role in a model call, the span's name in a chat log.
fn input_speaker<'t>(span: &'t Span, message: &'t Message) -> &'t str {
    if span.kind == SpanKind::Llm || is_role_name(&span.name) { &message.role } else { &span.name }
}

/// Whether a name is only a role, and not the name of a speaker.
fn is_role_name(name: &str) -> bool {
    matches!(name.to_ascii_lowercase().as_str(), "user" | "human" | "assistant" | "system" | "developer" | "tool" | "function" | "")
}

/// The name of the agent span around a model call; `None` if there is none.
fn agent_name<'t>(trace: &'t Trace, tree: &SpanTree, index: usize) -> Option<&'t str> {
    let mut ancestors = tree.self_and_ancestors(index).skip(1).filter_map(|ancestor| trace.spans.get(ancestor));
    ancestors.find(|span| span.kind == SpanKind::Agent).map(|span| last_segment(&span.name))
}

/// Whether a text is the output of `AutoGen`'s code executor: `exitcode: 1 (execution failed)`.
fn is_code_result(text: &str) -> bool {
    text.starts_with("exitcode: ")
}

/// Whether a text is `AutoGen`'s notice for a message without code.
fn is_framework_notice(text: &str) -> bool {
    text.starts_with("There is no code from the last")
}

fn message_hash(message: &Message) -> u64 {
    content_hash(&message.content, &message.tool_calls)
}

fn content_hash(text: &str, calls: &[ToolCall]) -> u64 {
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

    fn turns(trace: &Trace) -> Vec<(TurnKind, String, String)> {
        let dialogue = Dialogue::collect(trace, &SpanTree::new(trace), Deadline::after(Duration::from_mins(1))).unwrap();
        dialogue.turns.iter().map(|turn| (turn.kind, turn.speaker.to_owned(), turn.text.to_owned())).collect()
    }

    #[test]
    fn a_message_repeated_as_history_is_one_turn() {
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
        let found: Vec<_> = turns(&trace).into_iter().map(|(kind, _, text)| (kind, text)).collect();
        let expected = [
            (TurnKind::System, "be kind"),
            (TurnKind::Task, "hi"),
            (TurnKind::Agent, "hello"),
            (TurnKind::User, "more"),
            (TurnKind::Agent, "yes"),
        ];
        assert_eq!(found, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn a_chat_log_keeps_equal_messages_and_names_its_agents() {
        let log_entry =
            |name: &str, role: &str, text: &str| Span { name: name.into(), input: vec![message(role, text)], ..Span::default() };
        let trace = Trace {
            spans: vec![
                log_entry("user", "user", "solve"),
                log_entry("Computer_terminal", "user", "exitcode: 0 ok"),
                log_entry("Math_Expert", "user", "so"),
                log_entry("Math_Expert", "user", "so"),
            ],
            ..Trace::default()
        };
        let found: Vec<_> = turns(&trace).into_iter().map(|(kind, speaker, _)| (kind, speaker)).collect();
        let expected = [
            (TurnKind::Task, "user"),
            (TurnKind::Tool, "Computer_terminal"),
            (TurnKind::Agent, "Math_Expert"),
            (TurnKind::Agent, "Math_Expert"),
        ];
        assert_eq!(found, expected.map(|(kind, speaker)| (kind, speaker.to_owned())));
    }
}
