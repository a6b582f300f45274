//! Patterns that are in the table already, made of the same trace with the same settings: nobody pays for them again. Nor for a smaller
//! piece of a trace than the one that its pattern was made of, nor for an answer that could not be used.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use deltalake_core::DeltaResult;
use futures::StreamExt;

use super::table::{Table, TableName};
use super::upsert::{self, Extent};
use crate::limits::KEY_READS_IN_FLIGHT_MAX;
use crate::model::{RejectionKind, UnusableAnswer, key_hash};
use crate::store::Object;

/// See the module. Holds 48 bytes for each pattern of the table.
#[derive(Debug, Default)]
pub(super) struct Stored {
    /// Of trace and content.
    patterns: HashSet<u128>,
    /// How much of its trace each pattern was made of, by trace.
    extents: HashMap<u128, Extent>,
    /// Of traces whose last run failed.
    failed: HashSet<u128>,
    /// Answers that could not be used.
    unusable: UnusableAnswers,
    unchanged: AtomicU64,
    kept_fuller: AtomicU64,
    /// Those of `failed` that came again as their pattern knows them.
    settled: Mutex<HashSet<u128>>,
}

impl Stored {
    /// Finds the patterns that were made with `settings_digest`, and how much of its trace each was made of.
    pub(super) async fn find(patterns: &Table, errors: &Table, settings_digest: &str) -> DeltaResult<Self> {
        let files = futures::stream::iter(upsert::objects(patterns).await?);
        let mut read = std::pin::pin!(files.map(|object| of_file(object, settings_digest)).buffer_unordered(KEY_READS_IN_FLIGHT_MAX));
        let mut found = Self::default();
        while let Some(of_file) = read.next().await {
            let (patterns, extents) = of_file?;
            found.patterns.extend(patterns);
            found.extents.extend(extents);
        }
        for object in upsert::objects(errors).await? {
            upsert::each_key(TableName::Errors, &object, |row| {
                found.failed.insert(key_hash(row.reference));
            })
            .await?;
            found.unusable.add(&object, Some(settings_digest)).await?;
        }
        Ok(found)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.patterns.is_empty() && self.extents.is_empty() && self.unusable.is_empty()
    }

    /// What was wrong with the answer that was paid for a trace of this content.
    pub(super) fn unusable(&self, trace_id: &str, digest: &str) -> Option<UnusableAnswer> {
        self.unusable.get(trace_id, digest)
    }

    /// Whether the pattern of a trace is there, or one of a fuller piece of it; then it is counted as unchanged.
    pub(super) fn has(&self, trace_id: &str, digest: &str, extent: Extent) -> bool {
        let trace = key_hash(trace_id);
        let is_same = self.patterns.contains(&key(trace_id, digest));
        let is_fuller = !is_same && self.extents.get(&trace).is_some_and(|stored| !extent.replaces(*stored));
        if is_same || is_fuller {
            self.unchanged.fetch_add(1, Ordering::Relaxed);
            self.kept_fuller.fetch_add(u64::from(is_fuller), Ordering::Relaxed);
            if self.failed.contains(&trace) {
                self.settled.lock().unwrap_or_else(PoisonError::into_inner).insert(trace);
            }
        }
        is_same || is_fuller
    }

    /// Traces whose pattern is one of a fuller piece of them; they are `unchanged` too.
    pub(super) fn kept_fuller(&self) -> u64 {
        self.kept_fuller.load(Ordering::Relaxed)
    }

    pub(super) fn unchanged(&self) -> u64 {
        self.unchanged.load(Ordering::Relaxed)
    }

    /// Traces that leave `errors`, because what they are has its pattern.
    pub(super) fn settled(&self) -> Vec<u128> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

/// Answers that were paid for and could not be used, by trace and content.
#[derive(Debug, Default)]
pub(super) struct UnusableAnswers(HashMap<u128, UnusableAnswer>);

impl UnusableAnswers {
    /// Reads rows of `errors`; of those that were bought with `settings_digest`, or of all.
    pub(super) async fn add(&mut self, errors: &Arc<Object>, settings_digest: Option<&str>) -> DeltaResult<()> {
        const COLUMNS: [&str; 5] = ["trace_ref", "content_digest", "settings_digest", "kind", "reason"];
        // A file of an older version has no digests, so nobody was told what was bought.
        upsert::each_row(errors, &COLUMNS, |row| {
            if let [Some(trace_id), Some(content), Some(settings), Some(kind), Some(reason)] = row
                && settings_digest.is_none_or(|wanted| wanted == *settings)
                && let Some(kind) = RejectionKind::unusable_answer_named(kind)
            {
                self.0.insert(key(trace_id, content), UnusableAnswer { kind, reason: (*reason).to_owned() });
            }
        })
        .await
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, trace_id: &str, digest: &str) -> Option<UnusableAnswer> {
        self.0.get(&key(trace_id, digest)).cloned()
    }
}

/// Keys of the patterns of a data file that were made with `settings_digest`, and the extents of all.
async fn of_file(object: Arc<Object>, settings_digest: &str) -> DeltaResult<(Vec<u128>, Vec<(u128, Extent)>)> {
    const COLUMNS: [&str; 3] = ["trace_id", "content_digest", "settings_digest"];
    let (mut patterns, mut extents) = (Vec::new(), Vec::new());
    // A file of an older version has no settings, so nothing in it can be known to be the same.
    upsert::each_row(&object, &COLUMNS, |row| {
        if let [Some(trace_id), Some(content), Some(settings)] = row
            && *settings == settings_digest
        {
            patterns.push(key(trace_id, content));
        }
    })
    .await?;
    upsert::each_key(TableName::Patterns, &object, |row| extents.extend(row.extent().map(|extent| (key_hash(row.reference), extent))))
        .await?;
    Ok((patterns, extents))
}

fn key(trace_id: &str, digest: &str) -> u128 {
    key_hash(&format!("{digest}\n{trace_id}"))
}
