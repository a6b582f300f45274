//! Addresses in lower case: `899 qoru drive, apt 5b, indio, oh 29914`.

use std::ops::Range;

use super::super::lexicon::look_up;
use super::super::text::Text;

/// Length of an address in lower case.
const BYTES_MAX: usize = 120;

/// Words of an address in lower case.
const WORDS_MAX: usize = 16;

/// Streets whose words are telling in lower case.
fn is_telling_street(word: &str) -> bool {
    matches!(
        word.as_bytes(),
        b"street"
            | b"st"
            | b"avenue"
            | b"ave"
            | b"road"
            | b"rd"
            | b"drive"
            | b"dr"
            | b"lane"
            | b"ln"
            | b"court"
            | b"ct"
            | b"blvd"
            | b"boulevard"
            | b"place"
            | b"pl"
            | b"terrace"
            | b"parkway"
            | b"pkwy"
            | b"highway"
            | b"hwy"
            | b"way"
            | b"circle"
            | b"cir"
            | b"square"
            | b"rue"
            | b"impasse"
            | b"chemin"
            | b"all\xc3\xa9e"
            | b"quai"
            | b"route"
            | b"voie"
            | b"calle"
            | b"avenida"
            | b"via"
            | b"rua"
            | b"ulica"
            | b"ul"
    ) || word.len() > 5
        && word.ends_with(['e', 't', 'g', 'z', 'n'])
        && ["straße", "strasse", "straat", "weg", "gasse", "platz", "laan", "gatan", "vägen"]
            .iter()
            .any(|ending| word.len() > ending.len() + 2 && word.ends_with(ending))
}

/// A number of an address with its number of digits.
fn digits_of(word: &str) -> Option<usize> {
    // `d-64067`, `29723-1234`.
    let word = word
        .split_once('-')
        .map_or(word, |(prefix, code)| if prefix.len() <= 2 && !prefix.starts_with(|c: char| c.is_ascii_digit()) { code } else { prefix });
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    let letters = word.get(digits..)?;
    (digits > 0 && letters.len() <= 2 && letters.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')).then_some(digits)
}

/// A word with its range, and whether a comma or a line feed follows it.
type Word = (Range<usize>, bool);

/// The words from `start` to the end of the sentence.
fn words_from(text: Text<'_>, start: usize) -> Vec<Word> {
    let mut words = Vec::new();
    let mut at = start;
    while words.len() < WORDS_MAX && at < start + BYTES_MAX {
        let end = text.skip_while(at, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'\'' | b'-' | b'/'));
        if end == at {
            break;
        }
        let gap = text.skip_while(end, 3, |byte| matches!(byte, b' ' | b',' | b'\n' | b'.'));
        let between = text.slice(end..gap);
        words.push((at..end, between.contains([',', '\n'])));
        let is_sentence_end = between.starts_with('.') && end - at > 5;
        if gap == end || is_sentence_end || text.slice(at..end).starts_with(char::is_uppercase) && words.len() > 1 {
            break;
        }
        at = gap;
    }
    words
}

/// The range of an address in lower case that the words may be: a house number, and after a comma a postal code.
fn address(text: Text<'_>, words: &[Word], needs_street: bool) -> Option<Range<usize>> {
    let shown = |word: &Word| text.slice(word.0.clone());
    let has_street = words.iter().take(7).any(|word| is_telling_street(shown(word)));
    if needs_street && !has_street {
        return None;
    }
    let first_break = words.iter().position(|word| word.1)?;
    let house = words.iter().take(first_break + 2).position(|word| digits_of(shown(word)).is_some_and(|digits| digits <= 5))?;
    let postal = words.iter().enumerate().skip(first_break + 1).filter(|(index, _)| *index > house).find(|(index, word)| {
        let digits = digits_of(shown(word)).unwrap_or(0);
        let is_british = shown(word).len() == 3 && digits == 1 && words.get(index - 1).is_some_and(|outward| shown(outward).len() <= 4);
        matches!(digits, 4..=6) || is_british
    })?;
    let has_capital = words.iter().take(postal.0 + 1).any(|word| shown(word).starts_with(char::is_uppercase));
    let letters = words.iter().take(postal.0).filter(|word| shown(word).chars().all(char::is_alphabetic)).count();
    if has_capital || letters == 0 {
        return None;
    }
    // A city after the code: `12664 freudenberg`, `1234 ab baarn`. Before the code there is a city as well: `indio, oh 29914`.
    let is_after_break = words.get(postal.0 - 1).is_some_and(|word| word.1);
    let mut last = postal.0;
    if is_after_break {
        for word in words.iter().skip(postal.0 + 1).take(3) {
            let is_city = shown(word).len() == 2 || !look_up(shown(word)).is_common_word() || look_up(shown(word)).is_name();
            if !is_city {
                break;
            }
            last += 1;
            if word.1 {
                break;
            }
        }
        if last == postal.0 {
            return None;
        }
    }
    Some(words.first()?.0.start..words.get(last)?.0.end)
}

/// The address whose house number is at `at`.
pub(super) fn at_number(text: Text<'_>, at: usize, end: usize) -> Option<Range<usize>> {
    // Cheap to exclude: a word in lower case follows, and one of the next five means a street.
    if text.byte_at(end) != b' ' || !(text.byte_at(end + 1).is_ascii_lowercase() || text.byte_at(end + 1).is_ascii_digit()) || end - at > 5
    {
        return None;
    }
    let mut start = end + 1;
    let has_street = (0..5).any(|_| {
        let word_end = text.skip_while(start, 24, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte >= 0x80);
        let is_street = is_telling_street(text.slice(start..word_end));
        start = if text.byte_at(word_end) == b' ' { word_end + 1 } else { word_end };
        is_street
    });
    if !has_street {
        return None;
    }
    address(text, &words_from(text, at), true).or_else(|| short(text, at, end))
}

/// A house number and a street without a town, where an address is expected: `deliver it to 504 parkwood drive`, `"500 elm street"`.
fn short(text: Text<'_>, at: usize, end: usize) -> Option<Range<usize>> {
    let before = text.skip_back_while(at, 2, |byte| matches!(byte, b' ' | b':' | b'#'));
    let word = text.slice(text.skip_back_while(before, 12, |byte| byte.is_ascii_alphabetic())..before);
    let is_expected = matches!(word, "at" | "to" | "is" | "address" | "from" | "near" | "outside" | "for")
        || matches!(text.byte_before(at), b'"' | b'\'' | b'>')
        || at == 0;
    if !is_expected {
        return None;
    }
    let mut from = end + 1;
    for index in 0..4 {
        let to = text.skip_while(from, 24, |byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        let shown = text.slice(from..to);
        let is_street =
            matches!(shown, "street" | "avenue" | "road" | "drive" | "lane" | "boulevard" | "ave" | "blvd" | "rd" | "st" | "parkway");
        if is_street && index > 0 && text.is_word_end(to) && !matches!(text.byte_at(to), b'-' | b'_' | b'/') {
            // `500 elm street, springfield`.
            let rest = text.slice(to..text.skip_while(to, 30, |byte| byte.is_ascii_lowercase() || matches!(byte, b',' | b' ')));
            let town = rest.strip_prefix(", ").map_or(0, |town| town.find([',', ' ']).unwrap_or(town.len()));
            return Some(at..if town > 0 && !rest.contains(" and ") { to + 2 + town } else { to });
        }
        // `2 way street`, `500 gb hard drive`.
        let is_thing = matches!(
            shown,
            "way"
                | "lane"
                | "the"
                | "of"
                | "a"
                | "in"
                | "on"
                | "gb"
                | "tb"
                | "mb"
                | "hard"
                | "flash"
                | "usb"
                | "disk"
                | "test"
                | "more"
                | "and"
                | "side"
                | "mile"
                | "miles"
                | "km"
        );
        if shown.is_empty() || is_thing || text.byte_at(to) != b' ' {
            return None;
        }
        from = to + 1;
    }
    None
}

/// The address after a label in a sentence, without a street word: `my address is kornaue 367, 12664 freudenberg`.
pub(super) fn after_label(text: Text<'_>, start: usize) -> Option<Range<usize>> {
    let at = text.skip_while(start, 2, |byte| matches!(byte, b' ' | b':'));
    let at = ["is ", "to "].iter().find_map(|word| text.rest(at).starts_with(word).then(|| at + word.len())).unwrap_or(at);
    let byte = text.byte_at(at);
    if !byte.is_ascii_lowercase() && !byte.is_ascii_digit() {
        return None;
    }
    address(text, &words_from(text, at), false)
}
