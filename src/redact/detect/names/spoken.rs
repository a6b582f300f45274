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
    let script = text.char_at(range.start).map(script_of)?;
    // Thai is written without spaces; other cues are whole words.
    let is_joined = script == Script::Thai;
    let (start, is_marked) = separated(text, range.end, cue)?;
    let first = text.char_at(start)?;
    if start == range.end && !is_joined {
        return None;
    }
    if first.is_lowercase() && script_of(first) == Script::Cased {
        return lower_case_name(text, start, cue, is_marked);
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
