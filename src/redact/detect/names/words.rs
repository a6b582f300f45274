//! The words of a capitalized run: regular words, initials and particles.

use std::ops::Range;

use super::super::lexicon::{LexiconEntry, look_up};
use super::super::text::{Text, is_cjk};
use super::cues;

/// Longer runs of capitalized words are titles and headings.
pub(super) const WORDS_MAX: usize = 6;

/// A word of a capitalized run.
#[derive(Debug, Clone)]
pub(in super::super) struct Word {
    pub(super) range: Range<usize>,
    pub(super) entry: LexiconEntry,
    pub(super) kind: WordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum WordKind {
    /// `J.`
    Initial,
    /// `van`, `de la`
    Particle,
    Regular,
    /// `VANTROBA`: in capitals and unknown, a name only with other evidence.
    Capitals,
}

impl Word {
    /// A common word that is not a name: `Error`.
    pub(super) fn is_ordinary(&self) -> bool {
        self.kind == WordKind::Regular && self.entry.is_common_word() && !self.entry.is_name()
    }

    /// A common word only of another language or in technical texts.
    pub(super) fn is_common_elsewhere(&self) -> bool {
        self.kind == WordKind::Regular && self.entry.is_common_elsewhere()
    }

    pub(super) fn is_unambiguous_name(&self) -> bool {
        self.kind == WordKind::Regular && self.entry.is_unambiguous_name()
    }

    pub(super) fn is_unknown(&self) -> bool {
        matches!(self.kind, WordKind::Regular | WordKind::Capitals) && self.entry == LexiconEntry::default()
    }
}

/// Collects the words of a run: capitalized words, with initials and particles between them.
pub(super) fn collect_capitalized_words(text: Text<'_>, start: usize, words: &mut Vec<Word>) {
    words.clear();
    let mut at = start;
    while words.len() < WORDS_MAX {
        // Nearly all words after a capitalized one are in lower case and no particle.
        if text.byte_at(at).is_ascii_lowercase() && !may_start_particle(text.byte_at(at), text.byte_at(at + 1)) {
            break;
        }
        let Some(word) = word_at(text, at, !words.is_empty()) else { break };
        at = word.range.end;
        words.push(word);
        let separator = match text.byte_at(at) {
            // `+` is a space in a query string, 0xc2a0 a non-breaking space.
            b' ' | b'+' => 1,
            0xc2 if text.byte_at(at + 1) == 0xa0 => 2,
            _ => break,
        };
        if matches!(text.byte_at(at + separator), b' ' | b'\n') {
            break;
        }
        at += separator;
    }
    while words.last().is_some_and(|word| word.kind == WordKind::Particle) {
        words.pop();
    }
}

pub(super) fn word_at(text: Text<'_>, at: usize, inside: bool) -> Option<Word> {
    let mut shape = Shape::default();
    for byte in text.bytes().get(at..)?.iter().take(64).take_while(|byte| byte.is_ascii_alphabetic()) {
        shape.letters += 1;
        shape.uppers += usize::from(byte.is_ascii_uppercase());
    }
    let end = at + shape.letters;
    let after = text.byte_at(end);
    if end > at && after < 0x80 && !matches!(after, b'\'' | b'-') {
        // Nearly all words have letters of ASCII only.
        shape.is_mixed = shape.uppers > 1 && shape.uppers < shape.letters && is_mixed(text.slice(at..end));
        return word_of(text, at..end, shape, inside);
    }
    word_of_any_letters(text, at, inside)
}

/// The capitals of a word, and other facts about its form.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    /// Characters, including apostrophes and hyphens.
    letters: usize,
    uppers: usize,
    /// Whether a capital follows a lower-case letter.
    is_mixed: bool,
    has_hyphen: bool,
}

/// Whether a capital follows a lower-case letter in a word of ASCII letters, other than after a prefix of names.
fn is_mixed(word: &str) -> bool {
    word.as_bytes().windows(2).enumerate().any(|(index, pair)| {
        let prefix = word.get(..=index).unwrap_or_default();
        matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()) && !is_name_prefix(prefix)
    })
}

/// As [`word_at`], for words of any letters, with apostrophes and hyphens.
fn word_of_any_letters(text: Text<'_>, at: usize, inside: bool) -> Option<Word> {
    let rest = text.window(at, 80);
    let first = rest.chars().next()?;
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    let (mut shape, mut end, mut last) = (Shape::default(), 0, ' ');
    let mut letters = rest.char_indices().peekable();
    while let Some((index, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        if letter.is_alphabetic() {
            if letter.is_uppercase() {
                shape.uppers += 1;
                let prefix = rest.get(..index).unwrap_or_default();
                shape.is_mixed |= last.is_lowercase() && !is_name_prefix(prefix);
            }
        } else if !(matches!(letter, '\'' | '’' | '-') && next.is_some_and(char::is_alphabetic)) {
            break;
        }
        shape.letters += 1;
        shape.has_hyphen |= letter == '-';
        last = letter;
        end = index + letter.len_utf8();
    }
    word_of(text, at..at + end, shape, inside)
}

fn is_name_prefix(prefix: &str) -> bool {
    matches!(prefix, "Mc" | "Mac" | "De" | "Di" | "Da" | "Le" | "La" | "Van" | "Von" | "Fitz" | "Du")
}

/// Classifies the word in `range`. `None` if it cannot be part of a name.
fn word_of(text: Text<'_>, mut range: Range<usize>, shape: Shape, inside: bool) -> Option<Word> {
    let shown = text.slice(range.clone());
    let first = shown.chars().next()?;
    if !first.is_uppercase() {
        let is_particle = is_particle(shown);
        return (inside && is_particle).then_some(Word { range, entry: LexiconEntry::default(), kind: WordKind::Particle });
    }
    // `Zyrqel De Vantroba`, `ZYRQEL VAN DER VANTROBA`.
    if inside
        && (2..=5).contains(&shown.len())
        && shown.is_ascii()
        && text.byte_at(range.end) == b' '
        && text.byte_at(range.end + 1).is_ascii_uppercase()
        && is_capital_particle(shown)
    {
        return Some(Word { range, entry: LexiconEntry::default(), kind: WordKind::Particle });
    }
    // Identifiers of code: `ChatCompletion`, `snake_Case`, `Name2`, `call(`.
    let next = text.byte_at(range.end);
    if shape.is_mixed || matches!(next, b'_' | b'(' | b'[') || next.is_ascii_digit() {
        return None;
    }
    if shape.letters == 1 {
        // `J. Doe`, or `John J Doe` inside a run.
        let is_initial = next == b'.'
            && (matches!(text.byte_at(range.end + 1), b' ' | b'+')
                || inside && matches!(text.byte_at(range.end + 1), b',' | b';' | b')' | b'\n'));
        if is_initial {
            range.end += 1;
        }
        return (is_initial || (next == b' ' && inside)).then_some(Word { range, entry: LexiconEntry::default(), kind: WordKind::Initial });
    }
    // `Module.function`, `Module::function`.
    if next == b'.' && text.byte_at(range.end + 1).is_ascii_alphanumeric() || next == b':' && text.byte_at(range.end + 1) == b':' {
        return None;
    }
    // `Zyrqel-san`.
    let mut shown = shown;
    if shape.has_hyphen
        && let Some((name, title)) = shown.rsplit_once('-')
        && cues::is_honorific(title)
    {
        shown = name;
        range.end = range.start + name.len();
    }
    let entry = look_up(shown);
    // `SELECT`, `HTTP`: a common word in capitals is not a name.
    // After a name it may be a family name: `NATHAN WALKER`.
    let Shape { letters, uppers, .. } = shape;
    if uppers == letters && uppers > 1 && !entry.is_unambiguous_name() && !(inside && entry.is_family_name() && letters >= 4) {
        let is_possible = entry == LexiconEntry::default() && letters >= 3;
        return is_possible.then_some(Word { range, entry, kind: WordKind::Capitals });
    }
    Some(Word { range, entry, kind: WordKind::Regular })
}

/// Particles that are also written with a capital.
const CAPITAL_PARTICLES: [&str; 19] =
    ["de", "del", "di", "da", "dos", "van", "von", "der", "den", "ten", "ter", "la", "le", "el", "al", "bin", "ibn", "ben", "du"];

/// Whether a word, in any case, is a particle that is also written with a capital.
fn is_capital_particle(word: &str) -> bool {
    CAPITAL_PARTICLES.iter().any(|particle| particle.eq_ignore_ascii_case(word))
}

/// Words in lower case that connect the parts of a name: `van`, `de la`.
#[rustfmt::skip]
const PARTICLES: [&str; 57] = [
    "de", "da", "do", "dos", "das", "del", "della", "dei", "degli", "di", "la", "las", "los", "le", "lo", "van", "von", "vom", "zu",
    "zur", "zum", "den", "der", "het", "ten", "ter", "te", "'t", "af", "av", "bin", "ibn", "ben", "bint", "binti", "al", "el", "ul", "ur",
    "y", "e", "i", "und", "du", "des", "st", "san", "op", "auch", "genannt", "ap", "fab", "mac", "nic", "ó", "ní", "á",
];

/// Whether a word in lower case connects the parts of a name.
pub(super) fn is_particle(word: &str) -> bool {
    PARTICLES.contains(&word)
}

/// For each first letter of a particle, a bit set of its second letters. Bit 31: a particle of one letter.
const PARTICLE_STARTS: [u32; 26] = {
    let (mut starts, mut index) = ([0; 26], 0);
    while index < PARTICLES.len() {
        #[expect(clippy::indexing_slicing, reason = "in the bounds of the loop, at compile time")]
        let bytes = PARTICLES[index].as_bytes();
        match bytes {
            [first @ b'a'..=b'z'] => set(&mut starts, *first, 31),
            [first @ b'a'..=b'z', second @ b'a'..=b'z', ..] => set(&mut starts, *first, *second - b'a'),
            // Particles of other letters are not excluded by this table.
            _ => {}
        }
        index += 1;
    }
    starts
};

#[expect(clippy::indexing_slicing, reason = "a lower-case letter, at compile time")]
const fn set(starts: &mut [u32; 26], first: u8, bit: u8) {
    starts[(first - b'a') as usize] |= 1 << bit;
}

/// Whether a particle starts with these bytes, of which the first is a lower-case letter of ASCII.
fn may_start_particle(first: u8, second: u8) -> bool {
    let seconds = PARTICLE_STARTS.get(usize::from(first.wrapping_sub(b'a'))).copied().unwrap_or(0);
    let bit = if second.is_ascii_lowercase() { second - b'a' } else { 31 };
    (seconds >> bit) & 1 == 1
}
