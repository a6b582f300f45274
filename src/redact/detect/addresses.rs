//! Postal addresses: chains of capitalised words and numbers with commas or line feeds between them, around a postal code, a word for a
//! street, or behind a label.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::labels::{Place, Tie, value_at};
use super::lexicon::look_up;
use super::text::{Text, is_cjk};
use super::view::View;
use super::{Found, cjk};

/// Longer than any address on an envelope.
const ADDRESS_BYTES_MAX: usize = 220;

/// A part of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Token {
    range: Range<usize>,
    kind: Kind,
    /// A comma or a line feed stands before it.
    starts_segment: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `Stuttgart`, `Suite`
    Capital,
    /// A word for a street, a house or a part of it.
    Street,
    /// `7`, `51/238`, `10d`, `62634`
    Number,
    /// `MI`, `L2`, `5QL`
    Code,
    /// `de la`, `im`
    Particle,
}

/// The address that a label names.
pub(super) fn at_label(view: &View<'_>, text: Text<'_>, place: Place) -> Option<Range<usize>> {
    if place.quote != 0 {
        let range = value_at(view, text, place, ADDRESS_BYTES_MAX * 2, |byte| matches!(byte, b'"' | b'\''));
        return is_address_text(text.slice(range.clone())).then_some(range);
    }
    let mut start = text.skip(place.start, 24, |byte| byte.is_ascii_whitespace() || byte == b'>');
    if place.tie != Tie::Said {
        let chain = chain(text, start);
        if let Some(range) = judged(text, &chain, true) {
            return Some(range);
        }
        let end = text.skip(start, ADDRESS_BYTES_MAX, |byte| !matches!(byte, b'\n' | b'\r' | b'|' | b'<' | b'"' | b';' | b'&' | b'}'));
        let shown = text.slice(start..end).trim_end();
        let words = shown.split_whitespace().count();
        let is_line = is_address_text(shown)
            && (2..=14).contains(&words)
            && shown.bytes().any(|byte| byte.is_ascii_digit())
            && !shown.contains(['=', '(', ':']);
        return (is_line || cjk::address_in(shown).is_some_and(|found| found.start < 4)).then(|| start..start + shown.len());
    }
    // A few words may stand between: `my address is`, `deliver it to the`.
    let limit = start + 60;
    while start < limit {
        let word_end =
            text.skip(start, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'.' | b'/' | b'\'' | b'-'));
        let is_start = token(text, start, true).is_some_and(|token| token.kind != Kind::Particle);
        if is_start {
            let chain = chain(text, start);
            if let Some(range) = judged(text, &chain, true) {
                return Some(range);
            }
        }
        if let Some(found) = cjk::address_in(text.window(start, ADDRESS_BYTES_MAX)).filter(|found| found.start < 12) {
            return Some(start + found.start..start + found.end);
        }
        let next = word_end.max(start + text.char_at(start).map_or(1, char::len_utf8));
        let blank = text.skip(next, 12, |byte| matches!(byte, b' ' | b':' | b'\n' | b'\r' | b',' | b'"'));
        if matches!(text.at(next), b'.' | b'{' | b'}' | b'(' | b'[') || blank == next && !text.char_at(next).is_some_and(is_cjk) {
            return None;
        }
        start = blank;
    }
    None
}

/// Whether a field that is named an address holds one.
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

/// Addresses that no label names: `at` is the first digit of a run.
pub(super) fn at_number(text: Text<'_>, at: usize) -> Option<Found> {
    let end = text.skip(at, 12, |byte| byte.is_ascii_digit());
    let digits = end - at;
    let found = |range: Range<usize>| Found { range, kind: "address", why: "street or postal code" };
    // `659 Jennifer Circles`, `12 Main Street`: a house number, then a street. Cheap to rule out.
    let next = text.skip(end, 1, |byte| byte.is_ascii_alphabetic());
    if digits <= 5 && text.at(next) == b' ' && (text.at(next + 1).is_ascii_uppercase() || text.at(next + 1) >= 0xc3) && text.starts_word(at)
    {
        let chain = chain(text, at);
        let street = chain.iter().take(5).skip(1).any(|token| token.kind == Kind::Street);
        if street && let Some(range) = judged(text, &chain, false) {
            return Some(found(range));
        }
    }
    let is_code = match digits {
        4 => follows_city(text, end),
        5 | 6 | 8 => follows_city(text, end) || city_before(text, at),
        2 => {
            text.at(end) == b'-'
                && text.bytes().get(end + 1..end + 4).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
                && text.ends_word(end + 4)
        }
        1 => is_british_code(text, at),
        3 => {
            text.at(end) == b' '
                && text.bytes().get(end + 1..end + 3).is_some_and(|code| code.iter().all(u8::is_ascii_digit))
                && follows_city(text, end + 3)
        }
        _ => false,
    };
    if !is_code {
        return None;
    }
    let start = chain_start(text, at)?;
    let chain = chain(text, start);
    let range = judged(text, &chain, false)?;
    (range.end > at && range.start < at).then(|| found(range))
}

/// A capitalised word that is no ordinary one follows the code, or `-NNN` and then the word (Brazil, USA).
fn follows_city(text: Text<'_>, end: usize) -> bool {
    let mut at = end;
    if text.at(at) == b'-' && text.at(at + 1).is_ascii_digit() {
        at = text.skip(at + 1, 5, |byte| byte.is_ascii_digit());
        return text.ends_word(at);
    }
    if text.at(at) != b' ' {
        return false;
    }
    at += 1;
    if !(text.at(at).is_ascii_uppercase() || text.at(at) >= 0xc3) {
        return false;
    }
    token(text, at, false).is_some_and(|token| token.kind == Kind::Capital && text.at(token.range.end) != b':')
}

/// `MI 62634`, `Mysore 979112`, `Guna-668403`
fn city_before(text: Text<'_>, at: usize) -> bool {
    if !matches!(text.before(at), b' ' | b'-') {
        return false;
    }
    let end = at - 1;
    let start = text.skip_back(end, 32, |byte| byte.is_ascii_alphabetic() || byte >= 0x80);
    let word = text.slice(start..end);
    let is_capital = word.chars().next().is_some_and(char::is_uppercase);
    is_capital && word.len() >= 2 && (word.len() == 2 || !look_up(word).is_common() || look_up(word).is_name())
}

/// `FK9 7RU`: the digit of the second part.
fn is_british_code(text: Text<'_>, at: usize) -> bool {
    let inward = text.at(at + 1).is_ascii_uppercase() && text.at(at + 2).is_ascii_uppercase() && text.ends_word(at + 3);
    if !inward || text.before(at) != b' ' {
        return false;
    }
    let start = text.skip_back(at - 1, 5, |byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
    let outward = text.bytes().get(start..at - 1).unwrap_or_default();
    let letters = outward.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    (1..=2).contains(&letters)
        && (2..=4).contains(&outward.len())
        && outward.get(letters).is_some_and(u8::is_ascii_digit)
        && text.starts_word(start)
}

/// Whether a chain is an address, and which part of it. Behind a label less is asked.
fn judged(text: Text<'_>, chain: &[Token], labelled: bool) -> Option<Range<usize>> {
    let numbers = chain
        .iter()
        .filter(|token| {
            matches!(token.kind, Kind::Number | Kind::Code) && text.slice(token.range.clone()).bytes().any(|byte| byte.is_ascii_digit())
        })
        .count();
    let segments = 1 + chain.iter().skip(1).filter(|token| token.starts_segment).count();
    let streets = chain.iter().filter(|token| token.kind == Kind::Street).count();
    let capitals = chain.iter().filter(|token| token.kind == Kind::Capital).count();
    let places = chain
        .iter()
        .filter(|token| {
            let word = text.slice(token.range.clone());
            token.kind == Kind::Capital && word.len() >= 3 && (!look_up(word).is_common() || look_up(word).is_name())
        })
        .count();
    let range = chain.first()?.range.start..chain.last()?.range.end;
    // `03 Nov 2026` is a date, `Lake June, ST2 5UJ` is none.
    let is_dated = chain.windows(2).any(|pair| {
        let [left, right] = pair else { return false };
        let is_month = |token: &Token| is_of_calendar(text.slice(token.range.clone()));
        (is_month(left) && right.kind == Kind::Number && !right.starts_segment) || (is_month(right) && left.kind == Kind::Number)
    });
    if is_dated || range.len() < 8 {
        return None;
    }
    let fits = if labelled {
        numbers >= 1 && capitals + streets >= 1 && (segments >= 2 || streets >= 1 || numbers >= 2)
    } else {
        (numbers >= 2 && segments >= 2 && places >= 1 && capitals + streets >= 2)
            || (streets >= 1 && numbers >= 1 && capitals >= 1 && (segments >= 2 || places >= 1))
    };
    fits.then_some(range)
}

fn is_of_calendar(word: &str) -> bool {
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

/// The longest chain from `start` on.
fn chain(text: Text<'_>, start: usize) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut at = start;
    let mut starts_segment = false;
    let mut line_feeds = 0;
    while at < start + ADDRESS_BYTES_MAX && tokens.len() < 28 {
        let Some(mut token) = token(text, at, starts_segment || tokens.is_empty()) else { break };
        // `Mobile: 0752…` on the next line is another field, and a name in brackets is no part.
        if matches!(text.at(token.range.end), b':' | b'=' | b'(' | b'@' | b'_') {
            break;
        }
        token.starts_segment = starts_segment;
        at = token.range.end;
        let word = text.slice(token.range.clone());
        let is_short = token.kind == Kind::Street || word.contains('.') || (token.kind == Kind::Capital && word.chars().count() <= 3);
        let is_sentence_end = text.at(at) == b'.' && !is_short && text.at(at + 1) != b',';
        tokens.push(token);
        if is_sentence_end {
            break;
        }
        if text.at(at) == b'.' {
            at += 1;
        }
        let gap = text.skip(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'\t'));
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
    while tokens.last().is_some_and(|token| token.kind == Kind::Particle) {
        tokens.pop();
    }
    // What follows the last number by more than a city and a country is the next sentence.
    if let Some(last) = tokens.iter().rposition(|token| matches!(token.kind, Kind::Number | Kind::Code)) {
        let keep = last + 1 + 5;
        tokens.truncate(keep.max(last + 1));
    }
    tokens
}

/// Where a chain that holds `anchor` begins: leftwards over words and numbers, to the house number or the street before it.
fn chain_start(text: Text<'_>, anchor: usize) -> Option<usize> {
    let mut at = anchor;
    let mut start = None;
    let mut segments = 0;
    for _ in 0..24 {
        let gap = text.skip_back(at, 6, |byte| matches!(byte, b' ' | b',' | b'\n' | b'\r' | b'-' | b'/' | b'+' | b'.'));
        let between = text.slice(gap..at);
        if gap == at || between.matches('\n').count() > 1 || anchor - gap > 160 {
            break;
        }
        // A full stop that ends a sentence.
        let word_before = text.slice(text.skip_back(gap, 24, |byte| byte.is_ascii_alphabetic() || byte >= 0x80)..gap).to_lowercase();
        let ends_sentence = between.starts_with(". ") && word_before.len() > 5 && !is_street_word(&word_before);
        if ends_sentence || (between.contains('.') && !between.starts_with('.')) {
            break;
        }
        let word_start =
            text.skip_back(gap, 40, |byte| byte.is_ascii_alphanumeric() || byte >= 0x80 || matches!(byte, b'\'' | b'/' | b'.'));
        if word_start == gap {
            break;
        }
        segments += usize::from(between.contains([',', '\n']));
        let Some(token) = token(text, word_start, true) else { break };
        if token.range.end < gap && !text.slice(token.range.end..gap).chars().all(|sign| sign == '.')
            || matches!(text.before(word_start), b'_' | b'@' | b'=' | b'$') && text.before(word_start) != b'='
        {
            break;
        }
        if is_of_calendar(text.slice(token.range.clone())) {
            // `January 27, 2019 Pompano Beach`: the numbers are a date.
            return None;
        }
        at = word_start;
        match token.kind {
            Kind::Particle => {}
            _ => start = Some(word_start),
        }
        if segments > 5 {
            break;
        }
    }
    start
}

/// The part of a chain at `at`.
fn token(text: Text<'_>, at: usize, may_open: bool) -> Option<Token> {
    let rest = text.window(at, 64);
    let first = rest.chars().next()?;
    let made = |len: usize, kind: Kind| Some(Token { range: at..at + len, kind, starts_segment: false });
    if let Some(none) = ["S/N", "s/n", "N°", "n°", "Nº", "nº"].into_iter().find(|none| rest.starts_with(none)) {
        return made(none.len(), Kind::Number);
    }
    if rest.starts_with("'s-") {
        let inner = token(text, at + 3, false)?;
        return made(inner.range.end - at, Kind::Capital);
    }
    if first == '#' && text.at(at + 1).is_ascii_digit() {
        return made(text.skip(at + 1, 6, |byte| byte.is_ascii_digit()) - at, Kind::Number);
    }
    if first.is_ascii_digit() {
        let end = text.skip(at, 14, |byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-'));
        let shown = text.slice(at..end).trim_end_matches(['-', '/']);
        let digits = shown.bytes().filter(u8::is_ascii_digit).count();
        let letters = shown.bytes().filter(u8::is_ascii_alphabetic).count();
        let longest = shown.split(['-', '/']).map(str::len).max().unwrap_or(0);
        let free = text.at(at + shown.len()) != b'.' || !text.at(at + shown.len() + 1).is_ascii_digit();
        return (digits <= 9
            && longest <= 8
            && letters <= 3
            && free
            && text.at(at + shown.len()) != b':'
            && text.at(at + shown.len()) != b'%')
            .then(|| made(shown.len(), Kind::Number))?;
    }
    if !first.is_alphabetic() || is_cjk(first) {
        return None;
    }
    let mut end = 0;
    let mut letters = rest.char_indices().peekable();
    while let Some((index, letter)) = letters.next() {
        let next = letters.peek().map(|(_, next)| *next);
        let goes_on = letter.is_alphanumeric() || (matches!(letter, '\'' | '’' | '-' | '.') && next.is_some_and(char::is_alphanumeric));
        if !goes_on {
            break;
        }
        // `Guna-668403`: the code is a part of its own.
        if letter == '-' && next.is_some_and(|next| next.is_ascii_digit()) {
            break;
        }
        end = index + letter.len_utf8();
    }
    let shown = rest.get(..end)?;
    let has_digit = shown.bytes().any(|byte| byte.is_ascii_digit());
    if has_digit {
        let is_code = shown.len() <= 5 && shown.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit());
        return is_code.then(|| made(end, Kind::Code))?;
    }
    let lower = shown.to_lowercase();
    if is_street_word(&lower) && (first.is_uppercase() || may_open || is_abbreviation(&lower)) {
        return made(end, Kind::Street);
    }
    if first.is_uppercase() {
        let count = shown.chars().count();
        let is_capitals = count > 1 && shown.chars().all(char::is_uppercase);
        let is_code_name = shown.chars().zip(shown.chars().skip(1)).any(|(a, b)| a.is_lowercase() && b.is_uppercase());
        if is_capitals && count <= 3 {
            return made(end, Kind::Code);
        }
        return (!is_code_name).then(|| made(end, Kind::Capital))?;
    }
    is_particle(&lower).then(|| made(end, Kind::Particle))?
}

fn is_particle(word: &str) -> bool {
    STREETS.particles.contains(word)
}

fn is_abbreviation(word: &str) -> bool {
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
            | "place"
            | "boulevard"
            | "avenue"
            | "impasse"
            | "travessa"
    )
}

/// Words for streets, houses and parts of them, in the languages of Europe, the Americas and India (`rules/street_words.txt`).
fn is_street_word(word: &str) -> bool {
    // `string` and the like end as streets do.
    STREETS.words.contains(word)
        || (word.len() > 6 && !word.ends_with("tring") && STREETS.endings.iter().any(|ending| word.ends_with(ending)))
}

/// The file: words one to a blank, endings in lines that begin with `-`, small words between others in lines that begin with `+`.
struct Streets {
    words: HashSet<&'static str, FixedState>,
    endings: Vec<&'static str>,
    particles: HashSet<&'static str, FixedState>,
}

static STREETS: LazyLock<Streets> = LazyLock::new(|| {
    let mut streets = Streets { words: HashSet::default(), endings: Vec::new(), particles: HashSet::default() };
    for line in include_str!("rules/street_words.txt").lines().filter(|line| !line.starts_with('#')) {
        match (line.strip_prefix('-'), line.strip_prefix('+')) {
            (Some(endings), _) => streets.endings.extend(endings.split_whitespace()),
            (_, Some(particles)) => streets.particles.extend(particles.split_whitespace()),
            _ => streets.words.extend(line.split_whitespace()),
        }
    }
    streets
});

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, find};

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
            let found = find(&text, &CustomDetectors::default());
            let hit = found.iter().find(|hit| hit.kind == "address").unwrap_or_else(|| panic!("{address}"));
            assert!(hit.value.len() + 4 >= address.len(), "{:?}", hit.value);
        }
        for text in [
            "Last-Modified: Tue, 03 Nov 2026 10:00:00 GMT",
            "Python 3.12.3117 (main, Oct  1 2026, 10:00:00) [GCC 13.2.0] on linux",
            "Error code: 429 - Limit 30000, Used 28914, Requested 2381. Please try again",
            "Windows Server 2019, Version 1809",
            "The Paris release is on 12 April. Revenue rose to 5,568,953,218 from 6,893,221,479",
        ] {
            assert!(
                find(text, &CustomDetectors::default()).iter().all(|hit| hit.kind != "address"),
                "{text}: {:?}",
                find(text, &CustomDetectors::default())
            );
        }
    }
}
