//! Decodes single escapes: of JSON and programming languages, URLs, HTML, quoted-printable email and terminals.

use std::collections::HashMap;
use std::sync::LazyLock;

use foldhash::fast::FixedState;

use super::characters::{self, Shown};

/// A decoded escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Escape {
    /// Its length in the original text.
    pub(super) raw_len: usize,
    pub(super) shown: Shown,
}

impl Escape {
    fn new(raw_len: usize, shown: Shown) -> Self {
        Self { raw_len, shown }
    }

    /// An escape of `c`, which may itself be a special character.
    fn of(raw_len: usize, c: char) -> Self {
        let shown = if c.is_ascii() { None } else { characters::shown(c) };
        Self { raw_len, shown: shown.unwrap_or(Shown::Char(c)) }
    }
}

/// The escape at `at`, whose first byte is ASCII. `left` is the plain text that ends there.
pub(super) fn escape_at(bytes: &[u8], at: usize, is_mail: bool, left: &str) -> Option<Escape> {
    match bytes.get(at).copied()? {
        b'\\' => backslash(bytes, at, left),
        b'%' => percent(bytes, at),
        b'&' => entity(bytes.get(at..bytes.len().min(at + ENTITY_BYTES_MAX)).unwrap_or_default()),
        b'=' if is_mail => quoted_printable(bytes, at),
        0x1b => ansi(bytes, at).or(Some(Escape::new(1, Shown::Nothing))),
        0..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f => Some(Escape::new(1, Shown::Nothing)),
        _ => None,
    }
}

/// Whether the text is quoted-printable, so that `=40` encodes `@`: it declares that encoding, or long lines end in `=`.
pub(super) fn is_quoted_printable(bytes: &[u8]) -> bool {
    const LONG_LINE: usize = 50;
    let soft_breaks = memchr::memmem::find_iter(bytes, b"=\n").chain(memchr::memmem::find_iter(bytes, b"=\r\n"));
    let is_after_long_line = |at: usize| {
        let left = bytes.get(at.saturating_sub(LONG_LINE)..at).unwrap_or_default();
        left.len() == LONG_LINE && memchr::memchr(b'\n', left).is_none()
    };
    // Base64 also ends in `=`, but quoted-printable text escapes `=` and non-ASCII characters.
    let has_escapes = || ["=3D", "=40", "=20", "=C3", "=E2"].iter().any(|escape| memchr::memmem::find(bytes, escape.as_bytes()).is_some());
    (soft_breaks.take(100).any(is_after_long_line) && has_escapes()) || memchr::memmem::find(bytes, b"quoted-printable").is_some()
}

fn quoted_printable(bytes: &[u8], at: usize) -> Option<Escape> {
    match bytes.get(at + 1..)? {
        [b'\n', ..] => Some(Escape::new(2, Shown::Nothing)),
        [b'\r', b'\n', ..] => Some(Escape::new(3, Shown::Nothing)),
        _ => utf8_character(at, |at| {
            let digits = bytes.get(at + 1..at + 3).filter(|digits| !digits.iter().any(u8::is_ascii_lowercase))?;
            Some((byte_of(bytes.get(at) == Some(&b'='), hex_value(digits)?)?, 3))
        }),
    }
}

/// An escape of JSON or a programming language at any depth: `\"`, `\\\"`, `\u0040`, `\\x40`, `\100`; or of Markdown: `\_`.
fn backslash(bytes: &[u8], at: usize, left: &str) -> Option<Escape> {
    let depth = bytes.get(at..)?.iter().take(64).take_while(|byte| **byte == b'\\').count();
    let after = at + depth;
    let byte = |distance: usize| bytes.get(after + distance).copied().unwrap_or(0);
    let one = |c: char| Some(Escape::new(depth + 1, Shown::Char(c)));
    // `C:\Users\nora` is a path; its `\n` is not a line feed.
    let in_home = left.ends_with("Users") || left.ends_with("home") || left.ends_with("Settings");
    let escape = match byte(0) {
        quote @ (b'"' | b'\'' | b'/' | b'`') => one(char::from(quote)),
        b'n' if !in_home => one('\n'),
        b't' if !in_home => one('\t'),
        b'r' if !in_home => one('\r'),
        // Rust and JavaScript: `\u{40}`; Perl: `\x{40}`.
        b'u' | b'x' if byte(1) == b'{' => {
            let digits = bytes.get(after + 2..)?.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let c = printable(hex_value(bytes.get(after + 2..after + 2 + digits)?)?)?;
            (digits > 0 && byte(2 + digits) == b'}').then(|| Escape::of(depth + 3 + digits, c))
        }
        b'u' => unicode_escape(bytes, at, depth),
        // Python and C: `\U00000040`.
        b'U' if byte(1) == b'0' => {
            let c = printable(hex_value(bytes.get(after + 1..after + 9)?)?)?;
            Some(Escape::of(depth + 9, c))
        }
        b'x' => match hex_value(bytes.get(after + 1..after + 3)?)? {
            0x1b => Some(Escape::new(depth + 3 + sequence_len(bytes, after + 3)?, Shown::Nothing)),
            0 => Some(Escape::new(depth + 3, Shown::Nothing)),
            _ => utf8_character(at, |at| {
                let start = bytes.get(at..at + depth).is_some_and(|start| start.iter().all(|byte| *byte == b'\\'));
                let value = hex_value(bytes.get(at + depth + 1..at + depth + 3)?)?;
                Some((byte_of(start && bytes.get(at + depth) == Some(&b'x'), value)?, depth + 3))
            }),
        },
        b'0'..=b'3' if !in_home && !is_windows_path(left) => octal(bytes, at, depth),
        // Markdown, and regular expressions: `ada\_lovelace\@example\.com`.
        sign @ (b'_' | b'*' | b'-' | b'.' | b'@' | b'+' | b'#' | b'~')
            if !in_home
                && left.ends_with(|c: char| c.is_ascii_alphanumeric())
                && byte(1).is_ascii_alphanumeric()
                && !is_windows_path(left) =>
        {
            one(char::from(sign))
        }
        // A line that continues in the middle of a value.
        b'\n' if depth == 1 && left.ends_with(|c: char| c.is_ascii_alphanumeric()) && byte(1).is_ascii_alphanumeric() => {
            Some(Escape::new(2, Shown::Nothing))
        }
        _ => None,
    };
    escape.or_else(|| (depth > 1).then(|| Escape::new(depth, Shown::Char('\\'))).filter(|_| !matches!(byte(0), b'u' | b'x')))
}

/// Whether `left` ends in a path such as `C:` or `C:\dir`, in which a backslash is no escape.
fn is_windows_path(left: &str) -> bool {
    const WORD_BYTES_MAX: usize = 64;
    let word = left.bytes().rev().take(WORD_BYTES_MAX).take_while(|byte| !byte.is_ascii_whitespace() && !matches!(byte, b'"' | b'\''));
    left.ends_with(':') || word.into_iter().any(|byte| byte == b'\\')
}

/// `\u0040`, or two escapes of a surrogate pair.
fn unicode_escape(bytes: &[u8], at: usize, depth: usize) -> Option<Escape> {
    let unit = hex_value(bytes.get(at + depth + 1..at + depth + 5)?)?;
    let raw_len = depth + 5;
    if unit == 0x1b {
        return Some(Escape::new(raw_len + sequence_len(bytes, at + raw_len).unwrap_or(0), Shown::Nothing));
    }
    if (0xd800..0xdc00).contains(&unit) {
        let low_at = at + raw_len;
        let low_escape = bytes.get(low_at..low_at + depth + 1)?;
        if !low_escape.ends_with(b"u") || !low_escape.starts_with(b"\\") {
            return None;
        }
        let low = hex_value(bytes.get(low_at + depth + 1..low_at + depth + 5)?)?;
        let c = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?)?;
        return Some(Escape::of(2 * raw_len, c));
    }
    let c = char::from_u32(unit)?;
    let is_control = c.is_ascii_control() && !matches!(c, '\n' | '\t' | '\r');
    Some(if is_control { Escape::new(raw_len, Shown::Nothing) } else { Escape::of(raw_len, c) })
}

/// Three octal digits (`\101`, `\303\251`), also after a zero (`\0101`); or `\0`, which separates the letters of UTF-16.
fn octal(bytes: &[u8], at: usize, depth: usize) -> Option<Escape> {
    let digits_at = |at: usize| {
        let digits = bytes.get(at..at + 3)?;
        digits.iter().try_fold(0, |value, digit| Some(value * 8 + char::from(*digit).to_digit(8)?))
    };
    let one = |at: usize| {
        let is_escape = bytes.get(at..at + depth)?.iter().all(|byte| *byte == b'\\');
        let zero = usize::from(bytes.get(at + depth) == Some(&b'0') && digits_at(at + depth + 1).is_some());
        Some((byte_of(is_escape, digits_at(at + depth + zero)?)?, depth + zero + 3))
    };
    let is_nul = bytes.get(at + depth) == Some(&b'0') && !bytes.get(at + depth + 1).is_some_and(u8::is_ascii_digit);
    utf8_character(at, one).or_else(|| is_nul.then(|| Escape::new(depth + 1, Shown::Nothing)))
}

/// A percent-encoded character: `%40`, several `%XX` of one UTF-8 character, encoded twice (`%2540`), or of JavaScript (`%u0040`).
fn percent(bytes: &[u8], at: usize) -> Option<Escape> {
    if bytes.get(at + 1) == Some(&b'u') {
        return Some(Escape::of(6, printable(hex_value(bytes.get(at + 2..at + 6)?)?)?));
    }
    utf8_character(at, |from| {
        let mut digits = from + 1;
        // Each further level of encoding writes `%` as `%25`.
        while bytes.get(digits..digits + 2) == Some(b"25") && bytes.get(digits + 2).is_some_and(u8::is_ascii_hexdigit) {
            digits += 2;
        }
        let value = hex_value(bytes.get(digits..digits + 2)?)?;
        Some((byte_of(bytes.get(from) == Some(&b'%'), value)?, digits + 2 - from))
    })
}

/// The character whose UTF-8 bytes are escaped one by one from `at`. `octet` returns the byte of the escape at a position and its length.
fn utf8_character(at: usize, octet: impl Fn(usize) -> Option<(u8, usize)>) -> Option<Escape> {
    let (first, mut raw_len) = octet(at)?;
    if first.is_ascii() {
        return printable(u32::from(first)).map(|c| Escape::of(raw_len, c));
    }
    let mut buffer = [first, 0, 0, 0];
    let len = match first {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return None,
    };
    for byte in buffer.iter_mut().take(len).skip(1) {
        let (next, next_len) = octet(at + raw_len)?;
        *byte = next;
        raw_len += next_len;
    }
    let c = std::str::from_utf8(buffer.get(..len)?).ok()?.chars().next()?;
    Some(Escape::of(raw_len, c))
}

/// Length of the longest entity: the longest name, and a few levels of `&amp;`.
const ENTITY_BYTES_MAX: usize = 48;

/// The characters of named entities.
static ENTITIES: LazyLock<HashMap<&'static str, char, FixedState>> = LazyLock::new(|| {
    let mut entities = HashMap::with_hasher(FixedState::default());
    for line in include_str!("rules/entities.txt").lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.split(' ');
        let c = words.next().and_then(|code| u32::from_str_radix(code, 16).ok()).and_then(char::from_u32);
        entities.extend(words.filter_map(|name| Some((name, c?))));
    }
    entities
});

/// An HTML entity, numeric or named, also encoded more than once: `&#64;`, `&commat;`, `&amp;#64;`.
fn entity(bytes: &[u8]) -> Option<Escape> {
    let mut start = 1;
    // Each further level of encoding writes `&` as `&amp;`.
    while bytes
        .get(start..)
        .is_some_and(|rest| rest.starts_with(b"amp;") && rest.get(4).is_some_and(|next| *next == b'#' || next.is_ascii_alphabetic()))
        && named_or_numeric(bytes, start + 4).is_some()
    {
        start += 4;
    }
    let (c, end) = named_or_numeric(bytes, start)?;
    Some(Escape::of(end, c))
}

/// The character of the entity whose `&` ends before `start`, and its end.
fn named_or_numeric(bytes: &[u8], start: usize) -> Option<(char, usize)> {
    let rest = bytes.get(start..)?;
    if let Some(number) = rest.strip_prefix(b"#") {
        let (radix, digits_start) = if matches!(number.first(), Some(b'x' | b'X')) { (16, 1) } else { (10, 0) };
        let digits = number.get(digits_start..)?;
        let len = digits.iter().take(8).take_while(|byte| char::from(**byte).is_digit(radix)).count();
        let code = u32::from_str_radix(std::str::from_utf8(digits.get(..len)?).ok()?, radix).ok()?;
        let c = char::from_u32(code).filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))?;
        // The semicolon may be missing.
        let has_end = digits.get(len) == Some(&b';');
        return (has_end || len >= 2).then_some((c, start + 1 + digits_start + len + usize::from(has_end)));
    }
    let end = memchr::memchr(b';', rest)?;
    let name = std::str::from_utf8(rest.get(..end)?).ok()?;
    ENTITIES.get(name).map(|c| (*c, start + end + 1))
}

/// A terminal escape sequence for colours or cursor movement.
fn ansi(bytes: &[u8], at: usize) -> Option<Escape> {
    Some(Escape::new(1 + sequence_len(bytes, at + 1)?, Shown::Nothing))
}

/// The length of an escape sequence after its escape character (`[31m`), which may itself be written as an escape (`\u001b`).
fn sequence_len(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let parameters = bytes.get(at + 1..)?.iter().take(32).take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    bytes.get(at + 1 + parameters).filter(|byte| byte.is_ascii_alphabetic())?;
    Some(parameters + 2)
}

fn printable(code: u32) -> Option<char> {
    char::from_u32(code).filter(|c| !c.is_control() || matches!(c, '\n' | '\r' | '\t'))
}

/// The byte of an escape, if it is one.
fn byte_of(is_escape: bool, value: u32) -> Option<u8> {
    u8::try_from(value).ok().filter(|_| is_escape)
}

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| Some((value << 4) | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_in_full() {
        for (text, expected) in [
            (r"\u0040", '@'),
            (r"\\\\u0040", '@'),
            (r"\u{40}", '@'),
            (r"\x{40}", '@'),
            (r"\x40", '@'),
            (r"\U00000040", '@'),
            (r"\U0001F600", '😀'),
            (r"\100", '@'),
            (r"\0100", '@'),
            (r"\303\251", 'é'),
            (r"\xC3\xa9", 'é'),
            (r"\ud83d\ude00", '😀'),
            ("%40", '@'),
            ("%252540", '@'),
            ("%u0040", '@'),
            ("%C3%A9", 'é'),
            ("&#64;", '@'),
            ("&#x40;", '@'),
            ("&#64", '@'),
            ("&amp;#64;", '@'),
            ("&amp;amp;commat;", '@'),
            ("&commat;", '@'),
            ("&lowbar;", '_'),
            ("&eacute;", 'é'),
            ("&nbsp;", ' '),
            ("&NewLine;", '\n'),
            ("=40", '@'),
            ("=C3=A9", 'é'),
            (r"\uFF20", '@'),
        ] {
            assert_eq!(escape_at(text.as_bytes(), 0, true, ""), Some(Escape::new(text.len(), Shown::Char(expected))), "{text}");
        }
        for text in ["&shy;", "&zwnj;", r"\u200b", r"\u0000", r"\x00", r"\0", "=\n", "=\r\n", "\u{1b}[31m", r"\u001b[0m", "&#173;"] {
            assert_eq!(escape_at(text.as_bytes(), 0, true, ""), Some(Escape::new(text.len(), Shown::Nothing)), "{text}");
        }
        for text in ["%d", "%zz", "& b", "&copyright;", r"\d", r"\1", r"\400", r"\xC3(", "%C3(", "=c3", "&#;", "&#x;", "&a=1;", r"\u{}"] {
            assert_eq!(escape_at(text.as_bytes(), 0, true, ""), None, "{text}");
        }
    }

    #[test]
    fn a_backslash_in_a_path_is_no_escape() {
        for (left, text) in [(r"C:\data", r"\100"), ("C:", r"\0123"), ("Users", r"\nora"), (r"C:\ada", r"\_x"), ("a ", r"\_x")] {
            assert_eq!(escape_at(text.as_bytes(), 0, false, left), None, "{left}{text}");
        }
        assert_eq!(escape_at(br"\_b", 0, false, "a"), Some(Escape::new(2, Shown::Char('_'))));
        assert_eq!(escape_at(b"\\\nb", 0, false, "a"), Some(Escape::new(2, Shown::Nothing)));
    }
}
