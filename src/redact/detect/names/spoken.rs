//! Names that no capital marks: in lower case (`my name is zyrqel`), and in scripts without capitals (`اسمي …`). They follow a cue, which
//! is
//! searched as a literal.

use std::ops::Range;

use super::super::lexicon::{LexiconEntry, look_up};
use super::super::text::{Text, is_cjk};
use super::foreign::is_sign;
use super::words::is_particle;
use super::{NameMatch, cues, cues::SpokenCue};

/// Length of a word of a name.
const WORD_BYTES_MAX: usize = 60;

/// The words of a name, with the lexicon's entry of each.
type Words = Vec<(Range<usize>, LexiconEntry)>;

/// The name after a cue that occupies `range`, if it has no capitals.
pub(in super::super) fn after_cue(text: Text<'_>, range: Range<usize>, cue: SpokenCue) -> Option<NameMatch> {
    if cue == SpokenCue::Pair {
        // `thanks, giulia rossi`.
        let start = text.skip_while(range.end, 1, |byte| byte == b',');
        return (text.byte_at(start) == b' ').then(|| known_pair(text, start + 1)).flatten().map(|(range, _)| NameMatch::Certain(range));
    }
    let script = text.char_at(range.start).map(script_of)?;
    // Thai is written without spaces; other cues are whole words.
    let is_joined = script == Script::Thai;
    let (start, is_marked) = separated(text, range.end, cue)?;
    let first = text.char_at(start)?;
    if start == range.end && !is_joined {
        return None;
    }
    if first.is_lowercase() && script_of(first) == Script::Cased {
        let is_title = matches!(text.slice(range).trim_end_matches('.'), "mr" | "mrs" | "ms" | "miss" | "dr" | "prof" | "herr" | "frau");
        return lower_case_name(text, start, cue, is_marked).or_else(|| if is_title { family_name(text, start) } else { None });
    }
    let is_caseless = first.is_alphabetic() && !first.is_uppercase() && !is_cjk(first) && script_of(first) != Script::Cased;
    if is_caseless { caseless_name(text, start, cue, is_joined) } else { None }
}

/// The start of the word after a cue that ends at `end`, and whether a comma or a colon separates them. Of line feeds, only one after a
/// comma is skipped: the end of a letter.
fn separated(text: Text<'_>, end: usize, cue: SpokenCue) -> Option<(usize, bool)> {
    let mut at = text.skip_while(end, 1, |byte| matches!(byte, b' ' | b'"' | b'*'));
    let is_mark = |mark: &char| matches!(mark, ',' | '،' | ':' | '：' | '՝');
    let mark = text.char_at(at).filter(is_mark);
    at += mark.map_or(0, char::len_utf8);
    // The mark may be a part of the cue: `شكرا،`.
    let mark = mark.or_else(|| text.char_before(end).filter(is_mark));
    if cue == SpokenCue::Field && !matches!(mark, Some(':' | '：')) {
        return None;
    }
    if matches!(mark, Some(',' | '،')) {
        at = text.skip_while(at, 2, |byte| matches!(byte, b'\r' | b'\n'));
    }
    Some((text.skip_while(at, 2, |byte| matches!(byte, b' ' | b'"' | b'*')), mark.is_some()))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Script {
    /// Latin, Greek, Cyrillic, Armenian: scripts with capitals.
    Cased,
    Thai,
    /// Arabic, Hebrew, Georgian, and the scripts of India.
    Caseless,
}

fn script_of(letter: char) -> Script {
    match letter {
        '\u{e00}'..='\u{e7f}' => Script::Thai,
        '\u{590}'..='\u{7ff}' | '\u{900}'..='\u{dff}' | '\u{10d0}'..='\u{10ff}' => Script::Caseless,
        _ => Script::Cased,
    }
}

/// A name in lower case: `jane van der zyrqel`. Common words end it.
fn lower_case_name(text: Text<'_>, start: usize, cue: SpokenCue, is_marked: bool) -> Option<NameMatch> {
    let is_letter = |letter: char| letter.is_alphabetic() || matches!(letter, '\'' | '’' | '-');
    let is_common = |entry: LexiconEntry| entry.is_common_word();
    // Most cues are followed by a common word.
    if word_from(text, start, is_letter).is_none_or(|(_, entry)| is_common(entry)) {
        return None;
    }
    let words = words_from(text, start, is_letter);
    let mut names: Vec<&(Range<usize>, LexiconEntry)> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        let shown = text.slice(word.0.clone());
        // `jane page`: a common word is a part of the name if it ends the phrase and is a name as well.
        let ends_phrase = index + 1 == words.len() && word.1.is_name();
        let is_inner_particle = index > 0
            && is_particle(shown)
            && words.get(index + 1).is_some_and(|next| !is_common(next.1) || is_particle(text.slice(next.0.clone())));
        if names.len() == 4 || (shown.chars().count() < 2 && !is_inner_particle) {
            break;
        }
        if is_common(word.1) && !is_inner_particle && !(ends_phrase && index > 0) {
            break;
        }
        names.push(word);
    }
    let range = names.first()?.0.start..names.last()?.0.end;
    let next = text.byte_at(range.end);
    // `jane.doe@…`, `jane_doe`, `jane/…` and `jane(` are identifiers.
    if matches!(next, b'_' | b'@' | b'/' | b'(' | b'=' | b'\\' | b'[' | b'{') || next.is_ascii_digit() {
        return None;
    }
    if next == b'.' && text.byte_at(range.end + 1).is_ascii_alphanumeric() {
        return None;
    }
    names.retain(|word| !is_particle(text.slice(word.0.clone())));
    let known = names.iter().filter(|word| word.1.is_unambiguous_name()).count();
    let given = names.iter().any(|word| word.1.is_unambiguous_name() && word.1.is_given_name());
    let ends_phrase = matches!(next, b',' | b'.' | b'\n' | b'!' | b';' | b'"' | 0);
    let accepted = match cue {
        SpokenCue::Pair => false,
        SpokenCue::Strong | SpokenCue::Field => known > 0 || (2..=3).contains(&names.len()) || ends_phrase,
        SpokenCue::Weak => {
            let is_long = names.iter().all(|word| word.0.len() >= 4);
            known >= 2
                || (given && (names.len() > 1 || ends_phrase))
                // `from: zyrqel vantroba⏎`; `i'm zyrqel vantroba, calling …`.
                || (is_marked && matches!(next, b'\n' | 0) && is_long && names.len() == 2)
                || (next == b',' && is_long && names.len() == 2)
        }
    };
    accepted.then_some(NameMatch::Certain(range))
}

/// A given name and a family name at `start`, in lower case, that are no other words: `rosalind okafor`; and whether the lexicon knows both.
/// Most words are excluded by one lookup.
fn known_pair(text: Text<'_>, start: usize) -> Option<(Range<usize>, bool)> {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte >= 0x80;
    let given_end = text.skip_while(start, WORD_BYTES_MAX, is_letter);
    if given_end < start + 3 || text.byte_at(given_end) != b' ' || !is_letter(text.byte_at(given_end + 1)) {
        return None;
    }
    let given = look_up(text.slice(start..given_end));
    if !given.is_given_name() || !given.is_unambiguous_name() {
        return None;
    }
    let family_start = given_end + 1;
    let end = text.skip_while(family_start, WORD_BYTES_MAX, |byte| is_letter(byte) || matches!(byte, b'-' | b'\''));
    let family = text.slice(family_start..end);
    let family = family.strip_suffix("'s").unwrap_or(family).trim_end_matches(['-', '\'']);
    let end = family_start + family.len();
    let entry = family.split('-').map(look_up).find(|part| part.is_unambiguous_name());
    let next = text.byte_at(end);
    // A family name that is also a common word ends the phrase: `jane brown`, but not `jane will call`.
    let ends_phrase = matches!(next, b',' | b'.' | b'\n' | b'!' | b'?' | b';' | b'"' | b'\'' | b')' | 0);
    // Names that the lexicon does not know: `marguerite zyrqel`.
    let is_unknown = || family.len() >= 4 && family.split('-').all(|part| look_up(part) == LexiconEntry::default());
    let is_known = entry.is_some_and(LexiconEntry::is_family_name);
    let is_family = is_known || is_unknown() || ends_phrase && look_up(family).is_family_name();
    let is_identifier = matches!(next, b'_' | b'@' | b'/' | b'(' | b'=' | b'\\' | b'[' | b'{' | b':') || next.is_ascii_alphanumeric();
    let is_domain = next == b'.' && text.byte_at(end + 1).is_ascii_alphanumeric();
    (family.len() >= 3 && is_family && !is_identifier && !is_domain).then_some((start..end, is_known))
}

/// The family name after a title: `mrs henderson`.
fn family_name(text: Text<'_>, start: usize) -> Option<NameMatch> {
    let end = text.skip_while(start, WORD_BYTES_MAX, |byte| byte.is_ascii_lowercase() || byte >= 0x80);
    let entry = look_up(text.slice(start..end));
    let fits = end >= start + 4 && entry.is_family_name() && entry.is_unambiguous_name() && text.is_word_end(end);
    fits.then_some(NameMatch::Certain(start..end))
}

/// Adds the names in lower case with which a line or a quoted text begins: `priya sharma called again`.
pub(in super::super) fn at_phrase_starts(text: Text<'_>, found: &mut Vec<NameMatch>) {
    let starts = std::iter::once(0).chain(memchr::memchr2_iter(b'\n', b'"', text.bytes()).map(|at| at + 1));
    for start in starts {
        if !text.byte_at(start).is_ascii_lowercase() {
            continue;
        }
        let Some((range, is_known)) = known_pair(text, start) else { continue };
        // An unknown family name needs a verb of people.
        let is_subject = cues::verb_after(text, range.end).is_some_and(|accepts_unknown| is_known || accepts_unknown)
            || is_known && (matches!(text.byte_at(range.end), b',' | b'"' | b'\'' | b'\n' | 0) || text.rest(range.end).starts_with(" ("));
        if is_subject {
            found.push(NameMatch::Certain(range));
        }
    }
}

/// One or two words, and a third one if the phrase ends after it.
fn caseless_name(text: Text<'_>, start: usize, cue: SpokenCue, is_joined: bool) -> Option<NameMatch> {
    // Combining vowel signs are not alphabetic in all scripts.
    let is_letter = |letter: char| (letter.is_alphabetic() || is_sign(letter)) && !is_cjk(letter) || matches!(letter, '\'' | '-' | '"');
    let mut words = words_from(text, start, is_letter);
    if is_joined {
        // A polite particle may be joined to the name: `ใจดีครับ`.
        for word in &mut words {
            let shown = text.slice(word.0.clone());
            let cut = ["ครับ", "ค่ะ", "คะ", "นะ", "โทร"].iter().filter_map(|stop| shown.find(stop)).min();
            word.0.end = cut.map_or(word.0.end, |cut| word.0.start + cut);
        }
        words.retain(|word| !word.0.is_empty());
    }
    let stop = words.iter().position(|word| cues::is_stop(text.slice(word.0.clone()))).unwrap_or(words.len());
    let ends_phrase = stop == words.len() && !is_letter_at(text, words.last()?.0.end);
    let len = if stop == 3 && (ends_phrase || stop < words.len()) { 3 } else { stop.min(2) };
    let words = words.get(..len).unwrap_or_default();
    if cue != SpokenCue::Strong && words.first()?.1.is_common_word() {
        return None;
    }
    let is_known = words.iter().any(|word| word.1.is_name());
    let range = words.first()?.0.start..words.last()?.0.end;
    let accepted = range.len() >= 4 && (cue != SpokenCue::Weak || is_known);
    accepted.then_some(NameMatch::Certain(range))
}

fn is_letter_at(text: Text<'_>, at: usize) -> bool {
    text.char_at(text.skip_while(at, 1, |byte| byte == b' ')).is_some_and(char::is_alphabetic)
}

/// Up to five words that are separated by single spaces.
fn words_from(text: Text<'_>, start: usize, is_letter: impl Fn(char) -> bool) -> Words {
    const WORDS_MAX: usize = 5;
    let mut words = Words::new();
    let mut at = start;
    while words.len() < WORDS_MAX
        && let Some(word) = word_from(text, at, &is_letter)
    {
        at = word.0.end;
        words.push(word);
        if text.byte_at(at) != b' ' {
            break;
        }
        at += 1;
    }
    words
}

/// The word at `start`, without marks at its end.
fn word_from(text: Text<'_>, start: usize, is_letter: impl Fn(char) -> bool) -> Option<(Range<usize>, LexiconEntry)> {
    let shown = text.window(start, WORD_BYTES_MAX);
    let end = shown.char_indices().find(|(_, letter)| !is_letter(*letter)).map_or(shown.len(), |(index, _)| index);
    let word = shown.get(..end)?.trim_end_matches(['\'', '’', '-', '"']);
    (!word.is_empty()).then(|| (start..start + word.len(), look_up(word)))
}
