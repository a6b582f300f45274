//! Finds bytes by a condition on each byte and the one after it, 32 positions at a time, without branches that depend on the text.

/// How many positions are checked at once.
const CHUNK: usize = 32;

/// The positions of a text where a condition on two adjacent bytes holds. After the last byte follows a zero.
#[derive(Debug)]
pub(super) struct BytePairs<'t, F> {
    bytes: &'t [u8],
    holds: F,
    /// The start of the chunk that was checked last, and a bit for each of its positions.
    chunk: usize,
    found: u32,
}

impl<'t, F: Fn(u8, u8) -> bool> BytePairs<'t, F> {
    pub(super) fn new(bytes: &'t [u8], holds: F) -> Self {
        let mut pairs = Self { bytes, holds, chunk: 0, found: 0 };
        pairs.found = pairs.check_chunk();
        pairs
    }

    /// The first position at `from` or later. `from` must not be less than in the call before.
    #[inline]
    pub(super) fn next(&mut self, from: usize) -> Option<usize> {
        loop {
            if let Some(distance) = from.checked_sub(self.chunk + CHUNK) {
                self.chunk += CHUNK + distance / CHUNK * CHUNK;
                self.found = self.check_chunk();
            }
            let found = self.found & (u32::MAX << from.saturating_sub(self.chunk).min(31));
            if found != 0 {
                return Some(self.chunk + found.trailing_zeros() as usize);
            }
            if self.chunk >= self.bytes.len() {
                return None;
            }
            self.chunk += CHUNK;
            self.found = self.check_chunk();
        }
    }

    fn check_chunk(&self) -> u32 {
        let rest = self.bytes.get(self.chunk..).unwrap_or_default();
        if let (Some(first), Some(second)) = (rest.first_chunk::<CHUNK>(), rest.get(1..).and_then(|rest| rest.first_chunk::<CHUNK>())) {
            return self.check(first, second);
        }
        let mut last = [0; CHUNK + 1];
        for (to, from) in last.iter_mut().zip(rest) {
            *to = *from;
        }
        let [first @ .., _] = last;
        let [_, second @ ..] = last;
        // The zeros after the text are no positions of it.
        let positions = u32::MAX.checked_shr(u32::try_from(CHUNK.saturating_sub(rest.len())).unwrap_or(0)).unwrap_or(0);
        self.check(&first, &second) & positions
    }

    #[inline]
    fn check(&self, first: &[u8; CHUNK], second: &[u8; CHUNK]) -> u32 {
        let mut flags = [0; CHUNK];
        for (flag, (first, second)) in flags.iter_mut().zip(first.iter().zip(second)) {
            *flag = u8::from((self.holds)(*first, *second));
        }
        let eights = flags.as_chunks::<8>().0.iter().map(|eight| u64::from_le_bytes(*eight));
        if eights.clone().fold(0, |any, eight| any | eight) == 0 {
            return 0;
        }
        #[expect(clippy::cast_possible_truncation, reason = "eight bits are left")]
        eights.zip(0..).fold(0, |found, (eight, index)| found | ((gather(eight) as u32) << (8 * index)))
    }
}

/// Gathers the lowest bits of eight bytes, whose other bits are zero, into the lowest byte.
#[inline]
pub(super) fn gather(lowest_bits: u64) -> u64 {
    lowest_bits.wrapping_mul(0x0102_0408_1020_4080) >> 56
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_agree_with_a_search_of_single_bytes() {
        let holds = |first: u8, second: u8| first == b'a' && second != b'b' || first == 0 || second == b'!';
        let text = "ab aa..a!b\0 xyz, nothing for more than thirty-two bytes here, ab ab a".repeat(3);
        for len in 0..text.len() {
            let bytes = text.get(..len).unwrap().as_bytes();
            let at = |index: usize| bytes.get(index).copied().unwrap_or(0);
            let expected: Vec<usize> = (0..len).filter(|index| holds(at(*index), at(index + 1))).collect();
            for step in [1, 3, 40] {
                let mut pairs = BytePairs::new(bytes, holds);
                let mut from = 0;
                while let Some(found) = pairs.next(from) {
                    assert_eq!(Some(&found), expected.iter().find(|position| **position >= from), "{len} {step} {from}");
                    from = found + step;
                }
                assert!(expected.iter().all(|position| *position < from), "{len} {step} {from}");
            }
        }
    }
}
