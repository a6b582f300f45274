//! Facts of a request that held more tokens than the model takes: how many, the limit, and what holds them.

use super::context_wordings::numbers_in;
use super::names::fact_names;
use super::texts::{model_call, number_of};
use super::{Case, Extractor, FactName, Facts, Place};
use crate::model::{Message, Span, ToolCall};

fact_names! {
    REQUEST_TOKENS = "request_tokens", Tokens, "the number of tokens of the request";
    LIMIT_TOKENS = "limit_tokens", Tokens, "the token limit";
    EXCESS_TOKENS = "excess_tokens", Tokens, "how many tokens are over the limit";
    PROMPT_EXCESS_TOKENS = "prompt_excess_tokens", Tokens, "how many tokens the prompt alone is over the limit";
    PROMPT_TOKENS = "prompt_tokens", Tokens, "the tokens of the prompt alone";
    ROOM_LEFT = "room_left_tokens", Tokens, "the tokens that the prompt leaves for the answer";
    COMPLETION_TOKENS_REQUESTED = "completion_tokens_requested", Tokens, "the tokens that the request reserves for the answer";
    REQUEST_CHARACTERS = "request_characters", Count, "the length of the text in characters";
    LIMIT_CHARACTERS = "limit_characters", Count, "the limit of characters";
    LIMIT_BYTES = "limit_bytes", Bytes, "the limit of bytes of a request";
    REQUEST_BYTES = "request_bytes", Bytes, "the size of the messages of the request";
    REQUEST_MESSAGES = "request_messages", Count, "the number of messages of the request";
    LARGEST_MESSAGE_ROLE = "largest_message_role", Text, "the role of the largest message";
    LARGEST_MESSAGE_BYTES = "largest_message_bytes", Bytes, "the size of the largest message";
    LARGEST_MESSAGE_PERCENT = "largest_message_percent", Percent, "the share of the largest message in the request";
    LARGEST_MESSAGE_TOOL = "largest_message_tool", Text, "the tool whose result is the largest message";
    LARGEST_MESSAGE_ARGUMENTS = "largest_message_arguments", Text, "the arguments of the call whose result is the largest message";
}

pub(super) const EXTRACTOR: Extractor = Extractor { names: NAMES, add };

fn add(case: &Case<'_, '_>, facts: &mut Facts) {
    let Some(span) = case.span().filter(|_| case.is(&["context_window_exceeded"])) else { return };
    for source in case.error_texts() {
        add_numbers(source.text, source.place(), facts);
    }
    add_computed(span, facts);
    // The call that failed may be recorded without its messages, and the span around it with them.
    let with_input = [Some(span), case.step(), model_call(case)].into_iter().flatten().find(|span| !span.input.is_empty());
    let request = with_input.or_else(|| {
        let ancestors = case.root.map(|root| case.tree.self_and_ancestors(root.index).skip(1).take(2));
        ancestors.into_iter().flatten().filter_map(|index| case.trace.spans.get(index)).find(|span| !span.input.is_empty())
    });
    if let Some(request) = request {
        add_largest_message(request, facts);
    }
}

/// The numbers that a message names.
fn add_numbers(text: &str, place: Place<'_>, facts: &mut Facts) {
    let numbers = numbers_in(text);
    let named: [(&FactName, Option<&str>); 8] = [
        (&REQUEST_TOKENS, numbers.request),
        (&LIMIT_TOKENS, numbers.limit),
        (&PROMPT_TOKENS, numbers.prompt),
        (&COMPLETION_TOKENS_REQUESTED, numbers.completion),
        (&EXCESS_TOKENS, numbers.excess),
        (&REQUEST_CHARACTERS, numbers.request_characters),
        (&LIMIT_CHARACTERS, numbers.limit_characters),
        (&LIMIT_BYTES, numbers.limit_bytes),
    ];
    for (name, value) in named {
        if let Some(number) = value.and_then(number_of) {
            facts.add(name, number, place);
        }
    }
}

/// The request as the sum of prompt and answer, and what is over the limit.
fn add_computed(span: &Span, facts: &mut Facts) {
    let number = |facts: &Facts, name| facts.get(name).and_then(|value: &str| value.parse::<u64>().ok());
    if let Some(prompt) = number(facts, &PROMPT_TOKENS) {
        let sum = prompt.saturating_add(number(facts, &COMPLETION_TOKENS_REQUESTED).unwrap_or_default());
        facts.add(&REQUEST_TOKENS, sum, Place::Span(span));
    }
    let prompt_and_limit = number(facts, &PROMPT_TOKENS).zip(number(facts, &LIMIT_TOKENS));
    if let Some(room) = prompt_and_limit.and_then(|(prompt, limit)| limit.checked_sub(prompt)).filter(|room| *room > 0) {
        facts.add(&ROOM_LEFT, room, Place::Span(span));
    }
    // Without a reserve for the answer, the request is the prompt.
    let prompt = number(facts, &PROMPT_TOKENS);
    let prompt = prompt.or_else(|| number(facts, &REQUEST_TOKENS).filter(|_| !facts.has(&COMPLETION_TOKENS_REQUESTED)));
    let over = prompt.zip(number(facts, &LIMIT_TOKENS)).and_then(|(prompt, limit)| prompt.checked_sub(limit));
    if let Some(over) = over.filter(|over| *over > 0) {
        facts.add(&PROMPT_EXCESS_TOKENS, over, Place::Span(span));
    }
    let both = number(facts, &REQUEST_TOKENS).zip(number(facts, &LIMIT_TOKENS));
    if let Some(excess) = both.and_then(|(request, limit)| request.checked_sub(limit)).filter(|excess| *excess > 0) {
        facts.add(&EXCESS_TOKENS, excess, Place::Span(span));
    }
}

/// The size of the request, and the message that takes most of it.
fn add_largest_message(span: &Span, facts: &mut Facts) {
    let total: usize = span.input.iter().map(|message| message.content.len()).sum();
    if total == 0 {
        return;
    }
    facts.add(&REQUEST_BYTES, total, Place::Span(span));
    facts.add(&REQUEST_MESSAGES, span.input.len(), Place::Span(span));
    let Some((index, largest)) = span.input.iter().enumerate().max_by_key(|(_, message)| message.content.len()) else { return };
    if span.input.len() < 2 {
        return;
    }
    facts.add(&LARGEST_MESSAGE_ROLE, &largest.role, Place::Span(span));
    facts.add(&LARGEST_MESSAGE_BYTES, largest.content.len(), Place::Span(span));
    facts.add(&LARGEST_MESSAGE_PERCENT, largest.content.len().saturating_mul(100).saturating_add(total / 2) / total, Place::Span(span));
    if let Some((at, call)) = call_of(span, index, largest) {
        facts.add(&LARGEST_MESSAGE_TOOL, &call.name, Place::Field(span, &format!("input[{at}].tool_calls.name")));
        if !matches!(call.arguments.trim(), "" | "{}" | "null") {
            facts.add(&LARGEST_MESSAGE_ARGUMENTS, &call.arguments, Place::Field(span, &format!("input[{at}].tool_calls.arguments")));
        }
    }
}

/// The call whose result a message is, and the index of the message that has it: by its id or, without ids, the only call of the message before.
fn call_of<'t>(span: &'t Span, index: usize, result: &Message) -> Option<(usize, &'t ToolCall)> {
    if let Some(id) = &result.tool_call_id {
        let mut messages = span.input.iter().enumerate();
        return messages.find_map(|(at, message)| Some((at, message.tool_calls.iter().find(|call| call.id.as_ref() == Some(id))?)));
    }
    if !matches!(result.role.as_str(), "tool" | "function") {
        return None;
    }
    let at = index.checked_sub(1)?;
    match span.input.get(at)?.tool_calls.as_slice() {
        [call] => Some((at, call)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(role: &str, content: &str, id: Option<&str>) -> Message {
        Message { role: role.into(), content: content.into(), tool_call_id: id.map(str::to_owned), ..Message::default() }
    }

    fn call(id: Option<&str>) -> Message {
        let call = ToolCall { id: id.map(str::to_owned), name: "search_orders".into(), arguments: r#"{"q": "all"}"#.into() };
        Message { role: "assistant".into(), tool_calls: vec![call], ..Message::default() }
    }

    #[test]
    fn the_request_is_compared_with_the_limit() {
        for (text, request, excess) in [
            ("This model's maximum context length is 128000 tokens. However, your messages resulted in 141397 tokens.", "141397", "13397"),
            ("input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000", "210000", "10000"),
            ("`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 5120 `inputs` tokens and 512 `max_new_tokens`", "5632", "1536"),
        ] {
            let (span, mut facts) = (Span::default(), Facts::default());
            add_numbers(text, Place::Span(&span), &mut facts);
            add_computed(&span, &mut facts);
            assert_eq!((facts.get(&REQUEST_TOKENS), facts.get(&EXCESS_TOKENS)), (Some(request), Some(excess)), "{text}");
            let room = if text.starts_with("input length") { Some("10000") } else { None };
            assert_eq!(facts.get(&ROOM_LEFT), room, "{text}");
        }
    }

    #[test]
    fn the_largest_message_is_named_with_the_call_whose_result_it_is() {
        for (id, expected) in [(Some("c1"), Some("search_orders")), (None, Some("search_orders"))] {
            let input = vec![message("user", &"x".repeat(100), None), call(id), message("tool", &"y".repeat(300), id)];
            let (span, mut facts) = (Span { input, ..Span::default() }, Facts::default());
            add_largest_message(&span, &mut facts);
            assert_eq!(facts.get(&LARGEST_MESSAGE_TOOL), expected);
            assert_eq!((facts.get(&LARGEST_MESSAGE_PERCENT), facts.get(&REQUEST_BYTES)), (Some("75"), Some("400")));
            assert_eq!(facts.get(&LARGEST_MESSAGE_ARGUMENTS), Some(r#"{"q": "all"}"#));
        }
        let input = vec![message("system", "short", None), message("user", &"x".repeat(100), None)];
        let (span, mut facts) = (Span { input, ..Span::default() }, Facts::default());
        add_largest_message(&span, &mut facts);
        assert_eq!((facts.get(&LARGEST_MESSAGE_ROLE), facts.get(&LARGEST_MESSAGE_TOOL)), (Some("user"), None));
    }
}
