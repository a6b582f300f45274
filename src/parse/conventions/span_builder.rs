//! The span that conventions fill together. Its operations are generic: none of them knows the name of an attribute.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::indexed::{IndexedItems, MessageParts};
use crate::limits::SPAN_ITEMS_MAX;
use crate::model::{Attribute, Document, Span, ToolUse};
use crate::parse::span_fields;
use crate::parse::value::Value;

/// Which attribute wins if several describe the same field: the highest rank, independent of their order in the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// What was requested, or a deprecated name: `gen_ai.request.model`, `gen_ai.system`.
    Fallback,
    /// Less specific than the names of other conventions: `gen_ai.response.model`, `llm.system`.
    Low,
    /// The main name of the field in its convention: `llm.model_name`, `gen_ai.provider.name`.
    Normal,
    /// More specific than the main names of other conventions: `llm.provider`.
    High,
}

/// A span under construction.
///
/// Conventions set most fields directly in [`Self::fields`]; there the last attribute wins. Fields that several conventions describe
/// differently, and lists that arrive item by item, have a method.
pub(super) struct SpanBuilder {
    /// The fields that are known so far.
    pub(super) fields: Span,
    model_rank: Option<Rank>,
    provider_rank: Option<Rank>,
    input: BTreeMap<Rank, IndexedItems<MessageParts>>,
    output: BTreeMap<Rank, IndexedItems<MessageParts>>,
    documents: IndexedItems<Document>,
}

impl SpanBuilder {
    pub(super) fn new(fields: Span) -> Self {
        Self {
            fields,
            model_rank: None,
            provider_rank: None,
            input: BTreeMap::new(),
            output: BTreeMap::new(),
            documents: IndexedItems::default(),
        }
    }

    /// Sets the model. Of two values with the same rank the first wins.
    pub(super) fn set_model(&mut self, rank: Rank, value: Value<'_>) {
        if Some(rank) > self.model_rank {
            (self.fields.model, self.model_rank) = (value.into_text(), Some(rank));
        }
    }

    /// Sets the provider. Of two values with the same rank the first wins.
    pub(super) fn set_provider(&mut self, rank: Rank, value: Value<'_>) {
        if Some(rank) > self.provider_rank {
            (self.fields.provider, self.provider_rank) = (value.into_text(), Some(rank));
        }
    }

    /// The input message at `index`, for attributes that describe one part of one message. Messages of the highest rank win, and replace
    /// those of [`Self::fields`].
    pub(super) fn input_message(&mut self, rank: Rank, index: usize) -> &mut MessageParts {
        self.input.entry(rank).or_default().item_mut(index)
    }

    /// The output message at `index`; see [`Self::input_message`].
    pub(super) fn output_message(&mut self, rank: Rank, index: usize) -> &mut MessageParts {
        self.output.entry(rank).or_default().item_mut(index)
    }

    /// The retrieved document at `index`. Documents that arrive in parts replace those of [`Self::fields`].
    pub(super) fn document(&mut self, index: usize) -> &mut Document {
        self.documents.item_mut(index)
    }

    /// Sets the retrieved documents from a list. Returns the value if it is not a list of documents, and counts it as unread: "unreadable"
    /// must not look like "nothing found".
    pub(super) fn set_documents<'v>(&mut self, value: Value<'v>) -> Option<Value<'v>> {
        let documents = self.decode(&value).filter(|tree| matches!(**tree, Value::List(_))).map(|tree| span_fields::documents(&tree));
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

    /// The tool call that the span executed.
    pub(super) fn tool(&mut self) -> &mut ToolUse {
        self.fields.tool.get_or_insert_default()
    }

    /// The list or map in an attribute, also if it is JSON text. Text that the exporter cut off is decoded as far as it goes, and counted
    /// in [`Span::truncated_fields`].
    pub(super) fn decode<'v>(&mut self, value: &'v Value<'_>) -> Option<Cow<'v, Value<'v>>> {
        value.tree().or_else(|| {
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

    /// The span with its indexed lists joined.
    pub(super) fn finish(mut self) -> Span {
        let mut span = self.fields;
        if let Some((_, items)) = self.input.pop_last() {
            span.input = items.into_messages();
        }
        if let Some((_, items)) = self.output.pop_last() {
            span.output = items.into_messages();
        }
        if !self.documents.is_empty() {
            span.documents = Some(self.documents.into_items().collect());
        }
        span
    }
}
