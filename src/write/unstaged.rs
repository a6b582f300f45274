//! Outcomes that are not staged yet, with the permits that their analyses hold until they are.

use super::encode::encode_patterns;
use super::error::WriteError;
use super::staging::Staging;
use crate::model::{PatternRow, Rejection};
use crate::runtime::{ConcurrencyPermit, pool};
use crate::tables::TableName;
use crate::validate::Pattern;

/// Outcomes that are not staged yet.
#[derive(Debug, Default)]
pub(super) struct Unstaged {
    pub(super) patterns: UnstagedPatterns,
    pub(super) errors: Vec<Rejection>,
}

impl Unstaged {
    pub(super) fn len(&self) -> usize {
        self.patterns.rows.len() + self.errors.len()
    }
}

/// Rows of patterns, and the permits of those whose analysis was paid for. Only [`UnstagedPatterns::stage`] releases permits while the rows
/// exist, when these are durable. So the answers that a kill can lose are bounded by the number of permits.
#[derive(Debug, Default)]
pub(super) struct UnstagedPatterns {
    rows: Vec<PatternRow>,
    permits: Vec<ConcurrencyPermit>,
}

impl UnstagedPatterns {
    /// Adds a pattern. Returns its row.
    pub(super) fn push(&mut self, pattern: Pattern) -> &PatternRow {
        let (row, permit) = pattern.into_parts();
        if permit.is_held() {
            self.permits.push(permit);
        }
        self.rows.push_mut(row)
    }

    /// Whether analyses wait for a permit that these rows hold.
    pub(super) fn holds_permits(&self) -> bool {
        !self.permits.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(super) fn rows(&self) -> &[PatternRow] {
        &self.rows
    }

    /// Makes the rows durable, then releases the permits. Returns the name of the staged file.
    pub(super) async fn stage(self, staging: &Staging, buckets: i32) -> Result<String, WriteError> {
        let Self { rows, permits } = self;
        let bytes = pool::run(move || encode_patterns(rows, buckets)).await?;
        let name = staging.put(TableName::Patterns, bytes).await?;
        // From here on a kill loses none of them.
        drop(permits);
        Ok(name)
    }
}
