//! Names in fields: the value of a label, a cell of a column, or the text of a tag.

use std::ops::Range;

use super::super::lexicon::{LexiconEntry, look_up};
use super::super::text::{Text, is_cjk};
use super::NameMatch;
use super::foreign::is_sign;

/// Words with which people introduce themselves, where a speaker is the label.
const INTRODUCTIONS: [&str; 8] = ["it's ", "it’s ", "its ", "this is ", "i'm ", "I'm ", "It's ", "This is "];

/// The name in a field. `strong` fields contain a name by their label (`full_name`); others only may (`user`).
pub(in super::super) fn match_field_value(text: Text<'_>, range: Range<usize>, strong: bool) -> Option<NameMatch> {
    let shown = text.slice(range.clone());
    // The name before an address: `Gary Franklin <g.franklin@…>`, `Ashley Ferguson (ashley@…)`.
    let shown = shown.get(..shown.find(['<', '(', '/', '@', '\\']).unwrap_or(shown.len())).unwrap_or(shown).trim_end();
    // `user: it's Marguerite, Zyrqel`: the words of a sentence before the name.
    let stem = INTRODUCTIONS.iter().find_map(|words| shown.trim_start().strip_prefix(words)).unwrap_or(shown).trim_start();
    let lead = shown.len() - stem.len();
    let shown = stem;
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
    let is_letter = |c: char| c.is_alphabetic() || matches!(c, '\'' | '’' | '-' | '.' | '\u{300}'..='\u{36f}') || is_sign(c);
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
    let names = entry.iter().filter(|word| word.is_name()).count();
    let only_names = entry.iter().filter(|word| word.is_unambiguous_name()).count();
    let given = entry.iter().any(|word| word.is_unambiguous_name() && word.is_given_name());
    // After a given name, a word that is common elsewhere may be a family name: `Maria Asp`.
    let has_given = entry.iter().any(|word| word.is_given_name());
    let ordinary =
        entry.iter().filter(|word| word.is_common_word() && !word.is_name() && !(has_given && word.is_common_elsewhere())).count();
    if strong {
        // `Maysa`, `maysa` (a known name) and `zyrqel vantroba`, but not `true` or `the recipient of the message`.
        if has_capital || !has_case || names > 0 {
            return (ordinary * 2 <= words.len()).then_some(NameMatch::Certain(range));
        }
        let is_plain = ordinary == 0 && words.iter().all(|word| word.chars().count() >= 3 && !word.contains('-'));
        return match words.len() {
            1 => is_plain.then_some(NameMatch::Candidate(range)),
            2..=4 => is_plain.then_some(NameMatch::Certain(range)),
            _ => None,
        };
    }
    // `marguerite oyelaran`: in lower case only if all words are unambiguous names.
    if !has_capital {
        let is_plain = has_case && (2..=4).contains(&words.len()) && ordinary == 0;
        // `marguerite will`: a word that is also common is a family name after a given name.
        if is_plain && only_names > 0 && names == words.len() {
            return Some(NameMatch::Certain(range));
        }
        // `jane zyrqel`; `zyrqel vantroba` if other personal data is close to it.
        let is_possible = is_plain && words.iter().all(|word| word.chars().count() >= 3 && !word.contains('-'));
        return is_possible.then_some(if given && entry.iter().all(|word| !word.is_common_word()) {
            NameMatch::Certain(range)
        } else {
            NameMatch::Candidate(range)
        });
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
