//! Answers that a framework forced: at its limit of steps it asks the model once more, without tools, for an answer from what there is. The run has no
//! error status then, and the framework's prompt among the messages of the last model call is the only sign.

use super::answers;
use super::condition::Condition;
use super::incident::{Incident, IncidentKind};
use super::signals::Signal;
use super::text::ends_of;
use super::tree::SpanTree;
use crate::model::{Message, Trace};

/// Name of the signal.
const SIGNAL: &str = "prompt_at_limit_of";

/// Texts by which frameworks ask for the answer at their limit, or tell the model that they ran no further tool. Only software writes them.
const PROMPTS: [(&str, &str); 14] = [
    (
        "smolagents",
        "An agent tried to answer a user query but it got stuck and failed to do so. You are tasked with providing an answer instead.",
    ),
    ("smolagents", "An agent tried to answer a user query but it failed to do so. You are tasked with providing an answer instead."),
    (
        "CrewAI",
        "Now it's time you MUST give your absolute best final answer. You'll ignore all previous instructions, stop using any tools",
    ),
    ("CrewAI", "Tool won't be use because it's time to give your final answer. Don't use tools and just your absolute BEST Final answer."),
    ("LangChain", "I now need to return a final answer based on the previous steps:"),
    ("LangChain", "Tool call limit exceeded. Do not call "),
    ("LangChain", "Tool call limit exceeded. Do not make additional tool calls."),
    ("Agno", "Tool call limit reached. Don't try to execute the tool again."),
    ("Agno", "Tool call limit reached. Tool call "),
    ("LlamaIndex and others", "You have reached the maximum number of iterations"),
    ("opencode", "CRITICAL - MAXIMUM STEPS REACHED"),
    ("browser-use", "Now comes your last step. Use only the \"done\" action now. No other actions"),
    ("browser-use", "You reached max_steps - this is your last step. Your only tool available is the \"done\" tool."),
    ("browser-use", "You have reached max_steps - this is your last step."),
];

/// The prompt of a framework at its limit, in the last model call of a run.
pub(super) fn find<'t>(trace: &'t Trace, tree: &SpanTree) -> Option<Incident<'t>> {
    let answer = answers::final_answer(trace, tree)?;
    let span = trace.spans.get(answer.index)?;
    let (number, message, framework) =
        span.input.iter().enumerate().rev().find_map(|(number, message)| Some((number, message, prompt_in(message)?)))?;
    let mut incident = Incident::new(trace, answer.index, IncidentKind::CannedAnswer)?;
    let field = format!("input[{number}].content");
    incident.condition = Some(Condition::MaxIterationsReached);
    incident.signals.push(Signal::new(SIGNAL, framework, field.clone()));
    incident.texts.push((field, &message.content));
    Some(incident)
}

/// Whether an incident was found by the prompt of a framework.
pub(super) fn is_forced(incident: &Incident<'_>) -> bool {
    let is_signal = |signal: &Signal| signal.text.strip_prefix(SIGNAL).is_some_and(|rest| rest.starts_with('='));
    incident.kind == IncidentKind::CannedAnswer && incident.signals.iter().any(is_signal)
}

/// The framework whose prompt starts a message, or one of its last lines: the scratchpad of an agent ends with the prompt. One that a user or a file
/// quotes stands elsewhere.
fn prompt_in(message: &Message) -> Option<&'static str> {
    const LAST_LINES: usize = 12;
    let start = message.content.trim_start();
    let end = if message.role == "tool" { "" } else { ends_of(&message.content).last().unwrap_or_default() };
    let starts_a_line = |prompt: &str| end.lines().rev().take(LAST_LINES).any(|line| line.trim_start().starts_with(prompt));
    PROMPTS.iter().find(|(_, prompt)| start.starts_with(prompt) || starts_a_line(prompt)).map(|(framework, _)| *framework)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Span, SpanKind};

    fn is_found(role: &str, content: &str) -> bool {
        let message = |role: &str, content: &str| Message { role: role.into(), content: content.into(), ..Message::default() };
        let input = vec![message("user", "How tall is the tower?"), message(role, content)];
        let span = Span { kind: SpanKind::Llm, input, output: vec![message("assistant", "About 90 m, I think.")], ..Span::default() };
        let trace = Trace { spans: vec![span], ..Trace::default() };
        find(&trace, &SpanTree::new(&trace)).is_some_and(|incident| is_forced(&incident))
    }

    #[test]
    fn the_prompt_of_a_framework_at_its_limit_shows_that_the_answer_was_forced() {
        for (framework, prompt) in PROMPTS {
            assert!(is_found("user", prompt), "{framework}");
            assert!(is_found("assistant", &format!("Thought: one more page.\nObservation: nothing\n{prompt} …")), "{framework}");
        }
        assert!(is_found("tool", "Tool call limit reached. Don't try to execute the tool again."));
    }

    #[test]
    fn a_quoted_prompt_shows_nothing() {
        let prompt = PROMPTS[2].1;
        assert!(!is_found("user", &format!("What does this mean: \"{prompt}\"")));
        assert!(!is_found("tool", &format!("en.json:\n{prompt}")));
        assert!(!is_found("user", "Please give your best final answer."));
    }
}
