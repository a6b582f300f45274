//! The lexicon of names and common words, embedded from `lexicon/*.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

/// The properties of a word in the lexicon; empty for an unknown word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct LexiconEntry(u8);

const GIVEN: u8 = 1;
const FAMILY: u8 = 2;
const COMMON: u8 = 4;

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
        self.0 & COMMON != 0
    }

    /// A name that is not also a common word.
    pub(super) fn is_unambiguous_name(self) -> bool {
        self.is_name() && !self.is_common_word()
    }
}

static WORDS: LazyLock<HashMap<&'static str, u8, FixedState>> = LazyLock::new(|| {
    let mut words: HashMap<&str, u8, FixedState> = HashMap::with_capacity_and_hasher(110_000, FixedState::default());
    let lists = [
        (GIVEN, include_str!("lexicon/given_names.txt")),
        (FAMILY, include_str!("lexicon/surnames.txt")),
        (COMMON, include_str!("lexicon/common_words.txt")),
        (COMMON, include_str!("lexicon/not_names.txt")),
    ];
    for (flag, list) in lists {
        for word in list.lines().filter(|line| !line.starts_with('#')) {
            match word.strip_prefix('!') {
                // `!will`: so common that it does not count as a name, although it is in a list of names.
                Some(word) => {
                    words.insert(word, COMMON);
                }
                None => *words.entry(word).or_default() |= flag,
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

fn exact(word: &str) -> LexiconEntry {
    let mut buffer = [0u8; 24];
    if word.is_ascii() {
        let Some(lower) = buffer.get_mut(..word.len()) else { return LexiconEntry::default() };
        lower.copy_from_slice(word.as_bytes());
        lower.make_ascii_lowercase();
        let lower = std::str::from_utf8(lower).unwrap_or_default();
        return LexiconEntry(WORDS.get(lower).copied().unwrap_or(0));
    }
    if word.len() > 64 {
        return LexiconEntry::default();
    }
    let lower = word.to_lowercase();
    if let Some(flags) = WORDS.get(lower.as_str()) {
        return LexiconEntry(*flags);
    }
    // The lexicon also has spellings without diacritics: `emile` for `Émile`.
    let folded: String = lower.chars().filter_map(fold).collect();
    LexiconEntry(WORDS.get(folded.as_str()).copied().unwrap_or(0))
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
