//! Byte-level access to a text for the detectors. Positions outside the text read as zero, so that detectors need no bounds checks.

use std::borrow::Cow;
use std::ops::Range;

/// A decoded text that detectors search.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text<'t>(pub(super) &'t str);

impl<'t> Text<'t> {
    pub(super) fn bytes(self) -> &'t [u8] {
        self.0.as_bytes()
    }

    pub(super) fn len(self) -> usize {
        self.0.len()
    }

    /// The byte at `index`, 0 past the end.
    pub(super) fn byte_at(self, index: usize) -> u8 {
        self.bytes().get(index).copied().unwrap_or(0)
    }

    /// The byte before `index`, 0 at the start.
    pub(super) fn byte_before(self, index: usize) -> u8 {
        index.checked_sub(1).map_or(0, |index| self.byte_at(index))
    }

    /// The text of a range; empty if the range is out of bounds or splits a character.
    pub(super) fn slice(self, range: Range<usize>) -> &'t str {
        self.0.get(range).unwrap_or("")
    }

    /// The text from `index` to the end.
    pub(super) fn rest(self, index: usize) -> &'t str {
        self.0.get(index..).unwrap_or("")
    }

    /// At most `bytes` bytes from `index`, cut at a character boundary.
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

    /// Whether a word boundary precedes `index`, so that a value can start there.
    pub(super) fn is_word_start(self, index: usize) -> bool {
        let byte = self.byte_before(index);
        !(byte.is_ascii_alphanumeric() || byte == b'_') && (byte < 0x80 || !self.char_before(index).is_some_and(is_word_letter))
    }

    /// Whether a word boundary is at `index`, so that a value can end there.
    pub(super) fn is_word_end(self, index: usize) -> bool {
        let byte = self.byte_at(index);
        !(byte.is_ascii_alphanumeric() || byte == b'_') && (byte < 0x80 || !self.char_at(index).is_some_and(is_word_letter))
    }

    /// The end of the bytes from `index` that `accept` accepts, at most `max` of them.
    pub(super) fn skip_while(self, index: usize, max: usize, accept: impl Fn(u8) -> bool) -> usize {
        let rest = self.bytes().get(index..).unwrap_or_default();
        index + rest.iter().take(max).take_while(|byte| accept(**byte)).count()
    }

    /// The start of the bytes before `index` that `accept` accepts, at most `max` of them.
    pub(super) fn skip_back_while(self, index: usize, max: usize, accept: impl Fn(u8) -> bool) -> usize {
        let left = self.bytes().get(..index).unwrap_or_default();
        index - left.iter().rev().take(max).take_while(|byte| accept(**byte)).count()
    }

    /// The position after the last of `stops` in the `max` bytes before `index`, or the start of these bytes if there is none.
    pub(super) fn start_after_last(self, index: usize, max: usize, stops: [u8; 2]) -> usize {
        let from = index.saturating_sub(max);
        let left = self.bytes().get(from..index).unwrap_or_default();
        memchr::memrchr2(stops[0], stops[1], left).map_or(from, |at| from + at + 1)
    }

    /// The position of the first `stop` in the `max` bytes from `index`, or the end of these bytes if there is none.
    pub(super) fn find_byte(self, index: usize, max: usize, stop: u8) -> usize {
        let end = self.len().min(index.saturating_add(max));
        let right = self.bytes().get(index..end).unwrap_or_default();
        index + memchr::memchr(stop, right).unwrap_or(right.len())
    }

    /// The end of the line that contains `index`.
    pub(super) fn line_end(self, index: usize) -> usize {
        let rest = self.bytes().get(index..).unwrap_or_default();
        index + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
    }
}

/// Whether a letter continues a word. Letters of scripts without spaces between words do not.
fn is_word_letter(letter: char) -> bool {
    letter.is_alphanumeric() && !is_unspaced(letter)
}

/// Letters of scripts without spaces between words: CJK, and Thai, Lao, Myanmar and Khmer.
pub(super) fn is_unspaced(letter: char) -> bool {
    is_cjk(letter) || matches!(letter, '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}')
}

/// Kana, Han and Hangul.
pub(super) fn is_cjk(letter: char) -> bool {
    matches!(letter, '\u{3005}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{ac00}'..='\u{d7af}' | '\u{f900}'..='\u{faff}')
}

/// A word in lower case, without an allocation if it is or has letters of ASCII only and fits into the buffer.
pub(super) fn lowered<'w>(word: &'w str, buffer: &'w mut [u8; 64]) -> Cow<'w, str> {
    if word.bytes().all(|byte| byte < 0x80 && !byte.is_ascii_uppercase()) {
        return Cow::Borrowed(word);
    }
    match buffer.get_mut(..word.len()) {
        Some(lower) if word.is_ascii() => {
            lower.copy_from_slice(word.as_bytes());
            lower.make_ascii_lowercase();
            Cow::Borrowed(std::str::from_utf8(lower).unwrap_or_default())
        }
        _ => Cow::Owned(word.to_lowercase()),
    }
}

/// Excludes most words that are not in a set, by their first and last byte and their length, with few instructions.
#[derive(Debug)]
pub(super) struct WordFilter([u64; WordFilter::BITS / 64]);

impl Default for WordFilter {
    fn default() -> Self {
        Self([0; Self::BITS / 64])
    }
}

impl WordFilter {
    const BITS: usize = 8192;

    #[inline]
    fn place(word: &str) -> Option<(usize, u64)> {
        let (first, last) = (word.as_bytes().first()?, word.as_bytes().last()?);
        // Without the bits for the case of letters.
        let place = (usize::from(first & 0x1f) << 8) | (usize::from(last & 0x1f) << 3) | (word.len() & 7);
        Some((place / 64, 1 << (place % 64)))
    }

    pub(super) fn insert(&mut self, word: &str) {
        if let Some((index, bit)) = Self::place(word)
            && let Some(bits) = self.0.get_mut(index)
        {
            *bits |= bit;
        }
    }

    /// Whether a word may be in the set, in any case. Only words of ASCII are excluded, because case may change the length of others.
    #[inline]
    pub(super) fn may_contain(&self, word: &str) -> bool {
        !word.is_ascii() || Self::place(word).is_some_and(|(index, bit)| self.0.get(index).is_some_and(|bits| bits & bit != 0))
    }
}

/// The class of the character that a byte starts or belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ByteClass {
    /// ASCII punctuation, white space or a control character.
    Other,
    Digit,
    Lower,
    Upper,
    /// A byte of a character outside ASCII.
    NonAscii,
    /// The first byte of a character of CJK, or of a block with Thai, Lao, Myanmar or Khmer: scripts without spaces between words.
    Cjk,
}

impl ByteClass {
    #[inline]
    pub(super) fn of(byte: u8) -> Self {
        BYTE_CLASSES.get(usize::from(byte)).copied().unwrap_or(Self::Other)
    }
}

/// A lookup table, because branches on character classes of running text are unpredictable.
static BYTE_CLASSES: [ByteClass; 256] = {
    let mut table = [ByteClass::Other; 256];
    let mut byte = 0u8;
    loop {
        #[expect(clippy::indexing_slicing, reason = "a table of all bytes, built at compile time")]
        {
            table[byte as usize] = match byte {
                b'0'..=b'9' => ByteClass::Digit,
                b'a'..=b'z' => ByteClass::Lower,
                b'A'..=b'Z' => ByteClass::Upper,
                0xe0 | 0xe1 | 0xe3..=0xed => ByteClass::Cjk,
                0x80.. => ByteClass::NonAscii,
                _ => ByteClass::Other,
            };
        }
        if byte == 255 {
            break;
        }
        byte += 1;
    }
    table
};
