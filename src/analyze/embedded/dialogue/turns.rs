//! The turns of a run, in order, for every trace format: chat logs with a span for each message, and model calls that repeat the history.

use std::borrow::Cow;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::super::tree::SpanTree;
use super::written_calls::{executed_calls, has_code, is_complaint, is_result, written_calls};
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
    /// The tool calls of the message, or those that its text writes.
    pub(in crate::analyze::embedded) calls: Cow<'t, [ToolCall]>,
    /// Index of the span in the trace.
    pub(in crate::analyze::embedded) span: usize,
    pub(in crate::analyze::embedded) field: FieldName<'static>,
}

impl Turn<'_> {
    fn is_agent_without_calls(&self) -> bool {
        self.kind == TurnKind::Agent && self.calls.is_empty()
    }
}

/// The turns of a run.
#[derive(Debug, Default)]
pub(in crate::analyze::embedded) struct Dialogue<'t> {
    pub(in crate::analyze::embedded) turns: Vec<Turn<'t>>,
    /// Whether an agent writes calls as text and gets their results.
    pub(in crate::analyze::embedded) runs_written_calls: bool,
    /// The first turn at or after which a tool or a retriever has a span of its own. Not every instrumentation also records the call in a message.
    pub(super) acts_at: Option<usize>,
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
            // The agent around a model call is the speaker: instrumentations name the call after the operation, the step or the role.
            let agent = agent_name(trace, tree, index).filter(|_| span.kind == SpanKind::Llm);
            let speaker = agent.unwrap_or(if is_role_name(&span.name) { "assistant" } else { &span.name });
            if matches!(span.kind, SpanKind::Tool | SpanKind::Retriever) {
                dialogue.acts_at.get_or_insert(dialogue.turns.len());
            }
            for (number, message) in span.input.iter().enumerate() {
                if seen.insert(message_hash(message)) || !repeats_history {
                    let field = FieldName::Item("input", number, "content");
                    let is_own = repeats_history && message.role == "assistant";
                    let author = if is_own { speaker } else { input_speaker(span, message) };
                    dialogue.push(turn(index, author, message, field, &mut started));
                }
            }
            // A tool result is a turn at its own span, not again when the next model call receives it as a message.
            if let Some(tool) = &span.tool {
                let text = tool.result.as_deref().unwrap_or_default();
                seen.insert(content_hash(text, &[]));
                let field = FieldName::Plain("tool.result");
                dialogue.push(Turn { kind: TurnKind::Tool, speaker: &tool.name, text, calls: Cow::Borrowed(&[]), span: index, field });
            }
            for (number, message) in span.output.iter().enumerate() {
                seen.insert(message_hash(message));
                dialogue.push(turn(index, speaker, message, FieldName::Item("output", number, "content"), &mut started));
            }
        }
        dialogue.read_written_calls(deadline)?;
        Ok(dialogue)
    }

    /// Finds the tool calls that agents without function calling write in their messages, and the messages that return their results, which have the
    /// role `user`.
    fn read_written_calls(&mut self, deadline: Deadline) -> Result<(), TimedOut> {
        /// With as many results in a known form, any reply to a message with code is one: `Wrong flag!`, a diff.
        const RESULTS_MIN: usize = 2;
        let mut results = 0;
        for index in 0..self.turns.len() {
            deadline.check()?;
            let Some(next) = self.turns.get(index + 1).filter(|next| matches!(next.kind, TurnKind::User | TurnKind::Tool)) else {
                continue;
            };
            let (is_result, is_complaint) = (is_result(next.text), is_complaint(next.text));
            if !is_result && !is_complaint {
                continue;
            }
            let Some(turn) = self.turns.get_mut(index).filter(|turn| turn.is_agent_without_calls()) else { continue };
            if is_complaint {
                self.set_reply(index + 1, TurnKind::FrameworkNotice);
                continue;
            }
            turn.calls = Cow::Owned(executed_calls(turn.text));
            // A user may paste an error, too.
            if !turn.calls.is_empty() {
                results += 1;
                self.set_reply(index + 1, TurnKind::Tool);
            }
        }
        self.runs_written_calls = results >= RESULTS_MIN;
        for index in 0..self.turns.len() {
            deadline.check()?;
            let replies_to_code = self.turns.get(index + 1).is_none_or(|next| next.kind == TurnKind::User);
            let Some(turn) = self.turns.get_mut(index).filter(|turn| turn.is_agent_without_calls()) else { continue };
            let is_executed = self.runs_written_calls && replies_to_code && has_code(turn.text);
            turn.calls = Cow::Owned(if is_executed { executed_calls(turn.text) } else { written_calls(turn.text) });
            if is_executed {
                self.set_reply(index + 1, TurnKind::Tool);
            }
        }
        Ok(())
    }

    /// Corrects the kind of a turn that looks like a message of a user or the result of a tool.
    fn set_reply(&mut self, index: usize, kind: TurnKind) {
        if let Some(turn) = self.turns.get_mut(index) {
            turn.kind = kind;
        }
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
        let runs_code =
            || self.turns.iter().any(|turn| is_framework_notice(turn.text) || (turn.kind == TurnKind::Tool && is_code_result(turn.text)));
        self.is_long() && (self.speakers().len() >= 2 || self.user_turns() >= 2 || runs_code())
    }

    /// Whether a user replies after a span, and an agent answers.
    pub(in crate::analyze::embedded) fn goes_on_after(&self, span: usize) -> bool {
        let mut later = self.turns.iter().filter(|turn| turn.span > span);
        later.any(|turn| turn.kind == TurnKind::User) && later.any(|turn| turn.kind == TurnKind::Agent && !turn.text.trim().is_empty())
    }

    /// Bytes of all turns but the instructions.
    pub(in crate::analyze::embedded) fn text_bytes(&self) -> usize {
        self.turns.iter().filter(|turn| turn.kind != TurnKind::System).map(|turn| turn.text.len()).sum()
    }

    /// How many turns are messages of a user. A task counts unless an agent wrote it, such as a planner.
    pub(in crate::analyze::embedded) fn user_turns(&self) -> usize {
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
        "tool" | "function" | "tool-response" | "tool_result" | "observation" | "environment" => TurnKind::Tool,
        "system" | "developer" => TurnKind::System,
        _ if !*started => TurnKind::Task,
        // With a name such as `Math_Expert`, the role `user` only means that the message is input of another agent.
        "user" | "human" if speaker.is_empty() || is_role_name(speaker) => TurnKind::User,
        _ => TurnKind::Agent,
    };
    *started |= kind == TurnKind::Task;
    Turn { kind, speaker, text, calls: Cow::Borrowed(&message.tool_calls), span, field }
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

    fn log_of(messages: &[(&str, &str)]) -> Trace {
        let span = |(role, text): &(&str, &str)| Span { name: (*role).into(), input: vec![message(role, text)], ..Span::default() };
        Trace { spans: messages.iter().map(span).collect(), ..Trace::default() }
    }

    fn kinds_and_calls(trace: &Trace) -> Vec<(TurnKind, usize)> {
        let dialogue = Dialogue::collect(trace, &SpanTree::new(trace), Deadline::after(Duration::from_mins(1))).unwrap();
        dialogue.turns.iter().map(|turn| (turn.kind, turn.calls.len())).collect()
    }

    #[test]
    fn code_whose_output_follows_is_a_tool_call() {
        let trace = log_of(&[
            ("system", "Answer with one bash block."),
            ("user", "Fix the bug."),
            ("assistant", "I look.\n```bash\nls\n```"),
            ("user", "<returncode>0</returncode>\n<output>\na.py\n</output>"),
            ("assistant", "I read.\n```bash\ncat a.py\n```"),
            ("user", "<returncode>1</returncode>\n<output>\n</output>"),
            ("assistant", "I am done."),
            ("user", "Please always provide EXACTLY ONE action in triple backticks, found 0 actions."),
            ("assistant", "```bash\ngit diff\n```"),
            ("user", "diff --git a/a.py b/a.py"),
        ]);
        let (agent, tool) = (TurnKind::Agent, TurnKind::Tool);
        let expected = [
            (TurnKind::System, 0),
            (TurnKind::Task, 0),
            (agent, 1),
            (tool, 0),
            (agent, 1),
            (tool, 0),
            (agent, 0),
            (TurnKind::FrameworkNotice, 0),
            (agent, 1),
            (tool, 0),
        ];
        assert_eq!(kinds_and_calls(&trace), expected);
    }

    #[test]
    fn code_that_is_shown_to_a_user_is_no_tool_call() {
        let trace = log_of(&[
            ("user", "How do I list files?"),
            ("assistant", "Like this:\n```bash\nls\n```"),
            ("user", "And hidden ones?"),
            ("assistant", "```bash\nls -a\n```"),
            ("user", "Thanks."),
        ]);
        let (agent, user) = (TurnKind::Agent, TurnKind::User);
        assert_eq!(kinds_and_calls(&trace), [(TurnKind::Task, 0), (agent, 0), (user, 0), (agent, 0), (user, 0)]);
    }

    #[test]
    fn a_call_in_tags_needs_no_result() {
        let trace = log_of(&[
            ("user", "Where is A-17?"),
            ("assistant", "<tool_call>\n{\"name\": \"track\", \"arguments\": {\"id\": \"A-17\"}}\n</tool_call>"),
            ("user", "<tool_response>\nlate\n</tool_response>"),
            ("assistant", "Thought: I look again.\nAction: track\nAction Input: A-17"),
        ]);
        assert_eq!(kinds_and_calls(&trace), [(TurnKind::Task, 0), (TurnKind::Agent, 1), (TurnKind::Tool, 0), (TurnKind::Agent, 1)]);
    }

    #[test]
    fn a_conversation_goes_on_if_a_user_replies_and_an_agent_answers() {
        let goes_on = |messages: &[(&str, &str)]| {
            let trace = log_of(messages);
            Dialogue::collect(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap().goes_on_after(1)
        };
        let start = [("user", "Cancel my seat."), ("assistant", "I cannot do that.")];
        let with = |rest: &[(&'static str, &'static str)]| goes_on(&[&start, rest].concat());
        assert!(with(&[("user", "Then move it."), ("assistant", "Done.")]));
        assert!(!with(&[]) && !with(&[("user", "Why?")]) && !with(&[("assistant", "Anything else?")]));
    }

    #[test]
    fn the_calls_and_tools_of_a_run_are_its_acts() {
        let llm = |text: &str| Span { kind: SpanKind::Llm, output: vec![message("assistant", text)], ..Span::default() };
        let acts_at = |span: Span| {
            let trace = Trace { spans: vec![llm("I look."), span, llm("Found it.")], ..Trace::default() };
            Dialogue::collect(&trace, &SpanTree::new(&trace), Deadline::after(Duration::from_mins(1))).unwrap().acts_at
        };
        // A retriever has no turn, and a tool may have no call in a message.
        assert_eq!(acts_at(Span { kind: SpanKind::Retriever, ..Span::default() }), Some(1));
        assert_eq!(acts_at(Span { kind: SpanKind::Tool, ..Span::default() }), Some(1));
        assert_eq!(acts_at(llm("I think.")), None);
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
