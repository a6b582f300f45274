//! Encodes span fragments as rows of a partition, and decodes them: a fragment is encoded with postcard and split into parts of at most
//! [`GATHER_ROW_BYTES_MAX`], one row each, so that the size of a batch is bounded for spans of any size.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use sha2::{Digest, Sha256};

use crate::limits::{GATHER_BATCH_BYTES, GATHER_PARTITIONS, GATHER_ROW_BYTES_MAX};
use crate::parse::SpanFragment;

/// A key is 16 bytes of the SHA-256 of the trace id, 8 bytes of the fragment's number, and 4 bytes of the part's index.
pub(super) const TRACE_KEY_BYTES: usize = 16;
const FRAGMENT_KEY_BYTES: usize = TRACE_KEY_BYTES + 8;
const KEY_BYTES: usize = FRAGMENT_KEY_BYTES + 4;

pub(super) const KEY_COLUMN: &str = "key";

/// The columns: a key and a part of an encoded fragment.
pub(super) static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    Arc::new(Schema::new(vec![Field::new(KEY_COLUMN, DataType::Binary, false), Field::new("part", DataType::Binary, false)]))
});

/// The part of a key that identifies the trace.
pub(super) fn trace_key(key: &[u8]) -> [u8; TRACE_KEY_BYTES] {
    key.first_chunk().copied().unwrap_or_default()
}

/// The part of a key that identifies the fragment.
pub(super) fn fragment_key(key: &[u8]) -> Option<&[u8]> {
    key.get(..FRAGMENT_KEY_BYTES)
}

/// Whether the row with this key is the first one of its fragment.
pub(super) fn is_first_part(key: &[u8]) -> bool {
    key.get(FRAGMENT_KEY_BYTES..).is_some_and(|part| part.iter().all(|byte| *byte == 0))
}

/// Decodes a fragment from its joined parts.
pub(super) fn decode(bytes: &[u8]) -> Result<SpanFragment, postcard::Error> {
    let (trace_id, fragment) = postcard::from_bytes::<(String, SpanFragment)>(bytes)?;
    Ok(SpanFragment { trace_id, ..fragment })
}

/// Encodes fragments, numbered from `first_number`, into batches for each partition. All fragments of a trace are in the same partition.
pub(super) fn encode(fragments: &[SpanFragment], first_number: u64) -> Result<Vec<Vec<RecordBatch>>, String> {
    let mut partitions: Vec<Batches> = Vec::new();
    partitions.resize_with(GATHER_PARTITIONS, Batches::default);
    let mut buffer = Vec::with_capacity(64 * 1024);
    for (fragment, number) in fragments.iter().zip(first_number..) {
        buffer.clear();
        buffer = postcard::to_extend(&(&fragment.trace_id, fragment), buffer).map_err(|error| error.to_string())?;
        let hash = Sha256::digest(fragment.trace_id.as_bytes());
        let partition = usize::from(hash.first().copied().unwrap_or_default()) % GATHER_PARTITIONS;
        let Some(rows) = partitions.get_mut(partition) else { continue };
        for (part, index) in buffer.chunks(GATHER_ROW_BYTES_MAX).zip(0u32..) {
            rows.push(&key(&hash, number, index), part).map_err(|error| error.to_string())?;
        }
    }
    partitions.into_iter().map(|rows| rows.finish().map_err(|error| error.to_string())).collect()
}

fn key(trace_hash: &[u8], number: u64, part: u32) -> [u8; KEY_BYTES] {
    let mut key = [0u8; KEY_BYTES];
    let bytes = trace_hash.iter().take(TRACE_KEY_BYTES).copied().chain(number.to_be_bytes()).chain(part.to_be_bytes());
    for (target, byte) in key.iter_mut().zip(bytes) {
        *target = byte;
    }
    key
}

/// Rows for one partition, in batches of at most [`GATHER_BATCH_BYTES`] and one part more.
#[derive(Default)]
struct Batches {
    keys: BinaryBuilder,
    parts: BinaryBuilder,
    bytes: usize,
    finished: Vec<RecordBatch>,
}

impl Batches {
    fn push(&mut self, key: &[u8], part: &[u8]) -> Result<(), ArrowError> {
        self.keys.append_value(key);
        self.parts.append_value(part);
        self.bytes += key.len() + part.len();
        if self.bytes >= GATHER_BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), ArrowError> {
        if self.bytes > 0 {
            let columns: Vec<ArrayRef> = vec![Arc::new(self.keys.finish()), Arc::new(self.parts.finish())];
            self.finished.push(RecordBatch::try_new(Arc::clone(&SCHEMA), columns)?);
            self.bytes = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<RecordBatch>, ArrowError> {
        self.flush()?;
        Ok(self.finished)
    }
}
