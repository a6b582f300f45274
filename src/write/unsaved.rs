//! Patterns that are not durable yet, together with what their analyses hold until they are.

use super::staging::Staging;
use super::table::TableName;
use super::{WriteError, encode_patterns};
use crate::model::{PatternRow, Slot};
use crate::pool;
use crate::validate::Pattern;

/// Rows and the slots of those for which somebody paid. [`Unsaved::save`] alone gives the slots back, once the rows are durable; dropping it
/// loses rows and slots alike, so no slot is free whose answer a kill could still cost.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    rows: Vec<PatternRow>,
    slots: Vec<Slot>,
}

impl Unsaved {
    /// Takes a pattern; gives its row to look at.
    pub(super) fn push(&mut self, pattern: Pattern) -> &PatternRow {
        let (row, slot) = pattern.into_parts();
        if slot.is_held() {
            self.slots.push(slot);
        }
        self.rows.push_mut(row)
    }

    /// Whether somebody paid for one of them, and a place waits for it.
    pub(super) fn is_paid(&self) -> bool {
        !self.slots.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn rows(&self) -> &[PatternRow] {
        &self.rows
    }

    /// Makes the rows durable, then gives the slots back; the name of the staged file.
    pub(super) async fn save(self, staging: &Staging, buckets: i32) -> Result<String, WriteError> {
        let Self { rows, slots } = self;
        let bytes = pool::run(move || encode_patterns(rows, buckets)).await?;
        let name = staging.put(TableName::Patterns, bytes).await?;
        // From here on a kill costs nothing of them, so that their places are free for other traces.
        drop(slots);
        Ok(name)
    }
}
