//! Patterns that are not durable yet, together with what their analyses hold until they are.

use super::staging::Staging;
use super::table::TableName;
use super::{WriteError, encode_patterns};
use crate::model::PatternRow;
use crate::runtime::{ConcurrencyPermit, pool};
use crate::validate::Pattern;

/// Rows and the permits of those for which somebody paid. [`Unsaved::save`] alone gives the permits back, once the rows are durable; dropping it
/// loses rows and permits alike, so no permit is free whose answer a kill could still cost.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    rows: Vec<PatternRow>,
    permits: Vec<ConcurrencyPermit>,
}

impl Unsaved {
    /// Takes a pattern; gives its row to look at.
    pub(super) fn push(&mut self, pattern: Pattern) -> &PatternRow {
        let (row, permit) = pattern.into_parts();
        if permit.is_held() {
            self.permits.push(permit);
        }
        self.rows.push_mut(row)
    }

    /// Whether somebody paid for one of them, and a place waits for it.
    pub(super) fn is_paid(&self) -> bool {
        !self.permits.is_empty()
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

    /// Makes the rows durable, then gives the permits back; the name of the staged file.
    pub(super) async fn save(self, staging: &Staging, buckets: i32) -> Result<String, WriteError> {
        let Self { rows, permits } = self;
        let bytes = pool::run(move || encode_patterns(rows, buckets)).await?;
        let name = staging.put(TableName::Patterns, bytes).await?;
        // From here on a kill costs nothing of them, so that their places are free for other traces.
        drop(permits);
        Ok(name)
    }
}
