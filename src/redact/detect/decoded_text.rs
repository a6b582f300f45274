//! Decodes a text to what a reader sees, and maps positions back to the original.
//!
//! Undoes the escapes of JSON, programming languages, URLs, HTML and email at any nesting depth, and removes invisible characters and terminal
//! colours, which may otherwise break up a value. Base64 and hex are handled in [`super::encoded`].

use std::borrow::Cow;
use std::ops::Range;

/// A decoded text with a map to the original.
#[derive(Debug)]
pub(super) struct DecodedText<'t> {
    text: Cow<'t, str>,
    /// Segments of the decoded text, in order and without gaps; empty if nothing was decoded.
    segments: Vec<Segment>,
}

/// Corresponding bytes of the decoded and the original text: equal byte for byte, or one decoded character.
#[derive(Debug, Clone, Copy)]
struct Segment {
    decoded: usize,
    raw: usize,
    raw_len: usize,
    is_plain: bool,
}

impl<'t> DecodedText<'t> {
    /// Decodes `raw`.
    pub(super) fn new(raw: &'t str) -> Self {
        Decoder { raw, text: String::new(), segments: Vec::new(), plain_from: 0 }.decode()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Maps bytes of the decoded text to bytes of the original.
    pub(super) fn to_raw(&self, range: Range<usize>) -> Range<usize> {
        if self.segments.is_empty() || range.is_empty() {
            return range;
        }
        let (first, last) = (self.segment(range.start), self.segment(range.end - 1));
        let start = if first.is_plain { first.raw + (range.start - first.decoded) } else { first.raw };
        let end = if last.is_plain { last.raw + (range.end - last.decoded) } else { last.raw + last.raw_len };
        start..end
    }

    /// The number of original bytes that encode the decoded byte at `at`. Distinguishes a closing quote from an escaped one inside the value.
    pub(super) fn raw_len_at(&self, at: usize) -> usize {
        if self.segments.is_empty() {
            return 1;
        }
        let segment = self.segment(at);
        if segment.is_plain { 1 } else { segment.raw_len }
    }

    fn segment(&self, at: usize) -> Segment {
        let index = self.segments.partition_point(|segment| segment.decoded <= at).saturating_sub(1);
        self.segments.get(index).copied().unwrap_or(Segment { decoded: 0, raw: 0, raw_len: 0, is_plain: true })
    }
}

struct Decoder<'t> {
    raw: &'t str,
    text: String,
    segments: Vec<Segment>,
    /// Start of the original text that is not copied yet.
    plain_from: usize,
}

/// An encoded or invisible character. `c` is `None` if it is invisible.
struct DecodedChar {
    raw_len: usize,
    c: Option<char>,
}

impl<'t> Decoder<'t> {
    fn decode(mut self) -> DecodedText<'t> {
        let bytes = self.raw.as_bytes();
        let is_mail = is_quoted_printable(bytes);
        let is_control = |byte: &u8| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r') || *byte == 0x7f;
        let is_plain_ascii = self.raw.is_ascii() && !is_mail && !bytes.iter().any(is_control);
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let next = if is_plain_ascii {
                memchr::memchr3(b'\\', b'%', b'&', rest)
            } else {
                rest.iter().position(|byte| {
                    matches!(byte, b'\\' | b'%' | b'&' | 0xc2 | 0xcc | 0xcd | 0xd8 | 0xe1 | 0xe2 | 0xef | 0xf3)
                        || is_control(byte)
                        || (is_mail && *byte == b'=')
                })
            };
            let Some(distance) = next else { break };
            at += distance;
            let left = self.raw.get(self.plain_from..at).unwrap_or_default();
            match decoded_at(bytes, at, is_mail, left) {
                Some(decoded) => {
                    self.take(at, &decoded);
                    at += decoded.raw_len;
                }
                None => at += 1,
            }
        }
        if self.segments.is_empty() {
            return DecodedText { text: Cow::Borrowed(self.raw), segments: Vec::new() };
        }
        self.copy_until(self.raw.len());
        DecodedText { text: Cow::Owned(self.text), segments: self.segments }
    }

    fn copy_until(&mut self, at: usize) {
        if at > self.plain_from {
            self.segments.push(Segment { decoded: self.text.len(), raw: self.plain_from, raw_len: at - self.plain_from, is_plain: true });
            self.text.push_str(self.raw.get(self.plain_from..at).unwrap_or_default());
        }
    }

    fn take(&mut self, at: usize, decoded: &DecodedChar) {
        self.copy_until(at);
        if let Some(c) = decoded.c {
            self.segments.push(Segment { decoded: self.text.len(), raw: at, raw_len: decoded.raw_len, is_plain: false });
            self.text.push(c);
        } else if self.segments.is_empty() {
            // An empty segment marks the text as changed, although nothing was copied yet.
            self.segments.push(Segment { decoded: 0, raw: at, raw_len: 0, is_plain: false });
        }
        self.plain_from = at + decoded.raw_len;
    }
}

/// Whether the text is quoted-printable, so that `=40` encodes `@`: it declares that encoding, or long lines end in `=`.
fn is_quoted_printable(bytes: &[u8]) -> bool {
    const LONG_LINE: usize = 50;
    if memchr::memchr(b'=', bytes).is_none() {
        return false;
    }
    let soft_breaks = memchr::memmem::find_iter(bytes, b"=\n").chain(memchr::memmem::find_iter(bytes, b"=\r\n"));
    let is_after_long_line = |at: usize| {
        let left = bytes.get(at.saturating_sub(LONG_LINE)..at).unwrap_or_default();
        left.len() == LONG_LINE && memchr::memchr(b'\n', left).is_none()
    };
    // Base64 also ends in `=`, but quoted-printable text escapes `=` and non-ASCII characters.
    let has_escapes = || ["=3D", "=40", "=20", "=C3", "=E2"].iter().any(|escape| memchr::memmem::find(bytes, escape.as_bytes()).is_some());
    (soft_breaks.take(100).any(is_after_long_line) && has_escapes()) || memchr::memmem::find(bytes, b"quoted-printable").is_some()
}

/// The encoded or invisible character at `at`, if any. `left` is the plain text that ends there.
fn decoded_at(bytes: &[u8], at: usize, is_mail: bool, left: &str) -> Option<DecodedChar> {
    let byte = |distance: usize| bytes.get(at + distance).copied().unwrap_or(0);
    match byte(0) {
        b'\\' => backslash(bytes, at, left),
        b'%' => percent(bytes, at),
        b'&' => entity(bytes.get(at..at + bytes.len().saturating_sub(at).min(10)).unwrap_or_default()),
        b'=' if is_mail => match (byte(1), byte(2)) {
            (b'\n', _) => Some(DecodedChar { raw_len: 2, c: None }),
            (b'\r', b'\n') => Some(DecodedChar { raw_len: 3, c: None }),
            (high @ (b'0'..=b'9' | b'A'..=b'F'), low @ (b'0'..=b'9' | b'A'..=b'F')) => {
                printable(hex_value(&[high, low])?).map(|c| DecodedChar { raw_len: 3, c: Some(c) })
            }
            _ => None,
        },
        0x1b => ansi(bytes, at).or(Some(DecodedChar { raw_len: 1, c: None })),
        0..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f => Some(DecodedChar { raw_len: 1, c: None }),
        _ => {
            let text = std::str::from_utf8(bytes.get(at..(at + 4).min(bytes.len()))?);
            let c = match text {
                Ok(text) => text.chars().next()?,
                Err(error) => std::str::from_utf8(bytes.get(at..at + error.valid_up_to())?).ok()?.chars().next()?,
            };
            match c {
                // Full-width forms of ASCII, which CJK input methods write.
                '\u{ff01}'..='\u{ff5e}' => {
                    let plain = char::from_u32(u32::from(c) - 0xfee0)?;
                    Some(DecodedChar { raw_len: c.len_utf8(), c: Some(plain) })
                }
                // Typographic quotes.
                '\u{201c}'..='\u{201f}' | '«' | '»' => Some(DecodedChar { raw_len: c.len_utf8(), c: Some('"') }),
                '\u{2010}' | '\u{2011}' | '\u{2212}' => Some(DecodedChar { raw_len: c.len_utf8(), c: Some('-') }),
                _ => is_invisible(c).then(|| DecodedChar { raw_len: c.len_utf8(), c: None }),
            }
        }
    }
}

/// An escape of JSON or a programming language at any depth: `\"`, `\\\"`, `\u0040`, `\\x40`.
fn backslash(bytes: &[u8], at: usize, left: &str) -> Option<DecodedChar> {
    let depth = bytes.get(at..)?.iter().take(64).take_while(|byte| **byte == b'\\').count();
    let code = bytes.get(at + depth).copied()?;
    let one = |c: char| Some(DecodedChar { raw_len: depth + 1, c: Some(c) });
    // `C:\Users\nora` is a path; its `\n` is not a line feed.
    let in_path = left.ends_with("Users") || left.ends_with("home") || left.ends_with("Settings");
    match code {
        b'"' | b'\'' | b'/' | b'`' => one(char::from(code)),
        b'n' if !in_path => one('\n'),
        b't' if !in_path => one('\t'),
        b'r' if !in_path => one('\r'),
        // Rust and JavaScript: `\u{40}`.
        b'u' if bytes.get(at + depth + 1) == Some(&b'{') => {
            let digits = bytes.get(at + depth + 2..)?.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let end = at + depth + 2 + digits;
            let c = printable(hex_value(bytes.get(at + depth + 2..end)?)?).filter(|_| digits > 0 && bytes.get(end) == Some(&b'}'))?;
            Some(DecodedChar { raw_len: end + 1 - at, c: (!is_invisible(c)).then_some(c) })
        }
        b'u' => {
            let unit = hex_value(bytes.get(at + depth + 1..at + depth + 5)?)?;
            if unit == 0x1b {
                let raw_len = depth + 5;
                return Some(DecodedChar { raw_len: raw_len + sequence_len(bytes, at + raw_len).unwrap_or(0), c: None });
            }
            if !(0xd800..0xdc00).contains(&unit) {
                let is_seen = |c: &char| !is_invisible(*c) && (!c.is_control() || matches!(c, '\n' | '\t' | '\r'));
                return char::from_u32(unit).map(|c| DecodedChar { raw_len: depth + 5, c: Some(c).filter(is_seen) });
            }
            let low_at = at + depth + 5;
            let low_escape = bytes.get(low_at..low_at + depth + 1)?;
            if !low_escape.ends_with(b"u") || !low_escape.starts_with(b"\\") {
                return None;
            }
            let low = hex_value(bytes.get(low_at + depth + 1..low_at + depth + 5)?)?;
            let c = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?)?;
            Some(DecodedChar { raw_len: 2 * (depth + 5), c: Some(c) })
        }
        b'x' if bytes.get(at + depth + 1..at + depth + 3) == Some(b"1b") => {
            let raw_len = depth + 3;
            Some(DecodedChar { raw_len: raw_len + sequence_len(bytes, at + raw_len)?, c: None })
        }
        b'x' => {
            let c = printable(hex_value(bytes.get(at + depth + 1..at + depth + 3)?)?).filter(char::is_ascii)?;
            Some(DecodedChar { raw_len: depth + 3, c: Some(c) })
        }
        _ if depth > 1 => Some(DecodedChar { raw_len: depth, c: Some('\\') }),
        _ => None,
    }
}

/// A percent-encoded character: `%40`, several `%XX` of one UTF-8 character, or encoded twice (`%2540`).
fn percent(bytes: &[u8], at: usize) -> Option<DecodedChar> {
    let octet = |from: usize| -> Option<(u8, usize)> {
        let mut digits = from + 1;
        // Each further level of encoding writes `%` as `%25`.
        while bytes.get(digits..digits + 2) == Some(b"25") && bytes.get(digits + 2).is_some_and(u8::is_ascii_hexdigit) {
            digits += 2;
        }
        let value = hex_value(bytes.get(digits..digits + 2)?)?;
        Some((u8::try_from(value).ok()?, digits + 2 - from))
    };
    let (first, mut raw_len) = octet(at)?;
    if first.is_ascii() {
        return printable(u32::from(first)).map(|c| DecodedChar { raw_len, c: Some(c) });
    }
    let mut buffer = vec![first];
    while buffer.len() < 4 {
        match std::str::from_utf8(&buffer) {
            Ok(text) => {
                let c = text.chars().next()?;
                return Some(DecodedChar { raw_len, c: (!is_invisible(c)).then_some(c) });
            }
            Err(_) if bytes.get(at + raw_len) == Some(&b'%') => {
                let (next, len) = octet(at + raw_len)?;
                buffer.push(next);
                raw_len += len;
            }
            Err(_) => return None,
        }
    }
    let c = std::str::from_utf8(&buffer).ok()?.chars().next()?;
    Some(DecodedChar { raw_len, c: Some(c) })
}

/// An HTML entity, numeric or one of the names that occur in values.
fn entity(bytes: &[u8]) -> Option<DecodedChar> {
    let end = memchr::memchr(b';', bytes)?;
    let name = std::str::from_utf8(bytes.get(1..end)?).ok()?;
    let c = match name {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "commat" => '@',
        "period" => '.',
        "colon" => ':',
        "sol" => '/',
        "equals" => '=',
        "plus" => '+',
        "num" => '#',
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            let c = char::from_u32(code).filter(|c| !c.is_control())?;
            return Some(DecodedChar { raw_len: end + 1, c: (!is_invisible(c)).then_some(c) });
        }
    };
    Some(DecodedChar { raw_len: end + 1, c: Some(c) })
}

/// A terminal escape sequence for colours or cursor movement.
fn ansi(bytes: &[u8], at: usize) -> Option<DecodedChar> {
    Some(DecodedChar { raw_len: 1 + sequence_len(bytes, at + 1)?, c: None })
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

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Whether a character is invisible. Such characters can be inserted into a value to evade filters.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_maps_back_to_the_original() {
        for (raw, expected) in [
            (r"a\u0040b.co", "a@b.co"),
            (r#"{\\\"k\\\": \\\"v\\\"}"#, r#"{"k": "v"}"#),
            ("t.leroux%40gmail.com", "t.leroux@gmail.com"),
            ("Th%C3%A9r%C3%A8se%20L", "Thérèse L"),
            ("t%2540x.de", "t@x.de"),
            ("a&#64;b&amp;c", "a@b&c"),
            ("“a” «b» „c“ it’s", "\"a\" \"b\" \"c\" it’s"),
            ("py\u{200b}pi\u{2060}-A", "pypi-A"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            (r"\u001b[31mred\u001b[0m \x1b[1;31mred", "red red"),
            ("a\0b\u{301}c\u{e0041}d\u{7}e", "abcde"),
            (r"\u{61}\u{0062}\u0000c \u{}", r"abc \u{}"),
            ("quoted-printable mail=40x.de and=\n more", "quoted-printable mail@x.de and more"),
            (r"\ud83d\ude00!", "😀!"),
            ("100% of %d and %02d & more", "100% of %d and %02d & more"),
            (r"C:\Users\nora\x", r"C:\Users\nora\x"),
        ] {
            let decoded = DecodedText::new(raw);
            assert_eq!(decoded.text(), expected, "{raw}");
            assert_eq!(decoded.to_raw(0..expected.len()).end, raw.trim_end_matches("\u{1b}[0m").len(), "{raw}");
        }
        let raw = r#"x "mail": "a\u0040b.co" y"#;
        let decoded = DecodedText::new(raw);
        let at = decoded.text().find("a@b.co").unwrap();
        assert_eq!(raw.get(decoded.to_raw(at..at + 6)), Some(r"a\u0040b.co"));
    }
}
