//! Finds postal addresses: chains of capitalized words and numbers, separated by commas or line feeds.
//!
//! A chain is searched for after a label, at a house number with a street word (`12 Main Street`), and around a postal code (`55372 Stuttgart`).
//! [`validate_chain`] decides whether it is an address.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::decoded_text::DecodedText;
use super::labels::{LabelSyntax, ValueStart, value_range};
use super::lexicon::look_up;
use super::text::{Text, is_cjk};
use super::{Match, cjk};

/// Length of an address; longer than any on an envelope.
const ADDRESS_BYTES_MAX: usize = 220;

/// Length of one word or number of an address.
const PART_BYTES_MAX: usize = 64;

/// A part of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    range: Range<usize>,
    kind: PartKind,
    /// Whether a comma or a line feed precedes it.
    starts_segment: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum PartKind {
    /// A capitalized word: `Stuttgart`.
    Capital,
    /// A word for a street, a house or a part of it: `Street`, `Apt`.
    Street,
    /// `7`, `51/238`, `10d`, `62634`.
    Number,
    /// A short code of capitals and digits: `MI`, `L2`, `5QL`.
    Code,
    /// A small word inside a name: `de la`, `im`.
    Particle,
}

/// The address after a label.
pub(super) fn after_label(decoded: &DecodedText<'_>, text: Text<'_>, value_start: ValueStart) -> Option<Range<usize>> {
    if value_start.quote != 0 {
        let range = value_range(decoded, text, value_start, ADDRESS_BYTES_MAX * 2, |byte| matches!(byte, b'"' | b'\''));
        return is_address_text(text.slice(range.clone())).then_some(range);
    }
    let mut start = text.skip_while(value_start.offset, 24, |byte| byte.is_ascii_whitespace() || byte == b'>');
    if value_start.syntax != LabelSyntax::Sentence {
        let chain = chain(text, start);
        if let Some(range) = validate_chain(text, &chain, true) {
            return Some(range);
        }
        let end =
            text.skip_while(start, ADDRESS_BYTES_MAX, |byte| !matches!(byte, b'\n' | b'\r' | b'|' | b'<' | b'"' | b';' | b'&' | b'}'));
        let shown = text.slice(start..end).trim_end();
        let words = shown.split_whitespace().count();
        // A line that is not a chain, but has the length and form of an address, and is not code: `address: rear building, door 3`.
        let is_line = is_address_text(shown)
            && (2..=14).contains(&words)
            && shown.bytes().any(|byte| byte.is_ascii_digit())
            && !shown.contains(['=', '(', ':']);
        return (is_line || cjk::address_in(shown).is_some_and(|found| found.start < 4)).then(|| start..start + shown.len());
    }
    // A few words may follow the label: `my address is …`, `deliver it to the …`.
    let limit = start + 60;
    while start < limit {
        let word_end =
            text.skip_while(start, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'/' | b'\'' | b'-'));
        let is_start = part_at(text, start, true).is_some_and(|part| part.kind != PartKind::Particle);
        if is_start {
            let chain = chain(text, start);
            if let Some(range) = validate_chain(text, &chain, true) {
                return Some(range);
            }
        }
        if let Some(found) = cjk::address_in(text.window(start, ADDRESS_BYTES_MAX)).filter(|found| found.start < 12) {
            return Some(start + found.start..start + found.end);
        }
        let next = word_end.max(start + text.char_at(start).map_or(1, char::len_utf8));
        let blank = text.skip_while(next, 12, |byte| matches!(byte, b' ' | b':' | b'\n' | b'\r' | b',' | b'"'));
        if matches!(text.byte_at(next), b'.' | b'{' | b'}' | b'(' | b'[') || blank == next && !text.char_at(next).is_some_and(is_cjk) {
            return None;
        }
        start = blank;
    }
    None
}

/// Whether the value of a field with an address label has the form of an address: `7 Grant Squares, Martinfort`, but not `unknown`,
/// `0x7f8de1a4008d`, a URL or code.
fn is_address_text(value: &str) -> bool {
    let value = value.trim();
    let letters = value.chars().filter(|letter| letter.is_alphabetic()).count();
    let has_number = value.chars().any(char::is_numeric);
    let has_cjk = value.chars().any(is_cjk);
    let words = value.split([' ', '+', '\n', ',']).filter(|word| !word.is_empty()).count();
    (6..=ADDRESS_BYTES_MAX * 2).contains(&value.len())
        && letters >= 4
        && (words >= 2 || has_cjk)
        && (has_number || has_cjk || (value.contains(',') && value.chars().any(char::is_uppercase)))
        && !value.contains("://")
        && !value.contains(['{', '}', '=', '@', '_', '<', '>'])
        && words <= 24
}

/// The address around a number without a label. `at` is the first digit of a run.
pub(super) fn at_number(text: Text<'_>, at: usize) -> Option<Match> {
    let end = text.skip_while(at, 12, |byte| byte.is_ascii_digit());
    let digits = end - at;
    let found = |range: Range<usize>| Match { range, kind: "address", detector: "street or postal code" };
    // A house number, then a street: `659 Jennifer Circles`, `12 Main Street`. Cheap to exclude.
    let next = text.skip_while(end, 1, |byte| byte.is_ascii_alphabetic());
    if digits <= 5
        && text.byte_at(next) == b' '
        && (text.byte_at(next + 1).is_ascii_uppercase() || text.byte_at(next + 1) >= 0xc3)
        && text.is_word_start(at)
    {
        let chain = chain(text, at);
        let street = chain.iter().take(5).skip(1).any(|part| part.kind == PartKind::Street);
        if street && let Some(range) = validate_chain(text, &chain, false) {
            return Some(found(range));
        }
    }
    // By the number of digits: `8318 Haugland`; `55372 Stuttgart`, `Mysore 979112`; `78-023 Ostrów`; `FK9 7RU`; `110 00 Praha`.
    let is_postal_code = match digits {
        4 => follows_city(text, end),
        5 | 6 | 8 => follows_city(text, end) || city_before(text, at),
        2 => {
            text.byte_at(end) == b'-'
                && text.bytes().get(end + 1..end + 4).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
                && text.is_word_end(end + 4)
        }
        1 => is_british_code(text, at),
        3 => {
            text.byte_at(end) == b' '
                && text.bytes().get(end + 1..end + 3).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
                && follows_city(text, end + 3)
        }
        _ => false,
    };
    if !is_postal_code {
        return None;
    }
    let start = chain_start(text, at)?;
    let chain = chain(text, start);
    let range = validate_chain(text, &chain, false)?;
    (range.end > at && range.start < at).then(|| found(range))
}

/// Whether a capitalized word follows the postal code at `end`, or a second part of the code (`01310-100`, `90210-1234`).
fn follows_city(text: Text<'_>, end: usize) -> bool {
    let mut at = end;
    if text.byte_at(at) == b'-' && text.byte_at(at + 1).is_ascii_digit() {
        at = text.skip_while(at + 1, 5, |byte| byte.is_ascii_digit());
        return text.is_word_end(at);
    }
    if text.byte_at(at) != b' ' {
        return false;
    }
    at += 1;
    if !(text.byte_at(at).is_ascii_uppercase() || text.byte_at(at) >= 0xc3) {
        return false;
    }
    part_at(text, at, false).is_some_and(|part| part.kind == PartKind::Capital && text.byte_at(part.range.end) != b':')
}

/// Whether a city or a state precedes the postal code: `MI 62634`, `Mysore 979112`, `Guna-668403`, but not `Error 979112`.
fn city_before(text: Text<'_>, at: usize) -> bool {
    if !matches!(text.byte_before(at), b' ' | b'-') {
        return false;
    }
    let end = at - 1;
    let start = text.skip_back_while(end, 32, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let word = text.slice(start..end);
    let is_capital = word.chars().next().is_some_and(char::is_uppercase);
    is_capital && word.len() >= 2 && (word.len() == 2 || !look_up(word).is_common_word() || look_up(word).is_name())
}

/// Whether `at` is the digit of the second part of a British postal code: `7` in `FK9 7RU`.
fn is_british_code(text: Text<'_>, at: usize) -> bool {
    let inward = text.byte_at(at + 1).is_ascii_uppercase() && text.byte_at(at + 2).is_ascii_uppercase() && text.is_word_end(at + 3);
    if !inward || text.byte_before(at) != b' ' {
        return false;
    }
    let start = text.skip_back_while(at - 1, 5, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let outward = text.bytes().get(start..at - 1).unwrap_or_default();
    let letters = outward.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (1..=2).contains(&letters)
        && (2..=4).contains(&outward.len())
        && outward.get(letters).is_some_and(u8::is_ascii_digit)
        && text.is_word_start(start)
}

/// The range of a chain if it is an address. After a label, less is required.
fn validate_chain(text: Text<'_>, chain: &[Part], labelled: bool) -> Option<Range<usize>> {
    let numbers = chain
        .iter()
        .filter(|part| {
            matches!(part.kind, PartKind::Number | PartKind::Code)
                && text.slice(part.range.clone()).bytes().any(|byte| byte.is_ascii_digit())
        })
        .count();
    let segments = 1 + chain.iter().skip(1).filter(|part| part.starts_segment).count();
    let streets = chain.iter().filter(|part| part.kind == PartKind::Street).count();
    let capitals = chain.iter().filter(|part| part.kind == PartKind::Capital).count();
    let places = chain
        .iter()
        .filter(|part| {
            let word = text.slice(part.range.clone());
            part.kind == PartKind::Capital && word.len() >= 3 && (!look_up(word).is_common_word() || look_up(word).is_name())
        })
        .count();
    let range = chain.first()?.range.start..chain.last()?.range.end;
    // `03 Nov 2026` is a date; `Lake June, ST2 5UJ` is not.
    let is_dated = chain.windows(2).any(|pair| {
        let [left, right] = pair else { return false };
        let is_month = |part: &Part| is_calendar_word(text.slice(part.range.clone()));
        (is_month(left) && right.kind == PartKind::Number && !right.starts_segment) || (is_month(right) && left.kind == PartKind::Number)
    });
    if is_dated || range.len() < 8 {
        return None;
    }
    let is_address = if labelled {
        // `7 Grant Squares, Martinfort`, but not `Unit 3`: a number, a word, and a second segment, street word or number.
        numbers >= 1 && capitals + streets >= 1 && (segments >= 2 || streets >= 1 || numbers >= 2)
    } else {
        // `Schenkstr. 38, 55372 Stuttgart` by its numbers and segments; `12 Main Street, Springfield` by its street word. `Windows Server
        // 2019, Version 1809` has no place name.
        (numbers >= 2 && segments >= 2 && places >= 1 && capitals + streets >= 2)
            || (streets >= 1 && numbers >= 1 && capitals >= 1 && (segments >= 2 || places >= 1))
    };
    is_address.then_some(range)
}

/// Whether a word is the name of a month or a weekday, or a time zone.
fn is_calendar_word(word: &str) -> bool {
    matches!(
        word.trim_end_matches('.'),
        "Jan"
            | "Feb"
            | "Mar"
            | "Apr"
            | "May"
            | "Jun"
            | "Jul"
            | "Aug"
            | "Sep"
            | "Sept"
            | "Oct"
            | "Nov"
            | "Dec"
            | "Mon"
            | "Tue"
            | "Wed"
            | "Thu"
            | "Fri"
            | "Sat"
            | "Sun"
            | "January"
            | "February"
            | "April"
            | "June"
            | "July"
            | "October"
            | "November"
            | "December"
            | "GMT"
            | "UTC"
    )
}

/// The longest chain from `start`.
fn chain(text: Text<'_>, start: usize) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    let mut at = start;
    let mut starts_segment = false;
    let mut line_feeds = 0;
    while at < start + ADDRESS_BYTES_MAX && parts.len() < 28 {
        let Some(mut part) = part_at(text, at, starts_segment || parts.is_empty()) else { break };
        // `Mobile: 0752…` on the next line is another field, and `Name (…)`, `x@…`, `snake_case` are not part of an address.
        if matches!(text.byte_at(part.range.end), b':' | b'=' | b'(' | b'@' | b'_') {
            break;
        }
        part.starts_segment = starts_segment;
        at = part.range.end;
        // `Springfield.` ends the sentence, but `St.`, `Apt.` and `P.O.` are abbreviations.
        let word = text.slice(part.range.clone());
        let is_short = part.kind == PartKind::Street || word.contains('.') || (part.kind == PartKind::Capital && word.chars().count() <= 3);
        let is_sentence_end = text.byte_at(at) == b'.' && !is_short && text.byte_at(at + 1) != b',';
        parts.push(part);
        if is_sentence_end {
            break;
        }
        if text.byte_at(at) == b'.' {
            at += 1;
        }
        let gap = text.skip_while(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'\t'));
        let between = text.slice(at..gap);
        if gap == at || between.matches('\n').count() > 1 || between.matches(',').count() > 2 {
            break;
        }
        line_feeds += between.matches('\n').count();
        if line_feeds > 5 {
            break;
        }
        starts_segment = between.contains([',', '\n']);
        at = gap;
    }
    while parts.last().is_some_and(|part| part.kind == PartKind::Particle) {
        parts.pop();
    }
    // At most a city and a country follow the last number. Further words belong to the next sentence.
    if let Some(last) = parts.iter().rposition(|part| matches!(part.kind, PartKind::Number | PartKind::Code)) {
        let keep = last + 1 + 5;
        parts.truncate(keep.max(last + 1));
    }
    parts
}

/// The start of the chain that contains `anchor`, going left over words and numbers to the house number or the street.
fn chain_start(text: Text<'_>, anchor: usize) -> Option<usize> {
    let mut at = anchor;
    let mut start = None;
    let mut segments = 0;
    for _ in 0..24 {
        let gap = text.skip_back_while(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'.'));
        let between = text.slice(gap..at);
        if gap == at || between.matches('\n').count() > 1 || anchor - gap > 160 {
            break;
        }
        // `… delivered. 55372 Stuttgart`: a full stop that ends a sentence, and not an abbreviation such as `Schenkstr.`.
        let word_before = text.slice(text.skip_back_while(gap, 24, |byte| byte.is_ascii_alphabetic() || byte >= 0x80)..gap).to_lowercase();
        let ends_sentence = between.starts_with(". ") && word_before.len() > 5 && !is_street_word(&word_before);
        if ends_sentence || (between.contains('.') && !between.starts_with('.')) {
            break;
        }
        let word_start =
            text.skip_back_while(gap, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'\'' | b'/' | b'.'));
        if word_start == gap {
            break;
        }
        segments += usize::from(between.contains([',', '\n']));
        let Some(part) = part_at(text, word_start, true) else { break };
        if part.range.end < gap && !text.slice(part.range.end..gap).chars().all(|c| c == '.')
            || matches!(text.byte_before(word_start), b'_' | b'@' | b'=' | b'$') && text.byte_before(word_start) != b'='
        {
            break;
        }
        if is_calendar_word(text.slice(part.range.clone())) {
            // `January 27, 2019 Pompano Beach`: the number is a part of a date.
            return None;
        }
        at = word_start;
        match part.kind {
            PartKind::Particle => {}
            _ => start = Some(word_start),
        }
        if segments > 5 {
            break;
        }
    }
    start
}

/// The part of a chain at `at`. `lower_case` tells whether a street word may be in lower case, as at the start of a segment (`rue de …`).
fn part_at(text: Text<'_>, at: usize, lower_case: bool) -> Option<Part> {
    let rest = text.window(at, PART_BYTES_MAX);
    let first = rest.chars().next()?;
    // "No number", or an abbreviation of "number".
    if let Some(marker) = ["S/N", "s/n", "N°", "n°", "Nº", "nº"].into_iter().find(|marker| rest.starts_with(marker)) {
        return Some(part(at, marker.len(), PartKind::Number));
    }
    // Dutch: `'s-Gravenhage`.
    if rest.starts_with("'s-") {
        let inner = part_at(text, at + 3, false)?;
        return Some(part(at, inner.range.end - at, PartKind::Capital));
    }
    if first == '#' && text.byte_at(at + 1).is_ascii_digit() {
        return Some(part(at, text.skip_while(at + 1, 6, |byte| byte.is_ascii_digit()) - at, PartKind::Number));
    }
    if first.is_ascii_digit() {
        return number_at(text, at);
    }
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    word_at(text, at, lower_case)
}

fn part(at: usize, len: usize, kind: PartKind) -> Part {
    Part { range: at..at + len, kind, starts_segment: false }
}

/// The number of a house or flat, or a postal code, that starts at `at`.
fn number_at(text: Text<'_>, at: usize) -> Option<Part> {
    let end = text.skip_while(at, 14, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-'));
    let shown = text.slice(at..end).trim_end_matches(['-', '/']);
    let digits = shown.bytes().filter(u8::is_ascii_digit).count();
    let letters = shown.bytes().filter(u8::is_ascii_alphabetic).count();
    let longest = shown.split(['-', '/']).map(str::len).max().unwrap_or(0);
    // `7`, `51/238`, `10d`, but not a decimal number, a time, a percentage, an id or a phone number.
    let is_integer = text.byte_at(at + shown.len()) != b'.' || !text.byte_at(at + shown.len() + 1).is_ascii_digit();
    (digits <= 9
        && longest <= 8
        && letters <= 3
        && is_integer
        && text.byte_at(at + shown.len()) != b':'
        && text.byte_at(at + shown.len()) != b'%')
        .then(|| part(at, shown.len(), PartKind::Number))
}

/// The word or code that starts with the letter at `at`.
fn word_at(text: Text<'_>, at: usize, lower_case: bool) -> Option<Part> {
    let rest = text.window(at, PART_BYTES_MAX);
    let first = rest.chars().next()?;
    let mut end = 0;
    let mut letters = rest.char_indices().peekable();
    while let Some((index, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        let continues = letter.is_alphanumeric() || (matches!(letter, '\'' | '’' | '-' | '.') && next.is_some_and(char::is_alphanumeric));
        if !continues {
            break;
        }
        // `Guna-668403`: the postal code is a separate part.
        if letter == '-' && next.is_some_and(|next| next.is_ascii_digit()) {
            break;
        }
        end = index + letter.len_utf8();
    }
    let shown = rest.get(..end)?;
    let has_digit = shown.bytes().any(|byte| byte.is_ascii_digit());
    if has_digit {
        let is_postal_code = shown.len() <= 5 && shown.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        return is_postal_code.then(|| part(at, end, PartKind::Code));
    }
    let lower = shown.to_lowercase();
    if is_street_word(&lower) && (first.is_uppercase() || lower_case || is_lower_case_street_word(&lower)) {
        return Some(part(at, end, PartKind::Street));
    }
    if first.is_uppercase() {
        let count = shown.chars().count();
        let is_capitals = count > 1 && shown.chars().all(char::is_uppercase);
        let is_code_name = shown.chars().zip(shown.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
        if is_capitals && count <= 3 {
            return Some(part(at, end, PartKind::Code));
        }
        return (!is_code_name).then(|| part(at, end, PartKind::Capital));
    }
    is_particle(&lower).then(|| part(at, end, PartKind::Particle))
}

fn is_particle(word: &str) -> bool {
    STREET_WORDS.particles.contains(word)
}

/// Whether a street word may be in lower case inside a segment.
fn is_lower_case_street_word(word: &str) -> bool {
    matches!(
        word,
        "ul" | "al"
            | "os"
            | "pl"
            | "c"
            | "av"
            | "str"
            | "ulica"
            | "aleja"
            | "plac"
            | "osiedle"
            | "rue"
            | "calle"
            | "via"
            | "rua"
            | "sok"
            | "mah"
            | "cad"
            | "apt"
            | "no"
            | "nr"
            | "вул"
            | "ул"
            | "площа"
            | "буд"
            | "кв"
            | "дом"
            | "пер"
            | "пр"
            | "г"
            | "chemin"
            | "sentier"
            | "allée"
            | "value_start"
            | "boulevard"
            | "avenue"
            | "impasse"
            | "travessa"
    )
}

/// Whether a word means a street, a house or a part of one, in the languages of `rules/street_words.txt`.
fn is_street_word(word: &str) -> bool {
    // `-ring` is an ending of German streets; `substring` is not a street.
    STREET_WORDS.words.contains(word)
        || (word.len() > 6 && !word.ends_with("tring") && STREET_WORDS.endings.iter().any(|ending| word.ends_with(ending)))
}

/// The contents of `rules/street_words.txt`: words separated by spaces; lines with `-` have endings, lines with `+` have particles.
struct StreetWords {
    words: HashSet<&'static str, FixedState>,
    endings: Vec<&'static str>,
    particles: HashSet<&'static str, FixedState>,
}

static STREET_WORDS: LazyLock<StreetWords> = LazyLock::new(|| {
    let mut street_words = StreetWords { words: HashSet::default(), endings: Vec::new(), particles: HashSet::default() };
    for line in include_str!("rules/street_words.txt").lines().filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix('-'), line.strip_prefix('+')) {
            (Some(endings), _) => street_words.endings.extend(endings.split_whitespace()),
            (_, Some(particles)) => street_words.particles.extend(particles.split_whitespace()),
            _ => street_words.words.extend(line.split_whitespace()),
        }
    }
    street_words
});

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};

    #[test]
    fn addresses_without_a_label() {
        for address in [
            "659 Jennifer Circles, Allenville, OH 18385",
            "7 Grant Squares, Martinfort, L2 5QL",
            "Schenkstr. 38, 55372 Stuttgart",
            "49, rue de Delannoy, 73227 Courtois",
            "plac Broniewskiego 91, 78-023 Ostrów Wielkopolski",
            "Gundersenstubben 15, 8318 Haugland",
            "H.No. 54, Comar Circle, Mysore 979112",
            "12 Main Street, Springfield",
        ] {
            let text = format!("please bring it over: {address}. Then wait");
            let found = scan(&text, &CustomDetectors::default());
            let detection = found.iter().find(|detection| detection.kind == "address").unwrap_or_else(|| panic!("{address}"));
            assert!(detection.value.len() + 4 >= address.len(), "{:?}", detection.value);
        }
        for text in [
            "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT",
            "Python 3.12.3117 (main, Oct  1 2026, 10:00:00) [GCC 13.2.0] on linux",
            "Error code: 429 - Limit 30000, Used 28914, Requested 2381. Please try again",
            "Windows Server 2019, Version 1809",
            "The Paris release is on 12 April. Revenue rose to 5,568,953,218 from 6,893,221,479",
        ] {
            assert!(
                scan(text, &CustomDetectors::default()).iter().all(|detection| detection.kind != "address"),
                "{text}: {:?}",
                scan(text, &CustomDetectors::default())
            );
        }
    }
}
