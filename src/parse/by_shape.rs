//! The last resort: reads content from attributes that no convention maps, by their names and the shape of their values, and marks what looks
//! like content and cannot be read.
//!
//! Called for spans whose parts are incomplete. A name alone proves little (`cache.result`), so its value must have a shape that occurs
//! nowhere else: chat messages, or the body of a provider's API. Everything else that has the name of content only makes the part
//! "not understood".
//!
//! | attribute | taken as |
//! |---|---|
//! | `acme.llm.output = {"choices": […]}` | the output messages and finish reason of a model call |
//! | `acme.request.messages = [{"role": "user", …}]` | its input messages |
//! | `acme.response = "The order is late."` | output that is not understood |
//! | `acme.tool.output_tokens = 17`, `cache.result = "hit"` | nothing: too short for content |

use std::borrow::Cow;

use super::messages::{self, Conversation};
use super::span_fields::{complete_request, complete_response};
use super::value::Value;
use crate::model::{Attribute, Part, Span, SpanKind};

/// Shorter values are flags, names and counts.
const CONTENT_BYTES_MIN: usize = 24;

/// Fills the missing parts of a span from its unmapped attributes, and marks the parts that could not be read.
pub(super) fn infer_content(span: &mut Span) {
    let missing = |span: &Span, part| !span.has_part(part);
    if matches!(span.kind, SpanKind::Llm | SpanKind::Tool | SpanKind::Retriever | SpanKind::Other) {
        for part in [Part::Input, Part::Output] {
            if missing(span, part) {
                infer_part(span, part);
            }
        }
    }
    mark_raw_texts(span);
}

/// Looks for one part among the unmapped attributes.
fn infer_part(span: &mut Span, part: Part) {
    let candidates = span.attributes.iter().filter(|attribute| is_content(&attribute.key, &attribute.value, part));
    let mut looks_like_content = false;
    let mut found = None;
    for attribute in candidates {
        looks_like_content = true;
        found = conversation_in(&attribute.value).map(|conversation| (attribute.key.clone(), conversation));
        if found.is_some() {
            break;
        }
    }
    match found {
        Some((key, conversation)) if matches!(span.kind, SpanKind::Llm | SpanKind::Other) => {
            if span.kind == SpanKind::Other && !is_answer(&conversation, part) {
                return;
            }
            span.kind = SpanKind::Llm;
            span.attributes.retain(|attribute| attribute.key != key);
            span.inferred.insert(part);
            match part {
                Part::Input => complete_request(span, conversation),
                _ => complete_response(span, conversation),
            }
        }
        _ if looks_like_content && span.kind != SpanKind::Other => span.not_understood.insert(part),
        _ => {}
    }
}

/// Whether messages alone show that a span of unknown kind called a model: the answer has a finish reason, or is a single message of the assistant.
fn is_answer(conversation: &Conversation, part: Part) -> bool {
    part == Part::Output
        && (!conversation.finish_reasons.is_empty()
            || matches!(conversation.messages.as_slice(), [message] if message.role == "assistant" || !message.tool_calls.is_empty()))
}

/// A text of a model call or a retriever that is JSON, from which no message or document could be read, is not understood.
fn mark_raw_texts(span: &mut Span) {
    let is_tree = |text: &Option<String>| text.as_deref().is_some_and(|text| text.trim_start().starts_with(['{', '[']));
    match span.kind {
        SpanKind::Llm => {
            if span.input.is_empty() && is_tree(&span.input_text) {
                span.not_understood.insert(Part::Input);
            }
            if span.output.is_empty() && is_tree(&span.output_text) {
                span.not_understood.insert(Part::Output);
            }
        }
        SpanKind::Retriever if span.documents.is_none() && span.output_text.is_some() => span.not_understood.insert(Part::Output),
        _ => {}
    }
}

/// Whether an unmapped attribute looks like the input or the output of a step.
pub(super) fn looks_like_content(attribute: &Attribute) -> bool {
    [Part::Input, Part::Output].into_iter().any(|part| is_content(&attribute.key, &attribute.value, part))
}

fn conversation_in(text: &str) -> Option<Conversation> {
    let value = Value::Text(Cow::Borrowed(text));
    value.any_tree().and_then(|tree| messages::conversation(&tree)).filter(|found| !found.messages.is_empty())
}

/// Whether an attribute has the name of the part and a value that may be its content.
fn is_content(key: &str, value: &str, part: Part) -> bool {
    const INPUT: [&str; 10] =
        ["input", "inputs", "prompt", "prompts", "messages", "request", "question", "query", "instructions", "arguments"];
    const OUTPUT: [&str; 12] = [
        "output",
        "outputs",
        "response",
        "responses",
        "completion",
        "completions",
        "result",
        "results",
        "answer",
        "reply",
        "generation",
        "choices",
    ];
    /// The last words of names of other things: `llm.output_type`, `prompt_version`, `component.input_spec`.
    const METADATA: [&str; 21] = [
        "types",
        "spec",
        "specs",
        "template",
        "templates",
        "id",
        "ids",
        "type",
        "tokens",
        "count",
        "model",
        "name",
        "version",
        "format",
        "schema",
        "size",
        "length",
        "time",
        "duration",
        "cost",
        "mime",
    ];
    if value.len() < CONTENT_BYTES_MIN {
        return false;
    }
    let mut words = words_of(key);
    let last = words.next_back().unwrap_or_default();
    if METADATA.iter().any(|word| word.eq_ignore_ascii_case(last)) {
        return false;
    }
    let names: &[&str] = if part == Part::Input { &INPUT } else { &OUTPUT };
    // `llm.output`, `output_text`, `responseBody`, `completion.0.content`.
    std::iter::once(last).chain(words.rev().take(2)).any(|word| names.iter().any(|name| name.eq_ignore_ascii_case(word)))
}

/// The words of a dotted name: `acme.llmOutput_text` has `acme`, `llm`, `Output`, `text`.
fn words_of(key: &str) -> impl DoubleEndedIterator<Item = &str> {
    key.split(|c: char| !c.is_ascii_alphanumeric()).flat_map(|segment| {
        let boundary = segment.char_indices().skip(1).find(|(_, c)| c.is_ascii_uppercase()).map_or(segment.len(), |(at, _)| at);
        let (first, rest) = segment.split_at_checked(boundary).unwrap_or((segment, ""));
        [first, rest].into_iter().filter(|word| !word.is_empty() && !word.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Coverage;
    use crate::parse::conventions::tests::span_with;

    #[test]
    fn messages_of_an_unknown_instrumentation_are_found() {
        let span = span_with(&[
            ("acme.llm.request", r#"{"model":"m","messages":[{"role":"user","content":"Where is A-17?"}],"tools":[{"name":"f"}]}"#),
            ("acme.llm.responseBody", r#"{"choices":[{"finish_reason":"length","message":{"role":"assistant","content":"It is"}}]}"#),
        ]);
        assert_eq!(
            (span.kind, span.output[0].content.as_str(), span.finish_reasons.as_slice()),
            (SpanKind::Llm, "It is", &["length".to_owned()][..])
        );
        assert!(span.inferred.contains(Part::Output) && span.not_understood.is_empty());
    }

    #[test]
    fn content_that_is_not_understood_is_marked() {
        let span = span_with(&[("gen_ai.operation.name", "chat"), ("acme.response", "<answer>The order is late.</answer>")]);
        assert_eq!((span.coverage(Part::Output), span.coverage(Part::Input)), (Coverage::NotUnderstood, Coverage::Absent));
        let span = span_with(&[
            ("gen_ai.operation.name", "chat"),
            ("cache.result", "hit"),
            ("acme.output_tokens_by_type", "{\"text\": 17, \"audio\": 12}"),
        ]);
        assert_eq!(span.coverage(Part::Output), Coverage::Absent);
        let span = span_with(&[("openinference.span.kind", "LLM"), ("output.value", r#"{"verdict":"late"}"#)]);
        assert_eq!(span.coverage(Part::Output), Coverage::NotUnderstood);
    }

    #[test]
    fn an_unrelated_span_stays_as_it_is() {
        let span = span_with(&[
            ("http.response.body", r#"{"content": "late", "order": "A-17 of 20"}"#),
            ("db.query.text", "SELECT * FROM orders WHERE id = 17"),
        ]);
        assert_eq!((span.kind, span.not_understood.is_empty()), (SpanKind::Other, true));
    }
}
