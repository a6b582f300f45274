//! One text, read by byte position. Positions past the end read as zero, so that detectors need no bounds of their own.

use std::ops::Range;

/// A text that detectors look at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t>(pub(super) &'t str);

impl<'t> Text<'t> {
    pub(super) fn bytes(self) -> &'t [u8] {
        self.0.as_bytes()
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// The byte at `index`, zero past the end.
    pub(super) fn at(self, index: usize) -> u8 {
        self.bytes().get(index).copied().unwrap_or(0)
    }

    /// The byte before `index`, zero at the start.
    pub(super) fn before(self, index: usize) -> u8 {
        index.checked_sub(1).map_or(0, |index| self.at(index))
    }

    /// The text of a range; empty where the range cuts a character.
    pub(super) fn slice(self, range: Range<usize>) -> &'t str {
        self.0.get(range).unwrap_or("")
    }

    /// From `index` on.
    pub(super) fn rest(self, index: usize) -> &'t str {
        self.0.get(index..).unwrap_or("")
    }

    /// At most `bytes` from `index` on, cut at a character.
    pub(super) fn window(self, index: usize, bytes: usize) -> &'t str {
        let mut end = self.len().min(index.saturating_add(bytes));
        while !self.0.is_char_boundary(end) {
            end -= 1;
        }
        self.slice(index..end)
    }

    pub(super) fn char_at(self, index: usize) -> Option<char> {
        self.rest(index).chars().next()
    }

    pub(super) fn char_before(self, index: usize) -> Option<char> {
        self.0.get(..index).and_then(|text| text.chars().next_back())
    }

    /// Whether a value can start at `index`: no word goes on to its left.
    pub(super) fn starts_word(self, index: usize) -> bool {
        let byte = self.before(index);
        !(byte.is_ascii_alphanumeric() || byte == b'_') && (byte < 0x80 || !self.char_before(index).is_some_and(is_word_letter))
    }

    /// Whether a value can end before `index`.
    pub(super) fn ends_word(self, index: usize) -> bool {
        let byte = self.at(index);
        !(byte.is_ascii_alphanumeric() || byte == b'_') && (byte < 0x80 || !self.char_at(index).is_some_and(is_word_letter))
    }

    /// The end of the bytes from `index` on that `accept` takes, `max` at most.
    pub(super) fn skip(self, index: usize, max: usize, accept: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes().get(index..).unwrap_or_default();
        index + rest.iter().take(max).take_while(|byte| accept(**byte)).count()
    }

    /// The start of the bytes before `index` that `accept` takes, `max` at most.
    pub(super) fn skip_back(self, index: usize, max: usize, accept: impl Fn(u8) -> bool) -> usize {
        let left = self.bytes().get(..index).unwrap_or_default();
        index - left.iter().rev().take(max).take_while(|byte| accept(**byte)).count()
    }

    /// Up to `max` bytes to the left of `index`, cut behind the last of them that is one of `stops`; the start of what is left.
    pub(super) fn left_of(self, index: usize, max: usize, stops: [u8; 2]) -> usize {
        let from = index.saturating_sub(max);
        let left = self.bytes().get(from..index).unwrap_or_default();
        memchr::memrchr2(stops[0], stops[1], left).map_or(from, |at| from + at + 1)
    }

    /// The first `stop` from `index` on, or the end of the `max` bytes in which none stands.
    pub(super) fn find_within(self, index: usize, max: usize, stop: u8) -> usize {
        let end = self.len().min(index.saturating_add(max));
        let right = self.bytes().get(index..end).unwrap_or_default();
        index + memchr::memchr(stop, right).unwrap_or(right.len())
    }

    /// Where the line that holds `index` ends.
    pub(super) fn line_end(self, index: usize) -> usize {
        let rest = self.bytes().get(index..).unwrap_or_default();
        index + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
    }
}

/// Scripts that are written without blanks between words have no word to go on.
fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() && !is_cjk(letter)
}

/// Kana, Han and Hangul.
pub(super) fn is_cjk(letter: char) -> bool {
    matches!(letter, '\u{3005}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

/// What kind of sign a byte begins or belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// A sign that belongs to no word.
    Other,
    Digit,
    Lower,
    Upper,
    /// A byte of a letter outside ASCII.
    Wide,
    /// The first byte of a sign of a script that is written without blanks.
    Cjk,
}

impl Class {
    #[inline]
    pub(super) fn of(byte: u8) -> Self {
        CLASSES.get(usize::from(byte)).copied().unwrap_or(Self::Other)
    }
}

/// A lookup, since branches on the kinds of signs in running text cannot be predicted.
static CLASSES: [Class; 256] = {
    let mut table = [Class::Other; 256];
    let mut byte = 0u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a table of all bytes, made at compile time")]
        {
            table[byte as usize] = match byte {
                b'0'..=b'9' => Class::Digit,
                b'a'..=b'z' => Class::Lower,
                b'A'..=b'Z' => Class::Upper,
                0xe3..=0xed => Class::Cjk,
                0x80.. => Class::Wide,
                _ => Class::Other,
            };
        }
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};
