//! What the agent said in the end, if a run that was stopped or lost a part still ended with words.

use super::super::answers::final_answer;
use super::names::fact_names;
use super::{Case, Extractor, Facts, Place, shortened};
use crate::model::Span;

fact_names! {
    CLOSING_MESSAGE = "closing_message", Text, "the start of what the agent said in the end";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Characters of the answer.
const ANSWER_CHARS_MAX: usize = 180;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(incident) = case.root else { return };
    let may_go_on =
        matches!(case.label.category(), "runaway_execution" | "environment_error") || case.is(&["guardrail_blocked", "handoff_failed"]);
    if !may_go_on {
        return;
    }
    let answer = final_answer(case.trace, case.tree).filter(|answer| answer.is_complete && answer.index != incident.index);
    let of_log = || last_message(case.trace.spans.as_slice(), incident.index);
    let found = answer.and_then(|answer| Some((case.trace.spans.get(answer.index)?, answer.text))).or_else(of_log);
    let Some((span, text)) = found.filter(|(_, text)| !text.trim_start().starts_with(['{', '['])) else { return };
    facts.add(&CLOSING_MESSAGE, shortened(super::super::text::clip(text).trim(), ANSWER_CHARS_MAX), Place::Span(span));
}

/// The last message of a log of a conversation, in which each message is a step.
fn last_message(spans: &[Span], failed: usize) -> Option<(&Span, &str)> {
    let (index, span) = spans.iter().enumerate().next_back()?;
    let is_of_model = |role: &str| matches!(role.to_ascii_lowercase().as_str(), "assistant" | "agent" | "ai" | "model");
    let message = span.output.last().or(span.input.last()).filter(|message| is_of_model(&message.role))?;
    (index > failed && message.tool_calls.is_empty() && !message.content.trim().is_empty()).then_some((span, message.content.as_str()))
}
