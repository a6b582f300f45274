//! Converts text to UTF-8 with line feeds while it is read: from UTF-16, and from carriage returns as line ends.

use std::io::{self, ErrorKind, Read};

use super::content::Endian;

/// Decodes UTF-16. Unpaired surrogates become U+FFFD.
pub(super) struct Utf16<R> {
    source: R,
    endian: Endian,
    /// Bytes of an incomplete code unit or surrogate pair.
    pending: Vec<u8>,
    out: io::Cursor<Vec<u8>>,
}

impl<R: Read> Utf16<R> {
    pub(super) fn new(source: R, endian: Endian) -> Self {
        Self { source, endian, pending: Vec::new(), out: io::Cursor::default() }
    }

    /// Decodes all complete characters; at the end of the source, everything.
    fn decode(&mut self, is_end: bool) {
        let units: Vec<u16> = self.pending.as_chunks::<2>().0.iter().map(|unit| self.unit(*unit)).collect();
        let is_high_surrogate = |unit: &u16| (0xd800..0xdc00).contains(unit);
        let complete = if is_end || !units.last().is_some_and(is_high_surrogate) { units.len() } else { units.len() - 1 };
        let units = units.into_iter().take(complete);
        let mut text: String = char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        self.pending.drain(..complete * 2);
        if is_end && !self.pending.is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
            self.pending.clear();
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
            let start = self.pending.len();
            self.pending.resize(start + READ_BYTES, 0);
            let read = self.source.read(self.pending.get_mut(start..).unwrap_or_default());
            self.pending.truncate(start + *read.as_ref().unwrap_or(&0));
            match read {
                Ok(0) if self.pending.is_empty() => return Ok(0),
                Ok(read) => self.decode(read == 0),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Replaces carriage returns by line feeds. JSON strings contain no unescaped carriage returns.
pub(super) struct CrToLf<R>(pub(super) R);

impl<R: Read> Read for CrToLf<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(buffer)?;
        for byte in buffer.iter_mut().take(read).filter(|byte| **byte == b'\r') {
            *byte = b'\n';
        }
        Ok(read)
    }
}

/// Whether the first bytes have carriage returns and no line feeds.
pub(super) fn has_cr_line_ends(head: &[u8]) -> bool {
    memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head.trim_ascii_end()).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::tests::Steps;

    #[test]
    fn utf_16_is_decoded_independently_of_read_sizes() {
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
