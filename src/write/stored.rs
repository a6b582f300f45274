//! Results in the tables that make another analysis unnecessary: patterns of the same content and settings, patterns with more spans of the same
//! trace, and unusable answers that were paid for.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deltalake_core::DeltaResult;
use futures::StreamExt;

use super::keys::{Coverage, for_each_key, for_each_row};
use super::table_files::objects;
use crate::limits::KEY_READS_IN_FLIGHT_MAX;
use crate::model::{RejectionKind, UnusableAnswer, key_hash};
use crate::store::Object;
use crate::tables::{Table, TableName};

/// An index of the results in the tables. Takes 48 bytes per pattern.
#[derive(Debug, Default)]
pub(super) struct StoredResults {
    /// Patterns that were made with the same settings, by trace and content.
    patterns: HashSet<u128>,
    /// The coverage of every pattern, by trace.
    coverages: HashMap<u128, Coverage>,
    /// Traces with a row in `errors`.
    failed: HashSet<u128>,
    unusable_answers: UnusableAnswers,
    unchanged: AtomicU64,
    kept_fuller: AtomicU64,
    /// Those of `failed` that were read again and have a pattern: their rows in `errors` are removed.
    resolved_errors: Mutex<HashSet<u128>>,
}

impl StoredResults {
    /// Reads the key columns of all data files. Only patterns and answers made with `settings_digest` count as the same.
    pub(super) async fn read(patterns: &Table, errors: &Table, settings_digest: &str) -> DeltaResult<Self> {
        let files = futures::stream::iter(objects(patterns).await?);
        let mut read = std::pin::pin!(files.map(|object| read_patterns(object, settings_digest)).buffer_unordered(KEY_READS_IN_FLIGHT_MAX));
        let mut found = Self::default();
        while let Some(of_file) = read.next().await {
            let (patterns, coverages) = of_file?;
            found.patterns.extend(patterns);
            found.coverages.extend(coverages);
        }
        for object in objects(errors).await? {
            for_each_key(TableName::Errors, &object, |row| {
                found.failed.insert(key_hash(row.reference));
            })
            .await?;
            found.unusable_answers.add(&object, Some(settings_digest)).await?;
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.coverages.is_empty() && self.unusable_answers.is_empty()
    }

    /// What was wrong with the answer that was paid for a trace with this content.
    pub(super) fn unusable_answer(&self, trace_id: &str, content_digest: &str) -> Option<UnusableAnswer> {
        self.unusable_answers.get(trace_id, content_digest)
    }

    /// Whether the table has a pattern of the trace with this content, or one with more spans that a new one would not replace. The trace is then
    /// counted as unchanged.
    pub(super) fn claim(&self, trace_id: &str, content_digest: &str, coverage: Coverage) -> bool {
        let trace = key_hash(trace_id);
        let is_same = self.patterns.contains(&content_key(trace_id, content_digest));
        let is_fuller = !is_same && self.coverages.get(&trace).is_some_and(|stored| !coverage.replaces(*stored));
        if is_same || is_fuller {
            self.unchanged.fetch_add(1, Ordering::Relaxed);
            self.kept_fuller.fetch_add(u64::from(is_fuller), Ordering::Relaxed);
            if self.failed.contains(&trace) {
                self.resolved_errors.lock().unwrap_or_else(PoisonError::into_inner).insert(trace);
            }
        }
        is_same || is_fuller
    }

    /// Claims a trace whose stored pattern has more spans, for a reason that only the caller knows. Its row in `errors`, if there is one, stays.
    pub(super) fn keep(&self) {
        self.unchanged.fetch_add(1, Ordering::Relaxed);
        self.kept_fuller.fetch_add(1, Ordering::Relaxed);
    }

    /// Claimed traces whose stored pattern has more spans; part of [`unchanged`](Self::unchanged).
    pub(super) fn kept_fuller(&self) -> u64 {
        self.kept_fuller.load(Ordering::Relaxed)
    }

    /// Claimed traces.
    pub(super) fn unchanged(&self) -> u64 {
        self.unchanged.load(Ordering::Relaxed)
    }

    /// Claimed traces whose rows in `errors` are removed, by the hash of their id.
    pub(super) fn resolved_errors(&self) -> Vec<u128> {
        self.resolved_errors.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Answers that were paid for and could not be used, by trace and content.
#[derive(Debug, Default)]
pub(super) struct UnusableAnswers(HashMap<u128, UnusableAnswer>);

impl UnusableAnswers {
    /// Reads a file of `errors`: the answers that were made with `settings_digest`, or all.
    pub(super) async fn add(&mut self, errors: &Arc<Object>, settings_digest: Option<&str>) -> DeltaResult<()> {
        const COLUMNS: [&str; 5] = ["trace_ref", "content_digest", "settings_digest", "kind", "reason"];
        // Files of older versions lack the digests, and rows without an answer have nulls there.
        for_each_row(errors, &COLUMNS, |row| {
            if let [Some(trace_id), Some(content), Some(settings), Some(kind), Some(reason)] = row
                && settings_digest.is_none_or(|wanted| wanted == *settings)
                && let Some(kind) = RejectionKind::unusable_answer_named(kind)
            {
                self.0.insert(content_key(trace_id, content), UnusableAnswer { kind, reason: (*reason).to_owned() });
            }
        })
        .await
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, trace_id: &str, content_digest: &str) -> Option<UnusableAnswer> {
        self.0.get(&content_key(trace_id, content_digest)).cloned()
    }
}

/// From a file of `patterns`: the content keys of those made with `settings_digest`, and the coverages of all.
async fn read_patterns(object: Arc<Object>, settings_digest: &str) -> DeltaResult<(Vec<u128>, Vec<(u128, Coverage)>)> {
    const COLUMNS: [&str; 3] = ["trace_id", "content_digest", "settings_digest"];
    let (mut patterns, mut coverages) = (Vec::new(), Vec::new());
    // Files of older versions lack the settings, so none of their patterns counts as the same.
    for_each_row(&object, &COLUMNS, |row| {
        if let [Some(trace_id), Some(content), Some(settings)] = row
            && *settings == settings_digest
        {
            patterns.push(content_key(trace_id, content));
        }
    })
    .await?;
    for_each_key(TableName::Patterns, &object, |row| coverages.extend(row.coverage().map(|coverage| (key_hash(row.reference), coverage))))
        .await?;
    Ok((patterns, coverages))
}

/// A hash of a trace id and the digest of its content.
fn content_key(trace_id: &str, content_digest: &str) -> u128 {
    key_hash(&format!("{content_digest}\n{trace_id}"))
}
