//! Text in another encoding, or with other line ends -> UTF-8 with line feeds, as it is read.

use std::io::{self, ErrorKind, Read};

use super::content::Endian;

/// UTF-16 as UTF-8. Halves of pairs become U+FFFD.
pub(super) struct Utf16<R> {
    source: R,
    endian: Endian,
    /// Bytes of a unit that is not whole, or of a pair of which half came.
    rest: Vec<u8>,
    out: io::Cursor<Vec<u8>>,
}

impl<R: Read> Utf16<R> {
    pub(super) fn new(source: R, endian: Endian) -> Self {
        Self { source, endian, rest: Vec::new(), out: io::Cursor::default() }
    }

    /// Decodes what is whole; at the end, everything.
    fn decode(&mut self, is_end: bool) {
        let units: Vec<u16> = self.rest.as_chunks::<2>().0.iter().map(|unit| self.unit(*unit)).collect();
        let is_half = |unit: &u16| (0xd800..0xdc00).contains(unit);
        let whole = if is_end || !units.last().is_some_and(is_half) { units.len() } else { units.len() - 1 };
        let units = units.into_iter().take(whole);
        let mut text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.rest.drain(..whole * 2);
        if is_end && !self.rest.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.rest.clear();
        }
        self.out = io::Cursor::new(text.into_bytes());
    }

    fn unit(&self, bytes: [u8; 2]) -> u16 {
        match self.endian {
            Endian::Little => u16::from_le_bytes(bytes),
            Endian::Big => u16::from_be_bytes(bytes),
        }
    }
}

impl<R: Read> Read for Utf16<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        const READ_BYTES: usize = 64 * 1024;
        loop {
            let read = self.out.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let start = self.rest.len();
            self.rest.resize(start + READ_BYTES, 0);
            let read = self.source.read(self.rest.get_mut(start..).unwrap_or_default());
            self.rest.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if self.rest.is_empty() => return Ok(0),
                Ok(read) => self.decode(read == 0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Lines that end with a carriage return alone get a line feed instead. JSON has none inside a text.
pub(super) struct LineFeeds<R>(pub(super) R);

impl<R: Read> Read for LineFeeds<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        for byte in buffer.iter_mut().take(read).filter(|byte| **byte == b'\r') {
            *byte = b'\n';
        }
        Ok(read)
    }
}

/// Whether lines end with a carriage return alone, as far as the first bytes show.
pub(super) fn ends_lines_with_returns(head: &[u8]) -> bool {
    memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head.trim_ascii_end()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::Steps;

    #[test]
    fn utf_16_is_read_however_it_is_cut() {
        let text = "\u{feff}{\"a\": \"ünï \u{1f600}\"}\n";
        for step in [1, 2, 3, 7, 1_000] {
            let little: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            let big: Vec<u8> = text.encode_utf16().flat_map(u16::to_be_bytes).collect();
            for (bytes, endian) in [(little, Endian::Little), (big, Endian::Big)] {
                assert_eq!(io::read_to_string(Utf16::new(Steps(bytes, step), endian)).unwrap(), text, "{step}");
            }
        }
        let broken = [&[0x00, 0xd8, b'a', 0][..], &[0x00, 0xd8], b"x"].concat();
        assert_eq!(io::read_to_string(Utf16::new(Steps(broken, 3), Endian::Little)).unwrap(), "\u{fffd}a\u{fffd}\u{fffd}");
    }
}
