//! Names of people: by the lexicon, by the words before them, and in fields that hold names.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::lexicon::{self, Known, look_up};
use super::text::{Text, is_cjk};

/// Longer runs of capitalised words are titles.
const WORDS_MAX: usize = 6;

/// What is said of words that may be a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    Name(Range<usize>),
    /// A name if something beside it belongs to a person.
    Maybe(Range<usize>),
}

/// A word of a run that may be a name.
#[derive(Debug, Clone)]
pub(super) struct Word {
    range: Range<usize>,
    known: Known,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// `J.`
    Initial,
    /// `van`, `de la`
    Particle,
    Word,
}

impl Word {
    /// An ordinary word and no name.
    fn is_ordinary(&self) -> bool {
        self.role == Role::Word && self.known.is_common() && !self.known.is_name()
    }

    fn is_only_name(&self) -> bool {
        self.role == Role::Word && self.known.is_only_name()
    }

    fn is_unknown(&self) -> bool {
        self.role == Role::Word && self.known == Known::default()
    }
}

/// Where a run of capitalised words that begins at `start` ends, and the names in it.
pub(super) fn at_capital(text: Text<'_>, start: usize, mails: &[String], words: &mut Vec<Word>, found: &mut Vec<Verdict>) -> usize {
    capitalised_words(text, start, words);
    let Some(last) = words.last() else {
        return text.skip(start, usize::MAX, |byte| byte.is_ascii_alphabetic() || byte >= 0x80).max(start + 1);
    };
    let end = last.range.end;
    let name = |words: &[Word]| Some(words.first()?.range.start..words.last()?.range.end);
    // Nothing in the run is known as a name, and it is too short to be one by its neighbours: most runs end here.
    let mut from = 0;
    while from < words.len() {
        let part = words.get(from..).unwrap_or_default();
        if part.first().is_some_and(|word| word.is_ordinary() || word.role == Role::Particle) {
            from += 1;
            continue;
        }
        let len = part.iter().position(Word::is_ordinary).unwrap_or(part.len());
        let mut run = part.get(..len).unwrap_or_default();
        while run.last().is_some_and(|word| word.role == Role::Particle) {
            run = run.get(..run.len() - 1).unwrap_or_default();
        }
        if let Some(mut range) = name(run) {
            if let Some(end) = given_after_comma(text, run) {
                range.end = end;
                found.push(Verdict::Name(range));
                return end;
            }
            if let [word] = run
                && text.slice(word.range.clone()).chars().all(char::is_uppercase)
            {
                // `MAC`, `MAX`: one word in capitals is an abbreviation.
            } else if is_vocative(text, run) || is_name(run) || is_in_mail(text, run, mails) {
                found.push(Verdict::Name(range));
            } else {
                match cue(text, range.start) {
                    Some(cue @ (Cue::Strong | Cue::Title))
                        if run.len() <= 4
                            && run
                                .iter()
                                .any(|word| word.is_unknown() || word.is_only_name() || (cue == Cue::Title && word.known.is_name())) =>
                    {
                        // `Dear Augustín Macho`: a family name may be an ordinary word.
                        if let (1, Some(next)) = (run.len(), part.get(len))
                            && !next.known.is_name()
                            && len + 1 == part.len()
                            && run.iter().all(|word| word.is_unknown() || word.is_only_name())
                        {
                            range.end = next.range.end;
                        }
                        found.push(Verdict::Name(range));
                    }
                    Some(Cue::Weak) if run.iter().any(|word| word.is_only_name() && word.known.is_given()) && run.len() <= 4 => {
                        found.push(Verdict::Name(range));
                    }
                    Some(Cue::Weak) if (2..=4).contains(&run.len()) && run.iter().any(Word::is_only_name) => {
                        found.push(Verdict::Name(range));
                    }
                    _ if (2..=3).contains(&run.len()) && is_set_apart(text, &range) => found.push(Verdict::Maybe(range)),
                    Some(_) if (2..=3).contains(&run.len()) => found.push(Verdict::Maybe(range)),
                    _ if (2..=3).contains(&run.len()) && run.iter().any(Word::is_only_name) => found.push(Verdict::Maybe(range)),
                    // `Joseph wants a refund`
                    _ if run.len() == 1
                        && run.iter().all(|word| word.is_only_name() && word.known.is_given())
                        && text.at(range.end) == b' '
                        && text.at(range.end + 1).is_ascii_lowercase() =>
                    {
                        found.push(Verdict::Maybe(range));
                    }
                    _ => {}
                }
            }
        }
        from += len.max(1);
    }
    end
}

/// Whether a run of words is a name by the lexicon alone: a given name and another word that may be one.
fn is_name(run: &[Word]) -> bool {
    let words = run.iter().filter(|word| word.role != Role::Particle).count();
    if !(2..=5).contains(&words) {
        return false;
    }
    let given = run.iter().any(|word| word.is_only_name() && word.known.is_given());
    let family = run.iter().any(|word| word.is_only_name() && word.known.is_family());
    let unknown = run.iter().filter(|word| word.is_unknown()).count();
    let common_given = run.iter().any(|word| word.role == Role::Word && word.known.is_given() && word.known.is_common());
    if given {
        return unknown <= 2;
    }
    // `J. Oyelaran`
    if family && run.first().is_some_and(|word| word.role == Role::Initial) {
        return unknown == 0;
    }
    family && common_given && unknown == 0
}

/// `Hernandez, Joseph`: where the given name ends.
fn given_after_comma(text: Text<'_>, run: &[Word]) -> Option<usize> {
    let [.., last] = run else { return None };
    let is_family = run.len() <= 2 && (last.is_unknown() || (last.is_only_name() && last.known.is_family()));
    if !is_family || text.at(last.range.end) != b',' || text.at(last.range.end + 1) != b' ' {
        return None;
    }
    let given = word_at(text, last.range.end + 2, false)?;
    (given.is_only_name()
        && given.known.is_given()
        && (!last.is_unknown() || !given.known.is_family())
        && !matches!(text.at(given.range.end), b' '))
    .then_some(given.range.end)
}

/// `If this was not you, Mikael, reset your password.`
fn is_vocative(text: Text<'_>, run: &[Word]) -> bool {
    let [word] = run else { return false };
    let addressed = text.slice(word.range.start.saturating_sub(2)..word.range.start) == ", " && text.at(word.range.end) == b',';
    let known = word.is_only_name() && word.known.is_given();
    addressed && (known || (!word.known.is_common() && text.0.get(..word.range.start).is_some_and(|left| left.ends_with(" you, "))))
}

/// Whether a run fills a cell, a tag or a quoted field.
fn is_set_apart(text: Text<'_>, range: &Range<usize>) -> bool {
    matches!(text.before(range.start), b'>' | b'"' | b'\'' | b'*' | b'|' | b';')
        && matches!(text.at(range.end), b'<' | b'"' | b'\'' | b'*' | b'|' | b';')
}

/// Whether a mail address near by is made of the words of the run.
fn is_in_mail(text: Text<'_>, run: &[Word], mails: &[String]) -> bool {
    !mails.is_empty()
        && run.len() <= 4
        && run.iter().filter(|word| word.role == Role::Word && word.range.len() >= 3).any(|word| {
            let folded: String = text
                .slice(word.range.clone())
                .to_lowercase()
                .chars()
                .filter_map(lexicon::fold)
                .filter(|sign| sign.is_alphanumeric())
                .collect();
            let long_enough = folded.len() >= if run.len() > 1 { 3 } else { 5 };
            long_enough && (run.len() > 1 || !word.known.is_common()) && mails.iter().any(|mail| mail.contains(&folded))
        })
}

/// The words of a run: capitalised, with initials and particles between them.
fn capitalised_words(text: Text<'_>, start: usize, words: &mut Vec<Word>) {
    words.clear();
    let mut at = start;
    while words.len() < WORDS_MAX {
        let Some(word) = word_at(text, at, !words.is_empty()) else { break };
        at = word.range.end;
        words.push(word);
        let separator = match text.at(at) {
            b' ' | b'+' => 1,
            0xc2 if text.at(at + 1) == 0xa0 => 2,
            _ => break,
        };
        if matches!(text.at(at + separator), b' ' | b'\n') {
            break;
        }
        at += separator;
    }
    while words.last().is_some_and(|word| word.role == Role::Particle) {
        words.pop();
    }
}

fn word_at(text: Text<'_>, at: usize, inside: bool) -> Option<Word> {
    let rest = text.window(at, 80);
    let first = rest.chars().next()?;
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    let mut end = text.skip(at, 64, |byte| byte.is_ascii_alphabetic()) - at;
    let (mut uppers, mut is_mixed, mut last) = (0, false, ' ');
    let after = text.at(at + end);
    if after < 0x80 && !matches!(after, b'\'' | b'-') {
        // Letters of ASCII alone, as nearly every word.
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

/// The word in `range` with `uppers` capitals, `is_mixed` where one follows a small letter.
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
        return (inside && is_particle).then_some(Word { range, known: Known::default(), role: Role::Particle });
    }
    // `ChatCompletion`, `snake_Case`, `module.Class`, `Name2`, `call(`: names of code.
    let next = text.at(range.end);
    if is_mixed || matches!(next, b'_' | b'(' | b'[') || next.is_ascii_digit() {
        return None;
    }
    let count = shown.chars().count();
    if count == 1 {
        let is_initial = next == b'.' && matches!(text.at(range.end + 1), b' ' | b'+');
        if is_initial {
            range.end += 1;
        }
        return (is_initial || (next == b' ' && inside)).then_some(Word { range, known: Known::default(), role: Role::Initial });
    }
    if next == b'.' && text.at(range.end + 1).is_ascii_alphanumeric() || next == b':' && text.at(range.end + 1) == b':' {
        return None;
    }
    let known = look_up(shown);
    // `SELECT`, `HTTP`: capitals alone are a name only where the lexicon has it.
    if uppers == count && uppers > 1 && !known.is_only_name() {
        return None;
    }
    Some(Word { range, known, role: Role::Word })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cue {
    /// A title or a greeting: a name follows, also one that is an ordinary word.
    Title,
    /// A name follows, known or not.
    Strong,
    /// A name may follow.
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

/// The last words of all cues.
static CUE_ENDS: LazyLock<HashSet<&'static str, FixedState>> =
    LazyLock::new(|| CUES.keys().filter_map(|words| words.rsplit(' ').next()).collect());

/// A word of ASCII letters in lower case; empty where the buffer is too short for it.
fn lower_ascii<'b>(word: &str, buffer: &'b mut [u8; 32]) -> &'b str {
    let Some(lower) = buffer.get_mut(..word.len()) else { return "" };
    lower.copy_from_slice(word.as_bytes());
    lower.make_ascii_lowercase();
    std::str::from_utf8(lower).unwrap_or_default()
}

/// What the words before `start` say of what follows.
fn cue(text: Text<'_>, start: usize) -> Option<Cue> {
    let skip = |byte: u8| matches!(byte, b' ' | b'"' | b'\'' | b'*' | b'(' | b'\n' | b'\r' | b'`' | b':' | b'>');
    let end = text.skip_back(start, 4, skip);
    if end == start {
        return None;
    }
    // Most words before a capital end no cue; that is told without a copy.
    let last_start = text.skip_back(end, 32, |byte| !byte.is_ascii_whitespace() && !matches!(byte, b':' | b';' | b'(' | b'"'));
    let last = text.slice(last_start..end);
    if last.is_ascii()
        && !CUE_ENDS.contains(lower_ascii(last.trim_end_matches([',', '!']), &mut [0; 32]))
        && !CUE_ENDS.contains(lower_ascii(last, &mut [0; 32]))
    {
        return None;
    }
    // The last three words in lower case, with a comma or a full stop that ends them.
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

/// The name in a field that holds one (`strong`), or may hold one.
pub(super) fn in_field(text: Text<'_>, range: Range<usize>, strong: bool) -> Option<Verdict> {
    let shown = text.slice(range.clone());
    // `Gary Franklin <g.franklin@…>`, `Ashley Ferguson (ashley@…)`
    let shown = shown.get(..shown.find(['<', '(', '/', '@', '\\']).unwrap_or(shown.len())).unwrap_or(shown).trim_end();
    let lead = shown.len() - shown.trim_start().len();
    let shown = shown.trim_start();
    let range = range.start + lead..range.start + lead + shown.len();
    if shown.is_empty()
        || shown.len() > 80
        || shown.bytes().any(|byte| byte.is_ascii_digit() || matches!(byte, b'_' | b'{' | b'}' | b'$' | b'=' | b'#' | b':' | b'?' | b'!'))
    {
        return None;
    }
    if shown.chars().all(|letter| is_cjk(letter) || matches!(letter, ' ' | '\u{3000}' | '・')) {
        let letters = shown.chars().filter(|letter| is_cjk(*letter)).count();
        return match (strong, letters) {
            (true, 1..=10) => Some(Verdict::Name(range)),
            (false, 2..=8) => Some(Verdict::Maybe(range)),
            _ => None,
        };
    }
    let words: Vec<&str> = shown.split([' ', '+', ',', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let is_letter = |sign: char| sign.is_alphabetic() || matches!(sign, '\'' | '’' | '-' | '.' | '\u{300}'..='\u{36f}');
    if words.is_empty() || words.len() > 6 || !words.iter().all(|word| word.chars().all(is_letter) && word.starts_with(char::is_alphabetic))
    {
        return None;
    }
    let known: Vec<Known> = words.iter().map(|word| look_up(word.trim_end_matches('.'))).collect();
    let is_code = words.iter().any(|word| {
        word.chars().zip(word.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase())
            && !word.starts_with("Mc")
            && !word.starts_with("Mac")
            && !word.contains(['\'', '-'])
    });
    if is_code || known.iter().all(|word| word.is_common() && !word.is_name()) {
        return None;
    }
    let has_capital = words.iter().any(|word| word.starts_with(char::is_uppercase));
    let has_case = shown.chars().any(|letter| letter.is_uppercase() || letter.is_lowercase());
    let only_names = known.iter().filter(|word| word.is_only_name()).count();
    let given = known.iter().any(|word| word.is_only_name() && word.is_given());
    let ordinary = known.iter().filter(|word| word.is_common() && !word.is_name()).count();
    if strong {
        let accepted = (has_capital || !has_case || only_names > 0) && ordinary * 2 <= words.len();
        return accepted.then_some(Verdict::Name(range));
    }
    if !has_capital {
        return (has_case && words.len() >= 2 && given && only_names == words.len()).then_some(Verdict::Name(range));
    }
    match words.len() {
        1 => given.then_some(Verdict::Name(range)),
        _ if given && ordinary == 0 => Some(Verdict::Name(range)),
        _ if only_names > 0 && ordinary == 0 => Some(Verdict::Maybe(range)),
        2..=4 if ordinary == 0 => Some(Verdict::Maybe(range)),
        _ => None,
    }
}
