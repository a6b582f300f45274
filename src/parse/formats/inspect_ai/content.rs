//! Messages of Inspect, attachments, and the limit on repeated messages.

use std::collections::HashMap;

use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Message, Part, Span};
use crate::parse::messages;
use crate::parse::value::Value;

/// The texts of a sample that its messages and events refer to, by their hash.
#[derive(Default)]
pub(super) struct Attachments<'v>(HashMap<&'v str, &'v str>);

impl<'v> Attachments<'v> {
    pub(super) fn new(attachments: &'v Value<'v>) -> Self {
        Self(attachments.fields().iter().filter_map(|(hash, text)| Some((hash.as_ref(), text.as_str()?))).collect())
    }

    /// Replaces every reference in a value by its text. A reference without a text stays.
    pub(super) fn resolve(&self, value: &mut Value<'v>) {
        const PROTOCOL: &str = "attachment://";
        match value {
            Value::Text(text) => {
                let found = text.strip_prefix(PROTOCOL).and_then(|hash| self.0.get(hash));
                if let Some(found) = found {
                    *value = Value::Text((*found).into());
                }
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.resolve(item)),
            Value::Map(fields) => fields.iter_mut().for_each(|(_, field)| self.resolve(field)),
            _ => {}
        }
    }
}

/// How many bytes of messages the model calls of one record may still repeat. Each call repeats the conversation before it, so that the calls of a
/// long sample have many times its size.
pub(super) struct Repeated {
    /// For conversations.
    whole: usize,
    /// For the messages since the previous answer, of calls whose conversation is too long.
    recent: usize,
}

impl Default for Repeated {
    fn default() -> Self {
        const BYTES_MAX: usize = 16 * 1024 * 1024;
        Self { whole: BYTES_MAX, recent: BYTES_MAX }
    }
}

/// Sets the input of a model call: the messages in its event, or those of the pool to which `refs` refers, ranges `[start, end)`.
pub(super) fn set_input<'v>(span: &mut Span, inline: &[Value<'v>], refs: &Value<'_>, pool: &[Value<'v>], repeated: &mut Repeated) {
    let ranges: Vec<&[Value<'v>]> =
        if inline.is_empty() { refs.items().iter().filter_map(|range| range_of(pool, range)).collect() } else { vec![inline] };
    let is_incomplete = inline.is_empty() && ranges.len() < refs.items().len();
    // One more than the limit is kept, so that the span counts as cut.
    let all = || ranges.iter().copied().flatten().take(SPAN_ITEMS_MAX + 1);
    if let Some(messages) = messages_within(all(), &mut repeated.whole) {
        span.input = messages;
    } else {
        span.truncated_fields += 1;
        let since_answer = ranges.iter().rev().copied().flat_map(|range| range.iter().rev());
        let recent: Vec<&Value<'v>> =
            since_answer.take(SPAN_ITEMS_MAX).take_while(|message| message.get("role").as_str() != Some("assistant")).collect();
        span.input = messages_within(recent.into_iter().rev(), &mut repeated.recent).unwrap_or_default();
    }
    if is_incomplete {
        span.unread_fields += 1;
    }
    if span.input.is_empty() && (is_incomplete || !ranges.is_empty()) {
        span.not_understood.insert(Part::Input);
    }
}

fn range_of<'p, 'v>(pool: &'p [Value<'v>], range: &Value<'_>) -> Option<&'p [Value<'v>]> {
    let [start, end] = range.items() else { return None };
    pool.get(usize::try_from(start.as_u64()?).ok()?..usize::try_from(end.as_u64()?).ok()?)
}

/// The messages, unless they have more than `bytes_left`, which is reduced by their size.
fn messages_within<'v: 'p, 'p>(values: impl Iterator<Item = &'p Value<'v>>, bytes_left: &mut usize) -> Option<Vec<Message>> {
    let mut found = Vec::new();
    for value in values {
        let first_new = found.len();
        add_message(value, &mut found);
        let size: usize = found.iter().skip(first_new).map(size_of_message).sum();
        *bytes_left = bytes_left.checked_sub(size)?;
    }
    Some(found)
}

fn size_of_message(message: &Message) -> usize {
    let calls: usize = message.tool_calls.iter().map(|call| call.name.len() + call.arguments.len()).sum();
    size_of::<Message>() + message.content.len() + calls
}

/// Adds a message. The content of a tool message is empty if the tool failed; its error is the content then.
pub(super) fn add_message(value: &Value<'_>, found: &mut Vec<Message>) {
    let first_new = found.len();
    messages::add_messages(value, found);
    let error = value.get("error").get("message").as_str().or_else(|| value.get("tool_error").as_str());
    if let (Some(error), Some(message)) = (error, found.get_mut(first_new))
        && message.content.is_empty()
    {
        error.clone_into(&mut message.content);
    }
}

/// The messages in the `input` of a sample: a text, or a list of messages.
pub(super) fn messages_of_input(input: &Value<'_>) -> Vec<Message> {
    let mut found = Vec::new();
    match input {
        Value::Text(text) => found.push(Message { role: "user".into(), content: text.to_string(), ..Message::default() }),
        other => other.items().iter().take(SPAN_ITEMS_MAX + 1).for_each(|message| add_message(message, &mut found)),
    }
    found
}
