//! Finds names of people: by the lexicon, by cue words before them (`my name is …`), and in fields that contain names.
//!
//! Takes runs of capitalized words from [`super::words`] and cells from labels and tables. Scripts without capitals are handled in
//! [`super::cjk`].

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::lexicon::{self, LexiconEntry, look_up};
use super::text::{Text, is_cjk};

/// Longer runs of capitalized words are titles and headings.
const WORDS_MAX: usize = 6;

/// Words that are, or may be, a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum NameMatch {
    Certain(Range<usize>),
    /// A name only if other personal data is close to it.
    Candidate(Range<usize>),
}

/// A word of a capitalized run.
#[derive(Debug, Clone)]
pub(super) struct Word {
    range: Range<usize>,
    entry: LexiconEntry,
    kind: WordKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WordKind {
    /// `J.`
    Initial,
    /// `van`, `de la`
    Particle,
    Regular,
}

impl Word {
    /// A common word that is not a name: `Error`.
    fn is_ordinary(&self) -> bool {
        self.kind == WordKind::Regular && self.entry.is_common_word() && !self.entry.is_name()
    }

    fn is_unambiguous_name(&self) -> bool {
        self.kind == WordKind::Regular && self.entry.is_unambiguous_name()
    }

    fn is_unknown(&self) -> bool {
        self.kind == WordKind::Regular && self.entry == LexiconEntry::default()
    }
}

/// Adds the names in the run of capitalized words that begins at `start`, and returns the end of the run.
pub(super) fn match_capitalized_run(
    text: Text<'_>,
    start: usize,
    email_local_parts: &[String],
    words: &mut Vec<Word>,
    found: &mut Vec<NameMatch>,
) -> usize {
    collect_capitalized_words(text, start, words);
    let Some(last) = words.last() else {
        return text.skip_while(start, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80).max(start + 1);
    };
    let end = last.range.end;
    let name = |words: &[Word]| Some(words.first()?.range.start..words.last()?.range.end);
    // Ordinary words split the run into parts, each of which may be a name: `Dear Ada Lovelace Thanks`.
    let mut from = 0;
    while from < words.len() {
        let part = words.get(from..).unwrap_or_default();
        if part.first().is_some_and(|word| word.is_ordinary() || word.kind == WordKind::Particle) {
            from += 1;
            continue;
        }
        let len = part.iter().position(Word::is_ordinary).unwrap_or(part.len());
        let mut run = part.get(..len).unwrap_or_default();
        while run.last().is_some_and(|word| word.kind == WordKind::Particle) {
            run = run.get(..run.len() - 1).unwrap_or_default();
        }
        if let Some(range) = name(run) {
            if let Some(end) = given_name_after_comma(text, run) {
                found.push(NameMatch::Certain(range.start..end));
                return end;
            }
            if is_abbreviation(text, run) {
                // Not a name, regardless of the words next to it.
            } else if is_vocative(text, run) || is_name_by_lexicon(run) || occurs_in_email(text, run, email_local_parts) {
                found.push(NameMatch::Certain(range));
            } else {
                found.extend(match_by_context(text, run, range, part.get(len..).unwrap_or_default()));
            }
        }
        from += len.max(1);
    }
    end
}

/// `MAC`, `MAX`: a single word in capitals is an abbreviation and not a name.
fn is_abbreviation(text: Text<'_>, run: &[Word]) -> bool {
    matches!(run, [word] if text.slice(word.range.clone()).chars().all(char::is_uppercase))
}

/// Whether the words around a run make it a name. `range` is the range of the run, `following` are the words after it, the first of which is
/// an ordinary word.
fn match_by_context(text: Text<'_>, run: &[Word], mut range: Range<usize>, following: &[Word]) -> Option<NameMatch> {
    let is_two_or_three = (2..=3).contains(&run.len());
    match cue(text, range.start) {
        // `my name is Zyrqel`, but not `my name is Will`: at least one word must be unknown or only a name. After a title it may also be a
        // common word: `Mr. Page`.
        Some(cue @ (Cue::Strong | Cue::Title))
            if run.len() <= 4
                && run
                    .iter()
                    .any(|word| word.is_unknown() || word.is_unambiguous_name() || (cue == Cue::Title && word.entry.is_name())) =>
        {
            // `Dear Augustín Macho`: the last word may be an ordinary word and a family name.
            if run.len() == 1
                && let [next] = following
                && !next.entry.is_name()
                && run.iter().all(|word| word.is_unknown() || word.is_unambiguous_name())
            {
                range.end = next.range.end;
            }
            Some(NameMatch::Certain(range))
        }
        // `hi Marguerite`, but not `hi Zyrqel`.
        Some(Cue::Weak) if run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_given_name()) && run.len() <= 4 => {
            Some(NameMatch::Certain(range))
        }
        // `regards, Zyrqel Oyelaran`, but not `from Oyelaran`: a family name alone is not enough.
        Some(Cue::Weak) if (2..=4).contains(&run.len()) && run.iter().any(Word::is_unambiguous_name) => Some(NameMatch::Certain(range)),
        // Two or three words that fill a field, follow a cue or include a known name: `<td>Zyrqel Vantroba</td>`.
        _ if is_two_or_three && is_delimited(text, &range) => Some(NameMatch::Candidate(range)),
        Some(_) if is_two_or_three => Some(NameMatch::Candidate(range)),
        _ if is_two_or_three && run.iter().any(Word::is_unambiguous_name) => Some(NameMatch::Candidate(range)),
        // `Joseph wants a refund`, but not `Joseph, a` or `Joseph.`: a given name as the subject of a sentence.
        _ if run.len() == 1
            && run.iter().all(|word| word.is_unambiguous_name() && word.entry.is_given_name())
            && text.byte_at(range.end) == b' '
            && text.byte_at(range.end + 1).is_ascii_lowercase() =>
        {
            Some(NameMatch::Candidate(range))
        }
        _ => None,
    }
}

/// Whether the lexicon alone identifies a run as a name: a given name, and another word that may be a name.
fn is_name_by_lexicon(run: &[Word]) -> bool {
    let words = run.iter().filter(|word| word.kind != WordKind::Particle).count();
    if !(2..=5).contains(&words) {
        return false;
    }
    let given = run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_given_name());
    let family = run.iter().any(|word| word.is_unambiguous_name() && word.entry.is_family_name());
    let unknown = run.iter().filter(|word| word.is_unknown()).count();
    let common_given = run.iter().any(|word| word.kind == WordKind::Regular && word.entry.is_given_name() && word.entry.is_common_word());
    // `Marguerite Oyelaran`, `Marguerite Zyrqel`, but not `Marguerite` with three unknown words.
    if given {
        return unknown <= 2;
    }
    // `J. Oyelaran`.
    if family && run.first().is_some_and(|word| word.kind == WordKind::Initial) {
        return unknown == 0;
    }
    // `Grace Oyelaran`: the given name is also a common word, so the family name must be known.
    family && common_given && unknown == 0
}

/// The end of the given name in `Hernandez, Joseph`. The given name must end the phrase: `Hernandez, Joseph went` is an enumeration.
fn given_name_after_comma(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [.., last] = run else { return None };
    let is_family_name = run.len() <= 2 && (last.is_unknown() || (last.is_unambiguous_name() && last.entry.is_family_name()));
    if !is_family_name || text.byte_at(last.range.end) != b',' || text.byte_at(last.range.end + 1) != b' ' {
        return None;
    }
    let given = word_at(text, last.range.end + 2, false)?;
    (given.is_unambiguous_name()
        && given.entry.is_given_name()
        && (!last.is_unknown() || !given.entry.is_family_name())
        && !matches!(text.byte_at(given.range.end), b' '))
    .then_some(given.range.end)
}

/// Whether a run is a form of address: `If this was not you, Mikael, reset your password`. After `you, ` the name may be unknown.
fn is_vocative(text: Text<'_>, run: &[Word]) -> bool {
    let [word] = run else { return false };
    let addressed = text.slice(word.range.start.saturating_sub(2)..word.range.start) == ", " && text.byte_at(word.range.end) == b',';
    let entry = word.is_unambiguous_name() && word.entry.is_given_name();
    addressed && (entry || (!word.entry.is_common_word() && text.0.get(..word.range.start).is_some_and(|left| left.ends_with(" you, "))))
}

/// Whether a run fills a table cell, an HTML tag or a quoted field.
fn is_delimited(text: Text<'_>, range: &Range<usize>) -> bool {
    matches!(text.byte_before(range.start), b'>' | b'"' | b'\'' | b'*' | b'|' | b';')
        && matches!(text.byte_at(range.end), b'<' | b'"' | b'\'' | b'*' | b'|' | b';')
}

/// Whether the local part of an email address in the text contains a word of the run: `Zyrqel Vantroba <z.vantroba@mail.example>`.
fn occurs_in_email(text: Text<'_>, run: &[Word], email_local_parts: &[String]) -> bool {
    !email_local_parts.is_empty()
        && run.len() <= 4
        && run.iter().filter(|word| word.kind == WordKind::Regular && word.range.len() >= 3).any(|word| {
            let folded: String =
                text.slice(word.range.clone()).to_lowercase().chars().filter_map(lexicon::fold).filter(|c| c.is_alphanumeric()).collect();
            let long_enough = folded.len() >= if run.len() > 1 { 3 } else { 5 };
            long_enough
                && (run.len() > 1 || !word.entry.is_common_word())
                && email_local_parts.iter().any(|local_part| local_part.contains(&folded))
        })
}

/// Collects the words of a run: capitalized words, with initials and particles between them.
fn collect_capitalized_words(text: Text<'_>, start: usize, words: &mut Vec<Word>) {
    words.clear();
    let mut at = start;
    while words.len() < WORDS_MAX {
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

fn word_at(text: Text<'_>, at: usize, inside: bool) -> Option<Word> {
    let rest = text.window(at, 80);
    let first = rest.chars().next()?;
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    let mut end = text.skip_while(at, 64, |byte| byte.is_ascii_alphabetic()) - at;
    let (mut uppers, mut is_mixed, mut last) = (0, false, ' ');
    let after = text.byte_at(at + end);
    if after < 0x80 && !matches!(after, b'\'' | b'-') {
        // Fast path for words of ASCII letters only, which nearly all are.
        let bytes = rest.as_bytes().get(..end).unwrap_or_default();
        uppers = bytes.iter().filter(|byte| byte.is_ascii_uppercase()).count();
        if uppers > 1 && uppers < end {
            is_mixed = bytes.windows(2).enumerate().any(|(index, pair)| {
                let prefix = rest.get(..=index).unwrap_or_default();
                matches!(pair, [a, b] if a.is_ascii_lowercase() && b.is_ascii_uppercase()) && !is_name_prefix(prefix)
            });
        }
        return word_of(text, at..at + end, uppers, is_mixed, inside);
    }
    end = 0;
    let mut letters = rest.char_indices().peekable();
    while let Some((index, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        if letter.is_alphabetic() {
            if letter.is_uppercase() {
                uppers += 1;
                let prefix = rest.get(..index).unwrap_or_default();
                is_mixed |= last.is_lowercase() && !is_name_prefix(prefix);
            }
        } else if !(matches!(letter, '\'' | '’' | '-') && next.is_some_and(char::is_alphabetic)) {
            break;
        }
        last = letter;
        end = index + letter.len_utf8();
    }
    word_of(text, at..at + end, uppers, is_mixed, inside)
}

fn is_name_prefix(prefix: &str) -> bool {
    matches!(prefix, "Mc" | "Mac" | "De" | "Di" | "Da" | "Le" | "La" | "Van" | "Von" | "Fitz" | "Du")
}

/// Classifies the word in `range`, which has `uppers` capitals. `is_mixed` tells whether a capital follows a lower-case letter. `None` if the
/// word cannot be part of a name.
fn word_of(text: Text<'_>, mut range: Range<usize>, uppers: usize, is_mixed: bool, inside: bool) -> Option<Word> {
    let shown = text.slice(range.clone());
    let first = shown.chars().next()?;
    if !first.is_uppercase() {
        let is_particle = matches!(
            shown,
            "de" | "da"
                | "do"
                | "dos"
                | "das"
                | "del"
                | "della"
                | "di"
                | "la"
                | "las"
                | "los"
                | "le"
                | "van"
                | "von"
                | "vom"
                | "zu"
                | "zur"
                | "den"
                | "der"
                | "ten"
                | "ter"
                | "af"
                | "av"
                | "bin"
                | "ibn"
                | "al"
                | "el"
                | "y"
                | "e"
                | "du"
                | "des"
                | "st"
                | "san"
                | "bint"
                | "op"
                | "auch"
                | "genannt"
        );
        return (inside && is_particle).then_some(Word { range, entry: LexiconEntry::default(), kind: WordKind::Particle });
    }
    // Identifiers of code: `ChatCompletion`, `snake_Case`, `Name2`, `call(`.
    let next = text.byte_at(range.end);
    if is_mixed || matches!(next, b'_' | b'(' | b'[') || next.is_ascii_digit() {
        return None;
    }
    let count = shown.chars().count();
    if count == 1 {
        // `J. Doe`, or `John J Doe` inside a run.
        let is_initial = next == b'.' && matches!(text.byte_at(range.end + 1), b' ' | b'+');
        if is_initial {
            range.end += 1;
        }
        return (is_initial || (next == b' ' && inside)).then_some(Word { range, entry: LexiconEntry::default(), kind: WordKind::Initial });
    }
    // `Module.function`, `Module::function`.
    if next == b'.' && text.byte_at(range.end + 1).is_ascii_alphanumeric() || next == b':' && text.byte_at(range.end + 1) == b':' {
        return None;
    }
    let entry = look_up(shown);
    // `SELECT`, `HTTP`: a word in capitals is a name only if the lexicon lists it as one (`OYELARAN`).
    if uppers == count && uppers > 1 && !entry.is_unambiguous_name() {
        return None;
    }
    Some(Word { range, entry, kind: WordKind::Regular })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cue {
    /// A title or a salutation (`Dear`): a name follows, even if it is a common word.
    Title,
    /// A name follows, known or unknown (`my name is`).
    Strong,
    /// A name may follow (`hi`, `from`).
    Weak,
}

static CUES: LazyLock<HashMap<&'static str, Cue, FixedState>> = LazyLock::new(|| {
    let mut cues = HashMap::with_hasher(FixedState::default());
    for line in include_str!("rules/cues.txt").lines().filter(|line| !line.starts_with('#')) {
        let (line, cue) = match (line.strip_prefix("!!"), line.strip_prefix('!')) {
            (Some(line), _) => (line, Cue::Title),
            (None, Some(line)) => (line, Cue::Strong),
            (None, None) => (line, Cue::Weak),
        };
        for words in line.split('|') {
            cues.insert(words, cue);
        }
    }
    cues
});

/// The last word of every cue, to exclude most positions with one lookup.
static CUE_ENDS: LazyLock<HashSet<&'static str, FixedState>> =
    LazyLock::new(|| CUES.keys().filter_map(|words| words.rsplit(' ').next()).collect());

/// A word of ASCII letters in lower case; empty if it does not fit into the buffer.
fn lower_ascii<'b>(word: &str, buffer: &'b mut [u8; 32]) -> &'b str {
    let Some(lower) = buffer.get_mut(..word.len()) else { return "" };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).unwrap_or_default()
}

/// The cue that ends before `start`.
fn cue(text: Text<'_>, start: usize) -> Option<Cue> {
    let skip = |byte: u8| matches!(byte, b' ' | b'"' | b'\'' | b'*' | b'(' | b'\n' | b'\r' | b'`' | b':' | b'>');
    let end = text.skip_back_while(start, 4, skip);
    if end == start {
        return None;
    }
    // Most words before a capital do not end a cue; this check needs no allocation.
    let last_start = text.skip_back_while(end, 32, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b':' | b';' | b'(' | b'"'));
    let last = text.slice(last_start..end);
    if last.is_ascii()
        && !CUE_ENDS.contains(lower_ascii(last.trim_end_matches([',', '!']), &mut [0; 32]))
        && !CUE_ENDS.contains(lower_ascii(last, &mut [0; 32]))
    {
        return None;
    }
    // Up to four words before `start` in lower case, with trailing punctuation. The longest cue wins.
    let from = {
        let mut from = end.saturating_sub(48);
        while !text.0.is_char_boundary(from) {
            from += 1;
        }
        from
    };
    let left = text.slice(from..end);
    let left = left.rsplit(['\n', ':', ';', '(', '"']).next().unwrap_or(left).to_lowercase();
    let left = left.trim_start_matches(['-', '*', ' ', '>']);
    let mut cut = left.len();
    let mut best = None;
    for _ in 0..4 {
        let Some(part) = left.get(..cut) else { break };
        let at = part.trim_end().rfind(' ').map_or(0, |at| at + 1);
        let words = left.get(at..).unwrap_or_default().trim();
        if let Some(found) = CUES.get(words).or_else(|| CUES.get(words.trim_end_matches([',', '!']))) {
            best = Some(*found);
        }
        if at == 0 {
            break;
        }
        cut = at;
    }
    best
}

/// The name in a field. `strong` fields contain a name by their label (`full_name`); others only may (`user`).
pub(super) fn match_field_value(text: Text<'_>, range: Range<usize>, strong: bool) -> Option<NameMatch> {
    let shown = text.slice(range.clone());
    // The name before an address: `Gary Franklin <g.franklin@…>`, `Ashley Ferguson (ashley@…)`.
    let shown = shown.get(..shown.find(['<', '(', '/', '@', '\\']).unwrap_or(shown.len())).unwrap_or(shown).trim_end();
    let lead = shown.len() - shown.trim_start().len();
    let shown = shown.trim_start();
    let range = range.start + lead..range.start + lead + shown.len();
    // Names have no digits or code characters: `search_orders`, `user #3`, `what?`.
    if shown.is_empty()
        || shown.len() > 80
        || shown.bytes().any(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'{' | b'}' | b'$' | b'=' | b'#' | b':' | b'?' | b'!'))
    {
        return None;
    }
    if shown.chars().all(|letter| is_cjk(letter) || matches!(letter, ' ' | '\u{3000}' | '・')) {
        let letters = shown.chars().filter(|letter| is_cjk(*letter)).count();
        return match (strong, letters) {
            (true, 1..=10) => Some(NameMatch::Certain(range)),
            (false, 2..=8) => Some(NameMatch::Candidate(range)),
            _ => None,
        };
    }
    let words: Vec<&str> = shown.split([' ', '+', ',', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let is_letter = |c: char| c.is_alphabetic() || matches!(c, '\'' | '’' | '-' | '.' | '\u{300}'..='\u{36f}');
    if words.is_empty() || words.len() > 6 || !words.iter().all(|word| word.chars().all(is_letter) && word.starts_with(char::is_alphabetic))
    {
        return None;
    }
    let entry: Vec<LexiconEntry> = words.iter().map(|word| look_up(word.trim_end_matches('.'))).collect();
    // `ChatCompletion` is an identifier; `McDonald` and `O'Neil` are names.
    let is_code = words.iter().any(|word| {
        word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
            && !word.starts_with("Mc")
            && !word.starts_with("Mac")
            && !word.contains(['\'', '-'])
    });
    if is_code || entry.iter().all(|word| word.is_common_word() && !word.is_name()) {
        return None;
    }
    let has_capital = words.iter().any(|word| word.starts_with(char::is_uppercase));
    let has_case = shown.chars().any(|letter| letter.is_uppercase() || letter.is_lowercase());
    let only_names = entry.iter().filter(|word| word.is_unambiguous_name()).count();
    let given = entry.iter().any(|word| word.is_unambiguous_name() && word.is_given_name());
    let ordinary = entry.iter().filter(|word| word.is_common_word() && !word.is_name()).count();
    if strong {
        // `Maysa` and `maysa` (a known name), but not `true` or `the recipient of the message`.
        let accepted = (has_capital || !has_case || only_names > 0) && ordinary * 2 <= words.len();
        return accepted.then_some(NameMatch::Certain(range));
    }
    // `marguerite oyelaran`: in lower case only if all words are unambiguous names.
    if !has_capital {
        return (has_case && words.len() >= 2 && given && only_names == words.len()).then_some(NameMatch::Certain(range));
    }
    // A single given name, or a given name with unknown words, is certain; a family name with unknown words, or two to four unknown words,
    // are candidates; `Weather Api` (an ordinary word) is neither.
    match words.len() {
        1 => given.then_some(NameMatch::Certain(range)),
        _ if given && ordinary == 0 => Some(NameMatch::Certain(range)),
        _ if only_names > 0 && ordinary == 0 => Some(NameMatch::Candidate(range)),
        2..=4 if ordinary == 0 => Some(NameMatch::Candidate(range)),
        _ => None,
    }
}
