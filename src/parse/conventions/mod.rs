//! Attributes -> the fields of a [`Span`], for every semantic convention that traces of LLM applications use:
//!
//! - `OpenInference` <https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md>: `openinference.span.kind`,
//!   `llm.input_messages.N.message.*`, `retrieval.documents.N.document.*`, `tool.*`, `input.value`.
//! - OpenTelemetry `GenAI` <https://opentelemetry.io/docs/specs/semconv/gen-ai/>: `gen_ai.operation.name`, `gen_ai.input.messages` as
//!   JSON text or as nested values, `gen_ai.tool.call.*`, `gen_ai.retrieval.documents`.
//! - Langfuse over OTLP: `langfuse.observation.{type,input,output}`.
//! - `OpenLLMetry` (Traceloop): `traceloop.span.kind`, `traceloop.entity.*`, and before 0.50 `gen_ai.prompt.N.*`, `gen_ai.completion.N.*`.
//!
//! Quirks seen in real exports: finish reasons stand in `llm.finish_reason` or only inside `output.value`; `refusal` of `OpenAI`'s
//! API likewise; `OpenInference` leaves `retrieval.documents` out altogether where nothing was found.

mod gen_ai;
mod openinference;
mod settle;
mod sparse;

use std::borrow::Cow;

pub(super) use self::gen_ai::add_event;
use self::gen_ai::add_span_event;
pub(super) use self::openinference::openinference_kind;
pub(super) use self::settle::settled;
use self::sparse::{MessageParts, Sparse};
use super::messages;
use super::value::Value;
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, Document, Exception, Span, SpanKind, Status, ToolUse};

/// Puts attributes into the fields of a span, one at a time, then settles what only all of them together tell.
pub(in crate::parse) struct SpanAttributes {
    span: Span,
    /// Lists of which each attribute names one item by its index.
    input_items: Sparse<MessageParts>,
    output_items: Sparse<MessageParts>,
    documents: Sparse<Document>,
    prompts: Sparse<MessageParts>,
    completions: Sparse<MessageParts>,
    /// How much what stands in `model` and `provider` is worth: attributes come in any order, and several name them.
    model_rank: u8,
    provider_rank: u8,
    /// What events on the span say, which counts where its attributes do not.
    said: Option<Box<Span>>,
    /// Messages or a text, which only the kind of the span tells.
    langfuse_input: Option<String>,
    langfuse_output: Option<String>,
}

impl SpanAttributes {
    /// Starts from what the format itself says of the span.
    pub(in crate::parse) fn new(span: Span) -> Self {
        Self {
            span,
            input_items: Sparse::default(),
            output_items: Sparse::default(),
            documents: Sparse::default(),
            prompts: Sparse::default(),
            completions: Sparse::default(),
            model_rank: 0,
            provider_rank: 0,
            said: None,
            langfuse_input: None,
            langfuse_output: None,
        }
    }

    /// Takes one attribute.
    pub(in crate::parse) fn set(&mut self, key: Cow<'_, str>, value: Value<'_>) {
        if let Some(value) = self.set_known(&key, value)
            && self.span.attributes.len() <= SPAN_ITEMS_MAX
            && let Some(value) = value.into_text()
        {
            self.span.attributes.push(Attribute { key: key.into_owned(), value });
        }
    }

    /// Takes an attribute that a convention names; gives the value back where none does.
    fn set_known<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        match key.split_once('.').map(|(first, _)| first) {
            Some("openinference" | "llm" | "input" | "output" | "retrieval" | "tool" | "tool_call") => self.set_openinference(key, value),
            Some("gen_ai") => self.set_gen_ai(key, value),
            Some("traceloop") => self.set_traceloop(key, value),
            Some("langfuse") => self.set_langfuse(key, value),
            Some("error") if key == "error.type" => {
                self.span.error_type = value.into_text();
                None
            }
            _ => Some(value),
        }
    }

    fn set_traceloop<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        match key {
            "traceloop.span.kind" => {
                if let (Some(kind), SpanKind::Other) = (value.as_str().and_then(traceloop_kind), self.span.kind) {
                    self.span.kind = kind;
                }
            }
            "traceloop.entity.input" => self.span.input_text = value.into_text().map(unquoted),
            "traceloop.entity.output" => self.span.output_text = value.into_text().map(unquoted),
            _ => return Some(value),
        }
        None
    }

    fn set_langfuse<'v>(&mut self, key: &str, value: Value<'v>) -> Option<Value<'v>> {
        let span = &mut self.span;
        match key {
            "langfuse.observation.type" => span.kind = value.as_str().map(langfuse_kind).unwrap_or_default(),
            "langfuse.observation.input" => self.langfuse_input = value.into_text(),
            "langfuse.observation.output" => self.langfuse_output = value.into_text(),
            "langfuse.observation.model.name" => self.set_model(3, value),
            "langfuse.observation.usage_details" => {
                let Some(details) = value.tree() else { return Some(value) };
                span.usage.input = span.usage.input.or(details.first(&["input", "prompt_tokens", "input_tokens"]).as_u64());
                span.usage.output = span.usage.output.or(details.first(&["output", "completion_tokens", "output_tokens"]).as_u64());
            }
            _ => return Some(value),
        }
        None
    }

    /// The list or map of an attribute, also of JSON text that was cut off; the span notes that then.
    fn tree<'v>(&mut self, value: &'v Value<'_>) -> Option<Cow<'v, Value<'v>>> {
        value.tree().or_else(|| {
            let tree = value.as_str().and_then(Value::parse_cut)?;
            self.span.cut_fields += 1;
            Some(Cow::Owned(tree))
        })
    }

    fn tool(&mut self) -> &mut ToolUse {
        self.span.tool.get_or_insert_default()
    }

    /// Takes the documents of a retrieval. What is no list of documents is not understood, which is not the same as nothing found.
    fn set_documents<'v>(&mut self, value: Value<'v>) -> Option<Value<'v>> {
        let found = self.tree(&value).filter(|tree| matches!(**tree, Value::List(_))).map(|tree| documents(&tree));
        match found {
            Some(found) => self.span.documents = Some(found),
            None if value.is_empty() => self.span.documents = Some(Vec::new()),
            None => {
                self.span.unread_fields += 1;
                return Some(value);
            }
        }
        None
    }

    fn set_model(&mut self, rank: u8, value: Value<'_>) {
        if rank > self.model_rank {
            (self.span.model, self.model_rank) = (value.into_text(), rank);
        }
    }

    fn set_provider(&mut self, rank: u8, value: Value<'_>) {
        if rank > self.provider_rank {
            (self.span.provider, self.provider_rank) = (value.into_text(), rank);
        }
    }

    /// Takes one event on the span: an exception, or messages as the `GenAI` conventions had them there before 1.37.
    pub(in crate::parse) fn event<'v>(&mut self, name: &str, attributes: impl IntoIterator<Item = (Cow<'v, str>, Value<'v>)>) {
        let attributes = attributes.into_iter();
        if name == "exception" {
            let exception = exception(attributes.map(|(key, value)| (key.into_owned(), value.into_text())));
            self.span.exceptions.push(exception);
        } else if name.starts_with("gen_ai.") {
            add_span_event(self.said.get_or_insert_default(), name, &Value::Map(attributes.collect()));
        }
    }

    /// The span, once all attributes are in.
    pub(in crate::parse) fn finish(mut self) -> Span {
        for items in [self.input_items, self.prompts].into_iter().filter(|items| !items.is_empty()) {
            self.span.input = items.into_messages();
        }
        for items in [self.output_items, self.completions].into_iter().filter(|items| !items.is_empty()) {
            self.span.output = items.into_messages();
        }
        if !self.documents.is_empty() {
            self.span.documents = Some(self.documents.into_items().collect());
        }
        if let Some(said) = self.said {
            let span = &mut self.span;
            if span.input.is_empty() {
                span.input = said.input;
            }
            if span.output.is_empty() {
                span.output = said.output;
            }
            if span.finish_reasons.is_empty() {
                span.finish_reasons = said.finish_reasons;
            }
        }
        if let Some(text) = self.langfuse_input {
            set_input(&mut self.span, Value::Text(Cow::Owned(text)));
        }
        if let Some(text) = self.langfuse_output {
            set_output(&mut self.span, Value::Text(Cow::Owned(text)));
        }
        settled(self.span)
    }
}

/// The messages that a model call got or gave, also of JSON text that was cut off; the span notes that then.
fn conversation(span: &mut Span, value: &Value<'_>) -> Option<messages::Conversation> {
    if span.kind != SpanKind::Llm {
        return None;
    }
    if let Some(tree) = value.tree() {
        return messages::conversation(&tree);
    }
    let found = value.as_str().and_then(Value::parse_cut).and_then(|tree| messages::conversation(&tree));
    span.cut_fields += u32::from(found.is_some());
    found
}

/// Takes what went in: of a model call messages, with the tools that were offered; else, or where there are none, one text.
pub(in crate::parse) fn set_input(span: &mut Span, value: Value<'_>) {
    match conversation(span, &value) {
        Some(found) => {
            span.input = found.messages;
            span.tools_offered.extend(found.tools);
        }
        None => span.input_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// Takes what came out: of a model call messages, with the reason why they end; else, or where there are none, one text.
pub(in crate::parse) fn set_output(span: &mut Span, value: Value<'_>) {
    match conversation(span, &value) {
        Some(found) => {
            span.output = found.messages;
            span.finish_reasons.extend(found.finish_reasons);
        }
        None => span.output_text = value.into_text().filter(|text| !text.is_empty()),
    }
}

/// The kind of a Langfuse observation: `GENERATION`, `TOOL`, `SPAN` …
pub(in crate::parse) fn langfuse_kind(word: &str) -> SpanKind {
    match word.to_ascii_lowercase().as_str() {
        "generation" => SpanKind::Llm,
        "span" | "evaluator" => SpanKind::Chain,
        word => SpanKind::from_word(word).unwrap_or(SpanKind::Other),
    }
}

/// `OpenLLMetry` writes what a function returned as JSON, so a returned text stands in quotes.
fn unquoted(text: String) -> String {
    if text.starts_with('"') { serde_json::from_str(&text).unwrap_or(text) } else { text }
}

/// What an exception event says; the attributes that are none of its own are dropped with the event.
pub(in crate::parse) fn exception(attributes: impl IntoIterator<Item = (String, Option<String>)>) -> Exception {
    let mut exception = Exception::default();
    for (key, value) in attributes {
        match key.as_str() {
            "exception.type" => exception.kind = value.unwrap_or_default(),
            "exception.message" => exception.message = value.unwrap_or_default(),
            "exception.stacktrace" => exception.stack = value,
            _ => {}
        }
    }
    exception
}

fn traceloop_kind(word: &str) -> Option<SpanKind> {
    match word {
        "workflow" | "task" => Some(SpanKind::Chain),
        "agent" => Some(SpanKind::Agent),
        "tool" => Some(SpanKind::Tool),
        _ => None,
    }
}

fn set_message_part<'v>(parts: &mut MessageParts, part: &str, value: Value<'v>) -> Option<Value<'v>> {
    let message = &mut parts.message;
    match part {
        "role" => message.role = value.into_text().unwrap_or_default(),
        "content" => message.content = value.into_text().unwrap_or_default(),
        "refusal" => message.refusal = value.into_text(),
        "tool_call_id" => message.tool_call_id = value.into_text(),
        "name" | "function_call_name" => return Some(value),
        _ => {
            if let Some((_, rest)) = part.strip_prefix("contents.").and_then(indexed) {
                if rest.ends_with("text") {
                    let text = value.into_text().unwrap_or_default();
                    if !message.content.is_empty() {
                        message.content.push('\n');
                    }
                    message.content.push_str(&text);
                    return None;
                }
                return Some(value);
            }
            let Some((index, rest)) = part.strip_prefix("tool_calls.").and_then(indexed) else { return Some(value) };
            let call = parts.tool_calls.at(index);
            match rest.strip_prefix("tool_call.").unwrap_or(rest) {
                "id" => call.id = value.into_text(),
                "function.name" | "name" => call.name = value.into_text().unwrap_or_default(),
                "function.arguments" | "arguments" => call.arguments = value.into_text().unwrap_or_default(),
                _ => return Some(value),
            }
        }
    }
    None
}

/// Splits `3.message.role` into `(3, "message.role")`.
fn indexed(rest: &str) -> Option<(usize, &str)> {
    let (index, rest) = rest.split_once('.')?;
    Some((index.parse().ok()?, rest))
}

/// Documents of `[{"id", "content" | "page_content" | "document.content", "score"}]`; `LangChain` has id and score in `metadata`.
pub(in crate::parse) fn documents(tree: &Value<'_>) -> Vec<Document> {
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
    // One more than is kept, so that the span says that some are missing.
    tree.items().iter().map(document).take(SPAN_ITEMS_MAX + 1).collect()
}

/// Whether a status word or number says error or ok.
pub(in crate::parse) fn status(word: &str) -> Status {
    match word {
        "ERROR" | "STATUS_CODE_ERROR" | "error" | "2" => Status::Error,
        "OK" | "STATUS_CODE_OK" | "ok" | "1" => Status::Ok,
        _ => Status::Unset,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::parse::conventions) fn span_of(attributes: &[(&'static str, &'static str)]) -> Span {
        let mut span = SpanAttributes::new(Span { name: "step".into(), ..Span::default() });
        for (key, value) in attributes {
            span.set(Cow::Borrowed(*key), Value::Text(Cow::Borrowed(*value)));
        }
        span.finish()
    }

    #[test]
    fn openllmetry_completions_become_messages() {
        let span = span_of(&[
            ("llm.request.type", "chat"),
            ("gen_ai.completion.0.content", "hi"),
            ("gen_ai.completion.0.finish_reason", "length"),
            ("gen_ai.completion.0.tool_calls.0.name", "f"),
        ]);
        assert_eq!((span.kind, span.output[0].content.as_str()), (SpanKind::Llm, "hi"));
        assert_eq!(span.finish_reasons, ["length"]);
        assert_eq!(span.output[0].tool_calls[0].name, "f");
    }
}
