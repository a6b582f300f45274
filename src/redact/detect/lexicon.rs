//! The lexicon of names and common words, embedded from `lexicon/*.txt`.

use std::sync::LazyLock;

/// The properties of a word in the lexicon; empty for an unknown word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LexiconEntry(u8);

const GIVEN: u8 = 1;
const FAMILY: u8 = 2;
const COMMON: u8 = 4;
const COMMON_ELSEWHERE: u8 = 8;
const PLACE_OR_PRODUCT: u8 = 16;

impl LexiconEntry {
    pub(super) fn is_given_name(self) -> bool {
        self.0 & GIVEN != 0
    }

    pub(super) fn is_family_name(self) -> bool {
        self.0 & FAMILY != 0
    }

    pub(super) fn is_name(self) -> bool {
        self.0 & (GIVEN | FAMILY) != 0
    }

    /// Also a common word, such as `mark`, `page`, `will`.
    pub(super) fn is_common_word(self) -> bool {
        self.0 & (COMMON | COMMON_ELSEWHERE) != 0
    }

    /// A common word only in another language than English or in technical texts, which a cue outweighs: `Pani Mago`.
    pub(super) fn is_common_elsewhere(self) -> bool {
        self.0 & (COMMON | COMMON_ELSEWHERE) == COMMON_ELSEWHERE
    }

    /// The name of a place, a product or a company.
    pub(super) fn is_place_or_product(self) -> bool {
        self.0 & PLACE_OR_PRODUCT != 0
    }

    /// A name that is not also a common word.
    pub(super) fn is_unambiguous_name(self) -> bool {
        self.is_name() && !self.is_common_word()
    }
}

/// The words of the lexicon with their properties, as a hash table that stores hashes instead of words. It fits into the cache, so that a
/// lookup takes one access to memory. Two of all possible words have equal hashes with a probability of about 2^-46.
#[derive(Debug)]
struct Words {
    /// The upper bits of a hash and the properties; zero if the slot is free.
    slots: Vec<u32>,
}

const SLOT_BITS: u32 = 19;
const FLAG_BITS: u32 = 5;
const FLAGS: u32 = (1 << FLAG_BITS) - 1;

impl Words {
    /// The first slot of a word, and its stored hash.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "independent parts of the hash are meant")]
    fn place(word: &[u8]) -> (usize, u32) {
        let hash = hash(word);
        ((hash >> (64 - SLOT_BITS)) as usize, (hash as u32) & !FLAGS)
    }

    /// The slot of `word`, or the free slot where it belongs.
    fn slot(&self, word: &str) -> Option<(usize, u32)> {
        let (start, stored) = Self::place(word.as_bytes());
        let mut index = start;
        for _ in 0..self.slots.len() {
            let slot = *self.slots.get(index)?;
            if slot == 0 || slot & !FLAGS == stored {
                return Some((index, stored));
            }
            index = (index + 1) & (self.slots.len() - 1);
        }
        None
    }

    #[inline]
    fn get(&self, word: &str) -> u8 {
        let (start, stored) = Self::place(word.as_bytes());
        // Nearly all words are in their first slot, or it is free.
        match self.slots.get(start) {
            Some(slot) if slot & !FLAGS == stored => (slot & FLAGS) as u8,
            Some(0) => 0,
            _ => self.slot(word).and_then(|(index, _)| self.slots.get(index)).map_or(0, |slot| (slot & FLAGS) as u8),
        }
    }

    /// Replaces the properties of a word by a function of them.
    fn update(&mut self, word: &str, flags: impl Fn(u8) -> u8) {
        let Some((index, stored)) = self.slot(word) else { return };
        if let Some(slot) = self.slots.get_mut(index) {
            *slot = stored | u32::from(flags(u8::try_from(*slot & FLAGS).unwrap_or(0)));
        }
    }
}

/// A hash of a word, the same for both cases of ASCII letters. Few instructions, because most words are short and known.
#[inline]
fn hash(word: &[u8]) -> u64 {
    let mix = |a: u64, b: u64| {
        let product = u128::from(a) * u128::from(b);
        #[expect(clippy::cast_possible_truncation, reason = "both halves are used")]
        let (low, high) = (product as u64, (product >> 64) as u64);
        low ^ high
    };
    // Sets the lower-case bit (0x20) of each byte whose highest bit is not set.
    let lower = |eight: u64| eight | ((!eight & 0x8080_8080_8080_8080) >> 2);
    // The length changes all bytes: in the lowest byte alone it could outweigh another first letter (`heisler`, `geissler`).
    let mut hash = 0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(word.len() as u64 + 1);
    // The last bytes are read with some of those before them instead of one by one.
    let last = if let Some(last) = word.last_chunk::<8>() {
        let (eights, rest) = word.as_chunks::<8>();
        let before = if rest.is_empty() { eights.split_last().map_or(eights, |(_, before)| before) } else { eights };
        for eight in before {
            hash = mix(hash ^ lower(u64::from_le_bytes(*eight)), 0xd6e8_feb8_6659_fd93);
        }
        u64::from_le_bytes(*last)
    } else if let (Some(first), Some(last)) = (word.first_chunk::<4>(), word.last_chunk::<4>()) {
        u64::from(u32::from_le_bytes(*first)) | (u64::from(u32::from_le_bytes(*last)) << 32)
    } else {
        word.iter().fold(0, |all, byte| (all << 8) | u64::from(*byte))
    };
    mix(hash ^ lower(last), 0xa076_1d64_78bd_642f)
}

/// Lists of words with their property.
const LISTS: [(u8, &str); 7] = [
    (GIVEN, include_str!("lexicon/given_names.txt")),
    (FAMILY, include_str!("lexicon/surnames.txt")),
    (COMMON, include_str!("lexicon/common_words.txt")),
    (COMMON_ELSEWHERE, include_str!("lexicon/common_other.txt")),
    (COMMON_ELSEWHERE, include_str!("lexicon/common_technical.txt")),
    (COMMON, include_str!("lexicon/common_cjk.txt")),
    (COMMON | PLACE_OR_PRODUCT, include_str!("lexicon/not_names.txt")),
];

static WORDS: LazyLock<Words> = LazyLock::new(|| {
    let mut words = Words { slots: vec![0; 1 << SLOT_BITS] };
    for (flag, list) in LISTS {
        for word in list.lines().filter(|line| !line.starts_with('#')) {
            match word.strip_prefix('!') {
                // `!will`: so common that it does not count as a name, although it is in a list of names.
                Some(word) => words.update(word, |_| COMMON),
                None => words.update(word, |flags| flags | flag),
            }
        }
    }
    words
});

/// Looks up a word in any case, if necessary by its parts before and after a hyphen or an apostrophe.
pub(super) fn look_up(word: &str) -> LexiconEntry {
    let entry = exact(word);
    if entry != LexiconEntry::default() {
        return entry;
    }
    // `Python's`.
    if let Some(stem) = word.strip_suffix("'s").or_else(|| word.strip_suffix("’s")) {
        return exact(stem);
    }
    // `O'Vantroba`, `McVantroba`.
    if is_family_name_by_form(word) {
        return LexiconEntry(FAMILY);
    }
    // `I'm`, `We've`.
    if ["'m", "'re", "'ve", "'ll", "'t", "'d"].iter().any(|end| word.ends_with(end)) {
        return LexiconEntry(COMMON);
    }
    if !word.contains(['-', '\'', '’']) {
        return entry;
    }
    // `Anne-Marie` and `O'Neil` are names by one of their parts. A common word as a part makes it the name of a thing: `Flask-Foo`.
    if word.split(['-', '’']).next().is_some_and(|first| first.len() < 2) {
        return entry;
    }
    let parts = word.split(['-', '\'', '’']).filter(|part| part.len() > 1).map(exact);
    parts.fold(LexiconEntry(0), |all, part| {
        if part.is_common_word() && !part.is_name() || all.is_common_word() {
            LexiconEntry(COMMON)
        } else {
            LexiconEntry(all.0 | (part.0 & (GIVEN | FAMILY)))
        }
    })
}

/// Prefixes and endings that occur only in family names.
fn is_family_name_by_form(word: &str) -> bool {
    let starts_upper = |rest: &str| rest.len() >= 4 && rest.starts_with(char::is_uppercase);
    ["O'", "O’", "D'", "D’", "Mc"].iter().any(|prefix| word.strip_prefix(prefix).is_some_and(starts_upper))
        || word.len() >= 9 && FAMILY_NAME_ENDINGS.iter().any(|ending| word.ends_with(ending))
}

const FAMILY_NAME_ENDINGS: [&str; 26] = [
    "ović",
    "ević",
    "dóttir",
    "dottir",
    "shvili",
    "opoulos",
    "ópoulos",
    "oglu",
    "oğlu",
    "ński",
    "ńska",
    "wicz",
    "enko",
    "escu",
    "ienė",
    "aitė",
    "ówna",
    "енко",
    "ович",
    "евич",
    "овна",
    "евна",
    "швили",
    "όπουλος",
    "ίδης",
    "սյան",
];

fn exact(word: &str) -> LexiconEntry {
    const ASCII_BYTES_MAX: usize = 24;
    // Without branches, because most words are short.
    if word.bytes().fold(0, |all, byte| all | byte) < 0x80 {
        return LexiconEntry(if word.len() <= ASCII_BYTES_MAX { WORDS.get(word) } else { 0 });
    }
    if word.len() > 64 {
        return LexiconEntry::default();
    }
    let lower = word.to_lowercase();
    let flags = WORDS.get(&lower);
    if flags != 0 {
        return LexiconEntry(flags);
    }
    // The lexicon also has spellings without diacritics: `emile` for `Émile`. A common word without diacritics is another word: `Bašić`.
    let folded: String = lower.chars().filter_map(fold).collect();
    match WORDS.get(&folded) {
        COMMON => LexiconEntry(COMMON_ELSEWHERE),
        flags => LexiconEntry(flags),
    }
}

/// Removes the diacritic of a European letter; `None` for a combining mark.
pub(super) fn fold(letter: char) -> Option<char> {
    Some(match letter {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'č' => 'c',
        'ď' | 'đ' | 'ð' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ė' | 'ę' | 'ě' => 'e',
        'ğ' | 'ģ' => 'g',
        'ì' | 'í' | 'î' | 'ï' | 'ī' | 'į' | 'ı' => 'i',
        'ķ' => 'k',
        'ľ' | 'ĺ' | 'ļ' | 'ł' => 'l',
        'ñ' | 'ń' | 'ň' | 'ņ' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ø' | 'ő' | 'ō' => 'o',
        'ŕ' | 'ř' => 'r',
        'ś' | 'š' | 'ş' | 'ș' => 's',
        'ť' | 'ţ' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ű' | 'ū' | 'ů' | 'ų' => 'u',
        'ý' | 'ÿ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        '\u{300}'..='\u{36f}' => return None,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_two_words_share_a_slot() {
        let mut expected: HashMap<&str, u8> = HashMap::new();
        for (flag, list) in LISTS {
            for word in list.lines().filter(|line| !line.starts_with('#')) {
                match word.strip_prefix('!') {
                    Some(word) => *expected.entry(word).or_default() = COMMON,
                    None => *expected.entry(word).or_default() |= flag,
                }
            }
        }
        assert!(expected.len() < WORDS.slots.len() * 2 / 3, "make the table larger");
        for (word, flags) in expected {
            assert_eq!(WORDS.get(word), flags, "{word}");
        }
        assert_eq!((WORDS.get("qqzxkv"), WORDS.get("")), (0, 0));
        assert_eq!((hash("MÜLLER".as_bytes()) == hash("mÜller".as_bytes()), hash("ā".as_bytes()) == hash("ġ".as_bytes())), (true, false));
    }
}
