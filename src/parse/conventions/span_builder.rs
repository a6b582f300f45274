//! The span that conventions fill together. Its operations are generic: none of them knows the name of an attribute.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

use super::indexed::{IndexedItems, MessageParts};
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, Document, Exception, Message, Span, SpanKind, Status, ToolUse};
use crate::parse::infer;
use crate::parse::messages;
use crate::parse::span_fields;
use crate::parse::value::Value;

/// Which attribute wins if several describe the same field: the highest rank, independent of their order in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What was requested, or a deprecated name: `gen_ai.request.model`, `gen_ai.system`; the content of events.
    Fallback,
    /// Less specific than the names of other conventions: `gen_ai.response.model`, `llm.system`.
    Low,
    /// The main name of the field in its convention: `llm.model_name`, `gen_ai.provider.name`.
    Normal,
    /// More specific than the main names of other conventions: `llm.provider`, `ai.operationId`.
    High,
}

/// A span under construction.
///
/// A convention sets fields that only one attribute describes directly in [`Self::fields`]. Fields that several conventions describe
/// differently have a method with a [`Rank`]; of two values with the same rank the first wins.
pub(super) struct SpanBuilder {
    /// The fields that are known so far.
    pub(super) fields: Span,
    kind_rank: Option<Rank>,
    model_rank: Option<Rank>,
    provider_rank: Option<Rank>,
    finish_reasons: BTreeMap<Rank, Vec<String>>,
    input: Content,
    output: Content,
    documents: IndexedItems<Document>,
    exception: Option<Exception>,
    system_prompt: Option<String>,
}

/// The input or the output of a span, as far as attributes describe it.
#[derive(Default)]
struct Content {
    /// Messages that arrive part by part.
    indexed: BTreeMap<Rank, IndexedItems<MessageParts>>,
    /// Messages that arrive as a whole.
    messages: BTreeMap<Rank, Vec<Message>>,
    /// Whole contents, whose meaning depends on the kind of the span.
    texts: BTreeMap<Rank, String>,
}

impl Content {
    /// The messages of the highest rank; empty if there are none. Of the same rank, those that arrived as a whole.
    fn take_messages(&mut self) -> Vec<Message> {
        for (rank, items) in std::mem::take(&mut self.indexed) {
            self.messages.entry(rank).or_insert_with(|| items.into_messages());
        }
        std::mem::take(&mut self.messages).into_values().rev().find(|messages| !messages.is_empty()).unwrap_or_default()
    }
}

impl SpanBuilder {
    pub(super) fn new(fields: Span) -> Self {
        Self {
            fields,
            kind_rank: None,
            model_rank: None,
            provider_rank: None,
            finish_reasons: BTreeMap::new(),
            input: Content::default(),
            output: Content::default(),
            documents: IndexedItems::default(),
            exception: None,
            system_prompt: None,
        }
    }

    /// Sets the kind. A kind that the format itself defines has the lowest rank.
    pub(super) fn set_kind(&mut self, rank: Rank, kind: SpanKind) {
        if Some(rank) > self.kind_rank {
            (self.fields.kind, self.kind_rank) = (kind, Some(rank));
        }
    }

    /// Sets the model.
    pub(super) fn set_model(&mut self, rank: Rank, value: Value<'_>) {
        if Some(rank) > self.model_rank {
            (self.fields.model, self.model_rank) = (value.into_text(), Some(rank));
        }
    }

    /// Sets the provider.
    pub(super) fn set_provider(&mut self, rank: Rank, value: Value<'_>) {
        if Some(rank) > self.provider_rank {
            (self.fields.provider, self.provider_rank) = (value.into_text(), Some(rank));
        }
    }

    /// Adds finish reasons: a list, JSON text of a list or of a string, or one word. Several conventions may repeat those of one call, so only those
    /// of the highest rank count.
    pub(super) fn add_finish_reasons(&mut self, rank: Rank, value: Value<'_>) {
        let words = match value.as_str().filter(|text| text.starts_with(['[', '"'])) {
            Some(text) => serde_json::from_str::<Value<'_>>(text).map_or_else(|_| vec![text.to_owned()], Value::into_texts),
            None => value.into_texts(),
        };
        let known = self.finish_reasons.entry(rank).or_default();
        known.extend(words.into_iter().filter(|word| !word.is_empty()).take((SPAN_ITEMS_MAX + 1).saturating_sub(known.len())));
    }

    /// Sets the whole input in any shape: messages, the body of a request, JSON or Python's `repr` of them, or plain text. Its meaning depends on the
    /// kind of the span, which may follow later: messages of a model call, arguments of a tool, or one text.
    pub(super) fn set_input(&mut self, rank: Rank, value: Value<'_>) {
        set_text(&mut self.input, rank, value);
    }

    /// Sets the whole output in any shape; see [`Self::set_input`].
    pub(super) fn set_output(&mut self, rank: Rank, value: Value<'_>) {
        set_text(&mut self.output, rank, value);
    }

    /// Adds input messages from a value that contains nothing else, of any kind of span. Returns the value if it cannot be read.
    pub(super) fn add_input_messages<'v>(&mut self, rank: Rank, value: Value<'v>) -> Option<Value<'v>> {
        let Some(found) = self.decode(&value).and_then(|tree| messages::conversation(&tree)) else { return unless_empty(value) };
        self.fields.tools_offered.extend(found.tools);
        self.push_input(rank, found.messages);
        None
    }

    /// Adds output messages and their finish reasons; see [`Self::add_input_messages`].
    pub(super) fn add_output_messages<'v>(&mut self, rank: Rank, value: Value<'v>) -> Option<Value<'v>> {
        let Some(found) = self.decode(&value).and_then(|tree| messages::conversation(&tree)) else { return unless_empty(value) };
        let reasons = found.finish_reasons.into_iter().map(|reason| Value::Text(Cow::Owned(reason))).collect();
        self.add_finish_reasons(Rank::Fallback, Value::List(reasons));
        self.push_output(rank, found.messages);
        None
    }

    /// Sets the system prompt, for conventions that record it apart from the messages: text, or a list of text parts. It becomes the first
    /// input message.
    pub(super) fn set_system_prompt(&mut self, value: &Value<'_>) {
        let text = value.tree().map_or_else(|| value.to_text(), |parts| messages::system_text(&parts));
        self.system_prompt = Some(text).filter(|text| !text.is_empty());
    }

    /// Adds input messages.
    pub(super) fn push_input(&mut self, rank: Rank, messages: Vec<Message>) {
        self.input.messages.entry(rank).or_default().extend(messages);
    }

    /// Adds output messages.
    pub(super) fn push_output(&mut self, rank: Rank, messages: Vec<Message>) {
        self.output.messages.entry(rank).or_default().extend(messages);
    }

    /// The input message at `index`, for attributes that describe one part of one message.
    pub(super) fn input_message(&mut self, rank: Rank, index: usize) -> &mut MessageParts {
        self.input.indexed.entry(rank).or_default().item_mut(index)
    }

    /// The output message at `index`; see [`Self::input_message`].
    pub(super) fn output_message(&mut self, rank: Rank, index: usize) -> &mut MessageParts {
        self.output.indexed.entry(rank).or_default().item_mut(index)
    }

    /// The retrieved document at `index`. Documents that arrive in parts replace those of [`Self::fields`].
    pub(super) fn document(&mut self, index: usize) -> &mut Document {
        self.documents.item_mut(index)
    }

    /// Sets the retrieved documents from a list. Returns the value if it is not a list of documents, and counts it as unread: "unreadable"
    /// must not look like "nothing found".
    pub(super) fn set_documents<'v>(&mut self, value: Value<'v>) -> Option<Value<'v>> {
        let documents = self.decode(&value).and_then(|tree| span_fields::documents_in(&tree));
        match documents {
            Some(documents) => self.fields.documents = Some(documents),
            None if value.is_empty() => self.fields.documents = Some(Vec::new()),
            None => {
                self.fields.unread_fields += 1;
                return Some(value);
            }
        }
        None
    }

    /// Adds the names of the tools that the model may call. Returns the value if it contains no definition of a tool.
    pub(super) fn offer_tools<'v>(&mut self, value: Value<'v>) -> Option<Value<'v>> {
        let names = self.decode(&value).map(|tree| messages::tool_names(&tree)).unwrap_or_default();
        if names.is_empty() {
            return unless_empty(value);
        }
        self.fields.tools_offered.extend(names);
        None
    }

    /// The tool call that the span executed.
    pub(super) fn tool(&mut self) -> &mut ToolUse {
        self.fields.tool.get_or_insert_default()
    }

    /// The exception that attributes of the span describe. It counts if no event describes one.
    pub(super) fn exception(&mut self) -> &mut Exception {
        self.exception.get_or_insert_default()
    }

    /// Marks the span as failed, for conventions that record a failure as an attribute. A message that the status already has is kept.
    pub(super) fn fail(&mut self, message: Option<String>) {
        self.fields.status = Status::Error;
        if self.fields.status_message.as_deref().is_none_or(str::is_empty) {
            self.fields.status_message = message.filter(|message| !message.is_empty());
        }
    }

    /// The list or map in an attribute, also if it is JSON text or Python's `repr`. Text that the exporter cut off is decoded as far as it goes, and
    /// counted in [`Span::truncated_fields`].
    pub(super) fn decode<'v>(&mut self, value: &'v Value<'_>) -> Option<Cow<'v, Value<'v>>> {
        value.any_tree().or_else(|| {
            let tree = value.as_str().and_then(Value::parse_truncated)?;
            self.fields.truncated_fields += 1;
            Some(Cow::Owned(tree))
        })
    }

    /// Keeps an attribute that no convention mapped.
    pub(super) fn keep_attribute(&mut self, key: Cow<'_, str>, value: Value<'_>) {
        // One more than the limit is kept, so that the span counts as cut.
        if self.fields.attributes.len() <= SPAN_ITEMS_MAX
            && let Some(value) = value.into_text()
        {
            self.fields.attributes.push(Attribute { key: key.into_owned(), value });
        }
    }

    /// Removes an attribute that no convention mapped and returns its text, for names without a namespace, which mean something only on spans of a
    /// known framework.
    pub(super) fn take_attribute(&mut self, key: &str) -> Option<String> {
        let at = self.fields.attributes.iter().position(|attribute| attribute.key == key)?;
        Some(self.fields.attributes.remove(at).value)
    }

    /// Removes all input and output so far, of a span that repeats another one.
    pub(super) fn discard_content(&mut self) {
        (self.input, self.output) = (Content::default(), Content::default());
    }

    /// Whether anything shows that the call was answered: an output, a finish reason, or tokens.
    pub(super) fn has_answer(&self) -> bool {
        let output = &self.output;
        let has_output = !(output.indexed.is_empty() && output.messages.is_empty() && output.texts.is_empty());
        has_output || !self.finish_reasons.is_empty() || self.fields.usage.output.is_some()
    }

    /// The span, with what several attributes describe resolved.
    pub(super) fn finish(mut self) -> Span {
        let mut span = self.fields;
        let (input, output) = (self.input.take_messages(), self.output.take_messages());
        if !input.is_empty() {
            span.input = input;
        }
        if !output.is_empty() {
            span.output = output;
        }
        if !self.documents.is_empty() {
            span.documents = Some(self.documents.into_items().collect());
        }
        if span.exceptions.is_empty() {
            span.exceptions.extend(self.exception);
        }
        if let Some((_, reasons)) = self.finish_reasons.pop_last() {
            span.finish_reasons = reasons;
        }
        // Several attributes may list them.
        let mut offered = HashSet::with_capacity(span.tools_offered.len());
        span.tools_offered.retain(|name| offered.insert(name.clone()));
        infer::infer_kind_from_fields(&mut span);
        for text in self.input.texts.into_values().rev() {
            span_fields::add_input(&mut span, text);
        }
        for text in self.output.texts.into_values().rev() {
            span_fields::add_output(&mut span, text);
        }
        if let Some(content) = self.system_prompt
            && span.input.first().is_none_or(|first| first.content != content)
        {
            span.input.insert(0, Message { role: "system".into(), content, ..Message::default() });
        }
        span
    }
}

fn set_text(content: &mut Content, rank: Rank, value: Value<'_>) {
    if let Some(text) = value.into_text().filter(|text| !text.is_empty()) {
        content.texts.entry(rank).or_insert(text);
    }
}

/// An empty list or text is read, even if it contains nothing.
fn unless_empty(value: Value<'_>) -> Option<Value<'_>> {
    (!value.is_empty() && !matches!(value.as_str(), Some("[]" | "{}" | "null"))).then_some(value)
}
