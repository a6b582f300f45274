//! The tool call that a failure is about: its name and arguments, and where in the run a value of it came from.

use std::borrow::Cow;

use super::Case;
use crate::model::{Message, Span, SpanKind, ToolCall};

/// Longer arguments are not parsed: their values are files.
const ARGUMENTS_BYTES_MAX: usize = 64 * 1024;

/// A tool call as the trace records it.
#[derive(Debug, Clone)]
pub(super) struct RecordedCall<'t> {
    pub(super) span: &'t Span,
    pub(super) name: &'t str,
    pub(super) arguments: &'t str,
    /// The field of the arguments.
    pub(super) field: String,
    id: Option<&'t str>,
}

impl<'t> RecordedCall<'t> {
    /// The call that failed: of the tool's own span, or among the messages of a model call.
    pub(super) fn of(case: &Case<'_, 't>) -> Option<Self> {
        let incident = case.root?;
        let in_messages = || incident.texts.iter().find_map(|(field, _)| call_of_field(incident.span, field, incident.tool.as_deref()));
        let step = case.step()?;
        let Some(tool) = &step.tool else { return in_messages() };
        let id = tool.call_id.as_deref();
        let own = |arguments: &'t str, field: &str| Self { span: step, name: &tool.name, arguments, field: field.to_owned(), id };
        if !tool.arguments.trim().is_empty() {
            return Some(own(&tool.arguments, "tool.arguments"));
        }
        let requested = id.and_then(|id| requested(case, |call| call.id.as_deref() == Some(id)));
        let text = || step.input_text.as_deref().filter(|text| text.trim_start().starts_with('{')).map(|text| own(text, "input_text"));
        requested.or_else(text).or_else(in_messages).or_else(|| Some(own("", "tool.arguments")))
    }

    /// The last call before the failure that a model requested from a tool with this name.
    pub(super) fn requested_of(case: &Case<'_, 't>, name: &str) -> Option<Self> {
        requested(case, |call| call.name == name)
    }

    /// The arguments, if they are a JSON object.
    pub(super) fn json(&self) -> Option<serde_json::Map<String, serde_json::Value>> {
        Self::json_of(self.arguments)
    }

    /// Arguments as recorded, if they are a JSON object.
    pub(super) fn json_of(arguments: &str) -> Option<serde_json::Map<String, serde_json::Value>> {
        let text = Some(arguments).filter(|text| text.len() <= ARGUMENTS_BYTES_MAX)?;
        let value: serde_json::Value = serde_json::from_str(text).ok()?;
        match value {
            serde_json::Value::Object(mut fields) => {
                // Some record how a function was called: `{"args": [], "kwargs": {"order_id": "A-17"}}`.
                let is_wrapper = fields.keys().all(|key| matches!(key.as_str(), "args" | "kwargs" | "sanitize_inputs_outputs"));
                match fields.remove("kwargs") {
                    Some(serde_json::Value::Object(inner)) if is_wrapper => Some(inner),
                    Some(other) => {
                        fields.insert("kwargs".to_owned(), other);
                        Some(fields)
                    }
                    None => Some(fields),
                }
            }
            // Some instrumentations record the arguments as a JSON text in JSON.
            serde_json::Value::String(text) => serde_json::from_str(&text).ok(),
            _ => None,
        }
    }
}

/// The call that a field of a model call is about: the result `input[3].content`, or the call `output[0].tool_calls.arguments`.
fn call_of_field<'t>(span: &'t Span, field: &str, name: Option<&str>) -> Option<RecordedCall<'t>> {
    let index = |list: &str| field.strip_prefix(list)?.split(']').next()?.parse::<usize>().ok();
    let record = |number: usize, list: &str, call: &'t ToolCall| RecordedCall {
        span,
        name: &call.name,
        arguments: &call.arguments,
        field: format!("{list}[{number}].tool_calls.arguments"),
        id: call.id.as_deref(),
    };
    if let Some(number) = index("input[") {
        let id = span.input.get(number)?.tool_call_id.as_deref()?;
        let mut calls = span.input.iter().enumerate().flat_map(|(at, message)| message.tool_calls.iter().map(move |call| (at, call)));
        return calls.find(|(_, call)| call.id.as_deref() == Some(id)).map(|(at, call)| record(at, "input", call));
    }
    let number = index("output[").filter(|_| field.contains("tool_calls"))?;
    let calls = &span.output.get(number)?.tool_calls;
    calls.iter().find(|call| Some(call.name.as_str()) == name).map(|call| record(number, "output", call))
}

/// The last requested call before the failure that `is_wanted`.
fn requested<'t>(case: &Case<'_, 't>, is_wanted: impl Fn(&ToolCall) -> bool) -> Option<RecordedCall<'t>> {
    spans_before(case).rev().find_map(|span| {
        let calls = span.output.iter().enumerate().flat_map(|(number, message)| message.tool_calls.iter().map(move |call| (number, call)));
        calls.filter(|(_, call)| is_wanted(call)).last().map(|(number, call)| RecordedCall {
            span,
            name: &call.name,
            arguments: &call.arguments,
            field: format!("output[{number}].tool_calls.arguments"),
            id: call.id.as_deref(),
        })
    })
}

/// The spans that ended before the failure, in order of their start.
pub(super) fn spans_before<'t>(case: &Case<'_, 't>) -> impl DoubleEndedIterator<Item = &'t Span> {
    let (failed, at) = case.root.map_or((usize::MAX, i64::MAX), |incident| (incident.index, incident.at_ns));
    let is_before = move |index: usize, span: &Span| span.ended_at_ns.map_or(index < failed, |end| end <= at);
    let spans = case.trace.spans.iter().enumerate();
    spans.filter(move |(index, span)| *index != failed && is_before(*index, span)).map(|(_, span)| span)
}

/// Whether a value is long enough to search for it: `true` and `7` occur anywhere.
pub(super) fn is_searchable(value: &str) -> bool {
    let length = value.chars().count();
    let is_word =
        !matches!(value.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "none" | "nan" | "undefined" | "n/a" | "unknown");
    (3..=200).contains(&length) && is_word && value.contains(char::is_alphanumeric)
}

/// Where a value of a call first occurs before it, as words: `the user's message`, `the result of search`, `no earlier message`. `None` if the trace does
/// not show it.
pub(super) fn source_of<'t>(case: &Case<'_, 't>, call: Option<&RecordedCall<'t>>, value: &str) -> Option<ValueSource<'t>> {
    if !is_searchable(value) {
        return None;
    }
    let wanted = [value.to_lowercase(), crate::model::with_separators(value)];
    let mut budget = SEARCHED_BYTES_MAX;
    let mut occurs = |text: &str| {
        let is_within = text.len() <= budget;
        budget = budget.saturating_sub(text.len());
        is_within && wanted.iter().any(|value| contains_word(text, value))
    };
    let conversation = conversation_before(case, call);
    let (mut in_system, mut in_answer) = (false, false);
    for message in &conversation {
        match Speaker::of(message) {
            Speaker::System => in_system = in_system || occurs(&message.content),
            Speaker::User if occurs(&message.content) => return Some(ValueSource::new("the user's message", &message.content)),
            Speaker::Tool if occurs(&message.content) => {
                let tool = tool_of(&conversation, message);
                let place = tool.map_or_else(|| "a tool result".into(), |tool| format!("the result of {}", super::shortened(tool, 60)));
                return Some(ValueSource { tool, ..ValueSource::new(&place, &message.content) });
            }
            Speaker::Model => in_answer = in_answer || occurs(&message.content),
            Speaker::User | Speaker::Tool => {}
        }
    }
    // Instrumentations that record no messages have results and documents on other spans.
    for span in spans_before(case).filter(|span| !std::ptr::eq(*span, call.map_or(*span, |call| call.span))) {
        if let Some(tool) = span.tool.as_ref().filter(|tool| tool.result.as_deref().is_some_and(&mut occurs)) {
            let place = format!("the result of {}", super::shortened(&tool.name, 60));
            let text = tool.result.as_deref().unwrap_or_default();
            return Some(ValueSource { tool: Some(&tool.name), ..ValueSource::new(&place, text) });
        }
        if let Some(document) = span.documents.iter().flatten().find(|document| occurs(&document.content)) {
            return Some(ValueSource::new("a retrieved document", &document.content));
        }
    }
    if in_system {
        return Some(ValueSource::new("the system prompt", ""));
    }
    let of_root = case.trace.spans.first().and_then(|span| span.input_text.as_deref());
    if let Some(text) = of_root.filter(|text| occurs(text)) {
        return Some(ValueSource::new("the input of the run", text));
    }
    if in_answer {
        return Some(ValueSource::new("an earlier answer of the model", ""));
    }
    // "Nowhere" is only known if everything was recorded and read.
    let is_user = |message: &&Message| matches!(Speaker::of(message), Speaker::User) && !message.content.trim().is_empty();
    let is_complete = budget > 0 && case.trace.spans.iter().all(|span| span.truncated_fields == 0 && span.not_understood.is_empty());
    (is_complete && conversation.iter().copied().any(|message| is_user(&message))).then(|| ValueSource::new("no earlier message", ""))
}

/// Where a value first occurs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ValueSource<'t> {
    /// In words: `the user's message`, `the result of search`.
    pub(super) place: String,
    /// The tool, if it is a result.
    pub(super) tool: Option<&'t str>,
    /// The text that contains the value; empty if it is not worth quoting.
    text: &'t str,
}

impl<'t> ValueSource<'t> {
    fn new(place: &str, text: &'t str) -> Self {
        Self { place: place.to_owned(), tool: None, text }
    }

    /// The words around the value, with the sentence or line that it is in as far as that is short.
    pub(super) fn quote(&self, value: &str) -> Option<&'t str> {
        const BEFORE_CHARS_MAX: usize = 60;
        const AFTER_CHARS_MAX: usize = 30;
        let at = find_word(self.text, value)?;
        let (before, rest) = self.text.split_at_checked(at)?;
        let (found, after) = rest.split_at_checked(value.len())?;
        let is_end = |c: char| matches!(c, '\n' | '\r');
        let line = before.rfind(is_end).map_or(0, |at| at + 1);
        let sentence = [". ", "! ", "? "].iter().filter_map(|end| before.rfind(end).map(|at| at + end.len())).max().unwrap_or(0);
        let window = before.char_indices().rev().nth(BEFORE_CHARS_MAX).map_or(0, |(at, _)| at);
        // A window begins after the word in which it would begin.
        let window = if window == 0 { 0 } else { before.get(window..)?.find(char::is_whitespace).map_or(at, |space| window + space + 1) };
        let start = line.max(sentence).max(window);
        let near = after.char_indices().nth(AFTER_CHARS_MAX).map_or(after, |(end, _)| after.get(..end).unwrap_or_default());
        let stop = near.find(|c: char| is_end(c) || matches!(c, '.' | '!' | '?'));
        let near = stop.map_or_else(
            || {
                if near.len() < after.len() {
                    near.rfind(char::is_whitespace).map_or("", |end| near.get(..end).unwrap_or_default())
                } else {
                    near
                }
            },
            |end| near.get(..end).unwrap_or_default(),
        );
        let quote = self.text.get(start..at + found.len() + near.len())?.trim();
        (quote.len() > value.len()).then_some(quote)
    }
}

/// Where a value occurs as a whole word, if in the same capitals.
fn find_word(text: &str, value: &str) -> Option<usize> {
    if value.is_empty() {
        return None;
    }
    let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
    text.match_indices(value).map(|(at, _)| at).find(|at| {
        let before = text.get(..*at).and_then(|before| before.chars().next_back());
        let after = text.get(at + value.len()..).and_then(|after| after.chars().next());
        let joins_before = is_part(before) && is_part(value.chars().next());
        let joins_after = is_part(after) && is_part(value.chars().next_back());
        !joins_before && !joins_after
    })
}

/// Bytes of messages and results that are searched for a value.
const SEARCHED_BYTES_MAX: usize = 512 * 1024;

/// Who wrote a message.
enum Speaker {
    System,
    User,
    Tool,
    Model,
}

impl Speaker {
    fn of(message: &Message) -> Self {
        match message.role.to_ascii_lowercase().as_str() {
            "system" | "developer" => Self::System,
            "user" | "human" => Self::User,
            "tool" | "function" | "tool_result" | "ipython" | "observation" => Self::Tool,
            _ => Self::Model,
        }
    }
}

/// The messages before the call: the input of the model call that wrote it, or of the last one before the failure.
fn conversation_before<'t>(case: &Case<'_, 't>, call: Option<&RecordedCall<'_>>) -> Vec<&'t Message> {
    let is_call = |other: &ToolCall| call.is_some_and(|call| is_same(call, other));
    let wrote_it = |span: &&Span| span.output.iter().flat_map(|message| &message.tool_calls).any(is_call);
    let of_incident = case.span().filter(|span| !span.input.is_empty());
    let writer = || spans_before(case).rev().filter(|span| matches!(span.kind, SpanKind::Llm | SpanKind::Agent)).find(wrote_it);
    let last = || spans_before(case).rev().find(|span| span.kind == SpanKind::Llm && !span.input.is_empty());
    let writer = writer().filter(|span| !span.input.is_empty());
    let Some(span) = of_incident.filter(wrote_it).or(writer).or(of_incident).or_else(last) else { return Vec::new() };
    // The call itself may be in the history of a later call.
    span.input.iter().take_while(|message| !message.tool_calls.iter().any(is_call)).collect()
}

fn is_same(call: &RecordedCall<'_>, other: &ToolCall) -> bool {
    match (call.id, other.id.as_deref()) {
        (Some(id), Some(other)) => id == other,
        _ => call.name == other.name && call.arguments == other.arguments,
    }
}

/// The tool whose result a message has.
fn tool_of<'t>(conversation: &[&'t Message], result: &Message) -> Option<&'t str> {
    let id = result.tool_call_id.as_deref()?;
    let mut calls = conversation.iter().flat_map(|message| &message.tool_calls);
    calls.find(|call| call.id.as_deref() == Some(id)).map(|call| call.name.as_str())
}

/// Whether a text contains a value that is not a part of a longer word or number. The value is in lower case.
pub(super) fn contains_word(text: &str, value: &str) -> bool {
    let text: Cow<'_, str> = if text.chars().any(char::is_uppercase) { Cow::Owned(text.to_lowercase()) } else { Cow::Borrowed(text) };
    let is_joined = |before: Option<char>, after: Option<char>| {
        let (first, last) = (value.chars().next(), value.chars().next_back());
        let joins = |left: Option<char>, right: Option<char>| {
            // Words of scripts without spaces have no boundaries.
            let is_part = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_');
            is_part(left) && is_part(right)
        };
        joins(before, first) || joins(last, after)
    };
    text.match_indices(value).any(|(at, found)| {
        let before = text.get(..at).and_then(|before| before.chars().next_back());
        let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
        !is_joined(before, after)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_around_a_value_are_quoted() {
        for (text, value, expected) in [
            (
                "Hello. Book the Astoria for two nights from next Friday. Thanks!",
                "next Friday",
                Some("Book the Astoria for two nights from next Friday"),
            ),
            ("send it to 12 places\nplease", "12 places", Some("send it to 12 places")),
            ("12 places", "12 places", None),
            ("order A-22101", "A-2210", None),
            ("", "x", None),
        ] {
            assert_eq!(ValueSource::new("", text).quote(value), expected, "{text}");
        }
        let long = format!("{} the value é here {}", "word ".repeat(100), "more ".repeat(100));
        let quote = ValueSource::new("", &long).quote("é").unwrap();
        assert!(quote.contains("the value é here") && quote.len() < 110, "{quote}");
    }

    #[test]
    fn a_value_is_found_as_a_whole_word() {
        for (text, value, expected) in [
            ("Where is order A-2210?", "a-2210", true),
            ("Where is order A-22101?", "a-2210", false),
            ("about 1,500 euros", "1,500", true),
            ("the total is 15000", "1500", false),
            ("订单A-2210在哪里", "a-2210", true),
            ("id=A-2210,", "a-2210", true),
            ("", "a-2210", false),
        ] {
            assert_eq!(contains_word(text, value), expected, "{text}");
        }
        assert!(!is_searchable("7") && !is_searchable("true") && !is_searchable("---") && is_searchable("A-2"));
    }
}
