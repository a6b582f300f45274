//! Decodes a text to what a reader sees, and maps positions back to the original.
//!
//! Undoes escapes at any nesting depth ([`escapes`]), reads characters in their plain form and removes invisible ones ([`characters`]), and joins
//! values that markup or a string concatenation interrupts ([`joints`]). Base64, hex and other encodings of whole texts are handled in
//! [`super::encoded`].

use std::borrow::Cow;
use std::ops::Range;

use super::byte_search::BytePairs;
use super::characters::{self, Shown};
use super::escapes::{self, Escape};
use super::joints;

/// A decoded text with a map to the original.
#[derive(Debug)]
pub(super) struct DecodedText<'t> {
    text: Cow<'t, str>,
    /// Each maps a text to the text before it, the first to the original. None if nothing was decoded.
    layers: Vec<Layer>,
}

/// A map from a decoded text to the text that it was decoded from: segments in order and without gaps.
#[derive(Debug, Default)]
struct Layer(Vec<Segment>);

/// Corresponding bytes of the decoded and the original text: equal byte for byte, or one decoded character.
#[derive(Debug, Clone, Copy)]
struct Segment {
    decoded: usize,
    raw: usize,
    raw_len: usize,
    is_plain: bool,
}

impl Layer {
    fn segment(&self, at: usize) -> Segment {
        let index = self.0.partition_point(|segment| segment.decoded <= at).saturating_sub(1);
        self.0.get(index).copied().unwrap_or(Segment { decoded: 0, raw: 0, raw_len: 0, is_plain: true })
    }

    fn to_raw(&self, range: Range<usize>) -> Range<usize> {
        if range.is_empty() {
            return range;
        }
        let (first, last) = (self.segment(range.start), self.segment(range.end - 1));
        let start = if first.is_plain { first.raw + (range.start - first.decoded) } else { first.raw };
        let end = if last.is_plain { last.raw + (range.end - last.decoded) } else { last.raw + last.raw_len };
        start..end
    }
}

impl<'t> DecodedText<'t> {
    /// Decodes `raw`.
    pub(super) fn new(raw: &'t str) -> Self {
        let mut decoded = DecodedText { text: Cow::Borrowed(raw), layers: Vec::new() };
        // A decoded character may begin another escape: `\u0026#64;`.
        while decoded.layers.len() < LAYERS_MAX {
            let mut writer = Writer::new(&decoded.text);
            let is_nested = decode(&mut writer);
            if !decoded.apply(writer.finish()) || !is_nested {
                break;
            }
        }
        let mut writer = Writer::new(&decoded.text);
        joints::find(&decoded.text, &mut |range, shown| writer.replace(range, shown));
        let joined = writer.finish();
        decoded.apply(joined);
        decoded
    }

    /// Adds a layer; false if it changes nothing.
    fn apply(&mut self, layer: Option<(String, Layer)>) -> bool {
        let Some((text, layer)) = layer else { return false };
        self.text = Cow::Owned(text);
        self.layers.push(layer);
        true
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Maps bytes of the decoded text to bytes of the original.
    pub(super) fn to_raw(&self, range: Range<usize>) -> Range<usize> {
        self.layers.iter().rev().fold(range, |range, layer| layer.to_raw(range))
    }

    /// The number of original bytes that encode the decoded byte at `at`. Distinguishes a closing quote from an escaped one inside the value.
    pub(super) fn raw_len_at(&self, at: usize) -> usize {
        self.to_raw(at..at + 1).len()
    }
}

/// How often a text is decoded that was decoded before.
const LAYERS_MAX: usize = 3;

/// Writes a decoded text and its map.
struct Writer<'t> {
    raw: &'t str,
    text: String,
    layer: Layer,
    /// Start of the original text that is not copied yet.
    plain_from: usize,
    is_changed: bool,
}

impl<'t> Writer<'t> {
    fn new(raw: &'t str) -> Self {
        Self { raw, text: String::new(), layer: Layer::default(), plain_from: 0, is_changed: false }
    }

    /// Writes `shown` in place of a range after the ranges before.
    fn replace(&mut self, range: Range<usize>, shown: Shown) {
        if !self.is_changed {
            self.text.reserve(self.raw.len());
            self.is_changed = true;
        }
        self.copy_until(range.start);
        if shown != Shown::Nothing {
            self.layer.0.push(Segment { decoded: self.text.len(), raw: range.start, raw_len: range.len(), is_plain: false });
        }
        match shown {
            Shown::Nothing => {}
            Shown::Char(c) => self.text.push(c),
            Shown::Text(text) => self.text.push_str(text),
        }
        self.plain_from = range.end;
    }

    fn copy_until(&mut self, at: usize) {
        if at > self.plain_from {
            let segment = Segment { decoded: self.text.len(), raw: self.plain_from, raw_len: at - self.plain_from, is_plain: true };
            self.layer.0.push(segment);
            self.text.push_str(self.raw.get(self.plain_from..at).unwrap_or_default());
        }
    }

    /// The decoded text and its map; `None` if nothing was replaced.
    fn finish(mut self) -> Option<(String, Layer)> {
        if !self.is_changed {
            return None;
        }
        self.copy_until(self.raw.len());
        Some((self.text, self.layer))
    }
}

/// Decodes the escapes and special characters of a text. Returns whether the result may contain further escapes.
fn decode(writer: &mut Writer<'_>) -> bool {
    let raw = writer.raw;
    let bytes = raw.as_bytes();
    let has_equals = memchr::memchr(b'=', bytes).is_some();
    let is_mail = has_equals && escapes::is_quoted_printable(bytes);
    let mut disguised = (0..0, false);
    let (mut at, mut is_nested) = (0, false);
    let mut special = BytePairs::new(bytes, |byte, _| is_special(byte, is_mail));
    while let Some(next) = special.next(at) {
        at = next;
        let left = raw.get(writer.plain_from..at).unwrap_or_default();
        let escape = if bytes.get(at).is_some_and(u8::is_ascii) {
            escapes::escape_at(bytes, at, is_mail, left)
        } else {
            let Some(c) = raw.get(at..).and_then(|rest| rest.chars().next()) else { break };
            let shown = characters::shown(c).or_else(|| {
                // The letters of Cyrillic and Greek.
                if !matches!(c, '\u{370}'..='\u{52f}') {
                    return None;
                }
                if !disguised.0.contains(&at) {
                    disguised = characters::disguised_word(raw, at);
                }
                disguised.1.then(|| characters::undisguised(c)).flatten()
            });
            let Some(shown) = shown else {
                at += c.len_utf8();
                continue;
            };
            Some(Escape { raw_len: c.len_utf8(), shown })
        };
        let Some(escape) = escape else {
            at += 1;
            continue;
        };
        let end = at + escape.raw_len;
        is_nested |= match escape.shown {
            Shown::Char('&') => bytes.get(end).is_some_and(|next| *next == b'#' || next.is_ascii_alphabetic()),
            Shown::Char('%') => bytes.get(end).is_some_and(u8::is_ascii_hexdigit),
            // Backslashes are decoded at all depths at once.
            Shown::Char('\\') => bytes.get(at) != Some(&b'\\'),
            _ => false,
        };
        writer.replace(at..end, escape.shown);
        at = end;
    }
    is_nested
}

/// Whether a byte may begin an escape or a special character. Without branches, so that many bytes are checked at once.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "no branches")]
fn is_special(byte: u8, is_mail: bool) -> bool {
    let is_control = (byte < 0x20) & !((byte == b'\t') | (byte == b'\n') | (byte == b'\r'));
    is_control | (byte >= 0x7f) | (byte == b'\\') | (byte == b'%') | (byte == b'&') | ((byte == b'=') & is_mail)
}

#[cfg(test)]
mod tests {
    use super::super::{CustomDetectors, scan};
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
            (r"a\u0026#64;b %26commat%3B &#92;u0040 \x25\x34\x30", "a@b @ @ @"),
            ("４１１１\u{a0}1111\u{2009}٤٥ ﬁ №", "4111 1111 45 fi No"),
            ("аdа, Ада, pаss и", "ada, Ада, pass и"),
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
    #[test]
    fn the_same_value_is_found_in_every_form() {
        let key = concat!("AK", "IAQX3UVWYZ7LMNOPQR");
        for (value, forms) in [
            (
                "zora.quill@mail.example.org",
                [
                    "zora.quill@mail.example.org",
                    "ｚｏｒａ.ｑｕｉｌｌ＠ｍａｉｌ.ｅｘａｍｐｌｅ.ｏｒｇ",
                    "𝐳𝐨𝐫𝐚.quill@mail.example.org",
                    "zоrа.quill@mаil.example.org",
                    "zora.quill\u{200b}@mail\u{ad}.example.org",
                    "zora(dot)quill(at)mail(dot)example(dot)org",
                    "zora.quill [at] mail.example [dot] org",
                    "mailto:zora%2Equill%40mail.example.org",
                    "zora.quill&amp;#64;mail.example.org",
                    "zora.quill&commat;mail&period;example.org",
                    r"zora.quill\\u0040mail.example.org",
                    r"zora.quill\100mail\056example.org",
                    r"zora.quill\x{40}mail.example.org",
                    r"zora.quill\U00000040mail.example.org",
                    r"zora\.quill\@mail\.example\.org",
                    "zora.quill<wbr>@<b>mail</b>.example.org",
                    "em9yYS5xdWlsbEBtYWlsLmV4YW1wbGUub3Jn",
                    "PJXXEYJOOF2WS3DMIBWWC2LMFZSXQYLNOBWGKLTPOJTQ====",
                    "7A 6F 72 61 2E 71 75 69 6C 6C 40 6D 61 69 6C 2E 65 78 61 6D 70 6C 65 2E 6F 72 67",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            (
                key,
                [
                    key.replace("QX3", "**QX3**"),
                    key.replace("QX3", "<wbr>QX3<!-- -->"),
                    key.replace("QX3", "\" + \"QX3"),
                    key.replace("QX3", "\"\n        \"QX3"),
                    key.replace('A', "А"),
                    key.replace("QX3", "\\\nQX3"),
                ]
                .to_vec(),
            ),
            (
                "4111 1111 1111 1111",
                ["4111\u{a0}1111\u{a0}1111\u{a0}1111", "4111\u{2009}1111\u{202f}1111\u{3000}1111", "४१११ ١١١١ １１１１ 𝟏𝟏𝟏𝟏"]
                    .map(str::to_owned)
                    .to_vec(),
            ),
        ] {
            for form in forms {
                let found: Vec<String> =
                    scan(&format!("see \"{form}\" here"), &CustomDetectors::default()).into_iter().map(|found| found.value).collect();
                assert_eq!(found, [value], "{form}");
            }
        }
    }

    #[test]
    fn texts_of_escapes_and_joints_take_linear_time() {
        let start = crate::redact::tests::thread_seconds();
        for text in ["\\", "&amp;", "%25", "а", "\\u0026#", "<b>a</b>", "аb", "\u{301}", "=\n", "&#38;"] {
            let text = text.repeat(300_000);
            let decoded = DecodedText::new(&text);
            assert!(decoded.to_raw(0..decoded.text().len()).len() <= text.len(), "{}", decoded.text().len());
        }
        assert!(crate::redact::tests::thread_seconds() - start < 10.0);
    }
}
