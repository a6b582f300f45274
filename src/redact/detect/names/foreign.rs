//! Names of a script without capitals (Arabic, Hebrew, Thai, Georgian, the scripts of India) inside Latin text: `Please call דנה today`. What
//! is written in another script there is most often a name; a cue, a verb of people, the lexicon or the English sentence confirm it.

use std::ops::Range;

use super::super::lexicon::{LexiconEntry, look_up};
use super::super::text::Text;
use super::cues::{self, Cue};
use super::{NameMatch, ends_greeting, ends_line, is_delimited};

const WORDS_MAX: usize = 4;

/// Bytes of a word; longer ones are phrases of a script without spaces.
const WORD_BYTES_MAX: usize = 60;

/// Whether a letter is of a script without capitals and with spaces between names.
pub(in super::super) fn is_foreign(letter: char) -> bool {
    matches!(letter, '\u{5d0}'..='\u{7ff}' | '\u{900}'..='\u{e7f}' | '\u{10d0}'..='\u{10ff}') && letter.is_alphabetic()
}

/// The end of the run of words of one script that begins at `start`, and the name that it may be.
pub(in super::super) fn match_foreign_run(text: Text<'_>, start: usize) -> (usize, Option<NameMatch>) {
    let Some((words, end)) = words_at(text, start) else { return (start + 1, None) };
    (end, name_of(text, &words))
}

/// The words from `start` and the end of the last one. `None` if the run goes on, or other text in the same script is next to it.
fn words_at(text: Text<'_>, start: usize) -> Option<(Vec<Range<usize>>, usize)> {
    // Items of an enumeration are in the same script.
    let is_gap = |byte: u8| byte.is_ascii() && !byte.is_ascii_alphanumeric() && byte != b',';
    let before = text.skip_back_while(start, 4, is_gap);
    if text.byte_before(before) >= 0x80 {
        return None;
    }
    let mut words = Vec::new();
    let mut at = start;
    while words.len() < WORDS_MAX {
        let shown = text.window(at, WORD_BYTES_MAX);
        let is_part = |letter: char| is_foreign(letter) || is_sign(letter);
        let end = shown.find(|letter| !is_part(letter)).unwrap_or(shown.len());
        if end == 0 || end == shown.len() && end + 3 >= WORD_BYTES_MAX {
            break;
        }
        words.push(at..at + end);
        at += end;
        if text.byte_at(at) != b' ' || !text.char_at(at + 1).is_some_and(is_foreign) {
            break;
        }
        at += 1;
    }
    let after = text.skip_while(at, 4, is_gap);
    (!words.is_empty() && text.byte_at(after) < 0x80).then_some((words, at))
}

fn name_of(text: Text<'_>, words: &[Range<usize>]) -> Option<NameMatch> {
    let range = words.first()?.start..words.last()?.end;
    let entries: Vec<LexiconEntry> = words.iter().map(|word| look_up(text.slice(word.clone()))).collect();
    let is_word = |(range, entry): (&Range<usize>, &LexiconEntry)| {
        entry.is_common_word() && !entry.is_name() || cues::is_stop(text.slice(range.clone()))
    };
    if range.len() < 4 || words.iter().zip(&entries).any(is_word) {
        return None;
    }
    let is_known = entries.iter().any(|entry| entry.is_unambiguous_name());
    let is_pair = words.len() >= 2;
    let is_cued = match cues::before(text, range.start) {
        Some(Cue::Title | Cue::Strong) => true,
        Some(Cue::Pair) => is_pair || is_known,
        Some(Cue::Greeting) => ends_greeting(text, range.end),
        Some(Cue::Closing) => ends_line(text, range.end),
        Some(Cue::Weak) | None => false,
    };
    let is_confirmed = || {
        cues::verb_after(text, range.end).is_some_and(|accepts_unknown| accepts_unknown || is_known)
            || (is_pair || is_known) && cues::is_in_english(text, &range)
            || is_known && (is_delimited(text, &range) || text.rest(range.end).starts_with(": "))
            // `דנה's address`.
            || text.rest(range.end).starts_with("'s ")
    };
    // Two words in a cell that no lexicon knows are more often a label.
    (is_cued || is_confirmed() || is_known && is_listed(text, &range)).then_some(NameMatch::Certain(range))
}

/// Whether a range is an item of an enumeration after Latin text: `the founders: דנה, משה and נועה`.
fn is_listed(text: Text<'_>, range: &Range<usize>) -> bool {
    const WINDOW_BYTES: usize = 80;
    let from = text.0.floor_char_boundary(range.start.saturating_sub(WINDOW_BYTES));
    let left = text.slice(from..range.start);
    let left = left.rsplit('\n').next().unwrap_or(left);
    let (before, after) = (left.ends_with(", ") || left.ends_with(" and ") || left.ends_with(": "), text.rest(range.end));
    let is_item = before && (after.starts_with([',', '.', ';', '\n']) || after.starts_with(" and ") || after.is_empty());
    is_item && left.bytes().filter(u8::is_ascii_alphabetic).count() >= 6
}

/// Vowel signs, tone marks and joiners, which are not all alphabetic, and marks inside words.
pub(super) fn is_sign(letter: char) -> bool {
    matches!(letter, '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{65f}' | '\u{900}'..='\u{dff}' | '\u{e30}'..='\u{e4e}' | '\u{200c}'..='\u{200d}')
        && !matches!(letter, '\u{964}' | '\u{965}')
        || matches!(letter, '״' | '׳')
}

#[cfg(test)]
mod tests {
    use super::super::super::{CustomDetectors, scan};

    fn persons(text: &str) -> Vec<String> {
        let found = scan(text, &CustomDetectors::default());
        found.into_iter().filter(|detection| detection.kind == "person").map(|detection| detection.value).collect()
    }

    #[test]
    fn names_of_another_script_inside_latin_text() {
        for (text, name) in [
            ("I spoke to זרקל ונטרובה about the order", "זרקל ונטרובה"),
            ("Please ask زركل فنتروبا to call us", "زركل فنتروبا"),
            ("Her maiden name is ვანტრობა.", "ვანტრობა"),
            ("Hi ज़रकल, thanks", "ज़रकल"),
            ("สรรเกล whispered something", "สรรเกล"),
            ("I wonder why خالد is late", "خالد"),
            ("the founders: דנה, משה and נועה.", "משה"),
            ("here is זרקל's address", "זרקל"),
        ] {
            assert!(persons(text).iter().any(|found| found == name), "{name} in {text:?}: {:?}", persons(text));
        }
        for text in [
            "the word שלום is common",
            "\"lang\": \"עברית\", \"greeting\": \"مرحبا\"",
            "<td>מספר דרכון</td><td>30884588</td>",
            "הוראות הפעלה: לחץ על הכפתור",
        ] {
            assert!(persons(text).is_empty(), "{text:?}: {:?}", persons(text));
        }
    }
}
