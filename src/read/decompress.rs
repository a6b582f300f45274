//! gzip and zstd, told by their first bytes, with a cap on how far an object may grow.

use std::io::{self, Read};

use crate::limits::{DECOMPRESSED_BYTES_FREE, DECOMPRESSION_RATIO_MAX, ZSTD_WINDOW_LOG_MAX};

/// How the bytes of an object are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Reads the magic number: RFC 1952 for gzip, RFC 8878 for zstd.
    pub(super) fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Wraps `source` so that it yields decompressed bytes. Several gzip members or zstd frames one after the other are one text.
pub(super) fn reader(source: Box<dyn Read + Send>, compression: Compression, compressed_bytes: u64) -> Box<dyn Read + Send> {
    let decompressed: Box<dyn Read + Send> = match compression {
        Compression::None => return source,
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(io::BufReader::with_capacity(128 * 1024, source))),
        Compression::Zstd => match zstd::stream::read::Decoder::new(source) {
            Ok(mut decoder) => match decoder.window_log_max(ZSTD_WINDOW_LOG_MAX) {
                Ok(()) => Box::new(decoder),
                Err(error) => return Box::new(Failed(Some(error))),
            },
            Err(error) => return Box::new(Failed(Some(error))),
        },
    };
    let allowed = compressed_bytes.saturating_mul(DECOMPRESSION_RATIO_MAX).max(DECOMPRESSED_BYTES_FREE);
    Box::new(Capped { source: decompressed, left: allowed })
}

/// Stops a decompression bomb.
struct Capped {
    source: Box<dyn Read + Send>,
    left: u64,
}

impl Read for Capped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it grows more than {DECOMPRESSION_RATIO_MAX} times when decompressed (a bomb?)"),
            )
        })?;
        Ok(read)
    }
}

/// Reports a failure on the first read, and is empty after it.
pub(super) struct Failed(pub(super) Option<io::Error>);

impl Read for Failed {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn read_all(bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        let compression = Compression::of(&bytes);
        let size = bytes.len() as u64;
        let mut out = Vec::new();
        reader(Box::new(io::Cursor::new(bytes)), compression, size).read_to_end(&mut out)?;
        Ok(out)
    }

    #[test]
    fn members_and_frames_in_a_row_are_one_text() {
        assert_eq!(read_all([gzip(b"one"), gzip(b"two")].concat()).unwrap(), b"onetwo");
        let frame = |text: &[u8]| zstd::encode_all(text, 1).unwrap();
        assert_eq!(read_all([frame(b"one"), frame(b"two")].concat()).unwrap(), b"onetwo");
    }

    #[test]
    fn a_cut_file_is_an_error_and_not_an_end() {
        let whole = gzip(&[b'x'; 10_000]);
        assert_eq!(read_all(whole[..whole.len() - 12].to_vec()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let whole = zstd::encode_all(&b"some text that is long enough"[..], 1).unwrap();
        assert_eq!(read_all(whole[..whole.len() - 3].to_vec()).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_bomb_is_stopped() {
        let bomb = zstd::encode_all(io::repeat(0).take(600 * 1024 * 1024), 1).unwrap();
        let mut reader = reader(Box::new(io::Cursor::new(bomb.clone())), Compression::Zstd, bomb.len() as u64);
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
