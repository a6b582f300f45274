//! Converts decoded values to fields of a span, for shapes that several formats and conventions share.

use super::messages::{self, Conversation};
use super::value::Value;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Document, Exception, Span, SpanKind, Status};

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
            span.output = found.messages;
            span.finish_reasons.extend(found.finish_reasons);
        }
        None => span.output_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// The messages of a model call. JSON text that the exporter cut off is read as far as it goes, and counted in [`Span::truncated_fields`].
fn conversation(span: &mut Span, value: &Value<'_>) -> Option<Conversation> {
    if span.kind != SpanKind::Llm {
        return None;
    }
    if let Some(tree) = value.tree() {
        return messages::conversation(&tree);
    }
    let found = value.as_str().and_then(Value::parse_truncated).and_then(|tree| messages::conversation(&tree));
    span.truncated_fields += u32::from(found.is_some());
    found
}

/// The documents in `[{"id", "content" | "page_content" | "document.content", "score"}]`. LangChain has id and score in `metadata`.
pub(super) fn documents(list: &Value<'_>) -> Vec<Document> {
    let document = |item: &Value<'_>| {
        let metadata = item.get("metadata");
        let id = item.first(&["id", "document.id"]);
        let score = item.first(&["score", "document.score"]);
        Document {
            id: if id.is_null() { metadata.get("id") } else { id }.as_id(),
            content: item.first(&["content", "page_content", "text", "document.content"]).to_text(),
            score: if score.is_null() { metadata.get("score") } else { score }.as_f64(),
        }
    };
    // One more than the limit is kept, so that the span counts as cut.
    list.items().iter().map(document).take(SPAN_ITEMS_MAX + 1).collect()
}

/// The exception in the attributes of an `exception` event; its other attributes are dropped.
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
