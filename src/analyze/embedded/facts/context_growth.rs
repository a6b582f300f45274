//! How the input of the model grew from call to call, and after which tool call it grew most.

use super::names::fact_names;
use super::texts::model_call;
use super::{Case, Extractor, Facts, Place};
use crate::model::{Span, SpanKind};

fact_names! {
    INPUT_TOKENS_BEFORE = "input_tokens_before", Text, "the input tokens of the model calls before, in order";
    INPUT_BYTES_BEFORE = "input_bytes_before", Text, "the bytes of the messages of the model calls before, in order";
    GREW_BY_TOKENS = "grew_by_tokens", Tokens, "the largest growth of the input between two calls, in tokens";
    GREW_BY_BYTES = "grew_by_bytes", Bytes, "the largest growth of the messages between two calls";
    GREW_AFTER_TOOL = "grew_after_tool", Text, "the tool that was called before the largest growth";
    GREW_BEFORE_CALL = "grew_before_call", Count, "the model call before which the input grew most, counted from 1";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

/// Calls that are compared.
const CALLS_MAX: usize = 1_000;

/// Calls that are listed, the last ones.
const CALLS_LISTED_MAX: usize = 8;

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(failed) = model_call(case).filter(|_| case.is(&["context_window_exceeded", "context_lost"])) else { return };
    let Some(root) = case.root else { return };
    let end = root.index.saturating_add(1).min(case.trace.spans.len());
    let is_of_model = |index: usize| case.trace.spans.get(index).is_some_and(|span| span.kind == SpanKind::Llm);
    let before = case.trace.spans.iter().enumerate().take(end).filter(|(index, span)| {
        let is_nested = || case.tree.parent(*index).is_some_and(is_of_model);
        is_conversation_of(span, failed) && !is_nested() && !std::ptr::eq(*span, failed)
    });
    let calls: Vec<&Span> = before.map(|(_, span)| span).chain([failed]).take(CALLS_MAX).collect();
    // What is reserved for the answer is no input.
    let number = |name| facts.get(name).and_then(|tokens: &str| tokens.parse::<u64>().ok());
    let has_reserve = facts.has(&super::context_window::COMPLETION_TOKENS_REQUESTED);
    let request_tokens =
        number(&super::context_window::PROMPT_TOKENS).or_else(|| number(&super::context_window::REQUEST_TOKENS).filter(|_| !has_reserve));
    let tokens = calls.iter().map(|span| if std::ptr::eq(*span, failed) { span.usage.input.or(request_tokens) } else { span.usage.input });
    let tokens: Vec<Option<u64>> = tokens.collect();
    let bytes: Vec<Option<u64>> = calls.iter().map(|span| message_bytes(span)).collect();
    let listed = |sizes: &[Option<u64>]| {
        let sizes = sizes.get(..sizes.len().saturating_sub(1)).unwrap_or_default();
        let known: Vec<String> = sizes.iter().flatten().map(u64::to_string).collect();
        let last = known.get(known.len().saturating_sub(CALLS_LISTED_MAX)..).unwrap_or_default();
        (known.len() > 1).then(|| last.join(", "))
    };
    if let Some(list) = listed(&tokens) {
        facts.add(&INPUT_TOKENS_BEFORE, list, Place::Trace);
    } else if let Some(list) = listed(&bytes) {
        facts.add(&INPUT_BYTES_BEFORE, list, Place::Trace);
    }
    let by_tokens = largest_growth(&tokens);
    let by_bytes = largest_growth(&bytes);
    if let Some((_, growth)) = by_tokens {
        facts.add(&GREW_BY_TOKENS, growth, Place::Trace);
    }
    // Both are about the same call, or only the tokens are named.
    if let Some((_, growth)) = by_bytes.filter(|(at, _)| by_tokens.is_none_or(|(other, _)| other == *at)) {
        facts.add(&GREW_BY_BYTES, growth, Place::Trace);
    }
    let Some((at, _)) = by_tokens.or(by_bytes) else { return };
    facts.add(&GREW_BEFORE_CALL, at + 1, Place::Trace);
    let pair = at.checked_sub(1).and_then(|before| calls.get(before)).zip(calls.get(at));
    if let Some((tool, span)) = pair.and_then(|(before, after)| tool_between(case, before, after)) {
        facts.add(&GREW_AFTER_TOOL, tool, Place::Span(span));
    }
}

/// Whether a model call belongs to the same conversation as the failed one: the same name, model and first message.
fn is_conversation_of(span: &Span, failed: &Span) -> bool {
    let first = |span: &Span| span.input.first().map(|message| message.content.len());
    let same_start = match (span.input.first(), failed.input.first()) {
        (Some(one), Some(other)) => first(span) == first(failed) && one.content == other.content,
        _ => true,
    };
    span.kind == SpanKind::Llm && span.name == failed.name && (span.model == failed.model || failed.model.is_none()) && same_start
}

/// The size of the messages of a call; `None` if they are not recorded.
fn message_bytes(span: &Span) -> Option<u64> {
    let total: usize = span.input.iter().map(|message| message.content.len()).sum();
    u64::try_from(total).ok().filter(|bytes| *bytes > 0)
}

/// The index of the call before which the size grew most, and by how much.
fn largest_growth(sizes: &[Option<u64>]) -> Option<(usize, u64)> {
    let pairs = sizes.iter().zip(sizes.iter().skip(1)).enumerate();
    let growths = pairs.filter_map(|(index, (before, after))| Some((index + 1, after.as_ref()?.checked_sub(*before.as_ref()?)?)));
    let grown = growths.filter(|(_, growth)| *growth > 0);
    // Of equal ones the first.
    grown.fold(None, |best: Option<(usize, u64)>, item| best.filter(|best| best.1 >= item.1).or(Some(item)))
}

/// The tool with the largest result of those that ran between two model calls: a span of it, or a call that the first one asked for.
fn tool_between<'t>(case: &Case<'_, 't>, before: &'t Span, after: &'t Span) -> Option<(&'t str, &'t Span)> {
    let (start, end) = (before.ended_at_ns.or(before.started_at_ns)?, after.started_at_ns?);
    let ran = |span: &&Span| span.started_at_ns.is_some_and(|at| at >= start && at <= end);
    let tools = case.trace.spans.iter().filter(ran).filter_map(|span| {
        let tool = span.tool.as_ref().filter(|tool| span.kind == SpanKind::Tool && !tool.name.is_empty())?;
        Some((tool.result.as_ref().map_or(0, String::len), tool.name.as_str(), span))
    });
    let largest = tools.max_by_key(|(bytes, ..)| *bytes).map(|(_, name, span)| (name, span));
    largest.or_else(|| {
        let mut asked = before.output.iter().flat_map(|message| &message.tool_calls);
        let only = asked.next().filter(|_| asked.next().is_none())?;
        Some((only.name.as_str(), before))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::incident::{Incident, IncidentKind};
    use super::super::super::tree::SpanTree;
    use super::*;
    use crate::model::{Label, TokenUsage, ToolUse, Trace};

    #[test]
    fn the_call_before_which_the_input_grew_most_is_found() {
        assert_eq!(largest_growth(&[Some(10), Some(15), Some(90), Some(92)]), Some((2, 75)));
        assert_eq!(largest_growth(&[Some(10), None, Some(90)]), None);
        assert_eq!(largest_growth(&[Some(10), Some(5)]), None);
        assert_eq!(largest_growth(&[Some(10), Some(15), Some(20)]), Some((1, 5)));
    }

    #[test]
    fn the_tool_that_ran_before_the_largest_growth_is_named() {
        let llm = |at: i64, tokens: Option<u64>| Span {
            span_id: at.to_string(),
            name: "chat".into(),
            kind: SpanKind::Llm,
            started_at_ns: Some(at),
            ended_at_ns: Some(at + 5),
            usage: TokenUsage { input: tokens, output: None },
            ..Span::default()
        };
        let tool = |at: i64, name: &str, result: &str| Span {
            span_id: at.to_string(),
            kind: SpanKind::Tool,
            started_at_ns: Some(at),
            ended_at_ns: Some(at + 1),
            tool: Some(ToolUse { name: name.into(), result: Some(result.into()), ..ToolUse::default() }),
            ..Span::default()
        };
        let spans = vec![
            llm(0, Some(100)),
            tool(6, "small", "x"),
            llm(10, Some(130)),
            tool(16, "search_orders", "a long result"),
            tool(17, "clock", "12:00"),
            llm(20, Some(9_000)),
            tool(26, "small", "x"),
            llm(30, None),
        ];
        let trace = Trace { spans, ..Trace::default() };
        let (tree, root) = (SpanTree::new(&trace), Incident::new(&trace, 7, IncidentKind::Error).unwrap());
        let label = Label::parse("context_overflow/context_window_exceeded").unwrap();
        let case = Case::new(&trace, &tree, &[], Some(&root), label);
        let mut facts = Facts::default();
        add(&case, &mut facts);
        assert_eq!(facts.get(&GREW_AFTER_TOOL), Some("search_orders"));
        assert_eq!((facts.get(&GREW_BY_TOKENS), facts.get(&GREW_BEFORE_CALL)), (Some("8870"), Some("3")));
        assert_eq!(facts.get(&INPUT_TOKENS_BEFORE), Some("100, 130, 9000"));
    }
}
