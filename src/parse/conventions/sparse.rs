//! Lists that come one attribute at a time, each with its index: `llm.input_messages.3.message.role`.

use std::collections::BTreeMap;

use crate::model::{Message, ToolCall};

/// Items by their index, in its order. It holds what came and nothing for the gaps, so an index of any size costs one item.
#[derive(Debug)]
pub(super) struct Sparse<T>(BTreeMap<usize, T>);

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Default> Sparse<T> {
    /// The item at `index`, made where there is none yet.
    pub(super) fn at(&mut self, index: usize) -> &mut T {
        self.0.entry(index).or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_items(self) -> impl Iterator<Item = T> {
        self.0.into_values()
    }
}

/// A message of which the tool calls come by their index too.
#[derive(Debug, Default)]
pub(super) struct MessageParts {
    pub(super) message: Message,
    pub(super) tool_calls: Sparse<ToolCall>,
}

impl MessageParts {
    fn whole(self) -> Message {
        let mut message = self.message;
        message.tool_calls.extend(self.tool_calls.into_items());
        message
    }
}

impl Sparse<MessageParts> {
    pub(super) fn into_messages(self) -> Vec<Message> {
        self.into_items().map(MessageParts::whole).collect()
    }
}
