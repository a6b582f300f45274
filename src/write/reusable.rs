//! Traces that need no analysis, because a result exists already: recovered from an interrupted run, or stored in the tables.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use url::Url;

use super::error::{WriteError, table_error};
use super::keys::Coverage;
use super::staging::RecoveredWork;
use super::stored::StoredResults;
use crate::model::{UnusableAnswer, key_hash};
use crate::tables::{Table, TableName, open_existing};

/// Results of earlier runs that this run need not compute again.
#[derive(Debug, Default)]
pub struct ReusableResults {
    /// Of interrupted runs of the same job. This run commits those that it claims.
    pub(super) recovered: Arc<RecoveredWork>,
    pub(super) stored: StoredResults,
    /// See [`Self::keep_fuller`].
    pub(super) incomplete: OnceLock<HashMap<u128, u64>>,
}

impl ReusableResults {
    /// Tells of traces whose earlier objects could not all be read again: by a hash of the trace id, the spans that the stored pattern was made from. It
    /// stays if fewer are gathered now, whatever objects they are from. Called at most once, before any of these traces is claimed.
    pub fn keep_fuller(&self, incomplete: HashMap<u128, u64>) {
        // Set once for each run.
        let _ = self.incomplete.set(incomplete);
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.recovered.is_empty() && self.stored.is_empty()
    }

    /// Whether there is a pattern of a trace, so that no analysis is needed. `content_digest` is that of the redacted trace.
    ///
    /// A stored pattern with more spans, from another object than `source_uri`, counts too: the new pattern would not replace it. Claims are counted,
    /// so each trace is claimed once.
    pub fn claim(&self, trace_id: &str, content_digest: &str, spans: usize, source_uri: &str) -> bool {
        let trace = key_hash(trace_id);
        if self.incomplete.get().and_then(|incomplete| incomplete.get(&trace)).is_some_and(|stored| (spans as u64) < *stored) {
            self.stored.keep();
            return true;
        }
        self.recovered.claim(trace_id, content_digest)
            || self.stored.claim(trace_id, content_digest, Coverage::new(spans as u64, source_uri))
    }

    /// What was wrong with the answer that was paid for this content with the same settings. Asking again would cost the same and fail again.
    pub fn unusable_answer(&self, trace_id: &str, content_digest: &str) -> Option<UnusableAnswer> {
        self.recovered.unusable_answer(trace_id, content_digest).or_else(|| self.stored.unusable_answer(trace_id, content_digest))
    }
}

/// The results in the tables that a run over `output` with these settings can reuse. Changes nothing, and finds none if there are no tables.
///
/// # Errors
/// [`WriteError`] if a table cannot be read.
pub async fn reusable_results(output: &Url, settings_digest: &str) -> Result<Arc<ReusableResults>, WriteError> {
    let shown = output.to_string();
    let mut tables = Vec::new();
    for name in [TableName::Patterns, TableName::Errors] {
        let found = open_existing(output, name, None).await.map_err(|error| table_error(name, &shown, &error))?;
        tables.extend(found.map(|delta| Table { delta, name }));
    }
    let stored = match tables.as_slice() {
        [patterns, errors] => {
            let read = StoredResults::read(patterns, errors, settings_digest).await;
            read.map_err(|error| table_error(TableName::Patterns, &shown, &error))?
        }
        _ => StoredResults::default(),
    };
    Ok(Arc::new(ReusableResults { stored, ..ReusableResults::default() }))
}
