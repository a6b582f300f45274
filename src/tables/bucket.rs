//! The partition of a row: a hash of its key.

use crate::model::key_hash;

/// The bucket of a trace id or another key. Stable across runs, and evenly distributed for any form of keys.
pub(crate) fn bucket_of(key: &str, buckets: i32) -> i32 {
    bucket_of_hash(key_hash(key), buckets)
}

/// The bucket of a key, given its hash.
pub(crate) fn bucket_of_hash(hash: u128, buckets: i32) -> i32 {
    i32::try_from(hash % u128::from(buckets.unsigned_abs().max(1))).unwrap_or(0)
}
