//! The final answer of a run. `admissions` reads whether it admits that something did not work.

use super::tree::SpanTree;
use crate::model::{FinishReason, Message, Span, SpanKind, Trace};

/// What a run answered in the end.
#[derive(Debug, Clone, Copy)]
pub(super) struct FinalAnswer<'t> {
    /// Index of the span that gave it.
    pub(super) index: usize,
    /// The text of the answer, or the arguments of the tool by which the model gives it.
    pub(super) text: &'t str,
    /// When the model began to write it, or the span ended that contains it.
    pub(super) at_ns: Option<i64>,
    /// Whether it is the end of the run: no further step was asked for, and no limit cut it off.
    pub(super) is_complete: bool,
    /// Whether the provider stopped it before its end, so that what failed is the answer and nothing before it.
    pub(super) was_cut: bool,
    /// Whether a root span failed.
    pub(super) root_failed: bool,
}

/// The final answer of a run; `None` if the last model call did not answer, or if no answers were recorded.
pub(super) fn final_answer<'t>(trace: &'t Trace, tree: &SpanTree) -> Option<FinalAnswer<'t>> {
    let is_root = |index: usize| tree.parent(index).is_none();
    let root_failed = last_root_failed(trace, tree);
    let mut last_calls = trace.spans.iter().enumerate().rev().filter(|(_, span)| span.kind == SpanKind::Llm && !span.output.is_empty());
    if let Some((index, span)) = last_calls.next() {
        let (text, is_final_call) = answer_of(span.output.last()?)?;
        let was_cut = span.finish_reasons.last().is_some_and(|word| FinishReason::from_word(word).is_some_and(FinishReason::is_abnormal));
        let asks_for_more = !is_final_call && span.output.last().is_some_and(|message| !message.tool_calls.is_empty());
        let is_complete = !span.failed() && !was_cut && !asks_for_more;
        let was_cut = was_cut && !span.failed() && !asks_for_more;
        return Some(FinalAnswer { index, text, at_ns: span.started_at_ns, is_complete, was_cut, root_failed });
    }
    // Some instrumentations record the answer only on the span of the run.
    let roots =
        trace.spans.iter().enumerate().filter(|(index, span)| is_root(*index) && matches!(span.kind, SpanKind::Agent | SpanKind::Chain));
    let output = |span: &'t Span| span.output.last().map(|message| message.content.as_str()).or(span.output_text.as_deref());
    let (index, span, text) =
        roots.filter_map(|(index, span)| Some((index, span, output(span)?))).find(|(.., text)| !text.trim().is_empty())?;
    Some(FinalAnswer { index, text, at_ns: span.ended_at_ns, is_complete: !span.failed(), was_cut: false, root_failed })
}

/// Whether a root span failed, and none that started after its end succeeded: an application may start the whole run again.
fn last_root_failed(trace: &Trace, tree: &SpanTree) -> bool {
    let roots = || trace.spans.iter().enumerate().filter(|(index, _)| tree.parent(*index).is_none()).map(|(_, span)| span);
    let last_success = roots().filter(|span| !span.failed()).filter_map(|span| span.started_at_ns).max();
    roots().any(|span| {
        span.failed() && last_success.is_none_or(|last| span.ended_at_ns.or(span.started_at_ns).is_none_or(|ended| last < ended))
    })
}

/// The text of a message, or the arguments of the call by which some frameworks let a model give its answer, and whether it is such a call.
pub(super) fn answer_of(message: &Message) -> Option<(&str, bool)> {
    const FINAL_CALLS: [&str; 6] = ["final_answer", "final_result", "finish", "submit", "attempt_completion", "task_done"];
    let final_call = message.tool_calls.iter().find(|call| FINAL_CALLS.contains(&call.name.as_str()));
    match (message.content.trim().is_empty(), final_call) {
        (_, Some(call)) if call.arguments.len() > "{}".len() => Some((&call.arguments, true)),
        (false, call) => Some((&message.content, call.is_some())),
        (true, _) => None,
    }
}

/// Whether an answer ends with a question, so that the run is not finished.
pub(super) fn asks_back(answer: &str) -> bool {
    answer.trim_end().trim_end_matches(['"', '}', ' ', '*', ')']).ends_with(['?', '？', '؟'])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ToolCall;

    #[test]
    fn the_final_answer_is_that_of_the_last_model_call_or_of_the_run() {
        let span = |kind, output: &str, calls: &[(&str, &str)]| {
            let tool_calls =
                calls.iter().map(|(name, arguments)| ToolCall { id: None, name: (*name).into(), arguments: (*arguments).into() }).collect();
            let message = Message { content: output.into(), tool_calls, ..Message::default() };
            Span { kind, output: vec![message], ..Span::default() }
        };
        let answer = |spans: Vec<Span>| {
            let trace = Trace { spans, ..Trace::default() };
            let found = final_answer(&trace, &SpanTree::new(&trace));
            found.map(|answer| (answer.text.to_owned(), answer.is_complete))
        };
        assert_eq!(answer(vec![span(SpanKind::Llm, "one", &[]), span(SpanKind::Llm, "two", &[])]), Some(("two".into(), true)));
        assert_eq!(answer(vec![span(SpanKind::Llm, "I look it up.", &[("search", "{}")])]), Some(("I look it up.".into(), false)));
        assert_eq!(answer(vec![span(SpanKind::Llm, "one", &[]), span(SpanKind::Llm, "", &[("search", "{}")])]), None);
        assert_eq!(answer(vec![span(SpanKind::Llm, "", &[("final_answer", r#"{"answer": 7}"#)])]), Some((r#"{"answer": 7}"#.into(), true)));
        let run = Span { kind: SpanKind::Agent, output_text: Some("done".into()), ..Span::default() };
        assert_eq!(answer(vec![run]), Some(("done".into(), true)));
        let cut = Span { finish_reasons: vec!["length".into()], ..span(SpanKind::Llm, "It is", &[]) };
        assert_eq!(answer(vec![cut]), Some(("It is".into(), false)));
    }
}
