//! Finds where words begin, 64 bytes at a time, so that the passes over literals and words visit only these positions.
//!
//! The bytes are classified without branches, which the compiler turns into vector instructions: most of a text holds nothing.

use super::byte_search::gather;
use super::encoded::RUN_BYTES_MIN;

/// The positions of a text that can start a value, as bit sets.
#[derive(Debug)]
pub(super) struct WordStarts {
    /// Where a literal can start: at the start of a word or of a part of an identifier (`n` in `user_name`, `N` in `userName`).
    pub(super) literals: Positions,
    /// Where a number, a capitalized word, a word of another script, an address in hex digits or a long run can start.
    pub(super) words: Positions,
    /// Where at least [`RUN_BYTES_MIN`] bytes of base64, hex or an id follow.
    pub(super) long_runs: Positions,
    /// Stretches of [`PLAIN_BYTES`] bytes, by their number, with nothing but words in lower case of 3 to 8 letters. Every seed phrase of a usual
    /// length contains one, and few other texts do.
    pub(super) plain_words: Positions,
    /// Whether any character may be of a script without spaces between words.
    pub(super) has_cjk: bool,
}

/// Length of a stretch in [`WordStarts::plain_words`].
pub(super) const PLAIN_BYTES: usize = 32;

/// A set of positions in a text.
#[derive(Debug, Default)]
pub(super) struct Positions(Vec<u64>);

impl Positions {
    #[inline]
    pub(super) fn contains(&self, at: usize) -> bool {
        self.0.get(at / 64).is_some_and(|bits| (bits >> (at % 64)) & 1 == 1)
    }

    /// All positions in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> {
        self.0.iter().enumerate().flat_map(|(index, bits)| {
            let mut bits = *bits;
            std::iter::from_fn(move || {
                let at = (bits != 0).then(|| index * 64 + bits.trailing_zeros() as usize)?;
                // Clears the lowest bit.
                bits &= bits - 1;
                Some(at)
            })
        })
    }

    /// The first position at `from` or later.
    #[inline]
    pub(super) fn next(&self, from: usize) -> Option<usize> {
        let bits = self.0.get(from / 64)? & (u64::MAX << (from % 64));
        if bits != 0 {
            return Some((from & !63) + bits.trailing_zeros() as usize);
        }
        let (distance, bits) = self.0.get(from / 64 + 1..)?.iter().enumerate().find(|(_, bits)| **bits != 0)?;
        Some((from & !63) + 64 * (distance + 1) + bits.trailing_zeros() as usize)
    }
}

/// The classes of 64 bytes, a bit for each byte.
#[derive(Debug, Clone, Copy, Default)]
struct Block {
    lower: u64,
    upper: u64,
    digit: u64,
    /// Bytes outside ASCII, including `cjk`.
    high: u64,
    /// First bytes of characters of CJK, and of blocks with Thai, Lao, Myanmar or Khmer: scripts without spaces between words.
    cjk: u64,
    /// Bytes of a run of base64 or hex, except letters and digits.
    run_sign: u64,
    /// `:`, `-` and `.`, which follow a group of hex digits in an address.
    separator: u64,
}

impl WordStarts {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let (blocks, rest) = bytes.as_chunks::<64>();
        let mut last = [0; 64];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let new = || Vec::with_capacity(blocks.len() + 1);
        let (mut literals, mut words, mut long_runs, mut has_cjk) = (new(), new(), new(), false);
        let mut plain_words = vec![0; blocks.len() / 32 + 1];
        let (mut previous, mut current) = (Block::default(), Block::of(blocks.first().unwrap_or(&last)));
        let following = blocks.iter().skip(1).chain((!blocks.is_empty()).then_some(&last)).map(Block::of);
        for (index, next) in following.chain([Block::default()]).enumerate() {
            if let Some(bits) = plain_words.get_mut(index / 32) {
                *bits |= current.plain_words() << (2 * (index % 32));
            }
            literals.push(current.literal_starts(&previous));
            let runs = current.long_runs(&next);
            words.push(current.word_starts(&previous, &next, runs));
            long_runs.push(runs);
            has_cjk |= current.cjk != 0;
            (previous, current) = (current, next);
        }
        Self {
            literals: Positions(literals),
            words: Positions(words),
            long_runs: Positions(long_runs),
            plain_words: Positions(plain_words),
            has_cjk,
        }
    }
}

impl Block {
    #[expect(clippy::needless_bitwise_bool, reason = "no branches")]
    fn of(bytes: &[u8; 64]) -> Self {
        let mut block = Self {
            lower: positions(bytes, |byte| byte.is_ascii_lowercase()),
            upper: positions(bytes, |byte| byte.is_ascii_uppercase()),
            digit: positions(bytes, |byte| byte.is_ascii_digit()),
            run_sign: positions(bytes, |byte| (byte == b'+') | (byte == b'/') | (byte == b'-') | (byte == b'_')),
            separator: positions(bytes, |byte| (byte == b':') | (byte == b'-') | (byte == b'.')),
            ..Self::default()
        };
        if bytes.iter().fold(0, |all, byte| all | byte) >= 0x80 {
            block.high = positions(bytes, |byte| byte >= 0x80);
            block.cjk = positions(bytes, |byte| (0xe0..0xee).contains(&byte) & (byte != 0xe2));
        }
        block
    }

    fn other(&self) -> u64 {
        !(self.lower | self.upper | self.digit | self.high)
    }

    /// The letters of words: ASCII letters and all bytes outside ASCII.
    fn letter(&self) -> u64 {
        self.lower | self.upper | self.high
    }

    fn run(&self) -> u64 {
        self.lower | self.upper | self.digit | self.run_sign
    }

    fn literal_starts(&self, previous: &Self) -> u64 {
        let after = |set: fn(&Self) -> u64| (set(self) << 1) | (set(previous) >> 63);
        // The first byte of a text follows the empty block, all of whose bytes are `other`.
        let after_other = after(Self::other);
        let after_lower = after(|block| block.lower | (block.high & !block.cjk));
        self.cjk | ((after_other | after(|block| block.cjk)) & !self.other()) | (self.upper & after_lower)
    }

    fn word_starts(&self, previous: &Self, next: &Self, long_runs: u64) -> u64 {
        let after = |set: fn(&Self) -> u64| (set(self) << 1) | (set(previous) >> 63);
        let ahead = |set: fn(&Self) -> u64, distance: u32| (set(self) >> distance) | (set(next) << (64 - distance));
        let word = self.letter() & !after(Self::letter);
        let number = self.digit & !after(|block| block.digit);
        // `fe80:`, `a0-`, `c0ff.`: at most four letters and a separator or a digit.
        let follows = |distance: u32| ahead(|block| block.separator | block.digit, distance);
        let goes_on = |distance: u32| ahead(Self::letter, distance);
        let short_word = follows(1) | (goes_on(1) & (follows(2) | (goes_on(2) & (follows(3) | (goes_on(3) & follows(4))))));
        number | (word & (self.upper | self.high | short_word | long_runs))
    }

    /// For each half of the block, whether it consists of words in lower case of 3 to 8 letters with one or two separators between them. Words that
    /// the edges cut count as well.
    fn plain_words(&self) -> u64 {
        const HALF: u64 = u64::MAX >> 32;
        let has_words = |lower: u64| {
            let other = !lower & HALF;
            let starts = lower & (other << 1) & HALF;
            let ends_after = |letters: u32| starts & (other >> letters);
            // Each step doubles the number of letters that must follow.
            let of_two = lower & (lower >> 1);
            let of_four = of_two & (of_two >> 2);
            let of_nine = of_four & (of_four >> 4) & (lower >> 8);
            let gaps_of_three = other & (other >> 1) & (other >> 2);
            (ends_after(1) | ends_after(2) | of_nine | gaps_of_three) == 0
        };
        let unusual = self.upper | self.digit | self.high | self.run_sign | self.separator;
        let half = |shift: u32| u64::from((unusual >> shift) & HALF == 0 && has_words((self.lower >> shift) & HALF));
        half(0) | (half(32) << 1)
    }

    fn long_runs(&self, next: &Self) -> u64 {
        // Each step doubles the number of bytes that must belong to the run.
        let mut runs = u128::from(self.run()) | (u128::from(next.run()) << 64);
        let mut len = 1;
        while len < RUN_BYTES_MIN {
            runs &= runs >> len;
            len *= 2;
        }
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is this block")]
        let runs = runs as u64;
        runs
    }
}

/// A bit for each of 64 bytes, whether a condition holds for it. Without branches, so that many bytes are checked at once.
#[inline]
fn positions(bytes: &[u8; 64], holds: impl Fn(u8) -> bool) -> u64 {
    let mut flags = [0; 64];
    for (flag, byte) in flags.iter_mut().zip(bytes) {
        *flag = u8::from(holds(*byte));
    }
    let eights = flags.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight));
    eights.zip(0..).fold(0, |set, (eight, index)| set | (gather(eight) << (8 * index)))
}

#[cfg(test)]
mod tests {
    use super::super::text::ByteClass;
    use super::*;

    /// The same positions, byte by byte.
    fn slowly(bytes: &[u8]) -> (Vec<usize>, Vec<usize>) {
        let class = |at: Option<usize>| at.and_then(|at| bytes.get(at)).map_or(ByteClass::Other, |byte| ByteClass::of(*byte));
        let is_letter = |class: ByteClass| !matches!(class, ByteClass::Other | ByteClass::Digit);
        let is_run = |at: usize| bytes.get(at).is_some_and(|byte| super::super::encoded::is_run_byte(*byte));
        let (mut literals, mut words) = (Vec::new(), Vec::new());
        for at in 0..bytes.len() {
            let (before, here) = (class(at.checked_sub(1)), class(Some(at)));
            let part = here == ByteClass::Upper && matches!(before, ByteClass::Lower | ByteClass::NonAscii);
            if here == ByteClass::Cjk || part || (here != ByteClass::Other && matches!(before, ByteClass::Other | ByteClass::Cjk)) {
                literals.push(at);
            }
            let letters = (at..bytes.len()).take_while(|at| is_letter(class(Some(*at)))).count();
            let after = bytes.get(at + letters).copied().unwrap_or(0);
            let is_short = (1..=4).contains(&letters) && (after.is_ascii_digit() || matches!(after, b':' | b'-' | b'.'));
            let is_word =
                is_letter(here) && !is_letter(before) && (here != ByteClass::Lower || is_short || (at..at + RUN_BYTES_MIN).all(is_run));
            if is_word || (here == ByteClass::Digit && before != ByteClass::Digit) {
                words.push(at);
            }
        }
        (literals, words)
    }

    #[test]
    fn positions_agree_with_the_classes_of_single_bytes() {
        let text = "The user_name userName of Zoë 田中さん is fe80::1, x=c0ff.ee a0-b1 face1 bcdef: 12ab34 über 日本Ab \
                    aGVsbG8gd29ybGQgYW5kIGFsbA== abc-def-ghi-jkl-mno +/_- {}[]@`~\u{7f}\0 É1 ";
        // Every alignment to the blocks, and every length of the last block.
        for shift in 0..70 {
            let text = format!("{}{}", " ".repeat(shift), text.repeat(2));
            let bytes = &text.as_bytes()[..text.len() - shift];
            let starts = WordStarts::of(bytes);
            let list = |positions: &Positions| {
                let mut from = 0;
                std::iter::from_fn(|| positions.next(from).inspect(|at| from = at + 1)).collect::<Vec<_>>()
            };
            assert!(starts.literals.iter().eq(list(&starts.literals)));
            assert_eq!((list(&starts.literals), list(&starts.words)), slowly(bytes), "{shift}");
        }
        assert_eq!(WordStarts::of(b"").words.next(0), None);
    }
}
