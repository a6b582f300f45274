//! Converts decoded values to fields of a span, for shapes that several formats and conventions share.

use std::borrow::Cow;

use super::error_text;
use super::messages::{self, Conversation};
use super::value::Value;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, Document, Exception, Message, Span, SpanKind, Status};

/// Sets the input of a span: messages and offered tools if the span is a model call and the value contains messages, otherwise one text.
pub(super) fn set_input(span: &mut Span, value: Value<'_>) {
    match conversation(span, &value) {
        Some(found) => {
            span.input = found.messages;
            span.tools_offered.extend(found.tools);
        }
        None => span.input_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// Sets the output of a span: messages and finish reasons if the span is a model call and the value contains messages, otherwise one text.
pub(super) fn set_output(span: &mut Span, value: Value<'_>) {
    match conversation(span, &value) {
        Some(found) => {
            add_reasoning(span, found.reasoning_tokens);
            span.output = found.messages;
            span.finish_reasons.extend(found.finish_reasons);
        }
        None => span.output_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// Adds an input to a span: to a model call the messages and offered tools that it lacks, otherwise one text unless it has one.
pub(super) fn add_input(span: &mut Span, text: String) {
    let value = Value::Text(Cow::Owned(text));
    let found = conversation(span, &value).filter(|found| !found.messages.is_empty()).or_else(|| plain(span, &value, messages::prompt));
    if let Some(found) = found {
        complete_request(span, found);
    } else if span.input_text.is_none() {
        span.input_text = value.into_text();
    }
}

/// Adds an output to a span: to a model call the messages, finish reasons and token counts that it lacks, otherwise one text unless it has
/// one.
pub(super) fn add_output(span: &mut Span, text: String) {
    let value = Value::Text(Cow::Owned(text));
    match conversation(span, &value).or_else(|| plain(span, &value, messages::answer)) {
        Some(found) => complete_response(span, found),
        None if span.output_text.is_none() => span.output_text = value.into_text(),
        None => {}
    }
}

/// The prompt or the answer of a model call that has no messages, but text.
fn plain(span: &Span, value: &Value<'_>, read: fn(&Value<'_>) -> Vec<Message>) -> Option<Conversation> {
    if span.kind != SpanKind::Llm {
        return None;
    }
    let messages = value.any_tree().map_or_else(|| read(value), |tree| read(&tree));
    (!messages.is_empty()).then(|| Conversation { messages, ..Conversation::default() })
}

/// Fills what a model call lacks from its request.
pub(super) fn complete_request(span: &mut Span, found: Conversation) {
    if span.input.is_empty() {
        span.input = found.messages;
    } else {
        complete_messages(&mut span.input, found.messages);
    }
    if span.tools_offered.is_empty() {
        span.tools_offered = found.tools;
    }
    span.model = span.model.take().or(found.model);
}

/// Fills what messages lack from another record of the same messages: the OpenInference instrumentation of LangChain.js omits the ids of tool calls, and
/// content that is a list.
fn complete_messages(known: &mut [Message], read: Vec<Message>) {
    let is_same = |(known, read): (&Message, &Message)| known.role == read.role || known.role.is_empty() || read.role.is_empty();
    if known.len() != read.len() || !known.iter().zip(&read).all(is_same) {
        return;
    }
    for (known, read) in known.iter_mut().zip(read) {
        if known.content.is_empty() {
            known.content = read.content;
        }
        if known.tool_calls.iter().all(|call| call.id.is_none()) && known.tool_calls.len() <= read.tool_calls.len() {
            known.tool_calls = read.tool_calls;
        }
        if known.role == "tool" {
            known.tool_call_id = known.tool_call_id.take().or(read.tool_call_id);
        }
    }
}

/// Fills what a model call lacks from its response.
pub(super) fn complete_response(span: &mut Span, found: Conversation) {
    add_reasoning(span, found.reasoning_tokens);
    if span.output.is_empty() {
        span.output = found.messages;
    } else if let (Some(known), Some(read)) = (span.output.last_mut(), found.messages.into_iter().next_back()) {
        if known.tool_calls.is_empty() {
            known.tool_calls = read.tool_calls;
        }
        known.refusal = known.refusal.take().or(read.refusal);
    }
    if span.finish_reasons.is_empty() {
        span.finish_reasons = found.finish_reasons;
    }
    span.usage.input = span.usage.input.or(found.usage.input);
    span.usage.output = span.usage.output.or(found.usage.output);
    span.model = span.model.take().or(found.model);
}

/// Keeps the tokens of reasoning that a response counts, unless an attribute has them.
fn add_reasoning(span: &mut Span, tokens: Option<(&'static str, u64)>) {
    let Some((key, tokens)) = tokens.filter(|_| span.attributes.len() < SPAN_ITEMS_MAX) else { return };
    let is_count = |key: &str| (key.contains("reasoning") || key.contains("thoughts")) && (key.contains("token") || key.contains("usage"));
    if !span.attributes.iter().any(|attribute| is_count(&attribute.key)) {
        span.attributes.push(Attribute { key: key.to_owned(), value: tokens.to_string() });
    }
}

/// Keeps the tokens of reasoning of a record of Langfuse: `{"input": 9, "output": 64, "output_reasoning_tokens": 1984}`.
pub(super) fn add_reasoning_of_langfuse(attributes: &mut Vec<Attribute>, details: &Value<'_>) {
    let mut counts = details.fields().iter().filter(|(key, _)| key.contains("reasoning")).filter_map(|(_, value)| value.as_u64());
    if let Some(tokens) = counts.find(|tokens| *tokens > 0).filter(|_| attributes.len() < SPAN_ITEMS_MAX) {
        attributes.push(Attribute { key: "langfuse.observation.usage_details.reasoning_tokens".into(), value: tokens.to_string() });
    }
}

/// The messages of a model call. JSON text that the exporter cut off is read as far as it goes, and counted in [`Span::truncated_fields`].
fn conversation(span: &mut Span, value: &Value<'_>) -> Option<Conversation> {
    if span.kind != SpanKind::Llm {
        return None;
    }
    if let Some(tree) = value.any_tree() {
        return messages::conversation(&tree);
    }
    let found = value.as_str().and_then(Value::parse_truncated).and_then(|tree| messages::conversation(&tree));
    span.truncated_fields += u32::from(found.is_some());
    found
}

/// The documents in a value: a list of documents, or a list in an envelope such as `{"documents": […]}`. `None` if there is no such list.
pub(super) fn documents_in(tree: &Value<'_>) -> Option<Vec<Document>> {
    const KEYS: [&str; 10] = ["documents", "nodes", "source_nodes", "matches", "results", "hits", "chunks", "docs", "data", "passages"];
    let list = match tree {
        Value::List(_) => tree,
        _ => KEYS.iter().map(|key| tree.get(key)).find(|list| matches!(list, Value::List(_)))?,
    };
    // Several queries: a list of lists.
    match list.items() {
        [first @ Value::List(_)] => Some(documents(first)),
        _ => Some(documents(list)),
    }
}

/// The documents in `[{"id", "content" | "page_content" | "document.content", "score"}]`. LangChain has id and score in `metadata`.
pub(super) fn documents(list: &Value<'_>) -> Vec<Document> {
    let document = |item: &Value<'_>| {
        // LlamaIndex wraps a node with its score, LangChain's serialization the fields in `kwargs`.
        let inner = [item.get("node"), item.get("kwargs"), item.get("document")].into_iter().find(|inner| matches!(inner, Value::Map(_)));
        let inner = inner.unwrap_or(item);
        let holders = [item, inner, inner.get("metadata"), inner.get("payload")];
        let first = |keys: &[&str]| holders.iter().map(|holder| holder.first(keys)).find(|value| !value.is_null()).unwrap_or(&Value::Null);
        Document {
            id: first(&["id", "id_", "document.id", "document_id", "doc_id"]).as_id(),
            content: match item {
                Value::Text(text) => text.to_string(),
                _ => document_text(first(&["content", "page_content", "pageContent", "text", "document.content", "chunk", "body"])),
            },
            score: first(&["score", "document.score", "similarity", "relevance_score"]).as_f64(),
        }
    };
    // One more than the limit is kept, so that the span counts as cut.
    list.items().iter().map(document).take(SPAN_ITEMS_MAX + 1).collect()
}

/// The text of a document, also if it consists of parts: `[{"text": "…"}]`.
fn document_text(content: &Value<'_>) -> String {
    let parts: Option<Vec<&str>> = content.items().iter().map(|part| part.get("text").as_str()).collect();
    parts.filter(|parts| !parts.is_empty()).map_or_else(|| content.to_text(), |parts| parts.join("\n"))
}

/// The exception in the attributes of an `exception` event; its other attributes are dropped. A type that is missing is taken from the message or the
/// stack trace.
pub(super) fn exception(attributes: Value<'_>) -> Exception {
    let mut exception = Exception::default();
    let Value::Map(fields) = attributes else { return exception };
    for (key, value) in fields {
        match key.as_ref() {
            "exception.type" => exception.kind = value.into_text().unwrap_or_default(),
            "exception.message" => exception.message = value.into_text().unwrap_or_default(),
            "exception.stacktrace" => exception.stack = value.into_text(),
            _ => {}
        }
    }
    if exception.kind.is_empty() {
        exception.kind = error_text::kind_of(&exception.message, exception.stack.as_deref()).unwrap_or_default();
    }
    exception
}

/// The status in a word or a number of OpenTelemetry; unset if it is neither ok nor an error.
pub(super) fn status(word: &str) -> Status {
    match word {
        "ERROR" | "STATUS_CODE_ERROR" | "error" | "2" => Status::Error,
        "OK" | "STATUS_CODE_OK" | "ok" | "1" => Status::Ok,
        _ => Status::Unset,
    }
}
