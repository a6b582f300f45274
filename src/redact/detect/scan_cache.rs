//! Remembers the detections in texts that were scanned before. The traces of an application repeat its system prompts and tool schemas, and
//! each model call repeats the messages before it.
//!
//! The texts themselves are not kept. They are identified by two hashes with secret random keys (`SipHash`, together 128 bits), so that nobody can
//! construct two texts with the same hashes. Detections contain sensitive values; they stay in memory and are never printed.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use super::Detection;

/// Shorter texts are scanned faster than they are worth remembering.
const TEXT_BYTES_MIN: usize = 128;

/// Memory for the detections of all texts.
const BYTES_MAX: usize = 64 * 1024 * 1024;

/// Each text belongs to one shard, so that threads seldom wait for each other.
const SHARDS: usize = 32;

/// Memory for the hash and the place of a text without detections.
const ENTRY_BYTES: usize = 96;

/// Identifies a text together with everything else that its detections depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::redact) struct TextDigest(u128);

/// Detections by text.
pub(in crate::redact) struct ScanCache {
    keys: [RandomState; 2],
    shards: [Mutex<Shard>; SHARDS],
    shard_bytes_max: usize,
}

/// Two generations of detections. When the new one is full, the old one is dropped, so that texts that are not seen again are forgotten.
#[derive(Default)]
struct Shard {
    new: HashMap<TextDigest, Box<[Detection]>>,
    old: HashMap<TextDigest, Box<[Detection]>>,
    new_bytes: usize,
}

impl Shard {
    fn get(&mut self, digest: TextDigest, bytes_max: usize) -> Option<Vec<Detection>> {
        if let Some(detections) = self.new.get(&digest) {
            return Some(detections.to_vec());
        }
        let detections = self.old.remove(&digest)?;
        let found = detections.to_vec();
        self.insert(digest, detections, bytes_max);
        Some(found)
    }

    fn insert(&mut self, digest: TextDigest, detections: Box<[Detection]>, bytes_max: usize) {
        let bytes = ENTRY_BYTES + detections.iter().map(|detection| size_of::<Detection>() + detection.value.len()).sum::<usize>();
        // Each generation takes half of the memory.
        if bytes > bytes_max / 2 {
            return;
        }
        if self.new_bytes + bytes > bytes_max / 2 {
            self.old = std::mem::take(&mut self.new);
            self.new_bytes = 0;
        }
        self.new_bytes += bytes;
        self.new.insert(digest, detections);
    }
}

impl Default for ScanCache {
    fn default() -> Self {
        Self::with_capacity(BYTES_MAX)
    }
}

impl ScanCache {
    fn with_capacity(bytes: usize) -> Self {
        Self { keys: Default::default(), shards: std::array::from_fn(|_| Mutex::default()), shard_bytes_max: bytes / SHARDS }
    }

    /// The digest of a text in a role. `name` is the name of the attribute whose value it is.
    pub(in crate::redact) fn digest(&self, role: u8, name: &str, text: &str) -> TextDigest {
        let [high, low] = self.keys.each_ref().map(|key| u128::from(key.hash_one((role, name, text))));
        TextDigest((high << 64) | low)
    }

    /// The detections in the text of a digest and a length. A text that is not known is scanned by `scan`, which also returns whether it scanned
    /// all of it.
    pub(in crate::redact) fn detections(
        &self,
        digest: TextDigest,
        text_len: usize,
        scan: impl FnOnce() -> (Vec<Detection>, bool),
    ) -> Vec<Detection> {
        if text_len < TEXT_BYTES_MIN {
            return scan().0;
        }
        let Some(shard) = self.shards.get(digest.0 as usize % SHARDS) else { return scan().0 };
        let lock = || shard.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(detections) = lock().get(digest, self.shard_bytes_max) {
            return detections;
        }
        // Not locked during the scan. Two threads may scan the same text.
        let (detections, is_complete) = scan();
        if is_complete {
            lock().insert(digest, detections.clone().into_boxed_slice(), self.shard_bytes_max);
        }
        detections
    }
}

impl fmt::Debug for ScanCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ScanCache { .. }")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detection(value: &str) -> Detection {
        Detection { range: 0..value.len(), kind: "password", detector: "", value: value.to_owned() }
    }

    #[test]
    fn a_text_is_scanned_once_in_each_role() {
        let cache = ScanCache::default();
        let text = "x".repeat(TEXT_BYTES_MIN);
        let mut scans = 0;
        for (role, name) in [(0, ""), (0, ""), (1, ""), (2, "a"), (2, "b"), (2, "a"), (0, "")] {
            let digest = cache.digest(role, name, &text);
            let found = cache.detections(digest, text.len(), || {
                scans += 1;
                (vec![detection(name)], true)
            });
            assert_eq!(found, [detection(name)]);
        }
        assert_eq!(scans, 4);
        assert_ne!(cache.digest(2, "ab", "c"), cache.digest(2, "a", "bc"));
        assert_ne!(ScanCache::default().digest(0, "", &text), cache.digest(0, "", &text));
        assert!(!format!("{cache:?}").contains("password"));
    }

    #[test]
    fn incomplete_scans_and_short_texts_are_not_remembered() {
        let cache = ScanCache::default();
        for (text, is_complete) in [("x".repeat(TEXT_BYTES_MIN), false), ("short".to_owned(), true)] {
            let mut scans = 0;
            for _ in 0..2 {
                cache.detections(cache.digest(0, "", &text), text.len(), || {
                    scans += 1;
                    (Vec::new(), is_complete)
                });
            }
            assert_eq!(scans, 2);
        }
    }

    #[test]
    fn memory_is_bounded_and_texts_in_use_stay() {
        let capacity = SHARDS * 64 * 1024;
        let cache = ScanCache::with_capacity(capacity);
        let bytes =
            |shard: &Shard| [&shard.new, &shard.old].iter().flat_map(|map| map.values()).flatten().map(|d| d.value.len()).sum::<usize>();
        let text = |number: usize| format!("{number:0200}");
        let mut scans_of_first = 0;
        for number in 0..20_000 {
            cache.detections(cache.digest(0, "", &text(number)), 200, || (vec![detection(&text(number))], true));
            cache.detections(cache.digest(0, "", "first"), 200, || {
                scans_of_first += 1;
                (Vec::new(), true)
            });
        }
        assert!(cache.shards.iter().map(|shard| bytes(&shard.lock().unwrap())).sum::<usize>() <= capacity);
        assert_eq!(scans_of_first, 1);
        let huge = "x".repeat(capacity);
        cache.detections(cache.digest(0, "", &huge), huge.len(), || (vec![detection(&huge)], true));
        assert!(cache.shards.iter().map(|shard| bytes(&shard.lock().unwrap())).sum::<usize>() <= capacity);
    }
}
