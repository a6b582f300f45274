//! Cues: words next to a name that tell it apart from other capitalized words (`rules/cues.txt`).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::super::lexicon;
use super::super::text::{Text, WordFilter, lowered};

/// The number of words of the longest cue.
const CUE_WORDS_MAX: usize = 5;

/// A cue before a name, by what it accepts after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cue {
    /// A title or a salutation (`Dear`): a name follows, even if it is a common word.
    Title,
    /// A name follows, known or unknown (`my name is`).
    Strong,
    /// A name of two words or more follows, known or unknown (`prepared for`).
    Pair,
    /// The end of a letter (`kind regards`): a name follows, known or unknown, and ends the line.
    Closing,
    /// A greeting (`hi`): a name may follow, known, or unknown if a comma or the end of the line follows it.
    Greeting,
    /// A name may follow (`from`).
    Weak,
}

/// A cue that is searched as a literal, because the name after it has no capitals: `my name is zyrqel`, `اسمي …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum SpokenCue {
    /// A name follows, known or unknown.
    Strong,
    /// A name of the lexicon may follow.
    Weak,
    /// A given name and a family name of the lexicon may follow, if they are no other words: `assign it to …`.
    Pair,
    /// A name follows after a colon (`الاسم:`).
    Field,
}

#[derive(Debug, Default)]
struct Cues {
    before: HashMap<&'static str, Cue, FixedState>,
    /// The words of `before`.
    before_filter: WordFilter,
    /// The last word of every cue, to exclude most positions with one lookup.
    ends: HashSet<&'static str, FixedState>,
    ends_filter: WordFilter,
    /// Titles that are common words of other languages, and count only with a capital or a full stop.
    capital_titles: HashSet<&'static str, FixedState>,
    /// Words after a name: suffixes, degrees, and titles that follow names.
    after: HashSet<&'static str, FixedState>,
    /// Roles in brackets after a name: `(patient)`, `("Tenant")`.
    roles: HashSet<&'static str, FixedState>,
    /// Verbs after a name; true for those whose subject is a person, even if the name is unknown.
    verbs: HashMap<&'static str, bool, FixedState>,
    verbs_filter: WordFilter,
    /// English words that are no words of other languages.
    english: HashSet<&'static str, FixedState>,
    spoken: Vec<(&'static str, SpokenCue)>,
    /// Words that end a name in scripts without capitals.
    stops: HashSet<&'static str, FixedState>,
}

static CUES: LazyLock<Cues> = LazyLock::new(|| {
    let mut cues = Cues::default();
    let lines = include_str!("../rules/cues.txt").lines().filter(|line| !line.starts_with('#'));
    for (class, words) in lines.filter_map(|line| line.split_once(": ")) {
        for words in words.split('|') {
            let cue = match class {
                "title" => Cue::Title,
                "capital title" => {
                    cues.capital_titles.insert(words);
                    Cue::Title
                }
                "strong" => Cue::Strong,
                "pair" => Cue::Pair,
                "closing" => Cue::Closing,
                "greeting" => Cue::Greeting,
                "weak" => Cue::Weak,
                "spoken" => {
                    cues.spoken.push((words, SpokenCue::Strong));
                    Cue::Strong
                }
                "spoken field" => {
                    cues.spoken.push((words, SpokenCue::Field));
                    continue;
                }
                "spoken pair" => {
                    cues.spoken.push((words, SpokenCue::Pair));
                    continue;
                }
                "spoken weak" => {
                    cues.spoken.push((words, SpokenCue::Weak));
                    continue;
                }
                "after" => {
                    cues.after.insert(words);
                    continue;
                }
                "verb" => {
                    cues.verbs.insert(words, true);
                    cues.verbs_filter.insert(words);
                    continue;
                }
                "verb of name" => {
                    cues.verbs.insert(words, false);
                    cues.verbs_filter.insert(words);
                    continue;
                }
                "english" => {
                    cues.english.insert(words);
                    continue;
                }
                "role" => {
                    cues.roles.insert(words);
                    continue;
                }
                _ => {
                    cues.stops.insert(words);
                    continue;
                }
            };
            cues.before.entry(words).or_insert(cue);
            cues.before_filter.insert(words);
            let end = words.rsplit(' ').next().unwrap_or(words);
            cues.ends.insert(end);
            cues.ends_filter.insert(end);
        }
    }
    cues
});

/// The cues that are searched as literals.
pub(in super::super) fn spoken_cues() -> &'static [(&'static str, SpokenCue)] {
    &CUES.spoken
}

/// Whether a word ends a name in a script without capitals: `है`, `ครับ`.
pub(super) fn is_stop(word: &str) -> bool {
    CUES.stops.contains(word)
}

/// Whether a word, in any case and without its full stop, is a title or another cue that names follow: `dr`, `pani`, `kunden`.
pub(super) fn is_opening(word: &str) -> bool {
    let word = word.trim_end_matches('.');
    CUES.before_filter.may_contain(word)
        && matches!(CUES.before.get(lowered(word, &mut [0; 64]).as_ref()), Some(Cue::Title | Cue::Strong | Cue::Pair))
}

const PUNCTUATION: [char; 6] = [',', '!', '.', '?', '،', '՝'];

/// The cue that ends before `start`.
pub(super) fn before(text: Text<'_>, start: usize) -> Option<Cue> {
    let (cue, is_on_other_line) = cue_before(text, start)?;
    // Across a line feed, only the end of a letter and strong cues count: `Regards,⏎Zyrqel`, `Patient⏎Zyrqel Vantroba`.
    match cue {
        _ if !is_on_other_line => Some(cue),
        Cue::Closing => Some(Cue::Closing),
        Cue::Strong | Cue::Pair => Some(Cue::Pair),
        Cue::Title | Cue::Greeting | Cue::Weak => None,
    }
}

/// The cue that ends before `start`, and whether it is on another line.
fn cue_before(text: Text<'_>, start: usize) -> Option<(Cue, bool)> {
    if follows_signature_mark(text, start) || follows_copyright(text, start) {
        return Some((Cue::Pair, false));
    }
    let skip = |byte: u8| matches!(byte, b' ' | b'"' | b'\'' | b'*' | b'(' | b'\n' | b'\r' | b'`' | b':' | b'>' | b'=' | b'-');
    let mut end = text.skip_back_while(start, 5, skip);
    // The full-width colon.
    if text.char_before(end) == Some('：') {
        end -= '：'.len_utf8();
    }
    if end == start {
        return None;
    }
    // Most words before a capital do not end a cue; this check needs no allocation.
    let last_start = text.skip_back_while(end, 32, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b':' | b';' | b'(' | b'"' | b'='));
    let last = text.slice(last_start..end);
    if last.is_ascii() {
        let last = last.trim_end_matches([',', '!', '.', '?']);
        if !CUES.ends_filter.may_contain(last) || !CUES.ends.contains(lowered(last, &mut [0; 64]).as_ref()) {
            return None;
        }
    }
    // Up to five words before `start` in lower case, without trailing punctuation. The longest cue wins.
    let mut from = end.saturating_sub(56);
    while !text.0.is_char_boundary(from) {
        from += 1;
    }
    let original = text.slice(from..end);
    let left = original.rsplit(['\n', ':', ';', '(', '"', '=', '|']).next().unwrap_or(original).to_lowercase();
    let left = left.trim_start_matches(['-', '*', ' ', '>', '¡', '@', '#', '/']);
    let mut cut = left.len();
    let mut best = None;
    for _ in 0..CUE_WORDS_MAX {
        let Some(part) = left.get(..cut) else { break };
        let at = part.trim_end().rfind(' ').map_or(0, |at| at + 1);
        let words = left.get(at..).unwrap_or_default().trim();
        let shown = words.trim_end_matches(PUNCTUATION);
        // `em Zyrqel` is Portuguese, `Em Zyrqel` Vietnamese: short titles have a capital or a full stop.
        let is_marked = || {
            words.ends_with('.') || original.get(original.len() - words.len()..).is_some_and(|word| word.starts_with(char::is_uppercase))
        };
        if let Some(found) = CUES.before.get(shown).filter(|_| !CUES.capital_titles.contains(shown) || is_marked()) {
            // A full stop ends a sentence, except after a title.
            // `What is your name? Zyrqel` is an answer.
            let is_question = words.ends_with('?') && !shown.ends_with("name");
            let ends_sentence = is_question || words.ends_with('.') && *found != Cue::Title;
            // `Best, Zyrqel`, but not `the best Zyrqel`.
            let is_separated =
                words.len() > shown.len() || text.slice(end..start).contains(['\n', '-']) || start >= 2 && text.byte_at(start - 2) == b',';
            let is_english = || lexicon::look_up(shown).is_common_word() && !lexicon::look_up(shown).is_common_elsewhere();
            let found = if *found == Cue::Closing && !is_separated && (shown.len() <= 3 || is_english()) { Cue::Weak } else { *found };
            best = if ends_sentence { best } else { Some(found) };
        }
        if at == 0 {
            break;
        }
        cut = at;
    }
    best.map(|cue| (cue, text.slice(end..start).contains('\n')))
}

/// Whether a verb of people follows a name that ends at `end`, or its genitive: `Zyrqel Vantroba wants`, `Zyrqel Vantroba's account`.
/// True if
/// the name may be unknown.
pub(super) fn verb_after(text: Text<'_>, end: usize) -> Option<bool> {
    if text.byte_at(end) != b' ' {
        return None;
    }
    let word_end = text.skip_while(end + 1, 16, |byte| byte.is_ascii_lowercase());
    let word = text.slice(end + 1..word_end);
    if !CUES.verbs_filter.may_contain(word) {
        return None;
    }
    CUES.verbs.get(word).copied().filter(|_| text.is_word_end(word_end))
}

/// Whether a telling English word stands within a few words around a range, on the same line: in English text, two capitalized words that
/// are
/// neither common nor technical are nearly always a name.
pub(super) fn is_in_english(text: Text<'_>, range: &Range<usize>) -> bool {
    const WINDOW_BYTES: usize = 32;
    let is_inside_line = |byte: &u8| *byte != b'\n';
    let left = text.bytes().get(range.start.saturating_sub(WINDOW_BYTES)..range.start).unwrap_or_default();
    let right = text.bytes().get(range.end..text.len().min(range.end + WINDOW_BYTES)).unwrap_or_default();
    let left = left.rsplit(|byte| !is_inside_line(byte)).next().unwrap_or_default();
    let right = right.split(|byte| !is_inside_line(byte)).next().unwrap_or_default();
    // The outermost words may be cut.
    let words = left.split(|byte| *byte == b' ').skip(1).chain(right.split(|byte| *byte == b' '));
    // One telling word, or two longer ones of the English lexicon.
    let mut common = 0;
    words.filter_map(|word| std::str::from_utf8(word).ok()).any(|word| {
        let word = word.trim_end_matches(['.', ',', ';', '!', '?', ')']);
        let entry = || lexicon::look_up(word);
        common += usize::from(word.len() >= 4 && entry().is_common_word() && !entry().is_common_elsewhere());
        common >= 2 || CUES.english.contains(word) || CUES.verbs.get(word) == Some(&true)
    })
}

/// Whether a part of a word after a hyphen is a title: `-san`.
pub(super) fn is_honorific(word: &str) -> bool {
    matches!(word, "san" | "sama" | "kun" | "chan" | "sensei" | "senpai" | "ssi" | "nim" | "ji" | "bhai" | "bey")
}

/// Whether a word of a run, in any case, follows names: `Bey`, `Jr`.
pub(super) fn is_after_word(word: &str) -> bool {
    CUES.after.contains(lowered(word, &mut [0; 64]).as_ref())
}

/// Whether the mark before a signature precedes: a line of `-- `.
fn follows_signature_mark(text: Text<'_>, start: usize) -> bool {
    text.byte_before(start) == b'\n' && {
        let line = text.slice(text.skip_back_while(start, 6, |byte| byte != b'\n' || text.byte_before(start) == byte)..start);
        line.trim_end_matches(['\n', '\r', ' ']).rsplit('\n').next() == Some("--")
    }
}

/// Whether a copyright notice precedes: `Copyright (c) 2021-2023 `.
fn follows_copyright(text: Text<'_>, start: usize) -> bool {
    let end = text.skip_back_while(start, 24, |byte| byte.is_ascii_digit() || matches!(byte, b' ' | b',' | b'-'));
    if end + 4 > start {
        return false;
    }
    let left = text.slice(text.0.floor_char_boundary(end.saturating_sub(10))..end);
    left.ends_with("(c)") || left.ends_with("(C)") || left.ends_with('©') || left.ends_with("opyright")
}

/// Whether words after a name confirm it: `Jr.`, `, PhD`, ` Bey`, ` (patient)`, ` wrote:`.
pub(super) fn is_after(text: Text<'_>, end: usize) -> bool {
    // `Zyrqel-san`.
    if text.byte_at(end) == b'-' {
        let word = text.slice(end + 1..text.skip_while(end + 1, 8, |byte| byte.is_ascii_lowercase()));
        return is_honorific(word);
    }
    let mut at = text.skip_while(end, 2, |byte| matches!(byte, b' ' | b','));
    if at == end {
        return false;
    }
    let is_bracket = text.byte_at(at) == b'(';
    if is_bracket {
        at = text.skip_while(at, 8, |byte| matches!(byte, b'(' | b'"' | b'\'') || byte == 0xe2 || byte == 0x80 || byte == 0x9c);
        if let Some(after) = text.slice(at..text.len()).strip_prefix("the ") {
            at = text.len() - after.len();
        }
    }
    let word_end = text.skip_while(at, 24, |byte| byte.is_ascii_alphabetic() || byte == b'.' || byte >= 0x80);
    let mut buffer = [0; 64];
    let word = lowered(text.slice(at..word_end), &mut buffer);
    let word = word.trim_end_matches(['.', '”', '’']);
    let words = if is_bracket { &CUES.roles } else { &CUES.after };
    words.contains(word) || (word.contains('.') && words.contains(word.replace('.', "").as_str()))
}
