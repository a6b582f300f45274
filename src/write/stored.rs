//! Patterns that are in the table already, made of the same trace with the same settings: nobody pays for them again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use deltalake_core::{DeltaResult, DeltaTableError};
use futures::{StreamExt, TryStreamExt};

use super::table::{Table, TableName};
use super::upsert;
use crate::limits::FILES_LOOKED_AT_MAX;
use crate::model::text_key;

/// See the module. Holds 16 bytes for each such pattern.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Of trace and content.
    patterns: HashSet<u128>,
    /// Of traces whose last run failed.
    failed: HashSet<u128>,
    unchanged: AtomicU64,
    /// Those of `failed` that came again as their pattern knows them.
    settled: Mutex<HashSet<u128>>,
}

impl Stored {
    /// Finds the patterns that were made with `settings_digest`.
    pub(super) async fn find(patterns: &Table, errors: &Table, settings_digest: &str) -> DeltaResult<Self> {
        const COLUMNS: [&str; 3] = ["trace_id", "content_digest", "settings_digest"];
        let files = futures::stream::iter(upsert::objects(patterns).await?);
        let found = files.map(async |object| {
            let mut keys = Vec::new();
            // A file of an older version has no settings, so nothing in it can be known to be the same.
            upsert::each_row(&object, &COLUMNS, |row| {
                if let [Some(trace_id), Some(content), Some(settings)] = row
                    && *settings == settings_digest
                {
                    keys.push(key(trace_id, content));
                }
            })
            .await?;
            Ok::<_, DeltaTableError>(keys)
        });
        let found: Vec<Vec<u128>> = found.buffer_unordered(FILES_LOOKED_AT_MAX).try_collect().await?;
        let patterns: HashSet<u128> = found.into_iter().flatten().collect();
        let mut failed = HashSet::new();
        if !patterns.is_empty() {
            for object in upsert::objects(errors).await? {
                upsert::each_key(TableName::Errors, &object, |reference, _| {
                    failed.insert(text_key(reference));
                })
                .await?;
            }
        }
        Ok(Self { patterns, failed, ..Self::default() })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// Whether the pattern of a trace is there; then it is counted as unchanged.
    pub(super) fn has(&self, trace_id: &str, digest: &str) -> bool {
        let found = self.patterns.contains(&key(trace_id, digest));
        if found {
            self.unchanged.fetch_add(1, Ordering::Relaxed);
            let trace = text_key(trace_id);
            if self.failed.contains(&trace) {
                self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(trace);
            }
        }
        found
    }

    pub(super) fn unchanged(&self) -> u64 {
        self.unchanged.load(Ordering::Relaxed)
    }

    /// Traces that leave `errors`, because what they are has its pattern.
    pub(super) fn settled(&self) -> Vec<u128> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

fn key(trace_id: &str, digest: &str) -> u128 {
    text_key(&format!("{digest}\n{trace_id}"))
}
