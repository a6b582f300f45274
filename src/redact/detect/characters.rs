//! How characters outside ASCII are read: compatibility forms, digits, blanks, dashes and quotes as their ASCII forms, invisible characters as
//! nothing, and Cyrillic or Greek letters in a Latin word as the letters that they look like.

use std::ops::Range;
use std::sync::LazyLock;

/// What a reader sees in place of an encoded or special character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    Nothing,
    Char(char),
    /// Several characters, of a ligature.
    Text(&'static str),
}

/// Characters that are read in the same way, or as consecutive ones.
#[derive(Debug)]
struct Row {
    first: u32,
    last: u32,
    to: To,
}

#[derive(Debug)]
enum To {
    Consecutive(u32),
    One(char),
    Text(String),
}

#[derive(Debug)]
struct Table {
    rows: Vec<Row>,
    /// For each character of the first plane, whether [`shown`] changes it; excludes most characters with one access.
    is_special: Vec<u64>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let code = |hex: &str| u32::from_str_radix(hex, 16).ok();
    let char_of = |hex: &str| code(hex).and_then(char::from_u32);
    let row = |line: &str| {
        let (from, to) = line.split_once(' ')?;
        if let Some((first, last)) = from.split_once('-') {
            return Some(Row { first: code(first)?, last: code(last)?, to: To::Consecutive(code(to)?) });
        }
        let (first, last) = from.split_once('=').unwrap_or((from, from));
        let text: String = to.split('+').filter_map(char_of).collect();
        let mut letters = text.chars();
        let to = match (letters.next(), letters.next()) {
            (Some(one), None) => To::One(one),
            _ => To::Text(text),
        };
        Some(Row { first: code(first)?, last: code(last)?, to })
    };
    let rows: Vec<Row> = include_str!("rules/characters.txt").lines().filter(|line| !line.starts_with('#')).filter_map(row).collect();
    let mut is_special = vec![0u64; 1 << 10];
    let invisible = ('\u{80}'..='\u{ffff}').filter(|c| is_invisible(*c)).map(u32::from);
    for code in rows.iter().flat_map(|row| row.first..=row.last).chain(invisible) {
        if let Some(bits) = is_special.get_mut(code as usize / 64) {
            *bits |= 1 << (code % 64);
        }
    }
    Table { rows, is_special }
});

/// What a reader sees in place of a character outside ASCII; `None` for the character itself.
pub(super) fn shown(c: char) -> Option<Shown> {
    let code = u32::from(c);
    let table = &*TABLE;
    if code < 0x1_0000 && table.is_special.get(code as usize / 64).is_some_and(|bits| (bits >> (code % 64)) & 1 == 0) {
        return None;
    }
    if is_invisible(c) {
        return Some(Shown::Nothing);
    }
    let index = table.rows.partition_point(|row| row.last < code);
    let row = table.rows.get(index).filter(|row| row.first <= code)?;
    Some(match &row.to {
        To::Consecutive(to) => Shown::Char(char::from_u32(to + code - row.first)?),
        To::One(c) => Shown::Char(*c),
        To::Text(text) => Shown::Text(text),
    })
}

/// Whether a character is invisible (Unicode property `Default_Ignorable_Code_Point`, C1 controls), or a mark on the letter before it. Such
/// characters can be inserted into a value to evade filters.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{84}' | '\u{86}'..='\u{9f}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{20d0}'..='\u{20ff}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{fe20}'..='\u{fe2f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Cyrillic and Greek letters that look like a Latin letter, each followed by it.
#[rustfmt::skip]
const LOOK_ALIKES: &str = "\
    АAВBЕEЅSІIЈJКKМMНHОOРPСCТTУYХXԌGԚQԜWаaеeоoрpсcуyхxѕsіiјjһhԁdԛqԝw\
    ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧXοoνvϲcϳj";

/// The Latin letter that a letter looks like.
fn look_alike(c: char) -> Option<char> {
    if !matches!(c, '\u{370}'..='\u{52f}') {
        return None;
    }
    let mut letters = LOOK_ALIKES.chars().skip_while(|letter| *letter != c);
    letters.nth(1).filter(|_| !c.is_ascii())
}

/// The word around a Cyrillic or Greek letter at `at`, and whether it is a Latin word: it has a Latin letter, and all other letters look like
/// one, so that they are a disguise.
pub(super) fn disguised_word(text: &str, at: usize) -> (Range<usize>, bool) {
    const BYTES_MAX: usize = 96;
    let is_part = |c: &char| c.is_alphanumeric() || *c == '_';
    let len = |letters: &mut dyn Iterator<Item = char>| letters.take(BYTES_MAX).take_while(is_part).map(char::len_utf8).sum::<usize>();
    let (left, right) = text.split_at_checked(at).unwrap_or_default();
    let range = at - len(&mut left.chars().rev())..at + len(&mut right.chars());
    let word = text.get(range.clone()).unwrap_or_default();
    let is_disguised = word.bytes().any(|byte| byte.is_ascii_alphabetic()) && word.chars().all(|c| c.is_ascii() || look_alike(c).is_some());
    (range, is_disguised)
}

/// The Latin letter in place of a letter of a disguised word.
pub(super) fn undisguised(c: char) -> Option<Shown> {
    look_alike(c).map(Shown::Char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_read_as_their_plain_forms() {
        for (c, expected) in [
            ('＠', Some(Shown::Char('@'))),
            ('Ａ', Some(Shown::Char('A'))),
            ('𝐚', Some(Shown::Char('a'))),
            ('𝟞', Some(Shown::Char('6'))),
            ('٤', Some(Shown::Char('4'))),
            ('५', Some(Shown::Char('5'))),
            ('ﬁ', Some(Shown::Text("fi"))),
            ('№', Some(Shown::Text("No"))),
            ('\u{a0}', Some(Shown::Char(' '))),
            ('\u{3000}', Some(Shown::Char(' '))),
            ('\u{2028}', Some(Shown::Char('\n'))),
            ('–', Some(Shown::Char('-'))),
            ('ﾀ', Some(Shown::Char('タ'))),
            ('ﻣ', Some(Shown::Char('م'))),
            ('\u{200b}', Some(Shown::Nothing)),
            ('\u{e0041}', Some(Shown::Nothing)),
            ('\u{34f}', Some(Shown::Nothing)),
            ('é', None),
            ('ß', None),
            ('田', None),
            ('²', None),
            ('½', None),
            ('한', None),
            ('—', None),
            ('’', None),
            ('😀', None),
        ] {
            assert_eq!(shown(c), expected, "{c:?}");
        }
        assert!(TABLE.rows.is_sorted_by(|a, b| a.last < b.first));
    }

    #[test]
    fn only_words_with_latin_letters_are_disguised() {
        for (text, at, expected) in [
            ("see АKIA0 ", 4, (4..10, true)),
            ("pаss", 1, (0..5, true)),
            ("Москва", 0, (0..12, false)),
            ("5см", 1, (0..5, false)),
            ("RАЗ", 1, (0..5, false)),
        ] {
            assert_eq!(disguised_word(text, at), expected, "{text}");
        }
        assert!(LOOK_ALIKES.chars().count().is_multiple_of(2) && LOOK_ALIKES.chars().step_by(2).all(|c| !c.is_ascii()));
        assert!(LOOK_ALIKES.chars().skip(1).step_by(2).all(|c| c.is_ascii()));
    }
}
