//! Reads length-prefixed messages: four bytes of length (big-endian) and that many bytes, each message optionally compressed with zstd.
//!
//! Source: the Collector's file exporter (<https://github.com/open-telemetry/opentelemetry-collector-contrib/tree/main/exporter/fileexporter>)
//! with `format: proto` or `compression: zstd`.

use std::io::{self, ErrorKind, Read};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::decompress::Compression;
use super::{CORRUPT, Chunk, Completion, Position, ReadOptions, Records, TRUNCATED, rejected, too_long};
use crate::limits::{CHUNK_BYTES, ZSTD_WINDOW_LOG_MAX};
use crate::model::{Outcome, RejectionKind};
use crate::store::Object;

/// See [`super::Split`].
pub(super) fn split(
    mut source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let mut batch = Batch { object, bytes: Vec::new(), ranges: Vec::new(), first: true };
    let mut number = 0;
    while !shutdown.is_cancelled() {
        number += 1;
        let position = Position::Message(number);
        let is_received = match next_message(&mut source, options.record_bytes_max) {
            Ok(NextMessage::End) => return Completion::complete_if(batch.flush(emit)),
            Ok(NextMessage::Complete(bytes)) => {
                batch.add(position, &bytes);
                batch.bytes.len() < CHUNK_BYTES || batch.flush(emit)
            }
            Ok(NextMessage::Oversize) => {
                let cause = too_long(options.record_bytes_max);
                batch.flush(emit) && emit(Err(rejected(object, position, RejectionKind::Oversize, &cause)))
            }
            Ok(NextMessage::Corrupt) => {
                let cause = CORRUPT;
                batch.flush(emit) && emit(Err(rejected(object, position, RejectionKind::CorruptCompression, cause)))
            }
            Err(_) if shutdown.is_cancelled() => break,
            Err(error) => {
                batch.flush(emit);
                let (kind, cause) = match error.kind() {
                    ErrorKind::UnexpectedEof => (RejectionKind::Truncated, TRUNCATED.to_owned()),
                    _ => (RejectionKind::Unreadable, crate::messages::io_cause(&error)),
                };
                emit(Err(rejected(object, position, kind, &cause)));
                return Completion::Incomplete;
            }
        };
        if !is_received {
            return Completion::Incomplete;
        }
    }
    batch.flush(emit);
    Completion::Incomplete
}

/// Reads an object that consists of a single message without a length.
pub(super) fn split_single(
    source: Box<dyn Read + Send>,
    object: &Arc<Object>,
    options: &ReadOptions,
    shutdown: &CancellationToken,
    emit: &mut dyn FnMut(Outcome<Chunk>) -> bool,
) -> Completion {
    let mut bytes = Vec::new();
    let limit = options.record_bytes_max as u64;
    let position = Position::Message(1);
    match source.take(limit + 1).read_to_end(&mut bytes) {
        Ok(read) if read as u64 > limit => {
            let cause = too_long(options.record_bytes_max);
            emit(Err(rejected(object, position, RejectionKind::Oversize, &cause)));
            Completion::Incomplete
        }
        Ok(_) => {
            let mut batch = Batch { object, bytes: Vec::new(), ranges: Vec::new(), first: true };
            batch.add(position, &bytes);
            Completion::complete_if(batch.flush(emit))
        }
        Err(error) => {
            if !shutdown.is_cancelled() {
                emit(Err(super::read_failed(object, 1, &error)));
            }
            Completion::Incomplete
        }
    }
}

enum NextMessage {
    Complete(Vec<u8>),
    Oversize,
    Corrupt,
    End,
}

/// Reads the next message and decompresses it.
fn next_message(source: &mut impl Read, bytes_max: usize) -> io::Result<NextMessage> {
    let mut length = [0; 4];
    match source.read(&mut length)? {
        0 => return Ok(NextMessage::End),
        read => source.read_exact(length.get_mut(read..).unwrap_or_default())?,
    }
    let length = u64::from(u32::from_be_bytes(length));
    if length > bytes_max as u64 {
        let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
        return if skipped == length { Ok(NextMessage::Oversize) } else { Err(ErrorKind::UnexpectedEof.into()) };
    }
    let mut bytes = Vec::new();
    source.take(length).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < length {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    if Compression::of(&bytes) != Some(Compression::Zstd) {
        return Ok(NextMessage::Complete(bytes));
    }
    Ok(match decompressed(&bytes, bytes_max) {
        Ok(unpacked) if unpacked.len() > bytes_max => NextMessage::Oversize,
        Ok(unpacked) => NextMessage::Complete(unpacked),
        Err(_) => NextMessage::Corrupt,
    })
}

/// Decompresses a message up to one byte more than `bytes_max`.
fn decompressed(frame: &[u8], bytes_max: usize) -> io::Result<Vec<u8>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(frame)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    let mut unpacked = Vec::new();
    decoder.take(bytes_max as u64 + 1).read_to_end(&mut unpacked)?;
    Ok(unpacked)
}

/// Messages that are not emitted yet.
struct Batch<'a> {
    object: &'a Arc<Object>,
    bytes: Vec<u8>,
    ranges: Vec<(Position, std::ops::Range<usize>)>,
    first: bool,
}

impl Batch<'_> {
    fn add(&mut self, position: Position, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.ranges.push((position, start..self.bytes.len()));
    }

    fn flush(&mut self, emit: &mut dyn FnMut(Outcome<Chunk>) -> bool) -> bool {
        if self.ranges.is_empty() {
            return true;
        }
        let (bytes, ranges) = (std::mem::take(&mut self.bytes), std::mem::take(&mut self.ranges));
        let first = std::mem::replace(&mut self.first, false);
        emit(Ok(Chunk::Records(Records {
            object: Arc::clone(self.object),
            bytes: bytes.into(),
            ranges,
            first,
            binary: true,
            is_log: false,
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::collect;

    fn framed(messages: &[&[u8]]) -> Vec<u8> {
        let frame = |message: &&[u8]| [&u32::try_from(message.len()).unwrap().to_be_bytes(), *message].concat();
        messages.iter().flat_map(frame).collect()
    }

    fn split_all(bytes: &[u8], record_bytes_max: usize) -> (Vec<String>, Vec<String>) {
        collect(split, bytes, 3, record_bytes_max)
    }

    #[test]
    fn messages_are_decompressed_one_by_one_and_an_invalid_one_is_rejected() {
        let packed = zstd::encode_all(&b"{\"a\": 1}"[..], 1).unwrap();
        let bomb = zstd::encode_all(io::repeat(0).take(1_000_000), 1).unwrap();
        let mut corrupt = packed.clone();
        corrupt.truncate(packed.len() - 2);
        let bytes = framed(&[b"plain", &packed, &bomb, &corrupt, &[b'x'; 200], b"last"]);
        let (found, rejected) = split_all(&bytes, 150);
        assert_eq!(found, ["msg=1 plain", "msg=2 {\"a\": 1}", "msg=6 last"]);
        assert_eq!(rejected, ["a#msg=3 oversize", "a#msg=4 corrupt_compression", "a#msg=5 oversize"]);
    }

    #[test]
    fn a_truncated_file_is_rejected_at_its_last_message() {
        let bytes = framed(&[b"one", b"two"]);
        for cut in 1..7 {
            let (found, rejected) = split_all(&bytes[..bytes.len() - cut], 100);
            assert_eq!((found.len(), rejected), (1, vec!["a#msg=2 truncated".to_owned()]), "{cut}");
        }
    }
}
