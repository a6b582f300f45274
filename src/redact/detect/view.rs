//! The text as a reader sees it: escapes of JSON, URLs, HTML, Python and mail undone at any depth, invisible characters and terminal colours
//! left out, with a map back to the bytes of the original.

use std::borrow::Cow;
use std::ops::Range;

/// A decoded text and where its parts came from.
#[derive(Debug)]
pub(super) struct View<'t> {
    text: Cow<'t, str>,
    /// In order, without gaps in the view; empty where the view is the text itself.
    pieces: Vec<Piece>,
}

/// Bytes of the view and of the original that belong together: equal byte for byte, or one decoded sign.
#[derive(Debug, Clone, Copy)]
struct Piece {
    view: usize,
    raw: usize,
    raw_len: usize,
    is_plain: bool,
}

impl<'t> View<'t> {
    /// Decodes `raw`.
    pub(super) fn new(raw: &'t str) -> Self {
        Decoder { raw, text: String::new(), pieces: Vec::new(), plain_from: 0 }.decode()
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The bytes of the original for bytes of the view.
    pub(super) fn raw(&self, range: Range<usize>) -> Range<usize> {
        if self.pieces.is_empty() || range.is_empty() {
            return range;
        }
        let (first, last) = (self.piece(range.start), self.piece(range.end - 1));
        let start = if first.is_plain { first.raw + (range.start - first.view) } else { first.raw };
        let end = if last.is_plain { last.raw + (range.end - last.view) } else { last.raw + last.raw_len };
        start..end
    }

    /// How many bytes of the original stand for the byte of the view: tells a quote that closes a value from one inside it.
    pub(super) fn raw_len_at(&self, at: usize) -> usize {
        if self.pieces.is_empty() {
            return 1;
        }
        let piece = self.piece(at);
        if piece.is_plain { 1 } else { piece.raw_len }
    }

    fn piece(&self, at: usize) -> Piece {
        let index = self.pieces.partition_point(|piece| piece.view <= at).saturating_sub(1);
        self.pieces.get(index).copied().unwrap_or(Piece { view: 0, raw: 0, raw_len: 0, is_plain: true })
    }
}

struct Decoder<'t> {
    raw: &'t str,
    text: String,
    pieces: Vec<Piece>,
    /// Where the part begins that is not copied yet.
    plain_from: usize,
}

/// What stands at a place: a sign in another spelling, or nothing to be seen.
struct Decoded {
    raw_len: usize,
    sign: Option<char>,
}

impl<'t> Decoder<'t> {
    fn decode(mut self) -> View<'t> {
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
        if self.pieces.is_empty() {
            return View { text: Cow::Borrowed(self.raw), pieces: Vec::new() };
        }
        self.copy_until(self.raw.len());
        View { text: Cow::Owned(self.text), pieces: self.pieces }
    }

    fn copy_until(&mut self, at: usize) {
        if at > self.plain_from {
            self.pieces.push(Piece { view: self.text.len(), raw: self.plain_from, raw_len: at - self.plain_from, is_plain: true });
            self.text.push_str(self.raw.get(self.plain_from..at).unwrap_or_default());
        }
    }

    fn take(&mut self, at: usize, decoded: &Decoded) {
        self.copy_until(at);
        if let Some(sign) = decoded.sign {
            self.pieces.push(Piece { view: self.text.len(), raw: at, raw_len: decoded.raw_len, is_plain: false });
            self.text.push(sign);
        } else if self.pieces.is_empty() {
            // Marks the view as decoded although nothing stands in it yet.
            self.pieces.push(Piece { view: 0, raw: at, raw_len: 0, is_plain: false });
        }
        self.plain_from = at + decoded.raw_len;
    }
}

/// Whether `=40` stands for `@`: the text says so, or long lines end in `=`.
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
    // Base64 ends in `=` too; mail escapes its `=` and what is not ASCII.
    let has_escapes = || ["=3D", "=40", "=20", "=C3", "=E2"].iter().any(|escape| memchr::memmem::find(bytes, escape.as_bytes()).is_some());
    (soft_breaks.take(100).any(is_after_long_line) && has_escapes()) || memchr::memmem::find(bytes, b"quoted-printable").is_some()
}

/// What is encoded or invisible at `at`. `left` ends there.
fn decoded_at(bytes: &[u8], at: usize, is_mail: bool, left: &str) -> Option<Decoded> {
    let byte = |distance: usize| bytes.get(at + distance).copied().unwrap_or(0);
    match byte(0) {
        b'\\' => backslash(bytes, at, left),
        b'%' => percent(bytes, at),
        b'&' => entity(bytes.get(at..at + bytes.len().saturating_sub(at).min(10)).unwrap_or_default()),
        b'=' if is_mail => match (byte(1), byte(2)) {
            (b'\n', _) => Some(Decoded { raw_len: 2, sign: None }),
            (b'\r', b'\n') => Some(Decoded { raw_len: 3, sign: None }),
            (high @ (b'0'..=b'9' | b'A'..=b'F'), low @ (b'0'..=b'9' | b'A'..=b'F')) => {
                printable(hex_value(&[high, low])?).map(|sign| Decoded { raw_len: 3, sign: Some(sign) })
            }
            _ => None,
        },
        0x1b => ansi(bytes, at).or(Some(Decoded { raw_len: 1, sign: None })),
        0..=0x08 | 0x0b | 0x0c | 0x0e..=0x1f | 0x7f => Some(Decoded { raw_len: 1, sign: None }),
        _ => {
            let text = std::str::from_utf8(bytes.get(at..(at + 4).min(bytes.len()))?);
            let sign = match text {
                Ok(text) => text.chars().next()?,
                Err(error) => std::str::from_utf8(bytes.get(at..at + error.valid_up_to())?).ok()?.chars().next()?,
            };
            match sign {
                // Full-width forms of ASCII.
                '\u{ff01}'..='\u{ff5e}' => {
                    let plain = char::from_u32(u32::from(sign) - 0xfee0)?;
                    Some(Decoded { raw_len: sign.len_utf8(), sign: Some(plain) })
                }
                // Quotes of print.
                '\u{201c}'..='\u{201f}' | '«' | '»' => Some(Decoded { raw_len: sign.len_utf8(), sign: Some('"') }),
                '\u{2010}' | '\u{2011}' | '\u{2212}' => Some(Decoded { raw_len: sign.len_utf8(), sign: Some('-') }),
                _ => is_invisible(sign).then(|| Decoded { raw_len: sign.len_utf8(), sign: None }),
            }
        }
    }
}

/// An escape of JSON or of a programming language, at any depth: `\"`, `\\\"`, `\u0040`, `\\x40`.
fn backslash(bytes: &[u8], at: usize, left: &str) -> Option<Decoded> {
    let depth = bytes.get(at..)?.iter().take(64).take_while(|byte| **byte == b'\\').count();
    let code = bytes.get(at + depth).copied()?;
    let one = |sign: char| Some(Decoded { raw_len: depth + 1, sign: Some(sign) });
    // `C:\Users\nora`: a path, no line feed.
    let in_path = left.ends_with("Users") || left.ends_with("home") || left.ends_with("Settings");
    match code {
        b'"' | b'\'' | b'/' | b'`' => one(char::from(code)),
        b'n' if !in_path => one('\n'),
        b't' if !in_path => one('\t'),
        b'r' if !in_path => one('\r'),
        // `\u{40}`
        b'u' if bytes.get(at + depth + 1) == Some(&b'{') => {
            let digits = bytes.get(at + depth + 2..)?.iter().take(6).take_while(|byte| byte.is_ascii_hexdigit()).count();
            let end = at + depth + 2 + digits;
            let sign = printable(hex_value(bytes.get(at + depth + 2..end)?)?).filter(|_| digits > 0 && bytes.get(end) == Some(&b'}'))?;
            Some(Decoded { raw_len: end + 1 - at, sign: (!is_invisible(sign)).then_some(sign) })
        }
        b'u' => {
            let unit = hex_value(bytes.get(at + depth + 1..at + depth + 5)?)?;
            if unit == 0x1b {
                let raw_len = depth + 5;
                return Some(Decoded { raw_len: raw_len + sequence_len(bytes, at + raw_len).unwrap_or(0), sign: None });
            }
            if !(0xd800..0xdc00).contains(&unit) {
                let is_seen = |sign: &char| !is_invisible(*sign) && (!sign.is_control() || matches!(sign, '\n' | '\t' | '\r'));
                return char::from_u32(unit).map(|sign| Decoded { raw_len: depth + 5, sign: Some(sign).filter(is_seen) });
            }
            let low_at = at + depth + 5;
            let low_escape = bytes.get(low_at..low_at + depth + 1)?;
            if !low_escape.ends_with(b"u") || !low_escape.starts_with(b"\\") {
                return None;
            }
            let low = hex_value(bytes.get(low_at + depth + 1..low_at + depth + 5)?)?;
            let sign = char::from_u32(0x10000 + ((unit - 0xd800) << 10) + low.checked_sub(0xdc00)?)?;
            Some(Decoded { raw_len: 2 * (depth + 5), sign: Some(sign) })
        }
        b'x' if bytes.get(at + depth + 1..at + depth + 3) == Some(b"1b") => {
            let raw_len = depth + 3;
            Some(Decoded { raw_len: raw_len + sequence_len(bytes, at + raw_len)?, sign: None })
        }
        b'x' => {
            let sign = printable(hex_value(bytes.get(at + depth + 1..at + depth + 3)?)?).filter(char::is_ascii)?;
            Some(Decoded { raw_len: depth + 3, sign: Some(sign) })
        }
        _ if depth > 1 => Some(Decoded { raw_len: depth, sign: Some('\\') }),
        _ => None,
    }
}

/// `%40`, or the several `%XX` of one sign in UTF-8, also encoded twice (`%2540`).
fn percent(bytes: &[u8], at: usize) -> Option<Decoded> {
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
        return printable(u32::from(first)).map(|sign| Decoded { raw_len, sign: Some(sign) });
    }
    let mut buffer = vec![first];
    while buffer.len() < 4 {
        match std::str::from_utf8(&buffer) {
            Ok(text) => {
                let sign = text.chars().next()?;
                return Some(Decoded { raw_len, sign: (!is_invisible(sign)).then_some(sign) });
            }
            Err(_) if bytes.get(at + raw_len) == Some(&b'%') => {
                let (next, len) = octet(at + raw_len)?;
                buffer.push(next);
                raw_len += len;
            }
            Err(_) => return None,
        }
    }
    let sign = std::str::from_utf8(&buffer).ok()?.chars().next()?;
    Some(Decoded { raw_len, sign: Some(sign) })
}

/// The named and numeric entities of HTML that stand for signs of values.
fn entity(bytes: &[u8]) -> Option<Decoded> {
    let end = memchr::memchr(b';', bytes)?;
    let name = std::str::from_utf8(bytes.get(1..end)?).ok()?;
    let sign = match name {
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
            let sign = char::from_u32(code).filter(|sign| !sign.is_control())?;
            return Some(Decoded { raw_len: end + 1, sign: (!is_invisible(sign)).then_some(sign) });
        }
    };
    Some(Decoded { raw_len: end + 1, sign: Some(sign) })
}

/// A terminal's colour or cursor sequence.
fn ansi(bytes: &[u8], at: usize) -> Option<Decoded> {
    Some(Decoded { raw_len: 1 + sequence_len(bytes, at + 1)?, sign: None })
}

/// How long a sequence is without its escape character, which may be written as an escape itself: `[31m`.
fn sequence_len(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return None;
    }
    let parameters = bytes.get(at + 1..)?.iter().take(32).take_while(|byte| byte.is_ascii_digit() || **byte == b';').count();
    bytes.get(at + 1 + parameters).filter(|byte| byte.is_ascii_alphabetic())?;
    Some(parameters + 2)
}

fn printable(code: u32) -> Option<char> {
    char::from_u32(code).filter(|sign| !sign.is_control() || matches!(sign, '\n' | '\r' | '\t'))
}

fn hex_value(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

/// Characters that take no place on a screen and are used to break up what a filter looks for.
fn is_invisible(sign: char) -> bool {
    matches!(
        sign,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{300}'..='\u{36f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{e0000}'..='\u{e01ef}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes_and_maps_back() {
        for (raw, decoded) in [
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
            let view = View::new(raw);
            assert_eq!(view.text(), decoded, "{raw}");
            assert_eq!(view.raw(0..decoded.len()).end, raw.trim_end_matches("\u{1b}[0m").len(), "{raw}");
        }
        let raw = r#"x "mail": "a\u0040b.co" y"#;
        let view = View::new(raw);
        let at = view.text().find("a@b.co").unwrap();
        assert_eq!(raw.get(view.raw(at..at + 6)), Some(r"a\u0040b.co"));
    }
}
