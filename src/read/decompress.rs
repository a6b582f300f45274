//! Decompresses a source while it is read. The format is detected by magic numbers, and the growth of an object is limited.

use std::io::{self, BufRead, ErrorKind, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use crate::limits::{DECOMPRESSION_CHECK_BYTES_MIN, DECOMPRESSION_RATIO_MAX, XZ_MEMORY_BYTES_MAX, ZSTD_WINDOW_LOG_MAX};

/// A compression format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
    Lz4,
    Snappy,
    Bzip2,
    Xz,
    /// A zstd or LZ4 frame of metadata, which is skipped.
    Skippable,
}

impl Compression {
    /// Detects a format by its magic number: gzip (RFC 1952), zstd (RFC 8878), the frame formats of LZ4 and Snappy, bzip2 and xz.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Lz4,
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Skippable,
            [0xff, 0x06, 0x00, 0x00, b's', b'N', b'a', b'P', b'p', b'Y', ..] => Self::Snappy,
            [b'B', b'Z', b'h', b'1'..=b'9', 0x31 | 0x17, 0x41 | 0x72, 0x59 | 0x45, ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0x00, ..] => Self::Xz,
            _ => return None,
        })
    }
}

/// The longest magic number.
const MAGIC_BYTES: usize = 10;

/// Set if the compressed data is followed by other bytes.
pub(super) type TrailingBytes = Arc<OnceLock<()>>;

/// Decompresses `source`, which starts with a member (gzip) or frame (zstd, LZ4). Consecutive members are concatenated. Zeros and line ends
/// between and after them are padding. `compressed_bytes` is the number of bytes that were read of the object so far.
pub(super) fn reader(source: Box<dyn Read + Send>, compressed_bytes: &Arc<AtomicU64>, trailing: &TrailingBytes) -> Box<dyn Read + Send> {
    let source = Peekable { source, buffer: Vec::new(), start: 0, is_at_end: false };
    let members = Members { state: State::Between(source), trailing: Arc::clone(trailing), is_first: true };
    Box::new(GrowthLimit::new(members, compressed_bytes, &Arc::default()))
}

/// Decompresses consecutive members.
struct Members {
    state: State,
    trailing: TrailingBytes,
    is_first: bool,
}

#[expect(clippy::large_enum_variant, reason = "there is one per open object, moved only between members")]
enum State {
    Between(Peekable),
    Inside(Decoder),
    Ended,
}

enum Decoder {
    Gzip(flate2::bufread::GzDecoder<Peekable>),
    Zstd(zstd::stream::read::Decoder<'static, Peekable>),
    Lz4(lz4_flex::frame::FrameDecoder<Peekable>),
    Snappy(snap::read::FrameDecoder<Peekable>),
    Bzip2(bzip2::bufread::BzDecoder<Peekable>),
    Xz(liblzma::bufread::XzDecoder<Peekable>),
}

impl Decoder {
    fn new(compression: Compression, source: Peekable) -> io::Result<Self> {
        Ok(match compression {
            Compression::Gzip => Self::Gzip(flate2::bufread::GzDecoder::new(source)),
            Compression::Zstd | Compression::Skippable => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(source)?.single_frame();
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
                Self::Zstd(decoder)
            }
            Compression::Lz4 => Self::Lz4(lz4_flex::frame::FrameDecoder::new(source)),
            Compression::Snappy => Self::Snappy(snap::read::FrameDecoder::new(source)),
            Compression::Bzip2 => Self::Bzip2(bzip2::bufread::BzDecoder::new(source)),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY_BYTES_MAX, 0)?;
                Self::Xz(liblzma::bufread::XzDecoder::new_stream(source, stream))
            }
        })
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Gzip(decoder) => decoder.read(buffer),
            Self::Zstd(decoder) => decoder.read(buffer),
            Self::Lz4(decoder) => decoder.read(buffer),
            Self::Snappy(decoder) => decoder.read(buffer),
            Self::Bzip2(decoder) => decoder.read(buffer),
            Self::Xz(decoder) => decoder.read(buffer),
        }
    }

    /// The source after the member. The LZ4 decoder does not distinguish the end of the source from the end of a
    /// frame, so that is checked here.
    fn into_source(self) -> io::Result<Peekable> {
        let is_truncated = matches!(&self, Self::Lz4(decoder) if decoder.get_ref().is_at_end);
        if is_truncated {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        Ok(match self {
            Self::Gzip(decoder) => decoder.into_inner(),
            Self::Zstd(decoder) => decoder.finish(),
            Self::Lz4(decoder) => decoder.into_inner(),
            Self::Snappy(decoder) => decoder.into_inner(),
            Self::Bzip2(decoder) => decoder.into_inner(),
            Self::Xz(decoder) => decoder.into_inner(),
        })
    }
}

impl Read for Members {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Ended => return Ok(0),
                State::Between(source) => self.next_member(source)?,
                State::Inside(mut decoder) => match decoder.read(buffer) {
                    Ok(0) => State::Between(decoder.into_source()?),
                    Ok(read) => {
                        self.state = State::Inside(decoder);
                        return Ok(read);
                    }
                    Err(error) if error.kind() == ErrorKind::Interrupted => {
                        self.state = State::Inside(decoder);
                        return Err(error);
                    }
                    Err(error) => return Err(decoder_error(error)),
                },
            };
        }
    }
}

impl Members {
    fn next_member(&mut self, mut source: Peekable) -> io::Result<State> {
        loop {
            let head = source.peek(MAGIC_BYTES)?;
            let is_first = std::mem::replace(&mut self.is_first, false);
            match head {
                [] => return Ok(State::Ended),
                [0 | b'\n' | b'\r' | b' ' | b'\t', ..] if !is_first => {
                    let padding = source.fill_buf()?.iter().take_while(|byte| matches!(byte, 0 | b'\n' | b'\r' | b' ' | b'\t')).count();
                    source.consume(padding);
                }
                head => match Compression::of(head) {
                    Some(Compression::Skippable) => skip_frame(&mut source)?,
                    Some(compression) => {
                        source.is_at_end = false;
                        return Decoder::new(compression, source).map(State::Inside);
                    }
                    None => {
                        let _ = self.trailing.set(());
                        return Ok(State::Ended);
                    }
                },
            }
        }
    }
}

/// Skips a frame: four bytes of magic number, four bytes of length (little-endian), and that many bytes.
fn skip_frame(source: &mut Peekable) -> io::Result<()> {
    let mut header = [0; 8];
    source.read_exact(&mut header)?;
    let [_, _, _, _, length @ ..] = header;
    let length = u64::from(u32::from_le_bytes(length));
    let skipped = io::copy(&mut source.take(length), &mut io::sink())?;
    if skipped == length { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// Decoders report corrupt data as errors of several kinds, which are unified here. Errors of the source are recognized by their kind or
/// system error number and not changed.
fn decoder_error(error: io::Error) -> io::Error {
    let is_corrupt_data = matches!(error.kind(), ErrorKind::Other | ErrorKind::InvalidInput | ErrorKind::InvalidData);
    if is_corrupt_data && error.raw_os_error().is_none() { io::Error::new(ErrorKind::InvalidData, error) } else { error }
}

/// A buffered reader with lookahead.
struct Peekable {
    source: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    /// A read returned no more bytes.
    is_at_end: bool,
}

impl Peekable {
    const BUFFER_BYTES: usize = 128 * 1024;

    fn buffered(&self) -> &[u8] {
        self.buffer.get(self.start..).unwrap_or_default()
    }

    /// The next bytes without consuming them: at least `count`, fewer only at the end.
    fn peek(&mut self, count: usize) -> io::Result<&[u8]> {
        while self.buffered().len() < count && self.read_more()? > 0 {}
        Ok(self.buffered())
    }

    fn read_more(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let end = self.buffer.len();
        self.buffer.resize(end + Self::BUFFER_BYTES, 0);
        let read = loop {
            match self.source.read(self.buffer.get_mut(end..).unwrap_or_default()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.buffer.truncate(end + *read.as_ref().unwrap_or(&0));
        self.is_at_end = matches!(read, Ok(0));
        read
    }
}

impl BufRead for Peekable {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.peek(1)
    }

    fn consume(&mut self, count: usize) {
        self.start = self.buffer.len().min(self.start + count);
    }
}

impl Read for Peekable {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

/// The object grows too much: probably a decompression bomb.
#[derive(Debug, thiserror::Error)]
#[error(
    "the decompressed data is more than {DECOMPRESSION_RATIO_MAX} times larger\n  hint: decompress the file if its content is expected"
)]
pub(super) struct RatioExceeded;

/// Stops a decompression bomb.
pub(super) struct GrowthLimit<R> {
    source: R,
    compressed_bytes: Arc<AtomicU64>,
    decompressed_bytes: Arc<AtomicU64>,
}

impl<R> GrowthLimit<R> {
    /// Limits `decompressed_bytes`, which counts what is read of this source and others, by `compressed_bytes`.
    pub(super) fn new(source: R, compressed_bytes: &Arc<AtomicU64>, decompressed_bytes: &Arc<AtomicU64>) -> Self {
        Self { source, compressed_bytes: Arc::clone(compressed_bytes), decompressed_bytes: Arc::clone(decompressed_bytes) }
    }
}

impl<R: Read> Read for GrowthLimit<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        let decompressed = self.decompressed_bytes.fetch_add(read as u64, Ordering::Relaxed).saturating_add(read as u64);
        let packed = self.compressed_bytes.load(Ordering::Relaxed);
        if decompressed > packed.saturating_mul(DECOMPRESSION_RATIO_MAX).max(DECOMPRESSION_CHECK_BYTES_MIN) {
            return Err(io::Error::new(ErrorKind::InvalidData, RatioExceeded));
        }
        Ok(read)
    }
}

/// A source that fails on the first read if there is an error, and is empty otherwise.
pub(super) struct FailingSource(pub(super) Option<io::Error>);

impl Read for FailingSource {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        self.0.take().map_or(Ok(0), Err)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use super::*;
    use crate::read::tests::Steps;

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        zstd::encode_all(bytes, 1).unwrap()
    }

    fn lz4(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn snappy(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = snap::write::FrameEncoder::new(Vec::new());
        encoder.write_all(bytes).unwrap();
        encoder.into_inner().unwrap()
    }

    fn bzip2(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn xz(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    type Compress = fn(&[u8]) -> Vec<u8>;

    const ALL: [(&str, Compress); 6] = [("gzip", gzip), ("zstd", zstd), ("lz4", lz4), ("snappy", snappy), ("bzip2", bzip2), ("xz", xz)];

    /// The decompressed bytes, and whether other bytes followed.
    fn read_all(bytes: Vec<u8>, step: usize) -> io::Result<(Vec<u8>, bool)> {
        let packed = Arc::new(AtomicU64::new(bytes.len() as u64));
        let (trailing, mut out) = (TrailingBytes::default(), Vec::new());
        reader(Box::new(Steps(bytes, step)), &packed, &trailing).read_to_end(&mut out)?;
        Ok((out, trailing.get().is_some()))
    }

    #[test]
    fn consecutive_members_are_concatenated_and_padding_is_ignored() {
        for (name, pack) in ALL {
            for step in [1, 7, 1_000_000] {
                let whole = [pack(b"one"), pack(b"two")].concat();
                assert_eq!(read_all(whole.clone(), step).unwrap(), (b"onetwo".to_vec(), false), "{name}");
                if name == "snappy" {
                    continue;
                }
                for padding in [&b"\n"[..], b"\r\n\n", &[0; 700]] {
                    let padded = [&pack(b"one"), padding, &pack(b"two"), padding].concat();
                    assert_eq!(read_all(padded, step).unwrap(), (b"onetwo".to_vec(), false), "{name}");
                }
                let garbage = [&whole[..], b"\nplain text"].concat();
                assert_eq!(read_all(garbage, step).unwrap(), (b"onetwo".to_vec(), true), "{name}");
            }
        }
        let skippable = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3], &zstd(b"one")[..]].concat();
        assert_eq!(read_all(skippable, 5).unwrap(), (b"one".to_vec(), false));
        assert_eq!(read_all(gzip(b""), 5).unwrap(), (vec![], false));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        for (name, pack) in ALL {
            let whole = pack(&text);
            for cut in [3, 12, whole.len() / 2] {
                let read = read_all(whole[..whole.len() - cut].to_vec(), 1_000).map(drop);
                assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::UnexpectedEof), "{name} {cut}");
            }
        }
    }

    #[test]
    fn corrupt_data_is_distinguished_from_a_failing_source() {
        let text: Vec<u8> = (0..40_000_u32).flat_map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        // Frames of LZ4 and zstd usually have no checksum.
        for (name, pack) in ALL.into_iter().filter(|(name, _)| !matches!(*name, "lz4" | "zstd")) {
            let mut whole = pack(&text);
            let middle = whole.len() / 2;
            whole[middle..middle + 40].fill(0x55);
            let read = read_all(whole, 1_000).map(drop);
            assert_eq!(read.map_err(|error| error.kind()), Err(ErrorKind::InvalidData), "{name}");
        }
        let source = io::Cursor::new(gzip(&text)[..1_000].to_vec()).chain(FailingSource(Some(io::Error::from_raw_os_error(5))));
        let mut reader = reader(Box::new(source), &Arc::new(AtomicU64::new(1_000)), &TrailingBytes::default());
        assert_eq!(io::copy(&mut reader, &mut io::sink()).unwrap_err().raw_os_error(), Some(5));
    }

    #[test]
    fn a_decompression_bomb_is_stopped() {
        let bomb = zstd::encode_all(io::repeat(0).take(600 * 1024 * 1024), 1).unwrap();
        let packed = Arc::new(AtomicU64::new(bomb.len() as u64));
        let mut reader = reader(Box::new(io::Cursor::new(bomb)), &packed, &TrailingBytes::default());
        let error = io::copy(&mut reader, &mut io::sink()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
